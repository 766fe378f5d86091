//! Elements along axes.

use std::borrow::Cow;

use smallvec::SmallVec;

use crate::shape::{RANK_LIMIT, Shape};
use crate::value::Element;
use crate::view::View;

/// Makes of each line along an axis a line of another length, which has the same place in the output.
pub(crate) fn map_lines<T: Element, R: Element>(
    elements: &[T],
    shape: &Shape,
    axis: usize,
    length: usize,
    mut make: impl FnMut(&[T], &mut [R]),
) -> Vec<R> {
    let (before, size, after) = shape.around(axis);
    let mut made = vec![R::default(); before * length * after];
    if before * after == 0 || length == 0 {
        return made;
    }
    if after == 1 {
        let mut lines = elements.chunks(size.max(1));
        for place in made.chunks_mut(length) {
            make(lines.next().unwrap_or_default(), place);
        }
        return made;
    }
    let (mut line, mut made_line) = (Vec::with_capacity(size), vec![R::default(); length]);
    for (outer, block) in made.chunks_mut(length * after).enumerate() {
        for inner in 0..after {
            line.clear();
            line.extend(elements.iter().skip(outer * size * after + inner).step_by(after).take(size).cloned());
            make(&line, &mut made_line);
            for (place, element) in block.iter_mut().skip(inner).step_by(after).zip(&made_line) {
                place.clone_from(element);
            }
        }
    }
    made
}

/// Elements with some axes moved to the end, so that what belongs to one place of the others lies together.
pub(crate) fn axes_last<'a, T: Element>(elements: &'a [T], shape: &Shape, is_last: &[bool]) -> Cow<'a, [T]> {
    let axes = |last: bool| (0..shape.rank()).filter(move |axis| is_last.get(*axis).copied().unwrap_or(false) == last);
    let order: SmallVec<[usize; RANK_LIMIT]> = axes(false).chain(axes(true)).collect();
    // Axes of one place may stand anywhere.
    let long = order.iter().filter(|axis| shape.dimension(**axis) != 1);
    if long.is_sorted() { Cow::Borrowed(elements) } else { Cow::Owned(View::of(shape).permute(order).copy(elements)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_run_along_their_axis() {
        let shape = Shape::new(&[2, 3, 2]).unwrap();
        let elements: Vec<i32> = (0..12).collect();
        let sums = |axis| map_lines::<i32, i32>(&elements, &shape, axis, 1, |line, made| made[0] = line.iter().sum());
        assert_eq!(sums(0), [6, 8, 10, 12, 14, 16]);
        assert_eq!(sums(1), [6, 9, 24, 27]);
        assert_eq!(sums(2), [1, 5, 9, 13, 17, 21]);
        let same = map_lines::<i32, i32>(&elements, &shape, 1, 3, |line, made| made.clone_from_slice(line));
        assert_eq!(same, elements);
    }

    #[test]
    fn lines_may_be_empty() {
        let shape = Shape::new(&[2, 0]).unwrap();
        let counts =
            map_lines::<i32, i64>(&[], &shape, 1, 1, |line, made| made[0] = i64::try_from(line.len()).unwrap());
        assert_eq!(counts, [0, 0]);
        assert!(map_lines::<i32, i32>(&[], &shape, 0, 2, |_, _| panic!("there is no line")).is_empty());
    }

    #[test]
    fn axes_move_to_the_end() {
        let shape = Shape::new(&[2, 1, 3]).unwrap();
        let elements: Vec<i32> = (0..6).collect();
        assert_eq!(axes_last(&elements, &shape, &[true, false, false]).as_ref(), [0, 3, 1, 4, 2, 5]);
        assert!(matches!(axes_last(&elements, &shape, &[false, true, false]), Cow::Borrowed(_)));
    }
}
