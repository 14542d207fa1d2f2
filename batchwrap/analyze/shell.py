"""The kind of a shell command: a read of files, a search, a write of a file, or anything else.

A command counts as a read, a search or a write only if that is certain.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence

_READS = frozenset(["bat", "cat", "head", "less", "more", "nl", "open", "sed", "tail", "wc"])
_SEARCHES = frozenset(
    ("ag", "dir", "du", "fd", "file", "find", "find_file", "grep", "ls", "pwd", "rg", "stat")
) | {"search_dir", "search_file", "tree", "which"}
_FILTERS = frozenset(
    ("awk", "cat", "cut", "grep", "head", "nl", "rg", "sed", "sort", "tail", "tr", "uniq", "wc")
)
_GIT_LOOKS = frozenset(["blame", "diff", "grep", "log", "ls-files", "show", "status"])
_WRITES = frozenset(["create", "tee", "apply_patch"])
_SILENT = re.compile(r"\d?>(&\d|\s*/dev/null)")
_REDIRECT = re.compile(r">>?\s*(?P<path>[^\s>&|;]+)")
_HEREDOC = re.compile(r"<<-?\s*['\"]?(\w+)['\"]?(?P<rest>[^\n]*)\n.*?\n\s*\1\s*$", re.DOTALL)
_BETWEEN = frozenset(["&&", "||", ";", "&", ";;"])
# The beginning of a long script suffices to recognise it.
_LONGEST = 20_000

_Pipeline = list[list[str]]


def kind_of(command: str) -> tuple[str, str | None]:
    """The kind of a command, and its path; the path is None if it has several, or none.

    >>> kind_of("cd src && cat app.py")
    ('shell_read', 'app.py')
    >>> kind_of("rg -n 'def main' src | head")[0], kind_of("make test")[0]
    ('shell_search', 'shell_other')
    """
    text = _HEREDOC.sub(lambda found: found["rest"], _SILENT.sub("", command[:_LONGEST]))
    # Changing the folder neither reads nor writes, and agents begin most commands with it.
    steps = [step for step in _steps(text.strip()) if step[0][0] != "cd"]
    written = _REDIRECT.search(text)
    if written is not None and len(steps) == 1 and steps[0][0][0] in ("cat", "echo", "printf"):
        return "shell_write", written["path"].strip("'\"")
    if not steps or written is not None:
        return "shell_other", None
    did = [_step(step) for step in steps]
    paths = [path for _, paths in did for path in paths]
    return _together([kind for kind, _ in did], paths)


def _together(kinds: Sequence[str], paths: Sequence[str]) -> tuple[str, str | None]:
    path = paths[0] if len(set(paths)) == 1 else None
    if len(kinds) == 1 and kinds[0] == "shell_write":
        return kinds[0], path
    if not set(kinds) <= {"shell_read", "shell_search"}:
        return "shell_other", None
    if "shell_search" in kinds:
        return "shell_search", path
    return ("shell_read" if len(set(paths)) < 2 else "shell_multiread"), path


def _steps(text: str) -> list[_Pipeline]:
    """The pipelines of a line, each as the words of its commands; empty if it cannot be parsed."""
    lexer = shlex.shlex(text.replace("\n", " ; "), posix=True, punctuation_chars="|&;")
    lexer.whitespace_split, lexer.commenters = True, ""
    steps: list[_Pipeline] = [[[]]]
    try:
        for word in lexer:
            if word in _BETWEEN:
                steps.append([[]])
            elif word == "|":
                steps[-1].append([])
            else:
                steps[-1][-1].append(word)
    except ValueError:
        return []
    full = ([words for words in step if words] for step in steps)
    return [step for step in full if step]


def _step(commands: _Pipeline) -> tuple[str, list[str]]:
    """The kind of one pipeline, and the paths that it names."""
    # Behind a pipe, only commands that read their input and print are harmless.
    if any(words[0] not in _FILTERS for words in commands[1:]):
        return "shell_other", []
    name, *rest = commands[0]
    plain = [word for word in rest if not word.startswith("-")]
    if any(_changes(words) for words in commands):
        return "shell_write" if name == "sed" and len(commands) == 1 else "shell_other", plain[-1:]
    if name == "git":
        return ("shell_search" if plain[:1] and plain[0] in _GIT_LOOKS else "shell_other"), []
    if name in _SEARCHES:
        return "shell_search", []
    if name in _READS:
        return "shell_read", list(_files(plain))
    return ("shell_write", plain[:1]) if name in _WRITES else ("shell_other", [])


def _changes(words: Sequence[str]) -> bool:
    """Whether a command that usually only reads changes something with these options."""
    in_place = words[0] == "sed" and any(word.startswith(("-i", "--in-place")) for word in words)
    return in_place or (words[0] == "find" and bool({"-delete", "-exec"} & set(words)))


def _files(words: Sequence[str]) -> Iterator[str]:
    """The words that can be files: no numbers, no line ranges, no scripts of sed."""
    return (word for word in words if re.search(r"[A-Za-z_]", word) and not word.endswith("p"))
