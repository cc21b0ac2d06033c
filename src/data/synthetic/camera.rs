//! The camera: illumination, focus, noise, and the black background.

use super::anatomy::RetinaPoint;
use super::framing::Framing;
use super::noise::{Lattice, nearly_normal};
use super::retina_image::RetinaImage;
use super::{between, smoothstep};
use crate::base::random::Stream;

/// Applies illumination, focus, noise and background, and quantises to 8 bits.
pub(super) fn expose(mut canvas: RetinaImage, framing: &Framing, stream: &mut Stream) -> Vec<u8> {
    let size = framing.size;
    illuminate(&mut canvas, framing, stream);
    let scale = size as f32 / 640.0;
    let grain = between(stream, 0.010, 0.021);
    for pixel in &mut canvas.pixels {
        // Coarse grain is added before the lens blur, fine grain after it: real noise is a mixture, as is its colour.
        let shared = nearly_normal(stream);
        *pixel = pixel.map(|level| level + grain * 1.6 * shared * (0.3 + level));
    }
    blur(&mut canvas.pixels, size, (between(stream, 0.55, 1.15) * scale).max(0.45));

    let edge_px = (between(stream, 1.2, 2.6) * scale).max(0.8);
    let surround = between(stream, 0.001, 0.010);
    let mut rgb = Vec::with_capacity(size * size * 3);
    for (at, pixel) in canvas.pixels.iter().enumerate() {
        let (x, y) = (at % size, at / size);
        let out_px = (framing.off_centre(x as f32 + 0.5, y as f32 + 0.5) - 1.0) * framing.radius_px;
        let field = 1.0 - smoothstep(-edge_px, edge_px, out_px);
        // One 64-bit draw serves the three channels: sums of two 10-bit draws each (triangular, standard deviation 1/sqrt(6)).
        let bits = stream.bits();
        for (channel, level) in pixel.iter().enumerate() {
            let draw = (bits >> (20 * channel) & 0x3ff) + (bits >> (20 * channel + 10) & 0x3ff);
            let noise = (draw as f32 / 1023.0 - 1.0) * 2.45;
            let level = level.max(0.0) * field + surround * (1.0 - field);
            let noisy = level + noise * grain * (0.16 + level.min(1.0) * 0.9);
            rgb.push((noisy * 255.0 + 0.5).clamp(0.0, 255.0) as u8);
        }
    }
    rgb
}

/// Illumination falls off towards the rim, more on one side than the other; some photographs have haze at part of the rim.
fn illuminate(canvas: &mut RetinaImage, framing: &Framing, stream: &mut Stream) {
    let size = framing.size;
    let clouds = Lattice::draw(stream);
    let falloff = between(stream, 0.14, 0.36);
    let tilt = RetinaPoint::unit(between(stream, 0.0, std::f32::consts::TAU));
    let slope = between(stream, 0.03, 0.17);
    let exposure = between(stream, 0.90, 1.08);
    let haze_at = RetinaPoint::unit(between(stream, 0.0, std::f32::consts::TAU));
    let haze = if stream.chance(0.45) { between(stream, 0.08, 0.30) } else { 0.0 };
    let warmth = between(stream, -0.03, 0.03);
    for (at, pixel) in canvas.pixels.iter_mut().enumerate() {
        let (x, y) = ((at % size) as f32 + 0.5, (at / size) as f32 + 0.5);
        let from = RetinaPoint::new(x, y).minus(framing.centre_px);
        let from = RetinaPoint::new(from.x / framing.radius_px, from.y / framing.radius_px);
        let r2 = from.dot(from).min(1.3);
        let patchy = 0.07 * clouds.octaves(from.x * 1.5 + 9.0, from.y * 1.5 + 9.0, 2);
        let light = exposure * (1.0 - falloff * r2 * (0.35 + 0.65 * r2) + slope * from.dot(tilt) + patchy);
        let fog = haze * smoothstep(0.55, 1.05, from.dot(haze_at) + 0.12 * (r2 - 1.0));
        let tint = [1.0 + warmth, 1.0, 1.0 - warmth];
        for ((level, tint), fog_colour) in pixel.iter_mut().zip(tint).zip([0.80, 0.66, 0.36]) {
            *level = (*level * light * tint) * (1.0 - fog) + fog_colour * fog;
        }
    }
}

/// Separable Gaussian blur, truncated at three standard deviations, with edges replicated.
fn blur(pixels: &mut Vec<[f32; 3]>, size: usize, deviation_px: f32) {
    let reach = (3.0 * deviation_px).ceil() as usize;
    let weights: Vec<f32> =
        (0..=reach).map(|d| libm::expf(-0.5 * (d as f32 / deviation_px) * (d as f32 / deviation_px))).collect();
    let total = weights[0] + 2.0 * weights[1..].iter().sum::<f32>();
    let weights: Vec<f32> = weights.iter().map(|w| w / total).collect();
    // Two passes along rows with a transposed result: the second runs along the columns and restores the layout.
    for _ in 0..2 {
        let mut out = vec![[0.0; 3]; pixels.len()];
        let mut padded = vec![[0.0; 3]; size + 2 * reach];
        for (y, row) in pixels.chunks_exact(size).enumerate() {
            padded[..reach].fill(row[0]);
            padded[reach..reach + size].copy_from_slice(row);
            padded[reach + size..].fill(row[size - 1]);
            for x in 0..size {
                let centre = x + reach;
                let mut sum = padded[centre].map(|level| level * weights[0]);
                for (d, weight) in weights.iter().enumerate().skip(1) {
                    for (channel, sum) in sum.iter_mut().enumerate() {
                        *sum += weight * (padded[centre - d][channel] + padded[centre + d][channel]);
                    }
                }
                out[x * size + y] = sum;
            }
        }
        *pixels = out;
    }
}

/// Clears masks outside the field of view.
pub(super) fn outside_is_unseen(masks: &mut [Vec<u8>; 4], framing: &Framing) {
    for mask in masks {
        for (at, value) in mask.iter_mut().enumerate() {
            let (x, y) = ((at % framing.size) as f32 + 0.5, (at / framing.size) as f32 + 0.5);
            if *value != 0 && framing.off_centre(x, y) > 1.0 {
                *value = 0;
            }
        }
    }
}
