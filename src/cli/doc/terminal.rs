//! The manual's Markdown as a terminal shows it: headings bare, text broken at its width, tables in columns.

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
                add(&mut out, &format!("    {code}"));
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
    for line in wrap(text, options.break_words(false)) {
        add(out, &line);
    }
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
    if whole(&widths) + last.min(LEAST) > width {
        widths.iter_mut().skip(1).for_each(|width| *width = (*width).min(WIDEST));
    }
    let left = width.saturating_sub(whole(&widths));
    let below = left < last.min(LEAST);
    for row in rows {
        let (words, short) = row.split_last().map_or(("", &row[..]), |(words, short)| (words.as_str(), short));
        let mut columns: Vec<(usize, Vec<String>)> = short
            .iter()
            .zip(&widths)
            .map(|(cell, width)| (*width, wrap(cell, *width).iter().map(ToString::to_string).collect()))
            .collect();
        if !below {
            columns.push((left, wrap(words, left).iter().map(ToString::to_string).collect()));
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
