//! Elements of several tensors, side by side.

use smallvec::SmallVec;

use crate::error::OperatorError;
use crate::shape::{RANK_LIMIT, Shape};

/// How elements of `N` tensors meet in one shape: runs of elements, in each of which an operand either moves on with the
/// output or stays where it is.
#[derive(Debug)]
pub(crate) struct Broadcast<const N: usize> {
    shape: Shape,
    /// Repetitions around the runs, the outermost first: how many, and by how many elements each operand moves.
    outer: SmallVec<[(usize, [usize; N]); RANK_LIMIT]>,
    /// Elements of a run.
    run: usize,
    /// Whether an operand moves within a run.
    moves: [bool; N],
}

impl<const N: usize> Broadcast<N> {
    pub fn of(operands: [&Shape; N]) -> Result<Self, OperatorError> {
        let mut shape = Shape::SCALAR;
        for operand in operands {
            shape = shape.broadcast(operand).ok_or_else(|| {
                let shapes: Vec<String> = operands.iter().map(ToString::to_string).collect();
                OperatorError::Shape(format!("tensors of {} do not fit together", shapes.join(" and ")))
            })?;
        }
        Ok(Self::within(shape, operands))
    }

    /// Within a shape that all operands fit into.
    fn within(shape: Shape, operands: [&Shape; N]) -> Self {
        let strides = operands.map(Shape::strides);
        // From the last dimension on; dimensions that all operands walk through at an even pace are one.
        let mut merged: SmallVec<[(usize, [usize; N]); RANK_LIMIT]> = SmallVec::new();
        for (back, size) in shape.dimensions().iter().rev().enumerate() {
            if *size == 1 {
                continue;
            }
            let mut steps = [0; N];
            for ((step, operand), strides) in steps.iter_mut().zip(operands).zip(&strides) {
                let axis = operand.rank().checked_sub(back + 1).filter(|axis| operand.dimension(*axis) != 1);
                *step = axis.and_then(|axis| strides.get(axis).copied()).unwrap_or(0);
            }
            match merged.last_mut() {
                Some((inner, inner_steps)) if is_even(&steps, inner_steps, *inner) => *inner *= size,
                _ => merged.push((*size, steps)),
            }
        }
        let (run, steps) = if merged.is_empty() { (1, [1; N]) } else { merged.remove(0) };
        merged.reverse();
        Self { shape, outer: merged, run, moves: steps.map(|step| step != 0) }
    }

    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Calls with the place at which each operand begins a run, for all runs in order.
    fn for_each_run(&self, mut call: impl FnMut([usize; N])) {
        if self.shape.elements() == 0 {
            return;
        }
        let (mut places, mut counts) = ([0; N], [0_usize; RANK_LIMIT]);
        loop {
            call(places);
            // As an odometer turns.
            let mut turned = false;
            for ((size, steps), count) in self.outer.iter().zip(&mut counts).rev() {
                *count += 1;
                if *count < *size {
                    places.iter_mut().zip(steps).for_each(|(place, step)| *place += step);
                    turned = true;
                    break;
                }
                places.iter_mut().zip(steps).for_each(|(place, step)| *place -= step * (size - 1));
                *count = 0;
            }
            if !turned {
                return;
            }
        }
    }
}

/// Whether operands go on where a dimension within has ended.
fn is_even<const N: usize>(steps: &[usize; N], inner_steps: &[usize; N], inner: usize) -> bool {
    steps.iter().zip(inner_steps).all(|(step, inner_step)| *step == inner_step * inner)
}

impl Broadcast<2> {
    /// Makes an element of each two, in the order of the shape.
    pub fn map<A, B, R>(&self, one: &[A], other: &[B], make: impl Fn(&A, &B) -> R) -> Vec<R> {
        let mut made = Vec::with_capacity(self.shape.elements());
        let run = self.run;
        self.for_each_run(|[at_one, at_other]| {
            let (ones, others) = (one.get(at_one..at_one + run), other.get(at_other..at_other + run));
            match (self.moves, ones, others) {
                ([true, true], Some(ones), Some(others)) => {
                    made.extend(ones.iter().zip(others).map(|(one, other)| make(one, other)));
                }
                ([true, false], Some(ones), _) => {
                    if let Some(other) = other.get(at_other) {
                        made.extend(ones.iter().map(|one| make(one, other)));
                    }
                }
                ([false, true], _, Some(others)) => {
                    if let Some(one) = one.get(at_one) {
                        made.extend(others.iter().map(|other| make(one, other)));
                    }
                }
                _ => {}
            }
        });
        made
    }
}

impl Broadcast<3> {
    /// Makes an element of each three, in the order of the shape.
    pub fn map<A, B, C, R>(&self, one: &[A], two: &[B], three: &[C], make: impl Fn(&A, &B, &C) -> R) -> Vec<R> {
        let mut made = Vec::with_capacity(self.shape.elements());
        let [first, second, third] = self.moves.map(usize::from);
        self.for_each_run(|[at_one, at_two, at_three]| {
            made.extend((0..self.run).filter_map(|along| {
                let one = one.get(at_one + along * first)?;
                let two = two.get(at_two + along * second)?;
                let three = three.get(at_three + along * third)?;
                Some(make(one, two, three))
            }));
        });
        made
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shape(dimensions: &[usize]) -> Shape {
        Shape::new(dimensions).unwrap()
    }

    /// Where an element of the output is in an operand, by division.
    fn place(index: usize, output: &Shape, operand: &Shape) -> usize {
        let (mut rest, mut place, mut stride) = (index, 0, 1);
        for back in 1..=output.rank() {
            let size = output.dimensions()[output.rank() - back];
            let at = rest % size;
            rest /= size;
            if back <= operand.rank() {
                let own = operand.dimensions()[operand.rank() - back];
                if own != 1 {
                    place += at * stride;
                }
                stride *= own;
            }
        }
        place
    }

    #[test]
    fn rows_and_columns_meet() {
        let met = Broadcast::<2>::of([&shape(&[2, 1]), &shape(&[3])]).unwrap();
        assert_eq!(met.shape(), &shape(&[2, 3]));
        assert_eq!(met.map(&[1, 2], &[10, 20, 30], |a, b| a + b), [11, 21, 31, 12, 22, 32]);
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        let error = Broadcast::<2>::of([&shape(&[2]), &shape(&[3])]).unwrap_err();
        assert_eq!(error.to_string(), "tensors of [2] and [3] do not fit together");
    }

    proptest! {
        #[test]
        fn elements_meet_where_division_says(
            sizes in prop::collection::vec(0_usize..4, 0..5),
            ones in prop::collection::vec((any::<bool>(), any::<bool>(), any::<bool>()), 5),
            (cut_a, cut_b) in (0_usize..5, 0_usize..5),
        ) {
            let squeezed = |pick: fn(&(bool, bool, bool)) -> bool, cut: usize| {
                let kept = sizes.iter().zip(&ones).map(|(size, one)| if pick(one) { 1 } else { *size });
                shape(&kept.skip(cut.min(sizes.len())).collect::<Vec<_>>())
            };
            let (a, b, c) = (squeezed(|one| one.0, cut_a), squeezed(|one| one.1, cut_b), squeezed(|one| one.2, 0));
            let numbers = |shape: &Shape| (0..shape.elements()).collect::<Vec<usize>>();
            let two = Broadcast::<2>::of([&a, &b]).unwrap();
            let expected: Vec<_> =
                (0..two.shape().elements()).map(|at| (place(at, two.shape(), &a), place(at, two.shape(), &b))).collect();
            prop_assert_eq!(two.map(&numbers(&a), &numbers(&b), |a, b| (*a, *b)), expected);
            let three = Broadcast::<3>::of([&a, &b, &c]).unwrap();
            let at = |index, operand| place(index, three.shape(), operand);
            let expected: Vec<_> = (0..three.shape().elements()).map(|i| (at(i, &a), at(i, &b), at(i, &c))).collect();
            let made = three.map(&numbers(&a), &numbers(&b), &numbers(&c), |a, b, c| (*a, *b, *c));
            prop_assert_eq!(made, expected);
        }
    }
}
