//! Augmentation: distributions of random transforms, and their application to one stored patch. Knows no network and no order of an
//! epoch.
//!
//! All random numbers are drawn first, always the same number of them, so that enabling one transform does not change the draws of the
//! others. Then follow flips, rotation and shift in one resampling pass, colour, and blur.

mod bilinear;
pub mod blur;
pub mod color;
pub mod geometry;
pub mod mixing;

use serde::{Deserialize, Serialize};

use crate::base::random::Stream;
use crate::stage::{Params, StageError};
use color::Jitter;
use geometry::{Motion, Tables};

/// File name of the augmentation in a tree of views.
pub const RECIPE: &str = "recipe.json";

/// Distribution of the transform drawn for each patch and epoch. All zeros is the identity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Augmentation {
    /// Probability of swapping left and right.
    pub flip_horizontal: f64,
    /// Probability of swapping top and bottom.
    pub flip_vertical: f64,
    /// Probability of swapping rows and columns.
    pub transpose: f64,
    /// Largest angle of rotation, degrees.
    pub rotate_degrees: f64,
    /// Largest shift in x and in y, px.
    pub shift_px: f64,
    /// Fill beyond the stored pixels.
    pub fill: Fill,
    /// Brightness factor from 1-x to 1+x.
    pub brightness: f64,
    /// Contrast factor from 1-x to 1+x.
    pub contrast: f64,
    /// Saturation factor from 1-x to 1+x.
    pub saturation: f64,
    /// Hue shift from -x to x, as a fraction of a full turn.
    pub hue: f64,
    /// Probability of blurring.
    pub blur_probability: f64,
    /// Largest standard deviation of the blur, px.
    pub blur_sigma: f64,
    /// Both parameters of the beta distribution of mixup weights; 0 for no mixup.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub mixup_alpha: f64,
    /// The same for the areas of `CutMix`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cutmix_alpha: f64,
}

/// Fill where rotation or shift leave the stored pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fill {
    /// Reflection about the centres of the outermost pixels.
    Reflect,
    /// Black.
    Black,
}

impl Augmentation {
    /// Identity.
    #[must_use]
    pub fn none() -> Self {
        Self {
            flip_horizontal: 0.0,
            flip_vertical: 0.0,
            transpose: 0.0,
            rotate_degrees: 0.0,
            shift_px: 0.0,
            fill: Fill::Reflect,
            brightness: 0.0,
            contrast: 0.0,
            saturation: 0.0,
            hue: 0.0,
            blur_probability: 0.0,
            blur_sigma: 0.0,
            mixup_alpha: 0.0,
            cutmix_alpha: 0.0,
        }
    }

    /// From the parameters of `augment`.
    ///
    /// # Errors
    /// [`StageError::Bug`] if they do not match the signature.
    pub fn from_params(params: &Params) -> Result<Self, StageError> {
        Ok(Self {
            flip_horizontal: params.real("flip.horizontal")?,
            flip_vertical: params.real("flip.vertical")?,
            transpose: params.real("flip.transpose")?,
            rotate_degrees: params.real("rotate.degrees")?,
            shift_px: params.real("shift.px")?,
            fill: if params.text("fill")? == "black" { Fill::Black } else { Fill::Reflect },
            brightness: params.real("color-jitter.brightness")?,
            contrast: params.real("color-jitter.contrast")?,
            saturation: params.real("color-jitter.saturation")?,
            hue: params.real("color-jitter.hue")?,
            blur_probability: params.real("blur.probability")?,
            blur_sigma: params.real("blur.sigma")?,
            mixup_alpha: params.real_or_none("mixup.alpha")?.unwrap_or(0.0),
            cutmix_alpha: params.real_or_none("cutmix.alpha")?.unwrap_or(0.0),
        })
    }

    /// Whether pixels may move off the grid or out of the patch, so that labels may change.
    #[must_use]
    pub fn moves(&self) -> bool {
        self.rotate_degrees > 0.0 || self.shift_px > 0.0
    }

    /// Margin that a canvas of `canvas` px in the middle of stored patches of `size` px needs, so that no transform leaves the stored
    /// pixels, px.
    #[must_use]
    pub fn reach(&self, canvas: usize, size: usize) -> usize {
        // The corners are widest at 45 degrees.
        let angle = self.rotate_degrees.min(45.0).to_radians();
        let half = canvas as f64 / 2.0 * (libm::sin(angle) + libm::cos(angle));
        libm::ceil(half + self.shift_px - size as f64 / 2.0).max(0.0) as usize
    }

    /// Draws the transform of one patch from the random stream of that patch, copy and epoch.
    #[must_use]
    pub fn draw(&self, stream: &mut Stream) -> Transform {
        let motion = Motion {
            flip_x: stream.chance(self.flip_horizontal),
            flip_y: stream.chance(self.flip_vertical),
            transpose: stream.chance(self.transpose),
            angle: stream.between(-1.0, 1.0) * self.rotate_degrees.to_radians(),
            shift: [stream.between(-1.0, 1.0) * self.shift_px, stream.between(-1.0, 1.0) * self.shift_px],
        };
        let mut factor = |reach: f64| (1.0 + stream.between(-1.0, 1.0) * reach) as f32;
        let jitter = Jitter {
            brightness: factor(self.brightness),
            contrast: factor(self.contrast),
            saturation: factor(self.saturation),
            hue: (stream.between(-1.0, 1.0) * self.hue) as f32,
        };
        let blurred = stream.chance(self.blur_probability);
        let sigma = stream.between(0.1, self.blur_sigma.max(0.1));
        Transform { motion, fill: self.fill, jitter, sigma: if blurred { sigma } else { 0.0 } }
    }
}

/// Transform of one patch.
#[derive(Clone, Debug, PartialEq)]
pub struct Transform {
    /// Flips, rotation, shift.
    pub motion: Motion,
    /// Fill beyond the stored pixels.
    pub fill: Fill,
    /// Colour jitter.
    pub jitter: Jitter,
    /// Standard deviation of the blur, px; 0 for none.
    pub sigma: f64,
}

impl Transform {
    /// Identity.
    #[must_use]
    pub fn none() -> Self {
        Self { motion: Motion::none(), fill: Fill::Reflect, jitter: Jitter::none(), sigma: 0.0 }
    }

    /// Whether every value of the transformed patch is a stored value, wherever it moves.
    #[must_use]
    pub fn keeps_the_values(&self) -> bool {
        self.motion.keeps_the_grid() && self.jitter == Jitter::none() && self.sigma == 0.0
    }

    /// Writes the transformed patch, `size` x `size` x 3, into `pixels`, from `side` x `side` x 3 stored bytes: values in 0..1, or,
    /// if the transform keeps the values, looked up in `tables`. `sides` is `[side, size]`.
    pub fn make(&self, stored: &[u8], [side, size]: [usize; 2], tables: &Tables, pixels: &mut [f32]) {
        self.make_around(stored, [side, size, size], tables, pixels);
    }

    /// Writes a canvas of `canvas` x `canvas` x 3 with the transformed patch of `size` px in its middle, which has the same bytes as
    /// without the canvas: contrast takes the mean grey of the patch, and the patch is blurred without its surroundings. `sides` is
    /// `[side, canvas, size]`.
    pub fn make_around(&self, stored: &[u8], sides: [usize; 3], tables: &Tables, pixels: &mut [f32]) {
        let [side, canvas, size] = sides;
        if self.keeps_the_values() {
            return geometry::resample(stored, [side, canvas], &self.motion, self.fill, tables, pixels);
        }
        geometry::resample(stored, [side, canvas], &self.motion, self.fill, &geometry::unit_tables(), pixels);
        self.jitter.apply_around(pixels, [canvas, size]);
        if self.sigma <= 0.0 {
            return;
        }
        let patch: Option<Vec<f32>> =
            (canvas > size).then(|| middle(canvas, size).flat_map(|row| pixels[row].iter().copied()).collect());
        blur::gaussian(pixels, canvas, self.sigma);
        if let Some(mut patch) = patch {
            blur::gaussian(&mut patch, size, self.sigma);
            for (row, line) in middle(canvas, size).zip(patch.chunks_exact(size * 3)) {
                pixels[row].copy_from_slice(line);
            }
        }
    }

    /// Number of mask pixels in those places of the transformed patch, by column and row, that `counts` accepts. The mask is
    /// `side` x `side`; `sides` is `[side, size]`.
    #[must_use]
    pub fn mask_pixels(&self, mask: &[u8], [side, size]: [usize; 2], counts: impl Fn(usize, usize) -> bool) -> usize {
        geometry::mask_pixels(mask, side, size, &self.motion, counts)
    }
}

/// Rows of the patch of `size` px in the middle of a canvas of `canvas` x `canvas` x 3.
pub(super) fn middle(canvas: usize, size: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    let edge = (canvas - size) / 2;
    (edge..edge + size).map(move |row| {
        let start = (row * canvas + edge) * 3;
        start..start + size * 3
    })
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(value: &f64) -> bool {
    *value == 0.0
}
