//! A project folder, pipelines built in code, and runs of them in this process.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use macula::base::{FileId, Sources, Span};
use macula::lang::spec::{Input, Output, Pipeline, Reference, StageSpec};
use macula::lang::value::Value;
use macula::plan::{Decision, Explanation};
use macula::run::{self, Event, Host, Options, Project, Report, Watch};
use macula::stage::Implementation;
use macula::store::{Location, RunOutcome, Store};
use tempfile::TempDir;

use super::stages::ALL;

/// A project folder with its store.
pub(super) struct Bench {
    folder: TempDir,
    pub(super) host: Host,
    pub(super) options: Options,
    pub(super) implementations: &'static [Implementation],
    /// Whether unreadable outputs are recorded instead of ending the test.
    pub(super) bears_damage: bool,
    /// Whether the user asks to stop when a stage prints a line.
    pub(super) stops_at_line: bool,
    /// Number of objects from which on folders are listed, and for how many nanoseconds they must have been unchanged.
    pub(super) listing: Option<(usize, u64)>,
}

/// Outcomes of all stages, in a form that is easy to compare.
#[derive(Debug)]
pub(super) struct Came {
    pub(super) report: Report,
    pub(super) events: Vec<Event>,
    texts: BTreeMap<String, String>,
    /// Outputs that could not be read.
    pub(super) unreadable: Vec<String>,
}

impl Bench {
    pub(super) fn new() -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        Self {
            host: host(folder.path()),
            folder,
            options: Options::usual(2),
            implementations: ALL,
            bears_damage: false,
            stops_at_line: false,
            listing: None,
        }
    }

    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// Writes a file that is old enough for its digest to be cached.
    pub(super) fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("it lies in a folder")).expect("a folder can be made");
        fs::write(&path, text).expect("a file can be written");
        touch(&path, 60);
    }

    pub(super) fn store(&self) -> Store {
        let store = Store::open(&self.path(".macula")).expect("the store opens");
        match self.listing {
            Some((many, racy)) => store.listing(many, racy),
            None => store,
        }
    }

    pub(super) fn run(&self, pipeline: &Pipeline) -> Came {
        self.run_in(&self.store(), pipeline)
    }

    pub(super) fn run_in(&self, store: &Store, pipeline: &Pipeline) -> Came {
        let sources = Sources::default();
        let stop = self.stops_at_line.then(|| Arc::clone(&self.host.signalled));
        let listener = Listener { events: Mutex::default(), stop };
        let report = run::execute(&self.host, &self.project(store, pipeline, &sources), &self.options, &listener)
            .expect("the pipeline can be planned");
        let (mut texts, mut unreadable) = (BTreeMap::new(), Vec::new());
        for (id, known) in &report.known {
            for (port, artifact) in &known.outputs {
                let tree = artifact.tree(&store.objects).expect("readable");
                let name = format!("{}.{port}", pipeline.stages[id.0].name);
                let mut bytes = Vec::new();
                for entry in tree.entries.values() {
                    match store.objects.read(entry) {
                        Ok(read) => bytes.extend_from_slice(&read),
                        // The files of a cached source are located when they are needed.
                        Err(_) if report.record.ended == RunOutcome::Failed || known.key.is_none() => {}
                        Err(_) if self.bears_damage => unreadable.push(name.clone()),
                        Err(error) => panic!("{error}"),
                    }
                }
                texts.insert(name, String::from_utf8_lossy(&bytes).trim_end_matches('.').to_owned());
            }
        }
        Came { report, events: listener.events.into_inner().expect("no panic"), texts, unreadable }
    }

    /// The decision for each stage: `source`, `reuse`, `run`, `unknown`, `fail`, `blocked`.
    pub(super) fn plan(&self, pipeline: &Pipeline) -> BTreeMap<String, String> {
        self.explain(pipeline, |name, decision, _| (name, will(decision).to_owned())).into_iter().collect()
    }

    /// The result of `show` for each stage's decision and explanation.
    pub(super) fn explain<T>(
        &self,
        pipeline: &Pipeline,
        mut show: impl FnMut(String, &Decision, &Explanation) -> T,
    ) -> Vec<T> {
        let store = self.store();
        let sources = Sources::default();
        let project = self.project(&store, pipeline, &sources);
        run::plan(&self.host, &project, &self.options, |engine, explained| {
            explained.iter().map(|(id, decision, why)| show(engine.stage(*id).name.clone(), decision, why)).collect()
        })
        .expect("the pipeline can be planned")
    }

    fn project<'a>(&self, store: &'a Store, pipeline: &'a Pipeline, sources: &'a Sources) -> Project<'a> {
        Project {
            pipeline,
            sources,
            file: "pipeline.kdl".into(),
            folder: self.folder.path().to_owned(),
            implementations: self.implementations,
            store,
        }
    }

    /// The path of the only object of a stage's only output.
    pub(super) fn object_of(&self, came: &Came, stage: &str) -> PathBuf {
        let store = self.store();
        let stored = came.report.known.values().find(|known| {
            known.key.is_some() && Some(known.key) == came.report.record.stages.get(stage).map(|stage| stage.key)
        });
        let tree = stored.and_then(|known| known.outputs.get("out")).expect("the stage has an output");
        let tree = tree.tree(&store.objects).expect("readable");
        let entry = tree.entries.values().next().expect("the output is not empty");
        match store.objects.verified_path(entry).expect("the object is there") {
            Location::Stored(path) => path,
            Location::Outside(path) => panic!("{} is the user's", path.display()),
        }
    }
}

/// A host in `folder`.
pub(super) fn host(folder: &Path) -> Host {
    Host {
        now: SystemTime::now,
        environment: BTreeMap::new(),
        folder: folder.to_owned(),
        executable: None,
        processors: 2,
        memory: None,
        stop: std::sync::Arc::default(),
        signalled: std::sync::Arc::default(),
    }
}

fn will(decision: &Decision) -> &'static str {
    match decision {
        Decision::Source(_) => "source",
        Decision::Reuse(..) => "reuse",
        Decision::Run(_) => "run",
        Decision::Unknown(_) => "unknown",
        Decision::Failed(_) => "fail",
        Decision::Blocked(_) => "blocked",
    }
}

impl Came {
    /// The outcome of a stage.
    pub(super) fn of(&self, stage: &str) -> &str {
        self.report.record.stages.get(stage).map_or("nothing", |stage| stage.became.name())
    }

    /// The stages that were computed or repaired, by name.
    pub(super) fn computed(&self) -> Vec<&str> {
        let stages = self.report.record.stages.iter();
        stages.filter(|(_, stage)| stage.became.is_computed()).map(|(name, _)| &**name).collect()
    }

    /// The text of an output.
    #[track_caller]
    pub(super) fn text(&self, output: &str) -> &str {
        self.texts.get(output).unwrap_or_else(|| panic!("no output `{output}` in {:?}", self.texts))
    }

    pub(super) fn texts(&self) -> &BTreeMap<String, String> {
        &self.texts
    }

    /// Fails unless every stage succeeded.
    #[track_caller]
    pub(super) fn done(self) -> Self {
        assert_eq!(self.report.record.ended.name(), "done", "{:#?}", self.report.failed);
        self
    }
}

struct Listener {
    events: Mutex<Vec<Event>>,
    /// Set when a stage prints a line.
    stop: Option<Arc<AtomicBool>>,
}

impl Watch for Listener {
    fn event(&self, event: &Event) {
        self.events.lock().expect("no panic").push(event.clone());
        if let (Some(stop), Event::Line { .. }) = (&self.stop, event) {
            stop.store(true, Ordering::SeqCst);
        }
    }
}

/// Makes a file look as if it was changed some seconds ago.
pub(super) fn touch(path: &Path, seconds: u64) {
    let file = File::options().write(true).open(path).expect("the file opens");
    file.set_modified(SystemTime::now() - Duration::from_secs(seconds)).expect("its time can be set");
}

/// A pipeline of stages.
pub(super) fn pipeline(stages: Vec<StageSpec>) -> Pipeline {
    Pipeline { name: "bench".into(), seed: 7, doc: None, stages, instances: Vec::new(), span: nowhere() }
}

/// Sets the seed of a pipeline and its stages.
pub(super) fn seeded(pipeline: &mut Pipeline, seed: u64) {
    pipeline.seed = seed;
    pipeline.stages.iter_mut().for_each(|stage| stage.seed = seed);
}

/// A stage of `kind` named `name`, with the output `out`.
pub(super) fn stage(name: &str, kind: &str) -> StageSpec {
    StageSpec {
        name: name.into(),
        base_name: name.into(),
        seed: 7,
        stage_type: kind.into(),
        implementation: kind.into(),
        inputs: Vec::new(),
        params: BTreeMap::new(),
        marks: BTreeSet::new(),
        outputs: vec![Output { port: "out".into(), ty: "text".into() }],
        span: nowhere(),
    }
}

/// Adds to a stage.
pub(super) trait With {
    /// A parameter.
    fn with(self, name: &str, value: Value) -> Self;
    /// A text parameter.
    fn add(self, text: &str) -> Self;
    /// References for a port: `stage` or `stage.port`.
    fn given(self, port: &str, from: &[&str]) -> Self;
    /// Other output ports.
    fn makes(self, ports: &[&str]) -> Self;
}

impl With for StageSpec {
    fn with(mut self, name: &str, value: Value) -> Self {
        self.params.insert(name.into(), value.into());
        self
    }

    fn add(self, text: &str) -> Self {
        self.with("add", Value::Text(text.into()))
    }

    fn given(mut self, port: &str, from: &[&str]) -> Self {
        let from = from.iter().map(|name| {
            let (stage, port) = name.split_once('.').unwrap_or((name, "out"));
            Reference { stage: stage.into(), port: port.into() }
        });
        self.inputs.push(Input { port: port.into(), from: from.collect(), span: nowhere() });
        self
    }

    fn makes(mut self, ports: &[&str]) -> Self {
        self.outputs = ports.iter().map(|port| Output { port: (*port).into(), ty: "text".into() }).collect();
        self
    }
}

/// `source` reads `path`.
pub(super) fn source(name: &str, kind: &str, path: &str) -> StageSpec {
    stage(name, kind).with("path", Value::Path(path.into()))
}

/// `name` wraps `from` in `add`.
pub(super) fn wrap(name: &str, from: &str, add: &str) -> StageSpec {
    stage(name, "wrap").given("from", &[from]).add(add)
}

fn nowhere() -> Span {
    Span::new(FileId(0), 0..0)
}
