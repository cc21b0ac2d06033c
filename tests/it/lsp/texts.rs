//! Open texts: diagnostics while typing, formatting and outline.

use serde_json::{Value, json};

use super::client::{Client, edited, place, range};

const GOOD: &str = "pipeline p seed=1 {\n    synthetic fundus\n    extract patches { from fundus; size 64 }\n}\n";

#[test]
fn what_is_wrong_follows_each_change() {
    let client = Client::new();
    let uri = client.open("a.kdl", &GOOD.replace("size 64", "size 6400"));
    assert_eq!(client.codes(&uri), ["out-of-range"]);
    client.replace(&uri, &GOOD.replace("fundus;", "fundos;"));
    let wrong = client.wrong(&uri);
    assert_eq!(wrong.len(), 1);
    assert_eq!(wrong[0]["code"], "unknown-name");
    assert_eq!(range(&wrong[0]["range"]), "2:27-2:33");
    assert!(wrong[0]["message"].as_str().is_some_and(|text| text.ends_with("did you mean `fundus`?")), "{wrong:?}");
    client.replace(&uri, GOOD);
    assert!(client.codes(&uri).is_empty());
}

#[test]
fn a_broken_stage_hides_no_mistake_of_another() {
    let client = Client::new();
    let text =
        "pipeline p seed=1 {\n    synthetic fundus { photographs \"\n    extract patches { from fundos; size .5 }\n}\n";
    let codes = {
        let uri = client.open("a.kdl", text);
        client.codes(&uri)
    };
    assert!(codes.contains(&"unclosed-string".to_owned()), "{codes:?}");
    assert!(codes.contains(&"unknown-name".to_owned()), "{codes:?}");
    assert!(codes.contains(&"number-form".to_owned()), "{codes:?}");
}

#[test]
fn changes_of_parts_make_the_text_that_the_editor_has() {
    let client = Client::new();
    let mut text = GOOD.replace("64", "𝄞ä 64").replace('\n', "\r\n");
    let uri = client.open("a.kdl", &text);
    let parts = [("𝄞ä ", ""), ("64", "6400"), ("6400 }\r\n", "6400 }\r\n    synthetic ünd"), ("ünd", "fundus")];
    let mut changes = Vec::new();
    for (old, new) in parts {
        let at = text.find(old).expect("it is there");
        let ends = json!({"start": place(&text, at), "end": place(&text, at + old.len())});
        changes.push(json!({"range": ends, "text": new}));
        text = text.replacen(old, new, 1);
    }
    client.change(&uri, json!(changes));
    assert_eq!(client.codes(&uri), ["out-of-range", "duplicate-name"]);
}

#[test]
fn columns_are_bytes_where_the_client_offers_them() {
    let text = "pipeline p seed=1 { /* 𝄞 */ synthetik fundus }\n";
    let utf16 = Client::new();
    let uri = utf16.open("a.kdl", text);
    assert_eq!(range(&utf16.wrong(&uri)[0]["range"]), "0:29-0:38");
    let utf8 = Client::with(json!({"general": {"positionEncodings": ["utf-8", "utf-16"]}}));
    let uri = utf8.open("a.kdl", text);
    assert_eq!(range(&utf8.wrong(&uri)[0]["range"]), "0:31-0:40");
}

#[test]
fn a_file_that_is_brought_in_is_read_as_the_editor_has_it() {
    let client = Client::new();
    let broken = "network tiny { conv c out=8 kernl=3; global-avg-pool; linear fc }\n";
    let used = client.write("networks.kdl", broken);
    let text = "use \"networks.kdl\"\npipeline p seed=1 { synthetic f; extract e { from f }; split s { from e }; \
                train t { data s.train; valid s.valid; network tiny } }\n";
    let uri = client.open("a.kdl", text);
    // Problems of the other file are reported there.
    let mut told = [client.told("textDocument/publishDiagnostics"), client.told("textDocument/publishDiagnostics")];
    told.sort_by_key(|one| one["uri"] != used);
    assert_eq!(told[0]["uri"], used);
    assert_eq!(told[0]["diagnostics"][0]["code"], "missing-param");
    assert_eq!(told[1]["uri"], uri);
    // The editor opens and corrects it without saving.
    client.open_as(&used, &broken.replace("kernl", "kernel"));
    assert!(client.codes(&uri).is_empty());
    assert!(client.codes(&used).is_empty());
    // After closing it, the text on disk counts.
    client.tell("textDocument/didClose", json!({"textDocument": {"uri": used}}));
    let broken = |one: &Value| one["uri"] == used && one["diagnostics"][0]["code"] == "missing-param";
    while !broken(&client.told("textDocument/publishDiagnostics")) {}
}

#[test]
fn a_file_that_changes_on_the_disk_is_read_again() {
    let client = Client::new();
    let (_, used) = client.file("stages.kdl");
    let uri = client.open("a.kdl", &format!("use \"stages.kdl\"\n{GOOD}"));
    assert_eq!(client.codes(&uri), ["unreadable-file"]);
    client.write("stages.kdl", "");
    client.tell("workspace/didChangeWatchedFiles", json!({"changes": [{"uri": used, "type": 1}]}));
    assert!(client.codes(&uri).is_empty());
}

#[test]
fn a_text_without_a_file_is_checked_too() {
    let client = Client::new();
    client.open_as("untitled:Untitled-1", "pipeline p seed=1 { synthetik fundus }\n");
    assert_eq!(client.codes("untitled:Untitled-1"), ["unknown-stage"]);
}

#[test]
fn a_file_that_is_too_large_is_reported_and_nothing_else() {
    let client = Client::new();
    let text = format!("{GOOD}//{}\n", " much".repeat(110_000));
    let uri = client.open("a.kdl", &text);
    assert_eq!(client.codes(&uri), ["too-large"]);
    let document = json!({"textDocument": {"uri": uri}, "options": {"tabSize": 4, "insertSpaces": true}});
    assert!(client.ask("textDocument/formatting", document).is_null());
}

#[test]
fn what_was_reported_about_a_text_is_withdrawn_when_it_closes() {
    let client = Client::new();
    let uri = client.open("a.kdl", "pipeline p { }\n");
    assert_eq!(client.codes(&uri), ["no-seed"]);
    client.tell("textDocument/didClose", json!({"textDocument": {"uri": uri}}));
    let told = client.told("textDocument/publishDiagnostics");
    assert_eq!((&told["uri"], &told["diagnostics"]), (&json!(uri), &json!([])));
}

#[test]
fn formatting_is_one_edit_that_gives_the_layout_of_fmt() {
    let client = Client::new();
    let messy = "// ä 𝄞\npipeline   p seed=1 {\n  synthetic fundus // ü\n\textract patches {from fundus;size 64}\n}\n";
    let uri = client.open("a.kdl", messy);
    let params = json!({"textDocument": {"uri": uri}, "options": {"tabSize": 4, "insertSpaces": true}});
    let edits = client.ask("textDocument/formatting", params.clone());
    assert_eq!(edits.as_array().map(Vec::len), Some(1));
    assert_eq!(edited(messy, &edits), format!("// ä 𝄞\n{}", GOOD.replace("fundus\n", "fundus // ü\n")));
    client.replace(&uri, GOOD);
    assert_eq!(client.ask("textDocument/formatting", params.clone()), json!([]));
    client.replace(&uri, "pipeline p seed=1 { synthetic fundus { }\n");
    assert!(client.ask("textDocument/formatting", params).is_null());
}

#[test]
fn the_outline_holds_pipelines_stages_networks_and_parameters() {
    let client = Client::new();
    let text = "stage own {\n    in photographs type=photographs\n    out type=patches from=tiles\n    param size type=px default=64\n    \
                body { extract tiles { from photographs; size $size } }\n}\nnetwork tiny { param width default=8; block b { relu } }\n\
                pipeline p seed=1 {\n    param side type=px default=64\n    synthetic fundus\n    own\n}\n";
    let uri = client.open("a.kdl", text);
    let symbols = client.ask("textDocument/documentSymbol", json!({"textDocument": {"uri": uri}}));
    let names = |value: &serde_json::Value| -> Vec<String> {
        let all = value.as_array().into_iter().flatten();
        all.map(|one| format!("{} {}", one["name"].as_str().unwrap_or_default(), one["detail"].as_str().unwrap_or("-")))
            .collect()
    };
    assert_eq!(names(&symbols), ["own stage", "tiny network", "p pipeline"]);
    assert_eq!(names(&symbols[0]["children"]), ["photographs in", "out -", "size param", "tiles extract"]);
    assert_eq!(names(&symbols[1]["children"]), ["width param", "b block"]);
    assert_eq!(names(&symbols[2]["children"]), ["side param", "fundus synthetic", "own -"]);
    assert_eq!(range(&symbols[2]["selectionRange"]), "7:9-7:10");
}

#[test]
fn a_project_file_is_checked_as_one() {
    let client = Client::new();
    let uri = client.open("project.kdl", "store \"../store\"\npackage lesions { path \"vendor\" }\n");
    let known = ["missing-param", "package-digest", "package-pin", "unpinned-package"];
    assert!(client.codes(&uri).iter().all(|code| code.contains("pin") || known.contains(&code.as_str())));
    client.replace(&uri, "pipeline p seed=1 { synthetic a }\nstore a\nstore b\n");
    assert_eq!(client.codes(&uri), ["unknown-node", "duplicate-param"]);
}
