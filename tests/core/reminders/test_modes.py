"""Plan and build: what is said when the agent switches, and how the switch is seen."""

from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwrap.core.exchange.memory import Memory
from batchwrap.core.formats.chat.thinking import asks_to_think
from batchwrap.core.model import Model
from batchwrap.core.recent import Recent
from batchwrap.core.reminders.modes import marker_in
from batchwrap.directives import DEFAULT_MARKERS, Marker, Mode
from batchwrap.options import Options, Reminders
from tests.core.harness import Bench, answer, call, entries
from tests.strategies import EDIT_FILE, GREP, READ_FILE

TASK = {"role": "user", "content": "Fix a.py."}
BOTH = {"role": "user", "content": "Fix a.py and b.py."}
BODY: dict[str, Any] = {"model": "m", "messages": [TASK], "tools": [READ_FILE, EDIT_FILE, GREP]}
PREFETCH, GROUP = "before you begin,", "from here on,"


def told(sent: dict[str, Any] | None) -> list[str]:
    """The first three words of each reminder in a request."""
    assert sent is not None
    texts = [str(message.get("content")) for message in sent["messages"]]
    found = [part.split()[:3] for text in texts for part in text.split("[Reminder: ")[1:]]
    return [" ".join(words) for words in found]


def turn(number: int) -> list[dict[str, Any]]:
    """One turn without a batch."""
    return answer({"tool_calls": [call(f"c{number}", "grep", {"pattern": str(number)})]})


def history(turns: int) -> list[dict[str, Any]]:
    """The task and so many turns."""
    return [TASK, *(message for number in range(turns) for message in turn(number))]


def play(bench: Bench, modes: list[Mode | None], **more: Any) -> list[dict[str, Any]]:
    """The requests as they were sent: one in each of these modes, each with one turn more."""
    sent = []
    for number, mode in enumerate(modes):
        bench.mode = mode
        made = bench.request({**BODY, **more, "messages": history(number)})
        assert made is not None
        sent.append(made)
    return sent


def is_prefix(sent: list[dict[str, Any]]) -> bool:
    """Whether each request starts with the bytes of the one before."""
    written = [[orjson.dumps(message) for message in one["messages"]] for one in sent]
    return all(later[: len(one)] == one for one, later in pairwise(written))


def mode_of(message: dict[str, Any], tool: str | None = None) -> Mode | None:
    """The mode that a message switches to, by the markers that are known."""
    marker = marker_in(entries([message])[0], DEFAULT_MARKERS, tool)
    return marker.mode if marker else None


def test_planning_begins() -> None:
    """The first request in plan mode carries the prefetch directive."""
    bench = Bench()
    assert told(play(bench, ["plan"])[-1]) == [PREFETCH]
    assert told(play(Bench(), ["build"])[-1]) == told(play(Bench(), [None])[-1]) == []


def test_building_begins() -> None:
    """The switch to building brings the grouping one at once, at the place of the switch."""
    for after in ("build", None):
        sent = play(Bench(), ["plan", "plan", after])
        assert told(sent[1]) == [PREFETCH]
        assert told(sent[2]) == [PREFETCH, GROUP]
        assert "[Reminder: from here on" in sent[2]["messages"][-1]["content"]


def test_once_decided() -> None:
    """What was decided with a mode stays as it was when the mode is gone."""
    sent = play(Bench(), ["plan", None, "plan", "plan", "build", None, None])
    assert is_prefix(sent)
    assert len(told(sent[-1])) == 4


@given(
    st.lists(st.sampled_from(["plan", "build", None]), min_size=1, max_size=50),
    st.sampled_from(["append", "user", "system"]),
    st.integers(1, 6),
    st.data(),
)
def test_the_prefix_stays(
    modes: list[Mode | None], placement: Any, every: int, data: st.DataObject
) -> None:
    """Over 50 turns, in any placement, whatever modes and measurements come and go."""
    options = Reminders(placement=placement, every=every)
    bench, sent = Bench(Options(reminders=options)), list[dict[str, Any]]()
    for number, mode in enumerate(modes):
        bench.mode = mode
        bench.memory.observations.judge_pace("m", data.draw(st.sampled_from([50, 5_000])))
        effort = data.draw(st.sampled_from([None, "none", "high"]))
        body = {**BODY, "reasoning_effort": effort, "messages": history(number)}
        if data.draw(st.booleans()):
            bench.memory.frozen_prefixes = Recent(64)
        made = bench.request(body)
        assert made is not None
        sent.append(made)
    assert is_prefix(sent)


def test_forgotten() -> None:
    """When the memory is lost, the conversation alone decides."""
    bench = Bench()
    play(bench, ["plan", "plan"])
    bench.memory = Memory()
    bench.mode = "plan"
    assert told(bench.request({**BODY, "messages": history(2)})) == [PREFETCH]


def test_another_conversation_with_the_same_task() -> None:
    """A mode belongs to the requests made in it, not to the words of the task."""
    bench = Bench()
    assert told(play(bench, ["plan"])[-1]) == [PREFETCH]
    assert told(play(bench, ["build"])[-1]) == []


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("<system-reminder>\nPlan mode is active. The user indicated that …", "plan"),
        ("Plan mode still active (see full instructions earlier in conversation).", "plan"),
        ("Your operational mode has changed from plan to build.\nYou are no longer …", "build"),
        ("# Current Mode\nPLAN MODE\nIn this mode you should …", "plan"),
        ("# Current Mode\nACT MODE\n</environment_details>", "build"),
        ("# Current Mode\n<slug>architect</slug>\n<name>Architect</name>", "plan"),
        ("# Current Mode\n<slug>code</slug>", "build"),
        ("<collaboration_mode># Plan Mode (Conversational)", "plan"),
        ("<collaboration_mode># Collaboration Mode: Default", "build"),
        ("Plan mode is active. … Your operational mode has changed from plan to build", "build"),
        ("Please plan the build.", None),
    ],
)
def test_markers(text: str, mode: Mode | None) -> None:
    """What common agents write when they switch; the last one in a message counts."""
    for role in ("user", "system", "developer"):
        parts = [{"type": "text", "text": "Hi."}, {"type": "text", "text": text}]
        assert mode_of({"role": role, "content": text}) == mode
        assert mode_of({"role": role, "content": parts}) == mode


def test_files_switch_nothing() -> None:
    """Text in a tool's result or in the model's words is no switch, but for its own tools."""
    text = "Plan mode is active. User has approved your plan."
    assert mode_of({"role": "tool", "content": text}, "read_file") is None
    assert mode_of({"role": "tool", "content": text}) is None
    assert mode_of({"role": "assistant", "content": text}) is None
    assert mode_of({"role": "tool", "content": text}, "ExitPlanMode") == "build"


def test_a_switch_in_the_conversation() -> None:
    """Markers bring the same reminders as a mode told from outside, also without a memory."""
    plan = {"role": "user", "content": "Plan mode is active. Fix a.py."}
    done = {"role": "assistant", "content": "My plan: …"}
    build = {"role": "user", "content": "Your operational mode has changed from plan to build."}
    messages = [plan, done, build]
    sent = [Bench().request({**BODY, "messages": messages[:end]}) for end in (1, 3)]
    assert [told(one) for one in sent] == [[PREFETCH], [PREFETCH, GROUP]]


def test_a_switch_from_what_is_gone() -> None:
    """A message that speaks of the switch is one, also where planning shows no more."""
    build = {"role": "user", "content": "Your operational mode has changed from plan to build."}
    messages = [TASK, {"role": "assistant", "content": "My plan: …"}, build]
    assert told(Bench().request({**BODY, "messages": messages})) == [GROUP]
    act = {"role": "user", "content": "# Current Mode\nACT MODE"}
    assert told(Bench().request({**BODY, "messages": [*messages[:-1], act]})) == []


def test_own_markers() -> None:
    """The user's own patterns take the place of the known ones."""
    bench = Bench(Options(reminders=Reminders(modes=[Marker("plan", "^PLANNING:")])))
    messages = [{"role": "user", "content": "PLANNING: Fix a.py."}]
    assert told(bench.request({**BODY, "messages": messages})) == [PREFETCH]


def test_a_switch_where_nothing_can_stand() -> None:
    """A switch told by the system at the end of a request is not lost: it comes one turn later."""
    plan = {"role": "user", "content": "Plan mode is active. Fix a.py."}
    switch = {"role": "system", "content": "You have exited plan mode. You can now edit."}
    messages = [plan, *turn(0), switch]
    bench = Bench()
    assert told(bench.request({**BODY, "messages": messages})) == [PREFETCH]
    after = bench.request({**BODY, "messages": [*messages, *turn(1)]})
    assert told(after) == [PREFETCH, GROUP]


@pytest.mark.parametrize(
    ("fields", "thinks"),
    [
        ({}, None),
        ({"reasoning_effort": "high"}, True),
        ({"reasoning_effort": "none"}, False),
        ({"reasoning_effort": "minimal"}, False),
        ({"reasoning_effort": ""}, False),
        ({"reasoning": {"effort": "low"}}, True),
        ({"reasoning": {"enabled": False}}, False),
        ({"reasoning": {"max_tokens": 2_000}}, True),
        ({"reasoning": {"exclude": True}}, None),
        ({"thinking": {"type": "enabled", "budget_tokens": 1_024}}, True),
        ({"thinking": {"type": "disabled"}}, False),
        ({"enable_thinking": True}, True),
        ({"chat_template_kwargs": {"enable_thinking": False}}, False),
        ({"chat_template_kwargs": {"thinking": True}}, True),
        ({"extra_body": {"thinking": {"type": "adaptive"}}}, True),
        ({"reasoning": "odd", "thinking": [1], "chat_template_kwargs": 5}, True),
        ({"reasoning_effort": {"a": 1}, "extra_body": "x"}, None),
    ],
)
def test_requests_that_think(fields: dict[str, Any], thinks: bool | None) -> None:
    """The parameters of the common providers that turn thinking on or off."""
    assert asks_to_think(fields) is thinks


@pytest.mark.parametrize(
    ("model", "fields", "options", "expected"),
    [
        (Model(), {}, {}, True),
        (Model(), {"reasoning_effort": "high"}, {}, False),
        (Model(thinks=True), {}, {}, False),
        (Model(thinks=True), {"reasoning_effort": "none"}, {}, True),
        (Model(thinks=True), {}, {"prefetch_when_thinking": True}, True),
    ],
)
def test_thinking_models_read_when_they_want_to(
    model: Model, fields: dict[str, Any], options: dict[str, Any], expected: bool
) -> None:
    """Prefetch is withheld where the model thinks, by the request or by what is known of it."""
    bench = Bench(Options(reminders=Reminders(**options)))
    bench.model = model
    assert bool(told(play(bench, ["plan"], **fields)[-1])) is expected
    withheld = [happened for happened in bench.metrics.events if happened.name == "withheld"]
    assert [happened.data["reason"] for happened in withheld] == ["thinking"] * (not expected)


@pytest.mark.parametrize(
    ("tokens_per_s", "options", "expected"),
    [
        (None, {}, True),
        (2_000, {}, True),
        (80, {}, False),
        (80, {"min_tokens_per_s": 50}, True),
        (80, {"min_tokens_per_s": 0}, True),
    ],
)
def test_slow_models_are_not_pressed(
    tokens_per_s: float | None, options: dict[str, Any], expected: bool
) -> None:
    """Grouped edits are not asked for below a measured speed: neither at once nor on a lapse."""
    bench = Bench(Options(reminders=Reminders(**options)))
    if tokens_per_s is not None:
        bench.memory.observations.judge_pace("m", tokens_per_s)
    assert (len(told(play(bench, ["plan", "build"])[-1])) == 2) is expected
    lapsing = Bench(bench.options)
    lapsing.memory.observations = bench.memory.observations
    edit = {"path": "a.py", "old_string": "x"}
    edits = [call(new, "edit_file", {**edit, "new_string": new}) for new in ("y", "z")]
    lapse = [TASK, *(m for one in edits for m in answer({"tool_calls": [one]}))]
    assert bool(told(lapsing.request({**BODY, "messages": lapse}))) is expected
    reads = [call(path, "read_file", {"path": path}) for path in ("a.py", "b.py")]
    lapse = [BOTH, *(m for one in reads for m in answer({"tool_calls": [one]}))]
    assert told(lapsing.request({**BODY, "messages": lapse})) == [PREFETCH, "every call sends"]
