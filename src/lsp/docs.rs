//! Documentation as Markdown, for hovers and completions.

use std::fmt::Write as _;

use crate::lang::describe::Described;
use crate::lang::describe::kinds::{DefaultValue, LayerKind, LayerParam, PropertyType};
use crate::lang::param_type::ParamType;
use crate::lang::shapes;
use crate::lang::signature::{InPort, OutPort, Param, Signature};
use crate::lang::value::Value;

/// Documentation of a stage type: purpose, inputs and outputs.
pub(super) fn signature(signature: &Signature) -> String {
    let mut out = format!("{}\n", signature.doc);
    for port in &signature.inputs {
        let _ = write!(out, "\n- in `{}`: {}", port.name, port_type(port));
    }
    for port in &signature.outputs {
        let name = if port.name == "out" { "the stage's name".to_owned() } else { format!("`.{}`", port.name) };
        let _ = write!(out, "\n- out {name}: {}", signature.types_in_words(port));
    }
    if signature.body.is_some() {
        out.push_str("\n\nA template that expands to other stages.");
    }
    out
}

/// Heading of a stage's documentation: `extract patches`.
pub(super) fn head(signature: &Signature, name: Option<&str>) -> String {
    format!("```kdl\n{}{}\n```\n", signature.name, name.map_or(String::new(), |name| format!(" {name}")))
}

/// Types that a port accepts.
pub(super) fn port_type(port: &InPort) -> String {
    let many = if port.many { ", one or more" } else { "" };
    let optional = if port.optional { ", optional" } else { "" };
    format!("{}{many}{optional}", port.types.join(" or "))
}

/// Documentation of an input port.
pub(super) fn port(port: &InPort) -> String {
    let mut out = format!("{}\n\nAccepts {}.", port.doc, port_type(port));
    if !port.refuses.is_empty() {
        let _ = write!(out, " Rejects {} patches.", port.refuses.join(" or "));
    }
    out
}

/// Documentation of an output port.
pub(super) fn output(signature: &Signature, port: &OutPort) -> String {
    let marks = if port.marks.is_empty() {
        String::new()
    } else {
        format!(" Marked as {}{}.", port.marks.join(" and "), port.when_marked())
    };
    format!("{}\n\nGives {}.{marks}", port.doc, signature.types_in_words(port))
}

/// One line about a parameter: type with unit, range, default.
pub(super) fn param_line(param: &Param) -> String {
    let mut out = kind(&param.ty);
    if let Some(range) = &param.range {
        let _ = write!(out, ", {range}");
    }
    match &param.default {
        Some(value) => _ = write!(out, "; default `{}`", shown(value)),
        None if param.optional => out.push_str("; optional"),
        None if param.ty == ParamType::Group => {}
        None => out.push_str("; required"),
    }
    out
}

/// Documentation of a parameter.
pub(super) fn param(param: &Param) -> String {
    let mut out = format!("{}\n\n{}", param.doc, param_line(param));
    for case in &param.cases {
        let _ = write!(out, "\n- `{}`", case.name);
        if !case.doc.is_empty() {
            let _ = write!(out, ": {}", case.doc);
        }
    }
    if !param.params.is_empty() {
        let names: Vec<String> = param.params.iter().map(|inner| format!("`{}`", inner.name)).collect();
        let _ = write!(out, "\n\nContains {}.", names.join(", "));
    }
    if !param.keyed {
        out.push_str("\n\nChanging it re-runs nothing.");
    }
    out
}

/// Name of a type, with its unit.
pub(super) fn kind(kind: &ParamType) -> String {
    match kind {
        ParamType::Px => "whole number of pixels (px)".to_owned(),
        ParamType::Degrees => "angle in degrees".to_owned(),
        ParamType::List(of) => format!("list of {}", of.name()),
        ParamType::Map(of) => format!("map of {}", of.name()),
        ParamType::Choice => "one of its cases".to_owned(),
        other => other.words().trim_start_matches("a ").to_owned(),
    }
}

/// A value as written in a file.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Bool(flag) => format!("#{flag}"),
        Value::Network(network) => network.name.clone(),
        Value::Path(path) => format!("\"{path}\""),
        Value::Map(pairs) => pairs.iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

/// Documentation of a network.
pub(super) fn network(network: &Described) -> String {
    let mut out = network.doc.clone().unwrap_or_default();
    for (name, default) in &network.params {
        let value = default.as_ref().map(|entry| entry.value.to_string());
        let _ = write!(out, "\n- `{name}`, default `{}`", value.unwrap_or_default());
    }
    out
}

/// Size of the value at a tap of a network; [`None`] if it is inside a branch or a residual.
pub(super) fn tap(network: &Described, name: &str) -> Option<String> {
    let tap = network.taps.iter().find(|tap| tap.name == name)?;
    let rows = shapes::shapes(&network.spec, SIDE, CLASSES).ok()?;
    let size = match tap.row {
        Some(row) => rows.get(row)?.out.to_string(),
        None => format!("3 x {SIDE} x {SIDE}"),
    };
    Some(format!("{size} for a patch of {SIDE} px."))
}

/// Side of the patch that sizes are given for, px.
const SIDE: usize = 128;
/// Number of classes that sizes are given for; they do not depend on it before the last layer.
const CLASSES: usize = 4;

/// Documentation of a layer type.
pub(super) fn layer(kind: &LayerKind) -> String {
    let mut out = kind.doc.to_owned();
    for param in kind.params {
        let _ = write!(out, "\n- `{}`: {}", param.name, layer_param(param));
    }
    out
}

/// Documentation of a layer's property.
pub(super) fn layer_param(param: &LayerParam) -> String {
    let ty = match param.ty {
        PropertyType::Whole(least, most) if most > 1 << 20 => format!("integer, at least {least}"),
        PropertyType::Whole(least, most) => format!("integer, {least} to {most}"),
        PropertyType::Share => "number, at least 0 and less than 1".to_owned(),
        PropertyType::Point => "name of an input or a tap".to_owned(),
        PropertyType::Flag => "`#true` or `#false`".to_owned(),
        PropertyType::Word(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" or "),
    };
    let absent = match param.absent {
        DefaultValue::Needed => "required".to_owned(),
        DefaultValue::Whole(value) => format!("default `{value}`"),
        DefaultValue::Real(value) => format!("default `{value:?}`"),
        DefaultValue::Flag(value) => format!("default `#{value}`"),
        DefaultValue::Same(other) => format!("default: that of `{other}`"),
        DefaultValue::Nothing(words) => format!("default: {words}"),
    };
    format!("{} {ty}; {absent}", param.doc)
}
