"""`batchwrap doctor`: what it finds, what it advises, and its exit codes."""

from __future__ import annotations

import json
import math
import re
import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from batchwrap.cli import checkup, trials
from batchwrap.cli.checkup import EXTRAS
from batchwrap.lab import Call, Lab, RateLimit, Reply
from batchwrap.options import Throttle
from batchwrap.throttle.budget import Budget
from tests.cli.commands import invoke, subprocess_of


def findings(*arguments: str, code: int = 0, **options: Any) -> dict[str, dict[str, Any]]:
    """What it finds, by part and name."""
    result = invoke("doctor", "--json", *arguments, **options)
    assert result.exit_code == code, result.output
    told = json.loads(result.stdout)
    assert told["healthy"] is (code == 0)
    return {f"{one['part']}/{one['name']}": one for one in told["findings"]}


def test_adapters() -> None:
    """Each adapter whose library is there works; what is not there is said with its extra."""
    found = findings()
    for name, trial in trials.trials().items():
        one = found.get(f"adapters/{name}", {})
        if find_spec(trial.module.partition(".")[0]):
            assert one["state"] == "ok" and one["found"].startswith("works ("), one
        elif trial.extra is not None:
            assert one["state"] == "missing"
            assert one["hint"] == f'pip install "batchwrap[{trial.extra}]"'
        else:
            assert one == {}, "who does not use an SDK need not hear of it"
    assert found["versions/openai"]["found"][0] in "23"


def test_a_table() -> None:
    """In a pipe it is plain rows, and what to do about what is missing below them."""
    result = invoke("doctor", "--model", "gpt-4-turbo", env={"FORCE_COLOR": "1"})
    assert (result.exit_code, result.stderr) == (0, "")
    assert "\x1b" not in result.stdout
    rows = [re.split("  +", line, maxsplit=3) for line in result.stdout.splitlines()]
    assert ["model", "encoding", "ok", "cl100k_base, which comes with the package"] in rows
    [[found]] = [row[3:] for row in rows if row[:3] == ["adapters", "OpenAI", "ok"]]
    assert re.fullmatch(r"works \([\d,]+ ms, imports [\d,]+ ms\)", found)


def test_an_adapter_that_does_not_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exit code is 1, and it is said what went wrong."""
    monkeypatch.setattr(trials, "_MULTI_CALL", Call("unknown", {}))
    one = findings(code=1)["adapters/OpenAI"]
    assert one["state"] == "failed"
    assert one["found"] == "TrialFailed: the model's multi-call did not become single calls"
    assert "another version" in one["hint"]


@pytest.mark.parametrize(
    ("gone", "name", "extra"),
    [("openai", "adapters/OpenAI", "openai"), ("starlette", "adapters/all", "lab")],
)
def test_without_a_library(gone: str, name: str, extra: str) -> None:
    """What is not installed is no failure: it says what to install."""
    code = (
        f"import sys; sys.modules.update({{{gone!r}: None, 'litellm': None}})\n"
        "import batchwrap.cli as c\nsys.argv[1:] = ['doctor', '--json']\nc.main()"
    )
    ran = subprocess_of("-c", code)
    assert (ran.returncode, ran.stderr) == (0, "")
    found = {f"{one['part']}/{one['name']}": one for one in json.loads(ran.stdout)["findings"]}
    assert found[name]["state"] == "missing"
    assert found[name]["hint"] == f'pip install "batchwrap[{extra}]"'


def test_every_extra_is_looked_at() -> None:
    """The packages are those of the extras that the project declares."""
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    extras = tomllib.loads(text)["project"]["optional-dependencies"]
    for extra, packages in EXTRAS.items():
        declared = " ".join(extras[extra])
        assert all(package in declared for package in packages)
    assert extras.keys() - {"all"} <= EXTRAS.keys()


@pytest.mark.parametrize(
    ("model", "encoding", "thinking"),
    [
        ("gpt-3.5-turbo", "cl100k_base", "not known to think"),
        ("cerebras/gpt-oss-120b", "o200k_base", "thinks, so it is not reminded to prefetch"),
    ],
)
def test_a_model(model: str, encoding: str, thinking: str) -> None:
    """Which of the bundled tables counts its tokens, and what else is known of it."""
    found = {one.name: one.found for one in checkup.model(model)}
    assert found["encoding"].startswith(encoding)
    assert found["thinking"] == thinking


def test_a_store(tmp_path: Path) -> None:
    """A store that is there is read; one that will be made is not made by looking."""
    file = tmp_path / "budget.db"
    [found] = checkup.store(f"sqlite:///{file}")
    assert found.found == f"{file} does not exist yet; the first request creates it"
    assert not file.exists()
    Budget(Throttle(store=f"sqlite:///{file}")).limiter.store.usage()
    assert "0 lines" in next(checkup.store(f"sqlite:///{file}")).found
    assert findings("--store", "memory")["store/memory"]["state"] == "ok"


@pytest.mark.parametrize("url", ["sqlite:////no/such/folder/x.db", "redis://:hush@127.0.0.1:1"])
def test_a_store_that_is_not_there(url: str) -> None:
    """The exit code is 1, the policy for it is named, and no password is shown."""
    if url.startswith("redis"):
        pytest.importorskip("redis")
    result = invoke("doctor", "--store", url)
    assert result.exit_code == 1
    assert "StoreUnavailable" in result.stdout and "store_down" in result.stdout
    assert "hush" not in result.output


def test_a_host() -> None:
    """The plans of a known host are named, an unknown one is told what to do; none is called."""
    known = findings("--base-url", "https://api.cerebras.ai/v1")
    assert known["host/provider"]["found"] == "cerebras"
    assert "cerebras/code-max" in known["host/plans"]["found"]
    [unknown] = checkup.host("http://127.0.0.1:1/v1")
    assert unknown.hint.startswith("pass limits=")


def test_a_call() -> None:
    """Asked for it, it sends one request to the endpoint, and tells which limits that names."""
    limits = [RateLimit("requests", 30, 60)]
    with Lab(
        lambda _: Reply("ok"), limits=limits, api_keys=["k"], tokens_per_s=math.inf, ttft_s=0
    ) as lab:
        asked = ["--base-url", lab.base_url, "--call", "--model", "m", "--api-key-env", "KEY"]
        one = findings(*asked, env={"KEY": "k"})["host/call"]
        assert lab.round_trips == 1
        wrong = findings(*asked, env={"KEY": "wrong"}, code=1)["host/call"]
        without = findings(*asked[:-2], code=1)["host/call"]
    assert without["hint"].startswith("No API key was sent. If the endpoint wants one, --api-key")
    assert one["found"] == "answers; limits that it names: 30 requests"
    assert wrong["found"].startswith("AuthenticationError")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--call"], "--call: needs --base-url"),
        (["--base-url", "x.test"], "--base-url: "),
        (["--base-url", "http://x.test", "--call"], "--model: is needed with --call"),
        (
            ["--base-url", "http://x.test", "--call", "--model", "m", "--api-key-env", "K"],
            "K is not",
        ),
        (["--api-key-env", "KEY"], "--api-key-env: "),
        (["--store", "mongo://x"], "--store: "),
    ],
)
def test_wrong_usage(arguments: list[str], named: str) -> None:
    """The exit code is 2, and one line says what is wrong."""
    result = invoke("doctor", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert named in result.stderr and result.stderr.count("\n") == 1


def test_help() -> None:
    """The help has examples and the exit codes."""
    shown = invoke("doctor", "--help").stdout
    assert "Examples:\n    batchwrap doctor\n" in shown
    assert "1 something does not" in shown


def test_progress_is_for_terminals() -> None:
    """Nothing is said on stderr while it looks around, unless that is a terminal."""
    result = invoke("doctor", env={"FORCE_COLOR": "1"})
    assert (result.exit_code, result.stderr) == (0, "")
