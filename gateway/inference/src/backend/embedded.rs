//! The runtime that is always there: tract, in pure Rust. `tests/bench/README.md` has what it was compared with.
//!
//! Its types are those of ONNX, so values are exact; and it asks before every operator whether to go on, so a run ends
//! soon after it was cancelled.

use std::any::Any;
use std::cell::Cell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, Once, PoisonError};

use tract_linalg::multithread::Executor;
use tract_onnx::Onnx;
use tract_onnx::prelude::tract_itertools::Itertools as _;
use tract_onnx::prelude::tract_ndarray::ArrayD;
use tract_onnx::prelude::{
    DatumType, Framework as _, InferenceFact, InferenceModel, InferenceModelExt as _, IntoTValue, SymbolScope, TDim,
    TValue, TVec, Tensor as TractTensor, TractError, TypedNode, TypedSimplePlan, tvec,
};
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer};
use tract_onnx::tract_core::runtime::RunOptions;

use crate::onnx::{Node, visit_nodes};
use crate::{
    Backend, Cancel, Data, DataType, Dimension, Graph, LoadError, Metadata, RunError, Session, SessionOptions,
    Signature, Tensor,
};

/// tract's version, which a test holds against the lock file.
const VERSION: &str = "0.23";
/// Domains in which an operator's name means to tract what it means to the model.
const DOMAINS: [&str; 2] = ["", "ai.onnx.ml"];
/// Plans for single shapes that a model keeps: weights are copied into each, so large models have few.
const PLANS_LIMIT: usize = 16;
const PLANS_BYTES: usize = 64 << 20;
/// Sizes of dimensions that a model leaves open, with which planning is tried.
const PROBED: [usize; 5] = [1, 2, 16, 64, 256];
/// Bytes of a message of tract's that are passed on: it may print whole nodes.
const MESSAGE_LIMIT: usize = 300;

const USE_ONNX_RUNTIME: &str = "run it with ONNX Runtime: `witgate model runtime install` fetches it and says what to put \
                                below `[inference]`";

type Plan = Arc<TypedSimplePlan>;

/// See the module.
#[derive(Debug, Default)]
pub struct Embedded;

impl Backend for Embedded {
    fn name(&self) -> &'static str {
        "embedded"
    }

    fn version(&self) -> String {
        format!("tract {VERSION}")
    }

    fn load(&self, model: &[u8], metadata: &Metadata, options: &SessionOptions) -> Result<Arc<dyn Graph>, LoadError> {
        let onnx = tract_onnx::onnx().with_ignore_output_shapes(true).with_ignore_value_info(true);
        check_operators(&onnx, model, metadata)?;
        check_types(&metadata.signature)?;
        let loaded = contained(|| Loaded::new(&onnx, model, metadata, options));
        match loaded {
            Ok(Ok(loaded)) => Ok(Arc::new(loaded)),
            Ok(Err(error)) => Err(cannot(brief(&error))),
            Err(panic) => Err(cannot(panic)),
        }
    }
}

fn cannot(why: impl std::fmt::Display) -> LoadError {
    LoadError::new(format!("the embedded runtime cannot run the model: {why}"), USE_ONNX_RUNTIME)
}

fn check_operators(onnx: &Onnx, model: &[u8], metadata: &Metadata) -> Result<(), LoadError> {
    let known = |operator: &str| {
        let (domain, name) = operator.split_once("::").unwrap_or(("", operator));
        DOMAINS.contains(&domain) && onnx.op_register.0.contains_key(name)
    };
    let unknown: Vec<_> = metadata.operators.iter().filter(|operator| !known(operator)).cloned().collect();
    if !unknown.is_empty() {
        return Err(cannot(format!("it has no {}", unknown.join(", "))));
    }
    let mut wrong = None;
    visit_nodes(model, |node| wrong = wrong.take().or_else(|| deviation(node)));
    wrong.map_or(Ok(()), |wrong| Err(cannot(wrong)))
}

/// What tract loads and then computes otherwise than the standard says, by ONNX's own test cases.
fn deviation(node: &Node<'_>) -> Option<String> {
    let of = |attribute: &str, value: &str| {
        let same = node.text(attribute).is_some_and(|text| text.eq_ignore_ascii_case(value));
        same.then(|| format!("its {} has no {attribute} = \"{value}\"", node.label()))
    };
    match node.operator {
        "RNN" | "GRU" | "LSTM" => of("direction", "reverse"),
        "SpaceToDepth" => of("mode", "CRD"),
        "BitShift" => Some("its BitShift is not exact for all shifts".to_owned()),
        _ => None,
    }
}

fn check_types(signature: &Signature) -> Result<(), LoadError> {
    for info in signature.inputs.iter().chain(&signature.outputs) {
        if datum_type(info.data_type).is_none() {
            return Err(cannot(format!("it has no type {} (`{}`)", info.data_type.label(), info.name)));
        }
    }
    Ok(())
}

thread_local! {
    static CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// Runs engine code, whose panics are this model's failures and nobody else's. They are not printed: a client's values can
/// make one with every request.
fn contained<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !CONTAINED.get() {
                print(panic);
            }
        }));
    });
    let before = CONTAINED.replace(true);
    let ended = catch_unwind(AssertUnwindSafe(run));
    CONTAINED.set(before);
    ended.map_err(|panic| format!("it panicked: {}", panic_message(panic.as_ref())))
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    shorten(text.unwrap_or("without a message"))
}

/// The outermost and the innermost part of an error.
fn brief(error: &TractError) -> String {
    let (first, last) = (error.to_string(), error.root_cause().to_string());
    if first == last { shorten(&first) } else { format!("{}: {}", shorten(&first), shorten(&last)) }
}

fn shorten(text: &str) -> String {
    let line = text.lines().map(str::trim).filter(|line| !line.is_empty()).join(" ");
    match line.get(..line.floor_char_boundary(MESSAGE_LIMIT)) {
        Some(start) if start.len() < line.len() => format!("{start}…"),
        _ => line,
    }
}

#[derive(Debug)]
struct Loaded {
    signature: Signature,
    plans: Plans,
}

#[derive(Debug)]
enum Plans {
    /// One for all shapes.
    General(Plan),
    /// One for each combination of input shapes, made at its first run: for models that cannot be planned without.
    Single(Box<SinglePlans>),
}

#[derive(Debug)]
struct SinglePlans {
    model: InferenceModel,
    types: Vec<DatumType>,
    executor: Executor,
    limit: usize,
    /// Used last at the back.
    made: Mutex<VecDeque<(Vec<Vec<usize>>, Plan)>>,
}

type TractResult<T> = Result<T, TractError>;

impl Loaded {
    fn new(onnx: &Onnx, bytes: &[u8], metadata: &Metadata, options: &SessionOptions) -> TractResult<Self> {
        let signature = metadata.signature.clone();
        let model = onnx.model_for_read(&mut &*bytes)?;
        let executor = match options.intra_op_threads {
            0 | 1 => Executor::SingleThread,
            threads => Executor::multithread_with_name(threads, "model"),
        };
        let general = contained(|| general(model.clone(), &signature).and_then(|model| plan(model, &executor)));
        let plans = if let Ok(Ok(plan)) = general {
            Plans::General(plan)
        } else {
            let limit = (PLANS_BYTES / bytes.len().max(1)).clamp(2, PLANS_LIMIT);
            let types = signature.inputs.iter().filter_map(|info| datum_type(info.data_type)).collect();
            let single = SinglePlans { model, types, executor, limit, made: Mutex::default() };
            single.probe(&signature)?;
            Plans::Single(Box::new(single))
        };
        Ok(Self { signature, plans })
    }
}

/// The model with a symbol for each dimension of any size.
fn general(mut model: InferenceModel, signature: &Signature) -> TractResult<InferenceModel> {
    let symbols: SymbolScope = model.symbols.clone();
    for (index, info) in signature.inputs.iter().enumerate() {
        let (Some(shape), Some(of_type)) = (&info.shape, datum_type(info.data_type)) else { continue };
        // tract reads the names itself, which may be expressions (`2*n`).
        if !shape.contains(&Dimension::Any) {
            continue;
        }
        let dimension = |(axis, dimension): (usize, &Dimension)| match dimension {
            Dimension::Fixed(size) => TDim::from(*size),
            Dimension::Named(name) => TDim::from(symbols.sym(name)),
            Dimension::Any => TDim::from(symbols.sym(&format!("any_{index}_{axis}"))),
        };
        let shape: TVec<TDim> = shape.iter().enumerate().map(dimension).collect();
        model.set_input_fact(index, InferenceFact::dt_shape(of_type, shape))?;
    }
    Ok(model)
}

fn plan(model: InferenceModel, executor: &Executor) -> TractResult<Plan> {
    let options = RunOptions { executor: Some(executor.clone()), ..RunOptions::default() };
    TypedSimplePlan::new_with_options(model.into_optimized()?, &options)
}

/// Each dimension of any size has this one; none if the model leaves even the rank open.
fn shapes(signature: &Signature, size: usize) -> Option<Vec<Vec<usize>>> {
    let sized = |dimension: &Dimension| match dimension {
        Dimension::Fixed(size) => *size,
        Dimension::Named(_) | Dimension::Any => size,
    };
    signature.inputs.iter().map(|info| Some(info.shape.as_ref()?.iter().map(sized).collect())).collect()
}

impl SinglePlans {
    /// Whether there are plans at all: of the sizes that are tried, a model that takes only some (pairs, windows of a
    /// convolution) most likely takes one.
    fn probe(&self, signature: &Signature) -> TractResult<()> {
        let mut first = None;
        for size in PROBED {
            let Some(shapes) = shapes(signature, size) else { return Ok(()) };
            match contained(|| self.plan(&shapes)) {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(error)) => first = first.or(Some(error)),
                Err(panic) => first = first.or_else(|| Some(TractError::msg(panic))),
            }
        }
        first.map_or(Ok(()), Err)
    }

    fn plan(&self, shapes: &[Vec<usize>]) -> TractResult<Plan> {
        let found = {
            let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
            let found = made.iter().position(|(of, _)| of == shapes).and_then(|index| made.remove(index));
            found.map(|(of, plan)| {
                made.push_back((of, Arc::clone(&plan)));
                plan
            })
        };
        if let Some(plan) = found {
            return Ok(plan);
        }
        let mut model = self.model.clone();
        for (index, (shape, of_type)) in shapes.iter().zip(&self.types).enumerate() {
            model.set_input_fact(index, InferenceFact::dt_shape(*of_type, shape.as_slice()))?;
        }
        let plan = plan(model, &self.executor)?;
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if made.len() >= self.limit {
            made.pop_front();
        }
        made.push_back((shapes.to_vec(), Arc::clone(&plan)));
        Ok(plan)
    }
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
        let run = contained(|| self.0.run(inputs, outputs, cancel));
        if cancel.is_cancelled() {
            return Err(RunError::Cancelled);
        }
        run.unwrap_or_else(|panic| Err(RunError::Failed(panic)))
    }
}

impl Loaded {
    fn run(&self, inputs: &[Tensor], outputs: &[usize], cancel: &Cancel) -> Result<Vec<Tensor>, RunError> {
        if inputs.len() != self.signature.inputs.len() {
            let (expected, got) = (self.signature.inputs.len(), inputs.len());
            return Err(RunError::Invalid(format!("expected {expected} inputs, got {got}")));
        }
        let invalid = |error| RunError::Invalid(brief(&error));
        let plan = match &self.plans {
            Plans::General(plan) => Arc::clone(plan),
            Plans::Single(plans) => {
                let shapes: Vec<_> = inputs.iter().map(|input| input.shape().to_vec()).collect();
                plans.plan(&shapes).map_err(invalid)?
            }
        };
        let values = inputs.iter().map(|input| to_tract(input).map(IntoTValue::into_tvalue));
        let values = values.collect::<TractResult<TVec<TValue>>>().map_err(invalid)?;
        let failed = |error| RunError::Failed(brief(&error));
        let mut state = plan.spawn().map_err(failed)?;
        state.set_inputs(values).map_err(invalid)?;
        let begun = state.exec_plan_with_eval(|context, state, node, inputs| {
            if cancel.is_cancelled() {
                return Err(TractError::msg("cancelled"));
            }
            if let Some(sum) = sum_of_nothing(node, &inputs) {
                return Ok(tvec![sum]);
            }
            tract_onnx::tract_core::plan::eval(context, state, node, inputs)
        });
        begun.map_err(failed)?;
        let values = state.outputs().map_err(failed)?;
        let wanted = outputs.iter().map(|index| {
            let (value, info) = values.get(*index).zip(self.signature.outputs.get(*index))?;
            Some(from_tract(value, info.data_type))
        });
        wanted
            .map(|output| {
                output.ok_or_else(|| RunError::Failed("the model gave too few outputs".to_owned()))?.map_err(failed)
            })
            .collect()
    }
}

/// A sum over an axis without elements is 0 (ONNX, ReduceSum); tract 0.23 divides by their number.
fn sum_of_nothing(node: &TypedNode, inputs: &[TValue]) -> Option<TValue> {
    let [input] = inputs else { return None };
    if input.len() > 0 {
        return None;
    }
    let reduce = node.op_as::<Reduce>().filter(|reduce| reduce.reducer == Reducer::Sum)?;
    let size = |(axis, size): (usize, &usize)| if reduce.axes.contains(&axis) { 1 } else { *size };
    let shape: TVec<usize> = input.shape().iter().enumerate().map(size).collect();
    TractTensor::zero_dt(input.datum_type(), &shape).ok().map(IntoTValue::into_tvalue)
}

/// tract has no bfloat16.
fn datum_type(data_type: DataType) -> Option<DatumType> {
    Some(match data_type {
        DataType::Bool => DatumType::Bool,
        DataType::Uint8 => DatumType::U8,
        DataType::Uint16 => DatumType::U16,
        DataType::Uint32 => DatumType::U32,
        DataType::Uint64 => DatumType::U64,
        DataType::Int8 => DatumType::I8,
        DataType::Int16 => DatumType::I16,
        DataType::Int32 => DatumType::I32,
        DataType::Int64 => DatumType::I64,
        DataType::Float16 => DatumType::F16,
        DataType::Bfloat16 => return None,
        DataType::Float32 => DatumType::F32,
        DataType::Float64 => DatumType::F64,
        DataType::String => DatumType::String,
    })
}

fn to_tract(tensor: &Tensor) -> TractResult<TractTensor> {
    let shape = tensor.shape();
    match tensor.data() {
        Data::Bool(elements) => TractTensor::from_shape(shape, elements),
        Data::Uint8(elements) => TractTensor::from_shape(shape, elements),
        Data::Uint16(elements) => TractTensor::from_shape(shape, elements),
        Data::Uint32(elements) => TractTensor::from_shape(shape, elements),
        Data::Uint64(elements) => TractTensor::from_shape(shape, elements),
        Data::Int8(elements) => TractTensor::from_shape(shape, elements),
        Data::Int16(elements) => TractTensor::from_shape(shape, elements),
        Data::Int32(elements) => TractTensor::from_shape(shape, elements),
        Data::Int64(elements) => TractTensor::from_shape(shape, elements),
        Data::Float16(elements) => TractTensor::from_shape(shape, elements),
        Data::Float32(elements) => TractTensor::from_shape(shape, elements),
        Data::Float64(elements) => TractTensor::from_shape(shape, elements),
        Data::String(elements) => Ok(ArrayD::from_shape_vec(shape, elements.clone())?.into()),
        Data::Bfloat16(_) => Err(TractError::msg("there is no type BF16")),
    }
}

fn from_tract(value: &TractTensor, declared: DataType) -> TractResult<Tensor> {
    // Sizes are of a type of their own in tract; everything else has the type that the model says.
    let value = match value.datum_type() {
        DatumType::TDim => value.cast_to::<i64>()?,
        _ => std::borrow::Cow::Borrowed(value),
    };
    let elements = value.try_as_plain_ram()?;
    let data = match declared {
        DataType::Bool => Data::Bool(elements.as_slice()?.to_vec()),
        DataType::Uint8 => Data::Uint8(elements.as_slice()?.to_vec()),
        DataType::Uint16 => Data::Uint16(elements.as_slice()?.to_vec()),
        DataType::Uint32 => Data::Uint32(elements.as_slice()?.to_vec()),
        DataType::Uint64 => Data::Uint64(elements.as_slice()?.to_vec()),
        DataType::Int8 => Data::Int8(elements.as_slice()?.to_vec()),
        DataType::Int16 => Data::Int16(elements.as_slice()?.to_vec()),
        DataType::Int32 => Data::Int32(elements.as_slice()?.to_vec()),
        DataType::Int64 => Data::Int64(elements.as_slice()?.to_vec()),
        DataType::Float16 => Data::Float16(elements.as_slice()?.to_vec()),
        DataType::Float32 => Data::Float32(elements.as_slice()?.to_vec()),
        DataType::Float64 => Data::Float64(elements.as_slice()?.to_vec()),
        DataType::String => Data::String(elements.as_slice()?.to_vec()),
        DataType::Bfloat16 => return Err(TractError::msg("there is no type BF16")),
    };
    Ok(Tensor::new(value.shape(), data)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_that_of_the_lock_file() {
        let lock = include_str!("../../../../Cargo.lock");
        assert!(lock.contains(&format!("name = \"tract-onnx\"\nversion = \"{VERSION}.")));
    }
}
