"""Writes the backend cases of the package `onnx` in a form that needs no protocol buffers: cases.py FILE.

A line of JSON for each case: a graph, and inputs with the outputs that ONNX expects; under `model` the file that the graph was
in. A case that has something which the crate has no form for (functions, floats of 8 bits and less, integers of 4 bits and less)
says so under `unsupported`, and has the graph or the values that there is no form for not. Elements are the bytes of their
little-endian numbers in hexadecimal, strings are lists.
"""

import json
import pathlib
import sys
import warnings

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, helper, numpy_helper
from onnx.backend.test.loader import load_model_tests

warnings.filterwarnings("ignore")

from onnx.backend.test.case.node import collect_testcases  # noqa: E402 (it warns while it is imported)

TYPES = {
    TensorProto.BOOL: "BOOL",
    TensorProto.UINT8: "UINT8",
    TensorProto.UINT16: "UINT16",
    TensorProto.UINT32: "UINT32",
    TensorProto.UINT64: "UINT64",
    TensorProto.INT8: "INT8",
    TensorProto.INT16: "INT16",
    TensorProto.INT32: "INT32",
    TensorProto.INT64: "INT64",
    TensorProto.FLOAT16: "FP16",
    TensorProto.BFLOAT16: "BF16",
    TensorProto.FLOAT: "FP32",
    TensorProto.DOUBLE: "FP64",
    TensorProto.STRING: "BYTES",
}

LISTS = {
    AttributeProto.INT: ("int", lambda a: a.i),
    AttributeProto.FLOAT: ("float", lambda a: number(a.f)),
    AttributeProto.STRING: ("string", lambda a: a.s.hex()),
    AttributeProto.TENSOR: ("tensor", lambda a: proto(a.t)),
    AttributeProto.INTS: ("ints", lambda a: list(a.ints)),
    AttributeProto.FLOATS: ("floats", lambda a: [number(f) for f in a.floats]),
    AttributeProto.STRINGS: ("strings", lambda a: [s.hex() for s in a.strings]),
    AttributeProto.TENSORS: ("tensors", lambda a: [proto(t) for t in a.tensors]),
}


class Unsupported(Exception):
    """Something that the crate has no form for."""


def number(value):
    """A float's bits: JSON has neither NaN nor infinities."""
    return np.float32(value).tobytes().hex()


def text(value):
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def array(value, data_type):
    if data_type not in TYPES:
        raise Unsupported(f"type {TensorProto.DataType.Name(data_type)}")
    value = np.asarray(value)
    if data_type == TensorProto.STRING:
        data = [text(item) for item in value.ravel()]
    else:
        data = np.ascontiguousarray(value).tobytes().hex()
    return {"tensor": {"type": TYPES[data_type], "shape": list(value.shape), "data": data}}


def proto(tensor):
    if tensor.data_type not in TYPES:
        raise Unsupported(f"type {TensorProto.DataType.Name(tensor.data_type)}")
    if tensor.data_type == TensorProto.BFLOAT16:
        value = numpy_helper.to_array(tensor).view(np.uint16)
    else:
        value = numpy_helper.to_array(tensor)
    return array(value, tensor.data_type)["tensor"]


def value(given, kind):
    """A value of a case, of the type that the graph declares."""
    if isinstance(given, onnx.TensorProto):
        return {"tensor": proto(given)}
    if isinstance(given, onnx.SequenceProto):
        return {"sequence": [value(item, None) for item in sequence_items(given)]}
    if isinstance(given, onnx.OptionalProto):
        raise Unsupported("optional values in files")
    which = kind.WhichOneof("value") if kind is not None else "tensor_type"
    if given is None:
        return {"absent": True}
    if which == "optional_type":
        return value(given, kind.optional_type.elem_type)
    if which == "sequence_type":
        return {"sequence": [value(item, kind.sequence_type.elem_type) for item in given]}
    if which == "tensor_type":
        declared = kind.tensor_type.elem_type if kind is not None else None
        given = np.asarray(given)
        if declared is None:
            declared = helper.np_dtype_to_tensor_dtype(given.dtype)
        if declared == TensorProto.BFLOAT16:
            given = given.view(np.uint16)
        return array(given, declared)
    if which == "map_type":
        keys = array(np.array(list(given.keys()), dtype=object if kind.map_type.key_type == TensorProto.STRING else None),
                     kind.map_type.key_type)
        of_value = kind.map_type.value_type.tensor_type.elem_type
        numpy_type = helper.tensor_dtype_to_np_dtype(of_value)
        return {"map": [keys["tensor"], array(np.array(list(given.values()), dtype=numpy_type), of_value)["tensor"]]}
    raise Unsupported(f"values of {which}")


def sequence_items(sequence):
    if sequence.elem_type != onnx.SequenceProto.TENSOR:
        raise Unsupported("sequences of others than tensors")
    return sequence.tensor_values


def attribute(given):
    if given.type == AttributeProto.GRAPH and not given.ref_attr_name:
        return {"graph": graph(given.g, {})}
    if given.ref_attr_name or given.type not in LISTS:
        raise Unsupported(f"attributes of type {AttributeProto.AttributeType.Name(given.type)}")
    name, of = LISTS[given.type]
    return {name: of(given)}


def node(given):
    return {
        "name": given.name,
        "domain": given.domain,
        "op_type": given.op_type,
        "inputs": list(given.input),
        "outputs": list(given.output),
        "attributes": {item.name: attribute(item) for item in given.attribute},
    }


def graph(given, opsets):
    if given.sparse_initializer:
        raise Unsupported("sparse initializers")
    initializers = {item.name: {"tensor": proto(item)} for item in given.initializer}
    return {
        "opsets": opsets,
        "inputs": [item.name for item in given.input if item.name not in initializers],
        "outputs": [item.name for item in given.output],
        "initializers": initializers,
        "nodes": [node(item) for item in given.node],
    }


def whole(model):
    if model.functions:
        raise Unsupported("functions of a model's own")
    return graph(model.graph, {item.domain: item.version for item in model.opset_import})


def operators(model):
    """What a case is counted under: its own operator for a node, all of them for a model."""
    return sorted({f"{item.domain or 'ai.onnx'}.{item.op_type}" for item in model.graph.node})


def line(name, model, sets, rtol):
    case = {"name": name, "operators": operators(model), "rtol": rtol, "model": model.SerializeToString().hex()}
    try:
        given = [item for item in model.graph.input if item.name not in {i.name for i in model.graph.initializer}]
        case["sets"] = [
            {
                "inputs": [value(item, info.type) for item, info in zip(inputs, given, strict=True)],
                "outputs": [value(item, info.type) for item, info in zip(outputs, model.graph.output, strict=True)],
            }
            for inputs, outputs in sets
        ]
        case["graph"] = whole(model)
    except Unsupported as reason:
        case["unsupported"] = str(reason)
    return case


def of_file(path, kind):
    """A value of a case that lies in a file."""
    which = kind.WhichOneof("value")
    content = path.read_bytes()
    if which == "sequence_type":
        return onnx.SequenceProto.FromString(content)
    if which == "optional_type":
        return onnx.OptionalProto.FromString(content)
    return onnx.TensorProto.FromString(content)


def stored(case):
    """Cases that come with the package as files."""
    folder = pathlib.Path(case.model_dir)
    model = onnx.load(folder / "model.onnx")
    initialized = {item.name for item in model.graph.initializer}
    given = [item for item in model.graph.input if item.name not in initialized]
    sets = []
    for data in sorted(folder.glob("test_data_set_*")):
        inputs = [of_file(data / f"input_{at}.pb", info.type) for at, info in enumerate(given)]
        outputs = [of_file(data / f"output_{at}.pb", info.type) for at, info in enumerate(model.graph.output)]
        sets.append((inputs, outputs))
    return model, sets


def main():
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        # Some cases are random.
        np.random.seed(0)
        for case in collect_testcases(None):
            json.dump(line(case.name, case.model, case.data_sets, case.rtol), file)
            file.write("\n")
        for kind in ("simple", "pytorch-operator", "pytorch-converted"):
            for case in load_model_tests(kind=kind):
                json.dump(line(f"{kind}/{case.name}", *stored(case), case.rtol), file)
                file.write("\n")


if __name__ == "__main__":
    main()
