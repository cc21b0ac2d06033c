//! The shapes that follow from a network's layers, and what each layer costs.

use std::fmt;

use super::network::{Layer, NetworkSpec};

/// The shape of one sample between layers, without N.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// C x H x W.
    Map {
        /// Channels.
        channels: usize,
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
    },
    /// Features.
    Vector {
        /// How many.
        features: usize,
    },
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Map { channels, height, width } => write!(f, "{channels} x {height} x {width}"),
            Self::Vector { features } => write!(f, "{features}"),
        }
    }
}

impl Shape {
    /// Entries in all.
    #[must_use]
    pub fn entries(self) -> u64 {
        match self {
            Self::Map { channels, height, width } => product(&[channels, height, width]),
            Self::Vector { features } => features as u64,
        }
    }
}

/// One layer of a network at a size of input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerShape {
    /// What it is (`conv`, `residual`, …).
    pub kind: &'static str,
    /// The prefix of its tensors; empty where it has none.
    pub name: String,
    /// How deep within `residual` it stands.
    pub depth: usize,
    /// What it gives.
    pub out: Shape,
    /// Trained parameters.
    pub parameters: u64,
    /// Multiplications with addition per sample, forward.
    pub multiply_adds: u64,
}

/// Why a network does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// Which layer, counted as [`shapes`] lists them.
    pub layer: usize,
    /// What is wrong, with names and shapes.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

/// Every layer in order, for pixels of 3 x `side` x `side` and `classes` logits. A residual stands before its body, the
/// body before its shortcut.
///
/// # Errors
/// A [`Misfit`] at the first layer that can't take what it gets.
pub fn shapes(network: &NetworkSpec, side: usize, classes: usize) -> Result<Vec<LayerShape>, Misfit> {
    let mut walk = Walk { rows: Vec::new(), classes };
    let pixels = Shape::Map { channels: 3, height: side, width: side };
    walk.layers(&network.layers, pixels, 0)?;
    let last = walk.rows.len().saturating_sub(1);
    match network.layers.last() {
        Some(Layer::Linear { out: None, .. }) => Ok(walk.rows),
        Some(_) => Err(Misfit {
            layer: last,
            message: format!("the last layer gives {}, not one logit per class", walk.rows[last].out),
            hint: "end with `linear fc`: without `out` it gives one logit per class".to_owned(),
        }),
        None => Err(Misfit {
            layer: 0,
            message: "there are no layers".to_owned(),
            hint: "`macula doc resnet18` shows a network".to_owned(),
        }),
    }
}

/// Smallest side of a square input that fits, at most 4096.
#[must_use]
pub fn least_side(network: &NetworkSpec) -> Option<usize> {
    (1..=4096).find(|&side| shapes(network, side, 4).is_ok())
}

struct Walk {
    rows: Vec<LayerShape>,
    classes: usize,
}

impl Walk {
    fn layers(&mut self, layers: &[Layer], input: Shape, depth: usize) -> Result<Shape, Misfit> {
        layers.iter().try_fold(input, |shape, layer| self.layer(layer, shape, depth))
    }

    fn layer(&mut self, layer: &Layer, input: Shape, depth: usize) -> Result<Shape, Misfit> {
        let at = self.rows.len();
        let misfit = |message: String, hint: &str| Misfit { layer: at, message, hint: hint.to_owned() };
        let kind = kind(layer);
        let map = || match input {
            Shape::Map { channels, height, width } => Ok((channels, height, width)),
            Shape::Vector { features } => Err(misfit(
                format!("{} takes channels x height x width, gets {features} features", title(layer)),
                "put it before `flatten` or `global-avg-pool`",
            )),
        };
        let window = |length: usize, kernel: usize, stride: usize, padding: usize| {
            let reach = length + 2 * padding;
            if reach < kernel {
                let message = format!("{} has a window of {kernel} px, gets {input}", title(layer));
                return Err(misfit(message, "give larger patches, or pool less before it"));
            }
            Ok((reach - kernel) / stride + 1)
        };
        let (mut parameters, mut multiply_adds) = (0, 0);
        let mut push = |out, parameters, multiply_adds| {
            self.rows.push(LayerShape { kind, name: name(layer).to_owned(), depth, out, parameters, multiply_adds });
        };
        let out = match layer {
            Layer::Conv { out, kernel, stride, padding, groups, bias, .. } => {
                let (channels, height, width) = map()?;
                if channels % groups != 0 || out % groups != 0 {
                    let message = format!(
                        "{} has {groups} groups, which do not divide {channels} in and {out} out",
                        title(layer)
                    );
                    return Err(misfit(message, "channels in and out must be multiples of `groups`"));
                }
                let height = window(height, *kernel, *stride, *padding)?;
                let width = window(width, *kernel, *stride, *padding)?;
                let weights = product(&[*out, channels / groups, *kernel, *kernel]);
                parameters = weights + if *bias { *out as u64 } else { 0 };
                multiply_adds = weights.saturating_mul(product(&[height, width]));
                Shape::Map { channels: *out, height, width }
            }
            Layer::BatchNorm { .. } => {
                parameters = 2 * map()?.0 as u64;
                input
            }
            Layer::Relu | Layer::Dropout { .. } => input,
            Layer::MaxPool { kernel, stride, padding } => {
                let (channels, height, width) = map()?;
                let height = window(height, *kernel, *stride, *padding)?;
                Shape::Map { channels, height, width: window(width, *kernel, *stride, *padding)? }
            }
            Layer::AvgPool { kernel, stride } => {
                let (channels, height, width) = map()?;
                let height = window(height, *kernel, *stride, 0)?;
                Shape::Map { channels, height, width: window(width, *kernel, *stride, 0)? }
            }
            Layer::GlobalAvgPool => Shape::Vector { features: map()?.0 },
            Layer::Flatten => match input {
                Shape::Map { channels, height, width } => Shape::Vector {
                    features: usize::try_from(product(&[channels, height, width])).unwrap_or(usize::MAX),
                },
                Shape::Vector { .. } => input,
            },
            Layer::Linear { out, bias, .. } => {
                let Shape::Vector { features } = input else {
                    let message = format!("{} takes features, gets {input}", title(layer));
                    return Err(misfit(message, "put `global-avg-pool` or `flatten` before it"));
                };
                let out = out.unwrap_or(self.classes);
                multiply_adds = product(&[features, out]);
                parameters = multiply_adds + if *bias { out as u64 } else { 0 };
                Shape::Vector { features: out }
            }
            Layer::Residual { body, shortcut } => {
                push(input, 0, 0);
                let long = self.layers(body, input, depth + 1)?;
                let short = self.layers(shortcut, input, depth + 1)?;
                if long != short {
                    let message = format!("the body of `residual` gives {long}, its shortcut {short}");
                    let hint =
                        "both must agree: a shortcut with a 1x1 `conv` of the body's channels and stride does it";
                    return Err(misfit(message, hint));
                }
                self.rows[at].out = long;
                return Ok(long);
            }
        };
        push(out, parameters, multiply_adds);
        Ok(out)
    }
}

fn product(factors: &[usize]) -> u64 {
    factors.iter().fold(1, |all: u64, &factor| all.saturating_mul(factor as u64))
}

/// A layer's kind as it is written.
fn kind(layer: &Layer) -> &'static str {
    match layer {
        Layer::Conv { .. } => "conv",
        Layer::BatchNorm { .. } => "batch-norm",
        Layer::Relu => "relu",
        Layer::MaxPool { .. } => "max-pool",
        Layer::AvgPool { .. } => "avg-pool",
        Layer::GlobalAvgPool => "global-avg-pool",
        Layer::Flatten => "flatten",
        Layer::Dropout { .. } => "dropout",
        Layer::Linear { .. } => "linear",
        Layer::Residual { .. } => "residual",
    }
}

fn name(layer: &Layer) -> &str {
    match layer {
        Layer::Conv { name, .. } | Layer::BatchNorm { name, .. } | Layer::Linear { name, .. } => name,
        _ => "",
    }
}

fn title(layer: &Layer) -> String {
    match name(layer) {
        "" => format!("`{}`", kind(layer)),
        name => format!("`{} {name}`", kind(layer)),
    }
}
