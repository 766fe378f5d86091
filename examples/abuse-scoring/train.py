"""Trains abuse.onnx: how likely is a request an attack, by its path and query?

python3 -m venv venv && . venv/bin/activate
pip install -r requirements.txt ../../python/witgate_features
python3 train.py            # downloads the data, trains, writes abuse.onnx, figures.json and samples.jsonl
python3 train.py --check    # measures the committed model, and fails if its figures are not those of figures.json
"""

import argparse
import json
import os
import warnings
from pathlib import Path

# One thread: sums in another order are other sums.
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy
import onnx
import sklearn.metrics
import sklearn.neural_network
import sklearn.preprocessing
import witgate_features

import sources

HERE = Path(__file__).resolve().parent
FEATURES = witgate_features.load(HERE / "gateway.toml", "request-shape")
HIDDEN = 24
OPSET = 17
# As in gateway.toml.
REFUSE_ABOVE = 0.9


def matrix(requests):
    return numpy.array([FEATURES.extract(request) for request in requests], dtype=numpy.float32)


def trained(rows):
    """Weights and biases of both layers; the scaling of the inputs is in the first."""
    inputs = matrix([request for request, _ in rows]).astype(numpy.float64)
    labels = numpy.array([label for _, label in rows])
    scaler = sklearn.preprocessing.StandardScaler().fit(inputs)
    # Rare buckets would be blown up.
    scaler.scale_ = numpy.maximum(scaler.scale_, 0.05)
    network = sklearn.neural_network.MLPClassifier(
        [HIDDEN], alpha=3e-3, batch_size=256, learning_rate_init=1e-3, max_iter=12, random_state=sources.SEED, tol=0
    )
    with warnings.catch_warnings():
        # It is stopped early on purpose.
        warnings.simplefilter("ignore")
        network.fit(scaler.transform(inputs), labels)
    first, second = network.coefs_
    weights = first / scaler.scale_[:, None]
    bias = network.intercepts_[0] - scaler.mean_ @ weights
    return [array.astype(numpy.float32) for array in (weights, bias, second, network.intercepts_[1])]


def model(layers):
    names = ["hidden_weights", "hidden_bias", "score_weights", "score_bias"]
    nodes = [
        onnx.helper.make_node("Gemm", ["features", names[0], names[1]], ["hidden_sum"]),
        onnx.helper.make_node("Relu", ["hidden_sum"], ["hidden"]),
        onnx.helper.make_node("Gemm", ["hidden", names[2], names[3]], ["logit"]),
        onnx.helper.make_node("Sigmoid", ["logit"], ["score"]),
    ]
    float32 = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        nodes,
        "abuse",
        [onnx.helper.make_tensor_value_info("features", float32, ["N", FEATURES.width])],
        [onnx.helper.make_tensor_value_info("score", float32, ["N", 1])],
        [onnx.numpy_helper.from_array(layer, name) for layer, name in zip(layers, names)],
    )
    made = onnx.helper.make_model(
        graph,
        producer_name="witgate examples/abuse-scoring",
        ir_version=8,
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
    )
    made.doc_string = "Probability that a request is an attack, by the features request-shape of gateway.toml."
    onnx.checker.check_model(made, full_check=True)
    return made


def scores(made, inputs):
    """The model's answer, computed by hand: one dependency less, and the same on every machine to a millionth."""
    layers = [onnx.numpy_helper.to_array(tensor).astype(numpy.float64) for tensor in made.graph.initializer]
    hidden = numpy.maximum(inputs.astype(numpy.float64) @ layers[0] + layers[1], 0)
    return 1 / (1 + numpy.exp(-(hidden @ layers[2] + layers[3])))[:, 0]


def measured(made, directory):
    """What the model does with sources that it has not seen."""
    attacks = scores(made, matrix(sources.held_out_attacks(directory)))
    ordinary = scores(made, matrix(sources.held_out_ordinary(directory)))
    labels = numpy.repeat([1, 0], [len(attacks), len(ordinary)])
    area = sklearn.metrics.roc_auc_score(labels, numpy.concatenate([attacks, ordinary]))

    def found(false_positives):
        threshold = numpy.quantile(ordinary, 1 - false_positives, method="higher")
        return float((attacks > threshold).mean())

    return {
        "held-out attacks": len(attacks),
        "held-out ordinary requests": len(ordinary),
        "area under the curve": round(float(area), 3),
        "found at 1 % false positives": round(found(0.01), 3),
        "found at 0.1 % false positives": round(found(0.001), 3),
        f"found above {REFUSE_ABOVE}": round(float((attacks > REFUSE_ABOVE).mean()), 3),
        f"false positives above {REFUSE_ABOVE}": round(float((ordinary > REFUSE_ABOVE).mean()), 4),
    }


SAMPLES = [
    {"path": "/search", "query": "q=blue+shoes&page=2"},
    {"path": "/search", "query": "q=1'+UNION+SELECT+password+FROM+users--"},
    {"path": "/static/../../../etc/passwd"},
    {"path": "/profile", "query": "name=%3Cscript%3Ealert(1)%3C%2Fscript%3E"},
    {"path": "/profile", "query": "name=Se%C3%A1n+O%27Connor&city=Dublin"},
    {"path": "/"},
    {"path": "/run", "query": "cmd=%253Bcat%2520/etc/passwd"},
    {"path": "/api/v1/orders/8812", "query": "expand=items,customer&limit=50"},
]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="measure the committed model instead of training one")
    parser.add_argument("--data", type=Path, default=HERE / "data", help="where the downloads are")
    arguments = parser.parse_args()
    sources.fetch(arguments.data)
    if arguments.check:
        made = onnx.load(HERE / "abuse.onnx")
        figures = measured(made, arguments.data)
        print(json.dumps(figures, indent=4))
        committed = json.loads((HERE / "figures.json").read_text())
        if figures != committed:
            raise SystemExit(f"error: figures.json says otherwise: {committed}")
        return
    rows = sources.training(arguments.data)
    print(f"training on {len(rows)} requests, {sum(label for _, label in rows)} of them attacks")
    made = model(trained(rows))
    figures = measured(made, arguments.data)
    onnx.save(made, HERE / "abuse.onnx")
    (HERE / "figures.json").write_text(json.dumps(figures, indent=4) + "\n")
    samples = zip(SAMPLES, scores(made, matrix(SAMPLES)))
    lines = [json.dumps({"request": request, "score": round(float(score), 4)}) for request, score in samples]
    (HERE / "samples.jsonl").write_text("\n".join(lines) + "\n")
    print(json.dumps(figures, indent=4), *lines, sep="\n")


if __name__ == "__main__":
    main()
