//! `GeoJSON` as `QuPath` writes it: one file per photograph, with polygons, their holes, and points. A feature's label is the name of its
//! classification, or else its property `class`, as in macula's own outlines of lesions.

use super::json::{self, JsonNode};
use super::mistakes::AnnotationMistakes;
use super::shape::{DrawnShape, in_range, ring};
use super::{AnnotatedPicture, AnnotationFile, ClassShape, ReadingRule};

/// Most geometry collections within each other.
const DEEPEST: usize = 8;

pub(super) fn read(text: &str, rule: &ReadingRule<'_>, mistakes: &mut AnnotationMistakes) -> Option<AnnotationFile> {
    let root = json::parse(text, mistakes)?;
    let one = std::slice::from_ref(&root);
    let (list, features) = match (&root, root.text_of("type")) {
        (_, Some("Feature")) => ("feature", one),
        (JsonNode::Map(_), _) => {
            let Some(features) = root.get("features").and_then(JsonNode::list) else {
                root.lacks("features", "GeoJSON", mistakes);
                return None;
            };
            ("features", features)
        }
        _ => {
            let Some(features) = root.list() else {
                mistakes.add("", format!("is {}, not a GeoJSON of features", root.kind()));
                return None;
            };
            ("", features)
        }
    };
    let mut file = AnnotationFile::default();
    let side = |name| root.get(name).and_then(JsonNode::side);
    let size = side("width").zip(side("height")).map(|(width, height)| [width, height]);
    let classes = root.get("classes").and_then(JsonNode::list).unwrap_or_default();
    let searched = classes.iter().filter_map(|class| rule.labels.class(class.text()?)).collect();
    let mut picture = AnnotatedPicture { size, searched, ..AnnotatedPicture::default() };
    for (at, feature) in features.iter().enumerate() {
        let place = match feature.get("id").and_then(JsonNode::id) {
            Some(id) => format!("{list}[{at}] (id {id})"),
            None => format!("{list}[{at}]"),
        };
        let label = label(feature);
        *file.labels.entry(label.clone()).or_default() += 1;
        let Some(class) = rule.labels.class(&label) else { continue };
        let Some(geometry) = feature.get("geometry") else {
            mistakes.add(&place, "has no `geometry`");
            continue;
        };
        let mut found = Vec::new();
        shapes(geometry, rule, &place, 0, mistakes, &mut found);
        picture.shapes.extend(found.into_iter().map(|shape| ClassShape { class, place: place.clone(), shape }));
    }
    file.pictures.push(picture);
    Some(file)
}

/// Label of a feature; empty if it has none.
fn label(feature: &JsonNode) -> String {
    let Some(properties) = feature.get("properties") else { return String::new() };
    let classification = properties.get("classification");
    let names = classification.and_then(|node| node.get("names")).and_then(JsonNode::list).unwrap_or_default();
    let names: Vec<&str> = names.iter().filter_map(JsonNode::text).collect();
    let name = classification.and_then(|node| node.text_of("name").or_else(|| node.text()));
    match name.or_else(|| properties.text_of("class")) {
        Some(name) => name.to_owned(),
        None => names.join(": "),
    }
}

fn shapes(
    geometry: &JsonNode,
    rule: &ReadingRule<'_>,
    place: &str,
    depth: usize,
    mistakes: &mut AnnotationMistakes,
    found: &mut Vec<DrawnShape>,
) {
    let kind = geometry.text_of("type").unwrap_or_default();
    let coordinates = geometry.get("coordinates");
    let parts = || coordinates.and_then(JsonNode::list).unwrap_or_default();
    match (kind, coordinates) {
        ("Polygon", Some(rings)) => found.extend(polygon(rings, place, mistakes)),
        ("MultiPolygon", Some(_)) => found.extend(parts().iter().filter_map(|rings| polygon(rings, place, mistakes))),
        ("Point", Some(JsonNode::Numbers(point))) if point.len() >= 2 => {
            found.extend(rule.point([point[0], point[1]], place, mistakes));
        }
        ("MultiPoint", Some(points)) => match points.points() {
            Some(points) => {
                found.extend(points.into_iter().filter_map(|point| rule.point(point, place, mistakes)));
            }
            None => mistakes.add(place, "its points are not pairs of numbers"),
        },
        ("GeometryCollection", _) if depth < DEEPEST => {
            let parts = geometry.get("geometries").and_then(JsonNode::list).unwrap_or_default();
            for part in parts {
                shapes(part, rule, place, depth + 1, mistakes, found);
            }
        }
        ("LineString" | "MultiLineString", _) => {
            mistakes.add(place, format!("is a `{kind}`, which has no area; draw a closed shape"));
        }
        _ => mistakes.add(place, format!("its geometry `{kind}` is not one with coordinates that can be drawn")),
    }
}

/// A polygon with its holes.
fn polygon(rings: &JsonNode, place: &str, mistakes: &mut AnnotationMistakes) -> Option<DrawnShape> {
    let points = rings.list().and_then(|rings| rings.iter().map(JsonNode::points).collect::<Option<Vec<_>>>());
    let Some(points) = points.filter(|rings| !rings.is_empty()) else {
        mistakes.add(place, "its polygon is not a list of rings, each a list of points");
        return None;
    };
    let rings: Option<Vec<_>> = points.into_iter().map(|points| ring(points, place, mistakes)).collect();
    Some(DrawnShape::Polygon(rings?))
}

impl ReadingRule<'_> {
    /// A point as a circle, if the pipeline gives points a radius.
    pub(super) fn point(&self, centre: [f64; 2], place: &str, mistakes: &mut AnnotationMistakes) -> Option<DrawnShape> {
        if !in_range(&centre, place, mistakes) {
            return None;
        }
        if self.point_radius.is_none() {
            mistakes.add(place, "is a point, which has no area; `point-radius 3` makes it a circle of 3 px");
        }
        self.point_radius.map(|radius| DrawnShape::circle(centre, radius))
    }
}
