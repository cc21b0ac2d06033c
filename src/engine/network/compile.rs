//! Compiler from the layers of a network to a program: nested branches become a linear sequence of steps, rectifiers and sums are fused
//! into the preceding batch norms. Executes nothing.

use std::collections::BTreeMap;

use super::joined::JoinedShapes;
use super::ops::{self, Add, BatchNorm, Concat, Op};
use super::program::{Extent, JoinedValue, Program, ResidualBlock, Step, wrong};
use super::{Parameter, ParameterRole};
use crate::engine::kernels::Rectify;
use crate::lang::network::{Auxiliary, Branch, InputKind, Join, Layer, NetworkSpec};
use crate::stage::StageError;

/// Compiles `spec` for patches of `size` px with these embeddings and that many classes.
pub(super) fn compile(
    spec: &NetworkSpec,
    size: usize,
    joined: &JoinedShapes,
    classes: usize,
) -> Result<Program, StageError> {
    let (mut compiler, logits) = compile_layers(spec, size, joined, classes)?;
    let extent = compiler.extents[logits];
    if extent != (Extent { height: 1, width: 1, channels: classes }) {
        return Err(wrong(format!(
            "network `{}` ends in {} x {} x {} per patch, expected {classes} logits",
            spec.name, extent.channels, extent.height, extent.width
        ))
        .hint("end it with a `linear` layer without `out`"));
    }
    compiler.auxiliary(&spec.auxiliary, logits)?;
    named_once(compiler.program, spec)
}

/// Compiles the layers of `spec`; returns the value that they give.
fn compile_layers(
    spec: &NetworkSpec,
    size: usize,
    joined: &JoinedShapes,
    classes: usize,
) -> Result<(Compiler, usize), StageError> {
    let inputs = spec.inputs();
    let mut compiler = Compiler::new(canvas(spec, size), classes);
    compiler.join(spec, joined)?;
    compiler.inputs = ops::compile_inputs(&inputs, &mut compiler)?;
    compiler.inputs.values().for_each(|value| compiler.pinned[*value] = true);
    let patch = compiler.inputs[&InputKind::Patch];
    let output = compiler.sequence(&spec.layers, patch)?;
    Ok((compiler, output))
}

/// Extent of the output of `spec`, a network up to a tap, for patches of `size` px with these embeddings.
pub(super) fn output_extent(spec: &NetworkSpec, size: usize, joined: &JoinedShapes) -> Result<Extent, StageError> {
    let (compiler, output) = compile_layers(spec, size, joined, 0)?;
    Ok(compiler.extents[output])
}

/// Compiles `spec`, a network up to a tap, for images of `side` px.
pub(super) fn compile_features(spec: &NetworkSpec, side: usize) -> Result<Program, StageError> {
    let mut compiler = Compiler::new(side, 0);
    if !spec.inputs().is_empty() || !spec.embeddings().is_empty() {
        let text = format!("network `{}` has inputs besides the image, which only patches have", spec.name);
        return Err(StageError::input("missing-input", text).field("network"));
    }
    compiler.inputs = BTreeMap::from([(InputKind::Patch, 0)]);
    compiler.sequence(&spec.layers, 0)?;
    named_once(compiler.program, spec)
}

/// Refuses two tensors of one name.
fn named_once(program: Program, spec: &NetworkSpec) -> Result<Program, StageError> {
    let mut names: Vec<&str> = program.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
    names.sort_unstable();
    if let Some([twice, _]) = names.array_windows().find(|[one, other]| one == other) {
        return Err(wrong(format!("two layers of network `{}` have a tensor called `{}`", spec.name, twice)));
    }
    Ok(program)
}

/// Side of the pixels that a network takes for patches of `size` px: twice as much if it sees their surroundings.
#[must_use]
pub fn canvas(spec: &NetworkSpec, size: usize) -> usize {
    if spec.margin(size) > 0 { 2 * size } else { size }
}

/// Error for a network that reads an embedding which the patches do not have.
#[must_use]
pub fn not_joined(spec: &NetworkSpec, name: &str) -> StageError {
    let text =
        format!("network `{}` has an input `{name}`, but the patches have no embeddings under that name", spec.name);
    let hint = format!("give it to them: `join NAME {{ patches …; embeddings …; as {name} }}`");
    StageError::input("missing-input", text).hint(hint).field("data")
}

pub(super) struct Compiler {
    pub(super) program: Program,
    pub(super) extents: Vec<Extent>,
    /// Whether a value is read by more than the next layer, so that nothing may be fused into the step that computes it.
    pub(super) pinned: Vec<bool>,
    /// Tensor prefix of the convolution that computes a value.
    pub(super) names: Vec<Option<String>>,
    /// Values of the inputs.
    inputs: BTreeMap<InputKind, usize>,
    /// Taps in reach with their values, the innermost last.
    taps: Vec<(String, usize)>,
    /// Whether the layers are in a branch that shares tensors.
    sharing: bool,
    pub(super) classes: usize,
    floats: usize,
    pub(super) running: usize,
}

impl Compiler {
    /// Compiler for images of `side` px.
    fn new(side: usize, classes: usize) -> Self {
        Self {
            program: Program { uses: vec![0], ..Program::default() },
            extents: vec![Extent { height: side, width: side, channels: 3 }],
            pinned: vec![true],
            names: vec![None],
            inputs: BTreeMap::new(),
            taps: Vec::new(),
            sharing: false,
            classes,
            floats: 0,
            running: 0,
        }
    }

    fn sequence(&mut self, layers: &[Layer], input: usize) -> Result<usize, StageError> {
        layers.iter().try_fold(input, |value, layer| ops::compile(layer, self, value))
    }

    pub(super) fn step(&mut self, op: Op, input: usize) -> Result<usize, StageError> {
        let output = self.extents.len();
        let step = Step { op, input, output };
        self.extents.push(step.extent(&self.extents)?);
        self.pinned.push(false);
        self.names.push(None);
        self.program.uses.push(0);
        for value in step.reads() {
            self.program.uses[value] += 1;
        }
        self.program.steps.push(step);
        Ok(output)
    }

    /// Index of a parameter: a new one, or in a branch that shares that of the same name.
    pub(super) fn parameter(
        &mut self,
        name: String,
        shape: Vec<usize>,
        role: ParameterRole,
    ) -> Result<usize, StageError> {
        let known = self.program.parameters.iter().position(|parameter| parameter.name == name);
        if let Some(at) = known.filter(|_| self.sharing) {
            let first = &self.program.parameters[at];
            if first.shape != shape || first.role != role {
                let text = |shape: &[usize]| shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(" x ");
                let (own, other) = (text(&shape), text(&first.shape));
                return Err(wrong(format!(
                    "two layers share tensor `{name}`, but it is {other} in the first and {own} in the other"
                )));
            }
            self.program.shared.insert(at);
            return Ok(at);
        }
        let len = shape.iter().product::<usize>();
        let range = self.floats..self.floats + len;
        self.floats = range.end;
        self.program.parameters.push(Parameter { name, shape, range, role });
        Ok(self.program.parameters.len() - 1)
    }

    /// Index of the batch norm of that name, in a branch that shares.
    pub(super) fn shared_norm(&self, name: &str) -> Option<usize> {
        self.program.norms.iter().position(|norm| norm.name == name).filter(|_| self.sharing)
    }

    /// Names a value, which nothing is fused into from then on.
    pub(super) fn tap(&mut self, name: &str, value: usize) -> usize {
        self.pinned[value] = true;
        self.taps.push((name.to_owned(), value));
        value
    }

    /// Adds a value for each embedding that the network reads.
    fn join(&mut self, spec: &NetworkSpec, shapes: &JoinedShapes) -> Result<(), StageError> {
        for name in spec.embeddings() {
            let Some(&[height, width, channels]) = shapes.get(&name) else { return Err(not_joined(spec, &name)) };
            let (extent, value) = (Extent { height, width, channels }, self.extents.len());
            self.extents.push(extent);
            self.pinned.push(true);
            self.names.push(None);
            self.program.uses.push(0);
            self.program.joined.push(JoinedValue { name, extent, value });
        }
        Ok(())
    }

    /// Value of an input or a tap.
    pub(super) fn start(&self, from: &str) -> Result<usize, StageError> {
        let input = InputKind::named(from).and_then(|input| self.inputs.get(&input).copied());
        let tap = || self.taps.iter().rfind(|(name, _)| name == from).map(|(_, value)| *value);
        let joined = || self.program.joined.iter().find(|input| input.name == from).map(|input| input.value);
        input
            .or_else(tap)
            .or_else(joined)
            .ok_or_else(|| wrong(format!("no input and no tap `{from}` comes before what reads it")))
    }

    /// Steps of a residual's path or a branch, whose taps end with it.
    fn enclosed(&mut self, layers: &[Layer], input: usize) -> Result<usize, StageError> {
        let taps = self.taps.len();
        let end = self.sequence(layers, input)?;
        self.taps.truncate(taps);
        Ok(end)
    }

    /// Adds a residual block. The sum is fused into the last batch norm of the body if there is one; the shortcut is then computed first.
    pub(super) fn residual(&mut self, body: &[Layer], shortcut: &[Layer], input: usize) -> Result<usize, StageError> {
        self.pinned[input] = true;
        let first = self.program.parameters.len();
        let long = self.enclosed(body, input)?;
        // If the body is the identity, the last step computes the input and stays in place.
        let last_norm = self.program.steps.pop_if(|step| {
            step.output == long
                && long != input
                && !self.pinned[long]
                && matches!(step.op, Op::Norm(BatchNorm { add: None, rectify: Rectify::No, .. }))
        });
        // Gamma of the last batch norm; none if the block ends otherwise.
        let last = last_norm.as_ref().and_then(|step| step.op.norm());
        let gamma = last.map(|norm| self.program.norms[norm.norm].gamma);
        let short = self.enclosed(shortcut, input)?;
        let (a, b) = (self.extents[long], self.extents[short]);
        if a != b {
            return Err(wrong(format!(
                "a residual block adds different shapes: {} x {} x {} (body) and {} x {} x {} (shortcut)",
                a.channels, a.height, a.width, b.channels, b.height, b.width
            )));
        }
        let output = if let Some(Step { op: Op::Norm(norm), input: from, output }) = last_norm {
            self.program.uses[short] += 1;
            let op = Op::Norm(BatchNorm { add: Some(short), ..norm });
            self.program.steps.push(Step { op, input: from, output });
            output
        } else {
            self.step(Op::Add(Add { other: short, rectify: Rectify::No }), long)?
        };
        self.program.blocks.push(ResidualBlock { gamma, parameters: first..self.program.parameters.len() });
        Ok(output)
    }

    /// Adds the auxiliary outputs, then the step that puts their logits behind those of the network.
    fn auxiliary(&mut self, outputs: &[Auxiliary], logits: usize) -> Result<(), StageError> {
        if outputs.is_empty() {
            return Ok(());
        }
        let main = Branch { from: None, share: false, layers: Vec::new() };
        let branches: Vec<Branch> = std::iter::once(main).chain(outputs.iter().map(|one| one.branch.clone())).collect();
        let all = self.parallel(Join::Concat, &branches, logits)?;
        let wanted = Extent { height: 1, width: 1, channels: self.classes * branches.len() };
        if self.extents[all] != wanted {
            return Err(wrong(format!("each auxiliary output must end in {} logits", self.classes))
                .hint("end it with a `linear` layer without `out`"));
        }
        Ok(())
    }

    /// Adds the branches one after the other, then the step that joins them.
    pub(super) fn parallel(&mut self, join: Join, branches: &[Branch], input: usize) -> Result<usize, StageError> {
        self.pinned[input] = true;
        let mut ends = Vec::with_capacity(branches.len());
        for Branch { from, share, layers } in branches {
            let start = from.as_deref().map_or(Ok(input), |from| self.start(from))?;
            let sharing = self.sharing;
            self.sharing |= *share;
            ends.push(self.enclosed(layers, start)?);
            self.sharing = sharing;
        }
        let Some((&first, others)) = ends.split_first() else {
            return Err(wrong("`parallel` needs a branch"));
        };
        match join {
            _ if others.is_empty() => Ok(first),
            Join::Concat => self.step(Op::plain(Concat { others: others.to_vec() }), first),
            Join::Sum => others
                .iter()
                .try_fold(first, |sum, &other| self.step(Op::Add(Add { other, rectify: Rectify::No }), sum)),
        }
    }
}
