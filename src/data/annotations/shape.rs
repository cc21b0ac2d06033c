//! Shapes as annotation tools draw them. Coordinates are in pixels: (0, 0) is the outer corner of the photograph's first pixel, x points
//! right, y down. Knows no format and no pixels.

use super::mistakes::AnnotationMistakes;

/// Largest coordinate of a shape, px: far outside any photograph.
pub(super) const MOST: f64 = 1_048_576.0;

/// A shape.
#[derive(Clone, Debug, PartialEq)]
pub enum DrawnShape {
    /// Rings of corners. Inside is what an odd number of rings encloses, so a ring within another is a hole.
    Polygon(Vec<Vec<[f64; 2]>>),
    /// An ellipse: centre, radii before it is rotated, and rotation in degrees, from x towards y.
    Ellipse {
        /// Centre.
        centre: [f64; 2],
        /// Radius along x and y before the rotation.
        radii: [f64; 2],
        /// Rotation, degrees.
        degrees: f64,
    },
    /// Pixels of a rectangle as lengths of runs, alternating between outside and inside, outside first.
    Runs {
        /// Order of the pixels.
        order: RunOrder,
        /// Column and row of the rectangle's first pixel.
        corner: [u32; 2],
        /// Width and height of the rectangle.
        size: [u32; 2],
        /// Lengths; their sum is the rectangle's area.
        counts: Vec<u32>,
    },
}

/// Order of pixels in runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunOrder {
    /// Column by column from the left, as COCO.
    Columns,
    /// Row by row from the top, as CVAT.
    Rows,
}

impl DrawnShape {
    /// Axis-parallel rectangle between two corners, in any order.
    #[must_use]
    pub fn rectangle(one: [f64; 2], other: [f64; 2]) -> Self {
        let ([left, right], [top, bottom]) = ([one[0], other[0]], [one[1], other[1]]);
        Self::Polygon(vec![vec![[left, top], [right, top], [right, bottom], [left, bottom]]])
    }

    /// Circle around a point.
    #[must_use]
    pub const fn circle(centre: [f64; 2], radius: f64) -> Self {
        Self::Ellipse { centre, radii: [radius; 2], degrees: 0.0 }
    }

    /// The rectangle around it: left, top, right, bottom; [`None`] for a polygon without corners.
    #[must_use]
    pub fn bounds(&self) -> Option<[f64; 4]> {
        match self {
            Self::Polygon(rings) => {
                let mut corners = rings.iter().flatten();
                let &[x, y] = corners.next()?;
                let widen = |[left, top, right, bottom]: [f64; 4], &[x, y]: &[f64; 2]| {
                    [left.min(x), top.min(y), right.max(x), bottom.max(y)]
                };
                Some(corners.fold([x, y, x, y], widen))
            }
            Self::Ellipse { centre: [x, y], radii: [a, b], degrees } => {
                let (sin, cos) = libm::sincos(degrees.to_radians());
                let (dx, dy) = (libm::hypot(a * cos, b * sin), libm::hypot(a * sin, b * cos));
                Some([x - dx, y - dy, x + dx, y + dy])
            }
            Self::Runs { corner, size, .. } => {
                let [left, top] = corner.map(f64::from);
                Some([left, top, left + f64::from(size[0]), top + f64::from(size[1])])
            }
        }
    }

    /// The shape with fractions of a picture scaled to its size, px.
    #[must_use]
    pub fn scaled(self, size: [u32; 2]) -> Self {
        let [width, height] = size.map(f64::from);
        match self {
            Self::Polygon(mut rings) => {
                rings.iter_mut().flatten().for_each(|[x, y]| (*x, *y) = (*x * width, *y * height));
                Self::Polygon(rings)
            }
            other => other,
        }
    }
}

/// A ring from its corners; adds a mistake unless it has three and all of them are in range.
pub(super) fn ring(corners: Vec<[f64; 2]>, place: &str, mistakes: &mut AnnotationMistakes) -> Option<Vec<[f64; 2]>> {
    if corners.len() < 3 {
        let count = crate::base::figure::counted(corners.len() as u64, "point", "points");
        mistakes.add(place, format!("has {count}; a polygon needs 3"));
        return None;
    }
    corners.iter().all(|corner| in_range(corner, place, mistakes)).then_some(corners)
}

/// Whether coordinates are numbers that a photograph can have; adds a mistake otherwise.
pub(super) fn in_range(numbers: &[f64], place: &str, mistakes: &mut AnnotationMistakes) -> bool {
    let wrong = numbers.iter().find(|number| !(-MOST..=MOST).contains(*number));
    if let Some(number) = wrong {
        mistakes.add(place, format!("has the coordinate {number:e}, which no photograph has"));
    }
    wrong.is_none()
}

/// The corners of a rectangle rotated by `degrees` around its centre, from x towards y.
pub(super) fn rotated(corners: &mut [[f64; 2]], degrees: f64) {
    let [Some(first), Some(across)] = [corners.first().copied(), corners.get(2).copied()] else { return };
    let (x, y) = (f64::midpoint(first[0], across[0]), f64::midpoint(first[1], across[1]));
    let (sin, cos) = libm::sincos(degrees.to_radians());
    for corner in corners {
        let (dx, dy) = (corner[0] - x, corner[1] - y);
        *corner = [x + dx * cos - dy * sin, y + dx * sin + dy * cos];
    }
}
