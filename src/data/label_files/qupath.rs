//! `GeoJSON` of one picture, as `QuPath` reads it: an annotation object per lesion, with a classification and its holes.

use std::fmt::Write as _;

use serde::Serialize;

use super::{LabelledPicture, OutlinedLesion};
use crate::base::{Digest, Hasher};
use crate::data::colour::Colour;
use crate::data::contact_sheet::CLASS_COLOURS;
use crate::data::lesions::geojson::{FeatureCollection, LesionFeature};
use crate::data::patches::Label;
use crate::stage::StageError;

#[derive(Serialize)]
struct AnnotationProperties<'a> {
    #[serde(rename = "objectType")]
    object_type: &'static str,
    name: String,
    classification: AnnotationClass<'a>,
    class: &'a str,
    number: u32,
    area: u32,
    pixels: u32,
}

#[derive(Serialize)]
struct AnnotationClass<'a> {
    name: &'a str,
    color: Colour,
}

/// The `GeoJSON` file of a picture.
///
/// # Errors
/// [`StageError::Bug`] if it cannot be written.
pub fn feature_collection(picture: &LabelledPicture, classes: &[String]) -> Result<Vec<u8>, StageError> {
    let is_searched = |class: usize| picture.labels[class] != Label::Unknown && !picture.is_placeless(class);
    let feature = |lesion: &OutlinedLesion| {
        let class = classes[lesion.class].as_str();
        let properties = AnnotationProperties {
            object_type: "annotation",
            name: format!("{class}-{}", lesion.number),
            classification: AnnotationClass { name: class, color: CLASS_COLOURS[lesion.class % CLASS_COLOURS.len()] },
            class,
            number: lesion.number,
            area: lesion.area,
            pixels: lesion.pixels,
        };
        LesionFeature::new(identifier(&picture.digest, class, lesion.number), &lesion.outline, properties)
    };
    // Unknown are those that were not searched for, or that are present without a mask.
    let searched: Vec<(&str, bool)> =
        classes.iter().enumerate().map(|(class, name)| (name.as_str(), is_searched(class))).collect();
    let features = picture.lesions.iter().map(feature).collect();
    FeatureCollection::new((&picture.photograph, picture.digest), picture.size, picture.scale, &searched, features)
        .bytes()
}

/// A UUID (version 8) of a lesion: `QuPath` identifies objects by UUIDs.
fn identifier(photograph: &Digest, class: &str, number: u32) -> String {
    let digest = Hasher::new("macula exported lesion").digest(photograph).text(class).int(number.into()).finish();
    let mut hex = String::new();
    for (at, byte) in digest.bytes()[..16].iter().enumerate() {
        let byte = match at {
            6 => byte & 0x0f | 0x80,
            8 => byte & 0x3f | 0x80,
            _ => *byte,
        };
        if matches!(at, 4 | 6 | 8 | 10) {
            hex.push('-');
        }
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_a_uuid() {
        let of = |number| identifier(&Digest::of(b"photograph"), "MA", number);
        assert_ne!(of(1), of(2));
        let parts: Vec<String> = of(1).split('-').map(str::to_owned).collect();
        assert_eq!(parts.iter().map(String::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
        assert!(parts[2].starts_with('8') && parts[3].starts_with(['8', '9', 'a', 'b']), "{parts:?}");
    }
}
