"""Scripted models: one that plays replies in order, and one that does file jobs."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any

from batchwrap.errors import ConfigError
from batchwrap.lab.api_forms import as_chat
from batchwrap.lab.simulated_model import Call, Raw, Reply
from batchwrap.lab.transcript import (
    MadeCall,
    OfferedTool,
    calls_of,
    current_prompt,
    files_read,
    flat,
    parsed,
    text_of,
    tools_of,
    turns_after,
)

# Gets the files that were read so far and the request, as a chat request; returns the calls that
# the job needs.
Job = Callable[[dict[str, str], dict[str, Any]], list[Call]]

_EXTENSIONS = (
    "c|cc|cfg|conf|cpp|cs|css|csv|go|h|hpp|html|ini|ipynb|java|js|json|jsonl|jsx|kt|lock|log|lua|"
    "md|php|pl|proto|py|pyi|rb|rs|rst|scala|sh|sql|svelte|swift|toml|ts|tsx|txt|vue|xml|yaml|yml"
)
# A path in a prompt: it ends with a known extension, and is no part of a URL or of a longer word.
PATH = rf"(?<![\w./:-])(?:\.{{0,2}}/)?(?:[\w.-]+/)*[\w.-]+\.(?:{_EXTENSIONS})(?![\w/-])"
# A call quoted in a prompt, as in "for example {"path": "a.py"}", names no file of the job.
_QUOTED_CALL = re.compile(r"\{[^{}]*\}")


class Script:
    """A model that plays its replies in order, whatever the request is. Thread-safe.

    Args:
        replies: its answers, one for each request.

    Raises:
        RuntimeError: (when called) all replies have been played.
    """

    def __init__(self, *replies: Reply | Raw) -> None:
        self._replies = replies
        self._played = 0
        self._lock = threading.Lock()

    def __call__(self, request: dict[str, Any]) -> Reply | Raw:
        """The next reply."""
        with self._lock:
            if self._played == len(self._replies):
                raise RuntimeError(
                    f"the script has {len(self._replies)} replies and was asked for one more"
                )
            self._played += 1
            return self._replies[self._played - 1]

    @property
    def left(self) -> int:
        """How many replies have not been played."""
        return len(self._replies) - self._played


@dataclass(frozen=True, slots=True, kw_only=True)
class Habit:
    """How the scripted model behaves. These are assumptions, not measurements.

    Real models differ from it and from each other. Figures with this model show what batching is
    worth if a model behaves like this; they do not show that any model does.

    Args:
        turns: the number of assistant turns for which the model continues to use a multi-tool
            after it was reminded of it, or used one itself. With 0 it never batches: if only a
            multi-tool is offered, its calls have one item.
        unasked: whether it uses an offered multi-tool without a reminder.
        multi_tool: the prefix of the name of a multi-tool for reading.
        multi_tools: the prefix of the name of any multi-tool of one kind.
        read_tools: the names of single read tools that the model knows.
        path: a regular expression for a path in a prompt.
        heeds_max_items: whether its calls have no more items than the schema's `maxItems`.
        script_tool: the name of the tool that runs programs; None: it never writes any.

    Raises:
        ConfigError: `turns` is below 0.
    """

    turns: int = 4
    unasked: bool = False
    multi_tool: str = "multi_read"
    multi_tools: str = "multi_"
    read_tools: tuple[str, ...] = (
        "read_file",
        "read",
        "view",
        "Read",
        "view_file",
        "open_file",
        "cat",
        "read_text_file",
    )
    path: str = PATH
    heeds_max_items: bool = True
    script_tool: str | None = "run_script"

    def __post_init__(self) -> None:
        if self.turns < 0:
            raise ConfigError("Habit.turns", f"{self.turns!r} is below 0")


class FileReader:
    """A model that reads the files in its prompt, then makes the calls of a job.

    It has no memory: each answer follows from the request alone, so it can be called concurrently,
    and again for the same request. In each turn it does the first of these that applies:

    1. A tool that runs programs is offered, and it has a program for the job: it writes the
       program, and then makes the calls that follow it. Nothing else is left to do.
    2. Files in the prompt are unread, a multi-tool is offered, and it is in the habit of using it:
       it reads all of them in one call.
    3. Files are unread: it reads the first one with the single read tool.
    4. Calls of the job are missing: it makes the next one or, if it is in the habit of using a
       multi-tool that takes such calls, all following calls of the same tool.
    5. It ends its turn with a short text.

    It is in the habit if the multi-tool's name occurs in a user or tool message of the last
    `Habit.turns` assistant turns, or if it made a multi-call in one of them; and always with
    `Habit.unasked`. The system prompt and the tool's description do not count: the assumption is
    that models forget them (see `Habit`).

    Args:
        job: returns the calls that are needed after reading. It is called in each turn, so it
            must return the same calls for the same files. A call is done if the conversation
            contains an equal one, or an equal item of a multi-call.
        habit_turns: short for `Habit(turns=…)`.
        habit: how it behaves.
        final: the text that ends its turn, or a function that makes it from the files read.
        program: returns a program that does the job, for a request; its output, if it has any, is
            the text that ends the turn.
        afterwards: the calls that follow the program, one per turn.
    """

    def __init__(
        self,
        job: Job | None = None,
        *,
        habit_turns: int | None = None,
        habit: Habit | None = None,
        final: str | Callable[[dict[str, str]], str] = "Done.",
        program: Callable[[dict[str, Any]], str] | None = None,
        afterwards: tuple[Call, ...] = (),
    ) -> None:
        habit = habit or Habit()
        self.habit = habit if habit_turns is None else replace(habit, turns=habit_turns)
        self._job = job
        self._final = final
        self._program = program
        self._afterwards = afterwards
        self._path = re.compile(self.habit.path)

    def __call__(self, request: dict[str, Any]) -> Reply:
        """The turn that follows from the conversation, at any of the APIs."""
        request = as_chat(request)
        messages = request["messages"]
        calls = list(flat(calls_of(messages)))
        if self._program and any(it.name == self.habit.script_tool for it in tools_of(request)):
            return self._by_program(self._program(request), calls)
        single, multi = self._read_tools(request)
        files = files_read(calls, {tool.name: tool for tool in (single, multi) if tool})
        unread = [path for path in self._named(messages) if path not in files]
        if unread and (single or multi):
            return Reply(calls=(self._read(unread, single, multi, messages),))
        job = self._job(files, request) if self._job else []
        left = [call for call in job if not any(_is_equal(call, made) for made in calls)]
        if left:
            return Reply(calls=(self._make(left, request),))
        return Reply(self._last_words(files))

    def _by_program(self, code: str, calls: list[MadeCall]) -> Reply:
        """The program, the next one of the calls that follow it, or what it printed."""
        script = Call(self.habit.script_tool or "", {"code": code})
        ran = next((made.result for made in calls if _is_equal(script, made)), None)
        if ran is None:
            return Reply(calls=(script,))
        for call in self._afterwards:
            if not any(_is_equal(call, made) for made in calls):
                return Reply(calls=(call,))
        # The last line of the result lists the calls that ran.
        return Reply(ran.rpartition("\n")[0] or self._last_words({}))

    def _last_words(self, files: dict[str, str]) -> str:
        return self._final if isinstance(self._final, str) else self._final(files)

    def _make(self, left: list[Call], request: dict[str, Any]) -> Call:
        """The next call of the job, or a multi-call of it and the following ones of its tool."""
        first = left[0]
        alike = list(takewhile(lambda call: call.name == first.name, left))
        given = set(first.arguments) if isinstance(first.arguments, dict) else set[str]()
        tools = tools_of(request)
        # With `offer="instead"` the single tool is not in the request.
        hidden = all(tool.name != first.name for tool in tools)
        for tool in tools if len(alike) > 1 or hidden else ():
            if (
                tool.items
                and given
                and given <= tool.fields
                and tool.name.startswith(self.habit.multi_tools)
                and (hidden or self._in_habit(tool.name, request["messages"]))
            ):
                items = [call.arguments for call in alike[: self._most(tool)]]
                return Call(tool.name, {tool.items: items})
        return first

    def _most(self, multi: OfferedTool) -> int | None:
        """The largest number of items in a call; None for no limit."""
        if self.habit.turns == 0 and not self.habit.unasked:
            return 1
        return multi.max_items if self.habit.heeds_max_items else None

    def _read_tools(self, request: dict[str, Any]) -> tuple[OfferedTool | None, OfferedTool | None]:
        tools = tools_of(request)
        singles = {tool.name: tool for tool in tools if tool.items is None}
        single = next((singles[n] for n in self.habit.read_tools if n in singles), None)
        multis = (t for t in tools if t.items and t.name.startswith(self.habit.multi_tool))
        return single, next(multis, None)

    def _named(self, messages: list[dict[str, Any]]) -> list[str]:
        prompt = current_prompt(messages)
        # The pattern matches the innermost braces, so nested ones take several rounds.
        while (plain := _QUOTED_CALL.sub(" ", prompt)) != prompt:
            prompt = plain
        return list(dict.fromkeys(self._path.findall(prompt)))

    def _read(
        self,
        unread: list[str],
        single: OfferedTool | None,
        multi: OfferedTool | None,
        messages: list[dict[str, Any]],
    ) -> Call:
        several = len(unread) > 1 and multi is not None and self._in_habit(multi.name, messages)
        if multi and multi.items and (single is None or several):
            items = [{multi.path: path} for path in unread[: self._most(multi)]]
            return Call(multi.name, {multi.items: items})
        assert single is not None
        return Call(single.name, {single.path: unread[0]})

    def _in_habit(self, multi: str, messages: list[dict[str, Any]]) -> bool:
        if self.habit.unasked:
            return True
        name = re.compile(rf"(?<!\w){re.escape(multi)}(?!\w)")
        for turns, message in turns_after(messages):
            if turns >= self.habit.turns:
                return False
            if message["role"] in ("user", "tool") and name.search(text_of(message)):
                return True
            made = message.get("tool_calls") or () if message["role"] == "assistant" else ()
            if any(call["function"]["name"].startswith(self.habit.multi_tools) for call in made):
                return True
        return False


def _is_equal(call: Call, made: MadeCall) -> bool:
    """Whether the call was made, by itself or as an item of a multi-call."""
    wanted = parsed(call.arguments)
    if made.name == call.name and made.arguments == wanted:
        return True
    # An item of `batch` names its tool; an item of a multi-tool has the arguments alone.
    return any(
        item == wanted or (item.get("tool") == call.name and item.get("arguments") == wanted)
        for item in made.items()
    )
