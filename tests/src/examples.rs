//! What the repository offers to try: its configurations, and the commands in their comments.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::{Gateway, Redis, Site, Upstream};

/// The repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests stand below the root")
}

/// What a comment line `#   curl …` says to do, and the status that the line before it starts with.
pub struct Trial {
    pub status: String,
    pub command: String,
}

pub fn trials(text: &str) -> Vec<Trial> {
    let lines: Vec<&str> = text.lines().collect();
    let pairs = lines.windows(2).filter(|pair| pair[1].starts_with("#   curl "));
    pairs
        .map(|pair| {
            let (expectation, command) = (pair[0].trim_start_matches(['#', ' ']), &pair[1]["#   ".len()..]);
            let status: String = expectation.chars().take_while(char::is_ascii_digit).collect();
            assert_eq!(status.len(), 3, "{expectation:?} should begin with the status that `{command}` shows");
            Trial { status, command: command.to_owned() }
        })
        .collect()
}

/// Where examples expect Redis.
pub const REDIS: &str = "127.0.0.1:6379";

/// Serves a configuration of the repository as it is, except for its addresses: free ports, and one upstream for all but Redis.
pub fn serve(file: &Path, text: &str, upstream: &Upstream, redis: Option<&Redis>) -> Gateway {
    let folder = file.parent().expect("a folder");
    let mut config = String::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let line = line.replace("../../", &format!("{}/", root().display()));
        let line = match line.split_once(['=', ' ']).map_or("", |(key, _)| key) {
            "address" => "address = \"127.0.0.1:0\"".to_owned(),
            "endpoints" if line.contains(REDIS) => {
                line.replace(REDIS, &redis.expect("a Redis for this example").address.to_string())
            }
            "endpoints" => format!("endpoints = [\"{}\"]", upstream.address()),
            _ => line,
        };
        config.push_str(&line);
        config.push('\n');
    }
    if !config.contains("[admin]") {
        config.push_str("\n[admin]\naddress = \"127.0.0.1:0\"\n");
    }
    let site = Site::new(&config);
    for entry in fs::read_dir(folder).expect("readable") {
        let entry = entry.expect("readable");
        if entry.file_name() != "gateway.toml" {
            symlink(entry.path(), site.path(&entry.file_name().to_string_lossy())).expect("linked");
        }
    }
    site.start()
}
