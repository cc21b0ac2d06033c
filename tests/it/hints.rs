//! What the command line says to those who come from other tools, mistype a name, or mean more than they wrote.

use crate::space::Space;

const PIPELINE: &str = "pipeline base seed=7 {
    synthetic eyes { photographs 6; size 192; photographs-per-patient 1 }
    extract patches { from eyes; size 32 }
    split folds { from patches; train 0.34; valid 0.33; test 0.33 }
    train classifier { data folds.train; valid folds.valid; network shallow-cnn; epochs 1; device cpu }
    eval scores { model classifier; data folds.test }
}
";

fn project() -> Space {
    let space = Space::new();
    space.write("base.kdl", PIPELINE);
    space
}

/// What a command says on stderr, its lines joined. In a pipe, a tip is one line.
#[track_caller]
fn refused(space: &Space, arguments: &str) -> String {
    let said = space.macula(arguments).code(2);
    assert!(said.stderr.lines().all(|line| !line.starts_with("       ")), "a broken line:\n{}", said.stderr);
    said.stderr.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn flags_and_commands_of_other_tools_are_answered() {
    let space = project();
    for (arguments, words) in [
        ("run base.kdl --force", "use `macula rebuild`: it runs stages again and compares"),
        ("run base.kdl --dry-run", "use `macula plan`: it shows what would run, without running anything"),
        ("run base.kdl -f", "use `macula rebuild`: it runs stages again and compares"),
        ("run base.kdl -n", "use `macula plan`: it shows what would run"),
        ("run base.kdl --epochs 2", "parameters are set with `--set`: write `--set classifier.epochs=2`"),
        ("run --epochs=2 base.kdl", "write `--set classifier.epochs=2`"),
        ("run base.kdl --batch-size 8", "`batch` could be `classifier.batch` and `scores.batch`: write e.g. `--set"),
        ("run base.kdl --gpu", "write e.g. `--set classifier.device=cuda` (without it, a GPU is used if one works)"),
        ("plan base --lr 1e-3", "write `--set classifier.optimizer.lr=1e-3`"),
        ("run base.kdl --seed 8", "write `--set seed=8`"),
        ("run --epochs 2", "parameters are set with `--set`: `--set STAGE.epochs=2`"),
        ("run base.kdl --cores 4", "use `macula run --threads`"),
        ("run base.kdl --set epochs=2", "write `--set classifier.epochs=2`"),
        ("clean", "use `macula store gc`: it removes whatever no result refers to"),
        ("store clear", "use `macula store gc`"),
        ("gc", "use `macula store gc`"),
        ("repro base.kdl", "use `macula run`"),
        ("base.kdl", "use `macula run base.kdl`"),
        ("base", "use `macula run base.kdl`"),
        ("split", "`macula doc split` describes it"),
    ] {
        let said = refused(&space, arguments);
        assert!(said.contains(&format!("tip: {words}")) || said.contains(words), "`{arguments}`: {said}");
        assert!(!said.contains("to pass '"), "`{arguments}`: {said}");
    }
    let said = refused(&space, "run base.kdl --frosh");
    assert!(said.contains("unexpected argument '--frosh'") && !said.contains("tip:"), "{said}");
    assert!(refused(&space, "run base.kdl --fresh").contains("macula rebuild"));
    // A slip of the finger is clap's to find.
    assert!(refused(&space, "chek base.kdl").contains("'check'"));
}

#[test]
fn a_setting_without_its_equals_sign_is_shown_with_it() {
    let space = project();
    for (arguments, words) in [
        ("run base.kdl --set classifier.epochs 2", "write `--set classifier.epochs=2`"),
        ("plan --set a.b 3 base.kdl", "write `--set a.b=3`"),
        ("run --set a.b base.kdl", "write `--set a.b=VALUE`"),
        ("run base.kdl --set a.b", "write `--set a.b=VALUE`"),
    ] {
        let said = refused(&space, arguments);
        assert!(said.contains("error[set-form]") && said.contains(words), "`{arguments}`: {said}");
    }
}

#[test]
fn push_and_pull_without_a_remote_say_how_to_declare_one() {
    let space = project();
    for (arguments, words) in [
        ("push base", "declare one in `project.kdl`, e.g. `remote lab \"/mnt/team/macula\" write=#true`"),
        ("push base --to lab", "declare one in `project.kdl`, e.g. `remote lab \"/mnt/team/macula\" write=#true`"),
        ("pull base", "declare one in `project.kdl`, e.g. `remote lab \"/mnt/team/macula\"`"),
    ] {
        let said = refused(&space, arguments);
        assert!(said.contains(words) && !said.contains("allow it"), "`{arguments}`: {said}");
    }
    space.write("project.kdl", "remote lab \"remote\"\n");
    assert!(refused(&space, "push base").contains("no remote is writable hint: allow it in `project.kdl`"));
    assert!(refused(&space, "push base --to lap").contains("declared: `lab`"));
}

#[test]
fn words_of_other_tools_in_a_pipeline_are_answered_all_at_once() {
    let space = project();
    let text = PIPELINE
        .replace("from patches;", "from patches; by photograph;")
        .replace("network shallow-cnn;", "network resnet18 pretrained=#true; early-stopping patience=3; ")
        .replace("device cpu", "device gpu; loss focal alpha=0.25; optimizer Adam lr= weight_decay=")
        .replace("    eval", "    threshold-tune cuts { model classifier; data folds.valid; maximize f2 }\n    eval");
    space.write("habits.kdl", text);
    let said = space.macula("check habits.kdl").code(2);
    said.says(&[
        "did you mean `image`?",
        "`weights imagenet { file \"…\" }`, and `init imagenet` in `train`",
        "write `patience 3`",
        "did you mean `cuda`? (GPUs are `cuda`; `auto` uses one if it works)",
        "`alpha=0.25` is `positive=0.25 negative=0.75`",
        "did you mean `adam`?",
        "`lr=` has no value",
        "`weight_decay=` has no value",
        "did you mean `weight-decay`?",
        "write `maximize f-beta beta=2`",
        "10 errors",
    ]);
    for (written, words) in [
        ("maximize F0.5", "write `maximize f-beta beta=0.5`"),
        ("maximize fbeta beta=2", "write `maximize f-beta beta=2`"),
        ("maximize fbeta=2", "write `maximize f-beta beta=2`"),
        ("maximize f9", "write `maximize f-beta beta=9`"),
    ] {
        let stage = format!("    threshold-tune cuts {{ model classifier; data folds.valid; {written} }}\n    eval");
        space.write("cuts.kdl", PIPELINE.replace("    eval", &stage));
        space.macula("check cuts.kdl").code(2).says(&[words, "1 error"]);
    }
}

#[test]
fn amounts_that_cannot_be_meant_are_refused_with_what_can() {
    let space = project();
    for (arguments, words) in [
        ("run base.kdl --memory 8", "it is 8 bytes; did you mean `8GiB`?"),
        ("run base.kdl --memory 1MB", "a run needs at least 64.0 MiB"),
        ("run base.kdl --threads 0", "write a whole number from 1; without the flag all processors are used"),
        ("run base.kdl --jobs 0", "write a whole number from 1"),
    ] {
        let said = refused(&space, arguments);
        assert!(said.contains(words), "`{arguments}`: {said}");
    }
}

#[test]
fn a_file_is_found_without_its_ending() {
    let space = Space::new();
    space.macula("new base").code(0);
    space.macula("check base").code(0).says(&["pipeline `base`"]);
    space.macula("plan base").code(0).says(&["base"]);
    space.macula("check bass").code(2).says(&["cannot read `bass`", "did you mean `base.kdl`?"]);
    Space::new().macula("run base").code(2).says(&["`macula new NAME` writes a pipeline to begin with"]);
}

#[test]
fn several_files_are_checked_at_once() {
    let space = project();
    space.write("other.kdl", "pipeline other seed=1 { synthetic eyes }\n");
    space.write("wrong.kdl", "pipeline wrong seed=1 { synthetik eyes }\n");
    space.write("project.kdl", "store \".macula\"\n");
    let said = space.macula("check base.kdl other.kdl project.kdl").code(0);
    assert_eq!(said.stdout.lines().count(), 3, "{}", said.stdout);
    let said = space.macula("check base.kdl wrong.kdl other.kdl").code(2);
    said.says(&["pipeline `base`", "did you mean `synthetic`?", "pipeline `other`"]).says_not(&["pipeline `wrong`"]);
    let json = space.macula("check base.kdl wrong.kdl --json").code(2);
    let found: serde_json::Value = serde_json::from_str(&json.raw).expect("JSON");
    assert_eq!(found.as_array().map(Vec::len), Some(1), "{found}");
    assert_eq!(found[0]["places"][0]["file"], "wrong.kdl");
    space.macula("check base.kdl gone.kdl").code(2).says(&["pipeline `base`", "cannot read `gone.kdl`"]);
    space.write("base.lock.kdl", "kond 1\n");
    space.macula("check base.kdl base.lock.kdl").code(2).says(&["pipeline `base`", "base.lock.kdl"]);
}

#[test]
fn data_that_is_not_there_is_said_by_check() {
    let space = Space::with(
        "pipeline a seed=1 {\n    idrid eyes { root \"~/data\" }\n    idrid more { root \"data/idrid\" }\n    \
         weights start { file \"resnet18.pth\" }\n}\n",
    );
    let mut command = space.command(&["check", "pipeline.kdl"]);
    command.env("HOME", "/someone");
    let said = space.finish(command).code(0);
    said.says(&[
        "`~/data` does not exist",
        "`~` is expanded by shells only: write `\"/someone/data\"`",
        "`data/idrid` does not exist",
        "relative paths start from the project folder",
        "warning[missing-file]",
        "pipeline `a`",
    ]);
    // A run says the same.
    let words =
        ["`~/data` does not exist", "`data/idrid` does not exist", "relative paths start from the project folder"];
    space.macula("plan pipeline.kdl").code(1).says(&words);
    let said = space.macula("run pipeline.kdl --keep-going").code(1);
    said.says(&words)
        .says(&["error[missing-file]: `resnet18.pth` does not exist", "`~` is expanded by shells only: write"]);
    std::fs::create_dir_all(space.path("data/idrid")).expect("a folder");
    space.macula("check pipeline.kdl").code(0).says_not(&["`data/idrid` does not exist"]);
}

#[test]
fn a_file_of_a_stage_is_named_with_its_stage() {
    let space = project();
    space.macula("run base").code(0);
    let file = space
        .files("results/base/scores")
        .into_iter()
        .find(|file| file.ends_with(".parquet"))
        .expect("a table of the scores");
    space.macula(&format!("show base {file}")).code(2).says(&[
        &format!("`{file}` is a file of the stage `scores`"),
        &format!("it is at `results/base/scores/{file}`"),
        "`macula show base.kdl scores` shows the stage",
    ]);
    space.macula("show base scores.parquet").code(2).says(&["`macula show base.kdl scores` shows"]);
}

#[test]
fn weights_of_another_network_are_refused_before_anything_runs() {
    let space = Space::with(
        "network tiny { conv conv out=3 kernel=2 bias=#false; global-avg-pool; linear fc }\n\
         pipeline small seed=7 {\n    synthetic eyes { photographs 4; size 128; photographs-per-patient 1 }\n    \
         extract patches { from eyes; size 32 }\n    split folds { from patches; train 0.5; valid 0.25; test 0.25 }\n    \
         weights start { file \"start.pth\" }\n    \
         train fit { data folds.train; valid folds.valid; init start; network tiny; epochs 1; device cpu; missing initialise }\n}\n",
    );
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/expected/pth/prefix-lightning.pth");
    space.write("start.pth", std::fs::read(file).expect("a checkpoint"));
    let words =
        ["does not match network `tiny`: `conv.weight` is 2 x 3 x 2 x 2 in the file and 3 x 3 x 2 x 2 in the network"];
    space.macula("plan pipeline.kdl").code(1).says(&words);
    space.macula("run pipeline.kdl").code(1).says(&words).says_not(&["patches of"]);
}

#[test]
fn a_name_without_its_extension_is_a_file_for_every_command() {
    let space = project();
    space.macula("compare base").code(2).says(&["`base` has not been run yet", "macula run base.kdl"]);
    space.macula("compare --paired base").code(2).says_not(&["no run and no file"]);
    space.macula("compare nothing").code(2).says(&["no run and no file `nothing` or `nothing.kdl`"]);
    space.macula("fmt base --check").code(0);
    space.macula("fmt bose").code(2).says(&["cannot read `bose` or `bose.kdl`", "did you mean `base.kdl`?"]);
    space.macula("check nofile").code(2).says(&["cannot read `nofile` or `nofile.kdl`"]);
    let said = space.macula("why base scores --since zzzz").code(2);
    said.says(&["unknown run `zzzz`", "macula runs base.kdl"]).says_not(&["no file"]);
}

#[test]
fn a_pipeline_on_stdin_is_checked() {
    let space = project();
    let check = |text: &str| {
        let mut command = space.command(&["check", "-"]);
        space.write("stdin", text);
        command.stdin(std::fs::File::open(space.path("stdin")).expect("a file"));
        space.finish(command)
    };
    check(PIPELINE).code(0).says(&["pipeline `base`, seed 7, 5 stages"]);
    check(&PIPELINE.replace("eval", "evil")).code(2).says(&["<stdin>:", "did you mean `eval`?"]);
}

#[test]
fn a_file_that_is_not_kdl_is_one_error() {
    let space = project();
    space.write("report.html", format!("<!DOCTYPE html>\n{}", "<p class=\"a\">{ text }</p>\n".repeat(400)));
    space.write("notes.yaml", "data:\n  root: a\n  size: 64\nepochs: 3\n");
    space.write("image.png", b"\x89PNG\r\n\x1a\n\0\0\0");
    for (file, format) in [("report.html", "an HTML or XML file"), ("notes.yaml", "a YAML file")] {
        for command in ["check", "run", "fmt"] {
            let said = space.macula(&format!("{command} {file}")).code(2);
            let said = said.says(&["error[not-kdl]", &format!("this is {format}, not KDL"), "1 error"]);
            assert!(said.stderr.lines().count() < 12, "{}", said.stderr);
        }
    }
    space.macula("check image.png").code(2).says(&["cannot read `image.png`: it is a PNG image, not KDL"]);
}

#[test]
fn a_stage_that_does_not_exist_is_answered_with_those_that_do() {
    let space = project();
    let stages = "its stages are `eyes`, `patches`, `folds`, `classifier`, `scores`";
    for command in ["run base nosuch", "get base nosuch out", "plan base nosuch", "why base nosuch"] {
        space.macula(command).code(2).says(&["unknown stage `nosuch`", stages]);
    }
    space.macula("run base patchs").code(2).says(&["did you mean `patches`?"]);
    let said = refused(&space, "run base --timeout abc");
    assert!(said.contains("write a number of seconds, such as `600` or `0.5`"), "{said}");
    space.macula("new a/b").code(2).says(&["folder `a` does not exist", "`mkdir -p a` creates it"]);
    assert!(!space.path("a").exists());
}

#[test]
fn an_example_in_a_hint_is_a_value_of_the_parameter() {
    let space = project();
    for (setting, hint) in [
        ("classifier.optimizer.lr=fast", "write e.g. `0.0001`"),
        ("classifier.epochs=three", "write e.g. `10`"),
        ("classifier.normalise.mean=red", "write e.g. `0.485`"),
    ] {
        let said = space.macula(&format!("check base --set {setting}")).code(2);
        assert!(said.stderr.contains(hint), "{setting}: {}", said.stderr);
    }
}

#[test]
fn a_missing_folder_of_masks_is_named() {
    let space = Space::new();
    let data = "root \"data\"; photographs \"*.png\"; masks MA \"masks/ma/*.png\"; absent-mask absent";
    space.write(
        "p.kdl",
        format!(
            "pipeline p seed=1 {{\n    folder eyes {{ {data} }}\n    extract patches {{ from eyes; size 32 }}\n}}\n"
        ),
    );
    let picture = image::GrayImage::from_fn(64, 64, |x, y| image::Luma([(60 + x + y) as u8]));
    let mut png = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut png, image::ImageFormat::Png).expect("a PNG");
    space.write("data/a.png", png.get_ref());
    space.macula("check p.kdl").code(0).says(&["warning[missing-folder]", "`data/masks/ma` does not exist"]);
    space.macula("run p.kdl").code(1).says(&["no-mask-fits", "`data/masks/ma` does not exist or is empty"]);
    // A mask is not offered as a photograph.
    space.write("data/masks/ma/a.png", png.get_ref());
    space.macula("check p.kdl").code(0).says_not(&["missing-folder"]);
    space.edit("p.kdl", "photographs \"*.png\"", "photographs \"*.jpg\"");
    std::fs::remove_file(space.path("data/a.png")).expect("removed");
    let said =
        space.macula("run p.kdl").code(1).says(&["no-photographs", "every image in it matches a pattern of `masks`"]);
    assert!(!said.stderr.contains("found `masks"), "{}", said.stderr);
}

#[test]
fn a_warning_about_the_choice_of_a_point_is_for_those_who_choose() {
    let space = project();
    let text = space.read("base.kdl");
    let sweep = "sweep sizes { of base; over patches.size 32 48; rank by=scores.mean-average-precision }\n";
    space.write("base.kdl", format!("{text}{sweep}"));
    for command in ["check base", "plan base --sweep sizes"] {
        space.macula(command).code(0).says(&["chosen-on-test"]);
    }
    for command in ["plan base", "runs base", "show base", "graph base", "show base --sweep sizes"] {
        space.macula(command).code(0).says_not(&["chosen-on-test"]);
    }
}

#[test]
fn check_says_what_a_project_file_holds() {
    let space = Space::new();
    space.write("project.kdl", "store \"cache\"\n");
    space.macula("check project.kdl").code(0).says(&["project file: a store, 0 packages, 0 remotes"]);
}

#[test]
fn names_with_their_module_are_known_and_a_flag_has_no_line() {
    let space = project();
    space.write("net.kdl", "network mine {\n    nn.Conv2d a out=8 kernel=3\n    global-avg-pool\n    linear fc\n}\n");
    space.macula("check net.kdl").code(2).says(&["unknown layer `nn.Conv2d`", "`conv`"]);
    space.edit("base.kdl", "epochs 1;", "epochs 1; optimizer adamw wd=0.1;");
    space.macula("check base").code(2).says(&["`optimizer` has no `wd`", "weight-decay"]);
    space.edit("base.kdl", " optimizer adamw wd=0.1;", "");
    space.macula("run base patches").code(0);
    let said = space.macula("why base patches --set patches.size=48").code(0).says(&["--set"]);
    assert!(!said.raw.contains("--set:"), "{}", said.raw);
    let page = space.macula("doc train --markdown").code(0);
    assert_eq!(page.raw.matches("`optimizer.beta1`").count(), 1, "{}", page.raw);
}
