//! A `remote` of `project.kdl`: where results are shared, and what may be sent there. Knows no network.

use std::path::PathBuf;

use super::near;
use crate::base::Span;
use crate::diag::Diag;
use crate::syntax::{Node, NodeEntry, Scalar};

/// Default timeout of a remote without a response, seconds.
pub const PATIENCE: f64 = 30.0;

/// A remote: a location where results are shared.
#[derive(Clone, Debug, PartialEq)]
pub struct RemoteSpec {
    /// Its name; the location if it has none.
    pub name: String,
    /// Its location.
    pub location: RemoteLocation,
    /// Its permissions.
    pub may: May,
    /// Timeout without a response, seconds.
    pub timeout: f64,
    /// Position of its location; [`None`] if the environment gives it.
    pub span: Option<Span>,
}

/// Permissions of a remote. By default nothing is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct May {
    /// Results may be written there.
    pub write: bool,
    /// These may include results that contain image data or names of photographs.
    pub photographs: bool,
}

/// Location of a remote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RemoteLocation {
    /// A folder, relative to the project's.
    Folder(PathBuf),
    /// A web server's folder: `http://` or `https://`, without a trailing `/`.
    Web(String),
    /// A bucket of an object store.
    Bucket {
        /// Its service.
        service: Service,
        /// The bucket; for Azure the container.
        bucket: String,
        /// Prefix of all names; empty, or without `/` at either end.
        prefix: String,
    },
}

/// An object store service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Amazon S3 and compatible services.
    S3,
    /// Google Cloud Storage.
    Gcs,
    /// Azure Blob Storage.
    Azure,
}

/// A rejected location, with a hint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoLocation {
    /// The message.
    pub message: String,
    /// The hint.
    pub hint: String,
}

const FORM: &str =
    "write `remote \"/mnt/team/macula\"`, `\"https://…\"`, `\"s3://BUCKET/PREFIX\"`, `\"gs://…\"` or `\"az://…\"`";

impl RemoteLocation {
    /// Parses a location.
    ///
    /// # Errors
    /// [`NoLocation`] if it is invalid, or contains what does not belong in a file.
    pub fn parse(text: &str) -> Result<Self, NoLocation> {
        let no = |message: String, hint: &str| Err(NoLocation { message, hint: hint.to_owned() });
        if text.chars().any(char::is_control) {
            return no("a location cannot contain control characters".to_owned(), FORM);
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return match text {
                "" => no("a remote needs its location".to_owned(), FORM),
                _ if text == "~" || text.starts_with("~/") => {
                    no(format!("`~` is not expanded: `{text}` would be in a folder called `~`"), "write the whole path")
                }
                _ => Ok(Self::Folder(PathBuf::from(text))),
            };
        };
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        if host.contains('@') {
            let hint = "remove them; credentials come from the environment (docs/remotes.md)";
            return no("a location cannot contain a user name or password".to_owned(), hint);
        }
        if host.is_empty() {
            return no(format!("`{scheme}://` needs a host or a bucket"), FORM);
        }
        if rest.contains(['?', '#']) || path.split('/').any(|part| part == "." || part == "..") {
            return no(
                "a location must end with a plain path".to_owned(),
                "remove `?`, `#`, and path parts `.` and `..`",
            );
        }
        let service = match scheme {
            "http" | "https" => return Ok(Self::Web(text.trim_end_matches('/').to_owned())),
            "file" => return no("a folder is given by its path".to_owned(), "remove `file://`"),
            "s3" => Service::S3,
            "gs" => Service::Gcs,
            "az" => Service::Azure,
            other => return no(format!("unsupported scheme `{other}://`"), FORM),
        };
        Ok(Self::Bucket { service, bucket: host.to_owned(), prefix: path.trim_matches('/').to_owned() })
    }

    /// Whether it is read-only.
    #[must_use]
    pub fn only_reads(&self) -> bool {
        matches!(self, Self::Web(_))
    }
}

/// Why a web server is read-only.
const READS: &str = "a web server is read-only; write to the folder or bucket behind it";

impl RemoteSpec {
    /// The remote of a node; [`None`] after reporting a diagnostic.
    pub(super) fn of(node: &Node, diags: &mut Vec<Diag>) -> Option<Self> {
        let before = diags.len();
        let texts: Vec<&NodeEntry> = node.args().collect();
        let (name, at) = match texts.as_slice() {
            [at] if at.text().is_some() => (None, *at),
            [name, at] if name.text().is_some() && at.text().is_some() => (Some(*name), *at),
            _ => {
                let found =
                    Diag::error("wrong-kind", node.head, "`remote` takes its location, or a name and its location");
                diags.push(found.hint(FORM));
                return None;
            }
        };
        if let Some(children) = node.nodes().first() {
            let found = Diag::error("unknown-param", children.name.span, "a remote has no braces");
            diags.push(found.hint("write its properties on the same line: `write=#true`"));
        }
        if let Some(name) = name.filter(|name| !name.text().is_some_and(super::is_name)) {
            let found = Diag::error("bad-name", name.span, format!("`{}` is not a valid remote name", said(name)));
            diags.push(found.hint(super::NAME_RULE));
        }
        let location = match RemoteLocation::parse(at.text()?) {
            Ok(location) => Some(location),
            Err(NoLocation { message, hint }) => {
                diags.push(Diag::error("wrong-kind", at.span, message).hint(hint));
                None
            }
        };
        let (may, timeout) = properties(node, diags);
        if let (Some(write), true) =
            (node.prop("write"), location.as_ref().is_some_and(RemoteLocation::only_reads) && may.write)
        {
            diags.push(Diag::error("wrong-kind", write.whole, "this remote is read-only").hint(READS));
        }
        let name = said(name.unwrap_or(at)).to_owned();
        (diags.len() == before)
            .then(|| location.map(|location| Self { name, location, may, timeout, span: Some(at.span) }))?
    }

    /// The remote given in the environment: `at` is the location, `may` is a comma-separated list of `write` and `photographs`.
    ///
    /// # Errors
    /// [`NoLocation`].
    pub fn of_environment(at: &str, may: &str) -> Result<Self, NoLocation> {
        let location = RemoteLocation::parse(at)?;
        let mut allowed = May::default();
        for word in may.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match word {
                "write" if location.only_reads() => {
                    return Err(NoLocation { message: "this remote is read-only".to_owned(), hint: READS.to_owned() });
                }
                "write" => allowed.write = true,
                "photographs" => allowed.photographs = true,
                other => {
                    let hint = "use `write`, `photographs` or both, separated by a comma".to_owned();
                    return Err(NoLocation { message: format!("unknown remote permission `{other}`"), hint });
                }
            }
        }
        Ok(Self { name: at.to_owned(), location, may: allowed, timeout: PATIENCE, span: None })
    }
}

fn properties(node: &Node, diags: &mut Vec<Diag>) -> (May, f64) {
    let (mut may, mut timeout) = (May::default(), PATIENCE);
    let mut wrong = |entry: &NodeEntry, message: &str, hint: &str| {
        diags.push(Diag::error("wrong-kind", entry.span, message).hint(hint.to_owned()));
    };
    let mut unknown = Vec::new();
    for (key, entry) in node.props() {
        match (key.text.as_str(), &entry.value) {
            ("write", Scalar::Bool(value)) => may.write = *value,
            ("photographs", Scalar::Bool(value)) => may.photographs = *value,
            ("timeout", Scalar::Int(seconds)) if (1..=86_400).contains(seconds) => timeout = *seconds as f64,
            ("timeout", Scalar::Real(seconds)) if (0.1..=86_400.0).contains(seconds) => timeout = *seconds,
            ("write" | "photographs", _) => wrong(entry, "this takes `#true` or `#false`", "write `#true`"),
            ("timeout", _) => wrong(entry, "`timeout` takes seconds, from 0.1 to 86400", "write `timeout=30`"),
            (other, _) => unknown.push((key.span, other.to_owned())),
        }
    }
    for (span, other) in unknown {
        diags.push(unknown_property(span, &other));
    }
    (may, timeout)
}

fn unknown_property(span: Span, name: &str) -> Diag {
    let found = Diag::error("unknown-param", span, format!("a remote has no property `{name}`"));
    found.hint(near::hint(name, ["write", "photographs", "timeout"], ""))
}

fn said(entry: &NodeEntry) -> &str {
    entry.text().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_distinguished_and_hold_no_password() {
        let bucket = |service, bucket: &str, prefix: &str| RemoteLocation::Bucket {
            service,
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
        };
        for (text, expected) in [
            ("/mnt/team", RemoteLocation::Folder("/mnt/team".into())),
            ("../shared store", RemoteLocation::Folder("../shared store".into())),
            ("https://host:8080/a/", RemoteLocation::Web("https://host:8080/a".into())),
            ("s3://b", bucket(Service::S3, "b", "")),
            ("gs://b/p/q/", bucket(Service::Gcs, "b", "p/q")),
            ("az://c/p", bucket(Service::Azure, "c", "p")),
        ] {
            assert_eq!(RemoteLocation::parse(text), Ok(expected), "{text}");
        }
        for wrong in [
            "",
            "~/team",
            "https://me:secret@host/a",
            "s3://",
            "ftp://host/a",
            "file:///a",
            "s3://b/../c",
            "http://h/a?b",
        ] {
            let found = RemoteLocation::parse(wrong).expect_err(wrong);
            assert!(!found.message.contains("secret") && !found.hint.contains("secret"), "{found:?}");
        }
    }
}
