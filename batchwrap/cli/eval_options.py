"""The options of `batchwrap eval`, as they were typed and not checked yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The options by their names; the help of the command says what each means."""

    base_url: str | None
    model: str | None
    api_key_env: str | None
    lab: bool
    out: Path | None
    arms: Sequence[str]
    tasks: Sequence[str]
    answers: Sequence[str]
    runs: int | None
    seed: int
    parallel: int
    limits: str | None
    system_tokens: int | None
    max_tokens: int | None
    max_cost: float | None
    price_in: float | None
    price_out: float | None
    price_cached: float | None
    retry_errors: bool
    dry_run: bool
    report: Path | None
    as_json: bool
