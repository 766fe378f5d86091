"""Compares classify.py with the package that the model comes from (`pip install magika==1.0.3`).

    python3 check.py FILE...                                 # both with ONNX Runtime: is the preparation the same?
    python3 check.py --url http://127.0.0.1:8080 FILE...     # ours by the gateway: are its answers?

Scores may differ by a hundredth: the model's arithmetic depends on how many files are in a batch.
"""

import argparse
from pathlib import Path

import magika
import onnxruntime

import classify


def in_process(rows):
    session = onnxruntime.InferenceSession(classify.MODELS / "magika.onnx", providers=["CPUExecutionProvider"])
    return session.run(["target_label"], {"bytes": rows})[0].tolist()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--url")
    arguments = parser.parse_args()
    infer = classify.over_http(arguments.url, "magika") if arguments.url else in_process
    files = [file for file in arguments.files if file.is_file()]
    package = magika.Magika()
    differing = 0
    for file, label, score in classify.Magika().classify(files, infer):
        theirs = package.identify_path(file)
        if theirs.output.label != label or abs(theirs.score - score) > 0.01:
            differing += 1
            print(f"{file}: {label} {score:.3f}, and the package says {theirs.output.label} {theirs.score:.3f}")
    print(f"{len(files)} files, {differing} differ")
    raise SystemExit(differing > 0)


if __name__ == "__main__":
    main()
