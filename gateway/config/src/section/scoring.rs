//! Stage entries with `inference`: a model scores the request.

use std::time::Duration;

use super::routes::Names;
use crate::kind::{At, Choice, FieldName, List, ModelVersionName, NameOf, Number, Output, Percent, Real, Time};
use crate::source::Read;
use crate::table::{Key, Reload, Section, Table};
use crate::{Level, OnError, Scoring, ScoringMode, Threshold, When};

/// Scores above this hold back no request that a person would notice; a tiny model takes a hundredth.
const DEADLINE: Duration = Duration::from_millis(5);

/// Keys that only mean something beside `inference`.
pub(super) const KEYS: [&str; 12] = [
    "inputs",
    "output",
    "when",
    "deadline",
    "on_error",
    "fallback_score",
    "refuse_above",
    "refuse_below",
    "tag",
    "levels",
    "mode",
    "rate_bucket",
];

/// Inputs of a model for scoring.
const INPUTS_LIMIT: usize = 16;
/// Thresholds of one stage.
const LEVELS_LIMIT: usize = 16;

const OUTPUT: Key<At<Output>> = Key {
    name: "output",
    kind: At(Output),
    example: "\"probabilities[1]\"",
    doc: "With `inference`: the output that has the score, and in brackets which number of its row: the column, counted from 0, \
          or the class, if the model names its classes (`\"probabilities[bot]\"`; classes that are numbers stand in quotes, \
          `'probabilities[\"2\"]'`). Nothing in brackets is needed for a row of one number, and for classes 0 and 1 or -1 and 1, \
          of which 1 is taken. Without `output` this has to be so of the only output of floating-point numbers. \
          `witgate model inspect FILE` tells what a model has.",
};

const WHEN: Section = Section {
    name: "when",
    reload: Reload::Live,
    doc: "With `inference`: which requests are scored. All that is named has to hold; without it, all are.",
};

const METHODS: Key<List<Choice<&'static str>>> = Key {
    name: "methods",
    kind: List {
        kind: Choice(&[
            ("GET", "GET"),
            ("HEAD", "HEAD"),
            ("POST", "POST"),
            ("PUT", "PUT"),
            ("PATCH", "PATCH"),
            ("DELETE", "DELETE"),
            ("OPTIONS", "OPTIONS"),
        ]),
        least: 1,
        most: 7,
    },
    example: "[\"POST\", \"PUT\"]",
    doc: "Requests with one of these methods.",
};

const HEADER: Key<FieldName> =
    Key { name: "header", kind: FieldName::Seen, example: "\"authorization\"", doc: "Requests that have this field." };

const SHARE: Key<Percent> =
    Key { name: "share", kind: Percent, example: "\"10%\"", doc: "This share of requests, drawn at random." };

const DEADLINE_KEY: Key<Time> = Key {
    name: "deadline",
    kind: Time { least: Duration::from_micros(100), most: Duration::from_secs(60) },
    example: "\"5ms\"",
    doc: "With `inference`: how long a request waits for its score, queue and run together (`on_error`).",
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Without {
    Deny,
    Skip,
    Fallback,
}

const ON_ERROR: Key<Choice<Without>> = Key {
    name: "on_error",
    kind: Choice(&[("deny", Without::Deny), ("skip", Without::Skip), ("fallback", Without::Fallback)]),
    example: "\"skip\"",
    doc: "With `inference`: what happens if there is no score, because the deadline has passed, too many wait, or the model \
          fails. `\"deny\"`: the request is refused. `\"skip\"`: it goes on as if the stage were not there. `\"fallback\"`: \
          `fallback_score` is the score. Without it, `\"fallback\"` if there is such a score, or else `\"deny\"`.",
};

const FALLBACK: Key<Real> = Key {
    name: "fallback_score",
    kind: Real { least: -1e9, most: 1e9 },
    example: "0.0",
    doc: "With `inference`: the score of requests that the model gives none.",
};

const REFUSE_ABOVE: Key<Real> = Key {
    name: "refuse_above",
    kind: Real { least: -1e9, most: 1e9 },
    example: "0.95",
    doc: "With `inference`: requests with a higher score get 403. Without it and `refuse_below`, none does.",
};

const REFUSE_BELOW: Key<Real> = Key {
    name: "refuse_below",
    kind: Real { least: -1e9, most: 1e9 },
    example: "-0.1",
    doc: "With `inference`: requests with a lower score get 403: for isolation forests and other models that say how ordinary \
          something is. Not beside `refuse_above`.",
};

const TAG: Key<FieldName> = Key {
    name: "tag",
    kind: FieldName::Set,
    example: "\"x-abuse-score\"",
    doc: "With `inference`: a request field that tells the upstream the score, with four decimals. One that the client sent is \
          removed in any case.",
};

const LEVELS: Section = Section {
    name: "levels",
    reload: Reload::Live,
    doc: "With `inference`: what scores mean besides, all of them `above` or all of them `below` a threshold, each further out \
          than the one before. Of all levels that hold for a score, the last that says something of a matter counts.",
};

const ABOVE: Key<Real> = Key {
    name: "above",
    kind: Real { least: -1e9, most: 1e9 },
    example: "0.5",
    doc: "Scores that are higher than this.",
};

const BELOW: Key<Real> = Key {
    name: "below",
    kind: Real { least: -1e9, most: 1e9 },
    example: "-0.05",
    doc: "Scores that are lower than this.",
};

const PRIORITY: Key<Number> = Key {
    name: "priority",
    kind: Number { least: 0, most: 255 },
    example: "10",
    doc: "Sets the attribute `priority`, by which the plugin `shed` of a later stage sheds (`priority_attribute`).",
};

const COST: Key<Number> = Key {
    name: "cost",
    kind: Number { least: 1, most: 1_000_000 },
    example: "5",
    doc: "Sets the attribute `cost`: tokens that the plugin `rate-limit` of a later stage takes (`cost_attribute`).",
};

const MODE: Key<Choice<ScoringMode>> = Key {
    name: "mode",
    kind: Choice(&[("enforce", ScoringMode::Enforce), ("shadow", ScoringMode::Shadow)]),
    example: "\"shadow\"",
    doc: "With `inference`: `\"shadow\"` only counts scores, in metrics and in the access log; no request waits for its score \
          or is treated differently for it.",
};

/// Reads what an entry with `inference` has, or nothing but its keys if it has none.
pub(super) fn read(table: &mut Table<'_>, names: &Names<'_>) -> Read<Option<Scoring>> {
    let model = Key {
        name: "inference",
        kind: At(ModelVersionName { names: names.models }),
        example: "\"abuse\"",
        doc: "The model that scores requests: its name in `[models]`, with `@VERSION` for one that is not the latest. Either \
              this or `plugin`.",
    };
    let inputs = Key {
        name: "inputs",
        kind: List { kind: NameOf { table: "features", names: names.features }, least: 1, most: INPUTS_LIMIT },
        example: "[\"request-shape\"]",
        doc: "With `inference`: feature sets, one for each input of the model in its order. A model with an input for each number, \
              as exporters make of the columns of a table, gets each by its name (docs/inference/features.md).",
    };
    let upstream = Key {
        name: "upstream",
        kind: NameOf { table: "upstreams", names: names.upstreams },
        example: "\"honeypot\"",
        doc: "Sends the request to this upstream instead of the route's.",
    };
    let rate_bucket = Key {
        name: "rate_bucket",
        kind: NameOf { table: "buckets", names: names.granted.buckets },
        example: "\"per-client\"",
        doc: "With `inference`: the bucket whose missing tokens the feature `rate` tells, those of the client's address. It counts \
              what the plugin `rate-limit` takes with `key = \"client\"`; scoring takes none.",
    };
    let model = table.optional(&model);
    let inputs = table.optional(&inputs);
    let output = table.optional(&OUTPUT);
    let when = table.section(&WHEN, |table| {
        let (methods, header, share) = (table.optional(&METHODS), table.optional(&HEADER), table.optional(&SHARE));
        let methods = methods?.map(|methods| methods.into_iter().map(str::to_owned).collect());
        Ok(When { methods, header: header?, share_permille: share? })
    });
    let deadline = table.or(&DEADLINE_KEY, DEADLINE);
    let (on_error, fallback) = (table.optional(&ON_ERROR), table.optional(&FALLBACK));
    let on_error = read_on_error(table, on_error, fallback);
    let (above, below) = (table.optional(&REFUSE_ABOVE), table.optional(&REFUSE_BELOW));
    let refuse = read_refuse(table, above, below);
    let tag = table.optional(&TAG);
    let levels = table.list(&LEVELS, |table| {
        let (above, below) = (table.optional(&ABOVE), table.optional(&BELOW));
        let threshold = read_threshold(table, above, below);
        let (priority, cost) = (table.optional(&PRIORITY), table.optional(&COST));
        let upstream = table.optional(&upstream);
        let priority = priority?.and_then(|priority| u8::try_from(priority).ok());
        Ok(Level { threshold: threshold?, priority, cost: cost?, upstream: upstream? })
    });
    let levels = levels.and_then(|levels| sorted(table, levels));
    let mode = table.or(&MODE, ScoringMode::Enforce);
    let rate_bucket = table.optional(&rate_bucket);
    let Some(model) = model? else { return Ok(None) };
    let Some(inputs) = inputs? else {
        let message = "missing: expected the feature sets that the model gets";
        return Err(table.fail_at("inputs", message, "add `inputs = [\"NAME\"]`, with a `[features.NAME]`"));
    };
    Ok(Some(Scoring {
        model,
        inputs,
        output: output?,
        when: when?.unwrap_or_default(),
        deadline: deadline?,
        on_error: on_error?,
        refuse: refuse?,
        tag: tag?,
        levels: levels?,
        mode: mode?,
        rate_bucket: rate_bucket?,
    }))
}

fn read_on_error(table: &Table<'_>, on_error: Read<Option<Without>>, fallback: Read<Option<f64>>) -> Read<OnError> {
    match (on_error?, fallback?) {
        (None | Some(Without::Fallback), Some(score)) => Ok(OnError::Score(score)),
        (None | Some(Without::Deny), None) => Ok(OnError::Deny),
        (Some(Without::Skip), None) => Ok(OnError::Skip),
        (Some(Without::Fallback), None) => {
            let message = "expected `fallback_score` beside `on_error = \"fallback\"`, got none";
            Err(table.fail_at(ON_ERROR.name, message, "add `fallback_score = 0.0`"))
        }
        (Some(Without::Deny | Without::Skip), Some(_)) => {
            let message = "expected `on_error = \"fallback\"` beside a score to fall back on";
            Err(table.fail_at(FALLBACK.name, message, "remove one of the two: only \"fallback\" uses the score"))
        }
    }
}

fn read_refuse(table: &Table<'_>, above: Read<Option<f64>>, below: Read<Option<f64>>) -> Read<Option<Threshold>> {
    match (above?, below?) {
        (Some(above), None) => Ok(Some(Threshold::Above(above))),
        (None, Some(below)) => Ok(Some(Threshold::Below(below))),
        (None, None) => Ok(None),
        (Some(_), Some(_)) => {
            let message = "expected `refuse_above` or `refuse_below`, got both";
            Err(table.fail_at(REFUSE_BELOW.name, message, "say which scores are the bad ones: high or low"))
        }
    }
}

fn read_threshold(table: &Table<'_>, above: Read<Option<f64>>, below: Read<Option<f64>>) -> Read<Threshold> {
    match (above?, below?) {
        (Some(above), None) => Ok(Threshold::Above(above)),
        (None, Some(below)) => Ok(Threshold::Below(below)),
        (None, None) => {
            let message = "expected `above` or `below`, got neither";
            Err(table.fail(message, "add `above = 0.5`, or `below` where low scores are the bad ones"))
        }
        (Some(_), Some(_)) => {
            let message = "expected `above` or `below`, got both";
            Err(table.fail_at(BELOW.name, message, "remove one of the two"))
        }
    }
}

fn sorted(table: &Table<'_>, levels: Vec<Level>) -> Read<Vec<Level>> {
    if levels.len() > LEVELS_LIMIT {
        let message = format!("expected at most {LEVELS_LIMIT} levels, got {}", levels.len());
        return Err(table.fail_at(LEVELS.name, message, "remove some"));
    }
    let pairs = || levels.iter().zip(levels.iter().skip(1)).map(|(one, next)| (one.threshold, next.threshold));
    let mixed =
        |pair| matches!(pair, (Threshold::Above(_), Threshold::Below(_)) | (Threshold::Below(_), Threshold::Above(_)));
    if pairs().any(mixed) {
        let message = "expected `above` in every level or `below` in every level, got both";
        return Err(table.fail_at(LEVELS.name, message, "say which scores are the bad ones: high or low"));
    }
    for pair in pairs() {
        let (key, order) = match pair {
            (Threshold::Above(one), Threshold::Above(next)) if one >= next => ("above", "ascending"),
            (Threshold::Below(one), Threshold::Below(next)) if one <= next => ("below", "descending"),
            _ => continue,
        };
        let message = format!("expected levels in {order} order of `{key}`, each with another threshold");
        let help = if key == "above" { "put the lowest first" } else { "put the highest first" };
        return Err(table.fail_at(LEVELS.name, message, help));
    }
    if levels.iter().any(|level| level.priority.is_none() && level.cost.is_none() && level.upstream.is_none()) {
        let message = "expected `priority`, `cost` or `upstream` in every level";
        return Err(table.fail_at(LEVELS.name, message, "say what a score beyond it means, or remove it"));
    }
    Ok(levels)
}
