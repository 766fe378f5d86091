//! Elements around a tensor.

use smallvec::SmallVec;

use crate::elementwise::convert;
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::shape::{RANK_LIMIT, Shape};
use crate::value::{Data, Element, Tensor, each};

/// What stands beyond the edge.
#[derive(Debug, Clone, Copy)]
enum Mode {
    Constant,
    Edge,
    /// Mirrored at the first and the last element, which are not repeated.
    Reflect,
    /// As if the tensor began again.
    Wrap,
}

#[derive(Debug)]
struct Pad {
    mode: Mode,
    /// Widths and the constant as attributes, before version 11.
    told: Option<(Vec<i64>, f32)>,
}

pub(super) fn build(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    const MODES: [(&str, Mode); 4] =
        [("constant", Mode::Constant), ("reflect", Mode::Reflect), ("edge", Mode::Edge), ("wrap", Mode::Wrap)];
    let reader = setup.attributes();
    let known = if setup.opset() >= 19 { &MODES[..] } else { MODES.get(..3).unwrap_or_default() };
    let mode = reader.choice("mode", known)?;
    if setup.opset() >= 11 {
        return ready(Pad { mode, told: None });
    }
    let name = if setup.opset() < 2 { "paddings" } else { "pads" };
    let widths = reader.ints(name)?.ok_or_else(|| BuildError::attribute(name, "is required"))?;
    ready(Pad { mode, told: Some((widths.to_vec(), reader.float("value")?.unwrap_or(0.0))) })
}

/// How many elements stand before and after, for each axis; what is negative is cut off.
type Widths = SmallVec<[(i64, i64); RANK_LIMIT]>;

fn widths(told: &[i64], axes: Option<&[i64]>, shape: &Shape) -> Result<Widths, OperatorError> {
    let rank = shape.rank();
    let axes: SmallVec<[i64; 8]> = axes.map_or_else(|| (0..rank as i64).collect(), SmallVec::from_slice);
    if told.len() != 2 * axes.len() {
        return Err(OperatorError::Shape(format!("expected {} widths of padding, got {}", 2 * axes.len(), told.len())));
    }
    let mut widths: Widths = SmallVec::from_elem((0, 0), rank);
    let (before, after) = told.split_at(axes.len());
    for ((axis, before), after) in axes.iter().zip(before).zip(after) {
        let at = shape.axis(*axis).ok_or_else(|| OperatorError::axis(*axis, shape))?;
        widths.get_mut(at).into_iter().for_each(|width| *width = (*before, *after));
    }
    Ok(widths)
}

/// Where each place of a padded axis comes from; none is the constant.
fn sources(mode: Mode, size: usize, before: i64, count: usize) -> Option<Vec<Option<usize>>> {
    let size = i64::try_from(size).ok()?;
    let source = |place: usize| -> Option<Option<usize>> {
        let place = i64::try_from(place).ok()?.checked_sub(before)?;
        let inner = match mode {
            _ if (0..size).contains(&place) => place,
            Mode::Constant => return Some(None),
            _ if size == 0 => return None,
            Mode::Edge => place.clamp(0, size - 1),
            Mode::Wrap => place.rem_euclid(size),
            Mode::Reflect if size == 1 => 0,
            Mode::Reflect => {
                let place = place.rem_euclid(2 * (size - 1));
                place.min(2 * (size - 1) - place)
            }
        };
        usize::try_from(inner).ok().map(Some)
    };
    (0..count).map(source).collect()
}

impl Pad {
    fn constant(&self, data: &Data, inputs: &Inputs<'_>) -> Result<Data, OperatorError> {
        let constant = match &self.told {
            Some((_, value)) => convert(&Data::Float32(vec![*value]), data.data_type()),
            None => match inputs.optional(2)? {
                None => Some(Data::zeros(data.data_type(), 1)),
                Some(tensor) if tensor.shape().elements() == 1 && tensor.data_type() == data.data_type() => {
                    Some(tensor.data().clone())
                }
                Some(_) => None,
            },
        };
        constant.ok_or_else(|| inputs.unexpected(2, &format!("one {}", data.data_type().label())))
    }
}

impl Kernel for Pad {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let tensor = inputs.tensor(0)?;
        let shape = *tensor.shape();
        let told = match &self.told {
            Some((widths, _)) => SmallVec::from_slice(widths),
            None => inputs.integers(1)?,
        };
        let widths = widths(&told, inputs.optional_integers(3)?.as_deref(), &shape)?;
        let sizes = shape.dimensions().iter().zip(&widths).map(|(size, (before, after))| {
            let size = i128::try_from(*size).unwrap_or(i128::MAX);
            usize::try_from(size + i128::from(*before) + i128::from(*after)).ok()
        });
        let sizes: Option<SmallVec<[usize; RANK_LIMIT]>> = sizes.collect();
        let failure = || OperatorError::Shape(format!("a tensor of {shape} cannot be padded by {widths:?}"));
        let made = Shape::new(&sizes.ok_or_else(failure)?)?;
        budget.tensor(&made, tensor.data_type())?;
        let constant = self.constant(tensor.data(), inputs)?;
        if made.elements() == 0 {
            return one(Tensor::of_data(made, Data::zeros(tensor.data_type(), 0)));
        }
        let mut axes: SmallVec<[Vec<Option<usize>>; RANK_LIMIT]> = SmallVec::new();
        for ((size, (before, _)), count) in shape.dimensions().iter().zip(&widths).zip(made.dimensions()) {
            axes.push(sources(self.mode, *size, *before, *count).ok_or_else(failure)?);
        }
        let data = each!(tensor.data(), elements => {
            let fill_with = Element::of_data(&constant).and_then(|data| data.first()).cloned().unwrap_or_default();
            let mut padded = Vec::with_capacity(made.elements());
            fill((elements, &fill_with), &shape.strides(), &axes, Some(0), &mut padded);
            Element::into_data(padded)
        });
        one(Tensor::of_data(made, data))
    }
}

/// Appends what stands at each place of the axes, from an element on; from none, the constant.
fn fill<T: Clone>(
    (elements, fill_with): (&[T], &T),
    strides: &[usize],
    axes: &[Vec<Option<usize>>],
    base: Option<usize>,
    made: &mut Vec<T>,
) {
    let (Some((sources, axes)), Some((stride, strides))) = (axes.split_first(), strides.split_first()) else {
        return made.push(base.and_then(|at| elements.get(at)).unwrap_or(fill_with).clone());
    };
    for source in sources {
        let base = base.zip(*source).map(|(base, source)| base + source * stride);
        fill((elements, fill_with), strides, axes, base, made);
    }
}
