"""Asks the model again if its multi-call was not understood, within the same request of the agent.

The agent never offered a multi-tool, so it should not have to refuse one. As long as nothing of an
answer was handed out, batchwrap sends the answer back with an explanation, and the model answers
once more. The agent's history never holds the answer that was not understood.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from batchwrap.core.formats.calls import Call
from batchwrap.core.formats.entries import Entry
from batchwrap.core.formats.format import Format
from batchwrap.core.parse import is_object

_NO_NAME = re.compile(r"[^a-zA-Z0-9_-]")


def asked_again(
    form: Format, said: str | None, calls: Sequence[Call], problems: Mapping[str, str]
) -> list[Entry] | None:
    """The entries that are added to the request: the answer, and a result for each of its calls.

    Args:
        form: the format of the request.
        said: the text of the answer.
        calls: its calls.
        problems: what is wrong with each call, by its id.

    Returns:
        None if a call has no id, or not one of its own, so that no result could name it.
    """
    if not all(problems) or len(problems) != len(calls):
        return None
    shown = {one.call_id: _valid(one) for one in calls}
    answer = form.said("model", said, list(shown.values()))
    told = (answer.result(shown[one], [[problem]], []) for one, problem in problems.items())
    return [answer, *told]


def _valid(call: Call) -> Call:
    """The call with a name and arguments that every provider accepts in a history.

    OpenAI refuses the dot in `multi_tool_use.parallel`, although its own models write it
    (https://github.com/prefect-archive/ControlFlow/pull/107).
    """
    arguments = call.arguments if is_object(call.arguments) else "{}"
    name = _NO_NAME.sub("_", call.name)
    return replace(call, name=name, arguments=arguments, is_whole=True, source=None)
