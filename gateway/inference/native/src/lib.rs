//! Reads model files of LightGBM, XGBoost and CatBoost, as the libraries save them, and scores rows as they do.
//!
//! | Library | File | How scores compare to the library's |
//! |---|---|---|
//! | LightGBM, versions 2 to 4 | `Booster.save_model`, `model_to_string` | equal in every bit |
//! | XGBoost, versions 1 to 3 | `save_model("….json")`, `"….ubj"` | equal in every bit to `Booster.predict` on a `DMatrix`; `multi:softmax` within 2e-7 of `XGBClassifier.predict_proba` |
//! | CatBoost 1 | `save_model(…, format="json")` | equal in every bit; within 1e-15 for the probabilities of `MultiClass`, and for `Poisson`, `Tweedie` and `RMSEWithUncertainty` |
//!
//! "In every bit" holds for raw scores on any machine, and for scores where the exponential of this program is that of the
//! library, which is the C library's: both are glibc's in practice. What is special in each library stands in its module.
//!
//! What is read: all boosters (DART, random forests, linear trees, `gblinear`, trees that are not symmetric), thresholds and
//! missing values as the library compares them, categories as codes or by name, CatBoost's target statistics, and what early
//! stopping has found best. What is not is refused by name: trees of XGBoost with several targets, objectives that are not
//! known, and CatBoost's texts and embeddings.
//!
//! ```
//! use witgate_native::{CompileOptions, Limits};
//!
//! // Two leaves: is the first number at most 0.5?
//! let file = b"tree
//! version=v4
//! num_class=1
//! num_tree_per_iteration=1
//! label_index=0
//! max_feature_idx=0
//! objective=regression
//! feature_names=hits
//! feature_infos=[0:1]
//! tree_sizes=1
//!
//! Tree=0
//! num_leaves=2
//! num_cat=0
//! split_feature=0
//! threshold=0.5
//! decision_type=10
//! left_child=-1
//! right_child=-2
//! leaf_value=1 2
//!
//!
//! end of trees
//! ";
//! let model = witgate_native::read(file, &Limits::default())?;
//! assert_eq!(model.features()[0].name.as_deref(), Some("hits"));
//! let compiled = model.compile(&CompileOptions::default())?;
//! let mut scores = [0.0; 3];
//! compiled.predict(&[0.5, 0.7, f64::NAN], 1, &mut scores)?;
//! // A value that is missing goes to the left here.
//! assert_eq!(scores, [1.0, 2.0, 1.0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! It knows neither threads nor the rest of the gateway, and trees as [`witgate_trees`] runs them.

mod catboost;
mod compiled;
mod document;
mod error;
mod format;
mod lightgbm;
mod limits;
mod linear;
mod link;
mod model;
mod prepare;
mod xgboost;

pub use compiled::CompiledNative;
pub use error::{Advice, CompileNativeError, NativeError, Place, PredictNativeError};
pub use format::{Format, Library, detect};
pub use limits::Limits;
pub use model::{Categories, Category, Feature, FeatureKind, Meaning, NativeModel, Outputs, Rounds};
pub use witgate_trees::{
    CodeStore, CompileLimits, CompileOptions, Element, LayoutKind, Precision, PredictError, Report, Selection,
};

use witgate_trees::{Child, Leaf, Tree};

/// Reads a model file.
///
/// Takes time in proportion to the file's size, and memory in proportion to what of it is needed.
///
/// # Errors
/// It is no such file, cannot be read, is larger than allowed, or means something that is not run here.
pub fn read(bytes: &[u8], limits: &Limits) -> Result<NativeModel, NativeError> {
    if bytes.len() > limits.bytes {
        return Err(NativeError::TooMany { what: "bytes", count: bytes.len(), limit: limits.bytes });
    }
    match detect(bytes) {
        Some(Format::LightGbmText) => lightgbm::read(bytes, limits),
        Some(format @ (Format::XgBoostJson | Format::XgBoostUbj)) => xgboost::read(bytes, format, limits),
        Some(Format::CatBoostJson) => catboost::read(bytes, limits),
        None => Err(format::unknown(bytes)),
    }
}

/// Trees, or one that says nothing: a model without trees is one whose scores are all the same.
fn or_nothing(trees: Vec<Tree>) -> Vec<Tree> {
    if !trees.is_empty() {
        return trees;
    }
    vec![Tree { id: 0, root: Child::Leaf(0), nodes: vec![], leaves: vec![Leaf { votes: vec![] }], weight: 1.0 }]
}
