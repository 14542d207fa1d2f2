"""A drop-in layer between an agent and its LLM: fewer round trips, fewer refusals.

    client = batchwrap.wrap(OpenAI())

Importing this loads no HTTP library, no tokenizer and no SDK.
"""

from batchwrap._api import batched, stats, wrap
from batchwrap.errors import BatchwrapError, ConfigError, LimitExceeded, MissingExtraError
from batchwrap.options import (
    Batching,
    Event,
    Limit,
    ReadAhead,
    Reminders,
    Repair,
    Throttle,
    Tool,
)
from batchwrap.stats import Stats

__all__ = [
    "Batching",
    "BatchwrapError",
    "ConfigError",
    "Event",
    "Limit",
    "LimitExceeded",
    "MissingExtraError",
    "ReadAhead",
    "Reminders",
    "Repair",
    "Stats",
    "Throttle",
    "Tool",
    "batched",
    "stats",
    "wrap",
]
__version__ = "0.1.0"
