#!/bin/sh
# In OpenResty a header_filter_by_lua that calls ngx.exit runs twice for that response, over a head that has been emptied.
#
# Seen with libnginx-mod-http-lua 0.10.23 and nginx 1.22.1 (Debian 12).
#
# From memory: `ngx.exit(302)` in a header filter ends the filter and sends what has been made of the head so far with that
# status.
# Seen: nginx makes a page for the status, takes all fields off, and sends it through the filters from their start; so the
# same code runs again, with `ngx.status` 302 and none of the response's fields. What it sets regardless is there in the end
# because the second run sets it. Under a condition on the response (its status, a field of the upstream's), the second run
# does not: a redirect goes out without `Location`. And whatever it counts is counted twice.
#
# Why a gateway cares: code such as "where the upstream says 200 and a cookie is missing, redirect to the login" looks
# right, and passes a test that looks at the status. Witgate runs such code as it is, and shows the filter its own page, too
# (gateway/script/src/run.rs, `filter_head`); snippets that compare both are in tests/suites/lua_nginx/filters.txt.
#
# Prints, and exits with 1 where that changes:
#   always: 302, Location '/login', X-From '', 2 runs
#   if 200: 302, Location '', X-From '', 2 runs
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. "$(dirname "$0")/debian-nginx.inc"
serve 'lua_shared_dict runs 100k;' '
    location = / { return 204; }
    location = /runs { content_by_lua_block { ngx.print(ngx.shared.runs:get(ngx.var.arg_of)) } }
    location = /always {
        content_by_lua_block { ngx.header["X-From"] = "content" ngx.say("content") }
        header_filter_by_lua_block {
            ngx.shared.runs:incr("always", 1, 0)
            ngx.header.Location = "/login"
            return ngx.exit(302)
        }
    }
    location = /conditional {
        content_by_lua_block { ngx.header["X-From"] = "content" ngx.say("content") }
        header_filter_by_lua_block {
            ngx.shared.runs:incr("conditional", 1, 0)
            if ngx.status == 200 then
                ngx.header.Location = "/login"
                return ngx.exit(302)
            end
        }
    }'
# tell WHAT NAME
tell() {
    ask --dump-header "$work/head" --output /dev/null "http://nginx/$2"
    field() { tr -d '\r' <"$work/head" | sed -n "s/^$1: //p"; }
    status=$(sed -n '1s/^[^ ]* \([0-9]*\).*/\1/p' "$work/head")
    echo "$1: $status, Location '$(field Location)', X-From '$(field X-From)', $(ask "http://nginx/runs?of=$2") runs"
}
{
    tell always always
    tell 'if 200' conditional
} >"$work/seen"
cat "$work/seen"
cat >"$work/expected" <<'TEXT'
always: 302, Location '/login', X-From '', 2 runs
if 200: 302, Location '', X-From '', 2 runs
TEXT
cmp -s "$work/seen" "$work/expected"
