//! Bad input through the binary: each ends with its exit code and names the file, and the line or the field.

use std::fmt::Write;
use std::process::Command;

use super::{PREPARED, with_photographs};
use crate::missing::missing;
use crate::space::Space;

/// The first photograph's folder below `data`.
fn first(space: &Space) -> String {
    let files = space.files("data");
    let first = files.iter().find_map(|file| file.split_once('/')).expect("photographs were written");
    format!("data/{}", first.0)
}

#[test]
fn a_truncated_photograph_is_named() {
    let space = with_photographs(2);
    let photograph = format!("{}/photograph.png", first(&space));
    let bytes = std::fs::read(space.path(&photograph)).expect("it can be read");
    space.write(&photograph, &bytes[..bytes.len() / 2]);
    space.macula("run pipeline.kdl").code(1).says(&["photograph", &photograph]);
}

#[test]
fn all_damaged_photographs_are_named_at_once_and_the_others_are_not_computed_again() {
    let space = with_photographs(4);
    let photographs: Vec<String> =
        space.files("data").into_iter().filter(|file| file.ends_with("photograph.png")).collect();
    let cut: Vec<(String, Vec<u8>)> = [&photographs[1], &photographs[3]]
        .map(|file| {
            let file = format!("data/{file}");
            let bytes = std::fs::read(space.path(&file)).expect("it can be read");
            space.write(&file, &bytes[..bytes.len() / 2]);
            (file, bytes)
        })
        .into();
    space.macula("run pipeline.kdl").code(1).says(&[&cut[0].0, &cut[1].0]);
    for (file, bytes) in &cut {
        space.write(file, bytes);
    }
    space.macula("run pipeline.kdl").code(0).says(&["2 of 4 items computed"]);
}

#[test]
fn a_truncated_jpeg_is_named() {
    let space = with_photographs(2);
    let cut = first(&space) + "/photograph.jpg";
    for file in space.files("data").iter().filter(|file| file.ends_with("photograph.png")) {
        let png = space.path("data").join(file);
        let mut jpeg = std::io::Cursor::new(Vec::new());
        let picture = image::open(&png).expect("a PNG opens").to_rgb8();
        picture.write_to(&mut jpeg, image::ImageFormat::Jpeg).expect("a JPEG is written");
        std::fs::remove_file(&png).expect("it can be deleted");
        space.write(&format!("data/{}", file.replace(".png", ".jpg")), jpeg.into_inner());
    }
    let whole = std::fs::read(space.path(&cut)).expect("it can be read");
    space.write(&cut, &whole[..whole.len() * 2 / 3]);
    space.edit("pipeline.kdl", "*/photograph.png", "*/photograph.jpg");
    space.macula("run pipeline.kdl").code(1).says(&["truncated-photograph", &cut]);
}

#[test]
fn a_mask_of_another_size_is_named_with_its_photograph() {
    let space = with_photographs(2);
    let folder = first(&space);
    let mask = format!("{folder}/mask.MA.png");
    image::GrayImage::new(10, 12).save(space.path(&mask)).expect("a PNG is written");
    let said = space.macula("run pipeline.kdl").code(1);
    said.says(&[
        "mask-size",
        &mask,
        &format!("{}/photograph.png", folder.trim_start_matches("data/")),
        "10 x 12",
        "192 x 192",
    ]);
}

#[test]
fn a_photograph_without_a_mask_is_named_where_that_is_an_error() {
    let space = with_photographs(2);
    let folder = first(&space);
    space.edit("pipeline.kdl", "absent-mask absent", "absent-mask error");
    for class in ["MA", "HE", "EX", "SE"] {
        let _ = std::fs::remove_file(space.path(&format!("{folder}/mask.{class}.png")));
    }
    let name = folder.trim_start_matches("data/");
    space.macula("run pipeline.kdl").code(1).says(&["photograph-without-mask", name]);
}

#[test]
fn an_empty_folder_is_named() {
    let space = with_photographs(2);
    std::fs::remove_dir_all(space.path("data")).expect("it can be deleted");
    std::fs::create_dir(space.path("data")).expect("it can be made");
    space.macula("run pipeline.kdl").code(1).says(&["no-photographs", "data"]);
    std::fs::remove_dir(space.path("data")).expect("it can be deleted");
    space.macula("run pipeline.kdl").code(1).says(&["data"]);
}

#[test]
fn a_store_that_cannot_be_created_ends_with_three() {
    let space = Space::with(PREPARED);
    space.write("a-file", "not a folder");
    let mut command = space.command(&["run", "pipeline.kdl"]);
    command.env("MACULA_STORE", "a-file/store");
    space.finish(command).code(3).says(&["a-file"]);
}

#[test]
fn a_full_disk_ends_with_three_and_leaves_a_store_that_works() {
    let space = Space::with(PREPARED);
    // Files of more than 16 blocks of 1024 bytes can't be written: the system says so as it does for a full disk.
    let mut command = Command::new("bash");
    command.args(["-c", "trap '' XFSZ; ulimit -f 16; exec \"$0\" run pipeline.kdl", env!("CARGO_BIN_EXE_macula")]);
    command.current_dir(space.path(""));
    space.finish(command).code(3).says(&["cannot write"]);
    space.macula("run pipeline.kdl").code(0);
    space.macula("run pipeline.kdl").code(0);
}

#[test]
fn kdl_nested_ten_thousand_deep_is_refused() {
    let space = Space::new();
    let mut text = String::from("pipeline deep ");
    for level in 0..10_000 {
        let _ = write!(text, "{{ a{level} ");
    }
    space.write("pipeline.kdl", text + &"}".repeat(10_000));
    let said = space.macula("check pipeline.kdl").code(2).says(&["too-deep", "pipeline.kdl"]);
    assert!(said.stdout.len() + said.stderr.len() < 3000, "of 100,000 bytes on one line only those near the place");
}

/// A shallow network trained from a file of weights.
const FROM_WEIGHTS: &str = r#"pipeline small seed=7 {
    synthetic eyes { photographs 6; size 192; photographs-per-patient 1; healthy 0.0; severity 3.0 }
    extract patches { from eyes; size 48 }
    split folds { from patches; by patient; train 0.5; valid 0.25; test 0.25 }
    weights start { file "start.safetensors" }
    augment views { from folds.train; flip horizontal=0.5 }
    train classifier {
        data views
        valid folds.valid
        init start
        network shallow-cnn
        loss bce
        epochs 1
        batch 32
    }
}
"#;

fn tensors(value: f32) -> Vec<u8> {
    let bytes: Vec<u8> = std::iter::repeat_n(value, 32 * 3 * 9).flat_map(f32::to_le_bytes).collect();
    let kernel = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![32, 3, 3, 3], &bytes);
    let kernel = kernel.expect("as many bytes as the shape says");
    safetensors::serialize([("block1.conv.weight", kernel)], None).expect("a file of weights")
}

#[test]
fn weights_that_lack_a_tensor_are_refused_by_name_unless_that_is_wanted() {
    let space = Space::with(FROM_WEIGHTS);
    space.macula("run pipeline.kdl").code(1).says(&["start.safetensors", "pipeline.kdl:5"]);
    space.write("start.safetensors", tensors(0.1));
    let words = ["weights-missing", "start.safetensors", "block1.bn.bias", "`missing initialise`", "pipeline.kdl:7"];
    space.macula("run pipeline.kdl").code(1).says(&words);
    space.write("start.safetensors", &tensors(0.1)[..200]);
    space.macula("run pipeline.kdl").code(1).says(&["damaged-weights", "start.safetensors", "truncated"]);
    space.write("start.safetensors", tensors(f32::NAN));
    space.edit("pipeline.kdl", "init start", "init start; missing initialise");
    space.macula("run pipeline.kdl").code(1).says(&["weights-not-finite", "block1.conv.weight", "start.safetensors"]);
    space.write("start.safetensors", tensors(0.1));
    space.macula("run pipeline.kdl").code(0);
}

#[test]
fn a_loss_that_is_not_a_number_stops_the_training_and_keeps_what_was_good() {
    let text = FROM_WEIGHTS
        .replace("        init start\n", "")
        .replace("    weights start { file \"start.safetensors\" }\n", "");
    let text = text.replace("epochs 1", "epochs 90\n        optimizer sgd lr=10.0 momentum=0.999 weight-decay=1.0");
    let space = Space::with(&text);
    let said = space.macula("run pipeline.kdl").code(1);
    let said = said.says(&["nan-loss", "in epoch", "batch", "last-good.safetensors", "optimizer.lr"]);
    let folder = space.files(".macula").into_iter().find(|file| file.ends_with("last-good.safetensors"));
    let kept = std::fs::read(space.path(".macula").join(folder.expect("kept"))).expect("it can be read");
    let tensors = safetensors::SafeTensors::deserialize(&kept).expect("a file of weights");
    let fine = tensors
        .tensors()
        .iter()
        .all(|(_, tensor)| tensor.data().as_chunks::<4>().0.iter().all(|&value| f32::from_le_bytes(value).is_finite()));
    assert!(fine, "weights from before the training diverged\n{}", said.stderr);
}

#[test]
fn a_class_that_no_photograph_has_is_left_out_with_a_warning() {
    let space = with_photographs(4);
    for mask in space.files("data").iter().filter(|file| file.ends_with("mask.SE.png")) {
        let mask = space.path("data").join(mask);
        let size = image::open(&mask).expect("a PNG opens");
        image::GrayImage::new(size.width(), size.height()).save(mask).expect("a PNG is written");
    }
    let more =
        "    rebalance fair { from visible; lesions undersample to=smallest; healthy per-lesion-patch=1.0 }\n}\n";
    let text = space.read("pipeline.kdl");
    space.write("pipeline.kdl", text.strip_suffix("}\n").expect("a pipeline ends so").to_owned() + more);
    space.macula("run pipeline.kdl").code(0).says(&["no-positives", "class-without-positives", "`SE`"]);
}

#[test]
fn a_store_that_can_only_be_read_serves_what_it_holds() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;

    let space = Space::with(PREPARED);
    space.macula("run pipeline.kdl").code(0);
    let set = |path: &str, mode: u32| {
        std::fs::set_permissions(space.path(path), std::fs::Permissions::from_mode(mode)).expect("a mode can be set");
    };
    // What root may do says nothing: then somebody else tries, who must be able to reach the project and the binary.
    let root = rustix::process::geteuid().is_root();
    // A copy of it: the folder that it was built in may be root's own.
    let binary = space.path("macula");
    std::fs::copy(env!("CARGO_BIN_EXE_macula"), &binary).expect("the binary can be copied");
    let as_reader = |arguments: &str| {
        let own = space.command(&arguments.split_whitespace().collect::<Vec<_>>());
        let mut command = std::process::Command::new(&binary);
        command.args(own.get_args()).current_dir(space.path(""));
        for (name, value) in own.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if root {
            command.uid(65534).gid(65534);
        }
        command
    };
    set("", 0o755);
    set("macula", 0o755);
    if root && !as_reader("--version").stdout(std::process::Stdio::null()).status().is_ok_and(|status| status.success())
    {
        return missing("reader", "the folder for temporary files lies where only root can reach it");
    }
    for folder in space.folders(".macula") {
        set(&folder, 0o555);
    }
    space.finish(as_reader("plan pipeline.kdl")).code(0).says(&["0 will run"]);
    space.finish(as_reader("run pipeline.kdl")).code(0).says(&["nothing to compute"]);
    space.finish(as_reader("why pipeline.kdl patches")).code(0).says(&["`patches` will not run"]);
    if root {
        space.finish(as_reader("show pipeline.kdl patches")).code(0).says(&["no images", "64 patches"]);
    }
    let refused = space.finish(as_reader("run pipeline.kdl --set patches.size=64"));
    refused.code(3).says(&[".macula", "Permission denied", "MACULA_STORE"]);
    for folder in space.folders(".macula") {
        set(&folder, 0o755);
    }
    space.macula("run pipeline.kdl --set patches.size=64").code(0);
}

#[test]
fn a_cycle_is_refused_with_its_stages() {
    let space =
        Space::with("pipeline round {\n    filter-black one { from two }\n    filter-black two { from one }\n}\n");
    for verb in ["check", "run", "plan"] {
        space.macula(&format!("{verb} pipeline.kdl")).code(2).says(&["cycle", "one", "two"]);
    }
}

#[test]
fn unknown_stages_and_outputs_are_refused_with_what_there_is() {
    let space = Space::with(PREPARED);
    space.macula("show pipeline.kdl patches").code(2).says(&["`patches` has no result yet", "macula run"]);
    space.macula("show pipeline.kdl patchs").code(2).says(&["unknown stage or network `patchs`", "`patches`"]);
    space.macula("run pipeline.kdl").code(0);
    space.macula("show pipeline.kdl folds.trian").code(2).says(&["no output `trian`", "`folds.train`"]);
    space.macula("show missing.kdl patches").code(2).says(&["missing.kdl"]);
}

#[test]
fn a_file_in_another_encoding_is_reported_with_its_line() {
    let space = Space::new();
    space.write("latin.kdl", b"pipeline p seed=1 {\n    doc \"caf\xe9\"\n}\n");
    space.macula("check latin.kdl").code(2).says(&["latin.kdl", "line 2 contains byte 0xe9", "save the file as UTF-8"]);
    let wide: Vec<u8> = "\u{feff}pipeline p".encode_utf16().flat_map(u16::to_le_bytes).collect();
    space.write("wide.kdl", wide);
    space.macula("check wide.kdl").code(2).says(&["wide.kdl", "UTF-16"]);
}

#[test]
fn a_mark_of_bytes_and_line_ends_of_windows_move_no_place() {
    let space = Space::new();
    let text = "pipeline p seed=1 {\n    synthetic fundus\n    extract patches { from fundus; siz 64 }\n}\n";
    for (name, text, start) in [
        ("plain.kdl", text.to_owned(), 76),
        ("windows.kdl", text.replace('\n', "\r\n"), 78),
        ("marked.kdl", format!("\u{feff}{}", text.replace('\n', "\r\n")), 81),
    ] {
        space.write(name, text);
        let said = space.macula(&format!("check --json {name}")).code(2).raw.clone();
        let told: serde_json::Value = serde_json::from_str(&said).expect("JSON");
        assert_eq!(told.as_array().map(Vec::len), Some(1), "{said}");
        let place = &told[0]["places"][0];
        assert_eq!(
            (&place["line"], &place["column"], &place["start"]),
            (&3.into(), &36.into(), &start.into()),
            "{said}"
        );
    }
}

#[test]
fn a_mistake_in_a_network_of_another_file_is_reported_once() {
    let space = Space::new();
    space.write("nets.kdl", "network small {\n    param width default=4\n    conv a out=$width*2 kernel=3\n    global-avg-pool\n    linear fc\n}\n");
    let pipeline = |used: &str, network: &str| {
        format!(
            "use \"nets.kdl\"{used}\npipeline p seed=1 {{\n    synthetic fundus\n    extract patches {{ from fundus; size 32 }}\n    split folds {{ from patches }}\n    \
             train cnn {{ data folds.train; valid folds.valid; network {network}; epochs 1 }}\n    eval scores {{ model cnn; data folds.test }}\n}}\n"
        )
    };
    for (used, network) in [("", "small"), (" as=nets", "nets.small")] {
        space.write("p.kdl", pipeline(used, network));
        let said = space.macula("check p.kdl").code(2).stderr.clone();
        assert!(!said.contains("unknown network"), "{said}");
    }
    // Another name is another mistake.
    space.write("p.kdl", pipeline("", "smal"));
    space.macula("check p.kdl").code(2).says(&["unknown network `smal`"]);
    space.write("nets.kdl", "network small {\n    param width default=4\n    conv a out=$width kernel=3\n    global-avg-pool\n    linear fc\n}\n");
    space.write("p.kdl", pipeline("", "small width=\"big\""));
    space.macula("check p.kdl").code(2).says(&["`out` must be a whole number", "write `width=2`"]);
}

#[test]
fn of_ten_thousand_mistakes_twenty_are_drawn_and_all_are_counted() {
    let space = Space::new();
    let text = format!("pipeline p seed=1 {{\n{}}}\n", "    synthetik a\n".repeat(10_000));
    space.write("many.kdl", text);
    let said = space.macula("check many.kdl").code(2).stderr.clone();
    assert_eq!(said.matches("error[").count(), 20);
    assert!(said.contains("errors; only the first 20 are shown"), "{}", &said[said.len() - 200..]);
    // Of several files, twenty together.
    space.write("few.kdl", format!("pipeline p seed=1 {{\n{}}}\n", "    synthetik a\n".repeat(3)));
    let said = space.macula("check few.kdl many.kdl few.kdl").code(2).stderr.clone();
    assert_eq!(said.matches("error[").count(), 20);
    assert!(
        said.contains("only the first 15 are shown") && said.contains("few.kdl: 5 errors; none are shown"),
        "{said}"
    );
    // In one line of half a megabyte as well: what is drawn of it is bounded.
    space.write("line.kdl", format!("a {}", "[b] ".repeat(100_000)));
    let said = space.macula("check line.kdl").code(2).stderr.clone();
    assert!(said.len() < 1 << 20, "{} bytes", said.len());
}
