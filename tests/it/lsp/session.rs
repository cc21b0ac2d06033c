//! Sessions: start and end, messages out of order, unknown methods.

use lsp_server::RequestId;
use macula::lsp::SessionEnd;
use serde_json::{Value, json};

use super::client::Client;

#[test]
fn a_session_that_ends_in_order_ends_so() {
    assert_eq!(Client::new().end(), SessionEnd::InOrder);
}

#[test]
fn a_client_that_goes_away_ends_the_server() {
    assert_eq!(Client::new().leave(), SessionEnd::Abruptly);
}

#[test]
fn nothing_is_answered_before_initialize() {
    let client = Client::silent();
    assert_eq!(client.refused("textDocument/hover", json!({})).0, -32002);
    client.ask("initialize", json!({"processId": null, "rootUri": null, "capabilities": {}}));
    assert_eq!(client.refused("initialize", json!({"capabilities": {}})).0, -32600);
}

#[test]
fn nothing_is_answered_after_shutdown() {
    let client = Client::new();
    client.ask("shutdown", Value::Null);
    assert_eq!(client.refused("textDocument/hover", json!({})).0, -32600);
}

#[test]
fn what_is_not_known_is_refused_and_the_session_goes_on() {
    let client = Client::new();
    assert_eq!(client.refused("textDocument/foldEverything", json!({})).0, -32601);
    assert_eq!(client.refused("textDocument/formatting", json!({"textDocument": 7})).0, -32602);
    client.tell("$/setTrace", json!({"value": "off"}));
    client.tell("textDocument/didChange", json!({"nothing": "that fits"}));
    assert_eq!(client.end(), SessionEnd::InOrder);
}

#[test]
fn a_text_that_is_not_open_has_no_answers() {
    let client = Client::new();
    let document = json!({"uri": "file:///nowhere.kdl"});
    assert!(client.ask("textDocument/documentSymbol", json!({"textDocument": document})).is_null());
}

#[test]
fn a_request_that_waits_can_be_cancelled() {
    let client = Client::new();
    // The request and its cancellation arrive while a large text is analysed.
    let stages: Vec<String> = (0..3000).map(|i| format!("    synthetic s{i} {{ photographs 24 }}\n")).collect();
    let uri = client.open("a.kdl", &format!("pipeline p seed=1 {{\n{}}}\n", stages.concat()));
    let params = json!({"textDocument": {"uri": uri}});
    let first = client.request("textDocument/documentSymbol", params.clone());
    let second = client.request("textDocument/documentSymbol", params);
    let number: Value = serde_json::to_value::<RequestId>(second.clone()).expect("an id");
    client.tell("$/cancelRequest", json!({"id": number}));
    let refused = client.response(&second).response_result.expect_err("cancelled");
    assert_eq!(refused.code, -32800);
    assert!(client.response(&first).response_result.is_ok());
}

#[test]
fn files_are_watched_where_the_client_can() {
    let client = Client::with(json!({"workspace": {"didChangeWatchedFiles": {"dynamicRegistration": true}}}));
    let asked = client.told("client/registerCapability");
    assert_eq!(asked["registrations"][0]["method"], "workspace/didChangeWatchedFiles");
}
