//! What the gateway does all day, done to a build that counts: the profile tells the compiler which code is worth its place.
//!
//! Each lesson is many equal requests over kept connections, to a route that answers as a service would: forwarded, through
//! plugins, scripts and a model, by HTTP/1.1 and HTTP/2, with bodies of several sizes. What has no lesson is taken for rarely
//! run: it is placed away from the rest, but no smaller or slower than without a profile (`dist` sees to that).

mod client;
mod upstream;

use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use self::client::Body::{Chunked, Length};
use self::client::Protocol::{Fresh, Http2};
use self::client::Request;
use crate::failure::Failure;
use crate::workspace::{self, PLUGINS};
use crate::{gateway, process};

const CONNECTIONS: u32 = 8;
/// Requests of a lesson on each connection: enough that starting up counts for nothing beside them, in seconds.
pub const REQUESTS: u32 = 2_000;

/// A request, and the part of all requests that is sent of it: one in so many.
type Lesson = (u32, Request);

/// Has the gateway serve what it is profiled by, and end. Its own output is dropped but for what it says on standard error.
///
/// `requests`: see [`REQUESTS`].
pub fn run(binary: &Path, folder: &Path, requests: u32) -> Result<(), Failure> {
    let (service, redis) = (upstream::http()?, upstream::redis()?);
    let site = include_str!("training/gateway.toml")
        .replace("{service}", &service.to_string())
        .replace("{redis}", &redis.to_string())
        .replace("{plugins}", &PLUGINS.components().display().to_string())
        .replace("{keys}", &workspace::root().join("examples/sample/keys.txt").display().to_string());
    let abuse = example("abuse-scoring", "abuse.onnx", service)?;
    let bots = example("bot-score", "bot.txt", service)?;
    train(binary, folder, &site, &lessons(), requests)?;
    train(binary, folder, &abuse, &[(4, Request::get("/search?q=blue+shoes&page=2"))], requests)?;
    // In shadow: a score is computed, and none is acted upon.
    train(binary, folder, &bots, &[(4, Request { headers: BROWSER, ..Request::get("/") })], requests)
}

/// The configuration of an example that scores requests with a model in a file beside it, for any folder and free ports.
fn example(name: &str, model: &str, service: SocketAddr) -> Result<String, Failure> {
    let folder = workspace::root().join("examples").join(name);
    let file = folder.join("gateway.toml");
    let text = fs::read_to_string(&file).map_err(Failure::io(file.display().to_string()))?;
    let admin = "[admin]\naddress = \"127.0.0.1:0\"\n\n";
    let text = text
        .replace("127.0.0.1:8080", "127.0.0.1:0")
        .replace("127.0.0.1:9901", "127.0.0.1:0")
        .replace("127.0.0.1:9000", &service.to_string())
        .replace(&format!("\"{model}\""), &format!("\"{}\"", folder.join(model).display()));
    Ok(if text.contains("[admin]") { text } else { text.replace("[[listeners]]", &format!("{admin}[[listeners]]")) })
}

const BROWSER: &[(&str, &str)] = &[
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("Accept-Language", "en-US,en;q=0.5"),
    ("Accept-Encoding", "gzip, deflate, br"),
    ("Cookie", "session=0123456789abcdef0123456789abcdef; theme=dark"),
];

fn lessons() -> Vec<Lesson> {
    let key = &[("x-api-key", "demo-key"), ("user-agent", "curl/8.5.0"), ("accept", "*/*")];
    let get = Request::get;
    vec![
        (1, get("/plain")),
        (1, Request { headers: BROWSER, ..get("/plain?a=1&b=two") }),
        (1, Request { protocol: Http2, ..get("/plain") }),
        (4, Request { protocol: Fresh, ..get("/plain") }),
        (4, Request { body: Length(2_000), ..get("/plain") }),
        (8, Request { body: Chunked(20_000), ..get("/plain") }),
        (8, get("/plain/large")),
        (8, get("/plain/chunked")),
        (4, Request { status: 404, ..get("/nowhere") }),
        (1, Request { headers: key, ..get("/plugins/auth") }),
        (4, Request { status: 401, ..get("/plugins/auth") }),
        (2, Request { headers: key, protocol: Http2, ..get("/plugins/auth") }),
        (1, Request { headers: key, ..get("/plugins/limit") }),
        (2, Request { headers: key, ..get("/plugins/all") }),
        (1, Request { headers: key, ..get("/scripts/access") }),
        (4, Request { status: 401, ..get("/scripts/access") }),
        (1, get("/scripts/content?name=you")),
        (1, Request { headers: key, ..get("/scripts/redis") }),
        (2, get("/scripts/filter")),
        (4, Request { body: Length(2_000), ..get("/scripts/body") }),
    ]
}

fn train(binary: &Path, folder: &Path, configuration: &str, lessons: &[Lesson], requests: u32) -> Result<(), Failure> {
    let file = folder.join("gateway.toml");
    fs::write(&file, configuration).map_err(Failure::io(file.display().to_string()))?;
    let mut command = Command::new(binary);
    command.args(["run", "-c"]).arg(&file).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut gateway = process::die_with_parent(&mut command).spawn().map_err(process::not_started(&command))?;
    let taught = address(&mut gateway).and_then(|address| {
        lessons.iter().try_for_each(|(part, request)| teach(address, request, (requests / part).max(1)))
    });
    // Counts are written when it ends by itself.
    gateway::stop(&gateway);
    let status = gateway.wait().map_err(Failure::io("wait for the gateway"))?;
    taught?;
    if status.success() { Ok(()) } else { Err(Failure::Gateway(status)) }
}

/// Where it listens. The rest of what it prints is read away.
fn address(gateway: &mut Child) -> Result<SocketAddr, Failure> {
    let missing = || Failure::Training { what: "the gateway did not get ready; see above for what it says".to_owned() };
    let mut output = BufReader::new(gateway.stdout.take().ok_or_else(missing)?);
    let mut line = String::new();
    loop {
        line.clear();
        if output.read_line(&mut line).map_err(Failure::io("read what the gateway prints"))? == 0 {
            return Err(missing());
        }
        if let Some(address) = line.trim_end().strip_prefix("ready http://") {
            let address = address.parse().map_err(|_| missing())?;
            thread::spawn(move || io::copy(&mut output.by_ref(), &mut io::sink()));
            return Ok(address);
        }
    }
}

fn teach(address: SocketAddr, request: &Request, times: u32) -> Result<(), Failure> {
    thread::scope(|scope| {
        let connections: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(|| request.send(address, times))).collect();
        connections.into_iter().try_for_each(|connection| {
            let sent = connection.join().unwrap_or_else(|_| Err(io::Error::other("the client failed")));
            sent.map_err(|error| Failure::Training { what: format!("{}: {error}", request.path) })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Host;

    #[test]
    fn every_lesson_is_answered_as_it_should_be() {
        let host = Host::read().unwrap();
        let binary = host.witgate("release");
        assert!(binary.is_file() && PLUGINS.components().is_dir(), "not built yet: run `cargo xtask test`");
        let folder = host.target().join("tmp/training");
        fs::create_dir_all(&folder).unwrap();
        run(&binary, &folder, 8).unwrap();
    }
}
