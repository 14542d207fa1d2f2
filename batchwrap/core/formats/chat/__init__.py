"""The chat completions format of the OpenAI API: the one place that knows its shape.

Bodies stay plain dicts, so that fields we do not know pass through untouched. The
helpers here read them without trusting them: a provider or an agent may send anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from batchwrap.core.parse import rendered

Body = dict[str, Any]
Message = dict[str, Any]
ToolCall = dict[str, Any]

_TEXT_OR_NONE = (str, type(None))
# The fields of a call's fragment, and of its function.
_FRAGMENT = {"index", "id", "type", "function"}
_FUNCTION = {"name", "arguments"}


def is_understood(body: object, known: int = 0) -> bool:
    """Whether a request body has the shape that batchwrap translates.

    `known` is how many of its messages are known to have it.
    """
    if not isinstance(body, dict):
        return False
    messages, tools = body.get("messages"), body.get("tools")
    return (
        isinstance(messages, list)
        and bool(messages)
        and all(_is_message(message) for message in messages[known:])
        and (tools is None or (isinstance(tools, list) and all(isinstance(t, dict) for t in tools)))
    )


def _is_message(message: object) -> bool:
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
    """The tool calls of an assistant message or delta; anything that is not one is left out."""
    calls = message.get("tool_calls")
    return [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []


def by_id(message: Message) -> dict[object, ToolCall]:
    """The tool calls of a message by their ids; of two with the same one, the first."""
    found: dict[object, ToolCall] = {}
    for call in tool_calls(message):
        found.setdefault(call.get("id"), call)
    return found


def index_of(call: ToolCall) -> int | None:
    """The index of a streamed tool call, or None if it has none that could be one."""
    index = call.get("index")
    return index if isinstance(index, int) else None


def function_of(call: ToolCall) -> dict[str, Any]:
    """The `function` part of a tool call, or an empty dict."""
    function = call.get("function")
    return function if isinstance(function, dict) else {}


def name_of(call: ToolCall) -> str:
    """The name of the function that a call calls."""
    return str(function_of(call).get("name"))


def arguments_of(call: ToolCall) -> str:
    """The arguments of a call as JSON text, also where they came as an object."""
    arguments = function_of(call).get("arguments")
    return arguments if isinstance(arguments, str) else rendered(arguments).decode()


def choices(body: Body) -> Iterator[tuple[int, dict[str, Any]]]:
    """(index, choice) for each well-formed choice of a completion or chunk.

    A choice without an index of its own has its position.
    """
    listed = body.get("choices")
    for position, choice in enumerate(listed if isinstance(listed, list) else ()):
        if isinstance(choice, dict):
            index = choice.get("index")
            yield index if isinstance(index, int) else position, choice


def part_of(choice: dict[str, Any]) -> Message:
    """The `message` of a plain choice or the `delta` of a streamed one, or an empty dict."""
    for key in ("delta", "message"):
        if isinstance(choice.get(key), dict):
            part: Message = choice[key]
            return part
    return {}


def one_call_each(delta: Message) -> list[Message]:
    """A delta in parts of at most one call each, the first with all other fields.

    OpenAI sends calls one by one, and some clients read only the first of a delta.
    """
    given = delta.get("tool_calls")
    if not isinstance(given, list) or len(given) < 2:
        return [delta]
    first, *others = given
    return [{**delta, "tool_calls": [first]}, *({"tool_calls": [call]} for call in others)]


def function_tools(tools: object) -> Iterator[dict[str, Any]]:
    """The `function` objects of a request's tools that have a name."""
    for tool in tools if isinstance(tools, list) else ():
        function = tool.get("function") if isinstance(tool, dict) else None
        if isinstance(function, dict) and isinstance(function.get("name"), str):
            yield function


def tool_names(tools: object) -> Iterator[str]:
    """The names of a request's tools, of whatever form they are."""
    for tool in tools if isinstance(tools, list) else ():
        form = tool.get(str(tool.get("type"))) if isinstance(tool, dict) else None
        name = form.get("name") if isinstance(form, dict) else None
        if isinstance(name, str):
            yield name


def texts(content: object) -> Iterator[str]:
    """The texts of a message's content, which is a string or a list of parts."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        for part in content:
            if isinstance(part, dict) and isinstance(part.get("text"), str):
                yield part["text"]


def text_of(content: object) -> str:
    """The texts of a message's content as one, part under part."""
    return "\n".join(texts(content))


def with_text(message: Message, text: str) -> Message:
    """A copy of the message with a text added at the end of its content.

    The text is the same whether the content is a text or a list of parts.
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


# The choice's index, the index of the call (None: it is the choice's text), and what is new.
Piece = tuple[int, int | None, str]


def piece_alone(chunk: Body) -> Piece | None:
    """What a chunk adds that holds one piece of text, or of a call's arguments, and nothing else.

    Nearly all chunks of a stream are such. A call's first fragment, with its id and name, is none.
    """
    listed = chunk.get("choices")
    if type(listed) is not list or len(listed) != 1 or "error" in chunk or chunk.get("usage"):
        return None
    choice = listed[0]
    if type(choice) is not dict or choice.get("finish_reason"):
        return None
    index, delta = choice.get("index"), choice.get("delta")
    if type(index) is not int or type(delta) is not dict or len(delta) != 1:
        return None
    text = delta.get("content")
    if type(text) is str:
        return index, None, text
    calls = delta.get("tool_calls")
    if type(calls) is not list or len(calls) != 1 or type(calls[0]) is not dict:
        return None
    return _arguments_alone(index, calls[0])


def _arguments_alone(index: int, call: ToolCall) -> Piece | None:
    """A fragment that holds a piece of arguments; other fields may be there, but are null."""
    function, place = call.get("function"), call.get("index")
    if type(place) is not int or type(function) is not dict:
        return None
    text = function.get("arguments")
    if type(text) is not str:
        return None
    if len(call) == 2 and len(function) == 1:  # the index and the arguments, as nearly always
        return index, place, text
    if call.get("id") is not None or function.get("name") is not None:
        return None
    is_known = call.keys() <= _FRAGMENT and function.keys() <= _FUNCTION
    return (index, place, text) if is_known else None
