"""What ONNX Runtime answers for the operators of `ai.onnx.ml`, of texts and others that the package `onnx` has few cases of, or
none: answers.py FILE.

Cases are written as `cases.py` writes them, with inputs that matter: one row and none, NaN and infinities, each type of
labels, each transform of scores. Estimators of scikit-learn, exported by skl2onnx, follow in `estimators.py`, with the
answers of both. Where the text of the standard and ONNX Runtime differ, the case has what the text says, and a comment.

The file that is kept was made by ONNX Runtime 1.32.0, skl2onnx 1.20.0 and scikit-learn 1.9.1.
"""

import json
import sys

import numpy as np
import onnxruntime
from onnx import TensorProto, helper

import cases
import estimators

NAN, INF = float("nan"), float("inf")
# Numbers that are near enough: ONNX Runtime computes in 32 bits what the crate computes in 64.
NEAR = 1e-5
KINDS = {
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
    "int64": TensorProto.INT64,
    "int32": TensorProto.INT32,
    "int16": TensorProto.INT16,
    "bool": TensorProto.BOOL,
    "object": TensorProto.STRING,
}
ROWS = np.array([[1, -2, 3.5], [0, 0, 0], [NAN, 1, 2], [INF, 1, -1], [-1e30, 1e-30, 2], [0.25, 0.5, 0.25]], np.float32)
NONE = np.zeros((0, 3), np.float32)


def strings(*items):
    return np.array(items, dtype=object)


def info(name, given):
    if isinstance(given, dict):
        key, item = next(iter(given.items()))
        value = TensorProto.STRING if isinstance(item, str) else KINDS[str(np.asarray(item).dtype)]
        of_value = helper.make_tensor_type_proto(value, [])
        return helper.make_value_info(
            name, helper.make_map_type_proto(TensorProto.STRING if isinstance(key, str) else TensorProto.INT64, of_value)
        )
    return helper.make_tensor_value_info(name, KINDS[str(given.dtype)], [None] * given.ndim)


class Writer:
    def __init__(self, file):
        self.file, self.names = file, set()

    def write(self, name, model, sets):
        """Sets of inputs, outputs, and what these may differ by."""
        assert name not in self.names, name
        self.names.add(name)
        written = cases.line(name, model, [(inputs, outputs) for inputs, outputs, _ in sets], NEAR)
        assert "unsupported" not in written, written
        # The file is kept, and need not be larger than it must.
        for key in ["operators", "rtol", "model"]:
            del written[key]
        written["graph"]["nodes"] = [
            {key: of for key, of in node.items() if of and key != "name"} for node in written["graph"]["nodes"]
        ]
        for of, (_, _, rtol) in zip(written["sets"], sets, strict=True):
            of["rtol"] = rtol
        json.dump(written, self.file, separators=(",", ":"), ensure_ascii=False)
        self.file.write("\n")

    def node(self, name, op_type, inputs, outputs=1, domain="ai.onnx.ml", version=3, expected=None, **attributes):
        """A case of one node. The types of outputs are those that ONNX Runtime finds."""
        inputs = inputs if isinstance(inputs, list) else [inputs]
        names = [f"x{at}" for at in range(len(inputs))]
        made = [f"y{at}" for at in range(outputs)]
        attributes = {key: value for key, value in attributes.items() if value is not None}
        node = helper.make_node(op_type, names, made, domain=domain, **attributes)
        infos = [info(name, given) for name, given in zip(names, inputs, strict=True)]
        imports = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", version)]
        imports.append(helper.make_opsetid("com.microsoft", 1))
        # Outputs may be declared without a type for ONNX Runtime.
        graph = helper.make_graph([node], "case", infos, [helper.make_empty_tensor_value_info(name) for name in made])
        model = helper.make_model(graph, opset_imports=imports, ir_version=8)
        try:
            session = load(model)
            found = session.run(None, dict(zip(names, inputs, strict=True)))
        except Exception as error:  # noqa: BLE001 (its errors have no class of their own)
            print(f"{name}: ONNX Runtime: {' '.join(str(error).split())[:160]}", flush=True)
            return
        del model.graph.output[:]
        model.graph.output.extend(declared(session))
        self.write(name, model, [(inputs, found if expected is None else expected, NEAR)])


def load(model):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def declared(session):
    """What ONNX Runtime says that the outputs are."""
    names = {
        "tensor(float)": TensorProto.FLOAT,
        "tensor(double)": TensorProto.DOUBLE,
        "tensor(int64)": TensorProto.INT64,
        "tensor(int32)": TensorProto.INT32,
        "tensor(int16)": TensorProto.INT16,
        "tensor(string)": TensorProto.STRING,
        "tensor(bool)": TensorProto.BOOL,
    }
    for output in session.get_outputs():
        if output.type in names:
            yield helper.make_tensor_value_info(output.name, names[output.type], None)
        else:
            key = TensorProto.INT64 if "int64" in output.type else TensorProto.STRING
            of_map = helper.make_map_type_proto(key, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
            yield helper.make_value_info(output.name, helper.make_sequence_type_proto(of_map))


def rescaled(to):
    whole = np.array([[1, -2, 3], [0, 0, 0], [7, 7, 7]])
    inputs = {"float": ROWS, "double": ROWS.astype(np.float64), "none": NONE}
    inputs |= {"int64": whole.astype(np.int64), "int32": whole.astype(np.int32)}
    for kind, rows in inputs.items():
        to.node(f"scaler_{kind}", "Scaler", rows, offset=[1.0, 0.0, -0.5], scale=[2.0, 0.0, 0.1])
        to.node(f"scaler_of_one_{kind}", "Scaler", rows, offset=[0.1], scale=[3.0])
        for norm in ["MAX", "L1", "L2"]:
            # NaN, infinities and zeros: see below.
            rows_of_norm = rows[[0, 5]] if kind in ("float", "double") else rows[[0, 2]] if kind != "none" else rows
            to.node(f"normalizer_{norm}_{kind}", "Normalizer", rows_of_norm, norm=norm)
        to.node(f"imputer_{kind}", "Imputer", rows, **imputation(rows))
        to.node(f"binarizer_{kind}", "Binarizer", rows, threshold=0.5)
    to.node("scaler_of_a_vector", "Scaler", ROWS[0], offset=[1.0, 0.0, -0.5], scale=[2.0, 0.0, 0.1])
    for norm in ["L1", "L2"]:
        to.node(f"normalizer_{norm}_of_zeros", "Normalizer", ROWS[1:2], norm=norm)
    to.node("imputer_one", "Imputer", ROWS, imputed_value_floats=[9.0], replaced_value_float=NAN)
    to.node("imputer_number", "Imputer", ROWS, imputed_value_floats=[9.0, 8.0, 7.0], replaced_value_float=1.0)


def imputation(rows):
    if rows.dtype.kind == "i":
        return {"imputed_value_int64s": [10, 20, 30], "replaced_value_int64": 7} if rows.dtype == np.int64 else {
            "imputed_value_int64s": [10, 20, 30], "replaced_value_int64": 0}
    return {"imputed_value_floats": [9.0, 8.0, 7.0], "replaced_value_float": NAN}


def linear(to):
    three = {"coefficients": [0.5, -1, 2, 1, 1, 1, -0.25, 0.75, 0.5], "intercepts": [0.1, 0.0, -0.3]}
    two = {"coefficients": [0.5, -1, 2, -0.5, 1, -2], "intercepts": [0.1, -0.1]}
    rows = np.array([[1, -2, 3.5], [0, 0, 0], [0.25, 0.5, 0.25], [-3, 2, 1], [1e3, 1, 1]], np.float32)
    for transform in ["NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"]:
        for name, weights, count in [("three", three, 3), ("two", two, 2)]:
            given = rows[:4] if transform != "NONE" else rows
            labels = {"classlabels_ints": list(range(10, 10 + count))}
            to.node(f"linear_classifier_{name}_{transform}", "LinearClassifier", given, 2, post_transform=transform,
                    **labels, **weights)
        to.node(f"linear_regressor_{transform}", "LinearRegressor", rows[:4], targets=3, post_transform=transform, **three)
    texts = {"classlabels_strings": ["no", "maybe", "yes"], "multi_class": 1}
    for kind, given in [("float", rows), ("double", rows.astype(np.float64)), ("int64", rows.astype(np.int64)),
                        ("int32", rows.astype(np.int32)), ("none", NONE), ("vector", rows[0]), ("one", rows[:1])]:
        to.node(f"linear_classifier_texts_{kind}", "LinearClassifier", given, 2, **texts, **three)
        if kind in ("float", "none", "one"):
            to.node(f"linear_regressor_{kind}", "LinearRegressor", given, coefficients=[0.5, -1, 2], intercepts=[0.25])
    to.node("linear_regressor_without_intercepts", "LinearRegressor", rows, coefficients=[0.5, -1, 2])
    for labels in [{"classlabels_ints": [0, 1]}, {"classlabels_strings": ["a", "b"]}, {"classlabels_ints": [5, -5]}]:
        name = "_".join(str(label) for label in next(iter(labels.values())))
        to.node(f"linear_classifier_one_score_{name}", "LinearClassifier", rows, 2, post_transform="LOGISTIC",
                coefficients=[0.5, -1, 2], intercepts=[0.1], **labels)


def encoders(to):
    lists = {"strings": ["a", "", "ß"], "int64s": [-1, 0, 1 << 40], "floats": [1.5, NAN, -0.0]}
    arrays = {"strings": strings("ß", "x", "", "a"), "int64s": np.array([1 << 40, 7, 0]),
              "floats": np.array([NAN, 0.0, 1.5, 2.5], np.float32)}
    for keys, key_list in lists.items():
        for values, value_list in lists.items():
            if keys == "floats" and values == "floats":
                value_list = [1.0, 2.0, 3.0]
            attributes = {f"keys_{keys}": key_list, f"values_{values}": value_list}
            default = {"strings": {"default_string": "other"}, "int64s": {"default_int64": 99},
                       "floats": {"default_float": 0.5}}[values]
            for version in [2, 4]:
                to.node(f"label_encoder_{version}_{keys}_{values}", "LabelEncoder", arrays[keys], version=version,
                        expected=with_nan(keys, value_list, default), **attributes, **default)
            standard = {"strings": {"": "_Unused"}, "int64s": {"": -1}, "floats": {"": -0.0}}[values]
            to.node(f"label_encoder_{keys}_{values}_by_default", "LabelEncoder", arrays[keys], version=2,
                    expected=with_nan(keys, value_list, standard), **attributes)
    tensors = {"int64": np.array([1, 2]), "int32": np.array([1, 2], np.int32), "int16": np.array([1, 2], np.int16),
               "double": np.array([0.5, NAN]), "float": np.array([0.5, NAN], np.float32)}
    for keys in ["int64", "double", "float"]:
        for values in ["int64", "double", "float", "int16"]:
            to.node(f"label_encoder_tensor_{keys}_{values}", "LabelEncoder", np.append(tensors[keys], tensors[keys][:1] * 3),
                    version=4, keys_tensor=tensor(tensors[keys]), values_tensor=tensor(tensors[values][::-1]),
                    default_tensor=tensor(tensors[values][:1]))
    to.node("label_encoder_1_to_ints", "LabelEncoder", strings("b", "c", "a"), version=1, classes_strings=["a", "b"])
    to.node("label_encoder_1_to_texts", "LabelEncoder", np.array([[1, 0, 2, -1]]), version=1, classes_strings=["a", "b"],
            default_string="?")
    cats = {"cats_strings": ["GET", "POST", "ß"], "cats_int64s": [3, 1, 2]}
    to.node("category_mapper_to_ints", "CategoryMapper", strings("ß", "POST", "PUT"), **cats)
    to.node("category_mapper_to_texts", "CategoryMapper", np.array([[1, 2], [9, 3]]), default_string="?", **cats)
    for kind, given in [("int64", np.array([3, 1, 9])), ("int32", np.array([[3, 1]], np.int32)),
                        ("float", np.array([[3.0, 1.9], [-1.0, 7.0]], np.float32)), ("double", np.array([1.0, 3.0, 4.0]))]:
        to.node(f"one_hot_{kind}", "OneHotEncoder", given, cats_int64s=[1, 3, 7])
    to.node("one_hot_texts", "OneHotEncoder", strings("b", "?", "a"), cats_strings=["a", "b"], zeros=1)
    to.node("one_hot_without_zeros", "OneHotEncoder", np.array([[1], [7]]), cats_int64s=[1, 3, 7], zeros=0)
    to.node("one_hot_none", "OneHotEncoder", np.zeros((0, 2), np.int64), cats_int64s=[1, 3, 7])


def with_nan(keys, values, default):
    """ONNX Runtime finds a key NaN in version 4 alone; by the text it is found since version 2."""
    if keys != "floats":
        return None
    (other,) = default.values()
    found = [values[1], values[2], values[0], other]
    return [np.array(found, object if isinstance(other, str) else np.int64 if isinstance(other, int) else np.float32)]


def tensor(given):
    return helper.make_tensor("", KINDS[str(given.dtype)], given.shape, given.tolist())


def parts(to):
    for kind, rows in [("float", ROWS), ("double", ROWS.astype(np.float64)), ("int64", np.arange(6).reshape(2, 3)),
                       ("int32", np.arange(6, dtype=np.int32).reshape(2, 3)), ("texts", strings("a", "b", "c").reshape(1, 3))]:
        to.node(f"array_feature_extractor_{kind}", "ArrayFeatureExtractor", [rows, np.array([2, 0])])
        to.node(f"array_feature_extractor_one_{kind}", "ArrayFeatureExtractor", [rows, np.array([[1]])])
    to.node("array_feature_extractor_vector", "ArrayFeatureExtractor", [ROWS[0], np.array([2, 0])])
    for kind in [np.float32, np.float64, np.int64, np.int32]:
        one, other = np.array([[1, 2], [3, 4]], kind), np.array([[5], [6]], kind)
        to.node(f"feature_vectorizer_{kind.__name__}", "FeatureVectorizer", [one, other], inputdimensions=[2, 1])
    to.node("feature_vectorizer_cut_and_filled", "FeatureVectorizer", [ROWS[:2], ROWS[:2, :1]], inputdimensions=[2, 3])
    scores = np.array([[0.25, 0.75], [NAN, INF]], np.float32)
    to.node("zip_map_ints", "ZipMap", scores, classlabels_int64s=[7, -1])
    to.node("zip_map_texts", "ZipMap", scores, classlabels_strings=["b", "a"])
    to.node("zip_map_vector", "ZipMap", scores[0], classlabels_int64s=[0, 1])
    to.node("zip_map_none", "ZipMap", scores[:0], classlabels_int64s=[0, 1])
    by_text = {"c": np.float32(1.5), "a": np.float32(2.5), "other": np.float32(9)}
    to.node("dict_vectorizer_texts", "DictVectorizer", by_text, string_vocabulary=["a", "b", "c"])
    to.node("dict_vectorizer_ints", "DictVectorizer", {7: np.float32(1.5), 1: np.float32(-2)}, int64_vocabulary=[1, 2, 7])
    to.node("dict_vectorizer_to_texts", "DictVectorizer", {7: "x", 1: "y"}, int64_vocabulary=[1, 2, 7])
    for cast in ["TO_FLOAT", "TO_INT64"]:
        to.node(f"cast_map_{cast}", "CastMap", {7: np.float32(1.75), 1: np.float32(-2.5)}, cast_to=cast)
        to.node(f"cast_map_sparse_{cast}", "CastMap", {3: np.float32(1.75), 1: np.float32(-2.5)}, cast_to=cast,
                map_form="SPARSE", max_map=5)
    to.node("cast_map_texts", "CastMap", {7: "1.5", 1: "-2"}, cast_to="TO_STRING")
    to.node("cast_map_texts_to_float", "CastMap", {7: "1.5", 1: "-2"}, cast_to="TO_FLOAT")


def machines(to):
    vectors = {"support_vectors": [0.0, 1, 2, 1, 0, -1, 0.5, 0.5, 0.5, -1, 2, 0], "vectors_per_class": [1, 1, 2]}
    weights = {"coefficients": [1.0, -0.5, 0.25, 0.75, 0.3, -0.6, 0.2, -0.9], "rho": [0.1, -0.2, 0.3]}
    rows = np.array([[1, -2, 3.5], [0, 0, 0], [0.25, 0.5, 0.25], [-1, 2, 1]], np.float32)
    kernels = {"LINEAR": [0.0, 0, 0], "RBF": [0.3, 0, 0], "POLY": [0.5, 1, 3], "SIGMOID": [0.2, 0.1, 0]}
    platt = {"prob_a": [-1.2, -1.0, -0.5], "prob_b": [0.1, 0.2, 0.3]}
    for kernel, parameters in kernels.items():
        of = {"kernel_type": kernel, "kernel_params": parameters}
        to.node(f"svm_classifier_{kernel}", "SVMClassifier", rows, 2, classlabels_ints=[3, 1, 2], **of, **vectors, **weights)
        to.node(f"svm_classifier_platt_{kernel}", "SVMClassifier", rows, 2, classlabels_strings=["a", "b", "c"], **of,
                **vectors, **weights, **platt)
        to.node(f"svm_regressor_{kernel}", "SVMRegressor", rows, coefficients=[1.0, -0.5, 0.25, 0.75], rho=[0.4],
                n_supports=4, support_vectors=vectors["support_vectors"], **of)
        to.node(f"svm_one_class_{kernel}", "SVMRegressor", rows, coefficients=[1.0, -0.5, 0.25, 0.75], rho=[0.4],
                n_supports=4, support_vectors=vectors["support_vectors"], one_class=1, **of)
    two = {"support_vectors": vectors["support_vectors"], "vectors_per_class": [2, 2], "rho": [0.1],
           "coefficients": [1.0, -0.5, 0.25, -0.75], "kernel_type": "LINEAR", "kernel_params": [0.0, 0.0, 0.0]}
    for name, labels in [("ints", {"classlabels_ints": [3, 1]}), ("texts", {"classlabels_strings": ["a", "b"]})]:
        for transform in ["NONE", "LOGISTIC"]:
            to.node(f"svm_classifier_two_{name}_{transform}", "SVMClassifier", rows, 2, post_transform=transform, **two,
                    **labels)
        to.node(f"svm_classifier_two_platt_{name}", "SVMClassifier", rows, 2, prob_a=[-1.2], prob_b=[0.1], **two, **labels)
    for kind, given in [("double", rows.astype(np.float64)), ("int64", rows.astype(np.int64)), ("none", NONE)]:
        to.node(f"svm_classifier_{kind}", "SVMClassifier", given, 2, classlabels_ints=[3, 1, 2], kernel_type="RBF",
                kernel_params=[0.3, 0.0, 0.0], **vectors, **weights)
    to.node("svm_classifier_linear_rows", "SVMClassifier", rows, 2, classlabels_ints=[0, 1, 2], kernel_type="LINEAR",
            coefficients=[0.5, -1, 2, 1, 1, 1, -0.25, 0.75, 0.5], rho=[0.25], post_transform="LOGISTIC")
    to.node("svm_regressor_linear", "SVMRegressor", rows, coefficients=[0.5, -1, 2], rho=[0.25], kernel_type="LINEAR")


def texts(to):
    paths = strings("/a/b?c=d", "", "ab  cd", "Grüße-1 x", "aaa")
    for name, attributes in {
        "letters": {"separators": [""]},
        "separator": {"separators": ["/"], "pad_value": "#"},
        "separators": {"separators": ["/", "[?=]", " "]},
        "matches": {"tokenexp": "[a-zA-Z0-9_]+"},
        "marked": {"tokenexp": "[a-z]+", "mark": 1},
        "short_left_out": {"tokenexp": "[a-z]+", "mincharnum": 2},
        "longest": {"tokenexp": "a|aa|ab"},
        "anything": {"tokenexp": "."},
        "ascii_words": {"tokenexp": r"\w+"},
    }.items():
        attributes = {"mark": 0, "mincharnum": 1, "pad_value": "~"} | attributes
        to.node(f"tokenizer_{name}", "Tokenizer", paths, domain="com.microsoft", **attributes)
    to.node("tokenizer_rows", "Tokenizer", paths.reshape(5, 1), domain="com.microsoft", mark=0, mincharnum=1, pad_value="",
            tokenexp="[a-z]+")
    for name, attributes in {
        "lower": {"case_change_action": "LOWER"},
        "stop": {"stopwords": ["aaa", "x"], "is_case_sensitive": 1},
        "stop_any_case": {"stopwords": ["AAA"], "is_case_sensitive": 0, "case_change_action": "LOWER"},
        "all_stopped": {"stopwords": list(paths), "is_case_sensitive": 1},
    }.items():
        to.node(f"string_normalizer_{name}", "StringNormalizer", paths, domain="", locale="C.UTF-8", **attributes)
    # ONNX Runtime leaves letters as they are that become two: it knows no SS of ß.
    to.node("string_normalizer_upper", "StringNormalizer", strings("grüße-1 x", "aé"), domain="", locale="C.UTF-8",
            expected=[strings("GRÜSSE-1 X", "AÉ")], case_change_action="UPPER")
    pool = {"pool_int64s": [1, 2, 3, 1, 2, 2, 3, 1, 3], "ngram_counts": [0, 3], "ngram_indexes": [4, 0, 1, 2, 3, 5]}
    items = np.array([[1, 2, 3, 1, 2, 2], [3, 3, 1, 3, 2, 3]])
    weights = [0.5, 2.0, 1.0, 0.25, 3.0, 1.5]
    for mode in ["TF", "IDF", "TFIDF"]:
        for shortest, longest, skip in [(1, 1, 0), (1, 2, 0), (2, 2, 0), (2, 2, 3), (1, 2, 1)]:
            for kind in [np.int64, np.int32]:
                if kind == np.int32 and skip == 0:
                    continue
                to.node(f"tfidf_{mode}_{shortest}_{longest}_{skip}_{kind.__name__}", "TfIdfVectorizer", items.astype(kind),
                        domain="", mode=mode, min_gram_length=shortest, max_gram_length=longest, max_skip_count=skip,
                        weights=weights, **pool)
    to.node("tfidf_texts", "TfIdfVectorizer", strings("a", "b", "a", "zz"), domain="", mode="TF", min_gram_length=1,
            max_gram_length=2, max_skip_count=0, pool_strings=["a", "b", "a", "b"], ngram_counts=[0, 2], ngram_indexes=[1, 0, 2])


def pools(to):
    planes = np.array([[1, -2, 3.5, 0, 0.25, -4], [1e10, 1e-10, -1, 2, 3, 0]], np.float32).reshape(1, 2, 2, 3)
    for power in [1, 2, 3]:
        to.node(f"global_lp_pool_{power}", "GlobalLpPool", planes, domain="", p=power)


def main():
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        to = Writer(file)
        for group in [rescaled, linear, encoders, parts, machines, texts, pools]:
            group(to)
        estimators.write(to, load)


if __name__ == "__main__":
    main()
