//! Compiled models as bytes, to be kept between runs.
//!
//! What is kept is what takes time: which layout was chosen, and machine code. Tables are made anew from the ensemble.

use sha2::{Digest, Sha256};

use crate::ensemble::{Child, Ensemble, Missing, Test, Tree, Value};
use crate::jit::{self, CodeSource, Trusted};
use crate::{CompileError, CompileLimits, CompileOptions, LayoutKind, Model};

/// Marks the format.
const MAGIC: &[u8; 16] = b"witgate-trees-1\n";
/// Bytes before the first layout.
const HEADER: usize = MAGIC.len() + 32;

/// Keeps what was compiled between runs.
///
/// # Safety
/// [`find`](Self::find) gives nothing but the very bytes that [`keep`](Self::keep) was given for the same key, by this program or
/// by one that it trusts like itself: the machine code in them will be run.
#[expect(unsafe_code, reason = "who implements it vouches for machine code")]
pub unsafe trait CodeStore {
    /// What was kept for a key, if it is there and whole.
    fn find(&self, key: &[u8; 32]) -> Option<Vec<u8>>;

    /// Keeps an artifact for a key. Failing to is no reason not to run the model.
    fn keep(&self, key: &[u8; 32], artifact: &[u8]);
}

/// Digest of all that a compiled model depends on: ensemble, options, versions, and the features of this processor. It stays
/// the same from run to run, so that what was compiled can be found again by it.
///
/// # Errors
/// [`CompileError::Generator`] if Cranelift does not know the processor.
pub fn key(ensemble: &Ensemble, options: &CompileOptions) -> Result<[u8; 32], CompileError> {
    let mut hash = Sha256::new();
    hash.update(MAGIC);
    // Code and tables go together: those of another version of this crate do not.
    hash.update(env!("WITGATE_TREES_SOURCE"));
    hash.update(jit::environment()?);
    // How long compiling may take has no part in what comes out.
    let CompileOptions { rows, selection, limits: CompileLimits { code, tables, time: _ } } = options;
    hash.update(format!("{rows:?} {selection:?} {code} {tables}"));
    let parts = ensemble.parts();
    hash.update(format!(
        "{} {} {:?} {:?} {:?} {:?} {:?} {:?} {}",
        parts.features,
        parts.targets,
        parts.thresholds,
        parts.scores,
        parts.aggregate,
        parts.base,
        parts.base_order,
        parts.transform,
        parts.trees.len(),
    ));
    let mut bytes = Vec::new();
    for tree in &parts.trees {
        bytes.clear();
        write_tree(tree, &mut bytes);
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(&bytes);
    }
    Ok(hash.finalize().into())
}

fn write_tree(tree: &Tree, bytes: &mut Vec<u8>) {
    let number = |bytes: &mut Vec<u8>, number: f64| bytes.extend(number.to_bits().to_le_bytes());
    let count = |bytes: &mut Vec<u8>, count: usize| bytes.extend((count as u64).to_le_bytes());
    let child = |bytes: &mut Vec<u8>, child: Child| {
        let (kind, index) = match child {
            Child::Node(index) => (0, index),
            Child::Leaf(index) => (1, index),
        };
        bytes.push(kind);
        bytes.extend(index.to_le_bytes());
    };
    child(bytes, tree.root);
    number(bytes, tree.weight);
    count(bytes, tree.nodes.len());
    for node in &tree.nodes {
        bytes.extend(node.feature.to_le_bytes());
        bytes.push(match node.missing {
            Missing::Nothing => 0,
            Missing::NanAsZero => 1,
            Missing::Nan { yes } => 2 + u8::from(yes),
            Missing::NanOrZero { yes } => 4 + u8::from(yes),
        });
        match &node.test {
            Test::Compare { comparison, threshold } => {
                bytes.push(*comparison as u8);
                number(bytes, *threshold);
            }
            Test::Member(members) => {
                bytes.push(100);
                count(bytes, members.len());
                members.iter().for_each(|member| number(bytes, *member));
            }
            Test::Category(words) => {
                bytes.push(101);
                count(bytes, words.len());
                words.iter().for_each(|word| bytes.extend(word.to_le_bytes()));
            }
        }
        child(bytes, node.yes);
        child(bytes, node.no);
    }
    count(bytes, tree.leaves.len());
    for leaf in &tree.leaves {
        count(bytes, leaf.votes.len());
        for vote in &leaf.votes {
            bytes.extend(vote.target.to_le_bytes());
            match &vote.value {
                Value::Constant(value) => {
                    bytes.push(0);
                    number(bytes, *value);
                }
                Value::Linear(linear) => {
                    bytes.push(1);
                    number(bytes, linear.intercept);
                    number(bytes, linear.otherwise);
                    count(bytes, linear.terms.len());
                    for (feature, coefficient) in &linear.terms {
                        bytes.extend(feature.to_le_bytes());
                        number(bytes, *coefficient);
                    }
                }
            }
        }
    }
}

impl Model {
    /// As [`compile`](Self::compile), by what is kept of an earlier run if there is something; else keeps what is made.
    ///
    /// # Errors
    /// As [`compile`](Self::compile). What is kept and cannot be used is compiled anew.
    pub fn compile_kept(
        ensemble: &Ensemble,
        options: &CompileOptions,
        store: &dyn CodeStore,
    ) -> Result<Self, CompileError> {
        let key = key(ensemble, options)?;
        if let Some(artifact) = store.find(&key) {
            #[expect(unsafe_code, reason = "what is in there is run")]
            // SAFETY: a store gives what it was given for the key, and only this function gives it something.
            let restored = unsafe { Self::restore(ensemble, options, &key, &artifact) };
            if let Ok(model) = restored {
                return Ok(model);
            }
        }
        let model = Self::compile(ensemble, options)?;
        store.keep(&key, &model.artifact(&key));
        Ok(model)
    }

    /// What to keep so that [`restore`](Self::restore) needs neither measure nor compile. `key` is what [`key`] has returned
    /// for the ensemble and the options that it was compiled with.
    pub fn artifact(&self, key: &[u8; 32]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(key);
        let [one, many] = self.stored();
        // What is the same is kept once.
        let many = if many.0 == one.0 { (many.0, None) } else { many };
        for (kind, code) in [one, many] {
            let code = code.unwrap_or_default();
            bytes.push(LayoutKind::ALL.iter().position(|known| *known == kind).unwrap_or_default() as u8);
            bytes.extend((code.len() as u64).to_le_bytes());
            bytes.extend(code);
        }
        bytes
    }

    /// Makes a model from what was kept of it.
    ///
    /// # Errors
    /// [`CompileError::Artifact`] if it is of another ensemble, other options, another version or another kind of processor
    /// (`key` differs), or cut off; else as [`compile`](Self::compile) does.
    ///
    /// # Safety
    /// `artifact` has to be what [`artifact`](Self::artifact) has returned: the machine code in it will be run. It must come
    /// from where only this program can write, and be whole.
    #[expect(unsafe_code, reason = "what is in there is run")]
    pub unsafe fn restore(
        ensemble: &Ensemble,
        options: &CompileOptions,
        key: &[u8; 32],
        artifact: &[u8],
    ) -> Result<Self, CompileError> {
        let (header, mut rest) = artifact.split_at_checked(HEADER).ok_or(CompileError::Artifact("it is cut off"))?;
        let found = header.strip_prefix(MAGIC).ok_or(CompileError::Artifact("it has another format"))?;
        if found != key {
            return Err(CompileError::Artifact("it was made for something else"));
        }
        let mut layout = || {
            let cut_off = CompileError::Artifact("it is cut off");
            let Some((kind, after)) = rest.split_first() else { return Err(cut_off) };
            let Some((length, after)) = after.split_first_chunk::<8>() else { return Err(cut_off) };
            let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
            let Some((code, after)) = after.split_at_checked(length) else { return Err(cut_off) };
            let Some(kind) = LayoutKind::ALL.get(usize::from(*kind)) else { return Err(cut_off) };
            rest = after;
            // SAFETY: the caller promises that the bytes are those of a model, and the key says of which.
            let code = unsafe { Trusted::new(code) };
            Ok((*kind, CodeSource::Stored(code)))
        };
        let stored = [layout()?, layout()?];
        Self::build(ensemble, options, Some(stored))
    }
}
