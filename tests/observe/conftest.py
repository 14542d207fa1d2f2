"""What is observed, through all clients."""

from tests.adapters.conftest import caller, closing, serve, threads, web

__all__ = ["caller", "closing", "serve", "threads", "web"]
