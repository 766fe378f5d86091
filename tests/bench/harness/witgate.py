"""Witgate as a contender: plain, authentication and limit by the shipped plugins, and the cost of stages."""

import json

from .contender import IDENTITY_HEADER, KEY_HEADER, Contender
from .network import ADDRESS


def contenders(binary, plugins, guests):
    """Witgate's contenders.

    binary: the `witgate` to measure, of the `dist` profile; plugins, guests: directories of the components.
    """

    def with_stages(*stages):
        return lambda place: command(place, binary, plugins, guests, stages)

    def contender(case, name, stages=(), contracts=()):
        return Contender(case, name, frozenset(), with_stages(*stages), frozenset(contracts))

    return [
        contender("plain", "witgate"),
        contender("auth", "witgate Wasm", [auth], ["auth"]),
        contender("limit", "witgate Wasm", [rate_limit], ["limit"]),
        contender("stages", "witgate, no stage"),
        contender("stages", "witgate, empty plugin", [empty]),
        contender("stages", "witgate, shed + rate-limit + auth", [shed, rate_limit, auth], ["auth", "limit"]),
    ]


def auth(place):
    config = {"api_key_header": KEY_HEADER, "key_set": "customers", "identity_header": IDENTITY_HEADER}
    return ("auth", config, ["clock", "crypto:customers"], f'[key_sets.customers]\nfile = "{place.write_keys()}"')


def rate_limit(place):
    config = {"bucket": "per-client", "key": f"header:{KEY_HEADER}"}
    bucket = f'[buckets.per-client]\nrate = "{place.rate}/s"\nburst = {place.rate}'
    return ("rate_limit", config, ["limiter:per-client"], bucket)


def shed(_place):
    # Limits that this load does not reach: what is measured is the decision.
    scope = '[load.edge]\nin_flight_limit = 4096\ncpu_limit = "none"'
    return ("shed", {"scope": "edge"}, ["load:edge"], scope)


def empty(_place):
    return ("empty", {}, [], "")


def command(place, binary, plugins, guests, stages):
    """Writes a configuration with one proxy thread and these stages, and returns the command."""
    sections, entries = [], []
    for component, config, grants, resource in (stage(place) for stage in stages):
        directory = guests if component == "empty" else plugins
        name = component.replace("_", "-")
        sections += [f'[plugins.{name}]\npath = "{(directory / component).resolve()}.wasm"', resource]
        entries.append(f'{{ plugin = "{name}", config = {inline_table(config)}, grants = {json.dumps(grants)} }}')
    path = place.write(
        "gateway.toml",
        f"""
[[listeners]]
address = "{ADDRESS}:{place.port}"

[admin]
address = "{ADDRESS}:0"

[runtime]
threads = 1
plugin_cache = "{place.directory}/cache"

[access_log]
output = "off"

[upstreams.backend]
endpoints = ["{ADDRESS}:{place.upstream_port}"]

{chr(10).join(sections)}

[[routes]]
name = "all"
path_prefix = "/"
upstream = "backend"
stages = [{", ".join(entries)}]
""",
    )
    return [binary.resolve(), "run", "-c", path]


def inline_table(table):
    # A JSON string without escapes is a TOML string.
    return "{ " + ", ".join(f"{key} = {json.dumps(value)}" for key, value in table.items()) + " }" if table else "{}"
