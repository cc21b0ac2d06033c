//! A pack as a Workflow Run RO-Crate (`ro-crate-metadata.json`): profile Provenance Run Crate 0.5, on RO-Crate 1.1.

use std::collections::{BTreeMap, BTreeSet};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::contents::CONTENTS;
use super::summary::{PackSummary, StageSummary};
use crate::store::Entry;

/// The file's name.
pub(super) const FILE: &str = "ro-crate-metadata.json";

/// Profiles that the crate follows.
const PROFILES: [(&str, &str, &str); 4] = [
    ("https://w3id.org/ro/wfrun/process/0.5", "Process Run Crate", "0.5"),
    ("https://w3id.org/ro/wfrun/workflow/0.5", "Workflow Run Crate", "0.5"),
    ("https://w3id.org/ro/wfrun/provenance/0.5", "Provenance Run Crate", "0.5"),
    ("https://w3id.org/workflowhub/workflow-ro-crate/1.0", "Workflow RO-Crate", "1.0"),
];

const STARTED: &str = "http://schema.org/CompletedActionStatus";
const PARAMETER: &str = "https://bioschemas.org/profiles/FormalParameter/1.0-RELEASE";
const WORKFLOW: &str = "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE";
const LANGUAGE: &str = "#macula-kdl";
const ENGINE: &str = "#macula";
const RUN: &str = "#run";
const LICENCE: &str = "#licence";

/// Characters that stay as they are in the path of a URI.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_').remove(b'~');

fn id(path: &str) -> String {
    utf8_percent_encode(path, PATH).to_string()
}

fn reference(id: impl Into<String>) -> Value {
    json!({"@id": id.into()})
}

fn references(ids: impl IntoIterator<Item = String>) -> Value {
    let mut ids: Vec<Value> = ids.into_iter().map(reference).collect();
    // RO-Crate 1.1 writes one value without a list.
    if ids.len() == 1 { ids.remove(0) } else { ids.into() }
}

/// A stage's place among the entities.
fn of_stage(kind: &str, stage: &StageSummary) -> String {
    format!("#{kind}/{}", id(&stage.name))
}

/// The tool that a type of stage is.
fn tool(stage: &StageSummary) -> String {
    format!("#tool/{}", id(&stage.stage_type))
}

/// The text of the file. `files` are all others with their sizes.
pub(super) fn text(summary: &PackSummary, files: &BTreeMap<String, Entry>, utc: &dyn Fn(u64) -> String) -> String {
    let contents = summary.contents;
    let workflow = id(&contents.pipeline.file);
    let steps: Vec<&StageSummary> = summary.stages.iter().filter(|stage| !stage.is_source).collect();
    let sources: Vec<&StageSummary> = summary.stages.iter().filter(|stage| stage.is_source).collect();
    let results: Vec<&&StageSummary> = steps.iter().filter(|stage| !outputs(summary, stage).is_empty()).collect();
    let newest = utc(summary.newest());
    let mut graph = vec![
        json!({
            "@id": FILE, "@type": "CreativeWork", "about": reference("./"),
            "conformsTo": [
                reference("https://w3id.org/ro/crate/1.1"),
                reference("https://w3id.org/workflowhub/workflow-ro-crate/1.0"),
            ],
        }),
        json!({
            "@id": "./", "@type": "Dataset",
            "name": format!("{}: pipeline, results and provenance", contents.pipeline.name),
            "description": summary.doc.clone().unwrap_or_else(|| {
                format!("The macula pipeline `{}` with its results.", contents.pipeline.name)
            }),
            "datePublished": newest,
            "license": reference(LICENCE),
            "conformsTo": references(PROFILES.map(|(id, ..)| id.to_owned())),
            "hasPart": references(files.keys().map(|path| id(path)).chain([CONTENTS.to_owned()])),
            "mainEntity": reference(&workflow),
            "mentions": references(
                [RUN.to_owned(), "#engine-run".to_owned()].into_iter().chain(steps.iter().map(|stage| of_stage("action", stage))),
            ),
        }),
        json!({
            "@id": LICENCE, "@type": "CreativeWork", "name": "No licence is stated",
            "description": "Ask whoever made this pack. Data sets have licences of their own.",
        }),
    ];
    graph.extend(
        PROFILES
            .map(|(id, name, version)| json!({"@id": id, "@type": "CreativeWork", "name": name, "version": version})),
    );
    let makers: BTreeMap<&str, &StageSummary> =
        results.iter().flat_map(|stage| summary.files(&stage.name).into_iter().map(|path| (path, **stage))).collect();
    for (path, entry) in files.iter().filter(|(path, _)| id(path) != workflow) {
        graph.push(file(path, Some(entry.size), makers.get(path.as_str()).copied(), summary));
    }
    graph.push(file(CONTENTS, None, None, summary));
    let number_of_steps = steps.len();
    graph.push(json!({
        "@id": workflow, "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"],
        "name": contents.pipeline.name,
        "description": format!("A macula pipeline with {number_of_steps} computed stages."),
        "contentSize": files.get(&contents.pipeline.file).map(|entry| entry.size.to_string()),
        "encodingFormat": "text/plain", "version": contents.macula, "conformsTo": reference(WORKFLOW),
        "programmingLanguage": reference(LANGUAGE),
        "input": references(sources.iter().map(|stage| of_stage("input", stage))),
        "output": references(results.iter().map(|stage| of_stage("output", stage))),
        "hasPart": references(steps.iter().map(|stage| tool(stage)).collect::<BTreeSet<_>>()),
        "step": references(steps.iter().map(|stage| of_stage("step", stage))),
    }));
    graph.push(json!({
        "@id": LANGUAGE, "@type": "ComputerLanguage", "name": "macula KDL", "alternateName": "KDL",
        "url": reference("https://kdl.dev"), "identifier": reference("https://kdl.dev"), "version": contents.macula,
    }));
    graph.push(json!({
        "@id": ENGINE, "@type": "SoftwareApplication", "name": "macula", "softwareVersion": contents.macula,
        "description": "Experiments on medical photographs as pipelines",
    }));
    graph.extend(sources.iter().map(|stage| parameter("input", stage)));
    graph.extend(results.iter().map(|stage| parameter("output", stage)));
    graph.extend(tools(&steps, &contents.macula));
    graph.extend(actions(summary, &steps, &sources, utc));
    let crate_of_all = json!({"@context": "https://w3id.org/ro/crate/1.1/context", "@graph": graph});
    format!("{crate_of_all:#}\n")
}

/// The files of a stage's result, as identifiers.
fn outputs(summary: &PackSummary, stage: &StageSummary) -> BTreeSet<String> {
    summary.files(&stage.name).into_iter().map(id).collect()
}

fn file(path: &str, size: Option<u64>, maker: Option<&StageSummary>, summary: &PackSummary) -> Value {
    let name = path.rsplit('/').next().unwrap_or(path);
    let mut file = json!({"@id": id(path), "@type": "File", "name": name, "encodingFormat": format_of(path)});
    let words = match path {
        "README.md" => Some("Model card: what was trained on what, its metrics and its limits".to_owned()),
        CONTENTS => Some("All files and results of this pack, with their digests".to_owned()),
        path if *path == summary.contents.lock => Some("Digests and metrics of all results".to_owned()),
        _ => None,
    };
    if let Value::Object(file) = &mut file {
        if let Some(size) = size {
            file.insert("contentSize".to_owned(), json!(size.to_string()));
        }
        if let Some(maker) = maker {
            file.insert("exampleOfWork".to_owned(), reference(of_stage("output", maker)));
        }
        if let Some(words) = words {
            file.insert("description".to_owned(), json!(words));
        }
        if path == "README.md" {
            file.insert("about".to_owned(), reference("./"));
        }
    }
    file
}

fn format_of(path: &str) -> &'static str {
    match path.rsplit('.').next().map(str::to_lowercase).as_deref() {
        Some("json") => "application/json",
        Some("md") => "text/markdown",
        Some("csv") => "text/csv",
        Some("html") => "text/html",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("tif" | "tiff") => "image/tiff",
        Some("parquet") => "application/vnd.apache.parquet",
        Some("kdl" | "txt" | "py" | "sh") => "text/plain",
        _ => "application/octet-stream",
    }
}

fn parameter(kind: &str, stage: &StageSummary) -> Value {
    json!({
        "@id": of_stage(kind, stage), "@type": "FormalParameter", "name": stage.name,
        "description": format!("{} of the stage `{}`", stage.types.join(", "), stage.name),
        "additionalType": "File", "conformsTo": reference(PARAMETER),
    })
}

/// The types of stages as tools, and the steps that use them.
fn tools(steps: &[&StageSummary], version: &str) -> Vec<Value> {
    let mut made = Vec::new();
    let mut known = BTreeSet::new();
    for (position, stage) in steps.iter().enumerate() {
        if known.insert(tool(stage)) {
            made.push(json!({
                "@id": tool(stage), "@type": "SoftwareApplication", "name": stage.stage_type,
                "description": stage.doc,
                "softwareVersion": format!("{} {} (macula {version})", stage.implementation.0, stage.implementation.1),
            }));
        }
        made.push(json!({
            "@id": of_stage("step", stage), "@type": "HowToStep", "name": stage.name,
            "position": (position + 1).to_string(), "workExample": reference(tool(stage)),
        }));
    }
    made
}

/// The run, and the computation of each result.
fn actions(
    summary: &PackSummary,
    steps: &[&StageSummary],
    sources: &[&StageSummary],
    utc: &dyn Fn(u64) -> String,
) -> Vec<Value> {
    let contents = summary.contents;
    let mut made = Vec::new();
    let data = |stage: &StageSummary| of_stage("data", stage);
    let begun = |stage: &StageSummary| stage.made.map(|(began, seconds)| (began, began + (seconds * 1e9) as u64));
    let first = steps.iter().filter_map(|stage| begun(stage)).map(|(began, _)| began).min();
    let last = steps.iter().filter_map(|stage| begun(stage)).map(|(_, ended)| ended).max();
    let (start, end) = (utc(first.unwrap_or_default()), utc(last.unwrap_or_default()));
    let results: BTreeSet<String> = steps.iter().flat_map(|stage| outputs(summary, stage)).collect();
    made.push(json!({
        "@id": RUN, "@type": "CreateAction", "name": format!("Run of {}", contents.pipeline.name),
        "description": "The computation of all results, possibly in several runs",
        "instrument": reference(id(&contents.pipeline.file)),
        "object": references(sources.iter().map(|stage| data(stage))),
        "result": references(results),
        "startTime": start, "endTime": end, "actionStatus": reference(STARTED),
    }));
    made.push(json!({
        "@id": "#engine-run", "@type": "OrganizeAction", "name": format!("macula {}", contents.macula),
        "instrument": reference(ENGINE), "result": reference(RUN),
        "object": references(steps.iter().map(|stage| of_stage("control", stage))),
        "startTime": start, "endTime": end, "actionStatus": reference(STARTED),
    }));
    for stage in sources {
        made.push(json!({
            "@id": data(stage), "@type": "PropertyValue", "name": stage.name,
            "value": match stage.photographs {
                Some(count) => format!("{count} photographs"),
                None => stage.types.join(", "),
            },
            "exampleOfWork": reference(of_stage("input", stage)),
        }));
    }
    for stage in steps {
        let needs = stage.needs.iter().filter_map(|need| summary.stages.iter().find(|other| other.name == *need));
        let objects: BTreeSet<String> = needs
            .flat_map(|need| {
                let files = outputs(summary, need);
                if need.is_source {
                    BTreeSet::from([data(need)])
                } else if files.is_empty() {
                    BTreeSet::from([of_stage("result", need)])
                } else {
                    files
                }
            })
            .collect();
        let mut result = outputs(summary, stage);
        if result.is_empty() {
            result.insert(of_stage("result", stage));
            made.push(json!({
                "@id": of_stage("result", stage), "@type": "PropertyValue", "name": format!("result of {}", stage.name),
                "value": format!("{}, not in this pack", stage.types.join(", ")),
            }));
        }
        let (began, ended) = begun(stage).unwrap_or_default();
        made.push(json!({
            "@id": of_stage("action", stage), "@type": "CreateAction", "name": format!("Computation of {}", stage.name),
            "description": format!("The stage `{}`, computed by `{}`", stage.name, stage.stage_type),
            "instrument": reference(tool(stage)), "object": references(objects), "result": references(result),
            "startTime": utc(began), "endTime": utc(ended), "actionStatus": reference(STARTED),
        }));
        made.push(json!({
            "@id": of_stage("control", stage), "@type": "ControlAction", "name": format!("Orchestration of {}", stage.name),
            "instrument": reference(of_stage("step", stage)), "object": reference(of_stage("action", stage)),
            "actionStatus": reference(STARTED),
        }));
    }
    made
}
