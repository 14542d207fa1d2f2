"""The examples run as they stand, against the simulated provider."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from batchwrap.cli.app import app
from batchwrap.lab import Call, FileReader, Lab, Reply
from batchwrap.throttle.stores import open_store
from tests.throttle.redis_server import BINARY, REQUIRED, RedisServer

EXAMPLES = Path(__file__).parent.parent / "examples"
# One is no program, the others ask in a way of their own; each of these has a test below.
OTHERS = ("loop.py", "plan_and_build.py", "distil_and_refine.py", "own_directive.py")
HERE = [
    # Each starts a process that loads an SDK, which takes seconds: the first one is run everywhere.
    pytest.param(path.name, marks=() if path.name == "coding_agent.py" else pytest.mark.thorough)
    for path in sorted(EXAMPLES.glob("*.py"))
    if path.name not in OTHERS and ("litellm" not in path.name or find_spec("litellm"))
]


def run(name: str, lab: Lab, folder: Path, *tasks: str, api_key: str = "k", **more: str) -> str:
    """What an example prints, in a folder where it works on these tasks."""
    environment = {
        **os.environ,
        "OPENAI_BASE_URL": lab.base_url,
        "OPENAI_API_KEY": api_key,
        "MODEL": "openai/m",
        "PYTHONWARNINGS": "ignore",
        **more,
    }
    done = subprocess.run(
        [sys.executable, EXAMPLES / name, *tasks],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def make_files(folder: Path, count: int = 5) -> list[str]:
    """Some files to read."""
    files = [f"part_{number}.py" for number in range(count)]
    for file in files:
        (folder / file).write_text(f"NAME = {file!r}\n")
    return files


@pytest.mark.parametrize("name", HERE)
def test_example(name: str, tmp_path: Path) -> None:
    """It reads the files of its task, most of them in one round trip, and ends well."""
    files = make_files(tmp_path)
    with Lab(FileReader(), tokens_per_s=math.inf, ttft_s=0) as lab:
        assert "Done." in run(name, lab, tmp_path, "Read " + " and ".join(files))
        # All five at once, as the reminder in the prompt asks, and the last word.
        assert lab.round_trips == 2
        sent = lab.journal[-1].body.decode()
        assert all(f"NAME = '{file}'" in sent for file in files)


@pytest.mark.thorough
def test_scripts(tmp_path: Path) -> None:
    """A program of the model's edits what it has read, in two round trips."""
    make_files(tmp_path, 3)
    code = (
        'paths = [f"part_{number}.py" for number in range(3)]\n'
        "texts = await asyncio.gather(*[read_file(path=path) for path in paths])\n"
        "for path, text in zip(paths, texts):\n"
        '    if "NAME" in text:\n'
        '        await edit_file(path=path, old_string="NAME", new_string="NAMED")\n'
    )
    answers = [Reply(calls=(Call("run_script", {"code": code}),)), Reply("All named.")]
    with Lab(lambda request: answers.pop(0), tokens_per_s=math.inf, ttft_s=0) as lab:
        printed = run("scripts.py", lab, tmp_path, "Name them all.")
    assert printed.splitlines() == [
        "1 script(s) made 6 calls",
        "3 round trips saved, 2 made",
        "All named.",
    ]
    assert (tmp_path / "part_2.py").read_text() == "NAMED = 'part_2.py'\n"


@pytest.mark.thorough
def test_several_keys(tmp_path: Path) -> None:
    """All keys are used, each conversation stays with one, and no key is printed."""
    tasks = [f"Read {file}." for file in make_files(tmp_path)]
    keys = ["sk-one", "sk-two"]
    with Lab(FileReader(), api_keys=keys, tokens_per_s=math.inf, ttft_s=0) as lab:
        printed = run("several_keys.py", lab, tmp_path, *tasks, api_key=",".join(keys))
        took = {
            (it.json["messages"][0]["content"], it.headers["authorization"]) for it in lab.journal
        }
    assert printed.count("Done.") == len(tasks)
    assert sorted(task for task, _ in took) == tasks
    assert {key for _, key in took} == {"Bearer sk-one", "Bearer sk-two"}
    assert "sk-" not in printed


@pytest.fixture(params=["sqlite", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty store that processes share."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'budget.db'}"
        return
    if BINARY is None and not REQUIRED:
        pytest.skip("redis-server is not installed")
    with RedisServer(tmp_path) as server:
        yield server.url


@pytest.mark.thorough
def test_several_processes(store: str, tmp_path: Path) -> None:
    """What all processes have spent stands in one store."""
    tasks = [f"Read {file}." for file in make_files(tmp_path)[:3]]
    with Lab(FileReader(), tokens_per_s=math.inf, ttft_s=0) as lab:
        printed = run("several_processes.py", lab, tmp_path, *tasks, STORE=store)
        assert printed.count("Done.") == len(tasks)
        with closing(open_store(store)) as opened:
            days = [line.spent for line in opened.usage() if line.span == "day"]
        assert sum(spent.requests for spent in days) == lab.round_trips == 2 * len(tasks)
        real = sum(entry.prompt_tokens for entry in lab.journal)
        assert sum(spent.prompt_tokens for spent in days) == real


@pytest.mark.thorough
def test_async_agents(tmp_path: Path) -> None:
    """All agents work at the same time, but never more than eight, and all come to their end."""
    files = make_files(tmp_path)
    tasks = [f"Read {file}." for file in files * 4]
    with Lab(FileReader(), tokens_per_s=math.inf, ttft_s=0.05) as lab:
        printed = run("async_agents.py", lab, tmp_path, *tasks)
        assert lab.round_trips == 2 * len(tasks)
        assert 1 < most_at_once(lab) <= 8
    assert printed.count("Done.") == len(tasks)


def most_at_once(lab: Lab) -> int:
    """How many requests were being answered at the same time."""
    return max(
        sum(other.started_s <= one.started_s < other.ended_s for other in lab.journal)
        for one in lab.journal
    )


@pytest.mark.thorough
def test_plan_and_build(tmp_path: Path) -> None:
    """Planning reads all files in one request, building edits all in another, in one history."""
    files = make_files(tmp_path)

    def job(read: dict[str, str], request: dict[str, Any]) -> list[Call]:
        if "Carry it out" not in str(request["messages"]):
            return []
        edits = ({"path": it, "old_string": "NAME", "new_string": "TITLE"} for it in files)
        return [Call("edit_file", edit) for edit in edits]

    with Lab(FileReader(job), tokens_per_s=math.inf, ttft_s=0) as lab:
        printed = run("plan_and_build.py", lab, tmp_path, f"Rename NAME in {' and '.join(files)}.")
        bodies = [entry.json["messages"] for entry in lab.journal]
    assert printed.count("Done.") == 2
    assert all("TITLE" in (tmp_path / file).read_text() for file in files)
    # Two requests for the plan, the second one with all files; two to carry it out.
    assert len(bodies) == 4
    assert "before you begin, read all files" in bodies[0][-1]["content"]
    assert "from here on, make all changes" in bodies[2][-1]["content"]
    assert bodies[3][: len(bodies[0])] == bodies[0]


@pytest.mark.thorough
def test_distil_and_refine(tmp_path: Path) -> None:
    """As many drafts as asked for, one request that has all of them, and one agent that checks."""
    make_files(tmp_path)
    with Lab(FileReader(final="Found it."), tokens_per_s=math.inf, ttft_s=0) as lab:
        printed = run("distil_and_refine.py", lab, tmp_path, "What is in part_0.py?", N="3")
        bodies = [entry.json for entry in lab.journal]
    assert printed.startswith("Found it.\n")
    (distilling,) = [it["messages"][-1]["content"] for it in bodies if not it.get("tools")]
    assert distilling.count("Found it.") == 3
    assert len(bodies) == 3 * 2 + 1 + 2
    assert "Check this answer" in bodies[-1]["messages"][0]["content"]


@pytest.mark.thorough
def test_own_directive(tmp_path: Path) -> None:
    """The user's own words reach the model, with the tools that the request has."""
    files = make_files(tmp_path, 9)
    with Lab(FileReader(habit_turns=0), tokens_per_s=math.inf, ttft_s=0) as lab:
        assert "Done." in run("own_directive.py", lab, tmp_path, "Read " + " and ".join(files))
        sent = lab.journal[-1].body.decode()
    assert "read all of them in one multi_read call." in sent
    assert "what you add with edit_file is written as" in sent


def test_own_provider() -> None:
    """The file of the example passes the check that its first lines name."""
    checked = CliRunner().invoke(app, ["limits", str(EXAMPLES / "own_provider.toml"), "--json"])
    assert checked.exit_code == 0
    (provider,) = json.loads(checked.stdout)["providers"]
    assert [plan["name"].partition("#")[2] for plan in provider["plans"]] == ["team"]
    assert len(provider["plans"][0]["limits"]) == 4


def test_all_are_listed() -> None:
    """The page beside the examples names each of them."""
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    for path in [*EXAMPLES.glob("*.*"), EXAMPLES / "frameworks"]:
        assert path.name == "README.md" or f"({path.name})" in page
