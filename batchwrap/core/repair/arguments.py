"""The arguments of one call: handed on while they are healthy, put right at the end.

Of a stream, what is healthy goes out at once; from the first defect on the rest is held
until the call is complete, and then it is repaired, or handed on as it came.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from batchwrap.core.formats.format import Look, Taken
from batchwrap.core.growing import Growing
from batchwrap.core.parse import is_object
from batchwrap.core.repair.healthy import is_healthy
from batchwrap.core.repair.prefix import HealthyPrefix
from batchwrap.core.tools.lenient import NotUnderstood, rewrite
from batchwrap.core.tools.schema import required_in, types_of

_NOTHING = ("", "null", "None")
_NOT_TEXT = frozenset({"array", "object", "integer", "number", "boolean"})


@dataclass(frozen=True, slots=True, repr=False)
class Repaired:
    """What became of a call's arguments.

    Attributes:
        text: the arguments to hand on.
        refused: why they were not put right, in one word; empty where they are right.
        changed: whether they are not as they came.
    """

    text: str
    refused: str = ""
    changed: bool = False


def repair_arguments(
    text: str, parameters: object, *, dangerous: bool, bold: bool = False
) -> Repaired:
    """The arguments of a call, put right where that loses nothing.

    Healthy ones come back to the byte. What is cut off, or could mean two things, comes back
    as it came, with the reason.

    Args:
        text: the arguments.
        parameters: the tool's JSON schema.
        dangerous: whether the tool may change something; everything counts as dangerous
            that is not known to be read-only.
        bold: for tools that are not dangerous, also keep the backslash of unknown escapes;
            for all, drop a closed block of thoughts in front.
    """
    if text.strip() in _NOTHING:
        return Repaired(text, "empty") if required_in(parameters) else Repaired("{}", "", True)
    if is_healthy(text, parameters):
        return Repaired(text)
    try:
        made = rewrite(text, parameters, bold=bold and not dangerous)
    except NotUnderstood as refused:
        thought = text.lstrip().startswith("<think>")
        if bold and dangerous and thought and "</think>" in text:
            rest = text.partition("</think>")[2]
            again = repair_arguments(rest, parameters, dangerous=True)
            return again if again.refused else Repaired(again.text, "", True)
        return Repaired(text, refused.reason)
    return Repaired(made, "", made != text) if is_object(made) else Repaired(text, "not_json")


def names_not_text(parameters: object) -> frozenset[str]:
    """Names of parameters, at any depth, that are no texts: what is in quotes there is odd."""
    return frozenset(_not_text(parameters, 0))


def _not_text(schema: object, depth: int) -> Iterable[str]:
    if depth > 8 or not isinstance(schema, dict):
        return
    properties = schema.get("properties")
    for name, inner in properties.items() if isinstance(properties, dict) else ():
        items = inner.get("items") if isinstance(inner, dict) else None
        if any(
            types and "string" not in types and types & _NOT_TEXT
            for types in map(types_of, (inner, items))
        ):
            yield name
        yield from _not_text(inner, depth + 1)
        yield from _not_text(items, depth + 1)
    for holder in ("$defs", "definitions"):
        defined = schema.get(holder)
        for inner in defined.values() if isinstance(defined, dict) else ():
            yield from _not_text(inner, depth + 1)


class ArgumentStream:
    """The arguments of one streamed call.

    Attributes:
        handed_on: how much of it has gone out, in characters.
        is_blank: whether nothing has come but white space.
        was_repeated: whether fragments turned out to repeat all that came before.

    Args:
        not_text: names of parameters that are no texts.
        holds: whether what comes after a defect waits; else everything goes out.
        snapshots: whether fragments may repeat all that came before them.
    """

    def __init__(
        self, not_text: frozenset[str] = frozenset(), *, holds: bool = True, snapshots: bool = False
    ) -> None:
        self.handed_on = 0
        self.is_blank = True
        self.was_repeated = False
        self._said = Growing()
        self._is_object: bool | None = None  # whether it is one, while nothing more comes
        self._holds = holds
        self._snapshot = "" if snapshots else None
        self._repeats = False
        self._prefix = HealthyPrefix(not_text)

    def __len__(self) -> int:
        return len(self._said)

    @property
    def text(self) -> str:
        """All that has come."""
        return self._said.text

    @property
    def is_complete(self) -> bool:
        """Whether exactly one object has come."""
        if not self._prefix.is_closed:
            return False
        if self._is_object is None:
            self._is_object = is_object(self.text)
        return self._is_object

    @property
    def may_be_healthy(self) -> bool:
        """Whether what waits may turn out to be healthy: the last mark is a comma."""
        return self._holds and not self._prefix.stopped and not self._repeats

    def take(self, text: str) -> Taken:
        """Add a fragment that holds nothing but text, while none waits.

        One behind which there may be a comma too many waits for what follows: it is not taken in.
        """
        if self._snapshot is None and self._prefix.passes(text):
            self._said.add(text)
            self.handed_on += len(text)
            return None
        if text.rstrip().endswith(","):
            return Look.CLOSER
        return None if self.feed(text) else ()

    def feed(self, text: str) -> bool:
        """Add a fragment; returns whether all that has come can go out."""
        if self._snapshot is not None:
            self._look_for_snapshots(text, self._snapshot)
        is_healthy = self.keep(text)
        if self._repeats or (self._holds and not is_healthy):
            return False
        self.let_go()
        return True

    def keep(self, text: str) -> bool:
        """Add a fragment that is not handed on yet; returns whether all is healthy."""
        self._said.add(text)
        self.is_blank = self.is_blank and (not text or text.isspace())
        is_healthy = self._prefix.feed(text)
        if not self._prefix.is_closed:
            self._is_object = None
        return is_healthy

    def let_go(self) -> None:
        """Take note that everything went out."""
        self.handed_on = len(self._said)

    def finish(self, parameters: object, *, dangerous: bool, bold: bool) -> tuple[str, Repaired]:
        """The rest to hand on when the call is complete, and what became of the arguments."""
        out = self.text[: self.handed_on]
        whole = self.text
        if self._repeats and self._snapshot and not is_object(whole):
            whole = self._snapshot
            self.was_repeated = is_object(whole) and whole.startswith(out)
        if not self._holds:
            rest = whole[len(out) :] if self.was_repeated else self.text[self.handed_on :]
            self.handed_on = len(self.text)
            return rest, Repaired(out + rest)
        made = repair_arguments(whole, parameters, dangerous=dangerous, bold=bold)
        if made.refused or not made.text.startswith(out):
            rest = self.text[self.handed_on :]
            refused = made.refused or ("not_json" if made.changed else "")
            made = Repaired(self.text, refused)
        else:
            rest = made.text[len(out) :]
            made = Repaired(made.text, "", made.text != self.text)
        self.handed_on = len(self.text)
        return rest, made

    def _look_for_snapshots(self, text: str, before: str) -> None:
        if text.startswith(before) and (before or not len(self)):
            self._repeats |= bool(before)
            self._snapshot = text
        elif text:
            self._snapshot, self._repeats = None, False
