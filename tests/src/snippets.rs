//! Snippets of Lua, run by nginx with lua-nginx-module and by the gateway: each is a location there and a route here, is sent the
//! same request, and has to come to the same response.
//!
//! Snippets lie in files. `== NAMES: WHAT` begins one, with what of docs/lua/api.toml it is about. Its code follows, `@content`
//! unless the line before says `@rewrite`, `@access`, `@header_filter`, `@body_filter` or `@log`; what no script answers goes to an
//! upstream that says what it got. `@request` is another request than `GET /`, with a body after an empty line; `@chunked` has
//! that body sent in a chunk. With `@logs`, what is logged has to be the same, too. `@differs NAME` says that the gateway answers
//! otherwise for a reason that stands in docs/lua/api.toml under that name, and is followed by its answer.

mod answer;
mod file;
mod servers;

pub use file::{Snippet, read};
pub use servers::folder;

use servers::Servers;

/// Runs snippets in both servers. Gives those that are not as they should be, each with what both have answered.
pub fn compare(snippets: &[Snippet]) -> Vec<String> {
    let mut servers = Servers::start(snippets);
    let answers: Vec<_> = snippets.iter().map(|snippet| servers.ask(snippet)).collect();
    let logs = servers.end(snippets);
    let mut wrong = Vec::new();
    for ((snippet, (theirs, ours)), (logged, ours_logged)) in snippets.iter().zip(answers).zip(logs) {
        let whole = |answer: String, logged: Vec<String>| {
            if snippet.logs { format!("{answer}\n{}", logged.concat()) } else { answer }
        };
        let (theirs, ours) = (whole(theirs, logged), whole(ours, ours_logged));
        let problem = match &snippet.differs {
            None if theirs == ours => continue,
            None => "the gateway answers otherwise",
            Some(_) if theirs == ours => "the gateway answers as nginx does: take `@differs` away",
            Some(differs) if differs.answer.trim_end() == ours.trim_end() => continue,
            Some(_) => "the gateway answers neither as nginx does nor as `@differs` says",
        };
        let place = format!("{}:{} {}", snippet.file, snippet.line, snippet.title);
        wrong.push(format!("{place}: {problem}\n--- nginx\n{theirs}\n--- Witgate\n{ours}"));
    }
    wrong
}
