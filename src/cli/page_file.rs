//! Files of pages: written whole, and never over a file of somebody else.

use std::path::Path;

use super::Failure;
use crate::base::figure::bytes;
use crate::base::{disk, regular, shown};
use crate::progress::out;
use crate::progress::table::paragraph;
use crate::run::Host;

/// What every page of macula has in its head.
const MARK: &str = "<meta name=\"generator\" content=\"macula\">";

/// Writes a page to a file, and says so. Another file in its place is kept.
///
/// # Errors
/// A [`Failure`] if there is another file, or it cannot be written.
pub(super) fn write(host: &Host, path: &Path, with_folder: bool, html: &str) -> Result<(), Failure> {
    let said = host.shown(path).to_string();
    if path.is_dir() {
        return Err(Failure::user(format!("`{said}` is a folder")).hint("name a file, such as `report.html`"));
    }
    if path.exists() && !regular::read_to_string(path).is_ok_and(|text| text.contains(MARK)) {
        return Err(Failure::user(format!("`{said}` exists and is not a page of macula"))
            .hint("name another file, or remove it"));
    }
    if let Some(folder) = path.parent().filter(|_| with_folder) {
        std::fs::create_dir_all(folder).map_err(|error| Failure::unwritten(&said, &error))?;
    }
    disk::write_whole(path, html.as_bytes()).map_err(|error| Failure::unwritten(&said, &error))?;
    let text = format!("wrote {said} ({})", bytes(html.len() as u64));
    out::say(&paragraph(&shown::line(&text), out::stdout_width(), 2));
    Ok(())
}
