//! `use`: which names of other files are in scope, and what is said where they collide.

use macula::base::Sources;
use macula::diag::{self, Diag, Style};
use macula::lang::spec::{Pipeline, Points, StageSpec};
use macula::lang::{self, value::Value};
use tempfile::TempDir;

use super::codes;

/// Files in a folder of their own; the first is that which is read.
struct Files(TempDir);

impl Files {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = TempDir::new().expect("a folder");
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::write(path, text).expect("written");
        }
        Self(folder)
    }

    fn load(&self, sets: &[&str]) -> (Vec<Pipeline>, Vec<Diag>, Sources) {
        let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
        let mut sources = Sources::default();
        let main = self.0.path().join("main.kdl");
        let (contents, diags) = lang::load(&main, &sets, Points::All, &mut sources).expect("readable");
        (contents.pipelines, diags, sources)
    }

    /// The networks and the sides of the patches of a pipeline that is right.
    fn right(&self, sets: &[&str]) -> (Vec<String>, Vec<String>) {
        let (pipelines, diags, sources) = self.load(sets);
        assert!(diags.is_empty(), "{}", diag::render(&diags, &sources, Style::Plain, 110));
        let params = || pipelines[0].stages.iter().flat_map(StageSpec::values);
        let network = |(_, value): (String, Value)| match value {
            Value::Network(network) => Some(format!("{} {}", network.name, network.layers.len())),
            _ => None,
        };
        let sides = params().filter(|(name, _)| name == "size").map(|(_, value)| value.to_string());
        (params().filter_map(network).collect(), sides.collect())
    }

    fn wrong(&self) -> (Vec<&'static str>, String) {
        let (_, diags, sources) = self.load(&[]);
        (codes(&diags), diag::render(&diags, &sources, Style::Plain, 110))
    }
}

const NETS: &str = "
network tiny { param width default=4; conv c out=$width kernel=3; global-avg-pool; linear fc }
stage tiles {
    in eyes type=photographs
    out type=patches from=cut
    param size type=px default=48
    body { extract cut { from eyes; size $size } }
}
stage fitted {
    in patches type=patches
    out type=model from=classifier
    param network type=network default=tiny
    body {
        split folds { from patches }
        train classifier { data folds.train; valid folds.valid; network $network }
    }
}
";

/// A pipeline that uses NETS under `prefix`.
fn pipeline(head: &str, prefix: &str, network: &str) -> String {
    format!(
        "{head}
pipeline p seed=1 {{
    synthetic eyes {{ size 128 }}
    {prefix}tiles patches {{ eyes eyes; size 32 }}
    {prefix}fitted model {{ patches patches; {network} }}
    export files {{ from patches }}
    report page {{ of model }}
}}
"
    )
}

#[test]
fn what_a_file_declares_is_named_bare_or_with_its_alias() {
    for (head, prefix) in [("use \"nets.kdl\"", ""), ("use \"nets.kdl\" as=n", "n.")] {
        let files =
            Files::new(&[("main.kdl", &pipeline(head, prefix, &format!("network {prefix}tiny"))), ("nets.kdl", NETS)]);
        let (networks, sides) = files.right(&[]);
        assert_eq!(networks, [format!("{prefix}tiny 3")]);
        assert_eq!(sides, ["128", "32"]);
        // A body sees the names of its own file, whatever they are called outside.
        let files = Files::new(&[("main.kdl", &pipeline(head, prefix, "")), ("nets.kdl", NETS)]);
        assert_eq!(files.right(&[]).0, ["tiny 3"]);
    }
}

#[test]
fn with_an_alias_nothing_is_named_bare_and_the_hint_says_how_it_is() {
    let head = "use \"nets.kdl\" as=nets";
    let files = Files::new(&[("main.kdl", &pipeline(head, "", "network tiny")), ("nets.kdl", NETS)]);
    let (found, said) = files.wrong();
    assert_eq!(found, ["unknown-stage", "unknown-stage"], "{said}");
    assert!(said.contains("did you mean `nets.tiles`?") && said.contains("did you mean `nets.fitted`?"), "{said}");
    let files = Files::new(&[("main.kdl", &pipeline(head, "nets.", "network tiny")), ("nets.kdl", NETS)]);
    let (found, said) = files.wrong();
    assert_eq!(found, ["unknown-network"], "{said}");
    assert!(said.contains("did you mean `nets.tiny`?"), "{said}");
    let files = Files::new(&[("main.kdl", &pipeline(head, "net.", "")), ("nets.kdl", NETS)]);
    assert!(files.wrong().1.contains("did you mean `nets.tiles`?"));
}

#[test]
fn a_name_given_to_a_body_means_what_it_means_where_it_is_written() {
    let own = "network tiny { conv a out=8 kernel=3; relu; conv b out=8 kernel=3; global-avg-pool; linear fc }\nuse \"nets.kdl\" as=n";
    let files = Files::new(&[("main.kdl", &pipeline(own, "n.", "network tiny")), ("nets.kdl", NETS)]);
    assert_eq!(files.right(&[]).0, ["tiny 5"], "the pipeline's own");
    assert_eq!(files.right(&["model.network=n.tiny"]).0, ["n.tiny 3"]);
    assert_eq!(
        files.right(&["model.classifier.network=tiny"]).0,
        ["tiny 5"],
        "settings name what the pipeline's file may"
    );
}

#[test]
fn the_parameters_of_a_network_go_with_it_into_a_body() {
    let width = |network: &str, sets: &[&str]| {
        let files = Files::new(&[("main.kdl", &pipeline("use \"nets.kdl\" as=n", "n.", network)), ("nets.kdl", NETS)]);
        let (pipelines, diags, sources) = files.load(sets);
        assert!(diags.is_empty(), "{}", diag::render(&diags, &sources, Style::Plain, 110));
        let train = pipelines[0].stages.iter().find(|stage| stage.stage_type == "train").expect("it trains");
        let Value::Network(network) = &train.params["network"].value else { panic!("a network") };
        let lang::network::Layer::Conv(lang::network::Conv { out, .. }) = network.layers[0] else {
            panic!("a convolution")
        };
        out
    };
    assert_eq!(width("network n.tiny", &[]), 4);
    assert_eq!(width("network n.tiny width=24", &[]), 24);
    assert_eq!(width("network n.tiny width=24", &["model.network.width=12"]), 12);
}

#[test]
fn two_modules_that_declare_one_name_collide_and_an_alias_parts_them() {
    let other = "network tiny { global-avg-pool; linear fc }";
    let main = pipeline("use \"nets.kdl\"\nuse \"lib/more.kdl\"", "", "network tiny");
    let files = Files::new(&[("main.kdl", &main), ("nets.kdl", NETS), ("lib/more.kdl", other)]);
    let (found, said) = files.wrong();
    assert_eq!(found, ["duplicate-name"], "{said}");
    assert!(said.contains("`lib/more.kdl` declares a network `tiny`, and so does `nets.kdl`"), "{said}");
    assert!(said.contains("write `use \"lib/more.kdl\" as=more` and refer to it as `more.tiny`"), "{said}");
    let main = main.replace("more.kdl\"", "more.kdl\" as=more");
    let files = Files::new(&[("main.kdl", &main), ("nets.kdl", NETS), ("lib/more.kdl", other)]);
    assert_eq!(files.right(&[]).0, ["tiny 3"]);
    assert_eq!(files.right(&["model.network=more.tiny"]).0, ["more.tiny 2"]);
    // A file's own name and one that it brings in.
    let main = format!("{other}\n{}", pipeline("use \"nets.kdl\"", "", ""));
    let files = Files::new(&[("main.kdl", &main), ("nets.kdl", NETS)]);
    let (found, said) = files.wrong();
    assert_eq!(found, ["duplicate-name"], "{said}");
    assert!(said.contains("and so does this file"), "{said}");
}

#[test]
fn one_file_by_two_ways_is_one_file_and_circles_end() {
    let more =
        "use \"nets.kdl\"\nstage twice { in e type=photographs; out type=patches from=t; body { tiles t { eyes e } } }";
    let nets = format!("use \"more.kdl\" as=back\n{NETS}");
    let main = pipeline("use \"nets.kdl\"\nuse \"more.kdl\"\nuse \"more.kdl\" as=m", "", "network m.tiny");
    let main = main.replace("report page", "twice a { e eyes }\n    m.twice b { e eyes }\n    export two { from a }\n    export three { from b }\n    report page");
    let files = Files::new(&[("main.kdl", &main), ("nets.kdl", &nets), ("more.kdl", more)]);
    let (networks, sides) = files.right(&[]);
    assert_eq!(networks, ["m.tiny 3"]);
    assert_eq!(sides, ["128", "32", "48", "48"]);
}

#[test]
fn an_alias_is_known_in_the_file_that_says_it_alone() {
    let main = pipeline("use \"more.kdl\"", "n.", "");
    let files = Files::new(&[("main.kdl", &main), ("more.kdl", "use \"nets.kdl\" as=n"), ("nets.kdl", NETS)]);
    assert_eq!(files.wrong().0, ["unknown-stage", "unknown-stage"]);
}

#[test]
fn an_alias_is_one_name_and_given_once() {
    for (head, code) in [
        ("use \"nets.kdl\" as=3", "bad-name"),
        ("use \"nets.kdl\" as=\"a b\"", "bad-name"),
        ("use \"nets.kdl\" ass=n", "unknown-param"),
        ("use \"nets.kdl\" \"more.kdl\"", "value-count"),
        ("use \"nets.kdl\" as=n\nuse \"std:networks/resnet18\" as=n", "duplicate-name"),
    ] {
        let main = format!("{head}\npipeline p seed=1 {{ synthetic eyes }}\n");
        let files = Files::new(&[("main.kdl", &main), ("nets.kdl", NETS)]);
        assert_eq!(files.wrong().0, [code], "{head}");
    }
    for text in [
        "network a.b { global-avg-pool; linear fc }",
        "stage a.b { out type=photographs from=e; body { synthetic e } }",
    ] {
        let files = Files::new(&[("main.kdl", &format!("{text}\npipeline p seed=1 {{ synthetic eyes }}\n"))]);
        assert_eq!(files.wrong().0, ["bad-name"], "a dot parts a module from its names");
    }
}

#[test]
fn the_standard_library_may_have_an_alias_too() {
    let main = "use \"std:networks/shallow-cnn\" as=s
use \"std:templates/cross-validation\" as=cv
use \"std:stages/synthetic\" as=made
pipeline p seed=1 {
    made.synthetic eyes { size 128 }
    extract patches { from eyes }
    cv.cross-validation folds { patches patches; network s.shallow-cnn }
    report page { of folds.fold-1 }
}
";
    let files = Files::new(&[("main.kdl", main)]);
    let (networks, _) = files.right(&[]);
    assert_eq!(networks.len(), 5);
    assert!(networks.iter().all(|network| network.starts_with("s.shallow-cnn")), "{networks:?}");
}

#[test]
fn names_of_the_pipelines_file_do_not_reach_into_modules() {
    // The module's `step` must not become the pipeline's.
    let module = "stage outer { out type=photographs from=e; body { step e } }";
    let main = "use \"m.kdl\" as=m
stage step { out type=photographs from=e; body { synthetic e } }
pipeline p seed=1 { m.outer eyes; export files { from eyes } }
";
    let files = Files::new(&[("main.kdl", main), ("m.kdl", module)]);
    let (found, said) = files.wrong();
    assert_eq!(found, ["unknown-stage"], "{said}");
    assert!(said.contains("m.kdl"), "told where it is written: {said}");
}

#[test]
fn a_value_that_a_network_cannot_take_is_reported_where_it_is_given_with_the_layer() {
    let main = pipeline("use \"nets.kdl\" as=n", "n.", "network n.tiny width=2.5");
    let files = Files::new(&[("main.kdl", &main), ("nets.kdl", NETS)]);
    let (found, said) = files.wrong();
    assert_eq!(found, ["wrong-kind"], "{said}");
    assert!(said.contains("network n.tiny width=2.5") && said.contains("nets.kdl:2: this layer"), "{said}");
}

#[test]
fn show_names_the_network_of_a_module_that_was_meant() {
    let space = crate::space::Space::with(&pipeline("use \"nets.kdl\" as=n", "n.", "network n.tiny"));
    space.write("nets.kdl", NETS);
    assert_eq!(space.macula("show pipeline.kdl n.tiny --size 64").code, Some(0));
    let said = space.macula("show pipeline.kdl tiny");
    assert!(said.code == Some(2) && said.stderr.contains("did you mean `n.tiny`?"), "{}", said.stderr);
}
