#!/usr/bin/env python3
"""Measures what can run models, side by side in one process; see ../README.md, Runtimes of models.

Installs pinned packages into an environment of its own, trains and compiles the models there, builds the program beside this
file, and starts it; what takes long is kept in the cache.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from harness import install  # noqa: E402
from peers import default_cache, positive  # noqa: E402

PACKAGES = (
    *("lightgbm==4.7.0", "xgboost-cpu==3.2.0", "onnxruntime==1.32.0"),
    # lleaves wants an llvmlite that still has LLVM's old pass manager: 0.45 and later have not.
    *("lleaves==1.3.0", "llvmlite==0.44.0"),
    # tl2cgen has Treelite 4.1.2 in it, and says so of models that a newer one has read; that one cannot read XGBoost 3's.
    *("tl2cgen==1.0.0", "treelite==4.8.1"),
    *("onnx==1.23.2", "onnxmltools==1.16.0", "skl2onnx==1.20.0", "scikit-learn==1.9.1", "pandas==3.1.1", "numpy==2.4.6"),
)


def main():
    options = parse_options()
    python = install.ensure_environment(options.cache / "python-runtimes", PACKAGES)
    models = options.cache / "runtimes"
    if options.fresh:
        for path in models.glob("*.seconds"):
            path.unlink()
    prepare = [python, HERE / "python/prepare.py", models]
    build = ["cargo", "build", "--release", "--message-format", "json-render-diagnostics"]
    subprocess.run(prepare, check=True)
    built = subprocess.run(build, cwd=HERE, check=True, stdout=subprocess.PIPE, text=True).stdout
    messages = [json.loads(line) for line in built.splitlines()]
    binary = next(message["executable"] for message in reversed(messages) if message.get("executable"))
    words = [binary, models / "manifest.json", "--rounds", options.rounds, "--slice", options.slice]
    for name, value in [("--only", options.only), ("--json", options.json)]:
        words += [name, value] if value else []
    words += ["--layouts"] if options.layouts else []
    # Threads of their own would be no help: everything here is told to have one, and this makes sure.
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    sys.exit(subprocess.run([str(word) for word in words], env=environment).returncode)


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=positive, default=101, help="turns of each contender (default: 101)")
    parser.add_argument("--slice", type=positive, default=4, help="milliseconds of a turn (default: 4)")
    parser.add_argument("--only", metavar="TEXT", help="models whose title has this, for instance 'LightGBM, 300'")
    parser.add_argument("--layouts", action="store_true", help="measure each layout of trees that Witgate has, too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every turn to FILE")
    parser.add_argument("--fresh", action="store_true", help="compile with lleaves and tl2cgen again, for their times")
    parser.add_argument("--cache", type=Path, default=default_cache(), help="where packages and models are kept")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except (install.Unavailable, subprocess.CalledProcessError) as problem:
        sys.exit(f"error: {problem}")
