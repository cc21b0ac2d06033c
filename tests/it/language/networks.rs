//! Networks: what their descriptions lay out, what is said of those that do not fit.

use macula::base::Sources;
use macula::diag::Diag;
use macula::lang::describe::{Described, describe};
use macula::lang::network::NetworkSpec;
use macula::lang::value::Value;
use macula::lang::{builtin_network, shapes};
use macula::syntax;

use super::{codes, load, set};

fn read(text: &str) -> (Option<Described>, Vec<Diag>) {
    let file = Sources::default().add("network.kdl", None, text);
    let (document, diags) = syntax::parse(file, text);
    assert_eq!(diags, [], "{text}");
    describe(&document.nodes[0], &macula::lang::library_networks())
}

/// Messages and hints.
fn said(text: &str) -> Vec<String> {
    read(text).1.iter().map(|diag| format!("{} | {}", diag.message, diag.hint.as_deref().unwrap_or_default())).collect()
}

fn names(spec: &NetworkSpec) -> Vec<String> {
    let rows = shapes::shapes(spec, 64, 4).expect("it fits");
    rows.into_iter().map(|row| row.name).filter(|name| !name.is_empty()).collect()
}

/// Parameters with 1000 classes, and billions of multiply-adds at 224 px, as torchvision 0.21 states them with its weights.
const PUBLISHED: [(&str, u64, &str); 3] =
    [("resnet18", 11_689_512, "1.814"), ("resnet34", 21_797_672, "3.664"), ("resnet50", 25_557_032, "4.089")];

#[test]
fn resnets_have_the_parameters_and_the_cost_that_torchvision_states() {
    for (name, parameters, billions) in PUBLISHED {
        let rows = shapes::shapes(&builtin_network(name).expect("it is built in"), 224, 1000).expect("it fits");
        assert_eq!(rows.iter().map(|row| row.parameters).sum::<u64>(), parameters, "{name}");
        let work = rows.iter().map(|row| row.multiply_adds).sum::<u64>() as f64 / 1e9;
        assert_eq!(format!("{work:.3}"), billions, "{name}");
    }
}

/// These digests are in keys of trained models: a change would train them all again.
#[test]
fn the_digests_of_the_first_networks_are_what_they_were() {
    let digest = |name: &str| builtin_network(name).expect("it is built in").digest().to_string();
    assert_eq!(digest("resnet18"), "12c61258cb4a656818d8d286a1c3a56b5361ea636749c0f5f4047d875258a3bd");
    assert_eq!(digest("shallow-cnn"), "2664156bd25c9f29449028cb57a8c5e8b120c9a3c3e4a0375fd0e6905c20181e");
}

#[test]
fn what_repeats_blocks_and_branches_name_begins_the_names_of_tensors() {
    let text = "network a {
        param width default=8
        block pair { param out default=$width; conv conv1 out=$out kernel=3 padding=1; one }
        block one { conv conv2 out=$width kernel=1 }
        repeat 2 layer1 { pair }
        repeat 2 layer2 from=1 { pair inner out=16 }
        repeat 1 { conv free out=$width kernel=1 }
        parallel join=concat { branch left { one }; branch { conv right.conv out=4 kernel=1 } }
        global-avg-pool
        linear fc
    }";
    let (described, diags) = read(text);
    assert_eq!(diags, []);
    let wanted = "layer1.0.conv1 layer1.0.conv2 layer1.1.conv1 layer1.1.conv2 layer2.1.inner.conv1 layer2.1.inner.conv2 \
                  layer2.2.inner.conv1 layer2.2.inner.conv2 0.free left.conv2 right.conv fc";
    assert_eq!(names(&described.expect("it is right").spec).join(" "), wanted);
}

#[test]
fn a_stage_gives_values_to_the_parameters_of_its_network() {
    let text = "network tiny {
        param width default=8
        param depth default=1
        repeat $depth body { conv conv out=$width kernel=3 padding=1; relu }
        global-avg-pool
        linear fc
    }
    pipeline a seed=1 {
        param wide type=int default=24
        synthetic fundus
        extract patches { from fundus; size 64 }
        split folds { from patches }
        train model { data folds.train; valid folds.valid; network tiny width=$wide depth=2 }
        eval scores { model model; data folds.test }
    }";
    let network = |sets: &[&str]| {
        let (pipelines, diags) = set(text, sets);
        assert_eq!(diags, []);
        let model = pipelines[0].stages.iter().find(|stage| stage.name == "model").expect("it trains").clone();
        let Value::Network(network) = &model.params["network"].value else { panic!("a network") };
        shapes::shapes(network, 64, 4).expect("it fits").iter().map(|row| row.out.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(network(&[]), ["24 x 64 x 64", "24 x 64 x 64", "24 x 64 x 64", "24 x 64 x 64", "24", "4"]);
    assert_eq!(network(&["model.network.depth=1", "wide=5"]), ["5 x 64 x 64", "5 x 64 x 64", "5", "4"]);
    assert_eq!(codes(&set(text, &["model.network.depth=many"]).1), ["wrong-kind"]);
    assert_eq!(codes(&set(text, &["model.network.deep=2"]).1), ["unknown-param"]);
}

#[test]
fn a_misfit_says_what_it_expects_and_what_it_gets() {
    assert_eq!(
        said("network a { conv c out=256 kernel=3; adaptive-avg-pool side=4; linear fc in=512 }"),
        [
            "network `a`: `linear fc` expects 512, but gets 256 x 4 x 4 | put `global-avg-pool` before it for 256, or `flatten` for 4096"
        ]
    );
    assert_eq!(
        said(
            "network a { residual { body { conv c out=8 kernel=3 stride=2 padding=1 } }; global-avg-pool; linear fc }"
        ),
        [
            "network `a`: the body of `residual` outputs 8 x 512 x 512, its shortcut 3 x 1024 x 1024 | both must have the same shape, for example with \
          `shortcut { conv NAME out=8 kernel=1 stride=2 bias=#false; batch-norm NAME }`"
        ]
    );
    let (_, diags) = load(
        "network a { max-pool kernel=15; max-pool kernel=9; global-avg-pool; linear fc }
        pipeline b seed=1 {
            synthetic fundus
            extract patches { from fundus; size 64 }
            split folds { from patches }
            train model { data folds.train; valid folds.valid; network a }
            eval scores { model model; data folds.test }
        }",
    );
    assert_eq!(
        diags[0].message,
        "network `a` cannot take patches of 64 px: `max-pool` has a window of 9 px, but gets 3 x 4 x 4"
    );
    assert_eq!(
        diags[0].hint.as_deref(),
        Some("use larger patches, or less pooling before it; the smallest size is 135 px")
    );
}

#[test]
fn names_of_other_frameworks_are_understood() {
    let hint = |layer: &str| {
        let text = format!("network a {{ {layer}; global-avg-pool; linear fc }}");
        read(&text).1.into_iter().next().and_then(|diag| diag.hint).unwrap_or_else(|| panic!("{layer} is an error"))
    };
    for (layer, wanted) in [
        ("conv2d c out=8 kernel=3", "did you mean `conv`?"),
        ("maxpool kernel=2", "did you mean `max-pool`?"),
        ("bn bn1", "write `batch-norm`"),
        ("dense fc2 out=8", "write `linear`"),
        ("swish", "write `silu`"),
        ("concat", "write `parallel join=concat { branch { … }; branch { … } }`"),
        ("multihead-attention attn heads=4", "write `self-attention NAME heads=…`"),
        ("drop-path share=0.1", "write `stochastic-depth share=…` at the end of the `body` of `residual`"),
        ("softmax", "remove it: losses, thresholds and scores use logits"),
        ("leaky-relu", "available activations: `relu`, `relu6`, `gelu`, `silu`, `tanh` and `sigmoid`"),
        ("conv c channels=8 kernel=3", "write `out=8`"),
        ("conv c out=8 kernel-size=3", "write `kernel=3`"),
        ("conv c out=8 kernel=3 stirde=2", "did you mean `stride`?"),
        ("conv c 8 kernel=3", "write `conv NAME out=8`"),
        ("dropout p=0.5", "write `share=0.5`"),
        ("dropout 0.5", "write `dropout share=0.5`"),
    ] {
        assert_eq!(hint(layer), wanted, "{layer}");
    }
}

#[test]
fn a_mistake_in_a_block_shows_the_block_and_its_use() {
    let text = "network a {\n    block b { global-avg-pool; conv c out=8 kernel=3 }\n    b one\n    linear fc\n}\n";
    let (_, diags) = read(text);
    let places: Vec<&str> = diags[0].labels.iter().map(|label| &text[label.span.range()]).collect();
    assert_eq!(places, ["conv c out=8 kernel=3", "b one"]);
}

#[test]
fn descriptions_that_would_grow_without_end_are_refused_at_once() {
    let doubling = (1..40).fold(String::new(), |text, at| {
        let before = at - 1;
        text + &format!("block b{at} {{ b{before} x; b{before} y }}\n")
    });
    for (block, code) in [("block b0 { relu }", "network-size"), ("block b0 { }", "network-size")] {
        let text = format!("network a {{ {block}\n{doubling} b39 z; global-avg-pool; linear fc }}");
        assert!(codes(&read(&text).1).contains(&code));
    }
    let chain = (1..5000).fold(String::new(), |text, at| text + &format!("block b{at} {{ b{} }}\n", at - 1));
    let text = format!("network a {{ block b0 {{ relu }}\n{chain} b4999; global-avg-pool; linear fc }}");
    assert!(codes(&read(&text).1).contains(&"network-size"));
    let text = "network a { repeat 1000 { repeat 1000 { repeat 1000 { relu } } }; global-avg-pool; linear fc }";
    assert!(codes(&read(text).1).contains(&"network-size"));
    let text = "network a { repeat 1000000000 { relu }; global-avg-pool; linear fc }";
    assert_eq!(codes(&read(text).1), ["out-of-range"]);
    let text = "network a { block b { b }; b; linear fc }";
    assert!(codes(&read(text).1).contains(&"cycle"));
    let text = "network a { conv c out=65536 kernel=64 padding=1024; repeat 9 { conv d out=65536 kernel=1 }; flatten; linear fc }";
    read(text);
}

#[test]
fn parameters_that_nothing_uses_are_reported_in_networks_and_in_blocks() {
    let text = "network n {
    param width default=8
    param unused default=1
    block step { param out; param idle default=2; conv conv out=$out kernel=3 padding=1 }
    block hiding { param width default=4; conv conv out=$width kernel=3 padding=1 }
    step one out=$width
    hiding two
    global-avg-pool
    linear fc
}
pipeline p seed=1 { synthetic eyes }
";
    let (_, diags) = load(text);
    let said: Vec<(&str, &str)> = diags.iter().map(|diag| (diag.code, diag.message.as_str())).collect();
    assert_eq!(
        said,
        [("unused-param", "parameter `unused` is not used"), ("unused-param", "parameter `idle` is not used"),]
    );
    // A use within a block that has a parameter of that name is of its own.
    let hidden = text.replace("out=$width\n    hiding", "out=8\n    hiding");
    assert!(load(&hidden).1.iter().any(|diag| diag.message.contains("`width`")), "{hidden}");
}
