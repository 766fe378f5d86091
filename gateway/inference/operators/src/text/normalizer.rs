//! Texts without stop words, in one case.

use std::collections::HashSet;

use super::case::{Case, is_ordinary_locale};
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::shape::Shape;
use crate::value::{Data, DataType, Tensor};

/// Leaves out elements that are stop words, and changes the case of the others. Of nothing that is left, one empty text
/// remains.
#[derive(Debug)]
struct StringNormalizer {
    case: Case,
    stop_words: HashSet<String>,
    is_case_sensitive: bool,
}

pub(super) fn build(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let reader = setup.attributes();
    if let Some(locale) = reader.text("locale")?.filter(|locale| !is_ordinary_locale(locale)) {
        let problem = format!("letters of '{locale}' have a case of their own, which is not supported");
        return Err(BuildError::attribute("locale", problem));
    }
    let case =
        reader.choice("case_change_action", &[("NONE", Case::Keep), ("LOWER", Case::Lower), ("UPPER", Case::Upper)])?;
    let is_case_sensitive = reader.flag("is_case_sensitive", false)?;
    let words = reader.strings("stopwords")?.unwrap_or_default();
    let comparable = |word: String| if is_case_sensitive { word } else { Case::Lower.change(word) };
    ready(StringNormalizer { case, stop_words: words.into_iter().map(comparable).collect(), is_case_sensitive })
}

impl StringNormalizer {
    fn is_stop_word(&self, text: &str) -> bool {
        if self.stop_words.is_empty() {
            false
        } else if self.is_case_sensitive {
            self.stop_words.contains(text)
        } else {
            self.stop_words.contains(&Case::Lower.change(text.to_owned()))
        }
    }
}

impl Kernel for StringNormalizer {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let tensor = inputs.tensor(0)?;
        let (rank, is_row) = match tensor.shape().dimensions() {
            [_] => (1, true),
            [1, _] => (2, true),
            _ => (0, false),
        };
        if !is_row || tensor.data_type() != DataType::String {
            return Err(inputs.unexpected(0, "BYTES of [C] or [1, C]"));
        }
        // Letters may become three times as long.
        budget.bytes(3 * tensor.data().bytes())?;
        budget.work(tensor.data().bytes())?;
        let Data::String(texts) = inputs.take_tensor(0)?.into_data() else {
            return Err(inputs.unexpected(0, "BYTES"));
        };
        let kept = texts.into_iter().filter(|text| !self.is_stop_word(text));
        let mut texts: Vec<String> = kept.map(|text| self.case.change(text)).collect();
        if texts.is_empty() {
            texts.push(String::new());
        }
        let shape = if rank == 1 { Shape::vector(texts.len()) } else { Shape::new(&[1, texts.len()])? };
        one(Tensor::made(shape, texts))
    }
}
