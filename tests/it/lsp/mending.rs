//! Code actions and inlay hints.

use std::collections::BTreeMap;

use macula::base::Sources;
use macula::lang;
use macula::lang::spec::Points;
use macula::run::{self, Host, Nobody, Options, Project};
use macula::stage::{ConnectedPorts, Implementation, Params, StageError};
use macula::store::Store;
use serde_json::{Value, json};

use super::client::{Client, edited};

fn everywhere() -> Value {
    json!({"start": {"line": 0, "character": 0}, "end": {"line": 999, "character": 0}})
}

/// A text after applying every code action offered in it.
fn mended(text: &str) -> String {
    let client = Client::new();
    let uri = client.open("a.kdl", text);
    let params = json!({"textDocument": {"uri": uri}, "range": everywhere(), "context": {"diagnostics": []}});
    let actions = client.ask("textDocument/codeAction", params);
    let edits: Vec<Value> =
        actions.as_array().into_iter().flatten().map(|action| action["edit"]["changes"][&uri][0].clone()).collect();
    edited(text, &json!(edits))
}

#[test]
fn near_misses_and_slips_are_mended() {
    let cases = [
        ("synthetik fundus", "synthetic fundus"),
        (
            "synthetic fundus { photographs 24 }; extract e { from fundos }",
            "synthetic fundus { photographs 24 }; extract e { from fundus }",
        ),
        ("synthetic fundus { photgraphs 24 }", "synthetic fundus { photographs 24 }"),
        ("synthetic fundus { photographs 24px }", "synthetic fundus { photographs 24 }"),
        (
            "folder f { root data/idrid; photographs \"*.jpg\" }",
            "folder f { root \"data/idrid\"; photographs \"*.jpg\" }",
        ),
        (
            "synthetic f; extract e { from f }; split s { from e; train .5; valid 0.25; test 0.25 }",
            "synthetic f; extract e { from f }; split s { from e; train 0.5; valid 0.25; test 0.25 }",
        ),
        (
            "synthetic f; extract e { from f }; split s { from e; train 50%; valid 0.25; test 0.25 }",
            "synthetic f; extract e { from f }; split s { from e; train 0.5; valid 0.25; test 0.25 }",
        ),
        (
            "synthetic f; extract e { from f }; split s { from e }; filter-black v { from s.tain }",
            "synthetic f; extract e { from f }; split s { from e }; filter-black v { from s.train }",
        ),
        (
            "param size type=px default=64; synthetic f; extract e { from f; size $sise }",
            "param size type=px default=64; synthetic f; extract e { from f; size $size }",
        ),
    ];
    for (faulty, right) in cases {
        assert_eq!(
            mended(&format!("pipeline p seed=1 {{ {faulty} }}\n")),
            format!("pipeline p seed=1 {{ {right} }}\n")
        );
    }
    assert_eq!(mended("pipeline p { synthetic f }\n"), "pipeline p seed=7 { synthetic f }\n");
}

#[test]
fn an_action_names_what_it_mends_and_other_kinds_are_not_offered() {
    let client = Client::new();
    let uri = client.open("a.kdl", "pipeline p seed=1 { synthetik f }\n");
    let ask = |only: Value| {
        let context = json!({"diagnostics": [], "only": only});
        client.ask(
            "textDocument/codeAction",
            json!({"textDocument": {"uri": uri}, "range": everywhere(), "context": context}),
        )
    };
    let actions = ask(json!(["quickfix"]));
    assert_eq!(actions[0]["title"], "change to `synthetic`");
    assert_eq!(actions[0]["diagnostics"][0]["code"], "unknown-stage");
    assert_eq!(ask(json!(["refactor"])), json!([]));
}

const PIPELINE: &str = "pipeline small seed=1 {
    synthetic fundus { photographs 2 }
    extract tiles {
        from fundus
        size 64
    }
    split folds { from tiles }
}
";

fn hints(client: &Client, uri: &str) -> Vec<(u64, String)> {
    let found = client.ask("textDocument/inlayHint", json!({"textDocument": {"uri": uri}, "range": everywhere()}));
    let one = |hint: &Value| {
        (hint["position"]["line"].as_u64().unwrap_or_default(), hint["label"].as_str().unwrap_or_default().to_owned())
    };
    found.as_array().into_iter().flatten().map(one).collect()
}

#[test]
fn defaults_that_are_left_out_stand_behind_a_stage() {
    let client = Client::new();
    let uri = client.open("a.kdl", PIPELINE);
    let found = hints(&client, &uri);
    assert!(found.iter().any(|(line, text)| *line == 1 && !text.contains("photographs")), "{found:?}");
    assert!(found.iter().any(|(line, text)| *line == 5 && !text.contains("size ")), "{found:?}");
    let quiet = Client::silent();
    let options = json!({"defaults": false});
    quiet.ask(
        "initialize",
        json!({"processId": null, "rootUri": null, "capabilities": {}, "initializationOptions": options}),
    );
    let uri = quiet.open("a.kdl", PIPELINE);
    assert!(hints(&quiet, &uri).is_empty());
}

#[test]
fn a_hint_is_shortened_and_a_long_line_gets_none() {
    let hints_of = |options: Value, text: &str| {
        let client = Client::silent();
        let params = json!({"processId": null, "rootUri": null, "capabilities": {}, "initializationOptions": options});
        client.ask("initialize", params);
        let uri = client.open("a.kdl", text);
        client.ask("textDocument/inlayHint", json!({"textDocument": {"uri": uri}, "range": everywhere()}))
    };
    let text = "pipeline p seed=1 { synthetic eyes { photographs 2 } }\n";
    let label = |found: &Value| found[0]["label"].as_str().map(str::to_owned);
    let whole = label(&hints_of(json!({"hintLength": 200}), text)).expect("a hint");
    let found = hints_of(json!({"hintLength": 30}), text);
    let short = label(&found).expect("a hint");
    assert!(short.chars().count() <= 30 && short.ends_with('…'), "{short}");
    assert!(whole.starts_with(short.trim_end_matches('…')), "{whole}");
    // What was cut is in the tooltip.
    assert!(found[0]["tooltip"]["value"].as_str().is_some_and(|text| text.starts_with(&whole)), "{found}");
    assert_eq!(hints_of(json!({"hintLength": 0}), text), json!([]));
    let long = text.replace('\n', &format!(" // {}\n", "long ".repeat(20)));
    assert_eq!(hints_of(json!({}), &long), json!([]));
}

/// Runs the pipeline of a text in the client's folder.
pub(super) fn run_there(client: &Client, text: &str) {
    let folder = client.folder.path().to_owned();
    let mut host = Host::real();
    folder.clone_into(&mut host.folder);
    host.environment = BTreeMap::new();
    let mut sources = Sources::default();
    let (contents, diags) = lang::load_text("a.kdl", Some(folder.join("a.kdl")), text, &[], Points::All, &mut sources);
    assert!(diags.iter().all(|diag| diag.code.starts_with("unused")), "{diags:?}");
    let store = Store::open(&host.store(&folder)).expect("a store");
    let project = Project {
        pipeline: &contents.pipelines[0],
        sources: &sources,
        file: "a.kdl".to_owned(),
        folder,
        implementations: macula::stages::registry(),
        store: &store,
    };
    run::execute(&host, &project, &Options::usual(1), &Nobody).expect("it runs");
}

/// Every file below a folder, with its bytes.
pub(super) fn files(folder: &std::path::Path) -> BTreeMap<std::path::PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            all.insert(path.clone(), Vec::new());
            all.extend(files(&path));
        } else {
            all.insert(path.clone(), std::fs::read(&path).expect("a file"));
        }
    }
    all
}

#[test]
fn what_the_store_knows_stands_behind_stages_and_in_hovers() {
    let client = Client::silent();
    let capabilities = json!({"workspace": {"inlayHint": {"refreshSupport": true}}});
    let root = format!("file://{}", client.folder.path().display());
    client.ask("initialize", json!({"processId": null, "rootUri": root, "capabilities": capabilities}));
    run_there(&client, PIPELINE);
    let store = client.folder.path().join(".macula");
    let before = files(&store);
    let uri = client.open("a.kdl", PIPELINE);
    client.told("workspace/inlayHint/refresh");
    let found = hints(&client, &uri);
    assert!(found.iter().any(|(line, text)| *line == 2 && text.contains("patches")), "{found:?}");
    assert!(found.iter().any(|(line, text)| *line == 1 && text.contains("photographs")), "{found:?}");
    let hover = |line: u64, character: u64| {
        let place = json!({"line": line, "character": character});
        let found = client.ask("textDocument/hover", json!({"textDocument": {"uri": uri}, "position": place}));
        found["contents"]["value"].as_str().unwrap_or_default().to_owned()
    };
    let text = hover(2, 13);
    assert!(text.contains("**cached: will not run**") && text.contains("patches"), "{text}");
    // The verdict comes before documentation and values.
    let place = |words: &str| text.find(words).unwrap_or_else(|| panic!("{words}: {text}"));
    assert!(place("**cached") < place("Cuts photographs") && place("Cuts photographs") < place("`size`"), "{text}");
    // Another size: it will run, so the state of later stages is not known.
    client.replace(&uri, &PIPELINE.replace("size 64", "size 32"));
    client.told("workspace/inlayHint/refresh");
    let text = hover(2, 13);
    assert!(text.contains("**will run**: size 64 -> 32") && text.contains("Last time:"), "{text}");
    assert!(hover(6, 11).contains("until `tiles` has run"));
    assert_eq!(files(&store), before, "a language server writes nothing into the store");
}

#[test]
fn a_hover_of_a_repeated_stage_has_the_state_of_each_copy() {
    let text = "pipeline p seed=7 {
    synthetic eyes { photographs 6; size 192; photographs-per-patient 1 }
    extract tiles { from eyes; size 64 }
    repeat 2 fold {
        split sides { from tiles; folds 2; fold $fold; valid 0.3 }
    }
}
";
    let client = Client::with(json!({"workspace": {"inlayHint": {"refreshSupport": true}}}));
    run_there(&client, text);
    let uri = client.open("a.kdl", text);
    client.told("workspace/inlayHint/refresh");
    let place = json!({"line": 4, "character": 15});
    let found = client.ask("textDocument/hover", json!({"textDocument": {"uri": uri}, "position": place}));
    let found = found["contents"]["value"].as_str().unwrap_or_default();
    for copy in ["fold.1.sides", "fold.2.sides"] {
        assert!(found.contains(&format!("`{copy}` **cached: will not run**")), "{found}");
    }
}

#[test]
fn a_project_without_a_store_gets_none() {
    let client = Client::with(json!({"workspace": {"inlayHint": {"refreshSupport": true}}}));
    let uri = client.write("a.kdl", PIPELINE);
    client.open_as(&uri, PIPELINE);
    assert!(client.codes(&uri).is_empty());
    client.tell("textDocument/didSave", json!({"textDocument": {"uri": uri}}));
    // The store has been examined.
    client.told("workspace/inlayHint/refresh");
    assert!(!client.folder.path().join(".macula").exists());
}

/// The built-in stages, one of which panics.
fn defective() -> &'static [Implementation] {
    fn check(params: &Params, _: &ConnectedPorts) -> Result<Vec<StageError>, StageError> {
        assert!(params.count("photographs")? != 13, "a defect");
        Ok(Vec::new())
    }
    let known = macula::stages::registry().iter().map(|known| match known.name {
        "synthetic" => Implementation { check: Some(check), ..*known },
        _ => Implementation { ..*known },
    });
    Box::leak(known.collect::<Vec<_>>().into_boxed_slice())
}

#[test]
fn a_defect_ends_no_session() {
    let client = Client::of(defective());
    let capabilities = json!({"workspace": {"inlayHint": {"refreshSupport": true}}});
    client.ask("initialize", json!({"processId": null, "rootUri": null, "capabilities": capabilities}));
    let text = |photographs: u32| {
        format!("pipeline p seed=1 {{ synthetic eyes {{ photographs {photographs}; size 128 }} }}\n")
    };
    let symbols = |uri: &str| json!({"textDocument": {"uri": uri}});
    let quiet = |uri: &str| assert_eq!(client.codes(uri), [""; 0]);
    let uri = client.open("a.kdl", &text(12));
    quiet(&uri);
    // While publishing, saving and idling; requests in between fail, and the text is still open.
    client.replace(&uri, &text(13));
    client.tell("textDocument/didSave", json!({"textDocument": {"uri": uri}}));
    assert!(client.refused("textDocument/documentSymbol", symbols(&uri)).1.contains("a bug in macula"));
    client.replace(&uri, &text(14));
    quiet(&uri);
    // Cache states are requested when idle.
    client.told("workspace/inlayHint/refresh");
    assert_eq!(client.ask("textDocument/documentSymbol", symbols(&uri)).as_array().map(Vec::len), Some(1));
    assert_eq!(client.end(), macula::lsp::SessionEnd::InOrder);
}
