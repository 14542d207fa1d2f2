"""What is put before real servers, templates and validators: conversations that were really held.

In each one an agent works through a wrapped client with a scripted model, behind the simulated
provider's HTTP server. What the provider got is the provider view. Its twin is the same work
without batchwrap: the same calls, one in each answer, and the requests of the agent itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import chain, dropwhile
from typing import Any

from openai import OpenAI

import batchwrap
from batchwrap import Batching, ReadAhead, Reminders, Scripts
from batchwrap.directives import Mode
from batchwrap.lab import Call, Lab, Reply, Script
from batchwrap.models import model_facts
from batchwrap.options import Placement
from tests.adapters.agent import message_of
from tests.adapters.batching_models import edit, files
from tests.strategies import EDIT_FILE, GREP, READ_FILE, WRITE_FILE

Body = dict[str, Any]
TOOLS = [READ_FILE, EDIT_FILE, WRITE_FILE, GREP]
SYSTEM = {"role": "system", "content": "You are an agent that works on files."}
PROMPTS = ("Mend a.py, b.py, c.py and d.py.", "Do the same in e.py and f.py.")
_PROGRAM = """\
found = await grep(pattern="x")
texts = await asyncio.gather(*[read_file(path=path) for path in ("a.py", "b.py")])
await edit_file(path="a.py", old_string="x", new_string="1")
print(len(texts), "read")
"""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A conversation to hold.

    Attributes:
        name: what it is called.
        turns: what the model says to each prompt, without its last words.
        options: those of `batchwrap.wrap`.
        stream: whether the agent asks for streams.
        fails: the tool whose calls fail.
        keeps: what the agent sends of its history.
        is_forgotten: whether each request goes through a new wrapper, which remembers nothing.
        mode: the mode that the agent has set.
        model: the model that it asks for.
        grows: whether each request is meant to begin with the one before it.
    """

    name: str
    turns: tuple[tuple[Reply, ...], ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    stream: bool = False
    fails: str = ""
    keeps: Callable[[list[Body]], list[Body]] = list
    is_forgotten: bool = False
    mode: Mode | None = None
    model: str = "m"
    grows: bool = True


@dataclass(frozen=True)
class Conversation:
    """A conversation that was held.

    Attributes:
        scene: what it is.
        bare: the requests of its twin, which knows nothing of batchwrap.
        wrapped: the requests that the provider got.
    """

    scene: Scene
    bare: list[Body]
    wrapped: list[Body]

    def __str__(self) -> str:
        return self.scene.name


def read(path: str) -> Reply:
    """A single call."""
    return Reply(calls=(Call("read_file", {"path": path}),))


def batch(*calls: tuple[str, Any]) -> Call:
    """A mixed batch."""
    return Call("batch", {"calls": [{"tool": name, "arguments": given} for name, given in calls]})


_EDITS = (("edit_file", edit("a.py", "1")), ("edit_file", edit("a.py", "2")))
_MULTI_READ = Call("multi_read", files({"path": "c.py"}, {"path": "d.py", "offset": 3}))
# Two lapses, a batch of each kind with conflicts in one, a search, and a second prompt.
_WORK = (
    (
        replace(read("a.py"), text="Looking."),
        read("b.py"),
        Reply(calls=(_MULTI_READ,)),
        Reply("Now.", calls=(batch(*_EDITS, ("read_file", {"path": "b.py"})),)),
        Reply(calls=(Call("grep", {"pattern": "x"}),)),
    ),
    (
        Reply(calls=(Call("multi_edit", files(edit("e.py", "1"), edit("f.py", "1"))),)),
        read("e.py"),
    ),
)
_READS = tuple(tuple(read(f"{name}.py") for name in names) for names in ("abcd", "ef"))
_AT_ONCE = ((Reply(calls=(_MULTI_READ, Call("read_file", {"path": "e.py"}))), read("f.py")), ())
_ODD = (
    (
        Reply(calls=(Call("multi_read", '{"files": "[{\\"path\\": \\"c.py\\"}, \\"d.py\\"]"}'),)),
        Reply(calls=(Call("multi_read", {"paths": ["a.py", "b.py"]}),)),
        Reply(calls=(Call("batch", {"calls": [{"tool": "read_file", "path": "a.py"}]}),)),
        Reply(calls=(Call("multi_read", '{"files": [{"path": "e.py"}, {"path": "f.'),)),
    ),
    (),
)
_CODE = ((Reply(calls=(Call("run_script", {"code": _PROGRAM}),)), read("c.py")), ())


def _window(history: list[Body]) -> list[Body]:
    """What an agent keeps that cuts off: its task, and the newest answers with their results."""
    newest = dropwhile(lambda one: one["role"] != "assistant", history[max(2, len(history) - 5) :])
    return [*history[:2], *newest]


def _batching(**options: Any) -> dict[str, Any]:
    return {"batching": Batching(**options)}


SCENES = (
    Scene(name="alongside", turns=_WORK),
    Scene(name="alongside, streamed", turns=_WORK, stream=True),
    Scene(name="instead", turns=_WORK, options=_batching(offer="instead")),
    Scene(name="never", turns=_READS, options=_batching(offer="never")),
    Scene(name="plan", turns=_WORK, mode="plan"),
    Scene(name="often", turns=_READS, options={"reminders": Reminders(every=1, cooldown=0)}),
    # Rewrites the history when a run of calls has ended, so the prompt cache is lost once.
    Scene(
        name="coalesced",
        turns=_READS,
        options=_batching(coalesce="always"),
        stream=True,
        grows=False,
    ),
    Scene(name="one by one", turns=_WORK, options=_batching(delivery="serial")),
    Scene(name="approvals", turns=_WORK, options=_batching(approvals=True)),
    Scene(name="read ahead", turns=_READS, options=_batching(read_ahead=ReadAhead())),
    Scene(name="script", turns=_CODE, options=_batching(scripts=Scripts())),
    Scene(name="fast", turns=_WORK, options={"preset": "fast"}, stream=True),
    Scene(name="failed edits", turns=_WORK, fails="edit_file"),
    Scene(name="forgotten", turns=_WORK, is_forgotten=True),
    Scene(
        name="cut off",
        turns=_WORK,
        options=_batching(delivery="serial"),
        keeps=_window,
        grows=False,
    ),
    Scene(name="odd forms", turns=_ODD),
    Scene(name="two calls in one answer", turns=_AT_ONCE),
)


# Of models with the same facts, one is enough.
_PLACED: dict[object, Conversation] = {}


@cache
def conversations() -> tuple[Conversation, ...]:
    """All scenes, held with a model of which nothing is known."""
    return tuple(map(hold, SCENES))


def placed(placement: Placement, model: str) -> Conversation:
    """Reminders after each turn and each prompt, wherever a model supports the placement."""
    facts = model_facts(model)
    key = placement, facts.thinks, *sorted(facts.unsupported.items())
    if key not in _PLACED:
        reminders = Reminders(every=1, cooldown=0, placement=placement, prefetch_when_thinking=True)
        name, options = f"placement {placement}", {"reminders": reminders}
        scene = Scene(name=name, turns=_READS, options=options, mode="plan", model=model)
        _PLACED[key] = hold(scene)
    return _PLACED[key]


def hold(scene: Scene) -> Conversation:
    """Hold a conversation, with batchwrap and without it."""
    wrapped = _Work(scene, scene.turns)
    bare = _Work(scene, wrapped.apart, wraps=False)
    return Conversation(scene, bare.requests, wrapped.requests)


class _Work:
    """An agent's loop around a client of the simulated provider.

    Attributes:
        requests: what the provider got.
        apart: what a model says to each prompt that makes the same calls without batchwrap, one
            in each answer; but several where the model itself has made several.
    """

    def __init__(
        self, scene: Scene, turns: Sequence[Sequence[Reply]], *, wraps: bool = True
    ) -> None:
        self._scene = scene
        self._options = scene.options if wraps else None
        self._history: list[Body] = [SYSTEM]
        self._ran: list[list[Call]] = []  # of each answer of the provider
        ends = [(*replies, Reply("Done.")) for replies in turns]
        model = Script(*(_numbered(reply, at) for at, reply in enumerate(chain(*ends))))
        with Lab(model, tokens_per_s=math.inf, ttft_s=0) as self._lab:
            self._client = OpenAI(base_url=self._lab.base_url, api_key="k", max_retries=0)
            self._complete = self._completions()
            for prompt, _ in zip(PROMPTS, turns, strict=True):
                self._history.append({"role": "user", "content": prompt})
                while self._answer():
                    pass
            self.requests: list[Body] = [one.json for one in self._lab.journal if one.is_chat]
            self._client.close()
        assert not model.left
        ran = iter(self._ran)
        self.apart = [[one for reply in said for one in _apart(reply, next(ran))] for said in ends]

    def _completions(self) -> Any:
        if self._options is None:
            return self._client.chat.completions
        return batchwrap.wrap(self._client, **self._options).chat.completions

    def _answer(self) -> bool:
        """Ask once, and run what is called; whether anything was."""
        complete = self._completions() if self._scene.is_forgotten else self._complete
        body = {"model": self._scene.model, "tools": TOOLS, "stream": self._scene.stream}
        with batchwrap.mode(self._scene.mode) if self._scene.mode else nullcontext():
            answer = complete.create(**body, messages=self._scene.keeps(self._history))
        message = message_of(answer, self._scene.stream)
        if thought := message.pop("reasoning", None):
            message["reasoning_content"] = thought  # the name that servers of open models read
        self._history.append(message)
        self._ran += [[] for _ in range(self._lab.round_trips - len(self._ran))]
        for call in message.get("tool_calls") or ():
            name, arguments = call["function"]["name"], call["function"]["arguments"]
            self._ran[-1].append(Call(name, arguments))
            text = "Error: not found" if name == self._scene.fails else f"The text of {arguments}"
            self._history.append({"role": "tool", "tool_call_id": call["id"], "content": text})
        return bool(message.get("tool_calls"))


def _numbered(reply: Reply, number: int) -> Reply:
    """A reply with its own reasoning, and ids of nine characters, as Mistral's templates want."""
    calls = [replace(call, id=f"call{number:04}{at}") for at, call in enumerate(reply.calls)]
    return replace(reply, calls=tuple(calls), reasoning=f"Thought number {number} about it.")


def _apart(reply: Reply, calls: list[Call]) -> list[Reply]:
    """The same calls, each in an answer of its own unless the model has made several itself."""
    if len(reply.calls) > 1:
        return [replace(reply, calls=tuple(calls))]
    texts = [reply.text, *[""] * len(calls)]
    return [Reply(text, calls=(call,)) for text, call in zip(texts, calls, strict=False)]
