"""What of a request and its answer counts, at each endpoint."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwrap.core.formats.endpoints import CHAT, ENDPOINTS, Endpoint, Meter, endpoint_at
from batchwrap.core.limits.cost import Rule, Usage, reserve

BY_NAME = {endpoint.name: endpoint for endpoint in ENDPOINTS}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
FIELDS = ("input", "prompt", "messages", "system", "tools", "n", "max_tokens", "max_output_tokens")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/chat/completions", "chat"),
        ("/openai/deployments/a/chat/completions", "chat"),
        ("/v1/completions", "completions"),
        ("/v1/responses", "responses"),
        ("/openai/v1/responses", "responses"),
        ("/anthropic/v1/messages", "messages"),
        ("/openai/deployments/a/embeddings", "embeddings"),
    ],
)
def test_paths(path: str, name: str) -> None:
    """An endpoint is known by the end of its path, wherever it is mounted."""
    found = endpoint_at(path)
    assert found is not None and found.name == name


VERTEX = "/v1/projects/p/locations/l/publishers/anthropic/models"
ARN = "arn:aws:bedrock:eu-west-1:1:inference-profile/eu.anthropic.claude-sonnet-4"


@pytest.mark.parametrize(
    ("path", "name", "model"),
    [
        (f"{VERTEX}/claude-sonnet-4@20250514:rawPredict", "messages", "claude-sonnet-4@20250514"),
        (f"{VERTEX}/claude-haiku:streamRawPredict", "messages", "claude-haiku"),
        ("/model/anthropic.claude-v1:0/invoke", "bedrock", "anthropic.claude-v1:0"),
        (f"/model/{ARN}/invoke-with-response-stream", "bedrock", ARN),
    ],
)
def test_paths_that_name_the_model(path: str, name: str, model: str) -> None:
    """The body is read as if it named the model, and sent without it, as it came."""
    found = endpoint_at(path)
    assert found is not None and (found.name, found.model) == (name, model)
    body = {"max_tokens": 5, "messages": []}
    read = found.untranslated.with_model(body)
    assert read == {**body, "model": model}
    assert list(found.without_model(read).items()) == list(body.items())


@pytest.mark.parametrize(
    "path",
    [
        f"{VERTEX}/count-tokens:rawPredict",
        f"{VERTEX}/:rawPredict",
        f"{VERTEX}/claude",
        "/v1/projects/p/locations/l/publishers/google/models/gemini:rawPredict",
        "/model//invoke",
        "/model/invoke",
        "/model/m/converse",
        "/v1/models",
        "/v1/threads/thread_1/messages",
        "/v1/messages/count_tokens",
        "/v1/messages/batches",
        "/v1/responses/resp_1/cancel",
        "/v1/responses/input_tokens",
        "/v1/audio/speech",
        "/",
    ],
)
def test_other_paths(path: str) -> None:
    """What generates nothing, or is counted otherwise, is none of our business."""
    assert endpoint_at(path) is None


USAGES: list[tuple[str, list[dict[str, Any]], Usage]] = [
    (
        "responses",
        [
            {"type": "response.created", "response": {"usage": None}},
            {"type": "response.output_text.delta", "delta": "usage"},
            {
                "type": "response.completed",
                "response": {
                    "usage": {
                        "input_tokens": 9,
                        "output_tokens": 4,
                        "input_tokens_details": {"cached_tokens": 3},
                    }
                },
            },
        ],
        Usage(9, 4, 3),
    ),
    (
        "messages",
        [
            {
                "type": "message_start",
                "message": {
                    "usage": {
                        "input_tokens": 5,
                        "cache_read_input_tokens": 7,
                        "cache_creation_input_tokens": 2,
                        "output_tokens": 1,
                    }
                },
            },
            {"type": "message_delta", "usage": {"output_tokens": 3}},
            {"type": "message_delta", "usage": {"output_tokens": 8, "input_tokens": None}},
        ],
        Usage(14, 8, 7),
    ),
    (
        "messages",
        [{"type": "message", "usage": {"input_tokens": 5, "output_tokens": 6}}],
        Usage(5, 6, 0),
    ),
    (
        "completions",
        [{"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 6}}],
        Usage(5, 6, 0),
    ),
    ("embeddings", [{"data": [], "usage": {"prompt_tokens": 5}}], Usage(5, 0, 0)),
]


@pytest.mark.parametrize(("name", "answers", "usage"), USAGES)
def test_usage(name: str, answers: list[dict[str, Any]], usage: Usage) -> None:
    """Usage is read in the endpoint's own words; the last word on each part of it counts."""
    meter = Meter(BY_NAME[name])
    seen = [meter(answer) for answer in answers]
    assert seen[-1] == usage
    assert seen[0] is None or len(answers) == 1, "the beginning of a stream tells nothing yet"


@pytest.mark.parametrize(
    ("name", "body", "output"),
    [
        ("responses", {"max_output_tokens": 70}, 70),
        ("responses", {}, 1_000),
        ("messages", {"max_tokens": 80}, 80),
        ("completions", {"max_tokens": 5, "n": 2, "prompt": ["a", "b", "c"]}, 30),
        ("completions", {"max_tokens": 5, "prompt": [1, 2, 3]}, 5),
        ("embeddings", {"input": "a"}, 0),
    ],
)
def test_output(name: str, body: dict[str, Any], output: int) -> None:
    """The most that an answer may have is what the request says, for all its answers together."""
    rule = Rule(default_output=1_000)
    assert reserve(0, BY_NAME[name].output(body), rule).output_tokens == output


@pytest.mark.parametrize(
    ("name", "body", "tokens"),
    [
        ("embeddings", {"input": ["four" * 10, "four" * 5]}, 15),
        ("embeddings", {"input": [[1, 2, 3], [4, 5]]}, 5),
        ("embeddings", {"input": [1, 2, 3]}, 3),
        ("responses", {"instructions": "four", "input": [{"content": "four" * 9}]}, 10),
        ("messages", {"system": "four", "messages": [{"content": [{"text": "four"}]}]}, 2),
        ("messages", {"messages": [{"content": [{"source": {"data": "four" * 99}}]}]}, 0),
    ],
)
def test_prompt(name: str, body: dict[str, Any], tokens: int) -> None:
    """A prompt's estimate is by its texts, or its tokens; data of files is no text."""
    assert BY_NAME[name].prompt_tokens(body) == tokens


def test_nested_deeply() -> None:
    """A prompt that is nested deeper than Python's stack is estimated all the same."""
    deep: Any = "four"
    for _ in range(5_000):
        deep = [deep]
    assert BY_NAME["responses"].prompt_tokens({"input": deep}) == 1


@given(
    endpoint=st.sampled_from([endpoint for endpoint in ENDPOINTS if endpoint is not CHAT]),
    body=st.dictionaries(st.sampled_from(FIELDS), JSON),
    usage=JSON
    | st.dictionaries(st.sampled_from(["input_tokens", "output_tokens", "prompt_tokens"]), JSON),
)
def test_anything(endpoint: Endpoint, body: dict[str, Any], usage: Any) -> None:
    """No request and no answer makes the readers fail."""
    assert endpoint.prompt_tokens(body) >= 0
    assert reserve(0, endpoint.output(body), Rule()).requests == 1
    meter = Meter(endpoint)
    for answer in ({"usage": usage}, {"response": {"usage": usage}}, {"message": usage}):
        assert isinstance(meter(answer), Usage | None)
