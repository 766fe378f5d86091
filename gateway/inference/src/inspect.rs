//! What a model file is, and what can run it: without a gateway.

use std::fmt::{self, Display};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::backend::{Embedded, Native, OnnxRuntime};
use crate::score::{Chosen, Outputs, quoted};
use crate::signature::dimensions;
use crate::trial::{Limit, try_shapes};
use crate::{
    Backend, Classes, Dimension, LoadError, Metadata, NativeFormat, SessionOptions, StageMistake, TensorInfo, hex,
    install, layout,
};

/// The longest that loading may take: much longer than a gateway lets it, to tell how long it takes.
const LOAD_TIMEOUT: Duration = Duration::from_secs(600);

/// What was found.
#[derive(Debug, Clone)]
pub struct Inspected {
    path: PathBuf,
    bytes: usize,
    sha256: String,
    metadata: Metadata,
    /// Each runtime: its name, and what it did with the model or why it does not run it.
    runtimes: Vec<(&'static str, Result<Loaded, LoadError>)>,
}

/// A model that a runtime has loaded.
#[derive(Debug, Clone)]
struct Loaded {
    version: String,
    took: Duration,
    /// Shapes of the outputs when one row of zeros went in, and whether two rows gave two.
    trial: Result<(Vec<Vec<usize>>, bool), LoadError>,
}

/// Looks at a model: reads its file, and loads and runs it with the embedded runtime and with ONNX Runtime, if there is one.
/// `sizes`: of named dimensions, 1 for others.
///
/// # Errors
/// It cannot be read, or would not be served by any runtime.
pub fn inspect(path: &Path, library: Option<&Path>, sizes: &[(String, usize)]) -> Result<Inspected, LoadError> {
    let model = std::fs::read(path)
        .map_err(|error| LoadError::new(format!("cannot read the file: {error}"), "give the path of an .onnx file"))?;
    let metadata = Metadata::read(&model)?;
    let options = SessionOptions { intra_op_threads: 1, load_timeout: LOAD_TIMEOUT, code: None };
    let tried = |backend: &dyn Backend| -> Result<Loaded, LoadError> {
        let begun = Instant::now();
        let mut session = backend.load(&model, &metadata, &options)?.session()?;
        let took = begun.elapsed();
        let trial = try_shapes(&mut *session, &metadata, sizes, Limit::of(LOAD_TIMEOUT));
        Ok(Loaded { version: backend.version(), took, trial })
    };
    let runtimes = if metadata.native.is_some() {
        vec![("embedded", tried(&Native))]
    } else {
        let installed = library.map(Path::to_owned).or_else(install::installed);
        let runtime = installed.map_or_else(
            || Err(LoadError::new("it is not installed", "`witgate model runtime install`")),
            |library| OnnxRuntime::open(&library),
        );
        vec![("embedded", tried(&Embedded)), ("onnxruntime", runtime.and_then(|runtime| tried(runtime.as_ref())))]
    };
    let sha256 = hex(&Sha256::digest(&model));
    Ok(Inspected { path: path.to_owned(), bytes: model.len(), sha256, metadata, runtimes })
}

impl Inspected {
    /// Whether a runtime that is there can run it.
    pub fn is_ok(&self) -> bool {
        self.trial().is_some()
    }

    /// What the first runtime that ran the model gave for one row, and whether two rows gave two.
    fn trial(&self) -> Option<&(Vec<Vec<usize>>, bool)> {
        self.runtimes.iter().find_map(|(_, loaded)| loaded.as_ref().ok()?.trial.as_ref().ok())
    }

    /// Whether rows of several requests can be run as one batch.
    fn batches(&self) -> bool {
        self.trial().map_or_else(|| self.metadata.signature.has_batch_axis(), |(_, batches)| *batches)
    }

    /// Which number is the score of a stage without `output`, and what it could be.
    fn score(&self) -> (Result<Chosen, StageMistake>, Vec<String>) {
        let name = self.path.file_stem().unwrap_or_default().to_string_lossy();
        let outputs = Outputs::new(&name, &self.metadata, self.trial().map(|(shapes, _)| shapes.as_slice()));
        (outputs.choose(None), outputs.choices())
    }

    pub fn to_json(&self) -> Value {
        let Self { path, bytes, sha256, metadata, runtimes } = self;
        let Metadata {
            signature,
            ir_version,
            opsets,
            operators,
            producer,
            producer_version,
            graph,
            description,
            classes,
            maps,
            samples,
            native,
        } = metadata;
        let size = |dimension: &Dimension| match dimension {
            Dimension::Fixed(size) => json!(size),
            Dimension::Named(name) => json!(name),
            Dimension::Any => Value::Null,
        };
        let values = |infos: &[TensorInfo]| -> Vec<Value> {
            let shape = |info: &TensorInfo| Some(info.shape.as_ref()?.iter().map(size).collect::<Vec<_>>());
            let value = |it: &TensorInfo| {
                let mut value = json!({ "name": it.name, "type": it.data_type.label(), "shape": shape(it) });
                if let (Some(classes), Some(value)) = (classes.get(&it.name), value.as_object_mut()) {
                    let classes = match classes {
                        Classes::Numbers(numbers) => json!(numbers),
                        Classes::Names(names) => json!(names),
                    };
                    value.insert("classes".to_owned(), classes);
                    if maps.contains(&it.name) {
                        value.insert("map".to_owned(), json!(true));
                    }
                }
                value
            };
            infos.iter().map(value).collect()
        };
        let runtime = |(name, tried): &(&str, Result<Loaded, LoadError>)| match tried {
            Ok(Loaded { version, took, trial: Ok(_) }) => {
                json!({ "runtime": name, "ok": true, "version": version, "load_seconds": took.as_secs_f64() })
            }
            Ok(Loaded { version, took, trial: Err(error) }) => json!({
                "runtime": name, "ok": false, "version": version, "load_seconds": took.as_secs_f64(),
                "problem": error.message, "help": error.help,
            }),
            Err(error) => json!({ "runtime": name, "ok": false, "problem": error.message, "help": error.help }),
        };
        let score = match self.score() {
            (Ok(chosen), choices) => json!({
                "output": chosen.name(), "element": chosen.column, "class": chosen.class(), "choices": choices
            }),
            (Err(_), choices) => json!({ "output": null, "choices": choices }),
        };
        let features = match layout::takes(&signature.inputs) {
            Ok(takes) => json!({ "ok": true, "takes": takes }),
            Err(problem) => json!({ "ok": false, "problem": problem }),
        };
        json!({
            "ok": self.is_ok(),
            "file": path.display().to_string(),
            "bytes": bytes,
            "sha256": sha256,
            "inputs": values(&signature.inputs),
            "outputs": values(&signature.outputs),
            "batch_axis": self.batches(),
            "features": features,
            "score": score,
            "ir_version": ir_version,
            "opsets": opsets,
            "operators": operators,
            "producer": producer,
            "producer_version": producer_version,
            "graph": graph,
            "description": description,
            "carries_samples": samples.is_some(),
            "native": native.as_ref().map(|it| json!({ "format": it.format, "objective": it.objective, "trees": it.trees })),
            "runtimes": runtimes.iter().map(runtime).collect::<Vec<_>>(),
        })
    }
}

impl Display for Inspected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, bytes, sha256, metadata, runtimes } = self;
        writeln!(f, "file       {}, {bytes} bytes", path.display())?;
        writeln!(f, "sha256     {sha256}")?;
        if let Some(NativeFormat { format, objective, trees, .. }) = &metadata.native {
            let version = printable(&metadata.producer_version);
            writeln!(f, "format     {format} {version}, {trees} trees, objective {}", printable(objective))?;
        } else {
            writeln!(f, "graph      {}", printable(&metadata.graph))?;
            if !metadata.description.is_empty() {
                writeln!(f, "           {}", printable(&metadata.description))?;
            }
            writeln!(f, "producer   {} {}", printable(&metadata.producer), printable(&metadata.producer_version))?;
            let domain = |domain: &str| if domain.is_empty() { "ai.onnx".to_owned() } else { printable(domain) };
            let opsets: Vec<_> =
                metadata.opsets.iter().map(|(name, version)| format!("{} {version}", domain(name))).collect();
            writeln!(f, "opsets     {}; IR version {}", opsets.join(", "), metadata.ir_version)?;
        }
        for (title, infos) in [("inputs", &metadata.signature.inputs), ("outputs", &metadata.signature.outputs)] {
            writeln!(f, "{title}")?;
            for info in infos {
                write!(f, "  {}  {} {}", printable(&info.name), info.data_type.label(), shape(info))?;
                if let Some(classes) = metadata.classes.get(&info.name).filter(|_| title == "outputs") {
                    write!(f, ", classes {}", printable(&shortened(&classes.labels())))?;
                }
                if metadata.maps.contains(&info.name) && title == "outputs" {
                    f.write_str(", a map of each row in the file")?;
                }
                writeln!(f)?;
            }
        }
        let batches = if self.batches() { "any number of rows at once" } else { "no batch axis" };
        writeln!(f, "batches    {batches}")?;
        match layout::takes(&metadata.signature.inputs) {
            Ok(takes) => writeln!(f, "features   {}", printable(&takes))?,
            Err(problem) => writeln!(f, "features   none: {}", printable(&problem))?,
        }
        match self.score() {
            (Ok(chosen), _) => writeln!(f, "score      {}", printable(&chosen.to_string()))?,
            (Err(_), choices) if choices.is_empty() => writeln!(f, "score      none")?,
            (Err(_), choices) => writeln!(f, "score      say which: output = {}", printable(&shortened(&choices)))?,
        }
        if !metadata.operators.is_empty() {
            writeln!(f, "operators  {}", printable(&metadata.operators.join(", ")))?;
        }
        for (name, tried) in runtimes {
            match tried {
                Ok(Loaded { version, took, trial: Ok(_) }) => {
                    writeln!(f, "{name}: runs it ({version}), loaded in {took:.1?}")?;
                }
                Ok(Loaded { version, took, trial: Err(error) }) => {
                    let (problem, help) = (printable(&error.message), &error.help);
                    writeln!(f, "{name}: loads it ({version}) in {took:.1?}, but {problem}\n  help: {help}")?;
                }
                Err(error) => writeln!(f, "{name}: {}\n  help: {}", printable(&error.message), error.help)?,
            }
        }
        Ok(())
    }
}

fn shape(info: &TensorInfo) -> String {
    info.shape.as_ref().map_or_else(|| "of any rank".to_owned(), |shape| printable(&dimensions(shape)))
}

/// Texts for a list, not too many of them.
fn shortened(texts: &[String]) -> String {
    const LISTED: usize = 8;
    let mut listed: Vec<_> = texts.iter().take(LISTED).map(|text| quoted(text)).collect();
    if texts.len() > LISTED {
        listed.push("…".to_owned());
    }
    listed.join(", ")
}

/// Names come from files of others: no control characters on a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|it| if it.is_control() { ' ' } else { it }).collect()
}
