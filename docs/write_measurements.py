"""Writes the page of measurements from the files in docs/measurements: `make docs-measurements`."""

from pathlib import Path
from typing import Any

from batchwrap.eval.answers.answer_file import ModelAnswer, read
from batchwrap.eval.answers.answer_report import NOTE, answer_pipes
from batchwrap.eval.answers.answer_summary import shares

Setting = dict[str, Any]
FILES = Path(__file__).with_name("measurements")
PAGE = FILES.with_suffix(".md")
INTRO = f"""\
# Measured answers

What `batchwrap eval --answers` found with real models, newest first
([how](eval.md#single-answers)).

{NOTE}

To add a model of yours, run `batchwrap eval --answers all --out NAME.json …`, put the file into
`docs/measurements/`, run `make docs-measurements`, and open a pull request. The file has no text of
any answer, no key, and the address of the endpoint without user, password and query.
"""


def page() -> str:
    """The page as it should be."""
    files = [(read(path), path) for path in sorted(FILES.glob("*.json"))]
    files.sort(key=lambda it: it[0][1]["date"], reverse=True)
    return "\n".join([INTRO, *(_section(*its[0], its[1]) for its in files)])


def _section(setting: Setting, about: Setting, answers: list[ModelAnswer], path: Path) -> str:
    facts = ", ".join(
        (
            about["date"],
            f"batchwrap {setting['batchwrap']}",
            "temperature 0",
            f"seed {setting['seed']}",
            f"{setting['system_tokens']} tokens of system prompt",
        )
    )
    return (
        f"## {setting['model']}\n\n{facts}; [the answers](measurements/{path.name}).\n\n"
        f"{answer_pipes(shares(answers))}\n"
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
