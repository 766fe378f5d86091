//! Numbers with a fraction.

use toml::de::DeValue;

use super::{Kind, Shown};
use crate::node::Node;
use crate::source::Read;

/// A finite number within bounds, both included.
pub(crate) struct Real {
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Kind for Real {
    type Value = f64;

    fn expected(&self) -> String {
        format!("a number from {} to {}", self.least, self.most)
    }

    fn read(&self, node: &Node<'_>) -> Read<f64> {
        let number = match node.value {
            DeValue::Float(number) => number.as_str().parse().ok(),
            DeValue::Integer(number) => number.as_str().parse().ok(),
            _ => return Err(node.wrong(&self.expected(), "write a number without quotes, such as 0.5")),
        };
        number.filter(|number: &f64| (self.least..=self.most).contains(number)).ok_or_else(|| {
            node.wrong(&self.expected(), format!("choose a number from {} to {}", self.least, self.most))
        })
    }
}

impl Shown for Real {
    fn show(&self, value: &f64) -> String {
        format!("{value:?}")
    }
}
