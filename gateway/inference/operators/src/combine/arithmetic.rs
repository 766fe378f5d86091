//! Sums, differences, products, quotients, and bits.

use super::legacy::Meeting;
use crate::broadcast::Broadcast;
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::value::{Element, Integer, Number, Tensor, each, pair};

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
    fn of_numbers<T: Number>(&self, met: &Broadcast<2>, one: &[T], other: &[T]) -> Option<Vec<T>> {
        Some(match self.arithmetic {
            Arithmetic::Add => met.map(one, other, |a, b| a.add(*b)),
            Arithmetic::Sub => met.map(one, other, |a, b| a.subtract(*b)),
            Arithmetic::Mul => met.map(one, other, |a, b| a.multiply(*b)),
            Arithmetic::Div => met.map(one, other, |a, b| a.divide(*b)),
            Arithmetic::BitwiseAnd | Arithmetic::BitwiseOr | Arithmetic::BitwiseXor => return None,
        })
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
        if matches!(self.arithmetic, Arithmetic::Div) {
            refuse_zeros(second)?;
        }
        let unlike = || inputs.unexpected(1, &format!("{}, as the first", first.data_type().label()));
        let data = if matches!(self.arithmetic, Arithmetic::BitwiseAnd | Arithmetic::BitwiseOr | Arithmetic::BitwiseXor)
        {
            pair!(first.data(), second.data(), integer, a, b => Element::into_data(self.of_bits(&met, a, b)),
                _ => return Err(unlike()))
        } else {
            let made = pair!(first.data(), second.data(), number, a, b => {
                self.of_numbers(&met, a, b).map(Element::into_data)
            }, _ => None);
            made.ok_or_else(unlike)?
        };
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
                let bits = u32::try_from(*b).unwrap_or(u32::MAX);
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
        let data = pair!(first.data(), second.data(), number, a, b => {
            Element::into_data(met.map(a, b, |a, b| if *a < Default::default() { a.multiply(*b) } else { *a }))
        }, _ => return Err(inputs.unexpected(1, &format!("{}, as the first", first.data_type().label()))));
        one(Tensor::of_data(*met.shape(), data))
    }
}
