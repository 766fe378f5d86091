//! Directives of the block `http`.

use toml::{Table, Value};

use super::directives::WITHOUT_EFFECT;
use super::{Surroundings, Translator, is_name, size_of, text_value, untranslatable};
use crate::openresty::case::Problem;
use crate::openresty::nginx::{Body, Directive};
use crate::openresty::server::HTTP_LINE;

impl Translator<'_> {
    pub(super) fn http(&mut self, directives: &[Directive]) -> Result<Surroundings, Problem> {
        let mut http = Surroundings::default();
        for directive in directives {
            let first = directive.arguments.first().map(String::as_str).unwrap_or_default();
            match directive.name.as_str() {
                "lua_shared_dict" => {
                    let size = directive.arguments.get(1).ok_or_else(|| untranslatable(directive))?;
                    let size = size_of(size).ok_or_else(|| untranslatable(directive))?;
                    let mut dict = Table::new();
                    dict.insert("size".to_owned(), Value::String(size));
                    if !is_name(first) {
                        return Err(Problem::untranslatable("a name of a dictionary that is none here"));
                    }
                    self.dicts.insert(first.to_owned(), Value::Table(dict));
                }
                "lua_package_path" => self.package_path(first),
                "lua_max_pending_timers" => {
                    let limit: i64 = first.parse().map_err(|_| untranslatable(directive))?;
                    self.lua.insert("timers_limit".to_owned(), Value::Integer(limit));
                }
                "upstream" => self.upstream(first, directive)?,
                "init_by_lua" | "init_by_lua_block" | "init_by_lua_file" => self.init(directive, "init")?,
                "init_worker_by_lua" | "init_worker_by_lua_block" | "init_worker_by_lua_file" => {
                    self.init(directive, "init_worker")?;
                }
                _ => self.surrounding(directive, &mut http, HTTP_LINE - 1)?,
            }
        }
        Ok(http)
    }

    fn init(&mut self, directive: &Directive, key: &str) -> Result<(), Problem> {
        let line = directive.line + HTTP_LINE - 1;
        let chunk = self.chunk(directive, &format!("{key}_by_lua"), line)?;
        self.names.add(format!("lua.main.{key}"), chunk.name);
        self.lua.insert(key.to_owned(), text_value(&chunk.code)?);
        Ok(())
    }

    /// Directories of `DIR/?.lua`.
    fn package_path(&mut self, path: &str) {
        for pattern in path.split(';') {
            let Some(folder) = pattern.trim().strip_suffix("/?.lua") else { continue };
            let folder = folder.replace("$prefix", &format!("{}/", self.place.root.display()));
            let folder = self.place.checkout.join(folder);
            let value = Value::String(folder.display().to_string());
            if folder.is_dir() && !self.paths.contains(&value) {
                self.paths.push(value);
            }
        }
    }

    fn upstream(&mut self, name: &str, directive: &Directive) -> Result<(), Problem> {
        let Body::Block(inner) = &directive.body else { return Err(untranslatable(directive)) };
        let mut servers = Vec::new();
        let mut balancer = None;
        for inner in inner {
            match inner.name.as_str() {
                "server" => {
                    let address = inner.arguments.first().ok_or_else(|| untranslatable(inner))?;
                    if inner.arguments.len() > 1 || address.starts_with("unix:") {
                        return Err(Problem::untranslatable("options of an upstream's server"));
                    }
                    servers.push(if address.contains(':') { address.clone() } else { format!("{address}:80") });
                }
                "balancer_by_lua_block" | "balancer_by_lua_file" | "balancer_by_lua" => {
                    let line = inner.line + HTTP_LINE - 1;
                    balancer = Some(self.chunk(inner, "balancer_by_lua", line)?);
                }
                other if WITHOUT_EFFECT.contains(&other) => {}
                _ => return Err(untranslatable(inner)),
            }
        }
        self.groups.insert(name.to_owned(), (servers, balancer));
        Ok(())
    }
}
