"""The agent's tools, which count their calls: files, a list, a search, and the task's tests."""

from __future__ import annotations

import json
from typing import Any

from batchwrap.demo.project_tests import SCHEMA as RUN_TESTS
from batchwrap.demo.project_tests import run_tests
from batchwrap.tools import Workspace

_MOST_LINES = 100


def _tool(name: str, description: str, pattern: str, required: list[str]) -> dict[str, Any]:
    properties = {"pattern": {"type": "string", "description": pattern}}
    parameters = {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }
    function = {"name": name, "description": description, "parameters": parameters}
    return {"type": "function", "function": function}


_LIST = _tool(
    "list_files",
    "List the files of the workspace, one a line.",
    "Only paths that fit it, such as src/**/*.py. Default: all.",
    [],
)
_SEARCH = _tool(
    "search_files",
    "Find the lines that contain a text, in all files. Gives path:line: text.",
    "The text, to the letter.",
    ["pattern"],
)


class AgentToolbox:
    """The agent's tools. Those for files are from `batchwrap.tools.Workspace`.

    Args:
        workspace: the folder.
        has_tests: whether there is a tool that runs the tests in the folder.

    Attributes:
        calls: the number of calls.
        errors: the number of calls that failed because of a mistake of the model.
    """

    def __init__(self, workspace: Workspace, *, has_tests: bool) -> None:
        self._workspace = workspace
        self._own = {"list_files": self._list, "search_files": self._search}
        self._has_tests = has_tests
        self.calls = self.errors = 0

    def schemas(self) -> list[dict[str, Any]]:
        """The tools as the request declares them."""
        tests = [RUN_TESTS] if self._has_tests else []
        return [*self._workspace.schemas(), _LIST, _SEARCH, *tests]

    def call(self, name: str, arguments: str) -> str:
        """Run a tool on JSON arguments; the result of a mistake begins with ``Error: ``."""
        text = self._run(name, arguments)
        self.calls += 1
        self.errors += text.startswith("Error: ")
        return text

    def _run(self, name: str, arguments: str) -> str:
        if name == "run_tests" and self._has_tests:
            return run_tests(self._workspace.root)[1]
        if name not in self._own:
            return self._workspace.call(name, arguments)
        try:
            return self._own[name](**json.loads(arguments or "{}"))
        except (TypeError, ValueError) as error:
            return f"Error: {error}"

    def _list(self, pattern: str | None = None) -> str:
        return "\n".join(self._workspace.list_files(str(pattern or "**/*"))) or "No file fits."

    def _search(self, pattern: str) -> str:
        if not pattern:
            raise ValueError("the pattern is empty")
        found = [
            f"{path}:{number}: {line}"
            for path in self._workspace.list_files()
            for number, line in enumerate(self._workspace.read_file(path).split("\n"), 1)
            if pattern in line
        ]
        more = [f"... and {len(found) - _MOST_LINES} more lines"] if found[_MOST_LINES:] else []
        return "\n".join(found[:_MOST_LINES] + more) or "No line contains it."
