//! Masks with vectors of 16 bytes, which all processors have that Cranelift knows: a loop that is generated for the width of
//! masks and of rows.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{Endianness, InstBuilder, MemFlagsData, Value, types};
use cranelift_frontend::FunctionBuilder;

use super::table::{BlockHead, Table};
use crate::CompileError;
use crate::jit::{CodeSource, Generator, Program};
use crate::layout::STRIP;

/// Bytes of a vector.
const VECTOR: usize = 16;

/// `start` of the table, blocks and their number, the row, first leaves, and where the leaves go.
type Entry = extern "C" fn(*const u8, *const BlockHead, usize, *const u8, *const u32, *mut u32);

/// The loop.
#[derive(Debug)]
pub(super) struct Kernel {
    program: Program,
    entry: Entry,
    bits: usize,
    row_bytes: usize,
}

impl Kernel {
    /// For masks of so many bits and rows of so many bytes, a multiple of 16.
    pub(super) fn new(bits: usize, row_bytes: usize, source: CodeSource<'_>) -> Result<Self, CompileError> {
        let program = match source {
            CodeSource::Stored(stored) => Program::load(stored)?,
            CodeSource::Generate(limits) => {
                let mut generator = Generator::new(limits)?;
                let (pointer, x86) = (generator.pointer(), generator.is_x86());
                generator.function(&[pointer; 6], (0, 0), |builder, arguments| {
                    if let &[start, blocks, count, row, firsts, out] = arguments {
                        let loops = Loops { start, row, bits, pieces: row_bytes / VECTOR, x86 };
                        loops.generate(builder, blocks, count, firsts, out);
                    }
                })?;
                generator.finish()?
            }
        };
        let entry = program.entry(0).ok_or(CompileError::Artifact("its machine code is empty"))?;
        #[expect(unsafe_code, reason = "from an address to a function")]
        // SAFETY: a function with these parameters, and C's calling convention, begins there.
        let entry = unsafe { std::mem::transmute::<*const u8, Entry>(entry) };
        Ok(Self { program, entry, bits, row_bytes })
    }

    pub(super) fn code(&self) -> &[u8] {
        self.program.stored()
    }

    /// The leaves of a row in the trees of a strip.
    #[inline]
    pub(super) fn strip(&self, table: &Table, strip: usize, row: &[u8], firsts: &[u32; STRIP], out: &mut [u32; STRIP]) {
        if table.shape.bits != self.bits || table.shape.vector != VECTOR || row.len() != self.row_bytes {
            return;
        }
        // All that it reads and writes is there: groups of these blocks, a row of this length, and leaves of a strip.
        let blocks = table.blocks(strip);
        (self.entry)(table.start(), blocks.as_ptr(), blocks.len(), row.as_ptr(), firsts.as_ptr(), out.as_mut_ptr());
    }
}

/// What the loops have in common.
struct Loops {
    start: Value,
    row: Value,
    bits: usize,
    pieces: usize,
    x86: bool,
}

/// Bytes of the lower or the upper halves of two vectors, `width` of one and `width` of the other in turn.
fn interleaved(width: usize, upper: bool) -> [u8; 16] {
    let begin = if upper { 8 } else { 0 };
    std::array::from_fn(|byte| {
        let (pair, second) = (byte / (2 * width), byte / width % 2);
        (begin + pair * width + byte % width + second * VECTOR) as u8
    })
}

impl Loops {
    fn generate(&self, builder: &mut FunctionBuilder<'_>, blocks: Value, count: Value, firsts: Value, out: Value) {
        let flags = MemFlagsData::trusted();
        let pointer = builder.func.dfg.value_type(self.start);
        let pieces: Vec<Value> = (0..self.pieces)
            .map(|piece| builder.ins().load(types::I8X16, flags, self.row, (piece * VECTOR) as i32))
            .collect();
        let ones = builder.ins().iconst(types::I8, 0xff);
        let ones = builder.ins().splat(types::I8X16, ones);

        let [outer, inner, done, end] = std::array::from_fn(|_| builder.create_block());
        let head = builder.append_block_param(outer, pointer);
        let left = builder.append_block_param(outer, pointer);
        let firsts_here = builder.append_block_param(outer, pointer);
        let out_here = builder.append_block_param(outer, pointer);
        builder.ins().brif(count, outer, &[blocks.into(), count.into(), firsts.into(), out.into()], end, &[]);

        builder.switch_to_block(outer);
        let offset = builder.ins().uload32(flags, head, std::mem::offset_of!(BlockHead, offset) as i32);
        let groups = builder.ins().uload32(flags, head, std::mem::offset_of!(BlockHead, groups) as i32);
        let group = builder.ins().iadd(self.start, offset);
        builder.ins().jump(inner, &[group.into(), groups.into(), ones.into(), ones.into()]);

        let group = builder.append_block_param(inner, pointer);
        let groups = builder.append_block_param(inner, types::I64);
        let even = builder.append_block_param(inner, types::I8X16);
        let odd = builder.append_block_param(inner, types::I8X16);
        builder.switch_to_block(inner);
        let yes = self.answers(builder, &pieces, group);
        let [even, odd] = self.strike(builder, yes, group, [even, odd]);
        let next = builder.ins().iadd_imm_s(group, (VECTOR * (2 + self.bits / 8)) as i64);
        let rest = builder.ins().iadd_imm_s(groups, -1);
        builder.ins().brif(rest, inner, &[next.into(), rest.into(), even.into(), odd.into()], done, &[]);

        builder.switch_to_block(done);
        let masks = builder.ins().band(even, odd);
        self.finish(builder, masks, firsts_here, out_here);
        let head = builder.ins().iadd_imm_s(head, size_of::<BlockHead>() as i64);
        let trees = (VECTOR * 8 / self.bits * size_of::<u32>()) as i64;
        let firsts = builder.ins().iadd_imm_s(firsts_here, trees);
        let out = builder.ins().iadd_imm_s(out_here, trees);
        let left = builder.ins().iadd_imm_s(left, -1);
        builder.ins().brif(left, outer, &[head.into(), left.into(), firsts.into(), out.into()], end, &[]);

        builder.switch_to_block(end);
    }

    /// Which of the 16 tests of a group say yes: all bits of their bytes.
    fn answers(&self, builder: &mut FunctionBuilder<'_>, pieces: &[Value], group: Value) -> Value {
        let flags = MemFlagsData::trusted();
        let columns = builder.ins().load(types::I8X16, flags, group, 0);
        let bounds = builder.ins().load(types::I8X16, flags, group, VECTOR as i32);
        let mut bytes = None;
        for (index, piece) in pieces.iter().enumerate() {
            // What is in another piece is made to be beyond 15, and becomes 0; see how the table names bytes.
            let turn = if pieces.len() == 2 { index * 0x80 } else { index * VECTOR };
            let mut own = columns;
            if turn > 0 {
                let turn = builder.ins().iconst(types::I8, turn as i64);
                let turn = builder.ins().splat(types::I8X16, turn);
                own = builder.ins().bxor(columns, turn);
            }
            let found = if self.x86 && pieces.len() <= 2 {
                // It only looks at the highest bit, which suffices here.
                builder.ins().x86_pshufb(*piece, own)
            } else {
                builder.ins().swizzle(*piece, own)
            };
            bytes = Some(bytes.map_or(found, |bytes| builder.ins().bor(bytes, found)));
        }
        builder.ins().icmp(IntCC::SignedGreaterThan, bounds, bytes.unwrap_or(columns))
    }

    /// Strikes leaves out: widens the answers to masks by doubling each byte, then each pair and so on.
    fn strike(&self, builder: &mut FunctionBuilder<'_>, yes: Value, group: Value, left: [Value; 2]) -> [Value; 2] {
        let mut answers = vec![yes];
        let mut width = 1;
        while width * 8 < self.bits {
            let halves =
                [false, true].map(|upper| builder.func.dfg.immediates.push(interleaved(width, upper)[..].into()));
            let doubled = answers.iter().flat_map(|answer| halves.map(|half| (*answer, half)));
            answers = doubled.map(|(answer, half)| builder.ins().shuffle(answer, answer, half)).collect();
            width *= 2;
        }
        let [mut even, mut odd] = left;
        for (slot, yes) in answers.into_iter().enumerate() {
            let offset = (VECTOR * (2 + slot)) as i32;
            let masks = builder.ins().load(types::I8X16, MemFlagsData::trusted(), group, offset);
            let stays = builder.ins().bor(yes, masks);
            let left = if slot % 2 == 0 { &mut even } else { &mut odd };
            *left = builder.ins().band(*left, stays);
        }
        [even, odd]
    }

    /// Writes the lowest bit of each mask, plus the tree's first leaf.
    fn finish(&self, builder: &mut FunctionBuilder<'_>, masks: Value, firsts: Value, out: Value) {
        // Aligned to single numbers only.
        let flags = MemFlagsData::new().with_notrap();
        let little = MemFlagsData::new().with_endianness(Endianness::Little);
        if self.bits == 64 {
            let masks = builder.ins().bitcast(types::I64X2, little, masks);
            for tree in 0..VECTOR / 8 {
                let mask = builder.ins().extractlane(masks, tree as u8);
                let lowest = builder.ins().ctz(mask);
                let lowest = builder.ins().ireduce(types::I32, lowest);
                let offset = (tree * size_of::<u32>()) as i32;
                let first = builder.ins().load(types::I32, flags, firsts, offset);
                let leaf = builder.ins().iadd(first, lowest);
                builder.ins().store(flags, leaf, out, offset);
            }
            return;
        }
        let four = if self.bits == 16 {
            let masks = builder.ins().bitcast(types::I16X8, little, masks);
            vec![builder.ins().uwiden_low(masks), builder.ins().uwiden_high(masks)]
        } else {
            vec![builder.ins().bitcast(types::I32X4, little, masks)]
        };
        for (index, masks) in four.into_iter().enumerate() {
            // The lowest bit by itself is a power of two, whose exponent a float has in its bits 23 to 30, plus 127.
            let turned = builder.ins().ineg(masks);
            let lowest = builder.ins().band(masks, turned);
            let float = builder.ins().fcvt_from_sint(types::F32X4, lowest);
            let float = builder.ins().bitcast(types::I32X4, little, float);
            let exponent = builder.ins().ushr_imm_u(float, 23);
            let [byte, bias] = [0xff, 127].map(|constant| {
                let constant = builder.ins().iconst(types::I32, constant);
                builder.ins().splat(types::I32X4, constant)
            });
            // Without the sign, which the highest bit has.
            let exponent = builder.ins().band(exponent, byte);
            let offset = (index * VECTOR) as i32;
            let first = builder.ins().load(types::I32X4, flags, firsts, offset);
            let leaf = builder.ins().iadd(first, exponent);
            let leaf = builder.ins().isub(leaf, bias);
            builder.ins().store(flags, leaf, out, offset);
        }
    }
}
