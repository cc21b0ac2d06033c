//! Photographs that show a part of the same picture: crops, and fields that overlap. Patches of one are looked for in the other by a hash of each;
//! where several agree on a displacement, the cells that lie on each other are compared.

use std::cmp::Reverse;

use rayon::prelude::*;

use super::compare::{PictureMatch, orientations};
use super::field::{in_pixels, merged};
use super::fingerprint::deviations;
use crate::data::decode::Photograph;
use crate::data::orientation::Orientation;
use crate::stage::StageError;

/// Fewest cells that must lie on each other: of fewer, some correlate by chance.
const FEWEST: u64 = 400;

/// Correlation of `cells` that lie on each other from which on two photographs overlap: 0.73 of 400 cells, 0.66 of 1,000. Few cells of
/// different photographs correlate more than many (`docs/design/near-duplicates.md`).
fn overlapping(cells: u64) -> f64 {
    0.55 + 3.6 / (cells as f64).sqrt()
}

/// Side of a patch, cells: its signs fill a hash of 64 bits.
const PATCH: usize = 8;

/// Distance of the patches that are looked for, cells.
const STRIDE: usize = 4;

/// Cells of a patch that must be in the field.
const INSIDE: usize = 48;

/// Bits in which the hashes of the same patch may differ.
const DIFFERENT: u32 = 14;

/// Patches that must agree on a displacement, to within a cell.
const VOTES: u32 = 3;

/// Displacements that are tried for each orientation.
const TRIED: usize = 6;

/// Correlation from which on displacements by a cell more or less are tried as well.
const CLOSE: f64 = 0.4;

/// Most photographs whose overlaps are looked for: the time is that of all pairs.
pub const MOST: usize = 300;

/// Deviation of cells from their surroundings, where they are in the photograph; 0 outside the field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DetailMap {
    /// Side of a cell, px of the photograph.
    cell: u32,
    width: usize,
    cells: Vec<i8>,
}

/// The maps of a photograph: fine, and in cells of twice the side, for a photograph of which another one is a small part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PictureDetail(Vec<DetailMap>);

impl PictureDetail {
    /// The maps of a decoded photograph; none if nothing is in its field.
    #[must_use]
    pub fn of(photograph: &Photograph) -> Self {
        let Some((fine, cell)) = in_pixels(photograph) else { return Self(Vec::new()) };
        let coarse = merged(&fine, 2);
        let map = |grey: &super::field::GreyField, cell: usize| DetailMap {
            cell: cell as u32,
            width: grey.width,
            cells: deviations(grey),
        };
        Self(vec![map(&fine, cell), map(&coarse, 2 * cell)])
    }

    /// No map: a photograph that is not looked for in others.
    #[must_use]
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for map in &self.0 {
            for number in [map.cell, map.width as u32, map.cells.len() as u32] {
                bytes.extend(number.to_le_bytes());
            }
            bytes.extend(map.cells.iter().map(|cell| cell.cast_unsigned()));
        }
        bytes
    }

    /// The maps with these bytes; [`None`] if macula did not write them.
    #[must_use]
    pub fn from_bytes(mut bytes: &[u8]) -> Option<Self> {
        let mut maps = Vec::new();
        while !bytes.is_empty() {
            let mut number = || {
                let (first, rest) = bytes.split_first_chunk::<4>()?;
                bytes = rest;
                Some(u32::from_le_bytes(*first))
            };
            let (cell, width, count) = (number()?, number()? as usize, number()? as usize);
            let cells = bytes.get(..count).filter(|_| width > 0 && count % width == 0)?;
            bytes = &bytes[count..];
            maps.push(DetailMap { cell, width, cells: cells.iter().map(|byte| byte.cast_signed()).collect() });
        }
        Some(Self(maps))
    }
}

impl DetailMap {
    fn height(&self) -> usize {
        self.cells.len() / self.width
    }

    fn turned(&self, orientation: Orientation) -> Self {
        let size = (self.width, self.height());
        Self { width: orientation.shown(size).0, cells: orientation.turn_cells(&self.cells, size), ..*self }
    }

    /// Hashes of the patches at a distance of `stride` cells, and where they are.
    fn hashes(&self, stride: usize) -> PatchHashes {
        let mut found = PatchHashes::default();
        let last = |length: usize| (length + 1).saturating_sub(PATCH);
        for y in (0..last(self.height())).step_by(stride) {
            for x in (0..last(self.width)).step_by(stride) {
                let (mut hash, mut inside) = (0, 0);
                for row in 0..PATCH {
                    for (column, cell) in self.cells[(y + row) * self.width + x..][..PATCH].iter().enumerate() {
                        inside += usize::from(*cell != 0);
                        hash |= u64::from(*cell > 0) << (row * PATCH + column);
                    }
                }
                if inside >= INSIDE {
                    found.hashes.push(hash);
                    found.places.push((x as isize, y as isize));
                }
            }
        }
        found
    }

    /// Correlation of the cells that lie on each other if `other` is displaced by (dx, dy) against this map, and how many there are.
    fn correlation(&self, other: &Self, (dx, dy): (isize, isize)) -> (f64, u64) {
        let range = |own: usize, other: usize, by: isize| {
            let from = by.min(0).unsigned_abs();
            let to = own.min(other.saturating_add_signed(-by));
            from..to.max(from)
        };
        let columns = range(self.width, other.width, dx);
        let mut sums = [0_i64; 4];
        for y in range(self.height(), other.height(), dy) {
            let one = &self.cells[y * self.width..][columns.clone()];
            let start = y.wrapping_add_signed(dy) * other.width + columns.start.wrapping_add_signed(dx);
            let row = products(one, &other.cells[start..][..columns.len()]);
            sums.iter_mut().zip(row).for_each(|(sum, of_row)| *sum += i64::from(of_row));
        }
        let [both, product, own, others] = sums;
        let norms = own as f64 * others as f64;
        (if norms == 0.0 { 0.0 } else { product as f64 / norms.sqrt() }, both as u64)
    }

    /// Number of cells in the field.
    fn inside(&self) -> u64 {
        self.cells.iter().filter(|cell| **cell != 0).count() as u64
    }
}

/// Over the cells that are in the field of both rows: their number, and the sums of products and squares. A row has less than 2^16 cells.
fn products(one: &[i8], other: &[i8]) -> [i32; 4] {
    let mut sums = [0; 4];
    for (a, b) in one.iter().zip(other) {
        let (a, b) = (i32::from(*a), i32::from(*b));
        let (in_a, in_b) = (i32::from(a != 0), i32::from(b != 0));
        sums[0] += in_a & in_b;
        sums[1] += a * b;
        sums[2] += a * a * in_b;
        sums[3] += b * b * in_a;
    }
    sums
}

/// Hashes of patches, and the positions of their upper left cells.
#[derive(Clone, Debug, Default)]
struct PatchHashes {
    hashes: Vec<u64>,
    places: Vec<(isize, isize)>,
}

/// The maps of a photograph, with the hashes of all their patches.
struct SearchedDetail {
    detail: PictureDetail,
    hashes: Vec<PatchHashes>,
}

/// The pairs of photographs that overlap, in order of their positions, without those that `skip` says. `step` is called after each photograph
/// that was compared with all after it, from several threads.
///
/// # Errors
/// Those of `step`.
pub fn overlaps(
    details: Vec<PictureDetail>,
    skip: impl Fn(usize, usize) -> bool + Sync,
    step: impl Fn() -> Result<(), StageError> + Sync,
) -> Result<Vec<PictureMatch>, StageError> {
    let hashed = |detail: PictureDetail| {
        let hashes = detail.0.iter().map(|map| map.hashes(1)).collect();
        SearchedDetail { detail, hashes }
    };
    let all: Vec<SearchedDetail> = details.into_par_iter().map(hashed).collect();
    let of = |first: usize| {
        let mut found = Vec::new();
        let wanted = TurnedDetail::all(&all[first].detail);
        for (second, other) in all.iter().enumerate().skip(first + 1) {
            if !skip(first, second) {
                found.extend(find((first, &wanted), (second, other)));
            }
        }
        step()?;
        Ok(found)
    };
    let found: Vec<Vec<_>> = (0..all.len()).into_par_iter().map(of).collect::<Result<_, StageError>>()?;
    Ok(found.into_iter().flatten().collect())
}

/// A map in one orientation, with the hashes of the patches that are looked for.
struct TurnedDetail {
    orientation: Orientation,
    level: usize,
    map: DetailMap,
    patches: PatchHashes,
}

impl TurnedDetail {
    fn all(detail: &PictureDetail) -> Vec<Self> {
        let of = |(level, map): (usize, &DetailMap)| {
            orientations().map(|orientation| {
                let map = map.turned(orientation);
                Self { orientation, level, patches: map.hashes(STRIDE), map }
            })
        };
        detail.0.iter().enumerate().flat_map(of).collect()
    }
}

/// The overlap of a photograph in all orientations with another one, if there is one, at the finest cells that both have.
fn find((first, wanted): (usize, &[TurnedDetail]), (second, other): (usize, &SearchedDetail)) -> Option<PictureMatch> {
    let maps = || other.detail.0.iter().zip(&other.hashes);
    let level = wanted.iter().find_map(|one| Some((one.level, maps().find(|(map, _)| map.cell == one.map.cell)?)));
    let (level, (map, hashes)) = level?;
    let mut similar_at = Vec::new();
    let mut best: Option<PictureMatch> = None;
    for one in wanted.iter().filter(|one| one.level == level) {
        for place in displacements(one, map, hashes, &mut similar_at) {
            let (similarity, cells) = best_near(&one.map, map, place);
            let enough = cells >= FEWEST && similarity >= overlapping(cells);
            if enough && best.is_none_or(|best| similarity > best.similarity) {
                let overlap = Some(cells as f64 / one.map.inside().min(map.inside()).max(1) as f64);
                best = Some(PictureMatch { first, second, orientation: one.orientation, similarity, overlap });
            }
        }
    }
    best
}

/// The highest correlation at a displacement or one that differs by at most a cell, and the number of cells there.
fn best_near(one: &DetailMap, other: &DetailMap, (x, y): (isize, isize)) -> (f64, u64) {
    let here = one.correlation(other, (x, y));
    if here.0 < CLOSE {
        return here;
    }
    let around = (-1..=1).flat_map(|dy| (-1..=1).map(move |dx| (x + dx, y + dy)));
    let all = around.map(|place| one.correlation(other, place)).filter(|(_, cells)| *cells >= FEWEST);
    all.reduce(|best, one| if one.0 > best.0 { one } else { best }).unwrap_or(here)
}

/// Displacements on which most patches agree.
fn displacements(
    one: &TurnedDetail,
    map: &DetailMap,
    hashes: &PatchHashes,
    similar_at: &mut Vec<u32>,
) -> Vec<(isize, isize)> {
    // A border of one cell, so that each displacement has all its neighbours.
    let (left, top) = (one.map.width as isize + 1, one.map.height() as isize + 1);
    let across = one.map.width + map.width + 2;
    let mut votes = vec![0_u16; across * (one.map.height() + map.height() + 2)];
    for (hash, (x, y)) in one.patches.hashes.iter().zip(&one.patches.places) {
        similar(*hash, &hashes.hashes, similar_at);
        for &at in similar_at.iter() {
            let (there_x, there_y) = hashes.places[at as usize];
            votes[(there_y - y + top) as usize * across + (there_x - x + left) as usize] += 1;
        }
    }
    let around = |at: usize| -> u32 {
        let rows = [at - across, at, at + across];
        rows.iter().flat_map(|at| &votes[at - 1..=at + 1]).map(|votes| u32::from(*votes)).sum()
    };
    let voted = votes.iter().enumerate().filter(|(_, votes)| **votes > 0);
    let mut found: Vec<(Reverse<u32>, usize)> = voted.map(|(at, _)| (Reverse(around(at)), at)).collect();
    found.retain(|(votes, _)| votes.0 >= VOTES);
    found.sort_unstable();
    let mut chosen: Vec<(isize, isize)> = Vec::new();
    for (_, at) in found {
        let place = ((at % across) as isize - left, (at / across) as isize - top);
        // Neighbours of one that is tried are near it.
        if chosen.iter().all(|other| (other.0 - place.0).abs() > 1 || (other.1 - place.1).abs() > 1) {
            chosen.push(place);
        }
        if chosen.len() == TRIED {
            break;
        }
    }
    chosen
}

/// Positions of the hashes that differ from `hash` in at most [`DIFFERENT`] bits.
fn similar(hash: u64, hashes: &[u64], into: &mut Vec<u32>) {
    into.clear();
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("popcnt") {
        #[expect(unsafe_code, reason = "a call guarded by feature detection")]
        // SAFETY: this processor has POPCNT.
        return unsafe { similar_popcnt(hash, hashes, into) };
    }
    similar_portable(hash, hashes, into);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "popcnt")]
fn similar_popcnt(hash: u64, hashes: &[u64], into: &mut Vec<u32>) {
    similar_portable(hash, hashes, into);
}

#[inline]
fn similar_portable(hash: u64, hashes: &[u64], into: &mut Vec<u32>) {
    for (at, other) in hashes.iter().enumerate() {
        if (hash ^ other).count_ones() <= DIFFERENT {
            into.push(at as u32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Streams;

    /// Noise of many scales, which looks different everywhere.
    fn noise(seed: u64, side: usize) -> Photograph {
        let streams = Streams::new(seed, "noise");
        let value = |x: usize, y: usize| {
            let part = |scale: usize| {
                let of = |x: usize, y: usize| {
                    let name = [(x as u64).to_le_bytes(), (y as u64).to_le_bytes()].concat();
                    (streams.rank(&scale.to_string(), 0, &name) >> 58) as f64
                };
                let (column, row) = (x / scale, y / scale);
                let (right, down) = ((x % scale) as f64 / scale as f64, (y % scale) as f64 / scale as f64);
                let line = |row: usize| of(column, row) * (1.0 - right) + of(column + 1, row) * right;
                line(row) * (1.0 - down) + line(row + 1) * down
            };
            40.0 + part(11) + part(23) + part(61)
        };
        let rgb = (0..side * side).flat_map(|at| [value(at % side, at / side) as u8; 3]).collect();
        Photograph { width: side, height: side, rgb }
    }

    fn part(photograph: &Photograph, (left, top): (usize, usize), (width, height): (usize, usize)) -> Photograph {
        let rows = (top..top + height).flat_map(|y| photograph.row(y)[left * 3..(left + width) * 3].to_vec());
        Photograph { width, height, rgb: rows.collect() }
    }

    fn found(one: &Photograph, other: &Photograph) -> Option<PictureMatch> {
        let details = vec![PictureDetail::of(one), PictureDetail::of(other)];
        overlaps(details, |_, _| false, || Ok(())).expect("compared").first().copied()
    }

    #[test]
    fn parts_of_one_picture_are_found_and_other_pictures_are_not() {
        let one = noise(1, 520);
        let crop = found(&one, &part(&one, (70, 53), (400, 380))).expect("a crop");
        let overlap = crop.overlap.expect("a part");
        assert!(crop.similarity > 0.8 && overlap > 0.8 && crop.orientation.is_upright(), "{crop:?}");
        let fields = found(&part(&one, (0, 0), (340, 520)), &part(&one, (131, 6), (389, 514))).expect("two fields");
        assert!(fields.overlap.is_some_and(|overlap| overlap > 0.3 && overlap < 0.9), "{fields:?}");
        assert_eq!(found(&one, &noise(2, 520)), None);
        assert_eq!(found(&one, &part(&noise(3, 520), (10, 10), (300, 500))), None);
    }

    #[test]
    fn parts_are_found_in_each_orientation() {
        let one = noise(4, 1040);
        let crop = part(&one, (100, 160), (700, 640));
        for number in 1..=8 {
            let orientation = Orientation::of(f64::from(number));
            let (width, height) = orientation.shown((700, 640));
            let turned = Photograph { width, height, rgb: orientation.turn_rgb(&crop.rgb, (700, 640)) };
            assert_eq!(found(&one, &turned).map(|found| found.orientation), Some(orientation), "{number}");
        }
    }

    #[test]
    fn bytes_are_read_back_and_empty_pictures_overlap_with_nothing() {
        let detail = PictureDetail::of(&noise(5, 300));
        assert_eq!(PictureDetail::from_bytes(&detail.bytes()).as_ref(), Some(&detail));
        assert_eq!(PictureDetail::from_bytes(&[1, 2, 3]), None);
        let black = Photograph { width: 200, height: 200, rgb: vec![0; 200 * 200 * 3] };
        assert_eq!(found(&black, &black), None);
        assert_eq!(found(&Photograph::default(), &noise(5, 300)), None);
    }

    #[test]
    fn hashes_are_similar_up_to_some_bits() {
        let mut into = Vec::new();
        similar(0b1011, &[0b1011, u64::MAX, 0, 0xffff << 40], &mut into);
        assert_eq!(into, [0, 2]);
    }
}
