#!/bin/sh
# skl2onnx converts LinearDiscriminantAnalysis of two classes to other probabilities than scikit-learn's, without a word.
#
# Seen with skl2onnx 1.20.0, scikit-learn 1.9.1, onnxruntime 1.32.0, onnx 1.23.2 (PyPI), Python 3.11.
#
# From memory: linear classifiers of scikit-learn convert exactly, to rounding; what is not supported raises an error.
# Seen: of two classes the graph is one LinearClassifier with the rows `-w` and `w` and SOFTMAX, so that the probability of class
# 1 is the logistic function of twice the decision; scikit-learn's is that of the decision itself. Labels agree, since 0.5
# stays 0.5, and of three classes everything does.
#
# Why a gateway cares: a threshold of 0.9 that was chosen in training is passed by what scored 0.75 there. No runtime can know:
# `witgate model verify` with samples of the training side does (docs/inference/runtimes.md).
#
# Prints, and exits with 1 where that changes:
#   2 classes: largest difference 0.15, of labels 0; of p(2 d) 0.00
#   3 classes: largest difference 0.00, of labels 0
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
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

rows = np.random.default_rng(1).normal(size=(100, 2)).astype(np.float32)
same = True
for classes in (2, 3):
    kind = (rows[:, 0] > 0).astype(int) + (rows[:, 1] > 0 if classes == 3 else 0)
    model = LinearDiscriminantAnalysis().fit(rows, kind)
    graph = to_onnx(model, rows[:1], options={"zipmap": False})
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    label, probabilities = session.run(None, {"X": rows})
    apart = np.abs(probabilities - model.predict_proba(rows)).max()
    labels = int((label != model.predict(rows)).sum())
    told = f"{classes} classes: largest difference {apart:.2f}, of labels {labels}"
    if classes == 2:
        twice = np.abs(probabilities[:, 1] - 1 / (1 + np.exp(-2 * model.decision_function(rows)))).max()
        told += f"; of p(2 d) {twice:.2f}"
        same &= apart > 0.1 and twice < 1e-5
    else:
        same &= apart < 1e-5
    same &= labels == 0
    print(told)
sys.exit(not same)
PYTHON
"$work/venv/bin/python" "$work/main.py"
