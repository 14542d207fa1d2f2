"""What is counted: bounds, tokens, tools, models and lapses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwrap.analyze import Report, analyze
from batchwrap.analyze.bounds import (
    RULES,
    SCRIPT_RULES,
    Rule,
    ScriptRule,
    by_kind,
    runs_of,
    script_runs,
)
from batchwrap.analyze.lapses import lapses
from batchwrap.analyze.log_messages import Said, assistant, call, result
from batchwrap.analyze.record import LogReading, sessions
from batchwrap.analyze.recorded_session import Session
from batchwrap.analyze.report_words import asked_of_the_model, assumptions
from batchwrap.analyze.session_totals import (
    DECLARED,
    ITSELF,
    MOST_SCRIPT_CALLS,
    OFFER_TOKENS,
    SCOPES,
    SCRIPT_OFFER_TOKENS,
    Totals,
)
from batchwrap.core.failures import looks_failed
from batchwrap.core.limits.cost import Usage
from batchwrap.core.reminders.schedule import Offered, Walk
from batchwrap.core.tools.find import find
from batchwrap.core.tools.multi import multi_tools
from batchwrap.options import Batching
from tests.analyze import samples
from tests.core.harness import entries, specs

READ = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
TOOLS = [{"type": "function", "function": {"name": "read_file", "parameters": READ}}]


def recorded(
    *steps: tuple[str, dict[str, Any], str], prompt: str = "", cached: bool = True
) -> Session:
    """A session of one call a turn, where turn n takes 1000 (n + 1) tokens."""
    said = [Said(session="s", message={"role": "user", "content": prompt}, source="made")]
    for turn, (name, arguments, answer) in enumerate(steps):
        usage = Usage(1_000 * (turn + 1), 10, 1_000 * turn if cached else 0)
        message = assistant("", [call(f"c{turn}", name, arguments)])
        said.append(Said(session="s", message=message, source="made", usage=usage, model="m"))
        said.append(Said(session="s", message=result(f"c{turn}", answer), source="made"))
    [session] = sessions(said, "file", LogReading())
    return session


def read(path: str, answer: str = "ok") -> tuple[str, dict[str, Any], str]:
    return "read_file", {"path": path}, answer


def edit(path: str) -> tuple[str, dict[str, Any], str]:
    return "edit_file", {"path": path, "old_string": "x", "new_string": "y"}, "ok"


def saved(session: Session, rule: Rule, most: int = 8) -> int:
    runs = runs_of(session, by_kind((frozenset({"read", "edit", "search"}),)), rule, most)
    return sum(len(run) - 1 for run in runs)


@pytest.mark.parametrize(
    ("steps", "prompt", "by_rule"),
    [
        ([read("a"), read("b"), read("c")], "a b c", (2, 2, 2)),
        ([read("a"), read("b", "see d"), read("d")], "a b", (2, 1, 1)),  # named inside the run
        ([read("a", "Error: none"), read("b")], "a b", (1, 0, 0)),
        ([read("a"), edit("a")], "a", (1, 1, 0)),  # what was seen may be why
        ([edit("a"), read("a"), edit("b")], "a b", (2, 2, 2)),
        ([read("a")] * 10, "a", (9, 9, 8)),  # eight at most
        ([("grep", {"pattern": "x"}, "a.py"), edit("b")], "b", (1, 1, 0)),
    ],
)
def test_rules(steps: Any, prompt: str, by_rule: tuple[int, int, int]) -> None:
    """Each rule takes what it says, and no more."""
    session = recorded(*steps, prompt=prompt)
    assert tuple(saved(session, rule) for rule in RULES) == by_rule


@given(st.data())
def test_each_rule_is_stricter(data: st.DataObject) -> None:
    """Whatever the session, safe saves no more than careful, and careful no more than upper."""
    step = st.builds(
        lambda make, path: make(path), st.sampled_from([read, edit]), st.sampled_from("abcde")
    )
    steps = data.draw(st.lists(step, min_size=1, max_size=12))
    session = recorded(*steps, prompt=" ".join(data.draw(st.lists(st.sampled_from("abcde")))))
    upper, careful, safe = (saved(session, rule, data.draw(st.integers(2, 9))) for rule in RULES)
    assert 0 <= safe <= careful <= upper == len(steps) - 1


@pytest.mark.parametrize("cached", [True, False])
def test_saved_tokens(cached: bool) -> None:
    """Prompts of requests that vanish, less the offer in those that stay."""
    totals = Totals()
    totals.add(recorded(read("a"), read("b"), read("c"), edit("d"), prompt="a b c", cached=cached))
    saving = totals.saving(ITSELF, "safe")
    assert (saving.round_trips, saving.batches, saving.calls, saving.largest) == (2, 1, 3, 3)
    assert saving.prompt_tokens == 2_000 + 3_000 - 2 * OFFER_TOKENS
    # In a cache there is all but what is new, and that is read later all the same.
    expected = -OFFER_TOKENS if cached else saving.prompt_tokens
    assert saving.uncached_tokens == expected


# A letter is a turn: (r)ead, (e)dit, (g)rep, e(x)ec of a test run, (t)ext and a read, a
# (m)essage of the person before a read, t(w)o reads at once, (f)inal words without a call.
CALLS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "r": [("read_file", {"path": "a.py"})],
    "t": [("read_file", {"path": "a.py"})],
    "m": [("read_file", {"path": "a.py"})],
    "w": [("read_file", {"path": "a.py"}), ("read_file", {"path": "b.py"})],
    "e": [("edit_file", {"path": "a.py", "old_string": "x", "new_string": "y"})],
    "g": [("grep", {"pattern": "x", "path": "."})],
    "x": [("bash", {"command": "make test"})],
    "c": [("bash", {"command": "cat a.py"})],
    "f": [],
}


def told(turns: str, reasoning: str = "") -> Session:
    """A session of such turns; the n-th takes 1000 (n + 1) tokens."""
    said = [Said(session="s", message={"role": "user", "content": "Go."}, source="made")]
    for turn, letter in enumerate(turns):
        if letter == "m":
            said.append(Said(session="s", message={"role": "user", "content": "So."}, source="m"))
        made = [(f"c{turn}.{n}", *one) for n, one in enumerate(CALLS[letter])]
        text = "I look." if letter in "tf" else ""
        message = assistant(text, [call(*one) for one in made], reasoning)
        usage = Usage(1_000 * (turn + 1), 10, 0)
        said.append(Said(session="s", message=message, source="made", usage=usage))
        for call_id, *_ in made:
            said.append(Said(session="s", message=result(call_id, "ok"), source="made"))
    [session] = sessions(said, "file", LogReading())
    return session


def script_saved(session: Session, rule: ScriptRule, scope: str = ITSELF, most: int = 50) -> int:
    runs = script_runs(session, SCOPES[scope].has, rule, most)
    return sum(len(run) - 1 for run in runs)


@pytest.mark.parametrize(
    ("turns", "by_rule", "declared"),
    [
        ("grref", (3, 3), (3, 3)),  # search, reads and an edit that rest on each other
        ("rf", (0, 0), (0, 0)),
        ("gtref", (3, 2), (3, 2)),  # it says something: silent is g, then t r e
        ("trf", (1, 1), (1, 1)),  # what is said before the first call is no matter
        ("rmrf", (1, 1), (1, 1)),  # r, then m r: a person spoke
        ("rrxrrf", (2, 2), (2, 2)),  # nobody has declared what runs the tests
        ("rcrf", (0, 0), (2, 2)),  # a shell that reads, once it is declared
        ("wwef", (2, 2), (2, 2)),  # several calls in a turn
        ("ffrr", (1, 1), (1, 1)),
    ],
)
def test_what_scripts_could_save(
    turns: str, by_rule: tuple[int, int], declared: tuple[int, int]
) -> None:
    """Turns with calls that a script may make are one round trip, if nobody speaks in between."""
    session = told(turns)
    assert tuple(script_saved(session, rule) for rule in SCRIPT_RULES) == by_rule
    assert tuple(script_saved(session, rule, DECLARED) for rule in SCRIPT_RULES) == declared


def test_reasoning_is_no_word_to_the_user() -> None:
    """What a model thinks between its calls does not end a script."""
    assert script_saved(told("gre", reasoning="Now I look there."), "silent") == 2


def test_reasoning_in_a_log(tmp_path: Path) -> None:
    """What Claude Code's log marks as thinking is no text: two reads and an edit are one script."""
    log = samples.claude_code()
    text, thinking = b'{"type":"text","text":"Next."}', b'{"type":"thinking","thinking":"Next."}'
    assert text in log
    counted = []
    for one in (log, log.replace(text, thinking)):
        (tmp_path / "log").write_bytes(one)
        totals = analyze([str(tmp_path / "log")]).totals
        counted.append(totals.script_savings[ITSELF, "silent"].round_trips)
    assert counted == [0, 2]


def test_a_script_has_so_many_calls() -> None:
    """A longer row is several scripts: 5 turns of 2 calls are 3, with 4 calls at most."""
    assert script_saved(told("wwwww"), "silent", most=4) == 2


def test_script_totals() -> None:
    """Round trips, scripts, calls; prompts that vanish, less the offer in those that stay."""
    totals = Totals()
    totals.add(told("gwmref"))
    saving = totals.script_savings[ITSELF, "silent"]
    assert (saving.round_trips, saving.scripts, saving.calls, saving.largest) == (3, 2, 6, 3)
    assert saving.prompt_tokens == 2_000 + 4_000 + 5_000 - 3 * SCRIPT_OFFER_TOKENS
    totals.add(told("xx"))  # nothing is offered here
    assert saving.prompt_tokens == 11_000 - 3 * SCRIPT_OFFER_TOKENS
    assert totals.saving(ITSELF, "upper").round_trips == 2  # batches are counted apart


@given(st.text(alphabet="rtmwegxcf", min_size=1, max_size=14))
def test_silent_is_stricter(turns: str) -> None:
    """Whatever the session: silent saves no more than upper, and neither less than nothing."""
    session = told(turns)
    for scope in SCOPES:
        upper, silent = (script_saved(session, rule, scope) for rule in SCRIPT_RULES)
        assert 0 <= silent <= upper < len(turns)


def sample(tmp_path: Path, name: str, **options: Any) -> Report:
    (tmp_path / name).write_bytes(samples.SAMPLES[name]())
    return analyze([str(tmp_path / name)], **options)


def test_by_tool_and_model(tmp_path: Path) -> None:
    """Calls, failures, and what would go, by name."""
    report = sample(tmp_path, "claude_code").as_dict()
    assert (report["sessions"], report["requests"]) == (1, 6)
    tool = report["tools"]["Read"]
    assert (tool["calls"], tool["alone"], tool["own"], tool["upper"], tool["safe"]) == (
        3,
        3,
        3,
        1,
        1,
    )
    assert report["tools"]["Bash"]["failed"] == 1
    model = report["models"]["swift"]
    assert (model["requests"], model["acting"], model["batching"]) == (6, 5, 0)
    assert (model["lapses"], model["upper"], model["safe"]) == (1, 2, 1)
    assert report["requests_with_estimated_tokens"] == 0


@pytest.mark.parametrize(
    ("name", "own", "declared"),
    [("claude_code", 2, 2), ("codex", 0, 2), ("swe_agent", 0, 0), ("swe_agent_calls", 2, 2)],
)
def test_scopes(name: str, own: int, declared: int, tmp_path: Path) -> None:
    """A shell has to be declared, and actions that are text cannot be batched at all."""
    totals = sample(tmp_path, name).totals
    assert totals.saving(ITSELF, "upper").round_trips == own
    assert totals.saving(DECLARED, "upper").round_trips == declared


def test_honest_words(tmp_path: Path) -> None:
    """What it takes and what the figures rest on is said, and only where it applies."""
    shell, text = sample(tmp_path, "codex"), sample(tmp_path, "swe_agent")
    assert 'Batching(tools={"shell": "sequential"})' in " ".join(asked_of_the_model(shell.totals))
    assert f"counts as one round trip, with at most {MOST_SCRIPT_CALLS} calls" in " ".join(
        assumptions(shell.totals, None)
    )
    assert "5 calls are text" in " ".join(asked_of_the_model(text.totals))
    assert "estimated" in " ".join(assumptions(text.totals, None))
    assert "estimated" not in " ".join(assumptions(shell.totals, None))


def weather(city: str) -> tuple[str, dict[str, Any], str]:
    return "get_weather", {"city": city}, "mild"


def test_what_to_declare(tmp_path: Path) -> None:
    """Tools that came in single calls in a row are named with the line to paste."""
    totals = Totals()
    totals.add(recorded(weather("Bonn"), weather("Vienna"), weather("Rome or Naples")))
    totals.add(recorded(read("a"), read("b"), prompt="a b"))  # found without a declaration
    totals.add(recorded(weather("Bonn"), weather("Bonn")))  # the same again
    assert totals.tools["get_weather"].in_a_row == 2
    assert totals.tools["read_file"].in_a_row == 0
    report = Report(totals)
    assert report.as_dict()["to_declare"] == 'Batching(tools={"get_weather": "read_only"})'
    [said] = [line for line in asked_of_the_model(report.totals) if "get_weather (2)" in line]
    assert report.as_dict()["to_declare"] in said
    assert sample(tmp_path, "claude_code").as_dict()["to_declare"] == ""


def test_the_worst_lapse(tmp_path: Path) -> None:
    """It names where it is, what was read, and what the requests beyond the first cost."""
    [lapse] = sample(tmp_path, "claude_code").as_dict()["worst_lapses"]
    assert lapse["session"] == "claude-1" and lapse["turn"] == 0
    assert (lapse["tool"], lapse["calls"]) == ("Read", 2)
    assert lapse["paths"] == ("src/a.py", "src/b.py")
    assert lapse["prompt_tokens"] == samples.prompt_tokens(1)


@given(st.permutations("abcdefg"), st.sets(st.sampled_from("abcdefg")), st.data())
def test_lapses_are_those_of_reminders(
    order: list[str], named: set[str], data: st.DataObject
) -> None:
    """Where a report sees a lapse, the reminders' walk over the conversation sees the same one."""
    prompt = " ".join(sorted(f"{name}.py" for name in named)) or "Go on."
    answers = [
        data.draw(st.sampled_from(["ok", "Error: x", "see a.py", "see e.py"])) for _ in order
    ]
    steps = [read(f"{name}.py", answer) for name, answer in zip(order, answers, strict=True)]
    seen = [(lapse.turn, lapse.calls) for lapse in lapses(recorded(*steps, prompt=prompt))]
    assert seen == walked(steps, prompt)


def walked(steps: list[tuple[str, dict[str, Any], str]], prompt: str) -> list[tuple[int, int]]:
    """The lapses that the walk of the reminders sees: the first turn, and how many calls."""
    multis = {
        multi.name: multi
        for multi in multi_tools(find(specs(*TOOLS), Batching()), set(), mixed=True)
    }
    walk = Walk.begin(Offered(multis=multis, cap=8, failed=looks_failed), None)
    before: list[Any] = walk.go(entries([{"role": "user", "content": prompt}]), "model")
    sizes = []
    for turn, (name, arguments, answer) in enumerate(steps):
        made = entries([assistant("", [call(turn, name, arguments)])])
        before += walk.go(made, "result", before=before)
        sizes.append(len(walk.lapse))
        before += walk.go(entries([result(turn, answer)]), "model", before=before)
    # A lapse ends where the next one is no longer.
    ends = [n for n, size in enumerate(sizes) if n + 1 == len(sizes) or sizes[n + 1] <= size]
    return [(n + 1 - sizes[n], sizes[n]) for n in ends if sizes[n] > 1]
