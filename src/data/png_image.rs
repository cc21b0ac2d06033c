//! Pictures that macula itself makes: PNG with fixed settings, so that the same pixels are the same bytes everywhere.

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};

/// How the samples of a picture lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PixelFormat {
    /// One byte a pixel.
    Grey,
    /// Two bytes a pixel, in the byte order of this machine.
    Grey16,
    /// Red, green and blue, a byte each.
    Rgb,
}

/// Red, green and blue of a PNG of macula's own, and its width and height, px.
///
/// # Errors
/// Where the bytes are no PNG.
pub(super) fn pixels(bytes: &[u8]) -> Result<(Vec<u8>, (usize, usize)), String> {
    let picture = image::load_from_memory_with_format(bytes, image::ImageFormat::Png).map_err(|e| e.to_string())?;
    let size = (picture.width() as usize, picture.height() as usize);
    Ok((picture.into_rgb8().into_raw(), size))
}

/// The PNG of a picture of `width` x `height` pixels, row by row from the top. Fast rather than small: these files are
/// decoded again soon. A golden digest guards the encoder.
///
/// # Panics
/// Where `pixels` is not as long as width, height and samples say: a defect of the caller.
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
