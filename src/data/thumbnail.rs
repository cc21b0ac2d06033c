//! Small JPEGs of patches and pictures for pages, and outlines of masks as SVG paths. Knows no page.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use image::ExtendedColorType;
use image::codecs::jpeg::JpegEncoder;

use super::canvas::Canvas;
use super::patches::{SetInfo, Shard};
use super::png_image::pixels;

/// Quality of the JPEGs: 1 to 100.
const QUALITY: u8 = 80;

/// Cells along a side of an outline. A mask pixel anywhere in a cell counts, so that small lesions are kept.
const CELLS: usize = 96;

/// RGB pixels, row by row from the top.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RgbPixels {
    /// Width, px.
    pub width: usize,
    /// Height, px.
    pub height: usize,
    /// Three bytes per pixel.
    pub rgb: Vec<u8>,
}

impl RgbPixels {
    /// The pixels of a PNG written by macula.
    ///
    /// # Errors
    /// If the bytes are not a PNG.
    pub fn of_png(bytes: &[u8]) -> Result<Self, String> {
        let (rgb, (width, height)) = pixels(bytes)?;
        Ok(Self { width, height, rgb })
    }

    /// A patch of a shard, without its margin.
    #[must_use]
    pub fn of_patch(shard: &Shard, info: &SetInfo, index: u32) -> Self {
        let (size, margin, stored) = (info.size as usize, info.margin as usize, shard.side());
        let pixels = shard.pixels(index);
        let row = |y: usize| &pixels[((margin + y) * stored + margin) * 3..][..size * 3];
        Self { width: size, height: size, rgb: (0..size).flat_map(row).copied().collect() }
    }

    /// The pixels as JPEG, shrunk by area means so that the longer side is at most `side` px. The same pixels give the same bytes.
    ///
    /// # Panics
    /// If `rgb` is not of that width and height: a defect of the caller.
    #[must_use]
    pub fn jpeg(&self, side: usize) -> Vec<u8> {
        let longest = self.width.max(self.height).max(1);
        let to = |length: usize| if longest <= side { length } else { (length * side / longest).max(1) };
        let (width, height) = (to(self.width), to(self.height));
        let mut canvas = Canvas::new(width, height, [0; 3]);
        canvas.draw(&self.rgb, (self.width, self.height), (0, 0), (width, height));
        let mut out = Vec::new();
        let mut encoder = JpegEncoder::new_with_quality(&mut out, QUALITY);
        let encoded = encoder.encode(canvas.pixels(), width as u32, height as u32, ExtendedColorType::Rgb8);
        encoded.expect("a vector takes all bytes, and the size is right");
        out
    }
}

/// Outline of a mask as an SVG path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaskOutline {
    /// Side of the square that the path is drawn in.
    pub side: usize,
    /// The path (`M3 4h2v1h-2z`); empty if no pixel is set.
    pub path: String,
}

/// Outline of a class in a patch of a shard, without the margin; [`None`] if masks are not kept.
#[must_use]
pub fn patch_outline(shard: &Shard, info: &SetInfo, index: u32, class: usize) -> Option<MaskOutline> {
    let (size, margin, stored) = (info.size as usize, info.margin as usize, shard.side());
    let bits = shard.mask(index, class)?;
    let is_set = |x: usize, y: usize| {
        let at = (margin + y) * stored + margin + x;
        bits[at / 8] >> (7 - at % 8) & 1 == 1
    };
    Some(outline(size, &is_set))
}

/// Outline of a square mask of `size` px.
fn outline(size: usize, is_set: &dyn Fn(usize, usize) -> bool) -> MaskOutline {
    let side = size.min(CELLS);
    let mut cells = vec![false; side * side];
    for y in 0..size {
        for x in 0..size {
            if is_set(x, y) {
                cells[y * side / size * side + x * side / size] = true;
            }
        }
    }
    MaskOutline { side, path: path(side, &cells) }
}

/// Closed path along the edges between set and other cells, the set ones to its right.
fn path(side: usize, cells: &[bool]) -> String {
    let set = |x: isize, y: isize| {
        let inside = x >= 0 && y >= 0 && (x as usize) < side && (y as usize) < side;
        inside && cells[y as usize * side + x as usize]
    };
    // Edges by their start; two start where cells touch at a corner.
    let mut edges: BTreeMap<(isize, isize), Vec<(isize, isize)>> = BTreeMap::new();
    let mut add = |from: (isize, isize), to: (isize, isize)| {
        // Sorted by row, so that the first start is the topmost.
        edges.entry((from.1, from.0)).or_default().push((to.1, to.0));
    };
    for y in 0..side as isize {
        for x in 0..side as isize {
            if !set(x, y) {
                continue;
            }
            if !set(x, y - 1) {
                add((x, y), (x + 1, y));
            }
            if !set(x + 1, y) {
                add((x + 1, y), (x + 1, y + 1));
            }
            if !set(x, y + 1) {
                add((x + 1, y + 1), (x, y + 1));
            }
            if !set(x - 1, y) {
                add((x, y + 1), (x, y));
            }
        }
    }
    let mut text = String::new();
    while let Some((&start, _)) = edges.first_key_value() {
        let mut corners = vec![start];
        let mut at = start;
        while let Some(next) = edges.get_mut(&at).and_then(Vec::pop) {
            if edges.get(&at).is_some_and(Vec::is_empty) {
                edges.remove(&at);
            }
            corners.push(next);
            at = next;
            if at == start {
                break;
            }
        }
        loop_path(&mut text, &corners);
    }
    text
}

/// Writes one closed loop; steps in one direction are joined.
fn loop_path(text: &mut String, corners: &[(isize, isize)]) {
    let Some(&(y, x)) = corners.first() else { return };
    _ = write!(text, "M{x} {y}");
    let mut run = (0, 0);
    for pair in corners.windows(2) {
        let step = (pair[1].0 - pair[0].0, pair[1].1 - pair[0].1);
        if run != (0, 0) && (run.0 == 0) != (step.0 == 0) {
            write_run(text, run);
            run = (0, 0);
        }
        run = (run.0 + step.0, run.1 + step.1);
    }
    write_run(text, run);
    text.push('z');
}

fn write_run(text: &mut String, (down, right): (isize, isize)) {
    if down != 0 {
        _ = write!(text, "v{down}");
    } else if right != 0 {
        _ = write!(text, "h{right}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(rows: &[&str]) -> String {
        let set = |x: usize, y: usize| rows[y].as_bytes()[x] == b'#';
        outline(rows.len(), &set).path
    }

    #[test]
    fn an_outline_follows_the_edges_of_the_mask() {
        assert_eq!(drawn(&["....", ".##.", ".#..", "...."]), "M1 1h2v1h-1v1h-1v-2z");
        assert_eq!(drawn(&["#..", "...", "..#"]), "M0 0h1v1h-1v-1zM2 2h1v1h-1v-1z");
        assert_eq!(drawn(&["...", "...", "..."]), "");
        // A hole is a loop of its own, in the other direction.
        assert_eq!(drawn(&["###", "#.#", "###"]), "M0 0h3v3h-3v-3zM1 1v1h1v-1h-1z");
    }

    #[test]
    fn cells_that_touch_at_a_corner_leave_no_edge_open() {
        let text = drawn(&["#.", ".#"]);
        assert_eq!(text.matches(['h', 'v']).count(), 8, "{text}");
        assert_eq!(text.matches('M').count(), text.matches('z').count());
    }

    #[test]
    fn a_single_pixel_of_a_large_patch_is_kept() {
        let found = outline(512, &|x, y| (x, y) == (300, 7));
        assert_eq!((found.side, found.path.as_str()), (96, "M56 1h1v1h-1v-1z"));
    }

    #[test]
    fn a_jpeg_is_small_and_close_to_its_pixels() {
        let rgb: Vec<u8> = (0..64 * 64).flat_map(|at| [(at % 64 * 4) as u8, (at / 64 * 4) as u8, 90]).collect();
        let picture = RgbPixels { width: 64, height: 64, rgb };
        let jpeg = picture.jpeg(32);
        assert_eq!(jpeg, picture.jpeg(32));
        let read = image::load_from_memory(&jpeg).expect("a JPEG").into_rgb8();
        assert_eq!((read.width(), read.height()), (32, 32));
        let pixel = read.get_pixel(16, 8).0;
        let near = |value: u8, wanted: i32| (i32::from(value) - wanted).abs() < 12;
        assert!(near(pixel[0], 130) && near(pixel[1], 66) && near(pixel[2], 90), "{pixel:?}");
        assert!(picture.jpeg(200).len() < 4000);
    }
}
