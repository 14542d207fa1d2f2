"""Anthropic's models as clouds host them: the path names the model, and AWS streams in frames."""

from __future__ import annotations

import base64
import binascii
import struct
from typing import Any

import orjson

from batchwrap.lab.api_forms import messages_rules
from batchwrap.lab.api_forms.messages_form import MessagesForm

FRAMES = "application/vnd.amazon.eventstream"
_STRING = 7  # the type of a header's value


class HostedForm(MessagesForm):
    """The Messages API where the path names the model."""

    def fault_in(self, request: dict[str, Any]) -> str | None:
        """What Google's and Amazon's servers would refuse it for."""
        if "model" in request:
            return "model: Extra inputs are not permitted"
        if "anthropic_version" not in request:
            return "anthropic_version: Field required"
        return messages_rules.fault_in(request)


def framed(event: dict[str, Any]) -> bytes:
    """An event in a frame of AWS's event stream.

    The format: https://docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html
    """
    headers = b"".join(
        _header(name, value)
        for name, value in (
            (b":event-type", b"chunk"),
            (b":content-type", b"application/json"),
            (b":message-type", b"event"),
        )
    )
    payload = orjson.dumps({"bytes": base64.b64encode(orjson.dumps(event)).decode()})
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    checked = prelude + _checksum(prelude) + headers + payload
    return checked + _checksum(checked)


def _header(name: bytes, value: bytes) -> bytes:
    return struct.pack(">B", len(name)) + name + struct.pack(">BH", _STRING, len(value)) + value


def _checksum(data: bytes) -> bytes:
    return struct.pack(">I", binascii.crc32(data))
