"""`install`: clients that somebody else makes, and the module that is a client."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import openai
import pytest

import batchwrap
from batchwrap.errors import ConfigError
from batchwrap.lab import Lab
from batchwrap.options import Limit
from tests.adapters.callers import Caller
from tests.adapters.conversation import MULTI_CALL, READS, TOOLS, USER, calls_of

SINGLE = ["read_file", "edit_file"]


@pytest.fixture
def lab(serve: Any) -> Lab:
    """A provider whose model always makes a multi-call."""
    running: Lab = serve(lambda request: MULTI_CALL)
    return running


@pytest.fixture(autouse=True)
def undone() -> Iterator[None]:
    """Nothing stays installed after a test."""
    yield
    batchwrap.uninstall()


def offered(lab: Lab) -> int:
    """How many multi-tools the latest request had."""
    return len([t for t in lab.journal[-1].json["tools"] if t["function"]["name"] not in SINGLE])


def test_made_afterwards(caller: Caller, lab: Lab) -> None:
    """Clients made after `install` are wrapped until `uninstall`, those made before are not."""
    before = caller.open(lab)
    batchwrap.install()
    between, azure = caller.open(lab), caller.open_azure(lab)

    def are_wrapped(*clients: Any) -> list[bool]:
        answers = [caller.ask(client, tools=TOOLS).choices[0].message for client in clients]
        return [calls_of(answer) == READS for answer in answers]

    assert are_wrapped(before, between, azure) == [False, True, True]
    assert batchwrap.stats(between).requests == batchwrap.stats(azure).requests == 2
    batchwrap.uninstall()
    assert are_wrapped(before, between, azure, caller.open(lab)) == [False] * 4
    assert offered(lab) == 0


def test_copies(caller: Caller, lab: Lab) -> None:
    """A copy of a client that was wrapped so is wrapped once."""
    batchwrap.install()
    client = caller.open(lab)
    caller.ask(client.with_options(timeout=9), tools=TOOLS)
    assert offered(lab) == 3
    assert batchwrap.stats(client).requests == 1


def test_wrapped_once_more(caller: Caller, lab: Lab) -> None:
    """`wrap` on a client that was wrapped so counts alone."""
    batchwrap.install()
    client = batchwrap.wrap(caller.open(lab), batching=None)
    caller.ask(client, tools=TOOLS)
    assert offered(lab) == 0


def test_one_budget(caller: Caller, lab: Lab) -> None:
    """All clients draw on one budget: the second one finds it spent."""
    batchwrap.install(limits=[Limit("requests", 1, 1e6)], throttle=batchwrap.Throttle(max_wait_s=0))
    caller.ask(caller.open(lab))
    with pytest.raises(openai.RateLimitError, match="above max_wait_s"):
        caller.ask(caller.open(lab))


def test_no_retries_where_none_are_wanted(caller: Caller, serve: Any) -> None:
    """A client with `max_retries=0` gets a refusal at once, though the engine is shared."""
    from batchwrap.lab import Raw

    lab = serve(lambda request: Raw(429, {"retry-after": "30"}, (b"{}",)))
    batchwrap.install()
    with pytest.raises(openai.RateLimitError):
        caller.ask(caller.open(lab, max_retries=0))
    assert len(lab.journal) == 1


def test_replaced(caller: Caller, lab: Lab) -> None:
    """A second `install` takes the place of the first."""
    batchwrap.install()
    batchwrap.install(batching=None, reminders=None)
    caller.ask(caller.open(lab), tools=TOOLS)
    assert offered(lab) == 0


def test_patched_by_others(caller: Caller, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """`uninstall` leaves what somebody else has patched since, and ours does nothing more."""
    batchwrap.install()
    ours, made = caller.client_type.__init__, []

    def patched(client: Any, **options: Any) -> None:
        made.append(client)
        ours(client, **options)

    monkeypatch.setattr(caller.client_type, "__init__", patched)
    batchwrap.uninstall()
    client = caller.open(lab)
    assert made == [client]
    caller.ask(client, tools=TOOLS)
    assert offered(lab) == 0
    batchwrap.install()  # and now it wraps again, inside of the other's patch
    caller.ask(caller.open(lab), tools=TOOLS)
    assert offered(lab) == 3
    batchwrap.uninstall()


def test_wrong_option() -> None:
    """A wrong option fails where it is given, and nothing is installed."""
    with pytest.raises(ConfigError, match="preset"):
        batchwrap.install(preset="quick")  # type: ignore[arg-type]


LATER = """
import sys, batchwrap
batchwrap.install(batching=None)
assert "openai" not in sys.modules and "litellm" not in sys.modules
import openai
client = openai.OpenAI(api_key="k")
assert batchwrap.stats(client).requests == 0
batchwrap.uninstall()
try:
    batchwrap.stats(openai.OpenAI(api_key="k"))
except batchwrap.ConfigError:
    print("bare again")
"""


def test_imported_later() -> None:
    """Nothing is imported by `install`; what is imported later is wrapped all the same."""
    ran = subprocess.run([sys.executable, "-c", LATER], capture_output=True, text=True, check=False)
    assert ran.stdout == "bare again\n", ran.stderr


ODD = {
    "nothing": SimpleNamespace(),
    "no module": None,
    "another class": SimpleNamespace(OpenAI=object, AsyncOpenAI=dict, completion=1),
    "a function": SimpleNamespace(OpenAI=print, AsyncOpenAI=None, completion=print),
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
@pytest.mark.parametrize("name", ["openai", "anthropic", "groq", "cerebras.cloud.sdk", "litellm"])
def test_stubs(
    caller: Caller, lab: Lab, monkeypatch: pytest.MonkeyPatch, name: str, odd: Any
) -> None:
    """A stub in the place of a package is left alone, and harms no client of the real one."""
    monkeypatch.setitem(sys.modules, name, odd)
    batchwrap.install()
    client = caller.open(lab)
    import_module("batchwrap.adapters.httpx")  # any import
    batchwrap.uninstall()
    caller.ask(client, tools=TOOLS)
    assert offered(lab) == 0


def test_a_stub_of_the_other_library(
    caller: Caller, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Making a client does not fail over a stub that the SDK itself gets along with."""
    other = "httpx" if openai.__version__ >= "3" else "httpx2"
    names = ("URL", "Timeout", "Limits", "Response")
    stub = SimpleNamespace(**{name: type(name, (), {}) for name in names})
    batchwrap.install()
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, other, stub)
        client = caller.open(lab)
    caller.ask(client, tools=TOOLS)
    assert offered(lab) == 3


HALF = """
import sys, types, batchwrap
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec

class Finder(MetaPathFinder, Loader):
    def find_spec(self, name, path=None, target=None):
        return ModuleSpec(name, self) if name == "anthropic" else None
    def create_module(self, spec):
        return None
    def exec_module(self, module):
        import openai
        batchwrap.install()
        class Anthropic(openai.OpenAI):
            def __init__(self):
                super(openai.OpenAI, self).__init__(
                    version="1", base_url="http://h", max_retries=0, timeout=1,
                    _strict_response_validation=False,
                )
        module.Anthropic = module.AsyncAnthropic = Anthropic

sys.meta_path.insert(0, Finder())
import anthropic
import wave  # any other
print(batchwrap.stats(anthropic.Anthropic()).requests)
batchwrap.uninstall()
try:
    batchwrap.stats(anthropic.Anthropic())
except batchwrap.ConfigError:
    print("bare again")
"""


@pytest.mark.thorough
def test_half_imported() -> None:
    """A package that calls `install` while it is imported is patched once it is whole."""
    ran = subprocess.run([sys.executable, "-c", HALF], capture_output=True, text=True, check=False)
    assert ran.stdout == "0\nbare again\n", ran.stderr


AGAIN = """
import sys, batchwrap
batchwrap.install(batching=None)
for _ in range(2):
    import openai
    print(batchwrap.stats(openai.OpenAI(api_key="k")).requests)
    for name in [name for name in sys.modules if name.partition(".")[0] == "openai"]:
        del sys.modules[name]
"""


@pytest.mark.thorough
def test_imported_again() -> None:
    """A package that is imported anew, as test suites do, is patched anew."""
    ran = subprocess.run([sys.executable, "-c", AGAIN], capture_output=True, text=True, check=False)
    assert ran.stdout == "0\n0\n", ran.stderr


@pytest.mark.filterwarnings("default")  # litellm warns of itself
@pytest.mark.skipif(not find_spec("litellm"), reason="litellm lives in the other environment")
def test_litellm(lab: Lab) -> None:
    """`litellm.completion` is batched, once, on the budget of all others, until `uninstall`."""
    import litellm

    def ask() -> Any:
        return litellm.completion(
            model="openai/m", messages=[USER], tools=TOOLS, api_base=lab.base_url, api_key="key"
        )

    batchwrap.install()
    assert calls_of(ask().choices[0].message) == READS
    assert offered(lab) == 3
    assert batchwrap.stats(litellm.completion).requests == 1
    batchwrap.uninstall()
    ask()
    assert offered(lab) == 0


def test_module(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """The module `openai` is wrapped as the client that it is, also after its first request."""
    monkeypatch.setattr(openai, "api_key", "key")
    monkeypatch.setattr(openai, "base_url", f"{lab.base_url}/")
    monkeypatch.setattr(openai, "http_client", None)

    module: Any = openai

    def ask() -> Any:
        answer = module.chat.completions.create(
            model="m",
            messages=[USER],
            tools=TOOLS,
        )
        return calls_of(answer.choices[0].message)

    bare = ask()
    assert batchwrap.wrap(openai) is openai
    assert ask() == READS != bare
    assert batchwrap.stats(openai).requests == 1
    assert batchwrap.wrap(openai, batching=None) is openai
    assert ask() == bare
    module.http_client.close()
