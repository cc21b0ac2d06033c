//! Codes of photographs whose files say more than pixels: colour profiles, and headers of DICOM.

use super::Page;
use super::stages::found;

pub(super) const PAGES: &[Page] = &[
    found(
        "colour-profile",
        "Photographs have a colour profile other than sRGB: in an ICC profile, in a PNG's gAMA, cHRM or cICP, or by the Adobe RGB mark of a camera. Profiles are \
         not applied, so red, green and blue are those of the file. That is harmless if all photographs have the same profile, also those that are \
         predicted later. If profiles are mixed, the same tissue has other values, and a network may tell the cameras apart.",
        "Convert all photographs to sRGB, for example with ImageMagick: `magick IN -profile sRGB.icc OUT`.",
    ),
    found(
        "no-window",
        "A DICOM has grey values of more than 8 bits, and does not state which of them to show. Black is the least value that its bits can hold, and \
         white the greatest, so it may be dark or pale.",
        "If it is, set a window in the file (Window Center, Window Width), or convert it with one (`dcm2pnm +Wi 1`).",
    ),
    found(
        "pixel-aspect",
        "The pixels of a DICOM are not as wide as high, by its pixel aspect ratio or spacing. They are read as squares, so lesions are stretched.",
        "Resample the photographs and their masks to square pixels. If the spacing is not that of the photograph, nothing needs to be done.",
    ),
    found(
        "burned-in-text",
        "A DICOM states that its pixels contain text (Burned In Annotation is YES), such as the name of a patient. What is in the pixels is \
         in everything that shows them: patches, reports, pages.",
        "Look at the photographs, and crop or blacken the text before you pass on any result.",
    ),
];
