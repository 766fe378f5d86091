"""A Witgate plugin that settles which version of an API a request is for:

    no x-api-version       ->   x-api-version: the first of the configured versions
    a configured version   ->   passes
    anything else          ->   refused

`wit_world` is generated from wit/world.wit. For completion and type checks in an editor, write it out:
`componentize-py --wit-path wit --world guest bindings .`
"""

import json

from wit_world import exports
from wit_world.exports.lifecycle import BodyMode, Description, Interest
from wit_world.exports.on_request_headers import Action, Action_Continue, Action_Refuse
from wit_world.imports.http import ErrorCode, Refusal, Request

HEADER = "x-api-version"

# Checked by the gateway before `configure` runs.
CONFIG_SCHEMA = {
    "type": "object",
    "properties": {
        "versions": {
            "description": "Versions that the upstream serves; requests that name none get the first.",
            "type": "array",
            "items": {"type": "string", "pattern": "^[A-Za-z0-9.-]{1,32}$"},
            "minItems": 1,
            "maxItems": 16,
        },
    },
    "required": ["versions"],
    "additionalProperties": False,
}

UNSERVED = Refusal(
    ErrorCode.INVALID_REQUEST,
    message=f"Ask for a version that is served, or leave `{HEADER}` out.",
    fields=[],
    retry_after_ms=None,
)

# Set once in each instance; an instance then serves many requests.
versions: list[bytes] = []


class Lifecycle(exports.Lifecycle):
    def describe(self) -> Description:
        return Description(
            name="{{name}}",
            version="0.1.0",
            summary="Settles which version of the API a request is for",
            config_schema=json.dumps(CONFIG_SCHEMA),
        )

    def configure(self, config: str) -> Interest:
        """To refuse a configuration, raise `componentize_py_types.Err("why")`: the operator sees it."""
        versions.extend(version.encode() for version in json.loads(config)["versions"])
        return Interest(BodyMode.NONE, BodyMode.NONE)


class OnRequestHeaders(exports.OnRequestHeaders):
    def handle(self, req: Request, end_of_stream: bool) -> Action:
        version = settle(req.get(HEADER))
        if version is None:
            return Action_Refuse(UNSERVED)
        # In any case: of several fields the upstream gets the one that was checked.
        req.set(HEADER, version)
        return Action_Continue()


def settle(asked: bytes | None) -> bytes | None:
    """The version that a request is for, if it is served."""
    if asked is None:
        return versions[0]
    return asked if asked in versions else None
