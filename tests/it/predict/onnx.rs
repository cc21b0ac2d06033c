//! `macula get --onnx`: what the file holds, by a reader of its wire format. Probabilities are compared in tests/onnx.

use std::collections::BTreeSet;

use super::{PIPELINE, bytes, json};
use crate::space::Space;

/// Fields of a message: number, and a number or bytes.
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let (byte, rest) = bytes.split_first().expect("a byte");
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}

fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let mut take = |count: usize| {
            let (taken, rest) = bytes.split_at(count);
            bytes = rest;
            taken
        };
        let field = match tag & 7 {
            0 => Field::Number(varint(&mut bytes)),
            1 => Field::Bytes(take(8)),
            5 => Field::Bytes(take(4)),
            2 => {
                let length = varint(&mut bytes) as usize;
                let (taken, rest) = bytes.split_at(length);
                bytes = rest;
                Field::Bytes(taken)
            }
            other => panic!("wire type {other}"),
        };
        found.push((tag >> 3, field));
    }
    found
}

fn messages(bytes: &[u8], number: u64) -> Vec<&[u8]> {
    let of = |(own, field)| match field {
        Field::Bytes(bytes) if own == number => Some(bytes),
        _ => None,
    };
    fields(bytes).into_iter().filter_map(of).collect()
}

fn number(bytes: &[u8], number: u64) -> Option<u64> {
    fields(bytes).into_iter().find_map(|(own, field)| match field {
        Field::Number(value) if own == number => Some(value),
        _ => None,
    })
}

fn texts(bytes: &[u8], number: u64) -> Vec<String> {
    messages(bytes, number).into_iter().map(|text| String::from_utf8(text.to_vec()).expect("UTF-8")).collect()
}

/// An input or output: name, type of its elements, and dimensions as text.
fn port(bytes: &[u8]) -> (String, u64, Vec<String>) {
    let tensor = messages(messages(bytes, 2)[0], 1)[0];
    let dimension = |dim: &[u8]| number(dim, 1).map_or_else(|| texts(dim, 2).concat(), |side| side.to_string());
    let sides = messages(messages(tensor, 2)[0], 1).into_iter().map(dimension).collect();
    (texts(bytes, 1).concat(), number(tensor, 1).expect("a type"), sides)
}

#[test]
fn a_classifier_is_a_file_with_everything_inside() {
    let space = Space::with(PIPELINE);
    space.macula("get pipeline.kdl classifier --onnx model.onnx").code(2).says(&["`classifier` has no result yet"]);
    space.macula("run pipeline.kdl cuts guesses").code(0);
    let said = space.macula("get pipeline.kdl classifier --onnx out/model.onnx").code(0);
    said.says(&[
        "shallow-cnn",
        "in out/model.onnx",
        "image",
        "float32, RGB from 0 to 1, N x 3 x 48 x 48",
        "probabilities",
    ]);
    let file = bytes(&space, "out/model.onnx");

    assert_eq!(number(messages(&file, 8)[0], 2), Some(17), "opset");
    let graph = messages(&file, 7)[0];
    let inputs: Vec<_> = messages(graph, 11).into_iter().map(port).collect();
    assert_eq!(inputs, [("image".to_owned(), 1, ["N", "3", "48", "48"].map(str::to_owned).to_vec())]);
    let outputs: Vec<_> = messages(graph, 12).into_iter().map(port).collect();
    assert_eq!(outputs, [("probabilities".to_owned(), 1, ["N", "4"].map(str::to_owned).to_vec())]);

    // Constants have the bytes that their shapes need, and each node reads what was there before it.
    let mut known: BTreeSet<String> = inputs.into_iter().map(|(name, ..)| name).collect();
    let mut weights = BTreeSet::new();
    for tensor in messages(graph, 5) {
        let entries: u64 = fields(tensor)
            .iter()
            .filter(|(at, _)| *at == 1)
            .map(|(_, field)| match field {
                Field::Number(side) => *side,
                Field::Bytes(_) => panic!("packed"),
            })
            .product();
        let width = if number(tensor, 2) == Some(7) { 8 } else { 4 };
        let name = texts(tensor, 8).concat();
        assert_eq!(messages(tensor, 9)[0].len() as u64, width * entries, "{name}");
        weights.insert(name.clone());
        known.insert(name);
    }
    let mut operators = BTreeSet::new();
    for node in messages(graph, 1) {
        let (read, written) = (texts(node, 1), texts(node, 2));
        assert!(read.iter().all(|name| known.contains(name)), "{read:?}");
        assert!(written.into_iter().all(|name| known.insert(name)));
        operators.extend(texts(node, 4));
    }
    assert!(known.contains("probabilities"));
    assert!(["Conv", "Sub", "Div", "Sigmoid"].iter().all(|operator| operators.contains(*operator)), "{operators:?}");
    let own = bytes(&space, "results/small/classifier/weights.safetensors");
    let own = safetensors::SafeTensors::deserialize(&own).expect("weights");
    let tensor = |name: &&str| own.tensor(name).is_ok();
    assert!(weights.iter().filter(|name| tensor(&name.as_str())).count() > 4, "{weights:?}");

    let facts: std::collections::BTreeMap<String, String> =
        messages(&file, 14).into_iter().map(|fact| (texts(fact, 1).concat(), texts(fact, 2).concat())).collect();
    assert_eq!(facts["classes"], r#"["MA","HE","EX","SE"]"#);
    assert_eq!([&facts["side"], &facts["scale"], &facts["stage"]], ["48", "2", "classifier"]);
    assert_eq!(facts["key"].len(), 64);
    assert_eq!([&facts["calibration"], &facts["tta"]], ["null", "none"]);
    let thresholds: serde_json::Value = serde_json::from_str(&facts["thresholds"]).expect("JSON");
    let tuned = json(&space, "results/small/cuts/thresholds.json");
    for class in tuned["classes"].as_array().expect("classes") {
        assert_eq!(thresholds[class["class"].as_str().expect("a name")], class["threshold"]);
    }

    space
        .macula("get pipeline.kdl classifier --onnx out/model.onnx")
        .code(2)
        .says(&["`out/model.onnx` exists", "--force"]);
    space.macula("get pipeline.kdl classifier --onnx out/model.onnx --force").code(0);
    assert!(bytes(&space, "out/model.onnx") == file, "the same bytes again");
    space
        .macula("get pipeline.kdl classifier --onnx bytes.onnx --input bytes")
        .code(0)
        .says(&["uint8, RGB, N x 48 x 48 x 3"]);
    let file = bytes(&space, "bytes.onnx");
    let (_, elements, sides) = port(messages(messages(&file, 7)[0], 11)[0]);
    assert_eq!((elements, sides), (2, ["N", "48", "48", "3"].map(str::to_owned).to_vec()));
}

#[test]
fn what_has_no_network_is_not_exported() {
    let space = Space::with(PIPELINE);
    space.macula("run pipeline.kdl folds").code(0);
    let said = space.macula("get pipeline.kdl folds --onnx model.onnx").code(2);
    said.says(&[
        "`folds` is a `split` stage, which has no network",
        "name a `train`, `import-model`, `calibrate`, `average` or `pretrain` stage",
    ]);
    space.macula("get pipeline.kdl folds out --onnx model.onnx").code(2).says(&["cannot be used with"]);
    space.macula("get pipeline.kdl folds").code(2).says(&["FOLDER"]);
    assert!(!space.path("model.onnx").exists());
}
