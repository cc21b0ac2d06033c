//! Lesions detected by heat maps: values by scipy (`tests/expected/froc.py`), coverage of intervals, and through the binary.

use macula::base::Streams;
use macula::data::heat::{MapInfo, ScoreMap};
use macula::data::lesions::shape::LesionShapes;
use macula::data::patches::Label;
use macula::learn::lesion_level::{MappedLesions, detections, froc};
use macula::learn::metrics::{FrocData, FrocPeak, FrocPlace};
use serde_json::{Value, json};

use super::sets::numbers;
use crate::space::Space;

/// Outlines of lesions given by their pixels, each pixel a square of its own.
fn shapes(case: &Value, lesions: &Value, scale: u64) -> LesionShapes {
    let feature = |(number, pixels): (usize, &Value)| {
        let square = |pixel: &Value| {
            let [x, y] = [0, 1].map(|axis| pixel[axis].as_u64().expect("a pixel"));
            json!([[[x, y], [x + 1, y], [x + 1, y + 1], [x, y + 1], [x, y]]])
        };
        let squares: Vec<Value> = pixels.as_array().expect("pixels").iter().map(square).collect();
        json!({
            "geometry": { "type": "MultiPolygon", "coordinates": squares },
            "properties": { "class": "MA", "number": number + 1 },
        })
    };
    let features: Vec<Value> = lesions.as_array().expect("lesions").iter().enumerate().map(feature).collect();
    let side = |name: &str| case[name].as_u64().expect(name) * scale;
    let file = json!({
        "width": side("width"), "height": side("height"), "scale": 1, "classes": ["MA"], "features": features,
    });
    LesionShapes::from_geojson("a", file.to_string().as_bytes()).expect("outlines")
}

fn mapped(case: &Value, number: usize, map: &Value) -> MappedLesions {
    let count = |name: &str| case[name].as_u64().expect(name) as u32;
    let scores = map["scores"].as_array().expect("rows").iter().flat_map(|row| row.as_array().expect("a row"));
    let scores: Vec<f32> = scores.map(|score| score.as_f64().map_or(f32::NAN, |score| score as f32)).collect();
    let info = MapInfo {
        classes: vec!["MA".to_owned()],
        width: count("width"),
        height: count("height"),
        scale: count("scale"),
        size: 2 * count("stride"),
        stride: count("stride"),
        columns: count("columns"),
        rows: count("rows"),
        scored: 1,
        black: 0,
        thresholds: None,
    };
    let group = number as u32 / 2;
    MappedLesions {
        photograph: format!("p{number:02}"),
        place: FrocPlace { group, fold: group % count("folds") },
        map: ScoreMap { lesion: vec![Label::Unknown; scores.len()], scores, info },
        shapes: shapes(case, &map["lesions"], u64::from(count("scale"))),
    }
}

#[test]
fn detections_agree_with_scipy() {
    let json: Value = serde_json::from_str(include_str!("../../expected/froc.json")).expect("JSON");
    let mut with_interval = 0;
    for (number, case) in json["cases"].as_array().expect("cases").iter().enumerate() {
        let maps = case["maps"].as_array().expect("maps");
        let all: Vec<MappedLesions> = maps.iter().enumerate().map(|(at, map)| mapped(case, at, map)).collect();
        let tolerance = case["tolerance"].as_f64().expect("a distance");
        let found = detections(&all, "MA", tolerance);
        for (at, map) in maps.iter().enumerate() {
            let name = format!("p{at:02}");
            let of_map = found.detections.iter().filter(|one| one.photograph == name);
            let mut own: Vec<(f64, f64, f64, Option<u64>)> =
                of_map.map(|one| (one.peak.at[1], one.peak.at[0], one.peak.score, one.lesion.map(u64::from))).collect();
            own.sort_by(|a, b| (a.0, a.1).partial_cmp(&(b.0, b.1)).expect("numbers"));
            let expected = map["peaks"].as_array().expect("peaks").iter().map(|peak| {
                let real = |at: usize| peak[at].as_f64().expect("a number");
                (real(1), real(0), real(2), peak[3].as_u64())
            });
            assert_eq!(own, expected.collect::<Vec<_>>(), "case {number}, {name}");
        }
        let groups = maps.len().div_ceil(2);
        let folds = case["folds"].as_u64().expect("a count") as u32;
        let froc = froc(&[found], tolerance, 4, (groups, true), folds, &Streams::new(7, "froc"));
        let metrics = &froc.classes[0].metrics;
        assert_eq!(metrics.groups, case["groups"].as_u64().expect("a count"), "case {number}");
        let estimates = metrics.sensitivity.iter().chain([&metrics.mean]);
        for (at, (estimate, value)) in estimates.zip(numbers(&case["values"])).enumerate() {
            let own = estimate.value.expect("lesions");
            assert!((own - value).abs() < 1e-9, "case {number}, rate {at}: {own}, {value}");
            let ends =
                |name: &str| case["intervals"][name][at].as_array().map(|_| numbers(&case["intervals"][name][at]));
            let Some(((interval, mean), deviation)) = estimate.interval.zip(ends("mean")).zip(ends("deviation")) else {
                continue;
            };
            for ((end, mean), deviation) in [interval.low, interval.high].into_iter().zip(mean).zip(deviation) {
                let near = 4.0 * deviation + 1e-3;
                assert!((end - mean).abs() < near, "case {number}, rate {at}: {end} and {mean}");
            }
            with_interval += 1;
        }
    }
    assert!(with_interval >= 6, "intervals were compared");
}

/// Photographs that differ in how well their lesions show and in how many false alarms they give.
fn simulated(photographs: u32, stream: &mut macula::base::random::Stream) -> FrocData {
    let mut data = FrocData::default();
    for group in 0..photographs {
        let place = FrocPlace { group, fold: 0 };
        data.photographs.push(place);
        let (level, many) = (0.6 * stream.normal(), 1.0 + 5.0 * stream.uniform());
        let lesions = stream.below(5);
        for _ in 0..lesions {
            let lesion = data.lesions.len();
            data.lesions.push(place);
            if stream.chance(0.9) {
                data.peaks.push(FrocPeak { score: 1.0 + level + stream.normal(), place, lesion: Some(lesion) });
            }
        }
        for _ in 0..many as u64 {
            data.peaks.push(FrocPeak { score: level + stream.normal(), place, lesion: None });
        }
    }
    data
}

#[test]
fn intervals_of_sensitivity_cover_the_true_value_at_their_nominal_rate() {
    const SETS: u64 = 150;
    let streams = Streams::new(5, "coverage");
    let mut population = simulated(20_000, &mut streams.stream("population", 0, &[]));
    // As one group, for which no interval is computed.
    let peaks = population.peaks.iter_mut().map(|peak| &mut peak.place);
    population.photographs.iter_mut().chain(&mut population.lesions).chain(peaks).for_each(|place| place.group = 0);
    let truth = population.metrics(1, &Streams::new(0, "froc"));
    // One false alarm per photograph, and the mean.
    let truth = [truth.sensitivity[3], truth.mean].map(|one| one.value.expect("lesions"));
    let mut covered = [0u32; 2];
    for number in 0..SETS {
        let data = simulated(24, &mut streams.stream("sample", number, &[]));
        let found = data.metrics(24, &Streams::new(number, "froc"));
        for (at, (estimate, truth)) in [found.sensitivity[3], found.mean].into_iter().zip(truth).enumerate() {
            let interval = estimate.interval.expect("enough photographs");
            covered[at] += u32::from((interval.low..=interval.high).contains(&truth));
        }
    }
    for covered in covered {
        let rate = f64::from(covered) / SETS as f64;
        // A rate of 0.93 and four standard deviations.
        assert!(rate >= 0.93 - 4.0 * (0.93 * 0.07 / SETS as f64).sqrt(), "{rate:.3} of {SETS}");
    }
}

const PIPELINE: &str = r"pipeline detected seed=7 {
    synthetic eyes { photographs 12; size 128; photographs-per-patient 1; healthy 0.0; severity 3.0 }
    extract tiles { from eyes; size 32 }
    split one { from tiles; folds 2; fold 1 }
    split two { from tiles; folds 2; fold 2 }
    train first { data one.train; valid one.valid; network shallow-cnn; epochs 1 }
    train second { data two.train; valid two.valid; network shallow-cnn; epochs 1 }
    heat-map maps-1 { model first; from eyes; only one.test; stride 16 }
    heat-map maps-2 { model second; from eyes; only two.test; stride 16 }
    lesions found { from eyes }
    froc single { maps maps-1; lesions found }
    froc both { maps maps-1 maps-2; lesions found; tolerance 24.0 }
    report page { of both }
}
";

#[test]
fn lesions_are_counted_over_the_maps_of_folds() {
    let space = Space::with(PIPELINE);
    space.macula("run pipeline.kdl").code(0);
    let said = space.macula("show pipeline.kdl both --all").code(0);
    said.says(&[
        "mean sensitivity",
        "in 12 photographs, hit within 24.0 px",
        "false alarms",
        "1/8",
        "sensitivity by false alarms",
    ]);
    space.macula("show pipeline.kdl single --all").code(0).says(&["hit within 11.3 px", "few-groups"]);
    let files = space.files("results/detected/both");
    for name in ["curves.parquet", "detections.parquet", "froc.json", "froc.parquet", "lesions.parquet"] {
        assert!(files.contains(&name.to_owned()), "{name}: {files:?}");
    }
    assert!(space.read("results/detected/page/report.html").contains("sensitivity by false alarms per photograph"));
    let change = |old: &str, new: &str, says: &[&str]| {
        space.write("pipeline.kdl", PIPELINE.replace(old, new));
        space.macula("run pipeline.kdl both").code(1).says(says);
    };
    // Maps of training photographs, a photograph that is mapped twice, maps in other cells, and lesions of other photographs.
    change("; only two.test; stride 16", "; stride 16", &["fitted-on", "connect the test set to `only` of `maps-2`"]);
    let twice = ["model second; from eyes; only two.test", "model first; from eyes; only one.test"];
    change(twice[0], twice[1], &["not-once", "is mapped by `maps-1` and by `maps-2`"]);
    change("only two.test; stride 16", "only two.test; stride 32", &["maps-differ", "cells of 16 px"]);
    let half = "preprocess half { from eyes; crop field-of-view }\n    lesions found { from half }";
    change("lesions found { from eyes }", half, &["other-lesions"]);
}
