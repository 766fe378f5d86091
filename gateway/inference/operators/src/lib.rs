//! Runs ONNX operators by their definition.
//!
//! For models of tables and texts, from one row to a few thousand rows: scalers, encoders, linear models, support vector
//! machines, small networks, and what exporters put around them. It knows neither files nor threads nor clocks: who calls
//! it gives it nodes and values, and gets values back.
//!
//! * [`Tensor`], [`Value`]: what goes in and comes out.
//! * [`Operator`]: one node, its attributes checked when it is made.
//! * [`Graph`]: nodes in their order, constants computed ahead, memory planned.
//! * [`External`]: how operators of other crates take part, ensembles of trees for instance.
//! * [`Limits`]: what a run may use.
//!
//! **What can be relied on.** An answer is the one that ONNX defines, or there is an error: nothing panics, and a node that
//! ONNX's reference and ONNX Runtime understand differently is refused where no text decides. Whole numbers wrap around,
//! as in `numpy`. Numbers with fractions are computed in 64 bits within a node and rounded once to the type of the output,
//! sums in an order that shapes alone decide, mostly that of the elements; for elements of 64 bits, sums along axes keep
//! what rounding loses. NaN is neither lost nor made: largest and smallest of numbers with NaN is NaN. The same inputs give
//! the same bits on any machine, and a row the same in any batch, up to what the machine's library of mathematics makes of
//! logarithms, powers and angles.
//!
//! ```
//! use witgate_operators::{Attributes, Budget, Data, Operator, Shape, Source, Tensor, Value};
//!
//! let softmax = Operator::new("", "Softmax", 21, &Attributes::new(), &[Source::Dynamic], &[true])?;
//! let scores = Tensor::new(Shape::new(&[1, 2])?, Data::Float32(vec![1.0, 1.0]))?;
//! let shares = softmax.run(&[Value::Tensor(scores)], &mut Budget::default())?;
//! assert_eq!(shares[0].tensor().map(Tensor::data), Some(&Data::Float32(vec![0.5, 0.5])));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "operators convert numbers as ONNX says"
)]
#![allow(
    clippy::clone_on_copy,
    clippy::unnecessary_fallible_conversions,
    clippy::useless_conversion,
    reason = "macros write the same code for elements of all types"
)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        reason = "a test ends at the first surprise"
    )
)]

mod attention;
pub mod attribute;
mod broadcast;
mod combine;
mod common;
mod control;
mod convolution;
mod detection;
mod elementwise;
mod error;
mod generate;
pub mod graph;
mod layout;
mod limits;
mod linear;
mod lines;
mod loss;
mod ml;
mod normalize;
mod operator;
mod pick;
mod pool;
mod processor;
mod quantized;
mod recurrent;
mod reduce;
mod resize;
mod sequence;
mod shape;
mod signal;
mod special;
mod text;
mod value;
mod view;
mod window;

pub use attribute::{Attribute, Attributes};
pub use error::{BuildError, GraphError, OperatorError, RunError};
pub use graph::{Graph, GraphSpec, Node};
pub use limits::{BYTE_LIMIT, Budget, ELEMENT_LIMIT, Limits, WORK_LIMIT};
pub use operator::{
    Definition, External, Input, Inputs, Kernel, Lookup, Operator, Outputs, Setup, Source, all, lookup,
};
pub use shape::{RANK_LIMIT, Shape, ShapeError, VOLUME_LIMIT};
pub use value::{Data, DataType, Keys, Map, Tensor, TensorError, Value};
