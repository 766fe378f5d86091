//! Takes turns: each contender runs for some milliseconds, one after the other, round after round.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

use crate::Failed;
use crate::contender::Contender;
use crate::rows::{Batch, Rows};

/// One turn: nanoseconds of a call, in the mean of all calls of the turn.
#[derive(Clone, Copy, Serialize)]
pub struct Turn {
    /// Of this process on any processor: threads that a contender hides would count.
    pub processor: f64,
    /// By the clock on the wall.
    pub wall: f64,
}

/// Processor time of this process.
pub fn processor_time() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec.cast_unsigned(), u32::try_from(now.tv_nsec).unwrap_or_default())
}

/// One contender with its place in the rows: it goes on where it was, so that each call has another row.
struct Player<'a> {
    contender: &'a mut dyn Contender,
    batches: Box<dyn Iterator<Item = Batch> + 'a>,
    scores: Vec<f64>,
    calls: usize,
}

impl Player<'_> {
    fn call(&mut self, times: usize) -> Result<(), Failed> {
        for batch in self.batches.by_ref().take(times) {
            self.contender.score(batch, &mut self.scores)?;
            std::hint::black_box(&mut self.scores);
        }
        Ok(())
    }

    fn turn(&mut self) -> Result<Turn, Failed> {
        // What the others have put into the caches is pushed out first, and predictors learn what code this is.
        self.call(self.calls / 4)?;
        let (wall, processor) = (Instant::now(), processor_time());
        self.call(self.calls)?;
        let (processor, wall) = (processor_time() - processor, wall.elapsed());
        let per_call = |time: Duration| time.as_secs_f64() * 1e9 / self.calls as f64;
        Ok(Turn { processor: per_call(processor), wall: per_call(wall) })
    }
}

/// Turns of each contender, by rounds. All begin rounds equally often.
pub fn in_turns(
    contenders: &mut [Box<dyn Contender>],
    rows: &Rows,
    size: usize,
    rounds: usize,
    slice: Duration,
) -> Result<Vec<Vec<Turn>>, Failed> {
    let mut players = Vec::new();
    for contender in contenders {
        let batches: Vec<Batch> = rows.batches(size).collect();
        let batches = Box::new(batches.into_iter().cycle());
        let mut player = Player { contender: contender.as_mut(), batches, scores: vec![0.0; size], calls: 16 };
        player.call(16)?;
        let turn = player.turn()?;
        player.calls = ((slice.as_secs_f64() * 1e9 / turn.processor) as usize).max(4);
        players.push(player);
    }
    let mut turns = vec![Vec::new(); players.len()];
    for round in 0..rounds {
        for at in 0..players.len() {
            let at = (at + round) % players.len();
            turns[at].push(players[at].turn()?);
        }
    }
    Ok(turns)
}

/// What is below `share` of the values.
pub fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(((sorted.len().saturating_sub(1)) as f64 * share).round() as usize).copied().unwrap_or(f64::NAN)
}
