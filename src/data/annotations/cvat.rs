//! "CVAT for images 1.1": XML with the polygons, boxes, ellipses, masks and points of many photographs. Rotations are in degrees, clockwise.

use std::borrow::Cow;

use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

use super::mistakes::AnnotationMistakes;
use super::run_lengths::runs;
use super::shape::{DrawnShape, RunOrder, in_range, ring, rotated};
use super::{AnnotatedPicture, AnnotationFile, ClassShape, ReadingRule};

/// Most elements within each other.
const DEEPEST: usize = 64;

pub(super) fn read(text: &str, rule: &ReadingRule<'_>, mistakes: &mut AnnotationMistakes) -> Option<AnnotationFile> {
    let mut reader = Reader::from_str(text);
    let mut lines = XmlLines { text, at: 0, line: 1, column: 1 };
    let mut file = CvatFile { rule, file: AnnotationFile::default(), open: Vec::new(), label: None, inside: false };
    loop {
        let before = reader.buffer_position() as usize;
        match reader.read_event() {
            Ok(Event::Start(element)) => {
                file.begin(&element, &lines.place(before), mistakes)?;
                file.open.push(name(&element));
                if file.open.len() > DEEPEST {
                    mistakes.add(&lines.place(before), format!("more than {DEEPEST} elements within each other"));
                    return None;
                }
            }
            Ok(Event::Empty(element)) => file.begin(&element, &lines.place(before), mistakes)?,
            Ok(Event::End(_)) => file.end(),
            Ok(Event::Text(part)) => file.text(part.decode().ok()),
            Ok(Event::CData(part)) => file.text(part.decode().ok()),
            Ok(Event::GeneralRef(reference)) => {
                file.text(reference.decode().ok().and_then(|name| character(&name)));
            }
            Ok(Event::Eof) => break,
            Ok(_) => {}
            Err(error) => {
                let at = reader.error_position() as usize;
                mistakes.add(&lines.place(at.max(lines.at)), format!("is not XML: {error}"));
                return None;
            }
        }
    }
    if file.inside {
        return Some(file.file);
    }
    if text.trim_start().starts_with(['{', '[']) {
        mistakes.add("", "is JSON, not XML: check `format`");
    } else {
        mistakes.add("", "has no element `annotations`; export as \"CVAT for images 1.1\"");
    }
    None
}

/// The character that an entity or a number stands for.
fn character(name: &str) -> Option<Cow<'static, str>> {
    let Some(number) = name.strip_prefix('#') else {
        return quick_xml::escape::resolve_predefined_entity(name).map(Cow::Borrowed);
    };
    let code = match number.strip_prefix('x') {
        Some(digits) => u32::from_str_radix(digits, 16).ok()?,
        None => number.parse().ok()?,
    };
    Some(Cow::Owned(char::from_u32(code)?.to_string()))
}

fn name(element: &BytesStart<'_>) -> String {
    String::from_utf8_lossy(element.local_name().as_ref()).into_owned()
}

/// Lines and columns of ascending offsets.
struct XmlLines<'a> {
    text: &'a str,
    at: usize,
    line: usize,
    column: usize,
}

impl XmlLines<'_> {
    fn place(&mut self, offset: usize) -> String {
        let offset = offset.clamp(self.at, self.text.len().max(self.at));
        for byte in &self.text.as_bytes()[self.at..offset] {
            match byte {
                b'\n' => (self.line, self.column) = (self.line + 1, 1),
                // Bytes within a character.
                0x80..=0xbf => {}
                _ => self.column += 1,
            }
        }
        self.at = offset;
        format!("line {}, column {}", self.line, self.column)
    }
}

/// A file while it is read.
struct CvatFile<'a> {
    rule: &'a ReadingRule<'a>,
    file: AnnotationFile,
    /// Names of the open elements.
    open: Vec<String>,
    /// Text of the open `name` of a label.
    label: Option<String>,
    /// Whether it has the element `annotations`.
    inside: bool,
}

impl CvatFile<'_> {
    /// Whether the open elements end with these.
    fn is_in(&self, path: &[&str]) -> bool {
        self.open.len() >= path.len() && self.open[self.open.len() - path.len()..].iter().eq(path)
    }

    /// Takes an element that begins; [`None`] if the rest cannot be read.
    fn begin(&mut self, element: &BytesStart<'_>, place: &str, mistakes: &mut AnnotationMistakes) -> Option<()> {
        let kind = name(element);
        let depth = self.open.len();
        if depth == 0 {
            if kind != "annotations" {
                mistakes.add(place, format!("begins with `{kind}`; export as \"CVAT for images 1.1\""));
                return None;
            }
            self.inside = true;
        } else if self.is_in(&["labels", "label"]) && kind == "name" {
            self.label = Some(String::new());
        } else if depth == 1 && kind == "track" {
            mistakes.add(place, "has a `track`: it is \"CVAT for video\"; export as \"CVAT for images 1.1\"");
            return None;
        } else if depth == 1 && kind == "image" {
            self.image(&Attributes::of(element, place, mistakes)?, place, mistakes);
        } else if depth == 2 && self.is_in(&["image"]) {
            self.shape(&kind, &Attributes::of(element, place, mistakes)?, place, mistakes);
        }
        Some(())
    }

    fn end(&mut self) {
        let closed = self.open.pop();
        if closed.as_deref() == Some("name")
            && let Some(label) = self.label.take()
        {
            self.file.declared.get_or_insert_default().push(label.trim().to_owned());
        }
    }

    fn text(&mut self, part: Option<Cow<'_, str>>) {
        if let (Some(label), Some(part)) = (&mut self.label, part) {
            label.push_str(&part);
        }
    }

    fn image(&mut self, attributes: &Attributes, place: &str, mistakes: &mut AnnotationMistakes) {
        let name = attributes.get("name").unwrap_or_default().to_owned();
        if name.is_empty() {
            mistakes.add(place, "is an `image` without a `name`");
        }
        let size = match (attributes.get("width"), attributes.get("height")) {
            (Some(width), Some(height)) => {
                let side = |text: &str| text.trim().parse().ok().filter(|side| *side > 0);
                let size = side(width).zip(side(height)).map(|(width, height)| [width, height]);
                if size.is_none() {
                    mistakes.add(place, "its `width` and `height` are not positive whole numbers");
                }
                size
            }
            _ => None,
        };
        let place = match attributes.get("id") {
            Some(id) => format!("{place} (image {id})"),
            None => place.to_owned(),
        };
        self.file.pictures.push(AnnotatedPicture { name, place, size, ..AnnotatedPicture::default() });
    }

    fn shape(&mut self, kind: &str, attributes: &Attributes, place: &str, mistakes: &mut AnnotationMistakes) {
        let Some(label) = attributes.get("label") else { return };
        *self.file.labels.entry(label.to_owned()).or_default() += 1;
        let Some(class) = self.rule.labels.class(label) else { return };
        let shapes = shapes(kind, attributes, self.rule, place, mistakes);
        let Some(picture) = self.file.pictures.last_mut() else { return };
        picture.shapes.extend(shapes.into_iter().map(|shape| ClassShape { class, place: place.to_owned(), shape }));
    }
}

fn shapes(
    kind: &str,
    attributes: &Attributes,
    rule: &ReadingRule<'_>,
    place: &str,
    mistakes: &mut AnnotationMistakes,
) -> Vec<DrawnShape> {
    let one = |shape: Option<DrawnShape>| shape.into_iter().collect();
    match kind {
        "polygon" => one(attributes
            .points(place, mistakes)
            .and_then(|points| Some(DrawnShape::Polygon(vec![ring(points, place, mistakes)?])))),
        "box" => one(attributes.numbers(["xtl", "ytl", "xbr", "ybr"], place, mistakes).and_then(|sides| {
            let [left, top, right, bottom] = sides;
            let mut corners = [[left, top], [right, top], [right, bottom], [left, bottom]];
            rotated(&mut corners, attributes.rotation(place, mistakes)?);
            Some(DrawnShape::Polygon(vec![corners.to_vec()]))
        })),
        "ellipse" => one(attributes.numbers(["cx", "cy", "rx", "ry"], place, mistakes).and_then(|[x, y, rx, ry]| {
            if rx < 0.0 || ry < 0.0 {
                mistakes.add(place, "has a negative radius");
                return None;
            }
            let degrees = attributes.rotation(place, mistakes)?;
            Some(DrawnShape::Ellipse { centre: [x, y], radii: [rx, ry], degrees })
        })),
        "mask" => one(mask(attributes, place, mistakes)),
        "points" => {
            let points = attributes.points(place, mistakes).unwrap_or_default();
            points.into_iter().filter_map(|point| rule.point(point, place, mistakes)).collect()
        }
        "tag" => {
            mistakes.add(place, "is a `tag` of the whole image, which has no area; draw a shape, or map another label");
            Vec::new()
        }
        _ => {
            mistakes.add(place, format!("is a `{kind}`, which has no area; draw a polygon, box, ellipse or mask"));
            Vec::new()
        }
    }
}

/// A mask: run lengths of the rectangle at `left` and `top`, row by row.
fn mask(attributes: &Attributes, place: &str, mistakes: &mut AnnotationMistakes) -> Option<DrawnShape> {
    let sides = attributes.numbers(["left", "top", "width", "height"], place, mistakes)?;
    if sides.iter().any(|side| side.fract() != 0.0 || *side < 0.0) {
        mistakes.add(place, "its `left`, `top`, `width` and `height` are not whole numbers from 0 on");
        return None;
    }
    let [left, top, width, height] = sides.map(|side| side as u32);
    let text = attributes.get("rle").unwrap_or_default();
    let counts: Option<Vec<u32>> = text.split(',').map(|count| count.trim().parse().ok()).collect();
    let Some(counts) = counts else {
        mistakes.add(place, "its `rle` is not a list of whole numbers");
        return None;
    };
    runs(RunOrder::Rows, [left, top], [width, height], counts, place, mistakes)
}

/// Attributes of an element.
struct Attributes(Vec<(String, String)>);

impl Attributes {
    fn of(element: &BytesStart<'_>, place: &str, mistakes: &mut AnnotationMistakes) -> Option<Self> {
        let mut found = Vec::new();
        for attribute in element.attributes().with_checks(false) {
            let read = attribute.map_err(|error| error.to_string()).and_then(|attribute| {
                let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|error| error.to_string())?;
                Ok((String::from_utf8_lossy(attribute.key.as_ref()).into_owned(), value.into_owned()))
            });
            match read {
                Ok(pair) => found.push(pair),
                Err(error) => {
                    mistakes.add(place, format!("has an attribute that cannot be read: {error}"));
                    return None;
                }
            }
        }
        Some(Self(found))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// Numbers in range from several attributes.
    fn numbers<const N: usize>(
        &self,
        names: [&str; N],
        place: &str,
        mistakes: &mut AnnotationMistakes,
    ) -> Option<[f64; N]> {
        let mut found = [0.0; N];
        for (slot, name) in found.iter_mut().zip(names) {
            let text = self.get(name).unwrap_or_default();
            let Ok(value) = text.trim().parse() else {
                mistakes.add(place, format!("its `{name}` is `{text}`; expected a number"));
                return None;
            };
            *slot = value;
        }
        in_range(&found, place, mistakes).then_some(found)
    }

    /// Rotation in degrees; 0 if there is none.
    fn rotation(&self, place: &str, mistakes: &mut AnnotationMistakes) -> Option<f64> {
        if self.get("rotation").is_none() {
            return Some(0.0);
        }
        self.numbers(["rotation"], place, mistakes).map(|[degrees]| degrees)
    }

    /// Points of `points="x,y;x,y"`.
    fn points(&self, place: &str, mistakes: &mut AnnotationMistakes) -> Option<Vec<[f64; 2]>> {
        let text = self.get("points").unwrap_or_default();
        let point = |pair: &str| {
            let (x, y) = pair.split_once(',')?;
            Some([x.trim().parse().ok()?, y.trim().parse().ok()?])
        };
        let mut found = Vec::new();
        for pair in text.split(';').filter(|pair| !pair.trim().is_empty()) {
            let Some(point) = point(pair) else {
                mistakes.add(place, format!("its `points` have `{}`; expected two numbers", pair.trim()));
                return None;
            };
            found.push(point);
        }
        found.iter().all(|point| in_range(point, place, mistakes)).then_some(found)
    }
}
