"""What DESIGN promises of the two views, in any session and in each API."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise
from typing import Any

from hypothesis import given

from batchwrap.core.moves import ids
from batchwrap.options import Batching, Options, Reminders
from tests.core.apis import Api, as_json, each_api
from tests.core.harness import Bench
from tests.core.played import Player
from tests.core.samples import key, touches
from tests.strategies import Step, sessions

PLAIN = Options(reminders=None, batching=Batching(coalesce="never"))
REMINDED = Options(reminders=Reminders(every=2), batching=Batching(coalesce="never"))
RESULT = re.compile(r"result-\d+-\d+\.")


def told(messages: list[dict[str, Any]]) -> str:
    """All results."""
    return "\n".join(str(m["content"]) for m in messages if m["role"] == "tool")


@each_api
@given(sessions)
def test_nothing_lost_invented_or_reordered(api: Api, session: list[Step]) -> None:
    """The agent runs the model's calls, each once, those of one file in the model's order."""
    for played in Player(Bench(PLAIN, api=api)).play(session).played:
        means = [key(made) for made in played.step.means]
        ran = [key(made) for made, _ in played.ran]
        assert Counter(ran) <= Counter(means)
        if played.step.is_plain:
            assert Counter(ran) == Counter(means)
        # A place for each of the model's calls, in the order in which equal ones were run.
        places: dict[str, list[int]] = {}
        for place, made in enumerate(ran):
            places.setdefault(made, []).append(place)
        order = [(one, some.pop(0)) for one in played.step.means if (some := places.get(key(one)))]
        for number, (one, before) in enumerate(order):
            assert all(before < at for other, at in order[number + 1 :] if touches(one, other))


@each_api
@given(sessions)
def test_conflicts_wait(api: Api, session: list[Step]) -> None:
    """No answer that an agent gets has two calls of which one changes what the other touches."""
    for played in Player(Bench(PLAIN, api=api)).play(session).played:
        for message in played.got:
            calls = as_json(message)
            for number, one in enumerate(calls):
                assert not any(touches(one, other) for other in calls[number + 1 :])


@each_api
@given(sessions)
def test_the_provider_sees_its_own(api: Api, session: list[Step]) -> None:
    """Its turns stand there as it said them, with its own ids, each call answered in order."""
    player = Player(Bench(PLAIN, api=api)).play(session)
    sent = player.sent
    made = [one for m in sent for one in m.get("tool_calls") or ()]
    assert not any(ids.decode(one["id"]) for one in made)
    answered = [m["tool_call_id"] for m in sent if m["role"] == "tool"]
    assert answered == [one["id"] for one in made]
    known = all(one.step.forgets == "" and one.step.is_plain for one in player.played)
    if known:  # else the same items under ids that may be shorter
        said = [api.written(one.step.message)["tool_calls"] for one in player.played]
        assert made == [call for calls in said for call in calls]


@each_api
@given(sessions)
def test_each_result_reaches_the_model_once(api: Api, session: list[Step]) -> None:
    """None is lost, none comes twice, whatever failed, was cut off, denied or forgotten."""
    player = Player(Bench(PLAIN, api=api)).play(session)
    given_results = [text for played in player.played for _, text in played.ran]
    found = Counter(RESULT.findall(told(player.sent)))
    assert found == Counter(name for text in given_results for name in RESULT.findall(text))


@each_api
@given(sessions)
def test_what_did_not_run_is_said_not_to_have_run(api: Api, session: list[Step]) -> None:
    """Of a multi-call that is known, every item has its result or a line that it was not run."""
    player = Player(Bench(PLAIN, api=api)).play(session)
    sent = player.sent
    results = [m for m in sent if m["role"] == "tool"]
    calls = [one for m in sent for one in m.get("tool_calls") or ()]
    for one, result in zip(calls, results, strict=True):
        [(name, arguments)] = as_json({"tool_calls": [one]})
        items = arguments.get("files") or arguments.get("calls") or [] if name != "grep" else []
        if name.startswith("multi_") or name == "batch":
            lines = re.findall(r"^\[(\d+)(?:-(\d+))?/(\d+)\]", str(result["content"]), re.MULTILINE)
            covered = {n for a, b, _ in lines for n in range(int(a), int(b or a) + 1)}
            assert covered >= set(range(1, len(items) + 1))


@each_api
@given(sessions)
def test_the_prompt_prefix_stays(api: Api, session: list[Step]) -> None:
    """Request k + 1 starts with request k, in each byte that is sent, reminders included."""
    remembered = [step for step in session if not step.forgets]
    player = Player(Bench(REMINDED, api=api)).play(remembered)
    last = api.format.items(player.bench.wire(player.body))
    sent = [*(played.sent for played in player.played), last]
    for before, after in pairwise(sent):
        assert after[: len(before)] == before
