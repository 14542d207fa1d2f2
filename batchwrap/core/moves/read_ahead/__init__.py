"""Read-ahead: adds the reads that will probably follow to a single read of the model.

    model: read_file(a.py)          agent: read_file(a.py), read_file(b.py)
                                    if the prompt was "Compare a.py and b.py."

This saves a round trip even if the model does not batch. `next_reads` chooses the reads, `hit_rate`
measures how many were wanted, and `kept` decides which of their results the model is shown. All
three are pure functions of the conversation, so each request comes to the same decisions.
"""

from batchwrap.core.moves.read_ahead.hits import hit_rate
from batchwrap.core.moves.read_ahead.reads import kept, next_reads

__all__ = ["hit_rate", "kept", "next_reads"]
