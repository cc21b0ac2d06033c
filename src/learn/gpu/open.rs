//! From what a pipeline asks for to the device that computes, and what is said about it. Knows no network.

use super::{Choice, Gpu, Precision};
use crate::learn::kernels;
use crate::stage::StageError;

/// The device that computes.
pub struct Opened {
    /// The card; none where the processor computes.
    pub gpu: Option<Box<dyn Gpu>>,
    /// What people should know.
    pub said: Option<String>,
}

/// The device for a choice.
///
/// # Errors
/// [`StageError::Input`] where a GPU is asked for and none works, or the processor is to compute with what it has not.
pub fn open(choice: Choice, precision: Precision) -> Result<Opened, StageError> {
    let why = match (choice, found(precision)) {
        (Choice::Cpu, _) => None,
        (_, Ok(card)) => return card.opened(precision),
        (Choice::Cuda, Err((why, hint))) => return Err(StageError::input("no-gpu", why).hint(hint).field("device")),
        (Choice::Auto, Err((why, _))) => Some(why),
    };
    if precision != Precision::F32 {
        let text = match why {
            Some(why) => format!("`precision {precision}` needs a GPU, and {why}"),
            None => format!("`precision {precision}` is a GPU's, and the processor is to compute"),
        };
        return Err(StageError::input("no-gpu", text).hint("say `precision f32`").field("precision"));
    }
    // Without the feature nobody expects a GPU.
    let said = why.filter(|_| cfg!(feature = "cuda")).map(|why| format!("the processor computes: {why}"));
    Ok(Opened { gpu: None, said })
}

/// The class that results are recorded in where that is chosen.
#[must_use]
pub fn class(choice: Choice, precision: Precision) -> String {
    match (choice, found(precision)) {
        (Choice::Auto | Choice::Cuda, Ok(card)) => card.class(precision),
        _ => kernels::path(),
    }
}

/// The card that works with a precision, or why there is none and what helps. Looked for once a process.
#[cfg(feature = "cuda")]
fn found(precision: Precision) -> Result<Card, (String, String)> {
    use std::sync::OnceLock;
    static FOUND: [OnceLock<Result<Card, (String, String)>>; 3] = [const { OnceLock::new() }; 3];
    let find = || super::cuda::find(precision).map(Card).map_err(|refused| (refused.why, refused.hint));
    FOUND[precision as usize].get_or_init(find).clone()
}

#[cfg(feature = "cuda")]
#[derive(Clone)]
struct Card(super::cuda::Card);

#[cfg(feature = "cuda")]
impl Card {
    fn class(&self, precision: Precision) -> String {
        self.0.class(precision)
    }

    fn opened(&self, precision: Precision) -> Result<Opened, StageError> {
        let (a, b, c) = self.0.cudnn_version;
        let said = format!("{} computes, with cuDNN {a}.{b}.{c}, in {precision}", self.0.name);
        Ok(Opened { gpu: Some(Box::new(self.0.open(precision)?)), said: Some(said) })
    }
}

/// Without the feature there is none.
#[cfg(not(feature = "cuda"))]
fn found(_: Precision) -> Result<Card, (String, String)> {
    let hint = "build it with `cargo build --release --features cuda`, or say `device cpu`";
    Err(("this macula was built without CUDA".to_owned(), hint.to_owned()))
}

#[cfg(not(feature = "cuda"))]
enum Card {}

#[cfg(not(feature = "cuda"))]
impl Card {
    fn class(&self, _: Precision) -> String {
        match *self {}
    }

    fn opened(&self, _: Precision) -> Result<Opened, StageError> {
        match *self {}
    }
}
