-- One bucket in each of its modes: the arithmetic of batchwrap/core/limits/windows.py in Lua.
-- The constants (TICK_S, DUST, …) are those of the Python modules; redis.py puts them before this.

-- The exact remainder, like Python's; Lua's own % rounds twice.
local function modulo(a, b)
  local rest = math.fmod(a, b)
  if rest < 0 then rest = rest + b end
  return rest
end

local function slice_of(meter, t)
  return math.floor(t / meter.per_s * SLICES)
end

local function outside_at(meter, number)
  return (number + 1) * meter.per_s / SLICES + meter.per_s
end

local function fresh(meter, t)
  local bucket = {used = 0, learned = 0, at = t}
  if meter.mode == "fixed" then
    bucket["until"] = -meter.per_s
  elseif meter.mode == "rolling" then
    bucket.slices = {}
  end
  return bucket
end

local function next_period(bucket, meter, t, now)
  local rest = meter.per_s - modulo(now - (bucket.phase or meter.offset_s), meter.per_s)
  local ends = t + rest
  if rest <= TICK_S or ends - bucket["until"] < meter.per_s / 2 then
    ends = ends + meter.per_s
  end
  bucket.used, bucket.at, bucket["until"] = 0, t, ends
end

local function turn(bucket, meter, t, now)
  if meter.mode == "continuous" then
    bucket.used = math.max(0, bucket.used - math.max(0, t - bucket.at) * meter.rate)
    bucket.at = math.max(bucket.at, t)
  elseif meter.mode == "fixed" and bucket["until"] - t <= TICK_S then
    next_period(bucket, meter, t, now)
  elseif meter.mode == "rolling" then
    local slices = bucket.slices
    while slices[1] and outside_at(meter, slices[1][1]) - t <= TICK_S do
      table.remove(slices, 1)
    end
    bucket.used = 0
    for _, slice in ipairs(slices) do
      bucket.used = bucket.used + slice[2]
    end
  end
end

local function take(bucket, meter, t, amount)
  bucket.used = bucket.used + amount
  if meter.mode == "rolling" then
    local number, last = slice_of(meter, t), bucket.slices[#bucket.slices]
    if last and last[1] == number then
      last[2] = last[2] + amount
    else
      table.insert(bucket.slices, {number, amount})
    end
  end
end

local function give(bucket, meter, amount, taken_at)
  if meter.mode == "fixed" and taken_at < bucket.at then return end
  if meter.mode == "rolling" then
    local number, there = slice_of(meter, taken_at), nil
    for _, slice in ipairs(bucket.slices) do
      if slice[1] == number then there = slice end
    end
    amount = math.min(amount, there and there[2] or 0)
    if there then there[2] = there[2] - amount end
  end
  bucket.used = math.max(0, bucket.used - amount)
end

local function slices_wait(bucket, meter, t, missing)
  for _, slice in ipairs(bucket.slices) do
    missing = missing - slice[2]
    if missing <= 0 then return outside_at(meter, slice[1]) - t end
  end
  return meter.per_s
end

local function wait_s(bucket, meter, t, missing)
  if missing <= meter.capacity * DUST then return 0 end
  if meter.mode == "continuous" then return missing / meter.rate end
  local whole = math.ceil(missing / meter.capacity) - 1
  if meter.mode == "fixed" then return bucket["until"] - t + whole * meter.per_s end
  return whole * meter.per_s + slices_wait(bucket, meter, t, missing - whole * meter.capacity)
end

local function align(bucket, meter, t, now, ends_s)
  if meter.mode ~= "fixed" or not (ends_s > 0 and ends_s <= meter.per_s + ROUNDING_S) then
    return
  end
  local ends = t + ends_s
  if math.abs(ends - bucket["until"]) <= ROUNDING_S then
    ends = math.max(ends, bucket["until"])
  end
  bucket["until"] = ends
  bucket.phase = modulo(now + ends - t, meter.per_s)
end
