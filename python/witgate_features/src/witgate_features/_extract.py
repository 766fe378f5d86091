"""How each kind is measured, as in gateway/inference/src/features."""

import array
import dataclasses
import functools
import math
import re
import typing
from collections import Counter

from ._arithmetic import circle, entropy, transform
from ._request import Request

PART_LIMIT = 8 * 1024
NUMBER_LIMIT = 64
FNV_OFFSET = 0x811C9DC5
FNV_PRIME = 0x01000193

ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
NUMBER = re.compile(rb"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")

MEMBERS = {
    "digit": b"0123456789",
    "lower": bytes(range(0x61, 0x7B)),
    "upper": bytes(range(0x41, 0x5B)),
    "letter": bytes(range(0x41, 0x5B)) + bytes(range(0x61, 0x7B)),
    "punctuation": bytes([*range(0x21, 0x30), *range(0x3A, 0x41), *range(0x5B, 0x61), *range(0x7B, 0x7F)]),
    "space": bytes([*range(0x09, 0x0E), 0x20]),
    "control": bytes([*range(0x00, 0x20), 0x7F]),
    "non-ascii": bytes(range(0x80, 0x100)),
}


@dataclasses.dataclass(frozen=True)
class Text:
    part: str
    decode: int
    lower: bool

    def label(self):
        label = self.part
        if self.decode:
            label += f", decode={self.decode}"
        return label + ", lower" if self.lower else label

    def of(self, request):
        text = request.part(self.part, PART_LIMIT)
        for _ in range(self.decode):
            text = ESCAPE.sub(lambda escape: bytes([int(escape[1], 16)]), text)
        return text.lower() if self.lower else text


@dataclasses.dataclass
class Feature:
    kind: str
    clip: typing.Optional[tuple] = None
    log1p: bool = False
    scale: typing.Optional[float] = None
    text: typing.Optional[Text] = None
    separators: bytes = b""
    character_class: typing.Optional[str] = None
    set: typing.Optional[bytes] = None
    share: bool = False
    words: list = dataclasses.field(default_factory=list)
    size: int = 3
    buckets: int = 256
    weight: str = "count"
    byte_width: int = 256
    pad: int = 0
    default: float = 0.0
    pointer: list = dataclasses.field(default_factory=list)
    of: str = ""

    @property
    def width(self):
        if self.kind in ("equals", "method"):
            return len(self.words)
        if self.kind == "status":
            return 5 if self.of == "class" else 1
        return {"ngrams": self.buckets, "bytes": self.byte_width}.get(self.kind, 1)

    def label(self):
        if self.kind == "method":
            return "method"
        if self.kind == "json":
            pointer = "".join("/" + token.replace("~", "~0").replace("/", "~1") for token in self.pointer)
            return f"json({pointer})"
        if self.kind in ("time", "rate", "status"):
            return f"{self.kind}({self.of})"
        label = self.text.part if self.kind in ("present", "number") else self.text.label()
        if self.kind == "characters":
            label += f", {self.character_class or 'set'}" + (", share" if self.share else "")
        if self.kind == "ngrams":
            label += f", size={self.size}"
        return f"{self.kind}({label})"

    def suffixes(self):
        if self.kind in ("equals", "method"):
            return [f"[{word}]" for word in self.words]
        if self.kind in ("ngrams", "bytes"):
            return [f"[{index}]" for index in range(self.width)]
        if self.width == 5:
            return [f"[{index}xx]" for index in range(1, 6)]
        return [""]

    def values(self, request, texts):
        """The numbers before they are transformed."""
        kind = self.kind
        if kind == "present":
            return [1.0 if request.has(self.text.part) else 0.0]
        if kind == "number":
            return [_number(request.part(self.text.part, PART_LIMIT), self.default)]
        if kind == "method":
            return [1.0 if word == request.method else 0.0 for word in self.words]
        if kind == "json":
            value = request.field(self.pointer)
            return [self.default if value is None else value]
        if kind == "time":
            return [_time(request.time, self.of)]
        if kind == "rate":
            return [self.default if request.rate is None else request.rate]
        if kind == "status":
            status = request.status or 0
            if self.of == "code":
                return [float(status)]
            return [1.0 if status // 100 == other else 0.0 for other in range(1, 6)]
        return self._of_text(texts(self.text))

    def _of_text(self, text):
        kind = self.kind
        if kind == "length":
            return [float(len(text))]
        if kind == "tokens":
            return [float(len(_tokens(text, self.separators)))]
        if kind == "longest":
            return [float(max(map(len, _tokens(text, self.separators)), default=0))]
        if kind == "entropy":
            return [entropy(text)]
        if kind == "characters":
            if self.character_class == "escape":
                count = len(ESCAPE.findall(text))
            else:
                members = self.set if self.character_class is None else MEMBERS[self.character_class]
                count = len(text) - len(text.translate(None, members))
            return [float(count) / float(max(len(text), 1)) if self.share else float(count)]
        if kind == "equals":
            return [1.0 if word.encode("utf-8") == text else 0.0 for word in self.words]
        if kind == "bytes":
            head = [float(byte) for byte in text[: self.byte_width]]
            return head + [float(self.pad)] * (self.byte_width - len(head))
        return self._ngrams(text)

    def _ngrams(self, text):
        size = self.size
        counts = [0] * self.buckets
        for ngram, count in Counter(text[at : at + size] for at in range(len(text) - size + 1)).items():
            counts[_hash(ngram) % self.buckets] += count
        if self.weight == "binary":
            return [1.0 if count else 0.0 for count in counts]
        divisor = 1.0
        if self.weight == "share":
            divisor = float(max(len(text) - size + 1, 0))
        elif self.weight == "l2":
            divisor = math.sqrt(float(sum(count * count for count in counts)))
        return [float(count) / divisor if count else 0.0 for count in counts]


class FeatureSet:
    """Features in order."""

    def __init__(self, features):
        self.features = features
        self._names = []
        labels, taken = Counter(), {}
        for feature in features:
            label = feature.label()
            labels[label] += 1
            label = f"{label} {labels[label]}" if labels[label] > 1 else label
            self._names += [_free(plain(f"{label} {suffix}"), taken) for suffix in feature.suffixes()]

    @property
    def width(self):
        """How many numbers `extract` gives."""
        return len(self._names)

    def names(self):
        """A name for each number, all of them different: letters, digits and single underscores, so that every library takes
        them as names of columns."""
        return list(self._names)

    def extract(self, request):
        """The numbers that the gateway gives to a model, as floats that 32 bits hold exactly."""
        request = Request(request)
        texts = functools.lru_cache(maxsize=None)(lambda text: text.of(request))
        numbers = array.array("f")
        for feature in self.features:
            clip, log1p, scale = feature.clip, feature.log1p, feature.scale
            values = feature.values(request, texts)
            numbers.extend(transform(value, clip, log1p, scale) for value in values)
        return numbers.tolist()


def plain(text):
    """A text as a name: LightGBM takes no `"`, `,`, `:` and brackets in one, and XGBoost none and no `<`."""
    return "_".join(re.findall("[0-9A-Za-z]+", text))


def _free(name, taken):
    """The name, or the first with `_2`, `_3` and so on behind it that is not taken; `taken` has the count reached for each."""
    count, free = taken.get(name, 1), name
    while free in taken:
        count += 1
        free = f"{name}_{count}"
    taken[name] = count
    taken.setdefault(free, 1)
    return free


@functools.lru_cache(maxsize=1 << 16)
def _hash(ngram):
    value = FNV_OFFSET
    for byte in ngram:
        value = (value ^ byte) * FNV_PRIME & 0xFFFFFFFF
    return value


@functools.lru_cache(maxsize=None)
def _splitter(separators):
    return re.compile(b"[" + re.escape(separators) + b"]")


def _tokens(text, separators):
    return [token for token in _splitter(separators).split(text) if token]


def _number(text, default):
    text = text.strip(b" \t")
    if len(text) > NUMBER_LIMIT or not NUMBER.fullmatch(text):
        return default
    value = float(text)
    return value if math.isfinite(value) else default


def _time(second, of):
    day, second = divmod(second, 86_400)
    if of == "hour":
        return float(second // 3600)
    if of == "weekday":
        # 1970-01-01 was a Thursday.
        return float((day + 3) % 7)
    sine, cosine = circle(second)
    return sine if of == "day-sine" else cosine
