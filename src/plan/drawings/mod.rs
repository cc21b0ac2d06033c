//! Drawings of a pipeline: text, Mermaid, DOT, SVG. Knows names, ports and types; nothing about files or what a stage does.

mod layout;
mod svg;
mod text;
mod written;

use std::collections::BTreeMap;

pub use svg::svg;
pub use text::text;
pub use written::{dot, mermaid};

use crate::lang::spec::{Output, Pipeline};

/// A drawing: the stages of a pipeline and the references between them.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawing {
    /// The pipeline's name.
    pub name: String,
    /// Stages, dependencies first, each soon after what it needs.
    pub nodes: Vec<DrawnStage>,
    /// References, by the stage that takes them, in the order of its ports.
    pub edges: Vec<DrawnReference>,
}

/// A stage.
#[derive(Clone, Debug, PartialEq)]
pub struct DrawnStage {
    /// Its own name.
    pub name: String,
    /// Its stage type (`extract`).
    pub kind: String,
    /// Its output ports.
    pub outputs: Vec<Output>,
    /// The status of its result.
    pub mark: Option<StageStatus>,
}

/// A reference: an output port of one stage given to an input port of another.
#[derive(Clone, Debug, PartialEq)]
pub struct DrawnReference {
    /// Index of the stage that provides it.
    pub from: usize,
    /// Its output port.
    pub output: String,
    /// The port's type.
    pub ty: String,
    /// Index of the stage that reads it.
    pub to: usize,
    /// Its input port.
    pub input: String,
}

/// Status of a stage's result when it is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StageStatus {
    /// In the store.
    Stored,
    /// To be computed.
    WillRun,
    /// Unknown until a stage before it has run.
    Unknown,
    /// In the store, but damaged.
    Damaged,
    /// Its last execution failed.
    Failed,
}

impl StageStatus {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Stored, Self::WillRun, Self::Unknown, Self::Damaged, Self::Failed];

    /// A word or two.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Stored => "cached",
            Self::WillRun => "will run",
            Self::Unknown => "unknown",
            Self::Damaged => "damaged",
            Self::Failed => "failed",
        }
    }

    /// One word without spaces, for classes of CSS and Mermaid.
    const fn class(self) -> &'static str {
        match self {
            Self::WillRun => "run",
            Self::Stored => "stored",
            other => other.words(),
        }
    }
}

/// The drawing of `pipeline`, with the status of its stages by name. References to missing stages are left out.
#[must_use]
pub fn drawing(pipeline: &Pipeline, marks: &BTreeMap<String, StageStatus>) -> Drawing {
    let index: BTreeMap<&str, usize> =
        pipeline.stages.iter().enumerate().map(|(at, stage)| (stage.name.as_str(), at)).collect();
    let needs: Vec<Vec<usize>> = pipeline
        .stages
        .iter()
        .map(|stage| {
            let references = stage.inputs.iter().flat_map(|input| &input.from);
            references.filter_map(|reference| index.get(reference.stage.as_str()).copied()).collect()
        })
        .collect();
    let order = dependencies_first(&needs);
    let mut place = vec![0; order.len()];
    for (at, &stage) in order.iter().enumerate() {
        place[stage] = at;
    }

    let mut edges = Vec::new();
    for &stage in &order {
        for input in &pipeline.stages[stage].inputs {
            for reference in &input.from {
                let Some(&from) = index.get(reference.stage.as_str()) else { continue };
                let output = pipeline.stages[from].outputs.iter().find(|output| output.port == reference.port);
                edges.push(DrawnReference {
                    from: place[from],
                    output: reference.port.clone(),
                    ty: output.map(|output| output.ty.clone()).unwrap_or_default(),
                    to: place[stage],
                    input: input.port.clone(),
                });
            }
        }
    }
    let nodes = order.iter().map(|&at| {
        let stage = &pipeline.stages[at];
        DrawnStage {
            name: stage.name.clone(),
            kind: stage.stage_type.clone(),
            outputs: stage.outputs.clone(),
            mark: marks.get(&stage.name).copied(),
        }
    });
    Drawing { name: pipeline.name.clone(), nodes: nodes.collect(), edges }
}

/// An order in which every stage follows what it needs, as soon as possible: a walk down from the last stages. Terminates on cycles.
fn dependencies_first(needs: &[Vec<usize>]) -> Vec<usize> {
    let mut needed = vec![false; needs.len()];
    needs.iter().flatten().for_each(|&stage| needed[stage] = true);
    let (last, others): (Vec<usize>, Vec<usize>) = (0..needs.len()).partition(|&stage| !needed[stage]);
    let mut begun = vec![false; needs.len()];
    let mut order = Vec::with_capacity(needs.len());
    // `others` matters only for cycles, which the checker reports and a drawing may still show.
    for root in last.into_iter().chain(others) {
        let mut stack = vec![(root, 0)];
        while let Some((stage, next)) = stack.pop() {
            if next == 0 {
                if begun[stage] {
                    continue;
                }
                begun[stage] = true;
            }
            if let Some(&need) = needs[stage].get(next) {
                stack.push((stage, next + 1));
                stack.push((need, 0));
            } else {
                order.push(stage);
            }
        }
    }
    order
}

/// The types of a stage's outputs, each once.
fn types(node: &DrawnStage) -> String {
    let mut types: Vec<&str> = Vec::new();
    for output in &node.outputs {
        if !types.contains(&output.ty.as_str()) {
            types.push(&output.ty);
        }
    }
    types.join(", ")
}

/// `folds.train`, or `patches` if the stage has one output.
fn reference(drawing: &Drawing, edge: &DrawnReference) -> String {
    let node = &drawing.nodes[edge.from];
    if node.outputs.len() > 1 { format!("{}.{}", node.name, edge.output) } else { node.name.clone() }
}

/// The label of an edge: the output port if the stage has several, then the input port unless it is `from`.
fn edge_words(drawing: &Drawing, edge: &DrawnReference) -> String {
    let several = drawing.nodes[edge.from].outputs.len() > 1;
    let output = several.then_some(edge.output.as_str());
    let input = (edge.input != "from").then_some(edge.input.as_str());
    match (output, input) {
        (Some(output), Some(input)) => format!("{output} → {input}"),
        (Some(word), None) | (None, Some(word)) => word.to_owned(),
        (None, None) => edge.ty.clone(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::base::{FileId, Span};
    use crate::lang::spec::{Input, Reference, StageSpec};

    /// A pipeline from lines `kind name port=stage.port,… -> port:type …`.
    pub(crate) fn pipeline(text: &str) -> Pipeline {
        let span = Span::new(FileId(0), 0..0);
        let stage = |line: &str| {
            let (head, outputs) = line.split_once(" -> ").expect("a line has outputs");
            let mut words = head.split_whitespace();
            let mut word = || words.next().expect("a line has a kind and a name").to_owned();
            let (kind, name) = (word(), word());
            let reference = |text: &str| {
                let (stage, port) = text.split_once('.').unwrap_or((text, "out"));
                Reference { stage: stage.to_owned(), port: port.to_owned() }
            };
            let inputs = words.map(|word| {
                let (port, from) = word.split_once('=').expect("an input has a port");
                Input { port: port.to_owned(), from: from.split(',').map(reference).collect(), span }
            });
            let outputs = outputs.split_whitespace().map(|output| {
                let (port, ty) = output.split_once(':').expect("an output has a type");
                Output { port: port.to_owned(), ty: ty.to_owned() }
            });
            StageSpec {
                implementation: kind.clone(),
                base_name: name.clone(),
                name,
                seed: 7,
                stage_type: kind,
                inputs: inputs.collect(),
                params: BTreeMap::new(),
                marks: BTreeSet::new(),
                outputs: outputs.collect(),
                span,
            }
        };
        Pipeline {
            name: "patch-baseline".to_owned(),
            seed: 7,
            doc: None,
            instances: Vec::new(),
            stages: text.lines().map(str::trim).filter(|line| !line.is_empty()).map(stage).collect(),
            span,
        }
    }

    /// The pipeline shown in the design documents.
    pub(crate) fn baseline() -> Pipeline {
        pipeline(
            "idrid fundus -> out:photographs
             weights imagenet -> out:weights
             extract patches from=fundus -> out:patches
             filter-black visible from=patches -> kept:patches dropped:patches
             split folds from=visible.kept -> train:patches valid:patches test:patches
             rebalance balanced from=folds.train -> out:patches
             augment views from=balanced -> out:views
             train classifier data=views valid=folds.valid init=imagenet -> out:model
             threshold-tune cuts model=classifier data=folds.valid -> out:thresholds
             eval scores model=classifier thresholds=cuts data=folds.test -> out:scores
             export pictures from=visible.dropped -> out:files
             report page of=patches,visible.kept,balanced,classifier,cuts,scores -> out:report",
        )
    }

    #[test]
    fn every_stage_follows_what_it_needs() {
        let drawing = drawing(&baseline(), &BTreeMap::new());
        assert_eq!(drawing.nodes.len(), 12);
        assert_eq!(drawing.edges.len(), 20);
        assert!(drawing.edges.iter().all(|edge| edge.from < edge.to));
    }

    #[test]
    fn a_cycle_is_drawn_once() {
        let drawing =
            drawing(&pipeline("a x from=y -> out:t\na y from=x -> out:t\na z from=z -> out:t"), &BTreeMap::new());
        assert_eq!(drawing.nodes.len(), 3);
        assert_eq!(drawing.edges.len(), 3);
        for draw in [|drawing: &Drawing| text(drawing, 80), mermaid, dot, svg] {
            assert!(draw(&drawing).contains('x'));
        }
    }

    #[test]
    fn an_empty_pipeline_and_a_long_chain_are_drawn() {
        let chain: Vec<String> = (1..3000).map(|at| format!("a s{at} from=s{} -> out:t", at - 1)).collect();
        for lines in [String::new(), format!("a s0 -> out:t\n{}", chain.join("\n"))] {
            let drawing = drawing(&pipeline(&lines), &BTreeMap::new());
            for draw in [|drawing: &Drawing| text(drawing, 80), mermaid, dot, svg] {
                assert!(draw(&drawing).ends_with('\n'));
            }
        }
    }
}
