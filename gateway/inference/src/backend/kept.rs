//! Compiled trees that are kept between runs.

use witgate_code_cache::{CodeCache, hex};
use witgate_trees::{CodeStore, CompileError, CompileOptions, Ensemble, Model};

/// Compiled trees in a directory.
pub(crate) struct Kept<'c>(pub &'c CodeCache);

impl Kept<'_> {
    fn name(key: &[u8; 32]) -> String {
        hex(key)
    }
}

#[expect(unsafe_code, reason = "what is kept is machine code")]
// SAFETY: the cache gives the very bytes that it was given under a name, out of a directory that only this user can write to,
// and names are the keys.
unsafe impl CodeStore for Kept<'_> {
    fn find(&self, key: &[u8; 32]) -> Option<Vec<u8>> {
        self.0.find(&Self::name(key))
    }

    fn keep(&self, key: &[u8; 32], artifact: &[u8]) {
        self.0.keep(&Self::name(key), artifact);
    }
}

/// Compiles trees, or finds what was compiled before.
pub(crate) fn compile(
    ensemble: &Ensemble,
    options: &CompileOptions,
    code: Option<&CodeCache>,
) -> Result<Model, CompileError> {
    match code {
        Some(code) => Model::compile_kept(ensemble, options, &Kept(code)),
        None => Model::compile(ensemble, options),
    }
}
