//! Colour profiles of photographs: those other than sRGB are named in one warning, wherever the file states them, and pixels stay as they are.

use macula::data::decode::Photograph;
use macula::lang::value::Value;

use super::dicom_files::DicomFile;
use super::image_files::{LITTLE, Page, exif, png, tiff, zlib};
use super::lab::Lab;

/// Side of the photographs, px.
const SIDE: usize = 32;

/// Red, green and blue colourants by their names.
type Colourants = [[f64; 3]; 3];

const SRGB: Colourants = [[0.4361, 0.2225, 0.0139], [0.3851, 0.7169, 0.0971], [0.1431, 0.0606, 0.7141]];
const ADOBE: Colourants = [[0.6097, 0.3111, 0.0195], [0.2053, 0.6257, 0.0609], [0.1492, 0.0632, 0.7446]];

/// A profile with a description, colourants, and a power for the tone curve.
fn icc(description: &str, colourants: Colourants, power: f64) -> Vec<u8> {
    let fixed = |number: f64| ((number * 65536.0).round() as i32).to_be_bytes();
    let text = [description.as_bytes(), &[0]].concat();
    let mut data =
        vec![(*b"desc", [b"desc\0\0\0\0", &(text.len() as u32).to_be_bytes()[..], &text, &[0; 80]].concat())];
    for (name, colourant) in [*b"rXYZ", *b"gXYZ", *b"bXYZ"].into_iter().zip(colourants) {
        data.push((name, [b"XYZ \0\0\0\0".to_vec(), colourant.map(fixed).concat()].concat()));
    }
    let power = ((power * 256.0).round() as u16).to_be_bytes();
    for name in [*b"rTRC", *b"gTRC", *b"bTRC"] {
        data.push((name, [b"curv\0\0\0\0\0\0\0\x01", &power[..], &[0, 0]].concat()));
    }
    let mut head = vec![0; 128];
    head[16..20].copy_from_slice(b"RGB ");
    head[36..40].copy_from_slice(b"acsp");
    let (mut rows, mut body) = ((data.len() as u32).to_be_bytes().to_vec(), Vec::new());
    let start = 128 + 4 + 12 * data.len();
    for (name, bytes) in data {
        rows.extend(name);
        rows.extend([((start + body.len()) as u32).to_be_bytes(), (bytes.len() as u32).to_be_bytes()].concat());
        body.extend(bytes);
    }
    [head, rows, body].concat()
}

fn adobe() -> Vec<u8> {
    icc("Adobe RGB (1998)", ADOBE, 2.2)
}

fn pixels(seed: usize) -> Vec<u8> {
    (0..SIDE * SIDE * 3).map(|at| (20 + (at * 7 + seed) % 200) as u8).collect()
}

fn png_with(seed: usize, chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    png((SIDE, SIDE), 8, 2, &pixels(seed), chunks, &[])
}

fn png_of(profile: &[u8]) -> Vec<u8> {
    png_with(1, &[(b"iCCP", &[b"name\0\0", &zlib(profile)[..]].concat())])
}

fn jpeg() -> Vec<u8> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/expected/pictures/baseline.jpg");
    std::fs::read(path).expect("a JPEG")
}

/// A JPEG with segments after its start.
fn jpeg_with(segments: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = jpeg();
    let all: Vec<u8> = segments
        .iter()
        .flat_map(|(marker, body)| [&[0xff, *marker][..], &(body.len() as u16 + 2).to_be_bytes(), body].concat())
        .collect();
    bytes.splice(2..2, all);
    bytes
}

/// Parts of a profile, in this order.
fn parts(profile: &[u8], order: &[usize]) -> Vec<(u8, Vec<u8>)> {
    let size = profile.len().div_ceil(order.len());
    let part = |number: &usize| {
        let piece = &profile[number * size..((number + 1) * size).min(profile.len())];
        (0xe2, [b"ICC_PROFILE\0", &[*number as u8 + 1, order.len() as u8][..], piece].concat())
    };
    order.iter().map(part).collect()
}

/// An EXIF block that says in two directories, as cameras do, that colours are Adobe RGB.
fn adobe_exif(kind: [u8; 4]) -> Vec<u8> {
    let mut out = b"Exif\0\0II*\0\x08\0\0\0".to_vec();
    let field = |tag: u16, kind: u16, count: u32, value: [u8; 4]| {
        [&tag.to_le_bytes()[..], &kind.to_le_bytes(), &count.to_le_bytes(), &value].concat()
    };
    let directory = |fields: &[Vec<u8>]| [&(fields.len() as u16).to_le_bytes()[..], &fields.concat(), &[0; 4]].concat();
    out.extend(directory(&[field(34665, 4, 1, 26_u32.to_le_bytes())]));
    let fields = [field(40961, 3, 1, [0xff, 0xff, 0, 0]), field(40965, 4, 1, 56_u32.to_le_bytes())];
    out.extend(directory(&fields));
    out.extend(directory(&[field(1, 2, 4, kind)]));
    out
}

fn profile(bytes: &[u8]) -> Option<String> {
    Photograph::default().decode(bytes, "eye").expect("read").profile
}

#[test]
fn a_profile_is_named_from_every_format_unless_it_is_srgb() {
    let page = || Page::new((SIDE, SIDE), 8, 3, 2, pixels(1));
    let in_tiff = |profile: &[u8]| {
        let values: Vec<f64> = profile.iter().map(|byte| f64::from(*byte)).collect();
        tiff(LITTLE, &[page().with(34675, 7, &values)])
    };
    let dicom = || DicomFile::new((SIDE, SIDE), "RGB", 3, pixels(1));
    let even = |mut profile: Vec<u8>| {
        profile.resize(profile.len().next_multiple_of(2), 0);
        profile
    };
    let name = Some("Adobe RGB (1998)".to_owned());
    for own in [
        png_of(&adobe()),
        jpeg_with(&parts(&adobe(), &[0])),
        jpeg_with(&parts(&adobe(), &[2, 0, 1])),
        jpeg_with(&[(0xe1, adobe_exif(*b"R03\0"))]),
        in_tiff(&adobe()),
        dicom().with(0x0028_2000, *b"OB", even(adobe())).bytes(),
    ] {
        assert_eq!(profile(&own), name);
    }
    assert_eq!(profile(&dicom().text(0x0028_2002, *b"CS", "ADOBERGB").bytes()).as_deref(), Some("ADOBERGB"));
    // sRGB under any name, and files that state nothing.
    let srgb = icc("a display", SRGB, 2.2);
    for plain in [
        png_of(&srgb),
        png_with(1, &[]),
        png_with(1, &[(b"sRGB", &[0])]),
        png_with(1, &[(b"gAMA", &45_455_u32.to_be_bytes())]),
        png_with(1, &[(b"cICP", &[1, 13, 0, 1])]),
        jpeg(),
        jpeg_with(&parts(&srgb, &[0, 1])),
        jpeg_with(&[(0xe1, adobe_exif(*b"R98\0"))]),
        jpeg_with(&[(0xe1, [b"Exif\0\0".to_vec(), exif(LITTLE, 3, 1.0)].concat())]),
        in_tiff(&srgb),
        tiff(LITTLE, &[page()]),
        dicom().with(0x0028_2000, *b"OB", even(srgb.clone())).bytes(),
        dicom().text(0x0028_2002, *b"CS", "SRGB").bytes(),
        dicom().text(0x0028_2002, *b"CS", "Zzqname").bytes(),
    ] {
        assert_eq!(profile(&plain), None);
    }
    assert_eq!(profile(&png_of(&icc("old Mac", SRGB, 1.8))).as_deref(), Some("old Mac"));
    assert_eq!(profile(&png_with(1, &[(b"gAMA", &100_000_u32.to_be_bytes())])).as_deref(), Some("gamma 1.00 (gAMA)"));
    assert_eq!(profile(&png_with(1, &[(b"cICP", &[12, 13, 0, 1])])).as_deref(), Some("cICP 12/13"));
    let wide = [31270_u32, 32900, 70800, 29200, 17000, 79700, 13100, 4600].map(u32::to_be_bytes).concat();
    assert_eq!(profile(&png_with(1, &[(b"cHRM", &wide)])).as_deref(), Some("primaries of its own (cHRM)"));
    // What cannot be read is said, and long or odd names are cut and cleaned.
    let missing = jpeg_with(&parts(&adobe(), &[0, 1, 2])[..2]);
    assert_eq!(profile(&missing).as_deref(), Some("a profile that cannot be read"));
    let odd = icc(&format!("a\x1b[31m `b`\n{}", "long ".repeat(40)), ADOBE, 2.2);
    let told = profile(&png_of(&odd)).expect("a name");
    assert!(told.starts_with("a [31m b long long") && told.chars().count() <= 48, "{told}");
}

#[test]
fn any_byte_of_a_profile_may_be_wrong() {
    let whole = adobe();
    for at in 0..whole.len() {
        for byte in [0, 1, 0x7f, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] = byte;
            let _ = profile(&png_of(&bytes));
        }
        let _ = profile(&png_of(&whole[..at]));
    }
}

#[test]
fn a_set_has_one_warning_and_the_same_pixels() {
    let lab = Lab::new();
    let plain = png_with(1, &[]);
    lab.write("photographs/a.png", &plain);
    let bits = png((SIDE, SIDE), 1, 0, &[0; SIDE * SIDE / 8], &[], &[]);
    for name in ["a", "b", "c", "d"] {
        lab.write(&format!("ma/{name}.png"), &bits);
        lab.write(&format!("he/{name}.png"), &bits);
    }
    let icc_chunk = |profile: &[u8]| [b"name\0\0", &zlib(profile)[..]].concat();
    lab.write("photographs/b.png", &png_with(2, &[(b"iCCP", &icc_chunk(&adobe()))]));
    lab.write("photographs/c.png", &png_with(3, &[(b"iCCP", &icc_chunk(&adobe()))]));
    lab.write("photographs/d.png", &png_with(4, &[(b"gAMA", &55_556_u32.to_be_bytes())]));
    let found = lab.folder(&[]).expect("found");
    let cut = lab.extract(&found.outputs["out"], &[("size", Value::Int(16))]).expect("extracted");
    let warnings: Vec<String> =
        cut.summary.warnings.iter().map(|warning| format!("{}: {}", warning.code, warning.text)).collect();
    let wanted = "colour-profile: 3 of 4 photographs have colour profiles other than sRGB (2 with `Adobe RGB (1998)`, 1 with \
                  `gamma 1.80 (gAMA)`; first: `b`): profiles are not applied, so the same colour has other values; convert to sRGB \
                  (`magick IN -profile sRGB.icc OUT`)";
    let told: Vec<&String> = warnings.iter().filter(|text| text.starts_with("colour")).collect();
    assert_eq!(told, [wanted]);
    let mut one = Photograph::default();
    let mut other = Photograph::default();
    one.decode(&png_with(2, &[]), "eye").expect("read");
    other.decode(&png_with(2, &[(b"iCCP", &icc_chunk(&adobe()))]), "eye").expect("read");
    assert_eq!(one, other);
}
