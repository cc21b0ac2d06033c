//! A network on a card: its numbers there, a schedule for each kind of batch, and the copies between card and host. Knows no driver
//! and no loss.
//!
//! All memory that passes use is one block, which the kinds of batches share: nothing in it outlives a pass. Nothing is allocated
//! after the first pass of the largest kind.

mod backward;
mod lower;
mod schedule;
mod views;

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::input::Arrival;
use super::program::{Extent, Op, Program};
use super::train;
use crate::base::random::Stream;
use crate::learn::gpu::{Arguments, Direction, Gpu, Kernel};
use crate::learn::kernels::conv::ConvShape;
use crate::learn::optimizer::{Ahead, Optimizer, Update};
use crate::learn::views::Views;
use crate::stage::StageError;
use lower::{Library, Lowered, Numbered, Purpose, Setting, lower};
use schedule::{Bound, Host, Passed, bytes, read};

/// The numbers of a network on the host.
pub(super) struct Numbers<'a> {
    pub(super) flat: &'a [f32],
    pub(super) running: &'a [f32],
}

/// Where the newest numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Newest {
    /// On the host alone.
    Host,
    /// On the card alone.
    Card,
    /// On both.
    Both,
}

/// Batches that one schedule serves.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    purpose: Purpose,
    images: usize,
    height: usize,
    width: usize,
    arrival: Arrival,
    frozen: Vec<bool>,
}

/// A schedule, bound to the block's address or not yet.
struct Plan {
    lowered: Lowered,
    bound: Vec<Bound>,
}

/// A network on a card.
pub(super) struct Trunk {
    gpu: Box<dyn Gpu>,
    numbers: Option<Numbered>,
    newest: Newest,
    /// Where the optimizer's moments lie, once there were any.
    moments: Option<[Option<u64>; 2]>,
    newest_moments: Newest,
    /// The block that passes work in: address and bytes.
    block: (u64, u64),
    plans: BTreeMap<Kind, Plan>,
    /// The kind of the pass whose way back is due.
    due: Option<Kind>,
}

/// What a pass is given by the host and gives it.
struct Exchange<'a> {
    arriving: Arriving<'a>,
    gradient: &'a [f32],
    /// Shares by the place of their dropout.
    program: &'a Program,
    dropout: Option<Stream>,
    logits: Vec<f32>,
}

impl Host for Exchange<'_> {
    fn give(&mut self, passed: Passed, length: usize) -> Cow<'_, [u8]> {
        match (passed, self.arriving) {
            (Passed::Pixels, Arriving::Floats(floats)) => bytes(floats),
            (Passed::Stored, Arriving::Stored(views)) => (&views.bytes).into(),
            (Passed::Changes, Arriving::Stored(views)) => {
                views.table().iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>().into()
            }
            (Passed::Weights, Arriving::Stored(views)) => bytes(&views.weights()).into_owned().into(),
            (Passed::Gradient, _) => bytes(self.gradient),
            (Passed::Mask(at), _) => {
                let count = length / 4;
                let mask = match (&self.program.steps[at].op, &mut self.dropout) {
                    (Op::Dropout { share }, Some(stream)) => train::dropout_mask(*share, count, stream),
                    _ => vec![1.0; count],
                };
                bytes(&mask).into_owned().into()
            }
            // A schedule of another arrival: what it lacks is told where it is given.
            (Passed::Pixels | Passed::Stored | Passed::Changes | Passed::Weights | Passed::Logits, _) => (&[]).into(),
        }
    }

    fn take(&mut self, passed: Passed, floats: Vec<f32>) {
        if passed == Passed::Logits {
            self.logits = floats;
        }
    }
}

/// The pixels of a batch on their way.
#[derive(Clone, Copy)]
pub(super) enum Arriving<'a> {
    /// Normalised, N x H x W x 3; none on a way back.
    Floats(&'a [f32]),
    /// As they are stored.
    Stored(&'a Views),
}

/// A batch and the extents of the values.
#[derive(Clone, Copy)]
pub(super) struct Batch<'a> {
    pub(super) images: usize,
    pub(super) arriving: Arriving<'a>,
    pub(super) extents: &'a [Extent],
}

impl<'a> Batch<'a> {
    fn shape(&self) -> Shape<'a> {
        let arrival = match self.arriving {
            Arriving::Floats(_) => Arrival::Pixels,
            Arriving::Stored(views) => Arrival::Stored(views.stored),
        };
        Shape { images: self.images, arrival, extents: self.extents }
    }
}

/// What a schedule is made for.
#[derive(Clone, Copy)]
pub(super) struct Shape<'a> {
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
            due: None,
        }
    }

    /// Bytes allocated on the card.
    pub(super) fn bytes(&self, program: &Program) -> u64 {
        let vectors =
            if self.numbers.is_some() { 2 } else { 0 } + self.moments.iter().flatten().flatten().count() as u64;
        self.block.1 + 4 * vectors * program.floats() as u64
    }

    /// The card's class.
    pub(super) fn class(&self) -> String {
        self.gpu.class()
    }

    /// The numbers on the host were changed: those on the card hold no longer.
    pub(super) fn host_changed(&mut self) {
        self.newest = Newest::Host;
        self.newest_moments = Newest::Host;
        self.due = None;
    }

    /// The logits of a forward pass in training mode. The running statistics on the card move.
    pub(super) fn forward_train(
        &mut self,
        program: &Program,
        numbers: &Numbers,
        batch: Batch,
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

    /// The way back of the last pass, which leaves the gradient of the parameters on the card.
    pub(super) fn backward(&mut self, program: &Program, gradient: &[f32]) -> Result<(), StageError> {
        let Some(kind) = self.due.take() else {
            return Err(StageError::Bug("a way back without a way forward".to_owned()));
        };
        let arriving = Arriving::Floats(&[]);
        let mut exchange = Exchange { arriving, gradient, program, dropout: None, logits: Vec::new() };
        let plan = &self.plans[&kind];
        plan.bound[plan.lowered.forward..].iter().try_for_each(|call| call.execute(&mut *self.gpu, &mut exchange))
    }

    /// The logits in evaluation mode.
    pub(super) fn forward(
        &mut self,
        program: &Program,
        numbers: &Numbers,
        batch: Batch,
    ) -> Result<Vec<f32>, StageError> {
        self.send(numbers)?;
        // The block is this pass's now.
        self.due = None;
        let kind = self.plan(program, batch.shape(), &vec![true; program.parameters.len()], Purpose::Evaluation)?;
        let mut exchange =
            Exchange { arriving: batch.arriving, gradient: &[], program, dropout: None, logits: Vec::new() };
        for call in &self.plans[&kind].bound {
            call.execute(&mut *self.gpu, &mut exchange)?;
        }
        Ok(exchange.logits)
    }

    /// A step of the optimizer on the card.
    pub(super) fn step(&mut self, program: &Program, optimizer: &mut Optimizer, factor: f64) -> Result<(), StageError> {
        let Some(numbers) = self.numbers else {
            return Err(StageError::Bug("a step before a way forward".to_owned()));
        };
        let [first, second] = self.send_moments(program, optimizer)?;
        for (range, update) in optimizer.updates(factor) {
            let at = |base: u64| base + 4 * range.start as u64;
            let mut arguments = Arguments::default();
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

    /// Copies the newest numbers to the host: parameters, running statistics, gradient, and the optimizer's moments.
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
            // Between the ways forward and back the gradient is still to come.
            self.newest = if self.due.is_some() { Newest::Card } else { Newest::Both };
        }
        if let (Some(optimizer), Some(moments), Newest::Card) = (optimizer, self.moments, self.newest_moments) {
            self.newest_moments = Newest::Both;
            for (own, address) in [&mut optimizer.first, &mut optimizer.second].into_iter().zip(moments) {
                if let Some(address) = address {
                    *own = read(&mut *self.gpu, address, own.len())?;
                }
            }
        }
        Ok(())
    }

    /// Sends parameters and running statistics where the host has newer ones.
    fn send(&mut self, numbers: &Numbers) -> Result<(), StageError> {
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
            *self.numbers.insert(Numbered { flat, gradient, running })
        };
        self.gpu.write(there.flat, &bytes(numbers.flat))?;
        self.gpu.write(there.running, &bytes(numbers.running))?;
        self.newest = Newest::Both;
        Ok(())
    }

    /// Sends the moments where the host has newer ones; where they lie.
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
                if let Some(address) = address {
                    self.gpu.write(*address, &bytes(own))?;
                }
            }
            self.newest_moments = Newest::Both;
        }
        Ok(moments)
    }

    /// Makes all that a training of such batches needs on the card.
    pub(super) fn prepare(
        &mut self,
        program: &Program,
        numbers: &Numbers,
        shape: Shape,
        frozen: &[bool],
        optimizer: &Optimizer,
    ) -> Result<(), StageError> {
        self.send(numbers)?;
        self.send_moments(program, optimizer)?;
        self.plan(program, shape, frozen, Purpose::Training).map(|_| ())
    }

    /// Makes the schedule of a kind of batch, where it is not there, and the block as large as it needs.
    fn plan(&mut self, program: &Program, shape: Shape, frozen: &[bool], purpose: Purpose) -> Result<Kind, StageError> {
        let Shape { images, arrival, extents } = shape;
        let Extent { height, width, .. } = extents[0];
        let kind = Kind { purpose, images, height, width, arrival, frozen: frozen.to_vec() };
        if self.plans.contains_key(&kind) {
            return Ok(kind);
        }
        let numbers = self.numbers.unwrap_or_default();
        let lowered = self.lowered(program, extents, &kind, numbers)?;
        let bytes = lowered.placed.bytes;
        self.plans.insert(kind.clone(), Plan { lowered, bound: Vec::new() });
        if bytes > self.block.1 {
            if self.block.1 > 0 {
                self.gpu.free(self.block.0)?;
                self.block = (0, 0);
            }
            let room = self.gpu.room()?;
            if bytes > room {
                self.plans.remove(&kind);
                return Err(too_large(&kind, bytes, room));
            }
            self.block = (self.gpu.allocate(bytes)?, bytes);
            for plan in self.plans.values_mut() {
                plan.bound = plan.lowered.placed.bind(self.block.0);
            }
        } else if let Some(plan) = self.plans.get_mut(&kind) {
            plan.bound = plan.lowered.placed.bind(self.block.0);
        }
        Ok(kind)
    }

    fn lowered(
        &mut self,
        program: &Program,
        extents: &[Extent],
        kind: &Kind,
        numbers: Numbered,
    ) -> Result<Lowered, StageError> {
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
            return Err(StageError::input("gpu-memory", text).hint("take a smaller `batch`").field("batch"));
        }
        let wanted = match kind.purpose {
            Purpose::Training => train::wanted(program, &kind.frozen),
            Purpose::Evaluation => vec![false; program.uses.len()],
        };
        let libraries = libraries(&mut *self.gpu, program, extents, kind, &wanted)?;
        Ok(lower(Setting {
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
}

fn too_large(kind: &Kind, bytes: u64, room: u64) -> StageError {
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    let text = format!(
        "a batch of {} patches of {} x {} px needs {:.1} GiB on the GPU, and {:.1} are free",
        kind.images,
        kind.width,
        kind.height,
        gib(bytes),
        gib(room)
    );
    StageError::input("gpu-memory", text).hint("take a smaller `batch`, or `device cpu`").field("batch")
}

/// Which convolutions the card's library computes.
fn libraries(
    gpu: &mut dyn Gpu,
    program: &Program,
    extents: &[Extent],
    kind: &Kind,
    wanted: &[bool],
) -> Result<Vec<Option<Library>>, StageError> {
    let precision = gpu.precision();
    let mut libraries = Vec::with_capacity(program.steps.len());
    for step in &program.steps {
        let Op::Conv { weight, geometry, .. } = step.op else {
            libraries.push(None);
            continue;
        };
        let shape = extents[step.input].conv(geometry);
        // Depthwise and grouped ones, and linear layers of few outputs, are our own kernels'.
        let single = shape.height == 1 && shape.width == 1 && shape.kernel == 1;
        if shape.groups > 1 || (single && shape.out < 64) {
            libraries.push(None);
            continue;
        }
        let channels = if step.input == 0 { precision.padded(shape.channels) } else { shape.channels };
        let mut directions = vec![Direction::Forward];
        if kind.purpose == Purpose::Training && !kind.frozen[weight] {
            directions.push(Direction::Kernel);
        }
        if wanted[step.input] {
            directions.push(Direction::Image);
        }
        let planned = gpu.plan(ConvShape { channels, ..shape }, kind.images, &directions)?;
        libraries.push(planned.map(|planned| Library { planned, channels }));
    }
    Ok(libraries)
}
