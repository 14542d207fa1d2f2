"""What is held back comes next, without a round trip, and only where that is safe."""

from dataclasses import replace
from typing import Any

import pytest

from batchwrap.core.exchange.memory import Memory
from batchwrap.core.formats.chat.calls import read_fragment
from batchwrap.core.moves.conflict import Waves, conflict, effect_of
from batchwrap.core.moves.deliver import LocalAnswer
from batchwrap.core.tools.find import find
from batchwrap.options import Batching, Options
from tests.core.harness import Bench, answer, call, completion, gather, ran, specs
from tests.core.samples import EDIT_REQUEST, EDIT_USER, TOOLS, edit
from tests.strategies import READ_FILE

SINGLES = {single.name: single for single in find(specs(*TOOLS), Batching())}


# Two edits of one file, which must not meet, and one of another.
EDITS = {"files": [edit("a.py", "1"), edit("a.py", "2"), edit("b.py", "3")]}
WAVES = [[("a.py", "1"), ("b.py", "3")], [("a.py", "2")]]


def handed(local: LocalAnswer) -> list[dict[str, Any]]:
    """The calls that an answer hands out."""
    calls: list[dict[str, Any]] = local.completion()["choices"][0]["message"]["tool_calls"]
    return calls


class Session:
    """An agent in the middle of a turn of which a part is held back."""

    def __init__(self, arguments: Any = None, name: str = "multi_edit", **options: Any) -> None:
        self.bench = Bench(Options(reminders=None, batching=Batching(**options)))
        made = {"role": "assistant", "tool_calls": [call("c", name, arguments or EDITS)]}
        self.body = EDIT_REQUEST
        self.seen = self.bench.ask(self.body, completion(made))["choices"][0]["message"]

    def history(self, *results: str) -> list[dict[str, Any]]:
        """The history after the calls that were handed out, with these results."""
        given = results or ["done"] * len(self.seen["tool_calls"])
        made = zip(self.seen["tool_calls"], given, strict=True)
        return [EDIT_USER, *answer(self.seen, {one["id"]: text for one, text in made})]

    def next(self, messages: list[dict[str, Any]], **fields: Any) -> LocalAnswer | None:
        """The local answer to a request, if it gets one."""
        body = {**self.body, "messages": messages, **fields}
        return self.bench.translator(body).local_answer()


def edits(calls: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """(path, new text) of each edit."""
    history = [{"role": "assistant", "tool_calls": calls}]
    return [(given["path"], given["new_string"]) for _, given in ran(history)]


def test_the_next_wave() -> None:
    """Edits of one file go out one after the other, those of another file along with them."""
    session = Session()
    assert edits(session.seen["tool_calls"]) == WAVES[0]
    local = session.next(session.history())
    assert local is not None
    assert edits(handed(local)) == WAVES[1]
    assert session.bench.metrics.counts["local_answers"] == 1


def test_looking_up_is_not_consuming() -> None:
    """A retry gets the same wave; a fork gets its own."""
    session = Session()
    first, again = session.next(session.history()), session.next(session.history())
    fork = session.next(session.history("done", "done otherwise"))
    assert first is not None
    assert again is not None
    assert fork is not None
    assert handed(first) == handed(again) == handed(fork)
    assert first.answer.answer_id != again.answer.answer_id


@pytest.mark.parametrize("stream", [False, True])
def test_what_was_never_written_was_not_handed_out(stream: bool) -> None:
    """Calls count as handed out once their answer is written, and not when they are due."""
    session = Session()
    stopped = [*session.history(), {"role": "user", "content": "Stop."}]
    local = session.next(session.history())
    assert local is not None
    for text in ("[2/3] not run", "[2/3] cut off"):
        sent = session.bench.sent({**session.body, "messages": stopped})
        [result] = [message["content"] for message in sent if message["role"] == "tool"]
        assert text in result
        _ = local.chunks(with_usage=False) if stream else local.completion()


def test_after_the_last_wave() -> None:
    """When everything has its result the provider is asked, and sees one turn."""
    session = Session()
    local = session.next(session.history())
    assert local is not None
    message = local.completion()["choices"][0]["message"]
    history = [*session.history(), *answer(message, {handed(local)[0]["id"]: "done"})]
    assert session.next(history) is None
    sent = session.bench.request({**session.body, "messages": history})
    assert sent is not None
    assert [m["role"] for m in sent["messages"]] == ["user", "assistant", "tool"]
    assert sent["messages"][-1]["content"].split("\n") == [
        *("[1/3] edit_file a.py", "done"),
        *("[2/3] edit_file a.py", "done"),
        *("[3/3] edit_file b.py", "done"),
    ]


@pytest.mark.parametrize(
    "added",
    [
        [{"role": "user", "content": "Stop!"}],
        [{"role": "user", "content": "Sum up the conversation so far."}],
        [{"role": "assistant", "content": "I think I am done."}],
    ],
)
def test_any_other_message_goes_to_the_provider(added: list[dict[str, Any]]) -> None:
    """A person's "stop", a summary request or anything else that is new is the provider's."""
    session = Session()
    history = [*session.history(), *added]
    assert session.next(history) is None
    sent = session.bench.request({**session.body, "messages": history})
    assert sent is not None
    assert "[2/3] not run" in sent["messages"][2]["content"]


@pytest.mark.parametrize(
    "fields",
    [
        {"model": "other"},
        {"tools": [READ_FILE]},
        {"tools": None},
        {"tool_choice": "none"},
        {"n": 2},
    ],
)
def test_another_request_goes_to_the_provider(fields: dict[str, Any]) -> None:
    """Another model, other tools or another choice: not the request that we know."""
    session = Session()
    assert session.next(session.history(), **fields) is None


def test_a_changed_history_goes_to_the_provider() -> None:
    """A history that was edited or compacted before the turn is not the one that we know."""
    session = Session()
    history = session.history()
    assert session.next([{**EDIT_USER, "content": "Mend b.py."}, *history[1:]]) is None
    assert session.next(history[1:]) is None


def test_after_a_failed_edit_nothing_more_runs() -> None:
    """What was held back behind a failed edit is cancelled, and the model is told."""
    session = Session()
    history = session.history("Error: old_string was not found", "done")
    assert session.next(history) is None
    sent = session.bench.request({**session.body, "messages": history})
    assert sent is not None
    assert "[2/3] not run" in sent["messages"][-1]["content"]


@pytest.mark.parametrize(
    ("result", "goes_on"),
    [
        ("Error: old_string was not found", True),
        ("The user doesn't want to proceed with this tool use.", False),
    ],
)
def test_single_calls_behind_a_failed_one(result: str, goes_on: bool) -> None:
    """The model's own single calls go on behind one that failed, not behind one that was denied."""
    bench = Bench(Options(reminders=None))
    made = [call(f"c{n}", "edit_file", edit("a.py", str(n))) for n in range(3)]
    seen = bench.ask(EDIT_REQUEST, completion({"role": "assistant", "tool_calls": made}))
    message = seen["choices"][0]["message"]
    assert edits(message["tool_calls"]) == [("a.py", "0")]
    history = [EDIT_USER, *answer(message, {message["tool_calls"][0]["id"]: result})]
    local = bench.translator({**EDIT_REQUEST, "messages": history}).local_answer()
    assert (local is not None) == goes_on
    if local is not None:
        assert edits(handed(local)) == [("a.py", "1")]


def test_what_stands_before_a_failed_call_still_runs() -> None:
    """A call that overtook others and failed cancels only what stands behind it."""
    bench = Bench(Options(reminders=None))
    paths = ["a.py", "a.py", "b.py", "b.py"]
    edits = [{"path": p, "old_string": str(n), "new_string": ""} for n, p in enumerate(paths)]
    made = {"tool_calls": [call("c", "multi_edit", {"files": edits})]}
    history = bench.run(
        EDIT_REQUEST, made, results=lambda one: "Error" if '"2"' in str(one) else "ok"
    )
    assert [given["old_string"] for _, given in ran(history)] == ["0", "2", "1"]


@pytest.mark.parametrize(("on_failure", "goes_on"), [("stop", False), ("go_on", True)])
def test_a_shell(on_failure: Any, goes_on: bool) -> None:
    """Commands go out one at a time; after a failed one the user's choice decides."""
    bash = {"type": "object", "properties": {"command": {"type": "string"}}}
    tools = [{"type": "function", "function": {"name": "bash", "parameters": bash}}]
    batching = Batching(tools={"bash": "sequential"}, on_failure=on_failure)
    bench = Bench(Options(reminders=None, batching=batching))
    commands = [{"command": command} for command in ("make", "make test", "ls")]
    made = {"tool_calls": [call("c", "multi_bash", {"calls": commands})]}
    body = {**EDIT_REQUEST, "tools": tools}
    history = bench.run(body, made, results=lambda one: "Error: 2" if "test" in str(one) else "ok")
    assert [given["command"] for _, given in ran(history)] == [
        *("make", "make test"),
        *["ls"] * goes_on,
    ]
    sent = bench.request({**body, "messages": history})
    assert sent is not None
    assert ("[3/3] not run" in sent["messages"][-1]["content"]) is not goes_on


@pytest.mark.parametrize("name", ["multi_tool_use.parallel", "batch"])
def test_calls_that_models_make_up(name: str) -> None:
    """A batch that nobody offered is understood; items with unknown tools are not invented."""
    bench = Bench(Options(reminders=None, batching=Batching(offer="never")))
    uses = [
        {"recipient_name": "functions.read_file", "parameters": {"path": "a.py"}},
        {"recipient_name": "functions.grep", "parameters": {"pattern": "x"}},
        {"recipient_name": "functions.rm", "parameters": {"path": "/"}},
    ]
    key = "tool_uses" if name != "batch" else "calls"
    made = {"tool_calls": [call("c", name, {key: uses})]}
    history = bench.run(EDIT_REQUEST, made)
    assert [tool for tool, _ in ran(history)] == ["read_file", "grep"]
    sent = bench.request({**EDIT_REQUEST, "messages": history})
    assert sent is not None
    assert sent["messages"][1]["tool_calls"] == made["tool_calls"]
    assert "[3/3] not run" in sent["messages"][2]["content"]


def test_the_users_own_word_for_failed() -> None:
    """What reads as failed can be the user's own function."""
    session = Session(failed=lambda result: result == "nope")
    assert session.next(session.history("Error: but fine", "done")) is not None
    assert session.next(session.history("nope", "done")) is None


@pytest.mark.parametrize(
    "result",
    [
        "Error: no match",
        "User rejected the tool call for `edit_file` with id call_1",
        "Tool execution was not approved.",
        "The tool call was denied.",
        "<tool_use_error>String to replace not found in file.\nString: 1</tool_use_error>",
        '{"isError": true, "content": []}',
        "Wall time: 3 s\nProcess exited with code 1\nOutput:\n",
    ],
)
def test_what_waits_behind_a_failure(result: str) -> None:
    """An edit that failed or was denied cancels those behind it, as a text and as parts."""
    session = Session()
    history = session.history(result, "done")
    assert session.next(history) is None
    texts = ("[edit_file]", result)
    history[-2] = {**history[-2], "content": [{"type": "text", "text": text} for text in texts]}
    assert session.next(history) is None


def test_what_waits_behind_a_healthy_result() -> None:
    """A result that talks about errors cancels nothing."""
    session = Session()
    assert session.next(session.history("Replaced 1 occurrence in errors.py", "done")) is not None
    assert session.next(session.history("1\tError: no match\n2\t", "done")) is not None


def test_an_agent_that_takes_one_call_only() -> None:
    """If only the first call comes back, the others follow one by one."""
    session = Session()
    session.seen = {**session.seen, "tool_calls": session.seen["tool_calls"][:1]}
    local = session.next(session.history())
    assert local is not None
    assert edits(handed(local)) == [("a.py", "2")]


def test_an_agent_that_answers_one_call_only() -> None:
    """The same where it keeps all calls in its history and answers the first."""
    session = Session()
    local = session.next(session.history()[:-1])
    assert local is not None
    assert len(handed(local)) == 1


def test_one_call_at_a_time() -> None:
    """`parallel_tool_calls: false` and `delivery="serial"` hand out one call in each answer."""
    for fields, options in (({"parallel_tool_calls": False}, {}), ({}, {"delivery": "serial"})):
        bench = Bench(Options(reminders=None, batching=Batching(**options)))  # type: ignore[arg-type]
        made = {"tool_calls": [call("c", "multi_read", {"files": ["a.py", "b.py", "c.py"]})]}
        history = bench.run({**EDIT_REQUEST, **fields}, made)
        assert [len(m["tool_calls"]) for m in history if m["role"] == "assistant"] == [1, 1, 1]


def test_all_at_once() -> None:
    """`delivery="at_once"` holds nothing back, in the model's order, above the cap, too."""
    options = Batching(delivery="at_once", max_items=2)
    bench = Bench(Options(reminders=None, batching=options))
    made = [("a.py", "1"), ("a.py", "2"), ("b.py", "1")]
    items = [{"path": path, "old_string": "0", "new_string": new} for path, new in made]
    history = bench.run(EDIT_REQUEST, {"tool_calls": [call("c", "multi_edit", {"files": items})]})
    [turn] = [m for m in history if m["role"] == "assistant"]
    assert edits(turn["tool_calls"]) == made


def test_approvals() -> None:
    """Where a person approves edits, they come one by one; reads do not wait."""
    session = Session(approvals=True)
    assert edits(session.seen["tool_calls"]) == [("a.py", "1")]


def test_a_batch_above_the_cap() -> None:
    """More items than the cap go out in several waves; none is refused."""
    bench = Bench(Options(reminders=None, batching=Batching(max_items=2)))
    made = {"tool_calls": [call("c", "multi_read", {"files": ["a", "b", "c", "d", "e"]})]}
    history = bench.run(EDIT_REQUEST, made)
    assert [len(m["tool_calls"]) for m in history if m["role"] == "assistant"] == [2, 2, 1]


def test_forgotten() -> None:
    """What is held back costs the batch when it is forgotten, and no more."""
    session = Session()
    session.bench.memory = Memory()
    assert session.next(session.history()) is None
    sent = session.bench.request({**session.body, "messages": session.history()})
    assert sent is not None
    assert "[2/3] not run" in sent["messages"][-1]["content"]


@pytest.mark.parametrize(
    "arguments",
    [
        '{"files": [{"path": "a", "old_string": "x", "new_string": "y"}, {"path": "b"}]}',
        '{"files": [{"path": "a", "old_string": "x", "new_string": "y"}, {"path": "b", "old_st',
    ],
)
def test_broken_edits_never_run_in_part(arguments: str) -> None:
    """Edits that do not all fit, or break off, go raw to the agent's own tool, which refuses."""
    session = Session(arguments)
    [made] = session.seen["tool_calls"]
    assert made["function"] == {"name": "edit_file", "arguments": arguments}
    history = session.history("Error: old_string is missing")
    sent = session.bench.request({**session.body, "messages": history})
    assert sent is not None
    assert sent["messages"][1]["tool_calls"] == [call("c", "multi_edit", arguments)]


def test_edits_wait_for_the_whole_call() -> None:
    """Streamed, an edit is handed out when all of its multi-call is there; reads at once."""
    batch = {"calls": [{"tool": "read_file", "arguments": {"path": "a"}}]}
    batch["calls"] += [{"tool": "edit_file", "arguments": edit("b", "1")}]
    text = call("c", "batch", batch)["function"]["arguments"]
    translator = Bench().translator(EDIT_REQUEST)
    translator.request()

    def feed(piece: str, **head: Any) -> list[str]:
        function = {"arguments": piece} | ({"name": "batch"} if head else {})
        delta = {"tool_calls": [{"index": 0, "function": function, **head}]}
        chunks = translator.chunk({"choices": [{"index": 0, "delta": delta}]}) or []
        return [made["function"]["name"] for made in gather(chunks)["tool_calls"]]

    half = text.index(', {"tool": "edit_file"') + 3  # a comma alone could be one too many
    assert feed(text[:half], id="c") == ["read_file"]
    assert feed(text[half:]) == []
    delta: dict[str, Any] = {"index": 0, "delta": {}, "finish_reason": "tool_calls"}
    last = translator.chunk({"choices": [delta]})
    assert last is not None
    assert [made["function"]["name"] for made in gather(last)["tool_calls"]] == ["edit_file"]


@pytest.mark.parametrize(
    ("one", "other", "wait"),
    [
        (("read_file", "a.py"), ("read_file", "a.py"), False),
        (("read_file", "a.py"), ("edit_file", "a.py"), True),
        (("edit_file", "a.py"), ("edit_file", "b.py"), False),
        (("edit_file", "a.py"), ("edit_file", "./A.py"), True),
        (("edit_file", "a.py"), ("edit_file", "src/a.py"), True),
        (("edit_file", "src\\a.py"), ("edit_file", "/repo/src/a.py"), True),
        (("edit_file", "a.py"), ("edit_file", "x/../b.py"), True),
        (("grep", ""), ("edit_file", "a.py"), True),
        (("grep", ""), ("read_file", "a.py"), False),
        (("bash", ""), ("read_file", "a.py"), True),
    ],
)
def test_conflicts(one: tuple[str, str], other: tuple[str, str], wait: bool) -> None:
    """Calls conflict if they may touch one file and one of them writes, either way round."""
    first, second = (
        effect_of(SINGLES.get(name), f'{{"path": {path!r}}}'.replace("'", '"'))
        for name, path in (one, other)
    )
    assert conflict(first, second) is conflict(second, first) is wait


def test_waves_keep_the_order_of_conflicts() -> None:
    """A call may overtake only what it does not conflict with."""
    waves = Waves(9, one_by_one=False, changes_one_by_one=False)
    made = [("edit_file", "a"), ("read_file", "a"), ("read_file", "b"), ("bash", ""), ("grep", "")]
    effects = [effect_of(SINGLES.get(name), f'{{"path": "{path}"}}') for name, path in made]
    assert [waves.place(effect) for effect in effects] == [0, 1, 0, 2, 3]


def test_local_answers_are_whole() -> None:
    """A local answer has all that clients look for, plain and streamed."""
    session = Session()
    local = session.next(session.history())
    assert local is not None
    plain = local.completion()
    assert plain["id"].startswith("chatcmpl-bw")
    assert plain["object"] == "chat.completion"
    assert plain["usage"] == {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    assert gather(local.chunks(with_usage=False))["tool_calls"] == handed(local)
    assert [chunk["choices"] for chunk in local.chunks(with_usage=True)][-1] == []


def test_a_local_stream_has_one_call_in_a_chunk() -> None:
    """As OpenAI sends them; some clients read only the first call of a chunk."""
    session = Session()
    local = session.next(session.history())
    assert local is not None
    calls = [read_fragment(call(name, "read_file", "{}"), i) for i, name in enumerate("abc")]
    local = replace(local, answer=replace(local.answer, calls=calls))
    chunks = local.chunks(with_usage=False)
    deltas = [each["choices"][0]["delta"] for each in chunks]
    assert [len(delta.get("tool_calls", ())) for delta in deltas] == [1, 1, 1, 0]
    assert gather(chunks)["tool_calls"] == handed(local)


def test_usage_of_the_last_prompt() -> None:
    """For agents with a context meter a local answer repeats the last usage."""
    bench = Bench(Options(reminders=None, batching=Batching(local_usage="last_prompt")))
    usage = {"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8}
    made = completion({"role": "assistant", "tool_calls": [call("c", "multi_edit", EDITS)]})
    seen = bench.ask(EDIT_REQUEST, {**made, "usage": usage})["choices"][0]["message"]
    body = {**EDIT_REQUEST, "messages": [EDIT_USER, *answer(seen)]}
    local = bench.translator(body).local_answer()
    assert local is not None
    assert local.completion()["usage"] == usage
