-- wrk: sends the bodies of a file (one a line) in turn; prints one line of JSON at the end.
-- Environment: WRK_BODIES (file), WRK_PATH, WRK_TYPE (content type).
local requests, count, next_one = {}, 0, 0

function init()
  local headers = { ["Content-Type"] = os.getenv("WRK_TYPE") }
  for body in io.lines(os.getenv("WRK_BODIES")) do
    count = count + 1
    requests[count] = wrk.format("POST", os.getenv("WRK_PATH"), headers, body)
  end
end

function request()
  next_one = next_one % count + 1
  return requests[next_one]
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '{"requests":%d,"microseconds":%d,"p50":%d,"p95":%d,"p99":%d,"status":%d,"socket":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(95), latency:percentile(99),
    e.status, e.connect + e.read + e.write + e.timeout))
end
