//! Facts of a run as HTML: a summary at the top of a page, everything else at its end.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{Markup, html};

use super::super::html::code_words;
use crate::base::figure::{counted, thousands};

/// Facts of a run.
#[derive(Clone, Debug, Default)]
pub struct RunFacts {
    /// Name of the pipeline or sweep.
    pub pipeline: String,
    /// Its `doc`.
    pub doc: Option<String>,
    /// Date, duration, machine, versions: label and value.
    pub rows: Vec<(String, String)>,
    /// Its stages, in the order of the graph.
    pub stages: Vec<StageFacts>,
    /// Drawing of the graph with states, as SVG.
    pub graph: Option<String>,
    /// What differs from the pipeline that it extends.
    pub base: Option<BaseDifference>,
    /// Parameters that differ from their defaults.
    pub params: Vec<ParamFacts>,
    /// Commands that repeat it.
    pub commands: Vec<String>,
    /// The lock file, in a sentence.
    pub lock: String,
    /// Sources, and what models have seen.
    pub data: Vec<DataFacts>,
    /// Reservations, one sentence each.
    pub notes: Vec<String>,
}

/// Facts of a stage.
#[derive(Clone, Debug)]
pub struct StageFacts {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: String,
    /// `cached`, `will run`, `failed`.
    pub state: String,
    /// Time to compute its result: as text.
    pub time: String,
    /// The run that computed it.
    pub run: String,
    /// Version of its implementation.
    pub version: String,
    /// Digests of its outputs, by port.
    pub outputs: Vec<(String, String)>,
}

/// A parameter that differs from its default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParamFacts {
    /// The stage.
    pub stage: String,
    /// The parameter, dotted.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Its default; [`None`] if it has none.
    pub default: Option<String>,
}

/// Differences from the pipeline that another extends.
#[derive(Clone, Debug)]
pub struct BaseDifference {
    /// Name of the other pipeline.
    pub base: String,
    /// Stage, what differs, value there, value here.
    pub rows: Vec<[String; 4]>,
}

/// A source, or a model and the photographs it has seen.
#[derive(Clone, Debug)]
pub struct DataFacts {
    /// The stage.
    pub stage: String,
    /// What the row says of it: `source`, `training`, `selection`.
    pub role: String,
    /// Number of photographs, if known.
    pub photographs: Option<u64>,
    /// Number of patients, if known.
    pub patients: Option<u64>,
    /// Digest, or what is not known.
    pub note: String,
}

/// The most important facts, for the top of a page.
#[must_use]
pub(in crate::report) fn before(facts: &RunFacts) -> Markup {
    html! {
        @if let Some(doc) = &facts.doc { p { (doc) } }
        dl.facts { @for (label, value) in &facts.rows { dt { (label) } dd { (code_words(value)) } } }
        @if !facts.notes.is_empty() {
            div.warnings { ul { @for note in &facts.notes { li { (code_words(note)) } } } }
        }
    }
}

/// All other facts.
#[must_use]
pub(in crate::report) fn after(facts: &RunFacts) -> Markup {
    html! {
        h2 id="run" { "Run" }
        @if let Some(svg) = &facts.graph {
            div.panel {
                h3 { "Graph" }
                div.scroll tabindex="0" { img.graph src={ "data:image/svg+xml;base64," (STANDARD.encode(svg)) } alt=(described(facts)); }
            }
        }
        (stages(facts))
        @if let Some(base) = &facts.base { (base_difference(base)) }
        (params(facts))
        @if !facts.data.is_empty() { (data(facts)) }
        div.panel id="repeat" {
            h3 { "How to repeat it" }
            pre tabindex="0" { code { (facts.commands.join("\n")) } }
            @if !facts.lock.is_empty() { p.hint { (code_words(&facts.lock)) } }
        }
    }
}

fn described(facts: &RunFacts) -> String {
    format!("graph of {}: {}", facts.pipeline, counted(facts.stages.len() as u64, "stage", "stages"))
}

fn stages(facts: &RunFacts) -> Markup {
    html! {
        div.panel {
            h3 { "Stages" }
            div.scroll tabindex="0" { table.settings {
                thead { tr { th { "stage" } th.text { "type" } th.text { "state" } th { "time" } th.text { "computed in run" } th { "version" } th.text { "output digests" } } }
                tbody { @for stage in &facts.stages {
                    tr {
                        td { code { (stage.name) } }
                        td.text { (stage.kind) }
                        td.text { (stage.state) }
                        td { (stage.time) }
                        td.text { (stage.run) }
                        td { (stage.version) }
                        td.text { @for (at, (port, digest)) in stage.outputs.iter().enumerate() { @if at > 0 { ", " } @if !port.is_empty() { (port) " " } code { (digest) } } }
                    }
                } }
            } }
            p.hint { "Time: that of computing the result, whenever that was. Cached results took no time in this run." }
        }
    }
}

fn base_difference(base: &BaseDifference) -> Markup {
    html! {
        div.panel id="base" {
            h3 { "Differences from " code { (base.base) } }
            @if base.rows.is_empty() { p { "None: all stages and parameters are the same." } } @else {
                div.scroll tabindex="0" { table.settings {
                    thead { tr { th { "stage" } th.text { "what" } th.text { (base.base) } th.text { "here" } } }
                    tbody { @for [stage, what, there, here] in &base.rows {
                        tr { td { code { (stage) } } td.text { (what) } td.text { (there) } td.text { (here) } }
                    } }
                } }
            }
        }
    }
}

fn params(facts: &RunFacts) -> Markup {
    html! {
        div.panel id="parameters" {
            h3 { "Parameters that differ from their defaults" }
            @if facts.params.is_empty() { p { "None." } } @else {
                div.scroll tabindex="0" { table.settings {
                    thead { tr { th { "stage" } th.text { "parameter" } th.text { "value" } th.text { "default" } } }
                    tbody { @for param in &facts.params {
                        tr {
                            td { code { (param.stage) } }
                            td.text { code { (param.name) } }
                            td.text { (param.value) }
                            td.text { @if let Some(default) = &param.default { (default) } @else { "required" } }
                        }
                    } }
                } }
            }
        }
    }
}

fn data(facts: &RunFacts) -> Markup {
    let count = |count: Option<u64>| count.map_or_else(|| "–".to_owned(), thousands);
    html! {
        div.panel id="provenance" {
            h3 { "Provenance" }
            div.scroll tabindex="0" { table.settings {
                thead { tr { th { "stage" } th.text { "role" } th { "photographs" } th { "patients" } th.text { "digest" } } }
                tbody { @for row in &facts.data {
                    tr { td { code { (row.stage) } } td.text { (row.role) } td { (count(row.photographs)) } td { (count(row.patients)) } td.text { (code_words(&row.note)) } }
                } }
            } }
            p.hint { "Training: photographs that a model was fitted on, those of its initial model included. Selection: photographs that chose its epoch." }
        }
    }
}
