//! Inputs whose labels a stage must not get: those of test photographs, given to a stage whose work nobody can check.

use std::collections::{BTreeMap, BTreeSet};

use super::lineage::{Lineages, meet};
use super::{DraftGraph, Marked};
use crate::lang::param_role::ParamRole;
use crate::lang::port_types::CARRIERS;
use crate::lang::spec::ParamValue;
use crate::lang::value::Value;

/// The parameter that lists such inputs. The language sets it, so that the result's key and its recipe say what was withheld.
const WITHHELD: &str = "withheld";

/// Types with a table of labels that are made from patches.
const WITH_LABELS: [&str; 2] = ["predictions", "scores"];

impl DraftGraph<'_> {
    /// For each stage, the parameter with the inputs whose labels are withheld, if there are any: `patches`, or `patches[1]` of several.
    pub(super) fn withheld(&self, marked: &Marked, lineages: &Lineages) -> Vec<Option<(String, ParamValue)>> {
        let param = |stage: usize| {
            let inputs: Vec<Value> = self.withheld_of(stage, marked, lineages).into_iter().map(Value::Text).collect();
            (!inputs.is_empty()).then(|| (WITHHELD.to_owned(), Value::List(inputs).into()))
        };
        (0..self.drafts.len()).map(param).collect()
    }

    fn withheld_of(&self, stage: usize, marked: &Marked, lineages: &Lineages) -> Vec<String> {
        let draft = &self.drafts[stage];
        let mut flags = draft.signature.params.iter().filter(|param| param.role == ParamRole::Withholds);
        if flags.all(|flag| draft.spec.value(&flag.name) == Some(&Value::Bool(true))) {
            return Vec::new();
        }
        let judged = self.judged_below(stage, marked);
        let mut found = Vec::new();
        for input in &draft.spec.inputs {
            for (at, reference) in input.from.iter().enumerate() {
                let Some(&source) = self.by_name.get(reference.stage.as_str()) else { continue };
                let given = (source, reference.port.as_str());
                if self.shows_test(given, &judged, marked, lineages) {
                    let many = input.from.len() > 1;
                    found.push(if many { format!("{}[{at}]", input.port) } else { input.port.clone() });
                }
            }
        }
        found
    }

    /// Whether an output has labels of a test set; or, if it was not split, of photographs of those in `judged`.
    fn shows_test(
        &self,
        given: (usize, &str),
        judged: &BTreeSet<(usize, &str)>,
        marked: &Marked,
        lineages: &Lineages,
    ) -> bool {
        let (mut reached, mut todo) = (BTreeSet::new(), vec![given]);
        while let Some(given) = todo.pop() {
            if !reached.insert(given) {
                continue;
            }
            let Some(out) = self.drafts[given.0].signature.output(Some(given.1)) else { continue };
            if CARRIERS.contains(&out.ty.as_str()) {
                let is_marked = marked.get(&given).is_some_and(|marks| marks.contains_key("test"));
                if is_marked || judged.iter().any(|test| share(lineages, given, *test)) {
                    return true;
                }
            } else if WITH_LABELS.contains(&out.ty.as_str()) {
                let contents = self.contents(given.0);
                todo.extend(contents.map(|(reference, _, source)| (source, reference.port.as_str())));
            }
        }
        false
    }

    /// The test sets that stages below a stage get.
    fn judged_below(&self, stage: usize, marked: &Marked) -> BTreeSet<(usize, &str)> {
        let mut readers: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for reader in 0..self.drafts.len() {
            self.references(reader).for_each(|(.., source)| readers.entry(source).or_default().push(reader));
        }
        let (mut reached, mut todo) = (BTreeSet::from([stage]), vec![stage]);
        while let Some(at) = todo.pop() {
            todo.extend(readers.get(&at).into_iter().flatten().filter(|reader| reached.insert(**reader)));
        }
        reached.remove(&stage);
        let given = reached.into_iter().flat_map(|at| self.given(at)).map(|(.., data)| data);
        given.filter(|data| marked.get(data).is_some_and(|marks| marks.contains_key("test"))).collect()
    }
}

/// Whether two outputs may contain the same photographs.
fn share<'a>(lineages: &Lineages<'a>, one: (usize, &'a str), other: (usize, &'a str)) -> bool {
    let (Some(one), Some(other)) = (lineages.get(&one), lineages.get(&other)) else { return false };
    one.iter().any(|one| other.iter().any(|other| meet(one, other)))
}
