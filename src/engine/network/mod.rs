//! Networks: built from a description, executed, loaded and saved. They know no loss, no optimizer and no patch set.

mod compile;
mod evaluate;
mod initial;
mod input;
mod joined;
mod layout;
mod load;
mod ops;
mod pass;
mod passes;
mod plan;
mod program;
mod segment;
mod tape;
mod train;
mod trunk;
mod weights;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{DType, Device};

use crate::base::Streams;
use crate::base::sync;
use crate::engine::gpu::{DeviceChoice, DeviceRequest, Gpu, OpenedEngine, SlowConvolution};
use crate::engine::kernels::BufferPool;
use crate::engine::optimizer::Optimizer;
use crate::engine::views::PixelsMadeBy;
use crate::lang::network::{Layer, NetworkSpec};
use crate::stage::StageError;
use ops::Folded;
use passes::DuePass;
use plan::SizedPlan;
use program::{Extent, Program};
use tape::Tape;
use trunk::{BatchShape, HostParameters, Trunk};

pub use compile::{canvas, not_joined};
pub use input::{Arrival, NetworkInput, tensor};
pub use joined::{JoinedPixels, JoinedShapes};
pub use load::{LoadReport, Missing, foresee};
pub use weights::{Weights, WeightsHeader};

/// Network with parameters and running statistics, for classifying N x H x W x 3 pixels.
pub struct Network {
    spec: NetworkSpec,
    size: usize,
    classes: usize,
    program: Program,
    flat: Vec<f32>,
    running: Vec<f32>,
    gradient: Vec<f32>,
    /// Batch norms that were loaded folded and are not yet calibrated, by index.
    uncalibrated: Vec<usize>,
    pool: BufferPool,
    /// Plans by height and width.
    plans: Mutex<BTreeMap<(usize, usize), Arc<SizedPlan>>>,
    /// Folded convolutions for evaluation mode; [`None`] after parameters have changed.
    folded: Mutex<Option<Arc<Vec<Option<Folded>>>>>,
    /// Last forward pass in training mode.
    due: Option<DuePass>,
    engine: NetworkEngine,
}

/// What computes a network.
enum NetworkEngine {
    /// The CPU kernels.
    Kernels,
    /// The kernels of a GPU.
    Card(Box<Mutex<Trunk>>),
    /// candle, on any of its devices.
    Candle(Mutex<Tape>),
}

/// Parameter tensor: its torchvision name, and its location in [`Network::flat`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Name: `layer1.0.conv1.weight`.
    pub name: String,
    /// Shape in torch: out x in/groups x k x k for a convolution, out x in for a linear layer.
    pub shape: Vec<usize>,
    /// Range in the flat vector. The layout is that of the kernels; [`Network::tensors`] has torch's.
    pub range: Range<usize>,
    /// Role.
    pub role: ParameterRole,
}

/// Role of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterRole {
    /// Kernel of a convolution, or matrix of a linear layer.
    Kernel,
    /// Bias of a convolution or of a linear layer.
    Bias,
    /// Scale of a batch norm or layer norm.
    Gamma,
    /// Shift of a batch norm or layer norm.
    Beta,
    /// Relative bias of an attention.
    Table,
    /// Factors of a channel scale.
    LayerScale,
}

impl Network {
    /// Network with torch's initialisation (`kaiming_normal_` with `fan_out` for convolutions as in torchvision, uniform over 1/sqrt(in)
    /// for linear layers), each tensor from the random stream `init` of its name. `size` is the side of the patches, which matters
    /// only for linear layers after a `Flatten`.
    ///
    /// # Errors
    /// [`StageError::Input`] if the shapes of layers and patches do not match.
    pub fn new(spec: &NetworkSpec, size: usize, classes: usize, streams: &Streams) -> Result<Self, StageError> {
        Self::joined(spec, size, &JoinedShapes::new(), classes, streams)
    }

    /// As [`Network::new`], for patches that carry embeddings of these shapes.
    ///
    /// # Errors
    /// As [`Network::new`], and `missing-input` if the network reads an embedding that is not among them.
    pub fn joined(
        spec: &NetworkSpec,
        size: usize,
        shapes: &JoinedShapes,
        classes: usize,
        streams: &Streams,
    ) -> Result<Self, StageError> {
        let program = compile::compile(spec, size, shapes, classes)?;
        Ok(Self::of(program, (spec, size, classes), streams))
    }

    /// Network up to a tap, whose output is a grid of vectors, or one vector, and not logits: for [`Network::features`]. `side` is an
    /// example of the height and width of its images.
    ///
    /// # Errors
    /// As [`Network::new`].
    pub fn encoder(spec: &NetworkSpec, side: usize) -> Result<Self, StageError> {
        let program = compile::compile_features(spec, side)?;
        Ok(Self::of(program, (spec, side, 0), &Streams::new(0, "encode")))
    }

    /// Rows, columns and channels that `spec`, a network up to a tap, gives for patches of `size` px with embeddings of these shapes.
    ///
    /// # Errors
    /// As [`Network::joined`].
    pub fn shape_of(spec: &NetworkSpec, size: usize, shapes: &JoinedShapes) -> Result<[usize; 3], StageError> {
        let Extent { height, width, channels } = compile::output_extent(spec, size, shapes)?;
        Ok([height, width, channels])
    }

    fn of(program: Program, (spec, size, classes): (&NetworkSpec, usize, usize), streams: &Streams) -> Self {
        let (flat, running) = (initial::parameters(&program, streams), initial::running(&program));
        Self {
            spec: spec.clone(),
            size,
            classes,
            gradient: vec![0.0; program.floats()],
            program,
            flat,
            running,
            uncalibrated: Vec::new(),
            pool: BufferPool::default(),
            plans: Mutex::default(),
            folded: Mutex::default(),
            due: None,
            engine: NetworkEngine::Kernels,
        }
    }

    /// Rows, columns and channels of the output for images of that height and width.
    ///
    /// # Errors
    /// [`StageError::Input`] if the images are too small.
    pub fn output_shape(&self, height: usize, width: usize) -> Result<[usize; 3], StageError> {
        let extents = self.program.extents(height, width)?;
        let Extent { height, width, channels } = extents[self.program.last()];
        Ok([height, width, channels])
    }

    /// Moves the network to a GPU. [`Network::calibrate`] still runs on the CPU.
    #[must_use]
    pub fn on(mut self, gpu: Box<dyn Gpu>) -> Self {
        self.engine = NetworkEngine::Card(Box::new(Mutex::new(Trunk::new(gpu))));
        self
    }

    /// Has candle compute the network on one of its devices, in f32 or (for tests) f64, with autograd over every operation. The optimizer
    /// stays on the CPU.
    #[must_use]
    pub fn on_candle(mut self, device: Device, dtype: DType) -> Self {
        self.engine = NetworkEngine::Candle(Mutex::new(Tape::new(device, dtype)));
        self
    }

    /// Has the engine of an opened device compute the network. A GPU needs [`own_kernels`].
    #[must_use]
    pub fn on_engine(self, engine: OpenedEngine) -> Self {
        match engine {
            OpenedEngine::Kernels => self,
            OpenedEngine::Gpu(gpu) => self.on(gpu),
            OpenedEngine::Candle(device) => self.on_candle(device, DType::F32),
        }
    }

    /// GPU memory in use, bytes, without that of the driver; [`None`] without a GPU.
    #[must_use]
    pub fn card_bytes(&self) -> Option<u64> {
        match &self.engine {
            NetworkEngine::Card(trunk) => Some(sync::lock(trunk).bytes(&self.program)),
            NetworkEngine::Kernels | NetworkEngine::Candle(_) => None,
        }
    }

    /// Convolutions that slow kernels of a GPU compute because the vendor library does not, of the batches seen so far.
    #[must_use]
    pub fn slow_convolutions(&self) -> Vec<SlowConvolution> {
        match &self.engine {
            NetworkEngine::Card(trunk) => sync::lock(trunk).slow(),
            NetworkEngine::Kernels | NetworkEngine::Candle(_) => Vec::new(),
        }
    }

    /// Where stored patches are turned into pixels for it.
    #[must_use]
    pub fn pixels_made_by(&self) -> PixelsMadeBy {
        if matches!(self.engine, NetworkEngine::Card(_)) { PixelsMadeBy::Card } else { PixelsMadeBy::Loader }
    }

    /// Target recorded for its results: that of the CPU kernels, of the GPU, or of candle.
    #[must_use]
    pub fn target(&self) -> String {
        match &self.engine {
            NetworkEngine::Card(trunk) => sync::lock(trunk).target(),
            NetworkEngine::Candle(tape) => sync::lock(tape).target(),
            NetworkEngine::Kernels => crate::engine::kernels::target(),
        }
    }

    /// Description of the network.
    #[must_use]
    pub fn spec(&self) -> &NetworkSpec {
        &self.spec
    }

    /// Side of the patches it was built for, px.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// Number of logits.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Parameters in the order of the layers; their ranges tile [`Network::flat`].
    #[must_use]
    pub fn parameters(&self) -> &[Parameter] {
        &self.program.parameters
    }

    /// All parameters as one vector. With a GPU, this and all other values read from a network are those of the last [`Network::fetch`].
    #[must_use]
    pub fn flat(&self) -> &[f32] {
        &self.flat
    }

    /// Running mean and variance of all batch norms as one vector, for checkpoints.
    #[must_use]
    pub fn running(&self) -> &[f32] {
        &self.running
    }

    /// Gradient of all parameters from the last [`Network::backward`]; 0 for frozen parameters.
    #[must_use]
    pub fn gradient(&self) -> &[f32] {
        &self.gradient
    }

    /// Restores [`Network::flat`] and [`Network::running`] from a checkpoint.
    ///
    /// # Errors
    /// [`StageError::Bug`] if a length does not match.
    pub fn restore(&mut self, flat: &[f32], running: &[f32]) -> Result<(), StageError> {
        if flat.len() != self.flat.len() || running.len() != self.running.len() {
            return Err(StageError::Bug("a checkpoint of another network".to_owned()));
        }
        self.flat.copy_from_slice(flat);
        self.running.copy_from_slice(running);
        self.host_changed();
        Ok(())
    }

    /// Changes the parameters in place on the host; `change` receives them and their gradient.
    pub fn update(&mut self, change: impl FnOnce(&mut [f32], &[f32])) {
        change(&mut self.flat, &self.gradient);
        self.host_changed();
    }

    /// Runs a step of the optimizer with every rate times `factor`, on the GPU if there is one.
    ///
    /// # Errors
    /// Errors of the GPU.
    pub fn step(&mut self, optimizer: &mut Optimizer, factor: f64) -> Result<(), StageError> {
        let NetworkEngine::Card(trunk) = &mut self.engine else {
            self.update(|values, gradient| optimizer.step(values, gradient, factor));
            return Ok(());
        };
        trunk.get_mut().unwrap_or_else(PoisonError::into_inner).step(&self.program, optimizer, factor)
    }

    /// Allocates all GPU memory that training on batches of `images` patches needs, so that a shortage is found before the first step.
    /// Does nothing without a GPU.
    ///
    /// # Errors
    /// Errors of the GPU; [`StageError::Input`] with the code `gpu-memory` if a smaller batch would help.
    pub fn prepare(
        &mut self,
        images: usize,
        arrival: Arrival,
        frozen: &[bool],
        optimizer: &Optimizer,
    ) -> Result<(), StageError> {
        let NetworkEngine::Card(trunk) = &mut self.engine else { return Ok(()) };
        let side = canvas(&self.spec, self.size);
        let extents = self.program.extents(side, side)?;
        let trunk = trunk.get_mut().unwrap_or_else(PoisonError::into_inner);
        let numbers = HostParameters { flat: &self.flat, running: &self.running };
        let shape = BatchShape { images, arrival, extents: &extents };
        trunk.prepare(&self.program, &numbers, shape, frozen, optimizer)
    }

    /// Copies parameters, running statistics, gradient, and the moments of the optimizer from the GPU to the host. Does nothing without
    /// a GPU.
    ///
    /// # Errors
    /// Errors of the GPU.
    pub fn fetch(&mut self, optimizer: Option<&mut Optimizer>) -> Result<(), StageError> {
        let NetworkEngine::Card(trunk) = &mut self.engine else { return Ok(()) };
        let trunk = trunk.get_mut().unwrap_or_else(PoisonError::into_inner);
        trunk.fetch(&mut self.flat, &mut self.running, &mut self.gradient, optimizer)?;
        self.changed();
        Ok(())
    }

    /// Sets one parameter to `values`, in torch's order.
    ///
    /// # Errors
    /// [`StageError::Bug`] if there is no such parameter or the number of values differs.
    pub fn set(&mut self, name: &str, values: &[f32]) -> Result<(), StageError> {
        let parameter = self.program.parameters.iter().find(|parameter| parameter.name == name);
        let Some(parameter) = parameter.filter(|parameter| parameter.range.len() == values.len()) else {
            return Err(StageError::Bug(format!("no parameter `{name}` of {} values", values.len())));
        };
        self.flat[parameter.range.clone()].copy_from_slice(&layout::from_torch(&parameter.shape, values));
        self.host_changed();
        Ok(())
    }

    /// Names of weight and bias of the linear layers that give logits, that of the network first, then those of auxiliary outputs;
    /// [`None`] for a layer without bias.
    #[must_use]
    pub fn heads(&self) -> Vec<(String, Option<String>)> {
        let name = |parameter: usize| self.program.parameters[parameter].name.clone();
        self.head_parameters().into_iter().map(|(weight, bias)| (name(weight), bias.map(name))).collect()
    }

    /// Names of the layers in [`Network::heads`].
    #[must_use]
    pub fn head_layers(&self) -> Vec<String> {
        heads(&self.spec).into_iter().map(str::to_owned).collect()
    }

    /// Number of outputs in training: logits of the network, then those of each auxiliary output.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.classes * (1 + self.spec.auxiliary.len())
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

    /// Names of [`Network::tensors`].
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.program.names()
    }

    /// Bytes of a safetensors file of [`Network::tensors`], which torch loads into the torchvision model of that name.
    ///
    /// # Errors
    /// [`StageError::Bug`] if safetensors fails.
    pub fn save(&self) -> Result<Vec<u8>, StageError> {
        weights::write(&self.tensors())
    }

    /// Loads the tensors of `weights`. The last linear layer is not loaded if its classes differ.
    ///
    /// # Errors
    /// [`StageError::Input`] naming tensors that are missing (with [`Missing::Error`]), of a different shape, or not finite.
    pub fn load(&mut self, weights: &Weights, missing: Missing) -> Result<LoadReport, StageError> {
        self.load_part(weights, missing, &[])
    }

    /// As [`Network::load`]; but what is below the layers in `new` may be missing from `weights` in any case.
    ///
    /// # Errors
    /// As [`Network::load`].
    pub fn load_part(&mut self, weights: &Weights, missing: Missing, new: &[String]) -> Result<LoadReport, StageError> {
        let report = load::load(self, weights, missing, new)?;
        self.host_changed();
        Ok(report)
    }

    /// Sets gamma of the last batch norm of each residual block to 0 if a kernel of the block is in `random` (Goyal et al. 2017, 5.1);
    /// `None` means that all are random. Returns the names set.
    pub fn zero_gamma(&mut self, random: Option<&[String]>) -> Vec<String> {
        let parameters = &self.program.parameters;
        let is_random = |name: &String| random.is_none_or(|random| random.contains(name));
        let gammas: Vec<usize> = (self.program.blocks.iter())
            .filter(|block| {
                let mut kernels =
                    parameters[block.parameters.clone()].iter().filter(|one| one.role == ParameterRole::Kernel);
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

    /// Marks the values on the host as the newest.
    fn host_changed(&mut self) {
        self.changed();
        match &mut self.engine {
            NetworkEngine::Card(trunk) => trunk.get_mut().unwrap_or_else(PoisonError::into_inner).host_changed(),
            NetworkEngine::Candle(tape) => tape.get_mut().unwrap_or_else(PoisonError::into_inner).host_changed(),
            NetworkEngine::Kernels => {}
        }
    }

    /// Drops values derived from parameters that have changed.
    fn changed(&mut self) {
        *self.folded.get_mut().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Parameters of the linear layers that give logits.
    fn head_parameters(&self) -> Vec<(usize, Option<usize>)> {
        let find = |name: &str| self.program.parameters.iter().position(|one| one.name == name);
        let of = |name: &str| Some((find(&format!("{name}.weight"))?, find(&format!("{name}.bias"))));
        heads(&self.spec).into_iter().filter_map(of).collect()
    }

    /// Number of images in a batch, and the plan for their size.
    fn plan_for(&self, input: &NetworkInput) -> Result<(usize, Arc<SizedPlan>), StageError> {
        let (count, height, width) = input.dims()?;
        self.program.check_joined(input.joined(), count)?;
        let mut plans = sync::lock(&self.plans);
        if let Some(plan) = plans.get(&(height, width)) {
            return Ok((count, Arc::clone(plan)));
        }
        let plan = Arc::new(SizedPlan::new(&self.program, height, width)?);
        plans.insert((height, width), Arc::clone(&plan));
        Ok((count, plan))
    }
}

/// Device that computes a network: `auto` takes no GPU if macula's kernels cannot compute it there and candle is not built for one.
#[must_use]
pub fn device_for(request: DeviceRequest, spec: &NetworkSpec, work: NetworkWork) -> DeviceRequest {
    let anywhere = cfg!(feature = "candle-cuda") || own_kernels(spec, work).is_ok();
    let choice = if request.choice == DeviceChoice::Auto && !anywhere { DeviceChoice::Cpu } else { request.choice };
    DeviceRequest { choice, ..request }
}

/// Names of the linear layers that give logits, that of the network first.
fn heads(spec: &NetworkSpec) -> Vec<&str> {
    let auxiliary = spec.auxiliary.iter().map(|output| output.branch.layers.as_slice());
    std::iter::once(spec.layers.as_slice()).chain(auxiliary).filter_map(last_linear).collect()
}

/// What is done with a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkWork {
    /// It is trained, and evaluated in between.
    Training,
    /// It is only evaluated.
    Evaluation,
}

/// Checks that macula's own GPU kernels can compute a network.
///
/// # Errors
/// [`StageError::Input`] with the code `no-gpu`, `gpu-joined` or `gpu-shared`.
pub fn own_kernels(spec: &NetworkSpec, work: NetworkWork) -> Result<(), StageError> {
    let refused = |code, what: &str| {
        let text = format!("network `{}` {what}", spec.name);
        Err(StageError::input(code, text).hint("set `device cpu`").field("device"))
    };
    if !ops::all_have_launches(spec) {
        return refused("no-gpu", "has a layer that macula's GPU kernels do not compute");
    }
    if !spec.embeddings().is_empty() {
        return refused("gpu-joined", "reads embeddings, which macula's GPU kernels do not");
    }
    if work == NetworkWork::Training && spec.shares() {
        return refused(
            "gpu-shared",
            "has branches that share tensors, which macula's GPU kernels can use but not train",
        );
    }
    Ok(())
}

/// Name of the last linear layer, if it gives one output per class; that of a network up to a tap does not.
fn last_linear(layers: &[Layer]) -> Option<&str> {
    let last =
        layers.iter().rev().find_map(|layer| if let Layer::Linear(linear) = layer { Some(linear) } else { None });
    last.filter(|linear| linear.out.is_none()).map(|linear| linear.name.as_str())
}

/// Error message of candle, without the stack frames that it adds if `RUST_BACKTRACE` is set.
fn first_line(error: &impl std::fmt::Display) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// An error of candle outside a network, as a defect of macula: shapes were checked before.
pub fn bug(error: impl std::fmt::Display) -> StageError {
    StageError::Bug(first_line(&error))
}

/// An error of candle is a defect of macula.
#[expect(clippy::needless_pass_by_value, reason = "it is given to `map_err`")]
fn candle(error: candle_core::Error) -> StageError {
    StageError::Bug(format!("candle: {}", first_line(&error)))
}
