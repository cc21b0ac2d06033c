//! What a parameter means to the checker, beyond its value.

use crate::syntax::{Node, Scalar};

/// What the checker concludes from a parameter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ParamRole {
    /// Nothing.
    #[default]
    Plain,
    /// For a stage that divides photographs: their sides follow from it and their names alone, if the choice with a case of its name takes
    /// that case (`divides=#true`).
    Divides,
    /// `#true` makes an evaluation a diagnosis, which may be of patches that the model has seen (`diagnoses=#true`).
    Diagnoses,
    /// Unless it is `#true`, the stage gets no labels of test photographs (`withholds=#true`).
    Withholds,
}

/// The words of the roles in a declaration.
pub(super) const ROLES: [(&str, ParamRole); 3] =
    [("divides", ParamRole::Divides), ("diagnoses", ParamRole::Diagnoses), ("withholds", ParamRole::Withholds)];

impl ParamRole {
    /// The role in a declaration.
    pub(super) fn read(node: &Node) -> Self {
        let is_set = |word: &str| node.prop(word).is_some_and(|entry| entry.value == Scalar::Bool(true));
        ROLES.iter().find(|(word, _)| is_set(word)).map_or(Self::Plain, |(_, role)| *role)
    }
}
