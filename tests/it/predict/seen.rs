//! What a model has seen: which photographs `macula predict` warns about, and what a copy of a model says about them.

use std::collections::{BTreeMap, BTreeSet};

use macula::base::Digest;
use macula::data::provenance::patient_digest;
use serde_json::Value;

use super::{PIPELINE, bytes, json, made};
use crate::space::{Said, Space};

/// Photographs with patches in a set.
fn photographs(space: &Space, set: &str) -> BTreeSet<String> {
    let files = space.files(&format!("results/{set}/shards")).into_iter();
    files.filter_map(|file| file.strip_suffix(".safetensors").map(str::to_owned)).collect()
}

/// The file of a photograph, relative to the project.
fn file(space: &Space, source: &str, name: &str) -> String {
    let found =
        space.files(&format!("results/{source}/{name}")).into_iter().find(|file| file.starts_with("photograph."));
    format!("results/{source}/{name}/{}", found.expect("a photograph"))
}

fn digests(space: &Space, source: &str, names: &BTreeSet<String>) -> BTreeSet<String> {
    names.iter().map(|name| Digest::of(&bytes(space, &file(space, source, name))).to_string()).collect()
}

fn texts(list: &Value) -> BTreeSet<String> {
    list.as_array().expect("a list").iter().map(|text| text.as_str().expect("a text").to_owned()).collect()
}

fn seen(said: &Said) -> BTreeMap<String, Value> {
    let object: Value = serde_json::from_str(&said.raw).expect("JSON");
    let photographs = object["photographs"].as_array().expect("photographs").iter();
    photographs.map(|one| (one["photograph"].as_str().expect("a name").to_owned(), one["seen"].clone())).collect()
}

#[test]
fn predict_says_which_photographs_the_classifier_was_trained_on() {
    let space = made();
    let [fitted, chosen, tested] =
        ["train", "valid", "test"].map(|set| photographs(&space, &format!("small/folds/{set}")));
    assert!(!fitted.is_empty() && !chosen.is_empty() && !tested.is_empty());
    let all: Vec<&String> = fitted.iter().chain(&chosen).chain(&tested).collect();
    assert_eq!(all.len(), 6);
    // Copies under other names: a photograph is known by its bytes.
    for (at, name) in all.iter().enumerate() {
        let file = file(&space, "small/eyes", name);
        std::fs::copy(space.path(&file), space.path(&format!("new{at}.png"))).expect("copied");
    }
    let copies: Vec<String> = (0..all.len()).map(|at| format!("new{at}.png")).collect();
    let said = space.macula(&format!("predict pipeline.kdl classifier --json {}", copies.join(" "))).code(0);
    let purposes = seen(&said);
    for (at, name) in all.iter().enumerate() {
        let expected = match name {
            name if fitted.contains(*name) => Value::from("fitted"),
            name if chosen.contains(*name) => Value::from("chosen"),
            _ => Value::Null,
        };
        assert_eq!(purposes[&format!("new{at}")], expected, "{name}");
    }
    let count = all.len();
    said.says(&[
        "warning[seen-photographs]",
        &format!("`classifier` was trained on {} of {count} photographs: `new0`", fitted.len()),
        &format!("`classifier` was selected on {} of {count} photographs", chosen.len()),
    ]);

    // Photographs that it has not seen are scored without a word, also if they were cut into patches.
    let new: Vec<String> = tested.iter().map(|name| file(&space, "small/eyes", name)).collect();
    for file in new {
        let said = space.macula(&format!("predict pipeline.kdl classifier {file}")).code(0);
        said.says_not(&["seen-photographs", "note:"]);
    }
}

#[test]
fn a_copy_of_a_model_names_its_photographs_only_if_asked() {
    let space = made();
    let [fitted, chosen] = ["train", "valid"].map(|set| photographs(&space, &format!("small/folds/{set}")));
    space.macula("get pipeline.kdl classifier plain").code(0);
    assert!(bytes(&space, "plain/model.json") == bytes(&space, "results/small/classifier/model.json"));
    assert_eq!(json(&space, "plain/model.json")["provenance"], Value::Null);

    for link in ["", "--link"] {
        space.macula(&format!("get pipeline.kdl classifier told{link} --with-provenance {link}")).code(0);
        let mut model = json(&space, &format!("told{link}/model.json"));
        let provenance = model.as_object_mut().expect("an object").remove("provenance").expect("provenance");
        assert_eq!(model, json(&space, "plain/model.json"), "the rest is the same");
        assert_eq!(texts(&provenance["fitted"]["photographs"]), digests(&space, "small/eyes", &fitted));
        assert_eq!(texts(&provenance["chosen"]["photographs"]), digests(&space, "small/eyes", &chosen));
        let patient = |name: &String| {
            let facts = json(&space, &format!("results/small/eyes/{name}/facts.json"));
            patient_digest(facts["patient"].as_str().expect("a patient")).to_string()
        };
        assert_eq!(texts(&provenance["fitted"]["patients"]), fitted.iter().map(patient).collect());
        assert_eq!(provenance["weights"], Value::from(Vec::<Value>::new()));
    }
    // The store is as before: neither the model nor what was computed with it changes.
    space.macula("run pipeline.kdl").code(0).says(&["nothing to compute"]);
    space.macula("store verify").code(0);

    space.macula("get pipeline.kdl cuts told --with-provenance --force").code(2).says(&["`cuts` is not a model"]);
    space.edit("pipeline.kdl", "epochs 1", "epochs 2");
    let said = space.macula("get pipeline.kdl classifier old --with-provenance").code(2);
    said.says(&["the pipeline has changed since `classifier` was trained", "macula run pipeline.kdl classifier"]);
}

#[test]
fn what_initial_models_and_encoders_saw_counts_as_seen() {
    let head = PIPELINE.split_once("    split folds").expect("a split").0.replace("photographs 6", "photographs 12");
    let network = r"network late {
    input whole
    parallel join=concat { branch { shallow-cnn to=features }; branch from=whole { linear seen out=8 } }
    linear fc
}
";
    let space = Space::with(&format!(
        "{network}{head}    split outer {{ from visible; by image; train 0.5; valid 0.25; test 0.25 }}
    split inner {{ from outer.train; by image; train 0.34; valid 0.33; test 0.33 }}
    train first {{ data inner.train; valid inner.valid; network shallow-cnn; epochs 1 }}
    train second {{ data outer.valid; valid inner.valid; network shallow-cnn; init first; epochs 1 }}
    encode described {{ from half; init first; network shallow-cnn to=features; side 64 }}
    join unused {{ patches outer.valid; embeddings described; as other }}
    join fitted {{ patches unused; embeddings described; as whole }}
    join chosen {{ patches inner.valid; embeddings described; as whole }}
    train reading {{ data fitted; valid chosen; network late; epochs 1 }}
    train blind {{ data fitted; valid chosen; network shallow-cnn; epochs 1 }}
}}
"
    ));
    space.macula("run pipeline.kdl").code(0);
    let set = |name: &str| digests(&space, "small/eyes", &photographs(&space, &format!("small/{name}")));
    let own = set("outer/valid");
    let both: BTreeSet<String> = own.union(&set("inner/train")).cloned().collect();
    for (stage, expected) in
        [("first", set("inner/train")), ("second", both.clone()), ("reading", both), ("blind", own)]
    {
        space.macula(&format!("get pipeline.kdl {stage} {stage} --with-provenance")).code(0);
        let provenance = &json(&space, &format!("{stage}/model.json"))["provenance"];
        assert_eq!(texts(&provenance["fitted"]["photographs"]), expected, "{stage}");
        assert_eq!(texts(&provenance["chosen"]["photographs"]), set("inner/valid"), "{stage}");
    }
}
