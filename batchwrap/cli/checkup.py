"""The checks of `batchwrap doctor`: what is installed, what works, what is known."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import batchwrap
from batchwrap.cli.option_checks import is_installed
from batchwrap.errors import BatchwrapError, ConfigError, MissingExtraError, StoreUnavailable

# The packages that each extra installs.
EXTRAS = {
    "openai": ("openai",),
    "httpx": ("httpx",),
    "httpx2": ("httpx2",),
    "litellm": ("litellm",),
    "memory": ("cryptography",),
    "redis": ("redis",),
    "otel": ("opentelemetry-api",),
    "lab": ("starlette", "uvicorn"),
    "cli": ("typer", "rich"),
    "plot": ("matplotlib",),
    "scripts": ("pydantic-monty",),
    "serve": ("prometheus-client",),
}
_OTHER_VERSION = "try another version of the library, and report it with this output"
_ALWAYS = ("anyio", "orjson", "tenacity", "tiktoken")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The result of one check.

    Attributes:
        part: the group: ``"versions"``, ``"options"``, ``"adapters"``, ``"model"``, ``"store"``
            or ``"host"``.
        name: what was checked.
        state: ``"ok"``; ``"missing"`` for an optional package that is not installed; or
            ``"failed"``.
        found: what was found, in words.
        hint: what to do about it; empty if there is nothing to do.
    """

    part: str
    name: str
    state: Literal["ok", "missing", "failed"] = "ok"
    found: str = ""
    hint: str = ""


def versions() -> Iterator[Finding]:
    """Python, batchwrap, and the packages that it uses or wraps."""
    yield Finding(part="versions", name="Python", found=platform.python_version())
    yield Finding(part="versions", name="batchwrap", found=batchwrap.__version__)
    for package in _ALWAYS:
        yield _package(package, "pip install batchwrap", "failed")
    for extra, packages in EXTRAS.items():
        for package in packages:
            yield _package(package, _install(extra), "missing")


def options() -> Iterator[Finding]:
    """The options that hold without code: how many, and where from."""
    from batchwrap.configuration import configured

    try:
        found = configured()
    except ConfigError as error:
        hint = "correct it; batchwrap config shows what holds then"
        yield Finding(part="options", name="file", state="failed", found=str(error), hint=hint)
        return
    said = f"{found.file or 'no batchwrap.toml'}, {len(found.given())} options differ from defaults"
    yield Finding(part="options", name="file", found=f"{said} (batchwrap config shows them)")


def _package(name: str, hint: str, without: Literal["missing", "failed"]) -> Finding:
    try:
        return Finding(part="versions", name=name, found=version(name))
    except PackageNotFoundError:
        return Finding(part="versions", name=name, state=without, found="not installed", hint=hint)


def _install(extra: str) -> str:
    return f'pip install "batchwrap[{extra}]"'


def adapters() -> Iterator[Finding]:
    """Each adapter whose library is installed, tried against the simulated provider."""
    try:
        from batchwrap.cli.trials import trials
    except MissingExtraError as missing:
        hint = _install(missing.extra)
        yield Finding(part="adapters", name="all", state="missing", found="not tried", hint=hint)
        return
    for name, trial in trials().items():
        if is_installed(trial.module):
            yield _tried("adapters", name, partial(_timed, trial.run), _OTHER_VERSION)
        elif trial.extra is not None:
            hint = _install(trial.extra)
            found = f"{trial.module} is not installed"
            yield Finding(part="adapters", name=name, state="missing", found=found, hint=hint)


def _tried(part: str, name: str, trial: Callable[[], str | None], hint: str = "") -> Finding:
    """The result of a trial. Libraries may raise anything, so every exception is a finding."""
    try:
        said = trial()
    except ConfigError:  # wrong usage of the command is not a finding
        raise
    except Exception as error:
        hint = _install(error.extra) if isinstance(error, MissingExtraError) else hint
        found = f"{type(error).__name__}: {error}"
        if error.__cause__ and not isinstance(error, BatchwrapError):  # ours say all that they may
            found += f" ({error.__cause__})"
        return Finding(part=part, name=name, state="failed", found=found, hint=hint)
    return Finding(part=part, name=name, found=said or "works")


def _timed(trial: Callable[[], None]) -> str:
    """Run a trial twice, since libraries are imported in the first, some in its first request."""
    first_ms, again_ms = _took_ms(trial), _took_ms(trial)
    importing_ms = max(0.0, first_ms - again_ms)
    return f"works ({again_ms:,.0f} ms, imports {importing_ms:,.0f} ms)"


def _took_ms(trial: Callable[[], None]) -> float:
    started_s = time.perf_counter()
    trial()
    return (time.perf_counter() - started_s) * 1_000


def model(name: str) -> Iterator[Finding]:
    """The encoding that counts a model's tokens, and other facts about the model."""
    from batchwrap.encodings import load
    from batchwrap.models import model_facts
    from batchwrap.throttle.estimate import encoding_of

    def counted() -> str:
        encoding = encoding_of(name)
        load(encoding)  # raises if its file is damaged
        return f"{encoding}, which comes with the package"

    yield _tried("model", "encoding", counted)
    facts = model_facts(name)
    thinks = "thinks, so it is not reminded to prefetch" if facts.thinks else "not known to think"
    yield Finding(part="model", name="thinking", found=thinks)
    effects = [f"{order} ({effect})" for order, effect in sorted(facts.unsupported.items())]
    found = ", ".join(effects) or "nothing known"
    yield Finding(part="model", name="does not support", found=found)


def store(url: str) -> Iterator[Finding]:
    """Whether a store can be read now; the check writes nothing."""
    from batchwrap.throttle.stores import open_store
    from batchwrap.throttle.stores.sqlite import path_of

    def read() -> str:
        # Opening a SQLite store would create its file.
        if url.startswith("sqlite:") and not path_of(url).exists():
            return _not_yet(path_of(url))
        started_s = time.perf_counter()
        with closing(open_store(url)) as opened:
            lines = len(opened.usage())
        took_ms = (time.perf_counter() - started_s) * 1_000
        return f"answers in {took_ms:,.1f} ms, {lines:,} lines in its books"

    hint = 'Throttle(store_down="local") continues without the store until it is back, "fail" stops'
    yield _tried("store", url.partition(":")[0], read, hint)


def _not_yet(path: Path) -> str:
    if not path.absolute().parent.is_dir():
        raise StoreUnavailable(str(path), "its folder does not exist")
    return f"{path} does not exist yet; the first request creates it"


def host(base_url: str) -> Iterator[Finding]:
    """What is known of an endpoint's host; no request is sent."""
    from batchwrap.providers import provider_file, provider_of

    provider = provider_of(urlsplit(base_url).hostname or "")
    if not provider.name:
        found = "unknown provider: limits only from headers, costs by the usual rule"
        hint = "pass limits=[Limit(…)], or a file of your own (see batchwrap limits --help)"
        yield Finding(part="host", name="provider", found=found, hint=hint)
        return
    yield Finding(part="host", name="provider", found=provider.name)
    plans = [plan.name for plan in provider_file(provider.name).plans.values()]
    hint = 'limits="auto" knows no amounts before the first answer; name your plan: limits="…"'
    yield Finding(
        part="host", name="plans", found=", ".join(plans) or "none", hint=hint if plans else ""
    )


def call(base_url: str, model_name: str, api_key: str) -> Iterator[Finding]:
    """Send a tiny request to a real endpoint: whether it answers, and which limits it names."""
    from batchwrap.core.limits.headers import read_headers
    from batchwrap.demo.sdk import NO_KEY_SENT, client
    from batchwrap.providers import provider_of

    def asked() -> str:
        with client(base_url, api_key) as bare:
            create = bare.chat.completions.with_raw_response.create
            said: Any = {"role": "user", "content": "Say ok."}
            answer = create(model=model_name, messages=[said], max_tokens=16)
        provider = provider_of(urlsplit(base_url).hostname or "")
        seen = read_headers(answer.headers, time.time(), provider.signals.headers)
        limits = [f"{one.limit:,.0f} {one.kind}" for one in seen if one.limit]
        return f"answers; limits that it names: {', '.join(limits) or 'none'}"

    yield _tried("host", "call", asked, "" if api_key else NO_KEY_SENT)
