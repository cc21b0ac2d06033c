//! `near-duplicates`: finds photographs that show the same picture although their files differ, one item per photograph. What is compared is
//! in [`crate::data::duplicates`].

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::figure::{counted, noun};
use crate::data::decode::Photograph;
use crate::data::duplicates::{
    MOST, NearDuplicate, PairMember, PictureDetail, PictureFingerprint, PictureMatch, ShownPair, matches, sheet,
    to_parquet,
};
use crate::data::item;
use crate::data::orientation::Orientation;
use crate::data::slide_region;
use crate::stage::{
    Cell, Ctx, Determinism, Implementation, Item, ItemResult, Outcome, StageError, Summary, Table, Warning, Work,
};
use crate::store::{Entry, Tree};

/// The implementation of `near-duplicates`.
pub const NEAR_DUPLICATES: Implementation = Implementation {
    name: "near-duplicates",
    version: 2,
    revised: None,
    seeded: false,
    determinism: Determinism::BitExact,
    check: None,
    foresee: None,
    narrow: None,
    work: Work::Map { items, one, gather, enumeration_params: &[] },
};

/// Files of an item's result: what is compared as a whole, and to find overlaps.
const FINGERPRINT: &str = "fingerprint";
const DETAIL: &str = "detail";

/// Pairs that are shown side by side.
const SHOWN: usize = 24;

/// Pairs that a warning names.
const NAMED: usize = 5;

/// The photographs of all inputs, without masks: other masks change no fingerprint. Regions of slides are left out: tissue looks alike.
fn items(ctx: &Ctx) -> Result<Vec<Item>, StageError> {
    let mut all = Vec::new();
    for set in ctx.inputs.many("from") {
        for item in item::items(&set.tree, ctx.objects)? {
            if is_region(&set.tree, &item.name) {
                continue;
            }
            let mut tree = Tree::default();
            for (file, entry) in item.tree.entries.iter().filter(|(file, _)| file.starts_with("photograph.")) {
                tree.insert(file.clone(), *entry);
            }
            all.push(Item { tree, ..item });
        }
    }
    Ok(all)
}

fn is_region(set: &Tree, name: &str) -> bool {
    set.get(&format!("{name}/{}", slide_region::FILE)).is_some()
}

fn one(ctx: &Ctx, item: &Item) -> Result<ItemResult, StageError> {
    ctx.stop.check()?;
    let mut photograph = Photograph::default();
    decode(ctx, item, &mut photograph)?;
    let mut tree = Tree::default();
    tree.insert(FINGERPRINT, ctx.objects.put(&PictureFingerprint::of(&photograph).bytes())?);
    tree.insert(DETAIL, ctx.objects.put(&PictureDetail::of(&photograph).bytes())?);
    Ok(tree.into())
}

fn decode(ctx: &Ctx, item: &Item, photograph: &mut Photograph) -> Result<(), StageError> {
    let (file, entry) = file(item)?;
    let place = format!("{}/{file}", item.name);
    let shown = ctx.objects.outside(entry, &place).map_or(place, |path| path.display().to_string());
    photograph.decode(&ctx.objects.read(entry)?, &shown)?;
    Ok(())
}

fn file(item: &Item) -> Result<(&String, &Entry), StageError> {
    let missing = || StageError::Bug(format!("photograph `{}` without a picture", item.name));
    item.tree.entries.iter().next().ok_or_else(missing)
}

fn gather(ctx: &Ctx, results: &[(Item, Tree)]) -> Result<Outcome, StageError> {
    let wrong = |file: &str| StageError::Bug(format!("a result without `{file}`"));
    let bytes = |at: usize, file: &str| ctx.objects.read_in(&results[at].1, file)?.ok_or_else(|| wrong(file));
    let read = |at: usize| PictureFingerprint::from_bytes(&bytes(at, FINGERPRINT)?).ok_or_else(|| wrong(FINGERPRINT));
    let hashes = (0..results.len()).map(|at| Ok(read(at)?.hash(Orientation::UPRIGHT)));
    let hashes = hashes.collect::<Result<Vec<_>, StageError>>()?;
    let (done, all) = (AtomicU64::new(0), results.len() as u64);
    let step = || {
        // Once for whole pictures, and once more for overlaps.
        ctx.progress.step(done.fetch_add(1, Ordering::Relaxed) % all + 1, all, "photographs compared");
        ctx.stop.check()
    };
    let inputs = inputs(ctx)?;
    let member = |at: usize| {
        let item = &results[at].0;
        Ok::<_, StageError>(PairMember { name: item.name.clone(), input: inputs[at], digest: file(item)?.1.digest })
    };
    let detail = |at| PictureDetail::from_bytes(&bytes(at, DETAIL)?).ok_or_else(|| wrong(DETAIL));
    let details = || (0..results.len()).map(detail).collect();
    let (mut found, mut at) = (Vec::new(), Vec::new());
    for PictureMatch { first, second, orientation, similarity, overlap } in matches(&hashes, read, details, step)? {
        let members = [member(first)?, member(second)?];
        // The same photograph of two inputs, such as the whole set and one side of it.
        if members[0].digest == members[1].digest && members[0].name == members[1].name {
            continue;
        }
        found.push(NearDuplicate { members, orientation, similarity, overlap });
        at.push([first, second]);
    }
    let mut tree = Tree::default();
    tree.insert("pairs.parquet", ctx.objects.put(&to_parquet(&found)?)?);
    if !found.is_empty() {
        let notes: Vec<[String; 2]> = found.iter().take(SHOWN).map(|pair| notes(pair, many_inputs(ctx))).collect();
        let shown = found.iter().zip(&notes).map(|(pair, [first, second])| ShownPair { pair, of: [first, second] });
        let shown: Vec<ShownPair> = shown.collect();
        let decode = |number: usize, side: usize, into: &mut Photograph| {
            let place: usize = at[number][side];
            decode(ctx, &results[place].0, into)
        };
        let canvas = sheet(&shown, found.len() as u64, decode)?;
        tree.insert("pairs.png", ctx.objects.put(&canvas.png())?);
    }
    Ok(Outcome { outputs: [("out".to_owned(), tree)].into(), summary: summary(ctx, all, &found)?, target: None })
}

/// The position of each item's set, from 1.
fn inputs(ctx: &Ctx) -> Result<Vec<u32>, StageError> {
    let mut inputs = Vec::new();
    for (at, set) in (1..).zip(ctx.inputs.many("from")) {
        let names = item::names(&set.tree, ctx.objects)?;
        inputs.extend(names.iter().filter(|name| !is_region(&set.tree, name)).map(|_| at));
    }
    Ok(inputs)
}

/// Number of regions of slides, which are not compared.
fn regions(ctx: &Ctx) -> Result<u64, StageError> {
    let mut regions = 0;
    for set in ctx.inputs.many("from") {
        let names = item::names(&set.tree, ctx.objects)?;
        regions += names.iter().filter(|name| is_region(&set.tree, name)).count() as u64;
    }
    Ok(regions)
}

fn many_inputs(ctx: &Ctx) -> bool {
    ctx.inputs.many("from").len() > 1
}

/// What is written next to the names of a pair.
fn notes(pair: &NearDuplicate, many: bool) -> [String; 2] {
    let input = |side: usize| if many { format!("input {}", pair.members[side].input) } else { String::new() };
    let turned = if pair.orientation.is_upright() { "" } else { pair.orientation.words() };
    let first = [input(0), turned.to_owned()].into_iter().filter(|words| !words.is_empty());
    let part = pair.overlap.map(|overlap| format!("overlap {:.0}%", 100.0 * overlap)).unwrap_or_default();
    let second = [input(1), part, format!("similarity {:.2}", pair.similarity)];
    let second = second.into_iter().filter(|words| !words.is_empty());
    [first.collect::<Vec<_>>().join(", "), second.collect::<Vec<_>>().join(", ")]
}

fn summary(ctx: &Ctx, all: u64, found: &[NearDuplicate]) -> Result<Summary, StageError> {
    let photographs = counted(all, "photograph", "photographs");
    let count = found.len() as u64;
    let regions = regions(ctx)?;
    let without = match regions {
        0 if all as usize > MOST => "; too many to look for overlaps".to_owned(),
        0 => String::new(),
        _ => format!("; {} not compared", counted(regions, "region of a slide", "regions of slides")),
    };
    if found.is_empty() {
        let headline = format!("{photographs}, no near-duplicates{without}");
        return Ok(Summary { headline, ..Summary::default() });
    }
    let pairs = counted(count, "pair", "pairs");
    let rows = found.iter().take(SHOWN).map(|pair| {
        let [first, second] = &pair.members;
        let names = [&first.name, &second.name].map(|name| Cell::Text(name.clone()));
        let inputs = [first.input, second.input].map(|input| Cell::Int(input.into()));
        let overlap = pair.overlap.map_or(Cell::Null(()), Cell::Real);
        let rest = [Cell::Text(pair.orientation.words().to_owned()), Cell::Real(pair.similarity), overlap];
        let [[a, b], [c, d]] = [names, inputs];
        let identical = Cell::Text(if first.digest == second.digest { "yes" } else { "no" }.to_owned());
        if many_inputs(ctx) {
            [vec![a, c, b, d], rest.to_vec(), vec![identical]]
        } else {
            [vec![a, b], rest.to_vec(), vec![identical]]
        }
        .concat()
    });
    let columns: &[&str] = if many_inputs(ctx) {
        &["photograph", "input", "other", "input", "orientation", "similarity", "overlap", "same file"]
    } else {
        &["photograph", "other", "orientation", "similarity", "overlap", "same file"]
    };
    let title = if found.len() > SHOWN {
        format!("near-duplicates, first {SHOWN} of {pairs}")
    } else {
        "near-duplicates".to_owned()
    };
    let table = Table { title, columns: columns.iter().map(|name| (*name).to_owned()).collect(), rows: rows.collect() };
    let named = found.iter().take(NAMED).map(NearDuplicate::words).collect::<Vec<_>>().join(", ");
    let more = found.len().saturating_sub(NAMED);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    let text = format!(
        "{pairs} of photographs {} the same picture{}: {named}{more}; keep each pair on one side of a split",
        noun(count, "shows", "show"),
        if found.iter().any(|pair| pair.overlap.is_some()) { " or a part of it" } else { "" }
    );
    let members: BTreeSet<_> = found.iter().flat_map(|pair| &pair.members).map(|one| (one.input, &one.name)).collect();
    let in_pairs = counted(members.len() as u64, "photograph", "photographs");
    Ok(Summary {
        headline: format!("{photographs}, {pairs} of near-duplicates ({in_pairs}){without}"),
        tables: vec![table],
        warnings: vec![Warning { code: "near-duplicate".to_owned(), text }],
        ..Summary::default()
    })
}
