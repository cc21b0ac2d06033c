//! From shapes to pixels. A pixel belongs to a polygon if its centre is inside by the even-odd rule; a centre on an edge belongs to the
//! shape to its right, or below a horizontal edge, so that polygons that share an edge share no pixel and leave none out. Coordinates are rounded
//! to 2^-32 px and compared exactly. A shape that covers no centre gets the pixels under its corners. Knows no file.

use std::ops::{ControlFlow, Range};

use super::shape::{DrawnShape, RunOrder};
use crate::data::bitmap::Bitmap;

/// A pixel in fixed point.
const ONE: i64 = 1 << 32;

/// Most rows that all edges of a shape may cross together: a drawing has thousands, a file made to exhaust the machine more.
const MOST_CROSSINGS: u64 = 1 << 28;

/// A coordinate as it is compared: rounded to 2^-32 px.
pub(super) fn round(at: f64) -> f64 {
    (at * ONE as f64).round_ties_even() / ONE as f64
}

/// Receives the columns of a row that belong to a shape, rows from the top.
pub(super) type ColumnSink<'a> = &'a mut dyn FnMut(usize, Range<usize>) -> ControlFlow<()>;

/// Draws a shape that [`placement`] accepts for the bitmap's size.
pub fn draw(shape: &DrawnShape, bits: &mut Bitmap) {
    let size = (bits.width(), bits.height());
    let mut any = false;
    let _ = columns(shape, size, &mut |y, columns| {
        any = true;
        bits.set_columns(y, columns);
        ControlFlow::Continue(())
    });
    if !any {
        under_corners(shape, size, |x, y| bits.set(x, y));
    }
}

/// Whether a shape covers the centre of a pixel; otherwise [`draw`] gives it the pixels under its corners.
#[must_use]
pub fn covers_a_centre(shape: &DrawnShape, size: [u32; 2]) -> bool {
    let size = (size[0] as usize, size[1] as usize);
    columns(shape, size, &mut |_, _| ControlFlow::Break(())).is_break()
}

/// Position of a shape relative to a photograph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// It is inside, or extends less than a pixel beyond the edges.
    Inside,
    /// Part of it is outside.
    Beyond,
    /// All of it is outside.
    Outside,
    /// Its outline crosses too many rows to be drawn.
    TooComplex,
}

/// Position of a shape relative to a photograph of this size.
#[must_use]
pub fn placement(shape: &DrawnShape, size: [u32; 2]) -> Placement {
    let [width, height] = size.map(f64::from);
    let Some([left, top, right, bottom]) = shape.bounds() else { return Placement::Outside };
    if right < 0.0 || bottom < 0.0 || left > width || top > height {
        return Placement::Outside;
    }
    let crossings = match shape {
        DrawnShape::Polygon(rings) => edges(rings, size[1] as usize).map(|edge| edge.rows.len() as u64).sum(),
        _ => 0,
    };
    if crossings > MOST_CROSSINGS {
        Placement::TooComplex
    } else if left < -1.0 || top < -1.0 || right > width + 1.0 || bottom > height + 1.0 {
        Placement::Beyond
    } else {
        Placement::Inside
    }
}

pub(super) fn columns(shape: &DrawnShape, size: (usize, usize), each: ColumnSink<'_>) -> ControlFlow<()> {
    match shape {
        DrawnShape::Polygon(rings) => of_polygon(rings, size, each),
        DrawnShape::Ellipse { centre, radii, degrees } => of_ellipse(shape, *centre, *radii, *degrees, size, each),
        DrawnShape::Runs { order, corner, size: area, counts } => {
            of_runs(*order, *corner, *area, counts, [0..size.0, 0..size.1], each)
        }
    }
}

/// An edge that crosses the centres of rows, upper end first.
struct Edge {
    top: [i64; 2],
    bottom: [i64; 2],
    /// Rows whose centres it crosses.
    rows: Range<usize>,
}

impl Edge {
    /// First column, at most `width`, whose centre is at or right of the edge in the middle of row `y`.
    fn column(&self, y: usize, width: usize) -> usize {
        let [dx, dy] = [0, 1].map(|axis| i128::from(self.bottom[axis] - self.top[axis]));
        let down = i128::from(middle(y) - self.top[1]);
        let reached = |column: usize| i128::from(middle(column) - self.top[0]) * dy >= down * dx;
        let near = self.top[0] as f64 + down as f64 / dy as f64 * dx as f64;
        let mut column = ((near / ONE as f64 - 0.5).ceil().max(0.0) as usize).min(width);
        // The estimate is off by a column at most, if at all.
        while column > 0 && reached(column - 1) {
            column -= 1;
        }
        while column < width && !reached(column) {
            column += 1;
        }
        column
    }
}

/// Centre of a column or row in fixed point.
const fn middle(at: usize) -> i64 {
    at as i64 * ONE + ONE / 2
}

/// First row whose centre is at or below `y`, at most `height`.
fn first_row(y: i64, height: usize) -> usize {
    let row = (y - ONE / 2).div_euclid(ONE) + i64::from((y - ONE / 2).rem_euclid(ONE) > 0);
    usize::try_from(row).unwrap_or(0).min(height)
}

/// Edges of closed rings that cross the centre of a row.
fn edges(rings: &[Vec<[f64; 2]>], height: usize) -> impl Iterator<Item = Edge> {
    let fixed = |corner: &[f64; 2]| corner.map(|at| (at * ONE as f64).round_ties_even() as i64);
    let pairs = rings.iter().flat_map(|ring| ring.iter().zip(ring.iter().cycle().skip(1)));
    let edge = move |(one, other): (&[f64; 2], &[f64; 2])| {
        let (one, other) = (fixed(one), fixed(other));
        let (top, bottom) = if one[1] < other[1] { (one, other) } else { (other, one) };
        Edge { top, bottom, rows: first_row(top[1], height)..first_row(bottom[1], height) }
    };
    pairs.map(edge).filter(|edge| !edge.rows.is_empty())
}

fn of_polygon(rings: &[Vec<[f64; 2]>], (width, height): (usize, usize), each: ColumnSink<'_>) -> ControlFlow<()> {
    let mut waiting: Vec<Edge> = edges(rings, height).collect();
    waiting.sort_by_key(|edge| std::cmp::Reverse(edge.rows.start));
    let mut active: Vec<Edge> = Vec::new();
    let mut crossed = Vec::new();
    let Some(mut y) = waiting.last().map(|edge| edge.rows.start) else { return ControlFlow::Continue(()) };
    while !waiting.is_empty() || !active.is_empty() {
        while let Some(edge) = waiting.pop_if(|edge| edge.rows.start <= y) {
            active.push(edge);
        }
        active.retain(|edge| edge.rows.end > y);
        crossed.clear();
        crossed.extend(active.iter().map(|edge| edge.column(y, width)));
        crossed.sort_unstable();
        for pair in crossed.as_chunks::<2>().0 {
            if pair[0] < pair[1] {
                each(y, pair[0]..pair[1])?;
            }
        }
        y += 1;
    }
    ControlFlow::Continue(())
}

fn of_ellipse(
    shape: &DrawnShape,
    centre: [f64; 2],
    radii: [f64; 2],
    degrees: f64,
    (width, height): (usize, usize),
    each: ColumnSink<'_>,
) -> ControlFlow<()> {
    let Some([left, top, right, bottom]) = shape.bounds() else { return ControlFlow::Continue(()) };
    let (sin, cos) = libm::sincos(degrees.to_radians());
    let inside = |x: usize, y: usize| {
        let (dx, dy) = (x as f64 + 0.5 - centre[0], y as f64 + 0.5 - centre[1]);
        let (along, across) = ((dx * cos + dy * sin) / radii[0], (dy * cos - dx * sin) / radii[1]);
        along * along + across * across <= 1.0
    };
    let within = |low: f64, high: f64, most: usize| {
        (low.floor().max(0.0) as usize).min(most)..(high.ceil().max(0.0) as usize).min(most)
    };
    for y in within(top, bottom, height) {
        let columns = within(left, right, width);
        // An ellipse is convex: one stretch per row.
        let Some(first) = columns.clone().find(|x| inside(*x, y)) else { continue };
        let last = columns.rev().find(|x| inside(*x, y)).unwrap_or(first);
        each(y, first..last + 1)?;
    }
    ControlFlow::Continue(())
}

/// The pixels of run lengths in these columns and rows. Lines outside cost no time for each pixel.
pub(super) fn of_runs(
    order: RunOrder,
    corner: [u32; 2],
    area: [u32; 2],
    counts: &[u32],
    [xs, ys]: [Range<usize>; 2],
    each: ColumnSink<'_>,
) -> ControlFlow<()> {
    let common = |one: Range<usize>, other: &Range<usize>| one.start.max(other.start)..one.end.min(other.end);
    let [left, top] = corner.map(|at| at as usize);
    let line = match order {
        RunOrder::Columns => area[1] as usize,
        RunOrder::Rows => area[0] as usize,
    };
    let mut at = 0;
    for (number, count) in counts.iter().enumerate() {
        let end = at + *count as usize;
        while number % 2 == 1 && at < end {
            let (line_number, first) = (at / line, at % line);
            let last = line.min(first + end - at);
            match order {
                RunOrder::Columns => {
                    let x = left + line_number;
                    if xs.contains(&x) {
                        for y in common(top + first..top + last, &ys) {
                            each(y, x..x + 1)?;
                        }
                    }
                }
                RunOrder::Rows => {
                    let columns = common(left + first..left + last, &xs);
                    if ys.contains(&(top + line_number)) && !columns.is_empty() {
                        each(top + line_number, columns)?;
                    }
                }
            }
            at += last - first;
        }
        at = end;
    }
    ControlFlow::Continue(())
}

/// The pixels under the corners of a polygon, or under the centre of an ellipse; corners outside belong to the nearest pixel.
pub(super) fn under_corners(shape: &DrawnShape, (width, height): (usize, usize), mut each: impl FnMut(usize, usize)) {
    let mut pixel = |corner: &[f64; 2]| {
        let within = |at: f64, most: usize| (at.floor().max(0.0) as usize).min(most.saturating_sub(1));
        each(within(corner[0], width), within(corner[1], height));
    };
    match shape {
        DrawnShape::Polygon(rings) => rings.iter().flatten().for_each(pixel),
        DrawnShape::Ellipse { centre, .. } => pixel(centre),
        DrawnShape::Runs { .. } => {}
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn drawn(shape: &DrawnShape, width: usize, height: usize) -> Bitmap {
        let mut bits = Bitmap::new(width, height);
        draw(shape, &mut bits);
        bits
    }

    fn polygon(corners: &[[f64; 2]]) -> DrawnShape {
        DrawnShape::Polygon(vec![corners.to_vec()])
    }

    #[test]
    fn a_pixel_belongs_to_a_rectangle_if_its_centre_does() {
        let bits = drawn(&DrawnShape::rectangle([1.5, 1.0], [3.5, 2.0]), 6, 4);
        assert_eq!(bits.pixels().collect::<Vec<_>>(), [(1, 1), (2, 1)], "centres on the left edge, not on the right");
        let bits = drawn(&DrawnShape::rectangle([3.0, 2.5], [0.0, 0.5]), 6, 4);
        assert_eq!(bits.count(), 6, "rows of the upper edge, not of the lower");
    }

    #[test]
    fn a_hole_is_left_out_and_what_is_outside_is_cut_off() {
        let square = |low: f64, high: f64| vec![[low, low], [high, low], [high, high], [low, high]];
        let ring = DrawnShape::Polygon(vec![square(0.0, 10.0), square(3.0, 7.0)]);
        assert_eq!(drawn(&ring, 10, 10).count(), 100 - 16);
        assert_eq!(drawn(&DrawnShape::Polygon(vec![square(-50.0, 50.0)]), 10, 7).count(), 70);
        assert_eq!(placement(&DrawnShape::Polygon(vec![square(-50.0, 50.0)]), [10, 7]), Placement::Beyond);
        assert_eq!(placement(&DrawnShape::Polygon(vec![square(20.0, 50.0)]), [10, 7]), Placement::Outside);
        assert_eq!(placement(&ring, [10, 10]), Placement::Inside);
    }

    #[test]
    fn a_shape_between_all_centres_gets_the_pixels_under_its_corners() {
        let tiny = polygon(&[[2.6, 3.6], [2.9, 3.6], [2.9, 3.9]]);
        assert!(!covers_a_centre(&tiny, [8, 8]));
        assert_eq!(drawn(&tiny, 8, 8).pixels().collect::<Vec<_>>(), [(2, 3)]);
        let dot = DrawnShape::circle([4.0, 4.0], 0.2);
        assert_eq!(drawn(&dot, 8, 8).pixels().collect::<Vec<_>>(), [(4, 4)]);
        let edge = polygon(&[[8.0, 8.0], [8.0, 8.0], [8.0, 8.0]]);
        assert_eq!(drawn(&edge, 8, 8).pixels().collect::<Vec<_>>(), [(7, 7)], "the last pixel");
        assert!(covers_a_centre(&DrawnShape::circle([4.0, 4.0], 0.8), [8, 8]));
    }

    #[test]
    fn a_rotated_ellipse_is_the_ellipse_rotated() {
        let ellipse = |radii, degrees| DrawnShape::Ellipse { centre: [10.0, 10.0], radii, degrees };
        assert_eq!(drawn(&ellipse([8.0, 3.0], 90.0), 20, 20), drawn(&ellipse([3.0, 8.0], 0.0), 20, 20));
        let slanted = drawn(&ellipse([8.0, 2.0], 45.0), 20, 20);
        assert!(slanted.get(14, 14) && !slanted.get(14, 5), "from x towards y");
    }

    #[test]
    fn runs_fill_columns_or_rows() {
        let runs = |order| DrawnShape::Runs { order, corner: [1, 2], size: [3, 2], counts: vec![1, 3, 2] };
        assert_eq!(
            drawn(&runs(RunOrder::Columns), 5, 5).pixels().collect::<Vec<_>>(),
            [(2, 2), (1, 3), (2, 3)],
            "down the first column, then the second"
        );
        assert_eq!(drawn(&runs(RunOrder::Rows), 5, 5).pixels().collect::<Vec<_>>(), [(2, 2), (3, 2), (1, 3)]);
        assert_eq!(drawn(&runs(RunOrder::Rows), 3, 3).count(), 1, "the rest is outside");
    }

    #[test]
    fn an_outline_that_would_take_minutes_is_refused() {
        let corners: Vec<[f64; 2]> = (0..200_000).map(|i| [f64::from(i % 7), f64::from(i % 2) * 3000.0]).collect();
        assert_eq!(placement(&polygon(&corners), [4000, 3000]), Placement::TooComplex);
        assert_eq!(placement(&polygon(&corners[..2000]), [4000, 3000]), Placement::Inside);
    }

    proptest! {
        #[test]
        fn polygons_with_a_common_edge_share_no_pixel_and_leave_none_out(
            corners in proptest::collection::vec((0i32..97, 0i32..97), 4),
            by in prop_oneof![Just(1.0), Just(2.0), Just(7.0)],
        ) {
            let [a, b, c, d]: [[f64; 2]; 4] =
                std::array::from_fn(|i| [f64::from(corners[i].0) / by, f64::from(corners[i].1) / by]);
            // Two triangles on the edge from a to c, and the quadrilateral of both by the even-odd rule.
            let both = drawn(&polygon(&[a, b, c, d]), 100, 100);
            let [one, other] = [[a, b, c], [c, d, a]].map(|triangle| {
                let mut bits = Bitmap::new(100, 100);
                let _ = columns(&polygon(&triangle), (100, 100), &mut |y, columns| {
                    bits.set_columns(y, columns);
                    ControlFlow::Continue(())
                });
                bits
            });
            if covers_a_centre(&polygon(&[a, b, c, d]), [100, 100]) {
                for (x, y) in (0..100).flat_map(|y| (0..100).map(move |x| (x, y))) {
                    prop_assert_eq!(both.get(x, y), one.get(x, y) != other.get(x, y), "({}, {})", x, y);
                }
            }
        }
    }
}
