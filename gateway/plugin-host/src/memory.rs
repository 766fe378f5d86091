//! How much memory an instance has.

use wasmtime::ResourceLimiter;

/// Counts the linear memories and tables of one instance and refuses what is over its limit: the guest then sees a failed
/// `memory.grow` or `table.grow`.
#[derive(Debug)]
pub(crate) struct MemoryGauge {
    limit: usize,
    bytes: usize,
    denied: bool,
}

/// What an element of a table takes in the host.
const ELEMENT: usize = size_of::<usize>();

impl MemoryGauge {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, bytes: 0, denied: false }
    }

    /// Bytes that the instance has now. Guests never give memory back.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Whether growth was refused since the last call of this function.
    pub(crate) fn take_denied(&mut self) -> bool {
        std::mem::take(&mut self.denied)
    }

    fn grow(&mut self, bytes: usize) -> bool {
        let granted = self.bytes.checked_add(bytes).filter(|total| *total <= self.limit);
        match granted {
            Some(total) => self.bytes = total,
            None => self.denied = true,
        }
        granted.is_some()
    }
}

impl ResourceLimiter for MemoryGauge {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(desired.saturating_sub(current)))
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(desired.saturating_sub(current).saturating_mul(ELEMENT)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_and_tables_share_one_limit() {
        let mut gauge = MemoryGauge::new(100_000);
        assert!(gauge.memory_growing(0, 65_536, None).unwrap());
        assert!(gauge.table_growing(0, 1000, None).unwrap());
        assert!(!gauge.take_denied());
        assert!(!gauge.memory_growing(65_536, 131_072, None).unwrap());
        assert_eq!(gauge.bytes(), 65_536 + 1000 * ELEMENT);
        assert!(gauge.take_denied());
        assert!(!gauge.take_denied(), "the mark is taken once");
    }
}
