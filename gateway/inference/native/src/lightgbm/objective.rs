//! What a model was trained for, and what follows for its scores.

use super::lines::{Entry, Result};
use crate::Format;
use crate::error::{Advice, NativeError, shown};
use crate::link::Link;
use crate::model::Meaning;

/// What becomes of the raw scores.
pub(super) fn read(entry: Entry<'_>, outputs: usize) -> Result<(Link, Meaning)> {
    let mut words = entry.value.split_ascii_whitespace();
    let name = words.next().unwrap_or_default();
    let setting = |key: &str| -> Option<&str> {
        entry.value.split_ascii_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix(':'))
    };
    let slope = || match setting("sigmoid").and_then(number) {
        Some(slope) if slope > 0.0 && slope.is_finite() => Ok(slope),
        _ => Err(entry.fail("a number above 0 is expected after 'sigmoid:'")),
    };
    let root = words.any(|word| word == "sqrt");
    let several = matches!(name, "multiclass" | "softmax" | "multiclassova" | "multiclass_ova" | "ova" | "ovr");
    if several != (outputs > 1) && !(several && outputs == 1) && !matches!(name, "custom" | "none" | "null" | "na" | "")
    {
        let problem = format!("the objective '{}' does not go with {outputs} trees in an iteration", shown(name));
        return Err(entry.fail(problem));
    }
    if several && setting("num_class").and_then(|count| count.parse().ok()) != Some(outputs) {
        return Err(
            entry.fail(format!("'num_class:{outputs}' is expected, as there are as many trees in an iteration"))
        );
    }
    // The aliases are those that files of older versions have.
    Ok(match name {
        "binary" => (Link::Logistic { slope: slope()? }, Meaning::Probability),
        "multiclass" | "softmax" => (Link::Softmax, Meaning::Classes),
        "multiclassova" | "multiclass_ova" | "ova" | "ovr" => (Link::Logistic { slope: slope()? }, Meaning::Labels),
        "cross_entropy" | "xentropy" => (Link::Logistic { slope: 1.0 }, Meaning::Probability),
        "cross_entropy_lambda" | "xentlambda" => (Link::SoftPlus, Meaning::Value),
        "poisson" | "gamma" | "tweedie" => (Link::Exp, Meaning::Value),
        "huber" => (Link::Identity, Meaning::Value),
        "regression"
        | "regression_l2"
        | "l2"
        | "l2_root"
        | "mean_squared_error"
        | "mse"
        | "root_mean_squared_error"
        | "rmse"
        | "regression_l1"
        | "l1"
        | "mean_absolute_error"
        | "mae"
        | "fair"
        | "quantile"
        | "mape"
        | "mean_absolute_percentage_error" => (if root { Link::SignedSquare } else { Link::Identity }, Meaning::Value),
        "lambdarank" | "rank_xendcg" | "xendcg" | "xe_ndcg" | "xe_ndcg_mart" | "xendcg_mart" => {
            (Link::Identity, Meaning::Margin)
        }
        "custom" | "none" | "null" | "na" | "" => (Link::Identity, Meaning::Margin),
        _ => {
            let what = format!("the objective '{}'", shown(name));
            let advice = Advice("train with one that version 4.7 has, or save the model without it to have raw scores");
            return Err(NativeError::Unsupported { format: Format::LightGbmText, what, advice });
        }
    })
}

/// A number as LightGBM reads it here: what is before the point and what is behind it are read apart and added, which is now
/// and then not the nearest double.
fn number(text: &str) -> Option<f64> {
    let exact: f64 = text.parse().ok()?;
    let (digits, exponent) = match text.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let Some((whole, part)) = digits.split_once('.') else { return Some(exact) };
    let count = i32::try_from(part.len()).ok()?;
    let whole: f64 = if whole.is_empty() { 0.0 } else { whole.parse().ok()? };
    let part: f64 = if part.is_empty() { 0.0 } else { part.parse().ok()? };
    let sum = whole + part / 10f64.powi(count);
    let scale = 10f64.powi(exponent.saturating_abs());
    Some(if exponent < 0 { sum / scale } else { sum * scale })
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_are_read_in_two_parts() {
        assert_eq!(number("0.7"), Some(0.7));
        assert_eq!(number("2"), Some(2.0));
        assert_eq!(number("1e-05"), Some(1e-5));
        assert_eq!(number("2.5e+1"), Some(25.0));
        // LightGBM 4.7 scores with this one, too.
        assert_eq!(number("1.90797"), Some(1.90797f64.next_up()));
        assert_eq!((number("x"), number("1.2.3"), number("")), (None, None, None));
    }
}
