//! Images of a score map: overlaid on its photograph, and the cells of one class.

use super::{MapInfo, ScoreMap, colour};
use crate::data::canvas::{Canvas, LETTER};
use crate::data::colour::Colour;
use crate::data::contact_sheet::{CLASS_COLOURS, INK, PAGE};
use crate::data::decode::Photograph;
use crate::data::mask::Mask;

/// Height of the legend below an overlay, px.
const LEGEND: usize = 28;
/// Width of the legend's colour bar, px.
const BAR: usize = 160;
/// Longest side to which cells are enlarged, px.
const ENLARGED: usize = 512;
/// Colour of unknown cells.
const UNKNOWN: Colour = [128; 3];

/// Style of an overlay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OverlayStyle {
    /// Opacity of the map at score 1; proportional to the square of the score.
    pub alpha: f64,
    /// Longest side of the drawn photograph, px.
    pub side: usize,
}

/// The photograph with its map: the highest score over classes at each pixel, and the outline of each mask. Scores are interpolated
/// between cell centres; opacity rises with the score.
#[must_use]
pub fn overlay(photograph: &Photograph, masks: &[Option<&Mask>], map: &ScoreMap, style: OverlayStyle) -> Canvas {
    let size = (photograph.width, photograph.height);
    let to = within(size, style.side);
    let mut canvas = Canvas::new(to.0, to.1 + LEGEND, PAGE);
    canvas.draw(&photograph.rgb, size, (0, 0), to);
    for y in 0..to.1 {
        for x in 0..to.0 {
            let at = |place: usize, to: usize, from: usize| (place as f64 + 0.5) * from as f64 / to as f64;
            let Some(score) = highest(map, at(x, to.0, size.0), at(y, to.1, size.1)) else { continue };
            canvas.set(x, y, blended(canvas.at(x, y), colour(score), style.alpha * score * score));
        }
    }
    for (class, mask) in masks.iter().enumerate() {
        let Some(mask) = mask else { continue };
        canvas.outline(&|x, y| mask.bits().get(x, y), size, (0, 0), to, class_colour(class));
    }
    legend(&mut canvas, &map.info, masks, to.1);
    canvas
}

/// The cells of one class as coloured squares; unknown cells are grey.
#[must_use]
pub fn class_picture(map: &ScoreMap, class: usize) -> Canvas {
    let (columns, rows) = (map.info.columns as usize, map.info.rows as usize);
    let side = (ENLARGED / columns.max(rows).max(1)).max(1);
    let mut canvas = Canvas::new(columns * side, rows * side, UNKNOWN);
    for (at, &score) in map.scores[class * columns * rows..][..columns * rows].iter().enumerate() {
        if !score.is_nan() {
            canvas.fill((at % columns * side, at / columns * side), (side, side), colour(f64::from(score)));
        }
    }
    canvas
}

/// Highest score over classes at a point of the photograph; with tuned thresholds, rescaled so that each threshold maps to 0.5.
/// [`None`] if the cell is unknown.
fn highest(map: &ScoreMap, x: f64, y: f64) -> Option<f64> {
    let shown = |class: usize| {
        let score = between(map, class, x, y)?;
        let threshold = map.info.thresholds.as_ref().and_then(|all| all.get(class).copied());
        Some(threshold.map_or(score, |threshold| halved(score, threshold)))
    };
    (0..map.info.classes.len()).filter_map(shown).max_by(f64::total_cmp)
}

/// A score rescaled so that the threshold maps to 0.5.
fn halved(score: f64, threshold: f64) -> f64 {
    if score < threshold {
        0.5 * score / threshold
    } else if threshold >= 1.0 {
        1.0
    } else {
        0.5 + 0.5 * (score - threshold) / (1.0 - threshold)
    }
}

/// Score of a class at a point, interpolated bilinearly over the known ones of the four nearest cells. [`None`] if the cell containing
/// the point is unknown.
fn between(map: &ScoreMap, class: usize, x: f64, y: f64) -> Option<f64> {
    let info = &map.info;
    let (columns, rows, stride) = (info.columns as usize, info.rows as usize, f64::from(info.stride));
    let score = |column: usize, row: usize| {
        let score = map.scores[(class * rows + row) * columns + column];
        (!score.is_nan()).then(|| f64::from(score))
    };
    let own = (((x / stride) as usize).min(columns - 1), ((y / stride) as usize).min(rows - 1));
    score(own.0, own.1)?;
    let (u, v) = (x / stride - 0.5, y / stride - 0.5);
    let (left, top) = (u.floor(), v.floor());
    let (mut sum, mut weights) = (0.0, 0.0);
    for (dx, dy) in [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)] {
        let weight = (1.0 - (u - left - dx).abs()) * (1.0 - (v - top - dy).abs());
        let clamped = |at: f64, count: usize| (at.max(0.0) as usize).min(count - 1);
        if let Some(score) = score(clamped(left + dx, columns), clamped(top + dy, rows)) {
            sum += weight * score;
            weights += weight;
        }
    }
    Some(if weights > 0.0 { sum / weights } else { score(own.0, own.1)? })
}

fn blended(below: Colour, above: Colour, opacity: f64) -> Colour {
    let mix = |below: u8, above: u8| {
        (f64::from(below) + (f64::from(above) - f64::from(below)) * opacity.clamp(0.0, 1.0) + 0.5) as u8
    };
    [mix(below[0], above[0]), mix(below[1], above[1]), mix(below[2], above[2])]
}

/// Draws the colour bar from 0 to 1, a mark for the threshold if there is one, and the class names, coloured if their mask is outlined.
fn legend(canvas: &mut Canvas, info: &MapInfo, masks: &[Option<&Mask>], top: usize) {
    let (text, bar) = (top + 10, top + 8);
    let from = 8 + LETTER * 2;
    canvas.write("0", (8, text), 1, INK);
    for x in 0..BAR {
        canvas.fill((from + x, bar), (1, 12), colour(x as f64 / (BAR - 1) as f64));
    }
    canvas.write("1", (from + BAR + LETTER, text), 1, INK);
    let mut x = from + BAR + 3 * LETTER;
    if info.thresholds.is_some() {
        canvas.fill((from + BAR / 2, bar - 3), (1, 18), INK);
        canvas.write("mark: threshold", (x, text), 1, INK);
        x += 17 * LETTER;
    }
    let outlined = masks.iter().any(Option::is_some);
    let words = if outlined { "outlined:" } else { "highest of:" };
    canvas.write(words, (x, text), 1, INK);
    x += (words.len() + 1) * LETTER;
    for (class, name) in info.classes.iter().enumerate() {
        let has_mask = masks.get(class).is_some_and(Option::is_some);
        if outlined && !has_mask {
            continue;
        }
        canvas.write(name, (x, text), 1, if has_mask { class_colour(class) } else { INK });
        x += (name.chars().count() + 1) * LETTER;
    }
}

const fn class_colour(class: usize) -> Colour {
    CLASS_COLOURS[class % CLASS_COLOURS.len()]
}

/// The largest size of the same aspect ratio within a square of `side`, without enlarging.
pub(super) fn within((width, height): (usize, usize), side: usize) -> (usize, usize) {
    let longest = width.max(height).max(1);
    let side = side.min(longest);
    ((width * side / longest).max(1), (height * side / longest).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::bitmap::Bitmap;
    use crate::data::patches::Label;

    fn map(scores: &[f32], thresholds: Option<Vec<f64>>) -> ScoreMap {
        let info = MapInfo {
            classes: vec!["MA".to_owned()],
            width: 8,
            height: 4,
            scale: 1,
            size: 4,
            stride: 4,
            columns: 2,
            rows: 1,
            scored: 2,
            black: 0,
            thresholds,
        };
        ScoreMap { info, scores: scores.to_vec(), lesion: vec![Label::Unknown; scores.len()] }
    }

    fn photograph() -> Photograph {
        Photograph { width: 8, height: 4, rgb: vec![100; 8 * 4 * 3] }
    }

    #[test]
    fn unknown_cells_show_the_photograph_and_known_ones_the_map() {
        let style = OverlayStyle { alpha: 1.0, side: 64 };
        let drawn = overlay(&photograph(), &[None], &map(&[f32::NAN, 1.0], None), style);
        assert_eq!((drawn.width(), drawn.height()), (8, 4 + LEGEND), "no larger than the photograph");
        assert_eq!(drawn.at(1, 1), [100; 3]);
        assert_eq!(drawn.at(6, 1), colour(1.0));
        let drawn = overlay(&photograph(), &[None], &map(&[0.0, 0.0], None), style);
        assert_eq!(drawn.at(6, 1), [100; 3], "a score of 0 hides nothing");
    }

    #[test]
    fn between_the_middles_of_cells_scores_are_interpolated() {
        let map = map(&[0.0, 1.0], None);
        let at = |x: f64| between(&map, 0, x, 2.0).expect("known");
        assert_eq!([at(0.0), at(2.0), at(4.0), at(5.0), at(7.9)], [0.0, 0.0, 0.5, 0.75, 1.0]);
    }

    #[test]
    fn a_threshold_is_half_the_scale() {
        assert_eq!([halved(0.0, 0.2), halved(0.1, 0.2), halved(0.2, 0.2), halved(0.6, 0.2)], [0.0, 0.25, 0.5, 0.75]);
        assert_eq!([halved(1.0, 1.0), halved(0.5, 1.0), halved(0.3, 0.0)], [1.0, 0.25, 0.65]);
        let map = map(&[0.2, 0.2], Some(vec![0.2]));
        // Scores are f32, thresholds f64.
        let half = highest(&map, 1.0, 1.0).expect("known");
        assert!((half - 0.5).abs() < 1e-6, "{half}");
    }

    #[test]
    fn known_lesions_are_outlined() {
        let mut bits = Bitmap::new(8, 4);
        bits.set(3, 2);
        let drawn = overlay(
            &photograph(),
            &[Some(&Mask::released(bits))],
            &map(&[0.0, 0.0], None),
            OverlayStyle { alpha: 0.5, side: 8 },
        );
        assert_eq!([drawn.at(3, 2), drawn.at(4, 2)], [CLASS_COLOURS[0], [100; 3]]);
    }

    #[test]
    fn a_picture_of_a_class_has_a_square_for_each_cell() {
        let drawn = class_picture(&map(&[f32::NAN, 0.5], None), 0);
        assert_eq!((drawn.width(), drawn.height()), (512, 256));
        assert_eq!([drawn.at(0, 0), drawn.at(511, 255)], [UNKNOWN, colour(0.5)]);
    }
}
