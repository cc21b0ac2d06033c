//! The four lesions of diabetic retinopathy with their exact masks, and distractors that resemble them.

use super::anatomy::{Eye, LinearRgb, RetinaPoint};
use super::framing::{Framing, for_box};
use super::noise::Lattice;
use super::retina_image::RetinaImage;
use super::vessels::Blood;
use super::{between, smoothstep};
use crate::base::random::Stream;

const MA: usize = 0;
const HE: usize = 1;
const EX: usize = 2;
const SE: usize = 3;

/// Lesions of one photograph.
pub(super) struct DrawnLesions {
    grain: Option<Lattice>,
    found: Vec<Lesion>,
}

struct Lesion {
    class: usize,
    /// Overlapping blobs, whose union is the lesion.
    blobs: Vec<LesionBlob>,
    /// Maximum blood density or opacity.
    strength: f32,
    colour: LinearRgb,
    /// Width of the soft edge beyond the border, px.
    soft_px: f32,
    /// Variation of the strength within the lesion.
    uneven: f32,
}

/// A round or elongated shape with a wavy border.
struct LesionBlob {
    at: RetinaPoint,
    radius: f32,
    /// Direction of the long axis.
    axis: RetinaPoint,
    /// Aspect ratio, length to width.
    stretch: f32,
    /// Amplitude, and phase as a unit vector, of the 2nd, 3rd and 5th harmonic of the border.
    waves: [(f32, RetinaPoint); 3],
}

impl LesionBlob {
    fn draw(at: RetinaPoint, radius: f32, wavy: f32, stream: &mut Stream) -> Self {
        let mut wave = |most: f32| (wavy * most * between(stream, 0.2, 1.0), anyway(stream));
        let waves = [wave(0.22), wave(0.20), wave(0.13)];
        let axis = anyway(stream);
        Self { at, radius, axis, stretch: between(stream, 1.0, 1.0 + 0.6 * wavy), waves }
    }

    fn along(self, axis: RetinaPoint, stretch: f32) -> Self {
        Self { axis, stretch, ..self }
    }

    /// Signed distance to the border, positive inside. Exact for a circle, approximate otherwise.
    fn depth(&self, offset: RetinaPoint) -> f32 {
        let longer = self.stretch.sqrt();
        let local = RetinaPoint::new(offset.dot(self.axis) / longer, offset.dot(self.axis.turned()) * longer);
        let unit = local.normalised();
        // Powers of cos + i sin give the harmonics without an arc tangent.
        let times = |a: RetinaPoint, b: RetinaPoint| RetinaPoint::new(a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x);
        let second = times(unit, unit);
        let third = times(second, unit);
        let fifth = times(third, second);
        let wave: f32 =
            [second, third, fifth].iter().zip(self.waves).map(|(power, (size, phase))| size * power.dot(phase)).sum();
        self.radius * (1.0 + wave) - local.length()
    }
}

impl DrawnLesions {
    pub(super) const fn none() -> Self {
        Self { grain: None, found: Vec::new() }
    }

    /// Draws the lesions of an eye with retinopathy, at least one.
    pub(super) fn draw(stream: &mut Stream, severity: f64, eye: &Eye, framing: &Framing, blood: &Blood) -> Self {
        let grain = Some(Lattice::draw(stream));
        let mut ground = Ground { eye, framing, blood, found: Vec::new() };
        // Variation between eyes exceeds that between lesion types: one factor for all four, then one for each.
        let grade = severity as f32 * libm::expf(0.45 * stream.normal() as f32);
        ground.microaneurysms(count(stream, 11.0 * grade).max(1), stream);
        if stream.chance(0.85) {
            ground.hemorrhages(count(stream, 7.0 * grade).max(1), stream);
        }
        if stream.chance(0.75) {
            ground.exudates(count(stream, 2.6 * grade).max(1), stream);
        }
        if stream.chance(0.50) {
            ground.cotton_wool(count(stream, 2.2 * grade).max(1), stream);
        }
        Self { grain, found: ground.found }
    }

    /// Draws lesions deeper than the vessels: exudates.
    pub(super) fn below_vessels(&self, canvas: &mut RetinaImage, masks: &mut [Vec<u8>; 4], framing: &Framing) {
        self.put(canvas, masks, framing, &[EX]);
    }

    /// Draws lesions at or above the vessels: blood, and soft exudates, which hide vessels.
    pub(super) fn above_vessels(&self, canvas: &mut RetinaImage, masks: &mut [Vec<u8>; 4], framing: &Framing) {
        self.put(canvas, masks, framing, &[HE, MA, SE]);
    }

    fn put(&self, canvas: &mut RetinaImage, masks: &mut [Vec<u8>; 4], framing: &Framing, classes: &[usize]) {
        let Some(grain) = &self.grain else { return };
        for class in classes {
            for lesion in self.found.iter().filter(|lesion| lesion.class == *class) {
                lesion.put(canvas, &mut masks[*class], framing, grain);
            }
        }
    }
}

impl Lesion {
    fn put(&self, canvas: &mut RetinaImage, mask: &mut [u8], framing: &Framing, grain: &Lattice) {
        let Some(first) = self.blobs.first() else { return };
        let centre = framing.pixel(first.at);
        let reach = self
            .blobs
            .iter()
            .map(|blob| blob.at.minus(first.at).length() + blob.radius * 1.5 * blob.stretch.sqrt())
            .fold(0.0, f32::max);
        let reach_px = reach * framing.radius_px + 2.0 * self.soft_px + 2.0;
        let depth_px = |offset: RetinaPoint| {
            let place = framing.retina(centre.x + offset.x, centre.y + offset.y);
            let depth = self.blobs.iter().map(|blob| blob.depth(place.minus(blob.at))).fold(f32::MIN, f32::max);
            (place, depth * framing.radius_px)
        };
        let full = |offset: RetinaPoint| {
            let (place, depth) = depth_px(offset);
            let varied = 1.0 - self.uneven * (0.5 + 0.5 * grain.octaves(place.x * 60.0, place.y * 60.0, 2));
            self.strength * varied * smoothstep(-self.soft_px, self.soft_px, depth)
        };
        if matches!(self.class, MA | HE) {
            canvas.stain(centre, reach_px, full);
        } else {
            canvas.paint(centre, reach_px, self.colour, full);
        }

        let (mut any, mut deepest) = (false, (f32::MIN, 0));
        for_box(framing.size, centre, reach_px, |x, y, offset| {
            let (_, depth) = depth_px(offset);
            if depth > 0.0 {
                mask[y * framing.size + x] = 255;
                any = true;
            }
            if depth > deepest.0 {
                deepest = (depth, y * framing.size + x);
            }
        });
        // On a small photograph a lesion can fall between pixel centres; it gets one pixel nevertheless.
        if !any && deepest.0 > -1.0 {
            mask[deepest.1] = 255;
        }
    }
}

/// Placement of lesions.
struct Ground<'a> {
    eye: &'a Eye,
    framing: &'a Framing,
    blood: &'a Blood,
    found: Vec<Lesion>,
}

impl Ground<'_> {
    fn microaneurysms(&mut self, count: u32, stream: &mut Stream) {
        for _ in 0..count {
            let Some(at) = self.free(stream, 0.05, |stream| anywhere(stream, 0.5)) else { continue };
            let radius = between(stream, 0.0048, 0.0095);
            let blob = LesionBlob::draw(at, radius, 0.35, stream);
            self.add(MA, vec![blob], between(stream, 0.35, 0.85), [0.0; 3], 0.7, 0.1);
        }
    }

    fn hemorrhages(&mut self, count: u32, stream: &mut Stream) {
        for _ in 0..count {
            let Some(at) = self.free(stream, 0.2, |stream| anywhere(stream, 0.6)) else { continue };
            let flame = stream.chance(0.35);
            let size = between(stream, 0.0, 1.0);
            let radius = 0.013 + 0.030 * size * size;
            let mut blobs = Vec::new();
            if flame {
                // Flame haemorrhages: parallel streaks of different lengths between nerve fibres.
                let axis = self.eye.fibres(at);
                for _ in 0..3 + stream.below(4) {
                    let aside = at.plus(axis.turned(), radius * between(stream, -0.8, 0.8));
                    let start = aside.plus(axis, radius * between(stream, -1.1, 1.1));
                    let streak = LesionBlob::draw(start, radius * between(stream, 0.5, 0.95), 0.5, stream);
                    blobs.push(streak.along(axis, between(stream, 3.5, 7.0)));
                }
            } else {
                blobs.push(LesionBlob::draw(at, radius, 1.0, stream));
                for _ in 0..stream.below(4) {
                    let way = anyway(stream);
                    let beside = at.plus(way, radius * between(stream, 0.5, 1.1));
                    blobs.push(LesionBlob::draw(beside, radius * between(stream, 0.35, 0.75), 1.0, stream));
                }
            }
            let soft = radius * between(stream, 0.12, 0.30);
            self.add(HE, blobs, between(stream, 0.35, 0.95), [0.0; 3], soft * self.framing.radius_px, 0.45);
        }
    }

    fn exudates(&mut self, clusters: u32, stream: &mut Stream) {
        for _ in 0..clusters {
            let Some(centre) = self.free(stream, 9.0, |stream| anywhere(stream, 0.36)) else { continue };
            // A circinate ring around a leak, or a cluster, denser in its centre.
            let ring = stream.chance(0.3);
            let spread = if ring { between(stream, 0.07, 0.15) } else { between(stream, 0.03, 0.11) };
            let brightness = between(stream, 0.50, 1.0);
            let colour = [0.97, 0.84 + 0.10 * brightness, between(stream, 0.28, 0.50)];
            for _ in 0..6 + stream.below(26) {
                let way = anyway(stream);
                let far = if ring { 1.0 + 0.10 * stream.normal() as f32 } else { 0.62 * stream.normal() as f32 };
                let at = centre.plus(way, spread * far);
                if !self.framing.sees(at, 0.03) || at.minus(self.eye.disc).length() < 1.25 * self.eye.disc_radius {
                    continue;
                }
                let size = between(stream, 0.0, 1.0);
                let radius = 0.0042 + 0.017 * size * size * size;
                let mut blobs = vec![LesionBlob::draw(at, radius, 1.2, stream)];
                for _ in 0..stream.below(3) {
                    let way = anyway(stream);
                    let beside = at.plus(way, radius * between(stream, 0.7, 1.4));
                    blobs.push(LesionBlob::draw(beside, radius * between(stream, 0.4, 0.9), 1.2, stream));
                }
                self.add(EX, blobs, brightness * between(stream, 0.65, 0.95), colour, 0.8, 0.25);
            }
        }
    }

    fn cotton_wool(&mut self, count: u32, stream: &mut Stream) {
        for _ in 0..count {
            let disc = self.eye.disc;
            let near_disc = |stream: &mut Stream| disc.plus(anyway(stream), between(stream, 0.24, 0.80));
            let Some(at) = self.free(stream, 9.0, near_disc) else { continue };
            let axis = self.eye.fibres(at).turned();
            let radius = between(stream, 0.020, 0.040);
            let mut blobs = vec![LesionBlob::draw(at, radius, 1.0, stream).along(axis, between(stream, 1.0, 1.7))];
            for _ in 0..=stream.below(3) {
                let beside = at.plus(anyway(stream), radius * between(stream, 0.5, 1.0));
                blobs.push(LesionBlob::draw(beside, radius * between(stream, 0.45, 0.8), 1.0, stream));
            }
            let colour = [between(stream, 0.88, 0.96), between(stream, 0.76, 0.84), between(stream, 0.48, 0.62)];
            let soft = radius * between(stream, 0.40, 0.65);
            self.add(SE, blobs, between(stream, 0.50, 0.85), colour, soft * self.framing.radius_px, 0.35);
        }
    }

    fn add(
        &mut self,
        class: usize,
        blobs: Vec<LesionBlob>,
        strength: f32,
        colour: LinearRgb,
        soft_px: f32,
        uneven: f32,
    ) {
        self.found.push(Lesion { class, blobs, strength, colour, soft_px: soft_px.max(0.5), uneven });
    }

    /// A position in view, off the disc and the foveal centre, where the blood density is below `blood`.
    fn free(&self, stream: &mut Stream, blood: f32, draw: impl Fn(&mut Stream) -> RetinaPoint) -> Option<RetinaPoint> {
        (0..40).map(|_| draw(stream)).find(|at| {
            self.framing.sees(*at, 0.04)
                && at.minus(self.eye.disc).length() > 1.5 * self.eye.disc_radius
                && at.length() > 0.05
                && self.blood.at(self.framing.pixel(*at)) < blood
        })
    }
}

/// Draws distractors: drusen, pigment, dust and nerve fibre reflexes, which are not lesions of the four classes.
pub(super) fn distract(canvas: &mut RetinaImage, stream: &mut Stream, eye: &Eye, framing: &Framing) {
    let soft = |stream: &mut Stream, at: RetinaPoint, radius: f32| {
        let blob = LesionBlob::draw(at, radius, 0.6, stream);
        (blob, framing.pixel(at), radius * framing.radius_px)
    };
    let drusen = if stream.chance(0.35) { 3 + stream.below(22) } else { 0 };
    for _ in 0..drusen {
        let at = anywhere(stream, 0.4);
        let radius = between(stream, 0.005, 0.014);
        let (blob, centre, radius_px) = soft(stream, at, radius);
        let cover = between(stream, 0.10, 0.32);
        let fade = 0.8 * radius_px;
        canvas.paint(centre, 3.0 * radius_px + 1.0, [0.93, 0.70, 0.34], |offset| {
            cover * smoothstep(-fade, fade, blob.depth(offset.scaled(1.0 / framing.radius_px)) * framing.radius_px)
        });
    }
    for _ in 0..3 + stream.below(12) {
        let at = anywhere(stream, 0.8);
        let radius = between(stream, 0.008, 0.05);
        let (blob, centre, radius_px) = soft(stream, at, radius);
        let density = between(stream, 0.04, 0.17);
        canvas.stain(centre, 3.0 * radius_px + 1.0, |offset| {
            density
                * smoothstep(
                    -radius_px,
                    radius_px,
                    blob.depth(offset.scaled(1.0 / framing.radius_px)) * framing.radius_px,
                )
        });
    }
    let shining = (eye.sheen * 26.0) as u32;
    for _ in 0..shining {
        let at = eye.disc.plus(RetinaPoint::unit(between(stream, 1.5, 4.8)), between(stream, 0.2, 0.75));
        let (radius, stretch) = (between(stream, 0.010, 0.022), between(stream, 8.0, 22.0));
        let axis = eye.fibres(at);
        let blob = LesionBlob::draw(at, radius, 0.4, stream).along(axis, stretch);
        let cover = eye.sheen * between(stream, 0.05, 0.17);
        let (centre, fade) = (framing.pixel(at), radius * 0.9);
        canvas.paint(centre, radius * stretch.sqrt() * 2.0 * framing.radius_px, [0.95, 0.78, 0.50], |offset| {
            let place = framing.retina(centre.x + offset.x, centre.y + offset.y);
            cover * smoothstep(-fade, fade, blob.depth(place.minus(at)))
        });
    }
}

/// A position around the fovea, normally distributed with the given standard deviation.
fn anywhere(stream: &mut Stream, deviation: f32) -> RetinaPoint {
    RetinaPoint::new(deviation * stream.normal() as f32, deviation * stream.normal() as f32)
}

/// A uniformly distributed direction.
#[expect(clippy::approx_constant, reason = "another digit is another output; it goes with the next version")]
fn anyway(stream: &mut Stream) -> RetinaPoint {
    RetinaPoint::unit(between(stream, 0.0, 6.283))
}

/// An overdispersed count with approximately the given mean.
fn count(stream: &mut Stream, mean: f32) -> u32 {
    (mean * libm::expf(0.5 * stream.normal() as f32) + stream.uniform() as f32) as u32
}
