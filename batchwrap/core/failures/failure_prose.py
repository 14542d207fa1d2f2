"""Judges a short text by its words: whether it is an error or a refusal and nothing else.

A text that shows something (numbered lines, search hits, code, log records) is never a failure.
Of any other text the first sentence counts, after what agents put before a message.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from batchwrap.core.failures import failure_words
from batchwrap.core.failures.status import ResultStatus

_SUCCEEDED, _FAILED, _DENIED = ResultStatus.SUCCEEDED, ResultStatus.FAILED, ResultStatus.DENIED
_MOST_LEAD = 400  # characters of the beginning that are compared with the sentences
_MOST_MESSAGE = 1_200  # characters of an error that are searched for a refusal
_MOST_SHORT = (
    400  # characters of a text in which a later sentence counts: "Not applied. The user …"
)
_MOST_WRAPPERS = 6
_MOST_CLAUSES = 8
_MOST_WORDS = 40
_MOST_LINES = 60

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")

# What agents put before a message: apologies, fences, marks, tags, labels, the tool's name.
_RESULT = r"(?:results?|output|response|message|observation)"
_WRAPPER = re.compile(
    "|".join(
        (
            r"(?:oops|whoops|sorry|i'm sorry|apologies|unfortunately)[,.!:]*\s+(?:but )?",
            r"```\w*\n",
            r"\((?:empty|none|no output)\)\s*",
            r"[`'\"*>]+\s*|[^\w\[\](){}<#/\\$@=+~.:;`'\"*>-]+",
            rf"</?(?:\w{{1,40}}_)?(?:{_RESULT}|content|system|stdout|stderr)>\s*",
            rf"(?:(?:tool|function|mcp)?[ _-]?(?:call|use|execution)? ?{_RESULT}"
            r"|stderr|stdout|content|(?:tool|execution)?[ _]?error|tool|tool call failed)"
            r"(?: (?:of|for|from) [^\n:]{1,80})?\]?\s*:\s*",
            r"(?:[a-z][a-z0-9]{0,40}_\w{1,40}|edit|write|read|bash|shell|update|multiedit|run|patch)"
            r"(?:\([^)\n]{0,200}\))?\s*:\s+",
            r"\[[^\]\n]{1,200}\](?: ?result| ?output)?[:\s]*",
        )
    ),
    re.IGNORECASE,
)

# A text that shows something and is no message.
_SHOWN = re.compile(
    r"\d{1,7}[\t:|→│]|\[\d+\]\s|[^\s:]{1,300}\.\w{1,8}[:-]\d+[:-]|\.{0,2}/\S+:"  # lines, hits
    r"|diff --git|---? |\+\+\+ |@@ |commit [0-9a-f]{7}"
    r"|//|/\*|\* |#(?! ?\d+ (?i:search))|\"{3}|'{3}|<!|<file|--|\||- "  # comments, headings, lists
    r"|(?:fix|feat|chore|docs|refactor|tests?|style|perf|ci|build|revert)(?:\([\w-]+\))?!?: "
    r"|[\w.]+(?:\[\w*\])?\s*(?::\s*[\w\[\], .]+\s)?=[^=]"  # assignments
    r"|[\w.]+\??:\s[^\n]*,\s*(?:\n|$)|[a-z]\w*Error\??:"  # fields
    r"|(?:return|raise|throw|class|def|function|const|let|var|import|export|package|public|private"
    r"|static|assert|elif|except|catch|async|await|func|fn|pub|struct|impl|enum|interface)\b"
    r"[^\n]*[({\[=;:\"']"
    r"|[^\n]*(?:[{;]|[\"')\]}`],)\s*(?:\n|$)|[\"'][^\n]*[\[({]\s*(?:\n|$)"
)
_INDENTED_CODE = re.compile(r"(?:\t| {4})[^\n]{0,400}[{}();=`]")
# A line that begins another record: a level, a time, a search hit.
_RECORD = re.compile(
    r"\s*(?:\[?(?:INFO|WARN(?:ING)?|DEBUG|TRACE|NOTICE|LOG|STATEMENT|FATAL|CRITICAL)\b[\]:\s]"
    r"|\[?(?:info|warn(?:ing)?|debug|trace)\]?[:\]]"
    r"|\[?\d{4}-\d\d-\d\d[T ]|\[?\d\d:\d\d:\d\d|[^\s:]{1,300}\.\w{1,8}:\d+:)"
)

_SENTENCE = re.compile(r"[.!?;][\"'`*)]*(?:\s+|$|<)|\n+|\s\(|:\s+|\s[—–-]\s|<")
_CLAUSE = re.compile(rf"{_SENTENCE.pattern}|,\s+|\s(?:because|since)\s")
_COMMA = re.compile(r",\s+")
_FULL_STOP = re.compile(r"[.!?]\s+|\n+")
# A quoted or bracketed name counts as one word.
_WORD = re.compile(r"\"[^\"\n]{0,80}\"|`[^`\n]{0,80}`|\[[^\]\n]{0,80}\]|[\w'’./@-]+")


def cleaned(text: str) -> str:
    """A text without a terminal's escape sequences."""
    return _ESCAPES.sub("", text) if "\x1b" in text else text


def status_of(text: str) -> ResultStatus:
    """The status of a call according to a short text."""
    bare = text.strip()
    if not bare or _INDENTED_CODE.match(text) or _SHOWN.match(bare[:_MOST_LEAD]):
        return _SUCCEEDED
    for start in starts(bare.replace("**", "")):
        lead = start[:_MOST_LEAD].lower()
        status = _begins_with(lead)
        if status is not None:
            quotes = failure_words.FAILED_EDIT.match(
                lead
            )  # the rest may quote the text that was not found
            return status if quotes or not _is_list(start) else _SUCCEEDED
    if len(bare) <= _MOST_SHORT and not _is_list(bare) and any(map(_is_refusal, _others(bare))):
        return _DENIED
    return _FAILED if failure_words.FAILED_BEHIND.search(bare[-200:].lower()) else _SUCCEEDED


def tells_refusal(text: str) -> bool:
    """Whether an error text says that the call was denied."""
    lower = text[:_MOST_MESSAGE].strip().lower()
    if failure_words.REFUSAL_INSIDE.search(lower):
        return True
    if failure_words.NOT_A_REFUSAL.match(lower):
        return False
    clauses = _CLAUSE.split(lower, _MOST_CLAUSES)[:_MOST_CLAUSES]
    return any(_is_refusal(start) for clause in clauses for start in starts(clause))


def _begins_with(lead: str) -> ResultStatus | None:
    """The status according to a text's first sentence; None if it says nothing about the call."""
    if failure_words.FINE.match(lead):
        return _SUCCEEDED
    roles = _roles(lead)
    if _is_refusal(lead) or failure_words.REFUSED_ALONE.match(roles):
        return _DENIED
    if (
        failure_words.FAILED_EDIT.match(lead)
        or failure_words.FAILED.match(lead)
        or failure_words.NOT_RUN.match(roles)
    ):
        return _DENIED if tells_refusal(lead) else _FAILED
    return None


def starts(text: str) -> Iterator[str]:
    """The beginnings that the message may have: before and after each thing that precedes it."""
    for _ in range(_MOST_WRAPPERS):
        yield text
        if text.startswith("["):
            yield text[1:_MOST_LEAD].replace("]", ".", 1)  # the header may be the message
        around = _WRAPPER.match(text)
        if around is None:
            return
        text = text[around.end() :].lstrip()


def _others(text: str) -> list[str]:
    """The second and third sentence of a text."""
    return [sentence.lower() for sentence in _FULL_STOP.split(text, 3)[1:3]]


def _is_refusal(lead: str) -> bool:
    """Whether a text begins with a sentence that refuses the call."""
    if failure_words.NOT_A_REFUSAL.match(lead):
        return False
    if failure_words.REFUSAL.match(lead):
        return True
    for clause in _COMMA.split(_SENTENCE.split(lead, 1)[0], 3)[:3]:
        roles = _roles(clause)
        if any(one.match(roles) for one in failure_words.REFUSALS):
            return True
        if "h" in roles:  # the rest of the sentence is conditional
            return False
    return False


def _roles(text: str) -> str:
    """The roles of the words of a text's first sentence, one letter each."""
    found = _WORD.findall(_SENTENCE.split(text, 1)[0])[:_MOST_WORDS]
    return "".join(
        failure_words.ROLE_OF.get(one.strip(".'\"").replace("’", "'"), "o") for one in found
    )


def _is_list(text: str) -> bool:
    """Whether other records follow in a text, as in logs, search results and tables."""
    first, *others = text.split("\n", _MOST_LINES)[:_MOST_LINES]
    begins = _first_word(first)
    return any(_RECORD.match(line) or (begins and _first_word(line) == begins) for line in others)


def _first_word(line: str) -> str:
    """The first word of a line; empty if the line is indented or has no other word."""
    word, _, rest = line.partition(" ")
    return word.lower() if rest and word else ""
