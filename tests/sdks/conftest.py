"""The fixtures of the adapters' tests; these tests run where the SDKs are installed."""

from importlib.util import find_spec

from tests.adapters.conftest import caller, closing, serve

__all__ = ["caller", "closing", "serve"]

collect_ignore_glob = [] if find_spec("groq") and find_spec("anthropic") else ["test_*.py"]
