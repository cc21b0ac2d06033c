//! Graph under construction: nodes, constants, names, and the layout of each value. Knows no layer.

use std::collections::{BTreeMap, BTreeSet};

use super::proto::{
    OnnxAttribute, OnnxGraph, OnnxNode, OnnxPort, OnnxTensor, PortDimension, PortShape, PortTensor, PortType, data_type,
};
use crate::base::Digest;
use crate::engine::network::Weights;
use crate::stage::StageError;

/// Order of the dimensions of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ValueLayout {
    /// N x C x H x W, for convolutions and pooling.
    Maps,
    /// N x H x W x C, for whatever works on the channels of each pixel.
    Pixels,
    /// N x C.
    Vector,
}

/// Value between two nodes.
#[derive(Clone, Debug)]
pub(super) struct GraphValue {
    pub(super) name: String,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) channels: usize,
    pub(super) layout: ValueLayout,
}

impl GraphValue {
    /// Number of pixels.
    pub(super) const fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// Position of the channels among the dimensions.
    pub(super) const fn channel_axis(&self) -> i64 {
        match self.layout {
            ValueLayout::Maps | ValueLayout::Vector => 1,
            ValueLayout::Pixels => 3,
        }
    }

    /// The output `name` of an operation that works on each element.
    pub(super) fn mapped(&self, name: String) -> Self {
        Self { name, ..self.clone() }
    }
}

/// Whole number as ONNX has it.
pub(super) const fn int(number: usize) -> i64 {
    number as i64
}

/// Attribute of one whole number.
pub(super) fn attribute(name: &str, i: i64) -> OnnxAttribute {
    OnnxAttribute { name: name.to_owned(), i: Some(i), r#type: Some(2), ..OnnxAttribute::default() }
}

/// Attribute of several whole numbers.
pub(super) fn attributes(name: &str, ints: &[i64]) -> OnnxAttribute {
    OnnxAttribute { name: name.to_owned(), ints: ints.to_vec(), r#type: Some(7), ..OnnxAttribute::default() }
}

/// Attribute of a real number.
pub(super) fn real_attribute(name: &str, f: f64) -> OnnxAttribute {
    OnnxAttribute { name: name.to_owned(), f: Some(f as f32), r#type: Some(1), ..OnnxAttribute::default() }
}

/// Graph under construction.
#[derive(Default)]
pub(super) struct GraphBuilder {
    graph: OnnxGraph,
    taken: BTreeSet<String>,
    /// Constants that were added, by what they hold.
    known: BTreeMap<(Vec<i64>, i32, Digest), String>,
    /// Prefix of all names.
    pub(super) prefix: String,
}

impl GraphBuilder {
    /// Empty graph, in which `output` is the name of the output only.
    pub(super) fn new(output: &str) -> Self {
        Self { taken: BTreeSet::from([output.to_owned()]), ..Self::default() }
    }

    /// A name that nothing else has.
    fn free(&mut self, wanted: &str) -> String {
        let wanted = format!("{}{wanted}", self.prefix);
        let mut name = wanted.clone();
        let mut at = 1;
        while !self.taken.insert(name.clone()) {
            at += 1;
            name = format!("{wanted}_{at}");
        }
        name
    }

    /// Input of the graph. The first dimension is the number of patches; its type is f32 or bytes.
    pub(super) fn input(&mut self, name: &str, elements: i32, sides: &[usize], doc: &str) -> String {
        self.taken.insert(name.to_owned());
        self.graph.input.push(port(name, elements, sides, doc));
        name.to_owned()
    }

    /// Adds a node; `hint` is the beginning of its name and that of its output, which is returned.
    pub(super) fn node(
        &mut self,
        op: &str,
        hint: &str,
        inputs: &[&str],
        attribute: impl IntoIterator<Item = OnnxAttribute>,
    ) -> String {
        let name = self.free(hint);
        self.graph.node.push(OnnxNode {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![name.clone()],
            name: name.clone(),
            op_type: op.to_owned(),
            attribute: attribute.into_iter().collect(),
        });
        name
    }

    /// Constant; equal ones are stored once.
    fn constant(&mut self, hint: &str, dims: &[usize], data_type: i32, bytes: Vec<u8>) -> String {
        let dims: Vec<i64> = dims.iter().copied().map(int).collect();
        let key = (dims.clone(), data_type, Digest::of(&bytes));
        if let Some(name) = self.known.get(&key) {
            return name.clone();
        }
        let name = self.free(hint);
        self.known.insert(key, name.clone());
        let tensor = OnnxTensor { dims, data_type: Some(data_type), name: name.clone(), raw_data: Some(bytes) };
        self.graph.initializer.push(tensor);
        name
    }

    /// Constant of f32.
    pub(super) fn floats(&mut self, hint: &str, dims: &[usize], values: &[f32]) -> String {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(hint, dims, data_type::FLOAT, bytes)
    }

    /// A single f32 without dimensions.
    pub(super) fn float(&mut self, value: f32) -> String {
        self.floats("number", &[], &[value])
    }

    /// Constant of f64.
    pub(super) fn doubles(&mut self, hint: &str, dims: &[usize], values: &[f64]) -> String {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(hint, dims, data_type::DOUBLE, bytes)
    }

    /// Constant list of whole numbers.
    pub(super) fn ints(&mut self, values: &[i64]) -> String {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant("sizes", &[values.len()], data_type::INT64, bytes)
    }

    /// A single whole number without dimensions.
    pub(super) fn number(&mut self, value: i64) -> String {
        self.constant("index", &[], data_type::INT64, value.to_le_bytes().to_vec())
    }

    /// Reshaped value; a side of 0 keeps the dimension at its position, one of -1 is what remains.
    pub(super) fn reshape(&mut self, x: &str, sides: &[i64]) -> String {
        let sides = self.ints(sides);
        self.node("Reshape", "reshape", &[x, &sides], [])
    }

    /// Transposed value.
    pub(super) fn transpose(&mut self, x: &str, order: &[i64]) -> String {
        self.node("Transpose", "transpose", &[x], [attributes("perm", order)])
    }

    /// Elements `from..to` of one dimension.
    pub(super) fn slice(&mut self, x: &str, axis: i64, from: usize, to: usize) -> String {
        let bounds = [self.ints(&[int(from)]), self.ints(&[int(to)]), self.ints(&[axis])];
        self.node("Slice", "slice", &[x, &bounds[0], &bounds[1], &bounds[2]], [])
    }

    /// Values in the opposite order along a dimension.
    pub(super) fn reversed(&mut self, x: &str, axis: i64) -> String {
        let bounds = [self.ints(&[-1]), self.ints(&[i64::MIN]), self.ints(&[axis]), self.ints(&[-1])];
        self.node("Slice", "flip", &[x, &bounds[0], &bounds[1], &bounds[2], &bounds[3]], [])
    }

    /// Element at a position of one dimension, which is removed.
    pub(super) fn pick(&mut self, x: &str, axis: i64, at: i64) -> String {
        let at = self.number(at);
        self.node("Gather", "pick", &[x, &at], [attribute("axis", axis)])
    }

    /// Values one after another.
    pub(super) fn concat(&mut self, hint: &str, values: &[&str], axis: i64) -> String {
        self.node("Concat", hint, values, [attribute("axis", axis)])
    }

    /// The same value in another layout.
    ///
    /// # Errors
    /// [`StageError::Bug`] if a map of several pixels should become a vector: the shape check refuses such networks.
    pub(super) fn to(&mut self, value: &GraphValue, layout: ValueLayout) -> Result<GraphValue, StageError> {
        use ValueLayout::{Maps, Pixels, Vector};
        let channels = int(value.channels);
        let name = match (value.layout, layout) {
            (Maps, Pixels) => self.transpose(&value.name, &[0, 2, 3, 1]),
            (Pixels, Maps) => self.transpose(&value.name, &[0, 3, 1, 2]),
            (Vector, Maps) => self.reshape(&value.name, &[0, channels, 1, 1]),
            (Vector, Pixels) => self.reshape(&value.name, &[0, 1, 1, channels]),
            (Maps | Pixels, Vector) if value.pixels() == 1 => self.reshape(&value.name, &[0, channels]),
            (Maps | Pixels, Vector) => {
                return Err(StageError::Bug(format!("a map of {} pixels as a vector", value.pixels())));
            }
            (Maps, Maps) | (Pixels, Pixels) | (Vector, Vector) => return Ok(value.clone()),
        };
        Ok(GraphValue { name, layout, ..value.clone() })
    }

    /// Pixels as a list: N x (H W) x C.
    pub(super) fn listed(&mut self, value: &GraphValue) -> Result<String, StageError> {
        let pixels = self.to(value, ValueLayout::Pixels)?;
        Ok(self.reshape(&pixels.name, &[0, int(value.pixels()), int(value.channels)]))
    }

    /// Constant of a tensor of the network, in torch's layout.
    pub(super) fn weight(&mut self, weights: &Weights, name: &str) -> Result<String, StageError> {
        let (shape, values) = tensor(weights, name)?;
        Ok(self.floats(name, shape, values))
    }

    /// Constant of a matrix of the network, transposed: in x out.
    pub(super) fn transposed(&mut self, weights: &Weights, name: &str) -> Result<String, StageError> {
        let (shape, values) = tensor(weights, name)?;
        let &[out, within] = shape else {
            return Err(StageError::Bug(format!("tensor `{name}` has {} dimensions, expected 2", shape.len())));
        };
        let turned: Vec<f32> =
            (0..within).flat_map(|column| (0..out).map(move |row| values[row * within + column])).collect();
        Ok(self.floats(&format!("{name}.transposed"), &[within, out], &turned))
    }

    /// The finished graph with one output of the given name, without whatever does not lead to it.
    pub(super) fn finish(mut self, of: &str, output: &str, sides: &[usize], doc: &str) -> OnnxGraph {
        let mut read = BTreeSet::from([of.to_owned()]);
        let mut kept = Vec::new();
        for mut node in self.graph.node.into_iter().rev() {
            if node.output.iter().any(|name| read.contains(name)) {
                read.extend(node.input.iter().cloned());
                node.output.iter_mut().filter(|name| *name == of).for_each(|name| output.clone_into(name));
                kept.push(node);
            }
        }
        kept.reverse();
        self.graph.node = kept;
        self.graph.initializer.retain(|tensor| read.contains(&tensor.name));
        self.graph.input.retain(|port| read.contains(&port.name));
        self.graph.output = vec![port(output, data_type::FLOAT, sides, doc)];
        self.graph
    }
}

/// Shape and values of a tensor of the network.
pub(super) fn tensor<'w>(weights: &'w Weights, name: &str) -> Result<(&'w [usize], &'w [f32]), StageError> {
    let found = weights.tensors.get(name).map(|(shape, values)| (shape.as_slice(), values.as_slice()));
    found.ok_or_else(|| StageError::Bug(format!("the weights have no tensor `{name}`")))
}

/// Input or output of so many patches.
fn port(name: &str, elements: i32, sides: &[usize], doc: &str) -> OnnxPort {
    let batch = PortDimension { dim_value: None, dim_param: Some("N".to_owned()) };
    let side = |side: &usize| PortDimension { dim_value: Some(int(*side)), dim_param: None };
    let shape = PortShape { dim: std::iter::once(batch).chain(sides.iter().map(side)).collect() };
    let tensor = PortTensor { elem_type: Some(elements), shape: Some(shape) };
    OnnxPort { name: name.to_owned(), r#type: Some(PortType { tensor_type: Some(tensor) }), doc_string: doc.to_owned() }
}
