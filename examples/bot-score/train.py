"""Trains bot.txt: how likely is the client of a request a program, and not a browser?

python3 -m venv venv && . venv/bin/activate
pip install -r requirements.txt ../../python/witgate_features
python3 train.py            # downloads the data, trains, writes bot.txt, figures.json, reference.json, samples.jsonl,
                            # and the line score_reference of gateway.toml
python3 train.py --check    # measures the committed model, and fails if its figures are not those of figures.json
"""

import argparse
import json
import re
from pathlib import Path

import lightgbm
import numpy
import sklearn.metrics
import witgate_features

import drift
import sources

HERE = Path(__file__).resolve().parent
FEATURES = witgate_features.load(HERE / "gateway.toml", "client")
# As in gateway.toml.
REFUSE_ABOVE = 0.9
# Shallow trees that see a third of the features each: so that none is about a single word of a user agent.
PARAMETERS = {
    "objective": "binary",
    "num_leaves": 15,
    "min_data_in_leaf": 50,
    "lambda_l2": 5,
    "feature_fraction": 0.3,
    "learning_rate": 0.1,
    "seed": sources.SEED,
    "verbose": -1,
    # The same file each time: sums in one order, by one thread.
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
}
TREES = 100


def matrix(requests):
    return numpy.array([FEATURES.extract(request) for request in requests], dtype=numpy.float64)


def trained(rows):
    inputs = matrix([request for request, _ in rows])
    labels = numpy.array([label for _, label in rows])
    data = lightgbm.Dataset(inputs, labels, feature_name=FEATURES.names())
    return lightgbm.train(PARAMETERS, data, TREES)


def measured(labels, scores, kinds):
    """What the model does with sources that it has not seen."""
    bots, browsers = scores[labels == 1], scores[labels == 0]

    def found(false_positives):
        threshold = numpy.quantile(browsers, 1 - false_positives, method="higher")
        return round(float((bots > threshold).mean()), 3)

    def above(scores):
        return round(float((scores > REFUSE_ABOVE).mean()), 4)

    return {
        "held-out browsers' requests": len(browsers),
        "held-out bots' requests": len(bots),
        "area under the curve": round(float(sklearn.metrics.roc_auc_score(labels, scores)), 4),
        "found at 1 % false positives": found(0.01),
        "found at 0.1 % false positives": found(0.001),
        f"found above {REFUSE_ABOVE}": above(bots),
        f"false positives above {REFUSE_ABOVE}": above(browsers),
        "by kind": {
            kind: {"requests": int((kinds == kind).sum()), f"above {REFUSE_ABOVE}": above(scores[kinds == kind])}
            for kind in dict.fromkeys(kinds)
        },
    }


def reference(inputs, scores):
    """What `drift.py` compares with. Of the features those that stand for themselves: not the buckets of n-grams."""
    columns = [(name, inputs[:, index]) for index, name in enumerate(FEATURES.names()) if "ngrams" not in name]
    return {
        "scores": drift.binned(scores.tolist()),
        "features": {name: drift.spread(column.tolist()) for name, column in columns},
    }


def score_reference(known):
    """gateway.toml with this reference in it."""
    text = (HERE / "gateway.toml").read_text()
    return re.sub(r"^score_reference = .*$", f"score_reference = {known['scores']}", text, flags=re.MULTILINE)


FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
)
PAGE = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
CHROME_PAGE = (
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,"
    "application/signed-exchange;v=b3;q=0.7"
)
SAMPLES = [
    # Browsers: Firefox without TLS and with it; Chrome with it, for a page and for a script's request.
    {
        "user-agent": FIREFOX,
        "accept": PAGE,
        "accept-language": "en-US,en;q=0.5",
        "accept-encoding": "gzip, deflate",
        "upgrade-insecure-requests": "1",
    },
    {
        "user-agent": FIREFOX,
        "accept": PAGE,
        "accept-language": "en-US,en;q=0.5",
        "accept-encoding": "gzip, deflate, br, zstd",
        "sec-fetch-dest": "document",
        "sec-fetch-mode": "navigate",
        "sec-fetch-site": "none",
        "sec-fetch-user": "?1",
        "upgrade-insecure-requests": "1",
    },
    {
        "user-agent": CHROME,
        "sec-ch-ua": '"Chromium";v="142", "Google Chrome";v="142", "Not_A Brand";v="99"',
        "sec-ch-ua-mobile": "?0",
        "sec-ch-ua-platform": '"Windows"',
        "accept": CHROME_PAGE,
        "accept-language": "de-DE,de;q=0.9,en;q=0.8",
        "accept-encoding": "gzip, deflate, br, zstd",
        "sec-fetch-site": "none",
        "sec-fetch-mode": "navigate",
        "sec-fetch-user": "?1",
        "sec-fetch-dest": "document",
        "upgrade-insecure-requests": "1",
    },
    {
        "user-agent": CHROME,
        "sec-ch-ua": '"Chromium";v="142", "Google Chrome";v="142", "Not_A Brand";v="99"',
        "sec-ch-ua-mobile": "?0",
        "sec-ch-ua-platform": '"Windows"',
        "accept": "*/*",
        "accept-language": "de-DE,de;q=0.9,en;q=0.8",
        "accept-encoding": "gzip, deflate, br, zstd",
        "sec-fetch-site": "same-origin",
        "sec-fetch-mode": "cors",
        "sec-fetch-dest": "empty",
    },
    # Programs: as themselves, a crawler, under a browser's name, and without a name.
    {"user-agent": "curl/8.14.1", "accept": "*/*"},
    {"user-agent": "Go-http-client/1.1", "accept-encoding": "gzip"},
    {"user-agent": "Mozilla/5.0 (compatible; ExampleBot/1.0; +http://example.com/bot)", "accept": "*/*"},
    {"user-agent": FIREFOX, "accept": "*/*"},
    {"accept": "*/*"},
]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="measure the committed model instead of training one")
    parser.add_argument("--data", type=Path, default=HERE / "data", help="where the downloads are")
    arguments = parser.parse_args()
    sources.fetch(arguments.data)
    if arguments.check:
        booster = lightgbm.Booster(model_file=HERE / "bot.txt")
    else:
        rows = sources.training(arguments.data)
        print(f"training on {len(rows)} requests, {sum(label for _, label in rows)} of them of bots")
        booster = trained(rows)

    held_out = sources.held_out(arguments.data)
    requests = [request for _, kind in held_out.values() for request in kind]
    kinds = numpy.repeat(list(held_out), [len(kind) for _, kind in held_out.values()])
    labels = numpy.repeat([label for label, _ in held_out.values()], [len(kind) for _, kind in held_out.values()])
    inputs = matrix(requests)
    scores = booster.predict(inputs)
    figures = measured(labels, scores, kinds)
    print(json.dumps(figures, indent=4))
    # For `witgate model verify`: every fortieth request.
    witgate_features.write_samples(arguments.data / "verify.csv", inputs[::40], scores[::40], names=FEATURES.names())
    if arguments.check:
        committed = json.loads((HERE / "figures.json").read_text())
        if figures != committed:
            raise SystemExit(f"error: figures.json says otherwise: {committed}")
        return

    booster.save_model(HERE / "bot.txt")
    (HERE / "figures.json").write_text(json.dumps(figures, indent=4) + "\n")
    known = reference(inputs, scores)
    (HERE / "reference.json").write_text(json.dumps(known) + "\n")
    (HERE / "gateway.toml").write_text(score_reference(known))
    samples = [{"method": "GET", "path": "/", "headers": list(fields.items())} for fields in SAMPLES]
    lines = [
        json.dumps({"request": request, "score": round(float(score), 4)})
        for request, score in zip(samples, booster.predict(matrix(samples)))
    ]
    (HERE / "samples.jsonl").write_text("\n".join(lines) + "\n")
    print(*lines, sep="\n")


if __name__ == "__main__":
    main()
