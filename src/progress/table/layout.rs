//! How a table is made to fit: which columns are shown, how wide each is, where heads and texts break.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Space between two columns.
const GAP: usize = 2;

/// Narrowest column when nothing else helps.
const NARROWEST: usize = 3;

/// Column as text.
pub(super) struct Laid {
    pub(super) head: String,
    pub(super) cells: Vec<String>,
    pub(super) right: bool,
    /// How readily it is left out, 0 never.
    pub(super) priority: u8,
    /// Width to which cells may be cut.
    pub(super) shortest: Option<usize>,
}

impl Laid {
    fn cells_width(&self) -> usize {
        self.cells.iter().map(|cell| cell.width()).max().unwrap_or(0)
    }

    /// Width with the head in one line.
    fn full(&self) -> usize {
        self.cells_width().max(self.head.width())
    }

    /// Width of the cells and the head's longest word.
    fn tight(&self) -> usize {
        self.cells_width().max(self.longest_word())
    }

    /// Width with cells cut as far as allowed.
    fn short(&self) -> usize {
        self.shortest.map_or(self.tight(), |shortest| shortest.max(self.longest_word()).min(self.tight()))
    }

    fn longest_word(&self) -> usize {
        words(&self.head).iter().map(|word| word.width()).max().unwrap_or(0)
    }
}

/// The lines of a table, heads first, and the heads of the columns that do not fit.
pub(super) fn lines(columns: Vec<Laid>, room: usize) -> (Vec<String>, Vec<String>) {
    let mut columns: Vec<(usize, Laid)> = columns.into_iter().enumerate().collect();
    let mut left_out = Vec::new();
    let widths = loop {
        let shown: Vec<&Laid> = columns.iter().map(|(_, column)| column).collect();
        if let Some(widths) = widths(&shown, room) {
            break widths;
        }
        let least = (0..columns.len()).max_by_key(|&at| (columns[at].1.priority, at));
        match least.filter(|&at| columns[at].1.priority > 0 && columns.len() > 1) {
            Some(at) => left_out.push(columns.remove(at)),
            None => break squeezed(&shown, room),
        }
    };
    left_out.sort_by_key(|(place, _)| *place);
    let left_out = left_out.into_iter().map(|(_, column)| column.head).collect();
    let heads: Vec<Vec<String>> =
        columns.iter().zip(&widths).map(|((_, column), width)| wrapped(&column.head, *width)).collect();
    let tall = heads.iter().map(Vec::len).max().unwrap_or(0);
    let rows = columns.iter().map(|(_, column)| column.cells.len()).max().unwrap_or(0);
    let line = |cell: &dyn Fn(usize) -> String| {
        let cells = columns.iter().zip(&widths).enumerate().map(|(at, ((_, column), width))| {
            let cell = shortened(&cell(at), *width);
            let fill = " ".repeat(width.saturating_sub(cell.width()));
            if column.right { fill + &cell } else { cell + &fill }
        });
        cells.collect::<Vec<_>>().join(&" ".repeat(GAP)).trim_end().to_owned()
    };
    let mut lines = Vec::new();
    for row in 0..tall {
        // Heads of fewer lines stand at the bottom.
        let of = |at: usize| {
            let lines = &heads[at];
            (row + lines.len()).checked_sub(tall).and_then(|at| lines.get(at)).cloned().unwrap_or_default()
        };
        lines.push(line(&of));
    }
    for row in 0..rows {
        lines.push(line(&|at: usize| columns[at].1.cells.get(row).cloned().unwrap_or_default()));
    }
    (lines, left_out)
}

fn total(widths: &[usize]) -> usize {
    widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1)
}

/// Widths that fit `room` without leaving out a column; [`None`] if there are none.
fn widths(columns: &[&Laid], room: usize) -> Option<Vec<usize>> {
    let of = |width: fn(&Laid) -> usize| columns.iter().map(|column| width(column)).collect::<Vec<_>>();
    let mut widths = of(Laid::tight);
    if total(&widths) <= room {
        // What is left over lets heads stay in one line, the first ones first.
        for (at, full) in of(Laid::full).into_iter().enumerate() {
            let spare = room - total(&widths);
            let narrow = widths[at];
            if full - narrow <= spare {
                widths[at] = full;
            }
        }
        return Some(widths);
    }
    let short = of(Laid::short);
    if total(&short) > room {
        return None;
    }
    // The least important are cut first.
    let mut order: Vec<usize> = (0..columns.len()).collect();
    order.sort_by_key(|&at| std::cmp::Reverse((columns[at].priority, at)));
    for at in order {
        let over = total(&widths).saturating_sub(room);
        widths[at] -= over.min(widths[at] - short[at]);
    }
    Some(widths)
}

/// Widths of columns that all must stay: the widest gives way first.
fn squeezed(columns: &[&Laid], room: usize) -> Vec<usize> {
    let mut widths: Vec<usize> = columns.iter().map(|column| column.short()).collect();
    while total(&widths) > room {
        match widths.iter_mut().max() {
            Some(width) if *width > NARROWEST => *width -= 1,
            _ => break,
        }
    }
    widths
}

/// Text of at most `width` columns, `…` where it is cut.
#[must_use]
pub fn shortened(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut cut = String::new();
    let mut used = 1;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > width {
            break;
        }
        cut.push(c);
    }
    if width > 0 {
        cut.push('…');
    }
    cut
}

/// Text of at most `width` columns, ` …` where it is cut, which is between words unless the first one is longer.
#[must_use]
pub fn clipped(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let room = width.saturating_sub(2);
    let first = wrapped(text, room).swap_remove(0);
    if first.width() > room {
        shortened(text, width)
    } else {
        first.trim_end_matches([',', ';', ':']).to_owned() + " …"
    }
}

/// Text in lines of at most `width` columns, broken between words; a longer word has a line of its own.
#[must_use]
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    flow(text, width, width)
}

/// The words of a text, each with a lone `/` after it: no line begins with one.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        match words.last_mut() {
            Some(last) if word == "/" => last.push_str(" /"),
            _ => words.push(word.to_owned()),
        }
    }
    words
}

/// As [`wrapped`], with `first` columns for the first line and `rest` for all others.
#[must_use]
pub fn flow(text: &str, first: usize, rest: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in words(text) {
        let width = if lines.is_empty() { first } else { rest };
        let begins = line.is_empty() && (!lines.is_empty() || word.width() <= first || first >= rest);
        if begins {
            line.push_str(&word);
        } else if !line.is_empty() && line.width() + 1 + word.width() <= width {
            line.push(' ');
            line.push_str(&word);
        } else {
            lines.push(std::mem::replace(&mut line, word));
        }
    }
    lines.push(line);
    lines
}

#[test]
fn text_breaks_between_words_only() {
    assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
    assert_eq!(wrapped("a very/long/path/of/a/file b", 8), ["a", "very/long/path/of/a/file", "b"]);
    assert_eq!(wrapped("", 8), [""]);
    assert_eq!(wrapped("predicted / labelled", 9), ["predicted /", "labelled"]);
    assert_eq!(flow("one two three", 3, 9), ["one", "two three"]);
    assert_eq!(flow("three two", 3, 9), ["", "three two"]);
    assert_eq!([14, 13, 8].map(|width| clipped("two eyes, one", width)), ["two eyes, one", "two eyes, one", "two …"]);
    assert_eq!([12, 4].map(|width| clipped("two eyes, one", width)), ["two eyes …", "two…"]);
    assert_eq!(["photograph", "eye"].map(|text| shortened(text, 6)), ["photo…", "eye"]);
}
