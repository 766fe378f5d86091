//! What functions write of values: `ngx.print`, and what sockets send.

use crate::raw::{Call, Given, Walk};

/// Depth of tables in tables: a table that contains itself is found out by it.
const DEPTH_LIMIT: usize = 64;
/// Elements of tables in one call, each counted as often as it is met: what took 4 to 9 ms (tables in tables) and 13 to 31 ms
/// (one), less than scripts have by default, as nothing stops it before. A few tables that contain each other several times
/// would take for ever without writing anything.
const ELEMENTS_LIMIT: usize = 250_000;
/// Elements that a table counts as, beside its own: to enter one takes that much longer.
const TABLE_ELEMENTS: usize = 4;

/// What of the values of one call is written.
#[derive(Debug)]
pub(super) struct Written {
    /// Bytes that there may be in all; writing stops a little after.
    limit: usize,
    /// Elements of tables are text, numbers or tables: nothing that only looks like text when it is printed.
    strict: bool,
    /// How many elements were met, holes among them.
    elements: usize,
}

impl Written {
    pub(super) fn new(limit: usize, strict: bool) -> Self {
        Self { limit, strict, elements: 0 }
    }

    /// Appends the argument at `index`.
    ///
    /// # Errors
    /// Why it cannot be written.
    pub(super) fn append(&mut self, call: &Call<'_>, index: i32, into: &mut Vec<u8>) -> Result<(), String> {
        let made = match call.given(index) {
            Given::Table => {
                let mut walk = call.walk();
                walk.push_argument(index);
                return self.append_table(&mut walk, into, 0);
            }
            Given::Null if self.strict => Err("userdata"),
            given => append(given, into),
        };
        made.map_err(|name| {
            let (null, but) = if self.strict { ("", "") } else { ("ngx.null, ", "but ") };
            format!("string, number, boolean, nil, {null}or array table expected, {but}got {name}")
        })
    }

    /// Appends the elements of the table that was reached.
    fn append_table(&mut self, walk: &mut Walk<'_>, into: &mut Vec<u8>, depth: usize) -> Result<(), String> {
        if depth == DEPTH_LIMIT || !walk.room(4) {
            return Err("tables are nested too deeply".to_owned());
        }
        self.count(TABLE_ELEMENTS)?;
        let mut last = 0.0;
        let mut elements = 0.0;
        walk.begin();
        while walk.next() {
            let Given::Number(at) = walk.below() else { return Err("non-array table found".to_owned()) };
            if at < 1.0 || at.fract() != 0.0 {
                return Err("non-array table found".to_owned());
            }
            last = at.max(last);
            elements += 1.0;
            walk.pop(1);
            self.count(1)?;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "whole, and too many are the most there are"
        )]
        self.count((last - elements) as usize)?;
        let mut index = 0;
        #[expect(clippy::cast_precision_loss, reason = "elements are counted")]
        while (index as f64) < last && into.len() <= self.limit {
            index += 1;
            walk.element(index);
            match walk.top() {
                Given::Table => self.append_table(walk, into, depth + 1)?,
                value @ (Given::Text(_) | Given::Number(_)) => drop(append(value, into)),
                value if self.strict => return Err(format!("bad data type {} found", value.type_name())),
                value => append(value, into).map_err(|name| format!("bad data type {name} found"))?,
            }
            walk.pop(1);
        }
        Ok(())
    }

    fn count(&mut self, elements: usize) -> Result<(), String> {
        self.elements = self.elements.saturating_add(elements);
        if self.elements > ELEMENTS_LIMIT { Err(format!("more than {ELEMENTS_LIMIT} elements")) } else { Ok(()) }
    }
}

/// Appends a value that is no table; the name of its type if it cannot be written.
pub(super) fn append(value: Given<'_>, into: &mut Vec<u8>) -> Result<(), &'static str> {
    match value {
        Given::Text(text) => into.extend_from_slice(text),
        Given::Nil | Given::Nothing => into.extend_from_slice(b"nil"),
        Given::Null => into.extend_from_slice(b"null"),
        Given::Boolean(flag) => into.extend_from_slice(if flag { b"true" } else { b"false" }),
        Given::Number(number) => number_into(number, 14, into),
        Given::Table | Given::Other(_) => return Err(value.type_name()),
    }
    Ok(())
}

/// A number as Lua makes a string of it.
pub(crate) fn number_text(number: f64) -> String {
    let mut text = Vec::with_capacity(24);
    number_into(number, 14, &mut text);
    String::from_utf8(text).unwrap_or_default()
}

/// Appends a number with so many significant digits, as C's `%g` has it. Whole numbers of up to 14 digits, the usual case, are
/// quick.
pub(crate) fn number_into(number: f64, digits: usize, to: &mut Vec<u8>) {
    use std::io::Write;
    if number.fract() == 0.0 && number.abs() < 1e14 && digits >= 14 {
        if number == 0.0 && number.is_sign_negative() {
            to.push(b'-');
        }
        #[expect(clippy::cast_possible_truncation, reason = "whole and small")]
        to.extend_from_slice(itoa::Buffer::new().format(number as i64).as_bytes());
        return;
    }
    if !number.is_finite() {
        let text: &[u8] = match (number.is_nan(), number.is_sign_negative()) {
            (true, false) => b"nan",
            (true, true) => b"-nan",
            (false, false) => b"inf",
            (false, true) => b"-inf",
        };
        to.extend_from_slice(text);
        return;
    }
    let digits = digits.max(1);
    let scientific = format!("{number:.*e}", digits - 1);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |text: &str| -> usize {
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').len() } else { text.len() }
    };
    // Writing to a vector does not fail.
    if exponent < -4 || i64::from(exponent) >= digits as i64 {
        let mantissa = mantissa.get(..trim(mantissa)).unwrap_or_default();
        let sign = if exponent < 0 { '-' } else { '+' };
        let _ = write!(to, "{mantissa}e{sign}{:02}", exponent.abs());
    } else {
        let places = usize::try_from(digits as i64 - 1 - i64::from(exponent)).unwrap_or(0);
        let fixed = format!("{number:.places$}");
        to.extend_from_slice(fixed.get(..trim(&fixed)).unwrap_or_default().as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use mlua::Lua;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_look_as_lua_prints_them(number in any::<f64>(), small in -1e6f64..1e6, digits in 1usize..17) {
            let lua = Lua::new();
            let tostring: mlua::Function = lua.globals().get("tostring").unwrap();
            let format: mlua::Function = lua.load("return string.format").eval().unwrap();
            for number in [number, small, small.round(), number.trunc(), 0.0, -0.0, 1e14, 1e15, -1e-5, 123456.0] {
                let mut text = Vec::new();
                number_into(number, digits, &mut text);
                let text = String::from_utf8(text).unwrap();
                let told: String = tostring.call(number).unwrap();
                let formatted: String = format.call((format!("%.{digits}g"), number)).unwrap();
                for (own, its, digits) in [(number_text(number), told, 14), (text, formatted, digits)] {
                    // LuaJIT calculates with a few digits too few where exponents are large, and may round the last one
                    // the other way.
                    let is_large = !(1e-60..1e60).contains(&number.abs()) && number.is_finite();
                    let near = || {
                        let (own, its): (f64, f64) = (own.parse().unwrap(), its.parse().unwrap());
                        (own - its).abs() <= its.abs() * 1.01 * 0.1f64.powi(digits as i32 - 1)
                    };
                    prop_assert!(own == its || is_large && near(), "{} {}", own, its);
                }
            }
        }
    }
}
