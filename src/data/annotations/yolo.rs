//! YOLO text: one file per photograph, one object per line, in fractions of the photograph's width and height. `class x y width height`
//! is a box around its centre, `class x y x y x y …` a polygon.

use super::mistakes::AnnotationMistakes;
use super::shape::{DrawnShape, ring};
use super::{AnnotatedPicture, AnnotationFile, ClassShape, ReadingRule};

/// How far fractions may be outside of 0 to 1, for rounding by other tools.
const ROUNDING: f64 = 0.01;

pub(super) fn read(text: &str, rule: &ReadingRule<'_>, mistakes: &mut AnnotationMistakes) -> AnnotationFile {
    let declared = (!rule.names.is_empty()).then(|| rule.names.values().cloned().collect());
    let mut file = AnnotationFile { declared, ..AnnotationFile::default() };
    let mut picture = AnnotatedPicture::default();
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        let place = format!("line {number}");
        let mut words = line.split_whitespace();
        let first = words.next().unwrap_or_default();
        // Some tools write the class as 0.0.
        let Ok(class) = first.strip_suffix(".0").unwrap_or(first).parse::<u32>() else {
            mistakes.add(&place, format!("begins with `{first}`; expected the number of a class"));
            continue;
        };
        let Some(label) = label(class, rule) else {
            mistakes.add(&place, format!("class {class} is not in `names`, which has {}", rule.names.len()));
            continue;
        };
        *file.labels.entry(label.clone()).or_default() += 1;
        let Some(class) = rule.labels.class(&label) else { continue };
        let numbers: Result<Vec<f64>, &str> = words.map(|word| word.parse().map_err(|_| word)).collect();
        let numbers = match numbers {
            Ok(numbers) => numbers,
            Err(word) => {
                mistakes.add(&place, format!("has `{word}`; expected a number"));
                continue;
            }
        };
        if let Some(shape) = shape(&numbers, &place, mistakes) {
            picture.shapes.push(ClassShape { class, place, shape });
        }
    }
    file.pictures.push(picture);
    file
}

/// Name of a class, or its number if there are no names.
fn label(class: u32, rule: &ReadingRule<'_>) -> Option<String> {
    if rule.names.is_empty() { Some(class.to_string()) } else { rule.names.get(&class).cloned() }
}

/// A box or a polygon in fractions.
fn shape(numbers: &[f64], place: &str, mistakes: &mut AnnotationMistakes) -> Option<DrawnShape> {
    let wrong = |number: &&f64| !(-ROUNDING..=1.0 + ROUNDING).contains(*number);
    if let Some(number) = numbers.iter().find(wrong) {
        mistakes.add(place, format!("has {number}; coordinates are fractions of the photograph, from 0 to 1"));
        return None;
    }
    let limited = |point: [f64; 2]| point.map(|at| at.clamp(0.0, 1.0));
    match numbers {
        &[x, y, width, height] => {
            let (half, high) = (width / 2.0, height / 2.0);
            Some(DrawnShape::rectangle(limited([x - half, y - high]), limited([x + half, y + high])))
        }
        [_, _, _, _, _] => {
            mistakes.add(place, "has a sixth number: predictions with a confidence are not annotations");
            None
        }
        _ if numbers.len().is_multiple_of(2) => {
            let points = numbers.as_chunks::<2>().0.iter().map(|point| limited(*point)).collect();
            Some(DrawnShape::Polygon(vec![ring(points, place, mistakes)?]))
        }
        _ => {
            mistakes.add(place, format!("has {} coordinates; a polygon has pairs, a box has 4", numbers.len()));
            None
        }
    }
}
