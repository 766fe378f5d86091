#!/bin/sh
# XGBoost's linear booster adds the first class's base score to every class.
#
# Seen with xgboost-cpu 3.2.0 (PyPI), Python 3.11.
#
# From memory: since 3.1 `base_score` is a vector, one number for each class, estimated from the data if none is given; each
# class's margin is its own base score plus what the booster adds.
# Seen: with `multi:softprob`, `gbtree` does that. `gblinear` adds the first number to all three: margins less weights and
# bias are 0.1, 0.1, 0.1 for `base_score=[0.1, 0.2, 0.3]`. What was estimated (and what the file says) is lost but for the
# first, and the probabilities are those of a model without base scores.
#
# Why a gateway cares: whoever reads the file and adds what it says gives other scores than the library. Witgate gives the
# library's (gateway/inference/native/src/xgboost).
#
# Prints, and exits with 1 where that changes:
#   gblinear: the file says [1E-1,2E-1,3E-1], added is [0.1 0.1 0.1]
#   gbtree: the file says [1E-1,2E-1,3E-1], added is [0.1 0.2 0.3]
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check numpy==2.4.6 scipy==1.17.1 xgboost-cpu==3.2.0
cat >"$work/main.py" <<'PYTHON'
import json
import sys

import numpy as np
import xgboost

rows = np.random.default_rng(1).normal(size=(300, 2)).astype(np.float32)
kind = (rows[:, 0] > 0).astype(int) + (rows[:, 1] > 0)
table = xgboost.DMatrix(rows, kind)
same = True
for booster, expected in (("gblinear", [0.1, 0.1, 0.1]), ("gbtree", [0.1, 0.2, 0.3])):
    parameters = {"objective": "multi:softprob", "num_class": 3, "booster": booster, "base_score": [0.1, 0.2, 0.3], "nthread": 1}
    trained = xgboost.train(parameters, table, 3)
    trained.save_model(sys.argv[1])
    with open(sys.argv[1]) as file:
        learner = json.load(file)["learner"]
    margins = trained.predict(table, output_margin=True)
    if booster == "gblinear":
        weights = np.array(learner["gradient_booster"]["model"]["weights"]).reshape(3, 3)
        added = margins - (rows @ weights[:2] + weights[2])
    else:
        # Each tree's leaf, of one class in turn.
        leaves = trained.predict(table, pred_leaf=True).astype(int)
        values = [np.array(tree["split_conditions"]) for tree in learner["gradient_booster"]["model"]["trees"]]
        sums = np.zeros_like(margins)
        for at, tree in enumerate(values):
            sums[:, at % 3] += tree[leaves[:, at]]
        added = margins - sums
    print(f"{booster}: the file says {learner['learner_model_param']['base_score']}, added is {added.mean(axis=0).round(4)}")
    same &= bool(np.abs(added - expected).max() < 1e-5)
sys.exit(not same)
PYTHON
"$work/venv/bin/python" "$work/main.py" "$work/model.json"
