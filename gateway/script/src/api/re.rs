//! `ngx.re` and the module of the same name: regular expressions of Perl.
//!
//! Compiled patterns are kept whether or not the option `o` asks for it; nothing but speed tells the difference.

use std::cell::RefCell;
use std::hash::BuildHasher;
use std::ops::Range;
use std::rc::Rc;
use std::time::{Duration, Instant};

use hashbrown::{DefaultHashBuilder, HashTable};
use mlua::{Lua, Table};
use pcre2_sys::{
    PCRE2_ALLOW_EMPTY_CLASS, PCRE2_ALT_BSUX, PCRE2_ANCHORED, PCRE2_CASELESS, PCRE2_DOTALL, PCRE2_DUPNAMES,
    PCRE2_EXTENDED, PCRE2_MATCH_INVALID_UTF, PCRE2_MATCH_UNSET_BACKREF, PCRE2_MULTILINE, PCRE2_UTF,
};

use crate::pcre::{BadPattern, Matcher, Options, Regex, TOO_MUCH};
use crate::raw::{Answer, Call, Fault, Given, Outcome, function};

/// How long one call may match, all its matches together. No call-out of the watchdog stops it meanwhile.
const TIME_LIMIT: Duration = Duration::from_millis(50);
/// How many matches one call replaces before it looks at the clock.
const MATCHES_PER_LOOK: u32 = 64;
/// Most compiled patterns of a VM: OpenResty's default.
const PATTERNS_LIMIT: usize = 1024;
/// What they may take together, in bytes.
const PATTERNS_SIZE_LIMIT: usize = 16 * 1024 * 1024;
/// How much of a pattern an error repeats, in bytes.
const QUOTE_LIMIT: usize = 256;

pub(crate) fn install(lua: &Lua, ngx: &Table, preload: &Table) -> mlua::Result<()> {
    let matcher = Matcher::new().ok_or_else(|| mlua::Error::runtime("not enough memory for regular expressions"))?;
    let engine = Rc::new(RefCell::new(Engine { matcher, cache: Cache::default() }));
    let host = lua.create_table()?;
    host.raw_set("match", bound(lua, &engine, match_)?)?;
    host.raw_set("find", bound(lua, &engine, find)?)?;
    host.raw_set("next", bound(lua, &engine, next)?)?;
    host.raw_set("sub", bound(lua, &engine, sub)?)?;
    let (re, module): (Table, Table) = lua.load(include_str!("../lua/re.lua")).set_name("=witgate/re").call(host)?;
    ngx.raw_set("re", re)?;
    super::preload(lua, preload, "ngx.re", move |_| Ok(module.clone()))
}

/// What the functions of a VM share. They do not call each other, so it is never borrowed twice.
struct Engine {
    matcher: Matcher,
    cache: Cache,
}

fn bound(
    lua: &Lua,
    engine: &Rc<RefCell<Engine>>,
    run: fn(&mut Engine, &Call<'_>, &mut Answer) -> Outcome,
) -> mlua::Result<mlua::Function> {
    let engine = engine.clone();
    function(lua, &[1, 2], move |call, answer| {
        let mut engine = engine.try_borrow_mut().map_err(|_| Fault::new("a match is under way"))?;
        run(&mut engine, call, answer)
    })
}

/// Compiled patterns, by their text and options.
#[derive(Default)]
struct Cache {
    table: HashTable<Cached>,
    hasher: DefaultHashBuilder,
    size: usize,
    clock: u64,
}

struct Cached {
    flags: Box<[u8]>,
    pattern: Box<[u8]>,
    regex: Rc<Regex>,
    size: usize,
    used: u64,
}

impl Cache {
    fn get(&mut self, pattern: &[u8], flags: &[u8]) -> Result<Rc<Regex>, Failure> {
        self.clock += 1;
        let hash = self.hasher.hash_one((pattern, flags));
        if let Some(cached) = self.table.find_mut(hash, |cached| *cached.pattern == *pattern && *cached.flags == *flags)
        {
            cached.used = self.clock;
            return Ok(cached.regex.clone());
        }
        let options = options(flags)?;
        let regex = Regex::new(pattern, options).map_err(|bad| Failure::Told(complaint(pattern, &bad)))?;
        let regex = Rc::new(regex);
        // A second version for long subjects and machine code may come later; twice the size is about that.
        let size = 2 * regex.size();
        if self.table.len() >= PATTERNS_LIMIT || self.size + size > PATTERNS_SIZE_LIMIT {
            self.shrink(size);
        }
        self.size += size;
        let cached =
            Cached { flags: flags.into(), pattern: pattern.into(), regex: regex.clone(), size, used: self.clock };
        let hasher = &self.hasher;
        self.table.insert_unique(hash, cached, |other| hasher.hash_one((&*other.pattern, &*other.flags)));
        Ok(regex)
    }

    /// Forgets what was used least recently: a quarter, or more where room for so many bytes takes it.
    fn shrink(&mut self, room: usize) {
        let mut uses: Vec<u64> = self.table.iter().map(|cached| cached.used).collect();
        uses.sort_unstable();
        let mut threshold = uses.get(uses.len() / 4).copied().unwrap_or(0);
        while !self.table.is_empty() {
            let size = &mut self.size;
            self.table.retain(|cached| {
                let kept = cached.used > threshold;
                if !kept {
                    *size = size.saturating_sub(cached.size);
                }
                kept
            });
            if self.size + room <= PATTERNS_SIZE_LIMIT {
                return;
            }
            threshold = self.clock.max(threshold);
        }
    }
}

/// Why there is no result.
enum Failure {
    /// The script is told.
    Told(String),
    /// The script made a mistake that is an error.
    Raised(Fault),
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Raised(fault)
    }
}

fn exec_failed(code: i32) -> Failure {
    Failure::Told(format!("pcre_exec() failed: {code}"))
}

fn options(flags: &[u8]) -> Result<Options, Fault> {
    let mut options = Options::default();
    for flag in flags {
        options.bits |= match flag {
            b'a' => PCRE2_ANCHORED,
            b'd' => {
                options.longest = true;
                0
            }
            b'D' => PCRE2_DUPNAMES,
            b'i' => PCRE2_CASELESS,
            b'j' => {
                options.jit = true;
                0
            }
            b'J' => PCRE2_ALT_BSUX | PCRE2_ALLOW_EMPTY_CLASS | PCRE2_MATCH_UNSET_BACKREF,
            b'm' => PCRE2_MULTILINE,
            b'o' => 0,
            b's' => PCRE2_DOTALL,
            b'u' => PCRE2_UTF,
            // OpenResty leaves the check for well-formed text out, which crashes where it is not. Here what is not well-formed
            // is passed over.
            b'U' => PCRE2_UTF | PCRE2_MATCH_INVALID_UTF,
            b'x' => PCRE2_EXTENDED,
            _ => {
                let (flag, flags) = (char::from(*flag), String::from_utf8_lossy(flags));
                return Err(Fault::new(format!("unknown flag \"{flag}\" (flags \"{flags}\")")));
            }
        };
    }
    if options.longest {
        options.bits &= !PCRE2_MATCH_INVALID_UTF;
    }
    Ok(options)
}

fn complaint(pattern: &[u8], bad: &BadPattern) -> String {
    let quote = |text: &[u8]| String::from_utf8_lossy(text.get(..QUOTE_LIMIT).unwrap_or(text)).into_owned();
    let start = format!("pcre2_compile() failed: {} in \"{}\"", bad.message, quote(pattern));
    match pattern.get(bad.offset..) {
        Some(rest) if !rest.is_empty() => format!("{start} at \"{}\"", quote(rest)),
        _ => start,
    }
}

/// What each call begins with: the subject, which may be anything, the regex, and whether names stand for lists.
struct Question<'a> {
    subject: &'a [u8],
    regex: Rc<Regex>,
    lists: bool,
    deadline: Instant,
}

fn question<'a>(engine: &mut Engine, call: &Call<'a>) -> Result<Question<'a>, Failure> {
    // As `tostring` makes it of nil.
    let subject = call.text(1).unwrap_or(b"nil");
    let pattern = call.text(2).ok_or_else(|| Fault::expected(2, "string", call.given(2)))?;
    let flags = match call.given(3) {
        Given::Text(flags) => flags,
        given if !given.is_true() => b"",
        given => return Err(Fault::expected(3, "string", given).into()),
    };
    let regex = engine.cache.get(pattern, flags)?;
    Ok(Question { subject, regex, lists: flags.contains(&b'D'), deadline: Instant::now() + TIME_LIMIT })
}

/// A place in the subject from 0, of one that counts from 1. Anything below is the beginning.
fn place(given: Given<'_>) -> usize {
    match given.number() {
        #[expect(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "cut off at the ends of the range")]
        Some(place) if place > 1.0 => place as usize - 1,
        _ => 0,
    }
}

/// Ends a call that failed with so many `nil` before the message.
fn fail(failure: Failure, nils: usize, answer: &mut Answer) -> Outcome {
    match failure {
        Failure::Raised(fault) => Err(fault),
        Failure::Told(message) => {
            for _ in 0..nils {
                answer.nil();
            }
            answer.bytes(message.as_bytes());
            Ok(())
        }
    }
}

/// Gives a table of what the groups captured, or fills the one that is argument `into`.
fn captures(matcher: &Matcher, question: &Question<'_>, into: Option<std::ffi::c_int>, answer: &mut Answer) {
    let regex = &*question.regex;
    let capture = |group: usize, answer: &mut Answer| match matcher.span(group) {
        Some((from, to)) => answer.part(1, from, to - from),
        None => answer.boolean(false),
    };
    match into {
        Some(table) => answer.argument(table),
        None => answer.table(regex.groups, regex.names.len() + 1),
    }
    for group in 0..=regex.groups {
        capture(group, answer);
        answer.element(group);
    }
    let mut rest = regex.names.as_slice();
    while let Some((group, name)) = rest.first() {
        // The table of names is sorted, so those that are equal follow each other.
        let same = rest.iter().take_while(|(_, other)| other == name).count();
        let (groups, after) = rest.split_at(same);
        rest = after;
        if !question.lists {
            let group = groups.last().map_or(*group, |(group, _)| *group);
            answer.bytes(name);
            capture(group, answer);
            answer.entry();
        } else if groups.iter().any(|(group, _)| matcher.span(*group).is_some()) {
            answer.bytes(name);
            answer.table(same, 0);
            let matched = groups.iter().filter(|(group, _)| matcher.span(*group).is_some());
            for (index, (group, _)) in (1..).zip(matched) {
                capture(*group, answer);
                answer.element(index);
            }
            answer.entry();
        }
    }
}

/// `(subject, regex, flags, from, table)`: the captures, and where the next match may begin.
fn match_(engine: &mut Engine, call: &Call<'_>, answer: &mut Answer) -> Outcome {
    let into = match call.given(5) {
        given if !given.is_true() => None,
        Given::Table => Some(5),
        given => return Err(Fault::expected(5, "table", given)),
    };
    let question = match question(engine, call) {
        Ok(question) => question,
        Err(failure) => return fail(failure, 1, answer),
    };
    let from = place(call.given(4));
    match engine.matcher.run(&question.regex, question.subject, from, false, question.deadline) {
        Ok(true) => {
            captures(&engine.matcher, &question, into, answer);
            let (_, to) = engine.matcher.span(0).unwrap_or_default();
            answer.nil();
            answer.number((to + 1) as f64);
            Ok(())
        }
        Ok(false) => {
            answer.nil();
            Ok(())
        }
        Err(code) => fail(exec_failed(code), 1, answer),
    }
}

/// `(subject, regex, flags, from, group)`: where the group was matched, and where the next match may begin.
fn find(engine: &mut Engine, call: &Call<'_>, answer: &mut Answer) -> Outcome {
    let question = match question(engine, call) {
        Ok(question) => question,
        Err(failure) => return fail(failure, 2, answer),
    };
    let from = place(call.given(4));
    match engine.matcher.run(&question.regex, question.subject, from, false, question.deadline) {
        Ok(true) => {
            let group = match call.given(5).number() {
                #[expect(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "cut off at the ends")]
                Some(group) if group > 0.0 => group as usize,
                _ => 0,
            };
            let out_of_bound = group > question.regex.groups;
            match engine.matcher.span(group) {
                Some((from, to)) => {
                    answer.number((from + 1) as f64);
                    answer.number(to as f64);
                    answer.nil();
                }
                None => {
                    answer.nil();
                    answer.nil();
                    if out_of_bound { answer.bytes(b"nth out of bound") } else { answer.nil() }
                }
            }
            let (_, to) = engine.matcher.span(0).unwrap_or_default();
            answer.number((to + 1) as f64);
            Ok(())
        }
        Ok(false) => {
            answer.nil();
            Ok(())
        }
        Err(code) => fail(exec_failed(code), 2, answer),
    }
}

/// `(subject, regex, flags, from, checked, wants captures)`: where the match is, from 0, and the captures or the first group.
/// For those that go through a subject match by match.
fn next(engine: &mut Engine, call: &Call<'_>, answer: &mut Answer) -> Outcome {
    let question = match question(engine, call) {
        Ok(question) => question,
        Err(failure) => return fail(failure, 2, answer),
    };
    let from = place(call.given(4));
    let checked = call.given(5).is_true();
    match engine.matcher.run(&question.regex, question.subject, from, checked, question.deadline) {
        Ok(true) => {
            let (from, to) = engine.matcher.span(0).unwrap_or_default();
            answer.number(from as f64);
            answer.number(to as f64);
            if call.given(6).is_true() {
                captures(&engine.matcher, &question, None, answer);
            } else if let Some((from, to)) = engine.matcher.span(1) {
                answer.part(1, from, to - from);
            } else {
                answer.nil();
            }
            answer.number(after_empty(&question, from, to) as f64);
            Ok(())
        }
        Ok(false) => {
            answer.nil();
            Ok(())
        }
        Err(code) => fail(exec_failed(code), 2, answer),
    }
}

/// Where to go on after a match: behind the next character where it was empty, so as not to find it again.
fn after_empty(question: &Question<'_>, from: usize, to: usize) -> usize {
    if to > from {
        return to;
    }
    let mut place = to + 1;
    if question.regex.is_utf() {
        while question.subject.get(place).is_some_and(|byte| byte & 0xc0 == 0x80) {
            place += 1;
        }
    }
    place
}

/// A piece of the text that replaces a match.
enum Piece {
    Literal(Range<usize>),
    Group(usize),
}

/// The pieces of a template, in which `$1` and `${1}` stand for groups and `$$` for a dollar sign.
fn template(text: &[u8]) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let rest = text.get(at..)?;
        let Some(dollar) = memchr::memchr(b'$', rest) else {
            pieces.push(Piece::Literal(at..text.len()));
            break;
        };
        if dollar > 0 {
            pieces.push(Piece::Literal(at..at + dollar));
        }
        at += dollar + 1;
        match text.get(at)? {
            b'$' => {
                pieces.push(Piece::Literal(at..at + 1));
                at += 1;
            }
            first => {
                let braced = *first == b'{';
                at += usize::from(braced);
                let rest = text.get(at..)?;
                let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
                let number = std::str::from_utf8(rest.get(..digits)?).ok()?;
                if number.is_empty() {
                    return None;
                }
                // A number that is too large is that of no group.
                pieces.push(Piece::Group(number.parse().unwrap_or(usize::MAX)));
                at += digits;
                if braced {
                    if text.get(at) != Some(&b'}') {
                        return None;
                    }
                    at += 1;
                }
            }
        }
    }
    Some(pieces)
}

/// `(subject, regex, template, flags, all)`: the subject with matches replaced, and how many they were.
fn sub(engine: &mut Engine, call: &Call<'_>, answer: &mut Answer) -> Outcome {
    match substitute(engine, call, answer) {
        Ok(()) => Ok(()),
        Err(failure) => {
            answer.text.clear();
            fail(failure, 2, answer)
        }
    }
}

fn substitute(engine: &mut Engine, call: &Call<'_>, answer: &mut Answer) -> Result<(), Failure> {
    let question = question(engine, call)?;
    let text = call.text(4).unwrap_or_default();
    let all = call.given(5).is_true();
    let pieces =
        template(text).ok_or_else(|| Failure::Told("failed to compile the replacement template".to_owned()))?;
    let subject = question.subject;
    let (mut count, mut from, mut copied) = (0u32, 0, 0);
    while from <= subject.len() {
        let checked = count > 0;
        if !engine.matcher.run(&question.regex, subject, from, checked, question.deadline).map_err(exec_failed)? {
            break;
        }
        count += 1;
        if count.is_multiple_of(MATCHES_PER_LOOK) && Instant::now() >= question.deadline {
            return Err(exec_failed(TOO_MUCH));
        }
        let (start, end) = engine.matcher.span(0).unwrap_or_default();
        // With \K in a look-behind a match may begin before the last one ended.
        answer.text.extend_from_slice(subject.get(copied..start).unwrap_or_default());
        for piece in &pieces {
            let bytes = match piece {
                Piece::Literal(range) => text.get(range.clone()),
                Piece::Group(group) => engine.matcher.span(*group).and_then(|(from, to)| subject.get(from..to)),
            };
            answer.text.extend_from_slice(bytes.unwrap_or_default());
        }
        copied = copied.max(end);
        from = after_empty(&question, start, end).max(from + usize::from(end <= from && end > start));
        if !all || !answer.fits(0) {
            break;
        }
    }
    if count == 0 {
        if call.text(1).is_some() { answer.argument(1) } else { answer.bytes(subject) }
    } else {
        answer.text.extend_from_slice(subject.get(copied..).unwrap_or_default());
        answer.written(0);
    }
    answer.number(f64::from(count));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check, results, vm};

    #[test]
    fn captures_come_by_number_and_by_name() {
        let lua = vm();
        for (code, expected) in [
            (
                "local m = ngx.re.match('hello, 1234', '([0-9])(?<rest>[0-9]+)') return m[0], m[1], m[2], m.rest, #m",
                "1234 1 234 234 2",
            ),
            ("return ngx.re.match('hello', '[0-9]+')", "nil"),
            ("return #{ngx.re.match('hello', 'x')}, select('#', ngx.re.match('hello', 'h'))", "0 1"),
            (
                "local m = ngx.re.match('hello', '(world)|(hello)|(?<named>x)') return m[0], m[1], m[2], m[3], m.named",
                "hello false hello false false",
            ),
            (
                "local m = ngx.re.match('hello, 1234', '(?<a>[a-z]+), (?<a>[0-9]+)', 'D') return table.concat(m.a, '-')",
                "hello-1234",
            ),
            ("local m = ngx.re.match('test', '^(?:(?<a>foo)|(?<b>test))$', 'D') return type(m.a), m.b[1]", "nil test"),
            ("local m, err = ngx.re.match('x', '(?<a>x)(?<a>y)') return m, err ~= nil", "nil true"),
            (
                "local t = {1, 2, 3, x = 1} local m = ngx.re.match('ab', '(a)(b)', '', nil, t) return m == t, t[0], t[2], t[3], t.x",
                "true ab b 3 1",
            ),
            ("return ngx.re.match('1234', '(?<first>[a-z]*)([0-9]+)').first == ''", "true"),
            ("return ngx.re.match(12, 2)[0], ngx.re.match(nil, 'nil')[0], ngx.re.match(true, 'tr')[0]", "2 nil tr"),
            ("return ngx.re.match('hello章亦春', 'HELLO.{2}', 'iu')[0]", "hello章亦"),
            ("return ngx.re.match('你好', '.', 'U')[0]", "你"),
            (
                "return ngx.re.match('hello\\nworld', '^world', 'm')[0], ngx.re.match('a\\nb', 'a.b', 's')[0] == 'a\\nb'",
                "world true",
            ),
            ("return ngx.re.match('hello', 'l', 'a'), ngx.re.match('hello', 'he llo', 'x')[0]", "nil hello"),
            ("return ngx.re.match('over the rainbow', 'over|over the', 'd')[0]", "over the"),
            ("local m = ngx.re.match('hello', '(h)(e)', 'd') return m[0], m[1]", "he nil"),
            ("return ngx.re.match('[]', '\\\\u005B]', 'J')[0]", "[]"),
        ] {
            check(&lua, code, expected);
        }
    }

    #[test]
    fn a_context_says_where_to_begin_and_learns_where_to_go_on() {
        let lua = vm();
        for (code, expected) in [
            (
                "local ctx = {} local m = ngx.re.match('1234, hello', '([0-9]+)', '', ctx) return m[0], ctx.pos",
                "1234 5",
            ),
            (
                "local ctx = {pos = 3} local m = ngx.re.match('1234, hello', '([0-9]+)', '', ctx) return m[0], ctx.pos",
                "34 5",
            ),
            ("local ctx = {pos = -3} local m = ngx.re.match('1234', '2', '', ctx) return m[0], ctx.pos", "2 3"),
            ("local ctx = {pos = 3} local m = ngx.re.match('1234', 'x', '', ctx) return m, ctx.pos", "nil 3"),
            ("local ctx = {} local m = ngx.re.match('hello', '', '', ctx) return #m[0], ctx.pos", "0 1"),
            ("local ctx = {pos = 3} return ngx.re.match('abcabc', '^a', '', ctx)", "nil"),
            (
                "local ctx = {pos = 3} local f, t = ngx.re.find('1234, hello', [[(\\G[0-9]+)]], '', ctx) return f, t, ctx.pos",
                "3 4 5",
            ),
            ("local ctx = {pos = 99} return ngx.re.match('1234', '', '', ctx)", "nil pcre_exec() failed: -33"),
            (
                "return ngx.re.match('1234', '', '', 1)",
                "error: bad argument #4 to 'match' (table expected, got number)",
            ),
        ] {
            check(&lua, code, expected);
        }
    }

    #[test]
    fn find_tells_where_a_group_is() {
        let lua = vm();
        for (code, expected) in [
            ("return ngx.re.find('hello, 1234', '[0-9]+')", "8 11"),
            ("return ngx.re.find('hello', '[0-9]*')", "1 0"),
            ("return ngx.re.find('hello, 1234', '([0-9])([0-9]+)', 'jo', nil, 2)", "9 11"),
            ("return ngx.re.find('hello, 1234', '([0-9])([0-9]+)', 'jo', nil, 3)", "nil nil nth out of bound"),
            ("return ngx.re.find('b', '(a)|(b)', '', nil, 1)", "nil nil"),
            ("return ngx.re.find('b', 'x')", "nil"),
            (
                "return ngx.re.find('b', '(abc')",
                "nil nil pcre2_compile() failed: missing closing parenthesis in \"(abc\"",
            ),
            (
                "return ngx.re.find('b', '[a](?<)b')",
                "nil nil pcre2_compile() failed: subpattern name expected in \"[a](?<)b\" at \")b\"",
            ),
        ] {
            check(&lua, code, expected);
        }
    }

    #[test]
    fn matches_can_be_gone_through() {
        let lua = vm();
        for (code, expected) in [
            (
                "local s = {} for m in ngx.re.gmatch('hello, world', '[a-z]+', 'i') do s[#s + 1] = m[0] end return unpack(s)",
                "hello world",
            ),
            ("local n = 0 for m in ngx.re.gmatch('hello', 'a|') do n = n + 1 end return n", "6"),
            ("local s = {} for m in ngx.re.gmatch('你好', '', 'u') do s[#s + 1] = 'x' end return #s", "3"),
            ("local i = ngx.re.gmatch('ab', '(?<x>[a-z])') local m = i() return m.x, i()[1], i(), i()", "a b nil nil"),
            ("return ngx.re.gmatch('ab', '(')", "nil pcre2_compile() failed: missing closing parenthesis in \"(\""),
            ("local i = ngx.re.gmatch('\\228', 'a', 'u') return i()", "nil pcre_exec() failed: -4"),
            ("return type(ngx.re.gmatch('', 'x')), ngx.re.gmatch('', 'x')()", "function nil"),
        ] {
            check(&lua, code, expected);
        }
    }

    #[test]
    fn matches_are_replaced_by_templates() {
        let lua = vm();
        for (code, expected) in [
            ("return ngx.re.sub('hello, 1234', '([0-9])[0-9]', '[$0][$1]')", "hello, [12][1]34 1"),
            ("return ngx.re.sub('b c d', '(b) (c)', '[$0] [$1] [${2}] [$3] [$134]')", "[b c] [b] [c] [] [] d 1"),
            (
                "return ngx.re.sub('b c d', '(b) (c)', '[$0] [$1] [$')",
                "nil nil failed to compile the replacement template",
            ),
            ("return ngx.re.sub('b', 'b', '${1')", "nil nil failed to compile the replacement template"),
            ("return ngx.re.sub('b', 'b', '$name')", "nil nil failed to compile the replacement template"),
            ("return ngx.re.sub('hello, world', '[a-z]+', 'ho$$wdy')", "ho$wdy, world 1"),
            ("return ngx.re.sub('hello', 'x', 'y')", "hello 0"),
            ("return ngx.re.sub('hello, 34', '([0-9])', 72)", "hello, 724 1"),
            ("return ngx.re.gsub('a b c d', [[\\w]], '[$0]')", "[a] [b] [c] [d] 4"),
            ("return ngx.re.gsub('hello', 'a|', 'b')", "bhbeblblbob 6"),
            ("return ngx.re.gsub('', 'a|', 'b')", "b 1"),
            ("return ngx.re.gsub('你好', 'a|', 'b', 'u')", "b你b好b 3"),
            ("return ngx.re.gsub('abc', '(?<=a)', '-')", "a-bc 1"),
            ("return ngx.re.gsub('TestCase', '[A-Z]', '_$0')", "_Test_Case 2"),
            (
                "return ngx.re.sub('b', '(abc', '')",
                "nil nil pcre2_compile() failed: missing closing parenthesis in \"(abc\"",
            ),
            ("return ngx.re.gsub('\\228\\189\\160\\229', '好', '', 'u')", "nil nil pcre_exec() failed: -4"),
            ("return ngx.re.gsub(nil, 'n', 'm')", "mil 1"),
        ] {
            check(&lua, code, expected);
        }
    }

    #[test]
    fn matches_are_replaced_by_functions() {
        let lua = vm();
        for (code, expected) in [
            ("return ngx.re.gsub('hello, 34', '[0-9]', function(m) return '<' .. m[0] .. '>' end)", "hello, <3><4> 2"),
            (
                "return ngx.re.sub('hello, 34', '([0-9])([0-9])', function(m) return m[2] .. m[1] end, 'o')",
                "hello, 43 1",
            ),
            ("return ngx.re.gsub('hello', 'a|', function() return 'b' end)", "bhbeblblbob 6"),
            ("return ngx.re.gsub('abc', 'b', function() return 1.5 end)", "a1.5c 1"),
            ("return ngx.re.gsub('abc', 'b', function() return nil end)", "anilc 1"),
            ("return ngx.re.gsub('abc', 'x', function() end)", "abc 0"),
            (
                "return ngx.re.gsub('abab', 'a', function(m) return (ngx.re.gsub(m[0], 'a', function() return 'x' end)) end)",
                "xbxb 2",
            ),
            (
                "return ngx.re.sub('abc', '(', function() end)",
                "nil nil pcre2_compile() failed: missing closing parenthesis in \"(\"",
            ),
        ] {
            check(&lua, code, expected);
        }
        let raising = "local ok, err = pcall(ngx.re.gsub, 'abc', 'b', function() error('mine', 0) end) return ok, err";
        check(&lua, raising, "false mine");
    }

    #[test]
    fn subjects_are_split() {
        let lua = vm();
        let split = "local split = require('ngx.re').split
            local function show(...) local t, err = split(...) if not t then return err end
                for i = 1, #t do t[i] = '<' .. t[i] .. '>' end return table.concat(t) end ";
        for (code, expected) in [
            ("return show('a,b,c,d', ',')", "<a><b><c><d>"),
            ("return show('a,b,c,d', ',', nil, nil, 3)", "<a><b><c,d>"),
            ("return show('a,b,,,', ',')", "<a><b>"),
            ("return show('a,b,,,', ',', nil, nil, 10)", "<a><b><><><>"),
            ("return show('a1b2c', '([0-9])')", "<a><1><b><2><c>"),
            ("return show('abcd', '')", "<a><b><c><d>"),
            ("return show(',a', ',')", "<><a>"),
            ("return show('', ',')", ""),
            ("return show('a,b,c', ',', nil, {pos = 3})", "<b><c>"),
            ("return show('abcd', ',')", "<abcd>"),
            ("return show('ab', '(')", "pcre2_compile() failed: missing closing parenthesis in \"(\""),
            (
                "local res = {1, 2, 3, 4, 5} split('a,b', ',', nil, nil, nil, res) return res[1], res[2], res[3]",
                "a b nil",
            ),
            ("split('a', 'b', nil, nil, nil, 1)", "error: case:4: res is not a table"),
            ("require('ngx.re').opt('nothing', 1)", "error: case:4: unrecognized option name"),
            ("return require('ngx.re').opt('jit_stack_size', 100000)", ""),
        ] {
            check(&lua, &format!("{split}\n{code}"), expected);
        }
    }

    #[test]
    fn unknown_flags_are_errors() {
        let lua = vm();
        for code in ["ngx.re.match('a', 'a', 'Hm')", "ngx.re.gsub('a', 'a', 'b', 'Hm')", "ngx.re.find('a', 'a', 'Hm')"]
        {
            let error = results(&lua, code);
            assert!(
                error.starts_with("error: ") && error.ends_with("unknown flag \"H\" (flags \"Hm\")"),
                "{code}: {error}"
            );
        }
    }

    #[test]
    fn what_takes_too_long_ends_with_an_error() {
        let lua = vm();
        let begun = crate::testing::processor_time();
        for code in [
            "return ngx.re.match(('a'):rep(50000), '(?:a*)*(b|$x)', 'jo')",
            "return select(2, ngx.re.find(('a'):rep(50000), 'a*a*a*(b|c)', ''))",
            "return select(2, ngx.re.gsub(('a'):rep(50000) .. 'b', 'a*?a*?a*?[xy]', 'x', 'j'))",
            "return select(2, ngx.re.gsub(('a'):rep(3000000), '', 'x', 'jo'))",
        ] {
            let result = results(&lua, code);
            assert!(result.starts_with("nil pcre_exec() failed: -"), "{code}: {result}");
        }
        let took = crate::testing::processor_time() - begun;
        assert!(took < Duration::from_secs(3), "{took:?}");
        crate::library::limit_results(&lua, 1_000_000);
        let grown = results(&lua, "return pcall(ngx.re.gsub, ('a'):rep(10000), 'a', ('x'):rep(10000))");
        assert_eq!(grown, "false not enough memory: the result is too large");
    }

    #[test]
    fn patterns_are_forgotten_when_they_are_many_or_large() {
        let mut cache = Cache::default();
        for i in 0..5000u32 {
            let _ = cache.get(format!("a{i}").as_bytes(), b"o");
            let _ = cache.get(b"always", b"jo");
            assert!(cache.table.len() <= PATTERNS_LIMIT);
            assert_eq!(cache.size, cache.table.iter().map(|cached| cached.size).sum::<usize>());
        }
        let always = cache.get(b"always", b"jo").ok().unwrap();
        assert!(Rc::strong_count(&always) == 2);
        for i in 0..2000u32 {
            let _ = cache.get(format!("(?:{}){i}", "[a-z]|[^é]|".repeat(400)).as_bytes(), b"ju");
            assert!(cache.size <= PATTERNS_SIZE_LIMIT);
        }
    }
}
