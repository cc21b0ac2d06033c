//! Uploads to a remote: packs and large objects first, then the bundle that names them. Existing files are not sent
//! again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use tracing::field::Empty;

use super::super::objects::at_once;
use super::super::{Blob, EVERYWHERE, Entry, Found, Record, Store, StoreError, action};
use super::bundle::{self, Bundle, LARGE, LARGEST, Pack};
use super::hit::{all_there, bundle_of};
use super::parts::parts;
use super::watchdog::REMOTE;
use super::{Fault, Remote, lock};
use crate::base::Digest;

/// What to transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferMode {
    /// Nothing: only report what would be transferred.
    DryRun,
    /// Only what is missing on the other side.
    Missing,
    /// Everything, replacing existing files: a damaged file cannot be recognised from its size.
    Overwrite,
}

/// Whether the remote already had a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Was {
    /// It had all of it.
    There,
    /// It lacked some of it.
    Missing,
}

/// What was uploaded of a result, or would be.
#[derive(Clone, Copy, Debug)]
pub struct Uploaded {
    /// Whether the remote already had it.
    pub was: Was,
    /// Number of files.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// The objects of a result, by how they are stored on a remote.
struct Parted {
    trees: BTreeSet<Entry>,
    small: Vec<Entry>,
    alone: Vec<Entry>,
    outside: Vec<Entry>,
}

/// A file to upload.
enum File<'a> {
    Pack { at: usize, objects: Vec<&'a Entry>, small: usize },
    Alone(&'a Entry),
}

impl Store {
    /// Uploads a result that [`Store::find`] found. `on_progress` is called with the bytes sent so far and returns
    /// whether to continue.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn upload(
        &self,
        remote: &Remote,
        result: &Found,
        mode: TransferMode,
        on_progress: &(dyn Fn(u64) -> bool + Sync),
    ) -> Result<Uploaded, Fault> {
        let record = Record { recipe: None, ..result.record.clone() };
        let span =
            tracing::info_span!(target: REMOTE, "upload", remote = remote.name, key = %record.key, bytes = Empty);
        let span = span.entered();
        let there = match bundle_of(remote, &record.key, &record.target) {
            Ok(there) => there,
            Err(Fault::Wrong(_)) => None,
            Err(fault) => return Err(fault),
        };
        if let Some(there) = there.filter(|_| mode != TransferMode::Overwrite)
            && all_there(remote, &there, &parts(&there))?
        {
            return Ok(Uploaded { was: Was::There, files: 0, bytes: 0 });
        }
        let parted = self.parted(result)?;
        let (files, bytes) = (AtomicUsize::new(0), AtomicU64::new(0));
        let packs = Mutex::new(BTreeMap::new());
        at_once(&parted.files(), |file| {
            let (name, content) = match file {
                File::Pack { at, objects, small } => {
                    let objects: Result<Vec<Blob>, StoreError> =
                        objects.iter().map(|entry| self.objects.read(entry)).collect();
                    let bytes = bundle::packed(&objects?);
                    let file = Entry { digest: Digest::of(&bytes), size: bytes.len() as u64 };
                    lock(&packs).insert(*at, Pack { file, small: *small });
                    (bundle::pack(&file.digest), Bytes::from(bytes))
                }
                File::Alone(entry) => (bundle::object(&entry.digest), Bytes::from_owner(self.objects.read(entry)?)),
            };
            let size = content.len() as u64;
            if mode != TransferMode::Overwrite && remote.tried(|site| site.size(&name))? == Some(size) {
                return Ok(());
            }
            if mode != TransferMode::DryRun {
                remote.tried(|site| site.put(&name, content.clone()))?;
            }
            files.fetch_add(1, Ordering::Relaxed);
            let proceed = on_progress(bytes.fetch_add(size, Ordering::Relaxed) + size);
            if proceed { Ok(()) } else { Err(Fault::Stopped) }
        })?;
        let packs = packs.into_inner().unwrap_or_default().into_values().collect();
        let bundle = Bundle { record, packs, alone: parted.alone, outside: parted.outside };
        let text = Bytes::from(action::sealed(&bundle));
        let length = text.len() as u64;
        if length > LARGEST || !bundle.fits() {
            let stage = &bundle.record.made.stage;
            return Err(Fault::Wrong(format!("the result of `{stage}` has too many files for a remote")));
        }
        if mode != TransferMode::DryRun {
            let target = &bundle.record.target;
            if target != EVERYWHERE {
                record_as(remote, &bundle, bundle::ANY, &text, mode)?;
            }
            record_as(remote, &bundle, target, &text, mode)?;
        }
        let bytes = bytes.into_inner() + length;
        span.record("bytes", bytes);
        Ok(Uploaded { was: Was::Missing, files: files.into_inner() + 1, bytes })
    }

    fn parted(&self, result: &Found) -> Result<Parted, StoreError> {
        let mut named = BTreeMap::new();
        for stored in result.record.outputs.values() {
            let tree = self.objects.read_tree(&stored.object)?;
            named.extend(tree.entries.values().map(|entry| (entry.digest, *entry)));
        }
        let trees = result.record.outputs.values().map(|stored| stored.object).collect();
        let mut parted = Parted { trees, small: Vec::new(), alone: Vec::new(), outside: Vec::new() };
        for entry in named.into_values() {
            if self.objects.relies_on(&entry) {
                if entry.size < LARGE { parted.small.push(entry) } else { parted.alone.push(entry) }
            } else if self.objects.holds(&entry) {
                parted.outside.push(entry);
            } else {
                return Err(StoreError::Missing { digest: entry.digest });
            }
        }
        Ok(parted)
    }
}

impl Parted {
    fn files(&self) -> Vec<File<'_>> {
        let mut small = self.small.iter();
        let counts = bundle::parted(&self.trees, &self.small);
        let packs = counts.into_iter().enumerate().map(|(at, count)| {
            let trees = self.trees.iter().filter(|_| at == 0);
            let objects = trees.chain(small.by_ref().take(count)).collect();
            File::Pack { at, objects, small: count }
        });
        let packs: Vec<File<'_>> = packs.collect();
        packs.into_iter().chain(self.alone.iter().map(File::Alone)).collect()
    }
}

/// Writes a bundle unless the remote has a valid one under that name. The first bundle wins: two machines may have
/// computed different bytes.
fn record_as(remote: &Remote, bundle: &Bundle, target: &str, text: &Bytes, mode: TransferMode) -> Result<(), Fault> {
    let name = bundle::action(&bundle.record.key, target);
    if mode != TransferMode::Overwrite {
        if remote.tried(|site| site.create(&name, text.clone()))? {
            return judge(remote, &name, text);
        }
        let whole = match bundle_of(remote, &bundle.record.key, target) {
            Ok(Some(there)) => all_there(remote, &there, &parts(&there))?,
            Ok(None) | Err(Fault::Wrong(_)) => false,
            Err(fault) => return Err(fault),
        };
        if whole {
            return Ok(());
        }
    }
    remote.tried(|site| site.put(&name, text.clone()))
}

/// Tests, once per process, whether creating an existing file fails. Not all S3-compatible services honour the
/// condition.
fn judge(remote: &Remote, name: &str, text: &Bytes) -> Result<(), Fault> {
    let judged = std::mem::replace(&mut *lock(&remote.judged), true);
    if !judged && remote.tried(|site| site.create(name, text.clone()))? {
        let text =
            format!("remote `{}` ignores if-none-match: concurrent pushes may overwrite each other", remote.name);
        let hint = "if several processes push one key at the same time, the last one wins instead of the first (docs/remotes.md)";
        remote.trouble(&Fault::hinted(text, hint));
    }
    Ok(())
}
