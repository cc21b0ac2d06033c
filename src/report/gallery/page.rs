//! The gallery of an evaluation as HTML: pictures with outlines, filters by class and kind of error. Without scripts everything is shown.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{Markup, html};

use super::{ClassOutcome, Gallery, GalleryPatch};
use crate::base::figure::{counted, thousands};
use crate::learn::evaluation::{ExampleKind, Scores};
use crate::report::html::metric;
use crate::report::names::NameReplacements;

/// Gallery of an evaluation; `number` tells the galleries of a page apart, `most` is the maximum number of hits of a class.
#[must_use]
pub fn section(scores: &Scores, gallery: &Gallery, names: &NameReplacements, (number, most): (usize, usize)) -> Markup {
    let patches = shown(gallery, scores.classes.len(), most);
    let errors = patches.iter().filter(|patch| has_error(patch)).count();
    html! {
        @if !patches.is_empty() {
            div.panel.gallery id={ "gallery-" (number) } {
                h3 { "Patches" }
                p { (lead(gallery, errors, patches.len() - errors)) }
                (filters(scores, number))
                p.hint.matching hidden aria-live="polite" {}
                div.examples {
                    @for patch in &patches { (figure(scores, patch, &names.of(&patch.photograph))) }
                }
                p.hint {
                    "FN: false negative, FP: false positive, TP: true positive; the number is the score of the class. "
                    @if patches.iter().any(|patch| !patch.outlines.is_empty()) {
                        "Outlines: annotated lesions"
                        @for (class, name) in scores.classes.iter().enumerate() { " " span class={ "key o" (class % 6) } {} (name) }
                        ". "
                    }
                    "The small square shows where in its photograph the patch is. Frame: the gravest outcome of the patch."
                }
            }
        }
    }
}

fn has_error(patch: &GalleryPatch) -> bool {
    patch.outcomes.iter().any(|outcome| outcome.kind != ExampleKind::Found)
}

/// All errors, and at most `most` patches with hits only of each class.
fn shown(gallery: &Gallery, classes: usize, most: usize) -> Vec<&GalleryPatch> {
    let mut hits = vec![0; classes];
    let mut is_shown = |patch: &&GalleryPatch| {
        if has_error(patch) {
            return most > 0;
        }
        let is_wanted = patch.outcomes.iter().any(|outcome| hits[outcome.class] < most);
        if is_wanted {
            patch.outcomes.iter().for_each(|outcome| hits[outcome.class] += 1);
        }
        is_wanted
    };
    gallery.patches.iter().filter(|patch| is_shown(patch)).collect()
}

fn lead(gallery: &Gallery, errors: usize, hits: usize) -> String {
    let all = counted(gallery.errors as u64, "patch has an error", "patches have an error");
    let mut text = match (errors == gallery.errors, gallery.all) {
        (true, _) => format!("{all}; all are shown, the gravest first"),
        (false, true) => format!(
            "{all}; the {} gravest are shown, so that the page stays small (`predictions.parquet` has all)",
            thousands(errors as u64)
        )
        .replace('`', ""),
        (false, false) => format!(
            "{all}; {} that the evaluation keeps as examples are shown. Give the report the evaluated patches too for all of them, with outlines of lesions",
            thousands(errors as u64)
        ),
    };
    if hits > 0 {
        _ = write!(
            text,
            ". {} without errors {} last",
            counted(hits as u64, "patch", "patches"),
            if hits == 1 { "comes" } else { "come" }
        );
    }
    text + "."
}

/// Filters, which the script shows: without it nothing would happen.
fn filters(scores: &Scores, number: usize) -> Markup {
    html! {
        div.filters hidden {
            label { "Class " select data-filter="class" {
                option value="" { "all" }
                @for (class, name) in scores.classes.iter().enumerate() { option value=(class) { (name) } }
            } }
            fieldset {
                legend { "Show" }
                @for (kind, words) in [
                    (ExampleKind::Missed, "false negatives"),
                    (ExampleKind::FalseAlarm, "false positives"),
                    (ExampleKind::Found, "true positives"),
                ] {
                    label for={ "gallery-" (number) "-" (kind.name()) } {
                        input type="checkbox" id={ "gallery-" (number) "-" (kind.name()) } data-filter="kind" value=(kind.name()) checked;
                        " " (words)
                    }
                }
            }
        }
    }
}

/// Indices of the classes with an outcome, for the script.
fn classes(patch: &GalleryPatch, kind: ExampleKind) -> String {
    let of_kind = patch.outcomes.iter().filter(|outcome| outcome.kind == kind);
    of_kind.map(|outcome| outcome.class.to_string()).collect::<Vec<_>>().join(" ")
}

fn word(kind: ExampleKind) -> &'static str {
    match kind {
        ExampleKind::Found => "TP",
        ExampleKind::FalseAlarm => "FP",
        ExampleKind::Missed => "FN",
    }
}

/// The kind that the frame shows.
fn gravest(patch: &GalleryPatch) -> ExampleKind {
    let has = |kind: &ExampleKind| patch.outcomes.iter().any(|outcome| outcome.kind == *kind);
    [ExampleKind::Missed, ExampleKind::FalseAlarm].into_iter().find(has).unwrap_or(ExampleKind::Found)
}

fn figure(scores: &Scores, patch: &GalleryPatch, photograph: &str) -> Markup {
    let name = |class: usize| scores.classes.get(class).map_or("", String::as_str);
    let words = |outcome: &ClassOutcome| {
        format!("{} {} {}", word(outcome.kind), name(outcome.class), metric(Some(outcome.score)))
    };
    let said: Vec<String> = patch.outcomes.iter().map(words).collect();
    let (x, y) = patch.corner;
    let alt = format!("Patch at {x}, {y} of {photograph}: {}", said.join(", "));
    let lesions: Vec<String> = patch
        .outcomes
        .iter()
        .filter(|outcome| outcome.mask_pixels > 0)
        .map(|outcome| format!("{} {}", name(outcome.class), thousands(u64::from(outcome.mask_pixels))))
        .collect();
    html! {
        figure class=(gravest(patch).name()) data-missed=(classes(patch, ExampleKind::Missed)) data-false-alarm=(classes(patch, ExampleKind::FalseAlarm)) data-found=(classes(patch, ExampleKind::Found)) {
            button.picture type="button" title="Enlarge" {
                img src={ "data:image/jpeg;base64," (STANDARD.encode(&patch.picture)) } alt=(alt);
                @for (class, outline) in &patch.outlines {
                    svg.outline viewBox={ "0 0 " (outline.side) " " (outline.side) } aria-hidden="true" {
                        path.halo d=(outline.path) {}
                        path class={ "o" (class % 6) } d=(outline.path) {}
                    }
                }
            }
            figcaption {
                (place(patch, scores.data.size))
                @for outcome in &patch.outcomes { b class=(outcome.kind.name()) { (words(outcome)) } br; }
                @if patch.present.is_empty() { "no lesion" br; }
                @if !lesions.is_empty() { "lesion px: " (lesions.join(", ")) br; }
                (photograph) br; "x " (thousands(u64::from(x))) ", y " (thousands(u64::from(y)))
            }
        }
    }
}

/// Position of the patch in the area of its photograph that patches cover.
fn place(patch: &GalleryPatch, size: u32) -> Markup {
    let (width, height) = (f64::from(patch.extent.0.max(1)), f64::from(patch.extent.1.max(1)));
    let scale = 30.0 / width.max(height);
    let at = |px: u32| format!("{:.1}", f64::from(px) * scale);
    // A patch of a large photograph would be smaller than a pixel.
    let side = format!("{:.1}", (f64::from(size) * scale).max(2.5));
    html! {
        svg.place viewBox={ "0 0 " (format!("{:.1}", width * scale)) " " (format!("{:.1}", height * scale)) } width=(format!("{:.0}", width * scale)) height=(format!("{:.0}", height * scale)) aria-hidden="true" {
            rect.all width="100%" height="100%" {}
            rect.own x=(at(patch.corner.0)) y=(at(patch.corner.1)) width=(side) height=(side) {}
        }
    }
}
