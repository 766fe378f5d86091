//! Upstreams that answer as a file says, and remember what they were asked.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use witgate_plugin_host::{OutboundCall, OutboundError, OutboundFuture, OutboundReply, OutboundTarget};

use super::drive::header_map;
use super::file::{Answer, Source};
use super::glob::fits;
use super::surroundings::Simulated;
use crate::CommandError;

/// Calls of one run. A hook may make 8, and a body comes in pieces without end.
const CALLS_LIMIT: usize = 256;

/// A call that was made.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub(crate) upstream: String,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Made {
    pub(crate) fn shown(&self) -> String {
        format!("{}: {} {}", self.upstream, self.method, self.path)
    }
}

/// An answer with its file read.
#[derive(Debug, Clone)]
struct Ready {
    method: Option<String>,
    path: Option<String>,
    times: Option<u32>,
    used: u32,
    outcome: Outcome,
}

#[derive(Debug, Clone)]
enum Outcome {
    Reply { status: StatusCode, headers: HeaderMap, body: Bytes, after: Duration },
    Fails(OutboundError),
}

impl Ready {
    fn new(answer: &Answer, source: &Source) -> Result<Self, CommandError> {
        let Answer { method, path, times, status, headers, body, after, fault } = answer;
        let is_reply = status.is_some() || headers.is_some() || body.is_some() || after.is_some();
        let outcome = match fault {
            Some(fault) if is_reply => {
                let message = "expected either `fault` or what is answered (`status`, `headers`, `body`, `after`)";
                return Err(source.problem(fault.span().start, message, "remove one of them"));
            }
            Some(fault) => Outcome::Fails(fault.get_ref().0),
            None => Outcome::Reply {
                status: status.map_or(StatusCode::OK, |status| status.0),
                headers: headers.as_ref().map(header_map).unwrap_or_default(),
                body: body.as_ref().map_or(Ok(Bytes::new()), |body| body.load(&source.folder()))?,
                after: after.map_or(Duration::ZERO, |time| time.0),
            },
        };
        Ok(Self { method: method.clone(), path: path.clone(), times: times.map(NonZeroU32::get), used: 0, outcome })
    }

    fn is_for(&self, made: &Made) -> bool {
        self.times.is_none_or(|times| self.used < times)
            && self.method.as_ref().is_none_or(|method| *method == made.method)
            && self.path.as_ref().is_none_or(|path| fits(path, &made.path))
    }
}

/// Answers by the names of upstreams.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answers(BTreeMap<String, Vec<Ready>>);

impl Answers {
    /// # Errors
    /// An answer contradicts itself, or a file that holds a body cannot be read.
    pub(crate) fn new<'a>(
        upstreams: impl IntoIterator<Item = (&'a String, &'a Vec<Answer>)>,
        source: &Source,
    ) -> Result<Self, CommandError> {
        let mut ready = BTreeMap::new();
        for (name, answers) in upstreams {
            let answers = answers.iter().map(|answer| Ready::new(answer, source));
            ready.insert(name.clone(), answers.collect::<Result<_, _>>()?);
        }
        Ok(Self(ready))
    }

    /// The first that is for a call.
    fn take(&mut self, made: &Made) -> Option<Outcome> {
        let answer = self.0.get_mut(&made.upstream)?.iter_mut().find(|answer| answer.is_for(made))?;
        answer.used += 1;
        Some(answer.outcome.clone())
    }
}

/// What all upstreams of a file share.
#[derive(Debug)]
pub(crate) struct Upstreams {
    simulated: Arc<Simulated>,
    /// Those of the file, of which each run begins with a copy.
    answers: Answers,
    run: Mutex<Run>,
}

/// What came of one run.
#[derive(Debug, Default)]
struct Run {
    /// Those of the case, and then those of the file.
    answers: [Answers; 2],
    calls: Calls,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Calls {
    /// In their order.
    pub(crate) made: Vec<Made>,
    /// What no answer was for, in words.
    pub(crate) unanswered: Vec<String>,
}

impl Upstreams {
    pub(crate) fn new(answers: Answers, simulated: Arc<Simulated>) -> Self {
        Self { simulated, answers, run: Mutex::default() }
    }

    fn run(&self) -> MutexGuard<'_, Run> {
        self.run.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a run, in which these answers go before those of the file.
    pub(crate) fn begin(&self, first: &Answers) {
        *self.run() = Run { answers: [first.clone(), self.answers.clone()], calls: Calls::default() };
    }

    /// The calls since then.
    pub(crate) fn end(&self) -> Calls {
        std::mem::take(&mut *self.run()).calls
    }

    pub(crate) fn answer(&self, name: &str, call: OutboundCall) -> Result<OutboundReply, OutboundError> {
        let OutboundCall { method, path, headers, body, timeout, reply_limit } = call;
        let (upstream, method, path) = (name.to_owned(), method.as_str().to_owned(), path.as_str().to_owned());
        let made = Made { upstream, method, path, headers, body };
        let mut run = self.run();
        let full = run.calls.made.len() >= CALLS_LIMIT;
        let outcome = if full { None } else { run.answers.iter_mut().find_map(|answers| answers.take(&made)) };
        if outcome.is_none() && !full {
            run.calls.unanswered.push(format!("{}: no answer is for it", made.shown()));
        } else if full && run.calls.unanswered.is_empty() {
            run.calls.unanswered.push(format!("{}: the {CALLS_LIMIT} calls of a run are made", made.shown()));
        }
        if !full {
            run.calls.made.push(made);
        }
        drop(run);
        match outcome.unwrap_or(Outcome::Fails(OutboundError::Unavailable)) {
            Outcome::Reply { after, .. } if after > timeout => self.time_out(timeout),
            Outcome::Fails(OutboundError::Timeout) => self.time_out(timeout),
            Outcome::Fails(error) => Err(error),
            Outcome::Reply { status, headers, body, after } => {
                self.simulated.advance(after);
                if body.len() > reply_limit {
                    return Err(OutboundError::TooLarge);
                }
                Ok(OutboundReply { status, headers, body })
            }
        }
    }

    fn time_out(&self, timeout: Duration) -> Result<OutboundReply, OutboundError> {
        self.simulated.advance(timeout);
        Err(OutboundError::Timeout)
    }
}

/// One of them, as the plugin reaches it.
#[derive(Debug)]
pub(crate) struct Stub {
    pub(crate) name: String,
    pub(crate) upstreams: Arc<Upstreams>,
}

impl OutboundTarget for Stub {
    fn identity(&self) -> u64 {
        // There is one of each name, and one host for each file of cases.
        0
    }

    fn fetch(&self, call: OutboundCall) -> OutboundFuture {
        Box::pin(std::future::ready(self.upstreams.answer(&self.name, call)))
    }
}

#[cfg(test)]
mod tests {
    use http::Method;
    use http::uri::PathAndQuery;
    use witgate_plugin_host::Simulation;

    use super::*;

    fn read(text: &str) -> Result<Answers, CommandError> {
        let table: BTreeMap<String, Vec<Answer>> = toml::from_str(text).expect("answers");
        Answers::new(&table, &Source { path: "cases.toml".into(), text: text.to_owned() })
    }

    fn answers(text: &str) -> Answers {
        read(text).expect("answers that do not contradict themselves")
    }

    fn upstreams(text: &str) -> Upstreams {
        let upstreams = Upstreams::new(answers(text), Arc::new(Simulated::new(Some(Duration::ZERO), 0)));
        upstreams.begin(&Answers::default());
        upstreams
    }

    fn ask(upstreams: &Upstreams, method: Method, path: &'static str) -> Result<u16, OutboundError> {
        let call = OutboundCall {
            method,
            path: PathAndQuery::from_static(path),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            timeout: Duration::from_secs(1),
            reply_limit: 4,
        };
        upstreams.answer("u", call).map(|reply| reply.status.as_u16())
    }

    #[test]
    fn the_first_answer_that_is_for_a_call_is_given() {
        let upstreams = upstreams(
            "u = [{ method = 'POST', status = 201 }, { path = '/once', times = 1, status = 202 }, \
             { path = '/o*', status = 203 }]",
        );
        assert_eq!(ask(&upstreams, Method::POST, "/once"), Ok(201));
        assert_eq!(ask(&upstreams, Method::GET, "/once"), Ok(202));
        assert_eq!(ask(&upstreams, Method::GET, "/once"), Ok(203));
        assert_eq!(ask(&upstreams, Method::GET, "/elsewhere"), Err(OutboundError::Unavailable));
        let calls = upstreams.end();
        assert_eq!(calls.made.iter().map(Made::shown).collect::<Vec<_>>().len(), 4);
        assert_eq!(calls.unanswered, ["u: GET /elsewhere: no answer is for it"]);
        upstreams.begin(&answers("u = [{ path = '/o*', status = 299 }]"));
        assert_eq!(ask(&upstreams, Method::GET, "/once"), Ok(299), "the case's own go first");
        upstreams.begin(&Answers::default());
        assert_eq!(ask(&upstreams, Method::GET, "/once"), Ok(202), "each run counts anew");
    }

    #[test]
    fn an_answer_takes_its_time_and_no_longer_than_the_call_waits() {
        let upstreams = upstreams(
            "u = [{ path = '/slow', after = '999ms' }, { path = '/late', after = '1001ms' }, \
             { path = '/never', fault = 'timeout' }, { path = '/down', fault = 'unavailable' }, \
             { path = '/large', body = 'five!' }, { path = '/fits', body = 'four' }]",
        );
        let millis = |path| {
            let before = upstreams.simulated.elapsed();
            let answer = ask(&upstreams, Method::GET, path);
            (answer, (upstreams.simulated.elapsed() - before).as_millis())
        };
        assert_eq!(millis("/slow"), (Ok(200), 999));
        assert_eq!(millis("/late"), (Err(OutboundError::Timeout), 1000));
        assert_eq!(millis("/never"), (Err(OutboundError::Timeout), 1000));
        assert_eq!(millis("/down"), (Err(OutboundError::Unavailable), 0));
        assert_eq!(millis("/large"), (Err(OutboundError::TooLarge), 0));
        assert_eq!(millis("/fits"), (Ok(200), 0));
    }

    #[test]
    fn an_answer_that_fails_has_nothing_else() {
        for key in ["status = 200", "headers = {}", "body = ''", "after = '1s'"] {
            let error = read(&format!("[[u]]\n[[u]]\n{key}\nfault = 'timeout'\n")).expect_err("both").to_string();
            assert!(error.contains("cases.toml:4:9") && error.contains("either `fault` or"), "{error}");
        }
    }

    #[test]
    fn calls_without_end_are_not_kept() {
        let upstreams = upstreams("u = [{}]");
        let answered = (0..1000).filter(|_| ask(&upstreams, Method::GET, "/").is_ok()).count();
        let calls = upstreams.end();
        assert_eq!((answered, calls.made.len(), calls.unanswered.len()), (CALLS_LIMIT, CALLS_LIMIT, 1));
    }
}
