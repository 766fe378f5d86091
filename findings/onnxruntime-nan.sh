#!/bin/sh
# ONNX Runtime finds NaN among the keys of a LabelEncoder of version 4, not of version 2, and a single NaN ends a run with Binarizer.
#
# Seen with onnxruntime 1.32.0 and onnx 1.23.2 (PyPI), Python 3.11.
#
# From memory: a row with a missing value concerns that row; an operator that looks keys up treats NaN the same in all versions,
# and the reference implementation of the package `onnx` does as the runtime does.
# Seen: with the keys NaN and 1, LabelEncoder gives NaN the default in a graph with ai.onnx.ml 2 or 3, and the value of the key
# with ai.onnx.ml 4; the reference gives the default in both. Binarizer compares with a threshold, and ONNX Runtime's ends
# the run with "Input data with index: 0 is NaN", for all rows of the batch; the reference says 0 for that element.
#
# Why a gateway cares: raising `target_opset` changes scores of rows with missing values, and where rows of several requests run
# as one batch, one client's missing value fails the others' requests. What Witgate's own runtime answers is in
# gateway/inference/operators/src/ml.
#
# Prints, and exits with 1 where that changes:
#   LabelEncoder, ai.onnx.ml 2: ONNX Runtime [-1.0, 6.0, -1.0], reference [-1.0, 6.0, -1.0]
#   LabelEncoder, ai.onnx.ml 4: ONNX Runtime [5.0, 6.0, -1.0], reference [-1.0, 6.0, -1.0]
#   Binarizer: ONNX Runtime Input data with index: 0 is NaN, reference [0.0, 1.0, 1.0]
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0 protobuf==6.33.6
cat >"$work/main.py" <<'PYTHON'
import sys

import numpy as np
import onnxruntime
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

onnxruntime.set_default_logger_severity(4)
NAN = float("nan")
ROWS = np.array([NAN, 1, 2], np.float32)


def run(version, operator, **attributes):
    node = helper.make_node(operator, ["x"], ["y"], domain="ai.onnx.ml", **attributes)
    value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [None])
    graph = helper.make_graph([node], "graph", [value("x")], [value("y")])
    versions = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", version)]
    model = helper.make_model(graph, opset_imports=versions, ir_version=8)
    reference = ReferenceEvaluator(model).run(None, {"x": ROWS})[0].tolist()
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        return session.run(None, {"x": ROWS})[0].tolist(), reference
    except Exception as error:
        return str(error).split("Message: ")[-1].strip(), reference


encoder = {"keys_floats": [NAN, 1.0], "values_floats": [5.0, 6.0], "default_float": -1.0}
seen = {
    "LabelEncoder, ai.onnx.ml 2": run(2, "LabelEncoder", **encoder),
    "LabelEncoder, ai.onnx.ml 4": run(4, "LabelEncoder", **encoder),
    "Binarizer": run(1, "Binarizer", threshold=0.5),
}
for name, (runtime, reference) in seen.items():
    print(f"{name}: ONNX Runtime {runtime}, reference {reference}")
unknown, known = [-1.0, 6.0, -1.0], [5.0, 6.0, -1.0]
expected = [(unknown, unknown), (known, unknown), ("Input data with index: 0 is NaN", [0.0, 1.0, 1.0])]
sys.exit(list(seen.values()) != expected)
PYTHON
"$work/venv/bin/python" "$work/main.py"
