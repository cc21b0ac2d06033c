//! A memory budget for the items in flight.

use std::sync::{Condvar, Mutex, PoisonError};

use crate::base::sync;

/// A number of bytes shared by the items being processed.
#[derive(Debug)]
pub struct Budget {
    total: u64,
    free: Mutex<u64>,
    returned: Condvar,
}

impl Budget {
    /// A budget of `total` bytes.
    #[must_use]
    pub fn new(total: u64) -> Self {
        Self { total, free: Mutex::new(total), returned: Condvar::new() }
    }

    /// Blocks until `bytes` are free and takes them. An item larger than the budget takes all of it and so runs alone.
    pub fn take(&self, bytes: u64) -> Share<'_> {
        let bytes = bytes.min(self.total);
        let mut free = sync::lock(&self.free);
        while *free < bytes {
            free = self.returned.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        *free -= bytes;
        Share { budget: self, bytes }
    }
}

/// Bytes taken; dropping gives them back.
#[derive(Debug)]
pub struct Share<'a> {
    budget: &'a Budget,
    bytes: u64,
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        *sync::lock(&self.budget.free) += self.bytes;
        self.budget.returned.notify_all();
    }
}
