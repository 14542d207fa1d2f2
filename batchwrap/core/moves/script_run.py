"""Running a script: what an interpreter is given, and what it tells.

A script sees nothing but the results of its calls, so the same results lead to the same calls.
It is therefore never kept half-way: for each wave it is run again from its start, with all results
that stand in the agent's history. What it then waits for is the next wave.

    code, no results              -> calls: [grep]               waiting: 0
    code, {0: …}                  -> calls: [grep, read, read]   waiting: 1, 2
    code, {0: …, 1: …}            -> calls: [grep, read, read]   waiting: 2
    code, {0: …, 1: …, 2: …}      -> calls: [grep, read, read]   over: what was printed

The outcome follows from the run alone, so it may be kept, and looked up again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b

from batchwrap.core.failures import ResultStatus
from batchwrap.core.fingerprint import fingerprint
from batchwrap.core.tools.script_functions import ScriptFunction
from batchwrap.options import Scripts


@dataclass(frozen=True, slots=True, repr=False)
class ScriptResult:
    """What became of one call of a script.

    Attributes:
        tool: the tool that ran.
        arguments: its arguments as JSON, as they stand in the agent's history.
        text: its result.
        status: whether it failed, or was denied.
        notes: what the agent has appended to the result for the model; the program does not get
            it, and nothing depends on it.
    """

    tool: str
    arguments: str
    text: str
    status: ResultStatus
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, repr=False)
class ScriptRun:
    """A script to be run with the results that are there.

    Attributes:
        code: the program.
        functions: what it may call, by the names in it.
        results: by the numbers of their calls, from 0 in the order in which they are made.
        limits: how much it may use.
    """

    code: str
    functions: Mapping[str, ScriptFunction]
    results: Mapping[int, ScriptResult]
    limits: Scripts

    @cached_property
    def digest(self) -> bytes:
        """What its outcome depends on. Results may be long, so it is made once."""
        made = blake2b(digest_size=16)

        def add(part: bytes) -> None:
            made.update(b"%d:" % len(part))
            made.update(part)

        add(_bytes(self.code))
        add(_bytes(repr(self.limits)))
        for name, one in sorted(self.functions.items()):
            parameters = [[it.python, it.name, it.schema] for it in one.parameters]
            add(fingerprint([name, one.tool.name, parameters]))
        for number, it in sorted(self.results.items()):
            add(fingerprint([number, it.tool, it.status.value]))
            add(_bytes(it.arguments))
            add(_bytes(it.text))
        return made.digest()


@dataclass(frozen=True, slots=True, repr=False)
class ScriptCall:
    """A call that a script has made.

    Attributes:
        tool: the agent's tool.
        arguments: as JSON.
    """

    tool: str
    arguments: str


@dataclass(frozen=True, slots=True, repr=False)
class ScriptOutcome:
    """How far a script has come.

    Attributes:
        calls: all that it has made, by their numbers, with results or without.
        waiting: the numbers of those whose results it needs to go on, in order; empty if it is
            over.
        printed: what it has printed, up to the limit.
        dropped: so many characters of the output are left out.
        value: the value of its last expression, as text; None where there is none.
        error: what ended it early, with its line, for the model; None where nothing did.
        is_denied: whether that was a person who denied one of its calls.
    """

    calls: Sequence[ScriptCall] = ()
    waiting: Sequence[int] = ()
    printed: str = ""
    dropped: int = 0
    value: str | None = None
    error: str | None = None
    is_denied: bool = False

    @property
    def is_over(self) -> bool:
        """Whether it makes no further call."""
        return not self.waiting


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogatepass")
