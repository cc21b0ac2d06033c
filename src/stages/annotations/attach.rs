//! Which annotations belong to which photograph: by the stars of patterns, or by the names in the files.

use std::collections::BTreeMap;

use crate::base::figure::counted;
use crate::data::annotations::{
    AnnotationFile, AnnotationFormat, AnnotationMistakes, ClassShape, DrawnShape, PictureNames,
};
use crate::data::name_normalisation::{normalised, words};
use crate::data::pattern_matches::{PatternMatch, PhotographIndex};
use crate::stage::{StageError, Warning};

/// An annotation file and its content.
pub(super) struct ReadFile<'f> {
    pub(super) fit: PatternMatch<'f>,
    pub(super) content: AnnotationFile,
}

/// Annotations of one photograph.
#[derive(Default)]
pub(super) struct Attached<'r> {
    /// Where they are from; empty if it is not annotated.
    pub(super) sources: Vec<AttachedPicture<'r>>,
    /// Width and height as displayed, px; known for annotated photographs.
    pub(super) size: [u32; 2],
    /// Shapes of each class that has any, in px.
    pub(super) shapes: BTreeMap<usize, Vec<DrawnShape>>,
}

/// A picture of an annotation file.
pub(super) struct AttachedPicture<'r> {
    /// Number of the file.
    pub(super) file: usize,
    /// Name of the file.
    pub(super) name: &'r str,
    /// Where in the file.
    pub(super) place: &'r str,
    /// Size in the file.
    pub(super) size: Option<[u32; 2]>,
    /// Shapes in the file's coordinates.
    pub(super) shapes: &'r [ClassShape],
    /// Classes that the file says were searched for.
    pub(super) searched: &'r [usize],
}

/// Annotations of each photograph, in order.
pub(super) fn attach<'r>(
    format: AnnotationFormat,
    field: &str,
    fits: &[PatternMatch<'_>],
    read: &'r [ReadFile<'_>],
    mistakes: &mut AnnotationMistakes,
    warnings: &mut Vec<Warning>,
) -> Result<Vec<Attached<'r>>, StageError> {
    let mut all: Vec<Attached<'r>> = fits.iter().map(|_| Attached::default()).collect();
    let mut left: Vec<(&str, &str)> = Vec::new();
    if format.names_pictures() {
        by_name(fits, read, mistakes, &mut all, &mut left);
    } else {
        by_stars(field, fits, read, &mut all, &mut left)?;
    }
    warnings.extend(other_names(fits, &all, read));
    if mistakes.count() == 0 && all.iter().all(|own| own.sources.is_empty()) {
        let (file, first) = left.first().copied().unwrap_or_default();
        let text = match first {
            "" => format!("no annotation file matches a photograph (first: `{file}`)"),
            first => format!("no photograph is named in the annotations (first: `{first}` in `{file}`)"),
        };
        let example = fits.first().map_or("", |fit| fit.file);
        let hint = match first {
            "" => format!("`*` must match the same text as in `photographs`, which finds `{example}`"),
            _ => format!("`photographs` finds `{example}`; names must agree without folders and extensions"),
        };
        return Err(StageError::input("no-annotation-fits", text).hint(hint).field(field));
    }
    if let Some((file, first)) = left.first().copied() {
        let shown = if first.is_empty() { file } else { first };
        let count = match first {
            "" => counted(left.len() as u64, "annotation file", "annotation files"),
            _ => counted(left.len() as u64, "annotated image", "annotated images"),
        };
        let mut text = format!("{count} without a photograph (first: `{shown}`)");
        if let Some(nearly) =
            left.iter().take(5).find_map(|(file, name)| nearly(if name.is_empty() { file } else { name }, fits))
        {
            text = format!("{text}; {nearly}");
        }
        warnings.push(Warning { code: "unmatched-annotation".to_owned(), text });
    }
    Ok(all)
}

/// A warning about files that state another photograph than the one that they belong to by their own names.
fn other_names(fits: &[PatternMatch<'_>], all: &[Attached<'_>], read: &[ReadFile<'_>]) -> Option<Warning> {
    let name = |path: &str| {
        let name = path.rsplit(['/', '\\']).next().unwrap_or(path);
        normalised(name.rsplit_once('.').map_or(name, |(stem, _)| stem))
    };
    let mut others = fits.iter().zip(all).flat_map(|(fit, own)| {
        let stated = own.sources.iter().flat_map(|source| &read[source.file].content.pictures);
        stated
            .filter(|picture| !picture.stated.is_empty() && name(&picture.stated) != name(fit.file))
            .map(move |picture| (own.sources[0].name, picture.stated.as_str(), fit.file))
    });
    let (file, stated, photograph) = others.next()?;
    let count = counted(1 + others.count() as u64, "annotation file names", "annotation files name");
    let text = format!(
        "{count} another photograph than the one with the same name (first: `{file}` names `{stated}`, and is taken for \
         `{photograph}`)"
    );
    Some(Warning { code: "other-photograph".to_owned(), text })
}

/// A photograph with nearly the same name.
fn nearly(file: &str, fits: &[PatternMatch<'_>]) -> Option<String> {
    let stem = |path: &str| {
        let name = path.rsplit(['/', '\\']).next().unwrap_or(path);
        words(name.rsplit_once('.').map_or(name, |(stem, _)| stem))
    };
    let wanted = stem(file);
    let found = fits.iter().find(|fit| stem(fit.file) == wanted)?;
    Some(format!("`{file}` is nearly the name of `{}`", found.file))
}

fn by_stars<'r>(
    field: &str,
    fits: &[PatternMatch<'_>],
    read: &'r [ReadFile<'_>],
    all: &mut [Attached<'r>],
    left: &mut Vec<(&'r str, &'r str)>,
) -> Result<(), StageError> {
    let index = PhotographIndex::new(fits);
    for (number, file) in read.iter().enumerate() {
        let fitting = index.of(&file.fit);
        let Some((&at, others)) = fitting.split_first() else {
            left.push((file.fit.file, ""));
            continue;
        };
        if let [other, ..] = others {
            let text = format!(
                "`{}` could be the annotations of `{}` or `{}`",
                file.fit.file, fits[at].file, fits[*other].file
            );
            let hint = "add a `*` to the pattern for the part that distinguishes them";
            return Err(StageError::input("ambiguous-annotation", text).hint(hint).field(field));
        }
        if let Some(other) = all[at].sources.first() {
            let text = format!("`{}` and `{}` are both annotations of `{}`", other.name, file.fit.file, fits[at].file);
            let hint = "remove one of them, or use a more specific pattern";
            return Err(StageError::input("duplicate-annotation", text).hint(hint).field(field));
        }
        all[at].sources.extend(pictures(number, file));
    }
    Ok(())
}

fn pictures<'r>(number: usize, file: &'r ReadFile<'_>) -> impl Iterator<Item = AttachedPicture<'r>> {
    file.content.pictures.iter().map(move |picture| AttachedPicture {
        file: number,
        name: file.fit.file,
        place: &picture.place,
        size: picture.size,
        shapes: &picture.shapes,
        searched: &picture.searched,
    })
}

fn by_name<'r>(
    fits: &[PatternMatch<'_>],
    read: &'r [ReadFile<'_>],
    mistakes: &mut AnnotationMistakes,
    all: &mut [Attached<'r>],
    left: &mut Vec<(&'r str, &'r str)>,
) {
    let index = PictureNames::new(fits.iter().map(|fit| fit.file));
    for (number, file) in read.iter().enumerate() {
        let mut own = AnnotationMistakes::of(file.fit.file);
        let named = file.content.pictures.iter().map(|picture| picture.name.as_str());
        for (picture, name) in pictures(number, file).zip(named) {
            match index.find(name).as_slice() {
                [] => left.push((file.fit.file, name)),
                &[at] => {
                    // Several files may annotate one photograph, each for other classes; one file lists it once.
                    if let Some(other) = all[at].sources.iter().find(|other| other.file == number) {
                        let what = format!("`{name}` is `{}`, as is {}", fits[at].file, other.place);
                        own.add(picture.place, what);
                    }
                    all[at].sources.push(picture);
                }
                &[one, other, ..] => {
                    let what = format!("`{name}` could be `{}` or `{}`", fits[one].file, fits[other].file);
                    own.add(picture.place, what);
                }
            }
        }
        mistakes.append(own);
    }
}
