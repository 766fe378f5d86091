//! Functions that a model brings with it, written out where they are called.

use std::collections::HashMap;

use witgate_operators::graph::NODE_LIMIT;
use witgate_operators::{Attribute, Attributes, GraphSpec, Node};

use super::super::wire::Fields;
use super::attribute::REFERENCE;
use super::{Unsupported, attribute, bytes, damaged, node, opset, size, text};

/// Functions that call functions: exporters write three or four levels.
const DEPTH_LIMIT: usize = 64;

/// Bytes of the nodes that functions are written out as: 256 MiB. Each call has its own names and attributes, so a file of a
/// megabyte could ask for a hundred thousand times as much.
const BYTE_LIMIT: usize = 256 << 20;

#[derive(Default)]
pub(super) struct Functions(HashMap<(String, String, String), Function>);

#[derive(Default)]
struct Function {
    inputs: Vec<String>,
    outputs: Vec<String>,
    nodes: Vec<Node>,
    defaults: Vec<(String, Attribute)>,
    opsets: Vec<(String, u32)>,
}

impl Functions {
    pub fn add(&mut self, message: &[u8]) -> Result<(), Unsupported> {
        let (mut name, mut domain, mut overload) = (String::new(), String::new(), String::new());
        let mut function = Function::default();
        for field in Fields::of(message) {
            let (number, value) = field.map_err(damaged)?;
            match number {
                1 => name = text(value)?,
                4 => function.inputs.push(text(value)?),
                5 => function.outputs.push(text(value)?),
                7 => function.nodes.push(node(bytes(value)?)?),
                9 => function.opsets.push(opset(bytes(value)?)?),
                10 => domain = text(value)?,
                11 => function.defaults.push(attribute::read(bytes(value)?)?),
                13 => overload = text(value)?,
                _ => {}
            }
        }
        if !overload.is_empty() {
            return Err(format!("an overload `{overload}` of its function `{name}`"));
        }
        self.0.insert((canonical(&domain), name, overload), function);
        Ok(())
    }

    /// Puts the nodes of functions where they are called.
    pub fn write_out(&self, spec: &mut GraphSpec, opsets: &mut Vec<(String, u32)>) -> Result<(), Unsupported> {
        if self.0.is_empty() {
            return Ok(());
        }
        for function in self.0.values() {
            for (domain, version) in &function.opsets {
                match opsets.iter().find(|(known, _)| canonical(known) == canonical(domain)) {
                    Some((_, known)) if known != version => {
                        return Err(format!(
                            "functions in another version of `{domain}` ({version}) than its graph ({known})"
                        ));
                    }
                    Some(_) => {}
                    None => opsets.push((domain.clone(), *version)),
                }
            }
        }
        let mut written = Written { functions: self, nodes: Vec::with_capacity(spec.nodes.len()), calls: 0, bytes: 0 };
        for node in std::mem::take(&mut spec.nodes) {
            written.add(node, 0)?;
        }
        spec.nodes = written.nodes;
        Ok(())
    }
}

struct Written<'f> {
    functions: &'f Functions,
    nodes: Vec<Node>,
    /// So many calls were written out: the names within each are its own.
    calls: usize,
    /// Of the nodes that were written out.
    bytes: usize,
}

impl Written<'_> {
    fn add(&mut self, node: Node, depth: usize) -> Result<(), Unsupported> {
        let called = (canonical(&node.domain), node.op_type.clone(), String::new());
        let Some(function) = self.functions.0.get(&called) else {
            if self.nodes.len() >= NODE_LIMIT {
                return Err(format!("more than {NODE_LIMIT} nodes, with those of its functions"));
            }
            self.nodes.push(node);
            return Ok(());
        };
        if depth >= DEPTH_LIMIT {
            return Err(format!("functions that call functions, more than {DEPTH_LIMIT} deep"));
        }
        self.calls += 1;
        if self.calls > NODE_LIMIT {
            return Err(format!("more than {NODE_LIMIT} calls of its functions"));
        }
        let mut names: HashMap<&str, &str> = HashMap::new();
        for (at, formal) in function.inputs.iter().enumerate() {
            names.insert(formal, node.inputs.get(at).map_or("", String::as_str));
        }
        // An output that the call does not want may be needed within.
        let wanted = function.outputs.iter().zip(&node.outputs).filter(|(_, actual)| !actual.is_empty());
        names.extend(wanted.map(|(formal, actual)| (formal.as_str(), actual.as_str())));
        let call = self.calls;
        let renamed = |name: &String| match names.get(name.as_str()) {
            _ if name.is_empty() => String::new(),
            Some(actual) => (*actual).to_owned(),
            // If a file has such a name itself: a value that is made twice is an error.
            None => format!("{call}//{name}"),
        };
        for inner in &function.nodes {
            let attributes = self.attributes(inner, &node, function)?;
            let inputs: Vec<String> = inner.inputs.iter().map(renamed).collect();
            let outputs: Vec<String> = inner.outputs.iter().map(renamed).collect();
            self.count(size::of_names(&inputs) + size::of_names(&outputs) + node.name.len() + inner.name.len())?;
            let name = format!("{}/{}", node.name, inner.name);
            let (domain, op_type) = (inner.domain.clone(), inner.op_type.clone());
            self.add(Node { name, domain, op_type, inputs, outputs, attributes }, depth + 1)?;
        }
        Ok(())
    }

    /// Attributes of a node in a function, with what the call says in the place of references.
    fn attributes(&mut self, inner: &Node, call: &Node, function: &Function) -> Result<Attributes, Unsupported> {
        let mut attributes = Attributes::new();
        for (name, value) in inner.attributes.iter() {
            let referred = match value {
                Attribute::String(text) => text.strip_prefix(REFERENCE),
                _ => None,
            };
            if matches!(value, Attribute::Graph(_)) {
                return Err(format!("a graph within its function `{}`", call.op_type));
            }
            let value = match referred {
                None => Some(value),
                // An attribute that is given nowhere is left out, and the operator has its own default.
                Some(referred) => {
                    let is_it = |(name, _): &(&str, &Attribute)| name.as_bytes() == referred;
                    let mut defaults = function.defaults.iter().map(|(name, value)| (name.as_str(), value));
                    call.attributes.iter().find(is_it).or_else(|| defaults.find(is_it)).map(|(_, value)| value)
                }
            };
            if let Some(value) = value {
                self.count(name.len() + size::of(value))?;
                attributes.set(name, value.clone());
            }
        }
        Ok(attributes)
    }

    fn count(&mut self, bytes: usize) -> Result<(), Unsupported> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > BYTE_LIMIT {
            return Err(format!("functions that become more than {} MiB where they are called", BYTE_LIMIT >> 20));
        }
        Ok(())
    }
}

fn canonical(domain: &str) -> String {
    if domain == "ai.onnx" { String::new() } else { domain.to_owned() }
}
