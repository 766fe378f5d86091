//! Both servers, what is behind them, and what is asked of them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};

use super::answer;
use super::file::{PHASES, Snippet};
use crate::gateway::PATIENCE;
use crate::nginx::Nginx;
use crate::upstream::Received;
use crate::{Gateway, Site, Upstream};

/// What snippets ask for, in both servers.
const TARGETS: [(&str, &str, &str); 6] = [
    (
        "echo",
        "content",
        "ngx.req.read_body() ngx.header['X-Echo'] = 'yes'\n\
         ngx.say(ngx.req.get_method(), ' ', ngx.var.uri, ' ', ngx.var.args or '-', ' ', ngx.req.get_body_data() or '-', ' ',\n\
         ngx.req.get_headers()['x-a'] or '-')\n",
    ),
    ("kind", "content", "ngx.say(tostring(ngx.is_subrequest), ' ', tostring(ngx.req.is_internal()))\n"),
    ("teapot", "content", "ngx.status = 418 ngx.header['X-Two'] = { 'a', 'b' } ngx.print('short')\n"),
    ("gone", "content", "ngx.exit(410)\n"),
    ("failing", "content", "error('no')\n"),
    ("filtered", "header_filter", "ngx.header['X-Filtered'] = 'yes'\n"),
];

/// The last request: what it logs comes after all that snippets have logged.
const END: (&str, &str, &str) = ("the-end", "content", "ngx.log(ngx.ERR, 'all snippets have run')\n");

pub struct Servers {
    nginx: Nginx,
    gateway: Gateway,
    _upstream: Upstream,
}

impl Servers {
    pub fn start(snippets: &[Snippet]) -> Self {
        let upstream = Upstream::new(tell);
        let port = echo();
        let mut all = snippets.to_vec();
        for (id, phase, code) in TARGETS.into_iter().chain([END]) {
            all.push(Snippet { id: id.to_owned(), code: vec![(phase, code.to_owned())], ..Snippet::default() });
        }
        let site = Site::new(&gateway_config(&all, upstream.address(), port));
        let init = fs::read_to_string(folder().join("init.lua")).expect("init.lua is beside the snippets");
        site.write("init.lua", format!("PORT = {port}\n{init}"));
        for snippet in &all {
            for (phase, code) in &snippet.code {
                site.write(&format!("{}.{phase}.lua", snippet.id), code);
            }
        }
        let root = site.path("");
        let http = format!(
            "default_type text/plain; client_body_buffer_size 1m; proxy_http_version 1.1; lua_shared_dict d 1m; \
             lua_socket_log_errors off; init_by_lua_file {}/init.lua;",
            root.display()
        );
        let locations: String = all.iter().map(|snippet| location(snippet, &root, upstream.address())).collect();
        let nginx = Nginx::with_lua(&http, &format!("server_name localhost; {locations}"));
        Self { nginx, gateway: site.start(), _upstream: upstream }
    }

    /// What nginx and the gateway answer.
    pub fn ask(&mut self, snippet: &Snippet) -> (String, String) {
        let request = request(snippet);
        (
            answer::render(&send(self.nginx.address, &request), snippet),
            answer::render(&send(self.gateway.address(), &request), snippet),
        )
    }

    /// What nginx and the gateway have logged, snippet by snippet, as lines of a level and a text.
    pub fn end(mut self, snippets: &[Snippet]) -> Vec<(Vec<String>, Vec<String>)> {
        let end = Snippet { id: END.0.to_owned(), ..Snippet::default() };
        let _ = self.ask(&end);
        self.gateway.await_line(|line| line.contains("all snippets have run"));
        let theirs = by_snippet(&self.nginx.log(), snippets, of_nginx);
        let ours = by_snippet(&self.gateway.seen().join("\n"), snippets, of_gateway);
        let of = |logs: &BTreeMap<String, Vec<String>>, snippet: &Snippet| {
            logs.get(&snippet.id).cloned().unwrap_or_default()
        };
        snippets.iter().map(|snippet| (of(&theirs, snippet), of(&ours, snippet))).collect()
    }
}

/// Where the snippets are.
pub fn folder() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("suites/lua_nginx")
}

fn location(snippet: &Snippet, root: &std::path::Path, upstream: SocketAddr) -> String {
    let id = &snippet.id;
    let mut text = format!("location /{id}/ {{ set $color red; ");
    for phase in PHASES.iter().filter(|phase| snippet.has(phase)) {
        text.push_str(&format!("{phase}_by_lua_file {}/{id}.{phase}.lua; ", root.display()));
    }
    if !snippet.has("content") {
        text.push_str(&format!("proxy_pass http://{upstream}; "));
    }
    text.push_str("}\n");
    text
}

fn gateway_config(snippets: &[Snippet], upstream: SocketAddr, port: u16) -> String {
    let mut config = format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n[access_log]\noutput = \"off\"\n\
         [runtime]\nthreads = 1\n[shared_dicts.d]\nsize = \"1MiB\"\n[upstreams.u]\nendpoints = [\"{upstream}\"]\n\
         [lua.v]\ninit_file = \"init.lua\"\ngrants = [\"shared:d\", \"routes\", \"address:127.0.0.1:{port}\"]\n"
    );
    for snippet in snippets {
        let id = &snippet.id;
        config.push_str(&format!("[scripts.{id}]\nlua = \"v\"\nvariables = {{ color = \"red\" }}\n"));
        for (phase, _) in &snippet.code {
            config.push_str(&format!("{phase}_file = \"{id}.{phase}.lua\"\n"));
        }
        let target = if snippet.has("content") { "" } else { "upstream = \"u\"\n" };
        config.push_str(&format!(
            "[[routes]]\nname = \"{id}\"\npath_prefix = \"/{id}\"\n{target}stages = [{{ script = \"{id}\" }}]\n"
        ));
    }
    config
}

/// The bytes of a snippet's request.
fn request(snippet: &Snippet) -> Vec<u8> {
    let text = snippet.request.as_deref().unwrap_or("GET /\n");
    let text = text.strip_suffix('\n').unwrap_or(text);
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let (head, mut body) = (head.trim_end_matches('\n'), body.trim_end_matches('\n').to_owned());
    let mut lines = head.lines();
    let (method, target) = lines.next().and_then(|line| line.split_once(' ')).expect("a method and a target");
    let (target, version) = target.strip_suffix(" HTTP/1.0").map_or((target, "1.1"), |target| (target, "1.0"));
    let mut bytes = format!("{method} /{}{target} HTTP/{version}\r\n", snippet.id);
    let fields: Vec<&str> = lines.collect();
    if !fields.iter().any(|field| field.to_ascii_lowercase().starts_with("host:")) {
        bytes.push_str("Host: localhost\r\n");
    }
    for field in fields {
        bytes.push_str(field);
        bytes.push_str("\r\n");
    }
    if let Some(chunk) = snippet.chunked.as_deref().map(|chunk| chunk.trim_end_matches('\n')) {
        body = format!("{:x}\r\n{chunk}\r\n0\r\n\r\n", chunk.len());
    } else if !body.is_empty() {
        bytes.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    bytes.push_str("Connection: close\r\n\r\n");
    // Letters of Latin-1 are bytes of fields.
    let mut bytes: Vec<u8> = bytes.chars().map(|letter| u8::try_from(letter).unwrap_or(b'?')).collect();
    bytes.extend_from_slice(body.as_bytes());
    bytes
}

/// All that a server says before it closes.
fn send(address: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    let mut answer = Vec::new();
    // What came before the server broke off counts.
    let _ = stream.write_all(request);
    let _ = stream.read_to_end(&mut answer);
    answer
}

/// Says what the upstream got, but for what each proxy does its own way.
fn tell(received: &Received, stream: &mut TcpStream) -> bool {
    const UNTOLD: [&str; 8] =
        ["host", "connection", "via", "x-request-id", "content-length", "transfer-encoding", "forwarded", "user-agent"];
    let mut fields: Vec<(String, &String)> =
        received.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
    fields.sort();
    let mut text = format!("{} {}\n", received.method, received.target);
    for (name, value) in fields {
        if !UNTOLD.contains(&name.as_str()) && !name.starts_with("x-forwarded") {
            text.push_str(&format!("{name}: {value}\n"));
        }
    }
    let mut body = text.into_bytes();
    if !received.body.is_empty() {
        body.push(b'\n');
        body.extend_from_slice(&received.body);
    }
    let status = received.header("x-status").unwrap_or_else(|| "200".to_owned());
    let head = format!(
        "HTTP/1.1 {status} Told\r\nContent-Type: text/plain\r\nX-Upstream: yes\r\nX-Many: 1\r\nX-Many: 2\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    let body = if received.method == "HEAD" { Vec::new() } else { body };
    stream.write_all(&[head.into_bytes(), body].concat()).is_ok()
}

/// A server that answers each line and each datagram with itself, `silent` with nothing, and closes at `close`; its port.
fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let datagrams = UdpSocket::bind(("127.0.0.1", port)).expect("the same port for datagrams");
    std::thread::spawn(move || {
        let mut buffer = [0; 65536];
        while let Ok((count, peer)) = datagrams.recv_from(&mut buffer) {
            if &buffer[..count] != b"silent" {
                let _ = datagrams.send_to(&buffer[..count], peer);
            }
        }
    });
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let Ok(mut writer) = stream.try_clone() else { return };
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    match line.as_str() {
                        "close" => break,
                        "silent" => {}
                        line => {
                            if writer.write_all(format!("{line}\n").as_bytes()).is_err() {
                                break;
                            }
                        }
                    }
                }
                let _ = writer.shutdown(std::net::Shutdown::Both);
            });
        }
    });
    port
}

/// Lines of a log that name a snippet's code, by the snippet.
fn by_snippet(
    log: &str,
    snippets: &[Snippet],
    read: impl Fn(&str) -> Option<(&'static str, String)>,
) -> BTreeMap<String, Vec<String>> {
    let mut logs: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in log.lines() {
        let Some(snippet) = snippets.iter().find(|snippet| line.contains(&format!("{}.", snippet.id))) else {
            continue;
        };
        let Some((level, text)) = read(line) else { continue };
        let line = format!("{level} {}\n", answer::neutral(&text, snippet));
        logs.entry(snippet.id.clone()).or_default().push(line);
    }
    logs
}

/// What a script has logged, or why one has failed.
fn said(line: &str) -> Option<&str> {
    let of = |mark: &str| line.find(mark).map(|at| line.get(at + mark.len()..).unwrap_or_default());
    of("[lua] ").or_else(|| of("runtime error: "))
}

fn of_nginx(line: &str) -> Option<(&'static str, String)> {
    let level = if line.contains("[warn]") {
        "warn"
    } else if line.contains("[notice]") || line.contains("[info]") {
        "info"
    } else {
        "error"
    };
    let said = said(line)?;
    let end = [" while ", ", client: ", ", context: "].iter().filter_map(|mark| said.find(mark)).min();
    Some((level, said.get(..end.unwrap_or(said.len())).unwrap_or_default().to_owned()))
}

fn of_gateway(line: &str) -> Option<(&'static str, String)> {
    let level = if line.contains(" WARN ") {
        "warn"
    } else if line.contains(" INFO ") {
        "info"
    } else {
        "error"
    };
    let said = said(line)?;
    let end = said.find(" request_id=").unwrap_or(said.len());
    Some((level, said.get(..end).unwrap_or_default().to_owned()))
}
