"""Makes the models beside it, which tests of the runtimes run. Needs numpy and onnx from PyPI; `python3 make.py`."""

import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HERE = pathlib.Path(__file__).parent
TYPES = ["BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FLOAT16", "BFLOAT16", "FLOAT",
         "DOUBLE", "STRING"]
node = helper.make_node


def info(name, shape, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def save(name, nodes, inputs, outputs, weights=None, opsets=(("", 17),), check=True, **more):
    """IR version and operator sets are of 2022, so that every runtime of the last years takes them."""
    weights = [numpy_helper.from_array(array, key) for key, array in (weights or {}).items()]
    graph = helper.make_graph(nodes, name, inputs, outputs, weights)
    opsets = [helper.make_opsetid(*opset) for opset in opsets]
    model = helper.make_model(
        graph, opset_imports=opsets, ir_version=8, producer_name="witgate-tests", producer_version="1", **more
    )
    if check:
        onnx.checker.check_model(model)
    (HERE / f"{name}.onnx").write_bytes(model.SerializeToString())


def main():
    random = np.random.default_rng(7)
    normal = lambda *shape: random.normal(size=shape).astype("f4")

    for kind in TYPES:
        of = getattr(TensorProto, kind)
        save(f"identity_{kind.lower()}", [node("Identity", ["x"], ["y"])], [info("x", ["n", None], of)],
             [info("y", ["n", None], of)])

    save("mlp",
         [node("Gemm", ["x", "w1", "b1"], ["h"]), node("Relu", ["h"], ["r"]), node("Gemm", ["r", "w2", "b2"], ["s"]),
          node("Sigmoid", ["s"], ["score"])],
         [info("x", ["batch", 8])], [info("score", ["batch", 1])],
         {"w1": normal(8, 64), "b1": normal(64), "w2": normal(64, 1), "b2": normal(1)},
         doc_string="64 hidden units, one score for each row")
    save("two_by_two",
         [node("Add", ["left", "right"], ["sum"]), node("ReduceMax", ["left"], ["most"], axes=[1], keepdims=0),
          node("Cast", ["most"], ["rounded"], to=TensorProto.INT64)],
         [info("left", ["n", 3]), info("right", ["n", 3])],
         [info("sum", ["n", 3]), info("rounded", ["n"], TensorProto.INT64)])
    # As exporters write a table's columns, whose names they change.
    save("columns",
         [node("Cast", ["length_path"], ["length"], to=TensorProto.FLOAT), node("Mul", ["length", "hundred"], ["hundreds"]),
          node("Add", ["hundreds", "number_header_x_score_"], ["score"])],
         [info("number_header_x_score_", ["n", 1]), info("length_path", ["n", 1], TensorProto.DOUBLE)],
         [info("score", ["n", 1])], {"hundred": np.float32(100)})
    save("fixed_batch", [node("MatMul", ["x", "w"], ["y"])], [info("x", [1, 4])], [info("y", [1, 2])], {"w": normal(4, 2)})
    save("scalar", [node("ReduceMean", ["x"], ["y"], keepdims=0)], [info("x", ["n", 2])], [info("y", [])])
    save("total", [node("ReduceSum", ["items"], ["sum"], keepdims=1), node("Add", ["base", "sum"], ["total"])],
         [info("base", [1]), info("items", ["n"])], [info("total", [1])])
    # The default value of `bias` may be replaced by runtimes that let it be; it is not asked for.
    save("default_input", [node("Add", ["x", "bias"], ["y"])], [info("x", ["n", 2]), info("bias", [2])],
         [info("y", ["n", 2])], {"bias": np.array([1, 2], "f4")})
    save("any_rank", [node("Neg", ["x"], ["y"])], [info("x", None)], [info("y", None)], check=False)
    save("linear_classifier",
         [node("LinearClassifier", ["x"], ["label", "p"], domain="ai.onnx.ml", classlabels_ints=[0, 1],
               coefficients=[-0.5, 0.25, 0.5, -0.25], intercepts=[0.125, -0.125], post_transform="SOFTMAX")],
         [info("x", ["n", 2])], [info("label", ["n"], TensorProto.INT64), info("p", ["n", 2])],
         opsets=(("", 17), ("ai.onnx.ml", 3)))
    save("scaler",
         [node("Scaler", ["x"], ["y"], domain="ai.onnx.ml", offset=[1.0, 2.0], scale=[0.5, 2.0])],
         [info("x", ["n", 2])], [info("y", ["n", 2])], opsets=(("", 17), ("ai.onnx.ml", 3)))
    save("reverse_gru",
         [node("GRU", ["x", "w", "r"], ["y"], hidden_size=2, direction="reverse")],
         [info("x", ["t", 1, 2])], [info("y", ["t", 1, 1, 2])], {"w": normal(1, 6, 2), "r": normal(1, 6, 2)})
    # No machine has its locale.
    save("locale", [node("StringNormalizer", ["x"], ["y"], case_change_action="LOWER", locale="xx_XX.UTF-8")],
         [info("x", ["n"], TensorProto.STRING)], [info("y", ["n"], TensorProto.STRING)])
    save("own_domain", [node("Gelu", ["x"], ["y"], domain="com.example")], [info("x", [1])], [info("y", [1])],
         opsets=(("", 17), ("com.example", 1)))
    save("gather", [node("Gather", ["table", "x"], ["y"])], [info("x", ["n"], TensorProto.INT64)], [info("y", ["n", 2])],
         {"table": normal(4, 2)})
    save("reshape", [node("Reshape", ["x", "pairs"], ["y"])], [info("x", ["n"])], [info("y", [None, 2])],
         {"pairs": np.array([-1, 2])})

    # 400 products of square matrices: as slow as the matrices are large.
    steps = [node("MatMul", [f"x{i}" if i else "x", "x"], [f"m{i}"]) for i in range(400)]
    scales = [node("Clip", [f"m{i}", "low", "high"], [f"x{i + 1}" if i < 399 else "y"]) for i in range(400)]
    save("slow", [one for pair in zip(steps, scales) for one in pair], [info("x", ["n", "n"])], [info("y", ["n", "n"])],
         {"low": np.float32(-1), "high": np.float32(1)})
    body = helper.make_graph(
        [node("MatMul", ["state", "state"], ["squared"]), node("Clip", ["squared", "low", "high"], ["next"]),
         node("Identity", ["go"], ["go_on"])],
        "body", [info("i", [], TensorProto.INT64), info("go", [], TensorProto.BOOL), info("state", [128, 128])],
        [info("go_on", [], TensorProto.BOOL), info("next", [128, 128])])
    save("loop",
         [node("Expand", ["half", "size"], ["start"]), node("Loop", ["count", "", "start"], ["end"], body=body),
          node("ReduceMean", ["end"], ["y"], keepdims=0)],
         [info("count", [], TensorProto.INT64)], [info("y", [])],
         {"half": np.float32(0.5), "size": np.array([128, 128]), "low": np.float32(-1), "high": np.float32(1)})

    # A score that takes a tenth of a second: products of large matrices.
    steps = [node("MatMul", [f"s{i}", f"s{i}"], [f"p{i}"]) for i in range(150)]
    scales = [node("Clip", [f"p{i}", "low", "high"], [f"s{i + 1}"]) for i in range(150)]
    save("work",
         [node("ReduceMean", ["x"], ["mean_x"], keepdims=0), node("Mul", ["mean_x", "zero"], ["none"]),
          node("Expand", ["half", "size"], ["large"]), node("Add", ["large", "none"], ["s0"]), *[one for pair in zip(steps, scales) for one in pair],
          node("ReduceMean", ["s150"], ["mean"], keepdims=0), node("Mul", ["mean", "zero"], ["nothing"]),
          node("Add", ["x", "nothing"], ["score"])],
         [info("x", ["n", 1])], [info("score", ["n", 1])],
         {"half": np.float32(0.5), "size": np.array([192, 192]), "low": np.float32(-1), "high": np.float32(1), "zero": np.float32(1e-30)})

    # What is refused when a model is read.
    sequence = helper.make_value_info("y", helper.make_sequence_type_proto(helper.make_tensor_type_proto(1, ["n"])))
    save("bad_sequence", [node("SequenceConstruct", ["x"], ["y"])], [info("x", ["n"])], [sequence])
    save("bad_float8", [node("Identity", ["x"], ["y"])], [info("x", ["n"], TensorProto.FLOAT8E4M3FN)],
         [info("y", ["n"], TensorProto.FLOAT8E4M3FN)], opsets=(("", 19),), check=False)
    model = onnx.load(HERE / "fixed_batch.onnx")
    weights = model.graph.initializer[0]
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="weights.bin")
    weights.ClearField("raw_data")
    (HERE / "bad_external.onnx").write_bytes(model.SerializeToString())


main()
