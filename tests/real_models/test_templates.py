"""llama.cpp's own server with the chat templates of 71 models: what it makes of our requests."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Callable
from fnmatch import fnmatchcase
from importlib import resources
from pathlib import Path

from batchwrap.models import model_facts
from tests.real_models.chat_templates import model_of, templates
from tests.real_models.rendering import Findings

Find = Callable[[Path], Findings]
# It takes no results of tools, so that there is nothing to compare with.
WITHOUT_TOOLS = ("google-gemma-2-2b-it",)
# For llama.cpp, its variable `json_spec.items` is a function, so it refuses any list of any tool.
WITHOUT_LISTS = ("CohereForAI-c4ai-command-r-plus-tool_use",)
# Characters that close a group of results, and that the next result takes the place of.
CLOSING = 20
SOURCE = "llama.cpp b11434"


def test_takes_what_it_takes_bare(template: Path, findings: Find) -> None:
    """Every request in the provider view is rendered wherever the agent's own requests are."""
    found = findings(template)
    taken = [one for one in found.catalogue if None not in one.bare]
    assert bool(taken) == (template.stem not in WITHOUT_TOOLS)
    assert found.takes_lists == (template.stem not in WITHOUT_LISTS)
    if found.takes_lists:
        assert {str(one): one.refusals[0] for one in taken if one.refusals} == {}


def test_answers(template: Path, findings: Find) -> None:
    """With each list of tools the server answers: template, parser, grammar, prompt and stream."""
    answers = findings(template).answers
    assert [answer for answer in answers if answer[0] != 200] == []
    assert len(answers) >= 4 or template.stem in (*WITHOUT_TOOLS, *WITHOUT_LISTS)


def test_keeps_the_prefix(template: Path, findings: Find) -> None:
    """Each prompt begins with the one before it wherever that is so without batchwrap."""
    catalogue = findings(template).catalogue
    allowed = {False: 0, True: 0}
    for begins, characters in (loss for one in catalogue for loss in one.bare_losses):
        allowed[begins] = max(allowed[begins], characters)
    # Many templates drop the reasoning of earlier turns when the user says something new, and some
    # move the tools. What is lost then depends on what stood there, so it cannot be compared.
    allowed |= {begins: sys.maxsize for begins, most in allowed.items() if most > CLOSING}
    changed = {
        (str(one), at): characters
        for one in catalogue
        if one.conversation.scene.grows
        for at, (begins, characters) in enumerate(one.losses, 2)
        if characters > allowed[begins]
    }
    assert changed == {}


def test_the_facts(template: Path, findings: Find) -> None:
    """`families.toml` knows where a message of its own is not supported."""
    known = model_facts(model_of(template)).unsupported
    shown = findings(template).effects
    # That a whole family refuses it may come from its API, or from another of its templates.
    assert {k: v for k, v in shown.items() if known.get(k) not in (v, "refused")} == {}


def test_no_fact_is_out_of_date(findings: Find) -> None:
    """What `families.toml` has from these templates, at least one of them shows."""
    shown = {model_of(one): findings(one).effects for one in templates()}
    text = resources.files("batchwrap.models").joinpath("families.toml").read_text("utf-8")
    claims = [
        (family["match"], order, effect)
        for family in tomllib.loads(text)["family"]
        if SOURCE in family["source"]
        for order, effect in family["unsupported"].items()
    ]
    assert claims
    for match, order, effect in claims:
        models = [name for name in shown if any(fnmatchcase(name, one) for one in match)]
        assert effect in [shown[name].get(order) for name in models], (match, order)
