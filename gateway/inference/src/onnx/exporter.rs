//! What wrote a file, and what to tell those who have to export it again.

/// Libraries whose files are told apart by the producer that they name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exporter {
    /// Of LightGBM and XGBoost.
    OnnxMlTools,
    /// Of scikit-learn.
    Skl2Onnx,
    CatBoost,
    PyTorch,
    Other,
}

impl Exporter {
    pub fn of(producer: &str) -> Self {
        match producer.to_ascii_lowercase().as_str() {
            "onnxmltools" => Self::OnnxMlTools,
            "skl2onnx" => Self::Skl2Onnx,
            "catboost" => Self::CatBoost,
            "pytorch" => Self::PyTorch,
            _ => Self::Other,
        }
    }

    /// How to get a tensor in the place of a map or a sequence. `source`: the tensor that the map is made of.
    pub fn without_map(self, inputs: &[&str], source: Option<&str>) -> String {
        match (self, source) {
            (Self::OnnxMlTools, _) => {
                "export it without the map: `onnxmltools.convert_lightgbm(model, initial_types=…, \
                                       zipmap=False)`"
                    .to_owned()
            }
            (Self::Skl2Onnx, _) => {
                "export it without the map: `skl2onnx.to_onnx(model, X[:1], options={\"zipmap\": False})`".to_owned()
            }
            (Self::CatBoost, source) => format!(
                "CatBoost has no switch for it: cut the map off with `{}`",
                extract(inputs, source.unwrap_or("probability_tensor"))
            ),
            (Self::PyTorch, _) => {
                "export a module whose `forward` returns tensors only: stack or concatenate the parts of \
                                   the sequence"
                    .to_owned()
            }
            (Self::Other, Some(source)) => {
                format!("cut the map off: it is made of the tensor `{source}`. `{}` does so", extract(inputs, source))
            }
            (Self::Other, None) => "export the model with tensors only".to_owned(),
        }
    }

    /// What to do about trees that contradict themselves, which no runtime takes: exporters write some kinds of models wrongly
    /// (XGBoost's with `num_parallel_tree`), and the libraries' own files have them right.
    pub fn with_own_trees(self) -> Option<&'static str> {
        match self {
            Self::OnnxMlTools => Some(
                "the exporter writes such models wrongly: load the library's own file, of XGBoost \
                 `model.save_model(\"model.json\")`, of LightGBM `model.booster_.save_model(\"model.txt\")`",
            ),
            Self::CatBoost => {
                Some("load CatBoost's own file instead: `model.save_model(\"model.json\", format=\"json\")`")
            }
            Self::Skl2Onnx | Self::PyTorch | Self::Other => None,
        }
    }

    /// What to do about an output of another type than is declared, which no runtime takes.
    pub fn with_floats(self) -> &'static str {
        match self {
            Self::Skl2Onnx => {
                "the exporter writes this estimator wrongly for doubles: export it for floats, \
                 `to_onnx(model, X[:1].astype(\"float32\"), …)`"
            }
            _ => "export the model again, with a declaration that is true",
        }
    }

    /// How an input of another type becomes one of numbers.
    pub fn with_numbers(self) -> &'static str {
        match self {
            Self::Skl2Onnx | Self::OnnxMlTools => {
                "train it on the numbers of feature sets alone, and export it with `FloatTensorType([None, COLUMNS])`"
            }
            _ => "export the model with an input of one of these types",
        }
    }

    /// How the first dimension becomes one of any size.
    pub fn with_rows(self) -> &'static str {
        match self {
            Self::OnnxMlTools => "export it with `initial_types=[(\"input\", FloatTensorType([None, COLUMNS]))]`",
            Self::Skl2Onnx => "export it with `initial_types=[(\"X\", FloatTensorType([None, COLUMNS]))]`",
            Self::PyTorch => {
                "export it with `dynamic_shapes` (`dynamic_axes` with `dynamo=False`) that let dimension 0 be of any size"
            }
            Self::CatBoost | Self::Other => "export it with a first dimension of any size",
        }
    }
}

/// The call that makes a file which ends at a tensor.
fn extract(inputs: &[&str], tensor: &str) -> String {
    let inputs: Vec<_> = inputs.iter().map(|input| format!("\"{input}\"")).collect();
    format!("onnx.utils.extract_model(\"model.onnx\", \"cut.onnx\", [{}], [\"{tensor}\"])", inputs.join(", "))
}
