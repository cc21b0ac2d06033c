//! Remotes: places where results are shared, and read-through from them. Knows keys and digests, not stages; a [`Site`]
//! knows how to reach a place.
//!
//! The bytes from a remote are verified against their digests. That a key has *this* result cannot be verified: whoever
//! may write to a remote may claim so.

mod agent;
mod bundle;
#[cfg(feature = "cloud")]
mod cloud;
mod download;
mod folder;
mod hit;
mod http;
mod parts;
mod site;
#[cfg(feature = "cloud")]
mod transport;
mod upload;
mod watchdog;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use bundle::Bundle;
pub(super) use bundle::is_plain_record;
#[cfg(feature = "cloud")]
pub use cloud::{Bucket, Cloud};
pub use folder::Folder;
pub use hit::RemoteHit;
pub use http::Web;
pub use site::{Fault, Site};
pub use upload::{TransferMode, Uploaded, Was};
pub use watchdog::Watchdog;

use self::watchdog::{REMOTE, Waited, Watched};
use crate::base::Digest;
use crate::base::budget::Budget;
use crate::base::sync::lock;

/// Pauses before retrying a transfer after a transient failure.
const PAUSES: [Duration; 3] = [Duration::from_millis(200), Duration::from_millis(800), Duration::from_millis(3200)];

/// A place where results are shared.
#[derive(Debug)]
pub struct Remote {
    /// Its name.
    pub name: String,
    /// Whether results may be written to it.
    pub write: bool,
    /// Whether these may include results that contain image data or file names of photographs.
    pub photographs: bool,
    site: Arc<dyn Site>,
    /// Limits for its requests.
    watch: Watchdog,
    /// Total time spent waiting for its responses.
    waited: Mutex<Waited>,
    /// Limits the bytes of packs in memory at the same time.
    room: Budget,
    /// Whether it failed: then it is not used again.
    down: Mutex<bool>,
    /// Whether it was tested if creating a file fails when the file exists.
    judged: Mutex<bool>,
    troubles: Mutex<Vec<Trouble>>,
}

/// A problem with a remote, reported once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// The remote.
    pub remote: String,
    /// The problem.
    pub text: String,
    /// What the user can do about it.
    pub hint: Option<String>,
}

impl Remote {
    /// A read-only remote.
    #[must_use]
    pub fn new(name: &str, site: Box<dyn Site>, watch: Watchdog) -> Self {
        Self {
            name: name.to_owned(),
            write: false,
            photographs: false,
            site: site.into(),
            watch,
            waited: Mutex::default(),
            room: Budget::new(bundle::ROOM),
            down: Mutex::default(),
            judged: Mutex::default(),
            troubles: Mutex::default(),
        }
    }

    /// Whether it failed in this process.
    #[must_use]
    pub fn is_down(&self) -> bool {
        *lock(&self.down)
    }

    /// Runs `work`, and retries it after transient failures. After a permanent failure, or if all responses together
    /// take too long, the remote is not used any more.
    fn tried<T>(&self, mut work: impl FnMut(&Watched<'_>) -> Result<T, Fault>) -> Result<T, Fault> {
        let watched = Watched { name: &self.name, site: &self.site, watch: &self.watch, waited: &self.waited };
        let mut pauses = PAUSES.iter();
        loop {
            if self.is_down() {
                return Err(Fault::lasting(format!("remote `{}` failed before", self.name)));
            }
            if self.watch.stopped() {
                return Err(Fault::Stopped);
            }
            let outcome = work(&watched);
            if let Some(fault) = watched.overdrawn() {
                self.give_up(&fault);
            }
            match (outcome, pauses.next()) {
                (Err(Fault::Passing(text)), Some(pause)) => {
                    tracing::info!(target: REMOTE, remote = self.name, text, ?pause, "retry");
                    if !self.watch.pause(*pause) {
                        return Err(Fault::Stopped);
                    }
                }
                (Err(fault @ (Fault::Passing(_) | Fault::Lasting { .. })), _) => {
                    self.give_up(&fault);
                    return Err(fault);
                }
                (other, _) => return other,
            }
        }
    }

    /// Stops using the remote and reports why, once.
    fn give_up(&self, fault: &Fault) {
        let was = std::mem::replace(&mut *lock(&self.down), true);
        if !was {
            self.trouble(fault);
        }
    }

    /// Takes its unreported problems.
    #[must_use]
    pub fn troubles(&self) -> Vec<Trouble> {
        std::mem::take(&mut *lock(&self.troubles))
    }

    fn trouble(&self, fault: &Fault) {
        let trouble = Trouble { remote: self.name.clone(), text: fault.to_string(), hint: fault.hint() };
        let mut troubles = lock(&self.troubles);
        if !troubles.contains(&trouble) {
            troubles.push(trouble);
        }
    }
}

/// The remotes of a project, in order of precedence.
#[derive(Debug, Default)]
pub struct Remotes {
    /// All remotes.
    pub list: Vec<Arc<Remote>>,
    /// Results of earlier lookups by key; [`None`] if no remote has the key.
    hits: Mutex<BTreeMap<Digest, Option<Arc<RemoteHit>>>>,
    /// Objects that remotes hold.
    held: Mutex<BTreeMap<Digest, (Arc<RemoteHit>, parts::BundlePart)>>,
}

impl Remotes {
    /// The remotes `list`.
    #[must_use]
    pub fn new(list: Vec<Remote>) -> Self {
        Self { list: list.into_iter().map(Arc::new).collect(), ..Self::default() }
    }

    /// Takes all unreported problems.
    #[must_use]
    pub fn troubles(&self) -> Vec<Trouble> {
        self.list.iter().flat_map(|remote| remote.troubles()).collect()
    }
}
