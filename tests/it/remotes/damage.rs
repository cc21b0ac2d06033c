//! Damaged or missing files of a remote count as missing: results are computed, and the next push repairs the remote.

use std::fs;
use std::path::Path;

use super::{project, pushed, results};

/// Does something to every file of a kind on the remote; returns their number.
fn each(folder: &Path, kind: &str, change: impl Fn(&Path)) -> usize {
    let mut count = 0;
    for inner in fs::read_dir(folder.join("v1").join(kind)).expect("a folder").flatten() {
        for file in fs::read_dir(inner.path()).expect("a folder").flatten() {
            change(&file.path());
            count += 1;
        }
    }
    count
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).expect("readable");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).expect("written");
}

fn truncate(path: &Path) {
    let bytes = fs::read(path).expect("readable");
    fs::write(path, &bytes[..bytes.len() / 2]).expect("written");
}

fn delete(path: &Path) {
    fs::remove_file(path).expect("deleted");
}

#[test]
fn damaged_and_missing_files_are_misses_and_a_push_mends_them() {
    let (first, folder) = pushed("photographs=#true");
    let whole = results(&first);
    for kind in ["actions", "packs", "objects"] {
        for (how, change) in [("flipped", flip as fn(&Path)), ("cut short", truncate), ("deleted", delete)] {
            let files = each(&folder, kind, change);
            assert!(files > 0, "there are {kind}");
            let other = project(&format!("{folder:?}"));
            let said = other.macula("run pipeline.kdl").code(0).says_not(&["5 reused"]);
            assert_eq!(results(&other), whole, "{kind} {how}\n{}", said.stdout);
            other.macula("store verify").code(0).says(&["store is intact"]);
            // A flipped byte cannot be seen from the size; everything else is noticed.
            let push = if how == "flipped" && kind != "actions" {
                "push pipeline.kdl --overwrite"
            } else {
                "push pipeline.kdl"
            };
            first.macula(push).code(0);
            let again = project(&format!("{folder:?}"));
            again
                .macula("run pipeline.kdl")
                .code(0)
                .says(&["nothing to compute: 5 reused"])
                .says_not(&["warning[remote]"]);
        }
    }
}

#[test]
fn a_damaged_store_is_healed_from_a_remote() {
    let (_first, folder) = pushed("photographs=#true");
    let other = project(&format!("{folder:?}"));
    other.macula("run pipeline.kdl").code(0);
    for file in other.files(".macula/v1/objects").iter().filter(|name| name.len() == 65) {
        fs::remove_file(other.path(".macula/v1/objects").join(file)).expect("deleted");
    }
    other.macula("store verify").code(1);
    other.macula("run pipeline.kdl").code(0).says(&["nothing to compute: 5 reused", "(from remote `lab`)"]);
    other.macula("store verify").code(0).says(&["store is intact"]);
}
