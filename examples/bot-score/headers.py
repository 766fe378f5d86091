"""Header fields as clients send them: recorded on this machine, drawn by the shares of real ones, changed by rules.

A set of fields is a dict with names in lower case. Only the fields in `LOOKED_AT` are kept: most others say who asks
for what, not with which program, and `te` and `priority` tell more of the protocol, as browsers send them by HTTP/2 alone.
"""

import asyncio
import functools
import http.server
import io
import re
import threading
import urllib.request

LOOKED_AT = {
    "accept",
    "accept-encoding",
    "accept-language",
    "dnt",
    "from",
    "sec-ch-ua",
    "sec-ch-ua-mobile",
    "sec-ch-ua-platform",
    "sec-fetch-dest",
    "sec-fetch-mode",
    "sec-fetch-site",
    "sec-fetch-user",
    "upgrade-insecure-requests",
    "user-agent",
}


def kept(fields):
    return {name.lower(): value for name, value in fields if name.lower() in LOOKED_AT}


class Recorder:
    """A server on this machine that notes what it is asked with."""

    def __enter__(self):
        seen = self.seen = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                seen.append(kept(self.headers.items()))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def of(self, client):
        self.seen.clear()
        client(self.url)
        return self.seen[-1]


def libraries_for_training():
    import httplib2
    import httpx
    import requests
    import urllib3

    clients = [
        urllib.request.urlopen,
        requests.get,
        httpx.get,
        lambda url: urllib3.request("GET", url),
        lambda url: httplib2.Http().request(url),
    ]
    with Recorder() as recorder:
        sets = [recorder.of(client) for client in clients]
    # The same on every machine.
    sets[0]["user-agent"] = "Python-urllib/3.11"
    return sets


def libraries_held_out():
    import aiohttp
    import curl_cffi
    import pycurl
    import tornado.httpclient

    async def by_aiohttp(url):
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            await response.read()

    async def by_tornado(url):
        await tornado.httpclient.AsyncHTTPClient().fetch(url)

    def by_pycurl(url):
        curl = pycurl.Curl()
        curl.setopt(curl.URL, url)
        curl.setopt(curl.WRITEDATA, io.BytesIO())
        curl.perform()
        curl.close()

    clients = [
        lambda url: asyncio.run(by_aiohttp(url)),
        lambda url: asyncio.run(by_tornado(url)),
        by_pycurl,
        curl_cffi.get,
    ]
    with Recorder() as recorder:
        return [recorder.of(client) for client in clients]


def browsers_held_out():
    """What the makers of curl-impersonate have recorded of browsers, for programs that want to pass for one."""
    import curl_cffi
    from curl_cffi.requests import BrowserType

    sets = []
    with Recorder() as recorder:
        for browser in sorted(browser.value for browser in BrowserType):
            fields = recorder.of(lambda url, browser=browser: curl_cffi.get(url, impersonate=browser))
            # Two of them are recorded of a script's request.
            if fields not in sets and fields.get("sec-fetch-dest", "document") == "document":
                sets.append(fields)
    return sets


class Network:
    """Apify's networks of what browsers were seen to send: each field depends on a few others.

    They leave out what depends on more than the browser, the language and the place in a page; that is put in by rules.
    """

    def __init__(self, inputs, fields):
        self.nodes = [inputs["nodes"], fields["nodes"]]

    def draw(self, random_):
        """A set of fields."""
        known = {}
        for nodes in self.nodes:
            for node in nodes:
                if node["name"] not in known:
                    shares = node["conditionalProbabilities"]
                    for parent in node["parentNames"]:
                        shares = shares.get("deeper", {}).get(known[parent], shares.get("skip", {}))
                    # Not seen together: a field that is not there.
                    known[node["name"]] = _drawn(random_, shares) if shares else MISSING
        fields = kept((name, value) for name, value in known.items() if value != MISSING)
        return _completed(random_, fields)


MISSING = "*MISSING_VALUE*"


def _drawn(random_, shares):
    return random_.choices(list(shares), weights=list(shares.values()))[0]


def _completed(random_, fields):
    name, version = engine(fields.get("user-agent", ""))
    first = random_.choice("en-US en-US en-GB de-DE de fr-FR fr es-ES pt-BR it-IT ja pl".split())
    short = first.split("-")[0]
    others = [first] if short == first else [first, short]
    others += random_.choice([[], [], ["en"] if short != "en" else [], ["en-US", "en"] if short != "en" else []])
    # Firefox spreads the weights from 1 to 0, the others have steps of 0.1.
    step = 1 / len(others) if name == "firefox" else 0.1
    weights = [f"{1 - step * index:.1f}" for index in range(len(others))]
    fields["accept-language"] = ",".join(
        other if not index else f"{other};q={weight}" for index, (other, weight) in enumerate(zip(others, weights))
    )
    if version >= FETCH_SINCE.get(name, 9999):
        fields |= {"sec-fetch-site": "none", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
        if name != "safari":
            fields["sec-fetch-user"] = "?1"
    return fields


# Major versions that began to send fields: client hints, `sec-fetch-…`, and `zstd` in Accept-Encoding.
HINTS_SINCE = {"chromium": 89}
FETCH_SINCE = {"chromium": 80, "firefox": 90, "safari": 16}
ZSTD_SINCE = {"chromium": 123, "firefox": 126}


# The form of a request for each use, by the Fetch standard and what browsers put into Accept.
ANY = "*/*"
USES = {
    "fetch": (ANY, "empty", "cors"),
    "json": ("application/json, text/plain, */*", "empty", "cors"),
    "script": (ANY, "script", "no-cors"),
    "style": ("text/css,*/*;q=0.1", "style", "no-cors"),
    "image": (None, "image", "no-cors"),
    "font": (ANY, "font", "cors"),
}
IMAGES = {
    "chromium": "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8",
    "firefox": "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5",
    "safari": "image/webp,image/avif,image/jxl,image/heic,image/heic-sequence,video/*;q=0.8,image/png,image/svg+xml,"
    "image/*;q=0.8,*/*;q=0.5",
    "other": "image/png,image/*;q=0.8,*/*;q=0.5",
}


@functools.cache
def engine(agent):
    """The engine that a browser has, and its major version; ("other", 0) of old and rare ones."""
    for name, pattern in (
        ("chromium", r"Chrom(?:e|ium)/(\d+)"),
        ("firefox", r"(?<!like )Gecko/.*Firefox/(\d+)"),
        # Everything on an iPhone or iPad; not of Android, whose first browser said Version, too.
        ("safari", r"(?:iPhone|iPad|iPod).*? OS (\d+)_|Macintosh.* Version/(\d+)"),
    ):
        if found := re.search(pattern, agent):
            return name, int(next(group for group in found.groups() if group))
    return "other", 0


def used_for(fields, use, same_site):
    """The set of a page's request, as the same browser sends it for something in a page."""
    accept, dest, mode = USES[use]
    changed = {name: value for name, value in fields.items() if name not in PAGES_ALONE}
    changed["accept"] = accept or IMAGES[engine(fields.get("user-agent", ""))[0]]
    if "sec-fetch-dest" in fields:
        changed |= {"sec-fetch-dest": dest, "sec-fetch-mode": mode, "sec-fetch-site": same_site}
    return changed


PAGES_ALONE = {"upgrade-insecure-requests", "sec-fetch-user"}


def without_tls(fields):
    """Browsers tell these only to servers that they trust: by HTTPS, or on the same machine."""
    return _without(fields, "sec-") | {"accept-encoding": "gzip, deflate"}


def by_engine(sets):
    """What `dressed` takes."""
    groups = {}
    for fields in sets:
        groups.setdefault(engine(fields.get("user-agent", ""))[0], []).append(fields)
    return groups


def dressed(random_, agent, groups):
    """A browser's set for a user agent of which nothing else is known: that of one with the same engine, without what
    its version did not have yet."""
    name, version = engine(agent)
    if name not in groups or name == "other":
        return {
            "user-agent": agent,
            "accept": random_.choice([ANY, "text/html, application/xhtml+xml, */*"]),
            "accept-language": random_.choice(["en-US", "en-us,en;q=0.5", "de-DE,de;q=0.9,en;q=0.8", "fr"]),
            "accept-encoding": "gzip, deflate",
        }
    fields = random_.choice(groups[name]) | {"user-agent": agent}
    # Programs that show pages within themselves often send no client hints.
    if version < HINTS_SINCE.get(name, 9999) or ("; wv)" in agent and random_.random() < 0.5):
        fields = _without(fields, "sec-ch-")
    elif "sec-ch-ua" in fields:
        fields["sec-ch-ua"] = re.sub(r'(?<=v=")\d{3}(?=")', str(version), fields["sec-ch-ua"])
        fields["sec-ch-ua-mobile"] = "?1" if "Mobile" in agent else "?0"
    if version < FETCH_SINCE.get(name, 9999):
        fields = _without(fields, "sec-fetch-")
    if version < ZSTD_SINCE.get(name, 9999):
        fields["accept-encoding"] = "gzip, deflate, br"
    return fields


def _without(fields, start):
    return {name: value for name, value in fields.items() if not name.startswith(start)}


def borrowed(random_, library, fields):
    """A library's set with a few fields of a browser's: a program that passes for one, made in a minute."""
    some = random_.sample(["accept", "accept-language", "upgrade-insecure-requests"], random_.choice([1, 1, 2]))
    return library | {name: fields[name] for name in some if name in fields}
