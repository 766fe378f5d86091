"""What takes part, and the contract that every contender of a case keeps."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

CASES = ("plain", "auth", "scripts", "redis", "limit", "stages")

KEY_HEADER = "x-api-key"
IDENTITY_HEADER = "x-consumer"
# The key that the load carries, the identity that the upstream must see for it, and another client's key.
KEY, IDENTITY, OTHER_KEY = "key-0042", "consumer-42", "key-0043"
KEYS = tuple((f"key-{number:04}", f"consumer-{number}") for number in range(1000))

# Requests per second and client. The first refuses nothing that one core can send, the second nearly everything: it
# shows, before the measurement, that the contender does limit.
RATE_NEVER_REACHED, RATE_REACHED_AT_ONCE = 1_000_000, 5


@dataclass(frozen=True)
class Place:
    """Where one contender runs: all that differs between two runs of it."""

    directory: Path
    port: int
    upstream_port: int
    programs: dict
    rate: int
    # None where no contender asks Redis.
    redis_port: int | None = None

    def write(self, name, text):
        """Writes a file of the contender and returns its path."""
        path = self.directory / name
        path.write_text(text)
        return path

    def write_keys(self):
        """The key set that all contenders read: one `KEY IDENTITY` per line."""
        return self.write("keys.txt", "".join(f"{key} {identity}\n" for key, identity in KEYS))


@dataclass(frozen=True)
class Contender:
    """One way to do one case."""

    case: str
    name: str
    # Names of programs, see `install`.
    needs: frozenset
    # Writes the configuration and returns the command, which stays in the foreground.
    prepare: Callable[[Place], list]
    # What it does besides forwarding, see `check`: "auth", "limit". "redis": what it does instead.
    contracts: frozenset = frozenset()
