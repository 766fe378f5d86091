//! What moves by itself about upstreams, and therefore is in no generation: how their endpoints fare, whose turn it is, and
//! what their names stand for.
//!
//! A generation holds handles: a [`Group`] of endpoints, each with its [`EndpointState`] out of the [`Registry`], which is
//! the same one after a reload. A request picks ([`Group::pick`]) and tells what became of each [`Attempt`]; whatever it
//! touches on the way are atomics. A few rules make up the whole:
//!
//! * endpoints take turns, and no request draws one twice;
//! * one that could not be reached is passed over for a backoff that doubles; when that is over a single request tries it;
//! * if nothing else is left, those that are passed over are tried all the same: no request is refused without an attempt;
//! * what reached an endpoint and failed then is counted, and said to fail after a few in a row, but not passed over: it
//!   may be the request's fault, and a client must not be able to take endpoints away from others.
//!
//! Knows neither the configuration file nor how connections are made.

mod cause;
mod group;
mod registry;
mod resolve;
mod state;

pub use cause::Cause;
pub use group::{Attempt, Group, Member, Pick};
pub use registry::{EndpointFigures, NameFigures, Registry};
pub use resolve::{Answer, Lookup, Name, Resolve, System, look_up};
pub use state::{EndpointKey, EndpointState, Patience};
