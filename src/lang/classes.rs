//! Lesion classes that are known before anything runs: those of sources whose signatures state them. Knows no folder.

use std::collections::BTreeSet;

use super::signature::{ClassNames, Signature};
use super::spec::{Reference, StageSpec};
use super::value::Value;

/// Stages that lead from a photograph to a metric are fewer.
const MOST_STEPS: usize = 1000;

/// The classes of what an output holds, or was made from: those of the source at the start of its path, which goes through the first port of
/// each stage. [`None`] if that source does not state them.
pub(super) fn classes<'a>(
    from: &Reference,
    find: impl Fn(&str) -> Option<(&'a StageSpec, &'a Signature)>,
) -> Option<Vec<String>> {
    let mut from = from;
    for _ in 0..MOST_STEPS {
        let (stage, signature) = find(&from.stage)?;
        match signature.output(Some(&from.port))?.classes.as_ref() {
            Some(ClassNames::Fixed(names)) => return Some(names.clone()),
            Some(ClassNames::NamedIn(params)) => {
                let mut names: Vec<String> = params.iter().flat_map(|param| named_in(stage.value(param))).collect();
                let mut seen = BTreeSet::new();
                names.retain(|name| seen.insert(name.clone()));
                return (!names.is_empty()).then_some(names);
            }
            None => from = stage.inputs.first()?.from.first()?,
        }
    }
    None
}

/// Classes that a parameter names: the keys of a map, the texts of a list.
fn named_in(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::Map(pairs)) => pairs.keys().cloned().collect(),
        Some(Value::List(names)) => names.iter().map(Value::to_string).collect(),
        _ => Vec::new(),
    }
}

/// Hint for a class that is not among `classes`.
pub(super) fn hint(name: &str, classes: &[String]) -> String {
    let all = classes.join(", ");
    // Names of two letters are too short to be near each other, but not to differ in case.
    let near = classes.iter().find(|class| class.eq_ignore_ascii_case(name)).map(String::as_str);
    match near.or_else(|| super::near::near(name, classes.iter().map(String::as_str))) {
        Some(near) => format!("did you mean `{near}`? the classes are {all}"),
        None => format!("the classes are {all}"),
    }
}
