//! Elements in another order.

use smallvec::SmallVec;

use crate::shape::{RANK_LIMIT, Shape};

/// A way through elements: dimensions, the last varying fastest, each with the distance from one of its places to the
/// next. What transposes, repeats, slices and reverses is a view that is copied.
#[derive(Debug)]
pub(crate) struct View {
    offset: isize,
    dimensions: SmallVec<[(usize, isize); RANK_LIMIT]>,
}

impl View {
    /// Of a tensor as it is.
    pub fn of(shape: &Shape) -> Self {
        let dimensions = shape.dimensions().iter().zip(shape.strides());
        Self { offset: 0, dimensions: dimensions.map(|(size, stride)| (*size, stride.cast_signed())).collect() }
    }

    pub fn new(offset: usize, dimensions: impl IntoIterator<Item = (usize, isize)>) -> Self {
        Self { offset: offset.cast_signed(), dimensions: dimensions.into_iter().collect() }
    }

    /// Takes its axes in another order; axes that are not named are left out at their first place.
    pub fn permute(&self, order: impl IntoIterator<Item = usize>) -> Self {
        let dimensions = order.into_iter().filter_map(|axis| self.dimensions.get(axis).copied());
        Self { offset: self.offset, dimensions: dimensions.collect() }
    }

    /// Takes of an axis so many places, from one on and by a distance, which may be negative.
    pub fn slice(&mut self, axis: usize, start: usize, step: isize, count: usize) {
        if let Some((size, stride)) = self.dimensions.get_mut(axis) {
            self.offset += start.cast_signed() * *stride;
            *stride = stride.saturating_mul(step);
            *size = count;
        }
    }

    /// The elements, in the order of the view.
    pub fn copy<T: Clone>(&self, elements: &[T]) -> Vec<T> {
        let mut merged: SmallVec<[(usize, isize); RANK_LIMIT]> = SmallVec::new();
        for (size, stride) in self.dimensions.iter().rev().filter(|(size, _)| *size != 1) {
            match merged.last_mut() {
                Some((inner, step)) if *stride == step.saturating_mul(inner.cast_signed()) => *inner *= size,
                _ => merged.push((*size, *stride)),
            }
        }
        let (run, step) = if merged.is_empty() { (1, 1) } else { merged.remove(0) };
        merged.reverse();
        let count = merged.iter().fold(run, |count, (size, _)| count * size);
        let mut copied = Vec::with_capacity(count);
        if count == 0 {
            return copied;
        }
        let (mut place, mut counts) = (self.offset, SmallVec::<[usize; RANK_LIMIT]>::from_elem(0, merged.len()));
        loop {
            copy_run(elements, place, run, step, &mut copied);
            let mut turned = false;
            for ((size, stride), count) in merged.iter().zip(&mut counts).rev() {
                *count += 1;
                if *count < *size {
                    place += stride;
                    turned = true;
                    break;
                }
                place -= stride * (size - 1).cast_signed();
                *count = 0;
            }
            if !turned {
                return copied;
            }
        }
    }
}

fn copy_run<T: Clone>(elements: &[T], place: isize, run: usize, step: isize, copied: &mut Vec<T>) {
    let start = place.cast_unsigned();
    match step {
        1 => copied
            .extend_from_slice(start.checked_add(run).and_then(|end| elements.get(start..end)).unwrap_or_default()),
        0 => copied
            .extend(elements.get(start).into_iter().flat_map(|element| std::iter::repeat_n(element, run)).cloned()),
        _ => copied
            .extend((0..run.cast_signed()).filter_map(|at| elements.get((place + at * step).cast_unsigned())).cloned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_transpose_repeat_slice_and_reverse() {
        let (shape, elements) = (Shape::new(&[2, 3]).unwrap(), [0, 1, 2, 3, 4, 5]);
        assert_eq!(View::of(&shape).copy(&elements), elements);
        assert_eq!(View::of(&shape).permute([1, 0]).copy(&elements), [0, 3, 1, 4, 2, 5]);
        assert_eq!(View::new(0, [(2, 0), (3, 1)]).copy(&elements), [0, 1, 2, 0, 1, 2]);
        assert_eq!(View::new(0, [(2, 3), (2, 0)]).copy(&elements), [0, 0, 3, 3]);
        let mut view = View::of(&shape);
        view.slice(1, 2, -2, 2);
        assert_eq!(view.copy(&elements), [2, 0, 5, 3]);
        view.slice(0, 1, 1, 0);
        assert_eq!(view.copy(&elements), [0; 0]);
    }
}
