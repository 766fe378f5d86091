//! What is wrong with text that is not TOML, in our own words: those of the parser are for programmers.

use toml::de::Error;

use crate::node::quote;
use crate::source::{Reported, Source};

/// Characters of a line that are looked at for what somebody may have meant.
const LINE_LIMIT: usize = 200;

/// Errors for which a bracket is looked for that was not closed before: that takes reading all of the text.
const UNCLOSED_LIMIT: usize = 5;

/// What is wrong, and what to do about it.
type Words = (String, String);

/// Reports what the parser found. What follows the first error of a line is mostly caused by it, and so are the keys below a
/// header that is there a second time.
pub(crate) fn report(errors: Vec<Error>, source: &Source<'_>, text: &str) -> Option<Reported> {
    let mut failure = None;
    let mut last_line = None;
    let mut repeated_table = None;
    let mut has_broken_header = false;
    let mut told = 0;
    for error in errors {
        let offset = error.span().map_or(text.len(), |span| span.start);
        let spot = source.spot(Some(offset), "");
        if last_line.replace(spot.line) == Some(spot.line) {
            continue;
        }
        let place = Place { text, offset, line: spot.line };
        // Where something else begins is only where the parser noticed; and nothing behind it means what it seems to.
        told += 1;
        if let Some((at, bracket)) = (told <= UNCLOSED_LIMIT).then(|| place.unclosed()).flatten() {
            let close = if bracket == '[' { ']' } else { '}' };
            let spot = source.spot(Some(at), "");
            let message = format!("expected `{close}` at the end of what `{bracket}` begins here, got none");
            return Some(source.report(&spot, message, format!("close it with `{close}`")));
        }
        if let Some(format) = place.other_format() {
            let message = format!("expected TOML, got what looks like {format}");
            let help = "write `[[listeners]]`, and below it `address = \"127.0.0.1:8080\"`";
            return Some(source.report(&spot, message, help));
        }
        let is_repetition = is_repetition(error.message());
        // Without its header, what follows counts as part of the table before.
        if is_repetition && has_broken_header {
            continue;
        }
        has_broken_header |= !is_repetition && place.is_header();
        if is_repetition && repeated_table.is_some() && repeated_table == place.header().map(|(line, _)| line) {
            continue;
        }
        let (message, help) = if is_repetition {
            if place.is_header() {
                repeated_table = Some(spot.line);
            }
            repeated(&place)
        } else {
            words(&error, &place)
        };
        failure = Some(source.report(&spot, message, help));
    }
    failure
}

/// Where the parser stopped.
struct Place<'t> {
    text: &'t str,
    offset: usize,
    /// From 1.
    line: usize,
}

impl<'t> Place<'t> {
    /// What is left of the line.
    fn rest(&self) -> &'t str {
        let rest = self.text.get(self.offset..).unwrap_or_default();
        cut(rest.split(['\n', '\r']).next().unwrap_or_default())
    }

    /// The line up to here.
    fn before(&self) -> &'t str {
        let before = self.text.get(..self.offset).unwrap_or_default();
        before.rsplit('\n').next().unwrap_or_default()
    }

    fn whole_line(&self) -> &'t str {
        cut(self.text.split('\n').nth(self.line.saturating_sub(1)).unwrap_or_default().trim())
    }

    fn is_header(&self) -> bool {
        header_of(self.whole_line()).is_some()
    }

    fn is_at_end_of_line(&self) -> bool {
        let rest = self.rest().trim_start();
        rest.is_empty() || rest.starts_with('#')
    }

    /// Lines before this one, the nearest first, with their numbers.
    fn lines_before(&self) -> impl Iterator<Item = (usize, &'t str)> {
        let lines: Vec<_> = self.text.split('\n').take(self.line.saturating_sub(1)).map(str::trim).collect();
        lines.into_iter().enumerate().rev().map(|(index, line)| (index + 1, line))
    }

    /// What the line looks like that is not TOML at all.
    fn other_format(&self) -> Option<&'static str> {
        let line = self.whole_line();
        if self.line == 1 && line.starts_with('{') {
            return Some("JSON");
        }
        (line.starts_with("---") || line.starts_with("- ")).then_some("YAML")
    }

    /// The bracket before this line that is still open, if this line begins something else.
    fn unclosed(&self) -> Option<(usize, char)> {
        let line = self.whole_line();
        let bare = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "_-.".contains(c));
        let is_number = |name: &str| name.chars().all(|c| c.is_ascii_digit() || c == '.');
        let is_header = header_of(line).is_some_and(|it| line.ends_with(']') && bare(it.name) && !is_number(it.name));
        let is_key = line.split_once('=').is_some_and(|(key, _)| bare(key.trim_end()));
        let start = self.offset.saturating_sub(self.before().len());
        let (at, bracket) = open_bracket(self.text.get(..start)?)?;
        (is_header || (is_key && bracket == '[')).then_some((at, bracket))
    }

    /// The header that this line is below of, or is.
    fn header(&self) -> Option<(usize, Header<'t>)> {
        let own = header_of(self.whole_line()).map(|header| (self.line, header));
        own.or_else(|| self.lines_before().find_map(|(line, text)| Some((line, header_of(text)?))))
    }
}

/// `[name]` or `[[name]]`.
#[derive(PartialEq, Eq)]
struct Header<'t> {
    name: &'t str,
    is_list: bool,
}

impl Header<'_> {
    fn show(&self) -> String {
        let name = plain(self.name);
        if self.is_list { format!("`[[{name}]]`") } else { format!("`[{name}]`") }
    }
}

fn header_of(line: &str) -> Option<Header<'_>> {
    let inner = line.strip_prefix('[')?;
    let (inner, is_list) = inner.strip_prefix('[').map_or((inner, false), |inner| (inner, true));
    let name = inner.split(']').next().unwrap_or_default().trim();
    Some(Header { name, is_list })
}

/// The first bracket of a value that is not closed at the end of this text, which is whole lines.
fn open_bracket(text: &str) -> Option<(usize, char)> {
    let mut open: Vec<(usize, char)> = Vec::new();
    let (mut at, mut begins_line) = (0, true);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let to_end_of_line = || rest.find('\n').map_or(rest.len(), |end| end + 1);
        let string = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quotes| rest.starts_with(*quotes));
        let length = match (rest.chars().next()?, string) {
            // Headers have brackets of their own.
            ('[', _) if begins_line && open.is_empty() => to_end_of_line(),
            ('#', _) => to_end_of_line(),
            (_, Some(quotes)) => length_of_string(rest, quotes),
            (bracket @ ('[' | '{'), _) => {
                open.push((at, bracket));
                1
            }
            (']' | '}', _) => {
                open.pop();
                1
            }
            (other, _) => other.len_utf8(),
        };
        at += length.max(1);
        begins_line = text.get(..at).is_some_and(|before| before.ends_with('\n'));
    }
    open.first().copied()
}

/// Bytes of the string that text begins with. One in a single pair of quotes ends in its line at the latest.
fn length_of_string(text: &str, quotes: &str) -> usize {
    let mut at = quotes.len();
    while let Some(rest) = text.get(at..) {
        let Some(next) = rest.chars().next() else { break };
        if rest.starts_with(quotes) {
            return at + quotes.len();
        }
        if next == '\n' && quotes.len() == 1 {
            break;
        }
        let escaped = usize::from(next == '\\' && quotes.starts_with('"'));
        at += rest.chars().take(1 + escaped).map(char::len_utf8).sum::<usize>();
    }
    at.min(text.len())
}

fn is_repetition(message: &str) -> bool {
    message.starts_with("duplicate key") || message.starts_with("cannot extend value")
}

/// A table or a key that is there already.
fn repeated(place: &Place<'_>) -> Words {
    let header = header_of(place.whole_line());
    if let Some(header) = header {
        let same = place.lines_before().find_map(|(line, text)| {
            header_of(text).filter(|other| other.name == header.name).map(|other| (line, other))
        });
        return match same {
            Some((line, other)) if other.is_list != header.is_list => {
                let (one, other) = (header.show(), other.show());
                (format!("expected {other} as in line {line}, got {one}"), format!("write {other}"))
            }
            Some((line, _)) => {
                let message = format!("expected each table once: {} stands in line {line} already", header.show());
                (message, "move its keys there, or remove one of the two".to_owned())
            }
            None => {
                let message = format!("expected each table once: {} has been given above already", header.show());
                (message, "remove one of the two".to_owned())
            }
        };
    }
    let key = key_at(place.rest());
    let names = |text: &str| {
        let rest = text.strip_prefix(key).map(str::trim_start);
        !key.is_empty() && rest.is_some_and(|rest| rest.starts_with(['=', '.']))
    };
    let first = place.lines_before().take_while(|(_, text)| header_of(text).is_none()).find(|(_, text)| names(text));
    let message = match first {
        Some((line, _)) => format!("expected each key once: `{key}` stands in line {line} already"),
        None => format!("expected each key once: `{key}` is in this table already"),
    };
    (message, "remove one of the two".to_owned())
}

/// The key that text begins with.
fn key_at(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-' || c == '"')).unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

/// The value that text begins with, up to what ends it.
fn value_at(text: &str) -> &str {
    text.split([',', ']', '}', '#']).next().unwrap_or_default().trim_end()
}

/// Safe to print.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

fn cut(line: &str) -> &str {
    line.get(..line.floor_char_boundary(LINE_LIMIT)).unwrap_or_default()
}

/// What to say instead of the parser's message, which decides only what kind of mistake it is.
fn words(error: &Error, place: &Place<'_>) -> Words {
    let says = |part: &str| error.message().contains(part);
    if says("recur") {
        return tell("expected fewer levels of tables and arrays, got more than the limit", "nest less deeply");
    }
    if says("must be quoted") || says("missing value") || says("key with no value") || says("missing assignment") {
        return value(place);
    }
    if says("missing opening quote") {
        return tell("expected quotes around the text, got only those at its end", "put quotes in front of it as well");
    }
    if says("keys cannot be multi-line") {
        return tell("expected a key in one line, got one between three quotes", "write it without the quotes");
    }
    if says("unquoted key") {
        let line = place.whole_line().trim_start_matches('[');
        let found = quote(line.split(['=', ']']).next().unwrap_or_default().trim_end());
        let message = format!("expected a key of letters, digits, `-` and `_`, got {found}");
        return (message, "rename it".to_owned());
    }
    if says("unclosed table") || says("unclosed array table") || says("missing table open") {
        return unclosed_header(place);
    }
    if says("unclosed inline table") {
        return tell("expected `}` at the end of the table that `{` began, got none", "close it with `}`");
    }
    if says("unclosed array") {
        return tell("expected `]` at the end of the array that `[` began, got none", "close it with `]`");
    }
    if says("missing comma") {
        return tell("expected a comma before the next entry, got none", "put a comma before it");
    }
    if says("extra comma") {
        return tell("expected an entry, got another comma", "remove the comma");
    }
    if says("missing key") {
        return tell("expected a key before `=`, got none", "write `key = value`");
    }
    if says("extra `=`") || says("extra assignment") || says("unexpected `=`") {
        return tell("expected a value, got another `=`", "write one `=` between a key and its value");
    }
    if says("carriage return") {
        return tell(
            "expected a line break here, got half of one",
            "save the file with the line breaks of your system",
        );
    }
    if says("comment") {
        return tell("expected printable characters in a comment, got a control character", "remove the character");
    }
    if says("string") || says("escape") || says("unicode") || says("quote") {
        return text_between_quotes(place);
    }
    if says("integer") || says("leading zero") || says("sign") || says("radix") || says("digit") || says("number") {
        let found = quote(value_at(place.whole_line().split_once('=').map_or("", |(_, value)| value.trim_start())));
        let message = format!("expected a number as TOML writes it, got {found}");
        return (message, "write it without leading zeros and double signs, with `_` only between digits".to_owned());
    }
    stray(place)
}

fn tell(message: &str, help: &str) -> Words {
    (message.to_owned(), help.to_owned())
}

/// Where a value should be.
fn value(place: &Place<'_>) -> Words {
    if place.before().trim().is_empty() {
        return stray(place);
    }
    if !place.before().contains('=') {
        return missing_assignment(place);
    }
    if place.is_at_end_of_line() {
        return tell("expected a value, got the end of the line", "write a value after `=`");
    }
    let found = value_at(place.rest());
    let message = format!("expected a value, got {} without quotes", quote(found));
    let help = match found.to_lowercase().as_str() {
        "true" | "yes" | "on" => "write `true`, or put quotes around it if it is text".to_owned(),
        "false" | "no" | "off" => "write `false`, or put quotes around it if it is text".to_owned(),
        _ if found.starts_with('$') => "write the value itself: variables are not replaced here".to_owned(),
        _ => "put quotes around it: values such as \"5s\" are strings".to_owned(),
    };
    (message, help)
}

/// A line without `=`.
fn missing_assignment(place: &Place<'_>) -> Words {
    let line = place.whole_line();
    let key = key_at(line);
    let message = format!("expected `=` and a value after `{key}`, got {}", found(line.get(key.len()..)));
    let help = if line.get(key.len()..).is_some_and(|rest| rest.trim_start().starts_with(':')) {
        format!("write `{key} = …`: this is TOML, not YAML")
    } else {
        format!("write `{key} = …`")
    };
    (message, help)
}

fn found(rest: Option<&str>) -> String {
    match rest.map(str::trim).unwrap_or_default() {
        "" => "the end of the line".to_owned(),
        rest => quote(rest),
    }
}

fn unclosed_header(place: &Place<'_>) -> Words {
    let line = place.whole_line();
    let name = line.trim_start_matches('[').trim();
    let name = name.split([']', '#', ' ']).next().unwrap_or_default();
    let (open, close) = if line.starts_with("[[") { ("[[", "]]") } else { ("[", "]") };
    let name = if name.is_empty() { "NAME".to_owned() } else { plain(name) };
    let message = format!("expected `{close}` after the name of a table, got {}", found(Some(place.rest())));
    (message, format!("write `{open}{name}{close}`"))
}

fn text_between_quotes(place: &Place<'_>) -> Words {
    let rest = place.text.get(place.offset..).unwrap_or_default();
    if rest.starts_with(['\n', '\r']) || rest.is_empty() {
        return tell(
            "expected closing quotes, got the end of the line",
            "close the quotes: a string in one pair of them ends in its line",
        );
    }
    if let Some(control) = rest.chars().next().filter(|c| c.is_control()) {
        let message = format!("expected text, got the control character U+{:04X}", u32::from(control));
        return (message, "write control characters as escapes, such as `\\u001b`".to_owned());
    }
    if place.before().contains('\\') || rest.starts_with('\\') {
        return tell(
            "expected an escape such as `\\n`, `\\\"` or `\\u00e9` after the backslash, got another character",
            "write `\\\\` for a backslash, or put the text between single quotes",
        );
    }
    tell("expected text between quotes, got something else", "put one pair of quotes around the text")
}

/// Something that is no line of TOML at all.
fn stray(place: &Place<'_>) -> Words {
    let (line, before) = (place.whole_line(), place.before().trim());
    // Words that begin like `true`, `nan` or `inf` are told from values late.
    if before.ends_with('=') {
        return value(place);
    }
    if !before.is_empty() && (before.contains('=') || header_of(before).is_some()) {
        let message = format!("expected the end of the line, got {}", found(Some(place.rest())));
        return (message, "write it on a line of its own, or put `#` before a comment".to_owned());
    }
    if !key_at(line).is_empty() && !line.contains('=') {
        return missing_assignment(place);
    }
    let message = format!("expected `key = value` or `[table]`, got {}", found(Some(line)));
    (message, "write one `key = value` on a line; comments begin with `#`".to_owned())
}
