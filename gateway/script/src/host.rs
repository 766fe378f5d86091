//! What all scripts of a process have in common, and what outlives a reload.

use std::sync::{Arc, Weak};

use mlua::LuaOptions;
use mlua::prelude::*;
use parking_lot::Mutex;
use tracing::warn;

use crate::ScriptError;
use crate::app::{App, AppHandle, AppSpec, Chunk};
use crate::dict::Dictionaries;
use crate::error::{Concern, Mistake};
use crate::script::{Script, ScriptSpec};
use crate::subrequest::Subrequests;
use crate::usage::SyntaxError;
use crate::vm::{Vm, describe};
use crate::{native, watchdog};

/// Makes apps and scripts, and keeps those that have not changed.
pub struct ScriptHost {
    workers: usize,
    dicts: Dictionaries,
    subrequests: Option<Arc<dyn Subrequests>>,
    apps: Mutex<Vec<Weak<AppHandle>>>,
    scripts: Mutex<Vec<Weak<Script>>>,
}

impl ScriptHost {
    /// `workers`: proxy threads, each of which makes VMs of its own. `subrequests`: what serves requests to routes.
    ///
    /// # Errors
    /// The thread that watches scripts cannot be started.
    pub fn new(workers: usize, subrequests: Option<Arc<dyn Subrequests>>) -> std::io::Result<Self> {
        watchdog::start()?;
        if !watchdog::stops_compiled_code() {
            warn!(
                "LuaJIT was built without LUAJIT_ENABLE_CHECKHOOK, so scripts are not compiled: build with the repository's \
                 .cargo/config.toml, and leave CFLAGS alone"
            );
        }
        Ok(Self {
            workers,
            dicts: Dictionaries::default(),
            subrequests,
            apps: Mutex::default(),
            scripts: Mutex::default(),
        })
    }

    /// An app of these settings: the one that there is, or a new one, whose `init` has been tried.
    ///
    /// # Errors
    /// `init` cannot be compiled or fails, or a setting is of no use.
    pub fn app(&self, spec: AppSpec) -> Result<Arc<AppHandle>, Mistake> {
        let mut apps = self.apps.lock();
        apps.retain(|app| app.strong_count() > 0);
        if let Some(present) = apps.iter().filter_map(Weak::upgrade).find(|present| present.app.spec == spec) {
            return Ok(present);
        }
        for library in &spec.libraries {
            native::load_for_all(library).map_err(|message| Mistake {
                concern: Concern::Vm,
                line: None,
                message: format!("`libraries`: {message}"),
                help: "name a shared library that is installed, such as \"libcrypto.so.3\"".to_owned(),
            })?;
        }
        let dicts = spec.dicts.iter().map(|(name, size)| (name.clone(), self.dicts.open(name, *size))).collect();
        let subrequests = self.subrequests.clone().filter(|_| spec.routes);
        let handle = Arc::new(App::begin(spec, dicts, subrequests, self.workers));
        try_out(&handle.app)?;
        apps.push(Arc::downgrade(&handle));
        Ok(handle)
    }

    /// Apps that a generation has.
    pub fn apps(&self) -> Vec<Arc<AppHandle>> {
        self.apps.lock().iter().filter_map(Weak::upgrade).collect()
    }

    /// Gives shared dictionaries the sizes of a configuration that is in force now.
    pub fn resize(&self, sizes: impl Iterator<Item = (String, usize)>) {
        for (name, size) in sizes {
            self.dicts.open(&name, size).resize(size);
        }
    }

    /// A script of these chunks for an app: the one that there is, or a new one, which has been compiled.
    ///
    /// # Errors
    /// A chunk cannot be compiled.
    pub fn script(&self, spec: ScriptSpec, app: &Arc<AppHandle>) -> Result<Arc<Script>, Mistake> {
        let mut scripts = self.scripts.lock();
        scripts.retain(|script| script.strong_count() > 0);
        let mut present = scripts.iter().filter_map(Weak::upgrade);
        if let Some(present) = present.find(|present| present.spec == spec && Arc::ptr_eq(&present.app, app)) {
            return Ok(present);
        }
        for (phase, chunk) in &spec.phases {
            compile(&chunk.source, &chunk.name).map_err(|message| Mistake {
                concern: Concern::Phase(*phase),
                line: SyntaxError::of(&message, &chunk.name).line,
                message: format!("`{}` cannot be compiled: {message}", phase.name()),
                help: "correct the script; `witgate lua check` tells more".to_owned(),
            })?;
        }
        let script = Arc::new(Script::new(spec, Arc::clone(app)));
        scripts.push(Arc::downgrade(&script));
        Ok(script)
    }
}

/// Makes a VM as proxy threads will.
fn try_out(app: &Arc<App>) -> Result<(), Mistake> {
    if let Some(chunk) = &app.spec.init_worker {
        compile(&chunk.source, &chunk.name).map_err(|message| Mistake {
            concern: Concern::InitWorker,
            line: SyntaxError::of(&message, &chunk.name).line,
            message: format!("`init_worker` cannot be compiled: {message}"),
            help: "correct the script".to_owned(),
        })?;
    }
    match Vm::new(app) {
        Ok(_) => Ok(()),
        Err(error) => Err(Mistake {
            concern: if app.spec.init.is_some() { Concern::Init } else { Concern::Vm },
            line: app.spec.init.as_ref().and_then(|chunk| line_of(&error, chunk)),
            message: format!("`init` failed: {error}"),
            help: "correct the script, or what it needs".to_owned(),
        }),
    }
}

/// The line of a chunk at which it failed, if it was in the chunk itself.
fn line_of(error: &ScriptError, chunk: &Chunk) -> Option<usize> {
    match error {
        ScriptError::Runtime(message) | ScriptError::Start(message) => SyntaxError::of(message, &chunk.name).line,
        _ => None,
    }
}

/// Compiles a chunk and forgets it.
///
/// # Errors
/// What is wrong with it, with its line.
pub(crate) fn compile(source: &[u8], name: &str) -> Result<(), String> {
    let lua = Lua::new_with(mlua::StdLib::NONE, LuaOptions::default()).map_err(|error| error.to_string())?;
    Vm::compile(&lua, source, name).map(drop).map_err(|error| describe(&error))
}
