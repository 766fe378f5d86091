//! Whether an answer is the one that is expected.

use half::{bf16, f16};
use witgate_operators::{Data, Keys, Map, Tensor, Value};

/// What answers may differ by, whatever most cases allow, relative to the magnitude.
pub const CLOSE: f64 = 1e-5;

/// Steps from one number of a type to the next that rounding may differ by.
const STEPS: f64 = 4.0;

fn is_near(answer: f64, expected: f64, epsilon: f64, rtol: f64, least: f64) -> bool {
    if answer.is_nan() || expected.is_nan() {
        return answer.is_nan() && expected.is_nan();
    }
    let distance = (answer - expected).abs();
    answer == expected || distance <= rtol.max(STEPS * epsilon) * expected.abs() || distance <= least
}

fn numbers(answer: &[f64], expected: &[f64], epsilon: f64, rtol: f64) -> Result<(), String> {
    // Expected sums were made in 32 bits, and have lost in proportion to their terms.
    let largest = expected.iter().filter(|number| number.is_finite()).fold(1.0_f64, |one, other| one.max(other.abs()));
    for (at, (answer, expected)) in answer.iter().zip(expected).enumerate() {
        if !is_near(*answer, *expected, epsilon, rtol, 1e-7 * largest) {
            return Err(format!("element {at} is {answer}, and {expected} is expected"));
        }
    }
    Ok(())
}

fn wide<T>(numbers: &[T], of: impl Fn(&T) -> f64) -> Vec<f64> {
    numbers.iter().map(of).collect()
}

fn short(data: &Data) -> String {
    format!("{data:?}").chars().take(200).collect()
}

fn tensors(answer: &Tensor, expected: &Tensor, rtol: f64) -> Result<(), String> {
    if answer.shape() != expected.shape() || answer.data_type() != expected.data_type() {
        return Err(format!("{} is expected, and not {}", Value::from(expected.clone()), Value::from(answer.clone())));
    }
    match (answer.data(), expected.data()) {
        (Data::Float16(a), Data::Float16(b)) => {
            numbers(&wide(a, |x| x.to_f64()), &wide(b, |x| x.to_f64()), f16::EPSILON.to_f64(), rtol)
        }
        (Data::Bfloat16(a), Data::Bfloat16(b)) => {
            numbers(&wide(a, |x| x.to_f64()), &wide(b, |x| x.to_f64()), bf16::EPSILON.to_f64(), rtol)
        }
        (Data::Float32(a), Data::Float32(b)) => {
            numbers(&wide(a, |x| f64::from(*x)), &wide(b, |x| f64::from(*x)), f64::from(f32::EPSILON), rtol)
        }
        (Data::Float64(a), Data::Float64(b)) => numbers(a, b, f64::EPSILON, rtol),
        (a, b) if a == b => Ok(()),
        (a, b) => Err(format!("{} is expected, and not {}", short(b), short(a))),
    }
}

/// Maps have no order.
fn maps(answer: &Map, expected: &Map, rtol: f64) -> Result<(), String> {
    let sorted = |map: &Map| {
        let mut places: Vec<usize> = (0..map.keys().len()).collect();
        match map.keys() {
            Keys::Int64(keys) => places.sort_by_key(|at| keys[*at]),
            Keys::String(keys) => places.sort_by_key(|at| keys[*at].clone()),
        }
        let keys = match map.keys() {
            Keys::Int64(keys) => places.iter().map(|at| keys[*at].to_string()).collect::<Vec<_>>(),
            Keys::String(keys) => places.iter().map(|at| keys[*at].clone()).collect(),
        };
        let Data::Float32(values) = map.values() else { panic!("{:?} are no scores", map.values()) };
        (keys, Tensor::vector(Data::Float32(places.iter().map(|at| values[*at]).collect())))
    };
    let ((keys, values), (expected_keys, expected_values)) = (sorted(answer), sorted(expected));
    if keys != expected_keys {
        return Err(format!("keys {expected_keys:?} are expected, and not {keys:?}"));
    }
    tensors(&values, &expected_values, rtol)
}

/// What differs, if something does.
pub fn values(answer: &Value, expected: &Value, rtol: f64) -> Result<(), String> {
    match (answer, expected) {
        (Value::Tensor(answer), Value::Tensor(expected)) => tensors(answer, expected, rtol),
        (Value::Sequence(answers), Value::Sequence(expected)) if answers.len() == expected.len() => {
            answers.iter().zip(expected).try_for_each(|(answer, expected)| values(answer, expected, rtol))
        }
        (Value::Map(answer), Value::Map(expected)) => maps(answer, expected, rtol),
        (answer, expected) if answer == expected => Ok(()),
        (answer, expected) => Err(format!("{expected} is expected, and not {answer}")),
    }
}
