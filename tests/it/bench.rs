//! `macula bench`: small measurements, the fields of their JSON, and refused options.

use serde_json::Value;

use crate::space::Space;

/// Fields of the usual `PyTorch` benchmark script that also apply here.
const FIELDS: [&str; 9] = ["ms", "images_per_s", "device", "size", "batch", "steps", "warmup", "threads", "infer"];

#[test]
fn each_measurement_prints_the_fields_of_the_script() {
    let space = Space::new();
    for (what, more) in [
        ("train", "--network shallow-cnn"),
        ("infer", "--network shallow-cnn"),
        ("load", "--augment move"),
        ("extract", ""),
    ] {
        let said = space.macula(&format!(
            "bench {what} {more} --size 32 --batch 2 --steps 2 --warmup 1 --threads 1 --device cpu --precision f32 --json"
        ));
        let line: Value = serde_json::from_str(&said.code(0).raw).expect("JSON");
        for field in FIELDS {
            assert!(!line[field].is_null(), "`bench {what}` has no `{field}`: {line}");
        }
        assert_eq!(
            (line["size"].as_u64(), line["batch"].as_u64(), line["threads"].as_u64()),
            (Some(32), Some(2), Some(1))
        );
        assert_eq!((line["what"].as_str(), line["infer"].as_bool()), (Some(what), Some(what == "infer")));
        let (ms, rate) = (line["ms"].as_f64().expect("a number"), line["images_per_s"].as_f64().expect("a number"));
        // Both numbers are rounded.
        assert!(ms > 0.0 && (rate + 0.05) * (ms + 0.01) >= 0.999 * 2e3, "{line}");
    }
}

#[test]
fn a_custom_network_is_measured_with_readable_output() {
    let space = Space::new();
    space.write("nets.kdl", "network tiny {\n    conv a out=4 kernel=3\n    global-avg-pool\n    linear head\n}\n");
    let said =
        space.macula("bench infer --file nets.kdl --network tiny --size 16 --batch 2 --steps 1 --threads 1").code(0);
    assert!(
        said.stdout.starts_with("inference by tiny: ") && said.stdout.contains("[time] per step (median of 1)"),
        "{said:?}"
    );
}

#[test]
fn unknown_choices_are_refused_with_the_possible_ones() {
    let space = Space::new();
    for (arguments, text, hint) in [
        ("train --network resnet19", "no network `resnet19`", "did you mean `resnet18`?"),
        ("train --network unheard-of", "no network `unheard-of`", "efficientnet-lite0, resnet18"),
        // Without a GPU, with the feature `cuda` or without.
        (
            "train --device cuda",
            if cfg!(feature = "cuda") { "no " } else { "built without CUDA support" },
            "`device cpu`",
        ),
        ("train --device cpu --precision bf16", "`precision bf16` needs a GPU", "`precision f32`"),
        ("train --network shallow-cnn --size 8", "does not fit", "larger patches"),
        ("infer --file nowhere.kdl", "cannot read `nowhere.kdl`", ""),
    ] {
        let said = space.macula(&format!("bench {arguments}"));
        assert_eq!(said.code, Some(2), "{arguments}: {said:?}");
        assert!(said.stderr.contains(text) && said.stderr.contains(hint), "{arguments}: {}", said.stderr);
        assert_eq!(said.stdout, "");
    }
}
