//! Codes of the text's form: where KDL 2 is not as one thinks.

use super::{Page, page};

pub(super) const PAGES: &[Page] = &[
    page(
        "syntax",
        "The text is not KDL 2 here, in a way that has no name of its own.",
        "extract patches { = 128 }",
        "See <https://kdl.dev> for the language. A node is `name value key=value { children }`; nodes end with a line or `;`.",
    ),
    page("too-large", "A file may have 512 KB.", "", "Split the file, and bring networks in with `use`."),
    page(
        "too-deep",
        "Braces are nested deeper than 24, which no pipeline needs.",
        "",
        "Look for a `}` that is missing before the place.",
    ),
    page(
        "type-annotation",
        "KDL can annotate values with a type in parentheses. macula takes types from the signatures, so an annotation would mean nothing.",
        "extract patches { size (px)128 }",
        "Leave the parentheses out.",
    ),
    page(
        "list-form",
        "KDL has no brackets: a list is values side by side.",
        "train classifier { freeze [conv1 bn1] }",
        "Write `freeze conv1 bn1`.",
    ),
    page(
        "comma",
        "Values are separated by spaces, not by commas.",
        "augment views { flip horizontal=0.5, vertical=0.5 }",
        "Leave the comma out.",
    ),
    page(
        "colon",
        "A name is followed by a blank and its value, or by `=` where it is a property; YAML's colon means nothing.",
        "extract patches { size: 128 }",
        "Write `size 128`, and `flip horizontal=0.5`.",
    ),
    page(
        "equals",
        "A parameter's value follows its name after a blank. `=` stands in properties alone, behind a name on the same line: `label min-pixels=8`.",
        "extract patches { size = 128 }",
        "Write `size 128`.",
    ),
    page(
        "comment-form",
        "A comment begins with `//`. `#` begins `#true` and its kin.",
        "# made photographs\nsynthetic fundus",
        "Write `// …`, or `/* … */` within a line.",
    ),
    page(
        "look-alike",
        "A character looks like one that KDL knows and is another: curly quotes, a dash for a minus, full-width digits and braces, or one that is not seen. Copying from a page or a paper brings them in.",
        "idrid fundus { root “data/idrid” }",
        "Write the plain character that the hint shows.",
    ),
    page(
        "forbidden-character",
        "KDL 2 forbids this character anywhere in a file, comments and quotes included: control characters, marks that turn the reading direction, a byte order mark within the text. They are not seen, or make a text look like another one.",
        "",
        "Remove it. In quotes an escape such as `\\u{202e}` stands for the character.",
    ),
    page(
        "number-form",
        "A number begins with a digit, has digits on both sides of its point, and fits into 64 bits. Names do not begin with a digit.",
        "filter-black visible { share .9 }",
        "Write `0.9` for `.9`, `1.0` for `1.`, and quote text that begins with a digit.",
    ),
    page(
        "percent",
        "There is no percent sign. Shares go from 0 to 1.",
        "filter-black visible { share 90% }",
        "Write `0.9`.",
    ),
    page(
        "unit",
        "Numbers stand without units; the signature says which unit a parameter has.",
        "extract patches { size 128px }",
        "Write `128`.",
    ),
    page(
        "keyword-form",
        "Words of KDL's own begin with `#`.",
        "extract patches { masks true }",
        "Write `#true`, `#false` or `#null`; quote the word where text is meant.",
    ),
    page(
        "unquoted-path",
        "A slash can't stand outside quotes.",
        "idrid fundus { root data/idrid }",
        "Write `\"data/idrid\"`.",
    ),
    page(
        "single-quotes",
        "Strings stand in double quotes.",
        "idrid fundus { root 'data' }",
        "Write `\"data\"`, or `#\"data\"#` where quotes or backslashes are part of the text.",
    ),
    page(
        "unclosed-string",
        "A string ends on the line on which it begins.",
        "idrid fundus { root \"data\n}",
        "Close it with `\"`. Text of many lines stands between `\"\"\"`, each on a line of its own.",
    ),
    page(
        "unclosed-comment",
        "A comment that begins with `/*` never ends.",
        "/* extract patches { size 128 }",
        "Close it with `*/`, or comment out one line with `//`.",
    ),
    page(
        "unclosed-brace",
        "A `{` has no `}`. Which one is told by the indentation.",
        "pipeline a seed=1 {\n    idrid fundus { root \"data\"\n}",
        "Put a `}` where the block ends.",
    ),
    page(
        "stray-brace",
        "A `}` closes nothing.",
        "pipeline a seed=1 {\n    idrid fundus { root \"data\" } }\n}",
        "Take it out, or look for a `{` that is missing above.",
    ),
];
