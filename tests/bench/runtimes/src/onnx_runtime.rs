//! ONNX Runtime through `ort`, with its own defaults but for the threads, of which there is one.

use std::path::Path;
use std::rc::Rc;

use ort::environment::Environment;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::value::{DynValue, Tensor as Values};

use crate::Failed;
use crate::contender::{Ahead, Contender, last_column};
use crate::rows::{Batch, Numbers, Rows};

pub fn open(library: &Path) -> Result<Environment, Failed> {
    Ok(ort::init_from(library)?.with_name("bench").with_telemetry(false).build()?)
}

/// `ort::session::Session::run` on tensors that were made before.
pub struct OnnxRuntime {
    session: ort::session::Session,
    inputs: Rc<Ahead<DynValue>>,
    output: String,
}

impl OnnxRuntime {
    pub fn load(
        environment: &Environment,
        file: &Path,
        inputs: &Rc<Ahead<DynValue>>,
        output: &str,
    ) -> Result<Self, Failed> {
        let settled = |result: ort::session::builder::BuilderResult| -> Result<SessionBuilder, Failed> {
            result.map_err(|error| error.message().to_owned().into())
        };
        let mut builder = ort::session::Session::builder(environment)?;
        builder = settled(builder.with_optimization_level(GraphOptimizationLevel::All))?;
        builder = settled(builder.with_intra_threads(1))?;
        builder = settled(builder.with_inter_threads(1))?;
        let session = builder.commit_from_memory(&std::fs::read(file)?)?;
        Ok(Self { session, inputs: Rc::clone(inputs), output: output.to_owned() })
    }

    pub fn inputs(rows: &Rc<Rows>) -> Result<Rc<Ahead<DynValue>>, Failed> {
        Ahead::make(rows, |batch| {
            let shape = [batch.count, rows.width];
            Ok(match rows.numbers {
                Numbers::Integers(_) => Values::from_array((shape, rows.integers(batch).to_vec()))?.into_dyn(),
                Numbers::Floats { .. } => Values::from_array((shape, rows.single(batch).to_vec()))?.into_dyn(),
            })
        })
    }
}

impl Contender for OnnxRuntime {
    fn score(&mut self, batch: Batch, scores: &mut [f64]) -> Result<(), Failed> {
        let outputs = self.session.run([self.inputs.of(batch).into()])?;
        let output = outputs.get(&self.output).ok_or("no such output")?;
        last_column(output.try_extract_tensor::<f32>()?.1, scores);
        Ok(())
    }
}
