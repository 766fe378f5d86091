#!/bin/sh
# LightGBM saves `sigmoid` with six digits: a model that is read again scores every row otherwise than the one that was trained.
#
# Seen with lightgbm 4.7.0 (PyPI), Python 3.11.
#
# From memory: the text file has 17 digits for what scores are made of, so that a booster that is saved and read is the same
# in every bit; that is so for thresholds and leaves.
# Seen: parameters of the objective go through the default of C++ streams, six digits. With `sigmoid` 0.123456789 the file
# has `objective=binary sigmoid:0.123457`, and each probability differs by up to 4e-7; raw scores are equal. Python's
# `lightgbm.train` hides it: it gives back the booster written out and read again, unless `keep_training_booster=True`.
#
# Why a gateway cares: samples that were scored in training are not met to the last bit by whoever reads the file, LightGBM
# itself included. Witgate's scores of such files are those of LightGBM for the file (gateway/inference/native).
#
# Prints, and exits with 1 where that changes:
#   sigmoid 1: written as 1, 0 of 300 rows differ, by 0.0e+00 at most; raw scores by 0.0e+00
#   sigmoid 0.123456789: written as 0.123457, 300 of 300 rows differ, by 3.8e-07 at most; raw scores by 0.0e+00
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check lightgbm==4.7.0 numpy==2.4.6 scipy==1.17.1
cat >"$work/main.py" <<'PYTHON'
import re
import sys

import lightgbm
import numpy as np

rows = np.random.default_rng(1).normal(size=(300, 2))
yes = (rows[:, 0] > 0).astype(int)
seen = []
for sigmoid in (1, 0.123456789):
    parameters = {"objective": "binary", "sigmoid": sigmoid, "verbose": -1, "num_threads": 1, "seed": 1}
    trained = lightgbm.train(parameters, lightgbm.Dataset(rows, yes), 10, keep_training_booster=True)
    trained.save_model(sys.argv[1])
    read = lightgbm.Booster(model_file=sys.argv[1])
    with open(sys.argv[1]) as file:
        written = re.search("sigmoid:(.*)", file.read())[1]
    apart = np.abs(trained.predict(rows) - read.predict(rows))
    raw = np.abs(trained.predict(rows, raw_score=True) - read.predict(rows, raw_score=True)).max()
    differ = int((apart > 0).sum())
    print(f"sigmoid {sigmoid}: written as {written}, {differ} of {len(rows)} rows differ, by {apart.max():.1e} at most; raw scores by {raw:.1e}")
    seen.append((written, differ, raw))
sys.exit(seen != [("1", 0, 0), ("0.123457", 300, 0)])
PYTHON
"$work/venv/bin/python" "$work/main.py" "$work/model.txt"
