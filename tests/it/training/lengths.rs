//! Trainings of a number of steps, and moving averages of their weights.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use macula::base::Digest;
use macula::data::patches::Label;
use macula::lang::value::Value;
use macula::learn::checkpoint::{Checkpoint, FILE, FitState};
use macula::learn::fit::metrics::EpochMetrics;
use macula::learn::model::Classifier;
use macula::learn::objective::Targets;
use macula::stage::{Params, StageError};
use macula::store::Tree;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use super::fitting::{Bench, text};
use super::made::{Watcher, params};

/// Parameters of a training of so many steps.
fn steps(count: i64, changed: &[(&str, Value)]) -> Params {
    let mut all = params(changed);
    all.0.insert("epochs".to_owned(), Value::None);
    all.0.insert("steps".to_owned(), Value::Int(count));
    all
}

/// Trains a model while it is stopped after each of these numbers of batches, and resumed.
fn resumed(bench: &Bench, params: &Params, data: &Tree, stops: &[u64]) -> Tree {
    let partial = bench.partial(&format!("stopped-{stops:?}"));
    for after in stops {
        let watcher = Watcher { stop_after: Some(*after), ..Watcher::default() };
        assert!(matches!(bench.train(params, data, &partial, &watcher), Err(StageError::Stopped)), "{stops:?}");
    }
    bench.train(params, data, &partial, &Watcher::default()).expect("a fit").outputs["out"].clone()
}

/// Asserts that neither threads nor interruptions change a model.
pub(super) fn same_bytes(bench: &Bench, params: &Params, data: &Tree, stops: &[&[u64]]) -> Tree {
    let whole = bench.model("whole", params, data);
    for threads in [1, 2, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        let model = pool.install(|| bench.model(&format!("{threads} threads"), params, data));
        assert_eq!(model, whole, "{threads} threads");
    }
    for stops in stops {
        assert_eq!(resumed(bench, params, data, stops), whole, "stopped after {stops:?} batches");
    }
    whole
}

/// All values of a file of a model, by tensor.
fn values(bench: &Bench, model: &Tree, file: &str) -> BTreeMap<String, Vec<f32>> {
    let bytes = bench.objects.read_in(model, file).expect("read").expect("a file");
    let tensors = SafeTensors::deserialize(&bytes).expect("safetensors");
    let floats = |name: &str| {
        let data = tensors.tensor(name).expect("a tensor").data();
        data.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().expect("four bytes"))).collect()
    };
    tensors.names().into_iter().map(|name| (name.to_owned(), floats(name))).collect()
}

#[test]
fn a_number_of_steps_is_the_same_for_sets_of_different_sizes() {
    let bench = Bench::new();
    let warm =
        [("schedule", text("cosine")), ("schedule.final", Value::Real(0.0)), ("schedule.warmup", Value::Real(0.2))];
    // 42 patches are 6 batches of 8 at most.
    let watcher = Watcher::default();
    let out = bench.train(&steps(14, &warm), &bench.data, &bench.partial("a"), &watcher).expect("a fit");
    assert_eq!(watcher.batches.load(Ordering::SeqCst), 14);
    let info = Classifier::info(&out.outputs["out"], &bench.objects).expect("a model");
    assert_eq!(info.epochs, 3, "the last epoch has 2 of 6 steps");
    assert!(out.summary.headline.contains(" of 3 chosen"), "{}", out.summary.headline);
    let shown = watcher.metrics.lock().expect("no panic");
    assert_eq!(
        shown.iter().map(|metrics| (metrics.epoch, metrics.epochs)).collect::<Vec<_>>(),
        [(1, 3), (2, 3), (3, 3)]
    );
    // The schedule reaches its end at the last step.
    let last = shown[2].values["learning-rate"].expect("a rate");
    assert!(last > 0.0 && last < 1e-3, "{last}");
    // Whole epochs are the same training, whichever way their number is given.
    assert_eq!(bench.model("steps", &steps(12, &warm), &bench.data), {
        let mut epochs = params(&warm);
        epochs.0.insert("epochs".to_owned(), Value::Int(2));
        bench.model("epochs", &epochs, &bench.data)
    });
    same_bytes(&bench, &steps(14, &warm), &bench.views(), &[&[3], &[6, 7], &[13], &[14]]);
    // A longer one does not continue from the incomplete epoch of a shorter one.
    let constant = |count, name: &str| bench.model(name, &steps(count, &[]), &bench.data);
    constant(8, "family/eight");
    assert_eq!(constant(14, "family/fourteen"), constant(14, "apart/fourteen"));
}

#[test]
fn averaged_weights_are_those_of_the_formula_and_are_what_is_validated_and_saved() {
    let bench = Bench::new();
    let last = [("choose", text("last")), ("start.prior-bias", Value::Bool(true))];
    let ema = |decay: f64| [last.as_slice(), &[("ema.decay", Value::Real(decay))]].concat();
    let raw = |count| {
        values(&bench, &bench.model(&format!("raw-{count}"), &steps(count, &last), &bench.data), "last.safetensors")
    };
    let model = bench.model("average", &steps(3, &ema(0.2)), &bench.data);
    let average = values(&bench, &model, "last.safetensors");
    assert_eq!(average, values(&bench, &model, "weights.safetensors"), "of the only epoch");
    // A learning rate of 0 leaves the initial weights; the running statistics begin at 0 and 1.
    let still = [last.as_slice(), &[("optimizer.lr", Value::Real(0.0))]].concat();
    let start = values(&bench, &bench.model("still", &steps(1, &still), &bench.data), "last.safetensors");
    let (one, two, three) = (raw(1), raw(2), raw(3));
    for (name, ours) in &average {
        for (at, ours) in ours.iter().enumerate() {
            let initial = match name.rsplit('.').next() {
                Some("running_mean") => 0.0,
                Some("running_var") => 1.0,
                Some("num_batches_tracked") => continue,
                _ => start[name][at],
            };
            // The decay of the first step is 2/11; from the second on, it is the constant.
            let mix = |decay: f64, average: f64, value: f32| decay * average + (1.0 - decay) * f64::from(value);
            let expected =
                mix(0.2, mix(0.2, mix(2.0 / 11.0, f64::from(initial), one[name][at]), two[name][at]), three[name][at]);
            assert!((f64::from(*ours) - expected).abs() < 1e-5, "{name} {at}: {ours} {expected}");
        }
    }
    assert_ne!(average, three);
    let metrics =
        |model: &Tree| bench.objects.read_in(model, "epochs.parquet").expect("read").expect("a table").to_vec();
    assert_ne!(
        metrics(&model),
        metrics(&bench.model("plain", &steps(3, &last), &bench.data)),
        "validated on the average"
    );
    // An average that forgets at once is the training itself.
    assert_eq!(
        bench.model("zero", &steps(3, &ema(0.0)), &bench.data),
        bench.model("none", &steps(3, &last), &bench.data)
    );
}

#[test]
fn a_resumed_training_keeps_its_average() {
    let bench = Bench::new();
    let params = params(&[("ema.decay", Value::Real(0.9)), ("schedule.warmup", Value::Real(0.2))]);
    same_bytes(&bench, &params, &bench.views(), &[&[1], &[4, 1, 2], &[6, 6], &[17]]);
}

#[test]
fn a_checkpoint_with_labels_of_an_earlier_macula_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(FILE);
    let targets = Targets::of(&[Label::Present, Label::Unknown, Label::Absent, Label::Present]);
    let none = Vec::new;
    let written = Checkpoint {
        state: FitState::default(),
        flat: none(),
        running: none(),
        first: none(),
        second: none(),
        best_flat: none(),
        best_running: none(),
        average: None,
        outputs: vec![0.5, -1.0, 2.0, 0.25],
        targets,
    };
    written.write(folder.path()).expect("written");
    assert_eq!(Checkpoint::<EpochMetrics>::read(folder.path()).as_ref(), Some(&written));
    let bytes = std::fs::read(&path).expect("a file");
    let tensors = SafeTensors::deserialize(&bytes[32..]).expect("safetensors");
    let mut views: BTreeMap<String, TensorView> = tensors.tensors().into_iter().collect();
    views.retain(|name, _| !["targets", "known"].contains(&name.as_str()));
    let labels = [Label::Present as u8, Label::Unknown as u8, Label::Absent as u8, Label::Present as u8];
    views.insert("labels".to_owned(), TensorView::new(Dtype::U8, vec![4], &labels).expect("a tensor"));
    let body = safetensors::serialize(views, None).expect("bytes");
    std::fs::write(&path, [Digest::of(&body).bytes().as_slice(), &body].concat()).expect("written");
    assert_eq!(Checkpoint::<EpochMetrics>::read(folder.path()), Some(written));
}
