//! Python's pickles, read as a graph of values. Nothing is imported or called: a class or a function is its name, and a call is
//! that name with its arguments. It knows no tensors.
//!
//! All values lie in one list and name each other by their place in it, so that neither nesting nor sharing costs a stack or
//! a copy, and reading takes time linear in the bytes.

use std::collections::HashMap;

/// The place of a value in [`Pickle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Id(u32);

/// Values and members of collections in one pickle at most. A state dictionary takes some 20 for each tensor.
pub(super) const MOST: usize = 4_000_000;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value<'a> {
    /// `None`, a float, bytes, and whatever else a tensor's description does not need.
    Other,
    Bool(bool),
    Int(i64),
    Text(&'a str),
    /// A class or a function: module and name.
    Global(&'a str, &'a str),
    Tuple(Vec<Id>),
    /// A list or a set.
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// What a class or function would give for arguments.
    Made(Box<Made>),
    /// What lies outside the pickle, by its description.
    Persistent(Id),
}

/// What a class or function would give.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Made {
    pub(super) by: Id,
    pub(super) arguments: Id,
    /// Where it is a kind of dictionary.
    pub(super) items: Vec<(Id, Id)>,
    pub(super) state: Option<Id>,
}

/// A pickle that was read.
pub(super) struct Pickle<'a> {
    values: Vec<Value<'a>>,
    pub(super) root: Id,
}

impl<'a> Pickle<'a> {
    /// Reads a pickle of any protocol.
    ///
    /// # Errors
    /// In words, where it is damaged, or larger than [`MOST`].
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, String> {
        let mut machine = Machine {
            rest: bytes,
            values: Vec::new(),
            members: 0,
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
        };
        while machine.step()? {}
        let root = machine.pop()?;
        Ok(Self { values: machine.values, root })
    }

    pub(super) fn get(&self, id: Id) -> &Value<'a> {
        &self.values[id.0 as usize]
    }

    pub(super) fn text(&self, id: Id) -> Option<&'a str> {
        if let Value::Text(text) = self.get(id) { Some(text) } else { None }
    }

    pub(super) fn int(&self, id: Id) -> Option<i64> {
        if let Value::Int(int) = self.get(id) { Some(*int) } else { None }
    }

    pub(super) fn global(&self, id: Id) -> Option<(&'a str, &'a str)> {
        if let Value::Global(module, name) = self.get(id) { Some((module, name)) } else { None }
    }

    pub(super) fn made(&self, id: Id) -> Option<&Made> {
        if let Value::Made(made) = self.get(id) { Some(made) } else { None }
    }

    /// The members of a tuple or list.
    pub(super) fn sequence(&self, id: Id) -> Option<&[Id]> {
        if let Value::Tuple(all) | Value::List(all) = self.get(id) { Some(all) } else { None }
    }

    /// Keys and values of a dictionary, of whatever class.
    pub(super) fn items(&self, id: Id) -> Option<&[(Id, Id)]> {
        match self.get(id) {
            Value::Dict(items) => Some(items),
            Value::Made(made) if !made.items.is_empty() => Some(&made.items),
            _ => None,
        }
    }
}

/// The machine that a pickle is a program of.
struct Machine<'a> {
    rest: &'a [u8],
    values: Vec<Value<'a>>,
    /// Members of collections so far.
    members: usize,
    stack: Vec<Id>,
    /// How high the stack was at each mark that is open.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<'a> Machine<'a> {
    /// One instruction; false after the last.
    fn step(&mut self) -> Result<bool, String> {
        let op = self.byte()?;
        match op {
            b'.' => return Ok(false),
            // PROTO, FRAME.
            0x80 => _ = self.take(1)?,
            0x95 => _ = self.take(8)?,
            // Constants.
            b'N' => self.push(Value::Other)?,
            0x88 => self.push(Value::Bool(true))?,
            0x89 => self.push(Value::Bool(false))?,
            b'J' => {
                let int = i32::from_le_bytes(self.array()?);
                self.push(Value::Int(int.into()))?;
            }
            b'K' => {
                let int = self.byte()?;
                self.push(Value::Int(int.into()))?;
            }
            b'M' => {
                let int = u16::from_le_bytes(self.array()?);
                self.push(Value::Int(int.into()))?;
            }
            0x8a | 0x8b => {
                let count = if op == 0x8a { u64::from(self.byte()?) } else { self.length4()? };
                let bytes = self.take(count)?;
                self.push(long(bytes).map_or(Value::Other, Value::Int))?;
            }
            b'G' => {
                self.take(8)?;
                self.push(Value::Other)?;
            }
            b'I' | b'L' => {
                let line = self.line()?.trim_end_matches('L');
                self.push(match (op, line) {
                    (b'I', "00") => Value::Bool(false),
                    (b'I', "01") => Value::Bool(true),
                    _ => line.parse().map_or(Value::Other, Value::Int),
                })?;
            }
            b'F' => {
                self.line()?;
                self.push(Value::Other)?;
            }
            // Texts: UNICODE, BINUNICODE, SHORT_BINUNICODE, BINUNICODE8, and those of Python 2.
            b'V' => {
                let line = self.line()?;
                self.push(Value::Text(line))?;
            }
            b'S' => {
                let line = self.line()?;
                self.push(Value::Text(line.trim_matches(['"', '\''])))?;
            }
            b'X' | 0x8c | 0x8d | b'T' | b'U' => {
                let count = match op {
                    0x8c | b'U' => u64::from(self.byte()?),
                    0x8d => u64::from_le_bytes(self.array()?),
                    _ => self.length4()?,
                };
                let text = str::from_utf8(self.take(count)?);
                self.push(text.map_or(Value::Other, Value::Text))?;
            }
            // Bytes.
            b'B' | b'C' | 0x8e | 0x96 => {
                let count = match op {
                    b'B' => self.length4()?,
                    b'C' => u64::from(self.byte()?),
                    _ => u64::from_le_bytes(self.array()?),
                };
                self.take(count)?;
                self.push(Value::Other)?;
            }
            // Tuples.
            b')' => self.push(Value::Tuple(Vec::new()))?,
            0x85..=0x87 => {
                let mut all = Vec::new();
                for _ in 0..op - 0x84 {
                    all.push(self.pop()?);
                }
                all.reverse();
                self.collect(Value::Tuple(all))?;
            }
            b't' | 0x91 => {
                let all = self.since_mark()?;
                self.collect(Value::Tuple(all))?;
            }
            // Lists and sets.
            b']' | 0x8f => self.push(Value::List(Vec::new()))?,
            b'l' => {
                let all = self.since_mark()?;
                self.collect(Value::List(all))?;
            }
            b'a' => {
                let one = self.pop()?;
                self.extend(&[one])?;
            }
            b'e' | 0x90 => {
                let all = self.since_mark()?;
                self.extend(&all)?;
            }
            // Dictionaries.
            b'}' => self.push(Value::Dict(Vec::new()))?,
            b'd' => {
                let all = self.since_mark()?;
                self.collect(Value::Dict(pairs(&all)?))?;
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set(&[(key, value)])?;
            }
            b'u' => {
                let all = self.since_mark()?;
                self.set(&pairs(&all)?)?;
            }
            // Classes and what they make.
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Value::Global(module, name))?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Value::Text(module), Value::Text(name)) = (self.at(module), self.at(name)) else {
                    return Err("its pickle names a class by no text".to_owned());
                };
                let global = Value::Global(module, name);
                self.push(global)?;
            }
            b'R' | 0x81 => {
                let arguments = self.pop()?;
                let by = self.pop()?;
                self.make(by, arguments)?;
            }
            0x92 => {
                let _named = self.pop()?;
                let arguments = self.pop()?;
                let by = self.pop()?;
                self.make(by, arguments)?;
            }
            b'i' | b'o' => {
                let mut all = self.since_mark()?;
                let by = if op == b'i' {
                    let (module, name) = (self.line()?, self.line()?);
                    self.push(Value::Global(module, name))?;
                    self.pop()?
                } else if all.is_empty() {
                    return Err(EMPTY.to_owned());
                } else {
                    all.remove(0)
                };
                self.collect(Value::Tuple(all))?;
                let arguments = self.pop()?;
                self.make(by, arguments)?;
            }
            b'b' => {
                let state = self.pop()?;
                let target = self.top()?;
                // What a plain dictionary or list is given beside its members is no member.
                if let Value::Made(made) = &mut self.values[target.0 as usize] {
                    made.state = Some(state);
                }
            }
            b'Q' => {
                let described = self.pop()?;
                self.push(Value::Persistent(described))?;
            }
            b'P' => {
                let line = self.line()?;
                self.push(Value::Text(line))?;
                let described = self.pop()?;
                self.push(Value::Persistent(described))?;
            }
            // The stack.
            b'(' => self.marks.push(self.stack.len()),
            b'0' => {
                if self.pop().is_err() && self.marks.pop().is_none() {
                    return Err(EMPTY.to_owned());
                }
            }
            b'1' => _ = self.since_mark()?,
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            // What is remembered: PUT, BINPUT, LONG_BINPUT, MEMOIZE and the ways back.
            b'p' | b'q' | b'r' | 0x94 => {
                let place = match op {
                    b'p' => self.place()?,
                    b'q' => self.byte()?.into(),
                    b'r' => u32::from_le_bytes(self.array()?),
                    _ => self.memo.len() as u32,
                };
                let top = self.top()?;
                self.memo.insert(place, top);
            }
            b'g' | b'h' | b'j' => {
                let place = match op {
                    b'g' => self.place()?,
                    b'h' => self.byte()?.into(),
                    _ => u32::from_le_bytes(self.array()?),
                };
                let id = self.memo.get(&place).ok_or("its pickle refers to a value that it does not hold")?;
                self.stack.push(*id);
            }
            other => return Err(format!("its pickle has the instruction 0x{other:02x}, which is not read")),
        }
        if self.stack.len() > MOST || self.marks.len() > MOST {
            return Err(too_large());
        }
        Ok(true)
    }

    fn at(&self, id: Id) -> &Value<'a> {
        &self.values[id.0 as usize]
    }

    fn push(&mut self, value: Value<'a>) -> Result<(), String> {
        if self.values.len() >= MOST {
            return Err(too_large());
        }
        self.stack.push(Id(self.values.len() as u32));
        self.values.push(value);
        Ok(())
    }

    /// Counts members before they are kept.
    fn count(&mut self, members: usize) -> Result<(), String> {
        self.members += members;
        if self.members > MOST { Err(too_large()) } else { Ok(()) }
    }

    fn collect(&mut self, value: Value<'a>) -> Result<(), String> {
        self.count(match &value {
            Value::Tuple(all) | Value::List(all) => all.len(),
            Value::Dict(items) => items.len(),
            _ => 0,
        })?;
        self.push(value)
    }

    fn pop(&mut self) -> Result<Id, String> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor { Err(EMPTY.to_owned()) } else { self.stack.pop().ok_or(EMPTY.to_owned()) }
    }

    fn top(&self) -> Result<Id, String> {
        self.stack.last().copied().ok_or(EMPTY.to_owned())
    }

    fn since_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().ok_or(EMPTY)?;
        // A mark is never above the stack: `pop` stops there.
        Ok(self.stack.split_off(mark))
    }

    fn extend(&mut self, new: &[Id]) -> Result<(), String> {
        self.count(new.len())?;
        let target = self.top()?;
        match &mut self.values[target.0 as usize] {
            Value::List(all) => all.extend(new),
            Value::Made(_) => {}
            _ => return Err("its pickle appends to what is not a list".to_owned()),
        }
        Ok(())
    }

    fn set(&mut self, new: &[(Id, Id)]) -> Result<(), String> {
        self.count(new.len())?;
        let target = self.top()?;
        match &mut self.values[target.0 as usize] {
            Value::Dict(items) => items.extend(new),
            Value::Made(made) => made.items.extend(new),
            _ => return Err("its pickle sets an item of what is not a dictionary".to_owned()),
        }
        Ok(())
    }

    /// Python's own dictionaries are read as such.
    fn make(&mut self, by: Id, arguments: Id) -> Result<(), String> {
        let dictionary = matches!(
            self.at(by),
            Value::Global("collections", "OrderedDict" | "defaultdict")
                | Value::Global("builtins" | "__builtin__", "dict")
        );
        if !dictionary {
            return self.push(Value::Made(Box::new(Made { by, arguments, items: Vec::new(), state: None })));
        }
        // Old versions of Python give the items as an argument: a list of pairs.
        let mut items = Vec::new();
        let given = if let Value::Tuple(all) = self.at(arguments) { all.last().copied() } else { None };
        if let Some(Value::List(all)) = given.map(|id| self.at(id)) {
            for pair in all {
                if let Value::Tuple(pair) | Value::List(pair) = self.at(*pair)
                    && let [key, value] = pair[..]
                {
                    items.push((key, value));
                }
            }
        } else if let Some(Value::Dict(all)) = given.map(|id| self.at(id)) {
            items.clone_from(all);
        }
        self.collect(Value::Dict(items))
    }

    fn take(&mut self, count: u64) -> Result<&'a [u8], String> {
        let taken = usize::try_from(count).ok().and_then(|count| self.rest.split_at_checked(count));
        let (taken, rest) = taken.ok_or("its pickle ends too early")?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let taken = self.take(N as u64)?;
        taken.try_into().map_err(|_| "its pickle ends too early".to_owned())
    }

    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.array::<1>()?[0])
    }

    fn length4(&mut self) -> Result<u64, String> {
        Ok(u32::from_le_bytes(self.array()?).into())
    }

    /// The text up to the end of the line, which is taken too.
    fn line(&mut self) -> Result<&'a str, String> {
        let end = memchr::memchr(b'\n', self.rest).ok_or("its pickle ends too early")?;
        let line = self.take(end as u64)?;
        self.take(1)?;
        let line = str::from_utf8(line).map_err(|_| "its pickle has a name that is not UTF-8")?;
        Ok(line.trim_end_matches('\r'))
    }

    fn place(&mut self) -> Result<u32, String> {
        self.line()?.parse().map_err(|_| "its pickle refers to a value by no number".to_owned())
    }
}

const EMPTY: &str = "its pickle takes a value where there is none";

fn too_large() -> String {
    format!("its pickle has more than {MOST} values")
}

fn pairs(all: &[Id]) -> Result<Vec<(Id, Id)>, String> {
    let (pairs, rest) = all.as_chunks();
    if !rest.is_empty() {
        return Err("its pickle has a key without a value".to_owned());
    }
    Ok(pairs.iter().map(|[key, value]| (*key, *value)).collect())
}

/// A whole number in little-endian two's complement; none where it takes more than 8 bytes.
fn long(bytes: &[u8]) -> Option<i64> {
    let negative = bytes.last().is_some_and(|last| *last >= 0x80);
    let mut whole = [if negative { 0xff } else { 0 }; 8];
    whole.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(i64::from_le_bytes(whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Value<'_>, String> {
        Pickle::read(bytes).map(|pickle| pickle.get(pickle.root).clone())
    }

    #[test]
    fn a_nest_of_millions_costs_no_stack() {
        let bytes = [b"\x80\x02K\x01".as_slice(), &vec![0x85; 3_000_000], b"."].concat();
        assert!(matches!(read(&bytes), Ok(Value::Tuple(_))));
        let bytes = [b"\x80\x02".as_slice(), &vec![b'('; 3_000_000], &vec![b't'; 3_000_000], b"."].concat();
        assert!(matches!(read(&bytes), Ok(Value::Tuple(_))));
        let bytes = [b"\x80\x02".as_slice(), &vec![b')'; MOST + 1], b"."].concat();
        assert_eq!(read(&bytes), Err("its pickle has more than 4000000 values".to_owned()));
    }

    #[test]
    fn what_is_shared_is_not_copied() {
        // Each list holds the one before it twice: as a tree it would have 2^200,000 leaves.
        let mut bytes = b"\x80\x02]q\x00".to_vec();
        bytes.extend(b"(h\x00h\x00lq\x00".repeat(200_000));
        bytes.push(b'.');
        let pickle = Pickle::read(&bytes).expect("a pickle");
        assert!(pickle.values.len() < 300_000, "{}", pickle.values.len());
    }

    #[test]
    fn copies_of_a_dictionary_are_counted() {
        // A dictionary of 1,000 items, copied into an `OrderedDict` 10,000 times.
        let mut bytes = b"\x80\x02}q\x00(".to_vec();
        bytes.extend(b"K\x01K\x02".repeat(1000));
        bytes.extend(b"u0ccollections\nOrderedDict\nq\x010");
        bytes.extend(b"h\x01h\x00\x85R0".repeat(10_000));
        bytes.extend(b"N.");
        assert_eq!(read(&bytes), Err("its pickle has more than 4000000 values".to_owned()));
    }

    #[test]
    fn lengths_that_lie_and_stacks_that_are_empty_are_refused() {
        for bytes in [
            b"X\xff\xff\xff\xffa.".as_slice(),
            b"\x8d\xff\xff\xff\xff\xff\xff\xff\xffa.",
            b"\x8b\xff\xff\xff\xff.",
            b"cabc",
            b"R.",
            b"(R.",
            b"t.",
            b".",
            b"K\x01K\x02s.",
            b"}K\x01K\x02K\x03u.",
            b"h\x07.",
            b"\x82\x01.",
        ] {
            assert!(read(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn numbers_are_read_in_all_their_forms() {
        let cases: [(&[u8], i64); 8] = [
            (b"K\xff.", 255),
            (b"M\xff\xff.", 65_535),
            (b"J\xff\xff\xff\xff.", -1),
            (b"\x8a\x00.", 0),
            (b"\x8a\x01\xff.", -1),
            (b"\x8a\x05\x00\x00\x00\x00\x01.", 1 << 32),
            (b"I12\n.", 12),
            (b"L34L\n.", 34),
        ];
        for (bytes, wanted) in cases {
            assert_eq!(read(bytes), Ok(Value::Int(wanted)), "{bytes:?}");
        }
        assert_eq!(read(b"I01\n."), Ok(Value::Bool(true)));
    }
}
