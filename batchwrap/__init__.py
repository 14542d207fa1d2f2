"""A drop-in layer between an agent and its LLM: fewer round trips, fewer refusals.

    client = batchwrap.wrap(OpenAI())

Importing this loads no HTTP library, no tokenizer and no SDK.
"""

import logging

from batchwrap._api import batched, install, stats, uninstall, wrap
from batchwrap._priority import priority
from batchwrap.directives import DEFAULT_DIRECTIVES, Directive, Marker
from batchwrap.errors import (
    BatchwrapError,
    BrokenAnswer,
    ConfigError,
    ContextLimitExceeded,
    LimitExceeded,
    MissingExtraError,
    QuotaExhausted,
    RequestTooLarge,
    StoreRefused,
    StoreUnavailable,
)
from batchwrap.modes import mode
from batchwrap.options import (
    Batching,
    Event,
    Limit,
    ReadAhead,
    Reminders,
    Repair,
    Scripts,
    Throttle,
    Tool,
)
from batchwrap.stats import Stats

__all__ = [
    "DEFAULT_DIRECTIVES",
    "Batching",
    "BatchwrapError",
    "BrokenAnswer",
    "ConfigError",
    "ContextLimitExceeded",
    "Directive",
    "Event",
    "Limit",
    "LimitExceeded",
    "Marker",
    "MissingExtraError",
    "QuotaExhausted",
    "ReadAhead",
    "Reminders",
    "Repair",
    "RequestTooLarge",
    "Scripts",
    "Stats",
    "StoreRefused",
    "StoreUnavailable",
    "Throttle",
    "Tool",
    "batched",
    "install",
    "mode",
    "priority",
    "stats",
    "uninstall",
    "wrap",
]
__version__ = "0.2.0"

# Silent, unless the application says where messages go.
logging.getLogger(__name__).addHandler(logging.NullHandler())
