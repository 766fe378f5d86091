//! What an ONNX file says about itself, read without running or even loading it.

mod declared;
mod exporter;
mod flow;
mod graph;
#[cfg(test)]
mod large;
mod maps;
mod metadata;
mod problem;
mod wire;

pub(crate) use exporter::Exporter;
pub(crate) use graph::graph;
pub(crate) use maps::without_maps;
pub(crate) use metadata::metadata;
