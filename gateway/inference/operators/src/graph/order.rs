//! Which nodes are needed, and which comes first.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::Node;
use crate::error::GraphError;

/// Who makes a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Maker {
    Input(usize),
    Initializer(usize),
    Node(usize),
}

/// Who makes each value, by its name.
pub(super) type Makers<'a> = HashMap<&'a str, Maker>;

pub(super) fn makers<'a>(
    inputs: &'a [String],
    initializers: impl Iterator<Item = &'a str>,
    nodes: &'a [Node],
) -> Result<Makers<'a>, GraphError> {
    let inputs = inputs.iter().enumerate().map(|(at, name)| (name.as_str(), Maker::Input(at)));
    let initializers = initializers.enumerate().map(|(at, name)| (name, Maker::Initializer(at)));
    let outputs = nodes.iter().enumerate().flat_map(|(at, node)| {
        let named = node.outputs.iter().filter(|name| !name.is_empty());
        named.map(move |name| (name.as_str(), Maker::Node(at)))
    });
    let mut makers = Makers::new();
    for (name, maker) in inputs.chain(initializers).chain(outputs) {
        if makers.insert(name, maker).is_some() {
            return Err(GraphError::Twice(name.to_owned()));
        }
    }
    Ok(makers)
}

/// How a node is called in messages.
pub(super) fn title(at: usize, node: &Node) -> String {
    if node.name.is_empty() {
        format!("node {at} ({})", node.op_type)
    } else {
        format!("'{}' ({})", node.name, node.op_type)
    }
}

/// The nodes that are needed for some values, each behind those that it needs; as they stand, where that is left open.
pub(super) fn order(nodes: &[Node], makers: &Makers<'_>, outputs: &[String]) -> Result<Vec<usize>, GraphError> {
    let needed_of = |name: &str, by: &dyn Fn() -> String| match makers.get(name) {
        Some(Maker::Node(at)) => Ok(Some(*at)),
        Some(_) => Ok(None),
        None => Err(GraphError::Missing { name: name.to_owned(), needed_by: by() }),
    };
    let mut open = Vec::new();
    for name in outputs {
        open.extend(needed_of(name, &|| "the graph's output".to_owned())?);
    }
    // For each node that is needed: how many of those that it needs are not ordered yet, and who waits for it.
    let mut waiting: HashMap<usize, usize> = HashMap::new();
    let mut waiters: HashMap<usize, Vec<usize>> = HashMap::new();
    while let Some(at) = open.pop() {
        let Some(node) = nodes.get(at).filter(|_| !waiting.contains_key(&at)) else { continue };
        let mut makers_of = Vec::new();
        for name in node.inputs.iter().filter(|name| !name.is_empty()) {
            makers_of.extend(needed_of(name, &|| title(at, node))?);
        }
        makers_of.sort_unstable();
        makers_of.dedup();
        waiting.insert(at, makers_of.len());
        makers_of.iter().for_each(|maker| waiters.entry(*maker).or_default().push(at));
        open.extend(makers_of);
    }
    let is_ready = |(at, count): (&usize, &usize)| (*count == 0).then_some(Reverse(*at));
    let mut ready: BinaryHeap<Reverse<usize>> = waiting.iter().filter_map(is_ready).collect();
    let mut ordered = Vec::with_capacity(waiting.len());
    while let Some(Reverse(at)) = ready.pop() {
        ordered.push(at);
        for waiter in waiters.get(&at).into_iter().flatten() {
            if let Some(count) = waiting.get_mut(waiter) {
                *count -= 1;
                if *count == 0 {
                    ready.push(Reverse(*waiter));
                }
            }
        }
    }
    if ordered.len() == waiting.len() {
        return Ok(ordered);
    }
    let mut stuck: Vec<usize> = waiting.into_iter().filter(|(_, count)| *count > 0).map(|(at, _)| at).collect();
    stuck.sort_unstable();
    let titles = stuck.iter().filter_map(|at| nodes.get(*at).map(|node| title(*at, node)));
    Err(GraphError::Cycle(titles.take(8).collect::<Vec<_>>().join(", ")))
}
