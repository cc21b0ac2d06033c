//! Other people's crates that assert where a file is not what it says of itself. Knows no format.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// What `read` returns; [`None`] where it panicked: a file of the user's that lies is no defect of macula's. Only for reading that
/// leaves nothing half done behind.
pub fn unpanicked<T>(read: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(read)).ok()
}
