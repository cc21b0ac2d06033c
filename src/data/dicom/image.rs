//! The image of a DICOM: its size, the meaning of its samples, and what is strange about it. Decodes no pixels by itself.

use super::attributes::{self as tag, DicomAttributes};
use super::colours::{DicomPalette, rgb_of_ybr};
use super::grey::GreyScale;
use super::layout::SampleLayout;
use super::pixels::{self, DicomPixels, SampleBytes};
use super::syntax::PixelCompression;
use super::{DicomFault, DicomStart};
use crate::data::byte_source::ByteSource;
use crate::data::image_issues::ImageIssueKind;

/// Largest difference between the height and width of a pixel that is not reported.
const SQUARE: f64 = 0.001;

/// Longest colour profile that is read, bytes.
const LONGEST_PROFILE: usize = 1 << 22;

/// If no 16-bit sample reaches this, and nothing states a window, the result is almost black.
const DARK: u16 = 1 << 14;

/// What to do about a dataset whose encoding is a guess.
const WITH_META: &str =
    "write it with file meta information: `gdcmconv IN OUT.dcm` (GDCM) or `dcmconv IN OUT.dcm` (DCMTK)";

/// Meaning of samples.
enum DicomColours {
    Grey(GreyScale),
    Palette(DicomPalette),
    Rgb,
    /// Luma and chroma, in the full range.
    Ybr,
}

/// An image of a DICOM.
pub(in crate::data) struct DicomImage<'a> {
    attributes: DicomAttributes<'a>,
    layout: SampleLayout,
    colours: DicomColours,
    /// What is strange about it, as its header states it.
    pub(in crate::data) issues: Vec<ImageIssueKind>,
}

impl<'a> DicomImage<'a> {
    /// Reads what the header says of the image.
    ///
    /// # Errors
    /// A file that is damaged, truncated, or not supported.
    pub(in crate::data) fn open(source: ByteSource<'a>) -> Result<Self, DicomFault> {
        let is_bare = matches!(DicomStart::of(source), Some(DicomStart::Bare { .. }));
        Self::opened(source).map_err(|fault| match fault {
            DicomFault::Truncated | DicomFault::Damaged(_) if is_bare => guess(),
            fault => fault,
        })
    }

    fn opened(source: ByteSource<'a>) -> Result<Self, DicomFault> {
        let attributes = DicomAttributes::read(source)?;
        refuse_other_objects(&attributes)?;
        let side = |tag| attributes.short(tag, 0).map_or(0, usize::from);
        let size = (side(tag::COLUMNS), side(tag::ROWS));
        if size.0 == 0 || size.1 == 0 {
            return Err(DicomFault::Damaged("it has no width or height".to_owned()));
        }
        let number = |tag: u32, default: usize| attributes.short(tag, 0).map_or(default, usize::from);
        let stored = number(tag::BITS_STORED, 0);
        let photometric = attributes.text(tag::PHOTOMETRIC).unwrap_or_default();
        let layout = SampleLayout {
            size,
            samples: number(tag::SAMPLES, 1),
            allocated: number(tag::BITS_ALLOCATED, 0),
            stored,
            high: number(tag::HIGH_BIT, stored.saturating_sub(1)),
            signed: number(tag::SIGNED, 0) == 1,
            planar: number(tag::PLANES, 0) == 1,
            halved: photometric == "YBR_FULL_422" && attributes.syntax.pixels == PixelCompression::Native,
        };
        check_depth(&layout, attributes.syntax.pixels)?;
        let colours = colours(&photometric, &layout, &attributes)?;
        // The encoding of such a file is certain only if its pixels are where they should be.
        let length = attributes.pixels.and_then(|pixels| pixels.length);
        if attributes.guessed && length.is_none_or(|length| length != layout.bytes().next_multiple_of(2)) {
            return Err(guess());
        }
        let mut issues = Vec::new();
        if let DicomColours::Grey(grey) = &colours
            && grey.window.is_none()
            && layout.stored > 8
        {
            issues.push(ImageIssueKind::NoWindow);
        }
        if !has_square_pixels(&attributes) {
            issues.push(ImageIssueKind::PixelAspect);
        }
        if attributes.text(tag::BURNED_IN).is_some_and(|value| value == "YES") {
            issues.push(ImageIssueKind::BurnedIn);
        }
        Ok(Self { attributes, layout, colours, issues })
    }

    /// Width and height, px.
    pub(in crate::data) const fn size(&self) -> (usize, usize) {
        self.layout.size
    }

    /// Bits of a sample.
    pub(in crate::data) const fn bits(&self) -> u8 {
        self.layout.stored as u8
    }

    /// Whether the components of a JPEG without a marker of their meaning are red, green and blue.
    pub(in crate::data) const fn is_rgb(&self) -> bool {
        matches!(self.colours, DicomColours::Rgb)
    }

    /// Its colour profile, if it has one.
    pub(in crate::data) fn profile(&self) -> Option<Vec<u8>> {
        self.attributes.value(tag::PROFILE, LONGEST_PROFILE).map(std::borrow::Cow::into_owned)
    }

    /// Colour space by its standard name, such as `ADOBERGB`; [`None`] if it is not stated, or is another word.
    pub(in crate::data) fn colour_space(&self) -> Option<&'static str> {
        let stated = self.attributes.text(tag::COLOUR_SPACE)?;
        ["SRGB", "ADOBERGB", "ROMMRGB", "DISPLAYP3"].into_iter().find(|known| *known == stated)
    }

    /// Its pixels: a JPEG, or samples. The size was checked against the limit for photographs.
    ///
    /// # Errors
    /// A file that is damaged or truncated.
    pub(in crate::data) fn pixels(&self) -> Result<DicomPixels<'_>, DicomFault> {
        pixels::read(&self.attributes, &self.layout)
    }

    /// RGB pixels of samples, and whether they use so little of their range that the result is almost black.
    pub(in crate::data) fn rgb(&self, samples: &SampleBytes<'_>) -> (Vec<u8>, bool) {
        let layout = &self.layout;
        let mut rgb = Vec::with_capacity(layout.pixels() * 3);
        match &self.colours {
            DicomColours::Grey(grey) => {
                let table = self.table(|value| [grey.eight_bits(value); 3]);
                samples.each(layout, |bits| rgb.extend_from_slice(&table[usize::from(bits)]));
                return (rgb, self.is_dark(grey, samples));
            }
            DicomColours::Palette(palette) => {
                let table = self.table(|value| palette.colour(value));
                samples.each(layout, |bits| rgb.extend_from_slice(&table[usize::from(bits)]));
            }
            DicomColours::Rgb => samples.each_colour(layout, |colour| rgb.extend_from_slice(&colour)),
            DicomColours::Ybr => samples.each_colour(layout, |colour| rgb.extend_from_slice(&rgb_of_ybr(colour))),
        }
        (rgb, false)
    }

    /// Turns the pixels of a decoded JPEG into those of the image.
    ///
    /// # Errors
    /// A JPEG with colours in an image of grey values.
    pub(in crate::data) fn finish_jpeg(&self, rgb: &mut [u8]) -> Result<(), DicomFault> {
        let DicomColours::Grey(grey) = &self.colours else { return Ok(()) };
        let table = self.table(|value| [grey.eight_bits(value); 3]);
        for pixel in rgb.as_chunks_mut::<3>().0 {
            if pixel[0] != pixel[1] || pixel[1] != pixel[2] {
                return Err(DicomFault::Damaged("its JPEG has colours, but its header says grey".to_owned()));
            }
            *pixel = table[usize::from(pixel[0])];
        }
        Ok(())
    }

    /// What each pattern of a sample's bits is shown as.
    fn table(&self, shown: impl Fn(i32) -> [u8; 3]) -> Vec<[u8; 3]> {
        (0..1_u32 << self.layout.allocated).map(|bits| shown(self.layout.value(bits as u16))).collect()
    }

    fn is_dark(&self, grey: &GreyScale, samples: &SampleBytes<'_>) -> bool {
        if grey.window.is_some() || self.layout.stored < 16 || self.layout.signed {
            return false;
        }
        let mut brightest = 0;
        samples.each(&self.layout, |bits| brightest = brightest.max(bits));
        (1..DARK).contains(&brightest)
    }
}

/// Rejects what is not an image, or says what its pixels mean in a place that is not read.
fn refuse_other_objects(attributes: &DicomAttributes<'_>) -> Result<(), DicomFault> {
    if attributes.text(tag::OBJECT_CLASS).is_some_and(|class| class.starts_with("1.2.840.10008.5.1.4.1.1.66.")) {
        return Err(DicomFault::unread("it is a segmentation, not a photograph"));
    }
    if attributes.pixels.is_none() {
        let text = "it holds no image of integers: it may be a report, or the index of a folder (DICOMDIR)";
        return Err(DicomFault::unread(text));
    }
    Ok(())
}

/// Rejects samples of an unsupported depth.
fn check_depth(layout: &SampleLayout, compression: PixelCompression) -> Result<(), DicomFault> {
    let SampleLayout { allocated, stored, high, .. } = *layout;
    if !matches!(allocated, 8 | 16) {
        let note = if allocated == 1 { ", as segmentations have" } else { "" };
        return Err(DicomFault::unread(format!("it has {allocated}-bit samples{note}")));
    }
    if stored == 0 || high >= allocated || high + 1 < stored {
        let text = format!("its samples cannot have {stored} bits up to bit {high} of {allocated}");
        return Err(DicomFault::Damaged(text));
    }
    if compression == PixelCompression::Jpeg && (allocated, stored, layout.signed) != (8, 8, false) {
        return Err(DicomFault::unread("its JPEG has samples of other than 8 bits"));
    }
    Ok(())
}

/// Meaning of samples by the photometric interpretation.
fn colours(
    photometric: &str,
    layout: &SampleLayout,
    attributes: &DicomAttributes<'_>,
) -> Result<DicomColours, DicomFault> {
    let found = match photometric {
        "MONOCHROME1" | "MONOCHROME2" => {
            DicomColours::Grey(GreyScale::read(attributes, layout, photometric == "MONOCHROME1")?)
        }
        "PALETTE COLOR" if attributes.syntax.pixels == PixelCompression::Jpeg => {
            return Err(DicomFault::unread("it has a palette, whose indices JPEG blurs"));
        }
        "PALETTE COLOR" => DicomColours::Palette(DicomPalette::read(attributes, layout)?),
        "RGB" => DicomColours::Rgb,
        "YBR_FULL" | "YBR_FULL_422" => DicomColours::Ybr,
        "YBR_PARTIAL_422" | "YBR_PARTIAL_420" | "YBR_ICT" | "YBR_RCT" | "HSV" | "ARGB" | "CMYK" | "XYB" => {
            return Err(DicomFault::unread(format!("it has colours of the kind {photometric}")));
        }
        "" => return Err(DicomFault::Damaged("it does not state what its samples mean".to_owned())),
        _ => return Err(DicomFault::unread("it has colours of an unknown kind")),
    };
    let is_grey = matches!(found, DicomColours::Grey(_) | DicomColours::Palette(_));
    if layout.samples != if is_grey { 1 } else { 3 } {
        return Err(DicomFault::unread(format!("it has {} samples per pixel with {photometric}", layout.samples)));
    }
    if !is_grey && (layout.allocated, layout.stored, layout.signed) != (8, 8, false) {
        let bits = layout.stored;
        let kind = if layout.signed { "signed " } else { "" };
        return Err(DicomFault::unread(format!("it has colours of {bits} {kind}bits")));
    }
    if layout.halved && (layout.planar || !layout.size.0.is_multiple_of(2)) {
        return Err(DicomFault::unread("it has YBR_FULL_422 in planes, or of an odd width"));
    }
    Ok(found)
}

/// Whether pixels are as wide as high, as far as the file says.
fn has_square_pixels(attributes: &DicomAttributes<'_>) -> bool {
    // Height and width, each.
    let stated = [tag::ASPECT, tag::SPACING, tag::IMAGER_SPACING].into_iter().find_map(|tag| attributes.numbers(tag));
    match stated.as_deref() {
        Some([height, width]) if *height > 0.0 && *width > 0.0 => (height / width - 1.0).abs() <= SQUARE,
        _ => true,
    }
}

fn guess() -> DicomFault {
    let reason = "it looks like a DICOM without file meta information, and its encoding is not certain".to_owned();
    DicomFault::Unread { reason, hint: Some(WITH_META) }
}
