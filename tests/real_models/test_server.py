"""The server with the whole small model: its own prompt cache, and an agent that works with it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import OpenAI

import batchwrap
from benchmarks.llama_server import LlamaServer, LlamaServerError
from tests.real_models.conversations import conversations
from tests.real_models.small_model import whole_model
from tests.strategies import EDIT_FILE, READ_FILE

_WITHIN_S = 240
_USER = {"role": "user", "content": "Read a.py and b.py."}


@pytest.fixture(scope="module")
def server() -> Iterator[LlamaServer]:
    """The whole small model, with its own template."""
    with LlamaServer(whole_model()) as running:
        yield running


def test_the_servers_own_cache(server: LlamaServer) -> None:
    """Of a whole conversation, the server computes no token of an earlier prompt again."""
    cached = []
    with httpx2.Client(base_url=server.url, timeout=_WITHIN_S) as client:
        for body in conversations()[0].wrapped:
            # With the tools of the agent alone, prompts are short; templates have them elsewhere.
            asked = {"messages": body["messages"], "max_tokens": 1, "temperature": 0}
            timings = client.post("/v1/chat/completions", json=asked).json()["timings"]
            cached.append((timings["cache_n"], timings["cache_n"] + timings["prompt_n"]))
    assert [before - cache for (_, before), (cache, _) in zip(cached, cached[1:], strict=False)] == [
        0
    ] * (len(cached) - 1)


@pytest.mark.parametrize("stream", [False, True])
def test_an_agent(server: LlamaServer, stream: bool) -> None:
    """A call that the grammar forces the model to make arrives as single calls, and folds again."""
    client = batchwrap.wrap(OpenAI(base_url=f"{server.url}/v1", api_key="k", timeout=_WITHIN_S))
    answer: Any = client.chat.completions.create(
        model="m",
        messages=[_USER],  # type: ignore[list-item]
        tools=[READ_FILE, EDIT_FILE],  # type: ignore[list-item]
        tool_choice="required",
        max_tokens=200,
        temperature=0,
        stream=stream,
    )
    print(list(answer) if stream else answer)


@pytest.mark.parametrize(
    ("content", "options", "reason"),
    [
        (b"hello", {}, "did not start: .*magic"),
        (None, {}, "there is no file"),
        ("model", {"template": b"{% broken"}, "did not start: .*broken"),
        ("model", {"start_within_s": 0.001}, "did not start within 0.001 s"),
    ],
)
def test_one_line(tmp_path: Path, weights: Path, content: Any, options: Any, reason: str) -> None:
    """A server that cannot start says in one line why, and what to do."""
    model = weights if content == "model" else tmp_path / "model.gguf"
    if isinstance(content, bytes):
        model.write_bytes(content)
    if "template" in options:
        (tmp_path / "template.jinja").write_bytes(options["template"])
        options = {"template": tmp_path / "template.jinja"}
    with pytest.raises(LlamaServerError, match=reason) as failed:
        LlamaServer(model, **options)
    assert "\n" not in str(failed.value)


def test_it_ends_with_its_parent(weights: Path) -> None:
    """A process that is killed leaves no server behind."""
    program = (
        "import sys; from pathlib import Path; from benchmarks.llama_server import LlamaServer\n"
        "server = LlamaServer(Path(sys.argv[1])); print(server.pid, flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(weights)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
        parent.stdout.read()  # the server has the other end of the pipe, until it ends
    assert not Path(f"/proc/{pid}").exists()
