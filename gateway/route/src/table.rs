//! All routes of a generation.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;

use witgate_http::host::{HostError, host_name};
use witgate_http::path::{PathError, normalise};

use crate::tree::PathTree;

/// When a route applies.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Matcher {
    /// None: any host, and requests without one.
    pub host: Option<Host>,
    pub path: Path,
}

/// A condition on the request's host, without port; upper and lower case are the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// A name or an IP address (IPv6 without brackets).
    Exact(String),
    /// `example.com` for `*.example.com`: the names that have at least one more label, not `example.com` itself.
    Wildcard(String),
}

/// A condition on the request's path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Path {
    Exact(String),
    /// In whole segments: `/a` matches `/a`, `/a/` and `/a/b`, not `/ab`. `/` matches every path.
    Prefix(String),
}

/// Why a table cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    #[error("two routes match {0}")]
    Duplicate(Matcher),
    #[error("no request can match {matcher}: {reason}")]
    Host { matcher: Matcher, reason: HostError },
    #[error("no request can match {matcher}: {reason}")]
    Path { matcher: Matcher, reason: PathError },
}

/// Routes, found by host and path; see the crate's documentation for who wins.
#[derive(Debug)]
pub struct RouteTable<T> {
    exact: HashMap<Box<str>, PathTree<T>>,
    /// By suffix, without `*.`.
    wildcard: HashMap<Box<str>, PathTree<T>>,
    any: PathTree<T>,
}

impl<T> RouteTable<T> {
    /// Builds a table. Hosts and paths are brought into their normal form first, since only that is ever looked up.
    ///
    /// # Errors
    /// Two routes have the same matcher, or one has a matcher that no request could match.
    pub fn build(routes: impl IntoIterator<Item = (Matcher, T)>) -> Result<Self, BuildError> {
        let mut table = Self { exact: HashMap::new(), wildcard: HashMap::new(), any: PathTree::default() };
        for (matcher, route) in routes {
            let matcher = normal(matcher)?;
            let tree = match &matcher.host {
                Some(Host::Exact(name)) => table.exact.entry(name.as_str().into()).or_default(),
                Some(Host::Wildcard(suffix)) => table.wildcard.entry(suffix.as_str().into()).or_default(),
                None => &mut table.any,
            };
            if tree.insert(&matcher.path, route).is_err() {
                return Err(BuildError::Duplicate(matcher));
            }
        }
        Ok(table)
    }

    /// The best route for a host as [`host_of`](witgate_http::host::host_of) gives it and a path as [`normalise`] gives it.
    /// Allocates nothing.
    pub fn find(&self, host: Option<&str>, path: &str) -> Option<&T> {
        host.and_then(|host| self.find_by_host(host, path)).or_else(|| self.any.find(path))
    }

    fn find_by_host(&self, host: &str, path: &str) -> Option<&T> {
        if let Some(route) = self.exact.get(host).and_then(|tree| tree.find(path)) {
            return Some(route);
        }
        if self.wildcard.is_empty() {
            return None;
        }
        suffixes(host).find_map(|suffix| self.wildcard.get(suffix)?.find(path))
    }
}

/// What follows each dot of a host, longest first.
fn suffixes(host: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(host.split_once('.'), |(_, rest)| rest.split_once('.')).map(|(_, suffix)| suffix)
}

fn normal(matcher: Matcher) -> Result<Matcher, BuildError> {
    let host = match &matcher.host {
        Some(Host::Exact(name)) => normal_host(name).map(|name| Some(Host::Exact(name.into_owned()))),
        Some(Host::Wildcard(suffix)) => host_name(suffix).map(|name| Some(Host::Wildcard(name.into_owned()))),
        None => Ok(None),
    };
    let host = host.map_err(|reason| BuildError::Host { matcher: matcher.clone(), reason })?;
    let path = match &matcher.path {
        Path::Exact(path) => normalise(path).map(|path| Path::Exact(path.into_owned())),
        Path::Prefix(path) => normalise(path).map(|path| Path::Prefix(path.into_owned())),
    };
    let path = path.map_err(|reason| BuildError::Path { matcher: matcher.clone(), reason })?;
    Ok(Matcher { host, path })
}

fn normal_host(name: &str) -> Result<Cow<'_, str>, HostError> {
    match name.parse::<IpAddr>() {
        Ok(address) => Ok(Cow::Owned(address.to_string())),
        Err(_) => host_name(name),
    }
}

/// As in `` host `*.example.com`, path prefix `/api` ``.
impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Some(Host::Exact(name)) => write!(f, "host `{name}`, ")?,
            Some(Host::Wildcard(suffix)) => write!(f, "host `*.{suffix}`, ")?,
            None => f.write_str("any host, ")?,
        }
        match &self.path {
            Path::Exact(path) => write!(f, "path `{path}`"),
            Path::Prefix(path) => write!(f, "path prefix `{path}`"),
        }
    }
}
