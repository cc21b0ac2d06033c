//! `combine`: what each photograph gets, and which embeddings are comparable.

use macula::base::Digest;
use macula::data::combined::combine;
use macula::data::embeddings::{EmbeddingValues, Embeddings, EmbeddingsInfo, StoredAs};
use macula::stage::StageError;
use macula::store::Objects;
use tempfile::TempDir;

fn objects() -> (TempDir, Objects) {
    let folder = tempfile::tempdir().expect("a folder");
    let objects = Objects::open(folder.path()).expect("a store");
    (folder, objects)
}

/// Two logits of each photograph: its number and `second`.
fn logits(encoder: &str, photographs: &[(&str, f32)], second: f32, objects: &Objects) -> Embeddings {
    let info = EmbeddingsInfo {
        rows: 1,
        columns: 1,
        channels: 2,
        store: StoredAs::F32,
        encoder: Digest::of(encoder.as_bytes()),
        description: format!("logits of `{encoder}`"),
        classes: vec!["MA".to_owned(), "HE".to_owned()],
    };
    let file = |value: f32| objects.put(&info.file(&[value, second]).expect("a file")).expect("stored");
    let photographs = photographs.iter().map(|(name, value)| ((*name).to_owned(), file(*value))).collect();
    Embeddings { info, photographs }
}

fn values(set: &Embeddings, photograph: &str, objects: &Objects) -> Vec<f32> {
    let entry = set.find(photograph).expect("it has the photograph");
    let mut values = vec![0.0; set.info.len()];
    EmbeddingValues::open(&entry, photograph, &set.info, objects).expect("values").copy_to(&mut values);
    values
}

fn refused(sets: &[(&str, Embeddings)], objects: &Objects, words: &str) {
    let error = combine(sets, objects).expect_err("refused");
    assert!(error.has_code("mixed-encoders"), "{error}");
    let StageError::Input { text, hint, .. } = &error else { panic!("{error}") };
    assert!(text.contains(words) && hint.is_some(), "{error}");
}

#[test]
fn a_photograph_gets_the_mean_of_its_encoders() {
    let (_folder, objects) = objects();
    let one = logits("one", &[("a", 1.0), ("c", 4.0)], 0.5, &objects);
    let two = logits("two", &[("b", 2.0), ("c", 7.0)], -1.5, &objects);
    let found = combine(&[("x", one.clone()), ("y", two.clone())], &objects).expect("comparable");
    assert_eq!((found.encoders, found.means), (2, 1));
    let all = &found.embeddings;
    let names: Vec<&str> = all.photographs.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(all.find("a"), one.find("a"), "one encoder: its file");
    assert_eq!(all.find("b"), two.find("b"));
    assert_eq!(values(all, "c", &objects), [5.5, -0.5]);
    assert!(all.info.encoder != one.info.encoder && all.info.encoder != two.info.encoder);
    assert_eq!(all.info.classes, one.info.classes);
    // As they are read again.
    let tree = all.write(&objects).expect("stored");
    assert_eq!(Embeddings::read(&tree, &objects).expect("embeddings"), *all);
}

#[test]
fn sets_of_one_encoder_are_one_set() {
    let (_folder, objects) = objects();
    let mut one = logits("one", &[("a", 1.0), ("b", 2.0)], 0.0, &objects);
    let mut more = logits("one", &[("b", 2.0), ("c", 3.0)], 0.0, &objects);
    // Features of one encoder are comparable.
    one.info.classes.clear();
    more.info.classes.clear();
    let found = combine(&[("x", one.clone()), ("y", more.clone())], &objects).expect("comparable");
    assert_eq!((found.encoders, found.means, found.embeddings.photographs.len()), (1, 0, 3));
    assert_eq!(found.embeddings.info, one.info);
    let other = Embeddings { photographs: vec![("a".to_owned(), more.photographs[1].1)], ..more };
    refused(&[("x", one), ("y", other)], &objects, "two different photographs are called `a`");
}

#[test]
fn embeddings_that_are_not_comparable_are_refused() {
    let (_folder, objects) = objects();
    let one = logits("one", &[("a", 1.0)], 0.0, &objects);
    let two = logits("two", &[("b", 1.0)], 0.0, &objects);
    let features = |set: &Embeddings| {
        let mut set = set.clone();
        set.info.classes.clear();
        set
    };
    refused(&[("x", features(&one)), ("y", features(&two))], &objects, "features of different encoders");
    refused(&[("x", one.clone()), ("y", features(&two))], &objects, "features of different encoders");
    let mut turned = two.clone();
    turned.info.classes.reverse();
    refused(&[("x", one.clone()), ("y", turned)], &objects, "scores of `MA HE`, but `y` of `HE MA`");
    let mut half = two;
    half.info.store = StoredAs::F16;
    refused(&[("x", one), ("y", half)], &objects, "or another precision");
}
