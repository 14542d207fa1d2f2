-- The books of one account: a line for each minute and each day, and for each model.
--
-- KEYS[1], KEYS[2]  its minutes, and its days: hashes from "start model" to four counts
-- ARGV[1]           the model
-- ARGV[2]           the time in seconds, for tests; empty for the server's own
-- ARGV[3] to [6]    what is added to the counts

local model, now = ARGV[1], tonumber(ARGV[2])
if not now then
  local time = redis.call("TIME")
  now = time[1] + time[2] / 1e6
end

local function forget(key, before)
  for _, field in ipairs(redis.call("HKEYS", key)) do
    if tonumber(field:match("^%S+")) < before then redis.call("HDEL", key, field) end
  end
end

local function enter(key, span_s, kept_s)
  local field = string.format("%.0f %s", math.floor(now / span_s) * span_s, model)
  local line, counts = redis.call("HGET", key, field), {}
  -- New lines are rare, so old lines are looked for only then.
  if not line then forget(key, now - kept_s) end
  for count in (line or "0 0 0 0"):gmatch("%S+") do
    table.insert(counts, string.format("%.0f", count + ARGV[#counts + 3]))
  end
  redis.call("HSET", key, field, table.concat(counts, " "))
  redis.call("EXPIRE", key, kept_s)
end

enter(KEYS[1], MINUTE_S, MINUTES_KEPT_S)
enter(KEYS[2], DAY_S, DAYS_KEPT_S)
