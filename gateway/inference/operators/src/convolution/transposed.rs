//! Outputs of transposed convolutions.

use crate::error::{BuildError, OperatorError};
use crate::operator::Setup;
use crate::window::{Axis, Padding, Sizes, Window, Windows, per_axis, sizes};

/// What a node says of the output's size.
#[derive(Debug)]
pub(super) struct Outputs {
    added: Option<Sizes>,
    told: Option<Sizes>,
}

impl Outputs {
    pub fn of(setup: &Setup<'_>) -> Result<Self, BuildError> {
        Ok(Self { added: sizes(setup, "output_padding", 0)?, told: sizes(setup, "output_shape", 0)? })
    }

    pub fn windows(&self, window: &Window, image: &[usize], kernel: &[usize]) -> Result<Windows, OperatorError> {
        let count = image.len();
        let strides = per_axis("strides", window.strides.as_ref(), count, 1)?;
        let dilations = per_axis("dilations", window.dilations.as_ref(), count, 1)?;
        let added = per_axis("output_padding", self.added.as_ref(), count, 0)?;
        let told = match (&self.told, &window.padding) {
            (Some(told), _) => Some(per_axis("output_shape", Some(told), count, 0)?),
            (None, Padding::Same { .. }) => {
                Some(image.iter().zip(&strides).map(|(input, stride)| input.saturating_mul(*stride)).collect())
            }
            (None, _) => None,
        };
        let pads = match &window.padding {
            Padding::Told(pads) => per_axis("pads", Some(pads).filter(|pads| !pads.is_empty()), 2 * count, 0)?,
            _ => Sizes::from_elem(0, 2 * count),
        };
        let is_behind = window.padding == Padding::Same { is_behind: true };
        let steps = strides.into_iter().zip(dilations).zip(added);
        let mut axes = smallvec::SmallVec::new();
        for (at, ((input, kernel), ((stride, dilation), added))) in image.iter().zip(kernel).zip(steps).enumerate() {
            let mut axis =
                Axis { input: *input, kernel: *kernel, stride, dilation, is_transposed: true, ..Axis::default() };
            let whole = whole(&axis, added).ok_or_else(|| {
                OperatorError::Shape(format!("a window of {kernel} over {input} places has no size that can be told"))
            })?;
            match told.as_ref().and_then(|told| told.get(at)) {
                Some(output) => {
                    let total = whole as i128 - *output as i128;
                    if total < -1 {
                        return Err(OperatorError::Shape(format!(
                            "an output of {output} places is more than the {whole} that a transposed convolution makes"
                        )));
                    }
                    // One more than there is stands behind.
                    let total = usize::try_from(total).unwrap_or(0);
                    let half = total / 2;
                    (axis.before, axis.behind) = if is_behind { (half, total - half) } else { (total - half, half) };
                    axis.output = *output;
                }
                None => {
                    let width = |at: usize| pads.get(at).copied().unwrap_or(0);
                    (axis.before, axis.behind) = (width(at), width(count + at));
                    axis.output = whole.checked_sub(axis.before + axis.behind).ok_or_else(|| {
                        OperatorError::Shape(format!("padding leaves nothing of {whole} places of an output"))
                    })?;
                }
            }
            axes.push(axis);
        }
        Windows::new(axes)
    }
}

/// Places of an output without padding.
fn whole(axis: &Axis, added: usize) -> Option<usize> {
    let steps = axis.input.checked_sub(1)?.checked_mul(axis.stride)?;
    steps.checked_add(added)?.checked_add(axis.reach()?).filter(|whole| *whole <= crate::VOLUME_LIMIT)
}
