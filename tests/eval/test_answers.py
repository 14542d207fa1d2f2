"""Single answers: the situations, the requests over HTTP to the lab, the file, the shares."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwrap.errors import ConfigError
from batchwrap.eval.answers.answer_file import AnswerFile, ModelAnswer, read
from batchwrap.eval.answers.answer_report import answer_markdown, answers_as_dict
from batchwrap.eval.answers.answer_session import AnswerPlan, ask_all
from batchwrap.eval.answers.answer_summary import shares
from batchwrap.eval.answers.scripted_answers import answerer
from batchwrap.eval.answers.situations import KINDS, LAPSES, Kind, situations
from batchwrap.eval.arms import arm
from batchwrap.eval.eval_session import SessionOutcome
from batchwrap.eval.simulated import MODELS
from batchwrap.eval.token_budget import TokenBudget
from batchwrap.lab import Call, Lab, Model, Raw, Reply
from batchwrap.lab.validate import check
from tests.eval.helpers import endpoint_of, quick_lab

ENDED = SessionOutcome()
SETTING = {"model": "scripted"}


def plan_of(kind: Kind, *arms: str, **options: Any) -> AnswerPlan:
    return AnswerPlan(arms={kind: [arm(text) for text in arms]}, **options)


def ask(
    lab: Lab, plan: AnswerPlan, file: AnswerFile, budget: TokenBudget | None = None, **options: Any
) -> SessionOutcome:
    return ask_all(plan, endpoint_of(lab), file, budget=budget or TokenBudget(), **options)


def memory() -> AnswerFile:
    return AnswerFile(None, SETTING, {})


def playing(name: str) -> Model:
    return answerer(MODELS[name])


def answer_of(**values: Any) -> ModelAnswer:
    known: dict[str, Any] = {
        "kind": "first",
        "situation": "prompt 1",
        "arm": "bare",
        "number": 1,
        "options": "bare",
        "lapses": 0,
        "wanted": 3,
    }
    return ModelAnswer(**(known | values))


def test_first_prompts() -> None:
    """Twelve prompts name two to five files each, 36 in all, and each of them in so many words."""
    made = situations("first", 1)
    assert len(made) == len({it.name for it in made}) == 12
    assert sorted({len(it.wanted) for it in made}) == [2, 3, 4, 5]
    assert sum(len(it.wanted) for it in made) == 36
    for it in made:
        [message] = it.messages
        assert all(path in message["content"] for path in it.wanted)
        assert "{" not in message["content"]


@given(kind=st.sampled_from(KINDS), number=st.integers(1, 50), seed=st.integers(0, 9))
def test_situations_are_conversations(kind: Kind, number: int, seed: int) -> None:
    """Each is a valid conversation that wants files which it names, the same for the same seed."""
    made = situations(kind, number, seed)
    assert made == situations(kind, number, seed)
    for it in made:
        assert check({"model": "any", "messages": list(it.messages)}) is None
        assert it.messages[-1]["role"] in ("user", "tool")
        text = json.dumps(it.messages)
        assert all(path in text for path in it.wanted)
        assert len(set(it.wanted)) == len(it.wanted) >= 2


def test_other_numbers_have_other_files() -> None:
    """A second run asks about other files."""
    for kind in KINDS:
        first, second = (situations(kind, number) for number in (1, 2))
        assert [it.name for it in first] == [it.name for it in second]
        assert [it.wanted for it in first] != [it.wanted for it in second]


def test_lapses_are_single_reads() -> None:
    """Before a second answer there are 2, 4 or 6 turns with one read, of other files."""
    made = situations("second", 1)
    assert {it.lapses for it in made} == set(LAPSES)
    for it in made:
        turns = [m["tool_calls"] for m in it.messages if m["role"] == "assistant"]
        reads = [calls for calls in turns if calls[0]["function"]["name"] == "read_file"]
        assert [len(calls) for calls in reads] == [1] * it.lapses
        read = {json.loads(calls[0]["function"]["arguments"])["path"] for calls in reads}
        assert read.isdisjoint(it.wanted)


@pytest.mark.parametrize(
    ("kind", "arms"),
    [("first", ("offer", "instead")), ("second", ("offer",)), ("edits", ("offer",))],
)
def test_a_model_that_batches(kind: Kind, arms: tuple[str, ...]) -> None:
    """What the model batches is complete, by a multi-tool beside the single one or instead."""
    file = memory()
    with quick_lab(playing("cooperates")) as lab:
        assert ask(lab, plan_of(kind, "bare", *arms), file) == ENDED
    summed = shares(file.answers)
    for it in summed:
        batched = it.arm != "bare"
        assert it.complete == it.batches == (it.answers if batched else 0)
        assert it.eligible == it.answers
        assert it.called == (it.wanted if batched else it.answers)
        assert (it.malformed, it.refused) == (0, 0)
    made = sum(answer.multi_calls for answer in file.answers if answer.arm != "bare")
    assert made == sum(answer.arm != "bare" for answer in file.answers)


def test_a_model_that_forgets() -> None:
    """After lapses it batches only where its newest message has a reminder."""
    file = memory()
    lapse = "lapse=every=none,cooldown=2"
    with quick_lab(playing("forgets")) as lab:
        assert ask(lab, plan_of("second", "offer", lapse), file) == ENDED
    for it in shares(file.answers):
        reminded = it.answers if it.arm == "lapse" else 0
        assert (it.batches, it.reminded) == (reminded, reminded)


def test_parallel_calls_and_odd_paths_count() -> None:
    """Several calls in one answer are a batch without batchwrap, too; `./` and `@` are left out."""
    wanted = situations("first", 1)[0].wanted
    calls = [Call("read_file", {"path": f"./{path}"}) for path in (*wanted, wanted[0])]
    calls[0] = Call("read_file", {"path": f"@{wanted[0]}"})
    calls += [Call("read_file", {"path": 7}), Call("read_file", {}), Call("list_files", {})]
    file = memory()
    with quick_lab(lambda _: Reply(calls=tuple(calls))) as lab:
        ask(lab, plan_of("first", "bare"), file)
    first = file.answers[0]
    assert (first.called, first.wanted, first.calls) == (2, 2, 6)
    assert first.is_complete


def test_an_answer_without_calls() -> None:
    """Words alone are an answer that is not eligible."""
    file = memory()
    with quick_lab(lambda _: Reply("I would read them.")) as lab:
        assert ask(lab, plan_of("edits", "bare"), file) == ENDED
    [it] = shares(file.answers)
    assert (it.eligible, it.batches, it.complete) == (0, 0, 0)
    assert it.batch_share is None
    assert "| 0/0 |" in answer_markdown("Title", [it])


def test_what_is_there_is_not_asked_again(tmp_path: Path) -> None:
    """Each answer is on the disk when it is told, and a second session asks for the rest only."""
    path, told = tmp_path / "answers.json", list[ModelAnswer]()

    def tell(answer: ModelAnswer) -> None:
        told.append(answer)
        assert read(path)[2] == told

    with quick_lab(playing("cooperates")) as lab:
        file = AnswerFile(path, SETTING, {"date": "2026-11-29"})
        assert ask(lab, plan_of("edits", "bare"), file, told=tell) == ENDED
        before = lab.round_trips
        again = AnswerFile(path, SETTING, {"date": "2030-01-01"})
        assert ask(lab, plan_of("edits", "bare", "offer"), again) == ENDED
        assert lab.round_trips == before * 2
    assert read(path)[1]["date"] == "2026-11-29"
    assert [path.name for path in tmp_path.iterdir()] == ["answers.json"]
    assert "Carry out" not in path.read_text()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", None),
        ("[]", "it is no batchwrap.answers/1"),
        ("{", "it is no batchwrap.answers/1"),
        ('{"schema": "batchwrap.answers/2"}', "it is no batchwrap.answers/1"),
        ('{"schema": "batchwrap.answers/1", "setting": {}, "answers": [{}]}', "it is no batchwrap"),
        (
            '{"schema": "batchwrap.answers/1", "setting": {"model": "other"}, "answers": []}',
            "has answers with model 'other', not 'scripted'; name another file",
        ),
    ],
)
def test_other_files(tmp_path: Path, text: str, said: str | None) -> None:
    """A file with something else is named and left as it is."""
    path = tmp_path / "answers.json"
    path.write_text(text)
    if said is None:
        assert AnswerFile(path, SETTING, {}).answers == []
        return
    with pytest.raises(ConfigError, match=said) as caught:
        AnswerFile(path, SETTING, {})
    assert str(path) in str(caught.value)
    assert path.read_text() == text


def test_values_of_a_wrong_type(tmp_path: Path) -> None:
    """An answer whose number is a text is none."""
    path = tmp_path / "answers.json"
    file = AnswerFile(path, SETTING, {})
    file.add(answer_of(called=2))
    path.write_text(path.read_text().replace('"called": 2', '"called": "2"'))
    with pytest.raises(ConfigError, match="it is no batchwrap"):
        AnswerFile(path, SETTING, {})


def test_a_refusal_is_an_answer() -> None:
    """A request that is refused is recorded, the next one is sent, and `again` repeats it."""
    file, plan = memory(), plan_of("edits", "bare")
    body = b'{"error": {"message": "no template for this"}}'
    with quick_lab(lambda _: Raw(400, chunks=(body,))) as lab:
        assert ask(lab, plan, file) == ENDED
    [it] = shares(file.answers)
    assert (it.answers, it.refused, it.eligible) == (4, 4, 0)
    assert "no template for this" in str(file.answers[0].error)
    with quick_lab(playing("never")) as lab:
        ask(lab, plan, file)
        assert lab.round_trips == 0
        ask(lab, plan, file, again=True)
    [it] = shares(file.answers)
    assert (it.answers, it.refused, it.eligible) == (4, 0, 4)


def test_a_dead_endpoint() -> None:
    """It ends the session, with what the endpoint said and without the key."""
    file = memory()
    with quick_lab() as lab:
        endpoint = replace(endpoint_of(lab), api_key="a-wrong-key")
        outcome = ask_all(plan_of("edits", "bare"), endpoint, file, budget=TokenBudget())
    assert outcome.failed is not None
    assert "AuthenticationError" in outcome.failed
    assert "a-wrong-key" not in outcome.failed
    assert file.answers == []


def test_something_else_than_a_chat_completion() -> None:
    """A server of another kind ends the session, too."""
    with quick_lab(lambda _: Raw(200, chunks=(b'{"ok": true}',))) as lab:
        outcome = ask(lab, plan_of("edits", "bare"), memory())
    assert "no chat completion" in str(outcome.failed)


def test_the_limit_of_tokens() -> None:
    """The session ends before the limit, and counts what the file has."""
    file = memory()
    with quick_lab(playing("never")) as lab:
        outcome = ask(lab, plan_of("first", "bare"), file, TokenBudget(max_tokens=6_000))
        assert outcome.limit == "the limit of 6,000 tokens"
        asked = lab.round_trips
        assert 0 < asked < 12
        ask(lab, plan_of("first", "bare"), file, TokenBudget(max_tokens=6_000))
        assert lab.round_trips == asked


@given(
    st.lists(
        st.builds(
            answer_of,
            arm=st.sampled_from(["bare", "offer"]),
            situation=st.sampled_from(["a", "b", "c"]),
            kind=st.sampled_from(KINDS),
            lapses=st.sampled_from([0, 2]),
            called=st.integers(0, 3),
        )
    )
)
def test_shares_add_up(answers: list[ModelAnswer]) -> None:
    """Each place counts once, with its last answer, and no share exceeds what it is a part of."""
    summed = shares(answers)
    assert sum(it.answers for it in summed) == len({answer.place for answer in answers})
    for it in summed:
        assert it.complete <= it.batches <= it.eligible <= it.answers
        assert it.called <= it.wanted
    rows = answers_as_dict({}, summed, 0)["shares"]
    assert json.loads(json.dumps(rows)) == rows
