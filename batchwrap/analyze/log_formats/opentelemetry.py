"""Reads OpenTelemetry's spans and events with the GenAI conventions.

The forms are OTLP as JSON (the collector's file exporter), and the spans that the Python SDK
prints. The contents must have been captured: ``gen_ai.input.messages`` and
``gen_ai.output.messages``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import orjson

from batchwrap.analyze.files import Record, Unreadable
from batchwrap.analyze.log_formats.requests import LoggedRequest, Stitcher
from batchwrap.analyze.log_messages import (
    Said,
    assistant,
    calls_of,
    count_of,
    dict_of,
    dicts_in,
    result,
    text_of,
    usage_from,
)
from batchwrap.core.formats import chat
from batchwrap.core.parse import rendered

NAME = "OpenTelemetry"
_INTEGER = re.compile(r"-?\d{1,19}", re.ASCII)
_INPUT, _OUTPUT = "gen_ai.input.messages", "gen_ai.output.messages"
_LISTS = {
    "resourceSpans": ("scopeSpans", "spans"),
    "resourceLogs": ("scopeLogs", "logRecords"),
}


def recognises(record: Record) -> bool:
    """Whether a record contains a span or an event with an attribute of the conventions."""
    return any(
        any(str(key).startswith("gen_ai.") for key in attributes)
        for attributes in _attributes_in(record)
    )


def read(records: Iterator[Record], file: str) -> Iterator[Said]:
    """The messages of a log.

    Raises:
        Unreadable: no span or event contains messages.
    """
    stitcher, empty, understood = Stitcher(NAME, file), 0, 0
    for record in records:
        for attributes in _attributes_in(record):
            if _INPUT in attributes and _OUTPUT in attributes:
                understood += 1
                yield from stitcher.said(_request(attributes))
            else:
                empty += any(str(key).startswith("gen_ai.") for key in attributes)
    if empty and not understood:
        raise Unreadable(f"no span has {_INPUT} and {_OUTPUT}: contents were not captured")


def _request(attributes: dict[str, Any]) -> LoggedRequest:
    system = [{"role": "system", "parts": _parsed(attributes.get("gen_ai.system_instructions"))}]
    listed = [*(system if system[0]["parts"] else ()), *_parsed(attributes.get(_INPUT))]
    given = [message for one in listed for message in _messages(one)]
    output = [message for one in _parsed(attributes.get(_OUTPUT)) for message in _messages(one)]
    prompt = count_of(attributes.get("gen_ai.usage.input_tokens"))
    cached = count_of(attributes.get("gen_ai.usage.cache_read.input_tokens"))
    out = count_of(attributes.get("gen_ai.usage.output_tokens"))
    return LoggedRequest(
        messages=given,
        answer=next((m for m in output if m["role"] == "assistant"), None),
        name=text_of(attributes.get("gen_ai.conversation.id")),
        model=text_of(attributes.get("gen_ai.response.model"))
        or text_of(attributes.get("gen_ai.request.model")),
        usage=usage_from(prompt, out, cached),
    )


def _messages(message: dict[str, Any]) -> Iterator[chat.Message]:
    """The chat messages for a message of parts."""
    parts = dicts_in(message.get("parts"))
    text = "\n".join(text_of(part.get("content")) for part in parts).strip()
    made = [part for part in parts if part.get("type") == "tool_call"]
    calls = calls_of(made, "id", "name", "arguments")
    if message.get("role") == "assistant":
        yield assistant(text, calls)
        return
    for part in parts:
        if part.get("type") == "tool_call_response":
            given = part.get("response", part.get("result"))
            content = given if isinstance(given, str) else rendered(given).decode()
            yield result(part.get("id"), content)
    if text or not any(part.get("type") == "tool_call_response" for part in parts):
        yield {"role": message.get("role"), "content": text}


def _attributes_in(record: Record) -> Iterator[dict[str, Any]]:
    """The attributes of each span or event of a record."""
    if isinstance(record.get("attributes"), dict):
        yield record["attributes"]  # the form that the SDK prints
    for key, (scopes, items) in _LISTS.items():
        for resource in dicts_in(record.get(key)):
            for scope in dicts_in(resource.get(scopes)):
                for item in dicts_in(scope.get(items)):
                    pairs = dicts_in(item.get("attributes"))
                    yield {text_of(p.get("key")): _plain(p.get("value")) for p in pairs}


def _plain(value: object) -> Any:
    """The value of an attribute in OTLP."""
    given = dict_of(value)
    if "arrayValue" in given:
        return [_plain(one) for one in dicts_in(dict_of(given, "arrayValue").get("values"))]
    if "kvlistValue" in given:
        pairs = dicts_in(dict_of(given, "kvlistValue").get("values"))
        return {text_of(pair.get("key")): _plain(pair.get("value")) for pair in pairs}
    if "intValue" in given:  # OTLP writes 64-bit integers as texts
        written = str(given["intValue"])
        return int(written) if _INTEGER.fullmatch(written) else 0
    return next(iter(given.values()), None)


def _parsed(value: object) -> list[dict[str, Any]]:
    """The objects of a list, which is a value or JSON text."""
    if isinstance(value, str):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            return []
    return dicts_in(value)
