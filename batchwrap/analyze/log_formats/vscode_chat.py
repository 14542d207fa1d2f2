"""Reads chats of GitHub Copilot in VS Code: ``…/chatSessions/<session>.json`` and ``.jsonl``.

The older form is a document, which "Chat: Export Chat" writes, too. The newer one is a log of
changes to such a document, which is made again from them: ``kind`` 0 is the document, 1 sets a
value, 2 extends a list, 3 removes a value. A request of the user has rounds, and each of them is
one answer of the model with its calls. One without rounds is one answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from batchwrap.analyze.files import Record, Unreadable
from batchwrap.analyze.log_messages import (
    Said,
    assistant,
    calls_of,
    dict_of,
    dicts_in,
    result,
    text_of,
)
from batchwrap.core.parse import rendered

NAME = "VS Code chat"
_DOCUMENT, _SET, _EXTEND, _REMOVE = range(4)
# The part of what was shown that stands for a call.
_CALLED = "toolInvocationSerialized"


def recognises(record: Record) -> bool:
    """Whether a record is a chat, or begins a log of changes."""
    chat = dict_of(record, "v") if record.get("kind") == _DOCUMENT else record
    is_named = "responderUsername" in chat or "sessionId" in chat
    return is_named and isinstance(chat.get("requests"), list)


def read(records: Iterator[Record], file: str) -> Iterator[Said]:
    """The messages of a chat.

    Raises:
        Unreadable: the agent made calls, but what it asked the model was not saved.
    """
    chat: Any = None
    for record in records:
        if "kind" not in record:
            yield from _said(record, file)
        elif record["kind"] == _DOCUMENT:
            chat = record.get("v")
        else:
            _change(chat, record)
    if isinstance(chat, dict):
        yield from _said(chat, file)


def _change(chat: Any, record: Record) -> None:
    """Make one change. One that does not fit the document is ignored."""
    path, value, place = record.get("k"), record.get("v"), record.get("i")
    if not isinstance(path, list) or not path:
        return
    for key in path[:-1]:
        chat = _inside(chat, key)
    last, kind = path[-1], record.get("kind")
    is_named = isinstance(chat, dict) and isinstance(last, str)
    if kind == _SET and (is_named or _inside(chat, last) is not None):
        chat[last] = value
    elif kind == _EXTEND and isinstance(found := _inside(chat, last), list):
        if isinstance(place, int) and 0 <= place <= len(found):
            del found[place:]
        found += value if isinstance(value, list) else []
    elif kind == _REMOVE and is_named:
        chat.pop(last, None)


def _inside(value: Any, key: object) -> Any:
    if isinstance(value, dict) and isinstance(key, str):
        return value.get(key)
    is_place = isinstance(value, list) and type(key) is int and 0 <= key < len(value)
    return value[key] if is_place else None


def _said(chat: Record, file: str) -> Iterator[Said]:
    session = text_of(chat.get("sessionId")) or file
    lost = False
    for request in dicts_in(chat.get("requests")):
        asked = request.get("message")
        content = asked if isinstance(asked, str) else text_of(dict_of(asked).get("text"))
        yield Said(session=session, message={"role": "user", "content": content}, source=NAME)
        about, shown = dict_of(request, "result", "metadata"), dicts_in(request.get("response"))
        results = dict_of(about, "toolCallResults")
        model = text_of(about.get("resolvedModel")) or text_of(request.get("modelId"))
        rounds = dicts_in(about.get("toolCallRounds"))
        lost |= not rounds and any(part.get("kind") == _CALLED for part in shown)
        if not rounds and shown:
            rounds = [{"response": "\n".join(text_of(part.get("value")) for part in shown)}]
        for place, one in enumerate(rounds):
            key = f"{request.get('requestId')}/{place}"
            yield from _round(one, results, session, model, key)
    if lost:
        raise Unreadable("its calls were saved without the model's answers; read chatSessions")


def _round(one: Record, results: Record, session: str, model: str, key: str) -> Iterator[Said]:
    made = dicts_in(one.get("toolCalls"))
    calls = calls_of(made, "id", "name", "arguments")
    message = assistant(text_of(one.get("response")), calls, _thinking(one))
    yield Said(
        session=session,
        message=message,
        source=NAME,
        model=model,
        answer=key,
        everywhere=True,
    )
    for call in made:
        parts = dicts_in(dict_of(results, str(call.get("id"))).get("content"))
        content = "\n".join(_text(part.get("value")) for part in parts)
        yield Said(session=session, message=result(call.get("id"), content), source=NAME)


def _thinking(one: Record) -> str:
    text = dict_of(one, "thinking").get("text")
    listed = text if isinstance(text, list) else [text]
    return "\n".join(map(text_of, listed))


def _text(value: object) -> str:
    """The text of a result, which may be the tree of a rendered prompt."""
    return value if isinstance(value, str) else rendered(value).decode()
