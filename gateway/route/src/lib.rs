//! From a request's host and path to the best route. Pure: no I/O, no clock, no state.
//!
//! [`host_of`](witgate_http::host::host_of) and [`normalise`](witgate_http::path::normalise) bring what a client sent into the one form that routes are compared in; both borrow when
//! there is nothing to change. [`RouteTable::find`] then answers without allocating, in time that grows with the labels
//! of the host and the segments of the path, not with the number of routes.
//!
//! # Precedence
//! Of all routes whose matcher holds, one wins, and the order in which they were written never decides:
//!
//! 1. *Host*: exact name, then the wildcard with the longest suffix, then no host at all. The host comes first, because
//!    a host is usually somebody's: a route for `*.example.com` must not take a path away from `shop.example.com`.
//! 2. *Path*, among the routes of that host: exact, then the longest prefix in whole segments.
//!
//! A host whose routes do not match the path does not end the search: the next less specific host is asked, as in the
//! Kubernetes Gateway API, where the most specific host *that has a match* wins. So a catch-all route (`/health` on
//! any host) also serves hosts that have routes of their own; a host that wants to answer everything itself says so with
//! a prefix of `/`.
//!
//! Two routes with equal matchers would leave the winner to chance; [`RouteTable::build`] refuses them.
//!
//! # Empty segments
//! `//` stays in the path that goes upstream, because there are services (object stores) to which it means something.
//! For *matching*, empty segments are skipped: to most services `//admin` is `/admin`, and must not reach them by a route
//! that is less strict. A slash at the end counts for exact paths (`/a` and `/a/` are two), and not for prefixes.
//!
//! ```
//! use witgate_http::{host::host_of, path::normalise};
//! use witgate_route::{Host, Matcher, Path, RouteTable};
//!
//! let table = RouteTable::build([
//!     (Matcher { host: None, path: Path::Prefix("/".into()) }, "default"),
//!     (Matcher { host: Some(Host::Wildcard("example.com".into())), path: Path::Prefix("/api".into()) }, "api"),
//! ])?;
//! let host = host_of("Shop.Example.com:8080")?;
//! let path = normalise("/api/v1/../v2")?;
//! assert_eq!(path, "/api/v2");
//! assert_eq!(table.find(Some(&host), &path), Some(&"api"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod table;
mod tree;

pub use table::{BuildError, Host, Matcher, Path, RouteTable};
