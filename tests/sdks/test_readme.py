"""The first lines of the README, word for word, with each API that they are true of."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.adapters.batching_models import scripted
from tests.adapters.file_job import MEANT, WORK, Done, messages_job, responses_job

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
MADE = 'OpenAI(base_url="https://api.cerebras.ai/v1", api_key="…")'


def responses(client: Any) -> Done:
    """What an agent does that speaks Responses."""
    return responses_job(lambda **asked: client.responses.create(model="m", **asked))


def messages(client: Any) -> Done:
    """What one does that speaks Messages."""
    return messages_job(lambda **asked: client.messages.create(model="m", max_tokens=50, **asked))


@pytest.mark.parametrize(
    ("sdk", "kind", "path", "work"),
    [("openai", "OpenAI", "/v1", responses), ("anthropic", "Anthropic", "", messages)],
)
def test_first_lines(serve: Any, capsys: Any, sdk: str, kind: str, path: str, work: Any) -> None:
    """A wrapped client needs no word more: two round trips, where the agent asks four times."""
    lab = serve(scripted(WORK))
    [lines, *_] = re.findall(r"^```python\n(.*?)^```$", README, re.M | re.S)
    assert lines.count(MADE) == 1
    lines = lines.replace(MADE, f'{kind}(base_url="{lab.url}{path}", api_key="key")')
    lines = lines.replace("from openai import OpenAI", f"from {sdk} import {kind}")
    begin, _, end = lines.partition("\n\nprint(")
    names: dict[str, Any] = {}
    exec(begin, names)  # the README's own words
    with closing(names["client"]):
        done = work(names["client"])
        exec(f"print({end}", names)
    assert (done.ran, done.answers, lab.round_trips) == (MEANT, 4, 2)
    assert re.search(r"^round trips saved +2$", capsys.readouterr().out, re.M)
