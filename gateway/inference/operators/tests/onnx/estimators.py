"""Estimators of scikit-learn as graphs of skl2onnx, with the answers of ONNX Runtime and of scikit-learn itself."""

import warnings

import numpy as np
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, PoissonRegressor, Ridge, SGDClassifier
from sklearn.mixture import GaussianMixture
from sklearn.naive_bayes import BernoulliNB, GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import SVC, SVR, LinearSVC, NuSVC, OneClassSVM

warnings.filterwarnings("ignore")

VERSIONS = {"": 18, "ai.onnx.ml": 3}
# scikit-learn computes in 64 bits what the graph says in 32.
NEAR = {"scikit": 1e-4, "runtime": 2e-5}
WORDS = ["get /admin/login php", "get /index html", "post /wp-login php", "get /static/app js", "post /api/v1 json x",
         "curl wget sqlmap", "mozilla firefox linux", "googlebot +http google com"]


def data(classes, seed=7):
    random = np.random.default_rng(seed)
    rows = random.normal(size=(24, 4)).astype(np.float32)
    labels = np.digitize(rows @ np.array([1.0, -2, 0.5, 0.2]), np.linspace(-1, 1, classes + 1)[1:-1])
    return rows, labels


def outputs_of(estimator, rows, names):
    """What scikit-learn says for outputs of these names."""
    for name in names:
        if name == "label":
            yield estimator.predict(rows)
        elif name == "probabilities":
            yield (estimator.predict_proba if hasattr(estimator, "predict_proba") else estimator.decision_function)(rows)
        elif name == "variable":
            yield estimator.transform(rows) if hasattr(estimator, "transform") else estimator.predict(rows)
        else:
            yield None


def classifiers():
    for name, classes, names in [("two", 2, None), ("texts", 3, ["no", "maybe", "yes"])]:
        rows, labels = data(classes)
        labels = labels if names is None else np.array(names)[labels]
        for kind, estimator in {
            "logistic": LogisticRegression(),
            "scaled_logistic": make_pipeline(StandardScaler(), LogisticRegression()),
            "linear_svc": LinearSVC(),
            "sgd": SGDClassifier(loss="log_loss", random_state=1),
            "lda": LinearDiscriminantAnalysis(),
            "gaussian": GaussianNB(),
            "bernoulli": BernoulliNB(binarize=0.1),
            "multinomial": make_pipeline(MinMaxScaler(clip=True), MultinomialNB()),
            "network": MLPClassifier((5,), max_iter=50, random_state=1),
            "svc": SVC(random_state=1),
            "svc_linear": SVC(kernel="linear"),
            "nu_svc": NuSVC(nu=0.1),
            "neighbours": KNeighborsClassifier(3),
            "calibrated": CalibratedClassifierCV(LogisticRegression(), cv=2),
        }.items():
            # What is special about texts is the same for these.
            if names is None or kind not in ("neighbours", "calibrated", "lda", "svc_linear", "nu_svc", "multinomial"):
                yield f"{kind}_{name}", estimator.fit(rows, labels), rows


def transformers():
    rows, labels = data(3)
    holes = rows.copy()
    holes[::7, 1] = np.nan
    for kind, estimator in {
        "standard": StandardScaler(),
        "min_max": MinMaxScaler(),
        "max_abs": MaxAbsScaler(),
        "robust": RobustScaler(),
        "l1": Normalizer("l1"),
        "l2": Normalizer("l2"),
        "max": Normalizer("max"),
        "binarizer": Binarizer(threshold=0.2),
        "bins": KBinsDiscretizer(3, encode="ordinal", quantile_method="averaged_inverted_cdf"),
        "polynomial": PolynomialFeatures(2),
        "power": PowerTransformer(),
        "pca": PCA(2),
        "svd": TruncatedSVD(2, random_state=1),
        "best": SelectKBest(k=2),
        "nothing": FunctionTransformer(),
    }.items():
        yield kind, estimator.fit(rows, labels), rows
    yield "imputer_mean", SimpleImputer().fit(holes), holes
    yield "imputer_median", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()).fit(holes), holes


def regressors():
    rows, _ = data(3)
    target = rows @ np.array([1.0, -2, 0.5, 0.2]) + 0.5
    for kind, estimator in {
        "ridge": Ridge(),
        "poisson": PoissonRegressor(),
        "svr": SVR(),
        "svr_poly": SVR(kernel="poly", degree=2, coef0=1.0),
        "network": MLPRegressor(hidden_layer_sizes=(5,), max_iter=50, random_state=1),
    }.items():
        yield kind, estimator.fit(rows, np.exp(target) if kind == "poisson" else target), rows


def exported(to, load, name, estimator, rows, expect=True, **options):
    """Writes what ONNX Runtime says of a few rows, of one, and of none, and scikit-learn of the few."""
    try:
        model = to_onnx(estimator, rows[:1], target_opset=VERSIONS, **options)
    except Exception as error:  # noqa: BLE001 (it has no kinds)
        print(f"{name}: skl2onnx: {' '.join(str(error).split())[:150]}", flush=True)
        return
    session = load(model)
    (entry,) = session.get_inputs()
    sets = []
    for some in [rows[:4], rows[:1], rows[:0]]:
        try:
            sets.append(([some], session.run(None, {entry.name: some}), NEAR["runtime"]))
        except Exception as error:  # noqa: BLE001 (it has no kinds)
            print(f"{name} of {len(some)} rows: ONNX Runtime: {' '.join(str(error).split())[:150]}", flush=True)
    if expect:
        some, found = rows[:4], sets[0][1]
        said = outputs_of(estimator, some, [output.name for output in session.get_outputs()])
        told = [of if of is not None else other for of, other in zip(said, found, strict=True)]
        told = [np.asarray(of).astype(other.dtype).reshape(other.shape) for of, other in zip(told, found, strict=True)]
        sets.append(([some], told, NEAR["scikit"]))
    to.write(name, model, sets)


def write(to, load):
    for name, estimator, rows in classifiers():
        # The scores of the graphs of these have another form than scikit-learn's, and skl2onnx doubles those of discriminant
        # analysis of two classes.
        expect = not name.startswith(("svc", "nu_svc", "linear_svc", "lda"))
        options = {} if name.startswith("linear_svc") else {"options": {"zipmap": False}}
        exported(to, load, name, estimator, rows, expect, **options)
    exported(to, load, "logistic_maps", *list(classifiers())[0][1:], expect=False)
    for name, estimator, rows in [*transformers(), *regressors()]:
        # scikit-learn divides by the largest magnitude, the operator by the largest number.
        exported(to, load, f"transform_{name}", estimator, rows, expect=name != "max")
    rows, _ = data(3)
    exported(to, load, "one_class", OneClassSVM().fit(rows), rows, expect=False)
    exported(to, load, "clusters", KMeans(3, n_init=1, random_state=1).fit(rows), rows, expect=False)
    exported(to, load, "mixture", GaussianMixture(2, random_state=1).fit(rows), rows, expect=False)
    words(to, load)
    columns(to, load)


def words(to, load):
    texts = np.array(WORDS, dtype=object)
    for name, vectorizer in {
        "counts": CountVectorizer(token_pattern="[a-zA-Z]+"),
        "tfidf": TfidfVectorizer(token_pattern="[a-zA-Z]+", ngram_range=(1, 2)),
        "tfidf_letters": TfidfVectorizer(analyzer="char", ngram_range=(2, 2), max_features=40),
        "binary": CountVectorizer(token_pattern="[a-zA-Z]+", binary=True),
    }.items():
        labels = np.arange(len(texts)) % 2
        pipeline = make_pipeline(vectorizer, LogisticRegression()).fit(texts, labels)
        options = {id(pipeline): {"zipmap": False}, id(vectorizer): {"locale": "C.UTF-8"}}
        for which, estimator in [("alone", vectorizer), ("classified", pipeline)]:
            model = to_onnx(estimator, initial_types=[("text", StringTensorType([None, 1]))], target_opset=VERSIONS,
                            options=options if which == "classified" else {id(vectorizer): {"locale": "C.UTF-8"}})
            session = load(model)
            some = texts[:4].reshape(-1, 1)
            found = session.run(None, {"text": some})
            if which == "classified":
                told = [estimator.predict(texts[:4]), estimator.predict_proba(texts[:4]).astype(np.float32)]
            else:
                told = [estimator.transform(texts[:4]).toarray().astype(np.float32)]
            to.write(f"words_{name}_{which}", model, [([some], found, NEAR["runtime"]), ([some], told, NEAR["scikit"])])


def columns(to, load):
    methods, codes = np.array(["GET", "POST", "PUT", "GET"] * 8, dtype=object), np.array([200, 404, 500, 404] * 8)
    sizes = np.arange(32, dtype=np.float32)
    table = np.array(list(zip(methods, codes, sizes)), dtype=object)
    steps = ColumnTransformer([
        ("method", OneHotEncoder(handle_unknown="ignore"), [0]),
        ("code", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), [1]),
        ("size", make_pipeline(SimpleImputer(), StandardScaler()), [2]),
    ])
    pipeline = make_pipeline(steps, LogisticRegression()).fit(table, np.arange(32) % 3)
    types = [("method", StringTensorType([None, 1])), ("code", Int64TensorType([None, 1])), ("size", FloatTensorType([None, 1]))]
    model = to_onnx(pipeline, initial_types=types, target_opset=VERSIONS, options={"zipmap": False})
    some = [np.array([["PUT"], ["PATCH"], ["GET"]], dtype=object), np.array([[404], [200], [7]]),
            np.array([[3], [np.nan], [-1]], np.float32)]
    found = load(model).run(None, dict(zip(["method", "code", "size"], some)))
    to.write("columns", model, [(some, found, NEAR["runtime"])])
