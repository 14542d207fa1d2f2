"""Checks an installed batchwrap by itself: `make build` runs this on the wheel."""

from __future__ import annotations

import tempfile

import batchwrap
from batchwrap.analyze import analyze
from batchwrap.analyze.page import page
from batchwrap.demo.project import create
from batchwrap.providers import plan_names
from batchwrap.throttle.estimate import Estimator


@batchwrap.batched(limits="cerebras/code-max")
def complete(**kwargs: object) -> dict[str, list[object]]:
    """A completion function without an SDK."""
    return {"choices": []}


def main() -> None:
    """Uses every data file that the package brings along."""
    messages = [{"role": "user", "content": "hello world"}]
    assert complete(messages=messages) == {"choices": []}
    assert [Estimator()({"model": m, "messages": messages}) for m in ("gpt-4", "m")] == [6, 6]
    with tempfile.TemporaryDirectory() as folder:
        assert len(create(f"{folder}/project").files) == 13
    assert page(analyze(["no/such/file"])).startswith("<!doctype html>")
    print(f"batchwrap {batchwrap.__version__} works, plans: {', '.join(plan_names())}")


if __name__ == "__main__":
    main()
