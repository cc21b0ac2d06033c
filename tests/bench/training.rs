//! Images per second of `ResNet18` with four outputs, and of its convolutions one by one.
//!
//! `cargo bench --bench training -- --size 128 --batch 32 --steps 5 --threads 2 [--infer] [--layers]`
//!
//! A training step is forward, focal loss (gamma 2), backward and Adam (rate 1e-4, weight decay 1e-5) on uniform random
//! pixels, as in the usual `PyTorch` script that it is compared with; the first `--warmup` steps are not counted. Prints one
//! JSON line: median milliseconds a step, images per second, the settings. Quote a ratio of alternating runs, never one run.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::time::Instant;

use candle_core::{Device, Tensor};
use macula::base::Streams;
use macula::data::patches::Label;
use macula::lang::builtin_network;
use macula::learn::kernels::conv::{After, Conv, ConvShape};
use macula::learn::kernels::{Begin, Pool, path};
use macula::learn::loss::Loss;
use macula::learn::network::Network;
use macula::learn::optimizer::{Group, Moments, Optimizer, Rule};

fn argument(name: &str, default: usize) -> usize {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    arguments.nth(1).and_then(|value| value.parse().ok()).unwrap_or(default)
}

fn flag(name: &str) -> bool {
    std::env::args().any(|argument| argument == name)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2] * 1e3
}

/// Milliseconds of processor time that this process used, where the system tells (Linux, in hundredths of a second).
fn processor_ms() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
    Some(10.0 * (fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?))
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
    let (size, batch) = (argument("--size", 128), argument("--batch", 32));
    let (steps, warmup, threads) = (argument("--steps", 5), argument("--warmup", 2), argument("--threads", 2));
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().expect("the first pool of the process");
    if flag("--layers") {
        return layers(size, batch, steps);
    }
    let streams = Streams::new(1, "bench");
    let spec = builtin_network("resnet18").expect("it is built in");
    let mut network = Network::new(&spec, size, 4, &streams).expect("it fits");
    let mut stream = streams.stream("pixels", 0, &[]);
    let pixels: Vec<f32> = (0..batch * size * size * 3).map(|_| stream.uniform() as f32).collect();
    let pixels = Tensor::from_vec(pixels, (batch, size, size, 3), &Device::Cpu).expect("the count fits");
    let label = |present| if present { Label::Present } else { Label::Absent };
    let labels: Vec<Label> = (0..batch * 4).map(|_| label(stream.chance(0.3))).collect();

    let begun = processor_ms();
    let ms = if flag("--infer") {
        timed(warmup, steps, || _ = network.forward(&pixels).expect("it runs"))
    } else {
        let loss = Loss { gamma: 2.0, ..Loss::bce(4) };
        let frozen = vec![false; network.parameters().len()];
        let adam = Rule::Adam(Moments { beta1: 0.9, beta2: 0.999, eps: 1e-8 });
        let all = Group { range: 0..network.flat().len(), rate: 1e-4 };
        let mut optimizer = Optimizer::new(adam, 1e-5, vec![all], network.flat().len());
        timed(warmup, steps, || {
            let logits = network.forward_train(&pixels, &frozen, stream.clone()).expect("it runs");
            let loss = loss.on_tape(&logits, &labels).expect("the shapes fit");
            network.backward(&loss).expect("it runs");
            network.update(|values, gradient| optimizer.step(values, gradient, 1.0));
        })
    };
    // On a machine that others use, too, processor time tells more than the clock.
    let cpu = processor_ms().zip(begun).map(|(end, begun)| ((end - begun) / (steps + warmup) as f64).round());
    let images = batch as f64 / ms * 1e3;
    let line = serde_json::json!({
        "ms": (ms * 100.0).round() / 100.0, "images_per_s": (images * 10.0).round() / 10.0, "cpu_ms": cpu, "macula": path(),
        "size": size, "batch": batch, "steps": steps, "warmup": warmup, "threads": threads, "infer": flag("--infer"),
    });
    println!("{line}");
}

/// Milliseconds and GFLOP/s of each convolution of `ResNet18`: forward, gradient of the input, gradient of the kernel.
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
    let pool = Pool::default();
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
                conv.forward(&x, &packed, After::default(), &mut y, None, &pool);
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
