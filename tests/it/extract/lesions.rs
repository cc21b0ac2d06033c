//! `lesions` on small synthetic masks: components, measures, outlines, and what is unknown.

use std::collections::BTreeSet;

use macula::data::bitmap::Rect;
use macula::data::lesions::{LesionComponent, PhotographLesions};
use macula::data::png_image::{PixelFormat, png};
use macula::data::table::Columns;
use macula::lang::value::Value;
use macula::stage::{Cell, Outcome, StageError};
use macula::store::Tree;

use super::lab::Lab;
use crate::space::Space;

const WIDTH: usize = 40;
const HEIGHT: usize = 24;

fn png_of(pixels: &[[usize; 2]]) -> Vec<u8> {
    let mut mask = vec![0; WIDTH * HEIGHT];
    pixels.iter().for_each(|&[x, y]| mask[y * WIDTH + x] = 255);
    png(&mask, WIDTH as u32, HEIGHT as u32, PixelFormat::Grey)
}

/// Writes a photograph that is black in columns 0 to 3 and lit elsewhere, with a mask of MA, and an empty one of HE.
fn write(lab: &Lab, name: &str, lesions: &[[usize; 2]]) {
    let value = |i: usize| if i % WIDTH < 4 { 0 } else { 60 + name.len() + i % 7 };
    let rgb: Vec<u8> = (0..WIDTH * HEIGHT).flat_map(|i| [value(i) as u8; 3]).collect();
    lab.write(&format!("photographs/{name}.png"), &png(&rgb, WIDTH as u32, HEIGHT as u32, PixelFormat::Rgb));
    lab.write(&format!("ma/{name}.png"), &png_of(lesions));
    lab.write(&format!("he/{name}.png"), &png_of(&[]));
}

fn photographs(lab: &Lab, absent: &str) -> Tree {
    let absent = ("absent-mask", Value::Text(absent.to_owned()));
    lab.folder(&[absent]).unwrap().outputs["out"].clone()
}

fn found(lab: &Lab, photographs: &Tree) -> Outcome {
    lab.map("lesions", photographs, &[]).unwrap()
}

fn bytes(lab: &Lab, outcome: &Outcome, file: &str) -> Vec<u8> {
    lab.objects.read_in(&outcome.outputs["out"], file).unwrap().unwrap_or_else(|| panic!("no {file}")).to_vec()
}

fn table(lab: &Lab, outcome: &Outcome, name: &str) -> PhotographLesions {
    PhotographLesions::from_parquet(name, &bytes(lab, outcome, &format!("lesions/{name}.parquet"))).unwrap()
}

fn geojson(lab: &Lab, outcome: &Outcome, name: &str) -> serde_json::Value {
    serde_json::from_slice(&bytes(lab, outcome, &format!("outlines/{name}.geojson"))).unwrap()
}

type Corner = [i64; 2];

/// The polygons of a feature, each a list of rings, the first one outside.
fn polygons(feature: &serde_json::Value) -> Vec<Vec<Vec<Corner>>> {
    let coordinates = feature["geometry"]["coordinates"].clone();
    match feature["geometry"]["type"].as_str() {
        Some("Polygon") => vec![serde_json::from_value(coordinates).unwrap()],
        Some("MultiPolygon") => serde_json::from_value(coordinates).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// Pixels inside an odd number of the rings: each vertical edge switches all pixels right of it.
fn filled(rings: &[Vec<Corner>]) -> BTreeSet<[usize; 2]> {
    let mut inside = vec![[false; WIDTH]; HEIGHT];
    for ring in rings {
        assert_eq!(ring.first(), ring.last(), "a ring is closed");
        for edge in ring.windows(2) {
            let [[x, y], [next_x, next_y]] = [edge[0], edge[1]];
            assert!((x == next_x) != (y == next_y), "edges follow the sides of pixels: {ring:?}");
            for row in y.min(next_y)..y.max(next_y) {
                (x as usize..WIDTH).for_each(|column| inside[row as usize][column] ^= true);
            }
        }
    }
    let all = (0..HEIGHT).flat_map(|y| (0..WIDTH).map(move |x| [x, y]));
    all.filter(|&[x, y]| inside[y][x]).collect()
}

/// Twice the signed area of a closed ring.
fn doubled_area(ring: &[Corner]) -> i64 {
    ring.windows(2).map(|edge| edge[0][0] * edge[1][1] - edge[1][0] * edge[0][1]).sum()
}

/// Pixels of the lesions by their polygons, after checking that the rings are what GeoJSON asks for.
fn pixels_of(features: &serde_json::Value) -> Vec<BTreeSet<[usize; 2]>> {
    let pixels = |feature: &serde_json::Value| {
        let mut all = BTreeSet::new();
        for rings in polygons(feature) {
            for (at, ring) in rings.iter().enumerate() {
                let corners: BTreeSet<&Corner> = ring.iter().collect();
                assert_eq!(corners.len(), ring.len() - 1, "no ring meets itself: {ring:?}");
                assert_eq!(doubled_area(ring) > 0, at == 0, "holes run the other way: {rings:?}");
                let straight = |corner: &[Corner]| (corner[0][0] == corner[1][0]) == (corner[1][0] == corner[2][0]);
                assert!(!ring.windows(3).any(straight), "only turns are corners: {ring:?}");
            }
            let part = filled(&rings);
            assert!(all.is_disjoint(&part), "parts do not overlap");
            all.extend(part);
        }
        all
    };
    features.as_array().unwrap().iter().map(pixels).collect()
}

/// All pixels of some lesions.
fn union(lesions: &[BTreeSet<[usize; 2]>]) -> BTreeSet<[usize; 2]> {
    lesions.iter().flatten().copied().collect()
}

/// A ring with a pixel in its hole, two pixels that share a corner with each other, a bar at the right edge, a single pixel in a corner.
fn shapes() -> Vec<[usize; 2]> {
    let mut pixels: Vec<[usize; 2]> = (10..15)
        .flat_map(|x| (5..10).map(move |y| [x, y]))
        .filter(|&[x, y]| x == 10 || x == 14 || y == 5 || y == 9)
        .collect();
    pixels.extend([[12, 7], [20, 3], [21, 4], [39, 10], [39, 11], [39, 12], [0, 23]]);
    pixels
}

#[test]
fn lesions_are_pixels_that_share_an_edge_or_a_corner() {
    let lab = Lab::new();
    write(&lab, "a", &shapes());
    let outcome = found(&lab, &photographs(&lab, "absent"));
    let table = table(&lab, &outcome, "a");
    assert_eq!(table.size, [WIDTH as u32, HEIGHT as u32]);
    let rect = |left, top, right, bottom| Rect { left, top, right, bottom };
    let seen: Vec<_> =
        table.lesions.iter().map(|one| (one.class, one.number, one.area, one.bounds, one.centre)).collect();
    assert_eq!(
        seen,
        [
            (0, 1, 2, rect(20, 3, 22, 5), [21.0, 4.0]),
            (0, 2, 16, rect(10, 5, 15, 10), [12.5, 7.5]),
            (0, 3, 1, rect(12, 7, 13, 8), [12.5, 7.5]),
            (0, 4, 3, rect(39, 10, 40, 13), [39.5, 11.5]),
            (0, 5, 1, rect(0, 23, 1, 24), [0.5, 23.5]),
        ],
        "in the order of their first pixels, the box up to one past the last pixel"
    );
    assert!(table.lesions.iter().all(|one| one.pixels == one.area), "as released");
    let rims: Vec<f32> = table.lesions.iter().map(|one| one.rim).collect();
    assert_eq!(
        rims,
        [4.0, 7.5, 7.5, 0.5, 0.0],
        "the upper edge, the background on the left, the right edge, the background"
    );
    assert!(table.lesions.iter().all(|one| one.disc.is_none()), "nobody annotated the disc");
}

#[test]
fn outlines_cover_exactly_the_pixels_of_each_lesion() {
    let lab = Lab::new();
    write(&lab, "a", &shapes());
    let outcome = found(&lab, &photographs(&lab, "absent"));
    let json = geojson(&lab, &outcome, "a");
    let parts: Vec<usize> = json["features"].as_array().unwrap().iter().map(|one| polygons(one).len()).collect();
    assert_eq!(parts, [2, 1, 1, 1, 1], "pixels that share only a corner are two polygons");
    let rings: Vec<usize> = json["features"].as_array().unwrap().iter().map(|one| polygons(one)[0].len()).collect();
    assert_eq!(rings, [1, 2, 1, 1, 1], "a hole is a ring of its own");
    let pixels = pixels_of(&json["features"]);
    assert_eq!(pixels[0], BTreeSet::from([[20, 3], [21, 4]]));
    assert_eq!(union(&pixels), shapes().into_iter().collect::<BTreeSet<_>>());
    let first = &json["features"][0];
    assert_eq!((first["type"].as_str(), first["id"].as_str()), (Some("Feature"), Some("MA-1")));
    assert_eq!((first["properties"]["class"].as_str(), first["properties"]["area"].as_u64()), (Some("MA"), Some(2)));
}

/// Dense random masks have holes in holes, corners where four parts meet, and lesions along all edges.
#[test]
fn outlines_of_random_masks_cover_exactly_their_pixels() {
    let lab = Lab::new();
    let mut state = 7_u64;
    let mut draw = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % 100 < below
    };
    let fractions = [8, 30, 45, 60, 75, 95];
    let masks: Vec<Vec<[usize; 2]>> = fractions
        .iter()
        .map(|&below| (0..HEIGHT).flat_map(|y| (0..WIDTH).map(move |x| [x, y])).filter(|_| draw(below)).collect())
        .collect();
    for (at, mask) in masks.iter().enumerate() {
        write(&lab, &format!("p{at}"), mask);
    }
    let outcome = found(&lab, &photographs(&lab, "absent"));
    for (at, mask) in masks.iter().enumerate() {
        let name = format!("p{at}");
        let table = table(&lab, &outcome, &name);
        let pixels = pixels_of(&geojson(&lab, &outcome, &name)["features"]);
        assert_eq!(pixels.len(), table.lesions.len());
        for (pixels, lesion) in pixels.iter().zip(&table.lesions) {
            assert_eq!(pixels.len(), lesion.pixels as usize, "{name}, lesion {}", lesion.number);
            let apart =
                |one: &[usize; 2], other: &[usize; 2]| one[0].abs_diff(other[0]).max(one[1].abs_diff(other[1])) > 1;
            let of_others = mask.iter().filter(|pixel| !pixels.contains(*pixel));
            assert!(of_others.clone().all(|other| pixels.iter().all(|own| apart(own, other))), "two lesions touch");
        }
        assert_eq!(union(&pixels), mask.iter().copied().collect::<BTreeSet<_>>(), "{name}");
    }
}

/// Lesions and total area per class of a photograph, as in `counts.parquet`.
fn counts(lab: &Lab, outcome: &Outcome, name: &str) -> Vec<(String, Option<u32>, Option<i64>)> {
    let table = Columns::from_parquet(&bytes(lab, outcome, "counts.parquet")).unwrap();
    let (names, classes) = (table.texts("photograph").unwrap(), table.texts("class").unwrap());
    let (lesions, areas) = (table.counts("lesions").unwrap(), table.ints("area").unwrap());
    let own = (0..names.len()).filter(|&row| names[row].as_deref() == Some(name));
    own.map(|row| (classes[row].clone().unwrap(), lesions[row], areas[row])).collect()
}

#[test]
fn a_class_that_is_not_annotated_has_unknown_lesions_not_none() {
    let lab = Lab::new();
    write(&lab, "a", &[[8, 8], [9, 9]]);
    write(&lab, "bb", &[]);
    lab.write("he/bb.png", &png_of(&[[20, 20]]));
    std::fs::remove_file(lab.path("he/a.png")).unwrap();
    let row = |class: &str, lesions, area| (class.to_owned(), lesions, area);
    for (absent, he) in [("unknown", None), ("absent", Some(0))] {
        let outcome = found(&lab, &photographs(&lab, absent));
        assert_eq!(
            counts(&lab, &outcome, "a"),
            [row("MA", Some(1), Some(2)), row("HE", he, he.map(i64::from))],
            "{absent}"
        );
        assert_eq!(counts(&lab, &outcome, "bb"), [row("MA", Some(0), Some(0)), row("HE", Some(1), Some(1))]);
        let unknown = &geojson(&lab, &outcome, "a")["unknown"];
        assert_eq!(*unknown, if he.is_none() { serde_json::json!(["HE"]) } else { serde_json::json!([]) });
        assert_eq!(table(&lab, &outcome, "a").classes[1], ("HE".to_owned(), he.is_some()));
        let [table] = outcome.summary.tables.as_slice() else { panic!("one table") };
        let cells = |row: usize| format!("{:?}", &table.rows[row][1..4]);
        let int = |values: [i64; 3]| format!("{:?}", values.map(Cell::Int).as_slice());
        assert_eq!(cells(0), int([1, 0, 1]), "photographs with MA, of unknown MA, lesions");
        assert_eq!(cells(1), int([1, i64::from(he.is_none()), 1]));
        assert_eq!(outcome.summary.headline, "2 lesions in 2 photographs");
    }
}

#[test]
fn areas_are_counted_as_released_after_halving() {
    let lab = Lab::new();
    // As released two lesions, which are one after halving.
    write(&lab, "a", &[[8, 8], [9, 8], [11, 8], [13, 20]]);
    let half = lab.preprocess(&photographs(&lab, "absent"), &[("shrink", Value::Int(2))]).unwrap();
    let outcome = found(&lab, &half.outputs["out"]);
    let table = table(&lab, &outcome, "a");
    assert_eq!((table.scale, table.size), (2, [WIDTH as u32 / 2, HEIGHT as u32 / 2]));
    let seen: Vec<_> = table.lesions.iter().map(|one| (one.area, one.pixels, one.centre)).collect();
    assert_eq!(seen, [(3, 2, [5.0, 4.5]), (1, 1, [6.5, 10.5])]);
    assert_eq!(outcome.summary.headline, "2 lesions in 1 photograph, in masks at 1/2 of the original resolution");
}

fn discs(lab: &Lab, classes: &[(&str, &str)]) -> Tree {
    let text = |text: &str| Value::Text(text.to_owned());
    let masks = classes.iter().map(|(class, pattern)| ((*class).to_owned(), text(pattern))).collect();
    lab.folder(&[("masks", Value::Map(masks)), ("absent-mask", text("unknown"))]).unwrap().outputs["out"].clone()
}

#[test]
fn the_distance_to_the_disc_is_known_where_the_disc_is() {
    let lab = Lab::new();
    write(&lab, "a", &[[10, 10], [31, 11]]);
    write(&lab, "bb", &[[10, 10]]);
    let disc: Vec<[usize; 2]> = (30..34).flat_map(|x| (9..13).map(move |y| [x, y])).collect();
    lab.write("od/a.png", &png_of(&disc));
    let from = photographs(&lab, "absent");
    let distances = |disc: &Tree| {
        let outcome = lab.map_of("lesions", &[("from", &from), ("disc", disc)], &[])?;
        let of = |name: &str| -> Vec<Option<f32>> {
            table(&lab, &outcome, name).lesions.iter().map(|lesion: &LesionComponent| lesion.disc).collect()
        };
        Ok::<_, StageError>((of("a"), of("bb")))
    };
    let known = distances(&discs(&lab, &[("OD", "od/*")])).unwrap();
    assert_eq!(known, (vec![Some(19.5), Some(0.0)], vec![None]), "from the centre to the nearest pixel, 0 inside");
    let error = |disc: &Tree| {
        let error = distances(disc).unwrap_err();
        assert!(error.has_code("other-discs"), "{error}");
        error.to_string()
    };
    let two = error(&discs(&lab, &[("OD", "od/*"), ("MA", "ma/*")]));
    assert!(two.contains("not one"), "{two}");
    lab.write("photographs/a.png", &png(&[9; WIDTH * HEIGHT], WIDTH as u32, HEIGHT as u32, PixelFormat::Grey));
    let changed = error(&discs(&lab, &[("OD", "od/*")]));
    assert!(changed.contains("`a` is another photograph"), "{changed}");
}

#[test]
fn one_more_photograph_changes_no_other() {
    let lab = Lab::new();
    write(&lab, "bb", &shapes());
    let one = found(&lab, &photographs(&lab, "absent"));
    write(&lab, "a", &[[3, 3]]);
    let two = found(&lab, &photographs(&lab, "absent"));
    for file in ["lesions/bb.parquet", "outlines/bb.geojson"] {
        assert_eq!(two.outputs["out"].get(file), one.outputs["out"].get(file), "{file}");
    }
}

/// A changed output without a raised version is a bug: raise the version, then change this digest.
#[test]
fn the_output_of_lesions_does_not_move() {
    let lab = Lab::new();
    write(&lab, "a", &shapes());
    let outcome = found(&lab, &photographs(&lab, "unknown"));
    assert_eq!(outcome.outputs["out"].digest().short(), "f90b59ff", "raise the version of `lesions`");
}

const PIPELINE: &str = r"pipeline small seed=7 {
    synthetic eyes { photographs 3; size 192; photographs-per-patient 1; healthy 0.0; severity 2.0 }
    lesions found { from eyes }
}
";

#[test]
fn a_further_photograph_is_the_only_one_computed_and_show_prints_a_row_per_class() {
    let space = Space::with(PIPELINE);
    space.macula("run pipeline.kdl").code(0);
    space.macula("show pipeline.kdl found").code(0).says(&["lesions in 3 photographs", "median area", "MA", "SE"]);
    assert!(space.path("results/small/found/lesions.json").is_file());
    space.write("pipeline.kdl", &PIPELINE.replace("photographs 3;", "photographs 4;"));
    let said = space.macula("run pipeline.kdl").code(0).says(&["lesions in 4 photographs"]);
    let words: Vec<&str> = said.stdout.split_whitespace().collect();
    let computed = words.join(" ").matches("1 of 4 items computed").count();
    assert_eq!(computed, 2, "the photograph and its lesions: {}", said.stdout);
}
