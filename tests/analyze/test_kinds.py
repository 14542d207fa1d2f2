"""What a call does, by its tool's name and arguments."""

from __future__ import annotations

from typing import Any

import pytest

from batchwrap.analyze.kinds import Deed, deed_of, is_batch
from batchwrap.analyze.shell import kind_of

PATCH = "*** Begin Patch\n*** Update File: src/a.py\n@@\n-x\n+y\n*** End Patch"


@pytest.mark.parametrize(
    ("name", "arguments", "deed"),
    [
        ("Read", {"file_path": "a.py", "offset": 1, "limit": 2}, Deed("read", "a.py", True)),
        ("read_file", {"absolute_path": "/a.py"}, Deed("read", "/a.py", True)),
        ("Grep", {"pattern": "x", "output_mode": "content"}, Deed("search", None, True)),
        ("list_dir", {"path": "src"}, Deed("search", "src", True)),
        ("Write", {"file_path": "a.py", "content": "x"}, Deed("write", "a.py", True)),
        ("Edit", {"file_path": "a", "old_string": "x", "new_string": "y", "replace_all": True},
         Deed("edit", "a", True)),
        ("str_replace_editor", {"command": "view", "path": "a"}, Deed("read", "a", False)),
        ("str_replace_editor", {"command": "undo_edit", "path": "a"}, Deed("other", None, False)),
        ("Bash", {"command": "cat a.py"}, Deed("shell_read", "a.py", False)),
        ("shell", {"command": ["bash", "-lc", "ls"]}, Deed("shell_search", None, False)),
        ("exec_command", {"cmd": "make"}, Deed("shell_other", None, False)),
        ("apply_patch", PATCH, Deed("edit", "src/a.py", False)),
        ("apply_patch", {"input": PATCH * 2}, Deed("multi_edit", "src/a.py", False)),
        ("read_multiple_files", {"paths": ["a", "b"]}, Deed("multi_read", None, False)),
        ("get_weather", {"city": "Bonn"}, Deed("other", None, False)),
        ("Read", "{broken", Deed("other", None, False)),
        ("Read", None, Deed("other", None, False)),
    ],
)  # fmt: skip
def test_deeds(name: str, arguments: Any, deed: Deed) -> None:
    """Kind, path, and whether batchwrap finds the tool by itself."""
    assert deed_of(name, arguments) == deed


@pytest.mark.parametrize(
    ("command", "kind", "path"),
    [
        ("cat a.py", "shell_read", "a.py"),
        ("cd src && sed -n '1,20p' a.py | head -5", "shell_read", "a.py"),
        ("cat a.py b.py", "shell_multiread", None),
        ("grep -rn 'a|b; c' src 2>/dev/null", "shell_search", None),
        ("git -C x status", "shell_other", None),
        ("git log --oneline | head", "shell_search", None),
        ("find . -name '*.py' -delete", "shell_other", None),
        ("cat > a.py <<'EOF'\nx > y\nEOF", "shell_write", "a.py"),
        ("sed -i s/x/y/ a.py", "shell_write", "a.py"),
        ("cat a.py > b.py && make", "shell_other", None),
        ("cat a.py && make", "shell_other", None),
        ("cat a.py | python -", "shell_other", None),
        ("echo 'unclosed", "shell_other", None),
        ("rm -r build", "shell_other", None),
        ("", "shell_other", None),
    ],
)
def test_shell(command: str, kind: str, path: str | None) -> None:
    """Only what is known for sure is a read, a search or a write."""
    assert kind_of(command) == (kind, path)


def test_batches() -> None:
    """A tool for several files is one; a single one is not."""
    assert [is_batch(name) for name in ("multi_read", "batch", "read_file")] == [True, True, False]
