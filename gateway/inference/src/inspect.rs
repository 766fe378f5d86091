//! What a model file is, and what can run it: without a gateway.

use std::fmt::{self, Display};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::backend::{Embedded, OnnxRuntime};
use crate::signature::dimensions;
use crate::{Backend, Dimension, LoadError, Metadata, SessionOptions, TensorInfo, hex, install};

/// What was found.
#[derive(Debug, Clone)]
pub struct Inspected {
    path: PathBuf,
    bytes: usize,
    sha256: String,
    metadata: Metadata,
    /// Each runtime: its name, and the version that runs the model or why it does not.
    runtimes: Vec<(&'static str, Result<String, LoadError>)>,
}

/// Looks at a model: reads its file, and loads it with the embedded runtime and with ONNX Runtime, if there is one.
///
/// # Errors
/// It cannot be read, or would not be served by any runtime.
pub fn inspect(path: &Path, library: Option<&Path>) -> Result<Inspected, LoadError> {
    let model = std::fs::read(path)
        .map_err(|error| LoadError::new(format!("cannot read the file: {error}"), "give the path of an .onnx file"))?;
    let metadata = Metadata::read(&model)?;
    let options = SessionOptions { intra_op_threads: 1 };
    let tried = |backend: &dyn Backend| backend.load(&model, &metadata, &options).map(|_| backend.version());
    let installed = library.map(Path::to_owned).or_else(install::installed);
    let runtime = installed.map_or_else(
        || Err(LoadError::new("it is not installed", "`witgate model runtime install`")),
        |library| OnnxRuntime::open(&library),
    );
    let runtimes =
        vec![("embedded", tried(&Embedded)), ("onnxruntime", runtime.and_then(|runtime| tried(runtime.as_ref())))];
    let sha256 = hex(&Sha256::digest(&model));
    Ok(Inspected { path: path.to_owned(), bytes: model.len(), sha256, metadata, runtimes })
}

impl Inspected {
    /// Whether a runtime that is there can run it.
    pub fn is_ok(&self) -> bool {
        self.runtimes.iter().any(|(_, tried)| tried.is_ok())
    }

    pub fn to_json(&self) -> Value {
        let Self { path, bytes, sha256, metadata, runtimes } = self;
        let Metadata { signature, ir_version, opsets, operators, producer, producer_version, graph, description } =
            metadata;
        let size = |dimension: &Dimension| match dimension {
            Dimension::Fixed(size) => json!(size),
            Dimension::Named(name) => json!(name),
            Dimension::Any => Value::Null,
        };
        let values = |infos: &[TensorInfo]| -> Vec<Value> {
            let shape = |info: &TensorInfo| Some(info.shape.as_ref()?.iter().map(size).collect::<Vec<_>>());
            let value = |it: &TensorInfo| json!({ "name": it.name, "type": it.data_type.label(), "shape": shape(it) });
            infos.iter().map(value).collect()
        };
        let runtime = |(name, tried): &(&str, Result<String, LoadError>)| match tried {
            Ok(version) => json!({ "runtime": name, "ok": true, "version": version }),
            Err(error) => json!({ "runtime": name, "ok": false, "problem": error.message, "help": error.help }),
        };
        json!({
            "ok": self.is_ok(),
            "file": path.display().to_string(),
            "bytes": bytes,
            "sha256": sha256,
            "inputs": values(&signature.inputs),
            "outputs": values(&signature.outputs),
            "batch_axis": signature.has_batch_axis(),
            "ir_version": ir_version,
            "opsets": opsets,
            "operators": operators,
            "producer": producer,
            "producer_version": producer_version,
            "graph": graph,
            "description": description,
            "runtimes": runtimes.iter().map(runtime).collect::<Vec<_>>(),
        })
    }
}

impl Display for Inspected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, bytes, sha256, metadata, runtimes } = self;
        writeln!(f, "file       {}, {bytes} bytes", path.display())?;
        writeln!(f, "sha256     {sha256}")?;
        writeln!(f, "graph      {}", printable(&metadata.graph))?;
        if !metadata.description.is_empty() {
            writeln!(f, "           {}", printable(&metadata.description))?;
        }
        writeln!(f, "producer   {} {}", printable(&metadata.producer), printable(&metadata.producer_version))?;
        let domain = |domain: &str| if domain.is_empty() { "ai.onnx".to_owned() } else { printable(domain) };
        let opsets: Vec<_> =
            metadata.opsets.iter().map(|(name, version)| format!("{} {version}", domain(name))).collect();
        writeln!(f, "opsets     {}; IR version {}", opsets.join(", "), metadata.ir_version)?;
        for (title, infos) in [("inputs", &metadata.signature.inputs), ("outputs", &metadata.signature.outputs)] {
            writeln!(f, "{title}")?;
            for info in infos {
                writeln!(f, "  {}  {} {}", printable(&info.name), info.data_type.label(), shape(info))?;
            }
        }
        let batches = if metadata.signature.has_batch_axis() { "any number of rows at once" } else { "no batch axis" };
        writeln!(f, "batches    {batches}")?;
        writeln!(f, "operators  {}", printable(&metadata.operators.join(", ")))?;
        for (name, tried) in runtimes {
            match tried {
                Ok(version) => writeln!(f, "{name}: runs it ({version})")?,
                Err(error) => writeln!(f, "{name}: {}\n  help: {}", printable(&error.message), error.help)?,
            }
        }
        Ok(())
    }
}

fn shape(info: &TensorInfo) -> String {
    info.shape.as_ref().map_or_else(|| "of any rank".to_owned(), |shape| printable(&dimensions(shape)))
}

/// Names come from files of others: no control characters on a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|it| if it.is_control() { ' ' } else { it }).collect()
}
