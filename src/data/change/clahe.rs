//! Contrast-limited adaptive histogram equalisation (Zuiderveld 1994) on lightness.

use super::Photograph;

/// Equalises lightness within `tiles` x `tiles` tiles. Bins of a tile's histogram are clipped at `clip` times the mean bin, and the
/// excess is spread over all bins. Lightness is (77 R + 150 G + 29 B) / 256, rounded; red, green and blue are scaled by one factor,
/// so hue is kept. Black stays black.
pub fn clahe(photograph: &mut Photograph, tiles: usize, clip: f64) {
    let (width, height) = (photograph.width, photograph.height);
    let tiles_along = |length: usize| tiles.min(length).max(1);
    let (across, down) = (tiles_along(width), tiles_along(height));
    let start = |i: usize, length: usize, tiles: usize| i * length / tiles;
    let lightness: Vec<u8> = photograph.rgb.as_chunks::<3>().0.iter().map(|&pixel| light(pixel)).collect();
    let mut curves = Vec::with_capacity(across * down);
    for (i, j) in (0..down).flat_map(|i| (0..across).map(move |j| (i, j))) {
        let mut histogram = [0_u64; 256];
        for y in start(i, height, down)..start(i + 1, height, down) {
            for x in start(j, width, across)..start(j + 1, width, across) {
                histogram[usize::from(lightness[y * width + x])] += 1;
            }
        }
        curves.push(curve(&mut histogram, clip));
    }
    // Position of a pixel between the centres of two tiles: the first tile, and the weight of the second.
    let between = |length: usize, tiles: usize| -> Vec<(usize, f32)> {
        let place = |at: usize| {
            let place = ((at as f32 + 0.5) * tiles as f32 / length as f32 - 0.5).clamp(0.0, tiles as f32 - 1.0);
            let first = (place as usize).min(tiles.saturating_sub(2));
            (first, place - first as f32)
        };
        (0..length).map(place).collect()
    };
    let (columns, rows) = (between(width, across), between(height, down));
    for (y, &(top, lower)) in rows.iter().enumerate() {
        let bottom = (top + 1).min(down - 1);
        let row = &mut photograph.rgb[y * width * 3..][..width * 3];
        for (x, (pixel, &(left, more))) in row.as_chunks_mut::<3>().0.iter_mut().zip(&columns).enumerate() {
            let right = (left + 1).min(across - 1);
            let old = lightness[y * width + x];
            let of = |i: usize, j: usize| f32::from(curves[i * across + j][usize::from(old)]);
            let upper = of(top, left) * (1.0 - more) + of(top, right) * more;
            let under = of(bottom, left) * (1.0 - more) + of(bottom, right) * more;
            let new = (upper * (1.0 - lower) + under * lower + 0.5) as u32;
            let old = u32::from(old).max(1);
            // No channel may exceed white, or the hue would change.
            let peak = pixel.iter().map(|&value| u32::from(value)).fold(1, u32::max);
            let (new, old) = if peak * new > 255 * old { (255, peak) } else { (new, old) };
            *pixel = pixel.map(|value| ((2 * u32::from(value) * new + old) / (2 * old)).min(255) as u8);
        }
    }
}

fn light([r, g, b]: [u8; 3]) -> u8 {
    ((77 * u32::from(r) + 150 * u32::from(g) + 29 * u32::from(b) + 128) >> 8).min(255) as u8
}

/// New lightness for each old one.
fn curve(histogram: &mut [u64; 256], clip: f64) -> [u8; 256] {
    let all: u64 = histogram.iter().sum();
    let limit = ((clip * all as f64 / 256.0) as u64).max(1);
    let cut: u64 = histogram.iter().map(|count| count.saturating_sub(limit)).sum();
    let mut below = 0;
    std::array::from_fn(|value| {
        // The excess is spread evenly; the remainder goes to the lowest bins.
        let spread = cut / 256 + u64::from((value as u64) < cut % 256);
        below += histogram[value].min(limit) + spread;
        ((2 * 255 * below + all) / (2 * all).max(1)).min(255) as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_faint_ramp_gains_contrast_within_the_limit() {
        let rgb = (0..64 * 64).flat_map(|i| [100 + (i % 64 / 8) as u8; 3]).collect();
        let mut photograph = Photograph { width: 64, height: 64, rgb };
        clahe(&mut photograph, 1, 100.0);
        let row: Vec<u8> = photograph.row(0).iter().step_by(24).copied().collect();
        assert!(row.is_sorted() && row[7] - row[0] > 200, "{row:?}");
        let rgb = (0..64 * 64).flat_map(|i| [100 + (i % 64 / 8) as u8; 3]).collect();
        let mut limited = Photograph { width: 64, height: 64, rgb };
        clahe(&mut limited, 1, 1.0);
        let row: Vec<u8> = limited.row(0).iter().step_by(24).copied().collect();
        assert!(row.is_sorted() && row[7] - row[0] < 20, "clip 1 leaves next to no change: {row:?}");
    }

    #[test]
    fn black_stays_black_and_hue_stays() {
        let mut photograph = Photograph { width: 8, height: 8, rgb: [[0, 0, 0], [60, 30, 10]].concat().repeat(32) };
        clahe(&mut photograph, 2, 4.0);
        let (pixels, _) = photograph.rgb.as_chunks::<3>();
        assert_eq!(pixels[0], [0, 0, 0]);
        let [r, g, b] = pixels[1].map(i32::from);
        assert!((r - 2 * g).abs() <= 1 && (r - 6 * b).abs() <= 4, "{r} {g} {b}");
    }
}
