//! What a request can be like: the dimensions of the matrix, their values, and which of these cannot meet.

use std::fmt;

macro_rules! dimension {
    ($(#[$about:meta])* $name:ident { $($(#[$value_about:meta])* $value:ident = $label:literal,)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$value_about])* $value,)* }

        impl $name {
            pub const ALL: &[Self] = &[$(Self::$value,)*];

            pub fn label(self) -> &'static str {
                match self { $(Self::$value => $label,)* }
            }
        }
    };
}

dimension! {
    /// What the client speaks.
    Client {
        Http10 = "http1.0",
        Http11 = "http1.1",
        /// With prior knowledge.
        Http2 = "http2",
    }
}

dimension! {
    /// What the client sends behind its head.
    Upload {
        None = "none",
        /// A few bytes, whose number the head tells.
        Length = "length",
        /// In pieces, and nobody knows how many.
        Stream = "stream",
        /// None, and the head says so.
        Empty = "empty",
        /// More than any buffer on the way takes.
        Large = "large",
        Trailers = "trailers",
        /// `Expect: 100-continue`.
        Expect = "expect",
    }
}

dimension! {
    /// What the upstream, or whoever answers in its place, says.
    Reply {
        Length = "length",
        Stream = "stream",
        /// Ended by the end of the connection.
        UntilClose = "until-close",
        NoContent = "204",
        NotModified = "304",
        /// To a HEAD.
        Head = "head",
        Trailers = "trailers",
        /// A 103 comes before it.
        Interim = "interim",
        /// Each piece is sent when the client has the one before.
        Slow = "slow",
        /// The upstream breaks off in the middle.
        Broken = "broken",
        /// More than any buffer on the way takes.
        Huge = "huge",
    }
}

dimension! {
    /// What is on the route.
    Stage {
        None = "none",
        /// A plugin that edits both heads.
        Heads = "heads",
        /// A plugin that has the request's body whole, and changes it.
        HoldRequest = "hold-request",
        /// The same with the response's.
        HoldResponse = "hold-response",
        /// A plugin that has both bodies piece by piece, and changes them.
        Pieces = "pieces",
        /// A plugin that answers.
        Answers = "answers",
        /// A plugin that refuses.
        Refuses = "refuses",
        HeaderFilter = "header-filter",
        BodyFilter = "body-filter",
        /// A script that reads the request's body.
        Reads = "reads",
        /// A script that waits for somebody else before the request goes on, behind one that sets a field.
        Waits = "waits",
        /// A script that answers.
        Content = "content",
        /// A model that scores heads.
        Scores = "scores",
        /// A model that scores bodies.
        ScoresBody = "scores-body",
        /// One whose `when` does not want the request.
        Unwanted = "unwanted",
        /// One in shadow mode.
        Shadow = "shadow",
        /// The route's target are models.
        Models = "models",
    }
}

dimension! {
    /// What the upstream speaks.
    Upstream {
        Http1 = "http1",
        Http2 = "http2",
    }
}

dimension! {
    /// What happens in the middle of the request's body, or of the response.
    Event {
        None = "none",
        ReloadInRequest = "reload-in-request",
        ReloadInResponse = "reload-in-response",
        LeaveInRequest = "leave-in-request",
        LeaveInResponse = "leave-in-response",
        DeadlineInRequest = "deadline-in-request",
        DeadlineInResponse = "deadline-in-response",
        /// SIGTERM, and the request has the time to end.
        DrainInRequest = "drain-in-request",
        DrainInResponse = "drain-in-response",
        /// SIGTERM, and it has not.
        CutInRequest = "cut-in-request",
        CutInResponse = "cut-in-response",
    }
}

/// How many dimensions there are, and which is which in [`Combination::values`].
pub const DIMENSIONS: usize = 6;
pub const CLIENT: usize = 0;
pub const UPLOAD: usize = 1;
pub const REPLY: usize = 2;
pub const STAGE: usize = 3;
pub const UPSTREAM: usize = 4;
pub const EVENT: usize = 5;

/// A value of each dimension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Combination {
    pub client: Client,
    pub upload: Upload,
    pub reply: Reply,
    pub stage: Stage,
    pub upstream: Upstream,
    pub event: Event,
}

impl Combination {
    /// All that can be, in a fixed order.
    pub fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for &client in Client::ALL {
            for &upload in Upload::ALL {
                for &reply in Reply::ALL {
                    for &stage in Stage::ALL {
                        for &upstream in Upstream::ALL {
                            for &event in Event::ALL {
                                all.push(Self { client, upload, reply, stage, upstream, event });
                            }
                        }
                    }
                }
            }
        }
        all.retain(|combination| combination.impossible().is_none());
        all
    }

    /// As numbers, one for each dimension.
    pub fn values(&self) -> [u8; DIMENSIONS] {
        let Self { client, upload, reply, stage, upstream, event } = *self;
        [client as u8, upload as u8, reply as u8, stage as u8, upstream as u8, event as u8]
    }

    /// The same request over the route without stages, and nothing happens.
    pub fn plain(&self) -> Self {
        Self { stage: Stage::None, event: Event::None, ..*self }
    }

    /// Why there is no such request; none if there is.
    pub fn impossible(&self) -> Option<&'static str> {
        let Self { client, upload, reply, stage, upstream, event } = *self;
        if client == Client::Http10 && matches!(upload, Upload::Stream | Upload::Trailers) {
            return Some("HTTP/1.0 has no chunks (RFC 9112, section 6.1)");
        }
        if upstream == Upstream::Http2 && reply == Reply::UntilClose {
            return Some("HTTP/2 has no bodies that end with the connection");
        }
        if stage.answers() && upstream == Upstream::Http2 {
            return Some("no upstream is asked, so one protocol of it is enough");
        }
        if stage.answers() && !stage.can_answer(reply) {
            return Some("this stage cannot answer so");
        }
        if stage == Stage::Models && reply == Reply::Head && upload != Upload::None {
            return Some("the model server knows no HEAD with a body");
        }
        if event.in_request() && matches!(upload, Upload::None | Upload::Empty) {
            return Some("a body that is not there has no middle");
        }
        if event != Event::None && matches!(stage, Stage::Answers | Stage::Refuses) {
            return Some("the head alone decides: there is no middle that could be waited for");
        }
        if event.in_response() && stage == Stage::Models {
            return Some("models answer at once: there is no middle that could be waited for");
        }
        if reply == Reply::Broken && event.ends() {
            return Some("the event ends the request before the upstream breaks off");
        }
        None
    }
}

impl fmt::Display for Combination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, upload, reply, stage, upstream, event } = self;
        write!(
            f,
            "client={} upload={} reply={} stage={} upstream={} event={}",
            client.label(),
            upload.label(),
            reply.label(),
            stage.label(),
            upstream.label(),
            event.label()
        )
    }
}

impl Stage {
    /// No upstream is asked.
    pub fn answers(self) -> bool {
        matches!(self, Self::Answers | Self::Refuses | Self::Content | Self::Models)
    }

    fn can_answer(self, reply: Reply) -> bool {
        match reply {
            Reply::Length | Reply::Head => true,
            // A script before it makes them of what it answers.
            Reply::NoContent | Reply::NotModified => self != Self::Refuses,
            Reply::Huge => self == Self::Content,
            _ => false,
        }
    }

    /// The upstream hears of the request when its body is whole, and not before.
    pub fn holds_request(self) -> bool {
        matches!(self, Self::HoldRequest | Self::Reads | Self::ScoresBody) || self.answers()
    }

    /// The client hears of the response when its body is whole, and not before.
    pub fn holds_response(self) -> bool {
        self == Self::HoldResponse || self.answers()
    }

    /// The middle of the response is in the stage, not in the upstream.
    pub fn waits(self) -> bool {
        matches!(self, Self::Waits | Self::Content)
    }

    /// Bodies of responses pass through it, so nobody knows their length before.
    pub fn touches_response_body(self) -> bool {
        matches!(self, Self::HoldResponse | Self::Pieces | Self::BodyFilter)
    }
}

impl Reply {
    /// There is a body, and a piece of it comes before the middle.
    pub fn has_body(self) -> bool {
        !matches!(self, Self::NoContent | Self::NotModified | Self::Head)
    }
}

impl Event {
    pub fn in_request(self) -> bool {
        matches!(
            self,
            Self::ReloadInRequest
                | Self::LeaveInRequest
                | Self::DeadlineInRequest
                | Self::DrainInRequest
                | Self::CutInRequest
        )
    }

    pub fn in_response(self) -> bool {
        self != Self::None && !self.in_request()
    }

    /// The request does not outlive it.
    pub fn ends(self) -> bool {
        self.leaves() || self.is_deadline() || self.cuts()
    }

    pub fn leaves(self) -> bool {
        matches!(self, Self::LeaveInRequest | Self::LeaveInResponse)
    }

    pub fn is_deadline(self) -> bool {
        matches!(self, Self::DeadlineInRequest | Self::DeadlineInResponse)
    }

    pub fn reloads(self) -> bool {
        matches!(self, Self::ReloadInRequest | Self::ReloadInResponse)
    }

    pub fn drains(self) -> bool {
        matches!(self, Self::DrainInRequest | Self::DrainInResponse)
    }

    /// It happens to the gateway, and so to all requests that are under way.
    pub fn is_common(self) -> bool {
        self.reloads() || self.drains() || self.cuts()
    }

    pub fn cuts(self) -> bool {
        matches!(self, Self::CutInRequest | Self::CutInResponse)
    }
}
