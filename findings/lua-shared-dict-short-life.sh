#!/bin/sh
# In OpenResty a shared dictionary keeps for ever what was to be kept for less than a millisecond.
#
# Seen with libnginx-mod-http-lua 0.10.23, lua-resty-core 0.1.25 and nginx 1.22.1 (Debian 12).
#
# From memory: the lifetime is in seconds, down to a millisecond; a shorter one is over at once, or rounded up to one.
# Seen: it is multiplied by 1000 and cut to a whole number, and 0 stands for "does not expire". So `set(key, value, 0.0009)`
# is there for good, and its `ttl` is 0; the same holds for the `init_ttl` of `incr`, and `expire(key, 0.0009)` takes away
# the lifetime of an entry that had one. 0.001 expires.
#
# Why a gateway cares: lifetimes are often what is left of something (`expiry - ngx.now()` of a token, of a window of a rate
# limit, of a lock), and now and then less than a millisecond is left: then a cached answer, a block or a lock never goes.
# Witgate's dictionary does the same with the same code (gateway/script/src/api/shared.rs, `milliseconds`).
#
# Prints, and exits with 1 where that changes (50 ms after the entries were made):
#   set for 0.001: nil, ttl nil
#   set for 0.0009: 1, ttl 0
#   incr with 0.0009: 1, ttl 0
#   set for 0.01, then expire in 0.0009: 1, ttl 0
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. "$(dirname "$0")/debian-nginx.inc"
serve 'lua_shared_dict short 100k;' '
    location = / { return 204; }
    location = /lives {
        content_by_lua_block {
            local short = ngx.shared.short
            short:set("whole", 1, 0.001)
            short:set("part", 1, 0.0009)
            short:incr("sum", 1, 0, 0.0009)
            short:set("changed", 1, 0.01)
            short:expire("changed", 0.0009)
            ngx.sleep(0.05)
            local function tell(what, key)
                local value = short:get(key)
                ngx.say(what, ": ", tostring(value), ", ttl ", tostring(value and short:ttl(key)))
            end
            tell("set for 0.001", "whole")
            tell("set for 0.0009", "part")
            tell("incr with 0.0009", "sum")
            tell("set for 0.01, then expire in 0.0009", "changed")
        }
    }'
ask http://nginx/lives >"$work/seen"
cat "$work/seen"
cat >"$work/expected" <<'TEXT'
set for 0.001: nil, ttl nil
set for 0.0009: 1, ttl 0
incr with 0.0009: 1, ttl 0
set for 0.01, then expire in 0.0009: 1, ttl 0
TEXT
cmp -s "$work/seen" "$work/expected"
