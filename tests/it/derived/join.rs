//! `join`: which embedding each photograph gets, and what derived sets keep.

use std::collections::BTreeMap;

use macula::base::Digest;
use macula::data::black_filter::BlackFilter;
use macula::data::embeddings::{
    Control, EmbeddingValues, Embeddings, EmbeddingsInfo, JoinedEmbeddings, StoredAs, without_unused,
};
use macula::data::join::join;
use macula::data::patches::{Part, PatchSet};
use macula::data::split::subset;
use macula::learn::model::same_encoder;
use macula::stage::StageError;
use macula::store::Objects;
use tempfile::TempDir;

use super::sets::{part, set, streams};

fn objects() -> (TempDir, Objects) {
    let folder = tempfile::tempdir().expect("a folder");
    let objects = Objects::open(folder.path()).expect("a store");
    (folder, objects)
}

/// Photographs `a`, `b`, …, each with its own number in all three values.
fn embeddings(names: &[&str], store: StoredAs, objects: &Objects) -> Embeddings {
    let info = EmbeddingsInfo {
        rows: 1,
        columns: 1,
        channels: 3,
        store,
        encoder: Digest::of(b"an encoder"),
        description: "`resnet18` up to `features`".to_owned(),
        classes: Vec::new(),
    };
    let one = |(number, name): (usize, &&str)| {
        let file = info.file(&[number as f32 + 0.5, 1.0, -2.0]).expect("a file");
        ((*name).to_owned(), objects.put(&file).expect("stored"))
    };
    let photographs = names.iter().enumerate().map(one).collect();
    Embeddings { info, photographs }
}

fn of_patient(patient: &str, part: Part) -> Part {
    Part { patient: Some(patient.to_owned()), ..part }
}

/// The photograph whose embedding each photograph got.
fn given(joined: &PatchSet, embeddings: &Embeddings) -> BTreeMap<String, String> {
    let source = |part: &Part| {
        let entry = part.embeddings["whole"];
        embeddings.photographs.iter().find(|(_, file)| *file == entry).expect("one of them").0.clone()
    };
    joined.parts.iter().map(|part| (part.photograph.clone(), source(part))).collect()
}

#[test]
fn each_photograph_gets_its_own_embedding_and_derived_sets_keep_it() {
    let (_folder, objects) = objects();
    let patches = set(vec![part("a", "1000 0000"), part("b", "0100"), part("c", "0000")]);
    let embeddings = embeddings(&["a", "b", "c"], StoredAs::F32, &objects);
    let joined = join(&patches, &embeddings, "whole", Control::None, &streams(1), &objects).expect("joined");
    let tree = joined.write(&objects).expect("written");
    let read = PatchSet::read(&tree, &objects).expect("read");
    assert_eq!(read, joined, "the tree says everything");
    assert!(given(&read, &embeddings).iter().all(|(photograph, source)| photograph == source));

    let side = subset(&read, &[0, 1, 0], 0);
    let (kept, _) = BlackFilter { below: 0.0, fraction: 1.0 }.divide(&side);
    let derived = PatchSet::read(&kept.write(&objects).expect("written"), &objects).expect("read");
    assert_eq!(derived.embeddings, joined.embeddings);
    assert_eq!(given(&derived, &embeddings).into_keys().collect::<Vec<_>>(), ["a", "c"]);
}

#[test]
fn values_survive_in_both_formats() {
    let (_folder, objects) = objects();
    for store in [StoredAs::F32, StoredAs::F16] {
        let embeddings = embeddings(&["a", "b"], store, &objects);
        let tree = embeddings.write(&objects).expect("written");
        let read = Embeddings::read(&tree, &objects).expect("read");
        assert_eq!(read, embeddings);
        let entry = read.find("b").expect("`b`");
        let mut values = [0.0; 3];
        EmbeddingValues::open(&entry, "b", &read.info, &objects).expect("opened").copy_to(&mut values);
        assert_eq!(values, [1.5, 1.0, -2.0]);
        let other = EmbeddingsInfo { channels: 4, ..read.info };
        let error = EmbeddingValues::open(&entry, "b", &other, &objects).expect_err("another shape");
        assert!(error.has_code("foreign-table"), "{error}");
    }
}

#[test]
fn the_control_gives_everybody_the_embedding_of_another_patient() {
    let (_folder, objects) = objects();
    let names: Vec<String> = (0..12).map(|at| format!("p{at:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    // Two photographs of each patient.
    let parts = |upto: usize| {
        let of = |at: usize| of_patient(&format!("patient {}", at / 2), part(names[at], "1000"));
        (0..upto).map(of).collect::<Vec<_>>()
    };
    let embeddings = embeddings(&names, StoredAs::F32, &objects);
    let cross = |patches: &PatchSet, seed: u64| {
        let joined = join(patches, &embeddings, "whole", Control::Other, &streams(seed), &objects).expect("joined");
        given(&joined, &embeddings)
    };
    let all = cross(&set(parts(12)), 1);
    let number = |name: &str| name[1..].parse::<usize>().expect("a number") / 2;
    assert!(all.iter().all(|(photograph, source)| number(photograph) != number(source)), "{all:?}");
    assert_ne!(all, cross(&set(parts(12)), 2), "the seed decides");
    let fewer = cross(&set(parts(11)), 1);
    let changed = fewer.iter().filter(|(photograph, source)| all[*photograph] != **source).count();
    assert!(changed <= 2, "{changed} of 11 changed by one more photograph");
}

#[test]
fn the_control_stays_within_the_set() {
    let (_folder, objects) = objects();
    let embeddings = embeddings(&["a", "b", "c", "d"], StoredAs::F32, &objects);
    let whole = set(["a", "b", "c", "d"].map(|name| part(name, "1000")).to_vec());
    let side = subset(&whole, &[0, 0, 1, 1], 0);
    let joined = join(&side, &embeddings, "whole", Control::Other, &streams(1), &objects).expect("joined");
    let expected = BTreeMap::from([("a", "b"), ("b", "a")].map(|(one, other)| (one.to_owned(), other.to_owned())));
    assert_eq!(given(&joined, &embeddings), expected);
    let alone = set(vec![part("a", "1000")]);
    let error = join(&alone, &embeddings, "whole", Control::Other, &streams(1), &objects).expect_err("one patient");
    assert!(error.has_code("no-other-patient"), "{error}");
}

#[test]
fn zeros_are_one_file_for_everybody() {
    let (_folder, objects) = objects();
    let embeddings = embeddings(&["a", "b"], StoredAs::F16, &objects);
    let patches = set(vec![part("a", "1000"), part("b", "0100")]);
    let joined = join(&patches, &embeddings, "whole", Control::Zero, &streams(1), &objects).expect("joined");
    let entries: Vec<_> = joined.parts.iter().map(|part| part.embeddings["whole"]).collect();
    assert_eq!(entries[0], entries[1]);
    let mut values = [1.0; 3];
    EmbeddingValues::open(&entries[0], "a", &embeddings.info, &objects).expect("opened").copy_to(&mut values);
    assert_eq!(values, [0.0; 3]);
}

#[test]
fn a_photograph_without_an_embedding_is_named() {
    let (_folder, objects) = objects();
    let embeddings = embeddings(&["a"], StoredAs::F32, &objects);
    let patches = set(vec![part("a", "1000"), part("b", "0100"), part("c", "")]);
    let error = join(&patches, &embeddings, "whole", Control::None, &streams(1), &objects).expect_err("no `b`");
    let StageError::Input { code, text, .. } = error else { panic!("{error}") };
    assert_eq!((code, text.as_str()), ("missing-embedding", "1 photograph without an embedding: `b`"));
}

#[test]
fn what_is_not_read_is_not_in_the_key() {
    let (_folder, objects) = objects();
    let plain = set(vec![part("a", "1000"), part("b", "0100")]);
    let before = plain.write(&objects).expect("written");
    assert_eq!(without_unused(&before, &["whole"]), None, "nothing to leave out");
    let embeddings = embeddings(&["a", "b"], StoredAs::F32, &objects);
    let once = join(&plain, &embeddings, "whole", Control::None, &streams(1), &objects).expect("joined");
    let twice = join(&once, &embeddings, "wholesale", Control::Zero, &streams(1), &objects).expect("joined");
    let tree = twice.write(&objects).expect("written");
    assert_eq!(without_unused(&tree, &[]).expect("less"), before);
    let expected = once.write(&objects).expect("written");
    assert_eq!(without_unused(&tree, &["whole"]).expect("less"), expected);
    assert_eq!(without_unused(&tree, &["whole", "wholesale"]), None);
    assert_eq!(JoinedEmbeddings::read_all(&tree, &objects).expect("read").len(), 2);
}

#[test]
fn several_embeddings_are_in_the_order_of_their_names() {
    let (_folder, objects) = objects();
    let mut joined = set(vec![part("a", "1000")]);
    let embeddings = embeddings(&["a"], StoredAs::F32, &objects);
    for name in ["whole", "whole-b", "a"] {
        joined = join(&joined, &embeddings, name, Control::None, &streams(1), &objects).expect("joined");
    }
    // As files, `whole-b.json` comes before `whole.json`.
    let read = PatchSet::read(&joined.write(&objects).expect("written"), &objects).expect("read");
    assert_eq!(read, joined);
    assert_eq!(
        read.embeddings.iter().map(|joined| joined.name.as_str()).collect::<Vec<_>>(),
        ["a", "whole", "whole-b"]
    );
}

#[test]
fn embeddings_of_another_shape_are_refused() {
    let (_folder, objects) = objects();
    let info = embeddings(&["a"], StoredAs::F32, &objects).info;
    let grid = EmbeddingsInfo { rows: 2, columns: 3, ..info };
    let ours = JoinedEmbeddings { name: "whole".to_owned(), info: grid.clone(), control: Control::None };
    let half = EmbeddingsInfo { store: StoredAs::F16, ..grid.clone() };
    same_encoder(&ours, &half, "these patches").expect("only stored in another way");
    // As many values, but not the same grid.
    let turned = EmbeddingsInfo { rows: 3, columns: 2, ..grid };
    let error = same_encoder(&ours, &turned, "these patches").expect_err("turned");
    assert!(error.has_code("grids-differ"), "{error}");
    assert!(
        error.to_string().contains("3 values in each of 3 x 2 cells, but the embeddings of these patches"),
        "{error}"
    );
}
