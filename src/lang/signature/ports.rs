//! Ports of signatures: what a stage takes and provides. Knows no parameters.

use super::{argument, doc, flag, known};
use crate::base::Span;
use crate::diag::Diag;
use crate::lang::near;
use crate::lang::port_types::{ANY, TYPES};
use crate::syntax::{Node, NodeEntry, Scalar};

/// What the patches at a port are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortPurpose {
    /// They, or what is computed of them, reach the outputs.
    Content,
    /// Their photographs are left out of the output.
    Exclusion,
    /// They only say on which sides photographs are: the sets of a split, one for each output, in their order.
    Sides,
    /// They only say more about the photographs that another port provides.
    Annotations,
}

/// An input port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InPort {
    /// Its name.
    pub name: String,
    /// The accepted types.
    pub types: Vec<String>,
    /// Whether it takes several references.
    pub many: bool,
    /// How many references it needs at least.
    pub least: usize,
    /// Whether it is optional.
    pub optional: bool,
    /// Marks that its input must not have.
    pub refuses: Vec<String>,
    /// The parameter with the names of the network's inputs that its embeddings are for.
    pub names: Option<String>,
    /// What its patches are for.
    pub purpose: PortPurpose,
    /// Whether its patches should be unseen by the models whose scores the stage gets; a stage with metrics refuses others anyway.
    pub unseen: bool,
    /// The port with whose patches its scores are joined, by photograph and place.
    pub joins: Option<String>,
    /// Documentation.
    pub doc: String,
    /// Position of its declaration.
    pub span: Span,
}

impl InPort {
    /// Whether photographs of its patches are left out of the output.
    #[must_use]
    pub fn excludes(&self) -> bool {
        self.purpose == PortPurpose::Exclusion
    }

    /// Whether it only says on which sides photographs are.
    #[must_use]
    pub fn sides(&self) -> bool {
        self.purpose == PortPurpose::Sides
    }

    /// Whether none of its photographs reach the outputs: it only says something about those of other ports.
    #[must_use]
    pub fn informs(&self) -> bool {
        matches!(self.purpose, PortPurpose::Sides | PortPurpose::Annotations)
    }

    /// Whether it takes training data: possibly resampled, but never test patches.
    #[must_use]
    pub fn fits(&self) -> bool {
        self.refuses("test") && !self.refuses("resampled")
    }

    /// Whether it takes data for a selection: neither resampled nor test patches.
    #[must_use]
    pub fn chooses(&self) -> bool {
        self.refuses("test") && self.refuses("resampled")
    }

    /// Whether its input must not have this mark.
    #[must_use]
    pub fn refuses(&self, mark: &str) -> bool {
        self.refuses.iter().any(|refused| refused == mark)
    }
}

/// An output port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutPort {
    /// Its name; `out` for an unnamed one.
    pub name: String,
    /// Its type.
    pub ty: String,
    /// The input port whose type it has; `ty` if that port has none.
    pub follows: Option<String>,
    /// Whether the stage's name alone refers to it.
    pub main: bool,
    /// Marks that it adds to its data.
    pub marks: Vec<String>,
    /// The parameter and the case with which it adds them; [`None`] if always.
    pub marks_with: Option<(String, String)>,
    /// The parameter with the side of its patches, px.
    pub side: Option<String>,
    /// The parameter with the margin that is stored around them, px.
    pub margin: Option<String>,
    /// The parameter with the name of the embeddings that they get.
    pub embeddings: Option<String>,
    /// The classes of its photographs, if the stage states them.
    pub classes: Option<ClassNames>,
    /// Documentation.
    pub doc: String,
    /// Position of its declaration.
    pub span: Span,
}

/// The classes of a source's photographs, as its signature states them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClassNames {
    /// Always these.
    Fixed(Vec<String>),
    /// Those that these parameters name: the keys of a map, the texts of a list.
    NamedIn(Vec<String>),
}

impl OutPort {
    /// When it adds its marks, in words: ` with PARAM CASE`, or nothing if always.
    #[must_use]
    pub fn when_marked(&self) -> String {
        self.marks_with.as_ref().map_or(String::new(), |(param, case)| format!(" with `{param} {case}`"))
    }
}

/// The words of a facet such as `marks resampled`.
fn words(node: &Node, facet: &str) -> Vec<String> {
    let facets = node.nodes().iter().filter(|child| child.name.text == facet);
    facets.flat_map(Node::args).filter_map(NodeEntry::text).map(str::to_owned).collect()
}

/// The condition of a facet such as `marks resampled around=lesions`.
fn condition(facet: Option<&Node>) -> Option<(String, String)> {
    let (param, case) = facet?.props().next()?;
    Some((param.text.clone(), case.text()?.to_owned()))
}

/// The types of a port as written; [`ANY`] after reporting an unknown type.
fn known_types<'a>(node: &Node, types: &'a str, diags: &mut Vec<Diag>) -> &'a str {
    let Some(unknown) = types.split('|').find(|ty| !TYPES.contains(ty)) else { return types };
    let place = node.prop("type").map_or(node.head, |entry| entry.span);
    let message =
        if unknown.is_empty() { "a port needs `type=`".to_owned() } else { format!("unknown type `{unknown}`") };
    diags.push(Diag::error("unknown-name", place, message).hint(near::hint(unknown, TYPES, "")));
    ANY
}

pub(super) fn in_port(node: &Node, diags: &mut Vec<Diag>) -> InPort {
    let props = ["type", "many", "least", "optional", "excludes", "sides", "annotates", "unseen", "joins"];
    known(node, &props, &["doc", "refuses", "names"], diags);
    let types = node.prop("type").and_then(NodeEntry::text).unwrap_or_default();
    let types = known_types(node, types, diags);
    InPort {
        name: node.args().next().and_then(NodeEntry::text).unwrap_or("in").to_owned(),
        types: types.split('|').map(str::to_owned).collect(),
        many: flag(node, "many").unwrap_or(false),
        least: match node.prop("least").map(|entry| &entry.value) {
            Some(Scalar::Int(least)) => usize::try_from(*least).unwrap_or(1),
            _ => 1,
        },
        optional: flag(node, "optional").unwrap_or(false),
        refuses: words(node, "refuses"),
        names: argument(node.child("names")),
        purpose: match ["excludes", "sides", "annotates"].map(|key| flag(node, key) == Some(true)) {
            [true, ..] => PortPurpose::Exclusion,
            [_, true, _] => PortPurpose::Sides,
            [.., true] => PortPurpose::Annotations,
            _ => PortPurpose::Content,
        },
        unseen: flag(node, "unseen").unwrap_or(false),
        joins: node.prop("joins").and_then(NodeEntry::text).map(str::to_owned),
        doc: doc(node),
        span: node.head,
    }
}

pub(super) fn out_port(node: &Node, of_body: bool, diags: &mut Vec<Diag>) -> OutPort {
    // Marks and patch sizes of a template's outputs are those of its stages.
    let (props, children) = if of_body {
        (&["type", "main", "from"][..], &["doc"][..])
    } else {
        (
            &["type", "main", "follows"][..],
            &["doc", "marks", "side", "margin", "embeddings", "classes", "classes-of"][..],
        )
    };
    known(node, props, children, diags);
    OutPort {
        name: node.args().next().and_then(NodeEntry::text).unwrap_or("out").to_owned(),
        ty: known_types(node, node.prop("type").and_then(NodeEntry::text).unwrap_or_default(), diags).to_owned(),
        follows: node.prop("follows").and_then(NodeEntry::text).map(str::to_owned),
        main: flag(node, "main").unwrap_or(false),
        marks: words(node, "marks"),
        marks_with: condition(node.child("marks")),
        side: argument(node.child("side")),
        margin: argument(node.child("margin")),
        embeddings: argument(node.child("embeddings")),
        classes: match (words(node, "classes-of"), words(node, "classes")) {
            (params, _) if !params.is_empty() => Some(ClassNames::NamedIn(params)),
            (_, fixed) => (!fixed.is_empty()).then_some(ClassNames::Fixed(fixed)),
        },
        doc: doc(node),
        span: node.head,
    }
}
