//! Calendar times: UTC in ids, local time for people.

use chrono::{DateTime, Local, TimeZone as _};

/// `20261123-131640`: sorts in order of time.
#[must_use]
pub fn compact(nanoseconds: u64) -> String {
    let (year, month, day, hour, minute, second) = parts(nanoseconds);
    format!("{year:04}{month:02}{day:02}-{hour:02}{minute:02}{second:02}")
}

/// `2026-11-23T13:16:40Z` (RFC 3339), UTC.
#[must_use]
pub fn utc(nanoseconds: u64) -> String {
    let (year, month, day, hour, minute, second) = parts(nanoseconds);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// `2026-11-23 14:16:40`, in the time zone of this machine (`TZ`, or the system's).
#[must_use]
pub fn shown(nanoseconds: u64) -> String {
    local(nanoseconds).format("%Y-%m-%d %H:%M:%S").to_string()
}

/// `2026-11-23 14:16`, in the time zone of this machine.
#[must_use]
pub fn minute(nanoseconds: u64) -> String {
    local(nanoseconds).format("%Y-%m-%d %H:%M").to_string()
}

fn local(nanoseconds: u64) -> DateTime<Local> {
    Local.timestamp_nanos(i64::try_from(nanoseconds).unwrap_or(i64::MAX))
}

/// The civil date from days since 1970 (Hinnant, `chrono`-Compatible Low-Level Date Algorithms, 2014).
fn parts(nanoseconds: u64) -> (u64, u64, u64, u64, u64, u64) {
    let seconds = nanoseconds / 1_000_000_000;
    let days = seconds / 86_400 + 719_468;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60)
}

#[test]
fn dates_are_those_of_the_calendar() {
    assert_eq!(compact(0), "19700101-000000");
    assert_eq!(compact(951_782_400_000_000_000), "20000229-000000");
    assert_eq!(utc(951_782_400_000_000_000), "2000-02-29T00:00:00Z");
    assert!(shown(951_782_400_000_000_000).starts_with(&minute(951_782_400_000_000_000)));
    assert_eq!(compact(1_795_439_799_500_000_000), "20261123-131639");
}
