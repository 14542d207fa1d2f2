"""Runs of single calls become multi-calls: nothing lost, each once, and never changed again."""

import json
from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwrap.core.failures import looks_failed
from batchwrap.core.formats.chat.format import CHAT_FORMAT
from batchwrap.core.moves.coalesce import coalesce
from batchwrap.core.moves.fold import Segment
from batchwrap.core.tools import meaning
from batchwrap.core.tools.find import find
from batchwrap.core.tools.items import ItemScanner
from batchwrap.core.tools.multi import MultiTool, multi_tools, render
from batchwrap.options import Batching, Tool
from tests.core.harness import call, entries, specs
from tests.strategies import EDIT_FILE, GREP, READ_FILE

Message = dict[str, Any]

BASH: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "bash",
        "parameters": {
            "type": "object",
            "properties": {"command": {"type": "string"}},
            "required": ["command"],
        },
    },
}
DRAW: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "draw",
        "parameters": {
            "type": "object",
            "properties": {"scene": {"type": "string"}, "folder": {"type": "string"}},
        },
    },
}
KINDS = {"bash": Tool("sequential"), "draw": Tool("read_only", path="scene")}
FOUND = find(specs(READ_FILE, EDIT_FILE, GREP, BASH, DRAW), Batching(tools=KINDS))
SINGLES = {single.name: single for single in FOUND}
MIXED = multi_tools(FOUND, set(), mixed=True)
OWN = multi_tools(FOUND, set(), mixed=False)
TOOLBOX = meaning.Toolbox(SINGLES, {})
BY_NAME = {multi.name: multi for multi in MIXED}
USER: Message = {"role": "user", "content": "Mend alpha.py, beta.py and gamma.py."}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}


def read(path: str) -> tuple[str, Any]:
    """A read of a file."""
    return "read_file", {"path": path}


def edit(path: str) -> tuple[str, Any]:
    """An edit of a file."""
    return "edit_file", {"path": path, "old_string": "x", "new_string": "y"}


GREPS = "grep", {"pattern": "def"}
LS = "bash", {"command": "ls"}


def turn(
    number: int, *calls: tuple[str, Any], said: Any = None, results: Any = None
) -> list[Message]:
    """An assistant turn and the results of its calls: ids and results tell them apart."""
    made = [call(f"c{number}-{place}", *one) for place, one in enumerate(calls)]
    texts = results or [f"<{number}-{place}>" for place in range(len(calls))]
    return [
        {"role": "assistant", "content": said, "tool_calls": made},
        *(
            {"role": "tool", "tool_call_id": one["id"], "content": text}
            for one, text in zip(made, texts, strict=True)
        ),
    ]


def plain(messages: list[Message]) -> list[Segment]:
    """Each message as a segment, as folding makes of what is not ours."""
    return [Segment(1, [entry]) for entry in entries(messages)]


def flat(segments: list[Segment]) -> list[Message]:
    """The messages of some segments."""
    return CHAT_FORMAT.write([entry for segment in segments for entry in segment.entries])


def shown(segments: list[Segment]) -> list[Any]:
    """Segments as they can be compared."""
    return [(one.taken, CHAT_FORMAT.write(one.entries)) for one in segments]


def merge(
    segments: list[Segment],
    before: list[Message] | None = None,
    multis: list[MultiTool] = MIXED,
    most: int = 8,
) -> tuple[list[Segment], int]:
    """What becomes of the segments."""
    return coalesce(entries(before or []), segments, multis, SINGLES, looks_failed, most=most)


def shape(*turns: list[Message], multis: list[MultiTool] = MIXED, most: int = 8) -> list[str]:
    """What the calls are after coalescing, one text a message: ``multi_read:2 grep``."""
    messages = [USER, *(message for one in turns for message in one)]
    out, still_open = merge(plain([*messages, USER]), multis=multis, most=most)
    assert still_open == 0
    assert sum(segment.taken for segment in out) == len(messages) + 1
    return [
        " ".join(map(form, message["tool_calls"])) for message in flat(out) if calls_of(message)
    ]


def form(made: dict[str, Any]) -> str:
    """A call's name, and how many items it has if it is a multi-call."""
    name, arguments = made["function"]["name"], made["function"]["arguments"]
    return f"{name}:{len(items_of(BY_NAME[name], arguments))}" if name in BY_NAME else name


def items_of(multi: MultiTool, arguments: str) -> list[str]:
    """The items of a multi-call."""
    return ItemScanner(multi.key).feed(arguments)


def calls_of(message: Message) -> list[dict[str, Any]]:
    """The calls of a message."""
    return message.get("tool_calls") or []


_paths = st.sampled_from(["alpha.py", "src/beta.py", "gamma.py", "unheard.py"])
_calls = st.one_of(
    _paths.map(read), _paths.map(read), _paths.map(edit), st.just(GREPS), st.just(LS)
)


@st.composite
def conversations(draw: st.DrawFn) -> list[Segment]:
    """A conversation of turns with single calls, and of all that ends a run."""
    segments = plain([USER])
    for number in range(draw(st.integers(0, 7))):
        made = draw(st.lists(_calls, min_size=1, max_size=draw(st.sampled_from([1, 1, 4]))))
        said = draw(st.sampled_from([None, "", f"({number})", [part(f"({number})")]]))
        messages = turn(number, *made, said=said)
        extra = draw(st.sampled_from([None] * 5 + ["user", "reasoning", "failed", "images"]))
        if extra == "user":
            messages.append({"role": "user", "content": f"({number}b)"})
        elif extra == "reasoning":
            messages[0]["reasoning_content"] = "hm"
        elif extra == "failed":
            messages[-1]["content"] = f"Error: {messages[-1]['content']}"
        elif extra == "images":
            messages[-1]["content"] = [part(messages[-1]["content"]), IMAGE]
        results = draw(st.permutations(messages[1 : len(made) + 1]))
        messages[1 : len(made) + 1] = results
        together = draw(st.booleans())
        segments += [Segment(len(messages), entries(messages))] if together else plain(messages)
    return segments


def part(text: str) -> dict[str, Any]:
    """A text as a content part."""
    return {"type": "text", "text": text}


_offers = st.sampled_from([MIXED, OWN, OWN[:1], []])
_most = st.integers(1, 5)


@given(conversations(), _offers, _most)
def test_what_is_finished_never_changes(
    segments: list[Segment], multis: list[MultiTool], most: int
) -> None:
    """However a conversation grows, in one piece or bit by bit, what was finished stays."""
    settled: list[Segment] = []
    waiting: list[Segment] = []
    for end in range(len(segments) + 1):
        out, still_open = merge(segments[:end], multis=multis, most=most)
        finished = out[: len(out) - still_open]
        assert shown(finished[: len(settled)]) == shown(settled)
        kept = zip(out[len(finished) :], segments[end - still_open : end], strict=True)
        assert all(new is old for new, old in kept)
        bit, _ = merge(waiting, flat(settled), multis, most)
        assert shown([*settled, *bit]) == shown(out)
        settled, waiting = finished, segments[end - still_open : end + 1]


@given(conversations(), _offers, _most)
def test_each_call_and_result_once(
    segments: list[Segment], multis: list[MultiTool], most: int
) -> None:
    """Each call stands there once, in order, its arguments to the byte, with its own result."""
    out, _ = merge(segments, multis=multis, most=most)
    answers = {m["tool_call_id"]: m for m in flat(segments) if m["role"] == "tool"}
    singles = iter([made for message in flat(segments) for made in calls_of(message)])
    new = flat(out)
    for place, message in enumerate(new):
        results = {m.get("tool_call_id"): m["content"] for m in new[place + 1 :][::-1]}
        for made in calls_of(message):
            multi = BY_NAME.get(made["function"]["name"])
            if multi is None:
                assert made == next(singles)
                continue
            listed = items_of(multi, made["function"]["arguments"])
            stood = list(islice(singles, len(listed)))
            assert 2 <= len(stood) <= most and multi in multis
            named = [(one["function"]["name"], one["function"]["arguments"]) for one in stood]
            assert made["function"]["arguments"] == render(multi.kind, named)
            tool = None if multi.is_mixed else multi.single
            parts = meaning.read([json.loads(one) for one in listed], TOOLBOX, tool)
            assert parts == [
                meaning.Meant(SINGLES[name], json.dumps(json.loads(text), separators=(",", ":")))
                for name, text in named
            ]
            assert made["id"] == stood[0]["id"]
            found = [written(results[made["id"]]).index(text_of(answers[o["id"]])) for o in stood]
            assert found == sorted(found)
    assert next(singles, None) is None


def written(content: Any) -> str:
    """Content as one text, images in it."""
    return content if isinstance(content, str) else json.dumps(content)


def text_of(answer: Message) -> str:
    """The text of a result."""
    content = answer["content"]
    return content if isinstance(content, str) else content[0]["text"]


@given(conversations(), _offers, _most)
def test_a_valid_conversation(segments: list[Segment], multis: list[MultiTool], most: int) -> None:
    """Each call is answered right after its message, each once; all texts and images stay."""
    out, _ = merge(segments, multis=multis, most=most)
    old, new = flat(segments), flat(out)
    for place, message in enumerate(new):
        wanted = [made["id"] for made in calls_of(message)]
        given: list[Any] = [m.get("tool_call_id") for m in new[place + 1 : place + 1 + len(wanted)]]
        assert sorted(given) == sorted(wanted)
        if any(made["function"]["name"] in BY_NAME for made in calls_of(message)):
            assert given == wanted
    assert sum(map(len, map(calls_of, new))) == sum(m["role"] == "tool" for m in new)
    assert says(new) == says(old)
    assert json.dumps(new).count("base64") == json.dumps(old).count("base64")


def says(messages: list[Message]) -> str:
    """What people and the model say, without blanks."""
    contents = [m["content"] for m in messages if m["role"] != "tool"]
    texts = [[p["text"] for p in c] if isinstance(c, list) else [c or ""] for c in contents]
    return "".join("".join(text).replace("\n", "") for text in texts)


@given(conversations(), _offers, _most)
def test_what_is_not_in_a_run_is_the_same_object(
    segments: list[Segment], multis: list[MultiTool], most: int
) -> None:
    """Only segments that hold a new multi-call are new; what stays is not copied."""
    kept = set(map(id, segments))
    out, _ = merge(segments, multis=multis, most=most)
    new = [segment for segment in out if id(segment) not in kept]
    assert all(
        any(made["function"]["name"] in BY_NAME for made in calls_of(flat([segment])[0]))
        for segment in new
    )
    assert sum(segment.taken for segment in out) == sum(segment.taken for segment in segments)


def test_a_run_becomes_one_call() -> None:
    """Turns in a row become one multi-call with the id of the first, and one result."""
    spaced = "read_file", '{ "path" : "beta.py" }'
    messages = [*turn(1, read("alpha.py"), said="First."), *turn(2, spaced, said="Then.")]
    out, still_open = merge(plain([USER, *messages, USER]))
    assert still_open == 0 and [segment.taken for segment in out] == [1, 4, 1]
    files = '{"files":[{"path": "alpha.py"},{ "path" : "beta.py" }]}'
    content = "[1/2] read_file alpha.py\n<1-0>\n[2/2] read_file beta.py\n<2-0>"
    assert flat([out[1]]) == [
        {
            "role": "assistant",
            "content": "First.\n\nThen.",
            "tool_calls": [call("c1-0", "multi_read", files)],
        },
        {"role": "tool", "tool_call_id": "c1-0", "content": content},
    ]


def test_the_end_is_open() -> None:
    """A run at the end stays as it is; the next message that is no part of it finishes it."""
    segments = plain([USER, *turn(1, read("alpha.py")), *turn(2, read("beta.py"))])
    assert merge(segments) == (segments, 4)
    assert merge(segments[:-1]) == (segments[:-1], 3)
    said: Message = {"role": "assistant", "content": "Done."}
    out, still_open = merge([*segments, *plain([said])])
    assert (len(out), still_open) == (3, 0)
    out, still_open = merge([*segments, *plain(turn(3, LS))])
    assert (len(out), still_open) == (4, 2)


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        ([[read("alpha.py")], [edit("beta.py")]], ["batch:2"]),
        ([[GREPS], [GREPS]], ["batch:2"]),
        ([[edit("alpha.py")], [edit("alpha.py")], [read("alpha.py")]], ["batch:3"]),
        ([[read("alpha.py"), read("unheard.py")]], ["multi_read:2"]),
        ([[LS, LS]], ["multi_bash:2"]),
        ([[LS], [LS]], ["bash", "bash"]),
        ([[LS, read("alpha.py")], [read("beta.py")]], ["batch:2", "read_file"]),
        ([[read("alpha.py")], [LS], [read("beta.py")]], ["read_file", "bash", "read_file"]),
        ([[read("alpha.py")], [read("unheard.py")]], ["read_file", "read_file"]),
        (
            [[read("alpha.py")], [read("unheard.py")], [read("a/unheard.py")]],
            ["read_file", "multi_read:2"],
        ),
        ([[read("unheard.py")], [edit("beta.py")], [read("./unheard.py/")]], ["batch:3"]),
        ([[read("alpha.py")], [read("unheard.py/.")]], ["read_file", "read_file"]),
        ([[read("unheard.py")], [read("a\\unheard.py")]], ["multi_read:2"]),
        ([[GREPS], [("draw", {"scene": "new"})]], ["grep", "draw"]),
        ([[GREPS], [("draw", {"scene": "alpha.py", "folder": "new"})]], ["grep", "draw"]),
        ([[GREPS], [("draw", {"scene": "alpha.py", "folder": "."})]], ["batch:2"]),
        ([[read("alpha.py")], [edit("alpha.py")]], ["read_file", "edit_file"]),
        ([[GREPS], [edit("alpha.py")], [edit("beta.py")]], ["grep", "multi_edit:2"]),
        ([[GREPS], [("grep", {"pattern": "x", "path": "src/lib"})]], ["grep", "grep"]),
        ([[read("alpha.py"), read("nosuch/tool")], [("other", {})]], ["multi_read:2", "other"]),
        ([[("multi_read", {"files": [1]})], [read("alpha.py")]], ["multi_read:1", "read_file"]),
        ([[("read_file", {})], [read("alpha.py")]], ["read_file", "read_file"]),
    ],
)
def test_what_belongs_to_a_run(turns: list[list[tuple[str, Any]]], expected: list[str]) -> None:
    """Only what could have been one batch from its start is one."""
    assert shape(*(turn(number, *made) for number, made in enumerate(turns))) == expected


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        (
            [[read("alpha.py")], [read("beta.py")], [GREPS], [edit("beta.py")], [edit("beta.py")]],
            ["multi_read:2", "grep", "multi_edit:2"],
        ),
        ([[read("alpha.py"), read("beta.py"), GREPS]], ["multi_read:2 grep"]),
        ([[read("alpha.py"), GREPS, read("beta.py")]], ["read_file grep read_file"]),
        ([[GREPS], [GREPS]], ["grep", "grep"]),
    ],
)
def test_without_a_mixed_tool(turns: list[list[tuple[str, Any]]], expected: list[str]) -> None:
    """Neighbouring calls of one tool become its multi-call, the others stay."""
    made = (turn(number, *calls) for number, calls in enumerate(turns))
    assert shape(*made, multis=OWN) == expected


def test_the_cap() -> None:
    """No multi-call has more items than it may; a turn stays together, a rest of one is single."""
    five = [read("alpha.py")] * 5
    assert shape(turn(1, *five), most=2) == ["multi_read:2 multi_read:2 read_file"]
    assert shape(*(turn(n, read("alpha.py")) for n in range(5)), most=2) == [
        *("multi_read:2", "multi_read:2", "read_file")
    ]
    assert shape(turn(1, *five[:2]), turn(2, *five[:2]), most=3) == ["multi_read:2"] * 2


def test_a_failed_call_ends_the_run() -> None:
    """A call that failed stays single, and nothing is merged across it."""
    failed = turn(2, read("alpha.py"), results=["Error: no such file"])
    reads = [turn(number, read("alpha.py")) for number in (0, 1, 3, 4)]
    assert shape(*reads[:2], failed, *reads[2:]) == ["multi_read:2", "read_file", "multi_read:2"]


def test_a_path_that_the_model_named() -> None:
    """The text of the run's first message counts as known before, that of a later one not."""
    first = turn(1, read("alpha.py"), said="Now unheard.py.")
    second = turn(2, read("src/unheard.py"), said="And new.py.")
    assert shape(first, second) == ["multi_read:2"]
    assert shape(second, turn(3, read("new.py"))) == ["multi_read:2"]
    assert shape(first, second, turn(3, read("new.py"))) == ["multi_read:2", "read_file"]


def test_a_path_in_what_was_settled() -> None:
    """Paths that stand in messages before count, in arguments and in parts, too."""
    run = plain([*turn(1, read("alpha.py")), *turn(2, read("src/new.py")), USER])
    ls = turn(0, ("bash", {"command": "cat new.py"}))
    for before in (ls, [{"role": "user", "content": [part("see new.py")]}]):
        assert len(merge(run, before)[0]) == 2
    assert len(merge(run, [USER])[0]) == 5


def test_turns_without_text() -> None:
    """Where the model said nothing, the merged message has no content."""
    first, second = turn(1, read("alpha.py"), said=""), turn(2, read("beta.py"), said=[])
    assert flat([merge(plain([USER, *first, *second, USER]))[0][1]])[0]["content"] is None


def test_images_and_parts_survive() -> None:
    """Images stay parts, in their order; texts between them are one."""
    first = turn(1, read("alpha.py"), said=[part("Look.")], results=[[part("a"), IMAGE]])
    second = turn(2, read("beta.py"), said="And here.")
    message, result = flat([merge(plain([USER, *first, *second, USER]))[0][1]])
    assert message["content"] == [part("Look."), part("And here.")]
    assert result["content"] == [
        part("[1/2] read_file alpha.py\na"),
        IMAGE,
        part("[2/2] read_file beta.py\n<2-0>"),
    ]


EMPTY: Message = {"refusal": None, "annotations": [], "function_call": None, "audio": None}


def test_empty_fields_are_nothing() -> None:
    """Fields that SDKs add without a value keep nothing from being merged."""
    first, second = turn(1, read("alpha.py")), turn(2, read("beta.py"))
    first[0] |= EMPTY
    second[0] |= EMPTY
    second[0]["tool_calls"][0] |= {"index": 0, "provider_specific_fields": None}
    second[1]["name"] = "read_file"
    assert shape(first, second) == ["multi_read:2"]


ODD: list[tuple[tuple[Any, ...], Any]] = [
    ((0, "role"), "user"),
    ((0, "reasoning"), "hm"),
    ((0, "thinking_blocks"), [{"type": "thinking"}]),
    ((0, "content"), {"text": "?"}),
    ((0, "content"), [{"type": "thinking", "thinking": "hm", "signature": "s"}]),
    ((0, "content"), [{"type": "text", "text": "a", "signature": "s"}]),
    ((0, "content"), ["a"]),
    ((0, "tool_calls"), {}),
    ((0, "tool_calls", 1), None),
    ((0, "tool_calls", 1, "id"), None),
    ((0, "tool_calls", 1, "id"), ["c"]),
    ((0, "tool_calls", 1, "id"), "c1-0"),
    ((0, "tool_calls", 1, "type"), "custom"),
    ((0, "tool_calls", 1, "extra_content"), {"thought_signature": "s"}),
    ((0, "tool_calls", 1, "function"), None),
    ((0, "tool_calls", 1, "function", "name"), ["read_file"]),
    ((0, "tool_calls", 1, "function", "parsed"), {"path": "a"}),
    ((0, "tool_calls", 1, "function", "arguments"), {"path": "a"}),
    ((0, "tool_calls", 1, "function", "arguments"), '{"path": "a'),
    ((0, "tool_calls", 1, "function", "arguments"), '["path"]'),
    ((0, "tool_calls", 1, "function", "arguments"), '{"path": NaN}'),
    ((0, "tool_calls", 1, "function", "arguments"), "\ud800"),
    ((1, "role"), "function"),
    ((1, "tool_call_id"), "other"),
    ((1, "tool_call_id"), "c1-1"),
    ((1, "tool_call_id"), ["c1-0"]),
    ((1, "content"), 5),
    ((1, "content"), [None]),
    ((1, "content"), [{"type": None}]),
    ((1, "is_error"), True),
]


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize(("place", "value"), ODD)
def test_odd_shapes_stay_as_they_are(place: tuple[Any, ...], value: Any, *, together: bool) -> None:
    """What is not understood is not merged, nor anything across it."""
    messages: Any = turn(1, read("alpha.py"), read("beta.py"))
    target = messages
    for step in place[:-1]:
        target = target[step]
    target[place[-1]] = value
    odd = [Segment(3, entries(messages))] if together else plain(messages)
    before, after = plain(turn(0, read("alpha.py"))), plain(turn(2, read("alpha.py")))
    segments = [*before, *odd, *after, *plain([USER])]
    out, still_open = merge(segments)
    assert still_open == 0 and len(out) == len(segments)
    assert all(new is old for new, old in zip(out, segments, strict=True))


_keys = st.sampled_from(
    ["role", "content", "tool_calls", "tool_call_id", "id", "function", "name", "arguments", "x"]
)
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["assistant", "tool", "c", "{}"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_keys, inner, max_size=4),
    max_leaves=8,
)
_odd = st.builds(
    Segment,
    st.integers(0, 3),
    st.lists(st.dictionaries(_keys, _values, max_size=5), max_size=3).map(entries),
)


@given(st.lists(_odd, max_size=5), st.lists(st.dictionaries(_keys, _values), max_size=2))
def test_odd_shapes_never_crash(segments: list[Segment], before: list[Message]) -> None:
    """Whatever a body holds, it is passed on, and the runs around it are merged."""
    run = plain([USER, *turn(1, read("alpha.py")), *turn(2, read("beta.py")), USER])
    out, still_open = merge([*run, *segments, *run], before)
    assert still_open == 0
    assert [segment.taken for segment in (*out[:3], *out[-3:])] == [1, 4, 1] * 2
    assert all(new is old for new, old in zip(out[3:-3], segments, strict=True))


def test_missing_and_repeated_results() -> None:
    """A turn whose calls do not have exactly one result each is left alone."""
    first, second = turn(1, read("alpha.py")), turn(2, read("beta.py"), read("beta.py"))
    assert shape(first, second[:2]) == ["read_file", "read_file read_file"]
    assert shape(first, [*second, second[1]]) == ["read_file", "read_file read_file"]
    assert shape(first, [second[0], *second[:0:-1]]) == ["multi_read:3"]


def test_ids_that_repeat() -> None:
    """A provider that counts its ids from the start in each turn is merged like any other."""
    twice = [*turn(1, read("alpha.py")), *turn(1, read("beta.py"), results=["second"])]
    [_, run, _] = merge(plain([USER, *twice, USER]))[0]
    assert run.entries[1].text.endswith("beta.py\nsecond")


def test_without_multi_tools() -> None:
    """Where nothing is offered, nothing is merged."""
    assert shape(turn(1, read("alpha.py"), read("beta.py")), multis=[]) == ["read_file read_file"]
