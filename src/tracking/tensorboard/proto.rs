//! Messages of `TensorBoard`'s event files, as far as they are written: `event.proto`, `summary.proto`, and `plugin_data.proto` of its
//! table of hyperparameters.

use std::collections::BTreeMap;

use prost::{Message, Oneof};

/// Record of an event file.
#[derive(Clone, PartialEq, Message)]
pub struct LoggedEvent {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    pub wall_time: f64,
    /// The epoch.
    #[prost(int64, tag = "2")]
    pub step: i64,
    /// What it says.
    #[prost(oneof = "LoggedContent", tags = "3, 5")]
    pub content: Option<LoggedContent>,
}

/// Content of an event.
#[derive(Clone, PartialEq, Oneof)]
pub enum LoggedContent {
    /// The version of the file format, in the first event.
    #[prost(string, tag = "3")]
    FileVersion(String),
    /// Values.
    #[prost(message, tag = "5")]
    Summary(LoggedSummary),
}

/// Values of a step.
#[derive(Clone, PartialEq, Message)]
pub struct LoggedSummary {
    /// The values.
    #[prost(message, repeated, tag = "1")]
    pub values: Vec<LoggedValue>,
}

/// A value with its tag.
#[derive(Clone, PartialEq, Message)]
pub struct LoggedValue {
    /// Its tag; the part before the first `/` groups charts.
    #[prost(string, tag = "1")]
    pub tag: String,
    /// The scalar.
    #[prost(float, optional, tag = "2")]
    pub scalar: Option<f32>,
    /// For what is not a scalar, which plugin reads it.
    #[prost(message, optional, tag = "9")]
    pub metadata: Option<LoggedMetadata>,
}

/// Metadata of a value.
#[derive(Clone, PartialEq, Message)]
pub struct LoggedMetadata {
    /// The plugin that reads it.
    #[prost(message, optional, tag = "1")]
    pub plugin: Option<LoggedPlugin>,
}

/// Data of a plugin.
#[derive(Clone, PartialEq, Message)]
pub struct LoggedPlugin {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its data.
    #[prost(bytes = "vec", tag = "2")]
    pub content: Vec<u8>,
}

/// Data of the table of hyperparameters.
#[derive(Clone, PartialEq, Message)]
pub struct HparamsData {
    /// The parameters of a run.
    #[prost(message, optional, tag = "3")]
    pub start: Option<HparamsStart>,
    /// How a run ended.
    #[prost(message, optional, tag = "4")]
    pub end: Option<HparamsEnd>,
}

/// The parameters of a run.
#[derive(Clone, PartialEq, Message)]
pub struct HparamsStart {
    /// The parameters by name.
    #[prost(btree_map = "string, message", tag = "1")]
    pub hparams: BTreeMap<String, HparamsValue>,
    /// Runs of one group are one row of the table.
    #[prost(string, tag = "4")]
    pub group: String,
    /// Seconds since 1970.
    #[prost(double, tag = "5")]
    pub seconds: f64,
}

/// How a run ended.
#[derive(Clone, PartialEq, Message)]
pub struct HparamsEnd {
    /// 1 if it succeeded.
    #[prost(int32, tag = "1")]
    pub status: i32,
    /// Seconds since 1970.
    #[prost(double, tag = "2")]
    pub seconds: f64,
}

/// Value of a parameter: `google.protobuf.Value`.
#[derive(Clone, PartialEq, Message)]
pub struct HparamsValue {
    /// The value.
    #[prost(oneof = "HparamsKind", tags = "2, 3, 4")]
    pub kind: Option<HparamsKind>,
}

/// Kinds of values.
#[derive(Clone, PartialEq, Oneof)]
pub enum HparamsKind {
    /// A number.
    #[prost(double, tag = "2")]
    Number(f64),
    /// Text.
    #[prost(string, tag = "3")]
    Text(String),
    /// A truth value.
    #[prost(bool, tag = "4")]
    Bool(bool),
}
