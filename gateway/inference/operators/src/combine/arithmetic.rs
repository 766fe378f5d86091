//! Sums, differences, products, quotients, and bits.

use super::legacy::Meeting;
use crate::broadcast::{Broadcast, Operands};
use crate::common;
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::value::{Data, Element, Integer, Number, Tensor, each, pair};

/// Whole numbers wrap around, and are divided towards zero.
#[derive(Debug, Clone, Copy)]
pub(super) enum Arithmetic {
    Add,
    BitwiseAnd,
    BitwiseOr,
    BitwiseXor,
    Div,
    Mul,
    Sub,
}

#[derive(Debug)]
struct Binary {
    arithmetic: Arithmetic,
    meeting: Meeting,
}

pub(super) fn build(setup: &Setup<'_>, arithmetic: Arithmetic) -> Result<Box<dyn Kernel>, BuildError> {
    ready(Binary { arithmetic, meeting: Meeting::of(setup)? })
}

impl Binary {
    fn of_numbers<T: Number>(&self, met: &Broadcast<2>, operands: Operands<'_, T>) -> Option<Vec<T>> {
        Some(match self.arithmetic {
            Arithmetic::Add => met.make(operands, |a, b| a.add(*b)),
            Arithmetic::Sub => met.make(operands, |a, b| a.subtract(*b)),
            Arithmetic::Mul => met.make(operands, |a, b| a.multiply(*b)),
            Arithmetic::Div => met.make(operands, |a, b| a.divide(*b)),
            Arithmetic::BitwiseAnd | Arithmetic::BitwiseOr | Arithmetic::BitwiseXor => return None,
        })
    }

    /// In the memory of an operand that nobody else needs, of types that code is made for.
    fn of_either(&self, inputs: &mut Inputs<'_>, met: &Broadcast<2>) -> Option<Data> {
        let is_whole = |inputs: &Inputs<'_>, index| inputs.owned_shape(index) == Some(met.shape());
        if is_whole(inputs, 0) {
            let first = inputs.owned_tensor(0)?.into_data();
            let second = inputs.tensor(1).ok()?;
            return pair!(first, second.data(), common, a, b => {
                self.of_numbers(met, Operands::First(a, b)).map(Element::into_data)
            }, _ => None);
        }
        if is_whole(inputs, 1) {
            let second = inputs.owned_tensor(1)?.into_data();
            let first = inputs.tensor(0).ok()?;
            return pair!(first.data(), second, common, a, b => {
                self.of_numbers(met, Operands::Second(a, b)).map(Element::into_data)
            }, _ => None);
        }
        let (first, second) = (inputs.tensor(0).ok()?, inputs.tensor(1).ok()?);
        pair!(first.data(), second.data(), common, a, b => {
            self.of_numbers(met, Operands::Kept(a, b)).map(Element::into_data)
        }, _ => None)
    }

    fn of_bits<T: Integer + Bits>(&self, met: &Broadcast<2>, one: &[T], other: &[T]) -> Vec<T> {
        match self.arithmetic {
            Arithmetic::BitwiseAnd => met.map(one, other, |a, b| *a & *b),
            Arithmetic::BitwiseOr => met.map(one, other, |a, b| *a | *b),
            _ => met.map(one, other, |a, b| *a ^ *b),
        }
    }
}

/// What has bits to combine.
trait Bits:
    std::ops::BitAnd<Output = Self> + std::ops::BitOr<Output = Self> + std::ops::BitXor<Output = Self> + Sized
{
}

impl<T: std::ops::BitAnd<Output = T> + std::ops::BitOr<Output = T> + std::ops::BitXor<Output = T>> Bits for T {}

impl Kernel for Binary {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let (first, second) = (inputs.tensor(0)?, inputs.tensor(1)?);
        let met = self.meeting.meet(first, second)?;
        budget.tensor(met.shape(), first.data_type())?;
        common::ask(budget, met.shape(), [first, second])?;
        if matches!(self.arithmetic, Arithmetic::Div) {
            refuse_zeros(second)?;
        }
        let data_type = first.data_type();
        let is_of_bits =
            matches!(self.arithmetic, Arithmetic::BitwiseAnd | Arithmetic::BitwiseOr | Arithmetic::BitwiseXor);
        let is_known = if is_of_bits { data_type.is_integer() } else { data_type.is_number() };
        if !is_known || second.data_type() != data_type {
            return Err(if is_known {
                inputs.unexpected(1, &format!("{}, as the first", data_type.label()))
            } else {
                inputs.unexpected(0, if is_of_bits { "whole numbers" } else { "numbers" })
            });
        }
        let made = if is_of_bits {
            let (first, second) = (common::widened(first.data()), common::widened(second.data()));
            pair!(first.as_ref(), second.as_ref(), common integer, a, b => {
                Some(Element::into_data(self.of_bits(&met, a, b)))
            }, _ => None)
        } else if common::way(data_type).is_some() {
            let (first, second) = (common::widened(first.data()), common::widened(second.data()));
            pair!(first.as_ref(), second.as_ref(), common, a, b => {
                self.of_numbers(&met, Operands::Kept(a, b)).map(Element::into_data)
            }, _ => None)
        } else {
            self.of_either(inputs, &met)
        };
        let made = made.and_then(|made| common::narrowed(made, data_type));
        let data = made.ok_or_else(|| inputs.unexpected(0, "numbers"))?;
        one(Tensor::of_data(*met.shape(), data))
    }
}

/// There is no quotient of whole numbers by zero.
pub(super) fn refuse_zeros(divisor: &Tensor) -> Result<(), OperatorError> {
    let has_zero = each!(divisor.data(), integer, elements => elements.iter().any(|it| it.is_zero()), _ => false);
    if has_zero {
        return Err(OperatorError::Element("a whole number is divided by zero".to_owned()));
    }
    Ok(())
}

#[derive(Debug)]
struct Shift {
    is_left: bool,
}

pub(super) fn build_shift(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    if setup.attributes().text("direction")?.is_none() {
        return Err(BuildError::attribute("direction", "is required"));
    }
    ready(Shift { is_left: setup.attributes().choice("direction", &[("LEFT", true), ("RIGHT", false)])? })
}

impl Kernel for Shift {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let (first, second) = (inputs.tensor(0)?, inputs.tensor(1)?);
        let met = Broadcast::<2>::of([first.shape(), second.shape()])?;
        budget.tensor(met.shape(), first.data_type())?;
        // Of more bits than there are nothing is left.
        let data = pair!(first.data(), second.data(), [Uint8, Uint16, Uint32, Uint64], a, b => {
            Element::into_data(met.map(a, b, |a, b| {
                let bits = b.to_f64().min(f64::from(u32::MAX)) as u32;
                if self.is_left { a.checked_shl(bits) } else { a.checked_shr(bits) }.unwrap_or_default()
            }))
        }, _ => return Err(inputs.unexpected(1, "numbers without sign, both of one type")));
        one(Tensor::of_data(*met.shape(), data))
    }
}

/// Slopes below zero, that are repeated to the shape of the first tensor.
#[derive(Debug)]
struct PRelu;

pub(super) fn build_prelu(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    if setup.opset() < 7 {
        return Err(BuildError::Unsupported(
            "PRelu is supported since version 7, which tells how slopes repeat".into(),
        ));
    }
    ready(PRelu)
}

impl Kernel for PRelu {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let (first, second) = (inputs.tensor(0)?, inputs.tensor(1)?);
        let met = Meeting::Unidirectional { axis: None }.meet(first, second)?;
        budget.tensor(met.shape(), first.data_type())?;
        common::ask(budget, met.shape(), [first, second])?;
        let data_type = first.data_type();
        if !data_type.is_number() || second.data_type() != data_type {
            return Err(inputs.unexpected(1, &format!("{}, as the first", data_type.label())));
        }
        let (one_side, other) = (common::widened(first.data()), common::widened(second.data()));
        let made = pair!(one_side.as_ref(), other.as_ref(), common, a, b => {
            Some(Element::into_data(met.map(a, b, |a, b| if *a < Default::default() { a.multiply(*b) } else { *a })))
        }, _ => None);
        let made = made.and_then(|made| common::narrowed(made, data_type));
        let data = made.ok_or_else(|| inputs.unexpected(0, "numbers"))?;
        one(Tensor::of_data(*met.shape(), data))
    }
}
