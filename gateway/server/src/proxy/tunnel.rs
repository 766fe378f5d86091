//! Connections that have left HTTP for another protocol (RFC 9110, section 7.8): bytes go both ways until both sides have
//! closed, or neither says anything for too long.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use crate::proxy::alarm::Alarm;
use crate::proxy::wire::Wire;

/// One direction.
#[derive(Debug, Default)]
struct Way {
    bytes: u64,
    /// The source has closed.
    ended: bool,
    /// And the sink knows.
    closed: bool,
}

impl Way {
    /// Moves what can be moved; ready once the source has closed and the sink knows.
    fn poll(&mut self, context: &mut Context<'_>, from: &mut Wire, to: &mut Wire) -> Poll<io::Result<()>> {
        while !self.ended {
            if !from.input.is_empty() {
                ready!(to.poll_room(context))?;
                self.bytes += u64::try_from(from.input.len()).unwrap_or(u64::MAX);
                to.output().extend_from_slice(&from.input);
                from.input.clear();
            }
            match from.poll_fill(context)? {
                Poll::Ready(0) => self.ended = true,
                Poll::Ready(_) => {}
                Poll::Pending => {
                    ready!(to.poll_flush(context))?;
                    return Poll::Pending;
                }
            }
        }
        if !self.closed {
            ready!(to.poll_shutdown(context))?;
            self.closed = true;
        }
        Poll::Ready(Ok(()))
    }
}

/// Carries a tunnel to its end; gives the bytes that came from the client and from the endpoint.
pub async fn carry(client: &mut Wire, endpoint: &mut Wire, alarm: &mut Alarm, silence: Duration) -> (u64, u64) {
    let (mut up, mut down) = (Way::default(), Way::default());
    let (mut seen, mut heard) = (0, Instant::now());
    poll_fn(|context| {
        let ended = [up.poll(context, client, endpoint), down.poll(context, endpoint, client)];
        if ended.iter().any(|way| matches!(way, Poll::Ready(Err(_)))) || ended.iter().all(Poll::is_ready) {
            return Poll::Ready(());
        }
        if up.bytes + down.bytes != seen {
            (seen, heard) = (up.bytes + down.bytes, Instant::now());
        }
        alarm.poll_at(context, Some(heard + silence))
    })
    .await;
    (up.bytes, down.bytes)
}
