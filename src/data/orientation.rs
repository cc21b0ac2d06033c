//! Image orientation: rotation and mirroring stated by a file. Knows no format.

use super::bitmap::Bitmap;

/// One of the eight orientations of TIFF 6.0 (tag 274) and EXIF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Orientation(u8);

impl Default for Orientation {
    fn default() -> Self {
        Self::UPRIGHT
    }
}

impl Orientation {
    /// As stored.
    pub const UPRIGHT: Self = Self(1);

    /// The orientation with this number; upright unless it is 1 to 8 (0 means unknown).
    #[must_use]
    pub fn of(number: f64) -> Self {
        let known = (1..=8_u8).find(|known| f64::from(*known) == number);
        known.map_or(Self::UPRIGHT, Self)
    }

    /// Orientation in an XMP packet (`tiff:Orientation`, as an attribute or an element); [`None`] if missing.
    pub(super) fn of_xmp(packet: &[u8]) -> Option<Self> {
        let name = b"tiff:Orientation";
        let at = packet.windows(name.len()).position(|window| window == name)?;
        let rest = packet[at + name.len()..].trim_ascii_start();
        let value = rest.strip_prefix(b"=").map_or(rest, <[u8]>::trim_ascii_start);
        let [b'"' | b'\'' | b'>', value @ ..] = value else { return None };
        let end = value.iter().position(|byte| matches!(byte, b'"' | b'\'' | b'<'))?;
        let number = std::str::from_utf8(&value[..end]).ok()?.trim().parse().ok()?;
        Some(Self::of(number))
    }

    /// Its number, 1 to 8.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// What it does to a picture, in words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self.0 {
            2 => "mirrored",
            3 => "rotated by 180 degrees",
            4 => "mirrored, upside down",
            5 => "transposed",
            6 => "rotated by 90 degrees",
            7 => "transposed, rotated by 180 degrees",
            8 => "rotated by 270 degrees",
            _ => "upright",
        }
    }

    /// Whether pixels are displayed as stored.
    #[must_use]
    pub const fn is_upright(self) -> bool {
        self.0 == 1
    }

    /// Whether width and height are swapped.
    #[must_use]
    pub const fn swaps(self) -> bool {
        self.0 >= 5
    }

    /// Width and height as displayed.
    #[must_use]
    pub const fn shown(self, (width, height): (usize, usize)) -> (usize, usize) {
        if self.swaps() { (height, width) } else { (width, height) }
    }

    /// Display position of pixel (x, y) of an image stored as `width` x `height`.
    #[must_use]
    pub const fn place(self, (x, y): (usize, usize), (width, height): (usize, usize)) -> (usize, usize) {
        match self.0 {
            2 => (width - 1 - x, y),
            3 => (width - 1 - x, height - 1 - y),
            4 => (x, height - 1 - y),
            5 => (y, x),
            6 => (height - 1 - y, x),
            7 => (height - 1 - y, width - 1 - x),
            8 => (y, width - 1 - x),
            _ => (x, y),
        }
    }

    /// The mask as displayed.
    #[must_use]
    pub fn turn(self, mask: Bitmap) -> Bitmap {
        if self.is_upright() {
            return mask;
        }
        let size = (mask.width(), mask.height());
        let (width, height) = self.shown(size);
        let mut turned = Bitmap::new(width, height);
        for place in mask.pixels() {
            let (x, y) = self.place(place, size);
            turned.set(x, y);
        }
        turned
    }

    /// RGB pixels as displayed, from stored rows of `width` x 3 bytes.
    #[must_use]
    pub fn turn_rgb(self, rgb: &[u8], size: (usize, usize)) -> Vec<u8> {
        self.turn_cells(rgb.as_chunks::<3>().0, size).into_flattened()
    }

    /// Cells as displayed, from stored rows of `width` cells.
    #[must_use]
    pub fn turn_cells<T: Copy + Default>(self, cells: &[T], size: (usize, usize)) -> Vec<T> {
        let (width, _) = self.shown(size);
        let mut turned = vec![T::default(); cells.len()];
        for (i, cell) in cells.iter().enumerate() {
            let (x, y) = self.place((i % size.0, i / size.0), size);
            turned[y * width + x] = *cell;
        }
        turned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_orientation_shows_what_exif_means() {
        // Stored rows `ab`, `cd`, `ef`, and what Pillow's `exif_transpose` makes of them.
        let shown = ["ab/cd/ef", "ba/dc/fe", "fe/dc/ba", "ef/cd/ab", "ace/bdf", "eca/fdb", "fdb/eca", "bdf/ace"];
        for (number, shown) in (1..).zip(shown) {
            let orientation = Orientation::of(f64::from(number));
            let rgb: Vec<u8> = b"abcdef".iter().flat_map(|letter| [*letter; 3]).collect();
            let turned = orientation.turn_rgb(&rgb, (2, 3));
            let letters: Vec<u8> = turned.iter().copied().step_by(3).collect();
            let (width, height) = orientation.shown((2, 3));
            let rows: Vec<&str> = letters.chunks(width).map(|row| std::str::from_utf8(row).unwrap()).collect();
            assert_eq!(rows.join("/"), shown, "orientation {number}");
            assert_eq!(rows.len(), height);
            // A mask of `d` alone.
            let mut mask = Bitmap::new(2, 3);
            mask.set(1, 1);
            let mask = orientation.turn(mask);
            let places: Vec<_> = mask.pixels().map(|(x, y)| letters[y * width + x]).collect();
            assert_eq!(places, b"d", "orientation {number}");
        }
    }

    #[test]
    fn xmp_is_read_as_attribute_and_as_element() {
        let of = |packet: &str| Orientation::of_xmp(packet.as_bytes()).map(Orientation::number);
        assert_eq!(of(r#"<rdf:Description tiff:Orientation="6" a="1"/>"#), Some(6));
        assert_eq!(of("<rdf:Description tiff:Orientation = '8'/>"), Some(8));
        assert_eq!(of("<tiff:Orientation> 3 </tiff:Orientation>"), Some(3));
        assert_eq!(of(r#"tiff:Orientation="0""#), Some(1));
        for nothing in
            ["<x/>", "tiff:Orientation", "tiff:Orientation=6", "tiff:Orientation=\"left\"", "tiff:Orientation=\"6"]
        {
            assert_eq!(of(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn a_number_that_is_none_of_the_eight_is_upright() {
        for number in [0.0, 9.0, -6.0, 6.5, f64::NAN] {
            assert!(Orientation::of(number).is_upright(), "{number}");
        }
    }
}
