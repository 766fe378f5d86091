"""Trains the models that runtimes are compared with, exports and compiles them. Run by run.py, in its environment.

    prepare.py FOLDER

What takes long is kept in FOLDER, with the time that it took: `manifest.json` lists all of it for the program that measures.
"""

import gc
import json
import resource
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import lightgbm
import lleaves
import numpy as np
import onnx
import onnxmltools
import onnxruntime
import tl2cgen
import treelite
import xgboost
from onnxmltools.convert.common.data_types import FloatTensorType

import dense

FEATURES = 30
LEAVES = 31
TREES = (100, 300, 1000)
# So many that no branch predictor learns them by heart, and so few that they stay in the second-level cache.
ROWS = 2048
# Up to this many trees lleaves compiles them as one block, too: 100 took 6 s so, 300 took 63 s, and 1000 had not ended
# after four minutes.
ONE_BLOCK = 300
# What a warning of a compiler would say of generated code helps nobody.
GCC = ("gcc", "-O3", "-march=native", "-fPIC", "-shared", "-w")


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    rows, labels, probes = data()
    probes.tofile(folder / "rows.f32")
    manifest = {
        "versions": {
            "LightGBM": lightgbm.__version__,
            "XGBoost": xgboost.__version__,
            "ONNX Runtime": onnxruntime.__version__,
            "lleaves": version("lleaves"),
            "llvmlite": version("llvmlite"),
            "tl2cgen": version("tl2cgen"),
            "treelite": treelite.__version__,
            "onnxmltools": onnxmltools.__version__,
            "gcc": subprocess.run(["gcc", "-dumpfullversion"], capture_output=True, text=True).stdout.strip(),
        },
        "libraries": {
            "lightgbm": str(library(lightgbm, "lib/lib_lightgbm.so")),
            "xgboost": str(library(xgboost, "lib/libxgboost.so")),
            "onnxruntime": str(library(onnxruntime, "capi/libonnxruntime.so.*")),
        },
        "rows": {"file": str(folder / "rows.f32"), "count": ROWS, "width": FEATURES},
        "trees": [],
        "dense": dense.make(folder),
    }
    for count in TREES:
        manifest["trees"].append(lightgbm_model(folder, count, rows, labels))
    for count in TREES:
        manifest["trees"].append(xgboost_model(folder, count, rows, labels))
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1))


def data():
    """Rows to train with, their labels, and rows of the same distribution to measure with."""
    random = np.random.default_rng(3)
    rows = random.normal(size=(20000, FEATURES)).astype("f4")
    signal = rows[:, 0] * rows[:, 1] + np.sin(3 * rows[:, 2]) + rows[:, 3] ** 2 - rows[:, 4] * rows[:, 5]
    labels = (signal + random.normal(size=len(rows)) * 0.5 > 0.8).astype(int)
    return rows, labels, random.normal(size=(ROWS, FEATURES)).astype("f4")


def lightgbm_model(folder, count, rows, labels):
    path = folder / f"lightgbm-{count}.txt"
    if not (path.exists() and path.with_suffix(".onnx").exists()):
        settings = {"deterministic": True, "force_row_wise": True, "seed": 1, "n_jobs": 1, "verbose": -1}
        model = lightgbm.LGBMClassifier(n_estimators=count, num_leaves=LEAVES, learning_rate=0.03, **settings)
        model.fit(rows, labels)
        model.booster_.save_model(path)
        save(onnxmltools.convert_lightgbm, model, path)
    compiled = compiled_by_tl2cgen(path, treelite.frontend.load_lightgbm_model)
    compiled["lleaves"] = compiled_by_lleaves(path, "lleaves")
    if count <= ONE_BLOCK:
        # What its documentation advises for rows by themselves.
        compiled[f"lleaves, fblocksize={count}"] = compiled_by_lleaves(path, "lleaves-one", fblocksize=count)
    return described("lightgbm", count, path, compiled)


def xgboost_model(folder, count, rows, labels):
    path = folder / f"xgboost-{count}.json"
    if not (path.exists() and path.with_suffix(".onnx").exists()):
        settings = {"max_leaves": LEAVES, "grow_policy": "lossguide", "max_depth": 0, "tree_method": "hist"}
        model = xgboost.XGBClassifier(n_estimators=count, learning_rate=0.03, seed=1, n_jobs=1, **settings)
        model.fit(rows, labels)
        model.save_model(path)
        save(onnxmltools.convert_xgboost, model, path)
    return described("xgboost", count, path, compiled_by_tl2cgen(path, treelite.frontend.load_xgboost_model))


def save(convert, model, path):
    options = {"zipmap": False} if convert is onnxmltools.convert_lightgbm else {}
    made = convert(model, initial_types=[("input", FloatTensorType([None, FEATURES]))], **options)
    path.with_suffix(".onnx").write_bytes(made.SerializeToString())


def described(library, count, path, compiled):
    probabilities = onnx.load(path.with_suffix(".onnx")).graph.output[1].name
    return {
        **{"library": library, "trees": count, "file": str(path), "onnx": str(path.with_suffix(".onnx"))},
        **{"probabilities": probabilities, "compiled": compiled},
    }


def compiled_by_lleaves(path, kind, **options):
    """Compiled as `Model.compile` does, and made a library."""
    compiled = path.with_name(f"{path.stem}-{kind}.o")

    def compile():
        compiled.unlink(missing_ok=True)
        lleaves.Model(model_file=path).compile(cache=compiled, **options)
        # The module that it holds takes gigabytes for large models.
        gc.collect()

    seconds = timed(compiled, compile)
    result = compiled.with_suffix(".so")
    subprocess.run(["gcc", "-shared", "-o", result, compiled, "-lm"], check=True)
    return {"file": str(result), "seconds": seconds}


def compiled_by_tl2cgen(path, load):
    """As C that it generates, in one file (its default), compiled by gcc."""
    result = path.with_name(f"{path.stem}-tl2cgen.so")
    source = path.with_name(f"{path.stem}-tl2cgen")

    def compile():
        tl2cgen.generate_c_code(load(path), dirpath=source, params={})
        subprocess.run([*GCC, "-o", result, source / "main.c", "-lm"], check=True)

    return {"tl2cgen": {"file": str(result), "seconds": timed(result, compile)}}


def timed(result, make):
    """Makes `result` unless it is there, and tells the seconds that it took."""
    note = result.with_suffix(".seconds")
    if not (result.exists() and note.exists()):
        print(f"making {result.name}", file=sys.stderr, flush=True)
        begun = time.process_time() + children()
        make()
        note.write_text(json.dumps(time.process_time() + children() - begun))
    return json.loads(note.read_text())


def children():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def library(package, pattern):
    return next(Path(package.__file__).parent.glob(pattern))


if __name__ == "__main__":
    main()
