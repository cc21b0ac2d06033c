//! The image while it is painted: retinal background, disc and macula, and drawing operations.

use super::anatomy::{Eye, LinearRgb, RetinaPoint};
use super::framing::{Framing, for_box};
use super::noise::Lattice;
use super::smoothstep;
use super::vessels::Blood;
use crate::base::random::Stream;

/// Absorption of red, green and blue by blood.
const BLOOD: LinearRgb = [0.30, 0.78, 0.62];

/// An image in f32, with 1 as full scale.
pub(super) struct RetinaImage {
    pub(super) size: usize,
    pub(super) pixels: Vec<LinearRgb>,
}

impl RetinaImage {
    /// The retina without vessels and lesions.
    pub(super) fn background(eye: &Eye, framing: &Framing, stream: &mut Stream) -> Self {
        let (ground, choroid, warp) = (Lattice::draw(stream), Lattice::draw(stream), Lattice::draw(stream));
        let size = framing.size;
        let mut pixels = Vec::with_capacity(size * size);
        for at in 0..size * size {
            let place = framing.retina((at % size) as f32 + 0.5, (at / size) as f32 + 0.5);
            pixels.push(retina(eye, place, &ground, &choroid, &warp));
        }
        Self { size, pixels }
    }

    /// Draws the vessels by absorption.
    pub(super) fn absorb(&mut self, blood: &Blood) {
        for (pixel, density) in self.pixels.iter_mut().zip(&blood.density) {
            if *density > 0.0 {
                darken(pixel, *density);
            }
        }
    }

    /// Draws a shape by absorption: `density` is the blood density at an offset from `centre_px`. Pixels beyond `reach_px` are unchanged.
    pub(super) fn stain(&mut self, centre_px: RetinaPoint, reach_px: f32, density: impl Fn(RetinaPoint) -> f32) {
        self.each(centre_px, reach_px, |pixel, offset| {
            let density = density(offset);
            if density > 0.0 {
                darken(pixel, density);
            }
        });
    }

    /// Paints a shape with `colour`: `cover` is its opacity, 0..1, at an offset from `centre_px`.
    pub(super) fn paint(
        &mut self,
        centre_px: RetinaPoint,
        reach_px: f32,
        colour: LinearRgb,
        cover: impl Fn(RetinaPoint) -> f32,
    ) {
        self.each(centre_px, reach_px, |pixel, offset| {
            let cover = cover(offset);
            for (level, colour) in pixel.iter_mut().zip(colour) {
                *level += (colour - *level) * cover;
            }
        });
    }

    fn each(&mut self, centre_px: RetinaPoint, reach_px: f32, mut change: impl FnMut(&mut LinearRgb, RetinaPoint)) {
        let size = self.size;
        for_box(size, centre_px, reach_px, |x, y, offset| change(&mut self.pixels[y * size + x], offset));
    }
}

fn darken(pixel: &mut LinearRgb, density: f32) {
    for (level, absorbs) in pixel.iter_mut().zip(BLOOD) {
        *level *= libm::expf(-density * absorbs);
    }
}

fn retina(eye: &Eye, at: RetinaPoint, ground: &Lattice, choroid: &Lattice, warp: &Lattice) -> LinearRgb {
    let mottle = ground.octaves(at.x * 3.0, at.y * 3.0, 4);
    let fine = ground.octaves(at.x * 46.0 + 31.0, at.y * 46.0 + 5.0, 2);
    // Choroidal vessels: bands where warped noise is near 0, fading towards the macula.
    let (wx, wy) = (warp.octaves(at.x * 2.5, at.y * 2.5, 2), warp.octaves(at.x * 2.5 + 40.0, at.y * 2.5 + 7.0, 2));
    let from_fovea = at.length();
    let bands = choroid.at(at.x * 6.5 + 1.6 * wx, at.y * 9.0 + 1.6 * wy);
    let bands = 1.0 - smoothstep(0.0, 0.42, bands.abs());
    let shown = eye.choroid * (bands - 0.45) * smoothstep(0.12, 0.55, from_fovea);
    let mut colour = eye.ground;
    for (channel, level) in colour.iter_mut().enumerate() {
        let strength = [0.11, 0.17, 0.20][channel];
        *level *= 1.0 + strength * mottle + 0.045 * fine + [0.07, 0.15, 0.20][channel] * shown;
    }

    let near = |radius: f32| libm::expf(-0.5 * (from_fovea / radius) * (from_fovea / radius));
    let (wide, narrow) = (near(eye.macula_radius), near(0.045));
    for (level, weight) in colour.iter_mut().zip([0.55, 1.0, 1.15]) {
        *level *= 1.0 - weight * (eye.macula * wide * (1.0 + 0.25 * mottle) + 0.15 * narrow);
    }

    let from_disc = at.minus(eye.disc);
    // Discs are slightly taller than wide, and never quite regular.
    let ragged = 1.0 + 0.035 * warp.at(from_disc.x * 9.0 + 20.0, from_disc.y * 9.0 + 20.0);
    let r = RetinaPoint::new(from_disc.x * 1.06, from_disc.y * 0.94).length() / eye.disc_radius * ragged;
    if r < 3.2 {
        let glow = libm::expf(-(r - 0.9).max(0.0) * 2.1) * 0.16;
        let halo = eye.halo * smoothstep(1.45, 1.08, r) * 0.30;
        let disc = smoothstep(1.10, 0.86, r);
        // The cup is slightly temporal, away from where the vessels emerge.
        let cup = RetinaPoint::new(from_disc.x + 0.14 * eye.disc_radius, from_disc.y).length() / eye.disc_radius;
        let cup = smoothstep(eye.cup * 1.25, eye.cup * 0.6, cup);
        let rim = 1.0 - 0.20 * smoothstep(0.35, 1.0, r) + 0.05 * mottle;
        for (channel, level) in colour.iter_mut().enumerate() {
            let pale = [0.96, 0.70, 0.40][channel];
            *level += (pale - *level) * (glow + halo).min(0.5);
            let disc_level = eye.disc_colour[channel] * rim + [0.10, 0.16, 0.20][channel] * cup;
            *level += (disc_level - *level) * disc * 0.94;
        }
    }
    colour
}
