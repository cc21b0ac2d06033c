//! DICOM photographs: every kind of pixels is read as pydicom reads it, anything else is rejected by name, sources find the files, and what a
//! header says about a patient stays in the file.

use std::io::Write;

use base64::Engine;
use macula::data::decode::{Photograph, PictureFormat};
use macula::data::image_issues::ImageIssueKind;
use macula::data::mask::{Mask, MaskContent, Threshold};
use macula::data::picture_size;
use macula::lang::value::Value;
use macula::stage::StageError;

use super::annotations::annotations;
use super::dicom_files::{DicomFile, SECRETS, short};
use super::image_files::png;
use super::lab::Lab;

/// A file written by pydicom, and its pixels according to pydicom.
#[derive(serde::Deserialize)]
struct ExpectedDicom {
    name: String,
    width: usize,
    height: usize,
    /// Whether decoders may differ a little.
    loose: bool,
    rgb: String,
    file: String,
}

fn decoded(text: &str) -> Vec<u8> {
    base64::engine::general_purpose::STANDARD.decode(text).expect("base64")
}

/// The files of `tests/expected/dicom.json` by their names.
pub(crate) fn pydicom_files() -> Vec<(String, Vec<u8>)> {
    expected().into_iter().map(|case| (case.name.clone(), bytes_of(&case))).collect()
}

fn expected() -> Vec<ExpectedDicom> {
    serde_json::from_str(include_str!("../../expected/dicom.json")).expect("what tests/expected/dicom.py wrote")
}

fn bytes_of(case: &ExpectedDicom) -> Vec<u8> {
    let mut bytes = Vec::new();
    let packed = decoded(&case.file);
    std::io::Read::read_to_end(&mut flate2::read::ZlibDecoder::new(&packed[..]), &mut bytes).expect("inflated");
    bytes
}

#[test]
fn every_kind_of_pixels_is_read_as_pydicom_reads_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut wrong = Vec::new();
    for case in expected() {
        let bytes = bytes_of(&case);
        let mut photograph = Photograph::default();
        let info = match photograph.decode(&bytes, &case.name) {
            Ok(info) => info,
            Err(error) => {
                wrong.push(error.to_string());
                continue;
            }
        };
        assert_eq!((photograph.width, photograph.height), (case.width, case.height), "{}", case.name);
        assert_eq!((info.format, info.orientation.number()), (PictureFormat::Dicom, 1), "{}", case.name);
        let rgb = decoded(&case.rgb);
        let difference = photograph.rgb.iter().zip(&rgb).map(|(one, other)| one.abs_diff(*other)).max();
        let most = if case.loose { 3 } else { 0 };
        if photograph.rgb.len() != rgb.len() || difference > Some(most) {
            wrong.push(format!("{}: {difference:?}", case.name));
        }
        // Its header by itself says the same.
        let path = folder.path().join("file");
        std::fs::write(&path, &bytes).expect("written");
        let size = picture_size::of_file(&path).expect("a size");
        assert_eq!(size.shown, [case.width as u32, case.height as u32], "{}", case.name);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A photograph of 6 x 4.
fn plain() -> DicomFile {
    DicomFile::new((6, 4), "RGB", 3, (0..72).collect())
}

/// Grey values of 16 bits, 6 x 4.
fn deep(bits: u16) -> DicomFile {
    DicomFile::new((6, 4), "MONOCHROME2", 1, (0..48).collect())
        .with(0x0028_0100, *b"US", short(16))
        .with(0x0028_0101, *b"US", short(bits))
        .with(0x0028_0102, *b"US", short(bits - 1))
}

fn issues(file: &DicomFile) -> Vec<ImageIssueKind> {
    Photograph::default().decode(&file.bytes(), "eye").expect("read").issues
}

#[test]
fn what_is_strange_about_a_file_is_noted() {
    assert!(issues(&plain()).is_empty());
    assert_eq!(issues(&deep(12)), [ImageIssueKind::NoWindow]);
    assert_eq!(issues(&deep(16)), [ImageIssueKind::NoWindow, ImageIssueKind::Dark]);
    let window = |file: DicomFile| file.text(0x0028_1050, *b"DS", "900").text(0x0028_1051, *b"DS", "500");
    assert!(issues(&window(deep(16))).is_empty());
    for (tag, representation, text) in
        [(0x0028_0034, b"IS", "4\\3"), (0x0028_0030, b"DS", "0.01\\0.012"), (0x0018_1164, b"DS", "2\\1")]
    {
        assert_eq!(issues(&plain().text(tag, *representation, text)), [ImageIssueKind::PixelAspect], "{text}");
    }
    assert!(issues(&plain().text(0x0028_0034, *b"IS", "3\\3")).is_empty());
    assert_eq!(issues(&plain().text(0x0028_0301, *b"CS", "YES")), [ImageIssueKind::BurnedIn]);
    assert!(issues(&plain().text(0x0028_0301, *b"CS", "NO")).is_empty());
}

/// The error of a file: its text and its hint.
fn refused(bytes: &[u8]) -> String {
    match Photograph::default().decode(bytes, "eye") {
        Err(StageError::Input { code, text, hint, .. }) => format!("{code}: {text}; {}", hint.unwrap_or_default()),
        other => panic!("it should be refused: {other:?}"),
    }
}

#[test]
fn what_is_not_read_is_rejected_by_name() {
    let palette = DicomFile::new((6, 4), "PALETTE COLOR", 1, vec![0; 24]);
    let encoded = |syntax| refused(&plain().syntax(syntax).bytes());
    let cases = [
        (
            refused(&plain().text(0x0028_0008, *b"IS", "24").bytes()),
            "unread-photograph: `eye` is not supported: it has 24 frames; save the intended frame as a file of its own",
        ),
        (
            encoded("1.2.840.10008.1.2.4.90"),
            "its pixels are JPEG 2000 (transfer syntax 1.2.840.10008.1.2.4.90); decompress it with `gdcmconv --raw IN.dcm OUT.dcm`",
        ),
        (
            encoded("1.2.840.10008.1.2.4.70"),
            "its pixels are lossless JPEG (transfer syntax 1.2.840.10008.1.2.4.70); decompress it with `dcmdjpeg",
        ),
        (encoded("1.2.826.0.1.3680043.9"), "private transfer syntax"),
        (encoded("1.2.840.10008.1.2.4.50"), "should be in fragments"),
        (refused(&plain().text(0x0028_0004, *b"CS", "YBR_PARTIAL_422").bytes()), "colours of the kind YBR_PARTIAL_422"),
        (refused(&plain().text(0x0028_0004, *b"CS", "Zzqname").bytes()), "colours of an unknown kind"),
        (refused(&plain().without(0x0028_0004).bytes()), "does not state what its samples mean"),
        (refused(&plain().with(0x0028_0002, *b"US", short(4)).bytes()), "4 samples per pixel"),
        (
            refused(
                &plain()
                    .with(0x0028_0100, *b"US", short(16))
                    .with(0x0028_0101, *b"US", short(16))
                    .with(0x0028_0102, *b"US", short(15))
                    .bytes(),
            ),
            "colours of 16 bits",
        ),
        (refused(&plain().with(0x0028_0100, *b"US", short(32)).bytes()), "32-bit samples"),
        (refused(&plain().with(0x0028_0100, *b"US", short(1)).bytes()), "1-bit samples, as segmentations have"),
        (refused(&plain().text(0x0008_0016, *b"UI", "1.2.840.10008.5.1.4.1.1.66.4").bytes()), "it is a segmentation"),
        (refused(&plain().with(0x0028_0101, *b"US", short(9)).bytes()), "9 bits up to bit 7 of 8"),
        (refused(&palette.bytes()), "it has no palette"),
        (refused(&palette.clone().with(0x0028_1101, *b"US", vec![0; 6]).bytes()), "descriptors are not valid"),
        (refused(&palette.with(0x0028_1221, *b"OW", vec![0; 6]).bytes()), "its palette is in segments"),
        (
            refused(&deep(12).with(0x0028_3000, *b"SQ", vec![0xfe, 0xff, 0, 0xe0, 0, 0, 0, 0]).bytes()),
            "Modality LUT Sequence",
        ),
        (
            refused(&deep(12).with(0x0028_3010, *b"SQ", vec![0xfe, 0xff, 0, 0xe0, 0, 0, 0, 0]).bytes()),
            "VOI LUT Sequence",
        ),
        (
            refused(&deep(12).text(0x0028_1050, *b"DS", "9").text(0x0028_1051, *b"DS", "0").bytes()),
            "cannot have a width of 0",
        ),
        (
            refused(&deep(12).text(0x0028_1050, *b"DS", "Zzqname").text(0x0028_1051, *b"DS", "1").bytes()),
            "is not a number",
        ),
        (
            refused(&plain().with(0x0028_0010, *b"US", short(5)).bytes()),
            "its pixels have 72 bytes, but its header says 90",
        ),
        (refused(&plain().with(0x0028_0010, *b"US", short(0)).bytes()), "no width or height"),
        (refused(&plain().start()), "it holds no image"),
        (refused(&plain().without(0x0028_0010).dataset()), "without file meta information"),
    ];
    for (said, wanted) in &cases {
        assert!(said.contains(wanted), "{said}\nshould contain\n{wanted}");
        assert!(SECRETS.iter().all(|secret| !said.contains(secret)), "{said}");
    }
}

#[test]
fn a_file_that_ends_early_is_truncated_wherever_that_is() {
    let bytes = plain().bytes();
    for end in 140..bytes.len() {
        let said = refused(&bytes[..end]);
        assert!(said.contains("truncated") || said.contains("it holds no image"), "{end}: {said}");
    }
    for (name, bytes) in pydicom_files() {
        for end in (bytes.len() / 2..bytes.len().saturating_sub(16)).step_by(7) {
            assert!(Photograph::default().decode(&bytes[..end], &name).is_err(), "{name} cut at {end}");
        }
    }
}

#[test]
fn masks_are_not_read_from_dicom() {
    let mask = DicomFile::new((6, 4), "MONOCHROME2", 1, vec![255; 24]).bytes();
    let said = Mask::read(&mask, MaskContent::Lesion(Threshold::Automatic)).expect_err("refused");
    assert_eq!(said, "it is a DICOM, which is read as a photograph only");
}

/// A photograph of 32 x 32, another for each number.
fn photograph(number: usize) -> DicomFile {
    let pixel = |at: usize| [90 + at * (number + 3) % 80, 50 + at * 7 % 60, 30 + at % 50].map(|value| value as u8);
    DicomFile::new((32, 32), "RGB", 3, (0..32 * 32).flat_map(pixel).collect())
}

/// A mask of 32 x 32 with a square.
fn mask(number: usize) -> Vec<u8> {
    let left = 2 + number;
    let lesion = |at: usize| u8::from((left..left + 5).contains(&(at % 32)) && (4..9).contains(&(at / 32))) * 255;
    png((32, 32), 8, 0, &(0..32 * 32).map(lesion).collect::<Vec<u8>>(), &[], &[])
}

const UID: &str = "1.2.826.0.1.3680043.8.498.7";

#[test]
fn folder_finds_dicom_files_by_name_and_by_content() {
    let lab = Lab::new();
    let names = ["left.dcm", "right.DICOM", "IM0001", UID, "1.2.826.0.1.3680043.8.498.8"];
    for (number, name) in names.iter().enumerate() {
        lab.write(&format!("photographs/{name}"), &photograph(number).bytes());
    }
    lab.write("photographs/DICOMDIR", &photograph(9).bytes());
    lab.write("photographs/NOTES", b"not an image");
    for (name, number) in [("left", 0), ("IM0001", 2), (UID, 3)] {
        lab.write(&format!("ma/{name}.png"), &mask(number));
    }
    lab.write("he/right.png", &mask(1));
    let found = lab.folder(&[]).expect("found");
    let tree = &found.outputs["out"];
    let photographs: Vec<&String> = tree.entries.keys().filter(|file| file.contains("/photograph.")).collect();
    let wanted: Vec<String> = ["1.2.826.0.1.3680043.8.498.7", "1.2.826.0.1.3680043.8.498.8", "IM0001", "left", "right"]
        .into_iter()
        .map(|name| format!("{name}/photograph.dcm"))
        .collect();
    assert_eq!(photographs, wanted.iter().collect::<Vec<_>>());
    assert!(found.summary.headline.starts_with("5 photographs with 4 lesion masks"), "{}", found.summary.headline);
    let patches = lab.extract(tree, &[("size", Value::Int(16))]).expect("extracted");
    assert!(patches.summary.headline.contains("20"), "{}", patches.summary.headline);
    // Masks are not.
    lab.write("ma/right.dcm", &DicomFile::new((32, 32), "MONOCHROME2", 1, vec![0; 1024]).bytes());
    let found = lab.folder(&[]).expect("found");
    let Err(StageError::Input { code, text, .. }) = lab.extract(&found.outputs["out"], &[("size", Value::Int(16))])
    else {
        panic!("a mask was read from a DICOM")
    };
    assert_eq!(code, "damaged-mask");
    assert!(text.ends_with("cannot be read: it is a DICOM, which is read as a photograph only"), "{text}");
}

#[test]
fn manifest_reads_dicom_files_with_and_without_an_extension() {
    let lab = Lab::new();
    lab.write("scans/left.dcm", &photograph(0).bytes());
    lab.write("scans/IM0001", &photograph(1).bytes());
    lab.write("scans/NOTES", b"not an image");
    let table = |rows: &str| lab.write("t.csv", format!("path,MA\n{rows}").as_bytes());
    let params = [
        ("table", Value::Path("t.csv".to_owned())),
        ("path", Value::Text("path".to_owned())),
        ("labels", Value::Map([("MA".to_owned(), Value::Text("MA".to_owned()))].into())),
        ("ordered", Value::Bool(false)),
        ("photographs", Value::Text("*".to_owned())),
        ("mask-files", Value::Text("*".to_owned())),
        ("absent-mask", Value::Text("unknown".to_owned())),
    ];
    table("scans/left.dcm,1\nscans/IM0001,0\n");
    let found = lab.source("manifest", &params).expect("found");
    let tree = &found.outputs["out"];
    assert!(["left/photograph.dcm", "IM0001/photograph.dcm"].iter().all(|file| tree.get(file).is_some()));
    table("scans/left.dcm,1\nscans/NOTES,0\n");
    let Err(StageError::Input { text, .. }) = lab.source("manifest", &params) else { panic!("not a DICOM") };
    assert!(text.contains("`scans/NOTES` is not a JPEG, PNG, TIFF or DICOM"), "{text}");
}

#[test]
fn annotations_find_dicom_files_with_and_without_an_extension() {
    let lab = Lab::new();
    let shapes = r#"[{"label": "MA", "shape_type": "polygon", "points": [[1, 1], [9, 1], [9, 9], [1, 9]]}]"#;
    for (number, file) in ["left.dcm", "IM0001"].into_iter().enumerate() {
        lab.write(&format!("photographs/{file}"), &photograph(number).bytes());
        let json = format!(r#"{{"imageWidth": 32, "imageHeight": 32, "imagePath": "{file}", "shapes": {shapes}}}"#);
        let name = file.trim_end_matches(".dcm");
        lab.write(&format!("json/{name}.json"), json.as_bytes());
    }
    lab.write("photographs/NOTES", b"not an image");
    let found = annotations(&lab, "labelme", &[("MA", "MA")], &[("format.files", "json/*.json")]).expect("found");
    assert!(found.summary.warnings.is_empty(), "{:?}", found.summary.warnings);
    let tree = &found.outputs["out"];
    assert!(["left/photograph.dcm", "IM0001/photograph.dcm"].iter().all(|file| tree.get(file).is_some()));
}

/// A deflated file whose stream would fill memory.
fn deflated_bomb() -> Vec<u8> {
    let file = plain().syntax("1.2.840.10008.1.2.1.99").with(0x0028_0010, *b"US", short(16000));
    let file = file.with(0x0028_0011, *b"US", short(16000));
    let mut head = file.dataset();
    head.truncate(head.len() - 72 - 4);
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&head).expect("deflated");
    encoder.write_all(&(16000_u32 * 16000 * 3).to_le_bytes()).expect("deflated");
    encoder.write_all(&vec![0; 1 << 16]).expect("deflated");
    [file.start(), encoder.finish().expect("deflated")].concat()
}

/// Files whose headers promise what there is not.
pub(crate) fn bombs() -> Vec<(&'static str, Vec<u8>)> {
    let large = |side| plain().with(0x0028_0010, *b"US", short(side)).with(0x0028_0011, *b"US", short(side));
    let mut endless = plain().bytes();
    let at = endless.len() - 72 - 4;
    endless[at..at + 4].copy_from_slice(&0xffff_fffe_u32.to_le_bytes());
    let mut runs = large(16000).syntax("1.2.840.10008.1.2.5").bytes();
    let at = runs.len() - 72 - 4;
    runs.truncate(at);
    runs.extend([0xff; 4]);
    let item = |bytes: &[u8]| [&[0xfe, 0xff, 0, 0xe0][..], &(bytes.len() as u32).to_le_bytes(), bytes].concat();
    let frame = [3_u32, 64, 66, 68].iter().flat_map(|number| number.to_le_bytes()).chain([0; 48]).chain([0x81, 7]);
    let frame: Vec<u8> = frame.chain([0x81, 7, 0x81, 7]).collect();
    runs.extend([item(&[]), item(&frame), vec![0xfe, 0xff, 0xdd, 0xe0, 0, 0, 0, 0]].concat());
    vec![
        ("large", large(16000).bytes()),
        ("larger", large(65535).bytes()),
        ("endless pixels", endless),
        ("run lengths", runs),
        ("deflated", deflated_bomb()),
    ]
}
