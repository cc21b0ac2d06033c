//! The examples of `docs/annotations.md` run, and no damaged annotation file makes a reader panic.

use std::collections::BTreeMap;

use macula::data::annotations::{
    AnnotationFormat, AnnotationMistakes, DrawnMask, LabelMap, Placement, ReadingRule, placement, read,
};
use macula::data::png_image::{PixelFormat, png};

use crate::space::Space;

const SIZE: [u32; 2] = [160, 130];

/// Files of each format that the page names, for photographs `a` and `b`.
const FILES: [(&str, &str); 8] = [
    (
        "annotations.json",
        r#"{"images": [{"id": 1, "file_name": "a.png", "width": 160, "height": 130}, {"id": 2, "file_name": "b.png"}],
        "categories": [{"id": 1, "name": "microaneurysm"}, {"id": 2, "name": "hemorrhage"}, {"id": 3, "name": "haemorrhage"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[1, 1, 9.5, 1, 9, 9]], "iscrowd": 0},
        {"id": 2, "image_id": 2, "category_id": 2, "segmentation": {"size": [130, 160], "counts": [20000, 7, 793]}},
        {"id": 3, "image_id": 2, "category_id": 3, "segmentation": {"size": [130, 160], "counts": "Xc`07af3"}, "iscrowd": 1},
        {"id": 4, "image_id": 2, "category_id": 2, "bbox": [20, 30, 4, 5]}]}"#,
    ),
    (
        "labelme/a.json",
        r#"{"version": "5.0.1", "flags": {}, "shapes": [{"label": "Microaneurysm", "points": [[5.5, 5], [9, 5], [7, 8]],
        "shape_type": "polygon"}, {"label": "exudate", "points": [[50, 50], [53, 54]], "shape_type": "circle"}],
        "imagePath": "a.png", "imageHeight": 130, "imageWidth": 160}"#,
    ),
    ("labelme/b.json", r#"{"shapes": []}"#),
    (
        "annotations.xml",
        r#"<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version><meta><job><labels><label><name>microaneurysm</name></label>
<label><name>cotton wool</name></label></labels></job></meta>
<image id="0" name="a.png" width="160" height="130">
<polygon label="microaneurysm" source="manual" points="1.5,2;9,2;9,9" z_order="0"></polygon>
<box label="cotton wool" xtl="30" ytl="30" xbr="40" ybr="35" rotation="30"/>
<ellipse label="cotton wool" cx="60" cy="60" rx="9" ry="4" rotation="300"/>
<mask label="cotton wool" rle="2, 3, 1" left="90" top="9" width="3" height="2"/></image>
<image id="1" name="b.png" width="160" height="130"></image></annotations>"#,
    ),
    (
        "qupath/a.geojson",
        r#"{"type": "FeatureCollection", "features": [{"type": "Feature", "id": "7f", "geometry": {"type": "Polygon",
        "coordinates": [[[9, 9], [60, 9], [60, 60], [9, 60], [9, 9]], [[20, 20], [30, 20], [30, 30], [20, 20]]]},
        "properties": {"objectType": "annotation", "classification": {"name": "Exudate", "color": [1, 2, 3]}}},
        {"type": "Feature", "id": "80", "geometry": {"type": "MultiPoint", "coordinates": [[90, 90], [100, 100]]},
        "properties": {"objectType": "annotation", "classification": {"name": "Microaneurysm"}}}]}"#,
    ),
    ("labels/a.txt", "0 0.5 0.5 0.05 0.1\n1 0.1 0.1 0.2 0.1 0.2 0.25\n"),
    ("labels/b.txt", ""),
    ("data.yaml", "path: .\ntrain: images\nnames:\n  0: microaneurysm\n  1: hemorrhage\n"),
];

#[test]
fn the_examples_of_the_page_about_annotations_run() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/annotations.md")).expect("the page");
    let blocks = page.split("```kdl\n").skip(1).map(|block| block.split("```").next().expect("an end"));
    let examples: Vec<&str> = blocks.filter(|block| block.contains("annotations clinic")).collect();
    assert_eq!(examples.len(), 5, "one for each format");
    let space = Space::new();
    let rgb: Vec<u8> = (0..SIZE[0] * SIZE[1] * 3).map(|at| (at % 251) as u8).collect();
    for folder in ["photographs", "images"] {
        for (name, shade) in [("a", 0), ("b", 1)] {
            let rgb: Vec<u8> = rgb.iter().map(|value| value + shade).collect();
            space.write(&format!("data/clinic/{folder}/{name}.png"), png(&rgb, SIZE[0], SIZE[1], PixelFormat::Rgb));
        }
    }
    for (file, text) in FILES {
        space.write(&format!("data/clinic/{file}"), text);
    }
    for (at, example) in examples.iter().enumerate() {
        let file = format!("example-{at}.kdl");
        space.write(&file, example);
        space.macula(&format!("check {file}")).code(0).says_not(&["warning"]);
        space.macula(&format!("run {file}")).code(0).says(&["2 photographs with", "patches of 2 photographs"]);
    }
    // Only the photograph whose annotations are edited is computed again.
    space.edit("data/clinic/annotations.json", "[20, 30, 4, 5]", "[20, 30, 4, 6]");
    space.macula("run example-0.kdl").code(0).says(&["1 of 2"]);
    space.edit("data/clinic/annotations.json", "\"counts\": [20000, 7, 793]", "\"counts\": [20000, 7, 792]");
    space
        .macula("run example-0.kdl")
        .code(1)
        .says(&["annotations[1] (id 2)", "RLE of 20799 pixels, but 160 x 130 is 20800"]);
    space.edit("example-0.kdl", "photographs \"photographs/*\"", "photographs \"fotos/*\"");
    space.macula("check example-0.kdl").says(&["missing-folder", "data/clinic/fotos"]);
}

#[test]
fn no_damage_to_a_file_makes_a_reader_panic() {
    let labels = LabelMap::new(
        "classes",
        &[("MA", "microaneurysm|0"), ("HE", "hemorrhage|haemorrhage|1"), ("EX", "exudate"), ("SE", "cotton wool")],
    );
    let labels = labels.expect("apart");
    let rule = ReadingRule { labels: &labels, point_radius: Some(2.0), names: &BTreeMap::new() };
    let (mut intact, mut refused) = (0, 0);
    for (file, text) in FILES.iter().filter(|(file, _)| !file.ends_with("yaml")) {
        let format = match file.split(['/', '.']).next() {
            Some("labelme") => AnnotationFormat::Labelme,
            Some("qupath") => AnnotationFormat::Qupath,
            Some("labels") => AnnotationFormat::Yolo,
            _ if file.ends_with("xml") => AnnotationFormat::Cvat,
            _ => AnnotationFormat::Coco,
        };
        let mut tried = |bytes: &[u8]| {
            let mut mistakes = AnnotationMistakes::of(file);
            let found = read(format, bytes, &rule, &mut mistakes);
            let pictures = found.into_iter().flat_map(|file| file.pictures);
            let shapes: Vec<_> = pictures
                .flat_map(|picture| picture.shapes)
                .map(|shape| shape.shape)
                .map(|shape| if format == AnnotationFormat::Yolo { shape.scaled(SIZE) } else { shape })
                .filter(|shape| matches!(placement(shape, SIZE), Placement::Inside | Placement::Beyond))
                .collect();
            let mask = DrawnMask { size: SIZE, shapes };
            let again = DrawnMask::from_bytes(&mask.to_bytes()).expect("it was written just now");
            assert_eq!(again.bits(), mask.bits(), "{}", String::from_utf8_lossy(bytes));
            if mistakes.count() > 0 { refused += 1 } else { intact += 1 }
        };
        let bytes = text.as_bytes();
        tried(bytes);
        for at in 0..bytes.len() {
            tried(&bytes[..at]);
            tried(&[&bytes[..at], &bytes[at + 1..]].concat());
            for other in [b"9".as_slice(), b"-", b"e9", b"[", b"\"", b"<", b"\xff", b"&", b","] {
                tried(&[&bytes[..at], other, &bytes[at + 1..]].concat());
            }
        }
    }
    assert!(intact > 1000 && refused > 1000, "{intact} read, {refused} refused");
}
