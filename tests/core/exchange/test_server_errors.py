"""A server error at once may be due to what batchwrap has changed; a late one is not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwrap.core.exchange.actions import Action, Head, Resend, Respond
from batchwrap.core.exchange.machine import Exchange
from batchwrap.core.exchange.memory import Memory
from batchwrap.core.exchange.model_observations import MOST_TRIALS, ModelObservations
from batchwrap.core.exchange.progress import WholeBody
from batchwrap.core.repair.diagnosis import may_be_about_request
from batchwrap.throttle.estimate import Estimator
from tests.core.apis import APIS, Api, each_api
from tests.core.harness import answer, call, context_of
from tests.strategies import EDIT_FILE, READ_FILE

BODY: dict[str, Any] = {
    "model": "m",
    "messages": [{"role": "user", "content": "go"}],
    "tools": [READ_FILE, EDIT_FILE],
}
ERROR: dict[str, Any] = {"error": {"message": "no member named 'x'", "type": "server_error"}}


class Play:
    """Exchanges of one client, with a clock that answers move on.

    Args:
        api: the API that is spoken.
    """

    def __init__(self, api: Api) -> None:
        self.api = api
        self.now_s = 0.0
        self.memory = Memory()

    def exchange(self) -> Exchange:
        """The next exchange, whose request is ready to be sent."""
        exchange = Exchange(
            self.api.form.request(BODY),
            context=context_of(memory=self.memory, now_s=self.now_s, clock=lambda: self.now_s),
            endpoint=self.api.endpoint,
            counter=Estimator(),
            limits_tokens=False,
            backoff=lambda refusal: None,
        )
        exchange.start()
        exchange.reserved(0.0)
        return exchange

    def answer(self, exchange: Exchange, status: int, took_s: float = 0.1) -> Action:
        """What the exchange does with an answer."""
        with exchange.sending():
            self.now_s += took_s
        exchange.received(Head(status, {}), 0.0)
        done = self.api.answer({"role": "assistant", "content": "ok"})
        return exchange.body(WholeBody(done if status == 200 else ERROR))


@each_api
@pytest.mark.parametrize(("took_s", "tries"), [(0.1, True), (9, True), (11, False)])
def test_only_at_once(api: Api, took_s: float, tries: bool) -> None:
    """An error that took long came after the model had begun, so the request is not repeated."""
    play = Play(api)
    said = play.answer(play.exchange(), 500, took_s)
    assert isinstance(said, Resend) is tries


@each_api
def test_after_a_while_it_is_tried_again(api: Api) -> None:
    """A server that failed both is asked twice again only when some time has passed."""
    play = Play(api)
    first = play.exchange()
    assert isinstance(play.answer(first, 500), Resend)
    assert isinstance(play.answer(first, 500), Respond)
    assert isinstance(play.answer(play.exchange(), 500), Respond)
    play.now_s += 10
    assert isinstance(play.answer(play.exchange(), 500), Resend)


@given(st.sampled_from(APIS), st.lists(st.sampled_from(["ok", "ours", "both", "late"])))
def test_any_course(api: Api, course: list[str]) -> None:
    """The offer is off exactly after three errors of ours in a row; nothing is sent three times."""
    play, in_a_row = Play(api), 0
    for what in course:
        play.now_s += 60
        exchange = play.exchange()
        is_off = play.memory.observations.is_off("m", "offer")
        assert is_off is (in_a_row >= 3)
        if is_off:
            assert isinstance(play.answer(exchange, 200), Respond)
        elif what == "ok":
            assert isinstance(play.answer(exchange, 200), Respond)
            in_a_row = 0
        elif what == "late":
            assert isinstance(play.answer(exchange, 500, 60), Respond)
        else:
            assert isinstance(play.answer(exchange, 500), Resend)
            assert isinstance(play.answer(exchange, 500 if what == "both" else 200), Respond)
            in_a_row += what == "ours"


def test_one_rewrite_at_a_time() -> None:
    """What was observed of one rewrite, or of one model, says nothing about another."""
    observations = ModelObservations()
    for _ in range(3):
        observations.judge_trial("m", "offer", 0.0, accepted=True)
    assert observations.is_off("m", "offer")
    assert not observations.is_off("m", "fold") and not observations.is_off("n", "offer")
    observations.judge_trial("m", "offer", 0.0, accepted=False)
    assert not observations.takes_trial("m", 9.0) and observations.takes_trial("n", 9.0)


@each_api
def test_a_storm(api: Api) -> None:
    """Of many requests at once, an overloaded server gets few a second time, in any while."""
    play = Play(api)
    for _ in range(3):
        under_way = [play.exchange() for _ in range(100)]
        said = [(one, play.answer(one, 500, took_s=0)) for one in under_way]
        repeated = [one for one, action in said if isinstance(action, Resend)]
        assert len(repeated) == MOST_TRIALS
        for one in repeated:
            assert isinstance(play.answer(one, 500, took_s=0), Respond)
        assert isinstance(play.answer(play.exchange(), 500), Respond)
        play.now_s += 10


@each_api
def test_many_that_are_ours(api: Api) -> None:
    """Where the change was the cause, all of them are repeated, as soon as one has shown it."""
    play = Play(api)
    for _ in range(20):
        exchange = play.exchange()
        if play.memory.observations.is_off("m", "offer"):
            break
        assert isinstance(play.answer(exchange, 500), Resend)
        assert isinstance(play.answer(exchange, 200), Respond)
    assert play.memory.observations.is_off("m", "offer")


@pytest.mark.parametrize(
    "body", [None, "", b"", [], {"error": None}, {"error": []}, 5, "x" * 10**6]
)
def test_bodies_of_any_shape(body: Any) -> None:
    """A server error may be any bytes; a 503 without an error object comes from a gateway."""
    assert may_be_about_request(500, {}, body)
    assert not may_be_about_request(503, {}, body)
    assert not may_be_about_request(200, {}, body)


def test_refused_in_any_view() -> None:
    """A request that is changed either way, since it holds a program, is sent twice at most."""
    made = {**call("c1", "read_file", {"path": "a"}), "batchwrap_script": {"code": "x"}}
    messages = [*BODY["messages"], *answer({"tool_calls": [made]}, {"c1": "ok"})]
    exchange = Exchange(
        {**BODY, "messages": messages},
        context=context_of(),
        counter=Estimator(),
        limits_tokens=False,
        backoff=lambda refusal: None,
    )
    exchange.start()
    exchange.reserved(0.0)
    said = []
    for _ in range(2):
        exchange.received(Head(400, {}), 0.0)
        said.append(exchange.body(WholeBody(ERROR)))
    assert [type(one) for one in said] == [Resend, Respond]
