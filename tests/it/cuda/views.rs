//! Patches that a GPU augments and normalises, against those of the CPU.

use std::sync::Arc;

use candle_core::Tensor;
use macula::base::Streams;
use macula::data::patches::Label;
use macula::engine::augment::{Augmentation, Fill, Transform};
use macula::engine::gpu::Precision;
use macula::engine::network::{Network, NetworkInput, tensor};
use macula::engine::normalise::Normalisation;
use macula::engine::views::{Stored, Views};
use macula::learn::loss::Loss;
use macula::learn::objective::{Objective, Targets, on_tape};

use super::processor::{Dense, Processor};
use crate::kernels::formula::{described, formula};

const SIZE: usize = 11;
const IMAGES: usize = 24;

/// Each value of each pixel has its own weight.
const EACH: &str = "network each { flatten; linear head }";

fn recipe() -> Augmentation {
    Augmentation { flip_horizontal: 0.5, flip_vertical: 0.5, transpose: 0.5, ..Augmentation::none() }
}

fn views(margin: usize, recipe: Option<&Augmentation>) -> Views {
    let stored = Stored::new(SIZE, margin, recipe);
    let bytes = formula("bytes", IMAGES * stored.side * stored.side * 3, 0.0, 255.99);
    // Some are uniformly grey, black or white: special cases of hue and saturation.
    let plain = |(at, value): (usize, &f32)| match at / (stored.side * stored.side * 3) {
        0 => 0,
        1 => 255,
        2 => 77,
        _ => *value as u8,
    };
    let streams = Streams::new(3, "test");
    let change = |at: usize| match recipe {
        Some(recipe) => recipe.draw(&mut streams.stream("augment", 1, &at.to_le_bytes())),
        None => Transform::none(),
    };
    Views {
        stored,
        bytes: bytes.iter().enumerate().map(plain).collect(),
        changes: (0..IMAGES).map(change).collect(),
        normal: Normalisation { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] },
    }
}

/// Logits and gradient of a step, and logits in evaluation mode.
fn step<'a>(network: &mut Network, input: impl Into<NetworkInput<'a>>) -> [Vec<f32>; 3] {
    let input = input.into();
    let floats = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let evaluated = floats(&network.forward(input).unwrap());
    let dropout = Streams::new(3, "test").stream("dropout", 0, &[]);
    let logits = network.forward_train(input, &vec![false; network.parameters().len()], dropout).unwrap();
    let labels = vec![Label::Present; IMAGES * network.classes()];
    let loss: Arc<dyn Objective> = Arc::new(Loss::bce(network.classes()));
    network.backward(&on_tape(&loss, &logits, &Targets::of(&labels)).unwrap()).unwrap();
    network.fetch(None).unwrap();
    [floats(&logits), network.gradient().to_vec(), evaluated]
}

/// Every augmentation on the GPU, and the same pixels on the CPU. Bytes are the same unless the mean of an image is needed.
pub(super) fn every_kind() {
    let all =
        Augmentation { rotate_degrees: 40.0, shift_px: 5.0, brightness: 0.3, saturation: 0.4, hue: 0.5, ..recipe() };
    let blurred = Augmentation { blur_probability: 0.5, blur_sigma: 2.5, ..all.clone() };
    let kinds = [
        ("plain", 0, None, 0.0),
        ("plain, with a margin", 3, None, 0.0),
        ("flips", 0, Some(recipe()), 0.0),
        ("flips and movement", 2, Some(Augmentation { rotate_degrees: 180.0, shift_px: 9.0, ..recipe() }), 0.0),
        ("black beyond", 0, Some(Augmentation { fill: Fill::Black, ..all.clone() }), 0.0),
        ("colour", 1, Some(all.clone()), 0.0),
        ("blur", 1, Some(blurred.clone()), 0.0),
        ("contrast", 1, Some(Augmentation { contrast: 0.5, ..blurred }), 1e-6),
    ];
    for (name, margin, recipe, bound) in kinds {
        let Some(processor) = Processor::new(Precision::F32, Dense::Own) else { return };
        let views = views(margin, recipe.as_ref());
        let made = tensor(views.pixels(), IMAGES, SIZE).unwrap();
        let network = || Network::new(&described(EACH), SIZE, 3, &Streams::new(3, "test")).unwrap();
        let mut card = network().on(Box::new(processor));
        let wanted = step(&mut card, &made);
        let found = step(&mut card, &views);
        for (found, wanted) in found.iter().zip(&wanted) {
            let scale = wanted.iter().fold(0.0f32, |scale, value| scale.max(value.abs()));
            assert!(scale > 0.0, "{name}");
            for (found, wanted) in found.iter().zip(wanted) {
                assert!((found - wanted).abs() <= bound * scale, "{name}: {found}, not {wanted}");
            }
        }
        // Without a GPU the network computes the pixels on the CPU.
        let mut host = network();
        assert_eq!(step(&mut host, &views), step(&mut host, &made), "{name}");
    }
}

#[test]
fn gpu_pixels_match_the_loader() {
    every_kind();
}

#[test]
fn views_differ_where_their_transforms_do() {
    let recipe = Augmentation { contrast: 0.5, ..recipe() };
    let changed = views(0, Some(&recipe));
    let plain = Views { changes: vec![Transform::none(); IMAGES], ..changed.clone() };
    assert_ne!(changed.pixels(), plain.pixels());
    assert_ne!(changed.table(), plain.table());
}
