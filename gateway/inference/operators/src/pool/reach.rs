//! Windows over the planes of a batch.

use crate::attribute::Reader;
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::Setup;
use crate::shape::Shape;
use crate::value::DataType;
use crate::window::{Known, OUTSIDE, Window, Windows};

/// Attributes of a pool, which tells the size of its windows.
pub(super) fn window(setup: &Setup<'_>, known: Known) -> Result<Window, BuildError> {
    let window = Window::of(setup, known)?;
    Reader::required("kernel_shape", window.kernel.as_ref())?;
    Ok(window)
}

/// Windows of a pool over `[N, C, ..]`.
pub(super) struct Reach {
    pub windows: Windows,
    pub shape: Shape,
    /// Elements of a plane.
    pub plane: usize,
}

impl Reach {
    pub fn of(window: &Window, image: &Shape) -> Result<Self, OperatorError> {
        let kernel = window.kernel.as_deref().unwrap_or_default();
        let [images, channels, spatial @ ..] = image.dimensions() else {
            return Err(OperatorError::Shape(format!("expected an image of [N, C, ..], got {image}")));
        };
        if spatial.len() != kernel.len() {
            return Err(OperatorError::Shape(format!("a window of {kernel:?} does not fit an image of {image}")));
        }
        let windows = window.over(spatial, kernel)?;
        let shape = Shape::of([*images, *channels].into_iter().chain(windows.dimensions()))?;
        Ok(Self { windows, shape, plane: spatial.iter().product() })
    }

    /// Asks for an output, and for a step for each place of each window.
    pub fn ask(&self, data_type: DataType, budget: &mut Budget) -> Result<(), OperatorError> {
        budget.tensor(&self.shape, data_type)?;
        if self.shape.elements() == 0 {
            return Ok(());
        }
        budget.elements(self.windows.places(), size_of::<usize>())?;
        budget.work(self.shape.elements().saturating_mul(self.windows.places()))
    }

    /// Makes the outputs, each of the places of its window in a plane. The windows of an output have the same places in
    /// all planes, and are walked through once.
    pub fn make<T, R: Clone + Default>(
        &self,
        image: &[T],
        mut one: impl FnMut(&[T], &[usize], usize) -> Result<R, OperatorError>,
    ) -> Result<Vec<R>, OperatorError> {
        let mut made = vec![R::default(); self.shape.elements()];
        if made.is_empty() {
            return Ok(made);
        }
        let (outputs, mut places) = (self.windows.outputs(), Vec::with_capacity(self.windows.places()));
        for output in 0..outputs {
            places.clear();
            self.windows.walk(output, |place| {
                if place != OUTSIDE {
                    places.push(place);
                }
            });
            for (number, place) in made.iter_mut().skip(output).step_by(outputs).enumerate() {
                let plane = image.get(number * self.plane..(number + 1) * self.plane).unwrap_or_default();
                *place = one(plane, &places, output)?;
            }
        }
        Ok(made)
    }
}

/// A window that lies in padding alone.
pub(super) fn empty() -> OperatorError {
    OperatorError::Element("a window of the pool has no elements but padding".to_owned())
}
