//! Codes of photographs listed in tables, of imported patches, of slides, and of patches with exactly one class each.

use super::Page;
use super::stages::found;

pub(super) const PAGES: &[Page] = &[
    found(
        "import-patches",
        "The table or a picture of imported patches is not as `import-patches` describes it; nothing is imported.",
        "The message names the rows or the picture. `export` with `manifest #true` shows what a table looks like.",
    ),
    found(
        "manifest",
        "The table of a `manifest` has mistakes, or lists files that do not exist. All of them are listed, with their lines.",
        "Correct them in the table, or leave photographs out by `exclude`.",
    ),
    found(
        "manifest-columns",
        "Parameters of a `manifest` do not go together: `class` without `class-values`, or with labels of several classes.",
        "Name the columns with labels: `labels`, `masks`, `mask` with `mask-values`, or `class` with `class-values`.",
    ),
    found(
        "slide",
        "A slide cannot be read in regions: its file is not a TIFF, has a compression or layout that is not read, or lacks the level that \
         `regions` asks for. Or a stage was given regions that needs whole files.",
        "Choose one of the levels that the message lists, or convert the file: `vips tiffsave IN OUT.tif --tile --pyramid --bigtiff \
         --compression jpeg --Q 90`.",
    ),
    found(
        "regions",
        "Parameters of `regions` do not go together: `level` and `mpp` both choose the level, and both need `size`.",
        "Write e.g. `regions size=4096 level=1` or `regions size=4096 mpp=0.5`.",
    ),
    found(
        "mask-value",
        "The value of a class in a mask of several classes is neither a number nor a colour, or is that of two classes, or other parameters of masks do not go with it.",
        "Write a grey value or index from 0 to 65535 (`\"3\"`), or a colour (`\"#ff0000\"`), another one for each class.",
    ),
    found(
        "value-of-no-class",
        "A mask of several classes has pixels whose value belongs to none of them. They count as background: all classes are absent there. Black is the background.",
        "Add the class to `mask-values` if one is missing. If the value marks pixels that nobody annotated, leave such photographs out.",
    ),
    found(
        "label-contradicts-mask",
        "The table says that a lesion is absent, but its mask has lesion pixels; or that it is present, and its mask is empty. The mask decides.",
        "Find out which is right, and correct the table or the mask.",
    ),
    found(
        "opposite-labels",
        "Two photographs are identical files, but a class is present in one of them and absent in the other.",
        "Find out which label is right, and remove the other photograph from the data.",
    ),
    found(
        "exclude-unmatched",
        "Entries of the exclusion list are not in the table, so they leave nothing out.",
        "Check how they are spelled. An entry is a photograph's name, its cell in the table, or its path. No action is needed if the list is for several tables.",
    ),
    found(
        "patients-missing",
        "Some photographs have no patient, so two of them that show one patient may be on different sides of a split.",
        "Fill in the column, or leave them out by `exclude`.",
    ),
    found(
        "labels-without-place",
        "Lesions are known to be somewhere in a photograph, but not where, so that only patches that cover the whole photograph have them.",
        "Resize photographs to one patch each (`preprocess` with `fit 224`, `extract` with `size 224`), or let every patch have the photograph's labels (`label photograph=every`).",
    ),
    found(
        "not-exclusive",
        "A loss over exclusive classes is used for patches that may have several classes or none.",
        "Use `loss bce`, or photographs with one class each: `manifest` with `class`.",
    ),
    found(
        "no-healthy-class",
        "Healthy patches are to be drawn from patches with exactly one class each. None of them is healthy, whatever its class is called, so nothing is drawn.",
        "Balance the classes instead: `rebalance` with `lesions undersample` or `lesions oversample`, or `class-weights=inverse-frequency` in `loss`.",
    ),
    found("not-of-loss", "A parameter of `loss` has no meaning for the chosen loss.", "Remove it."),
    found(
        "single-label",
        "Each patch has exactly one class, the one with the highest score, so that there is no threshold and no score to calibrate by itself.",
        "Remove the stage.",
    ),
];
