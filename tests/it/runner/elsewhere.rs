//! Several processes on one store: a stage that another one computes is waited for, while other stages run.

use std::time::{Duration, Instant};

use macula::lang::spec::Pipeline;
use macula::plan::Decision;
use macula::run::Event;
use macula::store::{Accept, EVERYWHERE, Lookup};

use super::bench::{Bench, Came, pipeline, source, wrap};

/// Three independent stages, one at a time.
fn bench() -> (Bench, Pipeline) {
    let mut bench = Bench::new();
    bench.options.jobs = 1;
    bench.write("in.txt", "x");
    let stages = ["a", "b", "c"].map(|name| wrap(name, "in", name));
    let pipeline = pipeline([vec![source("in", "file", "in.txt")], stages.to_vec()].concat());
    (bench, pipeline)
}

/// The stages of some events, in order.
fn told(came: &Came, of: fn(&Event) -> Option<&String>) -> Vec<&str> {
    came.events.iter().filter_map(of).map(String::as_str).collect()
}

fn began(event: &Event) -> Option<&String> {
    if let Event::StageBegan { stage, .. } = event { Some(stage) } else { None }
}

fn waits(event: &Event) -> Option<&String> {
    if let Event::StageWaits { stage } = event { Some(stage) } else { None }
}

#[test]
fn what_another_process_computes_takes_no_slot() {
    let (bench, pipeline) = bench();
    let keys = bench.explain(&pipeline, |name, decision, _| match decision {
        Decision::Run(task) => Some((name, task.key)),
        _ => None,
    });
    let keys: Vec<_> = keys.into_iter().flatten().collect();
    let others = bench.store();
    let Ok(Lookup::Miss(claim, _)) = others.lookup(&keys[0].1, EVERYWHERE, Accept::AnyTarget) else {
        panic!("nobody computes it")
    };
    let came = std::thread::scope(|scope| {
        let run = scope.spawn(|| bench.run(&pipeline));
        let there = |key| others.find(key, EVERYWHERE, Accept::AnyTarget).is_ok_and(|found| found.is_ok());
        let begun = Instant::now();
        while !keys[1..].iter().all(|(_, key)| there(key)) {
            assert!(begun.elapsed() < Duration::from_mins(1), "the other stages are not computed");
            std::thread::sleep(Duration::from_millis(5));
        }
        // The other process gives up.
        drop(claim);
        run.join().expect("no panic")
    });
    let came = came.done();
    assert_eq!(came.computed(), ["a", "b", "c"]);
    assert_eq!(told(&came, waits), ["a"]);
    // In reverse order, so that the two processes meet.
    assert_eq!(told(&came, began), ["c", "b", "a"]);
}
