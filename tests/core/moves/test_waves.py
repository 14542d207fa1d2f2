"""Calls are put into waves as if each were compared with every one before it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from batchwrap.core.moves.conflict import Effect, Waves, conflict, parts_of

KINDS = ["read", "read_only", "edit", "write", "sequential", "bookkeeping", "barrier"]
PATHS = [None, "a.py", "src/a.py", "b/src/a.py", "src/b.py", "../a.py", "", "x/" * 50 + "a.py"]
effects = st.builds(
    lambda kind, path: Effect(kind, None if path is None else parts_of(path)),
    st.sampled_from(KINDS),
    st.sampled_from(PATHS),
)


def compared(placed: list[tuple[Effect, int]], effect: Effect, options: dict[str, bool]) -> int:
    """The first wave behind all that a call must wait for."""
    return max(
        (
            wave + 1
            for before, wave in placed
            if options["one_by_one"]
            or (options["changes_one_by_one"] and effect.changes and before.changes)
            or conflict(before, effect)
        ),
        default=0,
    )


@given(st.lists(effects, max_size=20), st.booleans(), st.booleans(), st.integers(1, 4))
def test_as_if_compared(calls: list[Effect], one_by_one: bool, changes: bool, most: int) -> None:
    """No call goes out before one that it conflicts with, nor later than it has to."""
    options = {"one_by_one": one_by_one, "changes_one_by_one": changes}
    waves, placed = Waves(most, **options), list[tuple[Effect, int]]()
    long = len(parts_of("x/" * 50))
    for effect in calls:
        wave = compared(placed, effect, options)
        while sum(its == wave for _, its in placed) >= most:
            wave += 1
        made = waves.place(effect)
        paths = [one.path or () for one, _ in placed] + [effect.path or ()]
        assert made == wave or (made > wave and any(len(path) > long for path in paths))
        placed.append((effect, made))
    assert waves.waiting == any(wave for _, wave in placed)


@given(st.lists(effects, min_size=1, max_size=6), effects)
def test_calls_that_went_out(calls: list[Effect], effect: Effect) -> None:
    """A call that was passed on may touch any path until it is known what it touches."""
    waves = Waves(8)
    numbers = [waves.pass_on(Effect(one.kind, None)) for one in calls]
    if any(conflict(Effect(one.kind, None), effect) for one in calls):
        assert (
            waves.may_wait(effect)
            or effect.kind == "barrier"
            or any(one.kind == "barrier" for one in calls)
        )
    for number, one in zip(numbers, calls, strict=True):
        waves.settle(number, one)
    expected = int(any(conflict(one, effect) for one in calls))
    long = any(len(one.path or ()) > 40 for one in [*calls, effect])
    assert waves.place(effect) == expected or long
