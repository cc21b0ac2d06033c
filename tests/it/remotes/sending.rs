//! Uploads and downloads of one result: order, resumption, number of files, concurrent uploads, and forged remotes.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use macula::base::Digest;
use macula::store::remote::{Bundle, Fault, Folder, Remote, Site, TransferMode, Uploaded, Was, Watchdog};
use macula::store::{
    Accept, EVERYWHERE, Entry, Found, Lookup, Made, Manifest, Record, Remotes, Store, StoredTree, Tree,
};
use tempfile::TempDir;

const LARGE: usize = 300 << 10;

/// A site that records writes, and fails after a number of files.
#[derive(Debug)]
struct Noting {
    folder: Folder,
    written: Arc<Mutex<Vec<String>>>,
    room: AtomicUsize,
}

impl Noting {
    fn note(&self, name: &str) -> Result<(), Fault> {
        let left = self.room.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        left.map_err(|_| Fault::Lasting { text: "the line is cut".to_owned(), hint: None })?;
        self.written.lock().expect("whole").push(name.to_owned());
        Ok(())
    }
}

impl Site for Noting {
    fn fetch(&self, name: &str, most: u64, into: &mut dyn Write) -> Result<Option<u64>, Fault> {
        self.folder.fetch(name, most, into)
    }

    fn size(&self, name: &str) -> Result<Option<u64>, Fault> {
        // A folder that does not exist yet is not an error of this test.
        self.folder.size(name).or(Ok(None))
    }

    fn put(&self, name: &str, bytes: Bytes, go_on: &dyn Fn() -> bool) -> Result<(), Fault> {
        self.note(name)?;
        self.folder.put(name, bytes, go_on)
    }

    fn create(&self, name: &str, bytes: Bytes) -> Result<bool, Fault> {
        if self.size(name)?.is_some() {
            return Ok(false);
        }
        self.note(name)?;
        self.folder.create(name, bytes)
    }
}

/// A site that overwrites existing files whatever the condition.
#[derive(Debug)]
struct Careless(Folder);

impl Site for Careless {
    fn fetch(&self, name: &str, most: u64, into: &mut dyn Write) -> Result<Option<u64>, Fault> {
        self.0.fetch(name, most, into)
    }

    fn size(&self, name: &str) -> Result<Option<u64>, Fault> {
        self.0.size(name)
    }

    fn put(&self, name: &str, bytes: Bytes, go_on: &dyn Fn() -> bool) -> Result<(), Fault> {
        self.0.put(name, bytes, go_on)
    }

    fn create(&self, name: &str, bytes: Bytes) -> Result<bool, Fault> {
        self.0.put(name, bytes, &|| true).map(|()| true)
    }
}

/// A remote with a timeout of a minute.
fn lab(site: impl Site + 'static) -> Remote {
    Remote::new("lab", Box::new(site), Watchdog::new(Duration::from_mins(1), Instant::now, || false))
}

struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        std::fs::create_dir(folder.path().join("remote")).expect("a folder");
        Self { folder }
    }

    fn remote(&self) -> PathBuf {
        self.folder.path().join("remote")
    }

    fn store(&self, name: &str) -> Store {
        Store::open(&self.folder.path().join(name)).expect("a store")
    }

    /// A remote that accepts a number of files, and what was written.
    fn noting(&self, room: usize) -> (Remote, Arc<Mutex<Vec<String>>>) {
        let written = Arc::default();
        let site = Noting { folder: Folder::new(self.remote()), written: Arc::clone(&written), room: room.into() };
        (lab(site), written)
    }

    fn reading(&self, name: &str) -> Store {
        self.store(name).with_remotes(Remotes::new(vec![self.plain()]))
    }

    fn plain(&self) -> Remote {
        lab(Folder::new(self.remote()))
    }
}

/// Commits a result with these files under a key made of `name`.
fn result(store: &Store, name: &str, target: &str, files: &[(String, Vec<u8>)]) -> Found {
    let mut manifest = Manifest::default();
    manifest.text(macula::store::Kind::Parameter, "name", name);
    let key = manifest.key();
    let mut tree = Tree::default();
    for (name, bytes) in files {
        tree.insert(name.clone(), store.objects.put(bytes).expect("stored"));
    }
    let stored = StoredTree { tree: tree.digest(), object: store.objects.put_tree(&tree).expect("stored") };
    let record = Record {
        key,
        target: target.to_owned(),
        outputs: BTreeMap::from([("out".to_owned(), stored)]),
        summary: serde_json::Value::Null,
        manifest,
        made: Made::default(),
        recipe: None,
    };
    let Lookup::Miss(claim, _) = store.lookup(&key, target, Accept::OwnTarget).expect("looked up") else {
        panic!("`{name}` is there")
    };
    claim.commit(&store.objects, &record).expect("committed");
    store.find(&key, target, Accept::OwnTarget).expect("looked up").expect("found")
}

fn large(number: u8) -> (String, Vec<u8>) {
    (format!("large-{number}"), vec![number; LARGE + usize::from(number)])
}

fn send(store: &Store, remote: &Remote, found: &Found) -> Result<Uploaded, Fault> {
    store.upload(remote, found, TransferMode::Missing, &|_| true)
}

#[test]
fn a_push_that_was_cut_goes_on_where_it_was_and_names_nothing_before_all_is_there() {
    let bench = Bench::new();
    let store = bench.store("a");
    let files: Vec<_> = (0..10).map(large).chain([("small".to_owned(), b"s".to_vec())]).collect();
    let found = result(&store, "x", EVERYWHERE, &files);
    let (cut, before) = bench.noting(4);
    assert!(matches!(send(&store, &cut, &found), Err(Fault::Lasting { .. })));
    assert!(cut.is_down(), "it is not asked again");
    let before = before.lock().expect("whole").clone();
    assert_eq!(before.len(), 4);
    assert!(before.iter().all(|name| !name.contains("actions")), "{before:?}");
    let reader = bench.reading("b");
    let key = found.record.key;
    assert!(reader.find_remote(&key, EVERYWHERE, Accept::AnyTarget).expect("asked").is_none());

    let (whole, after) = bench.noting(1000);
    let sent = send(&store, &whole, &found).expect("sent");
    assert_eq!(
        (sent.was, sent.files),
        (Was::Missing, 12 - 4),
        "a pack, ten objects and the bundle, less what had arrived"
    );
    let after = after.lock().expect("whole").clone();
    assert!(after.iter().all(|name| !before.contains(name)), "nothing goes twice");
    assert!(after.last().is_some_and(|name| name.contains("actions")), "the bundle is the last: {after:?}");
    assert_eq!(send(&store, &whole, &found).expect("sent").was, Was::There);

    let reader = bench.reading("c");
    let hit = reader.find_remote(&key, EVERYWHERE, Accept::AnyTarget).expect("asked").expect("offered");
    let brought = reader.download(&hit, &|_| true).expect("kept").expect("brought");
    assert_eq!(brought.outputs["out"].digest(), found.outputs["out"].digest());
    assert_eq!(hit.open_bytes(&reader.objects), 0, "all of it is here");
}

#[test]
fn a_thousand_small_files_are_one_file_at_the_remote() {
    let bench = Bench::new();
    let store = bench.store("a");
    let files: Vec<_> =
        (0..1000).map(|number| (format!("{number:04}.txt"), format!("{number}").into_bytes())).collect();
    let found = result(&store, "x", EVERYWHERE, &files);
    let (remote, written) = bench.noting(1000);
    assert_eq!(send(&store, &remote, &found).expect("sent").files, 2);
    assert_eq!(written.lock().expect("whole").len(), 2, "a pack and the bundle");
    let reader = bench.reading("b");
    let hit = reader.find_remote(&found.record.key, EVERYWHERE, Accept::AnyTarget).expect("asked").expect("offered");
    let brought = reader.download(&hit, &|_| true).expect("kept").expect("brought");
    let tree = brought.outputs["out"].tree(&reader.objects).expect("read").clone();
    assert_eq!(tree.entries.len(), 1000);
    assert_eq!(&*reader.objects.read_in(&tree, "0041.txt").expect("read").expect("there"), b"41");
}

#[test]
fn of_sixteen_that_send_other_bytes_under_one_key_one_wins() {
    let bench = Bench::new();
    let created = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for number in 0..16 {
            let (bench, created) = (&bench, &created);
            scope.spawn(move || {
                let site = Folder::new(bench.remote());
                let name = "v1/actions/00/11.any";
                let won = site.create(name, Bytes::from(vec![number; 1 << 20])).expect("written");
                created.fetch_add(usize::from(won), Ordering::SeqCst);
                let store = bench.store(&format!("store-{number}"));
                let found = result(&store, "x", "avx2", &[large(number)]);
                send(&store, &bench.plain(), &found).expect("sent");
            });
        }
    });
    assert_eq!(created.into_inner(), 1, "one creates");
    let mut bytes = Vec::new();
    Folder::new(bench.remote()).fetch("v1/actions/00/11.any", 1 << 20, &mut bytes).expect("read");
    assert!(bytes.len() == 1 << 20 && bytes.iter().all(|byte| *byte == bytes[0]), "its bytes are of one");
    // All readers get the same complete result.
    let key = result(&bench.store("last"), "x", "avx2", &[large(99)]).record.key;
    let digests = ["avx2", "portable"].map(|target| {
        let reader = bench.reading(&format!("reader-{target}"));
        let hit = reader.find_remote(&key, target, Accept::AnyTarget).expect("asked").expect("offered");
        reader.download(&hit, &|_| true).expect("kept").expect("brought").outputs["out"].digest()
    });
    assert!((0..16).any(|number| {
        let own = result(&bench.store(&format!("again-{number}")), "x", "avx2", &[large(number)]);
        own.outputs["out"].digest() == digests[0]
    }));
    let reader = bench.reading("exact");
    assert!(
        reader.find_remote(&key, "portable", Accept::OwnTarget).expect("asked").is_none(),
        "another class is not wanted"
    );
}

#[test]
fn a_remote_that_writes_over_what_is_there_is_reported_once_and_one_that_does_not_never() {
    let bench = Bench::new();
    let store = bench.store("a");
    let careless = lab(Careless(Folder::new(bench.remote())));
    let sent = ["x", "y"].map(|name| result(&store, name, "avx2", &[large(1)]));
    for found in &sent {
        assert_eq!(send(&store, &careless, found).expect("sent").was, Was::Missing);
    }
    let troubles = careless.troubles();
    assert!(matches!(&*troubles, [one] if one.text.contains("`lab` ignores if-none-match")), "{troubles:?}");
    let careful = bench.plain();
    send(&store, &careful, &result(&store, "z", "avx2", &[large(2)])).expect("sent");
    assert_eq!(careful.troubles(), []);
    // What it keeps is complete anyway.
    let reader = bench.reading("b");
    for Found { record, .. } in &sent {
        let hit = reader.find_remote(&record.key, "avx2", Accept::OwnTarget).expect("asked").expect("offered");
        assert!(reader.download(&hit, &|_| true).expect("kept").is_some());
    }
}

/// Writes a bundle with its digest, unchecked.
fn forge(root: &Path, bundle: &Bundle, pack: &[u8]) {
    let site = Folder::new(root.to_owned());
    let text = serde_json::to_vec(bundle).expect("it serialises");
    let sealed = [Digest::of(&text).to_string().as_bytes(), b"\n", &text, b"\n"].concat();
    let place = |kind: &str, digest: &Digest| {
        let digits = digest.to_string();
        format!("v1/{kind}/{}/{}", &digits[..2], &digits[2..])
    };
    site.put(&format!("{}.any", place("actions", &bundle.record.key)), Bytes::from(sealed), &|| true).expect("written");
    site.put(&place("packs", &Digest::of(pack)), Bytes::copy_from_slice(pack), &|| true).expect("written");
}

/// A tree's object, with any names.
fn tree_bytes(names: &[&str], entry: Entry) -> Vec<u8> {
    let mut bytes = b"macula tree 1\n\0\0".to_vec();
    bytes.extend((names.len() as u64).to_le_bytes());
    let mut end = 0_u32;
    for name in names {
        end += name.len() as u32;
        bytes.extend(entry.digest.bytes());
        bytes.extend(entry.size.to_le_bytes());
        bytes.extend(end.to_le_bytes());
    }
    bytes.extend(names.concat().as_bytes());
    bytes
}

#[test]
fn a_remote_that_lies_is_not_believed() {
    let bench = Bench::new();
    let store = bench.store("a");
    let honest = result(&store, "x", EVERYWHERE, &[("a".to_owned(), b"a".to_vec())]);
    let entry = Entry { digest: Digest::of(b"a"), size: 1 };
    let packed = |objects: &[&[u8]]| {
        let mut bytes = b"macula pack 1\n\0\0".to_vec();
        bytes.extend((objects.len() as u64).to_le_bytes());
        bytes.extend(objects.iter().flat_map(|object| (object.len() as u64).to_le_bytes()));
        bytes.extend(objects.concat());
        bytes
    };
    let bundle = |tree: &[u8], pack: &[u8], digest: Digest, small: usize| {
        let object = Entry { digest: Digest::of(tree), size: tree.len() as u64 };
        let mut record = honest.record.clone();
        record.outputs = BTreeMap::from([("out".to_owned(), StoredTree { tree: digest, object })]);
        let file = serde_json::json!({"digest": Digest::of(pack), "size": pack.len()});
        let packs = serde_json::json!([{"file": file, "small": small}]);
        serde_json::from_value(serde_json::json!({"record": record, "packs": packs, "alone": []})).expect("a bundle")
    };
    let mut number = 0;
    let mut offered = |bundle: &Bundle, pack: &[u8]| {
        forge(&bench.remote(), bundle, pack);
        number += 1;
        let reader = bench.reading(&format!("reader-{number}"));
        let hit = reader.find_remote(&honest.record.key, EVERYWHERE, Accept::AnyTarget).expect("asked");
        let troubles = reader.remotes.troubles();
        (hit.is_some_and(|hit| reader.download(&hit, &|_| true).expect("kept").is_some()), troubles.len())
    };

    let mut tree = Tree::default();
    tree.insert("a", entry);
    let good = tree_bytes(&["a"], entry);
    let pack = packed(&[&good, b"a"]);
    assert_eq!(offered(&bundle(&good, &pack, tree.digest(), 1), &pack), (true, 0), "the honest one");
    assert_eq!(offered(&bundle(&good, &pack, Digest::of(b"other"), 1), &pack), (false, 1), "another tree");
    assert_eq!(offered(&bundle(&good, &pack, tree.digest(), 0), &pack), (false, 1), "an object too few");
    assert_eq!(offered(&bundle(&good, &pack, tree.digest(), 2), &pack), (false, 1), "an object too many");
    let empty = packed(&[]);
    assert_eq!(offered(&bundle(&good, &empty, tree.digest(), 1), &empty), (false, 1), "a pack without the tree");
    let other = packed(&[&good, b"b"]);
    assert!(!offered(&bundle(&good, &other, tree.digest(), 1), &other).0, "a pack with another object");
    for name in ["../a", "/a", "a/../../b", "", "a//b", "a\0b"] {
        let bad = tree_bytes(&[name], entry);
        let pack = packed(&[&bad, b"a"]);
        assert_eq!(offered(&bundle(&bad, &pack, Digest::of(b"any"), 1), &pack), (false, 1), "the name {name:?}");
    }
}
