//! labelme JSON: one file per photograph, with polygons, rectangles, circles and masks.

use super::embedded_png::pixels;
use super::json::{self, JsonNode};
use super::mistakes::AnnotationMistakes;
use super::shape::{DrawnShape, in_range, ring};
use super::{AnnotatedPicture, AnnotationFile, ClassShape, ReadingRule};

const TOOL: &str = "labelme JSON";

pub(super) fn read(text: &str, rule: &ReadingRule<'_>, mistakes: &mut AnnotationMistakes) -> Option<AnnotationFile> {
    let root = json::parse(text, mistakes)?;
    let Some(shapes) = root.get("shapes").and_then(JsonNode::list) else {
        root.lacks("shapes", TOOL, mistakes);
        return None;
    };
    let size = match (root.get("imageWidth"), root.get("imageHeight")) {
        (Some(width), Some(height)) => {
            let size = width.side().zip(height.side()).map(|(width, height)| [width, height]);
            if size.is_none() {
                mistakes.add("", "its `imageWidth` and `imageHeight` are not positive whole numbers");
            }
            size
        }
        _ => None,
    };
    let mut file = AnnotationFile::default();
    let stated = root.text_of("imagePath").unwrap_or_default().to_owned();
    let mut picture = AnnotatedPicture { stated, size, ..AnnotatedPicture::default() };
    for (at, node) in shapes.iter().enumerate() {
        let place = format!("shapes[{at}]");
        let Some(label) = node.text_of("label") else {
            mistakes.add(&place, "has no `label`");
            continue;
        };
        *file.labels.entry(label.to_owned()).or_default() += 1;
        let Some(class) = rule.labels.class(label) else { continue };
        if let Some(shape) = shape(node, rule, &place, mistakes) {
            picture.shapes.push(ClassShape { class, place, shape });
        }
    }
    file.pictures.push(picture);
    Some(file)
}

fn shape(
    node: &JsonNode,
    rule: &ReadingRule<'_>,
    place: &str,
    mistakes: &mut AnnotationMistakes,
) -> Option<DrawnShape> {
    let Some(points) = node.get("points").and_then(JsonNode::points) else {
        mistakes.add(place, "has no `points` of two numbers each");
        return None;
    };
    if !points.iter().all(|point| in_range(point, place, mistakes)) {
        return None;
    }
    match (node.text_of("shape_type").unwrap_or("polygon"), points.as_slice()) {
        ("polygon" | "oriented_rectangle", _) => Some(DrawnShape::Polygon(vec![ring(points, place, mistakes)?])),
        ("rectangle", &[one, other]) => Some(DrawnShape::rectangle(one, other)),
        ("rectangle", [_, _, _, _]) => Some(DrawnShape::Polygon(vec![points])),
        ("circle", &[centre, rim]) => {
            Some(DrawnShape::circle(centre, libm::hypot(rim[0] - centre[0], rim[1] - centre[1])))
        }
        ("mask", &[corner, _]) => {
            let Some(text) = node.text_of("mask") else {
                mistakes.add(place, "is a mask without its pixels in `mask`");
                return None;
            };
            pixels(text, corner, place, mistakes)
        }
        ("point", &[centre]) => rule.point(centre, place, mistakes),
        (kind @ ("rectangle" | "circle" | "mask" | "point"), _) => {
            let count = crate::base::figure::counted(points.len() as u64, "point", "points");
            mistakes.add(place, format!("is a {kind} of {count}"));
            None
        }
        (kind, _) => {
            mistakes.add(place, format!("is a `{kind}`, which has no area; draw a polygon, rectangle or circle"));
            None
        }
    }
}
