-- The request's body, if there is one, and pauses: from `load.py`.
local body = os.getenv("LOAD_BODY")
if body and body ~= "" then
  wrk.method = "POST"
  wrk.body = assert(io.open(body, "rb")):read("*a")
end

-- One path after the other from a file, if there is one.
local paths = os.getenv("LOAD_PATHS")
if paths and paths ~= "" then
  local requests, at = {}, 0
  function init()
    for path in io.lines(paths) do
      requests[#requests + 1] = wrk.format(nil, path)
    end
  end
  function request()
    at = at % #requests + 1
    return requests[at]
  end
end

local pause = tonumber(os.getenv("LOAD_PAUSE") or 0)
if pause > 0 then
  function delay()
    return pause
  end
end

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
