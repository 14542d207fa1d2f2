"""`make eval-model` with a file: a server of its own, its answers in a file, and its end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import eval_model


def test_answers(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each situation is asked for, and the same command finds nothing more to ask."""
    out = tmp_path / "answers.json"
    for _ in range(2):
        with pytest.raises(SystemExit) as ended:
            eval_model.main(
                [str(weights), "--out", str(out), "--answers", "edits", "--arm", "offer"]
            )
        assert not ended.value.code
    shown = capsys.readouterr()
    assert f"{weights.stem} at a local server" in shown.out
    assert shown.err.count("[4/4]") == 1
    saved = json.loads(out.read_text())
    assert saved["setting"]["model"] == weights.stem
    assert len(saved["answers"]) == 4
    assert all(answer["error"] is None for answer in saved["answers"])
