"""Counting tokens: offline, each text once, close enough to admit by."""

import os
import subprocess
import sys
import time
from typing import Any

import pytest

from batchwrap.throttle.encodings import load
from batchwrap.throttle.estimate import Estimator, encoding_of
from tests.strategies import READ_FILE


def body(*contents: Any, **fields: Any) -> dict[str, Any]:
    """A request with one user message for each content."""
    messages = [{"role": "user", "content": content} for content in contents]
    return {"model": "gpt-oss-120b", "messages": messages, **fields}


@pytest.mark.parametrize(
    ("model", "encoding"),
    [
        ("gpt-4-turbo", "cl100k_base"),
        ("gpt-3.5-turbo", "cl100k_base"),
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


def test_the_tables_are_tiktokens() -> None:
    """The bundled tables give tokens that decode to the text."""
    for encoding in (load("o200k_base"), load("cl100k_base")):
        text = "def parse_money(text: str) -> Decimal:\n\treturn 12345  # Größe 中文"
        assert encoding.decode(encoding.encode_ordinary(text)) == text
    assert load("o200k_base").encode_ordinary("hello world") == [24912, 2375]
    assert load("cl100k_base").encode_ordinary("hello world") == [15339, 1917]


def test_counts_everything_that_is_sent() -> None:
    """Messages, calls, tools and images all count."""
    count = Estimator()
    plain = count(body("hello world"))
    assert plain == 2 + 4
    assert count(body("hello world", tools=[READ_FILE])) > plain + 40
    image = {"type": "image_url", "image_url": {"url": "data:…"}}
    assert count(body([{"type": "text", "text": "hello world"}, image])) > plain + 500
    call = {"function": {"name": "read_file", "arguments": '{"path": "a.py"}'}}
    assert count({"messages": [{"role": "assistant", "tool_calls": [call]}]}) > 8


def test_odd_messages_count_as_little_as_they_show() -> None:
    """Whatever an agent sends, counting does not fail."""
    odd: list[Any] = [None, "x", {}, {"content": 5}, {"content": [5, {"text": 5}]}]
    assert Estimator()({"messages": odd}) == 3 * 4


def test_a_text_is_counted_once() -> None:
    """A long context that was counted before costs next to nothing."""
    count, long = Estimator(), body(*(f"line {n} of a text\n" * 2_000 for n in range(10)))
    started = time.perf_counter()
    first = count(long)
    once = time.perf_counter() - started
    started = time.perf_counter()
    assert count(long) == first
    assert time.perf_counter() - started < once / 5


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
