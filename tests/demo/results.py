"""Results of a demo run, to be compared and printed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from batchwrap.demo.book import Book, TokensSpent
from batchwrap.demo.demo_report import DemoResult
from batchwrap.demo.run import ArmName, DemoArm, RealEndpoint

BOOK = Book(
    round_trips=40,
    prompt_tokens=1_000_000,
    completion_tokens=800,
    refusals=2,
    served_s=10.0,
    spent=(TokensSpent(1.0, 600_000), TokensSpent(130.0, 400_800)),
    refused_at_s=(5.0, 70.0),
)


def arm(name: ArmName, book: dict[str, Any] | None = None, **values: Any) -> DemoArm:
    it = DemoArm(
        name=name,
        book=replace(BOOK, **(book or {})),
        wall_s=130.5,
        turns=40,
        tool_calls=32,
        files_changed=13,
        tests_pass=True,
        done=True,
        error=None,
    )
    return replace(it, **values)


def result(**values: Any) -> DemoResult:
    it = DemoResult(
        bare=arm("bare"),
        wrapped=arm("wrapped", {"round_trips": 10, "refusals": 0}, wall_s=65.25),
        stream=False,
        time_scale=15.0,
    )
    return replace(it, **values)


def real(**values: Any) -> DemoResult:
    endpoint = RealEndpoint(base_url="https://x.test/v1", model="swift", api_key="secret-key")
    return result(endpoint=endpoint, time_scale=None, **values)
