//! Made fundus photographs with exact lesion masks, at any size, the same on every machine. Knows no store and no stage.
//!
//! Lengths are in radii of the camera's field of view unless a name ends in `_px`; the fovea is the origin, and the optic
//! disc lies at positive x (left eyes are mirrored when they are framed). What is drawn depends on what it belongs to and on
//! nothing else: the `anatomy` on patient and eye, framing, light, noise and `lesions` on the photograph's number, so that
//! photographs can be made in any order, and one more changes no other. The looks were matched by eye and by the channel
//! means of `IDRiD` (R about .7, G .36, B .1 of full scale); no figure here claims to be an anatomical measurement.

mod anatomy;
mod camera;
mod retina_image;
mod lesions;
mod noise;
mod vessels;

use crate::base::Streams;
use crate::base::random::Stream;

pub use anatomy::Laterality;

/// The lesion classes, in the order of the labels.
pub const CLASSES: [&str; 4] = ["MA", "HE", "EX", "SE"];

/// What to make.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FundusSpec {
    /// Width and height, px.
    pub size: u32,
    /// Share of photographs without any lesion.
    pub healthy: f64,
    /// How many lesions the others have, against the usual number.
    pub severity: f64,
    /// How many photographs a patient has: right eye, left eye, then the same eyes again, framed anew.
    pub per_patient: u64,
}

/// A made photograph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fundus {
    /// The number of its patient, from 0.
    pub patient: u64,
    /// Which eye.
    pub side: Laterality,
    /// Pixels: u8, size x size x 3, red green blue.
    pub rgb: Vec<u8>,
    /// A mask for each of [`CLASSES`]: u8, size x size, 255 where the lesion is and 0 elsewhere.
    pub masks: [Vec<u8>; 4],
}

/// Makes photograph `number` (from 0).
#[must_use]
pub fn fundus(recipe: &FundusSpec, streams: &Streams, number: u64) -> Fundus {
    let patient = number / recipe.per_patient;
    let side = Laterality::of(number % recipe.per_patient);
    let of_photograph = |purpose: &str| streams.stream(purpose, 0, &number.to_le_bytes());
    let eye = anatomy::Eye::draw(streams, patient, side);
    let framing = camera::Framing::draw(&mut of_photograph("framing"), recipe.size, side);

    let mut canvas = retina_image::RetinaImage::background(&eye, &framing, &mut streams.stream("texture", 0, &eye.id()));
    let blood = vessels::Blood::drawn(&vessels::grow(&eye, &mut streams.stream("vessels", 0, &eye.id())), &framing);
    let mut lesion_stream = of_photograph("lesions");
    let found = if is_healthy(recipe.healthy, streams, number) {
        lesions::Lesions::none()
    } else {
        lesions::Lesions::draw(&mut lesion_stream, recipe.severity, &eye, &framing, &blood)
    };
    let mut masks = [(); 4].map(|()| vec![0; (recipe.size * recipe.size) as usize]);
    lesions::distract(&mut canvas, &mut of_photograph("distractors"), &eye, &framing);
    found.below_vessels(&mut canvas, &mut masks, &framing);
    canvas.absorb(&blood);
    found.above_vessels(&mut canvas, &mut masks, &framing);
    let rgb = camera::expose(canvas, &framing, &mut of_photograph("camera"));
    camera::outside_is_unseen(&mut masks, &framing);
    Fundus { patient, side, rgb, masks }
}

/// Whether photograph `number` has no lesion. The share holds for every run of numbers, to one photograph or so: a golden
/// ratio sequence with a seeded start spreads evenly and has no period that photographs of a patient could fall in with.
fn is_healthy(share: f64, streams: &Streams, number: u64) -> bool {
    const GOLDEN: f64 = 0.618_033_988_749_894_9;
    let start = streams.stream("healthy", 0, &[]).uniform();
    let at = start + (number as f64) * GOLDEN;
    at - at.floor() < share
}

/// A draw in [low, high), as pixels are computed in f32.
fn between(stream: &mut Stream, low: f32, high: f32) -> f32 {
    stream.between(f64::from(low), f64::from(high)) as f32
}

/// 0 at `low` and under, 1 at `high` and over, a cubic between (Hermite).
fn smoothstep(low: f32, high: f32, x: f32) -> f32 {
    let t = ((x - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}
