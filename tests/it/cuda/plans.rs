//! Convolutions planned in a vendor library: each is executed once while a batch is prepared, and what the library lacks or rejects is
//! computed by macula's own kernels and reported.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use macula::base::Streams;
use macula::engine::gpu::{Direction, Precision, SlowConvolution, SlowReason};
use macula::engine::network::{Arrival, Network};
use macula::engine::optimizer::{AdamConstants, Optimizer, ParameterGroup, UpdateRule};

use super::processor::{Dense, Processor};
use super::trunk::{apart, floats, pixels};
use crate::kernels::formula::described;

/// Three dense convolutions, two of which have an image gradient, and two of the same shape.
const PLAIN: &str = r"network plain {
    conv a out=6 kernel=3 padding=1
    conv b out=6 kernel=3 padding=1
    conv c out=6 kernel=3 padding=1
    global-avg-pool
    linear head
}";

fn network() -> Network {
    Network::new(&described(PLAIN), 9, 4, &Streams::new(7, "test")).unwrap()
}

/// Prepares training on batches of 3; returns the network.
fn prepared(processor: Processor) -> Result<Network, macula::stage::StageError> {
    let mut card = network().on(Box::new(processor));
    let floats = card.flat().len();
    let rule = UpdateRule::Adam(AdamConstants { beta1: 0.9, beta2: 0.999, eps: 1e-8 });
    let optimizer = Optimizer::new(rule, 0.0, vec![ParameterGroup { range: 0..floats, rate: 1e-3 }], floats);
    card.prepare(3, Arrival::Pixels, &vec![false; card.parameters().len()], &optimizer)?;
    Ok(card)
}

/// Logits and gradient of a training pass.
fn pass(network: &mut Network) -> [Vec<f32>; 2] {
    let frozen = vec![false; network.parameters().len()];
    let dropout = Streams::new(7, "test").stream("dropout", 0, &[]);
    let logits = network.forward_train(&pixels(3, 9), &frozen, dropout).unwrap();
    network.backward(&logits.sqr().unwrap().sum_all().unwrap()).unwrap();
    network.fetch(None).unwrap();
    [floats(&logits), network.gradient().to_vec()]
}

fn agrees(card: &mut Network) {
    for (found, wanted) in pass(card).iter().zip(&pass(&mut network())) {
        assert!(apart(found, wanted) <= 2e-5, "{} apart", apart(found, wanted));
    }
}

#[test]
fn each_plan_is_executed_once_while_a_batch_is_prepared() {
    let Some(processor) = Processor::new(Precision::F32, Dense::Library) else { return };
    let convolved = Arc::clone(&processor.convolved);
    let mut card = prepared(processor).unwrap();
    // Of `a`, forward and the kernel's gradient; of `b` and `c`, which share a plan, all three directions.
    assert_eq!(convolved.swap(0, Ordering::Relaxed), 5);
    agrees(&mut card);
    assert_eq!(convolved.swap(0, Ordering::Relaxed), 8, "a step executes each convolution");
    assert!(card.slow_convolutions().is_empty());
}

#[test]
fn convolutions_that_the_library_lacks_or_rejects_are_computed_by_slow_kernels_and_reported() {
    type Change = fn(&mut Processor);
    let cases: [(Change, Direction, SlowReason, usize); 4] = [
        (|gpu| gpu.lacks = vec![Direction::Image], Direction::Image, SlowReason::Lacking, 1),
        (|gpu| gpu.lacks = vec![Direction::Forward], Direction::Forward, SlowReason::Lacking, 2),
        (|gpu| gpu.fails = Some((Direction::Image, "gpu-convolution")), Direction::Image, SlowReason::Failed, 1),
        (|gpu| gpu.fails = Some((Direction::Kernel, "gpu-convolution")), Direction::Kernel, SlowReason::Failed, 2),
    ];
    for (change, direction, reason, count) in cases {
        let Some(mut processor) = Processor::new(Precision::F32, Dense::Library) else { return };
        change(&mut processor);
        let mut card = prepared(processor).unwrap();
        agrees(&mut card);
        let slow = card.slow_convolutions();
        let all = slow.iter().all(|slow| (slow.direction, slow.reason, slow.images) == (direction, reason, 3));
        assert!(all && slow.len() == count, "{direction:?}, {reason:?}: {slow:?}");
        let SlowConvolution { shape, .. } = slow.last().expect("one");
        assert_eq!((shape.height, shape.kernel, shape.out), (9, 3, 6));
    }
}

#[test]
fn a_convolution_that_breaks_the_gpu_or_lacks_memory_is_an_error_while_a_batch_is_prepared() {
    for code in ["gpu", "gpu-memory"] {
        let Some(mut processor) = Processor::new(Precision::F32, Dense::Library) else { return };
        processor.fails = Some((Direction::Kernel, code));
        let Err(error) = prepared(processor) else { panic!("`{code}` passed") };
        assert!(error.has_code(code), "{error}");
    }
}
