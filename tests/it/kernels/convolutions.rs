//! Convolutions and pooling, one by one, against plain loops in f64.

use macula::engine::kernels::conv::Conv;
use macula::engine::kernels::norm::{self, InputGradient, PassedGradients, Statistics};
use macula::engine::kernels::pooling::PoolWindow;
use macula::engine::kernels::shape::{ConvShape, Epilogue};
use macula::engine::kernels::{Begin, BufferPool, Moments, Rectify};

use super::formula::formula;

/// Height and width, input channels, output channels, kernel, stride, padding, groups, dilation: every packing, and widths that fill no panel.
const SHAPES: [[usize; 9]; 25] = [
    [7, 6, 3, 5, 3, 1, 1, 1, 1],
    [8, 9, 3, 64, 7, 2, 3, 1, 1],
    [5, 5, 3, 4, 2, 1, 0, 1, 1],
    [6, 5, 17, 33, 3, 1, 1, 1, 1],
    [7, 7, 16, 40, 3, 2, 1, 1, 1],
    [6, 6, 32, 32, 1, 2, 0, 1, 1],
    [5, 4, 20, 20, 3, 3, 2, 1, 1],
    [4, 4, 33, 70, 1, 1, 0, 1, 1],
    [9, 8, 18, 5, 5, 2, 2, 1, 1],
    [1, 1, 50, 4, 1, 1, 0, 1, 1],
    [6, 6, 8, 8, 3, 2, 1, 8, 1],
    [7, 9, 43, 43, 5, 2, 2, 43, 1],
    [6, 5, 45, 45, 3, 1, 1, 45, 1],
    [8, 7, 19, 19, 4, 3, 1, 19, 1],
    [5, 6, 6, 9, 3, 1, 1, 3, 1],
    [9, 8, 3, 20, 3, 1, 2, 1, 2],
    [9, 10, 20, 33, 3, 2, 2, 1, 2],
    [11, 9, 17, 5, 3, 2, 3, 1, 3],
    [8, 9, 8, 12, 3, 1, 3, 4, 3],
    [9, 7, 40, 40, 3, 2, 2, 40, 2],
    // Winograd: forward and backward, with half tiles at two edges, with every padding, and with too few pixels.
    [7, 6, 32, 48, 3, 1, 1, 1, 1],
    [8, 9, 64, 32, 3, 1, 1, 1, 1],
    [6, 8, 48, 80, 3, 1, 0, 1, 1],
    [4, 5, 32, 32, 3, 1, 2, 1, 1],
    [1, 9, 32, 32, 3, 1, 1, 1, 1],
];

fn shape([height, width, channels, out, kernel, stride, padding, groups, dilation]: [usize; 9]) -> ConvShape {
    ConvShape { height, width, channels, out, kernel, stride, padding, dilation, groups }
}

/// Every product that a convolution sums: positions in the input, the kernel and the output.
fn terms(shape: &ConvShape, n: usize) -> Vec<(usize, usize, usize)> {
    let ConvShape { height, width, channels, out, kernel, stride, padding, dilation, groups } = *shape;
    let (rows, columns) = shape.outputs();
    let (inputs, outputs) = (channels / groups, out / groups);
    let mut terms = Vec::new();
    for image in 0..n {
        for at in 0..rows * columns * kernel * kernel {
            let (pixel, tap) = (at / (kernel * kernel), at % (kernel * kernel));
            let y = (pixel / columns * stride + tap / kernel * dilation).wrapping_sub(padding);
            let x = (pixel % columns * stride + tap % kernel * dilation).wrapping_sub(padding);
            if y >= height || x >= width {
                continue;
            }
            for o in 0..out {
                for i in 0..inputs {
                    terms.push((
                        ((image * height + y) * width + x) * channels + o / outputs * inputs + i,
                        (tap * inputs + i) * out + o,
                        (image * rows * columns + pixel) * out + o,
                    ));
                }
            }
        }
    }
    terms
}

fn assert_near(what: &str, found: &[f32], wanted: &[f64]) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    for (at, (found, wanted)) in found.iter().zip(wanted).enumerate() {
        assert!(
            (f64::from(*found) - wanted).abs() < 2e-5 * (1.0 + wanted.abs()),
            "{what}[{at}]: {found}, not {wanted}"
        );
    }
}

#[test]
fn a_convolution_and_its_gradients_are_the_sums_that_define_them() {
    let pool = BufferPool::default();
    for shape in SHAPES.map(shape) {
        let n = 3;
        let (rows, columns) = shape.outputs();
        let what = format!("{shape:?}");
        let x = formula("x", n * shape.height * shape.width * shape.channels, -1.0, 1.0);
        let kernel = formula("kernel", shape.weights(), -1.0, 1.0);
        let dy = formula("dy", n * rows * columns * shape.out, -1.0, 1.0);
        let before = formula("before", x.len(), -1.0, 1.0);
        let bias = formula("bias", shape.out, -1.0, 1.0);
        let extra = formula("extra", dy.len(), -1.0, 1.0);
        let (mut y, mut dx, mut dkernel) = (vec![0.0; dy.len()], vec![0.0; x.len()], vec![0.0; kernel.len()]);
        for (i, k, o) in terms(&shape, n) {
            y[o] += f64::from(x[i]) * f64::from(kernel[k]);
            dx[i] += f64::from(dy[o]) * f64::from(kernel[k]);
            dkernel[k] += f64::from(x[i]) * f64::from(dy[o]);
        }

        let conv = Conv::new(shape);
        let packed = conv.pack(&kernel, &pool);
        // Initial contents of the buffers must not matter.
        let mut found = vec![f32::NAN; y.len()];
        let mut moments = Moments::default();
        conv.forward(&x, &packed, Epilogue::default(), &mut found, Some(&mut moments), &pool);
        assert_near(&what, &found, &y);
        for (channel, [sum, squares]) in moments.totals(shape.out).into_iter().enumerate() {
            let channel = || y.iter().skip(channel).step_by(shape.out);
            let (wanted, wanted_squares) = (channel().sum::<f64>(), channel().map(|y| y * y).sum::<f64>());
            assert!((sum - wanted).abs() < 1e-3 && (squares - wanted_squares).abs() < 1e-5 * wanted_squares, "{what}");
        }

        let after = Epilogue { bias: Some(&bias), extra: Some(&extra), rectify: Rectify::Yes };
        conv.forward(&x, &packed, after, &mut found, None, &pool);
        let finished: Vec<f64> = (y.iter().zip(&extra).enumerate())
            .map(|(at, (y, extra))| (y + f64::from(bias[at % shape.out]) + f64::from(*extra)).max(0.0))
            .collect();
        assert_near(&what, &found, &finished);
        let after = Epilogue { rectify: Rectify::Six, ..after };
        conv.forward(&x, &packed, after, &mut found, None, &pool);
        let finished: Vec<f64> = finished.iter().map(|y| y.min(6.0)).collect();
        assert_near(&what, &found, &finished);

        let mut found = vec![f32::NAN; x.len()];
        conv.input_gradient(&dy, &kernel, Begin::Fresh, &mut found, &pool);
        assert_near(&what, &found, &dx);
        found.copy_from_slice(&before);
        conv.input_gradient(&dy, &kernel, Begin::Add, &mut found, &pool);
        let added: Vec<f64> = dx.iter().zip(&before).map(|(dx, before)| dx + f64::from(*before)).collect();
        assert_near(&what, &found, &added);

        let mut found = vec![f32::NAN; kernel.len()];
        conv.kernel_gradient(&x, &dy, &mut found, &pool);
        assert_near(&what, &found, &dkernel);
    }
}

#[test]
fn the_gradient_of_a_kernel_over_many_tiles_is_the_sum_over_the_images() {
    let (pool, n) = (BufferPool::default(), 13);
    let shape = shape([16, 15, 32, 48, 3, 1, 1, 1, 1]);
    let conv = Conv::new(shape);
    let (image, out) = (16 * 15 * 32, 16 * 15 * 48);
    let (x, dy) = (formula("x", n * image, -1.0, 1.0), formula("dy", n * out, -1.0, 1.0));
    let mut wanted = vec![0.0; shape.weights()];
    let mut found = vec![f32::NAN; shape.weights()];
    for (x, dy) in x.chunks_exact(image).zip(dy.chunks_exact(out)) {
        conv.kernel_gradient(x, dy, &mut found, &pool);
        wanted.iter_mut().zip(&found).for_each(|(wanted, found)| *wanted += f64::from(*found));
    }
    conv.kernel_gradient(&x, &dy, &mut found, &pool);
    // Sums of 3,120 products each, relative to the largest of them.
    let largest = wanted.iter().fold(0.0_f64, |largest, wanted| largest.max(wanted.abs()));
    for (at, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
        assert!((f64::from(*found) - wanted).abs() < 5e-6 * largest, "{at}: {found}, not {wanted}, of {largest}");
    }
}

#[test]
fn of_equal_maxima_the_first_gets_the_gradient_and_padding_never_wins() {
    // As torch.nn.MaxPool2d(3, 2, 1): all values below 0, so that padding with 0 would win.
    let window = PoolWindow { height: 4, width: 4, channels: 1, kernel: 3, stride: 2, padding: 1 };
    let x = [-1.0, -1.0, -3.0, -2.0, -1.0, -1.0, -2.0, -2.0, -5.0, -4.0, -4.0, -6.0, -4.0, -4.0, -4.0, -7.0];
    let (mut y, mut places, mut dx) = ([0.0; 4], [0; 4], [f32::NAN; 16]);
    window.max(&x, &mut y, &mut places);
    assert_eq!(y, [-1.0, -1.0, -1.0, -1.0]);
    window.max_gradient(&[1.0, 10.0, 100.0, 1000.0], &places, &mut dx);
    let mut wanted = [0.0; 16];
    (wanted[0], wanted[1], wanted[4], wanted[5]) = (1.0, 10.0, 100.0, 1000.0);
    assert_eq!(dx, wanted);
}

#[test]
fn nan_passes_through_pooling_and_relu() {
    let window = PoolWindow { height: 2, width: 2, channels: 1, kernel: 2, stride: 2, padding: 0 };
    let (mut y, mut places) = ([0.0], [0]);
    window.max(&[1.0, f32::NAN, 3.0, 2.0], &mut y, &mut places);
    assert!(y[0].is_nan(), "a loss must become NaN where an activation is");
    let mut x = [f32::NAN, -1.0];
    norm::rectify(Rectify::Yes, &mut x);
    assert!(x[0].is_nan() && x[1] == 0.0);
    let conv = Conv::new(ConvShape::linear(2, 1));
    let pool = BufferPool::default();
    let after = Epilogue { rectify: Rectify::Yes, ..Epilogue::default() };
    conv.forward(&[f32::NAN, 1.0], &conv.pack(&[1.0, 1.0], &pool), after, &mut y, None, &pool);
    assert!(y[0].is_nan());
}

/// gamma (x - mean) / sqrt(var + eps) + beta + extra in f64, clipped to 0..`high`.
fn normalised(x: &[f64], gamma: &[f64], beta: &[f64], extra: &[f64], high: f64) -> Vec<f64> {
    let c = gamma.len();
    let rows = (x.len() / c) as f64;
    let mut y = vec![0.0; x.len()];
    for channel in 0..c {
        let values = || x.iter().skip(channel).step_by(c);
        let mean = values().sum::<f64>() / rows;
        let variance = values().map(|x| (x - mean).powi(2)).sum::<f64>() / rows;
        for at in (channel..x.len()).step_by(c) {
            let affine = gamma[channel] * (x[at] - mean) / (variance + 1e-5).sqrt() + beta[channel];
            y[at] = (affine + extra[at]).clamp(0.0, high);
        }
    }
    y
}

#[test]
fn the_gradients_of_a_batch_norm_match_finite_differences() {
    let cases = [(3, 20, Rectify::Yes), (33, 37, Rectify::Yes), (64, 5, Rectify::Yes), (33, 37, Rectify::Six)];
    for (c, rows, rectify) in cases {
        // With an upper bound, there are values on both sides of it.
        let (high, steep) = if rectify == Rectify::Six { (6.0, 6.0) } else { (f64::INFINITY, 1.0) };
        let narrow = |name: &str, count, low, high| formula(name, count, low, high);
        let (x, extra) = (narrow("x", rows * c, -2.0, 3.0), narrow("extra", rows * c, -1.0, 1.0));
        let (gamma, beta) = (narrow("gamma", c, 0.5 * steep, 1.5 * steep), narrow("beta", c, -0.5, 0.5));
        let factors = narrow("factors", rows * c, -1.0, 1.0);
        let wide = |values: &[f32]| values.iter().copied().map(f64::from).collect::<Vec<_>>();
        let loss = |x: &[f64], gamma: &[f64], beta: &[f64], extra: &[f64]| -> f64 {
            normalised(x, gamma, beta, extra, high).iter().zip(wide(&factors)).map(|(y, factor)| y * factor).sum()
        };
        let inputs = [wide(&x), wide(&gamma), wide(&beta), wide(&extra)];
        let differences = |which: usize| -> Vec<f64> {
            (0..inputs[which].len())
                .map(|at| {
                    let shifted = |by: f64| {
                        let mut inputs = inputs.clone();
                        inputs[which][at] += by;
                        loss(&inputs[0], &inputs[1], &inputs[2], &inputs[3])
                    };
                    (shifted(1e-6) - shifted(-1e-6)) / 2e-6
                })
                .collect()
        };

        let mut moments = Moments::default();
        moments.of(&x, c);
        let statistics = Statistics::new(&moments.totals(c), rows, 1e-5);
        let (scale, shift) = statistics.affine(&gamma, &beta);
        let mut y = vec![0.0; x.len()];
        norm::affine(&x, &scale, &shift, Some(&extra), rectify, &mut y);
        let wanted = normalised(&inputs[0], &inputs[1], &inputs[2], &inputs[3], high);
        assert_eq!(wanted.contains(&6.0), rectify == Rectify::Six);
        assert_near("y", &y, &wanted);
        let (mut dy, mut dx) = (factors.clone(), vec![f32::NAN; x.len()]);
        let (dgamma, dbeta) = norm::backward(
            &x,
            &mut dy,
            &gamma,
            &statistics,
            PassedGradients::Output(&y, rectify),
            InputGradient::Buffer(&mut dx),
        );
        for (name, found, which) in [("dx", &dx, 0), ("dgamma", &dgamma, 1), ("dbeta", &dbeta, 2), ("dextra", &dy, 3)] {
            assert_near(name, found, &differences(which));
        }

        // Without a residual, the mask of the ReLU comes from the input, and the gradient is written in place.
        norm::affine(&x, &scale, &shift, None, rectify, &mut y);
        let (mut one, mut other) = (factors.clone(), vec![f32::NAN; x.len()]);
        let passed = PassedGradients::Affine(&scale, &shift, rectify);
        let gradients = norm::backward(&x, &mut one, &gamma, &statistics, passed, InputGradient::Place);
        let mut dy = factors.clone();
        let same = norm::backward(
            &x,
            &mut dy,
            &gamma,
            &statistics,
            PassedGradients::Output(&y, rectify),
            InputGradient::Buffer(&mut other),
        );
        assert_eq!((one, gradients), (other, same));
    }
}
