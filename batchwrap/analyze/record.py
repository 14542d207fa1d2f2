"""Converts messages to sessions: turns, what their calls do, which names were known, and sizes.

Of a text only its size and hashes of the names in it are kept. If the log reports the usage of a
request, sizes come from there. Otherwise they are estimated (`throttle.estimate`), without what the
log does not contain, often the system prompt and the tools.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from batchwrap.analyze.files import Unreadable
from batchwrap.analyze.kinds import deed_of
from batchwrap.analyze.log_messages import Said, reasoning_in
from batchwrap.analyze.recorded_session import Prompt, RecordedCall, RecordedTurn, Session
from batchwrap.core.failures import looks_failed
from batchwrap.core.formats import chat
from batchwrap.core.formats.chat.entry import ChatEntry
from batchwrap.core.formats.chat.tools import read_tools
from batchwrap.core.limits.cost import Usage
from batchwrap.core.moves.cap import tokens_in, tokens_of
from batchwrap.core.moves.ids import decode
from batchwrap.core.tools.find import SingleTool, find
from batchwrap.options import Batching
from batchwrap.throttle.estimate import Estimator

# The conversations of one log may be interleaved. This many can be open at once.
_MOST_OPEN = 64
# How many names of one conversation are remembered; further ones count as never named.
_MOST_NAMES = 200_000
# How many answers of all files are remembered, to recognise copies of sessions.
_MOST_ANSWERS = 1_000_000
_NAME = re.compile(r"\w[\w.+@-]{0,80}")


@dataclass(slots=True)
class LogReading:
    """The state that all files of one reading share.

    Attributes:
        estimate: estimates the tokens that a log does not report.
        answers: the session that had an answer first, by the hash of the answer's id. A session
            that is resumed in a new file repeats its old lines there.
    """

    estimate: Estimator = field(default_factory=Estimator)
    answers: dict[int, tuple[str, str]] = field(default_factory=dict)

    def is_copy(self, answer: str, session: tuple[str, str]) -> bool:
        """Whether another session had this answer before."""
        if len(self.answers) >= _MOST_ANSWERS:
            return self.answers.get(hash(answer), session) != session
        return self.answers.setdefault(hash(answer), session) != session


def sessions(said: Iterable[Said], file: str, reading: LogReading) -> Iterator[Session]:
    """The sessions of a file, each as soon as it has ended.

    Args:
        said: the messages of the file.
        file: its name.
        reading: the state that all files share.

    Raises:
        Unreadable: the rest of the file cannot be read; the sessions before that come first.
    """
    under_way: OrderedDict[str, _Recorder] = OrderedDict()
    try:
        for one in said:
            if one.session not in under_way:
                under_way[one.session] = _Recorder(one.session, one.source, file, reading)
                if len(under_way) > _MOST_OPEN:
                    yield from under_way.popitem(last=False)[1].ended()
            under_way.move_to_end(one.session)
            under_way[one.session].take(one)
    except Unreadable:
        for recorder in under_way.values():
            yield from recorder.ended()
        raise
    for recorder in under_way.values():
        yield from recorder.ended()


@dataclass(slots=True)
class _Made:
    """A call whose result may still come."""

    call_id: object
    name: str
    kind: str
    path: str | None
    own: bool
    known_from: int | None
    argument_tokens: int
    as_text: bool
    result_tokens: int = 0
    failed: bool = False


@dataclass(slots=True)
class _Answer:
    """A turn whose results may still come.

    Attributes:
        key: the answer's id in the log.
        derived: the turns of the model, as batchwrap marks them, that its calls were derived from.
    """

    key: str | None
    prompt: Usage
    estimated: bool
    model: str
    text_tokens: int = 0
    has_text: bool = False
    calls: list[_Made] = field(default_factory=list)
    derived: set[str] = field(default_factory=set)


class _Recorder:
    """Builds one session from its messages, one by one."""

    def __init__(self, session: str, source: str, file: str, reading: LogReading) -> None:
        self._id, self._source, self._file = session, source, file
        self._reading, self._estimate = reading, reading.estimate
        self._parts: list[Prompt | _Answer] = []
        self._last: _Answer | None = None
        self._turns = 0
        self._context = 0  # tokens that the next request would have
        self._cached = 0  # tokens of the last request
        self._measured = False
        self._names: dict[int, int] = {}
        self._tools: dict[str, SingleTool] | None = None
        self._given_tools: object = None

    def take(self, said: Said) -> None:
        """Add one message."""
        if said.tools is not self._given_tools and any(chat.function_tools(said.tools)):
            self._take_tools(said)
        if said.message.get("role") == "assistant":
            self._take_answer(said)
        elif said.message.get("role") in ("tool", "function"):
            self._take_result(said)
        else:
            self._take_prompt(said)

    def ended(self) -> Iterator[Session]:
        """Yield the session, if it has a turn."""
        if self._turns:
            yield Session(self._id, self._source, tuple(self._script()), self._file)

    def _take_tools(self, said: Said) -> None:
        self._given_tools = said.tools
        self._tools = {tool.name: tool for tool in find(read_tools(said.tools), Batching())}
        if not self._turns and not self._measured:
            self._context += self._estimate.raw({"model": said.model, "tools": said.tools})

    def _take_prompt(self, said: Said) -> None:
        tokens = self._tokens(said)
        self._context += tokens
        self._note(chat.texts(said.message.get("content")), self._turns)
        self._parts.append(Prompt(str(said.message.get("role")), tokens))
        self._last = None

    def _take_answer(self, said: Said) -> None:
        key = said.answer if said.everywhere else None
        if key is not None and self._reading.is_copy(key, (self._file, self._id)):
            self._take_copy(said)
            return
        last = self._last
        # Lines with the same answer id are pieces of one answer, and one round trip.
        if last is None or said.answer is None or said.answer != last.key:
            if last is not None and _is_local(said, last):
                self._extend(last, replace(said, usage=None))
                return
            estimated = Usage(self._context, 0, min(self._cached, self._context))
            last = _Answer(said.answer, said.usage or estimated, said.usage is None, said.model)
            self._last, self._cached = last, last.prompt.prompt_tokens
            self._parts.append(last)
            self._turns += 1
        self._extend(last, said)

    def _take_copy(self, said: Said) -> None:
        """Add an answer of another session: it is in the prompt, but was no round trip here."""
        self._last = None
        texts = chat.texts(said.message.get("content"))
        given = map(chat.arguments_of, chat.tool_calls(said.message))
        self._note((*texts, reasoning_in(said.message), *given), self._turns)
        self._follow(said)

    def _extend(self, answer: _Answer, said: Said) -> None:
        """Add a piece of an answer."""
        turn, texts = self._turns - 1, list(chat.texts(said.message.get("content")))
        self._note((*texts, reasoning_in(said.message)), turn)
        made = [self._made(raw, said) for raw in chat.tool_calls(said.message)]
        answer.calls += made
        answer.derived |= _derived_from(said) - {None}
        self._note((chat.arguments_of(raw) for raw in chat.tool_calls(said.message)), turn)
        tokens = self._tokens(said)
        answer.text_tokens += max(0, tokens - sum(call.argument_tokens for call in made))
        answer.has_text |= any(text.strip() for text in texts)
        if said.usage is not None:
            answer.prompt, answer.estimated = said.usage, False
        self._follow(said, tokens)

    def _follow(self, said: Said, tokens: int | None = None) -> None:
        """Add an answer to the context of the next request."""
        if said.usage is None:
            self._context += self._tokens(said) if tokens is None else tokens
        else:
            self._context = said.usage.prompt_tokens + said.usage.completion_tokens
            self._cached, self._measured = said.usage.prompt_tokens, True

    def _made(self, raw: chat.ToolCall, said: Said) -> _Made:
        name, arguments = chat.name_of(raw), chat.arguments_of(raw)
        deed = deed_of(name, chat.function_of(raw).get("arguments"), self._tools)
        as_text = said.as_text or raw.get("type") == "custom"  # a custom call's input is a text
        return _Made(
            call_id=raw.get("id"),
            name=name,
            kind=deed.kind,
            path=deed.path,
            own=deed.own and not as_text,
            known_from=self._known_from(deed.path),
            argument_tokens=tokens_of(arguments),
            as_text=as_text,
        )

    def _take_result(self, said: Said) -> None:
        content, key = said.message.get("content"), said.message.get("tool_call_id")
        tokens = self._tokens(said)
        self._context += tokens
        self._note(chat.texts(content), self._turns)
        # Several results of one call are added up.
        made = next((call for call in self._calls() if call.call_id == key), None)
        if made is not None:
            made.result_tokens += tokens
            made.failed |= said.failed or looks_failed(chat.text_of(content))

    def _calls(self) -> Iterator[_Made]:
        """The calls of the last answer, to which results may belong."""
        yield from self._last.calls if self._last else ()

    def _tokens(self, said: Said) -> int:
        """The size of a message. A rough one is enough if the log reports the requests' usage."""
        if self._measured or said.usage is not None:
            return tokens_in(ChatEntry(said.message)) + tokens_of(reasoning_in(said.message))
        return self._estimate.raw({"model": said.model, "messages": [said.message]})

    def _note(self, texts: Iterable[str], turn: int) -> None:
        """Remember the names in some texts, which are known from this turn on."""
        for text in texts:
            for found in _NAME.finditer(text):
                if len(self._names) >= _MOST_NAMES:
                    return
                # A hash, since no text may be kept; trailing marks belong to the sentence.
                self._names.setdefault(hash(found[0].rstrip(".-+@")), turn)

    def _known_from(self, path: str | None) -> int | None:
        """The first turn at which all words of the path's last component were known; or None."""
        last = (path or "").replace("\\", "/").rstrip("/").rpartition("/")[2]
        words = [found[0].rstrip(".-+@") for found in _NAME.finditer(last)]
        known = [self._names.get(hash(word)) for word in words]
        if not known or None in known:
            return None
        return max(turn for turn in known if turn is not None)

    def _script(self) -> Iterator[Prompt | RecordedTurn]:
        index = number = 0
        for part in self._parts:
            if isinstance(part, Prompt):
                yield part
                continue
            calls = tuple(_call(made, number + n, index) for n, made in enumerate(part.calls))
            usage = part.prompt
            if part.estimated:
                said = part.text_tokens + sum(call.argument_tokens for call in calls)
                usage = Usage(usage.prompt_tokens, said, usage.cached_tokens)
            yield RecordedTurn(
                index,
                part.text_tokens,
                calls,
                usage,
                part.estimated,
                part.model,
                part.has_text,
            )
            index, number = index + 1, number + len(calls)


def _derived_from(said: Said) -> set[Any]:
    """The turns of the model that an answer's calls were derived from; None for other calls."""
    ids = (decode(raw.get("id")) for raw in chat.tool_calls(said.message))
    return {derived and derived.turn for derived in ids}


def _is_local(said: Said, last: _Answer) -> bool:
    """Whether batchwrap gave an answer itself: all its calls waited when the last was given."""
    turns = _derived_from(said)
    return bool(turns) and turns <= last.derived


def _call(made: _Made, number: int, group: int) -> RecordedCall:
    return RecordedCall(
        number=number,
        group=group,
        kind=made.kind,
        path=made.path,
        argument_tokens=made.argument_tokens,
        result_tokens=made.result_tokens,
        failed=made.failed,
        known_from=made.known_from,
        name=made.name,
        own=made.own,
        as_text=made.as_text,
    )
