//! The language: from text to [`spec::Pipeline`], a list of stage specifications. No graph, no store, no stage's code.

pub mod describe;
pub mod near;
pub mod network;
pub mod shapes;
pub mod spec;
pub mod stdlib;
pub mod value;

use network::NetworkSpec;

/// A network of the standard library (`resnet18`, `shallow-cnn`).
#[must_use]
pub fn builtin_network(name: &str) -> Option<NetworkSpec> {
    stdlib::stdlib().networks.iter().find(|network| network.spec.name == name).map(|network| network.spec.clone())
}
