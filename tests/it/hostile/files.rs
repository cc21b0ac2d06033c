//! Photographs, masks, tables and weights that lie about themselves. They are read in a process of its own with little address
//! space, where memory taken on a header's word ends it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{Command, Stdio};

use macula::base::Digest;
use macula::data::decode::Photograph;
use macula::data::mask::{Mask, MaskContent, Threshold};
use macula::data::predictions::Predictions;
use macula::data::table::{Column, Columns};
use macula::engine::network::Weights;

use crate::extract::dicom::{self, pydicom_files};

const CHILD: &str = "MACULA_TEST_BOUNDED";

/// KiB of address space of the child: it, with its threads' stacks, and what honest files take.
const ADDRESSES: u32 = 1_500_000;

/// Runs one test of this file in a process of its own; true in that process.
fn bounded(test: &str) -> bool {
    if std::env::var(CHILD).is_ok_and(|of| of == test) {
        return true;
    }
    let script = format!("ulimit -v {ADDRESSES}; exec \"$0\" --exact \"$1\" --nocapture --test-threads 1");
    let mut child = Command::new("sh");
    child
        .args(["-c", &script])
        .arg(std::env::current_exe().expect("this binary"))
        .arg(format!("hostile::files::{test}"));
    let output = child.env(CHILD, test).stdin(Stdio::null()).output().expect("the child starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);
    assert!(said.contains("1 passed"), "{said}");
    false
}

fn picture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/expected/pictures").join(name);
    std::fs::read(path).expect("a picture")
}

/// Every file that is like `whole` but for one byte, and every one that is cut short, as far as `step` goes.
fn variants(whole: &[u8], step: usize) -> impl Iterator<Item = Vec<u8>> + '_ {
    let changed = (0..whole.len()).step_by(step).flat_map(move |at| {
        [0x00, 0x01, 0x7f, 0x80, 0xff].map(|byte| {
            let mut bytes = whole.to_vec();
            bytes[at] ^= if byte == bytes[at] { 0x55 } else { bytes[at] ^ byte };
            bytes
        })
    });
    changed.chain((0..whole.len()).step_by(step).map(move |end| whole[..end].to_vec()))
}

/// Reads all variants; fails where one panics, and where not one was refused.
fn survive(name: &str, whole: &[u8], step: usize, read: impl Fn(&[u8]) -> Result<(), String>) {
    assert_eq!(read(whole), Ok(()), "{name} itself is sound");
    let (mut all, mut refused) = (0, 0);
    for bytes in variants(whole, step) {
        let came = catch_unwind(AssertUnwindSafe(|| read(&bytes)));
        all += 1;
        assert!(came.is_ok(), "{name}: a panic over {} bytes, digest {}", bytes.len(), Digest::of(&bytes));
        if let Ok(Err(text)) = came {
            refused += 1;
            assert!(!text.is_empty(), "{name}: refused without a word");
        }
    }
    assert!(refused * 10 > all, "{name}: {refused} of {all} refused");
}

fn photograph(bytes: &[u8]) -> Result<(), String> {
    Photograph::default().decode(bytes, "eye").map(|_| ()).map_err(|error| error.to_string())
}

fn mask(bytes: &[u8]) -> Result<(), String> {
    Mask::read(bytes, MaskContent::Lesion(Threshold::Automatic)).map(|_| ())
}

#[test]
fn pictures_with_any_byte_changed_are_read_or_refused() {
    if !bounded("pictures_with_any_byte_changed_are_read_or_refused") {
        return;
    }
    for name in ["baseline.jpg", "progressive.jpg", "photograph.png"] {
        survive(name, &picture(name), 11, photograph);
    }
    for name in
        ["palette-tiff_lzw.tif", "grey-tiff_adobe_deflate.tif", "deep-packbits.tif", "rgba-raw.tif", "palette.png"]
    {
        survive(name, &picture(name), 7, mask);
    }
    for (name, bytes) in pydicom_files().into_iter().step_by(5) {
        survive(&name, &bytes, 13, photograph);
    }
}

/// The header of a JPEG says 32,000 x 32,000.
fn jpeg_bomb() -> Vec<u8> {
    let mut bytes = picture("baseline.jpg");
    let frame = bytes.array_windows().position(|pair| *pair == [0xff, 0xc0]).expect("a frame");
    bytes[frame + 5..frame + 9].copy_from_slice(&[0x7d, 0x00, 0x7d, 0x00]);
    bytes
}

/// The header of a PNG, its checksum right, says `side` x `side`.
fn png_bomb(side: u32) -> Vec<u8> {
    let mut bytes = picture("photograph.png");
    bytes[16..20].copy_from_slice(&side.to_be_bytes());
    bytes[20..24].copy_from_slice(&side.to_be_bytes());
    let mut checksum = flate2::Crc::new();
    checksum.update(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&checksum.sum().to_be_bytes());
    bytes
}

/// The directory of a TIFF says 16,384 x 16,384 in one strip.
fn tiff_bomb() -> Vec<u8> {
    let mut bytes = picture("grey-tiff_adobe_deflate.tif");
    let directory = u32::from_le_bytes(bytes[4..8].try_into().expect("four")) as usize;
    let fields = usize::from(u16::from_le_bytes([bytes[directory], bytes[directory + 1]]));
    for at in (0..fields).map(|i| directory + 2 + 12 * i) {
        let tag = u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        if [256, 257, 278].contains(&tag) {
            bytes[at + 2..at + 4].copy_from_slice(&4u16.to_le_bytes());
            bytes[at + 8..at + 12].copy_from_slice(&16_384u32.to_le_bytes());
        }
    }
    bytes
}

#[test]
fn headers_that_promise_gigabytes_are_refused_before_there_is_memory_for_them() {
    if !bounded("headers_that_promise_gigabytes_are_refused_before_there_is_memory_for_them") {
        return;
    }
    let bombs = [
        ("jpeg", jpeg_bomb()),
        ("png", png_bomb(30_000)),
        ("smaller png", png_bomb(16_000)),
        ("largest png", png_bomb(u32::MAX >> 1)),
        ("tiff", tiff_bomb()),
    ];
    for (name, bomb) in bombs.iter().chain(&dicom::bombs()) {
        let error = photograph(bomb).expect_err(name);
        assert!(error.contains("`eye`"), "{name}: {error}");
        let error = mask(bomb).expect_err(name);
        assert!(!error.is_empty(), "{name}");
    }
}

#[test]
fn tables_with_any_byte_changed_are_read_or_refused() {
    if !bounded("tables_with_any_byte_changed_are_read_or_refused") {
        return;
    }
    let mut table = Columns::default();
    let some = |values: &[f64]| values.iter().copied().map(Some).collect::<Vec<_>>();
    table.push("photograph", Column::Text(vec![Some("a".into()), Some("b".into()), None]));
    table.push("x", Column::Real(some(&[0.0, 1.0, 2.0])));
    table.push("histogram", Column::Counts(vec![vec![1, 2], vec![], vec![3]]));
    let whole = table.to_parquet().expect("written");
    let read = |bytes: &[u8]| Columns::from_parquet(bytes).map(|_| ()).map_err(|error| error.to_string());
    survive("a table", &whole, 1, read);
    let mut given = Columns::default();
    given.push("photograph", Column::Text(vec![Some("a".into()), Some("b".into())]));
    for name in ["x", "y"] {
        given.push(name, Column::Int(vec![Some(0), Some(64)]));
    }
    given.push("score.MA", Column::Real(some(&[0.1, 0.9])));
    let whole = given.to_parquet().expect("written");
    let read = |name: &'static str| {
        move |bytes: &[u8]| Predictions::read(name, bytes).map(|_| ()).map_err(|error| error.to_string())
    };
    survive("predictions", &whole, 1, read("predictions.parquet"));
    survive("predictions as text", b"photograph,x,y,score.MA\na,0,0,0.1\nb,64,0,0.9\n", 1, read("predictions.csv"));
}

fn weights(bytes: &[u8]) -> Result<(), String> {
    Weights::parse("weights", bytes).map(|_| ()).map_err(|error| error.to_string())
}

fn safetensors(header: &str, data: usize) -> Vec<u8> {
    [(header.len() as u64).to_le_bytes().as_slice(), header.as_bytes(), &vec![0; data]].concat()
}

#[test]
fn weights_with_any_byte_changed_are_read_or_refused() {
    if !bounded("weights_with_any_byte_changed_are_read_or_refused") {
        return;
    }
    let header = r#"{"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"b":{"dtype":"F32","shape":[1],"data_offsets":[16,20]}}"#;
    survive("safetensors", &safetensors(header, 20), 1, weights);
}

#[test]
fn weights_of_torch_with_any_byte_changed_are_read_or_refused() {
    if !bounded("weights_of_torch_with_any_byte_changed_are_read_or_refused") {
        return;
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/expected/tiny.pth");
    survive("torch", &std::fs::read(path).expect("a file"), 3, weights);
    for name in ["packed", "columns", "protocol-5", "key-nested"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/expected/pth/{name}.pth"));
        survive(name, &std::fs::read(path).expect("a file"), 13, weights);
    }
}

#[test]
fn weights_whose_headers_lie_are_refused() {
    if !bounded("weights_whose_headers_lie_are_refused") {
        return;
    }
    let one = |shape: &str, from: &str, to: &str| {
        format!(r#"{{"a":{{"dtype":"F32","shape":{shape},"data_offsets":[{from},{to}]}}}}"#)
    };
    let lies = [
        ("more than there is", one("[1000000000]", "0", "4000000000")),
        ("a shape that overflows", one("[4294967296,4294967296,4]", "0", "8")),
        ("an end before its beginning", one("[2]", "8", "0")),
        ("an end past all numbers", one("[2]", "0", "18446744073709551615")),
        ("a negative place", one("[2]", "-8", "0")),
        ("other bytes than the shape wants", one("[3]", "0", "8")),
        ("two tensors in one place", {
            r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#.into()
        }),
        ("a deep header", "[".repeat(200_000)),
    ];
    for (why, header) in &lies {
        let error = weights(&safetensors(header, 8)).expect_err(why);
        assert!(error.contains("`weights`"), "{why}: {error}");
    }
    for length in [u64::MAX, 1 << 40, 99_999_999, 9] {
        let bytes = [length.to_le_bytes().as_slice(), b"{}      "].concat();
        assert!(weights(&bytes).is_err(), "a header of {length} bytes");
    }
}
