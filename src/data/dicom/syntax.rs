//! Transfer syntaxes of DICOM (PS3.5, annex A): how elements are encoded, and how pixels are compressed. Those that are not read have a name,
//! and a way out.

use super::DicomFault;
use super::elements::ElementEncoding;

/// How a file is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TransferSyntax {
    /// Encoding of its elements.
    pub(super) elements: ElementEncoding,
    /// Whether its elements are deflated.
    pub(super) deflated: bool,
    /// Compression of its pixels.
    pub(super) pixels: PixelCompression,
}

/// Compression of pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PixelCompression {
    /// None.
    Native,
    /// JPEG with 8 bits.
    Jpeg,
    /// Run lengths (PS3.5, annex G).
    RunLengths,
}

/// Root of the identifiers of transfer syntaxes.
const ROOT: &str = "1.2.840.10008.1.2";

/// Decompresses what GDCM knows.
const GDCM: &str = "decompress it with `gdcmconv --raw IN.dcm OUT.dcm` (GDCM)";

/// Decompresses JPEG.
const DCMTK: &str = "decompress it with `dcmdjpeg IN.dcm OUT.dcm` (DCMTK) or `gdcmconv --raw IN.dcm OUT.dcm` (GDCM)";

/// Decompresses JPEG-LS.
const DCMTK_LS: &str = "decompress it with `dcmdjpls IN.dcm OUT.dcm` (DCMTK) or `gdcmconv --raw IN.dcm OUT.dcm` (GDCM)";

/// For what few programs know.
const PLAIN: &str = "save it uncompressed (transfer syntax 1.2.840.10008.1.2.1)";

/// For videos.
const VIDEO: &str = "save the intended frame as a file of its own";

/// Transfer syntaxes that are not read: last part of their identifiers from and to, name, and what to do.
const UNREAD: [(u32, u32, &str, &str); 9] = [
    (52, 56, "a retired kind of JPEG", DCMTK),
    (57, 57, "lossless JPEG", DCMTK),
    (58, 66, "a retired kind of JPEG", DCMTK),
    (70, 70, "lossless JPEG", DCMTK),
    (80, 81, "JPEG-LS", DCMTK_LS),
    (90, 93, "JPEG 2000", GDCM),
    (100, 108, "a video", VIDEO),
    (110, 112, "JPEG XL", PLAIN),
    (201, 203, "high-throughput JPEG 2000", PLAIN),
];

impl TransferSyntax {
    /// Of elements in this encoding, and uncompressed pixels.
    pub(super) const fn native(elements: ElementEncoding) -> Self {
        Self { elements, deflated: false, pixels: PixelCompression::Native }
    }

    /// The transfer syntax with this identifier.
    ///
    /// # Errors
    /// One that is not read.
    pub(super) fn of(identifier: &str) -> Result<Self, DicomFault> {
        let explicit = ElementEncoding::META;
        let unread = |name: &str, hint| {
            let reason = format!("its pixels are {name} (transfer syntax {identifier})");
            Err(DicomFault::Unread { reason, hint: Some(hint) })
        };
        let Some(last) = identifier.strip_prefix(ROOT) else {
            let reason = "it has a private transfer syntax".to_owned();
            return Err(DicomFault::Unread { reason, hint: Some(PLAIN) });
        };
        Ok(match last {
            "" => Self::native(ElementEncoding { explicit: false, big: false }),
            ".1" => Self::native(explicit),
            ".2" => Self::native(ElementEncoding { explicit: true, big: true }),
            ".1.99" => Self { deflated: true, ..Self::native(explicit) },
            ".4.50" | ".4.51" => Self { pixels: PixelCompression::Jpeg, ..Self::native(explicit) },
            ".5" => Self { pixels: PixelCompression::RunLengths, ..Self::native(explicit) },
            other => {
                let number = other.strip_prefix(".4.").and_then(|number| number.parse::<u32>().ok());
                let known =
                    number.and_then(|number| UNREAD.iter().find(|(from, to, ..)| (*from..=*to).contains(&number)));
                return match known {
                    Some((_, _, name, hint)) => unread(name, hint),
                    None if is_identifier(identifier) => unread("of an unknown kind", PLAIN),
                    None => Err(DicomFault::Damaged("its transfer syntax cannot be read".to_owned())),
                };
            }
        })
    }
}

/// Whether a text is an identifier (digits and dots), so that a message may contain it.
fn is_identifier(text: &str) -> bool {
    text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_read_is_named_with_a_way_out() {
        for (identifier, name, hint) in [
            ("1.2.840.10008.1.2.4.70", "lossless JPEG", "dcmdjpeg"),
            ("1.2.840.10008.1.2.4.80", "JPEG-LS", "dcmdjpls"),
            ("1.2.840.10008.1.2.4.90", "JPEG 2000", "gdcmconv"),
            ("1.2.840.10008.1.2.4.102", "video", "frame"),
            ("1.2.840.10008.1.2.4.201", "high-throughput", "1.2.840.10008.1.2.1"),
            ("1.2.840.10008.1.2.77", "unknown", "1.2.840.10008.1.2.1"),
        ] {
            let Err(DicomFault::Unread { reason, hint: Some(told) }) = TransferSyntax::of(identifier) else {
                panic!("{identifier} is read")
            };
            assert!(reason.contains(name) && reason.contains(identifier) && told.contains(hint), "{reason}; {told}");
        }
        // A text that is not an identifier may be anything, and is not repeated.
        for odd in ["1.2.840.10008.1.2.MUSTER^MAX", "MUSTER^MAX"] {
            assert!(!format!("{:?}", TransferSyntax::of(odd)).contains("MUSTER"));
        }
    }
}
