"""A wrong option fails where it is given, and names itself."""

from inspect import signature
from typing import Any

import httpx
import pytest
import tenacity

import batchwrap
from batchwrap import (
    Batching,
    ConfigError,
    Directive,
    Limit,
    Marker,
    ReadAhead,
    Reminders,
    Repair,
    Throttle,
)
from batchwrap.option_arguments import combine
from tests.strategies import READ_FILE


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: Batching(offer="sometimes"), "Batching.offer"),  # type: ignore[arg-type]
        (lambda: Batching(max_items=1), "Batching.max_items"),
        (lambda: Batching(max_items=2.5), "Batching.max_items"),  # type: ignore[arg-type]
        (lambda: Batching(tools={"x": "reed"}), "Batching.tools['x']"),  # type: ignore[dict-item]
        (lambda: Batching(tools=["x"]), "Batching.tools"),  # type: ignore[arg-type]
        (lambda: Batching(exclude="read_file"), "Batching.exclude"),
        (lambda: Batching(coalesce="often"), "Batching.coalesce"),  # type: ignore[arg-type]
        (lambda: Batching(context_tokens=0), "Batching.context_tokens"),
        (lambda: Batching(read_ahead=True), "Batching.read_ahead"),  # type: ignore[arg-type]
        (lambda: ReadAhead(max_reads=0), "ReadAhead.max_reads"),
        (lambda: ReadAhead(max_tokens=0), "ReadAhead.max_tokens"),
        (lambda: ReadAhead(min_hit_rate=-1), "ReadAhead.min_hit_rate"),
        (lambda: ReadAhead(sources="prompt"), "ReadAhead.sources"),  # type: ignore[arg-type]
        (lambda: ReadAhead(sources=["web"]), "ReadAhead.sources"),  # type: ignore[list-item]
        (lambda: Reminders(every=0), "Reminders.every"),
        (lambda: Reminders(every=True), "Reminders.every"),
        (lambda: Reminders(on_lapse="yes"), "Reminders.on_lapse"),  # type: ignore[arg-type]
        (lambda: Reminders(max_per_conversation=-1), "Reminders.max_per_conversation"),
        (lambda: Reminders(cooldown=-1), "Reminders.cooldown"),
        (lambda: Reminders(placement="front"), "Reminders.placement"),  # type: ignore[arg-type]
        (lambda: Reminders(min_tokens_per_s=-1), "Reminders.min_tokens_per_s"),
        (lambda: Reminders(directives=["x"]), "Reminders.directives"),  # type: ignore[list-item]
        (lambda: Reminders(directives="general"), "Reminders.directives"),  # type: ignore[arg-type]
        (lambda: Reminders(directives=[Directive("a", "b")] * 2), "Reminders.directives"),
        (lambda: Reminders(modes=["plan"]), "Reminders.modes"),  # type: ignore[list-item]
        (lambda: Directive("", "text"), "Directive.id"),
        (lambda: Directive("a", ""), "Directive.text"),
        (lambda: Directive("a", "b", kind="nag"), "Directive.kind"),  # type: ignore[arg-type]
        (lambda: Directive("a", "b", when="now"), "Directive.when"),  # type: ignore[arg-type]
        (lambda: Directive("a", "b", models="*"), "Directive.models"),
        (lambda: Directive("a", "b", unless="("), "Directive.unless"),
        (lambda: Directive("a", "b", judged=1.5), "Directive.judged"),  # type: ignore[arg-type]
        (lambda: Marker("draft", "x"), "Marker.mode"),  # type: ignore[arg-type]
        (lambda: Marker("plan", "["), "Marker.pattern"),
        (lambda: Marker("plan", "x", switch="x"), "Marker.switch"),  # type: ignore[arg-type]
        (lambda: Marker("plan", None), "Marker.pattern"),  # type: ignore[arg-type]
        (lambda: Throttle(max_wait_s=-1), "Throttle.max_wait_s"),
        (lambda: Throttle(max_wait_s=float("nan")), "Throttle.max_wait_s"),
        (lambda: Throttle(max_wait_s=10**400), "Throttle.max_wait_s"),
        (lambda: Reminders(every=10**400), "Reminders.every"),
        (lambda: Throttle(limits=[5]), "Throttle.limits"),  # type: ignore[list-item]
        (lambda: Throttle(retry=5), "Throttle.retry"),  # type: ignore[arg-type]
        (lambda: Limit("token", 1, 60), "Limit.kind"),  # type: ignore[arg-type]
        (lambda: Limit("tokens", 0, 60), "Limit.amount"),
        (lambda: Limit("tokens", 1e16, 60), "Limit.amount"),
        (lambda: Limit("tokens", 1, -60), "Limit.per_s"),
        (lambda: Limit("tokens", 1, 1e-300, "rolling"), "Limit.per_s"),
        (lambda: Limit("tokens", 1, 1e300), "Limit.per_s"),
        (lambda: Limit("tokens", 1, 60, burst=0), "Limit.burst"),
        (lambda: Limit("tokens", 1, 60, burst=1e300), "Limit.burst"),
        (lambda: Repair(calls="no"), "Repair.calls"),  # type: ignore[arg-type]
        (lambda: _wrap(preset="faster"), "preset"),
        (lambda: _wrap(batching=True), "batching"),
        (lambda: _wrap(reminders=6), "reminders"),
        (lambda: _wrap(on_event="log"), "on_event"),
        (lambda: _wrap(limits="nobody/plan"), "limits"),
        (lambda: _wrap(limits="cerebras/code-max", throttle=None), "limits"),
        (lambda: _wrap(remind_every=3, reminders=None), "remind_every"),
        (lambda: _wrap(remind_every=0), "Reminders.every"),
        (lambda: batchwrap.batched(remind_every=0), "Reminders.every"),
        (lambda: batchwrap.batched(5), "fn"),  # type: ignore[call-overload]
        (lambda: batchwrap.wrap(object()), "target"),
        (lambda: batchwrap.stats(object()), "target"),
        (lambda: Batching(approvals=True, delivery="at_once"), "Batching.delivery"),
    ],
)
def test_a_wrong_option_names_itself(make: Any, name: str) -> None:
    """The error is raised at once, and starts with the option's name."""
    with pytest.raises(ConfigError) as caught:
        make()
    assert caught.value.option == name
    assert str(caught.value).startswith(f"{name}: ")


def _wrap(**options: Any) -> None:
    with httpx.Client() as client:
        batchwrap.wrap(client, **options)


def test_an_unknown_target_is_refused_by_name() -> None:
    """What cannot be wrapped is named with its type."""
    with pytest.raises(ConfigError, match=r"cannot wrap a tenacity\.Retrying"):
        batchwrap.wrap(tenacity.Retrying())


def test_a_limit_reads_well() -> None:
    """A limit prints as people say it."""
    assert str(Limit("tokens", 1_500_000, 60)) == "1,500,000 tokens per 60 s"


def test_a_callback_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    """A mistake in the user's `on_event` is logged, and costs no answer."""

    def on_event(event: batchwrap.Event) -> None:
        raise ZeroDivisionError

    calls = [{"id": "c", "function": {"name": "batch", "arguments": "{}"}}]
    choice = {"index": 0, "message": {"tool_calls": calls}, "finish_reason": "tool_calls"}

    @batchwrap.batched(on_event=on_event)
    def complete(**kwargs: Any) -> Any:
        return {"choices": [choice]}

    assert complete(messages=[{"role": "user", "content": "hi"}], tools=[READ_FILE])["choices"]
    assert "internal_error step=on_event error=builtins.ZeroDivisionError" in caplog.text


def test_signatures() -> None:
    """`help` shows every option of `wrap`, `batched` and `install`, with short defaults."""
    for function in (batchwrap.wrap, batchwrap.batched, batchwrap.install):
        shown = str(signature(function))
        assert (
            "limits: 'str | Sequence[Limit]' = 'auto', batching: 'Batching | None' = Batching(),"
            in shown
        )
        assert "**" not in shown


def test_an_option_that_is_not_there() -> None:
    """The error names it, and the one that was probably meant."""
    with pytest.raises(TypeError, match="there is no option 'limit'; did you mean 'limits'"):
        batchwrap.batched(limit="cerebras/code-max")  # type: ignore[call-overload]


def test_parts_show_what_is_changed() -> None:
    """A part of the options prints as it would be written, without what holds a password."""
    assert repr(Batching()) == "Batching()"
    assert repr(Batching(max_items=3, offer="instead")) == "Batching(offer='instead', max_items=3)"
    assert repr(Throttle(store="redis://:secret@host", max_wait_s=9)) == "Throttle(max_wait_s=9)"


def test_presets() -> None:
    """A preset changes the defaults; what is given otherwise counts before it."""
    fast: Any = combine(preset="fast")
    assert fast.batching.offer == "instead"
    assert fast.batching.read_ahead == ReadAhead()
    own: Any = combine(preset="fast", batching=Batching(max_items=3), remind_every=9)
    assert own.batching == Batching(max_items=3)
    assert own.reminders.every == 9
    careful: Any = combine(preset="careful")
    assert careful.batching.coalesce == "never"
    assert combine(preset="fast", batching=None).batching is None
