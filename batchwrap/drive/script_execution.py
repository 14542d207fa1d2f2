"""One run of a script in the interpreter, from its start to where it waits, or is over.

The interpreter stops at each call of a function. The call gets a number, and a future in place of
its result, so that the program goes on; when all of it waits, the results of all calls so far must
be there, or the run ends with what it waits for. So the calls of a wave, and their numbers, never
depend on which result came first.

A call whose `await` was forgotten has its result at once, or the run ends there (see
`core.tools.script_awaits`). A call that nothing waits for is a part of the next wave, or of the
last one: whoever writes a call wants it to run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from batchwrap.core.failures import ResultStatus
from batchwrap.core.moves.script_run import ScriptCall, ScriptOutcome, ScriptResult, ScriptRun
from batchwrap.core.tools.script_awaits import missing_awaits
from batchwrap.core.tools.script_functions import ScriptFunction
from batchwrap.core.tools.tidied import defaults_of, is_same_call
from batchwrap.drive import script_errors
from batchwrap.drive.script_program import encodable, prelude_of, program

if TYPE_CHECKING:
    import pydantic_monty

# Nothing that a program can see may differ when it is run again.
OS_POLICY: pydantic_monty.OSPolicy = {
    "datetime": datetime(2026, 1, 1, tzinfo=UTC),
    "timezone": "utc",
    "sleep": "zero",
    "process_time": "zero",
    "random_start": {"seed": 0},
}

_CHARS_PER_TOKEN = 4
# The sandbox's memory does not bound what stands in a value many times, when that is written out.
_MOST_ARGUMENT_CHARS = 10_000_000  # of all calls of a script
_MOST_VALUE_CHARS = 1_000_000
_PART_CHARS = 10  # what each part counts beside its text, since each takes time
# Each name that is looked up, each call and each wait is a stop of the interpreter.
_STOPS_PER_CALL, _LEAST_STOPS = 4, 1_000
_NO_VALUE = re.compile(
    r"<(?:(coroutine (?:object \S+|external_future\(\d+\))|gather\(\d+\))"
    r"|function \S+ at 0x[0-9a-f]+|bound method)>"
)
# How the interpreter calls what it runs: the prelude is number 0; `eval` has another name.
_PROGRAM = "<python-input-1>"


def limits_of(run: ScriptRun) -> pydantic_monty.ResourceLimits:
    """What a program may use."""
    return {
        "max_feed_duration_secs": run.limits.max_seconds,
        "max_memory": run.limits.max_memory_mb * 2**20,
        "max_suspensions": max(_LEAST_STOPS, run.limits.max_calls * _STOPS_PER_CALL),
    }


class _Over(Exception):
    """The program ends here, whatever it would do next."""

    def __init__(self, error: str, *, is_denied: bool = False) -> None:
        super().__init__(error)
        self.error = error
        self.is_denied = is_denied


class _Waits(Exception):
    """The program goes on when calls have results that are not there yet."""


class ScriptExecution:
    """One run of a script.

    Args:
        run: the script, and the results that are there.
        monty: the package.
    """

    def __init__(self, run: ScriptRun, monty: Any) -> None:
        self._run = run
        self._monty = monty
        self._code = program(run.code)
        self._bytes = self._code.encode()
        self._output = _Output(run.limits.max_output_tokens * _CHARS_PER_TOKEN)
        self._room = _MOST_ARGUMENT_CHARS
        self._calls: list[ScriptCall] = []
        self._starts: list[int] = []  # where each of them stands
        self._numbers: dict[int, int] = {}  # of calls, by the interpreter's ids
        self._received: set[int] = set()

    @property
    def prelude(self) -> str:
        """What the session has to run before it."""
        return prelude_of(self._code)

    def execute(self, session: pydantic_monty.MontySession) -> ScriptOutcome:
        """Run it in a session that has run the prelude.

        Raises:
            MontyCrashedError: the worker died.
        """
        try:
            value = _shown(self._completed(session))
            shown = None if value is None else self._output.cut(value)
            return self._over(value=shown, error=self._unnoticed())
        except _Over as over:
            return self._over(error=over.error, is_denied=over.is_denied)
        except _Waits:
            if self._beyond():
                return self._over()
            return self._outcome(waiting=self._missing())

    def _completed(self, session: pydantic_monty.MontySession) -> Any:
        """The value of the program's last expression, when all of its calls have results."""
        monty = self._monty
        try:
            stop: Any = session.feed_start(self._code, print_callback=self._output.take)
            while not isinstance(stop, monty.MontyComplete):
                if isinstance(stop, monty.FunctionSnapshot):
                    stop = self._at_call(stop)
                elif isinstance(stop, monty.NameLookupSnapshot):
                    stop = self._at_name(stop)
                else:
                    stop = self._at_wait(stop)
            self._check_results()
            return stop.output
        except monty.MontyCrashedError as error:
            if error.timed_out:
                raise _Over(self._timed_out()) from None
            raise
        except monty.MontyError as error:
            raise _Over(self._failed(error)) from None

    def _at_call(self, stop: Any) -> Any:
        """A function is called."""
        if stop.is_os_function:
            return stop.resume_not_handled()
        function = self._run.functions.get(stop.function_name)
        if function is None:
            return stop.resume({"exception": NameError(_undefined(stop.function_name))})
        try:
            self._room -= _weight([stop.args, stop.kwargs], {})
            if self._room < 0:
                most = _MOST_ARGUMENT_CHARS
                raise _Over(f"the calls of a script may take {most:,} characters of arguments")
            arguments = _arguments(function, stop)
        except RecursionError:
            error = TypeError(f"{function.name}() takes nothing that is nested so deeply")
            return stop.resume({"exception": error})
        except TypeError as error:
            return stop.resume({"exception": error})
        number = self._made(function, ScriptCall(function.tool.name, arguments), stop)
        if not self._lacks_await(stop):
            return stop.resume({"future": ...})
        self._check_results()
        self._received.update(self._numbers.values())  # an `await` would hand over all of them
        return stop.resume(self._result(number))

    def _at_name(self, stop: Any) -> Any:
        """A name that nothing defines is read: a function's, to be called later, or none."""
        function = self._run.functions.get(stop.variable_name)
        return stop.resume() if function is None else stop.resume(value=_stand_in(function.name))

    def _at_wait(self, stop: Any) -> Any:
        """All of the program waits."""
        self._check_results()
        numbers = sorted((self._numbers[one], one) for one in stop.pending_call_ids)
        return stop.resume({one: self._result(number) for number, one in numbers})

    def _made(self, function: ScriptFunction, call: ScriptCall, stop: Any) -> int:
        """The number of a call that the program makes now."""
        number, most = len(self._calls), self._run.limits.max_calls
        if number >= most:
            raise _Over(f"a script may make {most} calls; this one makes more, so it was ended")
        self._calls.append(call)
        self._starts.append(stop.position.start)
        self._numbers[stop.call_id] = number
        recorded = self._run.results.get(number)
        if recorded is not None and not _is_same(function, recorded, call):
            raise _Over(
                f"the record of this conversation differs: call {number} was "
                f"{_named(recorded)}, and is now {_named(call)}"
            )
        return number

    def _lacks_await(self, stop: Any) -> bool:
        at = stop.position
        if at.filename != _PROGRAM or self._bytes[: at.start].rstrip().endswith(b"await"):
            return False
        return at.start in missing_awaits(self._code, frozenset(self._run.functions))

    def _check_results(self) -> None:
        """Go on only if no call so far was denied, and all of them have results."""
        for number, result in sorted(self._run.results.items()):
            if result.status is ResultStatus.DENIED and number < len(self._calls):
                said = script_errors.told(result.text, self._line(number), self._code)
                error = f"call {number}, {_named(self._calls[number])}, was denied: {said}"
                raise _Over(error, is_denied=True)
        if self._missing():
            raise _Waits

    def _missing(self) -> list[int]:
        return [number for number in range(len(self._calls)) if number not in self._run.results]

    def _beyond(self) -> list[int]:
        """The numbers of recorded calls that the program has not made."""
        return sorted(number for number in self._run.results if number >= len(self._calls))

    def _result(self, number: int) -> dict[str, Any]:
        """A call's result, as the interpreter takes it."""
        self._received.add(number)
        result = self._run.results[number]
        text = encodable(result.text)
        if result.status is ResultStatus.FAILED:
            return {"exception": RuntimeError(text)}
        return {"return_value": text}

    def _line(self, number: int) -> list[int]:
        return [self._bytes.count(b"\n", 0, self._starts[number]) + 1]

    def _failed(self, error: Any) -> str:
        """What an error of the interpreter means, for the model."""
        text: str = error.display("type-msg") if hasattr(error, "display") else str(error)
        frames = error.traceback() if hasattr(error, "traceback") else ()
        lines = [frame.line for frame in frames if frame.filename == _PROGRAM]
        if text.startswith("TimeoutError: feed time limit"):
            return self._timed_out()
        if text.startswith("RuntimeError: suspension limit"):
            return script_errors.told(
                "it stopped too often: it calls functions, or looks for names, without end",
                lines,
                self._code,
            )
        if text.startswith("MemoryError"):
            text = f"MemoryError: it takes more than {self._run.limits.max_memory_mb} MB"
        failures = {
            f"RuntimeError: {encodable(one.text)}".removesuffix(": ")
            for one in self._run.results.values()
            if one.status is ResultStatus.FAILED
        }
        if text in failures:
            text = f"ToolError{text.removeprefix('RuntimeError')}"
            return script_errors.told(text, lines, self._code)
        hint = script_errors.hint(text, self._run.functions)
        return script_errors.told(text, lines, self._code, hint)

    def _timed_out(self) -> str:
        return f"TimeoutError: it computed for more than {self._run.limits.max_seconds:g} s"

    def _unnoticed(self) -> str | None:
        """What has failed, or has not run, without the program's noticing."""
        for number, result in sorted(self._run.results.items()):
            if result.status is ResultStatus.FAILED and number not in self._received:
                text = f"ToolError: {result.text}"
                return script_errors.told(text, self._line(number), self._code, "nothing awaits it")
        if self._calls or self._output.printed:
            return None
        known = missing_awaits(self._code, frozenset(self._run.functions)).coroutines
        return script_errors.not_run(known)

    def _over(
        self, *, value: str | None = None, error: str | None = None, is_denied: bool = False
    ) -> ScriptOutcome:
        if beyond := self._beyond():
            listed = ", ".join(str(number) for number in beyond)
            gap = f"the record of this conversation has a gap: call {listed} was not made again"
            error = f"{error}; {gap}" if error else gap
        return self._outcome(value=value, error=error, is_denied=is_denied)

    def _outcome(self, **rest: Any) -> ScriptOutcome:
        output = self._output
        return ScriptOutcome(
            calls=tuple(self._calls), printed=output.printed, dropped=output.dropped, **rest
        )


class _Output:
    """What the model is shown: the beginning, and how much more there was.

    Args:
        room: characters that are shown.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._pieces: list[str] = []
        self.dropped = 0

    @property
    def printed(self) -> str:
        """What the program has printed."""
        return "".join(self._pieces)

    def take(self, _stream: str, text: str) -> None:
        """The program prints."""
        if kept := self.cut(text):
            self._pieces.append(kept)

    def cut(self, text: str) -> str:
        """What there is room for."""
        kept = text[: self._room]
        self._room -= len(kept)
        self.dropped += len(text) - len(kept)
        return kept


def _undefined(name: str) -> str:
    return f"name {name!r} is not defined"


def _named(call: ScriptCall | ScriptResult) -> str:
    return f"{call.tool} {script_errors.cut(call.arguments)}"


def _is_same(function: ScriptFunction, recorded: ScriptResult, call: ScriptCall) -> bool:
    same_tool = recorded.tool == call.tool
    return same_tool and is_same_call(
        recorded.arguments, call.arguments, defaults_of(function.tool.parameters)
    )


def _arguments(function: ScriptFunction, stop: Any) -> str:
    """The JSON arguments of a call.

    Raises:
        TypeError: the tool does not take them; its text is for the model.
    """
    try:
        given = [_plain(one, function.name) for one in stop.args]
        named = {name: _plain(one, function.name) for name, one in stop.kwargs.items()}
        return function.arguments(given, named)
    except ValueError:  # Python itself writes no such number out
        raise TypeError(f"{function.name}() takes no number of so many digits") from None


def _plain(value: object, name: str) -> object:
    """An argument as it was meant: the interpreter hands out what is no value as a text."""
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, str) and (found := _NO_VALUE.fullmatch(value)):
        what = "a call, whose await is missing" if found[1] else "a function"
        raise TypeError(f"{name}() got {what}")
    for one in value if isinstance(value, (list, tuple)) else ():
        _plain(one, name)
    return value


def _stand_in(name: str) -> Callable[[], None]:
    """What the interpreter takes for a function; it is called there, never here."""

    def function() -> None:
        raise AssertionError(name)

    function.__name__ = name
    return function


def _shown(value: object) -> str | None:
    """A value as Python writes it, but sets in order; a text as it is."""
    if value is None or isinstance(value, str):
        return value
    kind = type(value).__name__
    try:
        if _weight(value, {}) > _MOST_VALUE_CHARS:
            return f"<{kind}, too large to be shown>"
        return _written(value)
    except RecursionError:
        return f"<{kind}, nested too deeply to be shown>"
    except ValueError:  # a number of too many digits
        return f"<{kind}, too large to be shown>"


def _weight(value: object, known: dict[int, int]) -> int:
    """About how many characters a value has when it is written out.

    A part that stands in it many times is looked at once, and counts each time.

    Args:
        value: it.
        known: what its parts were found to weigh.
    """
    match value:
        case str() | bytes():
            return len(value) + _PART_CHARS
        case dict():
            parts: Iterable[object] = (one for pair in value.items() for one in pair)
        case list() | tuple() | set() | frozenset():
            parts = value
        case _:
            return _PART_CHARS
    weight = known.get(id(value))
    if weight is None:
        weight = known[id(value)] = _PART_CHARS + sum(_weight(one, known) for one in parts)
    return weight


def _written(value: object) -> str:
    match value:
        case dict():
            inner = (f"{_written(key)}: {_written(one)}" for key, one in value.items())
            return f"{{{', '.join(inner)}}}"
        case set() | frozenset() if value:
            return f"{{{', '.join(sorted(_written(one) for one in value))}}}"
        case list():
            return f"[{', '.join(_written(one) for one in value)}]"
        case tuple() if len(value) != 1:
            return f"({', '.join(_written(one) for one in value)})"
        case _:
            return repr(value)
