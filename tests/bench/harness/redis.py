"""Redis beside the upstream, and the script that asks it for each request: the same text for every contender with cosockets."""

import socket

from .contender import KEY_HEADER, KEYS
from .network import ADDRESS

NEEDS = frozenset({"redis-server"})


def prepare(place):
    """Returns the command of a server that keeps nothing."""
    options = ["--save", "", "--appendonly", "no", "--dir", place.directory]
    return [place.programs["redis-server"], "--bind", ADDRESS, "--port", str(place.port), *options]


def fill(port):
    """Stores whose key is whose."""
    with socket.create_connection((ADDRESS, port), timeout=5) as connection, connection.makefile("rb") as answers:
        connection.sendall("".join(f"SET {key} {identity}\r\n" for key, identity in KEYS).encode())
        for _ in KEYS:
            if answers.readline() != b"+OK\r\n":
                raise ConnectionError("Redis has not stored a key")


def content_script(place):
    """Answers with what Redis has for the client's key, over a connection that is kept."""
    return f"""
        local key = ngx.var.http_{KEY_HEADER.replace("-", "_")}
        if not key then return ngx.exit(ngx.HTTP_UNAUTHORIZED) end
        local sock = ngx.socket.tcp()
        sock:settimeout(1000)
        local ok, message = sock:connect("{ADDRESS}", {place.redis_port})
        if not ok then
            ngx.log(ngx.ERR, "no Redis: ", message)
            return ngx.exit(ngx.HTTP_SERVICE_UNAVAILABLE)
        end
        sock:send("*2\\r\\n$3\\r\\nGET\\r\\n$" .. #key .. "\\r\\n" .. key .. "\\r\\n")
        local head = assert(sock:receive())
        local identity
        if head ~= "$-1" then
            identity = assert(sock:receive(tonumber(head:sub(2))))
            assert(sock:receive(2))
        end
        sock:setkeepalive(60000, 256)
        if not identity then return ngx.exit(ngx.HTTP_UNAUTHORIZED) end
        ngx.say(identity)"""
