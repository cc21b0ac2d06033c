//! Outlines of a photograph's lesions as `GeoJSON` (RFC 7946, with pixels instead of degrees): one feature per lesion.
//!
//! A lesion is a `Polygon` with its holes, or a `MultiPolygon` if some of its parts touch only in corners of pixels. Corners are integers,
//! so the polygons cover the lesion's pixels exactly. The collection also states the photograph, its size, and the classes that are
//! not annotated.

use serde::Serialize;
use serde_json::{Value, json};

use super::outline::{PixelCorner, PixelPolygon};
use super::{LesionComponent, PhotographLesions};
use crate::stage::StageError;

#[derive(Serialize)]
struct FeatureCollection<'a> {
    r#type: &'static str,
    photograph: &'a str,
    digest: String,
    width: u32,
    height: u32,
    scale: u32,
    /// Classes that are annotated, and those that are not.
    classes: Vec<&'a str>,
    unknown: Vec<&'a str>,
    features: Vec<LesionFeature<'a>>,
}

#[derive(Serialize)]
struct LesionFeature<'a> {
    r#type: &'static str,
    id: String,
    geometry: Value,
    properties: LesionProperties<'a>,
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
    let named = |annotated: bool| {
        let classes = found.classes.iter().filter(|(_, known)| *known == annotated);
        classes.map(|(name, _)| name.as_str()).collect()
    };
    let feature = |(lesion, polygons): (&LesionComponent, &Vec<PixelPolygon>)| {
        let class = found.classes.get(lesion.class).map_or("", |(name, _)| name.as_str());
        LesionFeature {
            r#type: "Feature",
            id: format!("{class}-{}", lesion.number),
            geometry: geometry(polygons),
            properties: LesionProperties {
                class,
                number: lesion.number,
                area: lesion.area,
                pixels: lesion.pixels,
                x: lesion.centre[0],
                y: lesion.centre[1],
                rim: lesion.rim,
                disc: lesion.disc,
            },
        }
    };
    let collection = FeatureCollection {
        r#type: "FeatureCollection",
        photograph: &found.photograph,
        digest: found.digest.to_string(),
        width: found.size[0],
        height: found.size[1],
        scale: found.scale,
        classes: named(true),
        unknown: named(false),
        features: found.lesions.iter().zip(outlines).map(feature).collect(),
    };
    serde_json::to_vec(&collection).map_err(|error| StageError::Bug(error.to_string()))
}

/// Geometry of polygons, as they are.
pub(in crate::data) fn geometry(polygons: &[PixelPolygon]) -> Value {
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
