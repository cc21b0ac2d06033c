//! Names: hover, definition, references and rename.

use serde_json::{Value, json};

use super::client::{Client, edited, marked, place, range};

const TEXT: &str = "stage own {
    doc \"Cuts.\"
    in photos type=photographs { doc \"Any photographs.\" }
    out type=patches from=tiles { doc \"Cut.\" }
    param side type=px default=64 { doc \"Side of a patch.\" }
    body { extract tiles { from photos; size $side } }
}
network tiny {
    param width default=8
    block step { param channels; conv conv out=$channels kernel=3; relu }
    step one channels=$width
    global-avg-pool
    linear fc
}
pipeline p seed=1 {
    param ä type=px default=64
    synthetic fundus
    own cut { photos fundus; side $ä }
    split folds { from cut }
    train classifier { data folds.train; valid folds.valid; network tiny width=4; loss focal gamma=2.0 }
    eval scores { model classifier; data folds.test }
}
";

/// A position at the `nth` (from 0) place of `word` in a text.
pub(super) fn at(text: &str, word: &str, nth: usize) -> Value {
    let (at, _) = text.match_indices(word).nth(nth).expect("it is there");
    place(text, at)
}

pub(super) fn hover(client: &Client, uri: &str, place: &Value) -> String {
    let found = client.ask("textDocument/hover", json!({"textDocument": {"uri": uri}, "position": place}));
    found["contents"]["value"].as_str().unwrap_or_default().to_owned()
}

pub(super) fn definition(client: &Client, uri: &str, place: &Value) -> Value {
    client.ask("textDocument/definition", json!({"textDocument": {"uri": uri}, "position": place}))
}

#[test]
fn a_hover_says_what_a_word_means() {
    let client = Client::new();
    let uri = client.open("a.kdl", TEXT);
    let about = |word, nth| hover(&client, &uri, &at(TEXT, word, nth));
    let expect = [
        ("split", 0, "in `from`"),
        ("own", 1, "A template"),
        ("from cut", 0, "Accepts patches"),
        ("size $", 0, "pixels"),
        ("side $ä", 0, "Side of a patch."),
        ("photos fundus", 0, "Any photographs."),
        ("train;", 0, "Gives patches"),
        ("focal", 0, "gamma"),
        ("gamma", 0, "Parameter of case `focal`"),
        ("tiny width", 0, "`width`, default `8`"),
        ("ä }", 0, "--set ä"),
        ("classifier;", 0, "train classifier"),
        ("conv conv", 0, "convolution"),
        ("kernel=", 0, "Side of the kernel"),
        ("p seed", 0, "seed=1"),
    ];
    for (word, nth, words) in expect {
        let found = about(word, nth);
        assert!(found.contains(words), "{word}: {found}");
    }
    let found = about("classifier {", 0);
    assert!(found.contains("`loss.gamma` 2.0\n"), "{found}");
    // Defaults are one paragraph, in part.
    let defaults = found.lines().find(|line| line.starts_with("Defaults: ")).expect("there are some");
    assert!(defaults.contains("more: `macula doc train`") && !defaults.contains("loss.gamma"), "{defaults}");
    assert_eq!(about("{", 0), "");
}

#[test]
fn a_definition_is_found_through_templates_and_into_the_standard_library() {
    let client = Client::new();
    let uri = client.open("a.kdl", TEXT);
    let line = |word, nth| {
        let found = definition(&client, &uri, &at(TEXT, word, nth));
        assert_eq!(found["uri"], uri.as_str(), "{word}");
        range(&found["range"])
    };
    assert_eq!(line("own cut", 0), "0:6-0:9");
    assert_eq!(line("photos fundus", 0), "2:7-2:13");
    assert_eq!(line("photos;", 0), "2:7-2:13");
    assert_eq!(line("side $ä", 0), "4:10-4:14");
    assert_eq!(line("side }", 0), "4:10-4:14");
    assert_eq!(line("ä }", 0), "15:10-15:11");
    assert_eq!(line("folds.train", 0), "18:10-18:15");
    assert_eq!(line("tiles {", 1), "5:19-5:24");
    assert_eq!(line("tiny width", 0), "7:8-7:12");
    assert_eq!(line("width=4", 0), "8:10-8:15");
    assert_eq!(line("step one", 0), "9:10-9:14");
    assert_eq!(line("channels=$", 0), "9:23-9:31");
    for (word, declared) in
        [("extract", "extract"), ("gamma", "gamma"), ("focal", "focal"), ("train;", "train"), ("size $", "size")]
    {
        let found = definition(&client, &uri, &at(TEXT, word, 0));
        let path = found["uri"]
            .as_str()
            .and_then(|uri| uri.strip_prefix("file://"))
            .unwrap_or_else(|| panic!("{word}: {found}"));
        let text = std::fs::read_to_string(path).expect("it is a file");
        let line = found["range"]["start"]["line"].as_u64().expect("a line") as usize;
        assert!(text.lines().nth(line).is_some_and(|line| line.contains(declared)), "{word}: {found}");
        assert!(std::fs::metadata(path).expect("it is a file").permissions().readonly());
    }
}

#[test]
fn the_standard_library_opens_without_mistakes_and_leads_on() {
    let client = Client::new();
    let uri = client.open("a.kdl", "pipeline p seed=1 { synthetic f; balanced-patches b { photographs f } }\n");
    let found = definition(&client, &uri, &at("pipeline p seed=1 { synthetic f; balanced-patches", "balanced", 0));
    let library = found["uri"].as_str().expect("a file").to_owned();
    let text = std::fs::read_to_string(library.trim_start_matches("file://")).expect("it is there");
    client.open_as(&library, &text);
    assert!(client.codes(&library).is_empty());
    let inner = definition(&client, &library, &at(&text, "extract ", 0));
    assert!(inner["uri"].as_str().is_some_and(|uri| uri.ends_with("stages/extract.kdl")), "{inner}");
}

#[test]
fn references_are_found_in_all_that_names_them() {
    let client = Client::new();
    let uri = client.open("a.kdl", TEXT);
    let count = |word, nth, with: bool| {
        let context = json!({"includeDeclaration": with});
        let params = json!({"textDocument": {"uri": uri}, "position": at(TEXT, word, nth), "context": context});
        client.ask("textDocument/references", params).as_array().map_or(0, Vec::len)
    };
    assert_eq!(count("folds {", 0, true), 4);
    assert_eq!(count("folds {", 0, false), 3);
    assert_eq!(count("photos type", 0, true), 3);
    assert_eq!(count("side type", 0, true), 3);
    let params = json!({"textDocument": {"uri": uri}, "position": at(TEXT, "folds {", 0)});
    assert_eq!(client.ask("textDocument/documentHighlight", params).as_array().map_or(0, Vec::len), 4);
}

pub(super) fn renamed(client: &Client, uri: &str, place: &Value, new: &str) -> Value {
    let params = json!({"textDocument": {"uri": uri}, "position": place, "newName": new});
    client.ask("textDocument/rename", params)["changes"].clone()
}

#[test]
fn a_rename_takes_every_place_and_leaves_nothing_wrong() {
    let client = Client::new();
    for (word, nth, new) in [
        ("folds {", 0, "sides"),
        ("ä type", 0, "größe"),
        ("own {", 0, "mine"),
        ("photos type", 0, "pictures"),
        ("side $ä", 0, "edge"),
        ("tiny {", 0, "small"),
        ("width default", 0, "breadth"),
        ("step {", 0, "stage-one"),
        ("channels;", 0, "planes"),
        ("tiles {", 0, "cuts"),
        ("p seed", 0, "q"),
    ] {
        let uri = client.open("a.kdl", TEXT);
        assert_eq!(client.codes(&uri), Vec::<String>::new(), "{word}");
        let changes = renamed(&client, &uri, &at(TEXT, word, nth), new);
        let text = edited(TEXT, &changes[&uri]);
        assert_ne!(text, TEXT);
        client.replace(&uri, &text);
        assert_eq!(client.codes(&uri), Vec::<String>::new(), "{word}: {text}");
        client.tell("textDocument/didClose", json!({"textDocument": {"uri": uri}}));
    }
}

#[test]
fn a_rename_follows_a_repeat_and_its_stages_inside_and_outside() {
    const FOLDS: &str = "pipeline p seed=1 {
    synthetic eyes
    extract tiles { from eyes; size 64 }
    repeat 2 fold {
        split sides { from tiles; folds 2; fold $fold }
        train classifier { data sides.train; valid sides.valid; network shallow-cnn }
        eval scores { model classifier; data sides.test }
    }
    pool all { of fold.scores; data tiles }
    report page { of all fold.2.sides.test fold.1.classifier }
}
sweep s { over fold.classifier.epochs 1 2 }
";
    let client = Client::new();
    for (word, nth, new) in [
        ("fold {", 0, "part"),
        ("sides {", 0, "halves"),
        ("classifier", 2, "net"),
        ("scores;", 0, "metrics"),
        ("tiles {", 0, "cuts"),
    ] {
        let uri = client.open("a.kdl", FOLDS);
        assert_eq!(client.codes(&uri), Vec::<String>::new(), "{word}");
        let changes = renamed(&client, &uri, &at(FOLDS, word, nth), new);
        let text = edited(FOLDS, &changes[&uri]);
        assert_ne!(text, FOLDS);
        client.replace(&uri, &text);
        assert_eq!(client.codes(&uri), Vec::<String>::new(), "{word}: {text}");
        client.tell("textDocument/didClose", json!({"textDocument": {"uri": uri}}));
    }
    let uri = client.open("a.kdl", FOLDS);
    assert!(hover(&client, &uri, &at(FOLDS, "classifier", 0)).contains("train fold.classifier"));
}

const TAPS: &str = "network stem {
    conv conv out=8 kernel=3
    tap early.map
    relu
    tap late
    global-avg-pool
    linear fc
}
network whole {
    block part { conv conv out=8 kernel=3; tap half-way }
    stem trunk to=late
    part one
    parallel join=sum {
        branch from=trunk.early.map { conv a out=8 kernel=3 }
        branch from=one.half-way
    }
    tap both
    auxiliary side from=both { global-avg-pool; linear fc }
    global-avg-pool
    linear fc
}
pipeline p seed=1 {
    synthetic eyes
    encode vectors { from eyes; network stem to=early.map }
    encode others { from eyes; network resnet18 { to layer3 } }
}
";

#[test]
fn a_rename_of_a_tap_finds_every_use_of_it() {
    let client = Client::new();
    for (word, nth, new, count) in [
        // Declared; used with a prefix by a network around it, and by a stage.
        ("early.map", 0, "first", 3),
        ("early.map", 1, "first", 3),
        ("early.map", 2, "first", 3),
        ("late", 0, "last.map", 2),
        ("half-way", 1, "middle", 2),
        ("both", 1, "joined", 2),
    ] {
        let uri = client.open("a.kdl", TAPS);
        let before = client.codes(&uri);
        let changes = renamed(&client, &uri, &at(TAPS, word, nth), new);
        assert_eq!(changes[&uri].as_array().map_or(0, Vec::len), count, "{word}: {changes}");
        let text = edited(TAPS, &changes[&uri]);
        client.replace(&uri, &text);
        assert_eq!(client.codes(&uri), before, "{word}: {text}");
        client.tell("textDocument/didClose", json!({"textDocument": {"uri": uri}}));
    }
    let uri = client.open("a.kdl", TAPS);
    let refused = |word: &str, new: &str| {
        let params = json!({"textDocument": {"uri": uri}, "position": at(TAPS, word, 0), "newName": new});
        client.refused("textDocument/rename", params).1
    };
    assert_eq!(refused("late", "early.map"), "`early.map` is already in use");
    assert!(refused("late", "half").contains("is not a valid name"));
    assert_eq!(refused("layer3", "x"), "`layer3` is part of the standard library");
    assert!(hover(&client, &uri, &at(TAPS, "layer3", 0)).contains("256 x 8 x 8"));
    let found = definition(&client, &uri, &at(TAPS, "layer3", 0));
    assert!(found["uri"].as_str().is_some_and(|uri| uri.ends_with("networks/resnet18.kdl")), "{found}");
}

#[test]
fn a_rename_of_a_tap_reaches_the_files_that_use_its_network() {
    let client = Client::new();
    let shared = "network stem { conv conv out=8 kernel=3; tap early; global-avg-pool; linear fc }\n";
    let user = "use \"stem.kdl\"\npipeline p seed=1 { synthetic e; encode v { from e; network stem to=early } }\n";
    let uri = client.write("stem.kdl", shared);
    let using = client.write("user.kdl", user);
    client.open_as(&uri, shared);
    let changes = renamed(&client, &uri, &at(shared, "early", 0), "first");
    assert_eq!(edited(user, &changes[&using]), user.replace("to=early", "to=first"));
}

#[test]
fn a_rename_that_would_break_something_is_refused_in_words() {
    let client = Client::new();
    let uri = client.open("a.kdl", TEXT);
    let why = |word: &str, new: &str| {
        let params = json!({"textDocument": {"uri": uri}, "position": at(TEXT, word, 0), "newName": new});
        client.refused("textDocument/rename", params).1
    };
    assert!(why("folds {", "1x").contains("letters, digits"));
    assert!(why("folds {", "a.b").contains("is not a valid name"));
    assert_eq!(why("folds {", "scores"), "`scores` is already in use");
    assert_eq!(why("own {", "extract"), "`extract` is already in use");
    assert_eq!(why("photos type", "side"), "`side` is already in use");
    // Names of one scope: a body's ports and stages, a network's parameters and blocks, the pipelines of a file.
    assert_eq!(why("tiles {", "photos"), "`photos` is already in use");
    assert_eq!(why("side type", "tiles"), "`tiles` is already in use");
    assert_eq!(why("step {", "relu"), "`relu` is already in use");
    assert_eq!(why("own {", "sweep"), "`sweep` is already in use");
    assert_eq!(why("tiny {", "resnet18"), "`resnet18` is already in use");
    assert_eq!(why("extract", "cut"), "`extract` is part of the standard library");
    assert_eq!(why("gamma", "g"), "`gamma` is part of the standard library");
    let params = json!({"textDocument": {"uri": uri}, "position": at(TEXT, "{", 0)});
    assert_eq!(client.refused("textDocument/prepareRename", params).1, "no name at this position");
    let params = json!({"textDocument": {"uri": uri}, "position": at(TEXT, "folds.train", 0)});
    assert_eq!(client.ask("textDocument/prepareRename", params)["placeholder"], "folds");
}

#[test]
fn a_rename_reaches_the_files_that_bring_the_name_in() {
    let client = Client::new();
    let shared = "stage own { out type=photographs from=a; body { synthetic a } }\n";
    let user = "use \"shared/own.kdl\" as=x\npipeline p seed=1 { x.own mine; extract e { from mine } }\n";
    let difference = "pipeline q { extends \"user.kdl\"; extract e { size 64 } }\n";
    let uri = client.write("shared/own.kdl", shared);
    let using = client.write("user.kdl", user);
    let extending = client.write("difference.kdl", difference);
    client.open_as(&uri, shared);
    let changes = renamed(&client, &uri, &at(shared, "own", 0), "theirs");
    assert_eq!(edited(user, &changes[&using]), user.replace("x.own", "x.theirs"));
    // A stage of a pipeline that another extends.
    client.open_as(&using, user);
    let changes = renamed(&client, &using, &at(user, "e {", 0), "tiles");
    assert_eq!(edited(difference, &changes[&extending]), difference.replace("extract e", "extract tiles"));
    // From the extending pipeline.
    client.open_as(&extending, difference);
    let changes = renamed(&client, &extending, &at(difference, "e {", 0), "tiles");
    assert_eq!(edited(user, &changes[&using]), user.replace("extract e", "extract tiles"));
}

#[test]
fn a_place_that_was_marked_is_where_the_mark_was() {
    let (text, place) = marked("a ä|b");
    assert_eq!((text.as_str(), place), ("a äb", json!({"line": 0, "character": 3})));
}
