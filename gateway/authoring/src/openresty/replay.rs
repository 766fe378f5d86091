//! Runs one case against one server.

use std::time::{Duration, Instant};

use super::blocks::Block;
use super::case::{Case, Place, Preamble, Problem};
use super::client;
use super::report::Outcome;
use super::response::Response;
use super::server::{self, Against, Server, Started};
use super::translate;

/// How long a line of the log may come after the response: what is logged when a connection has been closed.
const LOG_DELAY: Duration = Duration::from_millis(40);
/// The same, for lines that must be there.
const LOG_TIMEOUT: Duration = Duration::from_millis(250);

/// Reads `block` for `place`, and runs it.
pub fn replay(block: &Block, preamble: &Preamble, place: &Place, against: &Against) -> (Outcome, Vec<&'static str>) {
    let mut case = match Case::read(block, preamble, place) {
        Ok(case) => case,
        Err(problem) => return (problem.into(), Vec::new()),
    };
    match against {
        Against::Nginx => (run(&case, place, || server::start_nginx(&case, place).map_err(StartError::Io)), Vec::new()),
        Against::Gateway(program) => match translate::without_own_expectations(&mut case) {
            Ok(unchecked) => {
                let start = || {
                    let translation = translate::translate(&case, place).map_err(StartError::Problem)?;
                    server::start_gateway(program, translation, place).map_err(StartError::Io)
                };
                (run(&case, place, start), unchecked)
            }
            Err(problem) => (problem.into(), Vec::new()),
        },
    }
}

/// Why a server was not started.
pub enum StartError {
    Io(std::io::Error),
    Problem(Problem),
}

pub fn run(case: &Case, place: &Place, start: impl FnOnce() -> Result<Started, StartError>) -> Outcome {
    if let Err(error) = server::write_files(case, place) {
        return Outcome::Failed(vec![format!("files: {error}")]);
    }
    let mut server = match start() {
        Ok(Started::Running(server)) => server,
        Ok(Started::Ended(log)) => return ended(case, &log),
        Err(StartError::Problem(problem)) => return problem.into(),
        Err(StartError::Io(error)) => return Outcome::Failed(vec![format!("start: {error}")]),
    };
    if case.must_die {
        return Outcome::Failed(vec!["start: expected that it fails".to_owned()]);
    }
    let mut differences = Vec::new();
    for turn in 0..case.repeat {
        if turn > 0
            && let Err(error) = server::write_files(case, place)
        {
            differences.push(format!("files: {error}"));
            break;
        }
        differences = turn_of(case, place, &mut server, turn);
        if !differences.is_empty() {
            differences
                .extend(server.first_error().map(|error| format!("its log: {}", super::text::show(&error, 400))));
            break;
        }
    }
    if differences.is_empty() && case.logs.has_end() {
        differences = case.logs.check_end(&server.stop());
    }
    if differences.is_empty() { Outcome::Passed } else { Outcome::Failed(differences) }
}

/// The server ended at once: what a case may expect.
fn ended(case: &Case, log: &str) -> Outcome {
    if case.must_die {
        let differences = case.logs.check(log, 0);
        return if differences.is_empty() { Outcome::Passed } else { Outcome::Failed(differences) };
    }
    if log.contains("cannot be compiled") {
        return Outcome::Untranslatable("a script that is no Lua: the gateway refuses it before it serves".to_owned());
    }
    let line = log.lines().find(|line| line.contains("[emerg]") || line.contains("[error]")).unwrap_or(log).trim();
    let unknown = line.split_once("unknown directive ").map(|(_, directive)| directive);
    match unknown.and_then(|directive| directive.split('"').nth(1)) {
        Some(directive) => Outcome::Untranslatable(format!("directive {directive}")),
        None => Outcome::Failed(vec![format!("start: {}", super::text::show(line, 400))]),
    }
}

/// Sends the case's requests once.
fn turn_of(case: &Case, place: &Place, server: &mut Server, turn: usize) -> Vec<String> {
    let mut differences = Vec::new();
    let mut expectations = case.expectations.iter();
    for connection in &case.connections {
        let answer = match client::exchange(place.port, connection, case) {
            Ok(answer) => answer,
            Err(error) => return vec![format!("connection: {error}")],
        };
        if answer.timed_out && !case.abort {
            differences.push("the client's time ran out".to_owned());
        }
        let mut left = answer.text;
        for _ in 0..connection.responses {
            let (response, after) = Response::take(&left, connection.head);
            left = after;
            if let Some(expectation) = expectations.next() {
                let response = server.as_nginx(response);
                differences.extend(expectation.check(&response));
            }
            if case.wait_seconds > 0.0 {
                std::thread::sleep(Duration::from_secs_f64(case.wait_seconds));
            }
            differences.extend(check_log(case, server, turn));
        }
    }
    if server.has_ended() {
        differences.push("the server ended by itself".to_owned());
    }
    differences
}

fn check_log(case: &Case, server: &mut Server, turn: usize) -> Vec<String> {
    let logs = &case.logs;
    if logs.has.is_empty() && logs.has_not.is_empty() && logs.grep.is_none() {
        return Vec::new();
    }
    let begin = Instant::now();
    loop {
        let log = server.log();
        let waited = begin.elapsed();
        if logs.is_complete(&log) || waited >= LOG_DELAY {
            let differences = logs.check(&log, turn);
            if differences.is_empty() || waited >= LOG_TIMEOUT {
                server.pass_log();
                return differences;
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
