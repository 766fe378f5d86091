//! ONNX Runtime, from a shared library that the operator installed.
//!
//! The library and its environment are one for each process and stay until it ends: taking another needs a restart.

use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ort::ErrorCode;
use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{RunOptions, SessionInputValue};
use ort::value::{DynValue, TensorRef};

use crate::{
    Backend, Cancel, Data, DataType, Graph, LoadError, Metadata, RunError, Session, SessionOptions, Signature, Tensor,
    onnx,
};

/// The oldest version whose interface has what is used here.
const OLDEST: &str = "1.17";
/// Bytes of a message of the library that are passed on.
const MESSAGE_LIMIT: usize = 500;

const INSTALL: &str =
    "`witgate model runtime install` fetches a library that works and prints the line for the configuration";

/// See the module.
#[derive(Debug)]
pub struct OnnxRuntime {
    environment: Environment,
    version: String,
}

struct Opened {
    path: PathBuf,
    runtime: Arc<OnnxRuntime>,
}

/// The library of this process.
static OPENED: Mutex<Option<Opened>> = Mutex::new(None);

impl OnnxRuntime {
    /// Loads the library, or takes the one that was loaded from this path before. Blocks for some tens of milliseconds.
    ///
    /// # Errors
    /// There is none at this path, it is not ONNX Runtime or too old, or another one has been loaded already.
    pub fn open(path: &Path) -> Result<Arc<Self>, LoadError> {
        let shown = path.display();
        let real = path.canonicalize().map_err(|_| {
            LoadError::new(format!("expected the library of ONNX Runtime at `{shown}`, got none"), INSTALL)
        })?;
        if !real.is_file() {
            return Err(LoadError::new(
                format!("`{shown}` is not a file: expected the path of `libonnxruntime.so`"),
                INSTALL,
            ));
        }
        let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(opened) = &*opened {
            if opened.path == real {
                return Ok(Arc::clone(&opened.runtime));
            }
            let loaded = opened.path.display();
            return Err(LoadError::new(
                format!(
                    "ONNX Runtime has been loaded from `{loaded}` already, and a process can have only one: not `{shown}`"
                ),
                "restart the gateway to change it",
            ));
        }
        let runtime = match catch_unwind(AssertUnwindSafe(|| open(&real))) {
            Ok(runtime) => Arc::new(runtime?),
            Err(_) => {
                let message = format!("the library `{shown}` is not an ONNX Runtime that can be used");
                return Err(LoadError::new(message, INSTALL));
            }
        };
        *opened = Some(Opened { path: real, runtime: Arc::clone(&runtime) });
        Ok(runtime)
    }
}

fn open(path: &Path) -> Result<OnnxRuntime, LoadError> {
    use ort::LoadDynamicError as Error;
    let shown = path.display();
    let builder = ort::init_from(path).map_err(|error| match error {
        Error::Dlopen { error, .. } => {
            // The dynamic linker's words, which name symbols and sections.
            tracing::debug!(%error, path = %shown, "ONNX Runtime cannot be loaded");
            LoadError::new(format!("`{shown}` is not a library that can be loaded here"), INSTALL)
        }
        Error::MissingApi { .. } => LoadError::new(format!("the library `{shown}` is not ONNX Runtime"), INSTALL),
        Error::InvalidVersionString => {
            LoadError::new(format!("the ONNX Runtime `{shown}` does not tell its version"), INSTALL)
        }
        Error::BadVersion { version_str, .. } => LoadError::new(
            format!("the ONNX Runtime `{shown}` is too old: expected {OLDEST} or newer, got {version_str}"),
            INSTALL,
        ),
    })?;
    let failed = |error: ort::Error| {
        LoadError::new(format!("the ONNX Runtime `{shown}` does not start: {}", shorten(&error)), INSTALL)
    };
    // Errors come back as results; what the library would write besides is for its developers.
    let environment =
        builder.with_name("witgate").with_telemetry(false).with_logger(Arc::new(log)).build().map_err(failed)?;
    environment.set_log_level(LogLevel::Error);
    Ok(OnnxRuntime { environment, version: version(path) })
}

fn log(level: LogLevel, category: &str, _id: &str, _location: &str, message: &str) {
    tracing::debug!(target: "onnxruntime", ?level, category, "{message}");
}

/// The library tells its version to `ort` alone; the file's name has it, as wheels, packages and installations name it.
fn version(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let version = name.split_once(".so.").map(|(_, version)| version.to_owned());
    version.filter(|version| version.contains('.')).unwrap_or_else(|| format!("{OLDEST} or newer"))
}

fn shorten(text: &impl Display) -> String {
    let text = text.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    match text.get(..text.floor_char_boundary(MESSAGE_LIMIT)) {
        Some(start) if start.len() < text.len() => format!("{start}…"),
        _ => text,
    }
}

impl Backend for OnnxRuntime {
    fn name(&self) -> &'static str {
        "onnxruntime"
    }

    fn version(&self) -> String {
        format!("ONNX Runtime {}", self.version)
    }

    fn load(&self, model: &[u8], metadata: &Metadata, options: &SessionOptions) -> Result<Arc<dyn Graph>, LoadError> {
        let loaded = Loaded {
            environment: self.environment.clone(),
            model: onnx::without_maps(model).as_ref().into(),
            signature: metadata.signature.clone(),
            threads: options.intra_op_threads.max(1),
            first: Mutex::default(),
        };
        let session = loaded.make()?;
        *loaded.first.lock().unwrap_or_else(PoisonError::into_inner) = Some(session);
        Ok(Arc::new(loaded))
    }
}

/// What to do about a model that ONNX Runtime does not take, by its words.
fn remedy(why: &str) -> String {
    let locale =
        why.split_once("construct locale with name:").map(|(_, rest)| rest.split(':').next().unwrap_or_default());
    match locale {
        Some(locale) => format!(
            "its StringNormalizer wants the locale `{locale}` of this machine: install it (on Debian, the package `locales`, and \
             `locale-gen` with a line for it in /etc/locale.gen), or export the model with one that is there: \
             `skl2onnx.to_onnx(model, …, options={{TfidfVectorizer: {{\"locale\": \"C.UTF-8\"}}}})`"
        ),
        None => "take a newer ONNX Runtime or an older operator set; operators of other domains than `ai.onnx`, `ai.onnx.ml` and \
                 `com.microsoft` cannot be run. Some models run with the embedded runtime only: `runtime = \"embedded\"`"
            .to_owned(),
    }
}

#[derive(Debug)]
struct Loaded {
    environment: Environment,
    model: Arc<[u8]>,
    signature: Signature,
    threads: usize,
    /// That with which loading was tried, for the first who asks.
    first: Mutex<Option<ort::session::Session>>,
}

impl Loaded {
    fn make(&self) -> Result<ort::session::Session, LoadError> {
        let cannot = |why: String| LoadError::new(format!("ONNX Runtime cannot run the model: {why}"), remedy(&why));
        let made = catch_unwind(AssertUnwindSafe(|| {
            let mut builder = self.builder()?;
            builder.commit_from_memory(&self.model)
        }));
        let session = match made {
            Ok(Ok(session)) => session,
            Ok(Err(error)) => return Err(cannot(shorten(&error))),
            Err(_) => return Err(cannot("it panicked".to_owned())),
        };
        // Values go in and come out by their places.
        let same = |ours: &[crate::TensorInfo], theirs: &[ort::value::Outlet]| {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| ours.name == theirs.name())
        };
        if !same(&self.signature.inputs, session.inputs()) || !same(&self.signature.outputs, session.outputs()) {
            return Err(cannot("it sees other inputs and outputs than the file lists".to_owned()));
        }
        Ok(session)
    }

    fn builder(&self) -> Result<SessionBuilder, ort::Error> {
        let settled = |result: ort::session::builder::BuilderResult| {
            result.map_err(|error| ort::Error::new_with_code(error.code(), error.message()))
        };
        let mut builder = ort::session::Session::builder(&self.environment)?;
        builder = settled(builder.with_optimization_level(GraphOptimizationLevel::All))?;
        builder = settled(builder.with_intra_threads(self.threads))?;
        builder = settled(builder.with_inter_threads(1))?;
        builder = settled(builder.with_parallel_execution(false))?;
        // Threads that spin while they wait would take the proxy's time.
        builder = settled(builder.with_intra_op_spinning(false))?;
        builder = settled(builder.with_inter_op_spinning(false))?;
        // Memory patterns and the arena keep what the largest batch took for as long as the session lives.
        builder = settled(builder.with_memory_pattern(false))?;
        let processor = ort::ep::CPU::default().with_arena_allocator(false).build();
        builder = settled(builder.with_execution_providers([processor]))?;
        settled(builder.with_log_level(LogLevel::Fatal))
    }
}

impl Graph for Loaded {
    fn session(self: Arc<Self>) -> Result<Box<dyn Session>, LoadError> {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        let session = first.map_or_else(|| self.make(), Ok)?;
        Ok(Box::new(Runner { session, graph: self }))
    }
}

struct Runner {
    session: ort::session::Session,
    graph: Arc<Loaded>,
}

impl Session for Runner {
    fn run(&mut self, inputs: &[Tensor], outputs: &[usize], cancel: &Cancel) -> Result<Vec<Tensor>, RunError> {
        let (expected, got) = (self.graph.signature.inputs.len(), inputs.len());
        if expected != got {
            return Err(RunError::Invalid(format!("expected {expected} inputs, got {got}")));
        }
        if cancel.is_cancelled() {
            return Err(RunError::Cancelled);
        }
        let run = catch_unwind(AssertUnwindSafe(|| self.run_with(inputs, outputs, cancel)));
        cancel.stop_with(None);
        match run {
            Ok(Ok(outputs)) => Ok(outputs),
            _ if cancel.is_cancelled() => Err(RunError::Cancelled),
            Ok(Err(error)) if error.code() == ErrorCode::InvalidArgument => Err(RunError::Invalid(shorten(&error))),
            Ok(Err(error)) => Err(RunError::Failed(shorten(&error))),
            Err(_) => Err(RunError::Failed("it panicked".to_owned())),
        }
    }
}

impl Runner {
    fn run_with(&mut self, inputs: &[Tensor], wanted: &[usize], cancel: &Cancel) -> Result<Vec<Tensor>, ort::Error> {
        let values = inputs.iter().map(to_ort).collect::<Result<Vec<_>, _>>()?;
        let options = Arc::new(RunOptions::new()?);
        let stop = Arc::clone(&options);
        cancel.stop_with(Some(Box::new(move || {
            // It can fail only for want of memory, and then the run ends by itself.
            let _ = stop.terminate();
        })));
        let outputs = self.session.run_with_options(values.as_slice(), &options)?;
        let missing = || ort::Error::new("the model gave too few outputs");
        let of = |index: &usize| {
            let info = self.graph.signature.outputs.get(*index).ok_or_else(missing)?;
            from_ort(outputs.get(&info.name).ok_or_else(missing)?, info.data_type)
        };
        wanted.iter().map(of).collect()
    }
}

/// Elements stay where they are, but for those that have other forms over there.
fn to_ort(tensor: &Tensor) -> Result<SessionInputValue<'_>, ort::Error> {
    let shape = tensor.shape().to_vec();
    Ok(match tensor.data() {
        Data::Bool(elements) => TensorRef::from_array_view((shape, elements.as_slice()))?.into(),
        Data::Uint8(elements) => TensorRef::from_array_view((shape, elements.as_slice()))?.into(),
        Data::Uint16(elements) => TensorRef::from_array_view((shape, elements.as_slice()))?.into(),
        Data::Uint32(elements) => TensorRef::from_array_view((shape, elements.as_slice()))?.into(),
        Data::Uint64(elements) => TensorRef::from_array_view((shape, elements.as_slice()))?.into(),
        Data::Int8(elements) => TensorRef::from_array_view((shape, elements.as_slice()))?.into(),
        Data::Int16(elements) => TensorRef::from_array_view((shape, elements.as_slice()))?.into(),
        Data::Int32(elements) => TensorRef::from_array_view((shape, elements.as_slice()))?.into(),
        Data::Int64(elements) => TensorRef::from_array_view((shape, elements.as_slice()))?.into(),
        Data::Float16(elements) => TensorRef::from_array_view((shape, elements.as_slice()))?.into(),
        Data::Bfloat16(elements) => TensorRef::from_array_view((shape, elements.as_slice()))?.into(),
        Data::Float32(elements) => TensorRef::from_array_view((shape, elements.as_slice()))?.into(),
        Data::Float64(elements) => TensorRef::from_array_view((shape, elements.as_slice()))?.into(),
        Data::String(elements) => {
            if elements.iter().any(|element| element.contains('\0')) {
                let message = "a string has a zero byte, which ONNX Runtime takes for its end";
                return Err(ort::Error::new_with_code(ErrorCode::InvalidArgument, message));
            }
            ort::value::Tensor::from_string_array((shape, elements.as_slice()))?.into()
        }
    })
}

fn from_ort(value: &DynValue, declared: DataType) -> Result<Tensor, ort::Error> {
    let (shape, data) = match declared {
        DataType::Bool => value.try_extract_tensor().map(|(shape, it)| (shape, Data::Bool(it.to_vec()))),
        DataType::Uint8 => value.try_extract_tensor().map(|(shape, it)| (shape, Data::Uint8(it.to_vec()))),
        DataType::Uint16 => value.try_extract_tensor().map(|(shape, it)| (shape, Data::Uint16(it.to_vec()))),
        DataType::Uint32 => value.try_extract_tensor().map(|(shape, it)| (shape, Data::Uint32(it.to_vec()))),
        DataType::Uint64 => value.try_extract_tensor().map(|(shape, it)| (shape, Data::Uint64(it.to_vec()))),
        DataType::Int8 => value.try_extract_tensor().map(|(shape, it)| (shape, Data::Int8(it.to_vec()))),
        DataType::Int16 => value.try_extract_tensor().map(|(shape, it)| (shape, Data::Int16(it.to_vec()))),
        DataType::Int32 => value.try_extract_tensor().map(|(shape, it)| (shape, Data::Int32(it.to_vec()))),
        DataType::Int64 => value.try_extract_tensor().map(|(shape, it)| (shape, Data::Int64(it.to_vec()))),
        DataType::Float16 => value.try_extract_tensor().map(|(shape, it)| (shape, Data::Float16(it.to_vec()))),
        DataType::Bfloat16 => value.try_extract_tensor().map(|(shape, it)| (shape, Data::Bfloat16(it.to_vec()))),
        DataType::Float32 => value.try_extract_tensor().map(|(shape, it)| (shape, Data::Float32(it.to_vec()))),
        DataType::Float64 => value.try_extract_tensor().map(|(shape, it)| (shape, Data::Float64(it.to_vec()))),
        DataType::String => value.try_extract_strings().map(|(shape, it)| (shape, Data::String(it))),
    }?;
    let shape: Vec<_> = shape.iter().map(|size| usize::try_from(*size).unwrap_or_default()).collect();
    Tensor::new(shape, data).map_err(|error| ort::Error::new(error.to_string()))
}
