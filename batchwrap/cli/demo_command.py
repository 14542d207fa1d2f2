"""`batchwrap demo`: the same job with the bare client and with the wrapped one."""

from __future__ import annotations

import json
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from batchwrap.cli import completion, option_checks
from batchwrap.cli.console import console, print_text, waiting_for
from batchwrap.cli.text_tables import print_table
from batchwrap.demo import PLAN_NAME
from batchwrap.errors import ConfigError

if TYPE_CHECKING:
    from batchwrap.demo.demo_report import DemoResult
    from batchwrap.demo.played_plan import PlayedPlan
    from batchwrap.demo.project import Project
    from batchwrap.demo.run import ArmName, DemoArm, RealEndpoint

_FAILED = 1
# With a faster clock a simulated minute would be shorter than the work of a request.
_FASTEST = 1_000
_FOR_ENDPOINTS = "With --base-url: "


def demo(
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a PNG or SVG: tokens over time.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object and nothing else.")
    ] = False,
    stream: Annotated[bool, typer.Option("--stream", help="Ask for streamed answers.")] = False,
    keep: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep the project folders in DIR."),
    ] = None,
    time_scale: Annotated[
        float | None,
        typer.Option(metavar="N", help="Simulated seconds per real second; 1 is real speed."),
    ] = None,
    base_url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Use a real OpenAI-compatible endpoint. Costs tokens!"),
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help=f"{_FOR_ENDPOINTS}the model.")
    ] = None,
    api_key_env: Annotated[
        str | None,
        typer.Option(
            metavar="VARIABLE",
            help=f"{_FOR_ENDPOINTS}environment variable with the API key, if it needs one.",
        ),
    ] = None,
    limits: Annotated[
        str | None,
        typer.Option(
            metavar="PLAN",
            help="Limits that the wrapped client keeps and, if it is simulated, the provider has,"
            ' e.g. "cerebras/code-max".',
            autocompletion=completion.limits,
        ),
    ] = None,
) -> None:
    """Watch an agent do one job with the bare OpenAI client, wrapped, and with scripts.

    The agent renames a function in a small project, in a temporary folder, until the project's
    own tests pass. It needs no key and no network: the provider and its model are simulated, on a
    clock that runs faster. HTTP, SDK, agent, files and tests are real. It takes about 15 s. The run
    with scripts needs the extra "scripts" and is left out without it.

    \b
    Examples:
      batchwrap demo
      batchwrap demo --limits cerebras/code-max
      batchwrap demo --plot tokens.png --keep /tmp/demo
      batchwrap demo --json | python -m json.tool
      batchwrap demo --base-url https://api.cerebras.ai/v1 --model qwen-3-coder-480b \\
          --api-key-env CEREBRAS_API_KEY --limits cerebras/code-max
    """
    if time_scale is not None:
        _check_time_scale(time_scale, base_url)
    endpoint = _endpoint(base_url, model, api_key_env, limits)
    # Whatever may fail is checked before the demo runs, which takes a while.
    option_checks.check_installed(openai="openai", starlette="lab", uvicorn="lab")
    if plot is not None:
        option_checks.check_installed(matplotlib="plot")
        option_checks.check_file("--plot", plot)
    _announce(endpoint, limits, quiet=as_json)
    with waiting_for("loading"):
        plan = _plan(limits, endpoint)
        if plot is not None:
            _load_plot()
    with nullcontext(keep) if keep else tempfile.TemporaryDirectory() as folder:
        projects = _projects(Path(folder))
        result = _run(projects, endpoint, plan, stream=stream, time_scale=time_scale, quiet=as_json)
    _show(result, as_json=as_json)
    if plot is not None:
        _save_plot(result, plot)
    if not result.done:
        raise typer.Exit(_FAILED)


def _endpoint(
    base_url: str | None, model: str | None, api_key_env: str | None, limits: str | None
) -> RealEndpoint | None:
    kept = option_checks.check_limits(limits)
    if base_url is None:
        for option, value in (("--model", model), ("--api-key-env", api_key_env)):
            if value is not None:
                raise ConfigError(option, "is only for a real endpoint; give --base-url, too")
        return None
    model = option_checks.check_endpoint(base_url, model)
    key = option_checks.api_key(api_key_env)
    from batchwrap.demo.run import RealEndpoint

    return RealEndpoint(base_url=base_url, model=model, api_key=key, limits=kept)


def _announce(endpoint: RealEndpoint | None, limits: str | None, *, quiet: bool) -> None:
    """Say on stderr what begins, before anything is imported that takes its time."""
    if endpoint is not None:
        typer.echo(
            f"This spends real tokens of {endpoint.model} at {endpoint.base_url}: about 1.6 million"
            " if the model works like the simulated one. It also runs tests that the model has"
            " edited on this machine.",
            err=True,
        )
    elif not quiet:
        plan = PLAN_NAME if limits in (None, "auto") else limits
        typer.echo(f"An agent does one job at a simulated provider: {plan}.", err=True)


def _plan(limits: str | None, endpoint: RealEndpoint | None) -> PlayedPlan:
    """The limits of the simulated provider."""
    from batchwrap.demo.played_plan import played
    from batchwrap.demo.run import PLAN

    return PLAN if limits in (None, "auto") or endpoint is not None else played(limits)


def _check_time_scale(time_scale: float, base_url: str | None) -> None:
    if base_url is not None:
        raise ConfigError("--time-scale", "is only for the simulated provider; omit --base-url")
    if not 0 < time_scale <= _FASTEST:
        problem = f"{time_scale:g} is not a number above 0 and at most {_FASTEST:,}"
        raise ConfigError("--time-scale", problem)


def _projects(folder: Path) -> dict[ArmName, Project]:
    from batchwrap.demo.project import create
    from batchwrap.demo.run import arms

    with option_checks.writing("--keep"):
        return {name: create(folder / name) for name in arms()}


def _run(
    projects: dict[ArmName, Project],
    endpoint: RealEndpoint | None,
    plan: PlayedPlan,
    *,
    stream: bool,
    time_scale: float | None,
    quiet: bool,
) -> DemoResult:
    from batchwrap.cli.demo_progress import showing
    from batchwrap.demo import run
    from batchwrap.demo.demo_report import DemoResult

    if endpoint is None and time_scale is None:
        time_scale = run.TIME_SCALE

    def arm(name: ArmName, project: Project) -> DemoArm:
        if time_scale is not None:
            return run.simulated(
                name, project, stream=stream, time_scale=time_scale, plan=plan, watcher=watcher
            )
        assert endpoint is not None
        return run.real(name, project, endpoint=endpoint, stream=stream, watcher=watcher)

    with nullcontext(run.Watcher()) if quiet else showing(console()) as watcher:
        played = {name: arm(name, project) for name, project in projects.items()}
    return DemoResult(**played, stream=stream, time_scale=time_scale, endpoint=endpoint, plan=plan)


def _show(result: DemoResult, *, as_json: bool) -> None:
    from batchwrap.demo import demo_report

    if as_json:
        typer.echo(json.dumps(demo_report.as_dict(result), indent=2))
        return
    screen = console()
    screen.print()
    print_table(screen, demo_report.table(result))
    for note in demo_report.notes(result):
        print_text(screen, note)


def _load_plot() -> None:
    """Check that a plot can be drawn, before the demo runs and not after it."""
    from batchwrap.demo.plot import new_figure

    new_figure()


def _save_plot(result: DemoResult, path: Path) -> None:
    from batchwrap.demo import plot

    if not result.reports_tokens:
        typer.echo(f"{path} was not written, since the provider reported no tokens", err=True)
        return
    with option_checks.writing("--plot"):
        plot.save(result, path)
