//! Signatures of stages: ports, and parameters with type, range, default and documentation. Those of built-in stages are in
//! `stdlib/`; templates, users' and those of `stdlib/`, have a body of other stages instead of an implementation.

mod ports;

use std::collections::BTreeMap;

use super::near;
use super::param_role::{ParamRole, ROLES};
use super::param_type::{NAMES, ParamType, Range, value};
use super::value::Value;
use crate::base::Span;
use crate::diag::Diag;
use crate::syntax::{Node, NodeEntry, Scalar};
use ports::{in_port, out_port};

pub use ports::{ClassNames, InPort, OutPort, PortPurpose};

/// The signature of a stage type.
#[derive(Clone, Debug)]
pub struct Signature {
    /// The name of the stage type.
    pub name: String,
    /// What it does, in one or two sentences.
    pub doc: String,
    /// The name of the Rust implementation; empty for a template.
    pub implementation: String,
    /// The body of a template.
    pub body: Option<Body>,
    /// Input ports, in order.
    pub inputs: Vec<InPort>,
    /// Output ports, in order.
    pub outputs: Vec<OutPort>,
    /// Parameters, in order.
    pub params: Vec<Param>,
    /// Metrics by which points of a sweep can be ranked.
    pub metrics: Vec<Metric>,
    /// Correct and incorrect examples; both are tested.
    pub examples: Vec<Example>,
    /// The signatures with outputs of other types, if these follow an input port that takes several.
    pub variants: Vec<Signature>,
    /// Its name in its declaration.
    pub span: Span,
}

/// The body of a template.
#[derive(Clone, Debug)]
pub struct Body {
    /// Its stages.
    pub nodes: Vec<Node>,
    /// For each output, the reference that provides it; [`None`] if it is wrong, which was reported.
    pub gives: Vec<Option<NodeEntry>>,
}

/// The origin of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The standard library: only there is `impl` allowed.
    Library,
    /// A user's file.
    User,
}

/// A metric of a stage, such as mean average precision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// Which of two values is better.
    pub better: Better,
    /// Whether it exists per class; its name is then followed by a dot and the class: `average-precision.MA`.
    pub per_class: bool,
    /// Documentation.
    pub doc: String,
}

/// Which of two values of a metric is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// The higher one.
    Higher,
    /// The lower one.
    Lower,
}

/// A parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct Param {
    /// Its name.
    pub name: String,
    /// Documentation.
    pub doc: String,
    /// Its type.
    pub ty: ParamType,
    /// The range of a number.
    pub range: Option<Range>,
    /// Its default.
    pub default: Option<Value>,
    /// Whether it is optional.
    pub optional: bool,
    /// The version that added it with a default that changes nothing: at that default it is excluded from the key.
    pub since: Option<String>,
    /// Whether it is part of the key.
    pub keyed: bool,
    /// Another parameter that it replaces: at most one of the two can be set.
    pub replaces: Option<String>,
    /// What the checker concludes from it.
    pub role: ParamRole,
    /// For a stage that divides photographs: the case of a choice with which, at 0, the set of its name follows from the photographs alone.
    pub fixes: Option<String>,
    /// For an omitted folder: the parameter with a file whose folder it is then.
    pub folder_of: Option<String>,
    /// What the keys of a map or the values of a list name, if they name something that is known before anything runs.
    pub names: Option<ParamNames>,
    /// A part that the stage adds to its network, for a parameter that names such parts.
    pub also: Option<String>,
    /// For a group, its parameters; for a choice, those that all cases share.
    pub params: Vec<Param>,
    /// The cases of a choice.
    pub cases: Vec<Case>,
}

/// What the entries of a parameter name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamNames {
    /// Parts of the stage's network: `layer4`, `layer1.0`.
    Layers,
    /// Lesion classes of its data.
    Classes,
}

/// A case of a choice.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// Documentation; often empty.
    pub doc: String,
    /// Parameters of this case only.
    pub params: Vec<Param>,
}

/// An example of a signature's use.
#[derive(Clone, Debug)]
pub struct Example {
    /// Documentation.
    pub doc: String,
    /// The stages.
    pub stages: Vec<Node>,
    /// The code of the error or warning that it gives; [`None`] for a correct example.
    pub code: Option<String>,
    /// Span of the whole block.
    pub span: Span,
}

impl Signature {
    /// The output named `port`, or the main output.
    #[must_use]
    pub fn output(&self, port: Option<&str>) -> Option<&OutPort> {
        match (port, self.outputs.as_slice()) {
            (Some(port), outputs) => outputs.iter().find(|output| output.name == port),
            (None, [only]) => Some(only),
            (None, outputs) => outputs.iter().find(|output| output.main),
        }
    }

    /// The types that one of its outputs may have.
    #[must_use]
    pub fn types<'a>(&'a self, out: &'a OutPort) -> &'a [String] {
        let followed = out.follows.as_ref().and_then(|port| self.input(port));
        followed.map_or(std::slice::from_ref(&out.ty), |port| &port.types)
    }

    /// The types of one of its outputs in words.
    #[must_use]
    pub fn types_in_words(&self, out: &OutPort) -> String {
        let types = self.types(out).join(" or ");
        out.follows.as_ref().map_or_else(|| types.clone(), |port| format!("{types}, as at `{port}`"))
    }

    /// The default of every parameter, by dotted name; [`Value::None`] if it has none. For a choice, those of its default case.
    #[must_use]
    pub fn defaults(&self) -> BTreeMap<String, Value> {
        let mut all = BTreeMap::new();
        defaults(&self.params, "", &mut all);
        all
    }

    /// The input port with a name.
    #[must_use]
    pub fn input(&self, port: &str) -> Option<&InPort> {
        self.inputs.iter().find(|input| input.name == port)
    }

    /// Whether it divides photographs into sets, one of which is for testing.
    #[must_use]
    pub fn divides(&self) -> bool {
        self.outputs.iter().any(|out| out.marks.iter().any(|mark| mark == "test"))
    }

    /// The names allowed in its braces.
    pub fn children(&self) -> impl Iterator<Item = &str> {
        let ports = self.inputs.iter().map(|input| input.name.as_str());
        ports.chain(self.params.iter().map(|param| param.name.as_str()))
    }
}

/// Reads one `stage` node.
#[must_use]
pub fn read(node: &Node, origin: Origin) -> (Option<Signature>, Vec<Diag>) {
    let mut diags = Vec::new();
    let name = node.args().next().and_then(|entry| Some((entry.text()?.to_owned(), entry.span)));
    let Some((name, span)) = name else {
        let found = Diag::error("missing-name", node.head, "a stage needs a name");
        return (None, vec![found.hint("write `stage balanced-patches { … body { … } }`")]);
    };
    let mut signature = Signature {
        doc: doc(node),
        implementation: argument(node.child("impl")).unwrap_or_default(),
        body: None,
        name,
        inputs: Vec::new(),
        outputs: Vec::new(),
        params: Vec::new(),
        metrics: Vec::new(),
        examples: Vec::new(),
        variants: Vec::new(),
        span,
    };
    for child in node.nodes() {
        match child.name.text.as_str() {
            "doc" | "body" => {}
            "impl" if origin == Origin::Library => {}
            "impl" => {
                let found = Diag::error("impl-outside-std", child.head, "only the standard library can use `impl`");
                diags.push(found.hint("give the stage a `body { … }` made of other stages"));
            }
            "in" => signature.inputs.push(in_port(child, &mut diags)),
            "out" => signature.outputs.push(out_port(
                child,
                origin == Origin::User || node.child("body").is_some(),
                &mut diags,
            )),
            "param" => signature.params.extend(param(child, &mut diags)),
            "figure" if origin == Origin::Library => signature.metrics.extend(metric(child, &mut diags)),
            "example" => signature.examples.push(example(child, false)),
            "counter-example" => signature.examples.push(example(child, true)),
            other => {
                let parts = ["doc", "in", "out", "param", "body", "example", "counter-example"];
                let hint = match near::near(other, parts) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "put stages into its `body { … }`".to_owned(),
                };
                diags.push(bad(child, &format!("`{other}` is not allowed in a stage declaration")).hint(hint));
            }
        }
    }
    if let Some(body) = node.child("body") {
        signature.body = Some(self::body(node, body, &signature, &mut diags));
    } else if signature.implementation.is_empty() && diags.is_empty() {
        let found = Diag::error("missing-body", span, format!("stage `{}` has no body", signature.name));
        diags.push(found.hint("add a `body { … }` with its stages"));
    }
    let mut names: Vec<&str> = signature.children().collect();
    names.sort_unstable();
    if let Some((name, _)) = names.iter().zip(names.iter().skip(1)).find(|(one, next)| one == next) {
        let found = Diag::error("duplicate-name", span, format!("two of its ports or parameters are named `{name}`"));
        diags.push(found.hint("rename one of them"));
    }
    signature.variants = variants(&signature);
    (Some(signature), diags)
}

/// The signatures with outputs of the other types of the port that these follow.
fn variants(signature: &Signature) -> Vec<Signature> {
    let followed = signature.outputs.iter().find_map(|out| Some((signature.input(out.follows.as_ref()?)?, &out.ty)));
    let Some((port, own)) = followed else { return Vec::new() };
    let of_type = |ty: &String| {
        let mut variant = signature.clone();
        variant.outputs.iter_mut().filter(|out| out.follows.is_some()).for_each(|out| out.ty.clone_from(ty));
        variant
    };
    port.types.iter().filter(|ty| *ty != own).map(of_type).collect()
}

/// The body of a template, and the source of each output.
fn body(stage: &Node, body: &Node, signature: &Signature, diags: &mut Vec<Diag>) -> Body {
    if signature.implementation.is_empty() {
        if signature.outputs.is_empty() {
            let found =
                Diag::error("missing-port", signature.span, format!("stage `{}` has no output", signature.name));
            diags.push(found.hint("add `out type=patches from=STAGE`, where STAGE is in its body"));
        }
    } else if diags.iter().all(|diag| diag.code != "impl-outside-std") {
        diags.push(bad(body, "a stage has `impl` or a body, not both"));
    }
    for param in &signature.params {
        let cases_with_params = param.cases.iter().any(|case| !case.params.is_empty()) || !param.params.is_empty();
        if matches!(param.ty, ParamType::Group | ParamType::Map(_)) || cases_with_params {
            let place = stage.nodes().iter().find(|node| {
                node.name.text == "param" && node.args().next().and_then(NodeEntry::text) == Some(&param.name)
            });
            let span = place.map_or(signature.span, |node| node.head);
            let message = format!("template parameters must be scalar: `{}` is a {}", param.name, param.ty.name());
            diags.push(Diag::error("wrong-kind", span, message).hint("declare one parameter per entry"));
        }
    }
    let outs = stage.nodes().iter().filter(|child| child.name.text == "out");
    let gives = outs.map(|out| {
        let from = out.prop("from");
        if from.and_then(NodeEntry::text).is_none() {
            let found = Diag::error("missing-port", out.head, "this output has no source");
            diags.push(found.hint("add `from=STAGE`, a stage of the body, or one of its outputs: `from=folds.train`"));
        }
        from.filter(|from| from.text().is_some()).cloned()
    });
    Body { gives: gives.collect(), nodes: body.nodes().to_vec() }
}

fn bad(node: &Node, text: &str) -> Diag {
    Diag::error("signature", node.head, text)
}

fn doc(node: &Node) -> String {
    argument(node.child("doc")).unwrap_or_default()
}

fn argument(node: Option<&Node>) -> Option<String> {
    node.and_then(|node| node.args().next()).and_then(NodeEntry::text).map(str::to_owned)
}

fn flag(node: &Node, key: &str) -> Option<bool> {
    node.prop(key).and_then(|entry| if let Scalar::Bool(flag) = entry.value { Some(flag) } else { None })
}

fn known(node: &Node, props: &[&str], children: &[&str], diags: &mut Vec<Diag>) {
    let props_and_children: Vec<&str> = props.iter().chain(children).copied().collect();
    let props = node.props().filter(|(key, _)| !props.contains(&key.text.as_str())).map(|(key, _)| key);
    let nodes = node.nodes().iter().map(|child| &child.name).filter(|name| !children.contains(&name.text.as_str()));
    for word in props.chain(nodes) {
        let message = format!("`{}` is not allowed here", word.text);
        let all = props_and_children.iter().copied();
        let hint = near::hint(&word.text, all, "remove it");
        diags.push(Diag::error("signature", word.span, message).hint(hint));
    }
}

/// Reads `figure average-precision better=higher per=class { doc "…" }`.
fn metric(node: &Node, diags: &mut Vec<Diag>) -> Option<Metric> {
    known(node, &["better", "per"], &["doc"], diags);
    let word = |key: &str| node.prop(key).and_then(NodeEntry::text);
    let better = match word("better") {
        Some("higher") => Better::Higher,
        Some("lower") => Better::Lower,
        _ => {
            diags.push(bad(node, "a metric needs `better=higher` or `better=lower`"));
            return None;
        }
    };
    let name = node.args().next().and_then(NodeEntry::text)?.to_owned();
    Some(Metric { name, better, per_class: word("per") == Some("class"), doc: doc(node) })
}

/// Reads a `param` node of a signature, or of a pipeline.
pub(super) fn param(node: &Node, diags: &mut Vec<Diag>) -> Option<Param> {
    let facets = [
        "type",
        "of",
        "range",
        "default",
        "optional",
        "since",
        "keyed",
        "replaces",
        "fixes",
        "folder-of",
        "names",
        "also",
    ];
    let facets: Vec<&str> = facets.into_iter().chain(ROLES.map(|(word, _)| word)).collect();
    let Some(name) = node.args().next().and_then(NodeEntry::text) else {
        if let Some((key, entry)) = node.props().find(|(key, _)| !facets.contains(&key.text.as_str())) {
            let message = "a `param` is not declared with `=`";
            let hint = format!("write `param {} type=… default={}`", key.text, entry.value);
            diags.push(Diag::error("equals", entry.whole, message).hint(hint));
            return None;
        }
        diags.push(
            Diag::error("missing-name", node.head, "a parameter needs a name").hint("write `param size type=px`"),
        );
        return None;
    };
    known(node, &facets, &["doc", "param", "case"], diags);
    let of = node.prop("of").and_then(NodeEntry::text);
    let Some(ty) = node.prop("type") else {
        let found = Diag::error("missing-param", node.head, format!("parameter `{name}` needs `type=`"));
        let form = match node.args().nth(1).map(|entry| &entry.value) {
            Some(Scalar::Int(value)) => format!("write `param {name} type=… default={value}`; "),
            _ => String::new(),
        };
        diags.push(found.hint(format!("{form}types are {}", near::names(NAMES))));
        return None;
    };
    let Some(kind) = ty.text().and_then(|ty| ParamType::named(ty, of)) else {
        let found = Diag::error("unknown-name", ty.span, format!("unknown type `{}`", ty.text().unwrap_or("…")));
        diags.push(found.hint(near::hint(ty.text().unwrap_or_default(), NAMES, "")));
        return None;
    };
    let range = node.prop("range").and_then(|entry| {
        let range = entry.text().and_then(Range::read);
        if range.is_none() {
            let found = Diag::error("wrong-kind", entry.span, format!("invalid range for `{name}`"));
            diags.push(found.hint("write `range=\"8..=1024\"`, `range=\"0..<1\"` or `range=\"1..\"`"));
        }
        range
    });
    let default = node.prop("default").and_then(|entry| match default(&kind, range.as_ref(), entry) {
        Ok(value) => Some(value),
        Err(refusal) => {
            let found = Diag::error(refusal.code, entry.span, format!("default of `{name}` {}", refusal.text));
            let hint = match &kind {
                ParamType::Map(_) => format!("write e.g. `{name} MA 1.0 EX 0.5`"),
                _ => refusal.hint,
            };
            diags.push(found.hint(hint));
            None
        }
    });
    let params = node.nodes().iter().filter(|child| child.name.text == "param");
    let cases = node.nodes().iter().filter(|child| child.name.text == "case");
    let param = Param {
        name: name.to_owned(),
        doc: doc(node),
        ty: kind,
        range,
        default,
        optional: flag(node, "optional").unwrap_or(false),
        since: node.prop("since").and_then(NodeEntry::text).map(str::to_owned),
        keyed: flag(node, "keyed").unwrap_or(true),
        replaces: node.prop("replaces").and_then(NodeEntry::text).map(str::to_owned),
        role: ParamRole::read(node),
        fixes: node.prop("fixes").and_then(NodeEntry::text).map(str::to_owned),
        folder_of: node.prop("folder-of").and_then(NodeEntry::text).map(str::to_owned),
        names: match node.prop("names").and_then(NodeEntry::text) {
            Some("layers") => Some(ParamNames::Layers),
            Some("classes") => Some(ParamNames::Classes),
            _ => None,
        },
        also: node.prop("also").and_then(NodeEntry::text).map(str::to_owned),
        params: params.filter_map(|child| self::param(child, diags)).collect(),
        cases: cases.filter_map(|child| case(child, diags)).collect(),
    };
    if let (ParamType::Choice, Some(Value::Text(default))) = (&param.ty, &param.default)
        && param.cases.iter().all(|case| case.name != *default)
        && !param.cases.is_empty()
    {
        diags.push(bad(node, &format!("`{name}` has no case `{default}`")));
    }
    Some(param)
}

fn defaults(params: &[Param], prefix: &str, all: &mut BTreeMap<String, Value>) {
    for param in params {
        let path = format!("{prefix}{}", param.name);
        let below = format!("{path}.");
        defaults(&param.params, &below, all);
        if let Some(Value::Text(default)) = &param.default
            && let Some(case) = param.cases.iter().find(|case| case.name == *default)
        {
            defaults(&case.params, &below, all);
        }
        if param.ty != ParamType::Group {
            all.insert(path, param.default.clone().unwrap_or(Value::None));
        }
    }
}

/// A default; that of a list is given as one string.
fn default(kind: &ParamType, range: Option<&Range>, entry: &NodeEntry) -> Result<Value, super::param_type::Refusal> {
    match (kind, entry.text()) {
        (ParamType::List(of), Some(text)) => {
            let parts = text.split_whitespace().map(|part| {
                let whole = part.parse().ok().filter(|_| **of == ParamType::Count).map(Scalar::Int);
                let real = || part.parse().map_or_else(|_| Scalar::Text(part.to_owned()), Scalar::Real);
                let value = whole.unwrap_or_else(real);
                super::param_type::value(of, range, None, &NodeEntry { value, ..entry.clone() })
            });
            parts.collect::<Result<_, _>>().map(Value::List)
        }
        _ => value(kind, range, None, entry),
    }
}

fn case(node: &Node, diags: &mut Vec<Diag>) -> Option<Case> {
    known(node, &[], &["doc", "param"], diags);
    let Some(name) = node.args().next().and_then(NodeEntry::text) else {
        diags.push(bad(node, "a case needs a name"));
        return None;
    };
    let params = node.nodes().iter().filter(|child| child.name.text == "param");
    Some(Case {
        name: name.to_owned(),
        doc: doc(node),
        params: params.filter_map(|child| param(child, diags)).collect(),
    })
}

/// `example "words" { stages }` and `counter-example code "words" { stages }`.
fn example(node: &Node, counter: bool) -> Example {
    let mut texts = node.args().filter_map(NodeEntry::text).map(str::to_owned);
    let code = if counter { Some(texts.next().unwrap_or_default()) } else { None };
    Example { doc: texts.next().unwrap_or_default(), stages: node.nodes().to_vec(), code, span: node.span }
}
