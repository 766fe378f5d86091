//! A view as lines of text.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::figures::{bytes, count, share, time};
use super::table::{Column, Table, cut};
use super::view::{Breaker, EndpointRow, PluginRow, RouteRow, StageRow, View};

/// What a line is, for terminals that can show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    Plain,
    /// The head of a table.
    Head,
    /// Something is wrong.
    Alarm,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub weight: Weight,
    pub text: String,
}

/// Columns and lines of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    pub width: usize,
    pub height: usize,
}

const ROUTES: [Column; 6] = [
    Column { head: "ROUTE", right: false, spare: 0 },
    Column { head: "REQ/S", right: true, spare: 0 },
    Column { head: "4XX", right: true, spare: 2 },
    Column { head: "5XX", right: true, spare: 1 },
    Column { head: "MEAN", right: true, spare: 3 },
    Column { head: "P99", right: true, spare: 4 },
];

const STAGES: [Column; 14] = [
    Column { head: "ROUTE", right: false, spare: 0 },
    Column { head: "PLUGIN", right: false, spare: 0 },
    Column { head: "HOOK", right: false, spare: 0 },
    Column { head: "CALLS/S", right: true, spare: 0 },
    Column { head: "MEAN", right: true, spare: 0 },
    Column { head: "GUEST", right: true, spare: 3 },
    Column { head: "HOST", right: true, spare: 4 },
    Column { head: "QUEUE", right: true, spare: 5 },
    Column { head: "IN", right: true, spare: 6 },
    Column { head: "OUT", right: true, spare: 7 },
    Column { head: "MEMORY", right: true, spare: 8 },
    Column { head: "RECYCLED/S", right: true, spare: 9 },
    Column { head: "FAILURES/S", right: false, spare: 1 },
    Column { head: "VERDICTS/S", right: false, spare: 2 },
];

const PLUGINS: [Column; 5] = [
    Column { head: "PLUGIN", right: false, spare: 0 },
    Column { head: "LIVE", right: true, spare: 1 },
    Column { head: "IDLE", right: true, spare: 2 },
    Column { head: "WAITING", right: true, spare: 3 },
    Column { head: "BREAKER", right: false, spare: 0 },
];

const ENDPOINTS: [Column; 5] = [
    Column { head: "UPSTREAM", right: false, spare: 0 },
    Column { head: "ENDPOINT", right: false, spare: 0 },
    Column { head: "STATE", right: false, spare: 0 },
    Column { head: "IN FLIGHT", right: true, spare: 2 },
    Column { head: "FAILURES/S", right: false, spare: 1 },
];

/// The lines of a view: `title`, what is wrong, the figures of the whole, and the tables. With a size they fit it, and what
/// does not is counted.
pub fn render(title: &str, trouble: Option<&str>, view: Option<&View>, size: Option<Size>) -> Vec<Line> {
    let width = size.map(|size| size.width);
    let fitting = |text: &str| width.map_or_else(|| text.to_owned(), |width| cut(text, width));
    let mut lines = vec![Line { weight: Weight::Plain, text: fitting(title) }];
    if let Some(trouble) = trouble {
        let wrapped = wrap(trouble, width.unwrap_or(usize::MAX));
        lines.extend(wrapped.into_iter().map(|text| Line { weight: Weight::Alarm, text }));
    }
    if let Some(view) = view {
        if view.restarted {
            let text = fitting("the gateway was started anew: what it did since then counts");
            lines.push(Line { weight: Weight::Alarm, text });
        }
        lines.push(Line { weight: Weight::Plain, text: fitting(&summary(view)) });
        let tables = [
            Table { columns: &ROUTES, rows: view.routes.iter().map(route).collect() },
            Table { columns: &STAGES, rows: view.stages.iter().map(stage).collect() },
            Table { columns: &PLUGINS, rows: view.plugins.iter().map(plugin).collect() },
            Table { columns: &ENDPOINTS, rows: view.endpoints.iter().map(endpoint).collect() },
        ];
        add_tables(&mut lines, &tables, size);
    }
    lines.truncate(size.map_or(usize::MAX, |size| size.height));
    lines
}

/// Adds the tables that have rows, with as many rows of each as there is room for.
fn add_tables(lines: &mut Vec<Line>, tables: &[Table<'_>], size: Option<Size>) {
    let tables: Vec<_> = tables.iter().filter(|table| !table.rows.is_empty()).collect();
    let wanted: Vec<usize> = tables.iter().map(|table| table.rows.len()).collect();
    // Each table has an empty line before it, and its head.
    let taken = lines.len() + 2 * tables.len();
    let given = size.map_or_else(|| wanted.clone(), |size| shared(size.height.saturating_sub(taken), &wanted));
    for (table, given) in tables.into_iter().zip(given) {
        // The line that counts the others takes the place of a row.
        let rows = if given < table.rows.len() { given.saturating_sub(1) } else { given };
        lines.push(Line { weight: Weight::Plain, text: String::new() });
        let mut weight = Weight::Head;
        for text in table.lines(size.map(|size| size.width), rows) {
            lines.push(Line { weight, text });
            weight = Weight::Plain;
        }
        if rows < table.rows.len() && given > 0 {
            let others = format!("and {} more", table.rows.len() - rows);
            let text = size.map_or_else(|| others.clone(), |size| cut(&others, size.width));
            lines.push(Line { weight: Weight::Plain, text });
        }
    }
}

/// Shares lines among tables: each in turn gets one more until it has what it wants.
fn shared(mut room: usize, wanted: &[usize]) -> Vec<usize> {
    let mut given = vec![0; wanted.len()];
    while room > 0 && given != wanted {
        for (given, wanted) in given.iter_mut().zip(wanted) {
            if room > 0 && *given < *wanted {
                *given += 1;
                room -= 1;
            }
        }
    }
    given
}

/// Lines of at most this many characters, broken at spaces where there are any.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(cut(word, width)),
        }
    }
    lines
}

fn summary(view: &View) -> String {
    let mut text = format!(
        "generation {}, {} requests/s, {} in flight, {} failures/s of plugins",
        view.generation,
        count(view.requests_per_s),
        view.in_flight,
        count(view.failures_per_s),
    );
    if view.heads_refused_per_s > 0.0 {
        let _ = write!(text, ", {} heads refused/s", count(view.heads_refused_per_s));
    }
    text
}

/// A name as it can be shown: names of a configuration stay as they are, and nothing else reaches the terminal as it is.
fn name(text: &str) -> String {
    text.escape_default().collect()
}

fn route(row: &RouteRow) -> Vec<String> {
    let above = if row.p99_exceeded { ">" } else { "" };
    vec![
        name(&row.route),
        count(row.requests_per_s),
        share(row.share_4xx),
        share(row.share_5xx),
        time(row.mean_s),
        format!("{above}{}", time(row.p99_s)),
    ]
}

fn stage(row: &StageRow) -> Vec<String> {
    vec![
        name(&row.route),
        name(&row.plugin),
        name(row.hook.strip_prefix("on-").unwrap_or(&row.hook)),
        count(row.calls_per_s),
        time(row.mean_s),
        time(row.guest_s),
        time(row.host_s),
        time(row.queue_s),
        bytes(row.bytes_in),
        bytes(row.bytes_out),
        bytes(Some(row.memory_peak_bytes as f64)),
        count(row.recycled_per_s),
        rates(&row.failures_per_s),
        rates(&row.verdicts_per_s),
    ]
}

/// `refuse 12.3, respond 4`.
fn rates(rates: &BTreeMap<String, f64>) -> String {
    if rates.is_empty() {
        return "-".to_owned();
    }
    let rates: Vec<_> = rates.iter().map(|(label, rate)| format!("{} {}", name(label), count(*rate))).collect();
    rates.join(", ")
}

fn plugin(row: &PluginRow) -> Vec<String> {
    let breaker = match row.breaker {
        Breaker::Closed => "-",
        Breaker::HalfOpen => "half-open",
        Breaker::Open => "open",
    };
    vec![name(&row.plugin), row.live.to_string(), row.idle.to_string(), row.waiting.to_string(), breaker.to_owned()]
}

fn endpoint(row: &EndpointRow) -> Vec<String> {
    let state = if row.down { "fails" } else { "-" };
    vec![
        name(&row.upstream),
        name(&row.endpoint),
        state.to_owned(),
        row.in_flight.to_string(),
        rates(&row.failures_per_s),
    ]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn view(routes: usize, stages: usize) -> View {
        let route = |at| RouteRow { route: format!("route-{at}"), requests_per_s: 12.5, ..RouteRow::default() };
        let stage = |at| StageRow {
            route: "api".to_owned(),
            plugin: format!("plugin-{at}"),
            hook: "on-request-headers".to_owned(),
            calls_per_s: 3.0,
            mean_s: Some(4.5e-6),
            failures_per_s: BTreeMap::from([("trap".to_owned(), 1.5)]),
            ..StageRow::default()
        };
        View {
            generation: 3,
            routes: (0..routes).map(route).collect(),
            stages: (0..stages).map(stage).collect(),
            plugins: vec![PluginRow { plugin: "p".to_owned(), breaker: Breaker::Open, ..PluginRow::default() }],
            endpoints: vec![EndpointRow {
                upstream: "u".to_owned(),
                endpoint: "127.0.0.1:80".to_owned(),
                down: true,
                in_flight: 2,
                failures_per_s: BTreeMap::from([("refused".to_owned(), 1.5)]),
            }],
            ..View::default()
        }
    }

    fn text(lines: &[Line]) -> String {
        lines.iter().map(|line| format!("{}\n", line.text)).collect()
    }

    #[test]
    fn without_a_size_everything_is_shown() {
        let shown = text(&render("title", None, Some(&view(2, 1)), None));
        let expected = "title
generation 3, 0 requests/s, 0 in flight, 0 failures/s of plugins

ROUTE    REQ/S  4XX  5XX  MEAN  P99
route-0   12.5    0    0     -    -
route-1   12.5    0    0     -    -

ROUTE  PLUGIN    HOOK             CALLS/S    MEAN  GUEST  HOST  QUEUE  IN  OUT  MEMORY  RECYCLED/S  FAILURES/S  VERDICTS/S
api    plugin-0  request-headers        3  4.50us      -     -      -   -    -       0           0  trap 1.50   -

PLUGIN  LIVE  IDLE  WAITING  BREAKER
p          0     0        0  open

UPSTREAM  ENDPOINT      STATE  IN FLIGHT  FAILURES/S
u         127.0.0.1:80  fails          2  refused 1.50
";
        assert_eq!(shown, expected);
    }

    #[test]
    fn what_does_not_fit_the_height_is_counted() {
        let shown = text(&render("title", None, Some(&view(30, 40)), Some(Size { width: 80, height: 24 })));
        // Of 24 lines 2 are the header's and 8 the heads'; plugin and endpoint have one each, the others share 12.
        assert!(shown.contains("route-4") && shown.contains("\nand 25 more\n"), "{shown}");
        assert!(shown.contains("plugin-4") && shown.contains("\nand 35 more\n"), "{shown}");
        assert!(shown.contains("open\n") && shown.ends_with("refused 1.50\n"), "{shown}");
        assert_eq!(shown.lines().count(), 24, "{shown}");
    }

    #[test]
    fn names_cannot_control_the_terminal() {
        let mut view = view(1, 1);
        view.routes[0].route = "\u{1b}[2Jevil\n".to_owned();
        view.stages[0].plugin = "\u{202e}p".to_owned();
        view.stages[0].verdicts_per_s.insert("\u{7}".to_owned(), 1.0);
        let shown = text(&render("title", None, Some(&view), None));
        assert!(shown.contains(r"\u{1b}[2Jevil\n") && shown.contains(r"\u{202e}p"), "{shown}");
        assert!(shown.chars().all(|c| c == '\n' || (' '..='~').contains(&c)), "{shown:?}");
    }

    #[test]
    fn trouble_and_a_restart_stand_above_the_figures() {
        let view = View { restarted: true, ..view(1, 0) };
        let lines = render(
            "title",
            Some("nobody answers, start the gateway"),
            Some(&view),
            Some(Size { width: 20, height: 9 }),
        );
        let alarms: Vec<_> = lines.iter().filter(|line| line.weight == Weight::Alarm).map(|line| &*line.text).collect();
        assert_eq!(alarms, ["nobody answers,", "start the gateway", "the gateway was sta~"]);
    }

    proptest! {
        #[test]
        fn no_view_is_larger_than_its_terminal(
            (routes, stages) in (0_usize..30, 0_usize..30),
            (width, height) in (0_usize..120, 0_usize..50),
            trouble in proptest::option::of(".{0,60}"),
        ) {
            let lines = render("title", trouble.as_deref(), Some(&view(routes, stages)), Some(Size { width, height }));
            prop_assert!(lines.len() <= height);
            for line in lines {
                prop_assert!(line.text.chars().count() <= width, "{:?}", line.text);
            }
        }

        #[test]
        fn shared_lines_are_all_used_and_never_more_than_wanted(room in 0_usize..50, wanted in proptest::collection::vec(0_usize..20, 1..4)) {
            let given = shared(room, &wanted);
            prop_assert_eq!(given.iter().sum::<usize>(), room.min(wanted.iter().sum()));
            prop_assert!(given.iter().zip(&wanted).all(|(given, wanted)| given <= wanted));
        }
    }
}
