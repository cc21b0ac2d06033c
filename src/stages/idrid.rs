//! `idrid`: part A of `IDRiD` in its official layout.

use std::collections::{BTreeMap, BTreeSet};

use crate::data::photographs::{Official, PhotographFacts, WithoutMask};
use crate::data::source_tree::{SourcePhotograph, duplicate, extension, gather, is_picture, stem};
use crate::data::unused_files::{FileCategory, UnusedReport, is_fetched, remedy, unused_in, words_of};
use crate::stage::{Determinism, Files, Implementation, Outcome, Params, StageError, Warning, Work};

/// The implementation of `idrid`.
pub const IDRID: Implementation = Implementation {
    name: "idrid",
    version: 1,
    revised: None,
    seeded: false,
    determinism: Determinism::BitExact,
    check: None,
    foresee: None,
    narrow: None,
    work: Work::Source(source),
};

const CLASSES: [&str; 4] = ["MA", "HE", "EX", "SE"];

/// Names of the mask folders, without their number, in lower case.
const FOLDERS: [(&str, &str); 4] =
    [("MA", "microaneurysms"), ("HE", "haemorrhages"), ("EX", "hard exudates"), ("SE", "soft exudates")];

fn source(params: &Params, files: &dyn Files) -> Result<Outcome, StageError> {
    let root = files.resolve(params.text("root")?);
    let wanted = match params.text("split")? {
        "train" => Some(Official::Train),
        "test" => Some(Official::Test),
        _ => None,
    };
    let listed = files.list(&root)?;
    let mut photographs: BTreeMap<String, (Official, &str)> = BTreeMap::new();
    let mut masks: BTreeMap<(String, &str), &str> = BTreeMap::new();
    let mut stray_files = Vec::new();
    for file in &listed {
        match IdridFile::of(file) {
            Some((side, IdridFile::Photograph(name))) if wanted.is_none_or(|wanted| wanted == side) => {
                if let Some((_, other)) = photographs.insert(name.clone(), (side, file)) {
                    return Err(duplicate("duplicate-photograph", other, file, &name));
                }
            }
            Some((side, IdridFile::Mask(name, class))) if wanted.is_none_or(|wanted| wanted == side) => {
                if let Some(other) = masks.insert((name.clone(), class), file) {
                    return Err(duplicate("duplicate-mask", other, file, &name));
                }
            }
            Some(_) => {}
            None => {
                stray_files.extend(
                    StrayFile::of(file)
                        .filter(|stray| wanted.is_none() || stray.side.is_none() || stray.side == wanted),
                );
            }
        }
    }
    if photographs.is_empty() {
        let text = format!("no IDRiD photographs in `{}`", root.display());
        let hint = "`root` is the folder that holds `A. Segmentation` with `1. Original Images` and `2. All Segmentation Groundtruths`";
        return Err(StageError::input("no-photographs", text).hint(hint).field("root"));
    }
    all_classes(&listed)?;
    for stray in stray_files.iter_mut().filter(|stray| stray.category == FileCategory::Pointer) {
        if is_fetched(stray.file, &listed) {
            stray.category = FileCategory::Ancillary;
        }
    }
    let unused = unused(&stray_files, &photographs, &masks)?;
    let mut found = Vec::new();
    for (name, (side, file)) in &photographs {
        let of_class =
            |class: &&'static str| Some(((*class).to_owned(), masks.remove(&(name.clone(), *class))?.to_owned()));
        let own: BTreeMap<String, String> = CLASSES.iter().filter_map(of_class).collect();
        if own.is_empty() {
            let text = format!("`{file}` has no mask of any lesion");
            let hint = "in IDRiD a missing mask means that the lesion is absent, but every photograph has at least one; check that the download is complete";
            return Err(StageError::input("photograph-without-mask", text).hint(hint).field("root"));
        }
        found.push(SourcePhotograph {
            name: name.clone(),
            file: (*file).to_owned(),
            masks: own,
            drawn: BTreeMap::new(),
            region: None,
            facts: PhotographFacts {
                official: Some(*side),
                ..PhotographFacts::released(vec![WithoutMask::Absent; CLASSES.len()])
            },
        });
    }
    let left = |file: &&str| Warning {
        code: "unmatched-mask".to_owned(),
        text: format!("`{file}` is the mask of a missing photograph"),
    };
    let warnings = masks.values().map(left).chain(unused.warnings.iter().cloned()).collect();
    let mut outcome = gather(&found, &CLASSES, files, &root, warnings)?;
    outcome.summary.tables.extend(unused.table());
    Ok(outcome)
}

/// Reports every file in a folder of photographs or masks that is neither.
fn unused(
    stray_files: &[StrayFile<'_>],
    photographs: &BTreeMap<String, (Official, &str)>,
    masks: &BTreeMap<(String, &str), &str>,
) -> Result<UnusedReport, StageError> {
    let (mut beside_photographs, mut beside_masks) = (Vec::new(), Vec::new());
    let mut report = UnusedReport::default();
    for stray in stray_files {
        report.count(stray.category, stray.file);
        if stray.category == FileCategory::Ancillary {
            continue;
        }
        if !stray.mask {
            beside_photographs.push(stray.file);
            continue;
        }
        // A file without a number or class could be any mask.
        let of_name = |name: &&String| stray.name.as_ref().is_none_or(|own| own == *name);
        let lost = photographs.keys().filter(of_name).find_map(|name| {
            let lacks = |class: &&&str| {
                stray.class.is_none_or(|own| own == **class) && !masks.contains_key(&(name.clone(), **class))
            };
            Some((name, CLASSES.iter().find(lacks)?))
        });
        let Some((name, class)) = lost else {
            beside_masks.push(stray.file);
            continue;
        };
        let text = format!(
            "`{}` is unused, and `{name}` has no mask of {class}, so the lesion would count as absent",
            stray.file
        );
        let fits = match (&stray.name, stray.class) {
            (Some(name), Some(class)) => format!("{name}_{class}.tif"),
            _ => "IDRiD_01_MA.tif".to_owned(),
        };
        return Err(StageError::input("unused-file", text).hint(remedy(stray.file, &fits)).field("root"));
    }
    let warn = |(files, of): (&Vec<&str>, &str)| unused_in(files, of, "not named as in IDRiD");
    report
        .warnings
        .extend([(&beside_photographs, "photographs"), (&beside_masks, "masks")].into_iter().filter_map(warn));
    Ok(report)
}

/// A file in a folder of photographs or masks that is not named like them.
struct StrayFile<'a> {
    file: &'a str,
    category: FileCategory,
    /// Whether it is in a folder of masks.
    mask: bool,
    /// Set of the official split, by its folder.
    side: Option<Official>,
    /// Photograph that it may belong to, by its path.
    name: Option<String>,
    /// Class that it may show, by its path.
    class: Option<&'static str>,
}

impl<'a> StrayFile<'a> {
    /// [`None`] for files elsewhere, and for masks of the optic disc, which belong to the data set but are not lesions.
    fn of(file: &'a str) -> Option<Self> {
        let lower = file.to_ascii_lowercase();
        let folders = folders(&lower);
        let (top, rest) = folders.split_first()?;
        let mask = top.contains("groundtruth");
        if !mask && !top.contains("original images") {
            return None;
        }
        let words = words_of(file);
        let idrid = words.iter().position(|word| word == "idrid");
        let after = idrid.map_or(0, |at| at + 1);
        let number = words[after..].iter().find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
        // The number of an unfinished download may be arbitrary.
        let number = number.filter(|_| idrid.is_some() || FileCategory::of(file) == FileCategory::Picture);
        let disc = rest.iter().any(|folder| folder.contains("optic disc"));
        if mask && (disc || words.iter().any(|word| word == "od")) {
            return None;
        }
        let class =
            FOLDERS.iter().find(|(_, folder)| rest.iter().any(|own| own.contains(folder))).map(|(class, _)| *class);
        let named =
            CLASSES.into_iter().find(|class| words[after..].iter().any(|word| word.eq_ignore_ascii_case(class)));
        Some(Self {
            file,
            category: FileCategory::of(file),
            mask,
            side: rest.first().and_then(|side| side_of(side)),
            name: number.and_then(|number| number.parse::<u32>().ok()).map(named_by),
            class: named.or(class),
        })
    }
}

/// Rejects a data set without any mask of a class: a missing folder would look like a lesion that is absent everywhere.
fn all_classes(listed: &[String]) -> Result<(), StageError> {
    // In either set: some lesions are rare.
    let there: BTreeSet<&str> = listed
        .iter()
        .filter_map(|file| match IdridFile::of(file) {
            Some((_, IdridFile::Mask(_, class))) => Some(class),
            _ => None,
        })
        .collect();
    let missing = |class: &&&str| !there.contains(**class);
    let Some(class) = CLASSES.iter().find(missing) else { return Ok(()) };
    let other = listed.iter().find(|file| {
        let lower = file.to_ascii_lowercase();
        is_picture(file)
            && !matches!(IdridFile::of(file), Some((_, IdridFile::Mask(..) | IdridFile::Photograph(_))))
            && FOLDERS.iter().any(|(of, folder)| of == class && lower.contains(folder))
    });
    let text = match other {
        Some(other) => format!("no mask of {class} is named as in IDRiD; found `{other}`"),
        None => format!("no masks of {class}: the whole folder is missing"),
    };
    let hint = format!(
        "a missing mask means that the lesion is absent, so {class} would be absent everywhere; masks are named `…_{class}.tif`. For other \
         layouts or fewer classes, use `folder`"
    );
    Err(StageError::input("no-mask-fits", text).hint(hint).field("root"))
}

/// A file of the data set.
enum IdridFile {
    /// A photograph with this name.
    Photograph(String),
    /// A mask: its photograph's name and the lesion class.
    Mask(String, &'static str),
}

impl IdridFile {
    /// Classifies a file by its path, ignoring case; [`None`] for all other files.
    fn of(file: &str) -> Option<(Official, Self)> {
        let lower = file.to_ascii_lowercase();
        let folders = folders(&lower);
        let [top, side, rest @ ..] = folders.as_slice() else { return None };
        let side = side_of(side)?;
        let (number, class) = numbered(stem(&lower))?;
        let name = named_by(number);
        if top.contains("original images") && class.is_empty() && rest.is_empty() && is_picture(file) {
            return Some((side, Self::Photograph(name)));
        }
        let class = CLASSES.into_iter().find(|known| known.eq_ignore_ascii_case(class))?;
        let mask = top.contains("groundtruth") && matches!(extension(file).as_str(), "tif" | "tiff" | "png");
        mask.then_some((side, Self::Mask(name, class)))
    }
}

/// Folders of a lower-case path, from that of photographs or masks on.
fn folders(lower: &str) -> Vec<&str> {
    let mut folders: Vec<&str> = lower.split('/').collect();
    folders.pop();
    // Parts B and C of the data set have folders of the same names.
    if let Some(part) = folders.iter().position(|folder| folder.starts_with("a. segmentation")) {
        folders.drain(..=part);
    }
    folders
}

fn side_of(folder: &str) -> Option<Official> {
    if folder.contains("train") {
        Some(Official::Train)
    } else if folder.contains("test") {
        Some(Official::Test)
    } else {
        None
    }
}

fn named_by(number: u32) -> String {
    format!("IDRiD_{number:02}")
}

/// Splits `idrid_07_ma` into 7 and `ma`, and `idrid_07` into 7 and an empty class.
fn numbered(stem: &str) -> Option<(u32, &str)> {
    let rest = stem.strip_prefix("idrid_")?;
    let (number, class) = rest.split_once('_').unwrap_or((rest, ""));
    let digits = number.bytes().all(|byte| byte.is_ascii_digit());
    Some((number.parse().ok().filter(|_| digits)?, class))
}
