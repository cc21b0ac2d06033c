//! `repeat 5 fold { … }`: stages that are written once and stand in a pipeline several times, for the folds of a cross-validation
//! or the members of an ensemble. Each copy opens a frame of its own, which also sees the names around it.

use super::frame::{CopyOf, Declared, Frame};
use super::{Lowerer, ROOT};
use crate::base::Span;
use crate::diag::Diag;
use crate::lang::arguments::Setting;
use crate::lang::keywords::REPEAT;
use crate::lang::near;
use crate::lang::signature::Signature;
use crate::lang::spec::{Instance, Reference};
use crate::syntax::{Node, NodeEntry, Scalar};

/// Most copies of one `repeat`.
const MOST_COPIES: usize = 1000;

/// Largest number of a copy.
const LARGEST: usize = 1_000_000;

const FORM: &str = "write `repeat 5 fold { … }`; inside, `$fold` is 1 to 5";

/// The copies of a `repeat`.
pub(super) struct Copies {
    /// Number of the first copy.
    pub(super) from: usize,
    /// Whether their number is not known, because a body is checked by itself: the one that there is stands for all.
    pub(super) open: bool,
    /// The frame of each copy; none if the number of copies is wrong, which was reported.
    pub(super) frames: Vec<usize>,
}

/// A count or a number of a `repeat`.
enum CopyNumber {
    /// A whole number.
    Known(usize),
    /// It depends on a parameter of a body that is checked by itself.
    Open,
    /// A mistake, which was reported.
    Wrong,
}

/// The value of a parameter before stages are read.
enum EarlyValue {
    /// A value as it is written.
    Given(Scalar),
    /// None yet: its body is checked by itself.
    Open,
    /// None: it is optional, and not given.
    Absent,
    /// Several values.
    Several,
    /// A mistake, which is reported elsewhere.
    Wrong,
}

/// Whether a part of a dotted name is the number of a copy: names start with a letter.
pub(in crate::lang) fn is_number(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())
}

/// A dotted name without the numbers of copies: what all copies of a stage are called.
#[must_use]
pub fn without_numbers(name: &str) -> String {
    name.split('.').filter(|part| !is_number(part)).collect::<Vec<_>>().join(".")
}

/// Whether a name addresses a stage: its own, or one without the numbers of copies, which addresses all of them.
#[must_use]
pub fn addresses(written: &str, name: &str) -> bool {
    let mut written = written.split('.').peekable();
    for part in name.split('.') {
        if written.peek() == Some(&part) {
            written.next();
        } else if !is_number(part) {
            return false;
        }
    }
    written.next().is_none()
}

impl<'a> Lowerer<'a> {
    /// Declares a `repeat` in a frame, and opens the frames of its copies.
    pub(super) fn repeat(&mut self, at: usize, node: &'a Node) {
        let before = self.diags.len();
        for (key, _) in node.props().filter(|(key, _)| key.text != "from") {
            let count = near::near(&key.text, ["times", "count", "folds"]).is_some();
            let hint = if count { FORM.to_owned() } else { near::hint(&key.text, ["from"], FORM) };
            self.error(at, "unknown-param", key.span, format!("`repeat` has no property `{}`", key.text), hint);
        }
        let args: Vec<&NodeEntry> = node.args().collect();
        if let [name, count, ..] = args.as_slice()
            && let (Some(text), Scalar::Int(_)) = (name.text().filter(|text| crate::lang::is_name(text)), &count.value)
        {
            let hint = format!("write `repeat {} {text} {{ … }}`", count.value);
            self.error(at, "wrong-kind", name.span, "`repeat` takes its count first, then its name", hint);
            self.whole = false;
            return;
        }
        let Some(count) = args.first() else {
            self.error(at, "missing-param", node.head, "`repeat` needs a count and a name", FORM);
            self.whole = false;
            return;
        };
        let of_count = self.copy_count(at, count);
        let from = node.prop("from").map_or(CopyNumber::Known(1), |from| self.first_number(at, from));
        for extra in args.iter().skip(2) {
            self.error(at, "value-count", extra.whole, "`repeat` takes a count and a name", FORM);
        }
        let Some((name, span)) = args.get(1).and_then(|entry| Some((entry.text()?.to_owned(), entry.span))) else {
            let place = args.get(1).map_or(node.head, |entry| entry.span);
            self.error(at, "missing-name", place, "`repeat` needs a name after its count", FORM);
            self.whole = false;
            return;
        };
        self.check_name(at, &name, span);
        if node.nodes().is_empty() && self.diags.len() == before {
            self.error(at, "missing-param", node.head, format!("`repeat … {name}` is empty"), FORM);
        }
        if !self.is_free(at, &name, span) {
            return;
        }
        if matches!(of_count, CopyNumber::Wrong) || matches!(from, CopyNumber::Wrong) {
            self.whole = false;
        }
        // Once if the count is not known, so that mistakes inside are reported.
        let (first, count, known) = match (from, of_count) {
            (CopyNumber::Known(from), CopyNumber::Known(count)) => (from, count, true),
            _ => (1, 1, false),
        };
        let mut frames = Vec::new();
        for number in first..first + count {
            self.count_stage(at, span);
            if self.stages > super::frame::MOST_STAGES {
                break;
            }
            let (is_first, number) = (number == first, known.then_some(number));
            let shown = number.unwrap_or(first);
            let mut frame = Frame {
                prefix: format!("{}{name}.{shown}.", self.frames[at].prefix),
                copy: Some(CopyOf { parent: at, name: name.clone(), span, number, first: is_first }),
                ..Frame::pipeline(self.frames[at].values.copied())
            };
            frame.values.known.insert(name.clone(), number.map(|number| vec![numbered(number, span)]));
            frames.push(self.open(frame, node.nodes()));
        }
        let index = self.repeats.len();
        self.repeats.push(Copies { from: first, open: !known, frames });
        self.frames[at].declared.insert(name, Declared::Repeat(span, index));
    }

    /// The count of a `repeat`, at least 1.
    fn copy_count(&mut self, at: usize, entry: &NodeEntry) -> CopyNumber {
        let count = self.copy_number(at, entry, "the count of `repeat`");
        let text = match count {
            CopyNumber::Known(0) => "`repeat` makes 0 copies".to_owned(),
            CopyNumber::Known(count) if count > MOST_COPIES => {
                format!("`repeat` makes {count} copies, but at most {MOST_COPIES} are allowed")
            }
            _ => return count,
        };
        self.error(at, "out-of-range", entry.span, text, format!("write a count from 1 to {MOST_COPIES}"));
        CopyNumber::Wrong
    }

    /// The number of the first copy.
    fn first_number(&mut self, at: usize, entry: &NodeEntry) -> CopyNumber {
        match self.copy_number(at, entry, "`from`") {
            CopyNumber::Known(from) if from > LARGEST => {
                let text = format!("`from` is at most {LARGEST}");
                self.error(at, "out-of-range", entry.span, text, "write a smaller number");
                CopyNumber::Wrong
            }
            from => from,
        }
    }

    /// A whole number, or the value of a parameter that is one.
    fn copy_number(&mut self, at: usize, entry: &NodeEntry, what: &str) -> CopyNumber {
        let value = match parameter(entry) {
            Some(name) => {
                self.frames[at].values.used.insert(name.to_owned());
                let Some(value) = self.early(at, name) else {
                    let names: Vec<String> = self.frames[at].values.known.keys().cloned().collect();
                    let hint = near::hint(name, names.iter().map(String::as_str), FORM);
                    self.error(at, "unknown-name", entry.span, format!("unknown parameter `${name}`"), hint);
                    return CopyNumber::Wrong;
                };
                value
            }
            None => EarlyValue::Given(entry.value.clone()),
        };
        match value {
            EarlyValue::Open => CopyNumber::Open,
            EarlyValue::Wrong | EarlyValue::Given(Scalar::Wrong) => CopyNumber::Wrong,
            EarlyValue::Absent => {
                let hint = "give it where the template is used, or give it a default";
                self.error(at, "missing-param", entry.span, format!("{what} has no value"), hint);
                CopyNumber::Wrong
            }
            EarlyValue::Several => {
                self.error(at, "wrong-kind", entry.span, format!("{what} must be a single whole number"), FORM);
                CopyNumber::Wrong
            }
            EarlyValue::Given(Scalar::Int(number)) if number >= 0 => {
                usize::try_from(number).map_or(CopyNumber::Wrong, CopyNumber::Known)
            }
            EarlyValue::Given(_) => {
                self.error(at, "wrong-kind", entry.span, format!("{what} must be a whole number"), FORM);
                CopyNumber::Wrong
            }
        }
    }

    /// The value of a parameter in a frame whose stages are not read yet; [`None`] if there is no such parameter.
    fn early(&self, at: usize, name: &str) -> Option<EarlyValue> {
        let known = self.frames[at].values.known.get(name)?;
        if let Some([value]) = known.as_deref() {
            return Some(EarlyValue::Given(value.value.clone()));
        }
        let mut outer = at;
        while let Some(copy) = &self.frames[outer].copy {
            if copy.name == name {
                return Some(EarlyValue::Open);
            }
            outer = copy.parent;
        }
        let Some(owner) = &self.frames[outer].of else { return Some(EarlyValue::Wrong) };
        let Some((_, parent)) = owner.used else { return Some(EarlyValue::Open) };
        let instance = self.frames[outer].prefix.trim_end_matches('.');
        let of_param = |setting: &&Setting| {
            let path = setting.path.rsplit_once('.');
            path.is_some_and(|(owner, param)| param == name && addresses(owner, instance))
        };
        let set = self.settings.iter().rev().find(of_param).map(|setting| setting.given.values.iter().collect());
        let written = || Some(owner.node?.child(name)?.args().collect());
        let given: Option<Vec<&NodeEntry>> = set.or_else(written).filter(|given: &Vec<_>| !given.is_empty());
        let param = owner.signature.params.iter().find(|param| param.name == name)?;
        let absent = if param.optional { EarlyValue::Absent } else { EarlyValue::Wrong };
        let default = param.default.as_ref().map(|value| super::values::entries(value, owner.signature.span));
        let default: Vec<NodeEntry> = default.unwrap_or_default();
        Some(match given.unwrap_or_else(|| default.iter().collect()).as_slice() {
            [] => absent,
            [given] => match parameter(given) {
                Some(outer) => self.early(parent, outer).unwrap_or(EarlyValue::Wrong),
                None => EarlyValue::Given(given.value.clone()),
            },
            _ => EarlyValue::Several,
        })
    }

    /// Passes the parameters of the frame around a copy on to it. The frame around it is read first.
    pub(super) fn enter_copy(&mut self, at: usize) {
        let Some(copy) = &self.frames[at].copy else { return };
        let (parent, name, span, number) = (copy.parent, copy.name.clone(), copy.span, copy.number);
        let mut values = self.frames[parent].values.copied();
        values.known.insert(name, number.map(|number| vec![numbered(number, span)]));
        values.used = std::mem::take(&mut self.frames[at].values.used);
        self.frames[at].values = values;
        if self.frames[at].copy.as_ref().is_some_and(|copy| copy.first) {
            self.names_around(at);
        }
    }

    /// Reports stages of a copy with the name of something around it.
    fn names_around(&mut self, at: usize) {
        let own: Vec<(String, Span)> =
            self.frames[at].declared.iter().map(|(name, declared)| (name.clone(), declared.span())).collect();
        for (name, span) in own {
            let mut outer = at;
            while let Some(copy) = &self.frames[outer].copy {
                outer = copy.parent;
                if let Some(first) = self.frames[outer].declared.get(&name) {
                    let found = Diag::error("duplicate-name", span, format!("`{name}` is also declared around it"));
                    let found = found.also(first.span(), "first here").hint("rename one of them");
                    self.report(at, found);
                    break;
                }
            }
        }
    }

    /// Notes the parameters that copies used as used around them, and warns of numbers that are not used.
    pub(super) fn leave_copies(&mut self) {
        for at in (ROOT..self.frames.len()).rev() {
            let Some(copy) = &self.frames[at].copy else { continue };
            let (parent, name, span, first) = (copy.parent, copy.name.clone(), copy.span, copy.first);
            let used = std::mem::take(&mut self.frames[at].values.used);
            let differs = used.contains(&name);
            self.frames[parent].values.used.extend(used.into_iter().filter(|used| *used != name));
            if first && !differs && !self.frames[at].declared.is_empty() {
                let found = Diag::warning("unused-param", span, format!("`${name}` is not used: all copies are equal"));
                self.report(at, found.hint(format!("use it, as in `fold ${name}` or `replicate ${name}`")));
            }
        }
    }

    /// A `repeat` and each of its copies as instances, whose outputs are the stages inside.
    pub(super) fn copied(&self, copies: &Copies) -> Vec<Instance> {
        let instance = |name: String, frames: &[usize], span: Span| Instance {
            name,
            stage_type: REPEAT.to_owned(),
            outputs: frames.iter().flat_map(|at| self.inside(*at)).collect(),
            main: None,
            span,
        };
        let Some(copy) = copies.frames.first().and_then(|at| self.frames[*at].copy.as_ref()) else { return Vec::new() };
        let name = format!("{}{}", self.frames[copy.parent].prefix, copy.name);
        let one = |at: &usize| {
            instance(self.frames[*at].prefix.trim_end_matches('.').to_owned(), std::slice::from_ref(at), copy.span)
        };
        std::iter::once(instance(name, &copies.frames, copy.span)).chain(copies.frames.iter().map(one)).collect()
    }

    /// The stages of a frame, and those that provide the outputs of its instances, by their names in it.
    fn inside(&self, at: usize) -> Vec<(String, Reference)> {
        let frame = &self.frames[at];
        let mut found = Vec::new();
        for (name, declared) in &frame.declared {
            match declared {
                Declared::Stage(_, Some(signature)) => {
                    let port = signature.outputs.first().map_or(String::new(), |out| out.name.clone());
                    found.push((name.clone(), Reference { stage: format!("{}{name}", frame.prefix), port }));
                }
                Declared::Instance(_, signature, body) => {
                    let outlets = self.outlets(*body, signature).into_iter();
                    found.extend(outlets.map(|(_, from)| (name.clone(), from)));
                }
                Declared::Repeat(_, index) => {
                    let inner = self.repeats[*index].frames.iter().flat_map(|at| self.inside(*at));
                    found.extend(inner.map(|(_, from)| (name.clone(), from)));
                }
                Declared::Stage(_, None) | Declared::Port(..) => {}
            }
        }
        found
    }

    /// A reference to one copy, for a reference to all copies of a `repeat`.
    pub(super) fn copy_hint(&self, at: usize, text: &str) -> Option<String> {
        let (name, rest) = text.split_once('.')?;
        match self.frames[self.declaring(at, name)].declared.get(name)? {
            Declared::Repeat(_, index) if !rest.starts_with(|c: char| c.is_ascii_digit()) => {
                Some(format!("{name}.{}.{rest}", self.repeats[*index].from))
            }
            _ => None,
        }
    }

    pub(super) fn first_copy(&self, index: usize) -> Option<&Frame<'a>> {
        self.repeats[index].frames.first().map(|at| &self.frames[*at])
    }

    /// The names that a reference in a frame may begin with.
    pub(super) fn names_in_reach(&self, at: usize) -> Vec<String> {
        let mut names: Vec<String> = self.frames[at].declared.keys().cloned().collect();
        let mut at = at;
        while let Some(copy) = &self.frames[at].copy {
            at = copy.parent;
            names.extend(self.frames[at].declared.keys().cloned());
        }
        names
    }

    /// The dotted name of a stage that is inside a `repeat` of this frame, or of one around it.
    pub(super) fn inside_repeat(&self, at: usize, name: &str) -> Option<String> {
        let mut frame = &self.frames[at];
        loop {
            let of_copies = |declared: &Declared| match declared {
                Declared::Repeat(_, index) => {
                    self.first_copy(*index).is_some_and(|copy| copy.declared.contains_key(name))
                }
                _ => false,
            };
            let found = frame.declared.iter().find(|(_, declared)| of_copies(declared));
            let inside = found.map(|(repeat, _)| format!("{repeat}.{name}"));
            match &frame.copy {
                Some(copy) if inside.is_none() => frame = &self.frames[copy.parent],
                _ => return inside,
            }
        }
    }

    /// The frame of the pipeline or body around a copy, and around the copies that it is in; otherwise the frame itself.
    pub(super) fn around_copies(&self, at: usize) -> usize {
        let mut at = at;
        while let Some(copy) = &self.frames[at].copy {
            at = copy.parent;
        }
        at
    }

    /// The frame that declares a name, which may be around a copy.
    pub(super) fn declaring(&self, at: usize, name: &str) -> usize {
        let mut at = at;
        while !self.frames[at].declared.contains_key(name) {
            let Some(copy) = &self.frames[at].copy else { break };
            at = copy.parent;
        }
        at
    }

    /// The frames that a part of a dotted name after a `repeat` leads to, and what is left of the name: one if the part is the number of
    /// a copy, otherwise all. [`None`] if there is no copy of that number.
    pub(super) fn copies<'t>(&self, index: usize, rest: &'t str) -> Option<(&[usize], &'t str)> {
        let copies = &self.repeats[index];
        let (part, after) = rest.split_once('.').unwrap_or((rest, ""));
        if !is_number(part) {
            return Some((&copies.frames, rest));
        }
        if copies.open {
            return Some((&copies.frames, after));
        }
        let at = part.parse::<usize>().ok()?.checked_sub(copies.from)?;
        copies.frames.get(at..=at).map(|frames| (frames, after))
    }

    /// The signature of the stage or instance that a name without output means.
    pub(super) fn named(&self, at: usize, name: &str) -> Option<&'a Signature> {
        let (head, rest) = name.split_once('.').map_or((name, None), |(head, rest)| (head, Some(rest)));
        match (self.frames[self.declaring(at, head)].declared.get(head)?, rest) {
            (Declared::Stage(_, signature), None) => *signature,
            (Declared::Instance(_, signature, _), None) => Some(*signature),
            (Declared::Repeat(_, index), Some(rest)) => match self.copies(*index, rest)? {
                ([copy], rest) if self.frames[*copy].declared.contains_key(rest.split('.').next()?) => {
                    self.named(*copy, rest)
                }
                _ => None,
            },
            _ => None,
        }
    }
}

/// The parameter that a value names as `$name`.
fn parameter(entry: &NodeEntry) -> Option<&str> {
    entry.text().filter(|_| !entry.quoted)?.strip_prefix('$')
}

/// The number of a copy as an entry.
fn numbered(number: usize, span: Span) -> NodeEntry {
    NodeEntry { key: None, value: Scalar::Int(number as i64), quoted: false, span, whole: span }
}
