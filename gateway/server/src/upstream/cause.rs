//! Why an attempt failed: a fixed set, for these are labels of a metric.

/// What an endpoint did, or did not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// It refused the connection: nobody listens there.
    Refused,
    /// The connection was not set up in time.
    ConnectTimeout,
    /// No connection for another reason: no way there, say.
    Unreachable,
    /// No connection because of TLS: another name, an unknown authority, no common version.
    Tls,
    /// The gateway itself had no socket to spare: not the endpoint's fault.
    Local,
    /// It closed the connection before its response was complete.
    Closed,
    /// It reset the connection, or the stream.
    Reset,
    /// It sent something that is not HTTP, or a body that is none.
    Invalid,
    /// It was silent for too long while it owed a response.
    ReadTimeout,
    /// It took nothing of the request for too long.
    WriteTimeout,
    /// The request's deadline passed while it was the endpoint's turn.
    Deadline,
}

impl Cause {
    /// In the order of the variants.
    pub const ALL: [Self; 11] = [
        Self::Refused,
        Self::ConnectTimeout,
        Self::Unreachable,
        Self::Tls,
        Self::Local,
        Self::Closed,
        Self::Reset,
        Self::Invalid,
        Self::ReadTimeout,
        Self::WriteTimeout,
        Self::Deadline,
    ];

    /// Value of the label `cause`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::ConnectTimeout => "connect_timeout",
            Self::Unreachable => "unreachable",
            Self::Tls => "tls",
            Self::Local => "local",
            Self::Closed => "closed",
            Self::Reset => "reset",
            Self::Invalid => "invalid",
            Self::ReadTimeout => "read_timeout",
            Self::WriteTimeout => "write_timeout",
            Self::Deadline => "deadline",
        }
    }

    /// Whether there was no connection, on the endpoint's account: nothing was sent, so the next endpoint can have the
    /// request, and the one after it should not be sent here for a while.
    pub fn is_unreachable(self) -> bool {
        matches!(self, Self::Refused | Self::ConnectTimeout | Self::Unreachable | Self::Tls)
    }

    pub(super) fn index(self) -> usize {
        self as usize
    }

    pub(super) fn from_index(index: usize) -> Option<Self> {
        Self::ALL.get(index).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_has_its_own_place_and_label() {
        for (index, cause) in Cause::ALL.into_iter().enumerate() {
            assert_eq!((cause.index(), Cause::from_index(index)), (index, Some(cause)));
            assert_eq!(Cause::ALL.iter().filter(|other| other.label() == cause.label()).count(), 1, "{cause:?}");
        }
    }
}
