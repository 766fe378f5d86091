"""Makes model files of older versions, with rows and scores as make.py does:

    python make_old.py DIRECTORY

Run with lightgbm 3.3.5 and xgboost 1.7.6, and with lightgbm 2.3.1 and xgboost 1.4.2 (numpy 1.26.4 both times); the names of
the files have the versions.
"""

import json
import struct
import sys
from pathlib import Path

import lightgbm as lgb
import numpy as np
import xgboost as xgb

OUT = Path(sys.argv[1])
ROWS, TRAIN = 60, 1500


def data(seed, rows):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 5))
    x[rng.random(rows) < 0.12, 1] = np.nan
    x[:, 2] = rng.integers(0, 12, rows)
    x[rng.random(rows) < 0.5, 3] = 0.0
    x[:, 4] = 1.7e9 + rng.integers(0, 100000, rows)
    return x


def write(name, x, score, raw):
    score, raw = (np.asarray(a, dtype=np.float64).reshape(len(x), -1) for a in (score, raw))
    with open(OUT / f"{name}.rows", "wb") as file:
        file.write(b"rows" + struct.pack("<3I", len(x), x.shape[1], score.shape[1]))
        for part in (x, score) if score.tobytes() == raw.tobytes() else (x, score, raw):
            numbers = np.ascontiguousarray(part, dtype=">f8").tobytes()
            for at in range(0, len(numbers), 8):
                packed = numbers[at:at + 8].rstrip(b"\0")
                file.write(bytes([len(packed)]) + packed)


def main():
    x = data(3, TRAIN)
    filled = np.nan_to_num(x, nan=-1.5)
    t = filled[:, 0] + 0.8 * filled[:, 1] + np.isin(filled[:, 2], [1, 4, 6]) * 1.7 + 0.9 * (filled[:, 3] == 0)
    binary = (t > 1).astype(float)
    classes = np.digitize(t, [0, 1.5]).astype(float)
    test = data(7, ROWS).astype(np.float32).astype(np.float64)
    version = lgb.__version__.replace(".", "_")
    for name, params, y in [("binary", {"objective": "binary"}, binary),
                            ("multiclass", {"objective": "multiclass", "num_class": 3}, classes),
                            ("zero", {"objective": "binary", "zero_as_missing": True}, binary)]:
        params = {"num_leaves": 6, "verbose": -1, "num_threads": 1, "learning_rate": 0.3, **params}
        booster = lgb.train(params, lgb.Dataset(x, y, categorical_feature=[2]), 2)
        booster.save_model(str(OUT / f"lgb_{version}_{name}.txt"))
        write(f"lgb_{version}_{name}", test, booster.predict(test), booster.predict(test, raw_score=True))
    version = xgb.__version__.replace(".", "_")
    for name, params, y, ext in [("binary", {"objective": "binary:logistic"}, binary, "json"),
                                 ("logitraw", {"objective": "binary:logitraw", "base_score": 0.7}, binary, "json"),
                                 ("softprob", {"objective": "multi:softprob", "num_class": 3}, classes, "json"),
                                 ("dart", {"objective": "binary:logistic", "booster": "dart", "rate_drop": 0.5}, binary, "json"),
                                 ("poisson", {"objective": "count:poisson"}, np.exp(t / 3), "ubj"),
                                 ("linear", {"objective": "binary:logistic", "booster": "gblinear",
                                             "updater": "coord_descent"}, binary, "json")]:
        if ext == "ubj" and xgb.__version__ < "1.6":
            ext = "json"
        params = {"max_depth": 3, "nthread": 1, "eta": 0.4, "verbosity": 0, **params}
        booster = xgb.train(params, xgb.DMatrix(x, y), 2)
        booster.save_model(str(OUT / f"xgb_{version}_{name}.{ext}"))
        matrix = xgb.DMatrix(test)
        write(f"xgb_{version}_{name}", test, booster.predict(matrix), booster.predict(matrix, output_margin=True))


main()
