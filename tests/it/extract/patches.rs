//! `preprocess` and `extract` on small synthetic photographs.

use macula::data::patches::{Label, PatchSet, Shard};
use macula::data::png_image::{PixelFormat, png};
use macula::lang::value::Value;
use macula::stage::{Outcome, StageError};
use macula::store::Tree;

use super::lab::Lab;

const WIDTH: usize = 50;
const HEIGHT: usize = 34;

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// A photograph `NAME.png` and a mask of MA with the given pixels; no mask of HE.
fn write(lab: &Lab, name: &str, lesions: &[(usize, usize)]) {
    let rgb: Vec<u8> = (0..WIDTH * HEIGHT)
        .flat_map(|i| {
            let (x, y) = (i % WIDTH, i / WIDTH);
            if x < 3 { [0; 3] } else { [100 + x, 50 + y, (x * y) % 60].map(|value| value as u8) }
        })
        .collect();
    lab.write(&format!("photographs/{name}.png"), &png(&rgb, WIDTH as u32, HEIGHT as u32, PixelFormat::Rgb));
    let mut mask = vec![0; WIDTH * HEIGHT];
    for &(x, y) in lesions {
        mask[y * WIDTH + x] = 255;
    }
    lab.write(&format!("ma/{name}.png"), &png(&mask, WIDTH as u32, HEIGHT as u32, PixelFormat::Grey));
    let none = png(&vec![0; WIDTH * HEIGHT], WIDTH as u32, HEIGHT as u32, PixelFormat::Grey);
    lab.write(&format!("he/{name}.png"), &none);
}

fn tree(outcome: &Outcome) -> Tree {
    outcome.outputs["out"].clone()
}

fn cut(lab: &Lab, params: &[(&str, Value)]) -> PatchSet {
    let photographs = tree(&lab.folder(&[]).unwrap());
    let mut all = vec![("size", Value::Int(16))];
    all.extend(params.iter().cloned());
    PatchSet::read(&tree(&lab.extract(&photographs, &all).unwrap()), &lab.objects).unwrap()
}

#[test]
fn patches_are_labelled_where_a_mask_pixel_is() {
    use Label::{Absent, Present};
    let lab = Lab::new();
    write(&lab, "a", &[(0, 0), (31, 15), (31, 14), (16, 31), (49, 5), (20, 33)]);
    let set = cut(&lab, &[]);
    let rows = &set.parts[0].rows;
    let seen: Vec<_> = rows.iter().map(|row| (row.x, row.y, row.labels[0], row.mask_pixels[0])).collect();
    assert_eq!(
        seen,
        [
            (0, 0, Present, 1),
            (16, 0, Present, 2),
            (32, 0, Absent, 0),
            (0, 16, Absent, 0),
            (16, 16, Present, 1),
            (32, 16, Absent, 0)
        ],
        "the rest at the right and below is dropped"
    );
    let middle = |dx: f64, dy: f64| ((dx * dx + dy * dy).sqrt() * 1e4).round();
    assert_eq!((f64::from(rows[0].mask_distance[0]) * 1e4).round(), middle(7.5, 7.5));
    assert_eq!((f64::from(rows[1].mask_distance[0]) * 1e4).round(), middle(7.5, 6.5), "the nearest of two");
    assert!(rows[2].mask_distance[0].is_nan());
    assert!(rows.iter().all(|row| row.labels[1] == Absent), "HE");
}

#[test]
fn a_label_needs_the_pixels_and_the_share_that_are_asked_for() {
    let lab = Lab::new();
    write(&lab, "a", &[(20, 3), (21, 3), (22, 3)]);
    let labels = |params: &[(&str, Value)]| cut(&lab, params).parts[0].rows[1].labels[0];
    assert_eq!(labels(&[("label.min-pixels", Value::Int(3))]), Label::Present);
    assert_eq!(labels(&[("label.min-pixels", Value::Int(4))]), Label::Absent);
    assert_eq!(labels(&[("label.min-share", Value::Real(3.0 / 256.0))]), Label::Present);
    assert_eq!(labels(&[("label.min-share", Value::Real(3.1 / 256.0))]), Label::Absent);
}

#[test]
fn edges_and_strides_follow_the_grid() {
    let lab = Lab::new();
    write(&lab, "a", &[(49, 33)]);
    let places = |params: &[(&str, Value)]| -> Vec<_> {
        cut(&lab, params).parts[0].rows.iter().map(|row| (row.x, row.y)).filter(|place| place.1 > 16).collect()
    };
    assert_eq!(places(&[("edge", text("shift"))]), [(0, 18), (16, 18), (32, 18), (34, 18)]);
    assert_eq!(places(&[("edge", text("pad"))]), [(0, 32), (16, 32), (32, 32), (48, 32)]);
    assert_eq!(places(&[("stride", Value::Int(17)), ("edge", text("drop"))]), [(0, 17), (17, 17), (34, 17)]);
    let padded = cut(&lab, &[("edge", text("pad"))]);
    let last = padded.parts[0].rows.last().unwrap();
    assert_eq!(last.labels[0], Label::Present);
    assert_eq!(last.histogram[0], 252, "all but four pixels lie outside and are black");
}

#[test]
fn shards_hold_pixels_and_masks_with_their_margin() {
    let lab = Lab::new();
    let lesions = [(15, 15), (16, 16), (36, 20), (2, 30)];
    write(&lab, "a", &lesions);
    let set = cut(&lab, &[("margin", Value::Int(5)), ("masks", Value::Bool(true))]);
    assert_eq!(set.info.side(), 26);
    let part = &set.parts[0];
    let shard = Shard::open(part, &set.info, &lab.objects).unwrap();
    for row in &part.rows {
        let bits = shard.mask(row.index, 0).unwrap();
        for (i, pixel) in shard.pixels(row.index).as_chunks::<3>().0.iter().enumerate() {
            let (x, y) = (i64::from(row.x) + i as i64 % 26 - 5, i64::from(row.y) + i as i64 / 26 - 5);
            let inside = (3..WIDTH as i64).contains(&x) && (0..HEIGHT as i64).contains(&y);
            let expected = if inside { [100 + x, 50 + y, (x * y) % 60].map(|value| value as u8) } else { [0; 3] };
            assert_eq!(*pixel, expected, "patch {} {} at {x} {y}", row.x, row.y);
            let lesion = lesions.contains(&(x as usize, y as usize)) && x >= 0 && y >= 0;
            assert_eq!(bits[i / 8] & (0x80 >> (i % 8)) != 0, lesion, "mask of {} {} at {x} {y}", row.x, row.y);
        }
        assert!(shard.mask(row.index, 1).unwrap().iter().all(|&byte| byte == 0));
    }
}

#[test]
fn pixels_of_masks_are_counted_as_released_after_halving() {
    let lab = Lab::new();
    write(&lab, "a", &[(4, 4), (5, 4), (5, 5), (8, 8)]);
    let photographs = tree(&lab.folder(&[]).unwrap());
    let half = tree(&lab.preprocess(&photographs, &[("shrink", Value::Int(2))]).unwrap());
    let size = ("size", Value::Int(8));
    let set = tree(&lab.extract(&half, &[size.clone(), ("label.min-pixels", Value::Int(4))]).unwrap());
    let set = PatchSet::read(&set, &lab.objects).unwrap();
    assert_eq!(set.info.scale, 2);
    assert_eq!((set.parts[0].rows[0].mask_pixels[0], set.parts[0].rows[0].labels[0]), (4, Label::Present));
    let shares = [("label.min-share", Value::Real(4.0 / 256.0)), size];
    let set = tree(&lab.extract(&half, &shares).unwrap());
    let set = PatchSet::read(&set, &lab.objects).unwrap();
    assert_eq!(set.parts[0].rows[0].labels[0], Label::Present, "4 of the 16 x 16 pixels that the patch was");
}

#[test]
fn one_more_photograph_changes_no_other() {
    let lab = Lab::new();
    write(&lab, "b", &[(4, 4)]);
    let one = cut(&lab, &[]);
    write(&lab, "a", &[]);
    let two = cut(&lab, &[]);
    assert_eq!(format!("{:?}", two.parts[1]), format!("{:?}", one.parts[0]));
}

#[test]
fn a_class_without_any_positive_is_reported() {
    let lab = Lab::new();
    write(&lab, "a", &[(4, 4)]);
    let outcome = lab.extract(&tree(&lab.folder(&[]).unwrap()), &[("size", Value::Int(16))]).unwrap();
    let codes: Vec<_> =
        outcome.summary.warnings.iter().map(|warning| (warning.code.as_str(), warning.text.clone())).collect();
    assert_eq!(codes, [("no-positives", "no patch has `HE`, so it can be neither learnt nor evaluated".to_owned())]);
    assert_eq!(outcome.summary.headline, "6 patches of 1 photograph, 5 healthy");
}

#[test]
fn a_mask_of_another_size_names_both_files() {
    let lab = Lab::new();
    write(&lab, "a", &[]);
    lab.write("ma/a.png", &png(&[0; 12], 4, 3, PixelFormat::Grey));
    let photographs = tree(&lab.folder(&[]).unwrap());
    let error = lab.extract(&photographs, &[]).unwrap_err();
    let StageError::Input { code, text, .. } = &error else { panic!("{error}") };
    assert_eq!(*code, "mask-size");
    let named = [lab.path("ma/a.png"), lab.path("photographs/a.png")].map(|path| path.display().to_string());
    assert!(
        named.iter().all(|name| text.contains(name)) && text.contains("4 x 3") && text.contains("50 x 34"),
        "{text}"
    );
}

#[test]
fn a_damaged_mask_and_a_truncated_photograph_are_named() {
    let lab = Lab::new();
    write(&lab, "a", &[]);
    lab.write("ma/a.png", b"II*\0\x08\0\0\0\0\0");
    let error = lab.extract(&tree(&lab.folder(&[]).unwrap()), &[]).unwrap_err();
    assert!(error.to_string().contains(&lab.path("ma/a.png").display().to_string()), "{error}");
    let whole = std::fs::read(lab.path("photographs/a.png")).unwrap();
    lab.write("photographs/a.png", &whole[..whole.len() / 2]);
    let error = lab.extract(&tree(&lab.folder(&[]).unwrap()), &[]).unwrap_err();
    assert!(error.to_string().contains(&lab.path("photographs/a.png").display().to_string()), "{error}");
}

/// A changed output without a raised version is a bug: raise the version, then change these digests.
#[test]
fn the_outputs_of_preprocess_and_extract_do_not_move() {
    let lab = Lab::new();
    write(&lab, "a", &[(4, 4), (20, 20), (21, 20)]);
    let photographs = tree(&lab.folder(&[]).unwrap());
    let size = ("size", Value::Int(16));
    let kept = [size.clone(), ("margin", Value::Int(4)), ("masks", Value::Bool(true)), ("edge", text("pad"))];
    let clahe = [("contrast", text("clahe")), ("contrast.tiles", Value::Int(3)), ("contrast.clip", Value::Real(2.0))];
    let graham = [
        ("crop", text("field-of-view")),
        ("contrast", text("local-mean")),
        ("contrast.radius", Value::Real(0.1)),
        ("contrast.gain", Value::Real(4.0)),
    ];
    let digests = [
        ("extract 1", lab.extract(&photographs, &[size])),
        ("extract 1, margin and masks", lab.extract(&photographs, &kept)),
        ("preprocess 1, shrink", lab.preprocess(&photographs, &[("shrink", Value::Int(3))])),
        ("preprocess 1, clahe", lab.preprocess(&photographs, &clahe)),
        ("preprocess 1, crop and local mean", lab.preprocess(&photographs, &graham)),
    ];
    let lines: Vec<_> = digests
        .iter()
        .map(|(name, made)| format!("{} {name}", tree(made.as_ref().unwrap()).digest().short()))
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @"
    da43f69b extract 1
    25221f09 extract 1, margin and masks
    c8cfa103 preprocess 1, shrink
    09e4f24d preprocess 1, clahe
    537f7bbf preprocess 1, crop and local mean
    ");
}

#[test]
fn lesion_pixels_that_are_cut_away_are_reported() {
    let lab = Lab::new();
    // In sixteens, two columns and two rows of 50 x 34 pixels are left over.
    write(&lab, "a", &[(4, 4), (49, 0), (48, 5), (3, 33)]);
    write(&lab, "b", &[(4, 4)]);
    let photographs = tree(&lab.folder(&[]).unwrap());
    let told = |by: i64| lab.preprocess(&photographs, &[("shrink", Value::Int(by))]).unwrap();
    let outcome = told(16);
    let [warning] = outcome.summary.warnings.as_slice() else { panic!("{:?}", outcome.summary.warnings) };
    assert_eq!(warning.code, "dropped-lesions");
    assert_eq!(warning.text, "lesion pixels lost at the borders: 3 of `MA`, in 1 photograph (first: `a`)");
    assert!(
        outcome.outputs["out"].entries.keys().all(|name| !name.ends_with("dropped.json")),
        "it is no part of the set"
    );
    assert!(told(1).summary.warnings.is_empty());
}
