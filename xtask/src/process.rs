//! Child processes that cannot outlive the task.

use std::process::{Command, Stdio};

use crate::failure::Failure;

/// Lets the kernel send SIGTERM to the child when this process is gone, by whatever means (SIGKILL included). Linux
/// counts from the death of the *thread* that spawned it, so children are spawned from the main thread only. Elsewhere
/// the terminal's Ctrl-C still reaches the whole process group.
#[cfg_attr(target_os = "linux", allow(unsafe_code, reason = "pre_exec: between fork and exec"))]
pub fn die_with_parent(command: &mut Command) -> &mut Command {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::process::CommandExt;

        use rustix::process::{Signal, set_parent_process_death_signal};

        // SAFETY: the closure makes one system call and neither allocates nor locks.
        unsafe {
            command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::TERM))?));
        }
    }
    command
}

/// Runs a command to its end, its output passing through; anything but success is a failure.
pub fn complete(command: &mut Command) -> Result<(), Failure> {
    let status = die_with_parent(command.stdin(Stdio::null())).status().map_err(not_started(command))?;
    if status.success() { Ok(()) } else { Err(Failure::Command { command: line(command), status }) }
}

/// Whether a command can be started and succeeds; its output is dropped.
pub fn succeeds(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// Runs a command to its end and returns what it printed on standard output.
pub fn output(command: &mut Command) -> Result<String, Failure> {
    let piped = die_with_parent(command.stdin(Stdio::null()).stderr(Stdio::inherit()));
    let output = piped.output().map_err(not_started(command))?;
    if !output.status.success() {
        return Err(Failure::Command { command: line(command), status: output.status });
    }
    String::from_utf8(output.stdout)
        .map_err(|error| Failure::Output { command: line(command), detail: error.to_string() })
}

/// Reports that a command could not be started.
pub fn not_started(command: &Command) -> impl FnOnce(std::io::Error) -> Failure + use<> {
    let program = command.get_program().to_string_lossy().into_owned();
    |source| Failure::Start { program, source }
}

/// The command as one would type it.
pub fn line(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_command_is_named_as_one_would_type_it() {
        let failure = complete(Command::new("/bin/sh").args(["-c", "exit 3"])).unwrap_err();
        assert_eq!(failure.to_string(), "`sh -c exit 3` failed (exit status: 3)");
    }

    #[test]
    fn a_program_that_does_not_exist_is_named() {
        let failure = complete(&mut Command::new("no-such-program")).unwrap_err();
        assert!(failure.to_string().starts_with("`no-such-program` cannot be started"), "{failure}");
    }

    #[test]
    fn output_is_what_was_printed() {
        assert_eq!(output(Command::new("echo").arg("hello")).unwrap(), "hello\n");
    }
}
