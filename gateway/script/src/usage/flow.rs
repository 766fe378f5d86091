//! Follows values through a function: which register holds a global, a field of one, or a constant text.
//!
//! One pass over the instructions. Where paths meet, only what all of them agree on stays known; at the head of a loop, only
//! what the loop does not write. So what is known is certain, apart from exotic uses of `goto`.

use std::collections::HashMap;
use std::rc::Rc;

use super::bytecode::{Constant, Dump, Instruction, Prototype, op};
use super::{Care, Use, What};

/// Registers of a function in LuaJIT.
const REGISTERS: usize = 256;
/// Places ahead for which a state is kept: real functions have some dozens at once.
const PENDING_LIMIT: usize = 4096;
/// Longest name that is followed: `ngx.shared.name.method` and the like are far below.
const PATH_LIMIT: usize = 200;

#[derive(Debug, Clone, PartialEq)]
enum Value {
    /// A global, or a field of one: `ngx`, `ngx.req`.
    Path(Rc<str>),
    Text(Rc<str>),
}

type State = Vec<Option<Value>>;

/// What the functions of a dump name.
pub(super) fn uses(dump: &Dump) -> Vec<Use> {
    let mut uses = Vec::new();
    let Some(chunk) = dump.prototypes.len().checked_sub(1) else { return uses };
    let mut open = vec![(chunk, Vec::new(), false)];
    while let Some((index, upvalues, is_inner)) = open.pop() {
        let Some(prototype) = dump.prototypes.get(index) else { continue };
        let mut walk = Walk {
            prototype,
            frame: dump.frame,
            upvalues,
            is_inner,
            state: vec![None; REGISTERS],
            pending: HashMap::new(),
            uses: &mut uses,
            inner: Vec::new(),
        };
        walk.run();
        let inner = std::mem::take(&mut walk.inner);
        for (inner, state) in inner {
            let Some(function) = dump.prototypes.get(inner) else { continue };
            let upvalues = function.upvalues.iter().map(|upvalue| match upvalue.is_local() {
                true => state.get(upvalue.index()).cloned().flatten().filter(|_| upvalue.is_immutable()),
                false => walk.upvalues.get(upvalue.index()).cloned().flatten(),
            });
            let upvalues = upvalues.collect();
            open.push((inner, upvalues, true));
        }
    }
    uses.sort_by_key(|one| one.line);
    uses
}

struct Walk<'w> {
    prototype: &'w Prototype,
    frame: usize,
    upvalues: State,
    is_inner: bool,
    state: State,
    /// What is known at places that jumps lead to.
    pending: HashMap<usize, State>,
    uses: &'w mut Vec<Use>,
    /// Functions that are made, with the registers at that moment.
    inner: Vec<(usize, Rc<State>)>,
}

/// Registers that an instruction writes, as the first one and how many.
fn written(instruction: Instruction) -> (usize, usize) {
    let (a, results) = (instruction.a(), instruction.b().saturating_sub(1));
    match instruction.code() {
        op::ISTC | op::ISFC => (a, 1),
        op::MOV..=43 | op::UGET | op::FNEW..=op::GGET | 56..=59 => (a, 1),
        op::KNIL => (a, (instruction.d() + 1).saturating_sub(a)),
        op::CALLM | op::CALL | op::ITERC | op::ITERN | op::VARG => (a, results.max(1)),
        op::FORI..=op::JFORL => (a, 4),
        op::ITERL..=op::JITERL => (a.saturating_sub(1), 1),
        _ => (a, 0),
    }
}

impl Walk<'_> {
    fn run(&mut self) {
        let code = &self.prototype.instructions;
        let (writes, loops) = (writes(code), loops(code));
        // Whether the instruction before leads to this one.
        let mut arrives = true;
        // Of a jump that nothing passes: where it stood, where it led, and what was known.
        let mut left: Option<(usize, State)> = None;
        let mut is_decided = false;
        for (at, instruction) in code.iter().enumerate() {
            let from_jumps = self.pending.remove(&at);
            match from_jumps {
                Some(state) if arrives => meet(&mut self.state, &state),
                Some(state) => self.state = state,
                None if arrives => {}
                None => match (left.take(), loops.get(&at)) {
                    // The body of a loop whose end is jumped to first.
                    (Some((target, state)), Some(end)) if (at..=*end).contains(&target) => self.state = state,
                    _ => self.state.fill(None),
                },
            }
            if let Some(end) = loops.get(&at) {
                for (known, writes) in self.state.iter_mut().zip(&writes) {
                    let first = writes.partition_point(|place| *place < at);
                    if writes.get(first).is_some_and(|place| place <= end) {
                        *known = None;
                    }
                }
            }
            let next = code.get(at + 1).copied();
            self.step(at, *instruction, next);
            let target = instruction.target(at);
            arrives = match instruction.code() {
                op::JMP if is_decided => {
                    // A comparison that copies does so only if it jumps.
                    let copies = at.checked_sub(1).and_then(|before| code.get(before)).copied();
                    let copies = copies.filter(|before| matches!(before.code(), op::ISTC | op::ISFC));
                    self.jump(at, target, copies);
                    true
                }
                op::JMP | op::ISNEXT | op::UCLO => {
                    self.jump(at, target, None);
                    left = target.map(|target| (target, self.state.clone()));
                    false
                }
                op::FORI..=op::JFORI | op::FORL..=op::JFORL | op::ITERL..=op::JITERL => {
                    self.jump(at, target, None);
                    true
                }
                op::CALLMT | op::CALLT | op::RETM..=op::RET1 => false,
                _ => true,
            };
            is_decided = instruction.code() <= op::LAST_COMPARISON;
        }
    }

    fn jump(&mut self, at: usize, target: Option<usize>, copies: Option<Instruction>) {
        let Some(target) = target.filter(|target| *target > at) else { return };
        let mut state = self.state.clone();
        if let Some(copies) = copies {
            let value = state.get(copies.d()).cloned().flatten();
            set(&mut state, copies.a(), value);
        }
        let is_full = self.pending.len() >= PENDING_LIMIT;
        match self.pending.get_mut(&target) {
            Some(known) => meet(known, &state),
            None if is_full => drop(self.pending.insert(target, vec![None; REGISTERS])),
            None => drop(self.pending.insert(target, state)),
        }
    }

    fn known(&self, register: usize) -> Option<&Value> {
        self.state.get(register).and_then(Option::as_ref)
    }

    fn path(&self, register: usize) -> Option<&Rc<str>> {
        match self.known(register) {
            Some(Value::Path(path)) => Some(path),
            _ => None,
        }
    }

    fn text(&self, register: usize) -> Option<&Rc<str>> {
        match self.known(register) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    fn constant(&self, index: usize) -> Option<&Rc<str>> {
        match self.prototype.constants.get(index) {
            Some(Constant::Text(text)) => Some(text),
            _ => None,
        }
    }

    fn note(&mut self, at: usize, what: What) {
        let line = self.prototype.lines.get(at).copied().unwrap_or(0);
        self.uses.push(Use { line, what, is_inner: self.is_inner });
    }

    fn step(&mut self, at: usize, instruction: Instruction, next: Option<Instruction>) {
        let (a, d) = (instruction.a(), instruction.d());
        let value = match instruction.code() {
            // The copy is made at the jump; what falls through keeps what it had.
            op::ISTC | op::ISFC => return,
            op::MOV => self.known(d).cloned(),
            op::KSTR => self.constant(d).cloned().map(Value::Text),
            op::UGET => self.upvalues.get(d).cloned().flatten(),
            op::FNEW => {
                if let Some(Constant::Function(index)) = self.prototype.constants.get(d) {
                    let index = *index;
                    let state = match self.inner.last() {
                        // Functions that are made in a row see the same.
                        Some((_, state)) if **state == self.state => Rc::clone(state),
                        _ => Rc::new(self.state.clone()),
                    };
                    self.inner.push((index, state));
                }
                None
            }
            op::GGET => {
                let path = self.constant(d).cloned();
                if let Some(path) = &path {
                    let care = self.care(at, a, next);
                    self.note(at, What::Read { path: Rc::clone(path), care });
                }
                path.map(Value::Path)
            }
            op::TGETS => self.field(instruction.b(), instruction.c()).map(|path| {
                let care = self.care(at, a, next);
                self.note(at, What::Read { path: Rc::clone(&path), care });
                Value::Path(path)
            }),
            op::GSET => {
                if let Some(path) = self.constant(d).cloned() {
                    self.note(at, What::Write { path });
                }
                return;
            }
            op::TSETS => {
                if let Some(path) = self.field(instruction.b(), instruction.c()) {
                    self.note(at, What::Write { path });
                }
                return;
            }
            op::CALL => self.call(at, a, instruction.c().saturating_sub(1)),
            op::CALLM => self.call(at, a, instruction.c()),
            op::CALLT => self.call(at, a, d.saturating_sub(1)),
            op::CALLMT => self.call(at, a, d),
            _ => None,
        };
        let (first, count) = written(instruction);
        for register in first..first.saturating_add(count).min(REGISTERS) {
            set(&mut self.state, register, None);
        }
        if count > 0 {
            set(&mut self.state, a, value);
        }
    }

    /// How what an instruction reads into a register is taken.
    fn care(&self, at: usize, register: usize, next: Option<Instruction>) -> Care {
        if tests(next, register) {
            return Care::Tests;
        }
        // A jump to what follows has something else in the register.
        let other = self.pending.get(&(at + 1)).and_then(|state| state.get(register));
        if other.is_some_and(Option::is_some) { Care::Alternative } else { Care::None }
    }

    /// The path of a field with a constant name.
    fn field(&self, table: usize, name: usize) -> Option<Rc<str>> {
        let (table, name) = (self.path(table)?, self.constant(name)?);
        if &**table == "_G" {
            return Some(Rc::clone(name));
        }
        (table.len() + name.len() < PATH_LIMIT).then(|| format!("{table}.{name}").into())
    }

    /// A call of what is in a register; what it gives, if that is known.
    fn call(&mut self, at: usize, function: usize, arguments: usize) -> Option<Value> {
        let path = self.path(function).cloned()?;
        let first = function + self.frame;
        let text = |nth: usize| self.text(first + nth).filter(|_| nth < arguments).cloned();
        let argument = text(0);
        if matches!(&*path, "pcall" | "xpcall") && arguments > 0 {
            let is_require = self.path(first).is_some_and(|path| &**path == "require");
            if let Some(module) = text(if &*path == "pcall" { 1 } else { 2 }).filter(|_| is_require) {
                self.note(at, What::Try { module });
            }
        }
        let given = match (&*path, &argument) {
            ("require", Some(module)) => Some(Value::Path(super::module(module).into())),
            ("ngx.socket.tcp" | "ngx.socket.stream" | "ngx.socket.udp", _) => Some(Value::Path("socket".into())),
            _ => None,
        };
        self.note(at, What::Call { path, argument });
        given
    }
}

fn set(state: &mut State, register: usize, value: Option<Value>) {
    if let Some(slot) = state.get_mut(register) {
        *slot = value;
    }
}

/// Keeps what both agree on.
fn meet(state: &mut State, other: &State) {
    for (one, other) in state.iter_mut().zip(other) {
        if one != other {
            *one = None;
        }
    }
}

/// Whether an instruction asks whether there is something in a register.
fn tests(instruction: Option<Instruction>, register: usize) -> bool {
    instruction.is_some_and(|instruction| match instruction.code() {
        op::ISEQP | op::ISNEP => instruction.a() == register,
        op::ISTC | op::ISFC | op::IST | op::ISF | op::NOT => instruction.d() == register,
        _ => false,
    })
}

/// For each register, where it is written.
fn writes(code: &[Instruction]) -> Vec<Vec<usize>> {
    let mut writes = vec![Vec::new(); REGISTERS];
    for (at, instruction) in code.iter().enumerate() {
        let (first, count) = written(*instruction);
        for places in writes.iter_mut().skip(first).take(count) {
            places.push(at);
        }
    }
    writes
}

/// Heads of loops, with the last instruction that leads back to each.
fn loops(code: &[Instruction]) -> HashMap<usize, usize> {
    let mut loops = HashMap::new();
    for (at, instruction) in code.iter().enumerate() {
        let jumps = matches!(
            instruction.code(),
            op::JMP | op::UCLO | op::FORL..=op::JFORL | op::ITERL..=op::JITERL | op::LOOP..=op::JLOOP
        );
        if let Some(target) = instruction.target(at).filter(|target| jumps && *target <= at) {
            loops.insert(target, at);
        }
    }
    loops
}
