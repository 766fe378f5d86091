//! Witgate: compiled trees called directly, and any model through the seam behind which the gateway has all its runtimes.

use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use witgate_inference::backend::{Embedded, Native};
use witgate_inference::{Backend, Cancel, Data, Metadata, Session, SessionOptions, Tensor};
use witgate_native::{CompileOptions, CompiledNative, Limits, Precision, Selection};

use crate::Failed;
use crate::contender::{Ahead, Contender, last_column};
use crate::rows::{Batch, Numbers, Rows};

/// A library's own file, called without anything around it.
pub struct Called {
    model: CompiledNative,
    rows: Rc<Rows>,
    /// What rows have.
    precision: Precision,
}

impl Called {
    pub fn load(file: &Path, rows: &Rc<Rows>, precision: Precision, selection: Selection) -> Result<Self, Failed> {
        let rows_are = (precision == Precision::F32).then_some(Precision::F32);
        let options = CompileOptions { rows: rows_are, selection, ..CompileOptions::default() };
        let model = witgate_native::read(&std::fs::read(file)?, &Limits::default())?.compile(&options)?;
        Ok(Self { model, rows: Rc::clone(rows), precision })
    }

    /// Which layouts were chosen, for one row and for many.
    pub fn layouts(&self) -> String {
        let report = self.model.report();
        report.map(|report| format!("{}, {}", report.one.label(), report.many.label())).unwrap_or_default()
    }
}

impl Contender for Called {
    fn score(&mut self, batch: Batch, scores: &mut [f64]) -> Result<(), Failed> {
        match self.precision {
            Precision::F32 => self.model.predict(self.rows.single(batch), self.rows.width, scores)?,
            Precision::F64 => self.model.predict(self.rows.double(batch), self.rows.width, scores)?,
        }
        Ok(())
    }
}

/// A model file behind the gateway's seam.
pub struct Seam {
    session: Box<dyn Session>,
    inputs: Rc<Ahead<Tensor>>,
    output: usize,
}

impl Seam {
    /// `output`: by its name in the graph; none: the first.
    pub fn load(file: &Path, inputs: &Rc<Ahead<Tensor>>, output: Option<&str>) -> Result<Self, Failed> {
        let bytes = std::fs::read(file)?;
        let metadata = Metadata::read(&bytes)?;
        let output = match output {
            Some(name) => {
                metadata.signature.outputs.iter().position(|info| info.name == name).ok_or("no such output")?
            }
            None => 0,
        };
        let backend: &dyn Backend = if metadata.native.is_some() { &Native } else { &Embedded };
        let options = SessionOptions { intra_op_threads: 1, load_timeout: Duration::from_secs(600) };
        let session = Arc::clone(&backend.load(&bytes, &metadata, &options)?).session()?;
        Ok(Self { session, inputs: Rc::clone(inputs), output })
    }

    /// What it takes: a library's own file doubles, a graph floats or integers of 32 bits.
    pub fn inputs(rows: &Rc<Rows>, precision: Precision) -> Result<Rc<Ahead<Tensor>>, Failed> {
        Ahead::make(rows, |batch| {
            let data = match (&rows.numbers, precision) {
                (Numbers::Integers(_), _) => Data::Int32(rows.integers(batch).to_vec()),
                (Numbers::Floats { .. }, Precision::F64) => Data::Float64(rows.double(batch).to_vec()),
                (Numbers::Floats { .. }, Precision::F32) => Data::Float32(rows.single(batch).to_vec()),
            };
            Ok(Tensor::new([batch.count, rows.width], data)?)
        })
    }
}

impl Contender for Seam {
    fn score(&mut self, batch: Batch, scores: &mut [f64]) -> Result<(), Failed> {
        let inputs = std::slice::from_ref(self.inputs.of(batch));
        let outputs = self.session.run(inputs, &[self.output], &Cancel::default())?;
        match outputs.first().map(Tensor::data) {
            Some(Data::Float32(numbers)) => last_column(numbers, scores),
            Some(Data::Float64(numbers)) => last_column(numbers, scores),
            _ => return Err("the output has no numbers".into()),
        }
        Ok(())
    }
}
