"""Files of LightGBM, XGBoost and CatBoost, as they save them: rows, and what the library gives for them."""

import json
import pathlib

import catboost
import lightgbm
import numpy as np
import xgboost

from rows import hostile
from training import boosted_data

QUIET = {"verbose": -1, "num_threads": 1, "seed": 7, "num_leaves": 15, "min_data_in_leaf": 5}


def lightgbm_cases():
    rows, yes, three, amount = boosted_data(np.float64)
    bagged = {"bagging_freq": 1, "bagging_fraction": 0.7}
    coded = {"categorical_feature": [3]}
    for name, target, parameters, data in [
        ("binary", yes, {"objective": "binary"}, {}),
        ("sigmoid", yes, {"objective": "binary", "sigmoid": 0.3}, {}),
        ("unbalanced", yes, {"objective": "binary", "is_unbalance": True}, {}),
        ("dart", yes, {"objective": "binary", "boosting": "dart", "drop_rate": 0.5}, {}),
        ("goss", yes, {"objective": "binary", "data_sample_strategy": "goss"}, {}),
        ("forest", yes, {"objective": "binary", "boosting": "rf", **bagged}, {}),
        ("categories", yes, {"objective": "binary", "min_data_per_group": 5, "cat_smooth": 1}, coded),
        ("linear", yes, {"objective": "binary", "linear_tree": True}, {}),
        ("zero_as_missing", yes, {"objective": "binary", "zero_as_missing": True}, {}),
        ("no_missing", yes, {"objective": "binary", "use_missing": False}, {}),
        ("multiclass", three, {"objective": "multiclass", "num_class": 3}, {}),
        ("one_against_all", three, {"objective": "multiclassova", "num_class": 3}, {}),
        ("regression", amount, {"objective": "regression"}, {}),
        ("linear_regression", amount, {"objective": "regression", "linear_tree": True}, {}),
        ("absolute", amount, {"objective": "regression_l1"}, {}),
        ("poisson", amount, {"objective": "poisson"}, {}),
        ("tweedie", amount, {"objective": "tweedie"}, {}),
        ("cross_entropy", yes, {"objective": "cross_entropy"}, {}),
    ]:

        def made(folder, target=target, parameters=parameters, data=data):
            path = pathlib.Path(folder, "model.txt")
            table = lightgbm.Dataset(rows, target, params=QUIET | parameters, **data)
            lightgbm.train(QUIET | parameters, table, num_boost_round=40).save_model(path)
            # As it is saved: `sigmoid` has six digits there.
            saved = lightgbm.Booster(model_file=path)
            nodes = saved.trees_to_dataframe()
            borders = {}
            for column, at in nodes[["split_feature", "threshold"]].dropna().itertuples(index=False):
                if isinstance(at, float):
                    borders.setdefault(int(column.removeprefix("Column_")), set()).add(at)
            return path, borders, lambda rows: saved.predict(rows, num_threads=1)

        yield f"lightgbm_{name}", rows, made, lambda rows: np.ones(len(rows), bool)


def xgboost_cases():
    rows, yes, three, amount = boosted_data(np.float32)
    base = {"max_depth": 5, "seed": 7, "nthread": 1}
    logistic = {"objective": "binary:logistic"}
    for name, target, parameters, kinds, ending in [
        ("binary", yes, logistic, None, "json"),
        ("binary", yes, logistic, None, "ubj"),
        ("base_score", yes, {**logistic, "base_score": 0.1}, None, "json"),
        ("weighted", yes, {**logistic, "scale_pos_weight": 3}, None, "json"),
        ("raw", yes, {"objective": "binary:logitraw"}, None, "ubj"),
        ("dart", yes, {**logistic, "booster": "dart", "rate_drop": 0.3}, None, "json"),
        ("forest", yes, {**logistic, "num_parallel_tree": 5, "subsample": 0.6, "eta": 1}, None, "json"),
        ("linear", yes, {**logistic, "booster": "gblinear"}, None, "json"),
        ("leafwise", yes, {**logistic, "grow_policy": "lossguide", "tree_method": "hist"}, None, "ubj"),
        ("categories", yes, {**logistic, "tree_method": "hist"}, ["q", "q", "q", "c", "q", "q"], "json"),
        ("softprob", three, {"objective": "multi:softprob", "num_class": 3}, None, "json"),
        ("softprob_dart", three, {"objective": "multi:softprob", "num_class": 3, "booster": "dart"}, None, "ubj"),
        ("regression", amount, {"objective": "reg:squarederror"}, None, "json"),
        ("poisson", amount, {"objective": "count:poisson"}, None, "json"),
        ("gamma", amount + 0.1, {"objective": "reg:gamma"}, None, "json"),
        ("tweedie", amount, {"objective": "reg:tweedie"}, None, "json"),
    ]:
        options = {"feature_types": kinds, "enable_categorical": kinds is not None}
        data = np.nan_to_num(rows)[:, [0, 3, 4, 5]] if name == "linear" else rows

        def made(folder, data=data, target=target, parameters=parameters, ending=ending, options=options, name=name):
            path = pathlib.Path(folder, f"model.{ending}")
            table = xgboost.DMatrix(data, target, **options)
            xgboost.train(base | parameters, table, num_boost_round=30).save_model(path)
            saved = xgboost.Booster(model_file=path)
            borders = {}
            if name != "linear":
                nodes = saved.trees_to_dataframe()
                for column, at in nodes[["Feature", "Split"]].dropna().itertuples(index=False):
                    borders.setdefault(int(column.removeprefix("f")), set()).add(at)
            return path, borders, lambda rows: saved.predict(xgboost.DMatrix(rows, **options))

        def accepts(rows, kinds=kinds):
            # The library refuses infinite numbers, and codes that no column had.
            good = ~np.isinf(rows).any(1)
            if kinds:
                code = rows[:, 3]
                good &= np.isnan(code) | (code >= 0) & (code < 2**24) & (code == np.floor(code))
            return good

        yield f"xgboost_{name}_{ending}", data, made, accepts


def catboost_cases():
    rows, yes, three, amount = boosted_data(np.float32)
    base = {"iterations": 40, "depth": 4, "random_seed": 7, "verbose": 0, "thread_count": 1, "allow_writing_files": False}
    names = np.array(["good", "bad", "worse"])
    for name, target, parameters in [
        ("binary", yes, {}),
        ("signs", yes * 2 - 1, {}),
        ("texts", names[yes], {}),
        ("nan_max", yes, {"nan_mode": "Max"}),
        ("leafwise", yes, {"grow_policy": "Lossguide"}),
        ("depthwise", yes, {"grow_policy": "Depthwise"}),
        ("multiclass", three, {"loss_function": "MultiClass"}),
        ("multiclass_texts", names[three], {"loss_function": "MultiClass"}),
        ("one_against_all", three, {"loss_function": "MultiClassOneVsAll"}),
        ("cross_entropy", yes, {"loss_function": "CrossEntropy"}),
        ("regression", amount, {"loss_function": "RMSE"}),
        ("poisson", amount, {"loss_function": "Poisson"}),
    ]:

        def made(folder, target=target, parameters=parameters, name=name):
            path = pathlib.Path(folder, "model.json")
            trained = catboost.CatBoost({"loss_function": "Logloss"} | base | parameters).fit(rows, target)
            trained.save_model(str(path), format="json")
            features = json.loads(path.read_text())["features_info"]["float_features"]
            borders = {feature["flat_feature_index"]: set(feature["borders"] or [0.0]) for feature in features}
            kinds = {"poisson": "Exponent", "cross_entropy": "Probability", "regression": "RawFormulaVal"}
            kind = kinds.get(name, "Probability")

            return path, borders, lambda rows: trained.predict(rows, prediction_type=kind, thread_count=1)

        yield f"catboost_{name}", rows, made, lambda rows: np.ones(len(rows), bool)


def cases():
    for make in (lightgbm_cases, xgboost_cases, catboost_cases):
        for name, rows, made, accepts in make():
            yield name, rows, made, accepts
