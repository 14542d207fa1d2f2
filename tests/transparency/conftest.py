"""The fixtures of the adapters' tests."""

from tests.adapters.conftest import caller, closing

__all__ = ["caller", "closing"]
