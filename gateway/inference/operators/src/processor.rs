//! The widest instructions that the processor has.
//!
//! What is built for any processor of a family uses what all of them have, of x86-64 two numbers of 64 bits at a time. Work
//! that is worth it is built for newer ones, too, and the best that is there is chosen when it is run.

use std::sync::LazyLock;

/// What a build of some work may count on.
pub(crate) trait Processor {
    /// Whether a product is added without being rounded in one instruction. Where products are exact, as those of 32-bit
    /// numbers in 64 bits are, that makes no difference to the sum.
    const FUSED: bool;
    /// Numbers of 64 bits that are dealt with at one time.
    const LANES: usize;
}

/// What all processors have.
pub(crate) struct Any;

impl Processor for Any {
    const FUSED: bool = cfg!(target_arch = "aarch64");
    const LANES: usize = 2;
}

/// x86-64 since 2013.
#[cfg(target_arch = "x86_64")]
pub(crate) struct Avx2;

#[cfg(target_arch = "x86_64")]
impl Processor for Avx2 {
    const FUSED: bool = true;
    const LANES: usize = 4;
}

/// Most of x86-64 servers since 2017.
#[cfg(target_arch = "x86_64")]
pub(crate) struct Avx512;

#[cfg(target_arch = "x86_64")]
impl Processor for Avx512 {
    const FUSED: bool = true;
    const LANES: usize = 8;
}

/// What is built for each kind of processor. All of it has to be inlined.
pub(crate) trait Work {
    type Output;

    fn run<P: Processor>(self) -> Self::Output;
}

/// A kind of processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Any,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

/// What this processor is: asked once, as work of some nanoseconds asks for it.
static LEVEL: LazyLock<Level> = LazyLock::new(best);

fn best() -> Level {
    #[cfg(target_arch = "x86_64")]
    {
        let is_avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        let is_avx512 = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512bw");
        if is_avx2 && is_avx512 {
            return Level::Avx512;
        }
        if is_avx2 {
            return Level::Avx2;
        }
    }
    Level::Any
}

/// Runs work as the processor does it best.
#[inline]
pub(crate) fn run<W: Work>(work: W) -> W::Output {
    run_at(Best(*LEVEL), work)
}

/// A level that this processor has.
#[derive(Debug, Clone, Copy)]
struct Best(Level);

#[inline]
fn run_at<W: Work>(Best(level): Best, work: W) -> W::Output {
    match level {
        Level::Any => work.run::<Any>(),
        #[cfg(target_arch = "x86_64")]
        #[expect(unsafe_code, reason = "an instruction that is not there would end the process")]
        // SAFETY: `best` has seen that the processor has these instructions.
        Level::Avx2 => unsafe { with_avx2(work) },
        #[cfg(target_arch = "x86_64")]
        #[expect(unsafe_code, reason = "an instruction that is not there would end the process")]
        // SAFETY: as above.
        Level::Avx512 => unsafe { with_avx512(work) },
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn with_avx2<W: Work>(work: W) -> W::Output {
    work.run::<Avx2>()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,avx512f,avx512vl,avx512dq,avx512bw")]
fn with_avx512<W: Work>(work: W) -> W::Output {
    work.run::<Avx512>()
}

/// Runs the same work as each kind of processor does it, as far as this one can.
#[cfg(test)]
pub(crate) fn run_at_all_levels<W: Work>(mut work: impl FnMut() -> W) -> Vec<W::Output> {
    let levels = [
        Level::Any,
        #[cfg(target_arch = "x86_64")]
        Level::Avx2,
        #[cfg(target_arch = "x86_64")]
        Level::Avx512,
    ];
    levels.into_iter().map(|level| run_at(Best(level.min(best())), work())).collect()
}
