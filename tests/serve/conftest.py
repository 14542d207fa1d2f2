"""Endpoints in front of labs and of servers by hand."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import fields
from typing import Any

import pytest

from batchwrap.serve import Server, Settings
from tests.adapters.conftest import closing as closing  # fixtures
from tests.adapters.conftest import serve as serve

_START_WITHIN_S = 20


@pytest.fixture
def in_front(closing: ExitStack) -> Callable[..., Server]:
    """Starts an endpoint in front of a base URL, with settings and options of `wrap`."""

    def start(upstream: str, **given: Any) -> Server:
        known = {field.name for field in fields(Settings)}
        settings = {name: given.pop(name) for name in tuple(given) if name in known}
        server = Server(Settings(upstream=upstream, **settings), **given)
        thread = threading.Thread(target=server.run)
        thread.start()
        closing.callback(thread.join, _START_WITHIN_S)
        closing.callback(server.stop)
        return server

    return start
