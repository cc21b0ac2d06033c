//! Remotes: places where results are shared, and read-through from there. Knows keys and digests, no stage; how a place is reached is
//! for its [`Site`] to know.
//!
//! What a remote says is believed as far as its bytes have the digests that they should have. That a key has *this* result is its
//! word alone: whoever may write to a remote may say so.

#[cfg(feature = "cloud")]
mod bounded;
mod bundle;
#[cfg(feature = "cloud")]
mod cloud;
mod download;
mod folder;
mod hit;
mod http;
mod site;
mod upload;
mod watchdog;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

pub use bundle::Bundle;
#[cfg(feature = "cloud")]
pub use cloud::{Bucket, Cloud};
pub use folder::Folder;
pub use hit::RemoteHit;
pub use http::Web;
pub use site::{Fault, Site};
pub use upload::{TransferMode, Uploaded, Was};
pub use watchdog::Watchdog;

use self::watchdog::{Waited, Watched};
use crate::base::Digest;
use crate::base::budget::Budget;

/// Before a transfer is tried again that failed by what can pass.
const PAUSES: [Duration; 3] = [Duration::from_millis(200), Duration::from_millis(800), Duration::from_millis(3200)];

/// A place where results are shared.
#[derive(Debug)]
pub struct Remote {
    /// Its name.
    pub name: String,
    /// Whether results may be written there.
    pub write: bool,
    /// Whether results that hold pieces or names of photographs may be among them.
    pub photographs: bool,
    site: Arc<dyn Site>,
    /// What its requests may take.
    watch: Watchdog,
    /// How long its answers were waited for.
    waited: Mutex<Waited>,
    /// Bytes of packs that are in memory at the same time.
    room: Budget,
    /// Whether it failed: then it is not asked again.
    down: Mutex<bool>,
    /// Whether it was seen if a file that is there stays when it is created again.
    judged: Mutex<bool>,
    troubles: Mutex<Vec<Trouble>>,
}

/// What is wrong with a remote, to be told once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trouble {
    /// The remote.
    pub remote: String,
    /// What is wrong.
    pub text: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Remote {
    /// A remote that is only read.
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

    /// Does `work`, again if what failed can pass. If it fails for good, or all of its answers take too long, the remote is not asked any
    /// more.
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
                (Err(Fault::Passing(_)), Some(pause)) => {
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

    /// Asks it no more, and says why once.
    fn give_up(&self, fault: &Fault) {
        let was = std::mem::replace(&mut *lock(&self.down), true);
        if !was {
            self.trouble(fault);
        }
    }

    /// What is wrong with it, each thing once.
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

/// The remotes of a project, in the order in which they are asked.
#[derive(Debug, Default)]
pub struct Remotes {
    /// Each of them.
    pub list: Vec<Arc<Remote>>,
    /// What they said of keys, and where they refused or had nothing.
    hits: Mutex<BTreeMap<Digest, Option<Arc<RemoteHit>>>>,
    /// Objects that they hold.
    held: Mutex<BTreeMap<Digest, (Arc<RemoteHit>, hit::Part)>>,
}

impl Remotes {
    /// The remotes `list`.
    #[must_use]
    pub fn new(list: Vec<Remote>) -> Self {
        Self { list: list.into_iter().map(Arc::new).collect(), ..Self::default() }
    }

    /// What is wrong with them, each thing once.
    #[must_use]
    pub fn troubles(&self) -> Vec<Trouble> {
        self.list.iter().flat_map(|remote| remote.troubles()).collect()
    }
}

/// A panic elsewhere leaves these maps whole, so a poisoned lock is taken all the same.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
