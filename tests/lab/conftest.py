"""A lab without delays, and clients that are closed when the test ends."""

from __future__ import annotations

import http.client
import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import orjson
import pytest
from openai import OpenAI

from batchwrap.lab import Lab, Model

QUESTION = [{"role": "user", "content": "What is the answer?"}]


class Wire:
    """One raw HTTP connection to a lab, kept open between requests."""

    def __init__(self, lab: Lab) -> None:
        self.connection = http.client.HTTPConnection(lab.url.removeprefix("http://"))

    def post(
        self, path: str, body: Any, headers: dict[str, str] | None = None
    ) -> http.client.HTTPResponse:
        """Send a body, as JSON unless it is bytes."""
        data = body if isinstance(body, bytes) else orjson.dumps(body)
        self.connection.request("POST", path, data, headers or {})
        return self.connection.getresponse()

    def chat(self, **body: Any) -> tuple[int, dict[str, str], Any]:
        """Status, headers and JSON of a plain chat completion."""
        response = self.post("/v1/chat/completions", {"messages": QUESTION, **body})
        headers = {name.lower(): value for name, value in response.getheaders()}
        return response.status, headers, orjson.loads(response.read())

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()


@pytest.fixture
def closing() -> Iterator[ExitStack]:
    """Closes what is put on it, the last first."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def open_lab(closing: ExitStack) -> Callable[..., Lab]:
    """Starts a lab; without delays unless told otherwise."""

    def start(model: Model, **options: Any) -> Lab:
        options = {"tokens_per_s": math.inf, "ttft_s": 0, **options}
        return closing.enter_context(Lab(model, **options))

    return start


@pytest.fixture
def open_wire(closing: ExitStack) -> Callable[[Lab], Wire]:
    """Opens a raw HTTP connection to a lab."""

    def connect(lab: Lab) -> Wire:
        wire = Wire(lab)
        closing.callback(wire.close)
        return wire

    return connect


@pytest.fixture
def open_client(closing: ExitStack) -> Callable[..., OpenAI]:
    """Opens an OpenAI client of the installed version to a lab."""

    def connect(lab: Lab, **options: Any) -> OpenAI:
        options = {"api_key": "any", "base_url": lab.base_url, **options}
        return closing.enter_context(OpenAI(**options))

    return connect
