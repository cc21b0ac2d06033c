//! Complete trainings through the stages `augment` and `train`, on small synthetic patches.

use macula::data::patches::PatchSet;
use macula::lang::value::Value;
use macula::learn::model::{Classifier, Scoring, predict};
use macula::learn::tta::Tta;
use macula::stage::{Outcome, Params, StageError};
use macula::store::{Objects, Tree};
use std::collections::BTreeMap;
use std::path::Path;

use super::made::{Made, Watcher, params, recipe, run};

/// A store, training views and validation patches, and the stage that trains.
pub(super) struct Bench {
    pub(super) stage: &'static str,
    folder: tempfile::TempDir,
    pub(super) objects: Objects,
    pub(super) data: Tree,
    pub(super) valid: Tree,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::with_margins(4, 0)
    }

    /// With these margins around the patches of training and of validation, px.
    pub(super) fn with_margins(margin: u32, of_valid: u32) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let objects = Objects::open(&folder.path().join("objects")).expect("objects");
        let data = Made { margin, ..Made::small() }.set(&objects).write(&objects).expect("written");
        let valid = Made { first: 50, margin: of_valid, ..Made::small() };
        let valid = valid.set(&objects).write(&objects).expect("written");
        Self { stage: "train", folder, objects, data, valid }
    }

    /// The training patches with an augmentation.
    pub(super) fn views(&self) -> Tree {
        let watcher = Watcher::default();
        let out = run(
            "augment",
            &recipe(10.0, 2.0),
            &[("from", &self.data)],
            1,
            (&self.objects, self.folder.path()),
            &watcher,
        );
        out.expect("views").outputs["out"].clone()
    }

    pub(super) fn partial(&self, name: &str) -> std::path::PathBuf {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(&path).expect("a folder");
        path
    }

    pub(super) fn train(
        &self,
        params: &Params,
        data: &Tree,
        partial: &Path,
        watcher: &Watcher,
    ) -> Result<Outcome, StageError> {
        run(self.stage, params, &[("data", data), ("valid", &self.valid)], 1, (&self.objects, partial), watcher)
    }

    pub(super) fn model(&self, name: &str, params: &Params, data: &Tree) -> Tree {
        let out = self.train(params, data, &self.partial(name), &Watcher::default());
        out.unwrap_or_else(|error| panic!("{error}")).outputs["out"].clone()
    }
}

pub(super) fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

pub(super) fn mistake(result: Result<Outcome, StageError>) -> (&'static str, String, String) {
    match result {
        Err(StageError::Input { code, text, hint, .. }) => (code, text, hint.unwrap_or_default()),
        other => panic!("expected an error of the user's, got {other:?}"),
    }
}

#[test]
fn a_fit_learns_visible_classes_and_its_model_predicts_them() {
    let bench = Bench::new();
    let watcher = Watcher::default();
    let params = params(&[("epochs", Value::Int(12)), ("start.prior-bias", Value::Bool(true))]);
    let out = bench.train(&params, &bench.data, &bench.partial("a"), &watcher).expect("a fit");
    let tree = &out.outputs["out"];
    let names: Vec<_> = tree.entries.keys().map(String::as_str).collect();
    assert_eq!(names, ["epochs.parquet", "last.safetensors", "model.json", "weights.safetensors"]);
    let model = Classifier::read(tree, &bench.objects).expect("a model");
    assert_eq!(model.info.labels[0].present + model.info.labels[0].absent, 42);
    let set = PatchSet::read(&bench.valid, &bench.objects).expect("a set");
    let scores = |batch, tta| {
        predict(&model, &set, &bench.objects, Scoring { batch, tta }, &watcher, &watcher.stop).expect("scores")
    };
    for tta in [Tta::None, Tta::Dihedral] {
        assert_eq!(scores(5, tta), scores(42, tta), "the batch's size does not matter");
    }
    assert_ne!(scores(8, Tta::None), scores(8, Tta::Dihedral));
    let labels: Vec<_> = set.parts.iter().flat_map(|part| &part.rows).flat_map(|row| row.labels.clone()).collect();
    let scored = macula::learn::metrics::LabelledScores::new(2, scores(8, Tta::None), labels);
    for class in macula::learn::metrics::ranking(&scored) {
        assert!(class.average_precision.expect("positives") > 0.95, "{class:?}");
    }
    let epochs = watcher.metrics.lock().expect("no panic");
    assert_eq!(epochs.iter().map(|metrics| metrics.epoch).collect::<Vec<_>>(), (1..=12).collect::<Vec<_>>());
    for metrics in epochs.iter() {
        let named = |name: &str| metrics.values.get(name).copied().flatten().is_some_and(f64::is_finite);
        assert!(["training.loss", "valid.loss", "valid.average-precision.A", "learning-rate"].into_iter().all(named));
        assert!(metrics.columns.iter().all(|column| metrics.values.contains_key(&column.name)), "{metrics:?}");
        assert_eq!((metrics.epochs, metrics.columns[0].name.as_str()), (12, "valid.mean-average-precision"));
    }
    // The chosen epoch is the last one that was the best so far.
    let best = epochs.iter().rfind(|metrics| metrics.best).expect("a best epoch");
    assert_eq!(best.epoch, model.info.chosen_epoch);
    assert!(out.summary.headline.contains("chosen by average precision"), "{}", out.summary.headline);
    assert_eq!(out.summary.tables[1].rows.len(), 12);
}

#[test]
fn a_resumed_fit_ends_in_the_same_bytes() {
    let bench = Bench::new();
    let views = bench.views();
    // Momentum, dropout, a learning-rate schedule, oversampling: everything that a checkpoint must hold.
    let params = params(&[
        ("take", Value::Map(BTreeMap::from([("B".to_owned(), Value::Int(2))]))),
        ("sampler", text("balanced")),
        ("sampler.healthy-per-lesion-patch", Value::Real(0.5)),
        ("schedule", text("cosine")),
        ("schedule.final", Value::Real(0.1)),
        ("schedule.warmup", Value::Real(0.2)),
        ("loss", text("focal")),
        ("loss.gamma", Value::Real(2.0)),
        ("loss.class-weights", text("inverse-frequency")),
    ]);
    let whole = bench.model("whole", &params, &views);
    for stops in [vec![1], vec![4, 1, 2], vec![7], vec![9, 3]] {
        let partial = bench.partial(&format!("stopped-{stops:?}"));
        for after in &stops {
            let watcher = Watcher { stop_after: Some(*after), ..Watcher::default() };
            let result = bench.train(&params, &views, &partial, &watcher);
            assert!(matches!(result, Err(StageError::Stopped)), "{stops:?}");
        }
        let out = bench.train(&params, &views, &partial, &Watcher::default()).expect("a fit");
        assert_eq!(out.outputs["out"], whole, "stopped after {stops:?} batches");
    }
}

#[test]
fn a_stopped_fit_resumes_at_a_batch_that_exists() {
    let bench = Bench::new();
    let params = params(&[]);
    let watcher = Watcher::default();
    bench.train(&params, &bench.data, &bench.partial("whole"), &watcher).expect("a fit");
    let epochs = watcher.metrics.lock().expect("no panic").len() as u64;
    let batches = watcher.batches.load(std::sync::atomic::Ordering::SeqCst) / epochs;
    let last = format!("epoch 1, batch {batches}");
    for (after, expected) in [(batches - 1, last.as_str()), (batches, "epoch 1, validation")] {
        let partial = bench.partial(&format!("stopped-{after}"));
        let stopped = Watcher { stop_after: Some(after), ..Watcher::default() };
        assert!(matches!(bench.train(&params, &bench.data, &partial, &stopped), Err(StageError::Stopped)));
        assert_eq!(macula::stage::resume_note(&partial).as_deref(), Some(expected));
        let resumed = Watcher::default();
        bench.train(&params, &bench.data, &partial, &resumed).expect("a fit");
        let lines = resumed.lines.lock().expect("no panic");
        assert!(lines.contains(&format!("resumed at {expected}")), "{lines:?}");
    }
}

#[test]
fn a_damaged_checkpoint_is_not_used() {
    let bench = Bench::new();
    let whole = bench.model("whole", &params(&[]), &bench.data);
    let partial = bench.partial("damaged");
    let watcher = Watcher { stop_after: Some(4), ..Watcher::default() };
    assert!(bench.train(&params(&[]), &bench.data, &partial, &watcher).is_err());
    let file = partial.join("checkpoint.bin");
    let mut bytes = std::fs::read(&file).expect("a checkpoint");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).expect("written");
    let out = bench.train(&params(&[]), &bench.data, &partial, &Watcher::default()).expect("a fit");
    assert_eq!(out.outputs["out"], whole);
}

#[test]
fn two_runs_and_any_number_of_threads_give_the_same_model() {
    let bench = Bench::new();
    let views = bench.views();
    let first = bench.model("first", &params(&[]), &views);
    assert_eq!(bench.model("second", &params(&[]), &views), first);
    for threads in [1, 2, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        let model = pool.install(|| bench.model(&format!("{threads} threads"), &params(&[]), &views));
        assert_eq!(model, first, "{threads} threads");
    }
}

#[test]
fn a_changed_loss_keeps_initial_weights_order_and_augmentation() {
    let bench = Bench::new();
    let views = bench.views();
    // At learning rate 0 the last weights are the initial ones, and the running statistics show what was seen in which order.
    let still = |loss: &str, epochs, name: &str| {
        let params = params(&[
            ("loss", text(loss)),
            ("loss.gamma", Value::Real(2.0)),
            ("optimizer.lr", Value::Real(0.0)),
            ("epochs", Value::Int(epochs)),
        ]);
        bench.model(name, &params, &views)
    };
    let (bce, focal) = (still("bce", 2, "bce"), still("focal", 2, "focal"));
    assert_eq!(bce.get("last.safetensors"), focal.get("last.safetensors"));
    assert_ne!(bce.get("epochs.parquet"), focal.get("epochs.parquet"));
    assert_ne!(bce.get("last.safetensors"), still("bce", 1, "short").get("last.safetensors"), "the statistics do move");
}

#[test]
fn a_loss_that_is_not_a_number_stops_the_fit_and_keeps_the_last_good_weights() {
    let bench = Bench::new();
    let params = params(&[
        ("optimizer", text("sgd")),
        ("optimizer.momentum", Value::Real(0.0)),
        ("optimizer.nesterov", Value::Bool(false)),
        ("optimizer.lr", Value::Real(1e-3)),
        ("schedule", text("step")),
        ("schedule.every", Value::Int(1)),
        ("schedule.factor", Value::Real(1e38)),
    ]);
    let partial = bench.partial("nan");
    let (code, text, hint) = mistake(bench.train(&params, &bench.data, &partial, &Watcher::default()));
    assert_eq!(code, "nan-loss");
    assert!(text.contains("in epoch 2 at batch ") && text.contains("after epoch 1"), "{text}");
    assert!(hint.contains("optimizer.lr"), "{hint}");
    let kept = std::fs::read(partial.join("last-good.safetensors")).expect("kept");
    let tensors = safetensors::SafeTensors::deserialize(&kept).expect("safetensors");
    assert!(tensors.tensor("conv1.weight").is_ok());
}

#[test]
fn patience_ends_a_fit_that_no_longer_improves() {
    let bench = Bench::new();
    let params = params(&[
        ("optimizer.lr", Value::Real(0.0)),
        ("choose", text("loss")),
        ("epochs", Value::Int(20)),
        ("patience", Value::Int(2)),
        ("schedule", text("constant")),
        ("freeze", Value::List(vec![text("")])),
    ]);
    let model = Classifier::read(&bench.model("still", &params, &bench.data), &bench.objects).expect("a model");
    assert_eq!((model.info.chosen_epoch, model.info.epochs), (1, 3), "frozen throughout, nothing gets better");
}

#[test]
fn names_that_fit_no_tensor_are_refused_with_a_near_miss() {
    let bench = Bench::new();
    let params = params(&[("freeze", Value::List(vec![text("cnov1")]))]);
    let (code, text, hint) = mistake(bench.train(&params, &bench.data, &bench.partial("a"), &Watcher::default()));
    assert_eq!(code, "unknown-tensor");
    assert!(text.contains("`cnov1`") && hint.contains("did you mean `conv1`?"), "{text} {hint}");
}

#[test]
fn a_class_without_positives_is_a_warning_and_an_error_where_its_weight_is_needed() {
    let bench = Bench::new();
    let mut set = PatchSet::read(&bench.data, &bench.objects).expect("a set");
    for part in &mut set.parts {
        part.rows.retain(|row| row.labels[1] == macula::data::patches::Label::Absent);
    }
    let data = set.write(&bench.objects).expect("written");
    let out = bench.train(&params(&[]), &data, &bench.partial("a"), &Watcher::default()).expect("a fit");
    let warning = out.summary.warnings.iter().find(|warning| warning.code == "no-positives").expect("a warning");
    assert!(warning.text.contains("`B`"), "{}", warning.text);
    let params = params(&[("loss.class-weights", text("inverse-frequency"))]);
    let (code, text, _) = mistake(bench.train(&params, &data, &bench.partial("b"), &Watcher::default()));
    assert_eq!(code, "no-positives");
    assert!(text.contains("`B`"), "{text}");
}

/// The same patches in the same order give the same weights, whether the set or a sampler left out the others.
#[test]
fn weights_of_classes_count_what_an_epoch_draws() {
    let bench = Bench::new();
    let mut lesions = PatchSet::read(&bench.data, &bench.objects).expect("a set");
    for part in &mut lesions.parts {
        part.rows.retain(|row| row.labels.contains(&macula::data::patches::Label::Present));
    }
    let lesions = lesions.write(&bench.objects).expect("written");
    let usual = [("epochs", Value::Int(2)), ("choose", text("last")), ("loss.positive-weights", text("balanced"))];
    let balanced = [("sampler", text("balanced")), ("sampler.healthy-per-lesion-patch", Value::Real(0.0))];
    let last = |name: &str, changes: &[(&str, Value)], data: &Tree| bench.model(name, &params(changes), data).entries["last.safetensors"];
    let drawn = last("drawn", &[usual.as_slice(), &balanced].concat(), &bench.data);
    assert_eq!(drawn, last("left", &usual, &lesions));
    assert_ne!(drawn, last("all", &usual, &bench.data));
}

#[test]
fn a_frozen_part_is_named_completely() {
    let bench = Bench::new();
    let params = params(&[("freeze", Value::List(vec![text("conv")]))]);
    let (code, text, hint) = mistake(bench.train(&params, &bench.data, &bench.partial("a"), &Watcher::default()));
    assert_eq!(code, "unknown-tensor");
    assert!(text.contains("`conv`") && hint.contains("use the full name of a part: `conv1`"), "{text} {hint}");
}
