"""Writes the models that are measured into a directory; runs in the environment of `install.ensure_python`."""

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

# Opset and file version that every runtime here has known for years.
OPSET, FILE_VERSION = 17, 8
RANDOM = np.random.default_rng(20_261_101)


def main(directory):
    models = {
        # A scorer as gateways have it: the run takes a few microseconds, so that everything around it shows.
        "score64": layers(64, 32, 1),
        "score64-b": layers(64, 32, 1),
        # Reading the weights takes most of a run with one row; 32 rows read them once.
        "wide": layers(64, 2048, 2048, 1),
        # About 1 ms and 100 ms, in the processor's caches, so that two at once do not share more than they must.
        "millisecond": products(256, 3),
        "slow": products(512, 40),
    }
    for name, model in models.items():
        onnx.checker.check_model(model)
        (directory / f"{name}.onnx").write_bytes(model.SerializeToString())


def layers(*widths):
    """Fully connected, with a batch axis: `x` [batch, first] gives `y` [batch, last] from 0 to 1."""
    nodes, weights, value = [], [], "x"
    for at, (rows, columns) in enumerate(zip(widths, widths[1:])):
        matrix = RANDOM.normal(0, 1 / np.sqrt(rows), (rows, columns)).astype(np.float32)
        weights.append(numpy_helper.from_array(matrix, f"w{at}"))
        weights.append(numpy_helper.from_array(np.zeros(columns, np.float32), f"b{at}"))
        nodes.append(helper.make_node("Gemm", [value, f"w{at}", f"b{at}"], [f"sum{at}"]))
        last = at == len(widths) - 2
        value = "y" if last else f"h{at}"
        nodes.append(helper.make_node("Sigmoid" if last else "Relu", [f"sum{at}"], [value]))
    return model(nodes, weights, ["batch", widths[0]], ["batch", widths[-1]])


def products(size, count):
    """Squares of a matrix that the input scales, one after the other: as long as wanted, with little memory."""
    matrix = RANDOM.normal(0, 1 / np.sqrt(size), (size, size)).astype(np.float32)
    weights = [numpy_helper.from_array(matrix, "w"), numpy_helper.from_array(np.array([0, 1], np.int64), "axes")]
    nodes, value = [helper.make_node("Mul", ["x", "w"], ["h0"])], "h0"
    for at in range(count):
        nodes.append(helper.make_node("MatMul", [value, "w"], [f"h{at + 1}"]))
        value = f"h{at + 1}"
    nodes.append(helper.make_node("ReduceSum", [value, "axes"], ["y"], keepdims=1))
    return model(nodes, weights, [1, 1], [1, 1])


def model(nodes, weights, taken, given):
    def tensor(name, shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    graph = helper.make_graph(nodes, "measured", [tensor("x", taken)], [tensor("y", given)], weights)
    opsets = [helper.make_opsetid("", OPSET)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=FILE_VERSION, producer_name="witgate-bench")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
