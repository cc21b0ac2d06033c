//! A photograph with its masks as one item of a map stage. Knows no stage.

use std::cell::{Cell, RefCell};

use rayon::prelude::*;

use super::decode::{Photograph, is_jpeg};
use super::mask::{MaskContent, Mask, MaskValues};
use super::orientation::Orientation;
use super::photographs::{PhotographFacts, PhotographSet, WithoutMask};
use super::mask_issues::{MaskIssueKind, MaskIssue};
use crate::base::Digest;
use crate::stage::{Item, StageError};
use crate::store::{Entry, Objects, Tree};

/// The classes of a photograph set.
///
/// # Errors
/// As the store's.
pub fn classes(set: &Tree, objects: &Objects) -> Result<Vec<String>, StageError> {
    Ok(described(set, objects)?.classes)
}

fn described(set: &Tree, objects: &Objects) -> Result<PhotographSet, StageError> {
    let missing = || StageError::Bug("a photograph set without `set.json`".to_owned());
    let bytes = objects.read_in(set, "set.json")?.ok_or_else(missing)?;
    serde_json::from_slice(&bytes).map_err(|error| StageError::Bug(format!("`set.json`: {error}")))
}

/// The photographs of a set as items: each has its own files and the classes, so that one more changes no other.
///
/// # Errors
/// As the store's.
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
        // A JPEG of a fundus grows about a hundredfold; everything else holds about what it takes.
        let photograph = tree.under("photograph.").next();
        let bytes_in_flight =
            photograph.map_or(
                0,
                |(extension, entry)| {
                    if extension.starts_with("jp") { entry.size * 100 } else { entry.size * 4 }
                },
            );
        Item { name: name.clone(), tree, bytes_in_flight }
    };
    Ok(described.photographs.par_iter().map(item).collect())
}

/// What is known of one lesion class in a photograph.
pub enum Annotation {
    /// Where the lesion is.
    Mask(Mask),
    /// The lesion is absent.
    Absent,
    /// It was not annotated.
    Unknown,
}

impl Annotation {
    /// The mask, if there is one.
    #[must_use]
    pub const fn mask(&self) -> Option<&Mask> {
        if let Self::Mask(mask) = self { Some(mask) } else { None }
    }
}

/// What an item holds, opened one by one.
pub struct OpenPhotograph<'a> {
    name: &'a str,
    tree: &'a Tree,
    objects: &'a Objects,
    /// How the photograph had to be turned.
    turned: Cell<Orientation>,
    issues: RefCell<Vec<MaskIssue>>,
    /// What is known of the photograph.
    pub facts: PhotographFacts,
    /// The lesion classes in the order of the labels.
    pub classes: Vec<String>,
}

impl<'a> OpenPhotograph<'a> {
    /// Reads the facts of an item.
    ///
    /// # Errors
    /// As the store's.
    pub fn new(name: &'a str, tree: &'a Tree, objects: &'a Objects) -> Result<Self, StageError> {
        let read = |file: &str| {
            let missing = || StageError::Bug(format!("photograph `{name}` without `{file}`"));
            objects.read_in(tree, file)?.ok_or_else(missing)
        };
        let wrong = |error: serde_json::Error| StageError::Bug(format!("photograph `{name}`: {error}"));
        let facts = serde_json::from_slice(&read("facts.json")?).map_err(wrong)?;
        let classes = serde_json::from_slice(&read("classes.json")?).map_err(wrong)?;
        Ok(Self { name, tree, objects, turned: Cell::default(), issues: RefCell::default(), facts, classes })
    }

    /// Decodes the photograph into memory that is used again, and gives its digest.
    ///
    /// # Errors
    /// As [`Photograph::decode`] and the store's.
    pub fn photograph(&self, into: &mut Photograph) -> Result<Digest, StageError> {
        let (file, entry) = self.photograph_entry()?;
        let bytes = self.objects.read(entry)?;
        self.turned.set(into.decode(&bytes, &self.shown(&file, entry))?);
        Ok(entry.digest)
    }

    /// The mask of class `k`, beside the photograph that was decoded; [`None`] if there is no such file (then
    /// [`OpenPhotograph::without_mask`] says what that means).
    ///
    /// # Errors
    /// `damaged-mask`, `mask-size` or `photograph-orientation`, naming the files, and the store's.
    pub fn mask(&self, k: usize, photograph: &Photograph) -> Result<Option<Mask>, StageError> {
        let prefix = format!("mask.{}.", self.classes[k]);
        let Some((extension, entry)) = self.tree.under(&prefix).next() else { return Ok(None) };
        let shown = self.shown(&format!("{prefix}{extension}"), entry);
        let bytes = self.objects.read(entry)?;
        let content = if self.facts.counted { MaskContent::Counts } else { MaskContent::Lesion(self.facts.threshold()) };
        let mask = Mask::read(&bytes, content).map_err(|reason| {
            let hint = if is_jpeg(&bytes) {
                "save it as PNG or TIFF; `folder` reads a JPEG mask where `mask-from` says from which value on: `mask-from 128`"
            } else {
                "masks are PNG or TIFF (bilevel, grey, palette, RGB; plain, PackBits, LZW or Deflate)"
            };
            StageError::input("damaged-mask", format!("mask `{shown}` cannot be read: {reason}")).hint(hint)
        })?;
        let size = (mask.bits().width(), mask.bits().height());
        if size != (photograph.width, photograph.height) {
            return Err(self.other_size(&shown, &mask, photograph)?);
        }
        if !self.facts.counted {
            self.note_issues(&self.classes[k], &mask, self.photograph_entry()?.1 == entry);
        }
        Ok(Some(mask))
    }

    /// The error of a mask that does not fit its photograph.
    fn other_size(&self, shown: &str, mask: &Mask, photograph: &Photograph) -> Result<StageError, StageError> {
        let (file, entry) = self.photograph_entry()?;
        let (width, height) = (mask.bits().width(), mask.bits().height());
        let text = format!(
            "mask `{shown}` is {width} x {height}, but its photograph `{}` is {} x {}",
            self.shown(&file, entry),
            photograph.width,
            photograph.height
        );
        let turned = self.turned.get();
        let stored = turned.shown((photograph.width, photograph.height));
        Ok(if turned.swaps() && stored == (width, height) {
            let text = format!("{text} as its orientation ({}) shows it", turned.number());
            StageError::input("photograph-orientation", text)
                .hint("the mask fits the pixels as they are stored: turn the mask, or take the orientation out of the photograph")
        } else if mask.turned().swaps() {
            let text = format!("{text}: the mask was turned by its orientation ({})", mask.turned().number());
            StageError::input("mask-size", text).hint("take the orientation out of the mask if it fits as it is stored")
        } else {
            StageError::input("mask-size", text).hint("each mask must be as large as its photograph")
        })
    }

    fn note_issues(&self, class: &str, mask: &Mask, is_photograph: bool) {
        let (width, height) = (mask.bits().width(), mask.bits().height());
        let mut issues = self.issues.borrow_mut();
        let mut note = |kind| issues.push(MaskIssue { class: class.to_owned(), kind });
        match mask.seen() {
            _ if is_photograph => note(MaskIssueKind::Photograph),
            MaskValues::Photograph => note(MaskIssueKind::Photograph),
            MaskValues::Soft => note(MaskIssueKind::Soft),
            MaskValues::Many => note(MaskIssueKind::ManyValues),
            MaskValues::Two => {}
        }
        if mask.bits().count() * 2 > (width * height) as u64 {
            note(MaskIssueKind::CoversMost);
        }
        let (own, other) = (mask.turned(), self.turned.get());
        if own != other && (width == height || own.swaps() == other.swaps()) {
            note(MaskIssueKind::Turned);
        }
    }

    /// What is known of class `k` in the photograph that was decoded.
    ///
    /// # Errors
    /// As [`OpenPhotograph::mask`].
    pub fn annotation(&self, k: usize, photograph: &Photograph) -> Result<Annotation, StageError> {
        Ok(match self.mask(k, photograph)? {
            Some(mask) => Annotation::Mask(mask),
            None if self.without_mask(k) == WithoutMask::Absent => Annotation::Absent,
            None => Annotation::Unknown,
        })
    }

    /// What was odd about the masks that were read.
    #[must_use]
    pub fn issues(&self) -> Vec<MaskIssue> {
        self.issues.take()
    }

    /// What it means that class `k` has no mask file.
    #[must_use]
    pub fn without_mask(&self, k: usize) -> WithoutMask {
        self.facts.without_mask.get(k).copied().unwrap_or(WithoutMask::Unknown)
    }

    fn photograph_entry(&self) -> Result<(String, &Entry), StageError> {
        let found = self.tree.under("photograph.").next();
        let missing = || StageError::Bug(format!("photograph `{}` without a picture", self.name));
        found.map(|(extension, entry)| (format!("photograph.{extension}"), entry)).ok_or_else(missing)
    }

    /// A file's path where it is the user's own, else its place in the set.
    fn shown(&self, file: &str, entry: &Entry) -> String {
        let place = format!("{}/{file}", self.name);
        let path = self.objects.outside(entry, &place);
        path.map_or(place, |path| path.display().to_string())
    }
}
