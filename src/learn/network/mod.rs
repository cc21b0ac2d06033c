//! Networks: built from a description, executed, loaded and saved. They know no loss, no optimizer and no patch set.

mod compile;
mod evaluate;
mod initial;
mod input;
mod layout;
mod load;
mod plan;
mod program;
mod train;
mod trunk;
mod weights;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::backprop::GradStore;
use candle_core::{Device, Tensor, Var};

use crate::base::Streams;
use crate::base::random::Stream;
use crate::lang::network::{Layer, NetworkSpec};
use crate::learn::gpu::Gpu;
use crate::learn::kernels::Pool;
use crate::learn::loader::Maker;
use crate::learn::optimizer::Optimizer;
use crate::stage::StageError;
use evaluate::Folded;
use input::with_floats;
use plan::Plan;
use program::{Norm, Program};
use train::{Model, Pass, Source};
use trunk::{Arriving, Numbers, Shape, Trunk};

pub use input::{Arrival, Input, tensor};
pub use load::{LoadReport, Missing, foresee};
pub use weights::{Header, Weights};

/// A network with its parameters and running statistics, for classifying N x H x W x 3 pixels.
pub struct Network {
    spec: NetworkSpec,
    size: usize,
    classes: usize,
    program: Program,
    flat: Vec<f32>,
    running: Vec<f32>,
    gradient: Vec<f32>,
    /// Batch norms that were loaded folded and not yet calibrated, by their place in the program.
    uncalibrated: Vec<usize>,
    pool: Pool,
    /// By height and width.
    plans: Mutex<BTreeMap<(usize, usize), Arc<Plan>>>,
    /// The convolutions of evaluation mode, as long as the numbers they were made from hold.
    folded: Mutex<Option<Arc<Vec<Option<Folded>>>>>,
    /// The last forward pass in training mode: its logits on the tape and what the way back needs.
    pass: Option<(Var, Arc<Plan>, Made)>,
    /// The card that computes, where one does.
    trunk: Option<Mutex<Trunk>>,
}

/// Where the last forward pass left what its way back needs.
enum Made {
    Host(Pass),
    Card,
}

/// One parameter tensor: a name of torchvision's and where it lies in [`Network::flat`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// `layer1.0.conv1.weight`.
    pub name: String,
    /// Its shape as torch has it: out x in/groups x k x k for a convolution, out x in for a linear layer.
    pub shape: Vec<usize>,
    /// Where it lies in the flat vector. The order within is the kernels' own; [`Network::tensors`] has torch's.
    pub range: Range<usize>,
    /// What it is.
    pub role: Role,
}

/// What a parameter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The kernel of a convolution or the matrix of a linear layer.
    Kernel,
    /// The bias of a convolution or of a linear layer.
    Bias,
    /// The scale of a batch norm.
    Gamma,
    /// The shift of a batch norm.
    Beta,
}

impl Network {
    /// A network with torch's initial values (`kaiming_normal_` over `fan_out` for convolutions as torchvision has
    /// it, uniform over 1/sqrt(in) for linear layers), each tensor from the stream `init` of its name. `size` is the side of
    /// the patches that linear layers after a `Flatten` are made for; other networks take any size.
    ///
    /// # Errors
    /// [`StageError::Input`] where the layers don't fit each other or the patches.
    pub fn new(spec: &NetworkSpec, size: usize, classes: usize, streams: &Streams) -> Result<Self, StageError> {
        let program = compile::compile(spec, size, classes)?;
        let (flat, running) = (initial::parameters(&program, streams), initial::running(&program));
        Ok(Self {
            spec: spec.clone(),
            size,
            classes,
            gradient: vec![0.0; program.floats()],
            program,
            flat,
            running,
            uncalibrated: Vec::new(),
            pool: Pool::default(),
            plans: Mutex::default(),
            folded: Mutex::default(),
            pass: None,
            trunk: None,
        })
    }

    /// The same network, computed on a card from now on. What [`Network::calibrate`] does stays on the processor.
    #[must_use]
    pub fn on(mut self, gpu: Box<dyn Gpu>) -> Self {
        self.trunk = Some(Mutex::new(Trunk::new(gpu)));
        self
    }

    /// Bytes that it holds on a card, but for the driver's own; none without one.
    #[must_use]
    pub fn card_bytes(&self) -> Option<u64> {
        let trunk = self.trunk.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        Some(trunk.bytes(&self.program))
    }

    /// Who makes pixels of stored patches for it.
    #[must_use]
    pub fn maker(&self) -> Maker {
        if self.trunk.is_some() { Maker::Card } else { Maker::Loader }
    }

    /// The class that its results are recorded in: that of the kernels, or of the card.
    #[must_use]
    pub fn class(&self) -> String {
        match &self.trunk {
            Some(trunk) => trunk.lock().unwrap_or_else(PoisonError::into_inner).class(),
            None => crate::learn::kernels::path(),
        }
    }

    /// What it was made from.
    #[must_use]
    pub fn spec(&self) -> &NetworkSpec {
        &self.spec
    }

    /// The side of the patches that it was made for, px.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// How many logits it gives.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Its parameters, in the order of the layers; their ranges tile [`Network::flat`].
    #[must_use]
    pub fn parameters(&self) -> &[Parameter] {
        &self.program.parameters
    }

    /// All parameters as one vector. On a card, as the last [`Network::fetch`] left them; as of all that is read of a network.
    #[must_use]
    pub fn flat(&self) -> &[f32] {
        &self.flat
    }

    /// The running mean and variance of all batch norms as one vector, for checkpoints.
    #[must_use]
    pub fn running(&self) -> &[f32] {
        &self.running
    }

    /// The gradient of all parameters that the last [`Network::backward`] left; 0 where a parameter is frozen.
    #[must_use]
    pub fn gradient(&self) -> &[f32] {
        &self.gradient
    }

    /// Takes back what [`Network::flat`] and [`Network::running`] gave, from a checkpoint.
    ///
    /// # Errors
    /// [`StageError::Bug`] where a length is not this network's.
    pub fn restore(&mut self, flat: &[f32], running: &[f32]) -> Result<(), StageError> {
        if flat.len() != self.flat.len() || running.len() != self.running.len() {
            return Err(StageError::Bug("a checkpoint of another network".to_owned()));
        }
        self.flat.copy_from_slice(flat);
        self.running.copy_from_slice(running);
        self.host_changed();
        Ok(())
    }

    /// Changes the parameters in place, on the host; `change` is given them and their gradient.
    pub fn update(&mut self, change: impl FnOnce(&mut [f32], &[f32])) {
        change(&mut self.flat, &self.gradient);
        self.host_changed();
    }

    /// A step of the optimizer with every rate times `factor`, where the parameters are.
    ///
    /// # Errors
    /// The card's.
    pub fn step(&mut self, optimizer: &mut Optimizer, factor: f64) -> Result<(), StageError> {
        let Some(trunk) = &mut self.trunk else {
            self.update(|values, gradient| optimizer.step(values, gradient, factor));
            return Ok(());
        };
        trunk.get_mut().unwrap_or_else(PoisonError::into_inner).step(&self.program, optimizer, factor)
    }

    /// Makes all that training on batches of so many patches, which arrive so, needs on a card, so that too little memory is found
    /// before the first step. Without a card there is nothing to do.
    ///
    /// # Errors
    /// The card's; [`StageError::Input`] with the code `gpu-memory` where a smaller batch would help.
    pub fn prepare(
        &mut self,
        images: usize,
        arrival: Arrival,
        frozen: &[bool],
        optimizer: &Optimizer,
    ) -> Result<(), StageError> {
        let Some(trunk) = &mut self.trunk else { return Ok(()) };
        let extents = self.program.extents(self.size, self.size)?;
        let trunk = trunk.get_mut().unwrap_or_else(PoisonError::into_inner);
        let numbers = Numbers { flat: &self.flat, running: &self.running };
        let shape = Shape { images, arrival, extents: &extents };
        trunk.prepare(&self.program, &numbers, shape, frozen, optimizer)
    }

    /// Copies what a card changed to the host: parameters, running statistics, gradient, and the optimizer's moments. Without a card
    /// they are there.
    ///
    /// # Errors
    /// The card's.
    pub fn fetch(&mut self, optimizer: Option<&mut Optimizer>) -> Result<(), StageError> {
        let Some(trunk) = &mut self.trunk else { return Ok(()) };
        let trunk = trunk.get_mut().unwrap_or_else(PoisonError::into_inner);
        trunk.fetch(&mut self.flat, &mut self.running, &mut self.gradient, optimizer)?;
        self.changed();
        Ok(())
    }

    /// Sets one parameter to `values`, in torch's order.
    ///
    /// # Errors
    /// [`StageError::Bug`] where there is no such parameter or the count is another.
    pub fn set(&mut self, name: &str, values: &[f32]) -> Result<(), StageError> {
        let parameter = self.program.parameters.iter().find(|parameter| parameter.name == name);
        let Some(parameter) = parameter.filter(|parameter| parameter.range.len() == values.len()) else {
            return Err(StageError::Bug(format!("no parameter `{name}` of {} values", values.len())));
        };
        self.flat[parameter.range.clone()].copy_from_slice(&layout::from_torch(&parameter.shape, values));
        self.host_changed();
        Ok(())
    }

    /// The last linear layer's weight and bias names; the bias is absent where the layer has none.
    ///
    /// # Errors
    /// [`StageError::Bug`] where the network has no linear layer.
    pub fn head(&self) -> Result<(String, Option<String>), StageError> {
        let (weight, bias) =
            self.head_parameters().ok_or_else(|| StageError::Bug("a network without a head".to_owned()))?;
        let name = |parameter: usize| self.program.parameters[parameter].name.clone();
        Ok((name(weight), bias.map(name)))
    }

    /// Logits (N x classes) in training mode, on candle's tape, of a batch of pixels or stored patches. Batch norms use
    /// the batch's statistics and move the running ones; a batch norm whose two parameters are frozen uses the running ones
    /// and leaves them. `frozen` has an entry per parameter; dropout masks come from `dropout`.
    ///
    /// # Errors
    /// [`StageError::Input`] where the pixels don't fit the layers, [`StageError::Bug`] for candle's own.
    pub fn forward_train<'a>(
        &mut self,
        input: impl Into<Input<'a>>,
        frozen: &[bool],
        dropout: Stream,
    ) -> Result<Tensor, StageError> {
        let input = input.into();
        if frozen.len() != self.program.parameters.len() {
            return Err(StageError::Bug(format!(
                "{} parameters, {} said to be frozen or not",
                self.program.parameters.len(),
                frozen.len()
            )));
        }
        if let Some((_, _, Made::Host(pass))) = self.pass.take() {
            pass.recycle(&self.pool);
        }
        let (count, plan) = self.plan_for(&input)?;
        if let Some(trunk) = &mut self.trunk {
            let trunk = trunk.get_mut().unwrap_or_else(PoisonError::into_inner);
            let (program, numbers) = (&self.program, Numbers { flat: &self.flat, running: &self.running });
            let logits = on_its_way(&input, |arriving| {
                let batch = trunk::Batch { images: count, arriving, extents: &plan.extents };
                trunk.forward_train(program, &numbers, batch, frozen, dropout)
            })?;
            let logits = Var::from_vec(logits, (count, self.classes), &Device::Cpu).map_err(candle)?;
            let tensor = logits.as_tensor().clone();
            self.pass = Some((logits, plan, Made::Card));
            return Ok(tensor);
        }
        let source =
            |norm: &Norm| if frozen[norm.gamma] && frozen[norm.beta] { Source::Running } else { Source::Batch };
        let model = Model { program: &self.program, plan: &plan, flat: &self.flat, pool: &self.pool };
        let running = &mut self.running;
        let pass = input.with_floats(|pixels| train::forward(model, running, pixels, frozen, source, dropout))?;
        let logits =
            Var::from_slice(pass.logits(&self.program), (count, self.classes), &Device::Cpu).map_err(candle)?;
        let tensor = logits.as_tensor().clone();
        self.pass = Some((logits, plan, Made::Host(pass)));
        self.changed();
        Ok(tensor)
    }

    /// Runs candle's tape backward from `loss`, a scalar made from the logits of the last [`Network::forward_train`], and
    /// leaves the gradient of the parameters in [`Network::gradient`]. What is returned holds the gradients of other
    /// variables on the tape. (The parameters are no candle variables: adding up 45 MB in its `GradStore` would cost some
    /// 4 % of a step.)
    ///
    /// # Errors
    /// [`StageError::Bug`] for candle's own, and where `loss` does not depend on those logits.
    pub fn backward(&mut self, loss: &Tensor) -> Result<GradStore, StageError> {
        let Some((logits, plan, pass)) = self.pass.take() else {
            return Err(StageError::Bug("a way back without a way forward".to_owned()));
        };
        let gradients = loss.backward().map_err(candle)?;
        let Some(dlogits) = gradients.get(&logits) else {
            return Err(StageError::Bug("a loss that does not depend on the logits".to_owned()));
        };
        let dlogits = dlogits.contiguous().map_err(candle)?;
        match (pass, &mut self.trunk) {
            (Made::Host(pass), _) => {
                let model = Model { program: &self.program, plan: &plan, flat: &self.flat, pool: &self.pool };
                let gradient = &mut self.gradient;
                with_floats(&dlogits, |dlogits| train::backward(model, pass, dlogits, gradient))?;
            }
            (Made::Card, Some(trunk)) => {
                let trunk = trunk.get_mut().unwrap_or_else(PoisonError::into_inner);
                with_floats(&dlogits, |dlogits| trunk.backward(&self.program, dlogits))??;
            }
            (Made::Card, None) => return Err(StageError::Bug("a pass on a card that is gone".to_owned())),
        }
        Ok(gradients)
    }

    /// Logits (N x classes) in evaluation mode, off the tape, of a batch of pixels or stored patches: batch norms use the
    /// running statistics, folded into the convolutions.
    ///
    /// # Errors
    /// As [`Network::forward_train`].
    pub fn forward<'a>(&self, input: impl Into<Input<'a>>) -> Result<Tensor, StageError> {
        let input = input.into();
        let (count, plan) = self.plan_for(&input)?;
        if let Some(trunk) = &self.trunk {
            let mut trunk = trunk.lock().unwrap_or_else(PoisonError::into_inner);
            let numbers = Numbers { flat: &self.flat, running: &self.running };
            let logits = on_its_way(&input, |arriving| {
                let batch = trunk::Batch { images: count, arriving, extents: &plan.extents };
                trunk.forward(&self.program, &numbers, batch)
            })?;
            return Tensor::from_vec(logits, (count, self.classes), &Device::Cpu).map_err(candle);
        }
        let model = Model { program: &self.program, plan: &plan, flat: &self.flat, pool: &self.pool };
        let folded = {
            let mut held = self.folded.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(held.get_or_insert_with(|| Arc::new(evaluate::fold(&model, &self.running))))
        };
        let logits = input.with_floats(|pixels| evaluate::forward(model, &self.running, &folded, pixels))?;
        Tensor::from_vec(logits, (count, self.classes), &Device::Cpu).map_err(candle)
    }

    /// All tensors with torchvision's names and layouts, running statistics included.
    #[must_use]
    pub fn tensors(&self) -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
        let parameters = self.program.parameters.iter().map(|parameter| {
            let values = layout::to_torch(&parameter.shape, &self.flat[parameter.range.clone()]);
            (parameter.name.clone(), (parameter.shape.clone(), values))
        });
        let running = self.program.norms.iter().flat_map(|norm| {
            let part = |at: usize| {
                (vec![norm.channels], self.running[norm.running + at * norm.channels..][..norm.channels].to_vec())
            };
            [(format!("{}.running_mean", norm.name), part(0)), (format!("{}.running_var", norm.name), part(1))]
        });
        parameters.chain(running).collect()
    }

    /// The names of [`Network::tensors`].
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.program.names()
    }

    /// The bytes of a safetensors file of [`Network::tensors`], which torch loads into torchvision's model of that name.
    ///
    /// # Errors
    /// [`StageError::Bug`] where safetensors refuses.
    pub fn save(&self) -> Result<Vec<u8>, StageError> {
        weights::write(&self.tensors())
    }

    /// Takes the tensors of `weights`. The last linear layer stays as it is where its classes differ.
    ///
    /// # Errors
    /// [`StageError::Input`] naming the tensors that are missing (under [`Missing::Error`]), of another shape, or not finite.
    pub fn load(&mut self, weights: &Weights, missing: Missing) -> Result<LoadReport, StageError> {
        let report = load::load(self, weights, missing)?;
        self.host_changed();
        Ok(report)
    }

    /// Sets the gamma of each residual block's last batch norm to 0 where one of the block's kernels is named in `random`
    /// (Goyal et al. 2017, 5.1); `None` means that all are random. Returns the names set.
    pub fn zero_gamma(&mut self, random: Option<&[String]>) -> Vec<String> {
        let parameters = &self.program.parameters;
        let is_random = |name: &String| random.is_none_or(|random| random.contains(name));
        let gammas: Vec<usize> = (self.program.blocks.iter())
            .filter(|block| {
                let mut kernels = parameters[block.parameters.clone()].iter().filter(|one| one.role == Role::Kernel);
                kernels.any(|kernel| is_random(&kernel.name))
            })
            .filter_map(|block| block.gamma)
            .collect();
        for &gamma in &gammas {
            self.flat[parameters[gamma].range.clone()].fill(0.0);
        }
        let names = gammas.into_iter().map(|gamma| parameters[gamma].name.clone()).collect();
        self.host_changed();
        names
    }

    /// Makes the batch norms after convolutions that were loaded folded fit for training: runs `batches` of pixels through
    /// in evaluation mode and sets each one's running statistics to those of the convolution without its bias, gamma to
    /// sqrt(var + eps) and beta to bias + mean, which in evaluation mode is the folded network still. Does nothing where
    /// [`LoadReport::folded`] was empty.
    ///
    /// # Errors
    /// As [`Network::forward_train`].
    pub fn calibrate(&mut self, batches: &[Tensor]) -> Result<(), StageError> {
        if self.uncalibrated.is_empty() {
            return Ok(());
        }
        let frozen = vec![true; self.program.parameters.len()];
        let no_dropout = Streams::new(0, "calibrate").stream("dropout", 0, &[]);
        let mut sums: BTreeMap<usize, (Vec<[f64; 2]>, usize)> = BTreeMap::new();
        for pixels in batches {
            let (_, plan) = self.plan_for(&pixels.into())?;
            let model = Model { program: &self.program, plan: &plan, flat: &self.flat, pool: &self.pool };
            let running = &mut self.running;
            let pass = with_floats(pixels, |pixels| {
                train::forward(model, running, pixels, &frozen, |_| Source::Observed, no_dropout.clone())
            })?;
            for (norm, totals, rows) in &pass.observed {
                let (sum, count) = sums.entry(*norm).or_insert_with(|| (vec![[0.0; 2]; totals.len()], 0));
                *count += rows;
                for (sum, total) in sum.iter_mut().zip(totals) {
                    *sum = [sum[0] + total[0], sum[1] + total[1]];
                }
            }
            pass.recycle(&self.pool);
        }
        for norm in std::mem::take(&mut self.uncalibrated) {
            if let Some((sums, rows)) = sums.get(&norm) {
                load::settle(self, norm, sums, *rows);
            }
        }
        self.host_changed();
        Ok(())
    }

    /// The numbers on the host are the newest.
    fn host_changed(&mut self) {
        self.changed();
        if let Some(trunk) = &mut self.trunk {
            trunk.get_mut().unwrap_or_else(PoisonError::into_inner).host_changed();
        }
    }

    /// Forgets what was made from numbers that hold no longer.
    fn changed(&mut self) {
        *self.folded.get_mut().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The parameters of the last linear layer.
    fn head_parameters(&self) -> Option<(usize, Option<usize>)> {
        let name = last_linear(&self.spec.layers)?;
        let find = |end: &str| self.program.parameters.iter().position(|one| one.name == format!("{name}.{end}"));
        Some((find("weight")?, find("bias")))
    }

    /// How many images a batch holds, and the plan for their size.
    fn plan_for(&self, input: &Input) -> Result<(usize, Arc<Plan>), StageError> {
        let (count, height, width) = input.dims()?;
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(plan) = plans.get(&(height, width)) {
            return Ok((count, Arc::clone(plan)));
        }
        let plan = Arc::new(Plan::new(&self.program, height, width)?);
        plans.insert((height, width), Arc::clone(&plan));
        Ok((count, plan))
    }
}

/// The name of the last linear layer.
fn last_linear(layers: &[Layer]) -> Option<&str> {
    layers.iter().rev().find_map(|layer| match layer {
        Layer::Linear { name, .. } => Some(name.as_str()),
        _ => None,
    })
}

/// Calls `work` with a batch as a card takes it.
fn on_its_way<R>(input: &Input, work: impl FnOnce(Arriving) -> Result<R, StageError>) -> Result<R, StageError> {
    match input {
        Input::Pixels(pixels) => with_floats(pixels, |floats| work(Arriving::Floats(floats)))?,
        Input::Stored(views) => work(Arriving::Stored(views)),
    }
}

/// What candle says, without the Rust frames that it adds where `RUST_BACKTRACE` is set.
pub(super) fn first_line(error: &impl std::fmt::Display) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// An error of candle's own is a defect of ours.
#[expect(clippy::needless_pass_by_value, reason = "it is given to `map_err`")]
fn candle(error: candle_core::Error) -> StageError {
    StageError::Bug(format!("candle: {}", first_line(&error)))
}
