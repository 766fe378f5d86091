#!/bin/sh
# skl2onnx loses which way trees and forests of scikit-learn send missing values: such rows get another class.
#
# Seen with skl2onnx 1.20.0, scikit-learn 1.9.1, onnxruntime 1.32.0, onnx 1.23.2 (PyPI), Python 3.11.
#
# From memory: scikit-learn's trees learn, since 1.3, for each split which way NaN goes, and the graph has an attribute for it,
# `nodes_missing_value_tracks_true`, which the converter fills; that of HistGradientBoostingClassifier does.
# Seen: of DecisionTreeClassifier, RandomForestClassifier and ExtraTreesClassifier it is 0 for every node: NaN goes where large
# numbers go. Trained on rows of which those with a missing value and those below 0 are bad, the graph takes every row with a
# missing value for good, without an error or a warning. Rows without are right to rounding.
#
# Why a gateway cares: what leaves a field out is what such models were taught to refuse. The file is a valid one, and every
# runtime answers the same; `witgate model verify` with samples of the training side shows it (docs/inference/runtimes.md), and
# what imputes first (`SimpleImputer`) or HistGradientBoostingClassifier is right.
#
# Prints, and exits with 1 where that changes:
#   DecisionTreeClassifier: other labels in 152 of 152 rows with a missing value, 0 of 248 others
#   RandomForestClassifier: other labels in 152 of 152 rows with a missing value, 0 of 248 others
#   HistGradientBoostingClassifier: other labels in 0 of 152 rows with a missing value, 0 of 248 others
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check \
    numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0 protobuf==6.33.6 scikit-learn==1.9.1 skl2onnx==1.20.0
cat >"$work/main.py" <<'PYTHON'
import sys

import numpy as np
import onnxruntime
from skl2onnx import to_onnx
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier

random = np.random.default_rng(1)
rows = random.normal(size=(400, 2)).astype(np.float32)
missing = random.random(400) < 0.4
bad = ((rows[:, 0] < 0) | missing).astype(int)
rows[missing, 0] = np.nan
same = True
for model, is_lost in (
    (DecisionTreeClassifier(max_depth=3, random_state=1), True),
    (RandomForestClassifier(10, max_depth=3, random_state=1), True),
    (HistGradientBoostingClassifier(max_iter=10), False),
):
    graph = to_onnx(model.fit(rows, bad), rows[:1], options={"zipmap": False})
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    other = session.run(None, {"X": rows})[0] != model.predict(rows)
    name, count = type(model).__name__, int(missing.sum())
    in_missing, in_others = int(other[missing].sum()), int(other[~missing].sum())
    print(f"{name}: other labels in {in_missing} of {count} rows with a missing value, {in_others} of {400 - count} others")
    same &= in_missing == (count if is_lost else 0) and in_others == 0
sys.exit(not same)
PYTHON
"$work/venv/bin/python" "$work/main.py"
