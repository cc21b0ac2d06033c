//! A `remote` of `project.kdl`: where results are shared, and what may go there. Knows no network.

use std::path::PathBuf;

use super::near;
use crate::base::Span;
use crate::diag::Diag;
use crate::syntax::{Entry, Node, Scalar};

/// Seconds that a remote may be silent where nothing else is said.
pub const PATIENCE: f64 = 30.0;

/// A place where results are shared.
#[derive(Clone, Debug, PartialEq)]
pub struct Remote {
    /// Its name; the location where it has none.
    pub name: String,
    /// Where it is.
    pub location: Location,
    /// What may go there.
    pub may: May,
    /// Seconds that it may be silent.
    pub timeout: f64,
}

/// What may go to a remote. Nothing does unless it is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct May {
    /// Results may be written there.
    pub write: bool,
    /// Results that hold pieces or names of photographs may be among them.
    pub photographs: bool,
}

/// Where a remote is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A folder, from the project's.
    Folder(PathBuf),
    /// A web server's folder: `http://` or `https://`, without `/` at the end.
    Web(String),
    /// A bucket of an object store.
    Bucket {
        /// Which kind.
        service: Service,
        /// The bucket, with Azure the container.
        bucket: String,
        /// What all names begin with; empty, or without `/` at its ends.
        prefix: String,
    },
}

/// A kind of object store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Amazon S3 and what speaks its protocol.
    S3,
    /// Google Cloud Storage.
    Gcs,
    /// Azure Blob Storage.
    Azure,
}

/// What is wrong with a location, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoLocation {
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

const FORM: &str =
    "write `remote \"/mnt/team/macula\"`, `\"https://…\"`, `\"s3://BUCKET/PREFIX\"`, `\"gs://…\"` or `\"az://…\"`";

impl Location {
    /// Reads a location.
    ///
    /// # Errors
    /// [`NoLocation`] where it is none, or holds what does not belong into a file.
    pub fn parse(text: &str) -> Result<Self, NoLocation> {
        let no = |message: String, hint: &str| Err(NoLocation { message, hint: hint.to_owned() });
        if text.chars().any(char::is_control) {
            return no("a location has no control characters".to_owned(), FORM);
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return match text {
                "" => no("a remote needs its location".to_owned(), FORM),
                _ => Ok(Self::Folder(PathBuf::from(text))),
            };
        };
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        if host.contains('@') {
            let hint = "take user and password out: they come from the environment (docs/remotes.md)";
            return no("a location holds no user and no password".to_owned(), hint);
        }
        if host.is_empty() {
            return no(format!("`{scheme}://` names no place"), FORM);
        }
        if rest.contains(['?', '#']) || path.split('/').any(|part| part == "." || part == "..") {
            return no("a location ends with a plain path".to_owned(), "no `?`, no `#`, no part `.` or `..`");
        }
        let service = match scheme {
            "http" | "https" => return Ok(Self::Web(text.trim_end_matches('/').to_owned())),
            "file" => return no("a folder is written as its path".to_owned(), "leave `file://` out"),
            "s3" => Service::S3,
            "gs" => Service::Gcs,
            "az" => Service::Azure,
            other => return no(format!("`{other}://` is no remote that macula knows"), FORM),
        };
        Ok(Self::Bucket { service, bucket: host.to_owned(), prefix: path.trim_matches('/').to_owned() })
    }

    /// Whether nothing can be written there.
    #[must_use]
    pub fn only_reads(&self) -> bool {
        matches!(self, Self::Web(_))
    }
}

/// Why a web server is not written to.
const READS: &str = "a web server is only read; write to the folder or the bucket behind it";

impl Remote {
    /// What a node says; [`None`] where it names no place. All that is wrong with it joins `diags`.
    pub(super) fn of(node: &Node, diags: &mut Vec<Diag>) -> Option<Self> {
        let before = diags.len();
        let texts: Vec<&Entry> = node.args().collect();
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
            diags.push(found.hint("write what holds for it on its line: `write=#true`"));
        }
        if let Some(name) = name.filter(|name| !name.text().is_some_and(super::is_name)) {
            let found = Diag::error("bad-name", name.span, format!("`{}` can't be a remote's name", said(name)));
            diags.push(found.hint(super::NAME_RULE));
        }
        let location = match Location::parse(at.text()?) {
            Ok(location) => Some(location),
            Err(NoLocation { message, hint }) => {
                diags.push(Diag::error("wrong-kind", at.span, message).hint(hint));
                None
            }
        };
        let (may, timeout) = properties(node, diags);
        if let (Some(write), true) =
            (node.prop("write"), location.as_ref().is_some_and(Location::only_reads) && may.write)
        {
            diags.push(Diag::error("wrong-kind", write.whole, "this remote can't be written to").hint(READS));
        }
        let name = said(name.unwrap_or(at)).to_owned();
        (diags.len() == before).then(|| location.map(|location| Self { name, location, may, timeout }))?
    }

    /// As the environment says: `at` is the location, `may` holds `write` and `photographs`, parted by commas.
    ///
    /// # Errors
    /// [`NoLocation`].
    pub fn of_environment(at: &str, may: &str) -> Result<Self, NoLocation> {
        let location = Location::parse(at)?;
        let mut allowed = May::default();
        for word in may.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match word {
                "write" if location.only_reads() => {
                    return Err(NoLocation {
                        message: "this remote can't be written to".to_owned(),
                        hint: READS.to_owned(),
                    });
                }
                "write" => allowed.write = true,
                "photographs" => allowed.photographs = true,
                other => {
                    let hint = "say `write`, `photographs` or both, parted by a comma".to_owned();
                    return Err(NoLocation { message: format!("`{other}` is nothing that a remote may"), hint });
                }
            }
        }
        Ok(Self { name: at.to_owned(), location, may: allowed, timeout: PATIENCE })
    }
}

fn properties(node: &Node, diags: &mut Vec<Diag>) -> (May, f64) {
    let (mut may, mut timeout) = (May::default(), PATIENCE);
    let mut wrong = |entry: &Entry, message: &str, hint: &str| {
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
    let found = Diag::error("unknown-param", span, format!("a remote has no `{name}`"));
    found.hint(near::hint(name, ["write", "photographs", "timeout"], ""))
}

fn said(entry: &Entry) -> &str {
    entry.text().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_told_apart_and_hold_no_password() {
        let bucket = |service, bucket: &str, prefix: &str| Location::Bucket {
            service,
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
        };
        for (text, expected) in [
            ("/mnt/team", Location::Folder("/mnt/team".into())),
            ("../shared store", Location::Folder("../shared store".into())),
            ("https://host:8080/a/", Location::Web("https://host:8080/a".into())),
            ("s3://b", bucket(Service::S3, "b", "")),
            ("gs://b/p/q/", bucket(Service::Gcs, "b", "p/q")),
            ("az://c/p", bucket(Service::Azure, "c", "p")),
        ] {
            assert_eq!(Location::parse(text), Ok(expected), "{text}");
        }
        for wrong in
            ["", "https://me:secret@host/a", "s3://", "ftp://host/a", "file:///a", "s3://b/../c", "http://h/a?b"]
        {
            let found = Location::parse(wrong).expect_err(wrong);
            assert!(!found.message.contains("secret") && !found.hint.contains("secret"), "{found:?}");
        }
    }
}
