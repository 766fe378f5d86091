//! `string.find`, `match`, `gmatch` and `gsub`: in place of LuaJIT's, which cannot be stopped.

use mlua::{Lua, Table};

use crate::pattern::{Captured, Matcher, PatternError};
use crate::raw::{Answer, Call, Fault, Given, Outcome, function};

pub(crate) fn install(lua: &Lua) -> mlua::Result<()> {
    let host = lua.create_table()?;
    host.raw_set("find", function(lua, &[-1, -2], |call, answer| search(call, answer, true))?)?;
    host.raw_set("match", function(lua, &[-1, -2], |call, answer| search(call, answer, false))?)?;
    host.raw_set("next", function(lua, &[], next)?)?;
    host.raw_set("gsub", function(lua, &[-1, -2, -3], gsub)?)?;
    let string: Table = lua.globals().get("string")?;
    lua.load(include_str!("../lua/pattern.lua")).set_name("=witgate/pattern").call::<()>((string, host))
}

impl From<PatternError> for Fault {
    fn from(error: PatternError) -> Self {
        Self::new(error.to_string())
    }
}

/// The string at a place, where numbers have been made strings.
pub(super) fn string<'a>(call: &Call<'a>, index: std::ffi::c_int) -> Result<&'a [u8], Fault> {
    call.text(index).ok_or_else(|| Fault::expected(index, "string", call.given(index)))
}

/// A whole number at a place, or what holds without it.
pub(super) fn integer(call: &Call<'_>, index: std::ffi::c_int, default: i64) -> Result<i64, Fault> {
    match call.given(index) {
        Given::Nothing | Given::Nil => Ok(default),
        #[expect(clippy::cast_possible_truncation, reason = "cut off at the ends of the range")]
        given => given.number().map(|n| n as i64).ok_or_else(|| Fault::expected(index, "number", given)),
    }
}

/// Whether the characters of a pattern all stand for themselves.
fn is_literal(pattern: &[u8]) -> bool {
    !pattern.iter().any(|byte| b"^$*+?.([%-".contains(byte))
}

/// The pattern without the mark that anchors it to the beginning, and whether there was one.
fn anchored(pattern: &[u8]) -> (&[u8], bool) {
    match pattern.split_first() {
        Some((b'^', rest)) => (rest, true),
        _ => (pattern, false),
    }
}

fn search(call: &Call<'_>, answer: &mut Answer, find: bool) -> Outcome {
    let (subject, pattern) = (string(call, 1)?, string(call, 2)?);
    let start = match integer(call, 3, 1)? {
        start @ 1.. => usize::try_from(start - 1).unwrap_or(usize::MAX),
        0 => 0,
        back => subject.len().saturating_sub(usize::try_from(back.unsigned_abs()).unwrap_or(usize::MAX)),
    };
    let start = start.min(subject.len());
    if find && (call.given(4).is_true() || is_literal(pattern)) {
        match memchr::memmem::find(subject.get(start..).unwrap_or_default(), pattern) {
            Some(at) => {
                answer.number((start + at + 1) as f64);
                answer.number((start + at + pattern.len()) as f64);
            }
            None => answer.nil(),
        }
        return Ok(());
    }
    let (pattern, anchored) = anchored(pattern);
    let mut matcher = Matcher::new(subject, pattern);
    let found = if anchored { matcher.at(start)?.map(|end| (start, end)) } else { matcher.from(start)? };
    match found {
        Some((start, end)) => {
            if find {
                answer.number((start + 1) as f64);
                answer.number(end as f64);
            }
            give_captures(&matcher, start, end, !find, answer)?;
        }
        None => answer.nil(),
    }
    Ok(())
}

fn give(captured: Captured, answer: &mut Answer) {
    match captured {
        Captured::Position(place) => answer.number(place as f64),
        Captured::Part { start, len } => answer.part(1, start, len),
    }
}

fn give_captures(matcher: &Matcher<'_>, start: usize, end: usize, whole: bool, answer: &mut Answer) -> Outcome {
    let count = if whole { matcher.captures().max(1) } else { matcher.captures() };
    for index in 0..count {
        give(matcher.capture(index, start, end)?, answer);
    }
    Ok(())
}

/// `(subject, pattern, from, anchored, one)`: where the next match begins and ends, from 0, and its captures, or only the
/// first. For those that go through a subject.
fn next(call: &Call<'_>, answer: &mut Answer) -> Outcome {
    let (subject, pattern) = (string(call, 1)?, string(call, 2)?);
    let from = usize::try_from(integer(call, 3, 0)?).unwrap_or(0);
    let mut matcher = Matcher::new(subject, pattern);
    let found = if call.given(4).is_true() { matcher.at(from)?.map(|end| (from, end)) } else { matcher.from(from)? };
    if let Some((start, end)) = found {
        answer.number(start as f64);
        answer.number(end as f64);
        if call.given(5).is_true() {
            give(matcher.capture(0, start, end)?, answer);
        } else {
            give_captures(&matcher, start, end, true, answer)?;
        }
    } else {
        answer.nil();
    }
    Ok(())
}

/// With a string for the replacement.
fn gsub(call: &Call<'_>, answer: &mut Answer) -> Outcome {
    let (subject, pattern, replacement) = (string(call, 1)?, string(call, 2)?, string(call, 3)?);
    let most = integer(call, 4, i64::MAX)?;
    let (pattern, anchored) = anchored(pattern);
    let mut matcher = Matcher::new(subject, pattern);
    let (mut at, mut count, mut copied) = (0, 0, 0);
    while count < most {
        let found = if anchored { matcher.at(at)?.map(|end| (at, end)) } else { matcher.from(at)? };
        let Some((start, end)) = found else { break };
        count += 1;
        answer.text.extend_from_slice(subject.get(copied..start).unwrap_or_default());
        replace(&matcher, subject, replacement, start, end, answer)?;
        copied = end;
        at = end.max(start + 1);
        if anchored || at > subject.len() || !answer.fits(0) {
            break;
        }
    }
    if count == 0 {
        answer.argument(1);
    } else {
        answer.text.extend_from_slice(subject.get(copied..).unwrap_or_default());
        answer.written(0);
    }
    answer.number(count as f64);
    Ok(())
}

fn replace(
    matcher: &Matcher<'_>,
    subject: &[u8],
    replacement: &[u8],
    start: usize,
    end: usize,
    answer: &mut Answer,
) -> Outcome {
    let mut rest = replacement;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'%' {
            answer.text.push(*byte);
            continue;
        }
        // LuaJIT reads the zero behind the string where the last character is a percent sign.
        let escaped = rest.first().copied().unwrap_or(0);
        rest = rest.get(1..).unwrap_or_default();
        let captured = match escaped {
            b'0' => Captured::Part { start, len: end - start },
            b'1'..=b'9' => matcher.capture(usize::from(escaped - b'1'), start, end)?,
            other => {
                answer.text.push(other);
                continue;
            }
        };
        match captured {
            Captured::Position(place) => super::number_into(place as f64, 14, &mut answer.text),
            Captured::Part { start, len } => {
                answer.text.extend_from_slice(subject.get(start..start + len).unwrap_or_default());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check;
    use proptest::prelude::*;

    /// Both sets of functions in one VM: LuaJIT's own under the name `own`.
    fn both() -> Lua {
        let lua = Lua::new();
        let code = "own = {find = string.find, match = string.match, gmatch = string.gmatch, gsub = string.gsub}";
        lua.load(code).exec().unwrap();
        install(&lua).unwrap();
        let code = "local function pack(ok, ...)
                if not ok then return 'error: ' .. tostring((...)):gsub('^[^:]*:%d+: ', '') end
                local list = {n = select('#', ...), ...}
                for i = 1, list.n do list[i] = type(list[i]) .. ':' .. tostring(list[i]) end
                return table.concat(list, '|')
            end
            local function all(f, s, p)
                local list = {}
                for a, b, c in f(s, p) do list[#list + 1] = tostring(a) .. ',' .. tostring(b) .. ',' .. tostring(c) end
                return table.concat(list, ';')
            end
            local uses = {
                function(l, s, p, i) return l.find(s, p, i) end,
                function(l, s, p, i) return l.find(s, p, i, true) end,
                function(l, s, p, i) return l.match(s, p, i) end,
                function(l, s, p) return all(l.gmatch, s, p) end,
                function(l, s, p, i, r) return l.gsub(s, p, r) end,
                function(l, s, p, i, r) return l.gsub(s, p, r, i) end,
                function(l, s, p) return l.gsub(s, p, function(a, b) return b or a end) end,
                function(l, s, p) return l.gsub(s, p, {a = 'x', ab = 1, b = false}) end,
                function(l, s, p) return l.gsub(s, p, function() end, 2) end,
            }
            return function(s, p, i, r)
                for n, use in ipairs(uses) do
                    local expected, actual = pack(pcall(use, own, s, p, i, r)), pack(pcall(use, string, s, p, i, r))
                    if expected ~= actual then return n .. ': expected ' .. expected .. ', got ' .. actual end
                end
                return ''
            end";
        let compare: mlua::Function = lua.load(code).set_name("=case").eval().unwrap();
        lua.globals().set("compare", compare).unwrap();
        lua
    }

    fn pattern() -> impl Strategy<Value = Vec<u8>> {
        let item = prop_oneof![
            6 => prop::sample::select(vec!["a", "b", ".", "%a", "%w", "%d", "%s", "%p", "%x", "%A", "%z", "%g", "%.", "%%", "-", "\u{e9}"]),
            3 => prop::sample::select(vec!["[ab]", "[^a]", "[a-c]", "[%a_]", "[]]", "[^]a]", "[a-]", "[%-a]", "[-a]", "[%w%s]"]),
            3 => prop::sample::select(vec!["*", "+", "-", "?"]),
            2 => prop::sample::select(vec!["(", ")", "()", "%1", "%2", "$", "^"]),
            1 => prop::sample::select(vec!["%b()", "%bab", "%f[a]", "%f[%w]", "%f[^a]"]),
            1 => prop::sample::select(vec!["%", "[", "]", "[^", "%b", "%f", "%0", "\0", "[a", "[%"]),
        ];
        prop::collection::vec(item, 0..7).prop_map(|items| items.concat().into_bytes())
    }

    fn subject() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(prop::sample::select(b"aabbc()1 _-.\0\xe9A".to_vec()), 0..12)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]
        #[test]
        fn patterns_match_as_in_luajit(
            s in subject(), p in pattern(), i in -14i32..14,
            r in prop::sample::select(vec!["", "x", "<%0>", "%1", "%2%1", "%%", "%", "%a", "1%"]),
        ) {
            thread_local!(static LUA: Lua = both());
            let difference = LUA.with(|lua| {
                let compare: mlua::Function = lua.globals().get("compare").unwrap();
                compare.call::<String>((lua.create_string(&s).unwrap(), lua.create_string(&p).unwrap(), i, r)).unwrap()
            });
            prop_assert_eq!(difference, "");
        }
    }

    #[test]
    fn arguments_are_taken_as_luajit_takes_them() {
        let lua = both();
        for code in [
            "compare(12.5, 5)",
            "compare('a1', 1)",
            "compare({}, 'a')",
            "compare('a', nil)",
            "compare('a', {})",
            "compare('a', 'a', 'x')",
            "compare('a', 'a', '1')",
            "compare('abc', 'b', 1.7)",
            "compare('abc', 'b', 1, 5)",
            "compare('abc', 'b', 1, true)",
            "compare('a', ('(a)'):rep(33))",
            "compare(('x'):rep(32), ('(x)'):rep(32))",
            "compare(('x'):rep(250), ('x?'):rep(250))",
        ] {
            let result: String = lua.load(format!("return {code}")).eval().unwrap();
            assert!(result.is_empty() || result.contains("bad argument"), "{code}: {result}");
        }
        check(
            &lua,
            "local _ = string.gsub('abc', '%w', {a = {}})",
            "error: case:1: invalid replacement value (a table)",
        );
        check(
            &lua,
            "return pcall(string.gsub, 'abc', 'b')",
            "false bad argument #3 to 'gsub' (string/function/table expected, got no value)",
        );
        check(&lua, "return ('abc'):find('b', 1, true), ('x'):gsub('', '-')", "2 -x- 2");
    }

    #[test]
    fn patterns_that_would_take_ages_are_errors() {
        let lua = both();
        let begun = crate::testing::processor_time();
        for code in [
            "string.find(('a'):rep(30000), '.-.-.-.-b')",
            "string.match(('a'):rep(30000), 'a*a*a*a*b')",
            "string.gsub(('a'):rep(30000), '.-.-.-b', '')",
            "string.gmatch(('a'):rep(30000), '.-.-.-b')()",
            "string.gsub(('a'):rep(30000), '.-.-.-b', print)",
            "string.find(('('):rep(100000), '%b()')",
            "string.find(('a'):rep(30000), '(a*)%1*%1b')",
        ] {
            let error = crate::testing::results(&lua, code);
            assert!(error.starts_with("error: ") && error.ends_with("pattern too complex"), "{code}: {error}");
        }
        check(&lua, "return string.find(('a'):rep(2000000), ('a'):rep(1000000) .. 'b', 1, true)", "nil");
        check(&lua, "return #string.match(('a'):rep(3000000), '^(.-)$')", "3000000");
        let took = crate::testing::processor_time() - begun;
        assert!(took.as_secs() < 3, "{took:?}");
    }
}
