//! Plan of a program for images of one size: extents and prepared convolutions. Knows no values.

use super::program::{Extent, Program, Step};
use crate::engine::kernels::conv::Conv;
use crate::stage::StageError;

/// Program prepared for images of one size.
#[derive(Debug)]
pub(super) struct SizedPlan {
    /// Extent of each value.
    pub(super) extents: Vec<Extent>,
    /// Prepared convolution of each step that is one.
    pub(super) convs: Vec<Option<Conv>>,
}

impl SizedPlan {
    /// Prepares `program` for images of that height and width.
    pub(super) fn new(program: &Program, height: usize, width: usize) -> Result<Self, StageError> {
        let extents = program.extents(height, width)?;
        let prepare = |step: &Step| step.op.conv().map(|conv| Conv::new(conv.geometry.over(extents[step.input])));
        let convs = program.steps.iter().map(prepare).collect();
        Ok(Self { extents, convs })
    }
}
