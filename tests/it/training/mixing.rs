//! Mixup and `CutMix`: pixels, targets, and whole trainings.

use macula::base::Streams;
use macula::data::patches::{Label, PatchSet};
use macula::engine::augment::Augmentation;
use macula::engine::augment::mixing::Mixture;
use macula::engine::normalise::Normalisation;
use macula::engine::views::PixelsMadeBy;
use macula::lang::value::Value;
use macula::learn::loader::{Fed, OpenPatchSet, PixelBatch};
use macula::learn::sampler::Batch;
use macula::stage::Params;
use macula::store::Objects;

use super::fitting::Bench;
use super::lengths::same_bytes;
use super::made::{Made, SIZE, Watcher, params, recipe, run};

const NORMAL: Normalisation = Normalisation { mean: [0.5; 3], std: [0.25; 3] };

/// A set whose second patch has an unknown label of the second class, a mixed batch of it, and for each patch its partner and mixture.
fn mixed(recipe: &Augmentation, margin: u32) -> (PatchSet, PixelBatch, PixelBatch, Vec<(usize, Mixture)>) {
    let folder = tempfile::tempdir().expect("a folder");
    let objects = Objects::open(folder.path()).expect("objects");
    let mut set = Made { margin, ..Made::small() }.set(&objects);
    set.parts[0].rows[1].labels[1] = Label::Unknown;
    let samples = OpenPatchSet::open(set, Some(recipe.clone()), NORMAL, &objects).expect("samples");
    let streams = Streams::new(3, "train");
    // Two parts, which are not mixed with each other.
    let draws = samples.all();
    let batch = Batch { parts: vec![20, draws.len() - 20], draws };
    let fed = |maker| match samples.fed_augmented(maker, &batch, &streams, 2) {
        Fed::Made(batch) => batch,
        Fed::Stored(..) => panic!("mixed patches are made by the loader"),
    };
    assert_eq!(fed(PixelsMadeBy::Card), fed(PixelsMadeBy::Loader));
    let partners = batch.partners(|draw| streams.rank("mix-partner", 2, &draw.id(&samples.set)));
    assert!(partners[..20].iter().all(|at| *at < 20) && partners[20..].iter().all(|at| *at >= 20));
    let mixture =
        |at: usize| recipe.mixture(SIZE as usize, &mut streams.stream("mix", 2, &batch.draws[at].id(&samples.set)));
    let mixtures = partners.iter().enumerate().map(|(at, partner)| (*partner, mixture(at))).collect();
    (samples.set.clone(), samples.plain(&batch.draws), fed(PixelsMadeBy::Loader), mixtures)
}

/// Labels of a class, in the order of the set.
fn labels(set: &PatchSet, class: usize) -> Vec<Label> {
    set.parts.iter().flat_map(|part| &part.rows).map(|row| row.labels[class]).collect()
}

#[test]
fn mixup_blends_pixels_and_labels_and_unknown_labels_stay_unknown() {
    let (set, plain, mixed, mixtures) = mixed(&Augmentation { mixup_alpha: 0.4, ..Augmentation::none() }, 4);
    let targets: Vec<Option<f32>> = mixed.targets.iter().collect();
    let length = (SIZE * SIZE * 3) as usize;
    let (mut between, mut unknown) = (0, 0);
    for (at, (partner, mixture)) in mixtures.iter().enumerate() {
        let Mixture::Blend(weight) = *mixture else { panic!("{mixture:?}") };
        let pixel = |at: usize| f64::from(plain.pixels[at * length + 100]);
        let expected = weight * pixel(at) + (1.0 - weight) * pixel(*partner);
        assert!((f64::from(mixed.pixels[at * length + 100]) - expected).abs() < 1e-5);
        for class in 0..2 {
            let labels = labels(&set, class);
            let value = |label| if label == Label::Present { 1.0 } else { 0.0 };
            match (labels[at], labels[*partner], targets[at * 2 + class]) {
                (Label::Unknown, _, target) | (_, Label::Unknown, target) => {
                    assert_eq!(target, None);
                    unknown += 1;
                }
                (own, other, target) => {
                    let target = f64::from(target.expect("known"));
                    assert!((target - weight * value(own) - (1.0 - weight) * value(other)).abs() < 1e-6);
                    assert!(own != other || target == value(own), "equal labels stay what they are");
                    between += usize::from(own != other);
                }
            }
        }
    }
    assert!(between > 5 && unknown == 2, "{between} {unknown}");
}

#[test]
fn the_labels_of_a_pasted_box_come_from_masks_or_else_from_areas() {
    let recipe = Augmentation { cutmix_alpha: 1.0, ..Augmentation::none() };
    let (set, _, mixed_patches, mixtures) = mixed(&recipe, 4);
    let lesions = labels(&set, 0);
    let targets: Vec<Option<f32>> = mixed_patches.targets.iter().collect();
    let mut changed = 0;
    for (at, (partner, mixture)) in mixtures.iter().enumerate() {
        // The only mask pixel of a lesion is at column and row 12 with the margin of 4.
        let label = if mixture.pasted(8, 8) { lesions[*partner] } else { lesions[at] };
        assert_eq!(targets[at * 2], Some(f32::from(u8::from(label == Label::Present))), "{at} {mixture:?}");
        changed += usize::from(label != lesions[at]);
    }
    assert!(changed > 3, "{changed}");
    // Without masks.
    let (set, _, mixed_patches, mixtures) = mixed(&recipe, 0);
    let targets: Vec<Option<f32>> = mixed_patches.targets.iter().collect();
    let lesions = labels(&set, 0);
    for (at, (partner, mixture)) in mixtures.iter().enumerate() {
        let value = |at: usize| if lesions[at] == Label::Present { 1.0 } else { 0.0 };
        let own = mixture.own(SIZE as usize);
        let target = f64::from(targets[at * 2].expect("known"));
        assert!((target - own * value(at) - (1.0 - own) * value(*partner)).abs() < 1e-6, "{at} {mixture:?}");
    }
}

#[test]
fn a_training_on_mixed_patches_ends_in_the_same_bytes() {
    let bench = Bench::new();
    let mut mixing: Params = recipe(10.0, 2.0);
    mixing.0.extend(["mixup.alpha", "cutmix.alpha"].map(|name| (name.to_owned(), Value::Real(0.5))));
    let watcher = Watcher::default();
    let place = (&bench.objects, bench.partial("augment"));
    let out = run("augment", &mixing, &[("from", &bench.data)], 1, (place.0, &place.1), &watcher).expect("views");
    let rows = format!("{:?}", out.summary.tables[0].rows);
    assert!(rows.contains("labels are recomputed from masks") && rows.contains("labels are mixed"), "{rows}");
    let views = &out.outputs["out"];
    let params = params(&[("loss.label-smoothing", Value::Real(0.1))]);
    let model = same_bytes(&bench, &params, views, &[&[1], &[4, 1, 2], &[9, 3]]);
    assert_ne!(model, bench.model("plain", &params, &bench.views()));
}
