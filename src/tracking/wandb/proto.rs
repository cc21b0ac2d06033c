//! Messages of Weights & Biases' run files (`wandb_internal.proto`), as far as they are written.

use prost::{Message, Oneof};

/// Record of a run file.
#[derive(Clone, PartialEq, Message)]
pub struct WandbRecord {
    /// Its number, from 1.
    #[prost(int64, tag = "1")]
    pub number: i64,
    /// What it says.
    #[prost(oneof = "WandbContent", tags = "2, 3, 17, 18, 21")]
    pub content: Option<WandbContent>,
}

/// Content of a record.
#[derive(Clone, PartialEq, Oneof)]
pub enum WandbContent {
    /// Values of a step.
    #[prost(message, tag = "2")]
    History(WandbHistory),
    /// Values of the whole run.
    #[prost(message, tag = "3")]
    Summary(WandbItems),
    /// The run.
    #[prost(message, tag = "17")]
    Run(WandbRun),
    /// The end of the run.
    #[prost(message, tag = "18")]
    Exit(WandbExit),
    /// Who wrote the file, in the first record.
    #[prost(message, tag = "21")]
    Header(WandbHeader),
}

/// Values of a step.
#[derive(Clone, PartialEq, Message)]
pub struct WandbHistory {
    /// The values.
    #[prost(message, repeated, tag = "1")]
    pub items: Vec<WandbItem>,
    /// The step.
    #[prost(message, optional, tag = "2")]
    pub step: Option<WandbStep>,
}

/// Number of a step.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct WandbStep {
    /// The number.
    #[prost(int64, tag = "1")]
    pub number: i64,
}

/// Changed values.
#[derive(Clone, PartialEq, Message)]
pub struct WandbItems {
    /// The values.
    #[prost(message, repeated, tag = "1")]
    pub update: Vec<WandbItem>,
}

/// A value with its name.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct WandbItem {
    /// The name.
    #[prost(string, tag = "1")]
    pub key: String,
    /// The value as JSON.
    #[prost(string, tag = "16")]
    pub json: String,
}

/// A run.
#[derive(Clone, PartialEq, Message)]
pub struct WandbRun {
    /// Its id.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Its project.
    #[prost(string, tag = "3")]
    pub project: String,
    /// Its parameters.
    #[prost(message, optional, tag = "4")]
    pub config: Option<WandbItems>,
    /// Runs that belong together.
    #[prost(string, tag = "6")]
    pub group: String,
    /// What kind of run it is.
    #[prost(string, tag = "7")]
    pub job_type: String,
    /// Its name for people.
    #[prost(string, tag = "8")]
    pub name: String,
    /// Its tags.
    #[prost(string, repeated, tag = "10")]
    pub tags: Vec<String>,
    /// When it began.
    #[prost(message, optional, tag = "17")]
    pub began: Option<WandbTime>,
}

/// Time: `google.protobuf.Timestamp`.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct WandbTime {
    /// Seconds since 1970.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// Nanoseconds after that.
    #[prost(int32, tag = "2")]
    pub nanoseconds: i32,
}

/// The end of a run.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct WandbExit {
    /// The exit code.
    #[prost(int32, tag = "1")]
    pub code: i32,
    /// Seconds that it took.
    #[prost(int32, tag = "2")]
    pub seconds: i32,
}

/// Who wrote a file.
#[derive(Clone, PartialEq, Message)]
pub struct WandbHeader {
    /// The versions.
    #[prost(message, optional, tag = "1")]
    pub version: Option<WandbVersion>,
}

/// Versions of a file's writer and readers.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct WandbVersion {
    /// The version of the client whose format it is.
    #[prost(string, tag = "1")]
    pub producer: String,
    /// The oldest client that can read it.
    #[prost(string, tag = "2")]
    pub min_consumer: String,
}
