//! A small set of combinations in which every pair of values meets at least once.
//!
//! All combinations that can be are few enough to be held, so this is the plain greedy algorithm for covering arrays: take what
//! covers most of what is not covered yet, until nothing is left. It is the same set each time.

use std::collections::{BinaryHeap, HashSet};

use crate::dimensions::{CLIENT, Combination, DIMENSIONS, EVENT, Event, REPLY, STAGE, UPLOAD, UPSTREAM};

/// Dimensions whose values meet in threes: how a request ends depends on the client's protocol *and* on the stage, and what becomes
/// of a body on both protocols.
const TRIPLES: [[usize; 3]; 2] = [[CLIENT, STAGE, EVENT], [CLIENT, UPLOAD, UPSTREAM]];
/// Those whose values meet in threes where nothing happens: so do both bodies on their way through a stage.
const UNDISTURBED: [[usize; 3]; 2] = [[CLIENT, REPLY, STAGE], [UPLOAD, STAGE, UPSTREAM]];

/// Values of some dimensions, which are to meet; `undisturbed`: where nothing happens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Meeting {
    values: Vec<(usize, u8)>,
    undisturbed: bool,
}

/// The meetings that happen in a combination.
fn meetings(combination: &Combination) -> Vec<Meeting> {
    let values = combination.values();
    let meeting = |dimensions: &[usize], undisturbed| Meeting {
        values: dimensions.iter().map(|&at| (at, values[at])).collect(),
        undisturbed,
    };
    let pairs = (0..DIMENSIONS).flat_map(|one| (one + 1..DIMENSIONS).map(move |other| [one, other]));
    let mut meetings: Vec<Meeting> = pairs.map(|pair| meeting(&pair, false)).collect();
    meetings.extend(TRIPLES.iter().map(|triple| meeting(triple, false)));
    if combination.event == Event::None {
        meetings.extend(UNDISTURBED.iter().map(|triple| meeting(triple, true)));
    }
    meetings
}

/// The combinations to be tried.
pub fn combinations() -> Vec<Combination> {
    let all = Combination::all();
    let mut open: HashSet<Meeting> = all.iter().flat_map(meetings).collect();
    // What a combination adds becomes less with each one that is taken: only those on top have to be counted again.
    let mut heap: BinaryHeap<_> = (0..all.len()).map(|at| (usize::MAX, scattered(at), at)).collect();
    let mut taken = Vec::new();
    while let Some((believed, place, at)) = heap.pop() {
        let offered = meetings(&all[at]);
        let adds = offered.iter().filter(|meeting| open.contains(meeting)).count();
        if adds == 0 {
            continue;
        }
        if adds < believed && heap.peek().is_some_and(|next| *next > (adds, place, at)) {
            heap.push((adds, place, at));
            continue;
        }
        offered.iter().for_each(|meeting| _ = open.remove(meeting));
        taken.push(all[at]);
    }
    taken
}

/// Which of several that add the same is taken: spread, so that what need not meet does so in many ways.
fn scattered(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX).wrapping_mul(0x9e37_79b1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_pair_of_values_that_can_meet_does() {
        let pair = |combination: &Combination, one: usize, other: usize| {
            let values = combination.values();
            (one, values[one], other, values[other])
        };
        let pairs = |combinations: &[Combination]| -> BTreeSet<_> {
            let each = combinations.iter().flat_map(|combination| {
                (0..DIMENSIONS)
                    .flat_map(move |one| (one + 1..DIMENSIONS).map(move |other| pair(combination, one, other)))
            });
            each.collect()
        };
        let tried = combinations();
        assert_eq!(pairs(&tried), pairs(&Combination::all()));
        assert!(tried.len() >= 600, "{}", tried.len());
    }

    #[test]
    fn it_is_the_same_set_each_time_and_nothing_in_it_twice() {
        let tried = combinations();
        assert_eq!(tried, combinations());
        assert_eq!(tried.iter().collect::<BTreeSet<_>>().len(), tried.len());
        assert!(tried.iter().all(|combination| combination.impossible().is_none()));
    }

    #[test]
    fn pairs_that_cannot_meet_are_those_that_are_stated() {
        let all = Combination::all();
        let can_meet = |holds: fn(&Combination) -> bool| all.iter().any(holds);
        use crate::dimensions::{Client, Event, Reply, Stage, Upload, Upstream};
        assert!(!can_meet(|c| c.client == Client::Http10 && c.upload == Upload::Stream));
        assert!(!can_meet(|c| c.upstream == Upstream::Http2 && c.reply == Reply::UntilClose));
        assert!(!can_meet(|c| c.stage == Stage::Answers && c.event != Event::None));
        assert!(can_meet(|c| c.client == Client::Http10 && c.upload == Upload::Expect));
        assert!(can_meet(|c| c.stage == Stage::Content && c.event == Event::CutInResponse));
        // Everything else can: of 6 dimensions with 3, 7, 11, 17, 2 and 11 values.
        let impossible = Combination::all().len();
        assert!(impossible > 20_000, "{impossible}");
    }
}
