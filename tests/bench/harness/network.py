"""Ports and single requests on loopback."""

import http.client
import socket
from dataclasses import dataclass

ADDRESS = "127.0.0.1"
# Below the range that the kernel takes the load's own ports from: none of those can be in a contender's way.
FIRST_PORT, LAST_PORT = 20_000, 32_000


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes


class Client:
    """A kept-alive connection for checks."""

    def __init__(self, port):
        self.connection = http.client.HTTPConnection(ADDRESS, port, timeout=5)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def get(self, path, **headers):
        """Header names are given with `_` for `-`."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            self.connection.request("GET", path, headers=names)
            response = self.connection.getresponse()
            return Answer(response.status, response.read())
        except http.client.HTTPException as problem:
            raise ConnectionError(f"no HTTP answer to GET {path}: {problem!r}") from problem


def unused_ports():
    """Yields ports that nobody listens on."""
    for port in range(FIRST_PORT, LAST_PORT):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((ADDRESS, port))
            except OSError:
                continue
        yield port


def is_listening(port):
    try:
        socket.create_connection((ADDRESS, port), timeout=1).close()
    except OSError:
        return False
    return True
