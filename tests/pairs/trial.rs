//! One request of the matrix, from the client's first byte to all that is known of it.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::client::{Conduct, End, Observed, ask};
use crate::dimensions::{Client, Combination, Event};
use crate::gates::{Gate, Gates, LONGEST, Received, State};
use crate::request::{Request, reply_pieces};
use crate::site::{DEADLINES, prefix};

/// What came of a combination.
#[derive(Debug, Clone)]
pub struct Trial {
    pub combination: Combination,
    /// In the access record.
    pub id: String,
    pub request: Request,
    pub observed: Observed,
    /// What the upstream got, whole.
    pub seen: Vec<Received>,
    /// Nothing ended it within any time that a machine needs.
    pub hangs: bool,
    /// Nobody told whoever answered that it is over.
    pub forgotten: bool,
    /// Its deadline passed before it came to its middle.
    too_early: bool,
    /// Trials that came to their deadline before their middle.
    pub early: Vec<String>,
}

impl Trial {
    pub fn probe_id(&self) -> String {
        probe_id(&self.id)
    }
}

fn probe_id(id: &str) -> String {
    format!("{id}-next")
}

/// The client sees the response's head, and a piece of its body, before the middle.
pub fn is_visible(combination: &Combination) -> bool {
    let Combination { reply, stage, .. } = *combination;
    reply.has_body() && !stage.holds_response() && !stage.waits()
}

/// Bytes of the response that can have come before the middle, without what stages add.
pub fn before_the_middle(combination: &Combination) -> usize {
    reply_pieces(combination.reply).first().map_or(0, |piece| piece.len())
}

/// Whether a request has come to its middle, where its event is to happen.
pub fn is_midway(combination: &Combination, half: usize, state: &State) -> bool {
    if combination.event.in_request() {
        return state.sent >= half && (combination.stage.holds_request() || state.arrived >= half);
    }
    state.at_gate && (!is_visible(combination) || state.received >= before_the_middle(combination))
}

/// Whether somebody stands in the middle, and is to be told when it is over.
fn is_told(combination: &Combination) -> bool {
    let Combination { stage, event, .. } = *combination;
    event.ends() && (event.in_response() || !stage.holds_request())
}

/// Where requests go, and where their ends meet.
#[derive(Debug, Clone)]
pub struct World {
    pub gateway: SocketAddr,
    pub gates: Arc<Gates>,
}

impl World {
    /// Tries a combination; where it is too slow to come to the middle within a deadline, once more with a longer one.
    pub async fn attempt(&self, combination: Combination, id: String) -> Trial {
        if !combination.event.is_deadline() {
            return self.once(combination, id, 0).await;
        }
        let mut early = Vec::new();
        for deadline in 1..DEADLINES.len() {
            let mut trial = self.once(combination, format!("{id}-{deadline}"), deadline).await;
            if !trial.too_early || deadline + 1 == DEADLINES.len() {
                trial.early = early;
                return trial;
            }
            early.push(trial.id);
        }
        unreachable!("the last deadline returns")
    }

    async fn once(&self, combination: Combination, id: String, deadline: usize) -> Trial {
        let Combination { client, stage, upstream, event, .. } = combination;
        let request = Request::of(&combination, &id, &prefix(stage, upstream, deadline));
        let probe = Request::probe(&probe_id(&id));
        let gate = self.gates.of(&id);
        let conduct = Conduct {
            pauses: event.in_request(),
            stops: event.in_request() && event.ends(),
            probes: matches!(event, Event::None) || event.reloads() || (client == Client::Http2 && event.is_deadline()),
        };
        let half = request.halves[0].len();
        let leaves = async {
            if event.leaves() {
                gate.until(|state| is_midway(&combination, half, state)).await;
            } else {
                std::future::pending().await
            }
        };
        let too_long = async {
            if event.is_common() {
                gate.until(|state| state.happened).await;
            }
            tokio::time::sleep(LONGEST).await;
        };
        let asked = tokio::select! {
            asked = ask(client, self.gateway, (&request, &probe), &gate, conduct, leaves) => Some(asked),
            () = too_long => None,
        };
        let hangs = asked.is_none();
        let refused = Observed { end: End::Nothing, ..Observed::default() };
        let observed = asked.and_then(Result::ok).unwrap_or(refused);
        let forgotten =
            is_told(&combination) && was_there(&combination, &gate) && !gate.soon(|state| state.released).await;
        let too_early = event == Event::DeadlineInResponse && !is_midway(&combination, half, &gate.state());
        gate.tell(|state| (state.ended, state.open) = (true, true));
        self.gates.forget(&id);
        Trial { combination, id, request, observed, seen: gate.seen(), hangs, forgotten, too_early, early: Vec::new() }
    }
}

/// Whether whoever answers has heard of the request at all.
fn was_there(combination: &Combination, gate: &Gate) -> bool {
    let state = gate.state();
    if combination.event.in_response() { state.at_gate } else { state.arrived > 0 }
}
