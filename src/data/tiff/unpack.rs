//! Decompression of strips and tiles: `PackBits`, LZW, Deflate. Knows no image.

use std::io::Read;

/// Decodes `PackBits` (TIFF 6.0, section 9), at most `most` bytes.
pub(in crate::data) fn unpack_bits(raw: &[u8], most: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = raw;
    while let [head, tail @ ..] = rest
        && out.len() < most
    {
        let count = usize::from(*head) + 1;
        match (*head, tail) {
            (128, _) => rest = tail,
            (0..128, _) => {
                let literal = &tail[..count.min(tail.len())];
                out.extend_from_slice(literal);
                rest = &tail[literal.len()..];
            }
            (_, [byte, after @ ..]) => {
                out.extend(std::iter::repeat_n(*byte, 258 - count));
                rest = after;
            }
            (_, []) => break,
        }
    }
    out.truncate(most);
    out
}

/// Decodes LZW (TIFF 6.0, section 13), at least `most` bytes if there are as many.
pub(super) fn unpack_lzw(raw: &[u8], most: usize) -> Result<Vec<u8>, String> {
    if raw.starts_with(&[0, 1]) {
        return Err("it has the old LZW variant from before TIFF 6; save it again".to_owned());
    }
    let mut decoder = weezl::decode::Decoder::with_tiff_size_switch(weezl::BitOrder::Msb, 8);
    let (mut out, mut rest, mut buffer) = (Vec::new(), raw, vec![0; 1 << 16]);
    while out.len() < most {
        let step = decoder.decode_bytes(rest, &mut buffer);
        rest = &rest[step.consumed_in..];
        out.extend_from_slice(&buffer[..step.consumed_out]);
        match step.status {
            Ok(weezl::LzwStatus::Ok) if step.consumed_in + step.consumed_out > 0 => {}
            _ => break,
        }
    }
    Ok(out)
}

/// Decodes Deflate with a zlib header, at most `most` bytes; if damaged, as many as can be read.
pub(super) fn inflate(raw: &[u8], most: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(most.min(raw.len().saturating_mul(64)));
    // The caller detects errors by too few bytes.
    let _ = flate2::read::ZlibDecoder::new(raw).take(most as u64).read_to_end(&mut out);
    out
}
