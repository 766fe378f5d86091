//! Texts in tokens.

use std::borrow::Cow;

use super::pattern::Pattern;
use crate::attribute::Reader;
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::shape::Shape;
use crate::value::{DataType, Tensor};

/// Separators of one tokenizer; each goes over what the one before has left.
const SEPARATOR_LIMIT: usize = 64;

/// What stands before the first token and behind the last, if tokens are marked.
const MARKS: [&str; 2] = ["\u{2}", "\u{3}"];

#[derive(Debug)]
enum Tokens {
    Letters,
    /// What lies between matches of each of these.
    Between(Vec<Pattern>),
    Matches(Box<Pattern>),
}

/// A row of tokens for each text, filled up to the longest.
#[derive(Debug)]
struct Tokenizer {
    tokens: Tokens,
    is_marked: bool,
    padding: String,
    /// Letters of a token that is kept.
    shortest: usize,
}

pub(super) fn build(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let reader = setup.attributes();
    let shortest = Reader::required("mincharnum", reader.int("mincharnum")?)?;
    let shortest = usize::try_from(shortest).ok().filter(|shortest| *shortest > 0);
    let shortest = shortest.ok_or_else(|| BuildError::attribute("mincharnum", "expected a number of at least 1"))?;
    let pattern =
        |name: &str, text: &str| Pattern::new(text).map_err(|error| BuildError::attribute(name, error.to_string()));
    let separators = reader.strings("separators")?.unwrap_or_default();
    let tokens = match (reader.text("tokenexp")?.filter(|text| !text.is_empty()), separators.as_slice()) {
        (None, []) => return Err(BuildError::attribute("tokenexp", "or 'separators' is required")),
        (Some(_), [_, ..]) => return Err(BuildError::attribute("tokenexp", "is there beside 'separators'")),
        (Some(text), []) => Tokens::Matches(Box::new(pattern("tokenexp", text)?)),
        (None, [empty]) if empty.is_empty() => {
            if shortest > 1 {
                return Err(BuildError::attribute("mincharnum", "expected 1, as tokens are letters"));
            }
            Tokens::Letters
        }
        (None, separators) => {
            if separators.len() > SEPARATOR_LIMIT {
                let expected = format!("at most {SEPARATOR_LIMIT}");
                return Err(BuildError::Count { what: "separators", expected, got: separators.len() });
            }
            let patterns = separators.iter().map(|text| pattern("separators", text)).collect::<Result<Vec<_>, _>>()?;
            let mut budget = Budget::default();
            let mut is_nothing = |pattern: &Pattern| pattern.matches_all("", &mut budget).unwrap_or(true);
            if let Some((_, text)) = patterns.iter().zip(separators).find(|(pattern, _)| is_nothing(pattern)) {
                return Err(BuildError::attribute("separators", format!("'{text}' separates nothing")));
            }
            Tokens::Between(patterns)
        }
    };
    ready(Tokenizer {
        tokens,
        is_marked: Reader::required("mark", reader.int("mark")?)? != 0,
        padding: Reader::required("pad_value", reader.text("pad_value")?)?.to_owned(),
        shortest,
    })
}

impl Tokenizer {
    fn is_long_enough(&self, token: &str) -> bool {
        token.chars().take(self.shortest).count() == self.shortest
    }

    fn of<'a>(&self, text: &'a str, budget: &mut Budget) -> Result<Vec<&'a str>, OperatorError> {
        let mut tokens = match &self.tokens {
            Tokens::Letters => {
                let starts = text.char_indices().map(|(at, letter)| (at, at + letter.len_utf8()));
                starts.filter_map(|(start, end)| text.get(start..end)).collect()
            }
            Tokens::Between(patterns) => {
                let mut parts = vec![text];
                for pattern in patterns {
                    let mut made = Vec::with_capacity(parts.len());
                    for part in parts {
                        between(part, pattern, budget, &mut made)?;
                    }
                    parts = made;
                }
                parts
            }
            Tokens::Matches(pattern) => matches(text, pattern, budget)?,
        };
        tokens.retain(|token| self.is_long_enough(token));
        Ok(tokens)
    }
}

/// Matches of at least one letter.
fn matches<'a>(text: &'a str, pattern: &Pattern, budget: &mut Budget) -> Result<Vec<&'a str>, OperatorError> {
    let (mut found, mut from) = (Vec::new(), 0);
    while let Some((start, end)) = pattern.find(text, from, budget)? {
        found.extend(text.get(start..end).filter(|token| !token.is_empty()));
        from = if start < end {
            end
        } else {
            // Behind the next letter, or at an end.
            text.get(end..)
                .and_then(|rest| rest.chars().next())
                .map_or(text.len() + 1, |letter| end + letter.len_utf8())
        };
        if from > text.len() {
            break;
        }
    }
    Ok(found)
}

fn between<'a>(
    text: &'a str,
    separator: &Pattern,
    budget: &mut Budget,
    parts: &mut Vec<&'a str>,
) -> Result<(), OperatorError> {
    let mut from = 0;
    while let Some((start, end)) = separator.find(text, from, budget)?.filter(|(start, end)| start < end) {
        parts.extend(text.get(from..start));
        from = end;
    }
    parts.extend(text.get(from..));
    Ok(())
}

impl Kernel for Tokenizer {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let texts = inputs.elements::<String>(0)?;
        let tensor = inputs.tensor(0)?;
        let shape = *tensor.shape();
        if !(1..=2).contains(&shape.rank()) {
            return Err(inputs.unexpected(0, "BYTES of [C] or [N, C]"));
        }
        if texts.is_empty() {
            return one(Tensor::made::<String>(shape, Vec::new()));
        }
        let passes = if let Tokens::Between(patterns) = &self.tokens { patterns.len() } else { 1 };
        budget.work(tensor.data().bytes().saturating_mul(passes))?;
        budget.bytes(tensor.data().bytes().saturating_mul(size_of::<&str>()))?;
        let mut rows: Vec<Cow<'_, [&str]>> = Vec::with_capacity(texts.len());
        for text in texts {
            rows.push(Cow::Owned(self.of(text, budget)?));
        }
        let most = rows.iter().map(|row| row.len()).max().unwrap_or(0);
        let width = if most > 0 && self.is_marked { most + 2 } else { most };
        if most > 0 && self.is_marked {
            let [begin, end] = MARKS;
            rows.iter_mut().for_each(|row| *row = Cow::Owned([&[begin], row.as_ref(), &[end]].concat()));
        }
        let made = Shape::of(shape.dimensions().iter().copied().chain([width]))?;
        budget.tensor(&made, DataType::String)?;
        let letters = tensor.data().bytes().saturating_add(made.elements().saturating_mul(self.padding.len().max(1)));
        budget.bytes(letters.saturating_add(made.elements() * size_of::<String>()))?;
        let mut tokens = Vec::with_capacity(made.elements());
        for row in &rows {
            tokens.extend(row.iter().map(|token| (*token).to_owned()));
            tokens.extend(std::iter::repeat_n(&self.padding, width - row.len()).cloned());
        }
        one(Tensor::made(made, tokens))
    }
}
