//! Networks with several inputs, taps and shared tensors: kernels against candle, against networks that share nothing, and loading.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use macula::base::Streams;
use macula::engine::network::{JoinedPixels, JoinedShapes, Missing, Network, Weights, canvas};
use macula::lang::builtin_network;
use macula::lang::network::NetworkSpec;

use super::candle::{compare, floats, loss, network, pixels};
use super::formula::described;
use super::networks::{SHARED, SURROUNDED, TAPPED};

#[test]
fn surroundings_of_the_kernels_mean_what_candle_computes() {
    for side in [12, 14] {
        let spec = described(SURROUNDED);
        assert_eq!(canvas(&spec, side), 2 * side);
        compare(&spec, &pixels(5, 2 * side, 2 * side), side, "", (2e-5, 2e-4));
    }
    let Err(error) = Network::new(&described(SURROUNDED), 13, 4, &Streams::new(7, "test")) else { panic!("odd") };
    assert!(error.to_string().contains("even sides"), "{error}");
}

#[test]
fn a_canvas_is_cropped_and_averaged_as_by_hand() {
    // Global means of the patch, of the canvas, and of the patch again: in evaluation, both are means over their pixels.
    let spec = described(
        "network means { input wide; parallel join=concat { branch { }; branch from=wide { } }; global-avg-pool; linear fc }",
    );
    let size = 6;
    let batch = pixels(3, 2 * size, 2 * size);
    let mut one = network(&spec, size);
    let mut weight = vec![0.0; 4 * 6];
    // Logit k is mean k of the six, the first four of them.
    (0..4).for_each(|at| weight[at * 6 + at] = 1.0);
    one.set("fc.weight", &weight).expect("a tensor");
    one.set("fc.bias", &[0.0; 4]).expect("a tensor");
    let logits = floats(&one.forward(&batch).expect("a forward pass"));
    let values = floats(&batch);
    for (image, logits) in values.chunks_exact(4 * size * size * 3).zip(logits.chunks_exact(4)) {
        let mean = |channel: usize, edge: usize| {
            let rows = edge..2 * size - edge;
            let pixels = rows.clone().flat_map(|row| rows.clone().map(move |column| row * 2 * size + column));
            let values: Vec<f32> = pixels.map(|pixel| image[pixel * 3 + channel]).collect();
            values.iter().sum::<f32>() / values.len() as f32
        };
        let wanted = [mean(0, size / 2), mean(1, size / 2), mean(2, size / 2), mean(0, 0)];
        assert!(
            logits.iter().zip(wanted).all(|(found, wanted)| (found - wanted).abs() < 1e-5),
            "{logits:?} {wanted:?}"
        );
    }
}

#[test]
fn taps_and_inputs_of_the_kernels_mean_what_candle_computes() {
    for side in [14, 16] {
        let spec = described(TAPPED);
        compare(&spec, &pixels(5, side, side), side, "", (2e-5, 2e-4));
        compare(&spec, &pixels(5, side, side), side, "s", (2e-5, 2e-4));
    }
}

#[test]
fn embeddings_of_the_kernels_mean_what_candle_computes() {
    let spec = described(
        "network joined {
            input whole
            input grid
            parallel join=concat {
                branch { conv a out=6 kernel=3; batch-norm n; relu; global-avg-pool }
                branch from=whole { linear seen out=5; relu }
                branch from=grid { conv look out=4 kernel=3 padding=1; batch-norm m; relu; global-avg-pool }
                branch from=whole
            }
            linear fc
        }",
    );
    assert_eq!(spec.embeddings().into_iter().collect::<Vec<_>>(), ["grid", "whole"]);
    joined_agree(&spec, &[("grid", [3, 5, 2]), ("whole", [1, 1, 7])]);
    let Err(error) = Network::new(&spec, 9, 4, &Streams::new(7, "test")) else { panic!("not joined") };
    assert!(error.has_code("missing-input") && error.to_string().contains("input `grid`"), "{error}");
}

#[test]
fn a_network_may_read_an_embedding_and_no_pixels() {
    let spec = builtin_network("attention-bag").expect("in the standard library");
    joined_agree(&spec, &[("cells", [4, 3, 6])]);
}

/// Compares the kernels with candle on patches with embeddings of these shapes.
fn joined_agree(spec: &NetworkSpec, embeddings: &[(&str, [usize; 3])]) {
    let shapes: JoinedShapes = embeddings.iter().map(|(name, shape)| ((*name).to_owned(), *shape)).collect();
    let made = || Network::joined(spec, 9, &shapes, 4, &Streams::new(7, "test")).expect("a network");
    let values = |count: usize, step: f32| (0..count).map(|at| (at as f32 * step).sin()).collect::<Vec<f32>>();
    let count = 3;
    let joined: Vec<Vec<f32>> =
        embeddings.iter().map(|(_, shape)| values(count * shape.iter().product::<usize>(), 0.7)).collect();
    let batch = JoinedPixels::new(floats(&pixels(count, 9, 9)), count, 9, joined.clone()).expect("a batch");
    let mut kernels = made();
    let mut reference = made().on_candle(Device::Cpu, DType::F64);
    let near = |ours: &[f32], theirs: &[f32], tolerance: f32| {
        let scale = theirs.iter().fold(0.0_f32, |most, value| most.max(value.abs())).max(1e-6);
        ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(a, b)| (a - b).abs() <= tolerance * scale)
    };
    let frozen = vec![false; kernels.parameters().len()];
    let pass = |network: &mut Network| {
        let logits =
            network.forward_train(&batch, &frozen, Streams::new(7, "test").stream("dropout", 0, &[])).expect("logits");
        let values = floats(&logits);
        network.backward(&loss(&logits)).expect("a backward pass");
        (values, network.gradient().to_vec(), network.running().to_vec())
    };
    let (ours, theirs) = (pass(&mut kernels), pass(&mut reference));
    assert!(near(&ours.0, &theirs.0, 2e-5) && near(&ours.1, &theirs.1, 2e-4) && near(&ours.2, &theirs.2, 2e-5));
    assert!(ours.1.iter().any(|value| *value != 0.0));
    let evaluated = |network: &Network| floats(&network.forward(&batch).expect("logits"));
    assert!(near(&evaluated(&kernels), &evaluated(&reference), 2e-5));
    // A batch without them, or with too few, is a mistake of the caller.
    let short = JoinedPixels::new(floats(&pixels(count, 9, 9)), count, 9, joined[1..].to_vec()).expect("a batch");
    assert!(kernels.forward(&short).is_err() && kernels.forward(&pixels(count, 9, 9)).is_err());
}

#[test]
fn shared_tensors_of_the_kernels_mean_what_candle_computes() {
    let spec = described(SHARED);
    for frozen in ["", "norm", "stem"] {
        compare(&spec, &pixels(5, 18, 18), 18, frozen, (2e-5, 2e-4));
    }
}

/// A trained step: gradients and running statistics by name.
fn step(network: &mut Network, batch: &Tensor) -> (BTreeMap<String, Vec<f32>>, BTreeMap<String, Vec<f32>>) {
    let frozen = vec![false; network.parameters().len()];
    let dropout = Streams::new(7, "test").stream("dropout", 0, &[]);
    let logits = network.forward_train(batch, &frozen, dropout).expect("a forward pass");
    network.backward(&loss(&logits)).expect("a backward pass");
    let gradient = |parameter: &macula::engine::network::Parameter| {
        (parameter.name.clone(), network.gradient()[parameter.range.clone()].to_vec())
    };
    let gradients = network.parameters().iter().map(gradient).collect();
    let statistics = network.tensors().into_iter().filter(|(name, _)| name.contains("running_"));
    (gradients, statistics.map(|(name, (_, values))| (name, values)).collect())
}

/// As [`SHARED`], with branches that have their own tensors.
fn separate() -> NetworkSpec {
    described(
        &SHARED
            .replace("branch from=half share=#true", "branch two from=half")
            .replace("branch from=patch share=#true", "branch three from=patch"),
    )
}

#[test]
fn the_gradient_of_a_shared_tensor_is_the_sum_of_those_of_its_uses() {
    let (mut shared, mut separate) = (network(&described(SHARED), 18), network(&separate(), 18));
    let tensors = shared.tensors();
    let own = separate.tensors().into_iter().map(|(name, (shape, _))| {
        let bare = name.strip_prefix("two.").or_else(|| name.strip_prefix("three.")).unwrap_or(&name).to_owned();
        (name, (shape, tensors[&bare].1.clone()))
    });
    let weights = Weights { file: "weights.safetensors".to_owned(), tensors: own.collect(), ..Weights::default() };
    separate.load(&weights, Missing::Error).expect("it loads");
    let batch = pixels(5, 18, 18);
    let evaluated = floats(&shared.forward(&batch).expect("a forward pass"));
    assert_eq!(evaluated, floats(&separate.forward(&batch).expect("a forward pass")));
    let ((found, running), (each, of_each)) = (step(&mut shared, &batch), step(&mut separate, &batch));
    for (name, gradient) in &found {
        let uses = [format!("three.{name}"), format!("two.{name}"), name.clone()];
        let mut sum = vec![0.0; gradient.len()];
        for use_of in uses.iter().filter_map(|name| each.get(name)) {
            sum.iter_mut().zip(use_of).for_each(|(sum, value)| *sum += value);
        }
        assert_eq!(*gradient, sum, "{name}: the same bytes, in the order of the backward pass");
    }
    // A batch norm moves its running statistics once per use: 0.9 (0.9 (0.9 x + 0.1 a) + 0.1 b) + 0.1 c.
    for (name, values) in &running {
        for (at, value) in values.iter().enumerate() {
            let start = tensors[name].1[at];
            let batch = |name: &str| (of_each[name][at] - 0.9 * start) / 0.1;
            let uses = [batch(name), batch(&format!("two.{name}")), batch(&format!("three.{name}"))];
            let wanted = uses.iter().fold(start, |running, batch| 0.9 * running + 0.1 * batch);
            assert!((value - wanted).abs() <= 1e-5 * wanted.abs().max(1.0), "{name}: {value}, not {wanted}");
        }
    }
}

#[test]
fn a_network_that_shares_its_trunk_loads_and_saves_the_names_of_torchvision() {
    let two_scales = |branch: &str| {
        described(&format!(
            "network two-scales {{ input half; parallel join=concat {{ branch {{ resnet18 to=features }}; branch {branch} {{ resnet18 to=features }} }}; linear head }}"
        ))
    };
    let trunk = network(&builtin_network("resnet18").expect("it is built in"), 64);
    let weights = Weights { file: "resnet18.safetensors".to_owned(), tensors: trunk.tensors(), ..Weights::default() };
    let mut shared = network(&two_scales("from=half share=#true"), 64);
    let report = shared.load(&weights, Missing::Initialise).expect("it loads");
    assert_eq!(report.missing, ["head.bias", "head.weight"]);
    assert_eq!(report.unexpected, ["fc.bias", "fc.weight"]);
    assert_eq!(shared.tensors()["layer4.1.bn2.running_var"], trunk.tensors()["layer4.1.bn2.running_var"]);
    assert_eq!(shared.zero_gamma(None).len(), 8, "each once");
    let mut named = network(&two_scales("small from=half"), 64);
    let report = named.load(&weights, Missing::Initialise).expect("it loads");
    assert_eq!(
        (report.missing, report.bare),
        (vec!["head.bias".to_owned(), "head.weight".to_owned()], vec!["small.".to_owned()])
    );
    // Saved and loaded, also on candle, it computes the same.
    let saved = Weights::parse("saved.safetensors", &shared.save().expect("saved")).expect("it parses");
    let mut loaded = network(&two_scales("from=half share=#true"), 64);
    assert_eq!(loaded.load(&saved, Missing::Error).expect("it loads").missing, [""; 0]);
    let batch = pixels(3, 64, 64);
    let logits = floats(&loaded.forward(&batch).expect("a forward pass"));
    assert_eq!(logits, floats(&shared.forward(&batch).expect("a forward pass")));
    let candle = floats(&loaded.on_candle(Device::Cpu, DType::F64).forward(&batch).expect("a forward pass"));
    assert!(logits.iter().zip(&candle).all(|(one, other)| (one - other).abs() < 1e-3 * other.abs().max(1.0)));
}

#[test]
fn folded_batch_norms_that_are_shared_are_calibrated_over_both_uses() {
    let spec = described(
        "network small { input half; parallel join=concat { branch { conv a out=4 kernel=3 bias=#false; batch-norm n; global-avg-pool }; branch from=half share=#true { conv a out=4 kernel=3 bias=#false; batch-norm n; global-avg-pool } }; linear fc }",
    );
    let mut one = network(&spec, 12);
    let mut tensors = one.tensors();
    for end in ["weight", "bias", "running_mean", "running_var"] {
        tensors.remove(&format!("n.{end}"));
    }
    tensors.insert("a.bias".to_owned(), (vec![4], vec![0.5, -0.25, 0.0, 1.0]));
    let weights = Weights { file: "folded.safetensors".to_owned(), tensors, ..Weights::default() };
    let report = one.load(&weights, Missing::Error).expect("it loads");
    assert_eq!(report.folded, ["n"]);
    let batch = pixels(6, 12, 12);
    let before = floats(&one.forward(&batch).expect("a forward pass"));
    one.calibrate(std::slice::from_ref(&batch)).expect("calibrated");
    let after = floats(&one.forward(&batch).expect("a forward pass"));
    assert!(before.iter().zip(&after).all(|(before, after)| (before - after).abs() < 1e-4), "{before:?} {after:?}");
    assert_ne!(one.tensors()["n.running_mean"].1, vec![0.0; 4]);
}
