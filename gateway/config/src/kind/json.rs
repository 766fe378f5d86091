//! A plugin's own configuration: any TOML, handed on as JSON.

use serde_json::{Map, Number, Value};
use toml::de::{DeFloat, DeInteger, DeTable, DeValue};

use super::Kind;
use crate::Places;
use crate::node::{Node, join};
use crate::source::Read;

/// Tables and arrays inside each other. Real configurations have a handful; whoever reads the JSON may recurse.
const DEPTH_LIMIT: usize = 32;

/// A table as a JSON object, and where its parts stand.
pub(crate) struct Json;

impl Kind for Json {
    type Value = (Value, Places);

    fn expected(&self) -> String {
        "a table".into()
    }

    fn read(&self, node: &Node<'_>) -> Read<Self::Value> {
        match node.value {
            DeValue::Table(_) => convert(node, 0).map(|value| (value, Places::below(node))),
            _ => Err(node.wrong(&self.expected(), "write `{ key = value, … }`")),
        }
    }
}

fn convert(node: &Node<'_>, depth: usize) -> Read<Value> {
    if depth > DEPTH_LIMIT {
        return Err(node.fail(format!("expected at most {DEPTH_LIMIT} levels, got more"), "nest less deeply"));
    }
    match node.value {
        DeValue::String(text) => Ok(Value::String(text.to_string())),
        DeValue::Boolean(value) => Ok(Value::Bool(*value)),
        DeValue::Datetime(time) => Ok(Value::String(time.to_string())),
        DeValue::Integer(number) => integer(node, number),
        DeValue::Float(number) => float(node, number),
        DeValue::Array(items) => {
            let items = items.iter().enumerate().map(|(index, item)| {
                let path = format!("{}[{index}]", node.path);
                let offset = item.span().start;
                convert(&Node { source: node.source, value: item.get_ref(), offset, path }, depth + 1)
            });
            all(items).map(Value::Array)
        }
        DeValue::Table(entries) => table(node, entries, depth),
    }
}

fn table(node: &Node<'_>, entries: &DeTable<'_>, depth: usize) -> Read<Value> {
    let entries = entries.iter().map(|(key, value)| {
        let path = join(&node.path, key.get_ref());
        let offset = value.span().start;
        let value = convert(&Node { source: node.source, value: value.get_ref(), offset, path }, depth + 1)?;
        Ok((key.get_ref().to_string(), value))
    });
    all(entries).map(|entries| Value::Object(Map::from_iter(entries)))
}

/// All values, or a failure after all of them have been looked at.
fn all<T>(values: impl Iterator<Item = Read<T>>) -> Read<Vec<T>> {
    let mut all = Vec::new();
    let mut failure = None;
    for value in values {
        match value {
            Ok(value) => all.push(value),
            Err(reported) => failure = Some(reported),
        }
    }
    failure.map_or(Ok(all), Err)
}

fn integer(node: &Node<'_>, number: &DeInteger<'_>) -> Read<Value> {
    i64::from_str_radix(number.as_str(), number.radix())
        .map(Value::from)
        .map_err(|_| node.wrong("an integer of 64 bits", "write larger numbers as strings"))
}

fn float(node: &Node<'_>, number: &DeFloat<'_>) -> Read<Value> {
    let number = number.as_str().parse().ok().and_then(Number::from_f64);
    number
        .map(Value::Number)
        .ok_or_else(|| node.wrong("a finite number", "JSON has neither `inf` nor `nan`: write a string"))
}
