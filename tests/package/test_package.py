"""What is published: what stands in it, and that it works where there is nothing else.

`make build` runs this on the files that it has made; elsewhere there is nothing to look at.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tomllib
import venv
from email.parser import HeaderParser
from pathlib import Path
from zipfile import ZipFile

import pytest

import batchwrap
from batchwrap.cli.checkup import EXTRAS

ROOT = Path(__file__).parent.parent.parent
DIST = ROOT / os.environ.get("BATCHWRAP_TEST_DIST", "")

pytestmark = pytest.mark.skipif(DIST == ROOT, reason="`make build` runs this")

# Modules that want no package but the extra's own.
DOORS = {
    "openai": ["openai", "batchwrap.adapters.httpx2"],
    "httpx": ["batchwrap.adapters.httpx"],
    "httpx2": ["batchwrap.adapters.httpx2"],
    "litellm": ["litellm"],
    "redis": ["batchwrap.throttle.stores.redis", "batchwrap.memory_stores.redis_memory"],
    "memory": ["batchwrap.memory_stores.shared"],
    "otel": ["batchwrap.observe.spans"],
    "lab": ["batchwrap.lab.lab_server"],
    "plot": ["matplotlib"],
}


def the(pattern: str) -> Path:
    """The one file in the folder that is called so."""
    (found,) = DIST.glob(pattern)
    return found.resolve()


def environment(folder: Path, wants: str) -> Path:
    """The programs of a new environment that has the wheel, with this extra if one is named."""
    venv.create(folder, with_pip=False)
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    pip = [sys.executable, "-m", "pip", "--python", str(programs / "python"), "install", "-q"]
    subprocess.run([*pip, f"{the('*.whl')}{wants}"], check=True)
    return programs


def ran(*command: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A program that has ended, in an environment without this one's paths."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [*map(str, command)], capture_output=True, text=True, cwd=cwd, env=clean, check=False
    )


def test_metadata() -> None:
    """The wheel says what it is, under which licence, and which extras there are."""
    with ZipFile(the("*.whl")) as wheel:
        (name,) = (it for it in wheel.namelist() if it.endswith(".dist-info/METADATA"))
        said = HeaderParser().parsestr(wheel.read(name).decode())
        names = wheel.namelist()
    assert (said["Name"], said["Version"]) == ("batchwrap", batchwrap.__version__)
    assert (said["License-Expression"], said["License-File"]) == ("MIT", "LICENSE")
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert "batchwrap/py.typed" in names
    assert set(said.get_all("Provides-Extra") or ()) == {*EXTRAS, "all"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert said.get_all("Classifier") == sorted(project["classifiers"])


def test_the_size_of_the_wheel() -> None:
    """It stays small enough for an image or a function in a cloud."""
    assert the("*.whl").stat().st_size < 3_000_000


def test_what_is_in_the_wheel() -> None:
    """Every file of the package that git has, and nothing else."""
    with ZipFile(the("*.whl")) as wheel:
        found = {name for name in wheel.namelist() if ".dist-info/" not in name}
    listed = subprocess.run(
        ["git", "ls-files", "batchwrap"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert found == set(listed.stdout.split())


def test_the_sdist_is_whole(tmp_path: Path) -> None:
    """The wheel that is built from the sdist is that of the sources, to the byte."""
    with tarfile.open(the("*.tar.gz")) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    for path in ("tests/package", "conftest.py", "docs", "examples/README.md", "CHANGELOG.md"):
        assert (source / path).exists()
    here, there = tmp_path / "here", tmp_path / "there"
    for folder, project in ((here, ROOT), (there, source)):
        pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder)]
        subprocess.run([*pip, str(project)], check=True)
    (one,), (other,) = here.iterdir(), there.iterdir()
    assert one.read_bytes() == other.read_bytes()


def test_without_extras(tmp_path: Path) -> None:
    """The library works by itself, with its data; the command line says what it needs."""
    programs = environment(tmp_path / "bare", "")
    worked = ran(programs / "python", ROOT / "benchmarks/installed.py", cwd=tmp_path)
    assert (worked.returncode, worked.stderr) == (0, "")
    refused = ran(programs / "batchwrap", "demo", cwd=tmp_path)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == (
        'batchwrap: typer is not installed; it comes with: pip install "batchwrap[cli]"\n'
    )


@pytest.mark.parametrize("extra", DOORS)
def test_an_extra_alone(extra: str, tmp_path: Path) -> None:
    """What an extra is for works with this extra alone."""
    programs = environment(tmp_path / "one", f"[{extra}]")
    for module in DOORS[extra]:
        imported = ran(programs / "python", "-c", f"import {module}", cwd=tmp_path)
        assert imported.returncode == 0, imported.stderr


def test_the_command_line(tmp_path: Path) -> None:
    """`cli` brings all that the demo wants; doctor is content, and names what is missing."""
    programs = environment(tmp_path / "cli", "[cli]")
    shown = ran(programs / "batchwrap", "demo", "--time-scale", "100", cwd=tmp_path)
    [announced] = shown.stderr.splitlines()
    assert shown.returncode == 0 and announced.startswith("An agent does one job")
    examined = ran(programs / "batchwrap", "doctor", cwd=tmp_path)
    assert (examined.returncode, examined.stderr) == (0, "")
    assert 'matplotlib: pip install "batchwrap[plot]"' in examined.stdout
    refused = ran(programs / "batchwrap", "serve", "--upstream", "http://x.test", cwd=tmp_path)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert 'pip install "batchwrap[serve]"' in refused.stderr


def test_serve(tmp_path: Path) -> None:
    """`serve` brings all that the endpoint wants."""
    programs = environment(tmp_path / "serve", "[serve]")
    command = [str(programs / "batchwrap"), "serve", "--upstream", "http://x.test", "--port", "0"]
    with subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "base_url" in process.stdout.readline()
        process.terminate()
        assert process.wait(60) == 0
