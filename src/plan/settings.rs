//! Settings of the stages that led to a page's input: seeds, and parameters that differ from their defaults. Knows no result.
//!
//! Paths are left out, because their spelling means nothing on another machine, and so is all that is in no key. The order is that
//! of the graph, not of the file, so that a page's key does not depend on the latter.

use std::collections::{BTreeMap, BTreeSet};

use super::graph::{Graph, StageId};
use super::keys::holds_path;
use crate::lang::signature::Param;
use crate::lang::spec::StageSpec;
use crate::lang::stdlib::stdlib;
use crate::lang::value::Value;
use crate::stage::{Implementation, StageSettings};

/// Settings of a stage and of all stages above it, sources first. `of` gives the specification and the implementation of each.
pub(super) fn settings<'a>(
    graph: &Graph,
    id: StageId,
    of: impl Fn(StageId) -> (&'a StageSpec, &'a Implementation),
) -> Vec<StageSettings> {
    let above = graph.with_needs(&[id]);
    let mut depths: BTreeMap<StageId, usize> = BTreeMap::new();
    let mut all: BTreeSet<(usize, StageSettings)> = BTreeSet::new();
    for &id in graph.order().iter().filter(|id| above.contains(id)) {
        let needs = graph.needs(id);
        let depth = needs.iter().filter_map(|id| depths.get(id)).max().map_or(0, |depth| depth + 1);
        depths.insert(id, depth);
        let (stage, implementation) = of(id);
        all.insert((
            depth,
            StageSettings {
                stage: stage.base_name.clone(),
                kind: stage.stage_type.clone(),
                seed: implementation.seeded.then_some(stage.seed),
                params: changed(stage),
            },
        ));
    }
    all.into_iter().map(|(_, settings)| settings).collect()
}

/// Parameters of a stage that differ from their defaults, as text.
fn changed(stage: &StageSpec) -> BTreeMap<String, String> {
    let signature = stdlib().signatures.iter().find(|signature| signature.name == stage.stage_type);
    let params = signature.map_or(&[][..], |signature| &signature.params);
    let given = stage.values();
    let differs =
        |(name, value): &(&String, &Value)| !holds_path(value) && default(params, name, "", &given) != Some(value);
    let shown = |(name, value): (&String, &Value)| (name.clone(), value.to_string());
    stage.keyed().filter(differs).map(shown).collect()
}

/// Default of the parameter `name`, which is below `path`; of a parameter of a case, the default in the case that was chosen.
fn default<'a>(params: &'a [Param], name: &str, path: &str, given: &BTreeMap<String, Value>) -> Option<&'a Value> {
    let (first, rest) = name.split_once('.').map_or((name, None), |(first, rest)| (first, Some(rest)));
    let param = params.iter().find(|param| param.name == first)?;
    let Some(rest) = rest else { return Some(param.default.as_ref().unwrap_or(&Value::None)) };
    let here = format!("{path}{first}");
    let below = format!("{here}.");
    let of_case = || match given.get(&here) {
        Some(Value::Text(chosen)) => {
            let case = param.cases.iter().find(|case| case.name == *chosen)?;
            default(&case.params, rest, &below, given)
        }
        _ => None,
    };
    default(&param.params, rest, &below, given).or_else(of_case)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_of_a_case_is_that_of_the_case_chosen() {
        let train = stdlib().signatures.iter().find(|signature| signature.name == "train").expect("a stage");
        let of = |name: &str, optimizer: &str| {
            let given = BTreeMap::from([("optimizer".to_owned(), Value::Text(optimizer.to_owned()))]);
            default(&train.params, name, "", &given).cloned()
        };
        assert!(matches!(of("epochs", "adamw"), Some(Value::Int(_))));
        assert!(matches!(of("optimizer.momentum", "sgd"), Some(Value::Real(_))));
        assert_eq!(of("optimizer.momentum", "adamw"), None, "it is a parameter of SGD only");
        assert!(matches!(of("optimizer.lr", "sgd"), Some(Value::Real(_))));
        assert_eq!(of("no-such", "sgd"), None);
    }
}
