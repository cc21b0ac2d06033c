//! Stores that others may have written to: names that lead out, and links that do.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use macula::base::Digest;
use macula::store::{Entry, ItemRecord, Store, StoreError, Tree};
use serde_json::Value;
use tempfile::TempDir;

use crate::space::Space;

const PIPELINE: &str = "pipeline small seed=1 {\n    synthetic photos { photographs 2; size 128 }\n}\n";

fn store() -> (TempDir, Store) {
    let folder = TempDir::new().expect("a temporary folder can be made");
    let store = Store::open(&folder.path().join("store")).expect("the store opens");
    (folder, store)
}

/// A tree as text, with a name that it should not have.
fn tree_of(name: &str, entry: &Entry) -> String {
    serde_json::json!({"entries": {name: entry}}).to_string()
}

#[test]
fn a_tree_whose_names_lead_out_is_not_read() {
    let (_folder, store) = store();
    let entry = store.objects.put(b"harm").expect("stored");
    let read = |name: &str| {
        let object = store.objects.put(tree_of(name, &entry).as_bytes()).expect("stored");
        store.objects.read_tree(&object)
    };
    assert!(read("parts/a.parquet").is_ok());
    assert!(read("..a/b..").is_ok(), "dots within a name are no way out");
    for name in ["../a", "a/../../b", "/etc/a", "", ".", "a/", "a//b", "./a", "a\0b"] {
        assert!(matches!(read(name), Err(StoreError::Damaged { .. })), "`{name}` was read");
    }
}

/// The file of the only record.
fn record(space: &Space) -> PathBuf {
    let files = space.files(".macula/v1/actions");
    assert_eq!(files.len(), 1, "{files:?}");
    space.path(".macula/v1/actions").join(&files[0])
}

#[test]
fn a_record_that_names_files_outside_is_computed_again_and_nothing_is_written_there() {
    let space = Space::with(PIPELINE);
    space.macula("run pipeline.kdl").code(0);
    let path = record(&space);
    let text = fs::read_to_string(&path).expect("a record");
    let mut record: Value = serde_json::from_str(text.split_once('\n').expect("two lines").1).expect("JSON");
    let store = Store::open(&space.path(".macula")).expect("the store opens");
    let harm = store.objects.put(b"harm").expect("stored");
    let escaped = space.path("escaped").display().to_string();
    for name in ["../../../escaped", &escaped] {
        let tree = store.objects.put(tree_of(name, &harm).as_bytes()).expect("stored");
        store.objects.publish().expect("published");
        for port in record["outputs"].as_object_mut().expect("outputs").values_mut() {
            port["object"] = serde_json::to_value(tree).expect("JSON");
        }
        let json = serde_json::to_string(&record).expect("JSON");
        fs::write(&path, format!("{}\n{json}\n", Digest::of(json.as_bytes()))).expect("written");
        space.macula("run pipeline.kdl").code(0).says(&["computed"]);
        assert!(!space.path("escaped").exists(), "`{name}` was written");
        space.macula("run pipeline.kdl").code(0).says(&["nothing to compute"]);
    }
}

/// A link at `place` to a file that must stay as it is.
fn lead_out(folder: &TempDir, place: &Path) -> PathBuf {
    let victim = folder.path().join("victim");
    fs::write(&victim, "precious").expect("written");
    fs::create_dir_all(place.parent().expect("a folder")).expect("made");
    symlink(&victim, place).expect("linked");
    victim
}

#[test]
fn items_are_not_appended_through_a_link() {
    let (folder, store) = store();
    let stage = Digest::of(b"stage");
    let victim = lead_out(&folder, &store.layout().items(&stage));
    let mut segment = store.segment(&stage).expect("read");
    let item = ItemRecord { key: stage, name: "a".into(), target: "any".into(), tree: Tree::default() };
    assert!(matches!(segment.append(&[item]), Err(StoreError::Disk { .. })));
    assert_eq!(fs::read_to_string(victim).expect("there"), "precious");
}

#[test]
fn a_claim_and_its_checkpoints_do_not_follow_a_link() {
    let (folder, store) = store();
    let key = Digest::of(b"key");
    let outside = folder.path().join("outside");
    symlink(&outside, store.layout().claim(&key)).expect("linked");
    let look = || store.lookup(&key, "any", macula::store::Accept::AnyTarget);
    assert!(matches!(look(), Err(StoreError::Disk { .. })), "the claim leads out");
    assert!(!outside.exists(), "a claim was made outside");
    fs::remove_file(store.layout().claim(&key)).expect("deleted");
    fs::create_dir(&outside).expect("made");
    symlink(&outside, store.layout().partial(&key)).expect("linked");
    let macula::store::Lookup::Miss(claim, _) = look().expect("readable") else { panic!("nobody else is here") };
    let partial = claim.partial().expect("made");
    fs::write(partial.join("checkpoint"), "half").expect("written");
    assert_eq!(fs::read_dir(&outside).expect("there").count(), 0, "a checkpoint was written outside");
}

#[test]
fn an_object_that_is_a_link_is_damage_unless_its_bytes_are_right() {
    let (folder, store) = store();
    let entry = store.objects.put(b"the bytes").expect("stored");
    store.objects.publish().expect("published");
    let name = entry.digest.to_string();
    let place = store.layout().objects().join(&name[..2]).join(&name[2..]);
    fs::remove_file(&place).expect("deleted");
    let victim = lead_out(&folder, &place);
    fs::write(&victim, "bad bytes").expect("written");
    assert!(matches!(store.objects.read(&entry), Err(StoreError::Damaged { .. })));
    assert_eq!(fs::read_to_string(victim).expect("there"), "bad bytes", "what it leads to stays");
}
