//! Paths of files and directories.

use std::path::PathBuf;

use super::Kind;
use crate::node::Node;
use crate::source::Read;

/// Longest path that Linux opens (PATH_MAX).
const LENGTH_LIMIT: usize = 4096;

/// A path; a relative one starts from the directory of the configuration.
pub(crate) struct FilePath;

impl Kind for FilePath {
    type Value = PathBuf;

    fn expected(&self) -> String {
        "the path of a file or directory".into()
    }

    fn read(&self, node: &Node<'_>) -> Read<PathBuf> {
        let possible = |text: &&str| !text.is_empty() && text.len() < LENGTH_LIMIT && !text.contains('\0');
        match node.text().filter(possible) {
            Some(text) => Ok(node.source.directory().join(text)),
            None => Err(node.wrong(
                &self.expected(),
                "write a string such as \"files/example\", relative to the directory of this file, or an absolute path",
            )),
        }
    }
}
