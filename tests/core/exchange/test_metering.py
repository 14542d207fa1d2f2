"""What reminders did: counted by model and directive, and a reason to stop."""

import itertools
from typing import Any

import pytest

from batchwrap.core.exchange.pace import Pace
from batchwrap.core.formats.chat.answers import timing
from batchwrap.options import Options, Reminders
from batchwrap.stats import Counters, Stats
from tests.core.harness import Bench, answer, call
from tests.strategies import EDIT_FILE, READ_FILE

BODY: dict[str, Any] = {"model": "a/b.c d", "tools": [READ_FILE, EDIT_FILE]}
NUMBERS = itertools.count()
TASK = {"role": "user", "content": "Go."}


def stats_of(bench: Bench) -> Stats:
    """What was counted so far."""
    counters = Counters(above=None)
    counters.add(bench.metrics.counts)
    return counters.stats()


def counted(bench: Bench, directive: str = "general") -> dict[str, int]:
    """What was counted of one directive."""
    return dict(stats_of(bench).directives.get("a/b.c d", {}).get(directive, {}))


def ask(bench: Bench, messages: list[Any]) -> dict[str, Any]:
    """A request as it was sent."""
    sent = bench.request({**BODY, "messages": messages})
    assert sent is not None
    return sent


def turns(*names: str, start: int = 0) -> list[dict[str, Any]]:
    """One call of each name in a turn of its own."""
    made = [
        call(f"c{start + k}", name, {"path": f"{start + k}.py"}) for k, name in enumerate(names)
    ]
    return [message for one in made for message in answer({"tool_calls": [one]})]


def test_given_and_followed() -> None:
    """A reminder is judged by the next turn that could be a batch, each thing counted once."""
    bench = Bench(Options(reminders=Reminders(every=2)))
    messages = [TASK, *turns("other", "other")]
    for _ in range(2):  # a retry counts nothing again but what it costs
        ask(bench, messages)
    first = counted(bench)
    assert (first["given"], first.get("judged")) == (1, None)
    messages += turns("other", start=2)
    ask(bench, messages)
    assert "judged" not in counted(bench)
    messages += turns("multi_read", start=3)
    ask(bench, messages)
    ask(bench, messages)
    last = counted(bench)
    assert (last["given"], last["judged"], last["followed"]) == (1, 1, 1)
    assert last["tokens"] == 5 * first["tokens"] // 2
    named = [(event.name, event.data["directive"]) for event in bench.metrics.events]
    assert named == [("reminded", "general"), ("judged", "general")]


def test_not_followed() -> None:
    """A single call where a batch was asked for counts against the directive."""
    bench = Bench(Options(reminders=Reminders(every=1)))
    messages = [TASK]
    for number in range(3):
        messages += turns("read_file", start=number)
        ask(bench, messages)
    seen = counted(bench)
    assert (seen["given"], seen["judged"], seen["followed"]) == (3, 2, 0)


TODO: dict[str, Any] = {"type": "function", "function": {"name": "todo_write"}}


@pytest.mark.parametrize(("beside", "followed"), [(["other"], 1), ([], 0)])
def test_the_to_do_list_is_judged_by_itself(beside: list[str], followed: int) -> None:
    """Its reminder is followed if the list is called along with others the next time."""
    bench = Bench(Options(reminders=Reminders()))
    messages = [TASK, *turns("todo_write", "todo_write")]
    last = [call(name, name, {}) for name in ("todo_write", *beside)]
    later = [*messages, *turns("read_file", start=2), *answer({"tool_calls": last})]
    for asked in (messages, later):
        bench.request({**BODY, "tools": [*BODY["tools"], TODO], "messages": asked})
    seen = counted(bench, "bookkeeping")
    assert (seen["given"], seen["judged"], seen["followed"]) == (1, 1, followed)


def conversations(bench: Bench, count: int, then: str) -> None:
    """So many conversations with one reminder each, followed by one kind of turn."""
    for _ in range(count):
        task = {"role": "user", "content": f"Task {next(NUMBERS)}."}
        for messages in ([task], [task, *turns("other")], [task, *turns("other", then)]):
            ask(bench, messages)


def test_a_directive_that_nobody_follows() -> None:
    """It switches itself off for conversations to come; those that run keep it."""
    bench = Bench(Options(reminders=Reminders(every=1)))
    running = [{"role": "user", "content": "Long."}]
    ask(bench, running)
    conversations(bench, 20, "read_file")
    assert bench.metrics.events[-1].data["switched_off"] is True
    given = counted(bench)["given"]
    conversations(bench, 1, "read_file")
    assert counted(bench)["given"] == given
    ask(bench, [*running, *turns("other")])
    assert counted(bench)["given"] == given + 1
    other = bench.request({**BODY, "model": "other", "messages": [TASK, *turns("other")]})
    assert "[Reminder: " in str(other)


def test_one_in_twenty_is_enough() -> None:
    """A directive that is followed now and then stays on."""
    bench = Bench(Options(reminders=Reminders(every=1)))
    conversations(bench, 1, "multi_read")
    conversations(bench, 19, "read_file")
    given = counted(bench)["given"]
    conversations(bench, 1, "read_file")
    assert counted(bench)["given"] > given


def test_a_system_prompt_that_wants_one_tool_at_a_time() -> None:
    """Nothing is offered, no reminder is given, and that is reported once."""
    bench = Bench(Options(reminders=Reminders(every=1)))
    system = {"role": "system", "content": "Use one tool at a time."}
    messages = [system, TASK]
    for _ in range(3):
        assert bench.request({**BODY, "messages": messages}) is None
        messages += turns("read_file", start=len(messages))
    [event] = bench.metrics.events
    assert (event.name, event.data["reason"]) == ("withheld", "system_prompt")
    assert counted(bench) == {"withheld_system_prompt": 1}


def test_a_directive_that_the_system_prompt_contradicts() -> None:
    """It is held back where it is due, and reported there; others are given."""
    bench = Bench(Options(reminders=Reminders(every=2)))
    system = {"role": "system", "content": "Never batch changes."}
    messages = [system, TASK]
    for number in range(2):
        messages += turns("other", start=number)
        assert "[Reminder: " not in str(ask(bench, messages))
    assert counted(bench) == {"withheld_system_prompt": 1}


def test_stats_are_a_table_and_json() -> None:
    """Directives are nested by model in the dict, and rows of the table."""
    bench = Bench(Options(reminders=Reminders(every=1)))
    ask(bench, [TASK, *turns("other")])
    stats = stats_of(bench)
    assert stats.as_dict()["directives"]["a/b.c d"]["general"]["given"] == 1
    assert any(
        row.split() == ["general", "(a/b.c", "d):", "given", "1"] for row in str(stats).split("\n")
    )


def test_pace_of_a_stream() -> None:
    """Output tokens over the time between the first chunk and the last."""
    pace = Pace()
    for now_s, usage in ((10.0, None), (10.5, None), (11.0, {"completion_tokens": 800})):
        pace.see(*timing({"usage": usage}), now_s)
    assert pace.tokens_per_s == 800


def test_pace_by_the_provider() -> None:
    """The provider's own figure counts first, and makes whole answers tell something."""
    usage = {"completion_tokens": 1_000}
    answers: list[dict[str, Any]] = [
        {"usage": {**usage, "completion_time": 0.5}},
        {"usage": usage, "time_info": {"completion_time": 0.5, "queue_time": 9}},
    ]
    for whole in answers:
        pace = Pace()
        pace.see(*timing(whole), 3.0)
        assert pace.tokens_per_s == 2_000


def test_pace_that_nobody_knows() -> None:
    """No usage, few tokens, no time, or odd figures: nothing is measured."""
    usages: list[list[dict[str, Any]]] = [
        [],
        [{}, {}],
        [{"usage": {"completion_tokens": 1_000}}],
        [{}, {"usage": {"completion_tokens": 9}}],
        [{"usage": {"completion_tokens": "many"}}, {"usage": 5, "time_info": []}],
    ]
    for answers in usages:
        pace = Pace()
        for now_s, one in enumerate(answers):
            pace.see(*timing(one), float(now_s))
        assert pace.tokens_per_s is None


def test_pace_is_measured_by_model() -> None:
    """Streams of a model tell how fast it is; the middle one of the last ones counts."""
    bench = Bench()
    for seconds in (1.0, 2.0, 100.0):
        translator = bench.translator({**BODY, "messages": [TASK]})
        translator.request()
        for usage in (None, {"completion_tokens": 1_000}):
            translator.chunk({"choices": [], "usage": usage})
            bench.now_s += seconds
        translator.end(None, marked=True)
    assert bench.memory.observations.tokens_per_s("a/b.c d") == 500
    assert bench.memory.observations.tokens_per_s("other") is None
