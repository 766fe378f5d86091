//! Windows that slide over images: what nodes say of them, and where they lie.

mod axis;

use smallvec::SmallVec;

pub(crate) use axis::{Axis, OUTSIDE, Windows};

use crate::error::{BuildError, OperatorError};
use crate::operator::Setup;

/// Largest number in an attribute of windows. With it, and with sizes below [`crate::VOLUME_LIMIT`], places are whole
/// numbers that cannot overflow.
const LARGEST: i64 = 1 << 31;

/// Numbers of each axis.
pub(crate) type Sizes = SmallVec<[usize; 6]>;

/// What surrounds an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Padding {
    /// Before each axis, then behind each.
    Told(Sizes),
    /// So much that there is an output for each stride; of an odd number, the larger half is behind or before.
    Same {
        is_behind: bool,
    },
    Valid,
}

/// The attributes of a convolution or a pool.
#[derive(Debug)]
pub(crate) struct Window {
    pub kernel: Option<Sizes>,
    pub strides: Option<Sizes>,
    pub dilations: Option<Sizes>,
    pub padding: Padding,
    /// Whether there is an output for what is left at the end of an axis.
    pub is_rounded_up: bool,
}

/// Numbers that are told for each axis.
pub(crate) fn sizes(setup: &Setup<'_>, name: &str, least: i64) -> Result<Option<Sizes>, BuildError> {
    let Some(told) = setup.attributes().ints(name)? else { return Ok(None) };
    let size = |size: &i64| {
        if (least..=LARGEST).contains(size) {
            return Ok(*size as usize);
        }
        Err(BuildError::attribute(name, format!("expected numbers from {least} to {LARGEST}, got {size}")))
    };
    Ok(Some(told.iter().map(size).collect::<Result<Sizes, _>>()?))
}

/// Attributes that a node has of windows, beside padding.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Known {
    pub dilations: bool,
    pub ceil_mode: bool,
}

impl Window {
    pub fn of(setup: &Setup<'_>, known: Known) -> Result<Self, BuildError> {
        const PADS: [(&str, Option<Padding>); 4] = [
            ("NOTSET", None),
            ("SAME_UPPER", Some(Padding::Same { is_behind: true })),
            ("SAME_LOWER", Some(Padding::Same { is_behind: false })),
            ("VALID", Some(Padding::Valid)),
        ];
        let told = sizes(setup, "pads", 0)?.unwrap_or_default();
        let choices: [(&str, usize); 4] = [("NOTSET", 0), ("SAME_UPPER", 1), ("SAME_LOWER", 2), ("VALID", 3)];
        let choice = setup.attributes().choice("auto_pad", &choices)?;
        let padding = match PADS.into_iter().nth(choice).and_then(|(_, padding)| padding) {
            None => Padding::Told(told),
            Some(_) if told.iter().any(|width| *width > 0) => {
                return Err(BuildError::attribute("pads", "cannot be used together with auto_pad"));
            }
            Some(padding) => padding,
        };
        let dilations = if known.dilations { sizes(setup, "dilations", 1)? } else { None };
        let is_rounded_up = known.ceil_mode && setup.attributes().flag("ceil_mode", false)?;
        let (kernel, strides) = (sizes(setup, "kernel_shape", 1)?, sizes(setup, "strides", 1)?);
        Ok(Self { kernel, strides, dilations, padding, is_rounded_up })
    }

    /// Windows of a size over an image, spatial dimensions alone.
    pub fn over(&self, image: &[usize], kernel: &[usize]) -> Result<Windows, OperatorError> {
        let strides = per_axis("strides", self.strides.as_ref(), image.len(), 1)?;
        let dilations = per_axis("dilations", self.dilations.as_ref(), image.len(), 1)?;
        let told = match &self.padding {
            Padding::Told(told) => per_axis("pads", Some(told).filter(|told| !told.is_empty()), 2 * image.len(), 0)?,
            _ => SmallVec::from_elem(0, 2 * image.len()),
        };
        let mut axes = SmallVec::new();
        for (at, (((input, kernel), stride), dilation)) in
            image.iter().zip(kernel).zip(strides).zip(dilations).enumerate()
        {
            let width = |at: usize| told.get(at).copied().unwrap_or(0);
            let mut axis = Axis { input: *input, kernel: *kernel, stride, dilation, ..Axis::default() };
            (axis.before, axis.behind) = (width(at), width(image.len() + at));
            axes.push(self.placed(axis)?);
        }
        Windows::new(axes)
    }

    /// An axis with its padding and its outputs.
    fn placed(&self, mut axis: Axis) -> Result<Axis, OperatorError> {
        let failure = || {
            let Axis { input, before, behind, kernel, dilation, .. } = axis;
            OperatorError::Shape(format!(
                "a window of {kernel}, by steps of {dilation}, does not fit an axis of {input}, padded by {before} and \
                 {behind}"
            ))
        };
        let reach = axis.reach().ok_or_else(failure)?;
        if let Padding::Same { is_behind } = self.padding {
            axis.output = axis.input.div_ceil(axis.stride);
            let covered = axis.output.saturating_sub(1).saturating_mul(axis.stride).saturating_add(reach);
            let total = covered.saturating_sub(axis.input);
            let half = total / 2;
            (axis.before, axis.behind) = if is_behind { (half, total - half) } else { (total - half, half) };
            return Ok(axis);
        }
        let left = (axis.input + axis.before + axis.behind).checked_sub(reach).ok_or_else(failure)?;
        let is_told = matches!(self.padding, Padding::Told(_));
        axis.output = 1 + if self.is_rounded_up && is_told { left.div_ceil(axis.stride) } else { left / axis.stride };
        // A window that begins in the padding behind is none.
        if self.is_rounded_up && is_told && (axis.output - 1) * axis.stride >= axis.input + axis.before {
            axis.output -= 1;
        }
        Ok(axis)
    }
}

/// Numbers for so many axes; all the same if none are told.
pub(crate) fn per_axis(name: &str, told: Option<&Sizes>, count: usize, default: usize) -> Result<Sizes, OperatorError> {
    match told {
        None => Ok(SmallVec::from_elem(default, count)),
        Some(told) if told.len() == count => Ok(told.clone()),
        Some(told) => Err(OperatorError::Shape(format!("expected {count} {name}, got {}", told.len()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(padding: Padding, is_rounded_up: bool, stride: usize) -> Window {
        let strides = Some(Sizes::from_slice(&[stride]));
        Window { kernel: None, strides, dilations: None, padding, is_rounded_up }
    }

    fn outputs(window: &Window, input: usize, kernel: usize) -> Option<(usize, usize, usize)> {
        let windows = window.over(&[input], &[kernel]).ok()?;
        windows.axes().first().map(|axis| (axis.output, axis.before, axis.behind))
    }

    #[test]
    fn outputs_are_counted_as_onnx_counts_them() {
        let told = |before, behind| Padding::Told(Sizes::from_slice(&[before, behind]));
        assert_eq!(outputs(&window(told(0, 0), false, 2), 6, 3), Some((2, 0, 0)));
        assert_eq!(outputs(&window(told(0, 0), true, 2), 6, 3), Some((3, 0, 0)));
        assert_eq!(outputs(&window(told(0, 1), true, 3), 3, 1), Some((1, 0, 1)), "the next begins in the padding");
        assert_eq!(outputs(&window(Padding::Same { is_behind: true }, false, 1), 5, 2), Some((5, 0, 1)));
        assert_eq!(outputs(&window(Padding::Same { is_behind: false }, false, 1), 5, 2), Some((5, 1, 0)));
        assert_eq!(outputs(&window(Padding::Valid, true, 2), 6, 3), Some((2, 0, 0)));
        assert_eq!(outputs(&window(told(0, 0), false, 100), 6, 3), Some((1, 0, 0)), "a stride beyond the end");
        assert_eq!(outputs(&window(told(0, 0), false, 1), 2, 3), None);
        assert_eq!(outputs(&window(told(0, 0), false, 1), 0, 1), None);
        assert_eq!(outputs(&window(told(1, 0), false, 1), 0, 1), Some((1, 1, 0)));
        assert_eq!(outputs(&window(Padding::Same { is_behind: true }, false, 2), 0, 3), Some((0, 1, 2)));
    }

    #[test]
    fn windows_beyond_all_measure_are_refused() {
        let mut wide = window(Padding::Valid, false, 1);
        wide.dilations = Some(Sizes::from_slice(&[1 << 31]));
        assert!(wide.over(&[1 << 40], &[1 << 40]).is_err());
    }
}
