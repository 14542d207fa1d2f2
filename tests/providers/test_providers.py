"""What each provider's data file says shows in what a wrapped client does."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

import batchwrap
from batchwrap.adapters.hints import Hints
from batchwrap.core.limits.headers import read_headers
from batchwrap.options import Event, Repair, Throttle
from batchwrap.providers import provider_files, provider_of
from batchwrap.testing import ManualClock
from tests.providers.cases import CASES, Case
from tests.telemetry import Telemetry

cases = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
BODY: dict[str, Any] = {
    "model": "m",
    "messages": [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "hi"}],
}
ANSWER = {
    "model": "m",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}
    ],
}


def test_each_provider_has_a_case() -> None:
    """A data file comes with a case, and a case with a data file."""
    assert [case.name for case in CASES] == [file.provider.name for file in provider_files()]


@cases
def test_it_is_recognised(case: Case) -> None:
    """By the host of a client, by the model of a function, by what a function's answer says."""
    if case.host:
        assert provider_of(case.host).name == case.name
    if case.model:
        assert provider_of(model=case.model).name == case.name
    hints = Hints(lambda **_: None)
    answer = SimpleNamespace(_hidden_params={"api_base": f"https://{case.host}/v1"})
    hints.learn({"model": "mine"}, answer)
    assert hints.origin({"model": "mine"}).host == case.host


@cases
def test_a_request(case: Case, telemetry: Telemetry) -> None:
    """A refusal has its meaning, the request its form, the span its name."""
    sent: list[dict[str, Any]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(json.loads(request.content))
        if len(sent) == 1:
            return httpx.Response(case.status, json=dict(case.refusal))
        return httpx.Response(200, json=ANSWER, headers=dict(case.headers))

    told: list[Event] = []
    named = case.name if not case.host else None
    with batchwrap.wrap(
        httpx.Client(transport=httpx.MockTransport(answer)),
        throttle=Throttle(clock=ManualClock()),
        repair=Repair(provider=named),
        on_event=told.append,
    ) as client:
        client.post(f"https://{case.host or '127.0.0.1'}/v1/chat/completions", json=BODY)
    [refused] = [event.data["kind"] for event in told if event.name == "refused"]
    assert refused == case.means
    assert {body["messages"][0]["role"] for body in sent} == {case.developer}
    [span] = telemetry.spans
    if case.telemetry:
        assert span.attributes["gen_ai.provider.name"] == case.telemetry
        [ended] = [event.data["provider"] for event in told if event.name == "ended"]
        assert ended == case.name


@cases
def test_its_headers(case: Case) -> None:
    """What an answer's headers say of the account's limits is understood."""
    provider = provider_of(case.host, case.model)
    seen = read_headers(case.headers, 1_790_000_000.0, provider.signals.headers)
    assert [(one.kind, one.limit, one.per_s) for one in seen] == list(case.limits)
