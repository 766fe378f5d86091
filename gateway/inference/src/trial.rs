//! Runs a model on zeros before it serves: whether it runs at all, how long it takes, whether rows are independent.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::backend::{DECLARES, too_long};
use crate::model::elements;
use crate::onnx::Exporter;
use crate::signature::Dimension;
use crate::{Cancel, Data, LoadError, Metadata, RunError, Session, Tensor, TensorInfo, batch, tensor};

/// What a trial told.
pub(crate) struct Tried {
    pub(crate) run_time: Duration,
    pub(crate) elements: usize,
}

/// When a trial has to have ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit {
    pub until: Instant,
    /// What was there from the beginning, for messages.
    pub whole: Duration,
}

impl Limit {
    pub fn of(whole: Duration) -> Self {
        Self { until: Instant::now() + whole, whole }
    }
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
    limit: Limit,
) -> Result<Tried, LoadError> {
    let inputs = zeros(metadata, sizes, 1)?;
    let mut times = watched(limit, |cancel| {
        let (mut times, started) = (Vec::new(), Instant::now());
        while times.len() < RUNS && (times.len() < 2 || started.elapsed() < TIME) {
            let begun = Instant::now();
            run_once(session, metadata, &inputs, (limit, cancel))?;
            times.push(begun.elapsed());
        }
        Ok::<_, LoadError>(times)
    })?;
    times.sort_unstable();
    Ok(Tried { run_time: times.get(times.len() / 2).copied().unwrap_or_default(), elements: elements(&inputs) })
}

/// Shapes of all outputs when one row of zeros goes in, and whether two rows give two.
///
/// # Errors
/// It fails on one row, or takes too long.
pub(crate) fn try_shapes(
    session: &mut dyn Session,
    metadata: &Metadata,
    sizes: &[(String, usize)],
    limit: Limit,
) -> Result<(Vec<Vec<usize>>, bool), LoadError> {
    let given = run(session, metadata, &zeros(metadata, sizes, 1)?, limit)?;
    let has_rows = metadata.signature.has_batch_axis() && try_two_rows(session, metadata, sizes, limit).is_ok();
    Ok((given.iter().map(|tensor| tensor.shape().to_vec()).collect(), has_rows))
}

/// Finds out whether two rows in give two rows out.
pub(crate) fn try_two_rows(
    session: &mut dyn Session,
    metadata: &Metadata,
    sizes: &[(String, usize)],
    limit: Limit,
) -> Result<(), LoadError> {
    let inputs = zeros(metadata, sizes, 2)?;
    let given = run(session, metadata, &inputs, limit)?;
    if batch::split(&given, &[1, 1]).is_some() { Ok(()) } else { Err(no_batch_axis(metadata)) }
}

/// One run, for all outputs, which is stopped when its time is over.
///
/// # Errors
/// It fails, or takes too long.
pub(crate) fn run(
    session: &mut dyn Session,
    metadata: &Metadata,
    inputs: &[Tensor],
    limit: Limit,
) -> Result<Vec<Tensor>, LoadError> {
    watched(limit, |cancel| run_once(session, metadata, inputs, (limit, cancel)))
}

/// Runs that are stopped when their time is over.
pub(crate) fn watched<T>(limit: Limit, runs: impl FnOnce(&Cancel) -> T) -> T {
    let cancel = Cancel::default();
    std::thread::scope(|scope| {
        // Dropped when the runs have ended.
        let (running, ended) = channel::<()>();
        let cancel = &cancel;
        scope.spawn(move || {
            let left = limit.until.saturating_duration_since(Instant::now());
            if ended.recv_timeout(left) == Err(RecvTimeoutError::Timeout) {
                cancel.cancel();
            }
        });
        let given = runs(cancel);
        drop(running);
        given
    })
}

fn run_once(
    session: &mut dyn Session,
    metadata: &Metadata,
    inputs: &[Tensor],
    (limit, cancel): (Limit, &Cancel),
) -> Result<Vec<Tensor>, LoadError> {
    let outputs = metadata.signature.all_outputs();
    let result = catch_unwind(AssertUnwindSafe(|| session.run(inputs, &outputs, cancel)));
    let result = result.unwrap_or_else(|_| Err(RunError::Failed("the runtime panicked".to_owned())));
    result.map_err(|error| {
        let shapes: Vec<_> = inputs.iter().map(|tensor| format!("{:?}", tensor.shape())).collect();
        let shapes = shapes.join(", ");
        if error == RunError::Cancelled {
            let help = format!(
                "a run on zeros of the shapes {shapes} alone may take so long: raise `load_timeout`, give smaller \
                 `dimensions`, or set `warm_up = \"off\"`"
            );
            return too_long(limit.whole, &help);
        }
        let message = format!("it fails when it is tried out on zeros of the shapes {shapes}: {error}");
        let help = if message.contains(DECLARES) {
            Exporter::of(&metadata.producer).with_floats().to_owned()
        } else {
            sizes_help(&metadata.signature.inputs)
        };
        LoadError { message, help }
    })
}

/// What to do about a model that fails on zeros.
fn sizes_help(inputs: &[TensorInfo]) -> String {
    let dimensions = || inputs.iter().filter_map(|info| info.shape.as_ref()).flatten();
    let mut names: Vec<_> = dimensions()
        .filter_map(|dimension| match dimension {
            Dimension::Named(name) => Some(name.as_str()),
            Dimension::Fixed(_) | Dimension::Any => None,
        })
        .collect();
    names.sort_unstable();
    names.dedup();
    // One row is what any model takes that takes rows.
    let within = inputs.iter().filter_map(|info| info.shape.as_ref()).flat_map(|shape| shape.iter().skip(1));
    let is_open = within.into_iter().any(|dimension| *dimension == Dimension::Any);
    let sizes: Vec<_> = names.iter().map(|name| format!("{} = 16", key(name))).collect();
    let first = match (names.is_empty(), is_open) {
        (false, _) => format!("give the sizes that it takes, as `dimensions = {{ {} }}`; ", sizes.join(", ")),
        (true, true) => {
            "export it with a name for each dimension of any size, and give the sizes in `dimensions`; ".to_owned()
        }
        (true, false) => String::new(),
    };
    format!(
        "{first}another runtime may run it, which `witgate model inspect FILE` tries; or set `warm_up = \"off\"` if zeros are no \
         input of it"
    )
}

/// A key of the configuration's language.
fn key(name: &str) -> String {
    let is_bare =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if is_bare { name.to_owned() } else { format!("{name:?}") }
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
        help: format!("{}, or take `batching` away", Exporter::of(&metadata.producer).with_rows()),
    }
}
