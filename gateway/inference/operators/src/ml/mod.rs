//! The operators of `ai.onnx.ml`, but for trees, which another crate makes ([`crate::External`]).
//!
//! Where the standard's text leaves something open, the answer is that of ONNX's reference and of ONNX Runtime, if they
//! agree; if they do not, a node that could mean either is refused. Sums are made in 64 bits, in the order of the
//! features, and rounded once.

mod dictionary;
mod encode;
mod extract;
mod labels;
mod linear;
mod linear_classifier;
mod lookup;
mod map;
mod one_hot;
mod rescale;
mod rows;
mod svm;
mod transform;

use crate::operator::{Definition, define};

pub(crate) const DEFINITIONS: &[Definition] = define! { "ai.onnx.ml":
    "ArrayFeatureExtractor" 1, 2..=2 => 1..=1, extract::build;
    "Binarizer" 1, 1..=1 => 1..=1, rescale::build_binarizer;
    "CastMap" 1, 1..=1 => 1..=1, map::build_cast;
    "CategoryMapper" 1, 1..=1 => 1..=1, encode::build_category_mapper;
    "DictVectorizer" 1, 1..=1 => 1..=1, dictionary::build;
    "FeatureVectorizer" 1, 1..=usize::MAX => 1..=1, extract::build_vectorizer;
    "Imputer" 1, 1..=1 => 1..=1, rescale::build_imputer;
    "LabelEncoder" 1, 1..=1 => 1..=1, encode::build_by_place;
    "LabelEncoder" 2, 1..=1 => 1..=1, encode::build;
    "LinearClassifier" 1, 1..=1 => 1..=2, linear_classifier::build;
    "LinearRegressor" 1, 1..=1 => 1..=1, linear::build;
    "Normalizer" 1, 1..=1 => 1..=1, rescale::build_normalizer;
    "OneHotEncoder" 1, 1..=1 => 1..=1, one_hot::build;
    "SVMClassifier" 1, 1..=1 => 1..=2, svm::classifier::build;
    "SVMRegressor" 1, 1..=1 => 1..=1, svm::regressor::build;
    "Scaler" 1, 1..=1 => 1..=1, rescale::build_scaler;
    "ZipMap" 1, 1..=1 => 1..=1, map::build;
};
