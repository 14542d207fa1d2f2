"""Read-ahead: the reads that will follow a single read go out along with it.

`next_reads` says which, `hit_rate` whether they turned out to be wanted, and `kept` which of
their results the model is shown. All of it is a pure function of the conversation.
"""

from batchwrap.core.moves.read_ahead.hits import hit_rate
from batchwrap.core.moves.read_ahead.reads import kept, next_reads

__all__ = ["hit_rate", "kept", "next_reads"]
