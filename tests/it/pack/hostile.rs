//! Packs that would write elsewhere, fill the disk, or claim results that they do not have, are refused as a whole.

use std::fs;

use macula::base::Digest;
use serde_json::{Value, json};

use super::forged::{Forged, archive, files};
use super::{computed, macula};
use crate::space::Space;

/// A good pack, without photographs, as its files.
fn good() -> Vec<Forged> {
    let (space, _) = computed();
    macula(&space, "pack exp/small.kdl").code(0);
    let bytes = fs::read(space.path("small.macula.zip")).expect("a pack");
    let files = files(&bytes);
    assert_eq!(archive(&files), bytes, "the forger writes what macula writes");
    files
}

/// Fails unless a pack is refused in these words, and nothing is left of it.
#[track_caller]
fn refused(bytes: &[u8], words: &str) {
    let space = Space::new();
    space.write("inner/x.zip", bytes);
    let said = macula(&space, "unpack inner/x.zip inner/made").code(2);
    said.says(&["the pack is refused", words]);
    assert_eq!(space.files(""), ["inner/x.zip"], "something was left");
}

fn with(files: &[Forged], more: Forged) -> Vec<u8> {
    archive(&[files, &[more]].concat())
}

/// The pack with another description.
fn described(files: &[Forged], change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut files = files.to_vec();
    let contents = files.iter_mut().find(|file| file.name == b"macula.json").expect("a description");
    let mut value: Value = serde_json::from_slice(&contents.bytes).expect("JSON");
    change(&mut value);
    contents.bytes = serde_json::to_vec(&value).expect("JSON");
    archive(&files)
}

/// The pack with other bytes of a file, described correctly.
fn replaced(files: &[Forged], name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut files = files.to_vec();
    files.iter_mut().find(|file| file.name == name.as_bytes()).expect("that file").bytes = bytes.to_vec();
    described(&files, |value| {
        value["files"][name] = json!({"digest": Digest::of(bytes), "size": bytes.len()});
    })
}

#[test]
fn hostile_packs_are_refused_as_a_whole() {
    let good = good();
    let whole = archive(&good);
    let new = |name: &str| Forged::new(name, b"x");
    for (name, words) in [
        ("../evil", "does not stay below the folder"),
        ("project/../../evil", "does not stay below the folder"),
        ("/tmp/evil", "does not stay below the folder"),
        ("project//evil", "does not stay below the folder"),
        ("project/./evil", "does not stay below the folder"),
        ("project/evil/", "does not stay below the folder"),
        ("project/evil.", "does not stay below the folder"),
        ("", "does not stay below the folder"),
        ("..\\evil", "a control character or a backslash"),
        ("project/\u{1b}[2J", "a control character or a backslash"),
        ("project/\u{202e}gpj.exe", "a control character or a backslash"),
        ("readme.MD", "differ only in case"),
        ("README.md", "two files named"),
        ("README.md/evil", "a file and a folder"),
        ("evil", "not in its description"),
        ("project/.macula/v1/actions/evil", "would be part of a store"),
        ("project/exp/.MACULA/v1/evil", "would be part of a store"),
    ] {
        refused(&with(&good, new(name)), words);
    }
    refused(&with(&good, new(&format!("project/{}", "x".repeat(300)))), "is too long");
    refused(&with(&good, Forged { name: b"project/\xff".to_vec(), ..new("") }), "not UTF-8");
    for (file, words) in [
        (Forged { mode: 0o120_777, ..new("link") }, "compressed, encrypted, a link"),
        (Forged { method: 8, ..new("deflated") }, "compressed, encrypted, a link"),
        (Forged { flags: 1 << 11 | 1, ..new("secret") }, "compressed, encrypted, a link"),
        (Forged { size: Some(4_000_000_000), ..new("bomb") }, "cut off"),
        (Forged { at: Some(0), ..new("again") }, "overlaps"),
    ] {
        refused(&with(&good, file), words);
    }
    // Damaged and cut off.
    for length in [0, 1, 21, 22, 500, whole.len() / 2, whole.len() - 23, whole.len() - 1] {
        refused(&whole[..length], "it is");
    }
    refused(&[b"MZ".as_slice(), &whole].concat(), "it is not as `macula pack` writes it");
    refused(&[whole.as_slice(), b"x"].concat(), "it is");
    let mut flipped = whole.clone();
    let place = whole.windows(11).position(|window| window == b"safetensors").expect("a model") + 400;
    flipped[place] ^= 1;
    refused(&flipped, "checksum");
    let mut many = whole.clone();
    let end = many.len();
    many[end - 14..end - 10].copy_from_slice(&[0xfe; 4]);
    refused(&many, "its list of files is cut off");
    refused(&archive(&[]), "it has no `macula.json`");
    refused(&archive(&[new("a")]), "it has no `macula.json`");
}

#[test]
fn a_description_that_lies_is_refused() {
    let good = good();
    let model = "outputs/classifier/weights.safetensors";
    let digest = json!(Digest::of(b"another"));
    let lie = |change: &dyn Fn(&mut Value)| described(&good, |value| change(value));
    refused(&lie(&|value| value["format"] = json!(2)), "newer than this macula supports");
    refused(&lie(&|value| value["files"] = json!(3)), "cannot be read");
    refused(&lie(&|value| value["files"]["README.md"]["digest"] = digest.clone()), "other bytes than its digest says");
    refused(&lie(&|value| value["files"][model]["digest"] = digest.clone()), "names a file that is not inside");
    refused(&lie(&|value| value["files"][model]["size"] = json!(1)), "with another size");
    refused(&lie(&|value| value["files"]["absent"] = json!({"digest": digest, "size": 1})), "`absent` is missing");
    refused(&lie(&|value| value["pipeline"]["file"] = json!("../x.kdl")), "is missing");
    refused(&lie(&|value| value["pipeline"]["project"] = json!("project/../..")), "its project folder is");
    refused(&lie(&|value| value["pipeline"]["set"] = json!(["a=\u{1b}[2J"])), "control character");
    // A model under the key of another: files, sizes and digests agree.
    let bytes = good.iter().find(|file| file.name == model.as_bytes()).expect("a model").bytes.clone();
    let other: Vec<u8> = bytes.iter().rev().copied().collect();
    let mut forged = good.clone();
    forged.iter_mut().filter(|file| file.bytes == bytes).for_each(|file| file.bytes.clone_from(&other));
    let consistent = |value: &mut Value| {
        let (was, is) = (json!(Digest::of(&bytes)).to_string(), json!(Digest::of(&other)).to_string());
        *value = serde_json::from_str(&value.to_string().replace(&was, &is)).expect("JSON");
    };
    refused(&described(&forged, consistent), "does not belong to its files");
    refused(&lie(&|value| value["results"][0]["record"]["key"] = digest.clone()), "does not belong to its files");
    let outputs = |value: &mut Value| {
        let files = value["results"][0]["outputs"]["out"].as_object_mut().expect("files");
        let (_, first) = files.iter().next().map(|(name, file)| (name.clone(), file.clone())).expect("a file");
        files.insert("../../evil".to_owned(), first);
    };
    refused(&lie(&|value| outputs(value)), "is not below its folder");
}

#[test]
fn settings_that_lead_out_of_the_pack_are_refused() {
    let good = good();
    for settings in [
        "store \"/tmp/elsewhere\"\n",
        "remote lab \"https://example.org\"\n",
        "executor slurm { options \"--mail-user=x\" }\n",
        "tensorboard \"/tmp/elsewhere\"\n",
        "package a { path \"/etc\" }\n",
        "package a { path \"../../x\" }\n",
    ] {
        refused(&replaced(&good, "project/project.kdl", settings.as_bytes()), "which a pack may not");
    }
}

#[test]
fn what_is_there_stays() {
    let good = archive(&good());
    let space = Space::new();
    space.write("x.zip", &good);
    space.write("made/mine.txt", "mine");
    macula(&space, "unpack x.zip made").code(2).says(&["made` exists and is not an empty folder"]);
    macula(&space, "unpack absent.zip").code(2).says(&["cannot read"]);
    assert_eq!(space.read("made/mine.txt"), "mine");
    fs::create_dir(space.path("x")).expect("a folder");
    macula(&space, "unpack x.zip").code(0).says(&["unpacked into x"]);
}
