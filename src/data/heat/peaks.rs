//! Peaks of a score map: cells that score at least as high as all around them. Knows no lesion.

use super::{MapInfo, ScoreMap};

/// Peak of one class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MapPeak {
    /// Its position (x, y) in the photograph: the centre of its cell, px.
    pub at: [f64; 2],
    /// Score of its cell.
    pub score: f64,
}

impl ScoreMap {
    /// Peaks of a class, row by row. Cells of equal score that touch, by edges or corners, are one plateau; it is a peak if no known cell
    /// around it scores higher. Its position is the cell of the plateau that is nearest to the plateau's mean position, the first of
    /// several.
    #[must_use]
    pub fn peaks(&self, class: usize) -> Vec<MapPeak> {
        let (columns, rows) = (self.info.columns as usize, self.info.rows as usize);
        let scores = &self.scores[class * columns * rows..][..columns * rows];
        let mut seen = vec![false; scores.len()];
        let mut peaks = Vec::new();
        for start in 0..scores.len() {
            if seen[start] || scores[start].is_nan() {
                continue;
            }
            seen[start] = true;
            let (mut plateau, mut next, mut highest) = (vec![start], 0, true);
            while let Some(&cell) = plateau.get(next) {
                next += 1;
                for near in around(cell, columns, rows) {
                    highest &= scores[near].is_nan() || scores[near] <= scores[start];
                    if scores[near] == scores[start] && !seen[near] {
                        seen[near] = true;
                        plateau.push(near);
                    }
                }
            }
            if highest {
                peaks.push(MapPeak { at: middle(&self.info, plateau), score: f64::from(scores[start]) });
            }
        }
        peaks
    }
}

/// The cells around a cell.
fn around(cell: usize, columns: usize, rows: usize) -> impl Iterator<Item = usize> {
    let (x, y) = (cell % columns, cell / columns);
    let near = |at: usize, count: usize| at.saturating_sub(1)..(at + 2).min(count);
    near(y, rows)
        .flat_map(move |row| near(x, columns).map(move |column| row * columns + column))
        .filter(move |at| *at != cell)
}

/// Centre of the cell that is nearest to the mean of these cells' centres.
fn middle(info: &MapInfo, mut cells: Vec<usize>) -> [f64; 2] {
    cells.sort_unstable();
    let (cover, columns) = (info.cover(), info.columns as usize);
    let centre = |cell: &usize| {
        let rect = cover.cell(cell % columns, cell / columns);
        [(rect.left + rect.right) as f64 / 2.0, (rect.top + rect.bottom) as f64 / 2.0]
    };
    let centres: Vec<[f64; 2]> = cells.iter().map(centre).collect();
    let mean = [0, 1].map(|axis| centres.iter().map(|at| at[axis]).sum::<f64>() / centres.len() as f64);
    let far = |at: &[f64; 2]| (at[0] - mean[0]).powi(2) + (at[1] - mean[1]).powi(2);
    centres.into_iter().min_by(|a, b| far(a).total_cmp(&far(b))).unwrap_or(mean)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::patches::Label;

    fn peaks(columns: u32, scores: &[f32]) -> Vec<([f64; 2], f64)> {
        let rows = scores.len() as u32 / columns;
        let info = MapInfo {
            classes: vec!["MA".to_owned()],
            width: columns * 4 - 2,
            height: rows * 4,
            scale: 1,
            size: 8,
            stride: 4,
            columns,
            rows,
            scored: 1,
            black: 0,
            thresholds: None,
        };
        let map = ScoreMap { info, scores: scores.to_vec(), lesion: vec![Label::Unknown; scores.len()] };
        map.peaks(0).into_iter().map(|peak| (peak.at, (peak.score * 100.0).round() / 100.0)).collect()
    }

    #[test]
    fn a_peak_is_a_cell_that_nothing_around_it_exceeds() {
        assert_eq!(peaks(3, &[0.1, 0.2, 0.1, 0.2, 0.9, 0.2, 0.1, 0.2, 0.8]), [([6.0, 6.0], 0.9)]);
        // The last column is two pixels wide.
        assert_eq!(peaks(4, &[0.5, 0.1, 0.1, 0.3]), [([2.0, 2.0], 0.5), ([13.0, 2.0], 0.3)]);
    }

    #[test]
    fn a_plateau_is_one_peak_and_unknown_cells_hide_nothing() {
        assert_eq!(peaks(5, &[0.7, 0.7, 0.7, 0.1, f32::NAN]), [([6.0, 2.0], 0.7)]);
        // A plateau with a higher cell next to one of its ends is not a peak.
        assert_eq!(peaks(5, &[0.7, 0.7, 0.7, 0.8, 0.1]), [([14.0, 2.0], 0.8)]);
        assert_eq!(peaks(3, &[f32::NAN, 0.2, f32::NAN]), [([6.0, 2.0], 0.2)]);
        assert_eq!(peaks(2, &[0.4, 0.4, 0.4, 0.4]), [([2.0, 2.0], 0.4)], "the first of four cells as near");
    }
}
