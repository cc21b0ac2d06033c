//! Photographs of 16 bits have the pixels that `OpenCV` and tifffile read from them (`tests/expected/deep.py`).

use std::io::Read;

use base64::Engine;
use macula::data::decode::Photograph;

/// A file, and its pixels in 8 bits.
#[derive(serde::Deserialize)]
struct DeepFile {
    name: String,
    rgb: String,
    file: String,
}

#[test]
fn photographs_of_16_bits_are_read_as_opencv_and_tifffile_read_them() {
    let files: Vec<DeepFile> = serde_json::from_str(include_str!("../../expected/deep.json")).expect("JSON");
    assert!(files.len() > 50);
    let decoded = |text: &str| base64::engine::general_purpose::STANDARD.decode(text).expect("base64");
    for DeepFile { name, rgb, file } in files {
        let mut bytes = Vec::new();
        flate2::read::ZlibDecoder::new(&decoded(&file)[..]).read_to_end(&mut bytes).expect("inflated");
        let mut photograph = Photograph::default();
        let info = photograph.decode(&bytes, &name).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((photograph.width, photograph.height, info.bits), (13, 10, 16), "{name}");
        assert_eq!(photograph.rgb, decoded(&rgb), "{name}");
    }
}
