"""Options without code: `batchwrap.toml` and variables named `BATCHWRAP_…`.

`option_table` is made from the dataclasses; `layers` reads the sources; `conversion` makes values
of the dataclasses' types; `resolution` puts them together. `docs/configuration.md` is the page.
"""

from __future__ import annotations

from batchwrap.configuration.option_table import OptionKey, option_keys
from batchwrap.configuration.resolution import Configured, configured, options_for

__all__ = ["Configured", "OptionKey", "configured", "option_keys", "options_for"]
