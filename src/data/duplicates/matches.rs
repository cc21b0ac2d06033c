//! All matches among photographs: those that show the same picture, and, of few photographs, those that share a part of it. Knows neither
//! files nor names.

use std::collections::BTreeSet;

use super::compare::{PictureMatch, pairs};
use super::fingerprint::{PictureFingerprint, PictureHash};
use super::overlap::{MOST, PictureDetail, overlaps};
use crate::stage::StageError;

/// The matches among photographs with these hashes (upright): pairs of the same picture, then, of at most [`MOST`] photographs, pairs that
/// overlap, each in order of their positions. `details` are only read for the latter. `step` is called once for each photograph, and again
/// for each if overlaps are looked for, from several threads.
///
/// # Errors
/// Those of `read`, `details` and `step`.
pub fn matches(
    hashes: &[PictureHash],
    read: impl Fn(usize) -> Result<PictureFingerprint, StageError> + Sync,
    details: impl FnOnce() -> Result<Vec<PictureDetail>, StageError>,
    step: impl Fn() -> Result<(), StageError> + Sync,
) -> Result<Vec<PictureMatch>, StageError> {
    let mut found = pairs(hashes, read, &step)?;
    if hashes.len() <= MOST {
        let whole: BTreeSet<(usize, usize)> = found.iter().map(|one| (one.first, one.second)).collect();
        found.extend(overlaps(details()?, |first, second| whole.contains(&(first, second)), step)?);
    }
    Ok(found)
}
