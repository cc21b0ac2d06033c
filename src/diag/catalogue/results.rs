//! Codes of predictions, thresholds and metrics, of the runner and of users' commands.

use super::Page;
use super::stages::found;

pub(super) const PAGES: &[Page] = &[
    // The project.
    found(
        "store-folder",
        "The store that `project.kdl` names cannot be opened: its folder cannot be created or written, or its path is that of a file.",
        "Name a folder of this machine in which macula may write; a relative path starts at the folder of `project.kdl`. `MACULA_STORE` replaces it.",
    ),
    found(
        "tracking",
        "A folder of `--tensorboard`, `--mlflow` or `--wandb` can no longer be written. The run goes on without it.",
        "Free some space, or name another folder, and run again: cached training runs are written from their stored epochs.",
    ),
    // Exports.
    found(
        "onnx-size",
        "A network has 2 GiB of tensors or more, which no ONNX file can hold.",
        "Export a smaller network, or `get` the weights as safetensors.",
    ),
    // Jobs of a cluster.
    found(
        "no-slurm",
        "Stages are to run as jobs of Slurm, but this machine does not have its programs (`sbatch`, `squeue`, `scancel`).",
        "Run macula where you submit jobs, load the module of Slurm, or use `--executor local`.",
    ),
    found(
        "job-refused",
        "Slurm refused a job. The message is that of `sbatch`.",
        "Correct `partition`, `account`, `options` or `resources` of `executor` in `project.kdl` (docs/slurm.md).",
    ),
    found(
        "job-order",
        "A job cannot compute its stage from the store: the order or one of the inputs is missing, or is for another version of macula.",
        "Run the pipeline again: what is missing is computed again.",
    ),
    found(
        "job-failed",
        "A job ended without a result and without saying why. The message has the end of its log.",
        "Read the log. If the cause was temporary, run the same command again.",
    ),
    found(
        "job-cancelled",
        "A job was cancelled, by `scancel` or by an administrator.",
        "Run the same command again: it submits the stage again, which resumes from its checkpoint.",
    ),
    found(
        "job-memory",
        "A job used more memory than it had asked for, again after macula had raised its request.",
        "Ask for more: `resources STAGE memory=\"32GiB\"` in `executor` of `project.kdl`.",
    ),
    found(
        "job-time",
        "A job reached its time limit without any progress that the next one could continue from, again after macula had raised the limit.",
        "Ask for more: `resources STAGE time=\"24h\"` in `executor` of `project.kdl`.",
    ),
    found(
        "job-lost",
        "The jobs of a stage ended without a result several times: their nodes failed, or other jobs took their place.",
        "Run the same command again; use another partition if it happens often.",
    ),
    found(
        "job-again",
        "A job ended without a result, and its stage was submitted again. It resumes from its checkpoint, and finished items are kept.",
        "Nothing needs to be done.",
    ),
    found(
        "queue-away",
        "The queue does not answer. Jobs that were submitted continue.",
        "Nothing needs to be done: macula asks again. After Ctrl-C, the same command continues with the same jobs.",
    ),
    // Predictions and heat maps.
    found(
        "other-scale",
        "The input of a model does not have the scale of the data that it was trained on.",
        "Use the same `preprocess` as in training.",
    ),
    found(
        "other-normalisation",
        "The model that a training starts from was trained with another `normalise`, so its first layer expects other values.",
        "Use the `normalise` of the initial model, unless the change is intended.",
    ),
    found(
        "resampled-predictions",
        "Predictions were made on resampled patches, so mean scores and prevalence do not reflect the original photographs.",
        "If that is intended, nothing needs to be done. Otherwise predict on the patches as they were before `rebalance`.",
    ),
    found(
        "seen-photographs",
        "The metrics of the heat maps include photographs that the model may have been trained on, or `predict` or `macula predict` scored photographs that the classifier was trained on or selected on. Such scores say nothing about new photographs.",
        "Connect the test patches to `only` of `heat-map`; then only their photographs are mapped. Give `predict` other photographs.",
    ),
    found(
        "near-duplicate",
        "Two photographs show the same picture, or a part of it, although their files or names differ: one was saved again, shifted, mirrored, turned, made brighter or darker, cropped, or renamed. If one of them was used for training or for choosing and the other is evaluated, the metrics are optimistic.",
        "Look at the pairs (`pairs.png` of the stage `near-duplicates`). Keep one photograph of each pair, or both on one side of the split: give them the same patient, or use `by names`.",
    ),
    found(
        "diagnosis",
        "An evaluation with `diagnosis #true` may be of patches that the model was trained on. It shows what a model has learned, not how well it does on new photographs. So it is marked in every output, has no metrics to rank or compare by, and cannot be pooled.",
        "Evaluate the test set without `diagnosis`.",
    ),
    // Thresholds and metrics.
    found(
        "one-prediction",
        "`average` has one input, so there is no mean.",
        "Connect the predictions of several classifiers: `of guesses-1 guesses-2`.",
    ),
    found(
        "same-predictions",
        "`average` gets the same predictions several times, so they count several times.",
        "Training stages with the same settings are the same training, whatever their names: write `replicate 1` in the second, `replicate 2` in the third.",
    ),
    found(
        "other-thresholds",
        "Thresholds were tuned on scores of another classifier than the one that they are used with, or on its scores before `calibrate`. Each classifier has its own scale of scores.",
        "Tune thresholds on scores of the same classifier.",
    ),
    found(
        "tta-differs",
        "Thresholds are used on scores with another test-time augmentation than those they were tuned on. Averaging over orientations changes scores, so the thresholds are no longer the best ones.",
        "Set `tta` in `threshold-tune` as in the stage that uses the thresholds.",
    ),
    found(
        "few-positives",
        "A threshold or a calibration is based on fewer than 30 positive patches, or on positive patches from fewer than 5 photographs, and is uncertain.",
        "Use more photographs in the validation set.",
    ),
    found(
        "prior-differs",
        "After a prior shift was subtracted, the odds of the mean score of a class still differ from those of its prevalence by a factor of 2 or more on the validation patches.",
        "Give `calibrate` the sampling and the weights of the training, or use `method platt`.",
    ),
    found(
        "not-calibrated",
        "Scores cannot be calibrated: a class has no positive or no negative patches, its positives do not score higher, or all scores are on the right side of 0.5.",
        "Calibrate on more patches, and check the classifier.",
    ),
    found(
        "calibration-tta",
        "A calibrated classifier is used with another test-time augmentation than it was calibrated for. Averaging over orientations changes scores.",
        "Set `tta` in `calibrate` as in the stage that uses the classifier.",
    ),
    found(
        "calibrated",
        "`method prior` gets a classifier that is calibrated already, whose scores no longer show the prevalence in training.",
        "Subtract the prior shift first, then fit the temperature.",
    ),
    found(
        "not-of-method",
        "`calibrate` gets sampling or weights of the training, which only `method prior` reads.",
        "Remove them, or use `method prior`.",
    ),
    found(
        "other-training-data",
        "The patches at `trained` have other labels than those that the classifier was trained on.",
        "Connect the stage at `data` of `train`.",
    ),
    found(
        "condition-not-met",
        "No threshold reaches the requested precision or recall.",
        "Lower the target; the curve is in the stage's output.",
    ),
    found(
        "class-missing",
        "A class has no known positives in the test set: its metrics are undefined and it is left out of macro averages.",
        "No action needed if the data really lack it; the report states how many classes are averaged.",
    ),
    found(
        "few-groups",
        "Fewer than 10 patients (photographs, if patients are unknown) have a positive patch of the class: too few for a confidence interval.",
        "Use more photographs in the test set.",
    ),
    found(
        "slice-limits",
        "The limits of `slice` do not ascend, or are set for a measure that is text, each of which is a stratum.",
        "Write numbers in ascending order: `limits 100 500 2000`. Leave `limits` out for `photograph`, `patient` and columns of text.",
    ),
    found(
        "photograph-table",
        "A table of facts about photographs cannot be read or joined: it has no column `photograph`, no column of the name asked for, a photograph twice, or none of the photographs of the data. As a warning: some photographs have no row, or a column of numbers has a cell of text.",
        "Write a CSV or Parquet file with one row for each photograph and its name, without the extension, in the column `photograph`.",
    ),
    found(
        "no-better-than-trivial",
        "A metric is no better than that of always predicting positive, or always predicting healthy.",
        "The trivial value is listed next to it. Report both.",
    ),
    found(
        "tuning-lowers",
        "On the evaluated patches, the thresholds tuned on validation patches give a lower value of the metric that they maximise than 0.5 does.",
        "Tune on more validation patches. Do not choose thresholds on the test set.",
    ),
    found(
        "over-prediction",
        "A class is predicted far more often than it occurs.",
        "Check its precision, and tune thresholds on the validation set.",
    ),
    found(
        "under-prediction",
        "A class is predicted far less often than it occurs.",
        "Check its recall, and tune thresholds on the validation set.",
    ),
    // The runner.
    found(
        "results-links",
        "The links in `results/` could not be written for a stage. Its results are in the store.",
        "Check that the project folder is writable. On a case-insensitive file system, the names of stages and files must differ in more than case.",
    ),
    found(
        "test-looks",
        "An evaluation of a test set could not be added to `test-looks.jsonl` in the project folder, which says how often each test set has been evaluated.",
        "Check that the folder is writable. `test-looks #false` in `project.kdl` turns the record off.",
    ),
    found(
        "store-locks",
        "The store is on a file system without locks: concurrent runs may compute the same result twice, and garbage collection is not possible.",
        "Mount the file system with locks (Lustre: `flock`), or put the store elsewhere with `MACULA_STORE=FOLDER`. A single run is not affected.",
    ),
    found(
        "stage-timeout",
        "A stage exceeded `macula run --timeout` and was stopped at a safe point.",
        "Raise `--timeout`; the next run resumes from its checkpoint.",
    ),
    found(
        "no-thread",
        "The system refuses to start a thread, and no running thread can do its work.",
        "Raise the limit (`ulimit -u`, `ulimit -v`, or the limits of the job scheduler), or use fewer `--threads` and `--jobs`.",
    ),
    found(
        "stage-retried",
        "The disk or the network failed temporarily, and the stage is tried again (`--retries`).",
        "If the retry succeeds, nothing needs to be done.",
    ),
    // User commands.
    found("no-files", "The folder that `files` names contains no files.", "Check `path`; hidden files are ignored."),
    found(
        "not-trusted",
        "The pipeline runs a command, and the current contents of its files or of the command's code are not trusted.",
        "Review them, then run `macula trust FILE`. While you are writing them yourself, `macula run --trust FILE` does both.",
    ),
    found(
        "no-sandbox",
        "This system cannot confine a command to what it declares, or cannot end all processes that it starts: it lacks Landlock (Linux 6.2 or newer), or namespaces and seccomp.",
        "Run it on a system that has them, or use `macula run --unconfined` if you trust the command with all your permissions.",
    ),
    found("command-not-found", "The program of a command cannot be found or started.", "Check its name and PATH."),
    found(
        "command-failed",
        "A command failed. The last lines of its output are shown; all of its output is in the run's folder.",
        "Fix the command. None of its files were kept.",
    ),
    found("command-timeout", "A command exceeded its `timeout`.", "Raise `timeout` (seconds)."),
    found(
        "command-left-processes",
        "A command ended, or was ended, but a process that it started could not be. That process may still write to the command's files, so none of them are used.",
        "End the process yourself (`ps`), then run again. A process that waits for an unresponsive disk ends when the disk responds.",
    ),
    found(
        "undeclared-path",
        "A command tried to read or write a path that its stage does not declare, and was denied.",
        "Pass data and code through a port, so that their content is part of the key; declare system paths with `reads`; write output below `outputs/`.",
    ),
    found(
        "missing-output",
        "A command succeeded without writing one of the files that `gives` declares.",
        "Make the command write all of them.",
    ),
    found(
        "undeclared-output",
        "A command left something below `outputs/` that `gives` does not declare, or that is not a regular file.",
        "Declare it, or write it to `tmp/`.",
    ),
    found(
        "output-format",
        "`gives` names an unknown format, or a file written by the command does not have the declared format.",
        "Correct the declaration or the command.",
    ),
    found(
        "interpreter",
        "A command does not start with the program whose identity is in its key.",
        "Name the same program in `command` and in the `program` stage.",
    ),
    found(
        "predictions",
        "A table of predictions lacks a column or a patch, or contains a value that is not a probability.",
        "Write one row per patch: `photograph`, `x`, `y`, and `score.CLASS` from 0 to 1 for each class.",
    ),
];
