//! Photographs found by the names that COCO and CVAT files give them. The names are compared, never opened as paths.

use std::collections::HashMap;

use crate::data::name_normalisation::normalised;

/// Photographs by name.
pub struct PictureNames {
    /// Parts of each photograph's path, normalised, the last one first; the first has no extension.
    paths: Vec<(Vec<String>, String)>,
    by_stem: HashMap<String, Vec<usize>>,
    /// By stem and folder, so that photographs with one name in many folders are not compared one by one.
    by_folder: HashMap<String, Vec<usize>>,
}

/// Parts of a path from its end, normalised, the first without extension; and the extension.
fn parts(path: &str) -> (Vec<String>, String) {
    let path = normalised(path);
    let mut parts: Vec<String> =
        path.split(['/', '\\']).filter(|part| !matches!(*part, "" | "." | "..")).map(str::to_owned).rev().collect();
    let Some(first) = parts.first_mut() else { return (parts, String::new()) };
    let Some((stem, extension)) = first.rsplit_once('.').map(|(stem, end)| (stem.to_owned(), end.to_owned())) else {
        return (parts, String::new());
    };
    *first = stem;
    (parts, extension)
}

impl PictureNames {
    /// Index of photographs by their paths.
    #[must_use]
    pub fn new<'a>(files: impl IntoIterator<Item = &'a str>) -> Self {
        let paths: Vec<_> = files.into_iter().map(parts).collect();
        let mut by_stem: HashMap<String, Vec<usize>> = HashMap::new();
        let mut by_folder: HashMap<String, Vec<usize>> = HashMap::new();
        for (at, (path, _)) in paths.iter().enumerate() {
            by_stem.entry(path.first().cloned().unwrap_or_default()).or_default().push(at);
            by_folder
                .entry(path.iter().take(2).map(String::as_str).collect::<Vec<_>>().join("/"))
                .or_default()
                .push(at);
        }
        Self { paths, by_stem, by_folder }
    }

    /// Photographs with this name: those that agree with it in the most folders, and of these the ones with its extension. Several if
    /// the name does not tell them apart.
    #[must_use]
    pub fn find(&self, name: &str) -> Vec<usize> {
        let (wanted, extension) = parts(name);
        let Some(stem) = wanted.first() else { return Vec::new() };
        let in_folder = wanted.get(1).and_then(|folder| self.by_folder.get(&format!("{stem}/{folder}")));
        let Some(candidates) = in_folder.or_else(|| self.by_stem.get(stem)) else { return Vec::new() };
        let agreement = |at: usize| {
            let (path, own) = &self.paths[at];
            let folders = path.iter().zip(&wanted).take_while(|(one, other)| one == other).count();
            (folders, *own == extension)
        };
        let best = candidates.iter().map(|at| agreement(*at)).max();
        candidates.iter().copied().filter(|at| Some(agreement(*at)) == best).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_photograph_is_found_by_the_end_of_its_path() {
        let names =
            PictureNames::new(["train/1.jpg", "valid/1.jpg", "train/2.JPG", "train/2.png", "train/e\u{301}.jpg"]);
        let of = |name: &str| names.find(name);
        assert_eq!(of("train/1.jpg"), [0]);
        assert_eq!(of("data\\valid\\1.JPG"), [1]);
        assert_eq!(of("1.jpg"), [0, 1], "the name does not tell them apart");
        assert_eq!(of("other/2.jpg"), [2], "by its extension");
        assert_eq!(of("2.tif"), [2, 3]);
        assert_eq!(of("É.jpg"), [4]);
        assert!(of("3.jpg").is_empty() && of("").is_empty() && of("../..").is_empty());
    }

    #[test]
    fn a_name_that_leaves_the_folder_is_only_a_name() {
        let names = PictureNames::new(["photographs/passwd.png"]);
        assert_eq!(names.find("../../etc/passwd"), [0]);
        assert_eq!(names.find("/photographs/passwd.png"), [0]);
        assert_eq!(names.find("https://example.org/a/passwd.png"), [0]);
        assert!(names.find("/etc/shadow").is_empty());
    }
}
