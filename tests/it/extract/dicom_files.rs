//! DICOM files built element by element (explicit, little-endian), with names and numbers of a patient that must never be seen elsewhere.

/// Text of the header that nothing may repeat.
pub(crate) const SECRETS: [&str; 9] =
    ["Zzqname", "ZZQID4711", "19621122", "20230817", "ZZQACC99", "Zzqclinic", "9753186420", "Zzqprivate", "Zzqcomment"];

/// A file.
#[derive(Clone)]
pub(crate) struct DicomFile {
    syntax: &'static str,
    elements: Vec<(u32, [u8; 2], Vec<u8>)>,
    pixels: Vec<u8>,
}

/// A number of two bytes as a value.
pub(crate) fn short(number: u16) -> Vec<u8> {
    number.to_le_bytes().to_vec()
}

impl DicomFile {
    /// Uncompressed samples of 8 bits.
    pub(crate) fn new(size: (usize, usize), photometric: &str, samples: u16, pixels: Vec<u8>) -> Self {
        let file = Self { syntax: "1.2.840.10008.1.2.1", elements: Vec::new(), pixels };
        file.text(0x0008_0016, *b"UI", "1.2.840.10008.5.1.4.1.1.77.1.5.1")
            .text(0x0008_0018, *b"UI", "1.2.276.0.4711.9753186420.3")
            .text(0x0008_0020, *b"DA", "20230817")
            .text(0x0008_0050, *b"SH", "ZZQACC99")
            .text(0x0008_0080, *b"LO", "Zzqclinic")
            .text(0x0010_0010, *b"PN", "Zzqname^Erika")
            .text(0x0010_0020, *b"LO", "ZZQID4711")
            .text(0x0010_0030, *b"DA", "19621122")
            .text(0x0010_4000, *b"LT", "Zzqcomment")
            .text(0x0028_0004, *b"CS", photometric)
            .text(0x0029_0010, *b"LO", "Zzqprivate")
            .with(0x0028_0002, *b"US", short(samples))
            .with(0x0028_0006, *b"US", short(0))
            .with(0x0028_0010, *b"US", short(size.1 as u16))
            .with(0x0028_0011, *b"US", short(size.0 as u16))
            .with(0x0028_0100, *b"US", short(8))
            .with(0x0028_0101, *b"US", short(8))
            .with(0x0028_0102, *b"US", short(7))
            .with(0x0028_0103, *b"US", short(0))
    }

    /// With another transfer syntax.
    pub(crate) fn syntax(self, syntax: &'static str) -> Self {
        Self { syntax, ..self }
    }

    /// With an element, in place of the one with this tag.
    pub(crate) fn with(mut self, tag: u32, representation: [u8; 2], value: Vec<u8>) -> Self {
        self.elements.retain(|element| element.0 != tag);
        self.elements.push((tag, representation, value));
        self.elements.sort_by_key(|element| element.0);
        self
    }

    /// Without an element.
    pub(crate) fn without(mut self, tag: u32) -> Self {
        self.elements.retain(|element| element.0 != tag);
        self
    }

    /// With an element of text.
    pub(crate) fn text(self, tag: u32, representation: [u8; 2], text: &str) -> Self {
        let padding = if representation == *b"UI" { "\0" } else { " " };
        let value = [text, if text.len() % 2 == 1 { padding } else { "" }].concat();
        self.with(tag, representation, value.into_bytes())
    }

    fn element(tag: u32, representation: [u8; 2], value: &[u8]) -> Vec<u8> {
        let tag = [((tag >> 16) as u16).to_le_bytes(), (tag as u16).to_le_bytes()].concat();
        let length = if matches!(&representation, b"OB" | b"OW" | b"SQ" | b"UN") {
            [&[0, 0][..], &(value.len() as u32).to_le_bytes()].concat()
        } else {
            (value.len() as u16).to_le_bytes().to_vec()
        };
        [&tag, &representation[..], &length, value].concat()
    }

    /// The elements of the dataset.
    pub(crate) fn dataset(&self) -> Vec<u8> {
        let elements = self.elements.iter();
        let mut out: Vec<u8> =
            elements.flat_map(|(tag, representation, value)| Self::element(*tag, *representation, value)).collect();
        let mut pixels = self.pixels.clone();
        pixels.resize(pixels.len().next_multiple_of(2), 0);
        out.extend(Self::element(0x7fe0_0010, *b"OW", &pixels));
        out
    }

    /// Preamble and file meta information.
    pub(crate) fn start(&self) -> Vec<u8> {
        let syntax = [self.syntax, if self.syntax.len() % 2 == 1 { "\0" } else { "" }].concat();
        let syntax = Self::element(0x0002_0010, *b"UI", syntax.as_bytes());
        let length = Self::element(0x0002_0000, *b"UL", &(syntax.len() as u32).to_le_bytes());
        [&[0; 128][..], b"DICM", &length, &syntax].concat()
    }

    /// The whole file.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        [self.start(), self.dataset()].concat()
    }
}
