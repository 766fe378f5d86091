//! What is wrong with a model's file.

use std::borrow::Cow;

use super::wire::{Malformed, Value};
use crate::LoadError;

/// Bytes of a name or producer.
const NAME_LIMIT: usize = 1024;

pub(super) enum Problem {
    NotOnnx,
    Truncated,
    Other { message: String, help: Cow<'static, str> },
}

const EXPORT_AGAIN: &str = "export the model again, and check it with `onnx.checker.check_model`";

impl Problem {
    pub(super) fn new(message: impl Into<String>, help: impl Into<Cow<'static, str>>) -> Self {
        Self::Other { message: message.into(), help: help.into() }
    }

    pub(super) fn damaged(message: impl Into<String>) -> Self {
        Self::new(message, EXPORT_AGAIN)
    }

    pub(super) fn into_error(self) -> LoadError {
        match self {
            Self::NotOnnx => LoadError::new(
                "it is not an ONNX model, nor a file of LightGBM (text), XGBoost (JSON, UBJ) or CatBoost (JSON)",
                "give the path of an .onnx file, as `torch.onnx.export` and `skl2onnx` write them, or what `save_model` of those \
                 libraries wrote",
            ),
            Self::Truncated => LoadError::new(
                "the file is damaged: it ends in the middle of the model",
                "copy it again, and write it under another name before it is renamed",
            ),
            Self::Other { message, help } => LoadError::new(message, help),
        }
    }
}

impl From<Malformed> for Problem {
    fn from(malformed: Malformed) -> Self {
        match malformed {
            Malformed::Truncated => Self::Truncated,
            Malformed::Syntax => Self::damaged("the file is damaged: it has what the format does not"),
        }
    }
}

/// A text that names something.
pub(super) fn name<'a>(value: Value<'a>) -> Result<&'a str, Problem> {
    let text = value.text()?;
    if text.len() > NAME_LIMIT {
        return Err(Problem::damaged(format!("a name has {} bytes; {NAME_LIMIT} at most are expected", text.len())));
    }
    Ok(text)
}
