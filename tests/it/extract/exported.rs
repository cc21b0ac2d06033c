//! `export` of photographs: COCO, `GeoJSON` and masks as PNG hold what the photographs' masks hold, and are read back to the same masks.

use std::collections::BTreeMap;

use macula::data::bitmap::Bitmap;
use macula::data::item::{self, OpenPhotograph};
use macula::data::photographs::WithoutMask;
use macula::data::png_image::{PixelFormat, png};
use macula::lang::value::Value;
use macula::stage::{Outcome, StageError};
use macula::store::Tree;
use serde_json::Value as Json;

use super::annotations::text;
use super::lab::Lab;
use crate::space::Space;

const WIDTH: usize = 40;
const HEIGHT: usize = 24;

/// Writes a photograph with masks of these lesion pixels; without a mask for [`None`].
fn write(lab: &Lab, name: &str, classes: [Option<&[[usize; 2]]>; 2]) {
    let rgb: Vec<u8> =
        (0..WIDTH * HEIGHT * 3).map(|i| (60 + name.len() * 7 + i % 61) as u8 ^ name.as_bytes()[1]).collect();
    lab.write(&format!("photographs/{name}.png"), &png(&rgb, WIDTH as u32, HEIGHT as u32, PixelFormat::Rgb));
    for (folder, pixels) in ["ma", "he"].into_iter().zip(classes) {
        let Some(pixels) = pixels else { continue };
        let mut mask = vec![0; WIDTH * HEIGHT];
        for [x, y] in pixels {
            mask[y * WIDTH + x] = 255;
        }
        lab.write(&format!("{folder}/{name}.png"), &png(&mask, WIDTH as u32, HEIGHT as u32, PixelFormat::Grey));
    }
}

/// Photographs with dense random masks (holes in holes, corners where four parts meet, lesions along all edges), one with an empty mask, and
/// one whose HE is unknown.
fn photographs(lab: &Lab) -> Tree {
    let mut state = 7_u64;
    let mut draw = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % 100 < below
    };
    let mut mask = |below: u64| -> Vec<[usize; 2]> {
        (0..HEIGHT).flat_map(|y| (0..WIDTH).map(move |x| [x, y])).filter(|_| draw(below)).collect()
    };
    for (at, below) in [8, 30, 45, 60, 75, 95].into_iter().enumerate() {
        write(lab, &format!("p{at}"), [Some(&mask(below)), Some(&mask(100 - below))]);
    }
    write(lab, "p6", [Some(&[]), Some(&[[3, 3]])]);
    write(lab, "p7", [Some(&[[WIDTH - 1, HEIGHT - 1]]), None]);
    lab.folder(&[("absent-mask", text("unknown"))]).unwrap().outputs["out"].clone()
}

fn export(lab: &Lab, from: &Tree, params: &[(&str, Value)]) -> Result<Outcome, StageError> {
    lab.whole("export", &[("from", std::slice::from_ref(from))], params)
}

/// Writes an export's files into a folder.
fn unpack(lab: &Lab, outcome: &Outcome, folder: &str) -> Vec<String> {
    let mut files = Vec::new();
    for (file, entry) in &outcome.outputs["out"].entries {
        lab.write(&format!("{folder}/{file}"), &lab.objects.read(entry).unwrap());
        files.push(file.clone());
    }
    files
}

/// Masks and meanings of missing ones, by photograph.
type Known = BTreeMap<String, (Vec<Option<Bitmap>>, Vec<WithoutMask>)>;

/// What is known of each photograph; an empty mask is a lesion that is absent.
fn known(lab: &Lab, set: &Tree) -> Known {
    let of_item = |item: &macula::stage::Item| {
        let opened = OpenPhotograph::new(&item.name, &item.tree, &lab.objects).unwrap();
        let (mut masks, mut without) = (Vec::new(), Vec::new());
        for class in 0..2 {
            let mask = opened.mask_of_file(class).unwrap().map(|mask| mask.bits().clone());
            without.push(match &mask {
                Some(mask) if mask.count() > 0 => WithoutMask::Present,
                Some(_) => WithoutMask::Absent,
                None => opened.without_mask(class),
            });
            masks.push(mask.filter(|mask| mask.count() > 0));
        }
        (item.name.clone(), (masks, without))
    };
    item::items(set, &lab.objects).unwrap().iter().map(of_item).collect()
}

fn drawn(lab: &Lab, root: &str, format: &str, files: (&str, &str)) -> Result<Outcome, StageError> {
    let classes = [("MA", "MA"), ("HE", "HE")].map(|(class, label)| (class.to_owned(), text(label)));
    lab.source(
        "annotations",
        &[
            ("root", Value::Path(root.to_owned())),
            ("photographs", text("images/*")),
            ("format", text(format)),
            (files.0, text(files.1)),
            ("classes", Value::Map(classes.into())),
            ("absent-shape", text("listed")),
            ("unlisted", text("error")),
            ("missing-label", text("error")),
        ],
    )
}

#[test]
fn coco_and_geojson_are_read_back_to_the_same_masks_and_labels() {
    let lab = Lab::new();
    let from = photographs(&lab);
    let expected = known(&lab, &from);
    assert_eq!(expected["p6"].1, [WithoutMask::Absent, WithoutMask::Present]);
    assert_eq!(expected["p7"].1, [WithoutMask::Present, WithoutMask::Unknown]);
    for (format, export_as, files) in [
        ("coco", "coco", ("format.file", "annotations.json")),
        ("qupath", "geojson", ("format.files", "geojson/*.geojson")),
    ] {
        let outcome = export(&lab, &from, &[("format", text(export_as))]).unwrap();
        unpack(&lab, &outcome, export_as);
        let read = drawn(&lab, export_as, format, files).unwrap();
        assert_eq!(known(&lab, &read.outputs["out"]), expected, "{format}");
        assert_eq!(read.summary.warnings, []);
        let warning = outcome.summary.warnings.iter().find(|warning| warning.code == "label-not-written");
        let warning = warning.expect("HE of p7 is unknown");
        assert!(
            warning.text.contains("1 picture with classes") && warning.text.contains("`HE` of `p7`"),
            "{warning:?}"
        );
        assert!(outcome.summary.headline.starts_with("8 photographs with "), "{}", outcome.summary.headline);
    }
}

#[test]
fn masks_as_png_are_read_back_by_folder_and_photographs_are_copies() {
    let lab = Lab::new();
    let from = photographs(&lab);
    let outcome = export(&lab, &from, &[("manifest", Value::Bool(true))]).unwrap();
    let files = unpack(&lab, &outcome, "out");
    assert!(!files.contains(&"masks/HE/p7.png".to_owned()), "unknown");
    assert!(outcome.summary.warnings.iter().all(|warning| warning.code != "label-not-written"));
    let copied = std::fs::read(lab.path("out/images/p3.png")).unwrap();
    assert_eq!(copied, std::fs::read(lab.path("photographs/p3.png")).unwrap());
    let patterns = [("MA", "masks/MA/*"), ("HE", "masks/HE/*")].map(|(class, one)| (class.to_owned(), text(one)));
    let read = lab.source(
        "folder",
        &[
            ("root", Value::Path("out".to_owned())),
            ("photographs", text("images/*")),
            ("masks", Value::Map(patterns.into())),
            ("absent-mask", text("unknown")),
        ],
    );
    assert_eq!(known(&lab, &read.unwrap().outputs["out"]), known(&lab, &from));
    let table = std::fs::read_to_string(lab.path("out/manifest.csv")).unwrap();
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(
        [lines[0], lines[7], lines[8]],
        ["path,photograph,patient,split,MA,HE", "images/p6.png,p6,,,0,1", "images/p7.png,p7,,,1,"]
    );
    let bare = export(&lab, &from, &[("images", Value::Bool(false)), ("format", text("coco"))]).unwrap();
    assert_eq!(unpack(&lab, &bare, "bare"), ["annotations.json"]);
    let both = ["bare", "coco"].map(|folder| std::fs::read(lab.path(&format!("{folder}/annotations.json"))).ok());
    assert!(both[0].is_some() && both[1].is_none());
}

#[test]
fn annotations_of_coco_and_classifications_of_qupath_are_complete() {
    let lab = Lab::new();
    // A ring with a pixel in its hole, and two pixels that share a corner.
    let ring: Vec<[usize; 2]> = (10..15)
        .flat_map(|x| (5..10).map(move |y| [x, y]))
        .filter(|&[x, y]| x == 10 || x == 14 || y == 5 || y == 9 || [x, y] == [12, 7])
        .collect();
    write(&lab, "p0", [Some(&ring), Some(&[[20, 3], [21, 4]])]);
    let from = lab.folder(&[]).unwrap().outputs["out"].clone();
    let outcome = export(&lab, &from, &[("format", text("coco"))]).unwrap();
    unpack(&lab, &outcome, "coco");
    let coco: Json = serde_json::from_slice(&std::fs::read(lab.path("coco/annotations.json")).unwrap()).unwrap();
    let image = &coco["images"][0];
    assert_eq!((image["file_name"].as_str(), image["width"].as_u64()), (Some("p0.png"), Some(40)));
    let of = |at: usize, member: &str| coco["annotations"][at][member].clone();
    assert_eq!(coco["categories"][1]["name"], "HE");
    let last = coco["annotations"].as_array().unwrap().len() - 1;
    assert_eq!((of(0, "area"), of(0, "bbox")), (16.into(), serde_json::json!([10, 5, 5, 5])));
    assert_eq!((of(0, "iscrowd"), of(0, "category_id"), of(last, "category_id")), (0.into(), 1.into(), 2.into()));
    assert!(of(0, "segmentation")["counts"].is_array(), "a polygon of COCO has no holes");
    assert_eq!(
        of(last, "segmentation"),
        serde_json::json!([[20, 3, 21, 3, 21, 4, 20, 4], [21, 4, 22, 4, 22, 5, 21, 5]])
    );

    let outcome = export(&lab, &from, &[("format", text("geojson"))]).unwrap();
    unpack(&lab, &outcome, "geojson");
    let file: Json = serde_json::from_slice(&std::fs::read(lab.path("geojson/geojson/p0.geojson")).unwrap()).unwrap();
    let feature = &file["features"][0];
    assert_eq!(feature["properties"]["objectType"], "annotation");
    assert_eq!(feature["properties"]["classification"], serde_json::json!({"name": "MA", "color": [86, 180, 233]}));
    assert_eq!(feature["geometry"]["type"], "Polygon");
    assert_eq!(feature["geometry"]["coordinates"].as_array().unwrap().len(), 2, "a ring and its hole");
    assert_eq!(file["features"][last]["geometry"]["type"], "MultiPolygon");
}

#[test]
fn outlines_of_patches_are_their_kept_masks() {
    let space = Space::with(
        "pipeline study seed=7 {\n    synthetic eyes { photographs 3; size 128; healthy 0.0; severity 4.0 }\n    extract \
         patches { from eyes; size 64; margin 5; masks #true }\n    export tiles { from patches; format coco }\n    export \
         whole { from eyes; format coco }\n}\n",
    );
    space.macula("run pipeline.kdl").code(0);
    // Read back, the tiles have the lesion pixels that the patches had.
    space.write(
        "back.kdl",
        "pipeline back seed=7 {\n    annotations drawn { root \"results/study/tiles\"; photographs \"*/*\"; format coco \
         file=\"annotations.json\"; classes MA \"MA\" HE \"HE\" EX \"EX\" SE \"SE\"; missing-label allow; absent-shape listed }\n    \
         extract patches { from drawn; size 64 }\n}\n",
    );
    space.macula("run back.kdl").code(0).says_not(&["label-not-written", "small-shapes"]);
    let pixels = |pipeline: &str| -> Vec<[Json; 2]> {
        let shown = space.macula(&format!("show {pipeline} patches --json")).code(0);
        let json: Json = serde_json::from_str(&shown.raw).expect("JSON");
        let table = &json["summary"]["tables"][1];
        assert_eq!(table["columns"][5], "mask pixels");
        table["rows"].as_array().expect("rows").iter().map(|row| [row[0].clone(), row[5].clone()]).collect()
    };
    let found = pixels("pipeline.kdl");
    assert!(found[1][1].as_u64() > Some(100), "{found:?}");
    assert_eq!(found, pixels("back.kdl"));
    let bare = "pipeline bare seed=7 {\n    synthetic eyes { photographs 3; size 128 }\n    extract patches { from eyes; size 64 }\n    \
                export tiles { from patches; format coco }\n}\n";
    space.write("bare.kdl", bare);
    space.macula("run bare.kdl").code(1).says(&["no-kept-masks", "masks #true"]);
    space.write("bare.kdl", bare.replace("coco", "geojson"));
    space.macula("run bare.kdl").code(1).says(&["export-format", "one file per photograph"]);
}

#[test]
fn the_examples_of_the_page_about_exports_run() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/annotations.md")).expect("the page");
    let blocks = page.split("```kdl\n").skip(1).map(|block| block.split("```").next().expect("an end"));
    let examples: Vec<&str> = blocks.filter(|block| !block.contains("annotations clinic")).collect();
    assert_eq!(examples.len(), 2, "there and back");
    let space = Space::new();
    for name in ["a", "b"] {
        let mut mask = vec![0; 160 * 130];
        mask[160 * 50 + 40..160 * 50 + 47].fill(255);
        space.write(&format!("data/clinic/masks/ma/{name}.png"), png(&mask, 160, 130, PixelFormat::Grey));
        mask[160 * 90 + 140..160 * 90 + 147].fill(255);
        space.write(&format!("data/clinic/masks/he/{name}.png"), png(&mask, 160, 130, PixelFormat::Grey));
        let rgb: Vec<u8> = (0..160 * 130 * 3).map(|at| (at % 251) as u8 ^ name.as_bytes()[0]).collect();
        space.write(&format!("data/clinic/photographs/{name}.png"), png(&rgb, 160, 130, PixelFormat::Rgb));
    }
    for (at, example) in examples.iter().enumerate() {
        let file = format!("example-{at}.kdl");
        space.write(&file, example);
        let unexpected = ["label-not-written", "nothing-listed", "small-shapes", "unmatched"];
        space.macula(&format!("run {file}")).code(0).says_not(&unexpected);
    }
    let files = space.files("results/to-tools");
    for file in ["coco/annotations.json", "coco/images/a.png", "qupath/geojson/b.geojson", "qupath/images/b.png"] {
        assert!(files.iter().any(|found| found == file), "{file}: {files:?}");
    }
}

#[test]
fn files_that_say_nothing_about_absent_classes_are_refused_if_asked() {
    let lab = Lab::new();
    write(&lab, "p0", [Some(&[[3, 3]]), None]);
    let from = lab
        .folder(&[("absent-mask", text("unknown")), ("masks", Value::Map([("MA".to_owned(), text("ma/*"))].into()))]);
    let outcome = export(&lab, &from.unwrap().outputs["out"], &[("format", text("coco"))]).unwrap();
    unpack(&lab, &outcome, "coco");
    let path = lab.path("coco/annotations.json");
    let file = std::fs::read_to_string(&path).unwrap();
    let other = "{\"id\":2,\"name\":\"HE\",\"supercategory\":\"label\"}";
    std::fs::write(
        &path,
        file.replace("\"supercategory\":\"label\"}]", &format!("\"supercategory\":\"label\"}},{other}]")),
    )
    .unwrap();
    let refused =
        drawn(&lab, "coco", "coco", ("format.file", "annotations.json")).expect_err("HE may be absent or unknown");
    assert!(refused.has_code("nothing-listed"), "{refused}");
}
