//! What a run may use, and the account of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::OperatorError;
use crate::shape::Shape;
use crate::value::DataType;

/// Elements of one tensor: 64 Mi, a batch of four thousand rows with sixteen thousand columns. A shape comes from the
/// client, too, and must not make a gateway allocate without end.
pub const ELEMENT_LIMIT: usize = 1 << 26;

/// Bytes of all values that a run holds at one time: 512 MiB, two of the largest tensors of 32-bit numbers.
pub const BYTE_LIMIT: usize = 1 << 29;

/// Steps of a run, about one for each element that is computed or multiplied: 2^34, some seconds to half a minute of one
/// core. Products of matrices do more than their output's size tells.
pub const WORK_LIMIT: u64 = 1 << 34;

/// Bounds of one run of a graph or an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Default: [`ELEMENT_LIMIT`].
    pub elements: usize,
    /// Default: [`BYTE_LIMIT`]. As much again goes into constants that are made when a graph is built.
    pub bytes: usize,
    /// Default: [`WORK_LIMIT`].
    pub work: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { elements: ELEMENT_LIMIT, bytes: BYTE_LIMIT, work: WORK_LIMIT }
    }
}

/// What a run has used of its [`Limits`], and whether it goes on. An operator asks before it allocates, and now and then while it
/// computes for long.
#[derive(Debug)]
pub struct Budget {
    limits: Limits,
    work: u64,
    held: usize,
    stop: Option<Arc<AtomicBool>>,
}

impl Budget {
    pub fn new(limits: Limits) -> Self {
        Self { limits, work: 0, held: 0, stop: None }
    }

    /// Ends the run soon after `stop` has become true.
    #[must_use]
    pub fn until(self, stop: Arc<AtomicBool>) -> Self {
        Self { stop: Some(stop), ..self }
    }

    /// Whether the run goes on.
    ///
    /// # Errors
    /// [`OperatorError::Stopped`]
    pub fn go_on(&self) -> Result<(), OperatorError> {
        match &self.stop {
            Some(stop) if stop.load(Ordering::Relaxed) => Err(OperatorError::Stopped),
            _ => Ok(()),
        }
    }

    /// Asks for a tensor, and for a step for each of its elements.
    pub fn tensor(&mut self, shape: &Shape, data_type: DataType) -> Result<(), OperatorError> {
        self.elements(shape.elements(), data_type.size())
    }

    /// Asks for so many elements of so many bytes, and for a step for each.
    pub fn elements(&mut self, elements: usize, size: usize) -> Result<(), OperatorError> {
        if elements > self.limits.elements {
            return Err(OperatorError::limit("elements of a tensor", elements, self.limits.elements));
        }
        self.bytes(elements.saturating_mul(size))?;
        self.work(elements)
    }

    /// Asks for so many bytes beside what the run holds.
    pub fn bytes(&self, bytes: usize) -> Result<(), OperatorError> {
        let needed = self.held.saturating_add(bytes);
        if needed > self.limits.bytes {
            return Err(OperatorError::limit("bytes at one time", needed, self.limits.bytes));
        }
        Ok(())
    }

    /// Asks for so many steps.
    pub fn work(&mut self, steps: usize) -> Result<(), OperatorError> {
        self.go_on()?;
        self.work = self.work.saturating_add(steps as u64);
        if self.work > self.limits.work {
            let (needed, limit) = (self.work, self.limits.work);
            return Err(OperatorError::Limit { what: "steps of a run", needed, limit });
        }
        Ok(())
    }

    /// A value is kept.
    pub(crate) fn hold(&mut self, bytes: usize) {
        self.held = self.held.saturating_add(bytes);
    }

    /// Bytes that are kept.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// A value was dropped.
    pub(crate) fn release(&mut self, bytes: usize) {
        self.held = self.held.saturating_sub(bytes);
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}
