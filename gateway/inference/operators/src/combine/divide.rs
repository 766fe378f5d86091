//! Remainders and powers.

use super::arithmetic::refuse_zeros;
use super::legacy::Meeting;
use crate::broadcast::Broadcast;
use crate::common;
use crate::elementwise::convert;
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::value::{Data, DataType, Element, Float, Integer, Number, Tensor, each, pair};

/// What a remainder's sign is that of.
#[derive(Debug, Clone, Copy)]
enum Modulo {
    Divisor,
    Dividend,
    /// Before version 28 there is no remainder of numbers with fractions that has the divisor's sign.
    DivisorOfIntegers,
}

pub(super) fn build_modulo(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    ready(match (setup.attributes().flag("fmod", false)?, setup.opset()) {
        (true, _) => Modulo::Dividend,
        (false, 28..) => Modulo::Divisor,
        (false, _) => Modulo::DivisorOfIntegers,
    })
}

impl Modulo {
    fn of_integers<T: Integer>(self, met: &Broadcast<2>, one: &[T], other: &[T]) -> Vec<T> {
        match self {
            Self::Dividend => met.map(one, other, |a, b| a.remainder(*b)),
            Self::Divisor | Self::DivisorOfIntegers => met.map(one, other, |a, b| a.modulo(*b)),
        }
    }

    fn of_floats<T: Float>(self, met: &Broadcast<2>, one: &[T], other: &[T]) -> Option<Vec<T>> {
        match self {
            // Remainders of 64 bits are exact, and so is one of narrower numbers.
            Self::Dividend => Some(met.map(one, other, |a, b| T::from_f64(a.to_f64() % b.to_f64()))),
            Self::Divisor => Some(met.map(one, other, |a, b| floored(*a, *b))),
            Self::DivisorOfIntegers => None,
        }
    }
}

fn floored<T: Float>(a: T, b: T) -> T {
    let (a, b) = (a.to_f64(), b.to_f64());
    let remainder = a % b;
    T::from_f64(if remainder == 0.0 {
        0.0_f64.copysign(b)
    } else if (remainder < 0.0) == (b < 0.0) || remainder.is_nan() {
        remainder
    } else {
        // In the type of the numbers, where the sum may round to the divisor.
        T::from_f64(remainder).add(T::from_f64(b)).to_f64()
    })
}

impl Kernel for Modulo {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let (first, second) = (inputs.tensor(0)?, inputs.tensor(1)?);
        let met = Broadcast::<2>::of([first.shape(), second.shape()])?;
        budget.tensor(met.shape(), first.data_type())?;
        common::ask(budget, met.shape(), [first, second])?;
        refuse_zeros(second)?;
        let data_type = first.data_type();
        let made = if data_type.is_number() && second.data_type() == data_type {
            let (one_side, other) = (common::widened(first.data()), common::widened(second.data()));
            let made = pair!(one_side.as_ref(), other.as_ref(), common integer, a, b => {
                Some(Element::into_data(self.of_integers(&met, a, b)))
            }, _ => pair!(one_side.as_ref(), other.as_ref(), [Float32, Float64], a, b => {
                self.of_floats(&met, a, b).map(Element::into_data)
            }, _ => None));
            made.and_then(|made| common::narrowed(made, data_type))
        } else {
            None
        };
        match made {
            Some(data) => one(Tensor::of_data(*met.shape(), data)),
            None => Err(inputs.unexpected(
                1,
                &match self {
                    Self::DivisorOfIntegers => {
                        "whole numbers of one type, unless fmod is 1 or the version 28".to_owned()
                    }
                    _ => format!("{}, as the first", first.data_type().label()),
                },
            )),
        }
    }
}

#[derive(Debug)]
struct Power {
    meeting: Meeting,
}

pub(super) fn build_power(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    ready(Power { meeting: Meeting::of(setup)? })
}

impl Kernel for Power {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let (first, second) = (inputs.tensor(0)?, inputs.tensor(1)?);
        let met = self.meeting.meet(first, second)?;
        budget.tensor(met.shape(), first.data_type())?;
        common::ask(budget, met.shape(), [first, second])?;
        budget.bytes(met.shape().elements().saturating_mul(2 * size_of::<f64>()))?;
        let data_type = first.data_type();
        if !data_type.is_number() || !second.data_type().is_number() {
            return Err(inputs.unexpected(if data_type.is_number() { 1 } else { 0 }, "numbers"));
        }
        let is_whole = data_type.is_integer() && second.data_type().is_integer();
        let made = if is_whole {
            let (base, exponents) = (common::widened(first.data()), convert(second.data(), DataType::Int64));
            match (base.as_ref(), exponents) {
                (Data::Int32(base), Some(Data::Int64(exponents))) => Some(powers(&met, base, &exponents)),
                (Data::Int64(base), Some(Data::Int64(exponents))) => Some(powers(&met, base, &exponents)),
                (Data::Uint64(base), Some(Data::Int64(exponents))) => Some(powers(&met, base, &exponents)),
                _ => None,
            }
            .and_then(|made| common::narrowed(made, data_type))
        } else {
            let wide = |tensor: &Tensor| convert(tensor.data(), DataType::Float64);
            match (wide(first), wide(second)) {
                (Some(Data::Float64(base)), Some(Data::Float64(exponents))) => {
                    // In 64 bits, rounded once; of whole numbers, the fraction is cut off.
                    Some(rounded(&met.map(&base, &exponents, |base, exponent| base.powf(*exponent)), data_type))
                }
                _ => None,
            }
        };
        let data = made.ok_or_else(|| inputs.unexpected(0, "numbers"))?;
        one(Tensor::of_data(*met.shape(), data))
    }
}

fn powers<T: Integer>(met: &Broadcast<2>, base: &[T], exponents: &[i64]) -> Data {
    T::into_data(met.map(base, exponents, |base, exponent| base.power(*exponent)))
}

fn rounded(numbers: &[f64], data_type: DataType) -> Data {
    let mut made = Data::zeros(data_type, numbers.len());
    each!(&mut made, number, places => {
        places.iter_mut().zip(numbers).for_each(|(place, number)| *place = Number::from_f64(*number));
    }, _ => {});
    made
}
