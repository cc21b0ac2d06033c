//! Names, dates and identifiers in the headers of DICOM photographs: whatever is done with the photographs, nothing outside of their own files
//! has them. The pipeline is that of `docs/data.md`.

use std::fs;
use std::path::Path;

use memchr::memmem;

use super::dicom_files::{DicomFile, SECRETS};
use super::image_files::png;
use crate::space::{Said, Space};

/// Side of the photographs, px; patches have a third of it.
const SIDE: usize = 96;

fn photograph(number: usize) -> DicomFile {
    let pixel = |at: usize| {
        let (x, y) = (at % SIDE, at / SIDE);
        [90 + (x * (number + 3) + y) % 80, 50 + (x + y * (number + 5)) % 60, 30 + (x * y + number) % 50]
    };
    let rgb: Vec<u8> = (0..SIDE * SIDE).flat_map(pixel).map(|value| value as u8).collect();
    DicomFile::new((SIDE, SIDE), "RGB", 3, rgb)
}

/// Lesions in two of the nine patches, others for each class.
fn mask(number: usize, class: usize) -> Vec<u8> {
    let mut mask = vec![0; SIDE * SIDE];
    for patch in [number + class, number + 2 * class + 4] {
        let (left, top) = (patch % 3 * 32 + 8, patch / 3 % 3 * 32 + 8);
        for y in top..top + 6 {
            mask[y * SIDE + left..y * SIDE + left + 6].fill(255);
        }
    }
    png((SIDE, SIDE), 8, 0, &mask, &[], &[])
}

fn check_said(what: &str, said: &Said) {
    for secret in SECRETS {
        assert!(!said.raw.contains(secret) && !said.stderr.contains(secret), "{what} says `{secret}`");
    }
}

/// Fails if a file below a folder has a secret. Links lead to the photographs, and are left alone.
fn check_files(folder: &Path, read: &mut usize) {
    for entry in fs::read_dir(folder).expect("listed").flatten() {
        let kind = entry.file_type().expect("a kind");
        if kind.is_dir() {
            check_files(&entry.path(), read);
        } else if kind.is_file() {
            let bytes = fs::read(entry.path()).expect("readable");
            *read += 1;
            for secret in SECRETS {
                let found = memmem::find(&bytes, secret.as_bytes());
                assert!(found.is_none(), "{} has `{secret}`", entry.path().display());
            }
        }
    }
}

#[test]
fn nothing_of_a_header_is_stored_shown_or_pushed() {
    let page = include_str!("../../../docs/data.md");
    let mut pipelines = page.split("```kdl\n").skip(1).filter_map(|rest| rest.split("```").next());
    let text = pipelines.find(|text| text.contains("pipeline on-dicom")).expect("the pipeline of the page");
    let report = "\n    report page { of scans patches sets.train classifier scores; names #true }\n    export tools { from scans; format coco }\n}\n";
    let text = text.replace("size 128", "size 32").replace("epochs 5", "epochs 1");
    let text =
        text.trim_end().strip_suffix("}").map(|text| format!("{}{report}", text.trim_end())).expect("a pipeline");
    let space = Space::with(&text);
    space.write("project.kdl", "remote lab \"remote\" write=#true photographs=#true\n");
    let data = space.outside("scans");
    let write = |path: &str, bytes: &[u8]| {
        let path = data.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, bytes).expect("written");
    };
    for number in 0..12 {
        // Every other one without an extension.
        let ending = if number % 2 == 0 { ".dcm" } else { "" };
        write(&format!("photographs/p{:02}_{number}{ending}", number / 2), &photograph(number).bytes());
        for (class, name) in ["MA", "HE"].iter().enumerate() {
            let file = format!("masks/{}/p{:02}_{number}_{name}.png", name.to_lowercase(), number / 2);
            write(&file, &mask(number, class));
        }
    }
    space.edit("pipeline.kdl", "root \"data/scans\"", &format!("root {:?}", data.display().to_string()));
    space.write("new.dcm", photograph(40).bytes());
    let mut run = space.command(&["run", "pipeline.kdl"]);
    run.env("MACULA_LOG", "debug").env("MACULA_LOG_FILE", "macula.log");
    let ran = space.finish(run).code(0);
    check_said("run", &ran);
    for arguments in [
        "data check pipeline.kdl --page check.html --verbose",
        "data check pipeline.kdl --json",
        "show pipeline.kdl scans",
        "why pipeline.kdl patches",
        "runs pipeline.kdl",
        "plan pipeline.kdl",
        "predict pipeline.kdl classifier new.dcm --out predicted",
        "push pipeline.kdl",
        "lock pipeline.kdl",
    ] {
        let said = space.macula(arguments).code(0);
        check_said(arguments, &said);
    }
    // A broken file, too.
    let bytes = photograph(41).text(0x0028_0004, *b"CS", "Zzqname").bytes();
    write("photographs/p09_41.dcm", &bytes);
    write("photographs/p09_42.dcm", &bytes[..400]);
    for arguments in ["data check pipeline.kdl --page check.html", "run pipeline.kdl"] {
        let said = space.macula(arguments).code(1).says(&["p09_41.dcm"]);
        check_said(arguments, &said);
    }
    let files = space.files("remote").len();
    assert!(files > 5, "{files} files were pushed");
    fs::remove_file(space.path("new.dcm")).expect("the photograph itself");
    let mut read = 0;
    check_files(&space.path(""), &mut read);
    assert!(read > 50, "{read} files");
}
