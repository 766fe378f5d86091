//! What a function returns.

use std::borrow::Cow;
use std::ffi::c_int;

use super::given::Given;

/// How large the results of one call may be together, in bytes, unless [`super::set_result_limit`] says otherwise. They are
/// gathered outside of the VM, whose own limit does not see them.
const RESULT_LIMIT: usize = 32 * 1024 * 1024;
/// How much memory for results a VM keeps between calls.
const KEPT: usize = 64 * 1024;

/// One step of giving results back.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    Nil,
    Null,
    Boolean(bool),
    Number(f64),
    Text { start: usize, len: usize },
    Part { argument: c_int, start: usize, len: usize },
    Argument(c_int),
    Kept(c_int),
    Table { elements: c_int, fields: c_int },
    Entry,
    Element(c_int),
    Metatable,
    Put { argument: c_int, first: c_int, last: c_int },
}

/// What a function returns to the script: values in their order. Tables are made of values that follow: after
/// [`Answer::table`], each value is put in by [`Answer::element`], each pair of key and value by [`Answer::entry`].
#[derive(Debug)]
pub(crate) struct Answer {
    pub(super) steps: Vec<Step>,
    /// The bytes of the strings among the results. Write to it, then call [`Answer::written`].
    pub(crate) text: Vec<u8>,
    pub(super) limit: usize,
    depth: usize,
    pub(super) deepest: usize,
    pub(super) overflow: bool,
    /// What it says to return is what a coroutine yields.
    pub(super) yields: bool,
    /// A call that has not ended uses it, which is at this place of the processor's stack.
    pub(super) busy: bool,
    pub(super) frame: usize,
}

impl Answer {
    pub(super) fn new() -> Self {
        Self {
            steps: Vec::new(),
            text: Vec::new(),
            limit: RESULT_LIMIT,
            depth: 0,
            deepest: 0,
            overflow: false,
            yields: false,
            busy: false,
            frame: 0,
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Entry => self.depth = self.depth.saturating_sub(2),
            Step::Element(_) | Step::Metatable | Step::Put { .. } => self.depth = self.depth.saturating_sub(1),
            _ => {
                self.depth += 1;
                self.deepest = self.deepest.max(self.depth);
            }
        }
        self.steps.push(step);
    }

    pub(crate) fn nil(&mut self) {
        self.step(Step::Nil);
    }

    /// `ngx.null`.
    pub(crate) fn null(&mut self) {
        self.step(Step::Null);
    }

    pub(crate) fn boolean(&mut self, value: bool) {
        self.step(Step::Boolean(value));
    }

    pub(crate) fn number(&mut self, value: f64) {
        self.step(Step::Number(value));
    }

    /// A copy of `value`.
    pub(crate) fn bytes(&mut self, value: &[u8]) {
        if self.fits(value.len()) {
            let start = self.text.len();
            self.text.extend_from_slice(value);
            self.written(start);
        } else {
            self.step(Step::Nil);
        }
    }

    /// What was appended to [`Answer::text`] since it had `start` bytes.
    pub(crate) fn written(&mut self, start: usize) {
        let len = self.text.len().saturating_sub(start);
        self.overflow |= self.text.len() > self.limit;
        self.step(Step::Text { start, len });
    }

    /// A part of a string that the script gave.
    pub(crate) fn part(&mut self, argument: c_int, start: usize, len: usize) {
        self.step(Step::Part { argument, start, len });
    }

    /// An argument as it was given.
    pub(crate) fn argument(&mut self, index: c_int) {
        self.step(Step::Argument(index));
    }

    /// A value that was handed to [`function_with`], from 1.
    pub(crate) fn kept(&mut self, index: c_int) {
        self.step(Step::Kept(index));
    }

    /// A new table, with room for so many elements and fields.
    pub(crate) fn table(&mut self, elements: usize, fields: usize) {
        let clamp = |count: usize| c_int::try_from(count.min(1 << 20)).unwrap_or(0);
        self.step(Step::Table { elements: clamp(elements), fields: clamp(fields) });
    }

    /// As [`Answer::table`], of a size that is known later; gives what [`Answer::size_table`] takes.
    pub(crate) fn open_table(&mut self) -> usize {
        self.table(0, 0);
        self.steps.len() - 1
    }

    /// Says how large an open table becomes.
    pub(crate) fn size_table(&mut self, table: usize, elements: usize, fields: usize) {
        let clamp = |count: usize| c_int::try_from(count.min(1 << 20)).unwrap_or(0);
        if let Some(step @ Step::Table { .. }) = self.steps.get_mut(table) {
            *step = Step::Table { elements: clamp(elements), fields: clamp(fields) };
        }
    }

    /// Puts the last value under the one before it into the table before that.
    pub(crate) fn entry(&mut self) {
        self.step(Step::Entry);
    }

    /// Puts the last value at `index` of the table before it.
    pub(crate) fn element(&mut self, index: usize) {
        self.step(Step::Element(c_int::try_from(index).unwrap_or(c_int::MAX)));
    }

    /// Makes the last value the metatable of the table before it.
    pub(crate) fn metatable(&mut self) {
        self.step(Step::Metatable);
    }

    /// Puts the last value, which is not returned then, at the indices from `first` to `last` of the table that was given as
    /// `argument`, without metamethods.
    pub(crate) fn put(&mut self, argument: c_int, first: c_int, last: c_int) {
        self.step(Step::Put { argument, first, last });
    }

    /// Makes the function yield instead of return: the results are for whoever has resumed the coroutine, and what it is resumed
    /// with is what the function returns. Fails if the function was called where nothing can yield.
    pub(crate) fn yields(&mut self) {
        self.yields = true;
    }

    /// `nil` and a message: how functions say that something was not possible.
    pub(crate) fn refusal(&mut self, message: impl AsRef<[u8]>) {
        self.nil();
        self.bytes(message.as_ref());
    }

    /// How large the results may be together.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Whether one more value is within the limit; if not, the call fails when it is over.
    pub(crate) fn fits_steps(&mut self) -> bool {
        let fits = self.steps.len().saturating_mul(size_of::<Step>()) <= self.limit;
        self.overflow |= !fits;
        fits
    }

    /// Forgets what was answered so far.
    pub(crate) fn start_over(&mut self) {
        self.steps.clear();
        self.text.clear();
        self.depth = 0;
        self.deepest = 0;
    }

    /// As [`Answer::refusal`], and nothing more.
    pub(crate) fn refuse(&mut self, message: impl AsRef<[u8]>) -> Outcome {
        self.refusal(message);
        Ok(())
    }

    /// Whether so many more bytes are within the limit of results; if not, the call fails when it is over.
    pub(crate) fn fits(&mut self, more: usize) -> bool {
        let fits = self.text.len().saturating_add(more) <= self.limit;
        self.overflow |= !fits;
        fits
    }

    pub(super) fn clear(&mut self) {
        self.steps.clear();
        self.text.clear();
        if self.steps.capacity() > KEPT / size_of::<Step>() {
            self.steps = Vec::new();
        }
        if self.text.capacity() > KEPT {
            self.text = Vec::new();
        }
        (self.depth, self.deepest, self.overflow, self.yields) = (0, 0, false, false);
    }
}

/// Why a call fails: raises an error in the script, with the place that called the function in front.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(super) message: Cow<'static, str>,
    pub(super) place: Place,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    Caller,
    Argument(c_int),
}

impl Fault {
    pub(crate) fn new(message: impl Into<Cow<'static, str>>) -> Self {
        Self { message: message.into(), place: Place::Caller }
    }

    /// As Lua's own functions complain of an argument of another type.
    pub(crate) fn expected(index: c_int, expected: &str, got: Given<'_>) -> Self {
        Self::argument(index, format!("{expected} expected, got {}", got.type_name()))
    }

    /// As Lua's own functions complain of an argument.
    pub(crate) fn argument(index: c_int, message: impl Into<Cow<'static, str>>) -> Self {
        Self { message: message.into(), place: Place::Argument(index) }
    }
}

/// What functions return; the values are in the [`Answer`].
pub(crate) type Outcome = Result<(), Fault>;
