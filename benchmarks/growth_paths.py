"""The hot paths of batchwrap as steps over an input of any size, for `growth` and its test.

A path takes a size and returns an iterator: what it makes before that is not part of the work,
each item that is taken is a step of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

import batchwrap
from batchwrap import Batching, Reminders, Repair
from batchwrap.adapters.events import EventPipe
from batchwrap.core.exchange.actions import Head
from batchwrap.core.exchange.machine import Exchange
from batchwrap.core.moves import ids
from batchwrap.engine import Engine
from batchwrap.options import Options
from batchwrap.throttle.accounts import Origin
from batchwrap.throttle.tokens.counting import count_text
from benchmarks import toolbox

Steps = Iterator[object]
Make = Callable[[int], Steps]
Body = dict[str, Any]

EVENTS = Head(200, {"content-type": "text/event-stream"}, is_stream=True)
ORIGIN = Origin("growth.invalid", "any")
FIRST = [{"role": "user", "content": "Tidy up src/ and tests/, please."}]
_ALL = Repair.all()


@dataclass(frozen=True, slots=True)
class Path:
    """One hot path.

    Attributes:
        name: what grows.
        make: the steps for a size.
        size: the smaller of the two that are compared.
    """

    name: str
    make: Make
    size: int


def engine(**options: Any) -> Engine:
    """What a wrapped client has of its own."""
    return Engine(Options(**options))


def asked(on: Engine, **fields: Any) -> Exchange:
    """A request that is on its way."""
    body = {"model": "m", "messages": FIRST, "tools": toolbox.TOOLS, "stream": True, **fields}
    exchange = on.call(body, ORIGIN).exchange
    exchange.start()
    exchange.reserved(0.0)
    return exchange


def streamed(pieces: Sequence[bytes], on: Engine | None = None, **fields: Any) -> Steps:
    """A stream in these pieces, through all that reads an answer."""
    exchange = asked(on or engine(), **fields)
    exchange.received(EVENTS, 0.0)
    exchange.first({"choices": []})
    pipe = EventPipe(exchange)

    def steps() -> Steps:
        for piece in pieces:
            yield pipe.feed(piece)
        yield pipe.finish()

    return steps()


def events(deltas: Sequence[Body], finish: str = "stop", index: int = 0) -> list[bytes]:
    """A stream of these deltas of one choice."""
    choices: list[Body] = [{"index": index, "delta": one, "finish_reason": None} for one in deltas]
    choices.append({"index": index, "delta": {}, "finish_reason": finish})
    return [*map(event, choices), b"data: [DONE]\n\n"]


def event(*choices: Body) -> bytes:
    """A chunk with these choices."""
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return b"data: " + orjson.dumps({**head, "choices": choices}) + b"\n\n"


def said(texts: Sequence[str]) -> list[bytes]:
    """A stream that says these texts."""
    return events([{"content": text} for text in texts])


def part(text: str, index: int = 0, name: str = "", **fields: Any) -> Body:
    """A fragment of a call as a delta; a name opens it."""
    function: Body = {"name": name, "arguments": text} if name else {"arguments": text}
    opened = {"id": f"call_{index}", "type": "function"} if name else {}
    return {"tool_calls": [{"index": index, **opened, "function": function, **fields}]}


def call_of(name: str, text: str, size: int = 4) -> list[bytes]:
    """A stream of one call whose arguments come in pieces of so many characters."""
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    return events([part("", name=name), *map(part, pieces)], "tool_calls")


# Answers, streamed ---------------------------------------------------------------------------


def text(piece: str, model: str = "m", repair: Repair | None = None) -> Make:
    """A text of so many pieces of this form; ``{0}`` is the number of the piece."""

    def make(size: int) -> Steps:
        on = engine(repair=repair or Repair())
        return streamed(said([piece.format(number) for number in range(size)]), on, model=model)

    return make


def text_in_one_chunk(size: int) -> Steps:
    """A long text in one chunk."""
    lines = (f"Line {number} says `x < {number}` and <tool_call>.\n" for number in range(size))
    return streamed(said(["".join(lines)]), engine(repair=_ALL), model="qwen3-coder")


def leak(model: str, opens: str, piece: str, closes: str = "") -> Make:
    """A call that leaks into the text, in many pieces; its end comes, or never does."""

    def make(size: int) -> Steps:
        return streamed(said([opens, *[piece] * size, closes]), engine(repair=_ALL), model=model)

    return make


def one_call(tool: str, opens: str, piece: str, closes: str, repair: Repair | None = None) -> Make:
    """One call whose arguments come in many fragments."""

    def make(size: int) -> Steps:
        deltas = [part("", name=tool), part(opens), *[part(piece)] * size, part(closes)]
        return streamed(events(deltas, "tool_calls"), engine(repair=repair or Repair()))

    return make


def many_calls(tool: str, arguments: str) -> Make:
    """So many calls in one turn, each in two fragments."""

    def make(size: int) -> Steps:
        deltas = []
        for index in range(size):
            text = arguments.format(index)
            deltas += [part(text[:9], index, name=tool), part(text[9:], index)]
        return streamed(events(deltas, "tool_calls"))

    return make


def interleaved(size: int) -> Steps:
    """So many calls whose fragments come in turns."""
    opened = [part("", index, name="read_file") for index in range(size)]
    begun = [part('{"path":', index) for index in range(size)]
    ended = [part(f'"f{index}"}}', index) for index in range(size)]
    return streamed(events([*opened, *begun, *ended], "tool_calls"))


def changing_index(size: int) -> Steps:
    """One call whose fragments have another index each."""
    later = [part("x }", index) for index in range(1, size)]
    return streamed(events([part('{"path": "', name="read_file"), *later], "tool_calls"))


def by_id(size: int) -> Steps:
    """So many calls whose fragments have an id and no index."""
    deltas: list[Body] = []
    for number in range(size):
        for name, text in (("read_file", '{"path":'), ("", f'"{number}"}}')):
            function = {"name": name, "arguments": text} if name else {"arguments": text}
            deltas.append({"tool_calls": [{"id": f"call_{number}", "function": function}]})
    return streamed(events(deltas, "tool_calls"))


def snapshots(size: int) -> Steps:
    """Whole messages in place of deltas, each with something new."""
    choices = [{"index": 0, "message": {"content": f"word {n} "}} for n in range(size)]
    return streamed([*map(event, choices), b"data: [DONE]\n\n"])


def many_choices(size: int) -> Steps:
    """So many choices in each of a few chunks."""
    choices = [{"index": n, "delta": {"content": "word "}} for n in range(size)]
    return streamed([event(*choices)] * 4, n=size)


def multi_call(kind: str, item: str) -> Make:
    """A multi-call of so many items, four characters a fragment."""

    def make(size: int) -> Steps:
        items = ",".join(item.replace("{0}", str(number)) for number in range(size))
        text = f'{{"files":[{items}]}}'
        pieces = [text[at : at + 16] for at in range(0, len(text), 16)]
        deltas = [part("", name=kind), *map(part, pieces)]
        return streamed(events(deltas, "tool_calls"))

    return make


def long_event(size: int) -> Steps:
    """One event in many pieces."""
    whole = event({"index": 0, "delta": {"content": "x" * 1_000 * size}, "finish_reason": None})
    return streamed([whole[at : at + 1_000] for at in range(0, len(whole), 1_000)])


def many_lines(size: int) -> Steps:
    """One event of many data lines, with the line ends of Windows."""
    pieces = [b'data: {"choices":\r\n', *[b"data: \r\n"] * size, b"data: []}\r\n\r\n"]
    return streamed(pieces)


# Answers, whole ------------------------------------------------------------------------------


def whole(message: Callable[[int], Body], model: str = "m") -> Make:
    """A completion with one message."""

    def make(size: int) -> Steps:
        exchange = asked(engine(repair=_ALL), model=model, stream=False)
        exchange.received(Head(200, {"content-type": "application/json"}), 0.0)
        said = {"role": "assistant", **message(size)}
        choice = {"index": 0, "message": said, "finish_reason": "stop"}
        raw = orjson.dumps({"id": "1", "object": "chat.completion", "choices": [choice]})
        return (exchange.body(exchange.read(raw)) for _ in range(1))

    return make


def calls(size: int) -> list[Body]:
    """So many calls of a message."""
    return [
        {
            "id": f"call_{number}",
            "type": "function",
            "function": {"name": "read_file", "arguments": f'{{"path":"src/f{number}.py"}}'},
        }
        for number in range(size)
    ]


def refused(text: Callable[[int], str], status: int = 400) -> Make:
    """An error with a message of so many characters."""

    def make(size: int) -> Steps:
        exchange = asked(engine(), stream=False)
        exchange.received(Head(status, {"content-type": "application/json"}), 0.0)
        raw = orjson.dumps({"error": {"message": text(size)}})
        return (exchange.body(exchange.read(raw)) for _ in range(1))

    return make


def failed_generation(size: int) -> Steps:
    """A call that a provider wrote and refused to hand out."""
    exchange = asked(engine(repair=_ALL), stream=False)
    exchange.received(Head(400, {"content-type": "application/json"}), 0.0)
    error = {"message": "tool_use_failed", "failed_generation": "<function=read_file>" + " " * size}
    raw = orjson.dumps({"error": error})
    return (exchange.body(exchange.read(raw)) for _ in range(1))


# Requests ------------------------------------------------------------------------------------


def turns(size: int) -> list[Body]:
    """A conversation in which one file is read in each turn."""
    messages: list[Body] = list(FIRST)
    for number in range(size):
        [call] = calls(number + 1)[number:]
        messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
        result = f"The file names src/f{number + 1}.py.\n" * 5
        messages.append({"role": "tool", "tool_call_id": call["id"], "content": result})
    return messages


def prompts(size: int) -> list[Body]:
    """A conversation in which each prompt names a new file and one that was named before."""
    named = (f"Compare src/f{number}.py with src/main.py." for number in range(size))
    done = {"role": "assistant", "content": "Done."}
    return [one for text in named for one in ({"role": "user", "content": text}, done)][:-1]


def request(messages: Callable[[int], list[Body]], **options: Any) -> Make:
    """A conversation that is met for the first time."""

    def make(size: int) -> Steps:
        on, body = engine(**options), {"model": "m", "tools": toolbox.TOOLS}
        made = messages(size)
        return (on.call({**body, "messages": made}, ORIGIN).exchange.start() for _ in range(1))

    return make


def next_request(size: int) -> Steps:
    """The request after one that is known."""
    on, made = engine(batching=Batching(coalesce="always")), turns(size)
    body = {"model": "m", "tools": toolbox.TOOLS}
    on.call({**body, "messages": made[:-2]}, ORIGIN).exchange.start()
    return (on.call({**body, "messages": made}, ORIGIN).exchange.start() for _ in range(1))


def one_turn(size: int) -> list[Body]:
    """So many calls in one turn, with their results."""
    made = calls(size)
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "x = 1\n"} for call in made]
    return [*FIRST, {"role": "assistant", "content": None, "tool_calls": made}, *results]


def long_result(size: int) -> list[Body]:
    """One result of many lines."""
    return [*turns(1)[:-1], {"role": "tool", "tool_call_id": "call_0", "content": "x = 1\n" * size}]


def taken_apart(size: int) -> list[Body]:
    """So many turns of a multi-call that this client did not take apart, three items each."""
    messages: list[Body] = list(FIRST)
    for number in range(size):
        made = calls(3)
        for place, call in enumerate(made):
            origin = f"c{number}"
            derived = ids.DerivedId(f"{number:04d}"[-4:], place, 3, "r", origin)
            call["id"] = ids.encode(derived)
        messages.append({"role": "assistant", "content": None, "tool_calls": made})
        messages += [{"role": "tool", "tool_call_id": c["id"], "content": "x"} for c in made]
    return messages


def counted(unit: str) -> Make:
    """The tokens of a text that repeats one unit."""

    def make(size: int) -> Steps:
        yield count_text(unit * size, "o200k_base")

    return make


def many_tools(size: int) -> Steps:
    """A request with many tools."""
    on = engine()
    tools = [
        {**tool, "function": {**tool["function"], "name": f"{tool['function']['name']}_{number}"}}
        for number in range(size)
        for tool in toolbox.TOOLS[:1]
    ]
    body = {"model": "m", "tools": tools, "messages": list(FIRST)}
    return (on.call(body, ORIGIN).exchange.start() for _ in range(1))


def many_conversations(size: int) -> Steps:
    """So many conversations, each of a model of its own."""
    on = engine()
    messages = turns(3)

    def steps() -> Steps:
        for number in range(size):
            first = {"role": "user", "content": f"Job {number}"}
            body = {"model": f"m{number}", "tools": toolbox.TOOLS}
            call = on.call({**body, "messages": [first, *messages[1:]]}, ORIGIN)
            yield call.exchange.start()
            call.ended(call.exchange)

    return steps()


# Functions -----------------------------------------------------------------------------------


def decorated(size: int) -> Steps:
    """A stream of a decorated function, in many chunks."""
    chunks = [
        {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta}]}
        for delta in [{"content": "word "}] * size
    ]

    @batchwrap.batched(throttle=None)
    def complete(**_: Any) -> Iterator[Body]:
        yield from chunks

    return iter(complete(model="m", messages=list(FIRST), tools=toolbox.TOOLS, stream=True))


_QWEN = (
    "<tool_call>\n<function=write_file>\n<parameter=path>\na\n</parameter>\n<parameter=content>\n"
)
_WHOLE_CALL = '<tool_call>{{"name":"read_file","arguments":{{"path":"{0}"}}}}</tool_call>\n'
_WRITE = '{"path":"a.py","content":"'
_ITEM = '{"path":"src/file{0}.py"}'
_EDIT = '{"path":"src/file{0}.py","old_string":"a","new_string":"b"}'

PATHS = [
    Path("text in chunks", text("word "), 500),
    Path("text of lines, qwen", text("Line {0} says `x < 1` [x].\n", "qwen3-coder", _ALL), 250),
    Path("text of one paragraph, qwen", text("a < b, ", "qwen3-coder", _ALL), 250),
    Path("text of fences, qwen", text("```\nx <= 1\n```\n> a <\n", "qwen3-coder", _ALL), 150),
    Path("text that names marks, qwen", text("the `<tool_call>` mark ", "qwen3-coder", _ALL), 150),
    Path("text that names marks, llama", text('{{"a": <|python_tag|> ', "llama-3", _ALL), 150),
    Path("text in one chunk, qwen", text_in_one_chunk, 500),
    Path("calls in the text, qwen", text(_WHOLE_CALL, "qwen3", _ALL), 100),
    Path("half a call in the text, qwen", leak("qwen3-coder", _QWEN, "x = {}\n"), 375),
    Path("the same with ends in it", leak("qwen3-coder", _QWEN, "</function> x"), 375),
    Path(
        "a call in the text, qwen", leak("qwen3-coder", _QWEN, "x = 1\n", "\n</parameter>"), 1_500
    ),
    Path("half a call, mistral", leak("mistral", '[TOOL_CALLS]write_file{"a":[', "{},"), 375),
    Path("half a call, llama", leak("llama-3", '<|python_tag|>{"name":[', "{},"), 375),
    Path(
        "half a call, harmony", leak("gpt-oss", "<|channel|>commentary to=functions.", " "), 1_500
    ),
    Path("half a call, stripped", leak("gpt-oss", "commentary to=functions.x", " "), 375),
    Path(
        "half a call, kimi",
        leak("kimi-k2", "<|tool_call_begin|>f:0<|tool_call_argument_begin|>{", " "),
        375,
    ),
    Path(
        "half a call, deepseek",
        leak("deepseek-v3", "<｜tool▁call▁begin｜>f<｜tool▁sep｜>{", " "),
        375,
    ),
    Path("half a call, glm", leak("glm-4.6", "<tool_call>f<arg_key>a</arg_key>", " "), 375),
    Path("channels", leak("gpt-oss", "<|channel|>analysis<|message|>", "x  "), 375),
    Path(
        "thoughts to be closed",
        text("hm < ", "qwq-thinking", Repair(think_tags="prefilled")),
        375,
    ),
    Path("white space first", text(" ", "m", Repair(think_tags="tags")), 375),
    Path("arguments of a call", one_call("write_file", _WRITE, "x = 1\\n", '"}'), 500),
    Path("arguments, escaped", one_call("write_file", _WRITE, "\\u00e9\\n" * 9, '"}'), 375),
    Path("arguments, broken", one_call("write_file", _WRITE + "\\q", "x = 1\\n", '"}'), 500),
    Path("arguments, nested", one_call("write_file", '{"path":', "[", "}"), 375),
    Path("arguments, as snapshots", one_call("write_file", _WRITE, "x", '"}', _ALL), 375),
    Path(
        "arguments of a multi-call",
        one_call("multi_write", '{"files":[' + _WRITE, "x\\n", '"}]}'),
        500,
    ),
    Path("items of a multi-call, reads", multi_call("multi_read", _ITEM), 75),
    Path("items of a multi-call, edits", multi_call("multi_edit", _EDIT), 75),
    Path("calls of a turn, reads", many_calls("read_file", '{{"path":"src/f{0}.py"}}'), 125),
    Path(
        "calls of a turn, writes",
        many_calls("write_file", '{{"path":"src/f{0}.py","content":""}}'),
        125,
    ),
    Path("calls of a turn, unknown", many_calls("other", '{{"payload":"{0}"}}'), 125),
    Path("calls in turns", interleaved, 125),
    Path("calls by id", by_id, 125),
    Path("another index each", changing_index, 125),
    Path("messages in place of deltas", snapshots, 250),
    Path("choices", many_choices, 150),
    Path("an event in pieces", long_event, 250),
    Path("an event of lines", many_lines, 750),
    Path(
        "a whole answer: calls",
        whole(lambda size: {"content": None, "tool_calls": calls(size)}),
        125,
    ),
    Path(
        "a whole answer: text",
        whole(lambda size: {"content": "x < `1` {}\n" * size}, "qwen3"),
        1_250,
    ),
    Path(
        "a whole answer: arguments",
        whole(
            lambda size: {
                "tool_calls": [
                    {
                        "id": "c",
                        "type": "function",
                        "function": {
                            "name": "write_file",
                            "arguments": _WRITE + "x = 1\\n" * size + '"}',
                        },
                    }
                ]
            }
        ),
        5_000,
    ),
    Path("an error: digits", refused(lambda size: "limit is " + "9" * size), 5_000),
    Path("an error: words", refused(lambda size: "try again in 1s, " * size, 429), 1_250),
    Path("a refused call", failed_generation, 750),
    Path("turns", request(turns), 50),
    Path("turns, coalesced", request(turns, batching=Batching(coalesce="always")), 50),
    Path("turns, mended", request(turns, repair=_ALL), 50),
    Path("turns that were taken apart", request(taken_apart), 50),
    Path("prompts", request(prompts, reminders=Reminders(every=None)), 250),
    Path("the next request", next_request, 50),
    Path("calls and results", request(one_turn), 100),
    Path(
        "calls and results, coalesced", request(one_turn, batching=Batching(coalesce="always")), 200
    ),
    Path("a long result", request(long_result), 1_250),
    Path("tools", many_tools, 40),
    Path("conversations and models", many_conversations, 100),
    Path("chunks of a function", decorated, 250),
    Path("tokens of one repeated character", counted("a"), 50_000),
    Path("tokens of blank lines", counted(" \n"), 25_000),
]
