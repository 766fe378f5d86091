#!/bin/sh
# The reference of StringNormalizer takes accents away, and ONNX Runtime's upper case leaves letters that become two.
#
# Seen with onnx 1.23.2 and onnxruntime 1.32.0 (PyPI), Python 3.11, locale C.UTF-8.
#
# From memory: `case_change_action="LOWER"` is the lower case of Unicode in both, and changes nothing else; texts with accents
# keep them, as in scikit-learn's vectorizers without `strip_accents`.
# Seen: onnx's ReferenceEvaluator makes "é" to "e" and "ﬁ" to "fi", in both cases: it decomposes and drops marks before it
# changes the case. ONNX Runtime keeps accents; its upper case is letter by letter, so that "ß" stays "ß" and "ﬁ" stays "ﬁ"
# ("STRAßE"), where Python and Rust write "SS". Its lower case has no context: "ΣΑΣ" ends in "σ", where Python writes "ς".
#
# Why a gateway cares: whoever tests a runtime against the reference would lose accents, and a vocabulary with "straße" or a
# Greek word finds other words in training than in service. Witgate's runtime does as ONNX Runtime, without a locale
# (gateway/inference/operators/src/text).
#
# Prints, and exits with 1 where that changes:
#   UPPER of straße: ONNX Runtime STRAßE, reference STRASSE, Python STRASSE
#   UPPER of éﬁ: ONNX Runtime Éﬁ, reference EFI, Python ÉFI
#   LOWER of ÉΣΑΣ: ONNX Runtime éσασ, reference eσας, Python éσας
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


def run(action, text):
    node = helper.make_node("StringNormalizer", ["x"], ["y"], case_change_action=action, locale="C.UTF-8")
    value = lambda name: helper.make_tensor_value_info(name, TensorProto.STRING, [None])
    graph = helper.make_graph([node], "graph", [value("x")], [value("y")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    texts = {"x": np.array([text], object)}
    return session.run(None, texts)[0][0], str(ReferenceEvaluator(model).run(None, texts)[0][0])


same = True
for action, text, expected in (
    ("UPPER", "straße", ("STRAßE", "STRASSE")),
    ("UPPER", "éﬁ", ("Éﬁ", "EFI")),
    ("LOWER", "ÉΣΑΣ", ("éσασ", "eσας")),
):
    seen = run(action, text)
    print(f"{action} of {text}: ONNX Runtime {seen[0]}, reference {seen[1]}, Python {text.upper() if action == 'UPPER' else text.lower()}")
    same &= seen == expected
sys.exit(not same)
PYTHON
PYTHONIOENCODING=utf-8 "$work/venv/bin/python" "$work/main.py"
