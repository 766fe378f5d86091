//! What parts of a graph take in memory, about.

use witgate_operators::{Attribute, GraphSpec, Node, Tensor, Value};

pub(super) fn of(attribute: &Attribute) -> usize {
    match attribute {
        Attribute::Int(_) | Attribute::Float(_) => size_of::<Attribute>(),
        Attribute::String(text) => text.len(),
        Attribute::Tensor(tensor) => of_tensor(tensor),
        Attribute::Ints(list) => size_of_val(list.as_slice()),
        Attribute::Floats(list) => size_of_val(list.as_slice()),
        Attribute::Strings(list) => list.iter().map(|text| size_of::<Vec<u8>>() + text.len()).sum(),
        Attribute::Tensors(list) => list.iter().map(of_tensor).sum(),
        Attribute::Graph(graph) => of_graph(graph),
    }
}

pub(super) fn of_names(names: &[String]) -> usize {
    names.iter().map(|name| size_of::<String>() + name.len()).sum()
}

fn of_tensor(tensor: &Tensor) -> usize {
    size_of::<Tensor>() + tensor.data().bytes()
}

fn of_graph(graph: &GraphSpec) -> usize {
    let weights: usize =
        graph.initializers.iter().map(|(name, value)| name.len() + size_of::<Value>() + value.bytes()).sum();
    weights + graph.nodes.iter().map(of_node).sum::<usize>() + of_names(&graph.inputs) + of_names(&graph.outputs)
}

fn of_node(node: &Node) -> usize {
    let attributes: usize = node.attributes.iter().map(|(name, value)| name.len() + of(value)).sum();
    size_of::<Node>() + node.name.len() + of_names(&node.inputs) + of_names(&node.outputs) + attributes
}
