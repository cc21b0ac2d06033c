//! Lesion pixels of a mask by grey level or colour, and whether the image looks like a mask at all. Knows no format.

use super::{Mask, MaskValues, Threshold};
use crate::data::bitmap::Bitmap;

/// Meaning of an image's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    /// Brightness, from black to white.
    Full,
    /// Class numbers: too few values for brightness.
    Numbers,
}

/// Builder of a mask, pixel by pixel.
pub(super) struct Levels {
    threshold: Threshold,
    scale: Scale,
    /// Value of white.
    most: u16,
    /// Lowest lesion value.
    least: u16,
    lesion: Bitmap,
    /// Pixels above half of white; kept if the pipeline sets no threshold.
    half: Option<Bitmap>,
    seen: Few<[u16; 3]>,
    values: Few<u16>,
    brightest: u16,
    /// Pixels between black and white.
    between: u64,
}

/// Up to three distinct values.
struct Few<T>(Vec<T>);

impl<T: PartialEq> Few<T> {
    fn add(&mut self, thing: T) {
        if self.0.len() < 3 && !self.0.contains(&thing) {
            self.0.push(thing);
        }
    }
}

impl Levels {
    /// A builder of the size of `empty`; `most` is white.
    pub(super) fn new(empty: Bitmap, most: u16, threshold: Threshold, scale: Scale) -> Self {
        Self {
            threshold,
            scale,
            most,
            least: threshold.level(most),
            half: (threshold == Threshold::Automatic && scale == Scale::Full).then(|| empty.clone()),
            lesion: empty,
            seen: Few(Vec::new()),
            values: Few(Vec::new()),
            brightest: 0,
            between: 0,
        }
    }

    /// Adds pixel (x, y) with its colour, and its opacity if there is an alpha channel.
    pub(super) fn add(&mut self, x: usize, y: usize, colour: [u16; 3], alpha: Option<u16>) {
        let brightest = colour[0].max(colour[1]).max(colour[2]);
        // Most pixels are black, and most equal the one before.
        if alpha == Some(0) || brightest == 0 {
            if self.seen.0.first() != Some(&[0; 3]) {
                self.seen.add([0; 3]);
                self.values.add(0);
            }
            return;
        }
        if brightest >= self.least {
            self.lesion.set(x, y);
        }
        if self.threshold != Threshold::Automatic {
            return;
        }
        let value = match alpha {
            Some(alpha) if alpha < self.most => {
                (u32::from(brightest) * u32::from(alpha)).div_ceil(u32::from(self.most)) as u16
            }
            _ => brightest,
        };
        if let Some(half) = self.half.as_mut().filter(|_| value > self.most / 2) {
            half.set(x, y);
        }
        self.brightest = self.brightest.max(value);
        self.between += u64::from(value < self.most);
        if self.seen.0.last() != Some(&colour) {
            self.seen.add(colour);
        }
        if self.values.0.last() != Some(&value) {
            self.values.add(value);
        }
    }

    /// The finished mask. Without a threshold from the pipeline, every value but 0 is lesion; for a mask with more than two values up to
    /// white, whose edges are soft, values from half of white on are.
    pub(super) fn mask(self) -> Mask {
        let pixels = (self.lesion.width() * self.lesion.height()) as u64;
        let many = self.values.0.len() > 2;
        let white = self.brightest == self.most;
        let seen = match self.threshold {
            Threshold::Automatic if many && self.between * 2 > pixels => MaskValues::Photograph,
            Threshold::Automatic if many && self.scale == Scale::Full && white => MaskValues::Soft,
            Threshold::Automatic if self.seen.0.len() > 2 => MaskValues::Many,
            Threshold::Automatic | Threshold::From(_) => MaskValues::Two,
        };
        // What looks like a photograph may be a mask with soft edges throughout.
        let bits = self.half.filter(|_| many && white).unwrap_or(self.lesion);
        Mask { seen, ..Mask::released(bits) }
    }
}
