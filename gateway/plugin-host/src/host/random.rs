//! `random`: bytes of the operating system's generator.

use super::{HostCall, HostState};
use crate::bindings::witgate::plugin::random::Host;

/// Most bytes of one call: keys and nonces need a few dozen.
const BYTES_LIMIT: u32 = 64 * 1024;

impl Host for HostCall<'_> {
    fn bytes(&mut self, length: u32) -> wasmtime::Result<Vec<u8>> {
        self.require_hook()?;
        if length > BYTES_LIMIT {
            return Err(wasmtime::Error::msg(format!("{length} random bytes in one call, at most {BYTES_LIMIT}")));
        }
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        self.fill(&mut bytes)?;
        Ok(self.give(bytes))
    }

    fn number(&mut self) -> wasmtime::Result<u64> {
        self.require_hook()?;
        let mut bytes = [0; 8];
        self.fill(&mut bytes)?;
        Ok(u64::from_ne_bytes(bytes))
    }
}

impl HostState {
    fn fill(&self, bytes: &mut [u8]) -> wasmtime::Result<()> {
        match self.surroundings().simulation() {
            None => fill(bytes),
            Some(simulation) => {
                simulation.fill(bytes);
                Ok(())
            }
        }
    }
}

/// Fills all of `bytes` from the operating system.
pub(super) fn fill(bytes: &mut [u8]) -> wasmtime::Result<()> {
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        let count = rustix::rand::getrandom(rest, rustix::rand::GetRandomFlags::empty())
            .map_err(|error| wasmtime::Error::msg(format!("no random bytes: {error}")))?;
        filled += count;
    }
    Ok(())
}
