//! The framing of a photograph: gaze, eye, field of view, and where a point of the retina is in it.

use super::anatomy::{Laterality, RetinaPoint};
use super::between;
use crate::base::random::Stream;

/// Position of the retina in the photograph.
pub(super) struct Framing {
    /// Width and height, px.
    pub(super) size: usize,
    /// Centre of the field of view.
    pub(super) centre_px: RetinaPoint,
    /// Radius of the field of view, px: the unit of length on the retina.
    pub(super) radius_px: f32,
    turn: RetinaPoint,
    mirror: f32,
    gaze: RetinaPoint,
}

impl Framing {
    pub(super) fn draw(stream: &mut Stream, size: u32, side: Laterality) -> Self {
        let side_px = size as f32;
        Self {
            size: size as usize,
            centre_px: RetinaPoint::new(
                side_px * between(stream, 0.488, 0.512),
                side_px * between(stream, 0.488, 0.512),
            ),
            radius_px: side_px * between(stream, 0.465, 0.505),
            turn: RetinaPoint::unit(between(stream, -0.12, 0.12)),
            mirror: if side == Laterality::Right { 1.0 } else { -1.0 },
            gaze: RetinaPoint::new(between(stream, -0.02, 0.22), between(stream, -0.08, 0.08)),
        }
    }

    /// Retinal position at a pixel's coordinates.
    pub(super) fn retina(&self, x_px: f32, y_px: f32) -> RetinaPoint {
        let x = (x_px - self.centre_px.x) / self.radius_px;
        let y = (y_px - self.centre_px.y) / self.radius_px;
        let turned = RetinaPoint::new(x * self.turn.x + y * self.turn.y, y * self.turn.x - x * self.turn.y);
        RetinaPoint::new(turned.x * self.mirror, turned.y).plus(self.gaze, 1.0)
    }

    /// Pixel coordinates of a retinal position.
    pub(super) fn pixel(&self, place: RetinaPoint) -> RetinaPoint {
        let seen = place.minus(self.gaze);
        let (x, y) = (seen.x * self.mirror, seen.y);
        let turned = RetinaPoint::new(x * self.turn.x - y * self.turn.y, y * self.turn.x + x * self.turn.y);
        self.centre_px.plus(turned, self.radius_px)
    }

    /// Distance of a pixel from the centre of the field of view, in its radii.
    pub(super) fn off_centre(&self, x_px: f32, y_px: f32) -> f32 {
        RetinaPoint::new(x_px, y_px).minus(self.centre_px).length() / self.radius_px
    }

    /// Whether a position is well inside the field of view and the photograph.
    pub(super) fn sees(&self, place: RetinaPoint, margin: f32) -> bool {
        let at = self.pixel(place);
        let edge = margin * self.radius_px;
        let inside = edge..self.size as f32 - edge;
        self.off_centre(at.x, at.y) < 1.0 - margin && inside.contains(&at.x) && inside.contains(&at.y)
    }
}

/// Calls `visit` for each pixel in the square of half width `reach_px` around `centre_px`, with its offset from the centre.
pub(super) fn for_box(
    size: usize,
    centre_px: RetinaPoint,
    reach_px: f32,
    mut visit: impl FnMut(usize, usize, RetinaPoint),
) {
    let range = |centre: f32| {
        let first = (centre - reach_px).floor().clamp(0.0, size as f32) as usize;
        let last = (centre + reach_px).ceil().clamp(0.0, size as f32) as usize;
        first..last
    };
    for y in range(centre_px.y) {
        for x in range(centre_px.x) {
            visit(x, y, RetinaPoint::new(x as f32 + 0.5, y as f32 + 0.5).minus(centre_px));
        }
    }
}
