//! `PyTorch` files as found in practice (written by `tests/expected/pth_files.py`): checkpoints, memory layouts, recompressed and refused files.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use macula::base::Streams;
use macula::engine::network::{Missing, Network, Weights, WeightsHeader};

use super::formula::described;

type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

fn bytes(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/expected/pth");
    std::fs::read(folder.join(format!("{name}.pth"))).expect(name)
}

fn parse(name: &str) -> Weights {
    Weights::parse(&format!("{name}.pth"), &bytes(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Contents of every file that can be read.
fn wanted(prefix: &str) -> Tensors {
    let kernel = (0..24).map(|value| value as f32 / 8.0).collect();
    [("conv.weight", (vec![2, 3, 2, 2], kernel)), ("fc.bias", (vec![2], vec![0.5, -2.0]))]
        .map(|(name, tensor)| (format!("{prefix}{name}"), tensor))
        .into()
}

#[test]
fn values_match_pytorch_for_every_layout_type_and_pickle() {
    for name in [
        "channels-last",
        "columns",
        "fortran",
        "one-storage",
        "f64",
        "f16",
        "bf16",
        "whole-numbers",
        "parameters",
        "protocol-4",
        "metadata",
        "no-checksums",
        "packed",
    ] {
        let weights = parse(name);
        assert_eq!(weights.tensors, wanted(""), "{name}");
        assert_eq!((weights.reading.as_str(), weights.refused.len()), ("", 0), "{name}");
    }
    let mut expanded = wanted("");
    expanded.get_mut("conv.weight").unwrap().1.fill(0.25);
    assert_eq!(parse("expanded").tensors, expanded);
}

#[test]
fn the_state_dictionary_of_a_checkpoint_is_found_among_other_values() {
    let cases = [
        ("key-state_dict", "state_dict"),
        ("key-model_state_dict", "model_state_dict"),
        ("key-net", "net"),
        ("key-weights", "weights"),
        ("key-ema", "ema"),
        ("key-my_own_key", "my_own_key"),
        ("key-nested", "model.state_dict"),
        ("both-averages", "model"),
        ("protocol-5", "model"),
    ];
    for (name, reading) in cases {
        let weights = parse(name);
        assert_eq!((weights.reading.as_str(), weights.tensors), (reading, wanted("")), "{name}");
    }
}

#[test]
fn the_header_describes_the_contents_of_the_file() {
    for name in ["columns", "key-nested", "whole-numbers", "not-one-float8", "prefix-lightning"] {
        let (header, weights) = (WeightsHeader::read("x.pth", std::io::Cursor::new(bytes(name))).unwrap(), parse(name));
        let shapes = weights.tensors.iter().map(|(name, (shape, _))| (name.clone(), shape.clone())).collect();
        assert_eq!(
            (header.shapes, header.refused, header.reading),
            (shapes, weights.refused, weights.reading),
            "{name}"
        );
        assert!(header.torch);
    }
}

/// A convolution of 2 x 3 x 2 x 2 and a linear layer of 2 x 2.
fn network() -> Network {
    let spec = described("network tiny { conv conv out=2 kernel=2 bias=#false; global-avg-pool; linear fc }");
    Network::new(&spec, 16, 2, &Streams::new(1, "test")).unwrap()
}

#[test]
fn usual_prefixes_are_removed_if_more_tensors_fit_without_them() {
    let cases = [
        ("f64", "", vec![]),
        ("prefix-module", "module.", vec![]),
        ("prefix-compiled", "module._orig_mod.", vec![]),
        ("prefix-lightning", "model.", vec!["metric.weight"]),
        ("prefix-backbone", "backbone.", vec![]),
    ];
    for (name, prefix, unused) in cases {
        let mut network = network();
        let weights = parse(name);
        let report = network.load(&weights, Missing::Initialise).unwrap();
        assert_eq!(report.prefix, prefix, "{name}");
        assert_eq!(report.loaded, ["conv.weight", "fc.bias"], "{name}");
        assert_eq!(
            (report.missing, report.unexpected),
            (vec!["fc.weight".to_owned()], unused.iter().map(|name| (*name).to_owned()).collect())
        );
        let tensors = network.tensors();
        assert!(wanted("").iter().all(|(name, tensor)| tensors[name] == *tensor), "{name}");
        // The same names in a safetensors file.
        let plain: Tensors = weights.tensors;
        let parsed = Weights { file: "x.safetensors".to_owned(), tensors: plain, ..Weights::default() };
        assert_eq!(self::network().load(&parsed, Missing::Initialise).unwrap().prefix, prefix, "{name}");
    }
}

#[test]
fn unreadable_files_are_refused_by_name() {
    let cases = [
        ("not-module", "a whole pickled module (`__main__.Net`)"),
        ("not-module-in-checkpoint", "its `model` is a whole pickled module (`__main__.Net`)"),
        ("not-torchscript", "a TorchScript module"),
        ("not-float8", "its tensor `conv.weight` is a tensor of `float8_e4m3fn`"),
        ("not-legacy", "the format of torch before 1.6"),
        ("not-a-state", "no state dictionary; it has `epoch`, `lr`, `names`"),
    ];
    for (name, why) in cases {
        let error = Weights::parse(name, &bytes(name)).expect_err(name).to_string();
        assert!(error.contains(why) && error.contains(name), "{name}: {error}");
        let header = WeightsHeader::read(name, std::io::Cursor::new(bytes(name))).expect_err(name).to_string();
        assert_eq!(header, error, "{name}: before anything runs");
    }
    // An unusable tensor that the network does not need is no error.
    let cases = [
        ("not-one-float8", "a tensor of `float8_e5m2`"),
        ("not-complex", "a tensor of complex numbers"),
        ("not-sparse", "a sparse tensor"),
        ("not-quantized", "a quantized tensor"),
        ("not-meta", "a tensor of the device `meta`"),
        ("not-negated", "a view that negates its values"),
    ];
    for (name, why) in cases {
        let error = network().load(&parse(name), Missing::Initialise).expect_err(name).to_string();
        assert!(error.starts_with(&format!("tensor `conv.weight` of `{name}.pth` is {why}")), "{name}: {error}");
    }
}

#[test]
fn other_file_formats_are_named_in_the_message() {
    let mut tar = vec![0; 600];
    tar[257..262].copy_from_slice(b"ustar");
    let cases: [(&[u8], &str); 7] = [
        (b"", "it is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "a pointer of Git LFS"),
        (b"\n<!DOCTYPE html><html>", "a web page"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        (b"\x80\x04\x95aaaaaaaa}.", "a bare pickle"),
        (b"hello, this is text", "neither a safetensors file nor one of `torch.save`"),
        (&tar, "a tar archive"),
    ];
    for (bytes, why) in cases {
        let error = Weights::parse("w", bytes).expect_err(why).to_string();
        assert!(error.contains(why), "{error}");
        assert_eq!(WeightsHeader::read("w", std::io::Cursor::new(bytes)).expect_err(why).to_string(), error);
    }
}

/// A zip file of stored or deflated entries.
fn zipped(entries: &[(&str, &[u8])], deflate: bool) -> Vec<u8> {
    let (mut all, mut directory) = (Vec::new(), Vec::new());
    for (name, data) in entries {
        let mut crc = flate2::Crc::new();
        crc.update(data);
        let packed = if deflate {
            let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        } else {
            data.to_vec()
        };
        let mut facts = vec![20, 0, 0, 0, if deflate { 8 } else { 0 }, 0, 0, 0, 0, 0];
        for number in [crc.sum(), packed.len() as u32, data.len() as u32] {
            facts.extend(number.to_le_bytes());
        }
        facts.extend((name.len() as u16).to_le_bytes());
        facts.extend([0, 0]);
        let offset = (all.len() as u32).to_le_bytes();
        all.extend([b"PK\x03\x04".as_slice(), &facts, name.as_bytes(), &packed].concat());
        let rest = [[0; 10].as_slice(), &offset, name.as_bytes()].concat();
        directory.extend([b"PK\x01\x02\x14\x00".as_slice(), &facts, &rest].concat());
    }
    let (count, place) = ((entries.len() as u16).to_le_bytes(), (all.len() as u32).to_le_bytes());
    let length = (directory.len() as u32).to_le_bytes();
    all.extend(directory);
    all.extend([b"PK\x05\x06\0\0\0\0".as_slice(), &count, &count, &length, &place, &[0, 0]].concat());
    all
}

/// Pickle of a dictionary of tensors: name, shape, strides and offset, all in storage `0`.
fn pickled(tensors: &[(&str, &[u32], &[u32], u32)]) -> Vec<u8> {
    let text = |text: &str| [b"X".as_slice(), &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
    let tuple = |all: &[u32]| {
        let numbers = all.iter().flat_map(|one| [b"J".as_slice(), &one.to_le_bytes()].concat());
        [b"(".as_slice(), &numbers.collect::<Vec<u8>>(), b"t"].concat()
    };
    let mut all = b"\x80\x02}(".to_vec();
    for (name, shape, strides, offset) in tensors {
        all.extend(text(name));
        all.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        all.extend(
            [text("storage"), b"ctorch\nFloatStorage\n".to_vec(), text("0"), text("cpu"), b"K\x04tQJ".to_vec()]
                .concat(),
        );
        all.extend([offset.to_le_bytes().to_vec(), tuple(shape), tuple(strides), b"\x89NtR".to_vec()].concat());
    }
    all.extend(b"u.");
    all
}

fn made(tensors: &[(&str, &[u32], &[u32], u32)], storage: &[u8], deflate: bool) -> Result<Weights, String> {
    let bytes = zipped(&[("a/data.pkl", &pickled(tensors)), ("a/data/0", storage)], deflate);
    Weights::parse("made", &bytes).map_err(|error| error.to_string())
}

#[test]
fn decompression_bombs_are_refused() {
    let storage: Vec<u8> = (0..6_u8).flat_map(|value| f32::from(value).to_le_bytes()).collect();
    let sound = made(&[("a.b", &[2, 3], &[3, 1], 0), ("a.c", &[3], &[2], 1)], &storage, true).unwrap();
    assert_eq!(sound.tensors["a.c"].1, [1.0, 3.0, 5.0]);
    let cases: [(&[u32], &[u32], &str); 3] = [
        (&[1 << 30], &[0], "far larger than the file"),
        (&[0x7fff_ffff, 0x7fff_ffff, 0x7fff_ffff], &[0, 0, 0], "is larger than the file"),
        (&[7], &[1], "is larger than its storage"),
    ];
    for (shape, strides, why) in cases {
        let error = made(&[("a.b", shape, strides, 0)], &storage, false).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
    // 128 MiB of zeros in 600 KiB.
    let error = made(&[("a.b", &[2], &[1], 0)], &vec![0; 128 << 20], true).unwrap_err();
    assert!(error.contains("unpacks to far more than its own size"), "{error}");
    let deep = [b"\x80\x02K\x01".as_slice(), &vec![0x85; 3_000_000], b"."].concat();
    let error = Weights::parse("deep", &zipped(&[("a/data.pkl", &deep)], true)).unwrap_err().to_string();
    assert!(error.contains("no state dictionary"), "{error}");
}

#[test]
fn a_hundred_thousand_tensors_of_one_storage_are_read_once() {
    let names: Vec<String> = (0..100_000).map(|at| format!("a.{at}")).collect();
    let tensors: Vec<(&str, &[u32], &[u32], u32)> =
        names.iter().zip(0..).map(|(name, at)| (name.as_str(), [1].as_slice(), [1].as_slice(), at)).collect();
    let storage: Vec<u8> = (0..100_000_u32).flat_map(|value| (value as f32).to_le_bytes()).collect();
    let weights = made(&tensors, &storage, false).unwrap();
    assert_eq!(weights.tensors.len(), 100_000);
    assert_eq!(weights.tensors["a.99999"].1, [99_999.0]);
}
