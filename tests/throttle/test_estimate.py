"""Estimating prompts: offline, each text once, whatever an agent sends, close to the truth."""

import os
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchwrap.encodings import load
from batchwrap.throttle.estimate import Estimator, encoding_of
from tests.strategies import READ_FILE, texts
from tests.work import calls

_scalars: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),  # lone surrogates, too
    st.binary(max_size=5),
    st.builds(object),
)
anything = st.recursive(
    _scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3)
    ),
    max_leaves=8,
)


def odd(*known: str) -> st.SearchStrategy[dict[Any, Any]]:
    """Objects that have the fields that are looked at, with anything in them."""
    return st.dictionaries(st.sampled_from(known), anything, max_size=4)


_parts = st.builds(
    lambda kind, part: {**part, "type": kind},
    st.sampled_from(["text", "image_url", "input_audio", "file"]),
    odd("text", "image_url", "input_audio", "file"),
)
_calls = st.builds(lambda inner: {"function": inner}, odd("name", "arguments"))
_messages = st.builds(
    lambda message, content, calls: {**message, "content": content, "tool_calls": calls},
    odd("role", "name", "reasoning", "reasoning_content"),
    st.lists(_parts | anything, max_size=3) | anything,
    st.lists(_calls | anything, max_size=3) | anything,
)
_schemas = st.recursive(
    odd("type", "enum", "properties", "items", "$ref", "required", "description", "default"),
    lambda inner: st.fixed_dictionaries(
        {"type": st.sampled_from(["object", "array", ["object", "null"]])},
        optional={
            "properties": st.dictionaries(st.text(max_size=3), inner, max_size=3),
            "items": inner,
            "anyOf": st.lists(inner, max_size=2),
            "$defs": st.dictionaries(st.text(max_size=3), inner, max_size=2),
            "required": anything,
        },
    ),
    max_leaves=5,
)
_tools = st.builds(
    lambda function, schema: {"function": {**function, "parameters": schema}},
    odd("name", "description"),
    _schemas | anything,
)
bodies = st.fixed_dictionaries(
    {},
    optional={
        "model": st.sampled_from(["gpt-4o", "gpt-4", "qwen-3"]) | anything,
        "messages": st.lists(_messages | anything, max_size=4) | anything,
        "tools": st.lists(_tools | anything, max_size=3) | anything,
        "response_format": odd("type", "json_schema") | anything,
    },
)


def body(*contents: Any, **fields: Any) -> dict[str, Any]:
    """A request with one user message for each content."""
    messages = [{"role": "user", "content": content} for content in contents]
    return {"model": "gpt-oss-120b", "messages": messages, **fields}


def assistant(**fields: Any) -> dict[str, Any]:
    """A request that is one assistant message."""
    return {"messages": [{"role": "assistant", **fields}]}


@pytest.mark.parametrize(
    ("model", "encoding"),
    [
        ("gpt-4-turbo", "cl100k_base"),
        ("gpt-4", "cl100k_base"),
        ("ft:gpt-3.5-turbo:acme", "cl100k_base"),
        ("azure/gpt-35-turbo", "cl100k_base"),
        ("gpt-4o-mini", "o200k_base"),
        ("gpt-4.1", "o200k_base"),
        ("openai/gpt-oss-120b", "o200k_base"),
        ("qwen-3-coder-480b", "o200k_base"),
        (None, "o200k_base"),
    ],
)
def test_which_table(model: object, encoding: str) -> None:
    """OpenAI's older models have cl100k; everything else is counted with o200k."""
    assert encoding_of(model) == encoding


def test_the_table_can_be_chosen() -> None:
    """An encoding that the user names is taken for every model."""
    text = body("Größe 中文 über alles")
    chosen = {name: Estimator(name).raw(text) for name in ("cl100k_base", "o200k_base")}
    assert chosen["cl100k_base"] > chosen["o200k_base"] == Estimator().raw(text)


def test_the_tables_are_tiktokens() -> None:
    """The bundled tables give tokens that decode to the text."""
    for encoding in (load("o200k_base"), load("cl100k_base")):
        text = "def parse_money(text: str) -> Decimal:\n\treturn 12345  # Größe 中文"
        assert encoding.decode(encoding.encode_ordinary(text)) == text
    assert load("o200k_base").encode_ordinary("hello world") == [24912, 2375]
    assert load("cl100k_base").encode_ordinary("hello world") == [15339, 1917]


def test_counts_everything_that_is_sent() -> None:
    """Messages, names, calls, reasoning, pictures, sound, files, tools and schemas all count."""
    count = Estimator()
    plain = count(body("hello world"))
    assert plain == 2 + 4
    assert count(body([{"type": "text", "text": "hello world"}])) == plain
    assert count(body("hello world", tools=[READ_FILE])) > plain + 40
    answer = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
    assert count(body("hello world", response_format=answer)) > plain + 10
    for part, least in [
        ({"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}, 765),
        ({"type": "input_audio", "input_audio": {"data": "A" * 640_000, "format": "wav"}}, 100),
        ({"type": "input_audio", "input_audio": {"data": "A" * 640_000, "format": "mp3"}}, 300),
        ({"type": "file", "file": {"file_id": "file-1"}}, 1_000),
    ]:
        assert count(body([{"type": "text", "text": "hello world"}, part])) >= plain + least


def test_counts_calls_without_their_ids() -> None:
    """A call counts by its name and arguments, also where they came as an object."""
    count = Estimator()
    function = {"name": "read_file", "arguments": '{"path": "a.py"}'}
    known = count(assistant(tool_calls=[{"function": function}]))
    assert known > 4 + 8
    assert count(assistant(tool_calls=[{"id": "call_" + "x" * 99, "function": function}])) == known
    parsed = {"name": "read_file", "arguments": {"path": "a.py"}}
    assert count(assistant(tool_calls=[{"function": parsed}])) == known
    custom = {"name": "read_file", "input": '{"path": "a.py"}'}
    assert count(assistant(tool_calls=[{"type": "custom", "custom": custom}])) == known


def test_reasoning_counts_once() -> None:
    """Reasoning under both of its names is one reasoning."""
    count, thought = Estimator(), "so it goes " * 20
    once = count(assistant(reasoning=thought))
    assert once > count(assistant()) + 40
    assert count(assistant(reasoning=thought, reasoning_content=thought)) == once


@pytest.mark.parametrize(("model", "published"), [("gpt-4o", 101), ("gpt-4", 105)])
def test_published_figures(model: str, published: int) -> None:
    """What OpenAI's cookbook says its API counted, tools included, is met within 3 %."""
    # https://developers.openai.com/cookbook/examples/how_to_count_tokens_with_tiktoken
    unit = {
        "type": "string",
        "description": "The unit of temperature to return",
        "enum": ["celsius", "fahrenheit"],
    }
    place = {"type": "string", "description": "The city and state, e.g. San Francisco, CA"}
    function = {
        "name": "get_current_weather",
        "description": "Get the current weather in a given location",
        "parameters": {
            "type": "object",
            "properties": {"location": place, "unit": unit},
            "required": ["location"],
        },
    }
    asked = body(
        "You are a helpful assistant that can answer to questions about the weather.",
        "What's the weather like in San Francisco?",
        model=model,
        tools=[{"type": "function", "function": function}],
    )
    assert Estimator()(asked) == pytest.approx(published, rel=0.03)


def test_odd_messages_count_as_little_as_they_show() -> None:
    """A message that holds nothing readable counts as an empty one, no message as none."""
    odd: list[Any] = [None, "x", {}, {"content": 5}, {"content": [5, {"text": 5}]}]
    assert Estimator()({"messages": odd}) == 3 * 4


@given(bodies)
def test_no_body_makes_it_fail(body: dict[str, Any]) -> None:
    """Whatever an agent sends, the estimate is a number and not negative."""
    assert Estimator()(body) >= 0


def test_nested_without_end() -> None:
    """Tools nested deeper than JSON can be, or in themselves, do not make it fail."""
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"type": "object", "properties": {"x": deep}}
    ring: dict[str, Any] = {"type": "array"}
    ring["items"] = ring
    for model in ("gpt-4o", "qwen"):
        for schema in (deep, ring):
            tools = [{"function": {"name": "f", "parameters": schema}}]
            assert Estimator()({"model": model, "tools": tools}) >= 0
    while deep:  # taken apart by hand: Python would do it recursively
        deep = deep["properties"].pop("x")


@given(st.lists(texts, max_size=6))
def test_a_text_counts_the_same_everywhere(contents: list[str]) -> None:
    """A conversation counts as much as its messages one by one."""
    together = Estimator().raw(body(*contents))
    assert together == sum(Estimator().raw(body(content)) for content in contents)


@given(st.lists(_messages, max_size=5), st.randoms(use_true_random=False))
def test_order_does_not_matter(messages: list[Any], rng: random.Random) -> None:
    """The same messages in any order count the same."""
    estimator, shuffled = Estimator(), list(messages)
    rng.shuffle(shuffled)
    assert estimator.raw({"messages": messages}) == estimator.raw({"messages": shuffled})


@given(st.lists(texts, max_size=8))
def test_counted_step_by_step(contents: list[str]) -> None:
    """A conversation that grows, read anew each time, counts as one that is met whole."""
    growing, whole = Estimator(), body(*contents)
    for length in range(len(contents)):
        growing.raw(orjson.loads(orjson.dumps(body(*contents[:length]))))
    assert growing.raw(orjson.loads(orjson.dumps(whole))) == Estimator().raw(whole)


def test_a_text_is_counted_once() -> None:
    """A context that was counted before is as little work when it is long as when it is short."""
    load("o200k_base")
    first, again = {}, {}
    for lines in (20, 2_000):
        count, context = Estimator(), body(*(f"line {n} of a text\n" * lines for n in range(10)))
        assert count(context) == Estimator()(context)
        first[lines] = calls(Estimator()(context) for _ in range(1))
        again[lines] = calls(count(context) for _ in range(1))
    assert first[2_000] > first[20], "the work of counting shows in the calls"
    assert again[2_000] == again[20] < first[20]


def test_tools_are_told_apart() -> None:
    """A tool that is added changes the estimate, and so does a model that reads tools as JSON."""
    count, other = Estimator(), {"type": "function", "function": {"name": "other"}}
    estimates = []
    for model in ("gpt-oss-120b", "qwen-3"):
        estimates.append(count(body("hi", tools=[READ_FILE], model=model)))
        assert count(body("hi", tools=[READ_FILE, other], model=model)) > estimates[-1]
    assert estimates[0] < estimates[1]


def test_threads_share_an_estimator() -> None:
    """Many threads that count and calibrate at once all get the right numbers."""
    shared = Estimator()
    asked = [body(*(f"{n} {k} words" for k in range(n, n + 50))) for n in range(20)]

    def work(request: dict[str, Any]) -> int:
        raw = shared.raw(request)
        shared.calibrate(request["model"], raw, raw)
        return shared(request)

    with ThreadPoolExecutor(8) as pool:
        counted = list(pool.map(work, asked * 10))
    assert counted == [Estimator()(request) for request in asked] * 10


def test_calibration_does_not_feed_on_itself() -> None:
    """Taught with raw estimates, the estimate comes to the truth and stays there."""
    estimator, asked = Estimator(), body("some words of a prompt " * 1_000)
    raw = estimator.raw(asked)
    for _ in range(50):
        estimator.calibrate(asked["model"], estimator.raw(asked), round(raw * 1.4))
    assert estimator.raw(asked) == raw
    assert estimator(asked) == pytest.approx(raw * 1.4, rel=0.01)
    assert estimator({**asked, "model": "gpt-oss-20b"}) == raw


@settings(max_examples=30)
@given(st.floats(0.5, 2), st.lists(st.integers(500, 5_000), min_size=5, max_size=5))
def test_close_after_a_few_answers(factor: float, sizes: list[int]) -> None:
    """Where a provider counts by any constant factor, we are within 4 % after five answers."""
    estimator = Estimator()
    for size in sizes:
        asked = body("one two " * size)
        raw = estimator.raw(asked)
        estimator.calibrate(asked["model"], raw, round(raw * factor))
    assert estimator(asked) == pytest.approx(raw * factor, rel=0.04)


def test_never_downloads() -> None:
    """Counting works with the network cut off and no cache of tiktoken's."""
    code = (
        "import socket; socket.socket = None\n"
        "from batchwrap.throttle.estimate import Estimator\n"
        "print(Estimator()({'messages': [{'role': 'user', 'content': 'hello world'}]}))"
    )
    environment = {**os.environ, "TIKTOKEN_CACHE_DIR": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "6\n"
