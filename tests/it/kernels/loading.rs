//! Weights from files: torchvision's names, missing and misfitting tensors, folded and calibrated batch norms.

use std::collections::BTreeMap;
use std::path::PathBuf;

use candle_core::{Device, Tensor};
use macula::base::Streams;
use macula::engine::network::{Missing, Network, ParameterRole, Weights};
use macula::stage::StageError;

use super::formula::{described, formula, resnet18, weights};
use crate::missing::missing;

type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

const WIDTHS: [usize; 4] = [8, 12, 16, 20];

fn network(seed: u64) -> Network {
    Network::new(&resnet18(WIDTHS), 64, 4, &Streams::new(seed, "test")).unwrap()
}

/// Network filled by the formula: running statistics and batch norms differ from the initial ones.
fn filled() -> Network {
    let mut network = network(1);
    network.load(&weights(&network.tensors()), Missing::Error).unwrap();
    network
}

fn pixels(n: usize) -> Tensor {
    Tensor::from_vec(formula("pixels", n * 64 * 64 * 3, -2.0, 2.0), (n, 64, 64, 3), &Device::Cpu).unwrap()
}

fn logits(network: &Network) -> Vec<f32> {
    network.forward(&pixels(6)).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn of(tensors: Tensors) -> Weights {
    Weights { file: "weights.safetensors".to_owned(), tensors, ..Weights::default() }
}

fn assert_near(found: &[f32], wanted: &[f32]) {
    let scale = wanted.iter().fold(0.0f32, |scale, value| scale.max(value.abs()));
    for (found, wanted) in found.iter().zip(wanted) {
        assert!((found - wanted).abs() < 1e-4 * scale, "{found}, not {wanted}");
    }
}

/// Batch norms folded into the preceding convolutions, as exporters do.
fn fold(tensors: &Tensors) -> Tensors {
    let mut folded = Tensors::new();
    for (name, (shape, values)) in
        tensors.iter().filter(|(name, _)| name.contains("conv") || name.contains("downsample.0"))
    {
        let conv = name.strip_suffix(".weight").unwrap();
        let norm = conv.replace("conv", "bn").replace("downsample.0", "downsample.1");
        let part = |end: &str| &tensors[&format!("{norm}.{end}")].1;
        let (mut kernel, mut bias) = (Vec::new(), Vec::new());
        for (out, values) in values.chunks_exact(values.len() / shape[0]).enumerate() {
            let scale = part("weight")[out] / (part("running_var")[out] + 1e-5).sqrt();
            kernel.extend(values.iter().map(|value| value * scale));
            bias.push(part("bias")[out] - part("running_mean")[out] * scale);
        }
        folded.insert(name.clone(), (shape.clone(), kernel));
        folded.insert(format!("{conv}.bias"), (vec![bias.len()], bias));
    }
    for name in ["fc.weight", "fc.bias"] {
        folded.insert(name.to_owned(), tensors[name].clone());
    }
    folded
}

#[test]
fn a_saved_network_loads_unchanged() {
    let saved = filled();
    let bytes = saved.save().unwrap();
    assert_eq!(bytes, saved.save().unwrap(), "saving twice gives the same bytes");
    let mut loaded = network(2);
    let report = loaded.load(&Weights::parse("saved", &bytes).unwrap(), Missing::Error).unwrap();
    assert!(report.missing.is_empty() && report.unexpected.is_empty() && report.replaced.is_empty());
    assert_eq!((loaded.flat(), loaded.running()), (saved.flat(), saved.running()));
    assert_eq!(logits(&loaded), logits(&saved));
}

#[test]
fn names_and_layouts_are_those_of_torchvision() {
    let tensors = network(1).tensors();
    assert_eq!(tensors.len(), 102, "62 parameters and 40 running statistics");
    assert_eq!(tensors["conv1.weight"].0, [8, 3, 7, 7]);
    assert_eq!(tensors["layer2.0.downsample.0.weight"].0, [12, 8, 1, 1]);
    assert_eq!(tensors["layer4.1.bn2.running_var"].0, [20]);
    assert_eq!(tensors["fc.weight"].0, [4, 20]);
}

#[test]
fn missing_tensors_are_listed_or_initialised() {
    let mut tensors = filled().tensors();
    for name in ["layer4.0.conv1.weight", "bn1.running_mean"] {
        tensors.remove(name).unwrap();
    }
    tensors.insert("extra.weight".to_owned(), (vec![1], vec![0.0]));
    let weights = of(tensors);
    let mut network = network(2);
    let before = network.flat().to_vec();
    let error = network.load(&weights, Missing::Error).err().unwrap().to_string();
    assert_eq!(
        error,
        "`weights.safetensors` lacks tensors of network `resnet18`: `bn1.running_mean`, `layer4.0.conv1.weight`"
    );
    assert_eq!(network.flat(), before, "a load that fails changes nothing");
    let report = network.load(&weights, Missing::Initialise).unwrap();
    assert_eq!(report.missing, ["bn1.running_mean", "layer4.0.conv1.weight"]);
    assert_eq!(report.unexpected, ["extra.weight"]);
    let kernel = network.parameters().iter().find(|one| one.name == "layer4.0.conv1.weight").unwrap().range.clone();
    assert_eq!(network.flat()[kernel.clone()], before[kernel]);
    assert_eq!(network.zero_gamma(Some(&report.missing)), ["layer4.0.bn2.weight"]);
    let gamma = network.parameters().iter().find(|one| one.name == "layer4.0.bn2.weight").unwrap();
    assert_eq!(gamma.role, ParameterRole::Gamma);
    assert!(network.flat()[gamma.range.clone()].iter().all(|gamma| *gamma == 0.0));
    assert_eq!(network.zero_gamma(None).len(), 8, "each block's last");
}

#[test]
fn weights_without_a_common_tensor_are_an_error_even_if_missing_tensors_are_initialised() {
    let weights = of(BTreeMap::from([("encoder.weight".to_owned(), (vec![1], vec![0.0]))]));
    let error = network(2).load(&weights, Missing::Initialise).err().unwrap();
    assert!(error.to_string().contains("and 96 more"), "{error}");
}

#[test]
fn wrong_shapes_name_tensor_and_both_shapes_except_in_the_head() {
    let mut tensors = filled().tensors();
    tensors.insert("fc.weight".to_owned(), (vec![1000, 20], vec![0.0; 20_000]));
    tensors.insert("fc.bias".to_owned(), (vec![1000], vec![0.0; 1000]));
    let mut network = network(2);
    let report = network.load(&of(tensors.clone()), Missing::Error).unwrap();
    assert_eq!(report.replaced, ["fc.bias", "fc.weight"]);
    assert_eq!(network.heads(), [("fc.weight".to_owned(), Some("fc.bias".to_owned()))]);
    tensors.insert("conv1.weight".to_owned(), (vec![64, 3, 7, 7], vec![0.0; 64 * 147]));
    tensors.insert("bn1.running_var".to_owned(), (vec![64], vec![1.0; 64]));
    let error = network.load(&of(tensors), Missing::Initialise).err().unwrap().to_string();
    assert_eq!(
        error,
        "`weights.safetensors` does not match network `resnet18`: `conv1.weight` is 64 x 3 x 7 x 7 in the file and 8 x 3 x 7 x 7 in \
         the network, `bn1.running_var` is 64 in the file and 8 in the network"
    );
}

#[test]
fn a_nan_in_a_file_names_its_tensor() {
    let mut broken = filled();
    broken.update(|values, _| values[values.len() - 1] = f32::NAN);
    let error = Weights::parse("broken.safetensors", &broken.save().unwrap()).err().unwrap();
    assert_eq!(error.to_string(), "tensor `fc.bias` in `broken.safetensors` contains NaN");
    let error = Weights::parse("text.txt", b"hello, this is no file of weights").err().unwrap();
    assert!(error.to_string().starts_with("cannot read weights from `text.txt`: "), "{error}");
}

#[test]
fn folded_batch_norms_are_found_and_calibration_leaves_evaluation_as_it_is() {
    let original = filled();
    let mut network = network(2);
    let report = network.load(&of(fold(&original.tensors())), Missing::Error).unwrap();
    assert_eq!(report.folded.len(), 20);
    assert!(report.unexpected.is_empty() && report.missing.is_empty());
    let wanted = logits(&original);
    assert_near(&logits(&network), &wanted);

    let running = network.running().to_vec();
    network.calibrate(&[pixels(6)]).unwrap();
    assert_ne!(network.running(), running);
    assert_near(&logits(&network), &wanted);
    // The statistics are now those of the patches: training mode computes the same as evaluation mode.
    let frozen = vec![false; network.parameters().len()];
    let stream = Streams::new(1, "test").stream("dropout", 0, &[]);
    let trained = network.forward_train(&pixels(6), &frozen, stream).unwrap();
    assert_near(&trained.flatten_all().unwrap().to_vec1().unwrap(), &wanted);

    let calibrated = network.flat().to_vec();
    network.calibrate(&[pixels(2)]).unwrap();
    assert_eq!(network.flat(), calibrated, "nothing is left to calibrate");
}

#[test]
fn calibration_over_batches_is_calibration_over_all_of_them() {
    let folded = of(fold(&filled().tensors()));
    let calibrate = |batches: &[Tensor]| {
        let mut network = network(2);
        network.load(&folded, Missing::Error).unwrap();
        network.calibrate(batches).unwrap();
        network.running().to_vec()
    };
    let all = pixels(6);
    let parts = [all.narrow(0, 0, 4).unwrap(), all.narrow(0, 4, 2).unwrap()];
    assert_near(&calibrate(&parts), &calibrate(&[all]));
}

#[test]
fn a_folded_convolution_without_a_kernel_keeps_its_batch_norm() {
    let mut tensors = fold(&filled().tensors());
    tensors.remove("layer4.0.conv1.weight").unwrap();
    let mut network = network(2);
    let report = network.load(&of(tensors), Missing::Initialise).unwrap();
    assert!(!report.folded.contains(&"layer4.0.bn1".to_owned()) && report.folded.len() == 19);
    let parts = ["bn1.bias", "bn1.running_mean", "bn1.running_var", "bn1.weight", "conv1.weight"];
    assert_eq!(report.missing, parts.map(|part| format!("layer4.0.{part}")));
    assert_eq!(report.unexpected, ["layer4.0.conv1.bias"]);
}

/// Two trunks of one network, the second under a name.
fn two_trunks() -> Network {
    let spec = described(
        "network two-trunks {
            input half
            parallel join=concat {
                branch { shallow-cnn to=features }
                branch second from=half { shallow-cnn to=features }
            }
            linear head
        }",
    );
    Network::new(&spec, 64, 4, &Streams::new(3, "test")).unwrap()
}

#[test]
fn a_network_used_under_a_name_loads_tensors_without_that_name() {
    let plain = Network::new(&described("network one { shallow-cnn }"), 64, 4, &Streams::new(1, "test")).unwrap();
    let saved = weights(&plain.tensors());
    let mut network = two_trunks();
    let report = network.load(&saved, Missing::Initialise).unwrap();
    assert_eq!(report.missing, ["head.bias", "head.weight"]);
    assert_eq!(report.bare, ["second."]);
    assert_eq!(report.unexpected, ["fc.bias", "fc.weight"]);
    let found = network.tensors();
    let of_trunk: Vec<&String> =
        found.keys().filter(|name| !name.starts_with("head") && !name.contains("second")).collect();
    assert_eq!(2 * of_trunk.len() + 2, found.len());
    for name in of_trunk {
        assert_eq!(found[name], saved.tensors[name], "{name}");
        assert_eq!(found[&format!("second.{name}")], saved.tensors[name], "{name}");
    }
}

#[test]
fn a_file_with_the_name_of_a_used_network_is_not_mixed_with_others() {
    let mut tensors = two_trunks().tensors();
    let lost = tensors.keys().find(|name| name.starts_with("second.")).unwrap().clone();
    tensors.remove(&lost).unwrap();
    let report = two_trunks().load(&of(tensors), Missing::Initialise).unwrap();
    assert_eq!((report.missing, report.bare), (vec![lost], Vec::new()));
}

#[test]
fn a_pth_file_of_pytorch_is_read() {
    let bytes = include_bytes!("../../expected/tiny.pth");
    let weights = Weights::parse("tiny.pth", bytes).unwrap();
    let names: Vec<&str> = weights.tensors.keys().map(String::as_str).collect();
    assert_eq!(names, ["conv.weight", "half.weight"], "whole numbers are left out");
    let wanted: Vec<f32> = (0..24).map(|value| value as f32 / 8.0).collect();
    assert_eq!(weights.tensors["conv.weight"], (vec![2, 3, 2, 2], wanted));
    assert_eq!(weights.tensors["half.weight"], (vec![2], vec![0.5, -2.0]));
}

#[test]
fn the_partial_weights_of_imagenet_load_with_layer4_initialised() {
    let root = std::env::var_os("MACULA_DATA").map_or_else(|| PathBuf::from("../shared/data"), PathBuf::from);
    let Ok(bytes) = std::fs::read(root.join("weights/resnet18_imagenet_bnfolded_partial.safetensors")) else {
        return missing("data", format!("no weights under {}", root.display()));
    };
    let weights = Weights::parse("partial", &bytes).unwrap();
    let mut network = Network::new(&resnet18([64, 128, 256, 512]), 64, 4, &Streams::new(1, "test")).unwrap();
    let report = network.load(&weights, Missing::Initialise).unwrap();
    let kernels: Vec<&String> = report.missing.iter().filter(|name| name.contains("conv")).collect();
    assert_eq!(kernels.len(), 4, "{kernels:?}");
    assert_eq!(report.folded.len(), 16);
    assert_eq!(report.replaced, ["fc.bias", "fc.weight"]);
    assert_eq!(network.zero_gamma(Some(&report.missing)), ["layer4.0.bn2.weight", "layer4.1.bn2.weight"]);
    network.calibrate(&[pixels(4)]).unwrap();
    assert!(logits(&network).iter().all(|logit| logit.is_finite()));
}

#[test]
fn a_table_of_other_windows_and_names_of_timm_are_said() {
    let network = |window: usize, names: &str| {
        let text = format!(
            "network tiny {{ conv stem out=6 kernel=4 stride=4; self-attention {names}.attn heads=3 window={window}; global-avg-pool; linear head }}"
        );
        Network::new(&described(&text), 64, 4, &Streams::new(1, "test")).unwrap()
    };
    let mut own = network(7, "features.1.0");
    let report = own.load(&of(network(7, "features.1.0").tensors()), Missing::Error).unwrap();
    assert!(report.missing.is_empty() && report.unexpected.is_empty(), "{report:?}");
    let error = own.load(&of(network(12, "features.1.0").tensors()), Missing::Initialise).err().unwrap();
    let told = "`features.1.0.attn.relative_position_bias_table` is 529 x 3 (3 heads, windows of 12 px) in the file and 169 x 3 (3 heads, windows of 7 px) in the network";
    assert!(error.to_string().contains(told), "{error}");
    let mut timm = network(7, "layers.0.blocks.0").tensors();
    // One name is the same in both.
    timm.retain(|name, _| name.starts_with("layers") || name == "stem.weight");
    let StageError::Input { hint: Some(hint), .. } = own.load(&of(timm), Missing::Initialise).err().unwrap() else {
        panic!("an error with a hint")
    };
    assert!(hint.contains("its names are timm's") && hint.contains("use torchvision's weights"), "{hint}");
}
