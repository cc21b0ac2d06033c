//! Masks of regions: from a mask of the whole slide, of its size or of the level's, up to a whole factor.

use super::read::window;
use crate::data::bitmap::{Bitmap, Rect};
use crate::data::byte_source::ByteSource;
use crate::data::mask::{Mask, MaskContent, PartialMask};
use crate::data::slide_region::SlideRegion;
use crate::data::tiff::{Pyramid, PyramidLevel};
use crate::stage::StageError;
use crate::store::PartialRead;

/// Largest factor between the sizes of a mask and a level.
const MOST_FACTOR: usize = 256;

/// Most bytes of mask rows that are decoded at a time.
const MOST_BAND: usize = 1 << 25;

/// Why a mask of a slide cannot be read.
pub(in crate::data) enum RegionMaskFault {
    /// It has this size, which does not fit.
    Size([usize; 2]),
    /// The file is damaged or not supported.
    Damaged(String),
    /// The file cannot be read, or changed.
    Other(StageError),
}

impl From<String> for RegionMaskFault {
    fn from(reason: String) -> Self {
        Self::Damaged(reason)
    }
}

/// Pixels of a mask for those of a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MaskScale {
    /// So many along each side for one of the level.
    Finer(usize),
    /// One for so many along each side of the level.
    Coarser(usize),
}

impl MaskScale {
    /// Of a level and a mask by their sizes; [`None`] if these do not fit. Reduced copies are rounded down or up.
    fn of(level: [usize; 2], mask: [usize; 2]) -> Option<Self> {
        let factor = |large: [usize; 2], small: [usize; 2]| {
            let factor = (large[0] as f64 / small[0] as f64).round() as usize;
            let fits = |axis: usize| large[axis].abs_diff(small[axis] * factor) < factor;
            ((1..=MOST_FACTOR).contains(&factor) && fits(0) && fits(1)).then_some(factor)
        };
        if mask[0] >= level[0] { factor(mask, level).map(Self::Finer) } else { factor(level, mask).map(Self::Coarser) }
    }
}

/// The mask of a region, from the mask of its slide. A pixel of a level is lesion if at least half of the mask's pixels that it covers are.
pub(in crate::data) fn region_mask(
    opened: &PartialRead,
    region: &SlideRegion,
    content: MaskContent,
    name: &str,
) -> Result<Mask, RegionMaskFault> {
    let window = window(opened, name).map_err(RegionMaskFault::Other)?;
    let pyramid = Pyramid::of_mask(ByteSource::Disk(&window))?;
    // Reduced copies of a mask are often averages, which have other values.
    let mask = &pyramid.levels[0];
    let level = region.level_size.map(|side| side as usize);
    let scale = MaskScale::of(level, mask.size).ok_or(RegionMaskFault::Size(mask.size))?;
    let read = match scale {
        MaskScale::Finer(1) => {
            let mut partial = PartialMask::default();
            partial.read(mask, region.rect(), content).map(|bits| partial.mask(bits))
        }
        MaskScale::Finer(factor) => finer(mask, region, content, factor),
        MaskScale::Coarser(factor) => coarser(mask, region, content, factor),
    };
    opened.finish().map_err(|error| RegionMaskFault::Other(error.into()))?;
    Ok(read?)
}

fn finer(mask: &PyramidLevel<'_>, region: &SlideRegion, content: MaskContent, factor: usize) -> Result<Mask, String> {
    let rect = region.rect();
    let (width, height) = (region.width as usize, region.height as usize);
    let mut bits = Bitmap::new(width, height);
    let mut partial = PartialMask::default();
    // In bands, since the mask may have thousands of times the region's pixels.
    let most = MOST_BAND / (width * factor * factor * 4).max(1);
    let band = mask.block_height().div_ceil(factor).min(most).max(1);
    let columns = rect.left * factor..(rect.right * factor).min(mask.size[0]);
    let mut counts = vec![0_u32; width];
    for top in (0..height).step_by(band) {
        let bottom = (top + band).min(height);
        let rows = (rect.top + top) * factor..((rect.top + bottom) * factor).min(mask.size[1]);
        if rows.is_empty() || columns.is_empty() {
            continue;
        }
        let area = Rect { left: columns.start, top: rows.start, right: columns.end, bottom: rows.end };
        let found = partial.read(mask, area, content)?;
        for y in top..bottom {
            let inner = (y - top) * factor..((y - top + 1) * factor).min(found.height());
            counts.fill(0);
            let row = Rect { left: 0, top: inner.start, right: found.width(), bottom: inner.end };
            for (x, _) in found.pixels_in(row) {
                counts[x / factor] += 1;
            }
            for (x, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
                // At the slide's end, a pixel may cover fewer.
                let covered = factor.min(found.width() - x * factor) * inner.len();
                if *count as usize * 2 >= covered {
                    bits.set(x, y);
                }
            }
        }
    }
    Ok(partial.mask(bits))
}

fn coarser(mask: &PyramidLevel<'_>, region: &SlideRegion, content: MaskContent, factor: usize) -> Result<Mask, String> {
    let rect = region.rect();
    let [width, height] = mask.size;
    // Its last pixel also stands for what rounding cut off.
    let of = |at: usize, side: usize| (at / factor).min(side - 1);
    let area = Rect {
        left: of(rect.left, width),
        top: of(rect.top, height),
        right: of(rect.right - 1, width) + 1,
        bottom: of(rect.bottom - 1, height) + 1,
    };
    let mut partial = PartialMask::default();
    let found = partial.read(mask, area, content)?;
    let mut bits = Bitmap::new(region.width as usize, region.height as usize);
    for y in 0..region.height as usize {
        let row = of(rect.top + y, height) - area.top;
        for (x, _) in found.pixels_in(Rect { left: 0, top: row, right: found.width(), bottom: row + 1 }) {
            let column = x + area.left;
            let end = if column + 1 == width { rect.right } else { (column + 1) * factor };
            let start = (column * factor).max(rect.left) - rect.left;
            bits.set_columns(y, start..end.min(rect.right) - rect.left);
        }
    }
    Ok(partial.mask(bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_fits_by_a_whole_factor() {
        let of = MaskScale::of;
        assert_eq!(of([1000, 800], [1000, 800]), Some(MaskScale::Finer(1)));
        assert_eq!(of([250, 200], [1003, 801]), Some(MaskScale::Finer(4)), "rounded down");
        assert_eq!(of([1003, 801], [250, 200]), Some(MaskScale::Coarser(4)));
        assert_eq!(of([1003, 801], [251, 201]), Some(MaskScale::Coarser(4)), "rounded up");
        assert_eq!(of([1000, 800], [999, 800]), None);
        assert_eq!(of([1000, 800], [500, 300]), None, "other proportions");
        assert_eq!(of([1000, 800], [800, 1000]), None);
    }
}
