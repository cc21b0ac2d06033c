//! Strips and tiles of a TIFF: their bytes, unpacked, and copies of a part of the image. A file may claim anything, so what a block takes
//! is bounded before it is read.

use std::borrow::Cow;
use std::ops::Range;

use super::unpack::{inflate, unpack_bits, unpack_lzw};
use super::{Photometric, TiffFile, TiffImage};
use crate::data::bitmap::Rect;

/// Most bytes of an unpacked strip or tile that is read for a part of the image: a tile of 4096 x 4096 has 50 million.
const MOST_BLOCK: usize = 1 << 27;

/// Bytes of rows of an uncompressed strip or tile that are read at a time.
const BAND: usize = 1 << 20;

/// What a packed block may have more than an unpacked one, bytes: headers and tables.
const OVERHEAD: usize = 1 << 16;

/// The end of messages about strips and tiles that end too early.
pub(super) const TOO_SHORT: &str = "its pixels end too early: the file is truncated or damaged";

/// Rows and columns of a strip or tile.
struct BlockPart {
    block: usize,
    rows: Range<usize>,
    columns: Range<usize>,
}

impl TiffImage {
    /// Passes each row of each strip or tile to `take`, with the column and row of its first pixel.
    ///
    /// # Errors
    /// A damaged file, or what `take` returns.
    pub(in crate::data) fn rows(
        &self,
        file: &TiffFile<'_>,
        mut take: impl FnMut(&[u8], usize, usize) -> Result<(), String>,
    ) -> Result<(), String> {
        let across = self.width.div_ceil(self.block_width);
        for block in 0..across * self.height.div_ceil(self.block_height) {
            let (left, top) = (block % across * self.block_width, block / across * self.block_height);
            let rows = self.block_height.min(self.height - top);
            let data = self.block(file, block, rows)?;
            for (row, y) in data.chunks_exact(self.row_bytes()).zip(top..top + rows) {
                take(row, left, y)?;
            }
        }
        Ok(())
    }

    /// Refuses strips and tiles that are too large to be unpacked for a part of the image. Uncompressed ones are read row by row.
    pub(super) fn bounded(&self) -> Result<(), String> {
        let most = self.row_bytes().saturating_mul(self.block_height);
        if most <= MOST_BLOCK || self.is_plain() && self.row_bytes() <= MOST_BLOCK {
            return Ok(());
        }
        let kind = if self.tiled { "tiles" } else { "strips" };
        Err(format!(
            "it is stored in {kind} of {} x {} px, too large to read a region; convert it: `{}`",
            self.block_width,
            self.block_height,
            super::CONVERT
        ))
    }

    /// Most bytes that strips or tiles take while a part of the image is read.
    pub(super) fn part_bytes(&self) -> usize {
        if self.is_plain() {
            return self.row_bytes().max(BAND);
        }
        // Packed and unpacked.
        self.row_bytes().saturating_mul(self.block_height).saturating_mul(2).saturating_add(OVERHEAD)
    }

    /// Whether the rows of strips and tiles lie in the file as they are.
    const fn is_plain(&self) -> bool {
        self.compression == 1 && !self.reversed
    }

    /// Passes the rows of all strips and tiles within `rect` to `take`: bytes of a row, the pixels of these that are within, and the column and
    /// row in `rect` where these belong.
    ///
    /// # Errors
    /// A damaged file, with the strip or tile.
    pub(super) fn rows_in(
        &self,
        file: &TiffFile<'_>,
        rect: Rect,
        mut take: impl FnMut(&[u8], Range<usize>, usize, usize),
    ) -> Result<(), String> {
        let (right, bottom) = (rect.right.min(self.width), rect.bottom.min(self.height));
        if rect.left >= right || rect.top >= bottom {
            return Ok(());
        }
        let across = self.width.div_ceil(self.block_width);
        for down in rect.top / self.block_height..bottom.div_ceil(self.block_height) {
            let top = down * self.block_height;
            let rows = rect.top.saturating_sub(top)..self.block_height.min(bottom - top);
            for column in rect.left / self.block_width..right.div_ceil(self.block_width) {
                let left = column * self.block_width;
                let block = down * across + column;
                let within = rect.left.saturating_sub(left)..self.block_width.min(right - left);
                let x = left + within.start - rect.left;
                let part = BlockPart { block, rows: rows.clone(), columns: within };
                self.part(file, &part, |bytes, within, row| take(bytes, within, x, top + row - rect.top)).map_err(
                    |reason| {
                        if self.tiled {
                            format!("tile {block} (column {column}, row {down}): {reason}")
                        } else {
                            format!("strip {block}: {reason}")
                        }
                    },
                )?;
            }
        }
        Ok(())
    }

    /// Copies the pixels within `rect` to `rgb`, row by row.
    ///
    /// # Errors
    /// As [`TiffImage::rows_in`].
    pub(super) fn rgb_in(&self, file: &TiffFile<'_>, rect: Rect, rgb: &mut [u8]) -> Result<(), String> {
        let width = rect.right - rect.left;
        let is_plain = self.bits == 8 && self.samples == 3 && self.colours == Photometric::Rgb;
        let mut outside = false;
        self.rows_in(file, rect, |row, within, x, y| {
            let out = &mut rgb[(y * width + x) * 3..][..within.len() * 3];
            if is_plain {
                out.copy_from_slice(&row[within.start * 3..within.end * 3]);
                return;
            }
            for (x, out) in within.zip(out.as_chunks_mut::<3>().0) {
                *out = self.colour(row, x).unwrap_or_else(|| {
                    outside = true;
                    [0; 3]
                });
            }
        })?;
        if outside { Err("some pixels have an index outside the palette".to_owned()) } else { Ok(()) }
    }

    /// Colour of pixel `x` of a row, 8 bits; [`None`] for an index outside the palette.
    pub(super) fn colour(&self, row: &[u8], x: usize) -> Option<[u8; 3]> {
        let samples = self.pixel(row, x);
        let grey = |value: u16| (u32::from(value) * 255 / u32::from(self.most)) as u8;
        Some(match self.colours {
            Photometric::Palette => *self.palette.get(usize::from(samples[0]))?,
            Photometric::Rgb => [samples[0], samples[1], samples[2]].map(grey),
            Photometric::BlackIsZero => [grey(samples[0]); 3],
            Photometric::WhiteIsZero => [grey(self.most - samples[0]); 3],
        })
    }

    pub(super) fn row_bytes(&self) -> usize {
        (self.block_width * self.samples * self.bits).div_ceil(8)
    }

    /// Passes bytes of each row of a part of a strip or tile to `take`, with the pixels of these that belong to the part, and the row.
    fn part(
        &self,
        file: &TiffFile<'_>,
        part: &BlockPart,
        mut take: impl FnMut(&[u8], Range<usize>, usize),
    ) -> Result<(), String> {
        let BlockPart { block, rows, columns } = part;
        let length = self.row_bytes();
        if !self.is_plain() {
            let data = self.block(file, *block, rows.end)?;
            for (row, bytes) in data.chunks_exact(length).enumerate().take(rows.end).skip(rows.start) {
                take(bytes, columns.clone(), row);
            }
            return Ok(());
        }
        let (offset, size) = self.place(file, *block)?;
        if size < length * rows.end {
            return Err(TOO_SHORT.to_owned());
        }
        // Eight pixels begin and end with a byte; differences refer to the first one.
        let first = if self.differences { 0 } else { columns.start / 8 * 8 };
        let within = columns.start - first..columns.end - first;
        let pixel = self.samples * self.bits;
        let (start, end) = (first * pixel / 8, (columns.end * pixel).div_ceil(8));
        // What lies between the rows of a narrow part is not read.
        let band = if (end - start) * 2 < length { 1 } else { (BAND / length).max(1) };
        for top in rows.clone().step_by(band) {
            let count = band.min(rows.end - top);
            let from = offset.saturating_add(top * length + start);
            let mut bytes = file.slice(from, (count - 1) * length + end - start)?;
            for row in 0..count {
                let own = row * length..row * length + end - start;
                if self.differences {
                    self.undo_differences(&mut bytes.to_mut()[own.clone()]);
                }
                take(&bytes[own], within.clone(), top + row);
            }
        }
        Ok(())
    }

    /// Offset of a strip or tile, and its size by the file.
    fn place(&self, file: &TiffFile<'_>, block: usize) -> Result<(usize, usize), String> {
        let (offsets, sizes) = if self.tiled { (324, 325) } else { (273, 279) };
        let missing = || "it has no strip or tile offsets".to_owned();
        let offset = file.value(offsets, block)?.ok_or_else(missing)?;
        // Some writers omit the size of a single strip.
        let left = file.size().saturating_sub(offset);
        let size = if file.count(sizes) == 0 { left } else { file.value(sizes, block)?.ok_or_else(missing)? };
        if size == 0 {
            return Err("it is missing in the file (a sparse TIFF)".to_owned());
        }
        if size > left && !self.is_plain() {
            return Err(super::directory::OUTSIDE.to_owned());
        }
        Ok((offset, size))
    }

    /// The first rows of a strip or tile, possibly with others after them.
    fn block<'a>(&self, file: &TiffFile<'a>, block: usize, rows: usize) -> Result<Cow<'a, [u8]>, String> {
        let (offset, size) = self.place(file, block)?;
        let whole = self.row_bytes() * rows;
        if self.is_plain() && size < whole {
            return Err(TOO_SHORT.to_owned());
        }
        // Lossless compression makes noise a little larger; beyond that, the bytes are not the block's.
        let most = (self.row_bytes() * self.block_height).saturating_mul(2).saturating_add(OVERHEAD);
        let size = if self.is_plain() { whole } else { size.min(most.max(MOST_BLOCK)) };
        let mut raw = file.slice(offset, size)?;
        if let Some(jpeg) = &self.jpeg {
            return Ok(Cow::Owned(jpeg.decode(&raw, self, rows)?));
        }
        if self.reversed {
            raw.to_mut().iter_mut().for_each(|byte| *byte = byte.reverse_bits());
        }
        let mut data = match self.compression {
            1 => raw,
            32773 => Cow::Owned(unpack_bits(&raw, whole)),
            5 => Cow::Owned(unpack_lzw(&raw, whole)?),
            _ => Cow::Owned(inflate(&raw, whole)),
        };
        if data.len() < whole {
            return Err(TOO_SHORT.to_owned());
        }
        if self.differences {
            data.to_mut().chunks_exact_mut(self.row_bytes()).for_each(|row| self.undo_differences(row));
        }
        Ok(data)
    }

    fn undo_differences(&self, row: &mut [u8]) {
        if self.bits == 8 {
            for i in self.samples..row.len() {
                row[i] = row[i].wrapping_add(row[i - self.samples]);
            }
            return;
        }
        let read = |pair: [u8; 2]| if self.big { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) };
        let (pairs, _) = row.as_chunks_mut::<2>();
        for i in self.samples..pairs.len() {
            let sum = read(pairs[i]).wrapping_add(read(pairs[i - self.samples]));
            pairs[i] = if self.big { sum.to_be_bytes() } else { sum.to_le_bytes() };
        }
    }
}
