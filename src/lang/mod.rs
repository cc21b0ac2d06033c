//! The language: from text to [`spec::Pipeline`], a list of stage specifications. No graph, no store, no stage code.
//!
//! A file is loaded by [`load()`]: its tree comes from [`crate::syntax`], signatures and networks from the embedded standard
//! library ([`stdlib`]). Each pipeline is lowered (names, ports and parameters), and then checked as a whole. Every step
//! goes on after a mistake, so that all are reported at once.

mod arguments;
mod classes;
mod declared;
pub mod describe;
mod draft;
pub mod executor;
mod extend;
mod fill;
mod flow;
pub mod foreign;
pub mod hints;
pub mod index;
pub mod keywords;
mod load;
pub mod lookup;
mod lower;
pub mod manual;
mod module;
pub mod near;
pub mod network;
pub mod package;
pub mod param_role;
pub mod param_type;
pub mod port_types;
pub mod project;
pub mod ranking;
pub mod remote;
pub mod schema;
mod scope;
pub mod shapes;
pub mod signature;
pub mod spec;
pub mod stdlib;
mod sweep;
mod text;
pub mod value;

pub use declared::library_networks;
pub use load::{Analysis, analyse, analyse_project, base_of, load, load_text, networks};
pub use lower::repeat::{addresses, without_numbers};
pub use text::decoded;

use crate::base::Span;
use network::NetworkSpec;
use signature::Signature;

/// The signatures of all stages, by name.
#[must_use]
pub fn signatures() -> &'static [Signature] {
    &stdlib::stdlib().signatures
}

/// The rule for names, in words.
pub const NAME_RULE: &str = "names start with a letter and contain only letters, digits, `-` and `_`";

/// Whether it is a valid name for a pipeline, a stage or a parameter: see [`NAME_RULE`].
#[must_use]
pub fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    name.starts_with(char::is_alphabetic) && name.chars().all(fits)
}

/// Whether a name is an unquoted word that starts like a number, which the parser reports.
fn is_reported_as_number(name: &str, span: Span) -> bool {
    span.end - span.start == name.len() && crate::syntax::begins_as_number(name)
}

/// A network of the standard library (`resnet18`, `shallow-cnn`).
#[must_use]
pub fn builtin_network(name: &str) -> Option<NetworkSpec> {
    stdlib::stdlib().networks.iter().find(|network| network.spec.name == name).map(|network| network.spec.clone())
}

/// Whether a network with that name is in the standard library.
fn is_builtin(name: &str) -> bool {
    stdlib::stdlib().networks.iter().any(|network| network.spec.name == name)
}
