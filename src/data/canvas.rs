//! Images in memory onto which patches, outlines and short texts are drawn. Knows only pixels.

use super::colour::Colour;
use super::png_image::{PixelFormat, pixels, png};

/// An RGB image: rows from the top, three bytes per pixel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

/// Advance width of a letter, px at scale 1.
pub const LETTER: usize = 6;

impl Canvas {
    /// An image filled with one colour.
    #[must_use]
    pub fn new(width: usize, height: usize, colour: Colour) -> Self {
        Self { width, height, pixels: colour.repeat(width * height) }
    }

    /// The image in a PNG.
    ///
    /// # Errors
    /// If the bytes are not a PNG.
    pub fn of_png(bytes: &[u8]) -> Result<Self, String> {
        let (pixels, (width, height)) = pixels(bytes)?;
        Ok(Self { width, height, pixels })
    }

    /// Width, px.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.width
    }

    /// Height, px.
    #[must_use]
    pub const fn height(&self) -> usize {
        self.height
    }

    /// The image as PNG.
    #[must_use]
    pub fn png(&self) -> Vec<u8> {
        png(&self.pixels, self.width as u32, self.height as u32, PixelFormat::Rgb)
    }

    /// The pixels: rows from the top, three bytes per pixel.
    #[must_use]
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The colour of a pixel; black outside.
    #[must_use]
    pub fn at(&self, x: usize, y: usize) -> Colour {
        let start = (y * self.width + x) * 3;
        if x < self.width && y < self.height {
            [self.pixels[start], self.pixels[start + 1], self.pixels[start + 2]]
        } else {
            [0; 3]
        }
    }

    /// Sets a pixel; ignored outside the image.
    pub fn set(&mut self, x: usize, y: usize, colour: Colour) {
        if x < self.width && y < self.height {
            let start = (y * self.width + x) * 3;
            self.pixels[start..start + 3].copy_from_slice(&colour);
        }
    }

    /// Draws `pixels` (RGB, of `size`) scaled into the box of `to` px at `corner`: area means when shrinking, nearest neighbour when
    /// enlarging.
    pub fn draw(&mut self, pixels: &[u8], size: (usize, usize), corner: (usize, usize), to: (usize, usize)) {
        for row in 0..to.1 {
            let rows = span(row, to.1, size.1);
            for column in 0..to.0 {
                let columns = span(column, to.0, size.0);
                let count = (rows.len() * columns.len()) as u64;
                let mut sums = [0u64; 3];
                for from in rows.clone() {
                    let line = &pixels[(from * size.0 + columns.start) * 3..(from * size.0 + columns.end) * 3];
                    for pixel in line.chunks_exact(3) {
                        for (sum, &value) in sums.iter_mut().zip(pixel) {
                            *sum += u64::from(value);
                        }
                    }
                }
                self.set(corner.0 + column, corner.1 + row, sums.map(|sum| ((sum + count / 2) / count) as u8));
            }
        }
    }

    /// Draws the outline of a mask of `size` px, scaled into the box of `to` px at `corner`: mask pixels with a neighbour outside the mask.
    pub fn outline(
        &mut self,
        mask: &dyn Fn(usize, usize) -> bool,
        size: (usize, usize),
        corner: (usize, usize),
        to: (usize, usize),
        colour: Colour,
    ) {
        // A mask pixel anywhere in the cell counts: a small lesion must not vanish in a thumbnail.
        let covered =
            |column: usize, row: usize| span(row, to.1, size.1).any(|y| span(column, to.0, size.0).any(|x| mask(x, y)));
        let cells: Vec<bool> = (0..to.0 * to.1).map(|at| covered(at % to.0, at / to.0)).collect();
        for row in 0..to.1 {
            for column in 0..to.0 {
                let inside = |dx: isize, dy: isize| {
                    let (x, y) = (column.checked_add_signed(dx), row.checked_add_signed(dy));
                    x.zip(y).is_some_and(|(x, y)| x < to.0 && y < to.1 && cells[y * to.0 + x])
                };
                let is_rim = !(inside(-1, 0) && inside(1, 0) && inside(0, -1) && inside(0, 1));
                if inside(0, 0) && is_rim {
                    self.set(corner.0 + column, corner.1 + row, colour);
                }
            }
        }
    }

    /// Fills a box.
    pub fn fill(&mut self, corner: (usize, usize), size: (usize, usize), colour: Colour) {
        for row in corner.1..corner.1 + size.1 {
            for column in corner.0..corner.0 + size.0 {
                self.set(column, row, colour);
            }
        }
    }

    /// Writes a text with capitals of 7 px times `scale`; letters missing from the font are drawn as `?`.
    pub fn write(&mut self, words: &str, corner: (usize, usize), scale: usize, colour: Colour) {
        for (place, letter) in words.chars().enumerate() {
            for (column, bits) in glyph(letter).into_iter().enumerate() {
                for row in (0..8).filter(|row| bits >> row & 1 == 1) {
                    let at = (corner.0 + (place * LETTER + column) * scale, corner.1 + row * scale);
                    self.fill(at, (scale, scale), colour);
                }
            }
        }
    }
}

/// Source pixels (of `from`) covered by target pixel `at` (of `to`); at least one.
fn span(at: usize, to: usize, from: usize) -> std::ops::Range<usize> {
    let start = at * from / to;
    start..((at + 1) * from / to).max(start + 1)
}

fn glyph(letter: char) -> [u8; 5] {
    let place = LETTERS.chars().position(|known| known == letter).unwrap_or(LETTERS.len() - 1);
    FONT[place]
}

/// Letters of [`FONT`], in its order.
const LETTERS: &str = " +,-./0123456789:ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz?";

/// The common 5 x 7 font of character displays: columns from the left, lowest bit at the top.
#[rustfmt::skip]
const FONT: [[u8; 5]; 71] = [
    [0x00, 0x00, 0x00, 0x00, 0x00], [0x08, 0x08, 0x3e, 0x08, 0x08], [0x00, 0x50, 0x30, 0x00, 0x00],
    [0x08, 0x08, 0x08, 0x08, 0x08], [0x00, 0x60, 0x60, 0x00, 0x00], [0x20, 0x10, 0x08, 0x04, 0x02],
    [0x3e, 0x51, 0x49, 0x45, 0x3e], [0x00, 0x42, 0x7f, 0x40, 0x00], [0x42, 0x61, 0x51, 0x49, 0x46],
    [0x21, 0x41, 0x45, 0x4b, 0x31], [0x18, 0x14, 0x12, 0x7f, 0x10], [0x27, 0x45, 0x45, 0x45, 0x39],
    [0x3c, 0x4a, 0x49, 0x49, 0x30], [0x01, 0x71, 0x09, 0x05, 0x03], [0x36, 0x49, 0x49, 0x49, 0x36],
    [0x06, 0x49, 0x49, 0x29, 0x1e], [0x00, 0x36, 0x36, 0x00, 0x00], [0x7e, 0x11, 0x11, 0x11, 0x7e],
    [0x7f, 0x49, 0x49, 0x49, 0x36], [0x3e, 0x41, 0x41, 0x41, 0x22], [0x7f, 0x41, 0x41, 0x22, 0x1c],
    [0x7f, 0x49, 0x49, 0x49, 0x41], [0x7f, 0x09, 0x09, 0x09, 0x01], [0x3e, 0x41, 0x49, 0x49, 0x7a],
    [0x7f, 0x08, 0x08, 0x08, 0x7f], [0x00, 0x41, 0x7f, 0x41, 0x00], [0x20, 0x40, 0x41, 0x3f, 0x01],
    [0x7f, 0x08, 0x14, 0x22, 0x41], [0x7f, 0x40, 0x40, 0x40, 0x40], [0x7f, 0x02, 0x0c, 0x02, 0x7f],
    [0x7f, 0x04, 0x08, 0x10, 0x7f], [0x3e, 0x41, 0x41, 0x41, 0x3e], [0x7f, 0x09, 0x09, 0x09, 0x06],
    [0x3e, 0x41, 0x51, 0x21, 0x5e], [0x7f, 0x09, 0x19, 0x29, 0x46], [0x46, 0x49, 0x49, 0x49, 0x31],
    [0x01, 0x01, 0x7f, 0x01, 0x01], [0x3f, 0x40, 0x40, 0x40, 0x3f], [0x1f, 0x20, 0x40, 0x20, 0x1f],
    [0x3f, 0x40, 0x38, 0x40, 0x3f], [0x63, 0x14, 0x08, 0x14, 0x63], [0x07, 0x08, 0x70, 0x08, 0x07],
    [0x61, 0x51, 0x49, 0x45, 0x43], [0x40, 0x40, 0x40, 0x40, 0x40], [0x20, 0x54, 0x54, 0x54, 0x78],
    [0x7f, 0x48, 0x44, 0x44, 0x38], [0x38, 0x44, 0x44, 0x44, 0x20], [0x38, 0x44, 0x44, 0x48, 0x7f],
    [0x38, 0x54, 0x54, 0x54, 0x18], [0x08, 0x7e, 0x09, 0x01, 0x02], [0x0c, 0x52, 0x52, 0x52, 0x3e],
    [0x7f, 0x08, 0x04, 0x04, 0x78], [0x00, 0x44, 0x7d, 0x40, 0x00], [0x20, 0x40, 0x44, 0x3d, 0x00],
    [0x7f, 0x10, 0x28, 0x44, 0x00], [0x00, 0x41, 0x7f, 0x40, 0x00], [0x7c, 0x04, 0x18, 0x04, 0x78],
    [0x7c, 0x08, 0x04, 0x04, 0x78], [0x38, 0x44, 0x44, 0x44, 0x38], [0x7c, 0x14, 0x14, 0x14, 0x08],
    [0x08, 0x14, 0x14, 0x18, 0x7c], [0x7c, 0x08, 0x04, 0x04, 0x08], [0x48, 0x54, 0x54, 0x54, 0x20],
    [0x04, 0x3f, 0x44, 0x40, 0x20], [0x3c, 0x40, 0x40, 0x20, 0x7c], [0x1c, 0x20, 0x40, 0x20, 0x1c],
    [0x3c, 0x40, 0x30, 0x40, 0x3c], [0x44, 0x28, 0x10, 0x28, 0x44], [0x0c, 0x50, 0x50, 0x50, 0x3c],
    [0x44, 0x64, 0x54, 0x4c, 0x44], [0x02, 0x01, 0x51, 0x09, 0x06],
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shrinking_takes_means_and_growing_repeats() {
        let mut canvas = Canvas::new(4, 2, [9; 3]);
        canvas.draw(&[0, 0, 0, 100, 100, 100, 200, 200, 200, 100, 100, 100], (2, 2), (0, 0), (1, 1));
        assert_eq!(canvas.at(0, 0), [100; 3]);
        canvas.draw(&[1, 2, 3], (1, 1), (2, 0), (2, 2));
        assert_eq!([canvas.at(2, 0), canvas.at(3, 1), canvas.at(0, 1)], [[1, 2, 3], [1, 2, 3], [9; 3]]);
    }

    #[test]
    fn an_outline_leaves_the_inside_alone() {
        let mut canvas = Canvas::new(5, 5, [0; 3]);
        canvas.outline(&|x, y| (1..4).contains(&x) && (1..4).contains(&y), (5, 5), (0, 0), (5, 5), [255; 3]);
        let drawn = (0..25).filter(|at| canvas.at(at % 5, at / 5) == [255; 3]).count();
        assert_eq!((drawn, canvas.at(2, 2)), (8, [0; 3]));
    }

    #[test]
    fn letters_are_drawn_within_their_place() {
        let mut canvas = Canvas::new(LETTER * 2, 8, [0; 3]);
        canvas.write("L-", (0, 0), 1, [255; 3]);
        let row = |y: usize| -> String {
            (0..LETTER * 2).map(|x| if canvas.at(x, y) == [0; 3] { '.' } else { '#' }).collect()
        };
        assert_eq!([row(0), row(3), row(6)], ["#...........", "#.....#####.", "#####......."]);
    }
}
