//! The standard library for other programs: every signature, network, layer and code as one JSON value. Its format is described in
//! `docs/schema.md`.

use serde_json::{Value as Json, json};

use super::describe::Described;
use super::describe::kinds::{DefaultValue, KINDS, LayerKind, LayerParam, PropertyType};
use super::manual;
use super::param_type::{ParamType, Range};
use super::signature::{Better, Example, InPort, Metric, OutPort, Param, ParamNames, Signature};
use super::stdlib::{MODULES, stdlib};
use super::value::Value;
use crate::diag::catalogue;
use crate::syntax::{NodeEntry, Scalar};

/// The format's version. Fields may be added within a version; removing a field or changing its meaning requires a new one.
pub const VERSION: u64 = 1;

/// The whole schema, with a fixed order of fields; stages and networks are sorted by name.
#[must_use]
pub fn schema() -> Json {
    let all = stdlib();
    let mut stages: Vec<&Signature> = all.signatures.iter().chain(&all.templates).collect();
    stages.sort_by_key(|signature| &signature.name);
    json!({
        "version": VERSION,
        "macula": env!("CARGO_PKG_VERSION"),
        "stages": stages.into_iter().map(stage).collect::<Vec<_>>(),
        "networks": all.networks.iter().map(network).collect::<Vec<_>>(),
        "layers": KINDS.iter().map(layer).collect::<Vec<_>>(),
        "codes": catalogue::pages().map(code).collect::<Vec<_>>(),
    })
}

fn module(name: &str) -> Option<String> {
    let found = MODULES.iter().find(|(module, _)| module.rsplit('/').next() == Some(name));
    found.map(|(module, _)| format!("std:{module}"))
}

fn stage(signature: &Signature) -> Json {
    let Signature { name, doc, body, inputs, outputs, params, metrics, examples, .. } = signature;
    json!({
        "name": name,
        "module": module(name),
        "template": body.is_some(),
        "doc": doc,
        "inputs": inputs.iter().map(input).collect::<Vec<_>>(),
        "outputs": outputs.iter().map(output).collect::<Vec<_>>(),
        "params": params.iter().map(param).collect::<Vec<_>>(),
        "figures": metrics.iter().map(metric).collect::<Vec<_>>(),
        "examples": examples.iter().map(example).collect::<Vec<_>>(),
    })
}

fn input(port: &InPort) -> Json {
    let InPort { name, types, many, least, optional, refuses, doc, .. } = port;
    json!({"name": name, "types": types, "many": many, "least": least, "optional": optional, "refuses": refuses, "doc": doc})
}

fn output(port: &OutPort) -> Json {
    let OutPort { name, ty, follows, main, marks, marks_with, side, doc, .. } = port;
    let with = marks_with.as_ref().map(|(param, case)| json!({"param": param, "case": case}));
    json!({
        "name": name, "type": ty, "follows": follows, "main": main, "marks": marks, "marks-with": with, "side": side, "doc": doc,
    })
}

fn metric(metric: &Metric) -> Json {
    let Metric { name, better, per_class, doc } = metric;
    let better = if *better == Better::Higher { "higher" } else { "lower" };
    json!({"name": name, "better": better, "per-class": per_class, "doc": doc})
}

fn param(param: &Param) -> Json {
    let of = match &param.ty {
        ParamType::List(of) | ParamType::Map(of) => Some(&**of),
        _ => None,
    };
    let range = param.range.clone().or_else(|| of.unwrap_or(&param.ty).natural_range());
    let cases = param.cases.iter().map(|case| {
        json!({"name": case.name, "doc": case.doc, "params": case.params.iter().map(self::param).collect::<Vec<_>>()})
    });
    json!({
        "name": param.name,
        "type": param.ty.name(),
        "of": of.map(ParamType::name),
        "unit": of.unwrap_or(&param.ty).unit(),
        "range": range.as_ref().map(bounds),
        "default": param.default.as_ref().map_or(Json::Null, value),
        "optional": param.optional,
        "keyed": param.keyed,
        "since": param.since,
        "replaces": param.replaces,
        "names": param.names.map(|names| match names {
            ParamNames::Layers => "layers",
            ParamNames::Classes => "classes",
        }),
        "doc": param.doc,
        "cases": cases.collect::<Vec<_>>(),
        "params": param.params.iter().map(self::param).collect::<Vec<_>>(),
    })
}

fn bounds(range: &Range) -> Json {
    let (least, most, open) = range.bounds();
    json!({"least": number(least), "most": most.map(number), "most-excluded": open})
}

/// A number as JSON; whole numbers without a decimal point.
fn number(value: f64) -> Json {
    if value.fract() == 0.0 && value.abs() < 1e15 { json!(value as i64) } else { json!(value) }
}

fn value(value: &Value) -> Json {
    match value {
        Value::None | Value::Network(_) => Json::Null,
        Value::Bool(flag) => json!(flag),
        Value::Int(number) => json!(number),
        Value::Real(number) => json!(number),
        Value::Text(text) | Value::Path(text) => json!(text),
        Value::List(values) => values.iter().map(self::value).collect(),
        Value::Map(pairs) => Json::Object(pairs.iter().map(|(name, one)| (name.clone(), self::value(one))).collect()),
    }
}

fn example(example: &Example) -> Json {
    json!({"doc": example.doc, "text": manual::text(example), "code": example.code})
}

fn network(network: &Described) -> Json {
    let params =
        network.params.iter().map(|(name, default)| json!({"name": name, "default": default.as_ref().map(entry)}));
    json!({
        "name": network.spec.name,
        "module": module(&network.spec.name),
        "doc": network.doc,
        "params": params.collect::<Vec<_>>(),
    })
}

fn entry(entry: &NodeEntry) -> Json {
    match &entry.value {
        Scalar::Text(text) => json!(text),
        Scalar::Int(number) => json!(number),
        Scalar::Real(number) => json!(number),
        Scalar::Bool(flag) => json!(flag),
        Scalar::Null | Scalar::Wrong => Json::Null,
    }
}

fn layer(kind: &LayerKind) -> Json {
    json!({
        "name": kind.name,
        "named": kind.named,
        "doc": kind.doc,
        "params": kind.params.iter().map(layer_param).collect::<Vec<_>>(),
        "holds": kind.holds,
    })
}

fn layer_param(param: &LayerParam) -> Json {
    let (ty, range, words) = match param.ty {
        PropertyType::Whole(least, most) => {
            // Beyond a million it is a limit of this version, not a property of the layer.
            let most = Some(most).filter(|most| *most <= 1 << 20);
            ("int", json!({"least": least, "most": most, "most-excluded": false}), Vec::new())
        }
        PropertyType::Share => ("share", json!({"least": 0, "most": 1, "most-excluded": true}), Vec::new()),
        PropertyType::Flag => ("bool", Json::Null, Vec::new()),
        PropertyType::Word(words) => ("choice", Json::Null, words.to_vec()),
        PropertyType::Point => ("text", Json::Null, Vec::new()),
    };
    let (default, needed, words_for_absent) = match param.absent {
        DefaultValue::Needed => (Json::Null, true, None),
        DefaultValue::Whole(value) => (json!(value), false, None),
        DefaultValue::Real(value) => (json!(value), false, None),
        DefaultValue::Flag(value) => (json!(value), false, None),
        DefaultValue::Same(other) => (Json::Null, false, Some(format!("that of `{other}`"))),
        DefaultValue::Nothing(words) => (Json::Null, false, Some(words.to_owned())),
    };
    json!({"name": param.name, "type": ty, "range": range, "cases": words, "needed": needed, "default": default,
        "absent": words_for_absent, "doc": param.doc})
}

fn code(page: &catalogue::Page) -> Json {
    json!({"code": page.code, "means": page.means, "example": page.example, "remedy": page.remedy})
}
