//! From statements to text. The layout depends only on the content, so that formatting again changes nothing.

use super::lexemes::{Comment, after, next_stop};
use super::read::{BlockText, EntryText, NodeText, Piece, Statement};
use crate::syntax::scan::is_newline;

/// Columns of a level of indentation.
const INDENT: usize = 4;
/// Widest block on one line, columns.
const WIDEST: usize = 120;
/// Widest gap for aligning comments of neighbouring lines.
const GAP: usize = 40;

/// The text of statements.
pub(super) fn write(statements: &[Statement]) -> String {
    let mut writer = Writer::default();
    writer.statements(statements, 0);
    writer.out
}

/// The output so far, and its current column.
#[derive(Default)]
struct Writer {
    out: String,
    column: usize,
}

impl Writer {
    fn put(&mut self, text: &str) {
        self.out.push_str(text);
        self.column = after(self.column, text);
    }

    /// Adds a string, which may have several lines; Windows line ends become plain.
    fn value(&mut self, text: &str) {
        if text.contains('\r') { self.put(&text.replace("\r\n", "\n")) } else { self.put(text) }
    }

    fn new_line(&mut self, indent: usize) {
        self.out.push('\n');
        self.column = 0;
        self.indent(indent);
    }

    fn indent(&mut self, columns: usize) {
        self.put(&" ".repeat(columns));
    }

    /// Adds a space, unless at the start of a line.
    fn space(&mut self) {
        if !self.out.ends_with([' ', '\n']) && !self.out.is_empty() {
            self.put(" ");
        }
    }

    /// Adds a comment; the lines of a block comment keep their position below its first.
    fn comment(&mut self, comment: Comment) {
        let column = self.column;
        let text = comment.text.replace("\r\n", "\n");
        for (number, line) in text.split(is_newline).enumerate() {
            let line = line.trim_end();
            if number == 0 {
                self.put(line);
                continue;
            }
            self.new_line(0);
            let text = line.trim_start();
            let lead = line[..line.len() - text.len()]
                .chars()
                .fold(0, |column, c| if c == '\t' { next_stop(column) } else { column + 1 });
            if !text.is_empty() {
                self.indent((lead + column).saturating_sub(comment.column));
                self.put(text);
            }
        }
    }

    /// Adds statements, each from the start of a line to its end.
    fn statements(&mut self, statements: &[Statement], depth: usize) {
        let lines: Vec<Option<String>> = statements.iter().map(|one| line(one, depth * INDENT)).collect();
        let mut at = 0;
        while at < statements.len() {
            let run = 1
                + (at + 1..statements.len())
                    .take_while(|&next| {
                        !statements[next].blank
                            && [next - 1, next].iter().all(|&i| trails(&statements[i], lines[i].as_ref()))
                    })
                    .count();
            let column = column(&statements[at..at + run], &lines[at..at + run], depth * INDENT);
            for i in at..at + run {
                if i > 0 && statements[i].blank {
                    self.new_line(0);
                }
                if i > 0 || depth > 0 {
                    self.new_line(0);
                }
                self.indent(depth * INDENT);
                match &lines[i] {
                    Some(line) => self.put(line),
                    None => self.statement(&statements[i], depth),
                }
                self.trail(&statements[i], column);
            }
            at += run;
        }
    }

    /// Adds the comments after a statement, from `column` on or a space after it.
    fn trail(&mut self, statement: &Statement, column: usize) {
        let Some((first, more)) = statement.after.split_first() else { return };
        self.space();
        self.indent(column.saturating_sub(self.column));
        let mut column = self.column;
        self.comment(*first);
        for comment in more {
            self.put(" ");
            column = self.column;
            self.comment(*comment);
        }
        for comment in &statement.below {
            self.new_line(column);
            self.comment(*comment);
        }
    }

    /// Adds a statement of several lines, or comments alone.
    fn statement(&mut self, statement: &Statement, depth: usize) {
        for comment in &statement.before {
            self.space();
            self.comment(*comment);
        }
        let Some(node) = &statement.node else { return };
        self.space();
        if node.hidden {
            self.put("/-");
        }
        self.value(node.name);
        let blocks = node.pieces.iter().position(|piece| matches!(piece, Piece::Block(_))).unwrap_or(node.pieces.len());
        let (head, blocks) = node.pieces.split_at(blocks);
        let begin = self.out.len();
        let column = self.column;
        self.head(head, (depth + 1) * INDENT);
        if let Some(tail) = flat(blocks)
            && (self.column + 1 + tail.chars().count() <= WIDEST || all_empty(blocks))
        {
            if !blocks.is_empty() {
                self.put(" ");
                self.put(&tail);
            }
            return;
        }
        // Continuation lines are indented one level more than the block.
        self.out.truncate(begin);
        self.column = column;
        self.head(head, (depth + 2) * INDENT);
        for piece in blocks {
            match piece {
                Piece::Block(block) => self.block(block, depth),
                other => self.head(std::slice::from_ref(other), (depth + 2) * INDENT),
            }
        }
    }

    /// Adds the part between a node's name and its braces.
    fn head(&mut self, pieces: &[Piece], indent: usize) {
        let mut fresh = false; // whether a line was started already
        for piece in pieces {
            match piece {
                Piece::Break if fresh => continue,
                Piece::Break => self.put(" \\"),
                Piece::Comment(comment) if comment.ends_line() => {
                    self.put(if fresh { "\\ " } else { " \\ " });
                    self.comment(*comment);
                }
                Piece::Comment(comment) => {
                    self.space();
                    self.comment(*comment);
                }
                Piece::NodeEntry(entry) => {
                    self.space();
                    self.entry(entry);
                }
                Piece::Block(_) => {}
            }
            fresh = match piece {
                Piece::Break => true,
                Piece::Comment(comment) => comment.ends_line(),
                _ => false,
            };
            if fresh {
                self.new_line(indent);
            }
        }
    }

    fn entry(&mut self, entry: &EntryText) {
        if entry.hidden {
            self.put("/-");
        }
        if let Some(key) = entry.key {
            self.value(key);
            self.put("=");
        }
        self.value(entry.value);
    }

    /// Adds a block of several lines.
    fn block(&mut self, block: &BlockText, depth: usize) {
        self.space();
        self.put(if block.hidden { "/-{" } else { "{" });
        if block.is_empty() {
            return self.put("}");
        }
        for comment in &block.opening {
            self.put(" ");
            self.comment(*comment);
        }
        self.statements(&block.statements, depth + 1);
        self.new_line(depth * INDENT);
        self.put("}");
    }
}

/// A statement on one line, without indentation and trailing comments, if possible.
fn line(statement: &Statement, indent: usize) -> Option<String> {
    let mut writer = Writer { column: indent, ..Writer::default() };
    for comment in &statement.before {
        if comment.text.contains(is_newline) {
            return None;
        }
        writer.space();
        writer.comment(*comment);
    }
    let Some(node) = &statement.node else { return Some(writer.out) };
    writer.space();
    node_in_line(&mut writer, node)?;
    let empty = node.pieces.iter().all(|piece| !matches!(piece, Piece::Block(block) if !block.is_empty()));
    (empty || writer.column <= WIDEST).then_some(writer.out)
}

fn node_in_line(writer: &mut Writer, node: &NodeText) -> Option<()> {
    if node.hidden {
        writer.put("/-");
    }
    if node.name.contains(is_newline) {
        return None;
    }
    writer.put(node.name);
    for piece in &node.pieces {
        writer.put(" ");
        match piece {
            Piece::Break => return None,
            Piece::Comment(comment) if comment.stands_alone() => return None,
            Piece::Comment(comment) => writer.comment(*comment),
            Piece::NodeEntry(entry) if entry.has_lines() => return None,
            Piece::NodeEntry(entry) => writer.entry(entry),
            Piece::Block(block) => block_in_line(writer, block)?,
        }
    }
    Some(())
}

fn block_in_line(writer: &mut Writer, block: &BlockText) -> Option<()> {
    writer.put(if block.hidden { "/-{" } else { "{" });
    if block.is_empty() {
        writer.put("}");
        return Some(());
    }
    if !block.flat {
        return None;
    }
    for (number, statement) in block.statements.iter().enumerate() {
        writer.put(if number == 0 { " " } else { "; " });
        node_in_line(writer, statement.node.as_ref()?)?;
        if writer.column > WIDEST {
            return None; // now, or nested blocks would be tried in full again and again
        }
    }
    writer.put(" }");
    Some(())
}

/// Blocks and the comments between them on one line, if possible.
fn flat(blocks: &[Piece]) -> Option<String> {
    let mut writer = Writer::default();
    for piece in blocks {
        writer.space();
        match piece {
            Piece::Block(block) => block_in_line(&mut writer, block)?,
            Piece::Comment(comment) if !comment.stands_alone() => writer.comment(*comment),
            _ => return None,
        }
    }
    Some(writer.out)
}

fn all_empty(blocks: &[Piece]) -> bool {
    blocks.iter().all(|piece| !matches!(piece, Piece::Block(block) if !block.is_empty()))
}

/// Whether a comment follows a one-line statement.
fn trails(statement: &Statement, line: Option<&String>) -> bool {
    let single = line.is_some() && statement.node.is_some();
    single
        && statement.after.split_last().is_some_and(|(last, others)| {
            last.ends_line() && others.iter().all(|comment| !comment.text.contains(is_newline))
        })
}

/// The column for comments of neighbouring lines; 0 to put them one space after their lines.
fn column(statements: &[Statement], lines: &[Option<String>], indent: usize) -> usize {
    let widths = lines.iter().flatten().map(|line| line.chars().count() + indent);
    let (Some(least), Some(most)) = (widths.clone().min(), widths.max()) else { return 0 };
    let longest = statements.iter().map(|one| one.after.iter().map(|one| one.text.chars().count() + 1).sum::<usize>());
    if most - least > GAP || most + longest.max().unwrap_or(0) > WIDEST { 0 } else { most + 1 }
}
