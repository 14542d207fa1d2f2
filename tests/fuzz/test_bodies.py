"""Whatever agents and providers send: nothing is lost, nothing raised that was not there before.

Each example is a conversation of a few requests, drawn by its number; bodies in it are as
real agents and providers send them, and then changed at any place.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from random import Random
from typing import Any

import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import batchwrap
from batchwrap import Batching, ReadAhead
from batchwrap.errors import BrokenAnswer
from batchwrap.lab import Lab, Raw
from batchwrap.lab.validate import check
from tests.fuzz import bodies
from tests.fuzz.provider import Client

# Quick, and as CI runs it: bodies in all.
BODIES = 20_000 if settings().max_examples > 1_000 else 400
ROUNDS = 3
FORMS: dict[str, dict[str, Any]] = {
    "default": {},
    "fast": {"preset": "fast"},
    "careful": {"preset": "careful"},
    "always": {"batching": Batching(coalesce="always")},
    "instead": {"batching": Batching(offer="instead")},
    "ahead": {"batching": Batching(read_ahead=ReadAhead()), "remind_every": 1},
    "serial": {"batching": Batching(delivery="serial", approvals=True)},
    "bare": {"repair": None},
    "bare_always": {"repair": None, "batching": Batching(coalesce="always")},
    "bare_instead": {"repair": None, "batching": Batching(offer="instead")},
}


def examples(share: float) -> Any:
    """So many conversations; the same in each run, so that what fails is what was changed."""
    number = max(1, round(BODIES * share / ROUNDS))
    return settings(max_examples=number, derandomize=True)


numbers = st.integers(0, 2**64 - 1)


@examples(0.5)
@given(number=numbers, form=st.sampled_from(sorted(FORMS)))
def test_plain(number: int, form: str) -> None:
    """Requests, histories and whole answers."""
    converse(Random(number), form, stream=False)


@examples(0.45)
@given(number=numbers, form=st.sampled_from(sorted(FORMS)))
def test_streamed(number: int, form: str) -> None:
    """The same with streams, cut at any byte."""
    converse(Random(number), form, stream=True)


@examples(0.03)
@given(number=numbers, form=st.sampled_from(sorted(FORMS)), stream=st.booleans())
def test_a_function(number: int, form: str, stream: bool) -> None:
    """The decorator: what the function gets and returns may be anything at all."""
    rng = Random(number)
    said = bodies.message(rng)
    answer: Any = bodies.streamed(said, rng) if stream else bodies.whole(said)
    answer = bodies.mutated(answer, rng, rng.randrange(3))
    got: list[Any] = []

    @batchwrap.batched(**FORMS[form])
    def complete(**kwargs: Any) -> Any:
        got.append(kwargs)
        return iter(answer) if stream else answer

    given = bodies.mutated(bodies.request(rng, [{"role": "user", "content": "Go."}]), rng, 3)
    if isinstance(given.get("messages"), list):
        given["messages"].append(rng.choice([None, {1}, {1: 2}, b"x", object(), {"x": object()}]))
    with suppress(BrokenAnswer):
        made = complete(**given, **({"stream": True} if stream else {}))
        assert not stream or list(made) is not None
    assert len(got) == 1
    assert batchwrap.stats(complete).internal_errors == 0


@examples(0.02)
@given(number=numbers, stream=st.booleans())
def test_the_sdk(clients: tuple[openai.OpenAI, openai.OpenAI], number: int, stream: bool) -> None:
    """A wrapped SDK client raises what a bare one raises, and nothing else."""
    rng = Random(number)
    said = bodies.message(rng)
    answer: Any = bodies.streamed(said, rng) if stream else bodies.whole(said)
    answer = bodies.mutated(answer, rng, rng.randrange(3))
    pieces = bodies.events(answer, rng) if stream else [json.dumps(answer).encode()]
    kind = "text/event-stream" if stream else "application/json"
    SAID[:] = [Raw(200, {"content-type": kind}, (b"".join(pieces),))]
    body = bodies.mutated(bodies.request(rng, [{"role": "user", "content": "Go."}]), rng, 2)
    names = ("messages", "tools", "temperature", "seed", "max_tokens")
    body = {name: body[name] for name in names if name in body}
    body |= {"model": "m", "messages": body.get("messages"), "stream": stream}
    bare, wrapped = (_outcome(client, body) for client in clients)
    assert bare == wrapped
    assert batchwrap.stats(clients[1]).internal_errors == 0


SAID: list[Raw] = []


@pytest.fixture(scope="module")
def clients() -> Iterator[tuple[openai.OpenAI, openai.OpenAI]]:
    """A client, and a wrapped one, of a provider that always says the same."""
    with (
        Lab(lambda _: SAID[0], tokens_per_s=math.inf, ttft_s=0) as lab,
        openai.OpenAI(base_url=lab.base_url, api_key="k", max_retries=0) as bare,
    ):
        yield bare, batchwrap.wrap(bare, repair=None)


def _outcome(client: openai.OpenAI, body: dict[str, Any]) -> str:
    """How a request ends."""
    try:
        made: Any = client.chat.completions.create(**body)
        return "a stream" if isinstance(made, openai.Stream) and list(made) else "an answer"
    except Exception as error:
        return type(error).__name__


def converse(rng: Random, form: str, *, stream: bool) -> None:
    """A few requests of one conversation."""
    client = Client(**FORMS[form])
    messages: list[Any] = [
        {"role": "system", "content": rng.choice(bodies.TEXTS)},
        {"role": "user", "content": f"Read {rng.choice(bodies.FILES)}."},
    ]
    for _ in range(ROUNDS):
        said = bodies.message(rng)
        body = bodies.request(rng, messages)
        if stream:
            body["stream"] = True
        answer: Any = bodies.streamed(said, rng) if stream else bodies.whole(said)
        rude = rng.random()
        if rude < 0.5:
            body = bodies.mutated(body, rng, rng.choice([1, 1, 2, 5]))
        if rude > 0.3:
            answer = bodies.mutated(answer, rng, rng.choice([1, 1, 2, 5]))
        given = bodies.events(answer, rng) if stream else [json.dumps(answer).encode()]
        content = json.dumps(body).encode()
        sent, response = client.post(content, given)
        got = response.content
        assert client.stats.internal_errors == 0
        check_request(content, sent, strict=form.startswith("bare"))
        if sent and form.startswith("bare"):
            check = check_stream if stream else check_answer
            check(answer, given, response.status_code, got)
        agents = message_of(got, stream=stream)
        if agents is not None:
            messages = [*messages, agents, *bodies.results(agents, rng)]
    client.close()


def check_request(content: bytes, sent: list[bytes], *, strict: bool) -> None:
    """What reached the provider is the agent's bytes, or a conversation with the same content."""
    assert len(sent) <= 2  # the model is asked again once
    if sent[:1] in ([], [content]):
        return
    agents, providers = json.loads(content), json.loads(sent[0])
    if strict:
        ours = {"messages", "tools", "stream_options"}
        for name in agents.keys() - ours:
            assert json.dumps(providers[name]) == json.dumps(agents[name]), name
        assert providers.keys() - agents.keys() <= ours
        lost = Counter(leaves(agents["messages"])) - Counter(leaves(providers["messages"]))
        told = "\n".join(leaves(providers["messages"]))
        assert all(leaf in told for leaf in lost), lost
    if check(agents) is None and (refused := check(providers)) is not None:
        # What the provider itself has written goes back to it as it was.
        assert refused.body["error"]["param"].endswith((".id", ".arguments")), refused
        assert "Duplicate" not in refused.body["error"]["message"]


def leaves(value: Any) -> Iterator[str]:
    """All texts and numbers in messages but ids and names, also those in arguments."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict) and one.get("role") == "tool":
            waiting.append(one.get("content"))  # several become one message
        elif isinstance(one, dict) and "function" in one:
            # And several of these one call.
            function = one["function"]
            waiting.append(
                _read(function.get("arguments") if isinstance(function, dict) else function)
            )
        elif isinstance(one, dict):
            hidden = {"id", "tool_call_id", "role", "type", "name"}
            waiting += [
                _read(item) if name == "arguments" else item
                for name, item in one.items()
                if name not in hidden
            ]
        elif isinstance(one, list):
            waiting += one
        elif one is not None:
            yield one if isinstance(one, str) else json.dumps(one)


def _read(arguments: Any) -> Any:
    try:
        return json.loads(arguments)
    except (RecursionError, TypeError, ValueError):
        return arguments


def check_answer(answer: Any, given: list[bytes], status: int, got: bytes) -> None:
    """What the agent gets is the answer as it came, or the same with single calls."""
    assert status == 200
    if got == given[0]:
        return
    made = json.loads(got)
    rest = {name: value for name, value in answer.items() if name != "choices"}
    assert json.dumps({n: v for n, v in made.items() if n != "choices"}) == json.dumps(rest)
    for old, new in zip(answer["choices"], made["choices"], strict=True):
        if old == new:
            continue
        before, after = old["message"], new["message"]
        kept = {name: value for name, value in before.items() if name != "tool_calls"}
        assert json.dumps({n: v for n, v in after.items() if n != "tool_calls"}) == json.dumps(kept)


def check_stream(answer: Any, given: list[bytes], status: int, got: bytes) -> None:
    """The same for a stream: all its text is there, in order, and its end."""
    assert status == 200
    came = b"".join(given)
    if got == came:
        return
    assert (b"[DONE]" in got) == (b"[DONE]" in came)
    assert texts_of(came) == texts_of(got)


def texts_of(stream: bytes) -> dict[str, str]:
    """The text of each choice of a stream."""
    texts: dict[str, str] = {}
    for one in chunks_of(stream):
        choices = one.get("choices") if isinstance(one, dict) else None
        for place, choice in enumerate(choices if isinstance(choices, list) else ()):
            delta = choice.get("delta") if isinstance(choice, dict) else None
            text = delta.get("content") if isinstance(delta, dict) else None
            if isinstance(text, str) and text:
                index = choice.get("index")
                key = str(int(index) if isinstance(index, int) else place)
                texts[key] = texts.get(key, "") + text
    return texts


def chunks_of(stream: bytes) -> list[Any]:
    """The chunks of a stream."""
    lines = stream.decode().split("\n\n")
    return [json.loads(line[6:]) for line in lines if line.startswith("data: ") and line[6] != "["]


def message_of(got: bytes, *, stream: bool) -> dict[str, Any] | None:
    """The message that an agent makes of an answer; None for one that it cannot use."""
    try:
        if not stream:
            message = json.loads(got)["choices"][0]["message"]
            [call["id"] for call in message.get("tool_calls") or ()]
            return dict(message)
        text, calls = "", dict[Any, Any]()
        for one in chunks_of(got):
            delta = one["choices"][0]["delta"]
            text += delta.get("content") or ""
            for part in delta.get("tool_calls") or ():
                if part["index"] not in calls:
                    calls[part["index"]] = {**part, "function": dict(part["function"])}
                else:
                    calls[part["index"]]["function"]["arguments"] += part["function"]["arguments"]
        listed = [{n: v for n, v in call.items() if n != "index"} for call in calls.values()]
        [call["id"] for call in listed]
        return {"role": "assistant", "content": text, **({"tool_calls": listed} if listed else {})}
    except (AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError):
        return None
