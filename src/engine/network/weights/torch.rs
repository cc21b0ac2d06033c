//! torch files as tensors: which dictionary of a checkpoint holds the weights, and how each tensor is stored. They know no network.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::io::{Read, Seek};

use super::UnreadableFile;
use super::archive::Archive;
use super::numbers::{Number, StridedView};
use super::pickle::{Id, Pickle, PickleValue};

/// Maximum size of a pickle, bytes: the description of a tensor takes about 200.
const LONGEST_PICKLE: u64 = 256 << 20;

/// Keys under which training scripts store the weights, the most specific first.
const USUAL: [&str; 12] = [
    "state_dict",
    "model",
    "model_state_dict",
    "model_state",
    "net",
    "network",
    "weights",
    "module",
    "params",
    "backbone",
    "encoder",
    "classifier",
];

/// Keys of averaged weights and of auxiliary networks, read if the usual keys hold nothing.
const AVERAGES: [&str; 8] =
    ["model_ema", "ema", "ema_state_dict", "state_dict_ema", "ema_model", "params_ema", "teacher", "student"];

/// Words in keys of what is stored next to the weights, which may hold tensors too.
const BESIDE: [&str; 6] = ["optim", "sched", "scaler", "rng", "criterion", "amp"];

/// Depth of the search below the top-level dictionary.
const DEEPEST: usize = 3;

/// Maximum number of axes of a tensor (torch's own limit is 64).
const MOST_AXES: usize = 64;

/// Tensor of a checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Held {
    /// Floating-point tensor, and its storage.
    Floats { view: StridedView, storage: String },
    /// Integer or boolean tensor, which no layer has.
    Whole,
    /// Unsupported tensor, and what it is.
    Refused(String),
}

/// Dictionary of tensors chosen from a checkpoint.
pub(super) struct Reading {
    /// Keys that lead to it, joined by `.`; empty for the top level.
    pub(super) path: String,
    pub(super) tensors: BTreeMap<String, Held>,
    /// Whether the first version of this reader, which knew four keys and fewer tensor types, would have read different tensors.
    pub(super) revised: bool,
}

/// Reads the descriptions of the tensors of a file.
///
/// # Errors
/// If it is damaged or has no tensors.
pub(super) fn reading<R: Read + Seek>(archive: &mut Archive<R>) -> Result<Reading, UnreadableFile> {
    if archive.is_torch_script() {
        return Err(UnreadableFile::foreign("it is a TorchScript module")
            .hint("save its state dictionary: `torch.save(torch.jit.load(\"FILE\").state_dict(), \"weights.pth\")`"));
    }
    let ambiguous = archive.is_ambiguous();
    let bytes = archive.entry("data.pkl", LONGEST_PICKLE)?;
    let bytes = bytes.ok_or_else(|| UnreadableFile::damaged(&"it has no `data.pkl`"))?;
    let pickle = Pickle::read(&bytes).map_err(|why| UnreadableFile::damaged(&why))?;
    let found = Search::of(&pickle);
    let Some((path, at)) = found.best() else { return Err(found.nothing()) };
    let mut tensors = BTreeMap::new();
    for (key, value) in pickle.items(at).unwrap_or_default() {
        if let (Some(name), Some(held)) = (pickle.text(*key), held(&pickle, *value)) {
            tensors.insert(name.to_owned(), held);
        }
    }
    let refused = tensors.values().any(|held| matches!(held, Held::Refused(_)));
    let revised = ambiguous || refused || found.first().is_none_or(|first| first != at);
    Ok(Reading { path, tensors, revised })
}

/// Dictionary that contains tensors.
struct CandidateDict<'a> {
    keys: Vec<&'a str>,
    at: Id,
    /// Number of floating-point tensors, and of those with a dot in their name: tensors of layers have one, a loss or a step has none.
    floats: usize,
    dotted: usize,
    all: usize,
}

/// All dictionaries of a pickle that contain tensors.
struct Search<'p, 'a> {
    pickle: &'p Pickle<'a>,
    candidates: Vec<CandidateDict<'a>>,
}

impl<'p, 'a> Search<'p, 'a> {
    fn of(pickle: &'p Pickle<'a>) -> Self {
        let mut waiting = VecDeque::from([(Vec::new(), pickle.root)]);
        let mut seen = HashSet::new();
        let mut candidates = Vec::new();
        while let Some((keys, at)) = waiting.pop_front() {
            if !seen.insert(at) {
                continue;
            }
            let (mut floats, mut dotted, mut all) = (0, 0, 0);
            for (key, value) in pickle.items(at).unwrap_or_default() {
                let Some(name) = pickle.text(*key) else { continue };
                match held(pickle, *value) {
                    Some(held) => {
                        let float = matches!(held, Held::Floats { .. });
                        all += 1;
                        floats += usize::from(float);
                        dotted += usize::from(float && name.contains('.'));
                    }
                    None if keys.len() < DEEPEST && is_container(pickle, *value) => {
                        waiting.push_back((keys.iter().copied().chain([name]).collect(), *value));
                    }
                    None => {}
                }
            }
            if keys.len() < DEEPEST {
                for one in pickle.sequence(at).unwrap_or_default() {
                    if is_container(pickle, *one) {
                        waiting.push_back((keys.iter().copied().chain(["[]"]).collect(), *one));
                    }
                }
            }
            if all > 0 {
                candidates.push(CandidateDict { keys, at, floats, dotted, all });
            }
        }
        Self { pickle, candidates }
    }

    /// Dictionary to read: the largest under usual keys or at the top level, unless one elsewhere has more than twice as many tensors.
    /// Ties go to the more specific key.
    fn best(&self) -> Option<(String, Id)> {
        let place = |key: &str| USUAL.iter().chain(&AVERAGES).position(|usual| *usual == key);
        let rank = |one: &CandidateDict| one.keys.iter().map(|key| place(key).unwrap_or(99) + 1).sum::<usize>();
        let order = |one: &&&CandidateDict| (one.dotted, one.floats, std::cmp::Reverse(rank(one)));
        let is_beside = |key: &&str| BESIDE.iter().any(|word| key.to_ascii_lowercase().contains(word));
        let is_usual = |one: &&&CandidateDict| one.keys.iter().all(|key| USUAL.contains(key));
        let is_average = |one: &&&CandidateDict| one.keys.iter().all(|key| place(key).is_some());
        let floats: Vec<&CandidateDict> =
            self.candidates.iter().filter(|one| one.floats > 0 && !one.keys.iter().any(is_beside)).collect();
        let largest = floats.iter().rev().max_by_key(order);
        let enough = |one: &&&CandidateDict| {
            largest.is_some_and(|largest| (one.dotted * 2, one.floats * 2) >= (largest.dotted, largest.floats))
        };
        let usual = floats.iter().filter(is_usual).rev().max_by_key(order).filter(enough);
        let average = || floats.iter().filter(is_average).rev().max_by_key(order).filter(enough);
        let best = usual.or_else(average).or(largest).copied();
        // If all tensors are unsupported, they tell why.
        let best = best.or_else(|| self.candidates.iter().rev().max_by_key(|one| one.all));
        best.map(|one| (one.keys.join("."), one.at))
    }

    /// Dictionary that the first version of this reader would have read.
    fn first(&self) -> Option<Id> {
        let keys: [&[&str]; 4] = [&[], &["state_dict"], &["model"], &["model_state_dict"]];
        keys.iter().find_map(|keys| self.candidates.iter().find(|one| one.keys == *keys).map(|one| one.at))
    }

    /// Reason why there is nothing to read.
    fn nothing(&self) -> UnreadableFile {
        let pickle = self.pickle;
        let hint = "save its state dictionary: `torch.save(model.state_dict(), \"weights.pth\")`";
        if let Some(class) = class(pickle, pickle.root) {
            let what = if is_module(pickle, pickle.root) { "a whole pickled module" } else { "a pickled object" };
            return UnreadableFile::foreign(&format!("it is {what} (`{class}`), not a state dictionary")).hint(hint);
        }
        let items = pickle.items(pickle.root).unwrap_or_default();
        if let Some((key, value)) = items.iter().find(|(_, value)| is_module(pickle, *value)) {
            let (key, class) = (pickle.text(*key).unwrap_or("?"), class(pickle, *value).unwrap_or_default());
            let why = format!("its `{key}` is a whole pickled module (`{class}`), not a state dictionary");
            return UnreadableFile::foreign(&why).hint(hint);
        }
        let keys: Vec<String> =
            items.iter().filter_map(|(key, _)| pickle.text(*key)).take(6).map(|key| format!("`{key}`")).collect();
        let has = if keys.is_empty() { String::new() } else { format!("; it has {}", keys.join(", ")) };
        UnreadableFile::foreign(&format!("it holds no state dictionary{has}")).hint(hint)
    }
}

fn is_container(pickle: &Pickle, id: Id) -> bool {
    pickle.items(id).is_some() || pickle.sequence(id).is_some()
}

/// Dotted class name of an object.
fn class(pickle: &Pickle, id: Id) -> Option<String> {
    let (module, name) = pickle.global(pickle.made(id)?.by)?;
    let short = |text: &str| text.chars().take(80).collect::<String>();
    Some(short(&format!("{module}.{name}")))
}

/// Whether an object is a torch module: it has submodules or parameters.
fn is_module(pickle: &Pickle, id: Id) -> bool {
    let Some(state) = pickle.made(id).and_then(|made| made.state) else { return false };
    let items = pickle.items(state).unwrap_or_default();
    items.iter().any(|(key, _)| matches!(pickle.text(*key), Some("_modules" | "_parameters")))
}

/// Interprets a value as a tensor; [`None`] if it is not one.
fn held(pickle: &Pickle, id: Id) -> Option<Held> {
    let made = pickle.made(id)?;
    let (mut by, mut arguments) = (made.by, made.arguments);
    // Parameters and subclasses wrap the call that builds the tensor.
    for _ in 0..8 {
        let given = pickle.sequence(arguments)?;
        match pickle.global(by)? {
            (
                "torch._utils",
                "_rebuild_parameter" | "_rebuild_parameter_with_state" | "_rebuild_device_tensor_from_cpu_tensor",
            ) => {
                let inner = pickle.made(*given.first()?)?;
                (by, arguments) = (inner.by, inner.arguments);
            }
            ("torch._tensor", "_rebuild_from_type_v2") => (by, arguments) = (*given.first()?, *given.get(2)?),
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2" | "_rebuild_tensor_v3") => {
                let broken = || Held::Refused("a tensor whose description is damaged".to_owned());
                return Some(described(pickle, given).unwrap_or_else(broken));
            }
            ("torch._utils", other) if other.starts_with("_rebuild") => {
                let kind = match other {
                    "_rebuild_sparse_tensor" | "_rebuild_sparse_csr_tensor" => "a sparse tensor",
                    "_rebuild_qtensor" => "a quantized tensor",
                    "_rebuild_meta_tensor_no_storage" => "a tensor of the device `meta`, without values",
                    "_rebuild_nested_tensor" => "a nested tensor",
                    _ => "a tensor of an unsupported kind",
                };
                return Some(Held::Refused(kind.to_owned()));
            }
            ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => {
                return Some(Held::Refused("a NumPy array".to_owned()));
            }
            _ => return None,
        }
    }
    None
}

/// Interprets the arguments of a rebuild call: storage, offset, size, stride, …; v3 has the type as the seventh.
fn described(pickle: &Pickle, given: &[Id]) -> Option<Held> {
    let count = |id: Id| pickle.int(id).and_then(|int| usize::try_from(int).ok());
    let counts = |id: Id| -> Option<Vec<usize>> {
        // A shape may be a `torch.Size` of a tuple.
        let own = pickle.sequence(id);
        let all = own.or_else(|| pickle.sequence(*pickle.sequence(pickle.made(id)?.arguments)?.first()?))?;
        if all.len() > MOST_AXES { None } else { all.iter().map(|one| count(*one)).collect() }
    };
    let [storage, offset, size, stride, rest @ ..] = given else { return None };
    let PickleValue::Persistent(storage) = pickle.get(*storage) else { return None };
    let [_, storage_type, key, ..] = pickle.sequence(*storage)? else { return None };
    let (_, storage_type) = pickle.global(*storage_type)?;
    let type_of = rest.get(2).and_then(|id| pickle.global(*id)).map(|(_, name)| name);
    let number = match (storage_type, type_of) {
        ("FloatStorage", _) | ("UntypedStorage", Some("float32")) => Number::F32,
        ("DoubleStorage", _) | ("UntypedStorage", Some("float64")) => Number::F64,
        ("HalfStorage", _) | ("UntypedStorage", Some("float16")) => Number::F16,
        ("BFloat16Storage", _) | ("UntypedStorage", Some("bfloat16")) => Number::Bf16,
        ("LongStorage" | "IntStorage" | "ShortStorage" | "CharStorage" | "ByteStorage" | "BoolStorage", _) => {
            return Some(Held::Whole);
        }
        ("UntypedStorage", Some(name)) if name.starts_with("int") || name.starts_with("uint") || name == "bool" => {
            return Some(Held::Whole);
        }
        ("UntypedStorage", Some(name)) => return Some(Held::Refused(format!("a tensor of {}", shown(name)))),
        (name, _) => {
            let name = name.trim_end_matches("Storage");
            return Some(Held::Refused(format!("a tensor of {}", shown(name))));
        }
    };
    // A view may negate its values, e.g. the imaginary part of a conjugate.
    let flags = rest.get(2).and_then(|id| pickle.items(*id)).unwrap_or_default();
    if flags.iter().take(8).any(|(_, flag)| *pickle.get(*flag) == PickleValue::Bool(true)) {
        return Some(Held::Refused("a view that negates its values (call `.resolve_neg()` before saving)".to_owned()));
    }
    let (shape, strides) = (counts(*size)?, counts(*stride)?);
    let key = pickle.text(*key)?;
    let view = StridedView { number, shape, strides, offset: count(*offset)? };
    (view.shape.len() == view.strides.len()).then(|| Held::Floats { view, storage: key.to_owned() })
}

/// Name of a type from a file, for messages.
fn shown(name: &str) -> String {
    let name: String = name.chars().filter(char::is_ascii_graphic).take(40).collect();
    match name.as_str() {
        "ComplexFloat" | "ComplexDouble" | "ComplexHalf" => "complex numbers".to_owned(),
        _ => format!("`{name}`"),
    }
}
