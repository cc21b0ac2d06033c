//! Counts and memory as the command line takes them, with words for what cannot be meant.

use std::num::{NonZeroU16, NonZeroUsize};
use std::time::Duration;

use super::store::size;
use crate::base::figure::counted;
use crate::progress::table::bytes;

/// Least memory that a run can share: below it not one stage has room.
const LEAST_MEMORY: u64 = 64 << 20;

/// Largest bare number that stands for GiB and not for bytes.
const MOST_BARE: u64 = 4096;

/// Memory of a run, at least [`LEAST_MEMORY`].
pub(super) fn memory(text: &str) -> Result<u64, String> {
    let memory = size(text)?;
    if memory >= LEAST_MEMORY {
        return Ok(memory);
    }
    let bare = text.trim().chars().all(|c| c.is_ascii_digit());
    let is = if memory < 1024 { counted(memory, "byte", "bytes") } else { bytes(memory) };
    Err(if bare && (1..=MOST_BARE).contains(&memory) {
        format!("it is {is}; did you mean `{memory}GiB`?")
    } else {
        format!("it is {is}; a run needs at least {}", bytes(LEAST_MEMORY))
    })
}

/// Number from 1.
pub(super) fn count(text: &str) -> Result<NonZeroUsize, String> {
    let number: usize = text.parse().map_err(|_| "write a whole number from 1".to_owned())?;
    NonZeroUsize::new(number).ok_or_else(|| "write a whole number from 1".to_owned())
}

/// Number of threads, from 1.
pub(super) fn threads(text: &str) -> Result<NonZeroUsize, String> {
    count(text).map_err(|error| format!("{error}; without the flag all processors are used"))
}

/// Time in seconds, with decimals if needed.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = || "write a number of seconds, such as `600` or `0.5`".to_owned();
    Duration::try_from_secs_f64(text.parse().map_err(|_| wrong())?).map_err(|_| wrong())
}

/// Number of pixels, from 1.
pub(super) fn pixels(text: &str) -> Result<NonZeroU16, String> {
    let number: u16 = text.parse().map_err(|_| format!("write a whole number of pixels from 1 to {}", u16::MAX))?;
    NonZeroU16::new(number).ok_or_else(|| format!("write a whole number of pixels from 1 to {}", u16::MAX))
}

#[test]
fn amounts_that_cannot_be_meant_say_what_can() {
    assert_eq!(memory("8GiB"), Ok(8 << 30));
    assert_eq!(memory("8"), Err("it is 8 bytes; did you mean `8GiB`?".to_owned()));
    assert_eq!(memory("1"), Err("it is 1 byte; did you mean `1GiB`?".to_owned()));
    assert!(memory("8MB").is_err_and(|error| error.ends_with("a run needs at least 64.0 MiB")));
    assert_eq!(threads("0"), Err("write a whole number from 1; without the flag all processors are used".to_owned()));
    assert_eq!(count("3").map(NonZeroUsize::get), Ok(3));
    assert!(count("-1").is_err() && count("many").is_err() && pixels("0").is_err() && pixels("70000").is_err());
    assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
    assert!(["abc", "-1", "nan", "inf"].into_iter().all(|text| seconds(text).is_err()));
}
