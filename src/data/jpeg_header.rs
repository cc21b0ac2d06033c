//! JPEG headers: coding process, orientation, start and end of the pixel data. Decodes nothing. Reference: ITU-T T.81 (section numbers
//! are its own).

use std::borrow::Cow;
use std::ops::Range;

use super::byte_source::ByteSource;
use super::orientation::Orientation;
use super::tiff::TiffFile;

/// Prefix of an XMP segment.
const XMP: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";

/// Prefix of a part of a colour profile.
const PROFILE: &[u8] = b"ICC_PROFILE\0";

/// Headers before the first scan.
pub(super) struct JpegHeader {
    /// Frame header; [`None`] if missing.
    frame: Option<FrameHeader>,
    /// Orientation of the image.
    pub(super) orientation: Orientation,
    /// Offset of the first scan's entropy-coded data.
    scan: usize,
    /// Number of components in the first scan.
    together: usize,
    /// Whether a marker (JFIF, Adobe) says what its components mean.
    pub(super) states_colours: bool,
    /// Whether EXIF says that its colours are Adobe RGB.
    pub(super) adobe_rgb: bool,
    /// Parts of its colour profile: number, count, and place.
    profile: Vec<(u8, u8, Range<usize>)>,
    /// Stray bytes between segments.
    stray: Vec<Range<usize>>,
}

/// The frame header (B.2.2).
struct FrameHeader {
    marker: u8,
    /// Bits per sample.
    precision: u8,
    /// Width and height as stored, px; a height of 0 is stated after the first scan.
    size: (usize, usize),
    /// Horizontal and vertical sampling factor of each component.
    sampling: Vec<(u8, u8)>,
}

/// Position of the end-of-image marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScanEnd {
    /// At this offset, right after the only scan.
    OnlyScan(usize),
    /// Somewhere after several scans.
    Somewhere,
}

/// Reads the headers before the first scan; [`None`] if the file ends before it.
pub(super) fn header(source: ByteSource<'_>) -> Option<JpegHeader> {
    let mut found = JpegHeader {
        frame: None,
        orientation: Orientation::UPRIGHT,
        scan: 0,
        together: 0,
        states_colours: false,
        adobe_rgb: false,
        profile: Vec::new(),
        stray: Vec::new(),
    };
    let (mut exif, mut xmp) = (None, None);
    let mut at = 2;
    loop {
        let (marker, from) = next_marker(source, at)?;
        if (at..from - 2).any(|at| source.byte(at) != Some(0xff)) {
            found.stray.push(at..from - 2);
        }
        // Markers without a segment: RSTn, SOI, TEM.
        if matches!(marker, 0xd0..=0xd8 | 0x01) {
            at = from;
            continue;
        }
        if marker == 0xd9 {
            return None;
        }
        let length = usize::from(u16::from_be_bytes(*source.at(from, 2)?.as_array()?));
        let body = || source.at(from + 2, length.checked_sub(2)?);
        match marker {
            0xda => {
                found.scan = from + length;
                found.together = usize::from(source.byte(from + 2)?);
                found.orientation = exif.flatten().or_else(|| xmp.flatten()).unwrap_or_default();
                return Some(found);
            }
            // The first block of each counts; EXIF takes precedence over XMP.
            0xe1 => {
                let body = body()?;
                if exif.is_none() && body.starts_with(b"Exif\0\0") {
                    exif = Some(TiffFile::of_exif(&body));
                    found.adobe_rgb = TiffFile::is_adobe_rgb(&body);
                } else if let (None, Some(packet)) = (xmp, body.strip_prefix(XMP)) {
                    xmp = Some(Orientation::of_xmp(packet));
                }
            }
            0xe0 => found.states_colours |= source.at(from + 2, 4).is_some_and(|name| *name == *b"JFIF"),
            0xe2 if length > PROFILE.len() + 4
                && source.at(from + 2, PROFILE.len()).is_some_and(|name| *name == *PROFILE) =>
            {
                let start = from + 2 + PROFILE.len();
                let numbers = source.at(start, 2)?;
                found.profile.push((numbers[0], numbers[1], start + 2..from + length));
            }
            0xee => found.states_colours |= source.at(from + 2, 5).is_some_and(|name| *name == *b"Adobe"),
            0xc4 | 0xc8 | 0xcc => {}
            0xc0..=0xcf | 0xf7 => found.frame = found.frame.or_else(|| FrameHeader::read(marker, &body()?)),
            _ => {}
        }
        at = from + length;
    }
}

/// The next marker from offset `at`, and the offset after it. Like libjpeg, skips stray bytes and fill bytes.
fn next_marker(source: ByteSource<'_>, mut at: usize) -> Option<(u8, usize)> {
    loop {
        match (source.byte(at)?, source.byte(at + 1)?) {
            (0xff, 0xff) => at += 1,
            (0xff, marker) if marker != 0 => return Some((marker, at + 2)),
            _ => at += 1,
        }
    }
}

impl FrameHeader {
    fn read(marker: u8, body: &[u8]) -> Option<Self> {
        let (&[precision, tall, high, wide, across, count], components) = body.split_first_chunk::<6>()?;
        let side = |high, low| usize::from(u16::from_be_bytes([high, low]));
        let size = (side(wide, across), side(tall, high));
        let components = components.as_chunks::<3>().0.iter().take(usize::from(count));
        let sampling = components.map(|[_, factors, _]| (factors >> 4, factors & 0xf)).collect();
        Some(Self { marker, precision, size, sampling })
    }
}

impl JpegHeader {
    /// Bits per sample; [`None`] without a frame header.
    pub(super) fn bits(&self) -> Option<u8> {
        self.frame.as_ref().map(|frame| frame.precision)
    }

    /// Width and height as stored, px; [`None`] without a frame header.
    pub(super) fn size(&self) -> Option<(usize, usize)> {
        self.frame.as_ref().map(|frame| frame.size)
    }

    /// Reason why an intact JPEG is not supported; [`None`] if it is.
    ///
    /// zune-jpeg 0.5.15 silently decodes some rare layouts to wrong colours (zune-image#419, #421, fixed in 0.5.16): several scans with
    /// different sampling factors, and a first component with coarser sampling than another. `tests/expected/jpeg.py` compares all
    /// layouts with libjpeg-turbo.
    pub(super) fn refused(&self) -> Option<String> {
        let frame = self.frame.as_ref()?;
        let kind = match frame.marker {
            0xc0..=0xc2 => None,
            0xc3 => Some("it is a lossless JPEG"),
            0xf7 => Some("it is a JPEG-LS"),
            0xc9..=0xcb => Some("its JPEG uses arithmetic coding"),
            _ => Some("it is a hierarchical JPEG"),
        };
        if let Some(kind) = kind {
            return Some(kind.to_owned());
        }
        if frame.precision != 8 {
            return Some(format!("it is a {}-bit JPEG", frame.precision));
        }
        let (across, down) = *frame.sampling.first()?;
        let factors = || frame.sampling.iter().flat_map(|(across, down)| [*across, *down]);
        if factors().any(|factor| !matches!(factor, 1 | 2 | 4)) {
            return Some("its JPEG has sampling factors other than 1, 2 and 4".to_owned());
        }
        if frame.sampling.iter().any(|other| other.0 > across || other.1 > down) {
            return Some("its JPEG has finer chroma than luma sampling".to_owned());
        }
        if down == 4 && frame.sampling.iter().any(|other| other.1 == 2) {
            return Some("its JPEG has 4-row luma with 2-row chroma sampling".to_owned());
        }
        let sequential = frame.marker != 0xc2;
        if sequential && self.together < frame.sampling.len() && factors().any(|factor| factor != 1) {
            return Some("its JPEG has several scans with different sampling factors".to_owned());
        }
        None
    }

    /// The colour profile, put together from its parts; [`None`] if there is none. With a part missing, it is empty.
    pub(super) fn profile(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let (_, count, _) = self.profile.first()?;
        let part = |number: u8| {
            let (.., place) = self.profile.iter().find(|(own, ..)| *own == number)?;
            bytes.get(place.clone())
        };
        let parts: Option<Vec<&[u8]>> = (1..=*count).map(part).collect();
        Some(parts.unwrap_or_default().concat())
    }

    /// The file without stray bytes between segments.
    pub(super) fn without_stray<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        if self.stray.is_empty() {
            return Cow::Borrowed(bytes);
        }
        let mut kept = Vec::with_capacity(bytes.len());
        let mut from = 0;
        for stray in &self.stray {
            kept.extend_from_slice(&bytes[from..stray.start]);
            from = stray.end;
        }
        kept.extend_from_slice(&bytes[from..]);
        Cow::Owned(kept)
    }

    /// Finds the end-of-image marker; [`None`] if there is none. Searched from the first scan on, since a thumbnail in the headers has
    /// one, too.
    pub(super) fn end(&self, bytes: &[u8]) -> Option<ScanEnd> {
        let sequential = self.frame.as_ref().is_none_or(|frame| frame.marker != 0xc2);
        let mut at = self.scan;
        loop {
            at += bytes.get(at..)?.iter().position(|&byte| byte == 0xff)?;
            match bytes.get(at + 1)? {
                // A stuffed byte, fill bytes, or a restart marker.
                0 | 0xd0..=0xd7 => at += 2,
                0xff => at += 1,
                0xd9 if sequential => return Some(ScanEnd::OnlyScan(at)),
                _ => break,
            }
        }
        bytes[at..].array_windows().any(|pair| *pair == [0xff, 0xd9]).then_some(ScanEnd::Somewhere)
    }
}
