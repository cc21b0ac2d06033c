//! Sweeps: completions, and the meaning of dotted names.

use serde_json::json;

use super::client::{Client, edited};
use super::completing::{has, labels, offered, texts};
use super::names::{at, definition, hover, renamed};

const TEXT: &str = "stage cut {
    in photos type=photographs
    out type=patches from=tiles
    param side type=px default=64
    body { extract tiles { from photos; size $side } }
}
pipeline p seed=1 {
    param rate type=real default=1e-4
    synthetic fundus
    cut patches { photos fundus }
    split folds { from patches }
    train classifier { data folds.train; valid folds.valid; network shallow-cnn; epochs 2; optimizer adam lr=$rate }
    eval scores { model classifier; data folds.valid }
}
sweep rates {
    over rate 1e-3 1e-4
    over patches.side 32 64
    over patches.tiles.label.min-pixels 1 4
    over classifier.loss { - bce; - focal gamma=2.0 }
    skip rate=1e-3 classifier.loss=bce
    repeat 2 only=classifier
    rank by=scores.mean-average-precision
}
";

/// Completions at the `|` of a line in a sweep.
fn within(line: &str) -> Vec<String> {
    let head = &TEXT[..TEXT.find("sweep rates").expect("it is there")];
    texts(&format!("{head}sweep rates {{\n    over rate 1e-3 1e-4\n    {line}\n}}\n"))
}

#[test]
fn a_sweep_offers_its_statements_and_no_stages() {
    let items = within("|");
    for word in ["over", "zip", "skip", "repeat", "rank", "of", "doc"] {
        assert!(has(&items, word), "{word}: {items:?}");
    }
    assert!(!has(&items, "extract"), "{items:?}");
    assert_eq!(within("zip { | }"), ["over"]);
}

#[test]
fn axes_are_offered_through_bodies_and_below_every_case() {
    let items = within("over |");
    let wanted =
        ["rate", "seed", "patches.side", "patches.tiles.size", "classifier.optimizer.lr", "classifier.loss.gamma"];
    for axis in wanted {
        assert!(has(&items, axis), "{axis}: {items:?}");
    }
    assert_eq!(items[0], "rate");
    assert_eq!(within("zip { over pat| }"), items);
}

#[test]
fn the_values_of_an_axis_are_offered() {
    let items = within("over classifier.loss |");
    assert!(has(&items, "focal") && has(&items, "bce") && !has(&items, "$rate"), "{items:?}");
    let items = within("over classifier.loss { - | }");
    assert!(has(&items, "focal") && has(&items, "bce"), "{items:?}");
    let items = within("over classifier.loss { - focal | }");
    assert!(has(&items, "gamma") && !has(&items, "$rate"), "{items:?}");
    assert!(has(&within("over classifier.network |"), "resnet18"));
    assert_eq!(within("skip rate=|"), ["1e-3", "1e-4"]);
    assert_eq!(within("skip |"), ["rate"]);
}

#[test]
fn stages_figures_and_pipelines_are_offered() {
    assert!(has(&within("repeat 3 only=|"), "classifier"));
    let items = within("rank by=|");
    assert!(has(&items, "scores.mean-average-precision") && has(&items, "classifier.mean-average-precision"));
    assert!(!items.iter().any(|item| item.starts_with("folds.")), "{items:?}");
    assert!(has(&within("of |"), "p"));
    // Of another file.
    let client = Client::new();
    client.write("base.kdl", TEXT);
    let items = labels(&offered(&client, "sweep more { of \"base.kdl\"; over classifier.ep| }"));
    assert!(has(&items, "classifier.epochs"), "{items:?}");
}

#[test]
fn words_of_a_sweep_lead_to_what_they_mean() {
    let client = Client::new();
    let uri = client.open("a.kdl", TEXT);
    assert_eq!(client.codes(&uri), ["chosen-by"]);
    let line = |place| definition(&client, &uri, &place)["range"]["start"]["line"].clone();
    let declared = |word: &str| json!(TEXT[..TEXT.find(word).expect("it is there")].matches('\n').count());
    assert_eq!(line(at(TEXT, "rate 1e-3", 0)), declared("param rate"));
    assert_eq!(line(at(TEXT, "patches.side", 0)), declared("cut patches"));
    assert_eq!(line(at(TEXT, "side 32", 0)), declared("param side"));
    assert_eq!(line(at(TEXT, "tiles.label", 0)), declared("extract tiles"));
    assert_eq!(line(at(TEXT, "classifier.loss {", 0)), declared("train classifier"));
    assert_eq!(line(at(TEXT, "scores.mean", 0)), declared("eval scores"));
    // Parameters of the library's stages, and their cases.
    let place = at(TEXT, "min-pixels 1", 0);
    assert!(hover(&client, &uri, &place).contains("label.min-pixels"), "{}", hover(&client, &uri, &place));
    assert!(hover(&client, &uri, &at(TEXT, "gamma=2.0", 0)).contains("loss.gamma"));
    assert!(hover(&client, &uri, &at(TEXT, "focal gamma", 0)).contains("loss focal"));
}

#[test]
fn a_rename_goes_through_sweeps() {
    let client = Client::new();
    for (word, new) in [
        ("rate type", "speed"),
        ("patches {", "cuts"),
        ("tiles {", "squares"),
        ("side type", "edge"),
        ("classifier {", "net"),
    ] {
        let uri = client.open("a.kdl", TEXT);
        let changes = renamed(&client, &uri, &at(TEXT, word, 0), new);
        let text = edited(TEXT, &changes[&uri]);
        client.replace(&uri, &text);
        assert_eq!(client.codes(&uri), ["chosen-by"], "{word}: {text}");
        client.tell("textDocument/didClose", json!({"textDocument": {"uri": uri}}));
    }
    // From the file of the pipeline into a sweep in another.
    let sweep = "sweep more { of \"base.kdl\"; over classifier.epochs 2 3 }\n";
    let (base, more) = (client.write("base.kdl", TEXT), client.write("more.kdl", sweep));
    client.open_as(&base, TEXT);
    let changes = renamed(&client, &base, &at(TEXT, "classifier {", 0), "net");
    assert_eq!(edited(sweep, &changes[&more]), sweep.replace("classifier", "net"));
}
