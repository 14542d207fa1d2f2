"use strict";
// Every text becomes a text node: names come from agents, models and providers.
const DATA = "/batchwrap/data";
const SHOWN_S = 600;
const SVG = "http://www.w3.org/2000/svg";
const TOKEN_KINDS = ["tokens", "uncached_tokens", "input_tokens", "output_tokens"];
const AGAIN = 3; // samples that are asked for again: other processes may have told theirs late
let shown = null; // the newest data, and the samples that are shown
let paused = false;
let retryIn = 0;
let drawnTurns = "";
const opened = new Map(); // by the number of a conversation: whether its turns are shown

const at = (id) => document.getElementById(id);

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}
const el = (name, attributes = {}, ...children) =>
  fill(document.createElement(name), attributes, children);
const svg = (name, attributes = {}, ...children) =>
  fill(document.createElementNS(SVG, name), attributes, children);

const whole = (number) => Math.round(number).toLocaleString("en");
const short = (number) => new Intl.NumberFormat("en",
  { notation: "compact", maximumFractionDigits: Math.abs(number) < 1e6 ? 1 : 2 }).format(number);
const counted = (number, one, many = `${one}s`) => `${whole(number)} ${number === 1 ? one : many}`;

function lasting(seconds) {
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 100) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  if (seconds < 6000) return `${Math.round(seconds / 60)} min`;
  return seconds < 172800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86400)} days`;
}
const scopeName = (scope) => (scope === "own" ? "your own limits" : scope);
const clock = (unix) => new Date(unix * 1000).toLocaleTimeString("en-GB");

// Charts

function area(points, below, height) {
  // A path over the points and back below them.
  const over = points.map(([x, y]) => `${x.toFixed(1)},${(height - y).toFixed(1)}`);
  const back = below.map(([x, y]) => `${x.toFixed(1)},${(height - y).toFixed(1)}`).reverse();
  return `M${[...over, ...back].join("L")}Z`;
}

// The step of a scale that has two to five of them.
function stepOf(most) {
  const power = 10 ** Math.floor(Math.log10(most));
  return power * [0.2, 0.5, 1, 2].find((part) => most / (power * part) <= 5);
}

// Layers of one chart, stacked: `rows` are [sample number, amount of each layer].
function stacked(box, { rows, names, most, height, label, lines = [], axis = false }) {
  const { data } = shown;
  const left = axis ? 48 : 0;
  const width = Math.max(box.clientWidth, 120);
  const newest = data.now / data.period_s;
  const perSample = (width - left) * data.period_s / SHOWN_S;
  const x = (number) => Math.max(left, width - (newest - number) * perSample);
  const y = (amount) => Math.min(Math.max(amount / most, 0), 1) * height;
  const drawn = svg("svg", { viewBox: `0 0 ${width} ${height + (axis ? 18 : 0)}`, role: "img",
    "aria-label": label }, svg("rect", { class: "frame", x: left, width: width - left, height }));
  if (axis) drawAxes(drawn, { x, y, most, height, width, left, newest, period: data.period_s });
  let below = rows.map(([number]) => [x(number), 0]);
  names.forEach((name, place) => {
    const points = rows.map(([, ...amounts], i) => [below[i][0], below[i][1] + y(amounts[place])]);
    if (points.length) drawn.append(svg("path", { class: name, d: area(points, below, height) }));
    below = points;
  });
  for (const { amount, text } of lines) {
    const top = height - y(amount);
    drawn.append(svg("line", { class: "limit", x1: left, x2: width, y1: top, y2: top }));
    if (text) drawn.append(svg("text", { class: "limit-text", x: left + 6, y: top - 5 }, text));
  }
  box.replaceChildren(drawn);
}

function drawAxes(drawn, { x, y, most, height, width, left, newest, period }) {
  for (let amount = 0; amount <= most; amount += stepOf(most)) {
    const top = height - y(amount);
    drawn.append(svg("line", { class: "grid", x1: left, x2: width, y1: top, y2: top }),
      svg("text", { x: left - 6, y: top + 4, "text-anchor": "end" }, short(amount)));
  }
  for (const minutes of width < 500 ? [10, 5, 0] : [10, 8, 6, 4, 2, 0]) {
    const place = x(newest - minutes * 60 / period);
    const anchor = minutes === 10 ? "start" : minutes ? "middle" : "end";
    drawn.append(svg("text", { x: place, y: height + 16, "text-anchor": anchor },
      minutes ? `−${minutes} min` : "now"));
  }
}

// What the counters of tokens have grown by in the minute before each sample.
function perMinute(state) {
  const back = 60 / state.data.period_s;
  let from = 0;
  return state.samples.map((sample) => {
    while (state.samples[from].n < sample.n - back) from += 1;
    const isYoung = sample.n * state.data.period_s - state.data.began < 60;
    const before = isYoung ? [0, 0, 0] : state.samples[from].tokens;
    const [prompt, cached, output] = sample.tokens.map((total, i) => Math.max(0, total - before[i]));
    return [sample.n, Math.max(0, prompt - cached), cached, output];
  });
}

// What a limit of this kind counts of the tokens of a minute.
function amountOf(kind, [, fresh, cached, output]) {
  return { tokens: fresh + cached + output, uncached_tokens: fresh + output,
    input_tokens: fresh + cached, output_tokens: output }[kind];
}

function drawTokens(state) {
  const rows = perMinute(state);
  const last = rows.at(-1) ?? [0, 0, 0, 0];
  const sum = (row) => row[1] + row[2] + row[3];
  const peak = Math.max(0, ...rows.map(sum));
  // Limits of several accounts or models cannot be compared with the sum of all.
  const [only, ...others] = state.data.accounts.filter((one) => one.limits.length);
  const limits = (others.length ? [] : only?.limits ?? [])
    .filter((one) => TOKEN_KINDS.includes(one.kind) && one.per_s === 60);
  const [lowest = 1000] = limits.map((one) => one.amount).sort((a, b) => a - b);
  const most = 1.15 * Math.max(peak, lowest);
  const lines = limits.filter((one) => one.amount <= most)
    .map((one) => ({ amount: one.amount, text: `limit: ${one.text}` }));
  const label = `Tokens in each minute of the last ten: ${short(sum(last))} now, ${short(peak)} at most`;
  stacked(at("tokens"), { rows, names: ["fresh", "cached", "output"], most, height: 200, label, lines,
    axis: true });
  at("tokens-note").hidden = !limits.some((one) => one.mode === "continuous"
    && rows.some((row) => amountOf(one.kind, row) > one.amount));
  const entry = (style, name, amount) =>
    el("span", {}, el("i", { class: style }), `${name} `, el("b", {}, short(amount)));
  at("tokens-legend").replaceChildren(
    entry("fresh", "prompt, not cached", last[1]), entry("cached", "prompt, cached", last[2]),
    entry("output", "output", last[3]), el("span", {}, "counted when an answer ends"));
}

function drawLimits(state) {
  const known = state.data.accounts.filter((one) => one.limits.length);
  const made = known.map((one) => {
    const now = [counted(one.running, "request runs", "requests run"), `${whole(one.waiting)} wait`];
    if (one.closed_s > 0) now.push(`closed for ${lasting(one.closed_s)}`);
    const title = el("h3", {}, scopeName(one.scope), el("span", { class: "soft" },
      ` · account ${one.account} · ${now.join(", ")}`));
    return el("div", {}, title, el("div", { class: "limits" }, ...one.limits.map(() => el("figure"))));
  });
  const legend = el("p", { class: "legend" }, el("span", {}, el("i", { class: "used" }), "spent"),
    el("span", {}, el("i", { class: "reserved" }), "reserved by running requests"));
  const none = state.data.store_is_down ? "The store of the budget cannot be read now."
    : "No limit is known yet. With --limits auto they are learned from the provider's answers; "
      + "batchwrap limits lists the plans.";
  at("limits").replaceChildren(...(known.length ? [legend, ...made] : [el("p", { class: "soft" }, none)]));
  known.forEach((one, place) => one.limits.forEach((limit, i) =>
    drawLimit(made[place].querySelectorAll("figure")[i], state, limit)));
}

function drawLimit(figure, state, limit) {
  const used = limit.capacity - limit.free;
  const share = limit.capacity ? Math.round(100 * used / limit.capacity) : 0;
  const rows = state.samples.filter((sample) => limit.id in sample.levels).map((sample) => {
    const [capacity, free, reserved] = sample.levels[limit.id];
    return [sample.n, Math.max(0, capacity - free - reserved), reserved];
  });
  const isRunning = limit.kind === "concurrency";
  const facts = [`${short(limit.free)} free`];
  if (!isRunning && limit.reserved) facts.push(`${short(limit.reserved)} reserved`);
  if (limit.full_s !== null && used >= 1) facts.push(`full again in ${lasting(limit.full_s)}`);
  const chart = el("div");
  figure.append(el("figcaption", {}, limit.text, el("b", {}, `${share} %`)), chart,
    el("figcaption", { class: "below" }, facts.join(" · ")));
  stacked(chart, { rows, names: ["used", "reserved"], most: limit.capacity * 1.05 || 1, height: 52,
    label: `${limit.text}: ${share} % used, ${facts.join(", ")}`, lines: [{ amount: limit.capacity }] });
}

// Tables

function table(head, rows) {
  const style = (i) => (i === head.length - 1 ? { class: "number" } : {});
  return el("table", {},
    el("thead", {}, el("tr", {}, ...head.map((title, i) => el("th", { scope: "col", ...style(i) }, title)))),
    el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map((cell, i) => el("td", style(i), cell))))));
}
const orNothing = (id, rows, head, nothing) =>
  at(id).replaceChildren(rows.length ? table(head, rows) : el("p", { class: "soft" }, nothing));

function drawWaiting({ waiting, waiting_count: all }) {
  const rows = waiting.map((one) => {
    const cell = el("span", {}, one.limit || "the provider asked for it",
      el("br"), el("span", { class: "soft" }, scopeName(one.limits)));
    if (one.expected_s) {
      cell.append(el("progress", { max: one.expected_s, value: Math.min(one.waited_s, one.expected_s),
        "aria-label": "share of the expected wait" }));
    }
    const until = one.expected_s === null ? "until another request ends"
      : `of about ${lasting(one.expected_s)}`;
    return [cell, el("span", {}, lasting(one.waited_s), el("br"), el("span", { class: "soft" }, until))];
  });
  if (all > waiting.length) rows.push([`and ${whole(all - waiting.length)} more`, ""]);
  orNothing("waiting", rows, ["waits for", "waited"], "No request waits.");
}

function drawRefusals({ refusals }) {
  const rows = refusals.map((one) => {
    const what = [one.kind, one.scope].filter(Boolean).join(", ");
    const after = one.retry_after_s === undefined || one.retry_after_s === null ? ""
      : `, again after ${lasting(one.retry_after_s)}`;
    return [`${one.status ?? ""} ${what}${after}`, clock(one.at)];
  });
  orNothing("refusals", rows, ["status and kind", "at"], "The provider has refused no request.");
}

function drawRepairs({ repairs, defects }) {
  const sorted = (counts) => Object.entries(counts).sort((a, b) => b[1] - a[1]);
  const rows = [...sorted(repairs).map(([name, n]) => [name, whole(n)]),
    ...sorted(defects).map(([name, n]) => [`${name} (not repaired)`, whole(n)])];
  orNothing("repairs", rows, ["name", "times"], "No answer needed a repair.");
}

function chips(calls = []) {
  return calls.map(([name, count, chars]) => el("span", { class: "chip" },
    count > 1 ? `${name} ×${whole(count)} ` : `${name} `, el("small", {}, `${short(chars)} chars`)));
}

function turnRow(turn) {
  const failed = turn.error && !turn.local;
  const said = chips(turn.said);
  if (turn.local) said.push(el("span", { class: "soft" }, "not asked: these calls had waited"));
  else if (failed) said.push(el("span", { class: "failed" }, `error: ${turn.error}`));
  else if (!said.length) said.push(el("span", { class: "soft" }, "text only"));
  const got = chips(turn.got);
  if (turn.held) got.push(el("span", { class: "soft" }, `${counted(turn.held, "call waits", "calls wait")}`));
  if (!got.length) got.push(el("span", { class: "soft" }, failed ? "the error" : "the text"));
  const tokens = turn.prompt_tokens === undefined ? []
    : [el("span", {}, `${short(turn.prompt_tokens)} in, ${short(turn.completion_tokens ?? 0)} out`), " · "];
  const waited = turn.waited_s ? `, waited ${lasting(turn.waited_s)}` : "";
  const label = (text) => el("span", { class: "label" }, text);
  return el("div", { class: "turn", role: "row" },
    el("div", { class: "soft", role: "cell" }, clock(turn.at)),
    el("div", { class: "said", role: "cell" }, label("model said"), ...said),
    el("div", { class: "got", role: "cell" }, label("agent got"), ...got),
    el("div", { class: "numbers", role: "cell" }, ...tokens,
      el("span", {}, `${lasting(turn.duration_s)}${waited}`)));
}

function drawTurns({ conversations }) {
  const text = JSON.stringify(conversations);
  if (text === drawnTurns) return; // so that a selection in it stays
  drawnTurns = text;
  const head = ["at", "model said", "agent got", "tokens, time"];
  at("turns").replaceChildren(...conversations.map((one, place) => {
    const model = one.turns.at(-1).model ?? "";
    const title = one.number ? `Conversation ${one.number}` : "Requests that were only passed on";
    const newest = el("span", { class: "soft" }, ` · ${model} · ${clock(one.turns.at(-1).at)}`);
    const details = el("details", {}, el("summary", {}, title, newest),
      el("div", { role: "table", "aria-label": title },
        el("div", { class: "turn head", role: "row" },
          ...head.map((name) => el("div", { role: "columnheader" }, name))),
        ...one.turns.map(turnRow)));
    details.open = opened.get(one.number) ?? place < 2;
    details.firstChild.addEventListener("click", () => opened.set(one.number, !details.open));
    return details;
  }));
  if (!conversations.length) at("turns").replaceChildren(el("p", { class: "soft" }, "None yet."));
}

function drawFacts({ counters: c, waiting_count: waiting, repairs }) {
  const saved = c.round_trips_saved + c.script_round_trips;
  const all = saved + c.round_trips;
  const share = saved ? `: ${Math.round(100 * saved / all)} % of ${whole(all)}` : "";
  const total = Object.values(repairs).reduce((sum, n) => sum + n, 0);
  const fact = (name, amount, below, style = "") => el("li", { class: style },
    el("span", { class: "name" }, name), el("b", {}, amount), el("span", {}, below));
  at("facts").replaceChildren(
    fact("Round trips saved", whole(saved), `${whole(c.round_trips_saved)} by batches, `
      + `${whole(c.script_round_trips)} by scripts${share}`, "main"),
    fact("Round trips", whole(c.round_trips), `${counted(c.requests, "request")} of agents, `
      + `${whole(c.local_answers)} answered here`),
    fact("Tokens", short(c.prompt_tokens + c.completion_tokens), `${short(c.prompt_tokens)} in `
      + `(${short(c.cached_tokens)} cached), ${short(c.completion_tokens)} out`),
    fact("Waiting now", whole(waiting), `${lasting(c.waited_s)} waited in all`),
    fact("Refusals", whole(c.refusals), counted(c.retries, "retry", "retries")),
    fact("Repairs", whole(total), `${counted(c.reminders, "reminder")} sent`));
}

function draw() {
  const { data } = shown;
  at("about").replaceChildren(`${data.upstream} · version ${data.version} · running for `
    + `${lasting(data.now - data.began)}`);
  at("hint").hidden = data.counters.requests > 0;
  at("hint").replaceChildren("No request yet. The base URL for agents is ",
    el("code", {}, `${location.origin}${data.base_path}`));
  drawFacts(data);
  drawTokens(shown);
  drawLimits(shown);
  drawWaiting(data);
  drawRefusals(data);
  drawRepairs(data);
  drawTurns(data);
}

// Data

function take(data) {
  const isSame = shown?.data.began === data.began;
  const first = data.samples[0]?.n ?? Infinity;
  const kept = isSame ? shown.samples.filter((sample) => sample.n < first) : [];
  const oldest = (data.now - SHOWN_S - 60) / data.period_s;
  const samples = [...kept, ...data.samples].filter((sample) => sample.n >= oldest);
  shown = { data, samples };
}

function say(style, text) {
  if (at("state").textContent === text) return;
  at("state").className = style;
  at("state").textContent = text;
}

async function poll() {
  const since = Math.max(0, (shown?.samples.at(-1)?.n ?? 0) - AGAIN);
  const answer = await fetch(`${DATA}?since=${since}`, { cache: "no-store" });
  if (answer.status === 401) location.reload(); // the token has changed: the form is there
  if (!answer.ok) throw new Error(String(answer.status));
  take(await answer.json());
  draw();
}

async function run() {
  if (!paused && !document.hidden) {
    try {
      await poll();
      retryIn = 0;
      if (!paused) say("live", "live");
    } catch (error) {
      retryIn = Math.min(retryIn + 2, 10);
      say("lost", "not connected, trying again");
      console.warn(error);
    }
  }
  setTimeout(run, 1000 * (2 + retryIn));
}

at("pause").addEventListener("click", () => {
  paused = !paused;
  at("pause").setAttribute("aria-pressed", String(paused));
  say(paused ? "" : "live", paused ? "paused" : "live");
});
addEventListener("resize", () => { if (shown) draw(); });
run();
