"""Programs as a model may write them, and what they do in plain Python with the same tools."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import zlib
from collections.abc import Awaitable
from dataclasses import dataclass, field
from textwrap import indent
from typing import Any

from hypothesis import strategies as st

# Few files, so that calls meet on the same ones.
FILES = ("a.py", "b.py", "c/d.py")
DENIED = "The user doesn't want to proceed with this tool use."
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
LONG = "line of a long file with a.py in it\n" * 400
_OUTCOMES: tuple[tuple[str, Any], ...] = (
    ("succeeded", "a.py b.py"),
    ("succeeded", "c/d.py\nTODO in it"),
    ("succeeded", '{"path": "b.py", "lines": [1, 2]}'),
    ("succeeded", LONG),
    ("succeeded", ""),
    ("succeeded", [{"type": "text", "text": "TODO of "}, IMAGE]),
    ("failed", "Error: no such file"),
    ("failed", "Exit code: 1\nOutput:\n" + LONG),
    ("denied", DENIED),
)


@dataclass(frozen=True)
class World:
    """What the agent's tools give: the same for the same call.

    Attributes:
        seed: which of many worlds it is.
        outcomes: the places of what can come of a call.
        known: calls that have ended in another world, and how.
    """

    seed: int
    outcomes: tuple[int, ...] = (0, 1, 2, 3, 4, 5)
    known: tuple[tuple[str, tuple[str, Any]], ...] = ()

    def result(self, tool: str, arguments: Any) -> tuple[str, Any]:
        """How a call ends, and its result as a message holds it."""
        for call, ended in self.known:
            if call == json.dumps([tool, arguments], sort_keys=True):
                return ended
        said = f"{self.seed} {tool} {json.dumps(arguments, sort_keys=True)}"
        status, content = _OUTCOMES[self.outcomes[zlib.crc32(said.encode()) % len(self.outcomes)]]
        if isinstance(content, str) and content and status == "succeeded":
            content = f"{content} {tool} {self.seed}"
        return status, content


def text_of(content: Any) -> str:
    """A result as a script gets it."""
    if isinstance(content, str):
        return content
    parts = (
        one["text"]
        if one["type"] == "text"
        else "[a part of this result is no text, and was left out]"
        for one in content
    )
    return "\n".join(parts)


class ToolError(Exception):
    """A call has failed."""


class _Denied(BaseException):
    """A person has denied a call: nothing catches it."""


@dataclass
class Ran:
    """What a program did.

    Attributes:
        calls: in the order in which it made them.
        printed: what it printed.
        error: the type of the error that ended it; empty where none did.
        is_denied: whether a call of it was denied.
    """

    calls: list[tuple[str, Any]] = field(default_factory=list)
    printed: str = ""
    error: str = ""
    is_denied: bool = False


def run_plainly(code: str, world: World) -> Ran:
    """What a program does in Python itself."""
    ran, out = Ran(), io.StringIO()

    def tool(name: str, parameters: tuple[str, ...]) -> Any:
        def call(*given: Any, **named: Any) -> Awaitable[str]:
            arguments = {**dict(zip(parameters, given, strict=False)), **named}
            if not arguments.keys() <= set(parameters):
                raise TypeError(name)
            ran.calls.append((name, arguments))
            status, content = world.result(name, arguments)

            async def result() -> str:
                if status == "denied":
                    ran.is_denied = True
                    raise _Denied
                if status == "failed":
                    raise ToolError(text_of(content))
                return text_of(content)

            return result()

        return call

    names: dict[str, Any] = {
        "asyncio": asyncio,
        "json": json,
        "ToolError": ToolError,
        "grep": tool("grep", ("pattern", "path")),
        "read_file": tool("read_file", ("path", "offset")),
        "edit_file": tool("edit_file", ("path", "old_string", "new_string")),
    }
    with contextlib.redirect_stdout(out):
        try:
            exec(f"async def main():\n{indent(code, ' ')}\n", names)
            asyncio.run(_main(names["main"]))
        except _Denied:
            pass
        except Exception as error:
            ran.error = type(error).__name__
    ran.printed = out.getvalue()
    return ran


async def _main(main: Any) -> None:
    await main()


_paths = st.sampled_from(FILES)
_texts = st.sampled_from(["TODO", 'a "quoted" one', "two\nlines", "ümläut"])


@st.composite
def _calls(draw: st.DrawFn, path: str | None = None) -> str:
    at = path or repr(draw(_paths))
    match draw(st.sampled_from(["read", "read", "edit", "grep"])):
        case "read":
            offset = draw(st.none() | st.integers(1, 3))
            return f"read_file(path={at}{'' if offset is None else f', offset={offset}'})"
        case "edit":
            old, new = draw(_texts), draw(_texts)
            return f"edit_file(path={at}, old_string={old!r}, new_string={new!r})"
        case _:
            return f"grep({draw(_texts)!r}{draw(st.sampled_from(['', f', path={at}']))})"


@st.composite
def _statements(draw: st.DrawFn, depth: int = 0) -> str:
    kinds = ["call", "call", "gather", "print", "expect"]
    kinds += ["loop", "hits", "try", "if", "function"] if depth < 2 else []
    match draw(st.sampled_from(kinds)):
        case "call":
            return f"x = await {draw(_calls())}"
        case "gather":
            made = ", ".join(draw(st.lists(_calls(), min_size=1, max_size=4)))
            return f"xs = await asyncio.gather({made})\nx = xs[0]"
        case "print":
            shown = ["print(x[:30])", "print(len(x))", "print('TODO' in x, n)"]
            return draw(st.sampled_from(shown))
        case "expect":
            return draw(st.sampled_from(["n += 1", "n += len(x.split())", "x = x + str(n)"]))
        case "loop":
            files = draw(st.lists(_paths, min_size=1, max_size=3))
            body = f"x = await {draw(_calls('p'))}\n{draw(_statements(depth + 1))}"
            return f"for p in {files!r}:\n{indent(body, '    ')}"
        case "hits":
            listed = "[p for p in x.split() if p.endswith('.py')][:3]"
            body = f"xs = await asyncio.gather(*[{draw(_calls('p'))} for p in {listed}])\n"
            return f"{body}n += len(xs)"
        case "try":
            body = indent(draw(_statements(depth + 1)), "    ")
            return f"try:\n{body}\nexcept ToolError as e:\n    print('failed', str(e)[:20])"
        case "function":
            body = f"y = await {draw(_calls('p'))}\nreturn len(y)"
            return (
                f"async def f{depth}(p):\n{indent(body, '    ')}\n"
                f"n += sum(await asyncio.gather(f{depth}({draw(_paths)!r}), f{depth}('b.py')))"
            )
        case _:
            return f"if len(x) % 2:\n{indent(draw(_statements(depth + 1)), '    ')}"


@st.composite
def programs(draw: st.DrawFn) -> str:
    """A program that is valid, whatever becomes of its calls."""
    said = draw(st.lists(_statements(), min_size=1, max_size=4))
    end = draw(st.sampled_from(["print(n)", "print(x[:50])", "print('done')"]))
    return "\n".join(["x, n = 'a.py b.py', 0", *said, end])


worlds = st.builds(
    World,
    st.integers(0, 50),
    st.sampled_from([(0, 1, 2, 3, 4, 5), (0, 1), (0, 1, 2, 6, 7), (0, 1, 1, 2, 6, 8)]),
)
