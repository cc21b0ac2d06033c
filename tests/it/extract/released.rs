//! `ddr`, `fgadr` and `e-ophtha` on small trees laid out as the data sets are released: labels of patches, official splits, patients,
//! and every mistake in a download that a user can make.

mod ddr;
mod e_ophtha;
mod fgadr;

use std::collections::BTreeMap;
use std::io::Cursor;

use macula::data::patches::{Label, PatchSet};
use macula::data::photographs::{PhotographFacts, PhotographSet};
use macula::data::png_image::{PixelFormat, png};
use macula::lang::value::Value;
use macula::stage::{Outcome, StageError};

use super::image_files::{LITTLE, Page, tiff};
use super::lab::Lab;

/// Side of every photograph; patches have half of it, so each photograph has four.
const SIDE: usize = 32;

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// A photograph whose pixels follow from its name.
fn pixels(name: &str) -> Vec<u8> {
    let start = name.bytes().fold(7_usize, |sum, byte| (sum * 31 + usize::from(byte)) % 97);
    (0..SIDE * SIDE * 3).map(|at| (60 + (at * 7 + start * 13) % 120) as u8).collect()
}

fn jpeg(name: &str) -> Vec<u8> {
    let picture = image::RgbImage::from_raw(SIDE as u32, SIDE as u32, pixels(name)).unwrap();
    let mut bytes = Cursor::new(Vec::new());
    image::DynamicImage::from(picture).write_to(&mut bytes, image::ImageFormat::Jpeg).unwrap();
    bytes.into_inner()
}

/// Grey values of a mask: `value` in the upper left quarter's first pixels, 0 elsewhere.
fn grey(values: &[u8]) -> Vec<u8> {
    let mut mask = vec![0; SIDE * SIDE];
    mask[..values.len()].copy_from_slice(values);
    mask
}

fn png_mask(values: &[u8]) -> Vec<u8> {
    png(&grey(values), SIDE as u32, SIDE as u32, PixelFormat::Grey)
}

/// The same in RGB with equal channels, as a part of FGADR's masks.
fn rgb_mask(values: &[u8]) -> Vec<u8> {
    let rgb: Vec<u8> = grey(values).into_iter().flat_map(|value| [value; 3]).collect();
    png(&rgb, SIDE as u32, SIDE as u32, PixelFormat::Rgb)
}

fn tiff_mask(values: &[u8]) -> Vec<u8> {
    tiff(LITTLE, &[Page::new((SIDE, SIDE), 8, 1, 1, grey(values))])
}

/// Labels of a photograph's first patch, in class order: `1` present, `0` absent, `?` unknown.
fn labels(lab: &Lab, outcome: &Outcome) -> BTreeMap<String, String> {
    let cut = lab.extract(&outcome.outputs["out"], &[("size", Value::Int(SIDE as i64 / 2))]).unwrap();
    let set = PatchSet::read(&cut.outputs["out"], &lab.objects).unwrap();
    let word = |labels: &[Label]| {
        let sign = |label: &Label| match label {
            Label::Present => '1',
            Label::Absent => '0',
            Label::Unknown => '?',
        };
        labels.iter().map(sign).collect()
    };
    set.parts.iter().map(|part| (part.photograph.clone(), word(&part.rows[0].labels))).collect()
}

fn of(labels: &[(&str, &str)]) -> BTreeMap<String, String> {
    labels.iter().map(|(name, labels)| ((*name).to_owned(), (*labels).to_owned())).collect()
}

fn facts(lab: &Lab, outcome: &Outcome, name: &str) -> PhotographFacts {
    let bytes = lab.objects.read_in(&outcome.outputs["out"], &format!("{name}/facts.json")).unwrap();
    serde_json::from_slice(&bytes.unwrap_or_else(|| panic!("no `{name}`"))).unwrap()
}

fn set(lab: &Lab, outcome: &Outcome) -> PhotographSet {
    serde_json::from_slice(&lab.objects.read_in(&outcome.outputs["out"], "set.json").unwrap().unwrap()).unwrap()
}

/// Code, text and hint of an error.
#[track_caller]
fn refused(result: Result<Outcome, StageError>) -> (String, String, String) {
    match result {
        Err(StageError::Input { code, text, hint, .. }) => (code.to_owned(), text, hint.unwrap_or_default()),
        other => panic!("it should be refused: {other:?}"),
    }
}

/// Fails unless an error has this code and its text and hint contain all words.
#[track_caller]
fn says(result: Result<Outcome, StageError>, code: &str, words: &[&str]) {
    let (found, text, hint) = refused(result);
    assert_eq!(found, code, "{text}");
    for word in words {
        assert!(text.contains(word) || hint.contains(word), "`{word}` is missing in\n{text}\n{hint}");
    }
}

fn warned(outcome: &Outcome) -> Vec<&str> {
    outcome.summary.warnings.iter().map(|warning| warning.code.as_str()).collect()
}
