//! The pipelines of `docs/data.md`, run on small trees laid out as the data sets are released.

use macula::data::png_image::{PixelFormat, png};

use super::image_files::{LITTLE, Page, tiff};
use crate::space::Space;

/// Side of the photographs; patches have a third of it.
const SIDE: usize = 96;

/// Photographs of each tree.
const PHOTOGRAPHS: usize = 12;

fn rgb(number: usize) -> Vec<u8> {
    let pixel = |at: usize| {
        let (x, y) = (at % SIDE, at / SIDE);
        [90 + (x * (number + 3) + y) % 80, 50 + (x + y * (number + 5)) % 60, 30 + (x * y + number) % 50]
    };
    (0..SIDE * SIDE).flat_map(pixel).map(|value| value as u8).collect()
}

fn photograph(number: usize) -> Vec<u8> {
    png(&rgb(number), SIDE as u32, SIDE as u32, PixelFormat::Rgb)
}

/// A slide whose level 1 is a photograph.
fn slide(number: usize) -> Vec<u8> {
    let (small, side) = (rgb(number), 2 * SIDE);
    let pixel = |at: usize| &small[(at / side / 2 * SIDE + at % side / 2) * 3..][..3];
    let full = (0..side * side).flat_map(pixel).copied().collect();
    let level = Page::new((SIDE, SIDE), 8, 3, 2, small.clone()).with(254, 4, &[1.0]);
    tiff(LITTLE, &[Page::new((side, side), 8, 3, 2, full), level])
}

/// Lesions in two of the nine patches, others for each class.
fn lesions(number: usize, class: usize) -> Vec<u8> {
    let mut mask = vec![0; SIDE * SIDE];
    for patch in [number + class, number + 2 * class + 4] {
        let (left, top) = (patch % 3 * 32 + 8, patch / 3 % 3 * 32 + 8);
        for y in top..top + 6 {
            mask[y * SIDE + left..y * SIDE + left + 6].fill(255);
        }
    }
    mask
}

fn png_mask(number: usize, class: usize) -> Vec<u8> {
    png(&lesions(number, class), SIDE as u32, SIDE as u32, PixelFormat::Grey)
}

fn tiff_mask(number: usize, class: usize) -> Vec<u8> {
    tiff(LITTLE, &[Page::new((SIDE, SIDE), 8, 1, 1, lesions(number, class))])
}

/// Files of photograph `number` by the data set's layout: those of the photograph, and of its masks by class number.
type Files = (String, Vec<(String, usize)>);

/// Files of each photograph by its number.
type Layout = fn(usize) -> Files;

fn idrid(number: usize) -> Files {
    let set = if number < 9 { "a. Training Set" } else { "b. Testing Set" };
    let folders = ["1. Microaneurysms", "2. Haemorrhages", "3. Hard Exudates", "4. Soft Exudates"];
    let root = "data/idrid/A. Segmentation";
    let mask = |(class, name): (usize, &str)| {
        let folder = format!("{root}/2. All Segmentation Groundtruths/{set}/{}", folders[class]);
        (format!("{folder}/IDRiD_{:02}_{name}.tif", number + 1), class)
    };
    let photograph = format!("{root}/1. Original Images/{set}/IDRiD_{:02}.png", number + 1);
    (photograph, ["MA", "HE", "EX", "SE"].into_iter().enumerate().map(mask).collect())
}

fn ddr(number: usize) -> Files {
    let (set, labels) = [("train", "label"), ("valid", "segmentation label"), ("test", "label")][number % 3];
    let root = format!("data/DDR-dataset/lesion_segmentation/{set}");
    let mask = |(class, name): (usize, &str)| (format!("{root}/{labels}/{name}/007-{number}-100.tif"), class);
    (format!("{root}/image/007-{number}-100.png"), ["MA", "HE", "EX", "SE"].into_iter().enumerate().map(mask).collect())
}

fn fgadr(number: usize) -> Files {
    let root = "data/FGADR/Seg-set";
    let folders = ["Microaneurysms_Masks", "Hemohedge_Masks", "HardExudate_Masks", "SoftExudate_Masks"];
    let mask = |(class, folder): (usize, &str)| (format!("{root}/{folder}/{number:04}_1.png"), class);
    (format!("{root}/Original_Images/{number:04}_1.png"), folders.into_iter().enumerate().map(mask).collect())
}

fn e_ophtha(number: usize) -> Files {
    let (half, class, suffix) = [("MA", 0, ""), ("EX", 2, "_EX")][number % 2];
    let root = format!("data/e-ophtha/e_optha_{half}");
    if number % 4 > 1 {
        return (format!("{root}/healthy/E{number:07}/C{number}.png"), Vec::new());
    }
    let mask = format!("{root}/Annotation_{half}/E{number:07}/C{number}{suffix}.png");
    (format!("{root}/{half}/E{number:07}/C{number}.png"), vec![(mask, class)])
}

fn folder(number: usize) -> Files {
    let mask = |(class, name): (usize, &str)| {
        (format!("data/clinic/masks/{}/{number}_{name}.png", name.to_lowercase()), class)
    };
    (format!("data/clinic/photographs/{number}.png"), ["MA", "HE"].into_iter().enumerate().map(mask).collect())
}

#[test]
fn every_pipeline_of_the_page_on_data_sets_runs() {
    let page = include_str!("../../../docs/data.md");
    let pipelines: Vec<&str> = page.split("```kdl\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let layouts: [(&str, Layout); 5] =
        [("idrid", idrid), ("ddr", ddr), ("fgadr", fgadr), ("e-ophtha", e_ophtha), ("folder", folder)];
    assert!(pipelines.len() >= layouts.len());
    for (stage, layout) in layouts {
        let text = pipelines.iter().find(|text| text.contains(&format!("    {stage} fundus {{")));
        let space = Space::with(text.unwrap_or_else(|| panic!("no pipeline with `{stage}`")));
        for number in 0..PHOTOGRAPHS {
            let (file, masks) = layout(number);
            space.write(&file, photograph(number));
            for (mask, class) in masks {
                let bytes = if mask.rsplit('.').next() == Some("tif") {
                    tiff_mask(number, class)
                } else {
                    png_mask(number, class)
                };
                space.write(&mask, bytes);
            }
        }
        let ran = space.macula("run pipeline.kdl --set patches.size=32 --set classifier.epochs=1").code(0);
        ran.says_not(&["unmatched-mask", "unused-file"]);
        let scores = space.files("results").into_iter().find(|file| file.ends_with("scores/scores.json"));
        assert!(scores.is_some(), "{stage}: {:?}", space.files("results"));
    }
}

#[test]
fn the_pipeline_of_the_page_on_slides_runs() {
    let page = include_str!("../../../docs/data.md");
    let text = page.split("```kdl\n").skip(1).find(|text| text.contains("    folder slides {")).unwrap();
    let space = Space::with(text.split("```").next().unwrap());
    for number in 0..PHOTOGRAPHS {
        space.write(&format!("data/slides/images/{number}.tif"), slide(number));
        space.write(&format!("data/slides/masks/{number}.tif"), tiff_mask(number, 0));
    }
    let sets = "--set patches.size=32 --set patches.label.min-share=0.01 --set classifier.epochs=1";
    let ran = space.macula(&format!("run pipeline.kdl {sets} --set slides.regions.size=32")).code(0);
    ran.says(&["108 regions of 12 slides", "by patient (12 patients)"]).says_not(&["unmatched-mask", "unused-file"]);
    let found = space.files("results");
    assert!(found.iter().any(|file| file.ends_with("scores/scores.json")), "{found:?}");
}
