//! A server that runs one case: nginx with its Lua module, or the gateway.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::case::{Case, Place};
use super::process::{Growing, Process};
use super::text::{Text, to_bytes};

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
    normalize: fn(&str) -> Text,
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
    pub fn wait(mut process: Process, log: PathBuf, port: u16, normalize: fn(&str) -> Text) -> io::Result<Started> {
        let log = Growing::new(log);
        Ok(match process.listens(port)? {
            None => Started::Running(Self { process, log, normalize, stop_signal: "QUIT" }),
            Some(_) => Started::Ended(normalize(&log.new_text())),
        })
    }

    pub fn stopped_by(mut self, signal: &'static str) -> Self {
        self.stop_signal = signal;
        self
    }

    pub fn has_ended(&mut self) -> bool {
        self.process.has_ended()
    }

    /// The log since the last [`Self::pass_log`], in the form of nginx's: `[level] message`.
    pub fn log(&self) -> Text {
        (self.normalize)(&self.log.new_text())
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
/// begins at this line.
const HTTP_LINE: usize = 24;

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
    while head.lines().count() < 14 {
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
    // In the same lines as the original runner has them before a case's own text.
    let server = format!(
        "    server {{\n        listen {port};\n        #\n        server_name localhost;\n        client_max_body_size 30M;\n\
         \n        #\n        #\n\n        #\n\n        #\n{config}\n{root_location}    }}\n}}\n"
    );
    let file = place.root.join("conf/nginx.conf");
    fs::write(&file, to_bytes(&format!("{head}{http}\n{server}")))?;
    let log = place.root.join("logs/error.log");
    let mut command = Command::new("nginx");
    command.arg("-p").arg(&place.root).arg("-c").arg(&file).arg("-e").arg(&log).current_dir(&place.checkout);
    let process = Process::start(&mut command, &place.root.join("logs/output.log"))?;
    Server::wait(process, log, place.port, str::to_owned)
}
