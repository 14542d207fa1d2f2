"""Facts about providers: one data file for each, with source and date.

`<provider>.toml` beside this module has everything: the hosts, how the provider counts, the limits
of its plans, what its headers and refusals mean, what it accepts in a request, its name in
telemetry. `file_format` lists the fields. The core gets the facts as a frozen
`batchwrap.core.provider.Provider`.

If it is unknown how a limit is refilled, the files use these rules. A limit for a minute or less is
"rolling", which never exceeds the limit whatever the provider does, and costs seconds at most. A
limit for a day is "continuous", since a wrongly guessed boundary would cost hours. Facts without a
source are left out.
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
