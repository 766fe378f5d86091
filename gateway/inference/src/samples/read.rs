//! Samples out of a file.

use std::collections::{HashMap, HashSet};

use crate::score::Outputs;
use crate::tensor::count;
use crate::{Data, DataType, Dimension, Metadata, Tensor, TensorInfo, Wanted};

use super::{ROWS_LIMIT, SamplesError};

/// Rows, as a model takes them, and what should come out.
#[derive(Debug, Clone)]
pub struct Samples {
    pub(super) rows: usize,
    inputs: Vec<Input>,
    pub(super) expected: Vec<Expected>,
}

/// An input, row by row.
#[derive(Debug, Clone)]
struct Input {
    data_type: DataType,
    /// Without the rows.
    shape: Vec<usize>,
    cells: Cells,
}

#[derive(Debug, Clone)]
enum Cells {
    Numbers(Vec<f64>),
    Texts(Vec<String>),
}

/// A column that should come out.
#[derive(Debug, Clone)]
pub(super) struct Expected {
    /// `None`: the number that is the score without `output`.
    pub wanted: Option<Wanted>,
    pub cells: Vec<String>,
}

/// Which columns of a file an input is made of.
struct Place<'m> {
    info: &'m TensorInfo,
    columns: Vec<usize>,
}

const FORMAT: &str = "samples are CSV with a head: columns that go in, and columns such as `=probabilities[1]` with what should \
                      come out; `witgate_features.write_samples` writes them";

impl Samples {
    /// Reads samples of a model.
    ///
    /// # Errors
    /// They are no CSV, or do not go with the model.
    pub fn read(text: &[u8], metadata: &Metadata) -> Result<Self, SamplesError> {
        let mut reader = csv::ReaderBuilder::new().from_reader(text);
        let malformed = |error: csv::Error| SamplesError::new(format!("no CSV: {error}"), FORMAT);
        let head: Vec<String> = reader.headers().map_err(malformed)?.iter().map(str::to_owned).collect();
        let is_expected = |name: &str| name.starts_with('=');
        let mut expected = Vec::new();
        for (at, name) in head.iter().enumerate().filter(|(_, name)| is_expected(name)) {
            expected.push((at, Expected { wanted: wanted(name)?, cells: Vec::new() }));
        }
        if expected.is_empty() {
            return Err(SamplesError::new("no column says what should come out: none begins with `=`", FORMAT));
        }
        let given: Vec<(usize, &str)> = head
            .iter()
            .enumerate()
            .filter(|(_, name)| !is_expected(name))
            .map(|(at, name)| (at, name.as_str()))
            .collect();
        let places = places(&metadata.signature.inputs, &given)?;
        let mut inputs = places.iter().map(Place::empty).collect::<Result<Vec<_>, _>>()?;
        let mut rows = 0;
        for record in reader.records() {
            let record = record.map_err(malformed)?;
            rows += 1;
            if rows > ROWS_LIMIT {
                return Err(SamplesError::new(format!("more than {ROWS_LIMIT} rows"), "take fewer of them"));
            }
            for (input, place) in inputs.iter_mut().zip(&places) {
                for column in &place.columns {
                    let name = head.get(*column).map_or("", String::as_str);
                    input.push(record.get(*column).unwrap_or_default(), (rows, name))?;
                }
            }
            for (at, expected) in &mut expected {
                expected.cells.push(record.get(*at).unwrap_or_default().to_owned());
            }
        }
        if rows == 0 {
            return Err(SamplesError::new("no rows", FORMAT));
        }
        Ok(Self { rows, inputs, expected: expected.into_iter().map(|(_, expected)| expected).collect() })
    }

    /// Rows.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// There is one at least.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Some of the rows, as the model takes them.
    pub(super) fn tensors(&self, from: usize, count: usize) -> Result<Vec<Tensor>, SamplesError> {
        self.inputs.iter().map(|input| input.tensor(from, count)).collect()
    }
}

/// The output that a column's name stands for.
fn wanted(name: &str) -> Result<Option<Wanted>, SamplesError> {
    match name.strip_prefix('=').unwrap_or_default() {
        "" => Ok(None),
        output => match output.parse() {
            Ok(wanted) => Ok(Some(wanted)),
            Err(()) => Err(SamplesError::new(
                format!("the column `{name}` names no output"),
                "write `=`, `=OUTPUT`, `=OUTPUT[COLUMN]` or `=OUTPUT[CLASS]`",
            )),
        },
    }
}

fn places<'m>(inputs: &'m [TensorInfo], given: &[(usize, &str)]) -> Result<Vec<Place<'m>>, SamplesError> {
    if let [info] = inputs {
        return Ok(vec![Place { info, columns: given.iter().map(|(at, _)| *at).collect() }]);
    }
    // The first of those with the same name.
    let named: HashMap<&str, usize> = given.iter().rev().map(|(at, name)| (*name, *at)).collect();
    let place = |info: &'m TensorInfo| {
        let whole = named.get(info.name.as_str()).copied();
        let parts = (0..).map_while(|part| named.get(format!("{}[{part}]", info.name).as_str()).copied());
        let columns: Vec<usize> = whole.map_or_else(|| parts.collect(), |at| vec![at]);
        if columns.is_empty() {
            let message = format!("the model takes {info}, and no column is named `{0}` or `{0}[0]`", info.name);
            return Err(SamplesError::new(message, FORMAT));
        }
        Ok(Place { info, columns })
    };
    let places = inputs.iter().map(place).collect::<Result<Vec<_>, _>>()?;
    let used: HashSet<usize> = places.iter().flat_map(|place| place.columns.iter().copied()).collect();
    match given.iter().find(|(at, _)| !used.contains(at)) {
        Some((_, name)) => {
            let inputs: Vec<_> = inputs.iter().map(|info| format!("`{}`", info.name)).collect();
            let message = format!("the column `{name}` is no input of the model, which has {}", inputs.join(", "));
            Err(SamplesError::new(message, FORMAT))
        }
        None => Ok(places),
    }
}

impl Place<'_> {
    /// The input before its first row.
    fn empty(&self) -> Result<Input, SamplesError> {
        let Self { info, columns } = self;
        let width = columns.len();
        let shape = match info.shape.as_deref() {
            None => Some(vec![width]),
            Some([_]) => (width == 1).then(Vec::new),
            Some([_, rest @ ..]) => {
                let fixed = |dimension: &Dimension| match dimension {
                    Dimension::Fixed(size) => Some(*size),
                    Dimension::Named(_) | Dimension::Any => None,
                };
                let sizes: Vec<_> = rest.iter().map(fixed).collect();
                match (sizes.iter().copied().collect::<Option<Vec<usize>>>(), &sizes[..]) {
                    (Some(sizes), _) => (count(&sizes) == Some(width)).then_some(sizes),
                    (None, [None]) => Some(vec![width]),
                    (None, _) => None,
                }
            }
            Some([]) => None,
        };
        let Some(shape) = shape else {
            let message = format!("the model takes {info}, and the samples have {width} columns for it");
            return Err(SamplesError::new(message, FORMAT));
        };
        let is_text = info.data_type == DataType::String;
        let cells = if is_text { Cells::Texts(Vec::new()) } else { Cells::Numbers(Vec::new()) };
        Ok(Input { data_type: info.data_type, shape, cells })
    }
}

impl Input {
    fn push(&mut self, cell: &str, (row, column): (usize, &str)) -> Result<(), SamplesError> {
        match &mut self.cells {
            Cells::Texts(texts) => texts.push(cell.to_owned()),
            Cells::Numbers(numbers) => numbers.push(number(cell).ok_or_else(|| {
                let message = format!("`{cell}` in the column `{column}` of row {row} is no number");
                SamplesError::new(message, "write decimal numbers, `nan`, `inf` or `-inf`")
            })?),
        }
        Ok(())
    }

    fn tensor(&self, from: usize, count: usize) -> Result<Tensor, SamplesError> {
        let width = self.shape.iter().product::<usize>();
        let range = from * width..(from + count) * width;
        let data = match &self.cells {
            Cells::Texts(texts) => Data::String(texts.get(range).unwrap_or_default().to_vec()),
            Cells::Numbers(numbers) => of_type(numbers.get(range).unwrap_or_default(), self.data_type),
        };
        let shape = std::iter::once(count).chain(self.shape.iter().copied()).collect::<Vec<_>>();
        Tensor::new(shape, data).map_err(|error| SamplesError::new(error.to_string(), FORMAT))
    }
}

/// Numbers in the type that a model takes, each rounded once.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what does not fit is the nearest that does"
)]
fn of_type(numbers: &[f64], data_type: DataType) -> Data {
    macro_rules! integers {
        ($variant:ident, $type:ty) => {
            Data::$variant(numbers.iter().map(|number| *number as $type).collect())
        };
    }
    match data_type {
        DataType::Bool => Data::Bool(numbers.iter().map(|number| *number != 0.0).collect()),
        DataType::Uint8 => integers!(Uint8, u8),
        DataType::Uint16 => integers!(Uint16, u16),
        DataType::Uint32 => integers!(Uint32, u32),
        DataType::Uint64 => integers!(Uint64, u64),
        DataType::Int8 => integers!(Int8, i8),
        DataType::Int16 => integers!(Int16, i16),
        DataType::Int32 => integers!(Int32, i32),
        DataType::Int64 => integers!(Int64, i64),
        DataType::Float16 => Data::Float16(numbers.iter().map(|number| half::f16::from_f64(*number)).collect()),
        DataType::Bfloat16 => Data::Bfloat16(numbers.iter().map(|number| half::bf16::from_f64(*number)).collect()),
        DataType::Float32 => Data::Float32(numbers.iter().map(|number| *number as f32).collect()),
        DataType::Float64 => Data::Float64(numbers.to_vec()),
        DataType::String => Data::String(numbers.iter().map(ToString::to_string).collect()),
    }
}

/// Nothing is NaN, as in tables of pandas.
pub(super) fn number(cell: &str) -> Option<f64> {
    if cell.is_empty() { Some(f64::NAN) } else { cell.trim().parse().ok() }
}

impl Expected {
    /// What it is compared with: the output and its column.
    pub fn choose(&self, outputs: &Outputs<'_>) -> Result<(usize, usize, String), SamplesError> {
        let chosen = match &self.wanted {
            // Labels are compared, too, although they are no scores.
            Some(wanted) if outputs.is_text(&wanted.output) => outputs.text(&wanted.output),
            wanted => outputs.choose(wanted.as_ref()).map(|chosen| (chosen.output, chosen.column, chosen.to_string())),
        };
        chosen.map_err(|mistake| SamplesError::new(mistake.message, mistake.help))
    }
}
