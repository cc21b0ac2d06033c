//! Conversion of deeper samples to 8 bits, by the file's white level. Knows no format.

use image::DynamicImage;

use super::tiff::White;

/// If no 16-bit sample reaches this, the camera had 14 bits or fewer, unless the file says otherwise.
const DARK: u16 = 1 << 14;

/// Red, green and blue in 8 bits, and whether 16-bit samples with a white level of 65535 use so little of their range that the result
/// is almost black.
///
/// # Errors
/// The reason why the white level is unknown.
pub(super) fn rgb8(picture: DynamicImage, white: White) -> Result<(Vec<u8>, bool), String> {
    match &picture {
        DynamicImage::ImageRgb32F(floats) => {
            check_floats(floats.as_raw().iter(), white)?;
            return Ok((scaled_floats(picture, white), false));
        }
        DynamicImage::ImageRgba32F(floats) => {
            check_floats(floats.as_raw().iter().enumerate().filter(|(i, _)| i % 4 < 3).map(|(_, value)| value), white)?;
            return Ok((scaled_floats(picture, white), false));
        }
        _ => {}
    }
    let brightest = match &picture {
        DynamicImage::ImageLuma16(grey) => grey.as_raw().iter().max().copied(),
        DynamicImage::ImageRgb16(rgb) => rgb.as_raw().iter().max().copied(),
        DynamicImage::ImageLumaA16(grey) => grey.as_raw().iter().step_by(2).max().copied(),
        DynamicImage::ImageRgba16(rgb) => rgb.pixels().flat_map(|pixel| pixel.0.into_iter().take(3)).max(),
        _ => None,
    };
    let Some(brightest) = brightest else { return Ok((picture.into_rgb8().into_raw(), false)) };
    let most = match white {
        // PNG samples should fill the full range whatever the camera's depth; some writers do not scale them.
        White::OfBits(bits @ 1..16) if u32::from(brightest) < 1 << bits => (1_u32 << bits) - 1,
        White::Value(most) if most > f64::from(u16::MAX) || f64::from(brightest) > most => {
            return Err(format!("its samples go up to {brightest}, above its white level of {most}"));
        }
        White::Value(most) => most as u32,
        White::Unsaid if (1..DARK).contains(&brightest) => {
            return Err(format!("its 16-bit samples only go up to {brightest}, and it does not state its white level"));
        }
        White::OfBits(_) | White::Unsaid => u32::from(u16::MAX),
    };
    if most == u32::from(u16::MAX) {
        return Ok((picture.into_rgb8().into_raw(), (1..DARK).contains(&brightest)));
    }
    let eight = |value: u16| ((u32::from(value) * 255 + most / 2) / most) as u8;
    Ok((picture.into_rgb16().into_raw().into_iter().map(eight).collect(), false))
}

/// Rejects floating-point samples unless the white level is known: stated by the file, or 1 if all samples lie in 0..=1.
fn check_floats<'f>(values: impl Iterator<Item = &'f f32>, white: White) -> Result<(), String> {
    let (mut least, mut most, mut odd) = (f32::INFINITY, f32::NEG_INFINITY, false);
    for value in values {
        odd |= !value.is_finite();
        (least, most) = (least.min(*value), most.max(*value));
    }
    let end = if let White::Value(end) = white { end } else { 1.0 };
    if odd {
        return Err("some of its floating-point samples are not finite".to_owned());
    }
    if least < 0.0 || f64::from(most) > end {
        return Err(match white {
            White::Value(white) => {
                format!(
                    "its floating-point samples range from {least} to {most}, outside 0 to its white level of {white}"
                )
            }
            _ => format!(
                "its floating-point samples range from {least} to {most}, and it does not state its white level"
            ),
        });
    }
    Ok(())
}

fn scaled_floats(picture: DynamicImage, white: White) -> Vec<u8> {
    match white {
        White::Value(white) if white != 1.0 => {
            let eight = |value: f32| (f64::from(value) / white * 255.0).round() as u8;
            picture.into_rgb32f().into_raw().into_iter().map(eight).collect()
        }
        _ => picture.into_rgb8().into_raw(),
    }
}
