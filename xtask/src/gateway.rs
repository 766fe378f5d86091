//! The gateway as a child process.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::failure::Failure;
use crate::process;
use crate::sample::Sample;
use crate::workspace;

enum Event {
    /// A listener accepts connections, at this URL.
    Ready(String),
    /// Ctrl-C or SIGTERM.
    Stop,
    /// The gateway closed its standard output, which it does by ending.
    Ended,
}

/// Serves a sample until Ctrl-C or SIGTERM, and lets the gateway drain then. Its output passes through; the commands to
/// try follow the last `ready` line.
pub fn serve(binary: &Path, sample: &Sample) -> Result<(), Failure> {
    let (events, incoming) = mpsc::channel();
    forward_signals(events.clone())?;
    let mut gateway = spawn(binary, sample, events)?;
    let stopped = follow(&gateway, sample, &incoming);
    let status = gateway.wait().map_err(Failure::io("wait for the gateway"))?;
    if stopped && status.success() { Ok(()) } else { Err(Failure::Gateway(status)) }
}

/// Returns when the gateway has ended: whether it was told to.
fn follow(gateway: &Child, sample: &Sample, incoming: &Receiver<Event>) -> bool {
    let (mut urls, mut stopped) = (Vec::new(), false);
    for event in incoming {
        match event {
            Event::Ready(url) => {
                urls.push(url);
                if urls.len() == sample.listeners.len() {
                    print_trials(sample, &urls);
                }
            }
            Event::Stop => {
                stopped = true;
                stop(gateway);
            }
            Event::Ended => break,
        }
    }
    stopped
}

fn spawn(binary: &Path, sample: &Sample, events: Sender<Event>) -> Result<Child, Failure> {
    let mut command = Command::new(binary);
    command.args(["run", "-c"]).arg(&sample.file).current_dir(workspace::root());
    // A process group of its own keeps the terminal's Ctrl-C from it: a second signal, after the one that is sent from
    // here, would cut its draining short.
    command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut gateway = process::die_with_parent(&mut command).spawn().map_err(process::not_started(&command))?;
    if let Some(output) = gateway.stdout.take() {
        thread::spawn(move || pass_through(output, &events));
    }
    Ok(gateway)
}

/// Reads to the end even if nobody reads on this side, lest the gateway wait for its own log.
fn pass_through(output: ChildStdout, events: &Sender<Event>) {
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        // Fails only if standard output is closed.
        let _ = writeln!(std::io::stdout(), "{line}");
        if let Some(url) = line.strip_prefix("ready ") {
            let _ = events.send(Event::Ready(url.to_owned()));
        }
    }
    let _ = events.send(Event::Ended);
}

fn forward_signals(events: Sender<Event>) -> Result<(), Failure> {
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(Failure::io("watch for Ctrl-C"))?;
    thread::spawn(move || {
        for _ in signals.forever() {
            if events.send(Event::Stop).is_err() {
                break;
            }
        }
    });
    Ok(())
}

/// Has it drain and end.
pub fn stop(gateway: &Child) {
    let pid = i32::try_from(gateway.id()).ok().and_then(Pid::from_raw);
    // Fails only if the gateway is gone, which is what is wanted.
    let _ = pid.map(|pid| kill_process(pid, Signal::TERM));
}

fn print_trials(sample: &Sample, urls: &[String]) {
    let mut out = std::io::stdout().lock();
    for trial in &sample.trials {
        let command = at_real_addresses(&trial.command, &sample.listeners, urls);
        // Fails only if standard output is closed.
        let _ = writeln!(out, "\n# {}\n{command}", trial.expectation);
    }
    let _ = writeln!(out, "\n# Edit {} while it runs; Ctrl-C ends it.", sample.file.display());
    let _ = out.flush();
}

/// The file's addresses replaced by those that the gateway reports: they differ if the file asks for port 0.
fn at_real_addresses(command: &str, configured: &[SocketAddr], urls: &[String]) -> String {
    configured.iter().zip(urls).fold(command.to_owned(), |command, (configured, url)| {
        let real = url.split_once("://").map_or(url.as_str(), |(_scheme, address)| address);
        command.replace(&configured.to_string(), real)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_names_the_address_that_the_gateway_really_has() {
        let configured = ["127.0.0.1:0".parse().unwrap()];
        let command = at_real_addresses("curl http://127.0.0.1:0/a", &configured, &["http://127.0.0.1:4711".into()]);
        assert_eq!(command, "curl http://127.0.0.1:4711/a");
    }
}
