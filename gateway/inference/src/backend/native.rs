//! Files of LightGBM, XGBoost and CatBoost, as their libraries write them: `witgate-native` reads and runs them.
//!
//! They run whatever runtime is configured: no other can.

use std::sync::Arc;
use std::time::{Duration, Instant};

use witgate_native::{
    Advice, Categories, Category, CompileLimits, CompileOptions, CompiledNative, FeatureKind, Limits, Meaning,
    NativeError, NativeModel, Precision,
};

use super::kept::Kept;
use super::too_long;
use crate::{
    Backend, Cancel, Classes, Data, DataType, Dimension, Graph, LoadError, Metadata, NativeFormat, RunError, Session,
    SessionOptions, Signature, Tensor, TensorInfo,
};

/// Inputs of a model that has one for each column: protocols list all of them in their answers.
const COLUMNS_LIMIT: usize = 1024;
/// Rows between looks at whether anybody still waits.
const ROWS_AT_ONCE: usize = 256;

const LOADS_SLOWLY: &str = "raise `load_timeout`, or train fewer or smaller trees";

/// Whether a file is one of these.
pub(crate) fn is_native(model: &[u8]) -> bool {
    witgate_native::detect(model).is_some()
}

/// What a file says about the model in it.
///
/// # Errors
/// It cannot be read, or means something that is not run here.
pub(crate) fn metadata(model: &[u8]) -> Result<Metadata, LoadError> {
    let native = read(model)?;
    let (library, version) = (native.library().to_string(), native.version().unwrap_or_default().to_owned());
    let outputs = native.outputs();
    let output = match outputs.meaning {
        Meaning::Classes | Meaning::Labels => "probabilities",
        Meaning::Probability | Meaning::Value | Meaning::Margin => "score",
    };
    let rows = |columns| Some(vec![Dimension::Any, Dimension::Fixed(columns)]);
    let info = |name: &str, data_type, columns| TensorInfo { name: name.to_owned(), data_type, shape: rows(columns) };
    let inputs = if has_texts(&native) {
        let features = native.features().iter().enumerate();
        let inputs: Vec<_> = features
            .map(|(at, feature)| {
                let name = feature.name.clone().unwrap_or_else(|| format!("f{at}"));
                info(&name, column_type(&feature.kind), 1)
            })
            .collect();
        if inputs.len() > COLUMNS_LIMIT {
            return Err(LoadError::new(
                format!("it has {} columns, some of them texts; {COLUMNS_LIMIT} at most are served", inputs.len()),
                "train it on fewer columns, or on categories that are numbers from 0 on",
            ));
        }
        inputs
    } else {
        vec![info("features", DataType::Float64, native.features().len())]
    };
    let mut metadata = Metadata {
        signature: Signature { inputs, outputs: vec![info(output, DataType::Float64, outputs.count)] },
        producer: library,
        producer_version: version,
        native: Some(NativeFormat {
            format: native.format().to_string(),
            objective: native.objective().to_owned(),
            trees: native.trees(),
            names: native.features().iter().map(|feature| feature.name.clone()).collect::<Option<_>>(),
        }),
        ..Metadata::default()
    };
    if let Some(labels) = outputs.labels.clone().filter(|labels| labels.len() == outputs.count && labels.len() > 1) {
        let numbers: Option<Vec<i64>> = labels.iter().map(|label| label.parse().ok()).collect();
        metadata.classes.insert(output.to_owned(), numbers.map_or(Classes::Names(labels), Classes::Numbers));
    }
    Ok(metadata)
}

/// What is not one of these files, nor an ONNX model: what it may be, and what to do.
pub(crate) fn unknown(model: &[u8]) -> Option<&'static str> {
    match witgate_native::read(model, &Limits::default()) {
        Err(NativeError::Unknown { advice: Advice(advice) }) if !advice.is_empty() => Some(advice),
        _ => None,
    }
}

fn read(model: &[u8]) -> Result<NativeModel, LoadError> {
    witgate_native::read(model, &Limits::default()).map_err(|error| match error {
        NativeError::Unsupported { format, what, advice: Advice(advice) } => {
            let message = format!("{what} is not supported ({format})");
            LoadError::new(
                message,
                if advice.is_empty() { "train the model without it, or export it to ONNX" } else { advice },
            )
        }
        other => LoadError::new(other.to_string(), "save the model again with the library that trained it"),
    })
}

/// Whether columns take what is no number, so that each is an input of its own.
fn has_texts(native: &NativeModel) -> bool {
    native.features().iter().any(|feature| matches!(feature.kind, FeatureKind::Category(_)))
}

fn column_type(kind: &FeatureKind) -> DataType {
    match kind {
        FeatureKind::Number | FeatureKind::Code => DataType::Float64,
        FeatureKind::Category(Categories::Integers(_)) => DataType::Int64,
        FeatureKind::Category(Categories::Texts(_) | Categories::Hashes) => DataType::String,
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Native;

impl Backend for Native {
    fn name(&self) -> &'static str {
        "embedded"
    }

    fn version(&self) -> String {
        format!("Witgate {}", env!("CARGO_PKG_VERSION"))
    }

    fn load(&self, model: &[u8], metadata: &Metadata, options: &SessionOptions) -> Result<Arc<dyn Graph>, LoadError> {
        let begun = Instant::now();
        let native = read(model)?;
        let late = || too_long(options.load_timeout, LOADS_SLOWLY);
        let left = || options.load_timeout.saturating_sub(begun.elapsed());
        let compile = |rows| {
            let bounds = CompileLimits::default();
            let limits = CompileLimits { time: bounds.time.min(left()), ..bounds };
            let how = CompileOptions { rows, limits, ..CompileOptions::default() };
            let compiled = match &options.code {
                Some(code) => native.compile_kept(&how, &Kept(code)),
                None => native.compile(&how),
            };
            compiled.map_err(|error| {
                if left() == Duration::ZERO { late() } else { LoadError::new(error.to_string(), LOADS_SLOWLY) }
            })
        };
        let has_texts = has_texts(&native);
        let narrow = if has_texts { None } else { Some(compile(Some(Precision::F32))?) };
        let wide = compile(None)?;
        if left() == Duration::ZERO {
            return Err(late());
        }
        Ok(Arc::new(Loaded {
            signature: metadata.signature.clone(),
            native: has_texts.then_some(native),
            narrow,
            wide,
        }))
    }
}

#[derive(Debug)]
struct Loaded {
    signature: Signature,
    /// What knows the codes of texts, if columns have some.
    native: Option<NativeModel>,
    /// For rows whose numbers are floats of 32 bits, as those of feature sets are: half the work.
    narrow: Option<CompiledNative>,
    wide: CompiledNative,
}

impl Graph for Loaded {
    fn session(self: Arc<Self>) -> Result<Box<dyn Session>, LoadError> {
        Ok(Box::new(Runner(self)))
    }
}

struct Runner(Arc<Loaded>);

impl Session for Runner {
    fn run(&mut self, inputs: &[Tensor], outputs: &[usize], cancel: &Cancel) -> Result<Vec<Tensor>, RunError> {
        let Loaded { signature, native, .. } = self.0.as_ref();
        if inputs.len() != signature.inputs.len() {
            let (expected, got) = (signature.inputs.len(), inputs.len());
            return Err(RunError::Invalid(format!("expected {expected} inputs, got {got}")));
        }
        let scores = match (native, inputs) {
            (None, [rows]) => {
                let Data::Float64(numbers) = rows.data() else { return Err(unfit(rows, signature.inputs.first())) };
                self.0.scores(numbers, rows.shape(), cancel)?
            }
            (Some(native), columns) => {
                let numbers = coded(native, columns, signature)?;
                let count = columns.first().and_then(|column| column.shape().first()).copied().unwrap_or_default();
                self.0.scores(&numbers, &[count, columns.len()], cancel)?
            }
            (None, _) => return Err(RunError::Invalid("expected one input".to_owned())),
        };
        let shape = [scores.len() / self.0.wide.outputs().max(1), self.0.wide.outputs()];
        let scores = Tensor::new(shape, Data::Float64(scores)).map_err(|error| RunError::Failed(error.to_string()))?;
        Ok(outputs.iter().map(|_| scores.clone()).collect())
    }
}

fn unfit(tensor: &Tensor, info: Option<&TensorInfo>) -> RunError {
    let expected = info.map(ToString::to_string).unwrap_or_default();
    RunError::Invalid(format!("expected the input {expected}, got {} {:?}", tensor.data_type().label(), tensor.shape()))
}

impl Loaded {
    fn scores(&self, numbers: &[f64], shape: &[usize], cancel: &Cancel) -> Result<Vec<f64>, RunError> {
        let (expected, outputs) = (self.wide.features(), self.wide.outputs());
        let (count, width) = match *shape {
            [count, width] if width == expected => (count, width),
            _ => return Err(RunError::Invalid(format!("expected rows of {expected} numbers, got {shape:?}"))),
        };
        let mut scores = vec![0.0; count.saturating_mul(outputs)];
        if width == 0 {
            return Err(RunError::Invalid("the model looks at no numbers".to_owned()));
        }
        let rows = numbers.chunks(width * ROWS_AT_ONCE).zip(scores.chunks_mut(outputs.max(1) * ROWS_AT_ONCE));
        for (rows, scores) in rows {
            if cancel.is_cancelled() {
                return Err(RunError::Cancelled);
            }
            let predicted = match self.narrow.as_ref().and_then(|narrow| Some((narrow, floats(rows)?))) {
                Some((narrow, rows)) => narrow.predict(&rows, width, scores),
                None => self.wide.predict(rows, width, scores),
            };
            predicted.map_err(|error| RunError::Invalid(error.to_string()))?;
        }
        Ok(scores)
    }
}

/// The numbers as floats of 32 bits, if they are the same.
#[expect(clippy::cast_possible_truncation, clippy::float_cmp, reason = "whether it changes something is looked at")]
fn floats(numbers: &[f64]) -> Option<Vec<f32>> {
    let same = numbers.iter().all(|number| f64::from(*number as f32) == *number || number.is_nan());
    same.then(|| numbers.iter().map(|number| *number as f32).collect())
}

/// Rows of numbers, with the codes of categories.
#[expect(clippy::cast_precision_loss, reason = "categories are looked up, not computed with")]
fn coded(native: &NativeModel, columns: &[Tensor], signature: &Signature) -> Result<Vec<f64>, RunError> {
    let (width, count) = (columns.len(), columns.first().map_or(0, |column| column.data().len()));
    let mut numbers = vec![f64::NAN; count.saturating_mul(width)];
    for (at, column) in columns.iter().enumerate() {
        if column.data().len() != count {
            return Err(RunError::Invalid(format!("expected {count} rows in each input, got {}", column.data().len())));
        }
        let code = |category| native.code(at, category).unwrap_or(f64::NAN);
        let places = numbers.iter_mut().skip(at).step_by(width.max(1));
        match column.data() {
            Data::Float64(values) => places.zip(values).for_each(|(place, value)| *place = *value),
            Data::Int64(values) => {
                let is_category =
                    matches!(native.features().get(at).map(|it| &it.kind), Some(FeatureKind::Category(_)));
                let of = |value: i64| if is_category { code(Category::Integer(value)) } else { value as f64 };
                places.zip(values).for_each(|(place, value)| *place = of(*value));
            }
            Data::String(values) => places.zip(values).for_each(|(place, value)| *place = code(Category::Text(value))),
            _ => return Err(unfit(column, signature.inputs.get(at))),
        }
    }
    Ok(numbers)
}
