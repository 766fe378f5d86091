//! Runs a model on zeros before it serves: whether it runs at all, how long it takes, whether rows are independent.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::model::elements;
use crate::signature::Dimension;
use crate::{Cancel, Data, LoadError, Metadata, RunError, Session, Tensor, TensorInfo, batch, tensor};

/// What a trial told.
pub(crate) struct Tried {
    pub(crate) run_time: Duration,
    pub(crate) elements: usize,
}

/// Runs for the timing, of which the median counts, and the time after which it is enough.
const RUNS: usize = 15;
const TIME: Duration = Duration::from_millis(50);
/// Elements of an input: what would be more is no trial but an attack on memory.
const ELEMENTS_LIMIT: usize = 64 * 1024 * 1024;

pub(crate) fn try_out(
    session: &mut dyn Session,
    metadata: &Metadata,
    sizes: &[(String, usize)],
) -> Result<Tried, LoadError> {
    let inputs = zeros(metadata, sizes, 1)?;
    let outputs = metadata.signature.all_outputs();
    let (mut times, started) = (Vec::new(), Instant::now());
    while times.len() < RUNS && (times.len() < 2 || started.elapsed() < TIME) {
        let begun = Instant::now();
        run(session, &inputs, &outputs)?;
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    Ok(Tried { run_time: times.get(times.len() / 2).copied().unwrap_or_default(), elements: elements(&inputs) })
}

/// Finds out whether two rows in give two rows out.
pub(crate) fn try_two_rows(
    session: &mut dyn Session,
    metadata: &Metadata,
    sizes: &[(String, usize)],
) -> Result<(), LoadError> {
    let inputs = zeros(metadata, sizes, 2)?;
    let outputs = metadata.signature.all_outputs();
    let given = run(session, &inputs, &outputs)?;
    if batch::split(&given, &[1, 1]).is_some() { Ok(()) } else { Err(no_batch_axis(metadata)) }
}

fn run(session: &mut dyn Session, inputs: &[Tensor], outputs: &[usize]) -> Result<Vec<Tensor>, LoadError> {
    let result = catch_unwind(AssertUnwindSafe(|| session.run(inputs, outputs, &Cancel::default())));
    let result = result.unwrap_or_else(|_| Err(RunError::Failed("the runtime panicked".to_owned())));
    result.map_err(|error| {
        let shapes: Vec<_> = inputs.iter().map(|tensor| format!("{:?}", tensor.shape())).collect();
        let shapes = shapes.join(", ");
        LoadError {
            message: format!("it fails when it is tried out on zeros of the shapes {shapes}: {error}"),
            help: "give the sizes of named dimensions in `warm_up`, or set `warm_up = \"off\"` if zeros are no input"
                .to_owned(),
        }
    })
}

fn zeros(metadata: &Metadata, sizes: &[(String, usize)], rows: usize) -> Result<Vec<Tensor>, LoadError> {
    let batched = metadata.signature.has_batch_axis();
    let zero = |info: &TensorInfo| {
        let dimensions = info.shape.as_deref().unwrap_or_default();
        let shape: Vec<usize> = dimensions
            .iter()
            .enumerate()
            .map(|(at, dimension)| match dimension {
                _ if at == 0 && batched && rows > 1 => rows,
                Dimension::Fixed(size) => *size,
                Dimension::Named(name) => sizes.iter().find(|(named, _)| named == name).map_or(1, |(_, size)| *size),
                Dimension::Any => 1,
            })
            .collect();
        let count = tensor::count(&shape).filter(|count| *count <= ELEMENTS_LIMIT);
        let data = Data::zeros(info.data_type, count.ok_or_else(|| too_large(info, &shape))?);
        Tensor::new(shape.clone(), data).map_err(|_| too_large(info, &shape))
    };
    metadata.signature.inputs.iter().map(zero).collect()
}

fn too_large(info: &TensorInfo, shape: &[usize]) -> LoadError {
    LoadError {
        message: format!(
            "its input `{}` has the shape {shape:?}, which is more than {ELEMENTS_LIMIT} elements",
            info.name
        ),
        help: "give smaller sizes in `warm_up`, or a model with smaller inputs".to_owned(),
    }
}

pub(crate) fn no_batch_axis(metadata: &Metadata) -> LoadError {
    let shapes = metadata.signature.inputs.iter().chain(&metadata.signature.outputs).map(ToString::to_string);
    LoadError {
        message: format!(
            "requests cannot be put together for one run: the first dimension of every input and output has to be of \
             any size; it has {}",
            shapes.collect::<Vec<_>>().join(", ")
        ),
        help: "export the model with a dynamic batch axis, or take `batching` away".to_owned(),
    }
}
