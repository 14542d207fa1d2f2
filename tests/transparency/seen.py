"""What a caller sees of a result or an error, in a form that can be compared."""

from __future__ import annotations

from typing import Any

# Of a response: what may differ between two of one client.
_ATTRIBUTES = ("status_code", "message", "code", "param", "type", "body", "request_id", "args")


def seen(value: Any) -> Any:
    """Everything about a result, an error or a list of them."""
    if isinstance(value, BaseException):
        return _error(value)
    if isinstance(value, list):
        return [seen(item) for item in value]
    if hasattr(value, "to_dict"):
        return type(value), value.to_dict(), getattr(value, "_request_id", None)
    if hasattr(value, "http_response"):
        raw = value.http_response
        return type(value), _response(raw), getattr(value, "retries_taken", None)
    if hasattr(value, "iter_bytes") and hasattr(value, "response"):
        return type(value), _response(value.response)
    if hasattr(value, "raise_for_status"):
        return _response(value)
    return value


def _response(response: Any) -> Any:
    try:
        content = response.content
    except RuntimeError:  # it was not read
        content = None
    return {
        "type": type(response),
        "status": (response.status_code, response.reason_phrase, response.http_version),
        "headers": response.headers.raw,
        "content": content,
        "request": _request(response.request),
        "elapsed": response.elapsed.total_seconds() >= 0 if response.is_closed else None,
        "history": response.history,
        "encoding": response.encoding,
        "closed": response.is_closed,
    }


def _request(request: Any) -> Any:
    random = ("content-type", "idempotency-key")
    headers = [(name, value) for name, value in request.headers.items() if name not in random]
    return request.method, str(request.url), headers, request.extensions.get("timeout")


def _error(error: BaseException) -> Any:
    told = {name: getattr(error, name) for name in _ATTRIBUTES if hasattr(error, name)}
    response, request = getattr(error, "response", None), getattr(error, "request", None)
    return {
        "class": type(error),
        "text": str(error),
        **told,
        "response": None if response is None else _response(response),
        "request": None if request is None else _request(request),
        "cause": type(error.__cause__),
    }
