//! Photograph set tree built from the files that a source found. Knows no data set's layout.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::annotations::{DRAWN, DrawnMask};
use super::decode_revision::{self, FileUse};
use super::dicom;
use super::name_normalisation::{name_and_extension, normalised};
use super::photographs::{PhotographFacts, PhotographSet};
use super::slide_region::{self, SlideRegion};
use crate::base::figure::counted;
use crate::base::{Digest, regular};
use crate::stage::{Cell, Files, Outcome, StageError, Summary, Table, Warning};
use crate::store::{Entry, Tree};

/// Title of the table of masks found.
pub const MASK_FILES: &str = "mask files";

/// A photograph and its masks on disk.
#[derive(Clone, Debug, PartialEq)]
pub struct SourcePhotograph {
    /// Its name, without extension.
    pub name: String,
    /// Its file, relative to the source's folder.
    pub file: String,
    /// Mask file of each class that has one, relative to the source's folder.
    pub masks: BTreeMap<String, String>,
    /// Mask of each class that is drawn as shapes.
    pub drawn: BTreeMap<String, DrawnMask>,
    /// Its facts.
    pub facts: PhotographFacts,
    /// The region that it is, if its file is a slide.
    pub region: Option<SlideRegion>,
}

/// Outcome of a source: the photographs' tree and a table of the masks found.
///
/// # Errors
/// If a file cannot be read.
pub fn gather(
    found: &[SourcePhotograph],
    classes: &[&str],
    files: &dyn Files,
    root: &Path,
    mut warnings: Vec<Warning>,
) -> Result<Outcome, StageError> {
    let mut tree = Tree::default();
    let mut seen: BTreeMap<Entry, &str> = BTreeMap::new();
    let paths = found.iter().flat_map(|photograph| std::iter::once(&photograph.file).chain(photograph.masks.values()));
    // Files of slides are those of many regions.
    let (mut numbers, mut known) = (BTreeMap::<&String, usize>::new(), Vec::<PathBuf>::new());
    let mut number = |file| {
        *numbers.entry(file).or_insert_with(|| {
            known.push(root.join(file));
            known.len() - 1
        })
    };
    let order: Vec<usize> = paths.map(&mut number).collect();
    let entries = files.entries(&known)?;
    for (entry, path) in entries.iter().zip(&known) {
        if let Some(error) = pointer(entry, path) {
            files.refuse(path, error)?;
        }
    }
    let mut entries = order.into_iter().map(|number| (entries[number], &known[number]));
    let decoded_differently = decoded_differently(found, root);
    let mut next = || entries.next().ok_or_else(|| StageError::Bug("fewer entries than files".to_owned()));
    let mut facts: Option<(&PhotographFacts, Entry)> = None;
    for photograph in found {
        let name = &photograph.name;
        let (entry, path) = next()?;
        let extension_in_set = if photograph.region.is_some() {
            extension(&photograph.file)
        } else {
            photograph_extension(&photograph.file)
        };
        let place = format!("{name}/photograph.{extension_in_set}");
        files.placed(&entry, &place, path);
        if let Some(other) = seen.insert(entry, &photograph.file)
            && (photograph.region.is_none() || other != photograph.file)
        {
            let text = format!("`{other}` and `{}` are identical files", photograph.file);
            warnings.push(Warning { code: "same-photograph".to_owned(), text });
        }
        tree.insert(place, entry);
        for (class, file) in &photograph.masks {
            let (entry, path) = next()?;
            let place = format!("{name}/mask.{class}.{}", extension(file));
            files.placed(&entry, &place, path);
            tree.insert(place, entry);
        }
        for (class, shapes) in &photograph.drawn {
            tree.insert(format!("{name}/mask.{class}.{DRAWN}"), files.put(&shapes.to_bytes())?);
        }
        if let Some(region) = &photograph.region {
            tree.insert(format!("{name}/{}", slide_region::FILE), files.put(&json(region)?)?);
        }
        // Most photographs share the same facts.
        let own = match facts {
            Some((of, entry)) if *of == photograph.facts => entry,
            _ => files.put(&json(&photograph.facts)?)?,
        };
        facts = Some((&photograph.facts, own));
        tree.insert(format!("{name}/facts.json"), own);
        if decoded_differently.contains(name.as_str()) {
            let revision = json(&serde_json::json!({ "revision": decode_revision::REVISION }))?;
            tree.insert(format!("{name}/{}", decode_revision::FILE), files.put(&revision)?);
        }
    }
    let mut names: Vec<_> = found.iter().map(|photograph| photograph.name.clone()).collect();
    names.sort();
    let set = PhotographSet {
        classes: classes.iter().map(|&class| class.to_owned()).collect(),
        photographs: names,
        labels: found.first().map(|photograph| photograph.facts.labels).unwrap_or_default(),
    };
    tree.insert("set.json", files.put(&json(&set)?)?);

    let has = |photograph: &SourcePhotograph, class: &str| {
        photograph.masks.contains_key(class) || photograph.drawn.contains_key(class)
    };
    let count = |class: &str| found.iter().filter(|photograph| has(photograph, class)).count();
    let row = |class: &&str| vec![Cell::Text((*class).to_owned()), Cell::Int(count(class) as i64)];
    let masks: usize = found.iter().map(|photograph| photograph.masks.len() + photograph.drawn.len()).sum();
    let slides: BTreeSet<&String> =
        found.iter().filter(|photograph| photograph.region.is_some()).map(|photograph| &photograph.file).collect();
    let summary = Summary {
        headline: format!(
            "{} with {}",
            number_of(found.len(), slides.len()),
            counted(masks as u64, "lesion mask", "lesion masks")
        ),
        tables: vec![Table {
            title: MASK_FILES.to_owned(),
            columns: vec!["lesion".to_owned(), "photographs".to_owned()],
            rows: classes.iter().map(row).collect(),
        }],
        warnings,
        ..Summary::default()
    };
    Ok(Outcome { outputs: [("out".to_owned(), tree)].into(), summary, target: None })
}

/// Counted photographs, or regions of slides.
#[must_use]
pub fn number_of(photographs: usize, slides: usize) -> String {
    if slides == 0 {
        return counted(photographs as u64, "photograph", "photographs");
    }
    format!("{} of {}", counted(photographs as u64, "region", "regions"), counted(slides as u64, "slide", "slides"))
}

/// Photographs with a file that is or may be decoded differently than by the first version of macula.
fn decoded_differently<'f>(found: &'f [SourcePhotograph], root: &Path) -> BTreeSet<&'f str> {
    let changed = |photograph: &&SourcePhotograph| {
        // The first version knew no masks of several classes.
        let masks = photograph.masks.values().filter(|_| photograph.facts.mask_values.is_empty());
        let masks = masks.map(|file| (file, FileUse::Mask(photograph.facts.threshold())));
        let mut files = std::iter::once((&photograph.file, FileUse::Photograph)).chain(masks);
        files.any(|(file, role)| decode_revision::changed(&root.join(file), role))
    };
    // No version of macula read regions differently.
    let whole = found.par_iter().filter(|photograph| photograph.region.is_none());
    whole.filter(changed).map(|photograph| photograph.name.as_str()).collect()
}

/// Error for two files that are the same photograph or mask, `name`, of a data set.
#[must_use]
pub fn duplicate(code: &'static str, one: &str, other: &str, name: &str) -> StageError {
    StageError::input(code, format!("`{one}` and `{other}` are both `{name}`")).hint("remove one of them").field("root")
}

/// Reserved names of macula's files next to folders named after photographs.
const RESERVED: [&str; 3] = ["set.json", "maps.json", "readme.txt"];

/// Whether a photograph cannot have this name, because it is hidden or that of a file of macula's.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    name.starts_with('.') || RESERVED.contains(&normalised(name).as_str())
}

/// Name of the photograph in `file`: `name`, or the file's name with its extension if `name` is reserved.
#[must_use]
pub fn free_name(name: String, file: &str) -> String {
    if is_reserved(&name) { file.rsplit('/').next().unwrap_or(file).to_owned() } else { name }
}

/// Two photographs, by index, with the same name up to case and Unicode normalisation.
#[must_use]
pub fn clash(names: &[String]) -> Option<(usize, usize)> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    names.iter().enumerate().find_map(|(at, name)| seen.insert(normalised(name), at).map(|other| (other, at)))
}

/// Content of a file that is not an image, and that the source's result depends on.
///
/// # Errors
/// If it cannot be read, or is a pointer to content elsewhere.
pub fn read_text(file: &Path, files: &dyn Files) -> Result<Vec<u8>, StageError> {
    let entry = files.entry(file)?;
    if let Some(error) = pointer(&entry, file) {
        return Err(error);
    }
    regular::read(file)
        .map_err(|error| StageError::input("unreadable-file", format!("cannot read `{}`: {error}", file.display())))
}

/// Error for a pointer file of Git LFS, or of git-annex in an unlocked repository.
fn pointer(entry: &Entry, path: &Path) -> Option<StageError> {
    // Pointers have fewer than 200 bytes, unless an annex key has a long name.
    const LONGEST: u64 = 1024;
    let bytes = (entry.size <= LONGEST).then(|| regular::read(path).ok()).flatten()?;
    let command = if bytes.starts_with(b"version https://git-lfs") {
        "git lfs pull"
    } else if bytes.starts_with(b"/annex/objects/") {
        "git annex get"
    } else {
        return None;
    };
    let text = format!("`{}` is a pointer file; its content is not on this machine", path.display());
    Some(StageError::input("content-elsewhere", text).hint(format!("run `{command}` to fetch it")))
}

/// As [`pointer`], for a file that cannot be read as what it should be.
pub(super) fn pointer_at(path: &Path) -> Option<StageError> {
    let size = path.metadata().ok()?.len();
    pointer(&Entry { digest: Digest::from_bytes([0; 32]), size }, path)
}

/// Extension of a file name, in lower case.
#[must_use]
pub fn extension(file: &str) -> String {
    let name = file.rsplit('/').next().unwrap_or(file);
    name_and_extension(name).1.to_ascii_lowercase()
}

/// File name without folders and extension.
#[must_use]
pub fn stem(file: &str) -> &str {
    name_and_extension(file.rsplit('/').next().unwrap_or(file)).0
}

/// Whether the extension is that of a supported image format that photographs and masks have.
#[must_use]
pub fn is_picture(file: &str) -> bool {
    matches!(extension(file).as_str(), "jpg" | "jpeg" | "png" | "tif" | "tiff")
}

/// Extension of a DICOM in a photograph set, whatever its file's name is.
pub const DICOM: &str = "dcm";

/// Whether the extension is that of a supported image format of photographs.
#[must_use]
pub fn is_photograph(file: &str) -> bool {
    is_picture(file) || matches!(extension(file).as_str(), DICOM | "dicom")
}

/// Whether a file below a folder is a DICOM although its name does not say so: without an extension, or numbered.
#[must_use]
pub fn is_unnamed_dicom(root: &Path, file: &str) -> bool {
    let may_be =
        extension(file).bytes().all(|byte| byte.is_ascii_digit()) && !stem(file).eq_ignore_ascii_case("dicomdir");
    may_be && dicom::is_dicom(&root.join(file))
}

/// Extension of a photograph's file in a photograph set; slides keep their own.
#[must_use]
pub fn photograph_extension(file: &str) -> String {
    if is_picture(file) { extension(file) } else { DICOM.to_owned() }
}

fn json(value: &impl serde::Serialize) -> Result<Vec<u8>, StageError> {
    serde_json::to_vec_pretty(value).map_err(|error| StageError::Bug(error.to_string()))
}
