//! Trainings by candle, and trainings that change their device while they run.

use macula::engine::kernels;
use macula::lang::value::Value;
use macula::learn::model::Classifier;
use macula::stage::{Params, StageError};

use super::fitting::{Bench, text};
use super::lengths::same_bytes;
use super::made::{Watcher, params};
use crate::kernels::candle::{MIXED, TOKENS};
use crate::kernels::formula::described;

fn on(device: &str) -> Params {
    params(&[("device", text(device))])
}

#[test]
fn neither_threads_nor_interruptions_change_a_training_in_candle_on_one_machine() {
    let bench = Bench::new();
    let views = bench.views();
    let model = same_bytes(&bench, &on("candle"), &views, &[&[1], &[7], &[4, 1, 2]]);
    let info = Classifier::info(&model, &bench.objects).expect("a model");
    assert_eq!(info.kernel_path, "candle-cpu");
    assert_ne!(model, bench.model("kernels", &on("cpu"), &views), "candle rounds elsewhere");
}

#[test]
fn a_training_resumed_on_another_device_records_both_targets() {
    let bench = Bench::new();
    let (own, both) = (kernels::target(), format!("candle-cpu+{}", kernels::target()));
    for (first, then, said) in [
        ("cpu", "candle", format!("resumed at epoch 1, batch 5 on `candle-cpu`; begun on `{own}`")),
        ("candle", "cpu", format!("resumed at epoch 1, batch 5 on `{own}`; begun on `candle-cpu`")),
    ] {
        let partial = bench.partial(first);
        let watcher = Watcher { stop_after: Some(4), ..Watcher::default() };
        let stopped = bench.train(&on(first), &bench.data, &partial, &watcher);
        assert!(matches!(stopped, Err(StageError::Stopped)));
        let watcher = Watcher::default();
        let out = bench.train(&on(then), &bench.data, &partial, &watcher).expect("a fit");
        assert!(watcher.lines.lock().expect("no panic").contains(&said), "{said}: {:?}", watcher.lines);
        assert_eq!(out.target.as_ref(), Some(&both));
        let info = Classifier::info(&out.outputs["out"], &bench.objects).expect("a model");
        assert_eq!(info.kernel_path, both);
    }
}

#[test]
fn neither_threads_nor_interruptions_change_a_training_with_attention() {
    let bench = Bench::new();
    let network = params(&[("network", Value::Network(Box::new(described(TOKENS))))]);
    let model = same_bytes(&bench, &network, &bench.views(), &[&[1], &[2], &[3], &[7], &[4, 1, 2]]);
    assert_eq!(Classifier::info(&model, &bench.objects).expect("a model").kernel_path, kernels::target());
}

#[test]
fn layers_without_kernels_leave_a_training_on_the_target_of_the_kernels() {
    let bench = Bench::new();
    let views = bench.views();
    let with =
        |device: &str| params(&[("device", text(device)), ("network", Value::Network(Box::new(described(MIXED))))]);
    let model = same_bytes(&bench, &with("auto"), &views, &[&[1], &[7], &[4, 1, 2]]);
    assert_eq!(Classifier::info(&model, &bench.objects).expect("a model").kernel_path, kernels::target());
    assert_ne!(model, bench.model("candle", &with("candle"), &views), "some of it was computed by kernels");
}
