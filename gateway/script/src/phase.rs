//! The points of a request's life at which scripts run, by the names that lua-nginx-module has for them.

use witgate_stage::Hook;

/// A phase of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    Rewrite,
    Access,
    Content,
    Balancer,
    HeaderFilter,
    BodyFilter,
    Log,
}

impl Phase {
    pub const ALL: [Self; 7] =
        [Self::Rewrite, Self::Access, Self::Content, Self::Balancer, Self::HeaderFilter, Self::BodyFilter, Self::Log];

    /// As in the configuration, and what `ngx.get_phase()` tells.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rewrite => "rewrite",
            Self::Access => "access",
            Self::Content => "content",
            Self::Balancer => "balancer",
            Self::HeaderFilter => "header_filter",
            Self::BodyFilter => "body_filter",
            Self::Log => "log",
        }
    }

    /// A bit of its own, for sets of phases.
    pub(crate) const fn bit(self) -> u8 {
        1 << self as u8
    }

    /// Those of a hook, in the order in which they run.
    pub(crate) fn of(hook: Hook) -> &'static [Self] {
        match hook {
            Hook::RequestHeaders => &[Self::Rewrite, Self::Access, Self::Content, Self::Balancer],
            Hook::RequestBody => &[],
            Hook::ResponseHeaders => &[Self::HeaderFilter],
            Hook::ResponseBody => &[Self::BodyFilter],
            Hook::Log => &[Self::Log],
        }
    }
}

/// What a script runs for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    Nothing,
    Phase(Phase),
    Timer,
    Init,
    InitWorker,
}
