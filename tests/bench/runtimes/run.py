"""Compares runtimes of ONNX models: the operator cases of the `onnx` package, and run times of a few models.

Needs onnx, numpy, onnxruntime and magika from PyPI, and the binary beside it (`cargo build --release`).
"""

import collections
import json
import pathlib
import subprocess
import sys
import tempfile
import time
import warnings

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

HERE = pathlib.Path(__file__).parent
BINARY = HERE / "target/release/witgate-bench-runtimes"
KNOWN = {"bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float16", "float32", "float64"}


def session(model):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def value(folder, name, array):
    array = np.ascontiguousarray(array) if array.ndim else array
    file = folder / f"{len(list(folder.iterdir()))}.bin"
    file.write_bytes(array.tobytes())
    return {"name": name, "dtype": array.dtype.name, "shape": list(array.shape), "file": str(file)}


def array(data):
    if isinstance(data, TensorProto):
        data = numpy_helper.to_array(data)
    return data if isinstance(data, np.ndarray) or np.isscalar(data) else None


def operator_cases(root):
    """Cases with tensors of common types only, and how ONNX Runtime fares with them."""
    from onnx.backend.test.case.node import collect_testcases

    cases, left_out, results = [], 0, {}
    for case in collect_testcases(None):
        model = case.model
        inputs, outputs = case.data_sets[0]
        inputs, outputs = [array(one) for one in inputs], [array(one) for one in outputs]
        if any(one is None or np.asarray(one).dtype.name not in KNOWN for one in inputs + outputs):
            left_out += 1
            continue
        folder = root / case.name
        folder.mkdir()
        (folder / "model.onnx").write_bytes(model.SerializeToString())
        inputs = dict(zip([i.name for i in model.graph.input], map(np.asarray, inputs)))
        outputs = [np.asarray(one) for one in outputs]
        cases.append({
            "name": case.name,
            "model": str(folder / "model.onnx"),
            "inputs": [value(folder, name, one) for name, one in inputs.items()],
            "outputs": [value(folder, o.name, one) for o, one in zip(model.graph.output, outputs)],
            "ops": sorted({node.op_type for node in model.graph.node}),
        })
        try:
            got = session(model.SerializeToString()).run(None, inputs)
            ok = all(
                g.shape == e.shape and np.allclose(g.astype("f8"), e.astype("f8"), 1e-3, 1e-4, equal_nan=True)
                for g, e in zip(got, outputs)
            )
            results[case.name] = "ok" if ok else "wrong"
        except Exception as error:
            results[case.name] = f"load: {error}"
    return cases, left_out, results


def graph(nodes, inputs, outputs, weights):
    made = helper.make_graph(nodes, "g", inputs, outputs, [numpy_helper.from_array(a, n) for n, a in weights.items()])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def info(name, shape, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def models():
    """A few shapes of what scores requests: name, bytes, and inputs for a batch."""
    random = np.random.default_rng(1)
    normal = lambda *shape: random.normal(size=shape).astype("f4")
    node = helper.make_node
    mlp = graph(
        [node("Gemm", ["x", "a", "b"], ["h"]), node("Relu", ["h"], ["r"]),
         node("Gemm", ["r", "c", "d"], ["s"]), node("Sigmoid", ["s"], ["y"])],
        [info("x", ["n", 16])], [info("y", ["n", 1])],
        {"a": normal(16, 64), "b": normal(64), "c": normal(64, 1), "d": normal(1)},
    )
    linear = graph(
        [node("Sub", ["x", "m"], ["o"]), node("Div", ["o", "s"], ["p"]), node("MatMul", ["p", "w"], ["q"]),
         node("Add", ["q", "b"], ["z"]), node("Softmax", ["z"], ["y"], axis=1)],
        [info("x", ["n", 4096])], [info("y", ["n", 2])],
        {"m": normal(4096), "s": np.abs(normal(4096)) + 1, "w": normal(4096, 2), "b": normal(2)},
    )
    trigrams = graph(
        [node("Gather", ["table", "x"], ["e"]), node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
         node("Greater", ["f", "zero"], ["g"]), node("Cast", ["g"], ["k"], to=TensorProto.FLOAT),
         node("Unsqueeze", ["k", "last"], ["u"]), node("Mul", ["e", "u"], ["v"]),
         node("ReduceSum", ["v", "one"], ["s"], keepdims=0), node("Relu", ["s"], ["r"]),
         node("Gemm", ["r", "w", "b"], ["z"]), node("Softmax", ["z"], ["y"], axis=1)],
        [info("x", ["n", 255], TensorProto.INT32)], [info("y", ["n", 2])],
        {"table": normal(4096, 16), "zero": np.float32(0), "last": np.array([2]), "one": np.array([1]),
         "w": normal(16, 2), "b": normal(2)},
    )
    import magika

    file = pathlib.Path(magika.__file__).parent / "models/standard_v3_3/model.onnx"
    size = session(str(file)).get_inputs()[0].shape[1]
    yield "MLP 16-64-1", mlp.SerializeToString(), lambda n: {"x": normal(n, 16)}
    yield "linear, 4096 inputs", linear.SerializeToString(), lambda n: {"x": normal(n, 4096)}
    yield "255 n-grams", trigrams.SerializeToString(), lambda n: {"x": random.integers(0, 4096, (n, 255), "i4")}
    yield "magika", file.read_bytes(), lambda n: {"bytes": random.integers(0, 256, (n, size), "i4")}


def engine(name, what, file, count):
    """What the binary says of each case; a case that ends the process is a crash, and the next one goes on."""
    results, first = {}, 0
    while first < count:
        try:
            done = subprocess.run([BINARY, name, what, file, str(first)], capture_output=True, text=True, timeout=900)
        except subprocess.TimeoutExpired:
            raise SystemExit(f"{name} hangs")
        lines = [line.split(" ", 2) for line in done.stdout.splitlines() if line[:1].isdigit()]
        for line in lines:
            results[line[1]] = line[2] if len(line) > 2 and line[2] else "crash"
            first = int(line[0]) + 1
        if done.returncode == 0:
            break
        if not lines:
            raise SystemExit(f"{name}: {done.stderr}")
    return results


def kind(result):
    return result.split(":")[0].split(" ")[0]


def compare_operators(root):
    cases, left_out, ours = operator_cases(root)
    file = root / "cases.json"
    file.write_text(json.dumps(cases))
    print(f"{len(cases)} operator cases, {left_out} left out (sequences, optionals, strings, 8-bit floats and such)")
    results = {"onnxruntime": ours}
    for name in ["rten", "tract", "tract-concrete"]:
        results[name] = engine(name, "check", file, len(cases))
    (root.parent / "operators.json").write_text(json.dumps({"cases": cases, "results": results}))
    for name, result in results.items():
        operators = collections.defaultdict(list)
        for case in cases:
            for op in case["ops"] if len(case["ops"]) == 1 else []:
                operators[op].append(result[case["name"]] == "ok")
        some, whole = sum(any(v) for v in operators.values()), sum(all(v) for v in operators.values())
        counts = dict(collections.Counter(kind(result[case["name"]]) for case in cases).most_common())
        print(f"{name}: {counts}; of {len(operators)} operators, {whole} in all cases and {some} in some")


def compare_times(root):
    for name, model, inputs in models():
        for batch in [1, 8, 32]:
            folder = root / f"{name}-{batch}".replace(" ", "_")
            folder.mkdir()
            (folder / "model.onnx").write_bytes(model)
            values = inputs(batch)
            ran = session(model)
            times, begun = [], time.perf_counter()
            while time.perf_counter() - begun < 2 or len(times) < 20:
                start = time.perf_counter_ns()
                ran.run(None, values)
                times.append((time.perf_counter_ns() - start) / 1000)
            times = sorted(times[len(times) // 10:])
            line = [f"onnxruntime (Python) {times[len(times) // 2]:.1f} {times[len(times) * 99 // 100]:.1f}"]
            case = {"name": "time", "model": str(folder / "model.onnx"), "outputs": [],
                    "inputs": [value(folder, n, a) for n, a in values.items()]}
            file = folder / "case.json"
            file.write_text(json.dumps([case]))
            for runtime in ["rten", "tract", "tract-concrete"]:
                line.append(f"{runtime} {engine(runtime, 'time', file, 1)['time'][:60]}")
            print(f"{name}, batch {batch}, p50 and p99 us: " + "; ".join(line), flush=True)


def main():
    warnings.simplefilter("ignore")
    what = sys.argv[1:] or ["operators", "times"]
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        if "operators" in what:
            (root / "cases").mkdir()
            compare_operators(root / "cases")
            (HERE / "target/operators.json").write_bytes((root / "operators.json").read_bytes())
        if "times" in what:
            (root / "times").mkdir()
            compare_times(root / "times")


main()
