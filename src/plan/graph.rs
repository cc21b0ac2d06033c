//! The dependency graph of a pipeline, and a topological order.

use std::collections::{BTreeMap, BTreeSet};

use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};

use crate::diag::Diag;
use crate::lang::spec::Pipeline;

/// A stage of the pipeline, by its index in [`Pipeline::stages`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StageId(pub usize);

/// Dependency graph.
#[derive(Clone, Debug)]
pub struct Graph {
    edges: DiGraph<(), ()>,
    names: BTreeMap<String, StageId>,
    order: Vec<StageId>,
}

impl Graph {
    /// The graph of a pipeline, and its mistakes: references to stages that do not exist, and cycles, whose stages
    /// are left out of the order. The checker finds both earlier; a pipeline built by hand may contain them.
    #[must_use]
    pub fn new(pipeline: &Pipeline) -> (Self, Vec<Diag>) {
        let mut edges = DiGraph::new();
        let mut diags = Vec::new();
        let names: BTreeMap<String, StageId> =
            pipeline.stages.iter().enumerate().map(|(at, stage)| (stage.name.clone(), StageId(at))).collect();
        for _ in &pipeline.stages {
            edges.add_node(());
        }
        for (at, stage) in pipeline.stages.iter().enumerate() {
            for (input, reference) in stage.inputs.iter().flat_map(|i| i.from.iter().map(move |from| (i, from))) {
                if let Some(from) = names.get(&reference.stage) {
                    edges.update_edge(NodeIndex::new(from.0), NodeIndex::new(at), ());
                } else {
                    diags.push(Diag::error("unknown-name", input.span, format!("unknown stage `{}`", reference.stage)));
                }
            }
        }
        let mut graph = Self { edges, names, order: Vec::new() };
        graph.order = graph.sorted();
        let placed: BTreeSet<StageId> = graph.order.iter().copied().collect();
        let first = (0..pipeline.stages.len()).map(StageId).find(|id| !placed.contains(id));
        if let Some(first) = first {
            let stage = &pipeline.stages[first.0];
            diags.push(
                Diag::error("cycle", stage.span, format!("stage `{}` depends on its own output", stage.name))
                    .hint("remove one of the references in the cycle"),
            );
        }
        (graph, diags)
    }

    /// Topological order; ties are in the order of the file.
    #[must_use]
    pub fn order(&self) -> &[StageId] {
        &self.order
    }

    /// The stage with a name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<StageId> {
        self.names.get(name).copied()
    }

    /// The stages that `id` reads, each once.
    #[must_use]
    pub fn needs(&self, id: StageId) -> BTreeSet<StageId> {
        self.beside(id, Direction::Incoming)
    }

    /// The given stages and everything that they depend on.
    #[must_use]
    pub fn with_needs(&self, of: &[StageId]) -> BTreeSet<StageId> {
        self.closure(of, Direction::Incoming)
    }

    /// The given stages and everything that depends on them.
    #[must_use]
    pub fn with_dependants(&self, of: &[StageId]) -> BTreeSet<StageId> {
        self.closure(of, Direction::Outgoing)
    }

    fn beside(&self, id: StageId, way: Direction) -> BTreeSet<StageId> {
        self.edges.neighbors_directed(NodeIndex::new(id.0), way).map(|node| StageId(node.index())).collect()
    }

    fn closure(&self, of: &[StageId], way: Direction) -> BTreeSet<StageId> {
        let mut found: BTreeSet<StageId> = of.iter().copied().collect();
        let mut waiting: Vec<StageId> = of.to_vec();
        while let Some(id) = waiting.pop() {
            waiting.extend(self.beside(id, way).into_iter().filter(|next| found.insert(*next)));
        }
        found
    }

    fn sorted(&self) -> Vec<StageId> {
        let count = self.edges.node_count();
        let mut open: Vec<usize> = (0..count).map(|at| self.needs(StageId(at)).len()).collect();
        let mut ready: BTreeSet<StageId> = (0..count).map(StageId).filter(|id| open[id.0] == 0).collect();
        let mut order = Vec::with_capacity(count);
        while let Some(id) = ready.pop_first() {
            order.push(id);
            for next in self.beside(id, Direction::Outgoing) {
                open[next.0] -= 1;
                if open[next.0] == 0 {
                    ready.insert(next);
                }
            }
        }
        order
    }
}
