//! Masks of every encoding: files written by libtiff, files built here in every combination, and malformed ones.

use std::io::Write;
use std::path::Path;

use macula::data::bitmap::Bitmap;
use macula::data::mask::{Mask, MaskContent, Threshold};
use proptest::prelude::*;

const LESION: MaskContent = MaskContent::Lesion(Threshold::Automatic);

fn disc(x: usize, y: usize) -> bool {
    (x as i64 - 30).pow(2) + (y as i64 - 20).pow(2) <= 140
}

#[test]
fn masks_written_by_libtiff_and_libpng_are_read_whatever_their_encoding() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/expected/pictures");
    let mut read = 0;
    for file in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        if Path::new(&name).extension().is_some_and(|ending| ending == "jpg") || name.starts_with("photograph") {
            continue;
        }
        let mask = Mask::read(&std::fs::read(&file).unwrap(), LESION).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((mask.bits().width(), mask.bits().height()), (61, 45), "{name}");
        for (x, y) in (0..45).flat_map(|y| (0..61).map(move |x| (x, y))) {
            assert_eq!(mask.bits().get(x, y), disc(x, y), "{name} at {x} {y}");
        }
        read += 1;
    }
    assert_eq!(read, 28);
}

/// One way of writing a mask as TIFF.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of TIFF's own, taken in all combinations")]
struct Encoding {
    big: bool,
    /// Bits, samples, photometric interpretation.
    kind: (usize, usize, u16),
    compression: u16,
    tiles: bool,
    reversed: bool,
    differences: bool,
}

const KINDS: [(usize, usize, u16); 15] = [
    (1, 1, 0),
    (1, 1, 1),
    (4, 1, 0),
    (4, 1, 1),
    (8, 1, 0),
    (8, 1, 1),
    (16, 1, 0),
    (16, 1, 1),
    (1, 1, 3),
    (4, 1, 3),
    (8, 1, 3),
    (8, 3, 2),
    (8, 4, 2),
    (16, 3, 2),
    (8, 2, 1),
];

fn encodings() -> impl Strategy<Value = Encoding> {
    let compressions = prop::sample::select(vec![1_u16, 5, 8, 32773, 32946]);
    let kinds = prop::sample::select(KINDS.to_vec());
    (any::<bool>(), kinds, compressions, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(big, kind, compression, tiles, reversed, differences)| Encoding {
            big,
            kind,
            compression,
            tiles,
            reversed,
            differences: differences && kind.0 >= 8,
        },
    )
}

fn tiff(mask: &Bitmap, how: Encoding) -> Vec<u8> {
    let (bits, samples, photometric) = how.kind;
    let (block_width, block_height) = if how.tiles { (32, 16) } else { (mask.width(), 7) };
    let most = (1_u32 << bits) - 1;
    // What a lesion pixel and what any other holds.
    let pixel = |lesion: bool| -> Vec<u32> {
        match (photometric, samples) {
            (0, _) => vec![if lesion { 0 } else { most }],
            (3, _) => vec![if lesion { most.min(5) } else { 0 }],
            (2, samples) => [if lesion { most } else { 0 }, 0, 0, most][..samples].to_vec(),
            (_, samples) => [if lesion { most } else { 0 }, most][..samples].to_vec(),
        }
    };
    let (across, down) = (mask.width().div_ceil(block_width), mask.height().div_ceil(block_height));
    let mut blocks = Vec::new();
    for (row, column) in (0..down).flat_map(|row| (0..across).map(move |column| (row, column))) {
        let rows = if how.tiles { block_height } else { block_height.min(mask.height() - row * block_height) };
        let mut data = Vec::new();
        for y in (row * block_height..).take(rows) {
            let mut values = Vec::new();
            for x in (column * block_width..).take(block_width) {
                values.extend(pixel(x < mask.width() && y < mask.height() && mask.get(x, y)));
            }
            if how.differences {
                for i in (samples..values.len()).rev() {
                    values[i] = values[i].wrapping_sub(values[i - samples]) & most;
                }
            }
            data.extend(pack(&values, bits, how.big));
        }
        let mut data = compress(&data, how.compression);
        if how.reversed {
            for byte in &mut data {
                *byte = byte.reverse_bits();
            }
        }
        blocks.push(data);
    }
    assemble(mask, how, (block_width, block_height), &blocks)
}

fn pack(values: &[u32], bits: usize, big: bool) -> Vec<u8> {
    match bits {
        16 if big => values.iter().flat_map(|&value| (value as u16).to_be_bytes()).collect(),
        16 => values.iter().flat_map(|&value| (value as u16).to_le_bytes()).collect(),
        _ => {
            let shifted = |(i, value): (usize, &u32)| (*value as u8) << (8 - bits * (i + 1));
            values.chunks(8 / bits).map(|values| values.iter().enumerate().map(shifted).sum()).collect()
        }
    }
}

fn compress(data: &[u8], compression: u16) -> Vec<u8> {
    match compression {
        5 => weezl::encode::Encoder::with_tiff_size_switch(weezl::BitOrder::Msb, 8).encode(data).unwrap(),
        8 | 32946 => {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        }
        32773 => {
            let mut out = Vec::new();
            for run in data.chunk_by(|a, b| a == b) {
                for run in run.chunks(128) {
                    match run {
                        [byte] => out.extend([0, *byte]),
                        run => out.extend([(257 - run.len()) as u8, run[0]]),
                    }
                }
            }
            out
        }
        _ => data.to_vec(),
    }
}

fn assemble(mask: &Bitmap, how: Encoding, block: (usize, usize), blocks: &[Vec<u8>]) -> Vec<u8> {
    let (bits, samples, photometric) = how.kind;
    let short = |value: usize| if how.big { (value as u16).to_be_bytes() } else { (value as u16).to_le_bytes() };
    let long = |value: usize| if how.big { (value as u32).to_be_bytes() } else { (value as u32).to_le_bytes() };
    let mut out = if how.big { b"MM".to_vec() } else { b"II".to_vec() };
    out.extend(short(42));
    out.extend([0; 4]);
    let mut starts = Vec::new();
    for data in blocks {
        starts.push(out.len());
        out.extend(data);
    }
    let mut entries: Vec<(u16, u16, Vec<usize>)> = vec![
        (256, 3, vec![mask.width()]),
        (257, 4, vec![mask.height()]),
        (258, 3, vec![bits; samples]),
        (259, 3, vec![how.compression as usize]),
        (262, 3, vec![photometric as usize]),
        (266, 3, vec![1 + usize::from(how.reversed)]),
        (277, 3, vec![samples]),
        (317, 3, vec![1 + usize::from(how.differences)]),
    ];
    let sizes = blocks.iter().map(Vec::len).collect();
    if how.tiles {
        entries.extend([(322, 3, vec![block.0]), (323, 3, vec![block.1]), (324, 4, starts), (325, 4, sizes)]);
    } else {
        entries.extend([(273, 4, starts), (278, 3, vec![block.1]), (279, 4, sizes)]);
    }
    if photometric == 3 {
        let colours = 1 << bits;
        let red = (0..3 * colours).map(|i| if i > 0 && i < colours { 65535 } else { 0 }).collect();
        entries.push((320, 3, red));
    }
    let mut directory = short(entries.len()).to_vec();
    for (tag, kind, values) in &entries {
        let bytes: Vec<u8> = match kind {
            3 => values.iter().flat_map(|&value| short(value)).collect(),
            _ => values.iter().flat_map(|&value| long(value)).collect(),
        };
        directory.extend([short(*tag as usize), short(*kind as usize)].concat());
        directory.extend(long(values.len()));
        if bytes.len() <= 4 {
            directory.extend(bytes.iter().copied().chain([0; 4]).take(4));
        } else {
            directory.extend(long(out.len()));
            out.extend(bytes);
        }
    }
    directory.extend([0; 4]);
    let place = long(out.len());
    out[4..8].copy_from_slice(&place);
    out.extend(directory);
    out
}

fn random(width: usize, height: usize, seed: u64) -> Bitmap {
    let mut mask = Bitmap::new(width, height);
    for (x, y) in (0..height).flat_map(|y| (0..width).map(move |x| (x, y))) {
        if ((x / 3) as u64 * 31 + y as u64 * 17 + 1).wrapping_mul(seed | 1) >> 62 == 0 {
            mask.set(x, y);
        }
    }
    mask
}

proptest! {
    #[test]
    fn every_encoding_gives_the_mask_that_was_written(
        how in encodings(), width in 1usize..80, height in 1usize..40, seed in any::<u64>(),
    ) {
        let mask = random(width, height, seed);
        let read = Mask::read(&tiff(&mask, how), LESION);
        prop_assert_eq!(read.as_ref().map(Mask::bits), Ok(&mask));
    }

    #[test]
    fn a_hostile_file_is_an_error_or_a_mask_and_never_a_panic(
        how in encodings(), seed in any::<u64>(), at in any::<prop::sample::Index>(), value in any::<u32>(),
        cut in any::<prop::sample::Index>(), directory in 0usize..160,
    ) {
        let whole = tiff(&random(40, 20, seed), how);
        // One change anywhere, one in the directory (where the damage is greatest), and the end cut off.
        let start = whole.len() - 12 * 15;
        let mut bytes = whole.clone();
        let at = at.index(bytes.len() - 4);
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        let _ = Mask::read(&bytes, LESION);
        bytes = whole.clone();
        bytes[start + directory..][..4].copy_from_slice(&value.to_be_bytes());
        let _ = Mask::read(&bytes, LESION);
        let _ = Mask::read(&whole[..cut.index(whole.len())], LESION);
    }

    #[test]
    fn any_bytes_are_an_error_and_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for head in [b"II*\0".as_slice(), b"MM\0*", b""] {
            let _ = Mask::read(&[head, &bytes].concat(), LESION);
        }
    }
}

#[test]
fn huge_sizes_are_refused_before_memory_is_taken() {
    let how =
        Encoding { big: false, kind: (1, 1, 1), compression: 1, tiles: false, reversed: false, differences: false };
    let mut bytes = tiff(&random(40, 20, 3), how);
    let width = bytes.windows(4).position(|bytes| bytes == [0, 1, 3, 0]).unwrap();
    bytes[width + 2..width + 12].copy_from_slice(&[4, 0, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0x7f]);
    let error = Mask::read(&bytes, LESION).unwrap_err();
    assert_eq!(error, "2147483647 x 20 pixels exceed the limit for masks");
}

#[test]
fn a_mask_that_ends_too_early_says_so() {
    for compression in [1, 5, 8, 32773] {
        let how =
            Encoding { big: true, kind: (8, 1, 1), compression, tiles: false, reversed: false, differences: false };
        let bytes = tiff(&random(40, 7, 0x9e37_79b9_7f4a_7c15), how);
        // The strip's size is cut: the file is whole, its pixels are not.
        let sizes = bytes.windows(4).rposition(|bytes| bytes == [1, 23, 0, 4]).unwrap();
        let mut cut = bytes.clone();
        cut[sizes + 8..sizes + 12].copy_from_slice(&[0, 0, 0, 9]);
        let error = Mask::read(&cut, LESION).unwrap_err();
        assert_eq!(error, "its pixels end too early: the file is truncated or damaged", "compression {compression}");
    }
}

#[test]
fn a_threshold_leaves_anti_aliased_edges_out() {
    let grey: Vec<u8> = vec![0, 1, 127, 128, 254, 255];
    let png = macula::data::png_image::png(&grey, 6, 1, macula::data::png_image::PixelFormat::Grey);
    let set = |threshold| {
        let mask = Mask::read(&png, MaskContent::Lesion(threshold)).unwrap();
        (0..6).filter(|&x| mask.bits().get(x, 0)).collect::<Vec<_>>()
    };
    assert_eq!(set(Threshold::From(1)), [1, 2, 3, 4, 5]);
    assert_eq!(set(Threshold::From(128)), [3, 4, 5]);
    assert_eq!(set(Threshold::From(255)), [5]);
    assert_eq!(set(Threshold::Automatic), [3, 4, 5], "half of white, as the edges are soft");
}

#[test]
fn a_palette_whose_background_is_not_black_is_reported_by_index() {
    let black = Threshold::Automatic.of_palette(&[[0, 0, 0], [255, 0, 0]]);
    assert_eq!(black, Some(vec![false, true]), "IDRiD's palette");
    let turned = Threshold::Automatic.of_palette(&[[255, 255, 255], [0, 0, 0]]);
    assert_eq!(turned, Some(vec![true, false]));
    let white = Threshold::Automatic.of_palette(&[[255, 255, 255], [255, 0, 0], [255, 255, 255]]);
    assert_eq!(white, Some(vec![false, true, false]));
}
