//! Cells of the grid that the patches of a photograph were cut from.

use std::collections::BTreeMap;

use super::{PatchRow, SetInfo, mask_bytes, shard_head};

/// Number of patches in a shard of that many bytes; [`None`] if `extract` did not write it.
#[must_use]
pub fn patches_in(bytes: u64, info: &SetInfo) -> Option<usize> {
    let masks = if info.masks { info.classes.len() * mask_bytes(info.side()) } else { 0 };
    let patch = info.side() * info.side() * 3 + masks;
    let most = usize::try_from(bytes).ok()? / patch.max(1);
    // The header takes less than a few patches.
    let fits = |count: &usize| (shard_head(*count, info).len() + count * patch) as u64 == bytes;
    (0..=most).rev().take(64).find(fits)
}

/// Rows and columns of the grid that these patches are left of, if it had `count` patches: one row after the other from the top left
/// corner, at equal distances, the last of a row or column possibly nearer. [`None`] if no grid fits, or several do.
#[must_use]
pub fn grid_of(patches: &[PatchRow], count: usize) -> Option<[usize; 2]> {
    let mut fitting = (1..=count).filter(|columns| count.is_multiple_of(*columns) && fits(patches, count, *columns));
    let columns = fitting.next()?;
    fitting.next().is_none().then_some([count / columns, columns])
}

/// Whether patches are left of a grid of `count` patches with so many columns.
fn fits(patches: &[PatchRow], count: usize, columns: usize) -> bool {
    let (mut across, mut down) = (BTreeMap::new(), BTreeMap::new());
    let all = patches.iter().all(|patch| {
        let index = patch.index as usize;
        index < count
            && *across.entry(index % columns).or_insert(patch.x) == patch.x
            && *down.entry(index / columns).or_insert(patch.y) == patch.y
    });
    let sides = [(&across, columns), (&down, count / columns)];
    let strides: Vec<usize> = sides.iter().flat_map(|(starts, length)| strides(starts, *length)).collect();
    all && match strides.split_first() {
        Some((stride, rest)) => {
            *stride > 0
                && rest.iter().all(|other| other == stride)
                && sides.iter().all(|(starts, length)| at_strides(starts, *length, *stride))
        }
        // Only patches of the first and the last row and column.
        None => sides.iter().all(|(starts, _)| starts.iter().all(|(at, start)| (*at == 0) == (*start == 0))),
    }
}

/// Distance between patches, by each place along a side that is neither the first nor the last; 0 if it is not a whole number.
fn strides(starts: &BTreeMap<usize, u32>, length: usize) -> impl Iterator<Item = usize> {
    let inner = starts.iter().filter(move |(at, _)| **at > 0 && **at + 1 < length);
    inner.map(|(at, start)| if (*start as usize).is_multiple_of(*at) { *start as usize / at } else { 0 })
}

/// Whether patches along a side start at multiples of `stride`, the last one possibly before its multiple.
fn at_strides(starts: &BTreeMap<usize, u32>, length: usize, stride: usize) -> bool {
    starts.iter().all(|(&at, &start)| {
        let (start, multiple) = (start as usize, at * stride);
        start == multiple || at + 1 == length && at > 0 && start < multiple && start > (at - 1) * stride
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::data::grid::{EdgePolicy, PatchGrid};
    use crate::data::photographs::LabelScheme;

    fn patches(width: usize, height: usize, stride: usize, edge: EdgePolicy) -> (Vec<PatchRow>, [usize; 2]) {
        let grid = PatchGrid { size: 16, stride, edge };
        let row = |(index, (x, y)): (usize, (usize, usize))| PatchRow {
            x: x as u32,
            y: y as u32,
            index: index as u32,
            copies: 1,
            labels: Vec::new(),
            mask_pixels: Vec::new(),
            mask_distance: Vec::new(),
            mean: [0.0; 3],
            deviation: [0.0; 3],
            histogram: Arc::new([0; 256]),
        };
        let rows = grid.places(width, height).into_iter().enumerate().map(row).collect();
        (rows, [grid.along(height).len(), grid.along(width).len()])
    }

    #[test]
    fn the_grid_of_patches_is_found_whichever_are_left() {
        for edge in [EdgePolicy::Drop, EdgePolicy::Shift, EdgePolicy::Pad] {
            for (width, height, stride) in [(100, 70, 16), (100, 70, 8), (64, 64, 16), (90, 51, 20), (300, 40, 16)] {
                let (all, grid) = patches(width, height, stride, edge);
                assert_eq!(grid_of(&all, all.len()), Some(grid), "{width} x {height} by {stride}, {edge:?}");
                // Every third, those within, and each of them by itself, which may fit several grids.
                let some: Vec<PatchRow> = all.iter().filter(|patch| patch.index % 3 == 1).cloned().collect();
                assert_eq!(grid_of(&some, all.len()), Some(grid), "{width} x {height} by {stride}, {edge:?}");
                let inner = |patch: &&PatchRow| {
                    let (row, column) = (patch.index as usize / grid[1], patch.index as usize % grid[1]);
                    row > 0 && column > 0 && row + 1 < grid[0] && column + 1 < grid[1]
                };
                let within: Vec<PatchRow> = all.iter().filter(inner).cloned().collect();
                if within.len() > 1 {
                    assert_eq!(grid_of(&within, all.len()), Some(grid), "{width} x {height} by {stride}, {edge:?}");
                }
                for one in &within {
                    let found = grid_of(std::slice::from_ref(one), all.len());
                    assert!(found.is_none_or(|found| found == grid), "{width} x {height} by {stride}: {found:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_of_no_grid_or_of_several_is_not_guessed() {
        let (all, _) = patches(100, 70, 16, EdgePolicy::Drop);
        assert_eq!(grid_of(&all[..1], all.len()), None, "the first patch is in every grid");
        let mut odd = all.clone();
        odd[7].x += 1;
        assert_eq!(grid_of(&odd, all.len()), None);
        assert_eq!(grid_of(&all, all.len() - 1), None);
    }

    #[test]
    fn the_number_of_patches_follows_from_the_size_of_the_shard() {
        let mut info = SetInfo {
            classes: vec!["MA".to_owned(), "EX".to_owned()],
            size: 4,
            margin: 1,
            masks: false,
            scale: 1,
            resampled: false,
            min_pixels: 1,
            min_fraction: 0.0,
            labels: LabelScheme::MultiLabel,
        };
        for masks in [false, true] {
            info.masks = masks;
            for count in [1, 2, 9, 10, 123, 1000] {
                let bytes = super::super::ShardBytes::new(count, &info).finish().len() as u64;
                assert_eq!(patches_in(bytes, &info), Some(count), "{masks}");
                assert_eq!(patches_in(bytes + 1, &info), None);
            }
        }
    }
}
