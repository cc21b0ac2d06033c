//! Codes of KDL syntax: the mistakes that people make most often in KDL 2.

use super::{Page, page};

pub(super) const PAGES: &[Page] = &[
    page(
        "syntax",
        "The text is not valid KDL 2 here, and the mistake has no code of its own.",
        "extract patches { = 128 }",
        "See <https://kdl.dev> for the language. A node is `name value key=value { children }` and ends at the end of the line or at `;`.",
    ),
    page(
        "not-kdl",
        "The file is in another format: HTML, JSON, YAML, an image. Nothing else about it is reported.",
        "",
        "Name the KDL file of the pipeline. A report or a table of results is opened with another program.",
    ),
    page("too-large", "A file may have at most 512 KiB.", "", "Split the file and import the parts with `use`."),
    page(
        "too-deep",
        "Braces are nested more than 24 levels deep. No pipeline needs that.",
        "",
        "Look for a missing `}` above this line.",
    ),
    page(
        "type-annotation",
        "KDL allows a type annotation in parentheses before a value. macula takes types from stage signatures and does not use annotations.",
        "extract patches { size (px)128 }",
        "Remove the parentheses.",
    ),
    page(
        "list-form",
        "KDL has no list brackets. Write the values of a list one after another.",
        "train classifier { freeze [conv1 bn1] }",
        "Write `freeze conv1 bn1`.",
    ),
    page(
        "comma",
        "Values are separated by spaces, not by commas.",
        "augment views { flip horizontal=0.5, vertical=0.5 }",
        "Remove the comma.",
    ),
    page(
        "colon",
        "KDL does not use colons, unlike YAML. A name is followed by a space and its value, or by `=` if it is a property.",
        "extract patches { size: 128 }",
        "Write `size 128`, and `flip horizontal=0.5`.",
    ),
    page(
        "equals",
        "A parameter's value follows its name after a space. `=` is only for properties, which follow a name on the same line: `label min-pixels=8`.",
        "extract patches { size = 128 }",
        "Write `size 128`.",
    ),
    page(
        "comment-form",
        "A comment starts with `//`. `#` starts keywords such as `#true`.",
        "# synthetic photographs\nsynthetic fundus",
        "Write `// …`, or `/* … */` for a comment within a line.",
    ),
    page(
        "look-alike",
        "A character looks like one of KDL's but is a different one: curly quotes, a dash instead of a minus sign, full-width digits or braces, or an invisible character. They usually come from text copied from a web page or a PDF.",
        "idrid fundus { root “data/idrid” }",
        "Replace it with the plain character shown in the hint.",
    ),
    page(
        "forbidden-character",
        "KDL 2 forbids this character anywhere in a file, including comments and strings: control characters, marks that change the writing direction, and a byte order mark other than at the start. They are invisible or make the text look different from what it is.",
        "",
        "Remove it. In a string, use an escape such as `\\u{202e}` instead.",
    ),
    page(
        "number-form",
        "A number starts with a digit, has digits on both sides of the decimal point, and fits into 64 bits. Names cannot start with a digit.",
        "filter-black visible { share .9 }",
        "Write `0.9` for `.9` and `1.0` for `1.`; quote text that starts with a digit.",
    ),
    page(
        "percent",
        "KDL has no percent sign. Fractions are numbers from 0 to 1.",
        "filter-black visible { share 90% }",
        "Write `0.9`.",
    ),
    page(
        "unit",
        "Numbers are written without units; the signature fixes the unit of each parameter.",
        "extract patches { size 128px }",
        "Write `128`.",
    ),
    page(
        "keyword-form",
        "KDL's keywords start with `#`.",
        "extract patches { masks true }",
        "Write `#true` or `#false`; quote the word if it is meant as text.",
    ),
    page(
        "unquoted-path",
        "Text that contains a slash must be quoted.",
        "idrid fundus { root data/idrid }",
        "Write `\"data/idrid\"`.",
    ),
    page(
        "single-quotes",
        "Strings use double quotes.",
        "idrid fundus { root 'data' }",
        "Write `\"data\"`, or `#\"data\"#` if the text itself contains quotes or backslashes.",
    ),
    page(
        "unclosed-string",
        "A string must end on the line where it starts.",
        "idrid fundus { root \"data\n}",
        "Close it with `\"`. For text of several lines use `\"\"\"`, each on its own line.",
    ),
    page(
        "unclosed-comment",
        "A comment that starts with `/*` is never closed.",
        "/* extract patches { size 128 }",
        "Close it with `*/`, or comment out one line with `//`.",
    ),
    page(
        "unclosed-brace",
        "A `{` has no matching `}`. Indentation is used to find which one.",
        "pipeline a seed=1 {\n    idrid fundus { root \"data\"\n}",
        "Add a `}` where the block ends.",
    ),
    page(
        "stray-brace",
        "A `}` has no matching `{`.",
        "pipeline a seed=1 {\n    idrid fundus { root \"data\" } }\n}",
        "Remove it, or look for a missing `{` above.",
    ),
];
