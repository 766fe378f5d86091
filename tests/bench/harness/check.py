"""What a contender must do before it is worth measuring."""

from . import backend
from .contender import IDENTITY, KEY, OTHER_KEY, RATE_REACHED_AT_ONCE
from .network import Client


class CheckFailure(Exception):
    """A contender does not keep the contract of its case."""


def expect(found, expected, what):
    if found != expected:
        raise CheckFailure(f"{what}: expected {expected!r}, got {found!r}")


def check_forwarding(port):
    """The load's requests must be answered by the upstream, byte for byte."""
    with Client(port) as client:
        answer = client.get("/x", x_api_key=KEY)
        expect(answer.status, 200, "status with a key")
        expect(len(answer.body), len(backend.BODY), "bytes of the body")
        # Not by `expect`: nobody wants to read two kilobytes of a difference.
        if answer.body != backend.BODY.encode():
            raise CheckFailure("the body is not the upstream's")


def check_auth(port):
    """Only known keys pass, and the upstream sees whose key it was, not the key."""
    for what, fields in [("without a key", {}), ("with an unknown key", {"x_api_key": "key-9999"})]:
        # A refusal may close the connection.
        with Client(port) as client:
            expect(client.get("/x", **fields).status, 401, f"status {what}")
    with Client(port) as client:
        for what, fields in [("", {}), (" when the client forges one", {"x_consumer": "forged"})]:
            answer = client.get(backend.ECHO_PATH, x_api_key=KEY, **fields)
            expect(answer.status, 200, f"status of a known key{what}")
            seen = backend.echoed(answer.body)
            expect(seen, {"x-consumer": IDENTITY, "x-api-key": ""}, f"identity and key at the upstream{what}")


def check_redis(port):
    """Known keys are answered with whose they are, as Redis has it."""
    with Client(port) as client:
        for key, identity in [(KEY, IDENTITY), (OTHER_KEY, IDENTITY.replace("42", "43"))]:
            answer = client.get("/x", x_api_key=key)
            expect((answer.status, answer.body), (200, f"{identity}\n".encode()), "answer to a known key")
    with Client(port) as client:
        expect(client.get("/x", x_api_key="key-9999").status, 401, "status with an unknown key")


def check_limit(port):
    """A contender set to RATE_REACHED_AT_ONCE refuses a client that is over its rate, and only that one."""
    with Client(port) as client:
        statuses = [client.get("/x", x_api_key=KEY).status for _ in range(10 * RATE_REACHED_AT_ONCE)]
        expect(set(statuses), {200, 429}, "statuses of a client far over its rate")
    # A refusal may have closed the connection.
    with Client(port) as client:
        expect(client.get("/x", x_api_key=OTHER_KEY).status, 200, "status of another client meanwhile")
