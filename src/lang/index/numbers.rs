//! The numbers of a text that have a unit, according to the parameters that they are given to.

use super::{SymbolIndex, param_at};
use crate::base::{FileId, Span};
use crate::lang::keywords::REPEAT;
use crate::lang::param_type::ParamType;
use crate::lang::signature::Signature;
use crate::syntax::{Node, NodeEntry};

/// Unit of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberUnit {
    /// Pixels.
    Px,
    /// Degrees.
    Degrees,
}

impl NumberUnit {
    fn of(ty: &ParamType) -> Option<Self> {
        match ty {
            ParamType::Px => Some(Self::Px),
            ParamType::Degrees => Some(Self::Degrees),
            ParamType::List(inner) | ParamType::Map(inner) => Self::of(inner),
            _ => None,
        }
    }
}

impl SymbolIndex<'_> {
    /// Numbers with a unit in pipelines and templates of a file.
    #[must_use]
    pub fn units(&self, file: FileId) -> Vec<(Span, NumberUnit)> {
        let mut found = Vec::new();
        let nodes = self.module.documents.get(&file).map(|document| document.nodes.as_slice());
        for top in nodes.unwrap_or_default() {
            declared(top, &mut found);
            match top.name.text.as_str() {
                "pipeline" => self.units_of_stages(top.nodes(), &mut found),
                "stage" => self.units_of_stages(top.child("body").map_or(&[][..], Node::nodes), &mut found),
                _ => {}
            }
        }
        found
    }

    fn units_of_stages(&self, stages: &[Node], found: &mut Vec<(Span, NumberUnit)>) {
        for stage in stages {
            if stage.name.text == REPEAT {
                self.units_of_stages(stage.nodes(), found);
            } else if let Some(signature) = self.signature(&stage.name.text, stage.name.span) {
                let chosen = super::chosen(stage);
                let chosen = |path: &str| chosen.get(path).cloned();
                stage.nodes().iter().for_each(|child| units(child, "", signature, &chosen, found));
            }
        }
    }
}

fn units(
    node: &Node,
    prefix: &str,
    signature: &Signature,
    chosen: &dyn Fn(&str) -> Option<String>,
    found: &mut Vec<(Span, NumberUnit)>,
) {
    let unit = |path: &str| NumberUnit::of(&param_at(signature, path, chosen)?.param.ty);
    let path = format!("{prefix}{}", node.name.text);
    let mut put = |entry: &NodeEntry, unit: Option<NumberUnit>| {
        found.extend(unit.filter(|_| entry.text().is_none()).map(|unit| (entry.span, unit)));
    };
    node.args().for_each(|entry| put(entry, unit(&path)));
    node.props().for_each(|(key, entry)| put(entry, unit(&format!("{path}.{}", key.text))));
    node.nodes().iter().for_each(|child| units(child, &format!("{path}."), signature, chosen, found));
}

/// The defaults of `param … type=px`.
fn declared(node: &Node, found: &mut Vec<(Span, NumberUnit)>) {
    if node.name.text == "param"
        && let Some(default) = node.prop("default").filter(|entry| entry.text().is_none())
        && let Some(ty) = node.prop("type").and_then(NodeEntry::text)
        && let Some(unit) = ParamType::named(ty, None).as_ref().and_then(NumberUnit::of)
    {
        found.push((default.span, unit));
    }
    node.nodes().iter().for_each(|child| declared(child, found));
}
