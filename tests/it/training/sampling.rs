//! Patches of an epoch and their order.

use std::collections::BTreeMap;

use macula::base::Streams;
use macula::data::patches::{Health, Label, PatchSet};
use macula::lang::value::Value;
use macula::learn::sampler::{Batch, PatchDraw, Sampler, SamplingRule};
use macula::stage::StageError;
use macula::store::Objects;

use super::made::{Made, params};

fn set() -> PatchSet {
    let folder = tempfile::tempdir().expect("a folder");
    Made::small().set(&Objects::open(folder.path()).expect("objects"))
}

fn streams() -> Streams {
    Streams::new(7, "train")
}

fn places(mut draws: Vec<PatchDraw>) -> Vec<PatchDraw> {
    draws.sort_unstable();
    draws
}

#[test]
fn a_natural_epoch_holds_each_patch_once_in_its_own_order() {
    let set = set();
    let sampler = Sampler { rule: SamplingRule::Natural, take: vec![1, 1] };
    let [first, second] = [1, 2].map(|epoch| sampler.epoch(&set, &streams(), epoch));
    assert_eq!(first.len() as u64, set.len());
    assert_ne!(first, second);
    assert_eq!(places(first.clone()), places(second));
    assert_eq!(first, sampler.epoch(&set, &streams(), 1), "the same epoch again is the same");
    assert_ne!(first, sampler.epoch(&set, &Streams::new(8, "train"), 1), "another seed, another order");
    let batches = sampler.batches(&set, &streams(), 1, 5);
    let draws: Vec<PatchDraw> = batches.iter().flat_map(|batch| batch.draws.clone()).collect();
    assert_eq!(draws, first, "batches are the epoch, in its order");
    assert_eq!(batches[0], Batch::whole(first[..5].to_vec()));
}

#[test]
fn a_balanced_epoch_holds_every_lesion_patch_and_draws_healthy_ones_again() {
    let set = set();
    let health = |draw: &PatchDraw| draw.row(&set).health();
    let lesions = set.parts.iter().flat_map(|part| &part.rows).filter(|row| row.health() == Health::Lesion).count();
    let sampler = Sampler { rule: SamplingRule::Balanced { healthy_per_lesion_patch: 0.5 }, take: vec![1, 1] };
    let healthy = |epoch| {
        let draws = sampler.epoch(&set, &streams(), epoch);
        assert_eq!(draws.iter().filter(|draw| health(draw) == Health::Lesion).count(), lesions);
        places(draws.into_iter().filter(|draw| health(draw) == Health::Healthy).collect())
    };
    let chosen: Vec<_> = (1..=6).map(healthy).collect();
    assert_eq!(chosen[0].len(), lesions.div_ceil(2));
    assert!(chosen.iter().any(|other| *other != chosen[0]), "redrawn");
    let greedy = Sampler { rule: SamplingRule::Balanced { healthy_per_lesion_patch: 100.0 }, take: vec![1, 1] };
    assert_eq!(greedy.epoch(&set, &streams(), 1).len() as u64, set.len(), "no healthy patch is taken twice");
    let (wanted, there) = greedy.healthy(&set).expect("a wish");
    assert!(wanted > there);
}

#[test]
fn an_undetermined_patch_is_in_neither_pool() {
    let mut set = set();
    let count = |set: &PatchSet, health| {
        set.parts.iter().flat_map(|part| &part.rows).filter(|row| row.health() == health).count()
    };
    let healthy = count(&set, Health::Healthy);
    for row in set.parts.iter_mut().flat_map(|part| &mut part.rows).filter(|row| row.health() == Health::Healthy) {
        row.labels[1] = Label::Unknown;
    }
    let sampler = Sampler { rule: SamplingRule::Balanced { healthy_per_lesion_patch: 9.0 }, take: vec![1, 1] };
    assert!(healthy > 0);
    assert_eq!(sampler.epoch(&set, &streams(), 1).len(), count(&set, Health::Lesion));
}

#[test]
fn the_largest_take_of_a_patchs_classes_applies_and_each_copy_is_its_own_sample() {
    let set = set();
    let sampler = Sampler { rule: SamplingRule::Natural, take: vec![1, 3] };
    let draws = sampler.epoch(&set, &streams(), 1);
    for part in 0..set.parts.len() as u32 {
        for (row, facts) in (0..).zip(&set.parts[part as usize].rows) {
            let copies: Vec<_> = draws.iter().filter(|draw| (draw.part, draw.row) == (part, row)).collect();
            let wanted = if facts.labels[1] == Label::Present { 3 } else { 1 };
            assert_eq!(copies.len(), wanted);
            let ids: std::collections::BTreeSet<_> = copies.iter().map(|draw| draw.id(&set)).collect();
            assert_eq!(ids.len(), wanted);
        }
    }
}

#[test]
fn one_more_photograph_does_not_reorder_the_other_patches() {
    let folder = tempfile::tempdir().expect("a folder");
    let objects = Objects::open(folder.path()).expect("objects");
    let (few, more) = (Made::small().set(&objects), Made { photographs: 4, ..Made::small() }.set(&objects));
    let sampler = Sampler { rule: SamplingRule::Natural, take: vec![1, 1] };
    let mut grown = sampler.epoch(&more, &streams(), 1);
    grown.retain(|draw| draw.part < 3);
    assert_eq!(grown, sampler.epoch(&few, &streams(), 1));
}

#[test]
fn take_names_a_class_that_the_data_have() {
    let take = |name: &str| {
        let take = Value::Map(BTreeMap::from([(name.to_owned(), Value::Int(3))]));
        Sampler::from_params(&params(&[("take", take)]), &["SE".to_owned(), "MA".to_owned()])
    };
    assert_eq!(take("SE").expect("known").take, [3, 1]);
    let Err(StageError::Input { code, text, hint, field }) = take("se") else { panic!("an error of the user's") };
    assert_eq!((code, field.as_deref()), ("unknown-class", Some("take")));
    assert!(text.contains("`se`") && hint.expect("a hint").contains("did you mean `SE`?"));
}
