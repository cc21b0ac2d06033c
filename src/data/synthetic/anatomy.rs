//! Anatomy of a patient's eye: pigmentation, optic disc, macula. Lengths in radii of the field of view.

use super::between;
use crate::base::Streams;

/// Laterality of an eye.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Laterality {
    /// Right eye: the optic disc is right of the fovea.
    Right,
    /// Left eye.
    Left,
}

impl Laterality {
    /// Laterality of the `turn`th photograph of a patient (from 0): right, left, right, …
    #[must_use]
    pub const fn of(turn: u64) -> Self {
        if turn.is_multiple_of(2) { Self::Right } else { Self::Left }
    }
}

/// A colour: red, green, blue, 0..1 on the photograph's scale.
pub(super) type LinearRgb = [f32; 3];

/// A position or direction on the retina.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct RetinaPoint {
    pub(super) x: f32,
    pub(super) y: f32,
}

impl RetinaPoint {
    pub(super) const fn new(x: f32, y: f32) -> Self {
        Self { x, y }
    }

    /// A unit vector at `angle` radians, y downwards.
    pub(super) fn unit(angle: f32) -> Self {
        Self::new(libm::cosf(angle), libm::sinf(angle))
    }

    pub(super) fn plus(self, other: Self, times: f32) -> Self {
        Self::new(self.x + other.x * times, self.y + other.y * times)
    }

    pub(super) fn minus(self, other: Self) -> Self {
        self.plus(other, -1.0)
    }

    pub(super) fn dot(self, other: Self) -> f32 {
        self.x * other.x + self.y * other.y
    }

    pub(super) fn length(self) -> f32 {
        self.dot(self).sqrt()
    }

    /// The unit vector in the same direction; (1, 0) for the null vector.
    pub(super) fn normalised(self) -> Self {
        let length = self.length();
        if length > 0.0 { Self::new(self.x / length, self.y / length) } else { Self::new(1.0, 0.0) }
    }

    pub(super) fn scaled(self, times: f32) -> Self {
        Self::new(self.x * times, self.y * times)
    }

    /// Rotated by `angle` radians.
    pub(super) fn rotated(self, angle: f32) -> Self {
        let turn = Self::unit(angle);
        Self::new(self.x * turn.x - self.y * turn.y, self.x * turn.y + self.y * turn.x)
    }

    /// Rotated by a quarter turn.
    pub(super) const fn turned(self) -> Self {
        Self::new(-self.y, self.x)
    }
}

/// One eye of one patient.
pub(super) struct Eye {
    patient: u64,
    side: Laterality,
    /// Base colour of the retina.
    pub(super) ground: LinearRgb,
    /// Visibility of choroidal vessels, 0..1: higher in pale eyes.
    pub(super) choroid: f32,
    /// Darkness of the macula.
    pub(super) macula: f32,
    pub(super) macula_radius: f32,
    /// Centre of the optic disc.
    pub(super) disc: RetinaPoint,
    pub(super) disc_radius: f32,
    pub(super) disc_colour: LinearRgb,
    /// Cup-to-disc ratio of radii.
    pub(super) cup: f32,
    /// Peripapillary atrophy, 0..1.
    pub(super) halo: f32,
    /// Tortuosity of vessels, 1 on average.
    pub(super) tortuosity: f32,
    /// Calibre of vessels, 1 on average.
    pub(super) calibre: f32,
    /// Height of the temporal arcades above and below the fovea.
    pub(super) arcade: f32,
    /// Nerve fibre layer reflex along the arcades, as in young eyes, 0..1.
    pub(super) sheen: f32,
}

impl Eye {
    pub(super) fn draw(streams: &Streams, patient: u64, side: Laterality) -> Self {
        let of_patient = &mut streams.stream("patient", 0, &patient.to_le_bytes());
        let of_eye = &mut streams.stream("eye", 0, &id(patient, side));
        // Dark eyes are browner and hide the choroid; pale ones are orange and show it.
        let pigment = between(of_patient, 0.0, 1.0);
        let redness = between(of_patient, 0.0, 1.0);
        let age = between(of_patient, 0.0, 1.0);
        let red = 0.86 - 0.26 * pigment;
        let green = (0.46 - 0.15 * pigment) * (1.06 - 0.24 * redness);
        let blue = (0.06 + 0.14 * redness) * (1.1 - 0.4 * pigment);
        let disc_distance = between(of_patient, 0.60, 0.70);
        let disc_radius = between(of_patient, 0.105, 0.135);
        Self {
            patient,
            side,
            ground: [red, green, blue],
            choroid: (0.15 + 0.85 * (1.0 - pigment)) * between(of_patient, 0.35, 1.0),
            macula: between(of_patient, 0.16, 0.34),
            macula_radius: between(of_patient, 0.13, 0.20),
            disc: RetinaPoint::new(disc_distance, between(of_eye, -0.09, 0.01)),
            disc_radius,
            disc_colour: [
                between(of_patient, 0.97, 1.06),
                between(of_patient, 0.72, 0.86),
                0.28 + 0.30 * redness + between(of_patient, -0.04, 0.06),
            ],
            cup: between(of_eye, 0.32, 0.55),
            halo: between(of_eye, 0.0, 0.7),
            tortuosity: between(of_patient, 0.6, 1.5),
            calibre: between(of_patient, 0.88, 1.12),
            arcade: between(of_eye, 0.46, 0.58),
            sheen: if age < 0.3 { between(of_eye, 0.4, 1.0) } else { 0.0 },
        }
    }

    /// Identity of the eye, for its random streams.
    pub(super) fn id(&self) -> [u8; 9] {
        id(self.patient, self.side)
    }

    /// Direction of nerve fibres at `p`: around the fovea temporal to the disc, away from the disc elsewhere.
    pub(super) fn fibres(&self, p: RetinaPoint) -> RetinaPoint {
        let away = p.minus(self.disc).normalised();
        let around = p.normalised().turned();
        let around = if around.dot(away) < 0.0 { around.scaled(-1.0) } else { around };
        let temporal = super::smoothstep(self.disc.x, 0.0, p.x);
        away.scaled(1.0 - temporal).plus(around, temporal).normalised()
    }
}

fn id(patient: u64, side: Laterality) -> [u8; 9] {
    let mut id = [0; 9];
    id[..8].copy_from_slice(&patient.to_le_bytes());
    id[8] = u8::from(side == Laterality::Left);
    id
}
