//! An ensemble that is ready to run.

use std::sync::Arc;

use crate::choose::{self, Candidate, Selection};
use crate::ensemble::{Ensemble, Precision};
use crate::jit::CodeSource;
use crate::layout::{BLOCK, Layout, LayoutKind, Rows, STRIP};
use crate::lower::{Columns, Lowered};
use crate::number::Key;
use crate::scoring::Scoring;
use crate::{CompileError, CompileLimits, Element, PredictError, Score};

/// From this many rows on, the layout for many is taken.
const MANY: usize = 8;
/// Sizes up to which a single row needs no memory from the heap.
const STACK_COLUMNS: usize = 128;
const STACK_BYTES: usize = 256;
const STACK_TARGETS: usize = 16;

/// What to compile for, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CompileOptions {
    /// `F32` promises that rows will be of f32 only. Thresholds of f64 are then replaced by those of f32 that tell such
    /// numbers apart in the same way, which halves the work. `None`: any rows.
    pub rows: Option<Precision>,
    pub selection: Selection,
    pub limits: CompileLimits,
}

/// What became of compiling.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The layout for a row by itself, and for many.
    pub one: LayoutKind,
    pub many: LayoutKind,
    /// What was measured, if anything was.
    pub candidates: Vec<Candidate>,
    /// Bytes of tables and machine code.
    pub bytes: usize,
}

/// A compiled ensemble. Running it changes nothing, so that any number of threads may do so at once.
#[derive(Debug)]
pub struct Model {
    engine: Engine,
    scores: Scores,
    features: usize,
    targets: usize,
    /// Rows other than of f32 are refused.
    narrow: bool,
    report: Report,
}

#[derive(Debug)]
enum Engine {
    Single(Compiled<i32>),
    Double(Compiled<i64>),
}

#[derive(Debug)]
enum Scores {
    Single(Scoring<f32>),
    Double(Scoring<f64>),
}

#[derive(Debug)]
struct Compiled<K: Key> {
    columns: Columns<K>,
    trees: usize,
    one: Arc<Layout<K>>,
    many: Arc<Layout<K>>,
}

/// A layout that was chosen before, and its machine code if it has some.
pub(crate) type Stored<'a> = (LayoutKind, CodeSource<'a>);

impl Model {
    /// Compiles an ensemble: some milliseconds for a thousand trees, and what is measured on top.
    ///
    /// # Errors
    /// It exceeds a limit, or does not go into the only layout that is allowed.
    pub fn compile(ensemble: &Ensemble, options: &CompileOptions) -> Result<Self, CompileError> {
        Self::build(ensemble, options, None)
    }

    pub(crate) fn build(
        ensemble: &Ensemble,
        options: &CompileOptions,
        stored: Option<[Stored<'_>; 2]>,
    ) -> Result<Self, CompileError> {
        let parts = ensemble.parts();
        let narrow = match (parts.thresholds, options.rows) {
            (Precision::F32, Some(Precision::F64)) => return Err(CompileError::Rows),
            (Precision::F64, Some(Precision::F32)) => true,
            _ => false,
        };
        let (engine, scores, report) = if parts.thresholds == Precision::F32 || narrow {
            let lowered = Lowered::<i32>::new(parts);
            let scores = Scores::new(ensemble, &lowered);
            let (compiled, report) = Compiled::new(lowered, options, stored)?;
            (Engine::Single(compiled), scores, report)
        } else {
            let lowered = Lowered::<i64>::new(parts);
            let scores = Scores::new(ensemble, &lowered);
            let (compiled, report) = Compiled::new(lowered, options, stored)?;
            (Engine::Double(compiled), scores, report)
        };
        let report = Report { bytes: report.bytes + scores.bytes(), ..report };
        Ok(Self { engine, scores, features: parts.features, targets: parts.targets, narrow, report })
    }

    /// How many numbers of a row it looks at: rows may be longer.
    pub fn features(&self) -> usize {
        self.features
    }

    /// How many scores a row has.
    pub fn targets(&self) -> usize {
        self.targets
    }

    /// Which layouts run it, and why.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Scores of rows. `rows` is `[rows, width]`, `out` is `[rows, targets]`, both row by row.
    ///
    /// A single row of usual size takes no memory from the heap; many take some 100 KB.
    ///
    /// # Errors
    /// The sizes do not go together, or the rows are not what was promised. Nothing is written then.
    pub fn predict<X: Element, Y: Score>(&self, rows: &[X], width: usize, out: &mut [Y]) -> Result<(), PredictError> {
        if self.narrow && !X::FITS_F32 {
            return Err(PredictError::Wider);
        }
        crate::check_sizes(self.features, self.targets, rows.len(), width, out.len())?;
        match (&self.engine, &self.scores) {
            (Engine::Single(engine), Scores::Single(scores)) => engine.run(scores, rows, width, out),
            (Engine::Single(engine), Scores::Double(scores)) => engine.run(scores, rows, width, out),
            (Engine::Double(engine), Scores::Single(scores)) => engine.run(scores, rows, width, out),
            (Engine::Double(engine), Scores::Double(scores)) => engine.run(scores, rows, width, out),
        }
        Ok(())
    }

    /// The layouts for one row and for many, and their machine code.
    pub(crate) fn stored(&self) -> [(LayoutKind, Option<&[u8]>); 2] {
        fn both<K: Key>(compiled: &Compiled<K>) -> [(LayoutKind, Option<&[u8]>); 2] {
            [&compiled.one, &compiled.many].map(|layout| (layout.kind(), layout.code()))
        }
        match &self.engine {
            Engine::Single(engine) => both(engine),
            Engine::Double(engine) => both(engine),
        }
    }
}

impl Scores {
    fn new<K: Key>(ensemble: &Ensemble, lowered: &Lowered<K>) -> Self {
        let parts = ensemble.parts();
        match parts.scores {
            Precision::F32 => Self::Single(Scoring::new(parts, lowered)),
            Precision::F64 => Self::Double(Scoring::new(parts, lowered)),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Single(scoring) => scoring.bytes(),
            Self::Double(scoring) => scoring.bytes(),
        }
    }
}

impl<K: Key> Compiled<K> {
    fn new(
        lowered: Lowered<K>,
        options: &CompileOptions,
        stored: Option<[Stored<'_>; 2]>,
    ) -> Result<(Self, Report), CompileError> {
        let (columns, limits) = (lowered.columns.len(), &options.limits);
        let build = |kind, source| choose::build(kind, &lowered.trees, columns, limits, source).map(Arc::new);
        let (one, many, candidates) = match stored {
            Some([(one_kind, one_code), (many_kind, many_code)]) => {
                let one = build(one_kind, one_code)?;
                let many = if one_kind == many_kind { one.clone() } else { build(many_kind, many_code)? };
                (one, many, Vec::new())
            }
            None => {
                let choice = choose::choose(options.selection, &lowered.trees, columns, limits);
                let mut built: Vec<Arc<Layout<K>>> = Vec::new();
                let mut best = |order: &[LayoutKind]| {
                    let mut first = None;
                    for kind in order {
                        if let Some(layout) = built.iter().find(|layout| layout.kind() == *kind) {
                            return Ok(layout.clone());
                        }
                        match build(*kind, CodeSource::Generate(limits)) {
                            Ok(layout) => {
                                built.push(layout.clone());
                                return Ok(layout);
                            }
                            Err(error) => first = first.or(Some(error)),
                        }
                    }
                    Err(first.unwrap_or(CompileError::Tables { bytes: usize::MAX, limit: limits.tables }))
                };
                (best(&choice.one)?, best(&choice.many)?, choice.candidates)
            }
        };
        let tables = if Arc::ptr_eq(&one, &many) { one.bytes() } else { one.bytes() + many.bytes() };
        let bytes = tables + lowered.columns.bytes();
        let report = Report { one: one.kind(), many: many.kind(), candidates, bytes };
        Ok((Self { trees: lowered.trees.len(), columns: lowered.columns, one, many }, report))
    }

    fn run<S: Score, X: Element, Y: Score>(&self, scoring: &Scoring<S>, rows: &[X], width: usize, out: &mut [Y]) {
        let targets = scoring.targets();
        let count = out.len() / targets.max(1);
        let layout = if count < MANY { &*self.one } else { &*self.many };
        let (columns, bytes) = (self.columns.len(), layout.row_bytes());
        if count == 1 && columns <= STACK_COLUMNS && bytes <= STACK_BYTES && targets <= STACK_TARGETS {
            let mut room = ([K::default(); STACK_COLUMNS], [0; STACK_BYTES], [0; STRIP], [S::default(); STACK_TARGETS]);
            let (keys, row, scores) = (room.0.get_mut(..columns), room.1.get_mut(..bytes), room.3.get_mut(..targets));
            if let (Some(keys), Some(bytes), Some(scores)) = (keys, row, scores) {
                self.run_block(layout, scoring, rows, width, Room { keys, bytes, leaves: &mut room.2, scores }, out);
            }
            return;
        }
        let size = count.min(BLOCK);
        let mut keys = vec![K::default(); size * columns];
        let mut row_bytes = vec![0; size * bytes];
        let mut leaves = vec![0; size * STRIP];
        let mut scores = vec![S::default(); size * targets];
        for (rows, out) in rows.chunks(width.max(1) * size.max(1)).zip(out.chunks_mut((targets * size).max(1))) {
            let room = Room { keys: &mut keys, bytes: &mut row_bytes, leaves: &mut leaves, scores: &mut scores };
            self.run_block(layout, scoring, rows, width, room, out);
        }
    }

    /// Runs as many rows as there is room for.
    #[inline]
    fn run_block<S: Score, X: Element, Y: Score>(
        &self,
        layout: &Layout<K>,
        scoring: &Scoring<S>,
        rows: &[X],
        width: usize,
        room: Room<'_, K, S>,
        out: &mut [Y],
    ) {
        let Room { keys, bytes, leaves, scores } = room;
        let (columns, row_bytes, targets) = (self.columns.len(), layout.row_bytes(), scoring.targets());
        let rows = || rows.chunks_exact(width.max(1));
        let count = out.len() / targets.max(1);
        for (index, row) in rows().enumerate() {
            let Some(keys) = keys.get_mut(index * columns..(index + 1) * columns) else { return };
            self.columns.fill(row, keys);
            let Some(bytes) = bytes.get_mut(index * row_bytes..(index + 1) * row_bytes) else { return };
            layout.prepare(keys, bytes);
        }
        scores.chunks_exact_mut(targets.max(1)).take(count).for_each(|scores| scoring.begin(scores));
        for strip in 0..self.trees.div_ceil(STRIP) {
            let first = strip * STRIP;
            let trees = (self.trees - first).min(STRIP);
            layout.leaves(strip, Rows { keys, bytes, count }, leaves);
            for ((row, leaves), scores) in
                rows().zip(leaves.chunks_exact(STRIP)).zip(scores.chunks_exact_mut(targets.max(1)))
            {
                scoring.add::<K, X>(first, leaves.get(..trees).unwrap_or_default(), row, scores);
            }
        }
        for (out, scores) in out.chunks_exact_mut(targets.max(1)).zip(scores.chunks_exact_mut(targets.max(1))) {
            scoring.finish(scores);
            out.iter_mut().zip(&*scores).for_each(|(out, score)| *out = Y::from_f64(score.to_f64()));
        }
    }
}

/// Where what belongs to rows is put on the way.
struct Room<'a, K, S> {
    keys: &'a mut [K],
    bytes: &'a mut [u8],
    leaves: &'a mut [u32],
    scores: &'a mut [S],
}
