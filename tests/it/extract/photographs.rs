//! Decoding: digests, damage, orientation.

use std::fmt::Write;

use std::path::Path;

use macula::base::Digest;
use macula::data::decode::Photograph;
use macula::stage::StageError;

use super::lab::real_data;

fn file(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/expected/pictures").join(name)).unwrap()
}

fn decode(bytes: &[u8]) -> Result<Photograph, StageError> {
    let mut photograph = Photograph::default();
    photograph.decode(bytes, "eye.jpg").map(|_| photograph)
}

fn code(error: &StageError) -> &str {
    if let StageError::Input { code, .. } = error { code } else { "" }
}

#[test]
fn photographs_decode_to_the_same_bytes_everywhere() {
    let mut seen = String::new();
    for name in ["baseline.jpg", "progressive.jpg", "photograph.png"] {
        let photograph = decode(&file(name)).unwrap();
        assert_eq!((photograph.width, photograph.height), (61, 45));
        // Memory that is used again holds nothing of what was in it.
        let mut again = Photograph { width: 1, height: 1, rgb: vec![77; 50_000] };
        again.decode(&file(name), "eye.jpg").unwrap();
        assert_eq!(again, photograph);
        writeln!(seen, "{} {name}", Digest::of(&photograph.rgb).short()).unwrap();
    }
    insta::assert_snapshot!(seen, @"
    e5591d11 baseline.jpg
    e5591d11 progressive.jpg
    135b4d0a photograph.png
    ");
}

#[test]
fn a_jpeg_is_close_to_the_picture_that_it_was_made_of() {
    let png = decode(&file("photograph.png")).unwrap();
    for name in ["baseline.jpg", "progressive.jpg"] {
        let jpeg = decode(&file(name)).unwrap();
        let far = png.rgb.iter().zip(&jpeg.rgb).filter(|(a, b)| a.abs_diff(**b) > 12).count();
        assert!(far < png.rgb.len() / 12, "{name}: {far} of {} samples are far off", png.rgb.len());
    }
}

#[test]
fn a_photograph_cut_anywhere_is_refused_by_name() {
    for name in ["baseline.jpg", "progressive.jpg", "photograph.png"] {
        let whole = file(name);
        for length in (0..whole.len() - 2).step_by(7).chain([whole.len() - 2]) {
            let error = decode(&whole[..length]).expect_err(&format!("{name} cut at {length} was read"));
            assert!(error.to_string().contains("`eye.jpg`"), "{error}");
            if length > 700 {
                assert_eq!(code(&error), "truncated-photograph", "{name} cut at {length}: {error}");
            }
        }
    }
}

#[test]
fn a_photograph_of_which_a_piece_is_missing_is_refused() {
    // The end mark is there, so that nothing but the number of pixels tells.
    let whole = file("baseline.jpg");
    let pixels = whole.array_windows().position(|pair| *pair == [0xff, 0xda]).unwrap() + 14;
    for from in (pixels..whole.len() - 150).step_by(13) {
        let holed = [&whole[..from], &whole[from + 100..]].concat();
        let error = decode(&holed).expect_err(&format!("read without 100 bytes from {from} on"));
        assert!(error.to_string().contains("`eye.jpg`"), "{error}");
    }
}

#[test]
fn decoding_needs_no_vector_instructions_to_give_the_same_bytes() {
    use zune_jpeg::JpegDecoder;
    use zune_jpeg::zune_core::bytestream::ZCursor;
    use zune_jpeg::zune_core::options::DecoderOptions;

    let mut files = vec![file("baseline.jpg"), file("progressive.jpg")];
    // A photograph of a camera where there is one: larger, and with the chroma of every other pixel.
    let photograph = "idrid/A. Segmentation/1. Original Images/a. Training Set/IDRiD_19.jpg";
    files.extend(real_data().map(|data| std::fs::read(data.join(photograph)).unwrap()));
    for bytes in files {
        let decode = |options: DecoderOptions| {
            let options = options.set_max_width(1 << 15).set_max_height(1 << 15);
            JpegDecoder::new_with_options(ZCursor::new(&bytes), options).decode().unwrap()
        };
        let (vectors, scalars) = (decode(DecoderOptions::new_fast()), decode(DecoderOptions::new_safe()));
        assert!(vectors == scalars, "other pixels without vector instructions, of {} bytes", bytes.len());
    }
}

#[test]
fn a_photograph_to_be_shown_turned_is_turned() {
    let (upright, turned) = (decode(&file("baseline.jpg")).unwrap(), decode(&file("turned.jpg")).unwrap());
    assert_eq!((turned.width, turned.height), (45, 61));
    // The stored upper left corner is shown at the upper right. (The two were saved with other chroma.)
    let far = |x: usize, y: usize| {
        let pixel = &turned.row(x)[(44 - y) * 3..][..3];
        pixel.iter().zip(&upright.row(y)[x * 3..]).any(|(a, b)| a.abs_diff(*b) > 40)
    };
    let off = (0..45).flat_map(|y| (0..61).map(move |x| (x, y))).filter(|&(x, y)| far(x, y)).count();
    assert!(off < 100, "{off} pixels are elsewhere");
}

#[test]
fn what_is_no_picture_is_refused() {
    for bytes in [b"".as_slice(), b"<html>", b"\xff\xd8", b"\x89PNG\r\n\x1a\n"] {
        assert!(decode(bytes).unwrap_err().to_string().contains("`eye.jpg`"));
    }
}
