//! What a case expects, and whether a response and a log are that.

use super::blocks::Block;
use super::case::{Problem, SectionValues};
use super::pattern::{self, Pattern};
use super::perl::Value;
use super::response::Response;
use super::text::{Text, show};

/// Of one response.
#[derive(Debug, Default)]
pub struct Expectation {
    status: Option<Status>,
    body: Option<Body>,
    filters: Vec<Text>,
    fields: Vec<Field>,
    raw_head: Option<Pattern>,
    raw_head_unlike: Option<Pattern>,
}

#[derive(Debug)]
enum Status {
    Is(Text),
    Like(Pattern),
}

#[derive(Debug)]
enum Body {
    Is(Text),
    Like(Pattern),
    Unlike(Pattern),
}

#[derive(Debug)]
enum Field {
    Absent(Text),
    Is(Text, Text),
    Like(Text, Pattern),
}

impl Expectation {
    /// The expectations of `count` responses.
    pub fn read(block: &Block, values: &mut SectionValues<'_>, count: usize) -> Result<Vec<Self>, Problem> {
        (0..count).map(|index| Self::read_one(block, values, index, count > 1)).collect()
    }

    fn read_one(block: &Block, values: &mut SectionValues<'_>, index: usize, several: bool) -> Result<Self, Problem> {
        let mut of = |name: &str| -> Result<Option<Value>, Problem> {
            Ok(match values.get(block, name)? {
                Some(Value::List(items)) => Some(items.get(index).cloned().unwrap_or(Value::Undefined)),
                Some(_) if several && name != "response_body_filters" => {
                    return Err(Problem::untranslatable(format!("several responses, but one {name}")));
                }
                other => other,
            })
        };
        let status = match (of("error_code_like")?, of("error_code")?) {
            (Some(pattern), _) => Status::Like(Pattern::regex(&pattern.to_text()?, "sm")?),
            (None, Some(code)) => Status::Is(code.to_text()?.trim().to_owned()),
            (None, None) => Status::Is("200".to_owned()),
        };
        let filters = match values.get(block, "response_body_filters")? {
            Some(Value::List(_)) => return Err(Problem::section("response_body_filters")),
            Some(value) => value.to_text()?.split_whitespace().map(str::to_owned).collect(),
            None => Vec::new(),
        };
        let mut of = |name: &str| -> Result<Option<Value>, Problem> {
            Ok(match values.get(block, name)? {
                Some(Value::List(items)) => Some(items.get(index).cloned().unwrap_or(Value::Undefined)),
                Some(_) if several => {
                    return Err(Problem::untranslatable(format!("several responses, but one {name}")));
                }
                other => other,
            })
        };
        let (is, like, unlike) = (of("response_body")?, of("response_body_like")?, of("response_body_unlike")?);
        let raw_head = of("raw_response_headers_like")?;
        let raw_head_unlike = of("raw_response_headers_unlike")?;
        let (exactly, matching) = (of("response_headers")?, of("response_headers_like")?);
        let body = match (is, like, unlike) {
            (Some(pattern @ Value::Pattern { .. }), ..) => Some(Body::Like(Pattern::from_value(&pattern)?)),
            (Some(text), ..) => Some(Body::Is(values.expand_expected(&text.to_text()?)?)),
            (None, Some(pattern), _) => {
                Some(Body::Like(Pattern::regex(&values.expand_expected(&pattern.to_text()?)?, "s")?))
            }
            (None, None, Some(pattern)) => {
                Some(Body::Unlike(Pattern::regex(&values.expand_expected(&pattern.to_text()?)?, "s")?))
            }
            (None, None, None) => None,
        };
        let mut fields = Vec::new();
        match (exactly, matching) {
            (Some(text), _) => {
                for (name, value) in field_lines(&text.to_text()?) {
                    fields.push(match value {
                        None => Field::Absent(name),
                        Some(value) => Field::Is(name, values.expand_expected(&value)?),
                    });
                }
            }
            (None, Some(text)) => {
                for (name, value) in field_lines(&text.to_text()?) {
                    let pattern = Pattern::regex(&format!("^{}$", value.unwrap_or_default()), "")?;
                    fields.push(Field::Like(name, pattern));
                }
            }
            (None, None) => {}
        }
        let raw = |value: Option<Value>| match value {
            None | Some(Value::Undefined) => Ok(None),
            Some(value) => Pattern::regex(&value.to_text()?, "s").map(Some),
        };
        let (raw_head, raw_head_unlike) = (raw(raw_head)?, raw(raw_head_unlike)?);
        Ok(Self { status: Some(status), body, filters, fields, raw_head, raw_head_unlike })
    }

    /// What the response has otherwise: nothing if it is as expected.
    pub fn check(&self, response: &Response) -> Vec<String> {
        let mut differences = Vec::new();
        let code = response.status.map_or_else(String::new, |status| status.to_string());
        match &self.status {
            Some(Status::Is(expected)) if *expected != code => {
                differences.push(format!("status: expected {expected}, got {code}"));
            }
            Some(Status::Like(pattern)) if !pattern.is_in(&code) => {
                differences.push(format!("status: expected {}, got {code}", pattern.source()));
            }
            _ => {}
        }
        if let Some(problem) = &response.problem {
            differences.push(format!("response: {problem}"));
        }
        differences.extend(self.fields.iter().filter_map(|field| check_field(field, response)));
        if let Some(pattern) = &self.raw_head
            && !pattern.is_in(&response.head)
        {
            differences.push(format!(
                "head: expected /{}/, got {}",
                show(pattern.source(), 200),
                show(&response.head, 400)
            ));
        }
        if let Some(pattern) = &self.raw_head_unlike
            && pattern.is_in(&response.head)
        {
            differences.push(format!("head: expected nothing like /{}/", show(pattern.source(), 200)));
        }
        differences.extend(self.check_body(response));
        differences
    }

    fn check_body(&self, response: &Response) -> Option<String> {
        let mut got = response.body.clone();
        for filter in &self.filters {
            got = match filter.as_str() {
                "uc" => got.to_ascii_uppercase(),
                "lc" => got.to_ascii_lowercase(),
                "length" => got.chars().count().to_string(),
                other => return Some(format!("the filter {other} of a body is not known")),
            };
        }
        match self.body.as_ref()? {
            Body::Is(expected) if *expected != got => Some(difference(expected, &got)),
            Body::Like(pattern) if !pattern.is_in(&got) => {
                Some(format!("body: expected /{}/, got \"{}\"", show(pattern.source(), 300), show(&got, 400)))
            }
            Body::Unlike(pattern) if pattern.is_in(&got) => {
                Some(format!("body: expected nothing like /{}/, got \"{}\"", pattern.source(), show(&got, 400)))
            }
            _ => None,
        }
    }

    /// Takes away what it says of the body if that is a page which the server itself makes; tells whether it did.
    pub fn without_error_page(&mut self) -> bool {
        let source = match &self.body {
            Some(Body::Is(text)) => text.as_str(),
            Some(Body::Like(pattern)) => pattern.source(),
            _ => return false,
        };
        let marks = ["<html", "<title", "<head", "<center", "<h1"];
        let numbers = ["500 Internal Server Error", "404 Not Found", "403 Forbidden", "302 Found", "400 Bad Request"];
        let page = marks.iter().any(|mark| source.contains(mark)) || numbers.iter().any(|mark| source.contains(mark));
        let status = match &self.status {
            Some(Status::Is(code)) => code.parse().unwrap_or(200) >= 300,
            _ => false,
        };
        // One that follows what a script had written before it failed.
        let follows = source.contains("<html") && source.contains("500 Internal Server Error");
        if page && (status || follows) {
            self.body = None;
        }
        page && (status || follows)
    }

    /// Whether it is about fields, and the length, of a response that nginx itself makes.
    pub fn is_of_nginx_itself(&self) -> bool {
        let source = match &self.body {
            Some(Body::Is(text)) => text.replace(['\n', '[', ']', '\r'], ""),
            Some(Body::Like(pattern)) => pattern.source().to_owned(),
            _ => return false,
        };
        source.contains("Server: nginx") || source.contains("ver: nginx") || source.contains("received response of ")
    }
}

fn difference(expected: &str, got: &str) -> String {
    // Long texts: from shortly before the first difference.
    let same = expected.chars().zip(got.chars()).take_while(|(e, g)| e == g).count();
    let skip = if expected.len() > 200 { same.saturating_sub(40) } else { 0 };
    let from = |text: &str| show(&text.chars().skip(skip).collect::<String>(), 400);
    let at = if skip > 0 { format!(" from character {skip} on") } else { String::new() };
    format!("body{at}: expected \"{}\", got \"{}\"", from(expected), from(got))
}

fn check_field(field: &Field, response: &Response) -> Option<String> {
    match field {
        Field::Absent(name) => {
            let got = response.field(name)?;
            Some(format!("field {name}: expected none, got \"{}\"", show(&got, 200)))
        }
        Field::Is(name, expected) => {
            let got = response.field(name).unwrap_or_default();
            let differs = got != *expected;
            differs.then(|| format!("field {name}: expected \"{}\", got \"{}\"", show(expected, 200), show(&got, 200)))
        }
        Field::Like(name, pattern) => {
            let got = response.field(name).unwrap_or_default();
            let differs = !pattern.is_in(&got);
            differs.then(|| format!("field {name}: expected /{}/, got \"{}\"", pattern.source(), show(&got, 200)))
        }
    }
}

/// `Name: value`, or `!Name` for a field that must not be there.
fn field_lines(text: &str) -> Vec<(Text, Option<Text>)> {
    let lines = text.split('\n').map(str::trim).filter(|line| !line.is_empty());
    lines
        .map(|line| match line.strip_prefix('!') {
            Some(name) => (name.trim().to_owned(), None),
            None => {
                let (name, value) = line.split_once(':').unwrap_or((line, ""));
                (name.trim().to_owned(), Some(value.trim().to_owned()))
            }
        })
        .collect()
}

/// Of the log.
#[derive(Debug, Default)]
pub struct LogExpectation {
    pub has: Vec<Pattern>,
    pub has_not: Vec<Pattern>,
    /// A pattern, and what it finds in all lines together, for each time that the case is run.
    pub grep: Option<(Pattern, Vec<Grep>)>,
    pub at_end_has: Vec<Pattern>,
    pub at_end_has_not: Vec<Pattern>,
}

#[derive(Debug, Clone)]
pub enum Grep {
    Is(Text),
    Like(Pattern),
}

impl LogExpectation {
    pub fn read(block: &Block, values: &mut SectionValues<'_>) -> Result<Self, Problem> {
        let mut patterns = |name: &str| -> Result<Vec<Pattern>, Problem> {
            Ok(match values.get(block, name)? {
                Some(value) => pattern::list(&value)?,
                None => Vec::new(),
            })
        };
        let (has, has_not) = (patterns("error_log")?, patterns("no_error_log")?);
        let (at_end_has, at_end_has_not) = (patterns("shutdown_error_log")?, patterns("no_shutdown_error_log")?);
        let grep = match (values.get(block, "grep_error_log")?, values.get(block, "grep_error_log_out")?) {
            (Some(pattern), Some(out)) => {
                let pattern = match pattern {
                    Value::List(_) => return Err(Problem::section("grep_error_log")),
                    Value::Text(text) => Pattern::Literal(text.trim_end_matches('\n').to_owned()),
                    other => Pattern::from_value(&other)?,
                };
                let out = match out {
                    Value::List(items) => items,
                    one => vec![one],
                };
                let one = |value: &Value| -> Result<Grep, Problem> {
                    Ok(match value {
                        Value::Pattern { .. } => Grep::Like(Pattern::from_value(value)?),
                        other => Grep::Is(values.expand(&other.to_text()?)?),
                    })
                };
                Some((pattern, out.iter().map(one).collect::<Result<_, _>>()?))
            }
            _ => None,
        };
        Ok(Self { has, has_not, grep, at_end_has, at_end_has_not })
    }

    /// Whether anything that must be there is not yet, or nothing more can be seen by waiting.
    pub fn is_complete(&self, lines: &str) -> bool {
        self.grep.is_none() && self.has_not.is_empty() && self.missing(lines).next().is_none()
    }

    fn missing<'a>(&'a self, log: &'a str) -> impl Iterator<Item = &'a Pattern> {
        self.has.iter().filter(|pattern| !log.split_inclusive('\n').any(|line| pattern.is_in(line)))
    }

    /// What the log of one request has otherwise; `turn` counts the times that the case was run.
    pub fn check(&self, log: &str, turn: usize) -> Vec<String> {
        let mut differences: Vec<String> = self
            .missing(log)
            .map(|pattern| format!("log: expected a line with \"{}\"", show(pattern.source(), 300)))
            .collect();
        for pattern in &self.has_not {
            if let Some(line) = log.split_inclusive('\n').find(|line| pattern.is_in(line)) {
                let source = show(pattern.source(), 200);
                differences
                    .push(format!("log: expected no line with \"{source}\", got \"{}\"", show(line.trim_end(), 500)));
            }
        }
        if let Some((pattern, expected)) = &self.grep {
            let found = log.split_inclusive('\n').filter_map(|line| pattern.find(line));
            let found: Text =
                found.filter(|part| !part.contains('\n')).flat_map(|part| [part, "\n".to_owned()]).collect();
            let expected = if expected.len() > 1 { expected.get(turn) } else { expected.first() };
            let same = match expected {
                Some(Grep::Is(text)) => *text == found,
                Some(Grep::Like(pattern)) => pattern.is_in(&found),
                None => found.is_empty(),
            };
            if !same {
                let expected = match expected {
                    Some(Grep::Is(text)) => format!("\"{}\"", show(text, 400)),
                    Some(Grep::Like(pattern)) => format!("/{}/", show(pattern.source(), 400)),
                    None => "nothing".to_owned(),
                };
                differences
                    .push(format!("log: expected {expected} of what was looked for, got \"{}\"", show(&found, 400)));
            }
        }
        differences
    }

    /// The same for what the log has once the server has ended.
    pub fn check_end(&self, log: &str) -> Vec<String> {
        let at_end = Self { has: self.at_end_has.clone(), has_not: self.at_end_has_not.clone(), ..Self::default() };
        at_end.check(log, 0)
    }

    pub fn has_end(&self) -> bool {
        !(self.at_end_has.is_empty() && self.at_end_has_not.is_empty())
    }
}
