"""How the tests are laid out: where they stand, what they import, and what runs with which SDK."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "tests").rglob("*.py"))
# Environments of their own, a page for type checkers, and bodies that any SDK sends alike.
LISTS = ("SDK_ITSELF", "SDK_TESTS", "LITELLM_TESTS")
ONCE = ("frameworks", "fuzz", "proxy", "real_models", "sdks", "typing")

# Folders of tests that belong to no part of the package.
APART = {
    *("benchmarks", "docs", "frameworks", "fuzz", "package", "proxy", "real_models", "sdks"),
    *("serve/agents", "transparency", "typing"),
}


@functools.cache
def imports(path: Path) -> frozenset[str]:
    """The modules that a file imports, wherever in the file it does."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add(str(node.module))
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(names)


def test_what_an_sdk_can_change() -> None:
    """A test that imports an SDK is one of those that run with each version of it."""
    makefile = (ROOT / "Makefile").read_text().replace("\\\n", " ").splitlines()
    lists = [line.split()[2:] for line in makefile if line.startswith(LISTS)]
    places = [ROOT / place for listed in lists for place in listed if place != "$(SDK_ITSELF)"]
    assert all(place.exists() for place in places)
    with_sdk = [
        path
        for path in MODULES
        if any(name.partition(".")[0] in ("openai", "litellm") for name in imports(path))
        and path.relative_to(ROOT / "tests").parts[0] not in ONCE
    ]
    assert with_sdk
    assert [p for p in with_sdk if not any(p.is_relative_to(place) for place in places)] == []


def test_helpers_stand_apart() -> None:
    """A test module imports nothing from another: what several need is in one without tests."""
    taken = {
        name
        for path in MODULES
        for name in imports(path)
        if name.startswith("tests.") and name.rpartition(".")[2].startswith("test_")
    }
    assert taken == set()


def test_folders_are_those_of_the_package() -> None:
    """Who looks for the tests of a part of the package finds them under its name."""
    folders = {path.parent.relative_to(ROOT / "tests").as_posix() for path in MODULES}
    assert folders >= APART
    assert [one for one in folders - APART if not (ROOT / "batchwrap" / one).is_dir()] == []
    # A part of the core that has parts of its own has its tests in as many folders.
    parts = {path.parent.name for path in (ROOT / "batchwrap" / "core").glob("*/__init__.py")}
    assert parts <= {one.removeprefix("core/") for one in folders}
