"""Clouds that host a model's API at paths of their own, which name the model.

The bodies of such requests name none: a server refuses one that does.
"""

from __future__ import annotations

_RAW_PREDICT = ("rawPredict", "streamRawPredict")
_INVOKE = ("invoke", "invoke-with-response-stream")
_COUNTS = "count-tokens"


def vertex_model(path: str) -> str | None:
    """Anthropic's model that a path of Google's Vertex AI names; None for any other path.

    `/v1/projects/…/locations/…/publishers/anthropic/models/claude-sonnet-4@20250514:rawPredict`.
    """
    place, _, last = path.rpartition("/")
    model, _, verb = last.rpartition(":")
    is_model = model not in ("", _COUNTS) and verb in _RAW_PREDICT
    return model if is_model and place.endswith("/publishers/anthropic/models") else None


def bedrock_model(path: str) -> str | None:
    """The model that a path of Amazon's Bedrock invokes; None for any other path.

    `/model/anthropic.claude-sonnet-4-20250514-v1:0/invoke`; an ARN may have slashes.
    """
    place, _, verb = path.rpartition("/")
    _, _, model = place.partition("/model/")
    return model or None if verb in _INVOKE else None
