//! Section on analyses of scores: their tables, and pictures of suspicious labels.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{Markup, html};

use super::gather::{ArtifactContent, ReportItem, ShownSuspects};
use super::html::{code_words, metric, plain};
use super::names::NameReplacements;
use super::suspects::band_title;
use crate::base::figure::thousands;
use crate::learn::evaluation::{PicturedSuspect, SuspectKind};

/// Analyses as HTML, with at most `most` pictures of each class and label.
#[must_use]
pub(super) fn section(items: &[ReportItem], names: &NameReplacements, most: usize) -> Markup {
    html! {
        h2 id="analyses" { "Analyses" }
        @for item in items {
            @if let ArtifactContent::Analysis(shown) = &item.content {
                p { code { (item.name) } " " (code_words(&item.summary.headline)) }
                @for table in &item.summary.tables {
                    div.panel { h3 { (table.title) } div.scroll tabindex="0" { (plain(table)) } }
                }
                @if most > 0 && !shown.suspects.is_empty() { (pictures(shown, names, most)) }
            }
        }
    }
}

fn pictures(shown: &ShownSuspects, names: &NameReplacements, most: usize) -> Markup {
    let of = |class: usize, kind: SuspectKind| {
        let of_kind =
            move |one: &&(PicturedSuspect, Vec<u8>)| one.0.suspect.class == class && one.0.suspect.kind == kind;
        shown.suspects.iter().filter(of_kind).take(most)
    };
    html! {
        @for (class, name) in shown.classes.iter().enumerate() {
            div.panel {
                h3 { span class={ "key k" (class % 6) } {} (name) }
                @for kind in SuspectKind::ALL {
                    @if of(class, kind).next().is_some() {
                        h4 { (band_title(name, kind)) }
                        div.examples { @for (suspect, jpeg) in of(class, kind) { (figure(suspect, jpeg, &names.of(&suspect.photograph))) } }
                    }
                }
            }
        }
    }
}

fn figure(suspect: &PicturedSuspect, jpeg: &[u8], photograph: &str) -> Markup {
    let score = metric(Some(suspect.suspect.score));
    let alt = format!("patch of {photograph}, {}, score {score}", suspect.suspect.kind.words());
    html! {
        figure {
            button.picture type="button" title="Enlarge" { img src={ "data:image/jpeg;base64," (STANDARD.encode(jpeg)) } alt=(alt); }
            figcaption {
                b { (score) } " at " (suspect.x) ", " (suspect.y)
                @if suspect.mask_pixels > 0 { br; (thousands(u64::from(suspect.mask_pixels))) " lesion px" }
                br; (photograph)
            }
        }
    }
}
