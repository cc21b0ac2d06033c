//! macula's kernels are used on a GPU only after a self-check, whose verdict is kept: with stand-ins that agree, disagree and refuse.

use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use candle_core::Device;
use macula::engine::gpu::{Direction, Gpu, Kernel, OpenedEngine, Precision};
use macula::lang::network::NetworkSpec;
use macula::learn::placement::{Fallback, KernelContender};
use macula::learn::selfcheck::CheckedUse;
use macula::stage::StageError;

use super::processor::{Dense, Processor};
use crate::kernels::candle::MIXED;
use crate::kernels::formula::described;

/// What is wrong with a stand-in.
type Change = fn(&mut Processor);

/// A GPU that can be opened several times.
struct Card {
    opened: RefCell<usize>,
    /// Convolutions that all of its openings executed.
    convolved: Arc<AtomicUsize>,
    precision: Precision,
    change: Change,
}

impl Card {
    fn new(change: Change) -> Self {
        Self { opened: RefCell::default(), convolved: Arc::default(), precision: Precision::F32, change }
    }

    fn open(&self) -> Result<Box<dyn Gpu>, StageError> {
        *self.opened.borrow_mut() += 1;
        let mut processor = Processor::new(self.precision, Dense::Library)
            .ok_or_else(|| StageError::input("gpu", "there is no compiler for the kernels"))?;
        processor.convolved = Arc::clone(&self.convolved);
        (self.change)(&mut processor);
        Ok(Box::new(processor))
    }

    /// Engine and message for a network, with candle on the CPU in the place of candle on the GPU, or without candle.
    fn settle(
        &self,
        (spec, used_for): (&NetworkSpec, CheckedUse),
        fallback: Fallback,
        memory: Option<&Path>,
    ) -> Result<(&'static str, String), StageError> {
        let open = || self.open();
        let contender = KernelContender {
            description: "Stand-in 9000 with cuDNN 9.1.2, in f32".to_owned(),
            precision: self.precision,
            open: &open,
            candle: (fallback == Fallback::Candle).then_some(Device::Cpu),
            fallback,
        };
        let (engine, message) = contender.settle(spec, used_for, memory)?;
        let engine = match engine {
            OpenedEngine::Kernels => "kernels",
            OpenedEngine::Gpu(_) => "gpu",
            OpenedEngine::Candle(_) => "candle",
        };
        Ok((engine, message))
    }

    /// Openings and convolutions since the last call.
    fn worked(&self) -> (usize, usize) {
        (self.opened.replace(0), self.convolved.swap(0, Ordering::Relaxed))
    }
}

const TRAINED: CheckedUse = CheckedUse::Training([12, 3]);
const EVALUATED: CheckedUse = CheckedUse::Evaluation([12, 3]);

/// Few layers: the stand-in is slow.
fn small() -> NetworkSpec {
    described(
        "network small { conv a out=6 kernel=3 padding=1; batch-norm b; relu; conv c out=6 kernel=3 padding=1 stride=2; batch-norm d; relu; global-avg-pool; linear head }",
    )
}

/// Whether the kernels can be compiled for the processor; otherwise that was said.
fn compiles() -> bool {
    Processor::new(Precision::F32, Dense::Own).is_some()
}

#[test]
fn kernels_that_agree_are_used_and_checked_once_per_gpu_and_network() {
    if !compiles() {
        return;
    }
    let (spec, folder) = (small(), tempfile::tempdir().expect("a folder"));
    let memory = folder.path().join("gpu");
    let card = Card::new(|_| ());
    for (fallback, reference) in [(Fallback::Nothing, "the CPU kernels"), (Fallback::Candle, "candle")] {
        let settle = |used_for| card.settle((&spec, used_for), fallback, Some(&memory)).expect("an engine");
        let begins =
            format!("computing on Stand-in 9000 with cuDNN 9.1.2, in f32; self-check: agrees with {reference} (");
        for used_for in [TRAINED, EVALUATED] {
            let (engine, message) = settle(used_for);
            assert!(engine == "gpu" && message.starts_with(&begins), "{engine}: {message}");
            assert_eq!(message.contains("gradients by "), used_for == TRAINED, "{message}");
            let (opened, convolved) = card.worked();
            assert!(opened == 2 && convolved > 0, "once for the check, once for the work");
            let (engine, message) = settle(used_for);
            assert!(engine == "gpu" && message.ends_with(", checked earlier)"), "{engine}: {message}");
            assert_eq!(card.worked(), (1, 0), "nothing is computed");
        }
        // Another size is another check.
        settle(CheckedUse::Evaluation([16, 3]));
        assert!(card.worked().1 > 0);
    }
    // Another driver or library is another GPU.
    let updated = Card::new(|gpu| gpu.identity = "the processor, updated".to_owned());
    updated.settle((&spec, EVALUATED), Fallback::Nothing, Some(&memory)).expect("an engine");
    assert!(updated.worked().1 > 0);
    // A file that is not whole does not count.
    for file in std::fs::read_dir(&memory).expect("the folder") {
        let path = file.expect("a file").path();
        let text = std::fs::read_to_string(&path).expect("text");
        std::fs::write(&path, text.replace("agreement", "agreemend")).expect("written");
    }
    let (_, message) = card.settle((&spec, EVALUATED), Fallback::Nothing, Some(&memory)).expect("an engine");
    assert!(card.worked().1 > 0 && !message.contains("earlier"), "{message}");
    // Without a folder, every time.
    for _ in 0..2 {
        card.settle((&spec, EVALUATED), Fallback::Nothing, None).expect("an engine");
        assert!(card.worked().1 > 0);
    }
}

#[test]
fn kernels_that_disagree_are_not_used_and_that_is_kept_too() {
    if !compiles() {
        return;
    }
    let (spec, folder) = (small(), tempfile::tempdir().expect("a folder"));
    let cases: [(Change, &str); 3] = [
        (
            |gpu| (gpu.wrong, gpu.identity) = (Some((Direction::Forward, 1.5)), "forward".to_owned()),
            "outputs differ by ",
        ),
        (|gpu| (gpu.wrong, gpu.identity) = (Some((Direction::Kernel, 2.0)), "gradient".to_owned()), "gradients of `"),
        (|gpu| (gpu.idle, gpu.identity) = (Some(Kernel::Adam), "step".to_owned()), "steps differ by "),
    ];
    for (change, why) in cases {
        let card = Card::new(change);
        for again in [false, true] {
            let settle = |fallback| card.settle((&spec, TRAINED), fallback, Some(folder.path()));
            let (engine, message) = settle(Fallback::Candle).expect("candle");
            let text = format!(
                "computing in candle on the GPU, not on Stand-in 9000 with cuDNN 9.1.2, in f32: macula's kernels disagree with candle: {why}"
            );
            assert!(engine == "candle" && message.starts_with(&text), "{engine}: {message}");
            assert_eq!(card.worked().1 == 0, again, "the verdict is kept");
            let (engine, message) = settle(Fallback::Cpu).expect("the CPU");
            let text = format!("macula's kernels disagree with the CPU kernels: {why}");
            assert!(engine == "kernels" && message.contains(&text), "{engine}: {message}");
            let error = settle(Fallback::Nothing).expect_err("nothing else");
            assert!(error.has_code("gpu-check") && error.to_string().contains(&text), "{error}");
            card.worked();
        }
    }
    // What is wrong in training alone does not matter elsewhere.
    let card = Card::new(cases[1].0);
    let (engine, _) = card.settle((&spec, EVALUATED), Fallback::Nothing, Some(folder.path())).expect("an engine");
    assert_eq!(engine, "gpu");
}

#[test]
fn kernels_that_refuse_are_not_used_and_asked_again_next_time() {
    if !compiles() {
        return;
    }
    let (spec, folder) = (small(), tempfile::tempdir().expect("a folder"));
    let settle =
        |card: &Card, spec: &NetworkSpec, fallback| card.settle((spec, TRAINED), fallback, Some(folder.path()));
    let cases: [(Card, NetworkSpec, &str, &str); 3] = [
        (Card::new(|gpu| gpu.fails = Some((Direction::Image, "gpu"))), spec.clone(), "gpu", "no image gradient"),
        (Card::new(|gpu| gpu.room = 100), spec.clone(), "gpu-memory", "GiB are free"),
        (Card::new(|_| ()), described(MIXED), "no-gpu", "has a layer that macula's GPU kernels do not compute"),
    ];
    for (card, spec, code, why) in cases {
        for _ in 0..2 {
            let (engine, message) = settle(&card, &spec, Fallback::Candle).expect("candle");
            assert!(engine == "candle" && message.contains(why), "{engine}: {message}");
            let (engine, _) = settle(&card, &spec, Fallback::Cpu).expect("the CPU");
            assert_eq!(engine, "kernels");
            let error = settle(&card, &spec, Fallback::Nothing).expect_err("nothing else");
            assert!(error.has_code(code) && error.to_string().contains(why), "{error}");
        }
    }
    assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 0, "a refusal may pass");
}

#[test]
fn encoders_and_lower_precisions_are_checked_too() {
    if !compiles() {
        return;
    }
    // Up to the last rectifier, as `to=` cuts a network at a tap.
    let mut encoder = small();
    encoder.layers.truncate(6);
    let settle = |card: &Card, of| card.settle(of, Fallback::Nothing, None);
    let (engine, message) = settle(&Card::new(|_| ()), (&encoder, CheckedUse::Encoding(32))).expect("an engine");
    assert!(engine == "gpu" && message.contains("(outputs differ by "), "{message}");
    let wrong = Card::new(|gpu| gpu.wrong = Some((Direction::Forward, 1.01)));
    assert!(settle(&wrong, (&encoder, CheckedUse::Encoding(32))).expect_err("wrong").has_code("gpu-check"));
    let small = small();
    for precision in [Precision::Tf32, Precision::Bf16] {
        let card = Card { precision, ..Card::new(|_| ()) };
        assert_eq!(settle(&card, (&small, TRAINED)).expect("an engine").0, "gpu");
        let wrong = Card { precision, ..Card::new(|gpu| gpu.wrong = Some((Direction::Kernel, 0.0))) };
        assert!(settle(&wrong, (&small, TRAINED)).expect_err("no gradient").has_code("gpu-check"));
    }
}
