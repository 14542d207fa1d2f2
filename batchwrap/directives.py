"""The directives that reminders give, and the markers by which agents show their mode, as data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Literal, get_args

from batchwrap.checks import one_of, pattern
from batchwrap.errors import ConfigError

Mode = Literal["plan", "build"]
DirectiveKind = Literal["prefetch", "group_edits", "general", "bookkeeping", "lapse", "script"]
When = Literal["plan", "build", "always"]


@dataclass(frozen=True, slots=True)
class Directive:
    """A short text that reminds the model of something.

    Args:
        id: its name in `stats` and events.
        text: the text of the reminder, always the same. ``{name}`` stands for a tool of the
            request: ``{read}``, ``{edit}``, ``{write}``, ``{todo}`` for the agent's own tools
            of that kind; ``{multi_read}``, ``{multi_edit}``, ``{multi_write}``, ``{batch}`` for
            the offered multi-tools; ``{multi_tools}`` for all of these with their uses;
            ``{script}`` for the tool that runs programs; and any other name for the tool of that
            name. A directive is not given if it names a tool that the request does not have.
        kind: when it is due. ``"prefetch"``: when planning begins, and when a prompt names two or
            more files that were not named before. ``"group_edits"``: when planning ends and
            building begins, and when the model, after it has read, makes a first edit alone.
            ``"general"``: every N turns, alternating with others of the kind.
            ``"bookkeeping"``: when the model spends whole turns on its to-do list. ``"lapse"``:
            after two single calls that could have been one; then ``{tool}``, ``{multi}`` and
            ``{call}`` are the tool, its multi-tool, and the one call that would have replaced
            both, and ``{left}`` the multi-tool with the files that are known to be left.
            ``"script"``: after several single calls that a program could have made; then
            ``{program}`` is the beginning of that program.
        when: the mode in which it is given: ``"plan"``, ``"build"`` (whenever the agent is not
            known to be planning), or ``"always"``.
        models: patterns for the names of the models that get it (``"*qwen*"``); empty for all
            models.
        unless: a regular expression. If it matches the system prompt, that contradicts the
            directive, which is then withheld.
        judged: whether the model follows it by making a batch. A directive that is followed too
            rarely is switched off. Set it to False for a directive about something else.

    Raises:
        ConfigError: a value is wrong; the error names it.
    """

    id: str
    text: str
    _: KW_ONLY
    kind: DirectiveKind = "general"
    when: When = "always"
    models: Sequence[str] = ()
    unless: str | None = None
    judged: bool = True

    def __post_init__(self) -> None:
        for name in ("id", "text"):
            if not isinstance(getattr(self, name), str) or not getattr(self, name):
                raise ConfigError(f"Directive.{name}", "is not a string, or is empty")
        one_of("Directive.kind", self.kind, get_args(DirectiveKind))
        one_of("Directive.when", self.when, get_args(When))
        one_of("Directive.judged", self.judged, (True, False))
        if isinstance(self.models, str):
            raise ConfigError("Directive.models", "is a text; give a list of patterns")
        if self.unless is not None:
            pattern("Directive.unless", self.unless)


@dataclass(frozen=True, slots=True)
class Marker:
    """A text in a conversation that shows the agent's mode.

    Args:
        mode: the mode from this text on.
        pattern: a regular expression that is searched in messages of the user and the system.
        tool: the name of a tool whose results are searched instead of these messages.
        switch: whether the text says that the mode changes. Then the other mode held before it,
            even if the conversation does not show that any more.

    Raises:
        ConfigError: a value is wrong, or `pattern` is not a regular expression.
    """

    mode: Mode
    pattern: str
    _: KW_ONLY
    tool: str | None = None
    switch: bool = False

    def __post_init__(self) -> None:
        one_of("Marker.mode", self.mode, get_args(Mode))
        one_of("Marker.switch", self.switch, (True, False))
        pattern("Marker.pattern", self.pattern)


# Each gives the cost as its reason. The wordings were chosen with Qwen2.5-Coder-1.5B on 29 November
# 2026 (docs/reminders.md): it follows a text that asks for what is left, and repeats the calls that
# a text shows.
DEFAULT_DIRECTIVES: tuple[Directive, ...] = (
    Directive(
        "prefetch",
        "before you begin, read all files named in the prompt in one {multi_read} call: every "
        "call sends this whole conversation again. Only what another file leads you to is read "
        "later.",
        kind="prefetch",
        unless=r"(?i)\bone file at a time\b"
        r"|\b(?:do not|don't|never) read (?:all|several|many|multiple) files\b",
    ),
    Directive(
        "group_edits",
        "from here on, make all changes to one file, or for one purpose over several files, in "
        "one {multi_edit} call: every call sends this whole conversation again. Only an edit "
        "that depends on another one's result goes by itself.",
        kind="group_edits",
        when="build",
        unless=r"(?i)\b(?:one|a single) (?:edit|change|replacement) at a time\b",
    ),
    Directive(
        "lapse",
        "every call sends this whole conversation again, and your last two {tool} calls could "
        "have been one {multi} call. Make all that are left in one {left}.",
        kind="lapse",
        unless=r"(?i)\b(?:do not|don't|never) (?:batch|combine|group)\b",
    ),
    Directive(
        "script",
        "your last calls came one by one, each after the result of the one before. Every call "
        "sends this whole conversation again. Where results decide by a rule what is called next, "
        "let one {script} call do all of it and print only what you need. It begins like this:\n"
        "{program}",
        kind="script",
        unless=r"(?i)\b(?:do not|don't|never) (?:batch|combine|group|script)\b",
    ),
    Directive(
        "general",
        "every tool call sends this whole conversation again. Make all calls that are left in "
        "one: {multi_tools}.",
        kind="general",
        unless=r"(?i)\b(?:do not|don't|never) (?:batch|combine|group)\b",
    ),
    Directive(
        "bookkeeping",
        "{todo} needs no turn of its own: every turn sends this whole conversation again. Call "
        "it along with your next other calls, unless it depends on their results.",
        kind="bookkeeping",
    ),
)

# What agents write when they change their mode, as of November 2026. Aider has modes, too, but
# uses no tools.
DEFAULT_MARKERS: tuple[Marker, ...] = (
    # Claude Code, OpenCode, and agents modelled on them
    Marker("plan", r"Plan mode (?:is|still) active\b"),
    Marker("plan", r"# Plan Mode - System Reminder"),
    Marker("build", r"operational mode has changed from plan to build\b", switch=True),
    Marker("build", r"You have exited plan mode\b", switch=True),
    Marker("build", r"User has approved your plan\b", tool="ExitPlanMode", switch=True),
    Marker("build", r"User has approved your plan\b", tool="exit_plan_mode", switch=True),
    # Cline
    Marker("plan", r"# Current Mode\s+PLAN MODE"),
    Marker("build", r"# Current Mode\s+ACT MODE"),
    # Roo Code, Kilo Code
    Marker("plan", r"# Current Mode\s+<slug>architect</slug>"),
    Marker("build", r"# Current Mode\s+<slug>(?:code|debug)</slug>"),
    # Codex
    Marker("plan", r"<collaboration_mode>\s*# (?:Plan Mode|Collaboration Mode: Plan)"),
    Marker("build", r"<collaboration_mode>\s*# Collaboration Mode: Default"),
)
