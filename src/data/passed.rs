//! Files that no rule of a source takes: what they are by their names, and what may be done about each. Knows no data set.

use super::gathering::{extension, is_picture, stem};
use super::spelling::words;

/// What a file is by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sort {
    /// A picture in a format that is read.
    Picture,
    /// Text, tables and what systems leave behind (`Thumbs.db`): never a photograph or a mask.
    Beside,
    /// What a program that fetches has not finished.
    Unfinished,
    /// What DVC leaves in the place of a file.
    Pointer,
    /// Something else: a picture in a format that is not read, an archive, a file without an extension.
    Other,
}

/// Extensions of what lies beside pictures and is none.
const BESIDE: [&str; 44] = [
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

/// Extensions that programs use while they fetch or write.
const UNFINISHED: [&str; 9] =
    ["part", "partial", "crdownload", "download", "opdownload", "filepart", "tmp", "temp", "aria2"];

impl Sort {
    /// What a file is by its name.
    #[must_use]
    pub fn of(file: &str) -> Self {
        let extension = extension(file);
        let bare = stem(file).to_ascii_lowercase();
        if is_picture(file) {
            Self::Picture
        } else if extension == "dvc" {
            Self::Pointer
        } else if UNFINISHED.contains(&extension.as_str()) {
            Self::Unfinished
        } else if BESIDE.contains(&extension.as_str())
            || extension.is_empty()
                && ["readme", "license", "licence", "copying", "attribution", "changelog"].contains(&bare.as_str())
            || matches!(extension.as_str(), "sha256sums" | "md5sums")
        {
            Self::Beside
        } else {
            Self::Other
        }
    }

    /// Why it is not used, for a table.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Picture => "name fits nothing",
            Self::Beside => "not a picture",
            Self::Unfinished => "download not finished",
            Self::Pointer => "DVC pointer",
            Self::Other => "format not read",
        }
    }
}

/// What to do about a file that was probably meant as a mask or a photograph; `fits` says how it would have to be named.
#[must_use]
pub fn remedy(file: &str, fits: &str) -> String {
    match Sort::of(file) {
        Sort::Unfinished => "finish the download, or move the file out of the folder".to_owned(),
        Sort::Pointer => "`dvc pull` fetches what it stands for".to_owned(),
        Sort::Other => {
            format!(
                "save it as PNG or TIFF{}, or move it out of the folder",
                if fits.is_empty() { "" } else { " under a name that fits" }
            )
        }
        Sort::Picture | Sort::Beside if fits.is_empty() => "rename it, or move it out of the folder".to_owned(),
        Sort::Picture | Sort::Beside => format!("rename it to fit `{fits}`, or move it out of the folder"),
    }
}

/// The words of a file's name, without those of its extensions.
#[must_use]
pub fn words_of(file: &str) -> Vec<String> {
    let name = file.rsplit('/').next().unwrap_or(file);
    let mut rest = name;
    while let Some((before, _)) = rest.rsplit_once('.').filter(|_| Sort::of(rest) != Sort::Other || rest == name) {
        rest = before;
    }
    words(rest)
}

/// Whether `part` stands somewhere in `all`, in a row.
#[must_use]
pub fn within(part: &[String], all: &[String]) -> bool {
    !part.is_empty() && all.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_by_their_names() {
        for (file, sort) in [
            ("a.TIF", Sort::Picture),
            ("a/Thumbs.db", Sort::Beside),
            ("README", Sort::Beside),
            ("a.png.part", Sort::Unfinished),
            ("a.tif.crdownload", Sort::Unfinished),
            ("a.png.dvc", Sort::Pointer),
            ("a.bmp", Sort::Other),
            ("IDRiD_01_MA", Sort::Other),
        ] {
            assert_eq!(Sort::of(file), sort, "{file}");
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
