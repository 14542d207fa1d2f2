"""The chat completions format of the OpenAI API: helpers that read its JSON.

Bodies stay plain dicts, so unknown fields pass through unchanged. The helpers check every type
before they use a value, since a provider or an agent may send anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from batchwrap.core.parse import rendered

Body = dict[str, Any]
Message = dict[str, Any]
ToolCall = dict[str, Any]

_TEXT_OR_NONE = (str, type(None))
# The fields of a fragment of a call, and of the function in it.
_FRAGMENT = {"index", "id", "type", "function"}
_FUNCTION = {"name", "arguments"}


def is_understood(body: object, known: int = 0) -> bool:
    """Whether a request body has the shape that batchwrap translates.

    Args:
        body: the request.
        known: how many of its first messages are known to have that shape.
    """
    if not isinstance(body, dict):
        return False
    messages, tools = body.get("messages"), body.get("tools")
    return (
        isinstance(messages, list)
        and bool(messages)
        and all(map(_is_message, messages[known:]))
        and (tools is None or (isinstance(tools, list) and all(isinstance(t, dict) for t in tools)))
    )


def _is_message(message: object) -> bool:
    """Whether a message can be read: unusual content passes, unusual ids and calls do not."""
    if not isinstance(message, dict):
        return False
    calls = message.get("tool_calls")
    return (
        isinstance(message.get("role"), _TEXT_OR_NONE)
        and isinstance(message.get("tool_call_id"), _TEXT_OR_NONE)
        and (calls is None or (isinstance(calls, list) and all(map(_is_call, calls))))
    )


def _is_call(call: object) -> bool:
    return isinstance(call, dict) and isinstance(call.get("id"), _TEXT_OR_NONE)


def tool_calls(message: Message) -> list[ToolCall]:
    """The tool calls of an assistant message or delta, without anything that is not an object."""
    calls = message.get("tool_calls")
    return [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []


def by_id(message: Message) -> dict[object, ToolCall]:
    """The tool calls of a message by id. Of two calls with the same id, the first counts."""
    found: dict[object, ToolCall] = {}
    for call in tool_calls(message):
        found.setdefault(call.get("id"), call)
    return found


def index_of(call: ToolCall) -> int | None:
    """The index of a streamed tool call; None if it has none, or not a number."""
    index = call.get("index")
    return index if isinstance(index, int) else None


def function_of(call: ToolCall) -> dict[str, Any]:
    """The `function` object of a tool call; an empty dict if it has none."""
    function = call.get("function")
    return function if isinstance(function, dict) else {}


def name_of(call: ToolCall) -> str:
    """The name of a call's function."""
    return str(function_of(call).get("name"))


def arguments_of(call: ToolCall) -> str:
    """The arguments of a call as JSON text. Some servers send them as an object."""
    arguments = function_of(call).get("arguments")
    return arguments if isinstance(arguments, str) else rendered(arguments).decode()


def choices(body: Body) -> Iterator[tuple[int, dict[str, Any]]]:
    """(index, choice) for each choice of a completion or chunk that is an object.

    If a choice has no index, its position counts.
    """
    listed = body.get("choices")
    for position, choice in enumerate(listed if isinstance(listed, list) else ()):
        if isinstance(choice, dict):
            index = choice.get("index")
            yield index if isinstance(index, int) else position, choice


def part_of(choice: dict[str, Any]) -> Message:
    """The `delta` or the `message` of a choice; an empty dict if it has neither."""
    for key in ("delta", "message"):
        if isinstance(choice.get(key), dict):
            part: Message = choice[key]
            return part
    return {}


def one_call_each(delta: Message) -> list[Message]:
    """Splits a delta into deltas with at most one call each; the first keeps all other fields.

    OpenAI sends the calls of a message one by one, and some clients read only the first call of a
    delta.
    """
    given = delta.get("tool_calls")
    if not isinstance(given, list) or len(given) < 2:
        return [delta]
    first, *others = given
    return [{**delta, "tool_calls": [first]}, *({"tool_calls": [call]} for call in others)]


def function_tools(tools: object) -> list[dict[str, Any]]:
    """The `function` objects among a request's tools, if they have a name."""
    return [
        function
        for tool in (tools if isinstance(tools, list) else ())
        if isinstance(tool, dict)
        and isinstance(function := tool.get("function"), dict)
        and isinstance(function.get("name"), str)
    ]


def tool_names(tools: object) -> list[str]:
    """The names of a request's tools of any type."""
    return [
        name
        for tool in (tools if isinstance(tools, list) else ())
        if isinstance(tool, dict)
        and isinstance(form := tool.get(str(tool.get("type"))), dict)
        and isinstance(name := form.get("name"), str)
    ]


def texts(content: object) -> Iterator[str]:
    """The texts of a message's content, which may be a string or a list of parts."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        for part in content:
            if isinstance(part, dict) and isinstance(part.get("text"), str):
                yield part["text"]


def text_of(content: object) -> str:
    """The texts of a message's content, joined by newlines."""
    return "\n".join(texts(content))


def with_text(message: Message, text: str) -> Message:
    """A copy of the message with a text added at the end of its content.

    The model reads the same text whether the content is a string or a list of parts.
    """
    content = message.get("content")
    if isinstance(content, list):
        last = content[-1] if content else None
        gap = "\n\n" if isinstance(last, dict) and last.get("text") else ""
        added: object = [*content, {"type": "text", "text": gap + text}]
    elif isinstance(content, str) and content:
        added = f"{content}\n\n{text}"
    else:
        added = text
    return {**message, "content": added}


# The texts of a message or delta: its content, and reasoning content under either name.
TEXTS = ("content", "reasoning_content", "reasoning")
# The index of the choice, the text (None: the content; a name: another text; the index of a call:
# its arguments), and the new text.
Piece = tuple[int, int | str | None, str]


def piece_alone(chunk: Body) -> Piece | None:
    """The single piece of text, or of a call's arguments, that a chunk holds.

    Nearly all chunks of a stream hold just that. The check compares types with `type(…) is`, which
    is the fastest way, since it runs for every chunk.

    Returns:
        None if the chunk holds anything else, such as the id and name in a call's first fragment.
    """
    listed = chunk.get("choices")
    if type(listed) is not list or len(listed) != 1 or "error" in chunk or chunk.get("usage"):
        return None
    choice = listed[0]
    if type(choice) is not dict or choice.get("finish_reason"):
        return None
    index, delta = choice.get("index"), choice.get("delta")
    if type(index) is not int or type(delta) is not dict:
        return None
    if len(delta) != 1:
        return _text_alone(index, delta)
    text = delta.get("content")
    if type(text) is str:
        return index, None, text
    calls = delta.get("tool_calls")
    if calls is None:
        return _text_alone(index, delta)
    if type(calls) is not list or len(calls) != 1 or type(calls[0]) is not dict:
        return None
    return _arguments_alone(index, calls[0])


def _text_alone(index: int, delta: Message) -> Piece | None:
    """A delta that holds a piece of a text, reasoning content included; the rest is null."""
    said = [(name, value) for name, value in delta.items() if value is not None]
    if len(said) != 1:
        return None
    [(name, text)] = said
    if type(text) is not str or name not in TEXTS:
        return None
    return index, None if name == "content" else name, text


def _arguments_alone(index: int, call: ToolCall) -> Piece | None:
    """The piece of arguments in a fragment; None if another field of it is not null."""
    function, place = call.get("function"), call.get("index")
    if type(place) is not int or type(function) is not dict:
        return None
    text = function.get("arguments")
    if type(text) is not str:
        return None
    if len(call) == 2 and len(function) == 1:  # nearly always: only the index and the arguments
        return index, place, text
    if call.get("id") is not None or function.get("name") is not None:
        return None
    is_known = call.keys() <= _FRAGMENT and function.keys() <= _FUNCTION
    return (index, place, text) if is_known else None
