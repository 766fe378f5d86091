//! A server that runs one case: nginx with its Lua module, or the gateway.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::case::{Case, Place};
use super::process::{Growing, Process};
use super::response::Response;
use super::text::{Text, to_bytes};
use super::translate::{Names, Translation, log_line};

/// What a case is replayed against.
#[derive(Debug, Clone)]
pub enum Against {
    /// The program of the gateway.
    Gateway(PathBuf),
    Nginx,
}

/// A server that was started.
#[derive(Debug)]
pub struct Server {
    process: Process,
    log: Growing,
    names: Option<Names>,
    stop_signal: &'static str,
}

/// How a start came out.
#[derive(Debug)]
pub enum Started {
    Running(Server),
    /// It ended at once, with this log.
    Ended(Text),
}

impl Server {
    /// Waits until the process serves at `port`.
    fn wait(mut process: Process, log: PathBuf, port: u16, names: Option<Names>) -> io::Result<Started> {
        let stop_signal = if names.is_some() { "TERM" } else { "QUIT" };
        let ended = process.listens(port)?.is_some();
        let server = Self { process, log: Growing::new(log), names, stop_signal };
        Ok(if ended { Started::Ended(server.log()) } else { Started::Running(server) })
    }

    pub fn has_ended(&mut self) -> bool {
        self.process.has_ended()
    }

    /// The log since the last [`Self::pass_log`], in the form of nginx's: `[level] message`.
    pub fn log(&self) -> Text {
        self.in_nginx_words(&self.log.new_text())
    }

    fn in_nginx_words(&self, text: &str) -> Text {
        match &self.names {
            None => text.to_owned(),
            Some(names) => text.split_inclusive('\n').map(|line| log_line(names, line)).collect(),
        }
    }

    /// The response with the names that nginx has for code.
    pub fn as_nginx(&self, mut response: Response) -> Response {
        if let Some(names) = &self.names {
            response.body = names.translated(&response.body);
            response.head = with_usual_names(&response.head);
        }
        response
    }

    /// The first error that its log has had at all: often why a case failed.
    pub fn first_error(&self) -> Option<Text> {
        self.names.as_ref()?;
        let log = self.in_nginx_words(&self.log.whole());
        log.lines()
            .find(|line| line.contains(" [error] "))
            .map(|line| line.split_once("*1 ").map_or(line, |(_, m)| m).to_owned())
    }

    pub fn pass_log(&mut self) {
        self.log.pass();
    }

    /// Ends it, and gives what its log has had since.
    pub fn stop(mut self) -> Text {
        self.process.stop(self.stop_signal);
        self.log()
    }
}

/// A head with names of fields as most write them: they are the same in any case, and the gateway writes its own in lower case.
fn with_usual_names(head: &str) -> Text {
    let line = |line: &str| match line.split_once(':') {
        Some((name, value)) if !name.contains(' ') => {
            let words = name.split('-').map(|word| {
                let (first, rest) = word.split_at_checked(1).unwrap_or((word, ""));
                first.to_ascii_uppercase() + rest
            });
            format!("{}:{value}", words.collect::<Vec<_>>().join("-"))
        }
        _ => line.to_owned(),
    };
    head.split("\r\n").map(line).collect::<Vec<_>>().join("\r\n")
}

/// Writes what every server finds in the case's directory.
pub fn write_files(case: &Case, place: &Place) -> io::Result<()> {
    for folder in ["html", "logs", "conf"] {
        fs::create_dir_all(place.root.join(folder))?;
    }
    let index = "<html><head><title>It works!</title></head><body>It works!</body></html>";
    fs::write(place.root.join("html/index.html"), index)?;
    for file in &case.files {
        let path = match file.path.strip_prefix('/') {
            Some(_) => PathBuf::from(&file.path),
            None => place.root.join("html").join(&file.path),
        };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(path, to_bytes(&file.content))?;
    }
    Ok(())
}

/// Modules of nginx that cases need, in the order in which they must be loaded.
const MODULES: [&str; 3] = ["ndk_http_module.so", "ngx_http_echo_module.so", "ngx_http_lua_module.so"];
const MODULE_FOLDER: &str = "/usr/lib/nginx/modules";
/// Some cases expect the line of their code in the file that the original runner writes, in which a case's `http` text
/// begins at this line, and its `server` text, if the other is empty, at that one.
pub const HTTP_LINE: usize = 25;
pub const CONFIG_LINE: usize = 39;

/// Starts nginx with the case's own configuration.
pub fn start_nginx(case: &Case, place: &Place) -> io::Result<Started> {
    let root = place.root.display();
    let mut head = format!(
        "worker_processes {};\ndaemon off;\nmaster_process {};\nerror_log logs/error.log {};\npid logs/nginx.pid;\nuser root;\n",
        case.workers,
        if case.master || case.workers > 1 { "on" } else { "off" },
        case.log_level,
    );
    for module in MODULES.iter().filter(|module| Path::new(MODULE_FOLDER).join(module).exists()) {
        head.push_str(&format!("load_module {MODULE_FOLDER}/{module};\n"));
    }
    head.push_str("events { accept_mutex off; worker_connections 1024; }\n");
    while head.lines().count() < 15 {
        head.push('\n');
    }
    head.push_str(&format!("{}\n\nhttp {{\n    access_log logs/access.log;\n", case.main_config));
    for kind in ["client_body", "proxy", "fastcgi", "scgi", "uwsgi"] {
        if !case.http_config.contains(&format!("{kind}_temp_path")) {
            head = format!("{} {kind}_temp_path {root}/{kind}_temp;\n", head.trim_end());
        }
    }
    head.push_str("    default_type text/plain;\n    keepalive_timeout 68s;\n");
    while head.lines().count() + 1 < HTTP_LINE {
        head.push('\n');
    }
    let root_location = match case.root_location {
        true => format!(
            "        location / {{\n            root {root}/html;\n            index index.html index.htm;\n        }}\n"
        ),
        false => String::new(),
    };
    let (port, http, config) = (place.port, &case.http_config, &case.config);
    let filler = "\n".repeat(CONFIG_LINE - HTTP_LINE - 5);
    let server = format!(
        "    server {{\n        listen {port};\n        server_name localhost;\n        client_max_body_size 30M;\n        \
         # The case's own text follows.{filler}{config}\n{root_location}    }}\n}}\n"
    );
    let file = place.root.join("conf/nginx.conf");
    fs::write(&file, to_bytes(&format!("{head}{http}\n{server}")))?;
    let log = place.root.join("logs/error.log");
    let mut command = Command::new("nginx");
    command.arg("-p").arg(&place.root).arg("-c").arg(&file).arg("-e").arg(&log).current_dir(&place.checkout);
    let process = Process::start(&mut command, &place.root.join("logs/output.log"))?;
    Server::wait(process, log, place.port, None)
}

/// Starts the gateway with the case's translation.
pub fn start_gateway(program: &Path, translation: Translation, place: &Place) -> io::Result<Started> {
    let file = place.root.join("conf/gateway.toml");
    fs::write(&file, translation.gateway)?;
    let log = place.root.join("logs/error.log");
    let mut command = Command::new(program);
    command.arg("run").arg("--config").arg(&file).current_dir(&place.root);
    command
        .env("WITGATE_LOG", "warn,witgate=debug,witgate_server=debug,pingora=off,pingora_core=off,pingora_proxy=off");
    let process = Process::start(&mut command, &log)?;
    Server::wait(process, log, place.port, Some(translation.names))
}
