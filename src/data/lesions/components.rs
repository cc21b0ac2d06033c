//! Connected components of pixels, as runs. Knows no lesions.

use crate::data::bitmap::Bitmap;

/// Consecutive pixels of one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PixelRun {
    /// The row.
    pub y: u32,
    /// First column.
    pub left: u32,
    /// One past the last column.
    pub right: u32,
}

/// Which pixels are neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connectivity {
    /// Those that share an edge.
    Four,
    /// Those that share an edge or a corner.
    Eight,
}

/// Runs of set pixels, row by row from the left.
#[must_use]
pub fn runs(bits: &Bitmap) -> Vec<PixelRun> {
    let mut runs: Vec<PixelRun> = Vec::new();
    for (x, y) in bits.pixels() {
        let (x, y) = (x as u32, y as u32);
        match runs.last_mut() {
            Some(last) if last.y == y && last.right == x => last.right += 1,
            _ => runs.push(PixelRun { y, left: x, right: x + 1 }),
        }
    }
    runs
}

/// Connected components of runs that are sorted row by row from the left, as by [`runs`]: in the order of their first pixels, each with
/// its runs in the given order.
#[must_use]
pub fn components(runs: &[PixelRun], connectivity: Connectivity) -> Vec<Vec<PixelRun>> {
    let reach = match connectivity {
        Connectivity::Four => 0,
        Connectivity::Eight => 1,
    };
    let mut parents: Vec<usize> = (0..runs.len()).collect();
    // The first run that may touch this one or a later one.
    let mut first = 0;
    for (at, run) in runs.iter().enumerate() {
        let is_past =
            |other: &&PixelRun| other.y + 1 < run.y || other.y + 1 == run.y && other.right + reach <= run.left;
        first += runs[first..at].iter().take_while(is_past).count();
        let touches = |other: &&PixelRun| other.y + 1 == run.y && other.left < run.right + reach;
        let touching = runs[first..at].iter().take_while(touches).count();
        for other in first..first + touching {
            unite(&mut parents, at, other);
        }
    }
    let mut places = vec![0; runs.len()];
    let mut all: Vec<Vec<PixelRun>> = Vec::new();
    for (at, run) in runs.iter().enumerate() {
        let root = root(&mut parents, at);
        // A root is the first run of its component.
        if root == at {
            places[at] = all.len();
            all.push(Vec::new());
        }
        all[places[root]].push(*run);
    }
    all
}

fn root(parents: &mut [usize], mut at: usize) -> usize {
    while parents[at] != at {
        parents[at] = parents[parents[at]];
        at = parents[at];
    }
    at
}

fn unite(parents: &mut [usize], one: usize, other: usize) {
    let (one, other) = (root(parents, one), root(parents, other));
    parents[one.max(other)] = one.min(other);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Components by flood fill, each as sorted pixels.
    fn flooded(bits: &Bitmap, connectivity: Connectivity) -> Vec<Vec<(usize, usize)>> {
        let mut left: std::collections::BTreeSet<(usize, usize)> = bits.pixels().map(|(x, y)| (y, x)).collect();
        let mut all = Vec::new();
        while let Some(start) = left.pop_first() {
            let (mut found, mut todo) = (vec![start], vec![start]);
            while let Some((y, x)) = todo.pop() {
                let near: Vec<_> = left
                    .iter()
                    .copied()
                    .filter(|&(ny, nx)| {
                        let (dy, dx) = (ny.abs_diff(y), nx.abs_diff(x));
                        dy.max(dx) == 1 && (connectivity == Connectivity::Eight || dy + dx == 1)
                    })
                    .collect();
                for pixel in near {
                    left.remove(&pixel);
                    found.push(pixel);
                    todo.push(pixel);
                }
            }
            found.sort_unstable();
            all.push(found);
        }
        all
    }

    proptest! {
        #[test]
        fn components_are_those_of_a_flood_fill(width in 1usize..20, height in 1usize..14, seed in any::<u64>()) {
            let mut bits = Bitmap::new(width, height);
            for (x, y) in (0..height).flat_map(|y| (0..width).map(move |x| (x, y))) {
                if ((x * 31 + y * 57 + 1) as u64).wrapping_mul(seed | 1) >> 60 < 7 {
                    bits.set(x, y);
                }
            }
            for connectivity in [Connectivity::Four, Connectivity::Eight] {
                let pixels = |component: &Vec<PixelRun>| -> Vec<(usize, usize)> {
                    let of = |run: &PixelRun| (run.left..run.right).map(|x| (run.y as usize, x as usize)).collect();
                    component.iter().flat_map::<Vec<_>, _>(of).collect()
                };
                let found: Vec<_> = components(&runs(&bits), connectivity).iter().map(pixels).collect();
                prop_assert_eq!(found, flooded(&bits, connectivity));
            }
        }
    }
}
