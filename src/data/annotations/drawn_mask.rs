//! The mask of one class in one photograph, as shapes: what a source stores next to the photograph instead of pixels. One shape per
//! line, sorted, without duplicates, so that neither the order nor the identifiers of annotations matter to what is computed from them.

use std::fmt::Write as _;
use std::str::SplitAsciiWhitespace;

use super::draw::draw;
use super::shape::{DrawnShape, RunOrder};
use crate::data::bitmap::Bitmap;
use crate::data::decode;

/// Extension of its file.
pub const DRAWN: &str = "shapes";

/// First line of the file, with the version of the rule by which shapes become pixels.
const HEAD: &str = "macula shapes 1";

/// Shapes of a class in a photograph.
#[derive(Clone, Debug, PartialEq)]
pub struct DrawnMask {
    /// Width and height of the photograph as displayed, px.
    pub size: [u32; 2],
    /// The shapes.
    pub shapes: Vec<DrawnShape>,
}

impl DrawnMask {
    /// The content of its file.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut lines: Vec<String> = self.shapes.iter().map(line).collect();
        lines.sort_unstable();
        lines.dedup();
        let mut text = format!("{HEAD}\nsize {} {}\n", self.size[0], self.size[1]);
        for line in lines {
            text.push_str(&line);
            text.push('\n');
        }
        text.into_bytes()
    }

    /// Reads its file.
    ///
    /// # Errors
    /// A short description of what is wrong with the file.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
        let mut lines = text.lines();
        if lines.next() != Some(HEAD) {
            return Err("it was not written by this version of macula".to_owned());
        }
        let wrong = || "it was not written by macula".to_owned();
        let mut size = lines.next().ok_or_else(wrong)?.split_ascii_whitespace();
        let size = match (size.next(), whole(&mut size), whole(&mut size)) {
            (Some("size"), Some(width), Some(height)) => [width, height],
            _ => return Err(wrong()),
        };
        if !decode::is_supported_size(size[0] as usize, size[1] as usize) {
            return Err(format!("{} x {} pixels exceed the limit for masks", size[0], size[1]));
        }
        let shapes = lines.map(|line| shape(line).ok_or_else(wrong)).collect::<Result<_, _>>()?;
        Ok(Self { size, shapes })
    }

    /// The pixels of all shapes together.
    #[must_use]
    pub fn bits(&self) -> Bitmap {
        let mut bits = Bitmap::new(self.size[0] as usize, self.size[1] as usize);
        self.shapes.iter().for_each(|shape| draw(shape, &mut bits));
        bits
    }
}

fn line(shape: &DrawnShape) -> String {
    let mut text = match shape {
        DrawnShape::Polygon(_) => "polygon".to_owned(),
        DrawnShape::Ellipse { .. } => "ellipse".to_owned(),
        DrawnShape::Runs { order: RunOrder::Columns, .. } => "columns".to_owned(),
        DrawnShape::Runs { order: RunOrder::Rows, .. } => "rows".to_owned(),
    };
    match shape {
        DrawnShape::Polygon(rings) => {
            for (at, ring) in rings.iter().enumerate() {
                text.push_str(if at > 0 { " /" } else { "" });
                put(&mut text, ring.iter().flatten());
            }
        }
        DrawnShape::Ellipse { centre, radii, degrees } => put(&mut text, centre.iter().chain(radii).chain([degrees])),
        DrawnShape::Runs { corner, size, counts, .. } => {
            for number in corner.iter().chain(size).chain(counts) {
                let _ = write!(text, " {number}");
            }
        }
    }
    text
}

fn put<'a>(text: &mut String, numbers: impl Iterator<Item = &'a f64>) {
    for number in numbers {
        // Negative zero is zero.
        let _ = write!(text, " {}", number + 0.0);
    }
}

fn shape(line: &str) -> Option<DrawnShape> {
    let mut words = line.split_ascii_whitespace();
    let kind = words.next()?;
    Some(match kind {
        "polygon" => {
            let mut rings = vec![Vec::new()];
            while let Some(word) = words.next() {
                if word == "/" {
                    rings.push(Vec::new());
                } else {
                    rings.last_mut()?.push([word.parse().ok()?, real(&mut words)?]);
                }
            }
            DrawnShape::Polygon(rings)
        }
        "ellipse" => {
            let mut next = || real(&mut words);
            DrawnShape::Ellipse { centre: [next()?, next()?], radii: [next()?, next()?], degrees: next()? }
        }
        "columns" | "rows" => {
            let order = if kind == "rows" { RunOrder::Rows } else { RunOrder::Columns };
            let mut next = || whole(&mut words);
            let (corner, size) = ([next()?, next()?], [next()?, next()?]);
            let counts = words.map(|word| word.parse().ok()).collect::<Option<_>>()?;
            DrawnShape::Runs { order, corner, size, counts }
        }
        _ => return None,
    })
}

fn real(words: &mut SplitAsciiWhitespace<'_>) -> Option<f64> {
    words.next()?.parse().ok()
}

fn whole(words: &mut SplitAsciiWhitespace<'_>) -> Option<u32> {
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shapes() -> Vec<DrawnShape> {
        vec![
            DrawnShape::Polygon(vec![
                vec![[0.1, 2.0], [3.5, -0.0], [1e-7, 9.0]],
                vec![[1.0, 2.0], [1.5, 2.0], [1.0, 2.5]],
            ]),
            DrawnShape::Ellipse { centre: [3.0, 4.0], radii: [2.0, 1.0], degrees: 30.0 },
            DrawnShape::Runs { order: RunOrder::Rows, corner: [1, 2], size: [2, 2], counts: vec![1, 3] },
        ]
    }

    #[test]
    fn a_file_is_read_as_it_was_written() {
        let mask = DrawnMask { size: [12, 10], shapes: shapes() };
        let bytes = mask.to_bytes();
        let text = String::from_utf8(bytes.clone()).expect("text");
        assert!(text.contains("polygon 0.1 2 3.5 0 0.0000001 9 / 1 2 1.5 2 1 2.5\n"), "{text}");
        let read = DrawnMask::from_bytes(&bytes).expect("written by macula");
        assert_eq!(read.to_bytes(), bytes);
        assert_eq!((read.bits(), read.size), (mask.bits(), [12, 10]));
    }

    #[test]
    fn order_and_repetition_of_shapes_do_not_count() {
        let (one, mut other) = (shapes(), shapes());
        other.reverse();
        other.extend(shapes());
        let bytes = |shapes| DrawnMask { size: [12, 10], shapes }.to_bytes();
        assert_eq!(bytes(one), bytes(other));
    }

    #[test]
    fn another_file_is_refused() {
        for text in [
            "",
            "macula shapes 2\nsize 1 1\n",
            "macula shapes 1\n",
            "macula shapes 1\nsize 9 x\n",
            "macula shapes 1\nsize 900000 900000\n",
            "macula shapes 1\nsize 9 9\npolygon 1 2 3\n",
            "macula shapes 1\nsize 9 9\nstar 1 2\n",
        ] {
            assert!(DrawnMask::from_bytes(text.as_bytes()).is_err(), "{text}");
        }
    }
}
