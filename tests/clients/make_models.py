"""Writes the models that the clients' suite asks: make_models.py DIRECTORY.

`identity_<type>` gives its input `input0` back as `output0`, of the shape [batch, n]. `two_in_two_out` adds `b`
[batch] to each row of `a` [batch, 3] as `sum`, and gives `b` back as `label`.
"""

import pathlib
import sys

from onnx import TensorProto, checker, helper, save

TYPES = {
    "bool": TensorProto.BOOL,
    "uint8": TensorProto.UINT8,
    "uint16": TensorProto.UINT16,
    "uint32": TensorProto.UINT32,
    "uint64": TensorProto.UINT64,
    "int8": TensorProto.INT8,
    "int16": TensorProto.INT16,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "fp16": TensorProto.FLOAT16,
    "bf16": TensorProto.BFLOAT16,
    "fp32": TensorProto.FLOAT,
    "fp64": TensorProto.DOUBLE,
    "bytes": TensorProto.STRING,
}


def write(directory, name, nodes, inputs, outputs):
    graph = helper.make_graph(nodes, name, inputs, outputs)
    # Versions that ONNX Runtime has known since 1.17.
    model = helper.make_model(
        graph, producer_name="witgate-tests", ir_version=9, opset_imports=[helper.make_opsetid("", 19)]
    )
    checker.check_model(model, full_check=True)
    save(model, directory / f"{name}.onnx")


def main():
    directory = pathlib.Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    value = helper.make_tensor_value_info
    for name, kind in TYPES.items():
        write(
            directory,
            f"identity_{name}",
            [helper.make_node("Identity", ["input0"], ["output0"])],
            [value("input0", kind, ["batch", "n"])],
            [value("output0", kind, ["batch", "n"])],
        )
    nodes = [
        helper.make_node("Cast", ["b"], ["b_float"], to=TensorProto.FLOAT),
        helper.make_node("Constant", [], ["last"], value_ints=[1]),
        helper.make_node("Unsqueeze", ["b_float", "last"], ["b_column"]),
        helper.make_node("Add", ["a", "b_column"], ["sum"]),
        helper.make_node("Identity", ["b"], ["label"]),
    ]
    inputs = [value("a", TensorProto.FLOAT, ["batch", 3]), value("b", TensorProto.INT64, ["batch"])]
    outputs = [value("sum", TensorProto.FLOAT, ["batch", 3]), value("label", TensorProto.INT64, ["batch"])]
    write(directory, "two_in_two_out", nodes, inputs, outputs)
    print(f"{len(TYPES) + 1} models in {directory}")


if __name__ == "__main__":
    main()
