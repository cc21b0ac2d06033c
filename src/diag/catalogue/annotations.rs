//! Codes of `annotations`: problems in the files of annotation tools.

use super::Page;
use super::stages::found;

pub(super) const PAGES: &[Page] = &[
    found(
        "damaged-annotation",
        "An annotation file cannot be read, or has a shape that cannot be drawn. The message lists the mistakes of all files, each with \
         its place: a line and column, or the list and number (`annotations[17] (id 4123)`).",
        "Correct them in the annotation tool and export again, or check that `format` is that of the files.",
    ),
    found(
        "no-annotation-fits",
        "No annotation file matches, or none belongs to a photograph.",
        "Check the file or pattern at `format`, and that its `*` matches the same text as in `photographs`. COCO and CVAT files name \
         photographs; the names must agree without folders and extensions.",
    ),
    found(
        "ambiguous-annotation",
        "An annotation file matches several photographs, because its pattern has fewer `*` than theirs.",
        "Use as many `*` in the pattern of annotation files as in `photographs`; all of them must match.",
    ),
    found(
        "duplicate-annotation",
        "Two annotation files belong to the same photograph.",
        "Put the extension into the pattern, or remove one of the files.",
    ),
    found(
        "unmatched-annotation",
        "An annotation file, or an image that one lists, belongs to no photograph and is not used.",
        "Check its name, or nothing needs to be done if the photograph is left out on purpose.",
    ),
    found(
        "photograph-without-annotation",
        "A photograph has no annotation file, or is not listed in one.",
        "Annotate it, or say what that means: `unlisted unknown`, `unlisted absent`.",
    ),
    found(
        "label-mapping",
        "`classes` gives a class an empty label, or one label to two classes.",
        "Write the tool's labels, separated by `|`, each in one class: `classes HE \"hemorrhage|haemorrhage\"`.",
    ),
    found(
        "missing-label",
        "A label of `classes` occurs in no annotation file: neither with a shape nor in a list of labels.",
        "Check its spelling in the tool. If no photograph shows the lesion, write `missing-label allow`.",
    ),
    found(
        "unmapped-label",
        "The annotation files have labels that belong to no class. Their shapes are not used.",
        "Add them to a class (`|` separates several labels), or name them in `ignore`.",
    ),
    found(
        "other-photograph",
        "An annotation file states another photograph (`imagePath` of labelme) than the one that its own name stands for. It is used for the one \
         with its name.",
        "Check that the file was not copied or renamed by mistake. If only the photographs were renamed, nothing needs to be done.",
    ),
    found(
        "nothing-listed",
        "`absent-shape listed` takes it from the annotation files which classes were searched for, but none of them says so.",
        "Write `absent-shape absent` if all photographs were searched for all classes, or else `absent-shape unknown`.",
    ),
    found(
        "label-not-written",
        "The format of an export has no word for a class that was not annotated in a photograph, or that is present without a mask. Other \
         programs take a photograph without shapes of a class for one without the lesion.",
        "Leave these photographs out in the other program. `annotations` reads such classes as unknown with `absent-shape listed`.",
    ),
    found(
        "no-kept-masks",
        "Patches are exported with their outlines, but were cut without their masks.",
        "Keep them: `extract { masks #true }`. Or export the photographs.",
    ),
    found(
        "export-format",
        "The format of an export does not suit its input, or nothing would be written.",
        "Export photographs as `png`, `coco` or `geojson`, and patches as `png` or `coco`.",
    ),
    found(
        "small-shapes",
        "A shape is so small or thin that it covers the centre of no pixel. It gets the pixels under its corners, so that the lesion does \
         not vanish.",
        "If lesions are that small in these photographs, nothing needs to be done. If all shapes are small, check that they were drawn on \
         photographs of this size.",
    ),
    found(
        "outside-photograph",
        "A shape extends beyond its photograph. What is outside is cut off.",
        "If it is a little, nothing needs to be done. Otherwise check that the annotations were drawn on this photograph, at this size.",
    ),
];
