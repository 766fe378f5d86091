//! From nodes to a plan.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::order::{makers, order, title};
use super::scope::{Scope, capture};
use super::{Graph, GraphSpec, Node, Place, Step, output_bit};
use crate::error::{BuildError, GraphError};
use crate::limits::{Budget, Limits};
use crate::operator::{External, Input, Inputs, Operator, Setup, Source};
use crate::value::Value;

/// Nodes of a graph. An isolation forest, node by node, has a few thousand.
pub const NODE_LIMIT: usize = 100_000;

/// Bytes of a constant that is made of constants when a graph is built; of more, the node stays: 64 MiB.
pub const CONSTANT_LIMIT: usize = 64 << 20;

/// Operators that a message lists as not known; a file can name any number.
pub const UNKNOWN_LIMIT: usize = 50;

/// Versions of domains.
#[derive(Debug)]
pub(super) struct Opsets(HashMap<String, u32>);

impl Opsets {
    fn of(list: &[(String, u32)]) -> Result<Self, GraphError> {
        let mut versions = HashMap::new();
        for (domain, version) in list {
            let domain = if domain == "ai.onnx" { "" } else { domain };
            if versions.insert(domain.to_owned(), *version).is_some_and(|other| other != *version) {
                let name = if domain.is_empty() { "ai.onnx" } else { domain };
                return Err(GraphError::Opset(format!("the model imports two versions of {name}")));
            }
        }
        Ok(Self(versions))
    }

    fn version(&self, domain: &str) -> Option<u32> {
        let domain = if domain == "ai.onnx" { "" } else { domain };
        // What ONNX Runtime adds has one version, and many models do not import it.
        self.0.get(domain).copied().or_else(|| (domain == "com.microsoft").then_some(1))
    }
}

/// A node with its operator, before values have places.
struct Planned {
    at: usize,
    operator: Operator,
}

/// Values that are the same in each run.
#[derive(Default)]
struct Constants<'a> {
    values: Vec<Value>,
    by_name: HashMap<String, usize>,
    /// Those of the graph around this one, which keeps them.
    outer: HashMap<&'a str, &'a Value>,
}

impl Constants<'_> {
    fn add(&mut self, name: &str, value: Value) {
        self.by_name.insert(name.to_owned(), self.values.len());
        self.values.push(value);
    }

    fn get(&self, name: &str) -> Option<&Value> {
        let own = self.by_name.get(name).and_then(|at| self.values.get(*at));
        own.or_else(|| self.outer.get(name).copied())
    }
}

pub(super) fn build(
    spec: GraphSpec,
    external: &dyn External,
    limits: Limits,
    stop: Option<&Arc<AtomicBool>>,
) -> Result<Graph, GraphError> {
    let opsets = Opsets::of(&spec.opsets)?;
    let kept = &Cell::new(0);
    build_within(spec, &Surroundings { opsets: &opsets, external, limits, stop, kept, depth: 0, outer: &[] })
}

/// What a graph is built in.
pub(super) struct Surroundings<'a> {
    pub opsets: &'a Opsets,
    pub external: &'a dyn External,
    pub limits: Limits,
    /// Ends what is computed of constants.
    pub stop: Option<&'a Arc<AtomicBool>>,
    /// Bytes of constants that were made, and of what operators keep of constants, in graphs within it, too.
    pub kept: &'a Cell<usize>,
    /// How many graphs are around it.
    pub depth: usize,
    /// Values of the graph around it that it needs.
    pub outer: &'a [(String, Source<'a>)],
}

impl Surroundings<'_> {
    /// Whether so many bytes more may be kept, which are counted then. A small file can ask for any number of constants; those
    /// beyond the limit are made in each run.
    pub fn keep(&self, bytes: usize) -> bool {
        let kept = self.kept.get().saturating_add(bytes);
        let may = kept <= self.limits.bytes;
        if may {
            self.kept.set(kept);
        }
        may
    }
}

pub(super) fn build_within(spec: GraphSpec, around: &Surroundings<'_>) -> Result<Graph, GraphError> {
    let GraphSpec { inputs, outputs, initializers, mut nodes, opsets: _ } = spec;
    if nodes.len() > NODE_LIMIT {
        return Err(GraphError::Limit { what: "nodes", limit: NODE_LIMIT, got: nodes.len() });
    }
    let told = capture(&mut nodes, around.depth)?;
    let sources = pass_identities(&mut nodes, &told, &outputs);
    let outer: Vec<String> = around.outer.iter().map(|(name, _)| name.clone()).collect();
    let given: Vec<String> = inputs.iter().chain(&outer).cloned().collect();
    let makers = makers(&given, initializers.iter().map(|(name, _)| name.as_str()), &nodes)?;
    let order = order(&nodes, &makers, &sources)?;

    let needed = || order.iter().filter_map(|at| nodes.get(*at));
    let mut wanted: HashSet<&str> = needed().flat_map(|node| &node.inputs).map(String::as_str).collect();
    wanted.extend(sources.iter().map(String::as_str));

    let used: Vec<bool> = initializers.iter().map(|(name, _)| wanted.contains(name.as_str())).collect();
    let mut constants = Constants::default();
    for ((name, value), used) in initializers.iter().zip(used) {
        if used {
            constants.add(name, value.clone());
        }
    }
    for (name, source) in around.outer {
        if let Source::Constant(value) = source {
            constants.outer.insert(name, value);
        }
    }
    let mut builder = Builder { around, constants, wanted: &wanted, told: &told };
    let planned = builder.plan(&order, &nodes)?;
    let layout = Layout::of(&planned, &nodes, &builder.constants, (&inputs, &outer), &sources);
    Ok(layout.into_graph(planned, &nodes, builder.constants.values, (inputs, outputs), around.limits))
}

/// Leads past nodes that only name a value anew; those that nobody needs any more are left out of the graph then. Graphs within
/// nodes go on by the names that they know. Returns the names of the graph's outputs where they are made.
fn pass_identities(nodes: &mut [Node], told: &[usize], outputs: &[String]) -> Vec<String> {
    let mut sources: HashMap<String, String> = HashMap::new();
    for node in nodes.iter() {
        let is_own = node.domain.is_empty() || node.domain == "ai.onnx";
        if let (true, [from], [to]) = (is_own && node.op_type == "Identity", &node.inputs[..], &node.outputs[..])
            && node.attributes.iter().next().is_none()
            && !from.is_empty()
        {
            sources.insert(to.clone(), from.clone());
        }
    }
    if sources.is_empty() {
        return outputs.to_vec();
    }
    for (node, told) in nodes.iter_mut().zip(told) {
        node.inputs.iter_mut().take(*told).for_each(|name| *name = source(&mut sources, name));
    }
    outputs.iter().map(|name| source(&mut sources, name)).collect()
}

/// Where a chain of names ends. Those on the way lead there themselves from now on, so that a long chain is walked once.
fn source(sources: &mut HashMap<String, String>, name: &str) -> String {
    let (mut at, mut passed) = (name.to_owned(), Vec::new());
    while let Some(from) = sources.get(&at) {
        // A circle is for others to find.
        if *from == at || passed.len() > sources.len() {
            break;
        }
        passed.push(std::mem::replace(&mut at, from.clone()));
    }
    // The last of them leads there already.
    passed.pop();
    for name in passed {
        sources.insert(name, at.clone());
    }
    at
}

struct Builder<'a> {
    around: &'a Surroundings<'a>,
    constants: Constants<'a>,
    wanted: &'a HashSet<&'a str>,
    /// How many inputs each node has itself, before those that graphs within it need.
    told: &'a [usize],
}

impl Builder<'_> {
    /// Makes the operators of nodes in their order, and runs those that need no input.
    fn plan(&mut self, order: &[usize], nodes: &[Node]) -> Result<Vec<Planned>, GraphError> {
        let (mut planned, mut unknown, mut first_problem) = (Vec::with_capacity(order.len()), Vec::new(), None);
        let add = |unknown: &mut Vec<String>, name: String| {
            if unknown.len() < UNKNOWN_LIMIT && !unknown.contains(&name) {
                unknown.push(name);
            }
        };
        for at in order {
            let Some(node) = nodes.get(*at) else { continue };
            match self.operator(*at, node) {
                Ok(operator) => {
                    if !self.fold(*at, node, &operator)? {
                        planned.push(Planned { at: *at, operator });
                    }
                }
                Err(BuildError::Unknown { domain, op_type, opset, since }) => {
                    let domain = if domain.is_empty() { domain } else { format!("{domain}::") };
                    let since = since.map(|since| format!(" (known since {since})")).unwrap_or_default();
                    let name = format!("{domain}{op_type} in version {opset}{since}");
                    add(&mut unknown, name);
                }
                Err(BuildError::Graph { problem, .. }) if matches!(*problem, GraphError::Unknown(_)) => {
                    if let GraphError::Unknown(names) = *problem {
                        names.into_iter().for_each(|name| add(&mut unknown, name));
                    }
                }
                Err(problem) => {
                    first_problem.get_or_insert_with(|| GraphError::Node { node: title(*at, node), problem });
                }
            }
        }
        match (unknown.is_empty(), first_problem) {
            (false, _) => Err(GraphError::Unknown(unknown)),
            (true, Some(problem)) => Err(problem),
            (true, None) => Ok(planned),
        }
    }

    fn operator(&self, at: usize, node: &Node) -> Result<Operator, BuildError> {
        let opset = self.around.opsets.version(&node.domain).ok_or_else(|| {
            let domain = if node.domain.is_empty() { "ai.onnx" } else { &node.domain };
            BuildError::Unsupported(format!("the model imports no version of {domain}"))
        })?;
        let source = |name: &String| match self.constants.get(name) {
            _ if name.is_empty() => Source::Absent,
            Some(value) => Source::Constant(value),
            None => Source::Dynamic,
        };
        let told = self.told.get(at).copied().unwrap_or(node.inputs.len());
        let (own, captured) = node.inputs.split_at_checked(told).unwrap_or((&node.inputs, &[]));
        let mut inputs: Vec<Source<'_>> = own.iter().map(source).collect();
        let captured: Vec<(String, Source<'_>)> = captured.iter().map(|name| (name.clone(), source(name))).collect();
        // Optional inputs at the end may be named as absent, and need not be.
        while inputs.last().is_some_and(|input| matches!(input, Source::Absent)) {
            inputs.pop();
        }
        let outputs: Vec<bool> =
            node.outputs.iter().map(|name| !name.is_empty() && self.wanted.contains(name.as_str())).collect();
        let around = Surroundings { depth: self.around.depth + 1, outer: &captured, ..*self.around };
        let scope = Scope::new(&around, told);
        let setup = Setup::new(&node.domain, &node.op_type, opset, &node.attributes, &inputs, &outputs)?.within(&scope);
        Operator::build(&setup, self.around.external)
    }

    /// Runs a node of constants alone. False if it has other inputs, or makes too much to be kept.
    fn fold(&mut self, at: usize, node: &Node, operator: &Operator) -> Result<bool, GraphError> {
        let value = |name: &String| {
            if name.is_empty() {
                Some(Input::Borrowed(&Value::Absent))
            } else {
                self.constants.get(name).map(Input::Borrowed)
            }
        };
        let Some(inputs) = node.inputs.iter().map(value).collect() else { return Ok(false) };
        if self.around.kept.get() >= self.around.limits.bytes {
            return Ok(false);
        }
        let mut budget = Budget::new(self.around.limits);
        if let Some(stop) = self.around.stop {
            budget = budget.until(Arc::clone(stop));
        }
        let made = operator.kernel().run(&mut Inputs::new(inputs), &mut budget);
        let made = made.map_err(|problem| GraphError::Constant { node: title(at, node), problem })?;
        let bytes = made.iter().map(Value::bytes).fold(0, usize::saturating_add);
        if made.iter().any(|value| value.bytes() > CONSTANT_LIMIT) || !self.around.keep(bytes) {
            return Ok(false);
        }
        let mut values = made.into_iter();
        for name in &node.outputs {
            let value = values.next().unwrap_or_default();
            if self.wanted.contains(name.as_str()) && !name.is_empty() {
                self.constants.add(name, value);
            }
        }
        Ok(true)
    }
}

/// Where a step's inputs are, where its outputs go, and what is freed behind it.
type StepPlaces = (Vec<Place>, Vec<Option<usize>>, Vec<usize>);

/// Slots of values.
#[derive(Default)]
struct Layout {
    slots: usize,
    spare: Vec<usize>,
    by_name: HashMap<String, usize>,
    /// Values of the graph around this one.
    outer: HashMap<String, usize>,
    input_slots: Vec<Option<usize>>,
    /// For each step: places of its inputs, slots of its outputs, and what is freed behind it.
    steps: Vec<StepPlaces>,
    /// For each step: which outputs of the graph need it.
    needed: Vec<u64>,
    results: Vec<Place>,
}

impl Layout {
    fn of(
        planned: &[Planned],
        nodes: &[Node],
        constants: &Constants<'_>,
        (inputs, outer): (&[String], &[String]),
        outputs: &[String],
    ) -> Self {
        let node_of = |step: &Planned| nodes.get(step.at);
        // The last step that needs a value; what comes out of the graph is needed to the end.
        let mut last: HashMap<&str, usize> = HashMap::new();
        for (step, node) in planned.iter().map(node_of).enumerate() {
            last.extend(node.into_iter().flat_map(|node| &node.inputs).map(|name| (name.as_str(), step)));
        }
        last.extend(outputs.iter().map(|name| (name.as_str(), usize::MAX)));

        let mut needed: HashMap<&str, u64> = HashMap::new();
        for (at, name) in outputs.iter().enumerate() {
            *needed.entry(name).or_default() |= output_bit(at);
        }
        let mut needed_steps = vec![0; planned.len()];
        for (node, bits) in planned.iter().map(node_of).zip(&mut needed_steps).rev() {
            let Some(node) = node else { continue };
            *bits =
                node.outputs.iter().filter_map(|name| needed.get(name.as_str())).fold(0, |bits, other| bits | other);
            for name in &node.inputs {
                *needed.entry(name).or_default() |= *bits;
            }
        }

        let outer = outer.iter().enumerate().map(|(at, name)| (name.clone(), at)).collect();
        let mut layout = Self { outer, needed: needed_steps, ..Self::default() };
        for name in inputs {
            let slot = last.contains_key(name.as_str()).then(|| layout.take(name));
            layout.input_slots.push(slot);
        }
        for (step, node) in planned.iter().map(node_of).enumerate() {
            let Some(node) = node else { continue };
            let ends = |name: &str| last.get(name) == Some(&step);
            let mut times: HashMap<&str, usize> = HashMap::with_capacity(node.inputs.len());
            node.inputs.iter().for_each(|name| *times.entry(name).or_default() += 1);
            let places: Vec<Place> = node
                .inputs
                .iter()
                .map(|name| match layout.place(name, constants) {
                    Place::Slot(slot) if ends(name) && times.get(name.as_str()) == Some(&1) => Place::Taken(slot),
                    place => place,
                })
                .collect();
            let (mut done, mut freed): (Vec<usize>, Vec<usize>) = (Vec::new(), Vec::new());
            for name in node.inputs.iter().filter(|name| ends(name)) {
                let slot = layout.by_name.remove(name.as_str());
                done.extend(slot);
                // What comes once is taken.
                freed.extend(slot.filter(|_| times.get(name.as_str()) != Some(&1)));
            }
            let wanted = |name: &String| !name.is_empty() && last.contains_key(name.as_str());
            let outputs = node.outputs.iter().map(|name| wanted(name).then(|| layout.take(name))).collect();
            // Only now: an output must not lie where an input of the same step is.
            layout.spare.extend(done);
            layout.steps.push((places, outputs, freed));
        }
        let mut results: Vec<Place> = Vec::with_capacity(outputs.len());
        for name in outputs {
            results.push(layout.place(name, constants));
        }
        // The last of equal results may have the value itself.
        let mut seen = HashSet::new();
        for place in results.iter_mut().rev() {
            if let Place::Slot(slot) = *place
                && seen.insert(slot)
            {
                *place = Place::Taken(slot);
            }
        }
        layout.results = results;
        layout
    }

    fn take(&mut self, name: &str) -> usize {
        let slot = self.spare.pop().unwrap_or_else(|| {
            self.slots += 1;
            self.slots - 1
        });
        self.by_name.insert(name.to_owned(), slot);
        slot
    }

    fn place(&self, name: &str, constants: &Constants<'_>) -> Place {
        match (constants.by_name.get(name), self.by_name.get(name), self.outer.get(name)) {
            _ if name.is_empty() => Place::Nowhere,
            (Some(at), _, _) => Place::Constant(*at),
            (None, Some(slot), _) => Place::Slot(*slot),
            (None, None, Some(at)) => Place::Outer(*at),
            (None, None, None) => Place::Nowhere,
        }
    }

    fn into_graph(
        self,
        planned: Vec<Planned>,
        nodes: &[Node],
        constants: Vec<Value>,
        (inputs, outputs): (Vec<String>, Vec<String>),
        limits: Limits,
    ) -> Graph {
        let mut is_used = vec![false; constants.len()];
        let all = self.steps.iter().flat_map(|(places, _, _)| places).chain(&self.results);
        for place in all {
            if let Place::Constant(at) = place {
                is_used.get_mut(*at).into_iter().for_each(|used| *used = true);
            }
        }
        // What was only needed to make other constants, or by operators that keep it themselves, is dropped.
        let constants = constants.into_iter().zip(is_used);
        let constants = constants.map(|(value, used)| if used { value } else { Value::Absent }).collect();
        let steps = planned.into_iter().zip(self.steps).zip(self.needed);
        let steps = steps.map(|((planned, (inputs, outputs, freed)), needed)| Step {
            name: nodes.get(planned.at).map(|node| title(planned.at, node)).unwrap_or_default(),
            operator: planned.operator,
            inputs,
            outputs,
            freed,
            needed,
        });
        Graph {
            inputs,
            outputs,
            constants,
            steps: steps.collect(),
            slots: self.slots,
            input_slots: self.input_slots,
            results: self.results,
            limits,
        }
    }
}
