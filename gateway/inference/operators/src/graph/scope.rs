//! Graphs within nodes, and what they need of the graph around them.

use std::collections::HashSet;
use std::fmt;

use super::build::{Surroundings, build_within};
use super::run::run_within;
use super::{Graph, GraphSpec, Node};
use crate::attribute::Attribute;
use crate::error::{BuildError, GraphError, OperatorError};
use crate::limits::Budget;
use crate::operator::Inputs;
use crate::value::Value;

/// Graphs within each other. Exporters write two or three; each takes its part of the stack.
pub const DEPTH_LIMIT: usize = 16;

/// Steps that running a node takes beside what it does with elements, so that loops of nothing end, too.
const STEPS_OF_NODE: usize = 64;

/// What graphs within a node are built in.
pub(crate) struct Scope<'a> {
    around: &'a Surroundings<'a>,
    /// Inputs of the node itself; those behind them are for graphs within it.
    told: usize,
}

impl fmt::Debug for Scope<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Scope").field("told", &self.told).finish_non_exhaustive()
    }
}

impl<'a> Scope<'a> {
    pub(super) fn new(around: &'a Surroundings<'a>, told: usize) -> Self {
        Self { around, told }
    }

    /// Whether an operator may keep so many bytes that it makes of constants.
    pub fn keep(&self, bytes: usize) -> bool {
        self.around.keep(bytes)
    }

    /// Builds the graph of an attribute.
    pub fn build(&self, name: &str, spec: &GraphSpec) -> Result<Subgraph, BuildError> {
        let failure = |problem| BuildError::Graph { name: name.to_owned(), problem: Box::new(problem) };
        let needed = free(spec, self.around.depth).map_err(failure)?;
        let (mut outer, mut places) = (Vec::new(), Vec::new());
        for (at, (known, source)) in self.around.outer.iter().enumerate() {
            if needed.contains(known) {
                outer.push((known.clone(), *source));
                places.push(self.told + at);
            }
        }
        let around = Surroundings { outer: &outer, ..*self.around };
        let graph = build_within(spec.clone(), &around).map_err(failure)?;
        Ok(Subgraph { graph, places })
    }
}

/// A graph within a node, ready to run.
#[derive(Debug)]
pub(crate) struct Subgraph {
    graph: Graph,
    /// Which inputs of the node it needs beside its own.
    places: Vec<usize>,
}

impl Subgraph {
    pub fn inputs(&self) -> usize {
        self.graph.inputs.len()
    }

    pub fn outputs(&self) -> usize {
        self.graph.outputs.len()
    }

    /// Runs it as a part of the run of its node. Memory is accounted for until it ends; what it returns is the caller's.
    pub fn run(&self, own: Vec<Value>, node: &Inputs<'_>, budget: &mut Budget) -> Result<Vec<Value>, OperatorError> {
        budget.work((self.graph.steps.len() + 1).saturating_mul(STEPS_OF_NODE))?;
        let outer: Vec<&Value> = self.places.iter().map(|at| node.value(*at)).collect();
        let held = budget.held();
        let made = run_within(&self.graph, (own, &outer), u64::MAX, budget);
        budget.release(budget.held().saturating_sub(held));
        Ok(made?)
    }
}

/// Adds to the inputs of each node what graphs within it need, so that it waits for that and gets it. Returns how many
/// inputs each has of its own.
pub(super) fn capture(nodes: &mut [Node], depth: usize) -> Result<Vec<usize>, GraphError> {
    let mut told = Vec::with_capacity(nodes.len());
    for node in nodes {
        told.push(node.inputs.len());
        let mut needed: Vec<String> = Vec::new();
        for (_, attribute) in node.attributes.iter() {
            if let Attribute::Graph(spec) = attribute {
                needed.extend(free(spec, depth + 1)?);
            }
        }
        let mut seen = HashSet::new();
        needed.retain(|name| seen.insert(name.clone()));
        node.inputs.append(&mut needed);
    }
    Ok(told)
}

/// Names that a graph uses and does not make, each once, in the order in which they are met.
fn free(spec: &GraphSpec, depth: usize) -> Result<Vec<String>, GraphError> {
    if depth > DEPTH_LIMIT {
        return Err(GraphError::Limit { what: "graphs within each other", limit: DEPTH_LIMIT, got: depth });
    }
    let made = spec.nodes.iter().flat_map(|node| &node.outputs);
    let initializers = spec.initializers.iter().map(|(name, _)| name);
    let own: HashSet<&str> = spec.inputs.iter().chain(initializers).chain(made).map(String::as_str).collect();
    let (mut seen, mut names) = (HashSet::new(), Vec::new());
    let mut meet = |name: &str| {
        if !name.is_empty() && !own.contains(name) && seen.insert(name.to_owned()) {
            names.push(name.to_owned());
        }
    };
    for node in &spec.nodes {
        node.inputs.iter().for_each(|name| meet(name));
        for (_, attribute) in node.attributes.iter() {
            if let Attribute::Graph(inner) = attribute {
                free(inner, depth + 1)?.iter().for_each(|name| meet(name));
            }
        }
    }
    spec.outputs.iter().for_each(|name| meet(name));
    Ok(names)
}
