//! Pixel statistics of a patch: sums, squares and a grey-level histogram. Integer arithmetic, so all code paths agree.

/// Number of pixels processed together, so that the compiler keeps their sums in vector registers.
const TOGETHER: usize = 16;

/// Number of interleaved histograms, so that equal neighbouring values do not stall on one counter.
const TURNS: usize = 8;

/// Sums, squares and a histogram over pixels (red, green, blue; u8).
#[derive(Clone, Debug)]
pub struct PixelCounts {
    sums: [u64; 3],
    squares: [u64; 3],
    histograms: Box<[[u32; 256]; TURNS]>,
    pixels: u64,
}

impl Default for PixelCounts {
    fn default() -> Self {
        Self { sums: [0; 3], squares: [0; 3], histograms: Box::new([[0; 256]; TURNS]), pixels: 0 }
    }
}

impl PixelCounts {
    /// Resets all counts.
    pub fn clear(&mut self) {
        (self.sums, self.squares, self.pixels) = ([0; 3], [0; 3], 0);
        self.histograms.as_flattened_mut().fill(0);
    }

    /// Adds consecutive pixels.
    pub fn add(&mut self, pixels: &[u8]) {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") {
            #[expect(unsafe_code, reason = "a call guarded by feature detection")]
            // SAFETY: this processor has AVX2.
            let rest = unsafe { avx2::add(self, pixels) };
            return self.add_portable(rest);
        }
        self.add_portable(pixels);
    }

    fn add_portable(&mut self, pixels: &[u8]) {
        self.pixels += pixels.len() as u64 / 3;
        let (blocks, rest) = pixels.as_chunks::<{ 3 * TOGETHER }>();
        // A block adds at most 255 to each of 48 lanes: 256 blocks (4096 pixels) fit 16 bits.
        for blocks in blocks.chunks(256) {
            let (mut sums, mut squares) = ([0_u16; 3 * TOGETHER], [0_u32; 3 * TOGETHER]);
            for block in blocks {
                for lane in 0..3 * TOGETHER {
                    sums[lane] += u16::from(block[lane]);
                    squares[lane] += u32::from(u16::from(block[lane]) * u16::from(block[lane]));
                }
            }
            for lane in 0..3 * TOGETHER {
                self.sums[lane % 3] += u64::from(sums[lane]);
                self.squares[lane % 3] += u64::from(squares[lane]);
            }
        }
        for (lane, &value) in rest.iter().enumerate() {
            self.sums[lane % 3] += u64::from(value);
            self.squares[lane % 3] += u64::from(value) * u64::from(value);
        }
        for pixels in pixels.as_chunks::<3>().0.chunks(TURNS) {
            for (histogram, pixel) in self.histograms.iter_mut().zip(pixels) {
                histogram[grey(*pixel)] += 1;
            }
        }
    }

    /// Mean of red, green and blue.
    #[must_use]
    pub fn mean(&self) -> [f32; 3] {
        self.sums.map(|sum| (sum as f64 / self.pixels as f64) as f32)
    }

    /// Population standard deviation of red, green and blue.
    #[must_use]
    pub fn deviation(&self) -> [f32; 3] {
        let n = u128::from(self.pixels);
        let of = |c: usize| {
            // Exact in integers until the root: n^2 variance = n sum(v^2) - sum(v)^2.
            let spread = n * u128::from(self.squares[c]) - u128::from(self.sums[c]).pow(2);
            ((spread as f64).sqrt() / n as f64) as f32
        };
        [of(0), of(1), of(2)]
    }

    /// Number of pixels with floor((R+G+B)/3) = 0, 1, … 255.
    #[must_use]
    pub fn histogram(&self) -> [u32; 256] {
        std::array::from_fn(|value| self.histograms.iter().map(|histogram| histogram[value]).sum())
    }
}

/// 2^16 / 3 rounded up: `sum * THIRD >> 16` is a third, rounded down, for all sums up to 765.
const THIRD: u16 = 21846;

/// floor((R+G+B)/3).
const fn grey(pixel: [u8; 3]) -> usize {
    (((pixel[0] as usize + pixel[1] as usize + pixel[2] as usize) * THIRD as usize) >> 16) & 0xff
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        __m256i, _mm256_add_epi16, _mm256_add_epi32, _mm256_add_epi64, _mm256_madd_epi16, _mm256_mulhi_epu16,
        _mm256_or_si256, _mm256_packus_epi16, _mm256_sad_epu8, _mm256_set1_epi16, _mm256_setzero_si256,
        _mm256_shuffle_epi8, _mm256_unpackhi_epi8, _mm256_unpacklo_epi8,
    };
    use std::mem::transmute;

    use super::{PixelCounts, THIRD, TURNS};

    /// Pixels per step: 16 in each half of a register.
    const STEP: usize = 32;

    /// `PICK[c][k]`: positions of channel `c` within the `k`th 16 of 48 bytes, by pixel; -1 if the pixel's value is in another 16.
    const PICK: [[[i8; 16]; 3]; 3] = {
        let mut pick = [[[-1; 16]; 3]; 3];
        let mut at = 0;
        while at < 48 {
            pick[at % 3][at / 16][at / 3] = (at % 16) as i8;
            at += 1;
        }
        pick
    };

    /// Adds as many full steps as there are and returns the remaining pixels.
    #[target_feature(enable = "avx2")]
    pub(super) fn add<'a>(counts: &mut PixelCounts, pixels: &'a [u8]) -> &'a [u8] {
        let pick = PICK.map(|channel| {
            channel.map(|sixteen| pair(&sixteen.map(i8::cast_unsigned), &sixteen.map(i8::cast_unsigned)))
        });
        let zero = _mm256_setzero_si256();
        let third = _mm256_set1_epi16(THIRD as i16);
        let (steps, rest) = pixels.as_chunks::<{ 3 * STEP }>();
        // A step adds at most 4 x 255^2 to each of 8 lanes of the squares: 2^14 steps fit 32 bits.
        for steps in steps.chunks(1 << 14) {
            let (mut sums, mut squares) = ([zero; 3], [zero; 3]);
            for step in steps {
                let (sixteens, _) = step.as_chunks::<16>();
                let bytes = [0, 1, 2].map(|k| pair(&sixteens[k], &sixteens[k + 3]));
                let (mut low, mut high) = (zero, zero);
                for c in 0..3 {
                    let parts = [0, 1, 2].map(|k| _mm256_shuffle_epi8(bytes[k], pick[c][k]));
                    let values = _mm256_or_si256(_mm256_or_si256(parts[0], parts[1]), parts[2]);
                    sums[c] = _mm256_add_epi64(sums[c], _mm256_sad_epu8(values, zero));
                    let halves = [_mm256_unpacklo_epi8(values, zero), _mm256_unpackhi_epi8(values, zero)];
                    let both = _mm256_add_epi32(
                        _mm256_madd_epi16(halves[0], halves[0]),
                        _mm256_madd_epi16(halves[1], halves[1]),
                    );
                    squares[c] = _mm256_add_epi32(squares[c], both);
                    (low, high) = (_mm256_add_epi16(low, halves[0]), _mm256_add_epi16(high, halves[1]));
                }
                let grey = _mm256_packus_epi16(_mm256_mulhi_epu16(low, third), _mm256_mulhi_epu16(high, third));
                for eight in to_bytes(grey).as_chunks::<TURNS>().0 {
                    for (histogram, &value) in counts.histograms.iter_mut().zip(eight) {
                        histogram[usize::from(value)] += 1;
                    }
                }
            }
            for c in 0..3 {
                let (wide, narrow) = (to_bytes(sums[c]), to_bytes(squares[c]));
                counts.sums[c] += wide.as_chunks().0.iter().map(|&lane| u64::from_le_bytes(lane)).sum::<u64>();
                let lanes = narrow.as_chunks().0.iter();
                counts.squares[c] += lanes.map(|&lane| u64::from(u32::from_le_bytes(lane))).sum::<u64>();
            }
            counts.pixels += (steps.len() * STEP) as u64;
        }
        rest
    }

    #[inline]
    fn pair(low: &[u8; 16], high: &[u8; 16]) -> __m256i {
        #[expect(unsafe_code, reason = "std has no safe way into a register")]
        // SAFETY: both types are 32 plain bytes of which every value is valid.
        unsafe {
            transmute([*low, *high])
        }
    }

    #[inline]
    fn to_bytes(lanes: __m256i) -> [u8; 32] {
        #[expect(unsafe_code, reason = "std has no safe way out of a register")]
        // SAFETY: both types are 32 plain bytes of which every value is valid.
        unsafe {
            transmute(lanes)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn grey_is_the_rounded_down_mean() {
        for sum in 0..=765_usize {
            let pixel = [sum.min(255), sum.saturating_sub(255).min(255), sum.saturating_sub(510)].map(|v| v as u8);
            assert_eq!(grey(pixel), sum / 3);
        }
    }

    proptest! {
        #[test]
        fn every_path_counts_what_counting_one_by_one_gives(
            rows in prop::collection::vec(prop::collection::vec(any::<[u8; 3]>(), 0..200), 1..4), white in any::<bool>(),
        ) {
            let (mut fast, mut portable) = (PixelCounts::default(), PixelCounts::default());
            let (mut sums, mut squares, mut histogram, mut pixels) = ([0_u64; 3], [0_u64; 3], [0; 256], 0);
            for row in &rows {
                let row: Vec<[u8; 3]> = row.iter().map(|pixel| if white { [255; 3] } else { *pixel }).collect();
                fast.add(row.as_flattened());
                portable.add_portable(row.as_flattened());
                for pixel in &row {
                    pixels += 1;
                    histogram[pixel.iter().map(|&v| usize::from(v)).sum::<usize>() / 3] += 1;
                    for c in 0..3 {
                        sums[c] += u64::from(pixel[c]);
                        squares[c] += u64::from(pixel[c]).pow(2);
                    }
                }
            }
            for counts in [fast, portable] {
                prop_assert_eq!((counts.sums, counts.squares, counts.pixels), (sums, squares, pixels));
                prop_assert_eq!(counts.histogram(), histogram);
            }
        }
    }

    #[test]
    fn a_row_as_long_as_a_photograph_may_be_overflows_nothing() {
        let row = vec![255; 3 * (1 << 20)];
        let mut counts = PixelCounts::default();
        counts.add(&row);
        assert_eq!((counts.mean(), counts.deviation()), ([255.0; 3], [0.0; 3]));
    }
}
