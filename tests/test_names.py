"""A public class or module name stands for one thing: a line of a traceback says where it is."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "batchwrap"

# One class for each of two HTTP libraries that are built alike, and what both derive from.
BINDINGS = {"AsyncStream", "AsyncTransport", "SyncStream", "Transport"}
# Public names, and what they stand for inside.
PUBLIC = {"Call", "Entry", "Report", "Settings"}
# The option, and the room of the core that obeys it; the file tools, and the agent's tools.
PUBLIC_MODULES = {"directives", "modes", "tools"}
# The folders of the formats are built alike.
FORMATS = PACKAGE / "core" / "formats"


# Still to be renamed; who renames one takes it out of here.
CLASSES = {"AsyncWireResponse", "Meter", "Stream"}
MODULES = {"memory"}


def doubles(places: dict[str, list[str]]) -> set[str]:
    """The names that stand in more than one place."""
    return {name for name, found in places.items() if len(found) > 1}


def test_classes() -> None:
    """No two public classes have the same name."""
    places: dict[str, list[str]] = defaultdict(list)
    for path in PACKAGE.rglob("*.py"):
        for node in ast.parse(path.read_bytes()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(str(path))
    assert doubles(places) - BINDINGS - PUBLIC == set()


def test_modules() -> None:
    """No two modules or packages have the same name, but for the parts of a format."""
    places: dict[str, list[str]] = defaultdict(list)
    for path in PACKAGE.rglob("*.py"):
        if path.parent.parent == FORMATS and path.stem != "__init__":
            continue
        name = path.parent.name if path.stem == "__init__" else path.stem
        places[name].append(str(path))
    del places["__main__"]
    assert doubles(places) - PUBLIC_MODULES == set()
