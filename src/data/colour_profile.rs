//! Colour profiles (ICC.1:2022), as far as they say whether pixels are sRGB: a profile's description, colourants and tone curves. Profiles are
//! not applied. They are untrusted: every offset is checked.

use std::borrow::Cow;

/// Longest description that is shown, characters.
const LONGEST: usize = 48;

/// Most tags of a profile.
const MOST_TAGS: usize = 256;

/// Colourants of sRGB, adapted to D50.
const COLOURANTS: [(&[u8; 4], [f64; 3]); 3] =
    [(b"rXYZ", [0.4361, 0.2225, 0.0139]), (b"gXYZ", [0.3851, 0.7169, 0.0971]), (b"bXYZ", [0.1431, 0.0606, 0.7141])];

/// Largest difference of a colourant.
const NEAR_COLOURANT: f64 = 0.003;

/// Largest difference of a tone curve: that of a power of 2.2 is smaller, that of 1.8 is not.
const NEAR_CURVE: f64 = 0.015;

/// Chromaticities of sRGB as a PNG states them: white, red, green and blue, x and y of each, in 1/100,000.
pub(super) const CHROMATICITIES: [u32; 8] = [31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000];

/// Largest difference of a chromaticity, in 1/100,000.
pub(super) const NEAR_CHROMATICITY: u32 = 200;

/// Description of a profile that is not that of sRGB; [`None`] for sRGB and for grey values of the same tones.
pub(super) fn other_than_srgb(profile: &[u8]) -> Option<String> {
    let Some(profile) = IccProfile::open(profile) else { return Some("a profile that cannot be read".to_owned()) };
    let description = profile.description();
    let is_srgb = match profile.space {
        b"RGB " if COLOURANTS.iter().all(|(tag, _)| profile.tag(**tag).is_some()) => {
            COLOURANTS.iter().all(|(tag, wanted)| profile.is_near(**tag, wanted))
                && [*b"rTRC", *b"gTRC", *b"bTRC"].iter().all(|tag| profile.has_srgb_tones(*tag))
        }
        // By tables only.
        b"RGB " => description.as_deref().is_some_and(|text| text.to_ascii_lowercase().contains("srgb")),
        b"GRAY" => profile.has_srgb_tones(*b"kTRC"),
        _ => false,
    };
    (!is_srgb).then(|| description.unwrap_or_else(|| "a profile without a description".to_owned()))
}

/// A profile.
struct IccProfile<'a> {
    bytes: &'a [u8],
    /// Its colour space, such as `RGB `.
    space: &'a [u8; 4],
}

impl<'a> IccProfile<'a> {
    /// A profile; [`None`] if the bytes are not one.
    fn open(bytes: &'a [u8]) -> Option<Self> {
        (bytes.get(36..40)? == b"acsp").then_some(())?;
        Some(Self { bytes, space: bytes.get(16..20)?.as_array()? })
    }

    fn long(&self, at: usize) -> Option<usize> {
        Some(u32::from_be_bytes(*self.bytes.get(at..at.checked_add(4)?)?.as_array()?) as usize)
    }

    /// Data of a tag.
    fn tag(&self, name: [u8; 4]) -> Option<&'a [u8]> {
        let count = self.long(128)?.min(MOST_TAGS);
        let row = (0..count).map(|row| 132 + 12 * row).find(|at| self.bytes.get(*at..at + 4) == Some(&name[..]))?;
        let (start, length) = (self.long(row + 4)?, self.long(row + 8)?);
        self.bytes.get(start..start.checked_add(length)?)
    }

    /// Whether a colourant is near.
    fn is_near(&self, name: [u8; 4], wanted: &[f64; 3]) -> bool {
        let number = |at: usize| {
            let bytes = self.tag(name)?.get(at..at + 4)?.as_array()?;
            Some(f64::from(i32::from_be_bytes(*bytes)) / 65536.0)
        };
        wanted
            .iter()
            .enumerate()
            .all(|(axis, wanted)| number(8 + 4 * axis).is_some_and(|stated| (stated - wanted).abs() <= NEAR_COLOURANT))
    }

    /// Whether a tone curve is that of sRGB, or nearly.
    fn has_srgb_tones(&self, name: [u8; 4]) -> bool {
        let Some(curve) = self.tag(name).and_then(ToneCurve::read) else { return false };
        (1..16).map(|step| f64::from(step) / 16.0).all(|x| (curve.at(x) - srgb(x)).abs() <= NEAR_CURVE)
    }

    /// What it is called: printable, and short.
    fn description(&self) -> Option<String> {
        let data = self.tag(*b"desc")?;
        let long = |at: usize| Some(u32::from_be_bytes(*data.get(at..at + 4)?.as_array()?) as usize);
        let text: Cow<'_, str> = match data.get(..4)? {
            b"desc" => {
                let length = long(8)?;
                String::from_utf8_lossy(data.get(12..12_usize.checked_add(length)?)?)
            }
            b"mluc" => {
                let (length, start) = (long(20)?, long(24)?);
                let units = data.get(start..start.checked_add(length)?)?.as_chunks::<2>().0;
                let units: Vec<u16> = units.iter().map(|pair| u16::from_be_bytes(*pair)).collect();
                Cow::Owned(String::from_utf16_lossy(&units))
            }
            _ => return None,
        };
        let text: String = text.chars().take_while(|letter| *letter != '\0').collect();
        let words = text.split(|letter: char| letter.is_whitespace() || letter.is_control() || letter == '`');
        let text: String = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
        let text: String = text.chars().take(LONGEST).collect();
        (!text.is_empty()).then_some(text)
    }
}

/// Linear light of a value of sRGB.
fn srgb(x: f64) -> f64 {
    if x <= 0.040_45 { x / 12.92 } else { libm::pow((x + 0.055) / 1.055, 2.4) }
}

/// A tone curve.
enum ToneCurve {
    /// Values at equal distances; one of them is a power.
    Table(Vec<u16>),
    /// Kind and numbers of a parametric curve.
    Parametric(u16, Vec<f64>),
}

impl ToneCurve {
    fn read(data: &[u8]) -> Option<Self> {
        match data.get(..4)? {
            b"curv" => {
                let count = u32::from_be_bytes(*data.get(8..12)?.as_array()?) as usize;
                let values = data.get(12..12_usize.checked_add(count.checked_mul(2)?)?)?.as_chunks::<2>().0;
                Some(Self::Table(values.iter().map(|pair| u16::from_be_bytes(*pair)).collect()))
            }
            b"para" => {
                let kind = u16::from_be_bytes(*data.get(8..10)?.as_array()?);
                let count = *[1, 3, 4, 5, 7].get(usize::from(kind))?;
                let numbers = data.get(12..12 + 4 * count)?.as_chunks::<4>().0;
                let numbers = numbers.iter().map(|bytes| f64::from(i32::from_be_bytes(*bytes)) / 65536.0);
                Some(Self::Parametric(kind, numbers.collect()))
            }
            _ => None,
        }
    }

    /// Linear light of a value, both 0 to 1.
    fn at(&self, x: f64) -> f64 {
        match self {
            Self::Table(values) => match values.as_slice() {
                [] => x,
                [power] => libm::pow(x, f64::from(*power) / 256.0),
                values => {
                    let place = x * (values.len() - 1) as f64;
                    let at = (place as usize).min(values.len() - 2);
                    let (from, to) = (f64::from(values[at]), f64::from(values[at + 1]));
                    (from + (to - from) * (place - at as f64)) / 65535.0
                }
            },
            Self::Parametric(kind, numbers) => {
                let number = |at: usize| numbers.get(at).copied().unwrap_or(0.0);
                let (power, a, b) = (number(0), number(1), number(2));
                let curve = || libm::pow((a * x + b).max(0.0), power);
                match kind {
                    0 => libm::pow(x, power),
                    1 => {
                        if x >= -b / a {
                            curve()
                        } else {
                            0.0
                        }
                    }
                    2 => {
                        if x >= -b / a {
                            curve() + number(3)
                        } else {
                            number(3)
                        }
                    }
                    3 => {
                        if x >= number(4) {
                            curve()
                        } else {
                            number(3) * x
                        }
                    }
                    _ => {
                        if x >= number(4) {
                            curve() + number(5)
                        } else {
                            number(3) * x + number(6)
                        }
                    }
                }
            }
        }
    }
}
