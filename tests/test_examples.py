"""The examples run as they stand, against the simulated provider."""

import math
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from batchwrap.lab import FileReader, Lab
from batchwrap.throttle.stores import open_store

EXAMPLES = Path(__file__).parent.parent / "examples"
HERE = [
    path.name
    for path in sorted(EXAMPLES.glob("*.py"))
    if "litellm" not in path.name or find_spec("litellm")
]


def run(name: str, lab: Lab, folder: Path, *tasks: str, api_key: str = "k") -> str:
    """What an example prints, in a folder where it works on these tasks."""
    environment = {
        **os.environ,
        "OPENAI_BASE_URL": lab.base_url,
        "OPENAI_API_KEY": api_key,
        "MODEL": "openai/m",
        "PYTHONWARNINGS": "ignore",
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


def make_files(folder: Path) -> list[str]:
    """Five files to read."""
    files = [f"part_{number}.py" for number in range(5)]
    for file in files:
        (folder / file).write_text(f"NAME = {file!r}\n")
    return files


@pytest.mark.parametrize("name", HERE)
def test_example(name: str, tmp_path: Path) -> None:
    """It reads the files of its task, most of them in one round trip, and ends well."""
    files = make_files(tmp_path)
    with Lab(FileReader(), tokens_per_s=math.inf, ttft_s=0) as lab:
        assert "Done." in run(name, lab, tmp_path, "Read " + " and ".join(files))
        # Two single reads, the reminder, the other three at once, the last word.
        assert lab.round_trips == 4
        sent = lab.journal[-1].body.decode()
        assert all(f"NAME = '{file}'" in sent for file in files)


def test_several_keys(tmp_path: Path) -> None:
    """All keys are used, each conversation stays with one, and no key is printed."""
    tasks = [f"Read {file}." for file in make_files(tmp_path)]
    keys = ["sk-one", "sk-two"]
    with Lab(FileReader(), api_keys=keys, tokens_per_s=math.inf, ttft_s=0) as lab:
        printed = run("several_keys.py", lab, tmp_path, *tasks, api_key=",".join(keys))
        took = {
            (it.json["messages"][1]["content"], it.headers["authorization"]) for it in lab.journal
        }
    assert printed.count("Done.") == len(tasks)
    assert sorted(task for task, _ in took) == tasks
    assert {key for _, key in took} == {"Bearer sk-one", "Bearer sk-two"}
    assert "sk-" not in printed


def test_sqlite_processes(tmp_path: Path) -> None:
    """What all processes have spent stands in one file."""
    tasks = [f"Read {file}." for file in make_files(tmp_path)[:3]]
    with Lab(FileReader(), tokens_per_s=math.inf, ttft_s=0) as lab:
        assert run("sqlite_processes.py", lab, tmp_path, *tasks).count("Done.") == len(tasks)
        days = [
            line.spent
            for line in open_store(f"sqlite:///{tmp_path / 'budget.db'}").usage()
            if line.span == "day"
        ]
        assert sum(spent.requests for spent in days) == lab.round_trips == 2 * len(tasks)
        real = sum(entry.prompt_tokens for entry in lab.journal)
        assert sum(spent.prompt_tokens for spent in days) == real
