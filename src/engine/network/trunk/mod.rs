//! Network on a GPU: its device memory, a schedule for each kind of batch, and copies between device and host. Knows no driver and no
//! loss.
//!
//! All passes share one block of memory, in which nothing outlives a pass. Nothing is allocated after the first pass of the largest kind
//! of batch.

mod backward;
pub(super) mod lower;
pub(super) mod schedule;
mod views;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::input::Arrival;
use super::ops::{ConvolutionBy, LibraryConvolution, LibraryUse};
use super::program::{Extent, Program, Step};
use super::train;
use crate::base::random::Stream;
use crate::engine::gpu::{Direction, Gpu, Kernel, KernelArguments, SlowConvolution};
use crate::engine::optimizer::{Ahead, Optimizer, Update};
use crate::engine::views::Views;
use crate::stage::StageError;
use lower::{CardParameters, LoweredPass, PassSettings, Purpose, lower};
use schedule::{BoundCall, HostSide, Transfer, bytes, read};

/// Values of a network on the host.
pub(super) struct HostParameters<'a> {
    pub(super) flat: &'a [f32],
    pub(super) running: &'a [f32],
}

/// Where the newest values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Newest {
    /// Only on the host.
    Host,
    /// Only on the GPU.
    Card,
    /// On both.
    Both,
}

/// Key of the batches that share a schedule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct BatchKey {
    purpose: Purpose,
    images: usize,
    height: usize,
    width: usize,
    arrival: Arrival,
    frozen: Vec<bool>,
}

/// Schedule, possibly bound to the address of the block.
struct BatchPlan {
    lowered: LoweredPass,
    bound: Vec<BoundCall>,
}

/// Network on a GPU.
pub(super) struct Trunk {
    gpu: Box<dyn Gpu>,
    numbers: Option<CardParameters>,
    newest: Newest,
    /// Addresses of the moments of the optimizer, once they were sent.
    moments: Option<[Option<u64>; 2]>,
    newest_moments: Newest,
    /// Block of memory for passes: address and size, bytes.
    block: (u64, u64),
    plans: BTreeMap<BatchKey, BatchPlan>,
    /// Planned convolutions that failed when they were executed for the first time: id and direction.
    failed: BTreeSet<(usize, Direction)>,
    /// Convolutions that the library should compute and does not.
    slow: BTreeSet<SlowConvolution>,
    /// Batch whose backward pass is due.
    due: Option<BatchKey>,
}

/// Data that a pass exchanges with the host.
struct Exchange<'a> {
    arriving: Arriving<'a>,
    gradient: &'a [f32],
    /// Program, for the rates of its dropout steps.
    program: &'a Program,
    dropout: Option<Stream>,
    logits: Vec<f32>,
}

impl HostSide for Exchange<'_> {
    fn give(&mut self, passed: Transfer, length: usize) -> Cow<'_, [u8]> {
        match (passed, self.arriving) {
            (Transfer::Pixels, Arriving::Floats(floats)) => bytes(floats),
            (Transfer::Stored, Arriving::Stored(views)) => (&views.bytes).into(),
            (Transfer::Changes, Arriving::Stored(views)) => {
                views.table().iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>().into()
            }
            (Transfer::Weights, Arriving::Stored(views)) => bytes(&views.weights()).into_owned().into(),
            (Transfer::Gradient, _) => bytes(self.gradient),
            (Transfer::Mask(at), _) => {
                let count = length / 4;
                let kernels = self.program.steps[at].op.launches();
                let mask = self.dropout.as_mut().and_then(|stream| kernels.mask(count, stream));
                let mask = mask.unwrap_or_else(|| vec![1.0; count]);
                bytes(&mask).into_owned().into()
            }
            // A schedule for another form of arrival: the missing bytes are reported by the caller.
            (Transfer::Pixels | Transfer::Stored | Transfer::Changes | Transfer::Weights | Transfer::Logits, _) => {
                (&[]).into()
            }
        }
    }

    fn take(&mut self, passed: Transfer, floats: Vec<f32>) {
        if passed == Transfer::Logits {
            self.logits = floats;
        }
    }
}

/// Pixels of a batch on their way to the GPU.
#[derive(Clone, Copy)]
pub(super) enum Arriving<'a> {
    /// Normalised, N x H x W x 3; empty in a backward pass.
    Floats(&'a [f32]),
    /// Stored patches.
    Stored(&'a Views),
}

/// Batch and the extents of the values.
#[derive(Clone, Copy)]
pub(super) struct ArrivingBatch<'a> {
    pub(super) images: usize,
    pub(super) arriving: Arriving<'a>,
    pub(super) extents: &'a [Extent],
}

impl<'a> ArrivingBatch<'a> {
    fn shape(&self) -> BatchShape<'a> {
        let arrival = match self.arriving {
            Arriving::Floats(_) => Arrival::Pixels,
            Arriving::Stored(views) => Arrival::Stored(views.stored),
        };
        BatchShape { images: self.images, arrival, extents: self.extents }
    }
}

/// Shape of a batch that a schedule is built for.
#[derive(Clone, Copy)]
pub(super) struct BatchShape<'a> {
    pub(super) images: usize,
    pub(super) arrival: Arrival,
    pub(super) extents: &'a [Extent],
}

impl Trunk {
    pub(super) fn new(gpu: Box<dyn Gpu>) -> Self {
        Self {
            gpu,
            numbers: None,
            newest: Newest::Host,
            moments: None,
            newest_moments: Newest::Host,
            block: (0, 0),
            plans: BTreeMap::new(),
            failed: BTreeSet::new(),
            slow: BTreeSet::new(),
            due: None,
        }
    }

    /// Allocated device memory, bytes.
    pub(super) fn bytes(&self, program: &Program) -> u64 {
        let vectors =
            if self.numbers.is_some() { 2 } else { 0 } + self.moments.iter().flatten().flatten().count() as u64;
        self.block.1 + 4 * vectors * program.floats() as u64
    }

    /// Convolutions that slow kernels compute.
    pub(super) fn slow(&self) -> Vec<SlowConvolution> {
        self.slow.iter().copied().collect()
    }

    /// Target of the GPU.
    pub(super) fn target(&self) -> String {
        self.gpu.target()
    }

    /// Notes that the values on the host have changed, so that those on the GPU are outdated.
    pub(super) fn host_changed(&mut self) {
        self.newest = Newest::Host;
        self.newest_moments = Newest::Host;
        self.due = None;
    }

    /// Logits of a forward pass in training mode, which updates the running statistics on the GPU.
    pub(super) fn forward_train(
        &mut self,
        program: &Program,
        numbers: &HostParameters,
        batch: ArrivingBatch,
        frozen: &[bool],
        dropout: Stream,
    ) -> Result<Vec<f32>, StageError> {
        self.send(numbers)?;
        let kind = self.plan(program, batch.shape(), frozen, Purpose::Training)?;
        let arriving = batch.arriving;
        let mut exchange = Exchange { arriving, gradient: &[], program, dropout: Some(dropout), logits: Vec::new() };
        let plan = &self.plans[&kind];
        for call in &plan.bound[..plan.lowered.forward] {
            call.execute(&mut *self.gpu, &mut exchange)?;
        }
        self.due = Some(kind);
        self.newest = Newest::Card;
        Ok(exchange.logits)
    }

    /// Backward pass of the last forward pass; leaves the gradient of the parameters on the GPU.
    pub(super) fn backward(&mut self, program: &Program, gradient: &[f32]) -> Result<(), StageError> {
        let Some(kind) = self.due.take() else {
            return Err(StageError::Bug("a backward pass without a forward pass".to_owned()));
        };
        let arriving = Arriving::Floats(&[]);
        let mut exchange = Exchange { arriving, gradient, program, dropout: None, logits: Vec::new() };
        let plan = &self.plans[&kind];
        plan.bound[plan.lowered.forward..].iter().try_for_each(|call| call.execute(&mut *self.gpu, &mut exchange))
    }

    /// Logits in evaluation mode.
    pub(super) fn forward(
        &mut self,
        program: &Program,
        numbers: &HostParameters,
        batch: ArrivingBatch,
    ) -> Result<Vec<f32>, StageError> {
        self.send(numbers)?;
        // This pass overwrites the block.
        self.due = None;
        let kind = self.plan(program, batch.shape(), &vec![true; program.parameters.len()], Purpose::Evaluation)?;
        let mut exchange =
            Exchange { arriving: batch.arriving, gradient: &[], program, dropout: None, logits: Vec::new() };
        for call in &self.plans[&kind].bound {
            call.execute(&mut *self.gpu, &mut exchange)?;
        }
        Ok(exchange.logits)
    }

    /// Runs a step of the optimizer on the GPU.
    pub(super) fn step(&mut self, program: &Program, optimizer: &mut Optimizer, factor: f64) -> Result<(), StageError> {
        let Some(numbers) = self.numbers else {
            return Err(StageError::Bug("a step before a forward pass".to_owned()));
        };
        let [first, second] = self.send_moments(program, optimizer)?;
        for (range, update) in optimizer.updates(factor) {
            let at = |base: u64| base + 4 * range.start as u64;
            let mut arguments = KernelArguments::default();
            arguments.p[..2].copy_from_slice(&[at(numbers.flat), at(numbers.gradient)]);
            arguments.n[0] = range.len() as i32;
            let kernel = match (update, first, second) {
                (Update::Adam(a), Some(first), Some(second)) => {
                    arguments.p[2..4].copy_from_slice(&[at(first), at(second)]);
                    arguments.f[..9]
                        .copy_from_slice(&[a.beta1, a.rest1, a.beta2, a.rest2, a.eps, a.size, a.root, a.shrink, a.l2]);
                    Kernel::Adam
                }
                (Update::Momentum(s) | Update::Plain(s), first, _) => {
                    arguments.p[2] = first.map_or(0, at);
                    arguments.n[1] = i32::from(s.ahead == Ahead::Nesterov);
                    arguments.f[..3].copy_from_slice(&[s.rate, s.decay, s.momentum]);
                    Kernel::Sgd
                }
                (Update::Adam(_), ..) => return Err(StageError::Bug("Adam without moments".to_owned())),
            };
            self.gpu.launch(kernel, range.len(), &arguments)?;
        }
        (self.newest, self.newest_moments) = (Newest::Card, Newest::Card);
        Ok(())
    }

    /// Copies the newest values to the host: parameters, running statistics, gradient, and the moments of the optimizer.
    pub(super) fn fetch(
        &mut self,
        flat: &mut [f32],
        running: &mut [f32],
        gradient: &mut [f32],
        optimizer: Option<&mut Optimizer>,
    ) -> Result<(), StageError> {
        if let (Some(numbers), Newest::Card) = (self.numbers, self.newest) {
            for (own, address) in [(flat, numbers.flat), (running, numbers.running), (gradient, numbers.gradient)] {
                let floats = read(&mut *self.gpu, address, own.len())?;
                own.copy_from_slice(&floats);
            }
            // Between forward and backward pass, the gradient is still to come.
            self.newest = if self.due.is_some() { Newest::Card } else { Newest::Both };
        }
        if let (Some(optimizer), Some(moments), Newest::Card) = (optimizer, self.moments, self.newest_moments) {
            self.newest_moments = Newest::Both;
            for (own, address) in [&mut optimizer.first, &mut optimizer.second].into_iter().zip(moments) {
                if let Some(address) = address.filter(|_| !own.is_empty()) {
                    *own = read(&mut *self.gpu, address, own.len())?;
                }
            }
        }
        Ok(())
    }

    /// Sends parameters and running statistics if the host has newer ones.
    fn send(&mut self, numbers: &HostParameters) -> Result<(), StageError> {
        if self.newest != Newest::Host {
            return Ok(());
        }
        let there = if let Some(there) = self.numbers {
            there
        } else {
            let bytes = 4 * numbers.flat.len() as u64;
            let flat = self.gpu.allocate(bytes)?;
            let gradient = self.gpu.allocate(bytes)?;
            self.gpu.clear(gradient, bytes)?;
            let running = self.gpu.allocate((4 * numbers.running.len() as u64).max(4))?;
            *self.numbers.insert(CardParameters { flat, gradient, running })
        };
        self.gpu.write(there.flat, &bytes(numbers.flat))?;
        self.gpu.write(there.running, &bytes(numbers.running))?;
        self.newest = Newest::Both;
        Ok(())
    }

    /// Sends the moments if the host has newer ones; returns their addresses.
    fn send_moments(&mut self, program: &Program, optimizer: &Optimizer) -> Result<[Option<u64>; 2], StageError> {
        let own = [&optimizer.first, &optimizer.second];
        if own.iter().any(|own| !own.is_empty() && own.len() != program.floats()) {
            return Err(StageError::Bug("moments of another network".to_owned()));
        }
        let moments = if let Some(moments) = self.moments {
            moments
        } else {
            let mut moments = [None; 2];
            for (at, _) in moments.iter_mut().zip(own).filter(|(_, own)| !own.is_empty()) {
                *at = Some(self.gpu.allocate(4 * program.floats() as u64)?);
            }
            *self.moments.insert(moments)
        };
        if self.newest_moments == Newest::Host {
            for (address, own) in moments.iter().zip(own) {
                if let Some(address) = address.filter(|_| !own.is_empty()) {
                    self.gpu.write(address, &bytes(own))?;
                }
            }
            self.newest_moments = Newest::Both;
        }
        Ok(moments)
    }

    /// Allocates everything that training on such batches needs.
    pub(super) fn prepare(
        &mut self,
        program: &Program,
        numbers: &HostParameters,
        shape: BatchShape,
        frozen: &[bool],
        optimizer: &Optimizer,
    ) -> Result<(), StageError> {
        self.send(numbers)?;
        self.send_moments(program, optimizer)?;
        self.plan(program, shape, frozen, Purpose::Training).map(|_| ())
    }

    /// Builds the schedule of a kind of batch if it is missing, grows the block to the size that it needs, and executes each of its
    /// convolutions once, so that the library loads what it needs now and not during a step. Those that fail are computed by macula's own
    /// kernels.
    fn plan(
        &mut self,
        program: &Program,
        shape: BatchShape,
        frozen: &[bool],
        purpose: Purpose,
    ) -> Result<BatchKey, StageError> {
        let BatchShape { images, arrival, extents } = shape;
        let Extent { height, width, .. } = extents[0];
        let kind = BatchKey { purpose, images, height, width, arrival, frozen: frozen.to_vec() };
        if self.plans.contains_key(&kind) {
            return Ok(kind);
        }
        let numbers = self.numbers.unwrap_or_default();
        loop {
            let lowered = self.lowered(program, extents, &kind, numbers)?;
            self.bind(&kind, lowered)?;
            match self.rehearse(&kind) {
                Ok(None) => return Ok(kind),
                Ok(Some(failed)) => {
                    self.failed.insert(failed);
                    self.plans.remove(&kind);
                }
                Err(error) => {
                    self.plans.remove(&kind);
                    return Err(error);
                }
            }
        }
    }

    /// Executes each planned convolution of a schedule once, on whatever is in the block: no pass is under way. Returns one that the
    /// library rejects.
    fn rehearse(&mut self, kind: &BatchKey) -> Result<Option<(usize, Direction)>, StageError> {
        let mut executed = BTreeSet::new();
        for call in self.plans[kind].bound.iter().filter_map(BoundCall::convolves) {
            if !executed.insert((call.id, call.direction)) {
                continue;
            }
            match self.gpu.convolve(&call) {
                Err(error) if error.has_code("gpu-convolution") => return Ok(Some((call.id, call.direction))),
                done => done?,
            }
        }
        if !executed.is_empty() {
            // Waits, so that a convolution that fails while it runs is noticed here.
            self.gpu.read(self.block.0, &mut [0])?;
        }
        Ok(None)
    }

    /// Grows the block to the size that a schedule needs, and gives the buffers of all schedules their addresses.
    fn bind(&mut self, kind: &BatchKey, lowered: LoweredPass) -> Result<(), StageError> {
        let bytes = lowered.placed.bytes;
        self.plans.insert(kind.clone(), BatchPlan { lowered, bound: Vec::new() });
        if bytes > self.block.1 {
            if self.block.1 > 0 {
                self.gpu.free(self.block.0)?;
                self.block = (0, 0);
            }
            let room = self.gpu.room()?;
            if bytes > room {
                self.plans.remove(kind);
                return Err(too_large(kind, bytes, room));
            }
            self.block = (self.gpu.allocate(bytes)?, bytes);
            for plan in self.plans.values_mut() {
                plan.bound = plan.lowered.placed.bind(self.block.0);
            }
        } else if let Some(plan) = self.plans.get_mut(kind) {
            plan.bound = plan.lowered.placed.bind(self.block.0);
        }
        Ok(())
    }

    fn lowered(
        &mut self,
        program: &Program,
        extents: &[Extent],
        kind: &BatchKey,
        numbers: CardParameters,
    ) -> Result<LoweredPass, StageError> {
        if let Some(&shared) = program.shared.iter().find(|&&shared| !kind.frozen[shared]) {
            let name = &program.parameters[shared].name;
            let text = format!("branches share tensor `{name}`, which the GPU kernels can use but not train");
            return Err(StageError::input("gpu-shared", text)
                .hint("set `device cpu` or `device candle`")
                .field("device"));
        }
        // Elements are counted in 31 bits.
        let most = extents.iter().map(|extent| extent.len().max(extent.height * extent.width * 16)).max().unwrap_or(1);
        let most = match kind.arrival {
            Arrival::Stored(stored) => most.max(stored.side * stored.side * 3),
            Arrival::Pixels => most,
        };
        if kind.images * most > i32::MAX as usize {
            let text = format!(
                "a batch of {} patches of {} x {} px has more than 2^31 values in one layer",
                kind.images, kind.width, kind.height
            );
            return Err(StageError::input("gpu-memory", text).hint("use a smaller `batch`").field("batch"));
        }
        let wanted = match kind.purpose {
            Purpose::Training => train::wanted(program, &kind.frozen),
            Purpose::Evaluation => vec![false; program.uses.len()],
        };
        let libraries = self.libraries(program, extents, kind, &wanted)?;
        Ok(lower(PassSettings {
            program,
            extents,
            images: kind.images,
            arrival: kind.arrival,
            precision: self.gpu.precision(),
            purpose: kind.purpose,
            frozen: &kind.frozen,
            wanted: &wanted,
            numbers,
            libraries: &libraries,
        }))
    }

    /// Convolutions that the vendor library computes, by step.
    fn libraries(
        &mut self,
        program: &Program,
        extents: &[Extent],
        kind: &BatchKey,
        wanted: &[bool],
    ) -> Result<Vec<Option<LibraryConvolution>>, StageError> {
        let mut library = |step: &Step| {
            let Some(conv) = step.op.conv() else { return Ok(None) };
            let need = LibraryUse {
                images: kind.images,
                pixels: step.input == 0,
                kernel: kind.purpose == Purpose::Training && !kind.frozen[conv.weight],
                image: wanted[step.input],
            };
            Ok(match conv.plan(&mut *self.gpu, extents[step.input], need, &self.failed)? {
                ConvolutionBy::Library(library) => Some(library),
                ConvolutionBy::Own => None,
                ConvolutionBy::Slow(slow) => {
                    self.slow.insert(slow);
                    None
                }
            })
        };
        program.steps.iter().map(&mut library).collect()
    }
}

fn too_large(kind: &BatchKey, bytes: u64, room: u64) -> StageError {
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    let text = format!(
        "a batch of {} patches of {} x {} px needs {:.1} GiB on the GPU, but only {:.1} GiB are free",
        kind.images,
        kind.width,
        kind.height,
        gib(bytes),
        gib(room)
    );
    StageError::input("gpu-memory", text).hint("use a smaller `batch`, or set `device cpu`").field("batch")
}
