//! Two readings, compared: what happened between them, by route, stage and plugin.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::exposition::{Exposition, Series};

/// Counters of the process: whatever is reloaded, they go on.
const OF_PROCESS: [&str; 3] =
    ["witgate_reloads_total", "witgate_heads_refused_total", "witgate_access_records_dropped_total"];

/// What happened within an interval. Field names are the keys of the JSON form, so they stay.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct View {
    pub interval_s: f64,
    /// Whether the gateway was started anew: then everything counts from that.
    pub restarted: bool,
    pub generation: u64,
    pub in_flight: u64,
    pub requests_per_s: f64,
    pub failures_per_s: f64,
    pub heads_refused_per_s: f64,
    pub routes: Vec<RouteRow>,
    pub stages: Vec<StageRow>,
    pub plugins: Vec<PluginRow>,
    pub endpoints: Vec<EndpointRow>,
}

#[derive(Debug, Default, PartialEq, Serialize)]
pub struct RouteRow {
    pub route: String,
    pub requests_per_s: f64,
    /// Of the requests, from 0 to 1.
    pub share_4xx: f64,
    pub share_5xx: f64,
    pub mean_s: Option<f64>,
    pub p99_s: Option<f64>,
    /// Whether the percentile lies above `p99_s`, which is then the greatest bound of a bucket.
    pub p99_exceeded: bool,
    /// Seconds of requests in each second.
    pub time_per_s: f64,
}

/// One hook of a plugin on a route. What is told of a call is its mean, and `None` if there was none.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct StageRow {
    pub route: String,
    pub plugin: String,
    pub hook: String,
    pub calls_per_s: f64,
    pub mean_s: Option<f64>,
    pub guest_s: Option<f64>,
    pub host_s: Option<f64>,
    pub queue_s: Option<f64>,
    pub bytes_in: Option<f64>,
    pub bytes_out: Option<f64>,
    /// Those that there were, but for `continue`.
    pub verdicts_per_s: BTreeMap<String, f64>,
    pub failures_per_s: BTreeMap<String, f64>,
    pub recycled_per_s: f64,
    pub memory_peak_bytes: u64,
    /// Seconds of this hook in each second.
    pub time_per_s: f64,
}

#[derive(Debug, Default, PartialEq, Serialize)]
pub struct PluginRow {
    pub plugin: String,
    pub live: u64,
    pub idle: u64,
    pub waiting: u64,
    pub breaker: Breaker,
}

#[derive(Debug, Default, PartialEq, Serialize)]
pub struct EndpointRow {
    pub upstream: String,
    pub endpoint: String,
    /// It fails.
    pub down: bool,
    pub in_flight: u64,
    /// Those that there were, by cause.
    pub failures_per_s: BTreeMap<String, f64>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Breaker {
    #[default]
    Closed,
    HalfOpen,
    Open,
}

impl View {
    /// What happened between two readings.
    pub fn between(before: &Exposition, after: &Exposition, interval: Duration) -> Self {
        let restarted = restarted(before, after);
        let mut sums = Sums::default();
        for (series, value) in after.iter() {
            let earlier = if restarted { None } else { before.get(series) };
            sums.take(series, value, increase(earlier, value));
        }
        // Two readings at the same moment, by the clock: no rate is infinite.
        let seconds = interval.as_secs_f64().max(1e-3);
        let routes: Vec<_> = sums.routes.into_iter().map(|(name, sum)| sum.row(name, seconds)).collect();
        let stages: Vec<_> = sums.stages.into_iter().map(|(key, sum)| sum.row(key, seconds)).collect();
        let mut plugins: Vec<_> = sums.plugins.into_iter().map(|(plugin, row)| PluginRow { plugin, ..row }).collect();
        // Those in trouble first, so that a small terminal does not hide them.
        plugins.sort_by_key(|row| (Reverse(row.breaker), Reverse(row.waiting)));
        let endpoints = sums.endpoints.into_iter().map(|(key, sum)| sum.row(key, seconds));
        let mut endpoints: Vec<_> = endpoints.collect();
        endpoints.sort_by_key(|row| Reverse((row.down, !row.failures_per_s.is_empty(), row.in_flight)));
        Self {
            interval_s: interval.as_secs_f64(),
            restarted,
            generation: whole(after.plain("witgate_generation").unwrap_or_default()),
            in_flight: whole(after.plain("witgate_requests_in_flight").unwrap_or_default()),
            requests_per_s: total(routes.iter().map(|row| row.requests_per_s)),
            failures_per_s: total(stages.iter().flat_map(|row| row.failures_per_s.values().copied())),
            heads_refused_per_s: sums.heads_refused / seconds,
            routes: by_cost(routes, |row| row.time_per_s),
            stages: by_cost(stages, |row| row.time_per_s),
            plugins,
            endpoints,
        }
    }
}

/// What a gauge counts: nothing below zero.
fn whole(value: f64) -> u64 {
    value as u64
}

/// A sum that begins at 0: that of nothing is -0 otherwise, and shown as that.
fn total(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, |sum, value| sum + value)
}

/// The most expensive first; what costs the same stays in the order of its names.
fn by_cost<T>(mut rows: Vec<T>, cost: impl Fn(&T) -> f64) -> Vec<T> {
    rows.sort_by(|one, other| cost(other).total_cmp(&cost(one)));
    rows
}

/// How much a counter has grown. One that went backwards belongs to a series that was removed and made again.
fn increase(earlier: Option<f64>, value: f64) -> f64 {
    match earlier {
        Some(earlier) if earlier <= value => value - earlier,
        _ => value,
    }
}

/// Whether the counters of `after` are those of another process. A reload can remove the series of a route, and the next
/// can make them again; so those tell only if no generation has come in between.
fn restarted(before: &Exposition, after: &Exposition) -> bool {
    let generation = |reading: &Exposition| reading.plain("witgate_generation").unwrap_or_default();
    let (earlier, later) = (generation(before), generation(after));
    let went_back = |(series, value): (&Series, f64)| {
        let name = series.name.as_str();
        let of_process = OF_PROCESS.contains(&name);
        let of_route = later == earlier && is_counter(name) && after.get(series).is_some_and(|later| later < value);
        of_route || (of_process && after.get(series).unwrap_or_default() < value)
    };
    later < earlier || before.iter().any(went_back)
}

/// Of the gateway's own series that this view reads, those that only grow.
fn is_counter(name: &str) -> bool {
    ["witgate_request", "witgate_stage_"].iter().any(|of| name.starts_with(of))
        && ["_total", "_count", "_sum"].iter().any(|kind| name.ends_with(kind))
}

/// What was counted within the interval, by whom it belongs to.
#[derive(Debug, Default)]
struct Sums {
    heads_refused: f64,
    routes: BTreeMap<String, RouteSum>,
    /// By route, plugin and hook.
    stages: BTreeMap<[String; 3], StageSum>,
    plugins: BTreeMap<String, PluginRow>,
    /// By upstream and address.
    endpoints: BTreeMap<[String; 2], EndpointSum>,
}

impl Sums {
    /// Takes one series: what it says now, and how much more that is than before.
    fn take(&mut self, series: &Series, value: f64, more: f64) {
        let name = series.name.as_str();
        match name.strip_prefix("witgate_") {
            Some("heads_refused_total") => self.heads_refused += more,
            Some("plugin_instances") => {
                let plugin = self.plugins.entry(series.label("plugin").to_owned()).or_default();
                match series.label("state") {
                    "live" => plugin.live += whole(value),
                    "idle" => plugin.idle += whole(value),
                    "waiting" => plugin.waiting += whole(value),
                    _ => {}
                }
            }
            Some("plugin_breaker") => {
                let plugin = self.plugins.entry(series.label("plugin").to_owned()).or_default();
                plugin.breaker = if value >= 2.0 {
                    Breaker::Open
                } else if value >= 1.0 {
                    Breaker::HalfOpen
                } else {
                    Breaker::Closed
                };
            }
            Some(metric @ ("requests_total" | "request_duration_seconds_sum" | "request_duration_seconds_bucket")) => {
                self.routes.entry(series.label("route").to_owned()).or_default().take(metric, series, more);
            }
            Some(metric @ ("upstream_up" | "upstream_requests_in_flight" | "upstream_failures_total")) => {
                let key = ["upstream", "endpoint"].map(|label| series.label(label).to_owned());
                self.endpoints.entry(key).or_default().take(metric, series, value, more);
            }
            Some(metric) => {
                let Some(metric) = metric.strip_prefix("stage_").filter(|metric| STAGE.contains(metric)) else {
                    return;
                };
                let key = ["route", "plugin", "hook"].map(|label| series.label(label).to_owned());
                self.stages.entry(key).or_default().take(metric, series, value, more);
            }
            None => {}
        }
    }
}

#[derive(Debug, Default)]
struct EndpointSum {
    down: bool,
    in_flight: f64,
    failures: BTreeMap<String, f64>,
}

impl EndpointSum {
    fn take(&mut self, metric: &str, series: &Series, value: f64, more: f64) {
        match metric {
            "upstream_up" => self.down = value < 1.0,
            "upstream_requests_in_flight" => self.in_flight = value,
            _ if more > 0.0 => *self.failures.entry(series.label("cause").to_owned()).or_default() += more,
            _ => {}
        }
    }

    fn row(self, [upstream, endpoint]: [String; 2], seconds: f64) -> EndpointRow {
        EndpointRow {
            upstream,
            endpoint,
            down: self.down,
            in_flight: whole(self.in_flight),
            failures_per_s: self.failures.into_iter().map(|(cause, count)| (cause, count / seconds)).collect(),
        }
    }
}

/// Metrics that make a row of a stage, after `witgate_stage_`.
const STAGE: [&str; 8] = [
    "duration_seconds_sum",
    "duration_seconds_count",
    "time_seconds_total",
    "bytes_total",
    "verdicts_total",
    "failures_total",
    "recycled_total",
    "memory_peak_bytes",
];

#[derive(Debug, Default)]
struct RouteSum {
    requests: f64,
    client_errors: f64,
    server_errors: f64,
    seconds: f64,
    /// Bound, and how many were not longer.
    buckets: Vec<(f64, f64)>,
}

impl RouteSum {
    fn take(&mut self, metric: &str, series: &Series, more: f64) {
        match metric {
            "requests_total" => {
                self.requests += more;
                match series.label("status") {
                    "4xx" => self.client_errors += more,
                    "5xx" => self.server_errors += more,
                    _ => {}
                }
            }
            "request_duration_seconds_sum" => self.seconds += more,
            _ => {
                if let Ok(bound) = series.label("le").parse() {
                    self.buckets.push((bound, more));
                }
            }
        }
    }

    fn row(mut self, route: String, seconds: f64) -> RouteRow {
        self.buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
        let timed = self.buckets.last().map_or(0.0, |(_, count)| *count);
        let p99 = quantile(&self.buckets, 0.99);
        let share = |of: f64| if self.requests > 0.0 { of / self.requests } else { 0.0 };
        RouteRow {
            route,
            requests_per_s: self.requests / seconds,
            share_4xx: share(self.client_errors),
            share_5xx: share(self.server_errors),
            mean_s: per(self.seconds, timed),
            p99_s: p99.map(|(value, _)| value),
            p99_exceeded: p99.is_some_and(|(_, exceeded)| exceeded),
            time_per_s: self.seconds / seconds,
        }
    }
}

/// A quantile, estimated as lying evenly within its bucket; and whether it is above all bounds, so that only the greatest
/// can be told. `buckets`: ascending, each counting what the ones before it count as well.
fn quantile(buckets: &[(f64, f64)], of: f64) -> Option<(f64, bool)> {
    let (_, total) = *buckets.last().filter(|(_, total)| *total > 0.0)?;
    let (mut least, mut below) = (0.0, 0.0);
    for &(bound, count) in buckets {
        if bound.is_infinite() {
            return Some((least, true));
        }
        if count >= total * of && count > below {
            return Some((least + (bound - least) * (total * of - below) / (count - below), false));
        }
        (least, below) = (bound, count);
    }
    Some((least, true))
}

/// A mean; none of nothing.
fn per(sum: f64, count: f64) -> Option<f64> {
    (count > 0.0).then(|| sum / count)
}

#[derive(Debug, Default)]
struct StageSum {
    calls: f64,
    seconds: f64,
    guest: f64,
    host: f64,
    queue: f64,
    bytes_in: f64,
    bytes_out: f64,
    verdicts: BTreeMap<String, f64>,
    failures: BTreeMap<String, f64>,
    recycled: f64,
    memory_peak: f64,
}

impl StageSum {
    fn take(&mut self, metric: &str, series: &Series, value: f64, more: f64) {
        match (metric, series.label("in"), series.label("direction")) {
            ("duration_seconds_sum", ..) => self.seconds += more,
            ("duration_seconds_count", ..) => self.calls += more,
            ("time_seconds_total", "guest", _) => self.guest += more,
            ("time_seconds_total", "host", _) => self.host += more,
            ("time_seconds_total", "queue", _) => self.queue += more,
            ("bytes_total", _, "in") => self.bytes_in += more,
            ("bytes_total", _, "out") => self.bytes_out += more,
            ("recycled_total", ..) => self.recycled += more,
            ("memory_peak_bytes", ..) => self.memory_peak = self.memory_peak.max(value),
            ("verdicts_total", ..) if more > 0.0 && series.label("verdict") != "continue" => {
                *self.verdicts.entry(series.label("verdict").to_owned()).or_default() += more;
            }
            ("failures_total", ..) if more > 0.0 => {
                *self.failures.entry(series.label("kind").to_owned()).or_default() += more;
            }
            _ => {}
        }
    }

    fn row(self, [route, plugin, hook]: [String; 3], seconds: f64) -> StageRow {
        let rates =
            |counts: BTreeMap<String, f64>| counts.into_iter().map(|(name, count)| (name, count / seconds)).collect();
        StageRow {
            route,
            plugin,
            hook,
            calls_per_s: self.calls / seconds,
            mean_s: per(self.seconds, self.calls),
            guest_s: per(self.guest, self.calls),
            host_s: per(self.host, self.calls),
            queue_s: per(self.queue, self.calls),
            bytes_in: per(self.bytes_in, self.calls),
            bytes_out: per(self.bytes_out, self.calls),
            verdicts_per_s: rates(self.verdicts),
            failures_per_s: rates(self.failures),
            recycled_per_s: self.recycled / seconds,
            memory_peak_bytes: whole(self.memory_peak),
            time_per_s: self.seconds / seconds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(before: &str, after: &str) -> View {
        let read = |text: &str| Exposition::parse(text).unwrap();
        View::between(&read(before), &read(after), Duration::from_secs(2))
    }

    #[test]
    fn requests_of_a_route_become_rates_shares_and_times() {
        let view = between(
            "witgate_generation 3\nwitgate_requests_total{method=\"GET\",route=\"r\",status=\"2xx\"} 10\n\
             witgate_request_duration_seconds_sum{route=\"r\"} 1\n\
             witgate_request_duration_seconds_bucket{route=\"r\",le=\"0.1\"} 10\n\
             witgate_request_duration_seconds_bucket{route=\"r\",le=\"+Inf\"} 10\n",
            "witgate_generation 3\nwitgate_requests_in_flight 4\n\
             witgate_requests_total{method=\"GET\",route=\"r\",status=\"2xx\"} 16\n\
             witgate_requests_total{method=\"PUT\",route=\"r\",status=\"2xx\"} 1\n\
             witgate_requests_total{method=\"GET\",route=\"r\",status=\"4xx\"} 2\n\
             witgate_requests_total{method=\"GET\",route=\"r\",status=\"5xx\"} 1\n\
             witgate_request_duration_seconds_sum{route=\"r\"} 2\n\
             witgate_request_duration_seconds_bucket{route=\"r\",le=\"0.1\"} 20\n\
             witgate_request_duration_seconds_bucket{route=\"r\",le=\"+Inf\"} 20\n",
        );
        assert_eq!((view.generation, view.in_flight, view.requests_per_s), (3, 4, 5.0));
        let row = &view.routes[0];
        assert_eq!((row.requests_per_s, row.share_4xx, row.share_5xx), (5.0, 0.2, 0.1));
        assert_eq!((row.mean_s, row.time_per_s, row.p99_exceeded), (Some(0.1), 0.5, false));
        assert!((row.p99_s.unwrap() - 0.099).abs() < 1e-9, "{row:?}");
    }

    #[test]
    fn a_call_costs_the_mean_of_the_interval_and_not_of_all_time() {
        let labels = r#"hook="on-log",plugin="p",route="r""#;
        let reading = |scale: u32| {
            format!(
                "witgate_generation 1\nwitgate_stage_duration_seconds_sum{{{labels}}} {scale}\n\
                 witgate_stage_duration_seconds_count{{{labels}}} {}\n\
                 witgate_stage_time_seconds_total{{{labels},in=\"guest\"}} {scale}\n\
                 witgate_stage_time_seconds_total{{{labels},in=\"queue\"}} {}\n\
                 witgate_stage_bytes_total{{{labels},direction=\"out\"}} {}\n\
                 witgate_stage_verdicts_total{{{labels},verdict=\"continue\"}} {scale}\n\
                 witgate_stage_verdicts_total{{{labels},verdict=\"refuse\"}} {scale}\n\
                 witgate_stage_failures_total{{{labels},kind=\"trap\"}} {}\n\
                 witgate_stage_failures_total{{{labels},kind=\"deadline\"}} 7\n\
                 witgate_stage_recycled_total{{{labels}}} {scale}\nwitgate_stage_memory_peak_bytes{{{labels}}} 99\n",
                scale * 2,
                scale * 4,
                scale * 200,
                scale * 6,
            )
        };
        let view = between(&reading(1), &reading(3));
        let row = &view.stages[0];
        assert_eq!((row.calls_per_s, row.mean_s, row.time_per_s), (2.0, Some(0.5), 1.0));
        assert_eq!((row.guest_s, row.host_s, row.queue_s), (Some(0.5), Some(0.0), Some(2.0)));
        assert_eq!((row.bytes_in, row.bytes_out, row.memory_peak_bytes), (Some(0.0), Some(100.0), 99));
        assert_eq!(row.verdicts_per_s, BTreeMap::from([("refuse".to_owned(), 1.0)]));
        assert_eq!(row.failures_per_s, BTreeMap::from([("trap".to_owned(), 6.0)]));
        assert_eq!((row.recycled_per_s, view.failures_per_s), (1.0, 6.0));
    }

    #[test]
    fn without_a_call_there_is_no_mean() {
        let same = "witgate_generation 1\nwitgate_stage_duration_seconds_count{hook=\"h\",plugin=\"p\",route=\"r\"} 5\n\
                    witgate_request_duration_seconds_bucket{route=\"r\",le=\"+Inf\"} 5\n";
        let view = between(same, same);
        assert_eq!((view.stages[0].calls_per_s, view.stages[0].mean_s), (0.0, None));
        assert_eq!((view.routes[0].mean_s, view.routes[0].p99_s), (None, None));
    }

    #[test]
    fn the_most_expensive_come_first_and_then_the_alphabet() {
        let labels = |plugin: &str, sum: u32| {
            format!("witgate_stage_duration_seconds_sum{{hook=\"h\",plugin=\"{plugin}\",route=\"r\"}} {sum}\n")
        };
        let after: String = [("a", 1), ("d", 3), ("c", 1), ("b", 2)].map(|(plugin, sum)| labels(plugin, sum)).concat();
        let order: Vec<_> = between("", &after).stages.into_iter().map(|row| row.plugin).collect();
        assert_eq!(order, ["d", "b", "a", "c"]);
    }

    #[test]
    fn a_gateway_started_anew_has_no_negative_rates() {
        let reading = |generation: u32, reloads: u32, requests: u32| {
            format!(
                "witgate_generation {generation}\nwitgate_reloads_total{{outcome=\"swapped\"}} {reloads}\n\
                 witgate_requests_total{{method=\"GET\",route=\"r\",status=\"2xx\"}} {requests}\n"
            )
        };
        let rate = |before: &str, after: &str| {
            let view = between(before, after);
            (view.restarted, view.requests_per_s)
        };
        assert_eq!(rate(&reading(1, 0, 100), &reading(1, 0, 6)), (true, 3.0), "requests went back");
        assert_eq!(rate(&reading(4, 3, 2), &reading(1, 0, 6)), (true, 3.0), "the generation went back");
        assert_eq!(rate(&reading(2, 5, 2), &reading(3, 2, 6)), (true, 3.0), "the reloads went back");
        assert_eq!(rate(&reading(2, 1, 0), "witgate_generation 2\n"), (true, 0.0), "the reloads are gone");
        assert_eq!(rate(&reading(1, 0, 100), &reading(3, 2, 6)), (false, 3.0), "the route went and came back");
        assert_eq!(rate(&reading(1, 0, 4), &reading(2, 1, 10)), (false, 3.0), "a reload is no restart");
    }

    #[test]
    fn a_percentile_above_all_bounds_is_told_as_that() {
        let buckets = [(1.0, 50.0), (2.0, 90.0), (f64::INFINITY, 100.0)];
        assert_eq!(quantile(&buckets, 0.99), Some((2.0, true)));
        assert_eq!(quantile(&buckets, 0.5), Some((1.0, false)));
        assert_eq!(quantile(&buckets, 0.7), Some((1.5, false)));
        assert_eq!(quantile(&[(1.0, 0.0), (f64::INFINITY, 0.0)], 0.99), None);
        assert_eq!(quantile(&[], 0.99), None);
    }

    #[test]
    fn plugins_have_instances_and_a_breaker() {
        let view = between(
            "",
            "witgate_plugin_instances{plugin=\"p\",state=\"live\"} 3\n\
             witgate_plugin_instances{plugin=\"p\",state=\"created\"} 9\n\
             witgate_plugin_instances{plugin=\"p\",state=\"idle\"} 2\n\
             witgate_plugin_instances{plugin=\"p\",state=\"waiting\"} 1\nwitgate_plugin_breaker{plugin=\"p\"} 2\n",
        );
        let expected = PluginRow { plugin: "p".to_owned(), live: 3, idle: 2, waiting: 1, breaker: Breaker::Open };
        assert_eq!(view.plugins, [expected]);
    }

    #[test]
    fn endpoints_that_fail_come_first_with_what_they_failed_of() {
        let of = |port: u32| format!("endpoint=\"127.0.0.1:{port}\",upstream=\"u\"");
        let (one, two, three) = (of(1), of(2), of(3));
        let view = between(
            &format!("witgate_upstream_failures_total{{cause=\"closed\",{one}}} 4\n"),
            &format!(
                "witgate_upstream_up{{{one}}} 1\nwitgate_upstream_up{{{two}}} 0\nwitgate_upstream_up{{{three}}} 1\n\
                 witgate_upstream_requests_in_flight{{{three}}} 5\n\
                 witgate_upstream_failures_total{{cause=\"closed\",{one}}} 4\n\
                 witgate_upstream_failures_total{{cause=\"refused\",{two}}} 6\n"
            ),
        );
        let rows: Vec<_> = view.endpoints.iter().map(|row| (row.endpoint.as_str(), row.down, row.in_flight)).collect();
        assert_eq!(rows, [("127.0.0.1:2", true, 0), ("127.0.0.1:3", false, 5), ("127.0.0.1:1", false, 0)]);
        assert_eq!(view.endpoints[0].failures_per_s, BTreeMap::from([("refused".to_owned(), 3.0)]));
        assert!(view.endpoints[2].failures_per_s.is_empty(), "those of before");
    }

    #[test]
    fn plugins_in_trouble_come_first() {
        let view = between(
            "",
            "witgate_plugin_breaker{plugin=\"a\"} 0\nwitgate_plugin_breaker{plugin=\"b\"} 1\n\
             witgate_plugin_breaker{plugin=\"c\"} 2\nwitgate_plugin_breaker{plugin=\"d\"} 0\n\
             witgate_plugin_instances{plugin=\"d\",state=\"waiting\"} 4\n",
        );
        let order: Vec<_> = view.plugins.iter().map(|row| row.plugin.as_str()).collect();
        assert_eq!(order, ["c", "b", "d", "a"]);
    }
}
