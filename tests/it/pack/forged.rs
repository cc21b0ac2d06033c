//! Zip archives as `macula pack` writes them, and as somebody would write them who means harm.

use flate2::Crc;

/// A file of an archive, and what is wrong with it.
#[derive(Clone)]
pub(super) struct Forged {
    pub(super) name: Vec<u8>,
    pub(super) bytes: Vec<u8>,
    /// Size that is declared, if it is another one.
    pub(super) size: Option<u32>,
    pub(super) flags: u16,
    pub(super) method: u16,
    /// Permissions and type of the file.
    pub(super) mode: u32,
    /// Place that is declared, if it is another one.
    pub(super) at: Option<u32>,
}

impl Forged {
    pub(super) fn new(name: &str, bytes: &[u8]) -> Self {
        let (name, bytes) = (name.as_bytes().to_vec(), bytes.to_vec());
        Self { name, bytes, size: None, flags: 1 << 11, method: 0, mode: 0o100_644, at: None }
    }
}

/// An archive with these files.
pub(super) fn archive(files: &[Forged]) -> Vec<u8> {
    let (mut out, mut central) = (Vec::new(), Vec::new());
    let put = |to: &mut Vec<u8>, fields: &[(u32, usize)]| {
        for (value, size) in fields {
            to.extend_from_slice(&value.to_le_bytes()[..*size]);
        }
    };
    for file in files {
        let mut crc = Crc::new();
        crc.update(&file.bytes);
        let (at, size) = (out.len() as u32, file.size.unwrap_or(file.bytes.len() as u32));
        let common = [
            (10, 2),
            (u32::from(file.flags), 2),
            (u32::from(file.method), 2),
            (0, 2),
            (0x21, 2),
            (crc.sum(), 4),
            (size, 4),
            (size, 4),
            (file.name.len() as u32, 2),
            (0, 2),
        ];
        put(&mut out, &[(0x0403_4b50, 4)]);
        put(&mut out, &common);
        out.extend_from_slice(&file.name);
        out.extend_from_slice(&file.bytes);
        put(&mut central, &[(0x0201_4b50, 4), (0x032d, 2)]);
        put(&mut central, &common);
        put(&mut central, &[(0, 2), (0, 2), (0, 2), (file.mode << 16, 4), (file.at.unwrap_or(at), 4)]);
        central.extend_from_slice(&file.name);
    }
    let at = out.len() as u32;
    out.extend_from_slice(&central);
    let count = files.len() as u32;
    put(
        &mut out,
        &[(0x0605_4b50, 4), (0, 2), (0, 2), (count, 2), (count, 2), (central.len() as u32, 4), (at, 4), (0, 2)],
    );
    out
}

/// The files of an archive that macula wrote.
pub(super) fn files(archive: &[u8]) -> Vec<Forged> {
    let number =
        |at: usize, size: usize| archive[at..at + size].iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    let (mut at, mut found) = (0, Vec::new());
    while number(at, 4) == 0x0403_4b50 {
        let (size, name, extra) = (number(at + 18, 4), number(at + 26, 2), number(at + 28, 2));
        let begin = at + 30 + name + extra;
        let text = String::from_utf8(archive[at + 30..at + 30 + name].to_vec()).expect("a name");
        found.push(Forged::new(&text, &archive[begin..begin + size]));
        at = begin + size;
    }
    found
}
