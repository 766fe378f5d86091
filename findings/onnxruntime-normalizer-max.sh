#!/bin/sh
# ONNX Runtime's Normalizer with MAX divides by the largest number, scikit-learn by the largest magnitude.
#
# Seen with onnxruntime 1.32.0, onnx 1.23.2, skl2onnx 1.20.0, scikit-learn 1.9.1 (PyPI), Python 3.11.
#
# From memory: `Normalizer("max")` scales each row so that its largest magnitude is 1, and keeps signs; the converted model, too.
# Seen: the standard says `X / max(X)`, and ONNX Runtime does that: a row whose numbers are all negative comes out with all signs
# turned, and one with a large negative number beyond -1. The reference of the package `onnx` divides by the magnitude, as
# scikit-learn does. skl2onnx writes the node for both and says nothing.
#
# Why a gateway cares: rows of numbers that are not negative, as lengths and counts are, hide it in every test. Witgate's runtime
# is in gateway/inference/operators/src/ml/rescale.rs; `witgate model verify` shows what differs from the training side.
#
# Prints, and exits with 1 where that changes:
#   [1. 2. 4.]: scikit-learn [0.25 0.5  1.  ], ONNX Runtime [0.25 0.5  1.  ], reference [0.25 0.5  1.  ]
#   [ 1.  2. -4.]: scikit-learn [ 0.25  0.5  -1.  ], ONNX Runtime [ 0.5  1.  -2. ], reference [ 0.25  0.5  -1.  ]
#   [-1. -2. -4.]: scikit-learn [-0.25 -0.5  -1.  ], ONNX Runtime [1. 2. 4.], reference [-0.25 -0.5  -1.  ]
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
from sklearn.preprocessing import Normalizer

rows = np.array([[1, 2, 4], [1, 2, -4], [-1, -2, -4]], np.float32)
model = Normalizer("max").fit(rows)
graph = to_onnx(model, rows[:1])
session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
theirs, runtime, reference = model.transform(rows), session.run(None, {"X": rows})[0], ReferenceEvaluator(graph).run(None, {"X": rows})[0]
for row, of_sklearn, of_runtime, of_reference in zip(rows, theirs, runtime, reference):
    print(f"{row}: scikit-learn {of_sklearn}, ONNX Runtime {of_runtime}, reference {of_reference}")
magnitude = rows / np.abs(rows).max(axis=1, keepdims=True)
largest = rows / rows.max(axis=1, keepdims=True)
sys.exit(not ((theirs == magnitude).all() and (reference == magnitude).all() and (runtime == largest).all()))
PYTHON
"$work/venv/bin/python" "$work/main.py"
