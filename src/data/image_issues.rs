//! Issues of photographs and masks that can be decoded but look wrong: stored next to an item's result, reported once all items are
//! done. Knows no stage.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::figure::counted;
use crate::stage::{Item, StageError, Warning};
use crate::store::{Objects, Tree};

/// File in an item's result that holds its issues; only present if there are any, and never part of an output.
pub const FILE: &str = "remarks.json";

/// Code of the warning about masks that cover more than half of their photograph.
pub const COVERS_MOST: &str = "mask-covers-most";

/// Code of the warning about colour profiles.
const COLOUR_PROFILE: &str = "colour-profile";

/// Profiles that a warning names.
const PROFILES: usize = 3;

/// What a colour profile means for the pixels.
const PROFILE_MEANING: &str = "profiles are not applied, so the same colour has other values; convert to sRGB (`magick IN -profile sRGB.icc OUT`)";

/// An issue of one image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageIssue {
    /// Lesion class of the mask; empty for an issue of the photograph.
    pub class: String,
    /// Kind of the issue.
    #[serde(rename = "odd")]
    pub kind: ImageIssueKind,
    /// Values of no class and their pixels, of [`ImageIssueKind::OtherValues`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<(String, u64)>,
    /// The colour profile; empty for an issue of another kind.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub profile: String,
}

/// Kind of an issue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImageIssueKind {
    /// A mask covers more than half of its photograph.
    CoversMost,
    /// A mask has values between black and white: soft edges, or several levels.
    Soft,
    /// A mask has more than two values.
    ManyValues,
    /// A mask looks like a photograph, or is one.
    Photograph,
    /// A mask and its photograph have different orientations, and the sizes do not show which is right.
    Turned,
    /// A mask with lesion pixels has the same bytes as that of another class.
    SharedMask,
    /// A mask of several classes has values that belong to none.
    OtherValues,
    /// A mask has lesion pixels, but a table says that the lesion is absent.
    LabelAbsent,
    /// A mask has no lesion pixel, but a table says that the lesion is present.
    LabelPresent,
    /// A photograph uses only the lowest part of its 16-bit range.
    Dark,
    /// A DICOM of more than 8 bits states no window.
    NoWindow,
    /// A DICOM's pixels are not square.
    PixelAspect,
    /// A DICOM says that there is text in its pixels.
    BurnedIn,
    /// A photograph has a colour profile other than sRGB.
    ColourProfile,
}

impl ImageIssue {
    /// An issue of the mask of a class; of the photograph, if it is empty.
    #[must_use]
    pub fn new(class: &str, kind: ImageIssueKind) -> Self {
        Self { class: class.to_owned(), kind, values: Vec::new(), profile: String::new() }
    }

    /// The warning about this image, of the photograph with this name.
    #[must_use]
    pub fn warning(&self, photograph: &str) -> Warning {
        let Self { class, kind, values, .. } = self;
        if *kind == ImageIssueKind::OtherValues {
            let text = format!("the mask of `{photograph}` has {}", of_no_class(values));
            return Warning { code: kind.code().to_owned(), text };
        }
        let (one, _, meaning) = kind.text();
        let text = if class.is_empty() {
            format!("photograph `{photograph}` {one}: {meaning}")
        } else {
            format!("the mask of `{class}` of `{photograph}` {one}: {meaning}")
        };
        Warning { code: kind.code().to_owned(), text }
    }
}

/// Values that a warning names.
const NAMED: usize = 6;

/// `values of no class: 7 (12 pixels), 255 (3 pixels); they count as background`.
fn of_no_class(values: &[(String, u64)]) -> String {
    let named = |(value, count): &(String, u64)| format!("`{value}` ({})", counted(*count, "pixel", "pixels"));
    let list: Vec<String> = values.iter().take(NAMED).map(named).collect();
    let more = values.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("values of no class: {}{more}; they count as background", list.join(", "))
}

/// Kinds in the order in which they are reported.
const ALL: [ImageIssueKind; 13] = [
    ImageIssueKind::OtherValues,
    ImageIssueKind::LabelAbsent,
    ImageIssueKind::LabelPresent,
    ImageIssueKind::Dark,
    ImageIssueKind::NoWindow,
    ImageIssueKind::PixelAspect,
    ImageIssueKind::BurnedIn,
    ImageIssueKind::Photograph,
    ImageIssueKind::SharedMask,
    ImageIssueKind::CoversMost,
    ImageIssueKind::Turned,
    ImageIssueKind::Soft,
    ImageIssueKind::ManyValues,
];

impl ImageIssueKind {
    const fn code(self) -> &'static str {
        match self {
            Self::CoversMost => COVERS_MOST,
            Self::Soft => "soft-mask",
            Self::ManyValues => "mask-values",
            Self::Photograph => "mask-is-photograph",
            Self::Turned => "mask-orientation",
            Self::SharedMask => "shared-mask",
            Self::OtherValues => "value-of-no-class",
            Self::LabelAbsent | Self::LabelPresent => "label-contradicts-mask",
            Self::Dark => "dark-photograph",
            Self::NoWindow => "no-window",
            Self::PixelAspect => "pixel-aspect",
            Self::BurnedIn => "burned-in-text",
            Self::ColourProfile => COLOUR_PROFILE,
        }
    }

    /// The predicate in singular and plural, and what it means.
    const fn text(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::CoversMost => (
                "covers more than half of its photograph",
                "cover more than half of their photographs",
                "is the background white?",
            ),
            Self::Soft => (
                "has values between black and white",
                "have values between black and white",
                "pixels from half of white on count as lesion; set another threshold with `mask-from`",
            ),
            Self::ManyValues => (
                "has more than two values",
                "have more than two values",
                "every value but the background counts as lesion; set a threshold with `mask-from`",
            ),
            Self::Photograph => {
                ("looks like a photograph", "look like photographs", "a mask is black except for the lesion")
            }
            Self::Turned => (
                "has a different orientation tag than its photograph",
                "have different orientation tags than their photographs",
                "each file is rotated by its own tag (EXIF or TIFF orientation)",
            ),
            Self::SharedMask => (
                "is identical to that of another class",
                "are identical to those of other classes",
                "both classes get the same labels",
            ),
            Self::OtherValues => (
                "has values that belong to no class",
                "have values that belong to no class",
                "they count as background",
            ),
            Self::LabelAbsent => (
                "has lesion pixels, but its label in the table is absent",
                "have lesion pixels, but their labels in the table are absent",
                "the mask decides",
            ),
            Self::LabelPresent => (
                "has no lesion pixel, but its label in the table is present",
                "have no lesion pixel, but their labels in the table are present",
                "the mask decides",
            ),
            Self::Dark => (
                "uses less than a quarter of its 16-bit range",
                "use less than a quarter of their 16-bit range",
                "almost black in 8 bits; rescale the samples, or state the white level in the file",
            ),
            Self::NoWindow => (
                "has grey values of more than 8 bits and no window",
                "have grey values of more than 8 bits and no window",
                "black and white are the least and greatest value that its bits can hold",
            ),
            Self::PixelAspect => (
                "has pixels that are not square",
                "have pixels that are not square",
                "they are read as squares; resample the photographs, so that lesions keep their shapes",
            ),
            Self::ColourProfile => {
                ("has a colour profile other than sRGB", "have colour profiles other than sRGB", PROFILE_MEANING)
            }
            Self::BurnedIn => (
                "declares text in its pixels",
                "declare text in their pixels",
                "it may be a name; look at the photographs before you pass on results that show them",
            ),
        }
    }
}

/// Adds issues to an item's result.
///
/// # Errors
/// Store errors.
pub fn write(issues: &[ImageIssue], tree: &mut Tree, objects: &Objects) -> Result<(), StageError> {
    if !issues.is_empty() {
        let bytes = serde_json::to_vec(issues).map_err(|error| StageError::Bug(error.to_string()))?;
        tree.insert(FILE, objects.put(&bytes)?);
    }
    Ok(())
}

/// Values of no class in all masks, the most frequent first.
fn together(all: &[(&str, ImageIssue)]) -> Vec<(String, u64)> {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for (value, count) in all.iter().flat_map(|(_, issue)| &issue.values) {
        *counts.entry(value).or_default() += count;
    }
    let mut counts: Vec<(String, u64)> = counts.into_iter().map(|(value, count)| (value.to_owned(), count)).collect();
    counts.sort_by(|(one, many), (other, more)| more.cmp(many).then_with(|| one.cmp(other)));
    counts
}

/// Warnings about the issues of all items: one for each kind, naming the first image.
///
/// # Errors
/// Store errors.
pub fn warnings(results: &[(Item, Tree)], objects: &Objects) -> Result<Vec<Warning>, StageError> {
    let mut all: Vec<(&str, ImageIssue)> = Vec::new();
    for (item, result) in results {
        let Some(bytes) = objects.read_in(result, FILE)? else { continue };
        let own: Vec<ImageIssue> =
            serde_json::from_slice(&bytes).map_err(|error| StageError::Bug(format!("`{FILE}`: {error}")))?;
        all.extend(own.into_iter().map(|issue| (item.name.as_str(), issue)));
    }
    let warning = |kind: &ImageIssueKind| {
        let mut own = all.iter().filter(|(_, issue)| issue.kind == *kind);
        let (name, first) = own.next()?;
        let count = 1 + own.count() as u64;
        let (_, many, meaning) = kind.text();
        let class = &first.class;
        if *kind == ImageIssueKind::OtherValues && count > 1 {
            let text = format!(
                "{} have {} (first: that of `{name}`)",
                counted(count, "mask", "masks"),
                of_no_class(&together(&all))
            );
            return Some(Warning { code: kind.code().to_owned(), text });
        }
        let text = match (count, class.is_empty()) {
            (1, _) => return Some(first.warning(name)),
            (_, true) => {
                format!("{} {many} (first: `{name}`): {meaning}", counted(count, "photograph", "photographs"))
            }
            (_, false) => {
                format!("{} {many} (first: `{class}` of `{name}`): {meaning}", counted(count, "mask", "masks"))
            }
        };
        Some(Warning { code: kind.code().to_owned(), text })
    };
    let profiles = all.iter().filter(|(_, issue)| issue.kind == ImageIssueKind::ColourProfile);
    let profiles: Vec<(&str, &str)> = profiles.map(|(name, issue)| (*name, issue.profile.as_str())).collect();
    Ok(ALL.iter().filter_map(warning).chain(profile_warning(&profiles, results.len())).collect())
}

/// The warning about the colour profiles of a set of so many photographs, from the names of those that have one other than sRGB, and the
/// profiles; [`None`] without any.
#[must_use]
pub fn profile_warning(profiles: &[(&str, &str)], photographs: usize) -> Option<Warning> {
    let (first, _) = profiles.first()?;
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for (_, profile) in profiles {
        *counts.entry(profile).or_default() += 1;
    }
    let mut counts: Vec<(&str, u64)> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let shown = counts.iter().take(PROFILES);
    let mut shown: Vec<String> = shown.map(|(profile, count)| format!("{count} with `{profile}`")).collect();
    if counts.len() > PROFILES {
        shown.push(format!("{} with others", counts[PROFILES..].iter().map(|(_, count)| count).sum::<u64>()));
    }
    let (have, all) = (profiles.len() as u64, counted(photographs as u64, "photograph", "photographs"));
    let verb = if have == 1 { "has a colour profile" } else { "have colour profiles" };
    let text =
        format!("{have} of {all} {verb} other than sRGB ({}; first: `{first}`): {PROFILE_MEANING}", shown.join(", "));
    Some(Warning { code: COLOUR_PROFILE.to_owned(), text })
}
