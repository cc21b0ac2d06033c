//! Files that a source does not use: their category by name, and what to do about each. Knows no data set.

use std::collections::BTreeMap;

use super::name_normalisation::words;
use super::source_tree::{extension, is_photograph, stem};
use crate::base::figure::counted;
use crate::stage::{Cell, Table, Warning};

/// Category of a file by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileCategory {
    /// An image in a supported format.
    Picture,
    /// Text, tables and system files (`Thumbs.db`): never a photograph or a mask.
    Ancillary,
    /// An unfinished download.
    Unfinished,
    /// A DVC pointer file.
    Pointer,
    /// Anything else: an image in an unsupported format, an archive, a file without an extension.
    Other,
}

/// Extensions of files that are not images.
const ANCILLARY: [&str; 44] = [
    "txt",
    "csv",
    "tsv",
    "md",
    "rst",
    "pdf",
    "html",
    "htm",
    "xml",
    "json",
    "jsonl",
    "yaml",
    "yml",
    "toml",
    "kdl",
    "ini",
    "cfg",
    "db",
    "log",
    "doc",
    "docx",
    "xls",
    "xlsx",
    "ods",
    "odt",
    "rtf",
    "lnk",
    "url",
    "sh",
    "py",
    "m",
    "r",
    "ipynb",
    "sha256",
    "sha1",
    "md5",
    "sum",
    "parquet",
    "safetensors",
    "pt",
    "pth",
    "bib",
    "tex",
    "lock",
];

/// Extensions of unfinished downloads and temporary files.
const UNFINISHED: [&str; 9] =
    ["part", "partial", "crdownload", "download", "opdownload", "filepart", "tmp", "temp", "aria2"];

impl FileCategory {
    /// Category of a file by its name.
    #[must_use]
    pub fn of(file: &str) -> Self {
        let extension = extension(file);
        let bare = stem(file).to_ascii_lowercase();
        if is_photograph(file) {
            Self::Picture
        } else if extension == "dvc" {
            Self::Pointer
        } else if UNFINISHED.contains(&extension.as_str()) {
            Self::Unfinished
        } else if ANCILLARY.contains(&extension.as_str())
            || extension.is_empty()
                && ["readme", "license", "licence", "copying", "attribution", "changelog", "dicomdir"]
                    .contains(&bare.as_str())
            || matches!(extension.as_str(), "sha256sums" | "md5sums")
        {
            Self::Ancillary
        } else {
            Self::Other
        }
    }

    /// Reason why such a file is not used, for a table.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Picture => "name matches no pattern",
            Self::Ancillary => "not an image",
            Self::Unfinished => "unfinished download",
            Self::Pointer => "DVC pointer",
            Self::Other => "unsupported format",
        }
    }
}

/// Files of a source without a role: warnings about some, and how many there are for each reason.
#[derive(Default)]
pub struct UnusedReport {
    /// Warnings about files that may have been meant as masks or photographs.
    pub warnings: Vec<Warning>,
    /// Number of files and the first one, by reason.
    rows: BTreeMap<&'static str, (u64, String)>,
}

impl UnusedReport {
    /// Counts a file.
    pub fn count(&mut self, category: FileCategory, file: &str) {
        let (count, _) = self.rows.entry(category.reason()).or_insert_with(|| (0, file.to_owned()));
        *count += 1;
    }

    /// The table of reasons; [`None`] without a file.
    #[must_use]
    pub fn table(&self) -> Option<Table> {
        let row = |(reason, (count, first)): (&&str, &(u64, String))| {
            vec![Cell::Text((*reason).to_owned()), Cell::Int(*count as i64), Cell::Text(first.clone())]
        };
        let columns = ["reason", "files", "first"].map(str::to_owned).to_vec();
        let title = "unused files".to_owned();
        (!self.rows.is_empty()).then(|| Table { title, columns, rows: self.rows.iter().map(row).collect() })
    }
}

/// Hint for a file that was probably meant as a mask or a photograph; `fits` is the name it would need.
#[must_use]
pub fn remedy(file: &str, fits: &str) -> String {
    match FileCategory::of(file) {
        FileCategory::Unfinished => "finish the download, or move the file out of the folder".to_owned(),
        FileCategory::Pointer => "run `dvc pull` to fetch the file it points to".to_owned(),
        FileCategory::Other => {
            format!(
                "save it as PNG or TIFF{}, or move it out of the folder",
                if fits.is_empty() { "" } else { " under a matching name" }
            )
        }
        FileCategory::Picture | FileCategory::Ancillary if fits.is_empty() => {
            "rename it, or move it out of the folder".to_owned()
        }
        FileCategory::Picture | FileCategory::Ancillary => {
            format!("rename it to match `{fits}`, or move it out of the folder")
        }
    }
}

/// Warning about unused files in a folder of `of` (`masks`), with the first of them; [`None`] without a file.
#[must_use]
pub fn unused_in(files: &[&str], of: &str, reason: &str) -> Option<Warning> {
    let first = files.first()?;
    let count = counted(files.len() as u64, "unused file", "unused files");
    let text = format!("{count} in a folder of {of} (first: `{first}`): {reason}");
    Some(Warning { code: "unused-file".to_owned(), text })
}

/// Whether the file of a DVC pointer was fetched: DVC keeps the pointer next to it. `listed` is sorted.
#[must_use]
pub fn is_fetched(pointer: &str, listed: &[String]) -> bool {
    let file = pointer.strip_suffix(".dvc").unwrap_or(pointer);
    listed.binary_search_by(|other| other.as_str().cmp(file)).is_ok()
}

/// Words of a file's name, without extensions.
#[must_use]
pub fn words_of(file: &str) -> Vec<String> {
    let name = file.rsplit('/').next().unwrap_or(file);
    let mut rest = name;
    while let Some((before, _)) =
        rest.rsplit_once('.').filter(|_| FileCategory::of(rest) != FileCategory::Other || rest == name)
    {
        rest = before;
    }
    words(rest)
}

/// Whether `part` occurs in `all` contiguously.
#[must_use]
pub fn within(part: &[String], all: &[String]) -> bool {
    !part.is_empty() && all.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_recognised_by_their_names() {
        for (file, sort) in [
            ("a.TIF", FileCategory::Picture),
            ("a/Thumbs.db", FileCategory::Ancillary),
            ("README", FileCategory::Ancillary),
            ("a.png.part", FileCategory::Unfinished),
            ("a.tif.crdownload", FileCategory::Unfinished),
            ("a.png.dvc", FileCategory::Pointer),
            ("a.bmp", FileCategory::Other),
            ("IDRiD_01_MA", FileCategory::Other),
        ] {
            assert_eq!(FileCategory::of(file), sort, "{file}");
        }
    }

    #[test]
    fn words_leave_extensions_out() {
        for file in ["m/IDRiD_01_MA.tif", "IDRiD_01_MA.tif.tif", "IDRiD_01_MA.tif.part", "IDRiD_1-MA.bmp"] {
            assert_eq!(words_of(file), ["idrid", "1", "ma"], "{file}");
        }
        assert_eq!(words_of("Copy of IDRiD_01_MA (1).tif"), ["copy", "of", "idrid", "1", "ma", "1"]);
        assert_eq!(words_of("IDRiD_01.v2_MA.tif"), ["idrid", "1", "v", "2", "ma"]);
    }
}
