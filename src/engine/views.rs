//! Stored patches of one step with their transforms, for a GPU that computes the pixels itself. Knows no GPU.
//!
//! This takes a quarter of the bandwidth of normalised pixels, and the CPU only draws and copies. The GPU computes what [`Views::pixels`]
//! computes here, except for the order in which the mean grey of an image is summed.

use rayon::prelude::*;

use super::augment::{Augmentation, Fill, Transform, blur};
use super::normalise::Normalisation;

/// Numbers per patch in [`Views::table`].
pub const FIELDS: usize = 17;

/// Where stored patches are turned into normalised pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PixelsMadeBy {
    /// In the threads of the loader.
    Loader,
    /// On the GPU that computes.
    Card,
}

/// Layout shared by all batches of a patch set and an augmentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stored {
    /// Side of the stored patch with its margin, px.
    pub side: usize,
    /// Side of the patch in its middle, px.
    pub size: usize,
    /// Whether contrast may change, which needs the mean of each image.
    pub contrast: bool,
    /// Maximum radius of a blur, px; 0 without blur.
    pub reach: usize,
}

impl Stored {
    /// Layout of patches of `size` px stored with `margin` px on each side, with or without an augmentation.
    #[must_use]
    pub fn new(size: usize, margin: usize, recipe: Option<&Augmentation>) -> Self {
        let blurred = recipe.filter(|recipe| recipe.blur_probability > 0.0);
        Self {
            side: size + 2 * margin,
            size,
            contrast: recipe.is_some_and(|recipe| recipe.contrast > 0.0),
            reach: blurred.map_or(0, |recipe| blur::reach(recipe.blur_sigma.max(0.1))),
        }
    }
}

/// Stored patches of one step.
#[derive(Clone, Debug, PartialEq)]
pub struct Views {
    /// Layout.
    pub stored: Stored,
    /// Pixels, N x `side` x `side` x 3.
    pub bytes: Vec<u8>,
    /// Transform of each patch.
    pub changes: Vec<Transform>,
    /// Normalisation that the network expects.
    pub normal: Normalisation,
}

impl Views {
    /// Normalised pixels, N x `size` x `size` x 3.
    #[must_use]
    pub fn pixels(&self) -> Vec<f32> {
        let Stored { side, size, .. } = self.stored;
        let mut pixels = vec![0.0; self.changes.len() * size * size * 3];
        let tables = self.normal.tables();
        let stored = self.bytes.par_chunks_exact(side * side * 3).zip(&self.changes);
        pixels.par_chunks_exact_mut(size * size * 3).zip(stored).for_each(|(pixels, (bytes, change))| {
            change.make(bytes, [side, size], &tables, pixels);
            if !change.keeps_the_values() {
                self.normal.apply(pixels);
            }
        });
        pixels
    }

    /// Transforms as numbers, [`FIELDS`] per patch: sine and cosine of the rotation, shift in x and y, flips (sum of 1 for left and right,
    /// 2 for top and bottom, 4 for rows and columns), whether the fill is black, factors of brightness, contrast and saturation, hue,
    /// radius of the blur, then mean and standard deviation of R, G, B.
    #[must_use]
    pub fn table(&self) -> Vec<f64> {
        let flag = |set: bool, value: f64| if set { value } else { 0.0 };
        let row = |Transform { motion, fill, jitter, sigma }: &Transform| {
            let (sin, cos) = motion.sin_cos();
            let flips = flag(motion.flip_x, 1.0) + flag(motion.flip_y, 2.0) + flag(motion.transpose, 4.0);
            let reach = if *sigma > 0.0 { blur::reach(*sigma) as f64 } else { 0.0 };
            let [r, g, b] = self.normal.mean.map(f64::from);
            let [of_r, of_g, of_b] = self.normal.std.map(f64::from);
            let colour = [jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue].map(f64::from);
            let [brightness, contrast, saturation, hue] = colour;
            let black = flag(*fill == Fill::Black, 1.0);
            let [x, y] = motion.shift;
            let row: [f64; FIELDS] =
                [sin, cos, x, y, flips, black, brightness, contrast, saturation, hue, reach, r, g, b, of_r, of_g, of_b];
            row
        };
        self.changes.iter().flat_map(row).collect()
    }

    /// Blur kernel of each patch at distances 0, 1, …, [`Stored::reach`]; zeros for patches that are not blurred.
    #[must_use]
    pub fn weights(&self) -> Vec<f32> {
        let length = self.stored.reach + 1;
        let mut weights = vec![0.0; self.changes.len() * length];
        for (row, change) in
            weights.chunks_exact_mut(length).zip(&self.changes).filter(|(_, change)| change.sigma > 0.0)
        {
            let own = blur::kernel(change.sigma);
            row[..own.len()].copy_from_slice(&own);
        }
        weights
    }
}
