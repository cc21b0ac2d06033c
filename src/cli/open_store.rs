//! Opens the store of a project; an error names where the store is set.

use std::path::Path;

use super::failure::say;
use super::{Exit, Failure};
use crate::diag::Diag;
use crate::run::Host;
use crate::store::{Store, StoreError};

/// The store of a project, created if it does not exist.
///
/// # Errors
/// A [`Failure`] if it cannot be opened; what `project.kdl` says about it is printed with its line.
pub(super) fn open(host: &Host, project: &Path) -> Result<Store, Failure> {
    Store::open(&host.store(project)).map_err(|error| unopened(host, project, error))
}

fn unopened(host: &Host, project: &Path, error: StoreError) -> Failure {
    let Some((sources, span)) = host.store_setting(project) else { return error.into() };
    let hint = error.hint().unwrap_or_else(|| "name a folder in which macula may write".to_owned());
    let found = Diag::error("store-folder", span, format!("the store cannot be opened: {error}"));
    say(&[found.hint(hint)], &sources);
    Failure::said(Exit::Store)
}
