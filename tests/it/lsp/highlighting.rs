//! Semantic tokens.

use serde_json::{Value, json};

use super::client::Client;

/// Tokens of an answer as `line text type+modifier`, read with the legend of `initialize`.
fn tokens(client: &Client, uri: &str, text: &str, range: Option<Value>) -> Vec<String> {
    let mut params = json!({"textDocument": {"uri": uri}});
    let method = match range {
        Some(range) => {
            params["range"] = range;
            "textDocument/semanticTokens/range"
        }
        None => "textDocument/semanticTokens/full",
    };
    let found = client.ask(method, params);
    let data: Vec<u64> = found["data"].as_array().expect("data").iter().filter_map(Value::as_u64).collect();
    let lines: Vec<Vec<u16>> = text.split('\n').map(|line| line.encode_utf16().collect()).collect();
    let (mut line, mut column) = (0, 0);
    let legend = &LEGEND;
    data.chunks(5)
        .map(|token| {
            line += token[0] as usize;
            column = if token[0] == 0 { column + token[1] as usize } else { token[1] as usize };
            let word = String::from_utf16(&lines[line][column..column + token[2] as usize]).expect("whole characters");
            let bits: Vec<&str> = legend
                .1
                .iter()
                .enumerate()
                .filter(|(bit, _)| token[4] >> bit & 1 == 1)
                .map(|(_, name)| *name)
                .collect();
            let name = [&[legend.0[token[3] as usize]], bits.as_slice()].concat().join("+");
            format!("{line} {word} {name}")
        })
        .collect()
}

/// Types and modifiers that the server announces.
const LEGEND: ([&str; 15], [&str; 4]) = (
    [
        "namespace",
        "variable",
        "class",
        "interface",
        "property",
        "enumMember",
        "parameter",
        "struct",
        "function",
        "label",
        "keyword",
        "type",
        "string",
        "number",
        "comment",
    ],
    ["declaration", "defaultLibrary", "px", "degrees"],
);

#[test]
fn the_legend_is_announced() {
    let client = Client::silent();
    let found = client.ask("initialize", json!({"processId": null, "rootUri": null, "capabilities": {}}));
    let provider = &found["capabilities"]["semanticTokensProvider"];
    assert_eq!(provider["legend"], json!({"tokenTypes": LEGEND.0, "tokenModifiers": LEGEND.1}));
    assert_eq!((provider["full"].as_bool(), provider["range"].as_bool()), (Some(true), Some(true)));
}

#[test]
fn every_word_has_its_type() {
    const TEXT: &str = "use \"std:templates/balanced-patches\" // ä 𝄞
network tiny { param width default=8; conv c out=$width kernel=3; tap map; relu; global-avg-pool; linear fc }
pipeline p seed=1 {
    param side type=px default=64
    synthetic f
    /- synthetic gone { size 9 }
    extract e { from f; size $side; stride 32 }
    split folds { from e; train 0.5 }
    train t { data folds.train; network tiny width=4; loss focal gamma=2.0 }
}
";
    let client = Client::new();
    let uri = client.open("a.kdl", TEXT);
    let found = tokens(&client, &uri, TEXT, None);
    let expected = [
        "0 use keyword",
        "0 \"std:templates/balanced-patches\" string",
        "0 // ä 𝄞 comment",
        "1 network keyword",
        "1 tiny struct+declaration",
        "1 param keyword",
        "1 width parameter+declaration",
        "1 default property",
        "1 8 number",
        "1 conv function+defaultLibrary",
        "1 out property+defaultLibrary",
        "1 $width parameter",
        "1 kernel property+defaultLibrary",
        "1 3 number",
        "1 tap keyword",
        "1 map label+declaration",
        "1 relu function+defaultLibrary",
        "1 global-avg-pool function+defaultLibrary",
        "1 linear function+defaultLibrary",
        "2 pipeline keyword",
        "2 p namespace+declaration",
        "2 seed property",
        "2 1 number",
        "3 param keyword",
        "3 side parameter+declaration",
        "3 type property",
        "3 px type",
        "3 default property",
        "3 64 number+px",
        "4 synthetic class+defaultLibrary",
        "4 f variable+declaration",
        "5 /- comment",
    ];
    assert_eq!(found[..expected.len()], expected);
    assert!(found.iter().filter(|token| token.starts_with("5 ")).all(|token| token.ends_with(" comment")), "{found:?}");
    for token in [
        "6 from interface+defaultLibrary",
        "6 f variable",
        "6 size property+defaultLibrary",
        "6 $side parameter",
        "6 32 number+px",
        "7 train property+defaultLibrary",
        "8 folds variable",
        "8 train interface+defaultLibrary",
        "8 tiny struct",
        "8 width parameter",
        "8 focal enumMember+defaultLibrary",
        "8 gamma property+defaultLibrary",
        "8 2.0 number",
    ] {
        assert!(found.iter().any(|one| one == token), "{token}: {found:?}");
    }
}

#[test]
fn a_range_has_its_own_tokens() {
    let text = "pipeline p seed=1 {\n    synthetic f\n    extract e { from f }\n}\n";
    let client = Client::new();
    let uri = client.open("a.kdl", text);
    let all = tokens(&client, &uri, text, None);
    let range = json!({"start": {"line": 1, "character": 0}, "end": {"line": 2, "character": 0}});
    let some = tokens(&client, &uri, text, Some(range));
    assert_eq!(some, all.into_iter().filter(|token| token.starts_with("1 ")).collect::<Vec<_>>());
}

#[test]
fn a_token_is_on_one_line_and_a_broken_text_has_tokens() {
    let text = "/* a\n  b */\npipeline p {\n    doc \"\"\"\n        one\n        two\n        \"\"\"\n    extract e { from \"open\n";
    let client = Client::new();
    let uri = client.open("a.kdl", text);
    let found = tokens(&client, &uri, text, None);
    for token in ["0 /* a comment", "1 b */ comment", "4 one string", "5 two string", "7 \"open string"] {
        assert!(found.iter().any(|one| one == token), "{token}: {found:?}");
    }
}
