//! Whether a model gives here what the library gives that trained it.

use std::fmt::{self, Display, Formatter};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::backend::{Backend, Embedded, Native, OnnxRuntime, SessionOptions};
use crate::samples::{self, BYTES_LIMIT, Compared, Samples};
use crate::{CarriedSamples, LoadError, Metadata, install};

/// Whoever verifies a model waits for it.
const LOAD_TIMEOUT: Duration = Duration::from_secs(600);

/// What a model's runtimes give for samples.
#[derive(Debug, Clone)]
pub struct Verified {
    tolerance: f64,
    runtimes: Vec<(&'static str, Result<Compared, LoadError>)>,
}

/// Runs a model on samples, with the embedded runtime and with ONNX Runtime if there is one. `file`: the samples; without it,
/// those that the model carries. `tolerance`: without it, the one that the model carries, or [`samples::TOLERANCE`].
///
/// # Errors
/// A file cannot be read, or does not go with the other.
pub fn verify(
    path: &Path,
    file: Option<&Path>,
    library: Option<&Path>,
    tolerance: Option<f64>,
) -> Result<Verified, LoadError> {
    let model = read(path, "give the path of a model")?;
    let metadata = Metadata::read(&model)?;
    let (text, carried) = match (file, &metadata.samples) {
        (Some(file), _) => (read(file, "give the path of a file with samples")?, None),
        (None, Some(CarriedSamples { text, tolerance })) => (text.clone().into_bytes(), Some(*tolerance)),
        (None, None) => {
            return Err(LoadError::new(
                "the model carries no samples",
                "give a file with `--samples FILE`; `witgate_features.write_samples` writes one, and \
                 `witgate_features.attach_samples` puts them into the model",
            ));
        }
    };
    let tolerance = tolerance.or(carried).unwrap_or(samples::TOLERANCE);
    let of_samples = |error: samples::SamplesError| LoadError::new(format!("the samples: {error}"), error.help);
    let samples = Samples::read(&text, &metadata).map_err(of_samples)?;
    let options = SessionOptions { intra_op_threads: 1, load_timeout: LOAD_TIMEOUT, code: None };
    let compared = |backend: &dyn Backend| {
        let mut session = backend.load(&model, &metadata, &options)?.session()?;
        samples::compare(&samples, &mut *session, &metadata, tolerance).map_err(of_samples)
    };
    let is_native = metadata.native.is_some();
    let mut runtimes = vec![("embedded", if is_native { compared(&Native) } else { compared(&Embedded) })];
    if let Some(library) = library.map(PathBuf::from).or_else(install::installed).filter(|_| !is_native) {
        runtimes.push(("onnxruntime", OnnxRuntime::open(&library).and_then(|runtime| compared(runtime.as_ref()))));
    }
    Ok(Verified { tolerance, runtimes })
}

fn read(path: &Path, help: &str) -> Result<Vec<u8>, LoadError> {
    let cannot = |error: std::io::Error| LoadError::new(format!("cannot read `{}`: {error}", path.display()), help);
    let bytes = std::fs::metadata(path).map_err(cannot)?.len();
    if bytes > BYTES_LIMIT as u64 {
        let message = format!("`{}` has {bytes} bytes; {BYTES_LIMIT} at most are read", path.display());
        return Err(LoadError::new(message, "take fewer samples"));
    }
    std::fs::read(path).map_err(cannot)
}

impl Verified {
    /// Whether every runtime that can run the model gives what the samples say, and one can.
    pub fn is_ok(&self) -> bool {
        let mut ran = self.runtimes.iter().filter_map(|(_, compared)| compared.as_ref().ok()).peekable();
        ran.peek().is_some() && ran.all(Compared::is_ok)
    }

    pub fn to_json(&self) -> Value {
        let runtime = |(name, compared): &(&str, Result<Compared, LoadError>)| {
            let mut value = match compared {
                Ok(compared) => compared.to_json(),
                Err(error) => json!({ "ok": false, "problem": error.message, "help": error.help }),
            };
            if let Some(value) = value.as_object_mut() {
                value.insert("runtime".to_owned(), json!(name));
            }
            value
        };
        let runtimes: Vec<_> = self.runtimes.iter().map(runtime).collect();
        json!({ "ok": self.is_ok(), "tolerance": self.tolerance, "runtimes": runtimes })
    }
}

impl Display for Verified {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (name, compared) in &self.runtimes {
            match compared {
                Ok(compared) => {
                    let verdict = if compared.is_ok() { "gives the scores" } else { "gives OTHER scores" };
                    writeln!(f, "{name}: {verdict}, to {}", self.tolerance)?;
                    write!(f, "{compared}")?;
                }
                Err(error) => writeln!(f, "{name}: {}\n  help: {}", error.message, error.help)?,
            }
        }
        Ok(())
    }
}
