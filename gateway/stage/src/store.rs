//! Stores of texts that stages of one kind keep, and that stages of another may be granted.

use std::fmt::Debug;
use std::time::Duration;

/// Why a store did not do what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StoreRefusal {
    #[error("the key or the value is too long")]
    TooLarge,
    #[error("no memory")]
    Full,
    #[error("not a number")]
    NotANumber,
    #[error("exists")]
    Exists,
    #[error("not found")]
    NotFound,
}

/// When a value is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreWhen {
    Always,
    /// Only if there is none of that key.
    Absent,
    /// Only in place of one.
    Present,
}

/// Keys and values that outlive requests, for all threads. Every operation is atomic and takes microseconds. Without a
/// lifetime a value stays.
pub trait Store: Debug + Send + Sync {
    fn get(&self, key: &str) -> Option<Vec<u8>>;

    /// # Errors
    /// [`StoreRefusal`]; the old value is then still there.
    fn set(&self, key: &str, value: &[u8], lifetime: Option<Duration>, when: StoreWhen) -> Result<(), StoreRefusal>;

    fn delete(&self, key: &str);

    /// Adds to a decimal integer, and gives the sum. `initial` with a lifetime: what there is to add to if there is nothing.
    ///
    /// # Errors
    /// There is nothing and no `initial`; the value is no such number; or the sum is none.
    fn increment(&self, key: &str, by: i64, initial: Option<(i64, Option<Duration>)>) -> Result<i64, StoreRefusal>;

    /// What is left of a value's lifetime, or that it stays. None: there is no value.
    fn lifetime(&self, key: &str) -> Option<Option<Duration>>;

    /// Gives a value another lifetime; whether there is one.
    fn expire(&self, key: &str, lifetime: Option<Duration>) -> bool;
}
