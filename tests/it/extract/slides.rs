//! Slides read in regions: pixels compared with tifffile and `OpenSlide`, masks and shapes with those of the whole level.

use std::path::PathBuf;

use macula::base::Digest;
use macula::data::annotations::{DrawnShape, draw};
use macula::data::bitmap::Bitmap;
use macula::data::decode::Photograph;
use macula::data::item::{self, OpenPhotograph};
use macula::data::patches::{Label, PatchSet};
use macula::data::png_image::{PixelFormat, png};
use macula::data::table::{Column, Columns};
use macula::lang::value::Value;
use macula::stage::{Item, Outcome, StageError};
use macula::store::Tree;
use serde_json::Value as Json;

use super::annotations::{refused, text};
use super::image_files::{LITTLE, Page, tiff, zlib};
use super::lab::Lab;
use crate::space::Space;

/// Distance of the pixels in `slides.json`.
const STEP: usize = 7;

/// A slide of `tests/expected/slides.py`.
fn slide(name: &str) -> Vec<u8> {
    std::fs::read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/expected/slides").join(name)).unwrap()
}

fn regions(size: i64, level: i64) -> Vec<(&'static str, Value)> {
    vec![("regions.size", Value::Int(size)), ("regions.level", Value::Int(level))]
}

/// `folder` over `slides/*` without masks.
fn folder(lab: &Lab, params: &[(&'static str, Value)]) -> Result<Outcome, StageError> {
    let mut all = vec![("photographs", text("slides/*")), ("absent-mask", text("unknown"))];
    all.extend(params.iter().cloned());
    lab.folder(&all)
}

fn items(lab: &Lab, set: &Tree) -> Vec<Item> {
    item::items(set, &lab.objects).unwrap()
}

/// Left and top of a region by its name.
fn corner(name: &str) -> (usize, usize) {
    let (x, y) = name.rsplit_once(".x").unwrap().1.split_once('y').unwrap();
    (x.parse().unwrap(), y.parse().unwrap())
}

/// A level from its regions: width, height and pixels.
fn assembled(lab: &Lab, set: &Tree) -> Result<(usize, usize, Vec<u8>), StageError> {
    let mut parts = Vec::new();
    for item in items(lab, set) {
        let mut photograph = Photograph::default();
        OpenPhotograph::new(&item.name, &item.tree, &lab.objects)?.photograph(&mut photograph)?;
        parts.push((corner(&item.name), photograph));
    }
    let width = parts.iter().map(|((x, _), part)| x + part.width).max().unwrap();
    let height = parts.iter().map(|((_, y), part)| y + part.height).max().unwrap();
    let covered: usize = parts.iter().map(|(_, part)| part.width * part.height).sum();
    assert_eq!(covered, width * height, "regions do not overlap");
    let mut rgb = vec![0; width * height * 3];
    for ((x, y), part) in parts {
        for row in 0..part.height {
            rgb[((y + row) * width + x) * 3..][..part.width * 3].copy_from_slice(part.row(row));
        }
    }
    Ok((width, height, rgb))
}

#[test]
fn every_level_of_every_layout_has_the_pixels_of_tifffile() {
    let expected: Json = serde_json::from_str(include_str!("../../expected/slides.json")).unwrap();
    for (name, expected) in expected.as_object().unwrap() {
        let lab = Lab::new();
        lab.write(&format!("slides/{name}"), &slide(name));
        // Decoders interpolate reduced colours differently.
        let most = match expected["pixels"].as_str().unwrap() {
            "lossless" => 0,
            "jpeg" => 1,
            _ => 4,
        };
        let levels = expected["levels"].as_array().unwrap();
        for (number, level) in levels.iter().enumerate() {
            // Not along tiles, of 64 px.
            let found = folder(&lab, &regions(100, number as i64)).unwrap();
            let (width, height, rgb) = assembled(&lab, &found.outputs["out"]).unwrap();
            assert_eq!(level["size"], serde_json::json!([width, height]), "{name}, level {number}");
            let grid = level["grid"].as_str().unwrap().as_bytes();
            let mut right =
                grid.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap());
            for (y, x) in (0..height).step_by(STEP).flat_map(|y| (0..width).step_by(STEP).map(move |x| (y, x))) {
                for c in 0..3 {
                    let (own, right) = (rgb[(y * width + x) * 3 + c], right.next().unwrap());
                    assert!(own.abs_diff(right) <= most, "{name}, level {number}, x {x} y {y}: {own}, not {right}");
                }
            }
            assert!(right.next().is_none());
        }
        let (code, said, hint) = refused(folder(&lab, &regions(100, levels.len() as i64)));
        assert_eq!(code, "slide");
        assert!(said.contains(&format!("it has no level {}", levels.len())), "{said}");
        assert!(hint.starts_with("its levels are 0 ("), "{hint}");
    }
}

#[test]
fn a_level_that_was_cut_off_with_the_end_of_a_file_is_not_said_to_be_none() {
    let lab = Lab::new();
    let whole = slide("vips-jpeg.tif");
    // Within the directory of the last level.
    lab.write("slides/a.tif", &whole[..36_800]);
    let (code, said, hint) = refused(folder(&lab, &regions(100, 3)));
    assert_eq!(code, "slide");
    assert!(said.contains("it has no level 3"), "{said}");
    assert!(hint.ends_with("it may be incomplete"), "{hint}");
}

#[test]
fn the_size_of_regions_changes_no_pixel() {
    let lab = Lab::new();
    lab.write("slides/a.tif", &slide("jpeg-420.tif"));
    let of = |size| assembled(&lab, &folder(&lab, &regions(size, 0)).unwrap().outputs["out"]).unwrap();
    let whole = of(4096);
    assert_eq!((whole.0, whole.1), (300, 250));
    for size in [16, 64, 90, 128] {
        assert_eq!(of(size), whole, "regions of {size} px");
    }
}

#[test]
fn a_level_is_found_by_its_resolution() {
    let lab = Lab::new();
    lab.write("slides/a.svs", &slide("aperio.svs"));
    let by = |mpp: f64| folder(&lab, &[("regions.size", Value::Int(64)), ("regions.mpp", Value::Real(mpp))]);
    let size = |mpp| assembled(&lab, &by(mpp).unwrap().outputs["out"]).unwrap().0;
    assert_eq!([size(0.5), size(1.0), size(1.9)], [300, 150, 75], "0.499 µm by its description");
    let (_, said, hint) = refused(by(0.25));
    assert!(said.contains("no level is near 0.25 µm per pixel"), "{said}");
    assert!(hint.contains("0 (300 x 250 px, 0.499 µm per pixel), 1 (150 x 125 px, 0.998 µm per pixel)"), "{hint}");
    lab.write("slides/a.svs", &slide("bigtiff.tif"));
    assert_eq!([size(0.25), size(0.5)], [300, 150], "by its resolution in pixels per cm");
    lab.write("slides/a.svs", &slide("vips-jpeg.tif"));
    let (_, said, _) = refused(by(0.5));
    assert!(said.contains("does not say how many µm"), "1 px per mm is what vips writes without knowing it: {said}");
}

#[test]
fn what_cannot_be_read_in_regions_is_named_with_the_way_out() {
    let cases: [(&str, Vec<u8>, &str, &str); 5] = [
        ("j2k.tif", slide("jpeg-2000.tif"), "JPEG 2000", "vips tiffsave"),
        ("deep.tif", slide("deep.tif"), "3 samples of 16 bits are not supported for slides", "vips tiffsave"),
        ("plain.png", png(&[9; 12], 2, 2, PixelFormat::Rgb), "is not a TIFF", "vips tiffsave"),
        ("empty.tif", Vec::new(), "is not a TIFF", ""),
        (
            "strip.tif",
            tiff(LITTLE, &[Page::new((9000, 9000), 8, 3, 2, vec![0; 40]).with(259, 3, &[5.0])]),
            "strips of 9000 x 9000 px, too large to read a region",
            "",
        ),
    ];
    for (name, bytes, words, way_out) in cases {
        let lab = Lab::new();
        lab.write(&format!("slides/{name}"), &bytes);
        let (code, said, hint) = refused(folder(&lab, &regions(64, 0)));
        assert_eq!(code, "slide");
        assert!(said.contains(words) && said.contains(name), "{said}");
        assert!(hint.contains(way_out) || said.contains(way_out), "{said}\n{hint}");
    }
    let lab = Lab::new();
    lab.write("slides/a.svs", &slide("aperio.svs"));
    let (code, said, hint) = refused(folder(&lab, &[("regions.level", Value::Int(1))]));
    assert_eq!((code.as_str(), said.as_str()), ("regions", "`regions` needs the size of a region"));
    assert!(hint.contains("size=4096"));
    let (code, _, hint) = refused(folder(&lab, &[]));
    assert_eq!(code, "no-photographs");
    assert!(hint.contains("`slides/a.svs` is a slide: add `regions size=4096`"), "{hint}");
}

/// Offset of the values of a field of the first directory, as the file has it.
fn values_of(bytes: &[u8], tag: u16) -> usize {
    let long = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let start = long(4);
    let count = usize::from(u16::from_le_bytes(bytes[start..start + 2].try_into().unwrap()));
    let field = (0..count).map(|at| start + 2 + 12 * at).find(|at| bytes[*at..at + 2] == tag.to_le_bytes());
    long(field.unwrap() + 8)
}

#[test]
fn a_damaged_tile_is_an_error_of_its_region_only() {
    let whole = slide("jpeg-420.tif");
    let (offsets, sizes) = (values_of(&whole, 324), values_of(&whole, 325));
    let set = |at: usize, value: u32| {
        let mut bytes = whole.clone();
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        bytes
    };
    // Tile 6 is in the second column and row: 5 tiles lie side by side.
    let (offset, size) = (offsets + 4 * 6, sizes + 4 * 6);
    let long = u32::from_le_bytes(whole[size..size + 4].try_into().unwrap()) as usize;
    let cases = [
        (set(size, 0), "it is missing in the file (a sparse TIFF)"),
        (set(size, long as u32 / 3), "its pixels end too early"),
        (set(offset, u32::MAX - 9), "it is truncated, or has offsets beyond its end"),
        (set(size, u32::MAX), "it is truncated, or has offsets beyond its end"),
        (set(offset, 1), "its pixels end too early"),
    ];
    for (bytes, words) in cases {
        let lab = Lab::new();
        lab.write("slides/a.tif", &bytes);
        let found = folder(&lab, &regions(64, 0)).unwrap();
        for item in items(&lab, &found.outputs["out"]) {
            let opened = OpenPhotograph::new(&item.name, &item.tree, &lab.objects).unwrap();
            let read = opened.photograph(&mut Photograph::default());
            if item.name != "a.x64y64" {
                read.unwrap();
                continue;
            }
            let Err(StageError::Input { code, text, hint, .. }) = read else { panic!("{words}: {read:?}") };
            assert_eq!(code, "damaged-photograph");
            let place = "a.tif` cannot be read at x 64 y 64: tile 6 (column 1, row 1): ";
            assert!(text.contains(place) && text.contains(words), "{text}");
            assert!(hint.unwrap().contains("vips tiffsave"));
        }
    }
}

#[test]
fn a_file_of_flipped_bytes_is_read_or_refused() {
    for name in ["jpeg-420.tif", "lzw-big-endian.tif", "bigtiff.tif", "aperio.svs", "vips-deflate.tif"] {
        let whole = slide(name);
        let mut state = 7_u64;
        for _ in 0..60 {
            let mut bytes = whole.clone();
            for _ in 0..3 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                // Half of them in the first and last bytes, where directories are.
                let at = (state >> 33) as usize % bytes.len();
                let at = if state >> 20 & 1 == 1 {
                    at
                } else if at.is_multiple_of(2) {
                    at % 600
                } else {
                    bytes.len() - 1 - at % 900
                };
                bytes[at] ^= 1 << (state >> 25 & 7);
            }
            let lab = Lab::new();
            lab.write("slides/a.tif", &bytes);
            let Ok(found) = folder(&lab, &regions(128, 0)) else { continue };
            if items(&lab, &found.outputs["out"]).len() < 50 {
                let _ = assembled(&lab, &found.outputs["out"]);
            }
        }
    }
}

/// A grey mask of this size, in one strip, with `value` where `inside`.
fn mask(size: (usize, usize), value: u8, inside: impl Fn(usize, usize) -> bool) -> Vec<u8> {
    let at = |at: usize| if inside(at % size.0, at / size.0) { value } else { 0 };
    tiff(LITTLE, &[Page::new(size, 8, 1, 1, (0..size.0 * size.1).map(at).collect())])
}

/// The pixels of class `k` on the whole level, from regions.
fn pixels(lab: &Lab, set: &Tree, k: usize, size: (usize, usize)) -> Bitmap {
    let mut all = Bitmap::new(size.0, size.1);
    for item in items(lab, set) {
        let opened = OpenPhotograph::new(&item.name, &item.tree, &lab.objects).unwrap();
        let own = opened.mask_of_file(k).unwrap().expect("a mask");
        let (left, top) = corner(&item.name);
        own.bits().pixels().for_each(|(x, y)| all.set(left + x, top + y));
    }
    all
}

fn bitmap(size: (usize, usize), inside: impl Fn(usize, usize) -> bool) -> Bitmap {
    let mut all = Bitmap::new(size.0, size.1);
    (0..size.1)
        .flat_map(|y| (0..size.0).map(move |x| (x, y)))
        .filter(|&(x, y)| inside(x, y))
        .for_each(|(x, y)| all.set(x, y));
    all
}

#[test]
fn masks_have_the_size_of_a_level_and_are_read_region_by_region() {
    let disc = |x: usize, y: usize, by: usize| {
        let (x, y) = (x * by + by / 2, y * by + by / 2);
        x.abs_diff(140).pow(2) + y.abs_diff(120).pow(2) < 80 * 80
    };
    let lab = Lab::new();
    lab.write("slides/a.tif", &slide("deflate.tif"));
    let read = |mask: &[u8], level: i64| {
        lab.write("ma/a.tif", mask);
        lab.write("he/a.tif", mask);
        folder(&lab, &regions(60, level)).map(|found| found.outputs["out"].clone())
    };
    let full = |value| mask((300, 250), value, |x, y| disc(x, y, 1));
    for value in [1, 255] {
        let found = read(&full(value), 0).unwrap();
        assert_eq!(pixels(&lab, &found, 0, (300, 250)), bitmap((300, 250), |x, y| disc(x, y, 1)));
    }
    let half = bitmap((150, 125), |x, y| (0..4).filter(|i| disc(2 * x + i % 2, 2 * y + i / 2, 1)).count() >= 2);
    assert_eq!(pixels(&lab, &read(&full(255), 1).unwrap(), 0, (150, 125)), half, "half of four pixels");
    let small = mask((75, 62), 255, |x, y| disc(x, y, 4));
    // 62 rows of 4 px are 248: the last row also stands for the two others.
    let large = bitmap((300, 250), |x, y| disc(x / 4, (y / 4).min(61), 4));
    assert_eq!(pixels(&lab, &read(&small, 0).unwrap(), 0, (300, 250)), large);
    let one_bit = tiff(
        LITTLE,
        &[Page::new((300, 250), 1, 1, 1, {
            let row = |y: usize| {
                (0..38).map(move |byte| {
                    (0..8).fold(0, |bits, bit| bits << 1 | u8::from(byte * 8 + bit < 300 && disc(byte * 8 + bit, y, 1)))
                })
            };
            (0..250).flat_map(row).collect()
        })],
    );
    assert_eq!(pixels(&lab, &read(&one_bit, 0).unwrap(), 0, (300, 250)), bitmap((300, 250), |x, y| disc(x, y, 1)));

    let wrong = read(&mask((299, 250), 255, |x, y| disc(x, y, 1)), 0).unwrap();
    let item = &items(&lab, &wrong)[0];
    let opened = OpenPhotograph::new(&item.name, &item.tree, &lab.objects).unwrap();
    let Err(StageError::Input { code, text, .. }) = opened.mask_of_file(0) else { panic!("another size") };
    assert_eq!(code, "mask-size");
    assert!(text.contains("299 x 250 px") && text.contains("level of 300 x 250 px"), "{text}");
}

#[test]
fn a_region_without_lesion_pixels_has_what_the_slide_has() {
    let lab = Lab::new();
    lab.write("slides/a.tif", &slide("deflate.tif"));
    lab.write("slides/b.tif", &slide("bigtiff.tif"));
    lab.write("ma/a.tif", &mask((300, 250), 255, |x, y| x < 20 && y < 20));
    lab.write("he/a.tif", &mask((300, 250), 255, |_, _| false));
    let found = folder(&lab, &regions(100, 0)).unwrap();
    assert_eq!(found.summary.headline.split(" with").next(), Some("18 regions of 2 slides"));
    let patches = lab.extract(&found.outputs["out"], &[("size", Value::Int(50))]).unwrap();
    let set = PatchSet::read(&patches.outputs["out"], &lab.objects).unwrap();
    let mut labels = [0; 3];
    for part in &set.parts {
        assert_eq!(part.patient.as_deref(), part.photograph.split('.').next(), "the patient is the slide");
        for row in &part.rows {
            labels[match row.labels[0] {
                Label::Present => 0,
                Label::Absent => 1,
                Label::Unknown => 2,
            }] += 1;
        }
    }
    assert_eq!(labels, [1, 29, 30], "one patch has the lesion, those of the other slide are unknown");
}

#[test]
fn shapes_on_the_slide_are_the_pixels_of_the_level() {
    let lab = Lab::new();
    lab.write("photographs/a.tif", &slide("deflate.tif"));
    let geojson = r#"{"type": "FeatureCollection", "features": [
        {"type": "Feature", "properties": {"classification": {"name": "Tumor"}}, "geometry": {"type": "Polygon", "coordinates":
            [[[10.2, 20.4], [250.7, 35.1], [190.5, 240.9], [10.2, 20.4]], [[100, 60], [160, 60], [130, 110], [100, 60]]]}},
        {"type": "Feature", "properties": {"classification": {"name": "Tumor"}}, "geometry": {"type": "Polygon", "coordinates":
            [[[280.1, 10.1], [280.3, 10.1], [280.2, 10.3], [280.1, 10.1]]]}}]}"#;
    lab.write("qupath/a.geojson", geojson.as_bytes());
    for (level, (width, height)) in [(300, 250), (150, 125), (75, 62)].into_iter().enumerate() {
        let [across, down] = [width as f64 / 300.0, height as f64 / 250.0];
        let ring = |ring: &[[f64; 2]]| ring.iter().map(|[x, y]| [x * across, y * down]).collect::<Vec<_>>();
        let outer = ring(&[[10.2, 20.4], [250.7, 35.1], [190.5, 240.9]]);
        let hole = ring(&[[100.0, 60.0], [160.0, 60.0], [130.0, 110.0]]);
        let mut right = Bitmap::new(width, height);
        draw(&DrawnShape::Polygon(vec![outer, hole]), &mut right);
        draw(&DrawnShape::Polygon(vec![ring(&[[280.1, 10.1], [280.3, 10.1], [280.2, 10.3]])]), &mut right);
        let classes = Value::Map([("MA".to_owned(), text("tumor"))].into());
        let mut params = vec![
            ("root", Value::Path(String::new())),
            ("photographs", text("photographs/*")),
            ("format", text("qupath")),
            ("format.files", text("qupath/*.geojson")),
            ("classes", classes),
            ("absent-shape", text("absent")),
            ("unlisted", text("unknown")),
            ("missing-label", text("error")),
        ];
        params.extend(regions(48, level as i64));
        let found = lab.source("annotations", &params).unwrap();
        assert_eq!(pixels(&lab, &found.outputs["out"], 0, (width, height)), right, "level {level}");
    }
}

/// Digest of each item by its name: what its results depend on.
fn digests(lab: &Lab, size: i64) -> Vec<(String, Digest)> {
    let found = folder(lab, &regions(size, 0)).unwrap();
    items(lab, &found.outputs["out"]).into_iter().map(|item| (item.name, item.tree.digest())).collect()
}

#[test]
fn another_slide_leaves_the_regions_of_the_others_as_they_are() {
    let lab = Lab::new();
    lab.write("slides/a.tif", &slide("deflate.tif"));
    let one = digests(&lab, 100);
    lab.write("slides/b.tif", &slide("bigtiff.tif"));
    let both = digests(&lab, 100);
    assert_eq!(both.len(), 2 * one.len());
    assert!(one.iter().all(|item| both.contains(item)));
    let larger = digests(&lab, 150);
    assert!(larger.iter().all(|item| !both.contains(item)), "other regions");
}

const PIPELINE: &str = "pipeline slides seed=7 {
    folder slides {
        root \"data\"
        photographs \"slides/*\"
        masks MA \"masks/*.tif\"
        absent-mask absent
        regions size=128 level=0
    }
    extract patches { from slides; size 32 }
    split sets { from patches; by image; train 0.5; valid 0.25; test 0.25 }
}
";

#[test]
fn a_slide_stays_on_one_side_of_a_split() {
    let space = Space::with(PIPELINE);
    for (name, file) in [("a", "deflate.tif"), ("b", "jpeg-420.tif"), ("c", "grey.tif"), ("d", "aperio.svs")] {
        space.write(&format!("data/slides/{name}.tif"), slide(file));
        space.write(&format!("data/masks/{name}.tif"), mask((300, 250), 255, |x, y| x % 64 < 20 && y % 64 < 20));
    }
    space.macula("run pipeline.kdl").code(1).says(&["is in two splits", "use `by patient`"]);
    space.edit("pipeline.kdl", "by image", "by patient");
    space.macula("run pipeline.kdl").code(0).says(&["16 regions of 4 slides", "by patient (4 patients)"]);
    space.macula("data check pipeline.kdl").code(0).says(&["0 errors", "16 photographs"]);
}

#[test]
fn an_uncompressed_strip_is_read_in_parts() {
    // Rows of 9,000 bytes in one strip of more than 1 MB: several bands, or only the columns of a narrow region.
    let size = (3000, 400);
    let rgb: Vec<u8> = (0..size.0 * size.1 * 3).map(|at| (at * 31 % 251 + at / 9000) as u8).collect();
    let mut differences = rgb.clone();
    for row in differences.chunks_exact_mut(size.0 * 3) {
        (3..row.len()).rev().for_each(|at| row[at] = row[at].wrapping_sub(row[at - 3]));
    }
    let plain = Page::new(size, 8, 3, 2, rgb.clone());
    let differing = Page::new(size, 8, 3, 2, differences).with(317, 3, &[2.0]);
    for page in [plain, differing] {
        let lab = Lab::new();
        lab.write("slides/a.tif", &tiff(LITTLE, &[page]));
        for side in [100, 350, 4096] {
            let found = folder(&lab, &regions(side, 0)).unwrap();
            let (width, height, own) = assembled(&lab, &found.outputs["out"]).unwrap();
            assert_eq!((width, height), size);
            assert!(own == rgb, "regions of {side} px");
        }
    }
}

#[test]
fn the_estimate_of_memory_includes_packed_strips() {
    let size = (3000, 400);
    let estimate = |page: Page, mask: Option<Vec<u8>>| {
        let lab = Lab::new();
        lab.write("slides/a.tif", &tiff(LITTLE, &[page]));
        if let Some(mask) = mask {
            lab.write("ma/a.tif", &mask);
            lab.write("he/a.tif", &mask);
        }
        let found = folder(&lab, &regions(100, 0)).unwrap();
        items(&lab, &found.outputs["out"]).iter().map(|item| item.bytes_in_flight).min().unwrap()
    };
    let rgb = vec![9; size.0 * size.1 * 3];
    let own = 100 * 100 * 6;
    let plain = || Page::new(size, 8, 3, 2, rgb.clone());
    assert_eq!(estimate(plain(), None), own + (1 << 20));
    let packed = Page::new(size, 8, 3, 2, zlib(&rgb)).with(259, 3, &[8.0]);
    assert_eq!(estimate(packed, None), own + 2 * 3_600_000 + (1 << 16), "a strip, packed and unpacked");
    let mask = Page::new(size, 8, 1, 1, zlib(&vec![0; size.0 * size.1])).with(259, 3, &[8.0]);
    assert_eq!(estimate(plain(), Some(tiff(LITTLE, &[mask]))), own + 2 * 1_200_000 + (1 << 16), "that of the mask");
}

#[test]
fn a_slide_keeps_its_extension() {
    let lab = Lab::new();
    lab.write("slides/a.svs", &slide("aperio.svs"));
    let found = folder(&lab, &regions(128, 0)).unwrap();
    let set = &found.outputs["out"];
    assert!(set.get("a.x0y0/photograph.svs").is_some(), "{:?}", set.entries.keys());
}

/// A table of two slides: the first has the lesion, the second does not.
const LABELLED: &str = "pipeline slides seed=7 {
    manifest slides { table \"slides.csv\"; labels MA \"ma\" HE \"he\"; regions size=128 }
    preprocess fitted { from slides; fit 64 }
    extract patches { from fitted; size 64 }
    extract cut { from slides; size 122 }
    export photographs { from slides; images #false; manifest #true }
    export fitted-photographs { from fitted; images #false; manifest #true }
}
";

#[test]
fn labels_of_a_slide_are_not_those_of_its_regions_after_a_change_either() {
    for (text, table, unknown, known) in [
        (LABELLED.to_owned(), "path,ma,he\na.tif,1,0\nb.tif,0,0\n", &["a"][..], &["b"][..]),
        (
            LABELLED.replace("labels MA \"ma\" HE \"he\"", "class \"ma\"; class-values MA \"1\" HE \"0\""),
            "path,ma\na.tif,1\nb.tif,0\n",
            &["a", "b"],
            &[],
        ),
    ] {
        let space = Space::with(&text);
        space.write("slides.csv", table);
        space.write("a.tif", slide("deflate.tif"));
        space.write("b.tif", slide("jpeg-420.tif"));
        space.macula("run pipeline.kdl").code(0).says(&["labels-without-place"]);
        for stage in ["patches", "cut"] {
            for file in space.files(&format!("results/slides/{stage}/parts")) {
                let bytes = std::fs::read(space.path(&format!("results/slides/{stage}/parts/{file}"))).unwrap();
                let part = Columns::from_parquet(&bytes).unwrap();
                let Some(Column::Count(labels)) = part.get("MA") else { panic!("no labels") };
                let right = if known.iter().any(|slide| file.starts_with(slide)) { Some(0) } else { None };
                assert!(!labels.is_empty() && labels.iter().all(|label| *label == right), "{stage} {file}: {labels:?}");
            }
        }
        for stage in ["photographs", "fitted-photographs"] {
            let table = space.read(&format!("results/slides/{stage}/manifest.csv"));
            for line in table.lines().skip(1) {
                let cells: Vec<&str> = line.split(',').collect();
                let right = if unknown.iter().any(|slide| cells[1].starts_with(slide)) { "" } else { "0" };
                assert_eq!(cells[4], right, "{stage}: {line}");
            }
        }
    }
}

#[test]
fn a_region_without_the_lesion_of_its_slide_contradicts_no_label() {
    let text = "pipeline slides seed=7 {
    manifest slides { table \"slides.csv\"; labels MA \"ma\" HE \"he\"; mask \"mask\"; mask-values MA \"1\" HE \"2\"; regions size=100 }
    extract patches { from slides; size 50 }
}
";
    let space = Space::with(text);
    space.write("slides.csv", "path,ma,he,mask\na.tif,1,0,m.tif\n");
    space.write("a.tif", slide("deflate.tif"));
    space.write("m.tif", mask((300, 250), 1, |x, y| x < 20 && y < 20));
    let said = ["label-contradicts-mask"];
    space.macula("run pipeline.kdl").code(0).says_not(&said);
    space.macula("data check pipeline.kdl").code(0).says_not(&said);
    // Where there is a lesion, a label that says that there is none is wrong.
    space.write("slides.csv", "path,ma,he,mask\na.tif,0,0,m.tif\n");
    space.macula("run pipeline.kdl").code(0).says(&["the mask of `MA` of `a.x0y0` has lesion pixels"]);
}

#[test]
fn identical_slides_are_reported_once() {
    let space = Space::with(PIPELINE);
    for name in ["a", "b"] {
        space.write(&format!("data/slides/{name}.tif"), slide("deflate.tif"));
    }
    space.write("data/masks/a.tif", mask((300, 250), 255, |x, y| x % 64 < 20 && y % 64 < 20));
    let said = space.macula("data check pipeline.kdl").code(0);
    let words = "warning[same-photograph]: `data/slides/a.tif` and `data/slides/b.tif` are identical files\n";
    assert_eq!(said.stdout.matches("warning[same-photograph]").count(), 1, "{}", said.stdout);
    assert_eq!(said.stdout.matches("warning[opposite-labels]").count(), 1, "{}", said.stdout);
    assert!(said.stdout.contains(words.trim_end()), "{}", said.stdout);
}
