//! A photograph and its masks as one item of a map stage. Knows no stage.

use std::cell::RefCell;

use rayon::prelude::*;

use super::annotations::{DRAWN, DrawnMask};
use super::decode::{DecodedInfo, Photograph, is_jpeg};
use super::image_issues::{ImageIssue, ImageIssueKind};
use super::mask::{self, Mask, MaskValues};
use super::orientation::Orientation;
use super::photographs::{LabelScheme, PhotographFacts, PhotographSet, WithoutMask};
use super::slide_region::{self, SlideRegion};
use super::slides::{self, BlockMemory, RegionMaskFault};
use super::source_tree::DICOM;
use crate::base::Digest;
use crate::stage::{Item, StageError};
use crate::store::{Entry, Objects, Tree};

/// Bytes that decoding a DICOM takes at most, in addition to what its file's size explains.
const LARGE_DICOM: u64 = 256 << 20;

/// How the classes of a photograph set relate.
///
/// # Errors
/// Store errors.
pub fn labels(set: &Tree, objects: &Objects) -> Result<LabelScheme, StageError> {
    Ok(described(set, objects)?.labels)
}

/// Lesion classes of a photograph set.
///
/// # Errors
/// Store errors.
pub fn classes(set: &Tree, objects: &Objects) -> Result<Vec<String>, StageError> {
    Ok(described(set, objects)?.classes)
}

/// Names of the photographs of a set.
///
/// # Errors
/// Store errors.
pub fn names(set: &Tree, objects: &Objects) -> Result<Vec<String>, StageError> {
    Ok(described(set, objects)?.photographs)
}

pub(super) fn described(set: &Tree, objects: &Objects) -> Result<PhotographSet, StageError> {
    let missing = || StageError::Bug("a photograph set without `set.json`".to_owned());
    let bytes = objects.read_in(set, "set.json")?.ok_or_else(missing)?;
    serde_json::from_slice(&bytes).map_err(|error| StageError::Bug(format!("`set.json`: {error}")))
}

/// The photographs of a set as items. Each holds its own files and the classes, so adding a photograph changes no other item.
///
/// # Errors
/// Store errors.
pub fn items(set: &Tree, objects: &Objects) -> Result<Vec<Item>, StageError> {
    let described = described(set, objects)?;
    let classes = serde_json::to_vec(&described.classes).map_err(|error| StageError::Bug(error.to_string()))?;
    let classes = objects.put(&classes)?;
    let item = |name: &String| {
        let mut tree = Tree::default();
        for (file, entry) in set.under(&format!("{name}/")) {
            tree.insert(file, *entry);
        }
        tree.insert("classes.json", classes);
        // Decoding enlarges a fundus JPEG about a hundredfold; other formats much less. A DICOM may be either.
        let photograph = tree.under("photograph.").next();
        let bytes_in_flight = photograph.map_or(0, |(extension, entry)| match extension {
            _ if extension.starts_with("jp") => entry.size * 100,
            DICOM => (entry.size * 100).min(entry.size * 4 + LARGE_DICOM),
            _ => entry.size * 4,
        });
        Item { name: name.clone(), tree, bytes_in_flight }
    };
    let mut items: Vec<Item> = described.photographs.par_iter().map(item).collect();
    let mut blocks = BlockMemory::default();
    for item in &mut items {
        if let Some(region) = region_of(&item.name, &item.tree, objects)? {
            item.bytes_in_flight = region.bytes_in_flight() + largest_block(item, &region, &mut blocks, objects);
        }
    }
    Ok(items)
}

/// Most bytes that the strips or tiles of one file take while a region and its masks are read, which is done one after the other.
fn largest_block(item: &Item, region: &SlideRegion, known: &mut BlockMemory, objects: &Objects) -> u64 {
    let files = item.tree.entries.iter().filter_map(|(file, entry)| {
        let is_mask = file.starts_with("mask.") && !file.ends_with(&format!(".{DRAWN}"));
        let level = file.starts_with("photograph.").then_some(region.level_size);
        (is_mask || level.is_some()).then_some((file, entry, level))
    });
    let bytes = files.map(|(file, entry, level)| {
        known.of(entry.digest, level, || objects.outside(entry, &format!("{}/{file}", item.name)))
    });
    bytes.max().unwrap_or(0)
}

/// The region of a slide that a photograph is; [`None`] if its file is the photograph.
fn region_of(name: &str, tree: &Tree, objects: &Objects) -> Result<Option<SlideRegion>, StageError> {
    let Some(bytes) = objects.read_in(tree, slide_region::FILE)? else { return Ok(None) };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| StageError::Bug(format!("photograph `{name}`: {error}")))
}

/// Annotation of one lesion class in a photograph.
pub enum Annotation {
    /// The lesion's mask.
    Mask(Mask),
    /// The lesion is absent.
    Absent,
    /// It was not annotated.
    Unknown,
    /// The lesion is somewhere in the photograph.
    Present,
}

impl Annotation {
    /// The mask, if there is one.
    #[must_use]
    pub const fn mask(&self) -> Option<&Mask> {
        if let Self::Mask(mask) = self { Some(mask) } else { None }
    }

    /// What it says of a part of its photograph.
    #[must_use]
    pub fn of_part(self, labels: LabelScheme) -> Self {
        match self {
            Self::Present => Self::Unknown,
            // Of a part of a photograph with one class, it is not known which class it shows, nor which it does not.
            _ if !labels.is_multi_label() => Self::Unknown,
            other => other,
        }
    }
}

/// Reader of a photograph item: facts, photograph and masks.
pub struct OpenPhotograph<'a> {
    name: &'a str,
    tree: &'a Tree,
    objects: &'a Objects,
    /// What decoding the photograph found out; [`None`] before.
    decoded: RefCell<Option<DecodedInfo>>,
    issues: RefCell<Vec<ImageIssue>>,
    /// The region that it is, if its file is a slide.
    region: Option<SlideRegion>,
    /// Facts about the photograph.
    pub facts: PhotographFacts,
    /// Lesion classes in label order.
    pub classes: Vec<String>,
}

impl<'a> OpenPhotograph<'a> {
    /// Reads the facts of an item.
    ///
    /// # Errors
    /// Store errors.
    pub fn new(name: &'a str, tree: &'a Tree, objects: &'a Objects) -> Result<Self, StageError> {
        let read = |file: &str| {
            let missing = || StageError::Bug(format!("photograph `{name}` without `{file}`"));
            objects.read_in(tree, file)?.ok_or_else(missing)
        };
        let wrong = |error: serde_json::Error| StageError::Bug(format!("photograph `{name}`: {error}"));
        let facts = serde_json::from_slice(&read("facts.json")?).map_err(wrong)?;
        let classes = serde_json::from_slice(&read("classes.json")?).map_err(wrong)?;
        let region = region_of(name, tree, objects)?;
        let (decoded, issues) = (RefCell::default(), RefCell::default());
        Ok(Self { name, tree, objects, decoded, issues, region, facts, classes })
    }

    /// Decodes the photograph into reused memory and returns its digest.
    ///
    /// # Errors
    /// As [`Photograph::decode`]; store errors.
    pub fn photograph(&self, into: &mut Photograph) -> Result<Digest, StageError> {
        let (file, entry) = self.photograph_entry()?;
        let info = if let Some(region) = &self.region {
            slides::read(&self.objects.open_part(entry)?, region, &self.shown(&file, entry), into)?
        } else {
            let bytes = self.objects.read(entry)?;
            into.decode(&bytes, &self.shown(&file, entry))?
        };
        let mut issues = self.issues.borrow_mut();
        issues.extend(info.issues.iter().map(|kind| ImageIssue::new("", *kind)));
        let of_profile = |profile| ImageIssue { profile, ..ImageIssue::new("", ImageIssueKind::ColourProfile) };
        issues.extend(info.profile.clone().map(of_profile));
        drop(issues);
        self.decoded.replace(Some(info));
        self.digest()
    }

    /// What decoding the photograph found out next to its pixels; [`None`] if it was not decoded.
    #[must_use]
    pub fn decoded(&self) -> Option<DecodedInfo> {
        self.decoded.borrow().clone()
    }

    /// Orientation applied to the photograph.
    fn turned(&self) -> Orientation {
        self.decoded.borrow().as_ref().map_or(Orientation::UPRIGHT, |info| info.orientation)
    }

    /// Path of the photograph's file, or else its path within the set.
    ///
    /// # Errors
    /// [`StageError::Bug`] without a file.
    pub fn photograph_path(&self) -> Result<String, StageError> {
        let (file, entry) = self.photograph_entry()?;
        Ok(self.shown(&file, entry))
    }

    /// The mask file of class `k` within the item, its path as [`OpenPhotograph::photograph_path`], and its digest; [`None`] if there is no
    /// such file.
    #[must_use]
    pub fn mask_path(&self, k: usize) -> Option<(String, String, Digest)> {
        let prefix = format!("mask.{}.", self.classes[k]);
        let (extension, entry) = self.tree.under(&prefix).next()?;
        let file = format!("{prefix}{extension}");
        let path = self.shown(&file, entry);
        Some((file, path, entry.digest))
    }

    /// Digest of the photograph's file; of a region, that of the slide's file and the region.
    ///
    /// # Errors
    /// [`StageError::Bug`] without a file.
    pub fn digest(&self) -> Result<Digest, StageError> {
        let file = self.photograph_entry()?.1.digest;
        Ok(self.region.map_or(file, |region| region.identity(&file)))
    }

    /// Whether it is a region of a slide.
    #[must_use]
    pub const fn is_region(&self) -> bool {
        self.region.is_some()
    }

    /// Whether it is a region of a slide, or was one before it was changed: labels of the slide do not hold for it.
    #[must_use]
    pub const fn is_part(&self) -> bool {
        self.is_region() || self.facts.part
    }

    /// The mask of class `k`, checked against the decoded photograph; [`None`] if there is no such file (see
    /// [`OpenPhotograph::without_mask`]).
    ///
    /// # Errors
    /// `damaged-mask`, `mask-size` or `photograph-orientation`, naming the files; store errors.
    pub fn mask(&self, k: usize, photograph: &Photograph) -> Result<Option<Mask>, StageError> {
        let Some((mask, shown, entry)) = self.read_mask(k)? else { return Ok(None) };
        let size = (mask.bits().width(), mask.bits().height());
        if size != (photograph.width, photograph.height) {
            return Err(self.other_size(&shown, &mask, photograph)?);
        }
        if !self.facts.counted {
            self.note_issues(k, &mask, &entry)?;
        }
        Ok(Some(mask))
    }

    /// Whether the mask of class `k` has a lesion pixel; [`None`] if the class is not annotated.
    ///
    /// # Errors
    /// `damaged-mask`, naming the file; store errors.
    pub fn has_lesion(&self, k: usize) -> Result<Option<bool>, StageError> {
        Ok(match self.read_mask(k)? {
            Some((mask, ..)) => Some(mask.bits().count() > 0),
            None => match self.without_mask(k) {
                WithoutMask::Absent => Some(false),
                WithoutMask::Present => Some(true),
                WithoutMask::Unknown => None,
            },
        })
    }

    /// The mask of class `k`, without checking it against the photograph; [`None`] if there is no such file.
    ///
    /// # Errors
    /// `damaged-mask`, naming the file; store errors.
    pub fn mask_of_file(&self, k: usize) -> Result<Option<Mask>, StageError> {
        Ok(self.read_mask(k)?.map(|(mask, ..)| mask))
    }

    /// The mask of class `k`, its path and its file.
    fn read_mask(&self, k: usize) -> Result<Option<(Mask, String, Entry)>, StageError> {
        let prefix = format!("mask.{}.", self.classes[k]);
        let Some((extension, entry)) = self.tree.under(&prefix).next() else { return Ok(None) };
        let shown = self.shown(&format!("{prefix}{extension}"), entry);
        if let Some(region) = self.region.filter(|_| extension != DRAWN) {
            return Ok(Some((self.read_region_mask(k, &region, &shown, entry)?, shown, *entry)));
        }
        let bytes = self.objects.read(entry)?;
        if extension == DRAWN {
            let drawn = DrawnMask::from_bytes(&bytes).map_err(|reason| {
                StageError::input("damaged-mask", format!("mask `{shown}` cannot be read: {reason}"))
            })?;
            return Ok(Some((Mask::released(drawn.bits()), shown, *entry)));
        }
        let mask = Mask::read(&bytes, self.facts.mask_content(k)).map_err(|reason| {
            let hint = if is_jpeg(&bytes) {
                "save it as PNG or TIFF, or set a threshold for JPEG masks in `folder`: `mask-from 128`"
            } else {
                "supported masks are PNG and TIFF (bilevel, grey, palette, RGB; uncompressed, PackBits, LZW or Deflate)"
            };
            StageError::input("damaged-mask", format!("mask `{shown}` cannot be read: {reason}")).hint(hint)
        })?;
        Ok(Some((mask, shown, *entry)))
    }

    /// The mask of class `k` of a region, from the mask of its slide.
    fn read_region_mask(&self, k: usize, region: &SlideRegion, shown: &str, entry: &Entry) -> Result<Mask, StageError> {
        let opened = self.objects.open_part(entry)?;
        slides::region_mask(&opened, region, self.facts.mask_content(k), shown).map_err(|fault| match fault {
            RegionMaskFault::Other(error) => error,
            RegionMaskFault::Size([width, height]) => {
                let [across, down] = region.level_size;
                let text = format!(
                    "mask `{shown}` is {width} x {height} px, which is not a whole multiple or part of its slide's level of {across} x {down} px"
                );
                StageError::input("mask-size", text).hint("a mask must show the whole slide, at the size of one of its levels")
            }
            RegionMaskFault::Damaged(reason) => {
                let text = format!("mask `{shown}` cannot be read at x {} y {}: {reason}", region.left, region.top);
                StageError::input("damaged-mask", text).hint(
                    "masks of slides are TIFF (bilevel, grey, palette, RGB; uncompressed, PackBits, LZW or Deflate), preferably in tiles",
                )
            }
        })
    }

    /// Error for a mask whose size differs from its photograph's.
    fn other_size(&self, shown: &str, mask: &Mask, photograph: &Photograph) -> Result<StageError, StageError> {
        let (file, entry) = self.photograph_entry()?;
        let (width, height) = (mask.bits().width(), mask.bits().height());
        let text = format!(
            "mask `{shown}` is {width} x {height} px, but its photograph `{}` is {} x {} px",
            self.shown(&file, entry),
            photograph.width,
            photograph.height
        );
        let turned = self.turned();
        let stored = turned.shown((photograph.width, photograph.height));
        Ok(if turned.swaps() && stored == (width, height) {
            let text = format!("{text} after applying its orientation ({})", turned.number());
            StageError::input("photograph-orientation", text)
                .hint("the mask matches the pixels as stored: rotate the mask, or remove the orientation tag from the photograph")
        } else if mask.turned().swaps() {
            let text = format!("{text}; the mask was rotated by its orientation tag ({})", mask.turned().number());
            StageError::input("mask-size", text)
                .hint("remove the orientation tag from the mask if it matches as stored")
        } else {
            StageError::input("mask-size", text).hint("a mask must have the size of its photograph")
        })
    }

    /// Notes what looks wrong about the mask of class `k`, whose file is `entry`.
    fn note_issues(&self, k: usize, mask: &Mask, entry: &Entry) -> Result<(), StageError> {
        let others = self.other_values(k, entry)?;
        let (width, height) = (mask.bits().width(), mask.bits().height());
        let is_photograph = self.photograph_entry()?.1 == entry;
        // Black masks of absent lesions are rightly the same.
        let is_shared = || {
            if self.facts.is_common_mask(k) {
                return false;
            }
            let mut others = self.classes.iter().enumerate().filter(|(other, _)| *other != k);
            let same =
                |class: &str| self.tree.under(&format!("mask.{class}.")).next().is_some_and(|(_, own)| own == entry);
            mask.bits().count() > 0 && others.any(|(_, class)| same(class))
        };
        let mut issues = self.issues.borrow_mut();
        if !others.is_empty() {
            issues
                .push(ImageIssue { values: others, ..ImageIssue::new(&self.classes[k], ImageIssueKind::OtherValues) });
        }
        let mut note = |kind| issues.push(ImageIssue::new(&self.classes[k], kind));
        let is_empty = mask.bits().count() == 0;
        if self.facts.told_absent.contains(&k) && !is_empty {
            note(ImageIssueKind::LabelAbsent);
        }
        // A slide's lesion need not be in every region.
        if self.without_mask(k) == WithoutMask::Present && is_empty && !self.is_part() {
            note(ImageIssueKind::LabelPresent);
        }
        match mask.seen() {
            _ if is_photograph => note(ImageIssueKind::Photograph),
            MaskValues::Photograph => note(ImageIssueKind::Photograph),
            MaskValues::Soft => note(ImageIssueKind::Soft),
            MaskValues::Many => note(ImageIssueKind::ManyValues),
            MaskValues::Two => {}
        }
        if is_shared() {
            note(ImageIssueKind::SharedMask);
        }
        // Tissue may well fill a picture, and a tumour a region.
        if !self.facts.is_common_mask(k) && !self.is_region() && mask.bits().count() * 2 > (width * height) as u64 {
            note(ImageIssueKind::CoversMost);
        }
        let (own, other) = (mask.turned(), self.turned());
        // Shapes are drawn in the photograph as it is shown.
        let is_drawn = self.tree.get(&format!("mask.{}.{DRAWN}", self.classes[k])).is_some();
        if !is_drawn && own != other && (width == height || own.swaps() == other.swaps()) {
            note(ImageIssueKind::Turned);
        }
        Ok(())
    }

    /// Values of no class in the common mask of class `k`; nothing if it is that of an earlier class as well, or of a slide, whose mask is not
    /// read as a whole.
    fn other_values(&self, k: usize, entry: &Entry) -> Result<Vec<(String, u64)>, StageError> {
        let is_of_earlier =
            |class: &String| self.tree.under(&format!("mask.{class}.")).next().is_some_and(|(_, own)| own == entry);
        if self.is_region() || !self.facts.is_common_mask(k) || self.classes[..k].iter().any(is_of_earlier) {
            return Ok(Vec::new());
        }
        let classes: Vec<_> = self.facts.mask_values.iter().flatten().copied().collect();
        // A mask that cannot be read is an error before this.
        Ok(mask::other_values(&self.objects.read(entry)?, &classes).unwrap_or_default())
    }

    /// Annotation of class `k` of the decoded photograph.
    ///
    /// # Errors
    /// As [`OpenPhotograph::mask`].
    pub fn annotation(&self, k: usize, photograph: &Photograph) -> Result<Annotation, StageError> {
        Ok(match self.mask(k, photograph)? {
            Some(mask) => Annotation::Mask(mask),
            None => match self.without_mask(k) {
                WithoutMask::Absent => Annotation::Absent,
                WithoutMask::Present => Annotation::Present,
                WithoutMask::Unknown => Annotation::Unknown,
            },
        })
    }

    /// Issues of the masks read so far.
    #[must_use]
    pub fn issues(&self) -> Vec<ImageIssue> {
        self.issues.take()
    }

    /// Meaning of a missing mask file of class `k`.
    #[must_use]
    pub fn without_mask(&self, k: usize) -> WithoutMask {
        self.facts.without_mask.get(k).copied().unwrap_or(WithoutMask::Unknown)
    }

    fn photograph_entry(&self) -> Result<(String, &Entry), StageError> {
        let found = self.tree.under("photograph.").next();
        let missing = || StageError::Bug(format!("photograph `{}` without a picture", self.name));
        found.map(|(extension, entry)| (format!("photograph.{extension}"), entry)).ok_or_else(missing)
    }

    /// Path of a file of the user's, or else its path within the set.
    fn shown(&self, file: &str, entry: &Entry) -> String {
        let place = format!("{}/{file}", self.name);
        let path = self.objects.outside(entry, &place);
        path.map_or(place, |path| path.display().to_string())
    }
}
