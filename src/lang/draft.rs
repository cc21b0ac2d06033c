//! Stages while they are checked: what lowering builds and the checks of a whole pipeline read. Knows neither.

use super::arguments::Argument;
use super::fill::EntrySpans;
use super::signature::Signature;
use super::spec::StageSpec;
use crate::base::Span;

/// A stage while it is checked: its specification and its signature.
pub(super) struct Draft<'a> {
    pub(super) spec: StageSpec,
    pub(super) signature: &'a Signature,
    /// For each input, the sites of its references.
    pub(super) sites: Vec<Vec<ReferenceSite>>,
    /// Its name as declared.
    pub(super) declared_name: String,
    /// The frame that declares it.
    pub(super) frame: usize,
    /// The arguments of its ports.
    pub(super) given: Vec<Argument>,
    /// Where its texts, the keys of its maps and the values of its lists stand.
    pub(super) entries: EntrySpans,
    /// Whether it reads stages of a `repeat` whose count is not known, because a body is checked by itself.
    pub(super) open: bool,
    /// The uses of the templates around it, the innermost first, with their names.
    pub(super) used: Vec<(Span, String)>,
}

/// Position of a reference, and its path through templates to a stage, each step with a label.
pub(super) struct ReferenceSite {
    pub(super) span: Span,
    pub(super) path: Vec<(Span, String)>,
}
