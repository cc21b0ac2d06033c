//! Extraction of patch pixels from a photograph. Knows no labels.

use super::decode::Photograph;
use super::pixel_counts::PixelCounts;

/// Copies the patches with top left corners `places`, all in one row of the grid, into `out`, one after another, each with `margin`
/// around it, black beyond the photograph. `counted` is called for each patch in turn with its pixel counts, margin excluded.
///
/// The photograph is read row by row across all patches: patch by patch, in distant pieces of a few hundred bytes, memory access
/// takes twice as long.
///
/// # Panics
/// If the places lie in different rows or `out` has the wrong size (bugs in the caller).
pub fn strip(
    photograph: &Photograph,
    places: &[(usize, usize)],
    size: usize,
    margin: usize,
    out: &mut [u8],
    mut counted: impl FnMut(&PixelCounts),
) {
    let Some(&(_, y)) = places.first() else { return };
    let side = size + 2 * margin;
    assert!(places.iter().all(|place| place.1 == y), "patches in one row of the grid");
    assert_eq!(out.len(), places.len() * side * side * 3, "memory for each patch");
    for i in 0..side {
        let row = (y + i).checked_sub(margin).filter(|row| *row < photograph.height);
        for (&(x, _), patch) in places.iter().zip(out.chunks_exact_mut(side * side * 3)) {
            let out = &mut patch[i * side * 3..][..side * 3];
            // Columns of the photograph covered by the patch with its margin.
            let from = x.saturating_sub(margin);
            let to = (x + size + margin).min(photograph.width);
            match row.filter(|_| from < to) {
                Some(row) => {
                    let pixels = &photograph.row(row)[from * 3..to * 3];
                    let (before, rest) = out.split_at_mut((from + margin - x) * 3);
                    let (inside, after) = rest.split_at_mut(pixels.len());
                    before.fill(0);
                    inside.copy_from_slice(pixels);
                    after.fill(0);
                }
                None => out.fill(0),
            }
        }
    }
    let mut counts = PixelCounts::default();
    for patch in out.chunks_exact(side * side * 3) {
        counts.clear();
        if margin == 0 {
            counts.add(patch);
        } else {
            for row in patch.chunks_exact(side * 3).skip(margin).take(size) {
                counts.add(&row[margin * 3..(margin + size) * 3]);
            }
        }
        counted(&counts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_with_margin_is_black_outside_and_counts_itself_alone() {
        let rgb: Vec<u8> = (0..7 * 5 * 3).map(|i| i as u8 + 1).collect();
        let photograph = Photograph { width: 7, height: 5, rgb };
        let (size, margin) = (4, 2);
        for places in [vec![(0, 0), (3, 0), (6, 0)], vec![(3, 1)], vec![(1, 4), (5, 4)]] {
            let mut out = vec![99; places.len() * 8 * 8 * 3];
            let mut counts = Vec::new();
            strip(&photograph, &places, size, margin, &mut out, |counted| counts.push(counted.clone()));
            assert_eq!(counts.len(), places.len());
            for ((out, counts), &(x, y)) in out.chunks(8 * 8 * 3).zip(&counts).zip(&places) {
                let at = |px: isize, py: isize, c: usize| {
                    let inside = (0..7).contains(&px) && (0..5).contains(&py);
                    if inside { photograph.rgb[(py as usize * 7 + px as usize) * 3 + c] } else { 0 }
                };
                let mut inner = [Vec::new(), Vec::new(), Vec::new()];
                for (i, &value) in out.iter().enumerate() {
                    let (px, py, c) = (i / 3 % 8, i / 24, i % 3);
                    let (sx, sy) = (x as isize + px as isize - 2, y as isize + py as isize - 2);
                    assert_eq!(value, at(sx, sy, c), "patch {x} {y}, pixel {px} {py} {c}");
                    if (2..6).contains(&px) && (2..6).contains(&py) {
                        inner[c].push(f64::from(value));
                    }
                }
                for (c, inner) in inner.iter().enumerate() {
                    let mean = inner.iter().sum::<f64>() / 16.0;
                    let variance = inner.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 16.0;
                    assert!((f64::from(counts.mean()[c]) - mean).abs() < 1e-4);
                    assert!((f64::from(counts.deviation()[c]) - variance.sqrt()).abs() < 1e-4);
                }
                assert_eq!(counts.histogram().iter().sum::<u32>(), 16);
            }
        }
    }
}
