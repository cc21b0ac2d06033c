//! Masks of which a part is read at a time. What is lesion must not depend on the part, so grey masks without a threshold are lesion where they
//! are not 0, whatever other values there are.

use super::from_tiff::MaskBuilder;
use super::of_value::ValueBuilder;
use super::{Mask, MaskContent, MaskValues};
use crate::data::bitmap::{Bitmap, Rect};
use crate::data::tiff::PyramidLevel;

/// Reader of parts of a mask, with what it saw in them.
#[derive(Default)]
pub(in crate::data) struct PartialMask {
    seen: MaskValues,
}

impl PartialMask {
    /// The lesion pixels within `rect`.
    ///
    /// # Errors
    /// A short description of what is wrong with the file.
    pub(in crate::data) fn read(
        &mut self,
        level: &PyramidLevel<'_>,
        rect: Rect,
        content: MaskContent,
    ) -> Result<Bitmap, String> {
        let (image, bytes) = level.cut(rect)?;
        let mut rows = bytes.chunks_exact(bytes.len() / image.height).enumerate();
        let mask = match content {
            MaskContent::Lesion(threshold) => {
                let mut builder = MaskBuilder::of_part(&image, threshold)?;
                rows.try_for_each(|(y, row)| builder.mark(row, &image, 0, y))?;
                builder.mask()
            }
            MaskContent::Value(value) => {
                let mut builder = ValueBuilder::new(&image, value)?;
                rows.try_for_each(|(y, row)| builder.mark(row, &image, 0, y))?;
                builder.mask()
            }
            MaskContent::Counts => return Err("counts of pixels are not in slides".to_owned()),
        };
        if self.seen == MaskValues::Two {
            self.seen = mask.seen;
        }
        Ok(mask.bits)
    }

    /// A mask of these pixels, with what was seen in all parts.
    pub(in crate::data) fn mask(&self, bits: Bitmap) -> Mask {
        Mask { seen: self.seen, ..Mask::released(bits) }
    }
}
