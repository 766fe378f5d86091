//! Trees that lleaves or tl2cgen have compiled, called as the library that came out is.

use std::ffi::{CStr, c_char, c_int};
use std::path::Path;
use std::rc::Rc;

use libloading::{Library, Symbol};

use crate::Failed;
use crate::contender::Contender;
use crate::rows::{Batch, Rows};

/// lleaves: `forest_root(rows, scores, begin, end)`, in doubles.
pub struct Lleaves {
    root: unsafe extern "C" fn(*const f64, *mut f64, c_int, c_int),
    rows: Rc<Rows>,
    _library: Library,
}

impl Lleaves {
    pub fn load(file: &Path, rows: &Rc<Rows>) -> Result<Self, Failed> {
        // SAFETY: what lleaves compiles runs nothing when it is loaded, and has this function.
        unsafe {
            let library = Library::new(file)?;
            let root = *library.get(b"forest_root")?;
            Ok(Self { root, rows: Rc::clone(rows), _library: library })
        }
    }
}

impl Contender for Lleaves {
    fn score(&mut self, batch: Batch, scores: &mut [f64]) -> Result<(), Failed> {
        scores.fill(0.0);
        let end = c_int::try_from(batch.count)?;
        // SAFETY: there are as many rows as said, as wide as the model's, and room for a score of each.
        unsafe { (self.root)(self.rows.double(batch).as_ptr(), scores.as_mut_ptr(), 0, end) };
        Ok(())
    }
}

/// tl2cgen: `predict(row, margin, scores)`, for one row, in the numbers of the model's library.
pub enum Tl2cgen {
    Single(Generated<f32>),
    Double(Generated<f64>),
}

pub struct Generated<N> {
    /// Rows are of a union of the number and -1 of 32 bits, which stands for a missing one: no number of ours looks so.
    predict: unsafe extern "C" fn(*const N, c_int, *mut N),
    rows: Rc<Rows>,
    _library: Library,
}

impl Tl2cgen {
    pub fn load(file: &Path, rows: &Rc<Rows>) -> Result<Self, Failed> {
        // SAFETY: what tl2cgen generates runs nothing when it is loaded, and has these functions.
        unsafe {
            let library = Library::new(file)?;
            let name = |symbol: &[u8]| -> Result<String, Failed> {
                let name: Symbol<'_, unsafe extern "C" fn() -> *const c_char> = library.get(symbol)?;
                Ok(CStr::from_ptr(name()).to_str()?.to_owned())
            };
            let rows = Rc::clone(rows);
            let (thresholds, leaves) = (name(b"get_threshold_type")?, name(b"get_leaf_output_type")?);
            match (thresholds.as_str(), leaves.as_str()) {
                ("float32", "float32") => {
                    Ok(Self::Single(Generated { predict: *library.get(b"predict")?, rows, _library: library }))
                }
                ("float64", "float64") => {
                    Ok(Self::Double(Generated { predict: *library.get(b"predict")?, rows, _library: library }))
                }
                other => Err(format!("the types {other:?} are not known").into()),
            }
        }
    }
}

impl Contender for Tl2cgen {
    fn score(&mut self, batch: Batch, scores: &mut [f64]) -> Result<(), Failed> {
        match self {
            Self::Single(model) => model.score(model.rows.single(batch), scores),
            Self::Double(model) => model.score(model.rows.double(batch), scores),
        }
        Ok(())
    }
}

impl<N: Default + Into<f64>> Generated<N> {
    fn score(&self, numbers: &[N], scores: &mut [f64]) {
        for (row, score) in numbers.chunks_exact(self.rows.width).zip(scores) {
            let mut sum = N::default();
            // SAFETY: the row is as wide as the model's, and the models have one output.
            unsafe { (self.predict)(row.as_ptr(), 0, &mut sum) };
            *score = sum.into();
        }
    }
}
