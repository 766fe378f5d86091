//! `[models.NAME]`: ONNX models and how they are run.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::kind::{At, Choice, FilePath, Json, List, Name, Number, OrWord, Real, Time};
use crate::node::quote;
use crate::source::Read;
use crate::table::{Key, Reload, Section, Table};
use crate::{Batching, Beyond, Located, Model, ModelFile, Parity, Places, Spot};

const SECTION: Section = Section {
    name: "models",
    reload: Reload::Live,
    doc: "ONNX models that stages score requests with, that plugins with the grant `inference:NAME` can ask, and that routes \
          with `models` serve. The file, or several versions of it, are loaded and tried out by a reload; only then they take \
          the place of what serves.",
};

/// A burst that a tiny model works off in milliseconds.
const QUEUE_LIMIT: u32 = 256;
/// Longer than whoever scores requests can wait, and less than a client of the model server gives up after.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(1);
/// What is larger is better sent in parts: a run cannot be interrupted by another.
const BATCH_LIMIT: u32 = 64;
/// Twice of what handing a run to another thread and back costs, with room: beyond it the proxy's other requests would notice.
const INLINE_WITHIN: Duration = Duration::from_micros(50);
/// A third of the time that systemd gives a service to start in, if nobody tells it another. Models of usual exporters load in
/// milliseconds; only graphs of thousands of operators take seconds.
const LOAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Where most models have had most of the gain.
const BATCH_ROWS: u32 = 32;

/// Bins of the scores that metrics show.
pub(crate) const SCORE_BINS: usize = 20;

const PATH: Key<At<FilePath>> = Key {
    name: "path",
    kind: At(FilePath),
    example: "\"abuse.onnx\"",
    doc: "The model. A new file is a new version, and takes the old one's place. Not beside `versions`.",
};

const VERSIONS: Section = Section {
    name: "versions",
    reload: Reload::Live,
    doc: "Several versions that are there at once, instead of `path`: `NAME@2` is one of them, `NAME` the highest.",
};

const NUMBER: Key<Number> =
    Key { name: "version", kind: Number { least: 1, most: u32::MAX }, example: "2", doc: "Its number." };

const ALIASES: Key<List<Name>> = Key {
    name: "aliases",
    kind: List { kind: Name, least: 0, most: 8 },
    example: "[\"stable\"]",
    doc: "Other names of the version: `NAME@stable`. `latest` is always the highest.",
};

const INTRA: Key<Number> = Key {
    name: "intra_op_threads",
    kind: Number { least: 1, most: 64 },
    example: "1",
    doc: "Threads that one run may use in ONNX Runtime. More than one is for large models that few ask at a time. The embedded \
          runtime runs on the one thread that asks.",
};

const CONCURRENCY: Key<Number> = Key {
    name: "concurrency_limit",
    kind: Number { least: 1, most: 256 },
    example: "2",
    doc: "Runs of the model at once. Each has a session of its own, with a copy of the weights in ONNX Runtime. Without it, \
          as many as `inference.threads`.",
};

const QUEUE: Key<Number> = Key {
    name: "queue_limit",
    kind: Number { least: 0, most: 100_000 },
    example: "256",
    doc: "Requests that may wait while as many run as may. More fail at once.",
};

const QUEUE_TIME: Key<Time> = Key {
    name: "queue_timeout",
    kind: Time { least: Duration::from_millis(1), most: Duration::from_secs(300) },
    example: "\"1s\"",
    doc: "The longest that a request waits for its run.",
};

const ROWS: Key<Number> = Key {
    name: "batch_limit",
    kind: Number { least: 1, most: 65_536 },
    example: "64",
    doc: "Rows of one request: the first dimension of the inputs, where any size goes there and in an output. More are \
          refused.",
};

const BATCHING: Section = Section {
    name: "batching",
    reload: Reload::Live,
    doc: "Puts the rows of several requests together for one run. The model's inputs and outputs must have a first dimension \
          of any size; whether it gives a row for each row is tried out when it is loaded.",
};

const BATCH: Key<Number> =
    Key { name: "rows", kind: Number { least: 2, most: 65_536 }, example: "32", doc: "Most rows of one run." };

const WAIT: Key<Time> = Key {
    name: "wait",
    kind: Time { least: Duration::ZERO, most: Duration::from_secs(1) },
    example: "\"1ms\"",
    doc: "How long the first request waits for others. With `\"0ms\"` only those are put together that wait anyway, because \
          others run: that costs nobody time.",
};

const INLINE: Key<OrWord<Time>> = Key {
    name: "inline_within",
    kind: OrWord { word: "never", kind: Time { least: Duration::from_micros(1), most: Duration::from_millis(5) } },
    example: "\"50us\"",
    doc: "A model that took no longer than this when it was tried out runs on the proxy's own threads, which saves the way to \
          others and back, some ten microseconds. One that takes ten times as long later, in a quarter of its runs, does not any \
          more. Larger inputs than in the trial never do.",
};

const WARM_UP: Key<Choice<bool>> = Key {
    name: "warm_up",
    kind: Choice(&[("zeros", true), ("off", false)]),
    example: "\"off\"",
    doc: "`\"zeros\"`: it is run on zeros before it serves, and refused if it fails. `\"off\"`: it is not, for models that zeros \
          are no input of; then it never runs inline.",
};

const DIMENSIONS: Key<At<Json>> = Key {
    name: "dimensions",
    kind: At(Json),
    example: "{ sequence = 16 }",
    doc: "Sizes of named dimensions for the warm-up; 1 for those that are not here. `witgate model inspect` tells the names.",
};

const LOAD_TIME: Key<Time> = Key {
    name: "load_timeout",
    kind: Time { least: Duration::from_millis(1), most: Duration::from_secs(3600) },
    example: "\"30s\"",
    doc: "The longest that loading the model and trying it out may take, in which a start or a reload waits for it; beyond it the \
          model is refused. The embedded runtime stops then; ONNX Runtime cannot be stopped while it loads, only while it runs. \
          The log tells how long it took.",
};

const PARITY: Section = Section {
    name: "parity",
    reload: Reload::Live,
    doc: "Compares a new version with the one that serves when a reload replaces it: both are run on some inputs of late \
          requests. The log and metrics tell the largest difference of two outputs.",
};

const TOLERANCE: Key<Real> = Key {
    name: "tolerance",
    kind: Real { least: 0.0, most: 1e9 },
    example: "0.05",
    doc: "The largest difference that is nothing to speak of.",
};

const BEYOND: Key<Choice<Beyond>> = Key {
    name: "beyond",
    kind: Choice(&[("refuse", Beyond::Refuse), ("warn", Beyond::Warn)]),
    example: "\"refuse\"",
    doc: "What a larger one means: the reload is refused, or the log has a warning.",
};

const REFERENCE: Key<List<Real>> = Key {
    name: "score_reference",
    kind: List { kind: Real { least: 0.0, most: 1e12 }, least: SCORE_BINS, most: SCORE_BINS },
    example: "[60, 20, 8, 4, 2, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0]",
    doc: "How scores of stages were distributed when the model was made: counts or shares of twenty bins of equal width from 0 \
          to 1. With it, the metric `witgate_model_score_psi` tells how far the last 5 000 to 10 000 scores are from that \
          (population stability index: below 0.1 nothing has changed, above 0.25 much has).",
};

/// A model without any setting of its own, as those are that are loaded on request.
pub(crate) fn defaults() -> Model {
    Model {
        spot: Spot::default(),
        files: Vec::new(),
        intra_op_threads: 1,
        concurrency_limit: None,
        queue_limit: QUEUE_LIMIT as usize,
        queue_timeout: QUEUE_TIMEOUT,
        batch_limit: BATCH_LIMIT as usize,
        batching: None,
        inline_within: Some(INLINE_WITHIN),
        warm_up: Some(Vec::new()),
        load_timeout: LOAD_TIMEOUT,
        parity: None,
        score_reference: None,
    }
}

pub(super) fn read(root: &mut Table<'_>) -> Read<BTreeMap<String, Model>> {
    root.map(&SECTION, |table, _| {
        let files = read_files(table);
        let intra_op_threads = table.or(&INTRA, 1);
        let concurrency_limit = table.optional(&CONCURRENCY);
        let queue_limit = table.or(&QUEUE, QUEUE_LIMIT);
        let queue_timeout = table.or(&QUEUE_TIME, QUEUE_TIMEOUT);
        let batch_limit = table.or(&ROWS, BATCH_LIMIT);
        let batching = table.section(&BATCHING, |table| {
            let (rows, wait) = (table.or(&BATCH, BATCH_ROWS), table.or(&WAIT, Duration::ZERO));
            Ok(Batching { rows: rows? as usize, wait: wait? })
        });
        let inline_within = table.or(&INLINE, Some(INLINE_WITHIN));
        let warm_up = table.or(&WARM_UP, true);
        let dimensions = table.optional(&DIMENSIONS).and_then(|dimensions| read_dimensions(table, dimensions));
        let load_timeout = table.or(&LOAD_TIME, LOAD_TIMEOUT);
        let parity = table.section(&PARITY, |table| {
            let (tolerance, beyond) = (table.required(&TOLERANCE), table.or(&BEYOND, Beyond::Warn));
            Ok(Parity { tolerance: tolerance?, beyond: beyond? })
        });
        let score_reference = table.optional(&REFERENCE).and_then(|reference| check_reference(table, reference));
        Ok(Model {
            spot: table.spot(),
            files: files?,
            intra_op_threads: intra_op_threads? as usize,
            concurrency_limit: concurrency_limit?.map(|limit| limit as usize),
            queue_limit: queue_limit? as usize,
            queue_timeout: queue_timeout?,
            batch_limit: batch_limit? as usize,
            batching: batching?,
            inline_within: inline_within?,
            warm_up: Some(dimensions?).filter(|_| warm_up.unwrap_or(true)),
            load_timeout: load_timeout?,
            parity: parity?,
            score_reference: score_reference?,
        })
    })
}

fn read_files(table: &mut Table<'_>) -> Read<Vec<ModelFile>> {
    let path = table.optional(&PATH);
    let mut seen = BTreeMap::new();
    let versions = table.list(&VERSIONS, |table| {
        let (number, path, aliases) = (table.required(&NUMBER), table.required(&PATH), table.optional(&ALIASES));
        let number = u64::from(number?);
        if super::first_of(&mut seen, number, ()).is_some() {
            let message = format!("expected a number of its own, got {number}, which another version has");
            return Err(table.fail_at(NUMBER.name, message, "number the versions 1, 2, …"));
        }
        Ok(ModelFile { version: Some(number), path: path?, aliases: aliases?.unwrap_or_default() })
    });
    let (path, versions) = (path?, versions?);
    check_aliases(table, &versions)?;
    match (path, versions.is_empty()) {
        (Some(path), true) => Ok(vec![ModelFile { version: None, path, aliases: Vec::new() }]),
        (None, false) => Ok(versions),
        (None, true) => Err(table.fail("expected `path` or `versions`, got neither", "add `path = \"model.onnx\"`")),
        (Some(_), false) => {
            Err(table.fail_at(VERSIONS.name, "expected `path` or `versions`, got both", "remove one of the two"))
        }
    }
}

fn check_aliases(table: &Table<'_>, versions: &[ModelFile]) -> Read<()> {
    let mut seen = BTreeMap::new();
    for alias in versions.iter().flat_map(|version| &version.aliases) {
        let message = if super::first_of(&mut seen, alias, ()).is_some() {
            format!("expected one version for each alias, got `{alias}` twice")
        } else if alias == "latest" || alias.bytes().all(|byte| byte.is_ascii_digit()) {
            format!("expected an alias that means nothing else, got `{alias}`")
        } else {
            continue;
        };
        return Err(table.fail_at(VERSIONS.name, message, "rename it; numbers and `latest` are versions themselves"));
    }
    Ok(())
}

fn read_dimensions(
    table: &Table<'_>,
    dimensions: Option<Located<(serde_json::Value, Places)>>,
) -> Read<Vec<(String, usize)>> {
    let Some(Located { value: (serde_json::Value::Object(entries), places), .. }) = dimensions else {
        return Ok(Vec::new());
    };
    let size = |(name, size): (String, serde_json::Value)| {
        let size =
            size.as_u64().filter(|size| (1..=1_000_000).contains(size)).and_then(|size| usize::try_from(size).ok());
        size.map(|size| (name.clone(), size)).ok_or_else(|| {
            let message = format!("expected a whole number from 1 to 1000000 for the dimension {}", quote(&name));
            let spot = places.of_key(&name).map_or_else(|| table.spot_of(DIMENSIONS.name), |place| place.value.clone());
            table.source().report(&spot, message, "write `dimensions = { sequence = 16 }`")
        })
    };
    entries.into_iter().map(size).collect()
}

fn check_reference(table: &Table<'_>, reference: Option<Vec<f64>>) -> Read<Option<Vec<f64>>> {
    if reference.as_ref().is_some_and(|shares| shares.iter().sum::<f64>() <= 0.0) {
        let message = "expected at least one bin that is not empty, got only zeros";
        return Err(table.fail_at(REFERENCE.name, message, "give the counts of the scores of a test set"));
    }
    Ok(reference)
}
