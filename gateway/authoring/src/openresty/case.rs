//! One case with everything that it says, read for a server that will run it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::blocks::Block;
use super::expect::{Expectation, LogExpectation};
use super::perl::{self, Scope, Unsupported, Value};
use super::request::{self, Connection};
use super::text::Text;

/// Where a case runs: what its `$TEST_NGINX_…` variables stand for.
#[derive(Debug, Clone)]
pub struct Place {
    /// The checkout: some cases read files below its `t`.
    pub checkout: PathBuf,
    /// A directory of the case's own, with `html`, `logs` and `conf` in it.
    pub root: PathBuf,
    pub port: u16,
    /// Ports that nothing listens on, for `$TEST_NGINX_RAND_PORT_n`.
    pub spare_ports: Vec<u16>,
    /// Ports of servers that cases speak to, by the variable that names them.
    pub services: BTreeMap<&'static str, u16>,
    /// 1 or 2: what nginx was built with decides what some cases expect.
    pub pcre: u8,
}

/// A case, ready to be run.
#[derive(Debug)]
pub struct Case {
    pub config: Text,
    pub http_config: Text,
    pub main_config: Text,
    pub files: Vec<UserFile>,
    pub connections: Vec<Connection>,
    /// One for each response; empty if responses do not matter.
    pub expectations: Vec<Expectation>,
    pub logs: LogExpectation,
    pub must_die: bool,
    pub repeat: usize,
    pub timeout_seconds: f64,
    pub wait_seconds: f64,
    /// Whether the client goes away at its time limit, instead of failing.
    pub abort: bool,
    /// Which halves of its connection the client closes after the request: as for shutdown(2).
    pub shutdown: Option<u8>,
    pub log_level: Text,
    pub workers: usize,
    pub master: bool,
    pub root_location: bool,
}

#[derive(Debug, PartialEq)]
pub struct UserFile {
    pub path: Text,
    pub content: Text,
}

/// Why a case does not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// The case says so itself.
    Skipped(String),
    Untranslatable(String),
}

impl Problem {
    pub fn untranslatable(reason: impl Into<String>) -> Self {
        Self::Untranslatable(reason.into())
    }

    /// A section does not say what it should.
    pub fn section(name: &str) -> Self {
        Self::Untranslatable(format!("the form of section {name}"))
    }
}

impl From<Unsupported> for Problem {
    fn from(unsupported: Unsupported) -> Self {
        Self::Untranslatable(unsupported.to_string())
    }
}

/// Sections that are read, here or by `request` and `expect`.
const READ: [&str; 43] = [
    "config",
    "http_config",
    "main_config",
    "user_files",
    "request",
    "raw_request",
    "raw_request_middle_delay",
    "pipelined_requests",
    "more_headers",
    "response_body",
    "response_body_like",
    "response_body_unlike",
    "response_body_filters",
    "response_headers",
    "response_headers_like",
    "raw_response_headers_like",
    "raw_response_headers_unlike",
    "error_code",
    "error_code_like",
    "error_log",
    "no_error_log",
    "grep_error_log",
    "grep_error_log_out",
    "shutdown_error_log",
    "no_shutdown_error_log",
    "must_die",
    "timeout",
    "wait",
    "abort",
    "shutdown",
    "ignore_response",
    "log_level",
    "skip_nginx",
    "skip_openssl",
    "skip_eval",
    "SKIP",
    "ONLY",
    "LAST",
    "todo",
    "init",
    "post_main_config",
    "tcp_listen",
    "udp_listen",
];

/// Sections that say nothing of what the gateway or nginx does over HTTP/1: for tracing with SystemTap, for other
/// protocols, and some that are misspelt where they stand.
const IGNORED: [&str; 22] = [
    "stap",
    "stap2",
    "stap3",
    "stap_out",
    "stap_out2",
    "stap_out3",
    "stap_out_like",
    "stap_out_unlike",
    "no_check_leak",
    "no_http2",
    "no_http3",
    "quic_max_idle_timeout",
    "curl_error",
    "ignore_response_body",
    "response",
    "response_body2",
    "response_header",
    "request_body_unlike",
    "more_headers2",
    "error_log_file",
    "no_mockeagain",
    "access_log",
];

/// What no server reaches from where cases run, by what the configuration has in it.
const UNREACHABLE: [(&str, &str); 8] = [
    ("0.0.0.1", "an address that nobody has"),
    ("127.0.0.2:12345", "an address of which packets get lost"),
    ("127.0.0.2\", 12345", "an address of which packets get lost"),
    ("agentzh.org", "a host of the internet"),
    ("openresty.org", "a host of the internet"),
    ("google.com", "a host of the internet"),
    ("taobao.com", "a host of the internet"),
    ("8.8.8.8", "a host of the internet"),
];

/// What a file's preamble says of all its cases.
#[derive(Debug)]
pub struct Preamble {
    scope: Scope,
    text: Text,
    additions: Vec<Addition>,
}

/// What a preamble adds to each case.
#[derive(Debug, PartialEq)]
enum Addition {
    /// Unless the case has the section itself.
    Default {
        section: Text,
        value: Text,
        unless: Text,
    },
    HttpConfig(Text),
}

impl Preamble {
    pub fn read(text: &str, place: &Place) -> Self {
        let mut scope = Scope::default();
        let root = place.root.display().to_string();
        scope.functions.insert("html_dir", format!("{root}/html"));
        scope.functions.insert("server_root", root.clone());
        scope.functions.insert("cwd", place.checkout.display().to_string());
        scope.files = Some(place.checkout.clone());
        scope.set("Test::Nginx::Util::PcreVersion", Value::text(place.pcre.to_string()));
        // Of Debian 12, in the form in which Test::Nginx compares versions.
        scope.set("Test::Nginx::Util::NginxVersion", Value::text("1.022001"));
        for (name, port) in &place.services {
            scope.environment.insert((*name).to_owned(), port.to_string());
        }
        scope.environment.insert("TEST_NGINX_SERVER_PORT".to_owned(), place.port.to_string());
        scope.environment.insert("TEST_NGINX_CLIENT_PORT".to_owned(), place.port.to_string());
        scope.environment.insert("TEST_NGINX_SERVER_ROOT".to_owned(), root.clone());
        scope.environment.insert("TEST_NGINX_HTML_DIR".to_owned(), format!("{root}/html"));
        scope.environment.insert("TEST_NGINX_CERT_DIR".to_owned(), place.checkout.join("t").display().to_string());
        perl::evaluate_preamble(text, &mut scope);
        // Nobody answers questions for names of the internet.
        scope.environment.insert("TEST_NGINX_RESOLVER".to_owned(), "127.0.0.1".to_owned());
        let additions = additions(text);
        Self { scope, text: text.to_owned(), additions }
    }

    fn number(&self, function: &str) -> Option<usize> {
        let value = self.scope.calls(function)?.first()?;
        value.to_text().ok()?.trim().parse().ok()
    }

    fn calls(&self, function: &str) -> bool {
        self.scope.calls(function).is_some()
    }

    /// Why none of the file's cases can run, if so.
    fn problem(&self) -> Option<Problem> {
        let reasons = [
            ("TEST_NGINX_USE_HUP} = 1", "cases that follow each other by reloads"),
            ("$ENV{MOCKEAGAIN} =", "a library that delays system calls (mockeagain)"),
        ];
        let reason = reasons.iter().find(|(mark, _)| self.text.contains(mark));
        reason.map(|(_, reason)| Problem::untranslatable(*reason))
    }
}

/// What `add_block_preprocessor` does, in the two forms that files use.
fn additions(text: &str) -> Vec<Addition> {
    let Some((_, code)) = text.split_once("add_block_preprocessor(sub {") else { return Vec::new() };
    let code = code.split("\n});").next().unwrap_or_default();
    let mut additions = Vec::new();
    let mut unless = Text::new();
    let mut rest = code;
    while let Some((line, after)) = rest.split_once('\n') {
        rest = after;
        let line = line.trim();
        if let Some(section) = line.strip_prefix("if (!defined $block->").and_then(|l| l.split([')', ' ']).next()) {
            unless = section.to_owned();
        } else if let Some((_, mark)) = line.split_once("$http_config .= <<") {
            let mark = mark.trim_matches(['\'', '"', ';']);
            if let Some((body, after)) = rest.split_once(&format!("\n{mark}\n")) {
                additions.push(Addition::HttpConfig(format!("{body}\n")));
                rest = after;
            }
        } else if let Some((section, value)) =
            line.strip_prefix("$block->set_value(\"").and_then(|l| l.split_once("\", \""))
        {
            let value = value.strip_suffix("\");").unwrap_or(value).to_owned();
            additions.push(Addition::Default { section: section.to_owned(), value, unless: unless.clone() });
        }
    }
    additions
}

/// Values of a block's sections, with their filters applied.
pub struct SectionValues<'a> {
    scope: Scope,
    place: &'a Place,
    additions: &'a [Addition],
}

impl SectionValues<'_> {
    pub fn get(&mut self, block: &Block, name: &str) -> Result<Option<Value>, Problem> {
        let Some(section) = block.section(name) else {
            let default = self.additions.iter().find_map(|addition| match addition {
                Addition::Default { section, value, unless } if section == name && !block.has(unless) => Some(value),
                _ => None,
            });
            return Ok(default.map(Value::text));
        };
        let mut value = Value::text(section.text.clone());
        for filter in &section.filters {
            value = match filter.as_str() {
                "chomp" => {
                    let text = value.to_text()?;
                    Value::text(text.strip_suffix('\n').unwrap_or(&text))
                }
                "chop" => {
                    let mut text = value.to_text()?;
                    text.pop();
                    Value::Text(text)
                }
                "eval" => perl::evaluate(&value.to_text()?, &mut self.scope)?,
                other => return Err(Problem::untranslatable(format!("the filter {other}"))),
            };
        }
        Ok(Some(value))
    }

    pub fn text(&mut self, block: &Block, name: &str) -> Result<Option<Text>, Problem> {
        Ok(match self.get(block, name)? {
            Some(value) => Some(value.to_text()?),
            None => None,
        })
    }

    fn expanded(&mut self, block: &Block, name: &str) -> Result<Text, Problem> {
        let text = self.text(block, name)?.unwrap_or_default();
        self.expand(&text)
    }

    fn seconds(&mut self, block: &Block, name: &str) -> Result<Option<f64>, Problem> {
        let Some(text) = self.text(block, name)? else { return Ok(None) };
        let text = text.trim();
        let seconds = match text.strip_suffix("ms") {
            Some(milliseconds) => milliseconds.parse().map(|ms: f64| ms / 1000.0),
            None => text.strip_suffix('s').unwrap_or(text).parse(),
        };
        seconds.map(Some).map_err(|_| Problem::section(name))
    }

    /// Puts in what `$TEST_NGINX_…` and `$ServerPort` stand for.
    pub fn expand(&self, text: &str) -> Result<Text, Problem> {
        let mut expanded = Text::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find("$TEST_NGINX_") {
            expanded.push_str(rest.get(..at).unwrap_or_default());
            let from = rest.get(at + 1..).unwrap_or_default();
            let end =
                from.find(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')).unwrap_or(from.len());
            let (name, after) = from.split_at(end);
            let spare = name.strip_prefix("TEST_NGINX_RAND_PORT_").and_then(|n| n.parse::<usize>().ok());
            let spare = spare.and_then(|n| self.place.spare_ports.get(n.checked_sub(1)?)).map(u16::to_string);
            let value = spare.or_else(|| self.scope.environment.get(name).cloned());
            expanded.push_str(&value.ok_or_else(|| Problem::untranslatable(format!("the variable ${name}")))?);
            rest = after;
        }
        expanded.push_str(rest);
        Ok(expanded)
    }

    /// As [`Self::expand`], for what is expected.
    pub fn expand_expected(&self, text: &str) -> Result<Text, Problem> {
        let port = self.place.port.to_string();
        let text = text.replace("$ServerPortForClient", &port).replace("$ServerPort", &port);
        self.expand(&text)
    }
}

impl Case {
    /// Reads `block` for a run at `place`.
    pub fn read(block: &Block, preamble: &Preamble, place: &Place) -> Result<Self, Problem> {
        if block.has("SKIP") {
            return Err(Problem::Skipped("the case says so".to_owned()));
        }
        if let Some(problem) = preamble.problem() {
            return Err(problem);
        }
        if let Some(name) = block.names().find(|name| !READ.contains(name) && !IGNORED.contains(name)) {
            return Err(Problem::untranslatable(format!("section {name}")));
        }
        for name in ["init", "post_main_config", "tcp_listen", "udp_listen"] {
            if block.has(name) {
                return Err(Problem::untranslatable(format!("section {name}")));
            }
        }
        let mut values = SectionValues { scope: preamble.scope.clone(), place, additions: &preamble.additions };
        if let Some(reason) = skipped(block, &mut values)? {
            return Err(Problem::Skipped(reason));
        }
        let mut http_config = values.expanded(block, "http_config")?;
        for addition in &preamble.additions {
            if let Addition::HttpConfig(text) = addition {
                http_config.push_str(&values.expand(text)?);
            }
        }
        let config = values.expanded(block, "config")?;
        if let Some((_, reason)) =
            UNREACHABLE.iter().find(|(mark, _)| config.contains(mark) || http_config.contains(mark))
        {
            return Err(Problem::untranslatable(*reason));
        }
        let must_die = block.has("must_die");
        let connections = if must_die { Vec::new() } else { request::connections(block, &mut values)? };
        let responses = connections.iter().map(|connection| connection.responses).sum();
        let expectations = match block.has("ignore_response") {
            true => Vec::new(),
            false => Expectation::read(block, &mut values, responses)?,
        };
        let shutdown = match values.text(block, "shutdown")? {
            Some(text) if text.trim().is_empty() => Some(1),
            Some(text) => Some(text.trim().parse().map_err(|_| Problem::section("shutdown"))?),
            None => None,
        };
        let level = values.text(block, "log_level")?.map(|level| level.trim().to_owned());
        let file_level = preamble.scope.calls("log_level").and_then(|values| values.first()?.to_text().ok());
        Ok(Self {
            config,
            http_config,
            main_config: values.expanded(block, "main_config")?,
            files: user_files(block, &mut values)?,
            connections,
            expectations,
            logs: LogExpectation::read(block, &mut values)?,
            must_die,
            // The second time shows what the first left behind; a third shows no more.
            repeat: preamble.number("repeat_each").unwrap_or(1).clamp(1, 2),
            timeout_seconds: values.seconds(block, "timeout")?.unwrap_or(3.0).clamp(0.05, 30.0),
            wait_seconds: values.seconds(block, "wait")?.unwrap_or(0.0).clamp(0.0, 10.0),
            abort: block.has("abort"),
            shutdown,
            log_level: level.or(file_level).unwrap_or_else(|| "debug".to_owned()),
            workers: preamble.number("workers").unwrap_or(1).clamp(1, 8),
            master: preamble.calls("master_on"),
            root_location: !preamble.calls("no_root_location"),
        })
    }
}

/// Why the case skips itself on the software of today, if it does: `--- skip_nginx: 2: < 1.5.0` and the like.
fn skipped(block: &Block, values: &mut SectionValues<'_>) -> Result<Option<String>, Problem> {
    if block.has("todo") {
        return Ok(Some("marked as to be done".to_owned()));
    }
    let installed = [("skip_nginx", [1, 22, 1]), ("skip_openssl", [3, 0, 0])];
    for (name, installed) in installed {
        let Some(text) = values.text(block, name)? else { continue };
        let mut parts = text.splitn(3, ':').skip(1).map(str::trim);
        let condition = parts.next().ok_or_else(|| Problem::section(name))?;
        let at = condition.find(|c: char| c.is_ascii_digit()).ok_or_else(|| Problem::section(name))?;
        let (operator, version) = condition.split_at(at);
        let mut numbers = version.split('.').map(|part| {
            let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
            part.get(..digits).and_then(|digits| digits.parse::<u32>().ok()).unwrap_or(0)
        });
        let mut next = || numbers.next().unwrap_or(0);
        let version = [next(), next(), next()];
        let holds = match operator.trim() {
            "<" => installed < version,
            "<=" => installed <= version,
            ">" => installed > version,
            ">=" => installed >= version,
            _ => return Err(Problem::section(name)),
        };
        if holds {
            return Ok(Some(format!("{name} {condition}")));
        }
    }
    if let Some(text) = values.text(block, "skip_eval")? {
        let code = text.split_once(':').map_or("", |(_, code)| code);
        let value = perl::evaluate(code, &mut values.scope)?;
        if !matches!(&value, Value::Undefined) && !matches!(&value, Value::Text(text) if text.is_empty() || text == "0")
        {
            return Ok(Some("skip_eval".to_owned()));
        }
    }
    Ok(None)
}

fn user_files(block: &Block, values: &mut SectionValues<'_>) -> Result<Vec<UserFile>, Problem> {
    let mut files: Vec<UserFile> = Vec::new();
    match values.get(block, "user_files")? {
        None => {}
        Some(Value::List(items)) => {
            for item in items {
                let Value::List(parts) = item else { return Err(Problem::section("user_files")) };
                let part = |index: usize| parts.get(index).map_or(Ok(Text::new()), Value::to_text);
                files.push(UserFile { path: part(0)?, content: part(1)? });
            }
        }
        Some(value) => {
            for line in value.to_text()?.split_inclusive('\n') {
                if let Some((_, name)) = line.split_once(">>> ") {
                    let path = name.split_whitespace().next().unwrap_or_default().to_owned();
                    files.push(UserFile { path, content: Text::new() });
                } else if let Some(file) = files.last_mut() {
                    file.content.push_str(line);
                }
            }
        }
    }
    for file in &mut files {
        file.content = values.expand(&file.content)?;
        if Path::new(&file.path).components().any(|part| matches!(part, std::path::Component::ParentDir)) {
            return Err(Problem::untranslatable("a file outside of the case's directory"));
        }
        if file.path.starts_with('/') && !Path::new(&file.path).starts_with(&values.place.root) {
            return Err(Problem::untranslatable("a file outside of the case's directory"));
        }
    }
    Ok(files)
}
