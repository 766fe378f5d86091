"""The upstream behind every contender: nginx with one worker, which answers from memory."""

from . import nginx

NEEDS = frozenset({"nginx", "wrk"})
BODY = "0123456789abcdef" * 64
# Answers with the fields that a contender must set or remove, as they arrived.
ECHO_PATH = "/echo"


def prepare(place):
    """Writes the configuration and returns the command; `place.port` is the upstream's."""
    echo = r"x-consumer=$http_x_consumer\nx-api-key=$http_x_api_key\n"
    return nginx.command(
        place,
        server=f"""
            default_type text/plain;
            location / {{ return 200 "{BODY}"; }}
            location = {ECHO_PATH} {{ return 200 "{echo}"; }}""",
    )


def echoed(body):
    """The fields in an answer of ECHO_PATH; empty if absent."""
    return dict(line.split("=", 1) for line in body.decode().splitlines())
