"""The arms, as texts and as clients."""

from __future__ import annotations

from typing import Any

import pytest

from batchwrap.errors import ConfigError, MissingExtraError
from batchwrap.eval.arms import Arm, arm, standard_arms
from batchwrap.lab import Lab, Reply
from tests.eval.helpers import KEY, quick_lab

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "read_file",
            "parameters": {
                "type": "object",
                "properties": {"path": {"type": "string"}},
                "required": ["path"],
            },
        },
    }
]


def offered(lab: Lab, its: Arm) -> list[str]:
    """The tools that the provider sees of an agent that can read files."""
    from openai import OpenAI

    with OpenAI(base_url=lab.base_url, api_key=KEY) as plain:
        client: Any = its.wrap(plain, limits="auto", on_event=lambda _: None)
        client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "Hello."}], tools=TOOLS
        )
    return [tool["function"]["name"] for tool in lab.journal[-1].json["tools"]]


def test_what_the_model_is_offered() -> None:
    """Bare changes nothing; the others offer multi-tools, beside the tool or in its place."""
    pytest.importorskip("pydantic_monty")
    with quick_lab(lambda _: Reply("Hello.")) as lab:
        seen = {its.name: offered(lab, its) for its in [*standard_arms(), arm("off=offer=never")]}
    single, multi = ["read_file"], ["multi_read"]
    assert seen == {
        "bare": single,
        "offer": single + multi,
        "reminders": single + multi,
        "instead": multi,
        "fast": [*multi, "run_script"],
        "scripts": [*single, *multi, "run_script"],
        "off": single,
    }


def test_scripts_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """The arm with scripts is left out by default; asked for by name, it names the extra."""
    monkeypatch.setattr("batchwrap.drive.interpreter.find_spec", lambda _: None)
    assert [its.name for its in standard_arms()] == [
        "bare",
        "offer",
        "reminders",
        "instead",
        "fast",
    ]
    for text in ("scripts", "mine=scripts=true,every=2"):
        with pytest.raises(MissingExtraError, match=r"batchwrap\[scripts\]"):
            arm(text)


def test_an_arm_of_ones_own() -> None:
    """A name and options, of which each is one of `Batching`, `Reminders` or a preset."""
    text = "mine=preset=fast,every=2,read_ahead=true,max_items=16,on_lapse=false"
    assert arm(text) == Arm("mine", text.partition("=")[2])
    assert arm("quiet=reminders=none,batching=none").name == "quiet"
    assert arm("plain=bare") == Arm("plain", "bare")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("nonsense", "nonsense"),
        ("=every=2", "name of its own"),
        ("bare=every=2", "name of its own"),
        ("mine=nonsense=2", "nonsense=2"),
        ("mine=every", "--arm: every: "),
        ("mine=every=0", "--arm: every: 0"),
        ("mine=offer=maybe", "--arm: offer: .maybe"),
        ("mine=preset=none", "--arm: preset: 'none' is not one of"),
        ("mine=reminders=2", "reminders=2"),
    ],
)
def test_a_wrong_arm(text: str, named: str) -> None:
    """What is wrong is said before anything is run."""
    with pytest.raises(ConfigError, match=named):
        arm(text)
