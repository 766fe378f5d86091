//! What each place may attend to.

use super::heads::wide;
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Setup};
use crate::shape::Shape;
use crate::value::{Data, DataType};

/// Attributes that leave places out.
#[derive(Debug)]
pub(super) struct Bounds {
    is_causal: bool,
    left: Option<i64>,
    right: Option<i64>,
}

impl Bounds {
    pub fn of(setup: &Setup<'_>) -> Result<Self, BuildError> {
        let reader = setup.attributes();
        let window = |name: &str| {
            if setup.opset() < 25 {
                return Ok(None);
            }
            match reader.int_or(name, -1)? {
                -1 => Ok(None),
                size if size >= 0 => Ok(Some(size)),
                _ => Err(BuildError::attribute(name, "expected a number of at least 0, or -1")),
            }
        };
        let (left, right) = (window("left_window_size")?, window("right_window_size")?);
        Ok(Self { is_causal: reader.flag("is_causal", false)?, left, right })
    }

    /// Whether a query, counted from the first key, may attend to a key.
    fn allows(&self, query: i64, key: i64) -> bool {
        let is_near = self.left.is_none_or(|left| key >= query.saturating_sub(left))
            && self.right.is_none_or(|right| key <= query.saturating_add(right));
        is_near && (!self.is_causal || key <= query)
    }
}

/// What is added to the scores of all heads.
pub(super) struct Mask<'a> {
    bounds: &'a Bounds,
    /// Numbers that are added, with their strides in batch, heads, queries and keys, and how many keys they are for.
    added: Option<(Vec<f64>, [usize; 4], usize)>,
    /// Keys of each of the batch that are none but padding.
    lengths: Option<Vec<i64>>,
    /// Keys before the first query; by batch, if there are lengths.
    past: i64,
    queries: usize,
}

/// Batch, heads, queries and keys.
pub(super) type Sizes = [usize; 4];

impl<'a> Mask<'a> {
    /// `past` is how many keys come of a cache within the node.
    pub fn of(
        bounds: &'a Bounds,
        inputs: &Inputs<'_>,
        sizes: Sizes,
        past: Option<usize>,
        budget: &mut Budget,
    ) -> Result<Self, OperatorError> {
        let [batch, _, queries, keys] = sizes;
        let lengths = inputs.optional_integers(6)?;
        if lengths.is_some() && past.is_some() {
            return Err(inputs.unexpected(6, "nothing, as there are keys of the past"));
        }
        let fits = |length: &i64| usize::try_from(*length).is_ok_and(|length| length <= keys);
        if lengths.as_ref().is_some_and(|lengths| lengths.len() != batch || !lengths.iter().all(fits)) {
            return Err(inputs.unexpected(6, &format!("{batch} lengths from 0 to {keys}")));
        }
        let added = if inputs.optional(3)?.is_some() { Some(added(inputs, sizes, budget)?) } else { None };
        let past = past.map_or(0, |past| past as i64);
        Ok(Self { bounds, added, lengths: lengths.map(|lengths| lengths.to_vec()), past, queries })
    }

    /// Adds to the scores of a query with all keys.
    pub fn add(&self, batch: usize, head: usize, query: usize, scores: &mut [f64]) {
        let length = self.lengths.as_ref().and_then(|lengths| lengths.get(batch)).copied();
        let offset = length.map_or(self.past, |length| length - self.queries as i64);
        let place = offset.saturating_add(query as i64);
        if let Some((numbers, strides, keys)) = &self.added {
            let start: usize = [batch, head, query].iter().zip(strides).map(|(at, stride)| at * stride).sum();
            let step = strides.last().copied().unwrap_or(0);
            for (at, score) in scores.iter_mut().enumerate() {
                // Keys that the mask is too short for take no part.
                let number = if at < *keys { numbers.get(start + at * step) } else { None };
                let number = number.copied().unwrap_or(f64::NEG_INFINITY);
                *score = if number == f64::NEG_INFINITY { number } else { *score + number };
            }
        }
        for (at, score) in scores.iter_mut().enumerate() {
            let key = at as i64;
            if !self.bounds.allows(place, key) || length.is_some_and(|length| key >= length) {
                *score = f64::NEG_INFINITY;
            }
        }
    }
}

/// Numbers of a mask: of truth values, nothing for those that take part and minus infinity for the others.
fn added(
    inputs: &Inputs<'_>,
    sizes: Sizes,
    budget: &mut Budget,
) -> Result<(Vec<f64>, [usize; 4], usize), OperatorError> {
    let mask = inputs.tensor(3)?;
    let shape = mask.shape();
    let [.., keys] = sizes;
    let numbers = match mask.data() {
        Data::Bool(truths) => {
            budget.elements(truths.len(), size_of::<f64>())?;
            truths.iter().map(|truth| if *truth { 0.0 } else { f64::NEG_INFINITY }).collect()
        }
        data if data.data_type() == inputs.tensor(0)?.data_type() => wide(inputs, 3, budget)?,
        _ => return Err(inputs.unexpected(3, "BOOL, or numbers of the first input's type")),
    };
    let expected = || inputs.unexpected(3, &format!("a mask for {}", Shape::new(&sizes).unwrap_or(Shape::SCALAR)));
    let own = shape.dimensions().last().copied().unwrap_or(1);
    // Of one place it is not told whether it repeats or is too short.
    if shape.rank() > 4 || own > keys || (own < keys && own == 1) {
        return Err(expected());
    }
    let mut strides = [0; 4];
    let own_strides = shape.strides();
    for (axis, size) in shape.dimensions().iter().enumerate() {
        let at = axis + 4 - shape.rank();
        let whole = sizes.get(at).copied().unwrap_or(1);
        let stride = own_strides.get(axis).copied().unwrap_or(0);
        match strides.get_mut(at) {
            Some(place) if *size == whole || at == 3 => *place = stride,
            Some(_) if *size == 1 => {}
            _ => return Err(expected()),
        }
    }
    Ok((numbers, strides, own))
}

/// Types that a softmax can be told to be made in; all are less precise than what it is made in, or as precise.
pub(super) fn softmax_precision(setup: &Setup<'_>) -> Result<(), BuildError> {
    match setup.attributes().int("softmax_precision")?.map(DataType::from_onnx) {
        None | Some(Some(DataType::Float16 | DataType::Bfloat16 | DataType::Float32 | DataType::Float64)) => Ok(()),
        Some(_) => Err(BuildError::attribute("softmax_precision", "expected 1, 10, 11 or 16")),
    }
}
