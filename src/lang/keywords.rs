//! The words of the language itself, as `macula doc` shows them. A table; knows neither stages nor layers.

use std::fmt::Write as _;

/// The name of the page on the language.
pub(super) const LANGUAGE: &str = "language";

/// The word that puts stages into a pipeline, and layers into a network, several times.
pub const REPEAT: &str = "repeat";

/// A word of the language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keyword {
    /// The word.
    pub word: &'static str,
    /// Where it is written.
    pub within: &'static str,
    /// How it is written.
    pub written: &'static str,
    /// What it does, in sentences.
    pub doc: &'static str,
}

const FILE: &str = "a file";
const PIPELINE: &str = "a pipeline";
const STAGE: &str = "a stage with a body";
const NETWORK: &str = "a network";
const SWEEP: &str = "a sweep";
const PROJECT: &str = "project.kdl";

const fn of(within: &'static str, word: &'static str, written: &'static str, doc: &'static str) -> Keyword {
    Keyword { word, within, written, doc }
}

/// Every word, by the place where it is written.
pub const KEYWORDS: &[Keyword] = &[
    of(FILE, "pipeline", "pipeline NAME seed=1 { … }", "An experiment: stages, and how they are connected."),
    of(
        FILE,
        "stage",
        "stage NAME { in …; out …; param …; body { … } }",
        "A template: stages under one name, used like any other stage.",
    ),
    of(
        FILE,
        "network",
        "network NAME { LAYER …; … }",
        "A network of layers, for `network NAME` in `train` and `encode`.",
    ),
    of(
        FILE,
        "sweep",
        "sweep NAME { over STAGE.PARAM VALUE… }",
        "Varies a pipeline: `macula run FILE --sweep NAME` runs every point.",
    ),
    of(
        FILE,
        "use",
        "use \"FILE.kdl\" as=ALIAS",
        "Imports stages and networks of another file; with `as=`, under `ALIAS.NAME`.",
    ),
    of(FILE, "doc", "doc \"Text.\"", "Describes the pipeline, stage, port, parameter, network or sweep around it."),
    of(
        PIPELINE,
        "seed",
        "pipeline NAME seed=7",
        "The seed of all random numbers; `--set seed=8` overrides it. `replicate 1` gives one stage other random numbers.",
    ),
    of(
        PIPELINE,
        "param",
        "param NAME type=TYPE default=VALUE",
        "A parameter, used as `$NAME`, which `--set NAME=VALUE` sets.",
    ),
    of(
        PIPELINE,
        "extends",
        "extends \"FILE.kdl\"",
        "Starts from the pipeline of another file; write only what differs.",
    ),
    of(PIPELINE, "without", "without STAGE…", "Removes stages of the pipeline that it extends."),
    of(
        PIPELINE,
        "repeat",
        "repeat TIMES NAME { … }",
        "Its stages several times, as `NAME.1.STAGE`, `NAME.2.STAGE`, …; inside, `$NAME` is the number. `NAME.STAGE` stands for all of them.",
    ),
    of(STAGE, "in", "in NAME type=TYPE", "A port; `many=#true` takes several stages, `optional=#true` none as well."),
    of(STAGE, "out", "out NAME type=TYPE from=STAGE", "An output, and the stage of the body that provides it."),
    of(
        STAGE,
        "param",
        "param NAME type=TYPE default=VALUE",
        "A parameter, used as `$NAME` in the body; `range=` bounds it.",
    ),
    of(STAGE, "body", "body { … }", "The stages of the template."),
    of(STAGE, "repeat", "repeat TIMES NAME { … }", "As in a pipeline; TIMES may be a parameter of the template."),
    of(
        NETWORK,
        "input",
        "input NAME",
        "An input besides the patch: `half`, `wide`, or embeddings that `join` gave to the patches under that name.",
    ),
    of(
        NETWORK,
        "half",
        "input half",
        "The patch averaged over 2 x 2 pixels, to half its side: another scale, and nothing else.",
    ),
    of(
        NETWORK,
        "wide",
        "input wide",
        "The patch with a margin of half its side on every side, averaged over 2 x 2 pixels: its surroundings. Needs `margin` of `extract`.",
    ),
    of(
        NETWORK,
        "branch",
        "parallel { branch { … }; branch NAME from=INPUT { … } }",
        "A branch of `parallel`; with `from=`, it starts at an input or a tap. `share=#true` uses the tensors of earlier layers of the same name.",
    ),
    of(NETWORK, "block", "block NAME { param …; LAYER …; … }", "Layers under a name, used like a layer."),
    of(
        NETWORK,
        "param",
        "param NAME default=VALUE",
        "A parameter, used as `$NAME`; a stage sets it by `network NAME PARAM=VALUE`.",
    ),
    of(NETWORK, "repeat", "repeat TIMES NAME { … }", "Repeats its layers, with tensors `NAME.0.…`, `NAME.1.…`."),
    of(
        NETWORK,
        "auxiliary",
        "auxiliary NAME from=TAP weight=0.3 { … }",
        "An output that only the training uses, with a loss of that weight.",
    ),
    of(
        SWEEP,
        "of",
        "of NAME",
        "The pipeline that it varies, if the file has none or several; `of \"FILE.kdl\"` takes that of another file.",
    ),
    of(
        SWEEP,
        "over",
        "over STAGE.PARAM VALUE…",
        "Varies a parameter; several `over` give all combinations. A value with parameters stands on a line of its own that starts with `-`.",
    ),
    of(SWEEP, "zip", "zip { over …; over … }", "Varies parameters together instead of in all combinations."),
    of(SWEEP, "skip", "skip STAGE.PARAM=VALUE …", "Leaves out the points for which all of these hold."),
    of(
        SWEEP,
        "repeat",
        "repeat TIMES only=STAGE",
        "Runs every point with several seeds; with `only=`, only those of that stage differ.",
    ),
    of(SWEEP, "rank", "rank by=STAGE.METRIC", "The metric by which points are ranked."),
    of(PROJECT, "store", "store \"FOLDER\"", "Where outputs are kept; default `.macula`. `MACULA_STORE` overrides it."),
    of(
        PROJECT,
        "near-duplicates",
        "near-duplicates #false",
        "Turns off the comparison of photographs by what they show (`docs/leakage.md`); default `#true`.",
    ),
    of(
        PROJECT,
        "test-looks",
        "test-looks #false",
        "Turns off the record of looks at test sets, `test-looks.jsonl` (`docs/leakage.md`); default `#true`.",
    ),
    of(
        PROJECT,
        "tensorboard",
        "tensorboard \"FOLDER\"",
        "Every `macula run` writes TensorBoard event files there, as with `--tensorboard` (`docs/watching.md`).",
    ),
    of(
        PROJECT,
        "mlflow",
        "mlflow \"FOLDER\"",
        "Every `macula run` writes an MLflow file store there, as with `--mlflow` (`docs/watching.md`).",
    ),
    of(
        PROJECT,
        "wandb",
        "wandb \"FOLDER\"",
        "Every `macula run` writes offline runs of Weights & Biases there, as with `--wandb` (`docs/watching.md`).",
    ),
    of(
        PROJECT,
        "executor",
        "executor slurm { partition \"NAME\"; … }",
        "Runs stages as jobs of a cluster (`docs/slurm.md`), with what jobs ask for; `--executor local` runs them here.",
    ),
    of(
        PROJECT,
        "resources",
        "resources STAGE gpus=1 memory=\"16GiB\" time=\"12h\" threads=8",
        "In `executor`: what the jobs of a stage ask for. Not part of any key.",
    ),
    of(PROJECT, "remote", "remote NAME \"LOCATION\" write=#true", "Where results are shared."),
    of(
        PROJECT,
        "package",
        "package NAME { path \"FOLDER\"; digest \"blake3:…\" }",
        "A folder of KDL files for `use \"NAME:FILE.kdl\"`, pinned by its digest.",
    ),
];

/// All words of that name.
pub fn keywords(word: &str) -> impl Iterator<Item = &'static Keyword> {
    KEYWORDS.iter().filter(move |keyword| keyword.word == word)
}

/// The page on the language: a table of words for each place, in Markdown.
#[must_use]
pub(super) fn page() -> String {
    let mut out = String::from("# language\n\nThe words of KDL files besides stages, layers and their parameters.\n");
    let mut within = "";
    for keyword in KEYWORDS {
        if keyword.within != within {
            within = keyword.within;
            let _ = write!(out, "\n## In {within}\n\n| written as | |\n|---|---|\n");
        }
        let _ = writeln!(out, "| `{}` | {} |", keyword.written, keyword.doc);
    }
    out
}
