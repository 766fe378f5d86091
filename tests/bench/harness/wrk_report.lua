-- What wrk measured, as one line of JSON for `load.py`.
function done(summary, latency, _requests)
  local errors = summary.errors
  print(string.format(
    '{"requests": %d, "requests_per_second": %f, "p50_us": %f, "p99_us": %f, "errors": %d}',
    summary.requests,
    summary.requests / (summary.duration / 1e6),
    latency:percentile(50),
    latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout
  ))
end
