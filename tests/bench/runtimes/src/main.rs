//! Scores the same rows with whatever can run a model, in turns, in one process, on one thread: Witgate, ONNX Runtime, the
//! libraries that train trees, and what compiles their models. `run.py` makes the models and starts it.

mod compiled;
mod contender;
mod lightgbm;
mod manifest;
mod measure;
mod onnx_runtime;
mod report;
mod rows;
mod targets;
mod witgate;
mod xgboost;

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use libloading::Library as Shared;
use ort::environment::Environment;
use witgate_native::{LayoutKind, Precision, Selection};

use crate::contender::{Contender, Entry};
use crate::manifest::{Library, Manifest, Trees};
use crate::measure::quantile;
use crate::report::{Group, Measured};
use crate::rows::{Batch, Rows};

type Failed = Box<dyn std::error::Error>;

/// Rows of a call.
const SIZES: [usize; 2] = [1, 64];
/// How often each model is loaded.
const LOADS: usize = 3;
/// Scores that differ by more are of different models.
const TOLERANCE: f64 = 1e-6;

/// Names that targets and tables ask for.
mod names {
    pub const CALLED: &str = "Witgate, called";
    pub const SEAM: &str = "Witgate, its session";
    pub const SEAM_ONNX: &str = "Witgate, its session, ONNX";
    /// Behind the name of a library.
    pub const ITS_OWN: &str = ", its C interface";
    pub const ONNX_RUNTIME: &str = "ONNX Runtime, `Session::run`";
}

struct Options {
    manifest: PathBuf,
    rounds: usize,
    slice: Duration,
    only: Option<String>,
    /// Each layout of Witgate's is a contender by itself.
    layouts: bool,
    json: Option<PathBuf>,
}

struct Bench {
    options: Options,
    manifest: Manifest,
    environment: Environment,
    lightgbm: Rc<Shared>,
    xgboost: Rc<Shared>,
}

fn main() {
    if let Err(error) = run() {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
}

fn run() -> Result<(), Failed> {
    let options = options()?;
    let manifest = Manifest::read(&options.manifest)?;
    let environment = onnx_runtime::open(&manifest.libraries.onnxruntime)?;
    // SAFETY: libraries of packages that were installed to be loaded.
    let [lightgbm, xgboost] = unsafe {
        [Rc::new(Shared::new(&manifest.libraries.lightgbm)?), Rc::new(Shared::new(&manifest.libraries.xgboost)?)]
    };
    let versions: Vec<String> = manifest.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
    println!("{}", versions.join(", "));
    println!("{} rounds of {} ms for each contender; processor time.", options.rounds, options.slice.as_millis());
    let bench = Bench { options, manifest, environment, lightgbm, xgboost };
    let (mut groups, mut failures) = (Vec::new(), Vec::new());
    let rows = Rc::new(Rows::read(&bench.manifest.rows, false)?);
    for trees in &bench.manifest.trees {
        let title = format!("{}, {} trees", trees.library.name(), trees.trees);
        if let Some(group) = bench.group(&title, bench.trees(trees, &rows)?, &rows, &mut failures)? {
            let note = witgate::Called::load(&trees.file, &rows, Precision::F32, Selection::default())?.layouts();
            let group = Group { note: format!("Layouts of Witgate for one row and for many: {note}."), ..group };
            report::print(&group, &[names::CALLED, names::SEAM]);
            targets::check(trees, &group, &mut failures);
            groups.push(group);
        }
    }
    for dense in &bench.manifest.dense {
        let rows = Rc::new(Rows::read(&dense.rows, dense.integers)?);
        if let Some(group) =
            bench.group(&dense.name, bench.graph(&dense.onnx, "y", &rows)?.into(), &rows, &mut failures)?
        {
            let group = Group { note: "Weights say nothing.".to_owned(), ..group };
            report::print(&group, &[names::SEAM_ONNX]);
            groups.push(group);
        }
    }
    if let Some(json) = &bench.options.json {
        let versions = &bench.manifest.versions;
        let all = serde_json::json!({ "versions": versions, "groups": groups, "failures": failures });
        std::fs::write(json, serde_json::to_vec_pretty(&all)?)?;
    }
    if failures.is_empty() {
        return Ok(());
    }
    Err(format!("\n- {}", failures.join("\n- ")).into())
}

impl Library {
    fn name(self) -> &'static str {
        match self {
            Self::LightGbm => "LightGBM",
            Self::XgBoost => "XGBoost",
        }
    }
}

impl Bench {
    /// Who runs trees; the library itself is the first, for all others must give its scores.
    fn trees(&self, trees: &Trees, rows: &Rc<Rows>) -> Result<Vec<Entry>, Failed> {
        let mut entries = vec![self.its_own(trees, rows)?];
        let mut called = vec![(names::CALLED.to_owned(), Precision::F32)];
        if trees.library == Library::LightGbm {
            called.push((format!("{}, rows of doubles", names::CALLED), Precision::F64));
        }
        let called = called.into_iter();
        let mut called: Vec<_> = called.map(|(name, precision)| (name, precision, Selection::default())).collect();
        if self.options.layouts {
            let only = |layout: LayoutKind| (layout.label().to_owned(), Precision::F32, Selection::Only(layout));
            // Not all can be had of every model, nor on every machine.
            let can_be = |(_, precision, selection): &(String, Precision, Selection)| {
                witgate::Called::load(&trees.file, rows, *precision, *selection).is_ok()
            };
            called.extend(LayoutKind::ALL.map(only).into_iter().filter(can_be));
        }
        for (name, precision, selection) in called {
            let (file, rows) = (trees.file.clone(), Rc::clone(rows));
            entries.push(Entry::new(name, move || witgate::Called::load(&file, &rows, precision, selection)));
        }
        let (file, inputs) = (trees.file.clone(), witgate::Seam::inputs(rows, Precision::F64)?);
        entries.push(Entry::new(names::SEAM, move || witgate::Seam::load(&file, &inputs, None)));
        entries.extend(self.graph(&trees.onnx, &trees.probabilities, rows)?);
        for (name, compiled) in &trees.compiled {
            let (file, rows) = (compiled.file.clone(), Rc::clone(rows));
            let entry = if name.starts_with("lleaves") {
                Entry::new(name, move || compiled::Lleaves::load(&file, &rows))
            } else {
                Entry::new(name, move || compiled::Tl2cgen::load(&file, &rows))
            };
            entries.push(Entry { compile: Some(compiled.seconds), ..entry });
        }
        Ok(entries)
    }

    fn its_own(&self, trees: &Trees, rows: &Rc<Rows>) -> Result<Entry, Failed> {
        let (name, file) = (format!("{}{}", trees.library.name(), names::ITS_OWN), trees.file.clone());
        Ok(match trees.library {
            Library::LightGbm => {
                let (library, rows) = (Rc::clone(&self.lightgbm), Rc::clone(rows));
                Entry::new(name, move || lightgbm::LightGbm::load(&library, &file, &rows))
            }
            Library::XgBoost => {
                let (library, places) = (Rc::clone(&self.xgboost), xgboost::Places::of(rows)?);
                Entry::new(name, move || xgboost::XgBoost::load(&library, &file, &places))
            }
        })
    }

    /// Who runs graphs.
    fn graph(&self, file: &Path, output: &str, rows: &Rc<Rows>) -> Result<[Entry; 2], Failed> {
        let inputs = onnx_runtime::OnnxRuntime::inputs(rows)?;
        let (path, name, environment) = (file.to_owned(), output.to_owned(), self.environment.clone());
        let theirs = Entry::new(names::ONNX_RUNTIME, move || {
            onnx_runtime::OnnxRuntime::load(&environment, &path, &inputs, &name)
        });
        let inputs = witgate::Seam::inputs(rows, Precision::F32)?;
        let (path, name) = (file.to_owned(), output.to_owned());
        let ours = Entry::new(names::SEAM_ONNX, move || witgate::Seam::load(&path, &inputs, Some(&name)));
        Ok([theirs, ours])
    }

    /// Loads all contenders, compares their scores, and lets them take turns; nothing if the model is not wanted.
    fn group(
        &self,
        title: &str,
        entries: Vec<Entry>,
        rows: &Rows,
        failures: &mut Vec<String>,
    ) -> Result<Option<Group>, Failed> {
        if self.options.only.as_ref().is_some_and(|only| !title.contains(only)) {
            return Ok(None);
        }
        let (mut contenders, mut measured) = (Vec::new(), Vec::<Measured>::new());
        let mut expected: Option<Vec<f64>> = None;
        for entry in entries {
            let failed = |error: Failed| format!("{title}, {}: {error}", entry.name);
            let (load, mut contender) = loaded(&entry).map_err(failed)?;
            let mut difference = 0.0f64;
            for size in SIZES {
                let scores = all_scores(contender.as_mut(), rows, size).map_err(failed)?;
                let expected = expected.get_or_insert_with(|| scores.clone());
                let differences = scores.iter().zip(expected).map(|(own, theirs)| (own - *theirs).abs());
                // NaN is the largest difference there is.
                difference = differences.fold(difference, |most, one| if one <= most { most } else { one });
            }
            if !(difference <= TOLERANCE) {
                failures.push(format!("{title}, {}: scores differ by up to {difference:e}", entry.name));
            }
            contenders.push(contender);
            measured.push(Measured { name: entry.name, compile: entry.compile, load, difference, turns: vec![] });
        }
        for size in SIZES {
            let turns = measure::in_turns(&mut contenders, rows, size, self.options.rounds, self.options.slice)?;
            measured.iter_mut().zip(turns).for_each(|(it, turns)| it.turns.push(turns));
        }
        Ok(Some(Group { title: title.to_owned(), note: String::new(), contenders: measured }))
    }
}

/// Loads it several times: the median of the seconds of processor time, and the last.
fn loaded(entry: &Entry) -> Result<(f64, Box<dyn Contender>), Failed> {
    let mut times = Vec::new();
    loop {
        let begun = measure::processor_time();
        let contender = (entry.load)()?;
        times.push((measure::processor_time() - begun).as_secs_f64());
        if times.len() == LOADS {
            return Ok((quantile(&times, 0.5), contender));
        }
    }
}

fn all_scores(contender: &mut dyn Contender, rows: &Rows, size: usize) -> Result<Vec<f64>, Failed> {
    let mut scores = vec![f64::NAN; rows.count];
    for batch in rows.batches(size) {
        let Batch { first, count } = batch;
        contender.score(batch, &mut scores[first..first + count])?;
    }
    Ok(scores)
}

fn options() -> Result<Options, Failed> {
    const USAGE: &str =
        "usage: witgate-bench-runtimes MANIFEST [--rounds N] [--slice MS] [--only TEXT] [--layouts] [--json FILE]";
    let mut words = std::env::args().skip(1);
    let manifest = PathBuf::from(words.next().ok_or(USAGE)?);
    let mut options =
        Options { manifest, rounds: 101, slice: Duration::from_millis(4), only: None, layouts: false, json: None };
    while let Some(option) = words.next() {
        if option == "--layouts" {
            options.layouts = true;
            continue;
        }
        let value = words.next().ok_or(USAGE)?;
        match option.as_str() {
            "--rounds" => options.rounds = value.parse::<usize>()?.max(1),
            "--slice" => options.slice = Duration::from_millis(value.parse::<u64>()?.max(1)),
            "--only" => options.only = Some(value),
            "--json" => options.json = Some(PathBuf::from(value)),
            _ => return Err(USAGE.into()),
        }
    }
    Ok(options)
}
