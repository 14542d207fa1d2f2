"""A small Python project with one tedious job: a function has to be renamed everywhere.

The sources are text files in ``template/``, so that no linter takes them for a part of batchwrap.
``create`` writes them into a folder. An agent then does the job with its tools, and the project's
own tests check the result.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from batchwrap.demo import project_tests

OLD_NAME = "parse_amount"
NEW_NAME = "parse_money"

_SUFFIX = ".txt"
_PROMPT = """\
Please rename the function {old} to {new} in the whole project. It is mentioned in these files:

{files}

Read them first. Other names that merely contain {old} stay as they are. There must be no alias
left behind under the old name. Run the tests when you are done; they have to pass.
"""


@dataclass(frozen=True, slots=True)
class Project:
    """A project on disk, and the job to be done in it.

    Attributes:
        root: the folder that it is in.
        files: paths of the files that mention the function, relative to the root.
        old_name: what the function is called.
        new_name: what it is to be called.
        prompt: the user's message to the agent; names all the files.
    """

    root: Path
    files: tuple[str, ...]
    old_name: str
    new_name: str
    prompt: str

    def run_tests(self) -> tuple[bool, str]:
        """Run the project's own tests: whether they passed, and what they printed."""
        return project_tests.run_tests(self.root)

    def tools(self) -> dict[str, tuple[dict[str, Any], Callable[[], str]]]:
        """The tool `run_tests` for an agent: by name its schema and what it does."""
        return {"run_tests": (project_tests.SCHEMA, lambda: self.run_tests()[1])}

    def renamed(self) -> bool:
        """Whether the whole job is done.

        The old name is no longer a word of any file, the new one is in every file of `files`,
        longer names that contain the old one are where they were, and the tests pass.
        """
        word, longer = _word(self.old_name), re.compile(rf"\w*{re.escape(self.old_name)}\w*")
        for path, before in template():
            file = self.root / path
            if not file.is_file():
                return False
            now = file.read_text(encoding="utf-8")
            kept = set(longer.findall(before)) - {self.old_name}
            if word.search(now) or not kept <= set(longer.findall(now)):
                return False
            if path in self.files and not _word(self.new_name).search(now):
                return False
        return self.run_tests()[0]


def create(root: str | os.PathLike[str]) -> Project:
    """Write the project into a folder, which is made if need be.

    Raises:
        FileExistsError: there is something in the folder already.
    """
    folder = Path(root).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty")
    for path, source in template():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(source, encoding="utf-8", newline="\n")
    return project_in(folder)


def project_in(root: Path) -> Project:
    """The project whose files stand in a folder, and the job to be done in it."""
    files = [path for path, source in template() if _word(OLD_NAME).search(source)]
    named = "\n".join(f"- {path}" for path in files)
    prompt = _PROMPT.format(old=OLD_NAME, new=NEW_NAME, files=named)
    return Project(root, tuple(files), OLD_NAME, NEW_NAME, prompt)


def template() -> Iterator[tuple[str, str]]:
    """Path and content of every file of the project as it is before, in a fixed order."""
    yield from _below(resources.files("batchwrap.demo") / "template", "")


def rename_calls(
    files: dict[str, str], old_name: str, new_name: str
) -> list[tuple[str, dict[str, Any]]]:
    """The edits that rename a function, as a scripted model makes them.

    An edit replaces exact text, and `old_name` may be a part of longer names. If a plain
    replacement would damage one, the edit includes as many neighbouring characters as are needed
    to match only the right places.

    Args:
        files: path to content, as read.
        old_name: an identifier.
        new_name: another.

    Returns:
        Tool name (always ``edit_file``) and arguments, in the order of the files; none for a
        file without the name.
    """
    return [
        ("edit_file", {"path": path, "old_string": old, "new_string": new, "replace_all": True})
        for path, content in files.items()
        for old, new in _edits(content, _word(old_name), new_name)
    ]


_RENAME = """\
async def rename(path, text):
    names = set(re.findall(r"\\w*{old}\\w*", text))
    olds = ["{old}"] if names == {{"{old}"}} else set(re.findall(r"\\W{old}\\W", text))
    for old in sorted(olds):
        new = old.replace("{old}", "{new}")
        await edit_file(path=path, old_string=old, new_string=new, replace_all=True)

texts = await asyncio.gather(*[read_file(path=path) for path in paths])
await asyncio.gather(*[rename(path, text) for path, text in zip(paths, texts)])
"""


def rename_program(old_name: str, new_name: str) -> str:
    """The program that renames a function in all files of the variable `paths`.

    It is what a scripted model writes, if it can. In a file with longer names that contain the
    old one, each edit takes in the characters around it, so that those names stay.

    Args:
        old_name: an identifier.
        new_name: another identifier.
    """
    return _RENAME.format(old=old_name, new=new_name)


def list_of(paths: Sequence[str]) -> str:
    """The line of a program that sets the variable `paths`."""
    return f"paths = {json.dumps(list(paths))}\n"


def _edits(text: str, word: re.Pattern[str], new_name: str) -> Iterator[tuple[str, str]]:
    goal = word.sub(new_name, text)
    while match := word.search(text):
        width = 0
        while True:
            old = text[max(match.start() - width, 0) : match.end() + width]
            new = word.sub(new_name, old)
            after = text.replace(old, new)
            # The edit may leave something to be done, but the goal must still be reachable.
            if word.sub(new_name, after) == goal:
                break
            width += 1
        yield old, new
        text = after


def _word(name: str) -> re.Pattern[str]:
    return re.compile(rf"\b{re.escape(name)}\b")


def _below(folder: Traversable, prefix: str) -> Iterator[tuple[str, str]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        path = prefix + entry.name
        if entry.is_dir():
            yield from _below(entry, f"{path}/")
        else:
            yield path.removesuffix(_SUFFIX), entry.read_text(encoding="utf-8")
