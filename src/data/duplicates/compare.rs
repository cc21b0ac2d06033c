//! All pairs of photographs that show the same picture: candidates by their hashes, confirmed by their fingerprints.

use rayon::prelude::*;

use super::fingerprint::{PictureFingerprint, PictureHash};
use crate::data::orientation::Orientation;
use crate::stage::StageError;

/// Correlation of fingerprints from which on two photographs show the same picture. Different fundus photographs have at most 0.41,
/// changed copies at least 0.73 (`docs/design/near-duplicates.md`).
pub const MATCH: f64 = 0.65;

/// Correlation of hashes from which on the fingerprints are compared: signs of values that correlate by [`MATCH`] do so by 0.45.
const CANDIDATE: f64 = 0.35;

/// Two photographs that show the same picture, or a part of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PictureMatch {
    /// Position of the first, which is lower.
    pub first: usize,
    /// Position of the second.
    pub second: usize,
    /// How the first is turned into the second.
    pub orientation: Orientation,
    /// Correlation of what both show in that orientation.
    pub similarity: f64,
    /// Fraction of the smaller photograph that both show; [`None`] if they show the same picture.
    pub overlap: Option<f64>,
}

/// The matches among photographs with these hashes (upright), in order of their positions. `read` reads a fingerprint; only those of
/// candidates are read. `step` is called after each photograph that was compared with all after it, from several threads.
///
/// # Errors
/// The first error of `read`.
pub fn pairs(
    hashes: &[PictureHash],
    read: impl Fn(usize) -> Result<PictureFingerprint, StageError> + Sync,
    step: impl Fn() -> Result<(), StageError> + Sync,
) -> Result<Vec<PictureMatch>, StageError> {
    let of = |first: usize| {
        let own = read(first)?;
        let turned = orientations().map(|orientation| (orientation, own.hash(orientation)));
        let mut found = Vec::new();
        for (second, other) in hashes.iter().enumerate().skip(first + 1) {
            let near = turned.iter().filter(|(_, hash)| hash.correlation(other) >= CANDIDATE);
            let mut near = near.peekable();
            if near.peek().is_none() {
                continue;
            }
            let other = read(second)?;
            let similar = near.map(|(orientation, _)| {
                let similarity = own.turned(*orientation).correlation(&other);
                PictureMatch { first, second, orientation: *orientation, similarity, overlap: None }
            });
            // Of equals, the first: upright before all others.
            let best = similar.reduce(|best, one| if one.similarity > best.similarity { one } else { best });
            found.extend(best.filter(|best| best.similarity >= MATCH));
        }
        step()?;
        Ok(found)
    };
    let found: Vec<Vec<PictureMatch>> = (0..hashes.len()).into_par_iter().map(of).collect::<Result<_, StageError>>()?;
    Ok(found.into_iter().flatten().collect())
}

pub(super) fn orientations() -> [Orientation; 8] {
    std::array::from_fn(|number| Orientation::of((number + 1) as f64))
}
