//! The values that parameters hold.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::network::NetworkSpec;
use crate::base::Hasher;

/// A checked value of a parameter. Serialisation is lossless.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Value {
    /// An optional parameter that is not set.
    None,
    /// `#true` or `#false`.
    Bool(bool),
    /// A whole number (types `int`, `count`, `px`, `seed`).
    Int(i64),
    /// A real number (types `real`, `share`, `probability`, `degrees`, …).
    Real(f64),
    /// Text, a name, or the case of a choice.
    Text(String),
    /// A path as the user wrote it, relative to the project folder. Keys contain the digest of the content instead,
    /// so only sources have parameters of this type.
    Path(String),
    /// Values in the order given.
    List(Vec<Value>),
    /// Named values, sorted by name.
    Map(BTreeMap<String, Value>),
    /// A network's description, resolved.
    Network(Box<NetworkSpec>),
}

impl Value {
    /// Adds the value to a key by the byte rules of [`crate::base::digest`], each kind under a tag of its own.
    #[expect(
        clippy::should_implement_trait,
        reason = "std's trait hashes into u64s; this is hashing by our byte rules"
    )]
    pub fn hash(&self, hasher: &mut Hasher) {
        match self {
            Self::None => _ = hasher.int(0),
            Self::Bool(value) => _ = hasher.int(1).int(u64::from(*value)),
            Self::Int(value) => _ = hasher.int(2).int(value.cast_unsigned()),
            Self::Real(value) => _ = hasher.int(3).real(*value),
            Self::Text(value) => _ = hasher.int(4).text(value),
            Self::Path(value) => _ = hasher.int(5).text(value),
            Self::List(values) => {
                hasher.int(6).int(values.len() as u64);
                for value in values {
                    value.hash(hasher);
                }
            }
            Self::Map(values) => {
                hasher.int(7).int(values.len() as u64);
                for (name, value) in values {
                    value.hash(hasher.text(name));
                }
            }
            Self::Network(network) => _ = hasher.int(8).digest(&network.digest()),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Real(value) => write!(f, "{value:?}"),
            Self::Text(value) | Self::Path(value) => f.write_str(value),
            Self::List(values) => {
                for (i, value) in values.iter().enumerate() {
                    write!(f, "{}{value}", if i == 0 { "" } else { " " })?;
                }
                Ok(())
            }
            Self::Map(values) => {
                for (i, (name, value)) in values.iter().enumerate() {
                    write!(f, "{}{name}={value}", if i == 0 { "" } else { " " })?;
                }
                Ok(())
            }
            Self::Network(network) => write!(f, "{} ({})", network.name, network.digest().short()),
        }
    }
}
