//! COCO JSON: `images`, `categories` and `annotations` with polygons, run lengths or boxes. Keypoints and captions are not read.

use std::collections::{BTreeMap, HashMap};

use super::json::{self, JsonNode};
use super::mistakes::AnnotationMistakes;
use super::run_lengths::{decompressed, runs};
use super::shape::{DrawnShape, RunOrder, in_range, ring};
use super::{AnnotatedPicture, AnnotationFile, ClassShape, ReadingRule};

const TOOL: &str = "COCO JSON";

pub(super) fn read(text: &str, rule: &ReadingRule<'_>, mistakes: &mut AnnotationMistakes) -> Option<AnnotationFile> {
    let root = json::parse(text, mistakes)?;
    let mut list = |name: &str| {
        let found = root.get(name).and_then(JsonNode::list);
        if found.is_none() {
            root.lacks(name, TOOL, mistakes);
        }
        found
    };
    let (images, annotations, categories) = (list("images")?, list("annotations")?, list("categories")?);
    let categories = categories_of(categories, mistakes);
    let mut file = AnnotationFile { declared: Some(categories.values().cloned().collect()), ..Default::default() };
    let mut by_id: HashMap<String, usize> = HashMap::new();
    for (at, image) in images.iter().enumerate() {
        let place = placed("images", at, image);
        let Some(id) = image.get("id").and_then(JsonNode::id) else {
            mistakes.add(&place, "has no `id`");
            continue;
        };
        let Some(name) = image.text_of("file_name") else {
            mistakes.add(&place, "has no `file_name`");
            continue;
        };
        if by_id.insert(id, file.pictures.len()).is_some() {
            mistakes.add(&place, "has the `id` of an image before it");
        }
        let size = size(image, &place, mistakes);
        let searched = searched(image, &categories, rule);
        file.pictures.push(AnnotatedPicture {
            name: name.to_owned(),
            place,
            size,
            searched,
            ..AnnotatedPicture::default()
        });
    }
    for (at, annotation) in annotations.iter().enumerate() {
        let place = placed("annotations", at, annotation);
        if annotation.get("score").is_some() {
            mistakes.add(&place, "has a `score`: it is a prediction, not a label");
            continue;
        }
        let reference = |member: &str| annotation.get(member).and_then(JsonNode::id);
        let Some(label) = reference("category_id").and_then(|id| categories.get(&id)) else {
            let id = reference("category_id").unwrap_or_default();
            mistakes.add(&place, format!("its `category_id` {id} is not in `categories`"));
            continue;
        };
        *file.labels.entry(label.clone()).or_default() += 1;
        let Some(class) = rule.labels.class(label) else { continue };
        let Some(&picture) = reference("image_id").and_then(|id| by_id.get(&id)) else {
            let id = reference("image_id").unwrap_or_default();
            mistakes.add(&place, format!("its `image_id` {id} is not in `images`"));
            continue;
        };
        let picture = &mut file.pictures[picture];
        for shape in shapes(annotation, picture.size, &place, mistakes) {
            picture.shapes.push(ClassShape { class, place: place.clone(), shape });
        }
    }
    Some(file)
}

/// Classes of the image's `neg_category_ids` (as in LVIS), which were searched for and not found.
fn searched(image: &JsonNode, categories: &BTreeMap<String, String>, rule: &ReadingRule<'_>) -> Vec<usize> {
    let class = |id: &f64| rule.labels.class(categories.get(&format!("{id}"))?);
    image.get("neg_category_ids").and_then(JsonNode::numbers).unwrap_or_default().iter().filter_map(class).collect()
}

/// Place of an element: `annotations[17] (id 4123)`.
fn placed(list: &str, at: usize, node: &JsonNode) -> String {
    match node.get("id").and_then(JsonNode::id) {
        Some(id) => format!("{list}[{at}] (id {id})"),
        None => format!("{list}[{at}]"),
    }
}

/// Labels by identifier.
fn categories_of(nodes: &[JsonNode], mistakes: &mut AnnotationMistakes) -> BTreeMap<String, String> {
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    for (at, node) in nodes.iter().enumerate() {
        let place = placed("categories", at, node);
        let Some(id) = node.get("id").and_then(JsonNode::id) else {
            mistakes.add(&place, "has no `id`");
            continue;
        };
        let Some(name) = node.text_of("name") else {
            mistakes.add(&place, "has no `name`");
            continue;
        };
        if let Some(other) = found.insert(id, name.to_owned()).filter(|other| other != name) {
            mistakes.add(&place, format!("has the `id` of `{other}`"));
        }
    }
    found
}

/// Width and height of an image, if it states them.
fn size(image: &JsonNode, place: &str, mistakes: &mut AnnotationMistakes) -> Option<[u32; 2]> {
    let (width, height) = (image.get("width")?, image.get("height")?);
    let size = width.side().zip(height.side()).map(|(width, height)| [width, height]);
    if size.is_none() {
        mistakes.add(place, "its `width` and `height` are not positive whole numbers");
    }
    size
}

/// Shapes of an annotation: its polygons, or its run lengths, or else its box.
fn shapes(
    annotation: &JsonNode,
    size: Option<[u32; 2]>,
    place: &str,
    mistakes: &mut AnnotationMistakes,
) -> Vec<DrawnShape> {
    let segmentation = annotation.get("segmentation").filter(|node| node.list().is_none_or(|list| !list.is_empty()));
    match segmentation {
        Some(mask @ JsonNode::Map(_)) => run_lengths(mask, size, place, mistakes).into_iter().collect(),
        Some(JsonNode::List(polygons)) => {
            polygons.iter().filter_map(|polygon| flat(polygon, place, mistakes)).collect()
        }
        Some(JsonNode::Points(points)) => {
            for point in points {
                let _ = ring(vec![*point], place, mistakes);
            }
            Vec::new()
        }
        Some(JsonNode::Numbers(_)) => {
            mistakes.add(place, "its `segmentation` is a list of numbers; expected a list of polygons, `[[x, y, …]]`");
            Vec::new()
        }
        Some(other) => {
            mistakes.add(place, format!("its `segmentation` is {}; expected polygons or an RLE", other.kind()));
            Vec::new()
        }
        None => boxed(annotation, place, mistakes).into_iter().collect(),
    }
}

/// A polygon from a flat list of coordinates.
fn flat(polygon: &JsonNode, place: &str, mistakes: &mut AnnotationMistakes) -> Option<DrawnShape> {
    let Some(numbers) = polygon.numbers() else {
        mistakes.add(place, "its `segmentation` has a polygon that is not a flat list of numbers, `[x, y, x, y, …]`");
        return None;
    };
    let (points, rest) = numbers.as_chunks::<2>();
    if !rest.is_empty() {
        mistakes.add(place, format!("its `segmentation` has a polygon of {} numbers, an odd count", numbers.len()));
        return None;
    }
    Some(DrawnShape::Polygon(vec![ring(points.to_vec(), place, mistakes)?]))
}

fn run_lengths(
    mask: &JsonNode,
    size: Option<[u32; 2]>,
    place: &str,
    mistakes: &mut AnnotationMistakes,
) -> Option<DrawnShape> {
    let own = mask.get("size").and_then(JsonNode::numbers);
    let Some(&[height, width]) = own.filter(|own| own.iter().all(|side| side.fract() == 0.0 && *side >= 0.0)) else {
        mistakes.add(place, "its RLE has no `size` of height and width");
        return None;
    };
    if let Some([wide, high]) = size.filter(|size| size.map(f64::from) != [width, height]) {
        mistakes.add(place, format!("its RLE is {width} x {height} px, but its image is {wide} x {high} px"));
        return None;
    }
    let counts = match mask.get("counts") {
        Some(JsonNode::Text(text)) => decompressed(text),
        Some(JsonNode::Numbers(counts)) => {
            let count = |count: &f64| {
                let whole = count.fract() == 0.0 && *count >= 0.0 && *count <= f64::from(u32::MAX);
                whole.then_some(*count as u32).ok_or_else(|| format!("its RLE has the length {count}"))
            };
            counts.iter().map(count).collect()
        }
        _ => Err("its RLE has no `counts`".to_owned()),
    };
    match counts {
        Ok(counts) => runs(RunOrder::Columns, [0, 0], [width as u32, height as u32], counts, place, mistakes),
        Err(what) => {
            mistakes.add(place, what);
            None
        }
    }
}

fn boxed(annotation: &JsonNode, place: &str, mistakes: &mut AnnotationMistakes) -> Option<DrawnShape> {
    let Some(&[left, top, width, height]) = annotation.get("bbox").and_then(JsonNode::numbers) else {
        mistakes.add(place, "has neither a `segmentation` nor a `bbox` of four numbers");
        return None;
    };
    if width < 0.0 || height < 0.0 {
        mistakes.add(place, format!("its `bbox` is {width} x {height} px"));
        return None;
    }
    let corners = [left, top, left + width, top + height];
    in_range(&corners, place, mistakes).then(|| DrawnShape::rectangle([left, top], [corners[2], corners[3]]))
}
