//! A pipeline in the languages of other tools: Mermaid (rendered by GitHub) and DOT (Graphviz).

use std::fmt::Write;

use super::{Drawing, StageStatus, edge_words};

/// The drawing as a Mermaid flowchart.
#[must_use]
pub fn mermaid(drawing: &Drawing) -> String {
    let mut out = format!("---\ntitle: \"{}\"\n---\nflowchart TD\n", drawing.name.replace(['"', '\n'], " "));
    for (at, node) in drawing.nodes.iter().enumerate() {
        let class = node.mark.map(|mark| format!(":::{}", mark.class())).unwrap_or_default();
        let (kind, name) = (for_mermaid(&node.kind), for_mermaid(&node.name));
        _ = writeln!(out, "    s{at}[\"{kind}<br/><b>{name}</b>\"]{class}");
    }
    for edge in &drawing.edges {
        let words = for_mermaid(&edge_words(drawing, edge));
        let arrow = if words.is_empty() { "-->".to_owned() } else { format!("-->|\"{words}\"|") };
        _ = writeln!(out, "    s{} {arrow} s{}", edge.from, edge.to);
    }
    for mark in StageStatus::ALL.into_iter().filter(|mark| drawing.nodes.iter().any(|node| node.mark == Some(*mark))) {
        let (stroke, width) = (colour(mark), "stroke-width:2px");
        _ = writeln!(out, "    classDef {} stroke:{stroke},{width}", mark.class());
    }
    out
}

/// Text within a quoted label of Mermaid, which has entities of its own (`#quot;`).
fn for_mermaid(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => out.push_str("#quot;"),
            '#' => out.push_str("#35;"),
            '<' => out.push_str("#lt;"),
            '>' => out.push_str("#gt;"),
            '&' => out.push_str("#amp;"),
            '\n' | '\r' => out.push(' '),
            other => out.push(other),
        }
    }
    out
}

/// The drawing as a Graphviz digraph.
#[must_use]
pub fn dot(drawing: &Drawing) -> String {
    let mut out = format!("digraph {} {{\n", for_dot(&drawing.name));
    out.push_str("    rankdir=TB\n    node [shape=box style=rounded fontname=\"Helvetica\"]\n    edge [fontname=\"Helvetica\" fontsize=10]\n");
    for (at, node) in drawing.nodes.iter().enumerate() {
        let colour = node.mark.map(|mark| format!(" color=\"{}\" penwidth=2", colour(mark))).unwrap_or_default();
        _ = writeln!(out, "    s{at} [label={}{colour}]", for_dot(&format!("{}\n{}", node.kind, node.name)));
    }
    for edge in &drawing.edges {
        let words = for_dot(&edge_words(drawing, edge));
        _ = writeln!(out, "    s{} -> s{} [label={words}]", edge.from, edge.to);
    }
    out.push_str("}\n");
    out
}

/// A quoted string of DOT, in which a backslash starts an escape (`
/// `, `\N`).
fn for_dot(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("\"{text}\"")
}

/// A colour that is visible on white and on black.
fn colour(mark: StageStatus) -> &'static str {
    match mark {
        StageStatus::Stored => "#3f9b6a",
        StageStatus::WillRun => "#3d7fd6",
        StageStatus::Unknown => "#8a8f98",
        StageStatus::Damaged => "#c98a1b",
        StageStatus::Failed => "#d1495b",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::tests::pipeline;
    use super::super::{Drawing, drawing};
    use super::{StageStatus, dot, mermaid};

    fn small() -> Drawing {
        let lines = "idrid fundus -> out:photographs\nsplit a\"<b>#\\ from=fundus -> train:patches valid:patches\ntrain c data=a\"<b>#\\.train -> out:model";
        drawing(&pipeline(lines), &BTreeMap::from([("fundus".to_owned(), StageStatus::WillRun)]))
    }

    #[test]
    fn mermaid_quotes_names_and_marks_states() {
        insta::assert_snapshot!(mermaid(&small()), @r##"
        ---
        title: "patch-baseline"
        ---
        flowchart TD
            s0["idrid<br/><b>fundus</b>"]:::run
            s1["split<br/><b>a#quot;#lt;b#gt;#35;\</b>"]
            s2["train<br/><b>c</b>"]
            s0 -->|"photographs"| s1
            s1 -->|"train → data"| s2
            classDef run stroke:#3d7fd6,stroke-width:2px
        "##);
    }

    #[test]
    fn dot_quotes_names_and_marks_states() {
        insta::assert_snapshot!(dot(&small()), @r##"
        digraph "patch-baseline" {
            rankdir=TB
            node [shape=box style=rounded fontname="Helvetica"]
            edge [fontname="Helvetica" fontsize=10]
            s0 [label="idrid\nfundus" color="#3d7fd6" penwidth=2]
            s1 [label="split\na\"<b>#\\"]
            s2 [label="train\nc"]
            s0 -> s1 [label="photographs"]
            s1 -> s2 [label="train → data"]
        }
        "##);
    }
}
