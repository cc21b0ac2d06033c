//! Pixels are decoded as their file states, or the file is rejected: orientation, palettes, pages, signs, extra samples, bit depths.

use macula::data::bitmap::Bitmap;
use macula::data::decode::Photograph;
use macula::data::mask::{Mask, MaskContent, MaskValues, Threshold};
use macula::stage::StageError;

use super::image_files::{LITTLE, Order, Page, exif, jpeg_with, png, tiff, zlib};

const ORDERS: [Order; 4] =
    [LITTLE, Order { big: true, wide: false }, Order { big: false, wide: true }, Order { big: true, wide: true }];

/// Result of EXIF's orientations for the stored rows `ab`, `cd`, `ef`.
const SHOWN: [&str; 8] = ["ab/cd/ef", "ba/dc/fe", "fe/dc/ba", "ef/cd/ab", "ace/bdf", "eca/fdb", "fdb/eca", "bdf/ace"];

fn mask(bytes: &[u8]) -> Result<Mask, String> {
    Mask::read(bytes, MaskContent::Lesion(Threshold::Automatic))
}

fn places(mask: &Mask) -> Vec<(usize, usize)> {
    mask.bits().pixels().collect()
}

fn decode(bytes: &[u8]) -> Result<Photograph, String> {
    let mut photograph = Photograph::default();
    photograph.decode(bytes, "eye").map(|_| photograph).map_err(|error| match error {
        StageError::Input { code, text, .. } => format!("{code}: {text}"),
        other => other.to_string(),
    })
}

fn red(bytes: &[u8]) -> Vec<u8> {
    decode(bytes).unwrap_or_else(|error| panic!("{error}")).rgb.iter().copied().step_by(3).collect()
}

/// The letters `abcdef` as grey levels, and as a mask of `d`.
fn letters() -> (Vec<u8>, Vec<u8>) {
    ((b'a'..=b'f').collect(), vec![0, 0, 0, 255, 0, 0])
}

fn check(what: &str, orientation: usize, photograph: &[u8], as_mask: &[u8]) {
    let shown = SHOWN[orientation - 1];
    let read = decode(photograph).unwrap_or_else(|error| panic!("{what}: {error}"));
    let letters: Vec<u8> = read.rgb.iter().copied().step_by(3).collect();
    let rows: Vec<&str> = letters.chunks(read.width).map(|row| std::str::from_utf8(row).unwrap()).collect();
    assert_eq!(rows.join("/"), shown, "{what}");
    let read = mask(as_mask).unwrap_or_else(|error| panic!("{what}: {error}"));
    let d: Vec<(usize, usize)> = shown
        .split('/')
        .enumerate()
        .flat_map(|(y, row)| row.bytes().enumerate().filter(|(_, letter)| *letter == b'd').map(move |(x, _)| (x, y)))
        .collect();
    assert_eq!(places(&read), d, "{what}, as a mask");
    assert_eq!(usize::from(read.turned().number()), orientation, "{what}");
}

#[test]
fn orientation_is_applied_from_every_format_in_every_spelling() {
    let (grey, lesion) = letters();
    for (orientation, order) in (1..=8).flat_map(|orientation| ORDERS.map(|order| (orientation, order))) {
        let name = format!("orientation {orientation}, big {}, wide {}", order.big, order.wide);
        // Byte, short, long and their signed kinds, fractions, floats, and what BigTIFF adds.
        for kind in [1, 3, 4, 5, 6, 8, 9, 10, 11, 12, 16] {
            let page = |pixels: &[u8]| {
                tiff(order, &[Page::new((2, 3), 8, 1, 1, pixels.to_vec()).with(274, kind, &[orientation as f64])])
            };
            check(&format!("TIFF, {name}, type {kind}"), orientation, &page(&grey), &page(&lesion));
            let block = exif(order, kind, orientation as f64);
            for prefix in [b"".as_slice(), b"Exif\0\0"] {
                let block = [prefix, &block].concat();
                let before = |pixels: &[u8]| png((2, 3), 8, 0, pixels, &[(b"eXIf", &block)], &[]);
                check(&format!("PNG, {name}, type {kind}"), orientation, &before(&grey), &before(&lesion));
                let behind = |pixels: &[u8]| png((2, 3), 8, 0, pixels, &[], &[(b"eXIf", &block)]);
                check(&format!("PNG behind, {name}, type {kind}"), orientation, &behind(&grey), &behind(&lesion));
            }
        }
    }
    for odd in [0.0, 9.0, 65535.0] {
        let page = Page::new((2, 3), 8, 1, 1, grey.clone()).with(274, 3, &[odd]);
        assert_eq!(red(&tiff(LITTLE, &[page])), grey, "{odd} is none of the eight");
    }
}

#[test]
fn orientation_is_applied_where_only_xmp_or_an_old_text_says_it() {
    let (grey, lesion) = letters();
    let xmp = b"<rdf:Description tiff:Orientation=\"6\"/>".to_vec();
    let values: Vec<f64> = xmp.iter().map(|byte| f64::from(*byte)).collect();
    let page = |pixels: &[u8]| Page::new((2, 3), 8, 1, 1, pixels.to_vec()).with(700, 1, &values);
    check("TIFF", 6, &tiff(LITTLE, &[page(&grey)]), &tiff(LITTLE, &[page(&lesion)]));
    assert_eq!(red(&tiff(LITTLE, &[page(&grey).with(274, 3, &[1.0])])), grey, "the tag comes first");
    let itxt = [b"XML:com.adobe.xmp\0\0\0\0\0".as_slice(), &xmp].concat();
    let block = [b"Exif\0\0".as_slice(), &exif(LITTLE, 3, 6.0)].concat();
    let digits = block.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    let raw = format!("\nexif\n      {}\n{}\n{}\n", block.len(), &digits[..72], &digits[72..]);
    let plain = [b"Raw profile type exif\0".as_slice(), raw.as_bytes()].concat();
    let deflated = [b"Raw profile type APP1\0\0".as_slice(), &zlib(raw.as_bytes())].concat();
    for (kind, text) in [(b"iTXt", &itxt), (b"tEXt", &plain), (b"zTXt", &deflated)] {
        let with = |pixels: &[u8]| png((2, 3), 8, 0, pixels, &[], &[(kind, text)]);
        check("PNG", 6, &with(&grey), &with(&lesion));
    }
    let upright = exif(LITTLE, 3, 1.0);
    let both = png((2, 3), 8, 0, &grey, &[(b"iTXt", &itxt)], &[(b"eXIf", &upright)]);
    assert_eq!(red(&both), grey, "the chunk comes first");
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/expected/pictures/baseline.jpg");
    let segment = [b"http://ns.adobe.com/xap/1.0/\0".as_slice(), &xmp].concat();
    let turned = decode(&jpeg_with(&std::fs::read(file).unwrap(), 0xe1, &segment)).unwrap();
    assert_eq!((turned.width, turned.height), (45, 61));
}

#[test]
fn orientation_is_applied_from_jpeg_and_the_first_block_counts() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/expected/pictures/baseline.jpg");
    let jpeg = std::fs::read(file).unwrap();
    let upright = decode(&jpeg).unwrap();
    for kind in [3, 4, 9] {
        for order in ORDERS {
            let block = [b"Exif\0\0".as_slice(), &exif(order, kind, 6.0)].concat();
            let turned = decode(&jpeg_with(&jpeg, 0xe1, &block)).unwrap();
            assert_eq!((turned.width, turned.height), (upright.height, upright.width));
            for (x, y) in [(0, 0), (60, 0), (0, 44), (30, 20)] {
                assert_eq!(turned.row(x)[(44 - y) * 3..][..3], upright.row(y)[x * 3..][..3], "{x} {y}");
            }
            // What follows a first block, and one that is damaged, does not count.
            let first = [b"Exif\0\0".as_slice(), &exif(order, 3, 1.0)].concat();
            let both = jpeg_with(&jpeg_with(&jpeg, 0xe1, &block), 0xe1, &first);
            assert_eq!(decode(&both).unwrap(), upright);
        }
    }
    assert_eq!(decode(&jpeg_with(&jpeg, 0xe1, b"Exif\0\0II*\0\xff\xff\xff\xff")).unwrap(), upright);
}

#[test]
fn a_palette_means_the_same_in_png_and_tiff() {
    let (white, red, black, grey) = ([255, 255, 255], [255, 0, 0], [0, 0, 0], [128, 128, 128]);
    // A palette, and the indices that are lesion.
    for (palette, lesion) in [
        (vec![white, red], vec![1]),
        (vec![white, black], vec![0]),
        (vec![black, red], vec![1]),
        (vec![black, red, white], vec![1, 2]),
        (vec![white, red, black], vec![1, 2]),
        (vec![red, white, red], vec![1]),
        (vec![grey, white], vec![1]),
    ] {
        let indices = [0, 1, 1, 2].map(|index: u8| index.min(palette.len() as u8 - 1)).to_vec();
        let lesion: Vec<(usize, usize)> = (0..4).filter(|&x| lesion.contains(&indices[x])).map(|x| (x, 0)).collect();
        let flat: Vec<u8> = palette.concat();
        for bits in [2_u8, 4, 8] {
            let packed: Vec<u8> = match bits {
                8 => indices.clone(),
                4 => indices.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect(),
                _ => vec![indices.iter().fold(0, |byte, index| byte << 2 | index)],
            };
            let as_png = mask(&png((4, 1), bits, 3, &packed, &[(b"PLTE", &flat)], &[])).unwrap();
            let colours = 1 << bits;
            let channels = (0..3).flat_map(|c| (0..colours).map(move |i| (c, i)));
            let map: Vec<f64> = channels
                .map(|(c, i)| palette.get(i).map_or(0.0, |colour: &[u8; 3]| f64::from(colour[c]) * 257.0))
                .collect();
            let page = Page::new((4, 1), usize::from(bits), 1, 3, packed).with(320, 3, &map);
            let as_tiff = mask(&tiff(LITTLE, &[page])).unwrap();
            assert_eq!(places(&as_png), lesion, "PNG of {bits} bits, {palette:?}");
            assert_eq!(places(&as_tiff), lesion, "TIFF of {bits} bits, {palette:?}");
        }
    }
    let short = png((4, 1), 8, 3, &[0, 1, 1, 9], &[(b"PLTE", &[0, 0, 0, 255, 0, 0])], &[]);
    assert_eq!(mask(&short).unwrap_err(), "some pixels have an index outside the palette");
    // A palette of greys is grey, and a transparent colour is no lesion.
    let ramp: Vec<u8> = (0..=255).flat_map(|grey| [grey; 3]).collect();
    let soft = mask(&png((4, 1), 8, 3, &[0, 1, 128, 255], &[(b"PLTE", &ramp)], &[])).unwrap();
    assert_eq!((places(&soft), soft.seen()), (vec![(2, 0), (3, 0)], MaskValues::Soft));
    let clear = png((3, 1), 8, 3, &[0, 1, 2], &[(b"PLTE", &[0, 0, 0, 9, 9, 9, 9, 0, 0]), (b"tRNS", &[255, 0])], &[]);
    assert_eq!(places(&mask(&clear).unwrap()), [(2, 0)]);
}

#[test]
fn signed_samples_are_read_as_such() {
    let page = |bits: usize, pixels: &[u8]| {
        tiff(LITTLE, &[Page::new((2, 1), bits, 1, 1, pixels.to_vec()).with(339, 3, &[2.0])])
    };
    assert_eq!(places(&mask(&page(8, &[0, 127])).unwrap()), [(1, 0)]);
    assert_eq!(places(&mask(&page(16, &[0, 0, 1, 0])).unwrap()), [(1, 0)]);
    for negative in [page(8, &[255, 1]), page(16, &[255, 255, 1, 0])] {
        let error = mask(&negative).unwrap_err();
        assert_eq!(error, "it has negative values, whose meaning is unknown");
    }
    assert!(decode(&page(8, &[255, 1])).unwrap_err().ends_with("is not supported: it has signed samples"));
}

#[test]
fn an_extra_sample_is_alpha_only_where_the_file_says_so() {
    // Red, green, blue, and a sample that is 0 over the lesion and 9 next to it.
    let pixels = vec![255, 0, 0, 0, 255, 0, 0, 9, 0, 0, 0, 9];
    let with = |kind: f64| tiff(LITTLE, &[Page::new((3, 1), 8, 4, 2, pixels.clone()).with(338, 3, &[kind])]);
    assert_eq!(places(&mask(&with(0.0)).unwrap()), [(0, 0), (1, 0)], "unspecified");
    assert_eq!(places(&mask(&with(1.0)).unwrap()), [(1, 0)], "associated alpha");
    assert_eq!(places(&mask(&with(2.0)).unwrap()), [(1, 0)], "alpha of its own");
    let unsaid = tiff(LITTLE, &[Page::new((3, 1), 8, 4, 2, pixels.clone())]);
    assert_eq!(places(&mask(&unsaid).unwrap()), [(1, 0)], "as libtiff takes it");
    assert_eq!(red(&with(0.0)), [255, 255, 0], "a photograph has no use for either");
    let grey = tiff(LITTLE, &[Page::new((2, 1), 8, 2, 1, vec![255, 0, 255, 9]).with(338, 3, &[0.0])]);
    assert_eq!(places(&mask(&grey).unwrap()), [(0, 0), (1, 0)]);
    assert_eq!(red(&grey), [255, 255]);
}

#[test]
fn a_second_page_is_refused_by_name() {
    let page = || Page::new((2, 1), 8, 1, 1, vec![0, 200]);
    for order in ORDERS {
        let two = tiff(order, &[page(), page()]);
        let reason = "it has 2 pages; save the intended page as a file of its own";
        assert_eq!(mask(&two).unwrap_err(), reason);
        assert_eq!(decode(&two).unwrap_err(), format!("unread-photograph: `eye` is not supported: {reason}"));
        // Smaller copies and what is transparent are no pages of their own.
        for other in [
            page().with(254, 4, &[1.0]),
            page().with(254, 4, &[4.0]),
            page().with(255, 3, &[2.0]),
            Page::new((1, 0), 8, 1, 1, vec![0]),
        ] {
            let bytes = tiff(order, &[page(), other]);
            assert_eq!(places(&mask(&bytes).unwrap()), [(1, 0)]);
            assert_eq!(red(&bytes), [0, 200]);
        }
        let thumbnail = tiff(order, &[page().with(254, 4, &[1.0]), page()]);
        let copy = "its first page is a reduced copy of another";
        assert_eq!(mask(&thumbnail).unwrap_err(), copy);
        let within = tiff(order, &[page().with(254, 4, &[1.0]).with(330, 4, &[8.0])]);
        assert!(decode(&within).unwrap_err().ends_with(copy));
    }
    // Directories in a ring end.
    let mut ring = tiff(LITTLE, &[page()]);
    let first: [u8; 4] = *ring[4..].first_chunk().unwrap();
    let end = ring.len() - 4;
    ring[end..].copy_from_slice(&first);
    assert!(mask(&ring).unwrap_err().contains("pages"));
    let frames = [0, 0, 0, 2, 0, 0, 0, 0];
    let animation = png((2, 1), 8, 0, &[0, 200], &[(b"acTL", &frames)], &[]);
    assert!(mask(&animation).unwrap_err().starts_with("it is an animation of 2 frames"));
    assert!(decode(&animation).unwrap_err().contains("animation of 2 frames"));
}

#[test]
fn two_values_are_lesion_and_background_and_more_are_reported() {
    let grey = |pixels: &[u8]| {
        let read = mask(&png((pixels.len(), 1), 8, 0, pixels, &[], &[])).unwrap();
        let page = Page::new((pixels.len(), 1), 8, 1, 1, pixels.to_vec());
        assert_eq!(mask(&tiff(LITTLE, &[page])).as_ref(), Ok(&read), "{pixels:?} as TIFF");
        (places(&read).into_iter().map(|(x, _)| x).collect::<Vec<_>>(), read.seen())
    };
    assert_eq!(grey(&[0, 0, 1, 1]), (vec![2, 3], MaskValues::Two));
    assert_eq!(grey(&[0, 0, 0, 100]), (vec![3], MaskValues::Two));
    assert_eq!(grey(&[255, 255]), (vec![0, 1], MaskValues::Two));
    assert_eq!(grey(&[0, 0, 0, 0, 60, 127, 128, 255]), (vec![6, 7], MaskValues::Soft));
    // Numbers of lesions or classes are not edges.
    assert_eq!(grey(&[0, 0, 0, 0, 0, 0, 1, 2, 3]), (vec![6, 7, 8], MaskValues::Many));
    assert_eq!(grey(&[9, 40, 90, 250, 77, 31]), (vec![0, 1, 2, 3, 4, 5], MaskValues::Photograph));
    let colours = [[0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 0]].concat();
    let read = mask(&png((4, 1), 8, 2, &colours, &[], &[])).unwrap();
    assert_eq!((places(&read), read.seen()), (vec![(1, 0), (2, 0)], MaskValues::Many));
    // An edge that is soft by its alpha.
    let alpha = [[0, 0], [255, 90], [255, 200], [255, 255]].concat();
    let read = mask(&png((4, 1), 8, 4, &alpha, &[], &[])).unwrap();
    assert_eq!((places(&read), read.seen()), (vec![(2, 0), (3, 0)], MaskValues::Soft));
    let all = Mask::read(&png((4, 1), 8, 4, &alpha, &[], &[]), MaskContent::Lesion(Threshold::From(1))).unwrap();
    assert_eq!((places(&all), all.seen()), (vec![(1, 0), (2, 0), (3, 0)], MaskValues::Two), "as the pipeline says");
}

#[test]
fn a_mask_in_jpeg_is_read_only_where_the_pipeline_says_from_which_value() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/expected/pictures/baseline.jpg");
    let jpeg = std::fs::read(file).unwrap();
    assert_eq!(mask(&jpeg).unwrap_err(), "it is a JPEG, which blurs masks");
    let read = Mask::read(&jpeg, MaskContent::Lesion(Threshold::From(200))).unwrap();
    let photograph = decode(&jpeg).unwrap();
    let mut right = Bitmap::new(61, 45);
    for (i, _) in photograph.rgb.as_chunks::<3>().0.iter().enumerate().filter(|(_, rgb)| rgb.iter().any(|&v| v >= 200))
    {
        right.set(i % 61, i / 61);
    }
    assert_eq!(read.bits(), &right);
}

#[test]
fn deep_samples_are_scaled_by_what_the_file_says_or_refused() {
    let sixteen = |values: [u16; 2]| values.map(u16::to_le_bytes).concat();
    let page = |values: [u16; 2]| Page::new((2, 1), 16, 1, 1, sixteen(values));
    assert_eq!(red(&tiff(LITTLE, &[page([0, 65535])])), [0, 255]);
    assert_eq!(red(&tiff(LITTLE, &[page([0, 0])])), [0, 0]);
    assert_eq!(red(&tiff(LITTLE, &[page([0, 4095]).with(281, 3, &[4095.0])])), [0, 255], "12 bits");
    assert_eq!(red(&tiff(LITTLE, &[page([512, 1023]).with(341, 3, &[1023.0])])), [128, 255], "10 bits");
    assert_eq!(red(&tiff(LITTLE, &[page([0, 4095]).with(281, 3, &[65535.0])])), [0, 16], "dark, as it says");
    // The largest value that occurs says nothing of white.
    assert_eq!(red(&tiff(LITTLE, &[page([0, 40000]).with(281, 3, &[40000.0])])), [0, 156]);
    let error = decode(&tiff(LITTLE, &[page([0, 4000])])).unwrap_err();
    assert_eq!(
        error,
        "unread-photograph: `eye` is not supported: its 16-bit samples only go up to 4000, and it does not state its white level"
    );
    let error = decode(&tiff(LITTLE, &[page([0, 5000]).with(281, 3, &[4095.0])])).unwrap_err();
    assert!(error.ends_with("its samples go up to 5000, above its white level of 4095"), "{error}");

    let big = |values: [u16; 2]| values.map(u16::to_be_bytes).concat();
    let deep = |values: [u16; 2], bits: Option<u8>| {
        let bits: Vec<[u8; 1]> = bits.into_iter().map(|bits| [bits]).collect();
        let chunks: Vec<(&[u8; 4], &[u8])> = bits.iter().map(|bits| (b"sBIT", bits.as_slice())).collect();
        png((2, 1), 16, 0, &big(values), &chunks, &[])
    };
    assert_eq!(red(&deep([0, 4095], Some(12))), [0, 255], "12 bits as they are");
    assert_eq!(red(&deep([0, 65535], Some(12))), [0, 255], "12 bits scaled, as PNG has it");
    assert_eq!(red(&deep([0, 4095], Some(16))), [0, 16]);
    assert!(decode(&deep([0, 4095], None)).unwrap_err().contains("go up to 4095"));

    let floats = |values: [f32; 6]| {
        let pixels = values.map(f32::to_le_bytes).concat();
        Page::new((2, 1), 32, 3, 2, pixels).with(339, 3, &[3.0])
    };
    assert_eq!(
        decode(&tiff(LITTLE, &[floats([0.0, 0.5, 1.0, 0.2, 0.4, 0.6])])).unwrap().rgb,
        [0, 128, 255, 51, 102, 153]
    );
    let levels = [0.0, 51.0, 255.0, 3.0, 2.0, 1.0];
    assert_eq!(decode(&tiff(LITTLE, &[floats(levels).with(341, 11, &[255.0])])).unwrap().rgb, [0, 51, 255, 3, 2, 1]);
    let error = decode(&tiff(LITTLE, &[floats(levels)])).unwrap_err();
    assert!(
        error.ends_with("floating-point samples range from 0 to 255, and it does not state its white level"),
        "{error}"
    );
    assert!(decode(&tiff(LITTLE, &[floats([-0.5, 0.0, 1.0, 0.0, 0.0, 0.0])])).is_err());
    assert!(decode(&tiff(LITTLE, &[floats([f32::NAN, 0.0, 1.0, 0.0, 0.0, 0.0])])).is_err());
    for bits in [12, 24, 32, 64] {
        let error = decode(&tiff(LITTLE, &[Page::new((2, 1), bits, 3, 2, vec![7; 48])])).unwrap_err();
        assert_eq!(error, format!("unread-photograph: `eye` is not supported: it has {bits}-bit samples"));
    }
}

#[test]
fn tiff_photographs_of_other_kinds_are_read_or_named() {
    let map: Vec<f64> =
        [[10, 200, 30], [0, 50, 90], [7, 8, 9]].concat().into_iter().map(|v: u8| f64::from(v) * 257.0).collect();
    let map: Vec<f64> = map.chunks(3).flat_map(|values| values.iter().copied().chain([0.0; 13])).collect();
    for order in ORDERS {
        let page = Page::new((2, 1), 4, 1, 3, vec![0x12]).with(320, 3, &map);
        assert_eq!(decode(&tiff(order, &[page])).unwrap().rgb, [200, 50, 8, 30, 90, 9], "a palette");
        let page = Page::new((2, 1), 8, 3, 2, vec![1, 2, 3, 4, 5, 6]);
        assert_eq!(decode(&tiff(order, &[page])).unwrap().rgb, [1, 2, 3, 4, 5, 6]);
        let page = Page::new((2, 1), 4, 1, 0, vec![0x0f]);
        assert_eq!(red(&tiff(order, &[page])), [255, 0], "white is zero");
    }
    let turned = Page::new((2, 1), 8, 1, 1, vec![0b0000_0001, 0b1000_0000]).with(266, 3, &[2.0]);
    assert_eq!(red(&tiff(LITTLE, &[turned])), [128, 1], "least significant bit first");
    for (photometric, reason) in [
        (6, "it has YCbCr colours"),
        (8, "it has CIE L*a*b* colours"),
        (32803, "it holds raw sensor data"),
        (4, "it has photometric interpretation 4"),
    ] {
        let error = decode(&tiff(LITTLE, &[Page::new((2, 1), 8, 3, photometric, vec![0; 6])])).unwrap_err();
        assert_eq!(error, format!("unread-photograph: `eye` is not supported: {reason}"));
    }
}
