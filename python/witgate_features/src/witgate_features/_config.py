"""Reads [features.NAME], and refuses what the gateway refuses."""

import re

try:
    import tomllib
except ModuleNotFoundError:
    import tomli as tomllib

from ._extract import Feature, FeatureSet, Text

WIDTH_LIMIT = 4096
WORDS_LIMIT = 256
WORD_LIMIT = 256
CHARACTERS_LIMIT = 128
POINTER_LIMIT = 1024
DECIMAL_LIMIT = 1e9

TRANSFORMS = ("clip", "log1p", "scale")
PARTS = ("path", "query", "path-and-query", "cookie", "body")
CLASSES = ("digit", "lower", "upper", "letter", "punctuation", "space", "control", "non-ascii", "escape")

HEADER = re.compile(r"header:([!#$%&'*+\-.^_`|~0-9a-z]{1,64})")
NAME = re.compile(r"[a-z0-9_-]{1,64}")

# The options that go with each kind besides the transformations.
OPTIONS = {
    "length": ("decode", "lower"),
    "tokens": ("decode", "lower", "separators"),
    "longest": ("decode", "lower", "separators"),
    "characters": ("decode", "lower", "class", "set", "share"),
    "entropy": ("decode", "lower"),
    "present": (),
    "equals": ("decode", "lower", "words"),
    "method": (),
    "ngrams": ("decode", "lower", "size", "buckets", "weight"),
    "bytes": ("decode", "lower", "width", "pad"),
    "number": ("default",),
    "json": ("default",),
    "time": (),
    "rate": ("default",),
    "status": (),
}


class ConfigError(ValueError):
    """The section is not there, or the gateway would refuse it."""


def load(file, name):
    """The feature set [features.NAME] of a gateway.toml."""
    with open(file, "rb") as opened:
        text = opened.read()
    try:
        return loads(text.decode("utf-8"), name)
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from None


def loads(text, name):
    """The feature set [features.NAME] of a configuration's text."""
    try:
        sections = tomllib.loads(text).get("features", {})
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"invalid TOML: {error}") from None
    if not isinstance(sections, dict) or name not in sections:
        known = ", ".join(sections) if isinstance(sections, dict) and sections else "none"
        raise ConfigError(f"expected a section [features.{name}]; there are: {known}")
    if not NAME.fullmatch(name):
        raise ConfigError(f"features.{name}: expected a name of 1 to 64 lower-case letters, digits, `-` and `_`")
    section = sections[name]
    where = f"features.{name}"
    _refuse_unknown(section, where, ("values",))
    values = section.get("values", [])
    if not isinstance(values, list):
        raise ConfigError(f"{where}.values: expected a list of tables, got {_shown(values)}")
    features = [_feature(value, f"{where}.values[{index}]") for index, value in enumerate(values)]
    width = sum(feature.width for feature in features)
    if not 1 <= width <= WIDTH_LIMIT:
        raise ConfigError(f"{where}.values: expected 1 to {WIDTH_LIMIT} numbers in all, got {width}")
    return FeatureSet(features)


def _shown(value):
    if isinstance(value, dict):
        return "a table"
    return f"an array of {len(value)}" if isinstance(value, list) else repr(value)


def _refuse_unknown(table, where, known):
    if not isinstance(table, dict):
        raise ConfigError(f"{where}: expected a table, got {_shown(table)}")
    for key in table:
        if key not in known:
            raise ConfigError(f"{where}: unknown key `{key}`: expected one of {', '.join(known)}")


def _feature(table, where):
    every = {option for options in OPTIONS.values() for option in options}
    _refuse_unknown(table, where, (*OPTIONS, *sorted(every), *TRANSFORMS))
    kinds = [kind for kind in OPTIONS if kind in table]
    if len(kinds) != 1:
        got = " and ".join(kinds) if kinds else "none"
        raise ConfigError(f"{where}: expected exactly one of {', '.join(OPTIONS)}, got {got}")
    kind = kinds[0]
    for option in table:
        if option != kind and option not in OPTIONS[kind] and option not in TRANSFORMS:
            raise ConfigError(f"{where}.{option}: `{option}` does not go with `{kind}`")

    def read(key, check, default):
        return check(table[key], f"{where}.{key}") if key in table else default

    def needed(key, check):
        if key not in table:
            raise ConfigError(f"{where}: missing: `{kind}` needs `{key}`")
        return check(table[key], f"{where}.{key}")

    clip, log1p, scale = read("clip", _bounds, None), read("log1p", _switch, False), read("scale", _factor, None)
    feature = Feature(kind=kind, clip=clip, log1p=log1p, scale=scale)
    if kind == "method":
        feature.words = needed("method", _words)
    elif kind == "json":
        feature.pointer = needed("json", _pointer)
    elif kind == "time":
        feature.of = needed("time", _choice("hour", "weekday", "day-sine", "day-cosine"))
    elif kind == "rate":
        feature.of = needed("rate", _choice("client"))
    elif kind == "status":
        feature.of = needed("status", _choice("code", "class"))
    else:
        part = needed(kind, _part)
        feature.text = Text(part, read("decode", _whole(0, 2), 0), read("lower", _switch, False))
    if kind in ("tokens", "longest"):
        feature.separators = needed("separators", _characters)
    elif kind == "characters":
        if ("class" in table) == ("set" in table):
            raise ConfigError(f"{where}: expected `class` or `set` with `characters`, and not both")
        feature.character_class = read("class", _choice(*CLASSES), None)
        feature.set = read("set", _characters, None)
        feature.share = read("share", _switch, False)
    elif kind == "equals":
        feature.words = needed("words", _words)
    elif kind == "ngrams":
        feature.size = read("size", _whole(1, 5), 3)
        feature.buckets = read("buckets", _whole(1, WIDTH_LIMIT), 256)
        feature.weight = read("weight", _choice("count", "binary", "share", "l2"), "count")
    elif kind == "bytes":
        feature.byte_width = read("width", _whole(1, WIDTH_LIMIT), 256)
        feature.pad = read("pad", _whole(0, 256), 0)
    feature.default = read("default", _decimal, 0.0)
    return feature


def _part(value, where):
    if isinstance(value, str):
        if value in PARTS:
            return "header:cookie" if value == "cookie" else value
        if HEADER.fullmatch(value):
            return value
    parts = ", ".join(f'"{part}"' for part in (*PARTS, "header:NAME"))
    raise ConfigError(f"{where}: expected a part of requests, one of {parts} (in lower case), got {_shown(value)}")


def _switch(value, where):
    if not isinstance(value, bool):
        raise ConfigError(f"{where}: expected `true` or `false`, got {_shown(value)}")
    return value


def _whole(least, most):
    def check(value, where):
        if type(value) is not int or not least <= value <= most:
            raise ConfigError(f"{where}: expected a whole number from {least} to {most}, got {_shown(value)}")
        return value

    return check


def _choice(*words):
    def check(value, where):
        if not isinstance(value, str) or value not in words:
            raise ConfigError(f"{where}: expected one of {', '.join(words)}, got {_shown(value)}")
        return value

    return check


def _decimal(value, where):
    if type(value) not in (int, float) or not abs(value) <= DECIMAL_LIMIT:
        raise ConfigError(f"{where}: expected a number from -1000000000 to 1000000000, got {_shown(value)}")
    return float(value)


def _factor(value, where):
    value = _decimal(value, where)
    if value == 0.0:
        raise ConfigError(f"{where}: expected another number than 0")
    return value


def _bounds(value, where):
    if not isinstance(value, list) or len(value) != 2:
        raise ConfigError(f"{where}: expected two numbers, got {_shown(value)}")
    least, most = (_decimal(bound, where) for bound in value)
    if not least < most:
        raise ConfigError(f"{where}: expected the smaller number first")
    return least, most


def _characters(value, where):
    if not isinstance(value, str) or not 1 <= len(value) <= CHARACTERS_LIMIT or not value.isascii():
        raise ConfigError(f"{where}: expected 1 to {CHARACTERS_LIMIT} ASCII characters, got {_shown(value)}")
    return value.encode("ascii")


def _words(value, where):
    if not isinstance(value, list) or not 1 <= len(value) <= WORDS_LIMIT:
        raise ConfigError(f"{where}: expected an array of 1 to {WORDS_LIMIT} strings, got {_shown(value)}")
    for word in value:
        if not isinstance(word, str) or len(word.encode("utf-8")) > WORD_LIMIT:
            raise ConfigError(f"{where}: expected strings of at most {WORD_LIMIT} bytes, got {_shown(word)}")
    return value


def _pointer(value, where):
    if not isinstance(value, str) or len(value.encode("utf-8")) > POINTER_LIMIT or (value and value[0] != "/"):
        raise ConfigError(f'{where}: expected a JSON pointer such as "/user/age", got {_shown(value)}')
    if any(not after.startswith(("0", "1")) for after in value.split("~")[1:]):
        raise ConfigError(f"{where}: expected `~0` for a tilde and `~1` for a slash, got {_shown(value)}")
    return [token.replace("~1", "/").replace("~0", "~") for token in value.split("/")[1:]]
