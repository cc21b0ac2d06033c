//! Outlines of a component along the edges of its pixels. Knows no lesions.

use std::collections::HashMap;

use super::components::{Connectivity, PixelRun, components};
use crate::data::bitmap::Bitmap;

/// A corner of a pixel: the number of columns left of it and of rows above it.
pub type PixelCorner = [u32; 2];

/// A polygon along the edges of pixels. Its rings are not closed (the first corner is not repeated), have a corner only where they
/// turn, visit no corner twice, and touch each other at most in corners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PixelPolygon {
    /// Outer ring, counter-clockwise with x to the right and y upwards (signed area positive), so clockwise as displayed.
    pub exterior: Vec<PixelCorner>,
    /// Holes, the other way around.
    pub holes: Vec<Vec<PixelCorner>>,
}

/// Polygons that together cover exactly the pixels of `runs`, which are sorted row by row from the left: one for each part that is
/// connected by edges.
#[must_use]
pub fn polygons(runs: &[PixelRun]) -> Vec<PixelPolygon> {
    components(runs, Connectivity::Four).iter().map(|part| polygon(part)).collect()
}

fn polygon(part: &[PixelRun]) -> PixelPolygon {
    let left = part.iter().map(|run| run.left).min().unwrap_or(0);
    let right = part.iter().map(|run| run.right).max().unwrap_or(0);
    let (top, bottom) = (part.first().map_or(0, |run| run.y), part.last().map_or(0, |run| run.y + 1));
    // With one empty pixel all around, so that every corner has four pixels.
    let size = ((right - left + 2) as usize, (bottom - top + 2) as usize);
    let local = |run: &PixelRun| {
        let row = (run.y - top + 1) as usize;
        (run.left - left + 1..run.right - left + 1).map(move |x| (x as usize, row))
    };
    let mut bits = Bitmap::new(size.0, size.1);
    part.iter().flat_map(local).for_each(|(x, y)| bits.set(x, y));
    let mut walk = OutlineWalk { bits, walked: Bitmap::new(size.0, size.1), rings: Vec::new() };
    for (x, y) in part.iter().flat_map(local) {
        if !walk.bits.get(x, y - 1) && !walk.walked.get(x, y) {
            walk.trace((x, y));
        }
    }
    let global = |ring: Vec<LocalCorner>| -> Vec<PixelCorner> {
        ring.into_iter().map(|(x, y)| [x as u32 + left - 1, y as u32 + top - 1]).collect()
    };
    let rings: Vec<_> = walk.rings.into_iter().map(global).collect();
    let (mut outer, holes): (Vec<_>, Vec<_>) = rings.into_iter().partition(|ring| doubled_area(ring) > 0);
    // Pixels that are connected by edges have one outer ring.
    PixelPolygon { exterior: outer.pop().unwrap_or_default(), holes }
}

/// Twice the signed area of a ring, px.
fn doubled_area(ring: &[PixelCorner]) -> i64 {
    let next = ring.iter().cycle().skip(1);
    let cross = |([x, y], [nx, ny]): (&PixelCorner, &PixelCorner)| {
        i64::from(*x) * i64::from(*ny) - i64::from(*nx) * i64::from(*y)
    };
    ring.iter().zip(next).map(cross).sum()
}

/// A corner within the box of a part.
type LocalCorner = (usize, usize);

/// Direction of an edge, as displayed; the part is always on its right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heading {
    East,
    South,
    West,
    North,
}

impl Heading {
    const fn right(self) -> Self {
        match self {
            Self::East => Self::South,
            Self::South => Self::West,
            Self::West => Self::North,
            Self::North => Self::East,
        }
    }

    const fn left(self) -> Self {
        self.right().right().right()
    }

    const fn step(self, (x, y): LocalCorner) -> LocalCorner {
        match self {
            Self::East => (x + 1, y),
            Self::South => (x, y + 1),
            Self::West => (x - 1, y),
            Self::North => (x, y - 1),
        }
    }

    /// The pixel ahead of a corner on the right.
    const fn ahead(self, (x, y): LocalCorner) -> LocalCorner {
        match self {
            Self::East => (x, y),
            Self::South => (x - 1, y),
            Self::West => (x - 1, y - 1),
            Self::North => (x, y - 1),
        }
    }
}

/// Rings found so far around the pixels of a part.
struct OutlineWalk {
    bits: Bitmap,
    /// Pixels whose upper edge was walked along.
    walked: Bitmap,
    rings: Vec<Vec<LocalCorner>>,
}

impl OutlineWalk {
    /// Walks around the boundary on which the upper edge of pixel `start` is; its left end must be a corner.
    fn trace(&mut self, start: LocalCorner) {
        let (mut at, mut heading) = (start, Heading::East);
        let mut ring = vec![start];
        let mut places = HashMap::from([(start, 0)]);
        loop {
            if heading == Heading::East {
                self.walked.set(at.0, at.1);
            }
            at = heading.step(at);
            let is_set = |(x, y): LocalCorner| self.bits.get(x, y);
            // Right where two pixels only share this corner, so that they are on different sides of the ring.
            let turned = if !is_set(heading.ahead(at)) {
                heading.right()
            } else if is_set(heading.left().ahead(at)) {
                heading.left()
            } else {
                heading
            };
            if at == start && turned == Heading::East {
                break;
            }
            if turned != heading {
                // A corner met twice ends a ring of its own, which touches the rest there.
                if let Some(&place) = places.get(&at) {
                    ring[place + 1..].iter().for_each(|corner| {
                        places.remove(corner);
                    });
                    let own = ring.split_off(place + 1);
                    self.rings.push(std::iter::once(at).chain(own).collect());
                } else {
                    places.insert(at, ring.len());
                    ring.push(at);
                }
            }
            heading = turned;
        }
        self.rings.push(ring);
    }
}
