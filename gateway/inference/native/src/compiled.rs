//! A model that is ready to run.

use witgate_trees::{Element, Model, PredictError, Report};

use crate::error::PredictNativeError;
use crate::linear::LinearModel;
use crate::model::Finish;
use crate::prepare::Prepare;

/// Up to this many columns a single row needs no memory from the heap.
const STACK: usize = 128;
/// How many rows are prepared at a time.
const BLOCK: usize = 64;

/// A compiled model. Running it changes nothing, so that any number of threads may do so at once.
#[derive(Debug)]
pub struct CompiledNative {
    pub(crate) engine: Engine,
    pub(crate) finish: Finish,
    pub(crate) prepare: Option<Prepare>,
    pub(crate) features: usize,
    pub(crate) outputs: usize,
}

#[derive(Debug)]
pub(crate) enum Engine {
    Trees(Box<Model>),
    Linear(LinearModel),
}

impl CompiledNative {
    /// How many numbers of a row it looks at: rows may be longer.
    pub fn features(&self) -> usize {
        self.features
    }

    /// How many scores a row has.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Which layouts run the trees, and why; `None` for linear models.
    pub fn report(&self) -> Option<&Report> {
        match &self.engine {
            Engine::Trees(model) => Some(model.report()),
            Engine::Linear(_) => None,
        }
    }

    /// Scores of rows: what the library gives. `rows` is `[rows, width]`, `out` is `[rows, outputs]`, both row by row.
    ///
    /// A single row of up to 128 columns takes no memory from the heap, unless the model has target statistics.
    ///
    /// # Errors
    /// The sizes do not go together, or the rows are not what was promised when the model was compiled.
    pub fn predict<X: Element>(&self, rows: &[X], width: usize, out: &mut [f64]) -> Result<(), PredictNativeError> {
        self.predict_raw(rows, width, out)?;
        if let Some(divisor) = self.finish.divisor {
            out.iter_mut().for_each(|value| *value /= divisor);
        }
        out.chunks_exact_mut(self.outputs.max(1)).for_each(|row| self.finish.link.apply(row));
        Ok(())
    }

    /// Margins of rows: what the library calls raw scores, before probabilities are made of them. Those of LightGBM's random
    /// forests are sums, of which the scores are the mean.
    ///
    /// # Errors
    /// As [`predict`](Self::predict).
    pub fn predict_raw<X: Element>(&self, rows: &[X], width: usize, out: &mut [f64]) -> Result<(), PredictNativeError> {
        self.check(rows.len(), width, out.len())?;
        if X::FITS_F32 && self.prepare.as_ref().is_some_and(Prepare::needs_double) {
            return Err(PredictNativeError::Hashes);
        }
        match (&self.engine, &self.prepare) {
            (Engine::Linear(linear), _) => {
                for (row, out) in rows.chunks_exact(width).zip(out.chunks_exact_mut(self.outputs.max(1))) {
                    linear.margins(row.iter().map(|number| number.to_f32()), out);
                }
            }
            (Engine::Trees(model), None) => model.predict(rows, width, out)?,
            (Engine::Trees(model), Some(prepare)) => self.predict_prepared(model, prepare, rows, width, out)?,
        }
        self.add_up(out);
        Ok(())
    }

    fn predict_prepared<X: Element>(
        &self,
        model: &Model,
        prepare: &Prepare,
        rows: &[X],
        width: usize,
        out: &mut [f64],
    ) -> Result<(), PredictError> {
        let columns = prepare.columns();
        let count = rows.len() / width;
        if count == 1 && columns <= STACK {
            let mut room = [0.0; STACK];
            let Some(prepared) = room.get_mut(..columns) else { return Ok(()) };
            prepare.fill(rows, prepared);
            return model.predict(prepared, columns, out);
        }
        let size = count.clamp(1, BLOCK);
        let mut room = vec![0.0; columns * size];
        for (rows, out) in rows.chunks(width * size).zip(out.chunks_mut(self.outputs.max(1) * size)) {
            let prepared = room.get_mut(..rows.len() / width * columns).unwrap_or_default();
            for (row, prepared) in rows.chunks_exact(width).zip(prepared.chunks_exact_mut(columns)) {
                prepare.fill(row, prepared);
            }
            model.predict(prepared, columns, out)?;
        }
        Ok(())
    }

    /// What belongs to the margins beside the trees.
    fn add_up(&self, out: &mut [f64]) {
        let Finish { scale, bias, .. } = &self.finish;
        if *scale != 1.0 {
            out.iter_mut().for_each(|value| *value *= scale);
        }
        if !bias.is_empty() {
            for row in out.chunks_exact_mut(bias.len()) {
                row.iter_mut().zip(bias).for_each(|(value, bias)| *value += bias);
            }
        }
    }

    fn check(&self, numbers: usize, width: usize, room: usize) -> Result<(), PredictError> {
        let expected = self.features.max(1);
        if width < expected {
            return Err(PredictError::Width { got: width, expected });
        }
        if !numbers.is_multiple_of(width) {
            return Err(PredictError::Rows { got: numbers, width });
        }
        let (rows, targets) = (numbers / width, self.outputs);
        let expected = rows.saturating_mul(targets);
        if room != expected {
            return Err(PredictError::Room { got: room, rows, targets, expected });
        }
        Ok(())
    }
}
