"""A first Witgate plugin in Python.

It lets requests with a known API key pass, tells the upstream who calls, and counts the calls of each consumer:

    authorization: Bearer KEY   ->   x-consumer: NAME
                                     x-count: 1, 2, 3 …

`wit_world` is generated from wit/world.wit; docs/plugins/python.md tells how to build this.
"""

import hmac
import json

from wit_world import exports
from wit_world.exports.lifecycle import BodyMode, Description, Interest
from wit_world.exports.on_request_headers import Action, Action_Continue, Action_Refuse
from wit_world.imports import kv
from wit_world.imports.http import ErrorCode, Field, FieldOp_Remove, FieldOp_Set, Refusal, Request

# Checked by the gateway before `configure` runs. A key is what may follow `Bearer` (RFC 6750, section 2.1).
CONFIG_SCHEMA = {
    "type": "object",
    "properties": {
        "keys": {
            "description": "Name of each consumer and the key that it sends.",
            "type": "object",
            "minProperties": 1,
            "propertyNames": {"pattern": "^[a-z0-9_-]{1,64}$"},
            "additionalProperties": {"type": "string", "pattern": "^[A-Za-z0-9._~+/=-]{8,256}$"},
        },
    },
    "required": ["keys"],
    "additionalProperties": False,
}

SCHEME = b"bearer "

UNAUTHENTICATED = Refusal(
    ErrorCode.UNAUTHENTICATED,
    message="Send a known key: `authorization: Bearer KEY`.",
    fields=[Field("www-authenticate", b"Bearer")],
    retry_after_ms=None,
)

# Name of each consumer and its key. Set once in each instance; an instance then serves many requests.
consumers: dict[str, bytes] = {}


class Lifecycle(exports.Lifecycle):
    def describe(self) -> Description:
        return Description(
            name="first-plugin-python",
            version="0.1.0",
            summary="Lets known API keys pass and counts their requests",
            config_schema=json.dumps(CONFIG_SCHEMA),
        )

    def configure(self, config: str) -> Interest:
        """To refuse a configuration, raise `componentize_py_types.Err("why")`: the operator sees it."""
        consumers.update((name, key.encode()) for name, key in json.loads(config)["keys"].items())
        return Interest(BodyMode.NONE, BodyMode.NONE)


class OnRequestHeaders(exports.OnRequestHeaders):
    def handle(self, req: Request, end_of_stream: bool) -> Action:
        consumer = authenticate(req.get("authorization"))
        if consumer is None:
            return Action_Refuse(UNAUTHENTICATED)
        # Atomic: every instance of the plugin counts in the same place. If `incr` fails it raises, and so does this
        # hook: the client then gets 500, unless the stage says `on_trap = "skip"`.
        count = kv.incr(f"count:{consumer}", 1, None)
        req.apply(
            [
                FieldOp_Remove("authorization"),
                FieldOp_Set(Field("x-consumer", consumer.encode())),
                FieldOp_Set(Field("x-count", str(count).encode())),
            ]
        )
        return Action_Continue()


def authenticate(authorization: bytes | None) -> str | None:
    """The consumer that the value of an `authorization` header stands for, if any."""
    # Schemes are case-insensitive (RFC 9110, section 11.1).
    if authorization is None or authorization[: len(SCHEME)].lower() != SCHEME:
        return None
    credential = authorization[len(SCHEME) :]
    # In constant time, and every key is compared: the time tells neither how much of a key was right nor which.
    found = [name for name, key in consumers.items() if hmac.compare_digest(key, credential)]
    return found[0] if found else None
