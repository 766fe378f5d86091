"""Models without trees: shapes of what scores requests, with weights that say nothing."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

RANDOM = np.random.default_rng(1)
ROWS = 512


def make(folder):
    """Writes each model and its rows, and describes them."""
    described = []
    for name, nodes, weights, rows, width in models():
        stem = name.replace(" ", "-").replace(",", "")
        kind = TensorProto.INT32 if rows.dtype == np.int32 else TensorProto.FLOAT
        graph = helper.make_graph(
            *(nodes, "g", [helper.make_tensor_value_info("x", kind, ["n", rows.shape[1]])]),
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", width])],
            [numpy_helper.from_array(array, name) for name, array in weights.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        (folder / f"{stem}.onnx").write_bytes(model.SerializeToString())
        rows.tofile(folder / f"{stem}.rows")
        described.append(
            {
                **{"name": name, "onnx": str(folder / f"{stem}.onnx"), "integers": kind == TensorProto.INT32},
                "rows": {"file": str(folder / f"{stem}.rows"), "count": len(rows), "width": rows.shape[1]},
            }
        )
    return described


def models():
    node = helper.make_node
    yield perceptron(16, 64, 1)
    yield perceptron(64, 512, 512, 1)
    yield (
        "linear 4096-2",
        [
            *(node("Sub", ["x", "m"], ["o"]), node("Div", ["o", "s"], ["p"]), node("MatMul", ["p", "w"], ["q"])),
            *(node("Add", ["q", "b"], ["z"]), node("Softmax", ["z"], ["y"], axis=1)),
        ],
        {"m": normal(4096), "s": np.abs(normal(4096)) + 1, "w": normal(4096, 2) / 64, "b": normal(2)},
        normal(ROWS, 4096),
        2,
    )
    yield (
        "255 n-grams",
        [
            *(node("Gather", ["table", "x"], ["e"]), node("Cast", ["x"], ["f"], to=TensorProto.FLOAT)),
            *(node("Greater", ["f", "zero"], ["g"]), node("Cast", ["g"], ["k"], to=TensorProto.FLOAT)),
            *(node("Unsqueeze", ["k", "last"], ["u"]), node("Mul", ["e", "u"], ["v"])),
            *(node("ReduceSum", ["v", "one"], ["s"], keepdims=0), node("Relu", ["s"], ["r"])),
            *(node("Gemm", ["r", "w", "b"], ["z"]), node("Softmax", ["z"], ["y"], axis=1)),
        ],
        {
            **{"table": normal(4096, 16) / 16, "zero": np.float32(0), "last": np.array([2]), "one": np.array([1])},
            **{"w": normal(16, 2) / 4, "b": normal(2)},
        },
        RANDOM.integers(0, 4096, (ROWS, 255), "i4"),
        2,
    )


def perceptron(*widths):
    nodes, weights, value = [], {}, "x"
    for at, (rows, columns) in enumerate(zip(widths, widths[1:])):
        weights |= {f"w{at}": (normal(rows, columns) / np.sqrt(rows)).astype("f4"), f"b{at}": normal(columns)}
        nodes.append(helper.make_node("Gemm", [value, f"w{at}", f"b{at}"], [f"s{at}"]))
        last = at == len(widths) - 2
        value = "y" if last else f"h{at}"
        nodes.append(helper.make_node("Sigmoid" if last else "Relu", [f"s{at}"], [value]))
    return f"MLP {'-'.join(map(str, widths))}", nodes, weights, normal(ROWS, widths[0]), widths[-1]


def normal(*shape):
    return RANDOM.normal(size=shape).astype("f4")
