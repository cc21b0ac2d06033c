//! Multi-head attention of the pixels of a map within windows, or of all pixels (Vaswani et al. 2017; windows as in Swin, Liu et al.
//! 2021). Knows no network.
//!
//! Each head of a window is one unit of work. It reads rows of queries in blocks, so that its memory grows with the pixels of a window and
//! not with their square; only a relative bias needs that. The backward pass computes the attention again from two numbers per query.

use rayon::prelude::*;

use super::product::{LeftFactor, RightFactor, product, sum, transpose};
use super::shape::{Begin, COLUMNS};
use super::shared::SharedBuffer;
use super::smooth::exp;
use super::vector::vectorised;

/// Queries that are computed together.
const QUERIES: usize = 96;
/// Parts that the sums of the relative bias are computed in, at most.
const CHUNKS: usize = 32;
/// Floats of these parts together, at most, unless one part has more.
const MOST_SUMS: usize = 1 << 26;
/// In place of a pixel beyond the map.
const OUTSIDE: u32 = u32::MAX;
/// Added to scores of pixels that are neighbours only because the map was moved, as in torchvision.
pub const APART: f32 = -100.0;

/// Smallest difference from the maximum of a row whose exponential is not 0.
const LEAST: f32 = -75.0;

/// Shape of an attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionShape {
    /// Height and width of the map, px.
    pub map: [usize; 2],
    /// The same, up to whole windows.
    pub padded: [usize; 2],
    /// Channels of queries, keys, values and the output.
    pub channels: usize,
    /// Heads, which divide the channels.
    pub heads: usize,
    /// Height and width of a window, px.
    pub window: [usize; 2],
    /// Rows and columns by which windows are moved, px.
    pub shift: [usize; 2],
    /// Height and width of another map that keys and values come from, px; every pixel attends to all of it.
    pub other: Option<[usize; 2]>,
}

impl AttentionShape {
    /// Shape for a map; without `window`, one window covers it. Windows are not moved along a side that one window covers.
    #[must_use]
    pub fn new(map: [usize; 2], channels: usize, heads: usize, window: Option<usize>, shift: usize) -> Self {
        let padded = map.map(|side| window.map_or(side, |window| side.next_multiple_of(window)));
        let window = window.map_or(map, |window| [window; 2]);
        let shift = std::array::from_fn(|side| if window[side] < padded[side] { shift } else { 0 });
        Self { map, padded, channels, heads, window, shift, other: None }
    }

    /// Shape for queries of a map, and keys and values of another one.
    #[must_use]
    pub fn across(map: [usize; 2], other: [usize; 2], channels: usize, heads: usize) -> Self {
        Self { other: Some(other), ..Self::new(map, channels, heads, None, 0) }
    }

    /// Number of keys of a query.
    fn sources(&self) -> usize {
        self.other.map_or(self.tokens(), |[height, width]| height * width)
    }

    /// Channels of a head.
    fn depth(&self) -> usize {
        self.channels / self.heads
    }

    /// Pixels of a window.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.window[0] * self.window[1]
    }

    /// Number of windows of a map.
    #[must_use]
    pub fn windows(&self) -> usize {
        self.padded[0] / self.window[0] * (self.padded[1] / self.window[1])
    }

    /// Pixels of the padded map, window by window, each row by row.
    #[must_use]
    pub fn order(&self) -> Vec<u32> {
        let ([rows, columns], [height, width]) = (self.window, self.padded);
        let mut order = Vec::with_capacity(height * width);
        for top in (0..height).step_by(rows) {
            for left in (0..width).step_by(columns) {
                for row in top..top + rows {
                    let row = (row + self.shift[0]) % height;
                    let pixels = (left..left + columns).map(|column| (column + self.shift[1]) % width);
                    order.extend(pixels.map(|column| (row * width + column) as u32));
                }
            }
        }
        order
    }

    /// Part of the map that each pixel in [`AttentionShape::order`] comes from: pixels of different parts were not neighbours before
    /// windows were moved. [`None`] if they are not moved.
    #[must_use]
    pub fn parts(&self) -> Option<Vec<u8>> {
        if self.shift == [0, 0] {
            return None;
        }
        let part = |at: usize, side: usize, window: usize, shift: usize| match () {
            () if shift == 0 || at < side - window => 0,
            () if at < side - shift => 1,
            () => 2,
        };
        let ([rows, columns], [height, width]) = (self.window, self.padded);
        let mut parts = Vec::with_capacity(height * width);
        for top in (0..height).step_by(rows) {
            for left in (0..width).step_by(columns) {
                for row in top..top + rows {
                    let vertical = part(row, height, rows, self.shift[0]);
                    let along = (left..left + columns).map(|at| part(at, width, columns, self.shift[1]));
                    parts.extend(along.map(|horizontal| 3 * vertical + horizontal));
                }
            }
        }
        Some(parts)
    }

    /// Row of the table of the relative bias for each pair of pixels of a window, query by query.
    #[must_use]
    pub fn offsets(&self) -> Vec<u32> {
        let [rows, columns] = self.window;
        let place = |at: usize| (at / columns, at % columns);
        let mut offsets = Vec::with_capacity(self.tokens() * self.tokens());
        for query in 0..self.tokens() {
            for key in 0..self.tokens() {
                let ((y, x), (key_y, key_x)) = (place(query), place(key));
                offsets.push(((y + rows - 1 - key_y) * (2 * columns - 1) + x + columns - 1 - key_x) as u32);
            }
        }
        offsets
    }
}

/// Queries, keys or values: `stride` floats for each pixel, of which those from `first` on are meant.
#[derive(Clone, Copy, Debug)]
pub struct Projected<'a> {
    /// Values of all pixels.
    pub values: &'a [f32],
    /// Floats from one pixel to the next.
    pub stride: usize,
    /// Floats to skip in each pixel.
    pub first: usize,
}

impl<'a> Projected<'a> {
    /// Values that have the channels of an attention only.
    #[must_use]
    pub fn whole(values: &'a [f32], channels: usize) -> Self {
        Self { values, stride: channels, first: 0 }
    }

    /// Queries, keys and values of each pixel, one after another.
    #[must_use]
    pub fn joint(values: &'a [f32], channels: usize) -> [Self; 3] {
        std::array::from_fn(|kind| Self { values, stride: 3 * channels, first: kind * channels })
    }
}

/// Buffers for the gradients of queries, keys and values.
#[derive(Debug)]
pub enum ProjectedGradients<'a> {
    /// One for all three, as [`Projected::joint`].
    Joint(&'a mut [f32]),
    /// One for each.
    Apart([&'a mut [f32]; 3]),
}

/// Maximum of the scores of each query, and the factor that makes their exponentials sum to 1: what the backward pass needs.
#[derive(Debug)]
pub struct AttentionSums(Vec<[f32; 2]>);

/// Gradients of an attention besides that of its input.
#[derive(Debug)]
pub struct AttentionGradients {
    /// That of the table of the relative bias, heads x offsets; empty without one.
    pub table: Vec<f32>,
    /// That of what stands beyond the map: queries, keys and values.
    pub outside: Vec<f32>,
}

/// Attention prepared for maps of one size.
#[derive(Debug)]
pub struct Attention<'a> {
    shape: AttentionShape,
    /// Pixels of the map, window by window; [`OUTSIDE`] beyond it.
    order: Vec<u32>,
    parts: Option<Vec<u8>>,
    /// Bias of each head, query and key, with padded keys. Empty without a relative bias.
    bias: Vec<f32>,
    /// Query, key and value of pixels beyond the map.
    outside: &'a [f32],
}

impl<'a> Attention<'a> {
    /// Prepares an attention. `outside` is query, key and value of pixels beyond the map, `table` that of the relative bias, heads x offsets.
    #[must_use]
    pub fn new(shape: AttentionShape, outside: &'a [f32], table: Option<&[f32]>) -> Self {
        let (tokens, keys, heads) = (shape.tokens(), shape.sources().next_multiple_of(COLUMNS), shape.heads);
        let bias = table.map_or_else(Vec::new, |table| {
            let offsets = shape.offsets();
            let mut bias = vec![0.0; heads * tokens * keys];
            let of_heads = table.chunks_exact(table.len() / heads).zip(bias.chunks_exact_mut(tokens * keys));
            for (table, bias) in of_heads {
                for (bias, offsets) in bias.chunks_exact_mut(keys).zip(offsets.chunks_exact(tokens)) {
                    let values = offsets.iter().map(|offset| table[*offset as usize]);
                    bias.iter_mut().zip(values).for_each(|(bias, value)| *bias = value);
                }
            }
            bias
        });
        let [rows, columns] = shape.map;
        let inside = |pixel: u32| {
            let (row, column) = (pixel as usize / shape.padded[1], pixel as usize % shape.padded[1]);
            if row < rows && column < columns { (row * columns + column) as u32 } else { OUTSIDE }
        };
        let order = shape.order().into_iter().map(inside).collect();
        Self { order, parts: shape.parts(), shape, bias, outside }
    }

    /// `y` (N x H x W x C) from queries, keys and values.
    pub fn forward(&self, x: [Projected; 3], y: &mut [f32]) -> AttentionSums {
        let Self { shape, .. } = self;
        let (tokens, depth) = (shape.tokens(), shape.depth());
        let units = self.units(y);
        let shared = SharedBuffer::new(y);
        let mut sums = vec![[0.0; 2]; units * tokens];
        sums.par_chunks_exact_mut(tokens).enumerate().for_each(|(unit, sums)| {
            let head = AttentionHead::new(self, &x, unit);
            let mut scores = vec![0.0; QUERIES.min(tokens) * head.keys];
            let mut out = vec![0.0; QUERIES * head.width];
            for first in (0..tokens).step_by(QUERIES) {
                let count = QUERIES.min(tokens - first);
                let scores = &mut scores[..count * head.keys];
                head.attend(first, scores, &mut sums[first..]);
                let rows = LeftFactor { values: scores, depth: head.sources, stride: head.keys };
                product(rows, &head.value, Begin::Fresh, &mut out[..count * head.width]);
                for (query, out) in (first..first + count).zip(out.chunks_exact(head.width)) {
                    if let Some(pixel) = self.pixel(unit, query) {
                        let at = self.output(unit, pixel);
                        // SAFETY: each pixel and head belongs to one unit only.
                        #[expect(unsafe_code, reason = "heads of a pixel are written by several threads")]
                        unsafe { shared.part(at, depth) }.copy_from_slice(&out[..depth]);
                    }
                }
            }
        });
        AttentionSums(sums)
    }

    /// Writes the gradients of queries, keys and values to `dx`, from that of the output. Returns the others.
    #[must_use]
    pub fn backward(
        &self,
        x: [Projected; 3],
        sums: &AttentionSums,
        dy: &[f32],
        dx: ProjectedGradients,
    ) -> AttentionGradients {
        let Self { shape, .. } = self;
        let (tokens, heads, depth) = (shape.tokens(), shape.heads, shape.depth());
        let keys = shape.sources().next_multiple_of(COLUMNS);
        let places = self.units(dy) / heads;
        // Of each chunk and head: gradients of scores, then of what stands beyond the map.
        let of_scores = if self.bias.is_empty() { 0 } else { tokens * keys };
        let own = of_scores + 3 * depth;
        let chunks = places.min(CHUNKS).min(MOST_SUMS / (heads * own)).max(1);
        let mut all = vec![0.0; chunks * heads * own];
        let shared = match dx {
            ProjectedGradients::Joint(all) => [SharedBuffer::new(all); 3],
            ProjectedGradients::Apart(each) => each.map(SharedBuffer::new),
        };
        all.par_chunks_exact_mut(own).enumerate().for_each(|(task, own)| {
            let (chunk, head) = (task / heads, task % heads);
            for place in places * chunk / chunks..places * (chunk + 1) / chunks {
                self.unit_backward(place * heads + head, (&x, dy), sums, shared, own.split_at_mut(of_scores));
            }
        });
        let offsets = if self.bias.is_empty() { Vec::new() } else { shape.offsets() };
        let rows = offsets.iter().max().map_or(0, |last| *last as usize + 1);
        let mut table = vec![0.0f64; if self.bias.is_empty() { 0 } else { rows * heads }];
        let mut outside = vec![0.0f64; 3 * shape.channels];
        for (task, own) in all.chunks_exact(own).enumerate() {
            let head = task % heads;
            let (of_scores, of_outside) = own.split_at(of_scores);
            for (of_query, offsets) in of_scores.chunks_exact(keys).zip(offsets.chunks_exact(tokens)) {
                for (value, offset) in of_query.iter().zip(offsets) {
                    table[head * rows + *offset as usize] += f64::from(*value);
                }
            }
            for (kind, own) in of_outside.chunks_exact(depth).enumerate() {
                let sums = &mut outside[kind * shape.channels + head * depth..];
                sums.iter_mut().zip(own).for_each(|(sum, value)| *sum += f64::from(*value));
            }
        }
        let narrow = |sums: Vec<f64>| sums.into_iter().map(|sum| sum as f32).collect();
        AttentionGradients { table: narrow(table), outside: narrow(outside) }
    }

    /// Backward pass of a head of a window.
    fn unit_backward(
        &self,
        unit: usize,
        (x, dy): (&[Projected; 3], &[f32]),
        sums: &AttentionSums,
        dx: [SharedBuffer; 3],
        (of_bias, of_outside): (&mut [f32], &mut [f32]),
    ) {
        let (tokens, depth) = (self.shape.tokens(), self.shape.depth());
        let head = AttentionHead::new(self, x, unit);
        let (sources, keys, width, scale) = (head.sources, head.keys, head.width, head.scale);
        let sums = &sums.0[unit * tokens..][..tokens];
        // Values with a column for each key, and keys with a row.
        let mut value_columns = RightFactor::new(depth, sources);
        for (key, value) in self.rows(x, unit, 2).enumerate() {
            value_columns.take_column(key, value);
        }
        let mut key_rows = RightFactor::new(sources, depth);
        key_rows.take_rows(&self.rows(x, unit, 1).flatten().copied().collect::<Vec<_>>(), [depth, depth]);
        let mut of_block = RightFactor::new(QUERIES.min(tokens), depth);
        let (mut of_key, mut of_value) = (vec![0.0; sources * width], vec![0.0; sources * width]);
        let mut given = vec![0.0; QUERIES * width];
        let mut scores = vec![0.0; QUERIES.min(tokens) * keys];
        let mut of_scores = vec![0.0; QUERIES * keys];
        let mut turned = vec![0.0; sources * QUERIES];
        let mut of_query = vec![0.0; QUERIES * width];
        for first in (0..tokens).step_by(QUERIES) {
            let count = QUERIES.min(tokens - first);
            for (query, row) in (first..first + count).zip(given.chunks_exact_mut(width)) {
                match self.pixel(unit, query) {
                    Some(pixel) => row[..depth].copy_from_slice(&dy[self.output(unit, pixel)..][..depth]),
                    None => row.fill(0.0),
                }
            }
            let (given, of_scores) = (&given[..count * width], &mut of_scores[..count * keys]);
            let attended = &mut scores[..count * keys];
            head.attend_again(first, attended, &sums[first..]);
            let rows = LeftFactor { values: given, depth, stride: width };
            product(rows, &value_columns, Begin::Fresh, of_scores);
            transpose(attended, [sources, keys], QUERIES, &mut turned);
            let rows = LeftFactor { values: &turned, depth: count, stride: QUERIES };
            of_block.take_rows(given, [depth, width]);
            product(rows, &of_block, Begin::Add, &mut of_value);
            through_softmax(attended, keys, of_scores);
            if !of_bias.is_empty() {
                let own = &mut of_bias[first * keys..][..count * keys];
                own.iter_mut().zip(&*of_scores).for_each(|(sum, value)| *sum += value);
            }
            transpose(of_scores, [sources, keys], QUERIES, &mut turned);
            let rows = LeftFactor { values: &turned, depth: count, stride: QUERIES };
            of_block.take_rows(&head.query[first * width..][..count * width], [depth, width]);
            product(rows, &of_block, Begin::Add, &mut of_key);
            let rows = LeftFactor { values: of_scores, depth: sources, stride: keys };
            product(rows, &key_rows, Begin::Fresh, &mut of_query[..count * width]);
            for value in &mut of_query {
                *value *= scale;
            }
            self.write(unit, [first, 0], &of_query[..count * width], (&x[0], dx[0]), of_outside);
        }
        self.write(unit, [0, 1], &of_key, (&x[1], dx[1]), of_outside);
        self.write(unit, [0, 2], &of_value, (&x[2], dx[2]), of_outside);
    }

    /// Writes rows of a head into the queries (0), keys (1) or values (2) of the pixels from `first` on, laid out as `x` is; adds those
    /// beyond the map to `of_outside`.
    fn write(
        &self,
        unit: usize,
        [first, kind]: [usize; 2],
        rows: &[f32],
        (x, dx): (&Projected, SharedBuffer),
        of_outside: &mut [f32],
    ) {
        let depth = self.shape.depth();
        for (at, row) in rows.chunks_exact(depth.next_multiple_of(COLUMNS)).enumerate() {
            let Some(pixel) = self.pixel_of(unit, first + at, kind) else {
                let sums = &mut of_outside[kind * depth..][..depth];
                sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
                continue;
            };
            let start = self.start(unit, pixel, kind, x.stride) + x.first;
            // SAFETY: each pixel and head belongs to one unit only.
            #[expect(unsafe_code, reason = "heads of a pixel are written by several threads")]
            unsafe { dx.part(start, depth) }.copy_from_slice(&row[..depth]);
        }
    }

    /// Number of units of work: heads of windows of images. `y` is the output.
    fn units(&self, y: &[f32]) -> usize {
        let AttentionShape { map: [height, width], channels, heads, .. } = self.shape;
        y.len() / (height * width * channels) * self.shape.windows() * heads
    }

    /// Image, window and head of a unit.
    fn place(&self, unit: usize) -> [usize; 3] {
        let (heads, windows) = (self.shape.heads, self.shape.windows());
        [unit / heads / windows, unit / heads % windows, unit % heads]
    }

    /// Queries (0), keys (1) or values (2) of a unit, a row for each.
    fn rows<'b>(&'b self, x: &'b [Projected<'b>; 3], unit: usize, kind: usize) -> impl Iterator<Item = &'b [f32]> {
        let (depth, channels) = (self.shape.depth(), self.shape.channels);
        let [_, _, head] = self.place(unit);
        let count = if kind == 0 { self.shape.tokens() } else { self.shape.sources() };
        let Projected { values, stride, first } = x[kind];
        (0..count).map(move |token| match self.pixel_of(unit, token, kind) {
            Some(pixel) => &values[self.start(unit, pixel, kind, stride) + first..][..depth],
            None => &self.outside[kind * channels + head * depth..][..depth],
        })
    }

    /// Pixel of the map of a query of a unit.
    fn pixel(&self, unit: usize, token: usize) -> Option<usize> {
        let [_, window, _] = self.place(unit);
        let pixel = self.order[window * self.shape.tokens() + token];
        (pixel != OUTSIDE).then_some(pixel as usize)
    }

    /// Pixel of a query (0), key (1) or value (2) of a unit, in its own map.
    fn pixel_of(&self, unit: usize, token: usize, kind: usize) -> Option<usize> {
        if kind > 0 && self.shape.other.is_some() { Some(token) } else { self.pixel(unit, token) }
    }

    /// Start of the head of a query (0), key (1) or value (2) of a pixel of a unit, with `stride` floats for each pixel.
    fn start(&self, unit: usize, pixel: usize, kind: usize, stride: usize) -> usize {
        let [image, _, head] = self.place(unit);
        let [height, width] = self.shape.other.filter(|_| kind > 0).unwrap_or(self.shape.map);
        (image * height * width + pixel) * stride + head * self.shape.depth()
    }

    /// Start of the output of a pixel of a unit.
    fn output(&self, unit: usize, pixel: usize) -> usize {
        self.start(unit, pixel, 0, self.shape.channels)
    }
}

/// One head of a window.
struct AttentionHead<'a> {
    /// Bias of the head; empty without one.
    bias: &'a [f32],
    /// Parts of the window's pixels, if there are several.
    parts: Option<&'a [u8]>,
    /// Number of keys, padded.
    keys: usize,
    /// Channels of the head, padded.
    width: usize,
    /// Factor of the queries.
    scale: f32,
    /// Queries times `scale`, a row each.
    query: Vec<f32>,
    /// Keys, a column each.
    key: RightFactor,
    /// Values, a row each.
    value: RightFactor,
    /// Number of keys.
    sources: usize,
    depth: usize,
}

impl<'a> AttentionHead<'a> {
    fn new(of: &'a Attention<'_>, x: &[Projected; 3], unit: usize) -> Self {
        let (tokens, sources, depth) = (of.shape.tokens(), of.shape.sources(), of.shape.depth());
        let (keys, width) = (sources.next_multiple_of(COLUMNS), depth.next_multiple_of(COLUMNS));
        let scale = 1.0 / (depth as f32).sqrt();
        let [_, window, head] = of.place(unit);
        let mut query = vec![0.0; tokens * width];
        for (own, row) in query.chunks_exact_mut(width).zip(of.rows(x, unit, 0)) {
            own.iter_mut().zip(row).for_each(|(own, value)| *own = value * scale);
        }
        let (mut key, mut value) = (RightFactor::new(depth, sources), RightFactor::new(sources, depth));
        for (at, row) in of.rows(x, unit, 1).enumerate() {
            key.take_column(at, row);
        }
        value.take_rows(&of.rows(x, unit, 2).flatten().copied().collect::<Vec<_>>(), [depth, depth]);
        let bias = if of.bias.is_empty() { &[][..] } else { &of.bias[head * tokens * keys..][..tokens * keys] };
        let parts = of.parts.as_ref().map(|parts| &parts[window * tokens..][..tokens]);
        let parts = parts.filter(|parts| parts.iter().any(|part| *part != parts[0]));
        Self { bias, parts, keys, width, scale, query, key, value, sources, depth }
    }

    /// Scores of the queries from `first` on, a row each.
    fn score(&self, first: usize, scores: &mut [f32]) {
        let Self { keys, sources, .. } = *self;
        let rows = LeftFactor { values: &self.query[first * self.width..], depth: self.depth, stride: self.width };
        product(rows, &self.key, Begin::Fresh, scores);
        if !self.bias.is_empty() {
            scores.iter_mut().zip(&self.bias[first * keys..]).for_each(|(score, bias)| *score += bias);
        }
        if let Some(parts) = self.parts {
            for (part_of_query, scores) in parts[first..].iter().zip(scores.chunks_exact_mut(keys)) {
                let apart = parts.iter().map(|part| if part == part_of_query { 0.0 } else { APART });
                scores[..sources].iter_mut().zip(apart).for_each(|(score, apart)| *score += apart);
            }
        }
    }

    /// Attention of the queries from `first` on, a row each; the maximum and the factor of each go to `sums`.
    fn attend(&self, first: usize, scores: &mut [f32], sums: &mut [[f32; 2]]) {
        self.score(first, scores);
        for (scores, sums) in scores.chunks_exact_mut(self.keys).zip(sums) {
            softmax(scores, self.sources, sums);
        }
    }

    /// The same attention again, by what the forward pass kept.
    fn attend_again(&self, first: usize, scores: &mut [f32], sums: &[[f32; 2]]) {
        self.score(first, scores);
        for (scores, [maximum, factor]) in scores.chunks_exact_mut(self.keys).zip(sums) {
            exponentials(scores, self.sources, *maximum);
            for value in scores {
                *value *= factor;
            }
        }
    }
}

/// exp(score - maximum) of the first `count` scores of a row, 0 of the others. What would be less than exp([`LEAST`]) is 0: products with
/// subnormal numbers take a hundred times as long.
#[expect(clippy::inline_always, reason = "it is compiled for the target that calls it")]
#[inline(always)]
fn exponentials_of(scores: &mut [f32], count: usize, maximum: f32) {
    for score in scores.iter_mut() {
        let below = *score - maximum;
        *score = if below < LEAST { 0.0 } else { exp(below) };
    }
    scores[count..].fill(0.0);
}

vectorised! {
    fn exponentials(scores: &mut [f32], count: usize, maximum: f32) {
        exponentials_of(scores, count, maximum);
    }
}

vectorised! {
    /// Softmax of the first `count` scores of a row, 0 of the others. `sums` receives their maximum and the factor.
    fn softmax(scores: &mut [f32], count: usize, sums: &mut [f32; 2]) {
        let maximum = scores[..count].iter().fold(f32::NEG_INFINITY, |most, score| most.max(*score));
        exponentials_of(scores, count, maximum);
        let factor = 1.0 / sum(scores.len(), |at| scores[at]);
        for score in scores.iter_mut() {
            *score *= factor;
        }
        *sums = [maximum, factor];
    }
}

vectorised! {
    /// Gradient of the scores from that of the attention, row by row: p (dp - sum of p dp).
    fn through_softmax(attended: &[f32], keys: usize, of_scores: &mut [f32]) {
        for (p, dp) in attended.chunks_exact(keys).zip(of_scores.chunks_exact_mut(keys)) {
            let all = sum(keys, |at| p[at] * dp[at]);
            for (p, dp) in p.iter().zip(dp.iter_mut()) {
                *dp = p * (*dp - all);
            }
        }
    }
}
