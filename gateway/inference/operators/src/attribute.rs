//! What a node says beside its inputs.

use std::cell::Cell;

use crate::error::BuildError;
use crate::graph::GraphSpec;
use crate::value::Tensor;

/// Attributes that a node can have. Operators have up to twenty; which of them were read is noted in one word.
pub const ATTRIBUTE_LIMIT: usize = 64;

/// An attribute's value (ONNX `AttributeProto`). Sparse tensors, types and references are for the caller to refuse.
#[derive(Debug, Clone, PartialEq)]
pub enum Attribute {
    Int(i64),
    Float(f32),
    /// UTF-8, as far as the standard goes; checked when it is read.
    String(Vec<u8>),
    Tensor(Tensor),
    Ints(Vec<i64>),
    Floats(Vec<f32>),
    Strings(Vec<Vec<u8>>),
    Tensors(Vec<Tensor>),
    /// What a node of control runs. Its versions of domains are those of the graph around it, and what it does not make
    /// itself it finds there.
    Graph(Box<GraphSpec>),
}

impl Attribute {
    fn label(&self) -> &'static str {
        match self {
            Self::Int(_) => "an integer",
            Self::Float(_) => "a float",
            Self::String(_) => "a string",
            Self::Tensor(_) => "a tensor",
            Self::Ints(_) => "integers",
            Self::Floats(_) => "floats",
            Self::Strings(_) => "strings",
            Self::Tensors(_) => "tensors",
            Self::Graph(_) => "a graph",
        }
    }

    /// A list without elements is one of any type: exporters write it as they like.
    fn is_empty_list(&self) -> bool {
        match self {
            Self::Ints(list) => list.is_empty(),
            Self::Floats(list) => list.is_empty(),
            Self::Strings(list) => list.is_empty(),
            Self::Tensors(list) => list.is_empty(),
            Self::Int(_) | Self::Float(_) | Self::String(_) | Self::Tensor(_) | Self::Graph(_) => false,
        }
    }
}

/// Attributes by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Attributes(Vec<(String, Attribute)>);

impl Attributes {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one. Names that come twice are noticed when an operator is made.
    pub fn set(&mut self, name: impl Into<String>, value: Attribute) {
        self.0.push((name.into(), value));
    }

    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: Attribute) -> Self {
        self.set(name, value);
        self
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Attribute)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }
}

impl FromIterator<(String, Attribute)> for Attributes {
    fn from_iter<I: IntoIterator<Item = (String, Attribute)>>(attributes: I) -> Self {
        Self(attributes.into_iter().collect())
    }
}

/// Reads attributes by name and type, and knows which were not read: an operator must not ignore what it does not know.
#[derive(Debug)]
pub struct Reader<'a> {
    attributes: &'a Attributes,
    read: Cell<u64>,
}

impl<'a> Reader<'a> {
    pub fn new(attributes: &'a Attributes) -> Result<Self, BuildError> {
        let got = attributes.0.len();
        if got > ATTRIBUTE_LIMIT {
            return Err(BuildError::Count { what: "attributes", expected: format!("at most {ATTRIBUTE_LIMIT}"), got });
        }
        let mut names: Vec<&str> = attributes.iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        match names.windows(2).find(|pair| pair.first() == pair.last()).and_then(<[&str]>::first) {
            Some(name) => Err(BuildError::attribute(name, "is there twice")),
            None => Ok(Self { attributes, read: Cell::new(0) }),
        }
    }

    /// An attribute, which counts as read.
    pub fn get(&self, name: &str) -> Option<&'a Attribute> {
        let at = self.attributes.0.iter().position(|(known, _)| known == name)?;
        self.read.set(self.read.get() | 1 << at);
        self.attributes.0.get(at).map(|(_, value)| value)
    }

    /// The first that was not read.
    pub fn unread(&self) -> Option<&'a str> {
        let is_unread = |at: usize| self.read.get() & 1 << at == 0;
        self.attributes.iter().enumerate().find(|(at, _)| is_unread(*at)).map(|(_, (name, _))| name)
    }

    fn typed<T>(
        &self,
        name: &str,
        expected: &str,
        value_of: impl FnOnce(&'a Attribute) -> Option<T>,
    ) -> Result<Option<T>, BuildError> {
        let Some(attribute) = self.get(name) else { return Ok(None) };
        match value_of(attribute) {
            Some(value) => Ok(Some(value)),
            None => Err(BuildError::attribute(name, format!("expected {expected}, got {}", attribute.label()))),
        }
    }

    pub fn int(&self, name: &str) -> Result<Option<i64>, BuildError> {
        self.typed(name, "an integer", |value| if let Attribute::Int(value) = value { Some(*value) } else { None })
    }

    pub fn int_or(&self, name: &str, default: i64) -> Result<i64, BuildError> {
        Ok(self.int(name)?.unwrap_or(default))
    }

    /// A number that means yes unless it is 0.
    pub fn flag(&self, name: &str, default: bool) -> Result<bool, BuildError> {
        Ok(self.int(name)?.map_or(default, |value| value != 0))
    }

    pub fn float(&self, name: &str) -> Result<Option<f32>, BuildError> {
        self.typed(name, "a float", |value| if let Attribute::Float(value) = value { Some(*value) } else { None })
    }

    /// A float as what it stands for, 64 bits wide.
    pub fn float_or(&self, name: &str, default: f32) -> Result<f64, BuildError> {
        Ok(f64::from(self.float(name)?.unwrap_or(default)))
    }

    pub fn text(&self, name: &str) -> Result<Option<&'a str>, BuildError> {
        let bytes = self
            .typed(name, "a string", |value| if let Attribute::String(value) = value { Some(value) } else { None })?;
        bytes.map(|bytes| utf8(name, bytes)).transpose()
    }

    /// One of a few words; the first if there is none.
    pub fn choice<T: Copy>(&self, name: &str, choices: &[(&str, T)]) -> Result<T, BuildError> {
        let known = || choices.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
        let word = self.text(name)?;
        let found = match word {
            Some(word) => choices.iter().find(|(known, _)| *known == word),
            None => choices.first(),
        };
        found.map(|(_, value)| *value).ok_or_else(|| {
            BuildError::attribute(name, format!("expected one of {}, got '{}'", known(), word.unwrap_or_default()))
        })
    }

    /// Integers; none and an empty list are told apart.
    pub fn ints(&self, name: &str) -> Result<Option<&'a [i64]>, BuildError> {
        self.typed(name, "integers", |value| match value {
            Attribute::Ints(list) => Some(list.as_slice()),
            other if other.is_empty_list() => Some(&[]),
            _ => None,
        })
    }

    pub fn floats(&self, name: &str) -> Result<Option<&'a [f32]>, BuildError> {
        self.typed(name, "floats", |value| match value {
            Attribute::Floats(list) => Some(list.as_slice()),
            other if other.is_empty_list() => Some(&[]),
            _ => None,
        })
    }

    pub fn strings(&self, name: &str) -> Result<Option<Vec<String>>, BuildError> {
        let list = self.typed(name, "strings", |value| match value {
            Attribute::Strings(list) => Some(list.as_slice()),
            other if other.is_empty_list() => Some(&[]),
            _ => None,
        })?;
        let texts = |list: &'a [Vec<u8>]| list.iter().map(|bytes| utf8(name, bytes).map(str::to_owned)).collect();
        list.map(texts).transpose()
    }

    pub fn tensor(&self, name: &str) -> Result<Option<&'a Tensor>, BuildError> {
        self.typed(name, "a tensor", |value| if let Attribute::Tensor(value) = value { Some(value) } else { None })
    }

    pub fn tensors(&self, name: &str) -> Result<Option<&'a [Tensor]>, BuildError> {
        self.typed(name, "tensors", |value| match value {
            Attribute::Tensors(list) => Some(list.as_slice()),
            other if other.is_empty_list() => Some(&[]),
            _ => None,
        })
    }

    pub fn graph(&self, name: &str) -> Result<Option<&'a GraphSpec>, BuildError> {
        self.typed(name, "a graph", |value| if let Attribute::Graph(value) = value { Some(&**value) } else { None })
    }

    /// Notes as read what means nothing to an operator.
    pub fn ignore(&self, names: &[&str]) {
        for name in names {
            self.get(name);
        }
    }

    pub(crate) fn required<T>(name: &str, value: Option<T>) -> Result<T, BuildError> {
        value.ok_or_else(|| BuildError::attribute(name, "is required"))
    }
}

fn utf8<'a>(name: &str, bytes: &'a [u8]) -> Result<&'a str, BuildError> {
    std::str::from_utf8(bytes).map_err(|_| BuildError::attribute(name, "expected UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem<T: std::fmt::Debug>(result: Result<T, BuildError>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn attributes_are_read_by_name_and_type() {
        let attributes = Attributes::new()
            .with("axis", Attribute::Int(-1))
            .with("norm", Attribute::String(b"L3".to_vec()))
            .with("axes", Attribute::Floats(vec![]))
            .with("text", Attribute::String(vec![0xff]));
        let reader = Reader::new(&attributes).unwrap();
        assert_eq!(reader.int("axis"), Ok(Some(-1)));
        assert_eq!(reader.int("other"), Ok(None));
        assert_eq!(reader.ints("axes"), Ok(Some(&[][..])), "an empty list has no type");
        assert_eq!(problem(reader.float("axis")), "attribute 'axis': expected a float, got an integer");
        assert_eq!(
            problem(reader.choice("norm", &[("L1", 1), ("L2", 2)])),
            "attribute 'norm': expected one of L1, L2, got 'L3'"
        );
        assert_eq!(problem(reader.text("text")), "attribute 'text': expected UTF-8");
        assert_eq!(reader.unread(), None);
    }

    #[test]
    fn what_was_not_read_and_what_comes_twice_is_noticed() {
        let attributes = Attributes::new().with("a", Attribute::Int(1)).with("b", Attribute::Int(2));
        let reader = Reader::new(&attributes).unwrap();
        reader.ignore(&["a", "c"]);
        assert_eq!(reader.unread(), Some("b"));
        let twice = attributes.with("a", Attribute::Int(3));
        assert_eq!(problem(Reader::new(&twice)), "attribute 'a': is there twice");
    }
}
