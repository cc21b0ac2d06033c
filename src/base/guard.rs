//! Contains panics of third-party decoders on malformed files.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// The result of `read`; [`None`] if it panicked: a malformed user file is not a bug of macula. Only for code that
/// leaves no partial state behind.
pub fn unpanicked<T>(read: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(read)).ok()
}
