//! Mistakes in annotation files: each is reported with its place, and no file is read that is not below `root`.

use macula::data::photographs::WithoutMask;
use macula::lang::value::Value;
use macula::stage::{Outcome, StageError};
use serde_json::{Value as Json, json};

use super::annotations::{annotations, masks, photograph, pixels, refused, without};
use super::image_files;
use super::lab::Lab;

const MA: [(&str, &str); 1] = [("MA", "ma")];

/// A photograph `a.png` of 20 x 10 px with these files.
fn lab(files: &[(&str, &str)]) -> Lab {
    let lab = Lab::new();
    photograph(&lab, "photographs/a.png", 20, 10);
    for (file, text) in files {
        lab.write(file, text.as_bytes());
    }
    lab
}

fn of_coco(images: &Json, annotations: &Json) -> String {
    let categories = json!([{ "id": 1, "name": "ma" }]);
    json!({ "images": images, "annotations": annotations, "categories": categories }).to_string()
}

/// A COCO file with these annotations of `a.png`.
fn coco(annotations: &Json) -> String {
    of_coco(&json!([{ "id": 4, "file_name": "a.png", "width": 20, "height": 10 }]), annotations)
}

fn read(lab: &Lab, params: &[(&str, &str)]) -> Result<Outcome, StageError> {
    annotations(lab, "coco", &MA, &[&[("format.file", "coco.json")], params].concat())
}

#[track_caller]
fn text_of(format: &str, text: &str) -> String {
    let (field, file) = match format {
        "coco" => ("format.file", "x/a.json"),
        "cvat" => ("format.file", "x/a.xml"),
        "labelme" => ("format.files", "x/a.json"),
        "qupath" => ("format.files", "x/a.geojson"),
        _ => ("format.files", "x/a.txt"),
    };
    let pattern = if field == "format.file" { file.to_owned() } else { file.replace("/a.", "/*.") };
    let lab = lab(&[(file, text)]);
    let (code, text, _) = refused(annotations(&lab, format, &MA, &[(field, &pattern)]));
    assert_eq!(code, "damaged-annotation", "{text}");
    text
}

#[test]
fn every_mistake_in_coco_has_its_place() {
    let with = |member: &str, value: Json| json!({ "id": 9, "image_id": 4, "category_id": 1, member: value });
    let text = text_of(
        "coco",
        &coco(&json!([
            with("segmentation", json!([[1, 1, 3, 1, 3, 3]])),
            with("segmentation", json!([[1, 1, 3, 1]])),
            with("segmentation", json!([[1, 1, 3, 1, 3, 3, 5]])),
            with("segmentation", json!([1, 1, 3, 1, 3, 3])),
            with("segmentation", json!([[1, 1, 3, 1, 3, 1e300]])),
            with("segmentation", json!({ "size": [10, 20], "counts": [5, 4] })),
            with("segmentation", json!({ "size": [20, 10], "counts": [5, 195] })),
            with("segmentation", json!({ "size": [10, 20], "counts": "5~" })),
            with("bbox", json!([1, 1, -3, 2])),
            with("area", json!(7)),
            json!({ "id": 10, "image_id": 5, "category_id": 1 }),
            json!({ "id": 11, "image_id": 4, "category_id": "x" }),
        ])),
    );
    for line in [
        "11 mistakes in annotations:",
        "\n    `x/a.json`: annotations[1] (id 9): has 2 points; a polygon needs 3",
        "annotations[2] (id 9): its `segmentation` has a polygon of 7 numbers, an odd count",
        "annotations[3] (id 9): its `segmentation` is a list of numbers; expected a list of polygons",
        "annotations[4] (id 9): has the coordinate 1e300, which no photograph has",
        "annotations[5] (id 9): has an RLE of 9 pixels, but 20 x 10 is 200",
        "annotations[6] (id 9): its RLE is 10 x 20 px, but its image is 20 x 10 px",
        "annotations[7] (id 9): its RLE has the character `~`",
        "annotations[8] (id 9): its `bbox` is -3 x 2 px",
        "annotations[9] (id 9): has neither a `segmentation` nor a `bbox`",
        "annotations[10] (id 10): its `image_id` 5 is not in `images`",
        "\n    and 1 more",
    ] {
        assert!(text.contains(line), "{line} in:\n{text}");
    }
}

#[test]
fn a_file_that_is_not_of_its_format_is_refused_with_the_one_it_seems_to_have() {
    let shapes = json!({ "shapes": [] }).to_string();
    for (format, text, words) in [
        ("coco", shapes.as_str(), "write `format labelme`"),
        ("labelme", &coco(&json!([])), "write `format coco`"),
        ("qupath", &shapes, "write `format labelme`"),
        ("labelme", "{\"type\": \"FeatureCollection\", \"features\": []}", "write `format qupath`"),
        ("coco", "{\n  \"images\": [,]\n}", "line 2, column 14: is not JSON"),
        ("labelme", "{\"shapes\": [NaN]}", "line 1, column 13: `NaN` and `Infinity` are not JSON"),
        ("labelme", &"[".repeat(100_000), "recursion limit exceeded"),
        ("coco", "3", "has no list `images`"),
        ("qupath", "3", "is a number, not a GeoJSON"),
        ("cvat", "{}", "is JSON, not XML"),
        ("cvat", "<annotations>\n <image id=\"1\">\n</annotations>", "`x/a.xml`: line 3, column 1: is not XML"),
        ("cvat", "<data/>", "line 1, column 1: begins with `data`"),
        ("cvat", "", "has no element `annotations`"),
        ("cvat", "<annotations>\n<track id=\"0\"/></annotations>", "line 2, column 1: has a `track`"),
        ("cvat", &format!("<annotations>{}", "<a>".repeat(100)), "more than 64 elements within each other"),
    ] {
        let found = text_of(format, text);
        assert!(found.contains(words), "{format} {words}: {found}");
    }
}

#[test]
fn shapes_without_an_area_are_refused_by_place() {
    let cvat = |element: &str| {
        format!("<annotations>\n <image id=\"7\" name=\"a.png\">\n  {element}\n </image></annotations>")
    };
    let labelme = |kind: &str, points: Json| {
        json!({ "shapes": [{ "label": "ma", "shape_type": kind, "points": points }] }).to_string()
    };
    let qupath = |geometry: Json| {
        let properties = json!({ "classification": { "name": "ma" } });
        json!({ "features": [{ "type": "Feature", "id": "u1", "geometry": geometry, "properties": properties }] })
            .to_string()
    };
    for (format, text, words) in [
        (
            "cvat",
            cvat("<polyline label=\"ma\" points=\"1,1;2,2\"/>"),
            "line 3, column 3: is a `polyline`, which has no area",
        ),
        (
            "cvat",
            cvat("<points label=\"ma\" points=\"1,1\"/>"),
            "line 3, column 3: is a point, which has no area; `point-radius 3`",
        ),
        ("cvat", cvat("<tag label=\"ma\"/>"), "is a `tag` of the whole image"),
        ("cvat", cvat("<box label=\"ma\" xtl=\"1\" ytl=\"NaN\" xbr=\"2\" ybr=\"3\"/>"), "has the coordinate NaN"),
        (
            "cvat",
            cvat("<box label=\"ma\" xtl=\"1\" ytl=\"\" xbr=\"2\" ybr=\"3\"/>"),
            "its `ytl` is ``; expected a number",
        ),
        ("cvat", cvat("<polygon label=\"ma\" points=\"1,1;2,x;3,3\"/>"), "its `points` have `2,x`"),
        (
            "cvat",
            cvat("<mask label=\"ma\" left=\"1\" top=\"1\" width=\"2\" height=\"2\" rle=\"1,9\"/>"),
            "RLE of 10 pixels, but 2 x 2 is 4",
        ),
        ("cvat", cvat("<polygon label=\"ma\" points=\"&xx;\"/>"), "has an attribute that cannot be read"),
        ("labelme", labelme("line", json!([[1, 1], [2, 2]])), "shapes[0]: is a `line`, which has no area"),
        ("labelme", labelme("circle", json!([[1, 1]])), "shapes[0]: is a circle of 1 point"),
        ("labelme", labelme("polygon", json!([[1, 1], [2]])), "shapes[0]: has no `points` of two numbers each"),
        ("labelme", labelme("mask", json!([[1, 1], [2, 2]])), "shapes[0]: is a mask without its pixels"),
        (
            "qupath",
            qupath(json!({ "type": "LineString", "coordinates": [[1, 1], [2, 2]] })),
            "features[0] (id u1): is a `LineString`",
        ),
        ("qupath", qupath(json!({ "type": "Point", "coordinates": [1, 1] })), "features[0] (id u1): is a point"),
        ("qupath", qupath(json!({ "type": "Polygon", "coordinates": [1, 1] })), "its polygon is not a list of rings"),
        ("qupath", qupath(json!(null)), "features[0] (id u1): has no `geometry`"),
    ] {
        let found = text_of(format, &text);
        assert!(found.contains(words), "{format} {words}: {found}");
    }
}

#[test]
fn predictions_in_coco_are_not_labels() {
    let predicted = json!({ "id": 9, "image_id": 4, "category_id": 1, "bbox": [1, 1, 4, 4], "score": 0.5 });
    let text = text_of("coco", &coco(&json!([predicted])));
    assert!(text.contains("annotations[0] (id 9): has a `score`"), "{text}");
}

#[test]
fn every_mistake_in_yolo_has_its_line() {
    let lab = lab(&[(
        "labels/a.txt",
        "0 0.5 0.5 0.1 0.1\n0 5 5 1 1\n0 0.5 0.5 0.1\n0 0.5 0.5 0.1 0.1 0.9\nx 1\n7 0.5 0.5 0.1 0.1\n0 0.1 x 0 0\n0 0.1 nan 0 0\n",
    )]);
    lab.write("labels/classes.txt", b"ma\nhe\n");
    let params = [("format.files", "labels/*"), ("format.names", "labels/classes.txt")];
    let (code, text, _) = refused(annotations(&lab, "yolo", &MA, &params));
    assert_eq!(code, "damaged-annotation");
    for line in [
        "7 mistakes",
        "`labels/a.txt`: line 2: has 5; coordinates are fractions of the photograph",
        "line 3: has 3 coordinates; a polygon has pairs, a box has 4",
        "line 4: has a sixth number: predictions with a confidence",
        "line 5: begins with `x`",
        "line 6: class 7 is not in `names`, which has 2",
        "line 7: has `x`; expected a number",
        "line 8: has NaN;",
    ] {
        assert!(text.contains(line), "{line} in:\n{text}");
    }
    let params = [("format.files", "labels/*"), ("format.names", "../classes.txt")];
    let (code, text, _) = refused(annotations(&lab, "yolo", &MA, &params));
    assert_eq!(code, "no-annotation-fits", "{text}");
}

#[test]
fn photographs_are_found_by_name_and_names_are_not_paths() {
    let image = |id: u32, name: &str| json!({ "id": id, "file_name": name });
    let one = |images: Json| {
        let shape = json!([{ "id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 2, 2] }]);
        lab(&[("coco.json", &of_coco(&images, &shape))])
    };
    for name in ["a.png", "A.PNG", "C:\\data\\photographs\\a.png", "/photographs/a.png", "https://host/x/a.jpg"] {
        let lab = one(json!([image(1, name)]));
        assert_eq!(pixels(masks(&lab, &read(&lab, &[]).unwrap(), 0)[0].1.as_ref()).len(), 4, "{name}");
    }
    let (code, text, _) = refused(read(&one(json!([image(1, "../../etc/passwd")])), &[]));
    assert_eq!(code, "no-annotation-fits");
    assert!(text.contains("`../../etc/passwd` in `coco.json`"), "{text}");
    let lab = one(json!([image(1, "a.png"), image(2, "a_.png"), image(3, "gone.png")]));
    let warnings = read(&lab, &[]).unwrap().summary.warnings;
    let text =
        "2 annotated images without a photograph (first: `a_.png`); `a_.png` is nearly the name of `photographs/a.png`";
    assert!(
        warnings.iter().any(|warning| warning.code == "unmatched-annotation" && warning.text == text),
        "{warnings:?}"
    );
    let (code, text, _) = refused(read(&one(json!([image(1, "a.png"), image(2, "x/A.jpg")])), &[]));
    assert_eq!(code, "damaged-annotation");
    assert_eq!(text, "`coco.json`: images[1] (id 2): `x/A.jpg` is `photographs/a.png`, as is images[0] (id 1)");
    let (code, text, hint) = refused(annotations(&lab, "coco", &MA, &[("format.file", "../coco.json")]));
    assert_eq!(code, "no-annotation-fits");
    assert!(text.contains("has no file `../coco.json`") && hint.contains("does not leave it"), "{text} {hint}");
}

#[test]
fn annotations_of_another_size_are_refused() {
    let image = json!([{ "id": 4, "file_name": "a.png", "width": 40, "height": 20 }]);
    let shape = json!([{ "id": 1, "image_id": 4, "category_id": 1, "bbox": [1, 1, 2, 2] }]);
    let lab = lab(&[("coco.json", &of_coco(&image, &shape))]);
    let (code, text, _) = refused(read(&lab, &[]));
    assert_eq!(code, "mask-size");
    assert_eq!(
        text,
        "`coco.json`: images[0] (id 4) is drawn on 40 x 20 px, but its photograph `photographs/a.png` is 20 x 10 px"
    );
}

#[test]
fn shapes_are_those_of_the_photograph_as_displayed() {
    let baseline = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/expected/pictures/baseline.jpg");
    let block = [b"Exif\0\0".as_slice(), &image_files::exif(image_files::LITTLE, 3, 6.0)].concat();
    let grey = |width: usize, height: usize| vec![9; width * height];
    let turned = |pixels: &[u8]| {
        let page = image_files::Page::new((61, 45), 8, 1, 1, pixels.to_vec()).with(274, 3, &[6.0]);
        image_files::tiff(image_files::LITTLE, &[page])
    };
    let chunk = image_files::exif(image_files::LITTLE, 3, 6.0);
    for (file, bytes) in [
        ("photographs/a.jpg", image_files::jpeg_with(&std::fs::read(baseline).unwrap(), 0xe1, &block)),
        ("photographs/a.tif", turned(&grey(61, 45))),
        ("photographs/a.png", image_files::png((61, 45), 8, 0, &grey(61, 45), &[(b"eXIf", &chunk)], &[])),
    ] {
        let lab = Lab::new();
        lab.write(file, &bytes);
        let with = |width: u32, height: u32| {
            let images = json!([{ "id": 4, "file_name": "a", "width": width, "height": height }]);
            let shape = json!([{ "id": 1, "image_id": 4, "category_id": 1, "bbox": [43, 59, 2, 2] }]);
            lab.write("coco.json", of_coco(&images, &shape).as_bytes());
            read(&lab, &[])
        };
        let shown = with(45, 61).unwrap();
        assert_eq!(pixels(masks(&lab, &shown, 0)[0].1.as_ref()), [(43, 59), (44, 59), (43, 60), (44, 60)], "{file}");
        let patches =
            lab.extract(&shown.outputs["out"], &[("size", Value::Int(32)), ("edge", Value::Text("shift".to_owned()))]);
        assert!(patches.is_ok(), "the decoded photograph has the same size: {patches:?}");
        let (code, text, _) = refused(with(61, 45));
        assert_eq!(code, "photograph-orientation");
        assert!(text.ends_with("is 45 x 61 px after applying its orientation (6)"), "{text}");
    }
    let lab = lab(&[("coco.json", &coco(&json!([])))]);
    lab.write("photographs/a.png", b"not a picture");
    assert_eq!(refused(read(&lab, &[])).0, "damaged-photograph");
}

#[test]
fn shapes_outside_and_shapes_between_the_pixels_are_reported() {
    let with = |bbox: Json| json!({ "id": 9, "image_id": 4, "category_id": 1, "bbox": bbox });
    let boxes = json!([with(json!([1.6, 1.6, 0.3, 0.3])), with(json!([18, 8, 5, 5])), with(json!([3, 3, 2, 2]))]);
    let lab = lab(&[("coco.json", &coco(&boxes))]);
    let outcome = read(&lab, &[]).unwrap();
    assert_eq!(pixels(masks(&lab, &outcome, 0)[0].1.as_ref()).len(), 1 + 4 + 4);
    let warnings: Vec<_> = outcome.summary.warnings.iter().map(|warning| warning.text.as_str()).collect();
    assert_eq!(
        warnings,
        [
            "1 shape covers no centre of a pixel and gets the pixels under its corners (first: `coco.json`: annotations[0] (id 9))",
            "1 shape extends beyond its photograph and is cut off at the edge (first: `coco.json`: annotations[1] (id 9))",
        ]
    );
    lab.write("coco.json", coco(&json!([with(json!([30, 3, 2, 2])), with(json!([3, 30, 2, 2]))])).as_bytes());
    let (code, text, _) = refused(read(&lab, &[]));
    assert_eq!(code, "damaged-annotation");
    assert!(text.contains("annotations[1] (id 9): is outside of `photographs/a.png`, which is 20 x 10 px"), "{text}");
}

#[test]
fn labels_are_mapped_reported_or_missed() {
    let categories =
        json!([{ "id": 1, "name": "hemorrhage" }, { "id": 2, "name": "Disc" }, { "id": 3, "name": "hemorrage" }]);
    let with = |category: u32| json!({ "id": 9, "image_id": 4, "category_id": category, "bbox": [1, 1, 2, 2] });
    let images = json!([{ "id": 4, "file_name": "a.png" }]);
    let text =
        json!({ "images": images, "annotations": [with(1), with(2), with(2), with(3)], "categories": categories });
    let lab = lab(&[("coco.json", &text.to_string())]);
    let run = |classes: &[(&str, &str)], params: &[(&str, &str)]| {
        annotations(&lab, "coco", classes, &[&[("format.file", "*.json")], params].concat())
    };
    let outcome = run(&[("HE", "Hemorrhage")], &[]).unwrap();
    assert_eq!(
        outcome.summary.warnings[0].text,
        "2 labels of the annotations belong to no class: `Disc` (2 shapes), `hemorrage` (1 shape; did you mean `Hemorrhage`?)"
    );
    assert_eq!(run(&[("HE", "hemorrhage|hemorrage")], &[("ignore", "disc")]).unwrap().summary.warnings, []);
    let (code, text, hint) = refused(run(&[("HE", "hemorrhage"), ("MA", "microaneurysm")], &[]));
    assert_eq!(code, "missing-label");
    assert!(text.contains("`microaneurysm` of class `MA`") && hint.contains("`Disc`, `hemorrage`"), "{text} {hint}");
    let allowed = run(&[("HE", "hemorrhage"), ("MA", "microaneurysm")], &[("missing-label", "allow")]).unwrap();
    assert_eq!(without(&lab, &allowed, "a"), [WithoutMask::Unknown, WithoutMask::Absent], "nobody looked for MA");
    assert_eq!(refused(run(&[("HE", "disc"), ("MA", "Disc")], &[])).0, "label-mapping");
    assert_eq!(refused(run(&[("healthy", "disc")], &[])).0, "class-name");
}

#[test]
fn photographs_without_annotations_are_what_the_pipeline_says() {
    let shape = json!([{ "id": 1, "image_id": 4, "category_id": 1, "bbox": [1, 1, 2, 2] }]);
    let lab = lab(&[("coco.json", &coco(&shape))]);
    photograph(&lab, "photographs/b.png", 20, 10);
    let outcome = read(&lab, &[]).unwrap();
    assert_eq!(without(&lab, &outcome, "b"), [WithoutMask::Unknown]);
    let text = "1 photograph without annotations (first: `photographs/b.png`): their lesions are unknown";
    assert_eq!(outcome.summary.warnings[0].text, text);
    let outcome = read(&lab, &[("unlisted", "absent")]).unwrap();
    assert_eq!((without(&lab, &outcome, "b"), outcome.summary.warnings.len()), (vec![WithoutMask::Absent], 0));
    assert_eq!(refused(read(&lab, &[("unlisted", "error")])).0, "photograph-without-annotation");
    let outcome = read(&lab, &[("absent-shape", "unknown"), ("unlisted", "absent")]).unwrap();
    assert_eq!(without(&lab, &outcome, "a"), [WithoutMask::Unknown]);
}

#[test]
fn files_are_matched_to_photographs_by_all_stars() {
    let lab = Lab::new();
    photograph(&lab, "p/1/left.png", 20, 10);
    photograph(&lab, "p/2/left.png", 20, 10);
    let shapes =
        json!({ "shapes": [{ "label": "ma", "points": [[1, 1], [3, 3]], "shape_type": "rectangle" }] }).to_string();
    lab.write("json/2/Left.json", shapes.as_bytes());
    let run = |files: &str| {
        let params = [("photographs", "p/*/*"), ("patient", "p/*/"), ("format.files", files)];
        annotations(&lab, "labelme", &MA, &params)
    };
    let found = masks(&lab, &run("json/*/*.json").unwrap(), 0);
    assert!(found[0].1.is_none() && found[1].1.is_some(), "{found:?}");
    lab.write("flat/left.json", shapes.as_bytes());
    assert_eq!(refused(run("flat/*.json")).0, "ambiguous-annotation");
    lab.write("json/2/LEFT.json", shapes.as_bytes());
    assert_eq!(refused(run("json/*/*.json")).0, "duplicate-annotation");
    lab.write("other/right.json", shapes.as_bytes());
    assert_eq!(refused(run("other/*.json")).0, "no-annotation-fits");
    assert_eq!(refused(run("none/*.json")).0, "no-annotation-fits");
}
