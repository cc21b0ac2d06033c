//! Local mean subtraction (Graham 2015, Kaggle's diabetic retinopathy competition): gain x (v - mean) + 128.

use super::{Photograph, is_light};

/// Replaces each channel by `gain` times its difference from the local mean, plus 128. The mean is weighted by a Gaussian of standard
/// deviation `sigma` px, approximated by three box filters (Wells 1986), over the field of view only, so its rim gets no halo. Pixels
/// outside the field of view become black.
pub fn local_mean(photograph: &mut Photograph, sigma: f64, gain: f64) {
    let (width, height) = (photograph.width, photograph.height);
    // Three boxes of width 2 r + 1 have variance r (r + 1).
    let radius = ((sigma * sigma + 0.25).sqrt() - 0.5).round().max(1.0) as usize;
    let (pixels, _) = photograph.rgb.as_chunks::<3>();
    let inside: Vec<bool> = pixels.iter().map(|pixel| is_light(*pixel)).collect();
    let blurred = |plane: &mut dyn Iterator<Item = f32>| {
        let mut plane: Vec<f32> = plane.collect();
        for _ in 0..3 {
            box_mean(&mut plane, width, height, radius);
        }
        plane
    };
    let weight = blurred(&mut inside.iter().map(|&inside| f32::from(u8::from(inside))));
    for c in 0..3 {
        let (pixels, _) = photograph.rgb.as_chunks::<3>();
        let channel = &mut pixels.iter().zip(&inside).map(|(p, &inside)| if inside { f32::from(p[c]) } else { 0.0 });
        let mean = blurred(channel);
        for ((value, inside), (mean, weight)) in
            photograph.rgb[c..].iter_mut().step_by(3).zip(&inside).zip(mean.iter().zip(&weight))
        {
            let local = f64::from(*mean) / f64::from(*weight);
            let new = gain * (f64::from(*value) - local) + 128.0;
            *value = if *inside { (new + 0.5).clamp(0.0, 255.0) as u8 } else { 0 };
        }
    }
}

/// Mean over a square of side 2 `radius` + 1, with zeros outside. Running sums in a fixed order.
fn box_mean(plane: &mut [f32], width: usize, height: usize, radius: usize) {
    let side = (2 * radius + 1) as f64;
    let mut line = vec![0.0_f32; width];
    for row in plane.chunks_exact_mut(width) {
        line.copy_from_slice(row);
        let mut sum: f64 = line[..radius.min(width)].iter().map(|&value| f64::from(value)).sum();
        for (x, out) in row.iter_mut().enumerate() {
            sum += line.get(x + radius).map_or(0.0, |&value| f64::from(value));
            *out = (sum / side) as f32;
            sum -= x.checked_sub(radius).map_or(0.0, |x| f64::from(line[x]));
        }
    }
    let old = plane.to_vec();
    let row = |y: usize| &old[y * width..][..width];
    let mut sums = vec![0.0_f64; width];
    (0..radius.min(height))
        .for_each(|y| sums.iter_mut().zip(row(y)).for_each(|(sum, &value)| *sum += f64::from(value)));
    for (y, out) in plane.chunks_exact_mut(width).enumerate() {
        if y + radius < height {
            sums.iter_mut().zip(row(y + radius)).for_each(|(sum, &value)| *sum += f64::from(value));
        }
        out.iter_mut().zip(&sums).for_each(|(out, &sum)| *out = (sum / side) as f32);
        if let Some(y) = y.checked_sub(radius) {
            sums.iter_mut().zip(row(y)).for_each(|(sum, &value)| *sum -= f64::from(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_field_becomes_grey_up_to_its_rim_and_stays_black_outside() {
        let mut photograph = Photograph { width: 40, height: 30, rgb: vec![0; 40 * 30 * 3] };
        for (x, y) in (5..35).flat_map(|x| (5..25).map(move |y| (x, y))) {
            photograph.rgb[(y * 40 + x) * 3..][..3].copy_from_slice(&[120, 60, 30]);
        }
        photograph.rgb[(15 * 40 + 20) * 3] = 140;
        local_mean(&mut photograph, 3.0, 4.0);
        let (pixels, _) = photograph.rgb.as_chunks::<3>();
        assert_eq!(pixels[0], [0, 0, 0]);
        assert_eq!(pixels[5 * 40 + 5], [128, 128, 128], "no halo at the rim");
        assert!(pixels[15 * 40 + 20][0] > 200, "a bright spot stands out");
    }
}
