//! Synthetic fundus photographs with exact lesion masks, at any size, identical on every machine. Knows neither store nor stages.
//!
//! Lengths are in radii of the camera's field of view unless a name ends in `_px`; the fovea is the origin, and the optic disc lies at
//! positive x (left eyes are mirrored by the framing). The `anatomy` depends only on patient and eye; framing, illumination, noise and
//! `lesions` depend only on the photograph's number, so photographs can be generated in any order, and adding one changes no other. The
//! appearance was matched by eye and to the channel means of `IDRiD` (R about 0.70, G 0.36, B 0.10 of full scale); no number here claims
//! to be an anatomical measurement.

mod anatomy;
mod camera;
mod framing;
mod lesions;
mod noise;
mod retina_image;
mod vessels;

use crate::base::Streams;
use crate::base::random::Stream;

pub use anatomy::Laterality;

/// Lesion classes, in label order.
pub const CLASSES: [&str; 4] = ["MA", "HE", "EX", "SE"];

/// Parameters of synthetic photographs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FundusSpec {
    /// Width and height, px.
    pub size: u32,
    /// Fraction of photographs without any lesion.
    pub healthy: f64,
    /// Number of lesions in the others, relative to the default.
    pub severity: f64,
    /// Photographs per patient: right eye, left eye, then the same eyes again with new framing.
    pub per_patient: u64,
}

/// A synthetic photograph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fundus {
    /// Index of its patient, from 0.
    pub patient: u64,
    /// Laterality of the eye.
    pub side: Laterality,
    /// Pixels: u8, size x size x 3, red green blue.
    pub rgb: Vec<u8>,
    /// Mask of each of [`CLASSES`]: u8, size x size, 255 inside the lesion and 0 elsewhere.
    pub masks: [Vec<u8>; 4],
}

/// Generates photograph `number` (from 0).
#[must_use]
pub fn fundus(recipe: &FundusSpec, streams: &Streams, number: u64) -> Fundus {
    let patient = number / recipe.per_patient;
    let side = Laterality::of(number % recipe.per_patient);
    let of_photograph = |purpose: &str| streams.stream(purpose, 0, &number.to_le_bytes());
    let eye = anatomy::Eye::draw(streams, patient, side);
    let framing = framing::Framing::draw(&mut of_photograph("framing"), recipe.size, side);

    let mut canvas =
        retina_image::RetinaImage::background(&eye, &framing, &mut streams.stream("texture", 0, &eye.id()));
    let blood = vessels::Blood::drawn(&vessels::grow(&eye, &mut streams.stream("vessels", 0, &eye.id())), &framing);
    let mut lesion_stream = of_photograph("lesions");
    let found = if is_healthy(recipe.healthy, streams, number) {
        lesions::DrawnLesions::none()
    } else {
        lesions::DrawnLesions::draw(&mut lesion_stream, recipe.severity, &eye, &framing, &blood)
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

/// Whether photograph `number` has no lesion. The fraction holds for every range of numbers to within about one photograph: a golden
/// ratio sequence with a seeded start is evenly distributed and has no period that could align with patients.
fn is_healthy(share: f64, streams: &Streams, number: u64) -> bool {
    const GOLDEN: f64 = 0.618_033_988_749_894_9;
    let start = streams.stream("healthy", 0, &[]).uniform();
    let at = start + (number as f64) * GOLDEN;
    at - at.floor() < share
}

/// A uniform draw in [low, high) as f32.
fn between(stream: &mut Stream, low: f32, high: f32) -> f32 {
    stream.between(f64::from(low), f64::from(high)) as f32
}

/// Hermite interpolation: 0 up to `low`, 1 from `high` on.
fn smoothstep(low: f32, high: f32, x: f32) -> f32 {
    let t = ((x - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}
