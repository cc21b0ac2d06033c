//! Augmentation and loading: transforms, recomputed labels, and batches that do not depend on the number of threads.

use macula::base::{Digest, Streams};
use macula::data::patches::Label;
use macula::engine::augment::geometry::Motion;
use macula::engine::augment::{Augmentation, Fill, Transform};
use macula::engine::normalise::Normalisation;
use macula::engine::views::PixelsMadeBy;
use macula::learn::loader::{Fed, OpenPatchSet, ahead, label_after};
use macula::learn::sampler::{Batch, Sampler, SamplingRule};
use macula::store::Objects;

use super::made::{Made, Watcher, recipe, run};

const NORMAL: Normalisation = Normalisation { mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] };

#[test]
fn an_augmentation_is_stored_with_its_views_and_warns_where_labels_can_be_lost() {
    let folder = tempfile::tempdir().expect("a folder");
    let objects = Objects::open(folder.path()).expect("objects");
    let views = |margin, degrees| {
        let tree = Made { margin, ..Made::small() }.set(&objects).write(&objects).expect("written");
        let out = run(
            "augment",
            &recipe(degrees, 0.0),
            &[("from", &tree)],
            1,
            (&objects, folder.path()),
            &Watcher::default(),
        );
        let out = out.expect("views");
        let codes: Vec<_> = out.summary.warnings.iter().map(|warning| warning.code.clone()).collect();
        (out.outputs["out"].clone(), codes)
    };
    let (tree, codes) = views(4, 10.0);
    assert!(codes.is_empty(), "{codes:?}");
    let bytes = objects.read_in(&tree, "recipe.json").expect("read").expect("there");
    let stored: Augmentation = serde_json::from_slice(&bytes).expect("JSON");
    assert_eq!((stored.rotate_degrees, stored.hue, stored.fill), (10.0, 0.02, Fill::Reflect));
    assert_eq!(views(0, 10.0).1, ["moved-labels", "no-margin"]);
    assert!(views(0, 0.0).1.is_empty(), "flips need neither");
}

#[test]
fn a_label_follows_its_lesion_out_of_the_patch_and_in_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let objects = Objects::open(folder.path()).expect("objects");
    let set = Made { margin: 4, ..Made::small() }.set(&objects);
    let shard = macula::data::patches::Shard::open(&set.parts[0], &set.info, &objects).expect("a shard");
    // Row 0 has one mask pixel of class 0 at the centre.
    let mask = shard.mask(0, 0);
    let moved = |shift| Transform { motion: Motion { shift: [shift, 0.0], ..Motion::none() }, ..Transform::none() };
    let label = |shift, was| label_after(&moved(shift), was, mask, &set.info);
    assert_eq!(label(0.0, Label::Present), Label::Present);
    assert_eq!(label(6.0, Label::Present), Label::Present);
    assert_eq!(label(8.0, Label::Present), Label::Absent);
    assert_eq!(label(6.0, Label::Absent), Label::Present);
    assert_eq!(label(8.0, Label::Unknown), Label::Unknown);
    assert_eq!(label_after(&moved(8.0), Label::Present, None, &set.info), Label::Present, "without a mask it stays");
}

#[test]
fn a_batch_depends_on_the_epoch_but_not_on_the_threads() {
    let folder = tempfile::tempdir().expect("a folder");
    let objects = Objects::open(folder.path()).expect("objects");
    let set = Made { margin: 4, ..Made::small() }.set(&objects);
    let changes = Augmentation::from_params(&recipe(10.0, 2.0)).expect("a recipe");
    let samples = OpenPatchSet::open(set, Some(changes), NORMAL, &objects).expect("samples");
    let (draws, streams) = (samples.all(), Streams::new(3, "train"));
    let batch = |threads, epoch| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        pool.install(|| samples.augmented(&draws, &streams, epoch))
    };
    let first = batch(1, 1);
    assert_eq!(first, batch(3, 1));
    assert_ne!(first.pixels, batch(1, 2).pixels);
    let (alone, size) = (samples.augmented(&draws[5..6], &streams, 1), 16 * 16 * 3);
    assert_eq!(alone.pixels, first.pixels[5 * size..6 * size], "a patch does not depend on its batch");
    let plain = samples.plain(&draws[..1]);
    assert!(plain.pixels.iter().all(|value| (-2.0..=2.0).contains(value)));
}

#[test]
fn stored_patches_and_transforms_give_the_pixels_of_the_loader() {
    let folder = tempfile::tempdir().expect("a folder");
    let objects = Objects::open(folder.path()).expect("objects");
    let set = Made { margin: 4, ..Made::small() }.set(&objects);
    let changes = Augmentation::from_params(&recipe(10.0, 6.0)).expect("a recipe");
    let samples = OpenPatchSet::open(set, Some(changes), NORMAL, &objects).expect("samples");
    let (draws, streams) = (samples.all(), Streams::new(3, "train"));
    let same = |given: Fed, made: Fed| match (given, made) {
        (Fed::Stored(views, labels), Fed::Made(batch)) => {
            assert_eq!((views.pixels(), labels), (batch.pixels, batch.targets));
        }
        other => panic!("{other:?}"),
    };
    same(samples.fed(PixelsMadeBy::Card, &draws), samples.fed(PixelsMadeBy::Loader, &draws));
    let augmented = |maker| samples.fed_augmented(maker, &Batch::whole(draws.clone()), &streams, 2);
    same(augmented(PixelsMadeBy::Card), augmented(PixelsMadeBy::Loader));
}

#[test]
fn enabling_one_transform_keeps_the_draws_of_the_others() {
    let still = Augmentation::from_params(&recipe(0.0, 0.0)).expect("a recipe");
    let turning = Augmentation { rotate_degrees: 30.0, blur_probability: 0.0, ..still.clone() };
    let streams = Streams::new(3, "train");
    for sample in 0_u8..20 {
        let [a, b] = [&still, &turning].map(|recipe| recipe.draw(&mut streams.stream("augment", 1, &[sample])));
        assert_eq!(a.jitter, b.jitter);
        assert_eq!(Motion { angle: 0.0, ..b.motion }, a.motion);
    }
}

#[test]
fn prefetched_batches_are_used_in_order_and_a_failure_ends_them() {
    let mut seen = Vec::new();
    let result = ahead(
        9,
        |at| at * at,
        |at, made| {
            seen.push((at, made));
            if at == 5 { Err("enough") } else { Ok(()) }
        },
    );
    assert_eq!(result, Err("enough"));
    assert_eq!(seen, (0..6).map(|at| (at, at * at)).collect::<Vec<_>>());
}

/// Patches of two epochs, their order and their transforms: if these bytes change, raise the version of `train`.
#[test]
fn order_and_augmentation_are_golden() {
    let folder = tempfile::tempdir().expect("a folder");
    let objects = Objects::open(folder.path()).expect("objects");
    let set = Made { margin: 4, ..Made::small() }.set(&objects);
    let changes = Augmentation::from_params(&recipe(10.0, 2.0)).expect("a recipe");
    let samples = OpenPatchSet::open(set, Some(changes), NORMAL, &objects).expect("samples");
    let (sampler, streams) = (Sampler { rule: SamplingRule::Natural, take: vec![1, 2] }, Streams::new(3, "train"));
    let bytes: Vec<u8> = [1, 2]
        .into_iter()
        .flat_map(|epoch| samples.augmented(&sampler.epoch(&samples.set, &streams, epoch), &streams, epoch).pixels)
        .flat_map(f32::to_le_bytes)
        .collect();
    assert_eq!(Digest::of(&bytes).short(), "e0a8f81b");
}
