"""The moves that batchwrap adds by itself: coalescing, native multi-tools, read-ahead, caps."""

import json
from typing import Any

import pytest

from batchwrap.core.provider import Provider
from batchwrap.options import Batching, Options, ReadAhead, Reminders
from tests.core.harness import (
    Bench,
    answer,
    call,
    chunk,
    completion,
    fragments,
    gather,
    ran,
)
from tests.core.samples import READ_REQUEST, singles
from tests.strategies import READ_FILE, READ_FILES

NO_CACHE = Provider(caches_prompts=False)
DONE = {"role": "assistant", "content": "Read."}
AGAIN = {"role": "user", "content": "And now?"}


def usage(cached: int | None) -> dict[str, Any]:
    """What a provider reports for a long prompt."""
    details = {} if cached is None else {"prompt_tokens_details": {"cached_tokens": cached}}
    return {"prompt_tokens": 9_000, "completion_tokens": 9, "total_tokens": 9_009, **details}


def calls_sent(bench: Bench, messages: list[dict[str, Any]]) -> list[str]:
    """The names of the calls in the provider view of a conversation."""
    sent = bench.request({**READ_REQUEST, "messages": messages})
    assert sent is not None
    functions = [m["function"] for one in sent["messages"] for m in one.get("tool_calls", ())]
    return [function["name"] for function in functions]


RUN = [*singles(3), DONE, AGAIN]


@pytest.mark.parametrize(
    ("coalesce", "provider", "expected"),
    [
        ("auto", Provider(), 3),
        ("auto", Provider(caches_prompts=True), 3),
        ("auto", NO_CACHE, 1),
        ("never", NO_CACHE, 3),
        ("always", Provider(caches_prompts=True), 1),
    ],
)
def test_where_history_is_rewritten(coalesce: Any, provider: Provider, expected: int) -> None:
    """By default only where the provider is known not to cache prompts."""
    bench = Bench(Options(batching=Batching(coalesce=coalesce)), provider)
    assert len(calls_sent(bench, RUN)) == expected


@pytest.mark.parametrize(
    ("reported", "expected"),
    [([0, 0, 0], 1), ([0, 0], 3), ([None, None, None], 3), ([0, 0, 0, 512], 3)],
)
def test_usage_shows_whether_prompts_are_cached(reported: list[Any], expected: int) -> None:
    """Three follow-up requests of which nothing was cached are enough; one hit is, too."""
    bench = Bench()
    for cached in reported:
        made = completion({"role": "assistant", "content": "ok"}, "stop")
        bench.ask(
            {**READ_REQUEST, "messages": [AGAIN, DONE, AGAIN]}, {**made, "usage": usage(cached)}
        )
    assert len(calls_sent(bench, RUN)) == expected


def test_a_first_request_says_nothing_of_a_cache() -> None:
    """The prompt of a conversation's first request cannot have been cached."""
    bench = Bench()
    for _ in range(5):
        made = completion({"role": "assistant", "content": "ok"}, "stop")
        bench.ask(READ_REQUEST, {**made, "usage": usage(0)})
    assert len(calls_sent(bench, RUN)) == 3


def test_what_was_settled_stays() -> None:
    """Once a run was sent as it is, it stays so, whatever turns out later."""
    bench = Bench()
    assert len(calls_sent(bench, RUN)) == 3
    longer = [*RUN, {**DONE, "content": "So."}, AGAIN]
    assert len(calls_sent(bench, longer)) == 3
    bench.provider = NO_CACHE
    assert len(calls_sent(bench, longer)) == 3


def test_an_offer_is_needed() -> None:
    """Without multi-tools on offer the history shows none."""
    batching = Batching(coalesce="always", offer="never")
    body = {**READ_REQUEST, "messages": RUN}
    assert Bench(Options(batching=batching)).request(body) is None


def parallel(*paths: str) -> dict[str, Any]:
    """An assistant message that reads these files with single calls."""
    made = [call(f"c{k}", "read_file", {"path": path}) for k, path in enumerate(paths)]
    return {"role": "assistant", "content": "I look.", "tool_calls": made}


NATIVE = {**READ_REQUEST, "tools": [READ_FILE, READ_FILES]}


def streamed(bench: Bench, body: dict[str, Any], message: dict[str, Any]) -> dict[str, Any]:
    """The message that the agent puts together from the stream, each call in two pieces."""
    texts = [made["function"]["arguments"] for made in message["tool_calls"]]
    pieces = [[text[:5], text[5:]] for text in texts]
    return gather(bench.ask_streamed(body, fragments(message, pieces)))


def test_the_native_multi_tool() -> None:
    """Parallel single calls become one call of the agent's own multi-tool, plain and streamed."""
    seen = Bench().ask(NATIVE, completion(parallel("a", "b")))["choices"][0]["message"]
    expected = [call("c0", "read_files", '{"paths":["a","b"]}')]
    assert seen["tool_calls"] == expected
    assert seen["content"] == "I look."
    assert streamed(Bench(), NATIVE, parallel("a", "b"))["tool_calls"] == expected
    history = [*READ_REQUEST["messages"], *answer(seen)]
    sent = Bench().request({**NATIVE, "messages": history})
    assert sent is not None
    assert sent["messages"] == history


@pytest.mark.parametrize(
    ("body", "extra"),
    [
        ({**NATIVE, "tool_choice": {"type": "function", "function": {"name": "read_file"}}}, {}),
        (NATIVE, {"thinking_blocks": [{"thinking": "…", "signature": "s"}]}),
    ],
)
def test_no_native_multi_tool(body: dict[str, Any], extra: dict[str, Any]) -> None:
    """A forced function, or thinking that belongs to the calls, leaves them as they are."""
    message = {**parallel("a", "b"), **extra}
    made = completion(message)
    assert Bench().ask(body, made) == made
    if extra:
        first = chunk({"role": "assistant", **extra})
        texts = [[one["function"]["arguments"]] for one in message["tool_calls"]]
        seen = gather(Bench().ask_streamed(body, [first, *fragments(message, texts)]))
        assert seen["tool_calls"] == message["tool_calls"]


def test_switched_off() -> None:
    """`coalesce="never"` leaves parallel calls as they are."""
    bench = Bench(Options(batching=Batching(coalesce="never")))
    made = completion(parallel("a", "b"))
    assert bench.ask(NATIVE, made) == made


AHEAD = Options(batching=Batching(read_ahead=ReadAhead()), reminders=None)
PROMPT = {**READ_REQUEST, "messages": [{"role": "user", "content": "Compare a.py, b.py and c.py."}]}


@pytest.mark.parametrize("style", ["parallel", "first"])
@pytest.mark.parametrize("pieces", [None, [['{"path":', ' "a.py"}']]])
def test_reads_ahead(style: str, pieces: Any) -> None:
    """Reads that will follow go out along with a single read; the model's call stays as it was."""
    bench = Bench(AHEAD)
    message: dict[str, Any] = {"role": "assistant", "content": None}
    message |= {"tool_calls": [call("c", "read_file", '{"path": "a.py"}')]}
    history = bench.run(
        PROMPT, message, pieces=pieces, style=style, results=lambda made: made["id"]
    )
    assert [given["path"] for _, given in ran(history)] == ["a.py", "b.py", "c.py"]
    assert bench.metrics.counts["read_ahead"] == 2
    sent = bench.request({**PROMPT, "messages": history})
    assert sent is not None
    _, asked, result = sent["messages"]
    assert asked["tool_calls"] == message["tool_calls"]
    lines = result["content"].split("\n")
    assert lines[0] == result["tool_call_id"] == "c"
    assert [lines[1], lines[3]] == ["[read ahead] read_file b.py", "[read ahead] read_file c.py"]
    other = Bench(AHEAD).request({**PROMPT, "messages": history})
    assert other is not None
    assert other["messages"] == sent["messages"]


def test_failed_reads_are_not_shown() -> None:
    """A file that was added and is not there leaves no trace."""
    bench = Bench(AHEAD)
    message = {"role": "assistant", "tool_calls": [call("c", "read_file", '{"path": "a.py"}')]}
    results = {"a.py": "x = 1", "b.py": "Error: no such file", "c.py": "y = 2"}
    history = bench.run(
        PROMPT, message, results=lambda m: results[json.loads(m["function"]["arguments"])["path"]]
    )
    sent = bench.request({**PROMPT, "messages": history})
    assert sent is not None
    assert sent["messages"][-1]["content"] == "x = 1\n[read ahead] read_file c.py\ny = 2"


def test_only_a_single_read_reads_ahead() -> None:
    """Nothing is added to parallel calls, to a cut stream, or to other tools."""
    bench = Bench(AHEAD)
    made = completion(parallel("a.py", "b.py"))
    assert bench.ask(PROMPT, made) == made
    edit = {"path": "a.py", "old_string": "x", "new_string": "y"}
    made = completion({"role": "assistant", "tool_calls": [call("c", "edit_file", edit)]})
    assert bench.ask(PROMPT, made) == made
    message = parallel("a.py")
    cut = fragments(message, [[message["tool_calls"][0]["function"]["arguments"]]])[:-1]
    assert bench.ask_streamed(PROMPT, cut, marked=None) == cut


def edits(bench: Bench, failed: int, start: int) -> list[dict[str, Any]]:
    """A turn with one multi-call of four edits, in the agent view, of which so many fail."""
    files = [{"path": f"{start}_{k}.py", "old_string": "x", "new_string": "y"} for k in range(4)]
    made = {"role": "assistant", "tool_calls": [call(f"m{start}", "multi_edit", {"files": files})]}
    bad = {f"{start}_{k}.py" for k in range(failed)}

    def result(made: dict[str, Any]) -> str:
        path = json.loads(made["function"]["arguments"])["path"]
        return "Error: not found" if path in bad else "ok"

    return bench.run(READ_REQUEST, made, results=result)[1:]


def max_items(bench: Bench, task: str) -> int:
    """The cap that a new conversation is offered."""
    body = {**READ_REQUEST, "model": "m", "messages": [{"role": "user", "content": task}]}
    sent = bench.request(body)
    assert sent is not None
    items: int = sent["tools"][-1]["function"]["parameters"]["properties"]["calls"]["maxItems"]
    return items


def test_edits_that_fail_in_batches_halve_the_cap() -> None:
    """For conversations to come; batches that go well let it grow back by one."""
    bench = Bench()
    history = list(READ_REQUEST["messages"])
    for number in range(3):
        history += edits(bench, 2, number)
        bench.request({**READ_REQUEST, "messages": history})
    assert max_items(bench, "a") == 4
    for number in range(3, 5):
        history += edits(bench, 0, number)
        bench.request({**READ_REQUEST, "messages": history})
    assert max_items(bench, "b") == 5


def test_within_a_conversation_the_reminder_says_how_many() -> None:
    """The schema stays as it is; what is reminded of is the cap that errors have left."""
    options = Options(reminders=Reminders(every=1))
    bench = Bench(options)
    history = list(READ_REQUEST["messages"])
    for number in range(3):
        history += edits(bench, 2, number)
    history += [DONE, AGAIN]
    sent = bench.request({**READ_REQUEST, "messages": history})
    assert sent is not None
    assert sent["messages"][-1]["content"].endswith("At most 4 at a time.]")
    calls = sent["tools"][-1]["function"]["parameters"]["properties"]["calls"]
    assert calls["maxItems"] == 8


def test_edits_that_fail_one_by_one_say_nothing_of_batches() -> None:
    """The cap is for batches that fail more often than single calls do."""
    bench = Bench()
    edit = {"path": "a.py", "old_string": "x", "new_string": "y"}
    history = list(READ_REQUEST["messages"])
    for number in range(12):
        made = {"tool_calls": [call(f"s{number}", "edit_file", edit)]}
        history += answer(made, {f"s{number}": "Error: not found"})
    for number in range(3):
        history += edits(bench, 2, number)
        bench.request({**READ_REQUEST, "messages": history})
    assert max_items(bench, "a") == 8


def test_a_full_context_makes_batches_small() -> None:
    """Where little room is left, reads go out a few at a time, and stop when it is used up."""
    bench = Bench(Options(batching=Batching(context_tokens=20_000), reminders=None))
    body = {**READ_REQUEST, "messages": [{"role": "user", "content": "x" * 4 * 11_000}]}
    files = {"files": [{"path": f"{k}.py"} for k in range(6)]}
    message = {"role": "assistant", "tool_calls": [call("c", "multi_read", files)]}
    history = bench.run(body, message, results=lambda made: "y" * 4 * 3_000)
    assert len(ran(history)) == 4
    sent = bench.request({**body, "messages": history})
    assert sent is not None
    assert [line for line in sent["messages"][-1]["content"].split("\n") if "[" in line] == [
        *(f"[{k + 1}/6] read_file {k}.py" for k in range(4)),
        *("[5/6] not run", "[6/6] not run"),
    ]


def test_held_calls_age() -> None:
    """What is held back is let go after a day; that costs the batch, and no more."""
    bench = Bench(Options(reminders=None, batching=Batching(max_items=2)))
    made = {"tool_calls": [call("c", "multi_read", {"files": ["a", "b", "c"]})]}
    seen = bench.ask(READ_REQUEST, completion(made))["choices"][0]["message"]
    body = {**READ_REQUEST, "messages": [*READ_REQUEST["messages"], *answer(seen)]}
    assert bench.translator(body).local_answer() is not None
    bench.now_s = 25 * 3_600.0
    assert bench.translator(body).local_answer() is None
    sent = bench.request(body)
    assert sent is not None
    assert ran(sent["messages"]) == [("multi_read", {"files": [{"path": "a"}, {"path": "b"}]})]


def test_instead_is_taken_back_first() -> None:
    """A model that stumbles gets its single tools back, and then no multi-tools at all."""
    bench = Bench(Options(reminders=None, batching=Batching(offer="instead")))

    def offered(task: str) -> list[str]:
        body = {**READ_REQUEST, "messages": [{"role": "user", "content": task}]}
        sent = bench.request(body) or body
        return [tool["function"]["name"] for tool in sent["tools"]]

    def stumble() -> None:
        for _ in range(3):
            made = {"role": "assistant", "tool_calls": [call("c", "multi_read", "{}")]}
            bench.ask(
                {**READ_REQUEST, "messages": [{"role": "user", "content": "old"}]}, completion(made)
            )

    assert offered("a") == ["grep", "multi_read", "multi_edit", "batch"]
    stumble()
    assert offered("b") == ["read_file", "edit_file", "grep", "multi_read", "multi_edit", "batch"]
    stumble()
    assert offered("c") == ["read_file", "edit_file", "grep"]
