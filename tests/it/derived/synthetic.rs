//! Synthetic photographs: identical everywhere, independent of each other, with masks at the lesions.

use macula::base::{Digest, Streams};
use macula::data::png_image::{PixelFormat, png};
use macula::data::synthetic::{CLASSES, Fundus, FundusSpec, Laterality, fundus};

const RECIPE: FundusSpec = FundusSpec { size: 160, healthy: 0.25, severity: 1.0, per_patient: 2 };

fn streams() -> Streams {
    Streams::new(7, "synthetic")
}

fn brightness(made: &Fundus, pixel: usize) -> u32 {
    made.rgb[3 * pixel..3 * pixel + 3].iter().map(|level| u32::from(*level)).sum()
}

#[test]
fn a_synthetic_photograph_has_the_same_bytes_on_every_machine() {
    let made = fundus(&RECIPE, &streams(), 2);
    let mut all = png(&made.rgb, 160, 160, PixelFormat::Rgb);
    made.masks.iter().for_each(|mask| all.extend(png(mask, 160, 160, PixelFormat::Grey)));
    // Another digest means another output: raise the version of `synthetic`, then write the new one here.
    assert_eq!(Digest::of(&all).to_string(), "fe9a87f77c2c87152384862e692485dfed2e9d06e7c124903fb1f040b48f0074");
}

#[test]
fn a_photograph_depends_on_its_number_and_not_on_how_many_there_are() {
    let alone = fundus(&RECIPE, &streams(), 3);
    let after_others: Vec<Fundus> = (0..4).map(|number| fundus(&RECIPE, &streams(), number)).collect();
    assert_eq!(alone, after_others[3]);
    assert_ne!(after_others[0].rgb, after_others[1].rgb);
}

#[test]
fn patients_have_a_right_eye_first_then_a_left_one() {
    let eyes: Vec<(u64, Laterality)> = (0..4)
        .map(|number| fundus(&FundusSpec { size: 128, ..RECIPE }, &streams(), number))
        .map(|made| (made.patient, made.side))
        .collect();
    assert_eq!(eyes, [(0, Laterality::Right), (0, Laterality::Left), (1, Laterality::Right), (1, Laterality::Left)]);
}

#[test]
fn the_share_without_lesions_holds_for_every_run_of_photographs() {
    let recipe = FundusSpec { size: 128, ..RECIPE };
    for seed in 0..2 {
        let healthy = (0..24)
            .filter(|number| {
                let made = fundus(&recipe, &Streams::new(seed, "synthetic"), *number);
                made.masks.iter().flatten().all(|value| *value == 0)
            })
            .count();
        assert!((5..=7).contains(&healthy), "{healthy} of 24 with seed {seed}");
    }
}

#[test]
fn the_corners_are_black_and_the_middle_is_a_reddish_retina() {
    for number in 0..6 {
        let made = fundus(&RECIPE, &streams(), number);
        for corner in [0, 159, 159 * 160, 160 * 160 - 1] {
            assert!(brightness(&made, corner) < 30, "photograph {number}");
        }
        // The fovea is somewhere near the middle; what is looked at is next to it.
        let at = 3 * (120 * 160 + 80);
        let [red, green, blue] = [made.rgb[at], made.rgb[at + 1], made.rgb[at + 2]];
        assert!(red > green && green > blue && red > 70, "photograph {number}: {red} {green} {blue}");
    }
}

#[test]
fn red_lesions_are_darker_and_bright_lesions_brighter_than_the_same_eye_without_them() {
    let size = 256;
    let ill = FundusSpec { size, healthy: 0.0, ..RECIPE };
    let well = FundusSpec { healthy: 1.0, ..ill };
    let mut difference = [0.0; 4];
    let mut seen = [0_u32; 4];
    for number in 0..12 {
        let (with, without) = (fundus(&ill, &streams(), number), fundus(&well, &streams(), number));
        for class in 0..4 {
            for pixel in (0..(size * size) as usize).filter(|pixel| with.masks[class][*pixel] != 0) {
                let alone = (0..4).all(|other| other == class || with.masks[other][pixel] == 0);
                if alone {
                    difference[class] += f64::from(brightness(&with, pixel)) - f64::from(brightness(&without, pixel));
                    seen[class] += 1;
                }
            }
        }
    }
    for (class, darker) in [(0, true), (1, true), (2, false), (3, false)] {
        assert!(seen[class] > 20, "{} was hardly made: {} pixels", CLASSES[class], seen[class]);
        let mean = difference[class] / f64::from(seen[class]);
        assert!(if darker { mean < -20.0 } else { mean > 40.0 }, "{}: {mean}", CLASSES[class]);
    }
}

#[test]
fn away_from_masks_lesions_leave_the_photograph_as_it_is() {
    let ill = FundusSpec { size: 200, healthy: 0.0, ..RECIPE };
    let well = FundusSpec { healthy: 1.0, ..ill };
    let (with, without) = (fundus(&ill, &streams(), 0), fundus(&well, &streams(), 0));
    let changed = |at: usize| (0..3).any(|c| with.rgb[3 * at + c].abs_diff(without.rgb[3 * at + c]) > 6);
    let masked = |x: i64, y: i64| {
        (0..200).contains(&x)
            && (0..200).contains(&y)
            && with.masks.iter().any(|mask| mask[(y * 200 + x) as usize] != 0)
    };
    let mut far = 0;
    for y in 0..200_i64 {
        for x in 0..200_i64 {
            // Soft edges and the lens reach further than the mask, but not 7 px at this size.
            let near = (-7..=7).any(|dy| (-7..=7).any(|dx| masked(x + dx, y + dy)));
            if !near {
                far += 1;
                assert!(!changed((y * 200 + x) as usize), "pixel {x} {y}");
            }
        }
    }
    assert!(far > 10_000);
}
