//! Milliseconds and GFLOP/s of single convolutions: those of `ResNet18`, and the depthwise ones of EfficientNet-Lite0.
//!
//! `cargo bench --bench training -- --size 128 --batch 32 --steps 5 --threads 1`
//!
//! Forward pass, input gradient, kernel gradient. Whole training steps are measured by `macula bench train|infer`.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::time::Instant;

use macula::engine::kernels::conv::Conv;
use macula::engine::kernels::shape::{ConvShape, Epilogue};
use macula::engine::kernels::{Begin, BufferPool};

fn argument(name: &str, default: usize) -> usize {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    arguments.nth(1).and_then(|value| value.parse().ok()).unwrap_or(default)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2] * 1e3
}

fn timed(warmup: usize, steps: usize, mut step: impl FnMut()) -> f64 {
    let mut times = Vec::new();
    for at in 0..warmup + steps {
        let start = Instant::now();
        step();
        if at >= warmup {
            times.push(start.elapsed().as_secs_f64());
        }
    }
    median(times)
}

fn main() {
    rayon::ThreadPoolBuilder::new()
        .num_threads(argument("--threads", 2))
        .build_global()
        .expect("the first pool of the process");
    layers(argument("--size", 128), argument("--batch", 32), argument("--steps", 5));
}

fn layers(size: usize, batch: usize, steps: usize) {
    let quarter = size / 4;
    let shape = |side: usize, channels, out, kernel, stride, padding| ConvShape {
        height: side,
        width: side,
        channels,
        out,
        kernel,
        stride,
        padding,
        dilation: 1,
        groups: 1,
    };
    let mut shapes = vec![(1, shape(size, 3, 64, 7, 2, 3)), (4, shape(quarter, 64, 64, 3, 1, 1))];
    for (step, channels) in [64, 128, 256].into_iter().enumerate() {
        let side = quarter >> step;
        shapes.push((1, shape(side, channels, 2 * channels, 3, 2, 1)));
        shapes.push((1, shape(side, channels, 2 * channels, 1, 2, 0)));
        shapes.push((3, shape(side / 2, 2 * channels, 2 * channels, 3, 1, 1)));
    }
    // Of EfficientNet-Lite0: number of layers, divisor of the patch size, channels, kernel, stride.
    let depthwise = [
        (1, 2, 32, 3, 1),
        (1, 2, 96, 3, 2),
        (1, 4, 144, 3, 1),
        (1, 4, 144, 5, 2),
        (1, 8, 240, 5, 1),
        (1, 8, 240, 3, 2),
        (2, 16, 480, 3, 1),
        (1, 16, 480, 5, 1),
        (2, 16, 672, 5, 1),
        (1, 16, 672, 5, 2),
        (3, 32, 1152, 5, 1),
        (1, 32, 1152, 3, 1),
    ];
    for (times, part, channels, kernel, stride) in depthwise {
        let one = shape(size / part, channels, channels, kernel, stride, kernel / 2);
        shapes.push((times, ConvShape { groups: channels, ..one }));
    }
    let pool = BufferPool::default();
    let mut totals = [0.0; 3];
    for (times, shape) in shapes {
        let (rows, columns) = shape.outputs();
        let x: Vec<f32> =
            (0..batch * shape.height * shape.width * shape.channels).map(|i| (i % 17) as f32 - 8.0).collect();
        let dy: Vec<f32> = (0..batch * rows * columns * shape.out).map(|i| (i % 13) as f32 - 6.0).collect();
        let kernel: Vec<f32> = (0..shape.weights()).map(|i| (i % 11) as f32 - 5.0).collect();
        let (mut y, mut dx, mut dkernel) = (dy.clone(), x.clone(), kernel.clone());
        let conv = Conv::new(shape);
        let ms = [
            timed(1, steps, || {
                let packed = conv.pack(&kernel, &pool);
                conv.forward(&x, &packed, Epilogue::default(), &mut y, None, &pool);
                packed.recycle(&pool);
            }),
            timed(1, steps, || conv.input_gradient(&dy, &kernel, Begin::Fresh, &mut dx, &pool)),
            timed(1, steps, || conv.kernel_gradient(&x, &dy, &mut dkernel, &pool)),
        ];
        let flops = 2.0 * (batch * rows * columns * shape.weights()) as f64;
        let speed = ms.map(|ms| (flops / ms / 1e6).round());
        println!(
            "{times} x {:3} px {:3} to {:3}, {} px / {}: ms {:6.2} {:6.2} {:6.2}, GFLOP/s {:4} {:4} {:4}",
            shape.height,
            shape.channels,
            shape.out,
            shape.kernel,
            shape.stride,
            ms[0],
            ms[1],
            ms[2],
            speed[0],
            speed[1],
            speed[2]
        );
        totals.iter_mut().zip(ms).for_each(|(total, ms)| *total += f64::from(times) * ms);
    }
    println!("all: ms {:.1} {:.1} {:.1}", totals[0], totals[1], totals[2]);
}
