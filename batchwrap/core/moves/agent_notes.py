"""Notes for the model that an agent appends to the result of a tool.

Claude Code writes its reminders, what is left of its budget, and what a person has typed meanwhile
behind the text of the newest result, and not as messages of their own. They are no part of what the
tool has returned.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_TAG, _END = "<system-reminder>\n", "</system-reminder>"
_BEGIN = f"\n\n{_TAG}"
_TYPED = f"{_TAG}The user sent a new message"
_DIGITS = re.compile("[0-9]+")


def split_notes(text: str) -> tuple[str, tuple[str, ...]]:
    """What a tool has returned, and the notes behind it.

    Example:
        >>> split_notes("a\\n\\n<system-reminder>\\n9 left\\n</system-reminder>")
        ('a', ('<system-reminder>\\n9 left\\n</system-reminder>',))
    """
    notes, end = [], len(text)
    while end and text.endswith(_END, 0, end):
        at = text.rfind(_BEGIN, 0, end)
        if at < 0 and not text.startswith(_TAG):
            break
        start, begin = (at, at + 2) if at >= 0 else (0, 0)
        notes.append(text[begin:end])
        end = start
    return text[:end], tuple(reversed(notes))


def has_typed_message(parts: Iterable[object]) -> bool:
    """Whether a result holds a message that a person has typed while the tools ran.

    Args:
        parts: the result's texts, and whatever else it has.
    """
    texts = (part for part in parts if isinstance(part, str))
    return any(note.startswith(_TYPED) for text in texts for note in split_notes(text)[1])


def distinct_notes(notes: Iterable[str]) -> list[str]:
    """Each note once; of those that differ in their numbers only, the last one."""
    return list({_DIGITS.sub("0", note): note for note in notes}.values())
