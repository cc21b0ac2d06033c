//! Strips and tiles that are JPEGs (TIFF technical note 2): streams without the tables that all of them share. Whether components are red,
//! green and blue or luminance and colour differences is what the TIFF says, as in libtiff; a marker in the stream does not count.

use super::blocks::TOO_SHORT;
use super::{TiffFile, TiffImage};
use crate::data::decode::{self, DecodeFault};

/// Largest size of the shared tables, bytes.
const MOST_TABLES: usize = 1 << 16;

/// How the blocks of an image are JPEGs.
#[derive(Clone)]
pub(super) struct JpegBlocks {
    /// Shared tables, without the markers around them.
    tables: Vec<u8>,
    /// Adobe's number for what three components are: 0 for red, green and blue, 1 for luminance and colour differences. [`None`] if grey.
    transform: Option<u8>,
}

impl JpegBlocks {
    pub(super) fn of(file: &TiffFile<'_>, photometric: usize, samples: usize) -> Result<Self, String> {
        let tables = file.bytes(347, MOST_TABLES)?.unwrap_or_default();
        let tables = tables.strip_prefix(&[0xff, 0xd8][..]).unwrap_or(&tables);
        let tables = tables.strip_suffix(&[0xff, 0xd9][..]).unwrap_or(tables).to_vec();
        let transform = (samples == 3).then_some(u8::from(photometric == 6));
        Ok(Self { tables, transform })
    }

    /// The samples of the first `rows` rows of a block, row by row. The last strip may be lower than the others.
    pub(super) fn decode(&self, raw: &[u8], image: &TiffImage, rows: usize) -> Result<Vec<u8>, String> {
        let stream = self.whole(raw).ok_or_else(|| TOO_SHORT.to_owned())?;
        let block = (image.block_width, image.block_height);
        let read = decode::jpeg_block(&stream, block, image.samples == 1).map_err(|fault| match fault {
            DecodeFault::Truncated => TOO_SHORT.to_owned(),
            fault => fault.to_string(),
        });
        let ((width, height), mut pixels) = read?;
        if width != block.0 || height < rows {
            return Err(format!("its JPEG is {width} x {height} px instead of {} x {} px", block.0, block.1));
        }
        pixels.truncate(rows * image.row_bytes());
        Ok(pixels)
    }

    /// A complete JPEG: with the tables, and with a marker that says what its components are.
    fn whole(&self, raw: &[u8]) -> Option<Vec<u8>> {
        let rest = raw.strip_prefix(&[0xff, 0xd8][..])?;
        let mut stream = Vec::with_capacity(raw.len() + self.tables.len() + 16);
        stream.extend_from_slice(&[0xff, 0xd8]);
        segments(&self.tables, &mut stream);
        let scan = segments(rest, &mut stream);
        if let Some(transform) = self.transform {
            stream.extend_from_slice(&[0xff, 0xee, 0, 14]);
            stream.extend_from_slice(b"Adobe\0\x64\0\0\0\0");
            stream.push(transform);
        }
        stream.extend_from_slice(&rest[scan?..]);
        Some(stream)
    }
}

/// Copies the segments before the first scan, without those that say what the components are; returns where the scan begins.
fn segments(bytes: &[u8], into: &mut Vec<u8>) -> Option<usize> {
    let mut at = 0;
    loop {
        // Fill bytes, and stray ones, which the decoder would refuse.
        while *bytes.get(at)? != 0xff || *bytes.get(at + 1)? == 0xff {
            at += 1;
        }
        let marker = *bytes.get(at + 1)?;
        if marker == 0xda {
            return Some(at);
        }
        let length = usize::from(u16::from_be_bytes(*bytes.get(at + 2..at + 4)?.as_array()?));
        let segment = bytes.get(at..at + 2 + length)?;
        if marker != 0xee {
            into.extend_from_slice(segment);
        }
        at += 2 + length;
    }
}
