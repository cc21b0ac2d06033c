//! The manual's Markdown as a terminal shows it: headings bare, text broken at its width, tables in columns.

use textwrap::WordSeparator::AsciiSpace;
use textwrap::WordSplitter::NoHyphenation;
use textwrap::core::display_width;
use textwrap::{Options, wrap};

/// The least room for the words of a table; with less they stand below their row.
const LEAST: usize = 30;

/// Between two columns.
const GAP: &str = "  ";

/// The widest that a column of short texts becomes; longer ones are broken.
const WIDEST: usize = 26;

/// A page for a terminal of `width` characters.
pub(super) fn terminal(page: &str, width: usize) -> String {
    let mut out = String::new();
    let mut lines = page.lines().peekable();
    while let Some(line) = lines.next() {
        if line.starts_with("```") {
            for code in lines.by_ref().take_while(|code| !code.starts_with("```")) {
                out.push_str(&self::code(&format!("    {code}"), width));
            }
        } else if line.starts_with('|') {
            let mut rows = vec![cells(line)];
            while let Some(row) = lines.next_if(|next| next.starts_with('|')) {
                // The rule below the heads.
                if !row.starts_with("|---") {
                    rows.push(cells(row));
                }
            }
            table(&mut out, &rows, width);
        } else if let Some(item) = line.strip_prefix("- ") {
            broken(&mut out, item, width, "  ", "    ");
        } else {
            broken(&mut out, line.trim_start_matches('#').trim_start(), width, "", "");
        }
    }
    out
}

fn add(out: &mut String, line: &str) {
    out.push_str(line.trim_end());
    out.push('\n');
}

fn broken(out: &mut String, text: &str, width: usize, first: &str, further: &str) {
    let options = Options::new(width).initial_indent(first).subsequent_indent(further);
    for line in wrap(text, unsplit(options)) {
        add(out, &line);
    }
}

/// Breaks between words only.
fn unsplit(options: Options<'_>) -> Options<'_> {
    options.break_words(false).word_separator(AsciiSpace).word_splitter(NoHyphenation)
}

fn lines_of(cell: &str, width: usize) -> Vec<String> {
    wrap(cell, unsplit(Options::new(width))).iter().map(ToString::to_string).collect()
}

/// A line of a pipeline. One that is wider than `width` and has a block gets a line for each of the block's statements.
pub(in crate::cli) fn code(line: &str, width: usize) -> String {
    let (bare, margin) = (line.trim(), line.len() - line.trim_start().len());
    let block = bare.split_once(" { ").and_then(|(head, rest)| Some((head, rest.strip_suffix('}')?)));
    match block {
        Some((head, body)) if display_width(line) > width => {
            let margin = " ".repeat(margin);
            let mut out = format!("{margin}{head} {{\n");
            for statement in statements(body) {
                out.push_str(&code(&format!("{margin}    {statement}"), width));
            }
            out + &margin + "}\n"
        }
        _ => format!("{}\n", line.trim_end()),
    }
}

/// The statements of a block's body, which are parted by semicolons outside of blocks and texts.
fn statements(body: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    let (mut depth, mut quoted) = (0_usize, false);
    for c in body.chars() {
        match c {
            '"' => quoted = !quoted,
            '{' if !quoted => depth += 1,
            '}' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        match (c, found.last_mut()) {
            (';', _) if depth == 0 && !quoted => found.push(String::new()),
            (c, Some(last)) => last.push(c),
            (_, None) => {}
        }
    }
    found.iter().map(|statement| statement.trim().to_owned()).filter(|statement| !statement.is_empty()).collect()
}

/// The cells of a row, without the marks of code.
fn cells(row: &str) -> Vec<String> {
    const BAR: char = '\u{1}';
    let row = row.replace("\\|", &BAR.to_string());
    let row = row.trim().trim_start_matches('|');
    let row = row.strip_suffix('|').unwrap_or(row);
    row.split('|').map(|cell| cell.trim().replace(BAR, "|").replace('`', "")).collect()
}

/// Rows in columns. The last one takes what is left of the width; where that is too little it stands below.
fn table(out: &mut String, rows: &[Vec<String>], width: usize) {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let natural = |at: usize| rows.iter().filter_map(|row| row.get(at)).map(|cell| display_width(cell)).max();
    let mut widths: Vec<usize> = (0..count).map(|at| natural(at).unwrap_or(0)).collect();
    let Some(last) = widths.pop() else { return };
    let whole = |widths: &[usize]| widths.iter().map(|width| width + GAP.len()).sum::<usize>() + GAP.len();
    let word = |at: usize| {
        let words = rows.iter().filter_map(|row| row.get(at)).flat_map(|cell| cell.split(' '));
        words.map(display_width).max().unwrap_or(0)
    };
    if whole(&widths) + last.min(LEAST) > width {
        for (at, width) in widths.iter_mut().enumerate().skip(1) {
            *width = (*width).min(WIDEST).max(word(at));
        }
    }
    // Below their row, words need no room next to it.
    let mut over = (whole(&widths) - GAP.len()).saturating_sub(width);
    for (at, width) in widths.iter_mut().enumerate().skip(1) {
        let less = over.min(width.saturating_sub(word(at)));
        *width -= less;
        over -= less;
    }
    if over > 0 {
        return stacked(out, rows, width);
    }
    let left = width.saturating_sub(whole(&widths));
    let below = left < last.min(LEAST);
    for row in rows {
        let (words, short) = row.split_last().map_or(("", &row[..]), |(words, short)| (words.as_str(), short));
        let mut columns: Vec<(usize, Vec<String>)> =
            short.iter().zip(&widths).map(|(cell, width)| (*width, lines_of(cell, *width))).collect();
        if !below {
            columns.push((left, lines_of(words, left)));
        }
        let height = columns.iter().map(|(_, lines)| lines.len()).max().unwrap_or(0);
        for at in 0..height {
            let mut line = String::new();
            for (width, lines) in &columns {
                let cell = lines.get(at).map_or("", String::as_str);
                line.push_str(GAP);
                line.push_str(cell);
                line.push_str(&" ".repeat(width.saturating_sub(display_width(cell))));
            }
            add(out, &line);
        }
        if below && !words.is_empty() {
            broken(out, words, width, "      ", "      ");
        }
    }
}

/// Rows for which columns have no room: the first cell, and below it the others.
fn stacked(out: &mut String, rows: &[Vec<String>], width: usize) {
    for row in rows {
        let (first, rest) = row.split_first().map_or(("", &row[..]), |(first, rest)| (first.as_str(), rest));
        let (words, short) = rest.split_last().map_or(("", rest), |(words, short)| (words.as_str(), short));
        add(out, &format!("{GAP}{first}"));
        let short: Vec<&str> = short.iter().map(String::as_str).filter(|cell| !cell.is_empty()).collect();
        for text in [short.join("; ").as_str(), words].into_iter().filter(|text| !text.is_empty()) {
            broken(out, text, width, "      ", "      ");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# split\n\nDivides patches into sides, whole patients at a time.\n\n## Inputs\n\n- `from`: patches. Any patches at all.\n\n\
        | name | type | default | |\n|---|---|---|---|\n| `train` | share | `0.6` | How much of it is for training: a \\| b. |\n\n\
        ```kdl\nsplit a { from b }\n```\n";

    #[test]
    fn a_page_fits_its_terminal_and_loses_no_word() {
        for width in [30, 50, 80, 200] {
            let shown = terminal(PAGE, width);
            assert!(shown.lines().all(|line| display_width(line) <= width), "{width}: {shown}");
            let words = |text: &str| {
                let text = text.replace("\\|", "BAR").replace(['|', '`', '#'], " ").replace("BAR", "|");
                let words = text.split_whitespace().filter(|word| !matches!(*word, "-" | "kdl" | "---"));
                words.map(str::to_owned).collect::<Vec<_>>()
            };
            let (mut had, mut has) = (words(PAGE), words(&shown));
            had.sort();
            has.sort();
            had.retain(|word| !word.contains("---"));
            // The `|` that was written as `\|`.
            has.retain(|word| word != "|");
            had.retain(|word| word != "|");
            assert_eq!(has, had, "{width}: {shown}");
        }
    }

    #[test]
    fn a_block_that_is_too_wide_has_a_line_for_each_statement() {
        let line = "    a b { from \"x; y\"; c d=1 { e 2; f 3 }; g }";
        assert_eq!(code(line, 80), format!("{line}\n"));
        let broken = "    a b {\n        from \"x; y\"\n        c d=1 { e 2; f 3 }\n        g\n    }\n";
        assert_eq!(code(line, 40), broken);
        assert_eq!(code("    words without a block", 10), "    words without a block\n");
    }

    #[test]
    fn a_table_stands_in_columns_where_there_is_room() {
        let shown = terminal(PAGE, 60);
        assert!(shown.contains("  train  share  0.6      How much of it is for training: a |\n"), "{shown}");
        assert!(shown.contains("\n    split a { from b }\n"), "{shown}");
        let narrow = terminal(PAGE, 40);
        assert!(
            narrow.contains("  train  share  0.6\n      How much of it is for training: a\n      | b.\n"),
            "{narrow}"
        );
    }
}
