//! What a runnable configuration says about itself: where it listens, where it expects upstreams, what to try.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::failure::Failure;
use crate::workspace;

/// A configuration of the repository that can be served as it is.
#[derive(Debug)]
pub struct Sample {
    /// Relative to the root.
    pub file: PathBuf,
    /// In the order of the file, as are the gateway's `ready` lines.
    pub listeners: Vec<SocketAddr>,
    /// Endpoints on this machine's loopback interface, where the demo upstream stands in for a service.
    pub loopback_endpoints: Vec<SocketAddr>,
    pub trials: Vec<Trial>,
}

/// A command to try. They stand in the configuration itself, so that they cannot drift from it: a comment line
/// `#   curl …` after a comment line that says what to expect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    pub expectation: String,
    /// Starts with `curl `.
    pub command: String,
}

impl Sample {
    /// Reads a configuration anywhere.
    pub fn read_file(file: &Path) -> Result<Self, Failure> {
        // As the caller means it: the gateway runs at the root.
        let file = std::path::absolute(file).map_err(Failure::io("--config"))?;
        let text = fs::read_to_string(&file).map_err(Failure::io(file.display().to_string()))?;
        Self::parse(file, &text)
    }

    /// Reads `gateway.toml`, or that of an example.
    pub fn read(example: Option<&str>) -> Result<Self, Failure> {
        let root = workspace::root();
        let file = match example {
            None => PathBuf::from("gateway.toml"),
            Some(name) => {
                let known = examples(&root.join("examples"))?;
                if !known.iter().any(|known| known == name) {
                    return Err(Failure::Example { name: name.to_owned(), known });
                }
                Path::new("examples").join(name).join("gateway.toml")
            }
        };
        let text = fs::read_to_string(root.join(&file)).map_err(Failure::io(file.display().to_string()))?;
        Self::parse(file, &text)
    }

    /// The gateway is the judge of the file; here it only has to be TOML.
    fn parse(file: PathBuf, text: &str) -> Result<Self, Failure> {
        let table: Table = match text.parse() {
            Ok(table) => table,
            Err(error) => return Err(Failure::Sample { file, problem: error.to_string() }),
        };
        let listeners = entries(table.get("listeners"));
        let listeners = listeners.filter_map(|listener| address(listener.get("address")?)).collect();
        let endpoints = table.get("upstreams").and_then(Value::as_table).into_iter().flat_map(Table::values);
        let mut endpoints: Vec<SocketAddr> =
            endpoints.flat_map(|upstream| entries(upstream.get("endpoints"))).filter_map(address).collect();
        endpoints.retain(|endpoint| endpoint.ip().is_loopback());
        endpoints.sort_unstable();
        endpoints.dedup();
        Ok(Self { file, listeners, loopback_endpoints: endpoints, trials: trials(text) })
    }
}

fn entries(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}

fn address(value: &Value) -> Option<SocketAddr> {
    value.as_str()?.parse().ok()
}

fn trials(text: &str) -> Vec<Trial> {
    let mut previous = "";
    let mut trials = Vec::new();
    for line in text.lines() {
        if let Some(command) = line.strip_prefix("#   ").filter(|command| command.starts_with("curl ")) {
            let expectation = previous.strip_prefix('#').unwrap_or_default().trim().to_owned();
            trials.push(Trial { expectation, command: command.trim_end().to_owned() });
        }
        previous = line;
    }
    trials
}

/// Names of the directories that hold a configuration.
fn examples(directory: &Path) -> Result<Vec<String>, Failure> {
    let read = |error| Failure::io(directory.display().to_string())(error);
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).map_err(read)? {
        let entry = entry.map_err(read)?;
        if entry.path().join("gateway.toml").is_file() {
            names.extend(entry.file_name().into_string());
        }
    }
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
# Try it.
# 200, with a key:
#   curl -i http://127.0.0.1:8080/
# curl in prose, and
#  curl badly indented, are not commands.
[[listeners]]
address = "127.0.0.1:8080"
[upstreams.a]
endpoints = ["127.0.0.1:9001", "192.0.2.1:80", "[::1]:9000", "service.local:80"]
[upstreams.b]
endpoints = ["127.0.0.1:9001"]
"#;

    fn parse(text: &str) -> Result<Sample, Failure> {
        Sample::parse("gateway.toml".into(), text)
    }

    #[test]
    fn commands_to_try_are_read_from_comments_with_what_to_expect() {
        let trial = Trial { expectation: "200, with a key:".into(), command: "curl -i http://127.0.0.1:8080/".into() };
        assert_eq!(parse(TEXT).unwrap().trials, [trial]);
    }

    #[test]
    fn only_loopback_endpoints_get_a_demo_upstream_and_each_gets_one() {
        let expected: [SocketAddr; 2] = ["127.0.0.1:9001".parse().unwrap(), "[::1]:9000".parse().unwrap()];
        assert_eq!(parse(TEXT).unwrap().loopback_endpoints, expected);
    }

    #[test]
    fn listeners_are_read_in_order() {
        assert_eq!(parse(TEXT).unwrap().listeners, ["127.0.0.1:8080".parse().unwrap()]);
    }

    #[test]
    fn a_file_that_is_no_toml_is_named() {
        let failure = parse("[[listeners").unwrap_err();
        assert!(failure.to_string().starts_with("gateway.toml: "), "{failure}");
    }

    #[test]
    fn an_unknown_example_is_answered_with_the_known_ones() {
        let failure = Sample::read(Some("no-such-example")).unwrap_err().to_string();
        assert!(failure.contains("no-such-example") && failure.contains("routing"), "{failure}");
    }
}
