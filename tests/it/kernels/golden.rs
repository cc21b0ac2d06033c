//! Bytes of a tiny network, forward and backward: fixed on the portable target, and the same on both targets with fused
//! multiply-add.

use std::process::Command;

use candle_core::{Device, Tensor};
use macula::base::{Digest, Streams};
use macula::engine::kernels::{Target, choose};
use macula::engine::network::{Missing, Network};
use macula::lang::network::NetworkSpec;

use super::candle::TOKENS;
use super::formula::{described, formula, resnet18, weights};

/// Environment variable of a child process that computes on one target.
const CHILD: &str = "MACULA_TEST_KERNELS";

/// Digest of evaluation and training logits, gradient and running statistics.
const GOLDEN: &str = "ddd6f6c3413d60c990440af2aea182ad25f740f97c40a764656d480a1911c28e";

/// The same with channels that fill whole strips: Winograd convolutions, with enough tiles for several chunks.
const GOLDEN_WIDE: &str = "71c0f567f9c76211df0d0282cb7713e2466757680e0ef226478816cfad8e5f59";

/// The same for layers of transformers.
const GOLDEN_TOKENS: &str = "906d46706670f2f993c674c43c66e40d22b18eba0fe1b90faaf5659247c1ccee";

fn digest(spec: &NetworkSpec, side: usize) -> Digest {
    let streams = Streams::new(1, "test");
    let mut network = Network::new(spec, side, 4, &streams).unwrap();
    network.load(&weights(&network.tensors()), Missing::Error).unwrap();
    let pixels = formula("pixels", 3 * side * side * 3, -2.0, 2.0);
    let pixels = Tensor::from_vec(pixels, (3, side, side, 3), &Device::Cpu).unwrap();
    let evaluated = network.forward(&pixels).unwrap();
    let frozen = vec![false; network.parameters().len()];
    let logits = network.forward_train(&pixels, &frozen, streams.stream("dropout", 0, &[])).unwrap();
    network.backward(&logits.sum_all().unwrap()).unwrap();
    let floats = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let all = [floats(&evaluated), floats(&logits), network.gradient().to_vec(), network.running().to_vec()].concat();
    assert!(all.iter().all(|value| value.is_finite()));
    Digest::of(&all.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>())
}

/// Compares the digest of a network over patches of `side` px on all targets. `test` is the name of the calling test, which
/// starts itself as a child process.
fn compare(test: &str, spec: &NetworkSpec, side: usize, golden: &str) {
    if let Ok(target) = std::env::var(CHILD) {
        let target = Target::from_name(&target).unwrap();
        assert_eq!(choose(target), target);
        println!("digest {}", digest(spec, side));
        return;
    }
    let of = |target: Target| {
        let name = format!("kernels::golden::{test}");
        let mut child = Command::new(std::env::current_exe().unwrap());
        let output = child.args(["--exact", &name, "--nocapture"]).env(CHILD, target.name()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let at = text.find("digest ").unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)));
        text[at + 7..][..64].to_owned()
    };
    assert_eq!(of(Target::Portable), golden, "raise the versions of `train` where its output must change");
    let fused: Vec<String> =
        [Target::Avx2, Target::Avx512].into_iter().filter(|target| target.available()).map(of).collect();
    assert!(fused.windows(2).all(|pair| pair[0] == pair[1]), "{fused:?}");
}

#[test]
fn a_tiny_network_gives_the_golden_bytes_on_the_portable_target() {
    compare("a_tiny_network_gives_the_golden_bytes_on_the_portable_target", &resnet18([8, 12, 20, 36]), 40, GOLDEN);
}

#[test]
fn a_wide_network_gives_the_golden_bytes_on_the_portable_target() {
    compare(
        "a_wide_network_gives_the_golden_bytes_on_the_portable_target",
        &resnet18([32, 48, 64, 32]),
        160,
        GOLDEN_WIDE,
    );
}

#[test]
fn attention_gives_the_golden_bytes_on_the_portable_target() {
    compare("attention_gives_the_golden_bytes_on_the_portable_target", &described(TOKENS), 23, GOLDEN_TOKENS);
}

#[test]
fn targets_have_names_and_the_best_is_available() {
    for target in [Target::Portable, Target::Avx2, Target::Avx512] {
        assert_eq!(Target::from_name(target.name()), Some(target));
    }
    assert_eq!(Target::from_name("avx2"), Some(Target::Avx2));
    assert_eq!(Target::from_name("neon"), None);
    assert!(Target::best().available() && Target::Portable.available());
}
