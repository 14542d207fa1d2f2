"""What became of a tool call, as far as its result tells: it succeeded, failed, or was denied.

Agents hand results to the model as text, each in words of its own. A result is judged by

1. what says so in a fixed form, whatever its size: a field of a JSON object (`result_fields`), a
   tag or an exit code (`codes`);
2. its words (`failure_prose`, `failure_words`), if it is short and nothing but an error or a
   refusal.

What waits behind a failed edit is cancelled, so a failure that is missed lets edits run that a
person has just refused, and a false alarm cancels work that was fine. Texts *about* errors (logs,
source, search results, documentation) are no failures, however they begin.

Only the beginning and the end of a large result are read, so each costs the same.
"""

from __future__ import annotations

from batchwrap.core.failures.judge import looks_failed, status_of
from batchwrap.core.failures.status import ResultStatus

__all__ = ["ResultStatus", "looks_failed", "status_of"]
