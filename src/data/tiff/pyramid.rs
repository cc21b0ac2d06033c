//! Levels of a slide: the image at full resolution and reduced copies of it, as further pages or as sub-images of the first page. Labels,
//! overviews and thumbnails are no levels: a level is stored in tiles if the first page is, and has its proportions.

use std::collections::BTreeSet;

use super::directory::MOST_PAGES;
use super::{TiffFile, TiffImage, TiffUse};
use crate::data::bitmap::Rect;
use crate::data::byte_source::ByteSource;

/// Longest side of a slide, px.
pub(super) const LONGEST: usize = 1 << 20;

/// Longest description that is searched for a resolution, bytes.
const MOST_TEXT: usize = 1 << 16;

/// Micrometres per pixel that a slide can have. Programs write 72 dots per inch or 1 px per mm if they do not know it.
const PLAUSIBLE: std::ops::RangeInclusive<f64> = 0.02..=20.0;

/// A slide or the mask of one, with its levels, the largest first.
pub(in crate::data) struct Pyramid<'a> {
    pub(in crate::data) levels: Vec<PyramidLevel<'a>>,
    /// Micrometres per pixel of the first level, if the file declares it.
    pub(in crate::data) micrometres: Option<f64>,
    /// Whether the description of a page cannot be read: of a file that was not copied whole, for example.
    pub(in crate::data) is_damaged: bool,
}

/// A level of a slide.
pub(in crate::data) struct PyramidLevel<'a> {
    file: TiffFile<'a>,
    /// Width and height, px.
    pub(in crate::data) size: [usize; 2],
    image: Result<TiffImage, String>,
}

impl<'a> Pyramid<'a> {
    /// The levels of a slide.
    ///
    /// # Errors
    /// A short description of what is wrong with the file.
    pub(in crate::data) fn of_slide(source: ByteSource<'a>) -> Result<Self, String> {
        Self::open(source, TiffUse::Slide)
    }

    /// The levels of a slide's mask.
    ///
    /// # Errors
    /// As [`Pyramid::of_slide`].
    pub(in crate::data) fn of_mask(source: ByteSource<'a>) -> Result<Self, String> {
        Self::open(source, TiffUse::SlideMask)
    }

    fn open(source: ByteSource<'a>, role: TiffUse) -> Result<Self, String> {
        let first = TiffFile::open(source)?;
        if !first.own() {
            return Err("its first page is a reduced copy of another".to_owned());
        }
        if !first.orientation().is_upright() {
            return Err(format!(
                "it has the orientation {}; regions are read from upright slides only",
                first.orientation().number()
            ));
        }
        let image = TiffImage::layout(&first, role)?;
        let (size, is_tiled) = ([image.width, image.height], image.tiled);
        let micrometres = micrometres(&first);
        let mut levels = vec![PyramidLevel { file: first, size, image: Ok(image) }];
        let (mut pages, mut known, mut is_damaged) = (1, BTreeSet::new(), false);
        let (mut waiting, first) = (Vec::new(), &levels[0].file);
        // Sub-images of the first page, and the pages after it.
        for at in 0..first.count(330).min(MOST_PAGES) {
            waiting.extend(first.value(330, at)?.map(|offset| (offset, true)));
        }
        waiting.push((first.next(), false));
        while let Some((offset, is_inner)) = waiting.pop() {
            if offset == 0 || known.len() >= MOST_PAGES || !known.insert(offset) {
                continue;
            }
            // An unreadable directory holds no image.
            let Ok(page) = levels[0].file.directory(offset) else {
                is_damaged = true;
                continue;
            };
            if !is_inner || page.next() != 0 {
                waiting.push((page.next(), is_inner));
            }
            let side = |tag| page.number(tag, 0).unwrap_or(0.0) as usize;
            let own = [side(256), side(257)];
            let is_smaller = own[0] < size[0] && own[1] < size[1];
            let is_reduced = is_inner || page.number(254, 0).unwrap_or(0.0) as u32 & 1 == 1;
            let is_level = if is_tiled { page.count(322) > 0 } else { page.count(322) == 0 && is_reduced };
            let is_mask = page.number(254, 0).unwrap_or(0.0) as u32 & 4 == 4;
            if is_level && !is_mask && is_smaller && are_proportional(size, own) {
                let image = TiffImage::layout(&page, role);
                levels.push(PyramidLevel { file: page, size: own, image });
            } else if page.own() && !is_smaller && !is_inner {
                pages += 1;
            }
        }
        if pages > 1 {
            return Err(format!("it has {pages} pages of full size; save the intended page as a file of its own"));
        }
        levels.sort_by_key(|level| std::cmp::Reverse(level.size));
        levels.dedup_by_key(|level| level.size);
        Ok(Self { levels, micrometres, is_damaged })
    }

    /// Micrometres per pixel of a level, if the file declares it.
    pub(in crate::data) fn micrometres_of(&self, level: usize) -> Option<f64> {
        Some(self.micrometres? * self.levels[0].size[0] as f64 / self.levels[level].size[0] as f64)
    }
}

impl<'a> PyramidLevel<'a> {
    /// The layout of its image, and its file.
    ///
    /// # Errors
    /// Why it is not read.
    pub(in crate::data) fn image(&self) -> Result<(&TiffImage, &TiffFile<'a>), String> {
        Ok((self.image.as_ref().map_err(Clone::clone)?, &self.file))
    }

    /// Copies the pixels within `rect` to `rgb`, row by row.
    ///
    /// # Errors
    /// A short description of what is wrong with the file.
    pub(in crate::data) fn rgb_in(&self, rect: Rect, rgb: &mut [u8]) -> Result<(), String> {
        let (image, file) = self.image()?;
        image.rgb_in(file, rect, rgb)
    }

    /// The pixels within `rect` as an image of its own: its layout, and its rows one after another.
    ///
    /// # Errors
    /// As [`PyramidLevel::rgb_in`].
    pub(in crate::data) fn cut(&self, rect: Rect) -> Result<(TiffImage, Vec<u8>), String> {
        let (image, file) = self.image()?;
        let (width, height) = (rect.right - rect.left, rect.bottom - rect.top);
        let own = TiffImage { width, height, block_width: width, block_height: height, tiled: false, ..image.clone() };
        let length = own.row_bytes();
        let mut bytes = vec![0; length * height];
        let pixel = image.samples * image.bits;
        image.rows_in(file, rect, |row, within, x, y| {
            let out = &mut bytes[y * length..][..length];
            if pixel.is_multiple_of(8) {
                let size = pixel / 8;
                out[x * size..][..within.len() * size].copy_from_slice(&row[within.start * size..within.end * size]);
                return;
            }
            // Samples of 1, 2 or 4 bits, the first in the highest bits.
            let in_byte = 8 / pixel;
            let whole = if x % in_byte + within.start % in_byte == 0 { within.len() / in_byte } else { 0 };
            out[x / in_byte..][..whole].copy_from_slice(&row[within.start / in_byte..][..whole]);
            let (x, within) = (x + whole * in_byte, within.start + whole * in_byte..within.end);
            for (x, from) in (x..).zip(within) {
                let sample = row[from / in_byte] >> (8 - pixel * (from % in_byte + 1)) & ((1 << pixel) - 1);
                out[x / in_byte] |= sample << (8 - pixel * (x % in_byte + 1));
            }
        })?;
        Ok((own, bytes))
    }

    /// Height of its strips or tiles, px.
    pub(in crate::data) fn block_height(&self) -> usize {
        self.image.as_ref().map_or(1, |image| image.block_height)
    }

    /// Most bytes that strips or tiles take while a part is read.
    pub(in crate::data) fn part_bytes(&self) -> usize {
        self.image.as_ref().map_or(0, TiffImage::part_bytes)
    }

    /// Bits per sample.
    pub(in crate::data) fn bits(&self) -> u8 {
        self.image.as_ref().map_or(8, |image| image.bits as u8)
    }
}

/// Whether two sizes have the same proportions, up to rounding: some programs cut off up to 2 px.
fn are_proportional(whole: [usize; 2], reduced: [usize; 2]) -> bool {
    let [width, height] = whole.map(|side| side as f64);
    let [wide, high] = reduced.map(|side| side as f64);
    let near = |is: f64, should: f64| (is - should).abs() <= 2.0 + 0.005 * is;
    wide > 0.0 && high > 0.0 && (near(wide, width * high / height) || near(high, height * wide / width))
}

/// Micrometres per pixel by Aperio's description, OME-XML, or the resolution tags.
fn micrometres(file: &TiffFile<'_>) -> Option<f64> {
    let text = file.text(270, MOST_TEXT);
    let after = |name: &str| -> Option<f64> {
        let rest = &text[text.find(name)? + name.len()..];
        let rest = rest.trim_start_matches([' ', '=', '"']);
        let end = rest.find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | 'e' | 'E' | '-' | '+'));
        rest[..end.unwrap_or(rest.len())].parse().ok()
    };
    let unit = text.split("PhysicalSizeXUnit=\"").nth(1).and_then(|rest| rest.split('"').next());
    let ome = after("PhysicalSizeX=").filter(|_| unit.is_none_or(|unit| matches!(unit, "µm" | "μm" | "um")));
    let by_tags = || {
        let per = match file.number(296, 0).unwrap_or(2.0) as u32 {
            2 => 25_400.0,
            3 => 10_000.0,
            _ => return None,
        };
        Some(per / file.number(282, 0)?)
    };
    let found = [after("MPP = "), after("|MPP="), ome, by_tags()];
    found.into_iter().flatten().find(|found| PLAUSIBLE.contains(found))
}
