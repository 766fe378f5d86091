"""Makes the models beside it, each as a library's exporter writes it. `pip install -r requirements.txt`; `python3 make.py`.

All of them take four numbers, and learn whether the first is above 0: whatever `x0 > 0` is called, its score is high for it.
"""

import pathlib
import tempfile

import catboost
import lightgbm
import numpy as np
import onnx
import onnx.utils
import onnxmltools
import pandas
import xgboost
from onnxmltools.convert.common.data_types import FloatTensorType
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.svm import SVC
from skl2onnx import to_onnx

HERE = pathlib.Path(__file__).parent
COLUMNS = ["length_path", "length_query", "tokens_path", "tokens_query"]
NO_MAP = {"options": {"zipmap": False}}


def save(name, model):
    (HERE / f"{name}.onnx").write_bytes(model.SerializeToString())


def of_catboost(classifier):
    with tempfile.TemporaryDirectory() as folder:
        file = f"{folder}/model.onnx"
        classifier.save_model(file, format="onnx")
        model = onnx.load(file)
    # All parameters of the training, and when it was.
    del model.metadata_props[:]
    return model


def main():
    random = np.random.default_rng(7)
    inputs = random.normal(size=(300, 4)).astype("f4")
    yes = (inputs[:, 0] > 0).astype(int)
    # In the alphabet the bad one comes first, as it may.
    names = np.where(yes == 1, "bot", "human")
    three = np.where(inputs[:, 0] > 0, np.where(inputs[:, 1] > 0, "bot", "crawler"), "human")
    typed = [("input", FloatTensorType([None, 4]))]

    def boosted():
        return lightgbm.LGBMClassifier(n_estimators=3, num_leaves=3, min_child_samples=5, random_state=7, verbose=-1)

    save("lightgbm", onnxmltools.convert_lightgbm(boosted().fit(inputs, yes), initial_types=typed, zipmap=False))
    save("lightgbm_map", onnxmltools.convert_lightgbm(boosted().fit(inputs, yes), initial_types=typed))
    save("lightgbm_names", onnxmltools.convert_lightgbm(boosted().fit(inputs, names), initial_types=typed, zipmap=False))
    # Columns of a feature set, as they are called.
    boosted().fit(pandas.DataFrame(inputs, columns=COLUMNS), yes)
    trees = xgboost.XGBClassifier(n_estimators=3, max_depth=2, random_state=7)
    save("xgboost", onnxmltools.convert_xgboost(trees.fit(inputs, yes), initial_types=typed))
    # No runtime takes this one: each tree votes for a class of its own.
    forest_of_xgboost = xgboost.XGBClassifier(n_estimators=1, num_parallel_tree=3, max_depth=1, random_state=7)
    save("xgboost_forest", onnxmltools.convert_xgboost(forest_of_xgboost.fit(inputs, yes), initial_types=typed))
    oblivious = catboost.CatBoostClassifier(
        iterations=3, depth=2, random_seed=7, verbose=0, thread_count=1, allow_writing_files=False
    )
    save("catboost_map", of_catboost(oblivious.fit(inputs, yes)))
    # As the help says.
    onnx.utils.extract_model(
        str(HERE / "catboost_map.onnx"), str(HERE / "catboost.onnx"), ["features"], ["probability_tensor"]
    )

    def sklearn(name, model, rows, classes, **options):
        save(name, to_onnx(model.fit(rows, classes), rows[:1], **options))

    def forest():
        return RandomForestClassifier(3, max_depth=2, random_state=7)

    sklearn("forest_map", forest(), inputs, yes)
    sklearn("forest", forest(), inputs, yes, **NO_MAP)
    sklearn("forest_columns", forest(), inputs, yes, options={"zipmap": "columns"})
    sklearn("forest_from_1", forest(), inputs, yes + 1, **NO_MAP)
    sklearn("histogram", HistGradientBoostingClassifier(max_iter=3, max_depth=2, random_state=7), inputs, yes, **NO_MAP)
    gb = GradientBoostingClassifier(n_estimators=3, max_depth=1, random_state=7)
    sklearn("boosted_raw", gb, inputs, yes, options={"zipmap": False, "raw_scores": True})
    # Nor this one: it declares doubles, and the operator makes floats.
    sklearn("boosted_double", gb, inputs.astype("f8"), yes, **NO_MAP)
    sklearn("logistic_names", LogisticRegression(), inputs, three, **NO_MAP)
    network = MLPClassifier((4,), max_iter=300, learning_rate_init=0.02, random_state=7)
    sklearn("network", network, inputs, yes, **NO_MAP)
    network = MLPClassifier((4,), max_iter=300, learning_rate_init=0.02, random_state=7)
    sklearn("network_names", network, inputs, names, **NO_MAP)
    ordinary = IsolationForest(n_estimators=3, max_samples=8, random_state=7)
    sklearn("isolation", ordinary, inputs, None, target_opset={"": 17, "ai.onnx.ml": 3})
    # Its decision function is above 0 for x0 > 0, and comes out in the first of two columns.
    machine = SVC(C=100, kernel="poly", degree=1)
    sklearn("machine", machine, inputs, yes, **NO_MAP)
    sklearn("machine_map", machine, inputs, yes)
    scaled = make_pipeline(StandardScaler(), LogisticRegression())
    sklearn("scaled_double", scaled, inputs.astype("f8"), yes, **NO_MAP)
    sklearn("columns", scaled, pandas.DataFrame(inputs, columns=COLUMNS), yes, **NO_MAP)
    scaled = make_pipeline(StandardScaler(), LogisticRegression())
    sklearn("columns_double", scaled, pandas.DataFrame(inputs.astype("f8"), columns=COLUMNS), yes, **NO_MAP)
    sklearn("polynomial", make_pipeline(PolynomialFeatures(3), LogisticRegression()), inputs, yes, **NO_MAP)


main()
