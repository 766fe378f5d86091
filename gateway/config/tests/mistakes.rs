//! Mistakes made by a machine, for every option that there is: each is refused at its line and column, in words of our own,
//! with what was expected and with a remedy; and where the remedy can be followed by a machine, the file is right then.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper of tests may panic like a test")]
#![allow(clippy::indexing_slicing, clippy::string_slice, reason = "of the tests' own texts")]

#[path = "library_words.rs"]
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;

use toml::de::{DeTable, DeValue};
use witgate_config::{Diagnostic, OptionKey, OptionTable, options, parse};

/// Every option, each at least once.
const EVERY_KEY: &str = include_str!("valid/every_key.toml");

/// An option where it stands in the file.
struct Found {
    table: OptionTable,
    option: OptionKey,
    key: Range<usize>,
    value: Range<usize>,
    /// Of the table: behind its header, or behind its brace.
    is_inline: bool,
}

impl Found {
    fn name(&self) -> String {
        format!("{}.{}", self.table.path, self.option.name)
    }

    fn key_and_value(&self) -> &'static str {
        &EVERY_KEY[self.key.start..self.value.end]
    }

    fn text(&self) -> &'static str {
        &EVERY_KEY[self.value.clone()]
    }
}

/// The first place of each option.
fn found() -> Vec<Found> {
    let tree = DeTable::parse(EVERY_KEY).unwrap();
    let mut found = BTreeMap::new();
    walk(tree.get_ref(), "", false, &options(), &mut found);
    found.into_values().collect()
}

fn walk(
    table: &DeTable<'_>,
    path: &str,
    is_inline: bool,
    options: &[OptionTable],
    found: &mut BTreeMap<(String, &'static str), Found>,
) {
    let at = |path: &str| options.iter().find(|table| table.path == path);
    for (key, value) in table {
        let below = if path.is_empty() { key.get_ref().to_string() } else { format!("{path}.{}", key.get_ref()) };
        // A table in braces begins with one.
        let in_braces = |value: &toml::Spanned<DeValue<'_>>| EVERY_KEY[value.span()].starts_with('{');
        let mut descend = |value: &toml::Spanned<DeValue<'_>>, path: &str| {
            if let DeValue::Table(inner) = value.get_ref() {
                walk(inner, path, is_inline || in_braces(value), options, found);
            }
        };
        let (named, listed) = (format!("{below}.NAME"), format!("{below}[]"));
        if let (Some(_), DeValue::Table(inner)) = (at(&named), value.get_ref()) {
            inner.iter().for_each(|(_, value)| descend(value, &named));
        } else if let (Some(_), DeValue::Array(items)) = (at(&listed), value.get_ref()) {
            items.iter().for_each(|value| descend(value, &listed));
        } else if at(&below).is_some() {
            descend(value, &below);
        } else if let Some(table) = at(path) {
            let option = table.keys.iter().find(|option| option.name == key.get_ref()).unwrap();
            let (key, value) = (key.span(), value.span());
            found.entry((path.to_owned(), option.name)).or_insert_with(|| Found {
                table: table.clone(),
                option: option.clone(),
                key,
                value,
                is_inline,
            });
        }
    }
}

/// A mistake, and what has to be said of it.
struct Mistake {
    what: String,
    text: String,
    /// Byte of the text at which it stands.
    at: usize,
    /// One of these has to be in the message.
    says: Vec<String>,
    /// In the remedy.
    helps: Vec<String>,
    remedy: Remedy,
}

/// What following the help means.
enum Remedy {
    /// Replacing what stands there by what the help names between backticks or quotes.
    Replace(Range<usize>),
    /// Removing it.
    Remove(Range<usize>),
    /// Adding the line that the help names below the byte.
    Add(usize),
    /// A person has to decide.
    Decide,
}

fn replaced(range: Range<usize>, by: &str) -> String {
    [&EVERY_KEY[..range.start], by, &EVERY_KEY[range.end..]].concat()
}

/// The text with a key, its value, and the comma or line break behind it taken out.
fn without(found: &Found) -> String {
    let rest = &EVERY_KEY[found.value.end..];
    let before = EVERY_KEY[..found.key.start].trim_end();
    if !found.is_inline {
        let end = rest.find('\n').map_or(rest.len(), |end| end + 1);
        return [&EVERY_KEY[..found.key.start], &rest[end..]].concat();
    }
    match rest.trim_start().strip_prefix(',') {
        Some(rest) => [&EVERY_KEY[..found.key.start], rest.trim_start()].concat(),
        None => [before.strip_suffix(',').unwrap_or(before), rest].concat(),
    }
}

/// Without one of its letters.
fn mistyped(name: &str) -> String {
    let at = name.len() / 2;
    [&name[..at], &name[at + 1..]].concat()
}

/// Bounds of "from A to B", as they stand there.
fn bounds(value: &str) -> Option<(&str, &str)> {
    let (least, rest) = value.split_once(" from ")?.1.split_once(" to ")?;
    let most = if let Some(quoted) = rest.strip_prefix('"') {
        &rest[..quoted.find('"')? + 2]
    } else {
        rest.split([',', ' ']).next()?
    };
    Some((least, most))
}

fn words_of(value: &str) -> Vec<&str> {
    value.split('"').skip(1).step_by(2).collect()
}

fn mistakes() -> Vec<Mistake> {
    let all = found();
    let tables = options();
    let mut mistakes = Vec::new();
    for found in &all {
        spelling(found, &mut mistakes);
        values(found, &mut mistakes);
        presence(found, &mut mistakes);
        syntax(found, &mut mistakes);
        moved(found, &tables, &mut mistakes);
    }
    headers(&tables, &mut mistakes);
    mistakes
}

fn spelling(found: &Found, mistakes: &mut Vec<Mistake>) {
    let wrong = mistyped(found.option.name);
    let is_another = found.table.keys.iter().any(|key| key.name == wrong);
    let end = found.key.start + wrong.len();
    if !is_another {
        mistakes.push(Mistake {
            what: format!("{} mistyped", found.name()),
            text: replaced(found.key.clone(), &wrong),
            at: found.key.start,
            says: vec![format!("unknown key `{wrong}`: expected one of")],
            helps: vec![format!("did you mean `{}`?", found.option.name)],
            remedy: Remedy::Replace(found.key.start..end),
        });
    }
    let dashed = found.option.name.replace('_', "-");
    if dashed != found.option.name {
        mistakes.push(Mistake {
            what: format!("{} with dashes", found.name()),
            text: replaced(found.key.clone(), &dashed),
            at: found.key.start,
            says: vec!["unknown key".into()],
            helps: vec![format!("did you mean `{}`?", found.option.name)],
            remedy: Remedy::Replace(found.key.start..found.key.start + dashed.len()),
        });
    }
}

fn values(found: &Found, mistakes: &mut Vec<Mistake>) {
    let mut wrong = |what: &str, value: &str, remedy: Remedy| {
        mistakes.push(Mistake {
            what: format!("{}: {what}", found.name()),
            text: replaced(found.value.clone(), value),
            at: found.value.start,
            says: vec!["expected ".into()],
            helps: Vec::new(),
            remedy,
        });
    };
    let text = found.text();
    let option = &found.option;
    wrong("a date", "1979-05-27", Remedy::Decide);
    match text.chars().next() {
        Some('"' | '\'') => wrong("a number for text", "7", Remedy::Decide),
        Some('[') => wrong("a switch for a list", "true", Remedy::Decide),
        Some('{') => wrong("text for a table", "\"table\"", Remedy::Decide),
        _ => wrong("text for a number or switch", "\"seven\"", Remedy::Decide),
    }
    if option.value.starts_with("a duration") || option.value.starts_with("a size") {
        wrong("without a unit", "\"5\"", Remedy::Decide);
        wrong("a fraction", "\"1.5MiB\"", Remedy::Decide);
        wrong("words for a unit", "\"5 seconds\"", Remedy::Decide);
    }
    let is_unit = |bound: &str| bound.starts_with('"');
    if let Some((least, most)) = bounds(&option.value).filter(|_| !text.starts_with('[')) {
        let value = |range: &str| found.value.start..found.value.start + range.len();
        // Of two that bound each other, the nearest that is allowed for one may be too much for the other.
        let is_bound = ["backoff", "backoff_limit"].contains(&option.name);
        let replace = |range: Range<usize>| if is_bound { Remedy::Decide } else { Remedy::Replace(range) };
        let is_measure = option.value.starts_with("a duration") || option.value.starts_with("a size");
        if is_unit(least) && is_measure {
            let far = if option.value.starts_with("a size") { "\"9000GiB\"" } else { "\"9000h\"" };
            wrong("too much", far, replace(value(far)));
            if !least.starts_with("\"0") {
                let far = if option.value.starts_with("a size") { "\"0B\"" } else { "\"0ms\"" };
                wrong("too little", far, replace(value(far)));
            }
        } else if let Ok(most) = most.parse::<i64>() {
            let far = (most + 1).to_string();
            wrong("too much", &far, Remedy::Decide);
        }
    }
    let is_choice = option.value.starts_with('"') && words_of(&option.value).len() > 1 && !option.value.contains(':');
    if is_choice {
        let words = words_of(&option.value);
        // The one that is there, so that it goes with the other keys.
        let word = words.iter().find(|word| **word == text.trim_matches('"')).unwrap_or(&words[0]);
        let near = format!("\"{}\"", mistyped(word));
        let inside = found.value.start + 1..found.value.start + near.len() - 1;
        // One of two letters is too short for guesses.
        let remedy = if word.len() > 2 { Remedy::Replace(inside) } else { Remedy::Decide };
        wrong("a mistyped word", &near, remedy);
        wrong("another word", "\"purple\"", Remedy::Decide);
    }
    if option.value.starts_with("the name of a `[") {
        wrong("a name that is not there", "\"nowhere\"", Remedy::Decide);
    }
}

fn presence(found: &Found, mistakes: &mut Vec<Mistake>) {
    if found.option.required {
        let text = without(found);
        mistakes.push(Mistake {
            what: format!("{} missing", found.name()),
            at: usize::MAX,
            text,
            says: vec!["missing: expected ".into()],
            helps: vec![format!("add `{} = ", found.option.name)],
            // The example may be another one's name.
            remedy: if found.option.name == "name" { Remedy::Decide } else { Remedy::Add(found.key.start) },
        });
    }
    let separator = if found.is_inline { ", " } else { "\n" };
    let again = format!("{}{separator}", found.key_and_value());
    let text = replaced(found.key.start..found.key.start, &again);
    mistakes.push(Mistake {
        what: format!("{} twice", found.name()),
        text,
        at: found.key.start + again.len(),
        says: vec![format!("expected each key once: `{}`", found.option.name)],
        helps: vec!["remove one of the two".into()],
        remedy: Remedy::Remove(found.key.start..found.key.start + again.len()),
    });
}

fn syntax(found: &Found, mistakes: &mut Vec<Mistake>) {
    let text = found.text();
    let plain = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    // What is a value of another kind without its quotes is another mistake.
    let is_word = |text: &&str| {
        text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c))
            && text.starts_with(|c: char| c.is_ascii_alphabetic())
            && !["true", "false", "inf", "nan"].contains(text)
    };
    if let Some(plain) = plain.filter(is_word) {
        mistakes.push(Mistake {
            what: format!("{} without quotes", found.name()),
            text: replaced(found.value.clone(), plain),
            at: found.value.start,
            says: vec!["expected a value, got ".into()],
            helps: vec!["quotes".into()],
            remedy: Remedy::Decide,
        });
    }
    if !found.is_inline && !text.contains('\n') {
        mistakes.push(Mistake {
            what: format!("{} without a value", found.name()),
            text: replaced(found.value.clone(), ""),
            at: usize::MAX,
            says: vec!["expected a value, got the end of the line".into()],
            helps: vec!["write a value after `=`".into()],
            remedy: Remedy::Decide,
        });
        let colon = format!("{}: {text}", found.option.name);
        mistakes.push(Mistake {
            what: format!("{} with a colon", found.name()),
            text: replaced(found.key.start..found.value.end, &colon),
            at: usize::MAX,
            says: vec![format!("expected `=` and a value after `{}`", found.option.name)],
            helps: vec![format!("write `{} = …`", found.option.name)],
            remedy: Remedy::Decide,
        });
    }
}

/// The key in a table that does not have it.
fn moved(found: &Found, tables: &[OptionTable], mistakes: &mut Vec<Mistake>) {
    let headers = ["[runtime]\n", "[buckets.per-key]\n", "[[listeners]]\n"];
    let other = headers.iter().find(|header| {
        let path = header.trim().trim_matches(['[', ']']).replace("per-key", "NAME");
        let path = if header.starts_with("[[") { format!("{path}[]") } else { path };
        let known = tables.iter().find(|table| table.path == path).unwrap();
        path != found.table.path
            && !known.keys.iter().any(|key| near(key.name, found.option.name))
            && !tables.iter().any(|table| table.path.starts_with(&format!("{path}.{}", found.option.name)))
    });
    let Some(header) = other else { return };
    let at = EVERY_KEY.find(header).unwrap() + header.len();
    let line = format!("{}\n", found.key_and_value().replace('\n', " "));
    let homes = tables.iter().filter(|table| table.keys.iter().any(|key| key.name == found.option.name)).count();
    let mut helps = vec!["move it to ".into()];
    // Of very many it names only some.
    helps.extend((homes <= 3).then(|| found.table.header.clone()));
    mistakes.push(Mistake {
        what: format!("{} in `{}`", found.name(), header.trim()),
        text: replaced(at..at, &line),
        at,
        says: vec![format!("unknown key `{}`: expected one of", found.option.name)],
        helps,
        remedy: Remedy::Remove(at..at + line.len()),
    });
}

/// Close enough for the message to ask whether it was meant.
fn near(one: &str, other: &str) -> bool {
    let (one, other): (BTreeSet<char>, BTreeSet<char>) = (one.chars().collect(), other.chars().collect());
    one.symmetric_difference(&other).count() <= 4
}

fn headers(tables: &[OptionTable], mistakes: &mut Vec<Mistake>) {
    let end = EVERY_KEY.len();
    for (start, line) in lines().filter(|(_, line)| line.starts_with('[') && !line.starts_with("[[")) {
        let name = line.trim_matches(['[', ']']);
        let again = format!("\n{line}\n");
        mistakes.push(Mistake {
            what: format!("{line} twice"),
            text: replaced(end..end, &again),
            at: usize::MAX,
            says: vec![format!("expected each table once: `{line}` stands in line {} already", line_of(start))],
            helps: vec!["remove one of the two".into()],
            remedy: Remedy::Remove(end..end + again.len()),
        });
        mistakes.push(Mistake {
            what: format!("{line} not closed"),
            text: replaced(start..start + line.len(), &line[..line.len() - 1]),
            at: usize::MAX,
            says: vec!["expected `]` after the name of a table".into()],
            helps: vec![format!("write `[{name}]`")],
            remedy: Remedy::Decide,
        });
    }
    for (start, line) in lines().filter(|(_, line)| line.starts_with('[') && line.contains('.')) {
        let (parent, rest) = line.trim_matches(['[', ']']).split_once('.').unwrap();
        let wrong = line.replacen(parent, &mistyped(parent), 1);
        if rest.contains('.') || line.starts_with("[[") || EVERY_KEY.matches(&format!("[{parent}.")).count() > 1 {
            continue;
        }
        mistakes.push(Mistake {
            what: format!("{wrong} for {line}"),
            text: replaced(start..start + line.len(), &wrong),
            at: start + 1,
            says: vec![format!("unknown key `{}`: expected one of", mistyped(parent))],
            helps: vec![format!("did you mean `{parent}`?")],
            remedy: Remedy::Replace(start + 1..start + 1 + parent.len() - 1),
        });
    }
    // Tables in the wrong place: by themselves, and in another table.
    for table in tables.iter().filter(|table| table.path.contains('.') && !table.path.ends_with(".NAME")) {
        let name = table.path.trim_end_matches("[]").rsplit('.').next().unwrap();
        let keys: Vec<_> = table.keys.iter().take(2).map(|key| format!("{} = {}\n", key.name, key.example)).collect();
        for parent in ["", "runtime."] {
            let (open, close) = if table.path.ends_with("[]") { ("[[", "]]") } else { ("[", "]") };
            let header = format!("\n{open}{parent}{name}{close}\n");
            let added = format!("{header}{}", keys.concat());
            mistakes.push(Mistake {
                what: format!("{} as {}", table.header, header.trim()),
                text: replaced(end..end, &added),
                at: end + 1 + open.len() + parent.len(),
                says: vec![format!("unknown key `{name}`: expected one of")],
                helps: vec!["write ".into(), table.header.clone()],
                remedy: Remedy::Remove(end..end + added.len()),
            });
        }
    }
}

fn lines() -> impl Iterator<Item = (usize, &'static str)> {
    EVERY_KEY.split_inclusive('\n').scan(0, |at, line| {
        let start = *at;
        *at += line.len();
        Some((start, line.trim_end()))
    })
}

fn line_of(offset: usize) -> usize {
    EVERY_KEY[..offset].matches('\n').count() + 1
}

/// Line and column of a byte.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..at];
    (before.matches('\n').count() + 1, before.rsplit('\n').next().unwrap().chars().count() + 1)
}

fn problems(text: &str) -> Vec<Diagnostic> {
    parse(text, Path::new("gateway.toml")).err().unwrap_or_default()
}

/// What the file is after the help has been followed; none: that takes a person.
fn followed(mistake: &Mistake, help: &str) -> Option<String> {
    let text = &mistake.text;
    let named = || {
        let quote = help.find(['`', '"'])?;
        let inner = &help[quote + 1..];
        Some(&inner[..inner.find(['`', '"'])?])
    };
    match &mistake.remedy {
        Remedy::Replace(range) => {
            // Bounds are named with their quotes.
            let by =
                if text[range.clone()].starts_with('"') { format!("\"{}\"", named()?) } else { named()?.to_owned() };
            Some([&text[..range.start], &by, &text[range.end..]].concat())
        }
        Remedy::Remove(range) => Some([&text[..range.start], &text[range.end..]].concat()),
        Remedy::Add(at) => {
            let line = help.strip_prefix("add `")?.strip_suffix('`')?;
            if text[..*at].ends_with('\n') {
                return Some([&text[..*at], line, "\n", &text[*at..]].concat());
            }
            let brace = text[..*at].rfind('{')? + 1;
            Some([&text[..brace], " ", line, ",", &text[brace..]].concat())
        }
        Remedy::Decide => None,
    }
}

/// Everything that is wrong with what is said of a mistake.
fn judge(mistake: &Mistake) -> Vec<String> {
    let problems = problems(&mistake.text);
    let mut wrong = Vec::new();
    let [problem] = problems.as_slice() else {
        let messages: Vec<_> = problems.iter().map(ToString::to_string).collect();
        return vec![format!("one mistake gives {} problems: {}", problems.len(), messages.join("\n    "))];
    };
    let told = problem.to_string();
    match problem.spot.as_ref().filter(|spot| spot.is_in_file()) {
        None => wrong.push("has no line".to_owned()),
        Some(spot) if mistake.at != usize::MAX => {
            let expected = place(&mistake.text, mistake.at);
            if (spot.line, spot.column) != expected {
                wrong.push(format!("expected at {expected:?}"));
            }
        }
        Some(_) => {}
    }
    if !mistake.says.iter().any(|says| problem.message.contains(says)) || !problem.message.contains("expected") {
        wrong.push(format!("expected it to say {:?}", mistake.says));
    }
    let help = problem.help.as_deref().unwrap_or_default();
    if help.is_empty() || !mistake.helps.iter().all(|part| help.contains(part)) {
        wrong.push(format!("expected help with {:?}", mistake.helps));
    }
    if let Some(word) = words::library_words(&format!("{}\n{help}", problem.message)) {
        wrong.push(format!("a library's words: {word:?}"));
    }
    if let Some(text) = followed(mistake, help) {
        let left = self::problems(&text);
        if let Some(problem) = left.first() {
            wrong.push(format!("the remedy does not work: {problem}"));
        }
    } else if !matches!(mistake.remedy, Remedy::Decide) {
        wrong.push("the help cannot be followed".to_owned());
    }
    wrong.iter().map(|wrong| format!("{wrong}: {told}")).collect()
}

#[test]
fn every_option_stands_in_the_file_of_all_options() {
    assert!(problems(EVERY_KEY).is_empty(), "{:#?}", problems(EVERY_KEY));
    let found: BTreeSet<_> = found().iter().map(Found::name).collect();
    let tables = options();
    let all = tables.iter().flat_map(|table| table.keys.iter().map(|key| format!("{}.{}", table.path, key.name)));
    let missing: Vec<_> = all.filter(|name| !found.contains(name)).collect();
    assert!(missing.is_empty(), "add these to tests/valid/every_key.toml: {missing:#?}");
}

#[test]
fn every_mistake_is_told_where_it_is_with_what_was_expected_and_a_remedy() {
    let mistakes = mistakes();
    assert!(mistakes.len() >= 800, "{} mistakes", mistakes.len());
    let mut wrong = Vec::new();
    for mistake in &mistakes {
        wrong.extend(judge(mistake).into_iter().map(|wrong| format!("{}:\n    {wrong}", mistake.what)));
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), mistakes.len(), wrong.join("\n"));
}

#[test]
fn many_remedies_are_followed_by_a_machine() {
    let mistakes = mistakes();
    let followed = mistakes.iter().filter(|mistake| !matches!(mistake.remedy, Remedy::Decide)).count();
    assert!(followed >= 600, "{followed} of {}", mistakes.len());
}
