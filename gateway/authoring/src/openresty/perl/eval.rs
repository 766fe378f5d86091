//! Runs statements.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use super::super::text::{Text, from_bytes};
use super::parse::{Expression, Statement, Target};
use super::quote::Piece;
use super::{Unsupported, Value};

/// Turns of all loops of one program: the longest that a test file has numbers 512 fields.
const TURNS_LIMIT: u32 = 100_000;
/// Bytes of one text: the longest that a test file makes has some megabytes.
const TEXT_LIMIT: usize = 64 << 20;

/// Variables, what the environment holds, and functions without arguments.
#[derive(Debug, Default, Clone)]
pub struct Scope {
    variables: BTreeMap<Text, Value>,
    pub environment: BTreeMap<Text, Text>,
    /// Functions of the test framework that give a text, such as `html_dir`.
    pub functions: BTreeMap<&'static str, Text>,
    /// Where `read_file` may read.
    pub files: Option<PathBuf>,
    calls: BTreeMap<Text, Vec<Value>>,
    /// Whether calls of functions that are not known are kept instead of refused.
    pub(super) recording: bool,
    turns: u32,
}

impl Scope {
    pub fn set(&mut self, name: &str, value: Value) {
        self.variables.insert(name.to_owned(), value);
    }

    pub fn get(&self, name: &str) -> Value {
        self.variables.get(name).cloned().unwrap_or(Value::Undefined)
    }

    /// What a function that is not known was last called with.
    pub fn calls(&self, name: &str) -> Option<&[Value]> {
        self.calls.get(name).map(Vec::as_slice)
    }

    pub(super) fn run(&mut self, statements: &[Statement]) -> Result<Value, Unsupported> {
        let mut last = Value::Undefined;
        for statement in statements {
            last = self.statement(statement)?;
        }
        Ok(last)
    }

    fn turn(&mut self) -> Result<(), Unsupported> {
        self.turns += 1;
        if self.turns > TURNS_LIMIT { Err(Unsupported("a loop without end".to_owned())) } else { Ok(()) }
    }

    fn statement(&mut self, statement: &Statement) -> Result<Value, Unsupported> {
        match statement {
            Statement::Expression(expression) => {
                let mut values = self.values(expression)?;
                Ok(if values.len() == 1 { values.remove(0) } else { Value::List(values) })
            }
            Statement::Assign { target, operator, value } => self.assign(target, operator, value),
            Statement::If { branches, otherwise } => {
                for (condition, body) in branches {
                    if self.value(condition)?.is_true() {
                        return self.run(body);
                    }
                }
                self.run(otherwise)
            }
            Statement::While { condition, body } => {
                while self.value(condition)?.is_true() {
                    self.turn()?;
                    self.run(body)?;
                }
                Ok(Value::Undefined)
            }
            Statement::For { variable, list, body } => {
                for item in self.values(list)? {
                    self.turn()?;
                    self.set(variable, item);
                    self.run(body)?;
                }
                Ok(Value::Undefined)
            }
        }
    }

    fn assign(&mut self, target: &Target, operator: &str, value: &Expression) -> Result<Value, Unsupported> {
        if let Target::List(name) = target {
            let list = Value::List(self.values(value)?);
            self.set(&format!("@{name}"), list);
            return Ok(Value::Undefined);
        }
        let old = match target {
            Target::Environment(key) => self.environment.get(key).map_or(Value::Undefined, Value::text),
            Target::Variable(name) | Target::List(name) => self.get(name),
        };
        let value = match operator {
            "||" if old.is_true() => old,
            "||" | "" => self.value(value)?,
            "." => Value::Text(joined(&old.to_text()?, &self.value(value)?.to_text()?)?),
            _ => number(old.to_number() + self.value(value)?.to_number()),
        };
        match target {
            Target::Environment(key) => {
                self.environment.insert(key.clone(), value.to_text()?);
            }
            Target::Variable(name) | Target::List(name) => self.set(name, value.clone()),
        }
        Ok(value)
    }

    fn value(&mut self, expression: &Expression) -> Result<Value, Unsupported> {
        Ok(self.values(expression)?.pop().unwrap_or(Value::Undefined))
    }

    /// In list context: several values for a list in parentheses.
    fn values(&mut self, expression: &Expression) -> Result<Vec<Value>, Unsupported> {
        let value = match expression {
            Expression::Pieces(pieces) => Value::Text(self.pieces(pieces)?),
            Expression::Pattern(pieces, flags) => {
                Value::Pattern { pattern: self.pieces(pieces)?, flags: flags.replace('o', "") }
            }
            Expression::Number(number) => Value::text(number.clone()),
            Expression::Undefined => Value::Undefined,
            Expression::Variable(name) => self.get(name),
            Expression::ListVariable(name) => {
                return Ok(match self.get(&format!("@{name}")) {
                    Value::List(list) => list,
                    _ => Vec::new(),
                });
            }
            Expression::Environment(key) => self.environment.get(key).map_or(Value::Undefined, Value::text),
            Expression::List(items) => Value::List(self.all(items)?),
            Expression::Several(items) => return self.all(items),
            Expression::Table(pairs) => {
                let mut table = BTreeMap::new();
                for (key, value) in pairs {
                    table.insert(self.value(key)?.to_text()?, self.value(value)?);
                }
                Value::Table(table)
            }
            Expression::Binary("..", from, to) => return self.range(from, to),
            Expression::Binary(operator, left, right) => self.binary(operator, left, right)?,
            Expression::Not(inner) => truth(!self.value(inner)?.is_true()),
            Expression::Defined(inner) => truth(self.value(inner)? != Value::Undefined),
            Expression::Choice(condition, yes, no) => {
                return if self.value(condition)?.is_true() { self.values(yes) } else { self.values(no) };
            }
            Expression::Increment(name) => {
                let old = self.get(name);
                self.set(name, number(old.to_number() + 1.0));
                old
            }
            Expression::Map(body, list) => {
                let mut mapped = Vec::new();
                for item in self.values(list)? {
                    self.turn()?;
                    self.set("_", item);
                    mapped.push(self.value(body)?);
                }
                return Ok(mapped);
            }
            Expression::Call(name, arguments) => return self.call(name, arguments),
        };
        Ok(vec![value])
    }

    fn all(&mut self, items: &[Expression]) -> Result<Vec<Value>, Unsupported> {
        let mut values = Vec::new();
        for item in items {
            values.extend(self.values(item)?);
        }
        Ok(values)
    }

    fn pieces(&self, pieces: &[Piece]) -> Result<Text, Unsupported> {
        let mut text = Text::new();
        for piece in pieces {
            match piece {
                Piece::Text(part) => text.push_str(part),
                Piece::Variable(name) => match self.get(name) {
                    Value::Undefined => return Err(Unsupported(format!("the variable `${name}`"))),
                    value => text.push_str(&value.to_text()?),
                },
                Piece::Environment(key) => match self.environment.get(key) {
                    Some(value) => text.push_str(value),
                    None => return Err(Unsupported(format!("the environment variable {key}"))),
                },
            }
        }
        Ok(text)
    }

    fn range(&mut self, from: &Expression, to: &Expression) -> Result<Vec<Value>, Unsupported> {
        let (from, to) = (self.value(from)?.to_text()?, self.value(to)?.to_text()?);
        if let (Ok(from), Ok(to)) = (from.parse::<i64>(), to.parse::<i64>()) {
            if to.saturating_sub(from) > i64::from(TURNS_LIMIT) {
                return Err(Unsupported("a range that is too long".to_owned()));
            }
            return Ok((from..=to).map(|n| Value::text(n.to_string())).collect());
        }
        match (from.as_bytes(), to.as_bytes()) {
            ([from], [to]) => Ok((*from..=*to).map(|byte| Value::text(char::from(byte))).collect()),
            _ => Err(Unsupported(format!("the range {from}..{to}"))),
        }
    }

    fn binary(&mut self, operator: &str, left: &Expression, right: &Expression) -> Result<Value, Unsupported> {
        let left = self.value(left)?;
        match operator {
            "||" | "//" if left.is_true() => return Ok(left),
            "&&" if !left.is_true() => return Ok(left),
            "||" | "//" | "&&" => return self.value(right),
            _ => {}
        }
        let right = self.value(right)?;
        Ok(match operator {
            "." => Value::Text(joined(&left.to_text()?, &right.to_text()?)?),
            "x" => {
                let (text, times) = (left.to_text()?, right.to_number().max(0.0) as usize);
                if text.len().saturating_mul(times) > TEXT_LIMIT {
                    return Err(Unsupported("a text that is too long".to_owned()));
                }
                Value::Text(text.repeat(times))
            }
            "+" => number(left.to_number() + right.to_number()),
            "-" => number(left.to_number() - right.to_number()),
            "eq" => truth(left.to_text()? == right.to_text()?),
            "ne" => truth(left.to_text()? != right.to_text()?),
            "==" => truth(left.to_number() == right.to_number()),
            "!=" => truth(left.to_number() != right.to_number()),
            ">=" => truth(left.to_number() >= right.to_number()),
            "<=" => truth(left.to_number() <= right.to_number()),
            ">" => truth(left.to_number() > right.to_number()),
            "<" => truth(left.to_number() < right.to_number()),
            other => return Err(Unsupported(format!("the operator {other}"))),
        })
    }

    fn call(&mut self, name: &str, arguments: &[Expression]) -> Result<Vec<Value>, Unsupported> {
        if let Some(text) = self.functions.get(name) {
            return Ok(vec![Value::text(text.clone())]);
        }
        if name == "push" {
            let Some((Expression::ListVariable(list), values)) = arguments.split_first() else {
                return Err(Unsupported("`push` to what is no list".to_owned()));
            };
            let (list, values) = (format!("@{list}"), self.all(values)?);
            let mut all = match self.get(&list) {
                Value::List(all) => all,
                _ => Vec::new(),
            };
            all.extend(values);
            self.set(&list, Value::List(all));
            return Ok(Vec::new());
        }
        let values = self.all(arguments)?;
        let first = values.first().cloned().unwrap_or(Value::Undefined);
        Ok(vec![match name.strip_prefix("CORE::").unwrap_or(name) {
            "join" => {
                let texts: Result<Vec<Text>, _> = values.iter().skip(1).map(Value::to_text).collect();
                Value::Text(texts?.join(&first.to_text()?))
            }
            "uc" => Value::Text(first.to_text()?.to_ascii_uppercase()),
            "lc" => Value::Text(first.to_text()?.to_ascii_lowercase()),
            "length" => Value::Text(first.to_text()?.chars().count().to_string()),
            "sort" => {
                let mut texts = values.iter().map(Value::to_text).collect::<Result<Vec<_>, _>>()?;
                texts.sort();
                return Ok(texts.into_iter().map(Value::Text).collect());
            }
            "read_file" => Value::Text(self.read_file(&first.to_text()?)?),
            other if self.recording => {
                self.calls.insert(other.to_owned(), values);
                Value::Undefined
            }
            other => return Err(Unsupported(format!("the function `{other}`"))),
        }])
    }
}

impl Scope {
    fn read_file(&self, path: &str) -> Result<Text, Unsupported> {
        let inside = Path::new(path).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        let folder = self.files.as_ref().filter(|_| inside);
        let bytes = folder.and_then(|folder| std::fs::read(folder.join(path)).ok());
        bytes.map(|bytes| from_bytes(&bytes)).ok_or_else(|| Unsupported(format!("the file {path}")))
    }
}

fn truth(it: bool) -> Value {
    Value::text(if it { "1" } else { "" })
}

fn number(number: f64) -> Value {
    Value::text(number.to_string())
}

fn joined(left: &str, right: &str) -> Result<Text, Unsupported> {
    if left.len() + right.len() > TEXT_LIMIT {
        return Err(Unsupported("a text that is too long".to_owned()));
    }
    Ok([left, right].concat())
}
