//! `macula schema --json` says what the standard library says.

use macula::diag::catalogue;
use macula::lang::signature::Param;
use macula::lang::{manual, schema, stdlib};
use serde_json::Value;

fn all<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value[field].as_array().unwrap_or_else(|| panic!("no `{field}`")).as_slice()
}

fn named<'a>(all: &'a [Value], name: &str) -> &'a Value {
    all.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("no `{name}`"))
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

fn same(params: &[Param], told: &[Value]) {
    assert_eq!(params.len(), told.len());
    for (param, told) in params.iter().zip(told) {
        assert_eq!(told["name"], param.name.as_str());
        assert_eq!(told["type"], param.ty.name());
        assert_eq!(told["doc"], param.doc.as_str());
        assert_eq!(
            (told["default"].is_null(), &told["optional"]),
            (param.default.is_none(), &Value::Bool(param.optional))
        );
        if let Some(range) = &param.range {
            let (least, most, _) = range.bounds();
            assert_eq!((told["range"]["least"].as_f64(), told["range"]["most"].as_f64()), (Some(least), most));
        }
        same(&param.params, all(told, "params"));
        assert_eq!(param.cases.len(), all(told, "cases").len());
        for (case, told) in param.cases.iter().zip(all(told, "cases")) {
            assert_eq!(told["name"], case.name.as_str());
            same(&case.params, all(told, "params"));
        }
    }
}

#[test]
fn it_holds_every_stage_network_layer_and_code() {
    let schema = schema::schema();
    let std = stdlib::stdlib();
    assert_eq!(all(&schema, "stages").len(), std.signatures.len() + std.templates.len());
    for signature in std.signatures.iter().chain(&std.templates) {
        let told = named(all(&schema, "stages"), &signature.name);
        assert_eq!(
            (&told["doc"], &told["template"]),
            (&signature.doc.as_str().into(), &signature.body.is_some().into())
        );
        let ports: Vec<&Value> = all(told, "inputs").iter().map(|port| &port["name"]).collect();
        assert_eq!(ports, signature.inputs.iter().map(|port| port.name.as_str()).collect::<Vec<_>>());
        let ports: Vec<(&Value, &Value)> =
            all(told, "outputs").iter().map(|port| (&port["name"], &port["type"])).collect();
        let expected: Vec<_> = signature.outputs.iter().map(|port| (port.name.as_str(), port.ty.as_str())).collect();
        assert_eq!(ports.len(), expected.len());
        assert!(ports.iter().zip(expected).all(|(told, port)| *told.0 == port.0 && *told.1 == port.1));
        same(&signature.params, all(told, "params"));
        for (example, told) in signature.examples.iter().zip(all(told, "examples")) {
            assert_eq!(told["text"], manual::text(example).as_str());
        }
    }
    for network in &std.networks {
        assert_eq!(named(all(&schema, "networks"), &network.spec.name)["doc"].as_str(), network.doc.as_deref());
    }
    let codes: Vec<&str> = all(&schema, "codes").iter().filter_map(|code| code["code"].as_str()).collect();
    assert_eq!(codes, catalogue::pages().map(|page| page.code).collect::<Vec<_>>());
    let conv = named(all(&schema, "layers"), "conv");
    assert_eq!(named(all(conv, "params"), "kernel")["needed"], true);
}

/// Programs read these names: one that goes or changes its meaning makes another version, and a line in docs/schema.md.
#[test]
fn its_shape_is_that_of_its_version() {
    let schema = schema::schema();
    assert_eq!(schema["version"], schema::VERSION);
    assert_eq!(keys(&schema), ["version", "macula", "stages", "networks", "layers", "codes"]);
    let extract = named(all(&schema, "stages"), "extract");
    assert_eq!(
        keys(extract),
        ["name", "module", "template", "doc", "inputs", "outputs", "params", "figures", "examples"]
    );
    assert_eq!(keys(&extract["inputs"][0]), ["name", "types", "many", "least", "optional", "refuses", "doc"]);
    assert_eq!(keys(&extract["outputs"][0]), ["name", "type", "follows", "main", "marks", "marks-with", "side", "doc"]);
    let size = named(all(extract, "params"), "size");
    let expected = [
        "name", "type", "of", "unit", "range", "default", "optional", "keyed", "since", "replaces", "names", "doc",
        "cases", "params",
    ];
    assert_eq!(keys(size), expected);
    assert_eq!(
        (&size["type"], &size["unit"], &extract["module"]),
        (&"px".into(), &"px".into(), &"std:stages/extract".into())
    );
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/schema.md")).expect("the page");
    for field in expected.iter().chain(&[
        "module",
        "template",
        "refuses",
        "follows",
        "marks",
        "marks-with",
        "side",
        "needed",
        "absent",
        "remedy",
    ]) {
        assert!(page.contains(&format!("`{field}`")), "docs/schema.md says nothing of `{field}`");
    }
}
