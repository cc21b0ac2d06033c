//! A remote in a bucket of S3, Google Cloud Storage or Azure (only here: `object_store`, `tokio`). The asynchronous
//! clients run on the thread of the caller, which their requests block.

use std::collections::BTreeMap;
use std::future::Future;
use std::io::Write;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::path::Path;
use object_store::{
    ClientOptions, Error, MultipartUpload, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, RetryConfig,
};
use tokio::runtime::{Builder, Runtime};

use super::site::{Fault, Site};
use super::transport::Transport;
use super::watchdog::WRITING;

/// Larger files are uploaded in parts of this size. S3 allows 10,000 parts: 80 GB.
const PIECE: usize = 8 << 20;

/// An object storage service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cloud {
    /// Amazon S3 and compatible services.
    S3,
    /// Google Cloud Storage.
    Gcs,
    /// Azure Blob Storage.
    Azure,
}

impl Cloud {
    /// The environment variables that usually hold the credentials.
    const fn credentials(self) -> &'static str {
        match self {
            Self::S3 => "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            Self::Gcs => "GOOGLE_APPLICATION_CREDENTIALS, which names a key's file",
            Self::Azure => "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
        }
    }
}

/// A bucket and a name prefix in it.
#[derive(Debug)]
pub struct Bucket {
    /// Its name for display.
    name: String,
    reading: Arc<dyn ObjectStore>,
    writing: Arc<dyn ObjectStore>,
    prefix: String,
    runtime: Runtime,
    patience: Duration,
}

impl Bucket {
    /// Opens a bucket (on Azure, a container) with the usual credentials from the environment (`AWS_ACCESS_KEY_ID`,
    /// `GOOGLE_APPLICATION_CREDENTIALS`, `AZURE_STORAGE_ACCOUNT_NAME`, …). Requests time out after `patience` without a
    /// response.
    ///
    /// # Errors
    /// [`Fault::Lasting`] if the client cannot be set up.
    pub fn open(
        kind: Cloud,
        bucket: &str,
        prefix: &str,
        environment: &BTreeMap<String, String>,
        patience: Duration,
    ) -> Result<Self, Fault> {
        let scheme = match kind {
            Cloud::S3 => "s3",
            Cloud::Gcs => "gs",
            Cloud::Azure => "az",
        };
        let name = [scheme, "://", bucket, if prefix.is_empty() { "" } else { "/" }, prefix].concat();
        let open = |patience| store(kind, bucket, environment, patience);
        let failed = |error: Error| {
            let text = format!("`{name}` cannot be opened: {}", without_values(&error));
            let from = kind.credentials();
            let hint = format!("credentials come from {from} (docs/remotes.md); `MACULA_REMOTE=none` disables remotes");
            Fault::hinted(text, hint)
        };
        let (reading, writing) = (open(patience).map_err(failed)?, open(patience + WRITING).map_err(failed)?);
        let runtime = Builder::new_current_thread().enable_time().build();
        let runtime = runtime.map_err(|error| Fault::lasting(format!("`{name}` cannot be opened: {error}")))?;
        Ok(Self { reading, writing, runtime, prefix: prefix.to_owned(), patience, name })
    }

    fn path(&self, name: &str) -> Path {
        Path::from(if self.prefix.is_empty() { name.to_owned() } else { format!("{}/{name}", self.prefix) })
    }

    fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    fn fault(&self, error: &Error) -> Fault {
        let text = format!("`{}`: {}", self.name, words(error));
        match error {
            Error::Unauthenticated { .. } | Error::PermissionDenied { .. } => {
                let hint = "check the permissions of the credentials (docs/remotes.md); listing must be allowed";
                Fault::hinted(text, hint)
            }
            Error::NotFound { .. } => Fault::hinted(text, "check that the bucket exists"),
            Error::Generic { .. } if is_silence(error) => {
                let text = format!("`{}` did not respond for {} s", self.name, self.patience.as_secs_f64());
                Fault::hinted(text, "raise `timeout=` in `project.kdl`")
            }
            Error::Generic { .. } => Fault::Passing(text),
            _ => Fault::lasting(text),
        }
    }

    fn put_in_pieces(&self, path: &Path, bytes: &Bytes, on_progress: &dyn Fn() -> bool) -> Result<(), Fault> {
        self.wait(async {
            let mut upload = self.writing.put_multipart(path).await.map_err(|error| self.fault(&error))?;
            let sent = self.send_pieces(&mut *upload, bytes, on_progress).await;
            if sent.is_err() {
                // An unfinished upload costs its owner money.
                let _ = upload.abort().await;
            }
            sent
        })
    }

    async fn send_pieces(
        &self,
        upload: &mut dyn MultipartUpload,
        bytes: &Bytes,
        on_progress: &dyn Fn() -> bool,
    ) -> Result<(), Fault> {
        for at in (0..bytes.len()).step_by(PIECE) {
            if !on_progress() {
                return Err(Fault::Stopped);
            }
            let piece = bytes.slice(at..bytes.len().min(at + PIECE));
            upload.put_part(PutPayload::from_bytes(piece)).await.map_err(|error| self.fault(&error))?;
        }
        upload.complete().await.map(|_| ()).map_err(|error| self.fault(&error))
    }
}

impl Site for Bucket {
    fn fetch(&self, name: &str, most: u64, into: &mut dyn Write) -> Result<Option<u64>, Fault> {
        let path = self.path(name);
        let result = match self.wait(self.reading.get(&path)) {
            Ok(result) => result,
            Err(error @ Error::NotFound { .. }) if !lacks_bucket(&error) => return Ok(None),
            Err(error) => return Err(self.fault(&error)),
        };
        if result.meta.size > most {
            return Err(Fault::longer(name, most));
        }
        let mut stream = result.into_stream();
        let mut copied = 0;
        loop {
            let piece = self.wait(futures_util::StreamExt::next(&mut stream));
            let Some(piece) = piece.transpose().map_err(|error| self.fault(&error))? else { return Ok(Some(copied)) };
            copied += piece.len() as u64;
            if copied > most {
                return Err(Fault::longer(name, most));
            }
            into.write_all(&piece).map_err(|error| Fault::lasting(error.to_string()))?;
        }
    }

    fn size(&self, name: &str) -> Result<Option<u64>, Fault> {
        let path = self.path(name);
        match self.wait(self.reading.head(&path)) {
            Ok(meta) => Ok(Some(meta.size)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.fault(&error)),
        }
    }

    fn put(&self, name: &str, bytes: Bytes, on_progress: &dyn Fn() -> bool) -> Result<(), Fault> {
        let path = self.path(name);
        if bytes.len() > PIECE {
            return self.put_in_pieces(&path, &bytes, on_progress);
        }
        let sent = self.wait(self.writing.put(&path, PutPayload::from_bytes(bytes)));
        sent.map(|_| ()).map_err(|error| self.fault(&error))
    }

    fn create(&self, name: &str, bytes: Bytes) -> Result<bool, Fault> {
        let path = self.path(name);
        let options = PutOptions::from(PutMode::Create);
        match self.wait(self.writing.put_opts(&path, PutPayload::from_bytes(bytes), options)) {
            Ok(_) => Ok(true),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(false),
            // S3 answers 409 while another client is creating the object.
            Err(error) if words(&error).contains("409") => {
                Err(Fault::Passing(format!("`{}`: {}", self.name, words(&error))))
            }
            Err(error) => Err(self.fault(&error)),
        }
    }
}

/// A client that times out after `patience` without a response.
fn store(
    kind: Cloud,
    bucket: &str,
    environment: &BTreeMap<String, String>,
    patience: Duration,
) -> Result<Arc<dyn ObjectStore>, Error> {
    // Endpoints on private networks often have no certificate; the public services use TLS anyway.
    let client = ClientOptions::new().with_allow_http(true);
    let transport = Transport { patience };
    // Retries happen one level up.
    let retry = RetryConfig { max_retries: 0, retry_timeout: patience, ..RetryConfig::default() };
    Ok(match kind {
        Cloud::S3 => {
            let set = |builder: AmazonS3Builder, key, value| builder.with_config(key, value);
            let builder = configured::<_, AmazonS3ConfigKey>(AmazonS3Builder::new(), environment, "aws_", set);
            Arc::new(
                builder
                    .with_bucket_name(bucket)
                    .with_client_options(client)
                    .with_http_connector(transport)
                    .with_retry(retry)
                    .build()?,
            )
        }
        Cloud::Gcs => {
            let set = |builder: GoogleCloudStorageBuilder, key, value| builder.with_config(key, value);
            let builder = GoogleCloudStorageBuilder::new();
            let builder = configured::<_, GoogleConfigKey>(builder, environment, "google_", set);
            Arc::new(
                builder
                    .with_bucket_name(bucket)
                    .with_client_options(client)
                    .with_http_connector(transport)
                    .with_retry(retry)
                    .build()?,
            )
        }
        Cloud::Azure => {
            let set = |builder: MicrosoftAzureBuilder, key, value| builder.with_config(key, value);
            let builder = MicrosoftAzureBuilder::new();
            let builder = configured::<_, AzureConfigKey>(builder, environment, "azure_", set);
            Arc::new(
                builder
                    .with_container_name(bucket)
                    .with_client_options(client)
                    .with_http_connector(transport)
                    .with_retry(retry)
                    .build()?,
            )
        }
    })
}

/// A builder configured from the environment variables with the service's usual prefix.
fn configured<B, K: FromStr>(
    builder: B,
    environment: &BTreeMap<String, String>,
    prefix: &str,
    set: impl Fn(B, K, String) -> B,
) -> B {
    let said = environment.iter().filter_map(|(name, value)| {
        let name = name.to_ascii_lowercase();
        let key = name.starts_with(prefix).then(|| name.parse().ok())??;
        Some((key, value.clone()))
    });
    said.fold(builder, |builder, (key, value)| set(builder, key, value))
}

/// An error and its causes.
fn chain(error: &Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error as &(dyn std::error::Error + 'static)), |error| error.source())
}

/// The innermost cause in one line, without URLs, which may hold a signature.
fn words(error: &Error) -> String {
    let text = chain(error).last().map(ToString::to_string).unwrap_or_default();
    // A response body starts with `<`.
    let line =
        text.lines().next().unwrap_or_default().split('<').next().unwrap_or_default().trim_end_matches([' ', ':']);
    line.split_whitespace().map(|word| if word.contains("://") { "…" } else { word }).collect::<Vec<_>>().join(" ")
}

/// What is wrong with the configuration, including the name of an unreadable file, but without values, which may be
/// secrets.
fn without_values(error: &Error) -> String {
    let deepest: Vec<_> = chain(error).collect();
    let told = deepest.iter().rev().find(|error| !error.is::<std::io::Error>());
    let text = told.map(ToString::to_string).unwrap_or_default();
    match (text.find(['"', '`']), text.rfind(['"', '`'])) {
        (Some(from), Some(to)) if from < to => format!("{}…{}", &text[..=from], &text[to..]),
        _ => text,
    }
}

/// Whether the bucket is missing rather than a file in it, according to the response body.
fn lacks_bucket(error: &Error) -> bool {
    let answer = chain(error).last().map(ToString::to_string).unwrap_or_default();
    ["<Code>NoSuchBucket</Code>", "<Code>ContainerNotFound</Code>"].iter().any(|code| answer.contains(code))
}

/// Whether the error is a timeout.
fn is_silence(error: &Error) -> bool {
    chain(error).any(|error| {
        let by_kind = error.downcast_ref::<object_store::client::HttpError>();
        by_kind.is_some_and(|error| error.kind() == object_store::client::HttpErrorKind::Timeout)
    })
}
