"""Nothing that batchwrap shows of itself holds contents or keys."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import tenacity
from hypothesis import given
from hypothesis import strategies as st

import batchwrap
from batchwrap.errors import BrokenAnswer
from batchwrap.options import Event
from tests.core.harness import call, chunk, completion
from tests.strategies import EDIT_FILE, READ_FILE

SECRET = "hush-5f1c"
TOOLS = [
    {**tool, "function": {**tool["function"], "description": SECRET}}
    for tool in (READ_FILE, EDIT_FILE)
]
ASKED: dict[str, Any] = {
    "model": "m",
    "api_key": f"sk-{SECRET}",
    "api_base": f"https://user:{SECRET}@example.test/{SECRET}",
    "extra_headers": {"x-token": SECRET},
    "user": SECRET,
    "stop": [SECRET],
    "tools": TOOLS,
    "messages": [
        {"role": "system", "content": SECRET},
        {"role": "user", "content": f"Read {SECRET}.py and more/{SECRET}.py."},
        {"role": "assistant", "content": SECRET, "tool_calls": [call("c1", SECRET, SECRET)]},
        {"role": "tool", "tool_call_id": "c1", "content": f"Error: {SECRET}"},
        {"role": "tool", "tool_call_id": SECRET, "content": SECRET},
    ],
}


class Refused(Exception):
    """As SDKs raise it."""

    def __init__(self, status: int) -> None:
        super().__init__(SECRET)
        self.status_code = status
        self.body = {"error": dict.fromkeys(("message", "type", "code", "param"), SECRET)}


def files(*paths: str) -> str:
    """The arguments of a `multi_read`."""
    return json.dumps({"files": [{"path": path} for path in paths]})


ARGUMENTS = st.sampled_from(
    [
        files(f"{SECRET}.py", f"a/{SECRET}"),
        files(SECRET)[:-3],
        json.dumps({"path": SECRET}),
        f'{{"path": "{SECRET}',
        f"```json\n{json.dumps({'path': SECRET})}\n```",
        f'{{"{SECRET}": 1}}',
        json.dumps({"calls": [{"tool": "read_file", "arguments": {"path": SECRET}}] * 2}),
        SECRET,
    ]
)
NAMES = st.sampled_from(["read_file", "multi_read", "multi_edit", "batch", "read_file<|channel|>"])
CALLS = st.lists(st.builds(call, st.just("c"), NAMES, ARGUMENTS), max_size=3)
TEXTS = st.sampled_from(
    [
        "",
        SECRET,
        f"<tool_call>{SECRET}</tool_call>",
        f"<think>{SECRET}</think>",
        f"{SECRET}<|im_end|>",
    ]
)
MESSAGES = st.fixed_dictionaries(
    {"role": st.just("assistant"), "content": TEXTS, "tool_calls": CALLS}
)
ERRORS = st.sampled_from(
    [
        {"error": {"message": f"Rate limit: {SECRET}", "code": SECRET}},
        {"error": SECRET},
        {"error": {"message": f"max_tokens too large: {SECRET}", "type": SECRET}},
        {"object": "error", "message": SECRET, "type": SECRET},
    ]
)
ENDINGS = st.sampled_from(["tool_calls", "stop", "length", None])
WHOLE = st.one_of(st.builds(completion, MESSAGES, ENDINGS), ERRORS)
PIECES = st.one_of(
    st.builds(chunk, MESSAGES, ENDINGS), ERRORS, st.just({SECRET: SECRET}), st.just(chunk({}))
)
STATUSES = st.sampled_from([400, 401, 404, 413, 422, 429, 500, 503, 529])
ANSWERS = st.one_of(WHOLE, st.lists(PIECES, max_size=4), st.builds(Refused, STATUSES))


@contextmanager
def log_lines() -> Iterator[list[str]]:
    """All that the logger writes, tracebacks included."""
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(logging.Formatter().format(record))

    logger, keep = logging.getLogger("batchwrap"), Keep()
    logger.addHandler(keep)
    logger.setLevel(logging.DEBUG)
    try:
        yield lines
    finally:
        logger.removeHandler(keep)
        logger.setLevel(logging.NOTSET)


@given(answers=st.lists(ANSWERS, min_size=1, max_size=4), bold=st.booleans())
def test_secrets_stay_where_they_are(answers: list[Any], bold: bool) -> None:
    """Whatever is asked and answered, no event, line, counter or error of ours tells of it."""
    events: list[Event] = []
    left = iter(answers)
    shown: list[object] = []

    @batchwrap.batched(
        repair=batchwrap.Repair.all() if bold else batchwrap.Repair(),
        reminders=batchwrap.Reminders(every=1),
        throttle=batchwrap.Throttle(
            keys=[f"sk-{SECRET}"],
            store="memory",
            retry=tenacity.Retrying(stop=tenacity.stop_after_attempt(2), wait=tenacity.wait_none()),
        ),
        on_event=events.append,
    )
    def complete(**kwargs: Any) -> Any:
        said = next(left, None) or completion({"role": "assistant", "content": SECRET}, "stop")
        if isinstance(said, Exception):
            raise said
        return iter(said) if isinstance(said, list) else said

    messages = ASKED["messages"]
    with log_lines() as lines:
        for answer in answers:
            asked = {**ASKED, "messages": messages, "stream": isinstance(answer, list)}
            try:
                said = complete(**asked)
                if not isinstance(said, dict):  # some stream although nobody asked them to
                    list(said)
            except (BrokenAnswer, Refused):  # the words of the provider, for who asked it
                pass
            except batchwrap.BatchwrapError as error:
                shown.append(error)
            messages = [*messages, *([{"role": "assistant", "content": SECRET}] * 2)]
    stats = batchwrap.stats(complete)
    shown += [events, lines, complete, stats, str(stats), stats.as_dict()]
    assert [event.name for event in events].count("ended") == stats.requests == len(answers)
    for event in events:
        json.dumps(dict(event.data))
    assert SECRET not in repr(shown)


def test_options_have_no_secrets() -> None:
    """Keys of a pool, and the password in a store's URL, are not shown."""
    throttle = batchwrap.Throttle(keys=[SECRET], store=f"redis://:{SECRET}@example.test")
    assert SECRET not in repr(throttle)


def test_the_log_is_silent_by_default() -> None:
    """The library's logger has a handler that does nothing, so nothing goes to stderr unasked."""
    handlers = logging.getLogger("batchwrap").handlers
    assert any(isinstance(handler, logging.NullHandler) for handler in handlers)
