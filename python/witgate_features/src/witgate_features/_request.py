"""What is known of a request."""

import datetime
import json
import math

KEYS = ("method", "path", "query", "headers", "body", "time", "rate", "status")

BODY_LIMIT = 64 * 1024
DEPTH_LIMIT = 64


class RequestError(ValueError):
    """A request that does not say what it should."""


class Request:
    """A request in the forms that features look at."""

    def __init__(self, request):
        for key in request:
            if key not in KEYS:
                raise RequestError(f"unknown key `{key}`: expected one of {', '.join(KEYS)}")
        self.method = request.get("method", "GET")
        self.path = _bytes(request.get("path", "/"), "path")
        if b"?" in self.path:
            raise RequestError("`path`: expected no `?`: put what follows it into `query`")
        query = request.get("query")
        self.has_query = query is not None
        self.query = _bytes(query, "query") if self.has_query else b""
        headers = request.get("headers") or ()
        headers = headers.items() if isinstance(headers, dict) else headers
        self.headers = {}
        for name, value in headers:
            self.headers.setdefault(_bytes(name, "headers").lower(), []).append(_bytes(value, "headers"))
        self.body = _bytes(request.get("body") or b"", "body")
        self.time = _seconds(request.get("time", 0))
        rate = request.get("rate")
        self.rate = float(rate) if rate is not None and math.isfinite(rate) else None
        self.status = request.get("status")
        self._document = None

    def part(self, name, limit):
        """The first bytes of a part; of one that is missing, none."""
        if name == "path":
            value = self.path
        elif name == "query":
            value = self.query
        elif name == "path-and-query":
            value = self.path + b"?" + self.query if self.has_query else self.path
        elif name == "body":
            value = self.body
        else:
            name = name[len("header:") :].encode("ascii")
            value = (b"; " if name == b"cookie" else b", ").join(self.headers.get(name, ()))
        return value[:limit]

    def has(self, name):
        if name == "query":
            return self.has_query
        if name == "body":
            return bool(self.body)
        return name in ("path", "path-and-query") or name[len("header:") :].encode("ascii") in self.headers

    def field(self, pointer):
        """A field of the JSON body, or None."""
        if self._document is None:
            self._document = _document(self.body)
        value = self._document[0]
        for token in pointer:
            if isinstance(value, _Object):
                found = [member for name, member in value.members if name == token]
                if not found:
                    return None
                value = found[-1]
            elif isinstance(value, list):
                plain = token.isascii() and token.isdigit() and (token == "0" or token[0] != "0")
                if not plain or len(token) > 9 or int(token) >= len(value):
                    return None
                value = value[int(token)]
            else:
                return None
        if isinstance(value, bool):
            return 1.0 if value else 0.0
        if isinstance(value, float):
            return value if math.isfinite(value) else None
        if isinstance(value, str):
            return float(len(value.encode("utf-8")))
        return float(len(value)) if isinstance(value, list) else None


class _Object:
    def __init__(self, members):
        self.members = members


def _refuse(word):
    raise ValueError(f"{word} is no JSON")


def _document(body):
    """A tuple of the body's value; of None, if the gateway would not read it."""
    if len(body) > BODY_LIMIT:
        return (None,)
    try:
        value = json.loads(body.decode("utf-8"), parse_int=float, parse_constant=_refuse, object_pairs_hook=_Object)
        rest = [(value, 0)]
        while rest:
            value_, depth = rest.pop()
            if isinstance(value_, str):
                # Halves of surrogate pairs are no characters.
                value_.encode("utf-8")
            elif isinstance(value_, (_Object, list)):
                if depth >= DEPTH_LIMIT:
                    return (None,)
                members = value_.members if isinstance(value_, _Object) else [("", member) for member in value_]
                for name, member in members:
                    name.encode("utf-8")
                    rest.append((member, depth + 1))
    except (ValueError, RecursionError):
        return (None,)
    return (value,)


def _bytes(value, name):
    if isinstance(value, str):
        return value.encode("utf-8")
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    raise RequestError(f"`{name}`: expected a string or bytes, got {value!r}")


def _seconds(value):
    if isinstance(value, str):
        # Older versions of Python know neither `Z` nor more than six digits of a second.
        whole = value.split(".")[0].rstrip("Z")
        zone = value[max(value.rfind("+"), value.rfind("-", 11)) :] if value[19:].count(":") else "+00:00"
        value = datetime.datetime.fromisoformat(whole[:19] + zone).timestamp()
    return math.floor(value)


def from_json(value):
    """A request from a JSON object: strings stand for their UTF-8, and `{"hex": "c3a9"}` for bytes."""

    def decoded(value):
        if isinstance(value, dict) and list(value) == ["hex"]:
            return bytes.fromhex(value["hex"])
        return value

    if not isinstance(value, dict):
        raise RequestError(f"expected an object, got {value!r}")
    request = {key: decoded(item) for key, item in value.items()}
    if isinstance(request.get("headers"), list):
        request["headers"] = [(decoded(name), decoded(item)) for name, item in request["headers"]]
    return request


def from_record(record):
    """A request from an access record of the gateway, which leaves out query, headers and body."""
    request = {key: record[key] for key in ("method", "path", "time") if key in record}
    if record.get("status"):
        request["status"] = record["status"]
    return request
