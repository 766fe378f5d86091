//! The routes of one host, by path.

use std::collections::HashMap;

use crate::Path;

/// A tree of path segments: a lookup walks the request's path once, however many routes there are.
#[derive(Debug)]
pub struct PathTree<T> {
    root: Node<T>,
}

#[derive(Debug)]
struct Node<T> {
    /// The route of exactly this path.
    exact: Option<T>,
    /// The route of this path and everything below it.
    prefix: Option<T>,
    children: HashMap<Box<str>, Self>,
}

// Derived, these would ask for `T: Default`.
impl<T> Default for PathTree<T> {
    fn default() -> Self {
        Self { root: Node::default() }
    }
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Self { exact: None, prefix: None, children: HashMap::new() }
    }
}

impl<T> PathTree<T> {
    /// Adds a route; gives it back if there is one with this path already. Takes a path in normal form.
    pub fn insert(&mut self, path: &Path, route: T) -> Result<(), T> {
        let segments = match path {
            Path::Exact(path) => path.as_str(),
            Path::Prefix(path) => path.trim_end_matches('/'),
        };
        let mut node = &mut self.root;
        for segment in segments_of(segments) {
            node = node.children.entry(segment.into()).or_default();
        }
        let place = match path {
            Path::Exact(_) => &mut node.exact,
            Path::Prefix(_) => &mut node.prefix,
        };
        match place {
            Some(_) => Err(route),
            None => {
                *place = Some(route);
                Ok(())
            }
        }
    }

    /// The route of exactly this path, or else of the longest prefix in whole segments.
    pub fn find(&self, path: &str) -> Option<&T> {
        let mut node = &self.root;
        let mut longest = node.prefix.as_ref();
        for segment in segments_of(path) {
            let Some(child) = node.children.get(segment) else { return longest };
            node = child;
            longest = node.prefix.as_ref().or(longest);
        }
        node.exact.as_ref().or(longest)
    }
}

/// The segments of a path that are not empty, and an empty one for a slash at the end.
fn segments_of(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty()).chain(path.ends_with('/').then_some(""))
}
