//! Program of a network: a list of steps over numbered values. Knows shapes and names, executes nothing.

use std::collections::BTreeSet;
use std::ops::Range;

use super::Parameter;
use super::ops::{BatchNorm, Op};
use crate::stage::StageError;

/// Compiled network.
#[derive(Debug, Default)]
pub(super) struct Program {
    /// Steps in order of execution. Value 0 is the pixels, the output of the last step the logits.
    pub(super) steps: Vec<Step>,
    /// Values without a step: embeddings of the patches, in the order of their names.
    pub(super) joined: Vec<JoinedValue>,
    /// Number of steps that use each value.
    pub(super) uses: Vec<usize>,
    /// All parameters, in the order of the layers.
    pub(super) parameters: Vec<Parameter>,
    /// Parameters that several steps use.
    pub(super) shared: BTreeSet<usize>,
    /// All batch norms, in the order of the layers.
    pub(super) norms: Vec<Norm>,
    /// All residual blocks.
    pub(super) blocks: Vec<ResidualBlock>,
}

impl Program {
    /// Names of all tensors of a weights file: parameters, then running statistics.
    pub(super) fn names(&self) -> Vec<String> {
        let running = self
            .norms
            .iter()
            .flat_map(|norm| ["running_mean", "running_var"].map(|end| format!("{}.{end}", norm.name)));
        self.parameters.iter().map(|parameter| parameter.name.clone()).chain(running).collect()
    }
}

/// Step that computes `output` from `input` and from further values that the operation names.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) op: Op,
    pub(super) input: usize,
    pub(super) output: usize,
}

/// Embedding that a program reads.
#[derive(Debug)]
pub(super) struct JoinedValue {
    /// Its name.
    pub(super) name: String,
    /// Its extent for every patch.
    pub(super) extent: Extent,
    /// Its value.
    pub(super) value: usize,
}

/// Batch norm.
#[derive(Debug)]
pub(super) struct Norm {
    pub(super) name: String,
    pub(super) channels: usize,
    pub(super) gamma: usize,
    pub(super) beta: usize,
    /// Start of the running mean, which the variance follows.
    pub(super) running: usize,
    pub(super) eps: f64,
    pub(super) momentum: f64,
    /// Tensor prefix of the convolution directly before it.
    pub(super) conv: Option<String>,
}

/// Residual block: gamma of its last batch norm, and the range of its parameters.
#[derive(Debug)]
pub(super) struct ResidualBlock {
    pub(super) gamma: Option<usize>,
    pub(super) parameters: Range<usize>,
}

/// Height, width and channels of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) channels: usize,
}

impl Extent {
    /// Floats per image.
    pub(super) fn len(self) -> usize {
        self.height * self.width * self.channels
    }
}

pub(super) fn wrong(text: impl Into<String>) -> StageError {
    StageError::input("shape-mismatch", text)
}

/// Extent of the outputs of a window with that reach.
pub(super) fn windowed(
    input: Extent,
    channels: usize,
    reach: usize,
    stride: usize,
    padding: usize,
) -> Result<Extent, StageError> {
    let along = |side: usize| {
        let room = (side + 2 * padding).checked_sub(reach).ok_or_else(|| {
            wrong(format!("a window of {reach} px does not fit {side} px with {padding} px of padding"))
                .hint("use larger patches or fewer strides")
        })?;
        Ok::<_, StageError>(room / stride + 1)
    };
    Ok(Extent { height: along(input.height)?, width: along(input.width)?, channels })
}

/// Checks that two branches that meet have the same extent.
pub(super) fn agree(what: &str, one: Extent, other: Extent) -> Result<(), StageError> {
    if one == other {
        return Ok(());
    }
    let text = |extent: Extent| format!("{} x {} x {}", extent.channels, extent.height, extent.width);
    Err(wrong(format!("a layer {what} different shapes: {} and {}", text(one), text(other))))
}

impl Step {
    /// Values that the step reads besides its input; a value read twice is listed twice.
    pub(super) fn others(&self) -> &[usize] {
        self.op.operation().others()
    }

    /// Extent of the output, from those of all earlier values.
    pub(super) fn extent(&self, extents: &[Extent]) -> Result<Extent, StageError> {
        let others: Vec<Extent> = self.others().iter().map(|&other| extents[other]).collect();
        self.op.operation().extent(extents[self.input], &others)
    }

    /// All values that the step reads.
    pub(super) fn reads(&self) -> impl Iterator<Item = usize> {
        std::iter::once(self.input).chain(self.others().iter().copied())
    }
}

impl Program {
    /// Checks the embeddings of a batch of `count` patches against those that the program reads.
    ///
    /// # Errors
    /// [`StageError::Bug`] if one is missing or has another length.
    pub(super) fn check_joined(&self, joined: &[Vec<f32>], count: usize) -> Result<(), StageError> {
        let expected = self.joined.iter().map(|input| count * input.extent.len());
        if joined.iter().map(Vec::len).eq(expected) {
            return Ok(());
        }
        let names: Vec<&str> = self.joined.iter().map(|input| input.name.as_str()).collect();
        Err(StageError::Bug(format!("the embeddings of a batch are not {} of {count} patches", names.join(", "))))
    }

    /// Extents of all values for images of that height and width.
    pub(super) fn extents(&self, height: usize, width: usize) -> Result<Vec<Extent>, StageError> {
        let mut extents = vec![Extent { height, width, channels: 3 }; self.uses.len()];
        for input in &self.joined {
            extents[input.value] = input.extent;
        }
        for step in &self.steps {
            extents[step.output] = step.extent(&extents)?;
            if let Some(conv) = step.op.conv() {
                let held = self.parameters[conv.weight].range.len();
                if conv.geometry.over(extents[step.input]).weights() != held {
                    return Err(wrong(format!(
                        "patches of {width} x {height} px give `{}` {} input features, but it was built for another number",
                        self.parameters[conv.weight].name, extents[step.input].channels
                    )));
                }
            }
        }
        Ok(extents)
    }

    /// Number of floats of all parameters.
    pub(super) fn floats(&self) -> usize {
        self.parameters.last().map_or(0, |parameter| parameter.range.end)
    }

    /// Value of the logits.
    pub(super) fn last(&self) -> usize {
        self.steps.last().map_or(0, |step| step.output)
    }

    /// Convolution whose output is read only by the batch norm of `norm_step`.
    pub(super) fn folded_conv(&self, norm_step: &Step) -> Option<usize> {
        norm_step.op.norm().filter(|_| self.uses[norm_step.input] == 1)?;
        self.steps.iter().position(|step| step.output == norm_step.input && step.op.conv().is_some())
    }

    /// Batch norm that is the only reader of the output of a convolution.
    pub(super) fn norm_after(&self, conv: &Step) -> Option<&BatchNorm> {
        let reader = |step: &&Step| step.input == conv.output && step.op.norm().is_some();
        (self.uses[conv.output] == 1).then(|| self.steps.iter().find(reader)).flatten()?.op.norm()
    }
}
