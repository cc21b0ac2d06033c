//! `import-patches`: pictures and a table from another program as a patch set. Nothing in them is believed before it was checked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rayon::prelude::*;

use super::export::MANIFEST;
use crate::base::figure::{counted, size as bytes};
use crate::base::{Digest, Hasher};
use crate::data::class_names;
use crate::data::decode::Photograph;
use crate::data::leak::inner;
use crate::data::patches::{Label, Part, PatchRow, PatchSet, SetInfo, shard_head};
use crate::data::photographs::{LabelScheme, Official};
use crate::data::picture_size;
use crate::data::pixel_counts::PixelCounts;
use crate::data::source_tree::is_picture;
use crate::data::text_table::{TextRow, TextTable, is_missing};
use crate::lang::value::Value;
use crate::stage::{Cell, Ctx, Determinism, Implementation, Outcome, StageError, Summary, Table, Warning, Work};
use crate::store::{Entry, Tree};

/// The implementation of `import-patches`.
pub const IMPORT_PATCHES: Implementation = Implementation {
    name: "import-patches",
    version: 1,
    revised: None,
    seeded: false,
    determinism: Determinism::BitExact,
    check: None,
    foresee: None,
    narrow: None,
    work: Work::Whole(run),
};

/// Columns with a meaning of their own.
const KNOWN: [&str; 7] = ["path", "photograph", "x", "y", "patient", "split", "digest"];

/// Largest table that is read, bytes.
const LARGEST_TABLE: u64 = 1 << 30;

/// Largest picture file that is decoded, bytes per pixel of a patch, and bytes whatever its size.
const LARGEST_PICTURE: (u64, u64) = (64, 1 << 20);

/// Problems that an error lists.
const LISTED: usize = 5;

/// A patch as the table describes it.
struct ListedPatch {
    /// Path of its picture at `from`.
    picture: String,
    entry: Entry,
    x: u32,
    y: u32,
    labels: Vec<Label>,
}

/// A photograph as the table describes it.
#[derive(Default)]
struct ListedPhotograph {
    patient: Option<String>,
    official: Option<Official>,
    digest: Option<Digest>,
    patches: Vec<ListedPatch>,
}

fn run(ctx: &Ctx) -> Result<Outcome, StageError> {
    let tree = ctx.inputs.one("from")?;
    let (name, entry) = table_file(ctx, tree)?;
    if entry.size > LARGEST_TABLE {
        let text = format!("table `{name}` is larger than {}", bytes(LARGEST_TABLE));
        return Err(wrong(text, "divide it, or remove columns that are not needed"));
    }
    let table = TextTable::read(&name, &ctx.objects.read(&entry)?, None, &|_| true);
    let table = table.map_err(|all| all_wrong(&name, &all))?;
    let columns = TableColumns::find(ctx, &name, &table)?;
    let listed = listed(&name, &table, &columns, tree)?;
    let info = SetInfo {
        classes: columns.classes.iter().map(|(class, _)| class.clone()).collect(),
        size: ctx.params.count("size")? as u32,
        margin: ctx.params.count("margin")? as u32,
        masks: false,
        scale: ctx.params.count("scale")? as u32,
        resampled: false,
        min_pixels: 1,
        min_fraction: 0.0,
        labels: LabelScheme::default(),
    };
    let parts = listed.into_par_iter().map(|(name, photograph)| part(ctx, &info, name, photograph));
    let parts = parts.collect::<Result<Vec<_>, _>>()?;
    let set = PatchSet { info, embeddings: Vec::new(), parts };
    let summary = summary(&set, unused(tree, &name, &set, &table, &columns));
    Ok(Outcome { outputs: [("out".to_owned(), set.write(ctx.objects)?)].into(), summary, target: None })
}

fn wrong(text: impl Into<String>, hint: impl Into<String>) -> StageError {
    StageError::input("import-patches", text.into()).hint(hint.into()).field("from")
}

/// One error for several problems of a table.
fn all_wrong(name: &str, problems: &[String]) -> StageError {
    let mut text = format!("table `{name}`: {}", problems[..problems.len().min(LISTED)].join("; "));
    if problems.len() > LISTED {
        let more = counted((problems.len() - LISTED) as u64, "more problem", "more problems");
        text = format!("{text}; and {more}");
    }
    wrong(text, "`macula doc import-patches` describes its columns")
}

/// The table at `from`.
fn table_file(ctx: &Ctx, tree: &Tree) -> Result<(String, Entry), StageError> {
    if let Value::Text(wanted) = ctx.params.get("table") {
        let found = tree.get(wanted).map(|entry| (wanted.clone(), *entry));
        return found.ok_or_else(|| {
            let some: Vec<String> = tree.entries.keys().take(LISTED).map(|name| format!("`{name}`")).collect();
            let text = format!("`from` has no file `{wanted}`");
            StageError::input("missing-file", text).hint(format!("it has {}", some.join(", "))).field("table")
        });
    }
    let is_table = |name: &str| name == MANIFEST || name.ends_with(&format!("/{MANIFEST}"));
    let mut found = tree.entries.iter().filter(|(name, _)| is_table(name));
    match (found.next(), found.next()) {
        (Some((name, entry)), None) => Ok((name.clone(), *entry)),
        (first, _) => {
            let how_many = if first.is_some() { "several files" } else { "no file" };
            let text = format!("`from` has {how_many} `{MANIFEST}`");
            Err(StageError::input("missing-file", text).hint("name the table: `table \"NAME\"`").field("table"))
        }
    }
}

/// Positions of the columns of a table.
struct TableColumns {
    path: usize,
    photograph: usize,
    place: Option<[usize; 2]>,
    patient: Option<usize>,
    split: Option<usize>,
    digest: Option<usize>,
    classes: Vec<(String, usize)>,
}

impl TableColumns {
    fn find(ctx: &Ctx, name: &str, table: &TextTable) -> Result<Self, StageError> {
        let required = |column: &str| table.column(column).map_err(|error| all_wrong(name, &[error]));
        let optional = |column: &str| table.column(column).ok();
        let place = match [optional("x"), optional("y")] {
            [Some(x), Some(y)] => Some([x, y]),
            [None, None] => None,
            _ => return Err(all_wrong(name, &["`x` and `y` belong together, and it has only one of them".to_owned()])),
        };
        let given: Vec<String> = ctx.params.list("classes").iter().map(Value::to_string).collect();
        let classes: Vec<String> = if given.is_empty() {
            table
                .heads()
                .iter()
                .map(|head| head.trim().to_owned())
                .filter(|head| !KNOWN.contains(&head.as_str()))
                .collect()
        } else {
            given
        };
        if classes.is_empty() {
            let text = format!("table `{name}` has no column of a class");
            return Err(StageError::input("no-classes", text)
                .hint("add one with 1, 0 or nothing per patch")
                .field("from"));
        }
        let names: Vec<&str> = classes.iter().map(String::as_str).collect();
        class_names::check(&names, &|_| "classes".to_owned())?;
        let classes = classes.into_iter().map(|class| required(&class).map(|at| (class, at)));
        Ok(Self {
            path: required("path")?,
            photograph: required("photograph")?,
            place,
            patient: optional("patient"),
            split: optional("split"),
            digest: optional("digest"),
            classes: classes.collect::<Result<_, _>>()?,
        })
    }
}

/// Photographs and their patches, by name.
fn listed(
    name: &str,
    table: &TextTable,
    columns: &TableColumns,
    tree: &Tree,
) -> Result<BTreeMap<String, ListedPhotograph>, StageError> {
    let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut found: BTreeMap<String, ListedPhotograph> = BTreeMap::new();
    let mut places = BTreeSet::new();
    let mut problems = Vec::new();
    for row in &table.rows {
        let result = read_row(row, columns, folder, tree).and_then(|(photograph, facts, patch)| {
            if !places.insert((photograph.clone(), patch.x, patch.y)) {
                return Err(format!("photograph `{photograph}` has a second patch at x {} y {}", patch.x, patch.y));
            }
            let known = found.entry(photograph.clone()).or_insert_with(|| facts.without_patches());
            let same = (&known.patient, known.official, known.digest) == (&facts.patient, facts.official, facts.digest);
            if !same {
                return Err(format!("photograph `{photograph}` has another patient, split or digest than before"));
            }
            known.patches.push(patch);
            Ok(())
        });
        problems.extend(result.err().map(|problem| format!("{}: {problem}", table.place(row))));
    }
    let lower: BTreeSet<String> = found.keys().map(|name| name.to_lowercase()).collect();
    if lower.len() < found.len() {
        problems.push("names of photographs differ only in case".to_owned());
    }
    if found.is_empty() && problems.is_empty() {
        problems.push("it has no row".to_owned());
    }
    if problems.is_empty() { Ok(found) } else { Err(all_wrong(name, &problems)) }
}

impl ListedPhotograph {
    /// The same without patches.
    fn without_patches(&self) -> Self {
        Self { patient: self.patient.clone(), official: self.official, digest: self.digest, patches: Vec::new() }
    }
}

/// A path of the table, which is in `folder`, as a name at `from`.
fn at_from(folder: &str, path: &str) -> String {
    let path = path.replace('\\', "/");
    let path = path.trim_start_matches("./");
    if folder.is_empty() { path.to_owned() } else { format!("{folder}/{path}") }
}

/// The photograph of a row, what the row says of it, and its patch.
fn read_row(
    row: &TextRow,
    columns: &TableColumns,
    folder: &str,
    tree: &Tree,
) -> Result<(String, ListedPhotograph, ListedPatch), String> {
    let text = |column: usize, name: &str| row.cell(column).ok_or_else(|| format!("`{name}` is empty"));
    let given = |column: Option<usize>| column.and_then(|at| row.cell(at)).filter(|cell| !is_missing(cell));
    let photograph = text(columns.photograph, "photograph")?;
    if let Some(why) = misnamed(photograph) {
        return Err(format!("photograph `{photograph}`: {why}"));
    }
    let picture = at_from(folder, text(columns.path, "path")?);
    let entry = *tree.get(&picture).ok_or_else(|| format!("`from` has no picture `{picture}`"))?;
    let number = |column: usize, name: &str| {
        let cell = text(column, name)?;
        let number = cell.parse::<u32>().ok().filter(|number| i32::try_from(*number).is_ok());
        number.ok_or_else(|| format!("`{name}` is `{cell}`, not a whole number of pixels"))
    };
    let [x, y] = match columns.place {
        Some([x, y]) => [number(x, "x")?, number(y, "y")?],
        None => [0, 0],
    };
    let official = given(columns.split).map(|cell| {
        Official::named(cell).ok_or_else(|| format!("`split` is `{cell}`, not `train`, `valid` or `test`"))
    });
    let digest = given(columns.digest)
        .map(|cell| cell.parse::<Digest>().map_err(|_| format!("`digest` is `{cell}`, not 64 hexadecimal digits")));
    let label = |(class, column): &(String, usize)| match row.cell(*column) {
        Some("1" | "1.0" | "true" | "True") => Ok(Label::Present),
        Some("0" | "0.0" | "false" | "False") => Ok(Label::Absent),
        None => Ok(Label::Unknown),
        Some(cell) if is_missing(cell) => Ok(Label::Unknown),
        Some(cell) => Err(format!("class `{class}` is `{cell}`, not 1, 0 or nothing")),
    };
    let facts = ListedPhotograph {
        patient: given(columns.patient).map(str::to_owned),
        official: official.transpose()?,
        digest: digest.transpose()?,
        patches: Vec::new(),
    };
    let labels = columns.classes.iter().map(label).collect::<Result<_, _>>()?;
    Ok((photograph.to_owned(), facts, ListedPatch { picture, entry, x, y, labels }))
}

/// Why a photograph cannot have this name, which becomes that of a file.
fn misnamed(name: &str) -> Option<&'static str> {
    if name.len() > 200 || name.chars().any(char::is_control) {
        return Some("names have at most 200 bytes and no control characters");
    }
    (name.contains(['/', '\\']) || name.starts_with('.'))
        .then_some("names have no `/` or `\\`, and do not begin with a dot")
}

/// The patches of one photograph, with their pixels in the store.
fn part(ctx: &Ctx, info: &SetInfo, name: String, mut listed: ListedPhotograph) -> Result<Part, StageError> {
    listed.patches.sort_by_key(|patch| (patch.y, patch.x));
    let mut identity = Hasher::new("macula imported photograph 1");
    identity.text(&name);
    let mut shard = ctx.objects.writer()?;
    shard.add(&shard_head(listed.patches.len(), info))?;
    let (side, mut decoded) = (info.side(), Photograph::default());
    let mut rows = Vec::with_capacity(listed.patches.len());
    for (index, patch) in listed.patches.into_iter().enumerate() {
        ctx.stop.check()?;
        identity.text(&patch.entry.digest.to_string());
        let (per_pixel, least) = LARGEST_PICTURE;
        if patch.entry.size > per_pixel * (side * side) as u64 + least {
            let text =
                format!("picture `{}` has {}, too much for {side} x {side} px", patch.picture, bytes(patch.entry.size));
            return Err(wrong(text, "write patches as PNG with 8 bits per channel"));
        }
        let file = ctx.objects.read(&patch.entry)?;
        // A small file may claim to be a huge picture.
        let claimed = picture_size::of_bytes(&file).filter(|size| *size != [side as u32; 2]);
        if let Some([width, height]) = claimed {
            return Err(other_size(&patch.picture, [width as usize, height as usize], info));
        }
        decoded.decode(&file, &patch.picture).map_err(|error| error.field("from"))?;
        if [decoded.width, decoded.height] != [side; 2] {
            return Err(other_size(&patch.picture, [decoded.width, decoded.height], info));
        }
        shard.add(&decoded.rgb)?;
        let mut counts = PixelCounts::default();
        counts.add(&inner(&decoded.rgb, info.size, info.margin));
        let classes = patch.labels.len();
        rows.push(PatchRow {
            x: patch.x,
            y: patch.y,
            index: index as u32,
            copies: 1,
            labels: patch.labels,
            mask_pixels: vec![0; classes],
            mask_distance: vec![f32::NAN; classes],
            mean: counts.mean(),
            deviation: counts.deviation(),
            histogram: Arc::new(counts.histogram()),
        });
    }
    Ok(Part {
        photograph: name,
        digest: listed.digest.unwrap_or_else(|| identity.finish()),
        patient: listed.patient,
        official: listed.official,
        shard: shard.finish()?,
        embeddings: BTreeMap::new(),
        rows,
    })
}

fn other_size(picture: &str, [width, height]: [usize; 2], info: &SetInfo) -> StageError {
    let side = info.side();
    let with = if info.margin > 0 { format!(" with a margin of {} px", info.margin) } else { String::new() };
    let text = format!(
        "picture `{picture}` is {width} x {height} px, but patches of {} px{with} are {side} x {side} px",
        info.size
    );
    // With the margin that is set.
    let fitting = match width.checked_sub(2 * info.margin as usize) {
        Some(size @ 1..) => format!("set `size {size}`"),
        _ => format!("set `size {width}` and `margin 0`"),
    };
    let more = width.checked_sub(info.size as usize).filter(|more| more.is_multiple_of(2));
    let hint = match more {
        _ if width != height => "write square patches of one size".to_owned(),
        Some(more) => format!("{fitting}, or `margin {}`", more / 2),
        None => fitting,
    };
    wrong(text, hint)
}

/// Pictures at `from` that the table does not name.
fn unused(tree: &Tree, name: &str, set: &PatchSet, table: &TextTable, columns: &TableColumns) -> Vec<Warning> {
    let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
    let cells = table.rows.iter().filter_map(|row| row.cell(columns.path));
    let used: BTreeSet<String> = cells.map(|path| at_from(folder, path)).collect();
    let mut left = tree.entries.keys().filter(|file| is_picture(file) && !used.contains(*file));
    let mut warnings = Vec::new();
    if let Some(first) = left.next() {
        let count = 1 + left.count() as u64;
        let text = format!("{} not in the table, such as `{first}`", counted(count, "picture is", "pictures are"));
        warnings.push(Warning { code: "unused-file".to_owned(), text });
    }
    for (class, name) in set.info.classes.iter().enumerate() {
        let mut rows = set.parts.iter().flat_map(|part| &part.rows);
        if !rows.any(|row| row.labels[class] == Label::Present) {
            let text = format!("no patch has `{name}`, so it can be neither learnt nor evaluated");
            warnings.push(Warning { code: "no-positives".to_owned(), text });
        }
    }
    warnings
}

fn summary(set: &PatchSet, warnings: Vec<Warning>) -> Summary {
    let count = |class: usize, wanted: Label| {
        let rows = set.parts.iter().flat_map(|part| &part.rows);
        Cell::Int(rows.filter(|row| row.labels[class] == wanted).count() as i64)
    };
    let row = |(class, name): (usize, &String)| {
        let mut cells = vec![Cell::Text(name.clone())];
        cells.extend([Label::Present, Label::Absent, Label::Unknown].map(|label| count(class, label)));
        cells
    };
    Summary {
        headline: format!(
            "{} of {}",
            counted(set.len(), "patch", "patches"),
            counted(set.parts.len() as u64, "photograph", "photographs")
        ),
        tables: vec![Table {
            title: "labels".to_owned(),
            columns: ["class", "present", "absent", "unknown"].map(str::to_owned).to_vec(),
            rows: set.info.classes.iter().enumerate().map(row).collect(),
        }],
        warnings,
        ..Summary::default()
    }
}
