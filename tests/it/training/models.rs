//! Models as inputs: scores over orientations, and trainings that start from a trained model.

use std::collections::BTreeMap;

use macula::data::patches::PatchSet;
use macula::lang::value::Value;
use macula::learn::loader::OpenPatchSet;
use macula::learn::metrics::sigmoid;
use macula::learn::model::{Classifier, Scoring, predict};
use macula::learn::tta::{Tta, turned};
use macula::stage::{Outcome, Params};
use macula::store::Tree;
use safetensors::SafeTensors;

use super::fitting::{Bench, text};
use super::made::{Watcher, params, run};

#[test]
fn scores_over_orientations_are_means_of_probabilities() {
    let bench = Bench::new();
    let tree = bench.model("model", &params(&[]), &bench.data);
    let model = Classifier::read(&tree, &bench.objects).expect("a model");
    let set = PatchSet::read(&bench.valid, &bench.objects).expect("a set");
    let watcher = Watcher::default();
    let scores = |tta| {
        predict(&model, &set, &bench.objects, Scoring { batch: 8, tta }, &watcher, &watcher.stop).expect("scores")
    };
    let samples = OpenPatchSet::open(set.clone(), None, model.info.normalisation, &bench.objects).expect("samples");
    let plain = samples.plain(&samples.all());
    let views: Vec<Vec<f32>> = (0..8).map(|view| model.logits(&turned(&plain, view)).expect("logits")).collect();
    for (at, (mean, own)) in scores(Tta::Dihedral).into_iter().zip(scores(Tta::None)).enumerate() {
        let expected = views.iter().map(|logits| sigmoid(logits[at])).sum::<f64>() / 8.0;
        assert!((mean - expected).abs() < 1e-12 && own == sigmoid(views[0][at]), "{at}");
    }
}

/// Starts a training from a model.
fn start(bench: &Bench, init: &Tree, params: &Params, data: &Tree, valid: &Tree) -> Outcome {
    let inputs = [("data", data), ("valid", valid), ("init", init)];
    let partial = bench.partial(&format!("start-{}", data.digest()));
    run("train", params, &inputs, 1, (&bench.objects, &partial), &Watcher::default()).expect("a fit")
}

/// Tensors of a file of a model.
fn tensors(bench: &Bench, tree: &Tree, file: &str) -> BTreeMap<String, Vec<u8>> {
    let bytes = bench.objects.read_in(tree, file).expect("read").expect("a file");
    let all = SafeTensors::deserialize(&bytes).expect("safetensors");
    all.tensors().into_iter().map(|(name, view)| (name, view.data().to_vec())).collect()
}

/// The same patches with another name for the second class.
fn renamed(bench: &Bench, tree: &Tree) -> Tree {
    let mut set = PatchSet::read(tree, &bench.objects).expect("a set");
    "C".clone_into(&mut set.info.classes[1]);
    set.write(&bench.objects).expect("written")
}

#[test]
fn a_training_starts_from_the_chosen_weights_of_a_model() {
    let bench = Bench::new();
    let model = bench.model("model", &params(&[]), &bench.data);
    // With everything frozen, the last weights are the initial ones.
    let still = [("freeze", Value::List(vec![text("")])), ("choose", text("last")), ("epochs", Value::Int(1))];
    let out = start(&bench, &model, &params(&still), &bench.data, &bench.valid);
    let first = tensors(&bench, &model, "weights.safetensors");
    assert_eq!(tensors(&bench, &out.outputs["out"], "last.safetensors"), first);
    assert!(
        out.summary.warnings.iter().all(|warning| !warning.code.starts_with("other-")),
        "{:?}",
        out.summary.warnings
    );
    // Other classes: the last layer begins as without a model, though it has as many outputs.
    let [data, valid] = [&bench.data, &bench.valid].map(|tree| renamed(&bench, tree));
    let normal = Value::List([0.5, 0.5, 0.5].map(Value::Real).to_vec());
    let other = [still.as_slice(), &[("normalise.mean", normal)]].concat();
    let out = start(&bench, &model, &params(&other), &data, &valid);
    let (last, fresh) =
        (tensors(&bench, &out.outputs["out"], "last.safetensors"), bench.model("fresh", &params(&still), &bench.data));
    let fresh = tensors(&bench, &fresh, "last.safetensors");
    for (name, values) in &last {
        assert_eq!(*values, if name.starts_with("fc.") { &fresh } else { &first }[name], "{name}");
    }
    assert!(first["fc.weight"] != fresh["fc.weight"]);
    let shown = format!("{:?}", out.summary.tables);
    assert!(shown.contains("initialised: other classes") && shown.contains("fc.bias, fc.weight"), "{shown}");
    assert!(out.summary.warnings.iter().any(|warning| warning.code == "other-normalisation"));
}
