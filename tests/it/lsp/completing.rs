//! Completions, and their order.

use serde_json::{Value, json};

use super::client::{Client, edited, marked};

/// Completions at the `|` of a text, in the order in which an editor shows them.
pub(super) fn offered(client: &Client, text: &str) -> Vec<Value> {
    let (text, place) = marked(text);
    let uri = client.open("a.kdl", &text);
    let found = client.ask("textDocument/completion", json!({"textDocument": {"uri": uri}, "position": place}));
    let mut items = found["items"].as_array().cloned().unwrap_or_default();
    items.sort_by_key(|item| item["sortText"].as_str().unwrap_or_default().to_owned());
    items
}

pub(super) fn texts(text: &str) -> Vec<String> {
    labels(&offered(&Client::new(), text))
}

pub(super) fn labels(items: &[Value]) -> Vec<String> {
    items.iter().map(|item| item["label"].as_str().unwrap_or_default().to_owned()).collect()
}

pub(super) fn has(items: &[String], name: &str) -> bool {
    items.iter().any(|item| item == name)
}

const SPLIT: &str = "synthetic fundus; extract tiles { from fundus }; split folds { from tiles }";

#[test]
fn the_top_of_a_file_offers_what_can_stand_there() {
    let items = texts("|");
    assert!(has(&items, "pipeline") && has(&items, "stage") && has(&items, "network") && has(&items, "use"));
    assert!(!has(&items, "extract"));
}

#[test]
fn a_pipeline_offers_stages_templates_and_those_of_the_file() {
    let items = texts("stage own { out type=photographs from=a; body { synthetic a } }\npipeline p seed=1 { ex| }");
    for kind in ["extract", "balanced-patches", "own", "param"] {
        assert!(has(&items, kind), "{kind}: {items:?}");
    }
    let item = offered(&Client::new(), "pipeline p seed=1 { extr| }");
    let extract = item.iter().find(|item| item["label"] == "extract").expect("extract");
    assert!(extract["documentation"]["value"].as_str().is_some_and(|text| text.contains("in `from`")), "{extract}");
    assert_eq!(extract["detail"], "gives patches");
}

#[test]
fn a_stage_offers_first_what_it_must_be_given() {
    let items = texts("pipeline p seed=1 { synthetic f; extract e { | } }");
    assert_eq!(items[0], "from");
    assert!(has(&items, "size") && has(&items, "label"));
    // Ports and parameters given already come last.
    let items = texts("pipeline p seed=1 { synthetic f; extract e { from f; | } }");
    assert_eq!(items.last().map(String::as_str), Some("from"));
}

#[test]
fn references_that_fit_come_first() {
    let items = texts(&format!("pipeline p seed=1 {{ {SPLIT}; train t {{ data | }} }}"));
    let fitting: Vec<&str> = items.iter().map(String::as_str).take(4).collect();
    assert_eq!(fitting, ["folds.train", "folds.valid", "folds.test", "tiles"]);
    assert!(has(&items[4..], "fundus"));
    assert!(!has(&items, "t"), "a stage can't read itself: {items:?}");
}

#[test]
fn a_reference_is_completed_as_a_whole() {
    let (text, _) = marked(&format!("pipeline p seed=1 {{ {SPLIT}; train t {{ data folds.v|al; epochs 2 }} }}"));
    let client = Client::new();
    let items = offered(&client, &format!("pipeline p seed=1 {{ {SPLIT}; train t {{ data folds.v|al; epochs 2 }} }}"));
    let item = items.iter().find(|item| item["label"] == "folds.valid").expect("folds.valid");
    assert!(edited(&text, &json!([item["textEdit"]])).contains("data folds.valid; epochs"));
}

#[test]
fn a_stage_is_not_offered_what_reads_it() {
    let rest = "train t { data folds.train }; eval scores { model t; data folds.test }; report page { of scores }";
    let items = texts(&format!(
        "pipeline p seed=1 {{ synthetic fundus; extract tiles {{ from | }}; split folds {{ from tiles }}; {rest} }}"
    ));
    assert!(has(&items, "fundus"), "{items:?}");
    for reader in ["folds.train", "t", "scores", "page"] {
        assert!(!has(&items, reader), "{reader} reads it: {items:?}");
    }
    // Through a repeat, from inside and from outside of it.
    let repeat = "repeat 2 fold { train t { data folds.train }; eval scores { model t; data folds.test } }";
    let after = "pool all { of fold.scores; data folds.test }; report page { of all }";
    let start = format!("pipeline p seed=1 {{ {SPLIT}; ");
    let items = texts(&format!("{start}{}; {after} }}", repeat.replace("data folds.train", "data |")));
    assert!(has(&items, "folds.train"), "{items:?}");
    assert!(!has(&items, "scores") && !has(&items, "all") && !has(&items, "page"), "{items:?}");
    let items = texts(&format!("{start}{repeat}; {} }}", after.replace("of all", "of |")));
    assert!(has(&items, "all") && has(&items, "fold.scores"), "{items:?}");
}

#[test]
fn the_stages_of_a_pipeline_that_is_extended_are_known_as_readers() {
    let client = Client::new();
    client.write("base.kdl", &format!("pipeline p seed=1 {{ {SPLIT}; train t {{ data folds.train }} }}\n"));
    let items = labels(&offered(&client, "pipeline q { extends \"base.kdl\"; extract tiles { from | } }"));
    assert!(has(&items, "fundus") && !has(&items, "t") && !has(&items, "folds.train"), "{items:?}");
    // Given another input, it is a reader no more.
    let items = labels(&offered(
        &client,
        "pipeline q { extends \"base.kdl\"; synthetic other; extract tiles { from | }; split folds { from other } }",
    ));
    assert!(has(&items, "t"), "{items:?}");
}

#[test]
fn a_network_in_a_stage_offers_its_taps() {
    let within = |rest: &str| texts(&format!("pipeline p seed=1 {{ {SPLIT}; encode v {{ from fundus; {rest} }} }}"));
    assert!(has(&within("network resnet18 |"), "to"));
    let items = within("network resnet18 to=|");
    assert!(has(&items, "layer3") && has(&items, "features"), "{items:?}");
}

#[test]
fn a_body_offers_its_ports_and_parameters() {
    let text = "stage own { in photos type=photographs; out type=patches from=e; param side type=px default=64; \
                body { extract e { from |; size $side } } }";
    assert!(has(&texts(text), "photos"));
    let text = "stage own { in photos type=photographs; out type=patches from=e; param side type=px default=64; \
                body { extract e { from photos; size $| } } }";
    assert_eq!(texts(text)[0], "$side");
    let text = "stage own { in photos type=photographs; out type=patches from=|; body { extract e { from photos } } }";
    assert_eq!(texts(text)[0], "e");
}

#[test]
fn values_come_from_the_type_of_a_parameter() {
    let within = |inner: &str| {
        texts(&format!(
            "network tiny {{ flatten; linear fc }}\npipeline p seed=1 {{ param rate type=real default=0.1; {SPLIT}; train t {{ data folds.train; {inner} }} }}"
        ))
    };
    let items = within("loss |");
    assert!(has(&items, "focal") && has(&items, "bce"), "{items:?}");
    let items = within("network |");
    assert!(has(&items, "resnet18") && has(&items, "tiny"), "{items:?}");
    let items = within("loss focal ga|");
    assert!(has(&items, "gamma"), "{items:?}");
    let items = within("optimizer adam lr=|");
    assert_eq!(items[0], "$rate", "{items:?}");
    let items = within("loss focal { | }");
    assert!(has(&items, "gamma"), "{items:?}");
}

#[test]
fn a_block_that_is_not_closed_yet_is_completed_too() {
    let items = texts(
        "pipeline p seed=1 {\n    synthetic fundus\n    extract tiles {\n        from |\n    split folds { from tiles }\n}\n",
    );
    assert_eq!(items[0], "fundus", "{items:?}");
}

#[test]
fn nothing_is_offered_in_a_comment() {
    assert!(texts("pipeline p { // ex|\n}").is_empty());
}

#[test]
fn modules_and_files_are_offered_in_quotes() {
    let client = Client::new();
    client.write("nets/small.kdl", "");
    client.write("other.kdl", "");
    let items = labels(&offered(&client, "use \"|\""));
    assert_eq!(&items[..2], ["\"nets/\"", "\"other.kdl\""], "{items:?}");
    assert!(has(&items, "\"std:templates/balanced-patches\""));
    let items = labels(&offered(&client, "use \"nets/|"));
    assert_eq!(items[0], "\"nets/small.kdl\"");
}

#[test]
fn a_network_offers_layers_properties_and_parameters() {
    let items = texts("network n { param width default=8; block step { relu }; | }");
    assert!(has(&items, "conv") && has(&items, "step") && has(&items, "repeat"), "{items:?}");
    assert_eq!(texts("network n { conv c | }")[..2], ["out", "kernel"]);
    assert!(has(&texts("network n { param width default=8; conv c out=| }"), "$width"));
    assert!(has(&texts("network n { conv c out=8 kernel=3 bias=| }"), "#false"));
    assert!(has(&texts("network n { | }"), "resnet18") && has(&texts("network n { | }"), "tap"));
    assert!(has(&texts("network n { input | }"), "half"));
    assert!(has(&texts("network n { resnet18 to=| }"), "layer3"));
    assert!(has(&texts("network n { resnet18 | }"), "to"));
    let start = "tap early; parallel join=sum { branch { tap own }";
    let items = texts(&format!("network n {{ {start}; branch from=| }}"));
    assert!(has(&items, "early") && has(&items, "half") && has(&items, "patch"), "{items:?}");
    assert!(has(&texts(&format!("network n {{ {start}; branch | }} }}")), "share"));
}

#[test]
fn holes_are_offered_to_clients_that_fill_them() {
    let capabilities = json!({"textDocument": {"completion": {"completionItem": {"snippetSupport": true}}}});
    let client = Client::with(capabilities);
    let items = offered(&client, "pipeline p seed=1 { extr| }");
    let extract = items.iter().find(|item| item["label"] == "extract").expect("extract");
    assert_eq!(extract["textEdit"]["newText"], "extract ${1:name} { from ${2:PHOTOGRAPHS}; $0 }");
    assert_eq!(extract["insertTextFormat"], 2);
}

#[test]
fn a_repeat_offers_what_is_around_it_and_its_stages_are_offered_outside() {
    let inside = texts(&format!("pipeline p seed=1 {{ {SPLIT}; repeat 3 fold {{ train t {{ data | }} }} }}"));
    assert!(has(&inside, "folds.train"), "{inside:?}");
    let own = "repeat 3 fold { split sides { from tiles; folds 3; fold $fold }; train t { data | } }";
    let inside = texts(&format!("pipeline p seed=1 {{ {SPLIT}; {own} }}"));
    assert!(has(&inside, "sides.train"), "{inside:?}");
    let stages = texts(&format!("pipeline p seed=1 {{ {SPLIT}; repeat 3 fold {{ tra| }} }}"));
    assert!(has(&stages, "train") && !has(&stages, "extends"), "{stages:?}");
    let scores = "repeat 3 fold { eval scores { data folds.test } }; pool all { of | }";
    let outside = texts(&format!("pipeline p seed=1 {{ {SPLIT}; {scores} }}"));
    assert!(has(&outside, "fold.scores"), "{outside:?}");
}
