//! What is promised of every text: nothing panics, no byte is lost, order and spelling change nothing, a changed parameter
//! changes itself alone.

use std::collections::BTreeMap;

use macula::lang::spec::{Reference, StageSpec};
use macula::lang::value::Value;
use macula::syntax;
use proptest::prelude::*;

use super::{BASELINE, load, set};

/// A stage without its spans.
type Plain = (String, String, Vec<(String, Vec<Reference>)>, BTreeMap<String, (Value, bool)>);

fn plain(stages: &[StageSpec]) -> BTreeMap<String, Plain> {
    let one = |stage: &StageSpec| {
        let inputs = stage.inputs.iter().map(|input| (input.port.clone(), input.from.clone())).collect();
        let params = stage.params.iter().map(|(name, param)| (name.clone(), (param.value.clone(), param.keyed)));
        (stage.stage_type.clone(), stage.implementation.clone(), inputs, params.collect())
    };
    stages.iter().map(|stage| (stage.name.clone(), one(stage))).collect()
}

/// The baseline with its stages in another order and other spaces.
fn shuffled(keys: &[u32], wide: bool) -> String {
    let (head, rest) = BASELINE.split_once("    idrid fundus").expect("its first stage");
    let body = format!("    idrid fundus{}", rest.trim_end().trim_end_matches('}'));
    let mut stages: Vec<String> = Vec::new();
    for line in body.lines().filter(|line| !line.trim().is_empty()) {
        let begins = line.starts_with("    ") && !line.starts_with("     ") && line.trim() != "}";
        match stages.last_mut() {
            Some(last) if !begins => last.extend([line, "\n"]),
            _ => stages.push(format!("{line}\n")),
        }
    }
    let mut order: Vec<(u32, String)> = keys.iter().copied().cycle().zip(stages).collect();
    order.sort();
    let text: String = order.into_iter().map(|(_, stage)| stage).collect();
    let text = if wide { text.replace("; ", "\n\t").replace(" { ", " { /* here */ \n ") } else { text };
    format!("{head}{text}}}\n")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn token_soup_never_panics_and_loses_no_byte(words in prop::collection::vec(prop::sample::select(vec![
        "pipeline", "a", "seed=1", "{", "}", "\n", " ", ";", "extract", "from", "size", "128", "128px", ".5", "50%", "true",
        "#true", "\"", "\"\"\"", "#\"", "'", "[", "]", "(", ")", "=", "/-", "//", "/*", "*/", "\\", "$size", "network", "conv",
        "param", "type=px", "é", ",", "0x", "1e", "-", "#", "train", "a/b", "residual", "body", "block", "use", "\u{feff}", "\r",
    ]), 0..60)) {
        let text = words.concat();
        let tokens = syntax::scan(&text);
        let lengths: usize = tokens.iter().map(|token| token.end - token.start).sum();
        prop_assert_eq!(lengths, text.len());
        load(&text);
        load(&format!("pipeline a seed=1 {{\n{text}\n}}"));
        load(&words.join(" "));
    }

    #[test]
    fn order_and_spelling_change_nothing(keys in prop::collection::vec(any::<u32>(), 11), wide in any::<bool>()) {
        let text = shuffled(&keys, wide);
        let (pipelines, diags) = load(&text);
        prop_assert!(diags.is_empty(), "{:?}\n{}", diags, text);
        prop_assert_eq!(plain(&pipelines[0].stages), plain(&load(BASELINE).0[0].stages));
    }

    #[test]
    fn a_changed_parameter_changes_itself_alone(which in 0usize..6, value in 1i64..=60) {
        let (path, value) = [
            ("patches.size", value + 100),
            ("patches.stride", value),
            ("classifier.epochs", value + 20),
            ("classifier.batch", value + 64),
            ("classifier.patience", value),
            ("classifier.subset", value + 600),
        ][which];
        prop_assume!((path, value) != ("patches.size", 128));
        let before = plain(&load(BASELINE).0[0].stages);
        let (pipelines, diags) = set(BASELINE, &[&format!("{path}={value}")]);
        prop_assert!(diags.is_empty(), "{:?}", diags);
        let after = plain(&pipelines[0].stages);
        let mut changed = Vec::new();
        for (name, stage) in &after {
            for (param, now) in &stage.3 {
                if before[name].3.get(param) != Some(now) {
                    changed.push(format!("{name}.{param}"));
                }
            }
        }
        prop_assert_eq!(changed, [path]);
    }
}

#[test]
fn the_seed_can_be_set_like_a_parameter() {
    let seed = |text: &str, sets: &[&str]| {
        let (pipelines, diags) = super::set(text, sets);
        (pipelines[0].seed, super::codes(&diags))
    };
    assert_eq!(seed("pipeline p seed=7 { synthetic eyes }", &["seed=9"]), (9, vec![]));
    assert_eq!(seed("pipeline p { synthetic eyes }", &["seed=9"]), (9, vec![]), "then it has one");
    assert_eq!(seed("pipeline p seed=7 { synthetic eyes }", &["seed=many"]).1, ["wrong-kind"]);
    let own = "pipeline p seed=7 { param seed type=count default=4; synthetic eyes { photographs $seed } }";
    assert_eq!(seed(own, &["seed=9"]), (7, vec![]), "a parameter of that name comes first");
}
