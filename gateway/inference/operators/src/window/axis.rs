//! Places of windows.

use smallvec::SmallVec;

use crate::error::OperatorError;
use crate::shape::Shape;

/// A place in the padding.
pub(crate) const OUTSIDE: usize = usize::MAX;

/// Windows along one axis.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Axis {
    pub input: usize,
    pub kernel: usize,
    /// From one window to the next; never 0.
    pub stride: usize,
    /// From one place of a window to the next.
    pub dilation: usize,
    pub before: usize,
    pub behind: usize,
    pub output: usize,
    /// Whether windows lie in the output, and their places are those of inputs (a transposed convolution).
    pub is_transposed: bool,
}

impl Axis {
    /// Places that a window spans. None if no axis is as long.
    pub fn reach(&self) -> Option<usize> {
        let steps = self.kernel.checked_sub(1)?;
        steps.checked_mul(self.dilation)?.checked_add(1).filter(|reach| *reach <= crate::VOLUME_LIMIT)
    }

    /// Where a place of an output's window lies in the input.
    fn source(&self, output: usize, place: usize) -> Option<usize> {
        if self.is_transposed {
            let at = (output + self.before).checked_sub(place * self.dilation)?;
            return if at % self.stride == 0 { Some(at / self.stride).filter(|at| *at < self.input) } else { None };
        }
        let at = (output * self.stride + place * self.dilation).checked_sub(self.before)?;
        Some(at).filter(|at| *at < self.input)
    }

    /// Places of an output's window that lie in the padded input.
    pub fn padded(&self, output: usize) -> usize {
        let left = (self.before + self.input + self.behind).saturating_sub(output * self.stride);
        left.div_ceil(self.dilation.max(1)).min(self.kernel)
    }
}

/// Windows over an image.
#[derive(Debug)]
pub(crate) struct Windows {
    axes: SmallVec<[Axis; 6]>,
    outputs: usize,
    places: usize,
}

impl Windows {
    pub fn new(axes: SmallVec<[Axis; 6]>) -> Result<Self, OperatorError> {
        let outputs = Shape::of(axes.iter().map(|axis| axis.output))?.elements();
        let places = Shape::of(axes.iter().map(|axis| axis.kernel))?.elements();
        Ok(Self { axes, outputs, places })
    }

    pub fn axes(&self) -> &[Axis] {
        &self.axes
    }

    /// Windows there are.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Places of a window.
    pub fn places(&self) -> usize {
        self.places
    }

    /// The dimensions of an output.
    pub fn dimensions(&self) -> impl Iterator<Item = usize> {
        self.axes.iter().map(|axis| axis.output)
    }

    /// The coordinates of an output that is counted through.
    pub fn coordinates(&self, output: usize) -> SmallVec<[usize; 6]> {
        let mut rest = output;
        let mut coordinates: SmallVec<[usize; 6]> = SmallVec::from_elem(0, self.axes.len());
        for (coordinate, axis) in coordinates.iter_mut().zip(&self.axes).rev() {
            let size = axis.output.max(1);
            *coordinate = rest % size;
            rest /= size;
        }
        coordinates
    }

    /// Tells where the places of an output's window lie in the image, in their order: [`OUTSIDE`] for those in padding.
    pub fn walk(&self, output: usize, mut tell: impl FnMut(usize)) {
        walk(&self.axes, &self.coordinates(output), Some(0), &mut tell);
    }
}

fn walk(axes: &[Axis], coordinates: &[usize], base: Option<usize>, tell: &mut impl FnMut(usize)) {
    let (Some((axis, axes)), Some((output, coordinates))) = (axes.split_first(), coordinates.split_first()) else {
        return tell(base.unwrap_or(OUTSIDE));
    };
    for place in 0..axis.kernel {
        let source = axis.source(*output, place);
        let base = base.zip(source).map(|(base, source)| base * axis.input + source);
        if axes.is_empty() {
            tell(base.unwrap_or(OUTSIDE));
        } else {
            walk(axes, coordinates, base, tell);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(windows: &Windows, output: usize) -> Vec<Option<usize>> {
        let mut places = Vec::new();
        windows.walk(output, |place| places.push((place != OUTSIDE).then_some(place)));
        places
    }

    #[test]
    fn windows_slide_over_padding() {
        let axis =
            Axis { input: 3, kernel: 2, stride: 2, dilation: 2, before: 1, behind: 1, output: 2, ..Axis::default() };
        let windows = Windows::new(SmallVec::from_slice(&[axis])).unwrap();
        assert_eq!(places(&windows, 0), [None, Some(1)]);
        assert_eq!(places(&windows, 1), [Some(1), None]);
        let flat = Axis { input: 2, kernel: 1, stride: 1, dilation: 1, output: 2, ..Axis::default() };
        let windows = Windows::new(SmallVec::from_slice(&[axis, flat])).unwrap();
        assert_eq!(places(&windows, 1), [None, Some(3)]);
        assert_eq!((axis.padded(0), axis.padded(1)), (2, 2));
    }

    #[test]
    fn transposed_windows_lie_in_the_output() {
        let axis =
            Axis { input: 2, kernel: 3, stride: 2, dilation: 1, output: 5, is_transposed: true, ..Axis::default() };
        let windows = Windows::new(SmallVec::from_slice(&[axis])).unwrap();
        assert_eq!(places(&windows, 0), [Some(0), None, None]);
        assert_eq!(places(&windows, 2), [Some(1), None, Some(0)]);
        assert_eq!(places(&windows, 4), [None, None, Some(1)]);
    }

    #[test]
    fn an_image_without_axes_has_one_window() {
        let windows = Windows::new(SmallVec::new()).unwrap();
        assert_eq!((windows.outputs(), windows.places()), (1, 1));
        assert_eq!(places(&windows, 0), [Some(0)]);
    }
}
