"""Wordings of the directives, tried with a real model: which of them make it batch?

Each wording stands alone in the newest message: the prefetch directive in first answers, the
grouping one when a plan is over, that of a lapse after two single reads, the general one after two,
four and six. ``python -m benchmarks.wordings prefetch --base-url URL --model NAME --out FILE`` asks
for each wording of `benchmarks/data/wordings.toml`, and prints a table.
"""

from __future__ import annotations

import argparse
import os
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import batchwrap
from batchwrap.directives import DEFAULT_DIRECTIVES, Directive
from batchwrap.eval.answers.answer_file import AnswerFile, ModelAnswer
from batchwrap.eval.answers.answer_session import AnswerPlan, ask_all
from batchwrap.eval.answers.answer_summary import shares
from batchwrap.eval.answers.situations import Kind
from batchwrap.eval.arms import Arm
from batchwrap.eval.token_budget import TokenBudget
from batchwrap.eval.trial import ModelEndpoint
from batchwrap.options import EventHook, Limit, Reminders

WORDINGS = Path(__file__).parent / "data" / "wordings.toml"
# For each directive the situations in which it is due, and options under which no other one is.
_DUE: Mapping[str, tuple[Kind, tuple[int, ...], Mapping[str, Any]]] = {
    "prefetch": ("first", (0,), {}),
    "group_edits": ("edits", (0,), {}),
    "lapse": ("second", (2,), {"every": None}),
    "general": ("second", (4,), {"every": 4, "on_lapse": False}),
}


@dataclass(frozen=True, slots=True)
class Worded(Arm):
    """An arm with one directive in one wording."""

    directive: Directive

    def wrap(self, client: Any, *, limits: str | Sequence[Limit], on_event: EventHook) -> Any:
        """Wrap a client whose reminders have no other directive."""
        options = _DUE[self.directive.kind][2]
        reminders = Reminders(directives=[self.directive], **options)
        return batchwrap.wrap(
            client, limits=limits, on_event=on_event, reminders=reminders, config=None
        )


def wordings(kind: str, names: Sequence[str] | None = None) -> list[Worded]:
    """The arms for the wordings of a directive; all of them, or those with these names."""
    texts = tomllib.loads(WORDINGS.read_text(encoding="utf-8"))[kind]
    known = next(one for one in DEFAULT_DIRECTIVES if one.kind == kind)
    return [
        Worded(name, text, Directive(known.id, text, kind=known.kind, when=known.when))
        for name, text in texts.items()
        if not names or name in names
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Ask for each wording of a directive, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("directive", choices=_DUE)
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--api-key-env", help="environment variable with the key, if one is wanted")
    parser.add_argument("--out", type=Path, required=True, help="file for the answers")
    parser.add_argument("--wording", nargs="*", help="only these")
    parser.add_argument("--runs", type=int, default=1)
    options = parser.parse_args(arguments)
    kind, lapses, _ = _DUE[options.directive]
    arms = wordings(options.directive, options.wording)
    if missing := set(options.wording or ()) - {arm.name for arm in arms}:
        parser.error(f"there is no wording {', '.join(sorted(missing))} of {options.directive}")
    endpoint = ModelEndpoint(
        base_url=options.base_url,
        model=options.model,
        api_key=os.environ.get(options.api_key_env or "", "none"),
        system_tokens=200,
        seed=0,
    )
    setting = {"model": options.model, "directive": options.directive}
    file = AnswerFile(options.out, setting, {})
    plan = AnswerPlan(arms={kind: arms}, runs=options.runs, lapses=lapses)
    with batchwrap.mode("plan") if options.directive == "prefetch" else nullcontext():
        outcome = ask_all(plan, endpoint, file, budget=TokenBudget(), told=_show)
    for it in shares(file.answers):
        print(
            f"{it.arm:14} {it.complete}/{it.answers} complete, {it.batches}/{it.eligible} batches"
        )
    if outcome.failed:
        raise SystemExit(outcome.failed)


def _show(answer: ModelAnswer) -> None:
    print(f"{answer.arm}: {answer.situation}: {answer.called} of {answer.wanted}", flush=True)


if __name__ == "__main__":
    main()
