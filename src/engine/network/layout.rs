//! Conversion between torch's tensor layout and that of the kernels. Knows no names.

/// Converts values from torch's layout (out x in x k x k; other shapes are unchanged) to that of the kernels (k x k x in x out).
pub(super) fn from_torch(shape: &[usize], values: &[f32]) -> Vec<f32> {
    let Some((out, inputs, taps)) = kernel(shape) else { return values.to_vec() };
    let mut own = vec![0.0; values.len()];
    for (at, value) in values.iter().enumerate() {
        let (o, i, tap) = (at / (inputs * taps), at / taps % inputs, at % taps);
        own[(tap * inputs + i) * out + o] = *value;
    }
    own
}

/// Inverse of [`from_torch`].
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

/// Outputs, inputs and taps of the shape of a kernel.
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
    fn a_kernel_survives_the_round_trip() {
        let shape = [3, 2, 2, 2];
        let values: Vec<f32> = (0..24).map(|value| value as f32).collect();
        let own = from_torch(&shape, &values);
        assert_eq!(own[..4], [0.0, 8.0, 16.0, 4.0], "outputs run fastest, then inputs");
        assert_eq!(to_torch(&shape, &own), values);
    }
}
