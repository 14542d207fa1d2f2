"""Reads tags and exit codes before or after the output of a command.

An exit code counts on a line of its own, among lines about the command and not among its output.
A log that ends with "Process exited with code 1" counts, too: if that is the result of a command,
the command has failed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from batchwrap.core.failures.status import ResultStatus

_MOST_AROUND = 10  # lines about the command that may surround an exit code
_MOST_LINES = 40
_LONGEST_LINE = 400

_WRAPPER = r"(?:<(?:\w{1,40}_)?(?:results?|output|response|observation|content)>\s*)?"
_ERROR = r"(?:tool_(?:use_|call_|execution_)?)?(?:error|failure)(?:\s[^>\n]{0,80})?"
_ERROR_TAG = re.compile(
    rf"{_WRAPPER}<{_ERROR}>|<status>\s*(?:error|failed|failure)\b"
    r"|<\w{1,40}(?:\s[^>\n]{0,200})?\s(?:status=[\"'](?:error|failed)|is_?error=[\"']true"
    r"|success=[\"']false)",
    re.IGNORECASE,
)
_DENIED_TAG = re.compile(
    rf"{_WRAPPER}<(?:\w{{1,40}}_)?(?:denied|rejected|declined|rejection|denial)>", re.IGNORECASE
)
_EXIT_TAG = re.compile(
    r"<(?:[\w-]{1,40}[_-])?(?:return_?code|exit[_-]?(?:code|status))>\s*(-?\d{1,10})\s*<",
    re.IGNORECASE,
)
_TAGS = 400  # characters at either end in which the tag of an exit code may stand

_SUBJECT = (
    r"(?:(?:the )?(?:command|(?:child )?process|shell|script|program|bash|task|tool|job|execution)"
    r"(?: \S{1,60})? (?:has )?(?:failed|exited|completed|finished|ended|terminated|returned)?,? ?"
    r"(?:with |by )?)?"
)
_NAME = (
    r"(?:(?:posix )?(?:exit(?:ed)?|return(?:ed)?)(?: with)?(?:[ _-]?(?:code|status|value))?"
    r"|returncode|code|status)"
)
_AFTER = r"(?: \(\w[\w ]{0,30}\))?(?: after [\d.]+ ?m?s(?:econds)?)?[\])>*`.!]*$"
# "Exit code: 1", "Process exited with code 1", "[The command completed with exit code 1.]"
_EXIT_LINE = re.compile(
    rf"[\[(<*`]*{_SUBJECT}(?:an? )?(?:non-?zero |error )?{_NAME}\s*(?:[:=]|was|of)?\s*[`'\"]?"
    rf"(-?\d{{1,10}})[`'\"]?{_AFTER}",
    re.IGNORECASE,
)
_SIGNAL_LINE = re.compile(
    r"[\[(<]*(?:the )?(?:command|process) (?:[^\n]{0,300}process )?(?:was )?"
    r"(?:terminated|killed) by signal \w+",
    re.IGNORECASE,
)
# "Wall time: 3 s", "Chunk ID: ab", "[Current working directory: /x]", "$ make test"
_AROUND = re.compile(
    r"[\[(]?[A-Z][\w ()-]{0,40}[:=] ?.{0,300}$|\$ .{0,300}$"
    r"|(?:command|process|ran|running|executed|executing) .{0,300}$",
    re.IGNORECASE,
)
_OUTPUT = re.compile(r"(?:std)?out(?:put)?:", re.IGNORECASE)


def status_of(head: str, tail: str) -> ResultStatus | None:
    """The status according to tags and exit codes; None if there are none.

    Args:
        head: the beginning of a result.
        tail: its end.
    """
    head = head.strip()
    if head.startswith("<"):
        if _DENIED_TAG.match(head):
            return ResultStatus.DENIED
        if _ERROR_TAG.match(head):
            return ResultStatus.FAILED
        tag = _EXIT_TAG.search(head, 0, _TAGS)
        code = int(tag[1]) if tag is not None else None
    else:
        code = _first_code(head.split("\n", _MOST_AROUND)[:_MOST_AROUND], head)
    if code is None:
        last = tail.rstrip().rsplit("\n", _MOST_AROUND)[-_MOST_AROUND:]
        code = _first_code(reversed(last), tail)
    if code is None:
        return None
    return ResultStatus.FAILED if code else ResultStatus.SUCCEEDED


def _first_code(lines: Iterable[str], text: str) -> int | None:
    """The first exit code on lines about a command, unless the text is a list of codes."""
    for line in lines:
        code = _code_in(line)
        if code is not None:
            return None if _is_list(text, code) else code
        if line.strip() and (_OUTPUT.match(line) or not _AROUND.match(line)):
            return None
    return None


def _code_in(line: str) -> int | None:
    if len(line) > _LONGEST_LINE:
        return None
    found = _EXIT_LINE.match(line.rstrip())
    if found is not None:
        return int(found[1])
    return 1 if _SIGNAL_LINE.match(line) else None


def _is_list(text: str, code: int) -> bool:
    """Whether other exit codes follow, as in documentation."""
    others = map(_code_in, text.split("\n", _MOST_LINES)[:_MOST_LINES])
    return any(other not in (None, code) for other in others)
