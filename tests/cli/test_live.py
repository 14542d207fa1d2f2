"""`batchwrap limits --store`: what was spent, and how full buckets are, while others use them."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from batchwrap.cli.books import Page, Today
from batchwrap.cli.live import show
from batchwrap.cli.view import View
from batchwrap.core.limits.windows import meters
from batchwrap.lab import Entry, Lab, Reply
from batchwrap.options import Limit
from batchwrap.throttle.presence import new_owner
from batchwrap.throttle.stores import TokenTotals, open_store
from tests.cli.commands import invoke
from tests.throttle.redis_server import BINARY, REQUIRED, RedisServer

# An agent of another process: each request on the account of another key.
AGENT = """
import sys, batchwrap
from openai import OpenAI
base_url, store, limits, *keys = sys.argv[1:]
throttle = batchwrap.Throttle(store=store, limits=limits, keys=keys)
with batchwrap.wrap(OpenAI(base_url=base_url, api_key="sk-agent"), throttle=throttle) as client:
    for number in range(2):
        messages = [{"role": "user", "content": f"Question {number}"}]
        client.chat.completions.create(model="swift", messages=messages, max_tokens=500)
        print(number, flush=True)
"""
# Whoever starts the tests may ignore Ctrl-C, as shells do for what runs in the background.
COMMAND = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from batchwrap.cli import main
main()
"""
PLAN = """
[plans.team]
limits = [
    { kind = "tokens", amount = 1_000_000, per_s = 1_000_000_000 },
    { kind = "requests", amount = 100, per_s = 86_400, mode = "fixed", zone = "Asia/Tokyo" },
    { kind = "concurrency", amount = 2 },
]
"""


@contextmanager
def started(code: str, *arguments: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A Python process, which is ended at the end."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
    with subprocess.Popen([sys.executable, "-W", "error", "-c", code, *arguments], **options) as it:
        try:
            yield it
        finally:
            it.kill()


def read_until(process: subprocess.Popen[str], true: Callable[[Any], bool]) -> list[Any]:
    """The JSON lines of a process, up to the first of which something is true."""
    assert process.stdout is not None
    seen = []
    for line in islice(process.stdout, 100):
        seen.append(json.loads(line))
        if true(seen[-1]):
            return seen
    raise AssertionError(seen)


def interrupt(process: subprocess.Popen[str]) -> None:
    """Ctrl-C, which is how it ends, and ends well."""
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert (process.returncode, said or "") == (0, "")


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A plan of which next to nothing comes back."""
    file = tmp_path_factory.mktemp("plan") / "own.toml"
    file.write_text(PLAN, encoding="utf-8")
    return f"{file}#team"


@pytest.fixture(scope="module")
def spent(tmp_path_factory: pytest.TempPathFactory, team: str) -> tuple[str, list[Entry]]:
    """A store that another process has used with two keys, and what its provider saw."""
    store = f"sqlite:///{tmp_path_factory.mktemp('store') / 'budget.db'}"
    with (
        Lab(lambda _: Reply("yes"), tokens_per_s=math.inf, ttft_s=0) as lab,
        started(AGENT, lab.base_url, store, team, "sk-one", "sk-two") as agent,
    ):
        said = agent.communicate(timeout=60)
        assert agent.returncode == 0, said
        return store, lab.journal


def test_what_was_spent(spent: tuple[str, list[Entry]], team: str) -> None:
    """By account and model, to the token that the provider counted; levels of the plan, too."""
    store, journal = spent
    view = json.loads(invoke("limits", "--store", store, "--json", team).stdout)
    assert view["store"] == store
    assert [page["model"] for page in view["books"]] == ["swift", "swift"]
    lines = [line for page in view["books"] for line in (*page["days"], page["today"][-1])]
    for counted, seen in (("prompt_tokens",) * 2, ("output_tokens", "completion_tokens")):
        real = sum(getattr(entry, seen) for entry in journal)
        assert sum(line["spent"][counted] for line in lines) == real > 0
    for page, bucket, entry in zip(view["books"], view["buckets"], journal, strict=True):
        assert {"Asia/Tokyo", "UTC"} <= {day["zone"] for day in page["today"]}
        assert bucket["account"] == page["account"]
        tokens, _, concurrency = bucket["limits"]
        used = entry.prompt_tokens + entry.completion_tokens
        assert tokens["free"] == pytest.approx(1_000_000 - used, abs=1)
        assert tokens["full_s"] == pytest.approx(1_000 * used, rel=0.1)
        assert (concurrency["free"], concurrency["full_s"]) == (2, None)
        assert (bucket["running"], bucket["waiting"], bucket["closed_s"]) == (0, 0, 0)


def test_tables(spent: tuple[str, list[Entry]], team: str) -> None:
    """The same in words; a pipe gets whole lines."""
    store, _ = spent
    result = invoke("limits", "--store", store, team, env={"FORCE_COLOR": "1"})
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith(f"{store}, 20")
    assert "\x1b" not in result.stdout and "…" not in result.stdout
    for part in ("swift", "today, UTC", f"{team}:swift", "0 running, 0 waiting"):
        assert part in result.stdout
    assert "100 requests a day, from midnight Asia/Tokyo" in result.stdout


def test_without_a_plan(spent: tuple[str, list[Entry]]) -> None:
    """The books are shown, and who runs; how full buckets are follows from the plan."""
    result = invoke("limits", "--store", spent[0])
    assert "today, UTC" in result.stdout
    assert "0 running, 0 waiting" in result.stdout
    assert "reserved" not in result.stdout


def test_the_local_day(spent: tuple[str, list[Entry]]) -> None:
    """Today begins at midnight of the user's own zone, whose name stands there."""
    for zone, name in (("Asia/Kolkata", "IST"), ("America/Phoenix", "MST")):
        with started(
            COMMAND, "limits", "--store", spent[0], env={**os.environ, "TZ": zone}
        ) as process:
            said, _ = process.communicate(timeout=60)
        assert f"today, {name} " in said and "today, UTC " in said


def test_no_key_is_shown(spent: tuple[str, list[Entry]], team: str) -> None:
    """Neither the pool's keys nor the agent's own stand in any output, nor in the file."""
    store, journal = spent
    keys = {entry.headers["authorization"].removeprefix("Bearer ") for entry in journal}
    assert keys == {"sk-one", "sk-two"}
    for options in ([], ["--json"], [team], [team, "--json"]):
        assert "sk-" not in invoke("limits", "--store", store, *options).output
    file = Path(store.removeprefix("sqlite:///"))
    for part in file.parent.iterdir():
        assert b"sk-" not in part.read_bytes()


def test_watching(tmp_path: Path, team: str) -> None:
    """A line of JSON each second shows a request that runs, then what it has spent."""
    store, go_on, asked = f"sqlite:///{tmp_path / 'budget.db'}", threading.Event(), [0]

    def model(_: dict[str, Any]) -> Reply:
        asked[0] += 1
        if asked[0] == 2:
            go_on.wait(60)
        return Reply("yes")

    with (
        Lab(model, tokens_per_s=math.inf, ttft_s=0) as lab,
        started(AGENT, lab.base_url, store, team, "sk-one") as agent,
    ):
        assert agent.stdout is not None and agent.stdout.readline() == "0\n"
        options = ["limits", "--store", store, "--watch", "--json", team]
        with started(COMMAND, *options) as watcher:
            seen = read_until(watcher, lambda view: bool(running(view)))
            [bucket] = seen[-1]["buckets"]
            assert bucket["limits"][0]["reserved"] > 500
            assert bucket["limits"][2]["free"] == 1
            go_on.set()
            seen += read_until(watcher, lambda view: not running(view) and requests(view) == 2)
            assert seen[-1]["buckets"][0]["limits"][0]["reserved"] == 0
            times = [view["at"] for view in seen]
            assert times == sorted(times)
            interrupt(watcher)


def running(view: Any) -> int:
    """How many requests run."""
    return sum(bucket["running"] for bucket in view["buckets"])


def requests(view: Any) -> int:
    """How many requests were made since midnight UTC, or on a day before."""
    lines = [line for page in view["books"] for line in (*page["days"], page["today"][-1])]
    return sum(line["spent"]["requests"] for line in lines)


@pytest.mark.thorough
def test_watching_in_a_pipe(spent: tuple[str, list[Entry]], team: str) -> None:
    """Each refresh is a few plain lines, which begin with the time."""
    with started(COMMAND, "limits", "--store", spent[0], "--watch", team) as watcher:
        assert watcher.stdout is not None
        lines = list(islice(watcher.stdout, 30))
        interrupt(watcher)
    assert all(line.startswith("20") and "  " in line for line in lines)
    assert len({line[:19] for line in lines}) > 1
    for part in (
        "  today, UTC: 1 requests, ",
        " free, 0 reserved, full in ",
        "  0 running, 0 waiting",
    ):
        assert any(part in line for line in lines)


def test_watching_on_a_terminal(spent: tuple[str, list[Entry]], team: str) -> None:
    """The tables stay in their place, and are drawn again."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    size = {"TERM": "xterm", "COLUMNS": "160", "LINES": "60"}
    terminal = {"stdin": theirs, "stdout": theirs, "env": {**os.environ, **size}}
    with started(COMMAND, "limits", "--store", spent[0], "--watch", team, **terminal) as watcher:
        os.close(theirs)
        drawn = b""
        while drawn.count(b" running, ") < 6:
            drawn += os.read(ours, 65_536)
        interrupt(watcher)
    os.close(ours)
    up = b"\x1b[1A"
    assert drawn.count(up) > 10


def test_an_empty_store(tmp_path: Path) -> None:
    """It says that nothing was spent yet."""
    store = f"sqlite:///{tmp_path / 'budget.db'}"
    open_store(store).close()
    assert "nothing was spent yet" in invoke("limits", "--store", store).stdout
    view = json.loads(invoke("limits", "--store", store, "--json").stdout)
    assert (view["books"], view["buckets"]) == ([], [])


def test_accounts_without_a_plan(tmp_path: Path) -> None:
    """Without a plan, too, every account is shown with who runs and waits, and when it opens."""
    store = open_store(f"sqlite:///{tmp_path / 'budget.db'}")
    limits = meters([Limit("concurrency", 1)])
    owner = new_owner()
    for ticket in ("runs", "waits"):
        store.reserve("a:\x1b[2Jm", limits, [1], ticket, owner=owner)
    store.close_for("b:own", 3_600)
    [one, two] = json.loads(invoke("limits", "--store", store.name, "--json").stdout)["others"]
    [waits] = one.pop("queue")
    assert waits["process"].startswith(f"{os.getpid()} on ") and waits["waited_s"] >= 0
    assert one == {"account": "a:\x1b[2Jm", "running": 1, "waiting": 1, "closed_s": 0}
    assert two["account"] == "b:own" and two["closed_s"] > 3_500
    shown = invoke("limits", "--store", store.name).stdout
    assert (
        "a:�[2Jm" in shown
        and "1 running, 1 waiting, the first for" in shown
        and "closed for" in shown
    )


def test_a_day_that_is_not_clear(capsys: pytest.CaptureFixture[str]) -> None:
    """Both bounds are shown, and why there are two."""
    day = Today("Asia/Tokyo", 0.0, TokenTotals(1, 1_000, 0, 3), TokenTotals(1, 500, 0, 0))
    view = View("redis://host", 90_000.0, [Page("a", "m", (), (day,), ())], [], [])
    show(lambda: view, as_json=False)
    said = capsys.readouterr().out
    cells = ["a", "m", "today, Asia/Tokyo", "1 to 2", "1,000 to 1,500", "0", "3"]
    assert cells in [re.split("  +", line) for line in said.splitlines()]
    assert "the store keeps single minutes" in said


def test_names_of_others(tmp_path: Path) -> None:
    """A model's name is shown as it is, but cannot control the terminal."""
    store = open_store(f"sqlite:///{tmp_path / 'budget.db'}")
    store.spend("a", "[red]\x1b[2J", TokenTotals(1, 2, 0, 3))
    shown = invoke("limits", "--store", store.name).stdout
    assert "[red]�[2J" in shown and "\x1b" not in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--store", "memory"], '--store: "memory" is inside each process'),
        (["--store", "mysql://user:secret@host"], "--store: is no known kind of store; use "),
        (["--store", "sqlite:///no/such.db"], "--store: no/such.db does not exist"),
        (["--store", "sqlite:"], "'sqlite:' names no file"),
        (["--store", f"sqlite:///{__file__}"], "is not a SQLite file"),
        (
            ["--store", f"sqlite:///{__file__}", "cerebras/code-mux"],
            "no plan 'cerebras/code-mux'",
        ),
        (["--store", f"sqlite:///{__file__}", "auto"], "no plan 'auto'"),
        (["--watch"], "--watch: is only for a store"),
    ],
)
def test_wrong_usage(arguments: list[str], said: str) -> None:
    """The exit code is 2, and one line says what is wrong, without a password."""
    result = invoke("limits", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("batchwrap: ") and said in result.stderr
    assert result.stderr.count("\n") == 1
    assert "secret" not in result.stderr


def test_nothing_is_made(tmp_path: Path) -> None:
    """Looking at a file that is not there does not make it."""
    invoke("limits", "--store", f"sqlite:///{tmp_path / 'none.db'}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(BINARY is None and not REQUIRED, reason="redis-server is not installed")
def test_redis(tmp_path: Path) -> None:
    """A server is read in the same way, without showing its password; exit code 1 if it is gone."""
    with RedisServer(tmp_path, "--requirepass", "secret") as server:
        url = server.url.replace("redis://", "redis://:secret@")
        open_store(url).spend("a", "m", TokenTotals(1, 2, 0, 3))
        result = invoke("limits", "--store", url, "--json", "cerebras/code-max")
        view = json.loads(result.stdout)
        assert view["store"] == f"{server.url}/0"
        assert requests(view) == 1
        assert view["buckets"][0]["name"] == "cerebras/code-max:m"
    gone = invoke("limits", "--store", url)
    assert (gone.exit_code, gone.stdout) == (1, "")
    assert gone.stderr.startswith(f"batchwrap: {server.url}/0: ")
    assert "secret" not in result.output + gone.output
