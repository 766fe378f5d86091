//! Which operators there are.

use std::ops::RangeInclusive;

use super::{Kernel, Setup};
use crate::error::BuildError;
use crate::{
    attention, combine, control, convolution, detection, elementwise, generate, layout, linear, loss, ml, normalize,
    pick, pool, quantized, recurrent, reduce, resize, sequence, signal, text,
};

/// Newest versions of the domains that are known. A newer one may have changed what an operator does.
const LATEST: [(&str, u32); 3] = [("", 28), ("ai.onnx.ml", 5), ("com.microsoft", 1)];

/// Every operator, by where it is.
const FAMILIES: &[&[Definition]] = &[
    elementwise::DEFINITIONS,
    attention::DEFINITIONS,
    combine::DEFINITIONS,
    control::DEFINITIONS,
    convolution::DEFINITIONS,
    detection::DEFINITIONS,
    generate::DEFINITIONS,
    layout::DEFINITIONS,
    linear::DEFINITIONS,
    loss::DEFINITIONS,
    ml::DEFINITIONS,
    normalize::DEFINITIONS,
    pick::DEFINITIONS,
    pool::DEFINITIONS,
    quantized::DEFINITIONS,
    recurrent::DEFINITIONS,
    reduce::DEFINITIONS,
    resize::DEFINITIONS,
    sequence::DEFINITIONS,
    signal::DEFINITIONS,
    text::DEFINITIONS,
    text::CONTRIBUTED,
];

/// An operator as it is since a version of its domain.
#[derive(Debug)]
pub struct Definition {
    pub(crate) domain: &'static str,
    pub(crate) op_type: &'static str,
    pub(crate) since: u32,
    pub(crate) inputs: RangeInclusive<usize>,
    pub(crate) outputs: RangeInclusive<usize>,
    pub(crate) build: fn(&Setup<'_>) -> Result<Box<dyn Kernel>, BuildError>,
}

/// A row of a family's table: name, version, numbers of inputs and outputs, and what makes it.
macro_rules! define {
    ($domain:literal: $($op_type:literal $since:literal, $inputs:expr => $outputs:expr, $build:expr;)*) => {
        &[$($crate::operator::Definition {
            domain: $domain,
            op_type: $op_type,
            since: $since,
            inputs: $inputs,
            outputs: $outputs,
            build: $build,
        },)*]
    };
}
pub(crate) use define;

impl Definition {
    /// The version since which the operator is as it is.
    pub fn since(&self) -> u32 {
        self.since
    }

    /// Makes it, if the node has as many inputs and outputs as it should.
    pub(super) fn build(&self, setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
        count("inputs", &self.inputs, setup.inputs().len())?;
        count("outputs", &self.outputs, setup.outputs())?;
        if let Some(index) = (0..*self.inputs.start()).find(|index| !setup.has(*index)) {
            return Err(BuildError::Input { index, problem: "is required".to_owned() });
        }
        if self.domain.is_empty() && self.since < 6 {
            setup.attributes().ignore(&["consumed_inputs"]);
        }
        (self.build)(setup)
    }
}

fn count(what: &'static str, allowed: &RangeInclusive<usize>, got: usize) -> Result<(), BuildError> {
    if allowed.contains(&got) {
        return Ok(());
    }
    let (least, most) = (*allowed.start(), *allowed.end());
    let expected = match most {
        most if most == least => least.to_string(),
        usize::MAX => format!("at least {least}"),
        most => format!("{least} to {most}"),
    };
    Err(BuildError::Count { what, expected, got })
}

/// ONNX's own domain has two names.
pub(super) fn canonical(domain: &str) -> &str {
    if domain == "ai.onnx" { "" } else { domain }
}

/// The definition for a version of a domain. Otherwise the oldest version that has the operator, if one has it.
pub(super) fn find(domain: &str, op_type: &str, opset: u32) -> Result<&'static Definition, Option<u32>> {
    let known = || FAMILIES.iter().copied().flatten().filter(|it| it.op_type == op_type && it.domain == domain);
    let is_known_version = LATEST.iter().any(|(known, latest)| *known == domain && opset <= *latest);
    let found = known().filter(|it| is_known_version && it.since <= opset).max_by_key(|it| it.since);
    found.ok_or_else(|| known().map(|it| it.since).min())
}

/// What [`lookup`] finds.
pub type Lookup = Option<&'static Definition>;

/// The operator of this name in a version of its domain, if it is one of this crate. Versions that are newer than those
/// known (28 of ONNX, 5 of `ai.onnx.ml`, 1 of `com.microsoft`) have none.
pub fn lookup(domain: &str, op_type: &str, opset: u32) -> Lookup {
    find(canonical(domain), op_type, opset).ok()
}

/// Names of all operators, with their domains.
pub fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    FAMILIES.iter().copied().flatten().map(|it| (it.domain, it.op_type))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_those_of_the_model() {
        assert_eq!(lookup("", "Clip", 10).map(Definition::since), Some(6));
        assert_eq!(lookup("ai.onnx", "Clip", 28).map(Definition::since), Some(11));
        assert!(lookup("", "Clip", 29).is_none(), "a newer version may mean something else");
        assert_eq!(find("", "Gelu", 17).err(), Some(Some(20)));
        assert_eq!(find("", "Nothing", 17).err(), Some(None));
    }

    #[test]
    fn no_operator_is_there_twice() {
        let mut rows: Vec<_> = FAMILIES.iter().copied().flatten().map(|it| (it.domain, it.op_type, it.since)).collect();
        rows.sort_unstable();
        let count = rows.len();
        rows.dedup();
        assert_eq!(rows.len(), count);
    }
}
