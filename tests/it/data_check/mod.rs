//! `macula data check`: every problem of photographs and masks is found before training, and everything else is still checked.

mod counts;
mod page;
mod problems;
mod refused;

use macula::base::Streams;
use macula::data::png_image::{PixelFormat, png};
use serde_json::Value;

use crate::space::{Said, Space};

/// Side of the photographs, px.
const SIDE: usize = 160;

/// A pipeline over `data/photos` with the masks of two classes; `rest` is added to its source.
fn pipeline(rest: &str) -> String {
    format!(
        "pipeline p seed=7 {{
    folder eyes {{ root \"data\"; photographs \"photos/*\"; masks MA \"ma/*.png\" EX \"ex/*.png\"; {rest} }}
}}
"
    )
}

/// Pixels of a bright disc with patches of random brightness on black, like no other.
fn disc(seed: u64) -> Vec<u8> {
    let streams = Streams::new(seed, "disc");
    let value = |at: usize| {
        let (x, y) = (at % SIDE, at / SIDE);
        let from_centre = |place: usize| (2 * place + 1).abs_diff(SIDE).pow(2);
        let cell = (y / 8 * SIDE + x / 8) as u64;
        let random = (streams.rank("cell", cell, b"") >> 57) as u8;
        if from_centre(x) + from_centre(y) < SIDE * SIDE { 70 + random } else { 0 }
    };
    (0..SIDE * SIDE).map(value).flat_map(|value| [value, value / 2, value / 4]).collect()
}

/// A photograph as PNG.
fn photograph(seed: u64) -> Vec<u8> {
    png(&disc(seed), SIDE as u32, SIDE as u32, PixelFormat::Rgb)
}

/// A photograph as JPEG.
fn jpeg(seed: u64) -> Vec<u8> {
    let pixels = image::RgbImage::from_raw(SIDE as u32, SIDE as u32, disc(seed)).expect("pixels of that size");
    let mut bytes = std::io::Cursor::new(Vec::new());
    pixels.write_to(&mut bytes, image::ImageFormat::Jpeg).expect("a JPEG");
    bytes.into_inner()
}

/// A mask of `side` px with boxes of lesion pixels: left, top, width, height.
fn mask(side: usize, boxes: &[[usize; 4]]) -> Vec<u8> {
    let inside = |x: usize, y: usize| {
        boxes
            .iter()
            .any(|[left, top, width, height]| (*left..left + width).contains(&x) && (*top..top + height).contains(&y))
    };
    let pixels: Vec<u8> = (0..side * side).map(|at| if inside(at % side, at / side) { 255 } else { 0 }).collect();
    png(&pixels, side as u32, side as u32, PixelFormat::Grey)
}

/// A lesion of 6 x 4 px near the middle, elsewhere for each photograph.
fn lesion(at: u64) -> Vec<u8> {
    mask(SIDE, &[[60 + at as usize, 80, 6, 4]])
}

/// `count` photographs with a lesion of `MA`, and the first with one of `EX`.
fn healthy_space(count: u64, rest: &str) -> Space {
    let space = Space::with(&pipeline(rest));
    space.write("project.kdl", "");
    for at in 1..=count {
        space.write(&format!("data/photos/a{at:02}.png"), photograph(at));
        space.write(&format!("data/ma/a{at:02}.png"), lesion(at));
    }
    space.write("data/ex/a01.png", mask(SIDE, &[[40, 60, 10, 10]]));
    space
}

fn check(space: &Space, rest: &str) -> Said {
    space.macula(&format!("data check pipeline.kdl {rest}"))
}

fn json(space: &Space, rest: &str, code: i32) -> Value {
    let said = check(space, &format!("--json {rest}")).code(code);
    serde_json::from_str(&said.raw).unwrap_or_else(|error| panic!("{error}: {}", said.raw))
}

/// Level, code, photograph and class of each finding.
fn findings(found: &Value) -> Vec<[String; 4]> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let one = |finding: &Value| ["level", "code", "photograph", "class"].map(|field| text(&finding[field]));
    found["findings"].as_array().expect("findings").iter().map(one).collect()
}
