"""Reads skeletons: recorded sessions without their texts (`benchmarks/data/README.md`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from batchwrap.analyze.files import Record
from batchwrap.analyze.kinds import is_own
from batchwrap.analyze.recorded_session import Prompt, RecordedCall, RecordedTurn, Session
from batchwrap.core.limits.cost import Usage

NAME = "skeleton"
_ROLES = {"u": "user", "s": "system", "d": "developer"}


def recognises(record: Record) -> bool:
    """Whether a record is a session of this format."""
    turns = record.get("turns")
    return (
        isinstance(turns, list)
        and bool(turns)
        and all(
            isinstance(turn, list) and len(turn) > 1 and turn[0] in ("a", *_ROLES)
            for turn in turns[:5]
        )
    )


def sessions(record: Record, file: str = "") -> Iterator[Session]:
    """The session of a record.

    Raises:
        KeyError, TypeError, ValueError: the record is malformed.
    """
    script = tuple(_script(record["turns"], record))
    yield Session(str(record["id"]), str(record["source"]), script, file)


def _script(turns: list[Any], about: Record) -> Iterator[Prompt | RecordedTurn]:
    index = number = tokens = cached = 0
    if turns[0][0] == "a":
        tokens = 1
        yield Prompt("user", 1)  # a session whose beginning was not recorded
    for kind, said, *rest in turns:
        if kind != "a":
            tokens += said
            yield Prompt(_ROLES[kind], said)
            continue
        calls = tuple(_call(call, number + n, index, about) for n, call in enumerate(rest[0]))
        output = said + sum(call.argument_tokens for call in calls)
        usage = Usage(tokens, output, cached)
        model = str(about.get("model") or "")
        yield RecordedTurn(index, said, calls, usage, True, model, has_text=said > 0)
        index, number, cached = index + 1, number + len(calls), tokens
        tokens += output + sum(call.result_tokens for call in calls)


def _call(record: Record, number: int, group: int, about: Record) -> RecordedCall:
    as_text, path, failed = about.get("native") is False, record["p"], record["err"]
    if not isinstance(path, str | None) or not isinstance(failed, int):
        raise TypeError("a call whose path is no text, or that has no flag whether it failed")
    return RecordedCall(
        number=number,
        group=group,
        kind=record["k"],
        path=path,
        argument_tokens=record["t"],
        result_tokens=record["out"],
        failed=bool(failed),
        known_from=0 if record["known"] else None,
        name=str(record.get("n") or ""),
        own=not as_text and is_own(str(record.get("n") or ""), record["k"]),
        as_text=as_text,
    )
