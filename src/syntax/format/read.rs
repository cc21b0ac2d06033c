//! From lexemes to statements: owners of comments, contents of a line. Knows nothing about the layout to come.
//!
//! Reads like `tree`, and relies on the tree's parser having found no mistakes.

use super::lexemes::{Comment, Lexeme, lexemes};
use crate::syntax::scan::is_newline;

/// A node with its comments, or comments alone, on lines of their own.
#[derive(Debug, Default)]
pub(super) struct Statement<'a> {
    /// Whether an empty line precedes it.
    pub(super) blank: bool,
    /// Comments before the node, on its line.
    pub(super) before: Vec<Comment<'a>>,
    pub(super) node: Option<NodeText<'a>>,
    /// Comments after the node, on its last line.
    pub(super) after: Vec<Comment<'a>>,
    /// Comments on lines of their own that continue the last one of `after`, in its column.
    pub(super) below: Vec<Comment<'a>>,
}

#[derive(Debug)]
pub(super) struct NodeText<'a> {
    /// Whether `/-` hides it.
    pub(super) hidden: bool,
    pub(super) name: &'a str,
    pub(super) pieces: Vec<Piece<'a>>,
}

/// What follows a node's name.
#[derive(Debug)]
pub(super) enum Piece<'a> {
    NodeEntry(EntryText<'a>),
    Comment(Comment<'a>),
    /// A line continuation.
    Break,
    Block(BlockText<'a>),
}

/// An argument, or a property if it has a key.
#[derive(Debug)]
pub(super) struct EntryText<'a> {
    pub(super) hidden: bool,
    pub(super) key: Option<&'a str>,
    pub(super) value: &'a str,
}

/// A block in braces.
#[derive(Debug)]
pub(super) struct BlockText<'a> {
    pub(super) hidden: bool,
    /// Comments on the line of the opening brace.
    pub(super) opening: Vec<Comment<'a>>,
    pub(super) statements: Vec<Statement<'a>>,
    /// Whether it was written on one line and contains no comment.
    pub(super) flat: bool,
}

impl EntryText<'_> {
    pub(super) fn has_lines(&self) -> bool {
        self.value.contains(is_newline) || self.key.is_some_and(|key| key.contains(is_newline))
    }
}

impl BlockText<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.opening.is_empty() && self.statements.is_empty()
    }
}

/// The statements of a text.
pub(super) fn read(text: &str) -> Vec<Statement<'_>> {
    let mut reader = StatementReader { lexemes: lexemes(text), at: 0, uneven: 0 };
    reader.statements(Level::Top).1
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Top,
    Block,
}

struct StatementReader<'a> {
    lexemes: Vec<Lexeme<'a>>,
    at: usize,
    /// Line ends and comments so far: a block within which they did not grow was written on one line, without comments.
    uneven: usize,
}

impl<'a> StatementReader<'a> {
    fn peek(&self) -> Option<Lexeme<'a>> {
        self.lexemes.get(self.at).copied()
    }

    fn next(&mut self) -> Option<Lexeme<'a>> {
        let lexeme = self.peek()?;
        self.at += 1;
        self.uneven += match lexeme {
            Lexeme::Newline | Lexeme::Continuation | Lexeme::Comment(_) => 1,
            Lexeme::Value(text) => usize::from(text.contains(is_newline)),
            _ => 0,
        };
        Some(lexeme)
    }

    /// The comments after an opening brace, and the statements up to the closing one (not consumed) or the end.
    fn statements(&mut self, level: Level) -> (Vec<Comment<'a>>, Vec<Statement<'a>>) {
        let mut opening = Vec::new();
        let mut found: Vec<Statement> = Vec::new();
        // Line ends since the last content; at the start of the text there is no line that a comment could trail.
        let mut lines = usize::from(level == Level::Top);
        let mut before: Vec<Comment> = Vec::new();
        loop {
            match self.peek() {
                None => break,
                Some(Lexeme::Close) if level == Level::Block => break,
                Some(Lexeme::Newline) => {
                    self.next();
                    lines += 1;
                    continue;
                }
                Some(Lexeme::Continuation) => {
                    self.next();
                    lines = lines.max(1);
                    continue;
                }
                Some(Lexeme::Comment(_)) => {
                    let mut run = std::mem::take(&mut before);
                    run.extend(self.comments_of_line());
                    let ended = run.last().is_some_and(|last| last.ends_line())
                        || matches!(self.peek(), None | Some(Lexeme::Newline | Lexeme::Close));
                    if !ended {
                        before = run; // a node follows
                        continue;
                    }
                    let last = found.last_mut();
                    if let Some(last) = last
                        && lines == 0
                        && last.node.is_some()
                        && !last.after.last().is_some_and(|last| last.ends_line())
                    {
                        last.after.extend(run);
                    } else if lines == 0 && found.is_empty() && self.peek() != Some(Lexeme::Close) {
                        opening.extend(run);
                    } else if let Some(last) = found.last_mut()
                        && lines == 1
                        && goes_on(last, &run)
                    {
                        last.below.extend(run);
                    } else {
                        alone(&mut found, run, lines > 1);
                    }
                }
                Some(Lexeme::Value(_) | Lexeme::SlashDash) => {
                    let hidden = self.hidden(&mut before);
                    let blank = lines > 1;
                    let head = in_line(&mut found, std::mem::take(&mut before), blank);
                    let Some(Lexeme::Value(name)) = self.peek() else { continue };
                    self.next();
                    let (pieces, mut after) = self.pieces();
                    let rest = after.iter().position(|comment| comment.ends_line()).map(|at| after.split_off(at + 1));
                    let blank = blank && head.1;
                    let node = NodeText { hidden, name, pieces };
                    let mut statement = Statement { blank, before: head.0, node: Some(node), after, below: Vec::new() };
                    let mut rest = rest.unwrap_or_default();
                    let going_on = rest.iter().position(|comment| !comment.ends_line()).unwrap_or(rest.len());
                    let others = rest.split_off(going_on);
                    statement.below = rest;
                    found.push(statement);
                    alone(&mut found, others, false);
                }
                Some(_) => {
                    self.next();
                    continue; // `;`, and anything unexpected
                }
            }
            lines = 0;
        }
        alone(&mut found, before, lines > 1);
        (opening, found)
    }

    /// Comments up to the end of the line, to one that ends the line, or to a node.
    fn comments_of_line(&mut self) -> Vec<Comment<'a>> {
        let mut run = Vec::new();
        while let Some(lexeme) = self.peek() {
            match lexeme {
                Lexeme::Comment(comment) => run.push(comment),
                Lexeme::Continuation => {}
                _ => break,
            }
            self.next();
            if run.last().is_some_and(|last| last.ends_line()) {
                break;
            }
        }
        run
    }

    /// Reads `/-`, if it is next, and anything between it and what it hides; comments go to `before`.
    fn hidden(&mut self, before: &mut Vec<Comment<'a>>) -> bool {
        if self.peek() != Some(Lexeme::SlashDash) {
            return false;
        }
        self.next();
        while let Some(lexeme) = self.peek() {
            match lexeme {
                Lexeme::Comment(comment) => before.push(comment),
                Lexeme::Newline | Lexeme::Continuation => {}
                _ => break,
            }
            self.next();
        }
        true
    }

    /// What follows a node's name, and the comments after its last piece.
    fn pieces(&mut self) -> (Vec<Piece<'a>>, Vec<Comment<'a>>) {
        let mut pieces = Vec::new();
        let mut broken = false;
        let mut had_block = false;
        while let Some(lexeme) = self.peek() {
            match lexeme {
                Lexeme::Comment(comment) => {
                    self.next();
                    // A line comment breaks the line by itself.
                    if broken && !comment.ends_line() {
                        pieces.push(Piece::Break);
                    }
                    broken = false;
                    pieces.push(Piece::Comment(comment));
                }
                Lexeme::Continuation => {
                    self.next();
                    broken = true;
                }
                Lexeme::Value(_) if !had_block => {
                    let mut comments = Vec::new();
                    let entry = self.entry(false, &mut comments);
                    push(&mut pieces, comments, &mut broken);
                    pieces.push(Piece::NodeEntry(entry));
                }
                Lexeme::SlashDash => {
                    let mut comments = Vec::new();
                    self.hidden(&mut comments);
                    let what = self.peek();
                    let entry = match what {
                        Some(Lexeme::Value(_)) => Some(self.entry(true, &mut comments)),
                        _ => None,
                    };
                    push(&mut pieces, comments, &mut broken);
                    pieces.extend(entry.map(Piece::NodeEntry));
                    if what == Some(Lexeme::Open) {
                        self.block(true, &mut pieces);
                        had_block = true;
                    }
                }
                Lexeme::Open => {
                    broken = false;
                    self.block(false, &mut pieces);
                    had_block = true;
                }
                _ => break,
            }
        }
        let last = pieces.iter().rposition(|piece| matches!(piece, Piece::NodeEntry(_) | Piece::Block(_)));
        let rest = pieces.split_off(last.map_or(0, |last| last + 1));
        let after = rest.into_iter().filter_map(|piece| if let Piece::Comment(one) = piece { Some(one) } else { None });
        (pieces, after.collect())
    }

    /// The entry that starts here; comments within it go to `comments`, to be placed before it.
    fn entry(&mut self, hidden: bool, comments: &mut Vec<Comment<'a>>) -> EntryText<'a> {
        let first = self.value();
        let equals =
            self.lexemes[self.at..].iter().find(|lexeme| !matches!(lexeme, Lexeme::Comment(_) | Lexeme::Continuation));
        if equals != Some(&Lexeme::Equals) {
            return EntryText { hidden, key: None, value: first };
        }
        while let Some(Lexeme::Comment(_) | Lexeme::Continuation | Lexeme::Equals) = self.peek() {
            if let Some(Lexeme::Comment(comment)) = self.next() {
                comments.push(comment);
            }
        }
        EntryText { hidden, key: Some(first), value: self.value() }
    }

    fn value(&mut self) -> &'a str {
        let Some(Lexeme::Value(text)) = self.peek() else { return "" };
        self.next();
        text
    }

    /// The block that starts here.
    fn block(&mut self, hidden: bool, pieces: &mut Vec<Piece<'a>>) {
        let mut opening = Vec::new();
        // A line comment before the brace moves behind it, or the brace would need a line of its own.
        while let Some(Piece::Comment(comment)) =
            pieces.pop_if(|last| matches!(last, Piece::Comment(one) if one.ends_line()))
        {
            opening.insert(0, comment);
        }
        let before = self.uneven;
        self.next();
        let (more, mut statements) = self.statements(Level::Block);
        let flat = self.uneven == before && opening.is_empty();
        if self.peek() == Some(Lexeme::Close) {
            self.next();
        }
        opening.extend(more);
        if let Some(at) = opening.iter().position(|comment| comment.stands_alone()) {
            let mut first = Vec::new();
            alone(&mut first, opening.split_off(at + 1), false);
            first.append(&mut statements);
            statements = first;
        }
        pieces.push(Piece::Block(BlockText { hidden, opening, statements, flat }));
    }
}

/// Whether a comment on its own line continues the last comment of the statement above.
fn goes_on(above: &Statement, run: &[Comment]) -> bool {
    let last = above.after.last().filter(|comment| comment.ends_line());
    matches!((last, run), (Some(last), [one]) if one.ends_line() && one.column == last.column)
}

/// Adds comments that belong to no node, one statement per line.
fn alone<'a>(found: &mut Vec<Statement<'a>>, comments: Vec<Comment<'a>>, mut blank: bool) {
    let mut line = Vec::new();
    let mut add = |before: Vec<Comment<'a>>| {
        found.push(Statement { blank, before, ..Statement::default() });
        blank = false;
    };
    for comment in comments {
        line.push(comment);
        if comment.stands_alone() {
            add(std::mem::take(&mut line));
        }
    }
    if !line.is_empty() {
        add(line);
    }
}

/// Splits the comments before a node: those that can stay on its line are returned, the others become statements. The second value
/// is whether there are no others.
fn in_line<'a>(
    found: &mut Vec<Statement<'a>>,
    mut comments: Vec<Comment<'a>>,
    blank: bool,
) -> (Vec<Comment<'a>>, bool) {
    let Some(last) = comments.iter().rposition(|comment| comment.stands_alone()) else { return (comments, true) };
    let stay = comments.split_off(last + 1);
    alone(found, comments, blank);
    (stay, false)
}

/// Adds comments from within an entry, after a preceding line break.
fn push<'a>(pieces: &mut Vec<Piece<'a>>, comments: Vec<Comment<'a>>, broken: &mut bool) {
    if std::mem::take(broken) && !comments.first().is_some_and(|first| first.ends_line()) {
        pieces.push(Piece::Break);
    }
    pieces.extend(comments.into_iter().map(Piece::Comment));
}
