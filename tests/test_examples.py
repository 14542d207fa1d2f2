"""The examples run as they stand, against the simulated provider."""

import math
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from batchwrap.lab import FileReader, Lab

EXAMPLES = Path(__file__).parent.parent / "examples"
HERE = [
    path.name
    for path in sorted(EXAMPLES.glob("*.py"))
    if "litellm" not in path.name or find_spec("litellm")
]


@pytest.mark.parametrize("name", HERE)
def test_example(name: str, tmp_path: Path) -> None:
    """It reads the files of its task, most of them in one round trip, and ends well."""
    files = [f"part_{number}.py" for number in range(5)]
    for file in files:
        (tmp_path / file).write_text(f"NAME = {file!r}\n")
    with Lab(FileReader(), tokens_per_s=math.inf, ttft_s=0) as lab:
        environment = {
            **os.environ,
            "OPENAI_BASE_URL": lab.base_url,
            "OPENAI_API_KEY": "k",
            "MODEL": "openai/m",
            "PYTHONWARNINGS": "ignore",
        }
        task = "Read " + " and ".join(files)
        done = subprocess.run(
            [sys.executable, EXAMPLES / name, task],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "Done." in done.stdout
        # Two single reads, the reminder, the other three at once, the last word.
        assert lab.round_trips == 4
        sent = lab.journal[-1].body.decode()
        assert all(f"NAME = '{file}'" in sent for file in files)
