//! The chunks of a PNG that say how its pixels are to be read. Decodes nothing. Reference: PNG, third edition (W3C, 2025).

use super::mask::Colour;
use super::orientation::Orientation;
use super::source::Source;
use super::tiff::File;

/// What a PNG begins with.
pub(super) const MAGIC: &[u8] = b"\x89PNG\r\n\x1a\n";

/// What the chunks say.
#[derive(Default)]
pub(super) struct Header {
    /// Bits of a sample.
    pub(super) bits: u8,
    /// Whether pixels are indices of a palette.
    pub(super) indexed: bool,
    /// Whether pixels are grey, with or without alpha.
    pub(super) grey: bool,
    /// The palette; empty where there is none.
    pub(super) palette: Vec<Colour>,
    /// How opaque each colour of the palette is: opaque from the last one on.
    pub(super) opacity: Vec<u8>,
    /// How many bits of a sample mean something, at most of all channels.
    pub(super) significant: Option<u8>,
    /// How many pictures follow each other; more than one in an animation.
    pub(super) frames: u32,
    /// How the picture is to be shown.
    pub(super) orientation: Orientation,
}

/// Reads the chunks, those behind the pixels too; [`None`] where the first one is not there. Stops where the file ends too early.
pub(super) fn header(source: Source<'_>) -> Option<Header> {
    let first = source.at(8, 25)?;
    if first[4..8] != *b"IHDR" {
        return None;
    }
    let mut found = Header {
        bits: first[16],
        indexed: first[17] == 3,
        grey: matches!(first[17], 0 | 4),
        frames: 1,
        ..Header::default()
    };
    let mut at = 8;
    while let Some(head) = source.at(at, 8) {
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let body = || source.at(at + 8, length);
        match &head[4..8] {
            b"PLTE" => found.palette = body().map_or(Vec::new(), |body| body.as_chunks::<3>().0.to_vec()),
            b"tRNS" if found.indexed => found.opacity = body().map_or(Vec::new(), |body| body.to_vec()),
            b"sBIT" => {
                found.significant =
                    body().and_then(|body| body.iter().take(if found.grey { 1 } else { 3 }).max().copied())
            }
            b"acTL" => {
                let frames = source.at(at + 8, 4).filter(|_| length >= 4);
                found.frames = frames.and_then(|count| Some(u32::from_be_bytes(*count.as_array()?))).unwrap_or(1);
            }
            b"eXIf" => {
                let block = body().unwrap_or_default();
                // Some writers keep what the block begins with in a JPEG.
                let block = block.strip_prefix(b"Exif\0\0").unwrap_or(&block);
                let directory = File::open(Source::Memory(block));
                found.orientation = directory.map_or(Orientation::UPRIGHT, |directory| directory.orientation());
            }
            b"IEND" => break,
            _ => {}
        }
        let Some(next) = at.checked_add(length).and_then(|end| end.checked_add(12)) else { break };
        at = next;
    }
    Some(found)
}
