//! Issues of masks and photographs that are reported, and files that a source marks as decoded differently than by the first macula.

use macula::data::mask::Threshold;
use macula::data::photographs::PhotographFacts;
use macula::lang::value::Value;
use macula::stage::{Outcome, StageError};

use super::image_files::{LITTLE, Page, exif, png, tiff};
use super::lab::Lab;

const SIDE: usize = 32;

fn grey(pixels: &[u8]) -> Vec<u8> {
    png((SIDE, SIDE), 8, 0, pixels, &[], &[])
}

/// A square of 4 x 4 px in the upper left corner, of `on` on `off`.
fn square(on: u8, off: u8) -> Vec<u8> {
    (0..SIDE * SIDE).map(|i| if i % SIDE < 4 && i / SIDE < 4 { on } else { off }).collect()
}

fn photograph(seed: usize) -> Vec<u8> {
    (0..SIDE * SIDE).map(|i| (20 + (i * 7 + seed) % 200) as u8).collect()
}

/// One photograph with a mask of MA, and an empty one of HE.
fn lab(mask: &[u8]) -> Lab {
    let lab = Lab::new();
    lab.write("photographs/one.png", &grey(&photograph(0)));
    lab.write("ma/one.png", mask);
    let bits = png((SIDE, SIDE), 1, 0, &[0; SIDE * SIDE / 8], &[], &[]);
    lab.write("he/one.png", &bits);
    lab
}

fn cut(lab: &Lab, params: &[(&str, Value)]) -> Result<Outcome, StageError> {
    let found = lab.folder(params)?;
    lab.extract(&found.outputs["out"], &[("size", Value::Int(16))])
}

fn warnings(outcome: &Outcome) -> Vec<String> {
    let odd = outcome.summary.warnings.iter().filter(|warning| warning.code.contains("mask"));
    odd.map(|warning| format!("{}: {}", warning.code, warning.text)).collect()
}

#[test]
fn masks_that_look_like_none_are_reported() {
    let told = |mask: &[u8]| warnings(&cut(&lab(mask), &[]).unwrap());
    assert!(told(&grey(&square(255, 0))).is_empty());
    assert!(told(&grey(&square(1, 0))).is_empty());
    assert_eq!(
        told(&grey(&square(0, 255))),
        [
            "mask-covers-most: the mask of `MA` of `one` covers more than half of its photograph: is the background white?"
        ]
    );
    let mut soft = square(255, 0);
    soft[4] = 90;
    assert_eq!(
        told(&grey(&soft)),
        [
            "soft-mask: the mask of `MA` of `one` has values between black and white: pixels from half of white on count as lesion; set another threshold with `mask-from`"
        ]
    );
    let mut numbers = square(1, 0);
    numbers[0] = 2;
    assert_eq!(
        told(&grey(&numbers)),
        [
            "mask-values: the mask of `MA` of `one` has more than two values: every value but the background counts as lesion; set a threshold with `mask-from`"
        ]
    );
    let first = told(&grey(&photograph(3)));
    assert_eq!(first.len(), 2, "{first:?}");
    assert!(first[0].starts_with("mask-is-photograph: the mask of `MA` of `one` looks like a photograph"), "{first:?}");
    let same = told(&grey(&photograph(0)));
    assert!(same[0].starts_with("mask-is-photograph"), "{same:?}");
    // Where the pipeline says which values are lesion, their number is nothing odd.
    assert!(warnings(&cut(&lab(&grey(&soft)), &[("mask-from", Value::Int(1))]).unwrap()).is_empty());
}

#[test]
fn odd_masks_are_counted_together_and_reported_by_preprocess_too() {
    let lab = lab(&grey(&square(0, 255)));
    lab.write("photographs/two.png", &grey(&photograph(5)));
    lab.write("ma/two.png", &grey(&square(0, 255)));
    let found = lab.folder(&[]).unwrap();
    let told = [
        "mask-covers-most: 2 masks cover more than half of their photographs (first: `MA` of `one`): is the background white?",
    ];
    let changed = lab.preprocess(&found.outputs["out"], &[]).unwrap();
    assert_eq!(warnings(&changed), told);
    assert!(changed.outputs["out"].entries.keys().all(|name| !name.contains("remarks")), "no part of the output");
    // Once is enough.
    let after = lab.extract(&changed.outputs["out"], &[("size", Value::Int(16))]).unwrap();
    assert!(warnings(&after).is_empty());
    assert_eq!(warnings(&lab.extract(&found.outputs["out"], &[("size", Value::Int(16))]).unwrap()), told);
}

#[test]
fn a_photograph_and_a_mask_that_are_shown_otherwise_are_reported_or_refused() {
    let half = exif(LITTLE, 3, 3.0);
    let turned = |pixels: &[u8], block: &[u8]| png((SIDE, SIDE), 8, 0, pixels, &[(b"eXIf", block)], &[]);
    let lab = lab(&turned(&square(255, 0), &half));
    let told = warnings(&cut(&lab, &[]).unwrap());
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("mask-orientation: the mask of `MA` of `one`"), "{told:?}");
    // Photograph and masks alike: nothing to tell.
    lab.write("photographs/one.png", &turned(&photograph(0), &half));
    lab.write("he/one.png", &turned(&square(0, 0), &half));
    assert!(warnings(&cut(&lab, &[]).unwrap()).is_empty());
    // A photograph that lies on its side, and a mask that fits only its stored pixels.
    let quarter = exif(LITTLE, 4, 6.0);
    lab.write("photographs/one.png", &png((SIDE, 16), 8, 0, &photograph(0)[..SIDE * 16], &[(b"eXIf", &quarter)], &[]));
    lab.write("ma/one.png", &png((SIDE, 16), 8, 0, &square(255, 0)[..SIDE * 16], &[], &[]));
    let Err(StageError::Input { code, text, hint, .. }) = cut(&lab, &[]) else { panic!("it should be refused") };
    assert_eq!(code, "photograph-orientation");
    assert!(
        text.contains("ma/one.png` is 32 x 16 px")
            && text.ends_with("is 16 x 32 px after applying its orientation (6)"),
        "{text}"
    );
    assert!(hint.unwrap().contains("as stored"));
    // And the other way round.
    lab.write("photographs/one.png", &png((SIDE, 16), 8, 0, &photograph(0)[..SIDE * 16], &[], &[]));
    lab.write("ma/one.png", &png((SIDE, 16), 8, 0, &square(255, 0)[..SIDE * 16], &[(b"eXIf", &quarter)], &[]));
    let Err(StageError::Input { code, text, .. }) = cut(&lab, &[]) else { panic!("it should be refused") };
    assert_eq!(code, "mask-size");
    assert!(text.ends_with("the mask was rotated by its orientation tag (6)"), "{text}");
}

#[test]
fn a_mask_in_jpeg_is_refused_with_the_way_out() {
    let jpeg = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/expected/pictures/baseline.jpg")).unwrap();
    let lab = Lab::new();
    lab.write("photographs/one.jpg", &jpeg);
    lab.write("ma/one.jpg", &jpeg);
    lab.write("he/one.jpg", &jpeg);
    let Err(StageError::Input { code, text, hint, .. }) = cut(&lab, &[]) else { panic!("it should be refused") };
    assert_eq!(code, "damaged-mask");
    assert!(text.ends_with("one.jpg` cannot be read: it is a JPEG, which blurs masks"), "{text}");
    assert!(hint.unwrap().contains("`mask-from 128`"));
    assert!(cut(&lab, &[("mask-from", Value::Int(128))]).is_ok());
}

/// Whether the source marks the photograph's files as decoded differently than before.
fn marked(photograph: &[u8], mask: &[u8], params: &[(&str, Value)]) -> bool {
    let lab = Lab::new();
    lab.write("photographs/one.png", photograph);
    lab.write("ma/one.png", mask);
    lab.write("he/one.png", b"no picture at all");
    let found = lab.folder(params).unwrap();
    found.outputs["out"].entries.contains_key("one/reading.json")
}

#[test]
fn only_what_is_read_otherwise_than_before_has_another_key() {
    let plain = grey(&photograph(0));
    let bits = png((SIDE, SIDE), 1, 0, &[0; SIDE * SIDE / 8], &[], &[]);
    let jpeg = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/expected/pictures/baseline.jpg")).unwrap();
    let page = |bits: usize, samples: usize, photometric: u16| {
        Page::new((8, 8), bits, samples, photometric, vec![0; 8 * 8 * samples * bits.div_ceil(8)])
    };
    let palette = |colours: &[u8]| png((8, 8), 1, 3, &[0; 8], &[(b"PLTE", colours)], &[]);
    let map = |on: usize| (0..6).map(|i| if i == on { 65535.0 } else { 0.0 }).collect::<Vec<f64>>();
    for mask in [
        &bits,
        &palette(&[0, 0, 0, 255, 0, 0]),
        &tiff(LITTLE, &[page(1, 1, 1)]),
        &tiff(LITTLE, &[page(1, 1, 3).with(320, 3, &map(1))]),
        &tiff(LITTLE, &[page(1, 1, 3).with(320, 3, &map(1)).with(274, 3, &[1.0])]),
    ] {
        for photograph in [&plain, &jpeg, &tiff(LITTLE, &[page(8, 3, 2)]), &tiff(LITTLE, &[page(8, 1, 1)])] {
            assert!(!marked(photograph, mask, &[]));
        }
    }
    let block = exif(LITTLE, 4, 3.0);
    let turned = png((SIDE, SIDE), 8, 0, &photograph(0), &[], &[(b"eXIf", &block)]);
    for mask in [
        &palette(&[255, 255, 255, 255, 0, 0]),
        &turned,
        &jpeg,
        &plain,
        &tiff(LITTLE, &[page(1, 1, 1).with(274, 3, &[3.0])]),
        &tiff(LITTLE, &[page(1, 1, 1), page(1, 1, 1)]),
        &tiff(LITTLE, &[page(8, 4, 2).with(338, 3, &[0.0])]),
        &tiff(LITTLE, &[page(8, 1, 1).with(339, 3, &[2.0])]),
    ] {
        assert!(marked(&plain, mask, &[]));
    }
    // Where the pipeline says from which value on, grey masks are read as ever.
    assert!(!marked(&plain, &plain, &[("mask-from", Value::Int(128))]));
    for photograph in [
        &turned,
        &png((SIDE, SIDE), 16, 0, &[0; SIDE * SIDE * 2], &[], &[]),
        &tiff(LITTLE, &[page(8, 3, 2).with(274, 3, &[6.0])]),
        &tiff(LITTLE, &[page(16, 3, 2)]),
        &tiff(LITTLE, &[page(8, 3, 2), page(8, 3, 2)]),
        &tiff(LITTLE, &[page(8, 3, 6)]),
    ] {
        assert!(marked(photograph, &bits, &[]));
    }
}

#[test]
fn what_the_pipeline_says_of_values_is_kept_apart_from_nothing() {
    let from = |params: &[(&str, Value)]| {
        let lab = lab(&grey(&square(255, 0)));
        let found = lab.folder(params).unwrap();
        let bytes = lab.objects.read_in(&found.outputs["out"], "one/facts.json").unwrap().unwrap();
        serde_json::from_slice::<PhotographFacts>(&bytes).unwrap().threshold()
    };
    assert_eq!(from(&[]), Threshold::Automatic);
    assert_eq!(from(&[("mask-from", Value::Int(1))]), Threshold::From(1));
    assert_eq!(from(&[("mask-from", Value::Int(128))]), Threshold::From(128));
}

#[test]
fn a_mask_that_two_classes_share_is_reported_unless_it_is_black() {
    let mask = grey(&square(255, 0));
    let lab = lab(&mask);
    lab.write("he/one.png", &mask);
    let shared = "shared-mask: 2 masks are identical to those of other classes (first: `MA` of `one`): both classes get the same labels";
    assert_eq!(warnings(&cut(&lab, &[]).unwrap()), [shared]);
    let black = grey(&square(0, 0));
    lab.write("ma/one.png", &black);
    lab.write("he/one.png", &black);
    assert!(warnings(&cut(&lab, &[]).unwrap()).is_empty());
}

#[test]
fn a_photograph_of_12_bits_in_16_is_reported_as_dark() {
    let lab = lab(&grey(&square(255, 0)));
    let dark = |most: u16| {
        let values: Vec<u8> = (0..SIDE * SIDE).flat_map(|i| (most / (1 + (i % 7) as u16)).to_be_bytes()).collect();
        lab.write("photographs/one.png", &png((SIDE, SIDE), 16, 0, &values, &[(b"sBIT", &[16])], &[]));
        let outcome = cut(&lab, &[]).unwrap();
        let found = outcome.summary.warnings.into_iter().find(|warning| warning.code == "dark-photograph");
        found.map(|warning| warning.text)
    };
    let text = dark(4095).expect("a warning");
    assert!(text.starts_with("photograph `one` uses less than a quarter of its 16-bit range: "), "{text}");
    assert_eq!([dark(65535), dark(40000)], [None, None]);
}

#[test]
fn a_class_without_a_negative_patch_is_reported_once() {
    let mut mask = square(0, 0);
    for (x, y) in [(0, 0), (16, 0), (0, 16), (16, 16)] {
        mask[y * SIDE + x] = 255;
    }
    let codes = |mask: &[u8]| -> Vec<String> {
        let outcome = cut(&lab(&grey(mask)), &[]).unwrap();
        outcome.summary.warnings.into_iter().map(|warning| format!("{}: {}", warning.code, warning.text)).collect()
    };
    let told = codes(&mask);
    assert_eq!(
        told[1],
        "all-positive: all 4 patches have `MA`, so it has no negatives; check its masks, or extract smaller patches"
    );
    mask[0] = 0;
    assert!(codes(&mask).iter().all(|text| !text.starts_with("all-positive")));
    // An inverted mask is one warning.
    assert!(codes(&square(0, 255)).iter().all(|text| !text.starts_with("all-positive")));
}
