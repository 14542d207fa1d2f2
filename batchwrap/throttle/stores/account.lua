-- One account: the arithmetic of batchwrap/core/limits/account.py again, behind windows.lua.
--
-- KEYS[1]  the account
-- ARGV[1]  the operation
-- ARGV[2]  its arguments, as a JSON object
-- ARGV[3]  the time in seconds, for tests; empty for the server's own
--
-- Replies are texts, since Redis cuts numbers off at the point. The state is kept as
-- MessagePack, which holds doubles exactly; Redis' JSON rounds them to 14 digits, a tenth of
-- a millisecond in a time of today. Leases are a list here, in the order of their admission,
-- so that sums come out as in Python.

local function text(number)
  return string.format("%.17g", number)
end

local function place_of(list, id)
  for place, one in ipairs(list) do
    if one.id == id then return place end
  end
end

local function remove(list, id)
  local place = place_of(list, id)
  return place and table.remove(list, place)
end

local function alive(list, t)
  local kept = {}
  for _, one in ipairs(list) do
    if one.expires > t then table.insert(kept, one) end
  end
  return kept
end

local function named(meters, amounts)
  local made = {}
  for index, meter in ipairs(meters) do
    local amount = amounts[index]
    made[meter.name] = amount > 0 and math.min(amount, MOST) or 0
  end
  return made
end

-- The sum over the first `count` of a list.
local function sum(list, name, count)
  local total = 0
  for place = 1, count do
    total = total + (list[place].amounts[name] or 0)
  end
  return total
end

local function tick(state, now)
  local behind = state.at - (now + state.skew)
  if behind > BACK_S then state.skew = state.skew + behind end
  state.at = math.max(state.at, now + state.skew)
  return state.at
end

local function ebb(state, meter)
  local name = meter.name
  local used = state.buckets[name].used
  for _, held in ipairs(state.leases) do
    if held.low[name] then held.low[name] = math.min(held.low[name], used) end
  end
end

local function arrive(state, meters, held, when)
  for _, meter in ipairs(meters) do
    local name = meter.name
    if meter.mode == "continuous" and not held.low[name] then
      local bucket = state.buckets[name]
      turn(bucket, meter, when, when)
      ebb(state, meter)
      take(bucket, meter, when, held.amounts[name] or 0)
      held.low[name] = bucket.used
    end
  end
end

local function advance(state, meters, now)
  local t = tick(state, now)
  for _, meter in ipairs(meters) do
    state.buckets[meter.name] = state.buckets[meter.name] or fresh(meter, t)
  end
  for _, held in ipairs(state.leases) do
    local due = math.min(held.at + ARRIVAL_S, held.expires)
    if due <= t then arrive(state, meters, held, due) end
  end
  state.leases, state.queue = alive(state.leases, t), alive(state.queue, t)
  for _, meter in ipairs(meters) do
    turn(state.buckets[meter.name], meter, t, now)
    ebb(state, meter)
  end
end

local function used_of(state, meter)
  local used = state.buckets[meter.name].used
  for _, held in ipairs(state.leases) do
    if not held.low[meter.name] then used = used + (held.amounts[meter.name] or 0) end
  end
  return used
end

local function wait_for(state, meter, missing)
  if meter.mode ~= "concurrency" or missing <= 0 then
    return wait_s(state.buckets[meter.name], meter, state.at, missing)
  end
  local order, ends = alive(state.leases, state.at), state.at
  table.sort(order, function(one, other) return one.expires < other.expires end)
  for _, held in ipairs(order) do
    if missing > 0 then
      missing = missing - (held.amounts[meter.name] or 0)
      ends = held.expires
    end
  end
  return ends - state.at
end

-- The longest of the waits, and the place of its limit. `missing` says how much is missing of
-- a limit, or nil where it does not matter.
local function longest(state, meters, missing)
  local wait, limit = math.max(0, state.closed - state.at), nil
  for index, meter in ipairs(meters) do
    local amount = missing(meter)
    local one = amount and wait_for(state, meter, amount) or 0
    if one > wait then wait, limit = one, index end
  end
  return wait, limit
end

local function wait_of(state, meters, needs)
  return longest(state, meters, function(meter)
    return (needs[meter.name] or 0) + used_of(state, meter) - meter.capacity
  end)
end

local function shortest_wait(state, meters, needs, place)
  return longest(state, meters, function(meter)
    if meter.mode == "concurrency" then return nil end
    local ahead = sum(state.queue, meter.name, place - 1) + needs[meter.name]
    local back = sum(state.leases, meter.name, #state.leases)
    return ahead + used_of(state, meter) - back - meter.capacity
  end)
end

local function admit(state, meters, ticket, amounts, ttl_s)
  local t = state.at
  local held = {id = ticket, amounts = amounts, at = t, expires = t + ttl_s}
  held.alone, held.left, held.low = #state.leases == 0, {}, {}
  table.insert(state.leases, held)
  for _, meter in ipairs(meters) do
    local name = meter.name
    local bucket = state.buckets[name]
    if meter.mode == "fixed" or meter.mode == "rolling" then
      take(bucket, meter, t, held.amounts[name] or 0)
      held.low[name] = bucket.used
    end
    held.left[name] = meter.capacity - used_of(state, meter) + bucket.learned
  end
end

local function give_back(state, meter, held, amount)
  local name = meter.name
  if meter.mode == "continuous" then
    local low = held.low[name]
    amount = math.min(amount, low)
    for _, other in ipairs(state.leases) do
      local least = other.low[name]
      if least then other.low[name] = math.max(least - amount, math.min(least, low - amount)) end
    end
  end
  give(state.buckets[name], meter, amount, held.at)
end

local function correct(state, meter, held, remaining, same)
  local bucket, amount = state.buckets[meter.name], held.amounts[meter.name] or 0
  local gone = meter.mode == "fixed" and held.at < bucket.at
  if meter.mode == "concurrency" or gone or not held.left[meter.name] then return end
  local before, free = bucket.used, meter.capacity - used_of(state, meter)
  local then_free = held.left[meter.name] - bucket.learned
  if math.min(then_free, free) > remaining then
    take(bucket, meter, state.at, math.min(then_free, free) - remaining)
  elseif same and held.alone and #state.leases == 1 then
    local more = remaining - math.max(then_free, free) - amount
    give(bucket, meter, math.max(0, more), state.at)
  end
  bucket.learned = bucket.learned + (bucket.used - before)
end

local function admission(status, wait, limit)
  return {status, text(wait or 0), limit and text(limit - 1) or ""}
end

local operations = {}

function operations.reserve(state, asked, now)
  local meters = asked.meters
  advance(state, meters, now)
  local queue = state.queue
  if place_of(state.leases, asked.ticket) then return admission("admitted") end
  local needs = named(meters, asked.amounts)
  for index, meter in ipairs(meters) do
    if needs[meter.name] > meter.capacity then
      remove(queue, asked.ticket)
      return admission("never", 0, index)
    end
  end
  if #queue == 0 and wait_of(state, meters, needs) <= TICK_S then
    admit(state, meters, asked.ticket, needs, asked.lease_ttl_s)
    return admission("admitted")
  end
  local place = place_of(queue, asked.ticket)
  if not place then
    place = 1
    for _, other in ipairs(queue) do
      if other.priority <= asked.priority then place = place + 1 end
    end
    local wait, limit = shortest_wait(state, meters, needs, place)
    if wait > asked.max_wait_s then return admission("late", wait, limit) end
    local ticket = {id = asked.ticket, priority = asked.priority, amounts = needs}
    table.insert(queue, place, ticket)
  end
  queue[place].expires = state.at + asked.ticket_ttl_s
  local wait, limit = wait_of(state, meters, queue[1].amounts)
  if place == 1 and wait <= TICK_S then
    admit(state, meters, asked.ticket, table.remove(queue, 1).amounts, asked.lease_ttl_s)
    return admission("admitted")
  end
  if place > 1 then wait = math.min(wait, queue[1].expires - state.at) end
  return admission("waiting", math.max(wait, LEAST_WAIT_S), limit)
end

function operations.arrived(state, asked, now)
  advance(state, asked.meters, now)
  local place = place_of(state.leases, asked.lease)
  if place then arrive(state, asked.meters, state.leases[place], state.at) end
end

function operations.settle(state, asked, now)
  advance(state, asked.meters, now)
  local held = remove(state.leases, asked.lease)
  if not held then return end
  local real = named(asked.meters, asked.spent)
  for _, meter in ipairs(asked.meters) do
    local name = meter.name
    local more = real[name] - (held.low[name] and held.amounts[name] or 0)
    if more < 0 then
      give_back(state, meter, held, -more)
    elseif meter.mode ~= "concurrency" then
      take(state.buckets[name], meter, state.at, more)
    end
  end
end

function operations.leave(state, asked, now)
  local nothing = {}
  for index in ipairs(asked.meters) do nothing[index] = 0 end
  operations.settle(state, {meters = asked.meters, lease = asked.ticket, spent = nothing}, now)
  remove(state.queue, asked.ticket)
end

function operations.renew(state, asked, now)
  local t = tick(state, now)
  local place = place_of(state.queue, asked.holder)
  local found = place and state.queue[place]
  if not found then
    place = place_of(state.leases, asked.holder)
    found = place and state.leases[place]
  end
  if not found or found.expires <= t then return {"no"} end
  found.expires = t + asked.ttl_s
  return {"yes"}
end

function operations.close_for(state, asked, now)
  state.closed = math.max(state.closed, tick(state, now) + asked.seconds)
end

function operations.learn(state, asked, now)
  advance(state, asked.meters, now)
  local place = place_of(state.leases, asked.lease)
  for _, one in ipairs(asked.seen) do
    local meter = asked.meters[one.limit + 1]
    if one.ends_s then
      align(state.buckets[meter.name], meter, state.at, now, one.ends_s)
    end
    if one.remaining and one.remaining >= 0 and place then
      local same = one.capacity ~= nil and one.capacity <= meter.capacity
      correct(state, meter, state.leases[place], one.remaining, same)
    end
  end
end

function operations.snapshot(state, asked, now)
  advance(state, asked.meters, now)
  local closed_s = math.max(0, state.closed - state.at)
  local reply = {text(#state.leases), text(#state.queue), text(closed_s)}
  for _, meter in ipairs(asked.meters) do
    local used = used_of(state, meter)
    table.insert(reply, text(meter.capacity))
    table.insert(reply, text(meter.capacity - used))
    table.insert(reply, text(sum(state.leases, meter.name, #state.leases)))
    table.insert(reply, text(wait_for(state, meter, used)))
  end
  return reply
end

-- In how many seconds nothing of the account matters any more, as far as these limits tell.
local function over_s(state, meters)
  local over = state.closed
  for _, list in ipairs({state.leases, state.queue}) do
    for _, one in ipairs(list) do over = math.max(over, one.expires) end
  end
  local seconds = over - state.at
  for _, meter in ipairs(meters) do
    seconds = math.max(seconds, wait_for(state, meter, used_of(state, meter)))
  end
  return seconds
end

local key, asked, now = KEYS[1], cjson.decode(ARGV[2]), tonumber(ARGV[3])
if not now then
  local time = redis.call("TIME")
  now = time[1] + time[2] / 1e6
end
local kept = redis.call("GET", key)
local state = kept and cmsgpack.unpack(kept)
  or {at = now, skew = 0, closed = now, buckets = {}, leases = {}, queue = {}}
local reply = operations[ARGV[1]](state, asked, now)

-- Another process may have limits that are full later; so the time to live never gets shorter.
local ttl_s = math.min(over_s(state, asked.meters or {}) + KEEP_S, MOST_TTL_S)
local ttl_ms = math.max(math.ceil(ttl_s * 1000), redis.call("PTTL", key))
redis.call("SET", key, cmsgpack.pack(state), "PX", string.format("%.0f", ttl_ms))
return reply or {}
