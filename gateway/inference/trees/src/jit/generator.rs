//! Cranelift, set up for functions that call nothing and cannot fail.

use std::time::Duration;

use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::{AbiParam, InstBuilder, Signature, Type, UserFuncName, Value};
use cranelift_codegen::isa::{CallConv, OwnedTargetIsa};
use cranelift_codegen::settings::{self, Configurable, Flags};
use cranelift_codegen::{CodegenError, Context};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};

use super::Program;
use crate::clock::processor_time;
use crate::{CompileError, CompileLimits};

/// Where functions begin: so that the first instructions of each come out of memory together.
const ALIGNMENT: usize = 64;

/// Generates functions, one after the other.
pub(crate) struct Generator<'a> {
    isa: OwnedTargetIsa,
    context: Context,
    builder: FunctionBuilderContext,
    limits: &'a CompileLimits,
    /// Processor time of this thread when it began.
    started: Duration,
    code: Vec<u8>,
    entries: Vec<u32>,
}

impl<'a> Generator<'a> {
    /// For this machine's processor.
    ///
    /// # Errors
    /// [`CompileError::Generator`]
    pub(crate) fn new(limits: &'a CompileLimits) -> Result<Self, CompileError> {
        let isa = isa()?;
        let (context, builder) = (Context::new(), FunctionBuilderContext::new());
        Ok(Self { isa, context, builder, limits, started: processor_time(), code: Vec::new(), entries: Vec::new() })
    }

    pub(crate) fn pointer(&self) -> Type {
        self.isa.pointer_type()
    }

    pub(crate) fn is_x86(&self) -> bool {
        self.isa.name() == "x64"
    }

    /// Generates a function of C's calling convention that returns nothing. `build` gets the arguments, and is in the first
    /// block, which it has to end; the function returns where its last block ends.
    ///
    /// `progress` and `total` count trees, for messages.
    ///
    /// # Errors
    /// [`CompileError::CodeSize`], [`CompileError::CodeTime`] or [`CompileError::Generator`].
    pub(crate) fn function(
        &mut self,
        parameters: &[Type],
        (progress, total): (usize, usize),
        build: impl FnOnce(&mut FunctionBuilder<'_>, &[Value]),
    ) -> Result<(), CompileError> {
        let mut signature = Signature::new(CallConv::triple_default(self.isa.triple()));
        signature.params.extend(parameters.iter().copied().map(AbiParam::new));
        self.context.func.signature = signature;
        self.context.func.name = UserFuncName::user(0, self.entries.len() as u32);
        let mut builder = FunctionBuilder::new(&mut self.context.func, &mut self.builder);
        let entry = builder.create_block();
        builder.append_block_params_for_function_params(entry);
        builder.switch_to_block(entry);
        let arguments = builder.block_params(entry).to_vec();
        build(&mut builder, &arguments);
        builder.ins().return_(&[]);
        builder.seal_all_blocks();
        builder.finalize(self.isa.frontend_config());

        let failed = |error: CodegenError| CompileError::Generator(error.to_string());
        let compiled =
            self.context.compile(&*self.isa, &mut ControlPlane::default()).map_err(|error| failed(error.inner))?;
        if !compiled.buffer.relocs().is_empty() {
            return Err(CompileError::Generator("the code refers to something outside".to_owned()));
        }
        self.code.resize(self.code.len().next_multiple_of(ALIGNMENT), 0);
        self.entries.push(self.code.len() as u32);
        self.code.extend_from_slice(compiled.code_buffer());
        self.context.clear();

        let (bytes, limit) = (self.code.len(), self.limits.code);
        if bytes > limit {
            return Err(CompileError::CodeSize { trees: progress, total, bytes, limit });
        }
        let (took, limit) = (processor_time().saturating_sub(self.started), self.limits.time);
        if took > limit {
            return Err(CompileError::CodeTime { trees: progress, total, took, limit });
        }
        Ok(())
    }

    /// Makes the functions executable.
    ///
    /// # Errors
    /// [`CompileError::Memory`]
    pub(crate) fn finish(self) -> Result<Program, CompileError> {
        Program::new(&self.code, self.entries)
    }
}

fn isa() -> Result<OwnedTargetIsa, CompileError> {
    let mut flags = settings::builder();
    let set = [
        ("opt_level", "speed"),
        // The functions are made by this crate alone, and are tested against the definition.
        ("enable_verifier", "false"),
        ("enable_probestack", "false"),
        ("unwind_info", "false"),
    ];
    for (name, value) in set {
        flags.set(name, value).map_err(|error| CompileError::Generator(error.to_string()))?;
    }
    let builder = cranelift_native::builder().map_err(|reason| CompileError::Generator(reason.to_owned()))?;
    builder.finish(Flags::new(flags)).map_err(|error| CompileError::Generator(error.to_string()))
}

/// What machine code depends on besides the ensemble: versions, settings, and the features of this processor.
///
/// # Errors
/// [`CompileError::Generator`]
pub(crate) fn environment() -> Result<String, CompileError> {
    let isa = isa()?;
    let features: Vec<String> = isa.isa_flags().iter().map(ToString::to_string).collect();
    Ok(format!("{} {} {} {}", cranelift_codegen::VERSION, isa.triple(), isa.flags(), features.join(" ")))
}
