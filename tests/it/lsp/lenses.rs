//! Code lenses and their commands, and symbols of the workspace.

use serde_json::{Value, json};

use super::client::{Client, range};
use super::mending::{files, run_there};

const PIPELINE: &str = "pipeline small seed=7 {
    synthetic eyes { photographs 6; size 192; photographs-per-patient 1 }
    extract tiles { from eyes; size 64 }
    split folds { from tiles; train 0.34; valid 0.33; test 0.33 }
    train classifier { data folds.train; valid folds.valid; network shallow-cnn; epochs 1; device cpu }
    eval scores { model classifier; data folds.test }
}
";

/// Lenses as `line title command`.
fn lenses(client: &Client, uri: &str) -> Vec<String> {
    let found = client.ask("textDocument/codeLens", json!({"textDocument": {"uri": uri}}));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let one = |lens: &Value| {
        let command = &lens["command"];
        format!("{} {} {}", lens["range"]["start"]["line"], text(&command["title"]), text(&command["command"]))
    };
    found.as_array().into_iter().flatten().map(one).collect()
}

fn client(options: &Value) -> (Client, Value) {
    let client = Client::silent();
    let root = format!("file://{}", client.folder.path().display());
    let capabilities = json!({"workspace": {"codeLens": {"refreshSupport": true}}});
    let params =
        json!({"processId": null, "rootUri": root, "capabilities": capabilities, "initializationOptions": options});
    let answer = client.ask("initialize", params);
    client.tell("initialized", json!({}));
    (client, answer["capabilities"].clone())
}

#[test]
fn a_pipeline_and_its_stages_have_lenses() {
    let text = "pipeline p seed=1 {
    synthetic eyes
    extract tiles { from eyes }
    repeat 2 fold {
        split sides { from tiles; folds 2; fold $fold }
    }
}
sweep s { over tiles.size 64 128 }
";
    let (client, _) = client(&json!({}));
    let uri = client.open("a.kdl", text);
    let expected = [
        "0 run macula.run",
        "0 plan macula.plan",
        "1 run macula.run",
        "1 why macula.why",
        "2 run macula.run",
        "2 why macula.why",
        "4 run macula.run",
        "4 why macula.why",
        "7 run macula.run",
        "7 plan macula.plan",
    ];
    assert_eq!(lenses(&client, &uri), expected);
    let found = client.ask("textDocument/codeLens", json!({"textDocument": {"uri": uri}}));
    let about = |at: usize| found[at]["command"]["arguments"][0].clone();
    let file = client.file("a.kdl").0.display().to_string();
    assert_eq!(about(0), json!({"file": file}));
    assert_eq!(about(7), json!({"file": file, "stage": "fold.sides"}));
    assert_eq!(about(8), json!({"file": file, "sweep": "s"}));
    // The pipeline's name is needed if there are several.
    client.replace(&uri, "pipeline p seed=1 { synthetic a }\npipeline q seed=2 { synthetic b }\n");
    let found = client.ask("textDocument/codeLens", json!({"textDocument": {"uri": uri}}));
    assert_eq!(found[4]["command"]["arguments"][0], json!({"file": file, "pipeline": "q"}));
    let (client, _) = self::client(&json!({"lenses": false}));
    let uri = client.open("a.kdl", text);
    assert!(lenses(&client, &uri).is_empty());
}

#[test]
fn the_last_metric_stands_above_an_evaluation() {
    let (client, _) = client(&json!({}));
    run_there(&client, PIPELINE);
    let uri = client.open("a.kdl", PIPELINE);
    client.told("workspace/codeLens/refresh");
    let found = lenses(&client, &uri);
    let metric = |found: &[String]| {
        found
            .iter()
            .find(|lens| lens.contains("mean-average-precision 0.") || lens.contains("mean-average-precision 1."))
            .cloned()
    };
    let fresh = metric(&found).unwrap_or_else(|| panic!("{found:?}"));
    assert!(fresh.ends_with(" macula.show") && !fresh.contains("last run"), "{fresh}");
    assert!(found[1].contains("plan: 5 stages up to date"), "{found:?}");
    client.replace(&uri, &PIPELINE.replace("size 64", "size 32"));
    client.told("workspace/codeLens/refresh");
    let found = lenses(&client, &uri);
    assert!(metric(&found).is_some_and(|lens| lens.contains("(last run)")), "{found:?}");
    assert!(found[1].contains("plan: up to 4 of 5 stages will run"), "{found:?}");
    // A client without commands of its own asks the server, which shows what it knows and starts nothing.
    let file = client.file("a.kdl").0.display().to_string();
    let execute = |command: &str, about: Value| {
        client.ask("workspace/executeCommand", json!({"command": command, "arguments": [about]}));
        client.told("window/showMessage")["message"].as_str().unwrap_or_default().to_owned()
    };
    let said = execute("macula.why", json!({"file": file, "stage": "tiles"}));
    assert_eq!(said, "tiles: will run: size 64 -> 32");
    let said = execute("macula.plan", json!({"file": file}));
    assert!(said.starts_with("5 stages, 4 not up to date:\n") && said.contains("\ntiles: will run"), "{said}");
    let said = execute("macula.show", json!({"file": file, "stage": "tiles"}));
    assert!(said.starts_with("tiles: Last time: ") && said.contains("patches"), "{said}");
    let store = client.folder.path().join(".macula");
    let before = files(&store);
    let said = execute("macula.run", json!({"file": file, "stage": "tiles"}));
    assert_eq!(said, format!("Run this in a terminal: macula run {file} tiles"));
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(files(&store), before, "nothing is started");
}

#[test]
fn commands_that_the_client_executes_are_left_to_it() {
    let all = ["macula.run", "macula.plan", "macula.why", "macula.show"];
    let (_, capabilities) = client(&json!({}));
    assert_eq!(capabilities["executeCommandProvider"]["commands"], json!(all));
    let (_, capabilities) = client(&json!({"commands": ["macula.run", "macula.why"]}));
    assert_eq!(capabilities["executeCommandProvider"]["commands"], json!(["macula.plan", "macula.show"]));
    let (client, capabilities) = client(&json!({"commands": all}));
    assert!(capabilities["executeCommandProvider"].is_null());
    let why = client.refused("workspace/executeCommand", json!({"command": "macula.erase"}));
    assert_eq!(why.1, "unknown command `macula.erase`");
    let why = client.refused("workspace/executeCommand", json!({"command": "macula.plan", "arguments": [7]}));
    assert_eq!(why.1, "`macula.plan` needs an object with `file`");
}

#[test]
fn symbols_of_all_files_are_found_by_a_part_of_their_name() {
    let (client, _) = client(&json!({}));
    let nets = client.write("nets/tiny.kdl", "network tiny-classifier { relu }\n");
    client.write("results/old.kdl", "pipeline classifier-old seed=1 { }\n");
    let text = "pipeline p seed=1 {\n    synthetic eyes\n    train classifier { data eyes }\n}\n";
    let saved = client.write("a.kdl", text);
    // An open text counts as it is in the editor.
    let uri = client.open("a.kdl", &text.replace("synthetic eyes", "synthetic others"));
    assert_eq!(saved, uri);
    let found = |query: &str| {
        let found = client.ask("workspace/symbol", json!({"query": query}));
        let one = |symbol: &Value| {
            let container = symbol["containerName"].as_str().unwrap_or("-").to_owned();
            (symbol["name"].as_str().unwrap_or_default().to_owned(), container, range(&symbol["location"]["range"]))
        };
        found.as_array().into_iter().flatten().map(one).collect::<Vec<_>>()
    };
    let named = |name: &str, container: &str, range: &str| (name.to_owned(), container.to_owned(), range.to_owned());
    assert_eq!(
        found("Class"),
        [named("classifier", "p", "2:10-2:20"), named("tiny-classifier", "-", "0:8-0:23")],
        "those that begin with it come first"
    );
    assert_eq!(found("oth"), [named("others", "p", "1:14-1:20")]);
    assert_eq!(found("tcl"), [named("tiny-classifier", "-", "0:8-0:23")]);
    assert!(found("eyes").is_empty());
    assert_eq!(found("").len(), 4);
    let symbols = client.ask("workspace/symbol", json!({"query": "tiny"}));
    assert_eq!(symbols[0]["location"]["uri"], nets.as_str());
}
