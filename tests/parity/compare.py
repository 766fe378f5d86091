"""Holds what the embedded runtime gives to what the library gives that trained a model, and to ONNX Runtime. README.md tells more.

python3 compare.py [--witgate FILE] [--rows COUNT] [--out FILE] [PATTERN…]"""

import argparse
import fnmatch
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
warnings.filterwarnings("ignore")

import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402
import pandas  # noqa: E402
import sklearn  # noqa: E402

import exports  # noqa: E402
import natives  # noqa: E402
import rows as hostile_rows  # noqa: E402

TOLERANCE = 1e-6
SLOW_ROWS = 10_000
BATCH = 1000


def apart(expected, got):
    """As `witgate model verify` has it: absolute from -1 to 1, in proportion beyond."""
    if expected.dtype.kind in "OUS" or got.dtype.kind in "OUS":
        return np.where(expected.astype(str) == got.astype(str), 0.0, np.inf)
    expected, got = expected.astype(float), got.astype(float)
    with np.errstate(all="ignore"):
        differs = np.abs(expected - got) / np.maximum(np.abs(expected), 1)
    same = (expected == got) | np.isnan(expected) & np.isnan(got)
    return np.where(same, 0.0, np.where(np.isnan(differs), np.inf, differs))


def summary(differences):
    beyond = differences > TOLERANCE
    largest = float(differences.max(initial=0.0))
    return {"beyond": int(beyond.sum()), "largest": largest if np.isfinite(largest) else "inf"}


def verify(witgate, model, columns, expected, folder, tolerance=TOLERANCE):
    """What `witgate model verify` says of what should come out."""
    table = pandas.DataFrame(columns | {f"={name}": values for name, values in expected.items()})
    samples = f"{folder}/samples.csv"
    table.to_csv(samples, index=False, na_rep="nan")
    command = [witgate, "model", "verify", model, "--samples", samples, "--format", "json", "--runtime", "/none"]
    done = subprocess.run([*command, "--tolerance", str(tolerance)], capture_output=True, text=True)
    try:
        report = json.loads(done.stdout)
    except ValueError:
        return {"problem": f"{done.stdout} {done.stderr}".strip()[:500]}
    if "runtimes" not in report:
        return {"problem": report.get("error"), "help": report.get("help")}
    report = report["runtimes"][0]
    if "problem" in report:
        return {key: report[key] for key in ("problem", "help")}
    return {
        "beyond": sum(column["beyond"] for column in report["columns"]),
        "largest": max((float(column["difference"]) for column in report["columns"]), default=0.0),
        "worst": [[column["of"], *column["worst"][:2]] for column in report["columns"] if column["beyond"]],
    }


def verify_outputs(witgate, model, columns, given, labels, folder):
    """By the names of classes, if the graph tells them, or else by the places of columns."""
    report = verify(witgate, model, columns, columns_of(given, labels), folder)
    if labels and "names no classes" in str(report.get("problem")):
        return verify(witgate, model, columns, columns_of(given), folder)
    return report


def inputs_for(case, graph, count):
    """What goes into a graph: for the library, for ONNX Runtime, and as the columns of samples."""
    if isinstance(case.trained, str):
        texts = hostile_rows.texts(count)
        return texts, {graph.graph.input[0].name: texts.reshape(-1, 1)}, {"text": texts}
    if isinstance(case.trained, pandas.DataFrame):
        # Numbers are hostile, texts are those of the training and others.
        random = np.random.default_rng(11)
        numbers = case.trained.select_dtypes(np.floating)
        table = pandas.DataFrame(hostile_rows.hostile(numbers.to_numpy(), {}, count), columns=numbers.columns)
        for name in case.trained.columns.difference(numbers.columns):
            known = case.trained[name].to_numpy()
            other = ["", "GET", "ß", "9"] if known.dtype.kind == "O" or known.dtype.kind in "UT" else [-1, 99, 2**40]
            table[name] = np.where(random.random(count) < 0.8, random.choice(known, count), random.choice(other, count))
        table = table[case.trained.columns]
        feeds = {name: table[[name]].to_numpy() for name in table.columns}
        feeds = {name: values.astype(object) if values.dtype.kind in "OUT" else values for name, values in feeds.items()}
        return table, feeds, {name: values.ravel() for name, values in feeds.items()}
    numbers = hostile_rows.hostile(case.trained, hostile_rows.thresholds(graph), count)
    columns = {f"c{at}": numbers[:, at].astype(float) for at in range(numbers.shape[1])}
    return numbers, {graph.graph.input[0].name: numbers}, columns


def by_onnx_runtime(session, feeds, count):
    """Each output, with a row for each row; maps as their numbers."""
    given = {}
    for at in range(0, count, BATCH):
        batch = {name: values[at : at + BATCH] for name, values in feeds.items()}
        for output, values in zip(session.get_outputs(), session.run(None, batch)):
            if isinstance(values, list):
                values = np.array([list(row.values()) for row in values])
            if len(values) == len(next(iter(batch.values()))):
                given.setdefault(output.name, []).append(values.reshape(len(values), -1))
    return {name: np.concatenate(parts) for name, parts in given.items()}


def columns_of(given, labels=()):
    """Outputs as the columns of samples, by their classes where these are other numbers than their places."""
    expected = {}
    for name, values in given.items():
        places = labels if len(labels) == values.shape[1] else range(values.shape[1])
        for at, place in enumerate(places):
            column = f"[{place}]" if place == at else f'["{place}"]'
            expected[name if values.shape[1] == 1 else f"{name}{column}"] = values[:, at]
    return {name: values.astype(float) if values.dtype.kind == "f" else values for name, values in expected.items()}


def taken(case, x):
    """Which rows the library takes."""
    if isinstance(case.trained, str) or case.takes == "all":
        return np.ones(len(x), bool)
    numbers = x.select_dtypes(np.number).to_numpy().astype(float) if isinstance(x, pandas.DataFrame) else x
    with np.errstate(all="ignore"):
        return ~np.isinf(numbers).any(1) if case.takes == "no_infinity" else np.isfinite(numbers).all(1)


def is_huge(x):
    """Rows with numbers whose squares leave the range of floats: there sums overflow or do not, as they are put together."""
    if isinstance(x, pandas.DataFrame):
        x = x.select_dtypes(np.number).to_numpy().astype(float)
    if x.dtype.kind != "f":
        return np.zeros(len(x), bool)
    with np.errstate(all="ignore"):
        return (np.isfinite(x) & (np.abs(x) > 1e18)).any(1)


def export(case, witgate, count, folder):
    graph, library = case.make()
    path = f"{folder}/model.onnx"
    with open(path, "wb") as file:
        file.write(graph.SerializeToString())
    count = min(count, SLOW_ROWS) if case.slow else count
    x, feeds, columns = inputs_for(case, graph, count)
    report = {"rows": count}
    fit = taken(case, x)
    of_library = {name: np.asarray(values) for name, values in library(x[fit]).items() if values is not None}
    of_library = {name: values.reshape(len(values), -1) for name, values in of_library.items()}
    report["library_rows"] = int(fit.sum())
    labels = [] if "label" not in of_library else np.unique(of_library["label"])
    labels = labels.astype(int).tolist() if len(labels) == 2 and labels.dtype.kind in "if" else []
    try:
        onnxruntime.set_default_logger_severity(4)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        given = by_onnx_runtime(session, feeds, count)
    except Exception as error:
        report["onnx_runtime"] = {"problem": str(error)[:300]}
        names = {output.name for output in graph.graph.output}
        kept = {name: values for name, values in of_library.items() if name in names and values.dtype.kind != "O"}
        report["embedded"] = verify_outputs(witgate, path, {name: values[fit] for name, values in columns.items()}, kept, labels, folder)
        return report
    for name, values in given.items():
        if name not in of_library:
            continue
        theirs = of_library[name]
        if theirs.shape[1] == 1 and values.shape[1] == 2 and name != "label":
            # The decision of two classes is one number, of which graphs make two columns.
            values = values[:, 1:]
        if theirs.shape[1] != values.shape[1]:
            report.setdefault("export", {})[name] = {"shapes": [theirs.shape[1], values.shape[1]]}
            continue
        report.setdefault("export", {})[name] = summary(apart(theirs, values[fit]))
    huge = is_huge(x)
    for key, which in (("embedded", ~huge), ("embedded_huge", huge)):
        if not which.any():
            continue
        some = {name: values[which] for name, values in columns.items()}
        report[key] = verify_outputs(witgate, path, some, {name: values[which] for name, values in given.items()}, labels, folder)
        # Who is right where they differ?
        kept = {name: np.zeros((count, of_library[name].shape[1]), of_library[name].dtype) for name in given if name in of_library}
        kept = {name: values for name, values in kept.items() if values.shape[1] == given[name].shape[1]}
        if report[key].get("beyond") and kept and (which & fit).any():
            for name, values in kept.items():
                values[fit] = of_library[name]
            both = which & fit
            some = {name: values[both] for name, values in columns.items()}
            expected = {name: values[both] for name, values in kept.items()}
            report[f"{key}_and_library"] = verify_outputs(witgate, path, some, expected, labels, folder)
            report[f"{key}_export"] = {name: summary(apart(values[both], given[name][both])) for name, values in kept.items()}
    return report


def native(case, witgate, count, folder):
    name, trained, make, accepts = case
    path, borders, library = make(folder)
    x = hostile_rows.hostile(trained, borders, count)
    x = x[accepts(x)]
    given = np.asarray(library(x)).reshape(len(x), -1)
    # Of two classes the score is the second one's.
    given = given[:, -1:] if given.shape[1] == 2 else given
    names = [""] if given.shape[1] == 1 else [f"probabilities[{at}]" for at in range(given.shape[1])]
    columns = {f"c{at}": x[:, at].astype(float) for at in range(x.shape[1])}
    expected = {column: given[:, at].astype(float) for at, column in enumerate(names)}
    report = verify(witgate, path, columns, expected, folder, 0)
    return {"rows": len(x), "embedded": report}


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--witgate", default="../../target/release/witgate")
    arguments.add_argument("--rows", type=int, default=100_000)
    arguments.add_argument("--out")
    arguments.add_argument("patterns", nargs="*", default=["*"])
    options = arguments.parse_args()
    wanted = lambda name: any(fnmatch.fnmatch(name, pattern) for pattern in options.patterns)  # noqa: E731
    work = [(case.name, export, case) for case in exports.cases() if wanted(case.name)]
    work += [(f"native_{case[0]}", native, case) for case in natives.cases() if wanted(f"native_{case[0]}")]
    sklearn.set_config(assume_finite=True)
    bad = 0
    for name, run, case in work:
        begun = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            try:
                report = run(case, options.witgate, options.rows, folder)
            except Exception as error:
                report = {"failed": f"{type(error).__name__}: {error}"[:300]}
        report = {"case": name, **report, "seconds": round(time.monotonic() - begun, 1)}
        bad += report.get("embedded", {}).get("beyond", 1) != 0
        print(json.dumps(report), flush=True)
        if options.out:
            with open(options.out, "a") as file:
                file.write(json.dumps(report) + "\n")
    print(f"{len(work)} models, {bad} not the same", file=sys.stderr)
    sys.exit(bad != 0)


if __name__ == "__main__":
    main()
