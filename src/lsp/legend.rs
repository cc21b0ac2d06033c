//! Types and modifiers of semantic tokens. Knows no text.

use gen_lsp_types::SemanticTokensLegend;

/// Names of the token types, in the order of [`TokenType`]. All are standard ones, which themes know.
const TYPES: [&str; 15] = [
    "namespace",
    "variable",
    "class",
    "interface",
    "property",
    "enumMember",
    "parameter",
    "struct",
    "function",
    "label",
    "keyword",
    "type",
    "string",
    "number",
    "comment",
];

/// Names of the modifiers, in the order of their bits: two standard ones, and the units of numbers.
const MODIFIERS: [&str; 4] = ["declaration", "defaultLibrary", "px", "degrees"];
/// Bit of a declaration.
pub(super) const DECLARATION: u32 = 1;
/// Bit of a name of the standard library.
pub(super) const LIBRARY: u32 = 1 << 1;
/// Bit of a number of pixels.
pub(super) const PX: u32 = 1 << 2;
/// Bit of a number of degrees.
pub(super) const DEGREES: u32 = 1 << 3;

/// What a piece of text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenType {
    /// A pipeline, or the alias of an imported file.
    Namespace,
    /// A stage.
    Stage,
    /// A stage type.
    StageType,
    /// An input or output port.
    Port,
    /// A parameter of a stage type, or a property.
    Property,
    /// A case of a choice.
    Case,
    /// A `$name`, or its declaration.
    Parameter,
    /// A network.
    Network,
    /// A layer or a block.
    Layer,
    /// A tap.
    Tap,
    /// A word of the language.
    Keyword,
    /// The type of a parameter or a port.
    Type,
    /// A string.
    Text,
    /// A number.
    Number,
    /// A comment, or what is commented out.
    Comment,
}

/// Token types and modifiers that the server uses.
pub(super) fn legend() -> SemanticTokensLegend {
    SemanticTokensLegend {
        token_types: TYPES.map(str::to_owned).into(),
        token_modifiers: MODIFIERS.map(str::to_owned).into(),
    }
}
