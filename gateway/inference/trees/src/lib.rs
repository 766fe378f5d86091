//! Ensembles of decision trees, compiled when they are loaded.
//!
//! An [`Ensemble`] is plain data that was checked: trees, nodes, leaves with votes. It is made by [`Ensemble::new`], or from
//! the attributes of ONNX's operators by [`onnx`]. [`Model::compile`] turns it into tables and machine code, in the layout
//! that is quickest on this processor, and [`Model::predict`] runs rows. [`mod@reference`] is the definition of what comes out,
//! and every layout is equal to it in every bit.
//!
//! ```
//! use witgate_trees::{
//!     Aggregate, BaseOrder, Child, Comparison, CompileOptions, Ensemble, Leaf, Limits, Missing, Model, Node, Parts,
//!     Precision, Test, Transform, Tree, Value, Vote,
//! };
//!
//! // Is the first number at most 0.5? Yes: 1, no: 2.
//! let leaf = |value| Leaf { votes: vec![Vote { target: 0, value: Value::Constant(value) }] };
//! let test = Test::Compare { comparison: Comparison::AtMost, threshold: 0.5 };
//! let node =
//!     Node { id: 0, feature: 0, test, missing: Missing::Nothing, yes: Child::Leaf(0), no: Child::Leaf(1) };
//! let tree =
//!     Tree { id: 0, root: Child::Node(0), nodes: vec![node], leaves: vec![leaf(1.0), leaf(2.0)], weight: 1.0 };
//! let ensemble = Ensemble::new(
//!     Parts {
//!         features: 1,
//!         targets: 1,
//!         trees: vec![tree],
//!         thresholds: Precision::F32,
//!         scores: Precision::F32,
//!         aggregate: Aggregate::Sum,
//!         base: vec![],
//!         base_order: BaseOrder::AfterTrees,
//!         transform: Transform::None,
//!     },
//!     &Limits::default(),
//! )?;
//! let model = Model::compile(&ensemble, &CompileOptions::default())?;
//! let mut scores = [0.0f32; 3];
//! model.predict(&[0.5f32, 0.6, f32::NAN], 1, &mut scores)?;
//! assert_eq!(scores, [1.0, 2.0, 2.0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! It knows neither ONNX's files nor threads: whoever calls it reads the one and has the other.

mod artifact;
mod choose;
mod clock;
mod ensemble;
mod error;
mod jit;
mod layout;
mod limits;
mod lower;
mod model;
mod number;
pub mod onnx;
pub mod reference;
mod scoring;
mod transform;
mod validate;

pub use artifact::{CodeStore, key};
pub use choose::{Candidate, Outcome, Selection};
pub use ensemble::{
    Aggregate, BaseOrder, Child, Comparison, Ensemble, Leaf, Linear, Missing, Node, Parts, Precision, Test, Transform,
    Tree, Value, Vote, ZERO,
};
pub use error::{CompileError, EnsembleError, Place, PredictError};
pub use layout::LayoutKind;
pub use limits::{CompileLimits, Limits};
pub use model::{CompileOptions, Model, Report};
pub use number::{Element, Score};

/// How many rows there are.
///
/// # Errors
/// The sizes do not go together.
fn check_sizes(
    features: usize,
    targets: usize,
    numbers: usize,
    width: usize,
    room: usize,
) -> Result<usize, PredictError> {
    if width < features.max(1) {
        return Err(PredictError::Width { got: width, expected: features.max(1) });
    }
    if !numbers.is_multiple_of(width) {
        return Err(PredictError::Rows { got: numbers, width });
    }
    let rows = numbers / width;
    let expected = rows.saturating_mul(targets);
    if room != expected {
        return Err(PredictError::Room { got: room, rows, targets, expected });
    }
    Ok(rows)
}
