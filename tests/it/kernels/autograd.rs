//! Gradients of each kernel against candle's autograd, in f64, on the same numbers.

use candle_core::{D, DType, Device, Result, Tensor, Var};
use macula::engine::kernels::conv::Conv;
use macula::engine::kernels::norm::{self, InputGradient, PassedGradients, Statistics};
use macula::engine::kernels::pooling::{PoolWindow, global_mean_gradient};
use macula::engine::kernels::shape::{ConvShape, Epilogue};
use macula::engine::kernels::smooth::Smooth;
use macula::engine::kernels::{Begin, BufferPool, Moments, Rectify};

use super::formula::formula;

fn var(name: &str, dims: &[usize], low: f64, high: f64) -> (Vec<f32>, Var) {
    let values = formula(name, dims.iter().product(), low, high);
    let wide: Vec<f64> = values.iter().copied().map(f64::from).collect();
    let tensor = Tensor::from_vec(wide, dims, &Device::Cpu).expect("the count fits");
    (values, Var::from_tensor(&tensor).expect("a variable"))
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    let flat = tensor.contiguous().and_then(|tensor| tensor.flatten_all()?.to_dtype(DType::F64)?.to_vec1());
    flat.expect("numbers")
}

fn near(what: &str, found: &[f32], wanted: &Tensor) {
    let wanted = numbers(wanted);
    assert_eq!(found.len(), wanted.len(), "{what}");
    for (at, (found, wanted)) in found.iter().zip(wanted).enumerate() {
        let error = (f64::from(*found) - wanted).abs();
        assert!(error < 2e-5 * (1.0 + wanted.abs()), "{what}[{at}]: {found}, not {wanted}");
    }
}

/// Gradients of sum(y factors) with respect to the variables.
fn gradients<const N: usize>(y: &Tensor, factors: &Tensor, of: [&Var; N]) -> Result<[Tensor; N]> {
    let gradients = (y * factors)?.sum_all()?.backward()?;
    Ok(of.map(|var| gradients.get(var).expect("it depends on it").clone()))
}

/// N x H x W x C to the layout of candle's convolutions and pools, and back.
fn planes(x: &Tensor) -> Result<Tensor> {
    x.permute((0, 3, 1, 2))?.contiguous()
}

fn pixels(x: &Tensor) -> Result<Tensor> {
    x.permute((0, 2, 3, 1))?.contiguous()
}

#[test]
fn convolutions_of_every_kind() -> Result<()> {
    let pool = BufferPool::default();
    // Height and width, input channels, output channels, kernel, stride, padding, groups, dilation.
    for [side, channels, out, kernel, stride, padding, groups, dilation] in [
        [7, 5, 9, 3, 1, 1, 1, 1],
        [9, 3, 33, 7, 2, 3, 1, 1],
        [6, 17, 34, 1, 2, 0, 1, 1],
        [9, 18, 7, 3, 1, 2, 1, 2],
        [7, 6, 9, 3, 2, 1, 3, 1],
        [7, 40, 40, 3, 1, 1, 40, 1],
        [7, 40, 40, 3, 2, 1, 40, 1],
        [9, 24, 24, 5, 2, 2, 24, 1],
    ] {
        let shape = ConvShape { height: side, width: side, channels, out, kernel, stride, padding, dilation, groups };
        let what = format!("{shape:?}");
        let (rows, columns) = shape.outputs();
        let (x, pixels_of) = var("x", &[2, side, side, channels], -1.0, 1.0);
        let (weights, kernel_of) = var("kernel", &[kernel, kernel, channels / groups, out], -1.0, 1.0);
        let (dy, factors) = var("dy", &[2, rows, columns, out], -1.0, 1.0);
        let planes_of = kernel_of.permute((3, 2, 0, 1))?.contiguous()?;
        let y = pixels(&planes(&pixels_of)?.conv2d(&planes_of, padding, stride, dilation, groups)?)?;
        let [dx, dkernel] = gradients(&y, &factors, [&pixels_of, &kernel_of])?;

        let conv = Conv::new(shape);
        let mut found = vec![f32::NAN; dy.len()];
        conv.forward(&x, &conv.pack(&weights, &pool), Epilogue::default(), &mut found, None, &pool);
        near(&what, &found, &y);
        let mut found = vec![f32::NAN; x.len()];
        conv.input_gradient(&dy, &weights, Begin::Fresh, &mut found, &pool);
        near(&what, &found, &dx);
        let mut found = vec![f32::NAN; weights.len()];
        conv.kernel_gradient(&x, &dy, &mut found, &pool);
        near(&what, &found, &dkernel);
    }
    Ok(())
}

#[test]
fn a_batch_norm_with_residual_and_each_relu() -> Result<()> {
    let (rows, c) = (37, 33);
    for (rectify, high) in [(Rectify::No, None), (Rectify::Yes, Some(f64::INFINITY)), (Rectify::Six, Some(6.0))] {
        let what = format!("{rectify:?}");
        let (x, of_x) = var("x", &[rows, c], -2.0, 3.0);
        let (gamma, of_gamma) = var("gamma", &[c], 3.0, 6.0);
        let (beta, of_beta) = var("beta", &[c], -0.5, 0.5);
        let (extra, of_extra) = var("extra", &[rows, c], -1.0, 1.0);
        let (factors, of_y) = var("factors", &[rows, c], -1.0, 1.0);
        let centred = of_x.broadcast_sub(&of_x.mean_keepdim(0)?)?;
        let deviation = (centred.sqr()?.mean_keepdim(0)? + 1e-5)?.sqrt()?;
        let scaled = centred.broadcast_div(&deviation)?.broadcast_mul(&of_gamma)?.broadcast_add(&of_beta)?;
        let y = (scaled + of_extra.as_tensor())?;
        let y = match high {
            None => y,
            Some(high) if high.is_finite() => y.relu()?.minimum(high)?,
            Some(_) => y.relu()?,
        };
        let wanted = gradients(&y, &of_y, [&of_x, &of_gamma, &of_beta, &of_extra])?;

        let mut moments = Moments::default();
        moments.of(&x, c);
        let statistics = Statistics::new(&moments.totals(c), rows, 1e-5);
        let (scale, shift) = statistics.affine(&gamma, &beta);
        let mut found = vec![f32::NAN; x.len()];
        norm::affine(&x, &scale, &shift, Some(&extra), rectify, &mut found);
        near(&what, &found, &y);
        let passed =
            if rectify == Rectify::No { PassedGradients::All } else { PassedGradients::Output(&found, rectify) };
        let (mut dy, mut dx) = (factors.clone(), vec![f32::NAN; x.len()]);
        let (dgamma, dbeta) = norm::backward(&x, &mut dy, &gamma, &statistics, passed, InputGradient::Buffer(&mut dx));
        for (found, wanted) in [&dx, &dgamma, &dbeta, &dy].into_iter().zip(&wanted) {
            near(&what, found, wanted);
        }
    }
    Ok(())
}

#[test]
fn pools_and_smooth_activations() -> Result<()> {
    let window = PoolWindow { height: 6, width: 6, channels: 5, kernel: 2, stride: 2, padding: 0 };
    let (x, of_x) = var("x", &[2, 6, 6, 5], -3.0, 3.0);
    let (dy, factors) = var("dy", &[2, 3, 3, 5], -1.0, 1.0);

    // candle 0.11's gradient of max pooling is PyTorch's divided by the window's area; max pooling is compared with PyTorch in `networks`.
    let (mut found, mut dx) = (vec![f32::NAN; dy.len()], vec![f32::NAN; x.len()]);
    let y = pixels(&planes(&of_x)?.avg_pool2d(2)?)?;
    let [wanted] = gradients(&y, &factors, [&of_x])?;
    window.mean(&x, &mut found);
    near("mean", &found, &y);
    window.mean_gradient(&dy, &mut dx);
    near("mean", &dx, &wanted);

    let (of_means, factors) = var("means", &[2, 5], -1.0, 1.0);
    let y = of_x.mean(D::Minus2)?.mean(1)?;
    let [wanted] = gradients(&y, &factors, [&of_x])?;
    global_mean_gradient(&of_means, 5, &mut dx);
    near("mean of all", &dx, &wanted);

    let (dy, factors) = var("smooth", &[2, 6, 6, 5], -1.0, 1.0);
    for (smooth, y) in [(Smooth::Gelu, of_x.gelu_erf()?), (Smooth::Silu, of_x.silu()?)] {
        let [wanted] = gradients(&y, &factors, [&of_x])?;
        let (mut found, mut dx) = (vec![f32::NAN; x.len()], dy.clone());
        smooth.forward(&x, &mut found);
        near(&format!("{smooth:?}"), &found, &y);
        smooth.gradient(&x, &mut dx);
        near(&format!("{smooth:?}"), &dx, &wanted);
    }
    Ok(())
}
