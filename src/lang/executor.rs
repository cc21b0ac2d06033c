//! `executor` in `project.kdl`: where stages run, and what jobs of a cluster ask for. Knows no cluster.

use super::{lower::repeat::addresses, near};
use crate::base::Span;
use crate::diag::Diag;
use crate::syntax::{Node, NodeEntry, Scalar};

/// Where stages run, and how jobs are submitted.
#[derive(Clone, Debug, PartialEq)]
pub struct ExecutorSpec {
    /// Where stages run unless the command line says otherwise.
    pub kind: ExecutorKind,
    /// Partition of the jobs.
    pub partition: Option<String>,
    /// Account that they are charged to.
    pub account: Option<String>,
    /// Quality of service.
    pub qos: Option<String>,
    /// More options of `sbatch`, one each.
    pub options: Vec<String>,
    /// Seconds between two questions to the queue.
    pub poll: u64,
    /// Maximum number of jobs in the queue.
    pub max_queued: usize,
    /// Seconds that a job which has ended may take to show its result on the shared disk.
    pub wait: u64,
    /// What jobs ask for unless `resources` says otherwise.
    pub default: JobResources,
    /// What the jobs of certain stages ask for, by the name of the stage.
    pub resources: Vec<(String, JobResources)>,
}

/// Where stages run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExecutorKind {
    /// In the process of `macula run`.
    Local,
    /// As jobs of Slurm.
    Slurm,
}

impl ExecutorKind {
    /// The kind with a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "local" => Some(Self::Local),
            "slurm" => Some(Self::Slurm),
            _ => None,
        }
    }
}

/// What a job asks for; [`None`] leaves it to macula or to the cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JobResources {
    /// Number of GPUs.
    pub gpus: Option<u64>,
    /// Memory, bytes.
    pub memory: Option<u64>,
    /// Time limit, minutes.
    pub minutes: Option<u64>,
    /// Number of threads.
    pub threads: Option<u64>,
}

impl JobResources {
    /// These, completed by others.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            gpus: self.gpus.or(other.gpus),
            memory: self.memory.or(other.memory),
            minutes: self.minutes.or(other.minutes),
            threads: self.threads.or(other.threads),
        }
    }
}

/// Words of the braces.
const WORDS: [&str; 12] = [
    "partition",
    "account",
    "qos",
    "options",
    "poll",
    "max-queued",
    "wait",
    "gpus",
    "memory",
    "time",
    "threads",
    "resources",
];

/// Words of `resources`.
const RESOURCES: [&str; 4] = ["gpus", "memory", "time", "threads"];

/// Options of `sbatch` that macula sets itself.
const OWN: [&str; 14] = [
    "--array",
    "-a",
    "--job-name",
    "-J",
    "--output",
    "-o",
    "--error",
    "-e",
    "--wrap",
    "--wait",
    "-W",
    "--parsable",
    "--signal",
    "--requeue",
];

impl ExecutorSpec {
    /// An executor without settings.
    #[must_use]
    pub fn new(kind: ExecutorKind) -> Self {
        Self {
            kind,
            partition: None,
            account: None,
            qos: None,
            options: Vec::new(),
            poll: 15,
            max_queued: 200,
            wait: 60,
            default: JobResources::default(),
            resources: Vec::new(),
        }
    }

    /// What the job of a stage asks for, by the last `resources` that addresses it, as far as it is set.
    #[must_use]
    pub fn resources_of(&self, stage: &str) -> JobResources {
        let own = self.resources.iter().rev().filter(|(name, _)| addresses(name, stage));
        own.fold(JobResources::default(), |all, (_, one)| all.or(*one)).or(self.default)
    }

    /// The executor of a node; [`None`] after reporting a diagnostic.
    pub(super) fn of(node: &Node, diags: &mut Vec<Diag>) -> Option<Self> {
        let before = diags.len();
        let form = "write `executor slurm { partition \"NAME\" }`";
        let kind = match node.entries.as_slice() {
            [entry @ NodeEntry { key: None, .. }] if entry.text().is_some() => {
                let name = entry.text().unwrap_or_default();
                let kind = ExecutorKind::from_name(name);
                if kind.is_none() {
                    let found = Diag::error("wrong-kind", entry.span, format!("unknown executor `{name}`"));
                    diags.push(found.hint(near::hint(name, ["slurm", "local"], "")));
                }
                kind
            }
            _ => {
                diags.push(Diag::error("missing-name", node.head, "`executor` takes one name").hint(form));
                None
            }
        };
        let mut spec = Self::new(kind.unwrap_or(ExecutorKind::Local));
        let mut seen: Vec<&str> = Vec::new();
        for child in node.nodes() {
            let word = child.name.text.as_str();
            if !matches!(word, "options" | "resources") && seen.contains(&word) {
                let found = Diag::error("duplicate-param", child.head, format!("`{word}` is set twice"));
                diags.push(found.hint("remove one of them"));
            }
            seen.push(word);
            spec.set(child, diags);
        }
        (diags.len() == before).then_some(spec)
    }

    fn set(&mut self, node: &Node, diags: &mut Vec<Diag>) {
        let word = node.name.text.as_str();
        match word {
            "partition" => self.partition = text(node, diags),
            "account" => self.account = text(node, diags),
            "qos" => self.qos = text(node, diags),
            "options" => self.options(node, diags),
            "poll" => self.poll = number(node, 1, 3600, diags).unwrap_or(self.poll),
            "max-queued" => {
                let most = number(node, 1, 100_000, diags).and_then(|most| usize::try_from(most).ok());
                self.max_queued = most.unwrap_or(self.max_queued);
            }
            "wait" => self.wait = number(node, 0, 3600, diags).unwrap_or(self.wait),
            "gpus" | "memory" | "time" | "threads" => match node.entries.as_slice() {
                [entry @ NodeEntry { key: None, .. }] if node.children.is_none() => {
                    self.default.take(word, entry, diags);
                }
                _ => {
                    let found = Diag::error("wrong-kind", node.head, format!("`{word}` takes one value"));
                    diags.push(found.hint(example(word)));
                }
            },
            "resources" => self.of_stage(node, diags),
            other => {
                let message = format!("an executor has no property `{other}`");
                let found = Diag::error("unknown-param", node.name.span, message);
                diags.push(found.hint(near::hint(other, WORDS, "")));
            }
        }
    }

    fn options(&mut self, node: &Node, diags: &mut Vec<Diag>) {
        let form = "write `options \"--constraint=a100\" \"--nice=100\"`";
        for entry in &node.entries {
            let Some(option) = entry.text().filter(|option| entry.key.is_none() && option.starts_with('-')) else {
                let found = Diag::error("wrong-kind", entry.whole, "`options` takes options of `sbatch`, each quoted");
                diags.push(found.hint(form));
                continue;
            };
            let name = option.split(['=', ' ']).next().unwrap_or(option);
            // `sbatch` takes the beginning of a long option for the whole, and a value right after a short one.
            let is_it = |own: &&str| {
                if own.starts_with("--") { name.len() > 2 && own.starts_with(name) } else { option.starts_with(*own) }
            };
            if OWN.iter().any(is_it) {
                let found = Diag::error("wrong-kind", entry.span, format!("macula sets `{name}` itself"));
                diags.push(found.hint("remove it"));
            }
            self.options.push(option.to_owned());
        }
        if node.entries.is_empty() {
            diags.push(Diag::error("wrong-kind", node.head, "`options` needs at least one option").hint(form));
        }
    }

    fn of_stage(&mut self, node: &Node, diags: &mut Vec<Diag>) {
        let form = "write `resources classifier gpus=1 memory=\"16GiB\" time=\"12h\"`";
        let names: Vec<&NodeEntry> = node.args().collect();
        let name = match names.as_slice() {
            [name] if name.text().is_some() => name.text().unwrap_or_default().to_owned(),
            _ => {
                diags
                    .push(Diag::error("missing-name", node.head, "`resources` takes the name of one stage").hint(form));
                return;
            }
        };
        let mut resources = JobResources::default();
        for (key, entry) in node.props() {
            if RESOURCES.contains(&key.text.as_str()) {
                resources.take(&key.text, entry, diags);
            } else {
                let message = format!("`resources` has no property `{}`", key.text);
                let found = Diag::error("unknown-param", key.span, message);
                diags.push(found.hint(near::hint(&key.text, RESOURCES, "")));
            }
        }
        if let Some(child) = node.nodes().first() {
            let found = Diag::error("unknown-param", child.name.span, "`resources` has no braces");
            diags.push(found.hint(form));
        }
        self.resources.push((name, resources));
    }
}

impl JobResources {
    /// Takes one value.
    fn take(&mut self, word: &str, entry: &NodeEntry, diags: &mut Vec<Diag>) {
        let value = match word {
            "memory" => entry.text().and_then(bytes).filter(|bytes| *bytes >= 64 << 20),
            "time" => entry.text().and_then(minutes).filter(|minutes| *minutes > 0),
            "gpus" => whole(entry, 0, 64),
            _ => whole(entry, 1, 4096),
        };
        if value.is_none() {
            let message = match word {
                "memory" => "`memory` takes a size of at least 64 MiB",
                "time" => "`time` takes a time of at least a minute",
                "gpus" => "`gpus` takes a whole number from 0 to 64",
                _ => "`threads` takes a whole number from 1 to 4096",
            };
            diags.push(Diag::error("wrong-kind", entry.span, message).hint(example(word)));
        }
        match word {
            "memory" => self.memory = value,
            "time" => self.minutes = value,
            "gpus" => self.gpus = value,
            _ => self.threads = value,
        }
    }
}

fn example(word: &str) -> &'static str {
    match word {
        "memory" => "write it like `\"16GiB\"`",
        "time" => "write it like `\"30min\"`, `\"12h\"` or `\"2d\"`",
        "gpus" => "write it like `1`",
        _ => "write it like `8`",
    }
}

fn whole(entry: &NodeEntry, least: i64, most: i64) -> Option<u64> {
    match entry.value {
        Scalar::Int(number) if (least..=most).contains(&number) => u64::try_from(number).ok(),
        _ => None,
    }
}

/// The single number of a node.
fn number(node: &Node, least: i64, most: i64, diags: &mut Vec<Diag>) -> Option<u64> {
    let entry = match node.entries.as_slice() {
        [entry @ NodeEntry { key: None, .. }] if node.children.is_none() => whole(entry, least, most),
        _ => None,
    };
    if entry.is_none() {
        let name = &node.name.text;
        let message = format!("`{name}` takes a whole number from {least} to {most}");
        diags.push(Diag::error("wrong-kind", node.head, message).hint(format!("write `{name} {}`", least.max(10))));
    }
    entry
}

/// The single text of a node.
fn text(node: &Node, diags: &mut Vec<Diag>) -> Option<String> {
    let said = match node.entries.as_slice() {
        [entry @ NodeEntry { key: None, .. }] if node.children.is_none() => entry.text(),
        _ => None,
    };
    let said = said.filter(|text| !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control()));
    if said.is_none() {
        let name = &node.name.text;
        let found = Diag::error("wrong-kind", node.head, format!("`{name}` takes one name without spaces"));
        diags.push(found.hint(format!("write `{name} \"NAME\"`")));
    }
    said.map(str::to_owned)
}

/// Bytes of a size such as `16GiB`, `16G` or `500MiB`.
fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = parted(text)?;
    let shift = match unit.trim_end_matches("iB").trim_end_matches('B') {
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return None,
    };
    Some((number * f64::from(2_u32).powi(shift)).round() as u64)
}

/// Minutes of a time such as `30min`, `12h` or `2d`, rounded up.
fn minutes(text: &str) -> Option<u64> {
    let (number, unit) = parted(text)?;
    let each = match unit {
        "s" => 1.0 / 60.0,
        "m" | "min" => 1.0,
        "h" => 60.0,
        "d" => 1440.0,
        _ => return None,
    };
    Some((number * each).ceil() as u64)
}

fn parted(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|c: char| c.is_ascii_alphabetic())?;
    let number: f64 = text[..end].trim().parse().ok()?;
    (number.is_finite() && (0.0..1e9).contains(&number)).then(|| (number, text[end..].trim()))
}

/// What `executor` is called where it is set twice.
pub(super) fn twice(span: Span) -> Diag {
    Diag::error("duplicate-param", span, "`executor` is set twice").hint("remove one of them")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::FileId;

    fn read(text: &str) -> (Option<ExecutorSpec>, Vec<Diag>) {
        let (document, mut diags) = crate::syntax::parse(FileId(0), text);
        let spec = ExecutorSpec::of(&document.nodes[0], &mut diags);
        (spec, diags)
    }

    #[test]
    fn what_jobs_ask_for_is_that_of_the_stage_and_then_that_of_all() {
        let (spec, diags) = read(
            "executor slurm { partition gpu; memory \"4GiB\"; time \"90min\"; poll 30; options \"--nice=10\"\n\
             resources fold.classifier gpus=1 memory=\"1.5G\"; resources quick time=\"10s\" }",
        );
        assert!(diags.is_empty(), "{diags:?}");
        let spec = spec.expect("an executor");
        assert_eq!((spec.kind, spec.partition.as_deref(), spec.poll), (ExecutorKind::Slurm, Some("gpu"), 30));
        let of_fold = spec.resources_of("fold.3.classifier");
        assert_eq!((of_fold.gpus, of_fold.memory, of_fold.minutes), (Some(1), Some(3 << 29), Some(90)));
        let quick = spec.resources_of("quick");
        assert_eq!((quick.gpus, quick.memory, quick.minutes), (None, Some(4 << 30), Some(1)));
    }

    #[test]
    fn all_mistakes_are_reported_together() {
        let (spec, diags) = read(
            "executor slurn { partiton \"gpu\"; memory 16; time \"soon\"; poll 0; options \"--array=1\" x\n\
             resources gpus=1; resources a gpu=1; account a b; poll 3 }",
        );
        assert!(spec.is_none());
        let messages: Vec<&str> = diags.iter().map(|diag| diag.message.as_str()).collect();
        for expected in [
            "unknown executor `slurn`",
            "an executor has no property `partiton`",
            "`memory` takes a size of at least 64 MiB",
            "`time` takes a time of at least a minute",
            "`poll` takes a whole number from 1 to 3600",
            "macula sets `--array` itself",
            "`options` takes options of `sbatch`, each quoted",
            "`resources` takes the name of one stage",
            "`resources` has no property `gpu`",
            "`account` takes one name without spaces",
            "`poll` is set twice",
        ] {
            assert!(messages.contains(&expected), "{expected}: {messages:#?}");
        }
    }
}
