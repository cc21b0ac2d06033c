//! Products of small matrices, such as those of one attention head, and sums of rows. Knows no network.

use super::chosen;
use super::micro;
use super::shape::{Begin, COLUMNS, ROWS, Rectify};

/// Values of a row that are summed in turn.
const LANES: usize = 16;

/// Left factor: rows of `depth` values, `stride` apart.
#[derive(Clone, Copy)]
pub(super) struct LeftFactor<'a> {
    pub(super) values: &'a [f32],
    pub(super) depth: usize,
    pub(super) stride: usize,
}

/// Right factor, packed for the micro-kernels: panels of 32 columns, each with 32 values for each of the depth. Columns that are not
/// written are zeros.
pub(super) struct RightFactor {
    values: Vec<f32>,
    depth: usize,
    panels: usize,
}

impl RightFactor {
    /// Room for a factor of `depth` x `columns`.
    pub(super) fn new(depth: usize, columns: usize) -> Self {
        let panels = columns.div_ceil(COLUMNS);
        Self { values: vec![0.0; panels * depth * COLUMNS], depth, panels }
    }

    /// Place of the value at a row and a column.
    fn place(&self, row: usize, column: usize) -> usize {
        (column / COLUMNS * self.depth + row) * COLUMNS + column % COLUMNS
    }

    /// Takes `depth` rows of `width` values, `stride` apart, as its rows.
    pub(super) fn take_rows(&mut self, rows: &[f32], [width, stride]: [usize; 2]) {
        self.depth = rows.len() / stride;
        for (at, row) in rows.chunks_exact(stride).enumerate() {
            for (panel, values) in row[..width].chunks(COLUMNS).enumerate() {
                let start = (panel * self.depth + at) * COLUMNS;
                self.values[start..][..values.len()].copy_from_slice(values);
            }
        }
    }

    /// Takes a row of `depth` values as a column.
    pub(super) fn take_column(&mut self, column: usize, values: &[f32]) {
        let first = self.place(0, column);
        for (own, value) in self.values[first..].iter_mut().step_by(COLUMNS).zip(values) {
            *own = *value;
        }
    }
}

/// `c` (+)= `a` times `b`; a row of `c` has as many values as the panels of `b`. Every element is summed in ascending order.
#[expect(unsafe_code, reason = "tiles are handed to micro-kernels as pointers")]
pub(super) fn product(a: LeftFactor, b: &RightFactor, begin: Begin, c: &mut [f32]) {
    let columns = b.panels * COLUMNS;
    let rows = c.len() / columns;
    assert_eq!(a.depth, b.depth, "factors that do not fit");
    assert!(rows == 0 || a.values.len() >= (rows - 1) * a.stride + a.depth, "a left factor of another shape");
    // Tiles of about equal height: a short one would leave execution units idle.
    let tiles = rows.div_ceil(ROWS);
    for tile in 0..tiles {
        let (first, last) = (rows * tile / tiles, rows * (tile + 1) / tiles);
        let parts: [*const f32; ROWS] =
            std::array::from_fn(|r| a.values[(first + r).min(last - 1) * a.stride..].as_ptr());
        for panel in 0..b.panels {
            let mut out = [std::ptr::null_mut(); ROWS];
            for (r, out) in out.iter_mut().take(last - first).enumerate() {
                *out = c[(first + r) * columns + panel * COLUMNS..][..COLUMNS].as_mut_ptr();
            }
            let extra = if begin == Begin::Add { out.map(<*mut f32>::cast_const) } else { [std::ptr::null(); ROWS] };
            let job = micro::Gathered {
                parts: parts.as_ptr(),
                rows: last - first,
                taps: 1,
                len: a.depth,
                panel: b.values[panel * b.depth * COLUMNS..][..b.depth * COLUMNS].as_ptr(),
                out,
                extra,
                bias: std::ptr::null(),
                bounds: Rectify::No.bounds(),
                columns: COLUMNS,
            };
            // SAFETY: the rows of a and c and the panel have the lengths that were checked above, and the CPU can execute the target.
            unsafe { micro::gathered(chosen(), &job) };
        }
    }
}

/// Writes the transpose of `rows` (each of `width` values, `stride` apart) with rows of `columns` values; those beyond are unchanged.
pub(super) fn transpose(rows: &[f32], [width, stride]: [usize; 2], columns: usize, out: &mut [f32]) {
    for (at, row) in rows.chunks_exact(stride).enumerate() {
        for (value, out) in row[..width].iter().zip(out.chunks_exact_mut(columns)) {
            out[at] = *value;
        }
    }
}

/// Sum of `of(index)` over 0..len: lane by lane, then over the lanes, then the rest.
#[expect(clippy::inline_always, reason = "it is compiled for the target that calls it")]
#[inline(always)]
pub(super) fn sum(len: usize, of: impl Fn(usize) -> f32) -> f32 {
    let mut sums = [0.0f32; LANES];
    let whole = len / LANES * LANES;
    for start in (0..whole).step_by(LANES) {
        for (lane, sum) in sums.iter_mut().enumerate() {
            *sum += of(start + lane);
        }
    }
    let all: f32 = sums.iter().sum();
    (whole..len).fold(all, |all, at| all + of(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_agree_with_plain_sums() {
        let (rows, depth, columns) = (29, 7, 40);
        let a: Vec<f32> = (0..rows * 9).map(|at| (at % 11) as f32 - 5.0).collect();
        let b: Vec<f32> = (0..depth * columns).map(|at| (at % 7) as f32 - 3.0).collect();
        let left = LeftFactor { values: &a, depth, stride: 9 };
        let mut right = RightFactor::new(depth, columns);
        right.take_rows(&b, [columns, columns]);
        let mut by_column = RightFactor::new(depth, columns);
        for column in 0..columns {
            let values: Vec<f32> = (0..depth).map(|at| b[at * columns + column]).collect();
            by_column.take_column(column, &values);
        }
        assert_eq!(right.values, by_column.values);
        let mut c = vec![0.5; rows * 64];
        product(left, &right, Begin::Add, &mut c);
        for (at, found) in c.iter().enumerate() {
            let (row, column) = (at / 64, at % 64);
            let term = |at: usize| a[row * 9 + at] * b[at * columns + column];
            let wanted: f32 = if column < columns { (0..depth).map(term).sum() } else { 0.0 };
            assert_eq!(*found, wanted + 0.5, "{row}, {column}");
        }
        let mut turned = vec![0.0; 9 * 32];
        transpose(&a, [7, 9], 32, &mut turned);
        assert_eq!(turned[3 * 32 + 4], a[4 * 9 + 3]);
    }
}
