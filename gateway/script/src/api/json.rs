//! The modules `cjson` and `cjson.safe`, as OpenResty's lua-cjson has them.

use std::cell::Cell;
use std::ffi::c_int;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mlua::{LightUserData, Lua, Table, Value};

use crate::json::{Event, Leniency, read};
use crate::raw::{Answer, Call, Fault, Given, Outcome, Walk, function, function_with};

const VERSION: &str = "2.1.0.14";
/// How deep values are nested at most, whatever a script sets: each level takes stack.
const DEPTH_LIMIT: usize = 2000;
/// How long one value may take to encode: tables can be in it again and again.
const TIME_LIMIT: Duration = Duration::from_millis(100);

pub(crate) fn install(lua: &Lua, preload: &Table) -> mlua::Result<()> {
    let marks = Marks::new(lua)?;
    for (name, safe) in [("cjson", false), ("cjson.safe", true)] {
        let marks = marks.clone();
        super::preload(lua, preload, name, move |lua| module(lua, &marks, safe))?;
    }
    Ok(())
}

/// Values that stand for empty arrays and for tables that are arrays. All modules of a VM share them.
#[derive(Clone)]
struct Marks {
    array: Table,
    empty_array: Table,
    /// What is behind `cjson.empty_array`: a light userdata needs an address of its own.
    empty: Rc<u8>,
}

impl Marks {
    fn new(lua: &Lua) -> mlua::Result<Self> {
        Ok(Self { array: lua.create_table()?, empty_array: lua.create_table()?, empty: Rc::new(0) })
    }

    fn empty_address(&self) -> usize {
        Rc::as_ptr(&self.empty) as usize
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Odd {
    Refused,
    Written,
    Null,
}

/// What scripts set, for each module that `new` makes.
struct Settings {
    sparse_convert: Cell<bool>,
    sparse_ratio: Cell<usize>,
    sparse_safe: Cell<usize>,
    encode_depth: Cell<usize>,
    decode_depth: Cell<usize>,
    digits: Cell<usize>,
    keep_buffer: Cell<bool>,
    encode_odd: Cell<Odd>,
    decode_odd: Cell<bool>,
    empty_is_object: Cell<bool>,
    arrays_marked: Cell<bool>,
    slash_escaped: Cell<bool>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            sparse_convert: Cell::new(false),
            sparse_ratio: Cell::new(2),
            sparse_safe: Cell::new(10),
            encode_depth: Cell::new(1000),
            decode_depth: Cell::new(1000),
            digits: Cell::new(14),
            keep_buffer: Cell::new(true),
            encode_odd: Cell::new(Odd::Refused),
            decode_odd: Cell::new(true),
            empty_is_object: Cell::new(true),
            arrays_marked: Cell::new(false),
            slash_escaped: Cell::new(true),
        }
    }
}

fn module(lua: &Lua, marks: &Marks, safe: bool) -> mlua::Result<Table> {
    let settings = Rc::new(Settings::default());
    let module = lua.create_table()?;
    module.raw_set("_NAME", if safe { "cjson.safe" } else { "cjson" })?;
    module.raw_set("_VERSION", VERSION)?;
    module.raw_set("null", Value::NULL)?;
    module.raw_set("array_mt", &marks.array)?;
    module.raw_set("empty_array_mt", &marks.empty_array)?;
    module.raw_set("empty_array", LightUserData(Rc::as_ptr(&marks.empty).cast_mut().cast()))?;
    let again = marks.clone();
    module.raw_set("new", lua.create_function(move |lua, _: Value| self::module(lua, &again, safe))?)?;
    module.raw_set("decode", decoder(lua, &settings, marks, safe)?)?;
    module.raw_set("encode", encoder(lua, &settings, marks, safe)?)?;
    configuration(lua, &module, &settings)?;
    Ok(module)
}

/// Ends a call with an error, or tells it where the module is the safe one.
fn fail(safe: bool, message: String, answer: &mut Answer) -> Outcome {
    if safe { answer.refuse(message) } else { Err(Fault::new(message)) }
}

fn decoder(lua: &Lua, settings: &Rc<Settings>, marks: &Marks, safe: bool) -> mlua::Result<mlua::Function> {
    /// A container that is being filled.
    struct Filled {
        is_array: bool,
        count: usize,
        table: usize,
    }
    let settings = settings.clone();
    function_with(lua, &[-1], marks.array.clone(), move |call, answer| {
        if call.count() != 1 {
            return Err(Fault::argument(1, "expected 1 argument"));
        }
        let Given::Text(text) = call.given(1) else { return Err(Fault::expected(1, "string", call.given(1))) };
        let leniency = Leniency {
            invalid_numbers: settings.decode_odd.get(),
            depth_limit: settings.decode_depth.get().min(DEPTH_LIMIT),
        };
        let mut open: Vec<Filled> = Vec::new();
        let mut at_key = false;
        let mut too_large = false;
        let base = text.as_ptr() as usize;
        let result = read(text, leniency, |event| {
            if too_large {
                return;
            }
            match event {
                Event::Null => answer.null(),
                Event::Boolean(value) => answer.boolean(value),
                Event::Number(number) => answer.number(number),
                // The document lasts until the result is given, so its strings need not be copied meanwhile.
                Event::Plain(part) => answer.part(1, (part.as_ptr() as usize).wrapping_sub(base), part.len()),
                Event::Escaped(text) => answer.bytes(&text),
                Event::ArrayBegins | Event::ObjectBegins => {
                    let table = answer.open_table();
                    if event == Event::ArrayBegins && settings.arrays_marked.get() {
                        answer.kept(1);
                        answer.metatable();
                    }
                    open.push(Filled { is_array: event == Event::ArrayBegins, count: 0, table });
                    at_key = event == Event::ObjectBegins;
                    return;
                }
                Event::ArrayEnds | Event::ObjectEnds => {
                    if let Some(Filled { is_array, count, table }) = open.pop() {
                        let (elements, fields) = if is_array { (count, 0) } else { (0, count) };
                        answer.size_table(table, elements, fields);
                    }
                    at_key = false;
                }
            }
            too_large = !answer.fits_steps();
            match open.last_mut() {
                // The key stays on the stack until its value is complete.
                Some(Filled { is_array: false, .. }) if at_key => at_key = false,
                Some(Filled { is_array: false, count, .. }) => {
                    *count += 1;
                    answer.entry();
                    at_key = true;
                }
                Some(Filled { count, .. }) => {
                    *count += 1;
                    answer.element(*count);
                }
                None => {}
            }
        });
        match result {
            Ok(()) => Ok(()),
            Err(message) => {
                answer.start_over();
                fail(safe, message, answer)
            }
        }
    })
}

fn encoder(lua: &Lua, settings: &Rc<Settings>, marks: &Marks, safe: bool) -> mlua::Result<mlua::Function> {
    let settings = settings.clone();
    let marks = marks.clone();
    function(lua, &[], move |call, answer| {
        if call.count() != 1 {
            return Err(Fault::argument(1, "expected 1 argument"));
        }
        let mut text = std::mem::take(&mut answer.text);
        let mut walk = call.walk();
        walk.push_argument(1);
        let mut encoder = Encoder {
            settings: &settings,
            marks: Identities {
                array: marks.array.to_pointer() as usize,
                empty_array: marks.empty_array.to_pointer() as usize,
                empty: marks.empty_address(),
            },
            walk,
            text: &mut text,
            limit: answer.limit(),
            deadline: Instant::now() + TIME_LIMIT,
        };
        let result = encoder.value(0);
        answer.text = text;
        match result {
            Ok(()) => {
                answer.written(0);
                Ok(())
            }
            Err(message) => {
                answer.start_over();
                fail(safe, message, answer)
            }
        }
    })
}

struct Identities {
    array: usize,
    empty_array: usize,
    empty: usize,
}

struct Encoder<'a, 't> {
    settings: &'a Settings,
    marks: Identities,
    walk: Walk<'a>,
    text: &'t mut Vec<u8>,
    limit: usize,
    deadline: Instant,
}

impl Encoder<'_, '_> {
    /// Appends the value that was reached.
    fn value(&mut self, depth: usize) -> Result<(), String> {
        match self.walk.top() {
            Given::Nothing | Given::Nil | Given::Null => self.text.extend_from_slice(b"null"),
            Given::Boolean(true) => self.text.extend_from_slice(b"true"),
            Given::Boolean(false) => self.text.extend_from_slice(b"false"),
            Given::Number(number) => return self.number(number),
            Given::Text(text) => quote(text, self.settings.slash_escaped.get(), self.text),
            Given::Table => return self.table(depth + 1),
            Given::Other("userdata") if self.walk.identity() == self.marks.empty => self.text.extend_from_slice(b"[]"),
            Given::Other(kind) => return Err(format!("Cannot serialise {kind}: type not supported")),
        }
        if self.text.len() > self.limit {
            return Err("not enough memory: the result is too large".to_owned());
        }
        Ok(())
    }

    fn number(&mut self, number: f64) -> Result<(), String> {
        if number.is_finite() {
            super::number_into(number, self.settings.digits.get(), self.text);
            return Ok(());
        }
        let text: &[u8] = match self.settings.encode_odd.get() {
            Odd::Refused => return Err("Cannot serialise number: must not be NaN or Infinity".to_owned()),
            Odd::Null => b"null",
            Odd::Written if number.is_nan() => b"NaN",
            Odd::Written if number > 0.0 => b"Infinity",
            Odd::Written => b"-Infinity",
        };
        self.text.extend_from_slice(text);
        Ok(())
    }

    fn table(&mut self, depth: usize) -> Result<(), String> {
        if depth > self.settings.encode_depth.get().min(DEPTH_LIMIT) || !self.walk.room(3) {
            return Err(format!("Cannot serialise, excessive nesting ({depth})"));
        }
        if Instant::now() >= self.deadline {
            return Err(format!("Cannot serialise, it takes longer than {} ms", TIME_LIMIT.as_millis()));
        }
        let metatable = self.walk.metatable_identity();
        if metatable == self.marks.array {
            let len = self.walk.len();
            return self.array(len, depth);
        }
        match self.array_len()? {
            Some(0) if self.settings.empty_is_object.get() && metatable != self.marks.empty_array => self.object(depth),
            Some(len) => self.array(len, depth),
            None => self.object(depth),
        }
    }

    /// The length of a table whose keys are those of an array; `None` for others.
    fn array_len(&mut self) -> Result<Option<usize>, String> {
        let (mut most, mut count) = (0, 0);
        self.walk.begin();
        while self.walk.next() {
            match self.walk.below() {
                #[expect(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "positive, and cut off")]
                Given::Number(key) if key >= 1.0 && key.fract() == 0.0 => {
                    most = most.max(key as usize);
                    count += 1;
                    self.walk.pop(1);
                }
                _ => {
                    self.walk.pop(2);
                    return Ok(None);
                }
            }
        }
        let (ratio, safe) = (self.settings.sparse_ratio.get(), self.settings.sparse_safe.get());
        // One whose places beyond the array's would be more than can be counted is sparse by any measure.
        if (ratio > 0 && most > safe && most / ratio > count) || most > c_int::MAX as usize {
            if !self.settings.sparse_convert.get() {
                return Err("Cannot serialise table: excessively sparse array".to_owned());
            }
            return Ok(None);
        }
        Ok(Some(most))
    }

    fn array(&mut self, len: usize, depth: usize) -> Result<(), String> {
        self.text.push(b'[');
        for index in 1..=len {
            if index > 1 {
                self.text.push(b',');
            }
            self.walk.element(index);
            self.value(depth)?;
            self.walk.pop(1);
            // Places that are empty cost time as well.
            if self.text.len() > self.limit {
                return Err("not enough memory: the result is too large".to_owned());
            }
        }
        self.text.push(b']');
        Ok(())
    }

    fn object(&mut self, depth: usize) -> Result<(), String> {
        self.text.push(b'{');
        let mut first = true;
        self.walk.begin();
        while self.walk.next() {
            if !first {
                self.text.push(b',');
            }
            first = false;
            match self.walk.below() {
                Given::Text(key) => quote(key, self.settings.slash_escaped.get(), self.text),
                Given::Number(key) => {
                    self.text.push(b'"');
                    self.number(key)?;
                    self.text.push(b'"');
                }
                _ => return Err("Cannot serialise table: table key must be a number or string".to_owned()),
            }
            self.text.push(b':');
            self.value(depth)?;
            self.walk.pop(1);
        }
        self.text.push(b'}');
        Ok(())
    }
}

fn quote(text: &[u8], slash_escaped: bool, to: &mut Vec<u8>) {
    to.push(b'"');
    let mut rest = text;
    while !rest.is_empty() {
        let plain = rest
            .iter()
            .position(|byte| *byte < b' ' || matches!(byte, b'"' | b'\\' | 127) || (*byte == b'/' && slash_escaped))
            .unwrap_or(rest.len());
        to.extend_from_slice(rest.get(..plain).unwrap_or_default());
        let Some(byte) = rest.get(plain) else { break };
        let code = match byte {
            8 => b'b',
            9 => b't',
            10 => b'n',
            12 => b'f',
            13 => b'r',
            b'"' | b'\\' | b'/' => *byte,
            _ => b'u',
        };
        to.extend_from_slice(&[b'\\', code]);
        if code == b'u' {
            let digit = |value: u8| char::from_digit(u32::from(value), 16).map_or(b'0', |digit| digit as u8);
            to.extend_from_slice(&[b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
        }
        rest = rest.get(plain + 1..).unwrap_or_default();
    }
    to.push(b'"');
}

/// A switch, from `true`, `false`, `"on"` or `"off"`.
fn switch(call: &Call<'_>, index: c_int, old: bool) -> Result<bool, Fault> {
    match call.given(index) {
        Given::Nothing | Given::Nil => Ok(old),
        Given::Boolean(value) => Ok(value),
        Given::Text(b"on") => Ok(true),
        Given::Text(b"off") => Ok(false),
        Given::Text(text) => Err(Fault::argument(index, format!("invalid option '{}'", String::from_utf8_lossy(text)))),
        given => Err(Fault::expected(index, "string", given)),
    }
}

fn number(call: &Call<'_>, index: c_int, old: usize, least: usize, most: usize) -> Result<usize, Fault> {
    if call.given(index).is_nil() {
        return Ok(old);
    }
    let wrong = || Fault::argument(index, format!("expected integer between {least} and {most}"));
    let number = call.given(index).number().ok_or_else(wrong)?;
    #[expect(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "checked to be within")]
    if number >= least as f64 && number <= most as f64 { Ok(number as usize) } else { Err(wrong()) }
}

fn configuration(lua: &Lua, module: &Table, settings: &Rc<Settings>) -> mlua::Result<()> {
    const MOST: usize = c_int::MAX as usize;
    type Run = fn(&Settings, &Call<'_>, &mut Answer) -> Outcome;
    let add = |name: &str, arguments: usize, run: Run| {
        let settings = settings.clone();
        let set = function(lua, &[], move |call, answer| {
            if call.count() > arguments {
                return Err(Fault::new("found too many arguments"));
            }
            run(&settings, call, answer)
        })?;
        module.raw_set(name, set)
    };
    fn sparse(settings: &Settings, call: &Call<'_>, answer: &mut Answer) -> Outcome {
        settings.sparse_convert.set(switch(call, 1, settings.sparse_convert.get())?);
        settings.sparse_ratio.set(number(call, 2, settings.sparse_ratio.get(), 0, MOST)?);
        settings.sparse_safe.set(number(call, 3, settings.sparse_safe.get(), 0, MOST)?);
        answer.boolean(settings.sparse_convert.get());
        answer.number(settings.sparse_ratio.get() as f64);
        answer.number(settings.sparse_safe.get() as f64);
        Ok(())
    }
    fn set_switch(cell: &Cell<bool>, call: &Call<'_>, answer: &mut Answer) -> Outcome {
        cell.set(switch(call, 1, cell.get())?);
        answer.boolean(cell.get());
        Ok(())
    }
    fn set_number(cell: &Cell<usize>, most: usize, call: &Call<'_>, answer: &mut Answer) -> Outcome {
        cell.set(number(call, 1, cell.get(), 1, most)?);
        answer.number(cell.get() as f64);
        Ok(())
    }
    add("encode_sparse_array", 3, sparse)?;
    add("encode_max_depth", 1, |settings, call, answer| set_number(&settings.encode_depth, MOST, call, answer))?;
    add("decode_max_depth", 1, |settings, call, answer| set_number(&settings.decode_depth, MOST, call, answer))?;
    add("encode_number_precision", 1, |settings, call, answer| set_number(&settings.digits, 16, call, answer))?;
    add("encode_keep_buffer", 1, |settings, call, answer| set_switch(&settings.keep_buffer, call, answer))?;
    add("decode_invalid_numbers", 1, |settings, call, answer| set_switch(&settings.decode_odd, call, answer))?;
    add("encode_empty_table_as_object", 1, |settings, call, answer| {
        set_switch(&settings.empty_is_object, call, answer)
    })?;
    add("decode_array_with_array_mt", 1, |settings, call, answer| set_switch(&settings.arrays_marked, call, answer))?;
    add("encode_escape_forward_slash", 1, |settings, call, answer| set_switch(&settings.slash_escaped, call, answer))?;
    add("encode_invalid_numbers", 1, |settings, call, answer| {
        let old = settings.encode_odd.get();
        settings.encode_odd.set(match call.given(1) {
            Given::Text(b"null") => Odd::Null,
            given if given.is_nil() => old,
            _ if switch(call, 1, false)? => Odd::Written,
            _ => Odd::Refused,
        });
        match settings.encode_odd.get() {
            Odd::Refused => answer.boolean(false),
            Odd::Written => answer.boolean(true),
            Odd::Null => answer.bytes(b"null"),
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check, results, vm};
    use proptest::prelude::*;

    #[test]
    fn values_are_encoded() {
        let lua = vm();
        for (code, expected) in [
            ("return c.encode({1, 2.5, 'x', true, false, c.null, ngx.null})", r#"[1,2.5,"x",true,false,null,null]"#),
            ("return c.encode({a = {b = {}}})", r#"{"a":{"b":{}}}"#),
            ("return c.encode('/\"\\\\\\b\\t\\n\\f\\r\\1\\127é')", r#""\/\"\\\b\t\n\f\r\u0001\u007fé""#),
            (
                "return c.encode(nil), c.encode(1e15), c.encode(0.1), c.encode(1/3), c.encode(123456789012345)",
                "null 1e+15 0.1 0.33333333333333 1.2345678901234e+14",
            ),
            ("c.encode_number_precision(16) return c.encode(0.1), c.encode(123456789012345)", "0.1 123456789012345"),
            ("return c.encode({[1] = 'a', [3] = 'c'})", r#"["a",null,"c"]"#),
            ("return c.encode({[20] = 1})", "error: Cannot serialise table: excessively sparse array"),
            ("c.encode_sparse_array(true) return c.encode({[20] = 1})", r#"{"20":1}"#),
            ("return c.encode({[1.5] = 1})", r#"{"1.5":1}"#),
            ("return c.encode({[true] = 1})", "error: Cannot serialise table: table key must be a number or string"),
            ("return c.encode(print)", "error: Cannot serialise function: type not supported"),
            ("return c.encode(0/0)", "error: Cannot serialise number: must not be NaN or Infinity"),
            ("c.encode_invalid_numbers('null') return c.encode(0/0)", "null"),
            ("c.encode_invalid_numbers(true) return c.encode({1/0, -1/0, 0/0})", "[Infinity,-Infinity,NaN]"),
            (
                "local t = {} for i = 1, 1001 do t = {t} end return c.encode(t)",
                "error: Cannot serialise, excessive nesting (1001)",
            ),
            ("local t = {} t[1] = t return c.encode(t)", "error: Cannot serialise, excessive nesting (1001)"),
            (
                "c.encode_max_depth(2) return c.encode({{1}}), pcall(c.encode, {{{1}}})",
                "[[1]] false Cannot serialise, excessive nesting (3)",
            ),
            ("return c.encode({}), c.encode(c.empty_array), c.encode(setmetatable({}, c.empty_array_mt))", "{} [] []"),
            (
                "return c.encode(setmetatable({1, 2, x = 1}, c.array_mt)), c.encode(setmetatable({}, c.array_mt))",
                "[1,2] []",
            ),
            ("return c.encode(setmetatable({x = 1}, c.empty_array_mt))", r#"{"x":1}"#),
            ("c.encode_empty_table_as_object(false) return c.encode({{}})", "[[]]"),
            ("c.encode_escape_forward_slash(false) return c.encode('/')", "\"/\""),
            ("return c.encode()", "error: bad argument #1 to '?' (expected 1 argument)"),
        ] {
            check(&lua, &format!("local c = require('cjson').new() {code}"), expected);
        }
    }

    #[test]
    fn documents_are_decoded() {
        let lua = vm();
        for (code, expected) in [
            (
                r#"local t = c.decode('{"a":[1,2,{"b":null}],"c":"x","d":true}') return t.a[1], t.a[3].b == ngx.null, t.c, t.d, #t.a"#,
                "1 true x true 3",
            ),
            (
                r#"return c.decode('"\\u00e9\\ud83d\\ude00\\n\\/"'), c.decode(' 12 '), c.decode('-1.5e2')"#,
                "é😀\n/ 12 -150",
            ),
            ("return c.decode('0x1F'), c.decode('-inf'), c.decode('NaN') ~= 0, c.decode('01')", "31 -inf true 1"),
            (
                "c.decode_invalid_numbers(false) return pcall(c.decode, '0x1F')",
                "false Expected value but found invalid number at character 1",
            ),
            (
                "c.decode_invalid_numbers(false) return pcall(c.decode, '[inf]')",
                "false Expected value but found invalid token at character 2",
            ),
            ("return c.decode('[]')[1], next(c.decode('{}')), type(c.decode('null'))", "nil nil userdata"),
            ("return pcall(c.decode, '[1,]')", "false Expected value but found T_ARR_END at character 4"),
            ("return pcall(c.decode, '[1 2]')", "false Expected comma or array end but found T_NUMBER at character 4"),
            (
                "return pcall(c.decode, '{\"a\":1 \"b\"}')",
                "false Expected comma or object end but found T_STRING at character 8",
            ),
            ("return pcall(c.decode, '{\"a\" 1}')", "false Expected colon but found T_NUMBER at character 6"),
            ("return pcall(c.decode, '{1:1}')", "false Expected object key string but found T_NUMBER at character 2"),
            (
                "return pcall(c.decode, '{\"a\":1,}')",
                "false Expected object key string but found T_OBJ_END at character 8",
            ),
            ("return pcall(c.decode, '1 x')", "false Expected the end but found invalid token at character 3"),
            ("return pcall(c.decode, '')", "false Expected value but found T_END at character 1"),
            (
                "return pcall(c.decode, '\"abc')",
                "false Expected value but found unexpected end of string at character 5",
            ),
            (
                "return pcall(c.decode, '\"a\\\\x\"')",
                "false Expected value but found invalid escape code at character 3",
            ),
            (
                "return pcall(c.decode, '\"\\\\ud83d\"')",
                "false Expected value but found invalid unicode escape code at character 2",
            ),
            (
                "return pcall(c.decode, '\"\\\\u12g4\"')",
                "false Expected value but found invalid unicode escape code at character 2",
            ),
            ("return pcall(c.decode, '-')", "false Expected value but found invalid number at character 1"),
            ("return pcall(c.decode, '\\0\\0')", "false JSON parser does not support UTF-16 or UTF-32"),
            (
                "return pcall(c.decode, ('['):rep(1001))",
                "false Found too many nested data structures (1001) at character 1001",
            ),
            (
                "c.decode_max_depth(1) return pcall(c.decode, '[{}]')",
                "false Found too many nested data structures (2) at character 2",
            ),
            ("return #c.decode(('['):rep(1000) .. (']'):rep(1000))", "1"),
            ("local s = ('{\"a\":'):rep(1000) .. '1' .. ('}'):rep(1000) return type(c.decode(s).a)", "table"),
            (
                "c.decode_array_with_array_mt(true) local t = c.decode('[{\"a\":[]}]') return getmetatable(t) == c.array_mt, getmetatable(t[1]), c.encode(t)",
                r#"true nil [{"a":[]}]"#,
            ),
            ("return c.decode('{\"a\":1,\"a\":2}').a", "2"),
            ("return pcall(c.decode)", "false bad argument #1 to '?' (expected 1 argument)"),
            ("return pcall(c.decode, {})", "false bad argument #1 to '?' (string expected, got table)"),
            ("return c.decode(12)", "12"),
        ] {
            check(&lua, &format!("local c = require('cjson').new() {code}"), expected);
        }
    }

    #[test]
    fn the_safe_module_tells_errors_instead_of_raising_them() {
        let lua = vm();
        for (code, expected) in [
            ("return c.decode('[')", "nil Expected value but found T_END at character 2"),
            ("return c.encode(print)", "nil Cannot serialise function: type not supported"),
            ("return c.new().decode('x')", "nil Expected value but found invalid token at character 1"),
            ("return c.decode('1'), c._NAME, c.null == require('cjson').null", "1 cjson.safe true"),
            ("return c.encode_max_depth(5), c.encode_keep_buffer(), c.encode_sparse_array()", "5 true false 2 10"),
            (
                "return pcall(c.encode_max_depth, 0)",
                "false bad argument #1 to '?' (expected integer between 1 and 2147483647)",
            ),
            ("return pcall(c.encode_max_depth, 1, 2)", "false found too many arguments"),
            ("return pcall(c.encode_keep_buffer, 'maybe')", "false bad argument #1 to '?' (invalid option 'maybe')"),
        ] {
            check(&lua, &format!("local c = require('cjson.safe') {code}"), expected);
        }
    }

    #[test]
    fn neither_size_nor_sharing_makes_encoding_endless() {
        let lua = vm();
        let begun = crate::testing::processor_time();
        let shared = "local t = {1} for i = 1, 40 do t = {t, t} end return require('cjson.safe').encode(t)";
        assert!(results(&lua, shared).starts_with("nil "));
        let sparse = "local t = {} for i = 1, 1e6 do t[i] = 1 end for i = 1, 1e6 do t[i] = nil end
            local list = {} for i = 1, 1e5 do list[i] = t end return require('cjson.safe').encode(list)";
        assert!(results(&lua, sparse).starts_with("nil Cannot serialise, it takes longer than 100 ms"));
        let far = "return require('cjson.safe').encode({[2^40] = 1})";
        check(&lua, far, "nil Cannot serialise table: excessively sparse array");
        assert!(crate::testing::processor_time() - begun < Duration::from_secs(3));
    }

    fn value() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("true".to_owned()),
            Just("null".to_owned()),
            any::<i32>().prop_map(|n| n.to_string()),
            "[a-z/é\"\\\\]{0,6}"
                .prop_map(|s| format!("\"{}\"", s.replace('\\', "\\\\").replace('"', "\\\"").replace('/', "\\/"))),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 1..4).prop_map(|list| format!("[{}]", list.join(","))),
                inner.prop_map(|value| format!("{{\"k\":{value}}}")),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_decoded_encodes_to_the_same(text in value()) {
            thread_local!(static LUA: Lua = vm());
            let again = LUA.with(|lua| {
                let code = "local c = require('cjson') return c.encode(c.decode((...)))";
                lua.load(code).call::<String>(text.as_str()).unwrap()
            });
            prop_assert_eq!(again, text);
        }

        #[test]
        fn whatever_is_given_is_decoded_or_refused(bytes in prop::collection::vec(prop::sample::select(b"{}[]:,\"\\u0de1-+.einft \0\xff".to_vec()), 0..40)) {
            let _ = read(&bytes, Leniency { invalid_numbers: true, depth_limit: 10 }, |_| {});
            let _ = read(&bytes, Leniency { invalid_numbers: false, depth_limit: 10 }, |_| {});
        }
    }
}
