//! Initialisation of parameters, as in torch. Knows no weights from files.

use rayon::prelude::*;

use super::layout::from_torch;
use super::program::Program;
use super::{Parameter, ParameterRole};
use crate::base::Streams;
use crate::base::random::Stream;

/// Initial values of all parameters. Each tensor has its own random stream, so that a new layer does not change others.
pub(super) fn parameters(program: &Program, streams: &Streams) -> Vec<f32> {
    let parts: Vec<Vec<f32>> = program
        .parameters
        .par_iter()
        .enumerate()
        .map(|(at, parameter)| {
            let kernel = at.checked_sub(1).map(|before| &program.parameters[before]);
            from_torch(&parameter.shape, &values(parameter, kernel, streams))
        })
        .collect();
    parts.concat()
}

/// Initial running statistics: means of 0 and variances of 1.
pub(super) fn running(program: &Program) -> Vec<f32> {
    let of_norm = |channels: usize| [vec![0.0; channels], vec![1.0; channels]].concat();
    program.norms.iter().flat_map(|norm| of_norm(norm.channels)).collect()
}

/// Initial values of a tensor in torch's order. `before` is the preceding parameter: a bias follows its kernel.
fn values(parameter: &Parameter, before: Option<&Parameter>, streams: &Streams) -> Vec<f32> {
    let count = parameter.range.len();
    let mut stream = streams.stream("init", 0, parameter.name.as_bytes());
    let fan_in = |shape: &[usize]| shape[1..].iter().product::<usize>() as f64;
    let uniform = |mut stream: Stream, bound: f64| (0..count).map(|_| stream.between(-bound, bound) as f32).collect();
    match (parameter.role, parameter.shape.as_slice()) {
        (ParameterRole::Gamma, _) => vec![1.0; count],
        (ParameterRole::Beta, _) => vec![0.0; count],
        // torchvision's ConvNeXt.
        (ParameterRole::LayerScale, _) => vec![1e-6; count],
        // torchvision's Swin.
        (ParameterRole::Table, _) => (0..count).map(|_| (0.02 * stream.normal()) as f32).collect(),
        // torch.nn.Linear: kaiming_uniform_ with a = sqrt(5), which is uniform within 1/sqrt(in).
        (ParameterRole::Kernel, shape @ [_, _]) => uniform(stream, 1.0 / fan_in(shape).sqrt()),
        // torchvision's ResNet: kaiming_normal_ with fan_out and the gain of a rectifier.
        (ParameterRole::Kernel, shape) => {
            let fan_out = (shape[0] * shape[2..].iter().product::<usize>()) as f64;
            let deviation = (2.0 / fan_out).sqrt();
            (0..count).map(|_| (deviation * stream.normal()) as f32).collect()
        }
        (ParameterRole::Bias, _) => uniform(stream, before.map_or(0.0, |kernel| 1.0 / fan_in(&kernel.shape).sqrt())),
    }
}
