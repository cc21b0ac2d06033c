//! `cross-encode`: each photograph is encoded by networks that have not seen it.

use std::collections::{BTreeMap, BTreeSet};

use super::{floats, json};
use crate::space::Space;

const PIPELINE: &str = r"network late {
    input whole
    parallel join=concat { branch { shallow-cnn to=features }; branch from=whole { linear seen out=8 } }
    linear fc
}
pipeline crossed seed=7 {
    synthetic eyes { photographs 13; size 144; photographs-per-patient 1; healthy 0.0; severity 3.0 }
    extract patches { from eyes; size 48 }
    split folds { from patches; by patient; train 0.7; valid 0.15; test 0.15 }
    cross-encode described { photographs eyes; patches folds.train; network shallow-cnn; epochs 1; side 96 }
    join fitted { patches folds.train; embeddings described; as whole }
    join chosen { patches folds.valid; embeddings described; as whole }
    join tested { patches folds.test; embeddings described; as whole }
    train classifier { data fitted; valid chosen; network late; epochs 1 }
    eval scores { model classifier; data tested }
}
";

const FOLDS: [&str; 5] = ["one", "two", "three", "four", "five"];

fn photographs(space: &Space, folder: &str) -> BTreeSet<String> {
    let files = space.files(&format!("results/crossed/{folder}")).into_iter();
    files.filter_map(|file| file.strip_suffix(".safetensors").map(str::to_owned)).collect()
}

fn values(space: &Space, stage: &str, photograph: &str) -> Vec<f32> {
    floats(space, &format!("results/crossed/described.{stage}/photographs/{photograph}.safetensors"), "values")
}

#[test]
fn a_training_photograph_is_encoded_by_the_network_that_was_trained_without_it_and_others_by_all() {
    let space = Space::with(PIPELINE);
    space.macula("check pipeline.kdl").code(0).says_not(&["stacked-embeddings"]);
    space.macula("run pipeline.kdl").code(0);
    let trained = photographs(&space, "folds/train/shards");
    let mut by: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for fold in FOLDS {
        let stage = |name: &str| format!("described.{fold}.{name}");
        let seen: BTreeSet<String> = ["train", "valid"]
            .iter()
            .flat_map(|set| photographs(&space, &stage(&format!("sides/{set}/shards"))))
            .collect();
        let encoded = photographs(&space, &stage("described/photographs"));
        assert!(encoded.is_disjoint(&seen), "{fold}");
        assert_eq!(encoded.len() + seen.len(), 13, "{fold}: every other photograph is encoded");
        for name in encoded {
            by.entry(name).or_default().push(fold);
        }
    }
    assert_eq!(by.len(), 13);
    for (name, folds) in &by {
        assert_eq!(folds.len(), if trained.contains(name) { 1 } else { 5 }, "{name}");
        let each: Vec<Vec<f32>> = folds.iter().map(|fold| values(&space, &format!("{fold}.described"), name)).collect();
        let found = values(&space, "all", name);
        for (class, value) in found.iter().enumerate() {
            let mean = each.iter().map(|values| f64::from(values[class])).sum::<f64>() / each.len() as f64;
            assert!((mean - f64::from(*value)).abs() < 1e-6, "{name}: {mean}, {value}");
        }
    }
    let model = json(&space, "results/crossed/classifier/model.json");
    let info = &model["embeddings"][0]["info"];
    assert_eq!((info["channels"].as_u64(), info["classes"].as_array().map(Vec::len)), (Some(4), Some(4)));

    // The encoders are a part of the model, and so is what they saw.
    space.macula("get pipeline.kdl classifier copy --with-provenance").code(0);
    let provenance = &json(&space, "copy/model.json")["provenance"];
    let count = |list: &serde_json::Value| list.as_array().expect("a list").len();
    assert_eq!(count(&provenance["fitted"]["photographs"]), trained.len());

    // Features of separately trained networks, and classifiers without classes.
    space.write(
        "other.kdl",
        format!(
            "{}    weights pretrained {{ file \"w.safetensors\" }}
    split halves {{ from folds.train; folds 2; fold 1 }}
    train first {{ data halves.train; valid halves.valid; network shallow-cnn; epochs 1 }}
    encode one {{ from eyes; init first; network shallow-cnn to=features; except halves.train halves.valid }}
    encode two {{ from eyes; init classifier-two; network shallow-cnn to=features }}
    train classifier-two {{ data halves.train; valid halves.valid; network shallow-cnn; optimizer adamw lr=1e-2; epochs 1 }}
    combine both {{ of one two }}
    encode unknown {{ from eyes; init pretrained; network shallow-cnn }}
}}
",
            PIPELINE.trim_end().trim_end_matches('}').replace("pipeline crossed", "pipeline other")
        ),
    );
    std::fs::copy(space.path("results/crossed/classifier/weights.safetensors"), space.path("w.safetensors"))
        .expect("copied");
    space
        .macula("run other.kdl both")
        .code(1)
        .says(&["mixed-encoders", "`one` and `two` are features of different encoders"]);
    space.macula("run other.kdl unknown").code(1).says(&[
        "no-tap",
        "`init` is not a trained model with classes",
        "to=features",
    ]);
}
