//! The pages of the manual on networks and layers.

use std::fmt::Write as _;

use super::kinds::{DefaultValue, KINDS, LayerParam, PropertyType};
use super::{Described, TapPlace};
use crate::base::figure::thousands;
use crate::lang::network::{Auxiliary, InputKind};
use crate::lang::shapes;

/// Patch size for which a network's page lists its shapes, px.
const SIDE: usize = 128;
/// Number of classes for which a network's page lists its shapes.
const CLASSES: usize = 4;

/// The page of a network.
#[must_use]
pub fn network(network: &Described) -> String {
    let doc = network.doc.as_deref().unwrap_or_default();
    let mut out = format!("# {}\n\n{doc}\n", network.spec.name);
    let rows = match shapes::shapes(&network.spec, SIDE, CLASSES) {
        Ok(rows) => rows,
        Err(wrong) => {
            let wrong: Vec<String> = wrong.into_iter().map(|wrong| wrong.message).collect();
            let _ = writeln!(out, "\nPatches of {SIDE} px do not fit: {}.", wrong.join("; "));
            return out;
        }
    };
    let parameters: u64 = rows.iter().map(|row| row.parameters).sum();
    let work: u64 = rows.iter().map(|row| row.multiply_adds).sum();
    let least = shapes::least_side(&network.spec).unwrap_or(0);
    let _ = writeln!(
        out,
        "\nAt {SIDE} px and {CLASSES} classes: {} parameters, {:.1} million multiply-adds per patch. The smallest patch size is {least} px.\n",
        thousands(parameters),
        work as f64 / 1e6
    );
    if !network.taps.is_empty() {
        let out_of = |tap: &TapPlace| tap.row.map_or(format!("3 x {SIDE} x {SIDE}"), |row| rows[row].out.to_string());
        let taps: Vec<String> = network.taps.iter().map(|tap| format!("`{}` ({})", tap.name, out_of(tap))).collect();
        let _ = writeln!(
            out,
            "Inside another network it can be used up to a tap, `{} to={}`: {}.\n",
            network.spec.name,
            network.taps[network.taps.len() - 1].name,
            taps.join(", ")
        );
    }
    out.push_str("| layer | tensors | output | parameters | multiply-adds |\n|---|---|---|---|---|\n");
    for row in shapes::folded(&rows) {
        let name = if row.name.is_empty() { String::new() } else { format!("`{}`", row.name) };
        let _ = writeln!(
            out,
            "| {}{} | {name} | {} | {} | {} |",
            "· ".repeat(row.depth),
            row.written(),
            row.out,
            thousands(row.parameters),
            thousands(row.multiply_adds)
        );
    }
    out
}

/// The page of all layers.
#[must_use]
pub fn layers() -> String {
    let mut out = String::from(
        "# layers\n\nThe layers of `network NAME { … }`, which may also contain blocks, `repeat` and other networks. A layer with tensors has a name, \
         which is the prefix of its tensor names: `conv conv1 …` has `conv1.weight`.\n",
    );
    for kind in &KINDS {
        let name = if kind.named { " NAME" } else { "" };
        let needed = kind.params.iter().filter(|param| param.absent == DefaultValue::Needed);
        let needed: Vec<String> = needed.map(|param| format!(" {}=…", param.name)).collect();
        let needed = needed.concat();
        let holds: Vec<String> = kind.holds.iter().map(|part| format!(" {part} {{ … }}")).collect();
        let holds = holds.join(";");
        let holds = if holds.is_empty() { holds } else { format!(" {{{holds} }}") };
        let _ = write!(out, "\n## {}\n\n`{0}{name}{needed}{holds}`: {}\n", kind.name, kind.doc);
        if !kind.params.is_empty() {
            out.push_str("\n| property | type | default | meaning |\n|---|---|---|---|\n");
        }
        for param in kind.params {
            let _ = writeln!(out, "| `{}` | {} | {} | {} |", param.name, ty(param.ty), absent(param), param.doc);
        }
    }
    let _ = write!(
        out,
        "\n## auxiliary\n\n`auxiliary NAME from=TAP weight={:?} {{ … }}`: {}\n",
        Auxiliary::WEIGHT,
        Auxiliary::DOC
    );
    out.push_str(
        "\n## input\n\n`input NAME`: declares an input at which branches can start, `branch from=NAME { … }`.\n\n| input | what it is |\n|---|---|\n",
    );
    for (input, doc) in InputKind::ALL {
        let _ = writeln!(out, "| `{}` | {doc} |", input.name());
    }
    out
}

fn ty(ty: PropertyType) -> String {
    match ty {
        PropertyType::Whole(least, most) if most > 1 << 20 => format!("whole number, {least} or more"),
        PropertyType::Whole(least, most) => format!("whole number, {least} to {}", thousands(most.unsigned_abs())),
        PropertyType::Share => "number, 0 to below 1".to_owned(),
        PropertyType::Point => "name of an input or a tap".to_owned(),
        PropertyType::Flag => "`#true` or `#false`".to_owned(),
        PropertyType::Word(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" or "),
    }
}

fn absent(param: &LayerParam) -> String {
    match param.absent {
        DefaultValue::Needed => "required".to_owned(),
        DefaultValue::Whole(value) => format!("`{value}`"),
        DefaultValue::Real(value) => format!("`{value:?}`"),
        DefaultValue::Flag(value) => format!("`#{value}`"),
        DefaultValue::Same(other) => format!("same as `{other}`"),
        DefaultValue::Nothing(words) => words.to_owned(),
    }
}
