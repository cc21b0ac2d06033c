//! Garbage collection: what may be deleted is, a later run produces the same bytes, and a concurrent run is never
//! harmed.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use macula::lang::spec::Pipeline;
use macula::lang::value::Value;
use macula::store::collect::{Collected, Mode, Policy, collect};
use macula::store::{Accept, Inventory, StageOutcome, Store, verify};
use proptest::prelude::*;

use super::bench::{Bench, With, pipeline, source, stage, wrap};

/// `big` makes a large output from a small input; `last` is small and needs it.
fn chain(add: &str) -> Pipeline {
    pipeline(vec![
        source("in", "folder", "data"),
        stage("each", "each").given("from", &["in"]).add(add),
        wrap("one", "in", add),
        stage("last", "join").given("of", &["each", "one"]),
    ])
}

fn bench() -> Bench {
    let bench = Bench::new();
    (0..4).for_each(|at| bench.write(&format!("data/{at}"), &at.to_string()));
    bench
}

fn gc(bench: &Bench, policy: Policy) -> Collected {
    let now = bench.host.nanoseconds();
    let said = collect(&bench.store(), policy, Mode::DryRun, now).expect("said");
    let done = collect(&bench.store(), policy, Mode::Sweep, now).expect("collected");
    assert_eq!(said, done, "a dry run says what is done");
    let inventory = Inventory::of(&bench.store()).expect("listed");
    assert_eq!(inventory.bytes(), done.before - done.bytes);
    let look = Store::open_read_only(&bench.path(".macula")).expect("there");
    assert_eq!(verify::verify(&look, &inventory).expect("verified").findings, []);
    done
}

const KEEP_ONE: Policy = Policy { keep_runs: Some(1), younger_than: None, max_size: None };

#[test]
fn without_flags_only_what_nothing_names_goes() {
    let bench = bench();
    bench.run(&chain("a")).done();
    let store = bench.store();
    store.objects.put(&[7; 5000]).expect("stored");
    store.objects.publish().expect("published");
    let beside = collect(&bench.store(), Policy::default(), Mode::Sweep, 0).expect("collected");
    assert_eq!((beside.bytes, beside.living), (0, 1), "a living process put it there");
    drop(store);
    let alone = gc(&bench, Policy::default());
    assert_eq!((alone.bytes, alone.unnamed, alone.objects, alone.results.len()), (5000, 5000, 1, 0));
    assert_eq!(bench.run(&chain("a")).done().computed(), [""; 0]);
}

#[test]
fn the_last_runs_keep_what_they_used() {
    let bench = bench();
    let texts = ["a", "b", "c"].map(|add| bench.run(&chain(add)).done().texts().clone());
    let gone = gc(&bench, KEEP_ONE);
    assert_eq!(gone.results.len(), 6, "three stages of two runs");
    assert!(gone.bytes > 8 * 100_000, "their large objects go: {gone:?}");
    assert!(gone.seconds > 0.0);
    assert_eq!(bench.run(&chain("c")).done().computed(), [""; 0]);
    assert_eq!(bench.run(&chain("a")).done().texts(), &texts[0]);
}

#[test]
fn a_pinned_run_keeps_what_it_used() {
    let bench = bench();
    let first = bench.run(&chain("a")).done();
    bench.run(&chain("b")).done();
    bench.store().pin(&first.report.record.id).expect("pinned");
    assert_eq!(gc(&bench, KEEP_ONE).results.len(), 0);
    bench.store().unpin(&first.report.record.id).expect("unpinned");
    assert_eq!(gc(&bench, KEEP_ONE).results.len(), 3);
}

#[test]
fn what_was_used_lately_stays() {
    let bench = bench();
    bench.run(&chain("a")).done();
    let hour = 3_600_000_000_000;
    let policy = Policy { younger_than: Some(hour), ..Policy::default() };
    assert_eq!(gc(&bench, policy).results.len(), 0);
    let later = bench.host.nanoseconds() + 2 * hour;
    let gone = collect(&bench.store(), policy, Mode::Sweep, later).expect("collected");
    assert_eq!(gone.results.len(), 3);
    assert!(bench.run(&chain("a")).done().computed().len() == 3);
}

#[test]
fn what_is_big_and_cheap_goes_first_and_no_more_than_must() {
    let bench = bench();
    bench.run(&chain("a")).done();
    let whole = Inventory::of(&bench.store()).expect("listed").bytes();
    let gone = gc(&bench, Policy { max_size: Some(whole - 1000), ..Policy::default() });
    let stages: Vec<&str> = gone.results.iter().map(|gone| &*gone.maker.stage).collect();
    assert!(stages == ["each"] || stages == ["last"], "one of the two large results: {stages:?}");
    let enough = gc(&bench, Policy { max_size: Some(whole), ..Policy::default() });
    assert_eq!(enough.results.len(), 0);
}

#[test]
fn items_of_an_unfinished_stage_stay() {
    let mut bench = bench();
    bench.write("data/zzz", "#");
    bench.options.threads = 1;
    assert_eq!(bench.run(&chain("a")).report.failed.len(), 1);
    bench.run(&wrap_alone()).done();
    gc(&bench, KEEP_ONE);
    bench.write("data/zzz", "well");
    assert_eq!(bench.run(&chain("a")).done().report.record.stages["each"].items.map(Into::into), Some((1, 5)));
}

fn wrap_alone() -> Pipeline {
    pipeline(vec![source("in", "folder", "data"), wrap("one", "in", "z")])
}

#[test]
fn what_a_living_process_found_stays_until_it_ends() {
    let bench = bench();
    let first = bench.run(&chain("a")).done();
    bench.run(&chain("b")).done();
    let store = bench.store();
    let key = first.report.record.stages["last"].key.expect("a key");
    let found = store.find(&key, "any", Accept::AnyTarget).expect("looked up").expect("there");
    let gone = collect(&bench.store(), KEEP_ONE, Mode::Sweep, bench.host.nanoseconds()).expect("collected");
    assert_eq!((gone.living, gone.results.len()), (1, 2), "`each` and `one` of the first run");
    let entry = found.outputs["out"].tree(&store.objects).expect("readable").entries["text"];
    store.objects.read(&entry).expect("still readable");
    drop(store);
    assert_eq!(gc(&bench, KEEP_ONE).results.len(), 1);
}

/// The strictest collection in a loop, next to runs of changing pipelines: no run fails, repairs or produces different
/// bytes.
#[test]
fn a_run_next_to_collection_is_never_harmed() {
    let bench = bench();
    let expected = ["a", "b", "c"].map(|add| self::bench().run(&chain(add)).done().texts().clone());
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let collector = scope.spawn(|| {
            let mut rounds = 0;
            while !stop.load(Ordering::SeqCst) {
                let policy = Policy { max_size: Some(0), ..Policy::default() };
                collect(&bench.store(), policy, Mode::Sweep, bench.host.nanoseconds()).expect("collected");
                rounds += 1;
            }
            rounds
        });
        for round in 0..30 {
            let add = ["a", "b", "c"][round % 3];
            let came = bench.run(&chain(add)).done();
            assert_eq!(came.texts(), &expected[round % 3]);
            let repaired = came.report.record.stages.values().any(|stage| stage.became == StageOutcome::Repaired);
            assert!(!repaired, "nothing that it used went away: {:?}", came.report.record.stages);
        }
        stop.store(true, Ordering::SeqCst);
        assert!(collector.join().expect("no panic") > 10, "it was beside it");
    });
}

fn policy() -> impl Strategy<Value = Policy> {
    let keep_runs = prop::option::of(0..3usize);
    let max_size = prop::option::of(0..2_000_000u64);
    (keep_runs, prop::option::of(Just(0u64)), max_size).prop_map(|(keep_runs, younger_than, max_size)| Policy {
        keep_runs,
        younger_than,
        max_size,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, max_shrink_iters: 20, ..ProptestConfig::default() })]

    #[test]
    fn after_any_collection_a_run_makes_the_same_bytes(
        rounds in prop::collection::vec((0..3usize, policy(), 0..4u8), 1..6)
    ) {
        let bench = bench();
        for (add, policy, item) in rounds {
            let mut pipeline = chain(["a", "b", "c"][add]);
            pipeline.stages[1].params.insert("slow".into(), Value::Int(0).into());
            bench.write("data/0", &item.to_string());
            let before = bench.run(&pipeline).done();
            gc(&bench, policy);
            let after = bench.run(&pipeline).done();
            prop_assert_eq!(before.texts(), after.texts());
            let repaired = after.report.record.stages.values().any(|stage| stage.became == StageOutcome::Repaired);
            prop_assert!(!repaired);
        }
        fs::remove_dir_all(bench.path("results")).expect("deleted");
    }
}
