//! Patches of one step as they are stored, with what is to be done to each, for a card that makes the pixels itself. Knows no card.
//!
//! A quarter of the bytes goes to the card that normalised pixels would take, and the processor only draws and copies. What a card
//! makes of them is what [`Views::pixels`] makes here, but for the order in which an image's mean grey is summed.

use rayon::prelude::*;

use super::augment::{Change, Fill, Recipe, blur};
use super::loader::Normalisation;

/// Numbers of each patch in [`Views::table`].
pub const FIELDS: usize = 17;

/// What the batches of a set and a recipe have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stored {
    /// Side of what is stored, px.
    pub side: usize,
    /// Side of the patch in its middle, px.
    pub size: usize,
    /// Whether contrast may change, which needs each image's mean.
    pub contrast: bool,
    /// How far a blur may reach, px; 0 where nothing is blurred.
    pub reach: usize,
}

impl Stored {
    /// Of patches of `size` px stored with `margin` px on each side, under a recipe or none.
    #[must_use]
    pub fn new(size: usize, margin: usize, recipe: Option<&Recipe>) -> Self {
        let blurred = recipe.filter(|recipe| recipe.blur_probability > 0.0);
        Self {
            side: size + 2 * margin,
            size,
            contrast: recipe.is_some_and(|recipe| recipe.contrast > 0.0),
            reach: blurred.map_or(0, |recipe| blur::reach(recipe.blur_sigma.max(0.1))),
        }
    }
}

/// Patches of one step as they are stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Views {
    /// What they have in common.
    pub stored: Stored,
    /// N x `side` x `side` x 3.
    pub bytes: Vec<u8>,
    /// What happens to each.
    pub changes: Vec<Change>,
    /// What the network expects.
    pub normal: Normalisation,
}

impl Views {
    /// The normalised pixels, N x `size` x `size` x 3.
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

    /// The changes as numbers, [`FIELDS`] for each patch: sine and cosine of the rotation, shift in x and y, flips (1 left and right,
    /// 2 top and bottom, 4 rows and columns, summed), whether black lies beyond, factors of brightness, contrast and saturation,
    /// hue, reach of the blur, then mean and deviation of R, G, B.
    #[must_use]
    pub fn table(&self) -> Vec<f64> {
        let flag = |set: bool, value: f64| if set { value } else { 0.0 };
        let row = |Change { motion, fill, jitter, sigma }: &Change| {
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

    /// The weights of each patch's blur at distances 0, 1, …, [`Stored::reach`]; zeros where it is not blurred.
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
