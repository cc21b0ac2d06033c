//! Shapes of a slide as shapes of its regions. Together, the regions show exactly the pixels that the shape has in the whole level: coordinates
//! are rounded before they are moved, and corners are left out only where they change no pixel of the region. A shape that is nowhere in a
//! region is not one of its shapes, so that editing it leaves the region as it was.

use std::ops::{ControlFlow, Range};

use super::draw::{covers_a_centre, of_runs, round, under_corners};
use super::shape::{DrawnShape, RunOrder};
use crate::data::bitmap::{Bitmap, Rect};

/// The grid of regions on a level of a slide.
pub struct RegionGrid<'a> {
    /// Width and height of the slide that shapes are drawn on, px.
    pub slide: [u32; 2],
    /// Width and height of the level, px.
    pub level: [u32; 2],
    /// First column of each column of regions, and the end of the last.
    pub columns: &'a [u32],
    /// First row of each row of regions, and the end of the last.
    pub rows: &'a [u32],
}

impl RegionGrid<'_> {
    /// Passes the number of each region that shows a part of a shape, row by row, and that part.
    ///
    /// # Errors
    /// Run lengths, if the level is a reduced one.
    pub fn divide(&self, shape: &DrawnShape, mut each: impl FnMut(usize, DrawnShape)) -> Result<(), &'static str> {
        let whole = self.on_level(shape).ok_or("run lengths are read at level 0 only")?;
        let size = (self.level[0] as usize, self.level[1] as usize);
        if !covers_a_centre(&whole, self.level) {
            under_corners(&whole, size, |x, y| {
                let (column, row) = (place(self.columns, x as u32), place(self.rows, y as u32));
                let corner = [x as u32 - self.columns[column], y as u32 - self.rows[row]];
                let pixel = DrawnShape::Runs { order: RunOrder::Rows, corner, size: [1, 1], counts: vec![0, 1] };
                each(self.number(column, row), pixel);
            });
            return Ok(());
        }
        // Run lengths are often those of the whole picture, whatever they show of it.
        let bounds = match &whole {
            DrawnShape::Runs { order, corner, size, counts } => set_bounds(*order, *corner, *size, counts),
            _ => whole.bounds(),
        };
        let Some([left, top, right, bottom]) = bounds else { return Ok(()) };
        for row in places(self.rows, top, bottom) {
            for column in places(self.columns, left, right) {
                let corner = [self.columns[column], self.rows[row]];
                let own = [self.columns[column + 1] - corner[0], self.rows[row + 1] - corner[1]];
                let part = match &whole {
                    DrawnShape::Polygon(rings) => DrawnShape::Polygon(near(rings, corner, own)),
                    DrawnShape::Ellipse { centre, radii, degrees } => {
                        DrawnShape::Ellipse { centre: moved(*centre, corner), radii: *radii, degrees: *degrees }
                    }
                    DrawnShape::Runs { order, corner: first, size: area, counts } => {
                        let inside = [0, 1].map(|axis| corner[axis] as usize..(corner[axis] + own[axis]) as usize);
                        let mut bits = Bitmap::new(own[0] as usize, own[1] as usize);
                        let mut any = false;
                        let [left, top] = [inside[0].start, inside[1].start];
                        let _ = of_runs(*order, *first, *area, counts, inside, &mut |y, columns| {
                            any = true;
                            bits.set_columns(y - top, columns.start - left..columns.end - left);
                            ControlFlow::Continue(())
                        });
                        if any {
                            each(self.number(column, row), as_runs(&bits));
                        }
                        continue;
                    }
                };
                if covers_a_centre(&part, own) {
                    each(self.number(column, row), part);
                }
            }
        }
        Ok(())
    }

    const fn number(&self, column: usize, row: usize) -> usize {
        row * (self.columns.len() - 1) + column
    }

    /// The shape in pixels of the level; [`None`] for run lengths, if it is reduced.
    fn on_level(&self, shape: &DrawnShape) -> Option<DrawnShape> {
        let scale = [0, 1].map(|axis| f64::from(self.level[axis]) / f64::from(self.slide[axis]));
        let scaled = |corner: &[f64; 2]| [0, 1].map(|axis| round(corner[axis] * scale[axis]));
        Some(match shape {
            DrawnShape::Polygon(rings) => {
                DrawnShape::Polygon(rings.iter().map(|ring| ring.iter().map(scaled).collect()).collect())
            }
            DrawnShape::Ellipse { centre, radii, degrees } => {
                // Both scales are equal, up to rounding of the level's size.
                let mean = f64::midpoint(scale[0], scale[1]);
                DrawnShape::Ellipse {
                    centre: scaled(centre),
                    radii: radii.map(|radius| radius * mean),
                    degrees: *degrees,
                }
            }
            DrawnShape::Runs { .. } => (self.level == self.slide).then(|| shape.clone())?,
        })
    }
}

/// The interval of a grid that holds a pixel.
fn place(starts: &[u32], at: u32) -> usize {
    starts.partition_point(|start| *start <= at).clamp(1, starts.len() - 1) - 1
}

/// The intervals of a grid that hold pixels from `from` to `to`.
fn places(starts: &[u32], from: f64, to: f64) -> Range<usize> {
    let end = f64::from(starts.last().copied().unwrap_or(0));
    if to < 0.0 || from > end {
        return 0..0;
    }
    let of = |at: f64| place(starts, at.clamp(0.0, end) as u32);
    of(from)..of(to) + 1
}

fn moved(corner: [f64; 2], by: [u32; 2]) -> [f64; 2] {
    [corner[0] - f64::from(by[0]), corner[1] - f64::from(by[1])]
}

/// Rings relative to the first pixel of a region, without corners that are beyond one of its sides together with both neighbours: the edges
/// between these cross rows of the region as often, and at the same end of each row.
fn near(rings: &[Vec<[f64; 2]>], corner: [u32; 2], size: [u32; 2]) -> Vec<Vec<[f64; 2]>> {
    let [width, height] = size.map(|side| f64::from(side) + 1.0);
    let beyond = |[x, y]: [f64; 2]| {
        u8::from(x < -1.0) | u8::from(x > width) << 1 | u8::from(y < -1.0) << 2 | u8::from(y > height) << 3
    };
    let ring = |ring: &Vec<[f64; 2]>| {
        let mut kept: Vec<[f64; 2]> = Vec::new();
        for (at, own) in ring.iter().enumerate() {
            let (own, next) = (moved(*own, corner), moved(ring[(at + 1) % ring.len()], corner));
            let is_far = kept.last().is_some_and(|last| beyond(*last) & beyond(own) & beyond(next) != 0);
            if !is_far {
                kept.push(own);
            }
        }
        kept
    };
    rings.iter().map(ring).filter(|ring| ring.len() > 2).collect()
}

/// The rectangle around the pixels that run lengths show: left, top, right, bottom; [`None`] if they show none.
fn set_bounds(order: RunOrder, corner: [u32; 2], area: [u32; 2], counts: &[u32]) -> Option<[f64; 4]> {
    // Lines are columns or rows; the other axis is along them.
    let (line, across, along) = match order {
        RunOrder::Columns => (u64::from(area[1]), 0, 1),
        RunOrder::Rows => (u64::from(area[0]), 1, 0),
    };
    let mut found: Option<[[u64; 2]; 2]> = None;
    let mut at = 0;
    for (number, count) in counts.iter().enumerate() {
        let end = at + u64::from(*count);
        if number % 2 == 1 && end > at {
            let (first, last) = (at / line, (end - 1) / line);
            let own = if first == last { [at % line, (end - 1) % line + 1] } else { [0, line] };
            let mut both = [[0; 2]; 2];
            (both[across], both[along]) = ([first, last + 1], own);
            found = Some(found.map_or(both, |known| {
                [0, 1].map(|axis| [known[axis][0].min(both[axis][0]), known[axis][1].max(both[axis][1])])
            }));
        }
        at = end;
    }
    let [[left, right], [top, bottom]] = found?;
    let moved = |at: u64, axis: usize| (at + u64::from(corner[axis])) as f64;
    Some([moved(left, 0), moved(top, 1), moved(right, 0), moved(bottom, 1)])
}

/// Run lengths of these pixels, row by row.
fn as_runs(bits: &Bitmap) -> DrawnShape {
    let (width, height) = (bits.width(), bits.height());
    let (mut counts, mut end) = (Vec::new(), 0);
    for (x, y) in bits.pixels_in(Rect { left: 0, top: 0, right: width, bottom: height }) {
        let at = y * width + x;
        match counts.last_mut() {
            Some(run) if at == end => *run += 1,
            _ => counts.extend([(at - end) as u32, 1]),
        }
        end = at + 1;
    }
    if end < width * height {
        counts.push((width * height - end) as u32);
    }
    DrawnShape::Runs { order: RunOrder::Rows, corner: [0, 0], size: [width as u32, height as u32], counts }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::draw::draw;
    use super::*;

    /// The pixels of a shape, from its regions.
    fn of_regions(grid: &RegionGrid<'_>, shape: &DrawnShape) -> Bitmap {
        let mut all = Bitmap::new(grid.level[0] as usize, grid.level[1] as usize);
        let across = grid.columns.len() - 1;
        let divided = grid.divide(shape, |number, part| {
            let (column, row) = (number % across, number / across);
            let [left, top] = [grid.columns[column] as usize, grid.rows[row] as usize];
            let [right, bottom] = [grid.columns[column + 1] as usize, grid.rows[row + 1] as usize];
            let mut bits = Bitmap::new(right - left, bottom - top);
            draw(&part, &mut bits);
            assert!(bits.count() > 0, "a part shows something");
            bits.pixels().for_each(|(x, y)| all.set(left + x, top + y));
        });
        divided.expect("no run lengths");
        all
    }

    fn whole(grid: &RegionGrid<'_>, shape: &DrawnShape) -> Bitmap {
        let mut bits = Bitmap::new(grid.level[0] as usize, grid.level[1] as usize);
        draw(&grid.on_level(shape).expect("no run lengths"), &mut bits);
        bits
    }

    fn grid(reduced: bool) -> RegionGrid<'static> {
        let level = if reduced { [66, 50] } else { [200, 150] };
        let columns = if reduced { &[0, 16, 32, 48, 66][..] } else { &[0, 64, 128, 200] };
        let rows = if reduced { &[0, 16, 32, 50][..] } else { &[0, 64, 150] };
        RegionGrid { slide: [200, 150], level, columns, rows }
    }

    proptest! {
        #[test]
        fn regions_show_the_pixels_of_the_whole_shape(
            corners in proptest::collection::vec((-40i32..1040, -40i32..790), 3..12),
            hole in proptest::collection::vec((0i32..1000, 0i32..750), 3..6),
            reduced in any::<bool>(),
        ) {
            let ring = |corners: &[(i32, i32)]| corners.iter().map(|(x, y)| [f64::from(*x) / 5.0, f64::from(*y) / 5.0]).collect();
            let shape = DrawnShape::Polygon(vec![ring(&corners), ring(&hole)]);
            let grid = grid(reduced);
            prop_assert_eq!(of_regions(&grid, &shape), whole(&grid, &shape));
        }
    }

    #[test]
    fn small_shapes_ellipses_and_runs_are_where_they_were() {
        for reduced in [false, true] {
            let grid = grid(reduced);
            for shape in [
                DrawnShape::Polygon(vec![vec![[127.9, 63.6], [128.2, 63.6], [128.2, 64.3]]]),
                DrawnShape::Ellipse { centre: [128.0, 64.0], radii: [40.0, 9.0], degrees: 30.0 },
                DrawnShape::circle([128.0, 64.0], 0.2),
            ] {
                assert_eq!(of_regions(&grid, &shape), whole(&grid, &shape), "{shape:?}");
            }
        }
        let runs =
            DrawnShape::Runs { order: RunOrder::Columns, corner: [60, 60], size: [10, 10], counts: vec![7, 86, 7] };
        assert_eq!(of_regions(&grid(false), &runs), whole(&grid(false), &runs));
        assert!(grid(true).divide(&runs, |_, _| {}).is_err(), "of a reduced level");
    }

    #[test]
    fn run_lengths_of_a_whole_picture_are_those_of_the_regions_that_they_show() {
        let picture = |order, set: fn(u32, u32) -> bool| {
            let at = |at: u32| match order {
                RunOrder::Columns => set(at / 150, at % 150),
                RunOrder::Rows => set(at % 200, at / 200),
            };
            let mut counts = vec![0];
            for i in 0..200 * 150 {
                if at(i) != (counts.len() % 2 == 0) {
                    counts.push(0);
                }
                *counts.last_mut().expect("a run") += 1;
            }
            DrawnShape::Runs { order, corner: [0, 0], size: [200, 150], counts }
        };
        let sets: [fn(u32, u32) -> bool; 5] = [
            |x, y| x == 130 && y == 70,
            |x, y| (60..70).contains(&x) && (60..70).contains(&y),
            |x, y| x < 64 && y < 64,
            |x, y| (x + y) % 3 == 0,
            |_, _| true,
        ];
        let regions = [&[5][..], &[0, 1, 3, 4], &[0], &[0, 1, 2, 3, 4, 5], &[0, 1, 2, 3, 4, 5]];
        for order in [RunOrder::Columns, RunOrder::Rows] {
            for (set, regions) in sets.iter().zip(regions) {
                let shape = picture(order, *set);
                assert_eq!(of_regions(&grid(false), &shape), whole(&grid(false), &shape));
                let mut shown = Vec::new();
                grid(false).divide(&shape, |number, _| shown.push(number)).expect("the full level");
                assert_eq!(shown, regions, "{order:?}");
            }
        }
        let DrawnShape::Runs { counts, .. } = as_runs(&Bitmap::new(3, 2)) else { panic!("run lengths") };
        assert_eq!(counts, [6]);
        let mut bits = Bitmap::new(3, 2);
        for (x, y) in [(0, 0), (2, 0), (0, 1)] {
            bits.set(x, y);
        }
        let DrawnShape::Runs { counts, .. } = as_runs(&bits) else { panic!("run lengths") };
        assert_eq!(counts, [0, 1, 1, 2, 2]);
    }

    #[test]
    fn far_corners_are_left_out() {
        let ring: Vec<[f64; 2]> = (0..1000)
            .map(|i| f64::from(i) / 1000.0 * std::f64::consts::TAU)
            .map(|angle| [100.0 + 90.0 * libm::cos(angle), 75.0 + 70.0 * libm::sin(angle)])
            .collect();
        let mut most = 0;
        let grid = grid(false);
        grid.divide(&DrawnShape::Polygon(vec![ring]), |_, part| {
            let DrawnShape::Polygon(rings) = part else { panic!("a polygon") };
            most = most.max(rings[0].len());
        })
        .expect("no run lengths");
        assert!((100..500).contains(&most), "{most} corners");
    }
}
