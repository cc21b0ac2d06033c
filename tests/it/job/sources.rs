//! What is no file, links that can't be followed and photographs without masks, through the binary.

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::{WHOLE, with_photographs};
use crate::space::Space;

fn fifo(space: &Space, path: &str) {
    mknodat(CWD, space.path(path), FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("a FIFO");
}

#[test]
fn a_fifo_is_refused_at_once_by_name_wherever_a_file_is_expected() {
    let space = Space::with("use \"pipe.kdl\"\npipeline a seed=1 { synthetic eyes }\n");
    fifo(&space, "pipe.kdl");
    fifo(&space, "data.png");
    for command in ["check pipe.kdl", "fmt pipe.kdl", "fmt --check pipe.kdl", "plan pipe.kdl", "check pipeline.kdl"] {
        space.macula(command).code(2).says(&["pipe.kdl", "a FIFO"]);
    }
    space.write("pipeline.kdl", "pipeline a seed=1 { weights w { file \"data.png\" } }\n");
    space.macula("run pipeline.kdl").code(1).says(&["special-file", "data.png", "a FIFO"]);
    space.write("pipeline.kdl", "pipeline a seed=1 { files f { path \"in\" } }\n");
    space.write("in/a.txt", "a");
    fifo(&space, "in/b.txt");
    space.macula("plan pipeline.kdl").says(&["special-file", "in/b.txt", "a FIFO"]);
    fifo(&space, "project.kdl");
    space.macula("check pipeline.kdl").code(2).says(&["project.kdl", "a FIFO"]);
}

#[test]
fn a_mask_whose_content_was_not_fetched_is_an_error_that_says_how_to_fetch_it() {
    let space = with_photographs(2);
    space.macula("run pipeline.kdl").code(0);
    let files = space.files("data");
    let mask = files.iter().find(|file| file.ends_with("/mask.MA.png")).expect("a mask");
    std::fs::remove_file(space.path("data").join(mask)).expect("removed");
    let target = "../../.git/annex/objects/qX/4w/SHA256E-s70--0.png/SHA256E-s70--0.png";
    std::os::unix::fs::symlink(target, space.path("data").join(mask)).expect("a link");
    let said = space.macula("run pipeline.kdl").code(1);
    said.says(&["broken-link", mask, "git annex get", "datalad get"]);
}

#[test]
fn photographs_without_masks_are_predicted() {
    let space = Space::with(WHOLE);
    let made = "pipeline made seed=3 { synthetic eyes { photographs 2; size 192 } }\n";
    space.write("made.kdl", made);
    space.macula("run made.kdl").code(0);
    space.macula("get made.kdl eyes got").code(0);
    for (at, file) in space.files("got").iter().filter(|file| file.ends_with("photograph.png")).enumerate() {
        let bytes = std::fs::read(space.path("got").join(file)).expect("read");
        space.write(&format!("clinic/photographs/{at}.png"), bytes);
    }
    let size = WHOLE.split("size ").last().expect("a size");
    let size = size.split(|c: char| !c.is_ascii_digit()).next().expect("a number");
    let unseen = format!(
        "    folder clinic {{ root \"clinic\"; masks MA \"ma/*\" HE \"he/*\" EX \"ex/*\" SE \"se/*\" }}\n    extract unseen {{ from clinic; size {size} }}\n    predict guesses {{ model classifier; data unseen }}\n}}\n"
    );
    let whole = WHOLE.trim_end().strip_suffix('}').expect("a pipeline");
    space.write("pipeline.kdl", format!("{whole}{unseen}"));
    let said = space.macula("run pipeline.kdl guesses").code(0);
    said.says(&["2 photographs without any mask", "their lesions are unknown"]);
    assert!(space.files("results").iter().any(|file| file.ends_with("guesses/predictions.parquet")));
}

#[test]
fn the_longest_names_of_photographs_can_be_linked_and_got() {
    let space = with_photographs(2);
    let folders: Vec<String> =
        space.files("data").iter().filter_map(|file| Some(file.split_once('/')?.0.to_owned())).collect();
    let long = "é".repeat(125);
    std::fs::rename(space.path("data").join(&folders[0]), space.path("data").join(&long)).expect("renamed");
    space.edit("pipeline.kdl", "    filter-black", "    export pictures { from patches }\n    filter-black");
    space.macula("run pipeline.kdl").code(0);
    for stage in ["patches", "pictures"] {
        let linked = space.files(&format!("results/small/{stage}"));
        assert!(linked.iter().any(|file| file.contains(&"é".repeat(100))), "{linked:?}");
        space.macula(&format!("get pipeline.kdl {stage} got-{stage}")).code(0);
        let got = space.files(&format!("got-{stage}"));
        assert!(got.iter().all(|file| linked.contains(file)), "they have the same names");
        assert!(got.iter().all(|file| file.split('/').all(|part| part.len() <= 255)));
    }
    space.macula("run pipeline.kdl").code(0).says(&["nothing to compute"]);
}
