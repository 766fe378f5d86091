#!/bin/sh
# ONNX Runtime calls the two classes of a CatBoost model 0 and 1, whatever numbers they are.
#
# Seen with catboost 1.2.10, onnxruntime 1.32.0, onnx 1.23.2 (PyPI), Python 3.11.
#
# From memory: the label that comes out is one of `classlabels_int64s`, which the exporter writes as they were in training.
# Seen: a classifier of the classes -1 and 1, or 3 and 7, exported with `format="onnx"`, has them in both of its nodes. ONNX
# Runtime's `label` is 0 or 1 all the same, while the map `probabilities` beside it has the right keys. With texts as classes
# the label is right, too. The trees' node has two weights for each leaf (class_ids 0 and 1) and LOGISTIC; that of LightGBM and
# XGBoost has one, and there the labels are as written.
#
# Why a gateway cares: `label == -1` never holds, and 0 is no class of that model. Witgate's embedded runtime answers with
# the classes of the file (gateway/inference/trees/src/onnx/classifier.rs), and takes no label for a score.
#
# Prints, and exits with 1 where that changes:
#   classes [-1, 1] in the file [-1, 1]: CatBoost [1, 1, 1, -1], ONNX Runtime [1, 1, 1, 0], keys [-1, 1]
#   classes [3, 7] in the file [3, 7]: CatBoost [7, 7, 7, 3], ONNX Runtime [1, 1, 1, 0], keys [3, 7]
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check \
    catboost==1.2.10 numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0 protobuf==6.33.6
cat >"$work/main.py" <<'PYTHON'
import sys

import catboost
import numpy as np
import onnx
import onnxruntime

rows = np.random.default_rng(1).normal(size=(200, 2)).astype(np.float32)
same = True
for classes in ([-1, 1], [3, 7]):
    target = np.array(classes)[(rows[:, 0] > 0).astype(int)]
    model = catboost.CatBoostClassifier(iterations=3, depth=2, random_seed=7, verbose=0, thread_count=1, allow_writing_files=False)
    model.fit(rows, target).save_model(sys.argv[1], format="onnx")
    attributes = {attribute.name: attribute for attribute in onnx.load(sys.argv[1]).graph.node[0].attribute}
    written = list(attributes["classlabels_int64s"].ints)
    label, maps = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"]).run(None, {"features": rows})
    predicted = model.predict(rows)
    print(f"classes {classes} in the file {written}: CatBoost {predicted[:4].tolist()}, ONNX Runtime {label[:4].tolist()}, keys {list(maps[0])}")
    same &= written == classes == list(maps[0]) and bool((label == (predicted == classes[1])).all())
sys.exit(not same)
PYTHON
"$work/venv/bin/python" "$work/main.py" "$work/model.onnx"
