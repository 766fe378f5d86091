//! Escaping of URIs, their arguments and SQL strings, and Base64.

use std::collections::HashMap;

use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine as _, alphabet};
use mlua::{Lua, Table};

use crate::raw::{Answer, Call, Fault, Given, Outcome, function};

/// How many arguments are decoded unless the script says otherwise, as in OpenResty.
const ARGUMENTS: usize = 100;

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_allow_trailing_bits(true)
    .with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const STANDARD_UNPADDED: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT.with_encode_padding(false));
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT.with_encode_padding(false));

pub(crate) fn install(lua: &Lua, ngx: &Table, preload: &Table) -> mlua::Result<()> {
    let escape = function(lua, &[1], escape_uri)?;
    ngx.raw_set("escape_uri", &escape)?;
    ngx.raw_set("unescape_uri", function(lua, &[1], unescape_uri)?)?;
    ngx.raw_set("decode_args", function(lua, &[-1], decode_args)?)?;
    ngx.raw_set("encode_base64", function(lua, &[1], encode_base64)?)?;
    ngx.raw_set("decode_base64", function(lua, &[], decode_base64)?)?;
    ngx.raw_set("decode_base64mime", function(lua, &[], decode_base64_mime)?)?;
    ngx.raw_set("quote_sql_str", function(lua, &[], quote_sql_str)?)?;
    let encode_args = lua
        .load(include_str!("../lua/encode_args.lua"))
        .set_name("=witgate/encode_args")
        .call::<mlua::Function>(escape)?;
    ngx.raw_set("encode_args", encode_args)?;

    super::preload(lua, preload, "ngx.base64", |lua| {
        let module = lua.create_table()?;
        module.raw_set("version", super::CORE_VERSION)?;
        module.raw_set("encode_base64url", function(lua, &[], encode_base64_url)?)?;
        module.raw_set("decode_base64url", function(lua, &[], decode_base64_url)?)?;
        Ok(module)
    })
}

/// What is escaped where, as nginx has it.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Uri,
    Args,
    Component,
    Html,
    Refresh,
    Memcached,
}

impl Kind {
    const fn escapes(self, byte: u8) -> bool {
        match self {
            Self::Uri => byte <= b' ' || byte >= 0x7f || matches!(byte, b'#' | b'%' | b'?'),
            Self::Args => byte <= b' ' || byte >= 0x7f || matches!(byte, b'#' | b'%' | b'?' | b'+'),
            Self::Component => !matches!(byte, b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'_' | b'.' | b'~'
                | b'!' | b'*' | b'\'' | b'(' | b')'),
            Self::Html => byte <= b' ' || byte >= 0x7f || matches!(byte, b'#' | b'%' | b'"' | b'\''),
            Self::Refresh => byte <= b' ' || byte >= 0x7f || matches!(byte, b'"' | b'\''),
            Self::Memcached => byte <= b' ' || byte == b'%',
        }
    }
}

fn escape_into(text: &[u8], kind: Kind, to: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text {
        if kind.escapes(*byte) {
            let digit = |value: u8| HEX.get(usize::from(value)).copied().unwrap_or(b'0');
            to.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
        } else {
            to.push(*byte);
        }
    }
}

/// `text` with percent-encoding and plus signs undone. What is not well-formed stays as it is.
pub(crate) fn unescape_into(text: &[u8], to: &mut Vec<u8>) {
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match (*first, after) {
            (b'+', _) => to.push(b' '),
            (b'%', [high, low, beyond @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    to.push(high << 4 | low);
                    rest = beyond;
                }
                _ => to.push(b'%'),
            },
            (byte, _) => to.push(byte),
        }
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Also for the API of requests: the text of an argument that `tostring` was applied to, where `nil` and `false` are empty.
fn text_or_empty<'a>(call: &Call<'a>) -> &'a [u8] {
    call.text(1).unwrap_or_default()
}

fn escape_uri(call: &Call<'_>, answer: &mut Answer) -> Outcome {
    let kind = match call.given(2) {
        Given::Nothing | Given::Nil => Kind::Component,
        Given::Number(kind) => match kind {
            0.0..1.0 => Kind::Uri,
            1.0..2.0 => Kind::Args,
            2.0..3.0 => Kind::Component,
            3.0..4.0 => Kind::Html,
            4.0..5.0 => Kind::Refresh,
            5.0..=6.0 => Kind::Memcached,
            _ => return Err(Fault::new(format!("\"type\" {kind} out of range"))),
        },
        _ => return Err(Fault::new("\"type\" is not a number")),
    };
    let text = text_or_empty(call);
    let escaped = text.iter().filter(|byte| kind.escapes(**byte)).count();
    if escaped == 0 {
        give_back(call, answer);
    } else if answer.fits(text.len() + 2 * escaped) {
        escape_into(text, kind, &mut answer.text);
        answer.written(0);
    }
    Ok(())
}

/// The first argument as it is, or an empty string.
fn give_back(call: &Call<'_>, answer: &mut Answer) {
    if call.text(1).is_some() { answer.argument(1) } else { answer.bytes(b"") }
}

fn unescape_uri(call: &Call<'_>, answer: &mut Answer) -> Outcome {
    let text = text_or_empty(call);
    if memchr::memchr2(b'%', b'+', text).is_none() {
        give_back(call, answer);
    } else if answer.fits(text.len()) {
        unescape_into(text, &mut answer.text);
        answer.written(0);
    }
    Ok(())
}

fn decode_args(call: &Call<'_>, answer: &mut Answer) -> Outcome {
    if !(1..=2).contains(&call.count()) {
        return Err(Fault::new(format!("expecting 1 or 2 arguments but seen {}", call.count())));
    }
    let Given::Text(text) = call.given(1) else { return Err(Fault::expected(1, "string", call.given(1))) };
    let most = match call.given(2) {
        Given::Nothing => ARGUMENTS,
        given => match given.number() {
            #[expect(
                clippy::cast_sign_loss,
                clippy::cast_possible_truncation,
                reason = "cut off at the ends of the range"
            )]
            Some(most) if most >= 1.0 => most as usize,
            Some(_) => usize::MAX,
            None => return Err(Fault::expected(2, "number", given)),
        },
    };
    give_args(text, most, answer);
    Ok(())
}

/// Gives the arguments of a query or a form as a table of at most `most`: a string for each key, a list where it comes more
/// than once, `true` where there is no value. If there are more, `truncated` follows. Keys keep the order of their first
/// appearance.
pub(crate) fn give_args(text: &[u8], most: usize, answer: &mut Answer) {
    struct Pair {
        key: Vec<u8>,
        values: Vec<Option<Vec<u8>>>,
    }
    let unescaped = |part: &[u8]| {
        let mut bytes = Vec::with_capacity(part.len());
        unescape_into(part, &mut bytes);
        bytes
    };
    let mut pairs: Vec<Pair> = Vec::new();
    let mut places: HashMap<Vec<u8>, usize> = HashMap::new();
    let mut truncated = false;
    let mut rest = Some(text);
    let mut count = 0;
    while let Some(now) = rest {
        let (part, after) = match memchr::memchr(b'&', now) {
            Some(at) => (now.get(..at).unwrap_or_default(), now.get(at + 1..)),
            None => (now, None),
        };
        rest = after;
        let (key, value) = match memchr::memchr(b'=', part) {
            Some(at) => (part.get(..at).unwrap_or_default(), part.get(at + 1..)),
            None => (part, None),
        };
        let (key, value) = (unescaped(key), value.map(unescaped));
        if !key.is_empty() {
            match places.get(&key).and_then(|place| pairs.get_mut(*place)) {
                Some(pair) => pair.values.push(value),
                None => {
                    places.insert(key.clone(), pairs.len());
                    pairs.push(Pair { key, values: vec![value] });
                }
            }
        }
        count += 1;
        if count == most && rest.is_some() {
            truncated = true;
            break;
        }
    }
    let give = |value: &Option<Vec<u8>>, answer: &mut Answer| match value {
        Some(value) => answer.bytes(value),
        None => answer.boolean(true),
    };
    answer.table(0, pairs.len());
    for pair in &pairs {
        answer.bytes(&pair.key);
        match pair.values.as_slice() {
            [value] => give(value, answer),
            values => {
                answer.table(values.len(), 0);
                for (index, value) in values.iter().enumerate() {
                    give(value, answer);
                    answer.element(index + 1);
                }
            }
        }
        answer.entry();
    }
    if truncated {
        answer.bytes(b"truncated");
    }
}

fn encode_base64(call: &Call<'_>, answer: &mut Answer) -> Outcome {
    let engine = match call.given(2) {
        Given::Boolean(true) => &STANDARD_UNPADDED,
        given if !given.is_true() => &STANDARD,
        given => return Err(Fault::new(format!("bad no_padding: boolean expected, got {}", given.type_name()))),
    };
    encode(engine, text_or_empty(call), answer);
    Ok(())
}

fn encode(engine: &GeneralPurpose, text: &[u8], answer: &mut Answer) {
    let len = text.len().div_ceil(3) * 4;
    if answer.fits(len) {
        answer.text.resize(len, 0);
        let written = engine.encode_slice(text, &mut answer.text).unwrap_or(0);
        answer.text.truncate(written);
        answer.written(0);
    }
}

/// Decodes what is before the first `=`. Gives `nil` where it is not well-formed, and says so.
fn decode(engine: &GeneralPurpose, text: &[u8], answer: &mut Answer) -> bool {
    let text = text.get(..memchr::memchr(b'=', text).unwrap_or(text.len())).unwrap_or_default();
    if !answer.fits(text.len()) {
        return true;
    }
    answer.text.resize(text.len().div_ceil(4) * 3, 0);
    match engine.decode_slice(text, &mut answer.text) {
        Ok(len) => {
            answer.text.truncate(len);
            answer.written(0);
            true
        }
        Err(_) => {
            answer.text.clear();
            answer.nil();
            false
        }
    }
}

fn decode_base64(call: &Call<'_>, answer: &mut Answer) -> Outcome {
    let Given::Text(text) = call.given(1) else { return Err(Fault::new("string argument only")) };
    decode(&STANDARD, text, answer);
    Ok(())
}

/// As MIME has it (RFC 2045): what is not of the alphabet is passed over.
fn decode_base64_mime(call: &Call<'_>, answer: &mut Answer) -> Outcome {
    let Given::Text(text) = call.given(1) else { return Err(Fault::new("string argument only")) };
    let text: Vec<u8> = text
        .iter()
        .take_while(|byte| **byte != b'=')
        .filter(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
        .copied()
        .collect();
    decode(&STANDARD, &text, answer);
    Ok(())
}

fn encode_base64_url(call: &Call<'_>, answer: &mut Answer) -> Outcome {
    let Given::Text(text) = call.given(1) else { return answer.refuse("must provide a string") };
    encode(&URL_SAFE, text, answer);
    Ok(())
}

fn decode_base64_url(call: &Call<'_>, answer: &mut Answer) -> Outcome {
    let Given::Text(text) = call.given(1) else { return answer.refuse("must provide a string") };
    if !decode(&URL_SAFE, text, answer) {
        answer.bytes(b"invalid input");
    }
    Ok(())
}

/// For MySQL, as OpenResty does it.
fn quote_sql_str(call: &Call<'_>, answer: &mut Answer) -> Outcome {
    if call.count() != 1 {
        return Err(Fault::new("expecting one argument"));
    }
    let number;
    let text = match call.given(1) {
        Given::Text(text) => text,
        Given::Number(value) => {
            number = super::number_text(value);
            number.as_bytes()
        }
        given => return Err(Fault::expected(1, "string", given)),
    };
    if !answer.fits(text.len().saturating_mul(2) + 2) {
        return Ok(());
    }
    answer.text.push(b'\'');
    for byte in text {
        let escape = match byte {
            0 => b'0',
            8 => b'b',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            26 => b'Z',
            b'\\' | b'\'' | b'"' => *byte,
            _ => {
                answer.text.push(*byte);
                continue;
            }
        };
        answer.text.extend_from_slice(&[b'\\', escape]);
    }
    answer.text.push(b'\'');
    answer.written(0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::{check, vm};

    #[test]
    fn uris_are_escaped_as_nginx_does() {
        let lua = vm();
        for (code, expected) in [
            ("return ngx.escape_uri('a 你')", "a%20%E4%BD%A0"),
            ("return ngx.escape_uri([[\"a/b={}:<>;&[]\\^]])", "%22a%2Fb%3D%7B%7D%3A%3C%3E%3B%26%5B%5D%5C%5E"),
            ("return ngx.escape_uri(\"-_.!~*'()\"), ngx.escape_uri(',$@|`')", "-_.!~*'() %2C%24%40%7C%60"),
            ("return ngx.escape_uri(nil) .. ngx.escape_uri(32)", "32"),
            ("return ngx.escape_uri('/?t=a@ :#+', 0)", "/%3Ft=a@%20:%23+"),
            ("return ngx.escape_uri('/?t=a@ :#+', 1)", "/%3Ft=a@%20:%23%2B"),
            ("return ngx.escape_uri('?\"\\'%\\127', 3)", "?%22%27%25%7F"),
            ("return ngx.escape_uri('?\"\\'%\\127', 4)", "?%22%27%%7F"),
            ("return ngx.escape_uri('?\"\\'%\\127\\255', 5)", "?\"'%25\u{7f}\u{fffd}"),
            ("local _ = ngx.escape_uri('a', -1)", "error: case:1: \"type\" -1 out of range"),
            ("local _ = ngx.escape_uri('a', true)", "error: case:1: \"type\" is not a number"),
            ("return ngx.unescape_uri('a%20%e4%bd%a0+b')", "a 你 b"),
            ("return ngx.unescape_uri('%ua%%20%au')", "%ua% %au"),
            ("return ngx.unescape_uri('good%20job%'), ngx.unescape_uri('%a'), ngx.unescape_uri(nil)", "good job% %a "),
        ] {
            check(&lua, code, expected);
        }
    }

    #[test]
    fn arguments_are_decoded_and_encoded() {
        let lua = vm();
        let show = "local function show(t, err)
                local list = {}
                for k, v in pairs(t) do
                    list[#list + 1] = k .. '=' .. (type(v) == 'table' and table.concat(v, ',') or tostring(v))
                end
                table.sort(list)
                return table.concat(list, ' '), err
            end ";
        for (code, expected) in [
            ("return show(ngx.decode_args('a=bar&b=foo&a=baz'))", "a=bar,baz b=foo nil"),
            ("return show(ngx.decode_args('a&b=&=c&&%41+b=%3d=d'))", "A b===d a=true b= nil"),
            ("return show(ngx.decode_args(''))", " nil"),
            ("return show(ngx.decode_args('a=bar&b=foo', 1))", "a=bar truncated"),
            ("return show(ngx.decode_args('a=bar&b=foo', 2))", "a=bar b=foo nil"),
            ("return show(ngx.decode_args('a=bar&b=foo', -1))", "a=bar b=foo nil"),
            ("return show(ngx.decode_args(('a=b&'):rep(150)))", &format!("a={} truncated", ["b"; 100].join(","))),
            ("local _ = ngx.decode_args()", "error: case:1: expecting 1 or 2 arguments but seen 0"),
            ("return ngx.encode_args({a = {9, true, false, 2}})", "a=9&a&a=2"),
            ("return ngx.encode_args({['a b'] = ',$'})", "a%20b=%2C%24"),
            ("return ngx.encode_args({a = true}), ngx.encode_args({a = false}), ngx.encode_args({})", "a  "),
            (
                "return select(2, pcall(ngx.encode_args, {a = {ngx.null}}))",
                "attempt to use userdata as query arg value",
            ),
            (
                "return select(2, pcall(ngx.encode_args, {print}))",
                "attempt to use a non-string key in the \"args\" option table",
            ),
            ("return select(2, pcall(ngx.encode_args, true))", "bad argument #1 to '?' (table expected, got boolean)"),
            ("return select(2, pcall(ngx.encode_args))", "expecting 1 argument but seen 0"),
        ] {
            let code = if code.contains("show(") { format!("{show}{code}") } else { code.to_owned() };
            check(&lua, &code, expected);
        }
    }

    #[test]
    fn base64_is_lenient_where_nginx_is() {
        let lua = vm();
        for (code, expected) in [
            (
                "return ngx.encode_base64('hello'), ngx.encode_base64('hello', true), ngx.encode_base64(32)",
                "aGVsbG8= aGVsbG8 MzI=",
            ),
            ("return '<' .. ngx.encode_base64(nil) .. ngx.encode_base64('') .. '>'", "<>"),
            ("local _ = ngx.encode_base64('w', 0)", "error: case:1: bad no_padding: boolean expected, got number"),
            (
                "return ngx.decode_base64('aGVsbG8='), ngx.decode_base64('aGVsbG8'), ngx.decode_base64('aGVsbG9=x')",
                "hello hello hello",
            ),
            ("return '<' .. ngx.decode_base64('') .. '>'", "<>"),
            ("return ngx.decode_base64('^*~'), ngx.decode_base64('a')", "nil nil"),
            ("local _ = ngx.decode_base64(32)", "error: case:1: string argument only"),
            ("return ngx.decode_base64mime('aGVs\\r\\nbG8=')", "hello"),
            (
                "local b = require 'ngx.base64' return b.encode_base64url('\\255\\254?'), b.decode_base64url('__4_')",
                "__4_ \u{fffd}\u{fffd}?",
            ),
            ("return require('ngx.base64').decode_base64url('+')", "nil invalid input"),
            ("return require('ngx.base64').encode_base64url(1)", "nil must provide a string"),
        ] {
            check(&lua, code, expected);
        }
    }

    #[test]
    fn sql_strings_are_quoted() {
        let lua = vm();
        check(&lua, r#"return ngx.quote_sql_str("a\0\b\n\r\t\26\\'\"é")"#, r#"'a\0\b\n\r\t\Z\\\'\"é'"#);
        check(&lua, "return ngx.quote_sql_str('')", "''");
        check(&lua, "local _ = ngx.quote_sql_str()", "error: case:1: expecting one argument");
    }
}
