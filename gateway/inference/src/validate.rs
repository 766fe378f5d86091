//! Holds values to what a model says it takes. Whoever runs models for others asks here first: the model server's
//! protocols, stages, and plugins.

use std::fmt::{self, Display, Formatter};

use half::{bf16, f16};

use crate::{Data, DataType, Dimension, Signature, Tensor, TensorInfo};

/// Most characters of a text from outside that a message repeats: a client may send a name as long as its body.
const CLIP: usize = 64;

/// What becomes of inputs that are NaN or infinite.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NonFinite {
    /// They are refused: hardly a model was trained on them, and one poisons its whole row.
    #[default]
    Refuse,
    Allow,
}

/// Values that a model cannot be run on, for those who sent them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    #[error("the model has no input `{name}`; it has {present}")]
    Unknown { name: String, present: String },
    #[error("the input `{name}` is missing: {expected}")]
    Missing { name: String, expected: String },
    #[error("the input `{name}` is given more than once")]
    Duplicate { name: String },
    #[error(
        "the input `{name}` has to be of the type {expected}, got {got}",
        expected = expected.label(),
        got = got.label()
    )]
    Type { name: String, expected: DataType, got: DataType },
    #[error("the input `{name}` has to have the shape {expected}, got {got:?}: {rank} dimensions instead of {wanted}")]
    Rank { name: String, expected: String, got: Vec<usize>, rank: usize, wanted: usize },
    #[error("the input `{name}` has to have the shape {expected}, got {got:?}: dimension {axis} is not {size}")]
    Dimension { name: String, expected: String, got: Vec<usize>, axis: usize, size: usize },
    #[error(
        "the dimension `{dimension}` has to be the same everywhere, but it is {first_size} in the input `{first}` and \
         {size} in `{name}`"
    )]
    Disagree { dimension: String, first: String, first_size: usize, name: String, size: usize },
    #[error(
        "the input `{name}` has {rows} rows, and the model takes at most {limit} in one request: send fewer at a time"
    )]
    Batch { name: String, rows: usize, limit: usize },
    #[error("element {element} of the input `{name}` is {got}, and only finite numbers are taken here")]
    NotFinite { name: String, element: usize, got: &'static str },
    /// Elements and shape do not go together.
    #[error("the input `{name}` has the shape {shape:?}, which has room for {room} elements, got {got}")]
    Count { name: String, shape: Vec<usize>, room: String, got: usize },
    /// An element is not a value of the type.
    #[error("{place} of the input `{name}` has to be {expected}, got {got}")]
    Element { name: String, place: String, expected: &'static str, got: String },
}

/// Brings inputs that came by name into the order of a signature, and holds them to it: names, types, ranks, fixed
/// dimensions, dimensions of one name, rows, and numbers that are not finite. Costs time only where it has to look at
/// numbers.
///
/// # Errors
/// They do not go with the signature; the first trouble in its order.
pub fn check(
    signature: &Signature,
    non_finite: NonFinite,
    batch_limit: usize,
    inputs: Vec<(String, Tensor)>,
) -> Result<Vec<Tensor>, InputError> {
    let mut found: Vec<Option<Tensor>> = vec![None; signature.inputs.len()];
    for (name, tensor) in inputs {
        let place = signature.inputs.iter().position(|info| info.name == name);
        let Some(slot) = place.and_then(|place| found.get_mut(place)) else { return Err(unknown(signature, &name)) };
        if slot.replace(tensor).is_some() {
            return Err(InputError::Duplicate { name });
        }
    }
    let rows_limit = signature.has_rows().then_some(batch_limit);
    let mut named: Vec<(&str, &str, usize)> = Vec::new();
    let mut ordered = Vec::with_capacity(found.len());
    for (info, tensor) in signature.inputs.iter().zip(found) {
        let Some(tensor) = tensor else {
            return Err(InputError::Missing { name: info.name.clone(), expected: declared(info) });
        };
        check_type(info, &tensor)?;
        check_shape(info, &tensor, rows_limit, &mut named)?;
        if non_finite == NonFinite::Refuse {
            check_finite(info, tensor.data())?;
        }
        ordered.push(tensor);
    }
    Ok(ordered)
}

/// The error for an input that a model does not have.
pub(crate) fn unknown(signature: &Signature, name: &str) -> InputError {
    let present = quoted(signature.inputs.iter().map(|info| info.name.as_str()));
    InputError::Unknown { name: clip(name), present }
}

/// Names for a message.
pub(crate) fn quoted<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// The beginning of a text from outside, for a message.
pub(crate) fn clip(text: &str) -> String {
    match text.char_indices().nth(CLIP) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

fn declared(info: &TensorInfo) -> String {
    match &info.shape {
        Some(shape) => format!("{} of the shape {}", info.data_type.label(), Shape(shape)),
        None => format!("{} of any shape", info.data_type.label()),
    }
}

/// A declared shape, for messages.
struct Shape<'a>(&'a [Dimension]);

impl Display for Shape<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (axis, dimension) in self.0.iter().enumerate() {
            if axis > 0 {
                f.write_str(", ")?;
            }
            match dimension {
                Dimension::Fixed(size) => write!(f, "{size}")?,
                Dimension::Named(name) => write!(f, "{name}")?,
                Dimension::Any => f.write_str("any")?,
            }
        }
        f.write_str("]")
    }
}

fn check_type(info: &TensorInfo, tensor: &Tensor) -> Result<(), InputError> {
    let (expected, got) = (info.data_type, tensor.data_type());
    if expected == got { Ok(()) } else { Err(InputError::Type { name: info.name.clone(), expected, got }) }
}

/// `named`: dimensions by name that were met before, with the input and the size that they had there.
fn check_shape<'a>(
    info: &'a TensorInfo,
    tensor: &Tensor,
    rows_limit: Option<usize>,
    named: &mut Vec<(&'a str, &'a str, usize)>,
) -> Result<(), InputError> {
    let Some(declared) = &info.shape else { return Ok(()) };
    let (name, got) = (|| info.name.clone(), tensor.shape());
    if declared.len() != got.len() {
        let (expected, rank, wanted) = (Shape(declared).to_string(), got.len(), declared.len());
        return Err(InputError::Rank { name: name(), expected, got: got.to_vec(), rank, wanted });
    }
    for (axis, (dimension, &size)) in declared.iter().zip(got).enumerate() {
        match dimension {
            Dimension::Fixed(fixed) if *fixed != size => {
                let expected = Shape(declared).to_string();
                return Err(InputError::Dimension { name: name(), expected, got: got.to_vec(), axis, size: *fixed });
            }
            Dimension::Fixed(_) => continue,
            Dimension::Named(dimension) => match named.iter().find(|(known, ..)| known == dimension) {
                Some(&(_, first, first_size)) if first_size != size => {
                    let (dimension, first) = (dimension.clone(), first.to_owned());
                    return Err(InputError::Disagree { dimension, first, first_size, name: name(), size });
                }
                Some(_) => {}
                None => named.push((dimension, &info.name, size)),
            },
            Dimension::Any => {}
        }
        if let (0, Some(limit)) = (axis, rows_limit)
            && size > limit
        {
            return Err(InputError::Batch { name: name(), rows: size, limit });
        }
    }
    Ok(())
}

fn check_finite(info: &TensorInfo, data: &Data) -> Result<(), InputError> {
    let Some((element, got)) = first_not_finite(data) else { return Ok(()) };
    Err(InputError::NotFinite { name: info.name.clone(), element, got })
}

/// The first element that is NaN or infinite, and which of them.
pub(crate) fn first_not_finite(data: &Data) -> Option<(usize, &'static str)> {
    fn first<T: Copy>(
        elements: &[T],
        finite: impl Fn(T) -> bool,
        nan: impl Fn(T) -> bool,
    ) -> Option<(usize, &'static str)> {
        let element = elements.iter().position(|element| !finite(*element))?;
        let is_nan = elements.get(element).is_some_and(|element| nan(*element));
        Some((element, if is_nan { "NaN" } else { "infinite" }))
    }
    match data {
        Data::Float16(elements) => first(elements, f16::is_finite, f16::is_nan),
        Data::Bfloat16(elements) => first(elements, bf16::is_finite, bf16::is_nan),
        Data::Float32(elements) => first(elements, f32::is_finite, f32::is_nan),
        Data::Float64(elements) => first(elements, f64::is_finite, f64::is_nan),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(name: &str, data_type: DataType, shape: &[Dimension]) -> TensorInfo {
        TensorInfo { name: name.to_owned(), data_type, shape: Some(shape.to_vec()) }
    }

    fn batch() -> Dimension {
        Dimension::Named("batch".to_owned())
    }

    fn signature() -> Signature {
        let pair = [batch(), Dimension::Fixed(2)];
        Signature {
            inputs: vec![info("a", DataType::Float32, &pair), info("b", DataType::Int64, &[batch()])],
            outputs: vec![info("y", DataType::Float32, &pair)],
        }
    }

    fn floats(shape: &[usize]) -> Tensor {
        Tensor::new(shape, Data::zeros(DataType::Float32, shape.iter().product())).unwrap()
    }

    fn integers(shape: &[usize]) -> Tensor {
        Tensor::new(shape, Data::zeros(DataType::Int64, shape.iter().product())).unwrap()
    }

    fn checked(inputs: &[(&str, Tensor)]) -> Result<Vec<Tensor>, String> {
        let inputs = inputs.iter().map(|(name, tensor)| ((*name).to_owned(), tensor.clone())).collect();
        check(&signature(), NonFinite::Refuse, 4, inputs).map_err(|error| error.to_string())
    }

    #[test]
    fn inputs_come_back_in_the_order_of_the_signature() {
        let ordered = checked(&[("b", integers(&[3])), ("a", floats(&[3, 2]))]).unwrap();
        assert_eq!(ordered, [floats(&[3, 2]), integers(&[3])]);
    }

    #[test]
    fn an_error_says_what_was_expected_and_what_came() {
        let b = || ("b", integers(&[1]));
        let cases: [(&[(&str, Tensor)], &str); 10] = [
            (&[("x", floats(&[1, 2]))], "the model has no input `x`; it has `a`, `b`"),
            (&[b()], "the input `a` is missing: FP32 of the shape [batch, 2]"),
            (&[b(), b()], "the input `b` is given more than once"),
            (&[("a", integers(&[1, 2])), b()], "the input `a` has to be of the type FP32, got INT64"),
            (
                &[("a", floats(&[2])), b()],
                "the input `a` has to have the shape [batch, 2], got [2]: 1 dimensions instead of 2",
            ),
            (
                &[("a", floats(&[1, 3])), b()],
                "the input `a` has to have the shape [batch, 2], got [1, 3]: dimension 1 is not 2",
            ),
            (
                &[("a", floats(&[2, 2])), b()],
                "the dimension `batch` has to be the same everywhere, but it is 2 in the input `a` and 1 in `b`",
            ),
            (
                &[("a", floats(&[0, 2])), b()],
                "the dimension `batch` has to be the same everywhere, but it is 0 in the input `a` and 1 in `b`",
            ),
            (
                &[("a", floats(&[5, 2])), b()],
                "the input `a` has 5 rows, and the model takes at most 4 in one request: send fewer at a time",
            ),
            (
                &[("a", Tensor::new([1, 2], Data::Float32(vec![0.0, f32::NAN])).unwrap()), b()],
                "element 1 of the input `a` is NaN, and only finite numbers are taken here",
            ),
        ];
        for (inputs, expected) in cases {
            assert_eq!(checked(inputs).unwrap_err(), expected);
        }
    }

    #[test]
    fn numbers_that_are_not_finite_pass_where_they_are_allowed() {
        let signature = Signature { inputs: vec![info("a", DataType::Float64, &[Dimension::Any])], outputs: vec![] };
        let inputs = || vec![("a".to_owned(), Tensor::new([1], Data::Float64(vec![f64::INFINITY])).unwrap())];
        assert!(check(&signature, NonFinite::Refuse, 1, inputs()).is_err());
        assert!(check(&signature, NonFinite::Allow, 1, inputs()).is_ok());
    }

    #[test]
    fn an_input_may_have_no_elements_where_its_size_is_free() {
        assert!(checked(&[("a", floats(&[0, 2])), ("b", integers(&[0]))]).is_ok());
        let fixed = Signature { inputs: vec![info("a", DataType::Float32, &[Dimension::Fixed(1)])], outputs: vec![] };
        assert!(check(&fixed, NonFinite::Refuse, 1, vec![("a".to_owned(), floats(&[0]))]).is_err());
    }

    #[test]
    fn an_input_without_declared_shape_takes_any() {
        let any = TensorInfo { name: "a".to_owned(), data_type: DataType::Float32, shape: None };
        let signature = Signature { inputs: vec![any], outputs: vec![] };
        for shape in [&[][..], &[7], &[2, 0, 3]] {
            assert!(check(&signature, NonFinite::Refuse, 1, vec![("a".to_owned(), floats(shape))]).is_ok());
        }
    }

    #[test]
    fn a_message_repeats_only_the_beginning_of_a_long_name() {
        let error = checked(&[(&"ä".repeat(1_000_000), floats(&[1]))]).unwrap_err();
        assert!(error.len() < 300, "got {} bytes", error.len());
    }
}
