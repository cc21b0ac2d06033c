//! Shapes of lesions, read from their outlines: whether a point is inside, and how far it is from them. Knows no score.

use serde::Deserialize;
use serde_json::Value;

use super::outline::PixelCorner;
use crate::stage::StageError;

/// Area of one lesion.
#[derive(Clone, Debug, PartialEq)]
pub struct LesionShape {
    /// Its class.
    pub class: String,
    /// Its number within class and photograph, from 1.
    pub number: u32,
    /// Rings along the edges of its pixels: outer ones and holes, each with its first corner repeated at the end.
    rings: Vec<Vec<PixelCorner>>,
}

/// Lesions of one photograph.
#[derive(Clone, Debug, PartialEq)]
pub struct LesionShapes {
    /// Width and height of the photograph, px.
    pub size: [u32; 2],
    /// Side of one pixel in native pixels.
    pub scale: u32,
    /// Classes that are annotated; of the others it is unknown where lesions are.
    pub classes: Vec<String>,
    /// The lesions.
    pub lesions: Vec<LesionShape>,
}

#[derive(Deserialize)]
struct OutlineFile {
    width: u32,
    height: u32,
    scale: u32,
    classes: Vec<String>,
    features: Vec<OutlineFeature>,
}

#[derive(Deserialize)]
struct OutlineFeature {
    geometry: OutlineGeometry,
    properties: OutlineProperties,
}

#[derive(Deserialize)]
struct OutlineGeometry {
    r#type: String,
    coordinates: Value,
}

#[derive(Deserialize)]
struct OutlineProperties {
    class: String,
    number: u32,
}

impl LesionShapes {
    /// Reads the outlines of photograph `name` ([`super::geojson`]).
    ///
    /// # Errors
    /// `foreign-table` if macula did not write the bytes.
    pub fn from_geojson(name: &str, bytes: &[u8]) -> Result<Self, StageError> {
        let foreign = |error: serde_json::Error| {
            StageError::input("foreign-table", format!("not outlines written by macula: `{name}`: {error}"))
        };
        let file: OutlineFile = serde_json::from_slice(bytes).map_err(foreign)?;
        let shape = |OutlineFeature { geometry, properties }: OutlineFeature| {
            let rings = match geometry.r#type.as_str() {
                "MultiPolygon" => {
                    let parts: Vec<Vec<Vec<PixelCorner>>> = serde_json::from_value(geometry.coordinates)?;
                    parts.into_iter().flatten().collect()
                }
                _ => serde_json::from_value(geometry.coordinates)?,
            };
            Ok(LesionShape { class: properties.class, number: properties.number, rings })
        };
        Ok(Self {
            size: [file.width, file.height],
            scale: file.scale,
            classes: file.classes,
            lesions: file.features.into_iter().map(shape).collect::<Result<_, _>>().map_err(foreign)?,
        })
    }
}

impl LesionShape {
    /// Distance from a point to the lesion, px; 0 inside it.
    #[must_use]
    pub fn distance(&self, [x, y]: [f64; 2]) -> f64 {
        let (mut inside, mut least) = (false, f64::INFINITY);
        for [from, to] in self.rings.iter().flat_map(|ring| ring.array_windows()) {
            let ([ax, ay], [bx, by]) = (from.map(f64::from), to.map(f64::from));
            // Edges run along rows or columns; only those along columns cross a line to the right.
            inside ^= ax == bx && ax > x && (ay > y) != (by > y);
            let (dx, dy) = (outside(x, ax.min(bx), ax.max(bx)), outside(y, ay.min(by), ay.max(by)));
            least = least.min(dx * dx + dy * dy);
        }
        if inside { 0.0 } else { least.sqrt() }
    }
}

/// Distance from `at` to the interval; 0 inside.
fn outside(at: f64, from: f64, to: f64) -> f64 {
    (from - at).max(at - to).max(0.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::data::bitmap::Bitmap;
    use crate::data::lesions::components::{Connectivity, components, runs};
    use crate::data::lesions::nearest::PixelSet;
    use crate::data::lesions::outline::polygons;

    proptest! {
        #[test]
        fn the_distance_is_that_to_the_nearest_pixel(
            width in 1usize..16, height in 1usize..12, seed in any::<u64>(), x in -4.0..20.0, y in -4.0..16.0,
        ) {
            let mut bits = Bitmap::new(width, height);
            for (x, y) in (0..height).flat_map(|y| (0..width).map(move |x| (x, y))) {
                if ((x * 31 + y * 57 + 1) as u64).wrapping_mul(seed | 1) >> 60 < 9 {
                    bits.set(x, y);
                }
            }
            for component in components(&runs(&bits), Connectivity::Eight) {
                let rings = polygons(&component).into_iter().flat_map(|polygon| {
                    std::iter::once(polygon.exterior).chain(polygon.holes)
                });
                let closed = rings.map(|ring| ring.iter().chain(ring.first()).copied().collect());
                let shape = LesionShape { class: String::new(), number: 1, rings: closed.collect() };
                let expected = PixelSet::new(component, height).distance([x, y]).expect("a pixel");
                prop_assert!((shape.distance([x, y]) - expected).abs() < 1e-9, "{shape:?}");
            }
        }
    }
}
