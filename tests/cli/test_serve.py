"""`batchwrap serve`: what it prints, where, with which exit code, and how it ends."""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from typer.testing import CliRunner

from batchwrap.cli.app import app
from batchwrap.lab import Lab, Reply
from tests.strategies import READ_FILE

UP = ["serve", "--upstream", "https://api.example.com/v1"]
ASK: Any = {"model": "m", "messages": [{"role": "user", "content": "Hi."}]}


def refused(*arguments: str, env: dict[str, str] | None = None) -> str:
    """The one line that wrong usage ends with."""
    result = CliRunner().invoke(app, arguments, env=env, prog_name="batchwrap")
    assert (result.exit_code, result.stdout) == (2, "")
    return result.stderr.removesuffix("\n")


@contextmanager
def serving(
    *arguments: str, env: dict[str, str], skip: int = 1
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command as a process of its own, and the base URL (or the line) that it prints."""
    command = [sys.executable, "-W", "error", "-m", "batchwrap", "serve", *arguments]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **env},
    ) as process:
        assert process.stdout is not None
        try:
            for _ in range(skip):
                process.stdout.readline()
            yield process, process.stdout.readline().removeprefix("base URL for agents: ").strip()
        finally:
            process.kill()


def test_options_of_a_file(tmp_path: Path) -> None:
    """`--config` has them; what is typed wins, option by option, and a mistake is one line."""
    file = tmp_path / "own.toml"
    file.write_text("limits = 'groq/free'\n[batching]\noffer = 'never'\nmax_items = 3\n")
    lab = Lab(lambda request: Reply("Hello."), tokens_per_s=math.inf, ttft_s=0)
    tools: Any = [READ_FILE]
    for typed, offered in (([], 1), (["--offer", "alongside"], 2)):
        options = ["--port", "0", "--config", str(file), *typed]
        with (
            lab,
            serving("--upstream", lab.base_url, *options, env={}) as (_, base_url),
            openai.OpenAI(base_url=base_url, api_key="any", max_retries=0) as client,
        ):
            client.chat.completions.create(**ASK, tools=tools)
            sent = lab.journal[-1].json["tools"]
        assert len(sent) == offered
    items = [it["function"]["parameters"]["properties"] for it in sent[1:]]
    assert {it[name]["maxItems"] for it in items for name in it} == {3}
    file.write_text("limit = 'groq/free'")
    line = f"batchwrap: {file}:1: limit: no such option; did you mean 'limits'?"
    assert refused(*UP, "--config", str(file)) == line


def test_help() -> None:
    """The help has examples, every option and the exit codes."""
    result = CliRunner().invoke(app, ["serve", "--help"], prog_name="batchwrap")
    assert result.exit_code == 0
    for part in ("Examples:\n    batchwrap serve --upstream", "0 ended by", "2 wrong usage"):
        assert part in result.stdout
    for option in ("upstream", "port", "host", "token", "api-key-env", "limits", "store", "preset"):
        assert f"--{option} " in result.stdout
    for option in ("offer", "tool", "remind-every", "allow-host", "config"):
        assert f"--{option} " in result.stdout


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--upstream", "example.com"], "--upstream: "),
        (["--port", "70000"], "--port: "),
        (["--host", "0.0.0.0"], "--host: 0.0.0.0 is open to other machines"),
        (["--api-key-env", "NO_SUCH_KEY"], "--api-key-env: the environment variable NO_SUCH_KEY"),
        (["--api-key-env", "THE_KEY"], "--api-key-env: needs a token"),
        (["--limits", "no/plan"], "no/plan"),
        (["--store", "odd://x"], "--store: "),
        (["--preset", "odd"], "--preset: "),
        (["--offer", "odd"], "--offer: "),
        (["--port", "http"], "--port: wants a whole number"),
        (["--port", "80", "--upstream", "http://localhost:80/v1"], "is where it listens itself"),
        (["--allow-host", "http://x"], "--allow-host: 'http://x' is not a host name"),
        (["--store", "sqlite:////"], "--store: / is a folder"),
        (["--tool", "=read"], "--tool: '=read' is not NAME=KIND"),
        (["--tool", "bash"], "--tool: 'bash' is not NAME=KIND"),
        (["--tool", "bash=odd"], "--tool: 'odd' is not one of 'read', "),
        (["--remind-every", "0"], "--remind-every: "),
    ],
)
def test_wrong_usage(arguments: list[str], named: str) -> None:
    """A wrong option is named in one line, without a traceback."""
    line = refused(*UP, *arguments, env={"THE_KEY": "sk-real"})
    assert line.startswith("batchwrap: ")
    assert named in line
    assert "\n" not in line


def test_a_port_in_use() -> None:
    """A port that is taken is one line, too."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"--port: cannot listen at 127.0.0.1:{port}: " in refused(*UP, "--port", port)


def test_without_the_extra() -> None:
    """Without the libraries of the extra the line says what to install."""
    hidden = (
        "import sys; sys.modules['prometheus_client'] = None; "
        "from batchwrap.cli import main; sys.argv[1:] = sys.argv[1:]; main()"
    )
    command = [sys.executable, "-c", hidden, *UP]
    result = subprocess.run(command, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        "batchwrap: prometheus_client is not installed; it comes with: "
        'pip install "batchwrap[serve]"\n'
    )


def test_it_starts_and_ends() -> None:
    """It prints where it is, serves with its own key, finishes what runs, and ends with 0."""
    entered, leave = threading.Event(), threading.Event()

    def model(request: dict[str, Any]) -> Reply:
        entered.set()
        leave.wait(20)
        return Reply("Hello.")

    lab = Lab(model, tokens_per_s=math.inf, ttft_s=0, api_keys=["sk-real"])
    env = {"THE_KEY": "sk-real", "BATCHWRAP_TOKEN": "the-token"}
    options = ["--port", "0", "--api-key-env", "THE_KEY", "--tool", "bash=sequential"]
    with (
        lab,
        serving("--upstream", lab.base_url, *options, env=env) as (process, base_url),
        openai.OpenAI(base_url=base_url, api_key="the-token", max_retries=0) as client,
    ):
        assert httpx.get(base_url.removesuffix("/v1") + "/healthz").json()["status"] == "ok"
        answers: list[Any] = []
        ask: Callable[[], None] = lambda: answers.append(client.chat.completions.create(**ASK))  # noqa: E731
        running = threading.Thread(target=ask)
        running.start()
        assert entered.wait(20)
        process.send_signal(signal.SIGTERM)
        while _listens(base_url):
            pass
        leave.set()
        running.join(20)
        assert answers[0].choices[0].message.content == "Hello."
        out, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "")
    for key in ("sk-real", "the-token"):
        assert key not in out


def test_json() -> None:
    """With `--json` the first line is one object with the addresses, for programs that start it."""
    with serving(*UP[1:], "--port", "0", "--json", env={}, skip=0) as (process, line):
        told = json.loads(line)
        assert set(told) == {"upstream", "base_url", "page", "health", "metrics"}
        assert httpx.get(told["health"]).json()["status"] == "ok"
        assert "<h1>batchwrap serve</h1>" in httpx.get(told["page"]).text
        process.send_signal(signal.SIGTERM)
        out, errors = process.communicate(timeout=20)
    assert (process.returncode, out, errors) == (0, "", "")


@pytest.mark.skipif(sys.platform != "linux", reason="sets the limit of another process")
@pytest.mark.parametrize("files", [80, pytest.param(20, marks=pytest.mark.thorough)])
def test_too_many_open_files(files: int) -> None:
    """Clients above what the open files are enough for are answered or wait: no traceback."""
    import resource

    with serving(*UP[1:], "--port", "0", env={}) as (process, base_url), ExitStack() as open_:
        health = base_url.removesuffix("/v1") + "/healthz"
        httpx.get(health)
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (files, files))
        host, _, port = base_url.removeprefix("http://").removesuffix("/v1").rpartition(":")
        for _ in range(40):
            open_.enter_context(socket.create_connection((host, int(port)), timeout=20))
        if files > 40:
            with socket.create_connection((host, int(port)), timeout=20) as sock:
                sock.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
                assert b"batchwrap_busy" in b"".join(iter(lambda: sock.recv(10_000), b""))
        open_.close()
        while httpx.get(health, timeout=20).status_code != 200:
            pass
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "Traceback" not in errors


def test_ctrl_c() -> None:
    """Ctrl-C ends it without a word."""
    with serving(*UP[1:], "--port", "0", env={}) as (process, base_url):
        httpx.get(base_url.removesuffix("/v1") + "/healthz")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "")


def test_ended_at_once() -> None:
    """Whoever has read the address may end it, even before it has answered anything."""
    with serving(*UP[1:], "--port", "0", env={}) as (process, _):
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "")


def _listens(base_url: str) -> bool:
    host, _, port = base_url.removeprefix("http://").removesuffix("/v1").rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True
