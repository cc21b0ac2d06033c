//! The store by itself: objects, claims, cached digests.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use macula::base::Digest;
use macula::store::{
    Accept, Entry, Location, Lookup, Made, Manifest, Objects, Record, Store, StoreError, StoredTree, Tree,
};
use tempfile::TempDir;

fn folder() -> TempDir {
    TempDir::new().expect("a temporary folder can be made")
}

#[test]
fn objects_can_be_read_before_and_after_they_are_published() {
    let folder = folder();
    let objects = Objects::open(folder.path()).expect("opens");
    let small = objects.put(b"small").expect("stored");
    let mut writer = objects.writer().expect("writable");
    let large: Vec<u8> = (0..3_000_000u32).map(|at| (at % 251) as u8).collect();
    large.chunks(1000).for_each(|piece| writer.write_all(piece).expect("written"));
    let large_entry = writer.finish().expect("stored");
    assert_eq!(large_entry, Entry { digest: Digest::of(&large), size: large.len() as u64 });
    let read = |objects: &Objects| {
        assert_eq!(&*objects.read(&small).expect("readable"), b"small");
        assert!(*objects.read(&large_entry).expect("readable") == *large);
    };
    read(&objects);
    let other = Objects::open(folder.path()).expect("opens");
    assert!(matches!(other.read(&small), Err(StoreError::Missing { .. })), "not published yet");
    objects.publish().expect("published");
    read(&objects);
    read(&other);
    let Location::Stored(place) = other.verified_path(&small).expect("there") else { panic!("it is the store's") };
    assert_eq!(fs::metadata(place).expect("there").permissions().mode() & 0o777, 0o444);
    drop(objects);
    let left = fs::read_dir(folder.path().join("incoming")).expect("there").count();
    assert_eq!(left, 0);
}

#[test]
fn a_shortened_object_is_damaged_and_can_be_put_again() {
    let folder = folder();
    let objects = Objects::open(folder.path()).expect("opens");
    let entry = objects.put(b"some bytes").expect("stored");
    objects.publish().expect("published");
    let Location::Stored(path) = objects.verified_path(&entry).expect("there") else { panic!("it is the store's") };
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("permissions");
    fs::write(&path, b"some").expect("written");
    let objects = Objects::open(folder.path()).expect("opens");
    assert!(!objects.holds(&entry));
    assert!(matches!(objects.read(&entry), Err(StoreError::Damaged { .. })));
    assert_eq!(objects.damaged(), [entry.digest]);
    objects.put(b"some bytes").expect("stored");
    objects.publish().expect("published");
    assert_eq!(&*objects.read(&entry).expect("readable"), b"some bytes");
}

fn record(store: &Store, key: Digest, text: &str) -> Record {
    let mut tree = Tree::default();
    tree.insert("text", store.objects.put(text.as_bytes()).expect("stored"));
    let stored = StoredTree { tree: tree.digest(), object: store.objects.put_tree(&tree).expect("stored") };
    Record {
        key,
        target: "any".into(),
        outputs: [("out".to_owned(), stored)].into(),
        summary: serde_json::Value::Null,
        manifest: Manifest::default(),
        made: Made::default(),
        recipe: None,
    }
}

#[test]
fn a_claim_is_held_by_one_and_committing_it_makes_a_hit() {
    let folder = folder();
    let store = Store::open(folder.path()).expect("opens");
    let other = Store::open(folder.path()).expect("opens");
    let key = Digest::of(b"key");
    let look = |store: &Store| store.lookup(&key, "any", Accept::AnyTarget).expect("looked up");
    let Lookup::Miss(claim, _) = look(&store) else { panic!("nothing is there yet") };
    assert!(matches!(look(&other), Lookup::Busy));
    fs::write(claim.partial().expect("a folder").join("checkpoint"), "half").expect("written");
    drop(claim);
    let Lookup::Miss(claim, _) = look(&other) else { panic!("the claim was given back") };
    assert!(claim.partial().expect("a folder").join("checkpoint").exists(), "the next holder adopts the checkpoint");
    claim.commit(&other.objects, &record(&other, key, "result")).expect("committed");
    let Lookup::Hit(found) = look(&store) else { panic!("it was committed") };
    assert_eq!(
        &*store
            .objects
            .read(&found.outputs["out"].tree(&store.objects).expect("readable").entries["text"])
            .expect("readable"),
        b"result"
    );
    store.forget(&key).expect("forgotten");
    assert!(matches!(look(&store), Lookup::Miss(..)));
}

#[test]
fn a_digest_is_remembered_while_the_file_stays_and_its_time_is_old() {
    let folder = folder();
    let store = Store::open(folder.path()).expect("opens");
    let file = folder.path().join("data");
    let second = 1_000_000_000;
    fs::write(&file, "x").expect("written");
    super::bench::touch(&file, 100);
    let facts = fs::metadata(&file).expect("there");
    let modified = facts.modified().expect("a time");
    let since = modified.duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_nanos() as u64;
    let swap = |text: &str| {
        fs::write(&file, text).expect("written");
        fs::File::options().write(true).open(&file).expect("opens").set_modified(modified).expect("set");
    };
    let digest = |now: u64| store.files.entry(&file, now).expect("readable").digest;
    // Taken one second after the change: the file may change again with the same time.
    assert_eq!(digest(since + second), Digest::of(b"x"));
    assert!(store.files.remembered(&file).is_none(), "a racy entry is not trusted");
    // Taken three seconds after it.
    assert_eq!(digest(since + 3 * second), Digest::of(b"x"));
    store.files.save();
    let again = Store::open(folder.path()).expect("opens");
    assert_eq!(again.files.remembered(&file).map(|entry| entry.digest), Some(Digest::of(b"x")));
    // Same length, with its modification time restored: the change time (ctime) shows it.
    swap("y");
    assert!(again.files.remembered(&file).is_none());
    assert_eq!(digest(since + 4 * second), Digest::of(b"y"));
}
