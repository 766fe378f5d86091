//! Texts put together, taken apart, and compared with a pattern.

use super::pattern::Pattern;
use crate::broadcast::Broadcast;
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready, several};
use crate::shape::Shape;
use crate::value::{DataType, Tensor};

#[derive(Debug)]
struct Concat;

pub(super) fn build_concat(_setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    ready(Concat)
}

impl Kernel for Concat {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let (first, second) = (inputs.elements::<String>(0)?, inputs.elements::<String>(1)?);
        let met = Broadcast::<2>::of([inputs.tensor(0)?.shape(), inputs.tensor(1)?.shape()])?;
        budget.tensor(met.shape(), DataType::String)?;
        let longest = |texts: &[String]| texts.iter().map(String::len).max().unwrap_or(0);
        let length = longest(first).saturating_add(longest(second));
        budget.bytes(length.saturating_mul(met.shape().elements()))?;
        one(Tensor::made(*met.shape(), met.map(first, second, |one, other| [one.as_str(), other].concat())))
    }
}

/// Parts between delimiters, or between white space if there is none.
#[derive(Debug)]
struct Split {
    delimiter: Option<String>,
    most: Option<usize>,
}

pub(super) fn build_split(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let delimiter = setup.attributes().text("delimiter")?.filter(|delimiter| !delimiter.is_empty());
    // Without a limit there are as many splits as possible; so do runtimes understand a negative one.
    let most = setup.attributes().int("maxsplit")?.and_then(|most| usize::try_from(most).ok());
    ready(Split { delimiter: delimiter.map(str::to_owned), most })
}

impl Split {
    fn parts<'a>(&self, text: &'a str) -> Vec<&'a str> {
        let most = self.most.map_or(usize::MAX, |most| most.saturating_add(1));
        if let Some(delimiter) = &self.delimiter {
            return text.splitn(most, delimiter.as_str()).collect();
        }
        let (mut parts, mut rest) = (Vec::new(), text.trim_start());
        while !rest.is_empty() {
            let end = if parts.len() + 1 < most { rest.find(char::is_whitespace) } else { None };
            match end.and_then(|end| rest.split_at_checked(end)) {
                Some((part, after)) => {
                    parts.push(part);
                    rest = after.trim_start();
                }
                None => {
                    parts.push(if self.most.is_none() { rest.trim_end() } else { rest });
                    rest = "";
                }
            }
        }
        parts
    }
}

impl Kernel for Split {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let texts = inputs.elements::<String>(0)?;
        let shape = *inputs.tensor(0)?.shape();
        budget.elements(shape.elements(), size_of::<Vec<&str>>())?;
        budget.work(inputs.tensor(0)?.data().bytes())?;
        let parts: Vec<Vec<&str>> = texts.iter().map(|text| self.parts(text)).collect();
        let width = parts.iter().map(Vec::len).max().unwrap_or(0);
        let made = Shape::of(shape.dimensions().iter().copied().chain([width]))?;
        budget.tensor(&made, DataType::String)?;
        budget.bytes(made.elements() * size_of::<String>() + inputs.tensor(0)?.data().bytes())?;
        let counts = parts.iter().map(|parts| parts.len() as i64).collect();
        let padded = parts.into_iter().flat_map(|parts| {
            let missing = width - parts.len();
            parts.into_iter().chain(std::iter::repeat_n("", missing)).map(str::to_owned)
        });
        several([Tensor::made(made, padded.collect()), Tensor::made(shape, counts)])
    }
}

#[derive(Debug)]
struct Match {
    pattern: Pattern,
}

pub(super) fn build_match(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let text = setup.attributes().text("pattern")?.ok_or_else(|| BuildError::attribute("pattern", "is required"))?;
    let pattern = Pattern::new(text).map_err(|error| BuildError::attribute("pattern", error.to_string()))?;
    ready(Match { pattern })
}

impl Kernel for Match {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let texts = inputs.elements::<String>(0)?;
        let shape = *inputs.tensor(0)?.shape();
        budget.tensor(&shape, DataType::Bool)?;
        budget.work(inputs.tensor(0)?.data().bytes())?;
        let answers = texts.iter().map(|text| self.pattern.matches_all(text, budget)).collect::<Result<Vec<_>, _>>()?;
        one(Tensor::made(shape, answers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_split_as_python_does() {
        let parts = |delimiter: Option<&str>, most, text: &str| {
            let split = Split { delimiter: delimiter.map(str::to_owned), most };
            split.parts(text).into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(parts(Some("."), None, "a..b"), ["a", "", "b"]);
        assert_eq!(parts(Some("."), Some(1), "a.b.c"), ["a", "b.c"]);
        assert_eq!(parts(Some("."), None, ""), [""]);
        assert_eq!(parts(None, None, "  a \t b  "), ["a", "b"]);
        assert_eq!(parts(None, Some(1), " a  b  c "), ["a", "b  c "]);
        assert_eq!(parts(None, None, "   "), [""; 0]);
    }
}
