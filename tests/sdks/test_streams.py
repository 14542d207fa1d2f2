"""Every stream that batchwrap writes is read alike by the SDKs' accumulators and by plain loops."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchwrap
from batchwrap.lab import Lab, Raw
from batchwrap.lab.api_forms import ScriptedAnswer, ScriptedCall
from batchwrap.lab.api_forms.messages_rules import signed
from tests.core.apis import CHAT, MESSAGES
from tests.core.samples import TOOLS, key
from tests.sdks.readers import READERS, Body, Reader
from tests.strategies import cuts, examples, texts, turns

_EVENTS = {"content-type": "text/event-stream"}
_OPTIONS: dict[str, Any] = {
    "reminders": batchwrap.Reminders(every=1, min_tokens_per_s=0),
    "throttle": None,
}


@dataclass(frozen=True)
class Turn:
    """A turn of the model.

    Attributes:
        parts: texts and calls, in the pieces in which they are streamed.
        means: the calls that it stands for.
        thinking: what it thinks before; empty if it does not.
        cut: the share of its stream behind which that breaks off once; None: it does not.
        tears: the shares of the stream at which its bytes are torn apart.
    """

    parts: Sequence[Sequence[str] | ScriptedCall]
    means: list[tuple[str, Any]]
    thinking: str
    cut: float | None
    tears: list[float]


@st.composite
def drawn_turns(draw: st.DrawFn) -> Turn:
    """A turn with calls, and texts before, between and behind them."""
    message, means = draw(turns())
    spoken = st.just("") | texts.filter(str.strip)
    parts: list[Sequence[str] | ScriptedCall] = []
    for one in message["tool_calls"]:
        if text := draw(spoken):
            parts.append(draw(cuts(text, most=3)))
        function = one["function"]
        pieces = draw(cuts(function["arguments"], most=6))
        parts.append(ScriptedCall("", function["name"], pieces))
    if text := draw(spoken):
        parts.append([text])
    return Turn(
        parts,
        means,
        thinking=draw(spoken),
        cut=draw(st.none() | st.none() | st.floats(0, 1)),
        tears=draw(st.lists(st.floats(0, 1), max_size=6)),
    )


class Model:
    """Says the turns of a session, one a request; one whose stream breaks off is said again."""

    def __init__(self) -> None:
        self.reader: Reader = READERS[0]
        self.turns: list[Turn] = []
        self.thinks = False
        self.said = 0

    def __call__(self, request: Body) -> Raw:
        """The next turn as the bytes of a stream."""
        if not self.turns:
            return Raw(
                200, _EVENTS, tuple(self._bytes(Turn([["Done."]], [], "", None, []), request))
            )
        turn, *rest = self.turns
        self.turns = rest if turn.cut is None else [replace(turn, cut=None), *rest]
        pieces = self._bytes(turn, request)
        if turn.cut is not None:
            pieces = pieces[: 1 + int(turn.cut * (len(pieces) - 2))]
        whole = b"".join(pieces)
        places = [0, *sorted(int(share * len(whole)) for share in turn.tears), len(whole)]
        torn = [whole[a:b] for a, b in pairwise(places)]
        return Raw(200, _EVENTS, tuple(filter(None, torn)))

    def _bytes(self, turn: Turn, request: Body) -> list[bytes]:
        self.said += 1
        parts = [
            replace(part, call_id=f"call_{self.said:04}{place:04}")
            if isinstance(part, ScriptedCall)
            else part
            for place, part in enumerate(turn.parts)
        ]
        answer = ScriptedAnswer(parts, answer_id=f"answer_{self.said}")
        thinking = turn.thinking if self.thinks else ""
        if self.reader.api is MESSAGES and thinking:
            signature = signed(request, thinking)
            answer = replace(answer, thinking=thinking, signature=signature)
        events = list(self.reader.api.form.events(answer))
        events = self.reader.with_reasoning(events, thinking) if thinking else events
        pieces = list(map(self.reader.written, events))
        return [*pieces, b"data: [DONE]\n\n"] if self.reader.api is CHAT else pieces


@dataclass
class Stage:
    """The servers: one with the model, and one that answers with bytes that were received."""

    model: Model
    provider: Lab
    echo: Lab
    received: list[bytes]


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """Both of them."""
    model, received = Model(), [b""]
    at_once: Any = {"tokens_per_s": math.inf, "ttft_s": 0}
    with ExitStack() as stack:
        provider = stack.enter_context(Lab(model, **at_once))
        echo = Lab(lambda _: Raw(200, _EVENTS, (received[0],)), **at_once)
        yield Stage(model, provider, stack.enter_context(echo), received)


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: repr(reader.api))
@given(session=st.lists(drawn_turns(), min_size=1, max_size=3), thinks=st.booleans())
@examples(40, quick=10)
def test_streams_are_read_alike(
    stage: Stage, reader: Reader, session: list[Turn], thinks: bool
) -> None:
    """Both have the same parts, whole or broken off; of all turns together no call is lost."""
    stage.model.reader, stage.model.turns = reader, list(session)
    stage.model.thinks = thinks
    body = reader.api.form.request(
        {
            "model": "m",
            "messages": [{"role": "user", "content": "Mend a.py."}],
            "tools": TOOLS,
            **({"thinking": {"type": "adaptive"}} if thinks and reader.api is MESSAGES else {}),
        }
    )
    items = reader.api.format.items_key
    ran: list[tuple[str, Any]] = []
    with reader.open(stage.provider.url) as bare, reader.open(stage.echo.url) as echo:
        client = batchwrap.wrap(bare, **_OPTIONS)
        is_over, requests = False, 0
        while not is_over:
            requests += 1
            assert requests < 200
            stage.received[0] = reader.received(client, body)
            if not stage.received[0]:
                continue
            said = reader.looped(echo)
            assert reader.accumulated(echo) == said
            if said.is_broken:
                continue
            calls = reader.calls(said)
            ran += [(name, arguments) for _, name, arguments in calls]
            body = {**body, items: [*body[items], *reader.goes_on(said, "ok")]}
            is_over = not calls and not stage.model.turns
    means = [one for turn in session for one in turn.means]
    assert sorted(map(key, ran)) == sorted(map(key, means))
