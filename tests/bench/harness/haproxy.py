"""HAProxy as a contender: plain, authentication by map and in Lua, stick table."""

from .contender import IDENTITY_HEADER, KEY_HEADER, Contender
from .network import ADDRESS


def command(place, rules="", top="", sections=""):
    """Writes a configuration with one thread and one frontend, and returns the command."""
    path = place.write(
        "haproxy.cfg",
        f"""
global
    nbthread 1
    maxconn 8000
    {top}
defaults
    mode http
    option http-keep-alive
    http-reuse always
    timeout connect 2s
    timeout client 300s
    timeout http-keep-alive 300s
    timeout server 30s
frontend clients
    bind {ADDRESS}:{place.port}
    {rules}
    default_backend upstream
backend upstream
    server one {ADDRESS}:{place.upstream_port} pool-max-conn 512
{sections}
""",
    )
    return [place.programs["haproxy"], "-db", "-f", path]


def plain(place):
    return command(place)


def by_map(place):
    identity = f"req.hdr({KEY_HEADER}),map_str({place.write_keys()})"
    return command(
        place,
        f"""
    acl known {identity} -m found
    http-request deny deny_status 401 unless known
    http-request set-header {IDENTITY_HEADER} %[{identity}]
    http-request del-header {KEY_HEADER}""",
    )


def lua(place):
    script = place.write(
        "auth.lua",
        f"""
local identities = {{}}
for line in io.lines("{place.write_keys()}") do
    local key, identity = line:match("^(%S+) (%S+)$")
    identities[key] = identity
end
core.register_action("identify", {{ "http-req" }}, function(txn)
    local key = txn.sf:req_hdr("{KEY_HEADER}")
    local identity = key and identities[key]
    if not identity then
        txn:done(txn:reply({{ status = 401 }}))
    end
    txn.http:req_set_header("{IDENTITY_HEADER}", identity)
    txn.http:req_del_header("{KEY_HEADER}")
end)
""",
    )
    return command(place, "http-request lua.identify", top=f"lua-load {script}")


def limit(place):
    return command(
        place,
        f"""
    http-request track-sc0 hdr({KEY_HEADER}) table rates
    http-request deny deny_status 429 if {{ sc_http_req_rate(0,rates) gt {place.rate} }}""",
        sections="""
backend rates
    stick-table type string len 64 size 100k expire 60s store http_req_rate(1s)""",
    )


NEEDS = frozenset({"haproxy"})
CONTENDERS = [
    Contender("plain", "haproxy", NEEDS, plain),
    Contender("auth", "haproxy map", NEEDS, by_map, frozenset({"auth"})),
    Contender("auth", "haproxy Lua", NEEDS, lua, frozenset({"auth"})),
    Contender("limit", "haproxy stick table", NEEDS, limit, frozenset({"limit"})),
]
