//! Codes of what stages find while they run: in photographs, masks, patches, weights and figures.

use super::{Page, page};

/// A page of a stage's code; a few lines of KDL can't show these.
const fn found(code: &'static str, means: &'static str, remedy: &'static str) -> Page {
    page(code, means, "", remedy)
}

pub(super) const PAGES: &[Page] = &[
    // Photographs and masks.
    found(
        "no-photographs",
        "The folder holds no photograph where the data set's layout or the pattern looks for them.",
        "Check `root` and the patterns; the message names the folder that was searched.",
    ),
    found(
        "missing-folder",
        "The folder that a source names is not there.",
        "Paths start at the project's folder: the nearest one above the pipeline that holds `project.kdl`, else the current one. `~` and variables of the shell are not replaced.",
    ),
    found(
        "missing-file",
        "A file that a source names is not there, or went away meanwhile.",
        "Check the path: it starts at the project's folder. `~` and variables of the shell are not replaced.",
    ),
    found(
        "shares-missed",
        "A side of a split has a share of the patches that is far from the one asked for. Patients and photographs stay whole, and lesions are to be spread evenly, which few of them allow.",
        "Take another seed (`seed=8` of the pipeline), more photographs, or name those of each side: `by names`.",
    ),
    found("no-classes", "`folder` was given no lesion class.", "Name at least one: `masks MA \"masks/ma/*_MA.tif\"`."),
    found(
        "class-name",
        "A class's name can't be used: it stands in file names and tables.",
        "Use letters, digits, `-` and `_`.",
    ),
    found(
        "no-mask-fits",
        "The pattern of a class fits no mask at all, so every photograph would lack it.",
        "Check the pattern: `*` stands for the photograph's name without its extension.",
    ),
    found(
        "pattern",
        "A pattern has no `*`, so it can't say which file belongs to which photograph.",
        "Put `*` where the photograph's (or the patient's) name stands.",
    ),
    found(
        "too-small",
        "A photograph is too small to be shrunk so far, or smaller than a patch of the model that is to map it.",
        "Shrink by less; map photographs as the model's patches were cut from.",
    ),
    found(
        "no-patient",
        "The pattern for patients does not fit a photograph's path.",
        "Let the pattern fit all of them, or leave `patient` out: then the photograph is the unit.",
    ),
    found(
        "photograph-without-mask",
        "A photograph has no mask of a class, and the pipeline says that it must have.",
        "Add the mask, or say `absent-mask absent` or `absent-mask unknown`.",
    ),
    found("unmatched-mask", "A mask belongs to no photograph and is not used.", "Check its name."),
    found(
        "unused-file",
        "A file in a folder of masks or photographs is not used: its name fits nothing, its format is not read, or its download was not finished. Where its photograph would count as free of a lesion for want of it, that is an error.",
        "Rename it, save it as PNG or TIFF, finish the download, or move it out of the folder.",
    ),
    found(
        "two-roles",
        "One file is both a photograph and a mask, or the mask of two classes.",
        "Write patterns that tell the files apart; a mask shows one class.",
    ),
    found(
        "ambiguous-mask",
        "A mask fits several photographs, because its pattern has no `*` for what tells them apart.",
        "Give the pattern as many `*` as that of the photographs: all of them count.",
    ),
    found(
        "duplicate-photograph",
        "Two files are one photograph: their names differ in case, in how accents are composed, or in their extension alone.",
        "Write the extension into the pattern, or take one of them out.",
    ),
    found(
        "duplicate-mask",
        "Two files are the mask of one class of one photograph.",
        "Write the extension into the pattern, or take one of them out.",
    ),
    found(
        "patient-spelling",
        "One patient's name is spelled in several ways (case, composed accents). They are taken for one patient, so that no split parts them.",
        "Nothing, if they are one; else give them names that differ in more than that.",
    ),
    found(
        "dropped-lesions",
        "`preprocess` cuts lesion pixels away: `crop` those outside the field of view, `shrink` those in the last rows and columns that do not fill a box.",
        "Nothing, where they are few; else crop less, or shrink by a number that divides the photographs' sides.",
    ),
    found(
        "broken-link",
        "A link can't be followed: its target does not exist, or may not be read. git-annex, DataLad and DVC show files so whose content is not on this machine.",
        "Fetch the content (`git annex get`, `datalad get`, `dvc pull`), or remove the link.",
    ),
    found(
        "content-elsewhere",
        "A file holds a text of Git LFS or git-annex that says where its content is kept, and the content is not on this machine.",
        "Fetch it: `git lfs pull`, `git annex get`.",
    ),
    found(
        "special-file",
        "A FIFO, a socket or a device stands where a file should.",
        "Remove it from the folder, or name another file.",
    ),
    found(
        "same-photograph",
        "Two photographs hold the same bytes. They count as two, and a split must keep them on one side.",
        "Take one of them out.",
    ),
    found("damaged-photograph", "A photograph can't be decoded.", "Replace the file; the message names it."),
    found(
        "truncated-photograph",
        "A photograph's file ends before its pixels do.",
        "Copy the file again; the message names it.",
    ),
    found(
        "unread-photograph",
        "A photograph's file is whole, and of a kind that is not read, or it does not say how its pixels are to be read: several pages, \
         colours other than grey and RGB, samples of which it is not said which value is white, JPEGs of rare layouts.",
        "Save it again as a JPEG, PNG or TIFF of 8 bits; the message names the file and the reason.",
    ),
    found(
        "photograph-orientation",
        "A photograph is to be shown turned, as its EXIF or TIFF orientation says, and is read so; its mask fits only the pixels as they \
         are stored.",
        "Turn the mask, or turn the photograph's pixels and take the orientation out of the file.",
    ),
    found(
        "damaged-mask",
        "A mask can't be decoded.",
        "Replace the file; the message names it. TIFF (1, 4, 8 bit, palette, RGB) and PNG are read.",
    ),
    found(
        "mask-is-photograph",
        "Most pixels of a mask are neither black nor white, or it is its photograph's own file.",
        "Look at the file that the message names: is it the photograph, an overlay, or a map of scores? Of a map of scores `mask-from` says \
         what is lesion.",
    ),
    found(
        "mask-covers-most",
        "A mask covers more than half of its photograph: often its background is white and the lesion black.",
        "Look at the file; save it with a black background if it is so.",
    ),
    found(
        "mask-orientation",
        "A mask says otherwise than its photograph how it is to be shown (EXIF or TIFF orientation). Each is turned as its own file says, and \
         the sizes do not tell whether that is right.",
        "Look at one patch with its mask; take the orientation out of the file in which it is wrong.",
    ),
    found(
        "soft-mask",
        "A mask has more than two values up to white: its edges are soft. Half of white and more counts as lesion.",
        "Nothing, if that is meant; else `mask-from` of `folder` says from which value on.",
    ),
    found(
        "mask-values",
        "A mask has more than two values or colours, perhaps of several lesions. All but the background count as this lesion.",
        "Save a mask for each lesion if the values are of different ones.",
    ),
    found(
        "shared-mask",
        "Two classes have identical masks for a photograph, with lesion pixels in them. Both get the same labels.",
        "Check the mask patterns of both classes, and the file that the message names.",
    ),
    found(
        "dark-photograph",
        "A 16-bit photograph uses only the lowest part of its range, as when 12-bit data are stored unscaled. It is almost black in 8 bits.",
        "Rescale the samples to 16 bits, or state the white level in the file (sBIT of PNG, SMaxSampleValue of TIFF).",
    ),
    found(
        "mask-size",
        "A mask has another width or height than its photograph.",
        "Both files are named. Resize neither by hand: find the right pair.",
    ),
    found(
        "unreadable-folder",
        "A folder can't be listed.",
        "Check the path; paths in a pipeline start at the project's folder.",
    ),
    found(
        "mixed-scales",
        "Photographs of one set were changed to different scales, so counts of mask pixels can't be compared.",
        "Preprocess all photographs alike.",
    ),
    // Patches and splits.
    found(
        "no-patches",
        "There is not one patch.",
        "Photographs smaller than a patch give none with `edge drop`; a filter may have dropped all.",
    ),
    found(
        "nothing-left",
        "The filter dropped every patch, or a label rule left a class without positives.",
        "Check `below` and `share`, or `min-pixels` and `min-share`; `macula show` has the counts before and after.",
    ),
    found(
        "kept-masks",
        "Patches that keep their masks are labelled anew when augmentation turns or shifts them, by the rule of the set; a label \
         made unknown would come back.",
        "Extract without `masks #true`, or take `less absent` or `less drop`.",
    ),
    found(
        "foreign-table",
        "A table of a patch set is not one that macula wrote.",
        "Compute the stage again: `macula run` heals a damaged store.",
    ),
    found(
        "leak",
        "One patient, one photograph or one identical patch would stand on two sides of a split: figures on one would not be independent of the other.",
        "The message names both. Split by patient or by photograph, or take the copy out.",
    ),
    found(
        "names",
        "`split by names` was given names that fit nothing, overlap, or leave photographs without a side.",
        "`names valid \"IDRiD_37..IDRiD_44\"`: `A..B` takes all from A to B by name, `*` any text.",
    ),
    found(
        "official-side",
        "A photograph has no side in the data set's own division.",
        "Split `by patient` or `by image`.",
    ),
    found(
        "shares",
        "The shares of a split can't be followed: the three do not sum to 1, or those of what must be divided are 0.",
        "The message has the sum, the hint a share that would do.",
    ),
    found(
        "empty-side",
        "A side of the split has no patch.",
        "Give it a share, or more photographs: whole patients or photographs are placed.",
    ),
    found(
        "side-lacks-class",
        "A side of the split has no positive patch of a class; its figures there have no value.",
        "More photographs, other shares, or another seed.",
    ),
    found(
        "class-unchanged",
        "`rebalance` left a class as it was though it has more positives than the target: they ride on patches of rarer classes.",
        "Look at the table of counts. `sampler balanced` in `train` discards nothing.",
    ),
    found(
        "class-without-positives",
        "A class has no positive patch and is left out of the balance.",
        "Check the masks of the class.",
    ),
    found(
        "overshoot",
        "A class has over 10 % more positives than the target: patches kept for rarer classes carry its label too.",
        "Expected with multi-label patches; the table says how much.",
    ),
    found(
        "under-target",
        "A class has fewer positives than asked for.",
        "It has no more patches, or may not repeat them more often (`at-most`).",
    ),
    found(
        "ratio-not-reached",
        "There are not enough healthy patches for the ratio asked for.",
        "Ask for fewer, or give more photographs.",
    ),
    found(
        "moved-labels",
        "Rotation or shift can push a lesion at the rim out of the patch while its label stays.",
        "Extract with `margin` and `masks #true`: then labels are computed anew.",
    ),
    found(
        "no-margin",
        "Rotation or shift reach beyond the stored pixels; what is missing is filled in.",
        "Extract with a `margin` as large as the message says.",
    ),
    // Training.
    found(
        "empty-set",
        "There is nothing to fit or to validate on.",
        "The table of the stage before says where patches were lost.",
    ),
    found(
        "no-positives",
        "No patch is positive for a class, so it can't be learnt or judged.",
        "Look at the counts of the split's sides.",
    ),
    found(
        "all-positive",
        "Every patch with a known label is positive for a class. A classifier cannot learn to tell it from its absence, and metrics say nothing.",
        "Check the masks of the class, extract smaller patches, or add photographs without the lesion.",
    ),
    found(
        "unknown-class",
        "A class that a parameter names does not exist in the data.",
        "The message lists the classes.",
    ),
    found(
        "unknown-tensor",
        "`freeze` or `rate` names a part that the network does not have. A name ends at a dot: `block1` is not `block10`.",
        "`macula doc NETWORK` lists the tensors.",
    ),
    found(
        "no-bias",
        "`prior-bias` needs a last layer with a bias.",
        "Drop `prior-bias`, or give the last `linear` its bias.",
    ),
    found("healthy-ratio", "There are fewer healthy patches than the sampler is to draw.", "Ask for fewer."),
    found(
        "smaller-batch",
        "The GPU's memory holds fewer patches a step than asked for, and the pipeline lets the batch be halved.",
        "Say the smaller `batch`, so that other machines train the same; the learning rate may want to follow it.",
    ),
    found(
        "prediction-ratio",
        "A class is predicted for fewer than a fifth, or more than three times, of the patches that have it.",
        "Early epochs often do. If it stays: the rate, the loss's weights, the thresholds.",
    ),
    found(
        "all-zero",
        "The model predicts no lesion for any patch. Its subset accuracy is that of always saying healthy.",
        "Tune thresholds, weigh positives, or train longer.",
    ),
    found(
        "nothing-to-learn",
        "A training can change nothing: all of the network is frozen, or its loss or its learning rate is 0.",
        "Freeze fewer parts, or give the loss and the learning rate a value above 0.",
    ),
    found(
        "take-nothing",
        "`take` is 0 for every class, so that no patch with a lesion is drawn.",
        "Take at least one class.",
    ),
    found(
        "folds",
        "`folds` and `fold` belong together: the number of parts, and which of them is the test side.",
        "Give both, `folds 5; fold 1`, with `by patient` or `by image`, and a `fold` of at most `folds`.",
    ),
    found(
        "one-evaluation",
        "`spread` was given one evaluation, and one figure has no spread.",
        "Give it the evaluations of several folds or seeds.",
    ),
    found(
        "classes-differ",
        "Evaluations of different lesion classes can't stand in one table.",
        "Give those of the same classes.",
    ),
    found(
        "thresholds-differ",
        "Some of the evaluations are at tuned thresholds and others at 0.5, so F1, Hamming loss and subset accuracy do not compare.",
        "Tune the thresholds for all of them, or for none.",
    ),
    found(
        "sizes-differ",
        "The evaluations are on patches of different sizes: prevalence differs with the size, and so does everything else.",
        "Compare figures of one size, or look at ranks alone.",
    ),
    found(
        "nan-loss",
        "The loss is no longer a number. Training stopped; the last good state is kept.",
        "See what the message names: the learning rate, the weights, or the normalisation; and epoch and batch.",
    ),
    found(
        "no-gpu",
        "A GPU is asked for, or a precision that only a GPU has, and none can be used: the message says why.",
        "Say `device cpu` and `precision f32`, or mend what the message names; docs/cuda.md says what a GPU needs.",
    ),
    found(
        "gpu",
        "The GPU's driver refused something in the middle of the work.",
        "See what `nvidia-smi` says; run again.",
    ),
    found(
        "gpu-memory",
        "A batch does not fit the memory that is free on the GPU; the message says how much it needs.",
        "Take a smaller `batch`, say `memory halve`, or end what else uses the GPU.",
    ),
    found("nan-output", "The model gives values that are no numbers.", "Train again with a lower rate."),
    found(
        "weights-format",
        "A file of weights is neither safetensors nor a `.pth` that can be read.",
        "Save again with torch 1.6 or newer, or as safetensors.",
    ),
    found("damaged-weights", "A file of weights ends early or contradicts itself.", "Copy the file again."),
    found("weights-variance", "A running variance of the weights is negative.", "Use weights from another epoch."),
    found("weights-not-finite", "Weights hold values that are no finite numbers.", "Use another file."),
    found(
        "weights-missing",
        "The weights lack tensors of the network; all are listed.",
        "Say `missing initialise` where they are meant to begin at random, or use the network that they were made for.",
    ),
    found(
        "weights-names",
        "A network lacks tensors of a file of weights, which has others that are not used: their names may not fit.",
        "Compare the names that the message gives. What stays random is listed by `macula show`.",
    ),
    found(
        "weights-shape",
        "A tensor of the weights has another shape than the network's.",
        "Use the network that the weights were made for. Only the last layer may have other classes.",
    ),
    found(
        "other-classes",
        "A model, thresholds and data do not have the same classes.",
        "Take all three from the same pipeline.",
    ),
    found(
        "other-size",
        "Patches have another size than those that the model was fitted to.",
        "Extract at the model's size.",
    ),
    // Predictions and heat maps.
    found(
        "other-scale",
        "A model is given pixels that stand for another length of the eye than those that it was fitted to.",
        "Give it photographs or patches after the same `preprocess` as in its training.",
    ),
    found(
        "resampled-predictions",
        "Predictions were made on resampled patches: their shares and prevalence are those of the draw.",
        "Nothing, where that is meant; else predict the patches as they were before `rebalance`.",
    ),
    found(
        "seen-photographs",
        "The figures of heat maps are over photographs of which the model may have been fitted to some.",
        "Give `heat-map` the test side's patches at `only`: their photographs alone are mapped.",
    ),
    // Thresholds and figures.
    found(
        "few-positives",
        "A threshold is based on fewer than 30 positive patches, or on fewer than 5 photographs with one, and is uncertain.",
        "Give the validation side more photographs.",
    ),
    found(
        "condition-not-met",
        "No threshold reaches the precision or recall asked for.",
        "Ask for less; the curve is in the stage's output.",
    ),
    found(
        "class-missing",
        "A class has no known positive on the test side: its figures are null and it is left out of macro averages.",
        "Nothing, where the data are so; the number of classes is told.",
    ),
    found(
        "few-groups",
        "There are fewer than 5 patients, or photographs of unknown patients, or too few with a class, for a confidence interval.",
        "More photographs on the test side.",
    ),
    found(
        "no-better-than-trivial",
        "A figure is no better than that of always saying yes, or always healthy.",
        "The trivial figure stands beside it. Do not report one without the other.",
    ),
    found(
        "tuning-lowers",
        "Thresholds tuned on validation patches lower the metric that they maximise on the evaluated patches, compared with 0.5.",
        "Tune on more validation patches. Do not choose thresholds on the test set.",
    ),
    found(
        "over-prediction",
        "A class is predicted far more often than it is there.",
        "Look at precision, and tune thresholds on validation patches.",
    ),
    found(
        "under-prediction",
        "A class is predicted far less often than it is there.",
        "Look at recall, and tune thresholds on validation patches.",
    ),
    // The runner.
    found(
        "results-links",
        "The links of `results/` could not be written for a stage. The results are in the store.",
        "Check that the project's folder may be written to. Where its disk does not tell upper from lower case, stages and files need names that differ in more.",
    ),
    found(
        "store-locks",
        "The store's disk knows no locks. Runs side by side don't wait for each other, and nothing can be collected there.",
        "Mount that disk with locks (Lustre: `flock`), or put the store elsewhere with `MACULA_STORE=FOLDER`. Alone, a run loses nothing.",
    ),
    found(
        "stage-timeout",
        "A stage took longer than `macula run --timeout` allows, and was ended where that was safe.",
        "Allow it more. What it left as a checkpoint is gone on from.",
    ),
    found(
        "no-thread",
        "The system refuses a thread, and none that runs could do the work in its place.",
        "Raise the limit that is reached (`ulimit -u`, `ulimit -v`, or what a scheduler gives a job), or set fewer `--threads` and `--jobs`.",
    ),
    found(
        "stage-retried",
        "The disk or the network failed in a way that can pass, and the stage is tried again (`--retries`).",
        "Nothing, where it then goes well.",
    ),
    // Commands of the user's.
    found("no-files", "The folder that `files` names holds no file.", "Check `path`; hidden files do not count."),
    found(
        "not-trusted",
        "The pipeline runs a command of its own, and its files, or the command's code, were not trusted as they stand now.",
        "Read them, then `macula trust FILE`. While you write them yourself, `macula run --trust FILE` does both.",
    ),
    found(
        "no-sandbox",
        "This system can't keep a command to what it declares, or can't end all that it starts: there is no Landlock (Linux 6.2 and newer), or there are neither namespaces nor seccomp.",
        "Run it where there is, or with `macula run --unconfined`, where you trust the command with all that you may do.",
    ),
    found("command-not-found", "The program of a command can't be found or started.", "Check its name and PATH."),
    found(
        "command-failed",
        "A command ended badly. The last lines of what it said are shown; all of it is kept in the run's folder.",
        "Mend it. Nothing of what it made was kept.",
    ),
    found("command-timeout", "A command took longer than `timeout` allows.", "Allow it more, in seconds."),
    found(
        "command-left-processes",
        "A command ended, or was ended, and something that it started could not be. It may still write to what the command left, so nothing of that is taken.",
        "End it yourself (`ps`), then run again. A process that waits for a disk that does not answer ends when that does.",
    ),
    found(
        "undeclared-path",
        "A command tried to read or write what its stage does not declare, and was kept from it.",
        "Data and code come in by a port, so that their content counts; what belongs to the system is declared with `reads`; what it makes goes below `outputs/`.",
    ),
    found(
        "missing-output",
        "A command ended well without one of the files that `gives` declares.",
        "Let it write them all.",
    ),
    found(
        "undeclared-output",
        "A command left something below `outputs/` that `gives` does not declare, or that is no plain file.",
        "Declare it, or write it to `tmp/`.",
    ),
    found(
        "output-format",
        "`gives` declares a format that there is not, or a file that a command left is not of the format declared.",
        "Mend the declaration, or the command.",
    ),
    found(
        "interpreter",
        "A command does not begin with the program whose identity is in its key.",
        "Name the same program in `command` and in the `program` stage.",
    ),
    found(
        "predictions",
        "A table of predictions lacks a column or a patch, or holds what is no probability.",
        "Write a row for each patch: `photograph`, `x`, `y`, and `score.CLASS` from 0 to 1 for each class.",
    ),
];
