//! The standard library of signatures and networks, embedded. A test compares the list with the folder.

use std::sync::OnceLock;

use super::describe::{Described, KnownNetworks, describe};
use super::signature::{self, Signature};
use crate::base::{Digest, Hasher, Sources};
use crate::diag::Diag;
use crate::syntax;

macro_rules! modules {
    ($($name:literal),* $(,)?) => {
        /// Every module of `stdlib/`: its name without `std:` and `.kdl`, and its text.
        pub const MODULES: &[(&str, &str)] =
            &[$(($name, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../stdlib/", $name, ".kdl")))),*];
    };
}

modules![
    "networks/convnext-t",
    "networks/efficientnet-lite0",
    "networks/resnet18",
    "networks/resnet34",
    "networks/resnet50",
    "networks/shallow-cnn",
    "networks/swin-t",
    "stages/augment",
    "stages/average",
    "stages/calibrate",
    "stages/combine",
    "stages/encode",
    "stages/eval",
    "stages/exec",
    "stages/export",
    "stages/extract",
    "stages/files",
    "stages/filter-black",
    "stages/folder",
    "stages/froc",
    "stages/heat-map",
    "stages/idrid",
    "stages/join",
    "stages/lesions",
    "stages/near-duplicates",
    "stages/pool",
    "stages/predict",
    "stages/preprocess",
    "stages/pretrain",
    "stages/program",
    "stages/rebalance",
    "stages/relabel",
    "stages/report",
    "stages/slice",
    "stages/split",
    "stages/spread",
    "stages/suspects",
    "stages/synthetic",
    "stages/threshold-tune",
    "stages/train",
    "stages/weights",
    "templates/balanced-patches",
    "templates/cross-encode",
    "templates/cross-validation",
    "templates/encode-fold",
    "templates/one-fold",
    "templates/report-training",
];

/// The module of a template: its name and its text.
#[must_use]
pub fn template(kind: &str) -> Option<(&'static str, &'static str)> {
    MODULES.iter().find(|(name, _)| name.strip_prefix("templates/") == Some(kind)).copied()
}

/// The digest of all its text.
#[must_use]
pub fn digest() -> Digest {
    let mut hasher = Hasher::new("macula stdlib 1");
    for (name, text) in MODULES {
        hasher.text(name).text(text);
    }
    hasher.finish()
}

/// Contents of the standard library, read once.
pub struct Stdlib {
    /// Its texts, for spans in them.
    pub sources: Sources,
    /// The signatures of its built-in stages, by name.
    pub signatures: Vec<Signature>,
    /// The signatures of its templates.
    pub templates: Vec<Signature>,
    /// Its networks, by name.
    pub networks: Vec<Described>,
    /// Mistakes in it; a test checks that there are none.
    pub diags: Vec<Diag>,
}

/// The standard library.
#[must_use]
pub fn stdlib() -> &'static Stdlib {
    static READ: OnceLock<Stdlib> = OnceLock::new();
    READ.get_or_init(|| {
        let mut all = Stdlib {
            sources: Sources::default(),
            signatures: Vec::new(),
            templates: Vec::new(),
            networks: Vec::new(),
            diags: Vec::new(),
        };
        for (name, text) in MODULES {
            let file = all.sources.add(format!("std:{name}"), None, *text);
            let (document, mut diags) = syntax::parse(file, text);
            all.diags.append(&mut diags);
            for node in &document.nodes {
                let mut found = match node.name.text.as_str() {
                    "network" => {
                        let (described, found) = describe(node, &KnownNetworks::new());
                        all.networks.extend(described);
                        found
                    }
                    "stage" => {
                        let (signature, found) = signature::read(node, signature::Origin::Library);
                        let (templates, built_in): (Vec<_>, Vec<_>) =
                            signature.into_iter().partition(|one| one.body.is_some());
                        all.templates.extend(templates);
                        all.signatures.extend(built_in);
                        found
                    }
                    other => vec![Diag::error("signature", node.head, format!("`{other}` is not allowed in a module"))],
                };
                all.diags.append(&mut found);
            }
        }
        all
    })
}
