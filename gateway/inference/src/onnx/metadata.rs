//! [`Metadata`] out of a file's bytes. Nothing in there is taken on trust: models may come over the admin interface.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::declared::{tensor_info, value_name};
use super::exporter::Exporter;
use super::flow::{Flow, names_classes};
use super::problem::{Problem, name};
use super::wire::{Fields, Value, packed};
use crate::samples::{CARRIED_LIMIT, TOLERANCE};
use crate::{CarriedSamples, DataType, Dimension, LoadError, Metadata, Signature, TensorInfo};

/// Bytes of a file: the format itself ends at 2 GiB.
pub(super) const FILE_LIMIT: usize = (1 << 31) - 1;
/// Graphs in graphs (`If`, `Loop`, `Scan`): real models have two or three, and each level takes stack here and in runtimes.
const DEPTH_LIMIT: usize = 16;
/// Nodes, weights and values in all graphs: the largest language models have some ten thousand; runtimes make several
/// hundred bytes of each, so a file full of empty ones would become very large.
const ENTRY_LIMIT: usize = 1_000_000;
/// Inputs and outputs together; protocols list all of them in their answers.
const VALUE_LIMIT: usize = 1024;
/// Outputs that classes are looked for: models have one or two with classes, and each keeps up to a thousand names.
const CLASSIFIED_LIMIT: usize = 64;
/// Dimensions of a tensor. ONNX Runtime and tract count indices in small arrays.
pub(super) const RANK_LIMIT: usize = 32;
/// Bytes of the description that are kept.
const DESCRIPTION_LIMIT: usize = 16 * 1024;

/// Reads what a file says about the model in it.
///
/// # Errors
/// It is not an ONNX model, it is damaged, parts of it lie in other files, or something goes in or out that is not a tensor of a
/// type that models can be served with.
pub(crate) fn metadata(model: &[u8]) -> Result<Metadata, LoadError> {
    Reader::default().model(model).map_err(Problem::into_error)
}

/// A node, as far as anybody asks.
pub(crate) struct Node<'a> {
    pub domain: &'a str,
    pub operator: &'a str,
    message: &'a [u8],
}

impl<'a> Node<'a> {
    /// Of a message that was read without fault before.
    pub fn of(message: &'a [u8]) -> Self {
        let mut node = Self { domain: "", operator: "", message };
        for (number, value) in Fields::of(message).flatten() {
            match (number, value.text()) {
                (4, Ok(operator)) => node.operator = operator,
                (7, Ok(domain)) => node.domain = short_domain(domain),
                _ => {}
            }
        }
        node
    }

    /// The fields of an attribute.
    fn attribute(&self, name: &str) -> Option<Fields<'a>> {
        let attributes = Fields::of(self.message).filter_map(|field| match field.ok()? {
            (5, value) => value.bytes().ok(),
            _ => None,
        });
        let is_named = |(number, value): (u64, Value<'_>)| number == 1 && value.text().is_ok_and(|it| it == name);
        attributes.map(Fields::of).find(|attribute| attribute.flatten().any(is_named))
    }

    /// The texts of an attribute that has several.
    pub fn texts(&self, name: &str) -> Vec<&'a str> {
        let fields = self.attribute(name).into_iter().flatten().flatten().filter(|(number, _)| *number == 9);
        fields.filter_map(|(_, value)| value.text().ok()).collect()
    }

    /// The whole numbers of an attribute that has several.
    pub fn integers(&self, name: &str) -> Vec<i64> {
        let fields = self.attribute(name).into_iter().flatten().flatten().filter(|(number, _)| *number == 8);
        let numbers = fields.map(|(_, value)| match value {
            Value::Bytes(bytes) => packed(bytes).filter_map(Result::ok).collect(),
            value => value.integer().into_iter().collect::<Vec<_>>(),
        });
        numbers.flatten().collect()
    }

    /// Whether an attribute has numbers with fractions.
    pub fn has_floats(&self, name: &str) -> bool {
        self.attribute(name).into_iter().flatten().flatten().any(|(number, _)| number == 7)
    }

    /// As in [`Metadata::operators`].
    pub fn label(&self) -> String {
        if self.domain.is_empty() { self.operator.to_owned() } else { format!("{}::{}", self.domain, self.operator) }
    }
}

#[derive(Default)]
struct Reader {
    operators: BTreeSet<String>,
    entries: usize,
}

/// What the outermost graph says.
#[derive(Default)]
struct Graph<'a> {
    name: String,
    description: String,
    inputs: Vec<&'a [u8]>,
    outputs: Vec<&'a [u8]>,
    nodes: Vec<&'a [u8]>,
    /// Values that the file has, by name.
    weights: HashMap<&'a str, &'a [u8]>,
}

impl Reader {
    fn model(&mut self, model: &[u8]) -> Result<Metadata, Problem> {
        if model.len() > FILE_LIMIT {
            return Err(Problem::new(
                format!("the file has {} bytes; a model can have 2 GiB at most", model.len()),
                "use a smaller model, or quantize its weights",
            ));
        }
        let mut metadata = Metadata::default();
        let (mut graph, mut functions) = (None, BTreeSet::new());
        let (mut samples, mut tolerance) = (None, None);
        let mut fields = Fields::of(model);
        // Each field that a model begins with; text and other formats do not get past the first.
        let first = fields.next().ok_or(Problem::NotOnnx)?;
        let known = |number: u64, value: &Value<'_>| match value {
            Value::Number(_) => matches!(number, 1 | 5),
            Value::Bytes(_) => matches!(number, 2..=4 | 6..=8 | 14 | 20 | 25 | 26),
            Value::Wide(_) | Value::Narrow(_) => false,
        };
        if !first.as_ref().is_ok_and(|(number, value)| known(*number, value)) {
            return Err(Problem::NotOnnx);
        }
        for field in std::iter::once(first).chain(fields) {
            let (number, value) = field?;
            match number {
                1 => metadata.ir_version = value.integer()?,
                2 => metadata.producer = name(value)?.to_owned(),
                3 => metadata.producer_version = name(value)?.to_owned(),
                6 => metadata.description = shortened(value)?,
                7 => graph = Some(self.graph(value.bytes()?, 0)?),
                8 => {
                    self.count(1)?;
                    let (domain, version) = opset(value.bytes()?)?;
                    metadata.opsets.insert(domain, version);
                }
                14 => match property(value.bytes()?)? {
                    ("witgate.samples", text) if text.len() > CARRIED_LIMIT => {
                        let message = format!(
                            "the samples in it have {} bytes; {CARRIED_LIMIT} at most are expected",
                            text.len()
                        );
                        return Err(Problem::new(
                            message,
                            "let it carry fewer rows; `witgate model verify` takes a file of any number",
                        ));
                    }
                    ("witgate.samples", text) => samples = Some(text.to_owned()),
                    ("witgate.tolerance", text) => {
                        let number = text.parse().ok().filter(|number: &f64| *number >= 0.0 && number.is_finite());
                        tolerance = Some(number.ok_or_else(|| {
                            Problem::damaged(format!(
                                "its `witgate.tolerance` is `{text}`: expected a number from 0 on"
                            ))
                        })?);
                    }
                    _ => {}
                },
                25 => {
                    functions.insert(self.function(value.bytes()?)?);
                }
                _ => {}
            }
        }
        let graph = graph.ok_or_else(|| match metadata.ir_version {
            0 => Problem::NotOnnx,
            _ => Problem::damaged("the model has no graph"),
        })?;
        let flow = self.operators.iter().any(|operator| names_classes(operator));
        let flow = flow.then(|| Flow::of(&graph.nodes, &graph.weights));
        metadata.signature = graph.signature(Exporter::of(&metadata.producer), flow.as_ref())?;
        if let Some(flow) = flow {
            let outputs = graph.outputs.iter().map(|output| value_name(output)).collect::<Result<Vec<_>, _>>()?;
            flow.correct(&mut metadata.signature, &outputs);
            for (at, (info, output)) in metadata.signature.outputs.iter().zip(outputs).enumerate() {
                let columns = info.shape.as_ref().and_then(|shape| shape.last());
                let fits = |count| !matches!(columns, Some(Dimension::Fixed(columns)) if *columns != count);
                let may_have = info.data_type.is_float() && at < CLASSIFIED_LIMIT;
                let classes = if may_have { flow.classes(output) } else { None };
                if let Some(classes) = classes.filter(|classes| fits(classes.len())) {
                    metadata.classes.insert(info.name.clone(), classes);
                }
                if flow.source_of_map(output).is_some() {
                    metadata.maps.insert(info.name.clone());
                }
            }
        }
        metadata.graph = graph.name;
        metadata.samples = samples.map(|text| CarriedSamples { text, tolerance: tolerance.unwrap_or(TOLERANCE) });
        if metadata.description.is_empty() {
            metadata.description = graph.description;
        }
        // A call of one of the model's own functions is none of an operator: those that it is made of are listed.
        metadata.operators = self.operators.difference(&functions).cloned().collect();
        Ok(metadata)
    }

    fn count(&mut self, entries: usize) -> Result<(), Problem> {
        self.entries = self.entries.saturating_add(entries);
        if self.entries > ENTRY_LIMIT {
            let message = format!("the model has more than {ENTRY_LIMIT} nodes, weights and values");
            return Err(Problem::new(message, "use a model that is not one to run at the edge's pace"));
        }
        Ok(())
    }

    /// Its name, as an operator.
    fn function(&mut self, function: &[u8]) -> Result<String, Problem> {
        self.count(1)?;
        let (mut called, mut domain) = ("", "");
        for field in Fields::of(function) {
            let (number, value) = field?;
            match number {
                1 => called = name(value)?,
                7 => self.node(value.bytes()?, 1)?,
                10 => domain = name(value)?,
                _ => {}
            }
        }
        Ok(Node { domain: short_domain(domain), operator: called, message: &[] }.label())
    }

    fn graph<'a>(&mut self, graph: &'a [u8], depth: usize) -> Result<Graph<'a>, Problem> {
        if depth > DEPTH_LIMIT {
            let message = format!("graphs are within graphs, more than {DEPTH_LIMIT} deep");
            return Err(Problem::new(message, "export the model with fewer nested branches and loops"));
        }
        self.count(1)?;
        let mut read = Graph::default();
        for field in Fields::of(graph) {
            let (number, value) = field?;
            match number {
                1 => {
                    let message = value.bytes()?;
                    self.node(message, depth)?;
                    if depth == 0 {
                        read.nodes.push(message);
                    }
                }
                2 => read.name = name(value)?.to_owned(),
                5 => {
                    let message = value.bytes()?;
                    let called = self.tensor(message)?;
                    if depth == 0 {
                        read.weights.insert(called, message);
                    }
                }
                10 => read.description = shortened(value)?,
                11 if depth == 0 => read.inputs.push(value.bytes()?),
                12 if depth == 0 => read.outputs.push(value.bytes()?),
                15 => {
                    let called = self.sparse_tensor(value.bytes()?)?;
                    if depth == 0 {
                        // A list of classes is never sparse.
                        read.weights.insert(called, &[]);
                    }
                }
                _ => {}
            }
            if matches!(number, 11..=13) {
                self.count(1)?;
            }
        }
        Ok(read)
    }

    fn node(&mut self, message: &[u8], depth: usize) -> Result<(), Problem> {
        self.count(1)?;
        for field in Fields::of(message) {
            let (number, value) = field?;
            match number {
                1 | 2 => {
                    self.count(1)?;
                    name(value)?;
                }
                4 | 7 => drop(name(value)?),
                5 => self.attribute(value.bytes()?, depth)?,
                _ => {}
            }
        }
        let node = Node::of(message);
        if node.operator.is_empty() {
            return Err(Problem::damaged("a node of the graph has no operator"));
        }
        let label = node.label();
        if !self.operators.contains(&label) {
            self.operators.insert(label);
        }
        Ok(())
    }

    fn attribute(&mut self, attribute: &[u8], depth: usize) -> Result<(), Problem> {
        self.count(1)?;
        for field in Fields::of(attribute) {
            let (number, value) = field?;
            match number {
                5 | 10 => {
                    self.tensor(value.bytes()?)?;
                }
                6 | 11 => {
                    self.graph(value.bytes()?, depth + 1)?;
                }
                22 | 23 => {
                    self.sparse_tensor(value.bytes()?)?;
                }
                9 => self.count(1)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// The name of a tensor, whose elements are as many as its shape says.
    fn tensor<'a>(&mut self, tensor: &'a [u8]) -> Result<&'a str, Problem> {
        self.count(1)?;
        let (mut called, mut rank, mut external) = ("", 0, false);
        let (mut elements, mut raw, mut typed, mut of_type) = (Some(1_u64), None, 0_u64, 0);
        let mut dimension = |size: i64| {
            rank += 1;
            elements = u64::try_from(size).ok().and_then(|size| elements?.checked_mul(size));
        };
        for field in Fields::of(tensor) {
            let (number, value) = field?;
            match (number, value) {
                (1, Value::Bytes(sizes)) => {
                    for size in packed(sizes) {
                        dimension(size?);
                    }
                }
                (1, size) => dimension(size.integer()?),
                (2, value) => of_type = value.integer()?,
                (4 | 5 | 7 | 10 | 11, Value::Bytes(bytes)) => typed += bytes.len() as u64,
                (4 | 5 | 7 | 10 | 11, _) => typed += 1,
                (6, value) => {
                    self.entries += 1;
                    typed += value.bytes().map(|_| 1)?;
                }
                (8, value) => called = name(value)?,
                (9, value) => raw = Some(value.bytes()?.len() as u64),
                (13, _) => external = true,
                (14, value) => external |= value.integer()? == 1,
                _ => {}
            }
        }
        self.count(0)?;
        if external {
            return Err(Problem::new(
                format!("the weights `{called}` are in another file"),
                "weights must be inside the file: save it with `onnx.save_model(model, path, save_as_external_data=False)`",
            ));
        }
        let elements = elements.filter(|_| rank <= RANK_LIMIT);
        let fits = |elements: u64| match raw {
            Some(raw) => stored_bits(of_type)
                .is_none_or(|bits| elements.checked_mul(bits).is_some_and(|all| all.div_ceil(8) == raw)),
            // Each element takes a byte at least in its list; numbers of a few bits are packed in pairs, complex ones in two.
            None => elements <= typed.saturating_mul(8),
        };
        if !elements.is_some_and(fits) {
            return Err(Problem::damaged(format!(
                "the weights `{called}` are damaged: their shape is not that of their data"
            )));
        }
        Ok(called)
    }

    /// The name of its values.
    fn sparse_tensor<'a>(&mut self, tensor: &'a [u8]) -> Result<&'a str, Problem> {
        let mut called = "";
        for field in Fields::of(tensor) {
            match field? {
                (1, value) => called = self.tensor(value.bytes()?)?,
                (2, value) => {
                    self.tensor(value.bytes()?)?;
                }
                _ => {}
            }
        }
        Ok(called)
    }
}

impl Graph<'_> {
    fn signature(&self, exporter: Exporter, flow: Option<&Flow<'_>>) -> Result<Signature, Problem> {
        let mut signature = Signature::default();
        for input in &self.inputs {
            let called = value_name(input)?;
            if !self.weights.contains_key(called) {
                let read = tensor_info("input", input, |_| "export the model with tensors only".to_owned());
                signature.inputs.push(read?);
            }
        }
        // Before outputs are read: messages about them name all inputs.
        for (role, count) in [("inputs", signature.inputs.len()), ("outputs", self.outputs.len())] {
            if count > VALUE_LIMIT {
                let message = format!("the model has {count} {role}; {VALUE_LIMIT} at most are served");
                return Err(Problem::new(message, "put values together into tensors with one more dimension"));
            }
        }
        for output in &self.outputs {
            let inputs: Vec<_> = signature.inputs.iter().map(|info| info.name.as_str()).collect();
            let help = |called: &str| exporter.without_map(&inputs, flow.and_then(|flow| flow.source_of_map(called)));
            let flow_of_map = flow.filter(|_| signature.outputs.len() < CLASSIFIED_LIMIT);
            let map = flow_of_map.and_then(|flow| flow.listed(flow.source_of_map(value_name(output).ok()?)?));
            let info = match map {
                Some(classes) => map_info(value_name(output)?, classes.len(), &signature.inputs),
                None => tensor_info("output", output, help)?,
            };
            signature.outputs.push(info);
        }
        if signature.outputs.is_empty() {
            return Err(Problem::damaged("the model has no outputs"));
        }
        for (role, values) in [("inputs", &signature.inputs), ("outputs", &signature.outputs)] {
            let mut names = BTreeMap::new();
            if let Some(twice) = values.iter().find(|info| names.insert(&info.name, ()).is_some()) {
                return Err(Problem::damaged(format!("two {role} of the model are named `{}`", twice.name)));
            }
        }
        Ok(signature)
    }
}

/// A map of each row, as the tensor that it is made of.
fn map_info(called: &str, classes: usize, inputs: &[TensorInfo]) -> TensorInfo {
    let rows = inputs.first().and_then(|input| input.shape.as_ref()?.first()).cloned().unwrap_or(Dimension::Any);
    TensorInfo {
        name: called.to_owned(),
        data_type: DataType::Float32,
        shape: Some(vec![rows, Dimension::Fixed(classes)]),
    }
}

/// A key of the file's own, and its value.
fn property(entry: &[u8]) -> Result<(&str, &str), Problem> {
    let (mut key, mut text) = ("", "");
    for field in Fields::of(entry) {
        match field? {
            (1, value) => key = name(value)?,
            (2, value) => text = value.text()?,
            _ => {}
        }
    }
    Ok((key, text))
}

fn opset(opset: &[u8]) -> Result<(String, i64), Problem> {
    let (mut domain, mut version) = ("", 0);
    for field in Fields::of(opset) {
        match field? {
            (1, value) => domain = short_domain(name(value)?),
            (2, value) => version = value.integer()?,
            _ => {}
        }
    }
    Ok((domain.to_owned(), version))
}

/// The default domain has two names.
fn short_domain(domain: &str) -> &str {
    if domain == "ai.onnx" { "" } else { domain }
}

fn shortened(value: Value<'_>) -> Result<String, Problem> {
    let text = value.text()?;
    Ok(text.get(..text.floor_char_boundary(DESCRIPTION_LIMIT)).unwrap_or_default().to_owned())
}

/// Bits of an element in raw data; none for types that are not known here.
fn stored_bits(number: i64) -> Option<u64> {
    Some(match number {
        25 | 26 => 2,
        21..=23 => 4,
        2 | 3 | 9 | 17..=20 | 24 => 8,
        4 | 5 | 10 | 16 => 16,
        1 | 6 | 12 => 32,
        7 | 11 | 13 | 14 => 64,
        15 => 128,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MLP: &[u8] = include_bytes!("../../../../tests/models/mlp.onnx");
    const LOOP: &[u8] = include_bytes!("../../../../tests/models/loop.onnx");
    /// Classifiers, whose classes are looked for along the graph.
    const TREES: &[u8] = include_bytes!("../../../../tests/models/exporters/lightgbm_names.onnx");
    const NETWORK: &[u8] = include_bytes!("../../../../tests/models/exporters/network.onnx");

    /// A field of length-delimited bytes.
    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut written = vec![number << 3 | 2];
        let mut length = bytes.len();
        while length > 0x7f {
            written.push(length as u8 | 0x80);
            length >>= 7;
        }
        written.push(length as u8);
        written.extend(bytes);
        written
    }

    fn refused(model: &[u8]) -> String {
        Metadata::read(model).expect_err("refused").message
    }

    #[test]
    fn graphs_within_graphs_end_somewhere() {
        let mut graph = Vec::new();
        for _ in 0..2000 {
            graph = field(1, &[field(4, b"If"), field(5, &field(6, &graph))].concat());
        }
        assert!(refused(&[vec![8, 8], field(7, &graph)].concat()).contains("graphs are within graphs"));
    }

    #[test]
    fn a_file_full_of_nothing_is_refused_before_it_is_built() {
        let nodes = field(1, &field(4, b"Neg")).repeat(ENTRY_LIMIT + 1);
        assert!(refused(&[vec![8, 8], field(7, &nodes)].concat()).contains("more than 1000000 nodes"));
        let graphs = field(1, &[field(4, b"Neg"), field(5, &[90, 0].repeat(ENTRY_LIMIT + 1))].concat());
        assert!(refused(&[vec![8, 8], field(7, &graphs)].concat()).contains("more than 1000000 nodes"));
    }

    #[test]
    fn weights_have_as_much_data_as_their_shape_says() {
        let weights = |of_type: u8, dimension: u8, data: &[u8]| {
            let tensor = [vec![8, dimension, 16, of_type], field(8, b"w"), field(9, data)].concat();
            refused(&[vec![8, 8], field(7, &field(5, &tensor))].concat())
        };
        // Without them, the graph is refused for want of outputs.
        assert!(weights(1, 2, &[0; 8]).contains("no outputs") && weights(22, 3, &[0; 2]).contains("no outputs"));
        for message in [weights(1, 3, &[0; 8]), weights(1, 2, &[0; 9]), weights(7, 100, &[])] {
            assert!(message.contains("the weights `w` are damaged"), "{message}");
        }
    }

    #[test]
    fn attributes_are_found_by_their_names() {
        let message = [field(4, b"GRU"), field(5, &[field(1, b"a"), field(9, b"no")].concat())].concat();
        let message = [message, field(5, &[field(9, b"yes"), field(1, b"b")].concat())].concat();
        let node = Node { domain: "", operator: "GRU", message: &message };
        assert_eq!((node.texts("a"), node.texts("b"), node.texts("c")), (vec!["no"], vec!["yes"], vec![]));
    }

    #[test]
    fn a_graph_that_goes_round_in_a_circle_has_no_classes() {
        let circle = |operator: &[u8], from: &[u8], to: &[u8]| {
            field(1, &[field(1, from), field(2, to), field(4, operator), field(7, b"ai.onnx.ml")].concat())
        };
        let of_type = field(2, &field(1, &[8, 1]));
        let graph = [
            circle(b"Cast", b"p", b"q"),
            circle(b"Identity", b"q", b"p"),
            circle(b"ZipMap", b"r", b"maps"),
            field(12, &[field(1, b"p"), of_type].concat()),
        ];
        let metadata = Metadata::read(&[vec![8, 8], field(7, &graph.concat())].concat()).expect("a model");
        assert!(metadata.classes.is_empty());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            let _ = Metadata::read(&bytes);
            let _ = Metadata::read(&[&[8, 8], field(7, &bytes).as_slice()].concat());
        }

        #[test]
        fn changed_models_are_read_or_refused(
            (at, byte, cut) in (any::<prop::sample::Index>(), any::<u8>(), any::<prop::sample::Index>()),
            model in prop::sample::select(vec![MLP, LOOP, TREES, NETWORK]),
        ) {
            let mut model = model.to_vec();
            let length = model.len();
            model[at.index(length)] = byte;
            let _ = Metadata::read(&model);
            model.truncate(cut.index(length));
            let _ = Metadata::read(&model);
            if Metadata::read(&model).is_ok() {
                let _ = crate::onnx::graph(&crate::onnx::without_maps(&model));
            }
        }

        #[test]
        fn a_model_without_its_end_is_refused(cut in any::<prop::sample::Index>()) {
            // The last field is the operator set, without which the graph is whole.
            let graph_ends = MLP.len() - 8;
            prop_assert!(Metadata::read(&MLP[..cut.index(graph_ends)]).is_err());
        }
    }
}
