//! The camera's field of view as a small grey image of standard size, so that resolution, black borders and position do not matter. All sums
//! run in a fixed order: the same values on every machine.

use crate::data::decode::Photograph;

/// Side of the standard image, cells.
pub(super) const SIDE: usize = 64;

/// Longest side of the reduced photograph that the field is found in, px: at least this, less than twice as much.
const REDUCED: usize = 512;

/// As [`REDUCED`], for cells in pixels.
const FEWEST: usize = 384;

/// Side of a cell of [`in_pixels`], px of the reduced photograph.
const CELL: usize = 8;

/// Number of levels between the background and the typical brightness of the field at which the field may begin.
const LEVELS: usize = 16;

/// Levels at which the box of the field differs by no more than this are alike, px of the reduced photograph.
const ALIKE: usize = 3;

/// Brightness above the background that is noise, of 255.
const NOISE: f64 = 3.0;

/// Fraction of a row or column that must be in the field, as its reciprocal.
const SPECKS: usize = 50;

/// A corner's side, as a fraction of the image's, as its reciprocal.
const CORNER: usize = 32;

/// A grey image, values 0 to 255, and which of its cells are in the field.
#[derive(Clone, Debug)]
pub(super) struct GreyField {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) values: Vec<f64>,
    /// 1 in the field, 0 outside.
    pub(super) field: Vec<f64>,
}

/// The field of a photograph in [`SIDE`] x [`SIDE`] cells: its longest side fills the image, the rest is outside. [`None`] if there is none.
pub(super) fn standard(photograph: &Photograph) -> Option<GreyField> {
    let mut grey = reduced(photograph, (photograph.width.max(photograph.height) / REDUCED).max(1));
    if grey.width == 0 || grey.height == 0 {
        return None;
    }
    grey.field = field(&grey);
    bounds(&grey, &grey.field).map(|bounds| resampled(&grey, bounds))
}

/// The field of a photograph in cells of a power of two of its pixels, 48 to 95 along the longest side, and the side of a cell, px: two
/// photographs of one camera have equal cells, even if one is a part of the other. [`None`] if nothing is in the field.
pub(super) fn in_pixels(photograph: &Photograph) -> Option<(GreyField, usize)> {
    let most = (photograph.width.max(photograph.height) / FEWEST).max(1);
    let by = if most.is_power_of_two() { most } else { most.next_power_of_two() / 2 };
    let mut grey = reduced(photograph, by);
    if grey.width == 0 || grey.height == 0 {
        return None;
    }
    grey.field = field(&grey);
    let cells = merged(&grey, CELL);
    cells.field.iter().any(|inside| *inside > 0.0).then_some((cells, by * CELL))
}

/// Means of boxes of `by` x `by` cells over those in the field; a box that is mostly outside is outside.
pub(super) fn merged(grey: &GreyField, by: usize) -> GreyField {
    let (width, height) = (grey.width / by, grey.height / by);
    let (mut values, mut field) = (vec![0.0; width * height], vec![0.0; width * height]);
    for (at, (into, inside)) in values.iter_mut().zip(&mut field).enumerate() {
        let (left, top) = (at % width * by, at / width * by);
        let (mut value, mut count) = (0.0, 0.0);
        for y in top..top + by {
            let row = y * grey.width + left..y * grey.width + left + by;
            for (own, field) in grey.values[row.clone()].iter().zip(&grey.field[row]) {
                value += own * field;
                count += field;
            }
        }
        if count > 0.9 * (by * by) as f64 {
            (*into, *inside) = (value / count, 1.0);
        }
    }
    GreyField { width, height, values, field }
}

/// Means of boxes of the photograph, green counted twice: vessels and lesions show best there.
fn reduced(photograph: &Photograph, by: usize) -> GreyField {
    let (width, height) = (photograph.width / by, photograph.height / by);
    let mut values = Vec::with_capacity(width * height);
    let mut sums = vec![0_u32; width];
    for y in 0..height {
        sums.fill(0);
        for row in (0..by).map(|i| photograph.row(y * by + i)) {
            for (sum, pixels) in sums.iter_mut().zip(row.chunks_exact(by * 3)) {
                let grey = |[red, green, blue]: [u8; 3]| u32::from(red) + 2 * u32::from(green) + u32::from(blue);
                *sum += pixels.as_chunks::<3>().0.iter().map(|pixel| grey(*pixel)).sum::<u32>();
            }
        }
        values.extend(sums.iter().map(|sum| f64::from(*sum) / (4 * by * by) as f64));
    }
    GreyField { width, height, values, field: Vec::new() }
}

/// The cells in the field: brighter than the middle of the longest run of levels at which its box is nearly the same. Some cameras have a glow
/// around the field, whose extent changes with each level, while the edge of the field stays where it is; and a change of brightness or gamma
/// moves levels, but not boxes. The background is what three of the four corners are not darker than; without dark corners, all is field.
fn field(grey: &GreyField) -> Vec<f64> {
    let (across, down) = ((grey.width / CORNER).max(1), (grey.height / CORNER).max(1));
    let brightest = |left: usize, top: usize| {
        let cells = (top..top + down).flat_map(|y| (left..left + across).map(move |x| y * grey.width + x));
        cells.map(|at| grey.values[at]).fold(0.0, f64::max)
    };
    let (right, bottom) = (grey.width - across, grey.height - down);
    let mut corners = [brightest(0, 0), brightest(right, 0), brightest(0, bottom), brightest(right, bottom)];
    corners.sort_by(f64::total_cmp);
    let background = corners[1];
    if background > median(grey.values.clone()) / 2.0 {
        return vec![1.0; grey.values.len()];
    }
    let typical = median(grey.values.iter().copied().filter(|value| *value > background + NOISE).collect());
    let darkest = f64::max(background, 1.0) + 1.0;
    let step = libm::pow(f64::max(typical / darkest, 1.0), 1.0 / LEVELS as f64);
    let levels: Vec<f64> = std::iter::successors(Some(darkest), |level| Some(level * step)).take(LEVELS).collect();
    let above =
        |level: f64| -> Vec<f64> { grey.values.iter().map(|value| f64::from(u8::from(*value > level))).collect() };
    let boxes: Vec<Option<FieldBox>> = levels.iter().map(|level| bounds(grey, &above(*level))).collect();
    let (mut longest, mut middle) = (0, 0);
    for first in 0..LEVELS {
        let alike = boxes[first..].iter().take_while(|other| differ_little(boxes[first].as_ref(), other.as_ref()));
        let length = alike.count();
        if length > longest {
            (longest, middle) = (length, first + (length - 1) / 2);
        }
    }
    above(levels[middle])
}

/// The first and one past the last column and row of the field.
type FieldBox = [usize; 4];

fn differ_little(one: Option<&FieldBox>, other: Option<&FieldBox>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.iter().zip(other).all(|(one, other)| one.abs_diff(*other) <= ALIKE),
        _ => false,
    }
}

/// The upper median; 0 of nothing.
fn median(mut values: Vec<f64>) -> f64 {
    let middle = values.len() / 2;
    if values.is_empty() {
        return 0.0;
    }
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

/// The box of a field, without specks; [`None`] if there is none.
fn bounds(grey: &GreyField, field: &[f64]) -> Option<FieldBox> {
    let mut columns = vec![0.0; grey.width];
    let mut rows = Vec::with_capacity(grey.height);
    for row in field.chunks_exact(grey.width) {
        rows.push(row.iter().sum());
        row.iter().zip(&mut columns).for_each(|(value, count)| *count += value);
    }
    let (left, right) = span(&columns, grey.height)?;
    let (top, bottom) = span(&rows, grey.width)?;
    Some([left, right, top, bottom])
}

/// The first and one past the last line of which enough cells are in the field.
fn span(counts: &[f64], length: usize) -> Option<(usize, usize)> {
    let seen = |count: &f64| count * SPECKS as f64 >= length as f64;
    let first = counts.iter().position(seen)?;
    Some((first, counts.iter().rposition(seen)? + 1))
}

/// Area means of a box in the standard image, centred. Cells that lie mostly outside the field are outside.
fn resampled(grey: &GreyField, [left, right, top, bottom]: FieldBox) -> GreyField {
    let longest = (right - left).max(bottom - top);
    // Even numbers of cells, so that the box is centred in each orientation.
    let cells = |length: usize| ((length * SIDE + longest) / (2 * longest) * 2).clamp(2, SIDE);
    let (across, down) = (cells(right - left), cells(bottom - top));
    let (columns, rows) = (shares(left, right, across), shares(top, bottom, down));
    // By rows first, then by columns: brightness and field.
    let mut bands = vec![(0.0, 0.0); down * grey.width];
    for (band, rows) in bands.chunks_exact_mut(grey.width).zip(&rows) {
        for (y, share) in rows {
            let line = y * grey.width..(y + 1) * grey.width;
            for ((value, field), into) in grey.values[line.clone()].iter().zip(&grey.field[line]).zip(&mut *band) {
                into.0 += share * field * value;
                into.1 += share * field;
            }
        }
    }
    let mut standard =
        GreyField { width: SIDE, height: SIDE, values: vec![0.0; SIDE * SIDE], field: vec![0.0; SIDE * SIDE] };
    let (x, y) = ((SIDE - across) / 2, (SIDE - down) / 2);
    for (row, band) in bands.chunks_exact(grey.width).enumerate() {
        for (column, columns) in columns.iter().enumerate() {
            let (mut value, mut field) = (0.0, 0.0);
            for (at, share) in columns {
                value += share * band[*at].0;
                field += share * band[*at].1;
            }
            if field > 0.9 {
                let at = (y + row) * SIDE + x + column;
                (standard.values[at], standard.field[at]) = (value / field, 1.0);
            }
        }
    }
    standard
}

/// For each of `cells` equal parts of `from..to`: the pixels that it covers and their fractions of it, which sum to 1.
fn shares(from: usize, to: usize, cells: usize) -> Vec<Vec<(usize, f64)>> {
    let length = (to - from) as f64 / cells as f64;
    let cell = |cell: usize| {
        let (start, end) = (cell as f64 * length, (cell + 1) as f64 * length);
        let pixels = (start as usize..to - from).take_while(|pixel| (*pixel as f64) < end);
        let share = |pixel: usize| f64::min(end, (pixel + 1) as f64) - f64::max(start, pixel as f64);
        pixels.map(|pixel| (from + pixel, share(pixel) / length)).filter(|(_, share)| *share > 0.0).collect()
    };
    (0..cells).map(cell).collect()
}
