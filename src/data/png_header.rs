//! PNG chunks that determine how pixels are decoded. Decodes no pixels. Reference: PNG, third edition (W3C, 2025).

use std::io::Read;
use std::ops::Range;

use super::byte_source::ByteSource;
use super::colour::Colour;
use super::colour_profile::{self, CHROMATICITIES, NEAR_CHROMATICITY};
use super::orientation::Orientation;
use super::tiff::TiffFile;

/// PNG signature.
pub(super) const MAGIC: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Longest colour profile that is read, bytes.
const LONGEST_PROFILE: u64 = 1 << 22;

/// Longest text chunk that is read, bytes.
const LONGEST_TEXT: usize = 1 << 20;

/// Keywords of the text chunks in which `ImageMagick` stored EXIF before there was a chunk for it.
const RAW: [&[u8]; 2] = [b"Raw profile type exif\0", b"Raw profile type APP1\0"];

/// Content of the chunks.
#[derive(Default)]
pub(super) struct PngHeader {
    /// Width and height as stored, px.
    pub(super) size: (usize, usize),
    /// Bits per sample.
    pub(super) bits: u8,
    /// Whether pixels are palette indices.
    pub(super) indexed: bool,
    /// Whether pixels are grey, with or without alpha.
    pub(super) grey: bool,
    /// The palette; empty if there is none.
    pub(super) palette: Vec<Colour>,
    /// Opacity of palette colours; colours beyond the last entry are opaque.
    pub(super) opacity: Vec<u8>,
    /// Number of significant bits per sample, the maximum over channels.
    pub(super) significant: Option<u8>,
    /// Number of frames; more than one in an animation.
    pub(super) frames: u32,
    /// Orientation of the image.
    pub(super) orientation: Orientation,
    /// What it says of its colours.
    colours: PngColours,
}

/// What a PNG says of its colours.
#[derive(Default)]
struct PngColours {
    /// Place of its colour profile.
    profile: Option<Range<usize>>,
    /// Whether it says that they are sRGB.
    is_srgb: bool,
    /// Numbers of its primaries and transfer function (ITU-T H.273).
    code_points: Option<(u8, u8)>,
    /// Its gamma, in 1/100,000.
    gamma: Option<u32>,
    /// Its chromaticities, as [`CHROMATICITIES`] orders them.
    chromaticities: Option<[u32; 8]>,
}

impl PngHeader {
    /// Description of its colours if they are not those of sRGB: by the first of cICP, iCCP, sRGB, gAMA and cHRM that is there.
    pub(super) fn profile(&self, bytes: &[u8]) -> Option<String> {
        let PngColours { profile, is_srgb, code_points, gamma, chromaticities } = &self.colours;
        if let Some((primaries, transfer)) = code_points {
            let is_srgb = *primaries == 1 && matches!(transfer, 1 | 6 | 13);
            return (!is_srgb).then(|| format!("cICP {primaries}/{transfer}"));
        }
        if let Some(place) = profile {
            let mut profile = Vec::new();
            // After a name of at most 79 bytes, a zero, and the number of the method.
            let body = bytes.get(place.clone()).unwrap_or_default();
            let start = body.iter().position(|byte| *byte == 0).map_or(body.len(), |end| end + 2);
            let packed = body.get(start..).unwrap_or_default();
            // What is damaged cannot be read as a profile, which is reported.
            let _ = flate2::read::ZlibDecoder::new(packed).take(LONGEST_PROFILE).read_to_end(&mut profile);
            return colour_profile::other_than_srgb(&profile);
        }
        if *is_srgb {
            return None;
        }
        let is_near = |stated: &[u32; 8]| {
            let mut pairs = stated.iter().zip(&CHROMATICITIES);
            self.grey || pairs.all(|(stated, wanted)| stated.abs_diff(*wanted) <= NEAR_CHROMATICITY)
        };
        if chromaticities.as_ref().is_some_and(|stated| !is_near(stated)) {
            return Some("primaries of its own (cHRM)".to_owned());
        }
        // 1 / 2.2 is what is written for sRGB.
        let gamma = gamma.filter(|gamma| gamma.abs_diff(45_455) > 1_000)?;
        Some(format!("gamma {:.2} (gAMA)", 100_000.0 / f64::from(gamma.max(1))))
    }
}

/// Reads the chunks, including those after the pixels; [`None`] without a header chunk. Stops if the file ends early.
pub(super) fn header(source: ByteSource<'_>) -> Option<PngHeader> {
    let first = source.at(8, 25)?;
    if first[4..8] != *b"IHDR" {
        return None;
    }
    let side = |at: usize| u32::from_be_bytes([first[at], first[at + 1], first[at + 2], first[at + 3]]) as usize;
    let mut found = PngHeader {
        size: (side(8), side(12)),
        bits: first[16],
        indexed: first[17] == 3,
        grey: matches!(first[17], 0 | 4),
        frames: 1,
        ..PngHeader::default()
    };
    let (mut exif, mut other) = (None, None);
    let mut at = 8;
    while let Some(head) = source.at(at, 8) {
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let body = || source.at(at + 8, length);
        match &head[4..8] {
            b"PLTE" => found.palette = body().map_or(Vec::new(), |body| body.as_chunks::<3>().0.to_vec()),
            b"tRNS" if found.indexed => found.opacity = body().map_or(Vec::new(), |body| body.to_vec()),
            b"sBIT" => {
                found.significant =
                    body().and_then(|body| body.iter().take(if found.grey { 1 } else { 3 }).max().copied());
            }
            b"acTL" => {
                let frames = source.at(at + 8, 4).filter(|_| length >= 4);
                found.frames = frames.and_then(|count| Some(u32::from_be_bytes(*count.as_array()?))).unwrap_or(1);
            }
            b"iCCP" => found.colours.profile = at.checked_add(8).map(|start| start..start.saturating_add(length)),
            b"sRGB" => found.colours.is_srgb = true,
            b"cICP" => {
                found.colours.code_points = body().and_then(|body| Some((*body.first()?, *body.get(1)?)));
            }
            b"gAMA" if length == 4 => {
                found.colours.gamma = body().and_then(|body| Some(u32::from_be_bytes(*body.as_array()?)));
            }
            b"cHRM" if length == 32 => {
                let numbers = |body: &[u8]| {
                    let numbers: Vec<u32> =
                        body.as_chunks::<4>().0.iter().map(|number| u32::from_be_bytes(*number)).collect();
                    numbers.as_array().copied()
                };
                found.colours.chromaticities = body().and_then(|body| numbers(&body));
            }
            b"eXIf" => exif = exif.or_else(|| TiffFile::of_exif(&body()?)),
            b"tEXt" | b"zTXt" | b"iTXt" if length <= LONGEST_TEXT => {
                let body = body().unwrap_or_default();
                let deflated = head[4] == b'z';
                if let Some(text) = body.strip_prefix(b"XML:com.adobe.xmp\0") {
                    other = other.or_else(|| Orientation::of_xmp(text));
                } else if let Some(text) = RAW.iter().find_map(|name| body.strip_prefix(*name)) {
                    other = other.or_else(|| TiffFile::of_exif(&raw_profile(text, deflated)?));
                }
            }
            b"IEND" => break,
            _ => {}
        }
        let Some(next) = at.checked_add(length).and_then(|end| end.checked_add(12)) else { break };
        at = next;
    }
    found.orientation = exif.or(other).unwrap_or_default();
    Some(found)
}

/// Bytes of a profile as `ImageMagick` writes it, possibly deflated: a line with its type, one with its length, and hexadecimal digits.
fn raw_profile(text: &[u8], deflated: bool) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    if deflated {
        let limit = (LONGEST_TEXT * 4) as u64;
        flate2::read::ZlibDecoder::new(text.strip_prefix(b"\0")?).take(limit).read_to_end(&mut plain).ok()?;
    } else {
        plain.extend_from_slice(text);
    }
    let digits = plain.splitn(4, |byte| *byte == b'\n').nth(3)?;
    let digits: Vec<u8> = digits.iter().filter_map(|byte| Some(char::from(*byte).to_digit(16)? as u8)).collect();
    Some(digits.as_chunks::<2>().0.iter().map(|[high, low]| high << 4 | low).collect())
}
