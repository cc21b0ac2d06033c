//! Pretraining of encoders: losses over pairs and their metrics against pytorch-metric-learning, batches, and whole fits.

use std::collections::{BTreeMap, BTreeSet};

use macula::base::Streams;
use macula::data::patches::{Label, PatchSet};
use macula::lang::network::{Layer, NetworkSpec};
use macula::lang::value::Value;
use macula::learn::objective::Targets;
use macula::learn::pretrain::settings::MetricLoss;
use macula::learn::pretrain::{
    Contrastive, Decks, HealthyAs, Mining, PerClass, Positives, PretrainedInfo, Retrieval, TripletLoss, Vectors,
    pair_objective,
};
use macula::learn::sampler::Batch;
use macula::stage::{ConnectedPorts, Outcome, Params, StageError};
use macula::store::{Objects, Tree};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use super::fitting::{Bench, mistake, text};
use super::lengths::same_bytes;
use super::made::{Made, Watcher, params, recipe, run, small};
use super::{expected, reals};

fn singles(values: &serde_json::Value) -> Vec<f32> {
    reals(values).into_iter().map(|value| value as f32).collect()
}

/// Labels from their letters, in rows or one after another.
fn labels(value: &serde_json::Value) -> Targets {
    let letters: String = value.as_array().expect("a list").iter().map(|text| text.as_str().expect("text")).collect();
    let label = |letter| match letter {
        'p' => Label::Present,
        'a' => Label::Absent,
        _ => Label::Unknown,
    };
    Targets::of(&letters.chars().map(label).collect::<Vec<_>>())
}

/// Compares value and gradient of a loss with those of a case. Behind the embedding are other outputs, which have no gradient.
fn matches(loss: MetricLoss, healthy: HealthyAs, set: &serde_json::Value, case: &serde_json::Value) {
    let (values, targets) = (singles(&set["embeddings"]), labels(&set["labels"]));
    let classes = set["classes"].as_u64().expect("a count") as usize;
    let width = values.len() / (targets.len() / classes);
    let columns = width + 2;
    let outputs: Vec<f32> = values.chunks_exact(width).flat_map(|row| row.iter().copied().chain([7.0, -1.0])).collect();
    let objective = pair_objective(loss, (classes, healthy), (width, columns));
    let (value, wanted) = (objective.value(&outputs, &targets), case["value"].as_f64().expect("a number"));
    assert!((value - wanted).abs() < 1e-9 * wanted, "{value} {wanted} {loss:?} {healthy:?}");
    let gradient = objective.gradient(&outputs, &targets);
    let wanted = reals(&case["gradient"]);
    let largest = wanted.iter().fold(0.0_f64, |most, slope| most.max(slope.abs()));
    assert!(largest > 1e-3);
    for (row, wanted) in gradient.chunks_exact(columns).zip(wanted.chunks_exact(width)) {
        for (ours, theirs) in row.iter().zip(wanted) {
            assert!((f64::from(*ours) - theirs).abs() < 1e-6 * largest, "{ours} {theirs} {loss:?} {healthy:?}");
        }
        assert_eq!(row[width..], [0.0, 0.0]);
    }
    assert_eq!(objective.of_set(&outputs, &targets), None);
}

const ALL_POSITIVES: [(&str, Positives); 3] =
    [("each-label", Positives::EachLabel), ("overlap", Positives::Overlap), ("same-set", Positives::SameSet)];

#[test]
fn losses_of_patches_with_one_label_are_those_of_pytorch_metric_learning() {
    let single = &expected("metric_losses")["single"];
    for (name, case) in single["cases"].as_object().expect("cases") {
        let (kind, number) = name.rsplit_once(' ').expect("a name and a number");
        let number: f64 = number.parse().expect("a number");
        // Whether healthy patches are a class does not matter: there are none.
        for healthy in [HealthyAs::Class, HealthyAs::Negative] {
            let triplet = |mining| MetricLoss::Triplet(TripletLoss { margin: number, mining });
            match kind {
                "contrastive" => {
                    for (_, positives) in ALL_POSITIVES {
                        let loss = Contrastive { temperature: number, positives };
                        matches(MetricLoss::Contrastive(loss), healthy, single, case);
                    }
                }
                "semi-hard" => matches(triplet(Mining::SemiHard), healthy, single, case),
                _ => matches(triplet(Mining::All), healthy, single, case),
            }
        }
    }
}

#[test]
fn losses_of_patches_with_several_and_unknown_labels_are_their_formulas() {
    let several = &expected("metric_losses")["several"];
    for case in several["cases"].as_array().expect("cases") {
        let healthy = if case["healthy"] == "class" { HealthyAs::Class } else { HealthyAs::Negative };
        let kind = case["kind"].as_str().expect("text");
        let loss = if case["loss"] == "contrastive" {
            let (_, positives) = ALL_POSITIVES.into_iter().find(|(name, _)| *name == kind).expect("a kind");
            MetricLoss::Contrastive(Contrastive { temperature: 0.2, positives })
        } else {
            let mining = match kind {
                "semi-hard" => Mining::SemiHard,
                "nearest" => Mining::Nearest,
                _ => Mining::All,
            };
            MetricLoss::Triplet(TripletLoss { margin: 0.3, mining })
        };
        matches(loss, healthy, several, case);
    }
}

#[test]
fn a_batch_without_pairs_has_no_loss_and_no_gradient() {
    let outputs = [1.0, 0.0, 0.0, 1.0, 1.0, 1.0];
    let (a, u) = (Label::Absent, Label::Unknown);
    for rows in [vec![u; 6], vec![a; 6]] {
        let targets = Targets::of(&rows);
        for loss in [
            MetricLoss::Contrastive(Contrastive { temperature: 0.1, positives: Positives::EachLabel }),
            MetricLoss::Triplet(TripletLoss { margin: 0.2, mining: Mining::Nearest }),
        ] {
            let objective = pair_objective(loss, (2, HealthyAs::Negative), (2, 2));
            assert_eq!(objective.value(&outputs, &targets), 0.0);
            assert_eq!(objective.gradient(&outputs, &targets), [0.0; 6]);
        }
    }
}

#[test]
fn retrieval_is_that_of_pytorch_metric_learning() {
    let retrieval = &expected("metric_losses")["retrieval"];
    let one_hot = |name: &str| {
        let classes = reals(&retrieval[name]).into_iter().map(|class| class as usize);
        let row = |class| (0..3).map(move |at| if at == class { Label::Present } else { Label::Absent });
        Targets::of(&classes.flat_map(row).collect::<Vec<_>>())
    };
    let (queries, references) = (singles(&retrieval["queries"]), singles(&retrieval["references"]));
    let found = Retrieval::of(
        &Vectors { values: &queries, width: 6, targets: &one_hot("asked") },
        &Vectors { values: &references, width: 6, targets: &one_hot("there") },
        3,
    );
    for (ours, theirs) in found.classes.iter().zip(reals(&retrieval["classes"])) {
        assert!((ours.mean_average_precision.expect("queries") - theirs).abs() < 1e-12, "{ours:?} {theirs}");
    }
}

fn set() -> PatchSet {
    let folder = tempfile::tempdir().expect("a folder");
    Made::small().set(&Objects::open(folder.path()).expect("objects"))
}

fn batches(set: &PatchSet, sampler: PerClass, epoch: u64) -> Vec<Batch> {
    sampler.batches(set, &Decks::new(set), &Streams::new(7, "pretrain"), epoch)
}

#[test]
fn a_batch_has_so_many_patches_of_each_class_in_so_many_views() {
    let set = set();
    let sampler = PerClass { classes: None, each: 4, views: 2 };
    let all = batches(&set, sampler, 1);
    assert_eq!(all.len() as u64, set.len().div_ceil(12));
    let mut healthy = BTreeSet::new();
    let mut drawn: BTreeMap<(u32, u32), u32> = BTreeMap::new();
    for batch in &all {
        assert_eq!((batch.draws.len(), &batch.parts[..]), (sampler.most(&Decks::new(&set)), &[24][..]));
        let mut patches: BTreeMap<(u32, u32), Vec<u32>> = BTreeMap::new();
        for draw in &batch.draws {
            patches.entry((draw.part, draw.row)).or_default().push(draw.copy);
        }
        assert_eq!(patches.len(), 12);
        for (patch, copies) in &patches {
            let times = drawn.entry(*patch).or_default();
            assert_eq!(copies, &[2 * *times, 2 * *times + 1], "each view of an epoch is augmented differently");
            *times += 1;
        }
        let count = |class: usize| {
            let rows = patches.keys().map(|(part, row)| &set.parts[*part as usize].rows[*row as usize]);
            rows.filter(|row| row.labels[class] == Label::Present).count()
        };
        // One with both classes may be taken for the first.
        assert!(count(0) >= 4 && count(1) >= 4, "{} {}", count(0), count(1));
        let rows = patches.keys().filter(|(part, row)| {
            set.parts[*part as usize].rows[*row as usize].labels == [Label::Absent, Label::Absent]
        });
        healthy.extend(rows.copied());
    }
    assert!(drawn.values().any(|times| *times > 1), "rare classes come again");
    assert_eq!(healthy.len(), 4 * all.len(), "no healthy patch comes again before all were drawn");
    assert_eq!(all, batches(&set, sampler, 1), "the same epoch again is the same");
    assert_ne!(all, batches(&set, sampler, 2));
}

#[test]
fn a_batch_of_some_classes_has_others_each_time_and_a_small_class_is_taken_whole() {
    let mut set = set();
    let of_two = batches(&set, PerClass { classes: Some(2), each: 3, views: 1 }, 1);
    let classes = |batch: &Batch| {
        let of = |draw: &macula::learn::sampler::PatchDraw| draw.row(&set).labels.clone();
        batch.draws.iter().map(of).collect::<BTreeSet<_>>()
    };
    assert!(of_two.iter().all(|batch| batch.draws.len() == 6));
    assert!(of_two.iter().map(classes).collect::<BTreeSet<_>>().len() > 1, "not always the same classes");
    // One patch of the second class is left.
    let mut left = 1;
    for row in set.parts.iter_mut().flat_map(|part| &mut part.rows).filter(|row| row.labels[1] == Label::Present) {
        row.labels[1] = if left > 0 { Label::Present } else { Label::Absent };
        left -= 1;
    }
    let positive = |batch: &Batch| batch.draws.iter().filter(|draw| draw.row(&set).labels[1] == Label::Present).count();
    assert_eq!(PerClass { classes: None, each: 4, views: 2 }.most(&Decks::new(&set)), 18);
    assert_eq!(PerClass { classes: Some(2), each: 4, views: 2 }.most(&Decks::new(&set)), 16);
    for batch in batches(&set, PerClass { classes: None, each: 4, views: 1 }, 1) {
        // The one patch may have been taken for the other class, which it has as well.
        assert!([8, 9].contains(&batch.draws.len()) && positive(&batch) == 1, "{}", batch.draws.len());
    }
}

/// The encoder of the small network.
fn encoder() -> NetworkSpec {
    let mut layers = small().layers;
    layers.pop();
    NetworkSpec::new("small to=features".to_owned(), layers)
}

/// Parameters of `pretrain`.
fn pretraining(changed: &[(&str, Value)]) -> Params {
    let mut all = params(&[
        ("network", Value::Network(Box::new(encoder()))),
        ("head", Value::List(vec![Value::Int(12), Value::Int(6)])),
        ("loss", text("contrastive")),
        ("loss.temperature", Value::Real(0.1)),
        ("loss.positives", text("each-label")),
        ("loss.healthy", text("class")),
        ("sampler", text("per-class")),
        ("sampler.each", Value::Int(3)),
        ("sampler.views", Value::Int(2)),
        ("choose", text("map-at-r")),
        ("references", Value::Int(30)),
    ]);
    for unknown in ["batch", "memory", "subset", "start.prior-bias"] {
        all.0.remove(unknown);
    }
    all.0.extend(changed.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    all
}

fn triplets() -> [(&'static str, Value); 3] {
    [("loss", text("triplet")), ("loss.margin", Value::Real(0.2)), ("loss.mining", text("semi-hard"))]
}

fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.stage = "pretrain";
    bench
}

fn tensors(bench: &Bench, tree: &Tree) -> BTreeMap<String, Vec<u8>> {
    let bytes = bench.objects.read_in(tree, "weights.safetensors").expect("read").expect("a file");
    let tensors = SafeTensors::deserialize(&bytes).expect("safetensors");
    let of = |name: &str| tensors.tensor(name).expect("a tensor").data().to_vec();
    tensors.names().into_iter().map(|name| (name.to_owned(), of(name))).collect()
}

#[test]
fn an_encoder_learns_to_tell_classes_apart() {
    let bench = bench();
    let watcher = Watcher::default();
    // Its colours are what one class is: they are not augmented.
    let longer = pretraining(&[("epochs", Value::Int(12)), ("optimizer.lr", Value::Real(3e-3))]);
    let out = bench.train(&longer, &bench.data, &bench.partial("a"), &watcher).expect("a fit");
    let tree = &out.outputs["out"];
    let names: Vec<_> = tree.entries.keys().map(String::as_str).collect();
    assert_eq!(names, ["epochs.parquet", "pretrained.json", "weights.safetensors"]);
    let own: BTreeSet<String> = encoder().tensors().into_iter().collect();
    assert_eq!(tensors(&bench, tree).into_keys().collect::<BTreeSet<_>>(), own, "without the projection");
    let metrics = &out.summary.metrics;
    let [found, chance] = [metrics["mean-average-precision-at-r"], 0.2];
    assert!(found > 0.7 && found > 2.0 * chance, "{metrics:?}");
    assert!(metrics["positive-distance"] < metrics["negative-distance"], "{metrics:?}");
    assert!(out.summary.headline.contains("chosen by MAP@R; validation MAP@R"), "{}", out.summary.headline);
    // Before training it found no more.
    let [macula::stage::Cell::Int(0), .., macula::stage::Cell::Real(before), _, _, _] =
        &out.summary.tables[1].rows[0][..]
    else {
        panic!("{:?}", out.summary.tables[1].rows[0])
    };
    assert!(
        *before <= found && out.summary.headline.contains(&format!("before training {before:.3}")),
        "{before} {found}"
    );
    let epochs = watcher.metrics.lock().expect("no panic");
    assert_eq!((epochs.len(), epochs[0].columns[0].name.as_str()), (12, "valid.mean-average-precision-at-r"));
    assert!(epochs[11].values["training.loss"] < epochs[0].values["training.loss"]);
}

#[test]
fn neither_threads_nor_interruptions_change_a_pretraining() {
    let more = [("schedule", text("cosine")), ("schedule.final", Value::Real(0.1)), ("ema.decay", Value::Real(0.9))];
    let of_contrastive = bench();
    same_bytes(&of_contrastive, &pretraining(&more), &of_contrastive.views(), &[&[1], &[2], &[3, 1], &[7]]);
    let of_triplets = bench();
    same_bytes(&of_triplets, &pretraining(&triplets()), &of_triplets.views(), &[&[2], &[6]]);
}

#[test]
fn candle_computes_the_same_pretraining_up_to_rounding() {
    let bench = bench();
    let loss = |device: &str| {
        let one = pretraining(&[("device", text(device)), ("epochs", Value::Int(1))]);
        let out = bench.train(&one, &bench.data, &bench.partial(device), &Watcher::default()).expect("a fit");
        (out.summary.metrics["loss"], out.summary.metrics["mean-average-precision-at-r"])
    };
    let ((ours, found), (theirs, there)) = (loss("cpu"), loss("candle"));
    assert!((ours - theirs).abs() < 1e-4 * theirs, "{ours} {theirs}");
    assert!((found - there).abs() < 0.05, "{found} {there}");
}

#[test]
fn a_longer_pretraining_continues_a_shorter_one() {
    let bench = bench();
    let of = |name: &str, epochs, watcher: &Watcher| {
        let longer = pretraining(&[("epochs", Value::Int(epochs))]);
        bench.train(&longer, &bench.data, &bench.partial(name), watcher).expect("a fit").outputs["out"].clone()
    };
    let whole = of("apart/whole", 3, &Watcher::default());
    of("two", 2, &Watcher::default());
    let watcher = Watcher::default();
    assert_eq!(of("three", 3, &watcher), whole);
    let lines = watcher.lines.lock().expect("no panic");
    assert!(lines.iter().any(|line| line.contains("continuing from a run of 2 epochs")), "{lines:?}");
}

/// A training of the small classifier that starts from `init`.
fn classifier(bench: &Bench, init: &Tree, changed: &[(&str, Value)]) -> Result<Outcome, StageError> {
    let inputs = [("data", &bench.data), ("valid", &bench.valid), ("init", init)];
    let partial = bench.partial("classifier");
    run("train", &params(changed), &inputs, 1, (&bench.objects, &partial), &Watcher::default())
}

#[test]
fn a_classifier_starts_from_a_pretrained_encoder() {
    let bench = bench();
    let encoder = bench.model("encoder", &pretraining(&[]), &bench.data);
    // Nothing but the layer that gives logits is new, so no `missing initialise` is needed.
    let still = Value::List(["conv1", "bn1", "a", "na", "b", "nb", "s", "ns"].map(text).to_vec());
    let fitted = classifier(&bench, &encoder, &[("freeze", still)]).expect("a fit");
    let (before, after) = (tensors(&bench, &encoder), tensors(&bench, &fitted.outputs["out"]));
    assert!(before.iter().all(|(name, values)| after[name] == *values));
    assert_eq!(after.len(), before.len() + 2);
    assert!(!fitted.summary.warnings.iter().any(|warning| warning.code.starts_with("other-")));
    // With the pixels of another normalisation it is warned of, and a tensor that the encoder lacks is missed.
    let halves = Value::List(vec![Value::Real(0.5); 3]);
    let other = classifier(&bench, &encoder, &[("normalise.mean", halves)]).expect("a fit");
    let warned = other.summary.warnings.iter().find(|warning| warning.code == "other-normalisation");
    assert!(warned.is_some_and(|warning| warning.text.starts_with("the initial weights were")), "{warned:?}");
    let mut deeper = small();
    deeper.layers.insert(
        7,
        Layer::Linear(macula::lang::network::Linear {
            name: "hidden".to_owned(),
            out: Some(8),
            bias: true,
            expects: None,
        }),
    );
    let (code, text, _) = mistake(classifier(&bench, &encoder, &[("network", Value::Network(Box::new(deeper)))]));
    assert_eq!(code, "weights-missing");
    assert!(text.contains("hidden") && !text.contains("`fc"), "{text}");
    let info: PretrainedInfo = {
        let bytes = bench.objects.read_in(&encoder, "pretrained.json").expect("read").expect("a file");
        serde_json::from_slice(&bytes).expect("JSON")
    };
    assert_eq!((info.scale, info.epochs, info.classes), (1, 3, vec!["A".to_owned(), "B".to_owned()]));
}

#[test]
fn a_pretraining_starts_from_a_model_and_the_projection_is_new() {
    let bench = bench();
    let model = Bench::new();
    let model = {
        let inputs = [("data", &bench.data), ("valid", &bench.valid)];
        let partial = model.partial("model");
        run("train", &params(&[]), &inputs, 1, (&bench.objects, &partial), &Watcher::default()).expect("a fit")
    };
    let inputs = [("data", &bench.data), ("valid", &bench.valid), ("init", &model.outputs["out"])];
    let partial = bench.partial("from");
    let still = pretraining(&[("optimizer.lr", Value::Real(0.0))]);
    let out = run("pretrain", &still, &inputs, 1, (&bench.objects, &partial), &Watcher::default()).expect("a fit");
    let (before, after) = (tensors(&bench, &model.outputs["out"]), tensors(&bench, &out.outputs["out"]));
    let kernels = |name: &&String| !name.contains("running");
    assert!(after.keys().filter(kernels).all(|name| after[name] == before[name]));
    let starts = &out.summary.tables[2];
    assert_eq!(starts.title, "initialisation of tensors");
    let text = format!("{:?}", starts.rows);
    assert!(text.contains("projection.0.bias") && text.contains("fc.weight"), "{text}");
    let codes: Vec<&str> = out.summary.warnings.iter().map(|warning| warning.code.as_str()).collect();
    assert_eq!(codes, ["same-views", "nothing-to-learn"], "the projection is not missed");
}

#[test]
fn a_hidden_layer_of_an_encoder_is_not_taken_for_its_output() {
    let bench = bench();
    let hidden = |out| {
        let linear =
            macula::lang::network::Linear { name: "hidden".to_owned(), out: Some(out), bias: true, expects: None };
        let mut network = encoder();
        network.layers.push(Layer::Linear(linear));
        network
    };
    let first = pretraining(&[("network", Value::Network(Box::new(hidden(8))))]);
    let first = bench.model("first", &first, &bench.data);
    let start = |out| {
        let inputs = [("data", &bench.data), ("valid", &bench.valid), ("init", &first)];
        let partial = bench.partial("second");
        let still =
            pretraining(&[("network", Value::Network(Box::new(hidden(out)))), ("optimizer.lr", Value::Real(0.0))]);
        run("pretrain", &still, &inputs, 1, (&bench.objects, &partial), &Watcher::default())
    };
    let second = start(8).expect("a fit").outputs["out"].clone();
    assert_eq!(tensors(&bench, &second)["hidden.weight"], tensors(&bench, &first)["hidden.weight"]);
    let (code, text, _) = mistake(start(7));
    assert_eq!(code, "weights-shape");
    assert!(text.contains("hidden.weight"), "{text}");
}

#[test]
fn batches_without_pairs_are_refused_before_anything_runs() {
    let check = macula::stages::find("pretrain").and_then(|stage| stage.check).expect("it checks its parameters");
    let refused = |changed: &[(&str, Value)]| -> usize {
        let found = check(&pretraining(changed), &ConnectedPorts::default()).expect("parameters of `pretrain`");
        assert!(found.iter().all(|error| error.has_code("no-pairs")), "{found:?}");
        found.len()
    };
    assert_eq!(refused(&[]), 0);
    assert_eq!(refused(&[("sampler.classes", Value::Int(2))]), 0);
    assert_eq!(refused(&[("sampler.classes", Value::Int(1))]), 1);
    assert_eq!(refused(&[("sampler.each", Value::Int(1))]), 0, "two views of a patch are a pair");
    assert_eq!(refused(&[("sampler.each", Value::Int(1)), ("sampler.views", Value::Int(1))]), 1);
}

#[test]
fn outputs_that_are_not_finite_end_a_pretraining() {
    let bench = bench();
    let encoder = bench.model("encoder", &pretraining(&[]), &bench.data);
    // A running mean that overflows behind the next convolution: only where running statistics are used.
    let bytes = bench.objects.read_in(&encoder, "weights.safetensors").expect("read").expect("a file");
    let tensors = SafeTensors::deserialize(&bytes).expect("safetensors");
    let mut views: BTreeMap<String, TensorView> = tensors.tensors().into_iter().collect();
    let huge: Vec<u8> = [-3e38_f32; 8].iter().flat_map(|value| value.to_le_bytes()).collect();
    views.insert("bn1.running_mean".to_owned(), TensorView::new(Dtype::F32, vec![8], &huge).expect("a tensor"));
    let mut init = Tree::default();
    let bytes = safetensors::serialize(views, None).expect("bytes");
    init.insert("diverged.safetensors", bench.objects.put(&bytes).expect("stored"));
    let inputs = [("data", &bench.data), ("valid", &bench.valid), ("init", &init)];
    let one = pretraining(&[("epochs", Value::Int(1))]);
    let fitted = run("pretrain", &one, &inputs, 1, (&bench.objects, &bench.partial("one")), &Watcher::default());
    let (code, text, _) = mistake(fitted);
    assert_eq!(code, "nan-loss");
    assert!(text.contains("an output is not a number in epoch 1 in the evaluation"), "{text}");
}

#[test]
fn data_without_pairs_are_refused() {
    let bench = bench();
    let fit = |changed: &[(&str, Value)], data: &Tree| {
        bench.train(&pretraining(changed), data, &bench.partial("wrong"), &Watcher::default())
    };
    let single = [("sampler.each", Value::Int(1)), ("sampler.views", Value::Int(1))];
    assert_eq!(mistake(fit(&single, &bench.data)).0, "no-pairs");
    let relabelled = |label: Label| {
        let mut set = PatchSet::read(&bench.data, &bench.objects).expect("a set");
        set.parts.iter_mut().flat_map(|part| &mut part.rows).for_each(|row| row.labels.fill(label));
        set.write(&bench.objects).expect("written")
    };
    let (code, text, _) = mistake(fit(&[], &relabelled(Label::Absent)));
    assert_eq!(code, "one-class");
    assert!(text.starts_with("all training patches are of class `healthy`"), "{text}");
    let (code, text, _) = mistake(fit(&[], &relabelled(Label::Unknown)));
    assert_eq!(code, "one-class");
    assert!(text.starts_with("no training patch has known labels"), "{text}");
    // Whole sets of labels are compared, but one is never known.
    let half = {
        let mut set = PatchSet::read(&bench.data, &bench.objects).expect("a set");
        set.parts.iter_mut().flat_map(|part| &mut part.rows).for_each(|row| row.labels[1] = Label::Unknown);
        set.write(&bench.objects).expect("written")
    };
    let (code, text, hint) = mistake(fit(&[("loss.positives", super::fitting::text("overlap"))], &half));
    assert_eq!(code, "one-class", "{text} {hint}");
    let seen = |row: &macula::data::patches::PatchRow| row.labels[0] == Label::Present;
    let partly = {
        let mut set = PatchSet::read(&bench.data, &bench.objects).expect("a set");
        for row in set.parts.iter_mut().flat_map(|part| &mut part.rows).filter(|row| !seen(row)) {
            row.labels = vec![Label::Unknown, Label::Present];
        }
        set.parts.iter_mut().flat_map(|part| &mut part.rows).for_each(|row| {
            if seen(row) {
                row.labels[1] = Label::Unknown;
            }
        });
        set.write(&bench.objects).expect("written")
    };
    let (code, text, hint) = mistake(fit(&[("loss.positives", super::fitting::text("same-set"))], &partly));
    assert_eq!(code, "no-pairs");
    assert!(text.contains("42 of 42 training patches") && hint.contains("each-label"), "{text}");
    // Validation patches have no class that training patches have.
    let without = |tree: &Tree, class: usize| {
        let mut set = PatchSet::read(tree, &bench.objects).expect("a set");
        set.parts.iter_mut().flat_map(|part| &mut part.rows).for_each(|row| row.labels[class] = Label::Absent);
        set.write(&bench.objects).expect("written")
    };
    let (data, valid) = (without(&bench.data, 1), without(&bench.valid, 0));
    let other = |choose: &str| {
        let (params, partial) =
            (pretraining(&[("choose", super::fitting::text(choose))]), bench.partial(&format!("other-{choose}")));
        let inputs = [("data", &data), ("valid", &valid)];
        run("pretrain", &params, &inputs, 1, (&bench.objects, &partial), &Watcher::default())
    };
    let (code, text, _) = mistake(other("map-at-r"));
    assert!(code == "no-positives" && text.contains("MAP@R"), "{code}: {text}");
    let warnings = other("loss").expect("a fit").summary.warnings;
    assert_eq!(warnings.iter().filter(|warning| warning.code == "no-positives").count(), 2, "{warnings:?}");
    let mut mixing = recipe(0.0, 0.0);
    mixing.0.extend([("mixup.alpha".to_owned(), Value::Real(0.4))]);
    let mixed = run(
        "augment",
        &mixing,
        &[("from", &bench.data)],
        1,
        (&bench.objects, &bench.partial("mixed")),
        &Watcher::default(),
    );
    let (code, _, hint) = mistake(fit(&[], &mixed.expect("views").outputs["out"]));
    assert_eq!(code, "mixed-labels");
    assert!(hint.contains("mixup"), "{hint}");
    let mut map = encoder();
    map.layers.pop();
    let (code, text, hint) = mistake(fit(&[("network", Value::Network(Box::new(map)))], &bench.data));
    assert_eq!(code, "patch-grid");
    assert!(text.contains("4 x 4 vectors of 16 values") && hint.contains("to=features"), "{text}");
}

#[test]
fn what_makes_few_pairs_is_warned_of() {
    let bench = bench();
    let many = [("sampler.classes", Value::Int(5)), ("sampler.each", Value::Int(40)), ("epochs", Value::Int(1))];
    let out = bench.train(&pretraining(&many), &bench.data, &bench.partial("many"), &Watcher::default());
    let codes: Vec<String> = out.expect("a fit").summary.warnings.into_iter().map(|warning| warning.code).collect();
    assert!(codes.starts_with(&["few-classes", "few-patches"].map(str::to_owned)), "{codes:?}");
    assert!(codes.contains(&"same-views".to_owned()), "{codes:?}");
    // Without any of its last layer but the bias, all patches are at one place.
    let mut flat = triplets().to_vec();
    flat.extend([("optimizer.lr", Value::Real(0.0)), ("head", Value::List(vec![Value::Int(6)]))]);
    let watcher = Watcher::default();
    let still = {
        let mut network = encoder();
        network.layers.push(Layer::Dropout(macula::lang::network::Dropout { share: 0.999 }));
        pretraining(&[flat, vec![("network", Value::Network(Box::new(network)))]].concat())
    };
    let out = bench.train(&still, &bench.views(), &bench.partial("flat"), &watcher).expect("a fit");
    let said = |lines: &[String]| lines.iter().filter(|line| line.contains("have collapsed")).count();
    assert_eq!(said(&watcher.lines.lock().expect("no panic")), 1, "when it begins, not in every epoch");
    assert!(out.summary.warnings.iter().any(|warning| warning.code == "collapsed"), "{:?}", out.summary.warnings);
}
