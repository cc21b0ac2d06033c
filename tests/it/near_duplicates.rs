//! Photographs that show the same picture although their files differ: what `near-duplicates` finds.

use macula::base::Streams;
use macula::data::decode::Photograph;
use macula::data::duplicates::{NearDuplicate, from_parquet};
use macula::data::orientation::Orientation;
use macula::data::png_image::{PixelFormat, png};

use crate::space::{Said, Space};

const SIDE: usize = 160;

/// A bright disc with patches of random brightness on black.
fn disc(seed: u64) -> Photograph {
    let streams = Streams::new(seed, "disc");
    let value = |at: usize| {
        let (x, y) = (at % SIDE, at / SIDE);
        let from_centre = |place: usize| (2 * place + 1).abs_diff(SIDE).pow(2);
        let cell = (y / 8 * SIDE + x / 8) as u64;
        let random = (streams.rank("cell", cell, b"") >> 57) as u8;
        if from_centre(x) + from_centre(y) < SIDE * SIDE { 70 + random } else { 0 }
    };
    let rgb = (0..SIDE * SIDE).map(value).flat_map(|value| [value, value / 2, value / 4]).collect();
    Photograph { width: SIDE, height: SIDE, rgb }
}

fn changed(photograph: &Photograph, change: impl Fn(u8) -> u8) -> Photograph {
    Photograph { rgb: photograph.rgb.iter().map(|value| change(*value)).collect(), ..photograph.clone() }
}

fn turned(photograph: &Photograph, number: f64) -> Photograph {
    let rgb = Orientation::of(number).turn_rgb(&photograph.rgb, (SIDE, SIDE));
    Photograph { rgb, ..photograph.clone() }
}

fn write(space: &Space, name: &str, photograph: &Photograph) {
    let bytes = png(&photograph.rgb, SIDE as u32, SIDE as u32, PixelFormat::Rgb);
    space.write(&format!("data/{name}.png"), bytes);
    let mask: Vec<u8> = (0..SIDE * SIDE).map(|at| if at % SIDE / 40 == 1 { 255 } else { 0 }).collect();
    space.write(&format!("data/masks/{name}.png"), png(&mask, SIDE as u32, SIDE as u32, PixelFormat::Grey));
}

const SOURCE: &str = r#"folder eyes { root "data"; photographs "*.png"; masks MA "masks/*.png" }"#;

fn run(space: &Space) -> Said {
    space.macula("run pipeline.kdl")
}

fn pairs(space: &Space, folder: &str) -> Vec<NearDuplicate> {
    let bytes = std::fs::read(space.path(&format!("results/p/{folder}/pairs.parquet"))).expect("a table");
    from_parquet(&bytes).expect("pairs")
}

#[test]
fn copies_are_found_in_each_orientation_and_other_photographs_are_not() {
    let space = Space::with(&format!("pipeline p seed=7 {{ {SOURCE}\n near-duplicates pairs {{ from eyes }} }}\n"));
    for at in 1..=12 {
        write(&space, &format!("a{at:02}"), &disc(at));
    }
    for number in 2..=8_u8 {
        write(&space, &format!("b{number}"), &turned(&disc(u64::from(number)), number.into()));
    }
    write(&space, "c1", &changed(&disc(10), |value| value.saturating_add(40)));
    write(&space, "c2", &disc(11));
    run(&space)
        .code(0)
        .says(&["21 photographs, 9 pairs of near-duplicates (18 photographs)", "warning[near-duplicate]"]);
    let found: Vec<(String, String, u8)> = pairs(&space, "pairs")
        .into_iter()
        .map(|pair| {
            let [first, second] = pair.members;
            (first.name, second.name, pair.orientation.number())
        })
        .collect();
    let mut expected: Vec<(String, String, u8)> =
        (2..=8).map(|number| (format!("a{number:02}"), format!("b{number}"), number)).collect();
    expected.extend([("a10".to_owned(), "c1".to_owned(), 1), ("a11".to_owned(), "c2".to_owned(), 1)]);
    assert_eq!(found, expected);
    assert!(space.path("results/p/pairs/pairs.png").exists());
    // One photograph more is one fingerprint more.
    write(&space, "c3", &disc(40));
    run(&space).code(0).says(&["22 photographs, 9 pairs", "1 of 22 items computed"]);
}
