//! CSV (RFC 4180) writer and reader: [`records`] reads back every cell that [`line()`] writes, whatever it holds. Knows nothing of
//! what the cells mean.

use std::borrow::Cow;

/// One record of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsvRecord {
    /// Line on which it begins, from 1.
    pub line: usize,
    /// Its cells, without quotes.
    pub cells: Vec<String>,
}

/// A record with its line break.
#[must_use]
pub fn line<T: AsRef<str>>(cells: impl IntoIterator<Item = T>) -> String {
    let mut text = String::new();
    for (at, cell) in cells.into_iter().enumerate() {
        text.push_str(if at == 0 { "" } else { "," });
        text.push_str(&quoted(cell.as_ref()));
    }
    text + "\n"
}

/// A cell, quoted if necessary.
#[must_use]
pub fn quoted(cell: &str) -> Cow<'_, str> {
    if cell.contains([',', '"', '\n', '\r']) {
        Cow::Owned(format!("\"{}\"", cell.replace('"', "\"\"")))
    } else {
        Cow::Borrowed(cell)
    }
}

/// Parses CSV. Lines end with LF, CR LF or CR; blank lines are skipped. Quoted cells may contain line breaks. Quotes that programs
/// read in different ways are rejected.
///
/// # Errors
/// A description of the problem, with its line.
pub fn records(text: &str) -> Result<Vec<CsvRecord>, String> {
    records_separated(text, ',')
}

/// Separator of a table: that of `,`, `;` and tab that its first line has most of; `,` if it has none.
#[must_use]
pub fn separator(text: &str) -> char {
    let head = text.trim_start_matches('\u{feff}').split(['\n', '\r']).find(|line| !line.trim().is_empty());
    let head = head.unwrap_or_default();
    if let Some(separator) = head.trim().strip_prefix("sep=").and_then(|rest| rest.chars().next()) {
        return separator;
    }
    let unquoted: String = head.split('"').step_by(2).collect();
    // The first of equals is the last one that `max_by_key` sees.
    ['\t', ';', ','].into_iter().max_by_key(|separator| unquoted.matches(*separator).count()).unwrap_or(',')
}

/// As [`records`], for cells separated by `separator`.
///
/// # Errors
/// As [`records`].
pub fn records_separated(text: &str, separator: char) -> Result<Vec<CsvRecord>, String> {
    let ends_cell = |char: char| char == separator || matches!(char, '\n' | '\r');
    let mut chars = text.strip_prefix('\u{feff}').unwrap_or(text).chars().peekable();
    let (mut records, mut line) = (Vec::new(), 1);
    while chars.peek().is_some() {
        let mut record = CsvRecord { line, cells: Vec::new() };
        let mut bare = true;
        loop {
            let mut cell = String::new();
            if chars.next_if_eq(&'"').is_some() {
                bare = false;
                let begins = line;
                loop {
                    match chars.next() {
                        Some('"') if chars.next_if_eq(&'"').is_some() => cell.push('"'),
                        Some('"') => break,
                        Some(char) => {
                            line += usize::from(char == '\n' || (char == '\r' && chars.peek() != Some(&'\n')));
                            cell.push(char);
                        }
                        None => return Err(format!("the quote opened on line {begins} is never closed")),
                    }
                }
                if chars.peek().is_some_and(|next| !ends_cell(*next)) {
                    return Err(format!("line {line} has text after a closing quote"));
                }
            } else {
                while let Some(char) = chars.next_if(|next| !ends_cell(*next)) {
                    if char == '"' {
                        return Err(format!("line {line} has a quote inside an unquoted cell"));
                    }
                    cell.push(char);
                }
            }
            record.cells.push(cell);
            match chars.next() {
                Some(next) if next == separator => {}
                Some('\r') => {
                    chars.next_if_eq(&'\n');
                    break;
                }
                _ => break,
            }
        }
        line += 1;
        if !(bare && record.cells.len() == 1 && record.cells[0].trim().is_empty()) {
            records.push(record);
        }
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cells(text: &str) -> Vec<Vec<String>> {
        records(text).expect("a table").into_iter().map(|record| record.cells).collect()
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(rows in prop::collection::vec(prop::collection::vec("[a,\"\r\n\u{feff} é]{0,6}", 2..4), 0..5)) {
            let text: String = std::iter::once("head,of,it\n".to_owned()).chain(rows.iter().map(line)).collect();
            prop_assert_eq!(&cells(&text)[1..], &rows[..]);
        }
    }

    #[test]
    fn the_separator_is_the_one_that_the_first_line_has_most_of() {
        for (text, expected) in [
            ("a,b;c,d\n1;2;3", ','),
            ("\n\"a;b;c\",d", ','),
            ("sep=;\na,b,c", ';'),
            ("a;b\n1,5;2", ';'),
            ("a\tb,c\td", '\t'),
            ("a", ','),
            ("", ','),
        ] {
            assert_eq!(separator(text), expected, "{text}");
        }
        let cells = records_separated("a;\"b;c\"\n1,5;2", ';').expect("a table");
        assert_eq!((&cells[0].cells[1][..], &cells[1].cells[0][..]), ("b;c", "1,5"));
    }

    #[test]
    fn records_know_their_lines_through_breaks_within_quotes() {
        let found = records("\u{feff}a,b\r\n\r\n\"one\ntwo\r\nthree\rfour\",1\n \nlast,\"\"").expect("a table");
        let lines: Vec<usize> = found.iter().map(|record| record.line).collect();
        assert_eq!(lines, [1, 3, 8]);
        assert_eq!(found[1].cells, ["one\ntwo\r\nthree\rfour", "1"]);
        assert_eq!(found[2].cells, ["last", ""]);
        assert_eq!(cells("a\rb\r"), [["a"], ["b"]]);
    }

    #[test]
    fn quotes_that_can_be_read_in_two_ways_are_refused() {
        for (text, words) in [
            ("a,b\n\"open,1\nc,2\n", "the quote opened on line 2 is never closed"),
            ("a,b\n\"shut\" tight,1\n", "line 2 has text after a closing quote"),
            ("a,b\n5\" lens,1\n", "line 2 has a quote inside an unquoted cell"),
        ] {
            assert_eq!(records(text), Err(words.to_owned()));
        }
    }
}
