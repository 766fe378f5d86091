//! A comparison and a branch for each node.
//!
//! Nothing is read but the row and instructions, and only the nodes on a row's way cost anything. But each of them may be
//! guessed wrong, and the code of large ensembles does not fit into the cache.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{Block, InstBuilder, MemFlagsData, Type, Value, types};
use cranelift_frontend::FunctionBuilder;

use super::{LayoutKind, Rows, STRIP};
use crate::CompileError;
use crate::jit::{CodeSource, Generator, Program};
use crate::lower::{FlatTree, Next};
use crate::number::Key;

/// Nodes of a function, unless a single tree has more: the time that it takes to compile one grows faster than its size.
const FUNCTION_NODES: usize = 1500;
/// Most nodes of a tree: beyond that a table is quicker than code, and Cranelift slow.
const TREE_NODES: usize = 20_000;

/// The keys of a row, and where the leaves of the strip go.
type Entry<K> = extern "C" fn(*const K, *mut u32);

/// An ensemble as machine code.
#[derive(Debug)]
pub(crate) struct Branches<K> {
    program: Program,
    /// Functions of each strip.
    strips: Vec<Vec<Entry<K>>>,
    columns: usize,
}

impl<K: Key> Branches<K> {
    /// # Errors
    /// [`CompileError::Layout`] if a tree is too large; else as generating code does.
    pub(crate) fn new(trees: &[FlatTree<K>], columns: usize, source: CodeSource<'_>) -> Result<Self, CompileError> {
        if let Some(tree) = trees.iter().find(|tree| tree.nodes.len() > TREE_NODES) {
            let reason = format!("a tree has {} nodes, and at most {TREE_NODES} are compiled", tree.nodes.len());
            return Err(CompileError::Layout { layout: LayoutKind::Branches.label(), reason });
        }
        let functions: Vec<Vec<&[FlatTree<K>]>> = trees.chunks(STRIP).map(split).collect();
        let program = match source {
            CodeSource::Stored(stored) => Program::load(stored)?,
            CodeSource::Generate(limits) => {
                let mut generator = Generator::new(limits)?;
                let (parameters, mut done) = ([generator.pointer(); 2], 0);
                for strip in &functions {
                    let mut place = 0;
                    for function in strip {
                        done += function.len();
                        generator.function(&parameters, (done, trees.len()), |builder, arguments| {
                            if let &[keys, out] = arguments {
                                generate(builder, function, place, keys, out);
                            }
                        })?;
                        place += function.len();
                    }
                }
                generator.finish()?
            }
        };
        if program.len() != functions.iter().map(Vec::len).sum::<usize>() {
            return Err(CompileError::Artifact("its machine code is of another ensemble"));
        }
        let mut entries = (0..program.len()).filter_map(|index| program.entry(index)).map(|entry| {
            #[expect(unsafe_code, reason = "from an address to a function")]
            // SAFETY: a function with these parameters, and C's calling convention, begins there.
            unsafe {
                std::mem::transmute::<*const u8, Entry<K>>(entry)
            }
        });
        let strips = functions.iter().map(|strip| entries.by_ref().take(strip.len()).collect()).collect();
        Ok(Self { program, strips, columns })
    }

    pub(crate) fn code(&self) -> &[u8] {
        self.program.stored()
    }

    #[inline]
    pub(crate) fn leaves(&self, strip: usize, rows: Rows<'_, K>, leaves: &mut [u32]) {
        let Some(functions) = self.strips.get(strip) else { return };
        let (outs, _) = leaves.as_chunks_mut::<STRIP>();
        for (row, out) in outs.iter_mut().take(rows.count).enumerate() {
            // A function reads keys of columns, and writes the leaves of its own trees, which are not more than a strip.
            let Some(keys) = rows.keys.get(row * self.columns..(row + 1) * self.columns) else { return };
            for function in functions {
                function(keys.as_ptr(), out.as_mut_ptr());
            }
        }
    }
}

/// Trees of a strip, as they share functions.
fn split<K>(strip: &[FlatTree<K>]) -> Vec<&[FlatTree<K>]> {
    let (mut functions, mut rest) = (Vec::new(), strip);
    while !rest.is_empty() {
        let mut nodes = 0;
        let fitting = rest.iter().take_while(|tree| {
            nodes += tree.nodes.len();
            nodes <= FUNCTION_NODES
        });
        let (function, others) = rest.split_at(fitting.count().max(1));
        functions.push(function);
        rest = others;
    }
    functions
}

/// Generates trees one after the other. `place`: of the first of them in its strip.
fn generate<K: Key>(builder: &mut FunctionBuilder<'_>, trees: &[FlatTree<K>], place: usize, keys: Value, out: Value) {
    let key = if size_of::<K>() == 4 { types::I32 } else { types::I64 };
    for (index, tree) in trees.iter().enumerate() {
        let after = builder.create_block();
        let offset = ((place + index) * size_of::<u32>()) as i32;
        generate_tree(builder, tree, key, keys, |builder, leaf| {
            let leaf = builder.ins().iconst(types::I32, i64::from(tree.first_leaf + leaf));
            builder.ins().store(MemFlagsData::trusted(), leaf, out, offset);
            builder.ins().jump(after, &[]);
        });
        builder.switch_to_block(after);
    }
}

fn generate_tree<K: Key>(
    builder: &mut FunctionBuilder<'_>,
    tree: &FlatTree<K>,
    key: Type,
    keys: Value,
    mut leaf: impl FnMut(&mut FunctionBuilder<'_>, u32),
) {
    let root = if tree.nodes.is_empty() { Next::Leaf(0) } else { Next::Node(0) };
    let mut open: Vec<(Option<Block>, Next)> = vec![(None, root)];
    while let Some((block, next)) = open.pop() {
        if let Some(block) = block {
            builder.switch_to_block(block);
        }
        let node = match next {
            Next::Leaf(number) => {
                leaf(builder, number);
                continue;
            }
            // Children are nodes of the tree.
            Next::Node(index) => match tree.nodes.get(index as usize) {
                Some(node) => node,
                None => continue,
            },
        };
        let offset = (node.column as usize * size_of::<K>()) as i32;
        let found = builder.ins().load(key, MemFlagsData::trusted(), keys, offset);
        let cut = builder.ins().iconst(key, constant(node.cut));
        let goes_left = builder.ins().icmp(IntCC::SignedLessThanOrEqual, found, cut);
        let (left, right) = (builder.create_block(), builder.create_block());
        builder.ins().brif(goes_left, left, &[], right, &[]);
        // The left one is next, so that it follows in memory.
        open.extend([(Some(right), node.right), (Some(left), node.left)]);
    }
}

/// Cranelift wants numbers without their sign.
fn constant<K: Key>(key: K) -> i64 {
    if size_of::<K>() == 4 { key.to_i64() & 0xffff_ffff } else { key.to_i64() }
}
