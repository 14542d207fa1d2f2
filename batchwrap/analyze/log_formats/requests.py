"""Reassembles conversations from logs of requests, each of which repeats the whole conversation.

A request continues a conversation if it begins with all messages of one of its earlier requests.
The messages after these are new, except the first one, which is the answer that is known already.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import orjson

from batchwrap.analyze.files import Record
from batchwrap.analyze.log_formats.blocks import as_chat, has_blocks
from batchwrap.analyze.log_messages import Said, dict_of
from batchwrap.core.formats import chat
from batchwrap.core.limits.cost import Usage
from batchwrap.core.parse import rendered

# How many conversations can be open at once.
_MOST_OPEN = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedRequest:
    """One request of a log, and its answer.

    Attributes:
        messages: its messages.
        answer: the assistant message that came back; None if none did.
        name: the conversation's name in the log; empty if it has none.
        model: the model.
        tools: its tools.
        usage: its tokens; None if the log does not say.
        continues: the id of the answer that it continues, if it contains only what is new.
        answer_id: the id by which its own answer can be continued.
    """

    messages: Sequence[chat.Message]
    answer: chat.Message | None
    name: str = ""
    model: str = ""
    tools: object = None
    usage: Usage | None = None
    continues: str = ""
    answer_id: str = ""


class Stitcher:
    """Reassembles the conversations of one log.

    Args:
        source: the program that wrote the log.
        file: the file, after which conversations without a name are named.
    """

    def __init__(self, source: str, file: str) -> None:
        self._source, self._file = source, file
        self._open: OrderedDict[bytes, str] = OrderedDict()
        self._answered: OrderedDict[str, tuple[bytes, str]] = OrderedDict()
        self._begun = 0

    def said(self, request: LoggedRequest) -> Iterator[Said]:
        """The new messages of a request, then its answer; nothing for a repeated request."""
        before, continued = self._answered.get(request.continues, (b"", ""))
        digests = list(_digests(request.messages, before))
        # The longest known beginning: agents also compact and fork conversations.
        known = next((n for n in range(len(digests), 0, -1) if digests[n - 1] in self._open), 0)
        if known and known == len(digests):
            return
        found = self._open.pop(digests[known - 1]) if known else continued
        session = found or self._begin(request.name)
        new = list(request.messages[known:])
        if known and new and new[0].get("role") == "assistant":
            new = new[1:]  # this answer was yielded with the request before
        for message in new:
            yield from self._say(session, message, request)
        if request.answer is not None:
            yield from self._say(session, request.answer, request, request.usage)
        if digests:
            self._open[digests[-1]] = session
        if request.answer_id and digests:
            self._answered[request.answer_id] = digests[-1], session
        for kept in (self._open, self._answered):
            if len(kept) > _MOST_OPEN:
                kept.popitem(last=False)

    def _begin(self, name: str) -> str:
        self._begun += 1
        return f"{name or self._file}#{self._begun}"

    def _say(
        self,
        session: str,
        message: chat.Message,
        request: LoggedRequest,
        usage: Usage | None = None,
    ) -> Iterator[Said]:
        pieces = as_chat(message) if has_blocks(message) else [(message, False)]
        for piece, failed in pieces:
            yield Said(
                session=session,
                message=piece,
                source=self._source,
                model=request.model,
                usage=usage,
                failed=failed,
                tools=request.tools,
            )


def has_failed(record: Record, request: Record) -> bool:
    """Whether a record without an answer is a request that failed, and no whole conversation.

    Args:
        record: the record.
        request: the request in it, or the record itself.
    """
    if "response" in record and not record["response"]:
        return True
    response = dict_of(record, "response")
    # A whole conversation may have ended with an error, too.
    beside = record.get("error") if request is not record else None
    return bool(beside or response.get("error") or dict_of(response, "body").get("error"))


def _digests(messages: Sequence[chat.Message], before: bytes) -> Iterator[bytes]:
    """The digest of the conversation up to each message, given the digest `before` them."""
    digest = before
    for message in messages:
        digest = blake2b(digest + _written(message), digest_size=16).digest()
        yield digest


def _written(message: chat.Message) -> bytes:
    try:
        return orjson.dumps(message, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # nested too deeply for it
        return rendered(message)
