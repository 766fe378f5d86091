//! Uses what plugins reach beyond the request, as `x-do` tells it, and answers with what came of it.

use witgate_sdk::outbound::{Call, fetch};
use witgate_sdk::{Action, ConfigError, Error, OnRequest, Plugin, Request, Response, metrics, random};

#[derive(serde::Deserialize)]
struct Config {}

struct Reach;

impl Plugin for Reach {
    const NAME: &'static str = "reach";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Reaches beyond the request";
    type Config = Config;

    fn configure(_: Config) -> Result<Self, ConfigError> {
        Ok(Self)
    }
}

impl OnRequest for Reach {
    fn on_request(&self, request: &Request<'_>, _: bool) -> Result<Action, Error> {
        let told = request.header_str("x-do").unwrap_or_default();
        let mut words = told.split(' ');
        let answer = match (words.next().unwrap_or_default(), words.next(), words.next()) {
            ("count", Some(label), _) => format!("{:?}", metrics::count("seen_total", &[("kind", label)], 2)),
            ("observe", ..) => format!("{:?}", metrics::observe("wait_seconds", &[], 0.3)),
            ("gauge", Some(value), _) => {
                format!("{:?}", metrics::gauge("level", &[], value.parse().unwrap_or_default()))
            }
            ("flood", ..) => {
                let made =
                    (0..1000).take_while(|n| metrics::count("flood", &[("n", &n.to_string())], 1).is_ok()).count();
                made.to_string()
            }
            ("random", ..) => format!("{:?} {}", random::bytes(16), random::number()),
            ("fetch", Some(upstream), Some(path)) => match fetch(&Call::get(upstream, path).field("x-from", "guest")) {
                Ok(reply) => format!("{} {}", reply.status, String::from_utf8_lossy(&reply.body)),
                Err(error) => error.name().to_owned(),
            },
            ("post", Some(upstream), Some(body)) => {
                let reply = fetch(&Call::new("POST", upstream, "/").body(body).timeout_ms(500));
                reply.map_or_else(|error| error.name().to_owned(), |reply| reply.status.to_string())
            }
            ("often", Some(upstream), _) => {
                let done = (0..20).take_while(|_| fetch(&Call::get(upstream, "/")).is_ok()).count();
                done.to_string()
            }
            _ => return Ok(Action::Continue),
        };
        Ok(Action::Respond(Response::new(200).body(answer)))
    }
}

witgate_sdk::export!(Reach: request);
