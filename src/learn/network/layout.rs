//! From torch's order of a tensor's values to the kernels' own, and back. Knows no names.

/// Values in torch's order (out x in x k x k, or any other shape as it is) in the kernels' order (k x k x in x out).
pub(super) fn from_torch(shape: &[usize], values: &[f32]) -> Vec<f32> {
    let Some((out, inputs, taps)) = kernel(shape) else { return values.to_vec() };
    let mut own = vec![0.0; values.len()];
    for (at, value) in values.iter().enumerate() {
        let (o, i, tap) = (at / (inputs * taps), at / taps % inputs, at % taps);
        own[(tap * inputs + i) * out + o] = *value;
    }
    own
}

/// The other way round.
pub(super) fn to_torch(shape: &[usize], own: &[f32]) -> Vec<f32> {
    let Some((out, inputs, taps)) = kernel(shape) else { return own.to_vec() };
    let mut values = Vec::with_capacity(own.len());
    for o in 0..out {
        for i in 0..inputs {
            values.extend((0..taps).map(|tap| own[(tap * inputs + i) * out + o]));
        }
    }
    values
}

/// Outputs, inputs and taps of a kernel's shape.
fn kernel(shape: &[usize]) -> Option<(usize, usize, usize)> {
    match *shape {
        [out, inputs] => Some((out, inputs, 1)),
        [out, inputs, height, width] => Some((out, inputs, height * width)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_survives_the_way_there_and_back() {
        let shape = [3, 2, 2, 2];
        let values: Vec<f32> = (0..24).map(|value| value as f32).collect();
        let own = from_torch(&shape, &values);
        assert_eq!(own[..4], [0.0, 8.0, 16.0, 4.0], "outputs run fastest, then inputs");
        assert_eq!(to_torch(&shape, &own), values);
    }
}
