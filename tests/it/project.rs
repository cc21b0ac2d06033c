//! Which folder is the project of a pipeline, and two files with a pipeline of one name.

use crate::space::{Said, Space};

const PIPELINE: &str = "pipeline a seed=1 {
    synthetic eyes { photographs 1; size 128 }
}
";

/// A pipeline in a folder below the current one.
fn nested() -> Space {
    let space = Space::new();
    space.write("sub/a.kdl", PIPELINE);
    space
}

/// Runs macula in a folder of the space.
#[track_caller]
fn within(space: &Space, folder: &str, arguments: &str) -> Said {
    let mut command = space.command(&arguments.split(' ').collect::<Vec<_>>());
    command.current_dir(space.path(folder));
    space.finish(command)
}

#[test]
fn the_project_is_the_folder_of_the_file_wherever_it_is_run() {
    let space = nested();
    space.macula("run sub/a.kdl").code(0).says(&["see sub/results/a/"]).says_not(&["note:"]);
    assert!(space.path("sub/.macula").is_dir() && space.path("sub/results/a/eyes").is_dir());
    assert!(!space.path(".macula").exists() && !space.path("results").exists());
    // Commands without a file use the current folder.
    space.macula("store stats").code(2).says(&["no store at"]);
    within(&space, "sub", "store stats").code(0).says(&["eyes"]);
    within(&space, "sub", "run a.kdl").code(0).says(&["1 reused", "see results/a/"]);
    std::fs::create_dir(space.path("aside")).expect("a folder");
    within(&space, "aside", "run ../sub/a.kdl").code(0).says(&["1 reused", "see [space]/sub/results/a/"]);
    // A path of a source starts there too.
    space.write("sub/b.kdl", "pipeline b seed=1 { idrid eyes { root \"data\" } }\n");
    let sub = "relative paths start from the project folder, `[space]/sub`";
    for command in ["check", "plan", "run"] {
        space.macula(&format!("{command} sub/b.kdl")).says(&["`data` does not exist", sub]);
    }
    std::fs::create_dir(space.path("data")).expect("a folder");
    space.macula("check sub/b.kdl").says(&["write an empty `project.kdl` in the current folder"]);
}

#[test]
fn a_project_file_or_else_a_store_above_makes_the_project() {
    let space = nested();
    space.write("project.kdl", "");
    space.macula("run sub/a.kdl").code(0).says(&["see results/a/"]).says_not(&["note:"]);
    assert!(!space.path("sub/.macula").exists());
    within(&space, "sub", "store stats").code(0).says(&["eyes"]);
    // The store that is there was made before there was a project file.
    std::fs::remove_file(space.path("project.kdl")).expect("removed");
    let said = space.macula("run sub/a.kdl").code(0);
    said.says(&["1 reused", "see results/a/", "note: the project of `sub/a.kdl` is", "hint: an empty `project.kdl`"]);
    space.macula("plan sub/a.kdl").code(0).says(&["1 reused", "hint: an empty `project.kdl`"]);
    space.write("sub/project.kdl", "");
    space.macula("plan sub/a.kdl").code(0).says(&["1 will run"]).says_not(&["hint:"]);
}

#[test]
fn a_store_in_the_current_folder_that_is_not_used_is_said() {
    let space = nested();
    space.write("here/a.kdl", PIPELINE);
    within(&space, "here", "run a.kdl").code(0);
    let said = within(&space, "here", "run ../sub/a.kdl").code(0);
    said.says(&["the store in the current folder is not used", "hint: to keep using it", "MACULA_STORE="]);
    assert!(space.path("sub/.macula").is_dir());
    within(&space, "here", "run ../sub/a.kdl").code(0).says(&["1 reused"]).says_not(&["hint:"]);
}

#[test]
fn two_files_do_not_share_the_results_of_one_name() {
    let space = nested();
    space.write("sub/b.kdl", PIPELINE.replace("photographs 1", "photographs 2"));
    space.macula("run sub/a.kdl").code(0);
    let before = space.files("sub/results/a");
    let words = ["`sub/b.kdl` and `sub/a.kdl` both have a pipeline `a`", "the folder `sub/results/a`", "rename one"];
    space.macula("run sub/b.kdl").code(2).says(&["error[duplicate-name]"]).says(&words);
    space.macula("plan sub/b.kdl").code(0).says(&["`macula run` will refuse this"]);
    assert_eq!(space.files("sub/results/a"), before);
    within(&space, "sub", "run ./a.kdl").code(0);
    // A sweep has a folder too.
    let swept = PIPELINE.replace("pipeline a", "pipeline base") + "sweep a { over eyes.size 128 160 }\n";
    space.write("sub/c.kdl", &swept);
    let said = space.macula("run sub/c.kdl --sweep a").code(2);
    said.says(&["`sub/c.kdl` has a sweep `a`, and `sub/a.kdl` a pipeline with the same name"]);
    space.write("sub/d.kdl", swept.replace("sweep a", "sweep s"));
    space.write("sub/e.kdl", swept.replace("sweep a", "sweep s"));
    space.macula("run sub/d.kdl --sweep s").code(0);
    space.macula("run sub/e.kdl --sweep s").code(2).says(&["`sub/e.kdl` and `sub/d.kdl` both have a sweep `s`"]);
    // Older folders do not say whose they are; runs do.
    std::fs::remove_file(space.path("sub/results/a/.pipeline")).expect("removed");
    space.macula("run sub/b.kdl").code(2).says(&words);
    // A file that moved, or gave up the name, holds nobody up.
    std::fs::rename(space.path("sub/a.kdl"), space.path("sub/moved.kdl")).expect("renamed");
    space.macula("run sub/moved.kdl").code(0);
    space.edit("sub/moved.kdl", "pipeline a", "pipeline other");
    space.macula("run sub/b.kdl").code(0);
}
