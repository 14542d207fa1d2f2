"""A real proxy process with our hook in its config, and a client for it."""

from __future__ import annotations

import math
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import openai
import pytest
from tenacity import retry, stop_after_delay, wait_fixed

from batchwrap.lab import Lab, Raw, Reply

# The proxy has an environment of its own (`make test-proxy`).
collect_ignore_glob = [] if find_spec("litellm_proxy_extras") else ["test_*.py"]

_ROOT = Path(__file__).parents[2]
_CONFIG = _ROOT / "examples" / "litellm_proxy.yaml"


class Played:
    """A model that plays what it was given, for one test after the other."""

    def __init__(self) -> None:
        self.replies: list[Reply | Raw] = []

    def __call__(self, body: dict[str, Any]) -> Reply | Raw:
        """The next reply, whatever was asked."""
        return self.replies.pop(0)


@pytest.fixture(scope="session")
def model() -> Played:
    """What the provider behind the proxy says."""
    return Played()


@pytest.fixture(scope="session")
def lab(model: Played) -> Iterator[Lab]:
    """The provider behind the proxy."""
    with Lab(model, tokens_per_s=math.inf, ttft_s=0) as running:
        yield running


@pytest.fixture(scope="session")
def proxy(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A running proxy: its URL and its key."""
    folder, key = tmp_path_factory.mktemp("proxy"), f"sk-{secrets.token_hex(32)}"
    url, log = f"http://127.0.0.1:{_free_port()}", folder / "log"
    told = {"MODEL": "openai/m", "OPENAI_BASE_URL": lab.base_url, "OPENAI_API_KEY": "k"}
    told |= {"LITELLM_MASTER_KEY": key, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    command = [str(Path(sys.executable).with_name("litellm")), "--config", str(_CONFIG)]
    listen = ["--host", "127.0.0.1", "--port", url.rsplit(":", 1)[1]]
    environment = {**os.environ, **told, "PYTHONPATH": str(_ROOT)}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, *listen], cwd=folder, env=environment, stdout=output, stderr=output
        )
    try:
        _wait_for(url, key, process, log)
        yield url, key
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def ask(proxy: tuple[str, str], lab: Lab, model: Played) -> Iterator[Callable[..., openai.OpenAI]]:
    """Sets what the provider says next, and returns a bare client of the proxy."""
    url, key = proxy
    with openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0) as client:

        def said(*replies: Reply | Raw) -> openai.OpenAI:
            model.replies[:] = replies
            return client

        yield said


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _wait_for(url: str, key: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until the proxy lists its models: half a minute, much of it imports."""

    @retry(stop=stop_after_delay(120), wait=wait_fixed(0.2), reraise=True)
    def answers() -> None:
        if process.poll() is not None:
            return
        with openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0) as client:
            client.models.list()

    answers()
    if process.poll() is not None:
        pytest.fail(f"the proxy did not start:\n{log.read_text()[-2000:]}")
