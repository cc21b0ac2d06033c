//! `extract around=lesions` on small synthetic photographs: where patches are, what they hold, and what they depend on.

use std::collections::BTreeSet;

use macula::data::patches::{Health, Label, PatchSet, Shard};
use macula::data::png_image::{PixelFormat, png};
use macula::lang::value::Value;
use macula::stage::{Outcome, StageError};
use macula::store::Tree;

use super::lab::Lab;
use crate::space::Space;

const WIDTH: usize = 160;
const HEIGHT: usize = 96;
const SIZE: usize = 16;

/// Value of a photograph's pixel, different in each.
fn value(name: &str, x: usize, y: usize) -> [u8; 3] {
    [40 + x, 30 + y, 50 + (x * y + name.len() * 13) % 90].map(|value| value as u8)
}

fn mask(pixels: &[[usize; 2]]) -> Vec<u8> {
    let mut mask = vec![0; WIDTH * HEIGHT];
    for &[x, y] in pixels {
        mask[y * WIDTH + x] = 255;
    }
    png(&mask, WIDTH as u32, HEIGHT as u32, PixelFormat::Grey)
}

/// Writes a photograph with masks of MA and HE.
fn write(lab: &Lab, name: &str, ma: &[[usize; 2]], he: &[[usize; 2]]) {
    let rgb: Vec<u8> = (0..WIDTH * HEIGHT).flat_map(|i| value(name, i % WIDTH, i / WIDTH)).collect();
    lab.write(&format!("photographs/{name}.png"), &png(&rgb, WIDTH as u32, HEIGHT as u32, PixelFormat::Rgb));
    lab.write(&format!("ma/{name}.png"), &mask(ma));
    lab.write(&format!("he/{name}.png"), &mask(he));
}

fn photographs(lab: &Lab) -> Tree {
    lab.folder(&[]).unwrap().outputs["out"].clone()
}

fn run(lab: &Lab, inputs: &[(&str, &Tree)], params: &[(&str, Value)]) -> Result<Outcome, StageError> {
    let mut all = vec![
        ("size", Value::Int(SIZE as i64)),
        ("edge", Value::Text("drop".to_owned())),
        ("label.min-pixels", Value::Int(1)),
        ("label.min-share", Value::Real(0.0)),
        ("margin", Value::Int(0)),
        ("masks", Value::Bool(false)),
        ("around", Value::Text("lesions".to_owned())),
        ("around.per-lesion", Value::Int(1)),
        ("around.jitter", Value::Real(0.25)),
        ("around.merge", Value::Real(0.25)),
        ("around.healthy-per-lesion-patch", Value::Real(0.0)),
        ("around.healthy-per-photograph", Value::Int(0)),
        ("around.keep-out", Value::Int(0)),
        ("around.seed", Value::Int(0)),
    ];
    all.extend(params.iter().cloned());
    lab.map_of("extract", inputs, &all)
}

fn cut(lab: &Lab, params: &[(&str, Value)]) -> PatchSet {
    let outcome = run(lab, &[("from", &photographs(lab))], params).unwrap();
    PatchSet::read(&outcome.outputs["out"], &lab.objects).unwrap()
}

fn places(set: &PatchSet, part: usize) -> Vec<(u32, u32)> {
    set.parts[part].rows.iter().map(|row| (row.x, row.y)).collect()
}

#[test]
fn a_patch_is_around_each_lesion_and_several_differ() {
    let lab = Lab::new();
    let lesions = [[40, 40], [100, 60]];
    write(&lab, "a", &lesions, &[]);
    let centred = cut(&lab, &[("around.jitter", Value::Real(0.0))]);
    assert_eq!(places(&centred, 0), [(33, 33), (93, 53)], "the centre of the pixel is half a pixel from its corner");
    assert!(centred.info.resampled, "prevalence is not natural");
    let set = cut(&lab, &[("around.per-lesion", Value::Int(5))]);
    let found = places(&set, 0);
    assert_eq!(found.len(), 10);
    assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), 10, "no patch is another one");
    for &[x, y] in &lesions {
        let near = found.iter().filter(|place| {
            let off = |start: u32, at: usize| (f64::from(start) + SIZE as f64 / 2.0 - at as f64 - 0.5).abs();
            off(place.0, x).max(off(place.1, y)) <= SIZE as f64 / 4.0 + 0.5
        });
        assert_eq!(near.count(), 5, "jitter is bounded by a quarter of the side");
    }
}

/// Each patch has its own row in the shard: pixels, mask and labels are those of where it is, also at the borders.
#[test]
fn labels_masks_and_pixels_are_those_of_where_a_patch_is() {
    let lab = Lab::new();
    // In all four corners, where patches are moved inwards; the HE is only in a moved patch.
    let ma = [[0, 0], [159, 0], [0, 95], [159, 95], [80, 50]];
    let he = [[14, 14], [90, 50]];
    write(&lab, "a", &ma, &he);
    let margin = 3;
    let params = [
        ("around.per-lesion", Value::Int(3)),
        ("margin", Value::Int(margin)),
        ("masks", Value::Bool(true)),
        ("around.healthy-per-lesion-patch", Value::Real(1.0)),
    ];
    let set = cut(&lab, &params);
    let part = &set.parts[0];
    assert!(part.rows.len() > 20, "{}", part.rows.len());
    let shard = Shard::open(part, &set.info, &lab.objects).unwrap();
    let side = SIZE as i64 + 2 * margin;
    let mut corners = 0;
    for row in &part.rows {
        let (left, top) = (row.x as usize, row.y as usize);
        assert!(left + SIZE <= WIDTH && top + SIZE <= HEIGHT, "within the photograph");
        for (class, lesions) in [&ma[..], &he[..]].into_iter().enumerate() {
            let inside = |&&[x, y]: &&[usize; 2]| (left..left + SIZE).contains(&x) && (top..top + SIZE).contains(&y);
            let count = lesions.iter().filter(inside).count();
            assert_eq!(row.mask_pixels[class] as usize, count, "class {class} at {left} {top}");
            assert_eq!(row.labels[class], if count > 0 { Label::Present } else { Label::Absent });
            let bits = shard.mask(row.index, class).unwrap();
            for i in 0..side * side {
                let (x, y) = (left as i64 + i % side - margin, top as i64 + i / side - margin);
                let lesion = x >= 0 && y >= 0 && lesions.contains(&[x as usize, y as usize]);
                assert_eq!(bits[i as usize / 8] & (0x80 >> (i % 8)) != 0, lesion, "mask at {x} {y}");
            }
        }
        for (i, pixel) in shard.pixels(row.index).as_chunks::<3>().0.iter().enumerate() {
            let (x, y) = (left as i64 + i as i64 % side - margin, top as i64 + i as i64 / side - margin);
            let inside = (0..WIDTH as i64).contains(&x) && (0..HEIGHT as i64).contains(&y);
            assert_eq!(*pixel, if inside { value("a", x as usize, y as usize) } else { [0; 3] }, "{x} {y}");
        }
        corners += usize::from((left == 0 || left + SIZE == WIDTH) && (top == 0 || top + SIZE == HEIGHT));
    }
    assert!(corners >= 4, "{corners} patches in corners");
    let of_corners = part.rows.iter().filter(|row| row.x == 0 && row.y == 0);
    assert!(of_corners.clone().all(|row| row.labels == [Label::Present; 2]), "the lesion that only the move let in");
    assert_eq!(of_corners.count(), 1);
}

#[test]
fn healthy_patches_keep_away_from_the_lesions_of_every_annotated_class() {
    let lab = Lab::new();
    // MA fills a quarter, HE another one; half of the photograph is free.
    let block =
        |from: usize| -> Vec<[usize; 2]> { (from..from + 40).flat_map(|x| (0..HEIGHT).map(move |y| [x, y])).collect() };
    write(&lab, "a", &block(0), &block(60));
    let healthy = |keep_out: i64| {
        let params = [("around.healthy-per-photograph", Value::Int(40)), ("around.keep-out", Value::Int(keep_out))];
        let set = cut(&lab, &params);
        let rows = set.parts[0].rows.iter().filter(|row| row.labels == [Label::Absent; 2]);
        rows.map(|row| row.x as usize).collect::<Vec<_>>()
    };
    for keep_out in [0, 20] {
        let found = healthy(keep_out);
        assert_eq!(found.len(), 40, "{keep_out}");
        let far = keep_out as usize;
        let is_far = |x: usize| x >= 100 + far || x >= 40 + far && x + SIZE + far <= 60;
        assert!(found.iter().all(|&x| is_far(x)), "{keep_out}: {found:?}");
    }
    // Nothing is 60 px away: none is found, and that is reported.
    let params = [("around.healthy-per-photograph", Value::Int(5)), ("around.keep-out", Value::Int(60))];
    let outcome = run(&lab, &[("from", &photographs(&lab))], &params).unwrap();
    let [warning] = outcome.summary.warnings.as_slice() else { panic!("{:?}", outcome.summary.warnings) };
    assert_eq!(
        (warning.code.as_str(), warning.text.as_str()),
        ("few-healthy", "only 0 of 5 healthy patches found away from lesions")
    );
}

#[test]
fn near_lesions_share_a_centre() {
    let lab = Lab::new();
    write(&lab, "a", &[[40, 40], [43, 40], [60, 40]], &[[40, 42]]);
    let count = |merge: f64| cut(&lab, &[("around.merge", Value::Real(merge)), ("around.jitter", Value::Real(0.0))]);
    assert_eq!(count(0.0).parts[0].rows.len(), 4);
    let merged = count(0.25);
    assert_eq!(places(&merged, 0), [(34, 33), (53, 33)], "at the mean of three centres, and at the other one");
}

#[test]
fn draws_depend_on_the_photograph_and_the_lesion_and_on_nothing_else() {
    let lab = Lab::new();
    let lesions: Vec<[usize; 2]> = (1..5).flat_map(|x| (1..3).map(move |y| [x * 30, y * 30])).collect();
    write(&lab, "bb", &lesions, &[]);
    let params = [("around.healthy-per-lesion-patch", Value::Real(1.0))];
    let one = cut(&lab, &params);
    write(&lab, "a", &lesions, &[]);
    let two = cut(&lab, &params);
    assert_eq!(format!("{:?}", two.parts[1]), format!("{:?}", one.parts[0]), "one more photograph changes no other");
    assert_ne!(places(&two, 0), places(&two, 1), "the same lesions in another photograph are drawn differently");
    assert_eq!(places(&cut(&lab, &params), 0), places(&two, 0));
    let seeded = cut(&lab, &[params[0].clone(), ("around.seed", Value::Int(1))]);
    assert_ne!(places(&seeded, 0), places(&two, 0));
    // Without the healthy patches, which follow from the number of the others, those around a lesion stay when others are added.
    let before = places(&cut(&lab, &[]), 0);
    write(&lab, "a", &[&[[5, 5]], lesions.as_slice(), &[[140, 80]]].concat(), &[]);
    let after: BTreeSet<_> = places(&cut(&lab, &[]), 0).into_iter().collect();
    assert!(
        before.iter().all(|place| after.contains(place)) && after.len() == before.len() + 2,
        "{before:?} {after:?}"
    );
}

#[test]
fn a_class_that_is_not_annotated_keeps_no_patch_away_and_makes_none_healthy() {
    let lab = Lab::new();
    write(&lab, "a", &[[40, 40]], &[]);
    write(&lab, "b", &[], &[]);
    write(&lab, "c", &[], &[[20, 20]]);
    std::fs::remove_file(lab.path("he/a.png")).unwrap();
    std::fs::remove_file(lab.path("ma/b.png")).unwrap();
    std::fs::remove_file(lab.path("he/b.png")).unwrap();
    let from = lab.folder(&[("absent-mask", Value::Text("unknown".to_owned()))]).unwrap().outputs["out"].clone();
    let params = [("around.healthy-per-photograph", Value::Int(6))];
    let set = PatchSet::read(&run(&lab, &[("from", &from)], &params).unwrap().outputs["out"], &lab.objects).unwrap();
    let [a, b, _] = set.parts.as_slice() else { panic!("{}", set.parts.len()) };
    assert!(b.rows.is_empty(), "nothing is known of its patches");
    let away: Vec<_> = a.rows.iter().filter(|row| row.labels[0] == Label::Absent).collect();
    assert_eq!(away.len(), 6);
    assert!(away.iter().all(|row| row.labels[1] == Label::Unknown && row.health() == Health::Undetermined));
}

#[test]
fn given_lesions_are_those_of_the_masks_and_of_no_other_photograph() {
    let lab = Lab::new();
    write(&lab, "a", &[[40, 40], [100, 60]], &[[70, 20]]);
    let from = photographs(&lab);
    let lesions = lab.map("lesions", &from, &[]).unwrap().outputs["out"].clone();
    let given = run(&lab, &[("from", &from), ("lesions", &lesions)], &[]).unwrap();
    let own = run(&lab, &[("from", &from)], &[]).unwrap();
    assert_eq!(given.outputs["out"].digest(), own.outputs["out"].digest());
    let error = |from: &Tree, params: &[(&str, Value)], code: &str| {
        let error = run(&lab, &[("from", from), ("lesions", &lesions)], params).unwrap_err();
        assert!(error.has_code(code), "{error}");
        error.to_string()
    };
    let half = lab.preprocess(&from, &[("shrink", Value::Int(2))]).unwrap().outputs["out"].clone();
    let text = error(&half, &[], "other-lesions");
    assert!(text.contains("the lesions of `a`"), "{text}");
    error(&from, &[("around", Value::Text("grid".to_owned()))], "around-lesions");
    write(&lab, "bb", &[], &[]);
    let text = error(&photographs(&lab), &[], "other-lesions");
    assert!(text.contains("no photograph `bb`"), "{text}");
}

const PIPELINE: &str = r"pipeline small seed=7 {
    synthetic eyes { photographs 6; size 192; photographs-per-patient 1; healthy 0.0; severity 2.0 }
    extract grid { from eyes; size 48 }
    split folds { from grid; train 0.5; valid 0.25; test 0.25 }
    lesions found { from eyes }
    extract centred { from eyes; lesions found; size 48; around lesions }
    split near { from centred; like folds }
    LAST
}
";

#[test]
fn what_needs_a_grid_or_natural_prevalence_refuses_such_patches() {
    let train = "train net { data near.train; valid folds.valid; network shallow-cnn; epochs 1 }\n";
    let space = Space::with(&PIPELINE.replace("LAST", &format!("{train} heat-map maps {{ model net; from eyes }}")));
    space.macula("run pipeline.kdl").code(0);
    space.macula("show pipeline.kdl centred --all").code(0).says(&["centres", "away from them"]);
    for (last, code) in [
        (format!("{train} eval scores {{ model net; data folds.test }}"), ""),
        (format!("{train} eval scores {{ model net; data near.test }}"), "resampled-evaluation"),
        (train.replace("folds.valid", "near.valid"), "resampled-evaluation"),
        (format!("{train} threshold-tune cuts {{ model net; data near.valid }}"), "resampled-evaluation"),
        (
            format!("{train} encode described {{ from centred; init net; network shallow-cnn to=features }}"),
            "resampled-encoding",
        ),
        (
            format!("{} eval scores {{ model net; data folds.test }}", train.replace("near.train", "centred")),
            "test-in-training",
        ),
    ] {
        space.write("pipeline.kdl", PIPELINE.replace("LAST", &last));
        let said = space.macula("check pipeline.kdl");
        match code {
            "" => said.code(0).says_not(&["error"]),
            "test-in-training" => said.code(2).says(&[code]),
            _ => said.code(2).says(&[code, "around lesions", "grid"]),
        };
    }
    for (param, value) in [("stride", "24"), ("edge", "shift")] {
        let text = PIPELINE.replace("LAST", "").replace("lesions found; size", &format!("{param} {value}; size"));
        space.write("pipeline.kdl", text);
        let said = space.macula("check pipeline.kdl").code(2);
        said.says(&["around-lesions", &format!("`{param}` is a parameter of the grid")]);
    }
}
