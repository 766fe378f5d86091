//! Model files of the libraries, with rows and what the libraries make of them. `tests/make.py` writes them.

#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "the files are our own")]

use std::fs;
use std::path::{Path, PathBuf};

use witgate_native::{Categories, Category, CompileOptions, FeatureKind, Limits, NativeModel, Selection};

/// What categories of CatBoost's cases are, by the number in the third column; as in `make.py`.
const TEXTS: [&str; 12] = [
    "",
    "a",
    "GET",
    "POST",
    "curl/8.1",
    "Mozilla/5.0 (X11)",
    "a text of thirty-two bytes or so!",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
    "ein Text mit Umläuten: äöü, der länger als sechzehn ist",
    "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz",
    "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy",
    "unseen in training",
];

/// Rows of a case.
pub struct Rows {
    pub width: usize,
    pub outputs: usize,
    pub numbers: Vec<f64>,
    pub scores: Vec<f64>,
    pub raw: Vec<f64>,
}

/// The model file of a case.
pub fn file(folder: &Path, name: &str) -> Option<PathBuf> {
    ["txt", "json", "ubj"].map(|end| folder.join(format!("{name}.{end}"))).into_iter().find(|path| path.exists())
}

pub fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models")
}

/// Names of the cases of a folder.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("the folder is there").map(|entry| entry.expect("an entry").path());
    let rows = entries.filter(|path| path.extension().is_some_and(|end| end == "rows"));
    let mut names: Vec<String> =
        rows.map(|path| path.file_stem().expect("a name").to_str().expect("plain letters").to_owned()).collect();
    names.sort();
    names
}

pub fn model(folder: &Path, name: &str) -> NativeModel {
    let path = file(folder, name).expect("the model of the case is there");
    witgate_native::read(&fs::read(path).expect("a file"), &Limits::default())
        .unwrap_or_else(|error| panic!("{name}: {error}"))
}

impl Rows {
    pub fn read(folder: &Path, name: &str) -> Self {
        let bytes = fs::read(folder.join(format!("{name}.rows"))).expect("the rows of the case are there");
        assert_eq!(&bytes[..4], b"rows");
        let size = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize;
        let (count, width, outputs) = (size(4), size(8), size(12));
        let (mut numbers, mut rest) = (Vec::new(), &bytes[16..]);
        while let [length, bytes @ ..] = rest {
            let (high, others) = bytes.split_at((*length).into());
            let mut number = [0; 8];
            number[..high.len()].copy_from_slice(high);
            numbers.push(f64::from_be_bytes(number));
            rest = others;
        }
        let mut scores = numbers.split_off(count * width);
        let mut raw = scores.split_off(count * outputs);
        if raw.is_empty() {
            raw.clone_from(&scores);
        }
        assert_eq!(raw.len(), count * outputs);
        Self { width, outputs, numbers, scores, raw }
    }

    /// Makes codes of the categories of CatBoost's cases.
    pub fn encode(&mut self, model: &NativeModel) {
        for (column, feature) in model.features().iter().enumerate() {
            if !matches!(feature.kind, FeatureKind::Category(Categories::Hashes)) {
                continue;
            }
            for number in self.numbers.iter_mut().skip(column).step_by(self.width) {
                let category = match column {
                    2 => Category::Text(TEXTS[*number as usize]),
                    _ => Category::Integer(*number as i64),
                };
                *number = model.code(column, category).expect("a category");
            }
        }
    }

    /// What is computed: scores and raw scores. All rows at once, and each by itself.
    pub fn computed(&self, model: &NativeModel) -> (Vec<f64>, Vec<f64>) {
        let options = CompileOptions { selection: Selection::Rules, ..CompileOptions::default() };
        let compiled = model.compile(&options).expect("it compiles");
        assert_eq!(compiled.outputs(), self.outputs);
        let [mut scores, mut raw] = [(); 2].map(|()| vec![f64::NAN; self.scores.len()]);
        compiled.predict(&self.numbers, self.width, &mut scores).expect("sizes that fit");
        compiled.predict_raw(&self.numbers, self.width, &mut raw).expect("sizes that fit");
        for (row, expected) in self.numbers.chunks(self.width).zip(scores.chunks(self.outputs)).take(300) {
            let mut single = vec![f64::NAN; self.outputs];
            compiled.predict(row, self.width, &mut single).expect("sizes that fit");
            assert!(single.iter().zip(expected).all(|(a, b)| same(*a, *b)), "one row and many differ");
        }
        (scores, raw)
    }
}

/// To the last bit; NaN is NaN.
pub fn same(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()
}

/// How many differ, and the largest difference in relation to the larger number, or 1 if that is larger.
pub fn difference(got: &[f64], expected: &[f64]) -> (usize, f64) {
    let pairs = got.iter().zip(expected).filter(|(a, b)| !same(**a, **b));
    let size = |(a, b): (&f64, &f64)| {
        let difference = (a - b).abs() / a.abs().max(b.abs()).max(1.0);
        if difference.is_nan() { f64::INFINITY } else { difference }
    };
    pairs.map(size).fold((0, 0.0), |(count, largest), size| (count + 1, largest.max(size)))
}
