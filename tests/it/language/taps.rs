//! Taps, inputs, networks inside networks and shared tensors: what they lay out.

use macula::lang::network::{Branch, InputKind, Layer, NetworkSpec};
use macula::lang::value::Value;
use macula::lang::{builtin_network, shapes, stdlib};

use super::{load, set};

fn network(text: &str, name: &str) -> NetworkSpec {
    let stages = "synthetic fundus; extract patches { from fundus; size 64 }; split folds { from patches }";
    let train = format!("train model {{ data folds.train; valid folds.valid; network {name} }}");
    let eval = "eval scores { model model; data folds.test }";
    let (pipelines, diags) = load(&format!("{text}\npipeline a seed=1 {{ {stages}; {train}; {eval} }}"));
    assert_eq!(diags, []);
    let model = pipelines[0].stages.iter().find(|stage| stage.name == "model").expect("it trains");
    let Value::Network(network) = &model.params["network"].value else { panic!("a network") };
    NetworkSpec::clone(network)
}

const TWO_SCALES: &str = "network two-scales {
    input half
    parallel join=concat {
        branch { resnet18 to=features }
        branch small from=half { resnet18 to=features }
    }
    linear fc
}";

#[test]
fn a_network_inside_a_network_ends_at_its_tap() {
    let spec = network("network mine { resnet18 to=features; linear fc }", "mine");
    assert_eq!(spec.digest(), builtin_network("resnet18").expect("it is built in").digest());
    let spec = network(TWO_SCALES, "two-scales");
    let rows = shapes::shapes(&spec, 128, 4).expect("it fits");
    assert_eq!(rows[rows.len() - 2].out.to_string(), "512");
    assert_eq!(rows[0].out.to_string(), "1024");
    // Both trunks, without two heads, and a head of 1024 features.
    let trunk = 11_689_512 - 513 * 1000;
    assert_eq!(rows.iter().map(|row| row.parameters).sum::<u64>(), 2 * trunk + 1025 * 4);
    let names = spec.tensors();
    assert!(names.contains(&"layer4.1.bn2.running_var".to_owned()));
    assert!(names.contains(&"small.layer4.1.bn2.running_var".to_owned()));
    assert_eq!(spec.inputs().into_iter().collect::<Vec<_>>(), [InputKind::Half]);
}

#[test]
fn a_tap_that_nothing_refers_to_is_not_in_the_digest() {
    let digest =
        |text: &str| network(&format!("network mine {{ {text}; global-avg-pool; linear fc }}"), "mine").digest();
    let plain = digest("conv a out=8 kernel=3 padding=1; relu");
    assert_eq!(plain, digest("conv a out=8 kernel=3 padding=1; tap one; relu; tap two"));
    let branches = "parallel join=sum { branch { }; branch from=one { relu } }";
    let tapped = digest(&format!("conv a out=8 kernel=3 padding=1; tap one; relu; {branches}"));
    assert_eq!(
        tapped,
        digest(&format!("tap zero; conv a out=8 kernel=3 padding=1; tap one; relu; tap two; {branches}"))
    );
    let from_patch = "parallel join=sum { branch { }; branch { relu } }";
    assert_ne!(tapped, digest(&format!("conv a out=8 kernel=3 padding=1; relu; {from_patch}")));
}

#[test]
fn every_network_of_the_library_can_be_used_up_to_each_of_its_taps() {
    for described in &stdlib::stdlib().networks {
        let name = &described.spec.name;
        let taps: Vec<&str> = described.taps.iter().map(|tap| tap.name.as_str()).collect();
        // Networks with inputs besides the patch are whole classifiers.
        let reads_more = !described.spec.embeddings().is_empty();
        assert!(reads_more || taps[taps.len() - 2..] == ["map", "features"], "{name}");
        for tap in &described.taps {
            let row = tap.row.expect("layers come before it");
            let out = shapes::shapes(&described.spec, 128, 4).expect("it fits")[row].out;
            let pool = if out.to_string().contains('x') { "global-avg-pool;" } else { "" };
            let spec = network(&format!("network mine {{ {name} trunk to={}; {pool} linear fc }}", tap.name), "mine");
            let rows = shapes::shapes(&spec, 128, 4).expect("it fits");
            assert_eq!(rows[row].out, out, "{name} {}", tap.name);
            assert!(spec.tensors()[0].starts_with("trunk."), "{name}");
        }
    }
}

#[test]
fn names_of_taps_get_the_prefixes_of_tensors() {
    let spec = network(
        "network mine {
            param width default=8
            block step { param out; conv conv out=$out kernel=3 padding=1; tap made; parallel join=sum { branch { }; branch from=made { relu } } }
            step one out=$width
            repeat 2 two { step inner out=$width }
            parallel join=concat {
                branch { }
                branch from=one.made { max-pool kernel=1 }
                branch from=two.1.inner.made { tap own; parallel join=sum { branch { }; branch from=own { gelu } } }
            }
            global-avg-pool
            linear fc
        }",
        "mine",
    );
    let rows = shapes::shapes(&spec, 64, 4).expect("it fits");
    let points: Vec<&str> = rows.iter().map(|row| row.point.as_str()).filter(|point| !point.is_empty()).collect();
    let wanted = "one.made one.made two.0.inner.made two.0.inner.made two.1.inner.made two.1.inner.made one.made two.1.inner.made own own";
    assert_eq!(points.join(" "), wanted);
    assert_eq!(rows[rows.len() - 2].out.to_string(), "24");
}

#[test]
fn a_branch_that_shares_has_no_parameters_of_its_own() {
    let shared = TWO_SCALES.replace("branch small from=half", "branch from=half share=#true");
    let spec = network(&shared, "two-scales");
    let rows = shapes::shapes(&spec, 128, 4).expect("it fits");
    assert_eq!(rows.iter().map(|row| row.parameters).sum::<u64>(), 11_689_512 - 513 * 1000 + 1025 * 4);
    let mut names = builtin_network("resnet18").expect("it is built in").tensors();
    names.sort();
    let mut own = spec.tensors();
    own.sort();
    assert_eq!(own, names);
}

#[test]
fn branches_are_written_with_what_they_have() {
    let text = |spec: &NetworkSpec| serde_json::to_string(spec).expect("it serialises");
    let plain = network(
        "network mine { parallel join=sum { branch { relu }; branch { } }; global-avg-pool; linear fc }",
        "mine",
    );
    assert!(text(&plain).contains(r#""branches":[[{"kind":"relu"}],[]]"#), "{}", text(&plain));
    for text_of in [TWO_SCALES.to_owned(), TWO_SCALES.replace("small from=half", "from=half share=#true")] {
        let spec = network(&text_of, "two-scales");
        assert!(text(&spec).contains(r#"{"from":"half""#));
        assert_eq!(serde_json::from_str::<NetworkSpec>(&text(&spec)).expect("it parses"), spec);
    }
    let Layer::Parallel { branches, .. } = &plain.layers[0] else { panic!("branches") };
    assert_eq!(branches[0], Branch::from(vec![Layer::Relu]));
}

#[test]
fn a_network_inside_another_takes_parameters_and_those_of_the_outer_one() {
    let text =
        "network trunk { param width default=8; conv conv out=$width kernel=3; tap end; global-avg-pool; linear fc }
        network mine { param size default=4; trunk a to=end width=$size; trunk b to=end; global-avg-pool; linear fc }
        pipeline a seed=1 {
            synthetic fundus; extract patches { from fundus; size 64 }; split folds { from patches }
            train model { data folds.train; valid folds.valid; network mine size=6 }
            eval scores { model model; data folds.test }
        }";
    let outs = |sets: &[&str]| {
        let (pipelines, diags) = set(text, sets);
        assert_eq!(diags, []);
        let model = pipelines[0].stages.iter().find(|stage| stage.name == "model").expect("it trains").clone();
        let Value::Network(network) = &model.params["network"].value else { panic!("a network") };
        let rows = shapes::shapes(network, 64, 4).expect("it fits");
        rows.iter().map(|row| format!("{}:{}", row.name, row.out)).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(outs(&[]), "a.conv:6 x 62 x 62 b.conv:8 x 60 x 60 :8 fc:4");
    assert_eq!(outs(&["model.network.size=3"]), "a.conv:3 x 62 x 62 b.conv:8 x 60 x 60 :8 fc:4");
}

#[test]
fn a_long_chain_of_networks_is_refused() {
    let network = |at: usize| format!("network n{at} {{ n{} to=end; tap end; linear fc }}\n", at + 1);
    let text: String = (0..2_000).map(network).collect();
    let (_, diags) =
        load(&format!("{text}network n2000 {{ conv a out=4 kernel=1; tap end; global-avg-pool; linear fc }}"));
    let found: Vec<_> = diags.iter().map(|diag| (diag.code, diag.message.as_str())).collect();
    assert!(found.contains(&("network-size", "networks use each other more than 64 deep")), "{found:?}");
}

#[test]
fn auxiliary_outputs_start_at_taps_and_are_left_out_of_networks_inside_others() {
    let deep = "network deep {
        param weight default=0.3
        resnet18 to=features
        linear fc
        auxiliary early from=layer3 weight=$weight { global-avg-pool; linear fc }
    }";
    let spec = network(deep, "deep");
    let plain = network("network plain { resnet18 to=features; linear fc }", "plain");
    assert_eq!((spec.auxiliary[0].name.as_str(), spec.auxiliary[0].weight), ("early", 0.3));
    assert_ne!(spec.digest(), network(deep, "deep weight=0.4").digest());
    let more: Vec<String> = spec.tensors().into_iter().filter(|name| !plain.tensors().contains(name)).collect();
    assert_eq!(more, ["early.fc.weight", "early.fc.bias"]);
    let rows = shapes::shapes(&spec, 128, 4).expect("it fits");
    assert_eq!(rows[rows.len() - 3].written(), "auxiliary from=layer3");
    assert_eq!(rows[rows.len() - 1].out.to_string(), "4");
    // Used by another network, it is the network without them.
    let outer = network(&format!("{deep}\nnetwork outer {{ deep to=features; linear fc }}"), "outer");
    assert_eq!(outer.digest(), plain.digest());
}

#[test]
fn mistakes_in_auxiliary_outputs_are_reported_where_they_are() {
    let found = |text: &str| {
        let text = format!("network n {{ conv a out=4 kernel=1; tap one; global-avg-pool; linear fc; {text} }}");
        load(&text).1.into_iter().map(|diag| (diag.code, diag.message)).collect::<Vec<_>>()
    };
    let heads = "{ global-avg-pool; linear fc }";
    let cases = [
        (format!("auxiliary x {heads}"), "missing-param", "`auxiliary` needs `from`"),
        (format!("auxiliary from=one {heads}"), "missing-name", "`auxiliary` needs a name"),
        (format!("auxiliary x from=two {heads}"), "unknown-name", "unknown input or tap `two`"),
        (format!("auxiliary x from=one weight=-1 {heads}"), "out-of-range", "from 0 to 100"),
        (format!("auxiliary x from=one width=1 {heads}"), "unknown-param", "no property `width`"),
        ("auxiliary x from=one".to_owned(), "missing-param", "has no layers"),
        ("auxiliary x from=one { global-avg-pool }".to_owned(), "shape-mismatch", "`x` does not end in one logit"),
        ("auxiliary x from=one { linear fc }".to_owned(), "shape-mismatch", "`linear x.fc`"),
        (format!("auxiliary x from=one {heads}; auxiliary x from=one {heads}"), "duplicate-name", "are called `x`"),
        (
            format!("residual {{ body {{ auxiliary x from=one {heads} }} }}"),
            "unknown-node",
            "`auxiliary` is not allowed here",
        ),
    ];
    for (text, code, part) in cases {
        let all = found(&text);
        assert!(all.iter().any(|(of, message)| *of == code && message.contains(part)), "{text}: {all:?}");
    }
}
