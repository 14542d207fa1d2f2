"""The server itself: its prompt cache, an agent that works with it, how it starts and ends."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import OpenAI

import batchwrap
from batchwrap.lab import Lab, Reply, Script
from benchmarks.llama_server import LlamaServer, LlamaServerError
from tests.adapters.api_agents import ApiAgent, MessagesAgent, ResponsesAgent
from tests.adapters.file_job import WORK
from tests.real_models import chat_templates
from tests.real_models.conversations import Body, conversations
from tests.real_models.small_model import whole_model

_WITHIN_S = 240
# Of the model's own template nothing is rendered but texts.
TEMPLATE = chat_templates.FOLDER / "Qwen-Qwen2.5-7B-Instruct.jinja"
_SHORT = {"max_tokens": 8, "max_output_tokens": 8}  # as Messages and Responses name it


def asked(server: LlamaServer, body: Body) -> tuple[int, int]:
    """The tokens of a prompt that the server has in its cache, and all of them."""
    body = {**body, "stream": False, "max_tokens": 1, "temperature": 0}
    answer = httpx2.post(f"{server.url}/v1/chat/completions", json=body, timeout=_WITHIN_S)
    timings = answer.raise_for_status().json()["timings"]
    return timings["cache_n"], timings["cache_n"] + timings["prompt_n"]


def test_the_servers_own_cache() -> None:
    """The whole small model computes no token of an earlier prompt of a conversation again."""
    with LlamaServer(whole_model()) as server:
        counts = [asked(server, body) for body in conversations()[0].wrapped]
    assert [cached - before for (_, before), (cached, _) in pairwise(counts)] == [0] * 8


@pytest.mark.parametrize("stream", [False, True])
def test_an_agent(weights: Path, stream: bool) -> None:
    """The server takes what a wrapped client sends: nothing is sent again without batchwrap."""
    body = conversations()[0].bare[-1]
    with LlamaServer(weights, context=16384) as server:
        bare = OpenAI(base_url=f"{server.url}/v1", api_key="k", timeout=_WITHIN_S)
        client: Any = batchwrap.wrap(bare)
        for messages in (body["messages"][:-2], body["messages"]):
            answer = client.chat.completions.create(
                model="m", messages=messages, tools=body["tools"], stream=stream, max_tokens=8
            )
            assert list(answer) if stream else answer.choices
    stats = batchwrap.stats(client)
    assert (stats.round_trips, stats.offers, stats.failed_open) == (2, 2, 0)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", [MessagesAgent, ResponsesAgent])
def test_other_apis(weights: Path, kind: type[ApiAgent], stream: bool) -> None:
    """It takes a folded batch in its other APIs, too, and has all of the prompt before cached."""
    with Lab(Script(WORK, Reply("Done."))) as lab:
        agent = kind(lab, stream=stream)
        agent.run()
    beginning, history = agent.history[:1], agent.history[:-1]  # without the last words
    with LlamaServer(weights, template=TEMPLATE) as server:
        counts = [_sent(agent, server, said) for said in (beginning, history)]
    (_, before), (cached, after) = counts
    assert cached == before < after
    assert batchwrap.stats(agent.client).failed_open == 0
    agent.close()


def _sent(agent: ApiAgent, server: LlamaServer, history: list[Body]) -> tuple[int, int]:
    """The tokens of a prompt that the server has in its cache, and all of them, as it reports."""
    agent.history, told = history, batchwrap.stats(agent.client)
    body = {**agent.body, "tools": agent.tools, "stream": agent.stream, **agent.fields, **_SHORT}
    answer = agent.client.post(f"{server.url}{agent.path}", json=body, timeout=_WITHIN_S)
    assert answer.status_code == 200, answer.text
    now = batchwrap.stats(agent.client)
    return now.cached_tokens - told.cached_tokens, now.prompt_tokens - told.prompt_tokens


@pytest.mark.parametrize(
    ("model", "options", "reason"),
    [
        (b"hello", {}, "did not start: .*magic"),
        (None, {}, "there is no file"),
        ("whole", {"template": b"{% broken"}, "did not start: .*broken"),
        ("whole", {"start_within_s": 0.001}, "did not start within 0.001 s"),
    ],
)
def test_one_line(tmp_path: Path, weights: Path, model: Any, options: Any, reason: str) -> None:
    """A server that cannot start says in one line why, and what to do."""
    path = weights if model == "whole" else tmp_path / "model.gguf"
    if isinstance(model, bytes):
        path.write_bytes(model)
    if template := options.get("template"):
        options = {"template": tmp_path / "template.jinja"}
        options["template"].write_bytes(template)
    with pytest.raises(LlamaServerError, match=reason) as failed:
        LlamaServer(path, **options)
    assert "\n" not in str(failed.value)


def test_it_ends_with_its_parent(weights: Path) -> None:
    """A process that is killed leaves no server behind."""
    program = (
        "import sys; from pathlib import Path; from benchmarks.llama_server import LlamaServer\n"
        "server = LlamaServer(Path(sys.argv[1])); print(server.pid, flush=True)\n"
        "sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(weights)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        gone = os.pidfd_open(pid)
        parent.kill()
        assert select.select([gone], [], [], _WITHIN_S)[0]
        os.close(gone)
