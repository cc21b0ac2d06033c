//! Stages run by hand: a store, files and parameters without a pipeline.

use std::path::{Path, PathBuf};

use crate::missing::missing;
use macula::base::{Digest, Streams};
use macula::lang::value::Value;
use macula::stage::{Ctx, Files, Inputs, Item, Named, Outcome, Params, Progress, StageError, Stop, Warning, Work};
use macula::stages;
use macula::store::{Entry, Objects, Tree};

/// A store in a temporary folder, next to a folder for the user's files.
pub(crate) struct Lab {
    folder: tempfile::TempDir,
    pub(crate) objects: Objects,
}

struct Silent;

impl Progress for Silent {
    fn step(&self, _: u64, _: u64, _: &str) {}
    fn line(&self, _: &str) {}
    fn warn(&self, _: &Warning) {}
}

impl Lab {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let objects = Objects::open(&folder.path().join("store")).unwrap();
        Self { folder, objects }
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join("user").join(path)
    }

    pub(crate) fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    pub(crate) fn source(&self, stage: &str, params: &[(&str, Value)]) -> Result<Outcome, StageError> {
        let Work::Source(source) = stages::find(stage).unwrap().work else { panic!("`{stage}` is no source") };
        source(&given(params), self)
    }

    /// Runs a map stage on one input.
    pub(crate) fn map(&self, stage: &str, from: &Tree, params: &[(&str, Value)]) -> Result<Outcome, StageError> {
        self.map_of(stage, &[("from", from)], params)
    }

    /// Runs a map stage on inputs by port.
    pub(crate) fn map_of(
        &self,
        stage: &str,
        inputs: &[(&str, &Tree)],
        params: &[(&str, Value)],
    ) -> Result<Outcome, StageError> {
        let Work::Map { items, one, gather, .. } = stages::find(stage).unwrap().work else { panic!("no map stage") };
        let named = |(port, tree): &(&str, &Tree)| {
            let name = (*port).to_owned();
            let named = Named { stage: name.clone(), name: name.clone(), tree: (*tree).clone(), summary: None };
            (name, vec![named])
        };
        let inputs = Inputs(inputs.iter().map(named).collect());
        let ctx = Ctx {
            params: &given(params),
            inputs: &inputs,
            streams: Streams::new(7, stage),
            objects: &self.objects,
            partial: self.folder.path(),
            progress: &Silent,
            stop: &Stop::default(),
        };
        let mut results = Vec::new();
        for item in items(&ctx)? {
            let tree = one(&ctx, &item)?.tree;
            results.push((item, tree));
        }
        let results: Vec<(Item, Tree)> = results;
        gather(&ctx, &results)
    }

    /// Runs a stage that is computed as a whole on inputs by port, which may have several trees.
    pub(crate) fn whole(
        &self,
        stage: &str,
        inputs: &[(&str, &[Tree])],
        params: &[(&str, Value)],
    ) -> Result<Outcome, StageError> {
        let Work::Whole(run) = stages::find(stage).unwrap().work else { panic!("`{stage}` is no whole stage") };
        let named = |(port, trees): &(&str, &[Tree])| {
            let named = |tree: &Tree| {
                let name = (*port).to_owned();
                Named { stage: name.clone(), name, tree: tree.clone(), summary: None }
            };
            ((*port).to_owned(), trees.iter().map(named).collect())
        };
        run(&Ctx {
            params: &given(params),
            inputs: &Inputs(inputs.iter().map(named).collect()),
            streams: Streams::new(7, stage),
            objects: &self.objects,
            partial: self.folder.path(),
            progress: &Silent,
            stop: &Stop::default(),
        })
    }

    /// `extract` with defaults for all other parameters.
    pub(crate) fn extract(&self, from: &Tree, params: &[(&str, Value)]) -> Result<Outcome, StageError> {
        let mut all = vec![
            ("size", Value::Int(128)),
            ("edge", Value::Text("drop".to_owned())),
            ("label.min-pixels", Value::Int(1)),
            ("label.min-share", Value::Real(0.0)),
            ("margin", Value::Int(0)),
            ("masks", Value::Bool(false)),
        ];
        all.extend(params.iter().cloned());
        self.map("extract", from, &all)
    }

    /// `preprocess` with defaults for all other parameters.
    pub(crate) fn preprocess(&self, from: &Tree, params: &[(&str, Value)]) -> Result<Outcome, StageError> {
        let none = || Value::Text("none".to_owned());
        let mut all = vec![("crop", none()), ("contrast", none()), ("shrink", Value::Int(1))];
        all.extend(params.iter().cloned());
        self.map("preprocess", from, &all)
    }

    /// `folder` over the user's files with masks of MA and HE.
    pub(crate) fn folder(&self, params: &[(&str, Value)]) -> Result<Outcome, StageError> {
        let text = |text: &str| Value::Text(text.to_owned());
        let masks = [("MA", "ma/*"), ("HE", "he/*")].map(|(class, pattern)| (class.to_owned(), text(pattern)));
        let mut all = vec![
            ("root", Value::Path(String::new())),
            ("photographs", text("photographs/*")),
            ("masks", Value::Map(masks.into())),
            ("absent-mask", text("absent")),
        ];
        all.extend(params.iter().cloned());
        self.source("folder", &all)
    }
}

fn given(params: &[(&str, Value)]) -> Params {
    Params(params.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
}

impl Files for Lab {
    fn list(&self, folder: &Path) -> Result<Vec<String>, StageError> {
        fn walk(folder: &Path, prefix: &str, found: &mut Vec<String>) {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let name = format!("{prefix}{}", entry.file_name().into_string().unwrap());
                if entry.path().is_dir() {
                    walk(&entry.path(), &format!("{name}/"), found);
                } else {
                    found.push(name);
                }
            }
        }
        let mut found = Vec::new();
        walk(folder, "", &mut found);
        found.sort();
        Ok(found)
    }

    fn entry(&self, file: &Path) -> Result<Entry, StageError> {
        let bytes = std::fs::read(file).unwrap();
        let entry = Entry { digest: Digest::of(&bytes), size: bytes.len() as u64 };
        self.objects.put_external([(&entry, file)]);
        Ok(entry)
    }

    fn placed(&self, entry: &Entry, place: &str, file: &Path) {
        self.objects.put_place(entry, place, file);
    }

    fn put(&self, bytes: &[u8]) -> Result<Entry, StageError> {
        Ok(self.objects.put(bytes)?)
    }

    fn resolve(&self, path: &str) -> PathBuf {
        self.folder.path().join("user").join(path)
    }
}

/// The folder of the real data; reports if there is none.
pub(crate) fn real_data() -> Option<PathBuf> {
    let named = std::env::var_os("MACULA_DATA").map(PathBuf::from);
    let folder = named.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"));
    let there = folder.join("idrid").is_dir();
    if !there {
        missing("data", format!("no real data in {} (MACULA_DATA names another folder)", folder.display()));
    }
    there.then_some(folder)
}
