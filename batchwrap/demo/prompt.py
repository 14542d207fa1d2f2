"""Makes a system prompt as long as those of real agents.

Coding agents send 10,000 to 25,000 tokens of rules and notes on their tools in every request. The
demo's job needs a few lines; the rest is filler of the same length.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

# Measured with o200k_base on the text below.
_CHARACTERS_PER_TOKEN = 4.48

_OPENING = """\
You are a careful coding agent. You work in one folder with the tools that you are given: you
read files, edit them, write new ones, and run the tests. Do what the user asks and nothing
beyond it. When you are done, say in one or two sentences what you did, and call no tool.
"""

_TOPICS = (
    "Reading files",
    "Editing files",
    "Writing new files",
    "Running the tests",
    "Naming",
    "Error handling",
    "Comments and docstrings",
    "Dependencies",
    "Version control",
    "Talking to the user",
    "Security",
    "Performance",
    "Public interfaces",
)
_WHEN = (
    "Before you start",
    "When a file is longer than a few hundred lines",
    "If two instructions contradict each other",
    "Once a change touches more than one module",
    "Where the project has a convention of its own",
    "After a tool has reported an error",
    "If the user has named the files",
    "While a test is still failing",
    "When you are not sure what a function is for",
    "As soon as the cause is known",
    "If a name is used outside its module",
)
_WHAT = (
    "look at the code that calls it",
    "keep the edit as small as the job allows",
    "copy the text to be replaced with its indentation",
    "follow the style of the lines around it",
    "prefer the standard library to a new package",
    "leave unrelated code exactly as you found it",
    "say plainly what you assumed",
    "check the tests that cover it",
    "do not repeat a call that has failed without changing it",
    "keep encodings and line ends as they are",
    "stop and report instead of guessing a third time",
    "mention the file and the line",
    "never print keys, passwords or tokens",
    "update the documentation in the same change",
    "choose the plain solution over the clever one",
    "make the smallest test that shows the problem",
    "read the whole function and not just the match",
)
_WHY = (
    "because a reviewer has to follow it later",
    "since others are working on the same code",
    "so that a failure can be traced to one step",
    "as the user sees the result and not the way there",
    "because a half-done change is worse than none",
    "so that the history stays readable",
    "since the next reader does not know what you know",
)


def system_prompt(tokens: int) -> str:
    """A system prompt of about so many tokens.

    It begins with the few lines that the demo's agent needs. The rest is filler that stands for
    what real agents send: sentences put together from parts in a fixed order, so that the same
    number always gives the same text.

    Args:
        tokens: the length that is wanted, as o200k_base counts; met within a few percent from
            200 on.

    Raises:
        ValueError: the number is below 1.
    """
    if tokens < 1:
        raise ValueError("tokens: 1 or more")
    wanted = tokens * _CHARACTERS_PER_TOKEN
    parts = [_OPENING]
    length = len(_OPENING)
    for part in _filler():
        if length >= wanted:
            break
        parts.append(part)
        length += len(part)
    return "".join(parts).rstrip() + "\n"


def _filler() -> Iterator[str]:
    # The three lists have 11, 17 and 7 entries, prime to each other: walking them in step gives
    # 1,309 different rules, about 38,000 tokens, before one comes back.
    for number in count():
        if number % 9 == 0:
            section = number // 9
            yield f"\n## {section + 1}. {_TOPICS[section % len(_TOPICS)]}\n\n"
        when, what, why = (part[number % len(part)] for part in (_WHEN, _WHAT, _WHY))
        yield f"- {when}, {what}, {why}.\n"
