//! PNG encoder with fixed settings, so that the same pixels give the same bytes everywhere.

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};

/// Pixel format of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PixelFormat {
    /// One byte per pixel.
    Grey,
    /// Two bytes per pixel, in native byte order.
    Grey16,
    /// Red, green and blue, one byte each.
    Rgb,
}

/// RGB pixels of a PNG written by macula, and its width and height, px.
///
/// # Errors
/// If the bytes are not a PNG.
pub(super) fn pixels(bytes: &[u8]) -> Result<(Vec<u8>, (usize, usize)), String> {
    let picture = image::load_from_memory_with_format(bytes, image::ImageFormat::Png).map_err(|e| e.to_string())?;
    let size = (picture.width() as usize, picture.height() as usize);
    Ok((picture.into_rgb8().into_raw(), size))
}

/// Encodes `width` x `height` pixels, row by row from the top. Fast rather than small, since these files are soon decoded again.
/// A golden digest guards the encoder.
///
/// # Panics
/// If the length of `pixels` does not match width, height and format (a bug in the caller).
#[must_use]
pub fn png(pixels: &[u8], width: u32, height: u32, samples: PixelFormat) -> Vec<u8> {
    let (colour, bytes) = match samples {
        PixelFormat::Grey => (ExtendedColorType::L8, 1),
        PixelFormat::Grey16 => (ExtendedColorType::L16, 2),
        PixelFormat::Rgb => (ExtendedColorType::Rgb8, 3),
    };
    assert_eq!(pixels.len(), width as usize * height as usize * bytes, "pixels of a {width} x {height} picture");
    let mut out = Vec::new();
    let encoder = PngEncoder::new_with_quality(&mut out, CompressionType::Fast, FilterType::Up);
    encoder.write_image(pixels, width, height, colour).expect("a vector takes all bytes, and the size is right");
    out
}
