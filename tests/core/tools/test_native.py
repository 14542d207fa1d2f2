"""Parallel single calls become calls of the agent's own multi-tools, where it has any."""

import json
from collections.abc import Iterable, Sequence
from itertools import pairwise
from operator import is_
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwrap.core.exchange_metrics import ExchangeMetrics
from batchwrap.core.formats.chat.calls import read_fragment, write_fragment
from batchwrap.core.moves.gather import Gatherer
from batchwrap.core.tools.find import find
from batchwrap.core.tools.native import Native, natives
from batchwrap.options import Batching, Tool
from tests.core.harness import call, chunk, gather, specs
from tests.strategies import EDIT_FILE, GREP, READ_FILE, WRITE_FILE, cuts, texts

DIALECTS = json.loads((Path(__file__).parents[1] / "dialects.json").read_text())
STRING: dict[str, Any] = {"type": "string"}
NUMBER: dict[str, Any] = {"type": "integer"}
PATHS: dict[str, Any] = {"type": "array", "items": STRING}


def tool(name: str, properties: dict[str, Any], *required: str, **more: Any) -> dict[str, Any]:
    """A function tool; all parameters are required unless some are named."""
    parameters = {
        "type": "object",
        "properties": properties,
        "required": list(required or properties),
        **more,
    }
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


def listing(properties: dict[str, Any], *required: str, **more: Any) -> dict[str, Any]:
    """The schema of a list of objects."""
    items = {"type": "object", "properties": properties, "required": list(required)}
    return {"type": "array", "items": items, **more}


def pairs(*tools: dict[str, Any], **options: Any) -> dict[str, str]:
    """Names of the single tools and of the native multi-tools found for them."""
    batching = Batching(**options)
    singles = {single.name: single for single in find(specs(*tools), batching)}
    found = natives(specs(*tools), singles, batching)
    assert all(native.single is singles[name] for name, native in found.items())
    return {name: native.name for name, native in found.items()}


READ_MANY = tool("read_many_files", {"paths": PATHS})
EDITS = {"path": STRING, "old_string": STRING, "new_string": STRING}
EDIT_MANY = tool("edit_files", {"edits": listing(EDITS, *EDITS)})
RANGES = {"path": STRING, "offset": {"anyOf": [NUMBER, {"type": "null"}]}}
READ_RANGES = tool("read_files", {"files": listing(RANGES, "path")})


def test_the_tools_of_real_agents() -> None:
    """Of real agents' tools, exactly the pairs that surely do the same are found."""
    agents: dict[str, list[Any]] = {}
    for entry in DIALECTS:
        agents.setdefault(entry["agent"], []).append({"type": "function", "function": entry})
    found = [(agent, *pair) for agent, tools in agents.items() for pair in pairs(*tools).items()]
    assert found == [
        ("MCP filesystem server", "read_text_file", "read_multiple_files"),
        ("MCP filesystem server", "read_file", "read_multiple_files"),
    ]


FILE = {"File": {"type": "object", "properties": RANGES, "required": ["path"]}}


def referring(reference: Any, definitions: Any = FILE) -> dict[str, Any]:
    """A tool whose items are defined elsewhere."""
    files = {"type": "array", "items": {"$ref": reference}}
    return tool("read_files", {"files": files}, **{"$defs": definitions})


@pytest.mark.parametrize(
    ("single", "native"),
    [
        (READ_FILE, READ_MANY),
        (READ_FILE, READ_RANGES),
        (READ_FILE, referring("#/$defs/File")),
        (READ_FILE, tool("read_files", {"paths": PATHS, "encoding": STRING}, "paths")),
        (READ_FILE, tool("read_files", {"paths": PATHS, "encoding": 5}, "paths")),
        (READ_FILE, tool("bulk_read", {"file_paths": PATHS})),
        (tool("readFile", {"filePath": STRING}), tool("readManyFiles", {"filePaths": PATHS})),
        (tool("Read", {"file_path": STRING}), tool("MultiRead", {"files": PATHS})),
        (EDIT_FILE, EDIT_MANY),
        (
            WRITE_FILE,
            tool("write_files", {"files": listing({"path": STRING, "content": STRING}, "path")}),
        ),
    ],
)
def test_pairs(single: Any, native: Any) -> None:
    """Any spelling of one verb for one and for several, lists of paths or of objects."""
    made = pairs(native, single, GREP)
    assert made == {single["function"]["name"]: native["function"]["name"]}


def described(made: dict[str, Any], text: str) -> dict[str, Any]:
    """The tool with a description."""
    return {**made, "function": {**made["function"], "description": text}}


def listed(**schema: Any) -> dict[str, Any]:
    """A tool that reads the files of a list with this schema."""
    return tool("read_files", {"paths": {**PATHS, **schema}})


@pytest.mark.parametrize(
    "made",
    [
        tool("read_file_list", {"paths": PATHS}),
        tool("read", {"paths": PATHS}),
        tool("view_files", {"paths": PATHS}),
        tool("other__read_files", {"paths": PATHS}),
        tool("files", {"paths": PATHS}),
        tool("read_files", {"patterns": PATHS}),
        tool("read_files", {"include": PATHS}),
        tool("read_files", {"path": PATHS}),
        tool("read_files", {"paths": PATHS, "reason": STRING}),
        tool("read_files", {"paths": PATHS, "exclude": PATHS}, "paths"),
        tool("read_files", {"paths": PATHS, "exclude": {"anyOf": [PATHS]}}, "paths"),
        tool("read_files", {"paths": PATHS, "path": STRING}, "paths"),
        tool("read_files", {"paths": PATHS, "mode": STRING}, "paths"),
        tool("read_files", {"paths": PATHS}, "other"),
        tool("read_files", {"paths": STRING}),
        tool("read_files", {"paths": {"anyOf": [PATHS, STRING]}}),
        listed(type=["array", "string"]),
        listed(items={"type": ["string", "object"]}),
        listed(items={"type": "string", "enum": ["a.py"]}),
        listed(items=None),
        listed(maxItems=1),
        listed(maxItems="8"),
        listed(minItems=3),
        listed(description="Paths or glob patterns."),
        described(READ_MANY, "Reads all files that match the globs."),
        tool("read_files", {"files": listing({})}),
        tool("read_files", {"files": listing({"file": STRING}, "file")}),
        tool("read_files", {"files": listing({**RANGES, "why": STRING}, "path", "why")}),
        tool("read_files", {"files": listing({"path": PATHS}, "path")}),
        referring("#/$defs/None"),
        referring("other.json#/File"),
        referring(5),
        referring("#/$defs/File", 5),
        {"type": "function", "function": {"name": "read_files"}},
        {"type": "function", "function": {"name": "read_files", "parameters": {"properties": 5}}},
    ],
)
def test_tools_that_are_no_natives(made: Any) -> None:
    """Another verb or server, patterns, more parameters, lists for one file, odd schemas."""
    assert pairs(READ_FILE, made) == {}


def test_edits_of_one_file_are_no_native() -> None:
    """A list of hunks, whose file is named beside it, takes one call, not several."""
    hunks = {"old_string": STRING, "new_string": STRING}
    assert pairs(EDIT_FILE, tool("multi_edit", {"path": STRING, "edits": listing(hunks)})) == {}
    assert pairs(EDIT_FILE, tool("multi_edit", {"edits": listing(hunks)})) == {}


def test_nested_arguments_must_be_the_same() -> None:
    """A list within an item stands for the single call's list only if they are the same."""
    hunks = listing({"old_text": STRING, "new_text": STRING})
    single = tool("edit_file", {"path": STRING, "edits": hunks})
    for theirs, found in ((hunks, {"edit_file": "edit_files"}), (listing({"text": STRING}), {})):
        files = listing({"path": STRING, "edits": theirs}, "path", "edits")
        assert pairs(single, tool("edit_files", {"files": files})) == found


def test_a_name_that_occurs_twice_is_left_alone() -> None:
    """Nobody could tell which of two tools a call would reach."""
    assert pairs(READ_FILE, READ_MANY, READ_MANY) == {}


def test_of_several_natives_the_first_counts() -> None:
    """The order of the request decides, so the choice never changes within a conversation."""
    assert pairs(READ_FILE, READ_RANGES, READ_MANY) == {"read_file": "read_files"}
    assert pairs(READ_FILE, READ_MANY, READ_RANGES) == {"read_file": "read_many_files"}


def test_the_user_decides() -> None:
    """Tools that are excluded or declared are no natives; declared single tools can have one."""
    both = {"read_file": "read_many_files", "edit_file": "edit_files"}
    tools = READ_FILE, READ_MANY, EDIT_FILE, EDIT_MANY
    assert pairs(*tools) == both
    assert pairs(*tools, exclude=["read_many_files", "edit_file"]) == {}
    assert pairs(*tools, tools={"read_many_files": "read_only"}) == {"edit_file": "edit_files"}
    assert pairs(*tools, approvals=True) == {"read_file": "read_many_files"}
    prefixed = [
        {**made, "function": {**made["function"], "name": f"mcp__fs__{made['function']['name']}"}}
        for made in (READ_FILE, READ_MANY)
    ]
    declared = {"mcp__fs__read_file": Tool("read")}
    assert pairs(*prefixed, tools=declared) == {"mcp__fs__read_file": "mcp__fs__read_many_files"}
    assert (
        pairs(
            tool("file", {"path": STRING}), tool("batch", {"paths": PATHS}), tools={"file": "read"}
        )
        == {}
    )


@pytest.mark.parametrize(
    ("single", "path"),
    [
        (READ_FILE, "id"),
        (tool("read_file", {"id": STRING}), "id"),
        (tool("read_file", {"path": STRING, "startLine": NUMBER}), "path"),
    ],
)
def test_single_tools_that_need_more_than_a_path(single: Any, path: str) -> None:
    """A list of paths stands for calls that name a path and need nothing else."""
    assert pairs(single, READ_MANY, READ_RANGES, tools={"read_file": Tool("read", path)}) == {}


def found_in(*tools: dict[str, Any], **options: Any) -> dict[str, Native]:
    """The natives in these tools."""
    batching = Batching(**options)
    singles = {single.name: single for single in find(specs(*tools), batching)}
    return natives(specs(*tools), singles, batching)


NATIVES = found_in(READ_FILE, READ_MANY, EDIT_FILE, EDIT_MANY)


@pytest.mark.parametrize(
    ("native", "arguments", "item"),
    [
        (READ_MANY, '{"path": "a"}', '"a"'),
        (READ_MANY, '{"path": "\\u00e4"}', '"ä"'),
        (READ_MANY, '{"path": "a", "offset": 1}', None),
        (READ_MANY, '{"path": "a", "offset": null}', None),
        (READ_MANY, '{"path": ""}', None),
        (READ_MANY, '{"path": 5}', None),
        (READ_MANY, '{"path": "\\ud800"}', None),
        (READ_MANY, "{}", None),
        (READ_MANY, '"a"', None),
        (READ_MANY, '{"path": "a"', None),
        (READ_MANY, "", None),
        (READ_RANGES, ' {"path": "a",\n"offset": 1} ', '{"path": "a",\n"offset": 1}'),
        (READ_RANGES, '{"path": "a", "offset": null}', '{"path": "a", "offset": null}'),
        (READ_RANGES, '{"path": "a", "offset": "1"}', None),
        (READ_RANGES, '{"path": "a", "offset": true}', None),
        (READ_RANGES, '{"path": "a", "limit": 1}', None),
        (READ_RANGES, '{"offset": 1}', None),
        (EDIT_MANY, '{"path": "a", "old_string": "b"}', None),
    ],
)
def test_items(native: Any, arguments: str, item: str | None) -> None:
    """A path is written anew, an object keeps its bytes; what does not fit is no item."""
    [found] = found_in(READ_FILE, EDIT_FILE, native).values()
    assert found.item(arguments) == item


def test_a_list_of_fixed_values_takes_only_these() -> None:
    """An argument must be one of the values that the item's schema lists."""
    mode = {"type": "string", "enum": ["text", "hex"]}
    single = tool("read_file", {"path": STRING, "as": STRING}, "path")
    items = listing({"path": STRING, "as": mode}, "path")
    native = found_in(single, tool("read_files", {"files": items}))["read_file"]
    assert native.item('{"path": "a", "as": "hex"}') is not None
    assert native.item('{"path": "a", "as": "b64"}') is None


# Calls of all kinds: such as fit, with arguments too many, broken, of tools without a native.
_paths = st.sampled_from(["a.py", "./a.py", "src/a.py", "b.py", "c/d.py", "ä.py"])
_arguments = st.one_of(
    st.builds(lambda path: ("read_file", {"path": path}), _paths),
    st.builds(lambda path: ("read_file", {"path": path, "offset": 3}), _paths),
    st.builds(
        lambda path, old: ("edit_file", {"path": path, "old_string": old, "new_string": ""}),
        _paths,
        texts,
    ),
    st.builds(lambda path: ("grep", {"pattern": path}), _paths),
    st.builds(lambda name, text: (name, text), st.sampled_from(["read_file", "edit_file"]), texts),
)


@st.composite
def messages(draw: st.DrawFn) -> list[dict[str, Any]]:
    """The calls of a message, each with an id of its own."""
    made = draw(st.lists(_arguments, max_size=7))
    extra = {"extra_content": {"signature": "s"}}
    return [
        {**call(f"c{place}", name, arguments), **(extra if draw(st.integers(0, 9)) == 9 else {})}
        for place, (name, arguments) in enumerate(made)
    ]


@st.composite
def streams(draw: st.DrawFn, calls: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The calls cut into fragments, which come mixed; calls begin in their order."""
    waiting = []
    for index, made in enumerate(calls):
        head = {**made, "index": index, "function": {**made["function"], "arguments": ""}}
        pieces = draw(cuts(made["function"]["arguments"], most=3))
        rest = [{"index": index, "function": {"arguments": piece}} for piece in pieces]
        waiting.append([head, *rest])
    out: list[dict[str, Any]] = []
    while any(waiting):
        begun = {piece["index"] for piece in out}
        may_come = [i for i, left in enumerate(waiting) if left and (not i or i - 1 in begun)]
        out.append(waiting[draw(st.sampled_from(may_come))].pop(0))
    return out


def plain(calls: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The calls as a stream of one fragment each."""
    return [{**made, "index": index} for index, made in enumerate(calls)]


class RawGatherer:
    """A gatherer for fragments in the form of the API."""

    def __init__(self, found: dict[str, Native], metrics: ExchangeMetrics) -> None:
        self._gatherer = Gatherer(found, metrics)

    def fragment(self, delta: dict[str, Any]) -> list[Any]:
        """What goes out for a fragment."""
        return [write_fragment(one) for one in self._gatherer.fragment(read_fragment(delta))]

    def finish(self) -> list[Any]:
        """What was held."""
        return [write_fragment(one) for one in self._gatherer.finish()]

    def release(self) -> list[Any]:
        """What was held, as it came."""
        return [write_fragment(one) for one in self._gatherer.release(for_good=True)]


def run(fragments: Iterable[dict[str, Any]], gatherer: RawGatherer | None = None) -> list[Any]:
    """What comes out for the fragments of a whole message."""
    gatherer = gatherer or RawGatherer(NATIVES, ExchangeMetrics())
    return [out for delta in fragments for out in gatherer.fragment(delta)] + gatherer.finish()


def unchanged(out: Sequence[Any], fragments: Sequence[Any]) -> bool:
    """Whether these are the same objects."""
    return len(out) == len(fragments) and all(map(is_, out, fragments))


def read(fragments: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The calls that a careful client puts together."""
    made: list[dict[str, Any]] = gather([chunk({"tool_calls": [f]}) for f in fragments])[
        "tool_calls"
    ]
    return made


def meant(calls: Iterable[dict[str, Any]]) -> list[tuple[str, Any]]:
    """(tool, arguments) of the single calls that the calls stand for; broken ones as text."""
    singles: list[tuple[str, Any]] = []
    for made in calls:
        name, text = made["function"]["name"], made["function"]["arguments"]
        if name == "read_many_files":
            singles += [("read_file", {"path": path}) for path in json.loads(text)["paths"]]
        elif name == "edit_files":
            singles += [("edit_file", edit) for edit in json.loads(text)["edits"]]
        else:
            singles.append((name, parsed(text)))
    return singles


def parsed(text: str) -> Any:
    """The value of JSON, or the text if it is none."""
    try:
        return json.loads(text)
    except ValueError:
        return text


@given(messages(), st.data())
def test_nothing_is_lost_or_reordered(calls: list[dict[str, Any]], data: st.DataObject) -> None:
    """However a message is cut, its calls mean the same in the same order, under its ids."""
    fragments = data.draw(streams(calls))
    out = run(fragments)
    assert {delta["index"] for delta in out} == set(range(len(read(out))))
    assert meant(read(out)) == meant(calls)
    assert read(out) == read(run(plain(calls)))
    own = {made["id"]: made for made in read(plain(calls))}
    for made in read(out):
        if made["function"]["name"] in ("read_many_files", "edit_files"):
            assert len(meant([made])) >= 2
            assert meant([made])[0] == meant([own[made["id"]]])[0]
        else:
            assert made == own[made["id"]]


@given(messages())
def test_what_can_be_merged_is_merged(calls: list[dict[str, Any]]) -> None:
    """No two neighbouring calls are left that could be one; and no wrong ones are merged."""
    out = run(plain(calls))
    for one, other in pairwise(out):
        assert not could_merge(one, other)
    for made in out:
        singles = meant([made])
        if made["function"]["name"] == "edit_files":
            touched = [edit["path"].rpartition("/")[2] for _, edit in singles]
            assert len(touched) == len(set(touched))
        if made["function"]["name"] == "read_many_files":
            assert len(singles) == len({arguments["path"] for _, arguments in singles})


def could_merge(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two single reads of different files, with nothing odd about them, are left."""
    return (
        all(
            made["function"]["name"] == "read_file"
            and "extra_content" not in made
            and isinstance(parsed(made["function"]["arguments"]), dict)
            and parsed(made["function"]["arguments"]).keys() == {"path"}
            for made in (one, other)
        )
        and one["function"]["arguments"] != other["function"]["arguments"]
    )


@given(messages(), st.data())
def test_released_calls_are_as_they_came(calls: list[dict[str, Any]], data: st.DataObject) -> None:
    """Released at any place of a stream, the calls come out fragment by fragment, unchanged."""
    fragments = data.draw(streams(calls))
    place = data.draw(st.integers(0, len(fragments)))
    gatherer = RawGatherer(NATIVES, ExchangeMetrics())
    before = [out for delta in fragments[:place] for out in gatherer.fragment(delta)]
    out = [*before, *gatherer.release(), *run(fragments[place:], gatherer)]
    assert sorted(map(id, out)) == sorted(map(id, fragments))
    assert read(out) == read(fragments)


A, B, C = (call(name, "read_file", {"path": f"{name}.py"}) for name in "abc")
SEARCH, EDIT = call("s", "grep", {"pattern": "x"}), call("e", "edit_file", "{}")


def names(out: Iterable[dict[str, Any]]) -> list[str]:
    """The names that the calls call."""
    return [made["function"]["name"] for made in out]


def test_reads_become_one_call() -> None:
    """The merged call has the id of the first; the calls after it move up."""
    metrics = ExchangeMetrics()
    out = run(plain([A, B, SEARCH]), RawGatherer(NATIVES, metrics))
    merged = call("a", "read_many_files", '{"paths":["a.py","b.py"]}')
    assert out == [{**merged, "index": 0}, {**SEARCH, "index": 1}]
    assert metrics.counts == {"coalesced": 2}
    [event] = metrics.events
    assert (event.name, event.data) == ("coalesced", {"tool": "read_many_files", "calls": 2})


def test_objects_keep_their_bytes() -> None:
    """Items that are objects are the arguments of the single calls to the byte."""
    listed = [call(str(i), "read_file", f'{{"path" : "a",\n"offset": {i}}}') for i in (1, 2)]
    [made] = run(plain(listed), RawGatherer(found_in(READ_FILE, READ_RANGES), ExchangeMetrics()))
    one, other = (made["function"]["arguments"] for made in listed)
    assert made["function"] == {"name": "read_files", "arguments": f'{{"files":[{one},{other}]}}'}


def test_only_neighbours_are_merged() -> None:
    """A call of another tool in between ends a run, so no order changes."""
    assert names(run(plain([A, SEARCH, B]))) == ["read_file", "grep", "read_file"]
    twice = names(run(plain([A, B, SEARCH, B, C])))
    assert twice == ["read_many_files", "grep", "read_many_files"]


def test_the_same_again_is_kept_apart() -> None:
    """An agent may take an item that stands twice for one: then a result would be missing."""
    again = {**A, "id": "z"}
    assert names(run(plain([A, again]))) == ["read_file", "read_file"]
    out = run(plain([A, B, again, C]))
    assert [json.loads(made["function"]["arguments"])["paths"] for made in out] == [
        ["a.py", "b.py"],
        ["a.py", "c.py"],
    ]


def test_a_list_has_an_end() -> None:
    """A native call has at most as many items as its schema allows, and as a batch of ours."""
    calls = [call(str(n), "read_file", {"path": f"{n}.py"}) for n in range(5)]
    for found in (
        found_in(READ_FILE, listed(maxItems=2)),
        found_in(READ_FILE, READ_MANY, max_items=2),
    ):
        out = run(plain(calls), RawGatherer(found, ExchangeMetrics()))
        assert [len(made["function"]["arguments"].split(",")) for made in out] == [2, 2, 1]
        assert [made["index"] for made in out] == [0, 1, 2]


def test_only_calls_that_may_merge_wait() -> None:
    """Calls before the first such call pass at once, also the rest of them; others wait."""
    gatherer = RawGatherer(NATIVES, ExchangeMetrics())
    first, held, after = plain([SEARCH, A, EDIT])
    late = {"index": 0, "function": {"arguments": ""}}
    out = [gatherer.fragment(delta) for delta in (first, held, after, late)]
    assert out == [[first], [], [], [late]]
    assert unchanged(gatherer.finish(), [held, after])
    assert gatherer.finish() == []


def test_a_call_that_waited_comes_in_one_piece() -> None:
    """Clients exist that read only one fragment of a call in each chunk."""
    parts = [{"index": 0, "function": {"arguments": piece}} for piece in ('{"path":', '"a"}')]
    head = {**call("a", "read_file", ""), "index": 0}
    assert run([head, *parts]) == [{**call("a", "read_file", '{"path":"a"}'), "index": 0}]


def test_after_the_end() -> None:
    """What a provider sends too late is renumbered; a rest of a merged call is dropped."""
    gatherer = RawGatherer(NATIVES, ExchangeMetrics())
    run(plain([A, B, SEARCH]), gatherer)
    assert gatherer.fragment({"index": 1, "function": {"arguments": ""}}) == []
    assert gatherer.fragment({"index": 2, "function": {"arguments": " "}})[0]["index"] == 1
    assert gatherer.fragment({**EDIT, "index": 3}) == []
    assert [made["index"] for made in gatherer.finish()] == [2]


@pytest.mark.parametrize(
    "changes",
    [
        {"id": None},
        {"id": ""},
        {"type": "custom"},
        {"extra_content": {"signature": "s"}},
        {"function": {**B["function"], "parsed": {}}},
        {"function": {**B["function"], "arguments": {"path": "b.py"}}},
        {"function": {**B["function"], "arguments": None}},
        {"function": {"name": "read_file"}},
    ],
)
def test_odd_calls_are_left_alone(changes: dict[str, Any]) -> None:
    """A call that is more or less than a name and arguments is not merged, but others are."""
    odd = {**B, **changes}
    fragments = plain([A, odd, A, C])
    out = run(fragments)
    assert names(out) == ["read_file", "read_file", "read_many_files"]
    assert out[0] is fragments[0]
    assert out[1] is fragments[1]


@pytest.mark.parametrize(
    "rest", [{"id": "other"}, {"function": {"name": "grep"}}, {"function": 5}, {"type": "custom"}]
)
def test_odd_fragments_are_left_alone(rest: dict[str, Any]) -> None:
    """A call whose fragments do not agree goes out in those fragments."""
    fragments = [*plain([A, B]), {"index": 1, "function": {"arguments": " "}, **rest}]
    assert unchanged(run(fragments), fragments)


def test_calls_without_a_name_are_left_alone() -> None:
    """A call of another form goes out as it came."""
    custom = {"id": "x", "type": "custom", "custom": {"name": "read_file", "input": "a"}}
    fragments = plain([A, custom, {**A, "id": "y", "function": {"arguments": "{}"}}])
    assert unchanged(run(fragments), fragments)


def test_empty_fields_are_not_odd() -> None:
    """Fields that some providers repeat, empty or null, do not stand in the way."""
    head = {**A, "index": 0, "extra_content": None, "type": None}
    rest = {"index": 0, "id": "", "type": "function", "function": {"name": "", "arguments": None}}
    assert names(run([head, rest, *plain([A, B])[1:]])) == ["read_many_files"]


@pytest.mark.parametrize("indexes", [(0, None), (None, None), (1, 0), (None, 1)])
def test_odd_indexes(indexes: tuple[int | None, int | None]) -> None:
    """Where indexes do not tell the calls apart, or not their order, all comes as it came."""
    fragments = [
        {**made, "index": index} if index is not None else made
        for made, index in zip((A, B), indexes, strict=True)
    ]
    assert unchanged(run(fragments), fragments)


def test_rests_without_an_index_wait_with_their_call() -> None:
    """A fragment without an index never overtakes one that is held."""
    first, rest = {**SEARCH}, {"function": {"arguments": " "}}
    fragments = [first, {**A, "index": 1}, rest]
    assert unchanged(run(fragments), fragments)


def test_without_natives_nothing_waits() -> None:
    """An agent without multi-tools of its own gets every fragment at once, as it is."""
    gatherer = RawGatherer({}, ExchangeMetrics())
    fragments = plain([A, B, EDIT])
    assert unchanged([out for delta in fragments for out in gatherer.fragment(delta)], fragments)
    assert gatherer.finish() == []
