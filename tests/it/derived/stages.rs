//! The stages themselves, called as by the runner: inputs, outputs and summaries.

use macula::base::Digest;
use macula::data::patches::{Part, PatchSet, SetInfo, ShardBytes};
use macula::lang::value::Value;
use macula::stage::{Cell, Ctx, Inputs, Named, Outcome, Params, Progress, StageError, Stop, Table, Warning, Work};
use macula::stages::find;
use macula::store::{Objects, Tree};
use tempfile::TempDir;

use super::sets::{part, set, streams};

struct Quiet;

impl Progress for Quiet {
    fn step(&self, _: u64, _: u64, _: &str) {}
    fn line(&self, _: &str) {}
    fn warn(&self, _: &Warning) {}
}

/// A store and the inputs of a stage.
struct Bench {
    folder: TempDir,
    objects: Objects,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let objects = Objects::open(folder.path()).expect("a store");
        Self { folder, objects }
    }

    /// Stores a set whose patches have pixels: `pixel(photograph, patch)` gives the bytes of a 16 px patch.
    fn store(&self, mut set: PatchSet, pixel: impl Fn(usize, usize) -> Vec<u8>) -> Tree {
        for (at, part) in set.parts.iter_mut().enumerate() {
            self.fill(part, &set.info, |row| pixel(at, row));
        }
        set.write(&self.objects).expect("written")
    }

    /// Stores only the tables of a set, for stages that read no pixels.
    fn store_tables(&self, set: &PatchSet) -> Tree {
        set.write(&self.objects).expect("written")
    }

    fn fill(&self, part: &mut Part, info: &SetInfo, pixel: impl Fn(usize) -> Vec<u8>) {
        let mut shard = ShardBytes::new(part.rows.len(), info);
        let size = info.side() * info.side() * 3;
        for (row, facts) in part.rows.iter_mut().enumerate() {
            let pixels = pixel(row);
            shard.parts().0[row * size..][..size].copy_from_slice(&pixels);
            let mean = pixels.iter().map(|level| f32::from(*level)).sum::<f32>() / size as f32;
            facts.mean = [mean; 3];
            facts.deviation = [if pixels.iter().all(|level| *level == pixels[0]) { 0.0 } else { 20.0 }; 3];
        }
        part.shard = self.objects.put(&shard.finish()).expect("stored");
    }

    fn run(&self, stage: &str, from: &Tree, params: &[(&str, Value)]) -> Result<Outcome, StageError> {
        self.run_with(stage, from, &[], params)
    }

    /// As [`Self::run`], with the sets of a split at `like`.
    fn run_with(
        &self,
        stage: &str,
        from: &Tree,
        like: &[Tree],
        params: &[(&str, Value)],
    ) -> Result<Outcome, StageError> {
        let Some(Work::Whole(run)) = find(stage).map(|implementation| implementation.work) else {
            panic!("`{stage}` is a whole stage")
        };
        let params = Params(params.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect());
        let given = |tree: &Tree| Named {
            stage: "patches".to_owned(),
            name: "patches".to_owned(),
            tree: tree.clone(),
            summary: None,
        };
        let mut inputs = Inputs([("from".to_owned(), vec![given(from)])].into());
        if !like.is_empty() {
            inputs.0.insert("like".to_owned(), like.iter().map(given).collect());
        }
        let ctx = Ctx {
            params: &params,
            inputs: &inputs,
            streams: streams(7),
            objects: &self.objects,
            partial: self.folder.path(),
            progress: &Quiet,
            stop: &Stop::default(),
        };
        run(&ctx)
    }

    fn read(&self, outcome: &Outcome, port: &str) -> PatchSet {
        PatchSet::read(&outcome.outputs[port], &self.objects).expect("read back")
    }
}

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

fn split_by(by: &str) -> Vec<(&'static str, Value)> {
    vec![("by", text(by)), ("train", Value::Real(0.5)), ("valid", Value::Real(0.25)), ("test", Value::Real(0.25))]
}

/// A unique patch: a ramp that starts at its own level.
fn ramp(photograph: usize, patch: usize) -> Vec<u8> {
    (0..16 * 16 * 3).map(|at| ((at / 3 + 20 * photograph + 5 * patch) % 200) as u8).collect()
}

/// A table as lines of text, cells separated by blanks.
fn lines(table: &Table) -> Vec<String> {
    let cell = |cell: &Cell| match cell {
        Cell::Int(value) => value.to_string(),
        Cell::Real(value) => format!("{value:?}"),
        Cell::Text(value) => value.clone(),
        Cell::Null(()) => "-".to_owned(),
    };
    let row = |row: &Vec<Cell>| row.iter().map(cell).collect::<Vec<_>>().join(" ");
    std::iter::once(table.columns.join(" ")).chain(table.rows.iter().map(row)).collect()
}

fn input_error(result: Result<Outcome, StageError>) -> (&'static str, String, Option<String>) {
    match result.expect_err("it should be refused") {
        StageError::Input { code, text, field, .. } => (code, text, field),
        other => panic!("expected an input error, got {other}"),
    }
}

#[test]
fn filter_black_shows_counts_before_and_after() {
    let bench = Bench::new();
    let mut made = set(vec![part("a", "1000 0000 0000"), part("b", "0000*2")]);
    for row in [1, 2] {
        let mut histogram = [0; 256];
        histogram[3] = 256;
        made.parts[0].rows[row].histogram = histogram.into();
    }
    let tree = bench.store(made, ramp);
    let done = bench.run("filter-black", &tree, &[("below", Value::Real(10.0)), ("share", Value::Real(0.9))]).unwrap();
    assert_eq!(done.summary.headline, "3 patches kept, 2 black dropped (2 healthy, 0 with a lesion)");
    // The numbers add up if labels are unknown.
    let mut unknown = set(vec![part("a", "00?0 0000")]);
    for row in &mut unknown.parts[0].rows {
        let mut histogram = [0; 256];
        histogram[3] = 256;
        row.histogram = histogram.into();
    }
    let tree_of_unknown = bench.store(unknown, ramp);
    let params = [("below", Value::Real(10.0)), ("share", Value::Real(0.9))];
    let dropped = bench.run("filter-black", &tree_of_unknown, &params).unwrap();
    assert_eq!(dropped.summary.headline, "0 patches kept, 2 black dropped (1 healthy, 0 with a lesion, 1 unknown)");
    assert_eq!(
        lines(&done.summary.tables[0]),
        [
            " photographs patches healthy lesion MA HE EX SE",
            "before 2 5 4 1 1 0 0 0",
            "kept 2 3 2 1 1 0 0 0",
            "dropped 1 2 2 0 0 0 0 0",
        ]
    );
    assert_eq!(bench.read(&done, "kept").len(), 3);
    // Nothing is copied: the shards are those of the source.
    let shards = |tree: &Tree| tree.under("shards/").map(|(name, entry)| (name.to_owned(), *entry)).collect::<Vec<_>>();
    assert_eq!(shards(&done.outputs["kept"]), shards(&tree));
    assert_eq!(shards(&done.outputs["dropped"]).len(), 1);
}

#[test]
fn split_names_each_photograph_on_one_side_and_says_that_patients_are_unknown() {
    let bench = Bench::new();
    let parts = (0..8).map(|at| part(&format!("p{at}"), "1000 0000*3")).collect();
    let tree = bench.store(set(parts), ramp);
    let done = bench.run("split", &tree, &split_by("patient")).unwrap();
    assert_eq!(
        done.summary.headline,
        "8 photographs into 4 train, 2 valid and 2 test; by photograph, as patients are unknown"
    );
    let warned = |done: &Outcome| done.summary.warnings.iter().any(|warning| warning.code == "unknown-patients");
    assert!(warned(&done));
    assert!(!warned(&bench.run("split", &tree, &split_by("image")).unwrap()));
    assert_eq!(
        lines(&done.summary.tables[1]),
        [
            "split requested patches MA HE EX SE",
            "train 0.5 0.5 0.5 - - -",
            "valid 0.25 0.25 0.25 - - -",
            "test 0.25 0.25 0.25 - - -",
        ]
    );
    let lacking: Vec<&str> = done.summary.warnings.iter().map(|warning| warning.text.as_str()).take(3).collect();
    assert_eq!(lacking[0], "the `train` split has no patch with `HE`; no other split has any");
    let names = |port: &str| bench.read(&done, port).parts.into_iter().map(|part| part.photograph).collect::<Vec<_>>();
    let mut all = [names("train"), names("valid"), names("test")].concat();
    all.sort();
    assert_eq!(all, ["p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7"]);
}

#[test]
fn another_cut_of_the_same_photographs_goes_to_the_same_sides() {
    let bench = Bench::new();
    let parts = (0..8).map(|at| part(&format!("p{at}"), "1000 0000*3")).collect();
    let coarse = bench.store(set(parts), ramp);
    let done = bench.run("split", &coarse, &split_by("image")).unwrap();
    let sets = ["train", "valid", "test"].map(|port| done.outputs[port].clone());
    // Other patches, with other labels, of seven of the photographs: by its own counts, the split would be another one.
    let parts = (0..7).rev().map(|at| part(&format!("p{at}"), if at < 3 { "0110*5" } else { "0000" })).collect();
    let fine = bench.store(set(parts), ramp);
    let alike = bench.run_with("split", &fine, &sets, &split_by("patient")).unwrap();
    let names = |done: &Outcome, port: &str| -> Vec<String> {
        bench.read(done, port).parts.into_iter().map(|part| part.photograph).filter(|name| name != "p7").collect()
    };
    for port in ["train", "valid", "test"] {
        let (mut here, there) = (names(&alike, port), names(&done, port));
        here.sort();
        assert_eq!(here, there, "{port}");
    }
    assert!(alike.summary.headline.ends_with("; each as in the split at `like`"), "{}", alike.summary.headline);
    assert!(alike.summary.warnings.iter().all(|warning| warning.code != "unknown-patients"));

    let few = bench.store(set(vec![part("p0", "1000")]), ramp);
    let of_few = bench.run_with("split", &few, &sets, &split_by("image")).unwrap();
    let empty: Vec<&str> = of_few
        .summary
        .warnings
        .iter()
        .filter(|warning| warning.code == "empty-side")
        .map(|warning| warning.text.as_str())
        .collect();
    assert_eq!(empty.len(), 2);
    assert!(empty[0].ends_with("the split at `like` has none of these photographs there"), "{empty:?}");

    let more = (0..9).map(|at| part(&format!("p{at}"), "1000")).chain([part("q", "1000")]).collect();
    let more = bench.store(set(more), ramp);
    let (code, text, field) = input_error(bench.run_with("split", &more, &sets, &split_by("image")));
    assert_eq!((code, field.as_deref()), ("unknown-photograph", Some("like")));
    assert_eq!(text, "photograph `p8` is in none of the sets at `like` (2 photographs in all)");
    let other = Part { patient: Some("P".to_owned()), ..part("p0", "1000") };
    let other = bench.store(set(vec![other]), ramp);
    let (_, text, _) = input_error(bench.run_with("split", &other, &sets, &split_by("image")));
    assert_eq!(text, "photograph `p0` is of patient `P` here, and of an unknown patient at `like`");
}

fn by_names() -> Vec<(&'static str, Value)> {
    let side = |name: &str| Value::List(vec![text(name)]);
    let names = [("valid".to_owned(), side("b")), ("test".to_owned(), side("c"))];
    let mut params = split_by("names");
    params.push(("names", Value::Map(names.into())));
    params
}

#[test]
fn a_set_without_names_is_meant_to_be_empty() {
    let bench = Bench::new();
    let tree = bench.store(set(vec![part("a", "1111"), part("c", "1111")]), ramp);
    let mut params = split_by("names");
    params.push(("names", Value::Map([("test".to_owned(), Value::List(vec![text("c")]))].into())));
    let done = bench.run("split", &tree, &params).unwrap();
    assert!(bench.read(&done, "valid").is_empty());
    assert_eq!(done.summary.warnings.iter().map(|warning| warning.code.as_ref()).collect::<Vec<&str>>(), [""; 0]);
}

#[test]
fn a_patient_on_two_sides_is_a_leak() {
    let bench = Bench::new();
    let of = |name: &str, patient: &str| Part { patient: Some(patient.to_owned()), ..part(name, "1000") };
    let tree = bench.store(set(vec![of("a", "Q"), of("b", "P"), of("c", "P")]), ramp);
    let (code, text, field) = input_error(bench.run("split", &tree, &by_names()));
    assert_eq!((code, field.as_deref()), ("leak", Some("by")));
    assert_eq!(text, "patient `P` is in two splits: `b` in `valid` and `c` in `test`");
}

#[test]
fn a_photograph_on_two_sides_is_a_leak_whatever_its_name() {
    let bench = Bench::new();
    let same = |name: &str| Part { digest: Digest::of(b"same"), ..part(name, "1000") };
    let tree = bench.store(set(vec![same("a"), part("b", "1000"), same("c")]), ramp);
    let (code, text, _) = input_error(bench.run("split", &tree, &by_names()));
    assert_eq!(code, "leak");
    assert_eq!(text, "the same photograph is in two splits: `a` in `train` and `c` in `test` are identical files");
}

#[test]
fn a_patch_on_two_sides_is_a_leak_unless_it_is_constant() {
    let bench = Bench::new();
    let made = || set(vec![part("a", "1000*3"), part("b", "1000*3"), part("c", "1000*3")]);
    // The last patch of `a` is the second of `b`; all their first patches are black.
    let pixel = |photograph: usize, patch: usize| match (photograph, patch) {
        (_, 0) => vec![0; 16 * 16 * 3],
        (0, 2) | (1, 1) => ramp(9, 9),
        _ => ramp(photograph, patch),
    };
    let (code, text, _) = input_error(bench.run("split", &bench.store(made(), pixel), &by_names()));
    assert_eq!(code, "leak");
    assert_eq!(text, "the same patch is in two splits: x 32 y 0 of `a` in `train` and x 16 y 0 of `b` in `valid`");

    // The same means and histograms are not enough: the pixels decide.
    let turned = |photograph: usize, patch: usize| match (photograph, patch) {
        (1, 1) => ramp(9, 9).chunks_exact(3).rev().flatten().copied().collect(),
        _ => pixel(photograph, patch),
    };
    assert!(bench.run("split", &bench.store(made(), turned), &by_names()).is_ok());
}

#[test]
fn rebalance_marks_its_set_as_resampled_and_shows_counts() {
    let bench = Bench::new();
    let tree = bench.store(set(vec![part("a", "1000*4 0001*2 0000*9")]), ramp);
    let params = [
        ("lesions", text("undersample")),
        ("lesions.to", text("smallest")),
        ("healthy.per-lesion-patch", Value::Real(1.5)),
        ("undetermined", text("drop")),
    ];
    let done = bench.run("rebalance", &tree, &params).unwrap();
    assert_eq!(done.summary.headline, "10 patches of 15: 4 with a lesion (before: 6), 6 healthy (before: 9)");
    assert_eq!(
        lines(&done.summary.tables[1]),
        ["class before target after excess", "MA 4 2 2 0", "HE 0 - 0 0", "EX 0 - 0 0", "SE 2 2 2 0"]
    );
    assert!(bench.read(&done, "out").info.resampled);
}

#[test]
fn export_writes_folders_by_label() {
    let bench = Bench::new();
    let tree = bench.store(set(vec![part("a", "1010 0000"), part("b", "1?00 0?00")]), ramp);
    let done = bench.run("export", &tree, &[]).unwrap();
    let files: Vec<&str> = done.outputs["out"].entries.keys().map(String::as_str).collect();
    assert_eq!(
        files,
        [
            "MA+EX/a_x0_y0.png",
            "MA_unknown-HE/b_x0_y0.png",
            "healthy/a_x16_y0.png",
            "undetermined_unknown-HE/b_x16_y0.png"
        ]
    );
    let png = bench.objects.read_in(&done.outputs["out"], "healthy/a_x16_y0.png").unwrap().unwrap();
    let picture = image::load_from_memory(&png).expect("a PNG").into_rgb8();
    assert_eq!(picture.into_raw(), ramp(0, 1));
    assert_eq!(done.summary.headline, "4 patches as PNG in 4 folders");
}

#[test]
fn relabel_shows_counts_and_refuses_unknown_labels_where_masks_are_kept() {
    let bench = Bench::new();
    let mut made = set(vec![part("a", "1000 1000 0000"), part("b", "0100*2")]);
    made.parts[0].rows[0].mask_pixels[0] = 3;
    made.parts[0].rows[1].mask_pixels[0] = 40;
    made.parts[1].rows[0].mask_pixels[1] = 2;
    made.parts[1].rows[1].mask_pixels[1] = 2;
    let tree = bench.store(made.clone(), ramp);
    let params = |less: &str| [("min-pixels", Value::Int(4)), ("min-share", Value::Real(0.0)), ("less", text(less))];
    let done = bench.run("relabel", &tree, &params("drop")).unwrap();
    assert_eq!(done.summary.headline, "3 of 4 labels changed, 3 patches dropped");
    assert_eq!(
        lines(&done.summary.tables[0]),
        [" photographs patches healthy lesion MA HE EX SE", "before 2 5 1 4 2 2 0 0", "after 1 2 1 1 1 0 0 0",]
    );
    assert_eq!(done.summary.warnings[0].text, "no patch is positive for `HE` by this rule; 2 were before");
    let done = bench.run("relabel", &tree, &params("unknown")).unwrap();
    assert_eq!(done.summary.headline, "3 of 4 labels changed");
    made.info.masks = true;
    let masked = bench.store_tables(&made);
    let (code, _, field) = input_error(bench.run("relabel", &masked, &params("unknown")));
    assert_eq!((code, field.as_deref()), ("kept-masks", Some("less")));
}
