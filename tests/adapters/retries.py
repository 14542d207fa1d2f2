"""How often, and how soon, a request is tried again."""

from __future__ import annotations

import tenacity

SOON = tenacity.Retrying(wait=tenacity.wait_fixed(0.01), stop=tenacity.stop_after_attempt(2))
