"""Judges from a tool call's result whether the call succeeded, failed, or was denied.

Agents pass results to the model as text, each in its own words. A result is judged by

1. what states the outcome in a fixed form, whatever the size of the result: a field of a JSON
   object (`result_fields`), a tag or an exit code (`codes`);
2. its words (`failure_prose`, `failure_words`), if it is short and consists of nothing but an error
   or a refusal.

The calls that wait for a failed edit are cancelled. So a failure that is missed runs edits that a
person has just refused, and a false alarm cancels valid work. Texts *about* errors (logs, source,
search results, documentation) are not failures, however they begin.

Only the beginning and the end of a large result are read, so the cost of each is bounded.
"""

from __future__ import annotations

from batchwrap.core.failures.judge import looks_failed, status_of
from batchwrap.core.failures.status import ResultStatus

__all__ = ["ResultStatus", "looks_failed", "status_of"]
