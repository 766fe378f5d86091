//! Locations of nginx, and which of them a path belongs to.

use super::super::case::Problem;
use super::super::nginx::{Body, Directive};
use super::super::pattern::Pattern;
use super::super::text::{Text, to_bytes};
use super::code::quote;

/// A location with its directives.
#[derive(Debug)]
pub struct Location {
    pub matcher: Matcher,
    pub directives: Vec<Directive>,
}

#[derive(Debug)]
pub enum Matcher {
    Exact(Text),
    /// A prefix of the text, not of segments; whether it keeps patterns from being tried.
    Prefix(Text, bool),
    Pattern(Pattern),
}

/// The location of a path, and expressions of Lua for what its pattern captured.
pub struct Found {
    pub index: usize,
    pub captures: Vec<Text>,
}

impl Location {
    pub fn read(directive: &Directive) -> Result<Self, Problem> {
        let Body::Block(directives) = &directive.body else {
            return Err(Problem::untranslatable("a location without a block"));
        };
        let words: Vec<&str> = directive.arguments.iter().map(String::as_str).collect();
        let matcher = match words.as_slice() {
            ["=", path] => Matcher::Exact((*path).to_owned()),
            ["^~", path] => Matcher::Prefix((*path).to_owned(), true),
            ["~", pattern] => Matcher::Pattern(Pattern::regex(pattern, "")?),
            ["~*", pattern] => Matcher::Pattern(Pattern::regex(pattern, "i")?),
            [path] if path.starts_with('@') => return Err(Problem::untranslatable("a named location")),
            [path] if path.starts_with('/') => Matcher::Prefix((*path).to_owned(), false),
            [path] => match path.strip_prefix('=') {
                Some(exact) => Matcher::Exact(exact.to_owned()),
                None => return Err(Problem::untranslatable("a location that begins without a slash")),
            },
            _ => return Err(Problem::untranslatable("the form of a location")),
        };
        if directives.iter().any(|directive| matches!(directive.name.as_str(), "location" | "if" | "limit_except")) {
            let inner = directives.iter().find(|d| matches!(d.name.as_str(), "location" | "if" | "limit_except"));
            return Err(Problem::untranslatable(format!("directive {}", inner.map_or("if", |d| d.name.as_str()))));
        }
        Ok(Self { matcher, directives: directives.clone() })
    }
}

/// As nginx chooses: an exact one, or the first pattern, or the longest prefix.
pub fn find(locations: &[Location], path: &str) -> Option<Found> {
    let plain = |index| Found { index, captures: Vec::new() };
    let exact =
        locations.iter().position(|location| matches!(&location.matcher, Matcher::Exact(exact) if exact == path));
    if let Some(index) = exact {
        return Some(plain(index));
    }
    let prefixes = locations.iter().enumerate().filter_map(|(index, location)| match &location.matcher {
        Matcher::Prefix(prefix, last) if path.starts_with(prefix.as_str()) => Some((prefix.len(), index, *last)),
        _ => None,
    });
    let longest = prefixes.max_by_key(|(length, ..)| *length);
    if let Some((_, index, true)) = longest {
        return Some(plain(index));
    }
    for (index, location) in locations.iter().enumerate() {
        if let Matcher::Pattern(Pattern::Regex { regex, .. }) = &location.matcher
            && let Ok(Some(captures)) = regex.captures(&to_bytes(path))
        {
            let capture =
                |n: usize| captures.get(n).map_or("", |found| std::str::from_utf8(found.as_bytes()).unwrap_or(""));
            let captures = (1..captures.len()).map(|n| quote(capture(n))).collect();
            return Some(Found { index, captures });
        }
    }
    longest.map(|(_, index, _)| plain(index))
}

/// Whether the gateway's route for `location` takes the path as nginx's location does: routes match whole segments.
pub fn is_routed_alike(location: &Location, path: &str) -> bool {
    match &location.matcher {
        Matcher::Exact(_) => true,
        Matcher::Pattern(_) => false,
        Matcher::Prefix(prefix, _) => {
            let rest = path.strip_prefix(prefix.as_str()).unwrap_or_default();
            rest.is_empty() || rest.starts_with('/') || prefix.ends_with('/')
        }
    }
}

/// For a pattern that begins with a path of its own: that path, and expressions for what it captures of a request's.
pub fn prefix_of(pattern: &Pattern) -> Option<(Text, Vec<Text>)> {
    let Pattern::Regex { source, regex } = pattern else { return None };
    let literal = source.strip_prefix('^')?;
    let end = literal.find(|c: char| !(c.is_ascii_alphanumeric() || "/_-".contains(c))).unwrap_or(literal.len());
    // A quantifier may follow the last character; only whole segments are certain.
    let (path, _) = literal.get(..end)?.rsplit_once('/')?;
    let capture = |n: usize| format!("((ngx.re.match(ngx.var.uri, {}, \"jo\") or {{}})[{n}] or \"\")", quote(source));
    let captures = (1..regex.captures_len()).map(capture).collect();
    if path.is_empty() { None } else { Some((path.to_owned(), captures)) }
}
