"""Says what files are, by asking the gateway's model server with the Open Inference Protocol.

    python3 classify.py FILE...

Needs the standard library only, and models/ as fetch_models.py left it, for the names of the types.
"""

import argparse
import json
import sys
import urllib.error
import urllib.request
from pathlib import Path

MODELS = Path(__file__).resolve().parent / "models"

# Files in one request: each is 2048 numbers, some 8 KB of JSON.
BATCH = 16


class Magika:
    """What goes around the model: which bytes it sees, and what its answer means."""

    def __init__(self, models=MODELS):
        self.config = json.loads((models / "magika.json").read_text())
        self.types = json.loads((models / "content_types.json").read_text())

    def tokens(self, file):
        """The bytes of both ends as numbers, without the white space around them; or a label, if there is too little for
        the model to look at."""
        config, size = self.config, file.stat().st_size
        if size == 0:
            return "empty"
        block = min(size, config["block_size"])
        with file.open("rb") as opened:
            head = opened.read(block)
            opened.seek(size - block)
            tail = opened.read(block)
        first, last = head.lstrip()[: config["beg_size"]], tail.rstrip()[-config["end_size"] :]
        if size < config["min_file_size_for_dl"] or len(first) < config["min_file_size_for_dl"]:
            try:
                head.decode("utf-8")
                return "txt"
            except UnicodeDecodeError:
                return "unknown"
        padding = [config["padding_token"]]
        return [
            *first,
            *padding * (config["beg_size"] - len(first)),
            *padding * (config["end_size"] - len(last)),
            *last,
        ]

    def label(self, scores):
        """The type, or what can be said if the model is not sure of it; and how sure it is."""
        score = max(scores)
        label = self.config["target_labels_space"][scores.index(score)]
        threshold = self.config["thresholds"].get(label, self.config["medium_confidence_threshold"])
        label = self.config["overwrite_map"].get(label, label)
        if score < threshold:
            label = "txt" if self.types[label]["is_text"] else "unknown"
        return label, score

    def classify(self, files, infer):
        """(file, label, score) for each; `infer` gives the model's scores for rows of numbers."""
        tokens = {file: self.tokens(file) for file in files}
        rows = [file for file in files if not isinstance(tokens[file], str)]
        answers = {file: (label, 1.0) for file, label in tokens.items() if isinstance(label, str)}
        for start in range(0, len(rows), BATCH):
            batch = rows[start : start + BATCH]
            for file, scores in zip(batch, infer([tokens[file] for file in batch])):
                answers[file] = self.label(scores)
        return [(file, *answers[file]) for file in files]


def over_http(url, model):
    """Inference by the Open Inference Protocol, version 2, in JSON."""

    def infer(rows):
        shape = [len(rows), len(rows[0])]
        tensor = {
            "name": "bytes",
            "shape": shape,
            "datatype": "INT32",
            "data": [number for row in rows for number in row],
        }
        body = json.dumps({"inputs": [tensor], "outputs": [{"name": "target_label"}]}).encode()
        request = urllib.request.Request(
            f"{url}/v2/models/{model}/infer", body, {"content-type": "application/json"}, method="POST"
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                output = json.load(response)["outputs"][0]
        except urllib.error.HTTPError as error:
            raise SystemExit(f"error: {error.code} from {request.full_url}: {error.read().decode(errors='replace')}")
        except urllib.error.URLError as error:
            raise SystemExit(f"error: {request.full_url}: {error.reason}; is the gateway running?")
        count, width = output["shape"]
        return [output["data"][row * width : (row + 1) * width] for row in range(count)]

    return infer


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--url", default="http://127.0.0.1:8080", help="of the gateway (default: %(default)s)")
    parser.add_argument("--model", default="magika", help="as it is named in gateway.toml (default: %(default)s)")
    arguments = parser.parse_args()
    if not (MODELS / "magika.json").exists():
        parser.exit(1, "error: there are no models; run fetch_models.py first\n")
    wrong = [file for file in arguments.files if not file.is_file()]
    if wrong:
        parser.exit(1, f"error: no such file: {wrong[0]}\n")
    for file, label, score in Magika().classify(arguments.files, over_http(arguments.url, arguments.model)):
        print(f"{file}: {label} ({score:.0%})")


if __name__ == "__main__":
    sys.exit(main())
