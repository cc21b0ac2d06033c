//! Arteries and veins: two trees that leave the disc, arch around the fovea, branch and taper, and their rendering.

use super::anatomy::{Eye, RetinaPoint};
use super::framing::{Framing, for_box};
use super::{between, smoothstep};
use crate::base::random::Stream;

/// Distance between two points of a vessel.
const STEP: f32 = 0.012;
/// Distance at which vessels end, beyond any framing.
const REACH: f32 = 1.7;
/// Radius of the foveal avascular zone.
const AVASCULAR: f32 = 0.085;
const THINNEST: f32 = 0.003;
const CELL: f32 = 0.016;
const CELLS: usize = 213;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum VesselKind {
    Vein,
    Artery,
}

/// One vessel without its branches.
pub(super) struct Vessel {
    kind: VesselKind,
    /// Centre line, with the diameter at each point.
    points: Vec<(RetinaPoint, f32)>,
}

/// Grows both trees of an eye.
pub(super) fn grow(eye: &Eye, stream: &mut Stream) -> Vec<Vessel> {
    let mut vessels = Vec::new();
    for kind in [VesselKind::Vein, VesselKind::Artery] {
        let trunk = eye.calibre * if kind == VesselKind::Vein { 0.027 } else { 0.019 };
        let mut tree = VesselTree { eye, kind, vessels: Vec::new(), occupied: vec![0; CELLS * CELLS] };
        for up in [-1.0, 1.0] {
            tree.arcade(up, trunk * between(stream, 0.86, 1.05), stream);
        }
        for up in [-1.0, 1.0] {
            let heading = RetinaPoint::unit(up * between(stream, 0.45, 1.25));
            let start = eye.disc.plus(heading, 0.2 * eye.disc_radius);
            tree.shoot(&Sprout { start, heading, width: trunk * between(stream, 0.55, 0.75), depth: 0 }, stream);
        }
        // Small vessels from the disc straight to the macula.
        for _ in 0..2 {
            let heading = RetinaPoint::unit(std::f32::consts::PI + between(stream, -0.75, 0.75));
            let start = eye.disc.plus(heading, 0.5 * eye.disc_radius);
            tree.shoot(&Sprout { start, heading, width: trunk * between(stream, 0.22, 0.34), depth: 2 }, stream);
        }
        vessels.extend(tree.vessels);
    }
    vessels
}

struct VesselTree<'a> {
    eye: &'a Eye,
    kind: VesselKind,
    vessels: Vec<Vessel>,
    /// Number of the vessel in each cell of the plane, from 1: vessels of one kind do not cross.
    occupied: Vec<u16>,
}

struct Sprout {
    start: RetinaPoint,
    heading: RetinaPoint,
    width: f32,
    depth: u32,
}

impl VesselTree<'_> {
    /// A main vessel around the fovea, above (`up` -1) or below it, with branches on both sides.
    fn arcade(&mut self, up: f32, width: f32, stream: &mut Stream) {
        let eye = self.eye;
        // Arteries run outside or inside their veins and cross them occasionally.
        let beside = if (self.kind == VesselKind::Artery) == (up > 0.0) { 1.14 } else { 0.97 };
        let (far, top) = (between(stream, 0.60, 1.0), eye.arcade * beside * between(stream, 0.93, 1.08));
        let waves: Vec<(f32, f32, f32)> = [2.3, 5.1, 9.7, 17.0]
            .iter()
            .map(|&k| {
                let size = eye.tortuosity * between(stream, 0.4, 1.0) * 0.15 / (k + 1.0);
                (k, between(stream, 0.0, std::f32::consts::TAU), size)
            })
            .collect();
        let disc_angle = libm::atan2f(eye.disc.y, eye.disc.x);
        let (disc_distance, last) = (eye.disc.length(), between(stream, 2.45, 2.85));
        let at = |t: f32| {
            // Halfway along it is above the fovea; the disc's own height fades on the way there.
            let angle = up * t * last + disc_angle * (1.0 - t).max(0.0);
            let high = std::f32::consts::FRAC_PI_2 / last;
            let radius = if t < high {
                disc_distance + (top - disc_distance) * smoothstep(0.0, high, t)
            } else {
                top + (far - top) * ((t - high) / (1.0 - high)) * ((t - high) / (1.0 - high))
            };
            let wave: f32 = waves.iter().map(|(k, phase, size)| size * libm::sinf(k * t * 3.0 + phase)).sum();
            RetinaPoint::unit(angle).scaled(radius + wave * smoothstep(0.0, 0.15, t))
        };
        let mut points = Vec::new();
        let (mut t, mut place) = (0.0, at(0.0));
        while t < 1.0 && place.length() < REACH {
            points.push((place, width * (1.0 - 0.62 * t)));
            let ahead = at(t + 1e-3);
            t += 1e-3 * STEP / ahead.minus(place).length().max(1e-6);
            place = at(t);
        }
        let number = self.place(points.clone());
        let mut side = if stream.chance(0.5) { 1.0 } else { -1.0 };
        let mut since = 0.0;
        let mut spacing = between(stream, 0.05, 0.10);
        for pair in points.windows(2).skip(8) {
            since += STEP;
            if since > spacing {
                let along = pair[1].0.minus(pair[0].0).normalised();
                let heading = along.rotated(side * between(stream, 0.55, 1.15));
                let width = pair[0].1 * between(stream, 0.34, 0.68);
                self.sprout(&Sprout { start: pair[0].0, heading, width, depth: 1 }, number, stream);
                side = if stream.chance(0.75) { -side } else { side };
                since = 0.0;
                spacing = between(stream, 0.06, 0.15);
            }
        }
        // It ends in a fork.
        if let [.., (before, _), (end, width)] = points[..] {
            let along = end.minus(before).normalised();
            for turn in [-0.35, 0.4] {
                let sprout = Sprout { start: end, heading: along.rotated(turn), width: width * 0.8, depth: 1 };
                self.sprout(&sprout, number, stream);
            }
        }
    }

    fn shoot(&mut self, sprout: &Sprout, stream: &mut Stream) {
        self.sprout(sprout, 0, stream);
    }

    /// A vessel on a random walk, and its branches. `parent` is the vessel that it may touch.
    fn sprout(&mut self, sprout: &Sprout, parent: u16, stream: &mut Stream) {
        let Sprout { start, mut heading, mut width, depth } = *sprout;
        let eye = self.eye;
        let own = self.vessels.len() as u16 + 1;
        let (mut place, mut bend, mut since) = (start, 0.0, 0.0);
        let mut spacing = between(stream, 0.07, 0.20);
        let mut points = vec![(place, width)];
        let mut branches = Vec::new();
        let winding = 0.030 * eye.tortuosity * (1.0 + 0.25 * depth as f32);
        for step in 0..160 {
            bend = 0.80 * bend + winding * stream.normal() as f32;
            let inside = place.length() < 0.92 * eye.arcade && place.x < eye.disc.x - eye.disc_radius;
            let pull = if inside { place.scaled(-1.0).normalised() } else { place.minus(eye.disc).normalised() };
            let turn = heading.x * pull.y - heading.y * pull.x;
            heading = heading.rotated(bend + 0.055 * turn);
            place = place.plus(heading, STEP);
            width *= if inside { 0.988 } else { 0.992 };
            let ahead = self.at(place.plus(heading, 0.022));
            let blocked = ahead != 0 && ahead != parent;
            if width < THINNEST || place.length() > REACH || place.length() < AVASCULAR || (step > 4 && blocked) {
                break;
            }
            points.push((place, width));
            since += STEP;
            if depth < 4 && since > spacing && width > 1.5 * THINNEST {
                let side = if stream.chance(0.5) { 1.0 } else { -1.0 };
                let share = between(stream, 0.5, 0.85);
                let branch = heading.rotated(side * between(stream, 0.45, 0.95));
                branches.push(Sprout { start: place, heading: branch, width: width * share, depth: depth + 1 });
                // Cubes of the diameters add up (Murray 1926), and the parent bends away a little.
                width *= libm::cbrtf(1.0 - 0.6 * share * share * share);
                heading = heading.rotated(-side * 0.16 * share);
                since = 0.0;
                spacing = between(stream, 0.08, 0.22);
            }
        }
        if points.len() > 5 {
            self.place(points);
            for branch in branches {
                self.sprout(&branch, own, stream);
            }
        }
    }

    fn place(&mut self, points: Vec<(RetinaPoint, f32)>) -> u16 {
        let number = self.vessels.len() as u16 + 1;
        for (point, _) in &points {
            if let Some(cell) = cell(*point) {
                self.occupied[cell] = number;
            }
        }
        self.vessels.push(Vessel { kind: self.kind, points });
        number
    }

    fn at(&self, place: RetinaPoint) -> u16 {
        cell(place).map_or(0, |cell| self.occupied[cell])
    }
}

fn cell(place: RetinaPoint) -> Option<usize> {
    let index = |x: f32| {
        let cell = (x + REACH) / CELL;
        (0.0..CELLS as f32).contains(&cell).then_some(cell as usize)
    };
    Some(index(place.y)? * CELLS + index(place.x)?)
}

/// Vessels of a photograph: blood density along the line of sight at each pixel.
pub(super) struct Blood {
    size: usize,
    pub(super) density: Vec<f32>,
}

impl Blood {
    pub(super) fn drawn(vessels: &[Vessel], framing: &Framing) -> Self {
        let mut by_kind = [vec![0.0_f32; framing.size * framing.size], vec![0.0_f32; framing.size * framing.size]];
        for vessel in vessels {
            let density = &mut by_kind[usize::from(vessel.kind == VesselKind::Artery)];
            for pair in vessel.points.windows(2) {
                segment(density, framing, vessel.kind, pair[0], pair[1]);
            }
        }
        let [veins, arteries] = by_kind;
        let density =
            veins.iter().zip(&arteries).map(|(vein, artery)| vein + artery - 0.4 * vein.min(*artery)).collect();
        Self { size: framing.size, density }
    }

    /// Density at pixel coordinates; 0 outside the photograph.
    pub(super) fn at(&self, at_px: RetinaPoint) -> f32 {
        let inside = 0.0..self.size as f32;
        if inside.contains(&at_px.x) && inside.contains(&at_px.y) {
            self.density[at_px.y as usize * self.size + at_px.x as usize]
        } else {
            0.0
        }
    }
}

fn segment(density: &mut [f32], framing: &Framing, kind: VesselKind, from: (RetinaPoint, f32), to: (RetinaPoint, f32)) {
    let (a, b) = (framing.pixel(from.0), framing.pixel(to.0));
    let half_px = 0.25 * (from.1 + to.1) * framing.radius_px;
    // A vessel thinner than a pixel is drawn one pixel wide and paler.
    let drawn_px = half_px.max(0.55);
    let full = if kind == VesselKind::Vein { 0.74 } else { 0.52 };
    let thin = (from.1 / 0.016).min(1.0);
    let strength = full * (0.16 + 0.84 * thin) * (half_px / drawn_px);
    let reflex = if kind == VesselKind::Artery && half_px > 1.3 { 0.38 } else { 0.08 };
    let (middle, along) = (a.plus(b.minus(a), 0.5), b.minus(a));
    let (length2, reach) = (along.dot(along).max(1e-6), 0.5 * along.length() + drawn_px + 1.0);
    for_box(framing.size, middle, reach, |x, y, offset| {
        let from_a = offset.plus(along, 0.5);
        let t = (from_a.dot(along) / length2).clamp(0.0, 1.0);
        let distance = from_a.plus(along, -t).length();
        let cover = (drawn_px - distance + 0.5).clamp(0.0, 1.0);
        if cover > 0.0 {
            let q = (distance / drawn_px).min(1.0);
            let profile = (0.45 + 0.55 * (1.0 - q * q).sqrt()) * (1.0 - reflex * smoothstep(0.45, 0.0, q));
            let at = &mut density[y * framing.size + x];
            *at = at.max(strength * cover * profile);
        }
    });
}
