"""`batchwrap serve`: the engine as a local endpoint, for agents in any language."""

from __future__ import annotations

import json
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from batchwrap.cli import completion, option_checks
from batchwrap.cli.console import waiting_for
from batchwrap.errors import ConfigError

if TYPE_CHECKING:
    from batchwrap.serve import Server, Settings, Workers

_FILES = 65_536  # the number of open files that is asked for


def serve(
    upstream: Annotated[
        str,
        typer.Option(metavar="URL", help="The provider's base URL that the agent used before."),
    ],
    port: Annotated[
        int, typer.Option(metavar="N", help="The port to listen at; 0 chooses a free one.")
    ] = 4141,
    host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="The address to listen at; one that other machines can reach needs --token.",
        ),
    ] = "127.0.0.1",
    token: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            envvar="BATCHWRAP_TOKEN",
            help="The text that agents must send as their API key. Set it in the environment,"
            " where other users of the machine cannot see it.",
            show_default=False,
        ),
    ] = None,
    api_key_env: Annotated[
        str | None,
        typer.Option(
            metavar="VARIABLE",
            help="With --token: environment variable with the provider's API key.",
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A further host name by which it may be reached without a token, such as"
            " host.docker.internal. May be repeated.",
            show_default=False,
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Options from this file instead of the batchwrap.toml that is found; those given"
            " here win over it.",
            show_default=False,
        ),
    ] = None,
    limits: Annotated[
        str | None,
        typer.Option(
            metavar="PLAN",
            help='Limits to keep, e.g. "cerebras/code-max".',
            autocompletion=completion.limits,
        ),
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Where the budget is kept, if not in memory: sqlite:///path or redis://host.",
        ),
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Where it is kept which calls wait, if not in memory: sqlite:///path or"
            " redis://host, for several machines behind a load balancer.",
        ),
    ] = None,
    workers: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="The number of processes that serve the port. Without --store and --memory they"
            " share a file of their own.",
        ),
    ] = 1,
    preset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help='Options by name: "fast" or "careful".',
            autocompletion=completion.presets,
        ),
    ] = None,
    offer: Annotated[
        str | None,
        typer.Option(
            metavar="HOW",
            help='Multi-tools "alongside" the agent\'s own, "instead" of them, or "never".',
            autocompletion=completion.offers,
        ),
    ] = None,
    tool: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=KIND",
            help='The kind of a tool that is not recognised: "read", "edit", "write", "read_only",'
            ' "sequential" or "bookkeeping". May be repeated.',
            show_default=False,
        ),
    ] = None,
    scripts: Annotated[
        bool,
        typer.Option(
            "--scripts",
            help="Let the model run short programs over the agent's tools: calls that depend on"
            " each other, in one round trip. Needs batchwrap[scripts].",
        ),
    ] = False,
    remind_every: Annotated[
        int | None,
        typer.Option(metavar="N", help="Turns without a batch until the model is reminded."),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print its addresses as one JSON object and nothing else."),
    ] = False,
) -> None:
    """Serve an OpenAI-compatible endpoint in front of another, for agents in any language.

    Set the agent's base URL to the address that is printed. Chat completions, Responses and
    Messages are translated and throttled as by batchwrap.wrap; all other requests pass through
    unchanged. The page that is printed shows live what it does; /metrics is for Prometheus, and
    /healthz for containers and load balancers. Ctrl-C ends it.

    Without --token the agent's own API key is sent to the provider. No key is ever logged.

    \b
    Examples:
      batchwrap serve --upstream https://api.cerebras.ai/v1 --limits cerebras/code-max
      batchwrap serve --upstream http://127.0.0.1:8000/v1 --port 0 --preset fast
      batchwrap serve --upstream https://openrouter.ai/api/v1 --tool bash=sequential
      BATCHWRAP_TOKEN=… batchwrap serve --upstream https://api.groq.com/openai/v1 \\
          --host 0.0.0.0 --api-key-env GROQ_API_KEY --store sqlite:///budget.db
      batchwrap serve --upstream https://api.cerebras.ai/v1 --workers 4
      batchwrap serve --upstream https://api.cerebras.ai/v1 --store redis://10.0.0.5 \\
          --memory redis://10.0.0.5
    """
    settings = _settings(
        upstream=upstream,
        host=host,
        port=port,
        token=token,
        api_key=option_checks.api_key(api_key_env) or None,
        allow_hosts=tuple(allow_host or ()),
    )
    typed = _said(
        limits=limits,
        preset=preset,
        remind_every=remind_every,
        batching=_said(
            offer=offer, tools=_kinds(tool or ()), scripts=scripts or None, memory=memory
        ),
        throttle=_said(store=store),
    )
    # In this order: the port is open, and Ctrl-C ends the server, before the address is printed.
    _allow_files()
    with waiting_for("starting"):
        server = _server(settings, workers, config, typed)
    _end_by_signals(server)
    _tell(server, settings, as_json=as_json)
    server.run()


def _settings(**given: Any) -> Settings:
    from batchwrap.serve import Settings

    return Settings(**given)


def _said(**options: Any) -> dict[str, Any]:
    """Those that were typed."""
    return {name: value for name, value in options.items() if value not in (None, {})}


def _kinds(tools: Sequence[str]) -> dict[str, str]:
    """The kinds of tools by their names."""
    kinds: dict[str, str] = {}
    for pair in tools:
        name, found, kinds[name] = pair.partition("=")
        if not (name and found):
            raise ConfigError("--tool", f"{pair!r} is not NAME=KIND")
    return kinds


def _server(
    settings: Settings, workers: int, config: Path | None, typed: dict[str, Any]
) -> Server | Workers:
    """The server with the options of the file, the variables and the command line."""
    from batchwrap.configuration import configured
    from batchwrap.serve import Server, Workers

    options = configured(config or "auto", typed).options
    given = {one.name: getattr(options, one.name) for one in fields(options)}
    if workers == 1:
        return Server(settings, **given, config=None)
    return Workers(settings, workers, **given, config=None)


def _allow_files() -> None:
    """Raise this process's limit of open files, since each client needs two of them."""
    try:
        import resource
    except ImportError:  # Windows
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _tell(server: Server | Workers, settings: Settings, *, as_json: bool) -> None:
    """Print the addresses, also into a pipe: the program that started it may wait for them."""
    from batchwrap.serve.asgi_app import HEALTH, METRICS_PATH
    from batchwrap.serve.hosts import EVERY_ADDRESS
    from batchwrap.serve.live_page import PAGE

    paths = {"page": PAGE, "health": HEALTH, "metrics": METRICS_PATH}
    urls = {name: f"{server.url}{path}" for name, path in paths.items()}
    if as_json:
        told = {"upstream": settings.upstream, "base_url": server.base_url}
        typer.echo(json.dumps({**told, **urls}))
        return
    typer.echo(f"batchwrap serves {settings.upstream}")
    typer.echo(f"base URL for agents: {server.base_url}")
    if settings.host in EVERY_ADDRESS:
        here = EVERY_ADDRESS[settings.host]
        typer.echo(f"from other machines: this one's name or address in place of {here}")
    needs_token = " (asks for the token)" if settings.token is not None else ""
    typer.echo(f"page: {urls['page']}{needs_token}")
    typer.echo(f"health: {urls['health']}  metrics: {urls['metrics']}")


def _end_by_signals(server: Server | Workers) -> None:
    """End with exit code 0 after Ctrl-C or SIGTERM, at any time after the address was printed.

    While the server runs, uvicorn handles the signals, and raises them again after its shutdown.
    """
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, lambda *_: server.stop())
