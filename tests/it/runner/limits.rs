//! Stages with transient errors are retried; stages over the time limit are stopped.

use std::time::Duration;

use macula::lang::spec::Pipeline;
use macula::lang::value::Value;
use macula::run::Event;
use macula::stage::StageError;

use super::bench::{Bench, Came, With, pipeline, source, stage, wrap};

/// A stage that fails a number of times, and one that needs it.
fn flaky(times: i64) -> Pipeline {
    let flaky = stage("flaky", "flaky").given("from", &["in"]).with("times", Value::Int(times));
    pipeline(vec![source("in", "file", "in.txt"), flaky, wrap("one", "flaky", "a")])
}

fn bench(retries: usize) -> Bench {
    let mut bench = Bench::new();
    bench.write("in.txt", "x");
    bench.options.limits.retries = retries;
    bench
}

fn retried(came: &Came) -> usize {
    let told = |event: &&Event| matches!(event, Event::Warned { warning, .. } if warning.code == "stage-retried");
    came.events.iter().filter(told).count()
}

#[test]
fn a_fault_that_can_pass_is_tried_again() {
    let came = bench(2).run(&flaky(2)).done();
    assert_eq!((came.text("one.out"), came.of("flaky"), retried(&came)), ("a(well)", "computed", 2));
}

#[test]
fn a_fault_that_does_not_pass_fails_its_stage() {
    let came = bench(1).run(&flaky(3));
    assert_eq!((came.of("flaky"), came.of("one"), retried(&came)), ("failed", "not-run", 1));
    assert!(came.report.failed[0].error.to_string().contains("timed out"), "{}", came.report.failed[0].error);
}

#[test]
fn a_stage_that_takes_too_long_is_ended_and_gone_on_from() {
    let mut bench = Bench::new();
    let waits = || pipeline(vec![stage("slow", "waits")]);
    bench.options.limits.timeout = Some(Duration::from_millis(300));
    let came = bench.run(&waits());
    assert_eq!(came.report.record.ended.name(), "failed");
    let error = &came.report.failed[0].error;
    assert!(matches!(error, StageError::Input { code: "stage-timeout", .. }), "{error}");
    assert_eq!(bench.run(&waits()).done().text("slow.out"), "from the checkpoint");
}
