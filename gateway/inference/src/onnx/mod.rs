//! What an ONNX file says about itself, read without running or even loading it.

mod declared;
mod metadata;
mod problem;
mod wire;

pub(crate) use metadata::{Node, visit_nodes};
