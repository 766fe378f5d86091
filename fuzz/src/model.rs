//! What has to be true of model files and of samples.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use witgate_inference::backend::Embedded;
use witgate_inference::samples::{self, Samples};
use witgate_inference::{
    Backend, Cancel, Data, Dimension, Graph, Metadata, SessionOptions, Tensor, TensorInfo, Wanted,
};

/// Sizes of dimensions that a file leaves open: none, one, several.
const SIZES: [usize; 3] = [0, 1, 3];
/// Elements of an input; a file can ask for any number.
const ELEMENTS: usize = 1 << 12;

fn loaded(file: &[u8]) -> Option<(Metadata, Arc<dyn Graph>)> {
    let metadata = Metadata::read(file).inspect_err(|error| assert!(!error.to_string().is_empty())).ok()?;
    // Those are for the target `native`.
    if metadata.native.is_some() {
        return None;
    }
    let options = SessionOptions { intra_op_threads: 1, load_timeout: Duration::from_secs(2), code: None };
    let graph = Embedded.load(file, &metadata, &options);
    Some((metadata, graph.inspect_err(|error| assert!(!error.to_string().is_empty())).ok()?))
}

fn input(info: &TensorInfo, size: usize) -> Option<Tensor> {
    let of = |dimension: &Dimension| if let Dimension::Fixed(size) = dimension { *size } else { size };
    let shape: Vec<usize> = info.shape.as_deref().unwrap_or(&[Dimension::Any]).iter().map(of).collect();
    let elements = shape.iter().try_fold(1_usize, |all, one| all.checked_mul(*one)).filter(|all| *all <= ELEMENTS)?;
    let mut data = Data::zeros(info.data_type, elements);
    if let Data::Float32(numbers) = &mut data {
        const ODD: [f32; 6] = [0.5, f32::NAN, -1e30, f32::INFINITY, 1e-40, 3.0];
        numbers.iter_mut().zip(ODD.iter().cycle()).for_each(|(number, odd)| *number = *odd);
    }
    Tensor::new(shape, data).ok()
}

/// Loads an ONNX file and runs it.
///
/// # Panics
/// Reading, loading or running does, or says nothing of why it was refused, or gives another number of outputs.
pub fn run(file: &[u8]) {
    let Some((metadata, graph)) = loaded(file) else { return };
    let Ok(mut session) = graph.session() else { return };
    let outputs: Vec<usize> = (0..metadata.signature.outputs.len()).collect();
    for size in SIZES {
        let inputs = metadata.signature.inputs.iter().map(|info| input(info, size));
        let Some(inputs) = inputs.collect::<Option<Vec<_>>>() else { return };
        // A file may ask for a loop without end, and whoever asks for a run ends it.
        let cancel = &Cancel::default();
        let (ended, end) = channel::<()>();
        let given = std::thread::scope(|scope| {
            scope.spawn(move || {
                if end.recv_timeout(Duration::from_millis(300)) == Err(RecvTimeoutError::Timeout) {
                    cancel.cancel();
                }
            });
            let given = session.run(&inputs, &outputs, cancel);
            drop(ended);
            given
        });
        match given {
            Ok(given) => assert_eq!(given.len(), outputs.len()),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}

/// Compares a model with samples, and reads what each column of them is said to be.
///
/// # Panics
/// Something does, or the words for an output do not mean the same when they are written again.
pub fn compare(model: &[u8], text: &[u8]) {
    for name in text.split(|byte| matches!(byte, b',' | b'\n')).filter_map(|name| std::str::from_utf8(name).ok()) {
        if let Ok(wanted) = name.parse::<Wanted>() {
            assert_eq!(wanted.to_string().parse::<Wanted>().as_ref(), Ok(&wanted), "{name}");
        }
    }
    let Some((metadata, graph)) = loaded(model) else { return };
    match Samples::read(text, &metadata) {
        Err(error) => assert!(!error.message.is_empty() && !error.help.is_empty()),
        Ok(samples) => {
            let Ok(mut session) = graph.session() else { return };
            if let Ok(compared) = samples::compare(&samples, &mut *session, &metadata, samples::TOLERANCE) {
                assert!(!compared.to_json().is_null());
            }
        }
    }
}
