//! From a case's configuration of nginx to one of the gateway.

mod code;
mod directives;
mod http;
mod location;
mod names;
#[cfg(test)]
mod tests;
mod wanted;

use std::collections::{BTreeMap, BTreeSet};

use toml::{Table, Value, toml};

use self::code::{echo, interpolate, quote, returns};
use self::directives::WITHOUT_EFFECT;
use self::location::{Location, Matcher, find, is_routed_alike, prefix_of};
pub use self::names::{Names, log_line};
use self::wanted::candidate_paths;
pub use self::wanted::without_own_expectations;
use super::case::{Case, Place, Problem};
use super::nginx::{self, Body, Directive};
use super::server::CONFIG_LINE;
use super::text::{Text, from_bytes, to_bytes};

/// A case for the gateway.
#[derive(Debug)]
pub struct Translation {
    pub gateway: String,
    pub names: Names,
}

/// Phases by nginx's names for their directives, and the gateway's.
const PHASES: [(&str, &str); 7] = [
    ("rewrite_by_lua", "rewrite"),
    ("access_by_lua", "access"),
    ("content_by_lua", "content"),
    ("header_filter_by_lua", "header_filter"),
    ("body_filter_by_lua", "body_filter"),
    ("log_by_lua", "log"),
    ("balancer_by_lua", "balancer"),
];

/// Code of a phase with the name that nginx gives it.
#[derive(Debug, Clone)]
struct Chunk {
    name: Text,
    code: Text,
}

/// What stands in `http` or `server` for all that is within.
#[derive(Debug, Default, Clone)]
struct Surroundings {
    phases: BTreeMap<&'static str, Chunk>,
    /// Statements that come before the phases of rewrite.
    prelude: Vec<Text>,
    header_filters: Vec<Text>,
    default_type: Option<Text>,
    body_limit: Option<Text>,
    reads_body: bool,
    variables: BTreeSet<Text>,
}

struct Translator<'a> {
    place: &'a Place,
    names: Names,
    lua: Table,
    scripts: Table,
    upstreams: Table,
    routes: Vec<Value>,
    dicts: Table,
    /// `upstream` blocks: their servers, and the code that chooses.
    groups: BTreeMap<Text, (Vec<Text>, Option<Chunk>)>,
    paths: Vec<Value>,
}

/// Makes the gateway's configuration of a case.
pub fn translate(case: &Case, place: &Place) -> Result<Translation, Problem> {
    if !case.main_config.trim().is_empty() && main_matters(&case.main_config) {
        return Err(Problem::untranslatable("section main_config"));
    }
    if case.workers > 1 {
        return Err(Problem::untranslatable("several worker processes"));
    }
    let parse = |text: &str| nginx::parse(text).map_err(|error| Problem::untranslatable(error.to_string()));
    let mut translator = Translator {
        place,
        names: Names::default(),
        lua: Table::new(),
        scripts: Table::new(),
        upstreams: Table::new(),
        routes: Vec::new(),
        dicts: Table::new(),
        groups: BTreeMap::new(),
        paths: vec![Value::String(place.root.join("html").display().to_string())],
    };
    let http = translator.http(&parse(&case.http_config)?)?;
    let http_lines = case.http_config.lines().count().saturating_sub(1);
    let (server, locations) = translator.server(&parse(&case.config)?, &http, http_lines)?;
    translator.locations(case, &locations, &server, http_lines)?;
    translator.finish(case)
}

fn main_matters(text: &str) -> bool {
    match nginx::parse(text) {
        Ok(directives) => {
            directives.iter().any(|directive| !matches!(directive.name.as_str(), "env" | "worker_rlimit_core"))
        }
        Err(_) => true,
    }
}

fn untranslatable(directive: &Directive) -> Problem {
    Problem::untranslatable(format!("directive {}", directive.name))
}

impl Translator<'_> {
    /// Code of a `…_by_lua*` directive; `name` without what comes after `lua`.
    fn chunk(&self, directive: &Directive, name: &str, line: usize) -> Result<Chunk, Problem> {
        if let Body::Lua(code) = &directive.body {
            return Ok(Chunk { name: format!("{name}(nginx.conf:{line})"), code: code.clone() });
        }
        let argument = directive.arguments.last().ok_or_else(|| untranslatable(directive))?;
        if !directive.name.ends_with("_file") {
            return Ok(Chunk { name: format!("{name}(nginx.conf:{line})"), code: argument.clone() });
        }
        if argument.contains('$') {
            return Err(Problem::untranslatable("a script's file that is named by variables"));
        }
        let path = self.place.root.join(argument);
        let bytes = std::fs::read(&path).map_err(|_| Problem::untranslatable("a script's file that is not there"))?;
        if bytes.first() == Some(&0x1b) {
            return Err(Problem::untranslatable("bytecode"));
        }
        let code = from_bytes(&bytes);
        let code = if code.starts_with('#') { format!("--{code}") } else { code };
        Ok(Chunk { name: path.display().to_string(), code })
    }

    /// A directive that may stand in `http`, `server` and `location` alike.
    fn surrounding(&self, directive: &Directive, into: &mut Surroundings, line: usize) -> Result<(), Problem> {
        let name = directive.name.as_str();
        let base = name.strip_suffix("_block").or_else(|| name.strip_suffix("_file")).unwrap_or(name);
        if let Some((nginx, phase)) = PHASES.iter().find(|(nginx, _)| *nginx == base) {
            let chunk = self.chunk(directive, nginx, directive.line + line)?;
            into.phases.insert(phase, chunk);
            return Ok(());
        }
        let arguments = &directive.arguments;
        let first = arguments.first().map(String::as_str).unwrap_or_default();
        match name {
            "default_type" => into.default_type = Some(first.to_owned()),
            "client_max_body_size" => into.body_limit = size_of(first),
            "lua_need_request_body" => into.reads_body = first == "on",
            "lua_check_client_abort"
            | "lua_code_cache"
            | "lua_use_default_type"
            | "lua_socket_log_errors"
            | "underscores_in_headers" => {
                let default = match name {
                    "lua_code_cache" | "lua_use_default_type" | "lua_socket_log_errors" => "on",
                    _ => "off",
                };
                if first != default {
                    return Err(Problem::untranslatable(format!("directive {name} {first}")));
                }
            }
            "lua_transform_underscores_in_response_headers" if first == "on" => {}
            "gzip" | "proxy_intercept_errors" if first == "off" => {}
            "add_header" | "more_set_headers" => {
                let (field, value) = match (name, arguments.get(1)) {
                    ("add_header", Some(value)) => (first.to_owned(), value.clone()),
                    _ => {
                        let (field, value) = first.split_once(':').ok_or_else(|| untranslatable(directive))?;
                        (field.to_owned(), value.trim().to_owned())
                    }
                };
                let set = format!("ngx.header[{}] = {}", quote(&field), interpolate(&value, &[]));
                into.header_filters.push(set);
            }
            "more_clear_headers" => {
                if arguments.iter().any(|field| field.contains('*') || field.starts_with('-')) {
                    return Err(untranslatable(directive));
                }
                into.header_filters.extend(arguments.iter().map(|field| format!("ngx.header[{}] = nil", quote(field))));
            }
            _ if WITHOUT_EFFECT.contains(&name) => {}
            _ => return Err(untranslatable(directive)),
        }
        Ok(())
    }

    fn server(
        &mut self,
        directives: &[Directive],
        http: &Surroundings,
        http_lines: usize,
    ) -> Result<(Surroundings, Vec<Location>), Problem> {
        let mut server = http.clone();
        let mut locations = Vec::new();
        let line = CONFIG_LINE - 1 + http_lines;
        for directive in directives {
            match directive.name.as_str() {
                "location" => locations.push(Location::read(directive)?),
                "set" => set(directive, &mut server, &[])?,
                "server_rewrite_by_lua_block" | "server_rewrite_by_lua_file" => {
                    let chunk = self.chunk(directive, "server_rewrite_by_lua", directive.line + line)?;
                    server.prelude.push(loaded(&chunk, "()"));
                }
                _ => self.surrounding(directive, &mut server, line)?,
            }
        }
        Ok((server, locations))
    }

    fn locations(
        &mut self,
        case: &Case,
        locations: &[Location],
        server: &Surroundings,
        http_lines: usize,
    ) -> Result<(), Problem> {
        let line = CONFIG_LINE - 1 + http_lines;
        // Variables are of the whole server: a subrequest's location may set what its parent reads.
        let mut variables = server.variables.clone();
        for directive in locations.iter().flat_map(|location| &location.directives) {
            if matches!(directive.name.as_str(), "set" | "set_by_lua" | "set_by_lua_block" | "set_by_lua_file") {
                variables.extend(directive.arguments.first().map(|name| name.trim_start_matches('$').to_owned()));
            }
        }
        let server = Surroundings { variables, ..server.clone() };
        let prefixes = locations.iter().filter_map(|location| match &location.matcher {
            Matcher::Prefix(path, _) => Some(path.trim_end_matches('/').to_owned()),
            _ => None,
        });
        let mut taken_prefixes: BTreeSet<Text> = prefixes.collect();
        for (number, location) in locations.iter().enumerate() {
            let name = format!("l{}", number + 1);
            let path = match &location.matcher {
                Matcher::Exact(path) => ("path", path),
                Matcher::Prefix(path, _) => ("path_prefix", path),
                Matcher::Pattern(pattern) => {
                    if let Some((path, captures)) = prefix_of(pattern)
                        && taken_prefixes.insert(path.clone())
                    {
                        self.location(&name, ("path_prefix", &path), location, &server, &captures, line)?;
                    }
                    continue;
                }
            };
            self.location(&name, path, location, &server, &[], line)?;
        }
        let mut taken = BTreeSet::new();
        for (number, path) in candidate_paths(case).into_iter().enumerate() {
            let Some(found) = find(locations, &path) else { continue };
            let Some(location) = locations.get(found.index) else { continue };
            if !is_routed_alike(location, &path) && taken.insert(path.clone()) {
                self.location(&format!("p{}", number + 1), ("path", &path), location, &server, &found.captures, line)?;
            }
        }
        let root =
            locations.iter().any(|location| matches!(&location.matcher, Matcher::Prefix(path, _) if path == "/"));
        if !root && case.root_location {
            self.files("files", "/", &server)?;
        }
        Ok(())
    }

    /// A route with a script that does what the location does.
    fn location(
        &mut self,
        name: &str,
        (key, path): (&str, &Text),
        location: &Location,
        server: &Surroundings,
        captures: &[Text],
        line: usize,
    ) -> Result<(), Problem> {
        let mut here = server.clone();
        here.phases.remove("content");
        let mut content: Vec<Text> = Vec::new();
        let mut proxy = None;
        let mut proxy_fields = Vec::new();
        // nginx has one list of these for each level, and an inner one takes the place of all outer ones.
        here.header_filters.clear();
        for directive in &location.directives {
            let arguments = &directive.arguments;
            match directive.name.as_str() {
                "set" => set(directive, &mut here, captures)?,
                "set_unescape_uri" | "set_escape_uri" | "set_md5" => return Err(untranslatable(directive)),
                "set_by_lua" | "set_by_lua_block" | "set_by_lua_file" => {
                    let chunk = self.set_chunk(directive, line)?;
                    let variable = arguments.first().map(|name| name.trim_start_matches('$')).unwrap_or_default();
                    let skip = if matches!(directive.body, Body::Lua(_)) { 1 } else { 2 };
                    let values: Vec<Text> =
                        arguments.iter().skip(skip).map(|argument| interpolate(argument, captures)).collect();
                    let call = format!("({{{}}})", values.join(", "));
                    here.prelude.push(format!("ngx.var[{}] = {}", quote(variable), set_call(&chunk, &call)));
                }
                "return" => {
                    let code = returns(arguments, captures).ok_or_else(|| untranslatable(directive))?;
                    here.prelude.push(format!("do {code} end"));
                    content.push("ngx.exit(404)".to_owned());
                }
                "proxy_pass" => proxy = arguments.first().cloned(),
                "proxy_set_header" => {
                    let [field, value] = arguments.as_slice() else { return Err(untranslatable(directive)) };
                    if ["host", "connection"].contains(&field.to_ascii_lowercase().as_str()) {
                        return Err(Problem::untranslatable(format!("directive proxy_set_header {field}")));
                    }
                    let value = if value.is_empty() { "nil".to_owned() } else { interpolate(value, captures) };
                    proxy_fields.push((field.clone(), value));
                }
                "proxy_pass_request_body" | "proxy_pass_request_headers"
                    if arguments.first().is_some_and(|a| a == "on") => {}
                name => match echo(name, arguments, captures) {
                    Some(statement) => content.push(statement),
                    None => self.surrounding(directive, &mut here, line)?,
                },
            }
        }
        if here.header_filters.is_empty() {
            here.header_filters.clone_from(&server.header_filters);
        }
        let has_content = here.phases.contains_key("content");
        let mut route = Table::new();
        if let Some(target) = proxy.filter(|_| !has_content) {
            let upstream = self.proxy(name, &target, path, captures, &mut here)?;
            for (field, value) in proxy_fields {
                let set = match value.as_str() {
                    "nil" => format!("ngx.req.clear_header({})", quote(&field)),
                    value => format!("ngx.req.set_header({}, {value})", quote(&field)),
                };
                append(&mut here.phases, "access", &set);
            }
            route.insert("upstream".to_owned(), Value::String(upstream));
        } else if !has_content && content.is_empty() {
            return self.files_location(name, (key, path), here);
        } else if !has_content {
            let code = content.join(" ");
            here.phases.insert("content", Chunk { name: "echo".to_owned(), code });
        }
        self.route(name, (key, path), here, route)
    }

    /// A location that only has files, but perhaps phases before them.
    fn files_location(&mut self, name: &str, at: (&str, &Text), mut here: Surroundings) -> Result<(), Problem> {
        here.phases.insert("content", Chunk { name: "files".to_owned(), code: self.files_code() });
        self.route(name, at, here, Table::new())
    }

    fn files(&mut self, name: &str, path: &str, server: &Surroundings) -> Result<(), Problem> {
        self.files_location(name, ("path_prefix", &path.to_owned()), server.clone())
    }

    /// What nginx does with files, as far as cases see it.
    fn files_code(&self) -> Text {
        let folder = quote(&format!("{}/html", self.place.root.display()));
        format!(
            "local uri = ngx.var.uri if uri:sub(-1) == \"/\" then uri = uri .. \"index.html\" end \
             local file = not uri:find(\"..\", 1, true) and io.open({folder} .. uri, \"rb\") \
             local text = file and file:read(\"*a\") if file then file:close() end \
             if not text then ngx.log(ngx.ERR, \"open() \\\"\" .. {folder} .. uri .. \"\\\" failed (2: No such file or directory)\") return ngx.exit(404) end \
             ngx.header.content_length = #text ngx.print(text)"
        )
    }

    /// The upstream for `proxy_pass`.
    fn proxy(
        &mut self,
        name: &str,
        target: &str,
        path: &str,
        captures: &[Text],
        here: &mut Surroundings,
    ) -> Result<Text, Problem> {
        let rest =
            target.strip_prefix("http://").ok_or_else(|| Problem::untranslatable("proxy_pass without http://"))?;
        let rest = rest.replace("$server_port", &self.place.port.to_string());
        let (authority, uri) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest.as_str(), ""),
        };
        if authority.starts_with("unix:") || authority.contains('$') {
            return Err(Problem::untranslatable("proxy_pass to a socket, or by variables"));
        }
        let group = self.groups.get(authority).cloned();
        let (servers, balancer) = group.unwrap_or_else(|| {
            let address = if authority.contains(':') { authority.to_owned() } else { format!("{authority}:80") };
            (vec![address], None)
        });
        if let Some(balancer) = balancer {
            here.phases.insert("balancer", balancer);
        }
        if !uri.is_empty() {
            let (uri_path, query) = uri.split_once('?').map_or((uri, None), |(path, query)| (path, Some(query)));
            let new = if uri_path.contains('$') {
                interpolate(uri_path, captures)
            } else {
                let at = path.chars().count() + 1;
                format!("{} .. ngx.var.uri:sub({at})", quote(uri_path))
            };
            append(&mut here.phases, "access", &format!("ngx.req.set_uri({new})"));
            if let Some(query) = query {
                append(&mut here.phases, "access", &format!("ngx.req.set_uri_args({})", interpolate(query, captures)));
            }
        }
        let upstream = format!("u-{name}");
        let mut table = Table::new();
        let endpoints = servers.into_iter().map(Value::String).collect();
        table.insert("endpoints".to_owned(), Value::Array(endpoints));
        self.upstreams.insert(upstream.clone(), Value::Table(table));
        Ok(upstream)
    }

    fn set_chunk(&self, directive: &Directive, line: usize) -> Result<Chunk, Problem> {
        let name = format!("set_by_lua(nginx.conf:{})", directive.line + line);
        match &directive.body {
            Body::Lua(code) => Ok(Chunk { name, code: code.clone() }),
            _ => {
                let argument = directive.arguments.get(1).cloned().ok_or_else(|| untranslatable(directive))?;
                let directive = Directive { arguments: vec![argument], ..directive.clone() };
                self.chunk(&directive, "set_by_lua", directive.line + line)
            }
        }
    }

    /// Adds a route and its script.
    fn route(
        &mut self,
        name: &str,
        (key, path): (&str, &Text),
        mut here: Surroundings,
        mut route: Table,
    ) -> Result<(), Problem> {
        if here.reads_body {
            here.prelude.push("ngx.req.read_body()".to_owned());
        }
        if !here.prelude.is_empty() {
            let prelude = here.prelude.join(" ");
            prepend(&mut here.phases, "rewrite", &format!("do {prelude} end"));
        }
        if let Some(default) = here.default_type.as_ref().filter(|default| *default != "text/plain") {
            let set = format!(
                "if ngx.header.content_type == \"text/plain\" then ngx.header.content_type = {} end",
                quote(default)
            );
            here.header_filters.push(set);
        }
        if !here.header_filters.is_empty() {
            let code = here.header_filters.join(" ");
            append(&mut here.phases, "header_filter", &code);
        }
        let mut script = Table::new();
        script.insert("lua".to_owned(), Value::String("main".to_owned()));
        for (phase, chunk) in here.phases {
            self.names.add(format!("scripts.{name}.{phase}"), chunk.name);
            script.insert(phase.to_owned(), text_value(&chunk.code)?);
        }
        let variables = here.variables.into_iter().map(|name| (name, Value::String(String::new())));
        let variables: Table = variables.collect();
        if !variables.is_empty() {
            script.insert("variables".to_owned(), Value::Table(variables));
        }
        self.scripts.insert(name.to_owned(), Value::Table(script));
        let mut stage = Table::new();
        stage.insert("script".to_owned(), Value::String(name.to_owned()));
        route.insert("name".to_owned(), Value::String(name.to_owned()));
        if !path.starts_with('/') || path.contains(|c: char| c.is_control() || !c.is_ascii()) {
            return Err(Problem::untranslatable("a path that is none for a route"));
        }
        let path = if key == "path_prefix" && path != "/" { path.trim_end_matches('/') } else { path };
        route.insert(key.to_owned(), Value::String(path.to_owned()));
        route.insert("stages".to_owned(), Value::Array(vec![Value::Table(stage)]));
        route.insert("body_limit".to_owned(), Value::String(here.body_limit.unwrap_or_else(|| "30MiB".to_owned())));
        self.routes.push(Value::Table(route));
        Ok(())
    }

    fn finish(mut self, case: &Case) -> Result<Translation, Problem> {
        let mut grants: Vec<Value> = self.dicts.keys().map(|name| Value::String(format!("shared:{name}"))).collect();
        grants.extend(["routes", "address:0.0.0.0/0:*"].map(|grant| Value::String(grant.to_owned())));
        for text in [&case.config, &case.http_config] {
            for (at, _) in text.match_indices("unix:") {
                let path = text.get(at + 5..).unwrap_or_default();
                let end = path.find(|c: char| c.is_whitespace() || "\"';,)".contains(c)).unwrap_or(path.len());
                let grant = Value::String(format!("address:unix:{}", path.get(..end).unwrap_or_default()));
                if end > 0 && !grants.contains(&grant) {
                    grants.push(grant);
                }
            }
        }
        self.lua.insert("grants".to_owned(), Value::Array(grants));
        self.lua.insert("path".to_owned(), Value::Array(self.paths));
        let mut config = toml! {
            [admin]
            address = "off"
            [access_log]
            output = "off"
            [runtime]
            threads = 1
            accept_timeout = "0ms"
            drain_timeout = "1s"
            [lua.main]
            trust = "full"
            cpu_limit = "2s"
            wall_timeout = "60s"
            memory_limit = "256MiB"
            request_memory_limit = "128MiB"
        };
        let address = format!("127.0.0.1:{}", self.place.port);
        let mut listener = Table::new();
        listener.insert("address".to_owned(), Value::String(address));
        config.insert("listeners".to_owned(), Value::Array(vec![Value::Table(listener)]));
        if let Some(Value::Table(all)) = config.get_mut("lua")
            && let Some(Value::Table(main)) = all.get_mut("main")
        {
            main.extend(self.lua);
        }
        for (name, table) in [("shared_dicts", self.dicts), ("scripts", self.scripts), ("upstreams", self.upstreams)] {
            if !table.is_empty() {
                config.insert(name.to_owned(), Value::Table(table));
            }
        }
        config.insert("routes".to_owned(), Value::Array(self.routes));
        let gateway = toml::to_string(&config).map_err(|error| Problem::untranslatable(error.to_string()))?;
        Ok(Translation { gateway, names: self.names })
    }
}

/// `set $name value`
fn set(directive: &Directive, into: &mut Surroundings, captures: &[Text]) -> Result<(), Problem> {
    let [name, value] = directive.arguments.as_slice() else { return Err(untranslatable(directive)) };
    let name = name.trim_start_matches('$');
    into.variables.insert(name.to_owned());
    into.prelude.push(format!("ngx.var[{}] = {}", quote(name), interpolate(value, captures)));
    Ok(())
}

/// Code under a name of its own, called with what stands in `call`.
fn loaded(chunk: &Chunk, call: &str) -> Text {
    let name = if chunk.name.starts_with('/') { format!("@{}", chunk.name) } else { format!("={}", chunk.name) };
    format!("setfenv(assert(loadstring({}, {})), getfenv(1)){call};", quote(&chunk.code), quote(&name))
}

/// As [`loaded`], with `ngx.arg` for what the directive passes.
fn set_call(chunk: &Chunk, arguments: &str) -> Text {
    let name = if chunk.name.starts_with('/') { format!("@{}", chunk.name) } else { format!("={}", chunk.name) };
    format!(
        "(function(arg) local own = setmetatable({{ ngx = setmetatable({{ arg = arg }}, {{ __index = ngx, __newindex = ngx }}) }}, \
         {{ __index = getfenv(1), __newindex = getfenv(1) }}) return setfenv(assert(loadstring({}, {})), own)(unpack(arg)) end){arguments}",
        quote(&chunk.code),
        quote(&name)
    )
}

fn prepend(phases: &mut BTreeMap<&'static str, Chunk>, phase: &'static str, code: &str) {
    let chunk = phases.entry(phase).or_insert_with(|| Chunk { name: format!("{phase}_prelude"), code: Text::new() });
    chunk.code = format!("{code} {}", chunk.code);
}

/// What is added runs after the phase, unless that returns early.
fn append(phases: &mut BTreeMap<&'static str, Chunk>, phase: &'static str, code: &str) {
    match phases.get_mut(phase) {
        // A chunk of its own for each, so that `return` ends only the first.
        Some(chunk) => chunk.code = format!("(function(...) {}\nend)(...) {code}", chunk.code),
        None => drop(phases.insert(phase, Chunk { name: format!("{phase}_epilogue"), code: code.to_owned() })),
    }
}

fn text_value(text: &str) -> Result<Value, Problem> {
    let text = String::from_utf8(to_bytes(text)).map_err(|_| Problem::untranslatable("code that is no UTF-8"))?;
    Ok(Value::String(text))
}

/// A size as nginx writes it, as the gateway does: `10m`, `100k`, `512`.
fn size_of(text: &str) -> Option<Text> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: u64 = number.parse().ok()?;
    Some(match unit.to_ascii_lowercase().as_str() {
        "" => format!("{}B", number.max(1)),
        "k" => format!("{number}KiB"),
        "m" => format!("{number}MiB"),
        "g" => format!("{number}GiB"),
        _ => return None,
    })
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte))
}
