"""What operators copy: the dashboard, the alerts, the container, the unit."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import tomllib
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from prometheus_client.parser import text_string_to_metric_families

from batchwrap.cli.app import app
from batchwrap.core.limits.state import Level, Snapshot
from batchwrap.options import Event, Limit
from batchwrap.serve import Server, Settings
from batchwrap.serve.metrics import Metrics
from batchwrap.serve.traffic import Traffic
from batchwrap.stats import Stats
from batchwrap.throttle.scope import LimitScope
from batchwrap.throttle.standing import Standing

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "guides" / "operators.md"
DASHBOARD: dict[str, Any] = json.loads((ROOT / "docs" / "grafana.json").read_text("utf-8"))
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
_OURS = re.compile(r"batchwrap_\w+")


def exported() -> dict[str, set[str]]:
    """The names of all samples, and the labels that each of them has."""
    traffic = Traffic()
    facts = {"model": "m", "status": 200, "duration_s": 0.3, "first_s": 0.1, "prompt_tokens": 1}
    traffic.take(Event(name="ended", data=facts))
    scope = LimitScope("s", (Limit("tokens", 1),), ())
    standing = Standing("a", scope, Snapshot([Level(1, 1, 0, 0.0)], 0, [], 0))
    stats = Stats(repairs={"x": 1}, defects={"x": 1}, only_throttled={"x": 1})
    text, _ = Metrics(lambda: stats, traffic, lambda: [standing]).render("")
    return {
        sample.name: set(sample.labels)
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def queries() -> Iterator[tuple[str, str]]:
    """The queries of the dashboard with the titles of their panels."""
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


@pytest.mark.parametrize(("title", "query"), list(queries()))
def test_queries(title: str, query: str) -> None:
    """A panel asks for metrics that exist, and by labels that these have."""
    known = exported()
    names = _OURS.findall(query)
    assert names
    assert not set(names) - set(known)
    by = {label for found in re.findall(r"by \(([^)]*)\)", query) for label in found.split(", ")}
    asked = by | set(re.findall(r"(\w+)=~?\"", query))
    # `instance` is what Prometheus itself adds.
    assert asked - {"instance"} <= set().union(*(known[name] for name in names))


def test_the_dashboard() -> None:
    """It is for any Prometheus of the reader's, and no two panels lie on each other."""
    sources = {json.dumps(panel["datasource"]) for panel in DASHBOARD["panels"]}
    assert sources == {json.dumps({"type": "prometheus", "uid": "${datasource}"})}
    assert [one["name"] for one in DASHBOARD["templating"]["list"]] == ["datasource", "instance"]
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    taken = [
        (x, y)
        for it in places
        for x in range(it["x"], it["x"] + it["w"])
        for y in range(it["y"], it["y"] + it["h"])
    ]
    assert len(set(taken)) == len(taken) and max(x for x, _ in taken) < 24
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)


def test_metrics_of_the_page() -> None:
    """The metrics that the page names exist."""
    text = PAGE.read_text("utf-8").replace("`_free`", "`batchwrap_bucket_free`")
    named = {
        name for name in _OURS.findall(text) if name.endswith(("_total", "_seconds", "_bucket"))
    }
    known = {*exported(), *(name.removesuffix("_bucket") for name in exported())}
    assert named and not named - known


def test_options() -> None:
    """What is started in the unit, the containers and the image has options that exist."""
    command: Any = typer.main.get_command(app)
    known = {option for one in command.commands["serve"].params for option in one.opts}
    text = re.sub(r"\\\n", " ", PAGE.read_text("utf-8"))
    found = [line for line in text.splitlines() if re.search(r"--upstream http", line)]
    assert len(found) >= 3
    for line in found:
        words = line[line.index("--upstream") :].strip("` ").split()
        own = {word for word in words if word.startswith("--") and "=" not in word}
        assert own - {"--add-host"} <= known, line
    entry = json.loads(re.findall(r"^ENTRYPOINT (.*)$", DOCKERFILE, re.MULTILINE)[0])
    assert entry[:2] == ["batchwrap", "serve"]
    assert {word for word in entry if word.startswith("--")} <= known


def test_the_image() -> None:
    """What the image is made of exists, and its process is not root."""
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE)
    sources = [name for line in copied for name in line.split()]
    ignored = (ROOT / ".dockerignore").read_text("utf-8").split()
    for name in sources:
        assert (ROOT / name).exists() and f"!{name}" in ignored
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    [extras] = re.findall(r'"\.\[([\w,]+)\]"', DOCKERFILE)
    assert set(extras.split(",")) <= set(project["optional-dependencies"])
    assert {project["readme"], *project["license-files"]} <= set(sources)
    users = re.findall(r"^USER (\S+)$", DOCKERFILE, re.MULTILINE)
    assert users and users[-1] not in ("root", "0")
    assert DOCKERFILE.index("USER ") < DOCKERFILE.index("ENTRYPOINT")


@pytest.mark.parametrize("token", [None, "the-token"])
def test_the_health_check(token: str | None) -> None:
    """The container's check succeeds while `serve` runs, token or not, and fails otherwise."""
    server = Server(Settings(upstream="http://127.0.0.1:1/v1", token=token))
    check = json.loads(re.findall(r"CMD (\[\"python\".*\])$", DOCKERFILE, re.MULTILINE)[0])
    port = server.url.rpartition(":")[2]
    command = [sys.executable, *(word.replace("4141", port) for word in check[1:])]
    running = threading.Thread(target=server.run)
    running.start()
    try:
        urllib.request.urlopen(f"{server.url}/healthz", timeout=60).close()
        assert subprocess.run(command, timeout=120).returncode == 0
    finally:
        server.stop()
        running.join()
    failed = subprocess.run(command, stderr=subprocess.DEVNULL, timeout=120)
    assert failed.returncode != 0
