//! The pickle of a state dictionary, read as data.
//!
//! A pickle is a program for a small stack machine, and Python's machine can call any function that the program names;
//! that is how a downloaded model takes over a computer. This machine has the instructions that `torch.save` emits
//! (protocol 2) and no others, the names in [`GLOBALS`] and no others, and `REDUCE` — Python's call — only *describes*:
//! an ordered dictionary is a dictionary, a rebuilt tensor is its storage, offset, shape and strides. Whatever else a
//! file names is an error with its place.
//!
//! Objects live in one arena and refer to each other by number, so a cycle is harmless, nothing recurses, and every
//! instruction costs time in proportion to its own bytes. Memory is bounded by the pickle's length, which its caller
//! bounds.

mod globals;
mod state_dict;

pub(super) use state_dict::{StorageEntry, TensorEntry, state_dict};

use super::Fault;
use gguf::Shown;
use globals::{GLOBALS, Global, StorageType};
use std::collections::HashMap;

/// Python's pickler pushes at most a thousand pairs before it stores them; a tuple has a handful of items.
const MAX_STACK: usize = 1 << 16;
/// Marks nest where tuples of more than three items nest: twice in a state dictionary.
const MAX_MARKS: usize = 1 << 10;

#[derive(Clone, Copy, Debug)]
enum Value<'a> {
    None,
    Bool,
    Float,
    Int(i64),
    Str(&'a str),
    Global(Global),
    Object(usize),
}

#[derive(Debug)]
enum Object<'a> {
    Tuple(Vec<Value<'a>>),
    List(Vec<Value<'a>>),
    Dict(Vec<[Value<'a>; 2]>),
    Storage(StorageEntry<'a>),
    Tensor(TensorEntry<'a>),
}

struct Machine<'a> {
    pickle: &'a [u8],
    /// The next byte.
    at: usize,
    /// The instruction that runs: the place of an error.
    op_at: usize,
    stack: Vec<Value<'a>>,
    marks: Vec<usize>,
    memo: HashMap<u32, Value<'a>>,
    objects: Vec<Object<'a>>,
}

impl<'a> Machine<'a> {
    fn new(pickle: &'a [u8]) -> Self {
        let (stack, marks, memo, objects) = Default::default();
        Self { pickle, at: 0, op_at: 0, stack, marks, memo, objects }
    }

    fn fault(&self, problem: impl Into<String>) -> Fault {
        Fault::new(self.op_at, "pickle", problem)
    }

    /// Runs to the end; what the pickle stands for.
    fn run(&mut self) -> Result<Value<'a>, Fault> {
        if self.take::<2>()? != [0x80, 2] {
            return Err(self.fault("it does not begin with protocol 2, which torch.save writes"));
        }
        loop {
            self.op_at = self.at;
            let [op] = self.take()?;
            match op {
                b'.' => return self.pop(),
                b'(' if self.marks.len() >= MAX_MARKS => return Err(self.fault("it nests too deeply")),
                b'(' => self.marks.push(self.stack.len()),
                b'N' => self.push(Value::None)?,
                0x88 | 0x89 => self.push(Value::Bool)?,
                b'J' => {
                    let int = i32::from_le_bytes(self.take()?);
                    self.push(Value::Int(int.into()))?;
                }
                b'K' => {
                    let int = u8::from_le_bytes(self.take()?);
                    self.push(Value::Int(int.into()))?;
                }
                b'M' => {
                    let int = u16::from_le_bytes(self.take()?);
                    self.push(Value::Int(int.into()))?;
                }
                0x8a => self.long()?,
                b'G' => {
                    self.take::<8>()?;
                    self.push(Value::Float)?;
                }
                b'X' => {
                    let n = u32::from_le_bytes(self.take()?);
                    let text = self.slice(n as usize)?;
                    let text = str::from_utf8(text).map_err(|_| self.fault("a string is not UTF-8"))?;
                    self.push(Value::Str(text))?;
                }
                b'c' => self.global()?,
                b')' => self.make(Object::Tuple(Vec::new()))?,
                b']' => self.make(Object::List(Vec::new()))?,
                b'}' => self.make(Object::Dict(Vec::new()))?,
                0x85..=0x87 => {
                    let first =
                        self.stack.len().checked_sub(usize::from(op - 0x84)).filter(|&at| at >= self.floor());
                    let first = first.ok_or_else(|| self.fault("a tuple has more items than were pushed"))?;
                    let items = self.stack.split_off(first);
                    self.make(Object::Tuple(items))?;
                }
                b't' => {
                    let items = self.pop_to_mark()?;
                    self.make(Object::Tuple(items))?;
                }
                b'a' => {
                    let item = self.pop()?;
                    self.append(vec![item])?;
                }
                b'e' => {
                    let items = self.pop_to_mark()?;
                    self.append(items)?;
                }
                b's' => {
                    let value = self.pop()?;
                    let key = self.pop()?;
                    self.set_items(&[key, value])?;
                }
                b'u' => {
                    let items = self.pop_to_mark()?;
                    self.set_items(&items)?;
                }
                b'q' => {
                    let [key] = self.take()?;
                    self.remember(key.into())?;
                }
                b'r' => {
                    let key = u32::from_le_bytes(self.take()?);
                    self.remember(key)?;
                }
                b'h' => {
                    let [key] = self.take()?;
                    self.recall(key.into())?;
                }
                b'j' => {
                    let key = u32::from_le_bytes(self.take()?);
                    self.recall(key)?;
                }
                b'Q' => {
                    let id = self.pop()?;
                    let storage = self.storage(id)?;
                    self.make(Object::Storage(storage))?;
                }
                b'R' => self.reduce()?,
                b'b' => {
                    // A module's dictionary carries attributes (`_metadata`: versions) that have no numbers.
                    self.pop()?;
                    self.top_dict()?;
                }
                _ => return Err(self.fault(format!("instruction {op:#04x} is none that torch.save writes"))),
            }
        }
    }

    fn slice(&mut self, n: usize) -> Result<&'a [u8], Fault> {
        let rest = &self.pickle[self.at..];
        let taken = rest
            .get(..n)
            .ok_or_else(|| self.fault(format!("{n} bytes are announced, {} left", rest.len())))?;
        self.at += n;
        Ok(taken)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        Ok(*self.slice(N)?.first_chunk().expect("the slice has N bytes"))
    }

    fn push(&mut self, value: Value<'a>) -> Result<(), Fault> {
        if self.stack.len() >= MAX_STACK {
            return Err(self.fault("it pushes more values than any checkpoint needs"));
        }
        self.stack.push(value);
        Ok(())
    }

    fn make(&mut self, object: Object<'a>) -> Result<(), Fault> {
        self.objects.push(object);
        self.push(Value::Object(self.objects.len() - 1))
    }

    /// Values below the last mark belong to someone else.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Result<Value<'a>, Fault> {
        let value = (self.stack.len() > self.floor()).then(|| self.stack.pop()).flatten();
        value.ok_or_else(|| self.fault("the stack is empty"))
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value<'a>>, Fault> {
        let mark = self.marks.pop().ok_or_else(|| self.fault("no mark was set"))?;
        Ok(self.stack.split_off(mark))
    }

    fn remember(&mut self, key: u32) -> Result<(), Fault> {
        let value = self.pop()?;
        self.memo.insert(key, value);
        self.push(value)
    }

    fn recall(&mut self, key: u32) -> Result<(), Fault> {
        let value = self.memo.get(&key).copied();
        self.push(value.ok_or_else(|| self.fault(format!("value {key} was never remembered")))?)
    }

    /// A length, then a little-endian two's complement integer. Sizes fit eight bytes.
    fn long(&mut self) -> Result<(), Fault> {
        let [n] = self.take()?;
        let digits = self.slice(n.into())?;
        if digits.len() > 8 {
            return Err(self.fault("an integer does not fit 64 bits"));
        }
        let negative = digits.last().is_some_and(|last| last & 0x80 != 0);
        let mut bytes = if negative { [0xff; 8] } else { [0; 8] };
        bytes[..digits.len()].copy_from_slice(digits);
        self.push(Value::Int(i64::from_le_bytes(bytes)))
    }

    /// Two lines: a module and a name in it.
    fn global(&mut self) -> Result<(), Fault> {
        let mut lines = [""; 2];
        for line in &mut lines {
            let n = self.pickle[self.at..].iter().position(|&byte| byte == b'\n');
            let text = self.slice(n.ok_or_else(|| self.fault("a name does not end"))?)?;
            *line = str::from_utf8(text).map_err(|_| self.fault("a name is not UTF-8"))?;
            self.at += 1;
        }
        let [module, name] = lines;
        match GLOBALS.iter().find(|global| (global.0, global.1) == (module, name)) {
            Some(&(_, _, global)) => self.push(Value::Global(global)),
            None => {
                let (module, name) = (Shown(module), Shown(name));
                Err(self.fault(format!(
                    "it names `{module}.{name}`, which no checkpoint of weights needs and which PyTorch might call; the \
                     file may be malicious. Nothing of it was run"
                )))
            }
        }
    }

    fn append(&mut self, items: Vec<Value<'a>>) -> Result<(), Fault> {
        match self.stack.last() {
            Some(&Value::Object(at)) if let Object::List(list) = &mut self.objects[at] => list.extend(items),
            _ => return Err(self.fault("it appends to what is no list")),
        }
        Ok(())
    }

    fn set_items(&mut self, items: &[Value<'a>]) -> Result<(), Fault> {
        let (pairs, rest) = items.as_chunks();
        if !rest.is_empty() {
            return Err(self.fault("a key has no value"));
        }
        self.top_dict()?.extend(pairs);
        Ok(())
    }

    fn top_dict(&mut self) -> Result<&mut Vec<[Value<'a>; 2]>, Fault> {
        let fault = self.fault("a dictionary is expected here");
        match self.stack.last() {
            Some(&Value::Object(at)) if let Object::Dict(dict) = &mut self.objects[at] => Ok(dict),
            _ => Err(fault),
        }
    }

    fn tuple(&self, value: Value<'a>) -> Result<&[Value<'a>], Fault> {
        match value {
            Value::Object(at) if let Object::Tuple(items) = &self.objects[at] => Ok(items),
            _ => Err(self.fault("a tuple is expected here")),
        }
    }

    /// Python's call: what the callee would have made, as a description.
    fn reduce(&mut self) -> Result<(), Fault> {
        let arguments = self.pop()?;
        let callee = self.pop()?;
        match callee {
            Value::Global(Global::OrderedDict) if self.tuple(arguments)?.is_empty() => {
                self.make(Object::Dict(Vec::new()))
            }
            Value::Global(Global::RebuildTensor) => {
                let tensor = self.tensor(arguments)?;
                self.make(Object::Tensor(tensor))
            }
            // A parameter is its tensor.
            Value::Global(Global::RebuildParameter) if let Some(&tensor) = self.tuple(arguments)?.first() => {
                self.push(tensor)
            }
            _ => Err(self.fault("it calls what cannot be called")),
        }
    }
}
