//! Trainings of networks with several inputs.

use macula::base::Streams;
use macula::data::patches::Shard;
use macula::engine::augment::{Augmentation, Fill};
use macula::engine::normalise::Normalisation;
use macula::engine::views::PixelsMadeBy;
use macula::lang::network::NetworkSpec;
use macula::lang::value::Value;
use macula::learn::loader::{Fed, OpenPatchSet, PixelBatch};
use macula::learn::model::{Classifier, ModelInfo, Scoring, predict};
use macula::learn::sampler::Batch;
use macula::learn::tta::Tta;
use macula::store::Objects;

use super::fitting::Bench;
use super::lengths::same_bytes;
use super::made::{Made, Watcher, params};
use crate::kernels::formula::described;

const NORMAL: Normalisation = Normalisation { mean: [0.5; 3], std: [0.25; 3] };

fn two_scales(branch: &str) -> NetworkSpec {
    described(&format!(
        "network two-scales {{
            input half
            block trunk {{ conv a out=8 kernel=3 padding=1; batch-norm n; relu; max-pool kernel=2; conv b out=8 kernel=3 padding=1; batch-norm m; relu; global-avg-pool }}
            parallel join=concat {{ branch {{ trunk }}; branch {branch} {{ trunk }} }}
            dropout share=0.1
            linear fc
        }}"
    ))
}

#[test]
fn a_training_with_two_scales_ends_in_the_same_bytes() {
    let mut models = Vec::new();
    for branch in ["small from=half", "from=half share=#true"] {
        let bench = Bench::new();
        let views = bench.views();
        let params = params(&[("network", Value::Network(Box::new(two_scales(branch))))]);
        models.push(same_bytes(&bench, &params, &views, &[&[3], &[5, 9]]));
    }
    assert_ne!(models[0], models[1]);
}

/// A network that sees the surroundings of its patches.
fn wide(branch: &str) -> NetworkSpec {
    let text = format!(
        "network surroundings {{
            input wide
            input half
            block trunk {{ conv a out=8 kernel=3 padding=1; batch-norm n; relu; max-pool kernel=2; conv b out=8 kernel=3 padding=1; batch-norm m; relu; global-avg-pool }}
            parallel join=concat {{ branch {{ trunk }}; branch {branch} {{ trunk }}; branch small from=half {{ trunk }} }}
            linear fc
        }}"
    );
    described(&text)
}

/// The bytes of the patch in the middle of each canvas.
fn middles(batch: &PixelBatch, size: usize) -> Vec<u32> {
    let (side, edge) = (batch.size, (batch.size - size) / 2);
    let canvases = batch.pixels.chunks_exact(side * side * 3);
    let middle = |canvas: &[f32]| -> Vec<u32> {
        let rows = (edge..edge + size).map(|row| &canvas[(row * side + edge) * 3..][..size * 3]);
        rows.flatten().map(|value| value.to_bits()).collect()
    };
    canvases.flat_map(middle).collect()
}

#[test]
fn a_patch_has_the_same_bytes_with_and_without_its_surroundings() {
    let folder = tempfile::tempdir().expect("a folder");
    let objects = Objects::open(folder.path()).expect("objects");
    let all = Augmentation {
        flip_horizontal: 0.5,
        transpose: 0.5,
        rotate_degrees: 60.0,
        shift_px: 3.0,
        brightness: 0.3,
        contrast: 0.4,
        saturation: 0.3,
        hue: 0.05,
        blur_probability: 0.5,
        blur_sigma: 1.5,
        ..Augmentation::none()
    };
    let flips = Augmentation { flip_horizontal: 0.5, flip_vertical: 0.5, transpose: 0.5, ..Augmentation::none() };
    let recipes = [
        None,
        Some(flips),
        Some(Augmentation { mixup_alpha: 0.4, ..all.clone() }),
        Some(Augmentation { cutmix_alpha: 1.0, ..all.clone() }),
        Some(Augmentation { fill: Fill::Black, ..all.clone() }),
        Some(all),
    ];
    for margin in [8, 11] {
        for recipe in &recipes {
            let set = Made { margin, ..Made::small() }.set(&objects);
            let open = || OpenPatchSet::open(set.clone(), recipe.clone(), NORMAL, &objects).expect("samples");
            let (plain, around) = (open(), open().for_network(&wide("large from=wide"), &objects).expect("a margin"));
            let draws = plain.all();
            let batch = Batch { parts: vec![20, draws.len() - 20], draws };
            let streams = Streams::new(3, "train");
            let fed = |samples: &OpenPatchSet| match samples.fed_augmented(PixelsMadeBy::Loader, &batch, &streams, 2) {
                Fed::Made(batch) => batch,
                Fed::Stored(..) => panic!("the loader makes pixels"),
            };
            let (one, other) = (fed(&plain), fed(&around));
            assert_eq!([one.size, other.size], [16, 32]);
            assert_eq!(one.targets, other.targets, "{recipe:?}");
            let bits: Vec<u32> = one.pixels.iter().map(|value| value.to_bits()).collect();
            assert_eq!(middles(&other, 16), bits, "{recipe:?}");
            assert_eq!(around.fed_augmented(PixelsMadeBy::Card, &batch, &streams, 2), Fed::Made(other));
            let plain = plain.plain(&batch.draws).pixels;
            let canvas = around.plain(&batch.draws);
            assert_eq!(middles(&canvas, 16), plain.iter().map(|value| value.to_bits()).collect::<Vec<_>>());
        }
    }
}

#[test]
fn the_surroundings_are_those_of_the_stored_patch() {
    let folder = tempfile::tempdir().expect("a folder");
    let objects = Objects::open(folder.path()).expect("objects");
    let set = Made { margin: 8, ..Made::small() }.set(&objects);
    let shard = Shard::open(&set.parts[0], &set.info, &objects).expect("a shard");
    let samples = OpenPatchSet::open(set.clone(), None, NORMAL, &objects).expect("samples");
    let samples = samples.for_network(&wide("large from=wide"), &objects).expect("a margin");
    let canvas = samples.plain(&samples.all()[..1]).pixels;
    let bytes = shard.pixels(0).iter().map(|byte| (f32::from(*byte) / 255.0 - 0.5) / 0.25);
    assert!(canvas.iter().zip(bytes).all(|(found, wanted)| (found - wanted).abs() < 1e-6));
    assert_eq!(canvas.len(), 32 * 32 * 3);
    // A margin that is too small, and what the augmentation reaches.
    let set = Made { margin: 7, ..Made::small() }.set(&objects);
    let samples = OpenPatchSet::open(set, None, NORMAL, &objects).expect("samples");
    let error = samples.for_network(&wide("large from=wide"), &objects).map(|_| ()).expect_err("too small");
    assert!(error.has_code("missing-input"), "{error}");
    assert!(error.to_string().contains("patches of 16 px with a margin of 8 px, but theirs is 7 px"), "{error}");
    let turning = |degrees, shift| Augmentation { rotate_degrees: degrees, shift_px: shift, ..Augmentation::none() };
    // 16 (sqrt 2 - 1/2) = 14.6.
    assert_eq!(turning(180.0, 0.0).reach(32, 16), 15);
    assert_eq!(turning(0.0, 2.0).reach(32, 16), 10);
    assert_eq!(turning(45.0, 0.0).reach(16, 16), 4);
}

#[test]
fn a_training_with_surroundings_ends_in_the_same_bytes_and_predicts() {
    for branch in ["large from=wide", "from=wide share=#true"] {
        let bench = Bench::with_margins(8, 8);
        let views = bench.views();
        let params = params(&[("network", Value::Network(Box::new(wide(branch))))]);
        let model = same_bytes(&bench, &params, &views, &[&[3], &[5, 9]]);
        let info = Classifier::info(&model, &bench.objects).expect("a model");
        assert_eq!(info.inputs.iter().map(|input| input.name()).collect::<Vec<_>>(), ["half", "wide"]);
        let classifier = Classifier::read(&model, &bench.objects).expect("a model");
        let scores = |margin, tta| {
            let set = Made { margin, first: 70, ..Made::small() }.set(&bench.objects);
            let scoring = Scoring { batch: 5, tta };
            predict(&classifier, &set, &bench.objects, scoring, &Watcher::default(), &Watcher::default().stop)
        };
        let found = scores(8, Tta::None).expect("scores");
        assert_eq!(found.len(), 3 * 14 * 2);
        assert_eq!(scores(8, Tta::Dihedral).expect("scores").len(), found.len());
        let error = scores(4, Tta::None).expect_err("too small");
        assert!(error.has_code("missing-input"), "{error}");
    }
    // Patches of validation with too small a margin.
    let bench = Bench::with_margins(8, 0);
    let params = params(&[("network", Value::Network(Box::new(wide("large from=wide"))))]);
    let error = bench.train(&params, &bench.data, &bench.partial("valid"), &Watcher::default()).expect_err("too small");
    assert!(error.has_code("missing-input") && error.to_string().contains("theirs is 0 px"), "{error}");
}

#[test]
fn what_the_augmentation_reaches_beyond_the_margin_is_a_warning() {
    let bench = Bench::with_margins(8, 8);
    let params = params(&[("network", Value::Network(Box::new(wide("large from=wide"))))]);
    let out = bench.train(&params, &bench.views(), &bench.partial("a"), &Watcher::default()).expect("a fit");
    let warnings: Vec<&str> = out.summary.warnings.iter().map(|warning| warning.text.as_str()).collect();
    assert!(
        warnings.iter().any(|text| text.contains("`wide`") && text.contains("extract with `margin 13`")),
        "{warnings:?}"
    );
}

#[test]
fn a_model_of_an_earlier_version_has_one_input() {
    let bench = Bench::new();
    let model = bench.model("one", &params(&[]), &bench.data);
    let bytes = bench.objects.read_in(&model, "model.json").expect("read").expect("there");
    let text = String::from_utf8(bytes.to_vec()).expect("text");
    assert!(!text.contains("inputs"), "{text}");
    let info: ModelInfo = serde_json::from_str(&text).expect("it parses");
    assert!(info.inputs.is_empty() && info.sides() == [16, 16]);
}
