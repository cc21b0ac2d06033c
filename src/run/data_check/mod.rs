//! Check of the photographs of a pipeline: every file is read once, several at a time within a budget of memory, and everything that is wrong is
//! collected. The same photographs give the same result, whatever the number of threads.

mod files;
mod sources;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};

pub use sources::DataCheckError;

use self::sources::{FoundSource, unplaced};
use super::context::panicked;
use super::events::{Event, Watch};
use super::{Host, Options, Project, pool};
use crate::base::budget::Budget;
use crate::base::{sync, threads};
use crate::data::check::{
    CheckedPhotograph, CheckedSource, DataCheck, DataFinding, Examination, FindingLevel, FindingPictures,
    PhotographComparison, compare, examine, shown_pair, thumbnail,
};
use crate::data::item::{classes, items};
use crate::data::orientation::Orientation;
use crate::data::source_tree::MASK_FILES;
use crate::stage::{Item, StageError};
use crate::store::Objects;

/// Most photographs with findings, and most pairs, that are shown on a page.
const SHOWN: usize = 48;

/// Title of a source's table of labels.
const LABELS: &str = "labels";

/// Code of the warning about identical files, which is made here for all sources together.
const SAME_PHOTOGRAPH: &str = "same-photograph";

/// The photographs of a pipeline and what was found in them.
pub struct CheckedData {
    /// What was found.
    pub check: DataCheck,
    /// The photographs of each source, as the runner reads them.
    items: Vec<Vec<Item>>,
}

/// Checks the photographs of the stages with these names, or of all sources. `options` say how many threads and how much memory are used.
///
/// # Errors
/// [`DataCheckError`]; [`StageError::Stopped`] if the user stopped it.
pub fn check(
    host: &Host,
    project: &Project,
    names: &[String],
    options: &Options,
    watch: &dyn Watch,
) -> Result<CheckedData, DataCheckError> {
    let mut found = sources::find(host, project, names, options, watch)?;
    // Digests of files, so that a second call and the next run need not compute them again.
    project.store.files.save();
    let objects = &project.store.objects;
    let mut sets = Vec::new();
    for source in &found {
        sets.push(source.set.as_ref().map_or_else(|| Ok(Vec::new()), |set| items(set, objects))?);
    }
    let total = sets.iter().map(Vec::len).sum();
    let comparison = if host.compares_photographs(&project.folder) {
        PhotographComparison::of(total)
    } else {
        PhotographComparison::None
    };
    let mut sources = Vec::new();
    for source in &mut found {
        sources.push(described(source, host, objects)?);
    }
    let reader = ItemReader { host, options, watch };
    let flat: Vec<(usize, &Item)> =
        sets.iter().enumerate().flat_map(|(source, items)| items.iter().map(move |item| (source, item))).collect();
    let checked = reader.each("photographs checked", &flat, |(source, item)| {
        let refused = |file: &str| refused(&found[*source], &item.name, file);
        examine(item, &Examination { objects, refused: &refused, compared: comparison.part() })
    })?;
    for ((source, _), photograph) in flat.iter().zip(checked) {
        sources[*source].photographs.push(relative(photograph, host));
    }
    let sources: Vec<CheckedSource> = sources.into_iter().map(CheckedSource::whole).collect();
    let (done, all) = (AtomicU64::new(0), total.max(1) as u64);
    let step = || {
        reader.step("photographs compared", done.fetch_add(1, Ordering::Relaxed) % all + 1, all);
        reader.stopped()
    };
    let pairs = pool(options.threads)?.install(|| compare(&sources, comparison, step))?;
    let check = DataCheck { pipeline: project.pipeline.name.clone(), sources, pairs };
    Ok(CheckedData { check, items: sets })
}

/// A source before its photographs are read.
fn described(found: &mut FoundSource, host: &Host, objects: &Objects) -> Result<CheckedSource, StageError> {
    let mut findings = Vec::new();
    for error in found.failure.take().into_iter().chain(unplaced(&mut found.seen)) {
        findings.push(near(DataFinding::of_error(error)?, host));
    }
    let summary = std::mem::take(&mut found.summary);
    let warnings = summary.warnings.into_iter().filter(|warning| warning.code != SAME_PHOTOGRAPH);
    findings.extend(warnings.map(DataFinding::of_warning));
    Ok(CheckedSource {
        stage: found.stage.clone(),
        stage_type: found.stage_type.clone(),
        headline: summary.headline,
        classes: found.set.as_ref().map_or_else(|| Ok(Vec::new()), |set| classes(set, objects))?,
        photographs: Vec::new(),
        findings,
        // The numbers of mask files and of labels are part of what is found by reading them.
        tables: summary
            .tables
            .into_iter()
            .filter(|table| ![MASK_FILES, LABELS].contains(&table.title.as_str()))
            .collect(),
    })
}

/// The problem of a file that was found before it could be read.
fn refused(source: &FoundSource, photograph: &str, file: &str) -> Option<DataFinding> {
    let path = source.seen.placed.get(&format!("{photograph}/{file}"))?;
    let StageError::Input { code, text, hint, .. } = source.seen.refused.get(path)? else { return None };
    let error = StageError::Input { code, text: text.clone(), hint: hint.clone(), field: None };
    DataFinding::of_error(error).ok()
}

/// A photograph with paths as the user would write them.
fn relative(mut photograph: CheckedPhotograph, host: &Host) -> CheckedPhotograph {
    photograph.file = host.shown(Path::new(&photograph.file)).to_string();
    photograph.findings = photograph.findings.into_iter().map(|finding| near(finding, host)).collect();
    photograph
}

/// A finding with paths relative to the working folder.
fn near(finding: DataFinding, host: &Host) -> DataFinding {
    let folder = format!("`{}/", host.folder.display());
    let file = finding.file.map(|file| host.shown(Path::new(&file)).to_string());
    DataFinding { file, text: finding.text.replace(&folder, "`"), ..finding }
}

impl CheckedData {
    /// Pictures of the first photographs with findings, errors first, and of the first pairs.
    ///
    /// # Errors
    /// [`StageError::Stopped`] or [`StageError::Bug`].
    pub fn pictures(
        &self,
        host: &Host,
        objects: &Objects,
        options: &Options,
        watch: &dyn Watch,
    ) -> Result<FindingPictures, StageError> {
        let reader = ItemReader { host, options, watch };
        let mut wanted = Vec::new();
        for level in [FindingLevel::Error, FindingLevel::Warning] {
            for (source, checked) in self.check.sources.iter().enumerate() {
                for (at, photograph) in checked.photographs.iter().enumerate() {
                    let worst = photograph.findings.iter().map(|finding| finding.level).min();
                    if worst == Some(level) && photograph.picture.is_some() {
                        wanted.push(((source, at), &self.items[source][at]));
                    }
                }
            }
        }
        wanted.truncate(SHOWN);
        let pictures = reader.each("pictures", &wanted, |(_, item)| thumbnail(item, objects))?;
        let photographs = wanted.iter().zip(pictures);
        let photographs = photographs.filter_map(|(((source, at), _), picture)| Some((*source, *at, picture?)));
        let members = self.check.pairs.pairs.iter().take(SHOWN).flat_map(|pair| {
            let item = |side: usize| &self.items[pair.places[side].0][pair.places[side].1];
            [(pair.pair.orientation, item(0)), (Orientation::UPRIGHT, item(1))]
        });
        let members: Vec<(Orientation, &Item)> = members.collect();
        let mut pairs = reader.each("pictures", &members, |(turned, item)| shown_pair(item, *turned, objects))?;
        let pairs = pairs.as_chunks_mut::<2>().0.iter_mut().map(std::mem::take).collect();
        Ok(FindingPictures { photographs: photographs.collect(), pairs })
    }
}

/// How files are read, and who watches.
struct ItemReader<'a> {
    host: &'a Host,
    options: &'a Options,
    watch: &'a dyn Watch,
}

impl ItemReader<'_> {
    fn stopped(&self) -> Result<(), StageError> {
        if self.host.interrupted() { Err(StageError::Stopped) } else { Ok(()) }
    }

    fn step(&self, unit: &str, done: u64, total: u64) {
        let (stage, unit) = (String::new(), unit.to_owned());
        self.watch.event(&Event::Step { stage, done, total, unit, now: String::new() });
    }

    /// Does `work` for each item, several at a time as far as the memory allows; the results are in the order of the items.
    fn each<K: Sync, T: Send + Sync>(
        &self,
        unit: &str,
        items: &[(K, &Item)],
        work: impl Fn(&(K, &Item)) -> Result<T, StageError> + Sync,
    ) -> Result<Vec<T>, StageError> {
        let results: Vec<OnceLock<Result<T, StageError>>> = items.iter().map(|_| OnceLock::new()).collect();
        let budget = Budget::new(self.options.memory);
        let (next, halt, done) = (AtomicUsize::new(0), AtomicBool::new(false), Mutex::new(0));
        let pool = pool(self.options.threads)?;
        threads::side_by_side(pool.current_num_threads(), || {
            while !halt.load(Ordering::SeqCst) {
                let at = next.fetch_add(1, Ordering::SeqCst);
                let Some(item) = items.get(at) else { return };
                let share = budget.take(item.1.bytes_in_flight);
                let work = || pool.install(|| work(item));
                let result = self.stopped().and_then(|()| {
                    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work))
                        .unwrap_or_else(|panic| Err(panicked(&*panic)))
                });
                drop(share);
                if result.is_err() {
                    halt.store(true, Ordering::SeqCst);
                }
                let _ = results[at].set(result);
                let mut done = sync::lock(&done);
                *done += 1;
                self.step(unit, *done, items.len() as u64);
            }
        });
        let mut all = Vec::with_capacity(items.len());
        let mut stopped = false;
        for result in results {
            match result.into_inner() {
                Some(Ok(result)) => all.push(result),
                Some(Err(StageError::Stopped)) | None => stopped = true,
                Some(Err(error)) => return Err(error),
            }
        }
        if stopped { Err(StageError::Stopped) } else { Ok(all) }
    }
}
