"""What is known of providers: one data file for each, with source and date.

`<provider>.toml` beside this module has all of it: its hosts, how it counts, the limits of its
plans, what its headers and refusals mean, what it takes in a request, its name in telemetry
(`file_format` lists the fields). The core gets it as a frozen `batchwrap.core.provider.Provider`.

Where it is not known how a limit is refilled, the files say it so: a limit for a minute or less
looks back ("rolling"), which is never too much whatever the provider does, and costs seconds at
most; a limit for a day refills all the time ("continuous"), since a boundary that is guessed
wrong would cost hours. Facts without a source are not in here.
"""

from __future__ import annotations

from batchwrap.providers.catalog import (
    plan,
    plan_names,
    provider_file,
    provider_files,
    provider_named,
    provider_of,
    rules_named,
    split_plan_name,
)
from batchwrap.providers.file_format import Plan, ProviderFile, Source

__all__ = [
    "Plan",
    "ProviderFile",
    "Source",
    "plan",
    "plan_names",
    "provider_file",
    "provider_files",
    "provider_named",
    "provider_of",
    "rules_named",
    "split_plan_name",
]
