//! Photographs of another size.

use image::imageops::{FilterType, resize};
use image::{ImageBuffer, Rgb};

use super::decode::Photograph;

/// A photograph whose longest side is `side` px, resized with a triangle filter (bilinear with antialiasing, as in PIL and torchvision).
///
/// [`size_of`] is its size.
#[must_use]
pub fn resized(photograph: &Photograph, side: usize) -> Photograph {
    let [width, height] = size_of(photograph, side);
    let whole: Option<ImageBuffer<Rgb<u8>, &[u8]>> =
        ImageBuffer::from_raw(photograph.width as u32, photograph.height as u32, &photograph.rgb[..]);
    let small = whole.map(|whole| resize(&whole, width as u32, height as u32, FilterType::Triangle));
    Photograph { width, height, rgb: small.map_or_else(Vec::new, ImageBuffer::into_raw) }
}

/// Width and height of [`resized`], px.
#[must_use]
pub fn size_of(photograph: &Photograph, side: usize) -> [usize; 2] {
    let longest = photograph.width.max(photograph.height).max(1);
    [photograph.width, photograph.height].map(|length| ((length * side + longest / 2) / longest).max(1))
}
