//! Small stages with predictable outputs, so that tests see what was computed and from what.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use macula::stage::{
    Cell, Ctx, Determinism, Files, Implementation, Item, ItemResult, Outcome, Params, StageError, Summary, Table,
    Tolerance, Warning, Work,
};
use macula::store::{Location, StoreError, Tree};
use rayon::prelude::*;

/// All of them.
pub(super) const ALL: &[Implementation] = &[
    exact("file", Work::Source(file)),
    exact("folder", Work::Source(folder)),
    exact("wrap", Work::Whole(wrap)),
    exact("same", Work::Whole(same)),
    exact("first-line", Work::Whole(first_line)),
    exact("halves", Work::Whole(halves)),
    exact("join", Work::Whole(join)),
    exact("each", Work::Map { items, one, gather, enumeration_params: &[] }),
    exact("numbered", Work::Map { items: numbers, one: numbered, gather, enumeration_params: &["count"] }),
    exact("page", Work::Report(page)),
    exact("refuses", Work::Whole(refuses)),
    exact("panics", Work::Whole(panics)),
    exact("waits", Work::Whole(waits)),
    exact("flaky", Work::Whole(flaky)),
    exact("spoils", Work::Whole(spoils)),
    exact("takes-path", Work::Whole(wrap)),
    Implementation {
        name: "draws",
        version: 1,
        revised: None,
        seeded: true,
        determinism: Determinism::PathExact {
            path: |_| "test-path".to_owned(),
            approximate: |_| false,
            tolerance: APART,
        },
        check: None,
        foresee: None,
        narrow: None,
        work: Work::Whole(draws),
    },
];

/// The tolerance between targets.
const APART: Tolerance = Tolerance { metrics: 0.1, exempt: &[] };

const fn exact(name: &'static str, work: Work) -> Implementation {
    Implementation {
        name,
        version: 1,
        revised: None,
        seeded: false,
        determinism: Determinism::BitExact,
        check: None,
        foresee: None,
        narrow: None,
        work,
    }
}

fn file(params: &Params, files: &dyn Files) -> Result<Outcome, StageError> {
    let mut tree = Tree::default();
    tree.insert("text", files.entry(&files.resolve(params.text("path")?))?);
    Ok(outcome("out", tree, "a file"))
}

fn folder(params: &Params, files: &dyn Files) -> Result<Outcome, StageError> {
    let folder = files.resolve(params.text("path")?);
    let mut tree = Tree::default();
    for name in files.list(&folder)? {
        tree.insert(name.clone(), files.entry(&folder.join(&name))?);
    }
    tree.insert("index", files.put(format!("{} files", tree.entries.len()).as_bytes())?);
    Ok(outcome("out", tree, "a folder"))
}

/// `add(text)`; reports the length of its input.
fn wrap(ctx: &Ctx) -> Result<Outcome, StageError> {
    let text = text(ctx, ctx.inputs.one("from")?)?;
    let mut outcome = made(ctx, &format!("{}({text})", ctx.params.text("add")?))?;
    outcome.summary.tables.push(Table {
        title: "length".into(),
        columns: vec!["of".into(), "characters".into()],
        rows: vec![vec![Cell::Text("input".into()), Cell::Int(text.len() as i64)]],
    });
    if text.len() > 1000 {
        outcome.summary.warnings.push(Warning { code: "long".into(), text: "`from` is long".into() });
    }
    Ok(outcome)
}

/// Passes on its input unread.
fn same(ctx: &Ctx) -> Result<Outcome, StageError> {
    Ok(outcome("out", ctx.inputs.one("from")?.clone(), "the same"))
}

fn first_line(ctx: &Ctx) -> Result<Outcome, StageError> {
    let text = text(ctx, ctx.inputs.one("from")?)?;
    made(ctx, text.lines().next().unwrap_or_default())
}

/// Two outputs.
fn halves(ctx: &Ctx) -> Result<Outcome, StageError> {
    let text = text(ctx, ctx.inputs.one("from")?)?;
    let (left, right) = text.split_at(text.len() / 2);
    let mut outcome = Outcome::default();
    for (port, half) in [("left", left), ("right", right)] {
        let mut tree = Tree::default();
        tree.insert("text", ctx.objects.put(half.as_bytes())?);
        outcome.outputs.insert(port.into(), tree);
    }
    Ok(outcome)
}

fn join(ctx: &Ctx) -> Result<Outcome, StageError> {
    let texts: Result<Vec<String>, StageError> =
        ctx.inputs.many("of").iter().map(|named| text(ctx, &named.tree)).collect();
    made(ctx, &texts?.join("+"))
}

fn items(ctx: &Ctx) -> Result<Vec<Item>, StageError> {
    let tree = ctx.inputs.one("from")?;
    let items = tree.entries.iter().filter(|(name, _)| *name != "index").map(|(name, entry)| {
        let mut tree = Tree::default();
        tree.insert("text", *entry);
        Item { name: name.clone(), tree, bytes_in_flight: entry.size }
    });
    Ok(items.collect())
}

/// The sum of the bytes, computed on all threads, and their number; large, so that it is mapped. Rejects `#`.
fn one(ctx: &Ctx, item: &Item) -> Result<ItemResult, StageError> {
    let bytes = ctx.objects.read_in(&item.tree, "text")?.ok_or_else(|| StageError::Bug("no text".into()))?;
    if bytes.starts_with(b"#") {
        return Err(StageError::input("bad-item", format!("`{}` begins with `#`", item.name)));
    }
    if ctx.params.get("slow") != &macula::lang::value::Value::None {
        std::thread::sleep(Duration::from_millis(ctx.params.count("slow")? as u64));
    }
    let sum: u64 = bytes.par_iter().map(|byte| u64::from(*byte)).sum();
    let mut writer = ctx.objects.writer()?;
    writer.add(format!("{}{}:{sum}", ctx.params.text("add")?, item.name).as_bytes())?;
    writer.add(&vec![b'.'; 100_000])?;
    let mut tree = Tree::default();
    tree.insert(item.name.clone(), writer.finish()?);
    Ok(tree.into())
}

#[expect(clippy::unnecessary_wraps, reason = "the contract's signature")]
fn gather(_ctx: &Ctx, results: &[(Item, Tree)]) -> Result<Outcome, StageError> {
    let mut all = Tree::default();
    for (_, tree) in results {
        all.entries.extend(tree.entries.clone());
    }
    Ok(outcome("out", all, &format!("{} items", results.len())))
}

fn numbers(ctx: &Ctx) -> Result<Vec<Item>, StageError> {
    let item = |number| Item { name: format!("{number:03}"), tree: Tree::default(), bytes_in_flight: 1 };
    Ok((0..ctx.params.count("count")?).map(item).collect())
}

/// Outputs its number, and that it does not know how many there are.
fn numbered(ctx: &Ctx, item: &Item) -> Result<ItemResult, StageError> {
    let text = format!("{}{} of {}\n", ctx.params.text("add")?, item.name, ctx.params.get("count"));
    let mut tree = Tree::default();
    tree.insert(item.name.clone(), ctx.objects.put(text.as_bytes())?);
    Ok(tree.into())
}

/// Names and headlines of its inputs.
fn page(ctx: &Ctx) -> Result<Outcome, StageError> {
    let lines: Vec<String> = ctx
        .inputs
        .many("of")
        .iter()
        .map(|named| format!("{}: {}", named.name, named.summary.as_ref().map_or("none", |summary| &summary.headline)))
        .collect();
    made(ctx, &lines.join("\n"))
}

fn refuses(ctx: &Ctx) -> Result<Outcome, StageError> {
    let error = StageError::input("refused", "this stage refuses all").hint("do not use it").field("add");
    if text(ctx, ctx.inputs.one("from")?)?.contains("please") { made(ctx, "well") } else { Err(error) }
}

fn panics(_ctx: &Ctx) -> Result<Outcome, StageError> {
    panic!("as it should")
}

/// Writes a checkpoint and waits for the stop signal; finishes at once if it finds the checkpoint.
fn waits(ctx: &Ctx) -> Result<Outcome, StageError> {
    let checkpoint = ctx.partial.join("checkpoint");
    if checkpoint.exists() {
        return made(ctx, "from the checkpoint");
    }
    std::fs::write(checkpoint, "half").map_err(|error| StageError::Bug(error.to_string()))?;
    ctx.progress.line("waiting");
    loop {
        ctx.stop.check()?;
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Fails a number of times like a network disk that does not answer, then succeeds.
fn flaky(ctx: &Ctx) -> Result<Outcome, StageError> {
    let path = ctx.partial.join("tries");
    let tries = std::fs::read(&path).map_or(0, |tries| tries.len());
    if tries < ctx.params.count("times")? {
        let disk = |error| StageError::Store(StoreError::Disk { doing: "read", path: path.clone(), error });
        std::fs::write(&path, vec![b'.'; tries + 1]).map_err(disk)?;
        return Err(disk(std::io::ErrorKind::TimedOut.into()));
    }
    made(ctx, "well")
}

/// Damages its input, however often that is repaired, and reads it.
fn spoils(ctx: &Ctx) -> Result<Outcome, StageError> {
    let tree = ctx.inputs.one("from")?;
    for entry in tree.entries.values() {
        let Location::Stored(path) = ctx.objects.verified_path(entry)? else { continue };
        let spoilt = std::fs::remove_file(&path).and_then(|()| std::fs::write(&path, "spoilt"));
        spoilt.map_err(|error| StageError::Bug(error.to_string()))?;
    }
    made(ctx, &text(ctx, tree)?)
}

/// Random bytes.
fn draws(ctx: &Ctx) -> Result<Outcome, StageError> {
    made(ctx, &ctx.streams.stream("test", 0, b"").bits().to_string())
}

/// How often `wrap` and similar stages computed something in this process; for tests with child processes.
pub(super) static MADE: AtomicU64 = AtomicU64::new(0);

fn made(ctx: &Ctx, text: &str) -> Result<Outcome, StageError> {
    MADE.fetch_add(1, Ordering::SeqCst);
    let mut tree = Tree::default();
    tree.insert("text", ctx.objects.put(text.as_bytes())?);
    Ok(outcome("out", tree, &format!("{} characters", text.len())))
}

fn text(ctx: &Ctx, tree: &Tree) -> Result<String, StageError> {
    let mut all = String::new();
    for entry in tree.entries.values() {
        all.push_str(&String::from_utf8_lossy(&ctx.objects.read(entry)?));
    }
    Ok(all)
}

fn outcome(port: &str, tree: Tree, headline: &str) -> Outcome {
    let summary = Summary { headline: headline.to_owned(), ..Summary::default() };
    Outcome { outputs: [(port.to_owned(), tree)].into(), summary, target: None }
}

/// If a folder contains no hidden files: for tests that look at what a run left.
pub(super) fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none())
}
