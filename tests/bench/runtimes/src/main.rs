//! Runs cases (a model, inputs, expected outputs) on one runtime and says of each how it went; or measures run times.
//!
//! `run.py` makes the cases and reads the results. A line is written before each case, so a crash tells its case.

use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rten_tensor::{AsView as _, Layout as _, Tensor};
use serde::Deserialize;
use tract_onnx::prelude::{
    DatumType, Framework as _, InferenceModelExt as _, IntoRunnable as _, IntoTValue as _, TValue,
    Tensor as TractTensor,
};

type Failed = Box<dyn std::error::Error>;

#[derive(Deserialize)]
struct Case {
    name: String,
    model: PathBuf,
    inputs: Vec<Value>,
    outputs: Vec<Value>,
}

/// A tensor as Python wrote it: the type's name in numpy, and the elements' bytes in a file.
#[derive(Deserialize)]
struct Value {
    name: String,
    dtype: String,
    shape: Vec<usize>,
    file: PathBuf,
}

/// Elements as what they are compared by.
struct Output {
    dtype: String,
    shape: Vec<usize>,
    elements: Vec<f64>,
}

fn numbers<const N: usize, T>(bytes: &[u8], from: fn([u8; N]) -> T) -> Vec<T> {
    bytes.chunks_exact(N).map(|chunk| from(chunk.try_into().expect("N bytes"))).collect()
}

impl Value {
    fn bytes(&self) -> Vec<u8> {
        std::fs::read(&self.file).expect("the file of a value")
    }

    fn elements(&self) -> Result<Vec<f64>, Failed> {
        let bytes = self.bytes();
        Ok(match self.dtype.as_str() {
            "bool" | "uint8" => bytes.iter().map(|b| f64::from(*b)).collect(),
            "int8" => bytes.iter().map(|b| f64::from(*b as i8)).collect(),
            "uint16" => numbers(&bytes, u16::from_le_bytes).into_iter().map(f64::from).collect(),
            "int16" => numbers(&bytes, i16::from_le_bytes).into_iter().map(f64::from).collect(),
            "uint32" => numbers(&bytes, u32::from_le_bytes).into_iter().map(f64::from).collect(),
            "int32" => numbers(&bytes, i32::from_le_bytes).into_iter().map(f64::from).collect(),
            "uint64" => numbers(&bytes, u64::from_le_bytes).into_iter().map(|n| n as f64).collect(),
            "int64" => numbers(&bytes, i64::from_le_bytes).into_iter().map(|n| n as f64).collect(),
            "float16" => numbers(&bytes, u16::from_le_bytes).into_iter().map(|n| half(n).into()).collect(),
            "float32" => numbers(&bytes, f32::from_le_bytes).into_iter().map(f64::from).collect(),
            "float64" => numbers(&bytes, f64::from_le_bytes),
            other => return Err(format!("type {other}").into()),
        })
    }
}

fn half(bits: u16) -> f32 {
    tract_onnx::prelude::f16::from_bits(bits).to_f32()
}

trait Engine {
    fn load(&mut self, model: &Path) -> Result<(), Failed>;
    fn prepare(&mut self, inputs: &[Value]) -> Result<(), Failed>;
    fn run(&mut self) -> Result<Vec<Output>, Failed>;
    /// Runs and throws the outputs away.
    fn spin(&mut self) -> Result<(), Failed>;
}

#[derive(Default)]
struct Rten {
    model: Option<rten::Model>,
    inputs: Vec<(rten::NodeId, rten::Value)>,
    pool: Option<Arc<rten::ThreadPool>>,
}

impl Rten {
    fn outputs(&self) -> Result<Vec<rten::Value>, Failed> {
        let model = self.model.as_ref().ok_or("no model")?;
        let inputs = self.inputs.iter().map(|(id, value)| (*id, value.as_view().into())).collect();
        let options = rten::RunOptions::default().with_thread_pool(self.pool.clone());
        Ok(model.run(inputs, model.output_ids(), Some(options))?)
    }
}

impl Engine for Rten {
    fn load(&mut self, model: &Path) -> Result<(), Failed> {
        self.pool.get_or_insert_with(|| Arc::new(rten::ThreadPool::with_num_threads(1)));
        self.model = None;
        let mut options = rten::ModelOptions::with_all_ops();
        options.prepack_weights(true);
        self.model = Some(options.load(std::fs::read(model)?)?);
        Ok(())
    }

    fn prepare(&mut self, inputs: &[Value]) -> Result<(), Failed> {
        let model = self.model.as_ref().ok_or("no model")?;
        self.inputs.clear();
        for input in inputs {
            let (bytes, shape) = (input.bytes(), input.shape.as_slice());
            let value = match input.dtype.as_str() {
                "float32" => Tensor::from_data(shape, numbers(&bytes, f32::from_le_bytes)).into(),
                "float64" | "float16" => {
                    Tensor::from_data(shape, input.elements()?.into_iter().map(|n| n as f32).collect::<Vec<_>>()).into()
                }
                "int32" | "int64" | "bool" => {
                    let elements = input.elements()?.into_iter().map(|n| n as i32).collect::<Vec<_>>();
                    Tensor::from_data(shape, elements).into()
                }
                "uint8" => Tensor::from_data(shape, bytes).into(),
                "int8" => Tensor::from_data(shape, numbers(&bytes, i8::from_le_bytes)).into(),
                other => return Err(format!("type {other}").into()),
            };
            self.inputs.push((model.node_id(&input.name)?, value));
        }
        Ok(())
    }

    fn run(&mut self) -> Result<Vec<Output>, Failed> {
        let outputs = self.outputs()?;
        let mut all = Vec::new();
        for output in outputs {
            let (dtype, shape, elements) = match output {
                rten::Value::FloatTensor(t) => {
                    ("float32", t.shape().to_vec(), t.iter().map(|n| f64::from(*n)).collect())
                }
                rten::Value::Int32Tensor(t) => ("int32", t.shape().to_vec(), t.iter().map(|n| f64::from(*n)).collect()),
                rten::Value::Int8Tensor(t) => ("int8", t.shape().to_vec(), t.iter().map(|n| f64::from(*n)).collect()),
                rten::Value::UInt8Tensor(t) => ("uint8", t.shape().to_vec(), t.iter().map(|n| f64::from(*n)).collect()),
                _ => return Err("not a tensor".into()),
            };
            all.push(Output { dtype: dtype.to_owned(), shape, elements });
        }
        Ok(all)
    }

    fn spin(&mut self) -> Result<(), Failed> {
        self.outputs().map(drop)
    }
}

type Plan = Arc<tract_onnx::prelude::TypedSimplePlan>;

#[derive(Default)]
struct Tract {
    plan: Option<Plan>,
    path: PathBuf,
    inputs: Vec<TValue>,
    concrete: bool,
}

fn datum_type(name: &str) -> Result<DatumType, Failed> {
    Ok(match name {
        "bool" => DatumType::Bool,
        "uint8" => DatumType::U8,
        "uint16" => DatumType::U16,
        "uint32" => DatumType::U32,
        "uint64" => DatumType::U64,
        "int8" => DatumType::I8,
        "int16" => DatumType::I16,
        "int32" => DatumType::I32,
        "int64" => DatumType::I64,
        "float16" => DatumType::F16,
        "float32" => DatumType::F32,
        "float64" => DatumType::F64,
        other => return Err(format!("type {other}").into()),
    })
}

impl Engine for Tract {
    fn load(&mut self, model: &Path) -> Result<(), Failed> {
        self.plan = None;
        self.path = model.to_owned();
        if !self.concrete {
            let model = tract_onnx::onnx().with_ignore_output_shapes(true).model_for_path(model)?;
            self.plan = Some(model.into_optimized()?.into_runnable()?);
        }
        Ok(())
    }

    fn prepare(&mut self, inputs: &[Value]) -> Result<(), Failed> {
        self.inputs.clear();
        if self.concrete {
            let mut model = tract_onnx::onnx().with_ignore_output_shapes(true).model_for_path(&self.path)?;
            for (index, input) in inputs.iter().enumerate() {
                let fact =
                    tract_onnx::prelude::InferenceFact::dt_shape(datum_type(&input.dtype)?, input.shape.as_slice());
                tract_onnx::prelude::InferenceModel::set_input_fact(&mut model, index, fact)?;
            }
            self.plan = Some(model.into_optimized()?.into_runnable()?);
        }
        for input in inputs {
            let bytes = input.bytes();
            // SAFETY: the bytes are elements of this type, as many as the shape says.
            let tensor =
                unsafe { TractTensor::from_raw_dt(datum_type(&input.dtype)?, input.shape.as_slice(), &bytes)? };
            self.inputs.push(tensor.into_tvalue());
        }
        Ok(())
    }

    fn run(&mut self) -> Result<Vec<Output>, Failed> {
        let plan = self.plan.as_ref().ok_or("no model")?;
        let outputs = plan.run(self.inputs.iter().cloned().collect())?;
        let mut all = Vec::new();
        for output in outputs {
            let shape = output.shape().to_vec();
            let dtype = format!("{:?}", output.datum_type()).to_lowercase();
            let (dtype, wide) = match output.datum_type() {
                DatumType::I64 | DatumType::TDim => ("int64".to_owned(), output.cast_to::<i64>()?.into_owned()),
                _ => (dtype, output.cast_to::<f64>()?.into_owned()),
            };
            let elements = match wide.datum_type() {
                DatumType::I64 => wide.try_as_plain_ram()?.as_slice::<i64>()?.iter().map(|n| *n as f64).collect(),
                _ => wide.try_as_plain_ram()?.as_slice::<f64>()?.to_vec(),
            };
            all.push(Output { dtype, shape, elements });
        }
        Ok(all)
    }

    fn spin(&mut self) -> Result<(), Failed> {
        let plan = self.plan.as_ref().ok_or("no model")?;
        plan.run(self.inputs.iter().cloned().collect())?;
        Ok(())
    }
}

fn close(got: f64, expected: f64) -> bool {
    got == expected || (got.is_nan() && expected.is_nan()) || (got - expected).abs() <= 1e-4 + 1e-3 * expected.abs()
}

fn check(engine: &mut dyn Engine, case: &Case) -> Result<(), Failed> {
    engine.load(&case.model).map_err(|error| format!("load: {error}"))?;
    engine.prepare(&case.inputs).map_err(|error| format!("inputs: {error}"))?;
    let got = engine.run().map_err(|error| format!("run: {error}"))?;
    if got.len() != case.outputs.len() {
        return Err(format!("wrong: {} outputs, expected {}", got.len(), case.outputs.len()).into());
    }
    for (got, expected) in got.iter().zip(&case.outputs) {
        if got.shape != expected.shape {
            return Err(format!("wrong: shape {:?}, expected {:?}", got.shape, expected.shape).into());
        }
        for (got_one, expected_one) in got.elements.iter().zip(expected.elements()?) {
            if !close(*got_one, expected_one) {
                let (of, named) = (&got.dtype, &expected.dtype);
                return Err(format!("wrong: {got_one} ({of}), expected {expected_one} ({named})").into());
            }
        }
    }
    Ok(())
}

fn measure(engine: &mut dyn Engine, case: &Case) -> Result<(), Failed> {
    engine.load(&case.model).map_err(|error| format!("load: {error}"))?;
    engine.prepare(&case.inputs).map_err(|error| format!("inputs: {error}"))?;
    let begun = Instant::now();
    let mut times = Vec::new();
    while begun.elapsed() < Duration::from_secs(2) || times.len() < 20 {
        let start = Instant::now();
        engine.spin()?;
        times.push(start.elapsed().as_nanos());
    }
    times.drain(..times.len() / 10);
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100] as f64 / 1000.0;
    println!("ok {:.1} {:.1}", at(50), at(99));
    Ok(())
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [engine, what, cases, first] = arguments.as_slice() else {
        eprintln!("usage: witgate-bench-runtimes rten|tract|tract-concrete check|time CASES.json FIRST");
        std::process::exit(2);
    };
    let mut engine: Box<dyn Engine> = match engine.as_str() {
        "rten" => Box::new(Rten::default()),
        "tract" => Box::new(Tract::default()),
        _ => Box::new(Tract { concrete: true, ..Tract::default() }),
    };
    let cases: Vec<Case> = serde_json::from_slice(&std::fs::read(cases).expect("cases")).expect("cases as JSON");
    std::panic::set_hook(Box::new(|_| {}));
    for (index, case) in cases.iter().enumerate().skip(first.parse().expect("a number")) {
        print!("{index} {} ", case.name);
        let _ = std::io::stdout().flush();
        let done = catch_unwind(AssertUnwindSafe(|| match what.as_str() {
            "check" => check(engine.as_mut(), case).map(|()| println!("ok")),
            _ => measure(engine.as_mut(), case),
        }));
        match done {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                println!("{}", error.to_string().replace('\n', " ").chars().take(300).collect::<String>())
            }
            Err(_) => println!("panic"),
        }
    }
}
