//! Prints the digest of the pixels of each JPEG that is named, decoded as `src/data/decode.rs` does.

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

fn main() {
    for name in std::env::args().skip(1) {
        let bytes = std::fs::read(&name).expect("it can be read");
        let options = DecoderOptions::default()
            .jpeg_set_out_colorspace(ColorSpace::RGB)
            .set_strict_mode(true)
            .set_max_width(1 << 15)
            .set_max_height(1 << 15);
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(&bytes), options);
        let pixels = decoder.decode().expect("it decodes");
        let file = name.rsplit('/').next().unwrap_or_default();
        println!("{} {file}", &blake3::hash(&pixels).to_hex()[..8]);
    }
}
