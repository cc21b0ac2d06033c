//! JPEGs of every sampling and scan order: decoded as by libjpeg-turbo, or rejected by name.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use macula::data::decode::Photograph;
use macula::stage::StageError;

const WIDTH: usize = 29;
const HEIGHT: usize = 19;
const CELL: usize = 5;

/// A file in base64, and the means of red, green and blue over cells of its pixels (`tests/expected/jpeg.py`).
#[derive(serde::Deserialize)]
struct Row {
    file: String,
    cells: Vec<u8>,
}

fn rows() -> BTreeMap<String, Row> {
    serde_json::from_str(include_str!("../../expected/jpeg.json")).unwrap()
}

fn base64(text: &str) -> Vec<u8> {
    STANDARD.decode(text).expect("it is base64")
}

fn cells(photograph: &Photograph) -> Vec<u8> {
    let mut found = Vec::new();
    for (top, left) in (0..HEIGHT).step_by(CELL).flat_map(|top| (0..WIDTH).step_by(CELL).map(move |left| (top, left))) {
        for c in 0..3 {
            let rows = (top..(top + CELL).min(HEIGHT)).map(|y| photograph.row(y));
            let values: Vec<u32> =
                rows.flat_map(|row| (left..(left + CELL).min(WIDTH)).map(move |x| u32::from(row[x * 3 + c]))).collect();
            found.push((f64::from(values.iter().sum::<u32>()) / values.len() as f64).round() as u8);
        }
    }
    found
}

/// Whether a layout is rejected because the decoder reads its scans or sampling wrongly.
fn refused(name: &str) -> bool {
    let (factors, scans) = name.rsplit_once(' ').unwrap_or((name, ""));
    let finer = ["1x1,2x1", "1x1,1x2", "1x1,2x2", "2x1,1x2", "1x2,2x1", "1x1,1x1,2x1"];
    let apart = matches!(scans, "each" | "two" | "last") && factors.contains('x') && factors != "1x1,1x1,1x1";
    let half = factors == "1x4,1x2,1x2";
    name == "arithmetic"
        || half
        || factors.contains('3')
        || finer.iter().any(|finer| factors.starts_with(finer))
        || apart
}

#[test]
fn every_layout_is_read_as_libjpeg_turbo_reads_it_or_refused() {
    let rows = rows();
    let (mut read, mut left_out) = (0, 0);
    for (name, row) in &rows {
        let mut photograph = Photograph::default();
        match photograph.decode(&base64(&row.file), "eye.jpg") {
            Ok(_) => {
                assert!(!refused(name), "{name} is read, though it should be refused");
                let found = cells(&photograph);
                let far = found.iter().zip(&row.cells).map(|(a, b)| a.abs_diff(*b)).max();
                assert!(far <= Some(4), "{name}: a cell is {far:?} levels off");
                read += 1;
            }
            Err(error) => {
                assert!(refused(name), "{name}: {error}");
                let StageError::Input { code, text, .. } = error else { panic!("{name}") };
                assert_eq!(code, "unread-photograph", "{name}: {text}");
                assert!(text.contains("`eye.jpg`"), "{text}");
                left_out += 1;
            }
        }
    }
    assert_eq!((read, left_out), (58, 114), "of {} files", rows.len());
}

#[test]
fn kinds_of_jpeg_that_are_not_read_are_named() {
    let baseline = base64(&rows()["1x1,1x1,1x1 one"].file);
    let frame = baseline.array_windows().position(|pair| *pair == [0xff, 0xc0]).unwrap();
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = baseline.clone();
        change(&mut bytes);
        Photograph::default().decode(&bytes, "eye.jpg").unwrap_err().to_string()
    };
    let marked = |marker: u8| with(&|bytes| bytes[frame + 1] = marker);
    assert_eq!(marked(0xc3), "`eye.jpg` is not supported: it is a lossless JPEG");
    assert_eq!(marked(0xc5), "`eye.jpg` is not supported: it is a hierarchical JPEG");
    assert_eq!(marked(0xc9), "`eye.jpg` is not supported: its JPEG uses arithmetic coding");
    assert_eq!(marked(0xf7), "`eye.jpg` is not supported: it is a JPEG-LS");
    assert_eq!(with(&|bytes| bytes[frame + 4] = 12), "`eye.jpg` is not supported: it is a 12-bit JPEG");
}

#[test]
fn bytes_between_segments_are_passed_over() {
    let baseline = base64(&rows()["2x2,1x1,1x1 one"].file);
    let read = |bytes: &[u8]| {
        let mut photograph = Photograph::default();
        photograph.decode(bytes, "eye.jpg").map(|_| photograph)
    };
    let right = read(&baseline).unwrap();
    let starts: Vec<usize> = (2..baseline.len() - 1)
        .filter(|&at| baseline[at] == 0xff && matches!(baseline[at + 1], 0xc0 | 0xc4 | 0xda | 0xdb))
        .collect();
    assert!(starts.len() >= 4);
    for start in starts {
        for stray in [b"\0\0".as_slice(), b"\0", b"camera", b"\xff\xff", b"\xff\0\x01"] {
            let bytes = [&baseline[..start], stray, &baseline[start..]].concat();
            assert!(read(&bytes).unwrap() == right, "{stray:?} before byte {start}");
        }
    }
}
