//! Map stages: one more item computes one.

use macula::lang::spec::Pipeline;
use macula::lang::value::Value;
use macula::plan::Decision;

use super::bench::{Bench, Came, With, pipeline, source, stage};

fn mapped(add: &str) -> Pipeline {
    pipeline(vec![
        source("in", "folder", "data"),
        stage("each", "each").given("from", &["in"]).add(add),
        stage("all", "join").given("of", &["each"]),
    ])
}

fn bench(items: usize) -> Bench {
    let bench = Bench::new();
    (0..items).for_each(|at| bench.write(&format!("data/{at:03}.txt"), &"z".repeat(at + 1)));
    bench
}

fn computed(came: &Came) -> Option<(u64, u64)> {
    came.report.record.stages["each"].items.map(Into::into)
}

#[test]
fn one_more_item_computes_one() {
    let bench = bench(20);
    assert_eq!(computed(&bench.run(&mapped("s")).done()), Some((20, 20)));
    bench.write("data/005b.txt", "new");
    let planned = bench.explain(&mapped("s"), |_, decision, _| match decision {
        Decision::Run(task) => task.items.map(Into::into),
        _ => None,
    });
    assert_eq!(planned, [None, Some((20, 21)), None]);
    let came = bench.run(&mapped("s")).done();
    assert_eq!(computed(&came), Some((1, 21)));
    assert!(came.text("each.out").contains("s005b.txt:330"), "the new item is in the result");
    std::fs::remove_file(bench.path("data/000.txt")).expect("removed");
    assert_eq!(computed(&bench.run(&mapped("s")).done()), Some((0, 20)));
}

/// For collection, the duration of the whole stage counts, not that of the last added item.
#[test]
fn a_result_is_known_to_cost_all_of_its_items_however_few_were_computed_last() {
    let bench = bench(20);
    let run = || bench.run(&mapped("s")).done().report.record.stages["each"].clone();
    let all = run();
    assert_eq!(all.full_seconds, all.last_seconds);
    bench.write("data/005b.txt", "new");
    let one = run();
    assert!(one.items.map(Into::into) == Some((1, 21)) && one.full_seconds > one.last_seconds, "{one:?}");
    std::fs::remove_file(bench.path("data/000.txt")).expect("removed");
    let none = run();
    assert!(none.items.map(Into::into) == Some((0, 20)) && none.full_seconds >= one.full_seconds, "{none:?}");
    assert_eq!(run().full_seconds, none.full_seconds, "reused");
}

#[test]
fn a_changed_parameter_computes_all_items() {
    let bench = bench(5);
    bench.run(&mapped("s")).done();
    assert_eq!(computed(&bench.run(&mapped("t")).done()), Some((5, 5)));
    assert_eq!(bench.run(&mapped("s")).done().of("each"), "reused");
}

#[test]
fn items_finished_next_to_a_failure_are_kept() {
    let mut bench = bench(6);
    bench.write("data/zzz.txt", "#");
    bench.options.threads = 1;
    let came = bench.run(&mapped("s"));
    assert!(came.report.failed[0].error.to_string().contains("`zzz.txt` begins with `#`"));
    bench.write("data/zzz.txt", "well");
    assert_eq!(computed(&bench.run(&mapped("s")).done()), Some((1, 7)));
}

#[test]
fn a_torn_tail_is_cut_off_and_a_flipped_byte_loses_one_item() {
    let bench = bench(8);
    let first = bench.run(&mapped("s")).done();
    let segment = || {
        let mut files = std::fs::read_dir(bench.path(".macula/v1/items")).expect("there are segments");
        files.next().expect("one segment").expect("readable").path()
    };
    let whole = std::fs::read(segment()).expect("readable");
    // A writer that died in the middle of the last record.
    std::fs::write(segment(), &whole[..whole.len() - 10]).expect("written");
    bench.store().forget(&first.report.record.stages["each"].key.expect("a key")).expect("forgotten");
    assert_eq!(computed(&bench.run(&mapped("s")).done()), Some((1, 8)));
    // A flipped byte in the second record.
    let mut damaged = std::fs::read(segment()).expect("readable");
    let at = damaged.len() / 8 + 60;
    damaged[at] ^= 1;
    std::fs::write(segment(), damaged).expect("written");
    bench.store().forget(&first.report.record.stages["each"].key.expect("a key")).expect("forgotten");
    let healed = bench.run(&mapped("s")).done();
    assert_eq!(computed(&healed), Some((1, 8)));
    assert_eq!(healed.texts(), first.texts());
}

#[test]
fn a_parameter_that_lists_items_changes_none_of_them() {
    let bench = Bench::new();
    let numbered =
        |add: &str, count: i64| pipeline(vec![stage("each", "numbered").add(add).with("count", Value::Int(count))]);
    assert_eq!(computed(&bench.run(&numbered("a", 3)).done()), Some((3, 3)));
    let more = bench.run(&numbered("a", 5)).done();
    assert_eq!(computed(&more), Some((2, 5)));
    assert!(more.text("each.out").contains("a004 of none"), "`one` is not given it: {}", more.text("each.out"));
    let fewer = bench.run(&numbered("a", 2)).done();
    assert_eq!(computed(&fewer), Some((0, 2)));
    assert!(!fewer.text("each.out").contains("a002"));
    assert_eq!(computed(&bench.run(&numbered("b", 2)).done()), Some((2, 2)), "another parameter changes all");
}

#[test]
fn a_small_memory_budget_still_ends() {
    let mut bench = bench(10);
    bench.options.memory = 3;
    bench.options.threads = 4;
    assert_eq!(computed(&bench.run(&mapped("s")).done()), Some((10, 10)));
}
