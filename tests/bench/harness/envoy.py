"""Envoy as a contender: plain, authentication natively, in Lua and in Wasm, local rate limit.

The configurations are dictionaries: Envoy reads JSON.
"""

import json
import subprocess
from pathlib import Path

from .contender import IDENTITY_HEADER, KEY_HEADER, KEYS, Contender
from .network import ADDRESS

PROTOBUF = "type.googleapis.com"
HTTP_FILTERS = f"{PROTOBUF}/envoy.extensions.filters.http"
WASM_SOURCE = Path(__file__).with_name("envoy_auth.c")


def command(place, *filters):
    """Writes a configuration with these HTTP filters and one worker, and returns the command."""
    manager = {
        "@type": f"{PROTOBUF}/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "clients",
        "codec_type": "HTTP1",
        "generate_request_id": False,
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "upstream"}}],
                }
            ]
        },
        "http_filters": [*filters, http_filter("router", "router.v3.Router", suppress_envoy_headers=True)],
    }
    listener = {
        "name": "clients",
        "address": socket_address(place.port),
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }
    endpoint = {"endpoint": {"address": socket_address(place.upstream_port)}}
    cluster = {
        "name": "upstream",
        "type": "STATIC",
        "connect_timeout": "2s",
        # The defaults of 1024 are near enough to what a load can reach to matter.
        "circuit_breakers": {
            "thresholds": [{"max_connections": 4096, "max_requests": 4096, "max_pending_requests": 4096}]
        },
        "load_assignment": {"cluster_name": "upstream", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
    config = {"static_resources": {"listeners": [listener], "clusters": [cluster]}}
    path = place.write("envoy.json", json.dumps(config, indent=1))
    options = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]
    return [place.programs["envoy"], "-c", path, *options]


def socket_address(port):
    return {"socket_address": {"address": ADDRESS, "port_value": port}}


def http_filter(name, message, **fields):
    return {"name": f"envoy.filters.http.{name}", "typed_config": {"@type": f"{HTTP_FILTERS}.{message}", **fields}}


def plain(place):
    return command(place)


def native(place):
    return command(
        place,
        http_filter(
            "api_key_auth",
            "api_key_auth.v3.ApiKeyAuth",
            key_sources=[{"header": KEY_HEADER}],
            forwarding={"header": IDENTITY_HEADER, "hide_credentials": True},
            credentials=[{"key": key, "client": identity} for key, identity in KEYS],
        ),
    )


def lua(place):
    script = f"""
        local identities = {{}}
        for line in io.lines("{place.write_keys()}") do
            local key, identity = line:match("^(%S+) (%S+)$")
            identities[key] = identity
        end
        function envoy_on_request(handle)
            local headers = handle:headers()
            local key = headers:get("{KEY_HEADER}")
            local identity = key and identities[key]
            if not identity then
                handle:respond({{ [":status"] = "401" }}, "")
                return
            end
            headers:replace("{IDENTITY_HEADER}", identity)
            headers:remove("{KEY_HEADER}")
        end"""
    return command(place, http_filter("lua", "lua.v3.Lua", default_source_code={"inline_string": script}))


def wasm(place):
    module = place.directory / "auth.wasm"
    compile_wasm(place.programs["clang"], module)
    vm = {"runtime": "envoy.wasm.runtime.v8", "code": {"local": {"filename": str(module)}}}
    key_set = place.write_keys().read_text()
    configuration = {"@type": f"{PROTOBUF}/google.protobuf.StringValue", "value": key_set}
    return command(
        place,
        http_filter("wasm", "wasm.v3.Wasm", config={"name": "auth", "vm_config": vm, "configuration": configuration}),
    )


def compile_wasm(clang, module):
    """A module of the proxy-wasm ABI, optimised, without any library."""
    options = ["--target=wasm32", "-O2", "-nostdlib", "-fno-builtin", "-Wall", "-Werror", "-Wl,--no-entry"]
    subprocess.run([clang, *options, "-o", module, WASM_SOURCE], check=True)


def limit(place):
    def bucket(tokens):
        return {"max_tokens": tokens, "tokens_per_fill": tokens, "fill_interval": "1s"}

    always = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
    return command(
        place,
        http_filter(
            "local_ratelimit",
            "local_ratelimit.v3.LocalRateLimit",
            stat_prefix="limit",
            filter_enabled=always,
            filter_enforced=always,
            # For requests without a descriptor, that is, without a key; there are none.
            token_bucket=bucket(1_000_000_000),
            # A descriptor without a value stands for each value that comes: one bucket for each client.
            max_dynamic_descriptors=10_000,
            rate_limits=[{"actions": [{"request_headers": {"header_name": KEY_HEADER, "descriptor_key": "client"}}]}],
            descriptors=[{"entries": [{"key": "client"}], "token_bucket": bucket(place.rate)}],
        ),
    )


NEEDS = frozenset({"envoy"})
CONTENDERS = [
    Contender("plain", "envoy", NEEDS, plain),
    Contender("auth", "envoy native", NEEDS, native, frozenset({"auth"})),
    Contender("auth", "envoy Lua", NEEDS, lua, frozenset({"auth"})),
    Contender("auth", "envoy Wasm (V8)", NEEDS | {"clang", "wasm-ld"}, wasm, frozenset({"auth"})),
    Contender("limit", "envoy local_ratelimit", NEEDS, limit, frozenset({"limit"})),
]
