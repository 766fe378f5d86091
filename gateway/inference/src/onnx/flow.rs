//! Which classes the columns of an output stand for, by the way on which the outermost graph computes it.
//!
//! Classifiers are exported in two ways: as an operator of `ai.onnx.ml` that has the classes as an attribute, or as a network
//! whose greatest column picks a class out of a list of weights. A `ZipMap` at the end has them, too.

use std::collections::HashMap;

use super::metadata::Node;
use super::wire::{Fields, Malformed, Value, packed};
use crate::{Classes, Dimension, Signature};

/// Classes that are kept: a stage names one of them, and messages list them.
const CLASSES_LIMIT: usize = 1024;
/// Bytes of a class's name.
const CLASS_LIMIT: usize = 256;
/// Operators between an output and where its columns are made; exporters write one to five.
const STEPS_LIMIT: usize = 32;
/// Maps, and picks out of lists, that are looked at; exporters write one for each output with classes.
const PICKS_LIMIT: usize = 64;

/// Operators that leave columns where they are, whatever they make of the values.
const BY_COLUMN: [&str; 15] = [
    "Identity",
    "Cast",
    "Normalizer",
    "Softmax",
    "LogSoftmax",
    "Sigmoid",
    "Exp",
    "Log",
    "Abs",
    "Clip",
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Sum",
];
/// Operators that have classes as attributes; they give the label, then the scores by column.
const CLASSIFIERS: [&str; 3] = ["TreeEnsembleClassifier", "LinearClassifier", "SVMClassifier"];

/// Operators without which there are no classes to be found.
pub(super) fn names_classes(operator: &str) -> bool {
    let name = operator.strip_prefix("ai.onnx.ml::").unwrap_or_default();
    CLASSIFIERS.contains(&name) || matches!(name, "ZipMap" | "ArrayFeatureExtractor")
}

struct Step<'a> {
    node: Node<'a>,
    inputs: Vec<&'a str>,
    outputs: Vec<&'a str>,
}

impl Step<'_> {
    fn is_learned(&self, operator: &str) -> bool {
        self.node.domain == "ai.onnx.ml" && self.node.operator == operator
    }

    fn is_classifier(&self) -> bool {
        self.node.domain == "ai.onnx.ml" && CLASSIFIERS.contains(&self.node.operator)
    }

    /// Whether its two columns are a margin and the margin's negative, with no class to each. Of two support vector classes
    /// without probabilities, ONNX Runtime and ONNX's reference give the margin of the second class in the column of the first.
    fn is_margin(&self) -> bool {
        self.is_learned("SVMClassifier")
            && !self.node.has_floats("prob_a")
            && self.classes().is_none_or(|classes| classes.len() == 2)
    }

    fn classes(&self) -> Option<Classes> {
        let texts = self.node.texts("classlabels_strings");
        if !texts.is_empty() {
            return names(texts.into_iter());
        }
        let numbers = ["classlabels_int64s", "classlabels_ints"].map(|attribute| self.node.integers(attribute));
        numbers.into_iter().find(|numbers| !numbers.is_empty()).and_then(numbered)
    }
}

/// The outermost graph, by what makes what.
pub(super) struct Flow<'a> {
    steps: Vec<Step<'a>>,
    /// Index of the step that makes a value.
    made_by: HashMap<&'a str, usize>,
    /// Indices of the first steps that make maps, and of the first that pick out of lists.
    maps: Vec<usize>,
    picks: Vec<usize>,
    weights: &'a HashMap<&'a str, &'a [u8]>,
}

impl<'a> Flow<'a> {
    /// Of messages that were read without fault before.
    pub fn of(nodes: &[&'a [u8]], weights: &'a HashMap<&'a str, &'a [u8]>) -> Self {
        let (made_by, maps, picks) = (HashMap::new(), Vec::new(), Vec::new());
        let mut flow = Self { steps: Vec::with_capacity(nodes.len()), made_by, maps, picks, weights };
        for message in nodes {
            let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
            for (number, value) in Fields::of(message).flatten() {
                match (number, value.text()) {
                    (1, Ok(name)) => inputs.push(name),
                    (2, Ok(name)) => outputs.push(name),
                    _ => {}
                }
            }
            for output in &outputs {
                flow.made_by.insert(output, flow.steps.len());
            }
            let step = Step { node: Node::of(message), inputs, outputs };
            for (name, list) in [("ZipMap", &mut flow.maps), ("ArrayFeatureExtractor", &mut flow.picks)] {
                if list.len() < PICKS_LIMIT && step.is_learned(name) {
                    list.push(flow.steps.len());
                }
            }
            flow.steps.push(step);
        }
        flow
    }

    fn maker(&self, value: &str) -> Option<&Step<'a>> {
        self.steps.get(*self.made_by.get(value)?)
    }

    /// The value, and those that it was made of with each column where it was.
    fn chain(&self, value: &'a str) -> Vec<&'a str> {
        let mut chain = vec![value];
        let mut at = value;
        while let Some(step) = self.maker(at).filter(|step| BY_COLUMN.contains(&step.node.operator)) {
            let from = step.inputs.iter().find(|input| !input.is_empty() && !self.weights.contains_key(*input));
            let Some(from) = from.filter(|from| !chain.contains(from) && chain.len() < STEPS_LIMIT) else { break };
            at = from;
            chain.push(at);
        }
        chain
    }

    fn all<'s>(&'s self, places: &'s [usize]) -> impl Iterator<Item = &'s Step<'a>> {
        places.iter().filter_map(|at| self.steps.get(*at))
    }

    /// The tensor that a map is made of.
    pub fn source_of_map(&self, output: &str) -> Option<&'a str> {
        self.maker(output).filter(|step| step.is_learned("ZipMap"))?.inputs.first().copied()
    }

    /// The classes that an output's columns stand for.
    pub fn classes(&self, output: &'a str) -> Option<Classes> {
        let made = self.source_of_map(output).unwrap_or(output);
        let is_margin = self.maker(self.chain(made).last()?).is_some_and(Step::is_margin);
        if is_margin { None } else { self.listed(output) }
    }

    /// The classes that the file lists for an output: as many as it has columns.
    pub fn listed(&self, output: &'a str) -> Option<Classes> {
        let output = self.source_of_map(output).unwrap_or(output);
        let chain = self.chain(output);
        let zipped = self.all(&self.maps).find(|step| step.inputs.first().is_some_and(|input| chain.contains(input)));
        if let Some(classes) = zipped.and_then(Step::classes) {
            return Some(classes);
        }
        // Before operators: what picks a class out of a list knows what the columns of the operators within are encoded as.
        for (list, index) in self.all(&self.picks).filter_map(|step| Some((step.inputs.first()?, *step.inputs.get(1)?)))
        {
            let Some(list) = self.weights.get(list) else { continue };
            let greatest = self.chain(index).last().and_then(|value| self.maker(value));
            let Some(scores) = greatest.filter(|step| step.node.operator == "ArgMax").and_then(|it| it.inputs.first())
            else {
                continue;
            };
            if self.chain(scores).iter().any(|value| chain.contains(value)) {
                return classes_in(list);
            }
        }
        let last = self.maker(chain.last()?)?;
        let scores = last.is_classifier() && last.outputs.get(1) == chain.last();
        if scores { last.classes() } else { None }
    }

    /// Whether an output is the label of each row, as an operator gives it: a list with one for each row (ONNX, ai.onnx.ml).
    fn is_label(&self, output: &'a str) -> bool {
        let mut at = output;
        for _ in 0..STEPS_LIMIT {
            let Some(step) = self.maker(at) else { return false };
            match step.node.operator {
                "Identity" | "Cast" => match step.inputs.first() {
                    Some(from) => at = from,
                    None => return false,
                },
                _ => return step.is_classifier() && step.outputs.first() == Some(&at),
            }
        }
        false
    }

    /// Corrects shapes of labels: OnnxMLTools declares them as `[1]` for LightGBM, although there is one for each row.
    pub fn correct(&self, signature: &mut Signature, outputs: &[&'a str]) {
        let rows = |shape: Option<&Vec<Dimension>>| shape.and_then(|shape| shape.first()).cloned();
        let mut inputs = signature.inputs.iter().map(|input| rows(input.shape.as_ref()));
        let Some(Some(first @ (Dimension::Any | Dimension::Named(_)))) = inputs.next() else { return };
        if inputs.any(|rows| matches!(rows, None | Some(Dimension::Fixed(_)))) {
            return;
        }
        for (info, output) in signature.outputs.iter_mut().zip(outputs) {
            if info.shape.as_deref() == Some(&[Dimension::Fixed(1)]) && self.is_label(output) {
                info.shape = Some(vec![first.clone()]);
            }
        }
    }
}

fn numbered(numbers: Vec<i64>) -> Option<Classes> {
    (1..=CLASSES_LIMIT).contains(&numbers.len()).then_some(Classes::Numbers(numbers))
}

fn names<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> Option<Classes> {
    if !(1..=CLASSES_LIMIT).contains(&names.len()) {
        return None;
    }
    let short = |name: &'a str| (name.len() <= CLASS_LIMIT).then(|| name.to_owned());
    names.map(short).collect::<Option<_>>().map(Classes::Names)
}

/// The classes in a list of weights: of 32-bit or 64-bit integers, or texts.
fn classes_in(tensor: &[u8]) -> Option<Classes> {
    let (mut of_type, mut raw, mut numbers, mut texts) = (0, None, Vec::new(), Vec::new());
    for field in Fields::of(tensor) {
        match field.ok()? {
            (2, value) => of_type = value.integer().ok()?,
            (5 | 7, Value::Bytes(bytes)) => {
                numbers.extend(packed(bytes).take(CLASSES_LIMIT + 1).collect::<Result<Vec<_>, Malformed>>().ok()?);
            }
            (5 | 7, value) => numbers.push(value.integer().ok()?),
            (6, value) => texts.push(value.text().ok()?),
            (9, value) => raw = Some(value.bytes().ok()?),
            _ => {}
        }
        if numbers.len().max(texts.len()) > CLASSES_LIMIT {
            return None;
        }
    }
    match (of_type, raw) {
        (6, Some(raw)) => numbered(
            raw.chunks_exact(4).filter_map(|it| Some(i32::from_le_bytes(it.try_into().ok()?).into())).collect(),
        ),
        (7, Some(raw)) => {
            numbered(raw.chunks_exact(8).filter_map(|it| Some(i64::from_le_bytes(it.try_into().ok()?))).collect())
        }
        (6 | 7, None) => numbered(numbers),
        (8, None) => names(texts.into_iter()),
        _ => None,
    }
}
