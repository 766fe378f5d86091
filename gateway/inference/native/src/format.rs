//! What kind of file it is, by its content.

use std::fmt;

use crate::document::Cursor;
use crate::error::Advice;
use crate::{Limits, NativeError};

/// A library whose models are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Library {
    LightGbm,
    XgBoost,
    CatBoost,
}

impl fmt::Display for Library {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::LightGbm => "LightGBM",
            Self::XgBoost => "XGBoost",
            Self::CatBoost => "CatBoost",
        })
    }
}

/// A format of model files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// LightGBM's `Booster.save_model` and `model_to_string`.
    LightGbmText,
    /// XGBoost's `save_model("….json")`.
    XgBoostJson,
    /// XGBoost's `save_model("….ubj")`.
    XgBoostUbj,
    /// CatBoost's `save_model(…, format="json")`.
    CatBoostJson,
}

impl Format {
    pub fn library(self) -> Library {
        match self {
            Self::LightGbmText => Library::LightGbm,
            Self::XgBoostJson | Self::XgBoostUbj => Library::XgBoost,
            Self::CatBoostJson => Library::CatBoost,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::LightGbmText => "LightGBM's text",
            Self::XgBoostJson => "XGBoost's JSON",
            Self::XgBoostUbj => "XGBoost's UBJ",
            Self::CatBoostJson => "CatBoost's JSON",
        })
    }
}

/// What kind of model file it is, by its content; `None` if it is none of those that are read. No more of the file is looked
/// at than is needed; for JSON that may be all of it.
pub fn detect(bytes: &[u8]) -> Option<Format> {
    match bytes {
        [b't', b'r', b'e', b'e', b'\r' | b'\n', ..] => Some(Format::LightGbmText),
        // An object whose first key has a length: in JSON a quotation mark, white space or a bracket would follow.
        [b'{', b'L' | b'l' | b'I' | b'i' | b'U', ..] => Some(Format::XgBoostUbj),
        _ => {
            let text = bytes.trim_ascii_start();
            if text.first() != Some(&b'{') {
                return None;
            }
            let mut found = None;
            let mut cursor = Cursor::json(text, Format::XgBoostJson, &Limits::default());
            // The first key that only one of them has ends the search: what it ends with is no error.
            let _ = cursor.object(|cursor, key| {
                found = match key {
                    "learner" => Some(Format::XgBoostJson),
                    "oblivious_trees" | "features_info" | "model_info" | "scale_and_bias" => Some(Format::CatBoostJson),
                    _ => return cursor.skip(),
                };
                Err(cursor.fail("found"))
            });
            found
        }
    }
}

/// That it is no file that is read, and what to do if it is known what it is instead.
pub(crate) fn unknown(bytes: &[u8]) -> NativeError {
    let begins = |prefix: &[u8]| bytes.starts_with(prefix);
    let text = bytes.trim_ascii_start();
    let contains = |part: &[u8]| text.get(..4096).unwrap_or(text).windows(part.len()).any(|window| window == part);
    let advice = if begins(b"CBM1") {
        "it is CatBoost's binary format; save the model with save_model(path, format=\"json\")"
    } else if begins(&[0x80]) {
        "it is a pickle of Python; save the model itself: booster_.save_model(path) for LightGBM, save_model(\"model.json\") \
         for XGBoost, save_model(path, format=\"json\") for CatBoost"
    } else if begins(b"binf") || contains(b"gbtree") && text.first() != Some(&b'{') {
        "it looks like XGBoost's old binary format; load it with a version before 3.1 and save it as \"model.json\""
    } else if text.first() == Some(&b'{') && contains(b"\"tree_info\"") {
        "it is what LightGBM's dump_model writes; save the model with save_model"
    } else if matches!(text.first(), Some(b'[')) || begins(b"booster[") {
        "it looks like what XGBoost's dump_model writes; save the model with save_model(\"model.json\")"
    } else if begins(b"PK\x03\x04") {
        "it is a ZIP archive; give the model file in it"
    } else {
        ""
    };
    NativeError::Unknown { advice: Advice(advice) }
}
