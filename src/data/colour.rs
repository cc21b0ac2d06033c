//! 8-bit RGB colours. Knows neither files nor pictures.

/// A colour: red, green, blue.
pub type Colour = [u8; 3];
