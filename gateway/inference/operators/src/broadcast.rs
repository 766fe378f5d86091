//! Elements of several tensors, side by side.

use smallvec::SmallVec;

use crate::error::OperatorError;
use crate::shape::{RANK_LIMIT, Shape};

/// Repetitions, of which there is seldom more than one. Room for more would be moved around with each node.
type Outer<const N: usize> = SmallVec<[(usize, [usize; N]); 2]>;

/// How elements of `N` tensors meet in one shape: runs of elements, in each of which an operand either moves on with the
/// output or stays where it is.
#[derive(Debug)]
pub(crate) struct Broadcast<const N: usize> {
    shape: Shape,
    /// Repetitions around the runs, the outermost first: how many, and by how many elements each operand moves.
    outer: Outer<N>,
    /// Elements of a run.
    run: usize,
    /// Whether an operand moves within a run.
    moves: [bool; N],
}

impl<const N: usize> Broadcast<N> {
    #[inline]
    pub fn of(operands: [&Shape; N]) -> Result<Self, OperatorError> {
        let mut shape = operands.first().map_or(Shape::SCALAR, |first| **first);
        for operand in operands {
            // A single element is repeated to whatever there is.
            if &shape == operand || operand.elements() == 1 && operand.rank() <= shape.rank() {
                continue;
            }
            shape = shape.broadcast(operand).ok_or_else(|| {
                let shapes: Vec<String> = operands.iter().map(ToString::to_string).collect();
                OperatorError::Shape(format!("tensors of {} do not fit together", shapes.join(" and ")))
            })?;
        }
        Ok(Self::within(shape, operands))
    }

    /// Within a shape that all operands fit into.
    #[inline]
    fn within(shape: Shape, operands: [&Shape; N]) -> Self {
        // All elements, or one for all: what nodes of little work mostly have.
        let count = shape.elements();
        if operands.iter().all(|operand| operand.elements() == count || operand.elements() == 1) {
            let moves = operands.map(|operand| operand.elements() == count);
            return Self { shape, outer: SmallVec::new(), run: count, moves };
        }
        Self::in_runs(shape, operands)
    }

    fn in_runs(shape: Shape, operands: [&Shape; N]) -> Self {
        let strides = operands.map(Shape::strides);
        // From the last dimension on; dimensions that all operands walk through at an even pace are one.
        let mut merged: Outer<N> = SmallVec::new();
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
    ///
    /// Not generic, as the loop around runs is the same for whatever is done with them.
    fn for_each_run(&self, call: &mut dyn FnMut([usize; N])) {
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
        self.for_each_run(&mut |[at_one, at_other]| {
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

/// Where the elements of an operation of two go.
pub(crate) enum Operands<'a, T> {
    /// To new memory.
    Kept(&'a [T], &'a [T]),
    /// In place of the first, which has the shape of the output.
    First(Vec<T>, &'a [T]),
    /// In place of the second, which has the shape of the output.
    Second(&'a [T], Vec<T>),
}

impl Broadcast<2> {
    /// As [`Self::map`], in place where that can be.
    pub fn make<T: Clone>(&self, operands: Operands<'_, T>, make: impl Fn(&T, &T) -> T) -> Vec<T> {
        match operands {
            Operands::Kept(one, other) => self.map(one, other, make),
            Operands::First(mut one, other) => {
                self.change(&mut one, other, 1, make);
                one
            }
            Operands::Second(one, mut other) => {
                self.change(&mut other, one, 0, |other, one| make(one, other));
                other
            }
        }
    }

    /// Changes all elements of the output's shape by those of the operand of this number.
    fn change<T>(&self, changed: &mut [T], by: &[T], operand: usize, make: impl Fn(&T, &T) -> T) {
        let moves = self.moves.get(operand).copied().unwrap_or(false);
        let mut runs = changed.chunks_exact_mut(self.run.max(1));
        self.for_each_run(&mut |places| {
            let Some(run) = runs.next() else { return };
            let at = places.get(operand).copied().unwrap_or(0);
            if !moves {
                if let Some(one) = by.get(at) {
                    run.iter_mut().for_each(|element| *element = make(element, one));
                }
            } else if let Some(by) = by.get(at..at + self.run) {
                run.iter_mut().zip(by).for_each(|(element, by)| *element = make(element, by));
            }
        });
    }
}

impl Broadcast<3> {
    /// Makes an element of each three, in the order of the shape.
    pub fn map<A, B, C, R>(&self, one: &[A], two: &[B], three: &[C], make: impl Fn(&A, &B, &C) -> R) -> Vec<R> {
        let mut made = Vec::with_capacity(self.shape.elements());
        let [first, second, third] = self.moves.map(usize::from);
        self.for_each_run(&mut |[at_one, at_two, at_three]| {
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
