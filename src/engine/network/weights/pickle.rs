//! Python pickles, read as a graph of values. Nothing is imported or called: a class or a function is represented by its name, and a call
//! by that name with its arguments. It knows no tensors.
//!
//! All values are stored in one list and refer to each other by index, so that nesting costs no stack, sharing no copies, and reading
//! takes linear time.

use std::collections::HashMap;

/// Index of a value in [`Pickle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Id(u32);

/// Maximum number of values and of collection members in a pickle. A state dictionary takes about 20 per tensor.
pub(super) const MOST: usize = 4_000_000;

/// Value of a pickle.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum PickleValue<'a> {
    /// `None`, a float, bytes, and anything else that describing a tensor does not need.
    Other,
    Bool(bool),
    Int(i64),
    Text(&'a str),
    /// Class or function: module and name.
    Global(&'a str, &'a str),
    Tuple(Vec<Id>),
    /// List or set.
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// Call of a class or function.
    Call(Box<PickledCall>),
    /// Reference to an object outside the pickle, by its description.
    Persistent(Id),
}

/// Call of a class or function, not executed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PickledCall {
    pub(super) by: Id,
    pub(super) arguments: Id,
    /// Items, if the result is a dictionary.
    pub(super) items: Vec<(Id, Id)>,
    pub(super) state: Option<Id>,
}

/// Parsed pickle.
pub(super) struct Pickle<'a> {
    values: Vec<PickleValue<'a>>,
    pub(super) root: Id,
}

impl<'a> Pickle<'a> {
    /// Parses a pickle of any protocol.
    ///
    /// # Errors
    /// A message if it is damaged or larger than [`MOST`].
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

    pub(super) fn get(&self, id: Id) -> &PickleValue<'a> {
        &self.values[id.0 as usize]
    }

    pub(super) fn text(&self, id: Id) -> Option<&'a str> {
        if let PickleValue::Text(text) = self.get(id) { Some(text) } else { None }
    }

    pub(super) fn int(&self, id: Id) -> Option<i64> {
        if let PickleValue::Int(int) = self.get(id) { Some(*int) } else { None }
    }

    pub(super) fn global(&self, id: Id) -> Option<(&'a str, &'a str)> {
        if let PickleValue::Global(module, name) = self.get(id) { Some((module, name)) } else { None }
    }

    pub(super) fn made(&self, id: Id) -> Option<&PickledCall> {
        if let PickleValue::Call(made) = self.get(id) { Some(made) } else { None }
    }

    /// Members of a tuple or list.
    pub(super) fn sequence(&self, id: Id) -> Option<&[Id]> {
        if let PickleValue::Tuple(all) | PickleValue::List(all) = self.get(id) { Some(all) } else { None }
    }

    /// Keys and values of a dictionary of any class.
    pub(super) fn items(&self, id: Id) -> Option<&[(Id, Id)]> {
        match self.get(id) {
            PickleValue::Dict(items) => Some(items),
            PickleValue::Call(made) if !made.items.is_empty() => Some(&made.items),
            _ => None,
        }
    }
}

/// Stack machine that executes a pickle.
struct Machine<'a> {
    rest: &'a [u8],
    values: Vec<PickleValue<'a>>,
    /// Collection members so far.
    members: usize,
    stack: Vec<Id>,
    /// Height of the stack at each open mark.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<'a> Machine<'a> {
    /// Executes one instruction; false after the last.
    fn step(&mut self) -> Result<bool, String> {
        let op = self.byte()?;
        match op {
            b'.' => return Ok(false),
            // PROTO, FRAME.
            0x80 => _ = self.take(1)?,
            0x95 => _ = self.take(8)?,
            // Constants.
            b'N' => self.push(PickleValue::Other)?,
            0x88 => self.push(PickleValue::Bool(true))?,
            0x89 => self.push(PickleValue::Bool(false))?,
            b'J' => {
                let int = i32::from_le_bytes(self.array()?);
                self.push(PickleValue::Int(int.into()))?;
            }
            b'K' => {
                let int = self.byte()?;
                self.push(PickleValue::Int(int.into()))?;
            }
            b'M' => {
                let int = u16::from_le_bytes(self.array()?);
                self.push(PickleValue::Int(int.into()))?;
            }
            0x8a | 0x8b => {
                let count = if op == 0x8a { u64::from(self.byte()?) } else { self.length4()? };
                let bytes = self.take(count)?;
                self.push(long(bytes).map_or(PickleValue::Other, PickleValue::Int))?;
            }
            b'G' => {
                self.take(8)?;
                self.push(PickleValue::Other)?;
            }
            b'I' | b'L' => {
                let line = self.line()?.trim_end_matches('L');
                self.push(match (op, line) {
                    (b'I', "00") => PickleValue::Bool(false),
                    (b'I', "01") => PickleValue::Bool(true),
                    _ => line.parse().map_or(PickleValue::Other, PickleValue::Int),
                })?;
            }
            b'F' => {
                self.line()?;
                self.push(PickleValue::Other)?;
            }
            // Texts: UNICODE, BINUNICODE, SHORT_BINUNICODE, BINUNICODE8, and those of Python 2.
            b'V' => {
                let line = self.line()?;
                self.push(PickleValue::Text(line))?;
            }
            b'S' => {
                let line = self.line()?;
                self.push(PickleValue::Text(line.trim_matches(['"', '\''])))?;
            }
            b'X' | 0x8c | 0x8d | b'T' | b'U' => {
                let count = match op {
                    0x8c | b'U' => u64::from(self.byte()?),
                    0x8d => u64::from_le_bytes(self.array()?),
                    _ => self.length4()?,
                };
                let text = str::from_utf8(self.take(count)?);
                self.push(text.map_or(PickleValue::Other, PickleValue::Text))?;
            }
            // Bytes.
            b'B' | b'C' | 0x8e | 0x96 => {
                let count = match op {
                    b'B' => self.length4()?,
                    b'C' => u64::from(self.byte()?),
                    _ => u64::from_le_bytes(self.array()?),
                };
                self.take(count)?;
                self.push(PickleValue::Other)?;
            }
            // Tuples.
            b')' => self.push(PickleValue::Tuple(Vec::new()))?,
            0x85..=0x87 => {
                let mut all = Vec::new();
                for _ in 0..op - 0x84 {
                    all.push(self.pop()?);
                }
                all.reverse();
                self.collect(PickleValue::Tuple(all))?;
            }
            b't' | 0x91 => {
                let all = self.since_mark()?;
                self.collect(PickleValue::Tuple(all))?;
            }
            // Lists and sets.
            b']' | 0x8f => self.push(PickleValue::List(Vec::new()))?,
            b'l' => {
                let all = self.since_mark()?;
                self.collect(PickleValue::List(all))?;
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
            b'}' => self.push(PickleValue::Dict(Vec::new()))?,
            b'd' => {
                let all = self.since_mark()?;
                self.collect(PickleValue::Dict(pairs(&all)?))?;
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
                self.push(PickleValue::Global(module, name))?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (PickleValue::Text(module), PickleValue::Text(name)) = (self.at(module), self.at(name)) else {
                    return Err("its pickle has a class whose name is not text".to_owned());
                };
                let global = PickleValue::Global(module, name);
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
                    self.push(PickleValue::Global(module, name))?;
                    self.pop()?
                } else if all.is_empty() {
                    return Err(EMPTY.to_owned());
                } else {
                    all.remove(0)
                };
                self.collect(PickleValue::Tuple(all))?;
                let arguments = self.pop()?;
                self.make(by, arguments)?;
            }
            b'b' => {
                let state = self.pop()?;
                let target = self.top()?;
                // The state of a plain dictionary or list is not one of its members.
                if let PickleValue::Call(made) = &mut self.values[target.0 as usize] {
                    made.state = Some(state);
                }
            }
            b'Q' => {
                let described = self.pop()?;
                self.push(PickleValue::Persistent(described))?;
            }
            b'P' => {
                let line = self.line()?;
                self.push(PickleValue::Text(line))?;
                let described = self.pop()?;
                self.push(PickleValue::Persistent(described))?;
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
            // The memo: PUT, BINPUT, LONG_BINPUT, MEMOIZE and the corresponding GETs.
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
            other => return Err(format!("its pickle has the instruction 0x{other:02x}, which is not supported")),
        }
        if self.stack.len() > MOST || self.marks.len() > MOST {
            return Err(too_large());
        }
        Ok(true)
    }

    fn at(&self, id: Id) -> &PickleValue<'a> {
        &self.values[id.0 as usize]
    }

    fn push(&mut self, value: PickleValue<'a>) -> Result<(), String> {
        if self.values.len() >= MOST {
            return Err(too_large());
        }
        self.stack.push(Id(self.values.len() as u32));
        self.values.push(value);
        Ok(())
    }

    /// Counts members before they are stored.
    fn count(&mut self, members: usize) -> Result<(), String> {
        self.members += members;
        if self.members > MOST { Err(too_large()) } else { Ok(()) }
    }

    fn collect(&mut self, value: PickleValue<'a>) -> Result<(), String> {
        self.count(match &value {
            PickleValue::Tuple(all) | PickleValue::List(all) => all.len(),
            PickleValue::Dict(items) => items.len(),
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
            PickleValue::List(all) => all.extend(new),
            PickleValue::Call(_) => {}
            _ => return Err("its pickle appends to a value that is not a list".to_owned()),
        }
        Ok(())
    }

    fn set(&mut self, new: &[(Id, Id)]) -> Result<(), String> {
        self.count(new.len())?;
        let target = self.top()?;
        match &mut self.values[target.0 as usize] {
            PickleValue::Dict(items) => items.extend(new),
            PickleValue::Call(made) => made.items.extend(new),
            _ => return Err("its pickle sets an item of a value that is not a dictionary".to_owned()),
        }
        Ok(())
    }

    /// Pushes a call; calls of Python's dictionary classes become dictionaries.
    fn make(&mut self, by: Id, arguments: Id) -> Result<(), String> {
        let dictionary = matches!(
            self.at(by),
            PickleValue::Global("collections", "OrderedDict" | "defaultdict")
                | PickleValue::Global("builtins" | "__builtin__", "dict")
        );
        if !dictionary {
            return self.push(PickleValue::Call(Box::new(PickledCall {
                by,
                arguments,
                items: Vec::new(),
                state: None,
            })));
        }
        // Old versions of Python pass the items as an argument: a list of pairs.
        let mut items = Vec::new();
        let given = if let PickleValue::Tuple(all) = self.at(arguments) { all.last().copied() } else { None };
        if let Some(PickleValue::List(all)) = given.map(|id| self.at(id)) {
            for pair in all {
                if let PickleValue::Tuple(pair) | PickleValue::List(pair) = self.at(*pair)
                    && let [key, value] = pair[..]
                {
                    items.push((key, value));
                }
            }
        } else if let Some(PickleValue::Dict(all)) = given.map(|id| self.at(id)) {
            items.clone_from(all);
        }
        self.collect(PickleValue::Dict(items))
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

    /// Takes the text up to and including the end of the line.
    fn line(&mut self) -> Result<&'a str, String> {
        let end = memchr::memchr(b'\n', self.rest).ok_or("its pickle ends too early")?;
        let line = self.take(end as u64)?;
        self.take(1)?;
        let line = str::from_utf8(line).map_err(|_| "its pickle has a name that is not UTF-8")?;
        Ok(line.trim_end_matches('\r'))
    }

    fn place(&mut self) -> Result<u32, String> {
        self.line()?.parse().map_err(|_| "its pickle refers to a value by something other than a number".to_owned())
    }
}

const EMPTY: &str = "its pickle takes a value from an empty stack";

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

/// Integer in little-endian two's complement; [`None`] if it takes more than 8 bytes.
fn long(bytes: &[u8]) -> Option<i64> {
    let negative = bytes.last().is_some_and(|last| *last >= 0x80);
    let mut whole = [if negative { 0xff } else { 0 }; 8];
    whole.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(i64::from_le_bytes(whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<PickleValue<'_>, String> {
        Pickle::read(bytes).map(|pickle| pickle.get(pickle.root).clone())
    }

    #[test]
    fn a_nest_of_millions_costs_no_stack() {
        let bytes = [b"\x80\x02K\x01".as_slice(), &vec![0x85; 3_000_000], b"."].concat();
        assert!(matches!(read(&bytes), Ok(PickleValue::Tuple(_))));
        let bytes = [b"\x80\x02".as_slice(), &vec![b'('; 3_000_000], &vec![b't'; 3_000_000], b"."].concat();
        assert!(matches!(read(&bytes), Ok(PickleValue::Tuple(_))));
        let bytes = [b"\x80\x02".as_slice(), &vec![b')'; MOST + 1], b"."].concat();
        assert_eq!(read(&bytes), Err("its pickle has more than 4000000 values".to_owned()));
    }

    #[test]
    fn shared_values_are_not_copied() {
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
    fn wrong_lengths_and_empty_stacks_are_rejected() {
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
            assert_eq!(read(bytes), Ok(PickleValue::Int(wanted)), "{bytes:?}");
        }
        assert_eq!(read(b"I01\n."), Ok(PickleValue::Bool(true)));
    }
}
