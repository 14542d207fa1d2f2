"""Responses that no provider sent: local answers, and our errors in the provider's form."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import orjson

from batchwrap.adapters.events import render_all
from batchwrap.core.formats.api_errors import ApiError, ErrorForm
from batchwrap.core.formats.chat import Body
from batchwrap.core.moves.deliver import LocalAnswer
from batchwrap.core.parse import rendered
from batchwrap.core.repair.faults import CONTEXT_CODE
from batchwrap.errors import (
    BatchwrapError,
    ContextLimitExceeded,
    LimitExceeded,
    QuotaExhausted,
    RequestTooLarge,
    StoreRefused,
    StoreUnavailable,
)

_JSON = {"content-type": "application/json"}
_FINAL = {**_JSON, "x-should-retry": "false"}
# The status and code of each of our errors, and whether it is temporary.
_ERRORS: dict[type[BatchwrapError], tuple[int, str, bool]] = {
    LimitExceeded: (429, "batchwrap_limit_exceeded", False),
    QuotaExhausted: (429, "batchwrap_quota_exhausted", False),
    RequestTooLarge: (413, "batchwrap_request_too_large", False),
    StoreUnavailable: (503, "batchwrap_store_unavailable", True),
    StoreRefused: (503, "batchwrap_store_refused", False),
    ContextLimitExceeded: (400, CONTEXT_CODE, False),
}


def local(library: ModuleType, answer: LocalAnswer, asked: Body) -> Any:
    """A local answer in the provider's form, with a header that marks it."""
    if asked.get("stream"):
        events = answer.chunks(with_usage=answer.form.wants_usage(asked) is True)
        kind, content = "text/event-stream", render_all(events, answer.form)
    else:
        kind, content = "application/json", rendered(answer.completion())
    headers = {"content-type": kind, "x-batchwrap-served": "local"}
    return _response(library, 200, headers, content)


def refused(library: ModuleType, error: BatchwrapError, form: ErrorForm) -> Any:
    """One of our errors in the provider's form, so the SDK raises its own; None for others."""
    known = _ERRORS.get(type(error))
    if known is None:
        return None
    status, code, is_passing = known
    param = "messages" if isinstance(error, ContextLimitExceeded) else None
    told = ApiError(
        status=status, message=str(error), code=code, param=param, is_passing=is_passing
    )
    status, body = form(told)
    headers = dict(_FINAL)
    retry_after_s = getattr(error, "retry_after_s", None)
    if retry_after_s is not None:
        headers["retry-after"] = f"{retry_after_s:.3f}"
    return _response(library, status, headers, orjson.dumps(body))


def declined(library: ModuleType, body: Body) -> Any:
    """An error in the provider's form that makes an SDK's helper send its request otherwise."""
    return _response(library, 400, _FINAL, rendered(body))


def _response(library: ModuleType, status: int, headers: Mapping[str, str], content: bytes) -> Any:
    """A response that is not read yet, like one from the network, so that `iter_raw` works."""
    framed = {**headers, "content-length": str(len(content))}
    return library.Response(status, headers=framed, stream=library.ByteStream(content))
