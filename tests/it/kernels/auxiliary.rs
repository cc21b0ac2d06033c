//! Networks with auxiliary outputs: what they compute.

use macula::base::Streams;
use macula::engine::network::Network;
use macula::lang::network::NetworkSpec;

use super::candle::{compare, pixels};
use super::formula::deep;

#[test]
fn logits_are_those_of_the_network_only() {
    let of = |spec: &NetworkSpec| Network::new(spec, 16, 3, &Streams::new(1, "test")).expect("it fits");
    let (plain, deep) = (of(&deep(None)), of(&deep(Some([0.3, 0.5]))));
    assert_eq!((plain.outputs(), deep.outputs()), (3, 9));
    let values =
        |network: &Network| network.forward(&pixels(5, 16, 16)).expect("logits").to_vec2::<f32>().expect("rows");
    assert_eq!(values(&plain), values(&deep));
}

#[test]
fn the_kernels_agree_with_candle() {
    compare(&deep(Some([0.3, 0.5])), &pixels(4, 16, 16), 16, "", (1e-5, 1e-4));
}
