//! `annotations`: shapes of COCO, labelme, CVAT, `QuPath` and YOLO files as masks, compared with pycocotools and shapely.

use std::fmt::Write as _;

use macula::data::bitmap::Bitmap;
use macula::data::item::{self, OpenPhotograph};
use macula::data::patches::Label::{Absent, Present, Unknown};
use macula::data::photographs::WithoutMask;
use macula::data::png_image::{PixelFormat, png};
use macula::lang::value::Value;
use macula::stage::{Cell, Outcome, StageError};
use serde_json::{Value as Json, json};

use super::lab::Lab;

/// Values of `tests/expected/annotations.py`.
fn expected() -> Json {
    serde_json::from_str(include_str!("../../expected/annotations.json")).unwrap()
}

pub(super) fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

pub(super) fn photograph(lab: &Lab, file: &str, width: u32, height: u32) {
    // Every file has other pixels.
    let shade = file.bytes().fold(7_u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte));
    let rgb = vec![shade; (width * height * 3) as usize];
    lab.write(file, &png(&rgb, width, height, PixelFormat::Rgb));
}

/// Runs `annotations` with defaults for all parameters that are not given.
pub(super) fn annotations(
    lab: &Lab,
    format: &str,
    classes: &[(&str, &str)],
    params: &[(&str, &str)],
) -> Result<Outcome, StageError> {
    let classes = classes.iter().map(|(class, labels)| ((*class).to_owned(), text(labels))).collect();
    let mut all = vec![
        ("root", Value::Path(String::new())),
        ("photographs", text("photographs/*")),
        ("format", text(format)),
        ("classes", Value::Map(classes)),
        ("absent-shape", text("absent")),
        ("unlisted", text("unknown")),
        ("missing-label", text("error")),
    ];
    all.extend(params.iter().map(|(name, value)| match *name {
        "point-radius" => (*name, Value::Real(value.parse().unwrap())),
        "ignore" => (*name, Value::List(value.split(',').map(text).collect())),
        _ => (*name, text(value)),
    }));
    lab.source("annotations", &all)
}

/// Code, text and hint of an error.
#[track_caller]
pub(super) fn refused(result: Result<Outcome, StageError>) -> (String, String, String) {
    match result {
        Err(StageError::Input { code, text, hint, .. }) => (code.to_owned(), text, hint.unwrap_or_default()),
        other => panic!("it should be refused: {other:?}"),
    }
}

/// The pixels of class `k` in each photograph, by name; [`None`] without a mask.
pub(super) fn masks(lab: &Lab, outcome: &Outcome, k: usize) -> Vec<(String, Option<Bitmap>)> {
    let items = item::items(&outcome.outputs["out"], &lab.objects).unwrap();
    let of_item = |item: &macula::stage::Item| {
        let opened = OpenPhotograph::new(&item.name, &item.tree, &lab.objects).unwrap();
        (item.name.clone(), opened.mask_of_file(k).unwrap().map(|mask| mask.bits().clone()))
    };
    items.iter().map(of_item).collect()
}

pub(super) fn pixels(mask: Option<&Bitmap>) -> Vec<(usize, usize)> {
    mask.expect("a mask").pixels().collect()
}

/// Pixels from uncompressed run lengths, column by column.
fn of_counts(counts: &Json, width: usize, height: usize) -> Bitmap {
    let (mut bits, mut at) = (Bitmap::new(width, height), 0);
    for (number, count) in counts.as_array().unwrap().iter().enumerate() {
        let end = at + count.as_u64().unwrap() as usize;
        if number % 2 == 1 {
            (at..end).for_each(|at| bits.set(at / height, at % height));
        }
        at = end;
    }
    assert_eq!(at, width * height, "the lengths fill the picture");
    bits
}

fn size(expected: &Json) -> (u32, u32) {
    (expected["width"].as_u64().unwrap() as u32, expected["height"].as_u64().unwrap() as u32)
}

#[test]
fn polygons_and_run_lengths_of_coco_are_those_of_shapely_and_pycocotools() {
    let (lab, expected) = (Lab::new(), expected());
    let (width, height) = size(&expected);
    for image in expected["coco"]["images"].as_array().unwrap() {
        photograph(&lab, image["file_name"].as_str().unwrap(), width, height);
    }
    lab.write("coco.json", expected["coco"].to_string().as_bytes());
    let classes = [("MA", "polygon"), ("HE", "centres"), ("EX", "compressed")];
    let outcome = annotations(&lab, "coco", &classes, &[("format.file", "coco.json")]).unwrap();
    let [polygons, centres, compressed] = [0, 1, 2].map(|k| masks(&lab, &outcome, k));
    let annotated = polygons.iter().filter(|(_, mask)| mask.is_some()).count();
    assert!(annotated > 20, "{annotated} photographs");
    for ((polygons, centres), compressed) in polygons.iter().zip(&centres).zip(&compressed) {
        assert_eq!(polygons, centres, "a pixel belongs to a polygon if its centre does");
        assert_eq!(centres, compressed);
    }
    // The run lengths themselves, apart from how they are drawn.
    for annotation in expected["coco"]["annotations"].as_array().unwrap() {
        if annotation["category_id"] == 2 {
            let at = annotation["image_id"].as_u64().unwrap() as usize;
            let right = of_counts(&annotation["segmentation"]["counts"], width as usize, height as usize);
            assert_eq!(centres[at].1.as_ref(), Some(&right), "{}", centres[at].0);
        }
    }
}

#[test]
fn holes_of_qupath_are_left_out_as_in_shapely() {
    let (lab, expected) = (Lab::new(), expected());
    let (width, height) = size(&expected);
    let cases = expected["qupath"].as_array().unwrap();
    for (at, case) in cases.iter().enumerate() {
        photograph(&lab, &format!("photographs/{at}.png"), width, height);
        lab.write(&format!("qupath/{at}.geojson"), case["geojson"].to_string().as_bytes());
    }
    let files = [("format.files", "qupath/*.geojson")];
    let outcome = annotations(&lab, "qupath", &[("EX", "exudate")], &files).unwrap();
    for ((name, mask), case) in masks(&lab, &outcome, 0).iter().zip(cases) {
        let right = of_counts(&case["counts"], width as usize, height as usize);
        assert_eq!(mask.as_ref(), Some(&right), "{name}");
    }
}

#[test]
fn rotated_boxes_and_ellipses_of_cvat_are_those_of_shapely_and_numpy() {
    let (lab, expected) = (Lab::new(), expected());
    let (width, height) = size(&expected);
    let cases = expected["cvat"].as_array().unwrap();
    let mut xml = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<annotations>\n  <version>1.1</version>\n".to_owned();
    for (at, case) in cases.iter().enumerate() {
        photograph(&lab, &format!("photographs/{at:02}.png"), width, height);
        let element = case["element"].as_str().unwrap();
        let _ = writeln!(
            xml,
            "<image id=\"{at}\" name=\"{at:02}.png\" width=\"{width}\" height=\"{height}\">{element}</image>"
        );
    }
    lab.write("annotations.xml", (xml + "</annotations>\n").as_bytes());
    let outcome = annotations(&lab, "cvat", &[("MA", "a")], &[("format.file", "annotations.xml")]).unwrap();
    for ((name, mask), case) in masks(&lab, &outcome, 0).iter().zip(cases) {
        let right = of_counts(&case["counts"], width as usize, height as usize);
        assert_eq!(mask.as_ref(), Some(&right), "{name}: {}", case["element"]);
    }
}

#[test]
fn all_shapes_of_cvat_are_read() {
    let lab = Lab::new();
    photograph(&lab, "photographs/a.png", 20, 10);
    photograph(&lab, "photographs/b.png", 20, 10);
    let xml = r#"<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta><task><labels>
    <label><name>cotton &#x26; wool</name></label>
    <label><name>never drawn</name></label>
  </labels></task></meta>
  <image id="0" name="a.png" width="20" height="10">
    <box label="cotton &amp; wool" xtl="1.00" ytl="2.00" xbr="3.00" ybr="3.00"><attribute name="sure">yes</attribute></box>
    <polygon label="Cotton &#38; wool" points="10.0,1.0;12.0,1.0;12.0,2.0;10.0,2.0"/>
    <mask label="cotton &amp; wool" left="5" top="7" width="3" height="2" rle="1, 3, 2"/>
    <points label="cotton &amp; wool" points="15.5,5.5;17.5,5.5"/>
    <polyline label="vessel" points="0,0;5,5"/>
  </image>
  <image id="1" name="b.png" width="20" height="10"/>
</annotations>
"#;
    lab.write("annotations.xml", xml.as_bytes());
    let params = [("format.file", "annotations.xml"), ("point-radius", "0.6"), ("ignore", "vessel")];
    let classes = [("SE", "cotton & wool"), ("MA", "never drawn")];
    let outcome = annotations(&lab, "cvat", &classes, &params).unwrap();
    assert_eq!(outcome.summary.warnings, []);
    let drawn = masks(&lab, &outcome, 1);
    assert_eq!(
        pixels(drawn[0].1.as_ref()),
        [(10, 1), (11, 1), (1, 2), (2, 2), (15, 5), (17, 5), (6, 7), (7, 7), (5, 8)],
        "polygon, box, points and mask together"
    );
    assert_eq!(drawn[1], ("b".to_owned(), None));
    assert_eq!(without(&lab, &outcome, "b"), [WithoutMask::Absent; 2]);
    let row = |name: &str, counts: [i64; 4]| {
        [Cell::Text(name.to_owned())].into_iter().chain(counts.map(Cell::Int)).collect::<Vec<_>>()
    };
    assert_eq!(outcome.summary.tables[0].rows, [row("MA", [0, 0, 2, 0]), row("SE", [1, 5, 1, 0])]);
    assert_eq!(outcome.summary.headline, "2 photographs with 1 lesion mask of 5 shapes");
}

pub(super) fn without(lab: &Lab, outcome: &Outcome, name: &str) -> Vec<WithoutMask> {
    let items = item::items(&outcome.outputs["out"], &lab.objects).unwrap();
    let item = items.iter().find(|item| item.name == name).unwrap();
    OpenPhotograph::new(name, &item.tree, &lab.objects).unwrap().facts.without_mask
}

#[test]
fn all_shapes_of_labelme_are_read() {
    let lab = Lab::new();
    photograph(&lab, "photographs/a.png", 20, 10);
    // A mask of 3 x 2 px with the pixels (0, 0) and (2, 1).
    let mask = base64(&png(&[1, 0, 0, 0, 0, 1], 3, 2, PixelFormat::Grey));
    let shapes = json!([
        { "label": "ma", "points": [[1, 1], [3, 1], [3, 3], [1, 3]], "shape_type": "polygon", "group_id": null },
        { "label": "ma", "points": [[8.0, 4.0], [6.0, 2.0]], "shape_type": "rectangle" },
        { "label": "ma", "points": [[12.5, 5.5], [12.5, 6.2]], "shape_type": "circle" },
        { "label": "ma", "points": [[15, 7], [17, 8]], "shape_type": "mask", "mask": mask },
        { "label": "vessel", "points": [[0, 0], [9, 9]], "shape_type": "line" },
    ]);
    let file = json!({ "version": "5.4.1", "shapes": shapes, "imagePath": "a.png", "imageData": "AAAA",
        "imageHeight": 10, "imageWidth": 20 });
    lab.write("json/A.json", file.to_string().as_bytes());
    let outcome = annotations(&lab, "labelme", &[("MA", "MA")], &[("format.files", "json/*.json")]).unwrap();
    assert_eq!(
        pixels(masks(&lab, &outcome, 0)[0].1.as_ref()),
        [(1, 1), (2, 1), (1, 2), (2, 2), (6, 2), (7, 2), (6, 3), (7, 3), (12, 5), (15, 7), (17, 8)]
    );
    let warnings: Vec<_> = outcome.summary.warnings.iter().map(|warning| warning.text.as_str()).collect();
    assert_eq!(warnings, ["1 label of the annotations belongs to no class: `vessel` (1 shape)"]);
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |group: &[u8]| {
        let bits = group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        let letters = (0..=group.len()).map(|at| char::from(LETTERS[(bits >> (18 - 6 * at) & 63) as usize]));
        letters.chain(std::iter::repeat_n('=', 3 - group.len())).collect::<String>()
    };
    bytes.chunks(3).map(group).collect()
}

#[test]
fn boxes_and_polygons_of_yolo_are_fractions_of_the_photograph() {
    let lab = Lab::new();
    photograph(&lab, "photographs/a.png", 20, 10);
    photograph(&lab, "photographs/b.png", 40, 40);
    photograph(&lab, "photographs/c.png", 40, 40);
    lab.write("labels/a.txt", b"0 0.2 0.3 0.1 0.2\n1 0.5 0.5 0.6 0.5 0.6 0.6 0.5 0.6\n");
    lab.write("labels/b.txt", b"0 0.2 0.3 0.1 0.1\r\n\r\n");
    lab.write("labels/c.txt", b"");
    lab.write("data.yaml", b"path: ../x\nnames:\n  0: microaneurysm\n  1: hemorrhage\n");
    let params = [("format.files", "labels/*.txt"), ("format.names", "data.yaml")];
    let classes = [("MA", "microaneurysm"), ("HE", "haemorrhage")];
    let (code, text, hint) = refused(annotations(&lab, "yolo", &classes, &params));
    assert_eq!(
        (code.as_str(), text.as_str()),
        ("missing-label", "label `haemorrhage` of class `HE` occurs in no annotation file")
    );
    assert!(hint.contains("did you mean `hemorrhage`?"), "{hint}");
    let classes = [("MA", "microaneurysm"), ("HE", "hemorrhage|haemorrhage")];
    let outcome = annotations(&lab, "yolo", &classes, &params).expect("one of two spellings is enough");
    let [ma, he] = [0, 1].map(|k| masks(&lab, &outcome, k));
    assert_eq!(pixels(ma[0].1.as_ref()), [(3, 2), (4, 2), (3, 3), (4, 3)]);
    assert_eq!(pixels(he[0].1.as_ref()), [(10, 5), (11, 5)]);
    assert_eq!(pixels(ma[1].1.as_ref()).len(), 16, "of a larger photograph");
    assert_eq!(
        without(&lab, &outcome, "c"),
        [WithoutMask::Absent; 2],
        "an empty file is an annotation without objects"
    );
    // Without names, the numbers are the labels.
    let outcome = annotations(&lab, "yolo", &[("MA", "0"), ("HE", "1")], &params[..1]).unwrap();
    assert_eq!(masks(&lab, &outcome, 0), ma);
}

#[test]
fn an_edit_of_one_photograph_changes_one_item_and_identifiers_change_none() {
    let lab = Lab::new();
    let names = ["a", "b", "c"];
    for name in names {
        photograph(&lab, &format!("photographs/{name}.png"), 20, 10);
    }
    let image = |at: usize| json!({ "id": at, "file_name": format!("{}.png", names[at]) });
    let shape = |id: usize, at: usize, side: u32| json!({ "id": id, "image_id": at, "category_id": 1, "bbox": [1, 1, side, 2] });
    let items = |drawn: Vec<Json>| {
        let images: Vec<Json> = (0..3).map(image).collect();
        let categories = json!([{ "id": 1, "name": "ma" }]);
        let file = json!({ "images": images, "annotations": drawn, "categories": categories });
        lab.write("coco.json", file.to_string().as_bytes());
        let outcome = annotations(&lab, "coco", &[("MA", "ma")], &[("format.file", "coco.json")]).unwrap();
        let items = item::items(&outcome.outputs["out"], &lab.objects).unwrap();
        items.into_iter().map(|item| (item.name, item.tree)).collect::<Vec<_>>()
    };
    let drawn = |side| vec![shape(1, 0, 3), shape(2, 1, side), shape(3, 1, 4), shape(4, 2, 2)];
    let before = items(drawn(2));
    let changed: Vec<_> = before.iter().zip(items(drawn(5))).filter(|(one, other)| *one != other).collect();
    assert_eq!(changed.iter().map(|(one, _)| one.0.as_str()).collect::<Vec<_>>(), ["b"]);
    let mut renumbered = drawn(2);
    renumbered.reverse();
    (0..).zip(&mut renumbered).for_each(|(id, annotation)| annotation["id"] = json!(100 + id));
    assert_eq!(items(renumbered), before, "order and identifiers");
}

#[test]
fn outlines_of_lesions_are_read_back_as_the_same_masks() {
    let (lab, expected) = (Lab::new(), expected());
    let (width, height) = size(&expected);
    for image in expected["coco"]["images"].as_array().unwrap() {
        photograph(&lab, image["file_name"].as_str().unwrap(), width, height);
    }
    lab.write("coco.json", expected["coco"].to_string().as_bytes());
    let drawn = annotations(&lab, "coco", &[("MA", "centres")], &[("format.file", "coco.json")]).unwrap();
    let lesions = lab.map("lesions", &drawn.outputs["out"], &[]).unwrap();
    for (file, entry) in lesions.outputs["out"].under("outlines/") {
        lab.write(&format!("outlines/{file}"), &lab.objects.read(entry).unwrap());
    }
    let again = annotations(&lab, "qupath", &[("MA", "ma")], &[("format.files", "outlines/*.geojson")]).unwrap();
    let (drawn, again) = (masks(&lab, &drawn, 0), masks(&lab, &again, 0));
    assert!(drawn.iter().filter(|(_, mask)| mask.is_some()).count() > 20);
    assert_eq!(drawn, again);
}

#[test]
fn patches_have_the_labels_of_the_shapes() {
    let lab = Lab::new();
    photograph(&lab, "photographs/a.png", 256, 128);
    photograph(&lab, "photographs/b.png", 256, 128);
    let shape = |corner: [i32; 2]| {
        let [x, y] = corner;
        json!([[x, y, x + 4, y, x + 4, y + 4, x, y + 4]])
    };
    let coco = json!({
        "images": [{ "id": 1, "file_name": "a.png", "width": 256, "height": 128 }],
        "categories": [{ "id": 1, "name": "MA" }, { "id": 2, "name": "HE" }],
        "annotations": [
            { "id": 1, "image_id": 1, "category_id": 1, "segmentation": shape([10, 10]) },
            { "id": 2, "image_id": 1, "category_id": 1, "segmentation": shape([60, 10]), "iscrowd": 1 },
            { "id": 3, "image_id": 1, "category_id": 1, "segmentation": [], "bbox": [130, 20, 2, 3] },
        ],
    });
    lab.write("coco.json", coco.to_string().as_bytes());
    let classes = [("MA", "ma"), ("HE", "he")];
    let outcome = annotations(&lab, "coco", &classes, &[("format.file", "coco.json")]).unwrap();
    let outcome = lab.extract(&outcome.outputs["out"], &[]).unwrap();
    let set = macula::data::patches::PatchSet::read(&outcome.outputs["out"], &lab.objects).unwrap();
    let rows: Vec<_> =
        set.parts.iter().flat_map(|part| &part.rows).map(|row| (row.mask_pixels.clone(), row.labels.clone())).collect();
    assert_eq!(
        rows,
        [
            (vec![32, 0], vec![Present, Absent]),
            (vec![6, 0], vec![Present, Absent]),
            (vec![0, 0], vec![Unknown, Unknown]),
            (vec![0, 0], vec![Unknown, Unknown]),
        ],
        "two polygons together, a box, and a photograph that is not listed"
    );
}
