//! Codes of running stages: problems in photographs, masks, patches, weights and training.

use super::{Page, page};

/// A page without an example: a few lines of KDL cannot show these.
pub(super) const fn found(code: &'static str, means: &'static str, remedy: &'static str) -> Page {
    page(code, means, "", remedy)
}

pub(super) const PAGES: &[Page] = &[
    // Photographs and masks.
    found(
        "no-photographs",
        "The folder contains no photographs that match the pattern or the layout of the data set.",
        "Check `root` and the patterns; the message names the folder that was searched.",
    ),
    found(
        "missing-folder",
        "The folder that a source names does not exist.",
        "Paths are relative to the project folder: the nearest folder at or above the pipeline's with a `project.kdl`, else with a store (`.macula`), or else the pipeline's folder. `~` and shell variables are not expanded.",
    ),
    found(
        "missing-file",
        "A file that a source names does not exist, or was deleted in the meantime.",
        "Check the path; it is relative to the project folder. `~` and shell variables are not expanded.",
    ),
    found(
        "shares-missed",
        "One set of a split has a fraction of the patches that is far from the one requested. Patients and photographs are kept whole and lesions spread evenly, which leaves little choice when there are few of them.",
        "Use another pipeline seed (`seed=8`) or more photographs, or assign photographs by name with `by names`.",
    ),
    found(
        "unknown-patients",
        "`split` divides by patient, but the patients of some photographs are unknown, so each of those is assigned on its own. If a patient has several photographs, they may be in both the training and the test set, and the metrics would be optimistic.",
        "Tell `folder` the patients with `patient \"*/\"`, or write `by image` if each patient has one photograph.",
    ),
    found("no-classes", "A source has no class.", "Name at least one: in `folder`, `masks MA \"masks/ma/*_MA.tif\"`."),
    found(
        "class-name",
        "A class has a name that cannot be used in file names and tables.",
        "Use letters, digits, `-` and `_`.",
    ),
    found(
        "no-mask-fits",
        "The pattern of a class matches no mask at all, or a data set's folder of its masks is missing, so every photograph would lack that class.",
        "Check the pattern: `*` stands for the photograph's name without its extension. For a public data set, check that the download is complete.",
    ),
    found(
        "pattern",
        "A pattern has no `*`, so it cannot say which file belongs to which photograph.",
        "Put `*` where the name of the photograph (or of the patient) goes.",
    ),
    found(
        "too-small",
        "A photograph is too small to be shrunk by this factor, or smaller than a patch of the model that maps it.",
        "Shrink it less. Map photographs at the scale at which the model was trained.",
    ),
    found(
        "maps-differ",
        "The heat maps of several folds have other classes, or cells of another size.",
        "Map the photographs of all folds with the same `classes` and `stride`.",
    ),
    found(
        "models-differ",
        "The models of a heat map, whose scores are averaged, have other classes, another patch size, or other inputs.",
        "Use models that were trained on patches cut in the same way, such as those of `train` stages that differ in `replicate` or `network`.",
    ),
    found(
        "no-patient",
        "The patient pattern does not match a photograph's path.",
        "Correct the pattern so that it matches every photograph, or omit `patient` to treat each photograph as its own group.",
    ),
    found(
        "photograph-without-mask",
        "A photograph has no mask of a class, and the pipeline or the data set requires one.",
        "Add the mask, or for `folder` set `absent-mask absent` or `absent-mask unknown`. For a public data set, check that the download is complete.",
    ),
    found("unmatched-mask", "A mask belongs to no photograph and is not used.", "Check its name."),
    found(
        "unused-file",
        "A file in a folder of masks or photographs is not used: its name matches no pattern, its format is not supported, or its download is incomplete. It is an error if its photograph would otherwise count as free of a lesion.",
        "Rename it, save it as PNG or TIFF, complete the download, or move it out of the folder.",
    ),
    found(
        "two-roles",
        "One file is used both as a photograph and as a mask, or as the mask of two classes.",
        "Use patterns that distinguish the files; each mask shows one class.",
    ),
    found(
        "ambiguous-mask",
        "A mask matches several photographs, because its pattern has fewer `*` than theirs.",
        "Use as many `*` in the mask pattern as in the photograph pattern; all of them must match.",
    ),
    found(
        "duplicate-photograph",
        "Two files have the same photograph name: they differ only in case, in how accents are encoded, or in their extension.",
        "Put the extension into the pattern, or remove one of the files.",
    ),
    found(
        "duplicate-mask",
        "Two files are masks of the same class for the same photograph.",
        "Put the extension into the pattern, or remove one of the files.",
    ),
    found(
        "merged-photograph",
        "A photograph is in both halves of e-ophtha, with different content or under different names. It counts as one photograph with the labels of both halves, and patients who share it count as one.",
        "Compare the two files that the message names. If they show different photographs, rename one of them.",
    ),
    found(
        "healthy-with-mask",
        "A photograph in a folder of healthy photographs has a mask. Its labels follow from the mask.",
        "Check the mask, and move the photograph or the mask if it is in the wrong folder.",
    ),
    found(
        "patient-spelling",
        "A patient's name is spelled in several ways (upper and lower case, composed accents). The spellings are treated as one patient, so that no split separates them.",
        "If they are one patient, nothing needs to be done. If not, give them names that differ in more than that.",
    ),
    found(
        "dropped-lesions",
        "`preprocess` cuts off lesion pixels: `crop` those outside the field of view, `shrink` those in the last rows and columns that do not fill a block.",
        "If they are few, nothing needs to be done. Otherwise crop less, or shrink by a factor that divides the width and height.",
    ),
    found(
        "broken-link",
        "A link cannot be followed: its target does not exist or cannot be read. git-annex, DataLad and DVC use such links for files whose content is not on this machine.",
        "Fetch the content (`git annex get`, `datalad get`, `dvc pull`), or remove the link.",
    ),
    found(
        "content-elsewhere",
        "A file is a Git LFS or git-annex pointer, and its content is not on this machine.",
        "Fetch it: `git lfs pull` or `git annex get`.",
    ),
    found(
        "special-file",
        "A FIFO, socket or device was found where a file was expected.",
        "Remove it from the folder, or name another file.",
    ),
    found(
        "same-photograph",
        "Two photographs have the same content. They are counted twice, and a split must keep them in the same set.",
        "Remove one of them.",
    ),
    found("damaged-photograph", "A photograph cannot be decoded.", "Replace the file that the message names."),
    found(
        "truncated-photograph",
        "A photograph's file is truncated.",
        "Copy or download the file again; the message names it.",
    ),
    found(
        "unread-photograph",
        "A photograph's file is intact but of an unsupported kind, or does not say how to interpret its pixels: several pages, \
         colours other than grey and RGB, samples that do not say which value is white, rare JPEG variants.",
        "Save it as an 8-bit JPEG, PNG or TIFF; the message names the file and the reason.",
    ),
    found(
        "photograph-orientation",
        "A photograph is rotated as its EXIF or TIFF orientation says, but its mask matches only the pixels as \
         stored.",
        "Rotate the mask, or rotate the photograph's pixels and remove the orientation from its file.",
    ),
    found(
        "damaged-mask",
        "A mask cannot be decoded.",
        "Replace the file that the message names. TIFF (1, 4 or 8 bit, palette, RGB) and PNG are supported.",
    ),
    found(
        "mask-is-photograph",
        "Most pixels of a mask are neither black nor white, or the mask is the photograph itself.",
        "Check the file that the message names: is it the photograph, an overlay, or a score map? For score maps set the threshold \
         with `mask-from`.",
    ),
    found(
        "mask-covers-most",
        "A mask covers more than half of its photograph. Often its background is white and the lesion black.",
        "Check the file, and save it with a black background if so.",
    ),
    found(
        "mask-orientation",
        "A mask and its photograph have different EXIF or TIFF orientations. Each is rotated as its own file says, and \
         the sizes do not show whether that is right.",
        "Check one patch with its mask, and remove the orientation from the file where it is wrong.",
    ),
    found(
        "soft-mask",
        "A mask has values between black and white, as soft edges have. Pixels from half of white upwards count as lesion.",
        "If that is intended, nothing needs to be done. Otherwise set the threshold with `mask-from` of `folder` or `fgadr`.",
    ),
    found(
        "mask-values",
        "A mask has more than two values or colours, perhaps for several lesions. Everything but the background counts as this lesion.",
        "If the values stand for different lesions, save one mask per lesion.",
    ),
    found(
        "shared-mask",
        "Two classes have identical masks for a photograph, with lesion pixels in them. Both get the same labels.",
        "Check the mask patterns of both classes, and the file that the message names.",
    ),
    found(
        "blank-mask",
        "Masks of a class have no lesion pixel, although other absent lesions have no mask file, or although no mask of the class has a lesion pixel. They count as absent lesions; perhaps their export failed.",
        "If the lesion is absent, nothing needs to be done. Otherwise export the masks again.",
    ),
    found(
        "mask-outside-field",
        "Most lesion pixels of a mask are in the dark surroundings of the camera's field of view, where no lesion can be. The mask may belong to another photograph, or be mirrored or shifted.",
        "Compare the mask with its photograph (`macula data check FILE --page data.html` shows both).",
    ),
    found(
        "copied-mask",
        "Photographs that show different pictures have the same mask file, with lesion pixels in it. One of them has the mask of another.",
        "Find out which photograph the mask belongs to, and replace the other copies.",
    ),
    found(
        "blank-photograph",
        "Nothing can be recognised in a photograph: it is dark, or of one colour.",
        "Check whether the file was exported correctly, or leave it out.",
    ),
    found(
        "dark-photograph",
        "A 16-bit photograph uses only the lowest part of its range, as when 12-bit data are stored unscaled. It is almost black in 8 bits.",
        "Rescale the samples to 16 bits, or state the white level in the file (sBIT of PNG, SMaxSampleValue of TIFF).",
    ),
    found(
        "mask-size",
        "A mask differs in width or height from its photograph.",
        "The message names both files. Find the matching pair instead of resizing one of them.",
    ),
    found(
        "unreadable-folder",
        "The contents of a folder cannot be listed.",
        "Check the path and its permissions; paths in a pipeline are relative to the project folder.",
    ),
    found(
        "mixed-scales",
        "Photographs in one set were resized to different scales, so counts of mask pixels cannot be compared.",
        "Preprocess all photographs in the same way.",
    ),
    found(
        "other-discs",
        "`lesions` gets something else at `disc` than the same photographs with masks of the optic disc as their only class.",
        "Use the same photograph files under the same names, with masks of one class.",
    ),
    // Patches and splits.
    found(
        "around-lesions",
        "`extract` gets a parameter of the grid with `around lesions`, or `lesions` without it.",
        "Remove it, or choose the other: a grid (`around grid`) or patches centred on lesions (`around lesions`).",
    ),
    found(
        "other-lesions",
        "`extract` gets lesions of other photographs than those that it cuts, or `froc` of others than those that are mapped.",
        "Find lesions in the photographs at `from`, after the same `preprocess`.",
    ),
    found(
        "label-bounds",
        "The bounds of `unknown` in `relabel` are stricter than those of positive labels, so no label would be between them.",
        "Give `unknown` weaker bounds: fewer pixels, a smaller fraction, a larger distance from the centre.",
    ),
    found(
        "other-masks",
        "`relabel` needs the masks of the photographs that its patches were cut from, and gets none or those of other photographs.",
        "Connect the photographs at `from` of `extract` to `masks`.",
    ),
    found(
        "few-healthy",
        "With `around lesions`, fewer healthy patches were found than requested: lesions leave too little space between them.",
        "Request fewer, keep less distance (`keep-out`), or extract smaller patches.",
    ),
    found(
        "no-patches",
        "There are no patches.",
        "With `edge drop`, photographs smaller than a patch give none; a filter may also have dropped all of them.",
    ),
    found(
        "nothing-left",
        "The filter dropped every patch, or a label rule left a class without positives.",
        "Check `below` and `share`, or `min-pixels` and `min-share`; `macula show` lists the counts before and after.",
    ),
    found(
        "kept-masks",
        "When augmentation rotates or shifts patches that keep their masks, labels are computed again by the pixels in them; a label \
         that was set to unknown, or by the place of a lesion, would come back.",
        "Extract without `masks #true`, or use `less absent` or `less drop`.",
    ),
    found(
        "foreign-table",
        "A table of a patch set was not written by macula.",
        "Run the pipeline again: `macula run` repairs a damaged store.",
    ),
    found(
        "leak",
        "A patient, a photograph or an identical patch would be in two sets of a split, so metrics on one set would not be independent of the other.",
        "The message names both. Split by patient or by photograph, or remove the copy.",
    ),
    found(
        "names",
        "`split by names` has names that match nothing, overlap, or leave photographs unassigned.",
        "Write e.g. `names valid \"IDRiD_37..IDRiD_44\"`: `A..B` takes all names from A to B, and `*` matches any text.",
    ),
    found(
        "official-side",
        "A photograph belongs to neither set of the data set's official split.",
        "Split `by patient` or `by image`.",
    ),
    found(
        "unknown-photograph",
        "A photograph is in none of the sets of the split at `like`, or belongs to another patient there.",
        "Use at `like` a split of all photographs of the same source.",
    ),
    found(
        "shares",
        "The fractions of a split are inconsistent: the three do not sum to 1, or those of the sets that remain to be divided are 0.",
        "The message gives the sum; the hint gives a fraction that would work.",
    ),
    found(
        "empty-side",
        "A set of the split has no patches.",
        "Give it a larger fraction or more photographs; patients and photographs are never divided.",
    ),
    found(
        "side-lacks-class",
        "A set of the split has no positive patches of a class, so metrics of that class are undefined there.",
        "Use more photographs, other fractions, or another seed.",
    ),
    found(
        "class-unchanged",
        "`rebalance` left a class unchanged although it has more positives than the target: its positives are in patches that are kept for rarer classes.",
        "See the table of counts. `sampler balanced` in `train` discards nothing.",
    ),
    found(
        "class-without-positives",
        "A class has no positive patches and is left out of rebalancing.",
        "Check the masks of the class.",
    ),
    found(
        "overshoot",
        "A class has over 10 % more positives than the target, because patches kept for rarer classes carry its label too.",
        "This is expected with multi-label patches; the table shows by how much.",
    ),
    found(
        "under-target",
        "A class has fewer positives than requested.",
        "The class has no more patches, or `at-most` does not allow repeating them more often.",
    ),
    found(
        "ratio-not-reached",
        "There are not enough healthy patches (patches without lesions) for the requested ratio.",
        "Request fewer, or use more photographs.",
    ),
    found(
        "moved-labels",
        "Rotation or shift can move a lesion near the edge out of the patch while its label stays.",
        "Extract with `margin` and `masks #true`, so that labels are computed again.",
    ),
    found(
        "no-margin",
        "Rotation or shift reaches beyond the stored pixels; the missing pixels are filled in.",
        "Extract with a `margin` at least as large as the message says.",
    ),
    // Training.
    found(
        "empty-set",
        "There are no patches to train or validate on.",
        "The table of the previous stage shows where patches were lost.",
    ),
    found(
        "no-positives",
        "No patch is positive for a class, so it can be neither learnt nor evaluated.",
        "Check the counts of each set of the split.",
    ),
    found(
        "all-positive",
        "Every patch with a known label is positive for a class. A classifier cannot learn to recognise its absence, and metrics are meaningless.",
        "Check the masks of the class, extract smaller patches, or add photographs without the lesion.",
    ),
    found(
        "unknown-class",
        "A class that a parameter names does not exist in the data.",
        "The message lists the classes.",
    ),
    found(
        "unknown-tensor",
        "`freeze` or `rate` names a part that the network does not have. Names match up to a dot: `block1` does not match `block10`.",
        "`macula doc NETWORK` lists the tensors.",
    ),
    found(
        "no-bias",
        "`prior-bias` needs a last layer with a bias.",
        "Remove `prior-bias`, or give the last `linear` layer a bias.",
    ),
    found(
        "healthy-ratio",
        "There are fewer healthy patches (patches without lesions) than the sampler is set to draw.",
        "Request fewer.",
    ),
    found(
        "smaller-batch",
        "The GPU's memory holds fewer patches per step than requested, and the pipeline allows the batch to be halved.",
        "Set the smaller `batch`, so that other machines train in the same way; consider scaling the learning rate with it.",
    ),
    found(
        "prediction-ratio",
        "A class is predicted less than a fifth as often, or more than three times as often, as it occurs.",
        "This is common in early epochs. If it persists, check the learning rate, the loss weights and the thresholds.",
    ),
    found(
        "all-zero",
        "The model predicts no lesion for any patch. Its subset accuracy is that of always predicting healthy.",
        "Tune thresholds, weight positives, or train longer.",
    ),
    found(
        "nothing-to-learn",
        "Training cannot change anything: the whole network is frozen, or the loss weight or the learning rate is 0.",
        "Freeze fewer parts, or set a loss weight and a learning rate above 0.",
    ),
    found(
        "take-nothing",
        "`take` is 0 for every class, so no patch with a lesion is drawn.",
        "Take at least one class.",
    ),
    found(
        "folds",
        "`folds` and `fold` must be used together: the number of folds, and which of them is the test set.",
        "Set both, e.g. `folds 5; fold 1`, with `by patient` or `by image`, and `fold` no larger than `folds`.",
    ),
    found(
        "one-evaluation",
        "`spread` or `pool` has only one evaluation: a single value has no spread, and there is nothing to pool.",
        "Give it the evaluations of several folds or seeds.",
    ),
    found(
        "not-once",
        "In a pooled cross-validation, a patch is scored by two folds, or by none, or its label differs from that in `data`.",
        "Connect one evaluation per fold, of the folds of one split, and as `data` the patches that were split.",
    ),
    found(
        "classes-differ",
        "Evaluations of different lesion classes cannot be combined in one table.",
        "Give it evaluations of the same classes.",
    ),
    found(
        "thresholds-differ",
        "Some evaluations use tuned thresholds and others 0.5, so their F1, Hamming loss and subset accuracy are not comparable.",
        "Tune the thresholds for all of them, or for none.",
    ),
    found(
        "sizes-differ",
        "The evaluations use patches of different sizes. Prevalence depends on the size, and so do all metrics.",
        "Compare metrics at one size, or compare only ranks.",
    ),
    found(
        "nan-loss",
        "The loss is not a number. Training stopped; the last good state is kept.",
        "Check what the message names: the learning rate, the weights or the normalisation, at that epoch and batch.",
    ),
    found(
        "no-gpu",
        "A GPU, or a precision that only a GPU has, is requested, and none can be used. The message says why.",
        "Set `device cpu` and `precision f32`, or fix what the message names; docs/cuda.md lists what a GPU needs.",
    ),
    found(
        "gpu",
        "The GPU driver reported an error while the stage was running.",
        "Check `nvidia-smi`, then run again.",
    ),
    found(
        "gpu-check",
        "macula's kernels on the GPU compute something else than candle, or than the CPU kernels, on a small batch of this network. They are not used.",
        "Set `device cpu`, or use a build with candle's CUDA kernels (`--features candle-cuda`); with another precision than f32, set `precision f32`. Please report it, with the message.",
    ),
    found(
        "gpu-convolution",
        "cuDNN planned a convolution and rejected it later, in a step. Convolutions that it rejects at first use are computed by slower kernels instead.",
        "Set `device cpu`, or use another `batch`.",
    ),
    found(
        "gpu-memory",
        "A batch does not fit into the free memory of the GPU; the message says how much it needs.",
        "Use a smaller `batch` or `memory halve`, or end other processes that use the GPU.",
    ),
    found(
        "missing-input",
        "Input `wide` of a network needs patches with a margin of half their side, to see their surroundings. The margin of these is smaller.",
        "Extract with the `margin` that the message says.",
    ),
    found(
        "gpu-shared",
        "Branches of the network share tensors (`share=#true`), which the GPU kernels can use but not train.",
        "Set `device cpu`, or `device candle` for any network; or give each branch its own tensors.",
    ),
    found(
        "nan-output",
        "The model's output contains values that are not numbers.",
        "Train again with a lower learning rate.",
    ),
    found(
        "weights-format",
        "A weights file is neither safetensors nor a supported `.pth` file.",
        "Save it again with PyTorch 1.6 or newer, or as safetensors.",
    ),
    found("damaged-weights", "A weights file is truncated or inconsistent.", "Copy the file again."),
    found("weights-variance", "A running variance in the weights is negative.", "Use weights from another epoch."),
    found(
        "weights-not-finite",
        "The weights contain infinite values or values that are not numbers.",
        "Use another file.",
    ),
    found(
        "weights-missing",
        "The weights lack tensors of the network; all of them are listed.",
        "Set `missing initialise` to initialise them randomly, or use the network that the weights were made for.",
    ),
    found(
        "weights-names",
        "The weights file lacks tensors of the network and has others that are not used: the names may not match.",
        "Compare the names in the message. `macula show` lists what stays randomly initialised.",
    ),
    found(
        "weights-shape",
        "A tensor in the weights does not have the shape that it has in the network.",
        "Use the network that the weights were made for. Only the last layer may have a different number of classes.",
    ),
    found(
        "other-classes",
        "A model, its thresholds and the data do not have the same classes.",
        "Take all three from the same pipeline.",
    ),
    found(
        "missing-embedding",
        "`join` or `heat-map` gets photographs that have no embedding.",
        "Encode the photographs that the patches are cut from: photographs are matched by name.",
    ),
    found(
        "no-other-patient",
        "`control other` gives each patch the embedding of a photograph of another patient, but all patches are of one patient.",
        "Use patches of at least two patients.",
    ),
    found(
        "other-embeddings",
        "Patches or photographs have embeddings by another encoder than those that the network was trained with.",
        "Use embeddings of the same `encode` stage, or train again.",
    ),
    found(
        "no-tap",
        "`encode` gets a whole classifier, but weights without classes, so that it is not known what its outputs mean; or `pretrain` gets a classifier, not an encoder.",
        "Name the tap at which the network ends: `network resnet18 to=features`. For `encode`, a trained model as `init` is an alternative.",
    ),
    found(
        "mixed-encoders",
        "`combine` gets embeddings that are not comparable: features of networks that were trained separately, whose axes have no common meaning, or values of different classes or shapes.",
        "Encode with whole classifiers of the same classes: `network resnet18` without `to=`, and a trained model as `init`.",
    ),
    found(
        "grids-differ",
        "Photographs of different shapes give grids of different sizes, which one network cannot read.",
        "Use photographs of one shape: end at a tap behind a global pooling (`to=features`), or crop photographs to the field of view.",
    ),
    found(
        "patch-grid",
        "`encode` and `pretrain` describe each patch by one vector, but the network gives a grid of vectors per patch.",
        "End at a tap behind a global pooling, such as `to=features`.",
    ),
    found(
        "resampled-encoding",
        "`encode` gets patches resampled by `rebalance` or cut by `extract` with `around lesions`. Which ones there are depends on their labels, so the pattern of those that are missing tells labels.",
        "Encode the patches from before the resampling, or those of a grid.",
    ),
    found(
        "no-grid",
        "The patches of a photograph fit no grid, or too few are left to tell which.",
        "Use patches by `extract`. If nearly all patches of a photograph are dropped, leave the photograph out, or let `filter-black` keep more.",
    ),
    found(
        "gpu-joined",
        "macula's GPU kernels do not compute networks that read embeddings.",
        "Use `device cpu` or `device candle`. `device auto` takes the CPU for them.",
    ),
    found(
        "crossed-embeddings",
        "Patches with embeddings of other patients are split, so that a training patch may have the embedding of a test photograph.",
        "Split first, then use `join` with `control other` on each set.",
    ),
    found(
        "control-embeddings",
        "The model was trained with embeddings of other patients, as a control, but maps show each photograph with its own.",
        "Compare such models by `eval`; map the model that was trained without `control other`.",
    ),
    found(
        "input-name",
        "A name cannot be that of a network's input, or it is not clear which embeddings are for which input.",
        "Use letters, digits, `-` and `_`; `patch`, `wide` and `half` are inputs of their own. `as` of `heat-map` has one name for each stage at `embeddings`.",
    ),
    found(
        "other-size",
        "The patches do not have the size that the model was trained on.",
        "Extract patches at the model's size.",
    ),
];
