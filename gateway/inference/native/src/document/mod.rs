//! JSON and UBJ, read from the beginning to the end in one pass.
//!
//! Whoever reads asks for what should come: an object, an array, numbers. Nothing is kept but what is asked for, so a file
//! takes no memory beyond what is made of it.

mod json;
mod text;
mod ubj;

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::Write as _;

use crate::error::{NativeError, Place, shown};
use crate::{Format, Limits};

pub(crate) type Result<T> = std::result::Result<T, NativeError>;

/// A position in a document.
#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    format: Format,
    encoding: Encoding,
    path: Vec<Step<'a>>,
    depth: usize,
    most_depth: usize,
    /// Of UBJ: the type of the next value, where the array has said it for all.
    typed: Option<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Json,
    Ubj,
}

#[derive(Debug)]
enum Step<'a> {
    Key(Cow<'a, str>),
    Index(usize),
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Object,
    Array,
    Text,
    Number,
    Bool,
    Null,
}

/// A value without parts.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Scalar<'a> {
    Null,
    Bool(bool),
    Integer(i64),
    /// A number in digits: whoever wants it rounds it once.
    Decimal(&'a str),
    Single(f32),
    Double(f64),
    Text(Cow<'a, str>),
}

/// A number that an array may hold.
pub(crate) trait Number: Copy {
    const WHAT: &'static str;

    /// `None`: it is none of this type.
    fn of(scalar: &Scalar<'_>) -> Option<Self>;
}

impl Number for f32 {
    const WHAT: &'static str = "a number";

    fn of(scalar: &Scalar<'_>) -> Option<Self> {
        match *scalar {
            Scalar::Integer(number) => Some(number as Self),
            Scalar::Decimal(digits) => digits.parse().ok(),
            Scalar::Single(number) => Some(number),
            Scalar::Double(number) => Some(number as Self),
            _ => None,
        }
    }
}

impl Number for f64 {
    const WHAT: &'static str = "a number";

    fn of(scalar: &Scalar<'_>) -> Option<Self> {
        match *scalar {
            Scalar::Integer(number) => Some(number as Self),
            Scalar::Decimal(digits) => digits.parse().ok(),
            Scalar::Single(number) => Some(number.into()),
            Scalar::Double(number) => Some(number),
            _ => None,
        }
    }
}

impl Number for i64 {
    const WHAT: &'static str = "a whole number";

    fn of(scalar: &Scalar<'_>) -> Option<Self> {
        match *scalar {
            Scalar::Integer(number) => Some(number),
            Scalar::Bool(value) => Some(value.into()),
            Scalar::Decimal(digits) => digits.parse().ok(),
            _ => None,
        }
    }
}

impl<'a> Cursor<'a> {
    pub(crate) fn json(bytes: &'a [u8], format: Format, limits: &Limits) -> Self {
        Self::new(bytes, format, Encoding::Json, limits)
    }

    pub(crate) fn ubj(bytes: &'a [u8], format: Format, limits: &Limits) -> Self {
        Self::new(bytes, format, Encoding::Ubj, limits)
    }

    fn new(bytes: &'a [u8], format: Format, encoding: Encoding, limits: &Limits) -> Self {
        Self { bytes, at: 0, format, encoding, path: vec![], depth: 0, most_depth: limits.depth, typed: None }
    }

    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// What comes next.
    pub(crate) fn kind(&mut self) -> Result<Kind> {
        match self.encoding {
            Encoding::Json => self.json_kind(),
            Encoding::Ubj => self.ubj_kind(),
        }
    }

    /// Gives each key of an object to `read`, which has to take the value that follows, or [`skip`](Self::skip) it.
    ///
    /// # Errors
    /// It is no object, or has a key twice.
    pub(crate) fn object(&mut self, mut read: impl FnMut(&mut Self, &str) -> Result<()>) -> Result<()> {
        self.expect(Kind::Object)?;
        self.enter()?;
        let mut keys = Keys::default();
        let mut first = true;
        loop {
            let key = match self.encoding {
                Encoding::Json => self.json_key(first)?,
                Encoding::Ubj => self.ubj_key(first)?,
            };
            first = false;
            let Some(key) = key else { break };
            if !keys.insert(key.clone()) {
                return Err(self.fail(format!("the key '{}' is there twice", shown(&key))));
            }
            self.path.push(Step::Key(key.clone()));
            read(self, &key)?;
            self.path.pop();
        }
        self.depth -= 1;
        Ok(())
    }

    /// Lets `read` take each value of an array.
    pub(crate) fn array(&mut self, mut read: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        self.expect(Kind::Array)?;
        self.enter()?;
        let mut state = match self.encoding {
            Encoding::Json => ubj::Items::default(),
            Encoding::Ubj => self.ubj_items()?,
        };
        self.path.push(Step::Index(0));
        let mut index = 0;
        loop {
            let more = match self.encoding {
                Encoding::Json => self.json_item(index == 0)?,
                Encoding::Ubj => self.ubj_item(&mut state)?,
            };
            if !more {
                break;
            }
            if let Some(Step::Index(place)) = self.path.last_mut() {
                *place = index;
            }
            read(self)?;
            index += 1;
        }
        self.path.pop();
        self.depth -= 1;
        Ok(())
    }

    /// A value without parts.
    pub(crate) fn scalar(&mut self) -> Result<Scalar<'a>> {
        match self.encoding {
            Encoding::Json => self.json_scalar(),
            Encoding::Ubj => self.ubj_scalar(),
        }
    }

    pub(crate) fn number<T: Number>(&mut self) -> Result<T> {
        let before = self.at;
        let scalar = self.scalar()?;
        T::of(&scalar).ok_or_else(|| {
            self.at = before;
            self.fail(format!("{} is expected, and there is {}", T::WHAT, describe(&scalar)))
        })
    }

    /// An array of numbers.
    ///
    /// # Errors
    /// It is none, or is longer than `most`.
    pub(crate) fn numbers<T: Number>(&mut self, most: usize) -> Result<Vec<T>> {
        let mut numbers = Vec::new();
        self.array(|cursor| {
            if numbers.len() >= most {
                return Err(cursor.fail(format!("the array has more than {most} numbers")));
            }
            numbers.push(cursor.number()?);
            Ok(())
        })?;
        Ok(numbers)
    }

    pub(crate) fn text(&mut self) -> Result<Cow<'a, str>> {
        let before = self.at;
        match self.scalar()? {
            Scalar::Text(text) => Ok(text),
            other => {
                self.at = before;
                Err(self.fail(format!("a text is expected, and there is {}", describe(&other))))
            }
        }
    }

    pub(crate) fn boolean(&mut self) -> Result<bool> {
        let before = self.at;
        match self.scalar()? {
            Scalar::Bool(value) => Ok(value),
            other => {
                self.at = before;
                Err(self.fail(format!("true or false is expected, and there is {}", describe(&other))))
            }
        }
    }

    /// A number in quotation marks, as XGBoost writes parameters; or without them.
    pub(crate) fn parameter<T: std::str::FromStr + Number>(&mut self) -> Result<T> {
        let before = self.at;
        let scalar = self.scalar()?;
        let value = match &scalar {
            Scalar::Text(text) => text.trim().parse().ok(),
            other => T::of(other),
        };
        value.ok_or_else(|| {
            self.at = before;
            self.fail(format!("{} in quotation marks is expected, and there is {}", T::WHAT, describe(&scalar)))
        })
    }

    /// Passes over whatever comes.
    pub(crate) fn skip(&mut self) -> Result<()> {
        match self.kind()? {
            Kind::Object => self.object(|cursor, _| cursor.skip()),
            Kind::Array => match self.ubj_block()? {
                true => Ok(()),
                false => self.array(Self::skip),
            },
            Kind::Text | Kind::Number | Kind::Bool | Kind::Null => self.scalar().map(drop),
        }
    }

    /// # Errors
    /// The document goes on.
    pub(crate) fn end(&mut self) -> Result<()> {
        if self.encoding == Encoding::Json {
            self.space();
        }
        // Some of XGBoost's bindings hand out the buffer with a zero byte after it.
        match self.bytes.get(self.at..) {
            None | Some([] | [0]) => Ok(()),
            Some(rest) => Err(self.fail(format!("the model ends here, and {} bytes follow", rest.len()))),
        }
    }

    /// An error here.
    pub(crate) fn fail(&self, problem: impl Into<String>) -> NativeError {
        let place = Place { line: self.line(), offset: self.at, path: self.shown_path() };
        NativeError::Malformed { format: self.format, place, problem: problem.into() }
    }

    /// Puts a value where none may be yet. Keys are unique already; this is for values that have two places.
    pub(crate) fn put<T>(&self, slot: &mut Option<T>, value: T) -> Result<()> {
        match slot.replace(value) {
            None => Ok(()),
            Some(_) => Err(self.fail("it is there twice")),
        }
    }

    /// # Errors
    /// A value is missing in the object that ends here.
    pub(crate) fn need<T>(&self, value: Option<T>, key: &str) -> Result<T> {
        value.ok_or_else(|| self.fail(format!("the object that ends here has no '{key}'")))
    }

    /// # Errors
    /// There is more of something than is allowed.
    pub(crate) fn within(&self, what: &'static str, count: usize, limit: usize) -> Result<()> {
        if count > limit { Err(NativeError::TooMany { what, count, limit }) } else { Ok(()) }
    }

    fn expect(&mut self, kind: Kind) -> Result<()> {
        let found = self.kind()?;
        let name = |kind| match kind {
            Kind::Object => "an object",
            Kind::Array => "an array",
            Kind::Text => "a text",
            Kind::Number => "a number",
            Kind::Bool => "true or false",
            Kind::Null => "nothing",
        };
        if found == kind {
            return Ok(());
        }
        Err(self.fail(format!("{} is expected, and there is {}", name(kind), name(found))))
    }

    fn enter(&mut self) -> Result<()> {
        if self.depth >= self.most_depth {
            return Err(self.fail(format!("objects and arrays are more than {} deep", self.most_depth)));
        }
        self.depth += 1;
        Ok(())
    }

    fn line(&self) -> Option<usize> {
        let text = self.bytes.get(..self.at.min(self.bytes.len())).unwrap_or_default();
        (self.encoding == Encoding::Json).then(|| 1 + text.iter().filter(|byte| **byte == b'\n').count())
    }

    fn shown_path(&self) -> String {
        let mut path = String::new();
        // JSON of XGBoost is one line, so the line says little.
        if self.encoding == Encoding::Json {
            let _ = write!(path, "byte {}", self.at);
        }
        for (depth, step) in self.path.iter().enumerate() {
            let gap = match (depth, path.is_empty()) {
                (0, true) => "",
                (0, false) => ", ",
                _ => ".",
            };
            let _ = match step {
                Step::Key(key) => write!(path, "{gap}{}", shown(key)),
                Step::Index(index) => write!(path, "[{index}]"),
            };
        }
        path
    }
}

/// Keys of an object. Few are looked through, many are hashed.
#[derive(Debug, Default)]
struct Keys<'a> {
    few: Vec<Cow<'a, str>>,
    many: HashSet<Cow<'a, str>>,
}

impl<'a> Keys<'a> {
    fn insert(&mut self, key: Cow<'a, str>) -> bool {
        const FEW: usize = 24;
        if self.few.contains(&key) || self.many.contains(&key) {
            return false;
        }
        if self.few.len() >= FEW {
            return self.many.insert(key);
        }
        self.few.push(key);
        true
    }
}

fn describe(scalar: &Scalar<'_>) -> String {
    match scalar {
        Scalar::Null => "nothing".to_owned(),
        Scalar::Bool(value) => value.to_string(),
        Scalar::Integer(number) => number.to_string(),
        Scalar::Decimal(digits) => shown(digits),
        Scalar::Single(number) => number.to_string(),
        Scalar::Double(number) => number.to_string(),
        Scalar::Text(text) => format!("the text '{}'", shown(text)),
    }
}
