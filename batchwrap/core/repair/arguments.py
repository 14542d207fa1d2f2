"""Repairs the arguments of one call: healthy text is handed on, the rest is repaired at the end.

In a stream, healthy text goes out at once. From the first defect on, text is held until the call
is complete. It is then repaired, or handed on unchanged. What may be repaired was measured on 330
source files as arguments of a write tool: libraries that close truncated JSON wrote a wrong file
nearly every time. So only repairs that leave every string's content alone are made.
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
    """The outcome for a call's arguments.

    Attributes:
        text: the arguments to hand on.
        refused: why they were not repaired, in one word; empty if they are valid.
        changed: whether they differ from what arrived.
    """

    text: str
    refused: str = ""
    changed: bool = False


def repair_arguments(
    text: str, parameters: object, *, dangerous: bool, bold: bool = False
) -> Repaired:
    """Repair the arguments of a call where that loses nothing.

    Healthy arguments are returned unchanged. Arguments that are cut off or ambiguous are
    returned unchanged, too, with a reason.

    Args:
        text: the arguments.
        parameters: the tool's JSON schema.
        dangerous: whether the tool may change something. Every tool counts as dangerous unless
            it is known to be read-only.
        bold: for tools that are not dangerous, keep the backslash of unknown escapes; for all
            tools, drop a closed block of reasoning at the beginning.
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
    """Names of parameters, at any depth, whose values are not strings."""
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
    """Accumulates the arguments of one streamed call.

    Attributes:
        handed_on: how many characters of it have gone out.
        is_blank: whether only white space has arrived.
        was_repeated: whether fragments turned out to repeat everything before them.

    Args:
        not_text: names of parameters whose values are not strings.
        holds: whether text after a defect is held; otherwise everything goes out.
        snapshots: whether fragments may repeat everything before them.
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
        """Everything that has arrived."""
        return self._said.text

    @property
    def is_complete(self) -> bool:
        """Whether exactly one object has arrived."""
        if not self._prefix.is_closed:
            return False
        if self._is_object is None:
            self._is_object = is_object(self.text)
        return self._is_object

    @property
    def may_be_healthy(self) -> bool:
        """Whether the held text may still be healthy, because it ends with a comma."""
        return self._holds and not self._prefix.stopped and not self._repeats

    def take(self, text: str) -> Taken:
        """Add a fragment of plain text, while no text is held.

        A fragment that may end with a superfluous comma is not added: what follows decides.
        """
        if not text:
            return None  # nothing to hold
        if self._snapshot is None and self._prefix.passes(text):
            self._said.add(text)
            self.handed_on += len(text)
            return None
        if text.rstrip().endswith(","):
            return Look.CLOSER
        return None if self.feed(text) else ()

    def feed(self, text: str) -> bool:
        """Add a fragment; returns whether everything so far can go out."""
        if self._snapshot is not None:
            self._look_for_snapshots(text, self._snapshot)
        is_healthy = self.keep(text)
        if self._repeats or (self._holds and not is_healthy):
            return False
        self.mark_sent()
        return True

    def keep(self, text: str) -> bool:
        """Add a fragment that is not handed on yet; returns whether everything is healthy."""
        self._said.add(text)
        self.is_blank = self.is_blank and (not text or text.isspace())
        is_healthy = self._prefix.feed(text)
        if not self._prefix.is_closed:
            self._is_object = None
        return is_healthy

    def mark_sent(self) -> None:
        """Record that everything has gone out."""
        self.handed_on = len(self._said)

    def finish(self, parameters: object, *, dangerous: bool, bold: bool) -> tuple[str, Repaired]:
        """The rest to hand on when the call is complete, and the outcome."""
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
