//! The model card of a pack: `README.md`, for people who get it.

use std::fmt::Write as _;

use serde_json::Value;

use super::super::time;
use super::summary::{PackSummary, StageSummary};
use crate::base::figure::counted;

/// The text of the card.
pub(super) fn text(summary: &PackSummary) -> String {
    let mut text = String::new();
    let contents = summary.contents;
    let name = &contents.pipeline.name;
    let _ = writeln!(text, "# {name}\n");
    if let Some(doc) = &summary.doc {
        let _ = writeln!(text, "{doc}\n");
    }
    let _ = writeln!(
        text,
        "A pipeline of macula {} with its results. `macula unpack FILE` unpacks it, `macula unpack --verify FILE` runs it again and \
         compares.\n",
        contents.macula
    );
    models(&mut text, summary);
    text.push_str(USE);
    data(&mut text, summary);
    metrics(&mut text, summary);
    text.push_str(LIMITS);
    stages(&mut text, summary);
    inside(&mut text, summary);
    text
}

const USE: &str = "## Intended use

For research: to reproduce these results, to compare with them, and to continue from them. The models classify patches of photographs \
like those that they were trained on. They are not a medical device, were not tested as one, and must not decide about patients.

";

const LIMITS: &str = "## Limits

- The metrics hold for photographs like those of the test set: other cameras, other populations and other annotators give other values.
- Metrics of a class with few positive photographs have wide intervals, or none.
- Decisions depend on thresholds, which were chosen for the prevalence of the validation set.
- Whether a model remembers patches of its training photographs was not examined.

";

fn models(text: &mut String, summary: &PackSummary) {
    let models: Vec<&StageSummary> = summary.stages.iter().filter(|stage| stage.network.is_some()).collect();
    if models.is_empty() {
        return;
    }
    text.push_str("## Models\n\n| stage | network | computed on | files |\n|---|---|---|---|\n");
    for stage in models {
        let network = stage.network.as_deref().unwrap_or_default();
        let files: Vec<String> = summary.files(&stage.name).into_iter().map(|file| format!("`{file}`")).collect();
        let _ = writeln!(text, "| `{}` | {network} | {} | {} |", stage.name, stage.target, files.join(", "));
    }
    text.push('\n');
}

fn data(text: &mut String, summary: &PackSummary) {
    text.push_str("## Data\n\n");
    for stage in &summary.stages {
        if let Some(count) = stage.photographs.filter(|_| stage.needs.is_empty()) {
            let count = counted(count as u64, "photograph", "photographs");
            let _ = writeln!(text, "- `{}` (`{}`): {count}", stage.name, stage.stage_type);
        }
    }
    for (stage, paths) in &summary.contents.data {
        let paths: Vec<String> =
            paths.iter().map(|path| format!("`{}/{path}`", summary.contents.pipeline.project)).collect();
        let _ = writeln!(text, "- The files of `{stage}` are not inside. It expects them at {}.", paths.join(" and "));
    }
    if summary.contents.photographs {
        text.push_str("- Photographs and pieces of them are inside.\n");
    }
    text.push('\n');
}

/// Sections of `scores.json` with decisions, and what they are called.
const DECISIONS: [(&str, usize, &str); 2] = [("at_half", 0, "at 0.5"), ("at_tuned", 1, "at tuned thresholds")];

fn metrics(text: &mut String, summary: &PackSummary) {
    for (stage, scores) in summary.evaluations() {
        let _ = writeln!(text, "## Metrics of `{}`\n", stage.name);
        let data = &scores["data"];
        let count = |name: &str| data[name].as_u64().unwrap_or(0);
        let of = [("patch", "patches"), ("photograph", "photographs"), ("patient", "patients")]
            .map(|(one, many)| Some(count(many)).filter(|count| *count > 0).map(|count| counted(count, one, many)));
        let _ = writeln!(text, "On {}.", of.into_iter().flatten().collect::<Vec<_>>().join(" of "));
        let intervals = &scores["intervals"];
        if let Some(groups) = intervals["groups"].as_u64() {
            let replicates = intervals["replicates"].as_u64().unwrap_or(0);
            let _ = writeln!(
                text,
                "In brackets: 95% intervals of {replicates} bootstrap replicates over {}. No interval: too few positive ones.",
                counted(groups, "photograph or patient", "photographs or patients")
            );
        }
        text.push_str("\n| class | average precision | baseline: prevalence |");
        let decided: Vec<_> = DECISIONS.iter().filter(|(section, ..)| scores[section]["figures"].is_object()).collect();
        for (_, _, words) in &decided {
            let _ = write!(text, " F1 {words} |");
        }
        text.push_str(" baseline: F1 of always yes |\n|---|---|---|---|");
        let _ = writeln!(text, "{}", "---|".repeat(decided.len()));
        for (at, class) in scores["classes"].as_array().into_iter().flatten().enumerate() {
            let _ = write!(
                text,
                "| {} | {} | {} |",
                class.as_str().unwrap_or_default(),
                with_interval(&scores["ranking"][at]["average_precision"], &intervals["average_precision"][at]),
                number(&scores["baselines"]["classes"][at]["prevalence"]),
            );
            for (section, column, _) in &decided {
                let f1 = &scores[section]["figures"]["classes"][at]["f1"];
                let _ = write!(text, " {} |", with_interval(f1, &intervals["f1"][*column][at]));
            }
            let _ = writeln!(text, " {} |", number(&scores["baselines"]["classes"][at]["always_yes_f1"]));
        }
        let mean = with_interval(&scores["mean_average_precision"]["value"], &intervals["mean_average_precision"]);
        let prevalence = number(&scores["baselines"]["macro_prevalence"]["value"]);
        let _ = writeln!(text, "\nMean average precision {mean}; mean prevalence {prevalence}.\n");
    }
}

fn number(value: &Value) -> String {
    value.as_f64().map_or_else(|| "–".to_owned(), |value| format!("{value:.3}"))
}

fn with_interval(value: &Value, interval: &Value) -> String {
    match (interval["low"].as_f64(), interval["high"].as_f64()) {
        (Some(low), Some(high)) => format!("{} [{low:.3}, {high:.3}]", number(value)),
        _ => number(value),
    }
}

fn stages(text: &mut String, summary: &PackSummary) {
    text.push_str("## How it was computed\n\n| stage | type | version | reproducible | computed on | seconds |\n|---|---|---|---|---|---|\n");
    for stage in summary.stages.iter().filter(|stage| !stage.is_source) {
        let seconds = stage.made.map(|(_, seconds)| format!("{seconds:.1}")).unwrap_or_default();
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} | {} | {seconds} |",
            stage.name, stage.stage_type, stage.implementation.1, stage.determinism, stage.target
        );
    }
    let environment: Vec<String> =
        summary.contents.environment.iter().map(|(name, value)| format!("{name} {value}")).collect();
    if let Some((began, _)) = summary.times {
        let _ = writeln!(text, "\nOn {}, with {}; seed {}.", time::utc(began), environment.join(", "), summary.seed);
    }
    text.push('\n');
}

fn inside(text: &mut String, summary: &PackSummary) {
    let contents = summary.contents;
    let pipeline = &contents.pipeline;
    text.push_str("## What is inside\n\n");
    let _ =
        writeln!(text, "- `{}`: the pipeline, with everything that it uses in `{}/`", pipeline.file, pipeline.project);
    let _ = writeln!(text, "- `{}`: digests and metrics of every result", contents.lock);
    let _ = writeln!(text, "- `outputs/`: files of {}", counted(contents.results.len() as u64, "result", "results"));
    text.push_str("- `macula.json`: every file with its BLAKE3 digest\n- `ro-crate-metadata.json`: the same as a Workflow Run RO-Crate\n");
    if !contents.withheld.is_empty() {
        let withheld: Vec<String> =
            contents.withheld.iter().map(|one| format!("`{}` ({})", one.stage, one.ty)).collect();
        let _ = writeln!(
            text,
            "\nNot inside, because they may show or name photographs: {}. Whoever has the photographs computes them again.",
            withheld.join(", ")
        );
    }
}
