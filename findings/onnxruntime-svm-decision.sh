#!/bin/sh
# ONNX Runtime and onnx's reference give a support vector classifier of two classes the decision with the other sign last.
#
# Seen with onnxruntime 1.32.0, onnx 1.23.2, skl2onnx 1.20.0, scikit-learn 1.9.1 (PyPI), Python 3.11.
#
# From memory: a classifier of two classes has two columns, and the last is that of the class 1: its probability, or its
# score, which is high where scikit-learn's `decision_function` is high.
# Seen: of `SVC()` without probabilities, skl2onnx writes one SVMClassifier node, whose output has the columns `[d, -d]`, where `d`
# is `decision_function`: the last column is lowest for the rows that are most surely of class 1. The label is right. Raw
# scores of `LogisticRegression` are `[-d, d]`, and so are those of `SVC` with skl2onnx's option `raw_scores`. onnx's
# ReferenceEvaluator gives the same as ONNX Runtime.
#
# Why a gateway cares: whoever takes the last column as the score, as with every other classifier, refuses the honest and lets
# the others through, and the label, which is right, does not show it. Witgate guesses no score here, and wants `output`
# (gateway/inference/src/onnx/flow.rs); with "probabilities[0]" it is the decision.
#
# Prints, and exits with 1 where that changes:
#   SVC                decision  1.00 columns [ 1.00 -1.00] label 1, reference [ 1.00 -1.00]
#   LogisticRegression decision  1.09 columns [-1.09  1.09] label 1, reference [-1.09  1.09]
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
from onnx.reference import ReferenceEvaluator
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC

rows = np.random.default_rng(1).normal(size=(100, 2)).astype(np.float32)
yes = (rows[:, 0] > 0).astype(int)
same = True
for model, sign, more in ((SVC(), -1, {}), (LogisticRegression(), 1, {"raw_scores": True})):
    model.fit(rows, yes)
    graph = to_onnx(model, rows[:1], options={"zipmap": False} | more)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    decision = model.decision_function(rows)
    answers = []
    for run in (session.run, ReferenceEvaluator(graph).run):
        label, columns = run(None, {"X": rows})
        same &= bool((label == model.predict(rows)).all())
        same &= np.abs(columns[:, 0] + sign * decision).max() < 1e-5 and np.abs(columns[:, 1] - sign * decision).max() < 1e-5
        answers.append(columns)
    name = type(model).__name__
    with np.printoptions(formatter={"float": "{:5.2f}".format}):
        print(f"{name:18} decision {decision[0]:5.2f} columns {answers[0][0]} label {label[0]}, reference {answers[1][0]}")
sys.exit(not same)
PYTHON
"$work/venv/bin/python" "$work/main.py"
