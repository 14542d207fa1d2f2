"""Presets: dated data, never code."""

import pytest

from batchwrap.errors import ConfigError
from batchwrap.options import Limit
from batchwrap.throttle.presets import names, preset


def test_a_plan() -> None:
    """A plan's limits are those of its data file."""
    assert preset("cerebras/code-max").limits == (
        Limit("requests", 12, 1),
        Limit("requests", 120, 60),
        Limit("tokens", 1_500_000, 60),
    )


def test_every_preset_is_whole() -> None:
    """Each preset can be read."""
    assert len(names()) >= 4
    assert all(preset(name).limits for name in names())


@pytest.mark.parametrize("name", ["cerebras", "cerebras/none", "nobody/plan", ""])
def test_an_unknown_name(name: str) -> None:
    """An unknown name is refused with the list of those that there are."""
    with pytest.raises(ConfigError, match="cerebras/code-max"):
        preset(name)
