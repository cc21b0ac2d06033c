//! The standard library of signatures and networks, embedded. A test compares the list with the folder.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use super::describe::used::{name_of, words};
use super::describe::{Described, KnownNetwork, KnownNetworks, describe};
use super::signature::{self, Signature};
use crate::base::{Digest, Hasher, Sources};
use crate::diag::Diag;
use crate::syntax::{self, Node};

macro_rules! modules {
    ($($name:literal),* $(,)?) => {
        /// Every module of `stdlib/`: its name without `std:` and `.kdl`, and its text.
        pub const MODULES: &[(&str, &str)] =
            &[$(($name, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../stdlib/", $name, ".kdl")))),*];
    };
}

modules![
    "networks/attention-bag",
    "networks/convnext-t",
    "networks/cross-attention-resnet18",
    "networks/efficientnet-lite0",
    "networks/late-fusion-resnet18",
    "networks/resnet18",
    "networks/resnet34",
    "networks/resnet50",
    "networks/shallow-cnn",
    "networks/swin-t",
    "networks/vit-s16",
    "stages/annotations",
    "stages/augment",
    "stages/average",
    "stages/calibrate",
    "stages/combine",
    "stages/ddr",
    "stages/e-ophtha",
    "stages/encode",
    "stages/eval",
    "stages/exec",
    "stages/export",
    "stages/extract",
    "stages/fgadr",
    "stages/files",
    "stages/filter-black",
    "stages/filter-white",
    "stages/folder",
    "stages/froc",
    "stages/heat-map",
    "stages/idrid",
    "stages/import-model",
    "stages/import-patches",
    "stages/join",
    "stages/lesions",
    "stages/manifest",
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
        let mut networks: Vec<Node> = Vec::new();
        for (name, text) in MODULES {
            let file = all.sources.add(format!("std:{name}"), None, *text);
            // A test validates it.
            let (document, mut diags) = syntax::parse_valid(file, text);
            all.diags.append(&mut diags);
            for node in &document.nodes {
                let mut found = match node.name.text.as_str() {
                    "network" => {
                        networks.push(node.clone());
                        Vec::new()
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
        all.describe(networks);
        all
    })
}

impl Stdlib {
    /// Describes networks, each after those that it uses.
    fn describe(&mut self, mut nodes: Vec<Node>) {
        let mut known = KnownNetworks::new();
        while !nodes.is_empty() {
            let names: BTreeSet<&str> = nodes.iter().filter_map(name_of).collect();
            let uses_none = |node: &Node| {
                let mut used = BTreeMap::new();
                words(node, &mut used);
                used.keys().all(|word| !names.contains(word))
            };
            // Networks that use each other are reported as unknown layers.
            let at = nodes.iter().position(uses_none).unwrap_or(0);
            let (described, mut diags) = describe(&nodes.remove(at), &known);
            self.diags.append(&mut diags);
            if let Some(described) = described {
                let whole = KnownNetwork::Whole(Arc::new(described.clone()));
                known.insert(described.spec.name.clone(), whole);
                self.networks.push(described);
            }
        }
        self.networks.sort_by(|one, other| one.spec.name.cmp(&other.spec.name));
    }
}
