"""The errors that batchwrap raises. Mistakes of the user and limits of providers differ in class.

Through a wrapped client, all but `ConfigError` reach the caller as the SDK's own errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class BatchwrapError(Exception):
    """Root of every error that batchwrap raises itself."""


class ConfigError(BatchwrapError, ValueError):
    """An option is wrong. It is raised when the option is passed, never during a request.

    Attributes:
        option: the name of the option, for example ``"Reminders.every"``.
        problem: what is wrong with it, in words.
    """

    def __init__(self, option: str, problem: str) -> None:
        super().__init__(f"{option}: {problem}")
        self.option = option
        self.problem = problem


class MissingExtraError(BatchwrapError, ImportError):
    """An optional dependency is not installed.

    Attributes:
        extra: the extra of batchwrap that installs it, for example ``"httpx"``.
    """

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f'{package} is not installed; it comes with: pip install "batchwrap[{extra}]"'
        )
        self.extra = extra


class LimitExceeded(BatchwrapError):
    """A request can never fit a limit, or would have to wait longer than `Throttle.max_wait_s`.

    Through a wrapped client it reaches the caller as the SDK's own error for status 429
    (`RateLimitError`) with the code ``batchwrap_limit_exceeded``.

    Attributes:
        limit: the limit that the request exceeds, as text.
        requested: the amount that the request needs, in the limit's own unit.
        retry_after_s: seconds until it could be admitted; None if it never can.
    """

    def __init__(
        self, message: str, *, limit: str, requested: float, retry_after_s: float | None
    ) -> None:
        super().__init__(message)
        self.limit = limit
        self.requested = requested
        self.retry_after_s = retry_after_s


class RequestTooLarge(LimitExceeded):
    """A request is larger than a limit ever admits, so waiting does not help.

    Through a wrapped client it has status 413 and the code ``batchwrap_request_too_large``.
    """


class QuotaExhausted(LimitExceeded):
    """A limit of an hour, a day or longer is used up, and its refill is too far away to wait for.

    Through a wrapped client it is a `RateLimitError` with the code
    ``batchwrap_quota_exhausted``.
    """


class ClientClosed(BatchwrapError):
    """The client was closed while its request waited.

    Through a wrapped client it is the SDK's own connection error.
    """

    def __init__(self) -> None:
        super().__init__("the client was closed while the request waited")


class StoreUnavailable(BatchwrapError):
    """The store of a shared budget cannot be read or written now.

    Attributes:
        store: the store: ``"sqlite:///limits.db"``, or the URL of a server without its password.
    """

    def __init__(self, store: str, message: str) -> None:
        super().__init__(f"{store}: {message}")
        self.store = store


class StoreRefused(StoreUnavailable):
    """The store of a shared budget refuses permanently, so waiting does not help.

    For example, the password is wrong, the user may not run a command, the URL names a single node
    of a cluster, a file may not be written, or an account is damaged. It is raised whatever
    `Throttle.store_down` says, since separate budgets for each process would hide the mistake.
    Through a wrapped client it has the code ``batchwrap_store_refused``.
    """


class BrokenAnswer(BatchwrapError):
    """The provider's answer is broken, or reports an error, and cannot be repaired.

    A decorated function raises it. Through a wrapped client it reaches the caller as the SDK's
    own error, with a code that begins with ``batchwrap_`` or is the provider's.

    Attributes:
        kind: the kind of the fault: ``"incomplete_stream"``, ``"empty_response"``, …
        body: the error as a response body: ``{"error": {"message": …, "type": …, "code": …}}``.
    """

    def __init__(self, body: Mapping[str, Any]) -> None:
        error = body.get("error")
        told: Mapping[str, Any] = error if isinstance(error, Mapping) else {}
        super().__init__(str(told.get("message") or "The provider's answer is broken."))
        self.kind = str(told.get("type") or "")
        self.body = body


class ContextLimitExceeded(BatchwrapError):
    """A request is larger than the model's context window, and was not sent.

    A decorated function raises it. Through a wrapped client it reaches the caller as the SDK's
    own error for status 400 (`BadRequestError`) with the code ``context_length_exceeded``, as
    does a refusal of the provider for this reason, in whatever words.

    Attributes:
        requested: the estimated tokens of the request.
        limit: the size of the window in tokens.
    """

    def __init__(self, *, requested: int, limit: int) -> None:
        super().__init__(
            f"The request has about {requested:,} tokens; the model's context holds {limit:,}."
        )
        self.requested = requested
        self.limit = limit
