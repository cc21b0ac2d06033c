//! A photograph with its masks as one item of a map stage. Knows no stage.

use rayon::prelude::*;

use super::decode::Photograph;
use super::mask::{Content, Mask, Threshold};
use super::photographs::{PhotographFacts, PhotographSet, WithoutMask};
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

/// What an item holds, opened one by one.
pub struct Opened<'a> {
    name: &'a str,
    tree: &'a Tree,
    objects: &'a Objects,
    /// What is known of the photograph.
    pub facts: PhotographFacts,
    /// The lesion classes in the order of the labels.
    pub classes: Vec<String>,
}

impl<'a> Opened<'a> {
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
        Ok(Self { name, tree, objects, facts, classes })
    }

    /// Decodes the photograph into memory that is used again, and gives its digest.
    ///
    /// # Errors
    /// As [`Photograph::decode`] and the store's.
    pub fn photograph(&self, into: &mut Photograph) -> Result<Digest, StageError> {
        let (file, entry) = self.photograph_entry()?;
        let bytes = self.objects.read(entry)?;
        into.decode(&bytes, &self.shown(&file, entry))?;
        Ok(entry.digest)
    }

    /// The mask of class `k`; [`None`] where there is no file (then [`Opened::without_mask`] says what that means).
    ///
    /// # Errors
    /// `damaged-mask` or `mask-size`, naming the files, and the store's.
    pub fn mask(&self, k: usize, photograph: &Photograph) -> Result<Option<Mask>, StageError> {
        let prefix = format!("mask.{}.", self.classes[k]);
        let Some((extension, entry)) = self.tree.under(&prefix).next() else { return Ok(None) };
        let shown = self.shown(&format!("{prefix}{extension}"), entry);
        let bytes = self.objects.read(entry)?;
        let threshold = Threshold(self.facts.mask_from);
        let content = if self.facts.counted { Content::Counts } else { Content::Lesion(threshold) };
        let mask = Mask::read(&bytes, content).map_err(|reason| {
            StageError::input("damaged-mask", format!("mask `{shown}` can't be read: {reason}"))
                .hint("masks are PNG or TIFF (bilevel, grey, palette, RGB; plain, PackBits, LZW or Deflate)")
        })?;
        let size = (mask.bits().width(), mask.bits().height());
        if size != (photograph.width, photograph.height) {
            let (file, entry) = self.photograph_entry()?;
            let text = format!(
                "mask `{shown}` is {} x {}, but its photograph `{}` is {} x {}",
                size.0,
                size.1,
                self.shown(&file, entry),
                photograph.width,
                photograph.height
            );
            return Err(StageError::input("mask-size", text).hint("each mask must be as large as its photograph"));
        }
        Ok(Some(mask))
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
        let path = self.objects.locate(entry).filter(|path| path.extension().is_some());
        path.map_or_else(|| format!("{}/{file}", self.name), |path| path.display().to_string())
    }
}
