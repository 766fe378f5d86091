//! Whole numbers that count things.

use toml::de::DeValue;

use super::{Kind, Shown};
use crate::node::Node;
use crate::source::Read;

/// A count within bounds, both included.
pub(crate) struct Number {
    pub(crate) least: u32,
    pub(crate) most: u32,
}

impl Kind for Number {
    type Value = u32;

    fn expected(&self) -> String {
        format!("a whole number from {} to {}", self.least, self.most)
    }

    fn read(&self, node: &Node<'_>) -> Read<u32> {
        let DeValue::Integer(number) = node.value else {
            let help = match node.text() {
                Some(text) if text.parse::<u32>().is_ok() => format!("write {text} without quotes"),
                _ => format!("write a number without quotes, such as {}", self.least),
            };
            return Err(node.wrong(&self.expected(), help));
        };
        let number = u32::from_str_radix(number.as_str(), number.radix()).ok();
        number.filter(|number| (self.least..=self.most).contains(number)).ok_or_else(|| {
            node.wrong(&self.expected(), format!("choose a number from {} to {}", self.least, self.most))
        })
    }
}

impl Shown for Number {
    fn show(&self, value: &u32) -> String {
        value.to_string()
    }
}
