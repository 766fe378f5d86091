//! What stages cost.

use std::time::Duration;

use crate::Hook;

/// What one run of a hook took, as far as its stage knows. A stage without a guest leaves it at zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Time in which the guest ran, on its thread: what it waits for and what other tasks of the thread take is not in it, what
    /// the operating system gives to other threads meanwhile is. On a machine with processors to spare that is its
    /// processor time, whose own clock takes longer to read than most hooks take to run.
    pub guest: Duration,
    /// The same of the gateway on behalf of the guest: its host calls.
    pub host: Duration,
    /// Time until an instance was there to run on.
    pub queued: Duration,
    /// Bytes that were copied to the guest, in arguments of hooks and answers of host calls.
    pub bytes_in: u64,
    /// Bytes that were copied from the guest.
    pub bytes_out: u64,
    /// Bytes of memory that the guest had in the end.
    pub memory: usize,
    /// Whether its instance was replaced afterwards, because of its age or its size.
    pub recycled: bool,
}

impl Usage {
    /// Adds another run; of memory the larger figure stays.
    pub fn add(&mut self, other: &Self) {
        self.guest += other.guest;
        self.host += other.host;
        self.queued += other.queued;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.memory = self.memory.max(other.memory);
        self.recycled |= other.recycled;
    }
}

/// All runs of one hook of one stage for one request: a body hook runs once for each piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Index of the stage in the route's list.
    pub step: usize,
    pub hook: Hook,
    pub runs: u32,
    /// Runs that decided nothing.
    pub failures: u32,
    pub elapsed: Duration,
    pub usage: Usage,
}

/// The accounts of one request: of each stage and hook at most one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accounts(Vec<Account>);

impl Accounts {
    pub(crate) fn book(&mut self, step: usize, hook: Hook, (elapsed, usage): (Duration, &Usage), failed: bool) {
        let present = self.0.iter_mut().find(|account| (account.step, account.hook) == (step, hook));
        match present {
            Some(account) => {
                account.runs = account.runs.saturating_add(1);
                account.failures = account.failures.saturating_add(failed.into());
                account.elapsed += elapsed;
                account.usage.add(usage);
            }
            None => {
                self.0.push(Account { step, hook, runs: 1, failures: failed.into(), elapsed, usage: *usage });
            }
        }
    }

    /// In the order in which the hooks first ran.
    pub fn iter(&self) -> impl Iterator<Item = &Account> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_one_hook_are_booked_together() {
        let mut accounts = Accounts::default();
        let usage = |bytes_in, memory| Usage { bytes_in, memory, guest: Duration::from_micros(1), ..Usage::default() };
        let elapsed = Duration::from_micros(2);
        accounts.book(0, Hook::RequestBody, (elapsed, &usage(10, 500)), false);
        accounts.book(1, Hook::RequestBody, (elapsed, &usage(1, 1)), false);
        accounts.book(0, Hook::RequestBody, (elapsed, &usage(20, 400)), true);
        let booked: Vec<_> = accounts.iter().collect();
        assert_eq!(booked.len(), 2);
        assert_eq!((booked[0].runs, booked[0].failures, booked[0].elapsed), (2, 1, Duration::from_micros(4)));
        assert_eq!(booked[0].usage, Usage { guest: Duration::from_micros(2), ..usage(30, 500) });
    }
}
