//! Check of one photograph and its masks: both are decoded, and everything that is wrong with them is reported, not only the first thing.

use super::finding::DataFinding;
use crate::base::Digest;
use crate::data::decode::{Photograph, PictureFormat};
use crate::data::duplicates::{PictureDetail, PictureFingerprint};
use crate::data::image_issues::ImageIssueKind;
use crate::data::item::OpenPhotograph;
use crate::data::lesions::components::{Connectivity, PixelRun, components, runs};
use crate::data::lesions::nearest::PixelSet;
use crate::data::photographs::{Official, WithoutMask};
use crate::stage::{Item, StageError};
use crate::store::Objects;

/// Least fraction of a photograph that its field of view takes, as its reciprocal.
const DARK: u64 = 20;

/// What a photograph's file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PictureFacts {
    /// Format.
    pub format: PictureFormat,
    /// Width as displayed, px.
    pub width: usize,
    /// Height as displayed, px.
    pub height: usize,
    /// Bits per sample.
    pub bits: u8,
    /// Whether red, green and blue are equal in every pixel.
    pub grey: bool,
    /// Number of its orientation (TIFF and EXIF), 1 to 8.
    pub orientation: u8,
}

/// Presence of a lesion class in a photograph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LesionPresence {
    /// Its mask has a lesion pixel.
    Present,
    /// Its mask has none, or the absence of a mask means that the lesion is absent.
    Absent,
    /// It was not annotated.
    Unknown,
    /// Its mask cannot be used.
    Faulty,
}

/// One lesion class of a photograph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckedClass {
    /// Presence of the lesion.
    pub presence: LesionPresence,
    /// Digest of its mask file, if there is one.
    pub mask: Option<Digest>,
    /// Lesion pixels.
    pub pixels: u64,
    /// Lesions: pixels that are connected by edges or corners.
    pub lesions: u64,
    /// Pixels of the smallest lesion; 0 without one.
    pub smallest: u64,
    /// Pixels of the largest lesion; 0 without one.
    pub largest: u64,
}

/// A photograph that was checked.
#[derive(Clone, Debug)]
pub struct CheckedPhotograph {
    /// Its name.
    pub name: String,
    /// Path of its file, or else its path within the set.
    pub file: String,
    /// Digest of its file.
    pub digest: Digest,
    /// The patient, if known.
    pub patient: Option<String>,
    /// Its set in the official split, if there is one.
    pub official: Option<Official>,
    /// What the file is; [`None`] if it cannot be decoded.
    pub picture: Option<PictureFacts>,
    /// Description of its colour profile, unless that is sRGB or missing.
    pub profile: Option<String>,
    /// Each lesion class, in label order.
    pub classes: Vec<CheckedClass>,
    /// Everything that is wrong or strange.
    pub findings: Vec<DataFinding>,
    /// To find the same picture; [`None`] if it cannot be decoded or is not compared.
    pub fingerprint: Option<PictureFingerprint>,
    /// To find a part of the same picture; [`None`] as above, or with too many photographs.
    pub detail: Option<PictureDetail>,
}

/// What of a photograph is kept to compare it with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ComparedPart {
    /// Nothing.
    Nothing,
    /// What finds the same picture.
    Whole,
    /// What finds the same picture, or a part of it.
    WholeAndParts,
}

/// What a check of a photograph needs besides its item.
pub struct Examination<'a> {
    /// The store.
    pub objects: &'a Objects,
    /// The problem of a file of the item that was found before it could be read (a broken link, a pointer file).
    pub refused: &'a dyn Fn(&str) -> Option<DataFinding>,
    /// What is kept for comparisons.
    pub compared: ComparedPart,
}

/// Decodes a photograph and its masks. A file that cannot be used is a finding, and everything else is still checked.
///
/// # Errors
/// [`StageError::Bug`]; an error of the store that is not about one file.
pub fn examine(item: &Item, with: &Examination<'_>) -> Result<CheckedPhotograph, StageError> {
    let opened = OpenPhotograph::new(&item.name, &item.tree, with.objects)?;
    let file = opened.photograph_path()?;
    let mut found = CheckedPhotograph {
        name: item.name.clone(),
        digest: opened.digest()?,
        patient: opened.facts.patient.clone(),
        official: opened.facts.official,
        picture: None,
        profile: None,
        classes: Vec::new(),
        findings: Vec::new(),
        fingerprint: None,
        detail: None,
        file,
    };
    let mut photograph = Photograph::default();
    let photograph = decode(&opened, item, with, &mut photograph, &mut found)?;
    if let (Some(photograph), Some(info)) = (photograph, opened.decoded()) {
        found.picture = Some(PictureFacts {
            format: info.format,
            width: photograph.width,
            height: photograph.height,
            bits: info.bits,
            grey: photograph.rgb.as_chunks::<3>().0.iter().all(|[red, green, blue]| red == green && green == blue),
            orientation: info.orientation.number(),
        });
        found.profile = info.profile;
        // Regions of slides may show only glass, and tissue looks alike.
        if !opened.is_region() {
            compared(&item.name, photograph, with, &mut found);
        }
    }
    let mut field = None;
    for k in 0..opened.classes.len() {
        let class = mask(&opened, k, photograph, with, &mut field, &mut found)?;
        found.classes.push(class);
    }
    // Of profiles, the whole source has one warning.
    for issue in opened.issues().into_iter().filter(|issue| issue.kind != ImageIssueKind::ColourProfile) {
        let class = opened.classes.iter().position(|class| *class == issue.class);
        let finding = DataFinding::of_warning(issue.warning(&item.name));
        match class.and_then(|k| Some((&opened.classes[k], opened.mask_path(k)?.1))) {
            Some((class, path)) => found.note_mask(finding, class, &path),
            None => found.note(finding),
        }
    }
    Ok(found)
}

/// Notes what is needed to find the same picture, and whether there is one.
fn compared(name: &str, photograph: &Photograph, with: &Examination<'_>, found: &mut CheckedPhotograph) {
    let fingerprint = PictureFingerprint::of(photograph);
    if fingerprint.is_empty() {
        let text = format!("photograph `{name}` shows nothing: it is dark, or of one colour");
        found.note(DataFinding::warning("blank-photograph", text).hint("check whether it was exported correctly"));
    }
    found.fingerprint = (with.compared != ComparedPart::Nothing).then_some(fingerprint);
    found.detail = (with.compared == ComparedPart::WholeAndParts).then(|| PictureDetail::of(photograph));
}

impl CheckedPhotograph {
    fn note(&mut self, finding: DataFinding) {
        let finding = finding.of_photograph(&self.name, &self.file);
        self.findings.push(finding);
    }

    fn note_mask(&mut self, finding: DataFinding, class: &str, file: &str) {
        let finding = finding.of_photograph(&self.name, &self.file).of_mask(class, file);
        self.findings.push(finding);
    }
}

/// The decoded photograph; [`None`] if that is not possible, which is noted.
fn decode<'p>(
    opened: &OpenPhotograph<'_>,
    item: &Item,
    with: &Examination<'_>,
    into: &'p mut Photograph,
    found: &mut CheckedPhotograph,
) -> Result<Option<&'p Photograph>, StageError> {
    let file = item.tree.under("photograph.").next().map(|(extension, _)| format!("photograph.{extension}"));
    if let Some(refused) = file.and_then(|file| (with.refused)(&file)) {
        found.note(refused);
        return Ok(None);
    }
    match opened.photograph(into) {
        Ok(_) => Ok(Some(into)),
        Err(error) => {
            found.note(DataFinding::of_error(error)?);
            Ok(None)
        }
    }
}

/// Checks the mask of class `k`. `field` is the background of the photograph, once it was needed.
fn mask(
    opened: &OpenPhotograph<'_>,
    k: usize,
    photograph: Option<&Photograph>,
    with: &Examination<'_>,
    field: &mut Option<PixelSet>,
    found: &mut CheckedPhotograph,
) -> Result<CheckedClass, StageError> {
    let class = &opened.classes[k];
    let none =
        CheckedClass { presence: LesionPresence::Unknown, mask: None, pixels: 0, lesions: 0, smallest: 0, largest: 0 };
    let Some((file, path, digest)) = opened.mask_path(k) else {
        let presence = match opened.without_mask(k) {
            WithoutMask::Absent => LesionPresence::Absent,
            WithoutMask::Unknown => LesionPresence::Unknown,
            WithoutMask::Present => LesionPresence::Present,
        };
        return Ok(CheckedClass { presence, ..none });
    };
    let none = CheckedClass { mask: Some(digest), ..none };
    let faulty = CheckedClass { presence: LesionPresence::Faulty, ..none };
    if let Some(refused) = (with.refused)(&file) {
        found.note_mask(refused, class, &path);
        return Ok(faulty);
    }
    // Without its photograph, a mask can still be decoded.
    let read = photograph.map_or_else(|| opened.mask_of_file(k), |photograph| opened.mask(k, photograph));
    let mask = match read {
        Ok(Some(mask)) => mask,
        Ok(None) => return Ok(faulty),
        Err(error) => {
            found.note_mask(DataFinding::of_error(error)?, class, &path);
            return Ok(faulty);
        }
    };
    let runs = runs(mask.bits());
    let sizes = components(&runs, Connectivity::Eight).into_iter().map(|lesion| pixels(&lesion)).collect::<Vec<u64>>();
    let total = mask.bits().count();
    if let (Some(photograph), 1..) = (photograph, total) {
        let background = field.get_or_insert_with(|| PixelSet::background(photograph));
        let outside: u64 = runs.iter().map(|run| background.covered(run)).sum();
        let all = (photograph.width * photograph.height) as u64;
        // A photograph that is dark as a whole has no field of view.
        if outside * 2 > total && background.count() * DARK < all * (DARK - 1) {
            let text = format!(
                "the mask of `{class}` of `{}` has most of its lesion pixels outside of the field of view",
                found.name
            );
            let hint = "check that it is the mask of this photograph, and not mirrored or shifted";
            found.note_mask(DataFinding::warning("mask-outside-field", text).hint(hint), class, &path);
        }
    }
    let presence = if total > 0 { LesionPresence::Present } else { LesionPresence::Absent };
    let (smallest, largest) = (sizes.iter().min(), sizes.iter().max());
    Ok(CheckedClass {
        presence,
        pixels: total,
        lesions: sizes.len() as u64,
        smallest: smallest.copied().unwrap_or(0),
        largest: largest.copied().unwrap_or(0),
        ..none
    })
}

fn pixels(runs: &[PixelRun]) -> u64 {
    runs.iter().map(|run| u64::from(run.right - run.left)).sum()
}
