-- One account: the arithmetic of batchwrap/core/limits/account.py in Lua; windows.lua precedes it.
--
-- KEYS[1]  the account
-- ARGV[1]  the operation
-- ARGV[2]  its arguments, as a JSON object
-- ARGV[3]  the time in seconds, for tests; empty for the server's own
--
-- Replies are strings, since Redis truncates numbers to integers. The state is kept as MessagePack,
-- which holds doubles exactly; Redis' JSON rounds them to 14 digits, which is a tenth of a
-- millisecond in a current time. Leases are a list here, in the order of admission, so that sums
-- have the same rounding as in Python.

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

local function named(meters, amounts)
  local made = {}
  for index, meter in ipairs(meters) do
    local amount = amounts[index]
    made[meter.name] = amount > 0 and math.min(amount, MAX_AMOUNT) or 0
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
  local before = state.at
  state.at = math.max(before, now + state.skew)
  if next(state.owners) then state.heard = state.heard + math.min(state.at - before, STEP_S) end
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

-- Removes the tickets for which `is_gone` is true; their reserved tokens stay spent.
local function drop(state, meters, is_gone)
  local leases, queue = {}, {}
  for _, held in ipairs(state.leases) do
    if is_gone(held) then
      arrive(state, meters, held, state.at)
    else
      table.insert(leases, held)
    end
  end
  for _, ticket in ipairs(state.queue) do
    if not is_gone(ticket) then table.insert(queue, ticket) end
  end
  state.leases, state.queue = leases, queue
end

local function bury(state, meters)
  local owners, died = state.owners, false
  for owner, last in pairs(owners) do
    if last <= state.heard then
      owners[owner], died = nil, true
    end
  end
  if died then
    drop(state, meters, function(one) return one.owner ~= "" and not owners[one.owner] end)
  end
end

local function advance(state, meters, now, heard_of)
  local t = tick(state, now)
  if heard_of and heard_of ~= "" then state.owners[heard_of] = state.heard + TTL_S end
  for _, meter in ipairs(meters) do
    state.buckets[meter.name] = state.buckets[meter.name] or fresh(meter, t)
  end
  for _, held in ipairs(state.leases) do
    if held.at <= t - ARRIVAL_S then arrive(state, meters, held, held.at + ARRIVAL_S) end
  end
  bury(state, meters)
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
  return math.huge
end

local function is_crowded(state, ahead)
  return state.crowd and #state.leases + ahead >= state.crowd.most
end

-- The longest wait and the index of its limit. `missing` returns how much of a limit is missing, or
-- nil if the limit does not matter.
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
  if is_crowded(state, 0) then return math.huge, nil end
  return longest(state, meters, function(meter)
    return (needs[meter.name] or 0) + used_of(state, meter) - meter.capacity
  end)
end

local function wait_at(state, meters, needs, place, all_comes_back)
  if not all_comes_back and is_crowded(state, place - 1) then return math.huge, nil end
  return longest(state, meters, function(meter)
    if meter.mode == "concurrency" and all_comes_back then return nil end
    local missing = sum(state.queue, meter.name, place - 1) + needs[meter.name]
    missing = missing + (used_of(state, meter) - meter.capacity)
    if all_comes_back then missing = missing - sum(state.leases, meter.name, #state.leases) end
    return missing
  end)
end

local function admit(state, meters, ticket, amounts, owner)
  local t = state.at
  local held = {id = ticket, owner = owner, amounts = amounts, at = t}
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

local function admission(status, wait, limit, expected)
  return {status, text(wait or 0), limit and text(limit - 1) or "", text(expected or 0)}
end

local operations = {}

function operations.reserve(state, asked, now)
  local meters = asked.meters
  advance(state, meters, now, asked.owner)
  local queue, expected, own_limit = state.queue, 0, nil
  if place_of(state.leases, asked.ticket) then return admission("admitted") end
  local needs = named(meters, asked.amounts)
  for index, meter in ipairs(meters) do
    if needs[meter.name] > meter.capacity then
      remove(queue, asked.ticket)
      return admission("never", 0, index)
    end
  end
  if #queue == 0 and wait_of(state, meters, needs) <= TICK_S then
    admit(state, meters, asked.ticket, needs, asked.owner)
    return admission("admitted")
  end
  local place = place_of(queue, asked.ticket)
  if not place then
    place = 1
    for _, other in ipairs(queue) do
      if other.priority <= asked.priority then place = place + 1 end
    end
    local wait, limit = wait_at(state, meters, needs, place, true)
    if wait > asked.max_wait_s then return admission("late", wait, limit) end
    expected, own_limit = wait_at(state, meters, needs, place, false)
    local ticket = {id = asked.ticket, owner = asked.owner, priority = asked.priority}
    ticket.since, ticket.amounts = state.at, needs
    table.insert(queue, place, ticket)
  end
  local wait, limit = wait_of(state, meters, queue[1].amounts)
  if place == 1 and wait <= TICK_S then
    admit(state, meters, asked.ticket, table.remove(queue, 1).amounts, asked.owner)
    return admission("admitted")
  end
  if place > 1 then wait = math.min(wait, TTL_S) end
  return admission("waiting", math.max(wait, MIN_WAIT_S), own_limit or limit, expected)
end

function operations.arrived(state, asked, now)
  advance(state, asked.meters, now)
  local place = place_of(state.leases, asked.ticket)
  if place then arrive(state, asked.meters, state.leases[place], state.at) end
end

local function relax(state)
  local crowd = state.crowd
  if not crowd or #state.leases + 1 < crowd.most then return end
  crowd.ended = crowd.ended + 1
  if crowd.ended >= crowd.patience then
    crowd.most, crowd.ended, crowd.grew = crowd.most + 1, 0, 1
  end
end

function operations.settle(state, asked, now)
  advance(state, asked.meters, now)
  local held = remove(state.leases, asked.ticket)
  if not held then return end
  relax(state)
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
  operations.settle(state, {meters = asked.meters, ticket = asked.ticket, spent = nothing}, now)
  remove(state.queue, asked.ticket)
end

function operations.renew(state, asked, now)
  advance(state, asked.meters, now, asked.owner)
  local known = {}
  for _, holder in ipairs(asked.holders) do known[holder] = true end
  drop(state, asked.meters, function(one) return one.owner == asked.owner and not known[one.id] end)
end

function operations.close_for(state, asked, now)
  state.closed = math.max(state.closed, tick(state, now) + asked.seconds)
end

function operations.crowded(state, asked, now)
  advance(state, asked.meters, now)
  local others = #state.leases - (place_of(state.leases, asked.ticket) and 1 or 0)
  if others == 0 then state.closed = math.max(state.closed, state.at + asked.seconds) end
  local crowd = state.crowd or {most = others, patience = PATIENCE, grew = 0}
  local patience = crowd.grew == 1 and crowd.patience * 2 or crowd.patience
  state.crowd = {
    most = math.max(1, math.min(others, crowd.most)),
    ended = -1,
    patience = math.min(patience, MAX_PATIENCE),
    grew = 0,
  }
end

function operations.learn(state, asked, now)
  advance(state, asked.meters, now)
  local place = place_of(state.leases, asked.ticket)
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
  for _, ticket in ipairs(state.queue) do
    table.insert(reply, ticket.owner)
    table.insert(reply, text(state.at - ticket.since))
    for _, meter in ipairs(asked.meters) do
      table.insert(reply, text(ticket.amounts[meter.name] or 0))
    end
  end
  for _, meter in ipairs(asked.meters) do
    local used = used_of(state, meter)
    table.insert(reply, text(meter.capacity))
    table.insert(reply, text(meter.capacity - used))
    table.insert(reply, text(sum(state.leases, meter.name, #state.leases)))
    table.insert(reply, text(wait_for(state, meter, used)))
  end
  return reply
end

-- Seconds until the account is as good as new, according to these limits.
local function over_s(state, meters)
  local seconds = state.closed - state.at
  if #state.leases + #state.queue > 0 then seconds = math.max(seconds, TTL_S) end
  for _, meter in ipairs(meters) do
    if meter.mode ~= "concurrency" then
      seconds = math.max(seconds, wait_for(state, meter, used_of(state, meter)))
    end
  end
  return math.max(0, seconds)
end

-- Raises an error if something else has written the state: see `check` in account.py.
local function check(state)
  local times = {state.at, state.skew, state.closed, state.heard}
  for _, bucket in pairs(state.buckets) do
    table.insert(times, bucket.at <= state.at and bucket.at or LATEST_S * 2)
    table.insert(times, bucket["until"] or 0)
  end
  for _, time in ipairs(times) do
    if not (math.abs(time) <= LATEST_S) then error("the account is damaged") end
  end
end

local key, asked, now = KEYS[1], cjson.decode(ARGV[2]), tonumber(ARGV[3])
if not now then
  local time = redis.call("TIME")
  now = time[1] + time[2] / 1e6
end
local kept = redis.call("GET", key)
local state = kept and cmsgpack.unpack(kept)
  or {at = now, skew = 0, closed = now, heard = 0, owners = {}, buckets = {}, leases = {}, queue = {}}
if kept then check(state) end
local reply = operations[ARGV[1]](state, asked, now)

-- Another process may have limits that are full later, so the time to live is never shortened.
local ttl_s = math.min(over_s(state, asked.meters or {}) + KEEP_S, MAX_TTL_S)
local ttl_ms = math.max(math.ceil(ttl_s * 1000), redis.call("PTTL", key))
redis.call("SET", key, cmsgpack.pack(state), "PX", string.format("%.0f", ttl_ms))
return reply or {}
