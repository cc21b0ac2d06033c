//! Networks with auxiliary outputs: trained besides the logits, and left out of predictions.

use std::collections::BTreeMap;

use macula::lang::network::NetworkSpec;
use macula::lang::value::Value;
use macula::learn::model::Classifier;
use safetensors::SafeTensors;

use super::fitting::Bench;
use super::lengths::same_bytes;
use super::made::params;
use crate::kernels::formula::deep;

fn weights(bench: &Bench, spec: NetworkSpec) -> BTreeMap<String, Vec<u8>> {
    let params = params(&[("network", Value::Network(Box::new(spec)))]);
    let model = bench.model("model", &params, &bench.data);
    let bytes = bench.objects.read_in(&model, "weights.safetensors").expect("read").expect("a file");
    let tensors = SafeTensors::deserialize(&bytes).expect("safetensors");
    let of = |name: &str| tensors.tensor(name).expect("a tensor").data().to_vec();
    tensors.names().into_iter().map(|name| (name.to_owned(), of(name))).collect()
}

#[test]
fn a_training_with_auxiliary_outputs_ends_in_the_same_bytes() {
    let bench = Bench::new();
    let params = params(&[("network", Value::Network(Box::new(deep(Some([0.3, 0.5])))))]);
    let model = same_bytes(&bench, &params, &bench.views(), &[&[3], &[5, 9]]);
    let info = Classifier::info(&model, &bench.objects).expect("a model");
    assert_eq!(info.network, deep(Some([0.3, 0.5])));
}

#[test]
fn an_output_without_weight_changes_nothing_and_one_with_weight_does() {
    let trained = |weights_of| {
        let bench = Bench::new();
        weights(&bench, deep(weights_of))
    };
    let (plain, still, moved) = (trained(None), trained(Some([0.0, 0.0])), trained(Some([0.3, 0.0])));
    assert_eq!(still.len(), plain.len() + 6, "three layers with a weight and a bias");
    for (name, values) in &plain {
        assert_eq!(&still[name], values, "{name}");
    }
    assert_ne!(moved["a.weight"], plain["a.weight"]);
    assert_ne!(moved["early.fc.weight"], still["early.fc.weight"]);
}
