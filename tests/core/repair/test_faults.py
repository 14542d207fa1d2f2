"""Providers say the same thing in many words; each is read into one kind with one remedy."""

from __future__ import annotations

from typing import Any

import pytest

from batchwrap.core.repair.diagnosis import read_fault, read_refused, repaired_body
from batchwrap.core.repair.faults import error_in

CONTEXT = [
    "prompt is too long: 210000 tokens > 200000 maximum",
    "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
    "the request exceeds the available context size. try increasing the context size",
    "`inputs` tokens + `max_new_tokens` must be <= 32769. Given: 40000 `inputs` tokens",
    "The prompt is too long: 150000, model maximum context length: 131071",
    "Range of input length should be [1, 129024]",
]
OUTPUT = [
    "max_tokens: 9000 > 8192, which is the maximum allowed number of output tokens",
    "max_tokens must be at most 8192",
    "'max_completion_tokens' is too large: 65536. This model's maximum context length is 131072",
]
OTHER = [
    "property 'metadata' is unsupported",
    "messages.2: tool_call_id is missing",
    "Invalid value for 'temperature': must be below 2",
]


@pytest.mark.parametrize("message", CONTEXT)
def test_context(message: str) -> None:
    """A context that is too small is one kind, in whatever words, and only compaction helps."""
    fault = read_refused(400, {"error": {"message": message}}, {})
    assert (fault.kind, fault.retry) == ("context_overflow", "after_compaction")
    assert fault.body()["error"]["code"] == "context_length_exceeded"


@pytest.mark.parametrize("message", OUTPUT)
def test_output(message: str) -> None:
    """An output that is too long is not an overflow: nothing needs to be compacted."""
    assert read_refused(400, {"error": {"message": message}}, {}).kind == "output_budget_too_large"


@pytest.mark.parametrize("message", OTHER)
def test_other(message: str) -> None:
    """Any other mistake of the request is not taken for an overflow."""
    assert read_refused(400, {"error": {"message": message}}, {}).kind == "invalid_request"


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("Please try again in 300ms.", 0.3),
        ("try again in 1h2m3s", 3_723.0),
        ("please try again after 1 seconds", 1.0),
        ("Please retry in 41.8s.", 41.8),
        ("Please wait.", None),
    ],
)
def test_waits(words: str, seconds: float | None) -> None:
    """The wait that a provider asks for is read from its words, where no header has it."""
    assert read_fault({"message": words, "code": 429}).retry_after_s == seconds
    asked = read_fault({"message": words}, 429, {"retry-after": "7"})
    assert asked.retry_after_s == 7.0, "a header counts first"


SHAPES: list[tuple[dict[str, Any], str]] = [
    ({"message": "no", "type": "invalid_request_error"}, "no"),
    ({"object": "error", "message": "no", "code": 400}, "no"),
    ({"code": "resource-exhausted", "error": "no"}, "no"),
]


@pytest.mark.parametrize(("body", "message"), SHAPES)
def test_bodies(body: dict[str, Any], message: str) -> None:
    """Flat bodies get the envelope that SDKs look for, and keep what they say."""
    mended = repaired_body(body, read_refused(400, body, {}))
    assert mended is not None and mended["error"]["message"] == message


@pytest.mark.parametrize(
    "body", [{"error": {"message": "no", "code": 1}}, {"detail": "no"}, [1], "no"]
)
def test_bodies_that_stay(body: Any) -> None:
    """What has the envelope, or is no error that anybody knows, stays as it is."""
    assert repaired_body(body, read_refused(400, body, {})) is None


def test_a_healthy_chunk_is_no_error() -> None:
    """Fields that look like an error's do not make a chunk one."""
    healthy: list[dict[str, Any]] = [
        {"choices": []},
        {"choices": [1], "message": "x", "type": "y"},
        {"error": None},
        {},
    ]
    assert [error_in(body) for body in healthy] == [None] * len(healthy)
