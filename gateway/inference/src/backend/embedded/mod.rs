//! The runtime that is always there: operators by their definition (`witgate-operators`), trees in machine code
//! (`witgate-trees`).
//!
//! Whatever it answers is what ONNX says; what it does not know, it refuses when the model is loaded. A run uses the thread
//! that asks for it and no other.

mod trees;

use std::sync::Arc;
use std::time::Instant;

use witgate_operators::{
    BuildError, Graph as Plan, GraphError, Limits, RunError as Failure, Shape, Tensor as Operand, Value,
};

use self::trees::Trees;
use super::too_long;
use crate::trial::{Limit, watched};
use crate::{
    Backend, Cancel, Dimension, Graph, LoadError, Metadata, RunError, Session, SessionOptions, Signature, Tensor,
    TensorInfo, onnx,
};

const USE_ONNX_RUNTIME: &str = "run it with ONNX Runtime: `witgate model runtime install` fetches it and says what to put \
                                below `[inference]`";

/// Stands in the message about an output of another type than declared, and in no other.
pub(crate) const DECLARES: &str = "the model declares";

const LOADS_SLOWLY: &str = "raise `load_timeout`, or export the model with fewer or smaller trees";

/// See the module.
#[derive(Debug, Default)]
pub struct Embedded;

impl Backend for Embedded {
    fn name(&self) -> &'static str {
        "embedded"
    }

    fn version(&self) -> String {
        format!("Witgate {}", env!("CARGO_PKG_VERSION"))
    }

    fn load(&self, model: &[u8], metadata: &Metadata, options: &SessionOptions) -> Result<Arc<dyn Graph>, LoadError> {
        let limit = Limit::of(options.load_timeout);
        let spec = onnx::graph(&onnx::without_maps(model)).map_err(|what| cannot(format!("it has {what}")))?;
        let trees = Trees::new(&metadata.signature, limit.until, options.code.clone());
        // Whoever asks for a run bounds its time, and stops it.
        let limits = Limits { work: u64::MAX, ..Limits::default() };
        let plan = watched(limit, |cancel| Plan::new_until(spec, &trees, limits, &cancel.flag()));
        if Instant::now() >= limit.until {
            return Err(too_long(options.load_timeout, LOADS_SLOWLY));
        }
        let plan = plan.map_err(|error| refused(error, metadata))?;
        Ok(Arc::new(Loaded { signature: metadata.signature.clone(), plan }))
    }
}

fn cannot(why: impl std::fmt::Display) -> LoadError {
    LoadError::new(format!("the embedded runtime cannot run the model: {why}"), USE_ONNX_RUNTIME)
}

fn refused(error: GraphError, metadata: &Metadata) -> LoadError {
    match error {
        GraphError::Unknown(operators) => cannot(format!("it has no {}", operators.join(", "))),
        GraphError::Node { problem: BuildError::Unsupported(ref why), .. } if why.contains("votes for the target") => {
            let refused = cannot(&error);
            let help = onnx::Exporter::of(&metadata.producer).with_own_trees().map(str::to_owned);
            LoadError { help: help.unwrap_or(refused.help), ..refused }
        }
        other => cannot(other),
    }
}

#[derive(Debug)]
struct Loaded {
    signature: Signature,
    plan: Plan,
}

impl Graph for Loaded {
    fn session(self: Arc<Self>) -> Result<Box<dyn Session>, LoadError> {
        Ok(Box::new(Runner(self)))
    }
}

/// Has nothing of its own: what a run needs is made for it, which takes less than a microsecond.
struct Runner(Arc<Loaded>);

impl Session for Runner {
    fn run(&mut self, inputs: &[Tensor], outputs: &[usize], cancel: &Cancel) -> Result<Vec<Tensor>, RunError> {
        if cancel.is_cancelled() {
            return Err(RunError::Cancelled);
        }
        let Loaded { signature, .. } = self.0.as_ref();
        let inputs = inputs.iter().zip(&signature.inputs).map(|(tensor, info)| to_operand(tensor, info));
        let inputs = inputs.collect::<Result<_, _>>()?;
        let mut given = self.0.plan.run_until(inputs, outputs, cancel.flag()).map_err(|error| match error {
            _ if error.is_stopped() => RunError::Cancelled,
            Failure::Inputs { .. } | Failure::Limit(_) => RunError::Invalid(error.to_string()),
            Failure::Node { .. } => RunError::Failed(error.to_string()),
        })?;
        outputs.iter().map(|index| from_operand(*index, signature, &mut given)).collect()
    }
}

fn to_operand(tensor: &Tensor, info: &TensorInfo) -> Result<Value, RunError> {
    // What the model was made for holds: another size may be one that it computes nonsense of.
    let sizes = info.shape.iter().flatten().zip(tensor.shape());
    if sizes.into_iter().any(|(declared, size)| matches!(declared, Dimension::Fixed(declared) if declared != size)) {
        return Err(RunError::Invalid(format!("expected the input {info}, got {:?}", tensor.shape())));
    }
    let shape = Shape::new(tensor.shape()).map_err(|error| RunError::Invalid(error.to_string()))?;
    let operand = Operand::new(shape, tensor.data().clone());
    operand.map(Value::Tensor).map_err(|error| RunError::Invalid(error.to_string()))
}

/// Takes an output, which has to be of the type that the model declares.
fn from_operand(index: usize, signature: &Signature, given: &mut [Value]) -> Result<Tensor, RunError> {
    let (Some(value), Some(info)) = (given.get_mut(index).map(std::mem::take), signature.outputs.get(index)) else {
        return Err(RunError::Failed("the model gave too few outputs".to_owned()));
    };
    let Value::Tensor(tensor) = value else {
        return Err(RunError::Failed(format!("its output `{}` came out as {value}, which is no tensor", info.name)));
    };
    if tensor.data_type() != info.data_type {
        let (got, declared) = (tensor.data_type().label(), info.data_type.label());
        let message = format!("its output `{}` came out as {got}, and {DECLARES} {declared}", info.name);
        return Err(RunError::Failed(message));
    }
    let (shape, data) = tensor.into_parts();
    Tensor::new(shape.dimensions(), data).map_err(|error| RunError::Failed(error.to_string()))
}
