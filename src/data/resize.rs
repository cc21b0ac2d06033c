//! Photographs of another size.

use image::imageops::{FilterType, resize};
use image::{ImageBuffer, Rgb};

use super::decode::Photograph;

/// A photograph whose longest side is `side` px, resized with a triangle filter (bilinear with antialiasing, as in PIL and torchvision).
#[must_use]
pub fn resized(photograph: &Photograph, side: usize) -> Photograph {
    let longest = photograph.width.max(photograph.height).max(1);
    let scaled = |length: usize| ((length * side + longest / 2) / longest).max(1);
    let (width, height) = (scaled(photograph.width), scaled(photograph.height));
    let whole: Option<ImageBuffer<Rgb<u8>, &[u8]>> =
        ImageBuffer::from_raw(photograph.width as u32, photograph.height as u32, &photograph.rgb[..]);
    let small = whole.map(|whole| resize(&whole, width as u32, height as u32, FilterType::Triangle));
    Photograph { width, height, rgb: small.map_or_else(Vec::new, ImageBuffer::into_raw) }
}
