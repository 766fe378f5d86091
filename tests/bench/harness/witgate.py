"""Witgate as a contender: plain, authentication and limit by the shipped plugins, and the cost of stages."""

import json

from . import redis
from .contender import IDENTITY_HEADER, KEY_HEADER, KEYS, Contender
from .network import ADDRESS


def contenders(product, binary, plugins, guests):
    """Witgate's contenders.

    product: what the build is called; binary: the `witgate` to measure, of the `dist` profile; plugins, guests:
    directories of the components.
    """

    def with_stages(*stages):
        return lambda place: command(place, binary, plugins, guests, stages)

    def contender(case, variant, stages=(), contracts=(), needs=frozenset()):
        return Contender(case, product + variant, needs, with_stages(*stages), frozenset(contracts))

    return [
        contender("plain", ""),
        contender("auth", " Wasm", [auth], ["auth"]),
        contender("auth", " Lua", [lua_auth], ["auth"]),
        contender("scripts", ""),
        contender("scripts", " Lua", [lua_auth], ["auth"]),
        contender("redis", " Lua", [lua_redis], ["redis"], redis.NEEDS),
        contender("limit", " Wasm", [rate_limit], ["limit"]),
        contender("stages", ", no stage"),
        contender("stages", ", empty plugin", [empty]),
        contender("stages", ", shed + rate-limit + auth", [shed, rate_limit, auth], ["auth", "limit"]),
    ]


def auth(place):
    config = {"api_key_header": KEY_HEADER, "key_set": "customers", "identity_header": IDENTITY_HEADER}
    return ("auth", config, ["clock", "crypto:customers"], f'[key_sets.customers]\nfile = "{place.write_keys()}"')


def lua_auth(place):
    """The same check as nginx's, as a script. A sandboxed script reads no files, so the keys are a module."""
    place.write("keys.lua", "".join(["return {\n", *(f'["{key}"] = "{name}",\n' for key, name in KEYS), "}\n"]))
    return script(
        f"""
        local key = ngx.var.http_{KEY_HEADER.replace("-", "_")}
        local identity = key and identities[key]
        if not identity then return ngx.exit(ngx.HTTP_UNAUTHORIZED) end
        ngx.req.set_header("{IDENTITY_HEADER}", identity)
        ngx.req.clear_header("{KEY_HEADER}")""",
        f"path = [\"{place.directory}\"]\ninit = \"identities = require 'keys'\"",
    )


def lua_redis(place):
    grants = f'grants = ["address:{ADDRESS}:{place.redis_port}"]'
    return script(redis.content_script(place), grants, phase="content")


def script(code, settings, phase="access"):
    vm = f"[lua.bench]\n{settings}"
    return '{ script = "bench" }', f"{vm}\n[scripts.bench]\nlua = \"bench\"\n{phase} = '''{code}'''"


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
    for stage in stages:
        made = stage(place)
        if len(made) == 2:
            entry, section = made
            entries.append(entry)
            sections.append(section)
            continue
        component, config, grants, resource = made
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
