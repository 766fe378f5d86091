//! JSON objects as tokens have them: header and claims.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A JSON object whose names are unique: of two members with one name, signer and verifier might each believe another
/// (RFC 8725, section 2.4; RFC 7515, section 4).
#[derive(Debug)]
pub struct Object(BTreeMap<String, Value>);

/// What a member can be used as. Deeper structures are skipped without recursion: a guest's stack is small, and a
/// stranger chooses how deep the brackets are.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Flag(bool),
    Integer(i64),
    /// A number with a fraction, or too large for an integer: not exact.
    Number(f64),
    Text(String),
    /// A list of nothing but texts.
    Texts(Vec<String>),
    /// Anything else.
    Structure,
}

/// 2^50: up to here a number that was rounded while it was read is less than one half from what was written, so that no
/// integer becomes another one.
const EXACT: f64 = 1_125_899_906_842_624.0;

impl Object {
    /// None if the bytes are not one JSON object with unique names, and nothing after it.
    pub fn parse(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }

    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }
}

impl Value {
    /// The text of a value that has exactly one: strings, integers, booleans. Large numbers would be rounded, and
    /// different ones become the same.
    pub fn as_scalar(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Text(text) => Some(text.into()),
            Self::Integer(number) => Some(number.to_string().into()),
            Self::Flag(flag) => Some(if *flag { "true" } else { "false" }.into()),
            Self::Null | Self::Number(_) | Self::Texts(_) | Self::Structure => None,
        }
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Object;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
        let mut members = BTreeMap::new();
        while let Some(name) = map.next_key()? {
            if members.insert(name, map.next_value_seed(Member { lists: true })?).is_some() {
                return Err(A::Error::custom("a name twice"));
            }
        }
        Ok(Object(members))
    }
}

/// Reads one value; lists in lists are structures.
struct Member {
    lists: bool,
}

impl<'de> DeserializeSeed<'de> for Member {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Member {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Flag(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Integer(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(i64::try_from(number).map_or(Value::Number(number as f64), Value::Integer))
    }

    /// One number has many spellings (RFC 8259, section 6): 7.0 and 7e0 are the integer 7, as far as that is exact.
    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        let exact = number.fract() == 0.0 && number.abs() <= EXACT;
        Ok(if exact { Value::Integer(number as i64) } else { Value::Number(number) })
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut texts = self.lists.then(Vec::new);
        while let Some(known) = &mut texts {
            match list.next_element_seed(Self { lists: false })? {
                Some(Value::Text(text)) => known.push(text),
                Some(_) => texts = None,
                None => break,
            }
        }
        if let Some(texts) = texts {
            return Ok(Value::Texts(texts));
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Structure)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Structure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(json: &str) -> Option<Value> {
        Object::parse(format!(r#"{{"a":{json},"z":1}}"#).as_bytes())?.get("a").cloned()
    }

    #[test]
    fn values_are_read_as_what_they_can_be_used_as() {
        for (json, expected) in [
            ("null", Value::Null),
            ("true", Value::Flag(true)),
            ("-3", Value::Integer(-3)),
            ("9223372036854775807", Value::Integer(i64::MAX)),
            ("9223372036854775808", Value::Number(9_223_372_036_854_775_808.0)),
            ("1.5", Value::Number(1.5)),
            ("7.0", Value::Integer(7)),
            ("-0", Value::Integer(0)),
            ("1.8e9", Value::Integer(1_800_000_000)),
            ("-2.5E+1", Value::Integer(-25)),
            ("1125899906842624.0", Value::Integer(1 << 50)),
            ("1e16", Value::Number(1e16)),
            ("1e300", Value::Number(1e300)),
            (r#""J\u00fcrgen \ud83d\ude00""#, Value::Text("J\u{fc}rgen \u{1f600}".to_owned())),
            ("\"J\u{fc}rgen \u{1f600}\"", Value::Text("J\u{fc}rgen \u{1f600}".to_owned())),
            (r#""\u0061b""#, Value::Text("ab".to_owned())),
            ("[]", Value::Texts(Vec::new())),
            (r#"["a","b"]"#, Value::Texts(vec!["a".to_owned(), "b".to_owned()])),
            (r#"["a",1,"b"]"#, Value::Structure),
            (r#"["a",["b"],{"c":[]}]"#, Value::Structure),
            (r#"{"b":[{"c":null}]}"#, Value::Structure),
        ] {
            assert_eq!(value(json), Some(expected), "{json}");
        }
    }

    #[test]
    fn a_name_that_comes_twice_spoils_the_object_however_it_is_spelled() {
        assert!(Object::parse(br#"{"alg":"HS256","alg":"none"}"#).is_none());
        assert!(Object::parse(br#"{"alg":"HS256","\u0061lg":"HS256"}"#).is_none());
        assert!(Object::parse(br#"{"alg":"HS256","Alg":"HS256"}"#).is_some());
    }

    #[test]
    fn only_one_whole_object_is_an_object() {
        for json in [
            "",
            "null",
            "[]",
            "1",
            r#""a""#,
            "{",
            r#"{"a":1}x"#,
            r#"{"a":1}{}"#,
            r#"{"a":1,}"#,
            "{'a':1}",
            "{\"a\":1}\0",
        ] {
            assert!(Object::parse(json.as_bytes()).is_none(), "{json:?}");
        }
        for json in [&b"{\"a\":\"\xff\"}"[..], b"\xef\xbb\xbf{}", br#"{"a":"\ud800"}"#, br#"{"a":1e999}"#] {
            assert!(Object::parse(json).is_none(), "{json:?}");
        }
        assert!(Object::parse(b" {} \n").is_some());
    }

    #[test]
    fn brackets_may_be_as_deep_as_they_like() {
        for (open, close) in [("[", "]"), (r#"{"b":"#, "}")] {
            let deep = format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
            assert_eq!(value(&deep), Some(Value::Structure), "{open}");
        }
    }

    #[test]
    fn values_without_one_exact_text_have_none() {
        assert_eq!(Value::Integer(-7).as_scalar().as_deref(), Some("-7"));
        assert_eq!(Value::Flag(false).as_scalar().as_deref(), Some("false"));
        assert_eq!(Value::Text("x".to_owned()).as_scalar().as_deref(), Some("x"));
        for value in [Value::Null, Value::Number(1e30), Value::Texts(Vec::new()), Value::Structure] {
            assert_eq!(value.as_scalar(), None, "{value:?}");
        }
    }
}
