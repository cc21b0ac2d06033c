//! Lock files as KDL: written in one canonical form, that of `macula fmt`, and read back.

use std::fmt::Write as _;

use super::{LockedFile, LockedStage, Lockfile};
use crate::base::{Digest, FileId};
use crate::syntax::{self, Node, Scalar};

/// The lock format that this macula writes and reads.
const FORM: i64 = 1;

const HEAD: &str = "// Written by `macula lock`; `macula run --locked` executes the pipeline and compares.\n\n";

/// An error in a lock file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {text}")]
pub struct Unreadable {
    /// Its line.
    pub line: usize,
    /// The message.
    pub text: String,
}

/// The text of a lock file.
///
/// # Errors
/// If it would exceed the size limit of KDL files.
pub fn write(lock: &Lockfile) -> Result<String, Unreadable> {
    let mut text = HEAD.to_owned();
    let _ = writeln!(text, "lock {} {{", word(&lock.pipeline));
    let _ = writeln!(text, "form {FORM}\nmacula {}\nstdlib {}", quoted(&lock.macula), quoted(&lock.stdlib.to_string()));
    for stage in &lock.stages {
        of_stage(&mut text, stage);
    }
    text.push_str("}\n");
    syntax::format(FileId(0), &text).map_err(|error| {
        let large = text.len() > syntax::LARGEST / 2;
        let hint = "too many stages for one lock file; lock a pipeline of the sweep";
        Unreadable { line: 1, text: if large { hint.to_owned() } else { format!("cannot format it: {error:?}") } }
    })
}

fn of_stage(text: &mut String, stage: &LockedStage) {
    let mut line = |words: String| {
        text.push_str(&words);
        text.push('\n');
    };
    line(format!("stage {} {{", word(&stage.name)));
    line(format!("kind {}", word(&stage.kind)));
    let LockedStage { implementation, version, determinism, target, .. } = stage;
    line(format!(
        "implementation {} version={version} class={} on={}",
        word(implementation),
        word(determinism),
        word(target)
    ));
    if let Some(key) = &stage.key {
        line(format!("key {}", quoted(&key.to_string())));
    }
    if let Some(seed) = &stage.seed {
        line(format!("seed {}", quoted(seed)));
    }
    for (name, shown) in &stage.params {
        line(format!("param {} {}", word(name), quoted(shown)));
    }
    for (port, from) in &stage.inputs {
        let from: Vec<String> = from.iter().map(|from| word(from)).collect();
        line(format!("input {} {}", word(port), from.join(" ")));
    }
    for (port, digest) in &stage.outputs {
        line(format!("output {} {}", word(port), quoted(&digest.to_string())));
    }
    for (name, metric) in &stage.metrics {
        line(format!("figure {} {metric:?}", word(name)));
    }
    if stage.count > 0 {
        line(format!("files {}", stage.count));
    }
    for (name, file) in &stage.files {
        line(format!("file {} {}", quoted(name), quoted(&file.content)));
    }
    line("}".to_owned());
}

/// A word, quoted only if necessary.
fn word(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().is_some_and(|first| first.is_ascii_alphabetic());
    let bare = first && chars.all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    let reserved = ["true", "false", "null", "inf", "nan"].contains(&text);
    if bare && !reserved { text.to_owned() } else { quoted(text) }
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => _ = write!(out, "\\u{{{:x}}}", u32::from(c)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Reads a lock file.
///
/// # Errors
/// A syntax error, or a format of a newer macula.
pub fn read(text: &str) -> Result<Lockfile, Unreadable> {
    let (document, diags) = syntax::parse(FileId(0), text);
    let reader = Reader { text };
    if let Some(diag) = diags.first() {
        let at = diag.labels.first().map_or(0, |label| label.span.start);
        return Err(reader.wrong_at(at, diag.message.clone()));
    }
    let Some(lock) = document.nodes.iter().find(|node| node.name.text == "lock") else {
        return Err(Unreadable { line: 1, text: "no `lock` node".to_owned() });
    };
    match lock.child("form").and_then(|form| form.args().next()).map(|form| &form.value) {
        Some(Scalar::Int(FORM)) => {}
        Some(Scalar::Int(form)) if *form > FORM => {
            return Err(reader.wrong(lock, format!("lock format {form} is newer than this macula supports ({FORM})")));
        }
        Some(form) => return Err(reader.wrong(lock, format!("unknown lock format `{form}`"))),
        None => return Err(reader.wrong(lock, "missing `form`".to_owned())),
    }
    let child = |name: &str| lock.child(name).ok_or_else(|| reader.wrong(lock, format!("missing `{name}`")));
    let stages = lock.nodes().iter().filter(|node| node.name.text == "stage");
    Ok(Lockfile {
        pipeline: reader.text(lock, 0)?,
        macula: reader.text(child("macula")?, 0)?,
        stdlib: reader.digest(child("stdlib")?, 0)?,
        stages: stages.map(|node| reader.stage(node)).collect::<Result<_, _>>()?,
    })
}

struct Reader<'a> {
    text: &'a str,
}

impl Reader<'_> {
    fn stage(&self, node: &Node) -> Result<LockedStage, Unreadable> {
        let mut stage = LockedStage { name: self.text(node, 0)?, ..LockedStage::default() };
        for child in node.nodes() {
            match child.name.text.as_str() {
                "kind" => stage.kind = self.text(child, 0)?,
                "implementation" => {
                    stage.implementation = self.text(child, 0)?;
                    stage.version = self.property(child, "version")?.parse().unwrap_or(0);
                    stage.determinism = self.property(child, "class")?;
                    stage.target = self.property(child, "on")?;
                }
                "key" => stage.key = Some(self.digest(child, 0)?),
                "seed" => stage.seed = Some(self.text(child, 0)?),
                "param" => _ = stage.params.insert(self.text(child, 0)?, self.text(child, 1)?),
                "input" => {
                    let from = child.args().skip(1).map(|entry| entry.value.to_string());
                    stage.inputs.insert(self.text(child, 0)?, from.collect());
                }
                "output" => _ = stage.outputs.insert(self.text(child, 0)?, self.digest(child, 1)?),
                "figure" => _ = stage.metrics.insert(self.text(child, 0)?, self.number(child, 1)?),
                "files" => stage.count = self.number(child, 0)? as usize,
                "file" => {
                    let file = LockedFile { content: self.text(child, 1)?, name: None };
                    stage.files.insert(self.text(child, 0)?, file);
                }
                other => return Err(self.wrong(child, format!("unknown entry `{other}` in lock file"))),
            }
        }
        Ok(stage)
    }

    fn text(&self, node: &Node, at: usize) -> Result<String, Unreadable> {
        let entry = node.args().nth(at).map(|entry| entry.value.to_string());
        entry.ok_or_else(|| self.wrong(node, format!("`{}` is missing an argument", node.name.text)))
    }

    fn property(&self, node: &Node, name: &str) -> Result<String, Unreadable> {
        let entry = node.prop(name).map(|entry| entry.value.to_string());
        entry.ok_or_else(|| self.wrong(node, format!("`{}` is missing `{name}`", node.name.text)))
    }

    fn number(&self, node: &Node, at: usize) -> Result<f64, Unreadable> {
        match node.args().nth(at).map(|entry| &entry.value) {
            Some(Scalar::Real(number)) => Ok(*number),
            Some(Scalar::Int(number)) => Ok(*number as f64),
            _ => Err(self.wrong(node, format!("`{}` expects a number", node.name.text))),
        }
    }

    fn digest(&self, node: &Node, at: usize) -> Result<Digest, Unreadable> {
        self.text(node, at)?.parse().map_err(|_| self.wrong(node, format!("`{}` expects a digest", node.name.text)))
    }

    fn wrong(&self, node: &Node, text: String) -> Unreadable {
        self.wrong_at(node.head.start, text)
    }

    fn wrong_at(&self, at: usize, text: String) -> Unreadable {
        let before = self.text.get(..at).unwrap_or_default();
        Unreadable { line: 1 + before.matches('\n').count(), text }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn lock() -> Lockfile {
        let mut stage = LockedStage {
            name: "classifier@lr=1e-4".into(),
            kind: "train".into(),
            implementation: "train".into(),
            version: 3,
            determinism: "path-exact".into(),
            target: "cpu-avx2".into(),
            key: Some(Digest::of(b"key")),
            seed: Some("7".into()),
            count: 2,
            ..LockedStage::default()
        };
        stage.params.insert("words".into(), "a \"b\" \\ c\n\u{1}".into());
        stage.inputs.insert("of".into(), vec!["a.out".into(), "folds.train".into(), "x@y=1.out".into()]);
        stage.outputs.insert("out".into(), Digest::of(b"out"));
        stage.metrics.insert("average-precision.MA".into(), 0.1 + 0.2);
        stage.metrics.insert("loss".into(), 1e-7);
        stage.files.insert("0123456789ab".into(), LockedFile { content: "false".into(), name: None });
        Lockfile { pipeline: "true".into(), macula: "0.1.0".into(), stdlib: Digest::of(b""), stages: vec![stage] }
    }

    #[test]
    fn what_is_written_is_read_back_and_laid_out_already() {
        let text = write(&lock()).expect("it can be written");
        assert_eq!(read(&text), Ok(lock()));
        assert_eq!(syntax::format(FileId(0), &text).as_deref(), Ok(text.as_str()));
    }

    #[test]
    fn what_is_wrong_is_reported_with_its_line() {
        let text = write(&lock()).expect("it can be written");
        let told = |from: &str, to: &str| read(&text.replace(from, to)).expect_err("it is wrong").to_string();
        assert_eq!(told("form 1", "form 2"), "line 3: lock format 2 is newer than this macula supports (1)");
        assert_eq!(
            told("    kind train", "    kond train").split(": ").nth(1),
            Some("unknown entry `kond` in lock file")
        );
        assert!(told("lock ", "lick ").contains("no `lock`"));
        assert!(told("figure loss 1e-7", "figure loss high").contains("expects a number"));
    }

    #[test]
    fn a_lock_is_the_same_whatever_order_things_came_in() {
        let mut other = lock();
        let params: BTreeMap<_, _> = other.stages[0].params.clone().into_iter().rev().collect();
        other.stages[0].params = params;
        assert_eq!(write(&other), write(&lock()));
    }
}
