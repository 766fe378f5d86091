//! Operators of texts. None depends on the locale of the system.

mod case;
mod ngrams;
mod normalizer;
mod pattern;
mod split;
mod tfidf;
mod tokenizer;
mod translate;

use crate::operator::{Definition, define};

pub(crate) const DEFINITIONS: &[Definition] = define! { "":
    "RegexFullMatch" 20, 1..=1 => 1..=1, split::build_match;
    "StringConcat" 20, 2..=2 => 1..=1, split::build_concat;
    "StringNormalizer" 10, 1..=1 => 1..=1, normalizer::build;
    "StringSplit" 20, 1..=1 => 2..=2, split::build_split;
    "TfIdfVectorizer" 9, 1..=1 => 1..=1, tfidf::build;
};

/// What ONNX Runtime adds, and `skl2onnx` writes.
pub(crate) const CONTRIBUTED: &[Definition] = define! { "com.microsoft":
    "Tokenizer" 1, 1..=1 => 1..=1, tokenizer::build;
};
