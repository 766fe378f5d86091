"""How far are scores from those of a reference? By the population stability index, as witgate_model_score_psi.

witgate run -c gateway.toml > access.log                # the access records go to standard output
python3 drift.py access.log                             # compares their scores with reference.json
curl -s http://127.0.0.1:9901/metrics | python3 drift.py --metrics -    # the scores since the gateway started
python3 drift.py access.log --write-reference mine.json # makes these scores the reference of the next comparison
python3 drift.py --requests requests.jsonl              # features instead of scores, of requests for witgate_features

Below 0.1 nothing has changed, above 0.25 much has. Exit status: 0 up to --limit, 1 above it, 2 if it cannot be told.
"""

import argparse
import bisect
import json
import math
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
BINS = 20
# With fewer, the index is chance. The gateway's metric is there from as many on.
LEAST = 200


def binned(scores):
    """Counts of scores, in bins of equal width from 0 to 1."""
    counts = [0] * BINS
    for score in scores:
        counts[min(BINS - 1, int(min(1.0, max(0.0, score)) * BINS))] += 1
    return counts


def spread(values):
    """Bins of about as many values each, and how many are in them. What most have is a bin for itself."""
    ordered = sorted(values)
    edges = sorted({ordered[len(ordered) * tenth // 10] for tenth in range(10)})
    return {"edges": edges, "counts": counted(values, edges)}


def counted(values, edges):
    counts = [0] * (len(edges) + 1)
    for value in values:
        counts[bisect.bisect_right(edges, value)] += 1
    return counts


def index(counts, reference):
    """The sum over all bins of (p - q) * ln(p / q); an empty bin counts as half a value."""
    total, whole = sum(counts), sum(reference)
    least = 0.5 / total
    pairs = [
        (max(count / total, least), max(share / whole, least)) for count, share in zip(counts, reference, strict=True)
    ]
    return sum((p - q) * math.log(p / q) for p, q in pairs)


class Unreadable(Exception):
    """What is there is no measurement."""


def _lines(path):
    try:
        with sys.stdin if path == "-" else open(path, encoding="utf-8", errors="replace") as file:
            yield from file
    except OSError as error:
        raise Unreadable(f"{path}: {error.strerror}") from error


def _of_records(path, model):
    """Scores of access records. Other lines, such as what the gateway says of itself, count for nothing."""
    scores = []
    for line in _lines(path):
        try:
            record = json.loads(line)
        except ValueError:
            continue
        given = record.get("scores") if isinstance(record, dict) else None
        score = given.get(model) if isinstance(given, dict) else None
        if isinstance(score, int | float) and not isinstance(score, bool) and math.isfinite(score):
            scores.append(score)
    return binned(scores)


def _of_metrics(path, model):
    """The bins of the histogram, each of which counts those below, too."""
    form = re.compile(rf'witgate_model_score_bucket{{model="{re.escape(model)}",le="([^"]+)"}} (\d+)')
    sums = {}
    for line in _lines(path):
        if (found := form.match(line)) and found[1] != "+Inf":
            sums[round(float(found[1]) * BINS)] = int(found[2])
    if not sums:
        return [0] * BINS
    if sorted(sums) != list(range(1, BINS + 1)):
        raise Unreadable(f"{path}: expected {BINS} bins of witgate_model_score from 0 to 1, got {len(sums)}")
    return [sums[bin] - sums.get(bin - 1, 0) for bin in range(1, BINS + 1)]


def _of_requests(path, reference):
    """Each feature by itself."""
    try:
        import witgate_features

        features = witgate_features.load(HERE / "gateway.toml", "client")
        rows = [features.extract(json.loads(line)) for line in _lines(path) if line.strip()]
    except ModuleNotFoundError as error:
        raise Unreadable("--requests needs witgate_features: pip install ../../python/witgate_features") from error
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise Unreadable(f"{path}: expected a request of witgate_features on each line: {error}") from error
    columns = dict(zip(features.names(), zip(*rows)))
    return {
        name: (counted(columns[name], known["edges"]), known["counts"])
        for name, known in reference.items()
        if name in columns
    }


def _shown(name, counts, reference):
    if sum(counts) < LEAST:
        raise Unreadable(f"{name}: expected at least {LEAST} values, got {sum(counts)}")
    value = index(counts, reference)
    print(f"{value:8.4f}  {name}, of {sum(counts)}")
    return value


def _measure(arguments):
    model = arguments.model
    if arguments.requests:
        known = _reference(arguments.reference, "features")
        compared = _of_requests(arguments.requests, known)
        if not compared:
            raise Unreadable(f"{arguments.requests}: expected requests, got none")
        ordered = sorted(compared.items(), key=lambda item: -index(*item[1]) if sum(item[1][0]) else 0)
        return max(_shown(name, *pair) for name, pair in ordered)
    counts = _of_metrics(arguments.metrics, model) if arguments.metrics else _of_records(arguments.records, model)
    if arguments.write_reference:
        if sum(counts) < LEAST:
            raise Unreadable(f"expected at least {LEAST} scores of the model `{model}`, got {sum(counts)}")
        arguments.write_reference.write_text(json.dumps({"scores": counts}) + "\n")
        print(f"score_reference = {counts}")
        return 0.0
    return _shown(f"scores of the model `{model}`", counts, _reference(arguments.reference, "scores"))


def _reference(path, part):
    try:
        known = json.loads(path.read_text())[part]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Unreadable(f"{path}: expected a reference with `{part}`, as train.py makes it") from error
    numbers = isinstance(known, list) and all(isinstance(count, int | float) and count >= 0 for count in known)
    if part == "scores" and not (numbers and len(known) == BINS and sum(known) > 0):
        raise Unreadable(f"{path}: expected counts of {BINS} bins")
    return known


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("records", nargs="?", help="access records, or `-` for standard input")
    what.add_argument("--metrics", metavar="FILE", help="what /metrics of the admin listener says, or `-`")
    what.add_argument("--requests", metavar="FILE", help="requests in JSON, one in a line, or `-`")
    parser.add_argument("--model", default="bot", help="its name in gateway.toml")
    parser.add_argument("--reference", type=Path, default=HERE / "reference.json")
    parser.add_argument("--limit", type=float, default=0.25, help="of the index; 0.25 without it")
    parser.add_argument(
        "--write-reference", type=Path, metavar="FILE", help="keep these scores instead of comparing them"
    )
    arguments = parser.parse_args()
    try:
        value = _measure(arguments)
    except Unreadable as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if value > arguments.limit:
        print(f"drifted: {value:.4f} is above {arguments.limit}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
