//! Operators that make one element of one.

mod cast;
mod convert;
mod exact;
mod float;
mod question;
mod spell;

pub(crate) use convert::convert;

use crate::attribute::Reader;
use crate::error::BuildError;
use crate::operator::{Definition, Kernel, Setup, define};
use crate::special;
use exact::Exact;
use float::{function, vectors};

pub(crate) const DEFINITIONS: &[Definition] = define! { "":
    "Abs" 1, 1..=1 => 1..=1, |_| exact::build(Exact::Abs);
    "Acos" 7, 1..=1 => 1..=1, |_| function(f64::acos);
    "Acosh" 9, 1..=1 => 1..=1, |_| function(f64::acosh);
    "Asin" 7, 1..=1 => 1..=1, |_| function(f64::asin);
    "Asinh" 9, 1..=1 => 1..=1, |_| function(f64::asinh);
    "Atan" 7, 1..=1 => 1..=1, |_| function(f64::atan);
    "Atanh" 9, 1..=1 => 1..=1, |_| function(f64::atanh);
    "BitwiseNot" 18, 1..=1 => 1..=1, |_| exact::build(Exact::BitwiseNot);
    "Cast" 1, 1..=1 => 1..=1, cast::build_by_name;
    "Cast" 6, 1..=1 => 1..=1, cast::build;
    "CastLike" 15, 2..=2 => 1..=1, cast::build_like;
    "Ceil" 1, 1..=1 => 1..=1, |_| function(f64::ceil);
    "Celu" 12, 1..=1 => 1..=1, celu;
    "Clip" 1, 1..=1 => 1..=1, exact::build_clip;
    "Clip" 6, 1..=1 => 1..=1, exact::build_clip;
    "Clip" 11, 1..=3 => 1..=1, exact::build_clip;
    "Cos" 7, 1..=1 => 1..=1, |_| function(f64::cos);
    "Cosh" 9, 1..=1 => 1..=1, |_| function(f64::cosh);
    "Elu" 1, 1..=1 => 1..=1, elu;
    "Erf" 9, 1..=1 => 1..=1, |_| function(libm::erf);
    "Exp" 1, 1..=1 => 1..=1, |_| vectors(special::exp);
    "Floor" 1, 1..=1 => 1..=1, |_| function(f64::floor);
    "Gelu" 20, 1..=1 => 1..=1, gelu;
    "HardSigmoid" 1, 1..=1 => 1..=1, hard_sigmoid;
    "HardSwish" 14, 1..=1 => 1..=1, |_| function(|x| x * (x / 6.0 + 0.5).clamp(0.0, 1.0));
    "IsInf" 10, 1..=1 => 1..=1, question::build_is_infinite;
    "IsNaN" 9, 1..=1 => 1..=1, question::build_is_nan;
    "LeakyRelu" 1, 1..=1 => 1..=1, leaky_relu;
    "Log" 1, 1..=1 => 1..=1, |_| function(f64::ln);
    "Mish" 18, 1..=1 => 1..=1, |_| function(special::mish);
    "Neg" 1, 1..=1 => 1..=1, |_| exact::build(Exact::Neg);
    "Not" 1, 1..=1 => 1..=1, question::build_not;
    "Reciprocal" 1, 1..=1 => 1..=1, |_| vectors(f64::recip);
    "Relu" 1, 1..=1 => 1..=1, |_| exact::build(Exact::Relu);
    "Round" 11, 1..=1 => 1..=1, |_| function(f64::round_ties_even);
    "Selu" 1, 1..=1 => 1..=1, selu;
    "Shrink" 9, 1..=1 => 1..=1, exact::build_shrink;
    "Sigmoid" 1, 1..=1 => 1..=1, |_| vectors(special::sigmoid);
    "Sign" 9, 1..=1 => 1..=1, |_| exact::build(Exact::Sign);
    "Sin" 7, 1..=1 => 1..=1, |_| function(f64::sin);
    "Sinh" 9, 1..=1 => 1..=1, |_| function(f64::sinh);
    "Softplus" 1, 1..=1 => 1..=1, |_| function(special::softplus);
    "Softsign" 1, 1..=1 => 1..=1, |_| function(|x| if x.is_infinite() { x.signum() } else { x / (1.0 + x.abs()) });
    "Sqrt" 1, 1..=1 => 1..=1, |_| vectors(f64::sqrt);
    "Swish" 24, 1..=1 => 1..=1, swish;
    "Tan" 7, 1..=1 => 1..=1, |_| function(f64::tan);
    "Tanh" 1, 1..=1 => 1..=1, |_| vectors(special::tanh);
    "ThresholdedRelu" 10, 1..=1 => 1..=1, thresholded_relu;
};

type Built = Result<Box<dyn Kernel>, BuildError>;

fn celu(setup: &Setup<'_>) -> Built {
    let alpha = setup.attributes().float_or("alpha", 1.0)?;
    if alpha == 0.0 {
        return Err(BuildError::attribute("alpha", "expected another number than 0"));
    }
    function(move |x| if x > 0.0 { x } else { (alpha * (x / alpha).exp_m1()).min(0.0) + x.max(0.0) })
}

fn elu(setup: &Setup<'_>) -> Built {
    let alpha = setup.attributes().float_or("alpha", 1.0)?;
    function(move |x| if x < 0.0 { alpha * x.exp_m1() } else { x })
}

fn gelu(setup: &Setup<'_>) -> Built {
    match setup.attributes().choice("approximate", &[("none", false), ("tanh", true)])? {
        false => function(special::gelu),
        true => vectors(special::gelu_tanh),
    }
}

fn hard_sigmoid(setup: &Setup<'_>) -> Built {
    let alpha = setup.attributes().float_or("alpha", 0.2)?;
    let beta = setup.attributes().float_or("beta", 0.5)?;
    function(move |x| (alpha * x + beta).clamp(0.0, 1.0))
}

fn leaky_relu(setup: &Setup<'_>) -> Built {
    let alpha = setup.attributes().float_or("alpha", 0.01)?;
    function(move |x| if x < 0.0 { alpha * x } else { x })
}

fn selu(setup: &Setup<'_>) -> Built {
    // Version 1 had other digits.
    let defaults = if setup.opset() < 6 { (1.6732, 1.0507) } else { (1.673_263_2, 1.050_701) };
    let alpha = setup.attributes().float_or("alpha", defaults.0)?;
    let gamma = setup.attributes().float_or("gamma", defaults.1)?;
    function(move |x| gamma * if x > 0.0 { x } else { alpha * x.exp_m1() })
}

fn swish(setup: &Setup<'_>) -> Built {
    let alpha = setup.attributes().float_or("alpha", 1.0)?;
    vectors(move |x| x * special::sigmoid(alpha * x))
}

fn thresholded_relu(setup: &Setup<'_>) -> Built {
    let alpha = setup.attributes().float_or("alpha", 1.0)?;
    function(move |x| if x > alpha || x.is_nan() { x } else { 0.0 })
}

/// What the number of a type in an attribute means.
pub(crate) fn type_attribute(reader: &Reader<'_>, name: &str) -> Result<Option<crate::DataType>, BuildError> {
    let Some(number) = reader.int(name)? else { return Ok(None) };
    match crate::DataType::from_onnx(number) {
        Some(data_type) => Ok(Some(data_type)),
        None => Err(BuildError::attribute(name, format!("type {number} of ONNX's TensorProto is not supported"))),
    }
}
