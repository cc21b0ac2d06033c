//! Parameters of stages that differ from their defaults, in words.

use std::collections::BTreeMap;

use super::facts::private_path;
use crate::lang::signature::Param;
use crate::lang::signatures;
use crate::report::run::ParamFacts;

/// Of the values of a stage's parameters, by dotted name, those that differ from their defaults. `kind` is the type of the stage.
pub(super) fn differing(stage: &str, kind: &str, values: &BTreeMap<String, String>) -> Vec<ParamFacts> {
    let signature = signatures().iter().find(|signature| signature.name == kind);
    let params = signature.map_or(&[][..], |signature| &signature.params);
    let facts = |(name, value): (&String, &String)| {
        let default = default(params, name, "", values);
        (default.as_ref() != Some(value)).then(|| ParamFacts {
            stage: stage.to_owned(),
            name: name.clone(),
            value: private_path(value),
            default,
        })
    };
    values.iter().filter_map(facts).collect()
}

/// Default of a parameter below `path`; of one that only a case has, that in the chosen case.
fn default(params: &[Param], name: &str, path: &str, values: &BTreeMap<String, String>) -> Option<String> {
    let (first, rest) = name.split_once('.').map_or((name, None), |(first, rest)| (first, Some(rest)));
    let param = params.iter().find(|param| param.name == first)?;
    let Some(rest) = rest else {
        let none = || param.optional.then(|| "none".to_owned());
        return param.default.as_ref().map(ToString::to_string).or_else(none);
    };
    let here = format!("{path}{first}");
    let chosen = values.get(&here).and_then(|chosen| param.cases.iter().find(|case| case.name == *chosen));
    let below = format!("{here}.");
    default(&param.params, rest, &below, values)
        .or_else(|| chosen.and_then(|case| default(&case.params, rest, &below, values)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_compared_with_the_default_of_the_chosen_case() {
        let values = [("epochs", "3"), ("optimizer", "sgd"), ("optimizer.momentum", "0.5"), ("batch", "32")];
        let values = values.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let found = differing("classifier", "train", &values);
        let names: Vec<&str> = found.iter().map(|param| param.name.as_str()).collect();
        assert_eq!(names, ["epochs", "optimizer", "optimizer.momentum"]);
        assert!(found[2].default.as_deref().is_some_and(|default| default.parse::<f64>().is_ok()), "{found:?}");
    }
}
