"""nginx as a contender: plain, authentication in Lua, limit_req."""

import os
import pwd

from . import redis
from .contender import IDENTITY_HEADER, KEY_HEADER, Contender
from .network import ADDRESS

KEY_VARIABLE = f"http_{KEY_HEADER.replace('-', '_')}"


def command(place, server, top="", http=""):
    """Writes a configuration with one worker and one server, and returns the command.

    Connections, to clients and to upstreams, are never closed for their age. Files that nginx would keep under /var are
    in the place's directory, so that it runs for any user.
    """
    scratch = "".join(
        f"{kind}_temp_path {place.directory}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    # Started by root, workers would become a user that cannot read the directory.
    user = f"user {pwd.getpwuid(0).pw_name};" if os.geteuid() == 0 else ""
    path = place.write(
        "nginx.conf",
        f"""
        daemon off; worker_processes 1; pid {place.directory}/nginx.pid; error_log stderr warn; {user}
        {top}
        events {{ worker_connections 4096; }}
        http {{
            access_log off; server_tokens off; tcp_nodelay on; {scratch}
            keepalive_timeout 300s; keepalive_requests 1000000000;
            upstream backend {{
                server {ADDRESS}:{place.upstream_port};
                keepalive 256; keepalive_requests 1000000000; keepalive_timeout 300s;
            }}
            {http}
            server {{
                listen {ADDRESS}:{place.port} backlog=1024;
                {server}
            }}
        }}
        """,
    )
    return [place.programs["nginx"], "-p", place.directory, "-e", "stderr", "-c", path]


def location(rules=""):
    forward = 'proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection "";'
    return f"location / {{ {rules} {forward} }}"


def plain(place):
    return command(place, location())


def lua_modules(place):
    modules = place.programs["nginx-lua"].parent
    return "".join(f"load_module {modules}/{name}.so;" for name in ("ndk_http_module", "ngx_http_lua_module"))


def lua_redis(place):
    script = redis.content_script(place)
    return command(place, top=lua_modules(place), server=f"location / {{ content_by_lua_block {{{script}}} }}")


def lua(place):
    return command(
        place,
        top=lua_modules(place),
        http=f"""
            init_by_lua_block {{
                identities = {{}}
                for line in io.lines("{place.write_keys()}") do
                    local key, identity = line:match("^(%S+) (%S+)$")
                    identities[key] = identity
                end
            }}""",
        server=location(
            f"""
            access_by_lua_block {{
                local key = ngx.var.{KEY_VARIABLE}
                local identity = key and identities[key]
                if not identity then return ngx.exit(ngx.HTTP_UNAUTHORIZED) end
                ngx.req.set_header("{IDENTITY_HEADER}", identity)
                ngx.req.clear_header("{KEY_HEADER}")
            }}"""
        ),
    )


def limit(place):
    return command(
        place,
        http=f"limit_req_zone ${KEY_VARIABLE} zone=clients:10m rate={place.rate}r/s;",
        server=location(f"limit_req zone=clients burst={place.rate} nodelay; limit_req_status 429;"),
    )


CONTENDERS = [
    Contender("plain", "nginx", frozenset({"nginx"}), plain),
    Contender("auth", "nginx Lua", frozenset({"nginx", "nginx-lua"}), lua, frozenset({"auth"})),
    Contender("scripts", "nginx", frozenset({"nginx"}), plain),
    Contender("scripts", "nginx Lua", frozenset({"nginx", "nginx-lua"}), lua, frozenset({"auth"})),
    Contender("redis", "nginx Lua", frozenset({"nginx", "nginx-lua"}) | redis.NEEDS, lua_redis, frozenset({"redis"})),
    Contender("limit", "nginx limit_req", frozenset({"nginx"}), limit, frozenset({"limit"})),
]
