//! How many tests passed and failed, over all test binaries.

use std::fmt;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use crate::failure::Failure;
use crate::process;

/// Sum of the result lines that test binaries print.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    pub passed: u64,
    pub failed: u64,
}

impl Tally {
    /// Runs a command, passes its output through and adds its results. A command that fails without a failed test (a
    /// compile error, a test binary that crashed) counts as one failure and is named.
    pub fn add(&mut self, command: &mut Command) -> Result<(), Failure> {
        process::die_with_parent(command.stdin(Stdio::null()).stdout(Stdio::piped()));
        let mut child = command.spawn().map_err(process::not_started(command))?;
        let mut results = Self::default();
        if let Some(stdout) = child.stdout.take() {
            results.read(stdout, io::stdout()).map_err(Failure::io("the tests' output"))?;
        }
        let status = child.wait().map_err(Failure::io("wait for the tests"))?;
        if !status.success() && results.failed == 0 {
            eprintln!("error: `{}` failed ({status})", process::line(command));
            results.failed = 1;
        }
        self.passed += results.passed;
        self.failed += results.failed;
        Ok(())
    }

    fn read(&mut self, output: impl io::Read, mut copy: impl Write) -> io::Result<()> {
        let mut output = BufReader::new(output);
        let mut line = Vec::new();
        while output.read_until(b'\n', &mut line)? > 0 {
            if let Some(result) = Self::parse(&String::from_utf8_lossy(&line)) {
                self.passed += result.passed;
                self.failed += result.failed;
            }
            copy.write_all(&line)?;
            line.clear();
        }
        copy.flush()
    }

    /// `test result: ok. 12 passed; 0 failed; …`
    fn parse(line: &str) -> Option<Self> {
        let (_verdict, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
        let mut counts = counts.split("; ");
        let mut count = |label| counts.next()?.strip_suffix(label)?.trim().parse().ok();
        Some(Self { passed: count("passed")?, failed: count("failed")? })
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "running 3 tests\ntest a ... ok\n\
        test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s\n\n\
        test result: ok. 40 passed; 0 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.00s\n";

    #[test]
    fn the_results_of_all_binaries_are_summed_and_their_output_passes_through() {
        let (mut tally, mut copy) = (Tally::default(), Vec::new());
        tally.read(OUTPUT.as_bytes(), &mut copy).unwrap();
        assert_eq!(tally.to_string(), "42 passed, 1 failed");
        assert_eq!(copy, OUTPUT.as_bytes());
    }

    #[test]
    fn a_command_that_fails_without_a_failed_test_counts_as_one_failure() {
        let mut tally = Tally::default();
        tally.add(Command::new("sh").args(["-c", "exit 101"])).unwrap();
        assert_eq!(tally, Tally { passed: 0, failed: 1 });
    }

    #[test]
    fn lines_that_only_resemble_a_result_are_not_counted() {
        for line in
            ["test result: ok", "test result: ok. many passed; 0 failed; ", "the test result: ok. 1 passed; 0 failed"]
        {
            assert_eq!(Tally::parse(line), None, "{line}");
        }
    }
}
