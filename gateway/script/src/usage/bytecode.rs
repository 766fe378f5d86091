//! Reads what LuaJIT's `string.dump` gives of a function: instructions, constants and lines.
//!
//! The format is described at the top of LuaJIT's `lj_bcdump.h`. What is read was dumped a moment ago by the LuaJIT that is
//! linked in, so anything that does not fit is told as one error; a test holds the numbers of instructions against it.

use std::rc::Rc;

/// A function as it was compiled.
#[derive(Debug, Default)]
pub(super) struct Prototype {
    pub instructions: Vec<Instruction>,
    pub upvalues: Vec<Upvalue>,
    pub constants: Vec<Constant>,
    /// Of each instruction.
    pub lines: Vec<usize>,
}

#[derive(Debug, Clone)]
pub(super) enum Constant {
    Text(Rc<str>),
    /// Index into the list of prototypes.
    Function(usize),
    Other,
}

/// Where a function finds a variable of a function around it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Upvalue(u16);

impl Upvalue {
    const LOCAL: u16 = 0x8000;
    const IMMUTABLE: u16 = 0x4000;

    /// Whether it is a register of the function around it, and not one of that one's own upvalues.
    pub fn is_local(self) -> bool {
        self.0 & Self::LOCAL != 0
    }

    /// Whether nothing is assigned to it after its declaration.
    pub fn is_immutable(self) -> bool {
        self.0 & Self::IMMUTABLE != 0
    }

    pub fn index(self) -> usize {
        usize::from(self.0 & 0x3fff)
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Instruction(u32);

impl Instruction {
    pub fn code(self) -> u8 {
        self.0.to_le_bytes()[0]
    }

    pub fn a(self) -> usize {
        usize::from(self.0.to_le_bytes()[1])
    }

    pub fn b(self) -> usize {
        usize::from(self.0.to_le_bytes()[3])
    }

    pub fn c(self) -> usize {
        usize::from(self.0.to_le_bytes()[2])
    }

    pub fn d(self) -> usize {
        (self.0 >> 16) as usize
    }

    /// Where it jumps to, if it stands at `at`.
    pub fn target(self, at: usize) -> Option<usize> {
        (at + 1 + self.d()).checked_sub(0x8000)
    }
}

/// Numbers of the instructions that matter here (`lj_bc.h`).
pub(super) mod op {
    /// The last comparison; each is followed by the jump that it decides.
    pub const LAST_COMPARISON: u8 = 15;
    pub const ISEQP: u8 = 10;
    pub const ISNEP: u8 = 11;
    pub const ISTC: u8 = 12;
    pub const ISFC: u8 = 13;
    pub const IST: u8 = 14;
    pub const ISF: u8 = 15;
    pub const MOV: u8 = 18;
    pub const NOT: u8 = 19;
    pub const KSTR: u8 = 39;
    pub const KNIL: u8 = 44;
    pub const UGET: u8 = 45;
    pub const UCLO: u8 = 50;
    pub const FNEW: u8 = 51;
    pub const GGET: u8 = 54;
    pub const GSET: u8 = 55;
    pub const TGETS: u8 = 57;
    pub const TSETS: u8 = 61;
    pub const CALLM: u8 = 65;
    pub const CALL: u8 = 66;
    pub const CALLMT: u8 = 67;
    pub const CALLT: u8 = 68;
    pub const ITERC: u8 = 69;
    pub const ITERN: u8 = 70;
    pub const VARG: u8 = 71;
    pub const ISNEXT: u8 = 72;
    pub const RETM: u8 = 73;
    pub const RET1: u8 = 76;
    pub const FORI: u8 = 77;
    pub const JFORI: u8 = 78;
    pub const FORL: u8 = 79;
    pub const JFORL: u8 = 81;
    pub const ITERL: u8 = 82;
    pub const JITERL: u8 = 84;
    pub const LOOP: u8 = 85;
    pub const JLOOP: u8 = 87;
    pub const JMP: u8 = 88;
}

const STRIPPED: u32 = 2;
const TWO_SLOT_FRAMES: u32 = 8;

/// What a dump holds.
#[derive(Debug)]
pub(super) struct Dump {
    /// Inner functions stand before those that hold them; the last one is the chunk.
    pub prototypes: Vec<Prototype>,
    /// Registers between a called function and its first argument.
    pub frame: usize,
}

/// Reads a dump. None: it is not as expected.
pub(super) fn read(dump: &[u8]) -> Option<Dump> {
    let rest = dump.strip_prefix(b"\x1bLJ\x02")?;
    let mut reader = Reader(rest);
    let flags = reader.number()?;
    if flags & STRIPPED == 0 {
        let name = reader.length()?;
        reader.take(name)?;
    }
    let mut prototypes = Vec::new();
    // Those that are not yet in another one.
    let mut loose = Vec::new();
    loop {
        let length = reader.length()?;
        if length == 0 {
            break;
        }
        let mut inner = Reader(reader.take(length)?);
        let prototype = inner.prototype(flags & STRIPPED != 0, &mut loose)?;
        loose.push(prototypes.len());
        prototypes.push(prototype);
    }
    let frame = if flags & TWO_SLOT_FRAMES == 0 { 1 } else { 2 };
    (!prototypes.is_empty()).then_some(Dump { prototypes, frame })
}

struct Reader<'d>(&'d [u8]);

impl<'d> Reader<'d> {
    fn take(&mut self, count: usize) -> Option<&'d [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    fn half(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes(self.take(2)?.try_into().ok()?))
    }

    fn word(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    /// ULEB128.
    fn number(&mut self) -> Option<u32> {
        let mut number = 0;
        for shift in (0..35).step_by(7) {
            let byte = self.byte()?;
            number |= u32::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn length(&mut self) -> Option<usize> {
        usize::try_from(self.number()?).ok()
    }

    fn prototype(&mut self, stripped: bool, loose: &mut Vec<usize>) -> Option<Prototype> {
        let (_flags, _parameters, _frame, upvalues) = (self.byte()?, self.byte()?, self.byte()?, self.byte()?);
        let (collected, numbers, instructions) = (self.length()?, self.length()?, self.length()?);
        let debug = if stripped { 0 } else { self.length()? };
        let (first, span) = if debug > 0 { (self.length()?, self.length()?) } else { (0, 0) };
        let mut made = Prototype::default();
        for _ in 0..instructions {
            made.instructions.push(Instruction(self.word()?));
        }
        for _ in 0..upvalues {
            made.upvalues.push(Upvalue(self.half()?));
        }
        for _ in 0..collected {
            let constant = self.constant(loose)?;
            made.constants.push(constant);
        }
        // Instructions count from the end.
        made.constants.reverse();
        for _ in 0..numbers {
            // The lowest bit tells a floating-point number, of which a second half follows.
            if self.byte_of_number()? & 1 == 1 {
                self.number()?;
            }
        }
        if debug > 0 {
            for _ in 0..instructions {
                let line = match span {
                    0..256 => usize::from(self.byte()?),
                    256..65_536 => usize::from(self.half()?),
                    _ => usize::try_from(self.word()?).ok()?,
                };
                made.lines.push(first + line);
            }
        }
        Some(made)
    }

    /// A number of 33 bits, of which only the first byte matters.
    fn byte_of_number(&mut self) -> Option<u8> {
        let first = self.byte()?;
        let mut last = first;
        while last & 0x80 != 0 {
            last = self.byte()?;
        }
        Some(first)
    }

    fn constant(&mut self, loose: &mut Vec<usize>) -> Option<Constant> {
        Some(match self.number()? {
            0 => Constant::Function(loose.pop()?),
            1 => {
                let (array, hash) = (self.length()?, self.length()?);
                for _ in 0..array {
                    self.table_value()?;
                }
                for _ in 0..hash {
                    self.table_value()?;
                    self.table_value()?;
                }
                Constant::Other
            }
            2 | 3 => {
                self.number()?;
                self.number()?;
                Constant::Other
            }
            4 => {
                for _ in 0..4 {
                    self.number()?;
                }
                Constant::Other
            }
            text => {
                let bytes = self.take(usize::try_from(text).ok()?.checked_sub(5)?)?;
                Constant::Text(String::from_utf8_lossy(bytes).into())
            }
        })
    }

    fn table_value(&mut self) -> Option<()> {
        match self.number()? {
            0..=2 => {}
            3 => {
                self.number()?;
            }
            4 => {
                self.number()?;
                self.number()?;
            }
            text => {
                self.take(usize::try_from(text).ok()?.checked_sub(5)?)?;
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use mlua::Lua;

    use super::*;

    fn dump(code: &str) -> Dump {
        let lua = Lua::new();
        let chunk = lua.load(code).into_function().unwrap();
        read(&chunk.dump(false)).unwrap()
    }

    fn codes(code: &str) -> Vec<u8> {
        dump(code).prototypes.last().unwrap().instructions.iter().map(|instruction| instruction.code()).collect()
    }

    #[test]
    fn instructions_have_the_numbers_that_this_luajit_gives_them() {
        for (code, expected) in [
            ("x = y", vec![op::GGET, op::GSET, 75]),
            ("local t, f = ... t.x = t.y", vec![op::VARG, op::TGETS, op::TSETS, 75]),
            ("local f = ... f 'x'", vec![op::VARG, op::MOV, op::KSTR, op::CALL, 75]),
            ("local f = ... return f()", vec![op::VARG, op::MOV, op::CALLT]),
            ("local f, g = ... f(g()) return f(g())", {
                vec![op::VARG, op::MOV, op::MOV, op::CALL, op::CALLM, op::MOV, op::MOV, op::CALL, op::CALLMT]
            }),
            ("local a = ... return a()()", vec![op::VARG, op::MOV, op::CALL, op::CALLT]),
            ("local a, b = ... local c = a or b", vec![op::VARG, op::ISTC, op::JMP, op::MOV, 75]),
            ("local a, b = ... local c = a and b", vec![op::VARG, op::ISFC, op::JMP, op::MOV, 75]),
            ("local a = ... if a then a() end", vec![op::VARG, op::ISF, op::JMP, op::MOV, op::CALL, 75]),
            ("local a = ... if not a then a() end", vec![op::VARG, op::IST, op::JMP, op::MOV, op::CALL, 75]),
            ("local a = ... if a ~= nil then a() end", vec![op::VARG, op::ISEQP, op::JMP, op::MOV, op::CALL, 75]),
            ("local a = ... if a == nil then a() end", vec![op::VARG, op::ISNEP, op::JMP, op::MOV, op::CALL, 75]),
            ("local a = ... return not a", vec![op::VARG, op::NOT, op::RET1]),
            ("local a, b, c", vec![op::KNIL, 75]),
            ("local a, b = ... return a .. b", vec![op::VARG, op::MOV, op::MOV, 38, op::RET1]),
            ("for i = 1, 2 do end", vec![41, 41, 41, op::FORI, op::FORL, 75]),
            ("while x do end", vec![op::GGET, op::ISF, op::JMP, op::LOOP, op::JMP, 75]),
            ("for k in f do end", vec![op::GGET, op::KNIL, op::JMP, op::ITERC, op::ITERL, 75]),
            ("for k in pairs(t) do end", { vec![op::GGET, op::GGET, op::CALL, op::ISNEXT, op::ITERN, op::ITERL, 75] }),
            ("local t, k = ... t[k] = 1 t[1] = 1", vec![op::VARG, 41, 60, 41, 62, 75]),
            ("do local a = 1 function f() a = a end end", vec![41, op::FNEW, op::GSET, op::UCLO, 75]),
            ("return ...", vec![op::VARG, op::RETM]),
        ] {
            assert_eq!(codes(code), expected, "{code}");
        }
        let inner = dump("local a = 1 function f(b) a = b b = a a = nil end");
        let codes: Vec<u8> = inner.prototypes[0].instructions.iter().map(|instruction| instruction.code()).collect();
        assert_eq!(codes, [46, op::UGET, 49, 75]);
    }

    #[test]
    fn constants_functions_and_lines_are_those_of_the_source() {
        let dump = dump(
            "local t = { 1.5, 'x', k = false, 9007199254740993LL }\nlocal u = 7.25 + #t\nlocal v = 3i\n\
             return function() -- inner\n  return t, u\nend, function() return 1e300 end, 'text', 12345678",
        );
        let [first, second, chunk] = &dump.prototypes[..] else { panic!("{dump:?}") };
        assert_eq!((first.lines.first(), second.lines.first()), (Some(&5), Some(&6)));
        assert!(first.upvalues.iter().all(|upvalue| upvalue.is_local() && upvalue.is_immutable()));
        assert_eq!(first.upvalues.iter().map(|upvalue| upvalue.index()).collect::<Vec<_>>(), [0, 1]);
        let functions: Vec<usize> = chunk
            .instructions
            .iter()
            .filter(|instruction| instruction.code() == op::FNEW)
            .map(|instruction| match chunk.constants[instruction.d()] {
                Constant::Function(index) => index,
                _ => panic!("{chunk:?}"),
            })
            .collect();
        assert_eq!(functions, [0, 1]);
        assert!(chunk.constants.iter().any(|constant| matches!(constant, Constant::Text(text) if &**text == "text")));
    }

    #[test]
    fn what_is_cut_off_is_no_dump() {
        let lua = Lua::new();
        let whole = lua.load("local a = { x = 1 } return function() return a.x end").into_function().unwrap();
        let whole = whole.dump(false);
        assert!(read(&whole).is_some());
        for end in 0..whole.len() {
            assert!(read(&whole[..end]).is_none(), "{end}");
        }
    }
}
