//! Outlines of a photograph's lesions as `GeoJSON` (RFC 7946, with pixels instead of degrees): one feature per lesion.
//!
//! A lesion is a `Polygon` with its holes, or a `MultiPolygon` if some of its parts touch only in corners of pixels. Corners are integers,
//! so the polygons cover the lesion's pixels exactly. The collection also states the photograph, its size, and the classes that are
//! not annotated.

use serde::Serialize;
use serde_json::{Value, json};

use super::outline::{PixelCorner, PixelPolygon};
use super::{LesionComponent, PhotographLesions};
use crate::base::Digest;
use crate::stage::StageError;

/// A file with the lesions of a photograph.
#[derive(Serialize)]
pub(in crate::data) struct FeatureCollection<'a, P> {
    r#type: &'static str,
    photograph: &'a str,
    digest: String,
    width: u32,
    height: u32,
    scale: u32,
    classes: Vec<&'a str>,
    unknown: Vec<&'a str>,
    features: Vec<LesionFeature<P>>,
}

impl<'a, P: Serialize> FeatureCollection<'a, P> {
    /// Of a photograph of a size, px, whose pixels have sides of `scale` native pixels. `classes` says which are annotated.
    pub(in crate::data) fn new(
        (photograph, digest): (&'a str, Digest),
        [width, height]: [u32; 2],
        scale: u32,
        classes: &[(&'a str, bool)],
        features: Vec<LesionFeature<P>>,
    ) -> Self {
        let named = |annotated: bool| {
            let classes = classes.iter().filter(|(_, known)| *known == annotated);
            classes.map(|(name, _)| *name).collect()
        };
        let (r#type, digest) = ("FeatureCollection", digest.to_string());
        let (classes, unknown) = (named(true), named(false));
        Self { r#type, photograph, digest, width, height, scale, classes, unknown, features }
    }

    /// The file.
    ///
    /// # Errors
    /// [`StageError::Bug`] if it cannot be written.
    pub(in crate::data) fn bytes(&self) -> Result<Vec<u8>, StageError> {
        serde_json::to_vec(self).map_err(|error| StageError::Bug(error.to_string()))
    }
}

/// A lesion in such a file.
#[derive(Serialize)]
pub(in crate::data) struct LesionFeature<P> {
    r#type: &'static str,
    id: String,
    geometry: Value,
    properties: P,
}

impl<P> LesionFeature<P> {
    /// A lesion with these polygons.
    pub(in crate::data) fn new(id: String, polygons: &[PixelPolygon], properties: P) -> Self {
        Self { r#type: "Feature", id, geometry: geometry(polygons), properties }
    }
}

#[derive(Serialize)]
struct LesionProperties<'a> {
    class: &'a str,
    number: u32,
    area: u32,
    pixels: u32,
    x: f64,
    y: f64,
    rim: f32,
    disc: Option<f32>,
}

/// The `GeoJSON` file of a photograph's lesions; `outlines` has the polygons of each.
///
/// # Errors
/// [`StageError::Bug`] if it cannot be written.
pub fn collection(found: &PhotographLesions, outlines: &[Vec<PixelPolygon>]) -> Result<Vec<u8>, StageError> {
    let feature = |(lesion, polygons): (&LesionComponent, &Vec<PixelPolygon>)| {
        let class = found.classes.get(lesion.class).map_or("", |(name, _)| name.as_str());
        let properties = LesionProperties {
            class,
            number: lesion.number,
            area: lesion.area,
            pixels: lesion.pixels,
            x: lesion.centre[0],
            y: lesion.centre[1],
            rim: lesion.rim,
            disc: lesion.disc,
        };
        LesionFeature::new(format!("{class}-{}", lesion.number), polygons, properties)
    };
    let classes: Vec<(&str, bool)> = found.classes.iter().map(|(name, known)| (name.as_str(), *known)).collect();
    let features = found.lesions.iter().zip(outlines).map(feature).collect();
    FeatureCollection::new((&found.photograph, found.digest), found.size, found.scale, &classes, features).bytes()
}

/// Geometry of polygons, as they are.
fn geometry(polygons: &[PixelPolygon]) -> Value {
    let rings = |polygon: &PixelPolygon| -> Vec<Vec<PixelCorner>> {
        std::iter::once(&polygon.exterior).chain(&polygon.holes).map(|ring| closed(ring)).collect()
    };
    match polygons {
        [polygon] => json!({ "type": "Polygon", "coordinates": rings(polygon) }),
        parts => {
            json!({ "type": "MultiPolygon", "coordinates": parts.iter().map(rings).collect::<Vec<_>>() })
        }
    }
}

/// A ring with its first corner repeated at the end.
fn closed(ring: &[PixelCorner]) -> Vec<PixelCorner> {
    ring.iter().chain(ring.first()).copied().collect()
}
