//! Whose turn it is.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::state::FORCED;
use super::{Cause, EndpointState, Patience};

/// Most endpoints that one request tries although they are passed over: with a service that is down as a whole, each
/// request costs a few refused connections and not one for each of a hundred endpoints.
const FORCED_LIMIT: usize = 3;

/// Connecting that is given up before its time tells of the endpoint only if it had some: to the other end of the earth it
/// takes 300 ms.
const CONNECT_LEAST: Duration = Duration::from_millis(500);

/// What a group is made of.
pub trait Member {
    fn state(&self) -> &EndpointState;
    fn patience(&self) -> &Patience;
}

/// Endpoints that can take each other's place.
#[derive(Debug)]
pub struct Group<E> {
    members: Vec<Arc<E>>,
    turn: AtomicUsize,
    /// Turns that fell to an endpoint which could not have them: they go round among the others, for each of those to get
    /// its share and not all to the neighbour.
    detour: AtomicUsize,
}

impl<E> Group<E> {
    /// `members`: none, if none is known; then nothing can be picked.
    pub fn new(members: Vec<Arc<E>>) -> Self {
        Self { members, turn: AtomicUsize::new(0), detour: AtomicUsize::new(0) }
    }

    pub fn members(&self) -> &[Arc<E>] {
        &self.members
    }
}

impl<E: Member> Group<E> {
    /// Begins to pick for one request. Costs nothing; memory is taken only for a third endpoint that it tries.
    pub fn pick(&self) -> Pick<'_, E> {
        Pick { group: self, only: None, last: None, tried: Vec::new(), forced: 0 }
    }

    /// For a request that has to go to one endpoint, the first that `is_it` says yes to; none if that is not here.
    pub fn pick_only(&self, is_it: impl Fn(&E) -> bool) -> Option<Pick<'_, E>> {
        let only = self.members.iter().position(|member| is_it(member))?;
        Some(Pick { only: Some(only), ..self.pick() })
    }
}

/// The endpoints that one request tries, one after the other and none twice.
#[derive(Debug)]
pub struct Pick<'g, E> {
    group: &'g Group<E>,
    /// The only one that may be tried.
    only: Option<usize>,
    /// The one tried last, and those before it.
    last: Option<usize>,
    tried: Vec<usize>,
    /// How many of those were passed over by others.
    forced: usize,
}

impl<E: Member> Pick<'_, E> {
    /// The next endpoint to try; none if there is none that this request may try.
    pub fn next(&mut self, now: Instant) -> Option<Attempt<E>> {
        let (at, drawn) = match self.only {
            Some(only) if self.last.is_none() => (only, self.draw(only, now).unwrap_or(FORCED)),
            Some(_) => return None,
            None => self.in_turn(now).or_else(|| self.beside_turns(now)).or_else(|| self.by_force())?,
        };
        self.tried.extend(self.last.replace(at));
        let endpoint = Arc::clone(self.group.members.get(at)?);
        endpoint.state().enter();
        Some(Attempt { endpoint, drawn })
    }

    fn is_tried(&self, at: usize) -> bool {
        self.last == Some(at) || self.tried.contains(&at)
    }

    /// Endpoints not tried yet.
    fn open(&self) -> impl Iterator<Item = (usize, &E)> {
        let members = self.group.members.iter().enumerate();
        members.filter(|(at, _)| !self.is_tried(*at)).map(|(at, member)| (at, &**member))
    }

    fn draw(&self, at: usize, now: Instant) -> Option<u64> {
        let member = self.group.members.get(at)?;
        member.state().draw(now, member.patience())
    }

    /// The one whose turn it is, if it can have it. Later attempts of a request take no turn: it is not theirs.
    fn in_turn(&self, now: Instant) -> Option<(usize, u64)> {
        if self.last.is_some() {
            return None;
        }
        let at = match self.group.members.len() {
            0 => return None,
            1 => 0,
            count => self.group.turn.fetch_add(1, Ordering::Relaxed) % count,
        };
        Some((at, self.draw(at, now)?))
    }

    /// Another one: of those that are not passed over, each gets its share; then whichever is to be tried again.
    fn beside_turns(&self, now: Instant) -> Option<(usize, u64)> {
        let free = || self.open().filter(|(_, member)| member.state().is_free());
        if let Some(turn) = self.group.detour.fetch_add(1, Ordering::Relaxed).checked_rem(free().count())
            && let Some((at, _)) = free().nth(turn)
        {
            // It may fail just now; then it was not known to.
            return Some((at, 0));
        }
        self.open().find_map(|(at, _)| Some((at, self.draw(at, now)?)))
    }

    /// The one whose backoff ends first, if only such are left. Of those that do not answer at all only one is tried: it
    /// costs the whole time for connecting.
    fn by_force(&mut self) -> Option<(usize, u64)> {
        if self.forced == FORCED_LIMIT {
            return None;
        }
        let first = self.forced == 0;
        let open = self.open().map(|(at, member)| (at, member.state().backoff()));
        let (at, _) = open.filter(|(_, (_, is_quick))| first || *is_quick).min_by_key(|(_, (until, _))| *until)?;
        self.forced += 1;
        Some((at, FORCED))
    }
}

/// One try at one endpoint. Counts as in flight until it is dropped.
#[derive(Debug)]
pub struct Attempt<E: Member> {
    endpoint: Arc<E>,
    drawn: u64,
}

impl<E: Member> Attempt<E> {
    pub fn endpoint(&self) -> &Arc<E> {
        &self.endpoint
    }

    /// There is a connection: a new one, or a response has begun on an old one.
    pub fn reached(&self) {
        self.endpoint.state().reached();
    }

    /// The response was complete.
    pub fn succeeded(&self) {
        self.endpoint.state().succeeded();
    }

    /// It failed, by the endpoint's doing. Say nothing if the client left.
    pub fn failed(&self, cause: Cause, now: Instant) {
        self.endpoint.state().failed(cause, self.drawn, now, self.endpoint.patience());
    }

    /// Sets up a connection by `work`. If that is dropped, because a deadline passed or the client left, and had had the time
    /// that a connection takes, it counts as failed: with deadlines shorter than `connect_timeout` nothing else would ever
    /// tell that nobody is there.
    pub async fn connecting<T>(&self, work: impl Future<Output = T>) -> T {
        let mut watch = Watch { attempt: self, began: Some(Instant::now()) };
        let output = work.await;
        watch.began = None;
        output
    }
}

/// Tells if connecting was given up.
struct Watch<'a, E: Member> {
    attempt: &'a Attempt<E>,
    /// None: it has come to an end.
    began: Option<Instant>,
}

impl<E: Member> Drop for Watch<'_, E> {
    fn drop(&mut self) {
        let Some(began) = self.began else { return };
        let (now, least) = (Instant::now(), CONNECT_LEAST.min(self.attempt.patience().connect));
        if now.saturating_duration_since(began) >= least {
            self.attempt.failed(Cause::ConnectTimeout, now);
        }
    }
}

impl<E: Member> Deref for Attempt<E> {
    type Target = E;

    fn deref(&self) -> &E {
        &self.endpoint
    }
}

impl<E: Member> Drop for Attempt<E> {
    fn drop(&mut self) {
        self.endpoint.state().leave();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Barrier;

    use proptest::prelude::*;

    use super::*;
    use crate::upstream::EndpointKey;

    #[derive(Debug)]
    struct Endpoint {
        number: u16,
        state: EndpointState,
    }

    const PATIENCE: Patience =
        Patience { first: Duration::from_secs(1), most: Duration::from_secs(30), connect: Duration::from_secs(4) };

    impl Member for Endpoint {
        fn state(&self) -> &EndpointState {
            &self.state
        }

        fn patience(&self) -> &Patience {
            &PATIENCE
        }
    }

    fn group(count: u16) -> (Group<Endpoint>, Instant) {
        let began = Instant::now();
        let member = |number| {
            let key = EndpointKey { upstream: "u".into(), address: ([127, 0, 0, 1], number).into(), manner: 0 };
            Arc::new(Endpoint { number, state: EndpointState::new(key, 0, began, Arc::default()) })
        };
        (Group::new((0..count).map(member).collect()), began)
    }

    /// Sends one request; gives the endpoints that it tried, the last of which is the one that answered if any did.
    fn request(group: &Group<Endpoint>, now: Instant, dead: &[u16], cause: Cause) -> Vec<u16> {
        let mut tried = Vec::new();
        let mut pick = group.pick();
        while let Some(attempt) = pick.next(now) {
            tried.push(attempt.number);
            if !dead.contains(&attempt.number) {
                attempt.succeeded();
                break;
            }
            attempt.failed(cause, now);
        }
        tried
    }

    #[test]
    fn endpoints_take_turns() {
        let (group, now) = group(3);
        let order: Vec<_> = (0..6).flat_map(|_| request(&group, now, &[], Cause::Refused)).collect();
        assert_eq!(order, [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn of_two_endpoints_one_dead_no_request_fails_however_many_draw_at_once() {
        let (group, now) = group(2);
        let (threads, requests) = (8, 500);
        let barrier = Barrier::new(threads);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    barrier.wait();
                    for number in 0..requests {
                        // Now and then a backoff is over, and somebody tries the dead one.
                        let now = now + Duration::from_millis(number * 7);
                        assert_eq!(request(&group, now, &[0], Cause::Refused).last(), Some(&1));
                    }
                });
            }
        });
        assert!(group.members().iter().all(|member| member.state.in_flight() == 0));
    }

    #[test]
    fn one_that_could_not_be_reached_is_passed_over_and_the_others_share_its_turns() {
        let (group, now) = group(3);
        let mut requests = [0; 3];
        let mut dead = 0;
        for _ in 0..301 {
            let tried = request(&group, now, &[1], Cause::ConnectTimeout);
            dead += tried.iter().filter(|number| **number == 1).count();
            requests[usize::from(*tried.last().expect("tried"))] += 1;
        }
        assert_eq!((dead, requests[1]), (1, 0));
        assert!(requests[0] >= 150 && requests[2] >= 150, "{requests:?}");
    }

    #[test]
    fn when_all_are_passed_over_a_request_tries_a_few_all_the_same() {
        let (group, now) = group(9);
        let all: Vec<u16> = (0..9).collect();
        assert_eq!(request(&group, now, &all, Cause::Refused).len(), 9, "nobody knew");
        let tried = request(&group, now, &all, Cause::Refused);
        assert_eq!(tried.len(), FORCED_LIMIT, "{tried:?}");
        assert_eq!(tried.iter().collect::<BTreeSet<_>>().len(), FORCED_LIMIT);
        assert_eq!(request(&group, now, &[], Cause::Refused).len(), 1, "and finds that it is back");
    }

    #[test]
    fn of_those_that_do_not_answer_a_request_waits_for_one() {
        let (group, now) = group(9);
        let all: Vec<u16> = (0..9).collect();
        request(&group, now, &all, Cause::ConnectTimeout);
        assert_eq!(request(&group, now, &all, Cause::ConnectTimeout).len(), 1);
    }

    #[test]
    fn a_request_whose_endpoint_is_chosen_tries_that_one_alone_even_if_others_pass_it_over() {
        let (group, now) = group(2);
        for _ in 0..3 {
            let mut pick = group.pick_only(|endpoint| endpoint.number == 1).expect("a member");
            let attempt = pick.next(now).expect("the chosen one");
            assert_eq!(attempt.number, 1);
            attempt.failed(Cause::Refused, now);
            assert!(pick.next(now).is_none());
        }
        assert!(group.pick_only(|endpoint| endpoint.number == 2).is_none());
    }

    #[test]
    fn nothing_can_be_picked_of_nothing() {
        let (group, now) = group(0);
        assert!(group.pick().next(now).is_none());
    }

    #[test]
    fn an_attempt_is_in_flight_until_it_is_dropped() {
        let (group, now) = group(1);
        let (one, other) = (group.pick().next(now), group.pick().next(now));
        assert_eq!(group.members()[0].state.in_flight(), 2);
        drop((one, other));
        assert_eq!(group.members()[0].state.in_flight(), 0);
    }

    #[test]
    fn connecting_that_is_given_up_tells_of_the_endpoint_only_if_there_was_time() {
        let (group, now) = group(1);
        let attempt = group.pick().next(now).expect("one");
        let give_up = |before: Duration| {
            drop(Watch { attempt: &attempt, began: Instant::now().checked_sub(before) });
            group.members()[0].state.is_free()
        };
        assert!(give_up(Duration::from_millis(100)), "too short to tell");
        assert!(!give_up(CONNECT_LEAST));
    }

    #[tokio::test]
    async fn connecting_that_came_to_an_end_is_not_given_up() {
        let (group, now) = group(1);
        let attempt = group.pick().next(now).expect("one");
        assert_eq!(attempt.connecting(async { 7 }).await, 7);
        assert!(group.members()[0].state.is_free());
    }

    proptest! {
        #[test]
        fn no_request_tries_an_endpoint_twice_and_none_is_refused_without_an_attempt(
            count in 1_u16..12,
            dead in proptest::collection::vec(0_u16..12, 0..12),
            steps in proptest::collection::vec((0_u64..5_000, 0_usize..4), 1..60),
        ) {
            let (group, mut now) = group(count);
            let alive = (0..count).filter(|number| !dead.contains(number)).count();
            for (pause, cause) in steps {
                now += Duration::from_millis(pause);
                let tried = request(&group, now, &dead, Cause::ALL[cause]);
                prop_assert!(!tried.is_empty());
                prop_assert_eq!(tried.iter().collect::<BTreeSet<_>>().len(), tried.len(), "{:?}", tried);
                if alive > 0 {
                    prop_assert!(!dead.contains(tried.last().expect("tried")), "{:?}", tried);
                }
            }
        }
    }
}
