"""What DESIGN promises of scripts, whatever the program, its results, the agent and the API."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from batchwrap.core.moves import ids
from batchwrap.options import Batching, Scripts
from tests.core.apis import Api, Message, each_api
from tests.core.harness import call
from tests.core.samples import touches
from tests.core.script_play import Agent, Play, Provider, has_our_ids, key, says, script, told
from tests.core.script_programs import Ran, World, programs, run_plainly, worlds
from tests.strategies import examples, single_calls

_LINE = re.compile(r"\[(\d+) calls? ran: (.*?)(?:; (\d+) failed)?\]\Z")


@dataclass(frozen=True)
class Said:
    """A turn of the model, and what it stands for.

    Attributes:
        message: it.
        codes: its programs, by the ids of their calls.
        means: its other calls.
    """

    message: Message
    codes: dict[str, str]
    means: list[tuple[str, Any]]


@st.composite
def turns(draw: st.DrawFn) -> list[Said]:
    """Turns of the model with a script or two, and other calls around them."""
    made = []
    for turn in range(draw(st.integers(1, 2))):
        kinds = draw(st.lists(st.sampled_from(["script", "single", "multi"]), max_size=3))
        kinds.insert(draw(st.integers(0, len(kinds))), "script")
        calls, codes, means = [], {}, []
        for place, kind in enumerate(kinds):
            call_id = f"call_{turn}_{place}_" + "x" * draw(st.integers(0, 20))
            if kind == "script":
                codes[call_id] = draw(programs())
                calls.append(script(call_id, codes[call_id]))
            elif kind == "single":
                name, arguments = draw(single_calls)
                means.append((name, arguments))
                calls.append(call(call_id, name, arguments))
            else:
                some = draw(st.lists(single_calls, min_size=1, max_size=3))
                means += some
                items = [{"tool": name, "arguments": given} for name, given in some]
                calls.append(call(call_id, "batch", {"calls": items}))
        text = draw(st.sampled_from([None, "I look."]))
        made.append(Said(says(*calls, text=text), codes, means))
    return made


agents = st.builds(
    Agent,
    streams=st.booleans(),
    takes=st.sampled_from(["all", "all", "first", "skips"]),
    ids=st.sampled_from(["kept", "kept", "cut", "own"]),
    keeps=st.booleans(),
    retries=st.booleans(),
)
options = st.one_of(
    st.just(Batching(coalesce="never", scripts=Scripts())),
    st.builds(
        Batching,
        coalesce=st.just("never"),
        scripts=st.just(Scripts()),
        delivery=st.sampled_from(["auto", "parallel", "serial"]),
        approvals=st.booleans(),
        max_items=st.integers(2, 4),
    ),
    st.just(Batching(coalesce="never", scripts=Scripts(), delivery="at_once")),
)


def plainly(said: list[Said], world: World) -> dict[str, Ran]:
    """What each program does in Python, by the id of its call."""
    return {name: run_plainly(code, world) for one in said for name, code in one.codes.items()}


def may_run(said: list[Said], world: World) -> Counter[str]:
    """The calls that the model has made, as far as its programs go in that world."""
    made = [one for turn in said for one in turn.means]
    made += [one for ran in plainly(said, world).values() for one in ran.calls]
    return Counter(key(*one) for one in made)


def check_accounts(play: Play, said: list[Said], worlds_: list[World]) -> None:
    """What the model is told of each script has happened, as far as can be told from outside."""
    by_script: dict[str, list[tuple[str, str]]] = {}
    for call_id, name, _, status in play.ran:
        derived = ids.decode(call_id)
        if derived is not None and derived.kind == "x":
            by_script.setdefault(derived.origin, []).append((name, status))
    codes = {name: code for one in said for name, code in one.codes.items()}
    for call_id, text in told(play).items():
        if call_id not in codes:
            continue
        ran = by_script.get(ids.short(call_id), [])
        line = _LINE.search(text)
        if line is None:
            assert text.endswith("[No call was run.]") or "not run" in text, text
            assert play.agent.ids != "kept" or not ran
            continue
        counted = Counter({one.split()[0]: int(one.split()[1]) for one in line[2].split(", ")})
        if play.agent.ids == "kept" and play.agent.takes != "skips":
            assert counted == Counter(name for name, _ in ran), (text, ran)
            assert int(line[3] or 0) == sum(status == "failed" for _, status in ran)
        printed = [run_plainly(codes[call_id], world).printed for world in worlds_]
        first = text.split("\n")[0]
        is_line = first.startswith(("[", "the record", "call ")) or "Error" in first
        assert is_line or any(first in one for one in printed), (text, printed)


def check_provider(play: Play, said: list[Said], *, exact: bool = True) -> None:
    """The provider saw valid conversations, its own ids, and each request extends the last."""
    api, provider = play.api, play.provider
    assert provider.faults == []
    wrote = {one["id"]: one for turn in said for one in api.written(turn.message)["tool_calls"]}
    for body in provider.requests:
        assert not has_our_ids(body, api)
        for message in api.form.as_chat(body)["messages"]:
            for one in message.get("tool_calls") or ():
                if play.agent.ids == "kept" and exact:
                    assert one == wrote[one["id"]]
                elif one["function"]["name"] == "run_script":
                    assert one["function"] in [other["function"] for other in wrote.values()]
    sent = sorted((api.format.items(body) for body in provider.requests), key=len)
    for before, after in pairwise(sent):
        assert after[: len(before)] == before


@each_api
@examples(30, quick=10)
@given(turns(), worlds, agents, options, st.booleans())
def test_a_script_runs(
    api: Api, said: list[Said], world: World, agent: Agent, batching: Batching, one_by_one: bool
) -> None:
    """Each call once, none that was not made, and the model is told what has happened."""
    play = Play(Provider(api, [one.message for one in said]), agent, world, batching)
    play.extra = {"parallel_tool_calls": False} if one_by_one else {}
    play.run()
    made = may_run(said, world)
    assert play.calls_run() <= made or agent.takes == "skips"
    ran = plainly(said, world)
    is_plain = agent.takes in ("all", "first") and (agent.ids, agent.takes) != ("own", "first")
    is_fine = not any(one[3] in ("failed", "denied") for one in play.ran)
    if agent.ids == "kept" and is_plain and is_fine:
        assert play.calls_run() == made
        for call_id, text in told(play).items():
            if call_id in ran and not ran[call_id].error:
                assert text.startswith(ran[call_id].printed.rstrip("\n")), (text, ran[call_id])
    check_accounts(play, said, [world])
    if is_plain:
        check_provider(play, said)
    if batching.delivery != "at_once":
        for message in play.told:
            calls = [
                (one["function"]["name"], json.loads(one["function"]["arguments"]))
                for one in message.get("tool_calls") or ()
            ]
            assert not any(touches(one, other) for one, other in combinations(calls, 2))
        waves = [one["tool_calls"] for one in play.told if are_script_calls(one)]
        is_serial = batching.delivery == "serial" or (one_by_one and batching.delivery == "auto")
        assert all(len(wave) <= (1 if is_serial else batching.max_items) for wave in waves)
        if batching.approvals:
            names = [[one["function"]["name"] for one in wave] for wave in waves]
            assert all(some.count("edit_file") <= 1 for some in names)


def are_script_calls(message: Message) -> bool:
    """Whether scripts have made all calls of an answer."""
    found = [ids.decode(one["id"]) for one in message.get("tool_calls") or ()]
    return bool(found) and all(one is not None and one.kind == "x" for one in found)


def is_script_call(message: Message) -> bool:
    """Whether any call of an answer is one that a script has made."""
    found = (ids.decode(one["id"]) for one in message.get("tool_calls") or ())
    return any(one is not None and one.kind == "x" for one in found)


@each_api
@examples(30, quick=10)
@given(turns(), worlds, agents, options, st.integers(1, 3), st.sampled_from(["person", "model"]))
def test_something_else_is_said(
    api: Api, said: list[Said], world: World, agent: Agent, batching: Batching, at: int, what: str
) -> None:
    """A person's message, or another model, in the middle ends the scripts of that turn."""
    agent = replace(agent, retries=False)
    play = Play(Provider(api, [said[0].message]), agent, world, batching)
    play.run(until=lambda play: len(play.told) == at)
    if not play.told[-1].get("tool_calls"):
        return
    if what == "person":
        play.history.append({"role": "user", "content": "Stop."})
    else:
        play.model = "another"
    before, ran = len(play.requests), len(play.ran)
    play.run()
    assert len(play.requests) == before + 1
    assert len(play.ran) == ran
    assert play.calls_run() <= may_run(said[:1], world) or agent.takes == "skips"
    check_accounts(play, said, [world])
    check_provider(play, said, exact=what != "model")


@each_api
@examples(30, quick=10)
@given(turns(), worlds, agents, options, st.integers(1, 3), st.booleans())
def test_another_process(
    api: Api, said: list[Said], world: World, agent: Agent, batching: Batching, at: int, runs: bool
) -> None:
    """Where the program has travelled, another process goes on; else the conversation does."""
    agent = replace(agent, retries=False, ids="kept", takes="all")
    play = Play(Provider(api, [said[0].message]), agent, world, batching)
    play.run(until=lambda play: len(play.told) == at)
    play.restart(batching if runs else replace(batching, scripts=None))
    play.run()
    assert play.calls_run() <= may_run(said[:1], world)
    assert play.provider.faults == []
    # What was asked again, since a program made no call, is kept in memory alone.
    has_calls = all(one.calls for one in plainly(said[:1], world).values())
    is_alone = len(said[0].message["tool_calls"]) == 1 and has_calls
    if api.format.carries_scripts and agent.keeps and runs and is_alone:
        if not any(one[3] in ("failed", "denied") for one in play.ran):
            assert play.calls_run() == may_run(said[:1], world)
        check_accounts(play, said, [world])
        check_provider(play, said)


@each_api
@examples(30, quick=10)
@given(turns(), worlds, worlds, agents, options, st.integers(1, 3))
def test_forks(
    api: Api,
    said: list[Said],
    world: World,
    another: World,
    agent: Agent,
    batching: Batching,
    at: int,
) -> None:
    """Of two conversations that begin alike, each gets the calls that follow from its results.

    The agent keeps its ids or cuts them: with ids of its own, a call that only the other one has
    made could not be told from an equal one of this one.
    """
    agent = replace(
        agent, retries=False, takes="all", ids="kept" if agent.ids == "own" else agent.ids
    )
    play = Play(Provider(api, [said[0].message]), agent, world, batching)
    play.run(until=lambda play: len(play.told) == at)
    if not play.told[-1].get("tool_calls"):
        return
    other = play.fork(another)
    other.provider = replace(play.provider, requests=[*play.requests])
    one = play.fork(play.world)
    turns_ = [one, other]
    while turns_:
        turns_ = [some for some in turns_ if some.step()]
    for some in (one, other):
        assert some.calls_run() <= may_run(said[:1], some.world)
    assert play.provider.faults == []


@each_api
@examples(30, quick=10)
@given(turns(), worlds, agents, options, st.integers(2, 4), st.integers(1, 3))
def test_a_window(
    api: Api, said: list[Said], world: World, agent: Agent, batching: Batching, at: int, cut: int
) -> None:
    """Where an agent's window has dropped the first waves, nothing is made up or run again.

    It keeps its ids or cuts them: equal calls with ids of its own could not be told apart.
    """
    agent = replace(
        agent, retries=False, takes="all", ids="kept" if agent.ids == "own" else agent.ids
    )
    play = Play(Provider(api, [said[0].message]), agent, world, batching)
    play.run(until=lambda play: len(play.told) == at)
    if not play.told[-1].get("tool_calls"):
        return
    starts = [n for n, one in enumerate(play.history) if one["role"] == "assistant"]
    drop = starts[min(cut, len(starts) - 1)]
    play.history = [play.history[0], *play.history[drop:]]
    play.run()
    assert play.provider.faults == []
    assert play.calls_run() <= may_run(said[:1], world)
    if agent.ids == "kept":
        assert max(Counter(call_id for call_id, *_ in play.ran).values()) == 1


@each_api
@examples(30, quick=10)
@given(turns(), worlds, agents, options, st.integers(1, 3), st.integers(0, 2))
def test_a_hook(
    api: Api, said: list[Said], world: World, agent: Agent, batching: Batching, at: int, place: int
) -> None:
    """Where an agent has changed a call before it ran, the script ends, and the model is told."""
    agent = replace(agent, retries=False, takes="all", ids="kept")
    play = Play(Provider(api, [said[0].message]), agent, world, batching)
    play.run(until=lambda play: len(play.told) == at)
    if not is_script_call(play.told[-1]):
        return
    made = [one for one in play.history if one["role"] == "assistant"][-1]["tool_calls"]
    one = made[place % len(made)]
    derived = ids.decode(one["id"])
    if derived is None or derived.kind != "x":
        return
    given_ = json.loads(one["function"]["arguments"])
    one["function"] = {**one["function"], "arguments": json.dumps({**given_, "path": "other.py"})}
    before = Counter(call_id for call_id, *_ in play.ran)
    play.run()
    assert play.provider.faults == []
    after = Counter(call_id for call_id, *_ in play.ran) - before
    assert not any((it := ids.decode(name)) and it.origin == derived.origin for name in after)
    text = next(text for name, text in told(play).items() if ids.short(name) == derived.origin)
    assert "the record of this conversation differs" in text or "denied" in text


@st.composite
def futile(draw: st.DrawFn) -> list[Message]:
    """Turns of the model of which some do nothing, or mean nothing."""
    made = []
    for turn in range(draw(st.integers(1, 5))):
        call_id = f"call_{turn}"
        text = draw(st.sampled_from([None, None, "I look."]))
        match draw(st.sampled_from(["none", "none", "syntax", "empty", "batch", "runs", "single"])):
            case "none":
                calls = [script(call_id, f"print({turn})")]
            case "syntax":
                calls = [script(call_id, "x = (")]
            case "empty":
                calls = [call(call_id, "run_script", {"a": 1, "b": "", "c": ""})]
            case "batch":
                calls = [call(call_id, "batch", {"calls": 7})]
            case "runs":
                calls = [script(call_id, f"await read_file(path='{turn}.py')")]
            case _:
                calls = [call(call_id, "read_file", {"path": f"{turn}.py"})]
        made.append(says(*calls, text=text))
    return made


@each_api
@examples(30, quick=10)
@given(futile(), worlds, agents, options, st.booleans())
def test_what_was_asked_again_stays(
    api: Api, said: list[Message], world: World, agent: Agent, batching: Batching, more: bool
) -> None:
    """The attempt and what was told of it stand in all later requests, where they stood."""
    play = Play(Provider(api, said), agent, world, batching)
    play.run()
    if more:
        play.history.append({"role": "user", "content": "Go on."})
        play.run()
    assert play.provider.faults == []
    sent = sorted((api.format.items(body) for body in play.requests), key=len)
    for before, after in pairwise(sent):
        assert after[: len(before)] == before


@each_api
@examples(30, quick=10)
@given(
    turns(),
    worlds,
    agents,
    options,
    st.integers(1, 3),
    st.sampled_from(["refuses", "plain", "no scripts", "twice"]),
)
def test_the_conversation_goes_on(
    api: Api, said: list[Said], world: World, agent: Agent, batching: Batching, at: int, what: str
) -> None:
    """A provider that refuses what is offered, and a process without scripts, end no conversation.

    No provider gets the field in which a program travels, whatever else it gets.
    """
    agent = replace(agent, retries=False)
    play = Play(Provider(api, [said[0].message]), agent, world, batching)
    play.run(until=lambda play: len(play.told) == at)
    if what in ("refuses", "twice"):
        play.history.append({"role": "user", "content": "Go on."})
        play.provider.refuses = True
    else:
        play.restart(None if what == "plain" else replace(batching, scripts=None))
    play.run()
    if what == "twice":
        play.history.append({"role": "user", "content": "Go on."})
        play.run()
    assert play.told[-1]["content"] == "Done."
    assert set(play.provider.faults) <= {"too many tools"}
    assert play.calls_run() <= may_run(said[:1], world) or agent.takes == "skips"


@each_api
@examples(30, quick=10)
@given(turns(), worlds, agents, options, st.floats(0, 1), st.integers(1, 60), st.integers(1, 9))
def test_a_stream(
    api: Api,
    said: list[Said],
    world: World,
    agent: Agent,
    batching: Batching,
    cut: float,
    size: int,
    pieces: int,
) -> None:
    """However a stream is split, and wherever it breaks off, no call is made up or lost."""
    agent = replace(agent, retries=False, takes="all", streams=True)
    provider = Provider(api, [said[0].message], pieces=pieces, size=size, cut=cut)
    play = Play(provider, agent, world, batching)
    goes_on = play.step()
    provider.cut = None
    if not goes_on:
        play.history = play.history[:1]
    play.run()
    assert provider.faults == []
    assert play.calls_run() <= may_run(said[:1], world)
    if not goes_on and not any(one[3] in ("failed", "denied") for one in play.ran):
        assert play.calls_run() == may_run(said[:1], world)
