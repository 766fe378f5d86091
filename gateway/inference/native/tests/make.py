"""Makes model files of the three libraries, rows, and the scores that the libraries give them.

    python make.py DIRECTORY [ROWS]

writes NAME.EXT and NAME.rows for each case; `tests/models` has them with 96 rows each, `cargo run --example compare` takes
any. A .rows file is: the bytes "rows", three u32 (rows, columns, outputs), little-endian, and then numbers: all rows, all
scores and, if they are others, all raw scores, row by row. A number is a byte with a length, and so many bytes of an f64,
from the highest on; those that follow are zero.

Made with lightgbm 4.7.0, xgboost 3.2.0 (xgboost-cpu), catboost 1.2.10, scikit-learn 1.9.1, pandas 3.1.1, numpy 2.4.6.
Cases of older versions are made by make_old.py.
"""

import json
import re
import struct
import sys
import tempfile
from pathlib import Path

import catboost as cb
import lightgbm as lgb
import numpy as np
import pandas as pd
import xgboost as xgb

OUT = Path(sys.argv[1])
ROWS = int(sys.argv[2]) if len(sys.argv) > 2 else 96
ONLY = sys.argv[3] if len(sys.argv) > 3 else ""
NAMES = ["score", "hits", "count", "sparse", "time"]
TRAIN = 1500


def data(seed, rows, codes=False, clean=False):
    """Five columns: two plain ones of which one has gaps, counts (or codes), many zeros, seconds since 1970."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 5))
    x[rng.random(rows) < 0.12, 1] = 0.0 if clean else np.nan
    x[:, 2] = rng.integers(0, 12, rows)
    x[rng.random(rows) < 0.5, 3] = 0.0
    x[:, 4] = 1.7e9 + rng.integers(0, 100000, rows)
    if not codes and not clean:
        x[:, 2] = np.where(rng.random(rows) < 0.05, np.nan, x[:, 2])
    return x


def target(x, seed=5):
    rng = np.random.default_rng(seed)
    filled = np.nan_to_num(x, nan=-1.5)
    odd = np.isin(filled[:, 2], [1, 4, 6, 11]) * 1.7
    return filled[:, 0] + 0.8 * filled[:, 1] + odd + 0.9 * (filled[:, 3] == 0) + (filled[:, 4] - 1.7e9) / 5e4 \
        + 0.4 * rng.normal(size=len(x))


def rows_for(thresholds, seed=77, codes=False, infinite=True):
    """Ordinary rows, and rows in which each number may be a strange one, or a threshold or what is next to it."""
    rng = np.random.default_rng(seed)
    x = data(seed + 1, ROWS, codes).astype(np.float32).astype(np.float64)
    strange = [np.nan, 0.0, -0.0, 1e-36, -1e-36, float(np.float32(1e-35)), -float(np.float32(1e-35)), 1e-300, 1.7e9,
               1700000000.5, 16777217.0, -1.0, 0.5, 3e38, -3e38, 1e-40]
    if infinite:
        strange += [np.inf, -np.inf, 1e300, -1e300, 1.7976931348623157e308]
    for row in range(len(x)):
        kind = row % 4
        for column in range(x.shape[1]):
            near = thresholds.get(column, [])
            if kind == 1 and len(near) and rng.random() < 0.6:
                t = near[rng.integers(len(near))]
                x[row, column] = [t, np.nextafter(t, np.inf), np.nextafter(t, -np.inf), float(np.float32(t)),
                                  float(np.nextafter(np.float32(t), np.float32(np.inf))),
                                  float(np.nextafter(np.float32(t), np.float32(-np.inf)))][rng.integers(6)]
            elif kind == 2 and rng.random() < 0.4:
                x[row, column] = strange[rng.integers(len(strange))]
            elif kind == 3 and codes and column == 2:
                x[row, column] = [-1.0, -0.5, 0.9, 3.7, 11.0, 12.0, 31.0, 32.0, 1e6, np.nan, 4.0, 2147483648.0, 1e30,
                                  -3e9][rng.integers(14)]
    if not infinite:
        x[~(np.abs(x) < 3.3e38) & ~np.isnan(x)] = 1.0
    return x


def write(name, save, x, score, raw):
    score, raw = (np.asarray(a, dtype=np.float64).reshape(len(x), -1) for a in (score, raw))
    assert score.shape == raw.shape, (name, score.shape, raw.shape)
    save(OUT)
    with open(OUT / f"{name}.rows", "wb") as file:
        file.write(b"rows" + struct.pack("<3I", len(x), x.shape[1], score.shape[1]))
        # Raw scores are left out where they are the scores.
        for part in (x, score) if score.tobytes() == raw.tobytes() else (x, score, raw):
            numbers = np.ascontiguousarray(part, dtype=">f8").tobytes()
            for at in range(0, len(numbers), 8):
                packed = numbers[at:at + 8].rstrip(b"\0")
                file.write(bytes([len(packed)]) + packed)
    print(f"{name}: {score.shape[1]} outputs, mean {score.mean():.6g}")


def wanted(name):
    return ONLY in name


# LightGBM -------------------------------------------------------------------------------------------------------------

def lgb_thresholds(text):
    thresholds = {}
    for features, values in re.findall(r"split_feature=(.*)\n.*\nthreshold=(.*)\n", text):
        for feature, value in zip(features.split(), values.split()):
            thresholds.setdefault(int(feature), []).append(float(value))
    return thresholds


def shortened(text):
    """Without most of the training's parameters, which are half of a small file."""
    kept = "boosting|objective|categorical_feature|linear_tree|num_class|sigmoid"
    return re.sub(rf"\n\[(?!({kept}): )[a-z_]+: [^\n]*\]", "", text)


def lgb_case(name, params, y, x=None, rounds=5, codes=False, categorical="auto", group=None, fobj=None, frame=None):
    if not wanted(name):
        return
    x = data(3, TRAIN, codes) if x is None else x
    params = {"num_leaves": 6, "verbose": -1, "seed": 3, "num_threads": 1, "deterministic": True, "learning_rate": 0.3,
              "min_data_in_leaf": 10, **params}
    if fobj is not None:
        params["objective"] = fobj
    names = "auto" if frame is not None else NAMES
    train = lgb.Dataset(frame if frame is not None else x, y, group=group, feature_name=names,
                        categorical_feature=categorical, free_raw_data=False)
    booster = lgb.train(params, train, rounds)
    text = booster.model_to_string()
    test = rows_for(lgb_thresholds(text), codes=codes)
    write(name, lambda out: (out / f"{name}.txt").write_text(shortened(text)), test, booster.predict(test),
          booster.predict(test, raw_score=True))


def lightgbm():
    x = data(3, TRAIN)
    t = target(x)
    binary = (t > 1).astype(float)
    classes = np.digitize(t, [0, 1.5]).astype(float)
    positive = np.exp(t / 3)
    lgb_case("lgb_binary", {"objective": "binary"}, binary)
    lgb_case("lgb_binary_sigmoid", {"objective": "binary", "sigmoid": 1.90797}, binary)
    clean = data(4, TRAIN, clean=True)
    lgb_case("lgb_binary_without_gaps", {"objective": "binary"}, (target(clean) > 1).astype(float), x=clean)
    lgb_case("lgb_binary_zero_as_missing", {"objective": "binary", "zero_as_missing": True}, binary)
    lgb_case("lgb_binary_use_missing_false", {"objective": "binary", "use_missing": False}, binary)
    lgb_case("lgb_dart", {"objective": "binary", "boosting": "dart", "drop_rate": 0.5, "skip_drop": 0.0}, binary)
    lgb_case("lgb_random_forest", {"objective": "binary", "boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.6},
             binary)
    lgb_case("lgb_random_forest_multiclass", {"objective": "multiclass", "num_class": 3, "boosting": "rf",
                                              "bagging_freq": 1, "bagging_fraction": 0.6}, classes, rounds=3)
    lgb_case("lgb_linear", {"objective": "binary", "linear_tree": True}, binary)
    lgb_case("lgb_linear_regression", {"objective": "regression", "linear_tree": True}, t)
    lgb_case("lgb_cross_entropy", {"objective": "cross_entropy"}, 1 / (1 + np.exp(-t)))
    lgb_case("lgb_cross_entropy_lambda", {"objective": "cross_entropy_lambda"}, 1 / (1 + np.exp(-t)))
    lgb_case("lgb_multiclass", {"objective": "multiclass", "num_class": 3}, classes, rounds=3)
    lgb_case("lgb_multiclassova", {"objective": "multiclassova", "num_class": 3, "sigmoid": 1.3}, classes, rounds=3)
    lgb_case("lgb_regression", {"objective": "regression"}, t)
    lgb_case("lgb_regression_sqrt", {"objective": "regression", "reg_sqrt": True}, t)
    for objective in ["regression_l1", "huber", "fair", "quantile", "mape"]:
        lgb_case(f"lgb_{objective}", {"objective": objective}, t, rounds=3)
    for objective in ["poisson", "gamma", "tweedie"]:
        lgb_case(f"lgb_{objective}", {"objective": objective}, positive, rounds=3)
    for objective in ["lambdarank", "rank_xendcg"]:
        lgb_case(f"lgb_{objective}", {"objective": objective}, np.digitize(t, [0, 1, 2]), group=[50] * (TRAIN // 50),
                 rounds=3)
    lgb_case("lgb_custom", {}, t, fobj=lambda p, d: (p - d.get_label(), np.ones_like(p)))
    coded = data(6, TRAIN, codes=True)
    lgb_case("lgb_category", {"objective": "binary", "min_data_per_group": 5, "cat_smooth": 1, "max_cat_to_onehot": 1},
             (target(coded) > 1).astype(float), x=coded, codes=True, categorical=[2])
    lgb_case("lgb_category_single", {"objective": "regression", "min_data_per_group": 5, "max_cat_to_onehot": 20,
                                     "cat_smooth": 1}, target(coded), x=coded, codes=True, categorical=[2])
    frame = pd.DataFrame(coded, columns=NAMES)
    frame["count"] = pd.Categorical.from_codes(coded[:, 2].astype(int), [f"k{i}" for i in range(12)])
    lgb_case("lgb_pandas", {"objective": "binary", "min_data_per_group": 5, "cat_smooth": 1},
             (target(coded) > 1).astype(float), x=coded, codes=True, frame=frame)
    lgb_case("lgb_constant", {"objective": "binary", "min_data_in_leaf": 5000}, binary, rounds=2)


# XGBoost --------------------------------------------------------------------------------------------------------------

def xgb_thresholds(booster):
    thresholds = {}
    with tempfile.TemporaryDirectory() as folder:
        booster.save_model(f"{folder}/m.json")
        model = json.loads(Path(f"{folder}/m.json").read_text())["learner"]["gradient_booster"]
    model = model.get("gbtree", model)["model"]
    for tree in model.get("trees", []):
        for feature, value, left in zip(tree["split_indices"], tree["split_conditions"], tree["left_children"]):
            if left != -1 and np.isfinite(value):
                thresholds.setdefault(feature, []).append(float(np.float32(value)))
    return thresholds


def xgb_case(name, params, y, x=None, rounds=4, ext="json", codes=False, types=None, group=None, frame=None, bounds=None,
             early=False, save=True):
    if not wanted(name):
        return
    x = data(3, TRAIN, codes) if x is None else x
    params = {"max_depth": 3, "seed": 3, "nthread": 1, "eta": 0.4, "tree_method": "hist", **params}
    if frame is not None:
        train = xgb.DMatrix(frame, y, enable_categorical=True)
    else:
        train = xgb.DMatrix(x, y, feature_names=NAMES, feature_types=types, enable_categorical=types is not None)
    if group:
        train.set_group(group)
    if bounds is not None:
        train = xgb.DMatrix(x, feature_names=NAMES)
        train.set_float_info("label_lower_bound", bounds[0])
        train.set_float_info("label_upper_bound", bounds[1])
    if early:
        noisy = data(9, 300)
        valid = xgb.DMatrix(noisy, np.random.default_rng(1).integers(0, 2, 300), feature_names=NAMES)
        booster = xgb.train(params, train, rounds, evals=[(valid, "v")], early_stopping_rounds=3, verbose_eval=False)
        assert booster.best_iteration + 1 < booster.num_boosted_rounds()
    else:
        booster = xgb.train(params, train, rounds, verbose_eval=False)
    linear = params.get("booster") == "gblinear"
    test = rows_for({} if linear else xgb_thresholds(booster), codes=codes, infinite=False)
    if linear:
        # Sums of numbers that are far apart have no meaning, and overflow.
        test = np.where(np.abs(test) > 1e10, 1.0, test)
    matrix = xgb.DMatrix(test, feature_names=NAMES, feature_types=types or (
        ["float", "float", "c", "float", "float"] if frame is not None else None),
        enable_categorical=types is not None or frame is not None)
    span = (0, booster.best_iteration + 1) if early else (0, 0)
    raw = booster.predict(matrix, output_margin=True, iteration_range=span)
    score = booster.predict(matrix, iteration_range=span)
    if params["objective"] == "multi:softmax":
        # predict gives the class; predict_proba of the scikit-learn class has SciPy make probabilities.
        from scipy.special import softmax
        score = softmax(raw, axis=1)
    write(name, lambda out: booster.save_model(out / f"{name}.{ext}"), test, score, raw)


def xgboost():
    x = data(3, TRAIN)
    t = target(x)
    binary = (t > 1).astype(float)
    classes = np.digitize(t, [0, 1.5]).astype(float)
    positive = np.exp(t / 3)
    for ext in ["json", "ubj"]:
        xgb_case(f"xgb_binary_logistic_{ext}", {"objective": "binary:logistic"}, binary, ext=ext)
        xgb_case(f"xgb_softprob_{ext}", {"objective": "multi:softprob", "num_class": 3}, classes, ext=ext, rounds=3)
    xgb_case("xgb_base_score", {"objective": "binary:logistic", "base_score": 0.2}, binary)
    xgb_case("xgb_logitraw", {"objective": "binary:logitraw"}, binary)
    xgb_case("xgb_hinge", {"objective": "binary:hinge"}, binary)
    xgb_case("xgb_reg_logistic", {"objective": "reg:logistic"}, 1 / (1 + np.exp(-t)))
    xgb_case("xgb_softmax", {"objective": "multi:softmax", "num_class": 3}, classes, rounds=3)
    for objective in ["squarederror", "pseudohubererror", "absoluteerror"]:
        xgb_case(f"xgb_{objective}", {"objective": f"reg:{objective}"}, t, rounds=3)
    xgb_case("xgb_quantile", {"objective": "reg:quantileerror", "quantile_alpha": [0.1, 0.9]}, t, rounds=4)
    xgb_case("xgb_squaredlogerror", {"objective": "reg:squaredlogerror"}, positive)
    for objective in ["reg:gamma", "reg:tweedie", "count:poisson", "survival:cox"]:
        xgb_case(f"xgb_{objective.split(':')[1]}", {"objective": objective}, positive, rounds=3)
    xgb_case("xgb_aft", {"objective": "survival:aft"}, positive, bounds=(positive, positive * 1.2))
    for objective in ["ndcg", "pairwise", "map"]:
        y = binary if objective == "map" else np.digitize(t, [0, 1, 2])
        xgb_case(f"xgb_rank_{objective}", {"objective": f"rank:{objective}"}, y, group=[50] * (TRAIN // 50))
    dart = {"booster": "dart", "rate_drop": 0.5, "skip_drop": 0.0, "one_drop": True}
    xgb_case("xgb_dart", {"objective": "binary:logistic", **dart}, binary, ext="ubj")
    xgb_case("xgb_dart_softprob", {"objective": "multi:softprob", "num_class": 3, **dart}, classes, rounds=3)
    for name, params, y in [("binary", {"objective": "binary:logistic"}, binary),
                            ("softprob", {"objective": "multi:softprob", "num_class": 3}, classes)]:
        plain = data(3, TRAIN)
        plain[:, 4] = (plain[:, 4] - 1.7e9) / 1e5
        xgb_case(f"xgb_linear_{name}", {"booster": "gblinear", "updater": "coord_descent", "max_depth": None,
                                        "tree_method": None, **params}, y, x=plain)
    xgb_case("xgb_random_forest", {"objective": "binary:logistic", "num_parallel_tree": 5, "subsample": 0.6,
                                   "colsample_bynode": 0.6, "eta": 1}, binary, rounds=2)
    xgb_case("xgb_early_stopping", {"objective": "binary:logistic"}, binary, rounds=30, early=True)
    xgb_case("xgb_early_stopping_forest", {"objective": "binary:logistic", "num_parallel_tree": 2, "subsample": 0.6},
             binary, rounds=30, early=True)
    xgb_case("xgb_targets", {"objective": "reg:squarederror"}, np.stack([t, positive], 1), rounds=4)
    coded = data(6, TRAIN, codes=True)
    y = (target(coded) > 1).astype(float)
    types = ["q", "q", "c", "q", "q"]
    xgb_case("xgb_category", {"objective": "binary:logistic", "max_cat_to_onehot": 1}, y, x=coded, codes=True, types=types)
    xgb_case("xgb_category_single", {"objective": "binary:logistic", "max_cat_to_onehot": 20}, y, x=coded, codes=True,
             types=types, ext="ubj")
    frame = pd.DataFrame(coded, columns=NAMES)
    frame["count"] = pd.Categorical.from_codes(coded[:, 2].astype(int), [f"k{i}" for i in range(12)])
    for ext in ["json", "ubj"]:
        xgb_case(f"xgb_pandas_{ext}", {"objective": "binary:logistic"}, y, x=coded, codes=True, frame=frame, ext=ext,
                 rounds=4)
    if wanted("xgb_multi_output"):
        train = xgb.DMatrix(x, np.stack([t, positive], 1))
        xgb.train({"multi_strategy": "multi_output_tree", "tree_method": "hist", "max_depth": 2}, train, 2).save_model(
            OUT / "refused_xgb_multi_output.json")


# CatBoost -------------------------------------------------------------------------------------------------------------

def cb_thresholds(path):
    floats = json.loads(Path(path).read_text())["features_info"].get("float_features") or []
    return {feature["flat_feature_index"]: feature["borders"] or [] for feature in floats}


# Column 2 is the first category, column 5 the second one.
TEXTS = ["", "a", "GET", "POST", "curl/8.1", "Mozilla/5.0 (X11)", "a text of thirty-two bytes or so!",
         "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
         "ein Text mit Umläuten: äöü, der länger als sechzehn ist", "z" * 64, "y" * 65, "unseen in training"]


def cb_categories(x, seed):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(x, columns=NAMES)
    frame["count"] = [TEXTS[int(value) % 12] for value in np.nan_to_num(x[:, 2], nan=11)]
    frame["port"] = rng.integers(-3, 40, len(x))
    return frame


def cb_case(name, params, y, x=None, rounds=5, cats=None, group=None, kind=cb.CatBoostClassifier, bias=None):
    if not wanted(name):
        return
    x = data(3, TRAIN, codes=cats is not None) if x is None else x
    train = cb_categories(x, 1) if cats is not None else x
    if cats is not None:
        train.loc[train["count"] == TEXTS[11], "count"] = "a"
    model = kind(iterations=rounds, random_seed=3, thread_count=1, verbose=0, allow_writing_files=False,
                 **{"depth": 3, "learning_rate": 0.4, "cat_features": cats, **params})
    model.fit(cb.Pool(train, y, group_id=group, cat_features=cats))
    if bias:
        model.set_scale_and_bias(*bias)
    path = OUT / f"{name}.json"
    model.save_model(path, format="json")
    info = json.loads(path.read_text())
    # Half of the file is about the training; texts are there in case they are read.
    for key in list(info["model_info"]):
        if key not in ("catboost_version_info", "class_params", "params"):
            del info["model_info"][key]
    info["model_info"]["params"] = {"loss_function": info["model_info"]["params"]["loss_function"]}
    path.write_text(json.dumps(info, separators=(",", ":")))
    test = rows_for(cb_thresholds(path), codes=cats is not None)
    pool, numbers = test, test
    if cats is not None:
        test[:, 2] = np.random.default_rng(8).integers(0, 12, len(test))
        frame = cb_categories(test, 2)
        pool = cb.Pool(frame, cat_features=cats)
        numbers = np.column_stack([test, np.zeros(len(test))])
        # Rows have the place of the text in TEXTS and the number; whoever reads them makes codes of them.
        numbers[:, 5] = frame["port"]
    raw = model.predict(pool) if kind is cb.CatBoostRanker else model.predict(pool, prediction_type="RawFormulaVal")
    if kind is cb.CatBoostClassifier:
        score = model.predict_proba(pool)
        score = score[:, 1] if raw.ndim == 1 else score
    else:
        score = model.predict(pool)
    write(name, lambda out: None, numbers, score, raw)


def catboost():
    x = data(3, TRAIN)
    t = target(x)
    binary = (t > 1).astype(int)
    classes = np.array(["ok", "odd", "bad"])[np.digitize(t, [0, 1.5])]
    positive = np.exp(t / 3)
    cb_case("cb_logloss", {}, binary)
    cb_case("cb_logloss_nan_max", {"nan_mode": "Max"}, binary)
    clean = data(4, TRAIN, clean=True)
    cb_case("cb_logloss_without_gaps", {}, (target(clean) > 1).astype(int), x=clean)
    cb_case("cb_cross_entropy", {"loss_function": "CrossEntropy"}, 1 / (1 + np.exp(-t)))
    cb_case("cb_multiclass", {"loss_function": "MultiClass"}, classes)
    cb_case("cb_one_vs_all", {"loss_function": "MultiClassOneVsAll"}, classes)
    cb_case("cb_multi_logloss", {"loss_function": "MultiLogloss"}, np.stack([binary, (t > 0).astype(int)], 1))
    for policy in ["Lossguide", "Depthwise"]:
        cb_case(f"cb_{policy.lower()}", {"grow_policy": policy}, binary)
    cb_case("cb_lossguide_multiclass", {"grow_policy": "Lossguide", "loss_function": "MultiClass"}, classes)
    for loss in ["RMSE", "MAE", "Quantile:alpha=0.9", "Huber:delta=1", "RMSEWithUncertainty"]:
        cb_case(f"cb_{re.sub(':.*', '', loss).lower()}", {"loss_function": loss}, t, kind=cb.CatBoostRegressor)
    cb_case("cb_bias", {"loss_function": "RMSE"}, t, kind=cb.CatBoostRegressor, bias=(1.7, 0.3))
    for loss in ["Poisson", "Tweedie:variance_power=1.5"]:
        cb_case(f"cb_{re.sub(':.*', '', loss).lower()}", {"loss_function": loss}, positive, kind=cb.CatBoostRegressor)
    cb_case("cb_yetirank", {"loss_function": "YetiRank"}, np.digitize(t, [0, 1, 2]) / 3.0, kind=cb.CatBoostRanker,
            group=np.arange(TRAIN) // 50)
    coded = data(6, TRAIN, codes=True)
    tc = target(coded)
    cats = ["count", "port"]
    cb_case("cb_one_hot", {"one_hot_max_size": 100}, (tc > 1).astype(int), x=coded, cats=cats)
    cb_case("cb_ctr", {"max_ctr_complexity": 2, "one_hot_max_size": 2}, (tc > 1).astype(int), x=coded, cats=cats)
    cb_case("cb_ctr_mixed", {"max_ctr_complexity": 3, "one_hot_max_size": 15}, (tc > 1).astype(int), x=coded, cats=cats,
            rounds=10)
    cb_case("cb_ctr_types", {"simple_ctr": ["Borders:TargetBorderCount=3", "Buckets:TargetBorderCount=2", "Counter",
                                            "BinarizedTargetMeanValue:TargetBorderCount=2"],
                             "combinations_ctr": ["Buckets:TargetBorderCount=2", "Counter", "Borders:TargetBorderCount=3"],
                             "max_ctr_complexity": 2, "loss_function": "RMSE", "one_hot_max_size": 2}, tc, x=coded,
            cats=cats, kind=cb.CatBoostRegressor, rounds=10)
    cb_case("cb_ctr_multiclass", {"loss_function": "MultiClass", "one_hot_max_size": 2}, np.digitize(tc, [0, 1.5]), x=coded,
            cats=cats, rounds=4)
    cb_case("cb_ctr_lossguide", {"grow_policy": "Lossguide", "one_hot_max_size": 15}, (tc > 1).astype(int), x=coded,
            cats=cats)


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    lightgbm()
    xgboost()
    catboost()
