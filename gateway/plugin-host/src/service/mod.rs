//! What plugins share and what outlives a generation: state, rates, load and keys. Nothing here knows of WASM.

mod bucket;
mod cpu;
mod keys;
mod kv;
mod load;
mod metric;
mod outbound;
mod registry;
mod score;
mod surroundings;

pub use bucket::{Bucket, BucketSpec, Decision};
pub use keys::{HashKind, HmacKey, KeySet, digest};
pub use load::{Admission, LoadLimits, LoadScope, LoadSignal};
pub use metric::{Measure, MetricError, MetricSink};
pub use outbound::{OutboundCall, OutboundError, OutboundFuture, OutboundReply, OutboundTarget};
pub use score::{ScoreError, ScoreFuture, ScoreTarget, ScoreTensor, Scores};
pub(crate) use surroundings::machine_nanos;
pub use surroundings::{Simulation, Surroundings};

pub(crate) use cpu::{CpuMeter, CpuSampler, process_time};
pub(crate) use kv::{KvError, Namespace};
pub(crate) use load::InFlight;
pub(crate) use registry::Registry;
