//! `[inference]`: what runs models, and on which threads.

use crate::kind::{At, FilePath, List, Number, RuntimeLibrary};
use crate::source::Read;
use crate::table::{Key, Reload, Section, Table};
use crate::{Inference, ModelRuntime};

const SECTION: Section = Section {
    name: "inference",
    reload: Reload::Restart,
    doc: "What runs models, and on which threads; for all `[models.NAME]` together.",
};

/// Scores are wanted within milliseconds, but never at the cost of requests that need none.
const NICENESS: u32 = 5;
/// A model that is loaded and forgotten costs memory for as long as the process runs.
const LOADED_LIMIT: u32 = 32;

const RUNTIME: Key<RuntimeLibrary> = Key {
    name: "runtime",
    kind: RuntimeLibrary,
    example: "\"/opt/onnxruntime/libonnxruntime.so\"",
    doc: "What runs models. `\"embedded\"`: the gateway itself, with trees in machine code; what it does not know is \
          refused when a model is loaded. A path: that library of ONNX Runtime, which `witgate model runtime install` fetches; if it cannot be \
          loaded, the gateway does not start. `\"auto\"`: the library that was installed so, or else the embedded one; the \
          log says which.",
};

const THREADS: Key<Number> = Key {
    name: "threads",
    kind: Number { least: 1, most: 256 },
    example: "2",
    doc: "Threads that run models, besides those of the proxy. Without it, one fewer than there are processors, and at least \
          one: so a slow model leaves one to requests that need none.",
};

const NICE: Key<Number> = Key {
    name: "niceness",
    kind: Number { least: 0, most: 19 },
    example: "5",
    doc: "How far those threads stand back behind the proxy's when processors are scarce (nice(2)): so a slow model does not \
          slow requests down that need none, as far as the system's scheduler tells the gateway's threads apart. 0: not at \
          all.",
};

const ROOTS: Key<List<At<FilePath>>> = Key {
    name: "model_roots",
    kind: List { kind: At(FilePath), least: 0, most: 16 },
    example: "[\"models\"]",
    doc: "Directories below which models may be loaded on request: over the admin listener, or a route with \
          `model_control = \"allowed\"`. Without it, none can.",
};

const LOADED: Key<Number> = Key {
    name: "loaded_limit",
    kind: Number { least: 1, most: 10_000 },
    example: "32",
    doc: "Models that can be loaded on request at once, versions counted apart: they take memory until they are unloaded.",
};

pub(super) fn read(root: &mut Table<'_>) -> Read<Inference> {
    root.section_or_default(&SECTION, |table| {
        let runtime = table.or(&RUNTIME, ModelRuntime::Embedded);
        let threads = table.optional(&THREADS);
        let niceness = table.or(&NICE, NICENESS);
        let model_roots = table.optional(&ROOTS).map(Option::unwrap_or_default);
        let loaded_limit = table.or(&LOADED, LOADED_LIMIT);
        Ok(Inference {
            runtime: runtime?,
            threads: threads?.map(|threads| threads as usize),
            niceness: niceness?,
            model_roots: model_roots?,
            loaded_limit: loaded_limit? as usize,
        })
    })
}
