"""Models as exporters write them: the graph, the rows that it is tried on, and what the library gives for them."""

import tempfile
from typing import Callable, NamedTuple

import catboost
import lightgbm
import numpy as np
import onnx
import onnxmltools
import pandas
import xgboost
from onnxmltools.convert.common.data_types import FloatTensorType
from sklearn import ensemble as trees
from sklearn import preprocessing as scale
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, make_column_transformer
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.feature_selection import SelectKBest
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import LogisticRegression, Perceptron, PoissonRegressor, Ridge, RidgeClassifier, SGDClassifier, SGDOneClassSVM
from sklearn.mixture import GaussianMixture
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.naive_bayes import BernoulliNB, CategoricalNB, ComplementNB, GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC, SVR, LinearSVC, LinearSVR, NuSVC, OneClassSVM
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from skl2onnx import to_onnx, update_registered_converter
from skl2onnx.common.data_types import FloatTensorType as SkFloats
from skl2onnx.common.data_types import Int64TensorType, StringTensorType
from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes
from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm as convert_lightgbm_in
from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost as convert_xgboost_in

from training import boosted_data, plain_data

NO_MAP = {"options": {"zipmap": False}}
NAMES = np.array(["bad", "good", "worse"])


class Case(NamedTuple):
    name: str
    make: Callable
    # What the rows of a table look like, or "texts".
    trained: object
    # Rows that the library takes: "all", "no_infinity", "finite".
    takes: str = "finite"
    # Kernels and neighbours take their time.
    slow: bool = False


def scores(model, x):
    """What scikit-learn and its likes give, by the names that converters give outputs."""
    given = {}
    if hasattr(model, "predict"):
        given["label"] = given["output_label"] = model.predict(x)
    for name in ("predict_proba", "decision_function"):
        if hasattr(model, name):
            given["probabilities"] = given["output_probability"] = getattr(model, name)(x)
            break
    if hasattr(model, "decision_function"):
        given["scores"] = model.decision_function(x)
    if hasattr(model, "score_samples"):
        given["score_samples"] = model.score_samples(x)
    if hasattr(model, "predict"):
        given["variable"] = model.predict(x)
    elif hasattr(model, "transform"):
        given["variable"] = model.transform(x)
    return given


def fitted(name, model, data, kind="two", takes="finite", slow=False, **options):
    """A case of skl2onnx."""
    rows, yes, three, *amount = data
    target = {"two": yes, "three": three, "amount": amount[0] if amount else yes + rows[:, 0], "names": NAMES[three],
              "two_names": NAMES[yes], "signs": yes * 2 - 1, "from_1": yes + 1, "none": None}[kind]  # fmt: skip

    def make():
        model.fit(rows, target) if target is not None else model.fit(rows)
        return to_onnx(model, rows[:1], **options), lambda x: scores(model, x)

    return Case(name, make, rows, takes, slow)


def sklearn_cases():
    plain, wide = plain_data(), plain_data(np.float64)
    dense, double = boosted_data(np.float32, gaps=False), boosted_data(np.float64, gaps=False)
    gaps = boosted_data(np.float32)
    old = {"": 17, "ai.onnx.ml": 3}
    for kind in ("two", "three", "two_names", "signs", "from_1"):
        yield fitted(f"forest_{kind}", trees.RandomForestClassifier(20, max_depth=6, random_state=1), dense, kind, **NO_MAP)
        yield fitted(f"extra_trees_{kind}", trees.ExtraTreesClassifier(20, max_depth=6, random_state=1), dense, kind)
        yield fitted(f"boosting_{kind}", trees.GradientBoostingClassifier(n_estimators=20, random_state=1), dense, kind, **NO_MAP)
        yield fitted(f"histogram_{kind}", trees.HistGradientBoostingClassifier(max_iter=20, random_state=1), gaps, kind, "all", **NO_MAP)
        yield fitted(f"logistic_{kind}", LogisticRegression(), plain, kind, **NO_MAP)
        yield fitted(f"network_{kind}", MLPClassifier((8, 4), max_iter=60, random_state=1), plain, kind, **NO_MAP)
        yield fitted(f"svc_{kind}", SVC(probability=True, random_state=1), plain, kind, slow=True, **NO_MAP)
        yield fitted(f"svc_raw_{kind}", SVC(random_state=1), plain, kind, slow=True, **NO_MAP)
        yield fitted(f"linear_svc_{kind}", LinearSVC(), plain, kind)
        yield fitted(f"gaussian_bayes_{kind}", GaussianNB(), plain, kind, **NO_MAP)
        yield fitted(f"lda_{kind}", LinearDiscriminantAnalysis(), plain, kind, **NO_MAP)
        yield fitted(f"qda_{kind}", QuadraticDiscriminantAnalysis(), plain, kind, **NO_MAP)
        yield fitted(f"ada_{kind}", trees.AdaBoostClassifier(n_estimators=10, random_state=1), dense, kind, **NO_MAP)
        yield fitted(f"neighbours_{kind}", KNeighborsClassifier(3), plain, kind, slow=True, **NO_MAP)
        yield fitted(f"tree_{kind}", DecisionTreeClassifier(max_depth=6, random_state=1), dense, kind, **NO_MAP)
        yield fitted(f"sgd_{kind}", SGDClassifier(loss="log_loss", random_state=1), plain, kind, **NO_MAP)
    for opset in range(12, 22):
        ml = {"target_opset": {"": opset, "ai.onnx.ml": 1 if opset < 15 else 3}}
        yield fitted(f"logistic_opset_{opset}", make_pipeline(scale.StandardScaler(), LogisticRegression()), plain, **NO_MAP, **ml)
        yield fitted(f"forest_opset_{opset}", trees.RandomForestClassifier(10, max_depth=5, random_state=1), dense, **NO_MAP, **ml)
        yield fitted(f"network_opset_{opset}", MLPClassifier((8,), max_iter=60, random_state=1), plain, "three", **NO_MAP, **ml)
    yield fitted("forest_gaps", trees.RandomForestClassifier(20, max_depth=6, random_state=1), gaps, "two", "no_infinity", **NO_MAP)
    yield fitted("tree_gaps", DecisionTreeClassifier(max_depth=6, random_state=1), gaps, "three", "no_infinity", **NO_MAP)
    yield fitted("forest_double", trees.RandomForestClassifier(20, max_depth=6, random_state=1), double, **NO_MAP)
    yield fitted("boosting_double", trees.GradientBoostingClassifier(n_estimators=20, random_state=1), double, **NO_MAP)
    yield fitted("histogram_double", trees.HistGradientBoostingClassifier(max_iter=20), boosted_data(np.float64), "two", "all", **NO_MAP)
    yield fitted("histogram_categories", trees.HistGradientBoostingClassifier(max_iter=20, categorical_features=[3]), gaps, "two", "all", **NO_MAP)
    for kind, make in {
        "forest": trees.RandomForestRegressor(20, max_depth=6, random_state=1), "extra_trees": trees.ExtraTreesRegressor(20, max_depth=6),
        "boosting": trees.GradientBoostingRegressor(n_estimators=20), "histogram": trees.HistGradientBoostingRegressor(max_iter=20),
        "histogram_poisson": trees.HistGradientBoostingRegressor(max_iter=20, loss="poisson"), "tree": DecisionTreeRegressor(max_depth=6),
        "ada": trees.AdaBoostRegressor(n_estimators=5, random_state=1), "bagging": trees.BaggingRegressor(random_state=1),
    }.items():  # fmt: skip
        yield fitted(f"{kind}_regressor", make, gaps if "histogram" in kind else dense, "amount", "all" if "histogram" in kind else "finite")
    for kind, make in {"ridge": Ridge(), "svr": SVR(), "linear_svr": LinearSVR(), "network": MLPRegressor(hidden_layer_sizes=(8,), max_iter=60),
                       "neighbours": KNeighborsRegressor(3), "gaussian_process": GaussianProcessRegressor()}.items():  # fmt: skip
        yield fitted(f"{kind}_regressor", make, plain, "amount", slow=kind in ("svr", "neighbours", "gaussian_process"))
    yield fitted("poisson_regressor", PoissonRegressor(), plain, "two")
    samples = {"options": {trees.IsolationForest: {"score_samples": True}}}
    yield fitted("isolation", trees.IsolationForest(n_estimators=30, max_samples=64, random_state=1), dense, "none", target_opset=old)
    yield fitted("isolation_samples", trees.IsolationForest(n_estimators=30, max_samples=64, random_state=1), dense, "none", target_opset=old, **samples)
    yield fitted("one_class_svm", OneClassSVM(), plain, "none", slow=True)
    yield fitted("one_class_sgd", SGDOneClassSVM(random_state=1), plain, "none")
    yield fitted("mixture", GaussianMixture(3, random_state=1), plain, "none")
    for kind in ("sigmoid", "isotonic"):
        yield fitted(f"calibrated_{kind}", CalibratedClassifierCV(LinearSVC(), method=kind, cv=3), plain, **NO_MAP)
        yield fitted(f"calibrated_{kind}_three", CalibratedClassifierCV(LinearSVC(), method=kind, cv=3), plain, "three", **NO_MAP)
    yield fitted("calibrated_forest", CalibratedClassifierCV(trees.RandomForestClassifier(10, max_depth=4, random_state=1), cv=3), dense, **NO_MAP)
    two = [("a", LogisticRegression()), ("b", DecisionTreeClassifier(max_depth=4, random_state=1))]
    for kind in ("two", "three"):
        yield fitted(f"stacking_{kind}", trees.StackingClassifier(two), plain, kind, **NO_MAP)
        yield fitted(f"voting_soft_{kind}", trees.VotingClassifier(two, voting="soft"), plain, kind, **NO_MAP)
        yield fitted(f"bagging_{kind}", trees.BaggingClassifier(random_state=1), dense, kind, **NO_MAP)
        yield fitted(f"one_against_rest_{kind}", OneVsRestClassifier(LogisticRegression()), plain, kind, **NO_MAP)
    yield fitted("voting_hard", trees.VotingClassifier(two), plain, "three")
    yield fitted("one_against_one", OneVsOneClassifier(LogisticRegression()), plain, "three", **NO_MAP)
    yield fitted("one_against_rest_trees", OneVsRestClassifier(trees.GradientBoostingClassifier(n_estimators=5)), dense, "three", **NO_MAP)
    yield fitted("voting_regressor", trees.VotingRegressor([("a", Ridge()), ("b", DecisionTreeRegressor(max_depth=4))]), plain, "amount")
    yield fitted("stacking_regressor", trees.StackingRegressor([("a", Ridge()), ("b", DecisionTreeRegressor(max_depth=4))]), plain, "amount")
    yield fitted("gaussian_process", GaussianProcessClassifier(), plain, slow=True, **NO_MAP)
    yield fitted("perceptron", Perceptron(), plain, **NO_MAP)
    yield fitted("ridge_classifier", RidgeClassifier(), plain, **NO_MAP)
    yield fitted("nu_svc", NuSVC(probability=True, random_state=1), plain, "three", slow=True, **NO_MAP)
    yield fitted("svc_poly", SVC(kernel="poly", probability=True, random_state=1), plain, slow=True, **NO_MAP)
    yield fitted("svc_linear", SVC(kernel="linear", probability=True, random_state=1), plain, "three", slow=True, **NO_MAP)
    yield fitted("svc_sigmoid", SVC(kernel="sigmoid", random_state=1), plain, "three", slow=True, **NO_MAP)
    for name, kind in {"bernoulli": BernoulliNB(binarize=0.1), "multinomial": make_pipeline(scale.MinMaxScaler(clip=True), MultinomialNB()),
                       "complement": make_pipeline(scale.MinMaxScaler(clip=True), ComplementNB())}.items():  # fmt: skip
        yield fitted(f"{name}_bayes", kind, plain, "three", **NO_MAP)
    yield fitted("categorical_bayes", make_pipeline(scale.KBinsDiscretizer(4, encode="ordinal"), CategoricalNB(min_categories=4)), plain, **NO_MAP)
    for name, step in {
        "scaled": scale.StandardScaler(), "min_max": scale.MinMaxScaler(), "robust": scale.RobustScaler(), "max_abs": scale.MaxAbsScaler(),
        "normalized_l1": scale.Normalizer("l1"), "normalized_l2": scale.Normalizer("l2"), "normalized_max": scale.Normalizer("max"),
        "binarized": scale.Binarizer(threshold=0.1), "power": scale.PowerTransformer(), "quantiles": scale.QuantileTransformer(n_quantiles=20),
        "bins": scale.KBinsDiscretizer(5, encode="onehot-dense"), "bins_ordinal": scale.KBinsDiscretizer(5, encode="ordinal"),
        "polynomial": scale.PolynomialFeatures(2), "splines": scale.SplineTransformer(), "pca": PCA(3), "svd": TruncatedSVD(2),
        "best": SelectKBest(k=2), "one_hot": scale.OneHotEncoder(handle_unknown="ignore", max_categories=5),
    }.items():  # fmt: skip
        yield fitted(f"{name}_logistic", make_pipeline(step, LogisticRegression(max_iter=200)), plain, **NO_MAP)
        if name in ("scaled", "min_max", "bins", "power", "pca"):
            yield fitted(f"{name}_logistic_double", make_pipeline(step, LogisticRegression()), wide, **NO_MAP)
    gap = (gaps[0], *dense[1:])
    for name, step in {"mean": SimpleImputer(), "median": SimpleImputer(strategy="median"), "constant": SimpleImputer(strategy="constant", fill_value=-1),
                       "neighbour": KNNImputer()}.items():  # fmt: skip
        yield fitted(f"imputed_{name}_forest", make_pipeline(step, trees.RandomForestClassifier(10, max_depth=5, random_state=1)), gap, "two", "no_infinity",
                     slow=name == "neighbour", **NO_MAP)  # fmt: skip
    for kind in ("columns", True):
        options = {"options": {"zipmap": kind}}
        yield fitted(f"forest_map_{kind}".lower(), trees.RandomForestClassifier(10, max_depth=5, random_state=1), dense, "names", **options)
        yield fitted(f"logistic_map_{kind}".lower(), LogisticRegression(), plain, "names", **options)
    for kind in ("forest", "logistic", "boosting"):
        model, data = {"forest": (trees.RandomForestClassifier(10, max_depth=4, random_state=1), dense), "logistic": (LogisticRegression(), plain),
                       "boosting": (trees.GradientBoostingClassifier(n_estimators=10), dense)}[kind]  # fmt: skip
        yield fitted(f"{kind}_raw", model, data, options={"zipmap": False, "raw_scores": True})


def converted(name, model, data, target, convert, takes):
    def make():
        model.fit(data, target)

        def give(x):
            given = scores(model, x)
            return given | {"probabilities": given.get("probabilities"), "predictions": given["label"]}

        return convert(model), give

    return Case(name, make, data, takes)


def with_registered(model, rows):
    update_registered_converter(lightgbm.LGBMClassifier, "LightGbmLGBMClassifier", calculate_linear_classifier_output_shapes,
                                convert_lightgbm_in, options={"nocl": [True, False], "zipmap": [True, False, "columns"]})  # fmt: skip
    update_registered_converter(xgboost.XGBClassifier, "XGBoostXGBClassifier", calculate_linear_classifier_output_shapes,
                                convert_xgboost_in, options={"nocl": [True, False], "zipmap": [True, False, "columns"]})  # fmt: skip
    return to_onnx(model, rows[:1], target_opset={"": 15, "ai.onnx.ml": 3}, **NO_MAP)


def boosted_cases():
    rows, yes, three, amount = boosted_data(np.float32)
    typed = [("input", FloatTensorType([None, rows.shape[1]]))]
    plain = {"n_estimators": 30, "num_leaves": 15, "verbose": -1, "random_state": 7, "n_jobs": 1, "min_child_samples": 5}
    map_off = lambda model: onnxmltools.convert_lightgbm(model, initial_types=typed, zipmap=False)  # noqa: E731
    map_on = lambda model: onnxmltools.convert_lightgbm(model, initial_types=typed)  # noqa: E731
    targets = {"two": yes, "three": three, "two_names": NAMES[yes], "signs": yes * 2 - 1, "from_1": yes + 1, "three_names": NAMES[three]}
    for kind, target in targets.items():
        make = lightgbm.LGBMClassifier
        yield converted(f"lightgbm_{kind}", make(**plain), rows, target, map_off, "all")
        yield converted(f"lightgbm_map_{kind}", make(**plain), rows, target, map_on, "all")
    for name, more in {
        "dart": {"boosting_type": "dart"}, "forest": {"boosting_type": "rf", "bagging_freq": 1, "bagging_fraction": 0.7},
        "linear": {"linear_tree": True}, "sigmoid": {"sigmoid": 2.0}, "zero_as_missing": {"zero_as_missing": True},
        "weighted": {"class_weight": "balanced"}, "unbalanced": {"is_unbalance": True}, "use_missing": {"use_missing": False},
        "categories": {"categorical_feature": [3], "min_data_per_group": 5, "cat_smooth": 1},
    }.items():  # fmt: skip
        yield converted(f"lightgbm_{name}", lightgbm.LGBMClassifier(**plain, **more), rows, yes, map_off, "all")
    yield converted("lightgbm_one_against_all", lightgbm.LGBMClassifier(**plain, objective="multiclassova"), rows, three, map_off, "all")
    for objective in ("regression", "regression_l1", "poisson", "gamma", "tweedie", "quantile", "huber"):
        yield converted(f"lightgbm_{objective}", lightgbm.LGBMRegressor(**plain, objective=objective), rows, amount + 0.1, map_on, "all")
    yield converted("lightgbm_in_sklearn", lightgbm.LGBMClassifier(**plain), rows, yes, lambda model: with_registered(model, rows), "all")
    plain = {"n_estimators": 30, "max_depth": 5, "random_state": 7, "n_jobs": 1}
    convert = lambda model: onnxmltools.convert_xgboost(model, initial_types=typed)  # noqa: E731
    for kind, target in targets.items():
        if target.dtype.kind == "i" and target.min() == 0:
            yield converted(f"xgboost_{kind}", xgboost.XGBClassifier(**plain), rows, target, convert, "no_infinity")
    for name, more in {
        "dart": {"booster": "dart", "rate_drop": 0.3}, "linear": {"booster": "gblinear"}, "raw": {"objective": "binary:logitraw"},
        "base_score": {"base_score": 0.1}, "weighted": {"scale_pos_weight": 3}, "lossguide": {"grow_policy": "lossguide", "max_leaves": 15},
        "parallel": {"num_parallel_tree": 3, "subsample": 0.6}, "missing_0": {"missing": 0},
    }.items():  # fmt: skip
        yield converted(f"xgboost_{name}", xgboost.XGBClassifier(**plain | more), rows, yes, convert, "no_infinity")
    yield converted("xgboost_forest", xgboost.XGBRFClassifier(**plain), rows, yes, convert, "no_infinity")
    for objective in ("reg:squarederror", "count:poisson", "reg:gamma", "reg:tweedie", "reg:absoluteerror", "reg:logistic"):
        target = yes if objective == "reg:logistic" else amount + 0.1
        yield converted(f"xgboost_{objective[4:].strip(':')}", xgboost.XGBRegressor(**plain, objective=objective), rows, target, convert, "no_infinity")
    yield converted("xgboost_in_sklearn", xgboost.XGBClassifier(**plain), rows, yes, lambda model: with_registered(model, rows), "no_infinity")
    plain = {"iterations": 30, "depth": 5, "random_seed": 7, "verbose": 0, "thread_count": 1, "allow_writing_files": False}

    def saved(model):
        with tempfile.TemporaryDirectory() as folder:
            model.save_model(f"{folder}/model.onnx", format="onnx")
            return onnx.load(f"{folder}/model.onnx")

    for kind, target in targets.items():
        yield converted(f"catboost_{kind}", catboost.CatBoostClassifier(**plain), rows, target, saved, "all")
    yield converted("catboost_nan_max", catboost.CatBoostClassifier(**plain, nan_mode="Max"), rows, yes, saved, "all")
    yield converted("catboost_one_against_all", catboost.CatBoostClassifier(**plain, loss_function="MultiClassOneVsAll"), rows, three, saved, "all")
    for loss in ("RMSE", "Poisson", "MAE", "Quantile"):
        yield converted(f"catboost_{loss.lower()}", catboost.CatBoostRegressor(**plain, loss_function=loss), rows, amount, saved, "all")


def table_cases():
    """An input for each column, some of them texts or integers."""
    rows, yes, *_ = boosted_data(np.float32, gaps=False, count=600)
    random = np.random.default_rng(5)
    table = pandas.DataFrame(rows[:, [0, 3, 5]], columns=["share", "code", "other"])
    table["method"] = random.choice(["get", "post", "Put", "é"], len(table))
    table["agent"] = random.choice(["curl", "firefox", ""], len(table))
    table["count"] = random.integers(0, 9, len(table)).astype(np.int64)
    floats, words, codes = ["share", "code", "other"], ["method", "agent"], ["count"]
    types = [(name, SkFloats([None, 1])) for name in floats] + [(name, StringTensorType([None, 1])) for name in words]
    types += [(name, Int64TensorType([None, 1])) for name in codes]
    known = {"handle_unknown": "ignore"}
    for name, steps in {
        "one_hot": [(scale.StandardScaler(), floats), (scale.OneHotEncoder(**known), words + codes)],
        "one_hot_drop": [(scale.StandardScaler(), floats), (scale.OneHotEncoder(drop="if_binary", **known), words)],
        "ordinal": [(scale.MinMaxScaler(), floats), (scale.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), words)],
        "imputed": [(make_pipeline(SimpleImputer(strategy="median"), scale.RobustScaler()), floats), (scale.OneHotEncoder(**known), words)],
        "text": [(scale.StandardScaler(), floats), (scale.OneHotEncoder(**known), words), ("passthrough", codes)],
    }.items():  # fmt: skip
        for model in (LogisticRegression(max_iter=500), trees.RandomForestClassifier(10, max_depth=5, random_state=1)):
            pipeline = make_pipeline(make_column_transformer(*steps), model)

            def make(pipeline=pipeline):
                pipeline.fit(table, yes)
                return to_onnx(pipeline, initial_types=types, target_opset={"": 17, "ai.onnx.ml": 3}, **NO_MAP), lambda x: scores(pipeline, x)

            yield Case(f"table_{name}_{'forest' if 'Forest' in repr(model) else 'logistic'}", make, table, "no_infinity" if name == "imputed" else "finite")


def text_cases():
    from rows import texts

    train = texts(300, seed=3)
    yes = np.array(["select" in text.lower() or "union" in text.lower() for text in train]).astype(int)
    for name, step in {
        "tfidf": TfidfVectorizer(), "count": CountVectorizer(), "tfidf_pairs": TfidfVectorizer(ngram_range=(1, 2)), "count_binary": CountVectorizer(binary=True),
        "characters": CountVectorizer(analyzer="char", ngram_range=(2, 3), max_features=200), "tfidf_case": TfidfVectorizer(lowercase=False),
        "tfidf_stop": TfidfVectorizer(stop_words=["the", "of"]), "tfidf_pattern": TfidfVectorizer(token_pattern="[a-zA-Z0-9_]+"),
        "tfidf_sublinear": TfidfVectorizer(sublinear_tf=True), "tfidf_l1": TfidfVectorizer(norm="l1", use_idf=False),
    }.items():  # fmt: skip
        pipeline = make_pipeline(step, LogisticRegression())

        def make(pipeline=pipeline, step=step):
            pipeline.fit(train, yes)
            options = {LogisticRegression: {"zipmap": False}, type(step): {"locale": "C.UTF-8"}}
            graph = to_onnx(pipeline, initial_types=[("text", StringTensorType([None, 1]))], options=options, target_opset={"": 17, "ai.onnx.ml": 3})
            return graph, lambda x: scores(pipeline, x.ravel())

        yield Case(f"text_{name}", make, "texts")


def cases():
    for make in (sklearn_cases, boosted_cases, table_cases, text_cases):
        yield from make()
