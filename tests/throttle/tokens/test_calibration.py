"""Calibration: near the truth after a few answers, calm about odd ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwrap.throttle.tokens.calibration import LEAST, MOST, Calibration, Ratio

sizes = st.integers(1_000, 200_000)


def learned(*answers: tuple[int, int]) -> Ratio:
    """The ratio after answers of (estimated, real) tokens."""
    ratio = Ratio()
    for estimated, real in answers:
        ratio = ratio.after(estimated, real)
    return ratio


@given(st.floats(LEAST, MOST), st.lists(sizes, min_size=5, max_size=40))
def test_converges(factor: float, prompts: list[int]) -> None:
    """Any constant factor is found within 4 % after five answers, and closer later."""
    ratio = learned(*((size, round(size * factor)) for size in prompts))
    assert ratio.value == pytest.approx(factor, rel=0.04)
    for _ in range(30):
        ratio = ratio.after(50_000, round(50_000 * factor))
    assert ratio.value == pytest.approx(factor, rel=0.001)


@given(st.lists(st.tuples(st.integers(1, 10**6), st.integers(1, 10**400)), max_size=30))
def test_stays_within_its_clamps(answers: list[tuple[int, int]]) -> None:
    """No usage, however odd, takes the factor out of its bounds."""
    assert LEAST <= learned(*answers).value <= MOST


@given(st.floats(0.7, 1.5), st.integers(1, 10**9), sizes)
def test_one_odd_answer_hardly_matters(factor: float, odd: int, size: int) -> None:
    """After five good answers, an odd one moves the estimate by less than 7 %."""
    calm = learned(*[(20_000, round(20_000 * factor))] * 5)
    assert calm.after(size, odd).value == pytest.approx(calm.value, rel=0.07)


def test_follows_a_lasting_change() -> None:
    """A provider that counts otherwise from now on is believed after a dozen answers."""
    ratio = learned(*[(20_000, 20_000)] * 20, *[(20_000, 30_000)] * 12)
    assert ratio.value == pytest.approx(1.5, rel=0.05)


def test_short_prompts_say_little() -> None:
    """A preamble that triples a short prompt leaves the estimate of long ones nearly alone."""
    ratio = learned((40, 120), *[(20_000, 20_080), (40, 120)] * 5)
    assert ratio.value == pytest.approx(1.0, rel=0.05)


def test_each_model_has_its_own() -> None:
    """What one model's answers show does not touch another's estimates."""
    calibration = Calibration()
    for _ in range(5):
        calibration.learn("a", 10_000, 13_000)
    assert calibration.apply("a", 10_000) == pytest.approx(13_000, rel=0.04)
    assert calibration.apply("b", 10_000) == 10_000


@pytest.mark.parametrize(("estimated", "real"), [(0, 5), (5, 0), (-1, 5), (5, -1), (0, 0)])
def test_nothing_is_learned_from_nothing(estimated: int, real: int) -> None:
    """An empty prompt, or usage that says none, is no experience."""
    calibration = Calibration()
    calibration.learn("a", estimated, real)
    assert calibration.apply("a", 10_000) == 10_000


def test_forgets_the_model_not_used_for_longest() -> None:
    """The number of models is bounded; one that is used stays."""
    calibration = Calibration()
    for name in ("old", "kept", *map(str, range(200)), "kept", *map(str, range(200, 300))):
        calibration.learn(name, 10_000, 15_000)
    assert calibration.apply("old", 10_000) == 10_000
    assert calibration.apply("kept", 10_000) > 13_000


@given(st.lists(st.floats(0.7, 1.3), min_size=40, max_size=40))
def test_the_margin_follows_the_errors(noise: list[float]) -> None:
    """It is near twice what single answers are off by, so it fades where estimates are good."""
    calibration = Calibration()
    for _ in range(40):
        calibration.learn("good", 20_000, 20_000)
    assert calibration.most("good", 10_000) < 10_100
    for factor in (0.7, 1.3) * 20:
        calibration.learn("poor", 20_000, round(20_000 * factor))
    assert calibration.most("poor", 10_000) > 10_000 * 1.3
    for factor in noise:
        calibration.learn("any", 20_000, round(20_000 * factor))
    assert calibration.apply("any", 10_000) <= calibration.most("any", 10_000) < 20_000


def test_the_margin_before_the_first_answer() -> None:
    """A tokenizer that nobody has tried is trusted less than one that proved good."""
    assert 11_000 < Calibration().most("new", 10_000) < 13_000
